"""Many estimates from the lowest to the highest, each with its range: the upper half of several figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.pages.formats import label, number, numeric, places
from impact.pages.style import INK, TEAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More estimates than this are drawn thin.
MANY = 60
_TICKS = (0.1, 0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2, 3, 5, 10)


def is_clear(part: pd.DataFrame, *, ratio: bool) -> NDArray[np.bool_]:
    """Which ranges lie on one side of no effect."""
    null = 1.0 if ratio else 0.0
    return (numeric(part["conf_low"]) > null) | (numeric(part["conf_high"]) < null)


def draw_ranked(ax: Axes, part: pd.DataFrame, *, ratio: bool, main: NDArray[np.bool_]) -> None:
    """Draw estimates with their ranges from left to right; filled where a range leaves out no effect.

    Parameters
    ----------
    part : DataFrame
        In order, in readers' units: ``outcome, unit, estimate, conf_low, conf_high``.
    ratio : bool
        Whether they are ratios, drawn on a scale of ratios.
    main : array of bool
        Which are diamonds.
    """
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    y, low, high = (numeric(part[c]) for c in ("estimate", "conf_low", "conf_high"))
    clear, x, thin = is_clear(part, ratio=ratio), np.arange(len(part)), len(part) > MANY
    ax.axhline(1.0 if ratio else 0.0, color=INK, linewidth=1)
    ax.vlines(x, low, high, color=np.where(main, INK, TEAL), linewidth=1 if thin else 2)
    for rows, fill in ((clear & ~main, TEAL), (~clear & ~main, "white")):
        ax.plot(x[rows], y[rows], "o", color=TEAL, markerfacecolor=fill, markersize=2.5 if thin else 5)
    fill = INK if (clear & main).any() else "white"
    ax.plot(x[main], y[main], "D", color=INK, markerfacecolor=fill, markersize=7)
    if ratio:
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(ScalarFormatter())
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.set_yticks(ratio_ticks(np.nanmin([*low, *y]), np.nanmax([*high, *y])))
    else:
        digits = places(ax.get_yticks())
        ax.yaxis.set_major_formatter(lambda v, _: number(v, digits, sign=True))
    what = "Ratio of the rate with support to that without" if ratio else f"Difference {part['unit'].iloc[0]}"
    ax.set_title(f"{label(part['outcome'].iloc[0])}\n{what}")
    ax.tick_params(axis="x", bottom=False, labelbottom=False)


def ratio_ticks(low: float, high: float) -> list[float]:
    """Few round ratios between two, 1 among them."""
    found = [t for t in _TICKS if low / 1.05 <= t <= high * 1.05] or [1.0]
    return found if len(found) < 7 else [t for i, t in enumerate(found) if t == 1 or i % 2 == 0]
