"""The effect where trends without support need not have been parallel: in words and as a figure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from impact.disclosure import Released
from impact.errors import DisclosureError
from impact.pages.formats import (
    interval_text,
    label,
    number,
    numeric,
    places,
    readers_units,
    require_released,
)
from impact.pages.style import GREY, INK, TEAL, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Ratios beyond these say no more than that they are very small or very large.
_RATIOS = (0.01, 100.0)


def bounds(released: Released) -> Axes | Released:
    """The range of the effect for each limit on how far the groups would have parted without support.

    Where there are no bounds, what says why is returned as it is.
    """
    if require_released(released).kind != "bounds":
        raise DisclosureError(f"{released.name!r} is a released {released.kind}; this figure needs bounds.")
    shown = readers_units(released.table)
    if shown["conf_low"].isna().all():
        return released
    ratio = bool((shown["scale"] == "log ratio").any())
    null, names = 1.0 if ratio else 0.0, limits(shown)
    with figure(released, "bounds", [1.3 + 0.5 * len(shown)]) as axes:
        ax, y = axes[0], -np.arange(len(shown))
        low, high = numeric(shown["conf_low"]), numeric(shown["conf_high"])
        clear = (low > null) | (high < null)
        ax.axvline(null, color=INK, linewidth=1)
        if ratio:
            _ratio_axis(ax, y, low, high)
            low, high = low.clip(*_RATIOS), high.clip(*_RATIOS)
        else:
            ax.locator_params(axis="x", nbins=5)
            digits = places(np.append(low, high))
            ax.xaxis.set_major_formatter(lambda v, _: number(v, digits, sign=True))
        for rows, colour, width in ((clear, TEAL, 5), (~clear, GREY, 2)):
            ax.hlines(y[rows], low[rows], high[rows], color=colour, linewidth=width)
        ax.set_yticks(y, [textwrap.fill(name, 22) for name in names])
        ax.set_ylim(-len(shown) + 0.4, 0.6)
        ax.grid(visible=False, axis="y")
        ax.set_title("Without support, the groups\nwould have parted ...")
        ax.set_xlabel("Ratio of rates" if ratio else f"Difference {shown['unit'].iloc[0]}")
    return axes[0]


def _ratio_axis(ax: Axes, y: Any, low: Any, high: Any) -> None:
    """Draw ratios on a logarithmic scale, with an arrow where a range goes on beyond it."""
    from matplotlib.ticker import FixedLocator, NullLocator

    ends = np.clip(np.append([low.min(), high.max()], [0.9, 1.1]), *_RATIOS)
    left, right = ends.min() / 1.15, ends.max() * 1.15
    ax.set_xscale("log")
    ax.set_xlim(left, right)
    wide = right / left
    marks: tuple[float, ...] = (0.01, 0.1, 1, 10, 100)
    if wide < 50:
        marks = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if wide > 2 else (0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.4, 1.6)
    ax.xaxis.set_major_locator(FixedLocator([m for m in marks if left <= m <= right]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda v, _: f"{v:g}")
    for beyond, at, arrow in ((low < _RATIOS[0], _RATIOS[0], "<"), (high > _RATIOS[1], _RATIOS[1], ">")):
        ax.plot(np.full(beyond.sum(), at), y[beyond], arrow, color=GREY, markersize=6)


def limits(shown: pd.DataFrame) -> list[str]:
    """Say in words how far trends may part in each row of the bounds, as ``readers_units`` gives them."""
    if "m" in shown:
        return [
            "not at all"
            if pd.isna(m)
            else f"at a pace changing by at most {_pace(m, shown)} a step"
            if m > _steady(shown)
            else "at a steady pace"
            for m in shown["m"]
        ]
    words = {0.5: "half as fast as before it", 1.0: "as fast as before it", 2.0: "twice as fast as before it"}
    return [
        "not at all"
        if pd.isna(m) or m == 0
        else f"at most {words.get(m, f'{m:g} times as fast as before it')}"
        for m in shown["m_bar"]
    ]


def range_text(low: Any, high: Any, digits: int, *, ratio: bool) -> str:
    """Write a range; the ends of a ratio that is very small or very large only as that.

    Examples
    --------
    >>> range_text(0.0004, 3e9, 2, ratio=True), range_text(0.5, 240, 2, ratio=True)
    ('under 0.01 to over 100', '0.50 to over 100')
    """
    if not ratio or pd.isna(low) or pd.isna(high):
        return interval_text(low, high, digits, sign=not ratio)
    words = ["under 0.01" if v < _RATIOS[0] else "over 100" if v > _RATIOS[1] else "" for v in (low, high)]
    first, last = (
        word or number(v, digits if v < 10 else 0) for word, v in zip(words, (low, high), strict=True)
    )
    return first if words[0] and words[0] == words[1] else f"{first} to {last}"


def _steady(shown: pd.DataFrame) -> float:
    """How much a pace changes that does not: nothing, which as a ratio is 1."""
    return 1.0 if (shown["scale"] == "log ratio").any() else 0.0


def _pace(change: float, shown: pd.DataFrame) -> str:
    """Write by how much a pace changes: in the unit of the differences, or as a percentage of a ratio."""
    ratio = bool(_steady(shown))
    value = 100 * (change - 1) if ratio else change
    three = np.format_float_positional(value, precision=3, fractional=False, trim="-")
    return f"{number(value) if value >= 100 else three}{'%' if ratio else ''}"


def breakdown_text(shown: pd.DataFrame) -> str:
    """Say how far trends may part before the range takes in no effect."""
    value = float(shown["breakdown"].iloc[0])
    alike, far, least, most = "moved alike", "however fast the groups would have parted", 0.01, 100.0
    part = (
        f"at most {number(value, 2)} times as fast, from one point to the next, as they did at worst before "
        "support"
    )
    if "m" in shown:
        ratio = bool(_steady(shown))
        alike, far = "parted at a steady pace", "however unevenly the groups would have parted"
        # Less is told from nothing by no reader, and a hundredfold is no limit.
        least, most = (1.00005, 100.0) if ratio else (1e-6, np.finfo(float).max)
        unit = "" if ratio else f" {shown['unit'].iloc[0]}"
        part = f"at a pace that changes by at most {_pace(value, shown)}{unit} from one point to the next"
    if np.isnan(value):
        return f"The range includes no effect even if the groups would have {alike}."
    if value <= least:
        return f"The range leaves out no effect only if the groups would have {alike}."
    if value > most:
        return f"The range leaves out no effect {far}."
    return f"The range leaves out no effect as long as the groups would have parted {part}."


def base_text(method: Mapping[str, Any]) -> str:
    """Say what the ranges are measured from, as they may not agree with the estimate of the page."""
    one = method.get("step", 1) == 1
    word = f"{method.get('period') or 'month'}{'' if one else 's'}"
    return (
        f"These ranges are measured from the last {word} before support"
        f"{' and the build-up to it' if method.get('anticipation') else ''}, and so may be wider than the "
        "estimate above and lie elsewhere."
    )


def alt(released: Released) -> str:
    """Describe the figure of bounds for somebody who cannot see it."""
    shown = readers_units(released.table)
    ratio = bool((shown["scale"] == "log ratio").any())
    digits = 2 if ratio else places(shown[["conf_low", "conf_high"]].to_numpy().ravel())
    what = "ratio of rates" if ratio else f"difference {shown['unit'].iloc[0]}"
    said = [
        f"{name}: {range_text(low, high, digits, ratio=ratio)}."
        for name, low, high in zip(limits(shown), shown["conf_low"], shown["conf_high"], strict=True)
    ]
    return (
        f"{label(shown['outcome'].iloc[0])}, {what}, by how far the groups would have parted without "
        f"support. {' '.join(said)} {breakdown_text(shown)}"
    )
