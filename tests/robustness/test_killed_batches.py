"""Batches that are killed at any point lose nothing that was there, and the next call finishes the rest."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from impact.run import Limits, run

from ..unit.test_run import SHOW, STUDY, files, notebook

STUDIES = [f"study{i}" for i in range(5)]
KILLS = int(os.environ.get("IMPACT_KILLS", "2"))
# Seconds after which a batch of a few seconds has hung, and is not only slow on a busy machine.
HANGS = 400
pytestmark = pytest.mark.skipif(os.name != "posix", reason="kills and marks of POSIX")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five studies of notebooks that take a moment."""
    for folder in ("params", "data", "notebooks", "tmp"):
        (tmp_path / folder).mkdir()
    (tmp_path / "data/panel.csv").write_text("u,t,y,g\n1,1,0,\n")
    for study in STUDIES:
        (tmp_path / f"params/{study}.yaml").write_text(STUDY)
    for name in ("cohort", "did", "findings"):
        notebook(tmp_path, name, f"import time; time.sleep(0.2)\n{SHOW}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMPACT_ROOT", raising=False)
    return tmp_path


def command(*more: str) -> list[str]:
    call = [sys.executable, "-c", "from impact.cli import main; main()", "run"]
    return [*call, *(f"params/{s}.yaml" for s in STUDIES), *more]


def marked() -> dict[str, str]:
    """An environment by which all that comes of a batch is known, however it was started."""
    return {**os.environ, "MARK": str(Path.cwd()), "TMPDIR": str(Path.cwd() / "tmp")}


def batch(*more: str, output: str = "outputs") -> subprocess.Popen[bytes]:
    quiet = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    return subprocess.Popen(command("--output", output, *more), env=marked(), **quiet)


def survivors() -> list[list[str]]:
    """The processes of batches in this folder that are still there after a while."""
    for _ in range(300):
        found = [p for p in psutil.process_iter(["environ", "cmdline", "status"]) if _is_ours(p.info)]
        if not found:
            return []
        time.sleep(0.1)
    return [p.info["cmdline"] for p in found]


def _is_ours(process: dict[str, Any]) -> bool:
    ended = process["status"] == psutil.STATUS_ZOMBIE
    return not ended and (process["environ"] or {}).get("MARK") == str(Path.cwd())


def reports(folder: Path) -> dict[str, bytes]:
    """What may be sent of all studies that have a report."""
    return {
        f"{study}/{name}": content
        for study in STUDIES
        if (folder / study / "share").exists()
        for name, content in files(folder / study / "share").items()
    }


@pytest.mark.parametrize("engine", ["warm", "papermill"])
def test_killed_at_any_point_nothing_is_lost_and_the_next_call_finishes(project: Path, engine: str) -> None:
    assert batch(output="undisturbed").wait(HANGS) == 0
    expected = reports(project / "undisturbed")
    assert len({name.split("/")[0] for name in expected}) == len(STUDIES)
    rng = random.Random(KILLS)
    # Without a server each kill takes long, and there are fewer ways to go.
    for _ in range(KILLS if engine == "warm" else KILLS // 2):
        shutil.rmtree(project / "outputs", ignore_errors=True)
        for _ in range(2):
            kill_one_of(batch("--engine", engine), rng)
            assert not survivors()
            assert not list((project / "tmp").glob("impact-*"))
            # What is visible is whole.
            seen = reports(project / "outputs")
            assert {name: expected[name] for name in seen} == seen
            assert all((project / "outputs" / n.split("/")[0] / "share/index.html").exists() for n in seen)
            assert all(map(json.loads, logged(project / "outputs")))
        assert batch().wait(HANGS) == 0
        assert reports(project / "outputs") == expected
        assert not left_over(project / "outputs")


def kill_one_of(running: subprocess.Popen[bytes], rng: random.Random) -> None:
    """Kill a batch, or a process that works for it, and wait until the batch has ended."""
    time.sleep(rng.uniform(0.5, 6))
    family = [psutil.Process(running.pid)]
    if rng.random() < 0.6:
        family += family[0].children(recursive=True)
    with contextlib.suppress(psutil.NoSuchProcess):
        rng.choice(family).send_signal(rng.choice([signal.SIGKILL, signal.SIGTERM]))
    running.wait(HANGS)


@pytest.mark.parametrize("when", ["while it gets ready", "while studies run"])
def test_ctrl_c_stops_all_and_the_next_call_makes_the_rest(project: Path, when: str) -> None:
    pty = pytest.importorskip("pty")
    pid, terminal = pty.fork()
    if not pid:
        # Whoever runs the tests in the background has them ignore it.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execve(sys.executable, command(), marked())
    told = b""
    begun = project / ("outputs/runs.json" if when == "while it gets ready" else "outputs/log.jsonl")
    with contextlib.suppress(OSError):
        sent = False
        while said := os.read(terminal, 65536):
            told += said
            if not sent and begun.exists():
                os.write(terminal, b"\x03")
                sent = True
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
    os.close(terminal)
    assert b"Stopped. Reports that were written stand; the same command makes the rest." in told
    assert b"Traceback" not in told
    assert not survivors()
    made = {name.split("/")[0] for name in reports(project / "outputs")}
    assert len(made) < len(STUDIES)
    assert batch().wait(HANGS) == 0
    assert len({name.split("/")[0] for name in reports(project / "outputs")}) == len(STUDIES)


@pytest.mark.parametrize(
    ("name", "more"), [("SIGTERM", ()), ("SIGHUP", ()), ("SIGTERM", ("--slurm", "local"))]
)
def test_what_asks_a_batch_to_end_leaves_as_little_as_ctrl_c(
    project: Path, name: str, more: tuple[str, ...]
) -> None:
    if more:
        pytest.importorskip("submitit")
    notebook(project, "cohort", f"import time; open('begun', 'w'); time.sleep(60)\n{SHOW}")
    number = getattr(signal, name)
    # Whoever runs the tests may have them ignore it.
    usual = {"preexec_fn": lambda: signal.signal(number, signal.SIG_DFL)}
    running = subprocess.Popen(command(*more), env=marked(), stderr=subprocess.PIPE, text=True, **usual)
    wait_for(project / "begun")
    running.send_signal(number)
    told = running.communicate(timeout=HANGS)[1]
    assert running.returncode == 128 + number
    assert "Stopped. Reports that were written stand; the same command makes the rest." in told
    assert not survivors()
    assert not list((project / "tmp").iterdir())
    assert not list((project / "outputs").glob(".slurm-*"))


def wait_for(file: Path) -> None:
    ends = time.monotonic() + HANGS
    while not file.exists():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_a_terminal_that_is_closed_ends_a_batch_in_order(project: Path) -> None:
    pty = pytest.importorskip("pty")
    notebook(project, "cohort", f"import time; open('begun', 'w'); time.sleep(60)\n{SHOW}")
    pid, terminal = pty.fork()
    if not pid:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        os.execve(sys.executable, command(), marked())
    wait_for(project / "begun")
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 128 + signal.SIGHUP
    assert not survivors()
    assert not list((project / "tmp").iterdir())
    assert not (project / "outputs/fault.txt").exists()


def test_where_there_is_no_terminal_lines_are_plain_and_quiet_says_only_the_end(project: Path) -> None:
    told = subprocess.run(command(), capture_output=True, text=True, check=True)
    step = re.compile(r"study\d: ((cohort|did|findings), \d+\.\d s|report written)")
    assert all(map(step.fullmatch, told.stderr.splitlines()))
    assert len(told.stderr.splitlines()) == 4 * len(STUDIES)
    notebook(project, "did", "1 / 0")
    told = subprocess.run(command("--quiet"), capture_output=True, text=True, check=False)
    assert told.returncode == 6
    assert "\x1b" not in told.stdout + told.stderr
    expected = [
        f"{study}: {said}"
        for study in STUDIES
        for said in (
            "did: cell 3 stopped with ZeroDivisionError.",
            f"the details are in outputs/{study}/private/failed",
        )
    ]
    assert told.stderr.splitlines() == expected


def test_two_batches_at_once_do_not_corrupt_each_other(project: Path) -> None:
    both = [batch(), batch()]
    assert [b.wait(HANGS) for b in both] == [0, 0]
    begun = [json.loads(line) for line in logged(project / "outputs")]
    # Whoever came second to a study found it made.
    assert sorted(e["study"] for e in begun if e["at"] == "notebook" and e["notebook"] == "did") == STUDIES
    assert len({name.split("/")[0] for name in reports(project / "outputs")}) == len(STUDIES)
    assert not left_over(project / "outputs")
    assert {o.unchanged for o in run([f"params/{s}.yaml" for s in STUDIES])} == {True}


def test_one_that_dies_does_not_stop_the_others(project: Path) -> None:
    notebook(project, "did", f"import os; title == 'Deadly' and os.kill(os.getpid(), 9)\n{SHOW}")
    (project / "params/study2.yaml").write_text(STUDY.replace("A small study", "Deadly"))
    outcomes = run([f"params/{s}.yaml" for s in STUDIES])
    assert [bool(o.problem) for o in outcomes] == [s == "study2" for s in STUDIES]
    assert "did: the notebook's process died" in str(outcomes[2].problem)
    assert "DeadKernelError" in (project / "outputs/study2/private/failed/traceback.txt").read_text()


def test_a_notebook_that_takes_too_much_is_stopped_and_the_others_go_on(project: Path) -> None:
    # What is taken for less than a moment need not be seen, so both stay until they are stopped.
    greedy = "hold = title == 'Greedy' and bytearray(b'1') * 600_000_000"
    notebook(project, "did", f"import time; {greedy}; time.sleep(title in ('Greedy', 'Slow') and 60)\n{SHOW}")
    for study, title in (("study1", "Greedy"), ("study3", "Slow")):
        (project / f"params/{study}.yaml").write_text(STUDY.replace("A small study", title))
    outcomes = run([f"params/{s}.yaml" for s in STUDIES], limits=Limits(memory_gb=0.5, minutes=0.1))
    told = {o.study.name: str(o.problem or "") for o in outcomes}
    assert "more than 0.5 GB of memory" in told["study1"]
    assert "more than 0.1 minutes" in told["study3"]
    assert [told[s] for s in ("study0", "study2", "study4")] == ["", "", ""]
    assert (project / "outputs/study1/private/failed/traceback.txt").exists()
    assert next(o.peak_mb for o in outcomes if o.study.name == "study1") > 500


def left_over(folder: Path) -> list[str]:
    """Hidden folders of runs that were not finished."""
    return [p.name for p in folder.glob(".*") if p.is_dir() and p.name != ".cache"]


def logged(folder: Path) -> list[str]:
    """The lines of the log, if a batch came so far."""
    file = folder / "log.jsonl"
    return file.read_text().splitlines() if file.exists() else []
