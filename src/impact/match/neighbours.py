"""The nearest points to each of many: exact, by dense arithmetic on the few blocks that can hold them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
Single = NDArray[np.float32]

# How many points a block holds at most, and how many targets are looked up together at least and at most.
_BLOCK, _FEW, _BATCH = 1024, 128, 2048
GONE = np.float32(1e30)  # the squared length that is given to points that are left out
# Products of so many multiplications are not divided by BLAS among threads of its own, which would wait for
# each other at every one of them: the targets are divided instead.
_ALONE = 1 << 18
_CORES = os.cpu_count() or 1


@dataclass(frozen=True, eq=False)
class _Block:
    """Points that lie together, at places ``start`` to ``stop``."""

    start: int
    stop: int


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
    matrix products in single precision, and what may be near is measured in double. In ten and more
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
        size = np.einsum("ij,ij->i", centred, centred)
        # With a target's (-2 t, |t|^2, 1), the product is |t|^2 - 2 t.p + |p|^2.
        right = np.column_stack([centred, np.ones(len(points)), size]).astype(np.float32)
        self._largest, self._left = float(size.max()), len(points)
        self._blocks: list[_Block] = []
        order: list[Rows] = []
        self._root = self._cut(right, np.arange(len(points)), order)
        # The points of a block stand together, and each coordinate's values do.
        self._order, self._place = np.concatenate(order), np.empty(len(points), np.intp)
        self._place[self._order] = np.arange(len(points))
        self._right = np.ascontiguousarray(right[self._order].T)
        inside = [self._right[:-2, block.start : block.stop] for block in self._blocks]
        self._low = np.array([x.min(axis=1) for x in inside])
        self._high = np.array([x.max(axis=1) for x in inside])

    def remove(self, index: Rows) -> None:
        """Find these points no more."""
        self._right[-1, self._place[index]] = GONE
        self._left -= len(index)

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
        # Single precision must not lose a point at the limit itself.
        slack = (4e-7 * left.shape[1] * (self._largest + size)).astype(np.float32)
        index, gap = np.empty((len(targets), k), np.intp), np.empty((len(targets), k))

        def look(mine: Rows) -> None:
            row, place = self._within(left[mine], slack[mine], k)
            between = self._points[self._order[place]] - targets[mine[row]]
            away = np.einsum("ij,ij->i", between, between)
            nearest = np.lexsort((self._order[place], away, row))
            first = np.searchsorted(row, np.arange(len(mine)))
            chosen = nearest[first[:, None] + np.arange(k)]
            index[mine], gap[mine] = self._order[place[chosen]], np.sqrt(away[chosen])

        # Targets of one block look through the same blocks.
        homes = self._homes(self._root, left, np.arange(len(targets)))
        ordered = np.concatenate([mine for _, mine in homes])
        share = min(_BATCH, max(_FEW, -(-len(targets) // _CORES)))
        batches = np.array_split(ordered, -(-len(targets) // share))
        if len(batches) > 1:
            with ThreadPoolExecutor(_CORES) as threads:
                list(threads.map(look, batches))
        else:
            look(ordered)
        return index, gap

    def _cut(self, right: Single, mine: Rows, order: list[Rows]) -> _Cut | _Block:
        """Cut at the median of the coordinate with the largest spread, until blocks are small."""
        if len(mine) > _BLOCK:
            # A thousand of them tell which it is.
            some = mine[:: -(-len(mine) // _BLOCK)]
            axis = int(np.argmax(right[some, : self._points.shape[1]].std(axis=0)))
            along = right[mine, axis]
            # Where most points share the largest value they stay together and the others are cut off.
            middle, top = np.median(along), along.max()
            at = middle if middle < top else along[along < top].max(initial=-np.inf)
            below = along <= at
            if below.any():
                halves = [self._cut(right, mine[side], order) for side in (below, ~below)]
                return _Cut(axis, float(at), *halves)
        start = self._blocks[-1].stop if self._blocks else 0
        self._blocks.append(_Block(start, start + len(mine)))
        order.append(mine)
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

    def _within(self, left: Single, slack: Single, k: int) -> tuple[Rows, Rows]:
        """Pairs of a target and a place that may be among its k nearest, by target."""
        limit = self._limit(left, k) + slack
        to_box = np.zeros((len(self._blocks), len(left)), np.float32)
        for axis in range(self._points.shape[1]):
            t = left[:, axis] / -2
            beyond = np.maximum(self._low[:, axis, None] - t, t - self._high[:, axis, None])
            to_box += np.maximum(beyond, 0, out=beyond) ** 2
        rows, places, gaps = [], [], []
        for block, away in zip(self._blocks, to_box, strict=True):
            near = np.flatnonzero(away <= limit)
            if len(near):
                apart = _products(left[near], self._right[:, block.start : block.stop])
                flat = np.flatnonzero(apart <= limit[near, None])
                row, column = np.divmod(flat, apart.shape[1])
                rows.append(near[row])
                places.append(column + block.start)
                gaps.append(apart.ravel()[flat])
        row, place, gap = np.concatenate(rows), np.concatenate(places), np.concatenate(gaps)
        # Sorted by target and gap, whose bits rise as it does, as one whole number.
        key = (row.astype(np.uint64) << np.uint64(32)) | np.maximum(gap, 0).view(np.uint32)
        order = np.argsort(key)
        row, place, gap = row[order], place[order], gap[order]
        kth = gap[np.searchsorted(row, np.arange(len(left))) + k - 1]
        close = gap <= (kth + slack)[row]
        return row[close], place[close]

    def _limit(self, left: Single, k: int) -> Single:
        """Squared distance within which each target has k points: those of its own block, if they suffice."""
        limit = np.full(len(left), GONE, np.float32)
        for block, mine in self._homes(self._root, left, np.arange(len(left))):
            if block.stop - block.start >= k:
                own = _products(left[mine], self._right[:, block.start : block.stop])
                limit[mine] = np.partition(own, k - 1, axis=1)[:, k - 1]
        for i in np.flatnonzero(limit >= GONE / 2):
            # Too few are left in the block.
            limit[i] = np.partition(left[i] @ self._right, k - 1)[k - 1]
        return limit


def _products(left: Single, right: Single) -> Single:
    """The matrix product, so many rows at a time that BLAS does not divide them."""
    size = max(1, _ALONE // right.size)
    tiles = np.zeros((-(-len(left) // size), size, left.shape[1]), np.float32)
    tiles.reshape(-1, left.shape[1])[: len(left)] = left
    out: Single = np.matmul(tiles, right).reshape(-1, right.shape[1])
    return out[: len(left)]
