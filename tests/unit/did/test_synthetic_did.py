"""Errors by hand, clusters above the unit, several starts, time at risk, and what is refused."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from impact.data.panel import Panel
from impact.data.periods import NEVER
from impact.did.randomisation import analyses, deal, deals
from impact.did.redrawn import Sample, redrawn
from impact.did.synthetic_did import synthetic_did
from impact.did.two_by_two import two_by_two
from impact.errors import DataError, DesignError, ParameterError


def build(start, clusters=None, periods=6, uneven=False, seed=1) -> Panel:
    rng, start = np.random.default_rng(seed), np.asarray(start)
    n = len(start)
    time = rng.uniform(0.5, 1.5, (n, periods)) if uneven else np.ones((n, periods))
    rate = 20 * rng.gamma(8, 1 / 8, (n, 1)) * np.where(np.arange(periods) >= start[:, None], 0.7, 1.0)
    return Panel(
        unit=np.arange(n),
        periods=pd.RangeIndex(2010, 2010 + periods),
        outcomes={"ae": rng.poisson(rate * time).astype(float)},
        exposure={"ae": time},
        start=start,
        treated=start < periods,
        covariates=pd.DataFrame(index=range(n)),
        cluster=np.arange(n) if clusters is None else np.asarray(clusters),
        weights=np.ones(n),
        arm=np.where(start < periods, "supported", "control"),
        begins=np.where(start < periods, start, NEVER),
    )


@pytest.fixture
def panel() -> Panel:
    return build([3, 3, *[6] * 8])


@pytest.fixture
def sites() -> Panel:
    """Twelve sites of three; the first four were supported, from two dates."""
    return build(np.repeat([3, 3, 4, 4, *[6] * 8], 3), np.repeat(np.arange(12), 3), uneven=True)


def test_placebo_by_hand(panel):
    """Each pair of controls in turn is compared with the others; the observed rate is as given."""
    out = synthetic_did(panel, outcome="ae", weighting="did", draws=56)
    change = panel.rate("ae")[:, 3:].mean(1) - panel.rate("ae")[:, :3].mean(1)
    change = change[2:]
    pairs = [(i, j) for i in range(8) for j in range(8) if i != j]
    pretended = [change[[i, j]].mean() - np.delete(change, [i, j]).mean() for i, j in pairs]
    assert "all ways" in out.method["inference"]
    assert out.std_error[0] == pytest.approx(np.std(pretended), rel=1e-10)
    difference, ratio, avoided = out.std_error
    months = panel.exposure["ae"][:2, 3:].sum()
    assert avoided == pytest.approx(difference * months / 1000, rel=1e-10)
    expected = panel.rate("ae")[:2, 3:].mean() - out.estimate[0]
    assert ratio == pytest.approx(difference / expected, rel=1e-10)


def test_placebo_draws_follow_the_seed(panel):
    one, same, other = (synthetic_did(panel, outcome="ae", draws=40, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.root, same.root)
    assert one.std_error[0] != other.std_error[0]
    assert (one.method["seed"], len(one.root), one.df) == (1, 40, 9)
    assert not set(one.clusters) & set(other.clusters)


def test_jackknife_by_hand(panel):
    out = synthetic_did(panel, outcome="ae", weighting="did", inference="jackknife")
    left = [
        synthetic_did(panel.subset(np.arange(10) != i), outcome="ae", weighting="did").estimate[0]
        for i in range(10)
    ]
    assert out.std_error[0] == pytest.approx(np.sqrt(0.9 * 10 * np.var(left)), rel=1e-10)
    assert out.method["seed"] is None
    assert out.clusters.tolist() == list(range(10))


@pytest.mark.parametrize("inference", ["jackknife", "bootstrap"])
def test_clusters_above_the_unit(inference):
    """Forty sites of three: both agree with the cluster-robust error of the same estimator."""
    panel = build(np.repeat([3] * 15 + [6] * 25, 3), np.repeat(np.arange(40), 3))
    site = np.random.default_rng(2).normal(0, 4, 40)[panel.cluster][:, None] * (np.arange(6) >= 3)
    panel = replace(panel, outcomes={"ae": panel.outcomes["ae"] + site})
    robust = two_by_two(panel, outcome="ae", family="linear", effects="person")
    out = synthetic_did(panel, outcome="ae", weighting="did", inference=inference, draws=400)
    alone = synthetic_did(
        replace(panel, cluster=panel.unit), outcome="ae", weighting="did", inference="jackknife"
    )
    np.testing.assert_allclose(out.estimate, robust.estimate, rtol=1e-9)
    np.testing.assert_allclose(out.std_error, robust.std_error, rtol=0.12)
    assert alone.std_error[0] < 0.75 * out.std_error[0]
    assert out.df == 39


def test_placebo_moves_whole_clusters_and_keeps_their_starts(sites):
    sample = Sample(sites)
    drawn = redrawn(sample, "placebo", 30, 0)
    assert drawn.start.shape == (30, 36)
    assert (drawn.weights[:, ~sample.never] == 0).all()
    by_site = drawn.start.reshape(30, 12, 3)
    assert (by_site == by_site[:, :, :1]).all()
    pretended = np.sort(by_site[:, 4:, 0], axis=1)
    assert (pretended == [3, 3, 4, 4, 6, 6, 6, 6]).all()
    out = synthetic_did(sites, outcome="ae", draws=30)
    assert (out.df, len(out.root)) == (11, 30)
    assert out.counts["clusters"].tolist() == [12, 12, 12]


def test_bootstrap_draws_whole_clusters_of_both_arms():
    sample = Sample(build([3, 3, 6, 6], clusters=[0, 1, 2, 2]))
    weights = redrawn(sample, "bootstrap", 200, 0).weights
    assert (weights[:, 2] == weights[:, 3]).all()
    assert (weights[:, :2].sum(1) > 0).all()
    assert (weights[:, 2] > 0).all()


def test_three_scales_are_one_model_over_observed_person_time(sites):
    """With uneven time at risk: O observed, P person-time; M is the same on every scale."""
    out = synthetic_did(sites, outcome="ae", inference="jackknife")
    difference, ratio, avoided = out.estimate
    after = np.arange(6) >= sites.start[:, None]
    events, months = sites.outcomes["ae"][after].sum(), sites.exposure["ae"][after].sum()
    expected = events + avoided
    assert difference == pytest.approx(1000 * (events - expected) / months)
    assert ratio == pytest.approx(np.log(events / expected))
    assert out.counts["events"].tolist() == [events] * 3
    assert out.labels["unit"].tolist() == ["per 1,000 person-months", "log ratio", "events"]


def test_known_effect_is_found():
    """Paths of two kinds: controls alike are chosen, where equal weights are misled by the others."""
    rng = np.random.default_rng(0)
    panel = build([12, 12, *[20] * 18], periods=20)
    steep = np.where(np.arange(20) < 8, 1.0, 0.0)[:, None]
    value = 50 + rng.normal(0, 5, (20, 1)) + steep * np.arange(20) + rng.normal(0, 0.3, (20, 20))
    value[:2, 12:] -= 4
    panel = replace(panel, outcomes={"ae": value}, rate_scale=1.0)
    found = {w: synthetic_did(panel, outcome="ae", weighting=w).estimate[0] for w in ("synthetic_did", "did")}
    assert found["synthetic_did"] == pytest.approx(-4, abs=0.8)
    assert found["did"] > 0


def test_anticipation_leaves_periods_out(panel):
    """What happens in the two periods before support moves nothing; who may already react is left out."""
    odd = panel.outcomes["ae"].copy()
    odd[:2, 2] += 50
    spoilt = replace(panel, outcomes={"ae": odd})
    for p in (panel, spoilt):
        out = synthetic_did(p, outcome="ae", weighting="did", anticipation=1)
        rate = p.rate("ae")
        change = rate[:, 3:].mean(1) - rate[:, :2].mean(1)
        assert out.estimate[0] == pytest.approx(change[:2].mean() - change[2:].mean())
    soon = replace(panel, begins=np.append(panel.begins[:-1], 6))
    out = synthetic_did(soon, outcome="ae", weighting="did", anticipation=1)
    assert out.counts["persons"].iloc[0] == 9
    assert "may already react" in out.method["notes"][-1]
    assert synthetic_did(soon, outcome="ae", weighting="did").counts["persons"].iloc[0] == 10


def test_too_early_a_start_is_left_out_and_told():
    out = synthetic_did(build([0, 1, 3, *[6] * 7]), outcome="ae")
    assert out.counts[["persons", "treated"]].iloc[0].tolist() == [8, 1]
    assert out.method["notes"][0].startswith("Left out: fewer than 10 people whose support began before")


def holes(panel):
    time = panel.exposure["ae"].copy()
    time[1:4, 5] = 0
    return replace(panel, exposure={"ae": time})


@pytest.mark.parametrize(
    ("change", "arguments", "told"),
    [
        (holes, {}, "at risk in every period, but fewer than 10 people of 10 are not .5.0% of all rows"),
        (lambda p: replace(p, clock="event"), {}, "clock='calendar'"),
        (lambda p: p.subset(p.start < 6), {}, "compares with people never supported"),
        (lambda p: p.subset(p.start == 6), {}, "nobody's support begins between 2012 and 2015"),
        (lambda p: replace(p, start=np.minimum(p.start, 1)), {}, "nobody's support begins"),
        (lambda p: p.subset(np.arange(10) < 4), {}, "more control clusters than supported ones.* 2 and 2"),
        (lambda p: p.subset(np.arange(10) > 0), {"inference": "jackknife"}, "two supported clusters or more"),
        (lambda p: p.subset(np.arange(10) > 0), {"inference": "bootstrap"}, "there is 1; use 'placebo'"),
        (
            lambda p: replace(p, cluster=np.minimum(p.unit, 2)),
            {"inference": "bootstrap"},
            "two control clusters",
        ),
        (lambda p: replace(p, cluster=np.arange(10) // 4), {}, "1 clusters hold both"),
        (lambda p: replace(p, outcomes={"ae": 0 * p.outcomes["ae"]}), {}, "never happens"),
    ],
)
def test_what_cannot_be_compared_is_refused(panel, change, arguments, told):
    with pytest.raises(DesignError, match=told):
        synthetic_did(change(panel), outcome="ae", **arguments)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"weighting": "sdid"}, "weighting='sdid': choose from 'synthetic_did'"),
        ({"inference": "CR1"}, "inference='CR1': choose from 'placebo', 'jackknife', 'bootstrap'"),
        ({"draws": 1}, "draws=1: give a whole number of 2 or more"),
        ({"draws": 2.5}, "draws=2.5"),
        ({"anticipation": -1}, "anticipation=-1: give a whole number of 0 or more"),
    ],
)
def test_wrong_words_are_refused(panel, arguments, told):
    with pytest.raises(ParameterError, match=told):
        synthetic_did(panel, outcome="ae", **arguments)


def test_unknown_outcome(panel):
    with pytest.raises(DataError, match="the panel holds 'ae'"):
        synthetic_did(panel, outcome="gp")


def test_one_control_with_all_the_weight_cannot_be_left_out():
    value = np.tile(np.array([1.0, 5, 2, 8, 3, 9]), (6, 1))
    value[2:] += np.arange(4)[:, None] * 40 * np.array([1, -1, 1, 1, -1, 1])
    panel = replace(build([4, 4, *[6] * 4]), outcomes={"ae": value})
    with pytest.raises(DesignError, match="one control cluster carries all of them"):
        synthetic_did(panel, outcome="ae", weighting="synthetic_control", inference="jackknife")


@pytest.mark.parametrize(
    ("inference", "errors"),
    [("placebo", [2329.279, 0.1013830, 18.63423]), ("bootstrap", [2146.218, 0.1291306, 17.16975])],
)
def test_draws_give_the_errors_of_a_search_in_each(inference, errors):
    """Errors of these draws when each was searched as the estimate is, in ten times the time."""
    panel = build([6, 6, *[10] * 38], periods=10)
    out = synthetic_did(panel, outcome="ae", inference=inference, draws=100, seed=3)
    assert out.estimate[0] == pytest.approx(-8850.059, abs=1e-3)
    np.testing.assert_allclose(out.std_error, errors, rtol=1e-3)


def test_many_draws_are_quick():
    """60 deals of the starts, each with its own 200 placebos, take 2 s; a search for each takes a minute."""
    panel = build([6, 6, *[10] * 28], periods=10)
    begun = time.process_time()
    dealt = (deal(panel, who) for who in deals(panel, 60, np.random.default_rng(0)))
    found = list(analyses(dealt, outcome="ae", estimator="synthetic_did", arguments={}))
    assert time.process_time() - begun < 20
    assert len(found) == 60
    alone = synthetic_did(deal(panel, next(deals(panel, 60, np.random.default_rng(0)))), outcome="ae")
    np.testing.assert_allclose(found[0].std_error, alone.std_error, rtol=1e-9)
