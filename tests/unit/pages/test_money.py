"""What a finance director reads: care avoided is never called a saving, and an open result is said to be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from impact.disclosure import Released, release
from impact.errors import DisclosureError
from impact.interpret import cost_avoided, price_list
from impact.pages import money, show, words
from impact.results import Effects

CLEAR, OPEN = (400.0, 60.0), (60.0, 80.0)


def page(
    nights: tuple[float, float],
    *,
    ae: tuple[float, float] = (30.0, 10.0),
    cost: float | None = 420,
    events: tuple[int, ...] = (300, 900),
    other: str = "",
    **more: Any,
) -> Mapping[str, Released]:
    """A page with effects on attendances and nights: contacts avoided and their errors."""
    rows, values = [], []
    of = {"ae": ae, "bed_days": nights} | ({other: ae} if other else {})
    events = (*events, 300)[: len(of)]
    for name, (avoided, error) in of.items():
        for scale, by, unit in (
            ("difference", -0.3, "per 1,000 person-months"),
            ("events avoided", 1, "events"),
        ):
            rows.append({"outcome": name, "term": "att", "scale": scale, "unit": unit})
            values.append((by * avoided, abs(by) * error))
    behind = {"persons": 900, "treated": 250, "clusters": 120}
    effects = Effects(
        pd.DataFrame(rows),
        np.array([v for v, _ in values]),
        np.diag([e for _, e in values]),
        np.arange(len(rows)),
        119,
        {"estimator": "two_by_two"},
        pd.DataFrame([behind | {"events": n} for n in events for _ in range(2)]),
    )
    prices = price_list(["ae", "bed_days"], price_year="2020/21")
    found = cost_avoided(effects, prices, support_cost_per_person=cost, **more)
    return release({"effects": effects, "money": found}, "hes")


def said(released: Mapping[str, Released]) -> str:
    return money.lines(released["money"]).text


def test_a_clear_fall_is_the_cost_of_care_avoided_and_not_a_saving() -> None:
    text = said(page(CLEAR, cost=800))
    assert "Care avoided at the average prices of 2020/21: about £420,000 (£300,000 to £540,000)." in text
    assert "not a saving: wards and clinics are paid for all the same" in text
    assert "Cash: about £140,000 (£98,000 to £180,000). Of A&E attendances no cash is known" in text
    assert "Support cost £200,000: £800 for each of the 250 people with it." in text
    assert "; the chance that support pays in cash is under 1%." in text
    assert "Counted in full, less the cost of support: about £220,000 left over" in text
    assert text.startswith(
        "“It saved money” may not be said: in cash, less the cost of support, about £61,000 short"
    )


def test_it_saved_money_may_be_said_only_where_cash_less_support_is_above_zero_in_all_its_range() -> None:
    cheap = page(CLEAR, cost=100)
    assert said(cheap).startswith("“It saved money: about £110,000 in cash (£73,000 to £150,000)")
    may, may_not = (" ".join(s) for _, s in words.claims(cheap["effects"], costs=cheap["money"]).parts)
    assert "It saved money: about £110,000" in may
    assert "saved" not in may_not
    dear = page(CLEAR, cost=420)
    assert money.saved(dear["money"]) == ""
    may, may_not = (" ".join(s) for _, s in words.claims(dear["effects"], costs=dear["money"]).parts)
    assert "saved" not in may
    assert "“It saved money”: it is not shown that any cash is left" in may_not


def test_an_open_result_says_that_it_is_open() -> None:
    text = said(page(OPEN))
    assert "2020/21: anything from £98,000 more spent to £230,000 less than without support" in text
    # A chance a little over a half is read as "it pays"; the table has it, with its range.
    assert "Counted in full, less the cost of support: the study cannot tell (£200,000 short to" in text
    assert "Cash would cover" in text
    assert "support, about £84,000 short (£30,000 to £140,000)" in text


def test_more_care_is_said_to_be_more() -> None:
    text = said(page((-400.0, 60.0), ae=(-30.0, 10.0)))
    assert "about £420,000 more was spent (£300,000 to £540,000)" in text
    assert "about £520,000 short" in text
    assert "Cash would cover nothing at all." in text


def test_without_prices_or_the_cost_of_support_it_is_said() -> None:
    released = page(CLEAR, cost=None)
    assert said(released).startswith("“It saved money” may not be said: what support cost is not given.")
    assert "Break-even" not in said(released)
    nothing = money.money({"effects": released["effects"]})
    assert nothing.text.startswith("In money: not worked out here, as the study names no prices.")


def test_carried_over_to_others_it_carries_take_up_range_and_warning() -> None:
    text = said(page(OPEN, extend_to={"people": 12_000, "take_up": 0.25, "optimism_bias": 0.0}))
    assert (
        "If 12,000 people were offered it and 25% took it: cost of care avoided, anything from £1.2 million"
        in text
    )
    assert (
        "This is arithmetic and not evidence: those studied may have been chosen when they were unwell"
        in text
    )


def test_what_is_withheld_is_in_no_sum_and_the_page_says_so() -> None:
    released = page(CLEAR, events=(4, 900))
    shown = show(released["money"]).text
    assert "In no sum: A&E attendances, since what is not shown could be worked out from it." in shown
    assert "not shown" in shown
    none = page(CLEAR, events=(4, 4))
    assert said(none) == "Too few people or contacts to show what the change is worth in money."
    assert "£" not in money.money(none).text.replace("In money, pounds", "")


def test_the_table_names_prices_their_year_and_their_source() -> None:
    released = page(CLEAR, other="emergency_admission")["money"]
    laid = money.table(released)
    assert "Not counted: emergency admissions, the same stays as nights in hospital." in laid.notes
    assert laid.caption == "In money, pounds of 2020/21"
    assert ("Nights in hospital", "£1,032") in [row[:2] for row in laid.rows]
    how = " ".join(laid.how)
    assert "DHSC written answer 146908" in how
    assert "2011/12 prices" in how
    assert "Brought to 2020/21 by: HCHS pay and prices" in how


def test_the_figure_says_its_numbers_in_words() -> None:
    released = page(CLEAR)["money"]
    shown = show(money.swings(released), numbers=False)
    assert 'alt="What the balance of £314,000 hangs on. Effect on nights in hospital: £' in shown.html
    with pytest.raises(DisclosureError, match="these words need costs"):
        money.table(page(CLEAR)["effects"])
