"""Do the methods find a known truth, and hold their level, where whole sites start support?

A few draws of 30 sites here; ``IMPACT_SLOW=1`` makes the study of ``docs/recovery-sites.md``, with 8 and 200
sites as well, and that of pretend start months among A&E departments.
"""

from __future__ import annotations

import os
from pathlib import Path

import ae
import numpy as np
import pytest
from sites import METHODS, RATIO, by_site, draw, replicates, summary
from sites_page import markdown

SLOW = os.environ.get("IMPACT_SLOW") == "1"
DRAWS = {8: 400, 30: 400, 200: 200}
PLACEBOS = 1000
PAGE = Path(__file__).parents[2] / "docs" / "recovery-sites.md"
# Many estimates are looked at together, so four Monte Carlo errors, not two, are allowed for each.
ERRORS = 4
# Fewer than this many draws cannot tell the level, only that an interval is far too short.
ABSURD = 0.75
QUICK = [m for m in METHODS if m.error == "default" and "covariates" not in m.arguments]


@pytest.fixture(scope="module")
def found():
    if not SLOW:
        return summary(replicates({30: 12}, methods=QUICK, ratios=(RATIO,)))
    return summary(replicates(DRAWS, workers=2))


def test_every_method_recovers_whether_people_stay_or_leave(found):
    assert len(found) >= 2 * len(QUICK)
    assert (found["refused"] < 0.05).all()
    # Leaving depends on need and on support: effects by arm take those who stay for those who left, and what
    # adds up the months before and after compares other months in one arm than in the other.
    fair = found[(found["sites"] >= 30) & ~(found["leaving"] & found["method"].map(_pools))]
    far = fair["bias"].abs() > ERRORS * fair["bias_error"] + 0.01 * fair["truth"].abs()
    assert fair[far].empty


def _pools(method):
    return method.startswith(("two_by_two", "triple_difference")) or "cohort" in method


def test_no_interval_is_far_too_short(found):
    assert (found.loc[found["sites"] >= 30, "coverage"] >= ABSURD).all()


def test_the_truth_counts_only_supported_person_time():
    panel, truth = draw(3, sites=30, leaving=True)
    assert np.log(RATIO) < truth["log ratio"] < 0
    after = np.arange(len(panel.periods)) >= panel.start[:, None]
    # Averaged over many people, what was seen is what was expected with support.
    happened, time = panel.outcomes["ae"][after].sum(), panel.exposure["ae"][after].sum()
    expected = 1000 * happened / time - truth["difference"]
    assert happened / time * 1000 / expected == pytest.approx(np.exp(truth["log ratio"]), abs=0.05)
    assert draw(3, sites=30, leaving=True, ratio=1.0)[1]["difference"] == 0


def test_sites_are_their_people_added_up():
    panel, _ = draw(1, sites=8, leaving=False)
    sites = by_site(panel)
    assert sites.n == 8
    assert sites.outcomes["ae"].sum() == panel.outcomes["ae"].sum()
    assert (sites.exposure["ae"][:, 0] == np.bincount(panel.cluster)).all()


def test_pretend_starts_give_a_p_value_for_each_estimator(data):
    few = [d for d in ae.DEFAULTS if d.estimator != "synthetic_did"]
    found = ae.replicates(2, file=str(data / "ae_attendances.csv"), outcomes=["attendances"], defaults=few)
    assert (found["refused"] == "").all()
    assert found["p_value"].between(0, 1).all()


@pytest.mark.skipif(not SLOW, reason="the study runs with IMPACT_SLOW=1")
def test_the_page_of_the_study_is_written(found, data):
    file = str(data / "ae_attendances.csv")
    placebo = ae.summary(ae.replicates(PLACEBOS, file=file, workers=2))
    PAGE.write_text(markdown(found, placebo, DRAWS), encoding="utf-8")
