"""Which parameters a plan is made of, in a form that does not hang on how they are written, and its hash.

What readers are told (titles, wording, labels, notes, what a person reports) and where files lie do not
count: they can change and the analysis is the same. What is left out of a file and what it says in the words
of the default are the same plan, so that a later version with more options has the same hash.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Any

from impact.study.choices import _called
from impact.study.matrix import written
from impact.study.plans import TABLES
from impact.study.protocol import METHODS
from impact.study.wording import _or

if TYPE_CHECKING:
    from impact.study.model import Study

# What readers are told and nothing is estimated from: runs must differ in more, and are not named after it.
TOLD = ("title", "notes", "contact", "wording", "labels", "reporting")
_GIVEN = "given"
_FILE = re.compile(r".*[/\\].*|.*\.(csv|tsv|parquet|xlsx|toml|yaml|json)", re.IGNORECASE)


def counted(study: Study, *, in_full: bool = False) -> dict[str, Any]:
    """Return the parameters that are the plan, section by section.

    Parameters
    ----------
    study : Study
    in_full : bool
        Whether what the file leaves out stands there with its default.

    Examples
    --------
    >>> from impact.study import Study
    >>> study = Study(title="Northtown", data={"people": "data/p.csv", "contacts": "c.csv"},
    ...               design={"treated": ["support"], "control": ["usual"]}, outcomes=["ae"])
    >>> counted(study)["data"], "title" in counted(study), counted(study, in_full=True)["seed"]
    ({'people': 'given', 'contacts': 'given'}, False, 20261122)
    """
    sections = study.model_dump(
        mode="json", by_alias=True, exclude_none=True, exclude_defaults=not in_full, exclude=set(TOLD)
    )
    for name in ("did", "matching"):
        if chosen := getattr(study, name):
            sections[name] = {k: v for k, v in sections.get(name, {}).items() if k in chosen.known}
    data = sections["data"] | {table: _GIVEN for table in TABLES if table in sections["data"]}
    if "panel" in data:
        data["panel"] = {k: v for k, v in data["panel"].items() if k != "file"}
    named: dict[str, Any] = _without_folders({k: v for k, v in sections.items() if k != "data"})
    return {**named, "data": data}


def fingerprint(plan: Any) -> str:
    """Return the SHA-256 of a plan: of its JSON with sorted keys and no spaces.

    Examples
    --------
    >>> fingerprint({"seed": 1, "outcomes": ["ae"]}) == fingerprint({"outcomes": ["ae"], "seed": 1})
    True
    """
    return hashlib.sha256(canonical(plan).encode()).hexdigest()


def canonical(plan: Any) -> str:
    """Return a plan as JSON that is the same for every way of writing it down."""
    return json.dumps(plan, sort_keys=True, separators=(",", ":"), allow_nan=False)


def varied(study: Study) -> dict[str, Any]:
    """Return what a run of a matrix varies, files without their folders."""
    return {key: _without_folders(value) for key, value in study.varied.items() if key not in TOLD}


def flat(plan: Mapping[str, Any], inside: str = "") -> dict[str, Any]:
    """Return a plan by dotted keys.

    Examples
    --------
    >>> flat({"did": {"estimator": "etwfe"}, "outcomes": ["ae", "gp"]})
    {'did.estimator': 'etwfe', 'outcomes': ['ae', 'gp']}
    """
    out: dict[str, Any] = {}
    for key, value in plan.items():
        deeper = isinstance(value, Mapping) and bool(value)
        out |= flat(value, f"{inside}{key}.") if deeper else {f"{inside}{key}": value}
    return out


def differences(
    planned: Mapping[str, Any], run: Mapping[str, Any], *, given: Collection[str]
) -> dict[str, tuple[Any, Any]]:
    """Return the keys that differ, with the value planned and the value run; None where there is none.

    Parameters
    ----------
    planned, run : mappings of dotted key to value
        Both in full.
    given : collection of str
        Keys that one of the files sets itself. An option that only one of the two knows, such as one of a
        later version or of another method, is no difference as long as nobody sets it.

    Examples
    --------
    >>> differences({"seed": 1, "did.estimator": "etwfe"}, {"seed": 1, "checks.new": 3}, given=["did"])
    {'did': ('etwfe', None)}
    """
    both = {
        section: _has(planned, section) and _has(run, section) for section in map(_section, (*planned, *run))
    }
    asked = set(map(_section, given))
    out: dict[str, tuple[Any, Any]] = {}
    for key in dict.fromkeys((*planned, *run)):
        section = _section(key)
        if not both[section] and section in asked:
            # A method that only one of them has is one difference, however many options it brings.
            out[section] = _whole(planned, section), _whole(run, section)
        elif ((key in planned and key in run) or key in given) and planned.get(key) != run.get(key):
            out[key] = planned.get(key), run.get(key)
    return out


def _section(key: str) -> str:
    return key.partition(".")[0]


def _has(plan: Mapping[str, Any], section: str) -> bool:
    return any(key == section or key.startswith(f"{section}.") for key in plan)


def _whole(plan: Mapping[str, Any], section: str) -> Any:
    """What a section comes to, in one value: its method where it has one."""
    if not _has(plan, section):
        return None
    chosen = (plan.get(f"{section}.{key}") for key in ("estimator", "method"))
    return next(filter(None, chosen), "yes")


# What readers call the keys that plans change most, as things; any other is said in its own words.
_CALLED = {
    "design.control": "groups without support",
    "design.treated": "groups with support",
    "did": "difference-in-differences",
    "did.control": "whom the difference-in-differences compares with",
    "did.estimator": "kind of difference-in-differences",
    "disclosure": "rule for small numbers",
    "arms": "effects of each kind of support",
    "equity": "effects in groups of people",
    "matching": "matched comparison",
    "matching.exact": "what people are matched on exactly",
    "matching.method": "kind of matching",
    "matching.on": "what people are matched on",
    "money": "costs",
    "outcomes": "services counted, the main one first",
    "seed": "seed of random draws",
    "survey": "what people said",
    "survey.outcomes": "what people were asked, the main question first",
}


def in_words(key: str, value: Any) -> tuple[str, str]:
    """Return what readers call a key and its value.

    Examples
    --------
    >>> in_words("design.months_after", 6), in_words("did", None)
    (('months with support', '6'), ('difference-in-differences', 'none'))
    """
    if said := METHODS.get(key, {}).get(str(value)):
        value = said[:1].lower() + said[1:].rstrip(",")
    return _CALLED.get(key) or _called(key), _or(list(_words(value)), "and")


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, list | tuple) and value:
        for one in value:
            yield from _words(one)
    elif isinstance(value, Mapping):
        yield ", ".join(f"{k}: {' and '.join(_words(v))}" for k, v in value.items()) or "none"
    elif value is None or value in ([], ()):
        yield "none"
    else:
        yield {True: "yes", False: "no"}[value] if isinstance(value, bool) else written(value)


def _without_folders(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_folders(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_folders(one) for one in value]
    if isinstance(value, str) and _FILE.fullmatch(value) and " " not in value:
        return PureWindowsPath(value).name
    return value
