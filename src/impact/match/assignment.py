"""Optimal pairs anywhere: a sparse assignment whose prices rule out every pair that was left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

# How many candidate pairs are asked for at a time.
_AT_ONCE = 1_000_000


class Found(NamedTuple):
    """Candidates ``row, col, cost (m,)`` and, for each row asked for, the ``reach (r,)``.

    Every pair that may be and costs less than the reach of its row is among the candidates.
    """

    row: Rows
    col: Rows
    cost: Array
    reach: Array


Candidates = Callable[[Rows, int], Found]


def assign(
    candidates: Candidates,
    size: tuple[int, int],
    *,
    ratio: int,
    bound: float,
    at_first: int = 8,
    most: int,
) -> tuple[Rows, float]:
    """Find the most pairs, among these the most rows with a first (second, ...) partner, then the least cost.

    Parameters
    ----------
    candidates : callable
        Called with rows and how many candidates each should get at least; the same rows may be asked for
        again with a larger number.
    size : (int, int)
        Rows and columns.
    ratio : int
        Partners of each row.
    bound : float
        No pair costs more.
    at_first : int
        Candidates of each row to begin with.
    most : int
        Candidate pairs that may be held; beyond, the best among them is returned with its gap.

    Returns
    -------
    array (rows, ratio), float
        The column of each partner, -1 for none, and by how much the cost may exceed the least possible.

    Notes
    -----
    Each row has ``ratio`` slots, and each slot a stand-in that costs more than any rearrangement could save,
    so that a full assignment exists. The prices of columns are the longest paths in what the assignment
    leaves over; a pair that was left out cannot help if its row's reach is above the row's cost and price.
    Rows for which this fails get more candidates, until it holds for all.
    """
    n_rows, n_cols = size
    unit, most = bound if bound > 0 else 1.0, most // ratio
    slots = n_rows * ratio
    dear = unit * (slots + 1.0) * (1 + np.arange(ratio)[::-1])
    tolerance = 1e-13 * float(dear.max())
    held = Found(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0), np.zeros(n_rows))
    short, many = np.arange(n_rows), at_first
    while True:
        held = _extended(held, candidates, short, many, most)
        edges = _slots(held, (n_rows, ratio))
        taken, paid = _solve(edges, n_cols, np.tile(dear, n_rows), unit)
        worth, free = _worth(edges, taken, paid, n_cols, tolerance)
        beyond = np.maximum(worth.reshape(n_rows, ratio) - held.reach[:, None], 0).sum(axis=1)
        short, many = np.flatnonzero(beyond > tolerance), 4 * many
        if not short.size or len(held.row) > most:
            partner = np.where(taken < n_cols, taken, -1).reshape(n_rows, ratio)
            return partner, float(beyond.sum()) + free


def _extended(held: Found, candidates: Candidates, short: Rows, many: int, most: int) -> Found:
    """Look further for some rows, in portions and for as long as there is room."""
    reach, fresh = held.reach.copy(), list[Found]()
    old = np.ones(len(reach), bool)
    room = most - len(held.row)
    portion = max(1, _AT_ONCE // many)
    for part in np.split(short, range(portion, len(short), portion)):
        if room < 0:
            break
        fresh.append(candidates(part, many))
        reach[part], old[part] = fresh[-1].reach, False
        room -= len(fresh[-1].row)
    again = old[held.row]
    row, col, cost = (
        np.concatenate([a[again], *b]) for a, *b in zip(held[:3], *(f[:3] for f in fresh), strict=True)
    )
    order = np.lexsort((col, row))
    return Found(row[order], col[order], cost[order], reach)


class _Edges(NamedTuple):
    """Pairs sorted by slot: ``begin (slots + 1,)`` says where those of each slot stand."""

    begin: Rows
    col: Rows
    cost: Array

    def of(self, slots: Rows) -> tuple[Rows, Rows]:
        """Where the pairs of some slots stand, and which of them each belongs to."""
        return spans(self.begin[slots], self.begin[slots + 1])


def _slots(held: Found, size: tuple[int, int]) -> _Edges:
    """Give every slot of a row the row's pairs."""
    n_rows, ratio = size
    edges = _Edges(np.searchsorted(held.row, np.arange(n_rows + 1)), held.col, held.cost)
    if ratio == 1:
        return edges
    at, which = edges.of(np.repeat(np.arange(n_rows), ratio))
    return _Edges(np.searchsorted(which, np.arange(n_rows * ratio + 1)), held.col[at], held.cost[at])


def _solve(edges: _Edges, n_cols: int, dear: Array, unit: float) -> tuple[Rows, Array]:
    """Assign every slot a column, or its stand-in (``n_cols`` and above), and say what it pays."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    slots = len(dear)
    used, col = np.unique(edges.col, return_inverse=True)
    end = edges.begin[1:]
    # One is added to every cost: pairs without a cost would not be pairs to scipy.
    cost = np.insert(edges.cost / unit, end, dear / unit) + 1
    col = np.insert(col, end, len(used) + np.arange(slots))
    shape = (slots, len(used) + slots)
    graph = csr_array((cost, col, edges.begin + np.arange(slots + 1)), shape=shape)
    taken = np.asarray(min_weight_full_bipartite_matching(graph)[1], np.intp)
    taken = np.append(used, n_cols + np.arange(slots))[taken]
    at, which = edges.of(np.arange(slots))
    chosen = edges.col[at] == taken[which]
    paid = dear.copy()
    paid[which[chosen]] = edges.cost[at[chosen]]
    return taken, paid


def _worth(edges: _Edges, taken: Rows, paid: Array, n_cols: int, tolerance: float) -> tuple[Array, float]:
    """What each slot's column costs with its price; no other column is cheaper with its own.

    A column's price is what the slots that would rather have it could save there, at the least. Prices start
    at nothing and rise until no slot would change; only slots whose price rose are asked again. With it
    comes the sum of prices of columns that nobody holds, which is nothing if the assignment is optimal.
    """
    price = np.zeros(n_cols)
    holder = np.full(n_cols, -1)
    held = np.flatnonzero(taken < n_cols)
    holder[taken[held]] = held
    worth = paid.copy()
    asking = np.arange(len(paid))
    while asking.size:
        at, which = edges.of(asking)
        offer = worth[asking][which] - edges.cost[at]
        col = edges.col[at]
        rises = offer > price[col] + tolerance
        np.maximum.at(price, col[rises], offer[rises])
        asking = np.unique(holder[col[rises]])
        asking = asking[asking >= 0]
        worth[asking] = paid[asking] + price[taken[asking]]
    return worth, float(price[holder < 0].sum())


def spans(begin: Rows, end: Rows) -> tuple[Rows, Rows]:
    """All numbers from each ``begin`` to before its ``end``, and which of the spans each belongs to."""
    many = np.maximum(end - begin, 0)
    which = np.repeat(np.arange(len(begin)), many)
    return (begin - np.cumsum(many) + many)[which] + np.arange(len(which)), which
