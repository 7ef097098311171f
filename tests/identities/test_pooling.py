"""Equalities that hold for any studies, and slow plain twins of what is solved for many sets at once."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq
from scipy.stats import chi2, ttest_1samp

from impact.disclosure import release
from impact.interpret.pooling import pool, side_by_side, without_each_study
from impact.numbers.random_effects import random_effects
from impact.results import Effects

OUTCOMES = ["ae", "gp", "bed_days"]


def drawn(seed, k, *, spread=0.3, ratio=30):
    rng = np.random.default_rng(seed)
    v = np.exp(rng.uniform(np.log(0.01), np.log(0.01 * ratio), k))
    return rng.normal(-0.2, np.sqrt(v + spread**2)), v


def study(y, v, *, persons=900):
    """Effects of a study in memory: one an outcome, on one scale."""
    labels = pd.DataFrame({"outcome": OUTCOMES, "term": "effect", "scale": "log ratio", "unit": "log ratio"})
    counts = pd.DataFrame({"persons": persons, "treated": 300, "clusters": 60, "events": 210}, index=range(3))
    return Effects(labels, np.asarray(y), np.diag(np.sqrt(v)), np.arange(3), 59, {"estimator": "x"}, counts)


def several(seed=1, k=6):
    parts = [drawn(seed + i, k) for i in range(3)]
    y, v = (np.array([part[j] for part in parts]) for j in (0, 1))
    return {f"site {i}": study(y[:, i], v[:, i]) for i in range(k)}


def same(a, b, **tolerance):
    left, right = (f.table.select_dtypes("number").reset_index(drop=True) for f in (a, b))
    pd.testing.assert_frame_equal(left, right, check_dtype=False, **{"rtol": 1e-9, "atol": 1e-12} | tolerance)


@pytest.mark.parametrize("seed", range(6))
def test_studies_of_one_size_are_a_sample_of_numbers(seed):
    y, v = drawn(seed, 7)[0], 0.04
    found = random_effects(y[None], np.full((1, 7), v))
    square = y.var(ddof=1)
    assert found.tau2[0] == pytest.approx(max(0.0, square - v), rel=1e-9, abs=1e-12)
    assert found.mean[0] == pytest.approx(y.mean(), rel=1e-12)
    assert found.error[0] ** 2 == pytest.approx(max(square, v) / 7, rel=1e-9)
    assert found.q[0] == pytest.approx(6 * square / v, rel=1e-12)
    assert found.i_squared[0] == pytest.approx(max(0.0, 1 - v / square), rel=1e-9, abs=1e-12)
    if square > v:
        test = ttest_1samp(y, 0)
        assert found.mean[0] / found.error[0] == pytest.approx(test.statistic, rel=1e-9)


def test_without_spread_the_average_is_the_common_effect():
    y, v = drawn(3, 8)
    y = y.mean() + 0.05 * (y - y.mean())
    found = random_effects(y[None], v[None])
    assert found.tau2[0] == 0
    assert found.mean[0] == found.common[0]
    # The factor is below 1 then, and is taken as 1.
    assert found.error[0] == pytest.approx(found.common_error[0], rel=1e-12)
    assert (found.root**2).sum() < found.common_error[0] ** 2


def likelihood(y, v, tau2):
    w = 1 / (v + tau2)
    mean = (w * y).sum() / w.sum()
    return 0.5 * (np.log(w).sum() - np.log(w.sum()) - (w * (y - mean) ** 2).sum())


def beyond(tau2, y, v, target):
    w = 1 / (v + tau2)
    return (w * (y - (w * y).sum() / w.sum()) ** 2).sum() - target


@pytest.mark.parametrize("k", [2, 3, 5, 20])
@pytest.mark.parametrize("ratio", [1, 30, 1e4])
def test_the_spread_is_at_the_top_of_the_likelihood_and_its_interval_by_the_distance(k, ratio):
    sets = [drawn(100 * k + i, k, spread=0.1 * i, ratio=ratio) for i in range(6)]
    y, v = (np.array([one[j] for one in sets]) for j in (0, 1))
    found = random_effects(y, v)
    for i in range(len(y)):
        top = likelihood(y[i], v[i], found.tau2[i])
        grid = np.concatenate([[0], np.geomspace(1e-7, 1e3, 4000)])
        assert top >= max(likelihood(y[i], v[i], t) for t in grid) - 1e-12

        for end, at in ((found.tau2_low[i], 0.975), (found.tau2_high[i], 0.025)):
            own = (y[i], v[i], chi2.ppf(at, k - 1))
            exact = 0 if beyond(0, *own) <= 0 else brentq(beyond, 0, 1e9, args=own, xtol=1e-14)
            assert end == pytest.approx(exact, rel=1e-8, abs=1e-11)


@pytest.mark.parametrize(("second", "spreads"), [(5.8, False), (6.0, True)])
def test_of_two_tops_of_the_likelihood_the_higher_is_taken(second, spreads):
    """Two precise studies agree and two vague ones do not: no spread, or a spread of 9.4 in a variance."""
    y, v = np.array([0, second, 0, 8]), np.array([0.01, 4, 0.01, 20])
    grid = np.concatenate([[0], np.geomspace(1e-6, 1e3, 20_000)])
    heights = np.array([likelihood(y, v, t) for t in grid])
    within = np.flatnonzero((heights[1:-1] > heights[:-2]) & (heights[1:-1] > heights[2:])) + 1
    assert heights[0] > heights[1]
    assert len(within) == 1
    assert (heights[within[0]] > heights[0]) == spreads
    found = random_effects(y[None], v[None]).tau2[0]
    assert found == pytest.approx(grid[within[0]] if spreads else 0, rel=1e-3)


def test_a_study_that_is_not_there_might_as_well_not_be():
    y, v = drawn(5, 9)
    holes = np.array([1, 4, 5])
    y2, v2 = y.copy(), v.copy()
    y2[holes] = np.nan
    v2[4] = np.nan
    some = random_effects(y2[None], v2[None])
    alone = random_effects(np.delete(y, holes)[None], np.delete(v, holes)[None])
    for name in ("studies", "mean", "error", "tau2", "tau2_low", "tau2_high", "i_squared", "q", "common"):
        np.testing.assert_allclose(getattr(some, name), getattr(alone, name), rtol=1e-10)
    assert not some.root[0, holes].any()


def test_the_order_of_the_studies_is_nothing():
    studies = several()
    turned = dict(reversed(studies.items()))
    for one, other in zip(pool(studies).values(), pool(turned).values(), strict=True):
        same(one, other)


def test_other_units_change_nothing_but_the_unit():
    y, v = drawn(7, 6)
    found, scaled = random_effects(y[None], v[None]), random_effects(1000 * y[None] + 50, 1e6 * v[None])
    np.testing.assert_allclose(scaled.mean, 1000 * found.mean + 50, rtol=1e-10)
    np.testing.assert_allclose(scaled.error, 1000 * found.error, rtol=1e-9)
    for name in ("tau2", "tau2_low", "tau2_high"):
        np.testing.assert_allclose(getattr(scaled, name), 1e6 * getattr(found, name), rtol=1e-8, atol=1e-6)
    for name in ("q", "q_p_value", "i_squared"):
        np.testing.assert_allclose(getattr(scaled, name), getattr(found, name), rtol=1e-8)


def test_without_each_study_is_the_pool_of_the_others():
    studies = several()
    left = without_each_study(studies)
    for name in studies:
        others = pool({n: s for n, s in studies.items() if n != name})["pooled"]
        same(left.select(left.labels["without"] == name), others)


def test_each_study_keeps_its_own_interval_and_the_averages_are_those_of_the_pool():
    studies = several()
    side = side_by_side(studies)
    found = pool(studies)
    same(side.select(side.labels["term"] == "average over studies"), found["pooled"])
    same(side.select(side.labels["term"] == "one more study"), found["new_study"])
    for name, own in studies.items():
        mine = side.select(side.labels["study"] == name)
        same(mine, own, rtol=1e-6)


def test_released_results_give_what_effects_in_memory_give():
    studies = several()
    released = {
        name: json.loads(release({"effects": effects}, "hes")["effects"].to_json())
        for name, effects in studies.items()
    }
    # What is released has two digits of its standard error, and no more of its degrees of freedom.
    for one, other in zip(pool(studies).values(), pool(released).values(), strict=True):
        same(one, other, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("k", [3, 4, 9])
def test_the_prediction_interval_holds_that_of_the_average(k):
    found = pool(several(k, k))
    average, new = found["pooled"].table, found["new_study"].table
    assert (new["conf_low"] < average["conf_low"]).all()
    assert (new["conf_high"] > average["conf_high"]).all()
    np.testing.assert_allclose(
        new["std_error"] ** 2, average["std_error"] ** 2 + found["heterogeneity"].table["tau2"], rtol=1e-12
    )


def test_an_outcome_that_goes_with_another_has_no_error_of_its_own():
    """Averages of the same numbers differ by nothing; of opposite numbers, they add up to nothing."""
    y, v = drawn(11, 8, spread=1)
    studies = {f"site {i}": study([y[i], y[i] + 1, -y[i]], np.full(3, v[i])) for i in range(8)}
    pooled = pool(studies)["pooled"]
    labels = pooled.labels.iloc[[0]]
    assert pooled.combine([[1.0], [-1.0], [0.0]], labels=labels).std_error[0] == pytest.approx(0, abs=1e-8)
    assert pooled.combine([[1.0], [0.0], [1.0]], labels=labels).std_error[0] == pytest.approx(0, abs=1e-8)
    assert pooled.combine([[0.5], [0.5], [0.0]], labels=labels).table["std_error"][0] == pytest.approx(
        pooled.std_error[0]
    )


def test_secondary_outcomes_are_adjusted_by_holm_and_the_primary_is_not():
    table = pool(several(), primary="gp")["heterogeneity"].table.set_index("outcome")
    p, adjusted = table["p_value"], table["p_value_holm"]
    assert adjusted["gp"] == p["gp"]
    low, high = sorted(["ae", "bed_days"], key=p.get)
    assert adjusted[low] == min(1, 2 * p[low])
    assert adjusted[high] == max(adjusted[low], p[high])
