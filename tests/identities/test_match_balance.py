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


def density(x, w, at, width):
    """Gaussian kernels, one a person."""
    return (w / w.sum()) @ np.exp(-(((at - x[:, None]) / width) ** 2) / 2) / width / np.sqrt(2 * np.pi)


def slow(x, w, w0, scale, t):
    """One column in one sample, by its definitions, with a loop over the values or people."""
    mean = [np.average(x, weights=v) for v in (w, w0)]
    variance = [
        v.sum() * (v * (x - m) ** 2).sum() / (v.sum() ** 2 - (v**2).sum())
        for v, m in zip((w, w0), mean, strict=True)
    ]
    gaps = [abs(w[x <= cut].sum() / w.sum() - w0[x <= cut].sum() / w0.sum()) for cut in np.unique(x)]
    smaller = x[t == (t.sum() <= len(t) / 2)]
    quartiles = np.quantile(smaller, [0.25, 0.75])
    middle = np.diff(quartiles)[0] / 1.34
    width = 1.06 * (min(smaller.std(ddof=1), middle) or smaller.std(ddof=1)) * len(smaller) ** -0.2
    at = np.linspace(x.min() - 6 * width, x.max() + 6 * width, 20001)
    common = np.trapezoid(np.minimum(*(density(x, v, at, width) for v in (w, w0))), at)
    ranges = [(x[v > 0].min(), x[v > 0].max()) for v in (w, w0)]
    if max(low for low, _ in ranges) > min(high for _, high in ranges):
        common = 0
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
            expected = slow(x, w * t, w * (1 - t), scale, t)
            np.testing.assert_allclose(row.astype(float)[:-1], expected[:-1], rtol=1e-9, atol=1e-11)
            # Densities are compared at 1,024 points.
            assert row["overlap"] == pytest.approx(expected[-1], abs=2e-3)


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


@pytest.mark.parametrize("n", [40, 2000])
def test_numbers_overlap_however_few_have_the_same(n):
    """Two normal groups one standard deviation apart share 62% (and a little more, as they are smoothed)."""
    rng = np.random.default_rng(n)
    found = []
    for _ in range(12):
        helped = np.arange(n) % 2
        cohort = Cohort.from_frame(
            pd.DataFrame({"helped": helped, "x": rng.normal(helped, 1)}), treated="helped"
        )
        matched = Matched(
            pd.DataFrame({"person_id": cohort.person_id, "weight": 1.0, "distance": np.nan}),
            cohort,
            {"estimand": "ATT", "covariates": ["x"], "exact": []},
            pd.DataFrame(),
        )
        found.append(match.balance(matched).table["overlap"][0])
    assert np.mean(found) == pytest.approx(0.617, abs=0.08 if n == 40 else 0.03)


def test_groups_apart_have_nothing_in_common_and_equal_groups_everything():
    frame = pd.DataFrame({"helped": [1] * 20 + [0] * 20, "apart": range(40), "alike": [*range(20)] * 2})
    table = match.balance(weighted(frame, np.ones(40), covariates=["apart", "alike"])).table
    assert table["overlap"].tolist() == [0.0, 0.0, pytest.approx(1), pytest.approx(1)]


@pytest.mark.parametrize("replace", [False, True])
def test_pairs_are_as_far_apart_as_a_loop_over_them_says(replace):
    frame, _ = drawn(90, 8)
    cohort = Cohort.from_frame(frame, treated="helped")
    samples = {
        "pairs": match.nearest(cohort, on=ON, ratio=2, replace=replace),
        "strata": match.coarsened_exact(cohort, on=["alone"]),
        "full": match.full(cohort, on=["number"]),
    }
    for name, matched in samples.items():
        used = matched.table[matched.table["subclass"].notna()].merge(
            frame, left_on="person_id", right_index=True
        )
        table = match.balance(matched, on=["count", "alone"]).table.set_index(["covariate", "sample"])
        for column in ("count", "alone"):
            gaps = [
                abs(a - b)
                for _, one in used.groupby("subclass")
                for a in one.loc[one["helped"] == 1, column]
                for b in one.loc[one["helped"] == 0, column]
            ]
            treated = frame.loc[frame["helped"] == 1, column]
            scale = treated.std(ddof=0 if column == "alone" else 1)
            expected = np.mean(gaps) / scale
            assert table.loc[(column, "after"), "pair_distance"] == pytest.approx(expected, rel=1e-12), name
            assert np.isnan(table.loc[(column, "before"), "pair_distance"])


def test_how_prior_use_ran_is_compared_without_being_asked_for():
    frame, weight = drawn(60, 9)
    more = {"prior_gp_q1": 1.0, "prior_gp_p2": 2.0, "trend_gp": 0.5, "latest_gp": 1.0}
    frame = frame.assign(**{k: v * np.arange(60) for k, v in more.items()}, trend_words="up")
    table = match.balance(weighted(frame, weight)).table
    assert table.loc[table["kind"] == "prior period", "covariate"].unique().tolist() == [*more]
