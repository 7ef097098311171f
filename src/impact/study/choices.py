"""What a run of a matrix chose, in words for readers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PureWindowsPath
from typing import Any

from impact.study.matrix import written
from impact.study.plans import TABLES
from impact.study.wording import _or

# What readers call the keys that matrices vary most; any other is said in its own words.
_CALLED = {
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
# Names of columns and services, for which pages have words: these stand between backticks.
_NAMES = ("matching.exact", "matching.on", "outcomes")
_LONGEST = 60
_TABLES = ("panel", *TABLES)
FILES = ("data", "data.panel.file", *(f"data.{table}" for table in _TABLES))


def choices(varied: Mapping[str, Any], *, titled: bool = False) -> dict[str, str]:
    """Say what a run varies and what it chose; of files of data only which place they are of.

    Parameters
    ----------
    varied : mapping of str to value
        As ``Study.varied``.
    titled : bool
        Whether its title says already which data it has.

    Examples
    --------
    >>> choices({"did.estimator": "twfe", "outcomes": ["ae", "gp"], "data.people": "data/north/people.csv"})
    {'data': 'north people', 'difference-in-differences by': 'twfe', 'services': '`ae` and `gp`'}
    """
    of = {} if titled or not place(varied) else {"data": place(varied)}
    return of | {_called(key): _said(key, value) for key, value in varied.items() if key not in FILES}


def place(varied: Mapping[str, Any]) -> str:
    """Return what tells the files of a run from those of others: their folder, or what their names share.

    Examples
    --------
    >>> place({"data.people": "data/north/people.csv", "data.contacts": "data/north/contacts.csv"})
    'north'
    >>> place({"data": {"people": "data/people_7.csv", "contacts": "data/contacts_7.csv"}, "seed": 1})
    '7'
    >>> place({"data.people": "data/north/people.csv"}), place({"seed": 1})
    ('north people', '')
    """
    paths = [PureWindowsPath(file) for key in FILES if key in varied for file in _files(varied[key])]
    if not paths:
        return ""
    folders = ["".join(part for part in path.parts[-2:-1] if part not in ("data", "..")) for path in paths]
    names = [re.split(r"[\W_]+", path.stem) for path in paths]
    shared = folders[:1] if folders[0] and len(set(folders)) == 1 else []
    shared = shared or [part for part in names[0] if all(part in name for name in names)]
    alone = len(paths) == 1 or not shared
    return f"{folders[0]} {paths[0].stem}".strip() if alone else " ".join(shared)


def _files(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        tables = ("file", *_TABLES)
        yield from (file for table in tables if table in value for file in _files(value[table]))
    elif isinstance(value, list):
        yield from (file for one in value for file in _files(one))
    else:
        yield str(value)


def _called(key: str) -> str:
    return _CALLED.get(key) or re.sub(r"[._]+", " ", key)


def _said(key: str, value: Any) -> str:
    if key in _NAMES and isinstance(value, list) and len(str(value)) <= _LONGEST:
        return _or([f"`{name}`" for name in value], "and")
    text = "none" if value is None else written(value).replace("_", " ")
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1].rstrip()}…"
