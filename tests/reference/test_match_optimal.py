"""Optimal pairs and full matching on lalonde: the exact optima, which R's optmatch 0.10.8 does not reach.

R stops at a tolerance: its pairs have a total of 39.693740 (propensity) and 304.043164 (Mahalanobis), its
full matches 2.149811735 (logit) and 2.1773020 (probit). The optima by scipy's dense assignment on the same
scores are tested to 1e-9; ties make sets differ, so no set is compared. Where we fit the score ourselves the
totals agree to 1e-6 (logit) and 2e-5 (probit) only, since R's glm stops before it has converged.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from impact import match
from impact.data import Cohort
from impact.match.cover import sets_on_a_line

ON = ["age", "educ", "race", "married", "nodegree", "re74", "re75"]


@pytest.fixture(scope="module")
def lalonde(data):
    return pd.read_csv(data / "lalonde.csv")


@pytest.fixture(scope="module")
def cohort(lalonde):
    return Cohort.from_frame(lalonde, treated="treat", outcomes=["re78"])


@pytest.fixture(scope="module")
def scores(data):
    return pd.read_csv(data / "A01_ps.csv")


def between(score, treated):
    return np.abs(score[treated][:, None] - score[~treated])


def test_optimal_pairs_on_rs_score(cohort, scores):
    """The optimum, below optmatch's 39.693740, found in a matrix and on a line."""
    score = scores["ps_logit"].to_numpy()
    matched = match.optimal(cohort, on=ON, distance=between(score, cohort.treated))
    assert matched.method["total_distance"] == pytest.approx(39.6927987211, abs=1e-9)
    assert matched.method["gap"] == 0
    assert match.optimal(cohort, on=ON).method["total_distance"] == pytest.approx(39.6927987211, abs=1e-6)


def test_optimal_mahalanobis_pairs(cohort, lalonde, data):
    """The optimum, below the total of optmatch's pairs, which in our distance is what R says it is."""
    matched = match.optimal(cohort, on=ON, distance="mahalanobis")
    assert matched.method["total_distance"] <= 304.04224906 + 1e-8
    assert matched.method["gap"] == 0
    counts = matched.counts.set_index(["arm", "rule"])["persons"]
    assert counts["treated", "matched"] == counts["control", "matched"] == 185
    pairs = pd.read_csv(data / "A11b_optimal_mahal_pairs.csv")
    at = pd.Index(lalonde["id"]).get_indexer
    from impact.match.distances import measure
    from impact.match.people import People

    points = measure(People.of(cohort, on=ON), distance="mahalanobis").points
    apart = points[at(pairs["treated"])] - points[at(pairs["m.match.matrix"])]
    assert np.sqrt((apart**2).sum(axis=1)).sum() == pytest.approx(304.043164, abs=1e-6)


@pytest.mark.parametrize(
    ("link", "optimum", "tolerance"), [("logit", 2.1416162339, 1e-6), ("probit", 2.1697939999, 2e-5)]
)
def test_full_matching(cohort, scores, link, optimum, tolerance):
    """The exact minimum-cost edge cover on R's score to 1e-9; everyone is in a set, as in R."""
    score = scores[f"ps_{link}"].to_numpy()
    sets, total = sets_on_a_line(score, cohort.treated, np.zeros(len(score), int))
    assert total == pytest.approx(optimum, abs=1e-9)
    assert (sets >= 0).all()
    matched = match.full(cohort, on=ON, link=link)
    assert matched.method["total_distance"] == pytest.approx(optimum, abs=tolerance)
    counts = matched.counts[matched.counts["rule"] == "matched"]
    assert counts["persons"].tolist() == [185, 429]


def test_full_is_better_than_optmatch_by_its_own_sets(cohort, scores, data):
    """R's sets (probit) are read, their total is R's 2.1773020, and ours is smaller."""
    units = pd.read_csv(data / "A12b_full_probit_units.csv")
    score, treated = scores["ps_probit"].to_numpy(), cohort.treated
    theirs = 0.0
    for rows in units.groupby("subclass").indices.values():
        theirs += between(score[rows], treated[rows]).sum()
    assert theirs == pytest.approx(2.1773020, abs=1e-6)
    assert sets_on_a_line(score, treated, np.zeros(len(score), int))[1] < theirs
