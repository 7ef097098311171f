"""The study's own words for its pages: whose it is, what support was, and what the starter offers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from impact.cli.starter import starter
from impact.errors import ParameterError
from impact.study import Study

ROOT = Path(__file__).parents[2]


def study(**more: Any) -> Study:
    design = {"treated": ["11"], "control": ["2", "3"]} | more.pop("design", {})
    given = {"title": "Northtown", "data": {"people": "p.csv", "contacts": "c.csv"}, "outcomes": ["ae"]}
    return Study(**given, design=design, **more)


def test_the_masthead_says_whose_study_it_is_and_how_to_reach_nobody() -> None:
    contact = "Northtown Homes, health team, health@northtown.example, 0161 496 0000"
    assert study(contact=contact).masthead == {
        "title": "Northtown",
        "subtitle": "Northtown Homes, health team",
    }
    named = study(contact=contact, wording={"organisation": "Northtown ICB", "dates": "2024"})
    assert named.masthead["subtitle"] == "Northtown ICB · data of 2024"
    assert study().masthead["subtitle"] == ""


def test_the_dates_of_the_data_are_those_of_the_design_where_nothing_else_is_said() -> None:
    both = {"start": "2023-01", "end": "2024-12"}
    assert study(design=both).masthead["subtitle"] == "data of January 2023 to December 2024"
    assert study(design={"start": "2023-01"}).masthead["subtitle"] == ""
    own = study(design=both, wording={"dates": "two winters"})
    assert own.masthead["subtitle"] == "data of two winters"


def test_arms_that_the_file_numbers_are_named_by_the_study() -> None:
    assert study().brief["People"] == "Support (11) or none (2 and 3)."
    words = {"support": "free care", "without": "paying 95% of the cost"}
    assert study(wording=words).brief["People"] == "Support (free care) or none (paying 95% of the cost)."
    assert study(wording=words).told == {"assignment": "observed", "support": "free care"}
    assert study().told["support"] == ""


def test_use_in_the_year_before_is_said_once() -> None:
    on = ["age", "prior_ae", "sex", "prior_gp"]
    said = study(matching={"on": on}).brief["Compared"]
    assert "on age, sex, and ae and gp in the year before." in said
    assert "on age and prior_ae." in study(matching={"on": ["age", "prior_ae"]}).brief["Compared"]


def test_a_misspelt_word_is_named() -> None:
    with pytest.raises(
        ParameterError, match=r"wording.qestion: .* Did you mean 'question'"
    ):
        study(wording={"qestion": "Did it help?"})


def test_what_the_starter_offers_can_be_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPACT_ROOT", str(ROOT))
    (tmp_path / "people.csv").write_text("person_id,arm,start_date\nP1,support,2024-01-05\nP2,usual,\n")
    (tmp_path / "contacts.csv").write_text("person_id,service,start\nP1,ae,2023-01-02\n")
    text = starter([tmp_path / "people.csv", tmp_path / "contacts.csv"], title="x")
    assert "opensafely_midpoint6" in text
    file = tmp_path / "x.yaml"
    offered = re.compile(r"^# (?=wording:|contact:|  \w+: )", re.MULTILINE)
    file.write_text(offered.sub("", text.replace("control: []", "control: [usual]")))
    read = Study.read(file)
    assert read.contact is not None
    assert all(getattr(read.wording, name) for name in ("question", "support", "without", "dates"))
    assert read.masthead["subtitle"].startswith("Northtown Homes, health team · data of January 2023")
