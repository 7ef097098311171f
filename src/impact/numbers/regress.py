"""Regressions on arrays. Regressors lie in rows, ``x (k, n)``, so that people are contiguous in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from impact.errors import DesignError

Array = NDArray[np.float64]
# Regressors that are left out where they cannot be told apart from others.
Spare = NDArray[np.bool_] | None

_STEPS = 60
# People at a time: few enough for fast memory, and that BLAS does not divide their products among threads.
_BLOCK = 2048
# What is left of a regressor's squares after others, as a share, below which it adds nothing to them.
_NOTHING = 1e-10
_SMALL = 1e-5  # the last Newton step squares the error, so that a step this small leaves none that matters


@dataclass(frozen=True)
class Fit:
    """A fitted regression.

    ``coef (k,)``, ``mean (n,)`` the fitted values, ``residual (n,)`` the derivative of each person's
    likelihood by their linear predictor (``y - mean``, but for probit), and ``bread (k, k)``, the inverse of
    the information: ``bread @ x[:, i] * w[i] * residual[i]`` is the influence of person ``i`` on the
    coefficients.
    """

    coef: Array
    mean: Array
    bread: Array
    residual: Array


def pseudo_inverse(gram: Array) -> tuple[Array, int]:
    """Invert a symmetric matrix, leaving out directions in which it says nothing; and give its rank."""
    inverse, rank = pseudo_inverses(gram[None])
    return inverse[0], int(rank[0])


def pseudo_inverses(grams: Array) -> tuple[Array, NDArray[np.int64]]:
    """Invert symmetric matrices (m, k, k) as ``pseudo_inverse`` does, and give their ranks (m,).

    Rows and columns are first brought to one scale, so that units do not decide what counts as nothing.
    """
    scale = np.sqrt(np.diagonal(grams, axis1=1, axis2=2))
    scale = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(grams / (scale[:, :, None] * scale[:, None, :]))
    kept = values > 1e-10 * np.maximum(values[:, -1:], 1e-300)
    share = np.where(kept, 1 / np.where(kept, values, 1.0), 0.0)
    vectors = vectors / scale[:, :, None]
    return np.asarray((vectors * share[:, None]) @ vectors.swapaxes(1, 2)), kept.sum(1)


def gram(x: Array, weights: Array) -> Array:
    """Weighted products of regressors, (k, k), a block of people at a time, which stays in fast memory."""
    out = np.zeros((len(x), len(x)))
    for at in range(0, x.shape[1], _BLOCK):
        block = x[:, at : at + _BLOCK]
        out += (block * weights[at : at + _BLOCK]) @ block.T
    return out


def ols(x: Array, y: Array, weights: Array) -> Fit:
    """Weighted least squares; with collinear regressors the shortest of the equivalent solutions."""
    bread, _ = pseudo_inverse(gram(x, weights))
    coef = bread @ (x @ (weights * y))
    mean = coef @ x
    return Fit(coef, mean, bread, y - mean)


def glm(
    x: Array,
    y: Array,
    *,
    family: Literal["logit", "probit", "poisson"],
    weights: Array,
    offset: Array | float = 0.0,
    start: Array | None = None,
    prior: Array | None = None,
) -> Fit:
    """Maximum likelihood for a logit, probit or Poisson regression, by Newton's method.

    Parameters
    ----------
    x : array (k, n)
    y : array (n,)
        0 or 1, or counts.
    weights : array (n,)
        Of each person's likelihood.
    offset : array (n,)
        Added to the linear predictor: the logarithm of the time at risk.
    start : array (k,), optional
        Coefficients of a similar fit, from which few steps are needed.
    prior : array (k,), optional
        Precision of a normal prior around 0 for each coefficient, 0 for none: the fit is then the most likely
        value after it (a ridge), which is finite even where a regressor foretells the outcome.

    Raises
    ------
    DesignError
        Where no finite solution exists, because a regressor foretells the outcome perfectly.

    References
    ----------
    Nelder, J. A. and Wedderburn, R. W. M. (1972). Generalized linear models. Journal of the Royal Statistical
    Society A 135, 370-384.

    Examples
    --------
    >>> import numpy as np
    >>> fit = glm(np.ones((1, 4)), np.array([1.0, 1, 1, 0]), family="logit", weights=np.ones(4))
    >>> [round(float(p), 6) for p in fit.mean]
    [0.75, 0.75, 0.75, 0.75]
    """
    of = _FAMILIES[family]
    known = np.zeros(len(x)) if prior is None else prior
    if start is None:
        # A first guess of each person's mean, half way to the mean of all, then one least-squares step.
        guess = (y + np.average(y, weights=weights)) / 2
        eta, slope, variance = of.first(guess)
        start = ols(x, eta - offset + (y - guess) / slope, weights * slope**2 / variance).coef
    coef = start
    eta = offset + coef @ x
    for _ in range(_STEPS):
        information, gradient = _sums(of, x, y, weights, eta)
        bread, _ = pseudo_inverse(information + np.diag(known))
        step = bread @ (gradient - known * coef)
        move = step @ x
        largest = float(np.abs(move).max(initial=0.0))
        if largest > 0.5:
            # Far from the solution a full Newton step can overshoot: halve it until the likelihood grows.
            before = of.loglik(weights, y, eta) - known @ coef**2 / 2
            for _ in range(_STEPS):
                after = of.loglik(weights, y, eta + move) - known @ (coef + step) ** 2 / 2
                if after >= before - 1e-9 * abs(before):
                    break
                step, move = step / 2, move / 2
        coef = coef + step
        eta += move
        if largest < _SMALL:
            bread, rank = pseudo_inverse(_sums(of, x, y, weights, eta)[0] + np.diag(known))
            if rank == len(x) or rank == pseudo_inverse(gram(x, weights) + np.diag(known))[1]:
                del move
                mean, residual, _ = of.moments(eta, y)
                return Fit(coef, mean, bread, residual)
            break
    raise DesignError(
        "the regression has no finite solution: a covariate (or a level of one) foretells it perfectly; "
        "use fewer covariates or coarser levels."
    )


class _Family(NamedTuple):
    """``moments(eta, y)``: mean, first derivative of the likelihood by ``eta`` and its second, negative.

    ``first(mean)``: linear predictor, its effect on the mean, and the variance, from which to begin.
    """

    moments: Callable[[Array, Array], tuple[Array, Array, Array]]
    loglik: Callable[[Array, Array, Array], float]
    first: Callable[[Array], tuple[Array, Array, Array]]


def _sums(of: _Family, x: Array, y: Array, weights: Array, eta: Array) -> tuple[Array, Array]:
    """Information (k, k) and gradient (k,) at a linear predictor, a block of people at a time."""
    information, gradient = np.zeros((len(x), len(x))), np.zeros(len(x))
    for at in range(0, x.shape[1], _BLOCK):
        here = slice(at, at + _BLOCK)
        _, residual, curve = of.moments(eta[here], y[here])
        block = x[:, here]
        information += (block * (weights[here] * curve)) @ block.T
        gradient += block @ (weights[here] * residual)
    return information, gradient


def _logit_moments(eta: Array, y: Array) -> tuple[Array, Array, Array]:
    from scipy.special import expit

    mean = expit(eta)
    return mean, y - mean, mean * (1 - mean)


def _probit_moments(eta: Array, y: Array) -> tuple[Array, Array, Array]:
    from scipy.special import log_ndtr, ndtr

    # The observed information, not the expected: Newton's steps then square the error, as _SMALL relies on.
    sign = 2 * y - 1
    residual = sign * np.exp(-(eta**2) / 2 - log_ndtr(sign * eta)) / np.sqrt(2 * np.pi)
    return ndtr(eta), residual, residual * (residual + eta)


def _poisson_moments(eta: Array, y: Array) -> tuple[Array, Array, Array]:
    mean = np.exp(np.minimum(eta, 300.0))
    return mean, y - mean, mean


def _logit_loglik(w: Array, y: Array, eta: Array) -> float:
    return float(w @ (y * eta - np.logaddexp(0, eta)))


def _probit_loglik(w: Array, y: Array, eta: Array) -> float:
    from scipy.special import log_ndtr

    return float(w @ log_ndtr((2 * y - 1) * eta))


def _poisson_loglik(w: Array, y: Array, eta: Array) -> float:
    return float(w @ (y * eta - np.exp(np.minimum(eta, 300.0))))


def _logit_first(mean: Array) -> tuple[Array, Array, Array]:
    return np.log(mean / (1 - mean)), mean * (1 - mean), mean * (1 - mean)


def _probit_first(mean: Array) -> tuple[Array, Array, Array]:
    from scipy.special import ndtri

    eta = ndtri(mean)
    return eta, np.exp(-(eta**2) / 2) / np.sqrt(2 * np.pi), mean * (1 - mean)


def _poisson_first(mean: Array) -> tuple[Array, Array, Array]:
    return np.log(mean), mean, mean


_FAMILIES = {
    "logit": _Family(_logit_moments, _logit_loglik, _logit_first),
    "probit": _Family(_probit_moments, _probit_loglik, _probit_first),
    "poisson": _Family(_poisson_moments, _poisson_loglik, _poisson_first),
}


def told_apart(
    information: Array, spare: Spare, size: Array | None = None, among: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Return which regressors stay: all that are not spare, and spare ones that add something to them.

    What they add is held against ``size`` (without it, their own squares), and only those in ``among`` stay.
    """
    among = np.arange(len(information)) if among is None else among
    if spare is None or not spare[among].any():
        return among
    first, second = among[~spare[among]], among[spare[among]]
    size = np.diag(information) if size is None else size
    cross = information[np.ix_(first, second)]
    of_first = inverse(information, first)[np.ix_(first, first)]
    left = information[np.ix_(second, second)] - cross.T @ of_first @ cross
    # The factor takes its first pivot whatever its size: what is nothing from the beginning goes before.
    some = np.diag(left) > _NOTHING * size[second]
    if not some.any():
        return first
    second, left = second[some], left[np.ix_(some, some)]
    _, _, pivot, rank = _factor(left, size[second])
    return np.sort(np.append(first, second[pivot[:rank]]))


def _factor(square: Array, size: Array) -> tuple[Array, Array, NDArray[np.int64], int]:
    """Bring a matrix to one scale: its pivoted Cholesky factor, the scale, the pivots and the rank."""
    from scipy.linalg.lapack import dpstrf

    scale = np.sqrt(np.where(size > 0, size, 1.0))
    factor, pivot, rank, _ = dpstrf(square / np.outer(scale, scale), tol=_NOTHING, lower=1)
    return factor, scale, pivot - 1, int(rank)


def inverse(information: Array, kept: NDArray[np.int64]) -> Array:
    """Invert the part of a matrix that is kept; the rest is 0.

    Raises
    ------
    DesignError
        Where a regressor that is kept adds nothing to the others.
    """
    from scipy.linalg.lapack import dpotri

    inside = information[np.ix_(kept, kept)]
    factor, scale, pivot, rank = _factor(inside, np.diag(inside))
    if rank < len(kept):
        raise DesignError(
            "the effects cannot be told apart from each other or from the periods; there may be no "
            "untreated people to compare with, or no events in some period."
        )
    lower, _ = dpotri(factor, lower=1)
    out, at = np.zeros_like(information), kept[pivot]
    out[np.ix_(at, at)] = (np.tril(lower) + np.tril(lower, -1).T) / np.outer(scale[pivot], scale[pivot])
    return out
