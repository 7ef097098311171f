"""A disk that fills up while studies run: earlier reports stay whole, and the next call makes the rest."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from impact.errors import RunError
from impact.run import run

from ..unit.test_run import SHOW, STUDY, files, notebook

STUDIES = ("study0", "study1")
TIMES = int(os.environ.get("IMPACT_KILLS", "2"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Two studies whose outputs go to a disk of their own, with little room."""
    for folder in ("params", "data", "notebooks", "outputs"):
        (tmp_path / folder).mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(tmp_path / "outputs")]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can only be made by root of Linux")
    (tmp_path / "data/panel.csv").write_text("u,t,y,g\n1,1,0,\n")
    for study in STUDIES:
        (tmp_path / f"params/{study}.yaml").write_text(STUDY)
    for name in ("cohort", "did", "findings"):
        notebook(tmp_path, name, f"import time; time.sleep(0.1)\n{SHOW}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMPACT_ROOT", raising=False)
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path / "outputs")], check=True)


def fill(outputs: Path, room: int) -> None:
    """Leave so many bytes on the disk."""
    with (outputs / "filler").open("wb", buffering=0) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, max(shutil.disk_usage(outputs).free - room, 1))
        except OSError:
            while file.write(bytes(4096)) == 4096:
                pass


def reports(outputs: Path) -> dict[str, dict[str, bytes]]:
    return {study: files(outputs / study / "share") for study in STUDIES}


@pytest.mark.xdist_group("kernels")
def test_a_disk_that_fills_up_harms_no_report_and_the_next_call_makes_the_rest(project: Path) -> None:
    outputs, params = project / "outputs", [f"params/{study}.yaml" for study in STUDIES]
    assert not any(o.problem for o in run(params))
    expected = reports(outputs)
    began = time.monotonic()
    run(params, force=True)
    usual = time.monotonic() - began
    rng = random.Random(TIMES)
    stopped = 0
    for number in range(TIMES):
        room = rng.choice([0, 4_096, 20_000, 60_000, 100_000]) if number else 0
        timer = threading.Timer(usual * rng.uniform(0.1, 0.6), fill, (outputs, room))
        timer.start()
        outcomes = run(params, force=True)
        timer.join()
        for problem in (o.problem for o in outcomes if o.problem):
            stopped += 1
            assert isinstance(problem, RunError)
            assert "No space left on device" in str(problem)
        # What is visible is whole, the log too.
        assert reports(outputs) == expected
        assert all(map(json.loads, (outputs / "log.jsonl").read_text().splitlines()))
        (outputs / "filler").unlink()
        assert not any(o.problem for o in run(params, force=True))
        assert reports(outputs) == expected
        assert not [path for path in outputs.glob(".*") if path.is_dir() and path.name != ".cache"]
    assert stopped


@pytest.mark.xdist_group("kernels")
def test_a_notebook_that_finds_no_room_says_so(project: Path) -> None:
    # The text of the error names a file, and a file may be named after a person.
    code = "raise OSError(28, 'No space left on device', '943 476 5919')"
    notebook(project, "did", f"if title == 'A small study':\n    {code}\n{SHOW}")
    (outcome,) = run(["params/study0.yaml"])
    assert str(outcome.problem) == "did: cell 3 stopped with OSError (No space left on device)."


def test_where_nothing_can_be_written_nothing_is_run(project: Path) -> None:
    fill(project / "outputs", 0)
    with pytest.raises(
        RunError, match=r"^the folder of outputs cannot be written \(No space left on device\)"
    ):
        run(["params/study0.yaml"])
    assert [path.name for path in (project / "outputs").iterdir()] == ["filler"]
    with pytest.raises(RunError, match=r"^the folder of outputs cannot be written \(File exists\)"):
        run(["params/study0.yaml"], output="params/study0.yaml")
