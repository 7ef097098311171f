"""Errors and tests for few clusters against slow, plain twins: dense matrices, and one regression a draw."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest

from impact.data.panel import Panel
from impact.did import summarise, sun_abraham, twfe
from impact.did.leave_one_out import leave_one_out
from impact.did.wild_bootstrap import wild_bootstrap
from impact.numbers.few_clusters import cr2, of_people, of_rows, wild_t
from impact.numbers.regress import glm, ols
from impact.numbers.within import fixed_effects

SITES, PEOPLE, T = 7, 35, 5


@pytest.fixture(scope="module")
def sites():
    """People in seven sites of different size, four of which start support in the fourth of five periods."""
    rng = np.random.default_rng(5)
    site = np.sort(rng.choice(SITES, PEOPLE, p=[0.25, 0.1, 0.1, 0.15, 0.1, 0.2, 0.1]))
    start = np.where(site < 4, 3, T)
    level = rng.gamma(3, 1, PEOPLE)[:, None] * np.exp(0.1 * np.arange(T))
    y = rng.poisson(level * np.where(np.arange(T) >= start[:, None], 0.7, 1)).astype(float)
    time = (rng.random((PEOPLE, T)) > 0.1).astype(float)
    return site, start, y * time, time, rng.uniform(0.5, 2, PEOPLE)


def dense(sites):
    """Return the rows at risk of that panel with a dummy for each person: y, X, weight, site; effect last."""
    site, start, y, time, weights = sites
    i, t = np.nonzero(time)
    columns = [i == person for person in range(PEOPLE)] + [t == period for period in range(1, T)]
    x = np.column_stack([*columns, t >= start[i]]).astype(float)
    return y[i, t], x, weights[i], site[i]


def fitted(sites, family):
    site, start, y, time, weights = sites
    order = np.argsort(start, kind="stable")
    groups, first = np.unique(start[order], return_index=True)
    effect = (np.arange(T) >= groups[:, None])[..., None]
    periods = np.broadcast_to(np.arange(T)[:, None] == np.arange(1, T), (len(groups), T, T - 1))
    design = np.concatenate([effect, periods], 2).astype(float)
    given = {"family": family, "weights": weights[order]}
    y, time, codes = y[order], time[order], site[order]
    fit = fixed_effects(y, time, design=design, edges=np.append(first, PEOPLE), **given)
    contrast = np.eye(T)[:, :1]
    return fit, of_people(fit, y, time, codes=codes, contrasts=contrast, **given)


def test_cr2_of_concentrated_effects_is_that_of_the_dummies(sites):
    """Pustejovsky and Tipton (2018): dense projections, square roots and all pairs of clusters."""
    y, x, w, site = dense(sites)
    x, y = x * np.sqrt(w)[:, None], y * np.sqrt(w)
    bread = np.linalg.pinv(x.T @ x)
    left = np.eye(len(y)) - x @ bread @ x.T
    residual = left @ y
    variance, p = 0.0, []
    for g in range(SITES):
        here = site == g
        values, vectors = np.linalg.eigh(left[np.ix_(here, here)])
        half = np.where(values > 1e-10, 1 / np.sqrt(np.maximum(values, 1e-10)), 0)
        a = (vectors * half) @ vectors.T
        q = a @ x[here] @ bread[:, -1]
        variance += (q @ residual[here]) ** 2
        p.append(left[:, here] @ q)
    inner = np.array(p) @ np.array(p).T
    _, regression = fitted(sites, "linear")
    root, satterthwaite = regression.cr2()
    assert (root**2).sum() == pytest.approx(variance, rel=1e-9)
    df = np.trace(inner) ** 2 / (inner**2).sum()
    assert satterthwaite(np.ones(1)) == pytest.approx(df, rel=1e-9)
    # A contrast has the degrees of freedom of its direction, whatever its length.
    assert regression.times(np.array([[-3.0]])).cr2()[1](np.array([2.0])) == pytest.approx(df, rel=1e-9)


def test_cr2_is_unbiased_where_errors_are_even(sites):
    """The expected square of the root under independent errors is the true variance; CR0's is below it."""
    y, x, _, site = dense(sites)
    x = x[:, PEOPLE:]
    bread = np.linalg.inv(x.T @ x)
    grams = np.array([x[site == g].T @ x[site == g] for g in range(SITES)])
    left = np.eye(len(y)) - x @ bread @ x.T
    basis = np.array([(x.T * (site == g)) @ left for g in range(SITES)])  # score_g = basis_g @ error
    contrast = np.eye(T)[:, -1:]
    found = sum(cr2(grams, basis[:, :, j], bread, contrast)[0] ** 2 for j in range(len(y))).sum()
    assert found == pytest.approx(bread[-1, -1], rel=1e-9)
    assert ((basis.transpose(0, 2, 1) @ bread[-1]) ** 2).sum() < 0.95 * found


@pytest.mark.parametrize("value", [0.0, -0.4, 1.5])
def test_wild_bootstrap_is_one_regression_a_draw(sites, value):
    """Every sign vector: fit under the hypothesis, change signs by site, fit again, take CR0's t."""
    y, x, w, site = dense(sites)
    x, y = x * np.sqrt(w)[:, None], y * np.sqrt(w)
    by = np.array(list(product([1.0, -1.0], repeat=SITES)))
    slow = slow_t(y, x, np.eye(x.shape[1])[-1], value, site, by)
    _, regression = fitted(sites, "linear")
    contrast = regression.contrasts[:, 0]
    fast = wild_t(*regression.under(contrast)(value), contrast, by)
    np.testing.assert_allclose(fast, slow, rtol=1e-7)


def test_poisson_under_a_hypothesis_is_the_model_with_an_offset(sites):
    """Dense Poisson with dummies and the effect held at a value has these scores and this information."""
    y, x, w, site = dense(sites)
    lasting = np.bincount(np.nonzero(sites[3])[0], y)[np.nonzero(sites[3])[0]] > 0
    y, x, w, site = y[lasting], x[lasting], w[lasting], site[lasting]
    x = x[:, x.any(0)]
    fit = glm(x[:, :-1].T, y, family="poisson", weights=w, offset=-0.3 * x[:, -1])
    v = w * fit.mean
    dummies, rest = x[:, :-T], np.column_stack([x[:, -1], x[:, -T:-1]])
    rest = rest - dummies @ np.linalg.solve((dummies.T * v) @ dummies, (dummies.T * v) @ rest)
    _, regression = fitted(sites, "poisson")
    grams, scores, bread = regression.under(regression.contrasts[:, 0])(-0.3)
    for g in range(SITES):
        here = site == g
        np.testing.assert_allclose(grams[g], (rest[here].T * v[here]) @ rest[here], atol=1e-6)
        np.testing.assert_allclose(scores[g], rest[here].T @ (w * (y - fit.mean))[here], atol=1e-6)
    np.testing.assert_allclose(bread @ grams.sum(0), np.eye(T), atol=1e-8)


@pytest.mark.parametrize("family", ["linear", "poisson", "logit"])
def test_rows_under_a_hypothesis(family):
    """``of_rows`` at the estimate itself is the fit; elsewhere the other directions stay at their best."""
    rng = np.random.default_rng(1)
    x = np.vstack([np.ones(60), rng.normal(size=(2, 60))])
    y = (rng.random(60) < 0.5).astype(float) if family == "logit" else rng.poisson(2, 60).astype(float)
    w, codes = rng.uniform(0.5, 2, 60), np.arange(60) % 9
    fit = ols(x, y, w) if family == "linear" else glm(x, y, family=family, weights=w)
    contrast = np.array([0.0, 1, -1])
    r = of_rows(fit, x, y, family=family, weights=w, codes=codes, clusters=9, contrasts=contrast[:, None])
    under = r.under(contrast)
    _, scores, bread = under(float(contrast @ fit.coef))
    np.testing.assert_allclose(scores.sum(0), 0, atol=1e-5)
    np.testing.assert_allclose(scores, r.sums()[1], atol=1e-5)
    np.testing.assert_allclose(bread, fit.bread, rtol=1e-4)
    _, scores, _ = under(1.3)
    free = np.array([[1.0, 0, 0], [0, 1, 1]])
    np.testing.assert_allclose(free @ scores.sum(0), 0, atol=1e-5)
    assert abs(contrast @ scores.sum(0)) > 1


def panel_of(sites, outcome=None):
    site, start, y, time, weights = sites
    return Panel(
        unit=np.arange(PEOPLE),
        periods=pd.RangeIndex(T),
        outcomes={"ae": y if outcome is None else outcome},
        exposure={"ae": time},
        start=start,
        treated=start < T,
        covariates=pd.DataFrame(index=range(PEOPLE)),
        cluster=site,
        weights=weights,
        arm=np.where(start < T, "supported", "control"),
        rate_scale=1.0,
    )


def test_leave_one_out_is_the_dense_jackknife(sites):
    """Draws of least squares without each site (CV3J); clubSandwich's CR3 is the same about the estimate."""
    site, start, y, _, _ = sites
    flat = replace(panel_of(sites), weights=np.ones(PEOPLE), exposure={"ae": np.ones((PEOPLE, T))})
    y, x, _, rows = dense((site, start, y, np.ones((PEOPLE, T)), np.ones(PEOPLE)))
    draws = np.array([np.linalg.lstsq(x[rows != g], y[rows != g], rcond=None)[0][-1] for g in range(SITES)])
    out = leave_one_out(flat, lambda p: twfe(p, outcome="ae", family="linear"))
    difference = out.table.set_index("scale").loc["difference"]
    expected = (SITES - 1) / SITES * ((draws - draws.mean()) ** 2).sum()
    assert difference["std_error"] ** 2 == pytest.approx(expected, rel=1e-9)
    assert out.df == SITES - 1
    # The textbook CR3: residuals multiplied by (I - H_gg)^-1, without a factor.
    bread, whole = np.linalg.pinv(x.T @ x), np.linalg.lstsq(x, y, rcond=None)[0]
    residual = y - x @ whole
    club = 0.0
    for g in range(SITES):
        here = rows == g
        left = np.eye(here.sum()) - x[here] @ bread @ x[here].T
        club += (bread[-1] @ x[here].T @ np.linalg.pinv(left, rcond=1e-9) @ residual[here]) ** 2
    assert ((draws - whole[-1]) ** 2).sum() == pytest.approx(club, rel=1e-7)


def test_leave_one_out_keeps_the_scales_together(sites):
    """Events avoided have the same relative error as the difference, as the person-time is what it was."""
    table = leave_one_out(panel_of(sites), lambda p: twfe(p, outcome="ae", family="linear")).table.set_index(
        "scale"
    )
    t = table["statistic"]
    assert t["events avoided"] == pytest.approx(-t["difference"], rel=1e-9)


def slow_t(y, x, contrast, value, site, by):
    """Fit under the hypothesis, change signs by site, fit again: CR0's t of each draw."""
    free = np.linalg.svd(contrast[None])[2][1:].T
    base = contrast * value / (contrast @ contrast)
    under = base + free @ np.linalg.lstsq(x @ free, y - x @ base, rcond=None)[0]
    inverse, out = np.linalg.pinv(x), []
    for signs in by:
        again = x @ under + signs[site] * (y - x @ under)
        coef = inverse @ again
        psi = contrast @ (inverse * (again - x @ coef))
        out.append((contrast @ coef - value) / np.sqrt((np.bincount(site, psi) ** 2).sum()))
    return np.array(out)


def test_wild_bootstrap_of_an_average_of_effects_by_start_and_period():
    """The average over supported person-time of a regression with an effect for each start and period.

    Weights are those of the estimate; Sun and Abraham's regression with dummies, with full time at risk.
    """
    rng = np.random.default_rng(2)
    site = np.repeat(np.arange(8), [4, 3, 5, 4, 6, 3, 5, 4])
    start = np.array([2, 2, 3, 3, 5, 5, 5, 5])[site]
    y = rng.poisson(3 * rng.gamma(9, 1 / 9, (8, 5))[site]).astype(float)
    n = len(site)
    panel = replace(
        panel_of((site[:PEOPLE], start[:PEOPLE], y[:PEOPLE], y[:PEOPLE], np.ones(PEOPLE))),
        unit=np.arange(n),
        outcomes={"ae": y},
        exposure={"ae": np.ones((n, 5))},
        start=start,
        treated=start < 5,
        covariates=pd.DataFrame(index=range(n)),
        cluster=site,
        weights=np.ones(n),
        arm=np.where(start < 5, "supported", "control"),
    )
    effects = summarise(sun_abraham(panel, outcome="ae")).select([True, False, False])
    assert effects.labels["scale"].tolist() == ["difference"]
    test = wild_bootstrap(effects, seed=1)
    assert "hypothesis imposed (Cameron" in test.method["inference"]

    i, t = np.indices(y.shape).reshape(2, -1)
    cells = [(g, p) for g in (2, 3) for p in range(5) if p != g - 1]
    effect = np.column_stack([(start[i] == g) & (t == p) for g, p in cells])
    x = np.column_stack([effect, i[:, None] == np.arange(n), t[:, None] == np.arange(1, 5)]).astype(float)
    contrast = np.zeros(x.shape[1])
    for j, (g, p) in enumerate(cells):
        contrast[j] = (start == g).sum() * (p >= g)
    contrast /= contrast.sum()
    assert contrast @ np.linalg.pinv(x) @ y.ravel() == pytest.approx(test.estimate)
    by = np.array(list(product([1.0, -1.0], repeat=8)))
    slow = slow_t(y.ravel(), x, contrast, 0.0, site[i], by)
    assert test.statistic == pytest.approx(slow[0])
    assert test.p_value == np.mean(np.abs(slow) >= abs(slow[0]) * (1 - 1e-9))


def test_wild_interval_and_p_value_say_the_same(sites):
    """The p-value falls to 5% at the ends of the interval, and a value is in it or rejected."""
    effects = twfe(panel_of(sites), outcome="ae", family="linear").select([True, False, False])
    regression = effects.regression
    test = wild_bootstrap(effects, seed=1)
    assert test.method["draws"] == 128
    assert test.smallest_p == 2 / 128
    assert test.conf_low < test.estimate < test.conf_high
    assert (test.p_value > 0.05) == (test.conf_low < 0 < test.conf_high)
    contrast = regression.contrasts[:, 0]
    under, by = regression.under(contrast), np.array(list(product([1.0, -1.0], repeat=SITES)))
    for end, side in ((test.conf_low, -1), (test.conf_high, 1)):
        p = []
        for value in (end, end + side * 0.002 * effects.std_error[0]):
            t = wild_t(*under(value), contrast, by)
            p.append(np.mean(np.abs(t) >= abs(t[0]) * (1 - 1e-9)))
        assert p[0] > 0.05 >= p[1]
