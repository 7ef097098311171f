"""Reporting checklists: their items, where they point, and what a person must say."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from impact.disclosure import release
from impact.errors import DisclosureError
from impact.interpret import checklists
from impact.interpret.checklists import NOT_REPORTED, _items
from impact.pages.checklists import checklists as shown
from impact.study import Study
from impact.study.reporting import Reporting

ROOT = Path(__file__).parents[3]
PAGES = {"Who is in the study": "cohort", "Findings": "findings", "What people said": "survey"}
STUDY = Study.read(ROOT / "params/demo.yaml")


def test_they_have_the_items_of_the_published_statements() -> None:
    items = _items()
    numbers = {name: part["item"].tolist() for name, part in items.groupby("list")}
    assert numbers["TARGET"] == [str(i) for i in range(1, 22)]
    assert numbers["TIDieR"] == [str(i) for i in range(1, 13)]
    record = ["1.1", "1.2", "1.3", "6.1", "6.2", "6.3", "7.1", "12.1", "12.2", "12.3", "13.1", "19.1", "22.1"]
    assert numbers["RECORD"] == record
    assert len(record) == 13


def test_what_a_person_must_say_is_a_key_of_the_section_and_each_key_is_asked_for() -> None:
    items = _items()
    assert set(items.loc[items["how"] == "person", "answer"]) == set(Reporting.model_fields)
    assert set(items.loc[items["how"] == "plan", "answer"]) <= set(STUDY.protocol)


def test_where_it_points_is_a_heading_of_that_page() -> None:
    headings = {}
    for title, name in PAGES.items():
        notebook = nbformat.read(ROOT / f"notebooks/{name}.ipynb", as_version=4)
        text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        headings[title] = {h.lower() for h in re.findall(r"^## (.+)", text, re.MULTILINE)}
    items = _items()
    places = [*items.loc[items["how"].isin(["page", "estimate"]), "answer"], *items["alone"].dropna()]
    for place in places:
        page, _, where = place.partition(": ")
        known = headings[page]
        assert any(heading in where.lower() for heading in known) or where == "the question at its head", (
            place
        )


def test_a_study_alone_reports_what_its_pages_say() -> None:
    made = checklists(**STUDY.reported)
    assert [result.method["reported"] for result in made.values()] == ["13 of 21", "4 of 13", "1 of 12"]


def test_what_a_person_says_is_reported_and_what_was_not_estimated_is_not() -> None:
    answers = dict.fromkeys(Reporting.model_fields, "Said.")
    made = checklists(answers=answers, protocol=STUDY.protocol, is_estimated=True)
    assert [result.method["reported"] for result in made.values()] == ["21 of 21", "13 of 13", "12 of 12"]
    none = checklists(answers={}, protocol=STUDY.protocol, is_estimated=False)
    assert none["TARGET"].method["reported"] == "6 of 21"
    assert none["TARGET"].table.loc[12, "answer"] == NOT_REPORTED


def test_a_study_of_answers_alone_points_at_no_findings() -> None:
    made = checklists(answers={}, protocol=STUDY.protocol, is_estimated=True, answers_alone=True)
    said = made["TARGET"].table["answer"]
    assert not said.str.startswith("Findings").any()
    assert said.str.startswith("What people said").sum() == 5
    assert said[2] == NOT_REPORTED


def test_the_page_says_how_much_and_what_is_missing() -> None:
    answers = {"why": "Advice lowers need.", "provider": "Two officers."}
    made = release(checklists(answers=answers, protocol=STUDY.protocol, is_estimated=True), "hes")
    said = shown(made)
    assert "TIDieR (what support was, 2014): 3 of 12 reported. Not reported: 3, 4, 6, 7" in said.text
    assert "Advice lowers need." in said.html
    assert said.html.count('<details class="more">') == 3


def test_an_answer_that_names_somebody_is_not_released() -> None:
    made = checklists(answers={"why": "Ask j.smith@north.example"}, protocol={}, is_estimated=False)
    with pytest.raises(DisclosureError, match="e-mail address"):
        release(made, "hes")
