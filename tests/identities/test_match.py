"""Equalities that matching and matched ratios must satisfy exactly."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impact import match
from impact.data import Cohort


def people(n=60, seed=1):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": rng.normal(70, 8, n),
            "ltc": rng.poisson(2, n).astype(float),
            "visits": rng.poisson(4, n),
            "months": rng.uniform(6, 12, n),
        }
    )


def cohort_of(frame):
    return Cohort.from_frame(frame, treated="helped", outcomes=["visits"], exposure="months")


@pytest.mark.parametrize("distance", ["propensity", "mahalanobis"])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_twins_are_found_and_their_ratio_is_one(distance, seed):
    """Each treated person has an identical control: distance 0, ratio 1, difference 0, nothing avoided."""
    frame = people(30, seed)
    far = people(20, seed + 1).assign(age=lambda f: f["age"] + 40, helped=0)
    both = pd.concat([frame.assign(helped=1), frame.assign(helped=0), far], ignore_index=True)
    matched = match.nearest(cohort_of(both), on=["age", "ltc"], distance=distance)
    effects = match.rate_ratio(matched, outcome="visits")
    assert matched.method["total_distance"] == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(effects.estimate, 0, atol=1e-9)
    after = match.balance(matched).table.query("sample == 'after'")
    np.testing.assert_allclose(after[["smd", "ks"]].astype(float), 0, atol=1e-9)


def helped_by_age(n=200, seed=5):
    frame = people(n, seed)
    chance = 1 / (1 + np.exp(-(frame["age"] - 78) / 8))
    return frame.assign(helped=(np.random.default_rng(seed).random(n) < chance).astype(int))


@settings(max_examples=10, deadline=None)
@given(scale=st.floats(0.01, 100), shift=st.floats(-50, 50))
def test_units_of_a_covariate_do_not_matter(scale, shift):
    """The same people are matched whatever unit and origin a covariate has."""
    frame = helped_by_age()
    other = frame.assign(age=scale * frame["age"] + shift)
    for distance in ("propensity", "mahalanobis"):
        a, b = (
            match.nearest(cohort_of(f), on=["age", "ltc"], distance=distance).table for f in (frame, other)
        )
        pd.testing.assert_series_equal(a["subclass"], b["subclass"])


def test_time_at_risk_in_another_unit_moves_no_ratio():
    """Ten times the person-time: the same ratio and events avoided, a tenth of the difference."""
    frame = helped_by_age()
    matched = match.nearest(cohort_of(frame), on=["age"])
    longer = cohort_of(frame.assign(months=10 * frame["months"]))
    a = match.rate_ratio(matched, outcome="visits", adjust=["ltc"])
    b = match.rate_ratio(matched, outcome="visits", adjust=["ltc"], cohort=longer)
    np.testing.assert_allclose(b.estimate * [1, 10, 1], a.estimate, rtol=1e-8)
    np.testing.assert_allclose(b.std_error * [1, 10, 1], a.std_error, rtol=1e-8)


def test_conditional_and_marginal_agree_where_pairs_have_equal_time():
    """For pairs followed equally long both ratios are the ratio of events."""
    frame = helped_by_age().assign(months=12.0)
    matched = match.nearest(cohort_of(frame), on=["age"])
    a = match.rate_ratio(matched, outcome="visits")
    b = match.rate_ratio(matched, outcome="visits", estimand="conditional")
    assert b.estimate[0] == pytest.approx(a.estimate[0], abs=1e-9)


def test_a_wide_caliper_is_no_caliper_and_a_narrow_one_matches_fewer_but_closer():
    cohort = cohort_of(helped_by_age())
    free = match.nearest(cohort, on=["age", "ltc"])
    wide = match.nearest(cohort, on=["age", "ltc"], caliper=100)
    pd.testing.assert_frame_equal(free.table, wide.table)
    matched = [
        match.nearest(cohort, on=["age", "ltc"], caliper=c).counts["persons"][0] for c in (0.01, 0.1, 1)
    ]
    assert matched == sorted(matched)
    assert matched[0] < matched[2] <= free.counts["persons"][0]


def test_exact_on_one_value_is_no_rule():
    frame = helped_by_age().assign(landlord="A")
    for distance in ("propensity", "mahalanobis"):
        a = match.nearest(cohort_of(frame), on=["age"], distance=distance)
        b = match.nearest(cohort_of(frame), on=["age"], distance=distance, exact=["landlord"])
        pd.testing.assert_frame_equal(a.table, b.table)


def test_with_replacement_nobody_is_further_from_their_control():
    """Without competition each takes the nearest, so the total distance cannot be larger."""
    cohort = cohort_of(helped_by_age())
    for distance in ("propensity", "mahalanobis"):
        without = match.nearest(cohort, on=["age", "ltc"], distance=distance)
        with_ = match.nearest(cohort, on=["age", "ltc"], distance=distance, replace=True)
        assert with_.method["total_distance"] <= without.method["total_distance"] + 1e-12
