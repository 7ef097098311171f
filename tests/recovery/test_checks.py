"""Do the checks of the main result warn where something is wrong, and keep quiet where nothing is?

A few draws of two worlds here; ``IMPACT_SLOW=1`` makes the study of ``docs/recovery-checks.md``.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from check_worlds import RATIO, WORLDS, replicates, summary, warnings
from checks_page import markdown

SLOW = os.environ.get("IMPACT_SLOW") == "1"
DRAWS = 40 if SLOW else 8
PAGE = Path(__file__).parents[2] / "docs" / "recovery-checks.md"


@pytest.fixture(scope="module")
def results():
    if SLOW:
        return replicates(DRAWS, workers=2)
    return replicates(DRAWS, worlds=("clean", "crisis"), ratios=(RATIO,))


def of(table, world, ratio=RATIO, **more):
    rows = table[(table["world"] == world) & (table["ratio"] == ratio)]
    for name, value in more.items():
        rows = rows[rows[name] == value]
    return rows.iloc[0]


def test_in_a_clean_world_the_plan_recovers_and_few_are_warned(results):
    found, warned = summary(results), warnings(results)
    plan = of(found, "clean", analysis="planned")
    assert abs(plan["bias"]) < 0.1
    assert plan["coverage"] >= 0.7
    # One check of no effect at 5%, and changes of analysis that overturn a clear result by chance alone.
    assert of(warned, "clean")["warned"] <= (0.2 if SLOW else 0.5)


def test_after_a_crisis_the_plan_is_wrong_and_the_pretended_start_says_so(results):
    found, warned = summary(results), warnings(results)
    assert of(found, "crisis", analysis="planned")["coverage"] <= 0.2
    assert of(found, "crisis", analysis="pretend")["disagrees"] >= 0.8
    assert of(warned, "crisis")["Moderate evidence"] <= 0.2


def test_worst_cases_lie_on_both_sides_of_the_plan(results):
    found = summary(results)
    best, plan, worst = (
        of(found, "clean", analysis=name)["bias"] for name in ("lost_best", "planned", "lost_worst")
    )
    assert best < plan < worst


@pytest.mark.skipif(not SLOW, reason="the study of the page runs with IMPACT_SLOW=1")
def test_the_page_says_what_was_found(results):
    found, warned = summary(results), warnings(results)
    assert set(found["world"]) == set(WORLDS)
    assert np.isfinite(found["bias"]).all()
    PAGE.write_text(markdown(found, warned, DRAWS), encoding="utf-8")
