"""Dispersion and zeros against a plain Poisson regression, and against counts whose variation is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import linalg

from impact.did.dispersion import dispersion
from impact.disclosure import release
from impact.errors import DataError


def counted(panel, y):
    return replace(
        panel, outcomes={"gp": y * (panel.exposure["gp"] > 0)}, exposure={"gp": panel.exposure["gp"]}
    )


@pytest.fixture(scope="module")
def panel(make_panel):
    return make_panel(n=3000, periods=6, starts=(2, 4), uneven=True, holes=0.05)


def test_dispersion_is_pearsons_of_a_poisson_regression(make_panel):
    panel = make_panel(n=120, starts=(3,), uneven=True, holes=0.1)
    table = dispersion(panel, outcome="gp").table.set_index(["arm", "when"])
    y, e = panel.outcomes["gp"], panel.exposure["gp"]
    for arm, members in (("supported", panel.treated), ("control", ~panel.treated)):
        for when, columns in (("before", slice(0, 3)), ("after", slice(3, 6))):
            frame = pd.DataFrame(e[members][:, columns]).melt(var_name="t", value_name="e")
            frame["y"] = pd.DataFrame(y[members][:, columns]).melt()["value"]
            frame = frame[frame["e"] > 0]
            x = pd.get_dummies(frame["t"], dtype=float)
            fit = sm.GLM(frame["y"], x, family=sm.families.Poisson(), exposure=frame["e"]).fit()
            row = table.loc[arm, when]
            assert row["dispersion"] == pytest.approx(fit.pearson_chi2 / fit.df_resid)
            assert row["poisson_zeros_percent"] == pytest.approx(100 * np.exp(-fit.fittedvalues).mean())
            assert row["zeros"] == (frame["y"] == 0).sum()
            assert row["events"] == frame["y"].sum()
            assert row["cells"] == len(frame)


def test_within_people_is_pearsons_of_a_regression_with_a_dummy_for_each(make_panel):
    """Over all rows together: each row's own figure only shares the degrees of freedom out."""
    panel = make_panel(n=60, periods=5, starts=(2, 3), uneven=True)
    y, e, T = panel.outcomes["gp"], panel.exposure["gp"], 5
    table = dispersion(panel, outcome="gp").table
    after = np.arange(T) >= panel.start[:, None]
    side = np.where(panel.treated[:, None], 1 + after, 0)
    cell = pd.Series((side * T + np.arange(T)).ravel())
    x = np.column_stack([np.kron(np.eye(60), np.ones((T, 1))), pd.get_dummies(cell, dtype=float)])
    keep = np.repeat(y.sum(1) > 0, T)
    # With dummies that say the same, its solution moves with the machine's arithmetic.
    _, r, order = linalg.qr(x[keep], mode="economic", pivoting=True)
    x = x[:, order[np.abs(np.diag(r)) > 1e-9]]
    poisson = sm.families.Poisson()
    fit = sm.GLM(y.ravel()[keep], x[keep], family=poisson, exposure=e.ravel()[keep]).fit(tol=1e-12)
    squares = (y.ravel()[keep] - fit.fittedvalues) ** 2 / fit.fittedvalues
    for row, arm, when in table[["dispersion_within", "arm", "when"]].itertuples(index=False):
        here = (side == {"all": 0, "before": 1, "after": 2}[when]).ravel()[keep]
        cells, periods = here.sum(), len(np.unique(cell[keep][here]))
        assert arm == ("control" if when == "all" else "supported")
        assert row == pytest.approx(squares[here].sum() / (cells * (1 - 1 / T) - (periods - 1)), rel=1e-5)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_poisson_counts_have_dispersion_one_and_the_zeros_expected(panel, seed):
    y = np.random.default_rng(seed).poisson(0.5 * panel.exposure["gp"]).astype(float)
    summary = dispersion(counted(panel, y), outcome="gp")
    # Three standard errors of a mean of about 5,000 squares, each of variance 2 + 1/0.4.
    for column in ("dispersion", "dispersion_within"):
        np.testing.assert_allclose(summary.table[column], 1, atol=3 * np.sqrt(4.5 / 4000))
    gap = summary.table["zeros_percent"] - summary.table["poisson_zeros_percent"]
    assert gap.abs().max() < 2
    assert "about as much as chance alone" in summary.method["meaning"]["gp"]
    assert "zeros are about as many" in summary.method["meaning"]["gp"]


def test_people_who_differ_are_overdispersed_between_but_not_within(panel):
    """A gamma frailty of variance v makes the variance mean + v mean^2: a negative binomial."""
    rng = np.random.default_rng(4)
    mean = rng.gamma(0.5, 2.0, (panel.n, 1)) * np.ones_like(panel.exposure["gp"])
    y = rng.poisson(mean * panel.exposure["gp"]).astype(float)
    summary = dispersion(counted(panel, y), outcome="gp")
    table = summary.table
    assert (table["dispersion"] > 2).all()
    np.testing.assert_allclose(table["dispersion_within"], 1, atol=0.12)
    gap = (table["zeros_percent"] - table["negative_binomial_zeros_percent"]).abs()
    assert gap.max() < 2.5
    assert (table["zeros_percent"] - table["poisson_zeros_percent"] > 8).all()
    assert "difference between people" in summary.method["meaning"]["gp"]
    assert "robust errors" in summary.method["meaning"]["gp"]


def test_rare_long_stays_have_more_zeros_than_their_variation_explains(panel):
    rng = np.random.default_rng(5)
    y = np.where(
        rng.random(panel.exposure["gp"].shape) < 0.03, 1 + rng.poisson(9, panel.exposure["gp"].shape), 0
    )
    summary = dispersion(counted(panel, y.astype(float)), outcome="gp")
    assert (summary.table["dispersion_within"] > 3).all()
    assert "more zeros than even that explains" in summary.method["meaning"]["gp"]


def test_several_outcomes_and_one_start(make_panel):
    table = dispersion(make_panel(starts=(3,)), outcome=["gp", "ae"]).table
    assert table["outcome"].tolist() == ["gp"] * 4 + ["ae"] * 4
    assert table["when"].tolist() == ["before", "after"] * 4


def test_people_the_weights_leave_out_do_not_count(make_panel):
    panel = make_panel(starts=(3,))
    half = replace(panel, weights=(np.arange(panel.n) % 2).astype(float))
    few = dispersion(half, outcome="gp").table
    pd.testing.assert_frame_equal(
        few, dispersion(panel.subset(np.arange(panel.n) % 2 == 1), outcome="gp").table
    )


def test_is_released_with_its_counts_rounded_and_small_ones_withheld(panel, make_panel):
    shown = release({"d": dispersion(panel, outcome="gp")}, "hes")["d"].table
    assert (shown["events"] % 5 == 0).all()
    assert shown["dispersion"].notna().all()
    small = make_panel(n=12, starts=(3,))
    assert release({"d": dispersion(small, outcome="gp")}, "hes")["d"].table["dispersion"].isna().any()


def test_refuses_values_below_zero(make_panel):
    panel = make_panel()
    with pytest.raises(DataError, match="below zero"):
        dispersion(counted(panel, panel.outcomes["gp"] - 1), outcome="gp")
