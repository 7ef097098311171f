"""Bad input to strata and weights: a message that names the argument or column, and what to do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from impact.data import Cohort
from impact.errors import DataError, DesignError, ParameterError
from impact.match.coarsened_exact import coarsened_exact
from impact.match.entropy_balance import entropy_balance
from impact.match.inverse_probability import inverse_probability
from impact.match.partner_dates import partner_dates
from impact.match.subclass import subclass
from impact.study.matching import Matching

METHODS = [coarsened_exact, subclass, entropy_balance, inverse_probability]


@pytest.fixture
def frame():
    rng = np.random.default_rng(4)
    age = rng.normal(70, 8, 80)
    helped = (rng.random(80) < 1 / (1 + np.exp((74 - age) / 6))).astype(int)
    kind = np.where(helped == 0, rng.choice(["a", "b", "c"], 80), rng.choice(["a", "b"], 80))
    return pd.DataFrame({"age": age, "kind": kind, "helped": helped, "known": 1.0, "text": "x"})


@pytest.fixture
def cohort(frame):
    return Cohort.from_frame(frame, treated="helped")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"on": ["agee"]}, DataError, "no column 'agee'. Did you mean 'age'"),
        ({"on": []}, ParameterError, r"on=\[\]: name at least one covariate"),
        ({"estimand": "att"}, ParameterError, "estimand='att': use one of 'ATT'"),
        ({"missing": "drop"}, ParameterError, "missing='drop': use one of 'error'"),
    ],
)
def test_what_every_method_refuses(method, change, error, words, cohort):
    with pytest.raises(error, match=words):
        method(cohort, **({"on": ["age"]} | change))


@pytest.mark.parametrize("method", METHODS)
def test_an_empty_arm_and_bad_values_are_refused(method, frame):
    with pytest.raises(DesignError, match="Nobody in the cohort was supported"):
        method(Cohort.from_frame(frame.assign(helped=0), treated="helped"), on=["age"])
    with pytest.raises(DesignError, match="Everybody in the cohort was supported"):
        method(Cohort.from_frame(frame.assign(helped=1), treated="helped"), on=["age"])
    gap = frame.assign(age=frame["age"].where(frame.index > 0))
    with pytest.raises(DataError, match="'age' is missing for 1 people"):
        method(Cohort.from_frame(gap, treated="helped"), on=["age"])
    endless = frame.assign(age=frame["age"].where(frame.index > 0, np.inf))
    dated = frame.assign(age=pd.to_datetime("2024-01-01") + pd.to_timedelta(frame.index, "D"))
    with pytest.raises(DataError, match="'age' holds dates; make numbers of them"):
        method(Cohort.from_frame(dated, treated="helped"), on=["age"])
    with pytest.raises(DataError, match="'age' has infinite values"):
        method(Cohort.from_frame(endless, treated="helped"), on=["age"])


@pytest.mark.parametrize("method", [coarsened_exact, subclass, entropy_balance])
@pytest.mark.parametrize("estimand", ["ATO", "ATM"])
def test_an_estimand_it_lacks_is_refused_with_the_method_that_has_it(method, estimand, cohort):
    with pytest.raises(DesignError, match=rf"{method.__name__} has 'ATT', 'ATC', 'ATE'; use inverse_prob"):
        method(cohort, on=["age"], estimand=estimand)
    assert inverse_probability(cohort, on=["age"], estimand=estimand).method["estimand"] == estimand


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("missing", ["indicator", "category"])
def test_missing_values_are_kept_by_choice(method, missing, frame):
    gap = frame.assign(age=frame["age"].where(frame.index % 9 > 0))
    found = method(Cohort.from_frame(gap, treated="helped"), on=["age"], missing=missing)
    assert found.counts["persons"].sum() == 80
    assert (found.method["missing"], found.method["filled"]) == (missing, {"age": 9})
    assert np.isfinite(found.table["weight"]).all()


@pytest.mark.parametrize(
    ("cuts", "words"),
    [
        ({"agee": 3}, r"'agee' is not a column of numbers in on; those are 'age'. Did you mean 'age'"),
        ({"kind": 3}, "'kind' is not a column of numbers"),
        ({"known": 3}, "'known' is not a column of numbers in on"),
        ({"age": 0}, r"cuts\['age'\]=0: give a number of bins from 1, or a list"),
        ({"age": True}, r"cuts\['age'\]=True"),
        ({"age": 2.5}, r"cuts\['age'\]=2.5"),
        ({"age": []}, r"cuts\['age'\]=\[\]"),
        ({"age": [60, None]}, r"cuts\['age'\]"),
        ({"age": "q5"}, r"cuts\['age'\]='q5'"),
    ],
)
def test_cuts_that_make_no_sense_are_refused(cuts, words, cohort):
    with pytest.raises(ParameterError, match=words):
        coarsened_exact(cohort, on=["age", "kind"], cuts=cuts)


def test_no_shared_stratum_is_a_design_that_cannot_work(frame):
    apart = frame.assign(age=frame["age"] + 100 * frame["helped"])
    with pytest.raises(DesignError, match=r"no stratum has both .* use fewer covariates, or fewer and wider"):
        coarsened_exact(Cohort.from_frame(apart, treated="helped"), on=["age"])


def test_everyone_left_out_is_counted_by_the_first_rule(frame):
    frame.loc[(frame["helped"] == 1) & (frame.index % 7 == 0), "kind"] = "z"
    counts = coarsened_exact(
        Cohort.from_frame(frame, treated="helped"), on=["age"], exact=["kind"], cuts={"age": 12}
    ).counts.set_index(["arm", "rule"])["persons"]
    assert counts["treated"].sum() == frame["helped"].sum()
    assert counts["treated", "no control with the same exact values"] == (frame["kind"] == "z").sum()
    assert counts["control", "nobody supported with the same exact values"] == (frame["kind"] == "c").sum()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"subclasses": 0}, ParameterError, "subclasses=0: give a whole number from 1"),
        ({"subclasses": 2.5}, ParameterError, "subclasses=2.5"),
        ({"minimum": 0}, ParameterError, "minimum=0: give a whole number"),
        ({"distance": "mahalanobis"}, ParameterError, "distance='mahalanobis': use one of 'propensity'"),
        ({"subclasses": 70}, DesignError, "slices with 1 of each arm need .* people in each arm"),
        ({"minimum": 20}, DesignError, "6 slices with 20 of each arm need 120 people"),
        ({"distance": "prognostic"}, ParameterError, "distance='prognostic' needs the outcome"),
    ],
)
def test_slices_that_cannot_be_are_refused(arguments, error, words, cohort):
    with pytest.raises(error, match=words):
        subclass(cohort, on=["age"], **arguments)


def test_scores_that_are_all_alike_make_one_slice(frame):
    same = frame.assign(two=np.arange(80) % 2)
    found = subclass(Cohort.from_frame(same, treated="helped"), on=["two"], subclasses=6)
    assert found.method["subclasses"] == found.table["subclass"].max() <= 2


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"moments": 0}, ParameterError, "moments=0: use 1"),
        ({"moments": True}, ParameterError, "moments=True"),
        ({"tolerance": -0.1}, ParameterError, "tolerance=-0.1: give standard deviations from 0"),
        ({"tolerance": np.nan}, ParameterError, "tolerance=nan"),
        ({"base": "knwn"}, DataError, "base: the cohort has no column 'knwn'. Did you mean 'known'"),
        ({"base": "helped"}, DataError, "base: column 'helped' is not a number above 0 for"),
        ({"base": "text"}, DataError, "base: column 'text' is not a number above 0 for 80 people"),
        ({"on": ["kind"], "estimand": "ATC"}, DesignError, "bring 'kind' to the average"),
        ({"on": ["kind"], "estimand": "ATE"}, DesignError, "leave it out, or allow a tolerance"),
    ],
)
def test_balance_that_cannot_be_is_refused(arguments, error, words, cohort):
    with pytest.raises(error, match=words):
        entropy_balance(cohort, **({"on": ["age"]} | arguments))


def test_an_average_out_of_reach_is_named_without_anyones_value(frame):
    """By itself beyond everyone's, or together with another; a tolerance is the way out, and it works."""
    apart = Cohort.from_frame(frame.assign(age=frame["age"] + 30 * frame["helped"]), treated="helped")
    with pytest.raises(DesignError, match=r"bring 'age' to the average .* (below|above) every") as problem:
        entropy_balance(apart, on=["age", "kind"])
    assert not any(f"{x:.1f}"[:4] in str(problem.value) for x in apart.table["age"])
    # Each average can be reached, but nobody among the controls has much of both.
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, 60)
    both = pd.DataFrame({"x": np.append(x, [0.7] * 20), "y": np.append(1 - x, [0.7] * 20)})
    both["y"] += np.append(rng.normal(0, 0.01, 60), np.zeros(20))
    both.loc[60:, "x"] += rng.normal(0, 0.2, 20)
    cohort = Cohort.from_frame(both.assign(helped=[0] * 60 + [1] * 20), treated="helped")
    with pytest.raises(DesignError, match=r"together; '[xy]' stays farthest, by .* or allow a tolerance"):
        entropy_balance(cohort, on=["x", "y"])
    assert entropy_balance(cohort, on=["x", "y"], tolerance=1.2).weighting is not None


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"stabilise": True}, ParameterError, "stabilise=True is for estimand='ATE'; 'ATT' has no such"),
        ({"truncate": 1}, ParameterError, "truncate=1: give a share of people above 0.5"),
        ({"truncate": 0.05}, ParameterError, "truncate=0.05"),
        ({"link": "cloglog"}, ParameterError, "link='cloglog': use one of 'logit'"),
        ({"on": ["kind"], "estimand": "ATE"}, DesignError, "people are of a category in which nobody was"),
        ({"on": ["kind"], "estimand": "ATC"}, DesignError, "use estimand='ATT' or 'ATO', or choose link="),
    ],
)
def test_weights_that_cannot_be_are_refused(arguments, error, words, cohort):
    with pytest.raises(error, match=words):
        inverse_probability(cohort, **({"on": ["age"]} | arguments))


def test_the_penalised_score_weights_where_the_plain_one_cannot(cohort):
    found = inverse_probability(cohort, on=["kind", "age"], estimand="ATE", link="penalised")
    assert (found.table["weight"] > 0).all()
    assert np.isfinite(found.weighting.influence).all()


@pytest.mark.parametrize("method", METHODS)
def test_strata_and_weights_have_no_partner_whose_date_could_be_taken(method, cohort):
    with pytest.raises(ParameterError, match=f"{method.__name__} has no sets around one supported person"):
        partner_dates(method(cohort, on=["age"]))


def test_cuts_in_a_parameter_file_are_a_number_of_bins_or_a_list():
    section = Matching(method="coarsened_exact", on=["age"], cuts={"age": [30, 50, "1e2"], "ltc_n": 4})
    assert section.arguments["cuts"] == {"age": (30.0, 50.0, 100.0), "ltc_n": 4}
    for wrong in (0, True, 2.5, [], ["x"], [True], "q5"):
        with pytest.raises(ValueError, match="expected a number of bins from 1, or a list of numbers"):
            Matching(method="coarsened_exact", on=["age"], cuts={"age": wrong})
