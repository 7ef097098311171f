"""A table as HTML and as text: caption, header scopes, footnotes, and a region that scrolls on a phone."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from impact.disclosure import Released
from impact.pages.formats import MISSING, number

# What readers see in place of the mark that a policy prescribes for files.
NOT_SHOWN = "not shown"


class Column(NamedTuple):
    """One column of a table: its heading, its formatted cells, and whether they are words."""

    header: str
    cells: list[str]
    words: bool = False


@dataclass(frozen=True)
class Table:
    """A table whose cells are formatted text, with the released result it shows."""

    caption: str
    columns: tuple[Column, ...]
    source: Released
    notes: tuple[str, ...] = ()
    how: tuple[str, ...] = ()

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The cells, row by row."""
        return list(zip(*(column.cells for column in self.columns), strict=True))

    @property
    def html(self) -> str:
        """HTML with caption, header scopes, footnotes and a region that scrolls on a narrow screen."""
        e = html.escape
        align = ["" if column.words else ' class="n"' for column in self.columns]
        head = "".join(
            f'<th scope="col"{a}>{_heading(c.header)}</th>' for a, c in zip(align, self.columns, strict=True)
        )
        body = "".join(
            f'<tr><th scope="row"{align[0]}>{e(row[0])}</th>'
            + "".join(
                f"<td{a}>{_figures(cell) if a else e(cell)}</td>"
                for a, cell in zip(align[1:], row[1:], strict=True)
            )
            + "</tr>"
            for row in self.rows
        )
        made = "".join(f'<p class="note">{e(n)}</p>' for n in self.how)
        return (
            f'<div class="scroll" role="region" tabindex="0" aria-label="{e(self.caption)}">'
            f"<table><caption><span>{e(self.caption)}</span></caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table></div>"
            + "".join(f'<p class="note">{e(n)}</p>' for n in self.notes)
            + (f"<details><summary>How these figures were made</summary>{made}</details>" if made else "")
        )

    @property
    def text(self) -> str:
        """Plain text, for terminals and text-only readers."""
        frame = pd.DataFrame(self.rows, columns=[column.header for column in self.columns])
        return "\n".join([self.caption, frame.to_string(index=False), *self.notes, *self.how])


def _heading(text: str) -> str:
    """Escape a heading so that 'p-value' is not broken at its hyphen."""
    return re.sub(r"[\w&;]+-\w+", r"<span>\g<0></span>", html.escape(text))


def _figures(text: str) -> str:
    """Escape a cell of figures, which is broken before its brackets only; a range stands below them."""
    figure, bracket, rest = html.escape(text).partition(" (")
    kind = ' class="range"' if " to " in rest else ""
    return f"<span>{figure}</span> <span{kind}>({rest}</span>" if bracket else figure


def cells_of(
    released: Released, column: str, rows: Iterable[Any], show: Callable[[Any], str] = number
) -> list[str]:
    """Format one column: the policy's mark where a figure was withheld, a dash where there is none."""
    values, hidden = released.table[column], released.hidden[column]
    return [
        MISSING
        if pd.isna(row)
        else released.mark
        if hidden.iloc[int(row)]
        else MISSING
        if pd.isna(values.iloc[int(row)])
        else show(values.iloc[int(row)])
        for row in rows
    ]


def table_of(
    released: Released,
    caption: str,
    columns: Sequence[Column],
    under: Iterable[str],
    *,
    how: Iterable[str] = (),
) -> Table:
    """Make a table; a withheld figure is called 'not shown', and the first footnote says why.

    The cell does not say whether the count was small or stands in for one that is: that would narrow it down.
    """
    mark, footnotes = re.compile(rf"(?<![^\s(]){re.escape(released.mark)}(?![^\s)])"), list(under)
    spelt = [c._replace(cells=[mark.sub(NOT_SHOWN, cell) for cell in c.cells]) for c in columns]
    if spelt != list(columns):
        rule = released.rule
        few = f"fewer than {rule.smallest_shown} people or events ({rule.small_counts})"
        footnotes.insert(0, f"Not shown: {few}, or a figure that would give so few away.")
    return Table(caption, tuple(spelt), released, tuple(dict.fromkeys(footnotes)), tuple(how))
