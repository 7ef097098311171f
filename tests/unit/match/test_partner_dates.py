"""Controls take their partner's index date, and covariates are counted again at it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from impact import match
from impact.data import Cohort, read_cohort
from impact.errors import DataError, ParameterError
from impact.results import Matched


@pytest.fixture
def cohort():
    """Two supported people, and three controls of whom one died before the second start."""
    people = pd.DataFrame(
        {
            "person_id": ["a", "b", "c", "d", "e"],
            "arm": ["help", "help", "none", "none", "none"],
            "start_date": ["2024-03-01", "2024-07-01", None, None, None],
            "tenancy_start": "2020-01-01",
            "died": [None, None, None, "2024-05-01", None],
            "linked": True,
            "consent": True,
            "opt_out": False,
            "birth_month": "1950-01-01",
            "sex": "f",
        }
    )
    contacts = pd.DataFrame(
        {
            "person_id": ["c", "c", "c"],
            "service": "gp",
            "start": ["2022-12-15", "2023-06-15", "2024-08-15"],
            "end": ["2022-12-15", "2023-06-15", "2024-08-15"],
        }
    )
    coverage = pd.DataFrame({"service": ["gp"], "first_date": ["2022-01-01"], "last_date": ["2025-12-31"]})
    return read_cohort(
        people=people, contacts=contacts, coverage=coverage, treated=["help"], control=["none"]
    )


def matched_of(cohort, subclass, *, replace=False):
    table = pd.DataFrame(
        {
            "person_id": cohort.person_id,
            "weight": [float(s > 0) for s in subclass],
            "subclass": pd.array([s or pd.NA for s in subclass], dtype="Int64"),
            "distance": np.nan,
        }
    )
    return Matched(table, cohort, {"replace": replace}, pd.DataFrame())


def test_controls_take_their_partners_date_and_its_covariates(cohort):
    dated = match.partner_dates(matched_of(cohort, [1, 2, 1, 0, 2]))
    table = dated.table.set_index("person_id")
    assert list(table.index) == ["a", "b", "c", "e"]
    assert table["index_date"].astype(str).to_dict() == {
        "a": "2024-03-01",
        "b": "2024-07-01",
        "c": "2024-03-01",
        "e": "2024-07-01",
    }
    # The year before March 2024 holds one of c's contacts, that of June 2023.
    assert table.loc["c", "prior_gp"] == 1


def test_a_control_not_at_risk_at_the_partners_date_is_left_out(cohort):
    dated = match.partner_dates(matched_of(cohort, [1, 2, 1, 2, 0]))
    assert list(dated.person_id) == ["a", "b", "c"]
    flow = dated.flow.table.set_index("rule")["persons"]
    assert flow["died before the index date"] == 1


def test_with_replacement_a_control_would_need_several_dates(cohort):
    with pytest.raises(ParameterError, match="several index dates"):
        match.partner_dates(matched_of(cohort, [1, 2, 1, 0, 2], replace=True))


def test_a_cohort_without_dates_is_refused():
    frame = pd.DataFrame({"helped": [1, 1, 0, 0], "age": [60, 61, 61, 62]})
    matched = match.nearest(Cohort.from_frame(frame, treated="helped"), on=["age"], distance="mahalanobis")
    with pytest.raises(DataError, match="no index_date"):
        match.partner_dates(matched)
