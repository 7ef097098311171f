"""What a count counts: the same people counted in two tables are one cell to whoever reads both."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
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
_LEFT_OUT = (_NOT, str([_SAMPLE]))
_SAMPLES = {_SAMPLE[0], _NOT}
# What tables call the same people.
_SAME = {
    ("sample", "after"): _SAMPLE,
    ("rule", "weighted"): _SAMPLE,
    ("sample", "left out"): _LEFT_OUT,
    ("rule", "left out"): _LEFT_OUT,
    ("question", "supported people"): ("arm", "supported"),
    ("question", "people who could be controls"): ("arm", "control"),
}
_OTHER = {"1": "0", "0": "1", "yes": "no", "no": "yes", "supported": "control", "control": "supported"}
# What and when people are looked at for: as many of them are the same people.
_LOOKED_AT = frozenset(
    {"outcome", "term", "scale", "event_time", "event_time_to", "period", "period_to", "when"}
)


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


def who(cell: Cell) -> Cell:
    """Return a count of people without what and when they are looked at for."""
    if cell.measure != "persons":
        return cell
    return replace(cell, labels=frozenset(p for p in cell.labels if p[0] not in _LOOKED_AT))


def others(part: Cell, whole: Cell) -> Cell:
    """Return the rest of a whole; where a part is a yes, its rest is the no, which a table may show too."""
    own = part.labels - whole.labels
    what, which = next(iter(own)) if len(own) == 1 else ("", "")
    rest = (what, _OTHER[which]) if which in _OTHER else (_NOT, str(sorted(own)))
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
    for rows in _groups(table, adds_up) if adds_up else []:
        # Rows among which a total was found by its name need no second look, and are not added to it.
        rows = np.array([i for i in rows if i not in found], int)
        sums += [] if frozenset(rows) in told else [_with_total(values, rows)]
    if not sums and "covariate" not in labels:
        sums = [g for g in [_with_total(values, np.arange(len(table)))] if g[1] is not None]
    return found, sums


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
