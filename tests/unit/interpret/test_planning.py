"""Plans: what they promise, what they refuse, and what they say is missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from impact.errors import ParameterError
from impact.interpret.planning import FEWEST, Plan, planned

USUAL: dict[str, Any] = {"rate": 0.35, "dispersion": 1.4, "people": 200}
BEFORE = {"before": 12, "stability": 0.8}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rate": 0}, "rate: 0 is not possible; give a number above 0."),
        ({"dispersion": -1}, "dispersion: -1 is not possible; give 0 or more."),
        ({"attrition": 1}, "attrition: 1 is not possible; give a share from 0 to under 1."),
        ({"people": 0}, "people: 0 is not possible"),
        ({"months": float("inf")}, "months: inf is not possible"),
        ({"arms": 1}, "arms: 1 is not possible; give 2 or more."),
        ({"before": 12}, "stability: missing"),
        ({"stability": 0.5}, "stability: without months before support it says nothing"),
        ({"before": 12, "stability": 1.2}, "stability: 1.2 is not possible; give a number from 0 to 1."),
        ({"before": 12, "stability": 1, "matched": 0.2}, "matched: matched people are planned for"),
        ({"buildings": 30}, "buildings, icc: give both"),
        ({"icc": 0.05}, "buildings, icc: give both"),
        ({"buildings": 500, "icc": 0.01}, "buildings: 500 are more than the 400 people"),
        ({"buildings": 30, "icc": 0.4}, "icc: 0.4 says that buildings differ more than people do"),
        ({"matched": 0.5, "buildings": 30, "icc": 0.01}, "matched: sets of people from several buildings"),
    ],
)
def test_what_cannot_be_is_refused_by_name(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Plan(**{**USUAL, **given})
    assert said in str(caught.value)


def test_all_problems_are_told_together() -> None:
    with pytest.raises(ParameterError) as caught:
        Plan(rate=-1, dispersion=-1, people=200)
    assert len(str(caught.value).splitlines()) == 2


def test_six_households_are_refused() -> None:
    """Gentoo's boilers: six homes, a like number beside them, 18 months (an illustration)."""
    for rate in (0.5, 12.0):
        homes = Plan(rate=rate, dispersion=1.0, people=6, months=18)
        assert homes.refusal.startswith("With 6 people in an arm nothing can be told")
    rare = replace(homes, rate=0.5, people=12)
    assert np.isnan(rare.smallest("fall"))
    assert "no fall, however large, would be found" in rare.refusal
    assert rare.needed(0.75) > 300
    few = Plan(rate=8.0, dispersion=1.0, people=100, buildings=6, icc=0.05)
    assert few.refusal.startswith("With 3 buildings in an arm nothing can be told")
    assert (
        Plan(rate=8.0, dispersion=1.0, people=100, buildings=2 * FEWEST["buildings"], icc=0.05).refusal == ""
    )


def test_family_mosaic() -> None:
    """174 to 186 people an arm, three arms, 18 months, 21% lost (an illustration)."""
    trial = Plan(rate=0.35, dispersion=1.4, people=174, ratio=186 / 174, arms=3, months=18, attrition=0.21)
    assert trial.refusal == ""
    assert trial.level == 0.025
    assert 0.45 < 1 - trial.smallest("fall") < 0.60
    assert float(trial.power(0.8)) < 0.2


@pytest.mark.parametrize(
    "more",
    [
        {},
        BEFORE,
        BEFORE | {"effects": "arm", "attrition": 0.3},
        BEFORE | {"buildings": 40, "icc": 0.03, "size_cv": 0.6},
        {"matched": 0.4, "ratio": 3},
        {"arms": 3},
    ],
)
def test_the_smallest_fall_the_power_and_the_people_agree(more: dict[str, Any]) -> None:
    plan = Plan(**USUAL, **more)
    for change in ("fall", "rise"):
        assert float(plan.power(plan.smallest(change))) == pytest.approx(0.8, abs=1e-6)
    needed = plan.needed(0.8)
    assert float(plan.times(needed / plan.people).power(0.8)) >= 0.8
    # Of whole buildings there may be one fewer.
    assert float(plan.times(0.97 * needed / plan.people).power(0.8)) < 0.8
    assert plan.times(2).smallest("fall") > plan.smallest("fall")


def test_what_makes_a_study_worse() -> None:
    base = Plan(**USUAL, **BEFORE, buildings=40, icc=0.02)
    for more in (
        {"attrition": 0.3},
        {"icc": 0.04},
        {"size_cv": 0.7},
        {"stability": 0.5},
        {"building_stability": 0.5},
        {"arms": 3, "people": 100, "ratio": 2},
        {"dispersion": 3.0},
        {"rate": 0.2},
        {"buildings": 12},
    ):
        assert float(replace(base, **more).power(0.6)) < float(base.power(0.6)), more


def test_need_that_lasts_falls_out() -> None:
    given = {"rate": 2.0, "people": 200, "before": 12, "stability": 1.0}
    errors = [Plan(**given, dispersion=a, attrition=0.4).error(0.7) for a in (0.0, 1.0, 5.0)]
    assert errors == pytest.approx([errors[0]] * 3, rel=1e-12)
    # By arm it falls out only where all are followed for as long.
    by_arm = [Plan(**given, dispersion=a, attrition=0.4, effects="arm").error(0.7) for a in (0.0, 5.0)]
    assert by_arm[1] > by_arm[0]


def test_matching_takes_away_what_people_agree_in() -> None:
    whole = Plan(**USUAL, matched=0.0).error(0.7)
    assert Plan(**USUAL, matched=0.5).error(0.7) < whole == pytest.approx(Plan(**USUAL).error(0.7))
    # Five controls for each add less than a second did.
    errors = [Plan(**USUAL, matched=0.2, ratio=r).error(0.7) for r in (1, 2, 5)]
    assert errors[0] - errors[1] > errors[1] - errors[2] > 0


def test_no_number_of_people_mends_few_events_in_a_great_fall() -> None:
    assert Plan(rate=0.01, dispersion=1.0, people=50).refusal != ""


def test_the_tables_agree_with_the_plan() -> None:
    plan = Plan(**USUAL)
    found = planned(plan)
    fall = found["found"].table.iloc[0]
    assert fall["percent"] == pytest.approx(100 * (plan.smallest("fall") - 1))
    assert fall["in_an_arm"] == pytest.approx(200 * 0.35 * (plan.smallest("fall") - 1))
    curves = found["curves"].table.set_index(["an_arm", "percent"])["found"]
    assert curves[200, -30] == pytest.approx(float(plan.power(0.7)))
    assert curves[400, -30] == pytest.approx(float(plan.times(2).power(0.7)))
    assert curves[100, 0] == pytest.approx(0.025)
    assert found["needed"].table["an_arm_80"].tolist() == [6300, 1500, 610]
