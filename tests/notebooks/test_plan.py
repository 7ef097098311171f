"""Plans in real runs: what reports say of them, the logs, and a plan written too late."""

from __future__ import annotations

import getpass
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]


def impact(folder: Path, *words: str) -> str:
    command = [sys.executable, "-c", "from impact.cli import main; main()", *words]
    env = {k: v for k, v in os.environ.items() if k != "IMPACT_ROOT"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def described(project: Path, **design: Any) -> None:
    """A study that describes who is in it and estimates nothing, which runs one page."""
    sections = YAML(typ="safe").load((ROOT / "params/demo.yaml").read_text())
    kept = {name: sections[name] for name in ("title", "data", "design", "outcomes")}
    kept["design"] |= design
    (project / "params").mkdir(exist_ok=True)
    # JSON is YAML too.
    (project / "params/who.yaml").write_text(json.dumps(kept))


def manifest(project: Path) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((project / "outputs/who/share/manifest.json").read_text())["plan"]
    return made


def page(project: Path) -> str:
    text = (project / "outputs/who/share/cohort.html").read_text()
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


@pytest.mark.xdist_group("kernels")
def test_a_plan_is_written_kept_to_broken_and_amended(tmp_path: Path, demo: Path) -> None:
    (tmp_path / "data").symlink_to(demo)
    described(tmp_path)
    impact(tmp_path, "protocol", "params/who.yaml")
    impact(tmp_path, "run", "params/who.yaml")
    assert manifest(tmp_path)["status"] == "kept"
    assert manifest(tmp_path)["sha256"] == manifest(tmp_path)["run_sha256"]
    assert "before any result, and this is what was done." in page(tmp_path)
    grouped = ":".join(re.findall(".{8}", manifest(tmp_path)["sha256"]))
    assert grouped in page(tmp_path)
    assert "What was done otherwise than planned" not in page(tmp_path)

    described(tmp_path, months_after=6)
    assert "results of this study exist already" in impact(
        tmp_path, "protocol", "params/who.yaml", "--because", "Records end early"
    )
    impact(tmp_path, "run", "params/who.yaml")
    assert manifest(tmp_path)["status"] == "differs"
    said = page(tmp_path)
    assert "One thing differs from it: months with support (12 planned, 6 done)." in said
    assert "What was done otherwise than planned" in said
    assert "Amended after results existed (version 2): Records end early." in said
    caveats = (tmp_path / "outputs/who/share/logs/assumptions-caveats.md").read_text()
    assert "months with support was planned as 12 and done as 6" in caveats


def test_a_report_without_a_plan_says_so_on_both_pages(demo_project: Path) -> None:
    for name in ("cohort", "findings"):
        text = (demo_project / f"outputs/demo/share/{name}.html").read_text()
        assert "No plan was written before the results" in text


def test_the_page_on_who_is_in_it_has_checklists_and_the_diagram(demo_project: Path) -> None:
    text = (demo_project / "outputs/demo/share/cohort.html").read_text()
    for said in ("TARGET (", "RECORD (", "TIDieR (what support was, 2014): 1 of 12 reported."):
        assert said in text
    assert re.search(r'<img alt="Flow diagram\. In the file 1,200 people\. Left out: ', text)


def test_the_logs_hold_what_was_released_and_no_path_or_user(demo_project: Path) -> None:
    share = demo_project / "outputs/demo/share"
    logs = {path.stem: path.read_text() for path in (share / "logs").iterdir()}
    assert set(logs) == {"data-log", "assumptions-caveats", "qa-log"}
    made = json.loads((share / "manifest.json").read_text())
    for one in made["inputs"]:
        assert f"| {one['table']} | `{one['sha256']}` |" in logs["data-log"]
    results = json.loads((share / "results.json").read_text())["results"]["cohort"]
    (quality,) = [item for item in results if item["name"] == "quality"]
    found = [row for row in quality["table"] if row["count"] != 0]
    assert logs["data-log"].count("\n| ") == len(made["inputs"]) + len(found) + 4
    assert made["code"]["sha256"] in logs["qa-log"]
    assert "No plan was written before the results." in logs["qa-log"]
    assert "Without support, use would have changed" in logs["assumptions-caveats"]
    index = (share / "index.html").read_text()
    for name, text in logs.items():
        assert f"logs/{name}.md" in index
        assert str(demo_project) not in text
        assert not re.search(rf"\b{re.escape(getpass.getuser())}\b", text)
