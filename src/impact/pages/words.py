"""Sentences that follow from released numbers: the headline, what may be claimed, the words for a figure.

How sure the words are is tied to numbers and to nothing else: see ``answers`` and ``evidence``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from impact.disclosure import Released
from impact.errors import DisclosureError, ParameterError
from impact.interpret.matched_on_use import NO_EVIDENCE
from impact.pages import SEAL, money, plan
from impact.pages.answers import MEANING, SPLIT, WIDE, Answer, answers, range_of, share, size, sizes
from impact.pages.called import DID, SUBJECT, THAN, about_whom, called
from impact.pages.evidence import FEW_GROUPS, checks_on, disagree, evidence, passed
from impact.pages.formats import (
    label,
    listed,
    notes,
    number,
    numeric,
    p_value,
    require_released,
    who,
)
from impact.pages.spoken_against import not_claimed
from impact.pages.statement import Statement


def headline(
    released: Released,
    page: Mapping[str, Released] | None = None,
    *,
    assignment: Literal["observed", "randomised"] = "observed",
    support: str = "",
) -> Statement:
    """Say in plain words what a study found, how large it is and how strong the evidence is.

    Parameters
    ----------
    released : Released
        Of ``Effects`` with one effect an outcome; the first outcome is the primary one.
    page : mapping of name to Released, optional
        Everything the page shows; the checks among it count for the evidence, and so does whether the study
        kept to its plan.
    assignment : 'observed' or 'randomised'
        Whether support was given by lot.
    support : str
        What support was, in a few words such as 'free care': said where it is first named.

    Returns
    -------
    Statement
    """
    first, *others = answers(released)
    checks, planned = checks_on(page or {}), plan.weighed(page or {})
    parts: list[tuple[str, tuple[str, ...]]] = [("lead", (_named(_answer(first), support),))]
    if others:
        parts.append(("others", tuple(_others(first, others))))
    if whom := about_whom(released):
        parts.append(("why", (whom,)))
    groups = float(numeric(released.table.get("clusters", []))[:1].min(initial=np.inf))
    word = evidence(first, (*checks, *planned), assignment=assignment, groups=groups)
    kept = (check.said for check in planned)
    parts.append(("sure", (f"{word}.", *_how_sure(first, groups), passed(checks), *kept, _SCALE)))
    return Statement("headline", tuple(parts), (released,), SEAL)


_SCALE = "The scale: inconclusive, weak, moderate, strong."


def _named(said: str, support: str) -> str:
    """Say what support was where a sentence first speaks of it: 'With support (free care) there were'."""
    words = f" ({support})" if support else ""
    return re.sub(r"\bsupport\b", lambda found: found[0] + words, said, count=1, flags=re.IGNORECASE)


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
    clear = [a for a in others if a.is_clear]
    said = [_answer(a) for a in clear]
    if len(clear) > 1:
        said = [f"With support there were {sizes(clear)} than without it."]
    if first.is_clear:
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
        *(
            (
                f"There may have been {more} {{}}, but it may be chance, as several services were looked at.",
                lambda a, fewer=fewer: a.strength == "cannot tell" and a.nominal and a.fewer == fewer,
            )
            for fewer, more in ((True, "fewer"), (False, "more"))
        ),
        ("The study shows little or no change in {}.", lambda a: a.strength == "little or no change"),
        ("There were too few {} to say anything.", lambda a: a.strength == "too rare"),
    )
    for sentence, belongs in groups:
        names = [a.name for a in others if belongs(a)]
        if names:
            said.append(sentence.format(listed(names)))
    return said


_SPLIT = {scale: f"{said}; so the study does not count it as clear" for scale, said in SPLIT.items()}


def _how_sure(first: Answer, groups: float) -> list[str]:
    meaning = MEANING[first.strength]
    if first.strength == "cannot tell" and first.split:
        meaning = f"{_SPLIT[first.split][:1].upper()}{_SPLIT[first.split][1:]}."
    said = [meaning]
    triple = first.difference or first.percent
    if first.is_clear and triple is not None:
        near, far = sorted(abs(v) for v in triple[1:])
        if far > WIDE * near:
            said.append("Its size is much less sure than its direction.")
    if groups < FEW_GROUPS:
        said.append(f"Only {number(groups)} groups stand behind this, so the range may be too narrow.")
    return said


def _p(value: float) -> str:
    return p_value(value) if value < 0.001 else f"= {p_value(value)}"


def claims(
    released: Released,
    page: Mapping[str, Released] | None = None,
    *,
    assignment: Literal["observed", "randomised"] = "observed",
    support: str = "",
    costs: Released | None = None,
) -> Statement:
    """List what may be said on the strength of the released effects, and what may not.

    Parameters
    ----------
    released : Released
        Of ``Effects`` with one effect an outcome; the first outcome is the primary one.
    page : mapping of name to Released, optional
        Everything the page shows: what a check among it speaks against may not be said.
    assignment : 'observed' or 'randomised'
        Whether support was given by lot.
    support : str
        What support was, in a few words: each sentence that may be said names it.
    costs : Released, optional
        Of ``Costs``: whether it may be said that money was saved.
    """
    found = answers(released)
    than = THAN.get(called(released), "there would have been without it")
    may = _may(found, than)
    if costs is not None and (cash := money.saved(costs)):
        may.append(cash)
    may_not = [
        *_unclear(found),
        *_by_itself(found[0], released, assignment),
        *_in_money(found[0], costs),
        f"“It would be the same anywhere”: this holds for the {who(released)}, place and time studied.",
        *(_NOT_BY_LOT if assignment != "randomised" else ()),
        *plan.not_claimed(page or {}),
        *not_claimed(page or {}, clear=found[0].is_clear, assignment=assignment),
    ]
    may = [_named(said, support) for said in may] or ["“There were too few events to say anything yet.”"]
    return Statement(
        "claims", (("May be said", tuple(may)), ("May not be said", tuple(may_not))), (released,), SEAL
    )


def _may(found: Sequence[Answer], than: str) -> list[str]:
    """What may be said of the primary outcome, then of the others, then of what is open."""
    may = []
    for some in filter(None, (found[:1], found[1:])):
        clear = [a for a in some if a.is_clear]
        if len(clear) == 1:
            may.append(
                f"“With support there were {size(clear[0], clear[0].name)} than {than} ({_range(clear[0])}).”"
            )
        elif clear:
            may.append(f"“With support there were {sizes(clear)} than {than}.”")
        if same := [f"{a.name} ({_range(a)})" for a in some if a.strength == "little or no change"]:
            may.append(f"“Support made little or no difference to {listed(same)}.”")
    open_ = [a for a in found if a.strength == "cannot tell" and not a.nominal]
    if len(open_) == 1:
        a = open_[0]
        may.append(f"“We cannot tell whether support changed {a.name}: from {range_of(a)}{_per(a)}.”")
    elif open_:
        may.append(f"“We cannot tell whether support changed {listed([a.name for a in open_])}.”")
    return may + [
        f"“There may have been {'fewer' if a.fewer else 'more'} {a.name} with support, or it is chance.”"
        for a in found
        if a.strength == "cannot tell" and a.nominal
    ]


def _unclear(found: Sequence[Answer]) -> list[str]:
    names = [a.name for a in found if a.strength in ("cannot tell", "too rare")]
    if not names:
        return []
    on = "these services" if len(found) == len(names) > 1 else listed(names)
    return [f"“Support had no effect on {on}”, or that it had one: the study cannot tell."]


def _by_itself(first: Answer, released: Released, assignment: str) -> list[str]:
    """A change after the start of support is no effect of it."""
    if assignment != "randomised" and who(released) == "people" and first.fewer:
        return [
            f"“{label(first.outcome)} fell after support began, so support did it”: people are offered it "
            "when unwell, and most get better without it."
        ]
    if assignment != "randomised" or called(released) == DID:
        return [
            f"“{label(first.outcome)} changed after support began, so support did it”: some change would "
            "have come anyway."
        ]
    return []


def _in_money(first: Answer, costs: Released | None) -> list[str]:
    """Contacts are neither health nor cash."""
    saved, better = ("saved or cost", "better or worse")
    if first.is_clear:
        saved, better = ("saved", "better") if first.fewer else ("cost", "worse")
    health = f"hat anybody’s health is {better}: contacts are counted here, not"
    if costs is None:
        return [f"“It {saved} money”, or t{health} cash or health."]
    return [*([] if money.saved(costs) else [money.UNSAVED]), f"T{health} health."]


_NOT_BY_LOT = (
    "“This proves that support was the cause”: it was not given by lot, so who was offered it and who "
    "accepted may explain it.",
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
        return Statement("sentence", (("list", ("No second method was used.",)),), (released[main],), SEAL)
    found = {a.outcome: a for a in answers(released[other])}
    pairs = [(a, found[a.outcome]) for a in answers(released[main]) if a.outcome in found]
    names = called(released[main]), called(released[other])
    said = [_second(names[1], pairs[0][1])] if pairs else ["The second method has no service in common."]
    doubts = [doubt for a, b in pairs if (doubt := _doubt(a, b, names))]
    if any("too rare" not in (a.strength, b.strength) for a, b in pairs):
        said += doubts or ["Within their ranges the two methods agree on every service."]
    return Statement("sentence", (("list", tuple(said)),), (released[main], released[other]), SEAL)


def _second(method: str, a: Answer) -> str:
    subject = SUBJECT.get(method, method[:1].upper() + method[1:])
    if a.strength == "too rare":
        return f"{subject} has too few {a.name} to say anything."
    return f"{subject} gives {size(a, a.name)} ({range_of(a)})."


def _doubt(a: Answer, b: Answer, names: tuple[str, str]) -> str:
    """Say that two methods disagree on a service; nothing where they do not."""
    why = disagree(a, b, names)
    return f"On {a.name} the two methods disagree: {why}. Read this result with care." if why else ""


def _range(a: Answer) -> str:
    return f"95% range {range_of(a)}"


def _per(a: Answer) -> str:
    return f" {a.unit}" if a.difference and a.unit else ""


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
    if NO_EVIDENCE in released.notes:
        said = f"{said} {NO_EVIDENCE}"
    return Statement("sentence", (("list", (said,)),), (released,), SEAL)
