"""Outcomes of matched samples: estimated weights, other estimands, missing values, pair censoring."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from impact import match
from impact.data import Cohort, read_cohort
from impact.match.sample import NOT_AVOIDED
from impact.results import Matched, Weighting


def frame_of(n=240, seed=6):
    rng = np.random.default_rng(seed)
    age = rng.normal(0, 1, n)
    helped = rng.random(n) < 1 / (1 + np.exp(0.5 - 0.5 * age))
    months = rng.uniform(3, 12, n)
    visits = rng.poisson(rng.gamma(1, 1, n) * months * 0.3 * np.exp(0.3 * age - 0.3 * helped))
    frame = pd.DataFrame({"helped": helped * 1, "age": age, "months": months, "visits": visits})
    frame["fell"] = (rng.random(n) < 1 / (1 + np.exp(0.5 - 0.4 * age + 0.3 * helped))) * 1
    return frame.assign(score=(50 + 3 * age + 2 * helped + 4 * rng.normal(size=n)).round(1))


def cohort_of(frame):
    return Cohort.from_frame(frame, treated="helped", outcomes=["visits"], exposure="months")


def sample_of(cohort, weight, subclass=None, *, weighting=None, **method):
    table = pd.DataFrame({"person_id": cohort.person_id, "weight": weight, "distance": np.nan})
    table["subclass"] = pd.array([pd.NA] * len(table) if subclass is None else subclass, dtype="Int64")
    clusters = "person" if subclass is None else "matched set"
    said = {"estimator": "test", "estimand": "ATT", "replace": False, "clusters": clusters, **method}
    return Matched(table, cohort, said, pd.DataFrame(), weighting)


MODELS = {
    "rate_ratio": partial(match.rate_ratio, outcome="visits"),
    "aipw": partial(match.aipw, outcome="visits"),
    "hurdle": partial(match.hurdle, outcome="visits"),
    "mean_difference": partial(match.mean_difference, outcome="score"),
    "mean_difference aipw": partial(match.mean_difference, outcome="score", method="aipw"),
    "risk": partial(match.risk, outcome="fell"),
}


@pytest.mark.parametrize("estimand", ["ATT", "ATC", "ATE", "ATO"])
@pytest.mark.parametrize("name", MODELS)
def test_the_error_of_weights_enters_by_the_derivative_of_the_estimate(name, estimand):
    """What a parameter of the weights adds to a person's influence, against a small change of all weights."""
    frame = frame_of()
    cohort, rng = cohort_of(frame), np.random.default_rng(1)
    weight, direction = rng.uniform(0.5, 2, len(frame)), rng.normal(size=len(frame))
    influence = np.zeros((len(frame), 1))
    influence[0] = 1.0
    fit = partial(MODELS[name], adjust=["age"])
    weighting = Weighting(direction[:, None], influence)
    known = fit(sample_of(cohort, weight, estimand=estimand))
    estimated = fit(sample_of(cohort, weight, weighting=weighting, estimand=estimand))
    n, k = len(frame), known.method["parameters"]
    added = (estimated.root - known.root)[0] / np.sqrt(n / (n - 1) * (n - 1) / (n - k))
    up, down = (fit(sample_of(cohort, weight + s * direction, estimand=estimand)) for s in (1e-5, -1e-5))
    np.testing.assert_allclose(added, (up.estimate - down.estimate) / 2e-5, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(estimated.root[1:], known.root[1:])
    assert known.method["weights"] == "known"
    assert estimated.method["weights"].startswith("estimated")


@pytest.mark.parametrize("estimand", ["ATC", "ATE", "ATO", "ATM"])
def test_other_estimands_say_whom_they_are_about_and_avoid_no_events(estimand):
    frame = frame_of()
    matched = sample_of(cohort_of(frame), np.ones(len(frame)), estimand=estimand)
    for name, model in MODELS.items():
        effects = model(matched)
        assert "events avoided" not in set(effects.labels["scale"]), name
        assert effects.method["estimand"] != model(sample_of(matched.cohort, 1.0)).method["estimand"]
    assert match.rate_ratio(matched, outcome="visits").method["notes"] == [NOT_AVOIDED]


def test_differences_are_over_the_people_of_the_estimand():
    """With slopes that support changes: mean of age over the treated, the controls and everyone."""
    frame = frame_of().assign(score=lambda f: 2 * f["age"] + f["helped"] * (1 + 3 * f["age"]))
    weight = np.random.default_rng(3).uniform(0.5, 2, len(frame))
    for estimand, rows in {"ATT": frame["helped"] == 1, "ATC": frame["helped"] == 0}.items():
        matched = sample_of(cohort_of(frame), weight, estimand=estimand)
        mean = np.average(frame["age"][rows], weights=weight[rows])
        assert match.mean_difference(matched, outcome="score", adjust=["age"]).estimate[0] == pytest.approx(
            1 + 3 * mean
        )
    for estimand, w in {"ATE": np.ones(len(frame)), "ATO": weight}.items():
        matched = sample_of(cohort_of(frame), weight, estimand=estimand)
        mean = np.average(frame["age"], weights=w)
        assert match.mean_difference(matched, outcome="score", adjust=["age"]).estimate[0] == pytest.approx(
            1 + 3 * mean
        )


@pytest.mark.parametrize("right", ["weights", "regression"])
def test_doubly_robust_rates_need_only_one_of_the_two(right):
    """40,000 people, true ratio 0.7: weights or regression wrong (without the covariate), never both."""
    rng = np.random.default_rng(11)
    n = 40_000
    age, other = rng.integers(0, 2, n), rng.normal(size=n)
    chance = np.where(age == 1, 0.6, 0.2)
    helped = rng.random(n) < chance
    y = rng.poisson(np.exp(0.9 * age) * np.where(helped, 0.7, 1))
    frame = pd.DataFrame({"helped": helped * 1, "age": age, "other": other, "visits": y, "months": 1.0})
    odds = chance / (1 - chance) if right == "weights" else np.ones(n)
    matched = sample_of(cohort_of(frame), np.where(helped, 1.0, odds))
    adjust = ["other" if right == "weights" else "age"]
    effects = match.aipw(matched, outcome="visits", adjust=adjust)
    assert abs(effects.estimate[0] - np.log(0.7)) < 3 * effects.std_error[0]
    wrong = match.aipw(sample_of(matched.cohort, 1.0), outcome="visits", adjust=["other"])
    assert abs(wrong.estimate[0] - np.log(0.7)) > 10 * wrong.std_error[0]


def test_conditional_ratio_of_sets_with_several_supported_equals_set_dummies():
    """Full matching: sets of one and several, and several and one."""
    frame = frame_of(90)
    number = pd.Series(np.resize(np.arange(1, 16), len(frame)))
    both = frame.groupby(number)["helped"].transform("nunique") == 2
    matched = sample_of(cohort_of(frame), both * 1.0, number.where(both))
    rows = frame.assign(number=number)[both]
    rows = rows[rows.groupby("number")["visits"].transform("sum") > 0]
    x = pd.get_dummies(rows["number"], dtype=float).assign(helped=rows["helped"].astype(float))
    fit = sm.GLM(rows["visits"], x, family=sm.families.Poisson(), offset=np.log(rows["months"])).fit(
        tol=1e-13
    )
    effects = match.rate_ratio(matched, outcome="visits", estimand="conditional")
    assert effects.estimate[0] == pytest.approx(fit.params["helped"], abs=1e-8)


def test_people_without_a_value_are_left_out_with_their_set():
    """Pair 1 loses its control, pair 2 nobody, set 3 one of two controls."""
    frame = pd.DataFrame(
        {
            "helped": [1, 1, 1, 0, 0, 0, 0],
            "score": [10.0, 20, 30, np.nan, 14, 21, np.nan],
            "fell": [1, 1, 0, np.nan, 1, 0, 0],
            "visits": 1,
            "months": 1.0,
        }
    )
    matched = sample_of(cohort_of(frame), [1, 1, 1, 1, 1, 0.5, 0.5], [1, 2, 3, 1, 2, 3, 3])
    effects = match.mean_difference(matched, outcome="score")
    assert effects.estimate[0] == pytest.approx(((20 - 14) + (30 - 21)) / 2)
    assert effects.method["without_value"] == {"score": "2 people"}
    assert effects.counts.iloc[0].to_dict() == {
        "persons": 4,
        "treated": 2,
        "clusters": 2,
        "events": 2,
        "fewest": 2,
    }
    both = match.risk(matched, outcome="fell")
    assert both.method["without_value"] == {"fell": "1 people"}
    assert both.estimate[1] == pytest.approx(100 * (0.5 - (1 + 0) / 2))


def brute_abadie_imbens(frame, table, covariate):
    """Bias-corrected difference and variance by plain loops."""
    rows = table[table["weight"] > 0].merge(frame.rename_axis("person_id").reset_index(), on="person_id")
    controls = rows[rows["helped"] == 0]
    share = 1 / controls.groupby("subclass")["person_id"].transform("size")
    slope = 0.0
    if covariate:
        x = sm.add_constant(controls[covariate])
        slope = sm.WLS(controls["score"], x, weights=share).fit().params[covariate]
    gaps = []
    for _, rows_of in rows.groupby("subclass"):
        own, theirs = rows_of[rows_of["helped"] == 1].iloc[0], rows_of[rows_of["helped"] == 0]
        moved = slope * (own["age"] - theirs["age"])
        gaps.append(own["score"] - (theirs["score"] + moved).mean())
    everyone = frame[frame["helped"] == 0]
    variance = ((gaps - np.mean(gaps)) ** 2).sum()
    for person, shares in share.groupby(controls["person_id"]):
        near = (everyone["age"] - frame.loc[person, "age"]).abs().drop(person).nsmallest(2).index
        apart = frame.loc[person, "score"] - frame.loc[near, "score"].mean()
        variance += (shares.sum() ** 2 - (shares**2).sum()) * 2 / 3 * apart**2
    return np.mean(gaps), np.sqrt(variance) / len(gaps)


@pytest.mark.parametrize("adjust", [[], ["age"]], ids=str)
@pytest.mark.parametrize("ratio", [1, 3])
def test_abadie_imbens_errors_equal_plain_loops(ratio, adjust):
    frame = frame_of()
    matched = match.nearest(cohort_of(frame), on=["age"], distance="mahalanobis", ratio=ratio, replace=True)
    effects = match.mean_difference(matched, outcome="score", adjust=adjust, method="abadie_imbens")
    expected = brute_abadie_imbens(frame, matched.table, adjust[0] if adjust else None)
    np.testing.assert_allclose([effects.estimate[0], effects.std_error[0]], expected, rtol=1e-9)


def loops_of_the_score(frame, matched, on, estimand):
    """What the estimated score adds to the variance, by loops: Abadie and Imbens 2016, theorem 2."""
    arm = 1 if estimand == "ATT" else 0
    x = sm.add_constant(frame[on])
    logit = sm.Logit(frame["helped"], x).fit(disp=0, tol=1e-12)
    chance = logit.predict(x) if arm else 1 - logit.predict(x)
    rows = matched.table[matched.table["weight"] > 0]
    rows = rows.assign(own=frame.loc[rows["person_id"], "helped"].to_numpy() == arm)
    lends = rows.loc[~rows["own"], "person_id"].unique()
    gaps, members = [], []
    for _, one in rows.groupby("subclass"):
        i, others = one.loc[one["own"], "person_id"].iloc[0], one.loc[~one["own"], "person_id"]
        gaps.append(frame.loc[i, "score"] - frame.loc[others, "score"].mean())
        members.append(i)
    c = d = np.zeros(len(on) + 1)
    for i, gap in zip(members, gaps, strict=True):
        near = (chance[lends] - chance[i]).abs().sort_values(kind="stable").index[:4]
        together = ((x.loc[near] - x.loc[near].mean()).T @ frame.loc[near, "score"]).to_numpy() / 3
        both = (1 - chance[i]) * x.loc[i].to_numpy() * (gap - np.mean(gaps))
        c, d = c + both + chance[i] * together, d + both - (1 - chance[i]) * together
    v = logit.cov_params().to_numpy()
    return (d @ v @ d - c @ v @ c) / len(gaps) ** 2


@pytest.mark.parametrize(("estimand", "replace"), [("ATT", True), ("ATT", False), ("ATC", True)])
@pytest.mark.parametrize("distance", ["propensity", "linear_propensity"])
def test_the_error_of_an_estimated_score_equals_plain_loops(distance, estimand, replace):
    frame = frame_of()
    matched = match.nearest(
        cohort_of(frame), on=["age", "months"], distance=distance, estimand=estimand, replace=replace
    )
    found = partial(match.mean_difference, outcome="score", method="abadie_imbens")
    effects = found(matched)
    known = found(
        Matched(matched.table, matched.cohort, {**matched.method, "link": "probit"}, matched.counts)
    )
    assert known.method["score"] == "taken as known"
    added = loops_of_the_score(frame, matched, ["age", "months"], estimand)
    if distance == "linear_propensity":
        # Neighbours on the logarithm of the odds may be others.
        assert effects.std_error[0] == pytest.approx(np.sqrt(known.std_error[0] ** 2 + added), rel=0.05)
    else:
        assert effects.std_error[0] == pytest.approx(np.sqrt(known.std_error[0] ** 2 + added), rel=1e-6)


def test_several_outcomes_have_one_joint_covariance():
    frame = frame_of().assign(twice=lambda f: 2 * f["score"])
    matched = match.nearest(cohort_of(frame), on=["age"], ratio=2, replace=True)
    for method in ("regression", "aipw", "abadie_imbens"):
        both = match.mean_difference(matched, outcome=["score", "twice"], method=method)
        difference = both.combine([[2.0], [-1.0]], labels=both.labels.iloc[[0]])
        assert difference.estimate[0] == pytest.approx(0, abs=1e-9)
        assert difference.std_error[0] == pytest.approx(0, abs=1e-6)


@pytest.fixture
def followed():
    """Two pairs: the control of the first dies in April, the supported of the second moves in May."""
    people = pd.DataFrame(
        {
            "person_id": ["a", "b", "c", "d"],
            "arm": ["help", "help", "none", "none"],
            "start_date": ["2024-01-01", "2024-02-01", None, None],
            "tenancy_start": "2020-01-01",
            "died": [None, None, "2024-04-01", None],
            "moved_out": [None, "2024-05-01", None, None],
            "linked": True,
            "consent": True,
            "opt_out": False,
        }
    )
    days = ["2024-01-15", "2024-04-01", "2024-04-02", "2024-05-01", "2024-05-02"]
    contacts = pd.DataFrame(
        [(p, "gp", d, d) for p in "ad" for d in days], columns=["person_id", "service", "start", "end"]
    )
    coverage = pd.DataFrame({"service": ["gp"], "first_date": ["2022-01-01"], "last_date": ["2025-12-31"]})
    cohort = read_cohort(
        people=people, contacts=contacts, coverage=coverage, treated=["help"], control=["none"]
    )
    return sample_of(cohort, 1.0, [1, 2, 1, 2])


def test_pair_censoring_ends_a_set_with_its_first_to_leave(followed):
    """From 1 January to 1 April is 92 days with both ends; from 1 February to 1 May 91. Later visits go."""
    dated = match.partner_dates(followed)
    shared = match.censor_pairs(followed, cohort=dated).follow_up(outcomes=["gp"], months=12)
    table = shared.table.set_index("person_id")
    np.testing.assert_allclose(table["exposure_gp"] * 30.4375, [92, 91, 92, 91])
    assert table["gp"].tolist() == [2, 0, 0, 3]
    alone = dated.follow_up(outcomes=["gp"], months=12).table.set_index("person_id")
    assert alone["gp"].tolist() == [5, 0, 0, 4]
    assert alone.loc["a", "exposure_gp"] == pytest.approx(366 / 30.4375)
    effects = match.rate_ratio(followed, outcome="gp", cohort=shared)
    assert effects.estimate[0] == pytest.approx(np.log(2 / 3))
