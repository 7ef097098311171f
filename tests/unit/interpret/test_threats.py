from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from impact.data.panel import Panel
from impact.errors import DesignError
from impact.interpret import naive, placebo, sensitivity


def panel(n=300, seed=1, effect=0.0):
    """People in three groups of starts and a third never supported, ten periods."""
    rng = np.random.default_rng(seed)
    start = rng.choice([4.0, 6.0, np.nan], n)
    frame = pd.DataFrame({"id": np.repeat(np.arange(n), 10), "t": np.tile(np.arange(1, 11), n)})
    frame["start"] = np.repeat(start, 10)
    frame["time"] = 1.0
    mean = 0.8 + effect * (frame["t"] >= frame["start"])
    frame["ae"] = rng.poisson(mean)
    return Panel.from_long(
        frame, unit="id", period="t", outcomes=["ae"], exposure="time", first_treated="start"
    )


def event(p):
    return replace(p, clock="event", periods=pd.Index(range(-5, 5)), start=np.where(p.treated, 5, 10))


def test_naive_never_comes_without_the_controls():
    row = naive(event(panel()), outcome="ae").table.iloc[0]
    p = event(panel())
    before = p.outcomes["ae"][p.treated, :5].sum() / (5 * p.treated.sum()) * 1000
    assert row["supported_before"] == pytest.approx(before)
    summary = naive(event(panel()), outcome="ae")
    assert set(summary.derived["supported_change_percent"]) >= {"control_before_events", "control_persons"}


def test_naive_needs_the_event_clock():
    with pytest.raises(DesignError, match="clock='event'"):
        naive(panel(), outcome="ae")


def test_placebo_finds_a_true_effect_far_out_and_is_repeatable():
    asked = {"outcome": "ae", "estimator": "callaway_santanna", "arguments": {}, "draws": 40, "seed": 3}
    found = placebo(panel(effect=-0.5), **asked)
    assert found.method["p_value"] == pytest.approx(1 / 41)
    assert found.method["smallest_p"] == pytest.approx(1 / 41)
    assert found.table["draws"].sum() == 41
    assert found.table["here"].sum() == 1
    pd.testing.assert_frame_equal(found.table, placebo(panel(effect=-0.5), **asked).table)


def test_sensitivity_changes_one_thing_at_a_time():
    planned = {"control": "not_yet_treated", "anticipation": 1}
    table = sensitivity(panel(), outcome="ae", estimator="callaway_santanna", arguments=planned).table
    terms = list(dict.fromkeys(table["term"]))
    assert terms == [
        "As planned",
        "Without the month support began",
        "Ignoring the build-up before support",
        "Never-supported controls only",
    ]
    difference = table[table["scale"] == "difference"].set_index("term")["estimate"]
    assert difference.nunique() == 4
