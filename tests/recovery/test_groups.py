"""Do the test that effects are alike, and the slope over deprivation, hold their level?

A few draws here; ``IMPACT_SLOW=1`` makes the study of ``docs/recovery-equity.md``.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from groups import MATCHED, METHODS, designs, draw, follow_up, replicates, summary
from groups_page import alike, markdown

from impact.match import nearest

SLOW = os.environ.get("IMPACT_SLOW") == "1"
PAGE = Path(__file__).parents[2] / "docs" / "recovery-equity.md"
DRAWS = 200
# Many figures are looked at together, so four Monte Carlo errors are allowed for each.
ERRORS = 4


@pytest.fixture(scope="module")
def found():
    if not SLOW:
        some = designs(people=[(800, None)], methods=["etwfe", "matched, caliper 0.2"])
        return summary(replicates(12, designs=some))
    some = [*designs(people=[(800, None)], methods=METHODS)]
    some += designs(people=[(3000, 40)], methods=["etwfe", *MATCHED])
    return summary(replicates(DRAWS, designs=some, workers=2))


def test_the_slope_is_found_and_its_range_holds_it(found):
    ratio = found[found["scale"] == "log ratio"]
    # A ratio of few events is not centred on the truth where a method takes it from differences.
    fair = ratio[ratio["method"] != "callaway_santanna"]
    assert (fair["bias"].abs() <= ERRORS * fair["bias_error"] + 0.02).all()
    # Ranges of groups matched without a caliper are too short: the page says so, and why.
    known = found[found["method"] != "matched"]
    least = 0.95 - ERRORS * np.sqrt(0.95 * 0.05 / known["draws"])
    assert (known["coverage"] >= least).all()


def test_a_difference_is_claimed_no_more_often_than_it_may_be(found):
    same = found[[alike(row) and row.method != "matched" for row in found.itertuples()]]
    most = 0.05 + ERRORS * np.sqrt(0.95 * 0.05 / same["draws"])
    assert (same["rejected"] <= most).all()


def test_without_a_caliper_who_is_left_over_is_at_one_end():
    """More people with support than without: the reason why such groups' ranges are too short."""
    gaps = {"everyone": [], "pairs": [], "caliper": []}
    for seed in range(12):
        panel, _ = draw(seed, "no effect", 400, None)
        cohort = follow_up(panel, seed)
        arms = [np.flatnonzero(np.asarray(cohort.treated) == arm) for arm in (True, False)]
        most = min(map(len, arms))
        cohort = cohort.subset(np.sort(np.concatenate([arms[0][:most], arms[1][: int(0.9 * most)]])))
        gaps["everyone"].append(_gap(cohort, np.ones(len(cohort), bool)))
        for name, more in (("pairs", {}), ("caliper", {"caliper": 0.2})):
            used = nearest(cohort, on=["prior"], **more).table.query("weight > 0")["person_id"]
            gaps[name].append(_gap(cohort, np.isin(cohort.person_id, used)))
    spread = {name: np.sqrt(np.mean(np.square(gap))) for name, gap in gaps.items()}
    assert spread["pairs"] > 2 * spread["everyone"]
    assert spread["caliper"] < 0.5 * spread["everyone"]


def _gap(cohort, used):
    prior, treated = cohort.table["prior"].to_numpy(float), np.asarray(cohort.treated)
    return prior[used & treated].mean() - prior[used & ~treated].mean()


def test_the_world_is_what_it_says():
    _, truth = draw(1, "more for the deprived", 3000, None)
    np.testing.assert_allclose(truth["with"] / truth["without"], [0.6, 0.7, 0.8, 0.9, 1.0])
    panel, none = draw(1, "no effect", 500, 20)
    assert (none["with"] == none["without"]).all()
    assert len(np.unique(panel.cluster)) == 20


@pytest.mark.skipif(not SLOW, reason="the page is written with IMPACT_SLOW=1")
def test_the_page_says_what_was_found(found):
    PAGE.write_text(markdown(found, DRAWS), encoding="utf-8")
    assert "| 3,000 | 40 |" in PAGE.read_text(encoding="utf-8")
