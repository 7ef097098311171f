"""Checklists for reports, filled from the study itself: what is said where, and what nobody has said yet.

- TARGET: 21 items of studies that stand in for a trial (Cashin and others, JAMA and BMJ 2025).
- RECORD: 13 items of studies of routine records, beside those of STROBE (Benchimol and others, PLoS Medicine
  2015).
- TIDieR: 12 items that describe what was given (Hoffmann and others, BMJ 2014).

The words of the items are ours and short; the statements themselves say what each asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import pandas as pd

from impact.results import Summary

LISTS = {
    "TARGET": "studies that stand in for a trial, 2025",
    "RECORD": "studies of routine records, 2015",
    "TIDieR": "what support was, 2014",
}
NOT_REPORTED = "not reported"


def checklists(
    *,
    answers: Mapping[str, str],
    protocol: Mapping[str, str],
    is_estimated: bool,
    answers_alone: bool = False,
) -> dict[str, Summary]:
    """Fill the checklists of a study.

    Parameters
    ----------
    answers : mapping of str to str
        What a person reports, by the keys of the section ``reporting``.
    protocol : mapping of element to sentence
        As ``Study.protocol``.
    is_estimated : bool
        Whether the study has a method, and so a page of findings.
    answers_alone : bool
        Whether it counts no services, so that what it found is on the page of what people said.

    Returns
    -------
    dict of name to Summary
        ``TARGET``, ``RECORD`` and ``TIDieR``: one row an item, with what it asks and where the report says
        it, the answer itself, or 'not reported'. The method says how many of how many are reported.

    Examples
    --------
    >>> made = checklists(answers={"why": "Advice lowers need."}, protocol={"Arms": "Support or none."},
    ...                   is_estimated=False)
    >>> made["TIDieR"].method["reported"], made["TIDieR"].table["answer"].tolist()[:3]
    ('2 of 12', ['Support or none.', 'Advice lowers need.', 'not reported'])
    """
    items = _items()
    known = {"person": answers, "plan": protocol}
    said = [
        known[how].get(answer) if how in known else answer if how == "page" or is_estimated else None
        for how, answer in zip(items["how"], _places(items, answers_alone), strict=True)
    ]
    filled = items.assign(answer=[words or NOT_REPORTED for words in said])
    out = {}
    for name, about in LISTS.items():
        table = filled.loc[filled["list"] == name, ["item", "asks", "answer"]].reset_index(drop=True)
        reported = int(table["answer"].ne(NOT_REPORTED).sum())
        method = {
            "shows": "checklist",
            "list": name,
            "about": about,
            "reported": f"{reported} of {len(table)}",
        }
        out[name] = Summary(table, method)
    return out


def _places(items: pd.DataFrame, answers_alone: bool) -> list[str]:
    """Where each item is answered: with answers alone an estimate is not among the findings, if anywhere."""
    if not answers_alone:
        return items["answer"].tolist()
    return items["answer"].where(items["how"] != "estimate", items["alone"].fillna("")).tolist()


@cache
def _items() -> pd.DataFrame:
    """Every item with what it asks, and whether a page, the plan, an estimate or a person answers it."""
    with files("impact.interpret").joinpath("checklists.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, dtype=str)
