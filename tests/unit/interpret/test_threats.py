from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from impact.data.panel import Panel
from impact.interpret import placebo


def panel(n=300, seed=1, effect=0.0):
    """People in three groups of starts and a third never supported, ten periods."""
    rng = np.random.default_rng(seed)
    start = rng.choice([4.0, 6.0, np.nan], n)
    frame = pd.DataFrame({"id": np.repeat(np.arange(n), 10), "t": np.tile(np.arange(1, 11), n)})
    frame["start"] = np.repeat(start, 10)
    frame["time"] = 1.0
    mean = 0.8 + effect * (frame["t"] >= frame["start"])
    frame["ae"] = rng.poisson(mean)
    return Panel.from_long(
        frame, unit="id", period="t", outcomes=["ae"], exposure="time", first_treated="start"
    )


def test_placebo_finds_a_true_effect_far_out_and_is_repeatable():
    asked = {"outcome": "ae", "estimator": "callaway_santanna", "arguments": {}, "draws": 40, "seed": 3}
    found = placebo(panel(effect=-0.5), **asked)
    assert found.method["p_value"] == pytest.approx(1 / 41)
    assert found.method["smallest_p"] == pytest.approx(1 / 41)
    assert found.table["draws"].sum() == 41
    assert found.table["here"].sum() == 1
    here = found.table[found.table["here"]].iloc[0]
    assert here["low"] <= found.method["estimate"] < here["high"]
    # The lowest edge was the estimate itself, to the last digit.
    assert all(len(f"{edge:.15g}".lstrip("-0.").replace(".", "")) <= 4 for edge in found.table["low"])
    pd.testing.assert_frame_equal(found.table, placebo(panel(effect=-0.5), **asked).table)


def one_start(periods=10, n=400, shock=10.0):
    """Half of the people start in the sixth period, in which something happens to everyone."""
    rng = np.random.default_rng(0)
    mean = np.where(np.arange(periods) == 5, 2 + shock, 2.0) * rng.gamma(5, 0.2, (n, 1))
    start = np.where(np.arange(n) % 2, 5, periods)
    return Panel(
        unit=np.arange(n),
        periods=pd.RangeIndex(periods),
        outcomes={"ae": rng.poisson(mean).astype(float)},
        exposure={"ae": np.ones((n, periods))},
        start=start,
        treated=start < periods,
        covariates=pd.DataFrame(index=range(n)),
        cluster=np.arange(n),
        weights=np.ones(n),
        arm=np.where(start < periods, "supported", "control"),
        step="month",
    )


def in_sites(seed, sites=40, n=400):
    """Whole sites start together, and what happens to a site happens to all in it; support does nothing."""
    rng = np.random.default_rng(seed)
    site = np.arange(n) % sites
    start = np.where(rng.permutation(sites) < sites // 2, 5, 10)[site]
    mean = np.full((sites, 10), 2.0)
    mean[:, 5:] *= rng.gamma(5, 0.2, (sites, 1))
    return replace(
        one_start(n=n),
        outcomes={"ae": rng.poisson(mean[site]).astype(float)},
        start=start,
        treated=start < 10,
        cluster=site,
    )


def test_placebo_deals_starts_among_the_sites_that_started_together():
    """Dealt among people, 14 of 40 such panels had p below 0.05."""
    asked = {"outcome": "ae", "estimator": "two_by_two", "arguments": {}, "draws": 30}
    p = [placebo(in_sites(seed), **asked, seed=seed).method["p_value"] for seed in range(12)]
    assert np.sum(np.array(p) < 0.05) <= 2
    assert placebo(in_sites(0), **asked, seed=0).method["dealt"] == "clusters"


def test_placebo_among_eight_sites_says_how_small_p_can_be():
    few = in_sites(3, sites=8)
    start = np.where(few.cluster == 1, 5, np.where(few.cluster == 2, 5, 10))
    few = replace(few, start=start, treated=start < 10)
    method = placebo(few, outcome="ae", estimator="two_by_two", arguments={}, draws=99, seed=1).method
    assert method["smallest_p"] == pytest.approx(1 / 28)
    assert method["p_value"] > 0.02
