"""Optimal pairs on a line within a caliper: the alignment of two sequences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

# Steps whose ways are held at a time, one byte each.
_STEPS = 50_000_000


def in_order(own: Array, others: Array, window: tuple[Rows, Rows], *, width: float, ratio: int) -> Rows:
    """Pair people who may only reach so far: the most pairs, then the least distance.

    Parameters
    ----------
    own, others : array (n,), array (m,)
        Where people and their possible partners stand, sorted.
    window : (array (n,), array (n,)) of int
        From which of ``others`` to before which each person may reach; both rise.
    width : float
        How far anybody may reach.
    ratio : int
        Partners of each; first as many people as can be get one, then two, ...

    Returns
    -------
    array (n, ratio)
        Which of ``others``, -1 for none.

    Notes
    -----
    Pairs that cross can be uncrossed without any of them becoming wider, so it is enough to look at pairings
    in the order of the line, as in the alignment of two sequences: the best of the first i people and the
    first j partners follows from those of one less. One more pair shifts others along the line by no more
    than its length in all, so a reward of twice that for each pair makes pairs come first.
    """
    places = np.append(own, others)
    reward: Array = (1.0 + 4 * float(np.ptp(places))) * np.arange(ratio, 0, -1, dtype=float)
    walk = _Walk(own, others, window, width, reward)
    steps = np.cumsum(ratio * (window[1] - window[0])) // _STEPS
    blocks = np.split(np.arange(len(own)), np.flatnonzero(np.diff(steps)) + 1)
    best, seen, begun = np.zeros(len(others) + 1), 0, []
    for block in blocks:
        # What a block begins with is kept: its ways are found on the way back, one block at a time.
        low = min(int(window[0][block[0]]), seen)
        begun.append((low, seen, best[low : seen + 1].copy()))
        if block is not blocks[-1]:
            seen, _ = walk.over(block, best, seen)
    partner, j = np.full((len(own), ratio), -1), len(others)
    for block, (low, seen, values) in zip(reversed(blocks), reversed(begun), strict=True):
        best[low : seen + 1] = values
        _, ways = walk.over(block, best, seen)
        for i in reversed(block.tolist()):
            low = int(window[0][i])
            j = min(j, int(window[1][i]))
            for k in range(ratio - 1, -1, -1):
                way = ways.pop()
                while j > low and way[j - 1 - low] == _PASS:
                    j -= 1
                if j > low and way[j - 1 - low] == _PAIR:
                    j -= 1
                    partner[i, k] = j
    return partner


# How the best with one person and one partner more comes about: the person gets nobody (0), the two are a
# pair, or the partner is passed over.
_PAIR, _PASS = 1, 2


@dataclass(frozen=True, eq=False)
class _Walk:
    own: Array
    others: Array
    window: tuple[Rows, Rows]
    width: float
    reward: Array

    def over(self, rows: Rows, best: Array, seen: int) -> tuple[int, list[NDArray[np.int8]]]:
        """Bring ``best``, by how many of the others there are, from before some people to after them.

        It is known up to ``seen`` others; further up nobody could reach so far, and nothing changes.
        """
        ways = []
        for i in rows.tolist():
            low, high = int(self.window[0][i]), int(self.window[1][i])
            best[seen + 1 : high + 1] = best[seen]
            seen = max(seen, high)
            cost = np.abs(self.others[low:high] - self.own[i])
            cost[cost > self.width] = np.inf
            for reward in self.reward:
                paired, alone = best[low:high] + (cost - reward), best[low + 1 : high + 1]
                way = (paired < alone).astype(np.int8)
                either = np.minimum(paired, alone)
                best[low + 1 : high + 1] = np.minimum.accumulate(np.append(best[low], either))[1:]
                way[best[low + 1 : high + 1] < either] = _PASS
                ways.append(way)
        return seen, ways
