"""The full matrix that some methods need: everyone at risk in every period."""

from __future__ import annotations

from collections.abc import Sequence

from impact.data.panel import Panel
from impact.did.design import people
from impact.errors import DesignError


def check_balanced(panel: Panel, names: Sequence[str], method: str) -> None:
    """Refuse a panel with holes, and say how many people have them.

    Raises
    ------
    DesignError
        If anyone is not at risk in some period.
    """
    for name in names:
        holes = panel.exposure[name] <= 0
        if holes.any():
            raise DesignError(
                f"outcome={name!r}: {method} needs everyone at risk in every period, but "
                f"{people(int(holes.any(1).sum()))} of {panel.n:,} are not ({holes.mean():.1%} of all rows). "
                "Use imputation or etwfe, which take people for the time they were observed; or build the "
                "panel of sites rather than people."
            )
