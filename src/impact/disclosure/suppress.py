"""Which counts to withhold so that none can be worked out from the others of its own table.

The attacker is taken to know the exact total of each set of rows, from elsewhere, and the exact value of
every count that is shown: rounding is on top and no protection rests on it. A withheld count must then
still be able to take every value that is too small to show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.disclosure.policies import Policy

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Set:
    """Cells that add up: positions of the parts and, if it is a cell of the same table, of their total."""

    parts: NDArray[np.int64]
    total: int | None = None


def protect(counts: NDArray[np.float64], hidden: Mask, sets: Sequence[Set], policy: Policy) -> Mask:
    """Withhold further counts until no withheld one is given away by a set it belongs to.

    Parameters
    ----------
    counts : array (n,)
    hidden : array (n,) of bool
        The counts withheld for their own sake.
    sets : sequence of Set

    Returns
    -------
    array (n,) of bool
        The counts to withhold: a lone one is joined by the smallest other of its set, and by more until
        those withheld add up to enough. In a set whose total is too small, zeros are withheld as well.
    """
    hidden = hidden.copy()
    while True:
        before = hidden.sum()
        for one in sets:
            _protect_set(counts, hidden, one, policy)
        if hidden.sum() == before:
            return hidden


def _protect_set(counts: NDArray[np.float64], hidden: Mask, one: Set, policy: Policy) -> None:
    cells = one.parts if one.total is None else np.append(one.parts, one.total)
    if not hidden[cells].any():
        return
    parts, limit, least = one.parts, policy.smallest_shown, int(policy.zero_shown)
    # Where zeros are shown, k withheld cells hold at least k: a total below this leaves none its full range.
    whole = limit if not least else max(limit, limit - 2 + len(parts))
    if np.nansum(counts[parts]) < whole:
        hidden[cells] = True
        return
    by_size = parts[np.argsort(counts[parts], kind="stable")]
    for cell in [None, *by_size[counts[by_size] > 0]]:
        if cell is not None:
            hidden[cell] = True
        n, together = hidden[parts].sum(), np.nansum(counts[parts][hidden[parts]])
        free = one.total is not None and hidden[one.total]
        # With its total withheld as well, one withheld part can take any value; otherwise it needs company.
        if (free and n > 0) or (n > 1 and together - least * (n - 1) >= limit - 1):
            return
    # All other parts are zeros: a zero, or the total, is all there is to keep it company.
    hidden[cells] = True


def sets_of(table: pd.DataFrame, column: str, labels: Sequence[str], adds_up: Sequence[str]) -> list[Set]:
    """Find the sets of rows of one count column: those declared, and those in which one row is the total.

    A table's total row need not be declared: where all labels but one are equal, and the row of one name is
    the sum of the others wherever it occurs, it is taken for their total; so is a row that is the sum of
    all others, as in a flow of people through a study.

    Examples
    --------
    >>> frame = pd.DataFrame({"arm": ["a", "b", "all"], "persons": [3, 20, 23]})
    >>> sets_of(frame, "persons", ["arm"], [])
    [Set(parts=array([0, 1]), total=2)]
    """
    values = table[column].to_numpy(float)
    found = [_with_total(values, rows) for rows in _groups(table, adds_up)] if adds_up else []
    for label in labels:
        groups = [g for g in _groups(table, [x for x in labels if x != label]) if len(g) > 2]
        found += _totals_of(values, groups, table[label].astype("string").fillna("").to_numpy())
    everything = _with_total(values, np.arange(len(table)))
    return found if everything.total is None or found else [everything]


def _totals_of(
    values: NDArray[np.float64], groups: list[NDArray[np.int64]], names: NDArray[Any]
) -> list[Set]:
    """Take for the total the name whose row is the sum of the others in every group, if there is one."""
    for name in sorted(set.intersection(*(set(names[g]) for g in groups))) if groups else ():
        at = [g[names[g] == name][:1] for g in groups]
        twice = np.array([2 * values[a[0]] for a in at])
        if twice.any() and np.allclose(twice, [values[g].sum() for g in groups]):
            return [Set(np.setdiff1d(g, a), int(a[0])) for g, a in zip(groups, at, strict=True)]
    return []


def _groups(table: pd.DataFrame, by: Sequence[str]) -> list[NDArray[np.int64]]:
    if not by:
        return [np.arange(len(table))]
    keys = table[list(by)].astype("string").fillna("")
    return [np.asarray(rows) for rows in keys.groupby(list(by), sort=False).indices.values()]


def _with_total(values: NDArray[np.float64], rows: NDArray[np.int64]) -> Set:
    inside = values[rows]
    if len(rows) > 2 and np.isfinite(inside).all():
        top = int(np.argmax(inside))
        if inside[top] > 0 and np.isclose(2 * inside[top], inside.sum()):
            return Set(np.delete(rows, top), int(rows[top]))
    return Set(rows)


def across(table: pd.DataFrame, columns: Sequence[str]) -> dict[str, list[str]]:
    """Find a column that is, in every row, the sum of the other columns.

    Examples
    --------
    >>> frame = pd.DataFrame({"persons": [9, 30], "treated": [4, 10], "control": [5, 20]})
    >>> across(frame, ["persons", "treated", "control"])
    {'persons': ['treated', 'control']}
    """
    if len(columns) < 3 or not len(table):
        return {}
    values: Any = table[list(columns)].to_numpy(float)
    for i, column in enumerate(columns):
        if np.allclose(2 * values[:, i], values.sum(1)) and values[:, i].any():
            return {column: [c for c in columns if c != column]}
    return {}
