"""Equalities that must hold exactly, each under the conditions that make it hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impact import did
from impact.data.panel import Panel


def draw(
    seed: int, n: int = 60, periods: int = 4, starts: tuple[int, ...] = (2,), even: bool = True
) -> Panel:
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


seeds = st.integers(0, 10_000)
few = settings(max_examples=20, deadline=None)


@few
@given(seeds)
def test_two_by_two_is_twfe_on_a_balanced_panel_of_two_periods(seed):
    panel = draw(seed, periods=2, starts=(1,))
    person = did.two_by_two(panel, outcome="gp", family="linear", effects="person")
    arm = did.two_by_two(panel, outcome="gp", family="linear")
    within = did.twfe(panel, outcome="gp", family="linear")
    np.testing.assert_allclose(person.estimate, within.estimate, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(person.std_error, within.std_error, rtol=1e-9)
    np.testing.assert_allclose(arm.estimate, within.estimate, rtol=1e-9, atol=1e-9)


@few
@given(seeds)
def test_two_by_two_is_twfe_on_a_balanced_panel_of_many_periods(seed):
    panel = draw(seed)
    for family in ("linear", "poisson"):
        a = did.two_by_two(panel, outcome="gp", family=family, effects="person")
        b = did.twfe(panel, outcome="gp", family=family)
        np.testing.assert_allclose(a.estimate, b.estimate, rtol=1e-7, atol=1e-7)


@few
@given(seeds)
def test_callaway_santanna_with_two_periods_is_two_by_two(seed):
    panel = draw(seed, periods=2, starts=(1,))
    a = did.summarise(did.callaway_santanna(panel, outcome="gp"))
    b = did.two_by_two(panel, outcome="gp", family="linear")
    np.testing.assert_allclose(a.estimate, b.estimate, rtol=1e-9, atol=1e-9)


@few
@given(seeds, st.floats(0.1, 10))
def test_poisson_person_effects_ignore_a_factor_on_a_persons_time(seed, spread):
    panel = draw(seed, even=False)
    factor = np.exp(np.random.default_rng(seed).normal(0, spread / 5, (panel.n, 1)))
    scaled = replace(panel, exposure={"gp": panel.exposure["gp"] * factor})
    for estimate in (
        lambda p: did.two_by_two(p, outcome="gp", effects="person").estimate[0],
        lambda p: did.twfe(p, outcome="gp", family="poisson").estimate[0],
    ):
        assert estimate(scaled) == pytest.approx(estimate(panel), rel=1e-6, abs=1e-8)


@few
@given(seeds)
def test_poisson_with_period_effects_ignores_a_factor_on_a_periods_time(seed):
    panel = draw(seed, even=False)
    scaled = replace(panel, exposure={"gp": panel.exposure["gp"] * np.array([0.5, 2, 1, 3])})
    a, b = (did.twfe(p, outcome="gp", family="poisson").estimate[0] for p in (panel, scaled))
    assert a == pytest.approx(b, rel=1e-6, abs=1e-8)


@few
@given(seeds)
def test_linear_models_ignore_a_person_effect_and_a_period_effect(seed):
    panel = draw(seed, starts=(2, 3))
    rng = np.random.default_rng(seed)
    moved = panel.outcomes["gp"] + rng.normal(0, 5, (panel.n, 1)) + rng.normal(0, 5, 4)
    shifted = replace(panel, outcomes={"gp": moved})
    one = draw(seed)
    one_shifted = replace(one, outcomes={"gp": one.outcomes["gp"] + moved - panel.outcomes["gp"]})
    for before, after, estimate in (
        (panel, shifted, lambda p: did.callaway_santanna(p, outcome="gp", covariates=["age"])),
        (panel, shifted, lambda p: did.twfe(p, outcome="gp", family="linear", staggered="allow")),
        (one, one_shifted, lambda p: did.two_by_two(p, outcome="gp", family="linear", effects="person")),
        (one, one_shifted, lambda p: did.two_by_two(p, outcome="gp", family="linear")),
    ):
        a, b = estimate(before), estimate(after)
        rows = [(e.labels["scale"] == "difference").to_numpy() for e in (a, b)]
        np.testing.assert_allclose(a.estimate[rows[0]], b.estimate[rows[1]], rtol=1e-7, atol=1e-6)


@few
@given(seeds)
def test_doubling_people_within_their_clusters_leaves_everything_without_a_factor_unchanged(seed):
    panel = draw(seed, starts=(2, 3), even=False)
    twice = panel.subset(np.tile(np.arange(panel.n), 2))
    a, b = (did.callaway_santanna(p, outcome="gp", covariates=["age"]) for p in (panel, twice))
    shown = (a.labels["scale"] == "difference").to_numpy()
    np.testing.assert_allclose(a.estimate[shown], b.estimate[shown], rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(a.std_error[shown], b.std_error[shown], rtol=1e-7)


@few
@given(seeds)
def test_order_of_people_and_scale_of_weights_do_not_matter(seed):
    panel = draw(seed, starts=(2, 3), even=False)
    order = np.random.default_rng(seed).permutation(panel.n)
    other = replace(panel.subset(order), weights=np.full(panel.n, 7.0))
    a, b = (
        did.aggregate(did.callaway_santanna(p, outcome="gp", covariates=["age"]), by="group").overall
        for p in (panel, other)
    )
    np.testing.assert_allclose(a.estimate, b.estimate, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(a.std_error, b.std_error, rtol=1e-8)


@few
@given(seeds)
def test_base_periods_agree_after_support(seed):
    panel = draw(seed, starts=(2, 3))
    a, b = (
        did.callaway_santanna(panel, outcome="gp", base_period=base).table.query("event_time >= 0")
        for base in ("universal", "varying")
    )
    np.testing.assert_allclose(a["estimate"], b["estimate"])
    np.testing.assert_allclose(a["std_error"], b["std_error"])
