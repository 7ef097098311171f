"""What a count counts: the same people counted in two tables are one cell to whoever reads both."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Labels = frozenset[tuple[str, str]]
Sum = tuple[list["Cell"], "Cell | None"]

_ARMS = {"treated": "supported", "supported": "supported", "control": "control"}
_WHEN = ("before", "after")
# A row of these is everyone, not a group among them.
_EVERYONE = {("covariate", "people"), ("sample", "before"), ("stage", "in the study")}
_SAMPLE = ("rule", "matched")
# All but some: such labels overlap with each other and with others, and cannot be added up.
_NOT = "not"
REST = (_NOT, "not shown", "other")
# Measure of what counts nobody: the mean of what other tables may count by level.
MEAN = "mean of "
_LEFT_OUT = (_NOT, str([_SAMPLE]))
_NEAR = ("question", "supported with a control near enough")
_TAKEN = ("rule", "every near control was taken")
_SAMPLES = {_SAMPLE[0], _NOT}
# What tables call the same people.
_SAME = {
    ("sample", "after"): _SAMPLE,
    ("rule", "weighted"): _SAMPLE,
    ("sample", "left out"): _LEFT_OUT,
    ("rule", "left out"): _LEFT_OUT,
    ("question", "supported people"): ("arm", "supported"),
    ("question", "people who could be controls"): ("arm", "control"),
    # What could be detected is said of those who have a control near enough.
    ("question", "smallest detectable rate ratio"): _NEAR,
}
_OTHER = {"1": "0", "0": "1", "yes": "no", "no": "yes", "supported": "control", "control": "supported"}
# What and when people are looked at for: as many of them are the same people.
_LOOKED_AT = frozenset(
    {"outcome", "term", "scale", "event_time", "event_time_to", "period", "period_to", "when"}
)
# How they are used to estimate: as many events are the same events.
_ESTIMATED = frozenset({"term", "scale"})


@dataclass(frozen=True)
class Cell:
    """One count: what is counted, among whom, how many, and where it would stand.

    ``row`` and ``column`` are its place in the table of a result, or ``column`` is empty for a count that
    is shown nowhere, such as the rest of a percentage. A count that is withheld because it is mostly that of
    one or two people must be able to be ``guard`` more or less.
    """

    measure: str
    labels: Labels
    value: int
    row: int = -1
    column: str = ""
    shown: bool = False
    guard: int = 0


def of_more_than_two(cells: Iterable[Cell]) -> set[str]:
    """Return what has more than two levels in a table."""
    levels: dict[str, set[str]] = {}
    for what, which in {pair for cell in cells for pair in cell.labels}:
        levels.setdefault(what, set()).add(which)
    return {what for what, whiches in levels.items() if len(whiches) > 2}


def who(cell: Cell) -> Cell:
    """Return a count of people without what and when they are looked at for, and of events without how."""
    said = _LOOKED_AT if cell.measure == "persons" else _ESTIMATED
    return replace(cell, labels=frozenset(p for p in cell.labels if p[0] not in said))


def whole_sample(measure: str, labels: Labels) -> Labels:
    """Return the labels of events without whether they are of a matched sample or of everyone.

    Who of the people is left out is a count of its own, and shares by weight are of nobody in particular.
    """
    return labels - {_SAMPLE} if measure == "events" else labels


def sample_of(method: Mapping[str, Any]) -> dict[str, str]:
    """Return the label of those behind a result: none, or that they are a matched sample.

    Examples
    --------
    >>> sample_of({"estimator": "crude rates"}), sample_of({"matching": {"estimator": "nearest"}})
    ({}, {'rule': 'matched'})
    """
    matched = "matching" in method or method.get("sample") == "matched"
    return dict([_SAMPLE]) if matched else {}


def of_matching(cells: Iterable[Cell], method: Mapping[str, Any]) -> list[Sum]:
    """Say how counts of a matched sample hang together by the method.

    Of pairs both arms are as many, also at every level of what they are alike in exactly. Who has a control
    near enough is matched, unless every near control was taken.
    """
    how, sums = dict(method.get("matching", method)), list[Sum]()
    pairs = how.get("ratio") == 1 and not (how.get("replace") or how.get("max_ratio"))
    alike = {"arm", "rule", *how.get("exact", ())} if pairs else set()
    supported = ("arm", "supported")
    mine = [c for c in map(who, cells) if c.measure == "persons" and supported in c.labels]
    for cell in mine:
        if _SAMPLE in cell.labels and {what for what, _ in cell.labels} <= alike:
            controls = cell.labels - {supported} | {("arm", "control")}
            sums.append(([cell], Cell("persons", controls, cell.value)))
    rules = {pair: cell for cell in mine for pair in cell.labels - {supported} if len(cell.labels) == 2}
    if {_SAMPLE, _TAKEN} <= {*rules}:
        near = Cell("persons", frozenset({_NEAR}), rules.pop(_SAMPLE).value + rules.pop(_TAKEN).value)
        parts = [near, *(cell for (what, _), cell in rules.items() if what == _SAMPLE[0])]
        sums.append((parts, Cell("persons", frozenset({supported}), sum(c.value for c in parts))))
    return sums


def others(part: Cell, whole: Cell, of_more: Collection[str] = ()) -> Cell:
    """Return the rest of a whole; where a part is a yes, its rest is the no, which a table may show too.

    ``of_more`` names what has more than two levels, of which 1 and 0 are no yes and no.
    """
    own = part.labels - whole.labels
    what, which = next(iter(own)) if len(own) == 1 else ("", "")
    both = which in _OTHER and what not in of_more
    rest = (what, _OTHER[which]) if both else (_NOT, str(sorted(own)))
    return Cell(whole.measure, whole.labels | {rest}, whole.value - part.value)


def cells_of(
    table: pd.DataFrame,
    labels: Sequence[str],
    columns: Sequence[str],
    hidden: pd.DataFrame,
    adds_up: Sequence[str] = (),
) -> tuple[dict[tuple[int, str], Cell], list[Sum]]:
    """Return the cell of each count of a table, by row and column, and which of them add up.

    Parameters
    ----------
    table : DataFrame
        Its rows are numbered from 0.
    labels : sequence of str
        Columns that say which group a row is.
    columns : sequence of str
        Columns of counts. ``control_persons`` counts persons of one arm, ``supported_before_events`` events
        of one arm before the start, and ``all`` or ``control_all`` everyone of whom the row is a part.
    hidden : DataFrame of bool
    adds_up : sequence of str
        Columns that together name rows that add up to something known.

    Returns
    -------
    cells : mapping of (row, column) to Cell
        A missing count has none.
    sums : list of (parts, total)
        Of the rows declared by ``adds_up``, of a row that is the total of others whatever it is called, and
        of a table in which one row is the sum of all others, as in a flow of people through a study. A
        total is None where it is known from elsewhere.

    Examples
    --------
    >>> table = pd.DataFrame({"covariate": ["sex", "sex"], "level": ["f", "m"], "control_persons": [20, 30]})
    >>> small = table[["control_persons"]] < 8
    >>> found, _ = cells_of(table, ["covariate", "level"], ["control_persons"], small)
    >>> sorted(found[0, "control_persons"].labels), found[1, "control_persons"].value
    ([('arm', 'control'), ('sex', 'f')], 30)
    """
    counts = {c: _counted(c) for c in columns}
    added = [c for c, (_, _, everyone) in counts.items() if not everyone]
    values = table[list(columns)].to_numpy(float, na_value=np.nan)
    totals, groups = _that_add_up(table, np.nan_to_num(table[added].to_numpy(float)), labels, adds_up)
    rows = _rows(table, labels)
    cells: dict[tuple[int, str], Cell] = {}
    sums: list[Sum] = []
    for j, (column, (measure, more, everyone)) in enumerate(counts.items()):
        among, perhaps = _among(rows, values[:, j]) if everyone else (None, [])
        for i in map(int, np.flatnonzero(np.isfinite(values[:, j]))):
            # Whatever a total is called, it counts everyone of whom its row is the total.
            over = set() if everyone else {*totals.get(i, ())}
            over |= {table["covariate"].iloc[i]} if "level" in over and "covariate" in table else set()
            of = [pair for pair in rows[i] if pair[0] not in over]
            key = _key(of, among, more)
            seen = not bool(hidden[column].iloc[i])
            cells[i, column] = cell = Cell(measure, key, round(values[i, j]), i, column, seen)
            same = {_key(rows[i], some, more) for some in perhaps} - {key}
            sums += [([Cell(measure, other, cell.value)], cell) for other in same]
        for parts, total in () if everyone else groups:
            inside = [cells[i, column] for i in parts if (i, column) in cells]
            sums.append((inside, None if total is None else cells.get((total, column))))
    return cells, sums


_Group = tuple[list[int], int | None]


def _that_add_up(
    table: pd.DataFrame, values: NDArray[np.float64], labels: Sequence[str], adds_up: Sequence[str]
) -> tuple[dict[int, list[str]], list[_Group]]:
    """Find rows that are the total over a label, and the groups of rows that add up.

    A total is the one name of a label whose row is, in every column, the sum of all others alike.
    """
    found: dict[int, list[str]] = {}
    sums: list[_Group] = []
    for label in labels:
        groups = [g for g in _groups(table, [x for x in labels if x != label]) if len(g) > 2]
        names = table[label].astype("string").fillna("").to_numpy()
        for name in sorted(set.intersection(*(set(names[g]) for g in groups))) if groups else ():
            at = [int(g[names[g] == name][0]) for g in groups]
            if values[at].any() and all(
                np.allclose(2 * values[a], values[g].sum(0)) for a, g in zip(at, groups, strict=True)
            ):
                for a, g in zip(at, groups, strict=True):
                    found.setdefault(a, []).append(label)
                    sums.append(([int(i) for i in g if i != a], a))
                break
    told = {frozenset(parts) for parts, _ in sums}
    # Rows among which a total was found by its name need no second look, and are not added to it.
    declared = [np.array([i for i in g if i not in found], int) for g in _groups(table, adds_up)]
    declared = [g for g in declared if adds_up and frozenset(g.tolist()) not in told]
    ends = [_with_total(values, g) for g in declared]
    words = table[list(labels)].astype("string").fillna("")
    # A total is called by no level of its parts: by chance a row is the sum of others.
    ends = [
        end if end[1] is None or _only(words.iloc[g], g.tolist().index(end[1])) else (g.tolist(), None)
        for g, end in zip(declared, ends, strict=True)
    ]
    # One group in which a row happens to be the sum of the others has no total, if other groups have none.
    every = all(total is not None for _, total in ends)
    sums += ends if every else [(g.tolist(), None) for g in declared]
    if not sums and "covariate" not in labels:
        sums = [g for g in [_with_total(values, np.arange(len(table)))] if g[1] is not None]
    return found, sums


def _only(words: pd.DataFrame, row: int) -> bool:
    """Whether a row shares no label with another, but those that all rows share."""
    alike = (words == words.iloc[row]).sum()
    return bool(alike.isin([1, len(words)]).all())


def _groups(table: pd.DataFrame, by: Sequence[str]) -> list[NDArray[np.int64]]:
    if not by:
        return [np.arange(len(table))]
    keys = table[list(by)].astype("string").fillna("")
    return [np.asarray(rows) for rows in keys.groupby(list(by), sort=False).indices.values()]


def _with_total(values: NDArray[np.float64], rows: NDArray[np.int64]) -> _Group:
    """Return the rows without the one that is the sum of the others, if there is one, and that one."""
    inside = values[rows]
    if len(rows) > 2 and inside.any():
        top = int(np.argmax(inside.sum(1)))
        if np.allclose(2 * inside[top], inside.sum(0)):
            return [int(i) for i in np.delete(rows, top)], int(rows[top])
    return [int(i) for i in rows], None


def _rows(table: pd.DataFrame, labels: Sequence[str]) -> list[list[tuple[str, str]]]:
    """Say of each row which group it is, as (what, which); columns that go together are one."""
    words = table[list(labels)].astype("string").fillna("").astype(object)
    if {"covariate", "level"} <= set(labels):
        named = list(zip(words.pop("covariate"), words.pop("level"), strict=True))
    else:
        named = []
    kept = _not_twins(words)
    pairs = [list(zip([c] * len(table), words[c], strict=True)) for c in kept]
    if named:
        # A mean is of everyone.
        pairs.append(
            [("covariate", "people") if a == "people" or b == "mean (SD)" else (a, b) for a, b in named]
        )
    rows = zip(*pairs, strict=True) if pairs else iter([()] * len(table))
    return [[p for p in map(_arm, row) if p[1] and p not in _EVERYONE] for row in rows]


def _key(row: Sequence[tuple[str, str]], among: set[str] | None, more: dict[str, str]) -> Labels:
    own = dict(pair for pair in row if among is None or pair[0] in among)
    return frozenset((own | more).items())


def _among(
    rows: Sequence[Sequence[tuple[str, str]]], values: NDArray[np.float64]
) -> tuple[set[str], list[set[str]]]:
    """Say by which labels those differ of whom rows are parts, and by which others they may.

    They differ by as few as tell apart the rows in which they are not as many. What all rows share they are
    taken to share too; if that, or any other label, says nothing of them, they may be those without.
    """
    known = [(dict(row), value) for row, value in zip(rows, values, strict=True) if np.isfinite(value)]
    # A covariate of a first table has rows of its own, and each of its levels is a part of the same whole.
    whats = [w for w in sorted({w for row, _ in known for w in row}) if all(w in r for r, _ in known)]
    alike = {what for what in whats if len({row[what] for row, _ in known}) == 1}
    vary = sorted({*whats, *_SAMPLES} - alike)
    for some in chain.from_iterable(combinations(vary, k) for k in range(len(vary) + 1)):
        groups = {(*map(row.get, some), value) for row, value in known}
        if len(groups) == len({group[:-1] for group in groups}):
            rest = {*alike, *_SAMPLES} - set(some)
            maybe = chain.from_iterable(combinations(sorted(rest), k) for k in range(len(rest) + 1))
            return {*some, *alike}, [{*some, *one} for one in maybe]
    return _SAMPLES, []


def _arm(pair: tuple[Any, Any]) -> tuple[str, str]:
    what, which = str(pair[0]), str(pair[1])
    if what in ("arm", "rule") and which in _ARMS:
        return "arm", _ARMS[which]
    return _SAME.get((what, which), (what, which))


def _not_twins(words: pd.DataFrame) -> list[str]:
    """Keep one of several columns that determine each other, such as the two ends of a bin."""
    kept: dict[Hashable, str] = {}
    for column in words:
        codes = tuple(pd.factorize(words[column])[0])
        # Columns with one value for all are no twins of each other.
        kept.setdefault(codes if any(codes) else column, str(column))
    return list(kept.values())


def _counted(column: str) -> tuple[str, dict[str, str], bool]:
    """Return what a column counts, among whom, and whether everyone of whom the row is a part."""
    words, more = column.removeprefix("counts.").split("_"), {}
    if words[0] in _ARMS and (len(words) > 1 or words[0] != "supported"):
        more["arm"] = _ARMS[words.pop(0)]
    if words and words[0] in _WHEN:
        more["when"] = words.pop(0)
    everyone = words == ["all"]
    return "persons" if everyone or not words else "_".join(words), more, everyone
