"""Concentrated person effects against statsmodels with a dummy for each person."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from impact import did
from impact.errors import DesignError


def dummies(panel, family, event_study):
    """Coefficients and CR1 errors of the effects from the model with every dummy written out."""
    T = len(panel.periods)
    seen = panel.exposure["gp"] > 0
    person, period = np.nonzero(seen)
    y, e = panel.outcomes["gp"][seen], panel.exposure["gp"][seen]
    w = panel.weights[person]
    event = period - panel.start[person]
    treated = panel.start[person] < T
    if event_study:
        times = sorted(set(event[treated].tolist()) - {-1})
        d = np.column_stack([(event == k) & treated for k in times]).astype(float)
    else:
        d = (event >= 0).astype(float)[:, None]
    k = d.shape[1]
    some = pd.Series(y).groupby(person).transform("sum").to_numpy() > 0
    if family == "linear":
        some[:] = True
        mean_time = panel.exposure["gp"].sum(1) / seen.sum(1)
        w, y = w * mean_time[person], 1000 * y / e
    x = np.column_stack(
        [d, pd.get_dummies(period, dtype=float).to_numpy()[:, 1:], pd.get_dummies(person, dtype=float)]
    )[some]
    x = x[:, (x != 0).any(0)]
    if family == "linear":
        fit = sm.WLS(y, x, weights=w).fit()
        score, hessian = w * (y - fit.fittedvalues), (x * w[:, None]).T @ x
    else:
        fit = sm.GLM(
            y[some], x, family=sm.families.Poisson(), offset=np.log(e[some]), freq_weights=w[some]
        ).fit(tol=1e-14, maxiter=200)
        mean = fit.fittedvalues
        score, hessian = w[some] * (y[some] - mean), (x * (w[some] * mean)[:, None]).T @ x
    psi = (score[:, None] * x) @ np.linalg.inv(hessian)
    root = pd.DataFrame(psi[:, :k]).groupby(panel.cluster[person[some]]).sum().to_numpy()
    g, n = len(set(panel.cluster)), len(y)
    factor = np.sqrt(g / (g - 1) * (n - 1) / (n - (k + T)))
    return fit.params[:k], factor * np.sqrt((root**2).sum(0))


@pytest.mark.parametrize("event_study", [False, True])
@pytest.mark.parametrize("family", ["linear", "poisson"])
@pytest.mark.parametrize("starts", [(3,), (2, 4)])
def test_equals_the_model_with_every_dummy(make_panel, family, event_study, starts):
    panel = make_panel(n=70, starts=starts, holes=0.05, uneven=True, weighted=True, clusters=20)
    effects = did.twfe(panel, outcome="gp", family=family, event_study=event_study, staggered="allow")
    coef, error = dummies(panel, family, event_study)
    k = len(coef)
    np.testing.assert_allclose(effects.estimate[:k], coef, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(effects.std_error[:k], error, rtol=1e-6)


def test_overall_of_an_event_study_is_the_average_after_support(make_panel):
    effects = did.twfe(make_panel(starts=(3,)), outcome=["gp", "ae"], event_study=True)
    after = effects.table.query("event_time >= 0")
    assert effects.overall.table["estimate"].tolist() == pytest.approx(
        [after.query("outcome == @o")["estimate"].mean() for o in ("gp", "ae")]
    )
    assert -1 not in set(effects.table["event_time"])
    assert did.pretrend_test(effects.select(effects.labels["outcome"] == "gp")).df == 2


def test_several_starts_are_refused_with_the_reason(make_panel):
    panel = make_panel()
    with pytest.raises(DesignError, match=r"forbidden comparisons.*negative.*callaway_santanna"):
        did.twfe(panel, outcome="gp", family="linear")
    allowed = did.twfe(panel, outcome="gp", family="linear", staggered="allow")
    assert any("forbidden comparisons" in note for note in allowed.method["notes"])


def test_poisson_scales_agree_and_periods_without_events_say_nothing(make_panel):
    panel = make_panel(starts=(3,), uneven=True)
    quiet = panel.outcomes["gp"].copy()
    quiet[:, 5] = 0
    panel = replace(panel, outcomes={"gp": quiet})
    table = did.twfe(panel, outcome="gp", family="poisson").table.set_index("scale")["estimate"]
    after = (panel.start == 3)[:, None] & (np.arange(6) >= 3)
    events, time = quiet[after].sum(), panel.exposure["gp"][after].sum()
    expected = events / np.exp(table["log ratio"])
    assert table["events avoided"] == pytest.approx(expected - events)
    assert table["difference"] == pytest.approx(1000 * (events - expected) / time)


def test_what_cannot_be_told_apart_is_refused(make_panel):
    panel = make_panel(starts=(2, 4))
    everyone = panel.subset(panel.start < 6)
    with pytest.raises(DesignError, match="cannot be told apart"):
        did.twfe(everyone, outcome="gp", family="linear", event_study=True, staggered="allow")
    one = make_panel(starts=(3,))
    empty = one.outcomes["gp"] * ~((one.start == 3)[:, None] & (np.arange(6) == 4))
    with pytest.raises(DesignError, match="no events among the treated at event time 1"):
        did.twfe(replace(one, outcomes={"gp": empty}), outcome="gp", family="poisson", event_study=True)
    controls = one.outcomes["gp"] * ((one.start == 3)[:, None] | (np.arange(6) > 3))
    with pytest.raises(DesignError, match="no events among the controls before"):
        did.twfe(replace(one, outcomes={"gp": controls}), outcome="gp", family="poisson")
