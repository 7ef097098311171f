"""The fast routine against a plain twin that loops over cells as R's did and DRDID do."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from impact import did
from impact.data.panel import Panel
from impact.errors import DataError, DesignError, ParameterError
from impact.results import Blocks


def plain(panel, name, control, names, method, base_period, anticipation):
    """ATT(g, t) and influences by the formulas of Sant'Anna and Zhao (2020), one cell at a time."""
    T, n = len(panel.periods), panel.n
    x = pd.get_dummies(panel.covariates.assign(one=1.0), drop_first=True, dtype=float)
    x = x[["one", *(c for c in x if c.split("_")[0] in names)]].to_numpy()
    y, e, out = panel.rate(name), panel.exposure[name], {}
    for g in sorted(set(panel.start[(panel.start > anticipation) & (panel.start < T)].tolist())):
        for t in range(T):
            long = g - 1 - anticipation
            b = long if base_period == "universal" or t > long else t - 1
            if b < 0 or t == b:
                continue
            clean = (
                panel.start > max(t, b) + anticipation if control == "not_yet_treated" else panel.start >= T
            )
            clean |= panel.start >= T
            used = ((panel.start == g) | (clean & (panel.start != g))) & (e[:, t] > 0) & (e[:, b] > 0)
            i = np.flatnonzero(used)
            if not (panel.start[i] != g).any():
                continue
            w = panel.weights[i] * e[i, b]
            if panel.censoring_weights is not None:
                w = w * panel.censoring_weights[i, max(t, b)]
            w = w / w.mean()
            att, psi = one_cell((panel.start[i] == g).astype(float), y[i, t] - y[i, b], x[i], w, method)
            full = np.zeros(n)
            full[i] = psi / len(i)
            out[panel.periods[g], panel.periods[t]] = att, full
    return out


def one_cell(d, delta, x, w, method):
    n, zero = len(d), d == 0
    ps = sm.GLM(d, x, family=sm.families.Binomial(), freq_weights=w).fit(tol=1e-14).fittedvalues
    fit = sm.WLS(delta[zero], x[zero], weights=w[zero]).fit()
    mu = x @ fit.params if method != "ipw" else np.zeros(n)
    w1 = w * d
    w0 = w * ps * (1 - d) / (1 - ps) * (ps < 0.995) if method != "reg" else w * d
    r = delta - mu
    ols = (w * (1 - d) * r)[:, None] * x @ np.linalg.inv((x * (w * (1 - d))[:, None]).T @ x / n)
    logit = (w * (d - ps))[:, None] * x @ np.linalg.inv((x * (w * ps * (1 - ps))[:, None]).T @ x / n)
    if method == "reg":
        treated, control = (w1 * delta).mean() / w1.mean(), (w1 * mu).mean() / w1.mean()
        inf1 = w1 * (delta - treated) / w1.mean()
        inf0 = (w1 * (mu - control) + ols @ (w1[:, None] * x).mean(0)) / w1.mean()
        return treated - control, inf1 - inf0
    treated, control = (w1 * r).mean() / w1.mean(), (w0 * r).mean() / w0.mean()
    inf1 = w1 * (r - treated)
    inf0 = w0 * (r - control) + logit @ ((w0 * (r - control))[:, None] * x).mean(0)
    if method == "dr":
        inf1 = inf1 - ols @ (w1[:, None] * x).mean(0)
        inf0 = inf0 - ols @ (w0[:, None] * x).mean(0)
    return treated - control, inf1 / w1.mean() - inf0 / w0.mean()


AWKWARD = {"holes": 0.03, "uneven": True, "weighted": True, "clusters": 40}


@pytest.mark.parametrize("shape", [{}, {"holes": 0.03}, AWKWARD], ids=["complete", "holes", "awkward"])
@pytest.mark.parametrize("control", ["never_treated", "not_yet_treated"])
@pytest.mark.parametrize(
    ("covariates", "method", "base_period", "anticipation"),
    [
        ((), "dr", "varying", 0),
        (("age", "sex"), "dr", "universal", 0),
        (("age",), "dr", "varying", 1),
        (("age", "sex"), "reg", "varying", 0),
        (("age", "sex"), "ipw", "universal", 1),
    ],
)
def test_equals_the_plain_twin(make_panel, shape, control, covariates, method, base_period, anticipation):
    panel = make_panel(**shape)
    effects = did.callaway_santanna(
        panel,
        outcome="gp",
        control=control,
        covariates=covariates,
        method=method,
        base_period=base_period,
        anticipation=anticipation,
    )
    slow = plain(panel, "gp", control, covariates, method, base_period, anticipation)
    assert_equal(panel, effects, slow)


def assert_equal(panel, effects, slow):
    cells = effects.table
    assert set(slow) == set(zip(cells["group"], cells["period"], strict=True))
    for row in cells.itertuples():
        att, psi = slow[row.group, row.period]
        summed = pd.Series(psi).groupby(panel.cluster).sum()
        assert row.estimate == pytest.approx(att, rel=1e-8, abs=1e-8)
        assert row.std_error == pytest.approx(np.sqrt((summed**2).sum()), rel=1e-7)


@pytest.mark.parametrize("shape", [{}, AWKWARD], ids=["complete", "awkward"])
@pytest.mark.parametrize("base_period", ["universal", "varying"])
def test_weights_against_loss_are_those_of_the_later_period(make_panel, shape, base_period):
    panel = make_panel(**shape)
    loss = np.random.default_rng(4).uniform(1, 1.3, (panel.n, 6)).cumprod(axis=1)
    panel = replace(panel, censoring_weights=np.where(panel.exposure["gp"] > 0, loss, 0.0))
    effects = did.callaway_santanna(panel, outcome="gp", covariates=["age"], base_period=base_period)
    slow = plain(panel, "gp", "not_yet_treated", ["age"], "dr", base_period, 0)
    assert_equal(panel, effects, slow)
    none = did.callaway_santanna(replace(panel, censoring_weights=None), outcome="gp", covariates=["age"])
    ones = replace(panel, censoring_weights=np.ones((panel.n, 6)))
    same = did.callaway_santanna(ones, outcome="gp", covariates=["age"])
    np.testing.assert_allclose(same.table["estimate"], none.table["estimate"], rtol=1e-12)


@pytest.mark.parametrize("control", ["never_treated", "not_yet_treated"])
def test_groups_far_apart_still_have_their_propensities(make_panel, control):
    """Full Newton steps overshoot here, and some controls are trimmed."""
    panel = make_panel(1000)
    age = panel.covariates["age"] + 35 * (panel.start == 3) + np.where(panel.start == 5, -25.0, 0.0)
    panel = replace(panel, covariates=panel.covariates.assign(age=age))
    effects = did.callaway_santanna(panel, outcome="gp", control=control, covariates=["age"], method="ipw")
    assert_equal(panel, effects, plain(panel, "gp", control, ["age"], "ipw", "universal", 0))


def test_people_by_cells_is_made_only_when_asked_for(make_panel):
    panel = make_panel()
    effects = did.callaway_santanna(panel, outcome="gp", covariates=["age"])
    assert isinstance(effects.root, Blocks)
    whole = effects.root @ np.eye(len(effects))
    some = effects.root.make(slice(30, 170), np.eye(len(effects))[:, [2, 5]])
    np.testing.assert_allclose(some, whole[30:170][:, [2, 5]], atol=1e-15 * np.abs(whole).max())


def test_several_outcomes_are_one_joint_result_with_each_ones_own_time_at_risk(make_panel):
    panel = make_panel(holes=0.03, clusters=30)
    both = did.callaway_santanna(panel, outcome=["gp", "ae"])
    alone = did.callaway_santanna(panel, outcome="ae")
    np.testing.assert_allclose(
        both.table.query("outcome == 'ae'")["estimate"], alone.table["estimate"], rtol=1e-12
    )
    assert both.root.shape == (30, len(both))
    a, b = (did.summarise(both).vcov[i, j] for i, j in ((0, 3), (0, 0)))
    assert a != 0  # the same frailty drives both outcomes: their errors are correlated
    assert b > 0


def test_counts_and_notes_say_who_was_compared(make_panel):
    panel = make_panel(holes=0.03, clusters=25)
    effects = did.callaway_santanna(panel, outcome="gp", control="never_treated")
    first = effects.table.iloc[0]
    g, t = (panel.periods.get_loc(first[c]) for c in ("group", "period"))
    time = panel.exposure["gp"]
    used = np.isin(panel.start, [g, 6]) & (time[:, g - 1] > 0) & (time[:, t] > 0)
    counts = effects.counts.iloc[0]
    assert counts["persons"] == used.sum()
    assert counts["treated"] == (used & (panel.start == g)).sum()
    assert counts["clusters"] == len(set(panel.cluster[used]))
    assert counts["events"] == panel.outcomes["gp"][panel.start == g, t].sum()
    assert effects.df == 24
    (note,) = [n for n in effects.method["notes"] if "base period only" in n]
    assert "in the other period only" in note


def test_weights_of_zero_leave_people_out_and_a_bad_weight_is_refused(make_panel):
    panel = make_panel(weighted=True)
    dropped = np.arange(panel.n) % 3 == 0
    zero = replace(panel, weights=np.where(dropped, 0.0, panel.weights))
    a = did.callaway_santanna(zero, outcome="gp", covariates=["age"])
    b = did.callaway_santanna(panel.subset(~dropped), outcome="gp", covariates=["age"])
    np.testing.assert_allclose(a.estimate, b.estimate, rtol=1e-9)
    np.testing.assert_allclose(a.std_error, b.std_error, rtol=1e-9)
    with pytest.raises(DataError, match="weights: 1 of"):
        did.callaway_santanna(replace(panel, weights=np.r_[np.nan, panel.weights[1:]]), outcome="gp")


def test_a_category_without_treated_people_leaves_the_propensity_not_the_answer(make_panel):
    """R's logit sends the propensity of such controls to 0; so does ours, without diverging."""
    panel = make_panel()
    sex = panel.covariates["sex"].to_numpy().copy()
    group = panel.start == 2
    sex[group & (sex == "x")] = "f"
    panel = replace(panel, covariates=panel.covariates.assign(sex=sex))
    effects = did.callaway_santanna(panel, outcome="gp", method="ipw", covariates=["sex"])
    without = panel.subset(~((sex == "x") & ~group))
    again = did.callaway_santanna(without, outcome="gp", method="ipw", covariates=["sex"])
    here, there = (e.table.query("group == '2023-03-01'") for e in (effects, again))
    np.testing.assert_allclose(here["estimate"], there["estimate"], rtol=1e-9)
    np.testing.assert_allclose(here["std_error"], there["std_error"], rtol=1e-9)


def test_separation_and_want_of_overlap_are_errors_that_place_the_group(make_panel):
    panel = make_panel()
    only = panel.start == 3
    foretells = panel.covariates.assign(mark=np.where(only, 5.0, -5.0) + panel.covariates["age"] / 50)
    with pytest.raises(DesignError, match=r"among those of start 2 of 3 .*no finite") as error:
        did.callaway_santanna(replace(panel, covariates=foretells), outcome="gp", covariates=["mark"])
    assert "2023" not in str(error.value)  # The month may be that of one person or site.
    level = panel.covariates.assign(level=np.where(only & (np.arange(panel.n) % 2 == 0), "new", "old"))
    with pytest.raises(DesignError, match=r"start 2 of 3 .*that no control has"):
        did.callaway_santanna(
            replace(panel, covariates=level), outcome="gp", covariates=["level"], method="reg"
        )


def test_people_supported_before_there_is_a_base_period_are_left_out_and_counted(make_panel):
    panel = make_panel(starts=(0, 1, 3, 4))
    effects = did.callaway_santanna(panel, outcome="gp", anticipation=1)
    late = did.callaway_santanna(panel.subset(panel.start > 1), outcome="gp", anticipation=1)
    np.testing.assert_allclose(effects.estimate, late.estimate)
    assert any("before there was a base period" in note for note in effects.method["notes"])
    assert set(effects.labels["event_time"].dropna()).isdisjoint({-2})


def test_pairs_seen_once_are_said_in_rough_shares(make_panel):
    panel = make_panel()
    seen = {"gp": np.ones((panel.n, len(panel.periods)))}
    seen["gp"][:3, :2] = seen["gp"][-4:, -1:] = 0.0
    outcomes = {"gp": panel.outcomes["gp"] * seen["gp"]}
    effects = did.callaway_santanna(replace(panel, outcomes=outcomes, exposure=seen), outcome="gp")
    said = [note for note in effects.method["notes"] if "of the pairs" in note]
    assert len(said) == 1
    assert said[0].count("less than 10%") == 2
    assert not re.search(r"\d\.\d+%", said[0])


def test_without_never_treated_the_last_group_is_a_control_only(make_panel):
    panel = make_panel()
    panel = panel.subset(panel.start < 6)
    effects = did.callaway_santanna(panel, outcome="gp")
    assert set(effects.table["group"]) == set(panel.periods[[2, 3]])
    assert effects.table["period"].max() == panel.periods[4]
    notes = effects.method["notes"]
    assert any("time after 1 of 3 starts" in note for note in notes)
    assert not any("2023-06" in note for note in notes)
    assert any("the effects cover" in note for note in notes)
    # A share to the last digit of few people, or of their time, is a count of them.
    assert not any(re.search(r"\d\.\d+%|[1-46-9]%", note) for note in notes)
    with pytest.raises(DesignError) as error:
        did.callaway_santanna(panel, outcome="gp", control="never_treated")
    assert str(error.value) == (
        "control='never_treated', but everyone is treated by 2023-06; use 'not_yet_treated'"
    )


def test_a_group_with_one_cluster_is_left_out_and_named(make_panel):
    panel = make_panel(clusters=20)
    cluster = np.where(panel.start == 3, 99, panel.cluster)
    effects = did.callaway_santanna(replace(panel, cluster=cluster), outcome="gp")
    assert panel.periods[3] not in set(effects.table["group"])
    (note,) = [n for n in effects.method["notes"] if "more than one cluster" in n]
    assert "time after 1 of 3 starts, about " in note
    assert "2023-04" not in str(effects.method["notes"])  # The month in which one site started.


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda p: replace(p, start=np.full(p.n, 6)), "nobody is treated between 2023-01 and 2023-06"),
        (lambda p: replace(p, start=np.where(p.start < 6, -1, 6)), "everyone treated was treated before"),
        (lambda p: replace(p, start=np.full(p.n, 3)), "no people at risk in the control arm"),
        (lambda p: replace(p, start=np.where(np.arange(p.n) == 0, 3, 6)), "treated arm has only one person"),
        (lambda p: replace(p, start=np.where(np.arange(p.n) == 0, 6, 3)), "control arm has only one person"),
        (
            lambda p: replace(p, cluster=np.where(p.start < 6, 0, p.cluster + 1)),
            "treated arm has only one person or cluster",
        ),
        (lambda p: replace(p, outcomes={"gp": 0 * p.outcomes["gp"]}), "it never happens"),
        (lambda p: replace(p, clock="event"), "needs clock='calendar'"),
    ],
)
def test_a_design_that_cannot_work_is_refused(make_panel, change, match):
    panel = make_panel()
    panel = replace(panel, outcomes={"gp": panel.outcomes["gp"]}, exposure={"gp": panel.exposure["gp"]})
    with pytest.raises(DesignError, match=match):
        did.callaway_santanna(change(panel), outcome="gp")


def test_wrong_words_and_covariates_are_named(make_panel):
    panel = make_panel()
    with pytest.raises(ParameterError, match=r"control='never': choose from .* Did you mean 'never_treated'"):
        did.callaway_santanna(panel, outcome="gp", control="never")
    with pytest.raises(ParameterError, match="anticipation=-1"):
        did.callaway_santanna(panel, outcome="gp", anticipation=-1)
    with pytest.raises(DataError, match=r"outcome='gpp'.*Did you mean 'gp'"):
        did.callaway_santanna(panel, outcome="gpp")
    holes = panel.covariates.assign(sex=panel.covariates["sex"].where(np.arange(panel.n) > 6))
    holes.loc[:2, "age"] = np.nan
    with pytest.raises(DataError) as error:
        did.callaway_santanna(
            replace(panel, covariates=holes), outcome="gp", covariates=["age", "sex", "ages"]
        )
    text = str(error.value)
    assert "'age' is missing for 3 of 240" in text
    assert "'sex' is missing for 7 of 240" in text
    assert "Did you mean 'age'" in text


def test_a_rare_outcome_is_said_to_be_rare(make_panel):
    panel = make_panel()
    rare = np.where(np.arange(panel.n)[:, None] % 60 == 0, np.minimum(panel.outcomes["gp"], 1), 0)
    effects = did.callaway_santanna(replace(panel, outcomes={"gp": rare}), outcome="gp")
    assert any(note.startswith("too few events: gp") for note in effects.method["notes"])


@pytest.mark.parametrize("control", ["not_yet_treated", "never_treated"])
def test_the_build_up_to_support_after_the_panel_is_no_control(control):
    """With a crisis in the period before support and no effect, late starters as controls gave 0.85."""
    ratios = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        start = rng.choice([3, 4, 6, np.inf], 800, p=[0.25, 0.25, 0.2, 0.3])
        crisis = np.where(np.arange(6) == start[:, None] - 1, 2.0, 1.0)
        frame = pd.DataFrame({"id": np.repeat(range(800), 6), "t": np.tile(range(6), 800)})
        frame["gp"] = rng.poisson(2 * rng.gamma(2, 0.5, (800, 1)) * crisis).ravel()
        frame["start"] = np.repeat(start, 6)
        panel = Panel.from_long(
            frame.assign(t=frame["t"] + 1, start=frame["start"] + 1),
            unit="id",
            period="t",
            outcomes=["gp"],
            first_treated="start",
        )
        effects = did.callaway_santanna(panel, outcome="gp", anticipation=1, control=control)
        ratios.append(did.summarise(effects).table.set_index("scale")["estimate"]["log ratio"])
    assert abs(np.mean(ratios)) < 0.04
