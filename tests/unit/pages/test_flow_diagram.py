"""The flow diagram: what it says, and that a withheld count is said to be withheld."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from impact import plots, show
from impact.data.flow import flow_of
from impact.disclosure import Released, release
from impact.errors import DisclosureError
from impact.pages import own_words
from impact.pages.alts import fault


def released(*left_out: tuple[str, int]) -> Released:
    treated = np.repeat([True, False], [103, 212])
    everyone = 315 + sum(n for _, n in left_out)
    steps = [("in the file", "", everyone), *(("left out", rule, n) for rule, n in left_out)]
    return release({"flow": flow_of(steps, treated)}, "hes")["flow"]


def words(flow: Released) -> str:
    figure = plots.flow(flow).figure
    return " ".join(" ".join(t.get_text().split()) for t in figure.findobj(Text))


def test_it_says_each_step_and_leaves_out_what_took_nobody() -> None:
    flow = released(("no consent", 41), ("opted out", 0), ("not linked", 22))
    said = words(flow)
    for step in ("In the file 380 people", "40 did not agree", "20 not found in the NHS data"):
        assert step in said
    assert "With support 105 people" in said
    assert "Without support 210 people" in said
    assert "opted out" not in said


def test_its_alternative_text_says_the_same_with_the_table_below() -> None:
    shown = show(plots.flow(released(("no consent", 41))))
    assert "Flow diagram. In the file 355 people. Left out: 40 did not agree. In the study:" in shown.text
    assert fault(shown.text.splitlines()[0]) == ""
    assert "<table>" in shown.html


def test_a_count_that_is_withheld_is_said_to_be() -> None:
    flow = released(("no consent", 3), ("not linked", 60))
    assert flow.hidden["persons"].any()
    said = words(flow)
    assert "did not agree: not shown" in said
    assert "3 did" not in said


def test_nobody_left_out_and_other_units() -> None:
    own_words.use({}, "practice")
    try:
        shown = show(plots.flow(released()))
    finally:
        own_words.use({})
    assert "In the file 315 practices. Nobody was left out." in shown.text


def test_long_reasons_stay_in_their_box() -> None:
    flow = released(*((f"a reason that is long and number {i} of many", 20 + i) for i in range(9)))
    axes = plots.flow(flow)
    # As it is drawn for pages.
    axes.figure.set_dpi(200)
    axes.figure.canvas.draw()
    boxes = [patch.get_window_extent() for patch in axes.patches]
    for text in axes.texts:
        if text.get_text():
            extent = text.get_window_extent()
            assert any(
                box.x0 <= extent.x0 and extent.x1 <= box.x1 and box.y0 <= extent.y0 and extent.y1 <= box.y1
                for box in boxes
            ), text.get_text()


def test_what_was_not_released_is_not_drawn() -> None:
    with pytest.raises(DisclosureError):
        plots.flow(pd.DataFrame({"stage": ["in the file"], "rule": [""], "persons": [3]}))  # type: ignore[arg-type]
