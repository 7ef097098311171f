"""The demonstration study from end to end: the three ways to run it give the same numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import papermill
import pytest

from impact.pages.report import harvest
from impact.run.plan import NOTEBOOKS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(demo_project: Path) -> Path:
    """The demonstration's project, run by the command."""
    return demo_project


def impact(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from impact.cli import main; main()", *words]
    env = {k: v for k, v in os.environ.items() if k != "IMPACT_ROOT"}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env, check=False)


def results(project: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project / "outputs/demo/share/results.json").read_text())["results"]
    return found


def test_the_command_writes_every_page_and_says_where(project: Path) -> None:
    share = project / "outputs/demo/share"
    assert {p.name for p in share.glob("*.html")} == {"index.html", *(f"{n}.html" for n in NOTEBOOKS)}
    for page in share.glob("*.html"):
        text = page.read_text()
        assert "<script" not in text
        assert str(project) not in text
        assert "This step stopped" not in text
    assert all(results(project)[name] for name in NOTEBOOKS)


def test_plain_papermill_with_the_file_gives_the_same_numbers(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of a run, since each page is held to what the ones before it show."""
    monkeypatch.delenv("IMPACT_ROOT", raising=False)
    for name in NOTEBOOKS:
        command = [sys.executable, "-m", "papermill", str(ROOT / f"notebooks/{name}.ipynb")]
        command += [
            str(tmp_path / "out.ipynb"),
            "-f",
            "params/demo.yaml",
            "--no-progress-bar",
            "-k",
            "python3",
        ]
        done = subprocess.run(command, capture_output=True, text=True, cwd=project, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        assert harvest(tmp_path / "out.ipynb") == results(project)[name], name


def test_a_notebook_opened_and_run_as_it_is_gives_the_same_numbers(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IMPACT_ROOT", raising=False)
    notebook = ROOT / "notebooks/findings.ipynb"
    executed = papermill.execute_notebook(
        notebook, None, cwd=project, kernel_name="python3", progress_bar=False
    )
    by_hand, in_the_run = harvest(executed), results(project)["findings"]
    assert [item["name"] for item in by_hand] == [item["name"] for item in in_the_run]
    for one, other in zip(by_hand, in_the_run, strict=True):
        for row, shown in zip(one["table"], other["table"], strict=True):
            # What the other pages of a run show may withhold a count more.
            assert {k: row[k] for k, v in shown.items() if v is not None} == {
                k: v for k, v in shown.items() if v is not None
            } | ({"withheld": row["withheld"]} if shown["withheld"] else {})


def test_bad_input_after_a_good_run_leaves_the_report_as_it_was(project: Path) -> None:
    share = project / "outputs/demo/share"
    before = {p: p.read_bytes() for p in share.rglob("*") if p.is_file()}
    people = (project / "data/people.csv").read_text().replace(",signposting,", ",other,")
    (project / "one.csv").write_text(people.replace(",hand_holding,", ",other,"))
    for change, code in (("data.people=one.csv", 3), ("disclosure=hse", 2)):
        done = impact(project, "run", "params/demo.yaml", "--set", change)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stdout + done.stderr
    assert {p: p.read_bytes() for p in share.rglob("*") if p.is_file()} == before
