"""The fast balance table equals its slow twin, and moves only with what it should."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impact import match
from impact.data import Cohort
from impact.results import Matched

ON = ["count", "number", "alone", "tenure"]


def drawn(n, seed):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "helped": (np.arange(n) % 3 == 0).astype(int),
            "count": rng.poisson(2, n),
            "number": rng.normal(size=n).round(int(rng.integers(1, 6))),
            "alone": rng.integers(0, 2, n),
            "tenure": rng.choice(["own", "rent", "shared"], n),
        }
    )
    return frame, np.where(rng.random(n) < 0.3, 0.0, rng.gamma(1, 1, n)) + (np.arange(n) < 6)


def weighted(frame, weight, **method):
    cohort = Cohort.from_frame(frame, treated="helped")
    table = pd.DataFrame({"person_id": cohort.person_id, "weight": weight, "distance": np.nan})
    return Matched(
        table, cohort, {"estimand": "ATT", "covariates": ON, "exact": [], **method}, pd.DataFrame()
    )


def slow(x, w, w0, scale):
    """One column in one sample, by its definitions, with a loop over the values."""
    mean = [np.average(x, weights=v) for v in (w, w0)]
    variance = [
        v.sum() * (v * (x - m) ** 2).sum() / (v.sum() ** 2 - (v**2).sum())
        for v, m in zip((w, w0), mean, strict=True)
    ]
    gaps = [abs(w[x <= cut].sum() / w.sum() - w0[x <= cut].sum() / w0.sum()) for cut in np.unique(x)]
    common = sum(min(w[x == v].sum() / w.sum(), w0[x == v].sum() / w0.sum()) for v in np.unique(x))
    return (mean[0] - mean[1]) / scale, variance[0] / variance[1], max(gaps), np.mean(gaps), common


@settings(max_examples=25, deadline=None)
@given(n=st.integers(20, 50), seed=st.integers(0, 10**6))
def test_the_fast_table_equals_the_slow_one(n, seed):
    frame, weight = drawn(n, seed)
    rows = match.balance(weighted(frame, weight), squares=True).table.set_index(["covariate", "sample"])
    t = frame["helped"].to_numpy(float)
    for name, x in {
        "count": frame["count"],
        "number": frame["number"],
        "number squared": frame["number"] ** 2,
    }.items():
        x = x.to_numpy(float)
        scale = x[t == 1].std(ddof=1)
        for sample, w in (("before", np.ones(n)), ("after", weight)):
            row = rows.loc[(name, sample), ["smd", "variance_ratio", "ks", "ecdf_mean", "overlap"]]
            np.testing.assert_allclose(
                row.astype(float), slow(x, w * t, w * (1 - t), scale), rtol=1e-9, atol=1e-11
            )


@settings(max_examples=10, deadline=None)
@given(scale=st.floats(0.01, 100), shift=st.floats(-50, 50), factor=st.floats(0.01, 100))
def test_units_and_the_total_of_the_weights_do_not_matter(scale, shift, factor):
    frame, weight = drawn(60, 3)
    other = frame.assign(number=scale * frame["number"] + shift)
    figures = ["smd", "variance_ratio", "ks", "ecdf_mean", "overlap"]
    a = match.balance(weighted(frame, weight)).table[figures]
    b = match.balance(weighted(other, weight * np.where(frame["helped"] == 1, 1, factor))).table[figures]
    np.testing.assert_allclose(a.astype(float), b.astype(float), rtol=1e-7, atol=1e-9)


def test_the_order_of_rows_does_not_matter():
    frame, weight = drawn(90, 4)
    turn = np.random.default_rng(0).permutation(90)
    a = match.balance(weighted(frame, weight), squares=True, interactions=True).table
    b = match.balance(
        weighted(frame.iloc[turn].reset_index(drop=True), weight[turn]), squares=True, interactions=True
    ).table
    pd.testing.assert_frame_equal(a, b, rtol=1e-9, atol=1e-12)


def test_equal_weights_change_nothing_and_a_person_twice_is_a_person_of_twice_the_weight():
    frame, weight = drawn(60, 5)
    table = match.balance(weighted(frame, np.full(60, 0.7))).table
    before, after = (table[table["sample"] == s].drop(columns="sample") for s in ("before", "after"))
    pd.testing.assert_frame_equal(before.reset_index(drop=True), after.reset_index(drop=True), rtol=1e-9)
    once = weighted(frame, weight)
    halves = once.table.assign(weight=once.table["weight"] / 2)
    twice = Matched(pd.concat([halves, halves], ignore_index=True), once.cohort, once.method, once.counts)
    pd.testing.assert_frame_equal(match.balance(once).table, match.balance(twice).table, rtol=1e-9)
    pd.testing.assert_frame_equal(match.balance(once).counts, match.balance(twice).counts)


def test_arms_in_each_others_place_turn_every_difference():
    """The controls' denominator is the treated's of the arms exchanged."""
    frame, weight = drawn(60, 6)
    a = match.balance(weighted(frame, weight), denominator="control").table
    b = match.balance(weighted(frame.assign(helped=1 - frame["helped"]), weight), denominator="treated").table
    for ours, theirs, sign in (("smd", "smd", -1), ("ks", "ks", 1), ("overlap", "overlap", 1)):
        np.testing.assert_allclose(a[ours], sign * b[theirs], atol=1e-12)
    np.testing.assert_allclose(a["variance_ratio"], 1 / b["variance_ratio"])


@pytest.mark.parametrize("estimand", ["ATT", "ATC", "ATE", "ATO"])
def test_the_denominator_follows_the_estimand_and_is_said(estimand):
    frame, weight = drawn(60, 7)
    asked = {"ATT": "treated", "ATC": "control"}.get(estimand, "pooled")
    a, b = (
        match.balance(weighted(frame, weight, estimand=estimand)),
        match.balance(weighted(frame, weight), denominator=asked),
    )
    pd.testing.assert_frame_equal(a.table, b.table)
    assert a.method["smd"] == b.method["smd"]
