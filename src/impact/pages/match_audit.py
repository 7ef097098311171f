"""Matching on earlier use may itself mislead: both analyses side by side, and what each of them needs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from impact.disclosure import Released
from impact.interpret.matched_on_use import NO_EVIDENCE
from impact.pages import SEAL, Shown, show
from impact.pages.answers import about
from impact.pages.formats import (
    READERS_UNITS,
    inside,
    label,
    notes,
    number,
    numeric,
    places,
    plain,
)
from impact.pages.layout import Column, Table, cells_of, table_of
from impact.pages.statement import Statement

_TWO = (
    "Here each group's change from before to after stands beside the other's, among everyone and among the "
    "matched. Which is nearer the truth depends on why people came to be supported, and no data tell."
)
_SPELL = (
    "If it was a bad spell, which passes: people matched on it are alike, and comparing everyone makes "
    "{name} {lower} with support by about {everyone} {unit}."
)
_NEED = (
    "If it was lasting need: matched people go on differing, and matching makes {name} {higher} with support "
    "by about {matched}. The truth may lie between."
)


def both_ways(released: Mapping[str, Released]) -> Shown:
    """Show both differences in differences, and what each needs; or why they could not be made.

    Parameters
    ----------
    released : mapping of name to Released
        With ``audit`` or ``no_audit``, of ``interpret.match_audit``; nothing is shown without either.
    """
    if (none := released.get("no_audit")) is not None:
        return show(Statement("sentence", (("list", (_not_made(none),)),), (none,), SEAL))
    if (found := released.get("audit")) is None:
        return show()
    said = Statement("sentence", (("list", (_TWO,)), ("list", _depends(found))), (found,), SEAL)
    return show(said, found)


def line(released: Mapping[str, Released]) -> list[str]:
    """What the findings page says of it, where it matters; as a list that may be empty.

    It matters where what matching could be off by is half as long as one side of its range, or longer; and
    where people were matched on earlier use and nobody can say by how much that may be off.
    """
    if (none := released.get("no_audit")) is not None:
        return [_not_made(none)] if none.method["on_use"] else []
    if (found := released.get("audit")) is None or NO_EVIDENCE not in found.notes:
        return []
    bias, low, high = numeric(found.table.iloc[0][["matched_bias", "matched_low", "matched_high"]])
    if not abs(bias) >= (high - low) / 4:
        return []
    name = inside(label(found.table["outcome"].iloc[0]))
    unit, factor = _unit(found)
    size = f"{about(factor * bias)} {unit.replace('per 1,000', 'for every 1,000')}"
    return [
        f"Matching on earlier use could itself mislead: if lasting need, more than a bad spell, decided who "
        f"got support, it makes {name} {'higher' if bias > 0 else 'lower'} with support by about {size}."
    ]


def _not_made(none: Released) -> str:
    why = plain(str(none.method["why"]))
    if none.method["on_use"]:
        return f"Matching on earlier use could itself mislead, and by how much cannot be said here: {why}."
    return (
        "People were not matched on their earlier use, which could itself have misled. Each group’s change "
        f"from before to after is not set beside the other’s: {why}."
    )


def _depends(found: Released) -> tuple[str, ...]:
    row = found.table.iloc[0]
    unit, factor = _unit(found)
    everyone, matched = factor * numeric(row[["everyone_bias", "matched_bias"]])
    name = inside(label(row["outcome"]))
    if not np.isfinite([everyone, matched]).all():
        return (f"There are too few {name} to say by how much.",)
    words = {
        "name": name,
        "unit": unit.replace("per 1,000", "for every 1,000"),
        "lower": "lower" if everyone < 0 else "higher",
        "higher": "higher" if matched > 0 else "lower",
        "everyone": about(everyone, [matched]),
        "matched": about(matched, [everyone]),
    }
    return tuple(text.format(**words) for text in (_SPELL, _NEED))


def _unit(found: Released) -> tuple[str, float]:
    stored = str(found.table["unit"].iloc[0])
    return READERS_UNITS.get(stored, (stored, 1.0))


def table(found: Released) -> Table:
    """Each outcome on one line: both estimates, by how much each may be off, and the slope."""
    shown = found.table
    unit, factor = _unit(found)
    digits = places(factor * numeric(shown[["everyone", "matched"]].to_numpy().ravel()))
    columns = [Column("Service", shown["outcome"].map(label).tolist(), True)]
    for title, name in (
        ("Everyone", "everyone"),
        ("off by, if a bad spell decided", "everyone_bias"),
        ("Matched", "matched"),
        ("off by, if lasting need decided", "matched_bias"),
    ):
        columns.append(Column(title, _with_range(found, name, factor, digits)))
    columns.append(Column("Of a difference before, left after", _with_range(found, "slope", 100, 0, "%")))
    caption = f"Change with support less change without, {unit} (95% ranges in brackets)"
    return table_of(found, caption, columns, notes(found))


def _with_range(found: Released, what: str, factor: float, digits: int, mark: str = "") -> list[str]:
    def said(value: float) -> str:
        return f"{number(factor * value, digits, sign=not mark)}{mark}"

    ends = (cells_of(found, f"{what}{end}", found.table.index, said) for end in ("", "_low", "_high"))
    rows, hidden = zip(*ends, strict=True), found.hidden[what]
    return [b if gone else f"{b} ({a} to {c})" for (b, a, c), gone in zip(rows, hidden, strict=True)]
