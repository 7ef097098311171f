"""Two clusterings at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from impact.data.panel import Panel
from impact.did import ESTIMATORS, leave_one_out, summarise, two_way
from impact.errors import DataError, DesignError


@pytest.fixture(scope="module")
def panel():
    rng = np.random.default_rng(3)
    n, T = 240, 6
    site, team = rng.integers(0, 24, n), rng.integers(0, 15, n)
    start = np.where(site % 2, np.where(site % 4 == 1, 3, 4), T)
    y = rng.poisson(2 * rng.gamma(4, 0.25, 24)[site][:, None] * np.ones(T)).astype(float)
    return Panel(
        unit=np.arange(n),
        periods=pd.RangeIndex(T),
        outcomes={"ae": y},
        exposure={"ae": np.ones((n, T))},
        start=start,
        treated=start < T,
        covariates=pd.DataFrame({"team": team, "site": site}),
        cluster=site,
        weights=np.ones(n),
        arm=np.where(start < T, "supported", "control"),
    )


def by(name):
    return lambda p: summarise(ESTIMATORS[name](p, outcome="ae"))


@pytest.mark.parametrize("name", ["callaway_santanna", "imputation", "etwfe", "sun_abraham", "stacked"])
def test_the_covariance_is_one_plus_the_other_less_both(panel, name):
    found = two_way(panel, by(name), second="team")
    codes = [panel.cluster, panel.covariates["team"].to_numpy()]
    codes.append(codes[0] * 100 + codes[1])
    one, other, both = (by(name)(replace(panel, cluster=c)) for c in codes)
    np.testing.assert_allclose(found.estimate, one.estimate, rtol=1e-9)
    values, vectors = np.linalg.eigh(one.vcov + other.vcov - both.vcov)
    np.testing.assert_allclose(
        found.vcov, (vectors * np.clip(values, 0, None)) @ vectors.T, rtol=1e-6, atol=1e-9
    )
    assert found.df == 14


def test_the_same_clustering_twice_is_that_clustering(panel):
    found = two_way(panel, by("etwfe"), second="site")
    np.testing.assert_allclose(found.std_error, by("etwfe")(panel).std_error, rtol=1e-9)


def test_what_is_no_clustering_is_refused(panel):
    with pytest.raises(DataError, match="Did you mean 'team'"):
        two_way(panel, by("etwfe"), second="taem")
    with pytest.raises(DataError, match="3 entries for 240 people"):
        two_way(panel, by("etwfe"), second=np.arange(3))
    with pytest.raises(DesignError, match="sums over clusters"):
        two_way(panel, lambda p: leave_one_out(p, by("imputation")), second="team")


def test_people_without_a_second_group_are_each_their_own(panel):
    team = panel.covariates["team"].astype(object)
    gaps, filled = (
        replace(panel, covariates=pd.DataFrame({"team": team.where(panel.unit >= 20, other)}))
        for other in (None, "alone " + pd.Series(panel.unit).astype(str))
    )
    found, expected = (two_way(p, by("etwfe"), second="team") for p in (gaps, filled))
    np.testing.assert_allclose(found.std_error, expected.std_error, rtol=1e-12)
    assert found.method["notes"][-1] == "about 20 people without team each count as a group of their own."
