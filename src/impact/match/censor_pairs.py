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
    >>> from impact.data import synthetic  # doctest: +SKIP
    >>> dated = partner_dates(matched)  # doctest: +SKIP
    >>> shared = censor_pairs(matched, cohort=dated).follow_up(outcomes=["ae"], months=12)  # doctest: +SKIP
    >>> rate_ratio(matched, outcome="ae", cohort=shared)  # doctest: +SKIP
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
