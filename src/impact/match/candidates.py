"""Who may be matched with whom, and the nearest of them, however distance is measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from impact.match.assignment import Found, spans
from impact.match.distances import Measure
from impact.match.greedy import Limits, Sides
from impact.match.within import Within

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
Flags = NDArray[np.bool_]

# How many neighbours are worth asking a tree for; with a caliper most of them could not be used.
_TREE, _TREE_IN_CALIPER = 512, 8


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pairs of a treated person and a control who agree, differ and are near as they must.

    ``rows`` and ``cols`` are the positions of treated people and controls in all that follows: ``group (n,)``
    must agree, and ``along (n,)``, in whose order people are looked through, may differ by at most ``width``.
    On a line it is the line itself. ``limits`` are the other calipers and the codes that must differ.
    """

    distance: Measure
    rows: Rows
    cols: Rows
    group: Rows
    along: Array
    width: float = np.inf
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def of(cls, distance: Measure, sides: Sides) -> Candidates:
        """Choose the caliper in whose order people are looked through; on a line it is that of the line."""
        limits, line = sides.limits, distance.line
        of_line = (c for c in limits.calipers if c[0] is line and c[1] > 0)
        near = limits.narrowest() if line is None else next(of_line, None)
        along, width = near or (np.zeros(len(sides.group)) if line is None else line, np.inf)
        rest = [c for c in limits.calipers if c is not near]
        return cls(distance, sides.people, sides.pool, sides.group, along, width, Limits(rest, limits.differ))

    def __call__(self, rows: Rows, many: int) -> Found:
        """Find about ``many`` nearest candidates of each row, or all there are."""
        if self.distance.matrix is not None:
            return self._in_matrix(rows, many)
        if self.distance.line is not None:
            return self._on_line(rows, many)
        few = many <= (_TREE if np.isinf(self.width) else _TREE_IN_CALIPER)
        return self._in_tree(rows, many) if few else self._in_window(rows, many)

    def may(self, row: Rows, col: Rows) -> Flags:
        """Whether pairs may be matched."""
        i, j = self.rows[row], self.cols[col]
        allowed = self.group[i] == self.group[j]
        if np.isfinite(self.width):
            allowed &= np.abs(self.along[i] - self.along[j]) <= self.width
        return np.asarray(allowed & self.limits.allow(i, j))

    def bound(self) -> float:
        """No pair costs more than this."""
        if self.distance.matrix is not None:
            return float(np.max(self.distance.matrix, where=np.isfinite(self.distance.matrix), initial=0.0))
        points = self._points[np.append(self.rows, self.cols)]
        across = float(np.sqrt((np.ptp(points, axis=0) ** 2).sum())) if len(points) else 0.0
        return across if self.distance.line is None else min(across, self.width)

    def cost(self, row: Rows, col: Rows) -> Array:
        """Distances of pairs."""
        if self.distance.matrix is not None:
            return self.distance.matrix[row, col]
        # One rounding for each pair, whichever way it was found.
        apart = self._points[self.rows[row]] - self._points[self.cols[col]]
        return np.abs(apart[:, 0]) if apart.shape[1] == 1 else np.sqrt((apart**2).sum(axis=1))

    @cached_property
    def _points(self) -> Array:
        if self.distance.line is not None:
            return self.distance.line[:, None]
        assert self.distance.points is not None
        return self.distance.points

    @cached_property
    def _order(self) -> NDArray[np.complex128]:
        """People by group and then along: what one search finds the place of both in."""
        return _both(self.group, self.along)

    @cached_property
    def sorted(self) -> Rows:
        """Columns sorted by group and then along."""
        return np.asarray(np.argsort(self._order[self.cols], kind="stable"))

    def window(self, row: Rows) -> tuple[Rows, Rows]:
        """Between which places of the sorted columns a row's candidates stand, and a little more."""
        along, group = self._order[self.cols[self.sorted]], self.group[self.rows[row]]
        if not np.isfinite(self.width):
            return np.searchsorted(along.real, group), np.searchsorted(along.real, group, "right")
        own, width = self.along[self.rows[row]], self.width * (1 + 1e-9)
        return (
            np.searchsorted(along, _both(group, own - width)),
            np.searchsorted(along, _both(group, own + width), "right"),
        )

    def _found(self, rows: Rows, which: Rows, col: Rows, reach: Array) -> Found:
        allowed = self.may(rows[which], col)
        row, col = rows[which[allowed]], col[allowed]
        return Found(row, col, self.cost(row, col), reach)

    def _on_line(self, rows: Rows, many: int) -> Found:
        """As many below as above; nothing nearer than the last on either side was left out."""
        low, high = self.window(rows)
        place = np.searchsorted(self._order[self.cols[self.sorted]], self._order[self.rows[rows]])
        begin, end = np.maximum(place - many, low), np.minimum(place + many, high)
        reach = np.full(len(rows), np.inf)
        for cut, last in ((begin > low, begin), (end < high, end - 1)):
            seen = self.cost(rows[cut], self.sorted[last[cut]])
            reach[cut] = np.minimum(reach[cut], seen)
        at, which = spans(begin, np.maximum(begin, end))
        return self._found(rows, which, self.sorted[at], reach)

    def _in_matrix(self, rows: Rows, many: int) -> Found:
        assert self.distance.matrix is not None
        cost = self.distance.matrix[rows]
        reach = np.full(len(rows), np.inf)
        if many < cost.shape[1]:
            reach = np.partition(cost, many, axis=1)[:, many]
        which, col = np.nonzero((cost <= reach[:, None]) & np.isfinite(cost))
        return self._found(rows, which, col, reach)

    @cached_property
    def _members(self) -> dict[int, Rows]:
        """Columns of each group."""
        groups, first = np.unique(self.group[self.cols[self.sorted]], return_index=True)
        return dict(zip(groups.tolist(), np.split(self.sorted, first[1:]), strict=True))

    @cached_property
    def _trees(self) -> dict[int, tuple[cKDTree, Rows]]:
        from scipy.spatial import cKDTree

        points = self._points[self.cols]
        return {g: (cKDTree(points[own], balanced_tree=False), own) for g, own in self._members.items()}

    @cached_property
    def _windows(self) -> dict[int, tuple[Within, Rows]]:
        placed = self._placed[self.cols]
        return {g: (Within(placed[own], self.width), own) for g, own in self._members.items()}

    @cached_property
    def _placed(self) -> Array:
        """Points with their place along as a last coordinate."""
        return np.column_stack([self._points, self.along])

    def _in_tree(self, rows: Rows, many: int) -> Found:
        group = self.group[self.rows[rows]]
        which, cols, reach = [np.empty(0, np.intp)], [np.empty(0, np.intp)], np.full(len(rows), np.inf)
        for g, (tree, members) in self._trees.items():
            mine = np.flatnonzero(group == g)
            k = min(many, len(members))
            gap, at = tree.query(self._points[self.rows[rows[mine]]], k=np.arange(1, k + 1))
            which.append(np.repeat(mine, k))
            cols.append(members[np.ravel(at)])
            if k < len(members):
                reach[mine] = np.asarray(gap)[:, -1]
        return self._found(rows, np.concatenate(which), np.concatenate(cols), reach)

    def _in_window(self, rows: Rows, many: int) -> Found:
        """Among all who are within the caliper and of the group: beyond what a tree is good for."""
        group, at = self.group[self.rows[rows]], self.rows[rows]
        which, cols, reach = [np.empty(0, np.intp)], [np.empty(0, np.intp)], np.full(len(rows), np.inf)
        for g, (within, members) in self._windows.items():
            mine = np.flatnonzero(group == g)
            index, gap = within.of(self._placed[at[mine]], min(many, len(members)))
            which.append(np.repeat(mine, index.shape[1])[index.ravel() >= 0])
            cols.append(members[index[index >= 0]])
            if many < len(members):
                reach[mine] = gap[:, -1]
        return self._found(rows, np.concatenate(which), np.concatenate(cols), reach)


def _both(first: Rows, second: Array) -> NDArray[np.complex128]:
    """Two keys in one, since complex numbers are sorted by their real and then their imaginary part."""
    out = np.empty(len(first), complex)
    out.real, out.imag = first, second
    return out
