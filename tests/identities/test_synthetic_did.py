"""Equalities of synthetic difference-in-differences, each under the conditions that make it hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from impact.data.panel import Panel
from impact.did.synthetic_did import many, synthetic_did
from impact.did.two_by_two import two_by_two
from impact.errors import DesignError
from impact.numbers.simplex import Problems, frank_wolfe, minimum

few = settings(max_examples=4, deadline=None)
seeds = st.integers(0, 10_000)
WEIGHTINGS = ["synthetic_did", "synthetic_control", "did"]


def draw(
    seed: int, n: int = 14, periods: int = 7, starts: tuple[int, ...] = (4,), even: bool = True
) -> Panel:
    rng = np.random.default_rng(seed)
    start = np.full(n, periods)
    start[: 2 * len(starts)] = starts * 2
    time = np.full((n, periods), 2.0) if even else rng.uniform(0.3, 1.5, (n, periods))
    rate = 9 * rng.gamma(4, 0.25, (n, 1)) * np.where(np.arange(periods) >= start[:, None], 0.7, 1.0)
    return Panel(
        unit=np.arange(n),
        periods=pd.RangeIndex(periods),
        outcomes={name: rng.poisson(rate * time).astype(float) for name in ("gp", "ae")},
        exposure={"gp": time, "ae": time},
        start=start,
        treated=start < periods,
        covariates=pd.DataFrame(index=range(n)),
        cluster=np.arange(n),
        weights=np.ones(n),
        arm=np.where(start < periods, "supported", "control"),
        rate_scale=1.0,
    )


def estimate(panel: Panel, weighting: str = "synthetic_did"):
    # The jackknife keeps weights, and a synthetic control may be a single unit, without which it has none.
    inference = "placebo" if weighting == "synthetic_control" else "jackknife"
    return synthetic_did(panel, outcome="gp", weighting=weighting, inference=inference, draws=2)


@few
@given(seeds, st.booleans())
def test_equal_weights_are_two_by_two(seed, weighted):
    """Constant time at risk; with matching weights too."""
    panel = draw(seed)
    if weighted:
        panel = replace(panel, weights=np.random.default_rng(seed).uniform(0.5, 2, panel.n))
    a = estimate(panel, "did")
    b = two_by_two(panel, outcome="gp", family="linear", effects="person")
    assert a.table["scale"].tolist() == b.table["scale"].tolist()
    np.testing.assert_allclose(a.estimate, b.estimate, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@few
@given(seed=seeds, size=st.floats(0.5, 50))
def test_an_effect_of_every_person_or_period_moves_nothing(weighting, seed, size):
    """Constant time at risk; the synthetic control meets levels, so no effects of persons there.

    The penalty is in proportion to the variance of changes before support, about one mean: a common trend
    leaves it alone, but an effect of single periods before support is taken for noise (as published).
    """
    panel, rng = draw(seed), np.random.default_rng(seed)
    added = size * np.where(np.arange(7) < 4, np.arange(7), rng.normal(size=7))[None]
    if weighting == "did":
        added = size * rng.normal(size=(1, 7))
    if weighting != "synthetic_control":
        added = added + size * rng.normal(size=(panel.n, 1))
    moved = replace(panel, outcomes={"gp": panel.outcomes["gp"] + 2.0 * added})
    a, b = estimate(panel, weighting), estimate(moved, weighting)
    assert a.estimate[0] == pytest.approx(b.estimate[0], abs=1e-6)
    assert a.std_error[0] == pytest.approx(b.std_error[0], abs=1e-6)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@few
@given(seed=seeds, factor=st.floats(0.01, 100))
def test_the_unit_of_the_outcome_is_the_unit_of_the_effect(weighting, seed, factor):
    panel = draw(seed, even=False)
    scaled = replace(panel, outcomes={"gp": factor * panel.outcomes["gp"]})
    a, b = estimate(panel, weighting), estimate(scaled, weighting)
    by = np.where(a.labels["scale"] == "log ratio", 1.0, factor)
    np.testing.assert_allclose(b.estimate, by * a.estimate, rtol=1e-6, atol=1e-6 * factor)
    np.testing.assert_allclose(b.std_error, by * a.std_error, rtol=1e-6, atol=1e-6 * factor)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@few
@given(seed=seeds, factor=st.floats(0.1, 10))
def test_order_of_people_and_unit_of_weights_move_nothing(weighting, seed, factor):
    panel = draw(seed, starts=(3, 5), even=False)
    panel = replace(panel, weights=np.random.default_rng(seed).uniform(0.5, 2, panel.n))
    other = panel.subset(np.random.default_rng(seed).permutation(panel.n))
    other = replace(other, weights=factor * other.weights)
    a, b = (estimate(p, weighting).select([True, True, False]) for p in (panel, other))
    np.testing.assert_allclose(a.estimate, b.estimate, rtol=1e-6, atol=1e-6)
    if weighting != "synthetic_control":  # there, another order means other placebos
        np.testing.assert_allclose(a.std_error, b.std_error, rtol=1e-6, atol=1e-6)


@few
@given(seeds)
def test_several_starts_are_averaged_by_person_time(seed):
    panel = draw(seed, starts=(3, 5), even=False)
    whole = estimate(panel).estimate
    parts = [estimate(panel.subset((panel.start == g) | (panel.start == 7))) for g in (3, 5)]
    assert whole[2] == pytest.approx(sum(part.estimate[2] for part in parts), rel=1e-9)


@pytest.mark.parametrize("inference", ["placebo", "jackknife", "bootstrap"])
def test_several_outcomes_are_one_joint_result(inference):
    panel = draw(3)
    panel = replace(
        panel,
        outcomes={**panel.outcomes, "twice": 2 * panel.outcomes["gp"]},
        exposure={**panel.exposure, "twice": panel.exposure["gp"]},
    )
    joint = synthetic_did(panel, outcome=["gp", "ae", "twice"], inference=inference, draws=25)
    for name in ("gp", "ae", "twice"):
        alone = synthetic_did(panel, outcome=name, inference=inference, draws=25)
        mine = joint.select(joint.labels["outcome"] == name)
        np.testing.assert_allclose(mine.estimate, alone.estimate, rtol=1e-12)
        np.testing.assert_allclose(mine.std_error, alone.std_error, rtol=1e-9)
    of = np.linalg.norm(joint.root[:, [0, 6]], axis=0)
    assert joint.vcov[0, 6] == pytest.approx(of.prod(), rel=1e-6)


def plain(gram, pull, ridge, w, enough):
    """The published search for one problem, by the sum itself and not by its changes."""
    gram = gram + np.diag(ridge)

    def value(w):
        return w @ gram @ w - 2 * pull @ w

    for steps in (100, 10_000):
        for step in range(steps):
            slope = gram @ w - pull
            way = np.eye(len(w))[slope.argmin()] - w
            before, curve = value(w), way @ gram @ way
            w = w + (np.clip(-(slope @ way) / curve, 0, 1) if curve > 0 else 0) * way
            if step and before - value(w) <= enough:
                break
        if steps == 100:
            w = np.where(w <= w.max() / 4, 0, w)
            w /= w.sum()
    return w


@few
@given(seeds)
def test_the_search_is_its_plain_twin(seed):
    """Problems that share a Gram matrix, or do not, with barred columns, are solved as each by itself."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(9, 6)), rng.normal(size=(4, 9))
    allowed = rng.random((4, 6)) < 0.7
    allowed[:, :2] = True
    ridge, enough = rng.uniform(0, 2, (4, 6)), np.full(4, 1e-5)
    start = allowed / allowed.sum(1, keepdims=True)
    shared = frank_wolfe(Problems(x.T @ x, y @ x, ridge, allowed, start, enough))
    own = frank_wolfe(Problems(np.stack([x.T @ x] * 4), y @ x, ridge, allowed, start, enough))
    np.testing.assert_array_equal(shared, own)
    np.testing.assert_allclose(shared.sum(1), 1, rtol=1e-12)
    for b, keep in enumerate(allowed):
        some = x[:, keep]
        twin = plain(some.T @ some, y[b] @ some, ridge[b, keep], start[b, keep], 1e-5)
        np.testing.assert_allclose(shared[b, keep], twin, atol=1e-8)
        assert not shared[b, ~keep].any()


@few
@given(seeds)
def test_a_search_that_is_not_stopped_ends_at_the_minimum(seed):
    rng = np.random.default_rng(seed)
    x, y, every = rng.normal(size=(12, 5)), rng.normal(size=12), np.ones((1, 5), bool)
    ridge = np.full((1, 5), 0.5)
    w = frank_wolfe(Problems(x.T @ x, (y @ x)[None], ridge, every, every / 5, np.zeros(1)))[0]
    stacked = np.vstack([x - y[:, None], np.sqrt(0.5) * np.eye(5), np.ones(5)])
    z, _ = nnls(stacked, np.append(np.zeros(17), 1.0))
    z /= z.sum()
    lowest, found = ((x @ v - y) @ (x @ v - y) + 0.5 * v @ v for v in (z, w))
    assert found == pytest.approx(lowest, rel=1e-3)
    assert found >= lowest - 1e-9


def draw_problems(seed: int, count: int = 6, columns: int = 7) -> Problems:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(count, 12, columns)), rng.normal(size=(count, 12))
    allowed = rng.random((count, columns)) < 0.8
    allowed[:, :2] = True
    gram, pull = np.einsum("bij,bik->bjk", x, x), np.einsum("bi,bij->bj", y, x)
    ridge = rng.uniform(0, 2, (count, columns)) * (rng.random((count, 1)) < 0.5)
    begin = allowed / allowed.sum(1, keepdims=True)
    return Problems(gram, pull, ridge, allowed, begin, np.full(count, 1e-6))


@few
@given(seeds)
def test_the_exact_minimum_is_that_of_another_method(seed):
    """On the simplex |Cw|^2 is least, up to its sum, where |Cz|^2 + (sum(z) - 1)^2 is, over all z >= 0."""
    problems = draw_problems(seed)
    weights, found = minimum(problems)
    assert found.all()
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-9)
    for b, keep in enumerate(problems.allowed):
        p = int(keep.sum())
        gram = problems.gram[b][np.ix_(keep, keep)] + np.diag(problems.ridge[b, keep])
        # Weights sum to 1, so that the pull is a part of a square, with a constant that keeps it one.
        pull = problems.pull[b, keep]
        whole = gram - pull[:, None] - pull[None] + 1e3
        z, _ = nnls(np.vstack([np.linalg.cholesky(whole).T / 50, np.ones(p)]), np.append(np.zeros(p), 1.0))
        np.testing.assert_allclose(weights[b, keep], z / z.sum(), atol=1e-8)
        assert not weights[b, ~keep].any()


@few
@given(seeds)
def test_problems_of_other_widths_are_solved_together_as_each_by_itself(seed):
    several = [draw_problems(seed + columns, 3, columns) for columns in (4, 7, 5)]
    for solve in (frank_wolfe, lambda problems: minimum(problems)[0]):
        together = solve(Problems.joined(several))
        for k, problems in enumerate(several):
            own = together[3 * k : 3 * k + 3]
            width = problems.pull.shape[1]
            np.testing.assert_allclose(own[:, :width], solve(problems), atol=1e-9)
            assert not own[:, width:].any()


def test_a_minimum_that_is_not_one_point_is_not_found():
    """Two equal columns: any share of them is as good."""
    every = np.ones((1, 2), bool)
    weights, found = minimum(
        Problems(np.ones((2, 2)), np.ones((1, 2)), 0.0 * every, every, every / 2, every[:, 0])
    )
    assert not found.any()
    assert not weights.any()


@few
@given(seeds)
def test_many_panels_are_analysed_as_each_by_itself(seed):
    panels = [draw(seed + k, starts=starts) for k, starts in enumerate([(4,), (3, 5), (4, 5), (4,)])]
    panels[2] = replace(panels[2], clock="event")
    together = list(many(panels, outcome=["gp", "ae"], draws=5))
    assert isinstance(together.pop(2), DesignError)
    for panel, out in zip([*panels[:2], panels[3]], together, strict=True):
        alone = synthetic_did(panel, outcome=["gp", "ae"], draws=5)
        np.testing.assert_allclose(out.estimate, alone.estimate, rtol=1e-9)
        np.testing.assert_allclose(out.root, alone.root, rtol=1e-7, atol=1e-9)
        assert out.method == alone.method
