"""Households as the unit: who is supported, from when, and what is added up."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from impact import match
from impact.data import Cohort, households, read_cohort
from impact.errors import DataError, DesignError, ParameterError


@pytest.fixture
def cohort():
    """Two supported people and an unsupported one in a home, a couple without support, and two alone."""
    people = pd.DataFrame(
        {
            "person_id": ["a1", "a2", "a3", "b1", "b2", "c1", "d1"],
            "arm": ["help", "help", "usual", "usual", "usual", "help", "usual"],
            "start_date": ["2024-05-01", "2024-03-01", None, None, None, "2024-04-01", None],
            "household_id": ["A", "A", "A", "B", "B", None, None],
            "died": [None, None, None, None, "2024-03-31", None, None],
            "sex": ["f", "m", "f", "m", "m", "f", "m"],
            "rooms": [2, 2, 4, 3, 5, 1, 1],
        }
    )
    contacts = pd.DataFrame(
        {
            "person_id": ["a1", "a3", "a2", "b1", "c1"],
            "service": "gp",
            "start": ["2024-04-01", "2024-06-01", "2024-02-28", "2024-07-01", "2024-08-01"],
        }
    )
    coverage = pd.DataFrame({"service": ["gp"], "first_date": "2023-01-01", "last_date": "2025-12-31"})
    return read_cohort(
        people=people, contacts=contacts, coverage=coverage, treated=["help"], control=["usual"]
    )


def test_everyone_counts_from_the_first_support_in_their_household(cohort):
    dates = {"a3": "2024-06-01", "b1": "2024-03-01", "b2": "2024-03-15", "d1": "2024-04-01"}
    homes = households(cohort.at(pd.Series(dates)), outcomes=["gp"], months=6)
    table = homes.table.set_index("person_id")
    assert table["members"].to_dict() == {"A": 3, "B": 2, "alone 1": 1, "alone 2": 1}
    assert table["treated"].to_dict() == {"A": True, "B": False, "alone 1": True, "alone 2": False}
    assert table.loc["A", "index_date"] == pd.Timestamp("2024-03-01")
    assert table.loc["B", "index_date"] == pd.Timestamp("2024-03-01")
    # From March, both of the later contacts in A count; b2 was there for the 31 days of March.
    assert table["gp"].to_dict() == {"A": 2, "B": 1, "alone 1": 1, "alone 2": 0}
    half = (pd.Timestamp("2024-09-01") - pd.Timestamp("2024-03-01")).days / 30.4375
    assert table["exposure_gp"].loc["A"] == pytest.approx(3 * half)
    assert table["exposure_gp"].loc["B"] == pytest.approx(half + 31 / 30.4375)
    assert table.loc["A", "rooms"] == pytest.approx(8 / 3)
    assert table.loc[["A", "B"], "sex"].tolist() == ["several", "m"]
    assert homes.flow.table["stage"].iloc[-3] == "people in the households of the study"


def test_who_is_not_at_risk_on_the_households_date_is_counted(cohort):
    dates = {"a3": "2024-06-01", "b1": "2024-06-01", "b2": "2024-03-15", "d1": "2024-04-01"}
    homes = households(cohort.at(pd.Series(dates)), outcomes=["gp"])
    assert homes.table.set_index("person_id")["members"]["B"] == 1
    assert homes.flow.table.set_index("rule")["persons"]["died before the index date"] == 1


def test_a_frame_is_summed_up_and_can_be_matched():
    rng = np.random.default_rng(1)
    home = rng.integers(0, 60, 200)
    frame = pd.DataFrame({"home": home, "helped": home % 3 == 0, "age": rng.integers(40, 90, 200)})
    frame["falls"], frame["months"] = rng.poisson(2, 200), rng.uniform(3, 12, 200)
    people = Cohort.from_frame(frame, treated="helped", outcomes=["falls"], exposure="months")
    homes = households(people, by="home")
    sums = frame.groupby("home")[["falls", "months"]].sum()
    np.testing.assert_allclose(homes.outcomes["falls"], sums["falls"])
    np.testing.assert_allclose(homes.exposure["falls"], sums["months"])
    np.testing.assert_allclose(homes.table["falls"], sums["falls"])
    turned = households(
        Cohort.from_frame(frame[::-1], treated="helped", outcomes=["falls"], exposure="months"), by="home"
    )
    pd.testing.assert_frame_equal(homes.people, turned.people)
    matched = match.nearest(homes, on=["age", "members"], distance="mahalanobis")
    assert np.isfinite(match.rate_ratio(matched, outcome="falls").estimate).all()


def test_what_cannot_be_is_refused(cohort):
    with pytest.raises(DataError, match="'household' is not a column"):
        households(cohort, by="household", outcomes=["gp"])
    with pytest.raises(ParameterError, match="name what to follow up"):
        households(cohort)
    with pytest.raises(DesignError, match="have no index date"):
        households(cohort, outcomes=["gp"])
    frame = pd.DataFrame({"home": [1, 1, 2, 2], "helped": [1, 0, 1, 0], "falls": 1})
    both = Cohort.from_frame(frame, treated="helped", outcomes=["falls"])
    with pytest.raises(DesignError, match="every one of them is supported"):
        households(both, by="home")
    with pytest.raises(ParameterError, match="has its own already"):
        households(both, by="home", outcomes=["falls"])
