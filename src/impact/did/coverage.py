"""How much of the supported person-time the effects speak of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from impact.data.panel import Panel
from impact.did.cells import Cell


def coverage(panel: Panel, name: str, cells: Sequence[Cell]) -> list[str]:
    """Say, where it is not all, how much of the supported person-time is in these cells."""
    time = panel.weights[:, None] * panel.exposure[name]
    after = np.arange(len(panel.periods)) >= panel.start[:, None]
    covered = sum(time[panel.start == c.group, c.period].sum() for c in cells if c.period >= c.group)
    share = float(covered / time[after].sum())
    return [] if share > 0.9995 else [f"{name}: the effects cover {share:.1%} of the supported person-time."]
