"""Equalities between regressions, each under the conditions that make it hold (METHODS.md, section 6)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impact.data.panel import Panel
from impact.did import aggregate, callaway_santanna, summarise, twfe
from impact.did.etwfe import etwfe
from impact.did.imputation import imputation
from impact.did.sun_abraham import sun_abraham


def draw(seed: int, *, n: int = 70, starts: tuple[int, ...] = (2, 3), even: bool = True) -> Panel:
    """Balanced and even, or with holes and uneven time at risk and weights."""
    rng = np.random.default_rng(seed)
    start = rng.choice([*starts, 5], n)
    start[: 3 * len(starts) + 3] = [*starts, 5] * 3
    time = np.ones((n, 5)) if even else rng.uniform(0.3, 1.5, (n, 5)) * (rng.random((n, 5)) > 0.05)
    rate = 3 * rng.gamma(2, 0.5, (n, 1)) * np.where(np.arange(5) >= start[:, None], 0.8, 1.0)
    return Panel(
        unit=np.arange(n),
        periods=pd.RangeIndex(5),
        outcomes={"gp": rng.poisson(rate * time).astype(float)},
        exposure={"gp": time},
        start=start.astype(np.int64),
        treated=start < 5,
        covariates=pd.DataFrame({"age": rng.normal(size=n)}),
        cluster=np.arange(n),
        weights=np.ones(n) if even else rng.uniform(0.5, 2, n),
        arm=np.where(start < 5, "supported", "control"),
    )


def cells(effects, scale="difference"):
    keep = (effects.labels["scale"] == scale).to_numpy()
    labels = effects.labels.loc[keep, ["group", "period"]]
    return pd.DataFrame(
        {"estimate": effects.estimate[keep], "error": effects.std_error[keep]},
        index=pd.MultiIndex.from_frame(labels),
    ).sort_index()


seeds = st.integers(0, 10_000)
few = settings(max_examples=10, deadline=None)


@few
@given(seeds)
def test_sun_abraham_is_callaway_santanna_on_a_balanced_panel(seed):
    panel = draw(seed)
    a = cells(sun_abraham(panel, outcome="gp"))
    b = cells(callaway_santanna(panel, outcome="gp", control="never_treated"))
    pd.testing.assert_frame_equal(a[["estimate"]], b[["estimate"]], rtol=1e-9, atol=1e-9)
    # CR1's factor is the whole difference of the errors: N = rows, K = effects, 4 periods and 1.
    factor = panel.n / (panel.n - 1) * (5 * panel.n - 1) / (5 * panel.n - len(a) - 5)
    np.testing.assert_allclose(a["error"], np.sqrt(factor) * b["error"], rtol=1e-9)


@few
@given(seeds)
def test_sun_abraham_is_linear_etwfe_with_never_treated_controls_on_any_panel(seed):
    panel = draw(seed, even=False)
    a = sun_abraham(panel, outcome="gp")
    b = etwfe(panel, outcome="gp", family="linear", control="never_treated")
    np.testing.assert_array_equal(a.estimate, b.estimate)
    np.testing.assert_array_equal(a.std_error, b.std_error)


@few
@given(seeds)
def test_linear_etwfe_is_imputation_on_a_balanced_panel(seed):
    panel = draw(seed)
    a = cells(etwfe(panel, outcome="gp", family="linear"))
    b = cells(imputation(panel, outcome="gp"))
    pd.testing.assert_frame_equal(a[["estimate"]], b[["estimate"]], rtol=1e-8, atol=1e-8)


@few
@given(seeds, st.sampled_from(["not_yet_treated", "never_treated"]))
def test_person_effects_are_cohort_effects_on_a_balanced_panel(seed, control):
    panel = draw(seed)
    for family, scale in (("poisson", "expected"), ("linear", "difference")):
        a, b = (
            cells(etwfe(panel, outcome="gp", family=family, control=control, effects=e), scale)
            for e in ("person", "cohort")
        )
        pd.testing.assert_frame_equal(a[["estimate"]], b[["estimate"]], rtol=1e-7, atol=1e-7)


@few
@given(seeds)
def test_with_one_start_the_cells_average_to_two_way_fixed_effects_on_a_balanced_panel(seed):
    panel = draw(seed, starts=(3,))
    for family in ("linear", "poisson"):
        a = summarise(etwfe(panel, outcome="gp", family=family)).table.set_index("scale")
        b = twfe(panel, outcome="gp", family=family).table.set_index("scale")
        np.testing.assert_allclose(a["estimate"], b.loc[a.index, "estimate"], rtol=1e-7, atol=1e-7)


@few
@given(seeds, st.floats(0.1, 2))
def test_poisson_person_effects_ignore_a_factor_on_a_persons_time(seed, spread):
    panel = draw(seed, even=False)
    factor = np.exp(np.random.default_rng(seed).normal(0, spread, (panel.n, 1)))
    scaled = replace(panel, exposure={"gp": panel.exposure["gp"] * factor})
    for plan in ({}, {"covariates": ["age"]}, {"control": "never_treated"}):
        a, b = (cells(etwfe(p, outcome="gp", **plan), "log ratio") for p in (panel, scaled))
        pd.testing.assert_frame_equal(a, b, rtol=1e-6, atol=1e-7)


@few
@given(seeds, st.sampled_from(["person", "cohort"]))
def test_poisson_with_period_effects_ignores_a_factor_on_a_periods_time(seed, effects):
    panel = draw(seed, even=False)
    scaled = replace(panel, exposure={"gp": panel.exposure["gp"] * np.array([0.5, 2, 1, 3, 0.1])})
    a, b = (cells(etwfe(p, outcome="gp", effects=effects), "log ratio") for p in (panel, scaled))
    pd.testing.assert_frame_equal(a, b, rtol=1e-6, atol=1e-7)


@few
@given(seeds)
def test_linear_models_ignore_a_person_effect_and_a_period_effect(seed):
    panel = draw(seed)
    rng = np.random.default_rng(seed)
    moved = panel.outcomes["gp"] + rng.normal(0, 5, (panel.n, 1)) + rng.normal(0, 5, 5)
    shifted = replace(panel, outcomes={"gp": moved})
    for plan in ({}, {"covariates": ["age"]}, {"control": "never_treated"}):
        a, b = (cells(etwfe(p, outcome="gp", family="linear", **plan)) for p in (panel, shifted))
        pd.testing.assert_frame_equal(a, b, rtol=1e-8, atol=1e-7)


@few
@given(seeds)
def test_order_of_people_and_scale_of_weights_do_not_matter(seed):
    panel = draw(seed, even=False)
    order = np.random.default_rng(seed).permutation(panel.n)
    other = replace(panel.subset(order), weights=7 * panel.weights[order])
    for plan in ({"covariates": ["age"]}, {"family": "linear"}):
        a, b = (aggregate(etwfe(p, outcome="gp", **plan), by="event_time") for p in (panel, other))
        np.testing.assert_allclose(a.estimate, b.estimate, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(a.std_error, b.std_error, rtol=1e-7)


@few
@given(seeds)
def test_doubling_people_within_their_clusters_changes_only_the_factor(seed):
    panel = draw(seed, even=False)
    twice = panel.subset(np.tile(np.arange(panel.n), 2))
    a, b = (cells(etwfe(p, outcome="gp", family="linear")) for p in (panel, twice))
    np.testing.assert_allclose(a["estimate"], b["estimate"], rtol=1e-8, atol=1e-7)
    rows, k = int((panel.exposure["gp"] > 0).sum()), len(a) + 5
    factor = (2 * rows - 1) / (2 * rows - k) * (rows - k) / (rows - 1)
    np.testing.assert_allclose(b["error"], np.sqrt(factor) * a["error"], rtol=1e-7)


@few
@given(seeds)
def test_an_observation_weight_of_two_is_the_observation_twice(seed):
    """Twice the counts and twice the time, for a Poisson model, whoever they belong to."""
    panel = draw(seed, even=False)
    weight = np.random.default_rng(seed).integers(1, 3, (panel.n, 5)).astype(float)
    weighed = replace(panel, censoring_weights=weight)
    doubled = replace(
        panel,
        outcomes={"gp": weight * panel.outcomes["gp"]},
        exposure={"gp": weight * panel.exposure["gp"]},
    )
    a, b = (cells(etwfe(p, outcome="gp"), "expected") for p in (weighed, doubled))
    pd.testing.assert_frame_equal(a, b, rtol=1e-8, atol=1e-9)


def test_the_identities_need_their_conditions():
    """With holes and uneven time the equalities above are false: they do not hold by construction."""
    panel = draw(1, even=False)
    a = cells(sun_abraham(panel, outcome="gp"))["estimate"]
    b = cells(callaway_santanna(panel, outcome="gp", control="never_treated"))["estimate"]
    assert a.sub(b).abs().max() > 1
    person, cohort = (cells(etwfe(panel, outcome="gp", effects=e), "expected") for e in ("person", "cohort"))
    assert person["estimate"].to_numpy() != pytest.approx(cohort["estimate"].to_numpy(), rel=1e-4)
