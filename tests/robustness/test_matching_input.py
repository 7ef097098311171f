"""Nearest neighbours given bad input: each message names the argument and says what to do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from impact import match
from impact.data import Cohort
from impact.errors import DataError, DesignError, ParameterError


def people(n=60):
    rng = np.random.default_rng(4)
    age = rng.integers(50, 90, n)
    return pd.DataFrame(
        {
            "id": [f"p{i:02}" for i in range(n)],
            "helped": (rng.random(n) < 0.2 + 0.5 * (age > 70)).astype(int),
            "age": age,
            "falls": rng.poisson(2, n),
            "sex": rng.choice(["F", "M"], n),
            "home": rng.integers(0, 20, n),
        }
    )


def run(frame=None, **arguments):
    frame = people() if frame is None else frame
    cohort = Cohort.from_frame(frame, treated="helped", person_id="id", outcomes=["falls"])
    return match.nearest(cohort, **{"on": ["age"], **arguments})


BAD = [
    ({"on": []}, ParameterError, r"on=\[\]: name at least one covariate"),
    ({"on": ["agee"]}, DataError, "no column 'agee'. Did you mean 'age'"),
    ({"estimand": "ATE"}, DesignError, "nearest has 'ATT', 'ATC'; use full"),
    ({"estimand": "att"}, ParameterError, "estimand='att': use one of"),
    ({"distance": "mahalanobi"}, ParameterError, "Did you mean 'mahalanobis'"),
    ({"distance": np.ones((2, 2))}, DataError, "distance: an array of shape"),
    ({"link": "cauchit"}, ParameterError, "link='cauchit': use one of"),
    ({"distance": "prognostic"}, ParameterError, "prognosis=None"),
    ({"prognosis": "falls"}, ParameterError, "prognosis='falls'"),
    ({"missing": "drop"}, ParameterError, "missing='drop': use one of"),
    ({"exact": ["sexe"]}, DataError, "exact: the cohort has no column 'sexe'"),
    ({"anti_exact": ["house"]}, DataError, "anti_exact: the cohort has no column 'house'"),
    ({"caliper": 0}, ParameterError, "caliper=0: give a width other than 0"),
    ({"caliper": True}, ParameterError, "caliper=True: give a width"),
    ({"caliper": np.nan}, ParameterError, "caliper=nan: give a width"),
    ({"caliper": {"age": 0}}, ParameterError, "caliper=0 of 'age': give a width other than 0"),
    ({"caliper": {"agee": 5}}, DataError, "caliper: the cohort has no column 'agee'. Did you mean 'age'"),
    ({"caliper": {"sex": 1}}, DataError, "caliper: column 'sex' does not hold numbers; use exact"),
    ({"caliper": {"age": 5}, "std_caliper": ["agee"]}, ParameterError, "std_caliper: there is no caliper on"),
    ({"caliper": {"age": 1000}, "std_caliper": ["falls"]}, ParameterError, "no caliper on 'falls'"),
    ({"discard": "all"}, ParameterError, "discard='all': use one of"),
    ({"order": "bigest"}, ParameterError, "Did you mean 'largest'"),
    ({"order": "random"}, ParameterError, "order='random' needs a seed"),
    ({"seed": -1}, ParameterError, "seed=-1: give a whole number from 0"),
    ({"seed": 1.5}, ParameterError, "seed=1.5"),
    ({"ratio": 0}, ParameterError, "ratio=0: give the controls"),
    ({"ratio": 1.5}, ParameterError, "ratio=1.5: give the controls"),
    ({"ratio": True}, ParameterError, "ratio=True"),
    ({"ratio": "two"}, ParameterError, "ratio='two'"),
    ({"max_ratio": 1}, ParameterError, "max_ratio=1: give a whole number from 2"),
    ({"max_ratio": 4}, ParameterError, "ratio=1: with max_ratio=4 it is the mean number"),
    ({"ratio": 4, "max_ratio": 4}, ParameterError, "above 1 and below 4"),
    ({"ratio": "2", "max_ratio": 4}, ParameterError, "ratio='2': with max_ratio=4"),
    ({"replace": "yes"}, ParameterError, "replace='yes': use true or false"),
    ({"max_uses": 2}, ParameterError, "max_uses=2: give how many people a control may serve.*replace=True"),
    ({"replace": True, "max_uses": 0}, ParameterError, "max_uses=0"),
    ({"exact": ["id"]}, DesignError, r"Nobody could be matched with exact=\['id'\]"),
    ({"caliper": {"age": -1000}}, DesignError, "Nobody could be matched with caliper="),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD, ids=str)
def test_bad_arguments_say_what_to_do(arguments, error, message):
    with pytest.raises(error, match=message):
        run(**arguments)


def test_nobody_is_matched_where_all_share_a_home():
    with pytest.raises(DesignError, match=r"anti_exact=\['home'\]"):
        run(people().assign(home=1), anti_exact=["home"])


@pytest.mark.parametrize("argument", ["exact", "anti_exact"])
def test_missing_values_are_refused_unless_asked_for(argument):
    frame = people().astype({"home": float})
    frame.loc[:3, "home"] = np.nan
    with pytest.raises(DataError, match=f"{argument}: column 'home' is missing for 4 people"):
        run(frame, **{argument: ["home"]})
    matched = run(frame, **{argument: ["home"]}, missing="category")
    rows = matched.table.merge(frame, left_on="person_id", right_on="id").dropna(subset="subclass")
    homes = rows["home"].fillna(-1).groupby(rows["subclass"]).nunique()
    assert (homes == (1 if argument == "exact" else 2)).all()


def test_a_caliper_needs_known_values():
    frame = people().astype({"age": float})
    frame.loc[:3, "age"] = np.nan
    with pytest.raises(DataError, match="caliper: column 'age' is missing for 4 people"):
        run(frame, on=["falls"], caliper={"age": 5})


def test_an_empty_arm_is_said():
    with pytest.raises(DesignError, match="Nobody in the cohort was supported"):
        run(people().assign(helped=0))
    with pytest.raises(DesignError, match="Everybody in the cohort was supported"):
        run(people().assign(helped=1))


def test_no_message_names_a_person():
    for arguments, error, _ in BAD:
        with pytest.raises(error) as caught:
            run(**arguments)
        assert not any(name in str(caught.value) for name in people()["id"])
