"""What a reader can work out of everything that is shown, by linear programmes.

The reader is taken to know the exact value of every count that is shown (rounding is on top, and no
protection rests on it) and the exact total of each set of rows that adds up, from elsewhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array, hstack
from scipy.sparse.csgraph import connected_components

Mask = NDArray[np.bool_]
Whole = NDArray[np.int64]


# Of ways that withhold the same, the one by which the fewest people move.
TINY = 0.001


@dataclass(frozen=True)
class Set:
    """Cells that add up: the numbers of the parts and of their total; None is known from elsewhere."""

    parts: Sequence[int]
    total: int | None = None


class Goal(NamedTuple):
    """A cell must be able to be ``target`` or more (``outward`` 1), that or less (-1), or just that (0)."""

    cell: int
    target: int
    outward: int

    def reached(self, value: float) -> bool:
        """Whether a value is what the cell must be able to be."""
        return self.outward * (value - self.target) >= 0 if self.outward else value == self.target


@dataclass(frozen=True)
class Knowledge:
    """What the reader knows: how cells add up, and the least and the most that each can be that is not shown.

    ``value (n,)`` counts; ``least (n,)``; ``sums (m, n)`` of 1 for a part and -1 for a total, and
    ``equal (m,)``: the sets, as ``sums @ value == equal``. ``most (n,)`` is infinite for what is withheld;
    one that is shown rounded, and may be anything that is printed alike, has ``least`` below ``most``.
    """

    value: Whole
    least: Whole
    sums: Any
    equal: Whole
    most: NDArray[np.float64]

    @classmethod
    def of(cls, value: Whole, least: Whole, sets: Sequence[Set], free: Mask) -> Knowledge:
        """Write the sets as equations.

        ``free`` are counts that nobody sees and that stand for nothing but the sum of others, or for what is
        left of one: the sums take their place. Equations that then hold whatever is withheld are left out.
        """
        where = [(i, j, 1) for i, one in enumerate(sets) for j in one.parts]
        where += [(i, one.total, -1) for i, one in enumerate(sets) if one.total is not None]
        row, column, sign = np.array(where, np.int64).reshape(-1, 3).T
        sums = coo_array((sign, (row, column)), shape=(len(sets), len(value))).tocsr()
        made: dict[int, int] = {}
        for i, one in enumerate(sets):
            if one.total is not None and free[one.total] and not free[list(one.parts)].any():
                made.setdefault(one.total, i)
        others = np.setdiff1d(np.arange(len(sets)), list(made.values()))
        if made:
            sums = sums[others] + sums[others][:, list(made)] @ sums[list(made.values())]
            sums.eliminate_zeros()
        signs: list[Any] = [(sums > 0).astype(int), (sums < 0).astype(int)]
        more, less = signs
        once = (free & ((more + less).sum(0) == 1)).astype(int)
        # What is left over is 0 or more, and says nothing where all it is left of is 0 or more as well.
        nothing = [(one.sum(1) == 1) & (one @ once > 0) for one in signs]
        sums = sums[np.flatnonzero(~nothing[0] & ~nothing[1] & ((more + less).sum(1) > 0))]
        return cls(value, least, sums, np.asarray(sums @ value), np.full(len(value), np.inf))

    def given_away(self, hidden: Mask, goals: Sequence[Goal]) -> list[Goal]:
        """Return the goals that no world reaches in which everything that is shown is as it is."""
        loose = hidden | (self.least < self.most) & np.isfinite(self.most)
        rest = self.equal - self.sums @ np.where(loose, 0, self.value)
        of = defaultdict(list)
        for goal in goals:
            of[goal.cell].append(goal)
        lost: list[Goal] = []
        for cells, sets in self._hang_together(loose):
            here = [(at, g) for at, cell in enumerate(cells.tolist()) for g in of.get(cell, ())]
            if here:
                sums, between = self.sums[sets][:, cells], (self.least[cells], self.most[cells])
                lost += _out_of_reach(sums, rest[sets], between, self.value[cells], here)
        return lost

    def smallest(self, cell: int) -> int:
        """Return the least that a cell can be by how cells add up alone, whatever they are."""
        cells, sets = self.around(np.ones(len(self.value), bool))[cell]
        sums, here = self.sums[sets][:, cells], np.flatnonzero(cells == cell)
        rule, low, high = LinearConstraint(sums, 0, 0), self.least[cells].astype(float), self.most[cells]
        # The least by fractions of people is quick; whole people are then only looked for from there on.
        found = milp((cells == cell).astype(float), bounds=Bounds(low, np.inf), constraints=rule)
        if found.x is None:
            return int(self.least[cell])
        for least in range(int(np.ceil(found.fun - 1e-6)), int(self.value[cell])):
            low[here], high[here] = least, least
            whole = np.ones(len(cells), int)
            if milp(0 * low, integrality=whole, bounds=Bounds(low, high), constraints=rule).x is not None:
                return least
        return int(self.value[cell])

    def around(self, loose: Mask) -> dict[int, tuple[Whole, Whole]]:
        """Return by cell the cells that are not fixed and hang together with it, and the sets they share."""
        return {int(cell): both for both in self._hang_together(loose) for cell in both[0]}

    def cheap(self, cost: NDArray[np.float64], few: int) -> Mask:
        """Which cells are among the few cheapest of a set."""
        found = np.zeros(len(cost), bool)
        ends = self.sums.indptr
        for cells in np.split(self.sums.indices, ends[1:-1]):
            found[cells[np.argsort(cost[cells], kind="stable")[:few]]] = True
        return found

    def near(self, cell: int, among: Mask, around: tuple[Whole, Whole]) -> tuple[Whole, Whole]:
        """Return those of a choice that share a set with a cell, or with one that does, and the sets."""
        cells, sets = around
        within = abs(self.sums[sets][:, cells])
        reached = cells == cell
        for _ in range(2):
            reached = within.T @ (within @ reached) > 0
        keep = reached & (among[cells] | (cells == cell))
        return cells[keep], sets[within @ keep > 0]

    def cheapest(
        self, hidden: Mask, goal: Goal, cost: NDArray[np.float64], around: tuple[Whole, Whole]
    ) -> tuple[Whole, NDArray[np.float64]] | None:
        """Return what to withhold as well so that a goal is in reach, by least cost, and how all move.

        Shown cells may leave their values at their cost: those that do are the ones to withhold; one whose
        cost is infinite stays. They move by fractions of people where whole ones would need more. Returns
        None where there is no way.
        """
        cells, sets = around
        sums, gone, value = self.sums[sets][:, cells], hidden[cells], self.value[cells]
        price = np.where(gone, TINY, cost[cells])
        up, down = np.full(len(cells), np.inf), (value - np.where(gone, self.least[cells], 0)).astype(float)
        at = np.flatnonzero(cells == goal.cell)
        by = goal.target - value[at]
        low = np.zeros(2 * len(cells))
        low[at] = up[at] = np.maximum(by, 0)
        low[at + len(cells)] = down[at] = np.maximum(-by, 0)
        found = milp(
            np.r_[price, price],
            bounds=Bounds(low, np.r_[up, down]),
            constraints=LinearConstraint(hstack([sums, -sums]), 0, 0),
        )
        if found.x is None:
            return None
        up, down = found.x.reshape(2, -1)
        move = np.zeros(len(self.value))
        move[cells] = np.where(abs(up - down) > 1e-6, up - down, 0)
        return cells[~gone & (move[cells] != 0)], move

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


def _out_of_reach(
    sums: Any,
    rest: Whole,
    between: tuple[Whole, NDArray[np.float64]],
    value: Whole,
    goals: Sequence[tuple[int, Goal]],
) -> Iterator[Goal]:
    """Return the goals that no whole numbers reach; each world that is found may reach several at once."""
    least, most = between
    if len(rest) == 1 and abs(sums).max() == 1 and np.isinf(most).all():
        sign, total = sums.toarray()[0], int(rest[0])
        yield from (goal for at, goal in goals if not _alone(sign, total, least, at, goal))
        return
    rng, left = np.random.default_rng(0), [(at, goal) for at, goal in goals if not goal.reached(value[at])]
    while left:
        at, goal = left.pop()
        low, high = least.astype(float), np.minimum(most, 4.0 * (value.sum() + goal.target))
        low[at] = goal.target if goal.outward >= 0 else low[at]
        high[at] = goal.target if goal.outward <= 0 else high[at]
        push = np.zeros(len(least))
        np.subtract.at(push, [i for i, _ in left], [rng.random() * g.outward for _, g in left])
        found = low[at] <= high[at] and milp(
            push,
            integrality=np.ones(len(least), int),
            bounds=Bounds(low, high),
            constraints=LinearConstraint(sums, rest, rest),
            options={"mip_rel_gap": 1.0},
        )
        if not found or found.x is None:
            yield goal
            continue
        world = np.rint(found.x)
        left = [(i, g) for i, g in left if not g.reached(world[i])]


def _alone(sign: Whole, total: int, least: Whole, at: int, goal: Goal) -> bool:
    """Whether a goal is reached where only one set tells of its cell."""
    others = np.delete(sign, at) * sign[at]
    furthest = sign[at] * total - others @ np.delete(least, at)
    if goal.outward > 0:
        return bool((others < 0).any() or furthest >= goal.target)
    return bool(least[at] <= goal.target and ((others > 0).any() or furthest <= goal.target))
