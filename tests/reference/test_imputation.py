"""Imputation against R's didimputation 0.5.0, and against its formulas written out with dense matrices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from impact import did
from impact.data.panel import Panel
from impact.did.imputation import imputation, imputed_event_study


def counties(data, **options) -> Panel:
    frame = pd.read_csv(data / "mpdta.csv")
    if options.pop("without_2004", False):
        frame = frame[frame["first.treat"] != 2004]
    return Panel.from_long(
        frame,
        unit="countyreal",
        period="year",
        outcomes=["lemp"],
        first_treated="first.treat",
        covariates=["lpop"],
    )


@pytest.fixture(scope="module")
def simulated(data) -> Panel:
    wide = pd.read_csv(data / "df_het.csv.gz")
    frame = wide.melt(id_vars=["unit", "g"], var_name="year", value_name="dep_var").astype({"year": int})
    return Panel.from_long(frame, unit="unit", period="year", outcomes=["dep_var"], first_treated="g")


def average(effects, event_time=None):
    """The mean over supported person-periods, each with the same known weight, as didimputation takes it.

    ``aggregate`` has the same estimates, but its errors allow for group shares that are themselves estimated.
    """
    labels = effects.labels
    after = (labels["scale"] == "difference") & (labels["event_time"] >= 0)
    if event_time is not None:
        after &= labels["event_time"] == event_time
    weights = np.where(after, effects.counts["treated"], 0)
    return effects.combine((weights / weights.sum())[:, None], labels=labels.iloc[[0]])


# did_imputation(yname = "dep_var", gname = "g", tname = "year", idname = "unit"), static and horizon = TRUE;
# errors by unit without a small-sample factor. Absolute tolerance 1e-6: R iterates, and our copy of the data
# has six decimal places.
@pytest.mark.parametrize(
    ("event_time", "estimate", "error"),
    [
        (None, 2.262951711, 0.03139684152),
        (0, 1.51314200931, 0.07547735668),
        (1, 1.66384317587, 0.07675141039),
        (2, 1.86436719700, 0.07450150663),
    ],
)
def test_simulated_heterogeneous_effects(simulated, event_time, estimate, error):
    effects = imputation(simulated, outcome="dep_var")
    out = average(effects, event_time)
    assert out.estimate[0] == pytest.approx(estimate, abs=1e-6)
    assert out.std_error[0] == pytest.approx(error, abs=1e-6)
    assert "CR0" in effects.method["inference"]
    ours = did.aggregate(effects, by="simple" if event_time is None else "event_time")
    assert np.abs(ours.estimate - estimate).min() < 1e-6


def test_simulated_leads(simulated):
    """R's pretrends = -5:-1, point estimates only: its errors differ between its own documents and builds."""
    out = imputed_event_study(simulated, outcome="dep_var", leads=5)
    pre = out.labels["event_time"] < 0
    assert out.labels.loc[pre, "event_time"].tolist() == [-5, -4, -3, -2, -1]
    expected = [-0.06412085, -0.01201577, -0.01387197, 0.05103140, 0.02022464]
    np.testing.assert_allclose(out.estimate[pre], expected, atol=1e-6)
    assert out.method["pre_effects"] == "separate regression"


def test_mpdta_as_r_has_it(data):
    """R drops counties with one untreated year (all that start in 2004) as singletons; we keep them."""
    out = average(imputation(counties(data, without_2004=True), outcome="lemp"))
    assert out.estimate[0] == pytest.approx(-0.03371585277, abs=1e-8)
    assert out.std_error[0] == pytest.approx(0.01465027233, abs=1e-8)
    everyone = average(imputation(counties(data), outcome="lemp"))
    assert everyone.estimate[0] == pytest.approx(-0.0477099183, abs=1e-8)


def test_mpdta_with_a_covariate_is_wooldridge(data):
    """R etwfe's lemp ~ lpop, point estimates (the panel is balanced): the same predictions."""
    effects = imputation(counties(data), outcome="lemp", covariates=["lpop"])
    assert average(effects).estimate[0] == pytest.approx(-0.0506270331228907, abs=1e-8)
    found = did.aggregate(effects, by="event_time").estimate
    expected = [-0.0332122037837542, -0.0573456479257483, -0.137870386660852, -0.10953945536511]
    np.testing.assert_allclose(found, expected, atol=1e-8)


def uneven(seed: int, n: int = 40, periods: int = 5) -> Panel:
    """A small panel with leavers, holes, uneven time, weights, sites and a covariate."""
    rng = np.random.default_rng(seed)
    start = rng.choice([2, 3, periods], n)
    time = rng.uniform(0.3, 1.5, (n, periods)) * (rng.random((n, periods)) > 0.15)
    time[np.arange(periods) > rng.integers(1, 2 * periods, n)[:, None]] = 0
    time[0] = [0, 0, 1, 1, 1]
    start[0] = 2  # has no time without support
    return Panel(
        unit=np.arange(n),
        periods=pd.RangeIndex(periods),
        outcomes={"gp": rng.poisson(3 * time).astype(float) * (time > 0)},
        exposure={"gp": time},
        start=start.astype(np.int64),
        treated=start < periods,
        covariates=pd.DataFrame({"age": rng.normal(50, 9, n)}),
        cluster=rng.integers(0, 12, n),
        weights=rng.uniform(0.5, 2, n),
        arm=np.where(start < periods, "supported", "control"),
        censoring_weights=rng.uniform(1, 1.5, (n, periods)),
    )


def dense(panel: Panel, covariates: bool, anticipation: int, leads: int = 0) -> dict:
    """The weights v of the paper for each cell, with a dummy for each person and period."""
    n, T = panel.outcomes["gp"].shape
    time = panel.exposure["gp"]
    i, t = np.nonzero(time > 0)
    mean = np.array([row[row > 0].mean() if row.any() else 0 for row in time])
    w = (panel.weights * mean)[i] * panel.censoring_weights[i, t]
    y = 1000 * panel.outcomes["gp"][i, t] / time[i, t]
    start = panel.start[i]
    before = (start >= T) | (t < start - anticipation)
    here = [np.eye(n)[i], np.eye(T)[t]]
    if covariates:
        here.append(np.eye(T)[t] * panel.covariates["age"].to_numpy()[i, None])
    x = np.hstack(here)
    root = np.sqrt(w[before])[:, None]
    if leads:
        times = np.arange(-leads, 0) - anticipation
        x = np.hstack([(start < T)[:, None] & ((t - start)[:, None] == times), x])[before]
        back = np.linalg.pinv(root * x, rcond=1e-10)
        coef = back @ (root[:, 0] * y[before])
        influence = back[:leads] * root[:, 0] * (y[before] - x @ coef)
        sums = [np.bincount(panel.cluster[i[before]], weights=row, minlength=12) for row in influence]
        return {e: (coef[j], float(np.sqrt(sums[j] @ sums[j]))) for j, e in enumerate(times)}
    back = np.linalg.pinv(root * x[before], rcond=1e-9)
    fitted = x @ (back @ (root[:, 0] * y[before]))
    known = np.isin(i, i[before])
    cells = {}
    for g in (2, 3):
        for p in range(g - anticipation, T):
            cell = (start == g) & (t == p) & known
            v = np.where(cell, w, 0) / w[cell].sum()
            effect = float(v @ (y - fitted))
            pulled = back.T @ (x[cell].T @ v[cell])
            v[before] = -root[:, 0] * pulled
            centred = y - fitted - np.where(cell, effect, 0)
            by_cluster = np.bincount(panel.cluster[i], weights=v * centred)
            cells[g, p] = effect, float(np.sqrt(by_cluster @ by_cluster))
    return cells


@pytest.mark.parametrize("covariates", [False, True])
@pytest.mark.parametrize("anticipation", [0, 1])
def test_equals_its_plain_twin_with_holes_weights_and_clusters(covariates, anticipation):
    for seed in range(4):
        panel = uneven(seed)
        effects = imputation(
            panel, outcome="gp", covariates=["age"] if covariates else (), anticipation=anticipation
        )
        expected = dense(panel, covariates, anticipation)
        table = effects.table
        cells = list(zip(table["group"], table["period"], strict=True))
        assert cells == sorted(expected)
        np.testing.assert_allclose(table["estimate"], [expected[c][0] for c in cells], rtol=1e-7)
        np.testing.assert_allclose(table["std_error"], [expected[c][1] for c in cells], rtol=1e-7)
        assert any("no time at risk without support" in note for note in effects.method["notes"])


@pytest.mark.parametrize("covariates", [False, True])
@pytest.mark.parametrize("anticipation", [0, 1])
def test_leads_equal_their_plain_twin(covariates, anticipation):
    for seed in range(3):
        panel = uneven(seed)
        panel = replace(panel, start=np.where(panel.start == 3, 4, panel.start))
        covariate = ["age"] if covariates else ()
        out = imputed_event_study(
            panel, outcome="gp", covariates=covariate, anticipation=anticipation, leads=3 - anticipation
        )
        expected = dense(panel, covariates, anticipation, leads=3 - anticipation)
        for e, (estimate, error) in expected.items():
            (row,) = np.flatnonzero(out.labels["event_time"] == e)
            assert out.estimate[row] == pytest.approx(estimate, rel=1e-7)
            assert out.std_error[row] == pytest.approx(error, rel=1e-7)
