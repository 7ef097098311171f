"""Index dates for matched controls: the day on which their supported partner began."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from impact.errors import DataError, ParameterError
from impact.results import Matched

if TYPE_CHECKING:
    from impact.data import Cohort


def partner_dates(matched: Matched) -> Cohort:
    """Give each matched control the index date of their supported partner.

    Covariates that are counted before the index date, and who is eligible on it, are worked out again at the
    new dates. The dates fix covariates, eligibility and follow-up; they never count as a start of support.

    Parameters
    ----------
    matched : Matched
        Without replacement: a control of two partners would need two dates.

    Returns
    -------
    Cohort
        The matched people alone, with their dates; who was not at risk at the partner's date is left out and
        counted in ``.flow``. Follow it up and hand it to
        ``match.rate_ratio(matched, outcome=..., cohort=...)``.

    Raises
    ------
    ParameterError
        For a sample matched with replacement.
    DataError
        If the cohort has no index dates.
    """
    cohort: Cohort = matched.cohort
    if matched.method["replace"]:
        raise ParameterError(
            "replace=True: a control of several partners would need several index dates; match without "
            "replacement, or draw the dates with cohort.with_index_dates."
        )
    if "index_date" not in cohort.table.columns:
        raise DataError("The cohort has no index_date: partner dates need the start dates of people.csv.")
    people = cohort.table[["index_date"]].assign(treated=cohort.treated, person_id=cohort.person_id)
    rows = matched.table[matched.table["weight"] > 0].merge(people, on="person_id")
    of_set = rows[rows["treated"]].set_index("subclass")["index_date"]
    used = cohort.subset(np.isin(cohort.person_id, rows["person_id"]))
    return used.at(rows.set_index("person_id")["subclass"].map(of_set))
