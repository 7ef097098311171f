"""The page of bounds: ranges that no reader can use are not spelled out, and the words fit every case."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from impact.disclosure import Released, release
from impact.errors import DisclosureError
from impact.pages import bounds, show, tables
from impact.results import Bounds

HUGE = [(-0.5, -0.1), (-3.0, 2.0), (-40.0, 37.9)]


def released(
    ranges=HUGE, *, scale="log ratio", breakdown=0.07, events=90, outcome="ae", **method: object
) -> Released:
    rows = [
        {"outcome": outcome, "term": "average", "scale": scale, "unit": "per 1,000 person-months"}
        | {"restriction": "relative magnitudes", "m_bar": m, "estimate": np.nan}
        | {"conf_low": low, "conf_high": high, "conf_level": 0.95, "null_value": 0.0, "breakdown": breakdown}
        for m, (low, high) in zip([np.nan, 1.0, 2.0], ranges, strict=True)
    ]
    counts = pd.DataFrame([{"persons": 900, "treated": 300, "clusters": 900, "events": events}] * len(rows))
    made = Bounds(pd.DataFrame(rows), {"estimator": "stacked", "period": "month", **method}, counts)
    return release({"bounds": made}, "hes")["bounds"]


def test_ratios_out_of_all_proportion_are_named_as_such_and_clipped() -> None:
    found = released()
    assert [row[1] for row in tables.bounds(found).rows] == [
        "0.61 to 0.90",
        "0.05 to 7.39",
        "under 0.01 to over 100",
    ]
    assert "at most twice as fast as before it: under 0.01 to over 100." in bounds.alt(found)
    ax = bounds.bounds(found)
    assert ax.get_xlim() == pytest.approx((0.01 / 1.15, 115))
    ends = np.vstack([part for lines in ax.collections for part in lines.get_segments()])
    assert (ends[:, 0].min(), ends[:, 0].max()) == (0.01, 100)
    # An arrow at each end that goes on, in the row of twice as fast.
    arrows = {line.get_marker(): line.get_xydata().tolist() for line in ax.lines if line.get_marker() in "<>"}
    assert arrows == {"<": [[0.01, -2]], ">": [[100, -2]]}


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.5, 2.0, "0.50 to 2.00"),
        (1e-9, 0.001, "under 0.01"),
        (101, 1e30, "over 100"),
        (2, np.inf, "2.00 to over 100"),
    ],
)
def test_ends_of_ratios_are_two_figures_or_words(low: float, high: float, said: str) -> None:
    assert bounds.range_text(low, high, 2, ratio=True) == said


def test_differences_keep_their_figures() -> None:
    found = released([(-3, -1), (-5, 2), (-900, 800)], scale="difference", breakdown=0.5)
    assert [row[1] for row in tables.bounds(found).rows] == ["−36 to −12", "−60 to +24", "−10,800 to +9,600"]
    assert bounds.range_text(np.nan, np.nan, 0, ratio=False) == "–"
    ax = bounds.bounds(found)
    ax.figure.draw_without_rendering()
    marks = [mark.get_text() for mark in ax.get_xticklabels()]
    assert "+5,000" in marks
    assert len(marks) < 9


@pytest.mark.parametrize(
    ("ranges", "marks"),
    [
        (HUGE, [0.01, 0.1, 1, 10, 100]),
        ([(-1.0, 0.9)] * 3, [0.5, 1, 2]),
        ([(-0.2, 0.1)] * 3, [0.8, 0.9, 1, 1.2]),
        ([(-9.0, -5.0)] * 3, [0.01, 0.1, 1]),
    ],
)
def test_the_axis_of_ratios_has_round_marks_and_one(ranges: list, marks: list[float]) -> None:
    ax = bounds.bounds(released(ranges))
    assert ax.get_xticks().tolist() == marks


def test_nothing_of_the_figure_is_cut_off() -> None:
    ax = bounds.bounds(released())
    ax.figure.draw_without_rendering()
    box = ax.title.get_window_extent()
    assert box.x1 <= ax.figure.bbox.x1
    assert box.y1 <= ax.figure.bbox.y1


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.nan, "includes no effect even if the groups would have moved alike"),
        (0.004, "only if the groups would have moved alike"),
        (0.7, "at most 0.70 times as fast, from one point to the next"),
        (1e6, "however fast"),
        (np.inf, "however fast"),
    ],
)
def test_how_far_trends_may_part_is_said_for_every_value(value: float, said: str) -> None:
    assert said in " ".join(tables.bounds(released(breakdown=value)).notes)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ({}, "from the last month before support, and"),
        ({"step": 3}, "from the last months before support, and"),
        ({"step": 3, "anticipation": 3}, "from the last months before support and the build-up to it, and"),
        ({"period": "quarter"}, "from the last quarter before"),
    ],
)
def test_what_the_ranges_are_measured_from_is_said(method: dict[str, object], said: str) -> None:
    assert said in tables.bounds(released(**method)).notes[1]


def test_withheld_bounds_say_nothing_of_what_they_found() -> None:
    found = released(events=3)
    table = tables.bounds(found)
    assert {row[1] for row in table.rows} == {"not shown"}
    assert not [note for note in table.notes if "no effect" in note or "measured from" in note]
    assert bounds.bounds(found) is found


def smooth(scale: str, breakdown: float = 1.0) -> Released:
    limits, ranges = [np.nan, 0.0, 0.5], [(-3.0, -1.0), (-4.0, -0.5), (-5.0, 0.2)]
    rows = [
        {"outcome": "ae", "term": "event time 0", "scale": scale, "unit": "per 1,000 person-months"}
        | {"restriction": "smoothness", "m": m, "estimate": np.nan, "conf_low": low, "conf_high": high}
        | {"conf_level": 0.95, "null_value": 0.0, "breakdown": breakdown}
        for m, (low, high) in zip(limits, ranges, strict=True)
    ]
    counts = pd.DataFrame([{"persons": 900, "treated": 300, "clusters": 900, "events": 90}] * 3)
    made = Bounds(pd.DataFrame(rows), {"estimator": "twfe"}, counts)
    return release({"bounds": made}, "hes")["bounds"]


@pytest.mark.parametrize(
    ("scale", "change", "note"),
    [
        ("difference", "6", "changes by at most 12 per 1,000 people a year from one point to the next."),
        ("log ratio", "64.9%", "changes by at most 172% from one point to the next."),
    ],
)
def test_smooth_trends_have_words_in_the_unit_shown(scale: str, change: str, note: str) -> None:
    found = smooth(scale)
    words = ["not at all", "at a steady pace", f"at a pace changing by at most {change} a step"]
    table = tables.table(found)
    assert [row[0] for row in table.rows] == words
    assert note in table.notes[0]
    assert f"{words[2]}: " in bounds.alt(found)
    ax = bounds.bounds(found)
    assert [mark.get_text().replace("\n", " ") for mark in ax.get_yticklabels()] == words
    assert "steady pace" in bounds.alt(found)
    assert show(ax)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.nan, "even if the groups would have parted at a steady pace"),
        (0.0, "only if the groups would have parted at a steady pace"),
        (np.inf, "however unevenly"),
    ],
)
@pytest.mark.parametrize("scale", ["difference", "log ratio"])
def test_the_largest_change_of_pace_is_said_for_every_value(scale: str, value: float, said: str) -> None:
    assert said in tables.bounds(smooth(scale, value)).notes[0]


def test_only_bounds_can_be_drawn(event_study: Released) -> None:
    with pytest.raises(DisclosureError, match="needs bounds"):
        bounds.bounds(event_study)
