"""Regressions on arrays. Regressors lie in rows, ``x (k, n)``, so that people are contiguous in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from impact.errors import DesignError

Array = NDArray[np.float64]

_STEPS = 60
_SMALL = 1e-5  # the last Newton step squares the error, so that a step this small leaves none that matters


@dataclass(frozen=True)
class Fit:
    """A fitted regression.

    ``coef (k,)``, ``mean (n,)`` the fitted values, and ``bread (k, k)``, the inverse of the information:
    ``bread @ x[:, i] * w[i] * (y[i] - mean[i])`` is the influence of person ``i`` on the coefficients.
    """

    coef: Array
    mean: Array
    bread: Array


def pseudo_inverse(gram: Array) -> tuple[Array, int]:
    """Invert a symmetric matrix, leaving out directions in which it says nothing; and give its rank.

    Rows and columns are first brought to one scale, so that units do not decide what counts as nothing.
    """
    scale = np.sqrt(np.diag(gram))
    scale = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(gram / np.outer(scale, scale))
    kept = values > 1e-10 * max(values[-1], 1e-300)
    vectors = vectors[:, kept] / scale[:, None]
    return np.asarray((vectors / values[kept]) @ vectors.T), int(kept.sum())


def ols(x: Array, y: Array, weights: Array) -> Fit:
    """Weighted least squares; with collinear regressors the shortest of the equivalent solutions."""
    weighted = x * weights
    bread, _ = pseudo_inverse(weighted @ x.T)
    coef = bread @ (weighted @ y)
    return Fit(coef, coef @ x, bread)


def glm(
    x: Array,
    y: Array,
    *,
    family: Literal["logit", "poisson"],
    weights: Array,
    offset: Array | float = 0.0,
    start: Array | None = None,
) -> Fit:
    """Maximum likelihood for a logit or Poisson regression, by Newton's method (Nelder and Wedderburn 1972).

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

    Raises
    ------
    DesignError
        Where no finite solution exists, because a regressor foretells the outcome perfectly.

    Examples
    --------
    >>> import numpy as np
    >>> fit = glm(np.ones((1, 4)), np.array([1.0, 1, 1, 0]), family="logit", weights=np.ones(4))
    >>> [round(float(p), 6) for p in fit.mean]
    [0.75, 0.75, 0.75, 0.75]
    """
    moments, loglik = _FAMILIES[family]
    if start is None:
        # A first guess of each person's mean, half way to the mean of all, then one least-squares step.
        mean = (y + np.average(y, weights=weights)) / 2
        slope = mean * (1 - mean) if family == "logit" else mean
        eta = np.log(mean / (1 - mean)) if family == "logit" else np.log(mean)
        start = ols(x, eta - offset + (y - mean) / slope, weights * slope).coef
    coef = start
    eta = offset + coef @ x
    for _ in range(_STEPS):
        mean, slope = moments(eta)
        bread, rank = pseudo_inverse((x * (weights * slope)) @ x.T)
        step = bread @ (x @ (weights * (y - mean)))
        move = step @ x
        largest = float(np.abs(move).max(initial=0.0))
        if largest > 0.5:
            # Far from the solution a full Newton step can overshoot: halve it until the likelihood grows.
            before = loglik(weights, y, eta)
            for _ in range(_STEPS):
                if loglik(weights, y, eta + move) >= before - 1e-9 * abs(before):
                    break
                step, move = step / 2, move / 2
        coef, eta = coef + step, eta + move
        if largest < _SMALL:
            mean, slope = moments(eta)
            bread, rank = pseudo_inverse((x * (weights * slope)) @ x.T)
            if rank == len(x) or rank == pseudo_inverse((x * weights) @ x.T)[1]:
                return Fit(coef, mean, bread)
            break
    raise DesignError(
        "the regression has no finite solution: a covariate (or a level of one) foretells it perfectly; "
        "use fewer covariates or coarser levels."
    )


def _logit_moments(eta: Array) -> tuple[Array, Array]:
    from scipy.special import expit

    mean = expit(eta)
    return mean, mean * (1 - mean)


def _poisson_moments(eta: Array) -> tuple[Array, Array]:
    mean = np.exp(np.minimum(eta, 300.0))
    return mean, mean


def _logit_loglik(w: Array, y: Array, eta: Array) -> float:
    return float(w @ (y * eta - np.logaddexp(0, eta)))


def _poisson_loglik(w: Array, y: Array, eta: Array) -> float:
    return float(w @ (y * eta - np.exp(np.minimum(eta, 300.0))))


_FAMILIES: dict[
    str, tuple[Callable[[Array], tuple[Array, Array]], Callable[[Array, Array, Array], float]]
] = {
    "logit": (_logit_moments, _logit_loglik),
    "poisson": (_poisson_moments, _poisson_loglik),
}


@dataclass(frozen=True)
class Within:
    """A regression with person effects: ``coef (k,)``, ``bread (k, k)`` and ``score (n, T)``.

    ``score[i] @ design[group of i] @ bread`` is the influence of person ``i`` on the coefficients.
    """

    coef: Array
    bread: Array
    score: Array


def fixed_effects(
    y: Array,
    exposure: Array,
    *,
    family: Literal["linear", "poisson"],
    weights: Array,
    design: Array,
    edges: NDArray[Any],
) -> Within:
    """Regress with an effect for each person, where the regressors are the same for a whole group of people.

    The person effects are concentrated out: by subtracting each person's mean (linear), or by spreading
    each person's own total over the periods (Poisson; Hausman, Hall and Griliches 1984). As regressors
    depend on group and period only, the information is a sum of one (T, T) matrix a group, and neither
    dummies nor people by regressors are ever formed.

    Parameters
    ----------
    y : array (n, T)
        Values (linear: rates; poisson: counts), people sorted by group; 0 where not at risk.
    exposure : array (n, T)
        Time at risk; 0 means not at risk. Linear models only ask whether it is above zero.
    weights : array (n,)
        One weight a person.
    design : array (groups, T, k)
    edges : array (groups + 1,)
        Where each group begins among the people.

    Raises
    ------
    DesignError
        Where the regressors cannot be told apart, or no finite solution exists.
    """
    group = np.repeat(np.arange(len(design)), np.diff(edges))
    if family == "linear":
        v = weights[:, None] * (exposure > 0)
        total = _positive(v.sum(1))
        y = y - ((v * y).sum(1) / total)[:, None]
        bread = _bread(v, total, design, edges)
        coef = bread @ _score(v * y, design, edges)
        fitted = (design @ coef)[group]
        fitted -= ((v * fitted).sum(1) / total)[:, None]
        return Within(coef, bread, v * (y - fitted))

    y = np.where(exposure > 0, y, 0.0)
    events = y.sum(1)
    total = _positive(weights * events)
    coef, before = np.zeros(design.shape[2]), -np.inf
    step = coef
    for _ in range(_STEPS):
        eta = (design @ coef)[group]
        share = exposure * np.exp(eta)
        spread = _positive(share.sum(1))
        loglik = float(weights @ ((y * eta).sum(1) - events * np.log(spread)))
        if loglik < before - 1e-9 * abs(before):
            step = step / 2
            coef = coef - step
            continue
        before = loglik
        mean = share * (weights * events / spread)[:, None]
        score = weights[:, None] * y - mean
        bread = _bread(mean, total, design, edges)
        step = bread @ _score(score, design, edges)
        if np.abs(design @ step).max() < _SMALL**2:
            return Within(coef, bread, score)
        coef = coef + step
    raise DesignError("the Poisson regression has no finite solution: some cell of it has no events.")


def _positive(total: Array) -> Array:
    # People who are never at risk, or without events, have nothing to spread: all their terms are zero.
    return np.where(total > 0, total, 1.0)


def _score(resid: Array, design: Array, edges: NDArray[Any]) -> Array:
    sums = np.add.reduceat(resid, edges[:-1], axis=0)
    return np.asarray(np.einsum("gt,gtk->k", sums, design))


def _bread(mean: Array, total: Array, design: Array, edges: NDArray[Any]) -> Array:
    k = design.shape[2]
    information = np.zeros((k, k))
    for g, x in enumerate(design):
        m = mean[edges[g] : edges[g + 1]]
        between = m.T @ (m / total[edges[g] : edges[g + 1], None])
        information += x.T @ (np.diag(m.sum(0)) - between) @ x
    bread, rank = pseudo_inverse(information)
    if rank < k:
        raise DesignError(
            "the effects cannot be told apart from each other or from the periods; there may be no "
            "untreated people to compare with, or no events in some period."
        )
    return bread
