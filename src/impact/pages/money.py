"""What a finance director needs: care avoided, what of it is cash, the cost of support, and the balance.

The cost of care avoided is never called a saving: at average prices it holds beds and staff that are paid for
whether or not anybody comes. "It saved money" may be said only where the whole range of the cash that could
be released, less the cost of support, lies above zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from impact.disclosure import Released
from impact.errors import DisclosureError
from impact.interpret.price_lists import OVERLAPPING
from impact.numbers.rounding import significant
from impact.pages import SEAL, Shown, fold, show
from impact.pages.formats import MINUS, MISSING, inside, label, listed, number, require_released, who
from impact.pages.layout import Column, Table, cells_of, table_of
from impact.pages.statement import Statement
from impact.pages.style import INK, SOFT, TEAL, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CAPTION = (
    "How far the balance moves if one thing lies at the ends of its own range and all else is as estimated. "
    "Thin line: the balance as estimated. Right of the thick line care avoided is worth more than support."
)
UNSAVED = "“It saved money”: it is not shown that any cash is left once support is paid for."
_NOT_ASKED = (
    "In money: not worked out here, as the study names no prices. Fewer contacts free time and beds, more "
    "take them up; neither is cash."
)
_NAMES = {
    "activity": "Cost of care avoided",
    "cashable": "of which cash",
    "support": "Cost of support",
    "net": "Care avoided less support",
    "net_cash": "Cash less support",
    "break_even": "Break-even for one person, in care",
    "break_even_cash": "Break-even for one person, in cash",
}
_SWINGS = 8


def money(released: Mapping[str, Released]) -> Shown:
    """Say what the result means in money; folded below it the table and what the balance hangs on.

    Parameters
    ----------
    released : mapping of name to Released
        With ``effects`` and, where prices were given, ``money``.
    """
    if "money" not in released:
        said = Statement("sentence", (("list", (_NOT_ASKED,)),), (released["effects"],), SEAL)
        return show(said)
    found = _of_costs(released["money"])
    drawn = [show(swings(found), numbers=False)] if len(_swings(found)) else []
    return show(lines(found, who(released["effects"])), fold("The figures in money", found, *drawn))


def lines(released: Released, those: str = "people") -> Statement:
    """Say it in about five sentences.

    Parameters
    ----------
    released : Released
        Of ``Costs``.
    those : str
        What is counted if not people.
    """
    item = _items(released)
    year = released.method["price_year"]
    if not np.isfinite(item["activity"]["estimate"]):
        said = ["Too few people or contacts to show what the change is worth in money."]
        return Statement("sentence", (("list", tuple(said)),), (released,), SEAL)
    costs = "support" in item and np.isfinite(item["support"]["estimate"])
    first = saved(released) or "“It saved money” may not be said: " + (
        f"in cash, less the cost of support, {_balance(item['net_cash'])}; the chance that support "
        f"pays in cash is {_percent(item['net_cash']['chance'])}."
        if costs and np.isfinite(item["net_cash"]["estimate"])
        else "what support cost is not given."
    )
    said = [first]
    if costs:
        each = float(released.method["support_cost_per_person"])
        some = number(round(item["support"]["estimate"] / each)) if each else "the"
        said.append(
            f"Support cost {pounds(item['support']['estimate'])}: {pounds(each)} for each of the {some} "
            f"{those} with it. Cash would cover {_up_to(item['break_even_cash'])}."
        )
    said += [
        f"Cash: {_cash(released, item)}",
        f"Care avoided at the average prices of {year}: {_spent(item['activity'])}. That is what contacts "
        "cost on average, not a saving: wards and clinics are paid for all the same."
        + (_in_full(item["net"]) if costs else ""),
        *_elsewhere(released, item, those),
    ]
    return Statement("sentence", (("list", tuple(said)),), (released,), SEAL)


def saved(released: Released | None) -> str:
    """Return '“It saved money: ...”' where cash less the cost of support lies above zero in all its range."""
    item = _items(_of_costs(released)) if released is not None else {}
    if "net_cash" not in item or not item["net_cash"]["conf_low"] > 0:
        return ""
    best = item["net_cash"]
    cash = f"about {pounds(best['estimate'], 2)} in cash ({_reach(best)})"
    return f"“It saved money: {cash}, beyond what support cost.”"


def table(released: Released) -> Table:
    """The items in pounds, with the price of each service and where it is from."""
    shown = _of_costs(released).table
    rows = shown.index[~shown["item"].isin(["swing"])]
    reach = [
        f"{pounds(low)} to {pounds(high)}" if np.isfinite([low, high]).all() else MISSING
        for low, high in shown.loc[rows, ["conf_low", "conf_high"]].astype(float).to_numpy()
    ]
    hidden = released.hidden.loc[rows, "estimate"].to_numpy()
    reach = [released.mark if gone else text for gone, text in zip(hidden, reach, strict=True)]
    columns = (
        Column("Item", [_name(row) for row in shown.loc[rows].to_dict("records")], words=True),
        Column("Price each", _prices(shown.loc[rows])),
        Column("Best estimate", cells_of(released, "estimate", rows, pounds)),
        Column("95% range", reach),
        Column("Chance above zero", cells_of(released, "chance", rows, _percent)),
    )
    year = released.method["price_year"]
    under = ["Above zero: care that was not needed, or money left over. Below: more care, or money short."]
    return table_of(
        released, f"In money, pounds of {year}", columns, [*under, *_notes(released)], how=_how(released)
    )


def swings(released: Released) -> Axes:
    """What the balance hangs on most: each effect, and each price, at the ends of its own range."""
    shown = _of_costs(released).table
    part = _swings(released)
    if part.empty:
        raise DisclosureError(f"{released.name!r} has no ranges of effects or prices to draw.")
    balance = "net" in set(shown["item"])
    with figure(released, "swings", [0.9 + 0.52 * len(part)]) as axes:
        ax = axes[0]
        at = -np.arange(len(part))
        low, high = (part[c].to_numpy(float) for c in ("conf_low", "conf_high"))
        ax.barh(at, high - low, left=low, height=0.55, color=TEAL, edgecolor="none")
        ax.axvline(float(part["estimate"].iloc[0]), color=SOFT, linewidth=0.9, zorder=1.5)
        ax.axvline(0, color=INK, linewidth=1.8, zorder=1.5)
        ax.set_yticks(at, [_bar_name(row) for row in part.to_dict("records")])
        ax.xaxis.set_major_formatter(lambda v, _: _thousands(v))
        ax.set_xlabel("Care avoided less cost of support" if balance else "Cost of care avoided")
        ax.grid(visible=True, axis="x")
        ax.grid(visible=False, axis="y")
        ax.tick_params(left=False)
        ax.spines["left"].set_visible(False)
    return axes[0]


def alt(released: Released) -> str:
    """Describe the figure of ``swings`` with its numbers."""
    part = _swings(released)
    ends = [
        f"{_thing(row)}: {pounds(row['conf_low'])} to {pounds(row['conf_high'])}"
        for row in part.to_dict("records")
    ]
    return f"What the balance of {pounds(part['estimate'].iloc[0])} hangs on. {'; '.join(ends)}."


def pounds(value: Any, digits: int | None = None) -> str:
    """Write pounds; '£13,000', '−£420'.

    Examples
    --------
    >>> pounds(-13412), pounds(13412, 2), pounds(0.4), pounds(1_460_000, 2)
    ('−£13,412', '£13,000', '£0', '£1.5 million')
    """
    rounded = float(value) if digits is None else float(significant([float(value)], digits)[0])
    millions = digits is not None and abs(rounded) >= 1_000_000
    text = f"{number(abs(rounded) / 1e6, 1)} million" if millions else number(abs(rounded))
    return f"{MINUS if rounded < 0 and text != '0' else ''}£{text}"


def _of_costs(released: Released) -> Released:
    if require_released(released).kind != "costs":
        raise DisclosureError(f"{released.name!r} is a released {released.kind}; these words need costs.")
    return released


def _swings(released: Released) -> pd.DataFrame:
    """What moves the balance by anything that can be told, the most first."""
    shown = released.table
    moved = shown["estimate"].notna() & (shown["conf_low"] < shown["conf_high"])
    return shown[(shown["item"] == "swing") & moved].head(_SWINGS)


def _items(released: Released) -> dict[str, dict[str, float]]:
    shown = released.table[~released.table["item"].isin(["service", "swing"])]
    columns = ["estimate", "conf_low", "conf_high", "chance"]
    return {row["item"]: {c: float(row[c]) for c in columns} for row in shown.to_dict("records")}


def _spent(row: Mapping[str, float]) -> str:
    """'about £61,000 (£12,000 to £110,000)', or 'anything from £40,000 more to £120,000 less'."""
    if row["conf_low"] <= 0 <= row["conf_high"]:
        return f"{_reach(row)} than without support"
    more = "" if row["estimate"] > 0 else " more was spent"
    return f"about {pounds(abs(row['estimate']), 2)}{more} ({_reach(row)})"


def _reach(row: Mapping[str, float]) -> str:
    low, high = (pounds(abs(row[end]), 2) for end in ("conf_low", "conf_high"))
    if row["conf_low"] <= 0 <= row["conf_high"]:
        return f"anything from {low} more spent to {high} less"
    return f"{low} to {high}" if row["conf_low"] > 0 else f"{high} to {low}"


def _balance(row: Mapping[str, float]) -> str:
    """'about £5,000 left over (£2,000 to £9,000)', 'about £4 short (£9 short to £8 left over)'."""
    best, low, high = (pounds(abs(row[name]), 2) for name in ("estimate", "conf_low", "conf_high"))
    said = f"about {best} {'short' if row['estimate'] < 0 else 'left over'}"
    if row["conf_low"] <= 0 <= row["conf_high"]:
        return f"{said} ({low} short to {high} left over)"
    return f"{said} ({low} to {high})" if row["conf_low"] > 0 else f"{said} ({high} to {low})"


def _in_full(net: Mapping[str, float]) -> str:
    """Care avoided at average prices less the cost of support; no chance of what the study cannot tell."""
    tells = not net["conf_low"] <= 0 <= net["conf_high"]
    told = _balance(net) if tells else f"the study cannot tell ({_balance(net).split(' (')[1]}"
    return f" Counted in full, less the cost of support: {told}."


def _cash(released: Released, item: Mapping[str, Mapping[str, float]]) -> str:
    shown = released.table[released.table["item"] == "service"]
    known = shown["estimate"].notna()
    without = [inside(label(n)) for n in shown.loc[known & shown["cashable_gbp"].isna(), "outcome"]]
    if len(without) == known.sum():
        return "nothing is known to be. No price says what is released if a contact does not happen."
    none = f" Of {listed(without)} no cash is known to be released, and none is counted." if without else ""
    return f"{_spent(item['cashable'])}.{none}"


def _up_to(row: Mapping[str, float]) -> str:
    if row["conf_high"] <= 0:
        return "nothing at all"
    least = "nothing" if row["conf_low"] <= 0 else pounds(row["conf_low"], 2)
    best = "nothing" if row["estimate"] <= 0 else f"up to {pounds(row['estimate'], 2)} a person"
    return f"{best} (95% range: {least} to {pounds(row['conf_high'], 2)})"


def _percent(share: Any) -> str:
    if pd.isna(share):
        return MISSING
    return "under 1%" if share < 0.005 else "over 99%" if share > 0.995 else f"{100 * float(share):.0f}%"


def _elsewhere(released: Released, item: Mapping[str, Mapping[str, float]], those: str) -> list[str]:
    """Say what it would be among people who were not studied, with every reason to doubt it."""
    if "extended_activity" not in item or not np.isfinite(item["extended_activity"]["estimate"]):
        return []
    to = released.method["extend_to"]
    left = f"; less the cost of support, {_balance(item['extended_net'])}" if "extended_net" in item else ""
    return [
        f"If {number(to['people'])} {those} were offered it and {_percent(to['take_up'])} took it: cost "
        f"of care avoided, {_reach(item['extended_activity'])}{left}. This is arithmetic and not "
        "evidence: those studied may have been chosen when they were unwell, others may need support less, "
        "and fewer may take it."
    ]


def _name(row: Mapping[Any, Any]) -> str:
    item = str(row["item"])
    if item == "service":
        return label(row["outcome"])
    base = _NAMES[item.removeprefix("extended_")]
    return f"{base}, if extended" if item.startswith("extended_") else base


def _prices(rows: pd.DataFrame) -> list[str]:
    of = rows.get("price_gbp", pd.Series(np.nan, rows.index))
    return [MISSING if pd.isna(price) else pounds(price) for price in of]


def _thing(row: Mapping[Any, Any]) -> str:
    what = "Effect on" if row["term"] == "effect" else "Price of"
    return f"{what} {inside(label(row['outcome']))}"


def _bar_name(row: Mapping[Any, Any]) -> str:
    """Most bars are too narrow to be read against the axis."""
    return f"{_thing(row)}\n{_thousands(row['conf_low'])} to {_thousands(row['conf_high'])}"


def _thousands(value: float) -> str:
    return pounds(value) if abs(value) < 10_000 else f"{pounds(value / 1000)}k"


def _notes(released: Released) -> list[str]:
    """What is in no sum, and why."""
    shown = released.table[released.table["item"] == "service"]
    gone = [inside(label(name)) for name in shown.loc[shown["estimate"].isna(), "outcome"]]
    said = (
        [f"In no sum: {listed(gone)}, since what is not shown could be worked out from it."] if gone else []
    )
    counted = set(shown["outcome"])
    stays = {name: one for one, names in OVERLAPPING.items() if one in counted for name in names}
    for name in released.method.get("not_counted") or ():
        same = f", the same stays as {inside(label(stays[name]))}" if name in stays else ""
        said.append(f"Not counted: {inside(label(name))}{same}.")
    return said


def _how(released: Released) -> list[str]:
    shown = released.table[(released.table["item"] == "service") & released.table["estimate"].notna()]
    said = [
        f"{label(row['outcome'])}: {row['source']}, {row['stated_year']} prices."
        for row in shown.to_dict("records")
    ]
    if released.method.get("index"):
        said.append(f"Brought to {released.method['price_year']} by: {released.method['index']}.")
    said.append(
        "Sums use how the effects on the services hang together, since the same people use them all. Ranges "
        "hold the uncertainty of the effects, and of a price where its source gives a range."
    )
    if released.method.get("discount_rate"):
        said.append(
            f"After 12 months discounted at {100 * float(released.method['discount_rate']):.1f}% a year."
        )
    return said
