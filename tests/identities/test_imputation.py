"""Equalities that hold exactly for imputation, each under the conditions that make it hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impact import did
from impact.data.panel import Panel
from impact.did.etwfe import etwfe
from impact.did.imputation import imputation
from impact.errors import DesignError

seeds = st.integers(0, 10_000)
few = settings(max_examples=15, deadline=None)


def draw(seed: int, n: int = 60, periods: int = 5, starts=(2, 3), even: bool = True) -> Panel:
    rng = np.random.default_rng(seed)
    start = rng.choice([*starts, periods], n)
    start[: 2 * len(starts) + 2] = [*starts, periods] * 2
    time = np.ones((n, periods)) if even else rng.uniform(0.3, 1.5, (n, periods))
    rate = 3 * rng.gamma(2, 0.5, (n, 1)) * np.where(np.arange(periods) >= start[:, None], 0.8, 1.0)
    return Panel(
        unit=np.arange(n),
        periods=pd.RangeIndex(periods),
        outcomes={"gp": rng.poisson(rate * time).astype(float)},
        exposure={"gp": time},
        start=start.astype(np.int64),
        treated=start < periods,
        covariates=pd.DataFrame({"age": rng.normal(size=n)}),
        cluster=np.arange(n),
        weights=np.ones(n),
        arm=np.where(start < periods, "supported", "control"),
    )


def shown(effects) -> np.ndarray:
    return effects.estimate[(effects.labels["scale"] == "difference").to_numpy()]


@few
@given(seeds)
def test_with_one_start_and_two_periods_it_is_callaway_santanna(seed):
    panel = draw(seed, periods=2, starts=(1,))
    a, b = imputation(panel, outcome="gp"), did.callaway_santanna(panel, outcome="gp")
    np.testing.assert_allclose(shown(a), shown(b), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(a.table["std_error"], b.table["std_error"], rtol=1e-8)


@few
@given(seeds)
def test_on_a_balanced_panel_it_is_a_regression_with_an_effect_for_each_cell(seed):
    """Linear extended two-way fixed effects (Wooldridge 2021); constant weights, no covariates."""
    panel = draw(seed)
    a, b = imputation(panel, outcome="gp"), etwfe(panel, outcome="gp", family="linear")
    np.testing.assert_allclose(shown(a), shown(b), rtol=1e-8, atol=1e-8)
    # With a hole somewhere they are two different averages of the same comparisons.
    panel.exposure["gp"][np.flatnonzero(panel.start == 2)[0], 0] = 0
    a, b = imputation(panel, outcome="gp"), etwfe(panel, outcome="gp", family="linear")
    assert not np.allclose(shown(a), shown(b), rtol=1e-8, atol=1e-8)


@few
@given(seeds)
def test_a_person_effect_and_a_period_effect_move_nothing(seed):
    panel, rng = draw(seed, even=False), np.random.default_rng(seed)
    rates = rng.normal(0, 5, (panel.n, 1)) + rng.normal(0, 5, 5)
    rates += np.outer(panel.covariates["age"], rng.normal(0, 2, 5))
    moved = replace(panel, outcomes={"gp": panel.outcomes["gp"] + rates * panel.exposure["gp"]})
    a, b = (imputation(p, outcome="gp", covariates=["age"]) for p in (panel, moved))
    np.testing.assert_allclose(shown(a), shown(b), rtol=1e-7, atol=1e-5)
    np.testing.assert_allclose(a.table["std_error"], b.table["std_error"], rtol=1e-7)


@few
@given(seeds)
def test_doubling_people_within_their_clusters_changes_nothing(seed):
    panel = draw(seed, even=False)
    twice = panel.subset(np.tile(np.arange(panel.n), 2))
    a, b = (imputation(p, outcome="gp", covariates=["age"]) for p in (panel, twice))
    np.testing.assert_allclose(shown(a), shown(b), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(a.table["std_error"], b.table["std_error"], rtol=1e-7)


@few
@given(seeds)
def test_order_of_people_scale_of_weights_and_further_outcomes_do_not_matter(seed):
    panel = draw(seed, even=False)
    order = np.random.default_rng(seed).permutation(panel.n)
    other = replace(panel.subset(order), weights=np.full(panel.n, 7.0))
    other = replace(
        other,
        outcomes=other.outcomes | {"ae": other.outcomes["gp"][:, ::-1]},
        exposure=other.exposure | {"ae": other.exposure["gp"]},
    )
    a = did.aggregate(imputation(panel, outcome="gp"), by="event_time")
    b = did.aggregate(imputation(other, outcome=["ae", "gp"]), by="event_time")
    b = b.select(b.labels["outcome"] == "gp")
    np.testing.assert_allclose(a.estimate, b.estimate, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(a.std_error, b.std_error, rtol=1e-8)


def test_periods_without_untreated_people_are_left_out_and_counted():
    panel = draw(1)
    panel = panel.subset(panel.start < 5)
    effects = imputation(panel, outcome="gp")
    cells = list(zip(effects.table["group"], effects.table["period"], strict=True))
    assert cells == [(2, 2)]
    (left,) = [note for note in effects.method["notes"] if "too few clusters" in note]
    assert "time after 2 of 2 starts, about " in left
    assert any("of the supported person-time" in note for note in effects.method["notes"])


def test_a_start_of_one_cluster_has_no_error_and_is_left_out():
    panel = draw(1)
    alone = replace(panel, cluster=np.where(panel.start == 3, -1, panel.cluster))
    effects = imputation(alone, outcome="gp")
    assert set(effects.table["group"]) == {2}
    (left,) = [note for note in effects.method["notes"] if "single cluster" in note]
    assert "time after 1 of 2 starts, about " in left
    assert "start 3" not in left
    with pytest.raises(DesignError, match="no effect can be told"):
        imputation(replace(panel, cluster=panel.start % 2 + 2 * (panel.start > 4)), outcome="gp")
