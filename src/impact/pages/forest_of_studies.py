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
    MISSING,
    estimate_text,
    interval_text,
    label,
    notes,
    number,
    p_value,
    places,
    readers_units,
    require_released,
)
from impact.pages.layout import Column, Table, cells_of, table_of
from impact.pages.plots import _forest_axis, forest_rows
from impact.pages.ranked import draw_ranked, is_clear
from impact.pages.style import GREY, INK, LINE, PALE, TEAL, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

CAPTION = (
    "Squares: the studies, larger the more they tell, with their 95% ranges. Diamond: their average. Dashed: "
    "where the effect in one more study like these may lie."
)
CAPTION_OF_MANY = (
    "Each point is a study with its 95% range, the lowest estimate first; filled: the range lies on one side "
    "of no effect. Thick line and band: their average with its range. Dashed: where the effect in one more "
    "study like these may lie. Of many studies some lie far out by chance alone."
)
# So many studies have room for their names.
MOST_NAMED = 30
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
    if each.sum() > MOST_NAMED:
        return _many(released, part, scale)
    drawn, reach = _within(part, each, ratio=ratio)
    sizes = 4 + 7 * np.nan_to_num(np.nanmin(reach[each], initial=np.inf) / reach)
    names = [textwrap.fill(label(name), 30, max_lines=2, placeholder=" …") for name in part["term"]]
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


def _many(released: Released, part: pd.DataFrame, scale: str | None) -> Axes:
    """Draw many studies from the lowest estimate to the highest, and their average across them."""
    studies = part[(part["study"] != "") & part["estimate"].notna()].sort_values("estimate")
    ratio, below = _is_ratio(part), part[part["study"] == ""]
    with figure(released, "forest_of_studies", [3.6], scale) as axes:
        ax = axes[0]
        draw_ranked(ax, studies, ratio=ratio, main=np.zeros(len(studies), bool))
        for row in below[below["estimate"].notna()].to_dict("records"):
            if _is_new(row):
                for end in (row["conf_low"], row["conf_high"]):
                    ax.axhline(end, color=GREY, linewidth=1.4, linestyle=(0, (3, 2)))
            else:
                ax.axhspan(row["conf_low"], row["conf_high"], color=PALE, alpha=0.6, zorder=0)
                ax.axhline(row["estimate"], color=INK, linewidth=2)
        ax.set_xlabel("Studies, from the lowest estimate to the highest")
    return axes[0]


def caption(released: Released) -> str:
    """Say how the figure is to be read."""
    named = released.table.loc[released.table["study"] != "", "study"].nunique()
    return CAPTION_OF_MANY if named > MOST_NAMED else CAPTION


def table(released: Released) -> Table:
    """Lay out the studies, their average and one more: with ranges, and without p-values."""
    require_released(released)
    parts = [
        _rows(released, scale)
        for scale, stored in (("difference", "difference"), ("ratio", "log ratio"))
        if (released.table["scale"] == stored).any()
    ]
    columns = [Column("Study", parts[0]["term"].map(label).tolist(), True)]
    for part in parts:
        header = "Ratio" if _is_ratio(part) else f"Difference {part['unit'].iloc[0]}"
        told = {
            name: f"{one} ({reach})" if one and reach else reach or released.mark
            for name, (one, reach) in zip(part["term"], _said(part), strict=True)
        }
        columns.append(Column(header, [told.get(name, MISSING) for name in parts[0]["term"]]))
    first = label(parts[0]["outcome"].iloc[0])
    under = ["Of one more study like these: where its effect may lie."] if _has_new(parts[0]) else []
    if under and len(parts) > 1:
        under.append(
            "As a difference this range may go below none at all, which nothing can; as a ratio it cannot."
        )
    caption = f"The effect in each study: {first} (95% ranges in brackets)"
    return table_of(released, caption, columns, [*under, *notes(released)])


def _has_new(part: pd.DataFrame) -> bool:
    return any(map(_is_new, part.to_dict("records")))


def alt(released: Released, scale: str | None = None) -> str:
    """Describe the figure for somebody who cannot see it: every study, the average and one more.

    Of more studies than can be named: where they lie, and how many have a range on one side of no effect.
    """
    part = _rows(released, scale)
    what = (
        "ratio of the rate with support to the rate without"
        if _is_ratio(part)
        else f"difference {part['unit'].iloc[0]}"
    )
    if (part["study"] != "").sum() > MOST_NAMED:
        return _alt_of_many(part, what)
    told = [
        f"{label(name)}: {', 95% range '.join(filter(None, said)) or 'not shown, too few'}."
        for name, said in zip(part["term"], _said(part), strict=True)
    ]
    studies = int((part["study"] != "").sum())
    return f"{label(part['outcome'].iloc[0])} in {studies} studies, {what}. {' '.join(told)}"


def _alt_of_many(part: pd.DataFrame, what: str) -> str:
    studies, ratio = part[part["study"] != ""], _is_ratio(part)
    known = studies[studies["estimate"].notna()]
    digits = 2 if ratio else places(known["estimate"])
    reach = range_text(known["estimate"].min(), known["estimate"].max(), digits, ratio=ratio)
    clear = int(is_clear(known, ratio=ratio).sum())
    others = [
        f"{label(row['term'])}: {', 95% range '.join(filter(None, said)) or 'not shown, too few'}."
        for row, said in zip(part.to_dict("records"), _said(part), strict=True)
        if not row["study"]
    ]
    return (
        f"{label(part['outcome'].iloc[0])} in {len(studies)} studies, {what}. Estimates lie from {reach}; "
        f"{clear} have a 95% range on one side of no effect. {' '.join(others)}"
    )


def heterogeneity(released: Released) -> Table:
    """Say in a table how far effects differ between studies: released ``heterogeneity`` of ``pool``."""
    table, far = require_released(released).table, apart(released)
    columns = [
        Column("Service", table["outcome"].map(label).tolist(), True),
        Column("Effect", table["scale"].map({"log ratio": "Ratio"}).fillna("Difference").tolist(), True),
        Column("Studies", cells_of(released, "studies", table.index)),
        Column("From a study to the average (95% range)", far),
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


def apart(released: Released) -> list[str]:
    """Write how far a study typically lies from the average, row by row of a released ``heterogeneity``."""
    ends = {"estimate": "tau2", "conf_low": "tau2_low", "conf_high": "tau2_high"}
    spread = released.table.assign(**{to: np.sqrt(released.table[name]) for to, name in ends.items()})
    return [
        released.mark if hidden else _apart(row)
        for row, hidden in zip(readers_units(spread).to_dict("records"), released.hidden["tau2"], strict=True)
    ]


def _apart(row: Mapping[Any, Any]) -> str:
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
