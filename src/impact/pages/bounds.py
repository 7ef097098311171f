"""The effect where trends without support need not have been parallel: in words and as a figure."""

from __future__ import annotations

import textwrap
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
        for rows, colour, width in ((clear, TEAL, 5), (~clear, GREY, 2)):
            ax.hlines(y[rows], low[rows], high[rows], color=colour, linewidth=width)
        if ratio:
            ax.set_xscale("log")
            ax.xaxis.set_major_formatter(lambda v, _: f"{v:g}")
            ax.xaxis.set_minor_formatter(lambda v, _: "")
        ax.set_yticks(y, [textwrap.fill(name, 22) for name in names])
        ax.set_ylim(-len(shown) + 0.4, 0.6)
        ax.grid(visible=False, axis="y")
        ax.set_title("Without support, the groups would have parted ...")
        ax.set_xlabel("Ratio of rates" if ratio else f"Difference {shown['unit'].iloc[0]}")
    return axes[0]


def limits(shown: pd.DataFrame) -> list[str]:
    """Say in words how far trends may part in each row of the bounds."""
    words = {0.5: "half as fast as before it", 1.0: "as fast as before it", 2.0: "twice as fast as before it"}
    return [
        "not at all" if pd.isna(m) else f"at most {words.get(m, f'{m:g} times as fast as before it')}"
        for m in shown["m_bar"]
    ]


def breakdown_text(value: Any) -> str:
    """Say how far trends may part before the range takes in no effect."""
    if pd.isna(value):
        return "The range takes in no effect even if the groups would have moved alike."
    return (
        f"No effect is left out as long as the groups would have parted at most {number(value, 2)} times as "
        "fast, from one period to the next, as they did at worst before support."
    )


def alt(released: Released) -> str:
    """Describe the figure of bounds for somebody who cannot see it."""
    shown = readers_units(released.table)
    ratio = bool((shown["scale"] == "log ratio").any())
    digits = 2 if ratio else places(shown[["conf_low", "conf_high"]].to_numpy().ravel())
    what = "ratio of rates" if ratio else f"difference {shown['unit'].iloc[0]}"
    said = [
        f"{name}: {interval_text(low, high, digits, sign=not ratio)}."
        for name, low, high in zip(limits(shown), shown["conf_low"], shown["conf_high"], strict=True)
    ]
    return (
        f"{label(shown['outcome'].iloc[0])}, {what}, by how far the groups would have parted without "
        f"support. {' '.join(said)} {breakdown_text(shown['breakdown'].iloc[0])}"
    )
