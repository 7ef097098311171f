"""Equalities that hold exactly for stacked comparisons, each under the conditions that make it hold."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impact import did
from impact.data.panel import Panel
from impact.did.imputation import imputation
from impact.did.pooled import pooled_event_study
from impact.did.stacked import stacked

seeds = st.integers(0, 10_000)
few = settings(max_examples=10, deadline=None)
FAMILIES = ("linear", "poisson")
shared = partial(stacked, course="shared")


def draw(seed: int, n: int = 80, periods: int = 6, starts=(2, 4), even: bool = True) -> Panel:
    rng = np.random.default_rng(seed)
    start = rng.choice([*starts, periods], n)
    start[: 3 * len(starts) + 3] = [*starts, periods] * 3
    time = np.ones((n, periods))
    if not even:
        time = rng.uniform(0.3, 1.5, (n, periods)) * (rng.random((n, periods)) > 0.1)
        time[np.arange(periods) > rng.integers(1, 3 * periods, n)[:, None]] = 0
    rate = 5 * rng.gamma(2, 0.5, (n, 1)) * np.where(np.arange(periods) >= start[:, None], 0.8, 1.0)
    return Panel(
        unit=np.arange(n),
        periods=pd.RangeIndex(periods),
        outcomes={"gp": rng.poisson(rate * time).astype(float)},
        exposure={"gp": time},
        start=start.astype(np.int64),
        treated=start < periods,
        covariates=pd.DataFrame({"age": rng.normal(size=n)}),
        cluster=np.arange(n),
        weights=np.ones(n) if even else rng.uniform(0.5, 2, n),
        arm=np.where(start < periods, "supported", "control"),
    )


@few
@given(seeds)
def test_with_one_start_the_pooled_event_study_is_two_way_fixed_effects(seed):
    panel = draw(seed, starts=(3,), even=False)
    for family in FAMILIES:
        a = pooled_event_study(panel, outcome="gp", family=family)
        b = did.twfe(panel, outcome="gp", family=family, event_study=True)
        assert a.labels["event_time"].tolist() == b.labels["event_time"].tolist()
        np.testing.assert_allclose(a.estimate, b.estimate, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(a.std_error, b.std_error, rtol=1e-8)


@few
@given(seeds)
def test_with_one_start_on_a_balanced_panel_it_is_two_way_fixed_effects_and_imputation(seed):
    panel = draw(seed, starts=(3,))
    for family in FAMILIES:
        a = did.summarise(stacked(panel, outcome="gp", family=family))
        b = did.twfe(panel, outcome="gp", family=family)
        assert a.labels["scale"].tolist() == b.labels["scale"].tolist()
        np.testing.assert_allclose(a.estimate, b.estimate, rtol=1e-7, atol=1e-7)
    a, b = stacked(panel, outcome="gp", family="linear").table, imputation(panel, outcome="gp").table
    np.testing.assert_allclose(a["estimate"], b["estimate"], rtol=1e-8, atol=1e-8)


@few
@given(seeds)
def test_where_it_has_events_a_cells_expected_number_is_the_observed_over_the_ratio(seed):
    """The regression foretells each cell's sum, so that M = O exp(-effect); here by M through the levels."""
    effects = stacked(draw(seed, even=False), outcome="gp", covariates=["age"])
    rows = effects.labels.assign(estimate=effects.estimate).set_index(["group", "period"])
    expected, events, ratio = (
        rows.loc[rows["scale"] == scale, "estimate"] for scale in ("expected", "events", "log ratio")
    )
    np.testing.assert_allclose(expected.loc[ratio.index], events.loc[ratio.index] * np.exp(-ratio))
    control = did.aggregate(effects)
    assert control.estimate[0] == pytest.approx(np.log(events.sum() / expected.sum()))


@few
@given(seeds)
def test_people_supported_within_a_window_are_no_controls_in_it(seed):
    panel = draw(seed)
    later = panel.start == 4
    moved = panel.outcomes["gp"].copy()
    moved[later] = np.random.default_rng(seed).poisson(9, moved[later].shape)
    for family in FAMILIES:
        a, b = (
            stacked(replace(panel, outcomes={"gp": y}), outcome="gp", family=family).table
            for y in (panel.outcomes["gp"], moved)
        )
        one = (a["group"] == 2).to_numpy()
        np.testing.assert_allclose(a.loc[one, "estimate"], b.loc[one, "estimate"])
        assert (a.loc[~one, "estimate"] != b.loc[~one, "estimate"]).all()
        # Where the window ends before their support (and its anticipation) they are controls.
        for anticipation, same in ((0, False), (1, True)):
            c, d = (
                stacked(
                    replace(panel, outcomes={"gp": y}),
                    outcome="gp",
                    family=family,
                    after=2,
                    anticipation=anticipation,
                )
                .table.query("group == 2")["estimate"]
                .to_numpy()
                for y in (panel.outcomes["gp"], moved)
            )
            assert np.allclose(c, d) is same


@few
@given(seeds, st.floats(0.1, 10))
def test_poisson_ignores_a_factor_on_a_persons_time(seed, spread):
    panel = draw(seed, even=False)
    factor = np.exp(np.random.default_rng(seed).normal(0, spread / 5, (panel.n, 1)))
    scaled = replace(panel, exposure={"gp": panel.exposure["gp"] * factor})
    for estimate in (stacked, shared, pooled_event_study):
        a, b = (estimate(p, outcome="gp", covariates=["age"]).table for p in (panel, scaled))
        np.testing.assert_allclose(a["estimate"], b["estimate"], rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(a["std_error"], b["std_error"], rtol=1e-6)


@pytest.mark.parametrize("anticipation", [0, 1])
@pytest.mark.parametrize("covariates", [(), ("age",)])
@pytest.mark.parametrize(
    ("family", "course"), [("linear", "by_start"), ("poisson", "by_start"), ("poisson", "shared")]
)
def test_an_influence_is_the_derivative_by_a_persons_weight(family, course, covariates, anticipation):
    """Of cells, and of expected events also by who is in the sample; times the root of CR1's factor."""
    panel = replace(draw(3, even=False), cluster=np.arange(80)[::-1])
    panel = replace(panel, censoring_weights=np.random.default_rng(0).uniform(1, 2, (80, 6)))
    # Everyone is seen before support. Controls have a comparison of their own, so that their share in it does
    # not depend on the weights.
    panel.exposure["gp"][:, 0] = 1.0
    panel = replace(panel, experiment=np.where(panel.treated, panel.start, np.arange(80) % 2 * 2 + 2))
    options = {"family": family, "covariates": covariates, "anticipation": anticipation, "after": 3}
    options["course"] = course

    def at(weights):
        return stacked(replace(panel, weights=weights), outcome="gp", **options)

    effects = at(panel.weights)
    kind = (effects.labels["scale"] == ("difference" if family == "linear" else "expected")).to_numpy()
    total = (panel.weights * (panel.exposure["gp"] > 0).any(1)).sum()
    ours, numeric = [], []
    root = effects.root @ np.eye(len(effects))[:, kind]
    for person in range(0, 80, 9):
        h = 1e-4 * panel.weights[person]
        a, b = (at(panel.weights + sign * h * (np.arange(80) == person)).estimate for sign in (1, -1))
        change = (a - b)[kind] / 2e-4
        if family == "poisson":
            change -= effects.estimate[kind] * panel.weights[person] / total
        numeric.append(change)
        ours.append(root[np.flatnonzero(effects.clusters == 79 - person)[0]])
    ours, numeric = np.array(ours), np.array(numeric)
    factor = (ours * numeric).sum() / (numeric**2).sum()
    assert 1 < factor < 1.1
    np.testing.assert_allclose(ours, factor * numeric, atol=1e-6 * np.abs(ours).max())


@few
@given(seeds)
def test_order_of_people_scale_of_weights_and_further_outcomes_do_not_matter(seed):
    panel = draw(seed, even=False)
    order = np.random.default_rng(seed).permutation(panel.n)
    other = replace(panel.subset(order), weights=7 * panel.weights[order])
    other = replace(
        other,
        outcomes={"ae": other.outcomes["gp"][:, ::-1]} | other.outcomes,
        exposure={"ae": other.exposure["gp"][:, ::-1]} | other.exposure,
    )
    for estimate in (stacked, shared, pooled_event_study):
        a, b = estimate(panel, outcome="gp"), estimate(other, outcome=["ae", "gp"])
        a, b = a.table, b.table.query("outcome == 'gp'")
        np.testing.assert_allclose(a["estimate"], b["estimate"], rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(a["std_error"], b["std_error"], rtol=1e-8)
