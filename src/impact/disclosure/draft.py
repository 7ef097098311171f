"""A table on its way through the gate: which cells are withheld, and how counts are rounded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.disclosure.cells import Cell, Labels, Sum
from impact.disclosure.digits import events_shown
from impact.disclosure.policies import Policy
from impact.disclosure.released import Kind

COUNTS = ("persons", "treated", "clusters", "events")

# Counts to withhold beside those that are too small themselves, by row and column.
Also = Collection[tuple[int, str]]


@dataclass
class Draft:
    """A table on its way: ``hidden`` says which cells are withheld.

    ``cells`` are the counts a reader would know of if it were shown like this, and ``sums`` which of them
    add up. ``look`` says what a person has to look at. ``means`` are means of what other tables may count by
    level: row, column, of what, and among whom.
    """

    kind: Kind
    table: pd.DataFrame
    hidden: pd.DataFrame
    counts: pd.DataFrame | None = None
    notes: list[str] = field(default_factory=list)
    cells: Iterable[Cell] = ()
    sums: Sequence[Sum] = ()
    look: list[str] = field(default_factory=list)
    means: list[tuple[int, str, str, Labels]] = field(default_factory=list)
    figures: pd.DataFrame = field(init=False)

    def __post_init__(self) -> None:
        # What no row of a covariate has, such as the mean of its levels, is not there to be withheld.
        of = self.table.get("covariate", pd.Series("", self.table.index)).to_numpy()
        self.figures = self.table.notna().groupby(of, dropna=False).transform("any")


def coarse(values: Any, n: Any, policy: Policy) -> NDArray[np.float64]:
    """Round what is made from ``n`` people to steps of 1/n or more, if counts are rounded.

    A mean to the last digit is a fraction, and its denominator is the count that was rounded.
    """
    exact = np.asarray(values, float)
    if policy.round_to == 1:
        return exact
    known = np.maximum(policy.rounded(np.nan_to_num(np.asarray(n, float), nan=100)), 1)
    tens = 10.0 ** np.floor(np.log10(known))
    steps = tens * np.select([known >= 5 * tens, known >= 2 * tens], [5, 2], 1)
    return np.asarray(np.rint(exact * steps) / steps)


def as_counts(values: Any, hidden: Any, policy: Policy) -> pd.Series:
    """Round counts and leave out the hidden ones."""
    shown = pd.Series(policy.rounded(values))
    return shown.mask(np.asarray(hidden, bool)).astype("Int64")


def hide(draft: Draft, rows: NDArray[np.bool_], columns: Sequence[str]) -> None:
    """Withhold these rows of the columns."""
    for column in columns:
        if column in draft.table:
            figures = draft.figures[column].to_numpy() if column in draft.figures else True
            draft.table[column] = draft.table[column].mask(rows)
            draft.hidden[column] = draft.hidden[column] | (rows & figures)


def blank(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of the same shape in which nothing is withheld."""
    return pd.DataFrame(False, index=table.index, columns=table.columns)


def rows_of(also: Also, length: int) -> NDArray[np.bool_]:
    """Which rows hold a count that is withheld for the sake of others."""
    rows = np.zeros(length, bool)
    rows[[row for row, _ in also]] = True
    return rows


def count_columns(
    draft: Draft, counts: pd.DataFrame, policy: Policy, also: Also = (), scale: Any = np.nan
) -> pd.DataFrame:
    """Add people, clusters and events to a table of estimates; each is rounded, and withheld if small.

    Many events are those of the time in steps, which is ``scale`` of what it was, or not told at all.
    Returns which of them are withheld.
    """
    treated = counts["treated"].to_numpy(float) if "treated" in counts else np.zeros(len(counts))
    people = counts.get("treated", counts.get("persons", pd.Series(np.nan, counts.index))).to_numpy(float)
    hidden = pd.DataFrame(index=counts.index)
    for column in [c for c in COUNTS if c in counts]:
        values = counts[column].to_numpy(float)
        # Clusters are buildings or sites; where each person or matched set is one, they count people.
        about_people = column != "clusters" or (values >= treated)
        small = policy.small(values) & about_people
        small |= rows_of([a for a in also if a[1] == column], len(values))
        shown = np.where(about_people, policy.rounded(values), values)
        if column == "events":
            shown = events_shown(values, people, policy, scale)
        draft.table[column] = pd.Series(shown).mask(small).astype("Int64")
        draft.hidden[column] = hidden[column] = small
    return hidden
