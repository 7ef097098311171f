"""What if it were done differently: the batch of checks as a figure, as a table and in sentences."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from impact.disclosure import Released
from impact.pages import SEAL, Shown, show
from impact.pages.bounds import range_text
from impact.pages.formats import (
    estimate_text,
    inside,
    label,
    listed,
    notes,
    number,
    numeric,
    places,
    readers_units,
)
from impact.pages.layout import Column, Table, table_of
from impact.pages.ranked import is_clear, ratio_ticks
from impact.pages.statement import Statement
from impact.pages.style import GREY, INK, PALE, TEAL, figure
from impact.pages.verdicts import Verdict, batch, verdicts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CAPTION = (
    "Each line is the 95% range of one check. Diamond, with the band: the analysis as planned. Filled "
    "circle: the check agrees with it. Empty circle: it is too unsure to say. Cross: it does not agree. "
    "Below the line no effect should be found."
)
# More than this are counted and not named.
_NAMED = 3
_SAME = ("same answer", "bears it")
_SAYS = {
    "same answer": {True: "Agrees", False: "Does not agree", None: "Too unsure to say"},
    "bears it": {True: "Agrees", False: "Does not agree", None: "Too unsure to say"},
    "no effect": {True: "None found, as it should be", False: "Found one", None: "Too few to say"},
    "hidden reason": {
        True: "It would have to be strong",
        False: "A weak one would do",
        None: "Not clear anyway",
    },
}


def checks(released: Mapping[str, Released]) -> Shown:
    """The batch of checks, if the page has one: in sentences, as a figure and as a table."""
    if (found := released.get("checks")) is None:
        return show()
    said = Statement("sentence", (("list", tuple(sentences(found))),), (found,), SEAL)
    return show(said, *([draw(found)] if batch(found)["estimate"].notna().any() else [found]))


def sentences(released: Released) -> list[str]:
    """Say how many checks were made, how many agree, and which do not, each with what it found."""
    found, table = verdicts(released), readers_units(batch(released))
    shown = table["estimate"].notna().to_numpy()
    said = _other_ways([v for v in found if v.asks in _SAME and shown[v.row]], table)
    said += [
        f"An effect was found where there can be none: {_with_figures(v, table)}."
        for v in found
        if v.asks == "no effect" and v.agrees is False
    ]
    nothing = [inside(v.changed) for v in found if v.asks == "no effect" and v.agrees]
    if nothing:
        said.append(f"No effect was found where there can be none: {listed(nothing)}.")
    return said + [_hidden(v, table) for v in found if v.asks == "hidden reason" and v.agrees is not None]


def _other_ways(ways: Sequence[Verdict], table: pd.DataFrame) -> list[str]:
    """How many agree; where the main result is not clear, which of them are clear by themselves."""
    if not ways:
        return []
    agree, unsure, against = ([v for v in ways if v.agrees is a] for a in (True, None, False))
    many = f"in {number(len(ways))} other ways" if len(ways) > 1 else "in one other way"
    counted = [
        f"{number(len(some))} {words if len(some) > 1 else word}"
        for some, words, word in (
            (agree, "agree", "agrees"),
            (unsure, "cannot tell", "cannot tell"),
            (against, "do not agree", "does not agree"),
        )
        if some
    ]
    told = "all agree" if len(agree) == len(ways) else listed(counted)
    said = [f"The result was worked out {many}, with one thing changed each time: {told}."]
    main = table[table["check"] == "planned"]
    if not is_clear(main, ratio=_is_ratio(main)).any():
        some = [v for v in agree if is_clear(table.iloc[[v.row]], ratio=_is_ratio(main)).any()]
        lone = f" Taken alone, a clear change shows {_only(some)}." if some else " None shows a clear change."
        said[0] += lone
    return said + [f"Does not agree: {_with_figures(v, table)}." for v in against]


def _only(some: Sequence[Verdict]) -> str:
    if len(some) > _NAMED:
        return f"in {len(some)} of them"
    return f"only in {'this' if len(some) == 1 else 'these'}: {'; '.join(inside(v.changed) for v in some)}"


def _is_ratio(shown: pd.DataFrame) -> bool:
    return bool((shown["scale"] == "log ratio").any())


def _with_figures(v: Verdict, table: pd.DataFrame) -> str:
    return f"{inside(v.changed)}, {_cells(table.iloc[[v.row]])[0]}"


def _hidden(v: Verdict, table: pd.DataFrame) -> str:
    if table["strength"].isna().iloc[v.row]:
        return "By ranks within matched sets the difference is no more than chance makes."
    times = number(float(table["strength"].iloc[v.row]), 2)
    whom = "one of two matched people" if v.check == "rosenbaum_bounds" else "people"
    how = f"something nobody recorded that made {whom} {times} times as likely to get support"
    also = "" if v.check == "rosenbaum_bounds" else ", and changed their use by as much,"
    return f"It would take {how}{also} to bring no change into the range{'' if v.agrees else ': not much'}."


def draw(released: Released) -> Axes:
    """Draw the planned estimate with its range as a band, and each check beside it.

    Parameters
    ----------
    released : Released
        Of ``interpret.checks``.
    """
    table, judged = readers_units(batch(released)), {v.row: v for v in verdicts(released)}
    shown = _drawn(table)
    ratio = bool((shown["scale"] == "log ratio").any())
    names = [textwrap.fill(judged[i].changed if i in judged else "As planned", 40) for i in shown.index]
    tall = np.array([0.13 + 0.155 * (name.count("\n") + 1) for name in names])
    # What should find nothing stands apart, below a line.
    nothing = (shown["asks"] == "no effect").to_numpy()
    y = -(np.cumsum(tall) - tall / 2 + 0.16 * nothing)
    with figure(released, "done_differently", [1.0 + tall.sum()], "ratio" if ratio else "difference") as axes:
        ax = axes[0]
        if ratio:
            ax.set_xscale("log")
        ax.axvline(1.0 if ratio else 0.0, color=INK, linewidth=1)
        for at, i, row in zip(y, shown.index, shown.to_dict("records"), strict=True):
            _draw_row(ax, at, row, judged.get(i))
        if nothing.any() and not nothing.all():
            ax.axhline((y[nothing].max() + y[~nothing].min()) / 2, color=GREY, linewidth=1)
        ax.set_yticks(y, names)
        ax.tick_params(axis="y", length=0, labelsize=9)
        ax.set_ylim(y.min() - 0.3, 0.1)
        ax.grid(visible=False, axis="y")
        unit = "Ratio of rates" if ratio else f"Difference {shown['unit'].iloc[0]}"
        ax.set_xlabel(unit)
        if ratio:
            ends = numeric(shown[["conf_low", "conf_high"]].to_numpy().ravel())
            ticks = ratio_ticks(np.nanmin(ends), np.nanmax(ends))
            # Half of the width is taken by words, so that ticks beside 1 would run into it.
            ticks = [t for t in ticks if t == 1 or not 0.75 < t < 1.3] if len(ticks) > 3 else ticks
            ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
            ax.minorticks_off()
        else:
            digits = places(ax.get_xticks())
            ax.xaxis.set_major_formatter(lambda v, _: number(v, digits, sign=True))
    return axes[0]


def _drawn(table: pd.DataFrame) -> pd.DataFrame:
    """What has a place in the figure: the estimates that are shown."""
    return table[(table["scale"] != "") & table["estimate"].notna()]


def _draw_row(ax: Axes, y: float, row: Any, verdict: Verdict | None) -> None:
    value, low, high = (float(numeric([row[c]])[0]) for c in ("estimate", "conf_low", "conf_high"))
    if verdict is None:
        ax.axvspan(low, high, color=PALE, alpha=0.45, linewidth=0, zorder=0)
    agrees = True if verdict is None else verdict.agrees
    colour = INK if verdict is None else TEAL if agrees else GREY if agrees is None else INK
    ax.hlines(y, low, high, color=colour, linewidth=2.4 if agrees else 1.6)
    marker = "D" if verdict is None else {True: "o", None: "o", False: "X"}[agrees]
    ax.plot(
        value,
        y,
        marker=marker,
        color=colour,
        markerfacecolor=colour if agrees is not None else "white",
        markersize=7,
    )


def alt(released: Released, _: str | None = None) -> str:
    """Describe the figure for somebody who cannot see it."""
    table = readers_units(batch(released))
    shown = _drawn(table)
    planned = _cells(table[table["check"] == "planned"])[0]
    return f"{len(shown)} estimates with their ranges. As planned: {planned}. {' '.join(sentences(released))}"


def table(released: Released) -> Table:
    """Lay out what was changed each time, what was found, and whether the answer stands."""
    shown, judged = readers_units(batch(released)), {v.row: v for v in verdicts(released)}
    names = [judged[i].changed if i in judged else "As planned" for i in range(len(shown))]
    verdict = [
        _SAYS[judged[i].asks][judged[i].agrees] if i in judged else "The main result"
        for i in range(len(shown))
    ]
    withheld = released.hidden["estimate"] | released.hidden["strength"]
    cells = [released.mark if hidden else cell for cell, hidden in zip(_cells(shown), withheld, strict=True)]
    unit = _unit(shown[shown["scale"] != ""])
    columns = [
        Column("What was changed", names, True),
        Column(f"{unit} (95% range)", cells),
        Column("Does the result stand?", verdict, True),
    ]
    name = inside(label(shown["outcome"].iloc[0]))
    under = [
        "One thing is changed at a time, among the same people, so that many checks that agree are no more "
        "evidence than one.",
        *notes(released),
    ]
    return table_of(released, f"What if it were done differently: {name}", columns, under)


def _unit(shown: pd.DataFrame) -> str:
    first = shown.iloc[0]
    return "Ratio of rates" if first["scale"] == "log ratio" else f"Difference {first['unit']}"


def _cells(shown: pd.DataFrame) -> list[str]:
    known = shown[shown["scale"] != ""]
    ratio = bool((known["scale"] == "log ratio").any())
    digits = 2 if ratio else places(known["estimate"]) if len(known) else 0
    out = []
    for row in shown.to_dict("records"):
        if row["scale"] == "":
            out.append(f"{number(row['strength'], 2)} times")
            continue
        one = estimate_text(row["estimate"], digits, sign=not ratio)
        out.append(f"{one} ({range_text(row['conf_low'], row['conf_high'], digits, ratio=ratio)})")
    return out
