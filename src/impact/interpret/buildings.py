"""The buildings that an estimate hangs on most, left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from impact.errors import DataError, DesignError
from impact.interpret.check_rows import ENOUGH, Rows
from impact.results import Effects

Mask = NDArray[np.bool_]
# Groups of people are left out up to this share of all, or nothing of the study would be left.
_MOST = 0.25
TOO_FEW = "each {} holds too few people, or too large a part of all"


def without_those_that_matter(
    rows: Rows,
    *,
    orders: Sequence[NDArray[np.intp]],
    codes: NDArray[np.intp],
    behind: Callable[[Mask], list[int]],
    made: Callable[[Mask], Effects],
) -> tuple[int, Mask, Effects] | None:
    """Leave out the first buildings of each order, and find which of these moves the estimate most.

    Parameters
    ----------
    rows : Rows
        The first of them is the analysis as planned.
    orders : sequence of arrays (buildings,)
        In which buildings are left out, until together they hold enough people and events on each side.
    codes : array (n,)
        The building of each person, -1 for none.
    behind : callable
        People and events of some people (n,), of each side that has any.
    made : callable
        The analysis without some people (n,).

    Returns
    -------
    tuple
        How many buildings were left out, their people (n,), and the effect without them. None where no few
        buildings hold enough people.
    """
    best, farthest = None, -1.0
    for order in orders:
        if (out := _fewest(order, codes, behind)) is None:
            continue
        members = np.isin(codes, out)
        try:
            found = made(members)
        except (DataError, DesignError):
            continue
        at = (found.labels["scale"] == rows.scale).to_numpy()
        moved = abs(float(found.estimate[at][0]) - rows.found[0]["estimate"]) if at.any() else 0.0
        if moved > farthest:
            best, farthest = (len(out), members, found), moved
    return best


def _fewest(
    order: NDArray[np.intp], codes: NDArray[np.intp], behind: Callable[[Mask], list[int]]
) -> NDArray[np.intp] | None:
    """The first buildings in this order that together hold enough people and events on each side.

    The effect without one small building, set beside the effect with it, would tell of its few people.
    """
    for number in range(1, int(_MOST * len(order)) + 1):
        found = behind(np.isin(codes, order[:number]))
        if found and min(found) >= ENOUGH:
            return order[:number]
    return None
