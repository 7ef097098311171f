"""The saturated model by hand, covariates and person effects against statsmodels' dummies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from impact import did
from impact.errors import DataError, DesignError


@pytest.fixture
def panel(make_panel):
    return make_panel(starts=(3,), holes=0.05, uneven=True, weighted=True, clusters=35)


def collapsed(panel, name="gp"):
    """One row a person and side, with events, time and everything the models need."""
    rows = []
    for after, columns in ((0, slice(0, 3)), (1, slice(3, 6))):
        rows.append(
            pd.DataFrame(
                {
                    "id": panel.unit,
                    "y": panel.outcomes[name][:, columns].sum(1),
                    "e": panel.exposure[name][:, columns].sum(1),
                    "d": (panel.start < 6).astype(float),
                    "after": float(after),
                    "w": panel.weights,
                    "age": panel.covariates["age"],
                    "cluster": panel.cluster,
                }
            )
        )
    frame = pd.concat(rows, ignore_index=True)
    return frame[frame["e"] > 0].reset_index(drop=True)


def robust(x, score, hessian, cluster):
    """Cluster sums of influences, without any factor."""
    influence = pd.DataFrame(score * x @ np.linalg.inv(hessian)).groupby(np.asarray(cluster)).sum()
    return np.sqrt((influence**2).sum()).to_numpy()


def factor(panel, k):
    g, n = len(set(panel.cluster)), int((panel.exposure["gp"] > 0).sum())
    return np.sqrt(g / (g - 1) * (n - 1) / (n - k))


def test_poisson_arms_are_four_rates_and_their_ratio(panel):
    table = did.two_by_two(panel, outcome="gp").table.set_index("scale")
    f = collapsed(panel)
    sums = (f[["y", "e"]].mul(f["w"], axis=0)).groupby([f["d"], f["after"]]).sum()
    rate = sums["y"] / sums["e"]
    expected = sums.loc[(1, 1), "e"] * rate[1, 0] * rate[0, 1] / rate[0, 0]
    observed = sums.loc[(1, 1), "y"]
    assert table.loc["log ratio", "estimate"] == pytest.approx(np.log(observed / expected))
    assert table.loc["events avoided", "estimate"] == pytest.approx(expected - observed)
    difference = 1000 * (observed - expected) / sums.loc[(1, 1), "e"]
    assert table.loc["difference", "estimate"] == pytest.approx(difference)
    assert table.index[0] == "log ratio"


@pytest.mark.parametrize("family", ["poisson", "linear"])
def test_covariates_enter_by_period(panel, family):
    table = did.two_by_two(panel, outcome="gp", family=family, covariates=["age"]).table
    f = collapsed(panel)
    x = np.column_stack(
        [np.ones(len(f)), f["d"], f["after"], f["d"] * f["after"], f["age"], f["age"] * f["after"]]
    )
    if family == "poisson":
        model = sm.GLM(f["y"], x, family=sm.families.Poisson(), offset=np.log(f["e"]), freq_weights=f["w"])
        fit = model.fit(tol=1e-14)
        mean = fit.fittedvalues.to_numpy()
        score, hessian = f["w"] * (f["y"] - mean), (x * (f["w"] * mean).to_numpy()[:, None]).T @ x
        coef = fit.params.iloc[3]
    else:
        rate, w = 1000 * f["y"] / f["e"], f["w"] * f["e"]
        fit = sm.WLS(rate, x, weights=w).fit()
        score, hessian = w * (rate - fit.fittedvalues), (x * w.to_numpy()[:, None]).T @ x
        coef = fit.params.iloc[3]
    error = robust(x, score.to_numpy()[:, None], hessian, f["cluster"])[3] * factor(panel, 6)
    assert table["estimate"].iloc[0] == pytest.approx(coef, rel=1e-8)
    assert table["std_error"].iloc[0] == pytest.approx(error, rel=1e-7)


def test_the_error_of_the_difference_is_that_of_its_formula(panel):
    """Delta method by hand from the four rates, each a ratio of sums, with their joint cluster influence."""
    effects = did.two_by_two(panel, outcome="gp")
    f = collapsed(panel)
    rates, influence = {}, {}
    for d in (0, 1):
        for after in (0, 1):
            here = (f["d"] == d) & (f["after"] == after)
            time = (f["w"] * f["e"])[here].sum()
            rates[d, after] = (f["w"] * f["y"])[here].sum() / time
            psi = f["w"] * here * (f["y"] - rates[d, after] * f["e"]) / time
            influence[d, after] = psi.groupby(f["cluster"]).sum()
    m = rates[1, 0] * rates[0, 1] / rates[0, 0]
    slope = {(1, 1): 1.0, (1, 0): -m / rates[1, 0], (0, 1): -m / rates[0, 1], (0, 0): m / rates[0, 0]}
    total = sum(slope[k] * influence[k] for k in slope)
    error = 1000 * np.sqrt((total**2).sum()) * factor(panel, 4)
    table = effects.table.set_index("scale")
    assert table.loc["difference", "std_error"] == pytest.approx(error, rel=1e-8)
    person_time = (f["w"] * f["e"])[(f["d"] == 1) & (f["after"] == 1)].sum()
    assert table.loc["events avoided", "std_error"] == pytest.approx(error * person_time / 1000)


def test_poisson_person_effects_equal_a_dummy_for_each_person(make_panel):
    panel = make_panel(n=60, starts=(3,), holes=0.1, uneven=True, weighted=True)
    effects = did.two_by_two(panel, outcome="gp", covariates=["age"], effects="person")
    f = collapsed(panel)
    f = f[(f.groupby("id")["e"].transform("size") == 2) & (f.groupby("id")["y"].transform("sum") > 0)]
    x = pd.get_dummies(f["id"], dtype=float).assign(
        a=f["after"], da=f["d"] * f["after"], za=(f["age"] - 50) / 10 * f["after"]
    )
    fit = sm.GLM(f["y"], x, family=sm.families.Poisson(), offset=np.log(f["e"]), freq_weights=f["w"]).fit(
        tol=1e-14
    )
    assert effects.estimate[0] == pytest.approx(fit.params["da"], rel=1e-7)
    xs = x.to_numpy()
    mean = fit.fittedvalues.to_numpy()
    hessian = (xs * (f["w"].to_numpy() * mean)[:, None]).T @ xs
    raw = robust(xs, (f["w"] * (f["y"] - mean)).to_numpy()[:, None], hessian, f["id"])[-2]
    g, n = panel.n, len(f)
    assert effects.std_error[0] == pytest.approx(raw * np.sqrt(g / (g - 1) * (n - 1) / (n - 4)), rel=1e-6)
    assert effects.method["effects"] == "person"


def test_linear_person_effects_are_each_persons_own_change(make_panel):
    panel = make_panel(starts=(3,), holes=0.4, uneven=True, weighted=True, clusters=35)
    effects = did.two_by_two(panel, outcome="gp", family="linear", effects="person")
    f = collapsed(panel).set_index(["id", "after"])
    y, e = (f[c].unstack().dropna() for c in ("y", "e"))
    change = 1000 * (y[1] / e[1] - y[0] / e[0])
    w = panel.weights[change.index] * e[0]
    treated = panel.start[change.index] < 6
    mean = [np.average(change[t], weights=w[t]) for t in (treated, ~treated)]
    assert effects.estimate[0] == pytest.approx(mean[0] - mean[1])
    assert any("before only" in note and "left out" in note for note in effects.method["notes"])
    assert effects.counts["persons"].iloc[0] == len(change)


def test_the_event_clock_takes_everyones_own_zero(make_panel):
    panel = make_panel(starts=(3,))
    event = replace(panel, clock="event", periods=pd.Index(np.arange(-3, 3)), start=np.full(panel.n, 9))
    np.testing.assert_allclose(
        did.two_by_two(event, outcome="gp").estimate, did.two_by_two(panel, outcome="gp").estimate
    )


def test_joint_over_outcomes(panel):
    both = did.two_by_two(panel, outcome=["gp", "ae"])
    alone = did.two_by_two(panel, outcome="ae")
    np.testing.assert_allclose(both.estimate[3:], alone.estimate)
    np.testing.assert_allclose(both.std_error[3:], alone.std_error)
    assert abs(both.vcov[0, 3]) > 0


def test_what_cannot_be_compared_is_refused(make_panel):
    told = r"starts in several periods: use etwfe or callaway_santanna.*clock='event'"
    with pytest.raises(DesignError, match=told):
        did.two_by_two(make_panel(), outcome="gp")
    panel = make_panel(starts=(3,))
    one = replace(panel, start=np.where(np.arange(panel.n) == 0, 3, 6))
    with pytest.raises(DesignError, match="only one person"):
        did.two_by_two(one, outcome="gp")
    with pytest.raises(DesignError, match="there are no people at risk in the control arm"):
        did.two_by_two(replace(panel, start=np.full(panel.n, 3)), outcome="gp")
    below = replace(panel, outcomes={"gp": panel.outcomes["gp"] - 5})
    with pytest.raises(DataError, match="below zero, and family='poisson' is for counts"):
        did.two_by_two(below, outcome="gp")


@pytest.mark.parametrize("effects", ["arm", "person"])
def test_a_cell_without_events_has_no_ratio_and_few_events_are_noted(make_panel, effects):
    panel = make_panel(starts=(3,))
    treated = (panel.start == 3)[:, None]
    before = np.arange(6) < 3
    never = replace(panel, outcomes={"gp": panel.outcomes["gp"] * ~(treated & before)})
    with pytest.raises(DesignError, match="no events among the treated before, so there is no ratio"):
        did.two_by_two(never, outcome="gp", effects=effects)
    late = panel.outcomes["gp"] * ~(treated & ~before)
    late[np.flatnonzero(treated)[:3], 4] = 1
    rare = did.two_by_two(replace(panel, outcomes={"gp": late}), outcome="gp", effects=effects)
    assert any(note.startswith("too few events: gp") for note in rare.method["notes"])
