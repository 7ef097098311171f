"""`measure` against plain formulas: links, ranks, prognostic scores and matrices that are given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.optimize import minimize
from scipy.stats import rankdata

from impact.data import Cohort
from impact.match.distances import measure
from impact.match.people import People
from impact.match.propensity import design, fitted, propensity

ON = ["age", "alone", "tenure"]


def frame_of(n=240, seed=4):
    rng = np.random.default_rng(seed)
    age = rng.normal(70, 6, n).round()
    frame = pd.DataFrame(
        {
            "helped": (rng.random(n) < 1 / (1 + np.exp(-(age - 74) / 6))).astype(int),
            "age": age,
            "alone": rng.integers(0, 2, n),
            "tenure": rng.choice(["own", "rent", "shared"], n),
            "months": rng.uniform(1, 12, n),
        }
    )
    frame["visits"] = rng.poisson(frame["months"] * np.exp(-2 + 0.03 * (age - 70)))
    return frame


def people_of(frame, **options):
    cohort = Cohort.from_frame(frame, treated="helped", outcomes=["visits"], exposure="months")
    return People.of(cohort, on=ON, **options)


def full(frame):
    """The design matrix with every level."""
    return np.column_stack([frame["age"], frame["alone"], pd.get_dummies(frame["tenure"])]).astype(float)


def test_probit_equals_statsmodels_and_the_linear_predictor_is_its_argument():
    frame = frame_of()
    people = people_of(frame)
    x = np.column_stack([np.ones(len(frame)), np.delete(full(frame), 2, axis=1)])
    peer = sm.Probit(frame["helped"], x).fit(disp=0, method="newton", tol=1e-13)
    for distance, expected in {"propensity": peer.predict(x), "linear_propensity": x @ peer.params}.items():
        found = measure(people, distance=distance, link="probit")
        np.testing.assert_allclose(found.line, expected, atol=1e-9)
        assert found.spread == pytest.approx(np.std(expected, ddof=1))
        assert found.score is found.line


def test_penalised_is_the_most_likely_value_under_its_prior():
    """Standardised indicators of all levels, precision 1 for each coefficient and none for the constant."""
    frame = frame_of(120)
    x = full(frame)
    z = np.column_stack([np.ones(len(x)), (x - x.mean(0)) / x.std(0)])
    y = frame["helped"].to_numpy(float)

    def against(b):
        return np.logaddexp(0, z @ b).sum() - y @ (z @ b) + (b[1:] ** 2).sum() / 2

    def slope(b):
        return z.T @ (1 / (1 + np.exp(-(z @ b))) - y) + np.append(0, b[1:])

    best = minimize(against, np.zeros(z.shape[1]), jac=slope, method="BFGS", options={"gtol": 1e-10}).x
    score = fitted(design(frame, ON), y == 1, link="penalised")
    np.testing.assert_allclose(score.linear, z @ best, atol=1e-7)
    assert score.probability.mean() == pytest.approx(y.mean(), abs=1e-12)


def test_penalised_cannot_be_broken_by_separation():
    """A category in which all were supported, one in which none were, and a number that tells the arms."""
    frame = frame_of().assign(months=12.0)
    frame.loc[frame["tenure"] == "own", "helped"] = 1
    frame.loc[frame["tenure"] == "rent", "helped"] = 0
    frame["age"] = frame["age"] + 100 * frame["helped"]
    score = fitted(design(frame, ON), frame["helped"].to_numpy(bool), link="penalised")
    assert np.isfinite(score.linear).all()
    assert (score.probability > 0).all()
    assert (score.probability < 1).all()


def test_levels_in_another_order_and_other_units_move_no_penalised_score():
    frame = frame_of()
    other = frame.assign(
        age=frame["age"] * 12 - 3, tenure=frame["tenure"].map({"own": "z", "rent": "a", "shared": "m"})
    )
    y = frame["helped"].to_numpy(bool)
    a, b = (fitted(design(f, ON), y, link="penalised").probability for f in (frame, other))
    np.testing.assert_allclose(a, b, atol=1e-10)


def test_where_nobody_was_supported_the_linear_predictor_is_lowest_and_left_out_of_the_spread():
    frame = frame_of()
    frame.loc[frame["tenure"] == "own", "helped"] = 0
    found = measure(people_of(frame), distance="linear_propensity")
    out = (frame["tenure"] == "own").to_numpy()
    assert np.isfinite(found.line).all()
    assert found.line[out].max() <= found.line[~out].min()
    assert found.spread == pytest.approx(found.line[~out].std(ddof=1))
    assert (measure(people_of(frame)).line[out] == 0).all()


def test_robust_mahalanobis_is_rosenbaums():
    """Ranks, their covariance over everyone, brought to the variance of ranks without ties."""
    frame = frame_of(60)
    people = people_of(frame)
    ranks = np.apply_along_axis(rankdata, 0, full(frame))
    cv = np.cov(ranks.T)
    up = np.diag(np.std(np.arange(len(frame)), ddof=1) / np.sqrt(np.diag(cv)))
    inverse = np.linalg.pinv(up @ cv @ up, rcond=1e-9)
    points = measure(people, distance="robust_mahalanobis").points
    for i, j in [(0, 1), (5, 40), (17, 59)]:
        gap = ranks[i] - ranks[j]
        assert np.sum((points[i] - points[j]) ** 2) == pytest.approx(gap @ inverse @ gap, rel=1e-9)


def test_an_outlier_moves_no_robust_distance():
    """One person ten thousand years old is one rank above the next."""
    frame = frame_of(60)
    oldest = frame["age"].idxmax()
    frame.loc[oldest, "age"] += 1
    far = frame.assign(age=frame["age"].where(frame.index != oldest, 1e4))
    a, b = (measure(people_of(f), distance="robust_mahalanobis").points for f in (frame, far))
    np.testing.assert_allclose(a, b, atol=1e-9)


def test_prognostic_score_is_foretold_without_the_persons_own_outcome():
    frame = frame_of()
    score = measure(people_of(frame), distance="prognostic", prognosis="visits").line
    control = np.flatnonzero(frame["helped"] == 0)
    changed = frame.copy()
    changed.loc[control[3], "visits"] += 50
    moved = np.abs(measure(people_of(changed), distance="prognostic", prognosis="visits").line - score) > 1e-6
    same_fold = np.zeros(len(frame), bool)
    same_fold[control[3::5]] = True
    assert not moved[same_fold].any()
    assert moved[~same_fold].all()
    treated = frame.copy()
    treated.loc[treated["helped"] == 1, "visits"] += 9
    again = measure(people_of(treated), distance="prognostic", prognosis="visits").line
    np.testing.assert_array_equal(again, score)


def test_prognostic_score_is_near_the_plain_regression_of_controls():
    """With many people neither the folds nor the prior matter much."""
    frame = frame_of(4000)
    score = measure(people_of(frame), distance="prognostic", prognosis="visits").line
    controls = frame[frame["helped"] == 0]
    x = np.column_stack([np.ones(len(frame)), np.delete(full(frame), 2, axis=1)])
    here = (frame["helped"] == 0).to_numpy()
    peer = sm.GLM(
        controls["visits"], x[here], family=sm.families.Poisson(), offset=np.log(controls["months"])
    ).fit()
    np.testing.assert_allclose(score, x @ peer.params, atol=0.2)
    assert np.abs(score - x @ peer.params).mean() < 0.03


def test_prognostic_score_of_a_category_without_events_is_finite_and_people_not_at_risk_are_foretold():
    frame = frame_of()
    frame.loc[frame["tenure"] == "own", "visits"] = 0
    frame.loc[::7, ["visits", "months"]] = 0
    score = measure(people_of(frame), distance="prognostic", prognosis="visits").line
    assert np.isfinite(score).all()
    assert score[frame["tenure"] == "own"].mean() < score[frame["tenure"] != "own"].mean() - 1


def test_equal_people_have_bit_equal_scores():
    frame = pd.concat([frame_of(101)] * 3, ignore_index=True)
    for options in ({}, {"link": "probit"}, {"link": "penalised"}):
        score = measure(people_of(frame), distance="linear_propensity", **options).line
        np.testing.assert_array_equal(score[:101], score[101:202])
        np.testing.assert_array_equal(score[:101], score[202:])


@pytest.mark.parametrize("labelled", [True, False])
def test_a_matrix_is_brought_into_the_order_of_identifiers(labelled):
    """A frame by its labels, whatever its order; an array by the cohort's order."""
    frame = frame_of(30).assign(person_id=np.random.default_rng(1).permutation(30) * 7)
    cohort = Cohort.from_frame(frame, treated="helped", person_id="person_id")
    people = People.of(cohort, on=ON)
    t, c = frame[frame["helped"] == 1], frame[frame["helped"] == 0]
    gap = np.abs(t["age"].to_numpy()[:, None] - c["age"].to_numpy())
    given = gap
    if labelled:
        given = pd.DataFrame(gap, t["person_id"], c["person_id"]).sample(frac=1, random_state=2)
        given[999] = 0.0
    found = measure(people, distance=given)
    sorted_ = frame.sort_values("person_id")
    expected = np.abs(
        sorted_.query("helped == 1")["age"].to_numpy()[:, None]
        - sorted_.query("helped == 0")["age"].to_numpy()
    )
    np.testing.assert_array_equal(found.matrix, expected)
    assert found.score is None
    assert len(measure(people, distance=given, scored=True).score) == 30


def test_missing_numbers_get_the_mean_and_an_indicator():
    frame = frame_of(50)
    frame.loc[[3, 8], "age"] = np.nan
    frame.loc[[1], "tenure"] = None
    people = people_of(frame, missing="indicator")
    names = [tuple(row) for row in people.covariates.names.fillna("").to_numpy()]
    assert names[:2] == [("age", ""), ("age", "missing")]
    assert ("tenure", "missing") in names
    assert people.filled == {"age": 2, "tenure": 1}
    np.testing.assert_allclose(people.covariates.values[0, [3, 8]], frame["age"].mean())
    assert people.covariates.values[1].sum() == 2


def test_missing_numbers_are_cut_in_fifths():
    frame = frame_of(500)
    frame.loc[frame.index[:40], "age"] = np.nan
    covariates = people_of(frame, missing="category").covariates
    age = np.asarray(covariates.values[(covariates.names["covariate"] == "age").to_numpy()])
    assert covariates.names["level"][:6].tolist() == [*(f"fifth {i}" for i in range(1, 6)), "missing"]
    np.testing.assert_array_equal(age.sum(axis=0), 1)
    assert age[5].sum() == 40
    assert (age[:5].sum(axis=1) > 60).all()
    assert covariates.first.tolist()[:6] == [True, *[False] * 5]
    # Alone has no gap, so it stays a number.
    assert covariates.names.query("covariate == 'alone'")["level"].isna().tolist() == [True]


def test_missing_is_a_value_of_its_own_in_exact_strata():
    frame = frame_of(40)
    frame.loc[[0, 1, 2], "tenure"] = None
    people = people_of(frame.assign(area=frame["tenure"]), exact=["area"], missing="indicator")
    assert len(set(people.group[[0, 1, 2]])) == 1
    assert people.group[0] not in people.group[3:]
    assert people.filled["area"] == 3


def test_a_level_that_is_called_missing_already_is_that_level():
    frame = frame_of(40)
    frame.loc[[0, 1], "tenure"] = ["missing", None]
    covariates = people_of(frame, missing="category").covariates
    at = (covariates.names["level"] == "missing").to_numpy()
    assert at.sum() == 1
    assert covariates.values[at][0, :2].tolist() == [1, 1]


@pytest.mark.parametrize(
    "turn", ["as they come", "every fifth", "none among the few", "told apart among the few"]
)
def test_many_people_are_fitted_as_few_are(turn):
    """The fit of some that the fit of all begins with may fail, but it never moves the result."""
    rng = np.random.default_rng(9)
    n = 40_960
    x = rng.normal(size=n)
    y = rng.random(n) < 1 / (1 + np.exp(2 - x))
    first = np.arange(n) % 5 == 0
    if turn == "every fifth":
        y = first
    elif turn == "none among the few":
        y &= ~first
    elif turn == "told apart among the few":
        y = np.where(first, x > 0.5, y)
    score = fitted(design(pd.DataFrame({"x": x}), ["x"]), y)
    peer = sm.Logit(y.astype(float), sm.add_constant(x)).fit(disp=0, tol=1e-13)
    np.testing.assert_allclose(score.probability, peer.predict(), atol=1e-9)


def test_the_propensity_score_takes_links_and_gaps():
    frame = frame_of()
    frame.loc[5, "age"] = np.nan
    cohort = Cohort.from_frame(frame, treated="helped")
    score = propensity(cohort, on=ON, link="penalised", missing="indicator")
    assert score.notna().all()
