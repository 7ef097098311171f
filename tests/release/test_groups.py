"""Who is in no group with an effect of its own is not counted by those who are."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from impact.data import Cohort
from impact.disclosure import policies, release
from impact.interpret.equity import by_groups
from impact.interpret.matched_comparison import compare, matched
from impact.interpret.subsets import of_people
from impact.results import Result, Summary

from .attack import feasible

FEW = (1, 3, 6)


def published(few: int, seed: int) -> dict[str, Result]:
    """Effects by sex where so many people with support have another, and a first table without them."""
    rng = np.random.default_rng(seed)
    treated = np.repeat([True, False], [200 + few, 500])
    sex = np.where(rng.random(len(treated)) < 0.6, "f", "m").astype(object)
    sex[200 : 200 + few] = "x"
    frame = pd.DataFrame({"treated": treated, "sex": sex, "age": rng.normal(60, 9, len(treated)).round()})
    frame["months"], frame["ae"] = 12.0, rng.poisson(1.0, len(treated))
    cohort = Cohort.from_frame(frame, treated="treated", outcomes=["ae"], exposure="months")
    plan = {
        "baseline": {"outcomes": ["ae"], "months": 12},
        "matching": {"method": "entropy_balance", "on": ["age"]},
    }
    main = compare(matched(cohort, **plan, people=cohort), outcome="ae")
    found = by_groups(of_people(cohort, **plan, compared={}), everyone=main, groups={"sex": ()})
    arms = pd.DataFrame({"arm": ["supported", "control"], "persons": [200 + few, 500]})
    return {**found, "arms": Summary(arms, {}, people=["persons"])}


@pytest.mark.parametrize(("name", "few"), list(product(policies(), FEW)))
def test_everyone_less_the_groups_does_not_tell_how_few_are_left(name: str, few: int) -> None:
    rule, results = policies()[name], published(few, seed=few)
    shown = release(results, rule)["by_group"].table
    true = results["by_group"].counts["treated"]
    rows = shown.drop_duplicates(["covariate", "level"]).index
    everyone, *parts = rows
    assert shown.loc[parts[-1], "level"] == "left out"
    assert int(true[parts[-1]]) == few
    assert pd.isna(shown.loc[parts[-1], "treated"])
    # The reader knows each number that is shown to the last digit, and everyone's.
    known = [None if pd.isna(shown.loc[i, "treated"]) else int(true[i]) for i in parts]
    left = feasible(known, [int(true[everyone])], least=1, slack=0)[-1]
    assert set(range(1, rule.smallest_shown)) <= left
