import datetime
import json
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import yaml

from impact.disclosure import Policy, policies, release
from impact.disclosure.policies import policy
from impact.errors import DisclosureError, ParameterError
from impact.results import Effects, Summary
from impact.study import Study
from impact.study.own_policy import OwnPolicy, PolicyName

BOUNDARIES = [0, 1, 6, 7, 8, 9, 10, 11, 12, 13, 18, 19]
GONE = "[REDACTED]"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("hes", [0, "*", "*", "*", 10, 10, 10, 10, 10, 15, 20, 20]),
        ("opensafely", [GONE] * 4 + [10, 10, 10, 10, 10, 15, 20, 20]),
        ("opensafely_midpoint6", [0, GONE, GONE, 9, 9, 9, 9, 9, 9, 15, 15, 21]),
        ("threshold_10", ["*"] * 6 + [10, 11, 12, 13, 18, 19]),
    ],
)
@pytest.mark.parametrize("what", ["people", "events"])
def test_boundaries(name, shown, what):
    # One table each, so that no count is withheld for the sake of another.
    for count, expected in zip(BOUNDARIES, shown, strict=True):
        table = pd.DataFrame({"level": ["a"], "count": [count]})
        released = release({"t": Summary(table, {}, **{what: ["count"]})}, name)["t"]
        assert released.marked()["count"].tolist() == [expected]
        assert released.table["withheld"].tolist() == [isinstance(expected, str)]


def test_every_policy_names_its_source_and_date():
    for one in policies().values():
        assert one.title
        assert one.source
        assert isinstance(one.date, datetime.date)
    assert policies()["threshold_10"].residual_df == 10


@pytest.mark.parametrize(("name", "few", "enough"), [("hes", 7, 8), ("opensafely_midpoint6", 6, 7)])
def test_a_mean_of_few_people_is_not_shown(name, few, enough):
    table = pd.DataFrame({"level": ["a", "b", "c"], "persons": [few, enough, 0], "mean": [3.0, 4.0, np.nan]})
    summary = Summary(table, {}, people=["persons"], derived={"mean": ["persons"]})
    out = release({"t": summary}, name)["t"].table["mean"]
    assert out.isna().tolist() == [True, False, True]


def test_a_percentage_is_that_of_the_rounded_counts():
    table = pd.DataFrame({"level": ["a"], "persons": [12], "everyone": [43], "percent": [100 * 12 / 43]})
    summary = Summary(table, {}, people=["persons", "everyone"], percent={"percent": ("persons", "everyone")})
    for name, expected in (
        ("hes", 1000 / 45),
        ("opensafely_midpoint6", 900 / 45),
        ("threshold_10", 1200 / 43),
    ):
        assert release({"t": summary}, name)["t"].table["percent"].tolist() == pytest.approx([expected])


def test_a_total_is_the_sum_of_the_rounded_in_both_forms_of_opensafely():
    table = pd.DataFrame({"level": ["a", "b", "all"], "persons": [13, 13, 26]})
    summary = Summary(table, {}, people=["persons"], adds_up=["level"])
    for name, expected in (
        ("hes", [15, 15, 25]),
        ("opensafely", [15, 15, 30]),
        ("opensafely_midpoint6", [15, 15, 30]),
    ):
        assert release({"t": summary}, name)["t"].table["persons"].tolist() == expected


@pytest.mark.parametrize(("people", "shown"), [(11, False), (12, True), (13, True)])
def test_a_model_needs_ten_people_more_than_parameters(people, shown):
    labels = pd.DataFrame({"outcome": ["ae"], "term": ["a"], "scale": ["difference"], "unit": [""]})
    counts = pd.DataFrame({"persons": [people], "treated": [people], "clusters": [5], "events": [50]})
    effects = Effects(labels, np.ones(1), np.eye(1), np.arange(1), 20, {"parameters": 2}, counts)
    assert release({"e": effects}, "threshold_10")["e"].table["estimate"].notna().tolist() == [shown]
    # HES has no such rule.
    assert release({"e": effects}, "hes")["e"].table["estimate"].notna().all()


@pytest.mark.parametrize("name", list(policies()))
def test_no_policy_shows_a_minimum_or_maximum(name):
    with pytest.raises(DisclosureError, match="'age_max'"):
        release({"t": Summary(pd.DataFrame({"level": ["a"], "age_max": [93.5]}), {})}, name)


@pytest.mark.parametrize(
    ("total", "first", "second", "dominated"),
    [
        (100, 45, 45, False),  # 90% between two, and 10 left of 45
        (100, 46, 45, True),
        (110, 91, 9, True),  # 10 left of 91 is 11%, but 100 of 110 is 91%
        (100, 84, 6, False),
        (1000, 910, 0, True),  # 90 left of 910 is under 10%
        (0, 0, 0, False),
        (1, 1, 0, True),
        (2, 1, 1, True),
        (3, 1, 1, False),
    ],
)
def test_one_or_two_people_may_not_make_up_a_number(total, first, second, dominated):
    ten = policy("threshold_10")
    assert ten.dominated(total, first, second) == dominated
    assert not policy("hes").dominated(total, first, second)
    assert [name for name, one in policies().items() if one.asks_who_dominates] == ["threshold_10"]


def test_events_of_one_or_two_people_are_withheld_with_what_was_made_from_them():
    table = pd.DataFrame(
        {"outcome": ["ae", "gp"], "persons": [40, 40], "events": [50, 60], "rate": [1.0, 2.0]}
    )
    table["most"], table["next"] = [20, 50], [10, 5]
    summary = Summary(
        table,
        {},
        people=["persons"],
        events=["events"],
        derived={"rate": ["persons", "events"]},
        largest={"events": ("most", "next")},
    )
    out = release({"t": summary}, "threshold_10")["t"]
    assert not {"most", "next"} & set(out.table)
    assert out.table["events"].isna().tolist() == out.table["rate"].isna().tolist() == [False, True]
    assert out.table["persons"].tolist() == [40, 40]
    assert any("those mostly of one or two people" in note for note in out.notes)
    assert release({"t": summary}, "hes")["t"].table["events"].tolist() == [50, 60]


def test_readers_are_told_the_rule():
    assert policy("hes").sentence.startswith("Counts of 1 to 7 people or events are not shown, nor")
    assert policy("threshold_10").sentence.startswith("Counts of 0 to 9 people")
    assert "steps of 6 (midpoint 6): 7 to 12 is 9 (OpenSAFELY" in policy("opensafely_midpoint6").sentence
    table = pd.DataFrame({"level": ["a"], "persons": [12]})
    ours = {"policy": "hes", "smallest_shown": 10, "round_to": 1}
    released = release({"t": Summary(table, {}, people=["persons"])}, ours)["t"]
    said = json.loads(released.to_json())
    assert (said["policy"], said["rule"]) == ("hes, changed", released.rule.sentence)
    assert "changed for this study: smallest_shown 10, round_to 1" in said["rule"]


def test_a_policy_that_differs_from_one_of_ours():
    ours = policy({"policy": "hes", "smallest_shown": 10, "title": "Northtown", "date": "2026-11-01"})
    assert (ours.title, ours.date, ours.round_to) == ("Northtown", datetime.date(2026, 11, 1), 5)
    assert ours.small([0, 9, 10]).tolist() == [False, True, False]
    assert policy({"policy": "hes"}) is policy("hes")
    with pytest.raises(ParameterError, match=r"disclosure\.smallest: .*Did you mean 'smallest_shown'"):
        policy({"smallest": 4})
    with pytest.raises(ParameterError, match=r"smallest_shown=2: a whole number of 3 or more: of two people"):
        policy({"smallest_shown": 2})


STUDY = """
data: {people: people.csv, contacts: contacts.csv}
design: {treated: [a], control: [b]}
outcomes: [ae]
matching: {"on": [age]}
disclosure:
  policy: hes
"""


def test_the_parameter_file_takes_a_policy_of_ones_own(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text(STUDY + "  smallest_shown: 10\n  title: Northtown\n")
    study = Study.read(file)
    assert policy(study.disclosure).title == "Northtown"
    # What reaches a notebook is the same policy.
    assert Study(**json.loads(json.dumps(study.parameters))).disclosure == study.disclosure
    file.write_text(STUDY)
    assert Study.read(file).disclosure == "hes"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("smallest_shown: 1", "disclosure.smallest_shown: expected a number 3 or more, found 1."),
        (
            "smalest_shown: 9",
            "disclosure.smalest_shown: there is no such key. Did you mean 'smallest_shown'?",
        ),
        ("round_to: 0", "disclosure.round_to: expected a number 1 or more, found 0."),
        ("mark: 0", "disclosure.mark: 0 would be read as a figure; choose a mark such as '*'."),
        ("date: soon", "disclosure.date: expected a day such as 2026-11-23, found 'soon'."),
        ("two_largest: 1.5", "disclosure.two_largest: expected a number up to 1, found 1.5."),
    ],
)
def test_a_mistake_in_it_has_its_line(tmp_path, line, said):
    file = tmp_path / "x.yaml"
    file.write_text(f"{STUDY}  {line}\n")
    with pytest.raises(ParameterError) as caught:
        Study.read(file)
    assert str(caught.value) == f"{file}:8: {said}"


def test_the_names_in_a_parameter_file_are_those_of_the_policies():
    assert list(get_args(PolicyName)) == list(policies())
    assert set(OwnPolicy.model_fields) - {"policy"} == set(Policy.__dataclass_fields__) - {"name", "sums"}


def test_a_policy_of_ones_own():
    mine = Policy("mine", "Ours", "our board", datetime.date(2026, 1, 1), smallest_shown=3, zero_shown=False)
    table = pd.DataFrame({"level": list("abc"), "persons": [0, 2, 3]})
    assert release({"t": Summary(table, {}, people=["persons"])}, mine)["t"].policy == "mine"
    assert mine.small([0, 2, 3, np.nan]).tolist() == [True, True, False, False]


def test_an_unknown_policy_is_refused_with_the_nearest():
    with pytest.raises(ParameterError, match=r"disclosure='hess'.*Did you mean 'hes'"):
        policy("hess")
    with pytest.raises(ParameterError, match="smallest_shown=0"):
        Policy("x", "", "", datetime.date(2026, 1, 1), smallest_shown=0, zero_shown=True)


def test_the_example_of_a_policy_of_ones_own_holds_in_a_parameter_file():
    text = (Path(__file__).parents[3] / "docs/disclosure.md").read_text(encoding="utf-8")
    (block,) = (part for part in text.split("```") if part.strip().startswith("disclosure:"))
    given = yaml.safe_load(block)["disclosure"]
    ours = policy(OwnPolicy(**given).model_dump(exclude_none=True))
    assert (ours.smallest_shown, ours.round_to, ours.title) == (10, 5, given["title"])
    assert ours.small([0, 9, 10]).tolist() == [False, True, False]
