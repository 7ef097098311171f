"""Regression to the mean, death, loss and spillover in one study: what would each analysis have claimed?

A few draws here; ``IMPACT_SLOW=1`` makes the study of ``docs/recovery-all-at-once.md``.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from all_at_once import ANALYSES, PERIODS, YEAR, draw, replicates, summary
from all_at_once_page import markdown

SLOW = os.environ.get("IMPACT_SLOW") == "1"
DRAWS = 200 if SLOW else 3
PAGE = Path(__file__).parents[2] / "docs" / "recovery-all-at-once.md"


@pytest.fixture(scope="module")
def found():
    workers = (os.cpu_count() or 1) if SLOW else 1
    return summary(replicates(DRAWS, workers=workers))


def test_only_matching_on_the_use_of_the_year_before_comes_near(found):
    off = found.pivot(index="analysis", columns="ratio", values="off")
    matched = [name for name in ANALYSES if name.startswith("matched")]
    assert (off.drop(matched) < -0.3).all(axis=None)
    assert (off.loc[matched].abs() < (0.1 if SLOW else 0.25)).all(axis=None)


def test_the_others_claim_a_fall_where_there_is_none(found):
    nothing = found[found["ratio"] == 1.0].set_index("analysis")
    assert (
        nothing.loc[["before and after", "did", "did, anticipation", "did, censoring"], "fall"] > 0.9
    ).all()
    if SLOW:
        assert (nothing.loc["matched", ["fall", "rise"]] < 0.15).all()


def test_all_four_threats_are_in_the_world():
    one, none = draw(0, 0.8), draw(0, 1.0)
    assert none.truth == 0
    assert one.truth == pytest.approx(np.log(0.8))
    year = np.arange(PERIODS) < YEAR
    assert one.counts[one.supported][:, year].mean() > 1.5 * one.counts[:, year].mean()
    stayed = {arm: (one.ended[one.supported == arm] == "").mean() for arm in (True, False)}
    assert stayed[True] < stayed[False]
    assert {"death", "move"} <= set(one.ended)
    near = ~one.supported & np.isin(one.building, one.building[one.supported])
    late = np.arange(PERIODS) >= 16
    rates = [w.counts[near][:, late].sum() / w.time[near][:, late].sum() for w in (one, none)]
    assert rates[0] == pytest.approx(0.9 * rates[1], rel=0.06)


def test_the_page_holds_every_analysis(found):
    text = markdown(found, DRAWS)
    assert all(text.count(f"\n| {name} |") == 2 for name in ANALYSES)
    if SLOW:
        PAGE.write_text(text, encoding="utf-8")
    assert set(PAGE.read_text(encoding="utf-8").splitlines()[:4]) <= set(text.splitlines())
