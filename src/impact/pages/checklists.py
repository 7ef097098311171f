"""Reporting checklists on a page: how much of each is reported, and its items, closed until opened."""

from __future__ import annotations

import html
from collections.abc import Mapping

from impact.disclosure import Released
from impact.interpret.checklists import LISTS, NOT_REPORTED
from impact.pages import SEAL, Shown, fold
from impact.pages.formats import capital, listed, notes, plain
from impact.pages.layout import Column, Table, table_of


def table(released: Released) -> Table:
    """Lay out a checklist: item, what it asks for, and where or what the answer is."""
    shown = released.table
    columns = [
        Column("Item", shown["item"].tolist(), True),
        Column("Asks for", shown["asks"].tolist(), True),
        Column("Where, or the answer", [capital(plain(said)) for said in shown["answer"]], True),
    ]
    said = released.method
    return table_of(released, f"{said['list']}: {said['reported']} reported", columns, notes(released))


def checklists(released: Mapping[str, Released]) -> Shown:
    """Say how much of each checklist is reported, and show its items.

    Parameters
    ----------
    released : mapping of name to Released
        With what ``interpret.checklists`` makes.
    """
    parts = [_one(released[name]) for name in LISTS if name in released]
    text = "\n".join(part.text for part in parts)
    return Shown(text, "".join(p.html for p in parts), tuple(s for p in parts for s in p.sources), seal=SEAL)


def _one(released: Released) -> Shown:
    said = released.method
    line = f"{said['list']} ({said['about']}): {said['reported']} reported."
    missing = released.table.loc[released.table["answer"] == NOT_REPORTED, "item"].tolist()
    line += f" Not reported: {listed(missing)}." if missing else ""
    items = fold(f"{said['list']}, item by item", released)
    return Shown(f"{line}\n{items.text}", f"<p>{html.escape(line)}</p>{items.html}", (released,), seal=SEAL)
