"""Optimal pairs where people stand on a line: exact, in time linear after sorting, and its own proof."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
Flags = NDArray[np.bool_]


def pair_up(place: Array, need: Rows, group: Rows) -> tuple[Rows, Rows]:
    """Give everyone who needs partners as many as they need, at the smallest total distance.

    Parameters
    ----------
    place : array (n,)
        Where people stand; sorted within ``group``, which is sorted too.
    need : array (n,) of int
        How many partners a person must have; 0 for those who may be taken. No group may need more than it
        has.
    group : array (n,) of int
        Only people of the same group may be partners.

    Returns
    -------
    (array (m,), array (m,))
        Positions of who needs (repeated where more than one is needed) and of the partner taken.

    Notes
    -----
    Let F be how many wait for a partner further up as the line is walked along (negative: partners that wait
    for somebody). The least cost so far is convex in F and changes by simple rules: a step of length g adds
    g |F|, a person in need shifts it by one, a possible partner takes the minimum of f(F) and f(F + 1). Its
    slopes stay sorted by themselves, so that two stacks hold all that is needed. Where nobody can want to go
    (more partners than need, seen from either side) the line falls into parts.
    """
    part = parts(need, group)
    # Whoever makes up a part alone is not needed.
    reached = np.flatnonzero((need > 0) | (np.bincount(part)[part] > 1)) if len(part) else part
    reached = np.repeat(reached, np.maximum(need[reached], 1))
    part = part[reached]
    taken = _walk(place[reached].tolist(), (need[reached] > 0).tolist(), part.tolist())
    return reached[need[reached] > 0], reached[taken]


def parts(need: Rows, group: Rows) -> Rows:
    """Number the stretches of the line between which no best pairing has pairs."""
    from_below, from_above = _waiting(need, group), _waiting(need[::-1], group[::-1])[::-1]
    # A part begins where nobody can come from either side.
    return np.asarray(np.cumsum((from_below == 0) & (np.append(0, from_above[:-1]) == 0)) - 1)


def _waiting(need: Rows, group: Rows) -> Rows:
    """Most people who could still be without a partner when coming to each place from below."""
    before = np.cumsum(np.where(need > 0, need, -1)) - np.where(need > 0, need, -1)
    new = np.append(True, np.diff(group) != 0)
    # Going down by more than anyone could wait, at each new group, begins afresh there.
    before -= (int(np.abs(need).sum()) + len(need)) * np.cumsum(new)
    return np.asarray(before - np.minimum.accumulate(before))


def _walk(place: list[float], needs: list[bool], part: list[int]) -> Rows:
    """Say which possible partners are taken; the rules are those in the notes of ``pair_up``."""
    # Slopes of the least cost: ``left`` those below F = 0, of which the last is the largest (they fall by
    # each step); ``steep`` the negative ones from F = 0 on, the last the smallest (they rise). Slopes from
    # F = 0 on that have come to be positive are never asked for again.
    left: list[float] = []
    steep: deque[float] = deque()
    limit = [0] * len(place)
    gone, last = 0.0, -1
    for j, (x, need, here) in enumerate(zip(place, needs, part, strict=True)):
        if here != last:
            left.clear()
            steep.clear()
            origin, last = x, here
        gone = x - origin
        while steep and steep[0] + gone >= 0:
            steep.popleft()
        if need:
            slope = left.pop() - gone if left else -np.inf
            if slope < 0:
                steep.append(slope - gone)
        else:
            limit[j] = len(steep)
            left.append(steep.pop() + 2 * gone if steep else gone)
    # Backwards from F = 0: a partner is taken if that leaves fewer waiting than is best.
    taken = []
    waiting = 0
    for j in range(len(place) - 1, -1, -1):
        if needs[j]:
            waiting -= 1
        elif waiting < limit[j]:
            waiting += 1
            taken.append(j)
    return np.array(taken[::-1], np.intp)


def shortfall(place: Array, need: Rows, group: Rows, taken: Flags) -> float:
    """By how much a pairing may be worse than the best one, from prices that no pairing can beat.

    A price at each place that changes no faster than the distance itself, is never negative at a possible
    partner, and sums (over who needs) to a bound on every pairing's total. The lowest prices that agree with
    where the pairing sends people are found by one pass up and one down the line.
    """
    flow = np.cumsum(need - taken)[:-1]
    step = np.diff(place)
    new = np.diff(group) != 0
    # Between groups prices are free: no price can exceed the length of the line.
    step[new] = np.ptp(place) if len(place) else 0.0
    free = (flow == 0) | new
    rise = np.where(free | (flow > 0), -step, step)
    fall = np.where(free | (flow < 0), step, -step)
    price = np.zeros(len(place))
    for direction in (rise, -fall[::-1]):
        along = np.append(0.0, np.cumsum(direction))
        price = (along + np.maximum.accumulate(price - along))[::-1]
    partner = need == 0
    total = np.abs(flow[~new] * step[~new]).sum()
    bound = need @ price - np.maximum(price, 0)[partner].sum()
    return float(total - bound)
