"""The chart of the findings page: every service in absolute terms on its own scale, with the ratio beside."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from impact.disclosure import Released
from impact.pages import SEAL, Shown
from impact.pages.answers import strengths
from impact.pages.formats import (
    estimate_text,
    interval_text,
    label,
    places,
    readers_units,
    require_released,
)
from impact.pages.style import INK, SOFT, TEAL, figure
from impact.pages.tables import effects

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The lines lie between -1 and 1; from there to here stand the figures.
_RIGHT = 2.6


def caption(released: Released) -> str:
    """Say how the chart is to be read, with its unit."""
    shown = readers_units(require_released(released).table)
    units = shown.loc[shown["scale"] == "difference", "unit"].unique()
    of = f" {units[0]}" if len(units) == 1 else ""
    return (
        f"Difference{of} with its 95% range; below it, use with support divided by use without. Filled "
        "circle: a clear change. Diamond: not clear."
    )


def services(released: Released) -> Axes:
    """Differences of all outcomes with their ranges, each line on its own scale, and the ratios as figures.

    Counts of rare and of common services share no scale: on one, a large change in a rare service could not
    be seen. Where there are no differences, ``plots.forest`` shows the ratios.

    Parameters
    ----------
    released : Released
        Of ``Effects``, one effect an outcome.
    """
    from impact.pages.plots import forest, forest_rows

    shown = readers_units(require_released(released).table)
    if not (shown["scale"] == "difference").any():
        return forest(released)
    part, sure = forest_rows(shown, "difference"), strengths(released)
    ratios = shown[shown["scale"] == "log ratio"].set_index("outcome")
    with figure(released, "forest", [0.75 + 0.5 * len(part)], "difference") as axes:
        ax = axes[0]
        ax.axvline(0, color=INK, linewidth=1)
        for i, row in enumerate(part.to_dict("records")):
            _line(ax, -i - 0.12, row, clear=sure[str(row["outcome"])] in ("clear", "very clear"))
            over: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "va": "center"}
            name = textwrap.shorten(label(row["outcome"]), 48)
            ax.text(0, -i + 0.3, name, weight="bold", backgroundcolor="white", **over)
            ratio = ratios.loc[row["outcome"]] if row["outcome"] in ratios.index else None
            for lift, said, ink in zip((0.2, -0.18), _said(row, ratio), (INK, SOFT), strict=True):
                ax.text(1, -i + lift, said, ha="right", color=ink, fontsize=10, **over)
        ax.set(xlim=(-1.05, _RIGHT), ylim=(-len(part) + 0.5, 0.75), xticks=[], yticks=[])
        ax.grid(visible=False)
        ax.spines["left"].set_visible(False)
        ax.spines["bottom"].set_color("none")
        edge = 2.05 / (1.05 + _RIGHT)
        for x, words, to in ((0, "◀ fewer with support", "left"), (edge, "more ▶", "right")):
            ax.text(x, 1, words, transform=ax.transAxes, ha=to, va="bottom", color=SOFT, fontsize=10)
    return axes[0]


def numbers(released: Released) -> Shown:
    """The chart's numbers as a table; on whom they rest and how they were made, the method's page says."""
    laid = effects(released)
    columns = tuple(c for c in laid.columns if not c.header.endswith("with support"))
    laid = replace(laid, columns=columns, notes=(" ".join(laid.notes),) if laid.notes else (), how=())
    return Shown(laid.text, laid.html, (released,), seal=SEAL)


def _line(ax: Axes, y: float, row: Any, *, clear: bool) -> None:
    """One range with its estimate, of which the farther end reaches the edge."""
    values = np.array([row["estimate"], row["conf_low"], row["conf_high"]], float)
    if not np.isfinite(values).all():
        return
    value, low, high = values / np.abs(values).max()
    ax.plot([low, high], [y, y], color=TEAL, linewidth=3 if clear else 1.8, solid_capstyle="butt")
    face = TEAL if clear else "white"
    ax.plot(value, y, marker="o" if clear else "D", color=TEAL, markerfacecolor=face, markersize=8)


def _said(row: Any, ratio: Any) -> tuple[str, str]:
    """'−58 (−102 to −14)' and, if there is a ratio, 'ratio 0.84 (0.73 to 0.96)'."""
    if pd.isna(row["estimate"]):
        return "too few to show", ""
    digits = places([row["estimate"], row["conf_low"], row["conf_high"]])
    reach = interval_text(row["conf_low"], row["conf_high"], digits, sign=True)
    said = f"{estimate_text(row['estimate'], digits, sign=True)} ({reach})"
    if ratio is None or pd.isna(ratio["estimate"]):
        return said, ""
    around = interval_text(ratio["conf_low"], ratio["conf_high"], 2)
    return said, f"ratio {estimate_text(ratio['estimate'], 2)} ({around})"
