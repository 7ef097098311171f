"""What is known of each outcome, how sure one can be of it, and its size and range in words.

How sure the words are is tied to numbers and to nothing else:

- *very clear*: the 95% range lies on one side of no change, and p is under 0.001
- *clear*: the 95% range lies on one side of no change (of a secondary outcome: also after Holm's adjustment)
- *little or no change*: the whole 95% range of the ratio lies within 10% of no change
- *cannot tell*: everything else
- *too rare*: too few people or events for an estimate to be shown
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from impact.disclosure import Released
from impact.errors import DisclosureError
from impact.pages.formats import (
    MISSING,
    adjusted,
    inside,
    label,
    listed,
    number,
    numeric,
    places,
    readers_units,
    require_released,
)

Strength = Literal["very clear", "clear", "little or no change", "cannot tell", "too rare"]
MEANING: dict[Strength, str] = {
    "very clear": "The whole range lies on one side of no change, by a wide margin.",
    "clear": "The whole range lies on one side of no change.",
    "little or no change": "The whole range lies within 10% of no change.",
    "cannot tell": "The range holds both a fall and a rise.",
    "too rare": "There are too few events to estimate an effect.",
}
WITHIN = 0.10
# A range whose far end is this many times its near end says more of the direction than of the size.
WIDE = 5
# On which scale the range lies on one side of no change, where it does so on one only.
SPLIT = {
    one: f"as a {one} the range lies on one side of no change, as a {other} it does not"
    for one, other in (("ratio", "difference"), ("difference", "ratio"))
}


@dataclass(frozen=True)
class Answer:
    """What is known of one outcome, in readers' units."""

    outcome: str
    strength: Strength
    p: float
    nominal: bool
    unit: str
    difference: tuple[float, float, float] | None
    percent: tuple[float, float, float] | None

    @property
    def name(self) -> str:
        """What readers call the outcome inside a sentence; a risk is that of people."""
        name = inside(label(self.outcome))
        return f"people with {name}" if self.unit == "per 100 people" else name

    @property
    def is_clear(self) -> bool:
        """Whether there is a change, and not by chance."""
        return self.strength in ("clear", "very clear")

    @property
    def fewer(self) -> bool:
        """Whether the best estimate is a fall."""
        return (self.difference or self.percent or (0.0,))[0] < 0

    @property
    def split(self) -> str:
        """The one scale whose range lies on one side of no change, where the other scale's does not."""
        out = {
            scale: triple[1] > 0 or triple[2] < 0
            for scale, triple in (("difference", self.difference), ("ratio", self.percent))
            if triple is not None
        }
        return next((scale for scale, leaves in out.items() if leaves), "") if not all(out.values()) else ""


def strengths(released: Released) -> dict[str, Strength]:
    """How sure one can be of the effect on each outcome, in the fixed words of this module."""
    return {answer.outcome: answer.strength for answer in answers(released)}


def answers(released: Released) -> list[Answer]:
    """Read the answer on each outcome from released effects, one effect an outcome; the first is primary."""
    if require_released(released).kind != "effects":
        raise DisclosureError(f"{released.name!r} is a released {released.kind}; these words need effects.")
    shown = readers_units(released.table)
    outcomes = list(shown["outcome"].unique())
    if shown.duplicated(["outcome", "scale"]).any() or not outcomes:
        raise DisclosureError(f"{released.name!r}: these words need one effect an outcome.")
    main = shown[shown["scale"] == main_scale(shown)].set_index("outcome")
    p = adjusted(numeric(main["p_value"].reindex(outcomes)).tolist())
    return [answer_of(shown[shown["outcome"] == name], p=one) for name, one in zip(outcomes, p, strict=True)]


def main_scale(shown: pd.DataFrame) -> str:
    """Return the scale whose p-values are told: differences, where there are any."""
    return "difference" if (shown["scale"] == "difference").any() else "log ratio"


def answer_of(rows: pd.DataFrame, *, p: float) -> Answer:
    """Read the answer on one outcome.

    Parameters
    ----------
    rows : DataFrame
        In readers' units, one row a scale.
    p : float
        The p-value, where there are several questions as it is adjusted for them.
    """
    by = rows.set_index("scale")
    difference, ratio = (_triple(by, scale) for scale in ("difference", "log ratio"))
    percent = None
    if ratio is not None:
        percent = (100 * (ratio[0] - 1), 100 * (ratio[1] - 1), 100 * (ratio[2] - 1))
    leaves_out = [t[1] > 0 or t[2] < 0 for t in (difference, percent) if t is not None]
    unit = str(by["unit"]["difference"]) if difference else ""
    strength = _strength(bool(leaves_out) and all(leaves_out), p, percent, bool(leaves_out))
    return Answer(str(rows["outcome"].iloc[0]), strength, p, all(leaves_out), unit, difference, percent)


def _triple(by_scale: pd.DataFrame, scale: str) -> tuple[float, float, float] | None:
    if scale not in by_scale.index:
        return None
    values = numeric(by_scale.loc[scale, ["estimate", "conf_low", "conf_high"]])
    return (float(values[0]), float(values[1]), float(values[2])) if np.isfinite(values).all() else None


def _strength(leaves_out: bool, p: float, percent: Any, known: bool) -> Strength:
    if not known:
        return "too rare"
    if leaves_out and p < 0.05:
        return "very clear" if p < 0.001 else "clear"
    if percent is not None and max(abs(percent[1]), abs(percent[2])) <= 100 * WITHIN:
        return "little or no change"
    return "cannot tell"


_EACH = {"per 100 people": "in every 100", "a person": "for each person"}


def size(a: Answer, things: str = "") -> str:
    """'about 58 fewer emergency admissions for every 1,000 people a year'."""
    triple, mark = (a.difference, "") if a.difference else (a.percent or (0.0, 0.0, 0.0), "%")
    said = about(triple[0], triple)
    if not said.strip("0."):
        return f"no more and no fewer {things}".strip()
    more = "fewer" if triple[0] < 0 else "more"
    return " ".join(filter(None, ["about", said + mark, more, things, per(a)]))


def per(a: Answer) -> str:
    """'for every 1,000 people a year', of a difference; nothing of a percentage."""
    return _EACH.get(a.unit, a.unit.replace("per 1,000", "for every 1,000")) if a.difference else ""


def sizes(several: Sequence[Answer]) -> str:
    """'about 41 fewer A&E attendances (5 to 77 fewer) and about 9 more ... for every 1,000 people a year'."""
    units = {per(a) for a in several}
    same = units.pop() if len(units) == 1 else ""
    said = [f"{size(a, a.name).removesuffix(same).strip()} ({range_of(a)})" for a in several]
    return f"{listed(said)} {same}".strip()


def range_of(a: Answer) -> str:
    """'14 to 102 fewer', '60 fewer to 36 more'; in per cent where that is what leaves the answer open."""
    triple, mark = (a.difference, "") if a.difference else (a.percent, "%")
    opens = a.percent is not None and a.percent[1] <= 0 <= a.percent[2]
    if a.strength == "little or no change" or (
        a.difference and opens and not a.difference[1] <= 0 <= a.difference[2]
    ):
        triple, mark = a.percent, "%"
    if triple is None:
        return MISSING
    low, high = (about(v, triple) + mark for v in triple[1:])
    if triple[2] < 0:
        return f"{high} to {low} fewer"
    return f"{low} to {high} more" if triple[1] > 0 else f"{low} fewer to {high} more"


def share(a: Answer) -> str:
    """'; 16% fewer', to stand behind a difference."""
    if a.percent is None or a.difference is None:
        return ""
    return f"; {abs(a.percent[0]):.0f}% {'fewer' if a.percent[0] < 0 else 'more'}"


def about(value: float, among: Sequence[float] = ()) -> str:
    """Without its sign, as tables have it: with the decimal places that suit the largest of those among."""
    # Rounded once: 17.45 is 17, as in the table, and not 18 by way of 17.5.
    return number(abs(value), places([float(f"{abs(v):.3g}") for v in (value, *among)]))
