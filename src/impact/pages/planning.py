"""What a study that has not been done could find: in sentences, as a figure, and as a page."""

from __future__ import annotations

import datetime as dt
import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from impact.disclosure import Released
from impact.numbers.rounding import significant
from impact.pages import SEAL, show
from impact.pages.evidence import FEW_GROUPS
from impact.pages.formats import inside, label, listed, number
from impact.pages.layout import Column, Table, cells_of, table_of
from impact.pages.prose import Block
from impact.pages.statement import Statement
from impact.pages.style import GREY, INK, TEAL, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "What could this study find?"
# With fewer contacts than this in an arm, few buildings find less than the formulas say (docs/planning.md).
FEW_EVENTS = 20
CAPTION = (
    "How often a study finds a fall, by how large the fall really is. Solid: as many people as planned. "
    "Dashed: half as many. Dotted: twice as many. The level line is four times in five."
)
_SHARES = {
    0.1: "one study in ten",
    0.2: "one study in five",
    0.25: "one study in four",
    1 / 3: "one study in three",
    0.4: "two studies in five",
    0.5: "half of all studies",
    0.6: "three studies in five",
    2 / 3: "two studies in three",
    0.75: "three studies in four",
    0.8: "four studies in five",
    0.9: "nine studies in ten",
}
# Falls of which it is said how often they would be missed: the first that is smaller than what is found.
_MISSED = (20, 10, 5)


def in_words(share: float) -> str:
    """Say a share of studies in words.

    Examples
    --------
    >>> in_words(0.74), in_words(0.97), in_words(0.02)
    ('three studies in four', 'nearly every study', 'hardly any study')
    """
    if not 0.05 <= share <= 0.95:
        return "nearly every study" if share > 0.5 else "hardly any study"
    return _SHARES[min(_SHARES, key=lambda known: abs(known - share))]


def headline(released: Mapping[str, Released]) -> Statement:
    """Say the smallest fall that is found four times in five, what would be missed, and how many it takes.

    Parameters
    ----------
    released : mapping of name to Released
        ``found``, ``needed`` and ``curves``, as ``interpret.planned`` makes them.
    """
    found, needed, curves = (released[name] for name in ("found", "needed", "curves"))
    fall, _, rise, _ = found.table.to_dict("records")
    said = {name: float(significant(fall[name], 3)) for name in ("with_support", "without_support")}
    what = inside(label(found.method["outcome"][0]))
    lead = (
        f"With {_who(found)}, followed for {number(found.method['months'])} months, a study like this "
        f"finds a fall of {-fall['percent']:.0f}% or more four times in five: "
        f"{number(said['with_support'])} instead of "
        f"{number(said['without_support'])} {what} for 1,000 people a year.",
    )
    missed = next((m for m in _MISSED if m < -fall["percent"] - 0.5), None)
    here = curves.table[curves.table["an_arm"] == found.method["an_arm"]]
    others = []
    if missed:
        chance = float(here.loc[here["percent"] == -missed, "found"].iloc[0])
        others.append(f"It would miss a fall of {missed}% in {in_words(1 - chance)}.")
    if pd.notna(rise["percent"]):
        others.append(f"A rise is found as often from {rise['percent']:.0f}%.")
    parts = (("lead", lead), ("others", tuple(others)), ("others", (takes(needed),)))
    return Statement("headline", parts, (found, needed, curves), SEAL)


def takes(needed: Released) -> str:
    """Say how many people it takes to find a fall of 10, 20 and 30 per cent."""
    falls = [
        f"{number(row['an_arm_80'])} people for a fall of {-row['percent']:.0f}%"
        for row in needed.table.to_dict("records")
        if pd.notna(row["an_arm_80"])
    ]
    never = [
        f"{-row['percent']:.0f}%" for row in needed.table.to_dict("records") if pd.isna(row["an_arm_80"])
    ]
    said = []
    if falls and _is_even(needed):
        said.append(f"To find them four times in five takes, in each arm, about {listed(falls)}.")
    elif falls:
        said.append(
            f"To find them four times in five takes, with support, about {listed(falls)}; and "
            f"{number(needed.method['ratio'], 1)} times as many to compare."
        )
    if never:
        said.append(f"No number of people finds a fall of {' or '.join(never)}.")
    return " ".join(said)


def curves(released: Released) -> Axes:
    """Draw how often each fall is found, with half as many people, as many, and twice as many."""
    table, planned = released.table, released.method["an_arm"]
    styles: Sequence[dict[str, Any]] = (
        {"color": GREY, "linestyle": (0, (4, 2))},
        {"color": TEAL, "linestyle": "-", "linewidth": 2.6},
        {"color": INK, "linestyle": (0, (1, 1.4))},
    )
    with figure(released, "power", [3.4]) as axes:
        ax = axes[0]
        for (size, rows), style in zip(table.groupby("an_arm"), styles, strict=True):
            said = f"{_people(size, released)}{' (planned)' if size == planned else ''}"
            ax.plot(-rows["percent"], 100 * rows["found"], label=said, **style)
        ax.axhline(80, color=INK, linewidth=0.8)
        ax.set_xlim(0, 60)
        ax.set_ylim(0, 101)
        ax.set_yticks(range(0, 101, 20), [f"{tick}%" for tick in range(0, 101, 20)])
        ax.set_xticks(range(0, 61, 10), [f"{tick}%" for tick in range(0, 61, 10)])
        ax.set_xlabel("Fall that support really brings")
        ax.set_title("Share of studies that find the fall")
        ax.legend(loc="upper left", bbox_to_anchor=(0, -0.2), frameon=False, fontsize=10)
    return axes[0]


def alt(released: Released) -> str:
    """Describe the figure for somebody who cannot see it."""
    said = [
        f"{_people(size, released)}: "
        + ", ".join(
            f"a fall of {fall}% is found by {100 * rows.loc[rows['percent'] == -fall, 'found'].iloc[0]:.0f}%"
            for fall in (10, 20, 30, 50)
        )
        for size, rows in released.table.groupby("an_arm")
    ]
    return f"Line chart of the share of studies that find a fall. {'. '.join(said)}."


def _found(released: Released) -> Table:
    shown = released.table
    digits = 0 if shown["without_support"].iloc[0] >= 20 else 1
    columns = [
        Column(
            "Found",
            [
                f"A {change}, {_OFTEN[round(100 * often)]}"
                for change, often in zip(shown["change"], shown["often"], strict=True)
            ],
            True,
        ),
        Column("Smallest", cells_of(released, "percent", shown.index, _percent)),
        Column("Ratio", cells_of(released, "ratio", shown.index, lambda v: number(v, 2))),
        Column(
            "For 1,000 people a year",
            [
                f"{number(w, digits)} instead of {number(wo, digits)}" if pd.notna(w) else "–"
                for w, wo in zip(shown["with_support"], shown["without_support"], strict=True)
            ],
            True,
        ),
        Column("In all, with support", cells_of(released, "in_an_arm", shown.index, _signed)),
    ]
    under = ["In all, with support: how many more or fewer, over the time people are followed."]
    return table_of(released, "The smallest change that is found", columns, under)


def _needed(released: Released) -> Table:
    shown = released.table
    columns = [
        Column("Fall", [_percent(-p).lstrip("+") for p in shown["percent"]], True),
        Column("This study finds it", [f"{100 * found:.0f}%" for found in shown["found"]]),
        *(
            Column(
                f"People {_where(released)} to find it {_OFTEN[often]}",
                cells_of(released, f"an_arm_{often}", shown.index),
            )
            for often in _OFTEN
        ),
    ]
    under = ["Rounded up to two figures. In buildings of the same size: the more people, the more buildings."]
    return table_of(released, "People it takes, by the fall that is to be found", columns, under)


def _curves(released: Released) -> Table:
    shown = released.table[(released.table["percent"] % 10 == 0) & (released.table["percent"] < 0)]
    sizes = shown["an_arm"].unique()
    falls = sorted(shown["percent"].unique(), reverse=True)
    at = shown.set_index(["an_arm", "percent"])["found"]
    columns = [Column("Fall", [_percent(-fall).lstrip("+") for fall in falls], True)]
    columns += [
        Column(f"{number(size)} people an arm", [f"{100 * at[size, fall]:.0f}%" for fall in falls])
        for size in sizes
    ]
    return table_of(released, "Share of studies that find the fall", columns, [])


def _assumed(released: Released) -> Table:
    columns = [
        Column(title, released.table[name].astype(str).tolist(), True)
        for title, name in (("Assumed", "what"), ("Value", "value"), ("From", "source"))
    ]
    return table_of(released, "Assumption by assumption", columns, [])


LAYOUTS = {
    "smallest change found": _found,
    "how many it takes": _needed,
    "power curves": _curves,
    "what is assumed": _assumed,
}
_OFTEN = {80: "four times in five", 90: "nine times in ten"}


def page(
    released: Mapping[str, Released],
    *,
    name: str = "",
    warnings: Sequence[str] = (),
    from_data: bool = False,
    date: dt.date | None = None,
) -> str:
    """Make the page of a plan.

    Parameters
    ----------
    released : mapping of name to Released
        ``found``, ``needed``, ``curves`` and ``assumed``.
    name : str
        Of the study, above the title.
    warnings : sequence of str
        What must be known beside it: ``cautions``.
    from_data : bool
        Whether anything was measured in people's data: then the page tells the rule for small numbers.
    date : date, optional
        Of the page; today without it.
    """
    # Only here, because notebooks, which show tables and figures, have no use for what makes pages.
    from impact.pages.report import Page, lay_out, template

    made = Page(title=TITLE, date=date or dt.date.today(), kicker=" · ".join(filter(None, ("Plan", name))))
    made.rules = [released["found"].rule.sentence] if from_data else []
    blocks = [
        _shown(headline(released)),
        Block("shown", "", 2, "How often it finds what is there"),
        _shown(curves(released["curves"])),
        _shown(released["found"]),
        Block("shown", "", 2, "How many people it takes"),
        _shown(released["needed"]),
        Block("shown", "", 2, "What this assumes"),
        _shown(released["assumed"]),
        Block("shown", "", 2, "What a plan cannot say"),
        Block("shown", f"<ul>{''.join(f'<li>{html.escape(said)}</li>' for said in warnings)}</ul>"),
    ]
    lay_out(made, blocks)
    return template("page.html.j2", made)


def cautions(groups: float = 0, events: float = np.inf) -> list[str]:
    """Say what no number of people mends, and what few buildings and few events (after the fall) mean."""
    said = []
    if groups:
        said.append(
            "Support goes to whole buildings. Where both arms live in the same buildings, leave these out of "
            "the plan: what they share cancels."
        )
        if groups < FEW_GROUPS:
            said.append(
                f"With fewer than {FEW_GROUPS} buildings even a clear result will be called weak evidence. "
                "Plan its analysis with the errors for few sites (inference: CR2)."
            )
            if events < FEW_EVENTS:
                said.append(
                    f"After so large a fall about {number(events)} contacts are left in an arm: with so few "
                    "buildings and contacts, studies find it less often than is said here (docs/planning.md)."
                )
    said += [
        "Found means a fall whose 95% range leaves out no change. One that is found is likelier to be too "
        "large than too small, most of all where few studies would find it.",
        "A plan is about chance alone. It says nothing of whether the people compared are alike; people "
        "chosen because they were ill get better whether or not support helps.",
    ]
    return said


def _shown(*things: Any) -> Block:
    return Block("shown", show(*things).html)


def _is_even(released: Released) -> bool:
    """Whether as many are compared as are supported, or nearly."""
    return bool(abs(released.method["ratio"] - 1) < 0.1)


def _where(released: Released) -> str:
    return "an arm" if _is_even(released) else "with support"


def _people(an_arm: Any, released: Released) -> str:
    return f"{number(an_arm)} people {_where(released)}"


def _who(released: Released) -> str:
    """Say how many are supported and compared."""
    people = _people(released.method["an_arm"], released)
    others = float(significant(released.method["an_arm"] * released.method["ratio"], 2))
    return people if _is_even(released) else f"{people} and {number(others)} to compare"


def _percent(value: float) -> str:
    return f"{number(value, sign=True)}%"


def _signed(value: float) -> str:
    return number(value, 0 if abs(value) >= 20 else 1, sign=True)
