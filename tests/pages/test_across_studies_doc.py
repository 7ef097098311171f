"""What docs/across-studies.md says is so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import typer

from impact.cli import app
from impact.pages import across as page
from impact.run import across, summaries

from .made_up import ESTIMAND, rows

TEXT = (Path(__file__).parents[2] / "docs/across-studies.md").read_text(encoding="utf-8")


def test_its_code_runs_on_reports_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    for name in ("north", "south", "west"):
        (tmp_path / name / "share").mkdir(parents=True)
        effects = {
            "name": "effects",
            "kind": "effects",
            "method": {"estimator": "etwfe", "estimand": ESTIMAND},
        }
        results = {"study": name, "results": {"findings": [{**effects, "table": rows(rng)}]}}
        (tmp_path / name / "share/results.json").write_text(json.dumps(results))
    monkeypatch.chdir(tmp_path)
    found: dict[str, object] = {}
    for code in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(code, found)  # what a reader would paste into a cell
    assert list(found["released"]) == ["average", "spread"]  # type: ignore[call-overload]


def test_what_it_names_is_there() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert set(re.findall(r"`impact (\w+)`", TEXT)) == {"run", "list"} <= set(commands)
    assert f"private/{summaries.SUMMARY}" in TEXT
    assert f"(up to {across._LEAVE_OUT} studies)" in TEXT
    assert page.FEW == 5
    assert "from five on it is worth reading" in TEXT
    for module, name in re.findall(r"`(\w+)` of `(impact\.pages\.\w+)`", TEXT):
        assert hasattr(__import__(name, fromlist=[module]), module)
