"""The nearest points to each of many: exact, by dense arithmetic on the few blocks that can hold them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
Single = NDArray[np.float32]

# How many points a block holds at most, and how many targets are looked up together.
_BLOCK, _BATCH = 1024, 2048
GONE = np.float32(1e30)  # the squared length that is given to points that are left out


@dataclass(frozen=True, eq=False)
class _Block:
    """Points that lie together; ``number`` counts the blocks."""

    number: int
    points: Rows


@dataclass(frozen=True, eq=False)
class _Cut:
    """Points below (or at) and above a value of one coordinate."""

    axis: int
    at: float
    below: _Cut | _Block
    above: _Cut | _Block


class Neighbours:
    """Points (n, p) among which the nearest to others are found.

    Points are cut in blocks along their widest directions. The k-th distance within a target's own block
    bounds what it looks for: blocks whose box lies further away are passed over, the others are compared as
    one matrix product in single precision, and what may be near is measured in double. In ten and more
    dimensions, where a tree must visit most of its leaves, this does the same comparisons many times faster.

    Examples
    --------
    >>> index, distance = Neighbours(np.array([[0.0, 0], [3, 4], [1, 0]])).of(np.array([[0.0, 0]]), 2)
    >>> index.tolist(), distance.tolist()
    ([[0, 2]], [[0.0, 1.0]])
    """

    def __init__(self, points: Array) -> None:
        self._points, self._centre = points, points.mean(axis=0)
        centred = points - self._centre
        size = (centred**2).sum(axis=1)
        # With a target's (-2 t, |t|^2, 1), the product is |t|^2 - 2 t.p + |p|^2.
        self._right = np.column_stack([centred, np.ones(len(points)), size]).astype(np.float32)
        self._largest, self._left = float(size.max()), len(points)
        self._blocks: list[_Block] = []
        self._root = self._cut(np.arange(len(points)))
        inside = [self._right[b.points, : points.shape[1]] for b in self._blocks]
        self._low, self._high = np.array([x.min(0) for x in inside]), np.array([x.max(0) for x in inside])

    def remove(self, index: int) -> None:
        """Find this point no more."""
        self._right[index, -1] = GONE
        self._left -= 1

    def of(self, targets: Array, k: int) -> tuple[Rows, Array]:
        """Find the k nearest points to each target: index and distance, nearest first.

        Both are (m, k), or have fewer columns where fewer points are left.
        """
        k = min(k, self._left)
        if not k:
            return np.empty((len(targets), 0), np.intp), np.empty((len(targets), 0))
        centred = targets - self._centre
        size = (centred**2).sum(axis=1)
        left = np.column_stack([-2 * centred, size, np.ones(len(targets))]).astype(np.float32)
        limit = np.full(len(targets), GONE, np.float32)
        order = []
        for block, mine in self._homes(self._root, left, np.arange(len(targets))):
            order.append(mine)
            if len(block.points) >= k:
                own = left[mine] @ self._right[block.points].T
                limit[mine] = np.partition(own, k - 1, axis=1)[:, k - 1]
        for i in np.flatnonzero(limit >= GONE / 2):
            # Too few are left in the block.
            limit[i] = np.partition(self._right @ left[i], k - 1)[k - 1]
        # Single precision must not lose a point at the limit itself.
        limit += 4e-7 * left.shape[1] * (self._largest + size)
        index, gap = np.empty((len(targets), k), np.intp), np.empty((len(targets), k))
        ordered = np.concatenate(order)
        for mine in np.split(ordered, range(_BATCH, len(ordered), _BATCH)):
            row, point = self._within(left[mine], limit[mine])
            between = self._points[point] - targets[mine[row]]
            away = np.einsum("ij,ij->i", between, between)
            nearest = np.lexsort((away, row))
            first = np.searchsorted(row[nearest], np.arange(len(mine)))
            chosen = nearest[first[:, None] + np.arange(k)]
            index[mine], gap[mine] = point[chosen], np.sqrt(away[chosen])
        return index, gap

    def _cut(self, mine: Rows) -> _Cut | _Block:
        """Cut at the median of the coordinate with the largest spread, until blocks are small."""
        if len(mine) > _BLOCK:
            inside = self._right[mine, : self._points.shape[1]]
            axis = int(np.argmax(inside.std(axis=0)))
            along = inside[:, axis]
            # Where most points share the largest value they stay together and the others are cut off.
            middle, top = np.median(along), along.max()
            at = middle if middle < top else along[along < top].max(initial=-np.inf)
            below = along <= at
            if below.any():
                return _Cut(axis, float(at), self._cut(mine[below]), self._cut(mine[~below]))
        self._blocks.append(_Block(len(self._blocks), mine))
        return self._blocks[-1]

    def _homes(self, node: _Cut | _Block, left: Single, mine: Rows) -> Iterator[tuple[_Block, Rows]]:
        """Each block in which targets lie, and which."""
        if not len(mine):
            return
        if isinstance(node, _Block):
            yield node, mine
            return
        below = left[mine, node.axis] / -2 <= node.at
        yield from self._homes(node.below, left, mine[below])
        yield from self._homes(node.above, left, mine[~below])

    def _within(self, left: Single, limit: Single) -> tuple[Rows, Rows]:
        """Pairs of a target and a point that are within the target's limit, or may be but for rounding."""
        to_box = np.zeros((len(self._blocks), len(left)), np.float32)
        for axis in range(self._points.shape[1]):
            t = left[:, axis] / -2
            beyond = np.maximum(self._low[:, axis, None] - t, t - self._high[:, axis, None])
            to_box += np.maximum(beyond, 0, out=beyond) ** 2
        who, which = [], []
        for block, away in zip(self._blocks, to_box, strict=True):
            near = np.flatnonzero(away <= limit)
            if len(near):
                inside = left[near] @ self._right[block.points].T <= limit[near, None]
                row, column = np.divmod(np.flatnonzero(inside), len(block.points))
                who.append(near[row])
                which.append(block.points[column])
        return np.concatenate(who), np.concatenate(which)
