"""What bounds refuse, and that the message says what to do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from impact.did.honest_bounds import honest_bounds
from impact.errors import DesignError, ParameterError
from impact.results import Effects


def event_study(times=(-4, -3, -2, 0, 1), *, clusters=60, **method) -> Effects:
    rng = np.random.default_rng(0)
    labels = pd.DataFrame(
        {"outcome": "ae", "event_time": times, "term": "", "scale": "difference", "unit": ""}
    )
    root = rng.normal(size=(clusters, len(times))) / clusters
    counts = pd.DataFrame(
        {"persons": 90, "treated": 40, "clusters": clusters, "events": 9}, index=labels.index
    )
    said = {"estimator": "twfe", "reference": -1, "clusters": clusters, **method}
    return Effects(
        labels, np.ones(len(times)), root - root.mean(0), np.arange(clusters), clusters - 1, said, counts
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "m_bar=None, m=None: give one of them"),
        ({"m_bar": 1, "m": 0.1}, "m_bar=1, m=0.1: give one of them"),
        ({"m_bar": -1}, "m_bar=-1: give a number of 0 or more"),
        ({"m_bar": []}, "m_bar=\\[\\]: give a number"),
        ({"m": [0.1, float("nan")]}, "m=.*nan.*: give a number"),
        ({"m": "much"}, "m='much': give a number"),
        ({"m_bar": [[1, 2]]}, "give a number"),
        ({"m_bar": 1, "of": 7}, "of=7: give 'average' or an event time from 0 to 1"),
        ({"m_bar": 1, "of": -2}, "of=-2: give 'average'"),
        ({"m_bar": 1, "of": True}, "of=True: give 'average'"),
        ({"m_bar": 1, "of": "avrage"}, "of='avrage'.*Did you mean 'average'"),
    ],
)
def test_arguments(arguments, said):
    with pytest.raises(ParameterError, match=said):
        honest_bounds(event_study(), **arguments)


@pytest.mark.parametrize(
    ("effects", "said"),
    [
        (event_study(base_period="varying"), "base_period='universal'"),
        (event_study(estimator="imputation"), "imputation"),
        (event_study(pre_effects="separate regression"), "imputation"),
        (event_study((-4, -2, 0, 1)), "no effect at event time -3"),
        (event_study((-3, -2, 0, 2)), "no effect at event time 1"),
        (event_study((0, 1, 2)), "no effect before the base period \\(event time -1\\)"),
        (event_study((-3, -2)), "no effect after the base period"),
        (event_study((-3, -2, -1, 0)), "event time -1 is not zero"),
        (event_study((-2, -2, 0, 0)), "aggregate\\(effects, by='event_time'\\)"),
        (event_study(clusters=5), "5 clusters are too few .* need (6|11); use longer periods"),
    ],
)
@pytest.mark.parametrize("limit", [{"m_bar": 1}, {"m": 0}])
def test_effects_that_cannot_carry_bounds(effects, said, limit):
    with pytest.raises(DesignError, match=said):
        honest_bounds(effects, **limit)


def test_effects_without_event_times():
    effects = event_study()
    with pytest.raises(DesignError, match="by event time"):
        honest_bounds(replace(effects, labels=effects.labels.drop(columns="event_time")), m_bar=1)


def test_smoothness_needs_five_clusters_for_each_weight():
    few = event_study((*range(-9, -1), 0), clusters=35)
    with pytest.raises(DesignError, match=r"35 clusters are too few for bounds from 8 .* need 36"):
        honest_bounds(few, m=0.1)
    assert len(honest_bounds(few, m_bar=1).table) == 2
    assert len(honest_bounds(event_study((*range(-9, -1), 0), clusters=36), m=0.1).table) == 2


def test_effects_that_are_sums_of_others():
    effects = event_study()
    root = effects.root.copy()
    root[:, 1] = root[:, 0] + root[:, 2]
    with pytest.raises(DesignError, match="only 4 of 5 effects"):
        honest_bounds(replace(effects, root=root), m_bar=1)


def test_missing_effect():
    effects = event_study()
    estimate = effects.estimate.copy()
    estimate[2] = np.nan
    with pytest.raises(DesignError, match="missing; leave out that event time"):
        honest_bounds(replace(effects, estimate=estimate), m_bar=1)
