"""Sentences that follow from released numbers: the headline, what may be claimed, the words for a figure.

How sure the words are is tied to numbers and to nothing else: see ``answers`` and ``evidence``.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from impact.disclosure import Released
from impact.errors import DisclosureError, ParameterError
from impact.pages.answers import MEANING, WIDE, Answer, about, answers, range_of, share, size
from impact.pages.called import DID, SUBJECT, THAN, about_whom, called
from impact.pages.evidence import DOTS, FEW_GROUPS, Evidence, checks_on, disagree, evidence, passed
from impact.pages.formats import (
    label,
    listed,
    notes,
    number,
    numeric,
    p_value,
    rate_unit,
    require_released,
    who,
)


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
        return "\n".join(" ".join(filter(None, sentences)) for _, sentences in self.parts)

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
        dots = DOTS[cast("Evidence", sentences[0].rstrip("."))]
        said[0] = f'<span aria-hidden="true">{dots}</span> <b>{said[0]}</b>'
    return f'<p class="{what}">{" ".join(filter(None, said))}</p>'


def headline(
    released: Released,
    page: Mapping[str, Released] | None = None,
    *,
    assignment: Literal["observed", "randomised"] = "observed",
) -> Statement:
    """Say in plain words what a study found, how large it is and how strong the evidence is.

    Parameters
    ----------
    released : Released
        Of ``Effects`` with one effect an outcome; the first outcome is the primary one.
    page : mapping of name to Released, optional
        Everything the page shows; the checks among it count for the evidence.
    assignment : 'observed' or 'randomised'
        Whether support was given by lot.

    Returns
    -------
    Statement
    """
    first, *others = answers(released)
    checks = checks_on(page or {})
    parts: list[tuple[str, tuple[str, ...]]] = [("lead", (_answer(first),))]
    if others:
        parts.append(("others", tuple(_others(first, others))))
    if whom := about_whom(released):
        parts.append(("why", (whom,)))
    groups = float(numeric(released.table.get("clusters", []))[:1].min(initial=np.inf))
    word = evidence(first, checks, assignment=assignment, groups=groups)
    parts.append(("sure", (f"{word}.", *_how_sure(first, groups, len(others)), passed(checks))))
    return Statement("headline", tuple(parts), (released,))


def _answer(a: Answer) -> str:
    if a.strength == "too rare":
        return f"There were too few {a.name} to say anything about the effect of support on them."
    if a.strength == "cannot tell":
        return (
            f"The study cannot tell whether support changed {a.name}: the best estimate is {size(a)}, and "
            f"the data fit anything from {range_of(a)}."
        )
    if a.strength == "little or no change":
        return f"Support made little or no difference to {a.name} (95% range {range_of(a)})."
    return f"With support there were {size(a, a.name)} than without it (95% range {range_of(a)}{share(a)})."


def _others(first: Answer, others: Sequence[Answer]) -> list[str]:
    said = [_answer(a) for a in others if a.strength in ("very clear", "clear")]
    if first.strength in ("very clear", "clear"):
        said = [s.replace("With support there were", "There were also", 1) for s in said]
        said = [s.replace(" than without it", "", 1) for s in said]
    groups: tuple[tuple[str, Callable[[Answer], bool]], ...] = (
        (
            "For {} the study cannot tell a fall from a rise.",
            lambda a: a.strength == "cannot tell" and not a.nominal and not a.split,
        ),
        *(
            (
                f"For {{}}, {_SPLIT[scale]}.",
                lambda a, scale=scale: a.strength == "cannot tell" and a.split == scale,
            )
            for scale in _SPLIT
        ),
        (
            "For {} the range lies on one side of no change, but not once several services are allowed for.",
            lambda a: a.strength == "cannot tell" and a.nominal,
        ),
        ("It shows little or no change in {}.", lambda a: a.strength == "little or no change"),
        ("There were too few {} to say anything.", lambda a: a.strength == "too rare"),
    )
    for sentence, belongs in groups:
        names = [a.name for a in others if belongs(a)]
        if names:
            said.append(sentence.format(listed(names)))
    return said


# On which scale the range lies on one side of no change, where it does so on one only.
_SPLIT = {
    one: f"as a {one} the range lies on one side of no change, as a {other} it does not; so the study "
    "does not count it as clear"
    for one, other in (("ratio", "difference"), ("difference", "ratio"))
}


def _how_sure(first: Answer, groups: float, others: int) -> list[str]:
    chance = "" if first.strength == "too rare" or np.isnan(first.p) else f" (p {_p(first.p)})"
    meaning = MEANING[first.strength]
    if first.strength == "cannot tell" and first.split:
        meaning = f"{_SPLIT[first.split][:1].upper()}{_SPLIT[first.split][1:]}."
    said = [meaning[:-1] + chance + "."]
    triple = first.difference or first.percent
    if first.strength in ("clear", "very clear") and triple is not None:
        near, far = sorted(abs(v) for v in triple[1:])
        if far > WIDE * near:
            said.append("Its size is much less sure than its direction.")
    if others:
        said.append(
            f"{label(first.outcome)} were named first, as the main result; the "
            f"p-value{'s' if others > 1 else ''} of the other{f' {others}' if others > 1 else ''} "
            f"{'are' if others > 1 else 'is'} adjusted for being several (Holm)."
        )
    if groups < FEW_GROUPS:
        said.append(f"Only {number(groups)} groups stand behind this, so the range may be too narrow.")
    return said


def _p(value: float) -> str:
    return p_value(value) if value < 0.001 else f"= {p_value(value)}"


def claims(released: Released, *, assignment: Literal["observed", "randomised"] = "observed") -> Statement:
    """List what may be said on the strength of the released effects, and what may not.

    Parameters
    ----------
    released : Released
        Of ``Effects`` with one effect an outcome; the first outcome is the primary one.
    assignment : 'observed' or 'randomised'
        Whether support was given by lot.
    """
    found = answers(released)
    than = THAN.get(called(released), "there would have been without it")
    may, may_not = [], []
    for a in found:
        if a.strength in ("very clear", "clear"):
            said = f"With support there were {size(a, a.name)} than {than} (95% range {range_of(a)})."
            may.append(f"“{said}”")
        elif a.strength == "little or no change":
            may.append(f"“Support made little or no difference to {a.name} (95% range {range_of(a)}).”")
    open_ = [a for a in found if a.strength == "cannot tell" and not a.nominal]
    if len(open_) == 1:
        a = open_[0]
        may.append(f"“We cannot tell whether support changed {a.name}: from {range_of(a)}{_per(a)}.”")
    elif open_:
        may.append(f"“We found no clear change in {listed([a.name for a in open_])}.”")
    unclear = [a.name for a in found if a.strength in ("cannot tell", "too rare")]
    if unclear:
        may_not.append(
            f"“Support had no effect on {listed(unclear)}”, or that it had one: the study cannot tell."
        )
    first, those = found[0], who(released)
    if assignment != "randomised" and those == "people" and first.fewer:
        may_not.append(
            f"“{label(first.outcome)} fell by so much since support began”, from people with support alone: "
            "people are offered support when they are unwell, and most get better without it."
        )
    elif assignment != "randomised" or called(released) == DID:
        may_not.append(
            f"“{label(first.outcome)} changed by so much since support began”, from {those} with support "
            "alone: it would have changed anyway."
        )
    may_not += [
        "“It saved so much money”: contacts that did not happen free time and beds, not cash."
        if first.fewer
        else "“It cost so much money”: contacts are counted here, not cash.",
        f"“It works for everyone, everywhere”: this holds for the {those}, place and months studied.",
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


def beside(released: Mapping[str, Released], main: str, other: str) -> Statement:
    """Set a second method's answer beside the main one's, and say where the two disagree.

    They disagree on a service if one is clear and the other is not, or if their ranges do not overlap.

    Parameters
    ----------
    released : mapping of name to Released
        Each of ``Effects`` with one effect an outcome; the first outcome is the primary one.
    main, other : str
        Names in it; without the other one, the statement says that no second method was asked for.

    Raises
    ------
    ParameterError
        Where there is no ``main``.
    """
    if main not in released:
        raise ParameterError(
            f"main: got {main!r}; released has {', '.join(map(repr, released)) or 'nothing'}."
        )
    if other not in released:
        return Statement("sentence", (("list", ("No second method was asked for.",)),), (released[main],))
    found = {a.outcome: a for a in answers(released[other])}
    pairs = [(a, found[a.outcome]) for a in answers(released[main]) if a.outcome in found]
    names = called(released[main]), called(released[other])
    said = [_second(names[1], pairs[0][1])] if pairs else ["The second method has no service in common."]
    doubts = [doubt for a, b in pairs if (doubt := _doubt(a, b, names))]
    if any("too rare" not in (a.strength, b.strength) for a, b in pairs):
        said += doubts or ["Within their ranges the two methods agree."]
    return Statement("sentence", (("list", tuple(said)),), (released[main], released[other]))


def _second(method: str, a: Answer) -> str:
    subject = SUBJECT.get(method, method[:1].upper() + method[1:])
    if a.strength == "too rare":
        return f"{subject} has too few {a.name} to say anything."
    return f"{subject} gives {size(a, a.name)} ({range_of(a)})."


def _doubt(a: Answer, b: Answer, names: tuple[str, str]) -> str:
    """Say that two methods disagree on a service; nothing where they do not."""
    why = disagree(a, b, names)
    return f"On {a.name} the two methods disagree: {why}. Read this result with care." if why else ""


def _per(a: Answer) -> str:
    return f" {a.unit}" if a.difference and a.unit else ""


_UNWELL = (
    "The change among people with support alone is not the effect of support: people are offered it when "
    "they are unwell, and most people who are unwell get better."
)
_ANYWAY = "it would have changed anyway, as it did in the comparison."


def pretrend(released: Released) -> Statement:
    """Say whether the groups already moved apart before support, and what that is worth.

    Parameters
    ----------
    released : Released
        Of ``Test``: the pre-trend test.
    """
    if require_released(released).kind != "test":
        raise DisclosureError(f"{released.name!r} is a released {released.kind}; these words need a test.")
    p = float(numeric(released.table["p_value"])[0])
    if np.isnan(p):
        said = " ".join(
            ["Whether the groups moved alike before support could not be tested.", *notes(released)]
        )
    elif p < 0.05:
        said = (
            f"Before support the groups did not move alike (test of all points together, p {_p(p)}): the "
            "estimate may show what was already under way. Read the ranges below in place of it."
        )
    else:
        said = (
            f"Before support the groups moved alike as far as these data can tell (test of all points "
            f"together, p {_p(p)}). That is no proof: a small study overlooks much."
        )
    return Statement("sentence", (("list", (said,)),), (released,))


def naive(released: Released, *, assignment: Literal["observed", "randomised"] = "observed") -> Statement:
    """Set the change among people with support beside the comparison's, and say why it is not the effect.

    Parameters
    ----------
    released : Released
        Of ``interpret.naive``: rates before and after in both arms. Where one arm's change is withheld, so is
        the other's.
    assignment : 'observed' or 'randomised'
        Whether support was given by lot: then nobody was offered it for being unwell.
    """
    if require_released(released).kind != "summary" or "supported_change_percent" not in released.table:
        raise DisclosureError(f"{released.name!r}: these words need the before and after of both arms.")
    if not released.method.get("has_before", True):
        said = "These data have no time before support began, so there is no before and after to compare."
        return Statement("sentence", (("list", (said,)),), (released,))
    unit, factor = rate_unit(released.method)
    those = who(released)
    lines: list[str] = []
    why: tuple[str, ...] = ()
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
            f"{name} among {those} with support {_moved(before, after)} {unit}. Among the "
            f"comparison, who had no support, they {'also ' if same else ''}{_moved(c_before, c_after)}."
        )
        unwell = after < before and those == "people" and assignment != "randomised"
        why = (
            _UNWELL if unwell else f"The change among those with support alone is not the effect: {_ANYWAY}",
        )
    parts = (("list", tuple(lines)), *((("why", why),) if why else ()))
    return Statement("sentence", parts, (released,))


def _moved(before: float, after: float) -> str:
    """'fell by 37%, from 341 to 214'."""
    change = 100 * (after / before - 1)
    verb = (
        "stayed alike" if abs(change) < 0.5 else f"{'fell' if change < 0 else 'rose'} by {abs(change):.0f}%"
    )
    return f"{verb}, from {about(before, [after])} to {about(after, [before])}"
