"""Concentrated person effects against a plain twin, which writes every dummy out."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from impact.errors import DesignError
from impact.numbers.within import fixed_effects

SIZES, PERIODS, P = (14, 9, 17), 5, 2
EDGES = np.append(0, np.cumsum(SIZES))
GROUP = np.repeat(range(3), SIZES)


def problem(seed, *, varied=False, covariates=False, varying=False, effects="person", holes=0.15):
    """An awkward panel: three groups, holes, weights, and whatever else is asked for."""
    rng = np.random.default_rng(seed)
    n = EDGES[-1]
    time = rng.uniform(0.4, 2, (n, PERIODS)) * (rng.random((n, PERIODS)) >= holes)
    event = np.arange(PERIODS) - np.array([2, 3, PERIODS])[:, None]
    support = event >= 0
    cells = np.where(support, np.cumsum(support).reshape(support.shape), 0)[..., None] == range(1, 6)
    periods = np.broadcast_to(np.eye(PERIODS)[:, 1:], (3, PERIODS, PERIODS - 1))
    base = np.concatenate([cells, periods], axis=2)
    if effects == "none":
        groups = np.broadcast_to(np.eye(3)[:, None], (3, PERIODS, 3))
        base = np.concatenate([base, groups], axis=2)
    z = np.column_stack([np.ones(n), rng.normal(size=(n, P))]) if covariates else None
    design = base
    if covariates:
        # Each covariate enters by period, and the first by support as well, with groups' own numbers.
        extra = np.concatenate([rng.normal(1, 0.3, (3, 1, 1)) * support[..., None], periods], axis=2)
        k = extra.shape[2]
        design = np.zeros((3, 1 + P, PERIODS, base.shape[2] + P * k))
        design[:, 0, :, : base.shape[2]] = base
        for m in range(P):
            at = base.shape[2] + m * k
            design[:, 1 + m, :, at : at + k] = extra
    x = rng.normal(size=(2, n, PERIODS)) if varying else None
    rate = rng.gamma(2, 1.5, (n, 1)) * np.exp(0.1 * np.arange(PERIODS))
    y = rng.poisson(rate * time) + 1.0 * (time > 0)
    weights = rng.uniform(0.5, 2, (n, PERIODS) if varied else n)
    return y, time, {"weights": weights, "design": design, "covariates": z, "varying": x, "effects": effects}


def twin(y, time, family, *, weights, design, covariates, varying, effects):
    """Coefficients, and each person's influence on them, from the model with every dummy written out."""
    design = design[:, None] if design.ndim == 3 else design
    z = np.ones((len(y), 1)) if covariates is None else covariates
    rows = np.einsum("im,imtk->itk", z, design[GROUP])
    if varying is not None:
        rows = np.concatenate([rows, varying.transpose(1, 2, 0)], axis=2)
    k, seen = rows.shape[2], time > 0
    person = np.nonzero(seen)[0]
    w = np.broadcast_to(weights if weights.ndim == 2 else weights[:, None], y.shape)[seen]
    x, y, time = rows[seen], y[seen], time[seen]
    if effects == "person":
        x = np.column_stack([x, person[:, None] == np.unique(person)])
    if family == "linear":
        fit = sm.WLS(y, x, weights=w).fit()
        hessian = (x * w[:, None]).T @ x
    else:
        model = sm.GLM(y, x, family=sm.families.Poisson(), offset=np.log(time), freq_weights=w)
        fit = model.fit(tol=1e-14, maxiter=200)
        hessian = (x * (w * fit.fittedvalues)[:, None]).T @ x
    score = (w * (y - fit.fittedvalues))[:, None] * x
    influence = np.zeros((EDGES[-1], k))
    np.add.at(influence, person, (score @ np.linalg.inv(hessian))[:, :k])
    return fit.params[:k], influence


CASES = [
    {},
    {"varied": True},
    {"covariates": True},
    {"varying": True},
    {"varied": True, "covariates": True, "varying": True},
    {"effects": "none"},
    {"effects": "none", "varied": True, "covariates": True, "varying": True},
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join(map(str, c)) or "plain")
@pytest.mark.parametrize("family", ["linear", "poisson"])
def test_equals_the_plain_twin(family, case):
    y, time, model = problem(3, **case)
    if family == "linear":
        y = y + np.random.default_rng(1).normal(size=y.shape)
    fit = fixed_effects(y, time, family=family, edges=EDGES, **model)
    coef, influence = twin(y, time, family, **model)
    np.testing.assert_allclose(fit.coef, coef, rtol=1e-8, atol=1e-8)
    everyone = slice(0, len(y))
    np.testing.assert_allclose(fit.influence(everyone, np.eye(len(coef))), influence, rtol=1e-8, atol=1e-8)
    some = fit.influence(slice(10, 30), np.eye(len(coef))[:, [1, 4]])
    np.testing.assert_allclose(some, influence[10:30, [1, 4]], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("family", ["linear", "poisson"])
def test_persons_are_what_the_twin_calls_their_effect(family):
    y, time, model = problem(5, covariates=True)
    fit = fixed_effects(y, time, family=family, edges=EDGES, **model)
    z, design = model["covariates"], model["design"]
    eta = np.einsum("im,imtk,k->it", z, design[GROUP], fit.coef)
    fitted = eta + fit.person[:, None] if family == "linear" else time * np.exp(eta) * fit.person[:, None]
    weights = model["weights"][:, None] * (time > 0)
    np.testing.assert_allclose((weights * (y - fitted)).sum(1), 0, atol=1e-8)
    np.testing.assert_allclose(fit.score, weights * (y - fitted), atol=1e-8)


@pytest.mark.parametrize("family", ["linear", "poisson"])
def test_what_each_cluster_adds(family):
    y, time, model = problem(4, covariates=True, varying=True)
    fit = fixed_effects(y, time, family=family, edges=EDGES, **model)
    codes = np.random.default_rng(0).integers(0, 6, len(y))
    grams, scores = fit.by_cluster(codes, 7)
    k = len(fit.coef)
    np.testing.assert_allclose(grams.sum(0) @ fit.bread, np.eye(k), atol=1e-8)
    influence = fit.influence(slice(0, len(y)), np.eye(k))
    sums = np.array([influence[codes == c].sum(0) for c in range(7)])
    np.testing.assert_allclose(scores @ fit.bread, sums, atol=1e-10)
    assert not grams[6].any()
    # One cluster's people by themselves, by the definition.
    z, design, here = model["covariates"], model["design"], codes == 2
    x = np.einsum("im,imtk->itk", z, design[GROUP])
    x = np.concatenate([x, model["varying"].transpose(1, 2, 0)], axis=2)[here]
    v = fit.mean[here][..., None]
    within = x - (v * x).sum(1, keepdims=True) / v.sum(1, keepdims=True)
    np.testing.assert_allclose(grams[2], np.einsum("itk,itj->kj", v * within, within), atol=1e-8)


def test_people_beyond_one_piece_of_the_cache(monkeypatch):
    y, time, model = problem(6, covariates=True)
    whole = fixed_effects(y, time, family="poisson", edges=EDGES, **model)
    monkeypatch.setattr("impact.numbers.within._PIECE", 4)
    pieces = fixed_effects(y, time, family="poisson", edges=EDGES, **model)
    np.testing.assert_allclose(pieces.coef, whole.coef, rtol=1e-10)
    by = np.eye(len(whole.coef))
    rows = slice(3, 33)
    np.testing.assert_allclose(pieces.influence(rows, by), whole.influence(rows, by), atol=1e-12)


@pytest.mark.parametrize("family", ["linear", "poisson"])
def test_units_do_not_decide_whether_effects_can_be_told_apart(family):
    y, time, model = problem(7)
    scale = 10.0 ** np.linspace(-6, 6, model["design"].shape[2])
    fit = fixed_effects(y, time, family=family, edges=EDGES, **model)
    scaled = fixed_effects(y, time, family=family, edges=EDGES, **model | {"design": model["design"] * scale})
    np.testing.assert_allclose(scaled.coef * scale, fit.coef, rtol=1e-6)
    twice = np.concatenate([model["design"], model["design"][..., :1]], axis=2)
    with pytest.raises(DesignError, match="cannot be told apart"):
        fixed_effects(y, time, family=family, edges=EDGES, **model | {"design": twice})


@pytest.mark.parametrize("family", ["linear", "poisson"])
@pytest.mark.parametrize("effects", ["person", "none"])
def test_spare_regressors_that_add_nothing_are_left_out(family, effects):
    y, time, model = problem(9, effects=effects, varying=True)
    design, k = model["design"], model["design"].shape[2]
    fit = fixed_effects(y, time, family=family, edges=EDGES, **model)
    rng = np.random.default_rng(2)
    doubled = np.concatenate([design, design @ rng.normal(size=(k, 3))], axis=2)
    spare = np.arange(k + 3) >= k
    more = model | {"design": doubled, "spare": spare}
    with_them = fixed_effects(y, time, family=family, edges=EDGES, **more)
    kept = np.append(~spare, [True, True])
    np.testing.assert_allclose(with_them.coef[kept], fit.coef, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(with_them.bread[np.ix_(kept, kept)], fit.bread, rtol=1e-6)
    assert not with_them.coef[~kept].any()
    assert not with_them.bread[~kept].any()
    # A spare regressor that does add something stays.
    useful = fixed_effects(y, time, family=family, edges=EDGES, **model | {"spare": np.arange(k) == 0})
    np.testing.assert_allclose(useful.coef, fit.coef, rtol=1e-8)


def test_counts_far_from_one_find_their_way_without_person_effects():
    y, time, model = problem(8, effects="none", covariates=True)
    fit = fixed_effects(1e6 * y, time, family="poisson", edges=EDGES, **model)
    same = fixed_effects(y, time, family="poisson", edges=EDGES, **model)
    np.testing.assert_allclose(fit.coef[:5], same.coef[:5], rtol=1e-6)


def test_person_effects_ignore_people_and_periods_that_say_nothing():
    rng = np.random.default_rng(3)
    edges = np.array([0, 30, 60])
    design = np.zeros((2, 4, 4))
    design[:, 1:, :3] = np.eye(3)
    design[1, 2:, 3] = 1
    time = rng.uniform(0.5, 1.5, (60, 4))
    y = rng.poisson(2 * time).astype(float)
    kwargs = {"family": "poisson", "design": design, "edges": edges}
    full = fixed_effects(y, time, weights=np.ones(60), **kwargs)
    # A person without events, and one at risk in a single period, are spread over nothing.
    time[0], y[0] = 1.0, 0.0
    time[1, 1:], y[1, 1:] = 0.0, 0.0
    same = fixed_effects(y, time, weights=np.ones(60), **kwargs)
    keep = np.ones(60, bool)
    keep[:2] = False
    fewer = fixed_effects(
        y[keep], time[keep], weights=np.ones(58), family="poisson", design=design, edges=edges - [0, 2, 2]
    )
    np.testing.assert_allclose(same.coef, fewer.coef, rtol=1e-9)
    np.testing.assert_allclose(same.bread, fewer.bread, rtol=1e-9)
    assert not np.allclose(full.coef, fewer.coef)
    with pytest.raises(DesignError, match=r"no finite solution|cannot be told apart"):
        fixed_effects(y * (np.arange(4) != 2), time, weights=np.ones(60), **kwargs)


@pytest.mark.parametrize("effects", ["person", "none"])
def test_spare_regressors_without_a_finite_coefficient_are_left_out(effects):
    """Nothing happens where this regressor is one, so that its coefficient would be minus infinity."""
    y, time, model = problem(10, effects=effects)
    design, k = model["design"], model["design"].shape[2]
    quiet = np.zeros((len(y), PERIODS), bool)
    quiet[10:14, 0] = True
    y = np.where(quiet, 0, y)
    z = np.column_stack([np.ones(len(y)), quiet.any(1)])
    more = np.zeros((len(design), 2, PERIODS, k + 1))
    more[:, 0, :, :k], more[:, 1, 0, k] = design, 1
    separated = model | {"design": more, "covariates": z}
    with pytest.raises(DesignError, match="no finite solution"):
        fixed_effects(y, time, family="poisson", edges=EDGES, **separated)
    separated["spare"] = np.arange(k + 1) == k
    fit = fixed_effects(y, time, family="poisson", edges=EDGES, **separated)
    without = fixed_effects(y, time, family="poisson", edges=EDGES, **model)
    np.testing.assert_allclose(fit.coef, np.append(without.coef, 0), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(fit.bread[:k, :k], without.bread, rtol=1e-6)
