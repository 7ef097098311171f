"""The nearest points to each of many within a caliper: dense arithmetic on the stretch that it leaves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from impact.match.neighbours import GONE

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

# How many targets are looked up together, and how many distances are held at a time.
_BATCH, _AT_ONCE = 64, 8_000_000


class Within:
    """Points (n, p + 1) among which the nearest are found, of those that lie no further away along a line.

    The last coordinate is the place on that line and no part of the distance. It orders the points: a
    target's stretch is ``width`` (and a little more, for rounding) to either side of its own place. Distances
    to it are one matrix product in single precision, and the nearest by that are measured in double.

    Examples
    --------
    >>> within = Within(np.array([[0.0, 0, 5], [3, 4, 1], [1, 0, 2]]), 1.5)
    >>> index, distance = within.of(np.array([[0.0, 0, 1]]), 3)
    >>> index.tolist(), distance.tolist()
    ([[2, 1, -1]], [[1.0, 5.0, inf]])
    """

    def __init__(self, points: Array, width: float) -> None:
        self._order = np.argsort(points[:, -1], kind="stable")
        self._place = np.argsort(self._order)
        self._points, self._along = points[self._order, :-1], points[self._order, -1]
        self._width = width * (1 + 1e-9) + 1e-12 * float(np.abs(self._along).max())
        self._centre = self._points.mean(axis=0)
        centred = self._points - self._centre
        size = (centred**2).sum(axis=1)
        # With a target's (-2 t, |t|^2, 1), the product is |t|^2 - 2 t.p + |p|^2.
        self._right = np.column_stack([centred, np.ones(len(points)), size]).astype(np.float32)
        self._largest = float(size.max())

    def remove(self, index: Rows) -> None:
        """Find these points no more."""
        self._right[self._place[index], -1] = GONE

    def of(self, targets: Array, k: int) -> tuple[Rows, Array]:
        """Find the k nearest points to each target: index and distance (m, k), nearest first.

        Where there are fewer the index is -1 and the distance infinite.
        """
        targets, along = targets[:, :-1], targets[:, -1]
        index, gap = np.full((len(targets), k), -1), np.full((len(targets), k), np.inf)
        low = np.searchsorted(self._along, along - self._width)
        high = np.searchsorted(self._along, along + self._width, "right")
        centred = targets - self._centre
        size = (centred**2).sum(axis=1)
        left = np.column_stack([-2 * centred, size, np.ones(len(targets))]).astype(np.float32)
        slack = 4e-7 * left.shape[1] * (self._largest + size)
        order = np.flatnonzero(low < high)
        order = order[np.argsort(low[order], kind="stable")]
        batch = max(1, min(_BATCH, _AT_ONCE // int((high - low).max(initial=1))))
        for mine in np.split(order, range(batch, len(order), batch)) if len(order) else []:
            a, b = int(low[mine[0]]), int(high[mine].max())
            away = left[mine] @ self._right[a:b].T
            place = np.arange(a, b)
            away[(place < low[mine, None]) | (place >= high[mine, None])] = GONE
            last = min(k, b - a) - 1
            limit = np.minimum(np.partition(away, last, axis=1)[:, last], GONE / 2) + slack[mine]
            row, point = np.nonzero(away <= limit[:, None])
            point += a
            between = self._points[point] - targets[mine[row]]
            exact = np.einsum("ij,ij->i", between, between)
            nearest = np.lexsort((exact, row))
            row, point, exact = row[nearest], point[nearest], exact[nearest]
            slot = np.arange(len(row)) - np.searchsorted(row, row)
            kept = slot < k
            at = mine[row[kept]], slot[kept]
            index[at], gap[at] = self._order[point[kept]], np.sqrt(exact[kept])
        return index, gap
