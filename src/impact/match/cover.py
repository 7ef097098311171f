"""Full matching where people stand on a line: everyone in a set, at the smallest total distance, exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from impact.match.limited import Sizes, joins

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
Flags = NDArray[np.bool_]


def sets_on_a_line(
    place: Array, treated: Flags, group: Rows, width: float = np.inf, *, sizes: Sizes | None = None
) -> tuple[Rows, float]:
    """Put everyone into a set of one person of an arm and one or more of the other.

    Parameters
    ----------
    place : array (n,)
    treated, group : array (n,)
        Only people of the same group may share a set.
    width : float
        Largest distance between two people who are compared. Who has nobody within it is left out.
    sizes : Sizes, optional
        How large sets may be; then pairs are found as of ``joins``.

    Returns
    -------
    (array (n,) of int, float)
        A number shared by the people of a set, -1 for who has nobody in reach and -2 for whom limits leave
        no place; the total distance.

    Notes
    -----
    If everybody points at the nearest person of the other arm, each pair that is joined instead saves the
    two pointers less its own distance: the least cover is the cost of all pointers less the largest saving
    of a set of disjoint pairs (Gallai). On a line only pairs across the boundary of two runs of one arm
    save anything, the people nearest to a boundary save most, and they compete only with those of their run
    who are joined across its other boundary: a dynamic programme over the boundaries where that happens.
    """
    order = np.lexsort((treated, place, group))
    x, arm, block = place[order], treated[order], group[order]
    lower, upper = _nearest_opposite(x, arm, block)
    kept = np.minimum(lower, upper) <= width
    kept &= np.isfinite(np.minimum(lower, upper))
    order, x, arm, block = order[kept], x[kept], arm[kept], block[kept]
    if sizes is None:
        low, high = _pairs(x, arm, block, width)
        alone = np.ones(len(x), bool)
        alone[low] = alone[high] = False
        who = np.flatnonzero(alone)
        a, b = np.append(low, who), np.append(high, _pointed_at(x, arm, block, who))
    else:
        # Nobody is joined across a gap that is wider than the caliper.
        apart = np.append(False, (np.diff(block) != 0) | (np.diff(x) > width))[: len(x)]
        a, b = joins(x, arm, np.cumsum(apart), sizes, width)
    a, b = _without_spare(a, b, x)
    degree = np.bincount(np.append(a, b), minlength=len(x))
    centre = np.where((degree[a] > 1) | ((degree[b] == 1) & arm[a]), a, b)
    number = np.full(len(place), -1)
    number[order] = -2
    number[order[a]] = number[order[b]] = centre
    return number, float(np.abs(x[a] - x[b]).sum())


def _runs(arm: Flags, block: Rows) -> tuple[Rows, Rows]:
    """Where runs of one arm begin, and the run of each person."""
    begins = np.append(True, (arm[1:] != arm[:-1]) | (block[1:] != block[:-1]))[: len(arm)]
    return np.flatnonzero(begins), np.cumsum(begins) - 1


def _nearest_opposite(x: Array, arm: Flags, block: Rows) -> tuple[Array, Array]:
    """Distance to the nearest person of the other arm below and above, infinite where there is none."""
    begin, run = _runs(arm, block)
    end = np.append(begin[1:], len(x)) - 1
    joined = block[begin[1:]] == block[end[:-1]]
    below = np.append(np.nan, np.where(joined, x[end[:-1]], np.nan))
    above = np.append(np.where(joined, x[begin[1:]], np.nan), np.nan)
    gaps = x - below[run], above[run] - x
    return np.where(np.isnan(gaps[0]), np.inf, gaps[0]), np.where(np.isnan(gaps[1]), np.inf, gaps[1])


def _pairs(x: Array, arm: Flags, block: Rows, width: float) -> tuple[Rows, Rows]:
    """Disjoint pairs across the boundaries of runs that save most."""
    lower, upper = _nearest_opposite(x, arm, block)
    nearest = np.minimum(lower, upper)
    begin, _ = _runs(arm, block)
    size = np.diff(np.append(begin, len(x)))
    # Boundaries are numbered by the run below them.
    begin = np.append(begin, len(x))[1 : len(size)]
    same = block[begin] == block[begin - 1]
    most = np.where(same, np.minimum(size[:-1], size[1:]), 0)
    which, i = _steps(most)
    u, v = begin[which] - 1 - i, begin[which] + i
    gap = x[begin] - x[begin - 1]
    saving = gap[which] - (upper[u] - nearest[u]) - (lower[v] - nearest[v])
    # People at the same place gain nothing by being paired, but their sets become alike in size.
    worth = (saving > 0) | ((saving == 0) & (gap[which] == 0))
    most = np.bincount(which[worth], minlength=len(most))
    far = most > 0
    far[far] = x[(begin + most - 1)[far]] - x[(begin - most)[far]] > width
    for k in np.flatnonzero(far):
        most[k] = _within(x, int(begin[k]), int(most[k]), width)
    first = np.append(0, np.cumsum(np.where(same, np.minimum(size[:-1], size[1:]), 0)))[:-1]
    take = _share(most, size, saving, first)
    which, i = _steps(take)
    return begin[which] - take[which] + i, begin[which] + i


def _steps(many: Rows) -> tuple[Rows, Rows]:
    """0, 1, ... up to ``many`` for each entry, and the entry each belongs to."""
    which = np.repeat(np.arange(len(many)), many)
    return which, np.arange(len(which)) - (np.cumsum(many) - many)[which]


def _within(x: Array, begin: int, most: int, width: float) -> int:
    """Largest number of pairs across a boundary of which none is wider than ``width``."""
    fewest = 0
    while fewest < most:
        t = (fewest + most + 1) // 2
        if (x[begin : begin + t] - x[begin - t : begin]).max() <= width:
            fewest = t
        else:
            most = t - 1
    return fewest


def _share(most: Rows, size: Rows, saving: Array, first: Rows) -> Rows:
    """How many pairs each boundary gets, where those of a run's two sides may be more than its people."""
    take = most.copy()
    contested = np.append(False, most[:-1] + most[1:] > size[1:-1])[: len(most)]
    # The commonest case, one person for whom nobody else contends: the side that saves more.
    lone = contested & (most == 1) & (size[:-1] == 1)
    lone[1:] &= (most[:-1] == 1) & ~contested[:-1]
    lone[:-1] &= ~contested[1:]
    one = np.flatnonzero(lone)
    upper = saving[first[one]] > saving[first[one - 1]]
    take[np.where(upper, one - 1, one)] = 0
    # Boundary k contests run k with boundary k - 1. A chain is a row of boundaries that all do.
    for start, end in zip(*_stretches(np.flatnonzero(contested & ~lone)), strict=True):
        chain = range(start - 1, end + 1)
        tops, rooms, firsts = (a[start - 1 : end + 1].tolist() for a in (most, size, first))
        best, back = [0.0], list[list[int]]()
        for top, room, at in zip(tops, rooms, firsts, strict=True):
            value, total, own = 0.0, -np.inf, []
            best, before = [], best
            for t, gain in enumerate([0.0, *saving[at : at + top].tolist()]):
                value += gain
                with_before = value + before[min(room - t, len(before) - 1)]
                if with_before >= total:
                    total, arg = with_before, t
                best.append(total)
                own.append(arg)
            back.append(own)
        room = tops[-1]
        for k, own, people in zip(reversed(chain), reversed(back), reversed(rooms), strict=True):
            take[k] = own[min(room, len(own) - 1)]
            room = people - int(take[k])
    return take


def _stretches(where: Rows) -> tuple[list[int], list[int]]:
    """First and last of each stretch of consecutive numbers."""
    cut = np.flatnonzero(np.diff(where) > 1)
    if not where.size:
        return [], []
    return where[np.append(0, cut + 1)].tolist(), where[np.append(cut, len(where) - 1)].tolist()


def _pointed_at(x: Array, arm: Flags, block: Rows, who: Rows) -> Rows:
    """Who the unpaired are joined to: the nearest of the other arm, in turn where several stand there."""
    lower, upper = _nearest_opposite(x, arm, block)
    begin, run = _runs(arm, block)
    below = lower[who] <= upper[who]
    side = run[who] + np.where(below, -1, 1)
    end = np.append(begin[1:], len(x)) - 1
    target = np.where(below, end[side], begin[side])
    # People of one arm at one place stand together; what tells places apart is whether anything changes.
    here = np.cumsum(np.append(True, (np.diff(x) != 0) | (np.diff(arm) != 0) | (np.diff(block) != 0))) - 1
    start = np.flatnonzero(np.append(True, np.diff(here) != 0))
    many = np.diff(np.append(start, len(x)))
    at = here[target]
    order = np.argsort(at, kind="stable")
    turn = np.empty(len(who), np.intp)
    turn[order] = np.arange(len(who)) - np.searchsorted(at[order], at[order])
    return np.asarray(start[at] + turn % many[at])


def _without_spare(a: Rows, b: Rows, x: Array) -> tuple[Rows, Rows]:
    """Drop joins between two people who both have another: ties, in which they cost nothing."""
    degree = np.bincount(np.append(a, b), minlength=len(x))
    keep = np.ones(len(a), bool)
    spare = np.flatnonzero((degree[a] > 1) & (degree[b] > 1))
    for k in spare[np.argsort(-np.abs(x[a[spare]] - x[b[spare]]), kind="stable")]:
        if degree[a[k]] > 1 and degree[b[k]] > 1:
            keep[k] = False
            degree[a[k]] -= 1
            degree[b[k]] -= 1
    return a[keep], b[keep]
