"""Distances, links and gaps that make no sense are refused in words that say what to do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from impact.data import Cohort
from impact.errors import DataError, DesignError, ParameterError
from impact.match.distances import measure
from impact.match.people import People

ON = ["age"]


def cohort_of(**columns):
    frame = pd.DataFrame({"helped": [1, 1, 0, 0, 0], "age": [70.0, 61, 61, 70, 50]})
    frame["visits"] = [1, 2, 1, 0, 3]
    return Cohort.from_frame(frame.assign(**columns), treated="helped", outcomes=["visits"])


def people_of(**columns):
    return People.of(cohort_of(**columns), on=ON)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"distance": "mahalanobs"}, "Did you mean 'mahalanobis'"),
        ({"link": "logot"}, "Did you mean 'logit'"),
        ({"distance": "prognostic"}, "needs the outcome"),
        ({"prognosis": "visits"}, "no other distance"),
        ({"distance": object()}, "matrix of numbers"),
    ],
)
def test_arguments(options, words):
    with pytest.raises(ParameterError, match=words):
        measure(people_of(), **options)


def test_a_prognosis_that_is_no_outcome_or_never_happens():
    with pytest.raises(DataError, match="Did you mean 'visits'"):
        measure(people_of(), distance="prognostic", prognosis="visit")
    with pytest.raises(DesignError, match="too few events"):
        measure(people_of(visits=[3, 3, 0, 0, 0]), distance="prognostic", prognosis="visits")


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (np.zeros((3, 2)), r"\(3, 2\).*2 treated.*3 controls"),
        (np.full((2, 3), np.nan), "6 entries are missing or negative"),
        (-np.ones((2, 3)), "6 entries"),
        (pd.DataFrame(np.zeros((2, 3)), [0, 1], [2, 3, 5]), r"columns \(controls\) lack 1 people"),
        (pd.DataFrame(np.zeros((2, 3)), [0, 0], [2, 3, 4]), r"rows \(treated\) name a person twice"),
    ],
)
def test_matrices(matrix, words):
    with pytest.raises(DataError, match=words):
        measure(people_of(), distance=matrix)


def test_gaps_are_never_filled_in_silence():
    cohort = cohort_of(age=[70.0, np.nan, 61, 70, 50])
    with pytest.raises(DataError, match=r"missing for 1 people.*missing='indicator'"):
        People.of(cohort, on=ON)
    with pytest.raises(ParameterError, match="Did you mean 'indicator'"):
        People.of(cohort, on=ON, missing="indicater")
    with pytest.raises(DataError, match="missing for 5 people"):
        People.of(cohort_of(age=np.nan), on=ON, missing="indicator")


def test_separation_names_the_penalised_link():
    with pytest.raises(DesignError, match="penalised"):
        measure(people_of(age=[1.0, 1, 0, 0, 0]))
    with pytest.raises(DesignError, match="penalised"):
        measure(people_of(age=[80.0, 81, 60, 61, 62]))
