"""What a run of a matrix chose, in words for readers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PureWindowsPath
from typing import Any

from impact.study.matrix import written

# What readers call the keys that matrices vary most; any other is said in its own words.
_CALLED = {
    "data": "data",
    "did.anticipation": "months just before support set apart",
    "did.control": "compared with",
    "did.estimator": "difference-in-differences by",
    "design.control": "comparison",
    "design.months_after": "months with support",
    "design.months_before": "months before support",
    "design.treated": "support",
    "matching.caliper": "farthest match (caliper)",
    "matching.distance": "likeness by",
    "matching.exact": "matched exactly on",
    "matching.method": "matched by",
    "matching.on": "matched on",
    "matching.ratio": "matches for each",
    "outcomes": "services",
}
_LONGEST = 60


def choices(varied: Mapping[str, Any]) -> dict[str, str]:
    """Say what a run varies and what it chose; of a file of data only the name without folders.

    Parameters
    ----------
    varied : mapping of str to value
        As ``Study.varied``.

    Examples
    --------
    >>> choices({"did.estimator": "twfe", "design.months_after": 6, "data.people": "data/north/people.csv"})
    {'difference-in-differences by': 'twfe', 'months with support': '6', 'data people': 'north people'}
    """
    return {_called(key): _said(key, value) for key, value in varied.items()}


def _called(key: str) -> str:
    return _CALLED.get(key) or re.sub(r"[._]+", " ", key)


def _said(key: str, value: Any) -> str:
    if key.partition(".")[0] == "data":
        value = _without_folders(value)
    text = "none" if value is None else written(value).replace("_", " ")
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1].rstrip()}…"


def _without_folders(value: Any) -> Any:
    if isinstance(value, Mapping):
        # The files of one place have one folder: the people's stands for all.
        return _without_folders(value.get("people") or next(iter(value.values()), ""))
    if isinstance(value, list):
        return [_without_folders(one) for one in value]
    path = PureWindowsPath(str(value))
    return " ".join([*(part for part in path.parts[-2:-1] if part not in ("data", "..")), path.stem])
