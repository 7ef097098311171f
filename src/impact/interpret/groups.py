"""Groups of people by a characteristic: levels in order, and numbers in bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.errors import DataError, nearest

# A column with more different values than this is no set of groups, but a number or a name.
MOST = 10


def as_levels(column: pd.Series) -> pd.Series:
    """Name the level of each person in words; whole numbers as such, and who has none 'missing'.

    Examples
    --------
    >>> as_levels(pd.Series([1.0, 2.0, None])).tolist()
    ['1', '2', 'missing']
    """
    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    return column.astype("string").fillna("missing")


@dataclass(frozen=True, eq=False)
class Groups:
    """The groups of one column.

    Parameters
    ----------
    column : str
    levels : tuple of str
        In order where they are ``ordered``: numbers, or bands of a number.
    code : array (n,)
        Which level each person has; -1 where it is not known.
    """

    column: str
    levels: tuple[str, ...]
    ordered: bool
    code: NDArray[np.int64]

    def people(self, level: str) -> NDArray[np.bool_]:
        """Who is of a level, (n,)."""
        return np.asarray(self.code == self.levels.index(level))


def groups_of(table: pd.DataFrame, column: str, cuts: Sequence[float] = ()) -> Groups:
    """Divide people by a column.

    Parameters
    ----------
    table : DataFrame, n rows
    column : str
    cuts : sequence of float
        Where bands of a number begin, beside the lowest.

    Raises
    ------
    DataError
        For a column that is not there, one of too many different values, or bands of what is no number.

    Examples
    --------
    >>> found = groups_of(pd.DataFrame({"age": [49, 50, 80.5, None]}), "age", [50, 65])
    >>> found.levels, found.code.tolist()
    (('under 50', '50 to 64', '65 and over'), [0, 1, 2, -1])
    """
    if column not in table:
        raise DataError(f"equity: {column!r} is not a column of the people.{nearest(column, table.columns)}")
    values = table[column]
    numbers = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if cuts:
        return _bands(column, values, sorted(cuts), numbers)
    if (found := values.nunique()) > MOST:
        what = f"{{{column}: [...]}}, where bands begin" if numbers else "a column with fewer groups"
        raise DataError(
            f"equity: {column!r} has {found} different values, too many to compare; give subgroups {what}."
        )
    words = as_levels(values)
    names = sorted(values.dropna().unique()) if numbers else sorted(words[values.notna()].unique())
    levels = as_levels(pd.Series(names, dtype=values.dtype)).tolist() if numbers else names
    code = pd.Categorical(words, categories=levels).codes.astype(np.int64)
    return Groups(column, tuple(levels), numbers, code)


def _bands(column: str, values: pd.Series, cuts: Sequence[float], numbers: bool) -> Groups:
    if not numbers or values.nunique() <= len(cuts):
        raise DataError(
            f"equity: subgroups {column!r} holds no numbers to cut into {len(cuts) + 1} bands; name it alone."
        )
    exact = values.to_numpy(float, na_value=np.nan)
    code = np.searchsorted(np.array(cuts), exact, side="right")
    whole = all(float(cut).is_integer() for cut in cuts)
    inner = [
        f"{low:g} to {high - 1:g}" if whole else f"{low:g} to under {high:g}" for low, high in pairwise(cuts)
    ]
    levels = (f"under {cuts[0]:g}", *inner, f"{cuts[-1]:g} and over")
    return Groups(column, levels, True, np.where(np.isnan(exact), -1, code))
