"""Descriptions as tables for readers: who is in the study, before and after, checks, and the like."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pandas as pd

from impact.disclosure import Released
from impact.pages import planning
from impact.pages.called import left_out
from impact.pages.characteristics import characteristics
from impact.pages.formats import (
    MISSING,
    READERS_UNITS,
    by_arm,
    capital,
    interval_text,
    label,
    notes,
    number,
    numeric,
    p_value,
    period,
    placebo_units,
    places,
    plain,
    require_released,
    who,
)
from impact.pages.layout import Column, Table, cells_of, table_of


def summary(released: Released) -> Table:
    """Lay out a description by what it shows."""
    require_released(released)
    if {"arm", "bin_low", "bin_high", "persons"} <= set(released.table.columns):
        return _overlap(released)
    if released.kind == "matched":
        return _matched(released)
    return _LAYOUTS.get(str(released.method.get("shows")), _plain)(released)


def _baseline(released: Released) -> Table:
    """Number and share, or mean and standard deviation, of each characteristic in each arm."""
    shown = released.table
    columns = [Column("Characteristic", characteristics(shown), True)]
    columns += [Column(label(arm), _described(released, arm, shown.index)) for arm in _BOTH]
    under = ["Number and percentage, or mean and standard deviation (SD).", *notes(released)]
    return table_of(
        released, "Who is in the study, at the date support began or might have begun", columns, under
    )


def _described(released: Released, arm: str, rows: Iterable[Any]) -> list[str]:
    """Number and share, or mean and standard deviation, of each of these rows in one arm."""
    shown, marked = released.table, released.marked()
    cells = []
    for i in rows:
        persons, percent, mean, sd = (
            marked[f"{arm}_{w}"].iloc[i] for w in ("persons", "percent", "mean", "sd")
        )
        by_weight = shown[f"{arm}_weighted_percent"].iloc[i] if f"{arm}_weighted_percent" in shown else None
        if shown["level"].iloc[i] == "mean (SD)":
            digits = places([shown[f"{arm}_mean"].iloc[i]]) or 1
            cells.append(
                mean if isinstance(mean, str) else f"{number(mean, digits)} (SD {number(sd, digits)})"
            )
        elif isinstance(persons, str) or pd.isna(percent):
            cells.append(number(persons))
        else:
            share = percent if by_weight is None or pd.isna(by_weight) else by_weight
            cells.append(f"{number(persons)} ({number(share)}%)")
    return cells


def _table_one(released: Released) -> Table:
    """Each characteristic in both arms before and after matching, side by side, with the differences."""
    shown = released.table
    index = shown.index[shown["sample"] == "before"]
    columns = [Column("Characteristic", characteristics(shown.loc[index]), True)]
    for sample in ("before", "after"):
        rows = shown.index[shown["sample"] == sample]
        columns += [Column(f"{label(arm)}, {sample}", _described(released, arm, rows)) for arm in _BOTH]
        gaps = cells_of(released, "smd", rows, partial(number, places=2))
        if sample == "after":
            verdicts = shown.loc[rows, "balanced"]
            gaps = [
                f"{gap} ({said})" if said in ("yes", "no") else gap
                for gap, said in zip(gaps, verdicts, strict=True)
            ]
        columns.append(Column(f"Difference {sample}{' (balanced?)' if sample == 'after' else ''}", gaps))
    weighed = "supported_weighted_percent" in shown
    under = [
        "Number and percentage, or mean and standard deviation (SD)"
        + ("; after matching, percentages and means are by weight." if weighed else "."),
        f"A standardised difference of up to {number(released.method['limit'], 2)}, either way, counts as "
        "balanced.",
        *notes(released),
    ]
    return table_of(released, "Who is compared, before and after matching", columns, under)


def _matched(released: Released) -> Table:
    """How many of each arm were matched, and the rules that left others out."""
    shown = released.table
    rows = shown.index[(numeric(shown["persons"]) > 0) | released.hidden["persons"] | (shown.index == 0)]
    columns = [
        Column("Group", shown.loc[rows, "arm"].map(label).tolist(), True),
        Column("Matched, or why not", [_why_not(str(rule)) for rule in shown.loc[rows, "rule"]], True),
        Column(capital(who(released)), cells_of(released, "persons", rows)),
    ]
    return table_of(released, "Who is compared, and who was left out", columns, notes(released))


_FOUND_NOBODY = {
    "outside common support": "nobody in the other group had a like chance of support",
    r"no (.+) with the same exact values": r"no \1 was the same where they must be",
    r"no (.+) within the caliper": r"no \1 was alike enough (caliper)",
    r"no (.+) at a finite distance": r"no \1 may be compared",
    r"every near (.+) was taken": r"every \1 who was alike enough was taken",
    "no control": "nobody without support",
    "every control": "everybody without support",
    "no supported person": "nobody with support",
    "every supported person": "everybody with support",
}


def _why_not(rule: str) -> str:
    """Say why somebody was not matched, in words for readers.

    Examples
    --------
    >>> _why_not("no control within the caliper"), _why_not("not needed")
    ('Nobody without support was alike enough (caliper)', 'Not needed')
    """
    for pattern, words in _FOUND_NOBODY.items():
        rule = re.sub(pattern, words, rule)
    return capital(rule)


_QUESTIONS = {
    "supported people": "With support",
    "people who could be controls": "Without support, to choose from",
    "supported within the range of the controls' scores": "With support, and others had a like chance of it",
    "supported with a control near enough": "With support, and somebody without it is alike enough",
    "supported in a cell that has controls": "With support, and somebody without it is the same where they "
    "must be",
    "controls, by how far they resemble the supported (effective number)": "Without support, counted by how "
    "alike they are (effective number)",
    "largest number of controls that nine in ten could each have": "Most partners that nine in ten of them "
    "could each have",
    "cells of equal exact values": "Groups of people who are the same where they must be",
    "cells with supported people and no control": "Such groups in which everybody had support",
    "smallest detectable rate ratio": "Ratio nearest to 1 that could be told from it",
}


_VERDICT = {
    "supported people": "people with support",
    "have a control near enough": "have somebody alike enough without it",
    "a near control of their own": "somebody alike of their own",
    "too few near controls": "too few who are alike",
    "any of the controls resemble the supported": "anybody without support resembles those with it",
    "control": "partner",
}


def _asked(question: str) -> str:
    """Say what was counted before matching, in words for readers.

    Examples
    --------
    >>> _asked("supported people"), _asked("supported who could each have two controls")
    ('With support', 'With support, who could each have two partners')
    """
    question = _QUESTIONS.get(question, question).replace("supported who", "with support, who")
    return capital(question.replace("control", "partner"))


def _feasibility(released: Released) -> Table:
    """Each question with its answer, and in a sentence whether matching can work."""
    shown, marked = released.table, released.marked()
    answers = []
    for i in range(len(shown)):
        persons, percent, figure = (marked[c].iloc[i] for c in ("persons", "percent", "figure"))
        if not isinstance(figure, str) and pd.notna(figure):
            answers.append(number(figure, 0 if figure >= 10 or figure % 1 == 0 else 2))
        elif isinstance(persons, str) or isinstance(percent, str) or pd.isna(percent):
            answers.append(number(persons))
        else:
            answers.append(f"{number(persons)} ({number(percent)}%)")
    columns = [
        Column("Before any outcome is looked at", [_asked(str(q)) for q in shown["question"]], True),
        Column("Number", answers),
    ]
    verdict = str(released.method["verdict"])
    for found, words in _VERDICT.items():
        verdict = verdict.replace(found, words)
    return table_of(released, verdict, columns, notes(released))


def _overlap(released: Released) -> Table:
    """People of each arm in each bin of the estimated chance of being supported."""
    keys = ["bin_low", "bin_high"]
    index = released.table[keys].drop_duplicates().sort_values("bin_low").reset_index(drop=True)
    digits = 2 if ((100 * index["bin_low"]).round(6) % 1 == 0).all() else 3
    bins = [interval_text(low, high, digits) for low, high in index.itertuples(index=False)]
    columns = [Column("Estimated chance of being supported", bins, True)]
    for arm, part in by_arm(released.table):
        rows = index.merge(part.reset_index(names="row"), on=keys, how="left")["row"]
        columns.append(Column(label(arm), cells_of(released, "persons", rows)))
    what = f"{capital(who(released))} by estimated chance of being supported"
    return table_of(released, what, columns, notes(released))


def _placebo(released: Released) -> Table:
    shown = released.table
    bins = placebo_units(released)
    digits = places(bins["high"])
    here = ["this study" if h else "" for h in shown["here"].fillna(False)]
    columns = [
        Column(
            "Estimate",
            [interval_text(a, b, digits) for a, b in zip(bins["low"], bins["high"], strict=True)],
            True,
        ),
        Column("Draws", cells_of(released, "draws", shown.index)),
        Column("Where this study lies", here, True),
    ]
    return table_of(released, "Estimates for starts that never happened", columns, notes(released))


def _plain(released: Released) -> Table:
    """Any other table: words on the left, counts with thousands separators."""
    shown = released.table.drop(columns="withheld", errors="ignore")
    columns: list[Column] = []
    for name in shown.columns:
        words = not pd.api.types.is_numeric_dtype(shown[name]) and not released.hidden[name].all()
        fractions = not words and bool((numeric(shown[name].dropna()) % 1 != 0).any())
        digits = max(places(shown[name]), 1) if fractions else 0
        show: Callable[[Any], str] = _words if words else partial(number, places=digits)
        if name == "p_value":
            show = p_value
        elif name in _CODES:
            show = label if name in _NAMED else str
        title = capital(who(released)) if name == "persons" else label(name)
        if name == "estimate" and released.method.get("unit") in READERS_UNITS:
            unit, factor = READERS_UNITS[released.method["unit"]]
            title, show = f"{title} {unit}", partial(_times, factor)
        cells = cells_of(released, name, shown.index, show)
        # A table begins each of its rows with a capital, wherever its words come from.
        first = cells if columns else [cell[:1].upper() + cell[1:] for cell in cells]
        columns.append(Column(title, first, words))
    title = released.method.get("shows") or released.name
    return table_of(released, label(title), columns, notes(released))


_BOTH = ("supported", "control")
_ARMS = {arm: label(arm) for arm in ("supported", "treated", "control")}
# Columns whose words are codes: of these, readers are shown names, and column names are left as they are.
_NAMED = ("arm", "outcome", "service")
_CODES = (*_NAMED, "column", "table")


def _times(factor: float, value: float) -> str:
    return number(factor * value, sign=True)


def _words(value: Any) -> str:
    if isinstance(value, (pd.Timestamp, str)):
        return period(value) if isinstance(value, pd.Timestamp) else _ARMS.get(value) or plain(value)
    return MISSING if pd.isna(value) else str(value)


# The elements of the trial that a study stands in for, in plain words and with their terms.
ELEMENTS = {
    "Eligibility": "Who could be in it",
    "Arms": "What is compared",
    "Assignment": "How support was given",
    "Time zero": "From when (time zero)",
    "Follow-up": "For how long",
    "Outcomes": "What is counted",
    "Estimand": "Whom it is about (estimand)",
    "Analysis": "How it is analysed",
}


def _trial(released: Released) -> Table:
    """The trial that the study stands in for, element by element."""
    elements, said = (released.table[name] for name in ("element", "in this study"))
    columns = [
        Column("Element of the trial", [ELEMENTS.get(str(e), label(e)) for e in elements], True),
        Column("In this study", [capital(plain(str(sentence))) for sentence in said], True),
    ]
    return table_of(released, "The trial this study stands in for", columns, notes(released))


def _flow(released: Released) -> Table:
    """Everyone in the file, who was left out and why, and who is in the study."""
    shown = released.table
    who_or_why = [
        left_out(rule) if stage == "left out" else _ARMS.get(rule, str(rule))
        for stage, rule in zip(shown["stage"], shown["rule"], strict=True)
    ]
    columns = [
        Column("Step", [capital(stage) for stage in shown["stage"]], True),
        Column("Who, or why not", who_or_why, True),
        Column(capital(who(released)), cells_of(released, "persons", shown.index)),
    ]
    return table_of(released, "From everyone in the file to the study", columns, notes(released))


def _quality(released: Released) -> Table:
    """The checks of the records that found something, and how many found nothing."""
    shown = released.table
    found = shown.index[numeric(shown["count"]) != 0]
    columns = [
        Column(title, cells_of(released, name, found, show), name != "count")
        for name, title, show in (
            ("rule", "Check", lambda rule: capital(plain(left_out(rule)))),
            ("table", "Table", label),
            ("column", "Column", str),
            ("count", "Records", number),
            ("action", "What was done", capital),
        )
    ]
    rest = f"{number(len(shown) - len(found))} other checks found nothing."
    return table_of(released, "What the checks of the records found", columns, [rest, *notes(released)])


_LAYOUTS: dict[str, Callable[[Released], Table]] = {
    "data quality": _quality,
    "people at the index date, by arm": _baseline,
    "people before and after matching": _table_one,
    "whether matching can work": _feasibility,
    "who is in the study": _flow,
    "target trial": _trial,
    "placebo": _placebo,
    **planning.LAYOUTS,
}
