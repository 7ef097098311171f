"""How much of the supported person-time the effects speak of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from impact.data.panel import Panel
from impact.did.cells import Cell

# The share of the supported person-time below which a result warns of what it leaves out.
ENOUGH = 0.8
WANT = "for want of controls or of people in more than one cluster"


def roughly(share: float) -> str:
    """Say a share of people or of their time in steps of 5%: a finer one would count few people.

    Examples
    --------
    >>> roughly(0.036), roughly(0.22), roughly(0.964)
    ('less than 10%', 'about 20%', 'more than 90%')
    """
    if share < 0.075 or share >= 0.925:
        return "less than 10%" if share < 0.5 else "more than 90%"
    return f"about {5 * round(20 * share)}%"


def covers(name: str, share: float) -> list[str]:
    """Say, where it is not all, how much of the supported person-time the effects are of."""
    if share > 0.9995:
        return []
    return [f"{name}: the effects cover {roughly(share)} of the supported person-time."]


def left_out(panel: Panel, name: str, lost: Mapping[str, Sequence[tuple[int, int]]]) -> list[str]:
    """Say why cells (start, period) are left out: how many starts and roughly how much time, not whose.

    The month of a start that is left out is often that of one person or site.
    """
    T, notes = len(panel.periods), []
    time = panel.weights[:, None] * panel.exposure[name]
    total = time[np.arange(T) >= panel.start[:, None]].sum()
    starts = len(np.unique(panel.start[panel.start < T]))
    for why, cells in lost.items():
        share = sum(time[panel.start == g, t].sum() for g, t in cells if t >= g) / total
        notes.append(
            f"{name}: left out, {why}: time after {len({g for g, _ in cells})} of {starts} starts, "
            f"{roughly(share)} of the supported person-time."
        )
    return notes


def coverage(panel: Panel, name: str, cells: Sequence[Cell], *, of: Panel | None = None) -> list[str]:
    """Say, where it is not all, how much of the supported person-time (``of`` another panel) these cells are.

    Less than four fifths of it are a warning.
    """
    whole = panel if of is None else of
    time, everyone = (p.weights[:, None] * p.exposure[name] for p in (panel, whole))
    after = np.arange(len(panel.periods)) >= whole.start[:, None]
    covered = sum(time[panel.start == c.group, c.period].sum() for c in cells if c.period >= c.group)
    share = float(covered / everyone[after].sum())
    few = (
        " That is less than four fifths: they may not speak for the rest, least of all if that was left out "
        "for want of events."
    )
    return [said + (few if share < ENOUGH else "") for said in covers(name, share)]
