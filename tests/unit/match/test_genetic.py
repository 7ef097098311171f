"""Genetic matching: what it searches for, that it never loses by the search, and what it depends on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impact import match
from impact.data import Cohort

ON = ["age", "ltc_n", "area"]
RULES = [
    {},
    {"replace": True},
    {"ratio": 2},
    {"exact": ["area"]},
    {"caliper": 0.3},
    {"anti_exact": ["house"]},
]


def people(n=140, seed=1):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"age": rng.integers(20, 80, n), "ltc_n": rng.poisson(1.5, n)})
    chance = 1 / (1 + np.exp(-(0.03 * (frame["age"] - 60) + 0.4 * (frame["ltc_n"] - 2) - 0.8)))
    frame["helped"] = (rng.random(n) < chance).astype(int)
    frame["area"] = rng.choice(list("abc"), n)
    frame["house"] = rng.integers(0, 40, n)
    frame["person_id"] = [f"p{i:03}" for i in range(n)]
    return frame


def cohort(frame):
    return Cohort.from_frame(frame, treated="helped", person_id="person_id")


def worst(matched):
    table = match.balance(matched).table
    table = table[(table["sample"] == "after") & (table["kind"] == "covariate")]
    return float(np.maximum(table["smd"].abs(), table["ks"]).max())


def matched_people(matched):
    counts = matched.counts.set_index(["arm", "rule"])["persons"]
    return int(counts["treated", "matched"])


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("estimand", ["ATT", "ATC"])
def test_the_criterion_is_that_of_the_balance_table(rules, estimand):
    found = match.genetic(cohort(people()), on=ON, estimand=estimand, population=5, generations=1, **rules)
    assert found.method["worst_imbalance"] == pytest.approx(worst(found), abs=2e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(RULES))
def test_never_worse_than_the_mahalanobis_distance(seed, rules):
    """Nor than the score alone, nor with fewer people: both are among the first candidates."""
    given_people = cohort(people(seed=seed))
    found = match.genetic(given_people, on=ON, population=4, generations=1, seed=seed, **rules)
    plain = match.nearest(given_people, on=ON, distance="mahalanobis", order="largest", **rules)
    assert worst(found) <= worst(plain) + 2e-9
    assert found.method["worst_imbalance_mahalanobis"] == pytest.approx(worst(plain), abs=2e-9)
    assert matched_people(found) >= matched_people(plain)


def test_more_generations_are_never_worse():
    found = [match.genetic(cohort(people()), on=ON, generations=g, seed=3) for g in (1, 3, 8)]
    assert [f.method["worst_imbalance"] for f in found] == sorted(
        (f.method["worst_imbalance"] for f in found), reverse=True
    )
    assert found[-1].method["worst_imbalance"] < 0.7 * found[0].method["worst_imbalance_mahalanobis"]


def test_same_seed_same_result_in_any_order_of_rows():
    frame = people()
    mixed = frame.sample(frac=1, random_state=2)
    one, two = (match.genetic(cohort(f), on=ON, generations=2, seed=5) for f in (frame, mixed))
    pd.testing.assert_frame_equal(one.table, two.table.sort_values("person_id", ignore_index=True))
    assert one.method == two.method
    other = match.genetic(cohort(frame), on=ON, generations=2, seed=6)
    assert other.method["weights"] != one.method["weights"]


def test_units_do_not_matter():
    frame = people()
    feet = frame.assign(age=frame["age"] * 12.5 - 3)
    one, two = (match.genetic(cohort(f), on=ON, generations=2) for f in (frame, feet))
    pd.testing.assert_frame_equal(one.table.drop(columns="distance"), two.table.drop(columns="distance"))


def test_weights_name_each_column_and_the_score():
    found = match.genetic(cohort(people()), on=ON)
    assert list(found.method["weights"]) == ["age", "ltc_n", "area: a", "area: b", "area: c", "score"]
    assert max(found.method["weights"].values()) == 1
    assert min(found.method["weights"].values()) >= 0


def test_rules_hold_in_the_match():
    frame = people()
    found = match.genetic(cohort(frame), on=ON, exact=["area"], anti_exact=["house"], ratio=2, replace=True)
    sets = found.table.merge(frame, on="person_id").dropna(subset="subclass").groupby("subclass")
    assert (sets["area"].nunique() == 1).all()
    supported = sets.apply(lambda s: s.loc[s["helped"] == 1, "house"].iloc[0], include_groups=False)
    others = sets.apply(lambda s: s.loc[s["helped"] == 0, "house"].tolist(), include_groups=False)
    assert not any(house in theirs for house, theirs in zip(supported, others, strict=True))
    assert sets.size().max() == 3
    assert found.method["clusters"] == "matched set and control person"


def test_each_arm_is_counted_once():
    frame = people()
    found = match.genetic(cohort(frame), on=ON, caliper=0.01)
    persons = found.counts.groupby("arm")["persons"].sum()
    assert persons["treated"] == frame["helped"].sum()
    assert persons["control"] == (1 - frame["helped"]).sum()
    assert matched_people(found) < frame["helped"].sum()
