"""Several kinds of support: the same method on each, their joint covariance, and closed forms by hand."""

import itertools

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from impact.data import Cohort
from impact.data.panel import Panel
from impact.did import estimate
from impact.interpret.arms import by_arms
from impact.interpret.matched_comparison import compare, matched
from impact.interpret.subsets import of_panel, of_people

TWFE = {"estimator": "twfe", "family": "linear"}
ARMS = ("advice", "visits", "care")


def panel(n=600, kinds=2, buildings=None, seed=0, ratio=(1.0, 1.0, 1.0), rate=2.0):
    """As many people in each arm as in the control, supported in the second of two periods."""
    rng = np.random.default_rng(seed)
    arm = np.array(["none", *ARMS[:kinds]], object)[np.arange(n) % (kinds + 1)]
    frame = pd.DataFrame({"id": np.repeat(np.arange(n), 2), "t": np.tile([1, 2], n), "time": 12.0})
    frame["arm"] = np.repeat(arm, 2)
    frame["start"] = np.where(frame["arm"] == "none", np.nan, 2.0)
    frame["home"] = frame["id"] if buildings is None else np.repeat(rng.integers(buildings, size=n), 2)
    frame["team"] = np.repeat(rng.integers(12, size=n), 2)
    by = frame["arm"].map(dict(zip(ARMS, ratio, strict=True))).fillna(1.0)
    frame["ae"] = rng.poisson(rate * np.where(frame["t"] == 2, by, 1.0))
    frame["gp"] = rng.poisson(3 * rate, len(frame))
    return Panel.from_long(
        frame,
        unit="id",
        period="t",
        outcomes=["ae", "gp"],
        exposure="time",
        first_treated="start",
        covariates=["team"],
        cluster="home",
        arm="arm",
    )


def found(p, did=TWFE, outcome=("ae", "gp"), order=None):
    everyone = estimate(p, outcome=list(outcome), **did)
    treated = [name for name in ARMS if (p.arm == name).any()]
    return by_arms(of_panel(p, did=did), p.arm, everyone=everyone, treated=treated, order=order)


def rows(effects, **where):
    return np.logical_and.reduce([effects.labels[k] == v for k, v in where.items()])


def test_each_arm_is_compared_with_the_control_by_the_main_method():
    p = panel()
    effects = found(p)["by_arm"]
    assert effects.labels["level"].unique().tolist() == ["all", "advice", "visits"]
    for arm in ("advice", "visits"):
        own = estimate(p.subset(np.isin(p.arm, ["none", arm])), outcome=["ae", "gp"], **TWFE)
        at = rows(effects, level=arm)
        np.testing.assert_allclose(effects.estimate[at], own.estimate)
        np.testing.assert_allclose(effects.table["conf_low"][at], own.table["conf_low"])
    assert effects.counts["treated"][rows(effects, outcome="ae", scale="difference")].tolist() == [
        400,
        200,
        200,
    ]


def test_two_arms_against_each_other_in_closed_form():
    """Two periods and equal time: the difference of mean changes, in which the control drops out."""
    p = panel()
    change = np.diff(p.rate("ae"), axis=1).ravel()
    one, two, none = (change[p.arm == arm] for arm in ("advice", "visits", "none"))
    out = found(p, outcome=["ae"])
    effects, apart = out["by_arm"], out["arm_against_arm"]
    at = np.flatnonzero(rows(effects, scale="difference"))[1:]
    np.testing.assert_allclose(effects.estimate[at], [one.mean() - none.mean(), two.mean() - none.mean()])
    assert apart.method["contrasts"] == [["visits", "advice"]]
    assert apart.estimate[0] == pytest.approx(two.mean() - one.mean())
    # The controls are the same people: of the two covariances theirs is the variance of the control's mean.
    factor = effects.std_error[at[0]] / np.sqrt(one.var() / len(one) + none.var() / len(none))
    assert effects.vcov[at[0], at[1]] == pytest.approx(factor**2 * none.var() / len(none))
    assert apart.std_error[0] == pytest.approx(factor * np.sqrt(one.var() / len(one) + two.var() / len(two)))


def test_ratios_of_two_arms_are_divided():
    apart = found(panel(ratio=(1.0, 0.6, 1.0)), outcome=["ae"])
    effects, apart = apart["by_arm"], apart["arm_against_arm"]
    one, two = effects.estimate[rows(effects, scale="log ratio")][1:]
    assert apart.estimate[rows(apart, scale="log ratio")] == pytest.approx([two - one])
    assert np.exp(two - one) < 0.8


def test_three_arms_agree_with_each_other_and_with_one_regression():
    """(c - a) = (c - b) + (b - a); against OLS of changes on an indicator of each arm, by building (CR0)."""
    p = panel(n=1200, kinds=3, buildings=30, seed=4)
    out = found(p, outcome=["ae"])
    effects, apart = out["by_arm"], out["arm_against_arm"]
    value = dict(zip(apart.labels["term"], apart.estimate, strict=False))
    value = {term: apart.estimate[rows(apart, term=term, scale="difference")][0] for term in value}
    assert list(value) == ["visits against advice", "care against advice", "care against visits"]
    assert value["care against advice"] == pytest.approx(
        value["care against visits"] + value["visits against advice"]
    )
    change = np.diff(p.rate("ae"), axis=1).ravel()
    design = sm.add_constant(np.column_stack([p.arm == arm for arm in ARMS]).astype(float))
    kwds = {"groups": p.cluster, "use_correction": False}
    fit = sm.OLS(change, design).fit(cov_type="cluster", cov_kwds=kwds)
    at = np.flatnonzero(rows(effects, scale="difference"))[1:]
    np.testing.assert_allclose(effects.estimate[at], fit.params[1:], rtol=1e-9)
    factor = effects.std_error[at] / fit.bse[1:]
    expected = fit.cov_params()[1:, 1:] * np.outer(factor, factor)
    np.testing.assert_allclose(effects.vcov[np.ix_(at, at)], expected, rtol=1e-9)


def test_errors_by_two_clusterings_are_joint_too():
    p = panel(n=900, buildings=30, seed=5)
    out = found(p, did=TWFE | {"second_cluster": "team"}, outcome=["ae"])["arm_against_arm"]
    change = np.diff(p.rate("ae"), axis=1).ravel()
    design = sm.add_constant(np.column_stack([p.arm == arm for arm in ARMS[:2]]).astype(float))
    both = np.column_stack([p.cluster, p.covariates["team"]]).astype(int)
    kwds = {"groups": both, "use_correction": False}
    fit = sm.OLS(change, design).fit(cov_type="cluster", cov_kwds=kwds)
    expected = np.sqrt(np.array([0, -1, 1]) @ fit.cov_params() @ np.array([0, -1, 1]))
    # Each arm has the factor of its own number of groups, which here differ by little.
    assert out.std_error[0] == pytest.approx(expected, rel=0.1)


def test_one_step_more_is_the_line_from_no_support_through_the_arms():
    out = found(panel(), outcome=["ae"], order={"visits": 3, "advice": 1})
    effects, step = out["by_arm"], out["per_step"]
    assert effects.labels["level"].unique().tolist() == ["all", "advice", "visits"]
    at = np.flatnonzero(rows(effects, scale="difference"))[1:]
    line = sm.OLS(effects.estimate[at], np.array([1.0, 3.0])).fit()
    assert step.estimate[0] == pytest.approx(line.params[0])
    weights = np.array([0.1, 0.3])
    assert step.std_error[0] ** 2 == pytest.approx(weights @ effects.vcov[np.ix_(at, at)] @ weights)
    assert step.method["amounts"] == {"advice": 1, "visits": 3}


def test_an_arm_that_is_too_small_is_left_out_and_counted():
    p = panel(n=330)
    rest = np.flatnonzero(p.arm == "visits")[:12]
    p = p.subset(np.sort(np.concatenate([np.flatnonzero(p.arm != "visits"), rest])))
    assert found(p, outcome=["ae"]) == {}
    # Two outcomes of one kind are no two kinds.
    assert found(p) == {}
    three = panel(n=440, kinds=3)
    few = np.flatnonzero(three.arm == "care")[:5]
    three = three.subset(np.sort(np.concatenate([np.flatnonzero(three.arm != "care"), few])))
    out = found(three, outcome=["ae"])
    assert out["by_arm"].method["left_out"] == {"kind of support": ["care"]}
    last = out["by_arm"].counts.iloc[-1]
    assert out["by_arm"].labels["level"].iloc[-1] == "left out"
    # The controls of the others are not among them.
    assert (last["treated"], last["persons"]) == (5, 5)
    assert out["arm_against_arm"].method["contrasts"] == [["visits", "advice"]]


def people(n=900, seed=2):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"arm": rng.choice(["advice", "visits", "none"], n, p=[0.15, 0.15, 0.7])})
    frame["treated"], frame["months"] = frame["arm"] != "none", 12.0
    frame["age"] = rng.normal(60, 9, n) + 3 * (frame["arm"] == "visits")
    frame["ae"] = rng.poisson(np.exp(0.02 * (frame["age"] - 60)))
    return Cohort.from_frame(frame, treated="treated", outcomes=["ae"], exposure="months")


def matched_arms(method, model="poisson", **more):
    everyone = people()
    plan = {
        "baseline": {"outcomes": ["ae"], "months": 12},
        "matching": {"method": method, "on": ["age"], **more},
    }
    main = compare(matched(everyone, **plan, people=everyone), outcome="ae", model=model)
    arm = everyone.table["arm"].to_numpy()
    analysis = of_people(everyone, **plan, compared={"model": model}, apart=False)
    out = by_arms(analysis, arm, everyone=main, treated=["advice", "visits"])
    samples = {}
    for one in ("advice", "visits"):
        own = everyone.subset(np.isin(arm, [one, "none"]))
        samples[one] = matched(own, **plan, people=own)
    return everyone, out, samples


@pytest.mark.parametrize(
    ("method", "model"), [("nearest", "poisson"), ("nearest", "conditional_poisson"), ("subclass", "poisson")]
)
def test_matched_studies_match_each_arm_anew(method, model):
    _, out, samples = matched_arms(method, model)
    for one, sample in samples.items():
        alone = compare(sample, outcome="ae", model=model)
        at = rows(out["by_arm"], level=one)
        np.testing.assert_allclose(out["by_arm"].estimate[at], alone.estimate)
        # Errors by set and person of people in one set are those by set, also once two arms share controls.
        np.testing.assert_allclose(out["by_arm"].std_error[at], alone.std_error, rtol=1e-6)


def test_controls_of_both_arms_join_their_errors():
    """Weighted by person: the covariance is that of the controls' influences, by hand."""
    everyone, out, samples = matched_arms("entropy_balance")
    effects = out["by_arm"]
    one, two = (np.flatnonzero(rows(effects, level=arm, scale="difference"))[0] for arm in samples)
    ids, root = {}, {}
    for arm, sample in samples.items():
        alone = compare(sample, outcome="ae")
        at = np.flatnonzero(rows(alone, scale="difference"))[0]
        root[arm] = dict(zip(sample.cohort.person_id[alone.clusters], alone.root[:, at], strict=True))
        ids[arm] = set(sample.cohort.person_id)
    shared = ids["advice"] & ids["visits"]
    assert len(shared) == (~everyone.treated).sum()
    expected = sum(root["advice"][who] * root["visits"][who] for who in shared)
    assert effects.vcov[one, two] == pytest.approx(expected, rel=1e-6)
    assert expected > 0


def test_pairs_share_only_the_controls_that_serve_both_arms():
    _, out, samples = matched_arms("nearest")
    used = [set(s.table.loc[s.table["weight"] > 0, "person_id"]) for s in samples.values()]
    effects = out["by_arm"]
    one, two = (np.flatnonzero(rows(effects, level=arm, scale="difference"))[0] for arm in samples)
    assert used[0] & used[1]
    apart = effects.std_error[one] * effects.std_error[two]
    assert 0 < abs(effects.vcov[one, two]) < 0.5 * apart
    both = out["arm_against_arm"]
    by_hand = effects.vcov[one, one] + effects.vcov[two, two] - 2 * effects.vcov[one, two]
    assert both.std_error[rows(both, scale="difference")][0] ** 2 == pytest.approx(by_hand)


def test_order_does_not_change_the_contrasts_but_their_sign():
    p = panel(kinds=3)
    straight, reverse = (
        found(p, outcome=["ae"], order=dict(zip(names, (1, 2, 3), strict=True)))["arm_against_arm"]
        for names in (ARMS, ARMS[::-1])
    )
    for one, two in itertools.combinations(ARMS, 2):
        there = straight.estimate[rows(straight, term=f"{two} against {one}", scale="difference")]
        back = reverse.estimate[rows(reverse, term=f"{one} against {two}", scale="difference")]
        assert there == pytest.approx(-back)
