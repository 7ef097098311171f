"""Households, or buildings, as the unit of a study: one row each, supported if anyone in it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.flow import flow_of
from impact.errors import DataError, DesignError, ParameterError, nearest

if TYPE_CHECKING:
    from impact.data.cohort import Cohort

_SEVERAL = "several"


def households(
    cohort: Cohort, *, by: str = "household_id", outcomes: Sequence[str] = (), months: int = 12
) -> Cohort:
    """Make a cohort with one row a household, for support that reaches everyone in it.

    A household is supported if anyone in it is, from the first day that anyone is; a household of controls
    counts from the date of its member with the lowest identifier. Everyone is followed from their
    household's date, and their events and months at risk are added up, so that rates stay rates of people.

    Parameters
    ----------
    cohort : Cohort
        With everyone's index date (``with_index_dates``); or made from a frame, with its outcomes.
    by : str
        Column of people; who has no value is a household of their own.
    outcomes : sequence of str
        What to follow up; a cohort from a frame has its own.
    months : int
        Length of the follow-up.

    Returns
    -------
    Cohort
        ``person_id`` is the household's value, ``members`` their number; numbers are means of the members,
        words are kept where all agree and 'several' otherwise; dates but ``index_date`` are left out. People
        not at risk on their household's date are counted in ``flow``.

    Raises
    ------
    DataError
        For a column that is absent.
    ParameterError
        Without outcomes to follow up, or with any for a cohort from a frame.
    DesignError
        If all households, or none, are supported.

    Examples
    --------
    >>> from impact.data import Cohort
    >>> frame = pd.DataFrame({"home": ["a", "a", "b", None], "helped": [1, 0, 0, 0], "falls": [2, 1, 4, 1]})
    >>> homes = households(Cohort.from_frame(frame, treated="helped", outcomes=["falls"]), by="home")
    >>> homes.table[["person_id", "members", "treated", "falls", "exposure_falls"]].values.tolist()
    [['a', 2, True, 3.0, 2.0], ['b', 1, False, 4.0, 1.0], ['alone 1', 1, False, 1.0, 1.0]]
    """
    if by not in cohort.people:
        raise DataError(f"by={by!r} is not a column of people.{nearest(by, cohort.people.columns)}")
    if (cohort._store is None) == bool(outcomes):
        raise ParameterError(
            f"outcomes={list(outcomes)}: name what to follow up; a cohort from a frame has its own already."
        )
    if outcomes:
        cohort = _on_one_date(cohort, by).follow_up(outcomes=outcomes, months=months)
    code, names = _codes(cohort, by)
    treated = np.bincount(code, cohort.treated) > 0
    if treated.all() or not treated.any():
        raise DesignError(f"by={by!r}: {'every' if treated.all() else 'no'} one of them is supported.")
    people = _summed_up(
        cohort.people.drop(columns=list({by, "person_id", "treated", *cohort.outcomes} & {*cohort.people})),
        code,
    )
    people = people.assign(person_id=names, treated=treated, members=np.bincount(code))
    steps = [tuple(row) for row in cohort.flow.table.iloc[:-2].itertuples(index=False)]
    # From here on the flow counts households.
    steps += [("people in the households of the study", "", len(cohort))]
    return replace(
        cohort,
        people=people,
        treated=treated,
        flow=flow_of(steps, treated),
        outcomes={name: np.bincount(code, y).astype(float) for name, y in cohort.outcomes.items()},
        exposure={name: np.bincount(code, time).astype(float) for name, time in cohort.exposure.items()},
        histories=(),
        _store=None,
        _pid=np.zeros(0, np.int64),
    )


def _codes(cohort: Cohort, by: str) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """Number the households; who has none is one of their own, after the others."""
    code, names = pd.factorize(cohort.people[by], sort=True)
    alone = code < 0
    code = np.where(alone, len(names) + np.cumsum(alone) - 1, code)
    own = [f"alone {j + 1}" for j in range(int(alone.sum()))]
    return code, np.array([*names, *own], object)


def _on_one_date(cohort: Cohort, by: str) -> Cohort:
    """Give everyone the date of their household: of the first supported, else of its first member."""
    code = _codes(cohort, by)[0]
    index = pd.Series(cohort._dates("households"))
    first = index.where(cohort.treated).groupby(code).transform("min")
    order = np.argsort(pd.Index(cohort.person_id).argsort(), kind="stable")
    lowest = pd.Series(order).groupby(code).transform("min")
    other = index.where(lowest == order).groupby(code).transform("min")
    return cohort.at(pd.Series(first.fillna(other).to_numpy(), index=cohort.person_id))


def _summed_up(people: pd.DataFrame, code: NDArray[np.intp]) -> pd.DataFrame:
    """Means of numbers, words where all agree, and the index date."""
    out: dict[str, pd.Series] = {}
    for name in map(str, people.columns):
        column = people[name]
        groups = column.groupby(code)
        if name == "index_date":
            out[name] = groups.first()
        elif pd.api.types.is_numeric_dtype(column):
            out[name] = column.astype(float).groupby(code).mean()
        elif not pd.api.types.is_datetime64_any_dtype(column):
            out[name] = groups.first().where(groups.nunique(dropna=False) == 1, _SEVERAL)
    return pd.DataFrame(out).reset_index(drop=True)
