"""How strong something nobody recorded would have to be to mislead: in words, as a figure and as tables."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from impact.disclosure import Released
from impact.errors import DisclosureError
from impact.pages import SEAL, Shown, show
from impact.pages.answers import answers
from impact.pages.formats import (
    aligned,
    inside,
    interval_text,
    label,
    number,
    numeric,
    p_value,
    readers_units,
)
from impact.pages.layout import Column, Table, cells_of, table_of
from impact.pages.statement import Statement
from impact.pages.style import GREY, INK, TEAL, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEVEL = 0.05
# A share of chance under this is drawn at it: nobody tells such small shares apart.
_LEAST = 0.001
# The bounds are looked for up to this many times as likely.
_MOST = 100.0


def hidden_bias(released: Mapping[str, Released]) -> Shown:
    """Everything a page says of reasons that nobody recorded; nothing where nothing of it was asked for.

    Parameters
    ----------
    released : mapping of name to Released
        ``rosenbaum_bounds`` and ``e_value`` are shown where they are in it; with ``effects``, it is said if
        the first of these is not clear anyway.
    """
    things: list[object] = []
    if {"rosenbaum_bounds", "e_value"} & released.keys() and "effects" in released:
        first = answers(released["effects"])[0]
        if not first.is_clear:
            said = f"The estimate for {first.name} is not clear anyway; a hidden reason adds to that doubt."
            things.append(Statement("sentence", (("list", (said,)),), (released["effects"],), SEAL))
    if bounds := released.get("rosenbaum_bounds"):
        things.append(Statement("sentence", (("list", (within_sets(bounds),)),), (bounds,), SEAL))
        if bounds.table["p_value"].notna().any():
            things.append(shares_of_chance(bounds))
    if values := released.get("e_value"):
        things.append(Statement("sentence", (("list", (explained_away(values),)),), (values,), SEAL))
        things.append(values)
    return show(*things)


def within_sets(released: Released) -> str:
    """Say how unequal two matched people may have been before chance could explain the difference."""
    row = released.table.iloc[0]
    name = inside(label(row["outcome"]))
    if pd.isna(row["p_value"]):
        return f"There were too few {name} to say how far a hidden reason could go."
    if pd.isna(row["breakdown"]):
        return (
            f"Set by set, {name} with support and without it do not differ by more than chance would make "
            f"them (p {_p(row['p_value'])}): there is no clear difference for a hidden reason to explain."
        )
    times = float(row["breakdown"])
    if times >= _MOST:
        return f"No hidden reason, however strong, could explain the whole difference in {name}."
    return (
        f"Suppose that one of two matched people had been up to {number(times, 2)} times as likely to get "
        f"support as the other, for a reason nobody recorded that also went with {name}: the difference "
        "between them would still be more than chance (by ranks within sets, one-sided). Had the reason been "
        "stronger than that, it could explain the whole difference, even if support did nothing."
    )


def explained_away(released: Released) -> str:
    """Say how strong a hidden reason would have to be to explain the effect on the first outcome away."""
    row = released.table.iloc[0]
    name = inside(label(row["outcome"]))
    if pd.isna(row["e_value"]):
        return f"There were too few {name} to say how strong a hidden reason would have to be."
    much = number(float(row["e_value"]), 1)
    said = (
        f"To explain away the whole effect on {name}, a hidden reason would have to make people at least "
        f"{much} times as likely to get support and multiply their {name} by as much, beyond all that they "
        "were matched or weighted on."
    )
    if float(row["breakdown"]) > 1:
        return (
            f"{said} Times {number(float(row['breakdown']), 1)} would do to bring no change into the range."
        )
    return f"{said} The range of this effect takes in no change as it is."


def shares_of_chance(released: Released) -> Axes:
    """Draw the share of chance results that lie as far out, for each limit on a hidden reason.

    A circle lies left of the dashed line as long as the difference is more than chance.
    """
    shown = _of_bounds(released, "gamma")
    with figure(released, "hidden_bias", [1.2 + 0.48 * len(shown)]) as axes:
        ax, y = axes[0], -np.arange(len(shown))
        p = np.clip(numeric(shown["p_value"]), _LEAST, 1.0)
        clear = p < LEVEL
        ax.set_xscale("log")
        ax.axvline(LEVEL, color=INK, linewidth=1, linestyle="--")
        ax.hlines(y, _LEAST, p, color=GREY, linewidth=1)
        for rows, marker, face in ((clear, "o", TEAL), (~clear, "D", "white")):
            ax.plot(p[rows], y[rows], marker, color=TEAL, markerfacecolor=face, markersize=8)
        ticks = [_LEAST, 0.01, LEVEL, 0.2, 1.0]
        ax.set_xticks(ticks, ["under 0.1%", "1%", "5%", "20%", "100%"])
        ax.minorticks_off()
        ax.set_xlim(_LEAST * 0.9, 1.3)
        ax.set_yticks(y, [textwrap.fill(name, 22) for name in likely(shown)])
        ax.set_ylim(-len(shown) + 0.4, 0.6)
        ax.grid(visible=False, axis="y")
        ax.set_title("One of two matched people was\nlikelier to get support ...")
        ax.set_xlabel("Chance alone could do this, at most")
    return axes[0]


def likely(shown: pd.DataFrame) -> list[str]:
    """Say in words how unequal two matched people may have been."""
    words = {1.0: "not at all", 2.0: "up to twice as likely"}
    return [words.get(g, f"up to {g:g} times as likely") for g in shown["gamma"].astype(float)]


def table(released: Released) -> Table:
    """Rosenbaum's bounds or E-values, whichever was released, as a table."""
    return _chances(released) if "gamma" in released.table else _strengths(released)


def _chances(released: Released) -> Table:
    shown = released.table
    columns = [
        Column("One of two matched people was likelier to get support", likely(shown), True),
        Column("p-value at most", aligned(cells_of(released, "p_value", shown.index, p_value))),
    ]
    name = label(shown["outcome"].iloc[0])
    how = ["Rosenbaum's bounds; one-sided rank test of rates within matched sets."]
    return table_of(
        released, f"If something hidden had decided who got support: {name}", columns, (), how=how
    )


def _strengths(released: Released) -> Table:
    shown = readers_units(released.table)
    withheld = released.hidden["e_value"].tolist()
    ratios = [
        released.mark
        if hidden
        else f"{number(row.estimate, 2)} ({interval_text(row.conf_low, row.conf_high, 2)})"
        for row, hidden in zip(shown.itertuples(), withheld, strict=True)
    ]
    times = [
        Column(title, cells_of(released, name, shown.index, lambda v: number(v, 1)))
        for title, name in (
            ("To explain the estimate away", "e_value"),
            ("To bring no change into the range", "breakdown"),
        )
    ]
    columns = [Column("Service", shown["outcome"].map(label).tolist(), True), Column("Ratio", ratios), *times]
    under = [
        "How many times as likely a hidden reason would have to make support, and the outcome too (E-value); "
        "1: none is needed."
    ]
    how = ["E-values (VanderWeele and Ding 2017)."]
    return table_of(released, "How strong a hidden reason would have to be", columns, under, how=how)


def alt(released: Released) -> str:
    """Describe the figure for somebody who cannot see it."""
    shown = _of_bounds(released, "gamma")
    said = [f"{name}: {p_value(p)}." for name, p in zip(likely(shown), shown["p_value"], strict=True)]
    return (
        f"{label(shown['outcome'].iloc[0])}: largest p-value, by how much likelier one of two matched people "
        f"was to get support for a hidden reason. {' '.join(said)} {within_sets(released)}"
    )


def _of_bounds(released: Released, column: str) -> pd.DataFrame:
    if released.kind != "bounds" or column not in released.table:
        raise DisclosureError(f"{released.name!r}: this figure needs bounds by {column}.")
    return released.table


def _p(value: float) -> str:
    return p_value(value) if value < _LEAST else f"= {p_value(value)}"
