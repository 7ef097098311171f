"""What a reader can work out of everything that is shown, by linear programmes.

The reader is taken to know the exact value of every count that is shown (rounding is on top, and no
protection rests on it) and the exact total of each set of rows that adds up, from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import coo_array, hstack
from scipy.sparse.csgraph import connected_components

Mask = NDArray[np.bool_]
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Set:
    """Cells that add up: the numbers of the parts and of their total; None is known from elsewhere."""

    parts: Sequence[int]
    total: int | None = None


@dataclass(frozen=True)
class Knowledge:
    """What the reader knows: how cells add up, and the least that a withheld one can be.

    ``value (n,)`` counts; ``least (n,)``; ``sums (m, n)`` of 1 for a part and -1 for a total, and
    ``equal (m,)``: the sets, as ``sums @ value == equal``.
    """

    value: Whole
    least: Whole
    sums: Any
    equal: Whole

    @classmethod
    def of(cls, value: Whole, least: Whole, sets: Sequence[Set]) -> Knowledge:
        """Write the sets as equations."""
        where = [(i, j, 1) for i, one in enumerate(sets) for j in one.parts]
        where += [(i, one.total, -1) for i, one in enumerate(sets) if one.total is not None]
        row, column, sign = np.array(where, np.int64).reshape(-1, 3).T
        sums = coo_array((sign, (row, column)), shape=(len(sets), len(value))).tocsr()
        return cls(value, least, sums, np.asarray(sums @ value))

    def given_away(self, hidden: Mask, low: Whole, high: Whole) -> Iterator[tuple[int, int]]:
        """Return each withheld cell that cannot be as large as ``high`` or as small as ``low``, and which.

        A cell whose ``high`` is below its ``low`` needs no protection.
        """
        rest = self.equal - self.sums @ np.where(hidden, 0, self.value)
        for cells, sets in self._hang_together(hidden):
            sums = self.sums[sets][:, cells]
            for at in np.flatnonzero(high[cells] >= low[cells]):
                cell = int(cells[at])
                for target, outward in ((int(high[cell]), 1), (int(low[cell]), -1)):
                    if not _reaches(sums, rest[sets], self.least[cells], int(at), target, outward):
                        yield cell, target

    def cheapest(self, hidden: Mask, cell: int, target: int, cost: NDArray[np.float64]) -> Whole | None:
        """Return the cells to withhold as well so that a cell could be ``target``, by least cost.

        Shown cells may leave their values at their cost: those that do are the ones to withhold. One whose
        cost is infinite stays. Returns None where there is no way.
        """
        loose = np.isfinite(cost) | hidden
        cells, sets = next(c for c in self._hang_together(loose) if cell in c[0])
        fixed = self.sums[sets] @ np.where(loose, 0, self.value)
        sums, gone = self.sums[sets][:, cells], hidden[cells]
        shown = np.flatnonzero(~gone)
        value = np.where(gone, 0, self.value[cells])
        low, high = self.least[cells].astype(float), np.full(len(cells), np.inf)
        low[~gone] = high[~gone] = value[~gone]
        low[cells == cell] = high[cells == cell] = target
        moves, none, free = sums[:, shown], np.zeros(len(shown)), np.full(len(shown), np.inf)
        found = linprog(
            np.r_[np.zeros(len(cells)), cost[cells][shown], cost[cells][shown]],
            A_eq=hstack([sums, moves, -moves]),
            b_eq=self.equal[sets] - fixed,
            bounds=np.c_[np.r_[low, none, none], np.r_[high, free, value[shown]]],
        )
        if found.x is None:
            return None
        up, down = found.x[len(cells) :].reshape(2, -1)
        return np.asarray(cells[shown[up + down > 1e-6]])

    def beside(self, cell: int, among: Mask) -> Whole:
        """Return the cells of a choice that share a set with a cell."""
        mine = self.sums[np.flatnonzero(self.sums[:, [cell]].toarray())]
        return np.flatnonzero((abs(mine).sum(0) > 0) & among)

    def _hang_together(self, loose: Mask) -> Iterator[tuple[Whole, Whole]]:
        """Split cells that are not fixed into those that share sets, with the sets they share."""
        cells = np.flatnonzero(loose)
        within = abs(self.sums[:, cells])
        sets = np.flatnonzero(np.diff(within.indptr))
        within = within[sets]
        count, label = connected_components(within.T @ within, directed=False)
        of_set = label[within.indices[within.indptr[:-1]]]
        by_cell, by_set = np.argsort(label, kind="stable"), np.argsort(of_set, kind="stable")
        ends = np.arange(1, count)
        mine = np.split(cells[by_cell], np.searchsorted(label[by_cell], ends))
        theirs = np.split(sets[by_set], np.searchsorted(of_set[by_set], ends))
        yield from ((c, s) for c, s in zip(mine, theirs, strict=True) if len(s))


def _reaches(sums: Any, rest: Whole, least: Whole, at: int, target: int, outward: int) -> bool:
    """Whether a withheld cell can be at least (at most) ``target`` while everything still adds up."""
    if len(rest) == 1:
        sign = sums.toarray()[0]
        sign = sign * sign[at]
        others = np.delete(sign, at)
        furthest = sums.toarray()[0][at] * rest[0] - others @ np.delete(least, at)
        if outward > 0:
            return bool((others < 0).any() or furthest >= target)
        return bool(least[at] <= target and ((others > 0).any() or furthest <= target))
    low, high = least.astype(float), np.full(len(least), np.inf)
    low[at], high[at] = (target, np.inf) if outward > 0 else (low[at], target)
    if low[at] > high[at]:
        return False
    found = milp(
        np.zeros(len(least)),
        integrality=np.ones(len(least), int),
        bounds=Bounds(low, high),
        constraints=LinearConstraint(sums, rest, rest),
    )
    return bool(found.status == 0)
