"""What has been shown of a study: kept inside, so that later pages and releases give nothing away beside it.

A page's record holds the exact counts behind it, those that were withheld too. It belongs in the private
folder, and is never shared.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from impact.disclosure.cells import Cell, Sum
from impact.disclosure.draft import Draft
from impact.errors import DataError


def read(folder: Path, *, but: str = "") -> Iterator[tuple[list[Cell], list[Sum]]]:
    """Return the counts of each table of the pages recorded in a folder, except of one page.

    Raises
    ------
    DataError
        For a file that is no record.
    """
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        if path.stem == but:
            continue
        try:
            tables = json.loads(path.read_text(encoding="utf-8"))["tables"]
            yield from (_restored(table) for table in tables)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise DataError(
                f"{path.name} in {folder.name!r} is not a record of what was released; "
                "put back the file, or move it away if that release was never sent."
            ) from error


def write(path: Path, drafts: Mapping[str, Draft], sheet: Sequence[Mapping[str, Any]]) -> None:
    """Record a page, in one step: a reader finds the old record or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tables = [_plain(draft) for draft in drafts.values()]
    new = path.with_suffix(f".{os.getpid()}.new")
    new.write_text(json.dumps({"tables": tables, "sheet": list(sheet)}), encoding="utf-8")
    os.replace(new, path)


def _plain(draft: Draft) -> dict[str, Any]:
    cells: dict[Cell, int] = {}
    sums = [
        [[cells.setdefault(c, len(cells)) for c in parts], total and cells.setdefault(total, len(cells))]
        for parts, total in draft.sums
    ]
    for cell in draft.cells:
        cells.setdefault(cell, len(cells))
    rows = [[c.measure, sorted(c.labels), c.value, bool(c.shown), c.column] for c in cells]
    return {"cells": rows, "sums": sums}


def _restored(table: Mapping[str, Any]) -> tuple[list[Cell], list[Sum]]:
    cells = [
        Cell(
            str(measure),
            frozenset((str(a), str(b)) for a, b in labels),
            int(value),
            column=str(column),
            shown=bool(shown),
        )
        for measure, labels, value, shown, column in table["cells"]
    ]
    sums: list[Sum] = [
        ([cells[i] for i in parts], None if total is None else cells[total]) for parts, total in table["sums"]
    ]
    return cells, sums
