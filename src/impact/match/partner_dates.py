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
        In sets around one supported person, without replacement: a control of two partners would need two
        dates.

    Returns
    -------
    Cohort
        The matched people alone, with their dates; who was not at risk at the partner's date is left out and
        counted in ``.flow``. Follow it up and hand it to
        ``match.rate_ratio(matched, outcome=..., cohort=...)``.

    Raises
    ------
    ParameterError
        For a sample matched with replacement, in strata, or weighted.
    DataError
        If the cohort has no index dates.
    """
    cohort: Cohort = matched.cohort
    if matched.method["replace"]:
        raise ParameterError(
            "replace=True: a control of several partners would need several index dates; match without "
            "replacement, or draw the dates with cohort.with_index_dates."
        )
    used = matched.table[matched.table["weight"] > 0]
    supported = used["person_id"].isin(cohort.person_id[cohort.treated])
    if used["subclass"].isna().any() or used.loc[supported, "subclass"].duplicated().any():
        raise ParameterError(
            f"index_date='partner': {matched.method['estimator']} has no sets around one supported person "
            "whose date could be taken; use nearest or optimal, or draw dates with cohort.with_index_dates."
        )
    if "index_date" not in cohort.table.columns:
        raise DataError("The cohort has no index_date: partner dates need the start dates of people.csv.")
    people = cohort.table[["index_date"]].assign(treated=cohort.treated, person_id=cohort.person_id)
    rows = used.merge(people, on="person_id")
    of_set = rows[rows["treated"]].set_index("subclass")["index_date"]
    kept = cohort.subset(np.isin(cohort.person_id, rows["person_id"]))
    return kept.at(rows.set_index("person_id")["subclass"].map(of_set))
