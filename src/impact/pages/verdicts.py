"""Whether each check of the main result agrees with it, by fixed numbers.

What is called clear is a 95% range that leaves out no change.

- *The same answer* (one thing changed, or those who died, left or misremembered filled in): where the main
  result is clear, a check agrees if it is clear on the same side. It does not if its estimate is less than
  half the main one, or on the other side, and it is sure enough to say: its range is at most 1.5 times as
  wide as the main one, or leaves out the main estimate. Otherwise it is too unsure to say. Where the main
  result is not clear, a check disagrees if it is clear, its estimate lies outside the main range, and the
  main estimate outside its own.
- *No effect* (a pretended start, a service that support cannot change): it disagrees if p is under 0.05, over
  the number of such checks.
- *A hidden reason* (E-value, Rosenbaum's bounds), where the main result is clear: it passes from 1.25 times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from impact.disclosure import Released
from impact.errors import DisclosureError
from impact.pages.formats import inside, label, numeric, require_released

LEVEL = 0.05
HALF = 0.5
WIDER = 1.5
FRAGILE = 1.25
_ENDS = ("estimate", "conf_low", "conf_high")
Asks = Literal["same answer", "bears it", "no effect", "hidden reason"]


@dataclass(frozen=True)
class Verdict:
    """One check of the batch: what was changed, what it asks, and whether it agrees; None: it cannot say."""

    check: str
    changed: str
    asks: Asks
    agrees: bool | None
    row: int

    @property
    def minor(self) -> bool:
        """Whether it bars strong evidence only: it asks for more than the main result claims."""
        return self.asks in ("bears it", "hidden reason")


def verdicts(released: Released) -> list[Verdict]:
    """Judge each check of the batch but the planned analysis, in order.

    Parameters
    ----------
    released : Released
        Of ``interpret.checks``.

    Raises
    ------
    DisclosureError
        For anything else.
    """
    table = batch(released)  # As stored: ratios as logarithms, so that falls and rises go by one rule.
    main = table[table["check"] == "planned"]
    e, low, high = (float(numeric(main[c])[0]) for c in _ENDS)
    tests = int((table["asks"] == "no effect").sum())
    clear, found = low > 0 or high < 0, []
    for i, row in enumerate(table.to_dict("records")):
        if row["check"] == "planned":
            continue
        agrees: bool | None = None
        value, one, two = (float(numeric([row[c]])[0]) for c in _ENDS)
        own = one > 0 or two < 0
        if row["asks"] == "no effect":
            p = float(numeric([row["p_value"]])[0])
            agrees = None if np.isnan(p) else bool(p >= LEVEL / tests)
        elif row["asks"] == "hidden reason":
            strength = float(numeric([row["strength"]])[0])
            known = clear and not (row["withheld"] or (np.isnan(strength) and row["check"] == "e_value"))
            agrees = bool(strength >= FRAGILE) if known else None
        elif np.isfinite([e, value, one, two]).all():
            elsewhere = not one <= e <= two
            if not clear:
                agrees = not (own and elsewhere and not low <= value <= high)
            elif own and value * e > 0:
                agrees = True
            elif value / e < HALF and (elsewhere or two - one <= WIDER * (high - low)):
                agrees = False
        found.append(Verdict(str(row["check"]), changed(row), row["asks"], agrees, i))
    return found


def batch(released: Released) -> pd.DataFrame:
    """The checks as they were released, in order."""
    if require_released(released).method.get("shows") != "checks":
        raise DisclosureError(f"{released.name!r} holds no checks; release those of interpret.checks.")
    return released.table


def changed(row: Mapping[Any, Any]) -> str:
    """What was changed, in words for readers."""
    if row["check"] == "negative_control":
        return f"Its effect on {inside(label(row['outcome']))}, which support cannot change"
    return str(row["term"])
