"""A decomposition by hand, what it says of itself, how it is released, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from impact.did.bacon import bacon_decomposition
from impact.disclosure import release
from impact.errors import DataError, DesignError, ParameterError


@pytest.fixture
def panel(make_panel):
    return make_panel(periods=4, starts=(1, 2))


def test_by_hand(panel):
    """Two starts and the never supported: four comparisons, three of which use nobody's effect as control."""
    table = bacon_decomposition(panel, outcome="gp").table.set_index(["type", "treated_group"])
    first, second, never = (panel.rate("gp")[panel.start == g].mean(0) for g in (1, 2, 4))
    change = {
        ("Earlier vs Later Treated", "2023-02"): (first - second)[[0, 1]],
        ("Later vs Earlier Treated", "2023-03"): (second - first)[[1, 2, 3]],
        ("Treated vs Untreated", "2023-02"): first - never,
        ("Treated vs Untreated", "2023-03"): second - never,
    }
    assert set(table.index) == set(change)
    for (kind, group), gap in change.items():
        at = 2 if group == "2023-03" and len(gap) == 4 else 1
        expected = gap[at:].mean() - gap[:at].mean()
        assert table.loc[(kind, group), "estimate"] == pytest.approx(expected)
    n = {g: (panel.start == g).sum() for g in (1, 2, 4)}
    row = table.loc[("Earlier vs Later Treated", "2023-02")]
    assert (row["treated"], row["controls"], row["control_group"]) == (n[1], n[2], "2023-03")
    assert row["events"] == panel.outcomes["gp"][panel.start == 1, 1].sum()
    assert table["weight"].iloc[0] / table["weight"].iloc[2] == pytest.approx(n[2] / n[4] / 3)


def test_what_it_says(panel):
    doubled = {name: panel.outcomes["gp"] * k for name, k in (("gp", 1), ("ae", 2))}
    panel = replace(panel, outcomes=doubled, exposure=dict.fromkeys(doubled, panel.exposure["gp"]))
    out = bacon_decomposition(panel, outcome=["ae", "gp"])
    assert out.table["outcome"].tolist() == ["ae"] * 4 + ["gp"] * 4
    share = out.table["weight"][1]
    assert f"ae: {share:.0%} of the weight is on comparisons with those who already" in out.method["notes"][0]
    assert out.method["unit"] == "per 1,000 person-months"


def test_always_treated_are_compared_and_named(make_panel):
    panel = make_panel(periods=4, starts=(0, 2))
    table = bacon_decomposition(panel, outcome="ae").table
    assert table["type"].tolist() == ["Later vs Always Treated", "Treated vs Untreated"]
    assert sorted(table["control_group"]) == ["always", "never"]
    early = bacon_decomposition(replace(panel, start=panel.start - 2 * (panel.start == 0)), outcome="ae")
    assert early.table.equals(table)


@pytest.mark.parametrize("by", ["comparison", "type"])
def test_it_can_be_released(panel, by):
    released = release({"bacon": bacon_decomposition(panel, outcome="ae", by=by)}, "hes")["bacon"]
    assert not released.table["withheld"].any()
    assert (released.table["treated"] % 5 == 0).all()
    few = panel.subset((panel.start == 4) | (panel.start == 1) | (np.cumsum(panel.start == 2) <= 3))
    hidden = release({"bacon": bacon_decomposition(few, outcome="ae")}, "hes")["bacon"].table
    small = (hidden["treated_group"] == "2023-03") | (hidden["control_group"] == "2023-03")
    assert hidden.loc[small, ["estimate", "weight"]].isna().all(axis=None)


def test_what_cannot_be_taken_apart_is_refused(panel, make_panel):
    with pytest.raises(DesignError, match="bacon_decomposition needs everyone at risk in every period"):
        bacon_decomposition(make_panel(holes=0.1), outcome="gp")
    with pytest.raises(DesignError, match="no two groups"):
        bacon_decomposition(panel.subset(panel.start == 1), outcome="ae")
    with pytest.raises(DesignError, match="clock='calendar'"):
        bacon_decomposition(replace(panel, clock="event"), outcome="ae")
    with pytest.raises(ParameterError, match="by='types'"):
        bacon_decomposition(panel, outcome="ae", by="types")
    with pytest.raises(DataError, match="the panel holds 'gp', 'ae'"):
        bacon_decomposition(panel, outcome="a")
