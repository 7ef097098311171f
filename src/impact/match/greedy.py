"""Greedy matching on arrays. Everything here expects people in the order of their identifiers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Rule:
    """Largest difference in score, controls for each treated person, and whether controls are used again."""

    caliper: float = np.inf
    ratio: int = 1
    replace: bool = False


def on_a_line(score: Array, treated: NDArray[np.bool_], group: Rows, rule: Rule) -> Rows:
    """Give each treated person the nearest controls on one score, in rounds, the largest score first.

    People are sorted by (group, score, identifier). A treated person looks outwards from their own place for
    the first free control below and above, and takes the nearer; at equal distance the lower. Union-find over
    taken controls makes each look nearly constant in time.

    Returns
    -------
    array (n_t, ratio)
        Positions of the controls, -1 for none; rows in the order of the treated's identifiers.
    """
    order = np.lexsort((score, group))
    is_control = ~treated[order]
    controls = order[is_control]
    below = np.empty(len(score), np.intp)
    below[order] = np.cumsum(is_control)
    people = np.flatnonzero(treated)
    # Controls stand at places 1 to m, and 0 and m + 1 lie outside. ``down`` and ``up`` lead from a place to
    # the nearest free one below and above.
    m = len(controls)
    value = [np.nan, *score[controls].tolist(), np.nan]
    low = (np.searchsorted(group[controls], group[people], "left") + 1).tolist()
    high = np.searchsorted(group[controls], group[people], "right").tolist()
    left = below[people].tolist()
    right = (below[people] + 1).tolist()
    own = score[people].tolist()
    down, up = list(range(m + 2)), list(range(m + 2))
    taken = np.zeros((len(people), rule.ratio), np.intp)
    first_to_choose = np.argsort(-score[people], kind="stable").tolist()
    for k in range(rule.ratio):
        for i in first_to_choose:
            at_left, at_right = _free(down, left[i]), _free(up, right[i])
            gap_left = own[i] - value[at_left] if at_left >= low[i] else np.inf
            gap_right = value[at_right] - own[i] if at_right <= high[i] else np.inf
            lower = gap_left <= gap_right
            gap = gap_left if lower else gap_right
            if gap > rule.caliper or gap == np.inf:
                continue
            place = at_left if lower else at_right
            taken[i, k] = place
            left[i], right[i] = (place - 1, at_right) if lower else (at_left, place + 1)
            if not rule.replace:
                down[place], up[place] = place - 1, place + 1
    return np.where(taken > 0, np.append(-1, controls)[taken], -1)


def _free(leads_to: list[int], place: int) -> int:
    while leads_to[place] != place:
        leads_to[place] = leads_to[leads_to[place]]
        place = leads_to[place]
    return place


def in_space(
    points: Array,
    treated: NDArray[np.bool_],
    group: Rows,
    rule: Rule,
    *,
    cell: Rows,
    score: Array | None,
) -> Rows:
    """Give each treated person the nearest controls by Euclidean distance, in rounds.

    Parameters
    ----------
    points : array (n, p)
    treated : array (n,) of bool
    group : array (n,)
        Only people of the same group may be matched.
    cell : array (n,)
        People with equal covariates (and group) share a cell, which is searched for once.
    score : array (n,), optional
        Where it is given, the treated choose from the largest score down and only controls within the
        caliper of theirs; without it they choose in the order of their identifiers.
    rule : Rule
        At equal distance the control of the lowest identifier is taken.

    Returns
    -------
    array (n_t, ratio)
        Positions of the controls, -1 for none; rows in the order of the treated's identifiers.
    """
    people, controls = np.flatnonzero(treated), np.flatnonzero(~treated)
    members = controls[np.lexsort((cell[controls], group[controls]))]
    begin = np.flatnonzero(np.append(True, np.diff(cell[members]) != 0)) if len(members) else members
    home = members[begin]
    begin = np.append(begin, len(members))
    turn = np.arange(len(people)) if score is None else np.argsort(-score[people], kind="stable")
    turn = turn[np.argsort(group[people[turn]], kind="stable")]
    out = np.full((len(people), rule.ratio), -1)
    groups, first = np.unique(group[people[turn]], return_index=True)
    for g, mine in zip(groups, np.split(turn, first[1:]), strict=True):
        low, high = np.searchsorted(group[home], [g, g + 1])
        if low == high:
            continue
        near = _Neighbours(points[people[mine]], points[home[low:high]])
        if score is not None:
            near.within(score[people[mine]], score[home[low:high]], rule.caliper)
        out[mine] = _choose(near, members, begin[low : high + 1], rule)
    return out


class _Neighbours:
    """Cells in order of distance from each treated person of a group, found in growing numbers."""

    def __init__(self, targets: Array, cells: Array, *, at_first: int = 8) -> None:
        from scipy.spatial import cKDTree

        self._tree = cKDTree(cells, balanced_tree=False)
        self._targets, self._cells = targets, cells
        self._size = np.full(len(targets), min(at_first, len(cells)))
        gap, index = self._tree.query(targets, k=np.arange(1, self._size[0] + 1))
        self._found: list[tuple[list[int], list[float]]]
        self._found = list(zip(np.asarray(index).tolist(), np.asarray(gap).tolist(), strict=True))
        self._caliper = np.inf
        self._own: list[float] = [0.0] * len(targets)
        self._theirs: list[float] = [0.0] * len(cells)

    def within(self, own: Array, theirs: Array, caliper: float) -> None:
        """Only cells whose score is within the caliper count as neighbours."""
        self._caliper, self._own, self._theirs = caliper, own.tolist(), theirs.tolist()
        self._by_score = np.argsort(theirs, kind="stable")
        self._sorted = theirs[self._by_score]

    def __len__(self) -> int:
        return len(self._targets)

    def of(self, i: int) -> tuple[list[int], list[float]]:
        """Cells and their distances, nearest first."""
        return self._found[i]

    def eligible(self, i: int, c: int) -> bool:
        """Whether cell c may serve person i."""
        return abs(self._own[i] - self._theirs[c]) <= self._caliper

    def grow(self, i: int) -> bool:
        """Look further away for person i; false where there is nothing further."""
        if self._size[i] == self._tree.n:
            return False
        if np.isfinite(self._caliper):
            # Near cells may all lie outside the caliper, while those inside are few: take all of these.
            self._size[i] = self._tree.n
            low, high = self._own[i] - self._caliper - 1e-9, self._own[i] + self._caliper + 1e-9
            inside = self._by_score[slice(*np.searchsorted(self._sorted, [low, high]))]
            away = np.sqrt(((self._cells[inside] - self._targets[i]) ** 2).sum(axis=1))
            order = np.argsort(away, kind="stable")
            self._found[i] = inside[order].tolist(), away[order].tolist()
        else:
            self._size[i] = min(8 * self._size[i], self._tree.n)
            gap, index = self._tree.query(self._targets[i], k=np.arange(1, self._size[i] + 1))
            self._found[i] = np.asarray(index).tolist(), np.asarray(gap).tolist()
        return True


def _choose(near: _Neighbours, members: Rows, begin: Rows, rule: Rule) -> Rows:
    """Let the people of one group take, in turn and in rounds, their nearest cell with somebody free."""
    out = np.full((len(near), rule.ratio), -1)
    fresh, end = begin[:-1].tolist(), begin[1:].tolist()
    following = fresh.copy()  # the next free member of each cell
    turns = (
        ((i, k) for i in range(len(near)) for k in range(rule.ratio))
        if rule.replace
        else ((i, k) for k in range(rule.ratio) for i in range(len(near)))
    )
    for i, k in turns:
        c = _nearest_cell(near, i, following, end, members)
        if c >= 0:
            out[i, k] = members[following[c]]
            following[c] += 1
        if rule.replace and k == rule.ratio - 1:
            for c in near.of(i)[0]:
                following[c] = fresh[c]
    return out


def _nearest_cell(near: _Neighbours, i: int, following: list[int], end: list[int], members: Rows) -> int:
    while True:
        best, limit, gap = -1, np.inf, np.inf
        for c, gap in zip(*near.of(i), strict=True):
            if gap > limit:
                return best
            if following[c] == end[c] or not near.eligible(i, c):
                continue
            # Distances that differ by rounding alone are ties, and the lowest identifier wins them.
            if best < 0:
                best, limit = c, gap * (1 + 1e-9) + 1e-12
            elif members[following[c]] < members[following[best]]:
                best = c
        if not near.grow(i):
            return best
