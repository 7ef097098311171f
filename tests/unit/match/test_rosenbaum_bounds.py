"""Bounds for hidden differences: against enumeration, by symmetry, and where they are refused."""

from dataclasses import replace as replaced
from itertools import product

import numpy as np
import pandas as pd
import pytest

from impact.data import Cohort
from impact.errors import DataError, DesignError, ParameterError
from impact.match import e_value, nearest, rosenbaum_bounds
from impact.match.rosenbaum_bounds import Sets, _worst


def matched(ratio=1, replace=False, seed=0, n=40):
    rng = np.random.default_rng(seed)
    helped = np.arange(n * (1 + ratio)) < n
    frame = pd.DataFrame(
        {
            "helped": helped.astype(int),
            "age": np.tile(np.arange(n), 1 + ratio),
            "visits": rng.poisson(np.where(helped, 2, 5)),
            "months": rng.uniform(6, 12, len(helped)),
        }
    )
    cohort = Cohort.from_frame(frame, treated="helped", outcomes=["visits"], exposure="months")
    return nearest(cohort, on=["age"], distance="mahalanobis", ratio=ratio, replace=replace)


def test_the_worst_expectation_is_the_largest_of_all_hidden_differences():
    """Every assignment of odds 1 or gamma to the members of sets of four, by enumeration."""
    rng = np.random.default_rng(3)
    q, sets, gamma = rng.integers(0, 5, 12).astype(float), np.repeat(np.arange(3), 4), 2.5
    expected = 0.0
    for s in range(3):
        own = q[sets == s]
        expected += max(np.average(own, weights=odds) for odds in product([1, gamma], repeat=4))
    assert _worst(q, sets, gamma)[0] == pytest.approx(expected)


@pytest.mark.parametrize("ratio", [1, 2])
def test_bounds_widen_and_doubt_grows_with_gamma(ratio):
    found = rosenbaum_bounds(matched(ratio), outcome="visits", gamma=[1, 1.5, 2, 4]).table
    assert (found["p_value"].diff().dropna() > 0).all()
    assert (found["conf_low"].diff().dropna() <= 0).all()
    assert (found["conf_high"].diff().dropna() >= 0).all()
    assert found["estimate"].iloc[0] == pytest.approx(found["conf_low"].iloc[0])
    held = found["gamma"] < found["breakdown"]
    assert ((found["p_value"] < 0.05) == held).all()


@pytest.mark.parametrize("shape", ["pairs", "several controls", "several supported"])
def test_turning_the_outcome_round_turns_the_bounds_round(shape):
    rng = np.random.default_rng(5)
    size = 2 if shape == "pairs" else 4
    sets, place = np.repeat(np.arange(20), size), np.tile(np.arange(size), 20)
    treated = place > 0 if shape == "several supported" else place == 0
    y = rng.normal(treated * 1.0)
    sign = -1.0 if shape == "several supported" else 1.0
    one = Sets(y, treated, sets, place == 0, np.full(len(y), sign))
    other = Sets(-y, treated, sets, place == 0, np.full(len(y), sign))
    assert one.deviate(1.7, 0.0, 1.0) == pytest.approx(other.deviate(1.7, 0.0, -1.0))
    # At 1 it is an ordinary rank test: turning it round turns its sign.
    assert one.deviate(1.0, 0.0, 1.0) == pytest.approx(-one.deviate(1.0, 0.0, -1.0))
    assert one.deviate(1.0, 0.0, 1.0) > 0


def test_the_level_is_held_where_nothing_happened():
    rng, found = np.random.default_rng(1), []
    for _ in range(400):
        sets, place = np.repeat(np.arange(50), 3), np.tile(np.arange(3), 50)
        y = rng.poisson(3, 150) / 1.0
        one = Sets(y, place == 0, sets, place == 0, np.ones(150))
        found.append(one.p_value(1.0, 1.0) < 0.05)
    assert np.mean(found) == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 400))


def test_rows_and_names_of_people_do_not_matter():
    one = matched(2)
    turned = one.table.sample(frac=1, random_state=1)
    other = type(one)(turned, one.cohort, one.method, one.counts)
    a, b = (rosenbaum_bounds(m, outcome="visits").table for m in (one, other))
    pd.testing.assert_frame_equal(a, b)


def test_what_cannot_be_bounded_is_refused():
    with pytest.raises(DesignError, match="replacement; use nearest, optimal or full"):
        rosenbaum_bounds(matched(replace=True), outcome="visits")
    with pytest.raises(ParameterError, match="from 1"):
        rosenbaum_bounds(matched(), outcome="visits", gamma=[0.5])
    with pytest.raises(DataError, match="Did you mean 'visits'"):
        rosenbaum_bounds(matched(), outcome="visit")
    with pytest.raises(ParameterError, match="true_ratio=0"):
        e_value(None, true_ratio=0)


def test_people_in_several_sets_at_several_dates_are_refused():
    """Two rows of one person, each in a pair of its own: the pairs are not independent."""
    pairs = matched()
    person = np.arange(80)
    person[1] = 0
    several = replaced(pairs, cohort=replaced(pairs.cohort, _pid=person))
    with pytest.raises(DesignError, match="several sets, at several dates"):
        rosenbaum_bounds(several, outcome="visits")
