"""What genetic matching refuses, and what it does where there is little to search for."""

from __future__ import annotations

import numpy as np
import pytest

from impact import match
from impact.data import Cohort
from impact.errors import DataError, DesignError, ParameterError


@pytest.fixture
def genetic(sixty):
    def found(people=None, **arguments):
        people = Cohort.from_frame(sixty() if people is None else people, treated="helped")
        return match.genetic(people, **{"on": ["age"], "population": 5, "generations": 1, **arguments})

    return found


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"population": 3}, ParameterError, "population=3: give a whole number from 4"),
        ({"population": 20.5}, ParameterError, "population=20.5"),
        ({"population": "many"}, ParameterError, "population='many'"),
        ({"generations": 0}, ParameterError, "generations=0: give a whole number from 1"),
        ({"generations": True}, ParameterError, "generations=True"),
        ({"seed": -1}, ParameterError, "seed=-1: give a whole number from 0"),
        ({"seed": None}, ParameterError, "seed=None"),
        ({"seed": np.nan}, ParameterError, "seed=nan"),
        ({"ratio": 0}, ParameterError, "ratio=0"),
        ({"ratio": 1.5}, ParameterError, "ratio=1.5"),
        ({"replace": "yes"}, ParameterError, "replace='yes'"),
        ({"caliper": 0}, ParameterError, "caliper=0"),
        ({"caliper": {"aeg": 1}}, DataError, "'aeg'"),
        ({"link": "logistic"}, ParameterError, "link='logistic'"),
        ({"missing": "drop"}, ParameterError, "missing='drop'"),
        ({"estimand": "ATX"}, ParameterError, "estimand='ATX'"),
        ({"estimand": "ATE"}, DesignError, "use full, subclass or inverse_probability"),
        ({"on": []}, ParameterError, "on=[]"),
        ({"on": ["aeg"]}, DataError, "'aeg'"),
        ({"exact": ["arae"]}, DataError, "'arae'"),
        ({"anti_exact": ["arae"]}, DataError, "anti_exact"),
    ],
)
def test_arguments_that_make_no_sense(arguments, error, says, genetic):
    with pytest.raises(error) as refused:
        genetic(**arguments)
    assert says in str(refused.value)


@pytest.mark.parametrize("arm", [0, 1])
def test_one_empty_arm_is_refused(arm, genetic, sixty):
    with pytest.raises(DesignError):
        genetic(sixty(helped=np.full(60, arm)))


def test_nobody_to_match(genetic, sixty):
    with pytest.raises(DesignError, match="Nobody could be matched"):
        genetic(sixty(area=np.repeat(["a", "b"], [20, 40])), exact=["area"])


def test_arms_that_are_separate_need_a_penalised_score(sixty, genetic):
    apart = sixty(age=np.where(np.arange(60) < 20, 80, 50) + np.arange(60) % 7)
    with pytest.raises(DesignError, match="penalised"):
        genetic(apart)
    assert genetic(apart, link="penalised").counts["persons"].tolist()[0] == 20


def test_missing_covariates_are_a_choice(sixty, genetic):
    holes = sixty(age=sixty()["age"].where(np.arange(60) % 9 > 0))
    with pytest.raises(DataError, match="missing"):
        genetic(holes)
    assert genetic(holes, missing="indicator").method["filled"] == {"age": 7}


def test_more_supported_than_controls(genetic, sixty):
    few = genetic(sixty(helped=np.repeat([1, 0], [45, 15])))
    counts = few.counts.set_index(["arm", "rule"])["persons"]
    assert counts["treated", "matched"] == counts["control", "matched"] == 15


def test_covariates_that_say_nothing(genetic, sixty):
    """One that is the same for all, one given twice in other units, and people who are all alike."""
    same = genetic(sixty(years=sixty()["age"] * 2, one=1.0), on=["age", "years", "one"])
    assert same.counts["persons"].tolist()[0] == 20
    alike = genetic(sixty(sex=np.tile(["f", "m"], 30)), on=["sex"])
    assert alike.method["worst_imbalance"] == 0


def test_a_single_supported_person(genetic, sixty):
    one = genetic(sixty(helped=np.arange(60) == 30), link="penalised")
    assert one.table["weight"].sum() == 2
