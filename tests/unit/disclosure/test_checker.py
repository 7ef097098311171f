"""The checker's sheet: what a table's status rests on, and which counts differ by too few."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from impact.disclosure import release
from impact.disclosure.cells import Cell
from impact.disclosure.checker import STATUS, changed, checked
from impact.disclosure.draft import Draft
from impact.disclosure.policies import policy
from impact.disclosure.record import load, of_other_data
from impact.errors import DataError
from impact.results import Effects, Summary


def effect(clusters: int) -> Effects:
    labels = pd.DataFrame({"outcome": ["ae"], "term": ["att"], "scale": ["difference"], "unit": [""]})
    counts = pd.DataFrame({"persons": [153], "treated": [101], "clusters": [clusters], "events": [60]})
    return Effects(labels, np.ones(1), np.eye(1), np.arange(1), 8, {}, counts)


@pytest.mark.parametrize(("clusters", "status"), [(7, "review"), (8, "pass"), (153, "pass")])
def test_few_sites_behind_a_figure_are_for_a_person_to_judge(clusters: int, status: str) -> None:
    (row,) = release({"effects": effect(clusters)}, "hes").sheet
    assert row["status"] == status
    assert [look.split(":")[0] for look in row["look"]] == (
        ["fewer than 8 sites or buildings lie behind a figure"] if status == "review" else []
    )


def test_words_and_numbers_of_a_plain_table_need_no_judgement_of_its_own() -> None:
    table = pd.DataFrame({"tenure": ["rent", "own", "other"], "persons": [101, 52, 3]})
    (row,) = release({"tenure": Summary(table, {}, people=["persons"])}, "hes").sheet
    assert (row["status"], row["figures"], row["withheld"], row["too_small"]) == ("pass", 6, 1, 1)
    assert STATUS == ("fail", "review", "pass")


def arm(n: int, *, shown: bool = True, **labels: str) -> Cell:
    return Cell("persons", frozenset({"arm": "control", **labels}.items()), n, 0, "persons", shown)


@pytest.mark.parametrize(("n", "found"), [(92, 0), (93, 1), (99, 1), (100, 0), (101, 1), (107, 1), (108, 0)])
def test_a_count_differs_by_too_few_below_the_smallest_shown(n: int, found: int) -> None:
    assert len(changed([arm(n)], {"1": [arm(100)]}, policy("hes"))) == found


def test_people_are_the_same_whatever_they_are_looked_at_for() -> None:
    told = changed([arm(101, outcome="ae"), arm(101, outcome="gp")], {"1": [arm(100)]}, policy("hes"))
    assert told == [{"count": "people (arm: control)", "report": "1", "now": "rounded"}]


def test_what_was_never_shown_is_no_report_to_differ_from() -> None:
    assert changed([arm(101)], {"1": [arm(100, shown=False)]}, policy("hes")) == []


def test_the_last_report_with_nearly_as_many_is_named() -> None:
    earlier: Any = {"1": [arm(100)], "2": [arm(103)], "3": [arm(300)]}
    told = changed([arm(101, shown=False)], earlier, policy("threshold_10"))
    assert [(one["report"], one["now"]) for one in told] == [("2", "withheld")]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2}', '{"format": 3, "tables": {}, "sheet": []}']
)
def test_a_file_that_is_no_record_of_this_version_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "cohort.json").write_text(text)
    with pytest.raises(DataError, match=r"cohort.json .*make it again .*move the file away"):
        load(tmp_path / "cohort.json")


def test_what_only_rounding_hides_is_for_a_person_to_look_at():
    few = ("persons", frozenset({("arm", "control")}))
    draft = Draft("summary", pd.DataFrame({"persons": [20]}), pd.DataFrame({"persons": [False]}))
    row = checked("t", draft, policy("hes"), [], rounded=[few])
    assert row["status"] == "review"
    assert row["look"] == [
        "protected by rounding alone: people (arm: control); whoever has the counts that are shown exactly, "
        "from elsewhere, could work it out"
    ]
    assert checked("t", draft, policy("hes"), [], [few], [few])["status"] == "fail"


def test_an_earlier_report_that_counts_anything_otherwise_is_of_other_data():
    def tenants(n, tenure="rent"):
        return Cell("persons", frozenset({("tenure", tenure)}), n, 0, "persons", True)

    then = [([tenants(100)], []), ([tenants(40, "own")], []), ([tenants(9, "other")], [])]
    assert not of_other_data(then, [tenants(100), tenants(40, "own")])
    assert not of_other_data(then, [tenants(12, "private")])
    assert of_other_data(then, [tenants(100), tenants(41, "own")])
