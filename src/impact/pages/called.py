"""What readers call the method behind some effects, whom a matched effect is about, and who was left out."""

from __future__ import annotations

from typing import Any

import pandas as pd

from impact.did import ESTIMATORS
from impact.disclosure import Released
from impact.pages.formats import inside, label, period

DID, MATCHING, WEIGHTING = "difference-in-differences", "matching", "weighting"
CRUDE = "the crude comparison"
THAN = {CRUDE: "among people without it"} | dict.fromkeys(
    (MATCHING, WEIGHTING), "among similar people without it"
)
SUBJECT = {
    MATCHING: "Matching people to similar ones",
    WEIGHTING: "Weighting people without support to be like those with it",
}
_ABOUT = {
    "ATC": "This is about people without support: what it would have changed for them.",
    "ATE": "This is about everyone, with or without support.",
    "ATO": "This is about people who might as well have had support as not.",
    "ATM": "This is about people who have somebody like them in the other group.",
}


def called(released: Released) -> str:
    """Name the method behind some effects as readers know it."""
    said = released.method
    estimator = str(said.get("estimator", ""))
    if estimator in ESTIMATORS:
        return DID
    if estimator.startswith("crude"):
        return CRUDE
    if said.get("control") == "weighted controls":
        return WEIGHTING
    return MATCHING if said.get("matching") or estimator.startswith("matched") else "the method"


def about_whom(released: Released) -> str:
    """Say whom a matched effect is about, where it is not those who had support."""
    return _ABOUT.get(str((released.method.get("matching") or {}).get("estimand")), "")


# Why somebody was left out, as readers are told.
_LEFT_OUT = {
    "arm not listed": "of a group that is not compared",
    "no consent": "did not agree",
    "not linked": "not found in the NHS data",
    "no start date": "no date on which support began",
    "no time observed": "never observed",
    "where": "not among the rows that are studied",
}


def left_out(rule: object) -> str:
    """Say why people were left out.

    Examples
    --------
    >>> left_out("no consent"), left_out("opted out")
    ('did not agree', 'opted out')
    """
    return _LEFT_OUT.get(str(rule), inside(label(rule)))


_MONTHS = {"Month": 1, "Quarter": 3, "Half-year": 6, "Year": 12}


def row_names(name: str, index: pd.DataFrame, step: str) -> list[str]:
    """Name what tells the rows apart; periods that were pooled from the first to the last of them."""
    if name not in ("group", "period", "event_time"):
        return index[name].map(label).tolist()
    last = index[f"{name}_to"] if f"{name}_to" in index else index[name]
    return [
        label(a) if pd.isna(a) else period(a, _steps(a, a if pd.isna(b) else b, step))
        for a, b in zip(index[name], last, strict=True)
    ]


def _steps(first: Any, last: Any, step: str) -> int:
    """Length from one period to the end of another: in periods, or in months where they are dates."""
    if not isinstance(first, pd.Timestamp):
        return 1 if isinstance(first, str) else int(last - first) + 1
    apart = 12 * (last.year - first.year) + last.month - first.month
    return apart + _MONTHS.get(step, 1) if apart else 1
