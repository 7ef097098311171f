from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from impact.data.panel import Panel
from impact.did import callaway_santanna, etwfe, summarise, twfe, two_by_two, wild_bootstrap
from impact.did.bias_reduced import bias_reduced
from impact.disclosure import release


def sites(effect=1.0, *, seed=0, clusters=8, people=12, treated=4):
    rng = np.random.default_rng(seed)
    site = np.repeat(np.arange(clusters), people)
    start = np.where(site < treated, 3, 6)
    mean = 2 * rng.gamma(80, 1 / 80, (clusters, 6))[site] * rng.gamma(20, 0.05, len(site))[:, None]
    mean = np.where(np.arange(6) >= start[:, None], effect * mean, mean)
    return Panel(
        unit=np.arange(len(site)),
        periods=pd.RangeIndex(6),
        outcomes={"ae": rng.poisson(mean).astype(float)},
        exposure={"ae": np.ones(mean.shape)},
        start=start,
        treated=start < 6,
        covariates=pd.DataFrame(index=range(len(site))),
        cluster=site,
        weights=np.ones(len(site)),
        arm=np.where(start < 6, "supported", "control"),
    )


def one(effects, scale):
    return effects.select(effects.labels["scale"] == scale)


@pytest.mark.parametrize(
    ("effects", "scale", "how"),
    [
        (lambda p: twfe(p, outcome="ae", family="linear"), "difference", "hypothesis imposed (Cameron"),
        (lambda p: twfe(p, outcome="ae", family="linear"), "events avoided", "hypothesis imposed (Cameron"),
        (lambda p: twfe(p, outcome="ae", family="linear"), "log ratio", "without imposing the hypothesis"),
        (lambda p: twfe(p, outcome="ae", family="poisson"), "log ratio", "(Kline and Santos 2012)"),
        (lambda p: twfe(p, outcome="ae", family="poisson"), "difference", "without imposing"),
        (lambda p: summarise(etwfe(p, outcome="ae", family="linear")), "difference", "imposed (Cameron"),
        (lambda p: summarise(etwfe(p, outcome="ae", family="poisson")), "log ratio", "without imposing"),
        (lambda p: summarise(callaway_santanna(p, outcome="ae")), "difference", "without imposing"),
    ],
)
def test_every_effect_has_a_test_that_says_what_it_is(effects, scale, how):
    effect = one(effects(sites(0.2)), scale)
    test = wild_bootstrap(effect, seed=1)
    assert how in test.method["inference"]
    assert "all 256 sign vectors" in test.method["inference"]
    assert test.smallest_p == 2 / 256
    assert test.p_value >= test.smallest_p
    assert test.conf_low < test.estimate < test.conf_high
    # Such an effect in four of eight sites is found, and the interval is of the size of that of CR1.
    assert test.p_value < 0.05
    assert (test.conf_high < 0) or (test.conf_low > 0)
    table = effect.table.iloc[0]
    ratio = (test.conf_high - test.conf_low) / (table["conf_high"] - table["conf_low"])
    assert 0.6 < ratio < 1.8


def test_multiples_of_an_effect_are_tested_alike():
    effects = twfe(sites(), outcome="ae", family="linear")
    tests = {s: wild_bootstrap(one(effects, s), seed=1) for s in ("difference", "events avoided")}
    assert tests["difference"].p_value == tests["events avoided"].p_value
    per = tests["events avoided"].estimate / tests["difference"].estimate
    assert tests["events avoided"].conf_low == pytest.approx(per * tests["difference"].conf_high, rel=1e-2)


def test_an_overall_average_and_a_time_of_an_event_study():
    effects = twfe(sites(0.5), outcome="ae", family="linear", event_study=True)
    for effect in (effects.overall, effects.select(effects.labels["event_time"] == 1)):
        assert "imposed (Cameron" in wild_bootstrap(effect, seed=1).method["inference"]


def test_five_sites_get_webbs_points_and_many_random_signs():
    five = wild_bootstrap(
        one(twfe(sites(clusters=5, treated=2), outcome="ae", family="linear"), "difference"), seed=1
    )
    assert "Webb's six points" in five.method["inference"]
    assert (five.method["draws"], five.method["seed"]) == (9999, 1)
    many = wild_bootstrap(
        one(twfe(sites(clusters=20), outcome="ae", family="linear"), "difference"), seed=1, draws=999
    )
    assert "random signs" in many.method["inference"]
    assert many.smallest_p == 1 / 1000


def test_the_level_is_that_of_the_effects_unless_another_is_asked_for():
    effect = replace(one(twfe(sites(), outcome="ae", family="linear"), "difference"), conf_level=0.9)
    narrow, wide = wild_bootstrap(effect, seed=1), wild_bootstrap(effect, seed=1, conf_level=0.97)
    assert (narrow.conf_level, wide.conf_level) == (0.9, 0.97)
    assert wide.conf_low < narrow.conf_low < narrow.conf_high < wide.conf_high


def test_a_withheld_test_shows_none_of_its_numbers():
    test = wild_bootstrap(one(twfe(sites(people=2), outcome="ae", family="linear"), "difference"), seed=1)
    few = replace(test, counts=test.counts.assign(events=3))
    shown = release({"test": few}, "hes")["test"].table
    assert shown[["statistic", "p_value", "estimate", "conf_low", "conf_high"]].isna().all(axis=None)
    open_ = release({"test": replace(test, counts=test.counts.assign(events=300, persons=300))}, "hes")
    assert open_["test"].table["estimate"].notna().all()


@pytest.mark.parametrize("effects", ["arm", "person"])
@pytest.mark.parametrize("family", ["linear", "poisson"])
def test_two_by_two_has_its_regression_behind_it(family, effects):
    """Its part of the root is the root of the effects, so that CR2 and the wild bootstrap are its own."""
    found = two_by_two(sites(0.5), outcome="ae", family=family, effects=effects)
    own = "difference" if family == "linear" else "log ratio"
    at = found.labels["scale"].tolist().index(own)
    np.testing.assert_allclose(np.abs(found.regression.root()[:, at]), np.abs(found.root[:, at]), atol=1e-9)
    how = "Cameron" if family == "linear" else "Kline and Santos"
    test = wild_bootstrap(one(found, own), seed=1)
    assert f"imposed ({how}" in test.method["inference"]
    assert test.conf_low < test.estimate < test.conf_high
    robust = bias_reduced(found)
    assert 0.9 < robust.std_error[at] / found.std_error[at] < 1.3
    assert 2 < robust.df[at] < 7
