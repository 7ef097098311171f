from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from impact.did import aggregate, callaway_santanna
from impact.did.honest_bounds import honest_bounds
from impact.numbers.honest import RelativeMagnitudes, Smoothness
from impact.results import Effects

ENDS = ["conf_low", "conf_high"]


def event_study(times=(-4, -3, -2, 0, 1, 2), *, outcomes=("ae",), clusters=80, seed=0, **method) -> Effects:
    rng = np.random.default_rng(seed)
    labels = pd.DataFrame([(name, t) for name in outcomes for t in times], columns=["outcome", "event_time"])
    labels = labels.assign(term="event time", scale="difference", unit="per 1,000 person-months")
    root = rng.normal(size=(clusters, len(labels))) + rng.normal(size=(clusters, 1))
    root = (root - root.mean(0)) / clusters
    estimate = np.where(labels["event_time"] >= 0, -0.6, 0.0) + rng.normal(size=len(labels)) / 10
    counts = pd.DataFrame({"persons": 90, "treated": 40, "clusters": clusters, "events": range(len(labels))})
    method = {"estimator": "twfe", "reference": -1, "outcome": list(outcomes), "clusters": clusters, **method}
    return Effects(labels, estimate, root, np.arange(clusters), clusters - 1, method, counts)


def with_base(effects: Effects) -> Effects:
    """The same with a row for the base: 0 by definition, without an error."""
    labels = pd.concat([effects.labels, effects.labels.iloc[[0]].assign(event_time=-1)], ignore_index=True)
    counts = pd.concat([effects.counts, effects.counts.iloc[[0]]], ignore_index=True)
    root = np.column_stack([effects.root, np.zeros(len(effects.root))])
    return replace(
        effects, labels=labels, estimate=np.append(effects.estimate, 0.0), root=root, counts=counts
    )


@pytest.mark.parametrize("limits", [{"m_bar": [0.0, 1.0]}, {"m": [0.0, 0.1]}])
def test_base_row_and_order_of_rows_do_not_matter(limits):
    effects = event_study()
    expected = honest_bounds(effects, **limits).table
    shown = with_base(effects)
    by = np.eye(len(shown))[:, [3, 6, 0, 5, 1, 4, 2]]
    turned = replace(
        shown,
        labels=shown.labels.iloc[by.argmax(0)].reset_index(drop=True),
        estimate=shown.estimate @ by,
        root=shown.root @ by,
        counts=shown.counts.iloc[by.argmax(0)].reset_index(drop=True),
    )
    for other in (shown, turned):
        pd.testing.assert_frame_equal(honest_bounds(other, **limits).table, expected, rtol=1e-8)


def test_first_row_is_the_interval_of_the_effects():
    effects = event_study(clusters=20)
    bounds = honest_bounds(effects, m_bar=0, of=1)
    mine = effects.table.loc[effects.labels["event_time"] == 1, ENDS].to_numpy()[0]
    np.testing.assert_allclose(bounds.table[ENDS].iloc[0].to_numpy(float), mine)
    # With no change of trends allowed, the test is the ordinary one.
    np.testing.assert_allclose(bounds.table[ENDS].iloc[1].to_numpy(float), mine, atol=1e-5)
    assert bounds.table["restriction"].tolist() == ["parallel trends", "relative magnitudes"]
    assert bounds.table["term"].tolist() == ["event time 1"] * 2


def test_many_clusters_give_the_intervals_of_the_arrays():
    effects = replace(event_study(), df=np.inf)
    weights = np.full(3, 1 / 3)
    for kind, method, limit in (("m_bar", RelativeMagnitudes, 0.7), ("m", Smoothness, 0.05)):
        found = honest_bounds(effects, **{kind: limit}, of="average").table
        expected = method(effects.estimate, effects.vcov, 3, weights).interval(limit)
        np.testing.assert_allclose(found[ENDS].iloc[1].to_numpy(float), expected)
        assert found["term"].iloc[1] == "average of event times 0 to 2"


def test_each_outcome_is_a_block():
    both = event_study(outcomes=("ae", "gp"))
    table = honest_bounds(both, m_bar=[0.5, 1]).table
    assert table["outcome"].tolist() == ["ae"] * 3 + ["gp"] * 3
    alone = honest_bounds(both.select(both.labels["outcome"] == "gp"), m_bar=[0.5, 1]).table
    pd.testing.assert_frame_equal(table.iloc[3:].reset_index(drop=True), alone)


def test_time_of_anticipation_is_after_the_base():
    """From a base at -2 the effect at -1 may be one of support; trends move on through it."""
    effects = event_study((-4, -3, -1, 0, 1), anticipation=1, reference=None)
    effects = replace(effects, df=np.inf)
    found = honest_bounds(effects, m_bar=1).table[ENDS].iloc[1].to_numpy(float)
    expected = RelativeMagnitudes(effects.estimate, effects.vcov, 2, np.array([0.0, 1, 0])).interval(1.0)
    np.testing.assert_allclose(found, expected)


def test_poisson_is_bounded_on_the_log_scale():
    effects = event_study(family="poisson")
    both = Effects.stack({"a": effects, "b": effects})
    scale = np.repeat(["log ratio", "difference"], len(effects))
    both = replace(both, labels=both.labels.assign(scale=scale), method=effects.method)
    table = honest_bounds(both, m_bar=1).table
    assert set(table["scale"]) == {"log ratio"}
    linear = replace(both, method=effects.method | {"family": "linear"})
    assert set(honest_bounds(linear, m_bar=1).table["scale"]) == {"difference"}


def test_degrees_of_freedom_of_the_target_widen_the_interval():
    effects = event_study()
    own = replace(effects, df=np.full(6, 9.0), satterthwaite=lambda weights: 5.0)
    wide = honest_bounds(own, m_bar=1, of="average").table
    least = honest_bounds(replace(effects, df=np.full(6, 5.0)), m_bar=1, of="average").table
    pd.testing.assert_frame_equal(wide, least)
    half = honest_bounds(effects, m_bar=1, of="average").table
    assert (wide["conf_low"] < half["conf_low"]).all()


def test_result_says_what_was_done_and_who_is_behind_it():
    bounds = honest_bounds(event_study(notes=["first"], clusters=40), m=[0, 0.1], of="average")
    assert bounds.method["restriction"] == "smoothness"
    assert bounds.method["target"] == "average"
    assert bounds.method["notes"] == [
        "first",
        "ae: intervals may be up to 5% too short, as there are few clusters for so many periods before "
        "support.",
    ]
    assert bounds.counts.to_dict("records")[0] == {"persons": 90, "treated": 40, "clusters": 40, "events": 12}
    assert len(bounds.counts) == len(bounds.table) == 3
    written = json.loads(bounds.to_json())
    assert written["table"][0]["m"] is None
    assert written["table"][2]["m"] == 0.1
    assert written["table"][2]["persons"] == 90


def test_breakdown_is_missing_where_even_parallel_trends_include_no_effect():
    effects = event_study()
    flat = replace(effects, estimate=0 * effects.estimate)
    table = honest_bounds(flat, m=0.1).table
    assert table["breakdown"].isna().all()


def test_averages_of_starts_are_bounded(data):
    from impact.data.panel import Panel

    frame = pd.read_csv(data / "mpdta.csv")
    panel = Panel.from_long(
        frame, unit="countyreal", period="year", outcomes=["lemp"], first_treated="first.treat"
    )
    by_time = aggregate(callaway_santanna(panel, outcome="lemp"), by="event_time")
    table = honest_bounds(by_time, m_bar=[0.5, 1], of="average").table
    assert (np.diff(table["conf_high"] - table["conf_low"]) > 0).all()
    assert 0 < table["breakdown"].iloc[0] < 1.5
