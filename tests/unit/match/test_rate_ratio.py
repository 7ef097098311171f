"""Rate ratio, difference and events avoided: against statsmodels and plain loops, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from impact import match
from impact.data import Cohort
from impact.errors import DataError, DesignError, ParameterError


def frame_of(n=500, seed=4):
    rng = np.random.default_rng(seed)
    age = rng.normal(70, 8, n)
    helped = rng.random(n) < 1 / (1 + np.exp(-(0.05 * (age - 78))))
    months = rng.uniform(2, 12, n)
    need = rng.gamma(1, 1, n) * np.exp(0.02 * (age - 70))
    visits = rng.poisson(need * months * 0.4 * np.where(helped, 0.8, 1))
    stays = rng.poisson(need * months * 0.1)
    return pd.DataFrame(
        {"helped": helped.astype(int), "age": age, "visits": visits, "stays": stays, "months": months}
    )


def cohort_of(frame):
    return Cohort.from_frame(frame, treated="helped", outcomes=["visits", "stays"], exposure="months")


@pytest.fixture(
    scope="module", params=[{"ratio": 2}, {"ratio": 2, "replace": True}, {"caliper": 0.1}], ids=str
)
def matched(request):
    return match.nearest(cohort_of(frame_of()), on=["age"], **request.param)


def rows_of(matched):
    table = matched.table[matched.table["weight"] > 0]
    return table.merge(matched.cohort.people, on="person_id")


def statsmodels_fit(rows, names, outcome="visits"):
    x = sm.add_constant(rows[names].astype(float))
    model = sm.GLM(
        rows[outcome],
        x,
        family=sm.families.Poisson(),
        offset=np.log(rows["months"]),
        freq_weights=rows["weight"],
    )
    fit = model.fit(tol=1e-14)
    score = x.to_numpy() * (rows["weight"] * (rows[outcome] - fit.mu)).to_numpy()[:, None]
    bread = np.linalg.inv((x.to_numpy() * (rows["weight"] * fit.mu).to_numpy()[:, None]).T @ x.to_numpy())
    return fit, x, score @ bread


def plain_cr1(influence, clusters, parameters):
    sums = pd.DataFrame(influence).groupby(np.asarray(clusters)).sum().to_numpy()
    groups, rows = len(sums), len(influence)
    return sums.T @ sums * groups / (groups - 1) * (rows - 1) / (rows - parameters)


@pytest.mark.parametrize("adjust", [(), ("age",)])
def test_all_three_scales_equal_g_computation_on_statsmodels(matched, adjust):
    """The model's prediction for the treated without support; derivatives by differences."""
    rows = rows_of(matched)
    fit, x, influence = statsmodels_fit(rows, ["helped", *adjust])
    treated = rows["helped"] == 1
    months = rows.loc[treated, "months"]

    def scales(b):
        with_support = np.exp(x[treated] @ b) * months
        without = np.exp(x[treated].assign(helped=0) @ b) * months
        gap = with_support.sum() - without.sum()
        return np.array([np.log(with_support.sum() / without.sum()), 1000 * gap / months.sum(), -gap])

    b, step = fit.params.to_numpy(), 1e-6
    jacobian = np.array([(scales(b + step * e) - scales(b - step * e)) / (2 * step) for e in np.eye(len(b))])
    influence = influence @ jacobian
    v = plain_cr1(influence, rows["subclass"], len(b))
    if matched.method["replace"]:
        v = (
            v
            + plain_cr1(influence, rows["person_id"], len(b))
            - plain_cr1(influence, range(len(rows)), len(b))
        )
    effects = match.rate_ratio(matched, outcome="visits", adjust=adjust)
    assert effects.labels["scale"].tolist() == ["log ratio", "difference", "events avoided"]
    np.testing.assert_allclose(effects.estimate, scales(b), rtol=1e-8)
    np.testing.assert_allclose(effects.std_error, np.sqrt(np.diag(v)), rtol=1e-6)


def test_scales_agree_with_each_other(matched):
    """O, M and P: ratio O/M, difference (O - M)/P, events avoided M - O; the last two share a t statistic."""
    rows = rows_of(matched).query("helped == 1")
    observed, months = rows["visits"].sum(), rows["months"].sum()
    table = match.rate_ratio(matched, outcome="visits", adjust=["age"]).table.set_index("scale")
    expected = observed / np.exp(table.loc["log ratio", "estimate"])
    assert table.loc["events avoided", "estimate"] == pytest.approx(expected - observed)
    assert table.loc["difference", "estimate"] == pytest.approx(1000 * (observed - expected) / months)
    assert table.loc["difference", "statistic"] == pytest.approx(-table.loc["events avoided", "statistic"])
    assert table.loc["difference", "unit"] == "per 1,000 person-months"


def test_several_outcomes_have_one_joint_covariance(matched):
    """Each alone gives the same figures; together their covariance is that of the sets they share."""
    both = match.rate_ratio(matched, outcome=["visits", "stays"])
    for name in ("visits", "stays"):
        alone = match.rate_ratio(matched, outcome=name)
        part = both.select(both.labels["outcome"] == name)
        np.testing.assert_allclose(part.estimate, alone.estimate)
        np.testing.assert_allclose(part.std_error, alone.std_error, rtol=1e-6)
    rows = rows_of(matched)
    influence = np.column_stack([statsmodels_fit(rows, ["helped"], o)[2][:, 1] for o in ("visits", "stays")])
    v = plain_cr1(influence, rows["subclass"], 2)
    if matched.method["replace"]:
        v = v + plain_cr1(influence, rows["person_id"], 2) - plain_cr1(influence, range(len(rows)), 2)
    assert both.vcov[0, 3] == pytest.approx(v[0, 1], rel=1e-6)


def test_counts_and_method_say_what_lies_behind(matched):
    rows = rows_of(matched)
    effects = match.rate_ratio(matched, outcome="visits")
    treated = rows[rows["helped"] == 1]
    assert effects.counts.iloc[0].to_dict() == {
        "persons": rows["person_id"].nunique(),
        "treated": len(treated),
        "clusters": rows["subclass"].nunique(),
        "events": treated["visits"].sum(),
        "fewest": min(
            treated["visits"].sum(), rows.drop(treated.index).drop_duplicates("person_id")["visits"].sum()
        ),
    }
    assert effects.method["clusters"].startswith("matched set")
    assert effects.method["matching"]["estimator"] == "nearest"
    assert effects.df == len(treated) - 1


def test_a_cohort_gives_the_crude_rates():
    frame = frame_of()
    effects = match.rate_ratio(cohort_of(frame), outcome="visits")
    rate = frame.groupby("helped")["visits"].sum() / frame.groupby("helped")["months"].sum()
    assert effects.estimate[0] == pytest.approx(np.log(rate[1] / rate[0]))
    assert effects.estimate[1] == pytest.approx(1000 * (rate[1] - rate[0]))
    rows = frame.assign(weight=1.0)
    v = plain_cr1(statsmodels_fit(rows, ["helped"])[2], range(len(rows)), 2)
    assert effects.std_error[0] == pytest.approx(np.sqrt(v[1, 1]))
    assert effects.method["clusters"] == "person"


def test_people_without_time_at_risk_take_no_part():
    """Not in the estimate, not in the factor, not in the counts."""
    frame = frame_of()
    idle = frame.head(40).assign(months=0.0, visits=0, stays=0)
    with_idle = match.rate_ratio(cohort_of(pd.concat([frame, idle])), outcome="visits")
    without = match.rate_ratio(cohort_of(frame), outcome="visits")
    np.testing.assert_allclose(with_idle.estimate, without.estimate)
    np.testing.assert_allclose(with_idle.std_error, without.std_error)
    pd.testing.assert_frame_equal(with_idle.counts, without.counts)


def test_conditional_ratio_equals_a_model_with_an_effect_for_each_set():
    """With two controls a set; errors robust by set."""
    matched = match.nearest(cohort_of(frame_of(120)), on=["age"], ratio=2)
    rows = rows_of(matched).sort_values("subclass")
    x = pd.get_dummies(rows["subclass"], dtype=float).assign(helped=rows["helped"].to_numpy())
    keep = rows.groupby("subclass")["visits"].transform("sum").to_numpy() > 0
    x = x.loc[keep, x[keep].any()]
    fit = sm.GLM(
        rows["visits"][keep], x, family=sm.families.Poisson(), offset=np.log(rows["months"][keep])
    ).fit(tol=1e-13, maxiter=200)
    effects = match.rate_ratio(matched, outcome="visits", estimand="conditional")
    assert effects.estimate[0] == pytest.approx(fit.params["helped"], abs=1e-7)
    score = (
        pd.Series((rows["visits"][keep] - fit.mu) * rows["helped"][keep])
        .groupby(rows["subclass"][keep])
        .sum()
    )
    bread = fit.cov_params().loc["helped", "helped"]
    sets = rows["subclass"][keep].nunique()
    robust = bread * np.sqrt((score**2).sum() * sets / (sets - 1))
    assert effects.std_error[0] == pytest.approx(robust, rel=1e-5)
    assert effects.labels["scale"].tolist() == ["log ratio"]
    assert effects.counts["clusters"].tolist() == [sets]
    assert effects.df == sets - 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"visits": 0}, "'visits': among the supported nothing ever happened"),
        ({"visits": 0, "stays": 0, "months": 0.0}, "'visits': among the supported nobody has time at risk"),
    ],
)
@pytest.mark.parametrize("arm", ["supported", "controls"])
def test_an_outcome_too_rare_for_a_ratio_is_refused(change, message, arm):
    frame = frame_of()
    rows = frame["helped"] == (arm == "supported")
    for column, value in change.items():
        frame.loc[rows, column] = value
    with pytest.raises(DesignError, match=message.replace("supported", arm)):
        match.rate_ratio(cohort_of(frame), outcome="visits")


def test_one_person_in_an_arm_is_refused():
    frame = frame_of().sort_values("helped").tail(frame_of()["helped"].sum() + 1)
    with pytest.raises(DesignError, match="among the controls only one person"):
        match.rate_ratio(cohort_of(frame.assign(visits=1)), outcome="visits")


def test_all_outcomes_that_are_too_rare_come_together():
    frame = frame_of().assign(visits=0, stays=0)
    with pytest.raises(DesignError, match=r"(?s)'visits'.*'stays'"):
        match.rate_ratio(cohort_of(frame), outcome=["visits", "stays"])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"outcome": "visit"}, DataError, "Did you mean 'visits'"),
        ({"outcome": []}, DataError, "at least one outcome"),
        ({"estimand": "margnal"}, ParameterError, "Did you mean 'marginal'"),
        ({"estimand": "conditional", "adjust": ["age"]}, ParameterError, "without adjust"),
        ({"adjust": ["agee"]}, DataError, "adjust: the cohort has no column 'agee'"),
        ({"adjust": ["helped"]}, DesignError, "tell the arms apart"),
    ],
)
def test_bad_arguments_say_what_to_do(arguments, error, message):
    matched = match.nearest(cohort_of(frame_of(100)), on=["age"])
    with pytest.raises(error, match=message):
        match.rate_ratio(matched, **{"outcome": "visits", **arguments})


def test_conditional_needs_sets_without_replacement():
    cohort = cohort_of(frame_of(100))
    for sample in (cohort, match.nearest(cohort, on=["age"], replace=True)):
        with pytest.raises(ParameterError, match="matched without replacement"):
            match.rate_ratio(sample, outcome="visits", estimand="conditional")


def test_a_lost_control_leaves_its_share_to_the_others():
    """Sets of two controls of which one is lost weigh as much as before."""
    frame = pd.DataFrame(
        {"helped": [1, 1, 0, 0, 0, 0], "age": [60, 80, 60, 61, 80, 81], "falls": [1, 2, 3, 4, 5, 6]}
    )
    cohort = Cohort.from_frame(frame, treated="helped", outcomes=["falls"])
    matched = match.nearest(cohort, on=["age"], distance="mahalanobis", ratio=2)
    rest = cohort.subset(np.arange(6) != 3)
    effects = match.rate_ratio(matched, outcome="falls", cohort=rest)
    assert effects.estimate[0] == pytest.approx(np.log(3 / (3 + 5.5)))


@pytest.mark.parametrize("lost", [2, 5])
def test_a_set_that_lost_an_arm_is_left_out(lost):
    """Three pairs; whether the third loses its control or its supported person, two remain."""
    frame = pd.DataFrame(
        {"helped": [1, 1, 1, 0, 0, 0], "age": [60, 70, 80, 60, 70, 80], "falls": [1, 2, 30, 3, 4, 50]}
    )
    cohort = Cohort.from_frame(frame, treated="helped", outcomes=["falls"])
    matched = match.nearest(cohort, on=["age"], distance="mahalanobis")
    effects = match.rate_ratio(matched, outcome="falls", cohort=cohort.subset(np.arange(6) != lost))
    assert effects.estimate[0] == pytest.approx(np.log(3 / 7))
    assert effects.counts["persons"][0] == 4


def test_degrees_of_freedom_count_only_sets_at_risk():
    """Sets without time at risk in an outcome (no coverage) say nothing, and lend it no freedom."""
    rng = np.random.default_rng(5)
    n = 80
    frame = pd.DataFrame({"helped": np.tile([1, 0], n // 2), "age": np.repeat(np.arange(n // 2), 2)})
    frame["visits"] = rng.poisson(2, n)
    frame["months"] = np.where(np.arange(n) < 24, 12.0, 0.0)
    cohort = Cohort.from_frame(
        frame.assign(visits=frame["visits"].where(frame["months"] > 0, 0)),
        treated="helped",
        outcomes=["visits"],
        exposure="months",
    )
    effects = match.rate_ratio(match.nearest(cohort, on=["age"], distance="mahalanobis"), outcome="visits")
    assert effects.counts["clusters"].tolist() == [12, 12, 12]
    assert effects.df == 11
