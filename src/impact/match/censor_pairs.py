"""Pair censoring: everyone of a matched set is followed as long as its member who was observed least."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from impact.errors import DataError, DesignError
from impact.results import Matched

if TYPE_CHECKING:
    from impact.data import Cohort


def censor_pairs(matched: Matched, *, cohort: Cohort | None = None) -> Cohort:
    """End the observation of everyone in a set after as many days as its member who was observed least.

    Days count from each person's own index date. Then both of a pair are followed equally long, so that who
    dies or moves early is compared with the same span of their partner's time. What comes later is thrown
    away, and the estimand becomes the effect over that shared time.

    Parameters
    ----------
    matched : Matched
        In sets, without replacement: a control of several sets would have several ends.
    cohort : Cohort, optional
        The people on other index dates, such as ``match.partner_dates(matched)``.

    Returns
    -------
    Cohort
        The matched people alone, without the outcomes of an earlier follow-up. Follow it up and hand it to
        ``match.rate_ratio(matched, outcome=..., cohort=...)``.

    Raises
    ------
    DesignError
        For a sample that is not in sets, or was matched with replacement.
    DataError
        If the cohort has no index dates or no ends of observation (it was made from a frame).

    Examples
    --------
    One control dies after three months: from then on the visits of the supported of that pair count no more.

    >>> import pandas as pd
    >>> from impact.data import read_cohort
    >>> from impact.match import nearest, partner_dates
    >>> people = pd.DataFrame({
    ...     "person_id": list("abcd"), "arm": ["help", "help", "none", "none"], "age": [70, 60, 71, 61],
    ...     "start_date": ["2024-01-01", "2024-01-01", None, None], "died": [None, None, "2024-04-01", None],
    ...     "tenancy_start": "2020-01-01", "linked": True, "consent": True, "opt_out": False})
    >>> visits = pd.DataFrame({"person_id": "a", "service": "gp", "start": ["2024-02-01", "2024-05-01"]})
    >>> visits["end"] = visits["start"]
    >>> coverage = pd.DataFrame({"service": ["gp"], "first_date": "2020-01-01", "last_date": "2025-12-31"})
    >>> cohort = read_cohort(
    ...     people=people, contacts=visits, coverage=coverage, treated=["help"], control=["none"])
    >>> matched = nearest(cohort, on=["age"], distance="mahalanobis")
    >>> shared = censor_pairs(matched, cohort=partner_dates(matched)).follow_up(outcomes=["gp"], months=12)
    >>> shared.table[["gp", "exposure_gp"]].round(1).values.tolist()
    [[1.0, 3.0], [0.0, 12.0], [0.0, 3.0], [0.0, 12.0]]
    """
    people: Cohort = matched.cohort if cohort is None else cohort
    used = matched.table[matched.table["weight"] > 0]
    if used["subclass"].isna().any() or used["person_id"].duplicated().any():
        raise DesignError(
            "censor_pairs needs sets matched without replacement, which end together; weights have no sets, "
            "and a control of several sets would have several ends."
        )
    absent = [c for c in ("index_date", "observed_to") if c not in people.people]
    if absent:
        raise DataError(
            f"The cohort has no {' and no '.join(absent)}: pair censoring needs the dates of people."
        )
    kept = people.subset(np.isin(people.person_id, used["person_id"]))
    number = used.set_index("person_id")["subclass"].reindex(kept.person_id).to_numpy()
    index, end = (pd.to_datetime(kept.people[c]) for c in ("index_date", "observed_to"))
    if missing := int(index.isna().sum()):
        raise DataError(f"{missing} matched people have no index date; use cohort.with_index_dates first.")
    shortest = (end - index).groupby(number).transform("min")
    return replace(kept, people=kept.people.assign(observed_to=index + shortest), outcomes={}, exposure={})
