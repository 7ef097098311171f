"""The simple change in words, as a figure and as a table: never without what else would explain it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from impact import pages
from impact.disclosure import Released
from impact.errors import DisclosureError
from impact.pages import before_after, tables

Make = Callable[..., Released]
FALL = {"emergency_admission": (-58.0, 22.0, -0.18, 0.07)}


@pytest.fixture
def page(naive: Make, effects: Make) -> Callable[..., dict[str, Released]]:
    """A page with a change before and after and an estimate."""

    def make(*changes: tuple[float, float], **more: Any) -> dict[str, Released]:
        return {"naive": naive(*(changes or ((341, 214), (330, 232))), **more), "effects": effects(FALL)}

    return make


def test_the_simple_fall_stands_beside_all_that_would_explain_it(page: Make) -> None:
    text = before_after.meter(page()).text  # type: ignore[arg-type]
    for said in (
        "Emergency admissions among people with support fell by 37%, from 341 to 214",
        "Had support done nothing, a fall of about 30% would be expected from picking people when they were "
        "unwell (an approximation); people without support who had used as much before fell by 28%.",
        "Among everyone in the comparison they also fell by 30%, from 330 to 232.",
        "by its own method and not by taking one change from the other: about 16% fewer (4% to 27% fewer).",
    ):
        assert said in text


def test_the_comparison_may_move_the_other_way(page: Make) -> None:
    assert "they rose by 10%" in before_after.meter(page((341, 214), (300, 330))).text  # type: ignore[arg-type]


def test_a_change_is_rounded_once_in_words_and_in_the_table(page: Make) -> None:
    shown = page((450, 560.4), (330, 332))
    text = before_after.meter(shown).text  # type: ignore[arg-type]
    assert "rose by 24%, from 450 to 560" in text
    assert "rose by 1%, from 330 to 332" in text
    assert [row[1] for row in tables.table(shown["naive"], shown["effects"]).rows] == ["+24% (450 to 560)"]  # type: ignore[index]


def test_alone_it_is_refused(naive: Make, effects: Make) -> None:
    for show in (pages.show, tables.table):
        with pytest.raises(DisclosureError, match="not shown alone"):
            show(naive((341, 214), (330, 232)))
    with pytest.raises(DisclosureError, match="before and after of both arms"):
        before_after.meter({"naive": effects(FALL), "effects": effects(FALL)})


def test_the_table_has_all_on_one_line(page: Make) -> None:
    shown = page()
    laid = tables.table(shown["naive"], shown["effects"])  # type: ignore[index]
    assert laid.rows == [
        (
            "Emergency admissions",
            "−37% (341 to 214)",
            "−30% (−36% to −24%)",
            "−28% (−41% to −12%)",
            "−30% (330 to 232)",
            "−16% (−27% to −4%)",
        )
    ]


def test_what_could_not_be_made_is_left_out(page: Make) -> None:
    some = before_after.meter(page(expected={"alike": (-28.0, -41.0, -12.0)}))  # type: ignore[arg-type]
    assert "by formula" not in some.text.partition("The numbers")[0].replace("By formula", "")
    assert "People without support who had used as much before fell by 28%." in some.text
    none = before_after.meter(page(expected={}))  # type: ignore[arg-type]
    assert "Expected, " not in none.text
    assert "as much before" not in none.text


def test_where_one_arm_is_too_small_nothing_is_said(page: Make) -> None:
    shown = before_after.meter(page(events=4))  # type: ignore[arg-type]
    assert shown.text.startswith("Emergency admissions: too few to show a change")
    for told in ("341", "30%", "28%"):
        assert told not in shown.text
    assert "not shown" in shown.text


def test_without_a_before_there_are_rates_after_only(page: Make) -> None:
    shown = page((np.nan, 214), (np.nan, 232), has_before=False, expected={})
    laid = tables.table(shown["naive"], shown["effects"])  # type: ignore[index]
    assert laid.caption == "Rates after support began, per 1,000 people a year"
    assert laid.rows == [("Emergency admissions", "214", "232", "−16% (−27% to −4%)")]
    said = before_after.meter(shown)  # type: ignore[arg-type]
    assert said.text.startswith("These data have no time before support began")
    assert "<img" not in said.html


def test_the_figure_is_told_in_words(page: Make) -> None:
    shown = before_after.meter(page())  # type: ignore[arg-type]
    assert shown.html.count("<img") == 1
    assert "Expected, people alike −28% (−41% to −12%), Comparison −30%" in shown.html
    assert [source.name for source in shown.sources] == ["naive", "effects"] * 2


def test_an_estimate_that_is_no_ratio_stands_as_it_is(naive: Make, effects: Make) -> None:
    answer = dataclasses.replace(pages.answers.answers(effects(FALL))[0], percent=None)
    assert before_after._estimate_cell(answer) == "about 58 fewer for every 1,000 people a year"


@pytest.mark.parametrize(
    ("after", "method", "assignment", "unwell"),
    [
        (214, {}, "observed", True),
        (400, {}, "observed", False),
        (214, {}, "randomised", False),
        (214, {"per": "per trust and month"}, "observed", False),
    ],
)
def test_the_reason_for_a_fall_is_given_only_where_it_holds(
    page: Make, after: float, method: dict[str, str], assignment: str, unwell: bool
) -> None:
    text = before_after.meter(page((341, after), (330, 232), **method), assignment=assignment).text  # type: ignore[arg-type]
    assert ("unwell" in text) is unwell
    assert ("some change would have come anyway" in text) is not unwell
    assert ("who was picked, and when" in text) is not unwell
