"""Rows of the table of checks: what was changed, and what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from impact.errors import DataError, DesignError
from impact.results import Bounds, Effects

# What a check should find if the main result is right: the same answer; the same even if those who were lost,
# or whose memory errs, differed as much as is allowed; no effect; or that a hidden reason had to be strong.
Asks = Literal["same answer", "bears it", "no effect", "hidden reason"]
SHOWS = "checks"
PLANNED = "planned"
# Fewer people or events than this in what was left out say more of them than of the result.
ENOUGH = 10
_ESTIMATES = ("estimate", "conf_low", "conf_high", "conf_level", "p_value", "null_value")


@dataclass
class Rows:
    """The checks made so far of one outcome, and those that these data do not admit, with the reason.

    They are shown on one scale: as ratios, which give away neither the events nor the time behind them, where
    there are any.
    """

    outcome: str
    scale: str
    found: list[dict[str, Any]] = field(default_factory=list)
    not_made: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, planned: Effects, outcome: str) -> Rows:
        """Begin with the analysis as planned."""
        ratio = (planned.labels["scale"] == "log ratio").any()
        rows = cls(outcome, "log ratio" if ratio else "difference")
        rows.add(PLANNED, "As planned", planned)
        return rows

    def add(
        self,
        check: str,
        changed: str,
        effects: Effects,
        *,
        asks: Asks = "same answer",
        left_out: Iterable[int] = (),
    ) -> None:
        """Add an estimate on the scale of the table.

        ``left_out`` are the people and events by which it differs from the main result: set beside that, it
        tells of them, so that the gate must find them enough as well.
        """
        table = effects.table
        at = np.flatnonzero((table["scale"] == self.scale).to_numpy())
        if not len(at):
            self.without(changed, f"it gives no {'ratio' if self.scale == 'log ratio' else 'difference'}")
            return
        row = table.iloc[int(at[0])]
        shown = effects.select(effects.labels["scale"].isin(["difference", "log ratio", "events avoided"]))
        behind = shown.counts.iloc[int(at[0])]
        self._append(
            check, changed, asks, row["outcome"], {k: row[k] for k in ("scale", "unit", *_ESTIMATES)},
            fewest=fewest(behind, left_out),
        )  # fmt: skip

    def attempt(self, check: str, changed: str, make: Callable[[], Effects], **more: Any) -> None:
        """Add what an analysis finds; where these data do not admit it, say so."""
        try:
            effects = make()
        except (DataError, DesignError):
            self.without(changed, "these data do not admit it")
            return
        self.add(check, changed, effects, **more)

    def add_strength(self, check: str, changed: str, bounds: Bounds) -> None:
        """Add how strong a hidden reason would have to be, of the first row of bounds."""
        row, behind = bounds.table.iloc[0], bounds.counts.iloc[0]
        said = {"scale": "", "unit": "times", "strength": row["breakdown"]}
        if check == "e_value":
            said["strength_of_estimate"] = row["e_value"]
        self._append(check, changed, "hidden reason", self.outcome, said, fewest=fewest(behind))

    def without(self, changed: str, why: str) -> None:
        """Note a check that these data do not admit."""
        self.not_made.append(f"{changed}: {why}")

    def _append(
        self, check: str, changed: str, asks: Asks, outcome: Any, said: Mapping[str, Any], *, fewest: int
    ) -> None:
        row = {"outcome": outcome, "check": check, "term": changed, "asks": asks, **said}
        self.found.append({**row, "fewest": fewest})

    def bounds(self, method: Mapping[str, Any], most: Sequence[str] = ()) -> Bounds:
        """Return the table; with each check go only the fewest people or events that it could tell of."""
        names = ["outcome", "check", "term", "asks", "scale", "unit", *_ESTIMATES]
        names += ["strength", "strength_of_estimate"]
        found = sorted(self.found, key=lambda row: get_args(Asks).index(row["asks"]))
        table = pd.DataFrame(found).reindex(columns=[*names, "fewest"])
        notes = [*most, *self.notes]
        if self.not_made:
            notes.append(f"Not made: {'; '.join(self.not_made)}.")
        said = {"shows": SHOWS, "outcome": self.outcome, "notes": notes, "seed": None}
        kept = {k: method[k] for k in ("estimator", "estimand", "matching", "control") if k in method}
        return Bounds(table[names], {**kept, **said}, table[["fewest"]])


def if_lost(supported: float, control: float) -> str:
    """Say what those who died or left are taken to have used, with support and without.

    Examples
    --------
    >>> if_lost(0, 2)
    'If those who died or left had used nothing with support, and twice as much as others without it'
    """
    with_it, without = (_times(v) for v in (supported, control))
    return f"If those who died or left had used {with_it} with support, and {without} without it"


def _times(value: float) -> str:
    words = {0.0: "nothing", 1.0: "as much as others", 2.0: "twice as much as others"}
    return words.get(value, f"{value:g} times as much as others")


def fewest(counts: pd.Series, left_out: Iterable[int] = ()) -> int:
    """Return the smallest number of people or events that an estimate could give away.

    Examples
    --------
    >>> counts = pd.Series({"persons": 300, "treated": 100, "events": 40, "clusters": 12})
    >>> fewest(counts), fewest(counts, [30, 9])
    (40, 9)
    """
    known = [int(counts[c]) for c in ("persons", "treated", "events", "fewest") if c in counts]
    if {"persons", "treated"} <= set(counts.index) and counts["persons"] > counts["treated"]:
        known.append(int(counts["persons"] - counts["treated"]))
    return min([*known, *left_out])
