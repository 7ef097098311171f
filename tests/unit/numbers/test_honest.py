"""Bounds against slow, plain twins that know none of the shortcuts."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import linprog, minimize
from scipy.stats import norm, truncnorm

from impact.numbers.honest import RelativeMagnitudes, Smoothness, _folded, breakdown


def study(before: int, after: int, seed: int = 0, clusters: int = 150):
    """Effects from a base period, correlated through it and over time."""
    rng = np.random.default_rng(seed)
    rows = 0.3 * rng.normal(size=(clusters, before + after + 1)).cumsum(1)
    rows += rng.normal(size=rows.shape)
    rows = np.delete(rows - rows[:, [before]], before, axis=1)
    vcov = np.cov(rows.T) / clusters
    beta = np.concatenate([np.zeros(before), -0.5 * np.ones(after)])
    return rng.multivariate_normal(beta, vcov), vcov


def moments(before: int, after: int, m_bar: float, s: int, sign: int):
    """``A @ delta <= 0``: steps after the base are at most m_bar times step s before it."""
    steps = np.diff(np.insert(np.eye(before + after), before, 0, axis=0), axis=0)
    later, largest = steps[before:], sign * steps[s]
    return np.vstack([later - m_bar * largest, -later - m_bar * largest])


def dual_vertices(a, vcov, before, weights):
    """Every vertex of {g >= 0, g @ nuisance = 0, g @ sd = 1}, by trying every basis."""
    effects = a[:, before:]
    nuisance = effects @ np.linalg.svd(weights[None])[2][1:].T
    sd = np.sqrt(np.diag(a @ vcov @ a.T))
    equations = np.vstack([nuisance.T, sd])
    right = np.append(np.zeros(len(equations) - 1), 1.0)
    out = []
    for basis in combinations(range(len(a)), len(equations)):
        inside = equations[:, basis]
        if abs(np.linalg.det(inside)) > 1e-12:
            g = np.zeros(len(a))
            g[list(basis)] = np.linalg.solve(inside, right)
            if g.min() > -1e-9:
                out.append(g)
    return np.unique(np.round(out, 12), axis=0), nuisance, sd


def plain_test(y, vcov, vertices, critical, alpha):
    """The hybrid test of Andrews, Roth and Pakes, written out for one value."""
    rest = (alpha - alpha / 10) / (1 - alpha / 10)
    values = vertices @ y
    best = vertices[values.argmax()]
    value, var = values.max(), best @ vcov @ best
    if value > critical:
        return False
    # Where would the best vertex still be the best, moving along its own direction?
    direction, low, high = vcov @ best / var, -np.inf, critical
    fixed = y - direction * value
    for g in vertices:
        pull = 1 - g @ direction
        if abs(pull) > 1e-8:
            cut = g @ fixed / pull
            low, high = (max(low, cut), high) if pull > 0 else (low, min(high, cut))
    sd = np.sqrt(var)
    return value <= max(0.0, sd * truncnorm.ppf(1 - rest, low / sd, high / sd))


@pytest.mark.parametrize(
    ("before", "weights", "m_bar", "seed"),
    [(2, [1.0], 1.0, 0), (2, [1, 0], 0.5, 1), (3, [0.5, 0.5], 1.5, 2), (2, [0, 0.4, 0.6], 1.0, 3)],
)
def test_relative_magnitudes_equal_a_dense_grid(before, weights, m_bar, seed):
    weights = np.asarray(weights, float)
    beta, vcov = study(before, len(weights), seed)
    low, high = RelativeMagnitudes(beta, vcov, before, weights).interval(m_bar)
    grid, accepted = np.linspace(low - 0.2, high + 0.2, 241), np.zeros(241, bool)
    target = np.linalg.pinv(weights[None])[:, 0]
    rng = np.random.default_rng(seed)
    for s in range(before):
        for sign in (1, -1):
            a = moments(before, len(weights), m_bar, s, sign)
            vertices, _, _ = dual_vertices(a, vcov, before, weights)
            joint = a @ vcov @ a.T
            draws = rng.multivariate_normal(np.zeros(len(a)), joint, 200_000, method="eigh")
            critical = np.quantile((draws @ vertices.T).max(1), 1 - 0.005)
            for i, effect in enumerate(grid):
                y = a @ beta - a[:, before:] @ target * effect
                accepted[i] |= plain_test(y, joint, vertices, critical, 0.05)
    step = grid[1] - grid[0]
    error = np.sqrt(weights @ vcov[before:, before:] @ weights)
    # The ends lie within a step of the grid; the twin's critical value is drawn, which moves them a little.
    assert abs(grid[accepted].min() - low) < step + 0.01 * error
    assert abs(grid[accepted].max() - high) < step + 0.01 * error


@pytest.mark.parametrize("weights", [[1, 0, 0, 0], [0.25] * 4, [0, 0, 1, 0], [0, 0.5, 0, 0.5]])
def test_statistic_equals_the_linear_programme(weights):
    weights, before, m_bar = np.asarray(weights, float), 3, 0.8
    beta, vcov = study(before, 4, 5)
    rng = np.random.default_rng(6)
    mine = RelativeMagnitudes(beta, vcov, before, weights)
    for s, sign in [(0, 1), (2, -1)]:
        a = moments(before, 4, m_bar, s, sign)
        _, nuisance, sd = dual_vertices(a, vcov, before, weights)
        square = mine.var_after + m_bar**2 * mine.var_v[:, None]
        rise, fall = (
            np.sqrt(square - 2 * m_bar * mine.cov_after),
            np.sqrt(square + 2 * m_bar * mine.cov_after),
        )
        vertices = mine._vertices(m_bar, rise, fall)[s + before * (sign < 0)]
        for _ in range(40):
            delta = rng.multivariate_normal(np.zeros(7), vcov)
            problem = linprog(
                np.eye(1, 1 + nuisance.shape[1])[0],
                A_ub=-np.column_stack([sd, nuisance]),
                b_ub=-(a @ delta),
                bounds=(None, None),
            )
            largest = sign * np.diff(np.append(delta[:before], 0))[s]
            value = (vertices @ [weights @ delta[before:], largest]).max()
            assert value == pytest.approx(problem.fun, abs=1e-9)


def test_no_change_allowed_is_the_ordinary_interval():
    beta, vcov = study(4, 3)
    weights = np.full(3, 1 / 3)
    error = np.sqrt(weights @ vcov[4:, 4:] @ weights)
    expected = weights @ beta[4:] + norm.ppf([0.05, 0.95]) * error
    found = RelativeMagnitudes(beta, vcov, 4, weights, 0.9).interval(0.0)
    np.testing.assert_allclose(found, expected, atol=1e-5 * error)


def test_least_favourable_value_equals_a_simulation():
    from impact.numbers.honest import _least_favourable

    beta, vcov = study(1, 3, 4)
    mine = RelativeMagnitudes(beta, vcov, 1, np.full(3, 1 / 3))
    a = moments(1, 3, 1.0, 0, 1)
    vertices, _, _ = dual_vertices(a, vcov, 1, np.full(3, 1 / 3))
    draws = np.random.default_rng(0).multivariate_normal(np.zeros(6), a @ vcov @ a.T, 400_000, method="eigh")
    square = mine.var_after + mine.var_v[:, None]
    both = _least_favourable(
        mine._vertices(1.0, np.sqrt(square - 2 * mine.cov_after), np.sqrt(square + 2 * mine.cov_after)),
        mine.joint,
        0.05,
    )
    assert both[0] == pytest.approx(np.quantile((draws @ vertices.T).max(1), 0.95), abs=0.01)


def half_length(mine, m, c):
    """Half the length of the interval with weights c on changes of slope, and its slopes by them."""
    bias, error = m * (mine.given + np.abs(c).sum()), np.linalg.norm(mine.offset + mine.design @ c)
    critical = _folded(bias / error, 0.05)
    by_bias = np.tanh(critical * bias / error)
    by_error = critical - by_bias * bias / error
    return error * critical, m * by_bias, by_error * mine.design.T @ (mine.offset + mine.design @ c) / error


@pytest.mark.parametrize("m", [0.0, 0.002, 0.02, 0.2])
@pytest.mark.parametrize(("before", "after", "clusters"), [(1, 2, 9), (2, 1, 9), (36, 12, 150), (48, 24, 90)])
def test_no_weight_can_be_moved_to_shorten_the_interval(before, after, clusters, m):
    """The length is convex in the weights, so the shortest is where no small move shortens it."""
    mine = Smoothness(*study(before, after, before, clusters), before, np.full(after, 1 / after))
    c = mine._at(mine._best(m))
    _, by_size, by_error = half_length(mine, m, c)
    moved = np.abs(c) > 1e-9
    size = np.abs(half_length(mine, m, np.zeros(before - 1))[2]).max(initial=0)
    np.testing.assert_allclose(by_error[moved], -by_size * np.sign(c[moved]), atol=1e-8 * size)
    assert (np.abs(by_error) <= by_size + 1e-8 * size).all()


@pytest.mark.parametrize("m", [0.0, 0.002, 0.02, 0.2])
def test_no_shorter_interval_of_fixed_length(m):
    mine = Smoothness(*study(6, 4, 6), 6, np.full(4, 0.25))
    low, high = mine.interval(m)

    def length(parts):
        value, by_size, by_error = half_length(mine, m, parts[:5] - parts[5:])
        return value, np.concatenate([by_size + by_error, by_size - by_error])

    start = np.abs(np.random.default_rng(1).normal(size=10))
    options = {"maxiter": 20_000, "maxfun": 50_000, "ftol": 1e-15, "gtol": 1e-12}
    found = minimize(length, start, jac=True, bounds=[(0, None)] * 10, method="L-BFGS-B", options=options)
    # The general optimiser stops a little early.
    assert -1e-9 < found.fun / ((high - low) / 2) - 1 < 1e-4


def test_worst_bias_equals_a_linear_programme():
    before, after, m = 5, 3, 0.03
    beta, vcov = study(before, after, 2)
    mine = Smoothness(beta, vcov, before, np.array([0.2, 0.3, 0.5]))
    c = mine._at(mine._best(m))
    weights = mine.base + mine.free @ c
    second = np.diff(np.insert(np.eye(8), before, 0, axis=0), n=2, axis=0)
    worst = linprog(-weights, A_ub=np.vstack([second, -second]), b_ub=np.full(14, m), bounds=(None, None))
    assert mine._bias_and_error(m, c)[0] == pytest.approx(-worst.fun, rel=1e-9)
    assert mine._bias_and_error(m, c)[1] == pytest.approx(np.sqrt(weights @ vcov @ weights), rel=1e-9)


def test_straight_line_is_taken_out():
    """At m = 0 the interval is that of generalised least squares on a line before the base."""
    beta, vcov = study(6, 1, 3)
    weights = np.array([1.0])
    x = np.append(np.arange(-6, 0), 1.0)[:, None]
    x = np.column_stack([x, np.eye(7)[:, 6]])
    inverse = np.linalg.inv(vcov)
    bread = np.linalg.inv(x.T @ inverse @ x)
    estimate, error = (bread @ x.T @ inverse @ beta)[1], np.sqrt(bread[1, 1])
    found = Smoothness(beta, vcov, 6, weights).interval(0.0)
    np.testing.assert_allclose(found, estimate + norm.ppf([0.025, 0.975]) * error, rtol=1e-9)
    tilted = beta + 0.7 * np.append(np.arange(-6, 0), 1)
    np.testing.assert_allclose(
        Smoothness(tilted, vcov, 6, weights).interval(0.1),
        Smoothness(beta, vcov, 6, weights).interval(0.1),
        rtol=1e-9,
    )


@pytest.mark.parametrize("method", [RelativeMagnitudes, Smoothness])
def test_wider_limits_wider_intervals(method):
    beta, vcov = study(12, 6)
    bounds = method(beta, vcov, 12, np.full(6, 1 / 6))
    ends = np.array([bounds.interval(limit) for limit in np.linspace(0, 2, 15)])
    assert (np.diff(ends[:, 1] - ends[:, 0]) > 0).all()


@pytest.mark.parametrize("method", [RelativeMagnitudes, Smoothness])
def test_units_and_sign(method):
    beta, vcov = study(8, 3)
    weights = np.eye(3)[1]
    limit = 0.05
    low, high = method(beta, vcov, 8, weights).interval(limit)
    unit = 12.0
    same = limit if method is RelativeMagnitudes else unit * limit
    larger = method(unit * beta, unit**2 * vcov, 8, weights).interval(same)
    np.testing.assert_allclose(larger, [unit * low, unit * high], rtol=1e-6)
    turned = method(-beta, vcov, 8, weights).interval(limit)
    np.testing.assert_allclose(turned, [-high, -low], rtol=1e-6)


def test_breakdown_is_where_the_interval_reaches_zero():
    beta, vcov = study(36, 12)
    for bounds, start in [
        (RelativeMagnitudes(beta, vcov, 36, np.eye(12)[0]), 1.0),
        (Smoothness(beta, vcov, 36, np.eye(12)[0]), 0.1),
    ]:
        largest = breakdown(bounds.interval, start)
        assert bounds.interval(0.99 * largest)[1] < 0 < bounds.interval(1.01 * largest)[1]


def test_breakdown_missing_or_without_end():
    assert np.isnan(breakdown(lambda m: (-1.0, 1.0), 1.0))
    assert breakdown(lambda m: (1.0, 2.0), 1.0) == np.inf


def test_quick_with_three_years_of_months():
    """36 months before and 24 after: 72 candidates for the largest step, none of them left out."""
    import time

    beta, vcov = study(36, 24, clusters=400)
    best = np.inf
    for _ in range(3):
        began = time.perf_counter()
        bounds = RelativeMagnitudes(beta, vcov, 36, np.full(24, 1 / 24))
        bounds.interval(1.0)
        best = min(best, time.perf_counter() - began)
    assert len(bounds.v) == 72
    assert best < 1.0
