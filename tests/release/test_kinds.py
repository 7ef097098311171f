"""Kinds of support add up to all who had support: a small kind is not what the others leave."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

from impact.data import read_cohort
from impact.data.panel import Panel
from impact.did import estimate
from impact.disclosure import policies, release
from impact.interpret.arms import by_arms
from impact.interpret.assigned import as_assigned
from impact.interpret.subsets import of_panel
from impact.results import Result, Summary

from .attack import feasible

TWFE = {"estimator": "twfe", "family": "linear"}
FEW = (1, 3, 6)


def published(few: int, seed: int) -> dict[str, Result]:
    """Effects of two kinds of support where so many people had a third, and how many had any."""
    rng = np.random.default_rng(seed)
    arm = np.repeat(["none", "advice", "visits", "care"], [200, 90, 70, few])
    frame = pd.DataFrame({"id": np.repeat(np.arange(len(arm)), 2), "t": np.tile([1, 2], len(arm))})
    frame["arm"], frame["time"] = np.repeat(arm, 2), 12.0
    frame["start"] = np.where(frame["arm"] == "none", np.nan, 2.0)
    frame["ae"] = rng.poisson(2.0, len(frame))
    panel = Panel.from_long(
        frame,
        unit="id",
        period="t",
        outcomes=["ae"],
        exposure="time",
        first_treated="start",
        arm="arm",
    )
    main = estimate(panel, outcome="ae", **TWFE)
    treated = ["advice", "visits", "care"]
    found = by_arms(of_panel(panel, did=TWFE), panel.arm, everyone=main, treated=treated)
    arms = pd.DataFrame({"arm": ["supported", "control"], "persons": [160 + few, 200]})
    return {"effects": main, **found, "arms": Summary(arms, {}, people=["persons"])}


@pytest.mark.parametrize(("name", "few"), list(product(policies(), FEW)))
def test_all_less_the_kinds_that_are_shown_does_not_tell_how_few_had_another(name: str, few: int) -> None:
    rule, results = policies()[name], published(few, seed=few)
    released = release(results, rule)
    shown, true = released["by_arm"].table, results["by_arm"].counts  # type: ignore[union-attr]
    everyone, *parts = shown.drop_duplicates(["covariate", "level"]).index
    assert shown.loc[parts[-1], "level"] == "left out"
    for column in ("treated", "events"):
        known: list[Any] = [None if pd.isna(shown.loc[i, column]) else int(true[column][i]) for i in parts]
        assert known[-1] is None
        if rule.small(int(true[column][parts[-1]])).any():
            left = feasible(known, [int(true[column][everyone])], least=1, slack=0)[-1]
            assert set(range(1, rule.smallest_shown)) <= left
    # Comparisons of kinds rest on everyone, whose number is known already.
    assert set(released["arm_against_arm"].table["treated"].dropna()) <= set(shown["treated"].dropna())


def trial(never: int, gone: int) -> dict[str, Result]:
    """An offer to 100 people of which so many never took support up, and so many of all were withdrawn."""
    rng = np.random.default_rng(never + gone)
    arm = np.repeat(["offered", "usual"], 100)
    people = pd.DataFrame({"person_id": [f"p{i:03d}" for i in range(200)], "arm": arm})
    people["offer_date"] = "2024-01-01"
    people["start_date"] = np.where((np.arange(200) >= never) & (arm == "offered"), "2024-01-01", None)
    people["withdrew"] = np.where(np.arange(200) >= 200 - gone, "2024-03-01", None)
    days = pd.to_datetime("2023-07-01") + pd.to_timedelta(rng.integers(0, 365, 4000), "D")
    contacts = pd.DataFrame(
        {"person_id": rng.choice(people["person_id"], 4000), "start": days, "service": "ae"}
    )
    coverage = pd.DataFrame({"service": ["ae"], "first_date": ["2023-07-01"], "last_date": ["2024-06-30"]})
    data = read_cohort(
        people=people, contacts=contacts, coverage=coverage, treated=["offered"], control=["usual"]
    )

    def analyse(some: Any) -> Any:
        panel = some.panel(outcomes=["ae"])
        return estimate(panel, outcome="ae", **TWFE), panel

    main = analyse(data)[0]
    more = as_assigned(data, everyone=main, analyse=analyse, also_from="offer_date", assignment="randomised")
    return {"effects": main, "flow": data.flow, **more}


@pytest.mark.parametrize("name", policies())
def test_one_analysis_less_another_does_not_tell_of_few(name: str) -> None:
    """Who never started is offered less started, and who was withdrawn is with them less without them."""
    rule = policies()[name]
    found = release(trial(never=3, gone=2), rule)
    for one in ("offered", "take_up", "took_up_because", "without_withdrawn"):
        assert found[one].table["estimate"].isna().all(), one
        assert found[one].table["conf_low"].isna().all(), one
    assert found["withdrawn"].table["persons"].isna().any()
    # None of them has a number of people of its own, from which that of others could be taken.
    main = found["effects"].table
    for one in ("offered", "take_up", "without_withdrawn"):
        for column in ("persons", "treated"):
            assert set(found[one].table[column].dropna()) <= set(main[column].dropna())
    many = release(trial(never=30, gone=20), rule)
    assert many["offered"].table["estimate"].notna().all()
    assert many["without_withdrawn"].table["estimate"].notna().all()
