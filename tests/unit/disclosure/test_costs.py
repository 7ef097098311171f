"""Costs are made from what is printed: nothing in them tells what is withheld, or an exact count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from impact.disclosure import release
from impact.interpret import cost_avoided, price_list
from impact.results import Costs, Effects

SERVICES = ["ae", "gp", "outpatient"]
SCALES = {"log ratio": (-0.2, 0.1, "log ratio"), "difference": (-9.0, 4.0, "per 1,000 person-months")}


def effects(*, events: tuple[int, ...] = (212, 90, 60), treated: int = 283, avoided: float = 31.0) -> Effects:
    """Three services, each in three scales, that hang together."""
    rows, estimate, error = [], [], []
    for name in SERVICES:
        for scale, (value, wide, unit) in {
            **SCALES,
            "events avoided": (avoided, 14.0, "events"),
        }.items():
            rows.append({"outcome": name, "term": "att", "scale": scale, "unit": unit})
            estimate.append(value)
            error.append(wide)
    shared = np.full((1, len(rows)), 0.6)
    root = np.vstack([shared, 0.8 * np.eye(len(rows))]) * np.array(error)
    counts = pd.DataFrame(
        {"persons": 700, "treated": treated, "clusters": 60, "events": np.repeat(events, 3)},
        index=range(len(rows)),
    )
    return Effects(
        pd.DataFrame(rows), np.array(estimate), root, np.arange(len(root)), 59, {"estimator": "twfe"}, counts
    )


def money(found: Effects, **more: Any) -> Costs:
    prices = price_list(SERVICES, price_year="2020/21")
    return cost_avoided(found, prices, support_cost_per_person=100, **more)


def shown(found: Effects, policy: Any = "hes") -> Any:
    return release({"effects": found, "money": money(found)}, policy)


def test_a_reader_can_add_up_the_total_from_what_is_printed() -> None:
    page = shown(effects())
    printed = page["effects"].table.query("scale == 'events avoided'").set_index("outcome")["estimate"]
    table = page["money"].table
    price = table[table["item"] == "service"].set_index("outcome")["price_gbp"]
    total = float(price @ printed[price.index])
    items = table.set_index("item")
    assert items.loc["activity", "estimate"] == pytest.approx(
        total, abs=0.02 * items.loc["activity", "std_error"]
    )
    # 283 people are printed as 285.
    assert items.loc["support", "estimate"] == 28_500
    assert page["money"].kind == "costs"


def test_figures_are_rounded_to_two_digits_of_their_error() -> None:
    table = shown(effects())["money"].table.set_index("item")
    row = table.loc["activity"]
    step = 10 ** (np.floor(np.log10(row["std_error"])) - 1)
    assert step >= 10
    for column in ("estimate", "conf_low", "conf_high"):
        assert row[column] % step == pytest.approx(0, abs=1e-6)
    for column in ("price_gbp", "chance"):
        assert (table[column].dropna().round(2) == table[column].dropna()).all()


def test_exact_effects_that_are_printed_alike_have_the_same_costs() -> None:
    """So that no exact number of contacts, and no count behind it, can be had from pounds and prices."""
    one, two = shown(effects(avoided=30.6)), shown(effects(avoided=30.7))
    printed = ["estimate", "std_error", "conf_low", "conf_high"]
    pd.testing.assert_frame_equal(one["effects"].table[printed], two["effects"].table[printed])
    pd.testing.assert_frame_equal(one["money"].table, two["money"].table)
    assert money(effects(avoided=31.1)).table["estimate"][0] > money(effects()).table["estimate"][0]


def test_a_service_that_is_not_shown_is_in_no_sum_and_is_said() -> None:
    page = shown(effects(events=(212, 4, 60)))
    table = page["money"].table
    assert page["effects"].table.query("outcome == 'gp'")["estimate"].isna().all()
    alone = release({"money": _without(effects(), "gp")}, "hes")["money"].table
    for name in ("activity", "cashable", "support", "net", "net_cash", "break_even"):
        found, expected = (t.set_index("item").loc[name, "estimate"] for t in (table, alone))
        assert found == expected, name
    (gone,) = table[(table["item"] == "service") & table["estimate"].isna()].to_dict("records")
    assert gone["outcome"] == "gp"
    assert gone["withheld"]
    assert "gp" not in set(table.loc[table["item"] == "swing", "outcome"])
    assert any("Not in the sums: gp" in note for note in page["money"].notes)


def _without(found: Effects, name: str) -> Costs:
    prices = price_list([s for s in SERVICES if s != name], price_year="2020/21")
    return cost_avoided(found, prices, support_cost_per_person=100)


def test_where_nothing_may_be_shown_there_is_no_figure() -> None:
    page = shown(effects(events=(4, 4, 4)))
    figures = page["money"].table[["estimate", "std_error", "conf_low", "conf_high", "chance"]]
    assert figures.isna().all(axis=None)
    few = shown(effects(treated=6))["money"].table
    assert few["estimate"].isna().all()


@pytest.mark.parametrize("policy", ["hes", "opensafely", "opensafely_midpoint6", "threshold_10"])
def test_under_every_policy_the_cost_of_support_tells_no_more_than_the_printed_number(policy: str) -> None:
    page = shown(effects(), policy)
    (people,) = page["effects"].table["treated"].dropna().unique()
    assert page["money"].table.set_index("item").loc["support", "estimate"] == 100 * people


def test_where_how_many_had_support_is_withheld_so_is_what_is_made_from_it() -> None:
    from impact.disclosure.costs import costs_draft
    from impact.disclosure.policies import policy

    found = money(effects(), extend_to={"people": 1000, "take_up": 0.5})
    draft = costs_draft(found, policy("hes"), {(row, "treated") for row in range(9)})
    table = draft.table.set_index("item")
    assert np.isfinite(table.loc["activity", "estimate"])
    for name in ("support", "net", "net_cash", "break_even", "extended_activity", "swing"):
        assert table.loc[[name], "estimate"].isna().all(), name
