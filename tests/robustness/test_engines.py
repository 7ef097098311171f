"""A study run warm and run plain: the same notebooks cell by cell, and the same report byte by byte."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from impact.data import synthetic
from impact.run.plan import NOTEBOOKS

from ..unit.test_run import files

STUDY = """\
title: A small study
data: {people: data/people.csv, contacts: data/contacts.csv, coverage: data/coverage.csv}
design: {treated: [hand_holding], control: [control], period: quarter, months_before: 6, months_after: 6}
outcomes: [gp]
"""
METHODS = """\
did: {estimator: two_by_two}
matching: {method: coarsened_exact, "on": [age, sex]}
"""
# When it was run, and where to; papermill gives the cell of parameters that it adds a name by chance.
OF_A_RUN = {"start_time", "end_time", "duration", "output_path", "execution"}


def parts(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a notebook with its place in it, but what each run has of its own."""
    if isinstance(value, dict):
        added = "injected-parameters" in value.get("metadata", {}).get("tags", [])
        own = OF_A_RUN | ({"id"} if added else set())
        yield place, sorted(value)
        for key in sorted(value.keys() - own):
            yield from parts(value[key], f"{place}.{key}")
    elif isinstance(value, list):
        yield place, len(value)
        for number, item in enumerate(value):
            yield from parts(item, f"{place}[{number}]")
    else:
        yield place, value


@pytest.mark.xdist_group("kernels")
@pytest.mark.parametrize(
    ("methods", "notebooks"),
    [
        ("", NOTEBOOKS[:1]),
        pytest.param(
            METHODS,
            NOTEBOOKS,
            marks=pytest.mark.skipif("IMPACT_SLOW" not in os.environ, reason="a minute; IMPACT_SLOW=1"),
        ),
    ],
)
def test_a_study_is_the_same_warm_and_plain(tmp_path: Path, methods: str, notebooks: tuple[str, ...]) -> None:
    synthetic.make(tmp_path / "data", people=400)
    (tmp_path / "params").mkdir()
    (tmp_path / "params/small.yaml").write_text(STUDY + methods)
    command = [sys.executable, "-c", "from impact.cli import main; main()", "run", "params/small.yaml"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("IMPACT_")}
    both = [
        subprocess.Popen(
            [*command, "--engine", engine, "--output", engine], cwd=tmp_path, env=env,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for engine in ("warm", "papermill")
    ]  # fmt: skip
    for process in both:
        told = process.communicate(timeout=600)
        assert process.returncode == 0, told
    warm, plain = (tmp_path / engine / "small" for engine in ("warm", "papermill"))
    assert {path.stem for path in warm.glob("private/*.ipynb")} == {*notebooks}
    for name in notebooks:
        one, other = (
            dict(parts(json.loads((run / f"private/{name}.ipynb").read_text()))) for run in (warm, plain)
        )
        assert sum("image/png" in str(v) or "text/html" in str(v) for v in one.values()) > 2
        assert {k: (v, other.get(k)) for k, v in one.items() if v != other.get(k)} == {}
        assert list(one) == list(other)
    assert files(warm / "share") == files(plain / "share")
