"""The effects of several studies beneath each other, with their average: as a figure and in words."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.disclosure import Released
from impact.errors import DisclosureError
from impact.pages.bounds import range_text
from impact.pages.formats import (
    estimate_text,
    interval_text,
    label,
    number,
    p_value,
    places,
    readers_units,
    require_released,
)
from impact.pages.layout import Column, Table, cells_of, table_of
from impact.pages.plots import _forest_axis, forest_rows
from impact.pages.style import GREY, INK, LINE, TEAL, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

CAPTION = (
    "Squares: the studies, larger the more they tell, with their 95% ranges. Diamond: their average. Dashed: "
    "where the effect in one more study like these may lie."
)
# Ranges that go on beyond this many times the farthest study's, as of the average of two, end in an arrow.
_BEYOND = 2.0


def forest_of_studies(released: Released, *, scale: Literal["ratio", "difference"] | None = None) -> Axes:
    """Draw the effect on one outcome in each study, the average over them and where one more may lie.

    Parameters
    ----------
    released : Released
        Of ``interpret.pooling.side_by_side``, with the effects on one outcome.
    scale : 'ratio' or 'difference', optional
        Ratios of rates, or differences per 1,000 people a year; without it as for ``plots.forest``.

    Raises
    ------
    DisclosureError
        For what is no released effects of studies side by side, or of several outcomes.
    """
    part = _rows(released, scale)
    ratio, each = _is_ratio(part), (part["study"] != "").to_numpy()
    drawn, reach = _within(part, each, ratio=ratio)
    sizes = 4 + 7 * np.nan_to_num(np.nanmin(reach[each], initial=np.inf) / reach)
    names = [textwrap.fill(textwrap.shorten(label(name), 60), 30) for name in part["term"]]
    row_height = 0.62 if max(map(len, names)) <= 30 else 0.76
    with figure(released, "forest_of_studies", [0.95 + row_height * len(part)], scale) as axes:
        ax = axes[0]
        if ratio:
            ax.set_xscale("log")
        ax.axvline(1.0 if ratio else 0.0, color=INK, linewidth=1)
        for i, (row, said) in enumerate(zip(drawn.to_dict("records"), _said(part), strict=True)):
            _draw(ax, -i, row, size=float(sizes[i]))
            words = f"{said[0]} ({said[1]})" if all(said) else "".join(said) or "not shown"
            # White behind the words, so that the line of no effect does not run through them.
            over: Any = {"transform": ax.get_yaxis_transform(), "va": "bottom", "backgroundcolor": "white"}
            ax.text(0, 0.3 - i, names[i], weight="normal" if row["study"] else "bold", **over)
            ax.text(1, 0.3 - i, words, ha="right", **over)
        if each.any() and not each.all():
            ax.axhline(0.8 - each.sum(), color=LINE, linewidth=1)
        _forest_axis(ax, drawn, ratio=ratio)
    return axes[0]


def alt(released: Released, scale: str | None = None) -> str:
    """Describe the figure for somebody who cannot see it: every study, the average and one more."""
    part = _rows(released, scale)
    what = (
        "ratio of the rate with support to the rate without"
        if _is_ratio(part)
        else f"difference {part['unit'].iloc[0]}"
    )
    told = [
        f"{label(name)}: {', 95% range '.join(filter(None, said)) or 'not shown, too few'}."
        for name, said in zip(part["term"], _said(part), strict=True)
    ]
    studies = int((part["study"] != "").sum())
    return f"{label(part['outcome'].iloc[0])} in {studies} studies, {what}. {' '.join(told)}"


def heterogeneity(released: Released) -> Table:
    """Say in a table how far effects differ between studies: released ``heterogeneity`` of ``pool``."""
    table = require_released(released).table
    spread = table.assign(
        estimate=np.sqrt(table["tau2"]),
        conf_low=np.sqrt(table["tau2_low"]),
        conf_high=np.sqrt(table["tau2_high"]),
    )
    shown = readers_units(spread)
    apart = [
        released.mark if hidden else _apart(row)
        for row, hidden in zip(shown.to_dict("records"), released.hidden["tau2"], strict=True)
    ]
    columns = [
        Column("Service", table["outcome"].map(label).tolist(), True),
        Column("Effect", table["scale"].map({"log ratio": "Ratio"}).fillna("Difference").tolist(), True),
        Column("Studies", cells_of(released, "studies", table.index)),
        Column("From a study to the average (95% range)", apart),
        Column(
            "Beyond chance", cells_of(released, "i_squared_percent", table.index, lambda v: f"{number(v)}%")
        ),
        Column("p-value of one effect for all", cells_of(released, "q_p_value", table.index, p_value)),
    ]
    under = [
        "How far the effect in a study typically lies from the average: for ratios, how many times as large "
        "or as small. Beyond chance: how much of the variation between studies is (I²)."
    ]
    how = ["Variance between studies by REML, its range by Q-profile; Cochran's Q."]
    return table_of(released, "How far the effect differs between studies", columns, under, how=how)


def _apart(row: Mapping[Any, Any]) -> str:
    """Write how far a study typically lies from the average, with its range."""
    if row["scale"] == "log ratio":
        reach = range_text(row["conf_low"], row["conf_high"], 2, ratio=True)
        return f"{number(row['estimate'], 2)} times ({reach})"
    digits = places([row["conf_high"]])
    reach = interval_text(row["conf_low"], row["conf_high"], digits)
    return f"{estimate_text(row['estimate'], digits)} ({reach}) {row['unit']}"


def _rows(released: Released, scale: str | None) -> pd.DataFrame:
    if require_released(released).kind != "effects" or "study" not in released.table:
        raise DisclosureError(
            f"{released.name!r} is no effects of studies side by side; release those of pooling.side_by_side."
        )
    if released.table["outcome"].nunique() > 1:
        raise DisclosureError(
            f"{released.name!r} is of several outcomes; select and release one for a figure."
        )
    return forest_rows(readers_units(released.table), scale).reset_index(drop=True)


def _is_ratio(part: pd.DataFrame) -> bool:
    return bool((part["scale"] == "log ratio").all())


def _said(part: pd.DataFrame) -> list[tuple[str, str]]:
    """Write each estimate and its range; of one more study the range alone, of what is withheld nothing."""
    ratio = _is_ratio(part)
    digits = 2 if ratio else places(part["estimate"])
    return [
        (
            "" if _is_new(row) else estimate_text(row["estimate"], digits, sign=not ratio),
            range_text(row["conf_low"], row["conf_high"], digits, ratio=ratio),
        )
        if pd.notna(row["estimate"])
        else ("", "")
        for row in part.to_dict("records")
    ]


def _is_new(row: Mapping[Any, Any]) -> bool:
    return not row["study"] and row["term"] == "one more study"


def _within(part: pd.DataFrame, each: NDArray[np.bool_], *, ratio: bool) -> tuple[pd.DataFrame, Array]:
    """Cut ranges that go far beyond those of the studies; return also how long each was, (n,)."""
    ends = part[["conf_low", "conf_high"]].to_numpy(float, na_value=np.nan)
    ends = np.log(ends) if ratio else ends
    far = _BEYOND * np.nanmax(np.abs(ends[each]), initial=0.0)
    cut = np.clip(ends, -far, far)
    low, high = (np.exp(cut) if ratio else cut).T
    beyond = {"more_left": ends[:, 0] < -far, "more_right": ends[:, 1] > far}
    return part.assign(conf_low=low, conf_high=high, **beyond), np.diff(ends)[:, 0]


def _draw(ax: Axes, y: float, row: Mapping[Any, Any], *, size: float) -> None:
    """Draw one range with its mark; an arrow where it goes on beyond the figure."""
    low, high, colour = row["conf_low"], row["conf_high"], GREY if _is_new(row) else TEAL
    line = {"linestyle": (0, (3, 2))} if _is_new(row) else {"linewidth": 1.8 if row["study"] else 3}
    ax.plot([low, high], [y, y], color=colour, solid_capstyle="butt", **line)
    for goes_on, end, arrow in ((row["more_left"], low, "<"), (row["more_right"], high, ">")):
        if goes_on:
            ax.plot(end, y, arrow, color=colour, markersize=6)
    if not _is_new(row):
        mark, size = ("s", size) if row["study"] else ("D", 9)
        ax.plot(row["estimate"], y, mark, color=colour, markersize=size)
