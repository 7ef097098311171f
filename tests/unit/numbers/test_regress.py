from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from impact.errors import DesignError
from impact.numbers.regress import glm, ols, pseudo_inverse


@pytest.fixture
def drawn():
    rng = np.random.default_rng(3)
    x = np.vstack([np.ones(300), rng.normal(size=(2, 300))])
    return rng, x, rng.uniform(0.2, 3, 300)


def test_logit_equals_statsmodels(drawn):
    rng, x, w = drawn
    y = (rng.random(300) < 1 / (1 + np.exp(-(0.3 + x[1] - 2 * x[2])))).astype(float)
    fit = glm(x, y, family="logit", weights=w)
    peer = sm.GLM(y, x.T, family=sm.families.Binomial(), freq_weights=w).fit(tol=1e-14)
    np.testing.assert_allclose(fit.coef, peer.params, rtol=1e-9)
    np.testing.assert_allclose(fit.mean, peer.fittedvalues, rtol=1e-9)
    np.testing.assert_allclose(fit.bread, peer.cov_params(), rtol=1e-7)
    warm = glm(x, y, family="logit", weights=w, start=fit.coef + 0.01)
    np.testing.assert_allclose(warm.coef, fit.coef, rtol=1e-10)


def test_poisson_with_offset_equals_statsmodels(drawn):
    rng, x, w = drawn
    time = rng.uniform(0.01, 30, 300)
    y = rng.poisson(time * np.exp(-1 + x[1] + 0.5 * x[2])).astype(float)
    fit = glm(x, y, family="poisson", weights=w, offset=np.log(time))
    peer = sm.GLM(y, x.T, family=sm.families.Poisson(), offset=np.log(time), freq_weights=w).fit(tol=1e-14)
    np.testing.assert_allclose(fit.coef, peer.params, rtol=1e-9)
    np.testing.assert_allclose(fit.bread, peer.cov_params(), rtol=1e-7)


def test_poisson_finds_its_way_from_a_hard_start(drawn):
    rng, x, w = drawn
    y = rng.poisson(np.exp(2 + x[1])).astype(float)
    near = glm(x, y, family="poisson", weights=w)
    far = glm(x, y, family="poisson", weights=w, start=np.array([-6.0, 3.0, 3.0]))
    np.testing.assert_allclose(far.coef, near.coef, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("kind", ["complete", "quasi"])
def test_separation_is_an_error_and_never_a_number(drawn, kind):
    _, x, w = drawn
    y = (x[1] > 0).astype(float)
    if kind == "quasi":
        x = np.vstack([x[0], x[1] > 1.0])
    with pytest.raises(DesignError, match="no finite solution"):
        glm(x, y, family="logit", weights=w)
    with pytest.raises(DesignError, match="no finite solution"):
        glm(np.vstack([np.ones(300), y]), 3 * y, family="poisson", weights=w)


def test_a_covariate_given_twice_changes_no_fitted_value(drawn):
    rng, x, w = drawn
    y = (rng.random(300) < 0.4).astype(float)
    twice = glm(np.vstack([x, x[1]]), y, family="logit", weights=w)
    np.testing.assert_allclose(twice.mean, glm(x, y, family="logit", weights=w).mean, rtol=1e-8)
    np.testing.assert_allclose(ols(np.vstack([x, 3 * x[1]]), y, w).mean, ols(x, y, w).mean, rtol=1e-8)


def test_pseudo_inverse_does_not_depend_on_units(drawn):
    _, x, _ = drawn
    scaled = x * np.array([[1.0], [1e-7], [1e7]])
    assert pseudo_inverse(scaled @ scaled.T)[1] == 3
    assert pseudo_inverse(np.zeros((2, 2)))[1] == 0
