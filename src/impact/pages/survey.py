"""What people said before and after support: the words, tables and figure of the survey's page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from impact.disclosure import Released
from impact.pages import SEAL, Shown, fold, show
from impact.pages.formats import (
    adjusted,
    aligned,
    capital,
    estimate_text,
    inside,
    interval_text,
    label,
    listed,
    notes,
    number,
    numeric,
    p_value,
    places,
    readers_units,
    require_released,
)
from impact.pages.layout import Column, Table, table_of
from impact.pages.statement import Statement
from impact.pages.survey_tables import before_and_after, how_asked, lost, share_again, who_answered

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CAPTION = (
    "How much more answers changed with support than without it, in standard deviations of the answers "
    "before, so that all questions share a scale; right of the line is better. Each mark is the best "
    "estimate, its line the 95% range. Filled circle: a clear change. Diamond: not clear."
)
_RECALLED = "What counts would say if people with support told too few or too many"
_KNEW = "People knew whether they had support, and some may have answered accordingly."
_UNSAID = {"not said", "all together"}
_NO_LOT = "Support was not given by lot: who took it up may have been going to change anyway."


@dataclass(frozen=True)
class Change:
    """How one answer changed beyond what it did without support, in readers' units."""

    name: str
    kind: str
    better: str
    scale: str
    unit: str
    estimate: float
    low: float
    high: float
    p: float

    @property
    def is_shown(self) -> bool:
        """Whether there is an estimate that may be shown."""
        return bool(np.isfinite([self.estimate, self.low, self.high]).all())

    @property
    def null(self) -> float:
        """The value of no change."""
        return 1.0 if self.unit == "ratio" else 0.0

    @property
    def is_clear(self) -> bool:
        """Whether there was a change; of the questions after the first with Holm's allowance for several."""
        # What is the same to the last digit is no change, however small its error.
        return self.is_shown and self.p < 0.05 and not np.isclose(self.estimate, self.null, atol=1e-9)

    @property
    def word(self) -> str:
        """'better', 'worse', or 'not clear'; of counts 'more' or 'fewer'."""
        if not self.is_shown:
            return "too few to show"
        if not self.is_clear:
            return "not clear"
        more = self.estimate > self.null
        if not self.better:
            return "more" if more else "fewer"
        return "better" if more == (self.better == "higher") else "worse"

    @property
    def figures(self) -> str:
        """'+0.58 points (+0.24 to +0.93)'."""
        if not self.is_shown:
            return "not shown"
        ratio = self.unit == "ratio"
        digits = 2 if ratio else places([self.estimate, self.low, self.high])
        digits = 1 if self.kind == "yes or no" else digits
        unit = "" if ratio else f" {self.unit}"
        reach = interval_text(self.low, self.high, digits, sign=not ratio)
        return f"{'ratio ' * ratio}{estimate_text(self.estimate, digits, sign=not ratio)}{unit} ({reach})"


def changes_of(released: Released, wave: str | None = None) -> list[Change]:
    """Read the changes of one wave, the main one if none is named; the first question is the primary one."""
    shown = readers_units(require_released(released).table)
    term = shown["term"].iloc[0] if wave is None else wave
    shown = shown[shown["term"] == term].reset_index(drop=True)
    shown["p"] = adjusted(numeric(shown["p_value"]).tolist())
    asked: Mapping[str, Any] = released.method["asked"]
    out = []
    for row in shown.to_dict("records"):
        kind, better, _, scale = asked[row["outcome"]]
        ends = ("estimate", "conf_low", "conf_high", "p")
        estimate, low, high, p = map(float, numeric([row[end] for end in ends]))
        where = {"name": row["outcome"], "kind": kind, "better": better, "scale": scale, "unit": row["unit"]}
        out.append(Change(**where, estimate=estimate, low=low, high=high, p=p))
    return out


def said(released: Mapping[str, Released]) -> Statement:
    """Say in at most four sentences how answers changed with support beyond what they did without it.

    Parameters
    ----------
    released : mapping of name to Released
        Of ``interpret.surveyed``: ``said, said_weighted, answered``.
    """
    first, *others = changes_of(released["said"])
    sentences = (_main(first), _others(others), _lost(released, first), _KNEW)
    sources = tuple(released[name] for name in ("said", "said_weighted", "answered") if name in released)
    return Statement("sentence", (("list", tuple(filter(None, sentences))),), sources, SEAL)


def headline(
    released: Mapping[str, Released], *, assignment: Literal["observed", "randomised"] = "observed"
) -> Statement:
    """Say how the first answer changed, as the answer of the page, and whether support was given by lot."""
    first, *others = changes_of(released["said"])
    lot = "" if assignment == "randomised" else _NO_LOT
    parts = (("lead", (_main(first),)), ("also", (_others(others), lot, _KNEW)))
    return Statement("headline", parts, (released["said"],), SEAL)


def findings(released: Mapping[str, Released]) -> Shown:
    """What the findings page says of a survey: a few sentences, and the rest folded; nothing without one."""
    if "said" not in released:
        return Shown("", "", (), seal=SEAL)
    more = [effects(released), means(released)]
    return show(said(released), fold("All questions, before and after", *more))


_WAYS = {
    "better": "was better with support than the change without it would have made it",
    "worse": "was worse with support than the change without it would have made it",
    "more": "rose with support, compared with without it",
    "fewer": "fell with support, compared with without it",
}


def _main(first: Change) -> str:
    name, reach = label(first.name), first.figures.replace("(", "(95% range ", 1)
    name = f"The share who said yes ({inside(name)})" if first.kind == "yes or no" else name
    if not first.is_shown:
        return f"{name}: too few people answered twice to say."
    of = f", on a scale from {first.scale}" if first.scale else ""
    if first.is_clear:
        return f"{name} {_WAYS[first.word]}: {reach}{of}."
    cannot = f"The survey cannot tell whether {inside(name)} changed otherwise with support than without it"
    return f"{cannot}: {reach}{of}."


def _others(others: list[Change]) -> str:
    by = {
        word: [inside(label(c.name)) for c in others if c.word == word]
        for word in dict.fromkeys(c.word for c in others)
    }
    told = {
        "better": "clearly better: {}",
        "worse": "clearly worse: {}",
        "more": "clearly more: {}",
        "fewer": "clearly fewer: {}",
        "not clear": "no clear change: {}",
        "too few to show": "too few to show: {}",
    }
    found = [said.format(listed(by[word])) for word, said in told.items() if word in by]
    if not found:
        return ""
    allowing = ", allowing for looking at several" if len(others) > 1 else ""
    return f"Of the other questions{allowing}, {'; '.join(found)}."


def _lost(released: Mapping[str, Released], first: Change) -> str:
    mine, theirs = (100 * share_again(released["answered"], arm) for arm in ("supported", "control"))
    told = "Not everyone answered again"
    if np.isfinite([mine, theirs]).all():
        told = f"Of those who answered before, {number(mine)}% with support and "
        told += f"{number(theirs)}% without it answered again"
    weighted, *_ = changes_of(released["said_weighted"])
    if not (weighted.is_shown and first.is_shown):
        return f"{told}."
    return f"{told}; weighed for those who were lost, the first figure is {weighted.figures}."


def effects(released: Mapping[str, Released]) -> Shown:
    """The changes as a table, question by question, the later or earlier waves below the main one."""
    one = require_released(released["said"])
    waves = list(dict.fromkeys(one.table["term"]))
    tables = [_effects(one, str(wave), i == 0) for i, wave in enumerate(waves)]
    laid = [Shown(t.text, t.html, (one,), seal=SEAL) for t in tables]
    more = [fold("At the other interviews", *laid[1:])] if len(laid) > 1 else []
    scaled = released.get("said_standard")
    drawn = [] if scaled is None else [show(standard(scaled, one), numbers=False)]
    recalled = [show(released["said_recalled"], caption=_RECALLED)] if "said_recalled" in released else []
    return show(laid[0], *drawn, *more, *recalled)


def _effects(one: Released, wave: str, main: bool) -> Table:
    found = changes_of(one, wave)
    columns = [
        Column("Question", [label(c.name) for c in found], words=True),
        Column("Scale", [c.scale or c.kind for c in found], words=True),
        Column("Change beyond that without support", [c.figures for c in found]),
        Column("With support", [c.word for c in found], words=True),
        Column("p-value", aligned([p_value(c.p) for c in found])),
    ]
    under = list(notes(one)) if main else []
    if len(found) > 1:
        under.append(
            f"{label(found[0].name)} was named first, as the main question; the p-values of the others allow "
            "for looking at several (Holm)."
        )
    when = f"{wave} and before" if main else wave
    return table_of(one, f"What people said, {when}: changes with their 95% ranges", columns, under)


def means(released: Mapping[str, Released]) -> Shown:
    """What each group said before and after, of those who answered twice."""
    return _laid(before_and_after(released["spoken"]))


def who(released: Mapping[str, Released]) -> Shown:
    """Who was asked, who answered again, and what those who were lost had said before."""
    return show(_laid(who_answered(released["answered"])), _laid(lost(released["spoken"])))


def modes(released: Mapping[str, Released]) -> Shown:
    """How the interviews were held, and how far back they looked."""
    told = [how_asked(released[name]) for name in ("modes", "recalls") if _says(released, name)]
    if not told:
        unsaid = ("The file does not say how interviews were held.",)
        return show(Statement("sentence", (("list", unsaid),), (released["modes"],), SEAL))
    return show(*map(_laid, told))


def _says(released: Mapping[str, Released], name: str) -> bool:
    """Whether the file says of anybody how it was asked."""
    return name in released and not set(released[name].table[name.removesuffix("s")]) <= _UNSAID


def _laid(table: Table) -> Shown:
    return Shown(table.text, table.html, (table.source,), seal=SEAL)


def beside(released: Mapping[str, Released]) -> Shown:
    """The main changes as they are, weighed for those lost and among matched people, side by side."""
    main = changes_of(released["said"])
    columns = [
        Column("Question", [label(c.name) for c in main], words=True),
        Column("As answered", [c.figures for c in main]),
    ]
    under = ["Weighed: those who answered again stand for people like them who did not."]
    titles = {"said_weighted": "Weighed for those lost", "said_matched": "Among matched people"}
    for name, title in titles.items():
        if name in released:
            by = {c.name: c.figures for c in changes_of(released[name])}
            columns.append(Column(title, [by.get(c.name, "–") for c in main]))
    if "said_matched" in released:
        under.append(
            "Matched: each person with support beside one without it who was alike in what the study names "
            f"and in {inside(label(main[0].name))} before."
        )
    one = released["said_weighted"]
    table = table_of(one, "The same changes, looked at in other ways", columns, under)
    sources = tuple(released[n] for n in ("said", *titles) if n in released)
    return Shown(table.text, table.html, sources, seal=SEAL)


def worth(released: Mapping[str, Released]) -> Statement:
    """Say what the change is worth for one person; where it was not asked for, say so."""
    if "worth" not in released:
        return Statement(
            "sentence",
            (("list", ("Not valued: this study does not ask for it.",)),),
            (released["said"],),
            SEAL,
        )
    one = released["worth"]
    shown = one.table.reset_index(drop=True)
    values = {
        str(r["term"]): numeric(pd.Series(r)[["estimate", "conf_low", "conf_high"]])
        for r in shown.to_dict("records")
    }
    lasting, _, price = str(shown["unit"].iloc[0]).removeprefix("GBP a person, ").partition(": ")
    best, low, high = values["central price"]
    if not np.isfinite([best, low, high]).all():
        return Statement(
            "sentence", (("list", ("Too few people answered to value a change.",)),), (one,), SEAL
        )
    lines = [
        f"For one person with support, the change in {inside(label(shown['outcome'].iloc[0]))} is worth "
        f"{_pounds(best)} (95% range {_pounds(low)} to {_pounds(high)}) at the central price, {lasting}, as "
        f"this study assumes ({price.replace('GBP ', '£')})."
    ]
    if "low price" in values:
        lines.append(
            f"At the low and high price of guidance it is {_pounds(values['low price'][0])} and "
            f"{_pounds(values['high price'][0])}."
        )
    lines.append(
        "This is what a better life is worth to the people themselves, and no money that anybody saves. It "
        "holds what health does to life, so it must not be added to a value of the same change in health "
        "(QALY)."
    )
    return Statement("sentence", (("list", tuple(lines)),), (one,), SEAL)


def _pounds(value: float) -> str:
    rounded = float(f"{value:.2g}")
    return f"{'−' * (rounded < 0)}£{abs(rounded):,.0f}"


def standard(released: Released, said: Released) -> Axes:
    """Draw the changes in standard deviations, better to the right.

    Parameters
    ----------
    released : Released
        ``said_standard`` of ``interpret.surveyed``.
    said : Released
        ``said``: which changes are clear, allowing for all that was asked, as in the table.
    """
    from impact.pages.style import INK, SOFT, TEAL, figure

    found = changes_of(released)
    clearly = {c.name for c in changes_of(said) if c.is_clear}
    ends = [abs(v) for c in found if c.is_shown for v in (c.low, c.high)]
    reach = 1.08 * max([0.3, *ends])
    with figure(released, "said", [0.95 + 0.62 * len(found)]) as axes:
        ax = axes[0]
        ax.axvline(0, color=INK, linewidth=1)
        for i, one in enumerate(found):
            over: dict[str, Any] = {
                "transform": ax.get_yaxis_transform(),
                "va": "bottom",
                "backgroundcolor": "white",
            }
            ax.text(0, -i + 0.26, label(one.name), weight="bold", **over)
            told = _in_deviations(one) if one.is_shown else "too few to show"
            ax.text(1, -i + 0.26, told, ha="right", **over)
            if one.is_shown:
                clear = one.name in clearly
                ax.plot(
                    [one.low, one.high],
                    [-i, -i],
                    color=TEAL,
                    linewidth=3 if clear else 1.8,
                    solid_capstyle="butt",
                )
                face, mark = (TEAL, "o") if clear else ("white", "D")
                ax.plot(one.estimate, -i, marker=mark, color=TEAL, markerfacecolor=face, markersize=8)
        ax.set(xlim=(-reach, reach), ylim=(-len(found) + 0.55, 0.75), yticks=[])
        ax.xaxis.set_major_formatter(lambda v, _: number(v, 1, sign=True))
        ax.set_xlabel("Standard deviations of the answers before")
        ax.spines["left"].set_visible(False)
        ax.grid(visible=False)
        for x, words in ((0, "◀ worse with support"), (1, "better with support ▶")):
            side = "left" if x == 0 else "right"
            ax.text(x, 1, words, transform=ax.transAxes, ha=side, va="bottom", color=SOFT, fontsize=10)
    return axes[0]


def _in_deviations(one: Change) -> str:
    return f"{estimate_text(one.estimate, 2, sign=True)} ({interval_text(one.low, one.high, 2, sign=True)})"


def alt(released: Released) -> str:
    """Describe the figure for somebody who cannot see it."""
    told = [
        f"{label(c.name)} {_in_deviations(c) if c.is_shown else 'not shown, too few'}."
        for c in changes_of(released)
    ]
    return capital("changes in standard deviations, above 0 is better. ") + " ".join(told)
