"""Balance against plain formulas, and its edges."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from impact import match
from impact.data import Cohort
from impact.disclosure import release
from impact.errors import DataError


def frame_of(n=300, seed=2):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "helped": (np.arange(n) % 4 == 0).astype(int),
            "age": rng.normal(70, 5, n).round() + 3 * (np.arange(n) % 4 == 0),
            "alone": rng.integers(0, 2, n),
            "tenure": rng.choice(["own", "rent", "shared"], n),
        }
    )


def plain(x, w, w_control):
    """Weighted means, variance with reliability weights, and the largest gap between the distributions."""
    mean = [np.average(x, weights=v) for v in (w, w_control)]
    variance = [
        v.sum() * (v * (x - m) ** 2).sum() / (v.sum() ** 2 - (v**2).sum())
        for v, m in zip((w, w_control), mean, strict=True)
    ]
    ks = max(
        abs(w[x <= cut].sum() / w.sum() - w_control[x <= cut].sum() / w_control.sum()) for cut in np.unique(x)
    )
    return mean, variance, ks


@pytest.mark.parametrize("replace", [False, True])
def test_a_number_equals_the_plain_formulas(replace):
    """With replacement a person's weight is the sum over their sets."""
    frame = frame_of()
    matched = match.nearest(
        Cohort.from_frame(frame, treated="helped"), on=["age", "alone"], ratio=2, replace=replace
    )
    rows = match.balance(matched).table.set_index(["covariate", "sample"])
    weight = matched.table.groupby("person_id")["weight"].sum().to_numpy()
    treated, x = frame["helped"].to_numpy(bool), frame["age"].to_numpy()
    scale = x[treated].std(ddof=1)
    for sample, w in (("before", np.ones(len(x))), ("after", weight)):
        mean, variance, ks = plain(x, w * treated, w * ~treated)
        row = rows.loc[("age", sample)]
        assert row["mean_control"] == pytest.approx(mean[1])
        assert row["smd"] == pytest.approx((mean[0] - mean[1]) / scale)
        assert row["variance_ratio"] == pytest.approx(variance[0] / variance[1])
        assert row["ks"] == pytest.approx(ks)


def test_levels_are_shares_without_variance_ratio():
    frame = frame_of()
    matched = match.nearest(Cohort.from_frame(frame, treated="helped"), on=["age", "tenure"])
    table = match.balance(matched).table
    rows = table[(table["covariate"] == "tenure") & (table["sample"] == "before")].set_index("level")
    share = frame[frame["helped"] == 1]["tenure"].value_counts(normalize=True)
    np.testing.assert_allclose(rows["mean_treated"], share[rows.index])
    gap = rows["mean_treated"] - rows["mean_control"]
    np.testing.assert_allclose(rows["ks"], gap.abs(), atol=1e-12)
    assert rows["variance_ratio"].isna().all()
    spread = np.sqrt(share * (1 - share))[rows.index]
    np.testing.assert_allclose(rows["smd"], gap / spread, atol=1e-12)


def test_exact_columns_are_balanced_and_shown():
    frame = frame_of()
    cohort = Cohort.from_frame(frame, treated="helped")
    table = match.balance(match.nearest(cohort, on=["age"], exact=["tenure"])).table
    after = table[(table["covariate"] == "tenure") & (table["sample"] == "after")]
    np.testing.assert_allclose(after["smd"], 0, atol=1e-12)


def test_exact_columns_of_many_levels_are_left_out():
    """Two hundred buildings would fill pages with zeros."""
    frame = frame_of().assign(building=[f"b{i % 200}" for i in range(300)])
    matched = match.nearest(
        Cohort.from_frame(pd.concat([frame, frame.assign(helped=0)]), treated="helped"),
        on=["age"],
        exact=["building"],
        distance="mahalanobis",
    )
    assert set(match.balance(matched).table["covariate"]) == {"age"}


def test_treated_who_are_all_alike_use_the_spread_of_both_arms():
    frame = pd.DataFrame({"helped": [1, 1, 0, 0], "age": [60, 61, 61, 62], "stairs": [3.0, 3.0, 1.0, 5.0]})
    matched = match.nearest(Cohort.from_frame(frame, treated="helped"), on=["age"], distance="mahalanobis")
    row = match.balance(matched, on=["stairs"]).table.iloc[0]
    assert row["smd"] == 0
    frame["stairs"] = [3.0, 3.0, 2.0, 2.0]
    matched = match.nearest(Cohort.from_frame(frame, treated="helped"), on=["age"], distance="mahalanobis")
    assert np.isnan(match.balance(matched, on=["stairs"]).table["smd"]).all()


def test_an_unknown_column_names_the_nearest():
    matched = match.nearest(Cohort.from_frame(frame_of(), treated="helped"), on=["age"])
    with pytest.raises(DataError, match="Did you mean 'tenure'"):
        match.balance(matched, on=["tenur"])


def test_distances_within_pairs_stay_inside():
    """That of a yes or no, times the pairs, is how many pairs differ: it is not released."""
    matched = match.nearest(Cohort.from_frame(frame_of(), treated="helped"), on=["age", "alone"])
    found = match.balance(matched)
    assert found.table["pair_distance"].notna().any()
    assert "pair_distance" not in release({"balance": found}, "hes")["balance"].table
