"""Controls who live with or beside supported people, whom support may have reached."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.flow import without
from impact.errors import DataError, DesignError, nearest
from impact.match.propensity import both_arms
from impact.match.sample import Sample
from impact.results import Matched

if TYPE_CHECKING:
    from impact.data import Cohort

_ALONE = "every control shares a {home} with somebody supported"


def apart(cohort: Cohort, *, by: str) -> Cohort:
    """Leave out controls who share a building or household with anyone supported, to match again without.

    Parameters
    ----------
    cohort : Cohort
    by : str
        Column of the cohort's table; who has no value shares it with nobody.

    Returns
    -------
    Cohort
        With those left out counted in ``flow``.

    Raises
    ------
    DataError
        For a column that is absent.
    DesignError
        If no control is left.

    Examples
    --------
    >>> from impact.data import Cohort
    >>> frame = pd.DataFrame({"helped": [1, 1, 0, 0, 0], "home": ["a", "b", "b", "c", None]})
    >>> apart(Cohort.from_frame(frame, treated="helped"), by="home")
    Cohort(4, 2 of them treated)
    """
    near = _near(cohort, by)
    if (near | cohort.treated).all():
        raise DesignError(f"by={by!r}: every control shares one with somebody supported; use a smaller unit.")
    return without(cohort, np.where(near, f"control shares a {home(by)} with somebody supported", ""))


def spillover(matched: Matched, *, by: str = "building_id") -> Matched:
    """Drop matched controls who share a building or household with anyone supported.

    If support reaches neighbours, they use more or less than they would have, and the effect is too small
    (or too large). Compare the effect with and without them: what changes beyond its error is spillover, or
    what else distinguishes those buildings. The other controls of a set take over their weight; a set without
    any is left out. To match afresh instead, see ``apart`` and ``nearest(..., anti_exact=[by])``.

    Parameters
    ----------
    matched : Matched
        In sets.
    by : str
        Column of the cohort's table; who has no value shares it with nobody.

    Returns
    -------
    Matched
        Of the same cohort, with ``method['spillover']`` and the counts of who was dropped.

    Raises
    ------
    DataError
        For a column that is absent.
    DesignError
        For weights without sets, which have to be made again, or if nobody is left.

    Examples
    --------
    >>> from impact.data import Cohort
    >>> from impact.match import nearest
    >>> frame = pd.DataFrame({"helped": [1, 1, 0, 0, 0], "age": [70, 61, 61, 70, 50],
    ...                       "home": ["a", "b", "b", "c", "d"]})
    >>> matched = nearest(Cohort.from_frame(frame, treated="helped"), on=["age"], distance="mahalanobis")
    >>> spillover(matched, by="home")
    Matched(2 of 5)
    """
    cohort: Cohort = matched.cohort
    near = _near(cohort, by)
    used = matched.table["weight"].to_numpy(float) > 0
    if matched.table.loc[used, "subclass"].isna().any():
        raise DesignError(
            "spillover needs sets; weights have to be made again for those who are left: give the method "
            f"match.apart(cohort, by={by!r})."
        )
    row = pd.Index(cohort.person_id).get_indexer(matched.table["person_id"])
    weight = np.zeros(len(used))
    weight[used] = Sample.of(matched, None).kept(~near[row[used]])
    if not (weight > 0).any():
        raise DesignError(f"by={by!r}: {_ALONE.format(home=home(by))}; use a smaller unit.")
    table = matched.table.assign(weight=weight, subclass=matched.table["subclass"].mask(weight <= 0))
    whose, treated = cohort.person[row], cohort.treated[row]
    counts, more = matched.counts.copy(), []
    for arm, mine, rules in (
        ("treated", treated, {_ALONE.format(home=home(by)): used & (weight == 0)}),
        (
            "control",
            ~treated,
            {
                f"shares a {home(by)} with somebody supported": used & near[row],
                "whose set was left out": used,
            },
        ),
    ):
        gone = np.setdiff1d(whose[mine & used], whose[mine & (weight > 0)])
        counts.loc[(counts["arm"] == arm) & (counts["rule"] == "matched"), "persons"] -= len(gone)
        for rule, rows in rules.items():
            told = np.intersect1d(gone, whose[mine & rows])
            gone = np.setdiff1d(gone, told)
            more.append((arm, rule, len(told)))
    counts = pd.concat([counts, pd.DataFrame(more, columns=counts.columns)])
    # A control of several sets who lost some of them has rows for the others alone.
    again = pd.DataFrame({"row": row, "out": weight <= 0}).sort_values("out", kind="stable")
    first = ~again["row"].duplicated().sort_index().to_numpy()
    return replace(
        matched,
        table=table[(weight > 0) | first].reset_index(drop=True),
        counts=counts.sort_values("arm", ascending=False, kind="stable", ignore_index=True),
        method={**matched.method, "spillover": by},
    )


def home(by: str) -> str:
    """What the column holds, in a word: 'building'."""
    return by.removesuffix("_id").replace("_", " ")


def _near(cohort: Cohort, by: str) -> NDArray[np.bool_]:
    """Controls who share a value with somebody supported other than themselves, later, (n,)."""
    if by not in cohort.table:
        raise DataError(f"by={by!r}: the cohort has no such column.{nearest(by, cohort.table.columns)}")
    supported, home = both_arms(cohort), pd.factorize(cohort.table[by])[0]
    people = pd.MultiIndex.from_arrays([home, cohort.person])
    helped = people[supported & (home >= 0)].unique()
    there = np.bincount(helped.get_level_values(0), minlength=home.max(initial=-1) + 2)
    return np.asarray(~supported & (there[home] > people.isin(helped)))
