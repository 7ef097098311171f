"""What several studies found, gathered by outcome: read from what they released, or from effects in memory.

What crosses from study to study is what was released of each: an estimate and its standard error for each
outcome and scale.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtridf

from impact.errors import DataError, DesignError, ParameterError, nearest
from impact.numbers.rounding import magnitude
from impact.results import Array, Effects

Studies = Mapping[str, Effects | Mapping[str, Any]]
Mask = NDArray[np.bool_]
Numbers = NDArray[np.intp]

# Sums over people, such as events avoided, have no average over studies.
_SCALES = ("difference", "log ratio")
_CELL = ["outcome", "scale", "unit"]
_NUMBERS = ("estimate", "std_error", "conf_high", "conf_level")
_COUNTS = ("persons", "treated", "events")
_BEHIND = (*_COUNTS, "fewest")
# The columns that a released result may have besides.
_MAYBE = ("conf_low", "clusters")
_NAMED = 5


def released_studies(folders: Iterable[str | Path], *, name: str = "effects") -> dict[str, dict[str, Any]]:
    """Read what finished studies released of their effects, for ``pool``.

    Parameters
    ----------
    folders : iterable of paths
        Each the ``share`` folder of a study, or its ``results.json``.
    name : str
        Under which the effects were released; of several pages with them the readers' page comes first.

    Returns
    -------
    dict
        By the name of the study the released result, with the hashes of the files of its people.

    Raises
    ------
    DataError
        Where there are no results, or no effects of that name among them.
    DesignError
        If a study is there twice.
    """
    found: dict[str, dict[str, Any]] = {}
    for folder in map(Path, folders):
        file = folder / "results.json" if folder.is_dir() else folder
        said = _json(file)
        try:
            study, pages = str(said["study"]), dict(said["results"])
            items = [item for page in sorted(pages, key=lambda p: p != "findings") for item in pages[page]]
            known = {item["name"]: item for item in reversed(items) if item["kind"] == "effects"}
        except (KeyError, TypeError, ValueError):
            raise DataError(f"{_place(file)}: these are not the results of a study.") from None
        if name not in known:
            raise DataError(f"study {study!r} released no effects named {name!r}.{nearest(name, known)}")
        if study in found:
            raise DesignError(f"study {study!r} is there twice; leave one out.")
        beside = file.with_name("manifest.json")
        inputs = _json(beside)["inputs"] if beside.is_file() else []
        people = [file["sha256"] for file in inputs if file["table"] in ("people", "panel")]
        found[study] = {**known[name], "people": people}
    return found


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise DataError(f"{_place(file)}: there are no results to read; run the study first.") from None


def _place(file: Path) -> str:
    return "/".join(file.parts[-3:])


@dataclass(frozen=True, eq=False)
class Gathered:
    """What k studies found of p outcomes and scales (``cells``): (p, k) arrays, missing where nothing was.

    ``y`` and ``v`` are estimates and variances, ``low`` and ``high`` the ends of each study's own interval,
    of which ``level`` is the level and ``df`` the degrees of freedom, ``behind`` its counts; ``first`` is the
    outcome that each study puts first.
    """

    names: list[str]
    cells: pd.DataFrame
    y: Array
    v: Array
    df: Array
    low: Array
    high: Array
    level: Array
    behind: Mapping[str, Array]
    method: dict[str, Any]
    notes: list[str]
    first: list[str]

    def counts(self, present: Mask, cell: Numbers) -> pd.DataFrame:
        """People and events behind n averages of these cells (n,) over the studies ``present`` (n, k).

        A number that one of the studies withholds is not known of their sum. ``fewest`` is the least that is
        known to be behind any one study: what was released was held to the rule before.
        """
        known = {name: np.where(present, values[cell], 0.0).sum(1) for name, values in self.behind.items()}
        known["fewest"] = np.where(present, self.behind["fewest"][cell], np.inf).min(1)
        whole = {name: n.astype(int) if np.isfinite(n).all() else n for name, n in known.items()}
        return pd.DataFrame({**whole, "clusters": present.sum(1)})

    def not_added_up(self) -> list[str]:
        """Say of each outcome which numbers behind an average are not shown, and why."""
        said, names = [], np.array(self.names, object)
        for outcome, cell in self.cells.groupby("outcome", sort=False).indices.items():
            there = np.isfinite(self.y[cell])
            people, events = (np.where(there, self.behind[n][cell], 0.0) for n in ("treated", "events"))
            for numbers, what in ((people, "people with support"), (events, "events")):
                known = np.isfinite(numbers)
                without = names[(~known).any(0)].tolist()
                if (there & known).any() and without:
                    said.append(
                        f"{outcome}: {what} are not added up, as they are not shown of {listed(without)}."
                    )
            # The gate does not tell these, as their sum to the last step would tell the people.
            if (events.sum(1) >= people.sum(1)).all():
                said.append(
                    f"{outcome}: how many events is not shown, as there are more of them than people."
                )
        return said

    def primary(self, asked: str | None) -> str:
        """Return the primary outcome: the one asked for, or the one that all studies put first."""
        pooled, firsts = list(dict.fromkeys(self.cells["outcome"])), list(dict.fromkeys(self.first))
        if asked is None and len(firsts) > 1:
            raise ParameterError(f"primary: the studies put different outcomes first: {firsts}; name one.")
        if asked is not None and asked not in pooled:
            raise ParameterError(
                f"primary={asked!r}: not among the outcomes pooled, {pooled}.{nearest(asked, pooled)}"
            )
        return asked or firsts[0]


def gather(studies: Studies, *, least: int = 2) -> Gathered:
    """Gather the estimates of outcomes and scales that ``least`` studies have; notes say what is missing."""
    if not isinstance(studies, Mapping) or len(studies) < 2:
        raise DesignError(
            "studies: give a mapping of two or more by name; there is nothing to average of one."
        )
    names = [str(name) for name in studies]
    every = _rows(studies)
    first = every.drop_duplicates("at")["outcome"].astype(str).tolist()
    rows = _known(every)
    _refuse_twice(rows)
    cell = rows.groupby(_CELL, sort=False).ngroup().to_numpy()
    studied = np.bincount(cell)
    kept = np.flatnonzero(studied >= least)
    if not len(kept):
        raise DesignError(
            "studies: no outcome has an estimate on one scale in two of them; nothing to average."
        )
    cells = rows.drop_duplicates(_CELL)[_CELL]

    def by_study(column: str) -> Array:
        out = np.full((len(studied), len(names)), np.nan)
        out[cell, rows["at"]] = rows[column]
        return np.asarray(out[kept])

    return Gathered(
        names=names,
        cells=cells.iloc[kept].reset_index(drop=True),
        y=by_study("estimate"),
        v=by_study("std_error") ** 2,
        df=by_study("df"),
        low=by_study("conf_low"),
        high=by_study("conf_high"),
        level=by_study("conf_level"),
        behind={name: by_study(name) for name in _BEHIND},
        method=_method(studies, cells.iloc[kept]),
        notes=[*_missing(rows, names, least), *_not_alike(studies)],
        first=first,
    )


def estimates(studies: Studies) -> pd.DataFrame:
    """Return what studies found, a row an outcome and scale of each, without what was withheld.

    Raises
    ------
    DataError
        For a table without a column that is needed, or a standard error that is no number above 0.
    """
    return _known(_rows(studies))


def _rows(studies: Studies) -> pd.DataFrame:
    names = [str(name) for name in studies]
    tables = [_table(name, study) for name, study in zip(names, studies.values(), strict=True)]
    rows = pd.concat(tables, keys=range(len(names))).reset_index(level=0, names="at")
    rows = rows[rows["scale"].isin(_SCALES)].reset_index(drop=True)
    return rows.assign(study=np.array(names, object)[rows["at"]])


def _known(rows: pd.DataFrame) -> pd.DataFrame:
    return _with_df(rows[rows["estimate"].notna() & rows["std_error"].notna()])


def _table(name: str, study: Effects | Mapping[str, Any]) -> pd.DataFrame:
    """Return the columns that count of the table of a study; those that it may lack are then missing."""
    if isinstance(study, Effects):
        averaged = study.select(study.labels["scale"].isin(_SCALES))
        table = pd.concat([averaged.table, _exact(averaged.counts)], axis=1)
    elif isinstance(study, Mapping) and "table" in study:
        table = pd.DataFrame(study["table"])
    else:
        raise DataError(f"study {name!r}: got {type(study).__name__}; give Effects or a released result.")
    if missing := [c for c in (*_CELL, *_NUMBERS[:2]) if c not in table]:
        raise DataError(f"study {name!r}: its table has no column {', '.join(map(repr, missing))}.")
    numbers = table.reindex(columns=[*_NUMBERS, *_MAYBE, *_BEHIND]).astype(float)
    numbers["fewest"] = numbers[list(_BEHIND)].min(axis=1)
    if isinstance(study, Mapping) and "smallest_shown" in study:
        # The gate let no estimate pass that rests on fewer, whichever of its counts it withheld.
        least, told = study["smallest_shown"], numbers[list(_COUNTS)].notna().all(axis=1)
        numbers["fewest"] = numbers["fewest"].clip(lower=least).where(told, least)
    return pd.concat([table[_CELL].fillna(""), numbers], axis=1)


def _with_df(rows: pd.DataFrame) -> pd.DataFrame:
    """Add the degrees of freedom by which each interval was made: they show in how far it reaches out."""
    error = rows["std_error"]
    wrong = rows[(error <= 0) | np.isinf(error) | np.isinf(rows["estimate"])]
    if len(wrong):
        raise DataError(
            f"study {wrong['study'].iloc[0]!r}, {_what(wrong)}: a standard error must be a number above 0; "
            "leave it out."
        )
    reach = (rows["conf_high"] - rows["estimate"]) / error
    # A released result has two digits of its error, by which an interval's reach is known no better.
    half = 0.5 * 10.0 ** (magnitude(error) - 1)
    steps = rows[["std_error", "conf_high"]].div(2 * half, axis=0)
    short = (abs(steps - steps.round()) < 1e-6).all(axis=1)
    least = ((rows["conf_high"] - rows["conf_low"]) / 2 - half) / (error + half)
    reach = reach.mask(short & rows["conf_low"].notna(), least)
    df = np.asarray(stdtridf(0.5 + rows["conf_level"] / 2, reach), float)
    # Degrees of freedom are at most the clusters less one, which counts few of them exactly.
    most = np.where(short & (rows["clusters"] > 1), rows["clusters"] - 1, np.inf)
    return rows.assign(df=np.fmin(np.where(np.isfinite(df), df, np.inf), most))


def _exact(counts: pd.DataFrame) -> pd.DataFrame:
    """Return counts that were not released, with the least that an average and they could give away."""
    counts = counts.drop(columns=["clusters", "largest", "second"], errors="ignore").reset_index(drop=True)
    controls = (counts["persons"] - counts["treated"]).where(lambda n: n > 0)
    return counts.assign(fewest=counts.assign(controls=controls).min(axis=1))


def _refuse_twice(rows: pd.DataFrame) -> None:
    """Refuse several effects of a study on an outcome, units that differ, and a study under two names."""
    if len(several := rows[rows.duplicated(["study", *_CELL[:2]])]):
        raise DesignError(
            f"study {several['study'].iloc[0]!r} has several effects on {_what(several)}; select one an "
            "outcome and scale."
        )
    if len(mixed := rows[rows.groupby(_CELL[:2])["unit"].transform("nunique") > 1]):
        raise DesignError(f"{_what(mixed)}: the studies have different units; pool those that have one unit.")
    # Of many studies two may be alike in one figure by chance, and hardly in all.
    told: dict[Any, set[Any]] = {}
    shown = rows[[*_CELL, *_NUMBERS, *_MAYBE, *_BEHIND]].fillna("")
    for study, row in zip(rows["study"], zip(*(shown[c] for c in shown), strict=True), strict=True):
        told.setdefault(study, set()).add(row)
    found: dict[Any, list[str]] = {}
    for study, own in told.items():
        found.setdefault(frozenset(own), []).append(str(study))
    if twice := next((names for names in found.values() if len(names) > 1), []):
        raise DesignError(
            f"studies {listed(twice)} have the same effect on {_what(rows[rows['study'].isin(twice)])}, with "
            "the same standard error to the last digit: they are one study; leave one out."
        )


def _what(rows: pd.DataFrame) -> str:
    """Name the outcome and scale of the first of some rows."""
    return f"{rows['outcome'].iloc[0]!r} ({rows['scale'].iloc[0]})"


def _method(studies: Studies, cells: pd.DataFrame) -> dict[str, Any]:
    methods = [_method_of(study) for study in studies.values()]
    said: dict[str, Any] = {"outcome": list(dict.fromkeys(cells["outcome"])), "studies": list(studies)}
    said["estimators"] = sorted({str(m["estimator"]) for m in methods if m.get("estimator")})
    return {**said, "control": "as in each study", "seed": None}


def _method_of(study: Effects | Mapping[str, Any]) -> Mapping[str, Any]:
    return study.method if isinstance(study, Effects) else study.get("method") or {}


def _missing(rows: pd.DataFrame, names: Sequence[str], least: int) -> list[str]:
    """Say of each outcome which studies have no estimate of it, on both scales or on one."""
    said = []
    for outcome, own in rows.groupby("outcome", sort=False):
        having = {scale: set(part["study"]) for scale, part in own.groupby("scale", sort=False)}
        for which in dict.fromkeys(map(frozenset, having.values())):
            scales = [str(scale) for scale, some in having.items() if some == which]
            what = "" if len(scales) == len(having) else f"its {' and '.join(scales)} "
            if len(which) < least:
                said.append(f"{outcome}: {what}not averaged, as only {next(iter(which))} has an estimate.")
            elif len(which) < len(names):
                without = listed([name for name in names if name not in which])
                said.append(f"{outcome}: {what}without {without}, where it was withheld or not estimated.")
    return said


def _not_alike(studies: Studies) -> list[str]:
    """Say where studies share their people's file, or were analysed in different ways."""
    said, shared = [], dict[str, list[str]]()
    for name, study in studies.items():
        for file in () if isinstance(study, Effects) else study.get("people", ()):
            shared.setdefault(file, []).append(str(name))
    if together := list(dict.fromkeys(n for group in shared.values() if len(group) > 1 for n in group)):
        said.append(
            f"{listed(together)} were made from the same file of people. If anybody is in two of them, with "
            "support or for comparison, the ranges are too narrow."
        )
    if len({_method_of(study).get("estimator") for study in studies.values()}) > 1:
        said.append("The studies were not all analysed in the same way; part of how they differ may be that.")
    return said


def listed(names: Sequence[str]) -> str:
    """Name some things in a sentence, and say how many more there are.

    Examples
    --------
    >>> listed(["North", "East", "South"]), listed(list("abcdefgh"))
    ('North, East and South', 'a, b, c, d, e and 3 more')
    """
    shown, more = list(names[:_NAMED]), len(names) - _NAMED
    last = f"{more} more" if more > 0 else shown.pop() if shown else ""
    return f"{', '.join(shown)} and {last}" if shown else last
