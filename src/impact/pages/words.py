"""Sentences that follow from released numbers: the headline, what may be claimed, the words for a figure.

How sure the words are is tied to numbers and to nothing else:

- *very clear*: the 95% range leaves out no change, and p is under 0.001
- *clear*: the 95% range leaves out no change (of a secondary outcome: also after Holm's adjustment)
- *little or no change*: the whole 95% range of the ratio lies within 10% of no change
- *cannot tell*: everything else
- *too rare*: too few people or events for an estimate to be shown
"""

from __future__ import annotations

import html
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
    p_value,
    places,
    rate_unit,
    readers_units,
    require_released,
)

Strength = Literal["very clear", "clear", "little or no change", "cannot tell", "too rare"]
MEANING: dict[Strength, str] = {
    "very clear": "The 95% range leaves out no change by a wide margin.",
    "clear": "The 95% range leaves out no change.",
    "little or no change": "The whole 95% range lies within 10% of no change.",
    "cannot tell": "The 95% range holds both a fall and a rise.",
    "too rare": "There are too few events to estimate an effect.",
}
WITHIN = 0.10
# A range whose far end is this many times its near end says more of the direction than of the size.
WIDE = 5


@dataclass(frozen=True)
class Statement:
    """Sentences, with the released results they were made from.

    Parameters
    ----------
    role : 'headline', 'claims' or 'sentence'
    parts : sequence of (what it is, sentences)
    sources : sequence of Released
    """

    role: Literal["headline", "claims", "sentence"]
    parts: tuple[tuple[str, tuple[str, ...]], ...]
    sources: tuple[Released, ...]

    def __post_init__(self) -> None:
        if not self.sources:
            raise DisclosureError("words: a statement needs the released result it was made from.")
        for source in self.sources:
            require_released(source)

    @property
    def text(self) -> str:
        """All sentences as plain text."""
        return "\n".join(" ".join(sentences) for _, sentences in self.parts)

    @property
    def html(self) -> str:
        """The sentences as HTML; whatever stood in the data is shown as text."""
        if self.role == "claims":
            return f'<div class="two">{"".join(_box(*part) for part in self.parts)}</div>'
        paragraphs = "".join(_paragraph(*part) for part in self.parts)
        if self.role == "headline":
            return f'<section class="answer" aria-label="The answer">{paragraphs}</section>'
        return paragraphs


def _box(title: str, sentences: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
    kind = "box not" if "not" in title else "box"
    return f'<div class="{kind}"><p class="boxhead">{html.escape(title)}</p><ul>{items}</ul></div>'


def _paragraph(what: str, sentences: Sequence[str]) -> str:
    said = [html.escape(sentence) for sentence in sentences]
    if what == "list" and len(said) > 1:
        return f"<ul>{''.join(f'<li>{s}</li>' for s in said)}</ul>"
    if what == "sure":
        said[0] = f"<b>{said[0]}</b>"
    return f'<p class="{what}">{" ".join(said)}</p>'


@dataclass(frozen=True)
class _Answer:
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
        return inside(label(self.outcome))

    @property
    def fewer(self) -> bool:
        return (self.difference or self.percent or (0.0,))[0] < 0


def headline(released: Released) -> Statement:
    """Say in plain words what a study found, how large it is and how sure one can be.

    Parameters
    ----------
    released : Released
        Of ``Effects`` with one effect an outcome; the first outcome is the primary one.

    Returns
    -------
    Statement
    """
    first, *others = _answers(released)
    parts: list[tuple[str, tuple[str, ...]]] = [("lead", (_answer(first),))]
    if others:
        parts.append(("others", tuple(_others(first, others))))
    parts.append(("sure", tuple(_how_sure(first, released, len(others)))))
    return Statement("headline", tuple(parts), (released,))


def strengths(released: Released) -> dict[str, Strength]:
    """How sure one can be of the effect on each outcome, in the fixed words of this module."""
    return {answer.outcome: answer.strength for answer in _answers(released)}


def _answers(released: Released) -> list[_Answer]:
    if require_released(released).kind != "effects":
        raise DisclosureError(f"{released.name!r} is a released {released.kind}; these words need effects.")
    shown = readers_units(released.table)
    outcomes = list(shown["outcome"].unique())
    if shown.duplicated(["outcome", "scale"]).any() or not outcomes:
        raise DisclosureError(f"{released.name!r}: these words need one effect an outcome.")
    by = {scale: shown[shown["scale"] == scale].set_index("outcome") for scale in ("difference", "log ratio")}
    main = by["difference"] if len(by["difference"]) else by["log ratio"]
    p = adjusted(numeric(main["p_value"].reindex(outcomes)).tolist())
    found = []
    for outcome, p_adjusted in zip(outcomes, p, strict=True):
        difference, ratio = (_triple(by[s], outcome) for s in ("difference", "log ratio"))
        percent = None
        if ratio is not None:
            percent = (100 * (ratio[0] - 1), 100 * (ratio[1] - 1), 100 * (ratio[2] - 1))
        leaves_out = [t[1] > 0 or t[2] < 0 for t in (difference, percent) if t is not None]
        unit = by["difference"]["unit"].get(outcome, "") if difference else ""
        strength = _strength(bool(leaves_out) and all(leaves_out), p_adjusted, percent, bool(leaves_out))
        found.append(
            _Answer(str(outcome), strength, p_adjusted, all(leaves_out), str(unit), difference, percent)
        )
    return found


def _triple(table: pd.DataFrame, outcome: Any) -> tuple[float, float, float] | None:
    if outcome not in table.index:
        return None
    values = numeric(table.loc[outcome, ["estimate", "conf_low", "conf_high"]])
    return (float(values[0]), float(values[1]), float(values[2])) if np.isfinite(values).all() else None


def _strength(leaves_out: bool, p: float, percent: Any, known: bool) -> Strength:
    if not known:
        return "too rare"
    if leaves_out and p < 0.05:
        return "very clear" if p < 0.001 else "clear"
    if percent is not None and max(abs(percent[1]), abs(percent[2])) <= 100 * WITHIN:
        return "little or no change"
    return "cannot tell"


def _answer(a: _Answer) -> str:
    if a.strength == "too rare":
        return f"There were too few {a.name} to say anything about the effect of support on them."
    if a.strength == "cannot tell":
        return (
            f"The study cannot tell whether support changed {a.name}: the best estimate is {_size(a)}, and "
            f"the data fit anything from {_range(a)}."
        )
    if a.strength == "little or no change":
        return f"Support made little or no difference to {a.name} (95% range {_range(a)})."
    return f"With support there were {_size(a, a.name)} than without it (95% range {_range(a)}{_share(a)})."


def _size(a: _Answer, things: str = "") -> str:
    """'about 58 fewer emergency admissions for every 1,000 people a year'."""
    triple, mark = (a.difference, "") if a.difference else (a.percent or (0.0, 0.0, 0.0), "%")
    said = _about(triple[0], triple)
    if not said.strip("0."):
        return f"no more and no fewer {things}".strip()
    per = a.unit.replace("per 1,000 people", "for every 1,000 people") if a.difference else ""
    more = "fewer" if triple[0] < 0 else "more"
    return " ".join(filter(None, ["about", said + mark, more, things, per]))


def _range(a: _Answer) -> str:
    """'14 to 102 fewer', '60 fewer to 36 more'; in per cent where that is what leaves the answer open."""
    triple, mark = (a.difference, "") if a.difference else (a.percent, "%")
    opens = a.percent is not None and a.percent[1] <= 0 <= a.percent[2]
    if a.strength == "little or no change" or (
        a.difference and opens and not a.difference[1] <= 0 <= a.difference[2]
    ):
        triple, mark = a.percent, "%"
    if triple is None:
        return MISSING
    low, high = (_about(v, triple) + mark for v in triple[1:])
    if triple[2] < 0:
        return f"{high} to {low} fewer"
    return f"{low} to {high} more" if triple[1] > 0 else f"{low} fewer to {high} more"


def _share(a: _Answer) -> str:
    if a.percent is None or a.difference is None:
        return ""
    return f"; {abs(a.percent[0]):.0f}% {'fewer' if a.percent[0] < 0 else 'more'}"


def _about(value: float, among: Sequence[float] = ()) -> str:
    """Three figures at most, with the decimal places of the largest among them: tables have exact values."""
    rounded = float(f"{abs(value):.3g}")
    return number(rounded, places([rounded, *among]))


def _others(first: _Answer, others: Sequence[_Answer]) -> list[str]:
    said = [_answer(a) for a in others if a.strength in ("very clear", "clear")]
    if first.strength in ("very clear", "clear"):
        said = [s.replace("With support there were", "There were also", 1) for s in said]
        said = [s.replace(" than without it", "", 1) for s in said]
    several = [a for a in others if a.strength == "cannot tell" and a.nominal]
    groups = (
        ("For {} the study cannot tell a fall from a rise.", "cannot tell", False),
        (
            "For {} the range leaves out no change, but no longer once several services are allowed for.",
            "cannot tell",
            True,
        ),
        ("It shows little or no change in {}.", "little or no change", None),
        ("There were too few {} to say anything.", "too rare", None),
    )
    for sentence, strength, nominal in groups:
        names = [a.name for a in others if a.strength == strength and nominal in (None, a in several)]
        if names:
            said.append(sentence.format(listed(names)))
    return said


def _how_sure(first: _Answer, released: Released, others: int) -> list[str]:
    chance = "" if first.strength == "too rare" or np.isnan(first.p) else f" (p {_p(first.p)})"
    said = [f"How sure: {first.strength}.", MEANING[first.strength][:-1] + chance + "."]
    if others:
        said.append(
            f"{label(first.outcome)} were named first, as the main result; the "
            f"p-value{'s' if others > 1 else ''} of the other{f' {others}' if others > 1 else ''} "
            f"{'are' if others > 1 else 'is'} adjusted for being several (Holm)."
        )
    triple = first.difference or first.percent
    if first.strength in ("clear", "very clear") and triple is not None:
        near, far = sorted(abs(v) for v in triple[1:])
        if far > WIDE * near:
            said.insert(2, "Its size is much less sure than its direction.")
    clusters = numeric(released.table["clusters"])[:1] if "clusters" in released.table else np.array([])
    if len(clusters) and clusters[0] < 20:
        said.append(f"Only {number(clusters[0])} groups stand behind this, so the range may be too narrow.")
    return said


def _p(value: float) -> str:
    return p_value(value) if value < 0.001 else f"= {p_value(value)}"


def claims(released: Released, *, assignment: Literal["observed", "randomised"] = "observed") -> Statement:
    """List what may be said on the strength of the released effects, and what may not."""
    answers = _answers(released)
    may, may_not = [], []
    for a in answers:
        if a.strength in ("very clear", "clear"):
            may.append(
                f"“With support there were {_size(a, a.name)} than among similar people without it "
                f"(95% range {_range(a)}).”"
            )
        elif a.strength == "little or no change":
            may.append(f"“Support made little or no difference to {a.name} (95% range {_range(a)}).”")
    open_ = [a for a in answers if a.strength == "cannot tell" and not a.nominal]
    if len(open_) == 1:
        a = open_[0]
        may.append(f"“We cannot tell whether support changed {a.name}: from {_range(a)}{_per(a)}.”")
    elif open_:
        may.append(f"“We found no clear change in {listed([a.name for a in open_])}.”")
    unclear = [a.name for a in answers if a.strength in ("cannot tell", "too rare")]
    if unclear:
        may_not.append(
            f"“Support had no effect on {listed(unclear)}”, or that it had one: the study cannot tell."
        )
    first = answers[0]
    may_not += [
        f"“{label(first.outcome)} fell by so much since support began”, from people with support alone: "
        "people are offered support when they are unwell, and most get better without it.",
        "“It saved the NHS this much money”: contacts that did not happen free time and beds, not cash.",
        "“It works for everyone, everywhere”: this holds for the people, place and months studied.",
    ]
    if assignment != "randomised":
        may_not.append(
            "“This proves that support was the cause”: support was not given by lot, so part of the "
            "difference may come from who was offered it and who accepted."
        )
    may = may or ["“There were too few events to say anything yet.”"]
    return Statement(
        "claims", (("May be said", tuple(may)), ("May not be said", tuple(may_not))), (released,)
    )


def _per(a: _Answer) -> str:
    return f" {a.unit}" if a.difference and a.unit else ""


def naive(released: Released) -> Statement:
    """Set the change among people with support beside the comparison's, and say why it is not the effect.

    Parameters
    ----------
    released : Released
        Of ``interpret.naive``: rates before and after in both arms. Where one arm's change is withheld, so is
        the other's.
    """
    if require_released(released).kind != "summary" or "supported_change_percent" not in released.table:
        raise DisclosureError(f"{released.name!r}: these words need the before and after of both arms.")
    if not released.method.get("has_before", True):
        said = "These data have no time before support began, so there is no before and after to compare."
        return Statement("sentence", (("list", (said,)),), (released,))
    unit, factor = rate_unit(released.method)
    lines = []
    for row in released.table.to_dict("records")[:1]:
        before, after, c_before, c_after = (
            factor * float(numeric([row[f"{arm}_{when}"]])[0])
            for arm in ("supported", "control")
            for when in ("before", "after")
        )
        name = label(row["outcome"])
        if not min(before, c_before) > 0 or np.isnan([after, c_after]).any():
            lines.append(f"{name}: too few to show a change before and after.")
            continue
        same = np.sign(after - before) == np.sign(c_after - c_before)
        lines.append(
            f"{name} among people with support {_moved(before, after)} {unit}. Among the "
            f"comparison, who had no support, they {'also ' if same else ''}{_moved(c_before, c_after)}."
        )
    why = (
        "The change among people with support alone is not the effect of support: people are offered it when "
        "they are unwell, and most people who are unwell get better."
    )
    return Statement("sentence", (("list", tuple(lines)), ("why", (why,))), (released,))


def _moved(before: float, after: float) -> str:
    """'fell by 37%, from 341 to 214'."""
    change = 100 * (after / before - 1)
    verb = (
        "stayed alike" if abs(change) < 0.5 else f"{'fell' if change < 0 else 'rose'} by {abs(change):.0f}%"
    )
    return f"{verb}, from {_about(before, [after])} to {_about(after, [before])}"
