from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from impact.data.panel import Panel
from impact.did import ESTIMATORS, summarise
from impact.did.randomisation import analyses, deal, deals, how_many, randomisation_test
from impact.errors import DesignError, ParameterError


def sites(effect=1.0, *, seed=0, sites=9, people=6, starts=(2, 2, 2, 3)):
    """Whole sites start together; the first ones in the given periods of five, the others never."""
    rng = np.random.default_rng(seed)
    site = np.repeat(np.arange(sites), people)
    start = np.append(starts, np.full(sites - len(starts), 5))[site]
    mean = 3 * rng.gamma(20, 0.05, (sites, 5))[site] * rng.gamma(5, 0.2, len(site))[:, None]
    mean = np.where(np.arange(5) >= start[:, None], effect * mean, mean)
    time = rng.uniform(0.5, 1, mean.shape)
    return Panel(
        unit=np.arange(len(site)),
        periods=pd.RangeIndex(5),
        outcomes={"ae": rng.poisson(mean * time).astype(float)},
        exposure={"ae": time},
        start=start.astype(np.int64),
        treated=start < 5,
        covariates=pd.DataFrame(index=range(len(site))),
        cluster=site,
        weights=np.ones(len(site)),
        arm=np.where(start < 5, "supported", "control"),
    )


def test_every_deal_comes_once_with_the_number_of_each_start_kept():
    panel = sites(starts=(2, 2, 3), sites=6)
    assert how_many(panel) == 60
    dealt = [deal(panel, who).start for who in deals(panel, 60, np.random.default_rng(0))]
    assert len({tuple(start) for start in dealt}) == 60
    assert all((np.bincount(start) == np.bincount(panel.start)).all() for start in dealt)
    # Whole sites start together in every deal.
    assert all(len(np.unique(start[panel.cluster == g])) == 1 for start in dealt for g in range(6))
    assert sum((start == panel.start).all() for start in dealt) == 1


def test_more_deals_than_draws_are_drawn_at_random():
    panel = sites(starts=(2, 2, 3), sites=6)
    dealt = list(deals(panel, 59, np.random.default_rng(0)))
    assert len(dealt) == 59
    again = list(deals(panel, 59, np.random.default_rng(0)))
    np.testing.assert_array_equal(dealt, again)


@pytest.mark.parametrize(
    ("estimator", "scale", "arguments"),
    [
        ("callaway_santanna", "difference", {}),
        ("twfe", "difference", {"staggered": "allow", "family": "linear"}),
        ("twfe", "log ratio", {"staggered": "allow", "family": "linear"}),
        ("twfe", "log ratio", {"staggered": "allow"}),
    ],
)
def test_interval_is_what_a_slow_twin_does_not_reject(estimator, scale, arguments):
    """The twin takes a value out of the supported time and estimates every deal again, value by value."""
    panel = sites(0.5, starts=(2, 2, 2, 3, 3))
    test = randomisation_test(
        panel,
        outcome="ae",
        estimator=estimator,
        draws=19,
        seed=4,
        effect="ratio" if scale == "log ratio" else scale,
        **arguments,
    )
    assert test.method["shows"] == "placebo test"
    assert (test.method["scale"], test.smallest_p) == (scale, 1 / 20)
    after = np.arange(5) >= panel.start[:, None]

    def slow(value):
        y, time = panel.outcomes["ae"], panel.exposure["ae"]
        less = y / np.exp(value) if scale == "log ratio" else y - value * time / panel.rate_scale
        without = replace(panel, outcomes={"ae": np.where(after, less, y)})
        t = []
        for who in [np.arange(panel.n), *deals(panel, 19, np.random.default_rng(4))]:
            table = summarise(ESTIMATORS[estimator](deal(without, who), outcome="ae", **arguments)).table
            t.append(table.set_index("scale").loc[scale, "statistic"])
        return t[0], np.mean(np.abs(t) >= abs(t[0]) * (1 - 1e-9))

    assert slow(0.0) == pytest.approx((test.statistic, test.p_value))
    width = test.conf_high - test.conf_low
    assert slow(test.conf_low + 0.02 * width)[1] > 0.05
    assert slow(test.conf_low - 0.02 * width)[1] <= 0.05
    assert slow(test.conf_high - 0.02 * width)[1] > 0.05
    assert slow(test.conf_high + 0.02 * width)[1] <= 0.05


def test_few_deals_are_enumerated_and_bound_the_p_value():
    test = randomisation_test(
        sites(0.2, sites=6, starts=(2, 2)),
        outcome="ae",
        estimator="two_by_two",
        seed=1,
        effect="ratio",
        assignment="randomised",
    )
    assert test.method["shows"] == "randomisation test"
    assert (test.method["draws"], test.method["seed"]) == (15, None)
    assert test.smallest_p == pytest.approx(1 / 15)
    assert test.p_value == pytest.approx(1 / 15)
    # No value can be rejected at 5%.
    assert (test.conf_low, test.conf_high) == (-np.inf, np.inf)
    assert "every deal once" in test.method["inference"]


def test_deals_that_mirror_each_other_halve_what_can_be_found():
    """Three of six sites: each of the 20 deals has a mirror image with the same size of statistic."""
    test = randomisation_test(
        sites(sites=6, starts=(2, 2, 2), people=2), outcome="ae", estimator="twfe", family="linear", seed=1
    )
    assert test.method["draws"] == 20
    assert test.smallest_p == pytest.approx(2 / 20)


def test_each_of_all_deals_is_as_likely_to_be_the_studys_own():
    """With no effect the study is one of the deals: at most a share a of them may have p at or below a."""
    panel = sites(sites=6, starts=(2, 2), people=2)
    p = np.sort(
        [
            randomisation_test(
                deal(panel, who), outcome="ae", estimator="twfe", family="linear", seed=1, draws=19
            ).p_value
            for who in deals(panel, 19, np.random.default_rng(0))
        ]
    )
    np.testing.assert_allclose(p, np.arange(1, 16) / 15)


def test_people_without_weight_are_dealt_nothing():
    panel = sites()
    less = replace(panel, weights=(panel.cluster != 8).astype(float))
    asked = {
        "outcome": "ae",
        "estimator": "twfe",
        "family": "linear",
        "staggered": "allow",
        "draws": 29,
        "seed": 1,
    }
    found, same = (randomisation_test(p, **asked) for p in (less, panel.subset(panel.cluster != 8)))
    assert found.p_value == same.p_value


def test_a_constant_difference_needs_a_linear_model():
    with pytest.raises(ParameterError, match="use effect='ratio'"):
        randomisation_test(sites(starts=(2, 2)), outcome="ae", estimator="two_by_two", seed=1)


def test_unknown_words_and_too_few_draws_are_refused():
    with pytest.raises(ParameterError, match=r"effect='odds'.*choose from 'difference', 'ratio'"):
        randomisation_test(sites(), outcome="ae", estimator="twfe", seed=1, effect="odds")
    with pytest.raises(ParameterError, match="Did you mean 'twfe'"):
        randomisation_test(sites(), outcome="ae", estimator="twfee", seed=1)
    with pytest.raises(ParameterError, match="draws=5 must be 19 or more"):
        randomisation_test(sites(), outcome="ae", estimator="twfe", seed=1, draws=5)


def test_deals_that_mostly_fail_are_refused():
    """Events before support happen in three of eight sites only, so most deals have an arm without any."""
    panel = sites(sites=8, starts=(2, 2))
    y = np.where((panel.cluster[:, None] == [[0]]) | (panel.cluster[:, None] == 7), 3.0, 0.0)
    y = np.where(np.arange(5) < 2, y, panel.outcomes["ae"] + 1)
    with pytest.raises(DesignError, match=r"of 28 deals of the starts could not be estimated"):
        randomisation_test(
            replace(panel, outcomes={"ae": y}), outcome="ae", estimator="two_by_two", seed=1, effect="ratio"
        )


def test_weights_found_from_the_outcome_change_with_what_is_taken_out():
    """Synthetic difference-in-differences: at values between those tried too, statistics are those found."""
    start, rng = np.repeat([4, 7], [6, 14]), np.random.default_rng(3)
    after = np.arange(7) >= start[:, None]
    rates = rng.gamma(9, 2, (20, 1)) + rng.normal(0, 2, (20, 7)) - 2 * after
    asked = {"outcome": "ae", "estimator": "synthetic_did"}
    panel = Panel(
        unit=np.arange(20),
        periods=pd.RangeIndex(7),
        outcomes={"ae": rates},
        exposure={"ae": np.ones((20, 7))},
        start=start,
        treated=start < 7,
        covariates=pd.DataFrame(index=range(20)),
        cluster=np.arange(20),
        weights=np.ones(20),
        arm=np.where(start < 7, "supported", "control"),
        rate_scale=1.0,
    )
    test = randomisation_test(panel, **asked, draws=19, seed=4, inference="jackknife")

    def share(value):
        without = replace(panel, outcomes={"ae": rates - value * after})
        every = [np.arange(20), *deals(panel, 19, np.random.default_rng(4))]
        found = analyses((deal(without, who) for who in every), **asked, arguments={"inference": "jackknife"})
        t = np.array([effects.estimate[0] / effects.std_error[0] for effects in found])
        return t[0], np.mean(np.abs(t) >= abs(t[0]) * (1 - 1e-9))

    assert share(0.0) == pytest.approx((test.statistic, test.p_value))
    width = test.conf_high - test.conf_low
    assert np.isfinite(width)
    for end, out in ((test.conf_low, -1), (test.conf_high, 1)):
        assert share(end - 0.05 * out * width)[1] > 0.05
        assert share(end + 0.05 * out * width)[1] <= 0.05
