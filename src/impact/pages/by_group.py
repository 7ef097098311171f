"""Effects in groups of people: the figure, its words, and the tables of its numbers."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from impact.disclosure import Released
from impact.errors import DisclosureError
from impact.interpret.subsets import LEFT_OUT
from impact.pages.characteristics import characteristics
from impact.pages.formats import (
    SCALES,
    capital,
    estimate_text,
    inside,
    interval_text,
    label,
    listed,
    notes,
    number,
    numeric,
    places,
    rate_unit,
    readers_units,
    require_released,
    who,
)
from impact.pages.layout import Column, Table, cells_of, table_of
from impact.pages.style import INK, PALE, SOFT, TEAL, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CAPTION = (
    "Each mark is the best estimate in one group, its line the 95% range; the band is that of everyone. "
    "That one range leaves out no change and another does not is no difference between the two groups."
)


def by_group(released: Released) -> Axes:
    """Draw the effect on the primary outcome in each group, with that on everyone as a band behind.

    Parameters
    ----------
    released : Released
        Of ``interpret.equity.by_groups``: ``by_group``.

    Raises
    ------
    DisclosureError
        For anything else.
    """
    part = drawn(released)
    everyone, groups = part[part["covariate"] == "people"], part[part["covariate"] != "people"]
    names = characteristics(groups)
    ratio = bool((part["scale"] == "log ratio").all())
    digits = 2 if ratio else places(part["estimate"])
    with figure(released, "by_group", [0.95 + 0.62 * (len(groups) + 1)]) as axes:
        ax = axes[0]
        if ratio:
            ax.set_xscale("log")
        ax.axvline(1.0 if ratio else 0.0, color=INK, linewidth=1)
        whole = everyone.iloc[0]
        if np.isfinite(whole["conf_low"]):
            ax.axvspan(whole["conf_low"], whole["conf_high"], color=PALE, alpha=0.35, linewidth=0, zorder=0)
            ax.axvline(whole["estimate"], color=SOFT, linewidth=1, linestyle="--")
        rows = [("Everyone", whole), *zip(names, (row for _, row in groups.iterrows()), strict=True)]
        for i, (name, row) in enumerate(rows):
            _line(ax, -i, name, row, digits, first=i == 0, ratio=ratio)
        ax.set_ylim(-len(rows) + 0.55, 0.75)
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        ax.grid(visible=False)
        if not ratio:
            reach = 1.08 * np.nanmax(np.abs(numeric(part[["conf_low", "conf_high"]].to_numpy().ravel())))
            ax.set_xlim(-reach, reach)
        ax.set_xlabel("Ratio of rates" if ratio else f"Difference {part['unit'].iloc[0]}")
        for x, words in ((0, "◀ fewer with support"), (1, "more with support ▶")):
            side = "left" if x == 0 else "right"
            ax.text(x, 1, words, transform=ax.transAxes, ha=side, va="bottom", color=SOFT, fontsize=10)
    return axes[0]


def _line(ax: Axes, y: float, name: str, row: Any, digits: int, *, first: bool, ratio: bool) -> None:
    # White behind the words, so that the lines do not run through them.
    over: Any = {"transform": ax.get_yaxis_transform(), "va": "bottom", "backgroundcolor": "white"}
    ax.text(0, y + 0.28, textwrap.shorten(name, 38), weight="bold", **over)
    if pd.isna(row["estimate"]):
        ax.text(1, y + 0.28, "too few to show", ha="right", **over)
        return
    face = TEAL if first else "white"
    ax.plot([row["conf_low"], row["conf_high"]], [y, y], color=TEAL, linewidth=3 if first else 1.8)
    ax.plot(row["estimate"], y, marker="o" if first else "D", color=TEAL, markerfacecolor=face, markersize=8)
    reach = interval_text(row["conf_low"], row["conf_high"], digits, sign=not ratio)
    said = f"{estimate_text(row['estimate'], digits, sign=not ratio)} ({reach})"
    ax.text(1, y + 0.28, said, ha="right", **over)


def drawn(released: Released) -> pd.DataFrame:
    """Return the effects on the primary outcome on one scale, in readers' units, everyone's first."""
    if require_released(released).method.get("shows") != "effects by group":
        raise DisclosureError(f"{released.name!r} has no effects by group to draw.")
    shown = readers_units(released.table)
    shown = shown[shown["outcome"] == shown["outcome"].iloc[0]]
    scale = "difference" if (shown["scale"] == "difference").any() else "log ratio"
    mine = (shown["scale"] == scale) & (shown["level"] != LEFT_OUT)
    part: pd.DataFrame = shown[mine].reset_index(drop=True)
    return part


def alt(released: Released) -> str:
    """Describe the figure for somebody who cannot see it: the effect on everyone and in each group."""
    part = drawn(released)
    ratio = bool((part["scale"] == "log ratio").all())
    digits = 2 if ratio else places(part["estimate"])
    names = ["Everyone", *characteristics(part.iloc[1:])]
    said = [
        f"{name}: too few to show."
        if pd.isna(row["estimate"])
        else f"{name} {estimate_text(row['estimate'], digits, sign=not ratio)}, 95% range "
        f"{interval_text(row['conf_low'], row['conf_high'], digits, sign=not ratio)}."
        for name, row in zip(names, part.to_dict("records"), strict=True)
    ]
    unit = "ratio of rates with support and without" if ratio else f"difference {part['unit'].iloc[0]}"
    return f"{label(part['outcome'].iloc[0])} by group, {unit}. {' '.join(said)}"


def table(released: Released) -> Table:
    """Effects on all outcomes in each group, every scale side by side."""
    shown = readers_units(require_released(released).table).reset_index(names="row")
    shown = shown[shown["level"] != LEFT_OUT]
    keys = ["outcome", "covariate", "level"]
    index = shown.drop_duplicates(keys)[keys]
    order = {outcome: i for i, outcome in enumerate(index["outcome"].unique())}
    index = index.sort_values("outcome", key=lambda c: c.map(order), kind="stable", ignore_index=True)
    names = [
        "Everyone" if c == "people" else n
        for c, n in zip(index["covariate"], characteristics(index), strict=True)
    ]
    columns = [Column("Group", names, True)]
    if index["outcome"].nunique() > 1:
        columns.insert(0, Column("Service", index["outcome"].map(label).tolist(), True))
    for scale in [s for s in ("difference", "log ratio") if (shown["scale"] == s).any()]:
        rows = index.merge(shown[shown["scale"] == scale], on=keys, how="left")
        unit = rows["unit"].dropna()
        header = f"{SCALES[scale]} {unit.iloc[0]}" if scale == "difference" and len(unit) else SCALES[scale]
        columns.append(Column(header, range_cells(released, rows, ratio=scale == "log ratio")))
    first = index.merge(shown.drop_duplicates(keys), on=keys)["row"]
    behind = zip(*(cells_of(released, name, first) for name in ("treated", "events")), strict=True)
    header = f"{capital(who(released))} (events) with support"
    columns.append(Column(header, [f"{n} ({events})" for n, events in behind]))
    what = "" if index["outcome"].nunique() > 1 else f": {label(index['outcome'].iloc[0])}"
    return table_of(
        released, f"Effect of support by group{what} (95% ranges in brackets)", columns, notes(released)
    )


def range_cells(released: Released, rows: pd.DataFrame, *, ratio: bool) -> list[str]:
    """Estimates with their ranges; ``row`` says where each stands in what was released."""
    cells = []
    digits = {outcome: 2 if ratio else places(own["estimate"]) for outcome, own in rows.groupby("outcome")}
    for row in rows.to_dict("records"):
        if pd.isna(row["row"]) or released.hidden["estimate"].iloc[int(row["row"])]:
            cells.append(released.mark)
            continue
        n, sign = digits[row["outcome"]], not ratio
        reach = interval_text(row["conf_low"], row["conf_high"], n, sign=sign, exact=True)
        cells.append(f"{estimate_text(row['estimate'], n, sign=sign, exact=True)} ({reach})")
    return cells


def by_deprivation(released: Released) -> Table:
    """Who had support, and need before it, at each level of deprivation."""
    shown = require_released(released).table
    unit, factor = rate_unit(released.method)
    rows, those = shown.index, capital(who(released))
    names = [name.partition(": ")[2] for name in characteristics(shown)]

    def per_cent(value: Any) -> str:
        return f"{number(value)}%"

    def rate(value: Any) -> str:
        return number(factor * value, places(factor * numeric(shown["before"])))

    both = zip(
        cells_of(released, "supported_persons", rows),
        cells_of(released, "supported_percent", rows, per_cent),
        strict=True,
    )
    columns = [
        Column(label(shown["covariate"].iloc[0]), names, True),
        Column("With support (of all support)", [f"{n} ({share})" for n, share in both]),
        Column(f"{those} in the study", cells_of(released, "persons", rows)),
        Column("Had support", cells_of(released, "reached_percent", rows, per_cent)),
        Column(f"{label(released.method['outcome'])} before", cells_of(released, "before", rows, rate)),
    ]
    said = [f"{label(released.method['outcome'])} before: in the time before their index date, {unit}."]
    caption = "Who had support, and need before it, by deprivation"
    return table_of(released, caption, columns, [*said, *notes(released)])


def level_names(column: str, levels: list[str]) -> str:
    """Name several levels of a column inside a sentence: 'deprivation fifth 3 and 4'."""
    rows = pd.DataFrame({"covariate": column, "level": levels})
    return f"{inside(label(column))} {listed([name.partition(': ')[2] for name in characteristics(rows)])}"
