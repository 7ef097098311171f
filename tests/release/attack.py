"""What a reader can work out of a set of rows that adds up: the plain twin of the suppression rule."""

from __future__ import annotations

from collections.abc import Sequence


def sums(ranges: Sequence[Sequence[int]]) -> set[int]:
    """Every sum of one value from each range."""
    out = {0}
    for values in ranges:
        out = {a + b for a in out for b in values}
    return out


def feasible(parts: Sequence[int | None], totals: Sequence[int], *, least: int, slack: int) -> list[set[int]]:
    """Values each withheld part may take, given the shown parts (to within ``slack``) and the total.

    ``least`` is the smallest count a withheld cell may stand for. A withheld cell is unbounded above,
    except by the total.
    """
    top = max(totals) + slack * len(parts)
    ranges = [
        range(least, top + 1) if p is None else range(max(0, p - slack * (p > 0)), p + slack * (p > 0) + 1)
        for p in parts
    ]
    found = []
    for i, p in enumerate(parts):
        if p is None:
            others = sums([r for j, r in enumerate(ranges) if j != i])
            found.append({v for v in ranges[i] if any(t - v in others for t in totals)})
    return found
