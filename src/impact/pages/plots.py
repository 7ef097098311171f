"""Figures of released results. Released in, Axes out; ``pages.show`` adds the words and the table beneath.

Every figure is drawn for a column of 5.2 inches with letters of 10 points and more, so that it can be read in
print and on a phone of 360 px. Colour never carries meaning alone: markers and line styles say the same.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from impact.disclosure import Released
from impact.errors import DisclosureError
from impact.pages.answers import strengths
from impact.pages.bounds import bounds as bounds
from impact.pages.characteristics import characteristics
from impact.pages.flow_diagram import flow as flow
from impact.pages.formats import (
    by_arm,
    effect_names,
    estimate_text,
    interval_text,
    is_supported,
    label,
    number,
    numeric,
    period,
    placebo_units,
    places,
    rate_unit,
    readers_units,
    require_released,
    who,
)
from impact.pages.style import COMPARISON, GREY, INK, LINE, PALE, SOFT, SUPPORTED, TEAL, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def rates(released: Released) -> Axes:
    """Rates of supported people and of the comparison over time, one panel an outcome.

    Parameters
    ----------
    released : Released
        Of ``Rates``.
    """
    shown = _of_kind(released, "rates")
    unit, factor = rate_unit(released.method)
    outcomes = list(shown["outcome"].unique())
    with figure(released, "rates", [2.7] * len(outcomes)) as axes:
        for ax, outcome in zip(axes, outcomes, strict=True):
            part = shown[shown["outcome"] == outcome]
            ends = []
            for arm, rows in by_arm(part):
                x = _middle(rows["period"], rows["step"])
                y = factor * numeric(rows["rate_per_1000_person_months"])
                ax.plot(x, y, **(SUPPORTED if is_supported(arm) else COMPARISON))
                known = np.flatnonzero(np.isfinite(y))
                if len(known):
                    ends.append((x.iloc[known[-1]], y[known[-1]], arm))
            ax.set_ylim(bottom=0, top=1.08 * ax.get_ylim()[1])
            _label_ends(ax, ends)
            _mark_start(ax, part["period"], released)
            ax.set_title(f"{label(outcome)} {unit}")
            ax.yaxis.set_major_formatter(lambda v, _: number(v))
        _time_axis(axes[-1], shown["period"])
    return axes[0]


def event_study(released: Released) -> Axes:
    """Effects by time from the start of support, with 95% ranges, one panel an outcome.

    Before support (open squares) there should be no effect; after it (filled circles) lies what is
    estimated. The base period, from which the others are measured, is a diamond at zero.
    """
    shown = readers_units(_of_kind(released, "effects"))
    shown = shown[shown["event_time"].notna()] if "event_time" in shown else shown.iloc[:0]
    if shown.empty:
        raise DisclosureError(f"{released.name!r} has no effects by time from the start of support to draw.")
    scale = "difference" if (shown["scale"] == "difference").any() else "log ratio"
    shown = shown[shown["scale"] == scale]
    outcomes = list(shown["outcome"].unique())
    with figure(released, "event_study", [2.9] * len(outcomes)) as axes:
        for ax, outcome in zip(axes, outcomes, strict=True):
            part = shown[shown["outcome"] == outcome]
            _draw_event_times(ax, part, null=0.0 if scale == "difference" else 1.0)
            _mark_anticipation(ax, released)
            unit = "Ratio of rates" if scale == "log ratio" else f"Difference {part['unit'].iloc[0]}"
            ax.set_title(f"{label(outcome)}\n{unit}")
        axes[-1].set_xlabel(f"{_periods_word(released)} from the start of support")
        _whole_numbers(axes[-1])
    return axes[0]


def _draw_event_times(ax: Axes, part: pd.DataFrame, *, null: float) -> None:
    time = part["event_time"].astype(float)
    last = part["event_time_to"].astype(float) if "event_time_to" in part else time
    x = ((time + last) / 2).to_numpy()
    y, low, high = (numeric(part[c]) for c in ("estimate", "conf_low", "conf_high"))
    base = np.isfinite(y) & ~np.isfinite(low)
    ax.axhline(null, color=INK, linewidth=1)
    ax.axvline(-0.5, color=SOFT, linewidth=1, linestyle=":")
    marks: list[tuple[Any, dict[str, Any]]] = [
        (~base & (time < 0).to_numpy(), {"marker": "s", "color": GREY, "markerfacecolor": "white"}),
        (~base & (time >= 0).to_numpy(), {"marker": "o", "color": TEAL, "markerfacecolor": TEAL}),
    ]
    for rows, style in marks:
        ax.vlines(x[rows], low[rows], high[rows], color=style["color"], linewidth=2.4)
        if "band_low" in part:
            wide = (numeric(part[c])[rows] for c in ("band_low", "band_high"))
            ax.vlines(x[rows], *wide, color=style["color"], linewidth=0.9)
        ax.plot(x[rows], y[rows], linestyle="none", markersize=5.5, **style)
    ax.plot(x[base], y[base], linestyle="none", marker="D", color=INK, markerfacecolor="white", markersize=6)
    for i in np.flatnonzero(base):
        ax.annotate("base", (x[i], y[i]), (0, 7), textcoords="offset points", ha="center", fontsize=10)
    digits, top = places(ax.get_yticks()), ax.get_ylim()[1]
    ax.yaxis.set_major_formatter(lambda v, _: number(v, digits))
    ax.annotate(" support starts", (-0.5, top), va="top", ha="left", fontsize=10, color=SOFT)


def overlap(released: Released) -> Axes:
    """Chances of being supported (propensity), supported people upwards and the comparison downwards."""
    shown = _of_kind(released, "summary")
    low, high = _bins(shown, released)
    with figure(released, "overlap", [3.2]) as axes:
        ax = axes[0]
        widest = 1.0
        for arm, part in by_arm(shown.assign(low=low, high=high)):
            sign, hatch = (1, "") if is_supported(arm) else (-1, "///")
            height = np.nan_to_num(numeric(part["persons"]))
            widest = max(widest, height.max(initial=1.0))
            style: dict[str, Any] = {
                "facecolor": TEAL if sign > 0 else "white",
                "edgecolor": "white" if sign > 0 else GREY,
            }
            width = (part["high"] - part["low"]).to_numpy(float)
            ax.bar(part["low"], sign * height, width, align="edge", hatch=hatch, **style)
            ax.text(0.99, 0.5 + sign * 0.44, label(arm), transform=ax.transAxes, ha="right", va="center")
        ax.axhline(0, color=INK, linewidth=1)
        ax.set_ylim(-1.2 * widest, 1.2 * widest)
        ax.yaxis.set_major_formatter(lambda v, _: number(abs(v)))
        ax.set_title(f"Number of {who(released)}")
        ax.set_xlabel("Estimated chance of being supported")
    return axes[0]


def love(released: Released) -> Axes:
    """Standardised differences of each characteristic before and after matching, with lines at 0.1.

    The largest stand on top; below a line, single months before in their order, and the time followed.
    """
    shown = _of_kind(released, "balance")
    shown = shown.assign(name=characteristics(shown), smd=numeric(shown["smd"]))
    wide = shown.pivot_table(index="name", columns="sample", values="smd", sort=False)
    kind = shown.drop_duplicates("name").set_index("name").get("kind", pd.Series(dtype=object))
    block = kind.map({"follow-up": 0, "prior period": 1}).reindex(wide.index).fillna(2).to_numpy()
    order = np.lexsort((np.where(block == 2, wide.iloc[:, 0].abs(), -np.arange(len(wide))), block))
    wide, block, y = wide.iloc[order], block[order], np.arange(len(wide))
    names = [textwrap.fill(name, 24) for name in wide.index]
    tall = 0.17 * max(2, *(name.count("\n") + 1 for name in names))
    with figure(released, "love", [1.1 + tall * len(wide)]) as axes:
        ax = axes[0]
        ax.axvline(0, color=INK, linewidth=1)
        for limit in (-0.1, 0.1):
            ax.axvline(limit, color=SOFT, linewidth=1, linestyle="--")
        for above in np.flatnonzero(np.diff(block)):
            ax.axhline(above + 0.5, color=LINE, linewidth=1)
        if {"before", "after"} <= set(wide.columns):
            ax.hlines(y, wide["before"], wide["after"], color=LINE, linewidth=2.5)
        for sample, marks in (("before", COMPARISON), ("after", SUPPORTED)):
            if sample in wide:
                name = f"{label(sample)} matching"
                ax.plot(wide[sample], y, markersize=6.5, label=name, **{**marks, "linestyle": "none"})
        ax.set_yticks(y, names)
        ax.set_ylim(-0.6, len(wide) - 0.4)
        ax.grid(visible=False, axis="y")
        ax.figure.legend(loc="outside upper left", ncols=2, frameon=False)
        ax.set_xlabel("Standardised difference (dashed: ±0.1)")
    return axes[0]


def forest(released: Released, *, scale: Literal["ratio", "difference"] | None = None) -> Axes:
    """Effects on several outcomes, or by several analyses, each on its own row with its interval in figures.

    Parameters
    ----------
    released : Released
        Of ``Effects``, one effect an outcome and term.
    scale : 'ratio' or 'difference', optional
        Ratios of rates, or differences per 1,000 people a year; without it, differences, unless the widest
        is more than eight times the narrowest and ratios are to be had, because they would not share a scale.
    """
    shown = readers_units(_of_kind(released, "effects"))
    part = forest_rows(shown, scale)
    ratio = bool((part["scale"] == "log ratio").all())
    null, digits = (1.0, 2) if ratio else (0.0, places(part["estimate"]))
    # A figure must not look surer than the words: several services are allowed for in both.
    sure = {} if shown.duplicated(["outcome", "scale"]).any() else strengths(released)
    names = [textwrap.fill(textwrap.shorten(name, 60), 30) for name in effect_names(part)]
    row_height = 0.62 if max(map(len, names), default=0) <= 30 else 0.76
    with figure(released, "forest", [0.95 + row_height * len(part)], scale) as axes:
        ax = axes[0]
        if ratio:
            ax.set_xscale("log")
        ax.axvline(null, color=INK, linewidth=1)
        for i, (name, row) in enumerate(zip(names, part.to_dict("records"), strict=True)):
            y = -i
            value, low, high = row["estimate"], row["conf_low"], row["conf_high"]
            clear = low > null or high < null
            if clear and sure:
                clear = sure[str(row["outcome"])] in ("clear", "very clear")
            face = TEAL if clear else "white"
            ax.plot([low, high], [y, y], color=TEAL, linewidth=3 if clear else 1.8, solid_capstyle="butt")
            ax.plot(value, y, marker="o" if clear else "D", color=TEAL, markerfacecolor=face, markersize=8)
            said = "not shown" if pd.isna(value) else estimate_text(value, digits, sign=not ratio)
            if pd.notna(low):
                said += f" ({interval_text(low, high, digits, sign=not ratio)})"
            # White behind the words, so that the line of no effect does not run through them.
            over: Any = {"transform": ax.get_yaxis_transform(), "va": "bottom", "backgroundcolor": "white"}
            ax.text(0, y + 0.3, name, weight="bold", **over)
            ax.text(1, y + 0.3, said, ha="right", **over)
        _forest_axis(ax, part, ratio=ratio)
    return axes[0]


def forest_rows(shown: pd.DataFrame, scale: str | None) -> pd.DataFrame:
    """Choose the effects that share a scale, one an outcome."""
    by = {
        name: shown[shown["scale"] == s] for name, s in (("difference", "difference"), ("ratio", "log ratio"))
    }
    if scale is None:
        reach = (by["difference"]["conf_high"] - by["difference"]["conf_low"]).dropna()
        several = by["difference"]["unit"].nunique() > 1
        uneven = several or (len(reach) > 1 and reach.max() > 8 * reach.min())
        scale = "ratio" if len(by["ratio"]) and (uneven or by["difference"].empty) else "difference"
    part = by[scale]
    if part.empty or part.duplicated(["outcome", *(["term"] if "term" in part else [])]).any():
        raise DisclosureError(f"forest: needs one effect an outcome and term on the {scale} scale.")
    return part


def _forest_axis(ax: Axes, part: pd.DataFrame, *, ratio: bool) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    values = numeric(part[["conf_low", "conf_high", "estimate"]].to_numpy().ravel())
    values = values[np.isfinite(values)]
    if ratio:
        low, high = min([0.9, *(values / 1.05)]), max([1.1, *(values * 1.05)])
        ax.set_xlim(low, high)
        ticks = [
            t
            for t in (0.1, 0.2, 0.35, 0.5, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2, 3, 5, 10)
            if low <= t <= high
        ]
        while len(ticks) > 6:
            ticks = [t for i, t in enumerate(ticks) if t == 1 or i % 2 == ticks.index(1) % 2]
        ax.xaxis.set_major_locator(FixedLocator(ticks))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(lambda v, _: f"{v:g}")
        ax.set_xlabel("Ratio of the rate with support to the rate without")
    else:
        reach = 1.08 * max(np.abs(values), default=1.0)
        ax.set_xlim(-reach, reach)
        ax.xaxis.set_major_formatter(lambda v, _: number(v, 0 if reach >= 5 else 1, sign=True))
        ax.set_xlabel(f"Difference {part['unit'].iloc[0]}")
    ax.set_ylim(-len(part) + 0.55, 0.75)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.grid(visible=False)
    for x, words in ((0, "◀ fewer with support"), (1, "more with support ▶")):
        side = "left" if x == 0 else "right"
        ax.text(x, 1, words, transform=ax.transAxes, ha=side, va="bottom", color=SOFT, fontsize=10)


def placebo(released: Released) -> Axes:
    """Where the study's own estimate lies among estimates for starts that never happened."""
    shown = _of_kind(released, "summary")
    bins = placebo_units(released)
    here = shown["here"].fillna(False).to_numpy(bool)
    draws = np.nan_to_num(numeric(shown["draws"]))
    with figure(released, "placebo", [2.9]) as axes:
        ax = axes[0]
        width = (bins["high"] - bins["low"]).to_numpy()
        ax.bar(bins["low"], draws, width, align="edge", color=PALE, edgecolor=GREY, linewidth=0.8)
        own = float(bins["estimate"].iloc[0])
        top = 1.25 * max(draws.max(initial=1.0), 1.0)
        ax.vlines(own, 0, top * 0.86, color=TEAL, linewidth=2.5)
        ax.bar(
            bins["low"][here],
            draws[here],
            width[here],
            align="edge",
            color=TEAL,
            hatch="//",
            edgecolor="white",
        )
        left = own > float(bins[["low", "high"]].to_numpy().mean())
        ax.text(
            own,
            top * 0.88,
            "This study",
            weight="bold",
            color=TEAL,
            ha="right" if left else "left",
        )
        # The line of no effect ends below the words, so that it does not run through them.
        null = 1.0 if bins["unit"].iloc[0] == "ratio" else 0.0
        ax.vlines(null, 0, top * 0.86, color=INK, linewidth=1, linestyle="--")
        ax.set_ylim(0, top)
        ax.set_title("Number of draws")
        ax.set_xlabel(f"Estimate for starts that never happened, {bins['unit'].iloc[0]}")
    return axes[0]


def _of_kind(released: Released, kind: str) -> pd.DataFrame:
    if require_released(released).kind != kind:
        raise DisclosureError(f"{released.name!r} is a released {released.kind}; this figure needs {kind}.")
    return released.table


def _bins(shown: pd.DataFrame, released: Released) -> tuple[Any, Any]:
    for low, high in (("bin_low", "bin_high"), ("low", "high")):
        if {low, high, "arm", "persons"} <= set(shown.columns):
            return shown[low].to_numpy(float), shown[high].to_numpy(float)
    raise DisclosureError(f"{released.name!r} has no bins to draw: needs arm, bin_low, bin_high, persons.")


def _middle(start: pd.Series, step: pd.Series) -> pd.Series:
    """Middle of each period, so that a quarter's rate stands between its months."""
    if not pd.api.types.is_datetime64_any_dtype(start):
        return start.astype(float) + (step.astype(float) - 1) / 2
    return start + pd.to_timedelta((step.astype(float) - 1) * 30.4375 / 2, unit="D")


def _label_ends(ax: Axes, ends: list[tuple[Any, float, str]]) -> None:
    """Write each line's name at its right end, moved apart where two would touch."""
    gap = 0.13 * ax.get_ylim()[1]
    for i, (x, y, arm) in enumerate(sorted(ends, key=lambda end: end[1])):
        others = [end[1] for end in ends if end[2] != arm]
        close = bool(others) and abs(others[0] - y) < gap
        at = y + ((gap - abs(others[0] - y)) / 2 * (1 if i else -1) if close else 0)
        colour = (SUPPORTED if is_supported(arm) else COMPARISON)["color"]
        text = label(arm).replace("With support", "With\nsupport")
        ax.annotate(
            text, (x, at), (8, 0), textcoords="offset points", va="center", color=colour, weight="bold"
        )


def _mark_start(ax: Axes, periods: pd.Series, released: Released) -> None:
    """Mark where support starts: at 0 on the event clock, at the first start on the calendar."""
    dates = pd.api.types.is_datetime64_any_dtype(periods)
    at: Any = released.method.get("first_start") if dates else -0.5 if (periods < 0).any() else None
    if at is None or pd.isna(at):
        return
    at = pd.Timestamp(at) if dates else at
    ax.axvline(at, color=SOFT, linewidth=1, linestyle=":")
    until: Any = released.method.get("last_start")
    if dates and until is not None and pd.notna(until):
        until = pd.Timestamp(until)
        ax.axvspan(at, until, color=LINE, alpha=0.45, linewidth=0)
    words = " starts of support" if dates else " support starts"
    ax.annotate(words, (at, ax.get_ylim()[1]), va="top", fontsize=10, color=SOFT)


def _mark_anticipation(ax: Axes, released: Released) -> None:
    months = int(released.method.get("anticipation") or 0)
    if months:
        ax.axvspan(-months - 0.5, -0.5, color=LINE, alpha=0.45, linewidth=0)


def _time_axis(ax: Axes, periods: pd.Series) -> None:
    if not pd.api.types.is_datetime64_any_dtype(periods):
        ax.set_xlabel("Months from the start of support" if (periods < 0).any() else "Period")
        _whole_numbers(ax)
        return
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator: Any = AutoDateLocator(minticks=3, maxticks=6)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def _whole_numbers(ax: Axes) -> None:
    """Mark whole periods only: there is no month −7.5."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(7, integer=True, steps=[1, 2, 3, 5, 6, 10]))
    ax.xaxis.set_major_formatter(lambda v, _: period(v))


def _periods_word(released: Released) -> str:
    word = str(released.method.get("period") or "month")
    return f"{word.capitalize()}s"
