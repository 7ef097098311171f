from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from impact.data import Cohort
from impact.data.panel import Panel
from impact.did import estimate
from impact.errors import DataError
from impact.interpret import reach
from impact.interpret.equity import by_groups
from impact.interpret.groups import groups_of
from impact.interpret.matched_comparison import compare, matched
from impact.interpret.subsets import NO_CALIPER, of_panel, of_people

TWFE = {"estimator": "twfe", "family": "linear"}


def panel(n=600, buildings=None, seed=0, ratio=(1.0, 1.0, 1.0), rate=2.0):
    """People of three levels of deprivation, half of them supported in the second of two periods."""
    rng = np.random.default_rng(seed)
    level = 1 + np.arange(n) % 3
    treated = np.arange(n) // 3 % 2 == 0
    frame = pd.DataFrame({"id": np.repeat(np.arange(n), 2), "t": np.tile([1, 2], n), "time": 12.0})
    frame["start"] = np.repeat(np.where(treated, 2.0, np.nan), 2)
    frame["fifth"], frame["sex"] = np.repeat(level, 2), np.repeat(np.where(rng.random(n) < 0.5, "f", "m"), 2)
    home = np.arange(n) if buildings is None else rng.integers(buildings, size=n)
    frame["home"] = np.repeat(home, 2)
    effect = np.where((frame["t"] == 2) & frame["start"].notna(), np.array(ratio)[frame["fifth"] - 1], 1.0)
    frame["ae"] = rng.poisson(rate * effect)
    frame["gp"] = rng.poisson(3 * rate, len(frame))
    return Panel.from_long(
        frame,
        unit="id",
        period="t",
        outcomes=["ae", "gp"],
        exposure="time",
        first_treated="start",
        covariates=["fifth", "sex"],
        cluster="home",
    )


def found(p, groups=None, did=TWFE, outcome=("ae", "gp"), weights=None):
    everyone = estimate(p, outcome=list(outcome), **did)
    return by_groups(of_panel(p, did=did), everyone=everyone, groups=groups or {"fifth": ()}, weights=weights)


def rows(effects, **where):
    return np.logical_and.reduce([effects.labels[k] == v for k, v in where.items()])


def test_each_group_is_analysed_by_the_main_method_on_its_own_people():
    p = panel()
    out = found(p, {"fifth": (), "sex": ()})
    effects = out["by_group"]
    # Everyone has a level: none is left out, and the groups add up.
    assert effects.labels["level"].unique().tolist() == ["all", "1", "2", "3", "f", "m"]
    for level in (1, 2, 3):
        own = estimate(p.subset((p.covariates["fifth"] == level).to_numpy()), outcome=["ae", "gp"], **TWFE)
        at = rows(effects, covariate="fifth", level=str(level))
        np.testing.assert_allclose(effects.estimate[at], own.estimate)
        np.testing.assert_allclose(effects.std_error[at], own.std_error)
        np.testing.assert_allclose(effects.table["conf_low"][at], own.table["conf_low"])
    main = estimate(p, outcome=["ae", "gp"], **TWFE)
    np.testing.assert_allclose(effects.table["conf_high"][:6], main.table["conf_high"])
    assert set(out) >= {"alike_fifth_difference", "alike_fifth_log_ratio", "alike_sex_difference", "trends"}


def test_the_test_of_two_groups_is_that_of_the_difference_of_two_estimates():
    p = panel()
    out = found(p, {"sex": ()}, outcome=["ae"])
    t = out["by_group"].table
    t = t[(t["scale"] == "difference") & (t["covariate"] == "sex")]
    z = np.diff(t["estimate"])[0] / np.hypot(*t["std_error"])
    test = out["alike_sex_difference"]
    assert test.statistic == pytest.approx(z**2)
    fewest = min(np.asarray(out["by_group"].df)[-6:])
    assert test.p_value == pytest.approx(2 * stats.t.sf(abs(z), fewest))


def test_groups_that_share_buildings_are_tested_with_their_covariance():
    """Against the regression of changes with an intercept and an effect for each group, by cluster (CR0)."""
    p = panel(n=900, buildings=25, seed=4)
    change = np.diff(p.rate("ae"), axis=1).ravel()
    level = p.covariates["fifth"].to_numpy()
    dummies = (level[:, None] == [1, 2, 3]).astype(float)
    design = np.hstack([dummies, dummies * p.treated[:, None]])
    fit = sm.OLS(change, design).fit(
        cov_type="cluster", cov_kwds={"groups": p.cluster, "use_correction": False}
    )
    effects = found(p, outcome=["ae"])["by_group"]
    at = np.flatnonzero(rows(effects, covariate="fifth", scale="difference"))
    np.testing.assert_allclose(effects.estimate[at], fit.params[3:], rtol=1e-9)
    factor = effects.std_error[at] / fit.bse[3:]
    np.testing.assert_allclose(
        effects.vcov[np.ix_(at, at)], fit.cov_params()[3:, 3:] * np.outer(factor, factor), rtol=1e-9
    )
    off = effects.vcov[np.ix_(at, at)][np.triu_indices(3, 1)]
    assert (np.abs(off) > 0).all()


def test_the_trend_is_the_line_through_the_groups_and_joins_their_errors():
    p = panel(n=900, buildings=25)
    out = found(p, outcome=["ae"])
    effects, trends = out["by_group"], out["trends"]
    at = np.flatnonzero(rows(effects, covariate="fifth", scale="difference"))
    # Three groups of one size: the middles lie a third apart, and the line goes through the outer two.
    weights = np.array([1.5, 0, -1.5])
    assert trends.estimate[0] == pytest.approx(weights @ effects.estimate[at])
    assert trends.std_error[0] ** 2 == pytest.approx(weights @ effects.vcov[np.ix_(at, at)] @ weights)


def test_groups_too_small_are_left_out_and_named():
    p = panel(n=120)
    few = p.covariates["fifth"].mask(
        p.covariates["fifth"] == 3, np.arange(120) % 3 + 5 * (np.arange(120) < 90)
    )
    p = replace(p, covariates=p.covariates.assign(fifth=few))
    out = found(p, outcome=["ae"])
    effects = out["by_group"]
    assert effects.labels["level"].unique().tolist() == ["all", "1", "2", "left out"]
    # Their number is what everyone less the others leaves, and they have no effect of their own.
    everyone, one, two, rest = effects.counts["persons"][~effects.labels["level"].duplicated()]
    assert rest == everyone - one - two > 0
    assert np.isnan(effects.estimate[-1])
    assert np.isnan(effects.table["conf_low"].iloc[-1])
    assert set(out["by_group"].method["left_out"]) == {"fifth"}
    assert "trends" not in out
    rare = found(panel(n=300, rate=0.05), outcome=["ae"])
    assert rare == {}


def test_a_column_is_no_covariate_within_its_own_groups():
    p = panel()
    did = {"estimator": "callaway_santanna", "covariates": ["sex"]}
    out = found(p, {"sex": ()}, did=did, outcome=["ae"])
    own = p.subset((p.covariates["sex"] == "f").to_numpy())
    alone = estimate(own, outcome="ae", estimator="callaway_santanna")
    at = rows(out["by_group"], level="f")
    np.testing.assert_allclose(out["by_group"].estimate[at], alone.estimate)


def test_estimators_that_take_everyone_together_have_no_groups():
    assert of_panel(panel(), did={"estimator": "synthetic_did"}) is None


def test_weighted_contacts_are_the_weighted_sum_of_those_of_the_groups():
    weights = {"1": 2.0, "2": 1.0, "3": 0.5}
    out = found(panel(), outcome=["ae"], weights=weights)
    effects, weighted = out["by_group"], out["weighted"]
    avoided = effects.estimate[rows(effects, covariate="fifth", scale="events avoided")]
    np.testing.assert_allclose(weighted.estimate, [avoided.sum(), avoided @ [2.0, 1.0, 0.5]])
    with pytest.raises(DataError, match=r"equity.weights: 'fifth' has a group '3' without a weight"):
        found(panel(), outcome=["ae"], weights={"1": 2.0, "2": 1.0})
    with pytest.raises(DataError, match=r"equity.weights: 'fifth' has no group 'one', but 1, 2, 3"):
        found(panel(), outcome=["ae"], weights={"one": 2.0})


def people(n=900, seed=2):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"treated": rng.random(n) < 0.3, "age": rng.normal(60, 9, n), "months": 12.0})
    frame["fifth"] = rng.integers(1, 4, n)
    frame["ae"] = rng.poisson(np.exp(0.02 * (frame["age"] - 60)))
    return Cohort.from_frame(frame, treated="treated", outcomes=["ae"], exposure="months")


def test_matched_studies_match_within_each_group():
    everyone = people()
    plan = {
        "baseline": {"outcomes": ["ae"], "months": 12},
        "matching": {"method": "nearest", "on": ["age"], "exact": ["fifth"]},
        "compared": {"model": "poisson"},
    }
    main = compare(
        matched(everyone, baseline=plan["baseline"], matching=plan["matching"], people=everyone), outcome="ae"
    )
    out = by_groups(of_people(everyone, **plan), everyone=main, groups={"fifth": ()})
    effects = out["by_group"]
    own = everyone.subset((everyone.table["fifth"] == 2).to_numpy())
    sample = matched(
        own, baseline=plan["baseline"], matching={"method": "nearest", "on": ["age"]}, people=own
    )
    alone = compare(sample, outcome="ae")
    np.testing.assert_allclose(effects.estimate[rows(effects, level="2")], alone.estimate)
    one, two = (np.flatnonzero(rows(effects, level=level)) for level in "12")
    # Nobody is in two groups, although sets of both are numbered from 0.
    assert (effects.vcov[np.ix_(one, two)] == 0).all()
    assert effects.method["notes"] == [NO_CALIPER]


@pytest.mark.parametrize(
    ("matching", "compared"),
    [
        ({"method": "nearest", "caliper": 0.2}, {}),
        ({"method": "nearest", "replace": True}, {}),
        ({"method": "nearest"}, {"adjust": ["age"]}),
        ({"method": "entropy_balance"}, {}),
    ],
)
def test_only_pairs_without_a_caliper_are_warned_of(matching, compared):
    plan = {"baseline": {"outcomes": ["ae"], "months": 12}, "matching": {"on": ["age"], **matching}}
    assert of_people(people(), **plan, compared=compared).notes == ()


def event(p):
    return replace(p, clock="event", periods=pd.Index([-1, 0]), start=np.where(p.treated, 1, 2))


def test_reach_and_need_in_closed_form_with_two_groups():
    p = event(panel())
    p = p.subset((p.covariates["fifth"] < 3).to_numpy())
    keep = ~p.treated | (p.covariates["fifth"] == 1).to_numpy() | (np.arange(p.n) % 5 > 1)
    p = p.subset(keep)
    out = reach(p, outcome="ae", by="fifth")
    level = p.covariates["fifth"].to_numpy()
    one, two = (p.treated[level == i].mean() for i in (1, 2))
    n = [(level == i).sum() for i in (1, 2)]
    got = out["reach"].table.set_index(["term", "scale"])["estimate"]
    assert got["most against least", "difference"] == pytest.approx(200 * (one - two))
    assert np.exp(got["most deprived", "log ratio"]) == pytest.approx(one / p.treated.mean())
    error = 200 * np.sqrt(one * (1 - one) / n[0] + two * (1 - two) / n[1]) * np.sqrt(p.n / (p.n - 2))
    assert out["reach"].std_error[0] == pytest.approx(error)
    # The share of support that goes to a group, over its share of the people, is the same ratio.
    share = p.treated[level == 1].sum() / p.treated.sum()
    assert np.exp(got["most deprived", "log ratio"]) == pytest.approx(share / (n[0] / p.n))
    rate = [
        1000 * p.outcomes["ae"][level == i, 0].sum() / p.exposure["ae"][level == i, 0].sum() for i in (1, 2)
    ]
    assert out["need"].estimate[0] == pytest.approx(2 * (rate[0] - rate[1]))
    table = out["by_deprivation"].table
    assert table["persons"].sum() == p.n
    assert table["before"].tolist() == pytest.approx(rate)


def test_the_error_of_the_relative_index_is_that_of_many_samples():
    p = event(panel(n=1200, buildings=60, seed=7))
    out = reach(p, outcome="ae", by="fifth")["need"]
    rng, drawn = np.random.default_rng(1), []
    where = [np.flatnonzero(p.cluster == c) for c in np.unique(p.cluster)]
    for _ in range(400):
        rows = np.concatenate([where[i] for i in rng.integers(len(where), size=len(where))])
        drawn.append(reach(p.subset(rows), outcome="ae", by="fifth")["need"].estimate)
    np.testing.assert_allclose(out.std_error, np.std(drawn, axis=0), rtol=0.15)


def test_small_levels_are_joined_to_the_next_for_the_line():
    p = event(panel(n=120))
    level = np.where(np.arange(120) < 6, 4, p.covariates["fifth"])
    out = reach(replace(p, covariates=p.covariates.assign(fifth=level)), outcome="ae", by="fifth")
    assert out["reach"].method["joined"] == ["1", "2", "3 and 4"]
    assert out["by_deprivation"].table["level"].tolist() == ["1", "2", "3", "4"]


def test_without_a_column_there_is_nothing():
    assert reach(event(panel()), outcome="ae", by=None) == {}


@pytest.mark.parametrize(
    ("column", "cuts", "said"),
    [
        ("fith", (), r"'fith' is not a column of the people. Did you mean 'fifth'\?"),
        ("number", (), r"'number' has 40 different values, too many to compare; give subgroups \{number: "),
        ("name", (), "'name' has 40 different values"),
        ("sex", (3.0,), "'sex' holds no numbers to cut into 2 bands"),
    ],
)
def test_columns_that_are_no_groups_are_refused(column, cuts, said):
    table = pd.DataFrame({"fifth": 1, "sex": ["f", "m"] * 20, "number": range(40)})
    table["name"] = [f"n{i}" for i in range(40)]
    with pytest.raises(DataError, match=said):
        groups_of(table, column, cuts)


def test_levels_are_in_order_and_who_has_none_is_in_no_group():
    groups = groups_of(pd.DataFrame({"fifth": [10.0, 2.0, np.nan, 1.0]}), "fifth")
    assert (groups.levels, groups.code.tolist()) == (("1", "2", "10"), [2, 1, -1, 0])
    assert groups.ordered
    text = groups_of(pd.DataFrame({"sex": ["m", None, "f"]}), "sex")
    assert (text.levels, text.code.tolist(), text.ordered) == (("f", "m"), [1, -1, 0], False)
    half = groups_of(pd.DataFrame({"ltc": [0.5, 1.5, 3.0]}), "ltc", (1.5, 2.5))
    assert half.levels == ("under 1.5", "1.5 to under 2.5", "2.5 and over")
