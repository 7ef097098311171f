"""The propensity score, its design and the overlap of the arms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from impact import match
from impact.data import Cohort
from impact.errors import DataError, DesignError, ParameterError


def people(n=400, seed=3):
    rng = np.random.default_rng(seed)
    age = rng.normal(70, 8, n)
    tenure = rng.choice(["rent", "own", "shared"], n)
    helped = rng.random(n) < 1 / (1 + np.exp(-(0.05 * (age - 72) + 0.6 * (tenure == "rent"))))
    return pd.DataFrame({"helped": helped.astype(int), "age": age, "tenure": tenure, "id": np.arange(n)})


def test_score_equals_statsmodels():
    frame = people()
    x = pd.get_dummies(frame[["age", "tenure"]], drop_first=True, dtype=float)
    expected = sm.Logit(frame["helped"], sm.add_constant(x)).fit(disp=False).predict()
    score = match.propensity(Cohort.from_frame(frame, treated="helped"), on=["age", "tenure"])
    np.testing.assert_allclose(score, expected, atol=1e-9)
    assert score.index.equals(frame.index)


def test_columns_that_say_the_same_do_no_harm():
    """A copy of a covariate, and a constant one, change no score."""
    frame = people().assign(twice=lambda f: 2 * f["age"], one=1.0)
    cohort = Cohort.from_frame(frame, treated="helped")
    once = match.propensity(cohort, on=["age", "tenure"])
    again = match.propensity(cohort, on=["age", "tenure", "twice", "one"])
    np.testing.assert_allclose(again, once, atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_score_does_not_depend_on_row_order_to_the_last_bit(seed):
    """Ties between equal people must stay ties."""
    frame = people(120).assign(age=lambda f: f["age"].round(-1))
    mixed = frame.sample(frac=1, random_state=seed)
    by_id = [
        match.propensity(Cohort.from_frame(f, treated="helped", person_id="id"), on=["age", "tenure"])
        .set_axis(f["id"])
        .sort_index()
        for f in (frame, mixed)
    ]
    assert (by_id[0] == by_id[1]).all()
    assert by_id[0].groupby([frame["age"], frame["tenure"]]).nunique().eq(1).all()


def test_category_in_which_nobody_was_supported_scores_zero():
    """It leaves the score of everybody else as if its people were not there."""
    frame = people()
    other = frame.head(30).assign(tenure="hostel", helped=0, id=range(1000, 1030))
    both = pd.concat([frame, other], ignore_index=True)
    score = match.propensity(Cohort.from_frame(both, treated="helped"), on=["age", "tenure"])
    without = match.propensity(Cohort.from_frame(frame, treated="helped"), on=["age", "tenure"])
    assert (score[400:] == 0).all()
    np.testing.assert_allclose(score[:400], without, atol=1e-12)


def test_category_in_which_everybody_was_supported_is_refused():
    frame = people()
    frame.loc[:20, ["tenure", "helped"]] = ["hostel", 1]
    with pytest.raises(DesignError, match="category of 'tenure' everybody was supported"):
        match.propensity(Cohort.from_frame(frame, treated="helped"), on=["age", "tenure"])


def test_covariate_that_separates_the_arms_is_refused():
    frame = people().assign(age=lambda f: np.where(f["helped"] == 1, f["age"] + 200, f["age"]))
    with pytest.raises(DesignError, match=r"on: .* age.*no finite solution"):
        match.propensity(Cohort.from_frame(frame, treated="helped"), on=["age"])


@pytest.mark.parametrize(("value", "message"), [(0, "Nobody in the cohort"), (1, "Everybody in the cohort")])
def test_an_empty_arm_is_refused(value, message):
    cohort = Cohort.from_frame(people().assign(helped=value), treated="helped")
    with pytest.raises(DesignError, match=message):
        match.propensity(cohort, on=["age"])


def test_all_problems_of_the_covariates_come_together():
    frame = people()
    frame.loc[:6, "age"] = np.nan
    with pytest.raises(DataError) as caught:
        match.propensity(Cohort.from_frame(frame, treated="helped"), on=["age", "tenur"])
    assert "column 'age' is missing for 7 people" in str(caught.value)
    assert "no column 'tenur'. Did you mean 'tenure'?" in str(caught.value)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (lambda f: pd.Timestamp("2024-01-01") + pd.to_timedelta(f["id"], "D"), "holds dates"),
        (lambda f: "p" + f["id"].astype(str), "has 400 levels, more than 50"),
        (lambda f: np.where(f["id"] == 5, np.inf, f["age"]), "infinite"),
    ],
)
def test_columns_that_are_no_covariates_are_refused(column, message):
    frame = people().assign(odd=column)
    with pytest.raises(DataError, match=message):
        match.propensity(Cohort.from_frame(frame, treated="helped"), on=["odd"])


def test_no_covariates_is_refused():
    with pytest.raises(ParameterError, match="at least one covariate"):
        match.propensity(Cohort.from_frame(people(), treated="helped"), on=[])


def test_overlap_counts_everyone_once_in_bins_of_round_width():
    frame = people()
    summary = match.overlap(Cohort.from_frame(frame, treated="helped"), on=["age", "tenure"])
    by_arm = summary.table.groupby("arm")["persons"].sum()
    assert by_arm["treated"] == frame["helped"].sum()
    assert by_arm["control"] == (1 - frame["helped"]).sum()
    width = (summary.table["bin_high"] - summary.table["bin_low"]).round(6).unique()
    assert len(width) == 1
    assert width[0] in (0.005, 0.01, 0.02, 0.05)
    assert list(summary.people) == ["persons"]
