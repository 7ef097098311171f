from __future__ import annotations

import numpy as np
import pytest

from impact import did
from impact.errors import DesignError, ParameterError


@pytest.fixture(scope="module")
def effects(make_panel):
    return did.callaway_santanna(make_panel(holes=0.05, uneven=True, clusters=40), outcome=["gp", "ae"])


def test_summarise_is_the_sum_of_cell_effects_times_cell_person_time(make_panel, effects):
    panel = make_panel(holes=0.05, uneven=True, clusters=40)
    cells = effects.table.query("outcome == 'gp' and event_time >= 0")
    time = events = avoided = 0.0
    for row in cells.itertuples():
        g, t = panel.periods.get_loc(row.group), panel.periods.get_loc(row.period)
        here = panel.exposure["gp"][panel.start == g, t].sum()
        time, avoided = time + here, avoided - row.estimate / 1000 * here
        events += panel.outcomes["gp"][panel.start == g, t].sum()
    table = did.summarise(effects).table.query("outcome == 'gp'").set_index("scale")
    assert table.loc["events avoided", "estimate"] == pytest.approx(avoided)
    assert table.loc["difference", "estimate"] == pytest.approx(-1000 * avoided / time)
    assert table.loc["log ratio", "estimate"] == pytest.approx(np.log(events / (events + avoided)))


def test_the_three_scales_have_the_same_error(effects):
    table = did.summarise(effects).table
    for _, rows in table.groupby("outcome"):
        rows = rows.set_index("scale")
        ratio = (
            rows.loc["events avoided", ["estimate", "std_error"]]
            / rows.loc["difference", ["estimate", "std_error"]]
        )
        assert ratio["estimate"] == pytest.approx(-ratio["std_error"])
        assert set(rows.index) == {"difference", "log ratio", "events avoided"}


def test_every_derivative_of_the_averages_is_right(effects):
    """Each average is recomputed with one entry of the joint vector moved a little."""
    from dataclasses import replace

    for average in (
        did.summarise,
        lambda e: did.aggregate(e, by="simple"),
        lambda e: did.aggregate(e, by="event_time"),
        lambda e: did.aggregate(e, by="group").overall,
        lambda e: did.aggregate(e, by="period").overall,
    ):
        unit = replace(effects, root=np.eye(len(effects)), clusters=np.arange(len(effects)))
        slopes = average(unit).root
        for i in range(0, len(effects), 7):
            step = 1e-5 * max(1.0, abs(effects.estimate[i]))
            moved = [
                replace(effects, estimate=effects.estimate + s * step * np.eye(len(effects))[i])
                for s in (1, -1)
            ]
            high, low = (average(m).estimate for m in moved)
            if average is did.summarise:
                # Events avoided are over the person-time that was observed, which has no error.
                keep = average(unit).labels["scale"].to_numpy() != "events avoided"
            else:
                keep = np.ones(len(high), bool)
            np.testing.assert_allclose(
                ((high - low) / (2 * step))[keep], slopes[i][keep], rtol=1e-4, atol=1e-7
            )


def test_counts_of_averages_add_groups_but_not_their_shared_controls(make_panel):
    panel = make_panel()
    effects = did.callaway_santanna(panel, outcome="gp", control="never_treated")
    counts = did.aggregate(effects).counts.iloc[0]
    assert counts["treated"] == (panel.start < 6).sum()
    assert counts["persons"] == panel.n
    after = np.arange(6) >= panel.start[:, None]
    assert counts["events"] == panel.outcomes["gp"][after].sum()


def test_ratio_is_left_out_where_fewer_than_no_events_are_expected(make_panel):
    from dataclasses import replace

    panel = make_panel(starts=(3,))
    rising = panel.outcomes["gp"] + 9.0 * (np.arange(6) >= 3) * (panel.start == 6)[:, None]
    falling = rising * np.where((np.arange(6) >= 3) & (panel.start == 3)[:, None], 0.01, 1.0)
    flipped = replace(panel, outcomes={"gp": rising.max() - falling})
    scales = did.summarise(did.callaway_santanna(flipped, outcome="gp")).table["scale"].tolist()
    assert "difference" in scales
    falls = replace(panel, outcomes={"gp": np.where((np.arange(6) >= 3), 0.01, 9.0) + 0 * rising})
    harmed = np.where((np.arange(6) >= 3) & (panel.start == 3)[:, None], 1.0, falls.outcomes["gp"])
    harmed[:, :3] = np.where((panel.start == 3)[:, None], 1.0, 9.0)
    out = did.summarise(did.callaway_santanna(replace(panel, outcomes={"gp": harmed}), outcome="gp"))
    assert out.table["scale"].tolist() == ["difference", "events avoided"]


def test_summarise_hands_back_effects_already_on_the_three_scales(make_panel):
    effects = did.two_by_two(make_panel(starts=(3,)), outcome="gp")
    assert did.summarise(effects) is effects


def test_what_cannot_be_averaged_is_refused(effects):
    with pytest.raises(ParameterError, match=r"by='calendar': choose from .*'period'"):
        did.aggregate(effects, by="calendar")
    with pytest.raises(DesignError, match="needs effects by start and period"):
        did.aggregate(did.aggregate(effects, by="event_time"))
