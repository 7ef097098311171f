"""Sun-Abraham and ETWFE: their plain twin, their influence by perturbed weights, and what they refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from impact.data.panel import Panel
from impact.did import aggregate, summarise
from impact.did.etwfe import etwfe
from impact.did.saturated import AT_MEAN
from impact.did.sun_abraham import sun_abraham
from impact.errors import DataError, DesignError, ParameterError


def rows(effects, scale):
    """Estimates of one scale by group and period."""
    labels = effects.labels
    keep = (labels["scale"] == scale).to_numpy()
    return pd.Series(
        effects.estimate[keep], index=pd.MultiIndex.from_frame(labels.loc[keep, ["group", "period"]])
    )


def twin(panel, family, control, effects, covariates, dropped=()):
    """Cells from the model with every dummy written out: ATT, or events expected without the effect."""
    seen = panel.exposure["gp"] > 0
    person, period = np.nonzero(seen)
    start, T = panel.start[person], len(panel.periods)
    last = start - 1
    treated = (start < T) & ((period > last) if control == "not_yet_treated" else (period != last))
    w, y, time = panel.weights[person], panel.outcomes["gp"][seen], panel.exposure["gp"][seen]
    if panel.censoring_weights is not None:
        w = w * panel.censoring_weights[seen]
    cells = sorted(set(zip(start[treated].tolist(), period[treated].tolist(), strict=True)))
    here = [(start == g) & (period == t) for g, t in cells]
    x = panel.covariates[covariates].to_numpy(float) if covariates else np.zeros((panel.n, 0))
    means = {
        g: np.average(x[panel.start == g], axis=0, weights=panel.weights[panel.start == g]) for g, _ in cells
    }
    columns, of_cells = [], 0
    for (g, t), mask in zip(cells, here, strict=True):
        if (g, t) not in dropped:
            columns += [mask, *(mask[:, None] * (x[person] - means[g])).T]
    of_cells = len(columns)
    for t in range(1, T):
        columns += [period == t, *((period == t)[:, None] * x[person]).T]
    level = person if effects == "person" else start
    columns += [level == i for i in np.unique(level)]
    if effects == "cohort":
        columns += [v for g in np.unique(start) for v in ((start == g)[:, None] * x[person]).T]
    design = np.column_stack(columns).astype(float)
    fitted = ~np.any(
        [m for c, m in zip(cells, here, strict=True) if c in dropped] or [np.zeros(len(y), bool)], 0
    )
    if family == "linear":
        mean = panel.exposure["gp"].sum(1) / seen.sum(1)
        coef = sm.WLS(1000 * y / time, design, weights=w * mean[person]).fit().params
        return {c: coef[j * (1 + x.shape[1])] for j, c in enumerate(cells)}
    model = sm.GLM(
        y[fitted],
        design[fitted],
        family=sm.families.Poisson(),
        offset=np.log(time[fitted]),
        freq_weights=w[fitted],
    )
    coef = model.fit(tol=1e-13, maxiter=300).params
    coef[:of_cells] = 0
    expected = w * time * np.exp(design @ coef)
    return {c: expected[mask].sum() for c, mask in zip(cells, here, strict=True)}


def awkward(make_panel, **more):
    panel = make_panel(n=90, starts=(2, 4), holes=0.08, uneven=True, weighted=True, **more)
    quit = np.random.default_rng(9).uniform(1, 1.5, panel.exposure["gp"].shape)
    return replace(panel, censoring_weights=quit)


@pytest.mark.parametrize("covariates", [[], ["age"]])
@pytest.mark.parametrize("effects", ["person", "cohort"])
@pytest.mark.parametrize("control", ["not_yet_treated", "never_treated"])
@pytest.mark.parametrize("family", ["linear", "poisson"])
def test_equals_the_model_with_every_dummy(make_panel, family, control, effects, covariates):
    panel = awkward(make_panel)
    panel = replace(panel, covariates=panel.covariates.assign(age=(panel.covariates["age"] - 50) / 10))
    plan = {"control": control, "effects": effects, "covariates": covariates}
    found = rows(
        etwfe(panel, outcome="gp", family=family, **plan), "expected" if family == "poisson" else "difference"
    )
    expected = twin(panel, family, control, effects, covariates)
    assert len(found) == len(expected)
    for (g, t), value in expected.items():
        assert found[panel.periods[g], panel.periods[t]] == pytest.approx(value, rel=1e-6)


PLANS = [
    (etwfe, {"covariates": ["age", "sex"]}),
    (etwfe, {"covariates": ["age"], "effects": "cohort"}),
    (etwfe, {"control": "never_treated"}),
    (etwfe, {"family": "linear", "anticipation": 1}),
    (sun_abraham, {"time_varying": ["ae"]}),
]


@pytest.mark.parametrize(("estimator", "plan"), PLANS)
def test_influence_is_what_a_little_more_weight_does(make_panel, monkeypatch, estimator, plan):
    """The root of each row is the derivative by a person's weight; totals are less their share of them."""
    monkeypatch.setattr("impact.did.regression.Sample.factor", lambda *_: 1.0)
    panel = awkward(make_panel)
    if plan.get("time_varying"):
        panel = replace(panel, exposure={"gp": panel.exposure["gp"], "ae": panel.exposure["gp"]})
    effects = estimator(panel, outcome="gp", **plan)
    root = pd.DataFrame(effects.root @ np.eye(len(effects)), index=effects.clusters)
    labels, h = effects.labels["scale"], 1e-4
    totals = labels.isin(["expected", "events", "person-months"]).to_numpy()
    at_mean = (labels == AT_MEAN).to_numpy()  # the mean is held fixed, as in R
    for i in (0, 7, 23, 41, 88):
        up, down = (
            estimator(
                replace(panel, weights=panel.weights * (1 + s * h * (np.arange(panel.n) == i))),
                outcome="gp",
                **plan,
            ).estimate
            for s in (1, -1)
        )
        slope = (up - down) / (2 * h)
        slope -= totals * effects.estimate * panel.weights[i] / panel.weights.sum()
        found = root.loc[panel.cluster[i]].to_numpy()
        np.testing.assert_allclose(found[~at_mean], slope[~at_mean], rtol=1e-4, atol=1e-5)


def test_cells_without_events_keep_their_expected_events(make_panel):
    panel = make_panel(n=90, starts=(2, 4))
    y = panel.outcomes["gp"].copy()
    y[panel.start == 2, 3] = 0
    panel = replace(panel, outcomes={"gp": y})
    effects = etwfe(panel, outcome="gp")
    expected = twin(panel, "poisson", "not_yet_treated", "person", [], dropped=[(2, 3)])
    found = rows(effects, "expected")
    for (g, t), value in expected.items():
        assert found[panel.periods[g], panel.periods[t]] == pytest.approx(value, rel=1e-6)
    assert (panel.periods[2], panel.periods[3]) not in rows(effects, "log ratio").index
    assert np.isfinite(summarise(effects).std_error).all()


def test_nothing_before_support_expects_nothing_after_it(make_panel):
    panel = make_panel(n=200, starts=(2, 4))
    y = panel.outcomes["gp"].copy()
    y[panel.start == 2, :2] = 0
    quiet = replace(panel, outcomes={"gp": y})
    for plan in ({}, {"covariates": ["age"], "effects": "cohort"}):
        effects = etwfe(quiet, outcome="gp", **plan)
        without = etwfe(panel.subset(panel.start != 2), outcome="gp", **plan)
        found, others = rows(effects, "expected"), rows(without, "expected")
        assert (found[panel.periods[2]] == 0).all()
        np.testing.assert_allclose(found[panel.periods[4]], others[panel.periods[4]], rtol=1e-8)
        assert any("nothing happened to those of 1 of 2 starts" in n for n in effects.method["notes"])
        assert "2023-03" not in str(effects.method["notes"])
    table = summarise(effects).table.set_index("scale")["estimate"]
    after = (np.arange(6) >= quiet.start[:, None]) & (quiet.start < 6)[:, None]
    assert table["events avoided"] == pytest.approx(found.sum() - y[after].sum())


def test_a_period_in_which_nothing_happened_without_support_expects_nothing(make_panel):
    panel = make_panel(n=200, starts=(2, 4))
    y = panel.outcomes["gp"].copy()
    y[panel.start > 3, 3] = 0
    effects = etwfe(replace(panel, outcomes={"gp": y}), outcome="gp")
    found = rows(effects, "expected")
    assert found[panel.periods[2], panel.periods[3]] == 0
    assert (found.drop((panel.periods[2], panel.periods[3])) > 0).all()
    only = y * (np.arange(6) >= panel.start[:, None])
    with pytest.raises(DesignError, match="no events among people without support"):
        etwfe(replace(panel, outcomes={"gp": only}), outcome="gp")


@pytest.mark.parametrize("family", ["linear", "poisson"])
def test_a_covariate_that_is_constant_in_a_small_group_takes_nothing_with_it(make_panel, family):
    panel = make_panel(n=150, starts=(2, 4))
    sex = panel.covariates["sex"].to_numpy(copy=True)
    sex[panel.start == 4] = "f"
    panel = replace(panel, covariates=panel.covariates.assign(sex=sex))
    effects = etwfe(panel, outcome="gp", family=family, covariates=["age", "sex"])
    assert set(effects.table["group"]) == set(panel.periods[[2, 4]])
    assert np.isfinite(effects.table["std_error"]).all()
    assert any("interactions" in note and "left out" in note for note in effects.method["notes"])


@pytest.mark.parametrize("control", ["not_yet_treated", "never_treated"])
def test_rare_levels_do_not_stop_a_poisson_model(control):
    """Where one level's events all lie on one side of support, its interactions would be infinite."""
    rng = np.random.default_rng(0)
    n, T = 900, 11
    start = np.where(rng.random(n) < 0.4, T, rng.choice([3, 5, 8], n))
    level = rng.choice(list("abc"), n, p=[0.6, 0.38, 0.02])
    time = rng.uniform(0.1, 1, (n, T)) * (rng.random((n, T)) > 0.05)
    y = rng.poisson(rng.gamma(0.5, 1, (n, 1)) * time).astype(float)
    y[(level == "c") & (start < T)] *= np.arange(T) >= start[(level == "c") & (start < T), None]
    panel = Panel(
        unit=np.arange(n),
        periods=pd.RangeIndex(T),
        outcomes={"gp": y},
        exposure={"gp": time},
        start=start,
        treated=start < T,
        covariates=pd.DataFrame({"age": rng.normal(size=n), "level": level}),
        cluster=np.arange(n),
        weights=np.ones(n),
        arm=np.where(start < T, "supported", "control"),
    )
    effects = etwfe(panel, outcome="gp", control=control, covariates=["age", "level"])
    assert np.isfinite(effects.std_error).all()
    table = summarise(effects).table.set_index("scale")
    assert abs(table.loc["log ratio", "estimate"]) < 4 * table.loc["log ratio", "std_error"] + 0.1


def test_next_to_no_events_is_an_error_with_advice(make_panel):
    panel = make_panel(starts=(2, 4))
    one = np.zeros_like(panel.outcomes["gp"])
    one[np.flatnonzero(panel.start == 6)[:3], 1] = 1
    with pytest.raises(DesignError, match=r"without support, or in one cluster.*longer periods"):
        etwfe(replace(panel, outcomes={"gp": one}), outcome="gp")
    one[np.flatnonzero(panel.start == 6)[:3], 3] = 1
    with pytest.raises(DesignError, match="without support nothing happened to those supported"):
        etwfe(replace(panel, outcomes={"gp": one}), outcome="gp")


@pytest.mark.parametrize("estimator", [etwfe, sun_abraham])
def test_without_anyone_never_treated_the_last_to_start_are_the_controls(make_panel, estimator):
    panel = make_panel(n=150, starts=(2, 3, 5))
    everyone = panel.subset(panel.start < 6)
    effects = estimator(everyone, outcome="gp")
    assert any("are the controls" in note and "2023-06" in note for note in effects.method["notes"])
    cut = replace(
        everyone,
        periods=everyone.periods[:5],
        outcomes={"gp": everyone.outcomes["gp"][:, :5]},
        exposure={"gp": everyone.exposure["gp"][:, :5]},
        start=np.minimum(everyone.start, 5),
        treated=everyone.start < 5,
    )
    same = estimator(cut, outcome="gp")
    np.testing.assert_allclose(effects.estimate, same.estimate)
    np.testing.assert_allclose(effects.std_error, same.std_error)
    with pytest.raises(DesignError, match="use 'not_yet_treated'"):
        etwfe(everyone, outcome="gp", control="never_treated")
    # With anticipation the last group's build-up leaves too; where nobody starts before it, nothing is left.
    early = estimator(everyone, outcome="gp", anticipation=1)
    assert early.labels["period"].max() == panel.periods[3]
    with pytest.raises(DesignError, match="smaller anticipation"):
        estimator(everyone.subset(everyone.start > 2), outcome="gp", anticipation=2)


def test_anticipation_moves_the_reference_and_is_no_effect_of_support(make_panel):
    panel = make_panel(n=150, starts=(3, 4))
    labels = sun_abraham(panel, outcome="gp", anticipation=1).table
    assert -2 not in set(labels["event_time"])
    assert {-1, -3} <= set(labels["event_time"])
    effects = etwfe(panel, outcome="gp", anticipation=1)
    assert effects.table["event_time"].min() == -1
    assert aggregate(effects, by="event_time").table["event_time"].min() == -1


def test_groups_of_one_cluster_are_left_out_and_named(make_panel):
    panel = make_panel(n=150, starts=(2, 4), clusters=12)
    alone = replace(panel, cluster=np.where(panel.start == 4, 99, panel.cluster))
    effects = etwfe(alone, outcome="gp", family="linear")
    assert set(effects.table["group"]) == {panel.periods[2]}
    assert any("left out" in note and "1 of 2 starts" in note for note in effects.method["notes"])
    assert "2023-05" not in str(effects.method["notes"])
    assert any("of the supported person-time" in note for note in effects.method["notes"])
    both = replace(panel, cluster=np.where(panel.start < 6, 90 + panel.start, panel.cluster))
    with pytest.raises(DesignError, match="no group can be compared"):
        etwfe(both, outcome="gp")


def test_counts_are_of_the_cell_and_its_controls(make_panel):
    panel = make_panel(n=150, starts=(2, 4), clusters=30, holes=0.2)
    effects = etwfe(panel, outcome="gp", family="linear")
    cell = (effects.labels["group"] == panel.periods[2]) & (effects.labels["period"] == panel.periods[3])
    counts = effects.counts[cell & (effects.labels["scale"] == "difference")].iloc[0]
    seen = panel.exposure["gp"][:, 3] > 0
    treated = seen & (panel.start == 2)
    both = treated | (seen & (panel.start > 3))
    assert counts.to_dict() == {
        "persons": both.sum(),
        "treated": treated.sum(),
        "clusters": len(set(panel.cluster[both])),
        "events": panel.outcomes["gp"][treated, 3].sum(),
    }


def test_what_cannot_be_done_is_refused(make_panel):
    panel = make_panel()
    for wrong in ({"control": "later"}, {"family": "logit"}, {"effects": "site"}, {"anticipation": -1}):
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            etwfe(panel, outcome="gp", **wrong)
    with pytest.raises(DesignError, match="etwfe needs clock='calendar'"):
        etwfe(replace(panel, clock="event"), outcome="gp")
    with pytest.raises(DataError, match="time_varying: 'gp' is the outcome itself"):
        sun_abraham(panel, outcome="gp", time_varying=["gp"])
    with pytest.raises(DataError, match=r"time_varying: 'ae' is missing in \d+ rows"):
        sun_abraham(panel, outcome="gp", time_varying=["ae"])
    with pytest.raises(DataError, match="values are below zero"):
        etwfe(replace(panel, outcomes={"gp": panel.outcomes["gp"] - 1}), outcome="gp")


def test_a_ratio_of_one_cell_has_the_error_of_the_regressions_own_coefficient(make_panel):
    """The small-sample factor is on observed and expected events alike, so that what they share cancels."""
    panel = make_panel(n=120, periods=2, starts=(1,), clusters=30, uneven=True)
    arm, after = np.repeat(panel.treated, 2), np.tile([False, True], 120)
    design = np.column_stack([np.ones(240), arm, after, arm & after]).astype(float)
    model = sm.GLM(
        panel.outcomes["gp"].ravel(),
        design,
        family=sm.families.Poisson(),
        offset=np.log(panel.exposure["gp"].ravel()),
    )
    fit = model.fit(tol=1e-13, cov_type="cluster", cov_kwds={"groups": np.repeat(panel.cluster, 2)})
    found = etwfe(panel, outcome="gp", effects="cohort")
    for effects in (found, summarise(found)):
        ratio = effects.table.set_index("scale").loc["log ratio"]
        assert ratio["estimate"] == pytest.approx(fit.params[3], rel=1e-8)
        assert ratio["std_error"] == pytest.approx(fit.bse[3], rel=1e-7)


def test_counts_that_only_leavers_or_late_comers_have_leave_a_finite_fit():
    """A start whose people with events before support are gone by then expects none after it, and no error.

    Person effects tie periods together only through people who have events in one and are at risk in both.
    """
    rng = np.random.default_rng(5)
    n, T = 60, 6
    start = np.repeat([3, 4, T], 20)
    time = np.ones((n, T))
    y = rng.poisson(1.5, (n, T)).astype(float)
    # Of those who start first, the first half have events before and leave; the rest have theirs after.
    time[:10, 3:] = 0
    y[:10, 3:] = 0
    y[10:20, :3] = 0
    panel = Panel(
        unit=np.arange(n),
        periods=pd.RangeIndex(T),
        outcomes={"ae": y},
        exposure={"ae": time},
        start=start,
        treated=start < T,
        covariates=pd.DataFrame(index=range(n)),
        cluster=np.arange(n),
        weights=np.ones(n),
        arm=np.where(start < T, "supported", "control"),
    )
    found = etwfe(panel, outcome="ae")
    expected = found.labels["scale"] == "expected"
    first = expected & (found.labels["group"] == 3)
    assert (found.estimate[first] == 0).all()
    other = etwfe(panel.subset(start != 3), outcome="ae")
    mine = found.labels["scale"].eq("expected") & (found.labels["group"] == 4)
    np.testing.assert_allclose(
        found.estimate[mine][-1], other.estimate[other.labels["scale"] == "expected"][-1], rtol=0.2
    )
    assert np.isfinite(summarise(found).std_error).all()
