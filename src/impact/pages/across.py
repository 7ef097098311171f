"""The page on all studies together: averages over studies, and how far answers hang on the choices made."""

from __future__ import annotations

import datetime as dt
import html
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from impact.disclosure import Released
from impact.pages import SEAL, Shown, show
from impact.pages.alts import refuse_wordless
from impact.pages.answers import SPLIT, Answer, about, answers, range_of, share, size
from impact.pages.evidence import DOTS
from impact.pages.forest_of_studies import apart, forest_of_studies
from impact.pages.formats import (
    called,
    capital,
    inside,
    label,
    listed,
    number,
    numeric,
    p_value,
    places,
    readers_units,
)
from impact.pages.prose import Block
from impact.pages.ranked import is_clear
from impact.pages.report import Page, lay_out, template
from impact.pages.specification_curve import changed, moved, specification_curve
from impact.pages.statement import Statement
from impact.pages.studies import ACROSS, LINKS

_INDEPENDENT = (
    "An average means something only where support, the people and the time were alike, and nobody is in two "
    "of the studies. Whether that is so cannot be seen from the results."
)
_NO_BETTER = (
    "The average is no better than the studies in it ({}). Its range says nothing of hidden differences "
    "between the groups compared: what is wrong with each comparison is not averaged away."
)
_CHOICES = (
    "Runs of one study on the same people, which differ in the choices made. They are not independent pieces "
    "of evidence and are never averaged. The main run was named first, before any was looked at; of services "
    "that it does not count, the run that differs from it in the services alone is the main one."
)
FEW = 5


def across(
    averages: Sequence[Mapping[str, Released]],
    curves: Sequence[tuple[str, Mapping[str, Released]]],
    *,
    few: Sequence[Mapping[str, Released]] = (),
    sure: Sequence[Sequence[str]] = (),
    said: Sequence[str] = (),
    date: dt.date | None = None,
) -> str:
    """Make the page.

    Parameters
    ----------
    averages : sequence of mappings of name to Released
        Of each set of studies that may be averaged what ``pool`` found, ``leave_one_out`` of
        ``without_each_study`` and, as ``studies: OUTCOME``, ``side_by_side`` of each outcome.
    curves : sequence of (title, mapping of outcome to Released)
        Of each study with several runs on the same people its specification curves, the first outcome first.
    few : sequence of mappings of outcome to Released
        Of studies that have few runs each, and differ in the same choices, their ``few_runs`` by outcome.
    sure : sequence of sequences of str
        Of each set of studies the words for the evidence of their own answers.
    said : sequence of str
        Why studies are in no average.
    date : date, optional
        Of the page; today without it.
    """
    page = Page(title=ACROSS, date=date or dt.date.today(), links=LINKS)
    every = [*averages, *(curve for _, curve in curves), *few]
    page.rules = list(dict.fromkeys(one.rule.sentence for part in every for one in part.values()))
    lay_out(page, [*_averaged(averages, sure, said), *_chosen(curves, few)])
    refuse_wordless("\n".join(page.blocks))
    return template("page.html.j2", page)


def _averaged(
    averages: Sequence[Mapping[str, Released]], sure: Sequence[Sequence[str]], said: Sequence[str]
) -> Iterator[Block]:
    if averages or said:
        yield Block("shown", f"<p>{html.escape(_INDEPENDENT)}</p>", 2, "Averages over studies")
    for i, (part, words) in enumerate(zip(averages, sure, strict=True), 1):
        if len(averages) > 1:
            yield Block("shown", "", 3, f"Set {i}: {listed(_names(part))}")
        yield _shown(average(part))
        yield Block("shown", f"<p>{html.escape(_NO_BETTER.format(_counted(words)))}</p>")
        yield _shown(part["pooled"], caption="The average over studies, service by service")
        yield _shown(_spread(part), part["heterogeneity"])
        for name, released in part.items():
            if name.startswith("studies: "):
                outcome = str(released.table["outcome"].iloc[0])
                yield Block("shown", "", 4 if len(averages) > 1 else 3, label(outcome))
                yield _shown(forest_of_studies(released))
        if "leave_one_out" in part:
            yield Block("shown", "", 4 if len(averages) > 1 else 3, "Without each study in turn")
            yield _shown(without(part))
            yield _closed("The averages without each study", part["leave_one_out"])
    if said:
        yield Block("shown", _list(said), 3, "What was not averaged, and why")


def _chosen(
    curves: Sequence[tuple[str, Mapping[str, Released]]], few: Sequence[Mapping[str, Released]]
) -> Iterator[Block]:
    if curves or few:
        yield Block("shown", f"<p>{html.escape(_CHOICES)}</p>", 2, "How far answers hang on choices")
    for part in few:
        first, *others = part.values()
        yield _shown(*(changed(one) for one in part.values()), first)
        if others:
            yield _closed("The other services", *others)
    for title, curve in curves:
        first, *others = curve.values()
        yield Block("shown", "", 3, title)
        yield _shown(moved(first), specification_curve(first))
        if others:
            yield _shown(*(moved(other) for other in others))
            yield _closed("Each run on the other services", *others)


def average(part: Mapping[str, Released]) -> Statement:
    """Say what several studies found on average, and what is to be expected of one more.

    Parameters
    ----------
    part : mapping of name to Released
        ``pooled`` and, of three studies or more, ``new_study``, as ``interpret.pool`` makes them.
    """
    pooled = part["pooled"]
    studies = dict(zip(pooled.table["outcome"], pooled.table["clusters"], strict=True))
    first, *others = answers(pooled)
    clear = [a for a in others if a.strength != "cannot tell"]
    split = [a for a in others if a.strength == "cannot tell" and a.split]
    open_ = [a.name for a in others if a.strength == "cannot tell" and not a.split]
    said = [_answer(a, studies[a.outcome]) for a in clear]
    said += [f"For {listed(open_)} the average cannot tell a fall from a rise."] if open_ else []
    said += [f"For {a.name}, {SPLIT[a.split]}; so the average does not count it as clear." for a in split]
    lead = (_answer(first, studies[first.outcome]),)
    parts = [("lead", lead), ("others", (_new(part, first), _hangs(part, first)))]
    return Statement("headline", (*parts, *((("others", tuple(said)),) if said else ())), (pooled,), SEAL)


def _answer(a: Answer, studies: Any) -> str:
    over = "On average over the studies" if pd.isna(studies) else f"On average over {studies} studies"
    if a.strength == "too rare":
        return f"{over} there were too few {a.name} to say anything about the effect of support."
    if a.strength == "cannot tell":
        but = f" {capital(SPLIT[a.split])}; so it is not counted as clear." if a.split else ""
        return (
            f"{over} it cannot be told whether support changed {a.name}: the best estimate is {size(a)}, and "
            f"the data fit anything from {range_of(a)}.{but}"
        )
    if a.strength == "little or no change":
        return f"{over} support made little or no difference to {a.name} (95% range {range_of(a)})."
    found = f"{size(a, a.name)} with support than without it (95% range {range_of(a)}{share(a)})"
    return f"{over} there were {found}."


def _new(part: Mapping[str, Released], a: Answer) -> str:
    """Say where the effect in one more study may lie, which is not where the average does."""
    if "new_study" not in part:
        return "Two studies do not show how far the effect differs from one place to another."
    new = {one.outcome: one for one in answers(part["new_study"])}.get(a.outcome)
    if new is None or new.strength == "too rare":
        return ""
    # Of a range of differences the low end may be below none at all; of one of ratios it cannot.
    triple, mark = (new.percent, "%") if new.percent else (new.difference or (np.nan,) * 3, "")
    low, high = (about(v, triple) + mark for v in triple[1:])
    times = 1 + triple[2] / 100
    if triple[2] < 0:
        reach = f"{high} to {low} fewer"
    elif mark and times >= 2:
        reach = (
            f"{low} {'more' if triple[1] > 0 else 'fewer'} to {number(times, places([times]))} times as many"
        )
    else:
        reach = f"{low} to {high} more" if triple[1] > 0 else f"{low} fewer to {high} more"
    said = f"In one more place like these the effect may be anything from {reach}."
    if new.split:
        said += f" {capital(SPLIT[new.split])}."
    if a.is_clear and (new.split or triple[1] <= 0 <= triple[2]):
        said += " So an average that is clear does not promise a change in the next place."
    return said


def _hangs(part: Mapping[str, Released], a: Answer) -> str:
    """Say where an average that is clear hangs on single studies."""
    if "leave_one_out" not in part or not a.is_clear:
        return ""
    rows = _without(part, a)
    unclear = int((~is_clear(rows, ratio=a.difference is None)).sum())
    if not unclear:
        return "It stays clear without any one of the studies."
    which = "any one" if unclear == len(rows) else f"one or another {unclear}"
    return f"Without {which} of the {len(rows)} studies its range takes in no effect."


def _without(part: Mapping[str, Released], a: Answer) -> pd.DataFrame:
    """The averages of one outcome without each study, on the scale on which the answer is said."""
    shown = readers_units(part["leave_one_out"].table)
    rows = shown[shown["scale"] == ("difference" if a.difference else "log ratio")]
    return rows[(rows["outcome"] == a.outcome) & rows["estimate"].notna()]


def _lie(some: int, of: int) -> str:
    each = "none" if some == 0 else "each" if some == of else str(some)
    return f"{each} of the {of} ranges {'lie' if 1 < some < of else 'lies'}"


def _spread(part: Mapping[str, Released]) -> Statement:
    """Say how far effects differ between studies, in words tied to the numbers of the table."""
    released = part["heterogeneity"]
    # Both scales tell of the same change; the ratio does not hang on how much a service is used.
    scales = released.table["scale"]
    one = "log ratio" if (scales == "log ratio").any() else "difference"
    rows = zip(released.table.to_dict("records"), apart(released), strict=True)
    said = [
        f"{label(row['outcome'])}: {_how_far(row, far) if far != released.mark else 'not shown.'}"
        for row, far in rows
        if row["scale"] == one
    ]
    return Statement("sentence", (("list", tuple(said)),), (released,), SEAL)


def _how_far(row: Mapping[Any, Any], far: str) -> str:
    """Say whether results vary more than chance brings, and how far a study lies from the average."""
    k, i_squared, p = int(row["studies"]), float(row["i_squared_percent"]), float(row["q_p_value"])
    numbers = f"I² {number(i_squared)}%, p {p_value(p)}"
    if p < 0.05:
        said = f"the {k} results vary more than chance brings ({numbers}): effects differ"
    else:
        said = f"the {k} results vary no more than chance may bring ({numbers})"
    few = " So few studies hardly show it." if k < FEW else ""
    how = ", above or below" if row["scale"] == "log ratio" else ""
    return f"{said}. Typical distance of a study from the average: {far}{how}.{few}"


def without(part: Mapping[str, Released]) -> Statement:
    """Say how far the average moves without each study, and whether it then is as clear as before."""
    left, said = part["leave_one_out"], []
    for a in answers(part["pooled"]):
        rows = _without(part, a)
        if rows.empty or a.strength == "too rare":
            said.append(f"{label(a.outcome)}: not shown.")
            continue
        estimates = numeric(rows["estimate"])
        null = 0.0 if a.difference else 1.0
        low, high = rows.iloc[int(estimates.argmin())], rows.iloc[int(estimates.argmax())]
        digits = 2 if null else 0
        within = is_clear(rows, ratio=bool(null))
        said.append(
            f"{label(a.outcome)}: between {number(low['estimate'], digits, sign=not null)} "
            f"({inside(str(low['term']))}) and {number(high['estimate'], digits, sign=not null)} "
            f"({inside(str(high['term']))}) {'as a ratio' if null else low['unit']}; "
            f"{_lie(int(within.sum()), len(rows))} on one side of no effect."
        )
    return Statement("sentence", (("list", tuple(said)),), (left,), SEAL)


def _counted(words: Sequence[str]) -> str:
    """Count the words for the evidence, the strongest first."""
    found = Counter(words)
    known = [f"{word.lower()} {found[word]}" for word in DOTS if found[word]]
    return f"by their own answers: {'; '.join(known)}" if known else "no word for their evidence is known"


def _names(part: Mapping[str, Released]) -> list[str]:
    return [str(name) for name in part["pooled"].method["studies"]]


def _shown(*things: Any, caption: str | None = None) -> Block:
    return Block("shown", show(*things, caption=caption).html)


def _closed(summary: str, *things: Released) -> Block:
    shown: Shown = show(*things)
    return Block("shown", f"<details><summary>{html.escape(summary)}</summary>{shown.html}</details>")


def _list(sentences: Sequence[str]) -> str:
    # Titles stand as their study wrote them, the name of a service as a sentence begins.
    said = [capital(called(one)) if one.startswith("`") else called(one) for one in sentences]
    return f"<ul>{''.join(f'<li>{html.escape(sentence)}</li>' for sentence in said)}</ul>"
