"""Pretended starts use only time before support, and find nothing where there is nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from impact import did
from impact.did.placebo_starts import placebo_starts
from impact.errors import DesignError, ParameterError


def spoiled(panel):
    """The panel with nonsense in all time with support."""
    on = np.arange(len(panel.periods)) >= panel.start[:, None]
    return replace(panel, outcomes={name: np.where(on, 999.0, y) for name, y in panel.outcomes.items()})


@pytest.mark.parametrize("estimator", ["two_by_two", "twfe", "callaway_santanna"])
def test_time_with_support_is_never_looked_at(make_panel, estimator):
    panel = make_panel(starts=(4,), holes=0.03, uneven=True, clusters=40)
    one = placebo_starts(panel, outcome="gp", estimator=estimator, shift=[1, 2])
    other = placebo_starts(spoiled(panel), outcome="gp", estimator=estimator, shift=[1, 2])
    pd.testing.assert_frame_equal(one.table, other.table)
    assert list(dict.fromkeys(one.table["term"])) == ["1 month before", "2 months before"]


def test_is_the_estimator_on_the_panel_cut_by_hand(make_panel):
    panel = make_panel(starts=(4,), uneven=True)
    short = replace(
        panel,
        periods=panel.periods[:4],
        outcomes={k: v[:, :4] for k, v in panel.outcomes.items()},
        exposure={k: v[:, :4] for k, v in panel.exposure.items()},
        start=np.where(panel.treated, 2, 4).astype(np.int64),
    )
    found = placebo_starts(panel, outcome="gp", estimator="two_by_two", shift=2, family="linear")
    own = did.two_by_two(short, outcome="gp", family="linear")
    np.testing.assert_allclose(found.estimate, own.estimate)
    np.testing.assert_allclose(found.std_error, own.std_error)
    assert found.method["family"] == "linear"


def test_staggered_starts_keep_each_persons_own_time(make_panel):
    """Callaway and Sant'Anna with every start one earlier is their effect in the last period before."""
    panel = make_panel(starts=(3, 4), n=500)
    found = placebo_starts(
        panel, outcome="gp", estimator="callaway_santanna", shift=1, control="never_treated"
    )
    own = did.callaway_santanna(panel, outcome="gp", control="never_treated", base_period="varying")
    table, size = own.table, pd.Series(panel.start[panel.treated]).value_counts()
    last = table[table["event_time"] == -1]
    position = [panel.periods.get_loc(g) for g in last["group"]]
    expected = np.average(last["estimate"], weights=size[position])
    got = found.table[found.table["scale"] == "difference"]["estimate"].iloc[0]
    assert got == pytest.approx(expected)


def test_clocks_agree(make_panel):
    calendar = make_panel(starts=(4,))
    event = replace(calendar, periods=pd.RangeIndex(-4, 2), clock="event")
    for shift in (1, 2):
        found = [
            placebo_starts(panel, outcome="gp", estimator="two_by_two", shift=shift)
            for panel in (calendar, event)
        ]
        np.testing.assert_allclose(found[1].estimate, found[0].estimate)


def test_nothing_is_found_where_there_is_nothing_and_a_drift_is_found(make_panel):
    """40 draws of a world without a drift: |t| > 2 in about 5% of them; a drift of 30% is seen in all."""
    seen = []
    for seed in range(40):
        panel = make_panel(n=300, starts=(4,), seed=seed, effect=0.3)
        out = placebo_starts(panel, outcome="gp", estimator="two_by_two", shift=2)
        seen.append(abs(out.table["statistic"].iloc[0]) > 2)
    assert sum(seen) <= 7
    panel = make_panel(n=2000, starts=(4,))
    drift = np.where(panel.treated[:, None] & (np.arange(6) >= 2), 1.3, 1.0)
    moved = replace(panel, outcomes={"gp": panel.outcomes["gp"] * drift})
    out = placebo_starts(moved, outcome="gp", estimator="two_by_two", shift=2)
    assert out.table["p_value"].iloc[0] < 0.001


def test_shifts_share_one_root(make_panel):
    panel = make_panel(starts=(4,), n=400)
    out = placebo_starts(panel, outcome="gp", estimator="two_by_two", shift=(1, 2))
    rows = np.flatnonzero(out.labels["scale"] == "log ratio")
    assert abs(out.vcov[np.ix_(rows, rows)][0, 1]) > 0
    assert out.method["shift"] == [1, 2]
    assert "nil" in out.method["estimand"]


def test_people_without_time_before_are_left_out_with_a_note(make_panel):
    panel = make_panel(starts=(2, 4))
    out = placebo_starts(panel, outcome="gp", estimator="callaway_santanna", shift=2)
    assert any("Left out" in note for note in out.method["notes"])


@pytest.mark.parametrize("shift", [0, -1, 1.5, ()])
def test_shifts_are_whole_numbers_above_zero(make_panel, shift):
    with pytest.raises(ParameterError, match="shift"):
        placebo_starts(make_panel(starts=(4,)), outcome="gp", estimator="two_by_two", shift=shift)


def test_refuses_a_shift_beyond_all_time(make_panel):
    with pytest.raises(DesignError, match="use at most 3"):
        placebo_starts(make_panel(starts=(4,)), outcome="gp", estimator="two_by_two", shift=4)
    with pytest.raises(DesignError, match="begin the window earlier"):
        placebo_starts(make_panel(starts=(1,)), outcome="gp", estimator="two_by_two", shift=1)
    with pytest.raises(ParameterError, match="estimator"):
        placebo_starts(make_panel(starts=(4,)), outcome="gp", estimator="twoway", shift=1)
