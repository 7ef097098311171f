"""What docs/pages.md says is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from impact.cli import app
from impact.pages.report import ImpactHTMLExporter

from .proof import LEVELS, MARK

TEXT = (Path(__file__).parents[2] / "docs/pages.md").read_text(encoding="utf-8")


def test_every_option_it_names_is_there() -> None:
    command = typer.main.get_command(app).commands["run"]  # type: ignore[attr-defined]
    known = {option for parameter in command.params for option in parameter.opts}
    assert set(re.findall(r"impact run \S+ (--[\w-]+)", TEXT)) == {"--pdf", "--with-code"} <= known
    assert "--ImpactHTMLExporter.with_code=True" in TEXT
    assert ImpactHTMLExporter.with_code.metadata["config"]


def rows() -> list[list[str]]:
    measured = TEXT.partition(MARK)[2]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in measured.splitlines()]
    return [row for row in found if len(row) == 9 and ":" in row[0]]


@pytest.mark.parametrize("page", ["index", "findings", "cohort", "did", "matching"])
def test_the_pages_it_measured_break_no_rule(page: str) -> None:
    ours = [row for row in rows() if row[0] == f"demo: {page}" and row[1] == "impact"]
    assert len(ours) == 1
    _, _, size, requests, broken, *others = ours[0]
    assert int(size.removesuffix(" kB")) < 400
    assert broken == " / ".join("0" for _ in LEVELS)
    assert [requests, *others] == ["0"] * 5
