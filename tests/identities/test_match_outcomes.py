"""Equalities that outcomes of matched and weighted samples must satisfy exactly."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import pytest

from impact import match
from impact.data import Cohort
from impact.errors import ParameterError
from impact.match import OUTCOMES
from impact.results import Matched

COUNTS = ("poisson", "negative_binomial", "conditional_poisson", "aipw", "hurdle")
VALUES = ("mean_difference", "abadie_imbens")


def frame_of(n=300, seed=2, months=None):
    rng = np.random.default_rng(seed)
    age, ltc = rng.normal(0, 1, n), rng.poisson(1.5, n)
    helped = rng.random(n) < 1 / (1 + np.exp(1 - 0.5 * age))
    months = rng.uniform(3, 12, n) if months is None else np.full(n, months)
    visits = rng.poisson(rng.gamma(0.7, 1, n) * months * 0.3 * np.exp(0.3 * age - 0.3 * helped))
    score = (50 + 2 * age + 5 * rng.normal(size=n) + 3 * helped).round(1)
    frame = pd.DataFrame({"helped": helped * 1, "age": age, "ltc": ltc, "months": months, "visits": visits})
    return frame.assign(score=score, fell=(rng.random(n) < 0.4) * 1, id=[f"p{i:04}" for i in range(n)])


def cohort_of(frame):
    return Cohort.from_frame(frame, treated="helped", outcomes=["visits"], exposure="months", person_id="id")


def outcome_of(name):
    return "visits" if name in COUNTS else "score" if name in VALUES else "fell"


def samples(frame):
    cohort = cohort_of(frame)
    pairs = match.nearest(cohort, on=["age"], caliper=0.3)
    again = match.nearest(cohort, on=["age"], ratio=2, replace=True)
    return {"pairs": pairs, "again": again}


def same(a, b, **tolerance):
    np.testing.assert_allclose(a.estimate, b.estimate, **tolerance)
    np.testing.assert_allclose(a.std_error, b.std_error, **tolerance)


@pytest.mark.parametrize("sample", ["pairs", "again"])
def test_doubly_robust_rates_without_covariates_are_the_weighted_rates(sample):
    matched = samples(frame_of())[sample]
    both = [f(matched, outcome="visits") for f in (match.aipw, match.rate_ratio)]
    np.testing.assert_allclose(both[0].estimate, both[1].estimate, rtol=1e-9)
    np.testing.assert_allclose(both[0].std_error, both[1].std_error, rtol=1e-9)


def test_doubly_robust_rates_of_a_cohort_without_covariates_are_the_crude_rates():
    frame = frame_of()
    rate = frame.groupby("helped")["visits"].sum() / frame.groupby("helped")["months"].sum()
    effects = match.aipw(cohort_of(frame), outcome="visits")
    assert effects.estimate[0] == pytest.approx(np.log(rate[1] / rate[0]), rel=1e-10)


@pytest.mark.parametrize("sample", ["pairs", "again"])
def test_hurdle_without_covariates_and_with_equal_time_is_the_ratio_of_rates(sample):
    """Any times how many if any: exactly the ratio of events, with its error; in logs always their sum."""
    matched = samples(frame_of(months=12.0))[sample]
    table = match.hurdle(matched, outcome="visits")
    rate = match.rate_ratio(matched, outcome="visits")
    whole = table.select(table.labels["term"] == "effect")
    factor = np.sqrt(
        (len(matched.table.query("weight > 0")) - 2) / (len(matched.table.query("weight > 0")) - 4)
    )
    np.testing.assert_allclose(whole.estimate, rate.estimate, rtol=1e-8)
    if sample == "pairs":
        np.testing.assert_allclose(whole.std_error, rate.std_error * factor, rtol=1e-8)
    adjusted = match.hurdle(samples(frame_of())[sample], outcome="visits", adjust=["age", "ltc"])
    logs = adjusted.select(adjusted.labels["scale"] == "log ratio")
    by_term = dict(zip(logs.labels["term"], logs.estimate, strict=True))
    assert by_term["any"] + by_term["given any"] == pytest.approx(by_term["effect"], rel=1e-12)
    assert logs.combine([[1.0], [1.0], [-1.0]], labels=logs.labels.iloc[[0]]).std_error[0] < 1e-12


def test_risks_and_means_without_covariates_are_those_of_the_rows():
    frame = frame_of()
    matched = samples(frame)["pairs"]
    rows = matched.table.query("weight > 0").merge(frame, left_on="person_id", right_on="id")
    mean = rows.groupby("helped")[["fell", "score"]].mean()
    risk = match.risk(matched, outcome="fell")
    assert risk.estimate[0] == pytest.approx(np.log(mean.loc[1, "fell"] / mean.loc[0, "fell"]))
    assert risk.estimate[1] == pytest.approx(100 * (mean.loc[1, "fell"] - mean.loc[0, "fell"]))
    assert match.mean_difference(matched, outcome="score").estimate[0] == pytest.approx(
        mean.loc[1, "score"] - mean.loc[0, "score"]
    )


def test_errors_of_pairs_are_those_of_their_differences():
    """Abadie-Imbens for pairs without replacement: the error of a mean of differences, without factor."""
    frame = frame_of()
    matched = match.nearest(cohort_of(frame), on=["age"], distance="mahalanobis")
    rows = matched.table.query("weight > 0").merge(frame, left_on="person_id", right_on="id")
    gap = rows.pivot(index="subclass", columns="helped", values="score")
    gap = gap[1] - gap[0]
    effects = match.mean_difference(matched, outcome="score", method="abadie_imbens")
    assert effects.estimate[0] == pytest.approx(gap.mean(), rel=1e-12)
    assert effects.std_error[0] == pytest.approx(gap.std(ddof=0) / np.sqrt(len(gap)), rel=1e-12)
    by_set = match.mean_difference(matched, outcome="score")
    g, n = len(gap), len(rows)
    factor = g / (g - 1) * (n - 1) / (n - 2)
    assert by_set.std_error[0] == pytest.approx(effects.std_error[0] * np.sqrt(factor), rel=1e-10)


@pytest.mark.parametrize(
    ("name", "adjust", "sample"),
    [
        (name, adjust, sample)
        for name, adjust, sample in product(OUTCOMES, ([], ["age", "ltc"]), ("pairs", "again"))
        # Within sets there are no covariates, and no control is in two sets.
        if name != "conditional_poisson" or (not adjust and sample == "pairs")
    ],
    ids=str,
)
def test_the_order_of_rows_moves_nothing(name, adjust, sample):
    frame = frame_of()
    found = [
        OUTCOMES[name](samples(f)[sample], outcome=outcome_of(name), **({"adjust": adjust} if adjust else {}))
        for f in (frame, frame.sample(frac=1, random_state=3))
    ]
    same(*found, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("again", [True, False])
def test_the_order_of_rows_does_not_choose_among_people_of_equal_scores(again):
    frame = frame_of()
    a, b = (
        match.mean_difference(
            match.nearest(cohort_of(f), on=["ltc"], replace=again), outcome="score", method="abadie_imbens"
        )
        for f in (frame, frame.sample(frac=1, random_state=3))
    )
    assert a.method["score"] == "estimated, its error counted"
    assert a.std_error[0] == pytest.approx(b.std_error[0], rel=1e-12)


@pytest.mark.parametrize("name", [n for n in OUTCOMES if n != "abadie_imbens"])
def test_twice_the_sets_leave_the_effect_and_its_factor_free_error(name):
    """Every set once more, with people of their own: CR0 falls by the root of two, and by nothing else."""
    once = samples(frame_of())["pairs"]
    table, people = once.table, once.cohort.people
    twin = people.assign(id=people["id"] + "b")
    cohort = cohort_of(pd.concat([people, twin], ignore_index=True))
    more = table.assign(person_id=table["person_id"] + "b", subclass=table["subclass"] + 1000)
    twice = Matched(pd.concat([table, more], ignore_index=True), cohort, once.method, once.counts)
    a, b = (OUTCOMES[name](m, outcome=outcome_of(name)) for m in (once, twice))

    def factor(effects):
        # Of a hurdle, whose second step has fewer people behind it, those of the whole.
        g, n = effects.counts["clusters"].max(), effects.counts["persons"].max()
        return np.sqrt(g / (g - 1) * (n - 1) / (n - effects.method["parameters"]))

    avoided = (a.labels["scale"] == "events avoided").to_numpy()
    np.testing.assert_allclose(b.estimate, a.estimate * np.where(avoided, 2, 1), rtol=1e-7, atol=1e-12)
    expected = a.std_error / factor(a) * np.where(avoided, np.sqrt(2), np.sqrt(0.5))
    np.testing.assert_allclose(b.std_error / factor(b), expected, rtol=1e-7)


@pytest.mark.parametrize("name", OUTCOMES)
def test_sets_of_another_scale_of_weights_change_no_average(name):
    """All weights three times as large: the same ratios and differences, and their errors."""
    matched = samples(frame_of())["again" if name != "conditional_poisson" else "pairs"]
    heavy = replace(matched, table=matched.table.assign(weight=3 * matched.table["weight"]))
    a, b = (OUTCOMES[name](m, outcome=outcome_of(name)) for m in (matched, heavy))
    average = (a.labels["scale"] != "events avoided").to_numpy()
    same(a.select(average), b.select(average), rtol=1e-7, atol=1e-12)


def test_time_at_risk_of_a_set_may_have_any_unit_in_the_conditional_ratio():
    frame = frame_of()
    matched = samples(frame)["pairs"]
    number = matched.table.set_index("person_id")["subclass"].reindex(frame["id"]).fillna(0).astype(int)
    other = cohort_of(frame.assign(months=frame["months"] * (1 + number.to_numpy() % 5)))
    ratio = partial(match.rate_ratio, matched, outcome="visits", estimand="conditional")
    same(ratio(), ratio(cohort=other), rtol=1e-9)


def test_supported_and_controls_exchanged_turn_the_effect_round():
    """ATT of one is ATC of the other with the sign turned, for every model that has both."""
    frame = frame_of()
    matched = samples(frame)["pairs"]
    turned = cohort_of(frame.assign(helped=1 - frame["helped"]))
    table = matched.table.assign(distance=1 - matched.table["distance"])
    mirror = replace(matched, table=table, cohort=turned, method={**matched.method, "estimand": "ATC"})
    for name in ("poisson", "aipw", "mean_difference", "abadie_imbens", "risk"):
        a, b = (
            OUTCOMES[name](m, outcome=outcome_of(name), adjust=["age"]).table.set_index("scale")
            for m in (matched, mirror)
        )
        assert "events avoided" not in b.index
        rows = a.index.intersection(b.index)
        np.testing.assert_allclose(b.loc[rows, "estimate"], -a.loc[rows, "estimate"], rtol=1e-8)
        np.testing.assert_allclose(b.loc[rows, "std_error"], a.loc[rows, "std_error"], rtol=1e-7)


def test_pairs_of_people_with_several_rows_are_clustered_by_person_too():
    """Without replacement of rows, but of people at several dates: V(set) + V(person) - V(row), all CR1."""
    frame = frame_of()
    once = cohort_of(frame)
    person = np.arange(len(frame)) // 3
    several = replace(once, _pid=person)
    one, more = (match.nearest(c, on=["age"], caliper=0.3) for c in (once, several))
    effects = match.mean_difference(more, outcome="score")
    assert effects.method["clusters"] == "matched set and person, two-way"
    by_set = match.mean_difference(one, outcome="score")
    rows = more.table.query("weight > 0").merge(frame.assign(pid=person), left_on="person_id", right_on="id")
    left = rows["score"] - rows.groupby("helped")["score"].transform("mean")
    influence = np.where(rows["helped"] == 1, left, -left) / (len(rows) / 2)
    n, variance = len(rows), by_set.vcov[0, 0]
    for sign, keys in ((1, ["pid"]), (-1, ["pid", "subclass"])):
        sums = pd.Series(influence).groupby([rows[key].to_numpy() for key in keys]).sum()
        g = len(sums)
        variance += sign * (sums**2).sum() * g / (g - 1) * (n - 1) / (n - 2)
    assert effects.std_error[0] == pytest.approx(np.sqrt(variance), rel=1e-10)
    with pytest.raises(ParameterError, match="within sets"):
        match.rate_ratio(more, outcome="visits", estimand="conditional")


def test_a_score_that_tells_nothing_of_outcomes_leaves_the_error_as_it_is():
    """A constant outcome but for noise by pair: without covariance there is nothing to add or take away."""
    frame = frame_of()
    matched = samples(frame)["pairs"]
    number = matched.table.set_index("person_id")["subclass"].reindex(frame["id"]).fillna(0).to_numpy(int)
    # Controls are all alike, and the pairs' gaps have no covariance with the score's gradient.
    a, b = (
        match.mean_difference(m, outcome="even", method="abadie_imbens", cohort=cohort_of(f))
        for f in [frame.assign(even=np.where(frame["helped"] == 1, 1.0 + number % 2, 1.0))]
        for m in (matched, replace(matched, table=matched.table.assign(distance=0.5)))
    )
    assert a.method["score"] == "estimated, its error counted"
    assert b.method["score"] == "taken as known"
    # Then c = d, and what is taken away comes back.
    assert a.std_error[0] == pytest.approx(b.std_error[0], rel=1e-10)


def test_weights_of_genetic_matching_count_where_neighbours_are_sought():
    """All weight on one of two covariates that are orthogonal: the errors of matching on that one alone."""
    frame = frame_of()
    for arm in (0, 1):
        mine = frame["helped"] == arm
        x = np.column_stack([np.ones(mine.sum()), frame.loc[mine, "age"]])
        other = frame.loc[mine, "ltc"].astype(float)
        frame.loc[mine, "other"] = other - x @ np.linalg.lstsq(x, other, rcond=None)[0]
    cohort = cohort_of(frame)
    alone = match.nearest(cohort, on=["age"], distance="mahalanobis", replace=True)
    said = {"estimator": "genetic", "covariates": ["age", "other"], "distance": "weighted mahalanobis"}
    for weights, differ in (((1, 0, 0), False), ((0, 1, 0), True)):
        more = {
            **said,
            "link": "logit",
            "weights": dict(zip(["age", "other", "score"], weights, strict=True)),
        }
        both = replace(alone, method={**alone.method, **more})
        a, b = (match.mean_difference(m, outcome="score", method="abadie_imbens") for m in (alone, both))
        assert (abs(a.std_error[0] / b.std_error[0] - 1) > 1e-9) == differ
