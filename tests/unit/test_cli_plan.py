"""`impact plan`: what it says, what it writes, and which option an error names."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from impact.cli import app
from impact.cli.planning import make_plan
from impact.errors import DesignError, ParameterError
from impact.interpret.planning import Plan

ROOT = Path(__file__).parents[2]
USUAL = {"rate": 0.35, "dispersion": 1.4, "people": 200}
Said = Callable[..., list[str]]


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    """Make a plan in a folder of its own and return what it prints, line by line."""
    monkeypatch.delenv("IMPACT_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)

    def call(file: str | None = None, **options: float) -> list[str]:
        more = {k: options.pop(k) for k in ("draws", "starts", "seed") if k in options}
        make_plan(file, options, **more)
        return capsys.readouterr().out.splitlines()

    return call


def test_plain_sentences_and_a_page(said: Said, tmp_path: Path) -> None:
    lines = said(**USUAL)
    assert re.fullmatch(
        r"With 200 people an arm, followed for 12 months, a study like this finds a fall of 49% or more four "
        r"times in five: 180 instead of 350 contacts for 1,000 people a year\.",
        lines[0],
    )
    assert lines[1].startswith(
        "It would miss a fall of 20% in four studies in five. A rise is found as often"
    )
    assert "about 6,300 people for a fall of 10%, 1,500 people for a fall of 20% and 610 people" in lines[2]
    assert lines[-1] == str(Path("outputs/plan.html"))
    page = (tmp_path / lines[-1]).read_text()
    assert "What could this study find?" in page
    assert "200 people an arm: a fall of 10% is found by 7%" in page
    # No one was counted for it, so no rule for small counts is told.
    assert "Counts of" not in page


def test_few_buildings_are_not_flattered(said: Said) -> None:
    text = "\n".join(said(**USUAL | {"rate": 4.0}, before=12, stability=0.8, buildings=10, icc=0.05))
    assert "With fewer than 20 buildings even a clear result will be called weak evidence." in text
    assert "inference: CR2" in text


def test_invented_studies_check_it(said: Said) -> None:
    checked = said(**USUAL, draws=20, seed=1)[-2]
    assert checked.startswith("Check: of 20 such studies invented and analysed, ")
    assert checked == said(**USUAL, draws=20, seed=1)[-2]
    over = said(**USUAL, before=6, stability=0.9, draws=4, starts=3)[-2]
    assert over.startswith(
        "Check: of 4 such studies invented, support starting over 3 months, and analysed, "
    )


def test_buildings_need_time_before(said: Said) -> None:
    lines = said(**USUAL, buildings=40, icc=0.01)
    assert any(line.startswith("No method of this package compares buildings by") for line in lines)


def test_a_study_that_finds_nothing_is_refused_with_what_it_takes(said: Said) -> None:
    with pytest.raises(DesignError) as caught:
        said(rate=0.5, dispersion=1.0, people=12, months=18)
    refusal, needed = str(caught.value).splitlines()
    assert "no fall, however large, would be found four times in five" in refusal
    assert needed.startswith("To find them four times in five takes, in each arm, about ")


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"rate": 1.0}, "--dispersion, --people: missing."),
        (USUAL | {"attrition": 2.0}, "--attrition: 2 is not possible"),
        (USUAL | {"size_cv": -1.0}, "--size-cv: -1 is not possible"),
        (USUAL | {"building_stability": 3.0}, "--building-stability: 3 is not possible"),
        (USUAL | {"before": 12}, "--stability: missing"),
        (USUAL | {"icc": 0.1}, "--buildings, --icc: give both"),
        (
            USUAL | {"buildings": 10, "icc": 0.01, "draws": 5},
            "before: starts in several months, and buildings",
        ),
    ],
)
def test_errors_name_the_option(said: Said, options: dict[str, float], name: str) -> None:
    with pytest.raises(ParameterError) as caught:
        said(**options)
    assert name in str(caught.value)


def test_every_field_of_a_plan_but_its_effects_is_an_option() -> None:
    options = {p.name for p in typer.main.get_command(app).commands["plan"].params}  # type: ignore[attr-defined]
    assert options - {"file", "check", "starts", "seed", "to", "help"} == {*Plan.__dataclass_fields__} - {
        "effects"
    }


def test_a_parameter_file_says_what_to_assume(said: Said, tmp_path: Path, demo: Path) -> None:
    (tmp_path / "params").mkdir()
    (tmp_path / "params/demo.yaml").write_text((ROOT / "params/demo.yaml").read_text())
    (tmp_path / "data").symlink_to(demo)
    lines = said("params/demo.yaml")
    assert lines[0].startswith("With 280 people with support and 780 to compare, followed for 12 months")
    assert "emergency admissions for 1,000 people a year" in lines[0]
    assert lines[2].endswith("and 2.8 times as many to compare.")
    page = (tmp_path / lines[-1]).read_text()
    assert "s support began</td>" in page
    assert "Counts of 1 to 7 people or events are not shown" in page
    # What is given goes before what was measured.
    assert said("params/demo.yaml", people=500)[0].startswith("With 500 people with support")


def test_the_command_line_runs_it(tmp_path: Path) -> None:
    command = "from impact.cli import main; main()"
    words = ["plan", "--rate", "0.5", "--dispersion", "1", "--people", "6", "--months", "18"]
    done = subprocess.run(
        [sys.executable, "-c", command, *words], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 4
    assert "With 6 people in an arm nothing can be told" in done.stderr
    assert not list(tmp_path.iterdir())
