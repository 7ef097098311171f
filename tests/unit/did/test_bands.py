from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtrit

from impact.did.bands import bands
from impact.results import Blocks, Effects


def effects(root, **more):
    k = root.shape[1]
    labels = pd.DataFrame({"outcome": "ae", "term": [f"e{j}" for j in range(k)], "scale": "difference"})
    counts = pd.DataFrame({"persons": [99] * k, "treated": 40, "clusters": 99, "events": 50})
    made = Effects(labels.assign(unit=""), np.zeros(k), root, np.arange(len(root)), len(root) - 1, {}, counts)
    return replace(made, **more)


def test_band_of_independent_effects_is_sidaks():
    """Ten independent effects: the normal quantile at (1 + 0.95 ** (1/10)) / 2, and t's for few clusters."""
    root = np.random.default_rng(0).normal(size=(20_000, 10))
    expected = ndtri((1 + 0.95 ** (1 / 10)) / 2)
    found = bands(effects(root), draws=20_000, seed=1).critical
    np.testing.assert_allclose(found, expected, rtol=0.02)
    few = bands(effects(root[:12]), draws=2_000, seed=1).critical[0]
    assert few > expected + 0.3


def test_band_of_effects_that_are_one_is_their_interval():
    root = np.random.default_rng(0).normal(size=(40, 1)) @ np.ones((1, 5))
    out = bands(effects(root), draws=20_000, seed=1)
    np.testing.assert_allclose(out.critical, stdtrit(39, 0.975), rtol=0.03)
    table = out.table
    assert (table["band_low"] <= table["conf_low"]).all()
    assert (table["band_high"] >= table["conf_high"]).all()


def test_each_outcome_and_scale_has_its_own_band_and_the_reference_none():
    root = np.random.default_rng(0).normal(size=(60, 7))
    root[:, 2] = 0
    made = effects(root)
    labels = made.labels.assign(outcome=["ae"] * 4 + ["gp"] * 3, scale=["difference"] * 6 + ["person-months"])
    out = bands(replace(made, labels=labels), seed=1)
    assert np.isnan(out.critical[[2, 6]]).all()
    assert out.critical[0] == out.critical[1] == out.critical[3]
    assert out.critical[4] == out.critical[5] != out.critical[0]


def test_a_root_made_in_blocks_gives_the_same_band():
    root = np.random.default_rng(0).normal(size=(300, 4))
    lazy = Blocks(root.shape, lambda rows, by: root[rows] @ by, size=7)
    one, other = (bands(effects(r), seed=1).critical for r in (root, lazy))
    np.testing.assert_allclose(one, other, rtol=1e-5)


def test_level_is_of_intervals_and_bands():
    out = bands(effects(np.random.default_rng(0).normal(size=(60, 3))), seed=1, conf_level=0.9)
    assert out.conf_level == 0.9
    assert out.critical[0] < bands(out, seed=1, conf_level=0.95).critical[0]
    assert out.method["seed"] == 1
