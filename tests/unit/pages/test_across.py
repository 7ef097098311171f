"""What the page across studies says of an average and of one more place."""

from __future__ import annotations

from impact.disclosure import release
from impact.interpret.pooling import pool, without_each_study
from impact.pages.across import average
from impact.pages.answers import about

BEHIND = {"persons": 300, "treated": 100, "events": 80}


def said(ratios, differences, *, errors=(0.05, 1.0)):
    scales = (("log ratio", "log ratio"), ("difference", "per 1,000 person-months"))
    studies = {
        f"site {i}": {
            "table": [
                {"outcome": "ae", "scale": scale, "unit": unit, "estimate": estimate, "std_error": error}
                | BEHIND
                for (scale, unit), estimate, error in zip(scales, found, errors, strict=True)
            ]
        }
        for i, found in enumerate(zip(ratios, differences, strict=True))
    }
    return average(release({**pool(studies), "leave_one_out": without_each_study(studies)}, "hes")).text


def test_one_more_place_never_has_fewer_than_none():
    """Of 900 a year without support nobody can lose 1,840: the range is told as a share of them."""
    text = said((-1.2, -0.1, 0.1, -0.6), (-60.0, -8.0, 9.0, -40.0))
    assert (
        "In one more place like these the effect may be anything from 96% fewer to 10.3 times as many."
        in text
    )


def test_where_the_scales_disagree_it_is_said():
    text = said((-0.30, -0.31, -0.29, -0.32), (-30.0, -10.0, -22.0, -14.0))
    assert "As a ratio the range lies on one side of no change, as a difference it does not." in text
    assert "So an average that is clear does not promise a change in the next place." in text
    text = said((-0.30, -0.31, -0.29, -0.32), (-50.0, 10.0, -32.0, -14.0))
    assert "it cannot be told whether support changed A&E attendances" in text
    assert "as a difference it does not; so it is not counted as clear." in text


def test_words_have_the_figures_of_the_tables():
    assert [about(v) for v in (-1056.2, 636.0, 17.45, -2173.0)] == ["1,056", "636", "17.4", "2,173"]
