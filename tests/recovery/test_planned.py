"""Does a study find as often as its plan says? A few studies here; ``IMPACT_SLOW=1`` runs the whole grid."""

from __future__ import annotations

import os
from pathlib import Path

import planned
import pytest

from impact.errors import ParameterError
from impact.interpret.invented_studies import invented
from impact.interpret.planning import Plan

SLOW = os.environ.get("IMPACT_SLOW") == "1"
DRAWS = 120


@pytest.mark.parametrize(
    "plan",
    [
        Plan(rate=0.6, dispersion=1.4, people=150),
        Plan(rate=4.0, dispersion=1.0, people=100, attrition=0.4, ratio=2),
        Plan(rate=0.6, dispersion=1.4, people=150, matched=0.5, ratio=2),
        Plan(rate=2.0, dispersion=1.4, people=150, before=12, stability=0.6, attrition=0.4),
        Plan(rate=2.0, dispersion=1.4, people=150, before=12, stability=0.6, attrition=0.4, effects="arm"),
        Plan(
            rate=2.0,
            dispersion=1.0,
            people=150,
            before=12,
            stability=0.8,
            buildings=40,
            icc=0.05,
            size_cv=0.6,
        ),
    ],
    ids=["after", "lost", "matched", "by person", "by arm", "buildings"],
)
def test_studies_find_what_the_plan_says(plan: Plan) -> None:
    ratio = plan.smallest("fall")
    seen, null = (invented(plan, r, draws=DRAWS, seed=4) for r in (ratio, 1.0))
    assert abs(seen.falls - 0.8) < 3 * (0.16 / DRAWS) ** 0.5
    assert null.falls + null.rises < 0.05 + 3 * (0.05 * 0.95 / DRAWS) ** 0.5
    assert seen.unanswered == null.unanswered == 0


def test_few_buildings_find_what_is_said_without_false_alarms() -> None:
    """8 buildings: CR1 finds too much where there is nothing; CR2 keeps its level and finds a little less."""
    plan = Plan(rate=4.0, dispersion=1.0, people=100, before=12, stability=0.8, buildings=8, icc=0.05)
    cr2 = {"estimator": "two_by_two", "effects": "person", "inference": "CR2"}
    ratio = plan.smallest("fall")
    cautious, default = (invented(plan, ratio, draws=DRAWS, seed=4, **more) for more in (cr2, {}))
    assert cautious.falls < default.falls
    assert 0.62 < cautious.falls < 0.9


def test_starts_in_several_months_by_the_estimator_itself() -> None:
    plan = Plan(rate=2.0, dispersion=1.0, people=60, before=6, months=6, stability=1.0)
    found = invented(plan, 0.5, draws=12, seed=3, starts=4)
    assert found.unanswered == 0
    assert found.falls > 0.5
    assert found == invented(plan, 0.5, draws=12, seed=3, starts=4)


def test_what_no_estimator_does_is_refused() -> None:
    with pytest.raises(ParameterError, match="give the months before support"):
        invented(Plan(rate=1, dispersion=1, people=50, buildings=20, icc=0.01), 0.5)
    with pytest.raises(ParameterError, match="give the months before support"):
        invented(Plan(rate=1, dispersion=1, people=50), 0.5, starts=3)


def test_too_few_events_give_no_answer_and_find_nothing() -> None:
    found = invented(Plan(rate=0.05, dispersion=1, people=20), 0.5, draws=30, seed=1)
    assert found.unanswered > 0.3
    assert found.falls < 0.2


def test_the_page_is_made_of_the_grid() -> None:
    found = planned.study(4, every=24)
    text = planned.page(found, 4)
    assert text.count("\n| ") == 2 + found["design"].nunique() + len(found)


@pytest.mark.skipif(not SLOW, reason="the grid runs with IMPACT_SLOW=1")
def test_the_grid() -> None:
    found = planned.study(300, workers=os.cpu_count() or 1)
    held = found[~found["design"].str.contains("8 buildings") & ~found["refused"]]
    gap = held["found"] - held["planned"]
    assert abs(gap.mean()) < 0.02
    assert (gap.abs() < 4.5 * held["found_error"]).all()
    Path(__file__).parents[2].joinpath("docs/planning-grid.md").write_text(planned.page(found, 300))
