"""Triple differences by hand, their joint errors, covariates, several starts, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from impact import did
from impact.data.panel import Panel
from impact.did.triple_difference import triple_difference
from impact.errors import DataError, DesignError, ParameterError

ASK = {"outcome": "ae", "subgroup": "tenant", "eligible": "yes"}


def build(areas=40, each=6, periods=4, starts=(2,), *, seed=1, even=False, age=False) -> Panel:
    """Areas with a shock of their own after support; half of everyone may use it, and those gain."""
    rng = np.random.default_rng(seed)
    area = np.repeat(np.arange(areas), each)
    start = np.array([*starts, *[periods] * len(starts)])[area % (2 * len(starts))]
    tenant = np.tile(["yes", "no"], len(area) // 2)
    after = np.arange(periods) >= start[:, None]
    time = np.ones((len(area), periods)) if even else rng.uniform(0.5, 1.5, (len(area), periods))
    rate = 9 * rng.gamma(9, 1 / 9, (len(area), 1)) * np.exp(rng.normal(0, 0.1, areas)[area][:, None] * after)
    rate *= np.where(after, 1.3, 1.0) * np.where(after & (tenant == "yes")[:, None], 0.6, 1.0)
    older = rng.normal(size=len(area)) + (tenant == "yes") * (start < periods)
    if age:
        rate *= np.exp(0.15 * older[:, None] * np.arange(periods))
    return Panel(
        unit=np.arange(len(area)),
        periods=pd.RangeIndex(2010, 2010 + periods),
        outcomes={"ae": rng.poisson(rate * time).astype(float)},
        exposure={"ae": time},
        start=start.astype(np.int64),
        treated=start < periods,
        covariates=pd.DataFrame({"tenant": tenant, "age": older, "same": 1.0}),
        cluster=area,
        weights=np.ones(len(area)),
        arm=np.where(start < periods, "supported", "control"),
        rate_scale=1.0,
    )


@pytest.fixture(scope="module")
def panel() -> Panel:
    return build()


@pytest.fixture(scope="module")
def staggered() -> Panel:
    return build(periods=5, starts=(2, 3))


def pooled(panel: Panel, who: np.ndarray) -> tuple[float, float, float, float]:
    """Events before and after, and time before and after."""
    y, e = panel.outcomes["ae"][who], panel.exposure["ae"][who]
    return y[:, :2].sum(), y[:, 2:].sum(), e[:, :2].sum(), e[:, 2:].sum()


def test_poisson_is_a_ratio_of_ratios(panel):
    growth, yes = {}, (panel.covariates["tenant"] == "yes").to_numpy()
    for who, group in (("yes", yes), ("no", ~yes)):
        for arm, there in (("treated", panel.treated), ("control", ~panel.treated)):
            y0, y1, e0, e1 = pooled(panel, group & there)
            growth[who, arm] = (y1 / e1) / (y0 / e0)
    ratio = growth["yes", "treated"] / growth["yes", "control"]
    ratio /= growth["no", "treated"] / growth["no", "control"]
    out = triple_difference(panel, **ASK)
    _, events, _, time = pooled(panel, yes & panel.treated)
    assert out.table["scale"].tolist() == ["log ratio", "difference", "events avoided"]
    assert out.estimate[0] == pytest.approx(np.log(ratio))
    assert out.estimate[1] == pytest.approx((events - events / ratio) / time)
    assert out.estimate[2] == pytest.approx(events / ratio - events)
    assert abs(np.log(ratio / 0.6)) < 3 * out.std_error[0]
    assert out.counts.iloc[0].tolist() == [240, 60, 40, round(events)]
    assert out.df == 39
    assert (out.method["within"], out.method["subgroup"]) == ("two_by_two", "tenant")


@pytest.mark.parametrize("estimator", ["two_by_two", "twfe"])
@pytest.mark.parametrize("family", ["poisson", "linear"])
def test_still_ineligible_leave_the_effect_of_the_eligible(panel, estimator, family):
    """Where nothing happens among the ineligible, all scales and errors are those of the eligible alone."""
    yes = (panel.covariates["tenant"] == "yes").to_numpy()
    flat = np.where(yes[:, None], panel.outcomes["ae"], 5 * panel.exposure["ae"])
    still = replace(panel, outcomes={"ae": flat})
    alone = did.ESTIMATORS[estimator](panel.subset(yes), outcome="ae", family=family)
    out = triple_difference(still, **ASK, within=estimator, family=family)
    assert out.table["scale"].tolist() == alone.table["scale"].tolist()
    np.testing.assert_allclose(out.estimate, alone.estimate, rtol=1e-6)
    np.testing.assert_allclose(out.std_error, alone.std_error, rtol=1e-6)


@pytest.mark.parametrize(
    ("estimator", "family"),
    [("callaway_santanna", None), ("imputation", None), ("etwfe", "linear"), ("etwfe", "poisson")],
)
def test_still_ineligible_with_several_starts(staggered, estimator, family):
    yes = (staggered.covariates["tenant"] == "yes").to_numpy()
    flat = np.where(yes[:, None], staggered.outcomes["ae"], 5 * staggered.exposure["ae"])
    more = {"family": family} if family else {}
    own = {"control": "never_treated"} if estimator == "callaway_santanna" else more
    alone = did.summarise(did.ESTIMATORS[estimator](staggered.subset(yes), outcome="ae", **own))
    out = triple_difference(replace(staggered, outcomes={"ae": flat}), **ASK, within=estimator, **more)
    mine = out.table.set_index("scale").loc[alone.table["scale"]]
    np.testing.assert_allclose(mine["estimate"], alone.estimate, rtol=1e-6)
    np.testing.assert_allclose(mine["std_error"], alone.std_error, rtol=1e-6)


@pytest.mark.parametrize("effects", ["arm", "person"])
def test_it_is_the_coefficient_of_the_saturated_regression(effects):
    """Balanced, one start: least squares with area arm x subgroup, subgroup x after and arm x after."""
    even = build(even=True)
    yes, arm = (np.repeat(v, 4) for v in (even.covariates["tenant"] == "yes", even.treated))
    after = np.tile(np.arange(4) >= 2, even.n)
    x = [np.ones(len(yes)), yes, arm, after, yes & arm, yes & after, arm & after, yes & arm & after]
    coef = np.linalg.lstsq(np.column_stack(x).astype(float), even.rate("ae").ravel(), rcond=None)[0]
    out = triple_difference(even, **ASK, family="linear", effects=effects)
    assert out.estimate[0] == pytest.approx(coef[-1], rel=1e-10)


def test_clusters_are_shared_by_the_subgroups(panel):
    """Two subgroups that are copies differ by nothing, for certain; as strangers, by root 2 of the error."""
    yes = panel.subset((panel.covariates["tenant"] == "yes").to_numpy())
    rows = np.tile(np.arange(yes.n), 2)
    both = yes.subset(rows)
    both = replace(both, covariates=pd.DataFrame({"tenant": np.repeat(["yes", "no"], yes.n)}))
    together = triple_difference(both, **ASK)
    np.testing.assert_allclose(together.estimate, 0, atol=1e-9)
    np.testing.assert_allclose(together.std_error, 0, atol=1e-9)
    strangers = replace(both, cluster=both.cluster + 1000 * (both.covariates["tenant"] == "no").to_numpy())
    alone = did.two_by_two(yes, outcome="ae")
    apart = triple_difference(strangers, **ASK)
    assert apart.std_error[0] == pytest.approx(np.sqrt(2) * alone.std_error[0], rel=1e-9)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("one", {}),
        ("one", {"family": "linear", "effects": "person"}),
        ("several", {"within": "callaway_santanna"}),
        ("several", {"within": "etwfe", "family": "poisson"}),
    ],
)
def test_errors_are_those_of_leaving_out_clusters(panel, staggered, kind, arguments):
    """The delta method against doing everything again without each area (CR3), on all three scales."""
    data = {"one": panel, "several": staggered}[kind]
    out = triple_difference(data, **ASK, **arguments)
    drawn = did.leave_one_out(data, lambda p: triple_difference(p, **ASK, **arguments))
    np.testing.assert_allclose(out.estimate, drawn.estimate)
    np.testing.assert_allclose(out.std_error, drawn.std_error, rtol=0.15)


def test_several_starts_are_compared_cell_by_cell(staggered):
    """Saturated means of start, subgroup and period, weighted by the eligible's person-time."""
    even = build(periods=5, starts=(2, 3), even=True)
    even = even.subset(np.flatnonzero((even.unit % 24 > 2) | (even.covariates["tenant"] == "no")))
    out = triple_difference(even, **ASK, within="callaway_santanna")
    rate, yes, total, time = even.rate("ae"), even.covariates["tenant"] == "yes", 0.0, 0
    for g in (2, 3):
        for t in range(g, 5):
            change = rate[:, t] - rate[:, g - 1]
            mean = {
                (who, start): change[((yes if who else ~yes) & (even.start == start)).to_numpy()].mean()
                for who in (True, False)
                for start in (g, 5)
            }
            effect = mean[True, g] - mean[True, 5] - mean[False, g] + mean[False, 5]
            size = (yes & (even.start == g)).sum()
            total, time = total + size * effect, time + size
    assert out.estimate[0] == pytest.approx(total / time, rel=1e-10)
    assert out.estimate[2] == pytest.approx(-total, rel=1e-10)


def test_covariate_without_spread_changes_nothing(staggered):
    """Three comparisons adjusted to nothing are the plain triple difference, with the same errors."""
    ask = {**ASK, "within": "callaway_santanna"}
    plain = triple_difference(staggered, **ask)
    three = triple_difference(staggered, **ask, covariates=["same"])
    assert three.method["covariates"] == ["same"]
    np.testing.assert_allclose(three.estimate, plain.estimate, rtol=1e-8)
    np.testing.assert_allclose(three.std_error, plain.std_error, rtol=1e-8)


def test_covariates_that_drive_change_are_taken_out():
    """Eligible people of areas with support are older, and the old get worse: only the adjusted is right."""
    data = build(areas=400, each=8, age=True, seed=3)
    ask = {**ASK, "within": "callaway_santanna"}
    plain, adjusted = (
        triple_difference(data, **ask, covariates=x, **more)
        for x, more in (((), {}), (["age"], {"method": "reg"}))
    )
    without = build(areas=400, each=8, seed=3)
    truth = triple_difference(without, **ask)
    assert abs(adjusted.estimate[0] - truth.estimate[0]) < 0.6 * abs(plain.estimate[0] - truth.estimate[0])
    assert abs(plain.estimate[0] - truth.estimate[0]) > 4 * plain.std_error[0]


def test_several_outcomes_are_one_joint_result(panel):
    two = replace(
        panel,
        outcomes={"ae": panel.outcomes["ae"], "gp": 2 * panel.outcomes["ae"]},
        exposure={"ae": panel.exposure["ae"], "gp": panel.exposure["ae"]},
    )
    out = triple_difference(two, **{**ASK, "outcome": ["ae", "gp"]}, family="linear")
    assert out.labels["outcome"].tolist() == ["ae"] * 3 + ["gp"] * 3
    assert out.vcov[0, 3] == pytest.approx(2 * out.vcov[0, 0])
    np.testing.assert_allclose(out.estimate[:3], triple_difference(panel, **ASK, family="linear").estimate)


def test_linear_without_expected_events_has_no_ratio(panel):
    yes = (panel.covariates["tenant"] == "yes").to_numpy()
    drop = np.where(~yes & panel.treated, -500.0, 0.0)[:, None] * (np.arange(4) >= 2) * panel.exposure["ae"]
    low = replace(panel, outcomes={"ae": panel.outcomes["ae"] + drop})
    out = triple_difference(low, **ASK, family="linear")
    assert out.table["scale"].tolist() == ["difference", "events avoided"]


def test_synthetic_did_by_jackknife():
    even = build(areas=12, each=2, periods=8, starts=(5,), even=True)
    out = triple_difference(even, **ASK, within="synthetic_did", inference="jackknife")
    parts = [
        did.synthetic_did(even.subset(even.covariates["tenant"] == who), outcome="ae", inference="jackknife")
        for who in ("yes", "no")
    ]
    assert out.estimate[0] == pytest.approx(parts[0].estimate[0] - parts[1].estimate[0])
    with pytest.raises(DesignError, match="use inference='jackknife'"):
        triple_difference(even, **ASK, within="synthetic_did", inference="bootstrap", draws=5)


def lacking(panel, who, treated):
    gone = (panel.covariates["tenant"] == who).to_numpy() & (panel.treated == treated)
    return panel.subset(~gone)


@pytest.mark.parametrize(
    ("who", "treated", "told"),
    [
        ("yes", True, "there are no supported people among the eligible"),
        ("yes", False, "there are no controls among the eligible"),
        ("no", True, "there are no supported people among the ineligible"),
        ("no", False, "there are no controls among the ineligible"),
    ],
)
def test_a_missing_combination_is_named(panel, who, treated, told):
    with pytest.raises(DesignError, match=told):
        triple_difference(lacking(panel, who, treated), **ASK)


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"subgroup": "tenants"}, DataError, "Did you mean 'tenant'"),
        ({"subgroup": "age"}, DataError, "has 240 values"),
        ({"eligible": "maybe"}, ParameterError, "eligible='maybe' is not a value of 'tenant': choose 'yes'"),
        ({"within": "triple_difference"}, ParameterError, "choose from 'two_by_two'"),
        ({"covariates": ["age"]}, ParameterError, "is not an adjusted triple difference"),
        ({"within": "callaway_santanna", "control": "not_yet_treated"}, DesignError, "do not cancel"),
        ({"within": "twfe", "event_study": True}, ParameterError, "leave out event_study"),
        ({"outcome": "gp"}, DataError, "the panel holds 'ae'"),
    ],
)
def test_what_makes_no_sense_is_refused(panel, arguments, error, told):
    with pytest.raises(error, match=told):
        triple_difference(panel, **{**ASK, **arguments})


def test_missing_subgroup_is_refused(panel):
    tenant = panel.covariates["tenant"].where(np.arange(panel.n) > 2)
    with pytest.raises(DataError, match="missing for 3 of 240"):
        triple_difference(replace(panel, covariates=pd.DataFrame({"tenant": tenant})), **ASK)


def test_starts_that_differ_between_the_subgroups_are_refused(staggered):
    yes = (staggered.covariates["tenant"] == "yes").to_numpy()
    with pytest.raises(DesignError, match="among the eligible: two_by_two needs one start"):
        triple_difference(staggered, **ASK)
    own = staggered.subset((staggered.start == 5) | (staggered.start == np.where(yes, 2, 3)))
    with pytest.raises(DesignError, match="one effect for all starts, and the subgroups differ"):
        triple_difference(own, **ASK)
    # Neither names a start, which may be that of one person or site.
    with pytest.raises(
        DesignError, match=r"the ineligible cannot be compared in every period of some starts \(1\)"
    ):
        triple_difference(own, **ASK, within="callaway_santanna")
    with pytest.raises(DesignError, match="for some start no events are expected among the ineligible"):
        triple_difference(own, **ASK, within="etwfe", family="poisson")


def test_an_assumption_about_those_not_yet_supported_is_told(staggered):
    out = triple_difference(staggered, **ASK, within="imputation")
    assert "those not yet supported differ" in out.method["notes"][-1]
    out = triple_difference(staggered, **ASK, within="callaway_santanna")
    assert not any("those not yet supported differ" in note for note in out.method["notes"])
