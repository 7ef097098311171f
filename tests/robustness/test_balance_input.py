"""What balance and its tables are given, and cannot use, is refused in words; edges give no false numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from impact import match
from impact.data import Cohort
from impact.errors import DataError, ParameterError
from impact.results import Matched


def weighted(weight=None, *, score=np.nan, outcomes=(), exposure=None, **columns):
    frame = pd.DataFrame({"helped": [1, 1, 1, 0, 0, 0], "age": [70.0, 61, 65, 61, 70, 50]}).assign(**columns)
    cohort = Cohort.from_frame(frame, treated="helped", outcomes=outcomes, exposure=exposure)
    table = pd.DataFrame({"person_id": cohort.person_id, "weight": 1.0, "distance": score})
    if weight is not None:
        table["weight"] = np.asarray(weight, float)
    method = {"estimand": "ATT", "covariates": ["age"], "exact": [], "missing": "error"}
    return Matched(table, cohort, method, pd.DataFrame())


def row(balance, name, sample="after"):
    return balance.table.set_index(["covariate", "sample"]).loc[(name, sample)]


def test_arguments():
    with pytest.raises(ParameterError, match="Did you mean 'treated'"):
        match.balance(weighted(), denominator="treatd")
    with pytest.raises(DataError, match="Did you mean 'age'"):
        match.balance(weighted(), on=["agee"])
    with pytest.raises(ParameterError, match="name at least one covariate"):
        match.balance(weighted(), on=[])
    with pytest.raises(DataError, match="missing for 1 people"):
        match.balance(weighted(age=[70.0, np.nan, 65, 61, 70, 50]))


def test_a_column_that_is_the_same_for_all_is_balanced():
    found = row(match.balance(weighted(stairs=3.0), on=["stairs"]), "stairs")
    assert found["smd"] == found["ks"] == 0
    assert found["overlap"] == pytest.approx(1)
    assert np.isnan(found["variance_ratio"])


def test_an_arm_that_is_left_empty_has_no_figures_and_stops_nothing():
    after = row(match.balance(weighted([1, 1, 1, 0, 0, 0])), "age")
    assert np.isnan(after[["mean_control", "smd", "ks"]].astype(float)).all()


def test_one_person_with_all_the_weight_has_no_variance():
    after = row(match.balance(weighted([1, 1, 1, 0, 9, 0])), "age")
    assert after["mean_control"] == 70
    assert np.isnan(after["variance_ratio"])


def test_large_and_tiny_numbers_are_compared_as_they_are():
    age = np.array([70.0, 61, 65, 61, 70, 50])
    plain = row(match.balance(weighted()), "age")
    for scale in (1e-12, 1e12, 1e100):
        found = row(match.balance(weighted(age=age * scale)), "age")
        assert found["smd"] == pytest.approx(plain["smd"])
        assert found["ks"] == pytest.approx(plain["ks"])


def test_what_was_filled_for_matching_is_filled_for_balance():
    matched = weighted(age=[70.0, np.nan, 65, 61, 70, 50])
    filled = Matched(
        matched.table, matched.cohort, {**matched.method, "missing": "indicator"}, matched.counts
    )
    table = match.balance(filled).table
    assert table["level"].tolist()[2:] == ["missing", "missing"]


def test_scores_are_named_by_the_distance():
    score = np.linspace(0.1, 0.9, 6)
    for distance, name in {
        "propensity": "propensity score",
        "prognostic": "prognostic score",
        "linear_propensity": "propensity score (linear predictor)",
    }.items():
        matched = weighted(score=score)
        named = Matched(matched.table, matched.cohort, {**matched.method, "distance": distance}, None)
        assert match.balance(named).table["covariate"][0] == name


def test_time_followed_is_compared_where_it_differs():
    months = [12.0, 12, 6, 12, 3, 12]
    found = match.balance(weighted(months=months, visits=1, outcomes=["visits"], exposure="months"))
    followed = row(found, "months followed (visits)")
    assert followed["kind"] == "follow-up"
    assert followed["mean_treated"] == 10
    same = match.balance(weighted(months=12.0, visits=1, outcomes=["visits"], exposure="months"))
    assert set(same.table["kind"]) == {"covariate"}


def test_who_is_not_followed_takes_no_part_in_the_times():
    months = np.array([12.0, 12, 6, 12, 3, 9])
    whole = weighted(months=months, visits=1, outcomes=["visits"], exposure="months")
    bare = weighted()
    found = match.balance(bare, cohort=whole.cohort.subset(np.array([0, 2, 3, 4])))
    followed = row(found, "months followed (visits)", "before")
    assert followed[["mean_treated", "mean_control"]].tolist() == [9.0, 7.5]


def test_months_before_are_compared_though_they_were_not_matched_on():
    found = match.balance(weighted(prior_ae_m1=[1, 0, 2, 0, 0, 1], prior_ae_q_2=1, prior_ae=5))
    assert found.table.query("kind == 'prior period'")["covariate"].unique().tolist() == [
        "prior_ae_m1",
        "prior_ae_q_2",
    ]


def test_products_are_of_different_covariates_and_asked_for():
    matched = weighted(tenure=list("aabbcc"), alone=[0, 1, 0, 1, 0, 1])
    on = ["age", "tenure", "alone"]
    kinds = match.balance(matched, on=on, squares=True, interactions=True).table
    products = kinds[(kinds["kind"] == "interaction") & (kinds["sample"] == "after")]
    assert sorted(products["covariate"].unique()) == ["age × alone", "age × tenure", "tenure × alone"]
    assert len(products) == 3 + 1 + 3
    assert kinds[kinds["kind"] == "square"]["covariate"].unique().tolist() == ["age squared"]
    assert set(match.balance(matched, on=on).table["kind"]) == {"covariate"}
