"""What has been shown of a study: kept inside, so that later pages and reports give nothing away beside it.

A page's record holds the exact counts behind it, those that were withheld too. It belongs in the private
folder, and is never shared.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from impact.disclosure.cells import Cell, Labels, Sum, who
from impact.disclosure.draft import Draft
from impact.disclosure.policies import Policy
from impact.errors import DataError

# Of the files: one in another form may leave out what the comparison needs, and is refused.
FORMAT = 2

Table = tuple[list[Cell], list[Sum]]


@dataclass(frozen=True)
class Record:
    """What a page showed: the counts of each table and how they add up, and what the sheet says of it.

    ``sums`` are the counts that were printed as the sum of their rounded parts, with that number; ``rule`` is
    what of the policy decides how much a reader of two reports under two policies knows.
    """

    tables: Mapping[str, Table]
    sheet: Sequence[Mapping[str, Any]]
    sums: Mapping[int, int] = field(default_factory=dict)
    rule: Mapping[str, Any] = field(default_factory=dict)


def read(folder: Path, *, but: str = "") -> Iterator[Table]:
    """Return the counts of each table of all pages recorded in a folder or within, except of one page there.

    Raises
    ------
    DataError
        For a file that is no record, or one in another form.
    """
    for path in sorted(folder.rglob("*.json")):
        if path != folder / f"{but}.json":
            yield from load(path).tables.values()


def reports(folder: Path) -> dict[Path, list[Table]]:
    """Return the tables of each earlier report, by the folder with its records; raises as ``read`` does."""
    found: dict[Path, list[Table]] = {}
    for path in sorted(folder.rglob("*.json")):
        found.setdefault(path.parent.resolve(), []).extend(load(path).tables.values())
    return found


def printed(page: Path | None, previous: str | Path | None, policy: Policy) -> dict[int, int]:
    """Return which number each count was printed as on other pages of a report, and in earlier reports."""
    folders = [page.parent] if page else []
    folders += [Path(previous)] if previous else []
    found: dict[int, int] = {}
    for path in dict.fromkeys(p for folder in folders for p in sorted(folder.rglob("*.json")) if p != page):
        then = load(path)
        shown = {c.value for cells, _ in then.tables.values() for c in cells if c.shown}
        for value in sorted(shown):
            found.setdefault(value, then.sums.get(value, int(policy.rounded(value))))
    return found


def with_earlier_rules(rule: Policy, previous: str | Path | None) -> tuple[Policy, Policy]:
    """Return a policy for a report that follows others under other policies, and what protects its counts.

    What an earlier report withholds for being few this one withholds too. A count that is rounded in two ways
    may be told exactly by both: where they differ, no rounding protects it.
    """
    found = [load(path).rule for path in sorted(Path(previous).rglob("*.json"))] if previous else []
    rules = [then for then in found if then]
    rule = replace(rule, smallest_shown=max([rule.smallest_shown, *(then["few"] for then in rules)]))
    alike = all(then["rounding"] == [rule.rounding, rule.round_to] for then in rules)
    return rule, rule if alike else replace(rule, round_to=1)


def of_other_data(then: Sequence[Table], now: Iterable[Cell]) -> bool:
    """Say whether an earlier report was made from other data: it counts by a same name, and otherwise."""
    here, there = (_by_name(cells) for cells in (now, (cell for cells, _ in then for cell in cells)))
    return any(not here[name] & there[name] for name in here.keys() & there.keys())


def _by_name(cells: Iterable[Cell]) -> dict[tuple[str, Labels], set[int]]:
    """Return how many each count is that stands in a table, by what it counts."""
    found: dict[tuple[str, Labels], set[int]] = {}
    for cell in map(who, cells):
        if cell.column:
            found.setdefault((cell.measure, cell.labels), set()).add(cell.value)
    return found


def load(path: Path) -> Record:
    """Return the record of a page.

    Raises
    ------
    DataError
        For a file that is no record, or one in another form.
    """
    told = f"{path.parent.name}/{path.name}"
    mend = (
        "If that report was sent, make it again from the data it was made from, and then this one; "
        "if nobody got it, move the file away."
    )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found.get("format", 1) != FORMAT:
            raise DataError(f"{told} was recorded by another version of impact. {mend}")
        tables = {str(name): _restored(table) for name, table in found["tables"].items()}
        sums = {int(n): int(m) for n, m in found.get("sums", ())}
        return Record(tables, list(found["sheet"]), sums, dict(found.get("rule", {})))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise DataError(f"{told} is not a record of what a report showed. {mend}") from error


def write(
    path: Path,
    drafts: Mapping[str, Draft],
    sheet: Sequence[Mapping[str, Any]],
    policy: Policy,
) -> None:
    """Record a page, in one step: a reader finds the old record or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tables = {name: _plain(draft) for name, draft in drafts.items()}
    new = path.with_suffix(f".{os.getpid()}.new")
    rule = {"few": policy.smallest_shown, "rounding": [policy.rounding, policy.round_to]}
    said = {"format": FORMAT, "tables": tables, "sheet": list(sheet), "sums": policy.sums, "rule": rule}
    new.write_text(json.dumps(said), encoding="utf-8")
    os.replace(new, path)


def _plain(draft: Draft) -> dict[str, Any]:
    cells: dict[Cell, int] = {}
    sums = [
        [[cells.setdefault(c, len(cells)) for c in parts], total and cells.setdefault(total, len(cells))]
        for parts, total in draft.sums
    ]
    for cell in draft.cells:
        cells.setdefault(cell, len(cells))
    rows = [[c.measure, sorted(c.labels), c.value, bool(c.shown), c.column, c.guard] for c in cells]
    return {"cells": rows, "sums": sums}


def _restored(table: Mapping[str, Any]) -> Table:
    cells = [
        Cell(
            str(measure),
            frozenset((str(a), str(b)) for a, b in labels),
            int(value),
            column=str(column),
            shown=bool(shown),
            guard=int(guard),
        )
        for measure, labels, value, shown, column, guard in table["cells"]
    ]
    sums: list[Sum] = [
        ([cells[i] for i in parts], None if total is None else cells[total]) for parts, total in table["sums"]
    ]
    return cells, sums
