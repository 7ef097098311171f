"""Greedy matching on arrays: people choose in turn, each the nearest who is still free.

Everyone stands in the order of their identifiers, so that who is lower in the arrays has the lower one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from impact.match.neighbours import Neighbours
from impact.match.within import Within

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
Turns = Literal["closest", "farthest"] | Rows

# After so many people in a row who may not be matched, the next who may is looked for by whole arrays.
_PATIENCE, _STRETCH = 16, 4096
# With calipers of more standard deviations than this, most of the nearest may be matched anyway.
_NARROW = 0.5


@dataclass(frozen=True, eq=False)
class Limits:
    """Who may not be matched whatever their distance.

    ``calipers``: values (n,) and the width within which two people's must lie; a negative width asks for more
    than that between them. ``differ``: codes (n,) that two people may not share.
    """

    calipers: Sequence[tuple[Array, float]] = ()
    differ: Sequence[Rows] = ()

    def allow(self, i: Any, others: Any) -> Any:
        """Whether a person may be matched with another, or each of some with each of others (arrays)."""
        fine: Any = True
        for values, width in self.calipers:
            gap = np.abs(values[others] - values[i])
            fine = fine & (gap <= width if width >= 0 else gap > -width)
        for codes in self.differ:
            fine = fine & (codes[others] != codes[i])
        return fine

    def __bool__(self) -> bool:
        return bool(self.calipers or self.differ)

    def narrowest(self) -> tuple[Array, float] | None:
        """The caliper that leaves least to look through, where it leaves so little that it pays."""
        near = [c for c in self.calipers if 0 <= c[1] <= _NARROW * c[0].std()]
        return min(near, key=lambda c: c[1] / (c[0].std() or 1.0), default=None)


@dataclass(frozen=True, eq=False)
class Sides:
    """Who chooses (``people``) and from whom (``pool``): rising positions in arrays of n people.

    ``group (n,)``: only people of one group may be matched. ``uses``: how many may choose the same person.
    """

    people: Rows
    pool: Rows
    group: Rows
    limits: Limits = field(default_factory=Limits)
    uses: float = 1


class Search(Protocol):
    """What finds the nearest free person; ``i`` counts those who choose, a place stands for one chosen."""

    def find(self, i: int) -> tuple[int, float, bool]:
        """Place and distance of the nearest, and whether another is as near; -1 where nobody is left."""

    def take(self, i: int, place: int) -> int:
        """Give the place found to i; return the position of its person."""


def in_rounds(search: Search, wanted: Rows, turns: Turns) -> tuple[Rows, int]:
    """Let everyone choose one, then everyone a second, until each has as many as wanted or finds nobody.

    Parameters
    ----------
    search : Search
    wanted : array (m,)
    turns : array (m,), 'closest' or 'farthest'
        The order in which people choose. 'closest': whoever is nearest to somebody free goes first.
        'farthest': the further from everybody free at the start of a round, the earlier.

    Returns
    -------
    array (m, max(wanted))
        Positions of the chosen, -1 for none.
    int
        How many choices there were between people equally near.
    """
    out, ties = np.full((len(wanted), int(wanted.max())), -1), 0
    left = list(range(len(wanted))) if isinstance(turns, str) else turns.tolist()
    need = wanted.tolist()
    for k in range(out.shape[1]):
        left = [i for i in left if need[i] > k]
        if isinstance(turns, str) and turns == "farthest":
            gap = [search.find(i)[1] for i in left]
            left = [left[j] for j in np.argsort(-np.array(gap), kind="stable")]
        choices = _closest_first(search, left) if isinstance(turns, str) and turns == "closest" else left
        for i in choices:
            place, _, tie = search.find(i)
            if place >= 0:
                out[i, k] = search.take(i, place)
                ties += tie
        # Who found nobody will find nobody later: the free only become fewer.
        left = [i for i in left if out[i, k] >= 0]
        if isinstance(turns, str):
            left.sort()
    return out, ties


def _closest_first(search: Search, people: Sequence[int]) -> Iterator[int]:
    """Yield people by their distance to the nearest who is free when it is their turn."""
    waiting = [(search.find(i)[1], i) for i in people]
    heapify(waiting)
    while waiting:
        gap, i = heappop(waiting)
        now = search.find(i)[1]
        if now > gap:
            heappush(waiting, (now, i))
        elif now < np.inf:
            yield i


class Line:
    """Search on one score, outwards from a person's own place among all, sorted by score and identifier.

    At equal distance the lower of two is nearer, as in MatchIt. Union-find over those taken makes each look
    nearly constant in time; where a person may not be matched with others, their own two ends move past these
    once and for all.
    """

    def __init__(self, score: Array, sides: Sides, *, caliper: float = np.inf) -> None:
        people, pool, group = sides.people, sides.pool, sides.group
        chosen = np.zeros(len(score), bool)
        chosen[pool] = True
        everyone = chosen.copy()
        everyone[people] = True
        order = np.flatnonzero(everyone)
        order = order[np.argsort(score[order], kind="stable")]
        if group.any():
            order = order[np.argsort(group[order], kind="stable")]
        self._pool = order[chosen[order]]
        below = np.empty(len(score), np.intp)
        below[order] = np.cumsum(chosen[order])
        # The pool stands at places 1 to m; 0 and m + 1 lie outside.
        m = len(pool)
        of = group[self._pool]
        self._value = [np.nan, *score[self._pool].tolist(), np.nan]
        self._low: list[int] = (np.searchsorted(of, group[people], "left") + 1).tolist()
        self._high: list[int] = np.searchsorted(of, group[people], "right").tolist()
        # Where each person looks next below and above, and what leads from a place to the nearest free one.
        self._left, self._right = below[people].tolist(), (below[people] + 1).tolist()
        self._down, self._up = list(range(m + 2)), list(range(m + 2))
        self._own, self._people = score[people].tolist(), people.tolist()
        self._caliper, self._limits, self._bounded = caliper, sides.limits, bool(sides.limits)
        self._uses = [sides.uses] * (m + 2)

    def find(self, i: int) -> tuple[int, float, bool]:
        """As of ``Search``."""
        own, value, low, high = self._own[i], self._value, self._low[i], self._high[i]
        below, above = _free(self._down, self._left[i]), _free(self._up, self._right[i])
        if self._bounded:
            below, above = self._allowed(i, below, -1), self._allowed(i, above, 1)
            self._left[i], self._right[i] = below, above
        gap_below = own - value[below] if below >= low else np.inf
        gap_above = value[above] - own if above <= high else np.inf
        lower = gap_below <= gap_above
        gap = gap_below if lower else gap_above
        if gap > self._caliper or gap == np.inf:
            return -1, np.inf, False
        if gap_below == gap_above:
            return below, gap, True
        place, leads, step = (below, self._down, -1) if lower else (above, self._up, 1)
        other = _free(leads, place + step)
        tie = value[other] == value[place] and low <= other <= high
        if tie and self._bounded:
            other = self._allowed(i, other, step)
            tie = low <= other <= high and value[other] == value[place]
        return place, gap, tie

    def take(self, i: int, place: int) -> int:
        """As of ``Search``."""
        if place <= self._left[i]:
            self._left[i] = place - 1
        else:
            self._right[i] = place + 1
        self._uses[place] -= 1
        if not self._uses[place]:
            self._down[place], self._up[place] = place - 1, place + 1
        return int(self._pool[place - 1])

    def _allowed(self, i: int, place: int, step: int) -> int:
        """Go on from a free place to one that person i may be matched with, or out of reach."""
        leads, low, high = (self._down if step < 0 else self._up), self._low[i], self._high[i]
        looked, end = 0, int(low - 1 if step < 0 else high + 1)
        while low <= place <= high and abs(self._value[place] - self._own[i]) <= self._caliper:
            if looked < _PATIENCE:
                if self._limits.allow(self._people[i], self._pool[place - 1]):
                    return place
                looked, place = looked + 1, _free(leads, place + step)
                continue
            stretch = place + step * np.arange(min(_STRETCH, abs(end - place)))
            fine = self._limits.allow(self._people[i], self._pool[stretch - 1])
            for at in stretch[fine].tolist():
                if self._uses[at]:
                    return int(at) if abs(self._value[at] - self._own[i]) <= self._caliper else end
            place = _free(leads, int(stretch[-1]) + step)
        return end


def _free(leads_to: list[int], place: int) -> int:
    while leads_to[place] != place:
        leads_to[place] = leads_to[leads_to[place]]
        place = leads_to[place]
    return place


class Space:
    """Search by Euclidean distance between points; ties go to the lowest identifier.

    People of the pool with the same point (and limits) share a cell, which is looked at once. Each person
    starts from their nearest few cells; whoever needs more looks further away.
    """

    def __init__(self, points: Array, sides: Sides, *, at_first: int = 8) -> None:
        limits, pool = sides.limits, sides.pool
        facets = np.column_stack([points, *(v for v, _ in limits.calipers), *limits.differ])
        # Equal rows get equal keys and stand together; should rounding part some, they are two cells.
        key = (facets @ np.cos(np.arange(1.0, facets.shape[1] + 1)))[pool]
        order = np.lexsort((key, sides.group[pool]))
        members, key = pool[order], key[order]
        change = (key[1:] != key[:-1]) | (np.diff(sides.group[members]) != 0)
        alike = np.flatnonzero(~change)
        change[alike] = (facets[members[alike + 1]] != facets[members[alike]]).any(axis=1)
        begin = np.flatnonzero(np.append(True, change))
        size = np.diff(begin, append=len(members))
        # People beyond the narrowest caliper are not looked at.
        near = limits.narrowest()
        self._points = points if near is None else np.column_stack([points, near[0]])
        self._sides = sides
        # Views, since lists of a million numbers would take more time to make than to read.
        self._members, self._home = members.data, members[begin]
        self._next, self._end = begin.data, (begin + size).data
        self._uses = [sides.uses] * len(members)
        # What a person has already of those who may serve more.
        self._mine: dict[int, list[int]] = {}
        self._cell, self._free_in = np.repeat(np.arange(len(begin)), size).data, size.data
        # Whether nobody is left in a cell; the last stands for no cell.
        self._empty = np.append(np.zeros(len(begin), bool), True)
        asking = sides.group[sides.people]
        self._span = np.searchsorted(sides.group[self._home], np.stack([asking, asking + 1]))
        self._first: list[int] = self._span[0].tolist()
        self._index = np.full((len(asking), at_first), -1)
        # Cells that people may be matched with and their distances, of all who looked together; from where to
        # where a person's own stand, nearest first, without the first that have nobody left; who looked far;
        # and who has been shown all there are.
        self._near: list[tuple[list[int], list[float]]] = [([], [])] * len(asking)
        self._from, self._to = [0] * len(asking), [0] * len(asking)
        self._wide, self._whole = dict[int, int](), self._span[0] == self._span[1]
        # Of each group who looks among what, and which cells have become empty since it was last noted.
        self._among: dict[int, tuple[Rows, Neighbours | Within, list[int]]] = {}
        by_group = np.argsort(asking, kind="stable")
        for mine in np.split(by_group, np.flatnonzero(np.diff(asking[by_group])) + 1):
            low, high = self._span[:, mine[0]]
            if low < high:
                here = self._points[self._home[low:high]]
                among = Neighbours(here) if near is None else Within(here, near[1])
                self._among[int(low)] = mine, among, []
                self._look(mine)

    def find(self, i: int) -> tuple[int, float, bool]:
        """As of ``Search``."""
        free_in = self._free_in
        while True:
            cells, gaps = self._near[i]
            at, end = self._from[i], self._to[i]
            while at < end and not free_in[cells[at]]:
                at += 1
            self._from[i] = at
            best, distance, limit, tie = -1, np.inf, np.inf, False
            for k in range(at, end):
                c, gap = cells[k], gaps[k]
                if gap > limit:
                    return best, distance, tie
                j = self._free(i, c, self._next[c]) if free_in[c] else -1
                if j < 0:
                    continue
                # Distances that differ by rounding alone are ties, and the lowest identifier wins them.
                tie = best >= 0 or (free_in[c] > 1 and self._free(i, c, j + 1) >= 0)
                if best < 0:
                    best, distance, limit = j, gap, gap * (1 + 1e-9) + 1e-12
                elif self._members[j] < self._members[best]:
                    best = j
            if not self._grow(i):
                return best, distance, tie

    def take(self, i: int, place: int) -> int:
        """As of ``Search``."""
        self._uses[place] -= 1
        if self._uses[place]:
            self._mine.setdefault(i, []).append(place)
        else:
            c = self._cell[place]
            self._free_in[c] -= 1
            if not self._free_in[c]:
                self._among[self._first[i]][2].append(c)
        return self._members[place]

    def _free(self, i: int, c: int, j: int) -> int:
        """First member of cell c from j on who is free and is not person i's already, or -1."""
        uses, end, mine = self._uses, self._end[c], self._mine.get(i, ())
        while j < end and not uses[j]:
            j += 1
        if j > self._next[c] and not uses[self._next[c]]:
            self._next[c] = j
        while j < end and (j in mine or not uses[j]):
            j += 1
        return j if j < end else -1

    def _look(self, mine: Rows, size: int = 0) -> None:
        """Find the nearest cells with somebody left for people of one group, by default the first few."""
        low, width = self._first[mine[0]], size or self._index.shape[1]
        who = self._sides.people[mine]
        index, gap = self._among[low][1].of(self._points[who], width)
        fine = index >= 0
        self._whole[mine] = fine.sum(axis=1) < width
        index = np.where(fine, index + low, -1)
        if not size:
            self._index[mine] = -1
            self._index[mine, : index.shape[1]] = index
        fine &= self._sides.limits.allow(who[:, None], self._home[index])
        near = index[fine].tolist(), gap[fine].tolist()
        to = np.cumsum(fine.sum(axis=1)).tolist()
        for i, start, end in zip(mine.tolist(), [0, *to[:-1]], to, strict=True):
            self._near[i], self._from[i], self._to[i] = near, start, end

    def _grow(self, i: int) -> bool:
        """Look further for person i; false where there is nothing further."""
        if self._whole[i]:
            return False
        group, neighbours, emptied = self._among[self._first[i]]
        self._empty[emptied] = True
        neighbours.remove(np.array(emptied, np.intp) - self._first[i])
        emptied.clear()
        if i in self._wide or not self._empty[self._index[i]].all():
            # Some who are near are left, but i may not have them.
            self._wide[i] = 8 * self._wide.get(i, self._index.shape[1])
            self._look(np.array([i]), self._wide[i])
            return True
        # Whoever has few left needs to look again soon: many are looked up as fast as one.
        few = (~self._empty[self._index[group]]).sum(axis=1) <= self._index.shape[1] // 6
        mine = group[few & ~self._whole[group]]
        self._look(mine)
        for j in mine.tolist():
            self._wide.pop(j, None)
        return True


class Given:
    """Search in a matrix of distances (m, len(pool)), infinite where two may not be matched."""

    def __init__(self, matrix: Array, sides: Sides) -> None:
        self._matrix, self._sides = matrix, sides
        self._uses = np.full(len(sides.pool), sides.uses)
        self._mine: list[list[int]] = [[] for _ in sides.people]

    def find(self, i: int) -> tuple[int, float, bool]:
        """As of ``Search``."""
        me, pool, group = int(self._sides.people[i]), self._sides.pool, self._sides.group
        fine = (self._uses > 0) & (group[pool] == group[me]) & self._sides.limits.allow(me, pool)
        fine[self._mine[i]] = False
        away = np.where(fine, self._matrix[i], np.inf)
        place = int(away.argmin())
        gap = float(away[place])
        return (place, gap, bool((away == gap).sum() > 1)) if gap < np.inf else (-1, np.inf, False)

    def take(self, i: int, place: int) -> int:
        """As of ``Search``."""
        self._mine[i].append(place)
        self._uses[place] -= 1
        return int(self._sides.pool[place])
