"""Why a simple before and after is not enough: the change with support beside what else would explain it.

A change among people with support is never shown without what the choice of them would lead to expect, the
change without support, and the study's own estimate.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from impact.disclosure import Released
from impact.errors import DisclosureError
from impact.pages import SEAL, Shown, fold, show
from impact.pages.answers import Answer, about, answers, range_of, size
from impact.pages.formats import (
    MISSING,
    interval_text,
    label,
    notes,
    number,
    numeric,
    places,
    rate_unit,
    require_released,
    who,
)
from impact.pages.layout import Column, Table, cells_of, table_of
from impact.pages.statement import Statement
from impact.pages.style import COMPARISON, GREY, INK, LINE, SUPPORTED, TEAL, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_UNWELL = (
    "The change among people with support alone is not the effect of support: people are offered it when "
    "they are unwell, and most people who are unwell get better."
)
_ANYWAY = (
    "The change among those with support alone is not the effect: some change would have come anyway, and "
    "the comparison shows how much."
)
_NO_BEFORE = (
    "These data have no time before support began, so there is no before and after to compare: only what "
    "came after. The estimate is made by the study's own method and is not the one rate less the other."
)
CAPTION = (
    "Change in use from before to after; below it, as a line with its 95% range, what this study estimates "
    "that support did."
)
EXPECTED = (
    "Expected: had support done nothing, of people who had used as much when they were "
    "picked. By formula: an approximation, which takes it that need lasts and that people were picked by "
    "their use; where crises pass, it says too little. People alike: what became of people without support "
    "who had used as much before a like day."
)
_ARMS = ("supported", "control")
_WAYS = {"formula": "Expected, by formula", "alike": "Expected, people alike"}
_ESTIMATE = "This study’s estimate"


def meter(
    released: Mapping[str, Released], *, assignment: Literal["observed", "randomised"] = "observed"
) -> Shown:
    """Show the change before and after with support beside what else would explain it, and the estimate.

    Parameters
    ----------
    released : mapping of name to Released
        With ``naive``, of ``interpret.regression_to_mean``, and ``effects``, one effect an outcome. Where a
        count of either arm is withheld, so are the changes of both and what was to be expected.
    assignment : 'observed' or 'randomised'
        Whether support was given by lot: then nobody was offered it for being unwell.

    Raises
    ------
    DisclosureError
        Where one of the two is something else.
    """
    naive, effects = _both(released["naive"], released["effects"])
    laid = table(naive, effects)
    # The sentence above it holds what both are made of.
    below = [Shown(laid.text, laid.html, (), seal=SEAL)]
    if not naive.method.get("has_before", True):
        said: tuple[tuple[str, tuple[str, ...]], ...] = (("list", (_NO_BEFORE,)),)
    else:
        said = _said(naive, effects, assignment)
        below = [show(changes(naive, effects), numbers=False), fold("The numbers in this figure", *below)]
    return show(Statement("sentence", said, (naive, effects), SEAL), *below)


def _both(naive: Released, effects: Released | None) -> tuple[Released, Released]:
    if require_released(naive).kind != "summary" or "supported_change_percent" not in naive.table:
        raise DisclosureError(f"{naive.name!r}: these words need the before and after of both arms.")
    if effects is None:
        raise DisclosureError(
            f"{naive.name!r}: a change before and after is not shown alone; show "
            "impact.pages.before_after.meter(released) of what was released, with its effects."
        )
    return naive, require_released(effects)


def _said(naive: Released, effects: Released, assignment: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The first outcome in words: what happened, what was to be expected, and what the study estimates."""
    unit, factor = rate_unit(naive.method)
    row = naive.table.iloc[0]
    before, after, c_before, c_after = (
        factor * float(numeric([row[f"{arm}_{when}"]])[0]) for arm in _ARMS for when in ("before", "after")
    )
    change, c_change = numeric([row[f"{arm}_change_percent"] for arm in _ARMS])
    name, those = label(row["outcome"]), who(naive)
    if not min(before, c_before) > 0 or np.isnan([after, c_after, change, c_change]).any():
        return (("list", (f"{name}: too few to show a change before and after.",)),)
    unwell = after < before and those == "people" and assignment != "randomised"
    ways = {way: float(v) for way in _WAYS if np.isfinite(v := numeric([row[f"{way}_percent"]])[0])}
    also = "also " if np.sign(after - before) == np.sign(c_after - c_before) else ""
    lines = (
        f"{name} among {those} with support {_moved(change, before, after)} {unit}.",
        _anyway(ways, unwell),
        f"Among everyone in the comparison they {also}{_moved(c_change, c_before, c_after)}.",
        _estimate(_answers(effects).get(str(row["outcome"]))),
    )
    return (("why", (_UNWELL if unwell else _ANYWAY,)), ("list", (" ".join(filter(None, lines)),)))


def _answers(effects: Released) -> dict[str, Answer]:
    return {a.outcome: a for a in answers(effects)}


def _anyway(ways: Mapping[str, float], unwell: bool) -> str:
    """What the choice of people alone would lead to expect; nothing where neither way could be taken."""
    said = []
    if "formula" in ways:
        change = ways["formula"]
        much = f"a {'fall' if change < 0 else 'rise'} of about {abs(change):.0f}%" if change else "no change"
        picked = "picking people when they were unwell" if unwell else "who was picked, and when"
        said.append(f"had support done nothing, {much} would be expected from {picked} (an approximation)")
    if "alike" in ways:
        said.append(f"people without support who had used as much before {_verb(ways['alike'])}")
    text = "; ".join(said)
    return f"{text[:1].upper()}{text[1:]}." if said else ""


def _estimate(a: Answer | None) -> str:
    if a is None:
        return ""
    if a.strength == "too rare":
        return f"There were too few {a.name} to estimate what support did."
    of = replace(a, difference=None) if a.percent is not None else a
    what = "what support did, by its own method and not by taking one change from the other"
    return f"This study’s estimate of {what}: {size(of)} ({range_of(of)})."


def _verb(percent: float) -> str:
    if round(percent) == 0:
        return "stayed about the same"
    return f"{'fell' if percent < 0 else 'rose'} by {abs(percent):.0f}%"


def _moved(percent: float, before: float, after: float) -> str:
    """'fell by 37%, from 341 to 214': the change as the table has it, and not that of rounded rates."""
    return f"{_verb(percent)}, from {about(before, [after])} to {about(after, [before])}"


def changes(naive: Released, effects: Released) -> Axes:
    """Draw each service on one line: changes, what was to be expected, and the estimate with its range."""
    shown, found = naive.table, _answers(effects)
    marks: dict[str, tuple[str, dict[str, Any]]] = {
        "supported_change_percent": ("With support", {**SUPPORTED, "linestyle": "none"}),
        "formula_percent": (_WAYS["formula"], {"color": INK, "marker": "D", "markerfacecolor": "white"}),
        "alike_percent": (_WAYS["alike"], {"color": INK, "marker": "^", "markerfacecolor": "white"}),
        "control_change_percent": ("Comparison", {**COMPARISON, "linestyle": "none"}),
    }
    with figure(naive, "before_after", [1.25 + 0.72 * len(shown)], effects) as axes:
        ax, y = axes[0], -np.arange(len(shown), dtype=float)
        ax.axvline(0, color=INK, linewidth=1)
        ends = [numeric(shown[column]) for column in marks]
        lowest, highest = (np.nan_to_num(f(ends, 0)) for f in (np.fmin.reduce, np.fmax.reduce))
        ax.hlines(y, lowest, highest, color=LINE, linewidth=2)
        for (name, style), x in zip(marks.values(), ends, strict=True):
            if np.isfinite(x).any():
                ax.plot(x, y, label=name, markersize=7.5, **{"linestyle": "none", **style})
        line: dict[str, Any] = {"color": TEAL, "linewidth": 3, "solid_capstyle": "butt"}
        for i, outcome in enumerate(shown["outcome"]):
            if (a := found.get(str(outcome))) and a.percent is not None:
                ax.plot(a.percent[1:], [y[i] - 0.3] * 2, label="" if i else _ESTIMATE, **line)
                ax.plot(a.percent[0], y[i] - 0.3, "|", color=TEAL, markersize=11, markeredgewidth=2.5)
            over: Any = {"transform": ax.get_yaxis_transform(), "va": "bottom", "backgroundcolor": "white"}
            ax.text(0, y[i] + 0.2, textwrap.shorten(label(outcome), 48), weight="bold", **over)
        ax.set(ylim=(-len(shown) + 0.5, 0.75), yticks=[])
        ax.grid(visible=False)
        ax.spines["left"].set_visible(False)
        ax.locator_params(axis="x", steps=[1, 2, 5, 10], integer=True)
        ax.xaxis.set_major_formatter(lambda v, _: f"{number(v, sign=True)}%")
        ax.set_xlabel("Change in use")
        ax.tick_params(axis="x", color=GREY)
        ax.figure.legend(loc="outside upper left", ncols=2, frameon=False)
    return axes[0]


def alt(naive: Released, effects: Released) -> str:
    """Describe the figure for somebody who cannot see it."""
    laid = table(naive, effects)
    heads = [column.header for column in laid.columns[1:]]
    said = [
        f"{service}: {', '.join(f'{head} {cell}' for head, cell in zip(heads, cells, strict=True))}."
        for service, *cells in laid.rows
    ]
    return f"{laid.caption}. {' '.join(said)}"


def table(naive: Released, effects: Released | None = None) -> Table:
    """Each service on one line: both changes, what was to be expected, and the estimate.

    Raises
    ------
    DisclosureError
        For a change before and after alone.
    """
    naive, effects = _both(naive, effects)
    shown, found = naive.table, _answers(effects)
    services = Column("Service", shown["outcome"].map(label).tolist(), True)
    ways = [way for way in _WAYS if shown[f"{way}_percent"].notna().any()]
    ways = ways or [way for way in _WAYS if naive.hidden[f"{way}_percent"].any()]
    columns = [
        services,
        _changed(naive, "supported"),
        *(Column(_WAYS[way], _expected(naive, way)) for way in ways),
        _changed(naive, "control"),
        Column(_ESTIMATE, [_estimate_cell(found.get(str(outcome))) for outcome in shown["outcome"]]),
    ]
    unit, _ = rate_unit(naive.method)
    has_before = naive.method.get("has_before", True)
    what = "Change (from before to after" if has_before else "Rates after support began"
    return table_of(naive, f"{what}, {unit}{')' if has_before else ''}", columns, notes(naive))


def _changed(naive: Released, arm: str) -> Column:
    """Rates of one arm, and by how much they changed; without a before, or what is withheld, rates after."""
    _, factor = rate_unit(naive.method)
    shown = naive.table
    whens = ("before", "after") if naive.method.get("has_before", True) else ("after",)
    digits = places(
        factor * numeric(shown[[f"{a}_{when}" for a in _ARMS for when in whens]].to_numpy().ravel())
    )
    *before, after = (
        cells_of(naive, f"{arm}_{when}", shown.index, lambda v: number(factor * v, digits)) for when in whens
    )
    percent = cells_of(naive, f"{arm}_change_percent", shown.index, lambda v: f"{number(v, sign=True)}%")
    moved = zip(before[0] if before else after, after, percent, strict=True)
    return Column(label(arm), [f"{c} ({b} to {a})" if before and c[-1] == "%" else a for b, a, c in moved])


def _expected(naive: Released, way: str) -> list[str]:
    percent, low, high = (
        cells_of(naive, f"{way}_{end}", naive.table.index, lambda v: f"{number(v, sign=True)}%")
        for end in ("percent", "low", "high")
    )
    return [f"{p} ({a} to {b})" if p[-1] == "%" else p for p, a, b in zip(percent, low, high, strict=True)]


def _estimate_cell(a: Answer | None) -> str:
    if a is None or a.strength == "too rare":
        return MISSING
    if a.percent is None:
        return size(a)
    best, low, high = a.percent
    return f"{number(best, sign=True)}% ({interval_text(low, high, 0, sign=True).replace(' to ', '% to ')}%)"
