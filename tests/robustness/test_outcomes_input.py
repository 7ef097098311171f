"""Wrong arguments and samples that cannot carry a model of outcomes: each is refused with what to do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from impact import match
from impact.data import Cohort
from impact.errors import DataError, DesignError, ImpactError, ParameterError
from impact.match import OUTCOMES


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(4)
    n = 120
    frame = pd.DataFrame({"helped": np.tile([1, 0, 0], n // 3), "age": rng.normal(70, 8, n)})
    frame = frame.assign(months=12.0, visits=rng.poisson(3, n), fell=rng.integers(0, 2, n))
    return frame.assign(score=rng.normal(50, 9, n), name="x", area=np.where(frame["helped"] == 1, "a", "b"))


def cohort_of(frame):
    return Cohort.from_frame(frame, treated="helped", outcomes=["visits"], exposure="months")


@pytest.fixture(scope="module")
def pairs(frame):
    return match.nearest(cohort_of(frame), on=["age"])


@pytest.mark.parametrize(
    ("function", "arguments", "error", "message"),
    [
        (match.rate_ratio, {"model": "negbin"}, ParameterError, "model='negbin'"),
        (
            match.rate_ratio,
            {"estimand": "conditional", "model": "negative_binomial"},
            ParameterError,
            "Poisson",
        ),
        (match.aipw, {"outcome": "visit"}, DataError, "Did you mean 'visits'"),
        (match.aipw, {"adjust": ["area"]}, DesignError, "tell the arms apart"),
        (match.hurdle, {"adjust": ["area"]}, DesignError, "tell the arms apart"),
        (match.hurdle, {"outcome": []}, DataError, "at least one outcome"),
        (match.mean_difference, {"outcome": "scor"}, DataError, "Did you mean 'score'"),
        (match.mean_difference, {"outcome": "name"}, DataError, "'name': this column holds no numbers"),
        (
            match.mean_difference,
            {"outcome": "score", "method": "aipww"},
            ParameterError,
            "Did you mean 'aipw'",
        ),
        (match.mean_difference, {"outcome": "score", "adjust": ["area"]}, DesignError, "tell the arms apart"),
        (match.mean_difference, {"outcome": "score", "adjust": ["ages"]}, DataError, "adjust: .*'ages'"),
        (
            match.mean_difference,
            {"outcome": "score", "adjust": ["score"]},
            ParameterError,
            "adjust: 'score' is",
        ),
        (match.risk, {"outcome": "fell", "adjust": ["age", "fell"]}, ParameterError, "adjust: 'fell' is"),
        (match.aipw, {"adjust": ["exposure_visits"]}, ParameterError, "adjust: 'exposure_visits' is"),
        (match.hurdle, {"adjust": ["visits"]}, ParameterError, "adjust: 'visits' is"),
        (match.rate_ratio, {"adjust": "visits"}, ParameterError, "adjust: 'visits' is"),
        (match.risk, {"outcome": "visits"}, DataError, "'visits': holds other values than 0 and 1"),
        (match.risk, {"outcome": ["fell", "score"]}, DataError, "'score': holds other values"),
        (match.mcnemar, {"outcome": "score"}, DataError, "holds other values than 0 and 1"),
    ],
)
def test_wrong_arguments_are_named(pairs, function, arguments, error, message):
    with pytest.raises(error, match=message):
        function(pairs, **{"outcome": "visits", **arguments})


def test_samples_without_pairs_are_refused_where_pairs_are_needed(frame):
    cohort = cohort_of(frame)
    again = match.nearest(cohort, on=["age"], replace=True)
    two = match.nearest(cohort, on=["age"], ratio=2)
    for sample in (again, two, cohort):
        with pytest.raises(DesignError, match="mcnemar needs pairs"):
            match.mcnemar(sample, outcome="fell")
    with pytest.raises(DesignError, match="censor_pairs needs sets matched without replacement"):
        match.censor_pairs(replace(again, table=again.table.assign(person_id=1)))
    with pytest.raises(DataError, match="no index_date and no observed_to"):
        match.censor_pairs(two)
    with pytest.raises(DesignError, match="needs matched sets"):
        match.mean_difference(cohort, outcome="score", method="abadie_imbens")


def test_abadie_imbens_refuses_sets_around_several_people(pairs):
    table = pairs.table.assign(subclass=((pairs.table["subclass"] + 1) // 2))
    with pytest.raises(DesignError, match="sets around one person each"):
        match.mean_difference(replace(pairs, table=table), outcome="score", method="abadie_imbens")


def test_abadie_imbens_needs_people_to_judge_the_spread_by():
    frame = pd.DataFrame({"helped": [1, 1, 0, 0], "age": [60, 70, 61, 71], "score": [1.0, 2, 3, 4]})
    pairs = match.nearest(cohort_of(frame.assign(visits=1, months=1)), on=["age"], distance="mahalanobis")
    with pytest.raises(DesignError, match="too few people have a value"):
        match.mean_difference(pairs, outcome="score", method="abadie_imbens")


@pytest.mark.parametrize("value", [0, 1])
def test_what_happened_to_nobody_or_everybody_has_no_ratio(frame, value):
    changed = frame.assign(fell=frame["fell"].where(frame["helped"] == 1, value))
    pairs = match.nearest(cohort_of(changed), on=["age"])
    with pytest.raises(DesignError, match="nobody or everybody of the controls"):
        match.risk(pairs, outcome="fell")
    alike = match.nearest(cohort_of(frame.assign(fell=value)), on=["age"])
    with pytest.raises(DesignError, match="in no pair"):
        match.mcnemar(alike, outcome="fell")


def test_an_arm_without_values_is_refused(frame):
    changed = frame.assign(score=frame["score"].where(frame["helped"] == 1))
    with pytest.raises(DesignError, match="nobody has a value of it"):
        match.mean_difference(match.nearest(cohort_of(changed), on=["age"]), outcome="score")


def test_more_covariates_than_people_are_refused(frame):
    many = {f"x{i}": np.random.default_rng(i).normal(size=len(frame)) for i in range(60)}
    pairs = match.nearest(cohort_of(frame.assign(**many)), on=["age"])
    with pytest.raises(DesignError, match="coefficients for 80 people"):
        match.mean_difference(pairs, outcome="score", adjust=list(many))


def test_a_covariate_that_foretells_an_event_is_refused(frame):
    changed = frame.assign(sign=frame["fell"] + 0.0)
    pairs = match.nearest(cohort_of(changed), on=["age"])
    with pytest.raises(DesignError, match="foretells it perfectly"):
        match.risk(pairs, outcome="fell", adjust=["sign"])


@pytest.mark.parametrize("name", OUTCOMES)
def test_messages_hold_no_persons_value(frame, name):
    """An unknown outcome is refused by every model, and says nothing of anybody."""
    secret = frame.assign(person=[f"secret{i}" for i in range(len(frame))])
    cohort = Cohort.from_frame(secret, treated="helped", outcomes=["visits"], person_id="person")
    with pytest.raises(ImpactError, match="'nothing'") as found:
        OUTCOMES[name](match.nearest(cohort, on=["age"]), outcome="nothing")
    assert "secret" not in str(found.value)
