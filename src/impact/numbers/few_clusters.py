"""Errors and tests for few clusters, from what each cluster adds to a regression."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from impact.numbers.inference import cluster_sums
from impact.numbers.regress import Fit, glm, pseudo_inverse
from impact.numbers.within import Within, fixed_effects

Array = NDArray[np.float64]
Sums = tuple[Array, Array, Array]

_NOTHING = 1e-10
# Webb's six points: with them even five clusters have thousands of different draws.
_WEBB = np.sqrt(np.array([0.5, 1.0, 1.5]))
# With five clusters the 32 sign vectors cannot give p below 0.06; with ten, a thousand signs are enough.
_ENOUGH, _MANY = 6, 10
# An end further out than this many doublings of an error is as good as none.
_STEPS_OUT = 7


def cr2(
    grams: Array, scores: Array, bread: Array, contrasts: Array
) -> tuple[Array, Callable[[Array], float]]:
    """Bias-reduced errors (CR2) of contrasts of regression coefficients, and their degrees of freedom.

    Each cluster's residuals are divided by the square root of what the regression left of their variance,
    so that the variance is unbiased where errors are independent and even (Bell and McCaffrey 2002). As
    the residuals enter only through the regressors, this needs the eigenvalues of one (K, K) matrix a
    cluster: no cluster is too large. Effects of people nested within clusters may have been concentrated
    out (Pustejovsky and Tipton 2018, theorem 2); effects of periods may not, and stay among the regressors.

    Parameters
    ----------
    grams : array (G, K, K)
        ``X_g.T @ W_g @ X_g`` of each cluster.
    scores : array (G, K)
        ``X_g.T @ W_g @ e_g``, with the residuals ``e_g``.
    bread : array (K, K)
        Inverse of the sum of the grams.
    contrasts : array (K, k)
        One column a contrast.

    Returns
    -------
    root : array (G, k)
        ``root.T @ root`` is the covariance of the contrasts.
    satterthwaite : callable
        Degrees of freedom of the weighted sum of the contrasts with weights (k,); missing where the
        contrast rests on nothing but clusters that the regression fits exactly.

    Notes
    -----
    With weights, and for Poisson models with the weights of the last step, variances are taken to be
    inversely proportional to the weights.

    Examples
    --------
    A difference in means of 3 and 2 clusters, with the degrees of freedom of Welch under equal variances:

    >>> import numpy as np
    >>> x = np.array([[1.0, 1], [1, 1], [1, 1], [1, 0], [1, 0]])
    >>> y = np.array([3.0, 5, 7, 1, 2])
    >>> bread = np.linalg.inv(x.T @ x)
    >>> scores = x * (y - x @ bread @ x.T @ y)[:, None]
    >>> root, df = cr2(x[:, :, None] * x[:, None], scores, bread, np.array([[0.0], [1.0]]))
    >>> round(float(root[:, 0] @ root[:, 0]), 6), round(df(np.ones(1)), 6)
    (1.583333, 2.272727)
    """
    values, vectors = np.linalg.eigh(bread)
    half = vectors * np.sqrt(np.maximum(values, 0))
    share, basis = np.linalg.eigh(half.T @ grams @ half)
    left = 1 - share
    inverse = np.where(left > _NOTHING, 1 / np.maximum(left, _NOTHING), 0.0)
    # (G, K, k): the contrasts in each cluster's own directions.
    seen = basis.transpose(0, 2, 1) @ (half.T @ contrasts)
    pulled = np.einsum("gab,ga->gb", basis, scores @ half)
    root = np.einsum("ga,gak->gk", np.sqrt(inverse) * pulled, seen)
    spread = basis @ ((share * np.sqrt(inverse))[:, :, None] * seen)

    def satterthwaite(weights: Array) -> float:
        # P_gh = 1(g = h) own_g - t_g't_h, of which only the sum of squares and the trace are needed.
        own = np.einsum("ga,ga->g", share * inverse, (seen @ weights) ** 2)
        t = spread @ weights
        inner = np.einsum("ga,ga->g", t, t)
        total = ((t.T @ t) ** 2).sum() + (own**2 - 2 * own * inner).sum()
        return float((own - inner).sum() ** 2 / total) if total > 0 else float("nan")

    return np.asarray(root), satterthwaite


def multipliers(clusters: int, draws: int, rng: np.random.Generator) -> tuple[Array, str, bool]:
    """Return what the clusters' scores are multiplied by, (draws, G), its name, and whether that is all.

    Every vector of signs once, where there are no more than ``draws`` of them; otherwise signs at random,
    or, for fewer than ten clusters, Webb's six points. Fewer than six clusters have too few signs for any
    p-value to be small, and always get Webb's.

    Examples
    --------
    >>> signs, name, complete = multipliers(8, 999, np.random.default_rng(0))
    >>> signs.shape, name, complete
    ((256, 8), 'all 256 sign vectors', True)
    """
    drawn: Array
    if _ENOUGH <= clusters <= np.log2(draws):
        drawn = np.array(list(product((1.0, -1.0), repeat=clusters)))
        return drawn, f"all {len(drawn):,} sign vectors", True
    points = np.append(-_WEBB, _WEBB) if clusters < _MANY else np.array([-1.0, 1.0])
    drawn = points[rng.integers(len(points), size=(draws, clusters))]
    return drawn, "Webb's six points" if clusters < _MANY else "random signs", False


def wild_t(grams: Array, scores: Array, bread: Array, contrast: Array, by: Array) -> Array:
    """Studentised wild bootstrap of a contrast, from cluster sums alone (Roodman et al. 2019).

    Each draw multiplies every cluster's residuals by its entry of ``by`` and fits the regression again. The
    new estimate and the new clusters' scores need no more than the old grams and scores.

    Parameters
    ----------
    grams : array (G, K, K)
    scores : array (G, K)
        With the residuals of the regression in which the hypothesis holds.
    bread : array (K, K)
    contrast : array (K,)
    by : array (draws, G)
        From ``multipliers``; a row of ones gives the statistic of the data themselves.

    Returns
    -------
    array (draws,)
        The contrast's distance from its value under the hypothesis, in standard errors (CR0).
    """
    lever = bread @ contrast
    own = scores @ lever
    moved = (by @ (scores @ bread)) @ (grams @ lever).T
    error = np.sqrt((((by * own) - moved) ** 2).sum(1))
    far = by @ own
    # Where nothing is left of any cluster's residuals the draw is as far out as can be.
    return np.asarray(np.divide(far, error, out=np.copysign(np.inf, far), where=error > 0))


def p_value(own: float, drawn: Array, complete: bool) -> float:
    """Share of draws at least as far out; the data are one of the draws, or are added to them.

    Draws that mirror the data are equal to them but for rounding.
    """
    further = int((np.abs(drawn) >= abs(own) * (1 - 1e-9)).sum())
    return further / len(drawn) if complete else (1 + further) / (1 + len(drawn))


def invert(
    p_of: Callable[[float], float], estimate: float, error: float, level: float
) -> tuple[float, float]:
    """Ends of the interval of values whose p-value is above ``1 - level``, by bisection.

    Parameters
    ----------
    p_of : callable
        p-value of the hypothesis that the effect has this value; 1 at the estimate.
    estimate, error : float
        Where to begin and in what steps; the ends are found to 1e-3 errors.
    level : float

    Returns
    -------
    (low, high) : floats
        Infinite where no value so far out is rejected.

    Examples
    --------
    >>> low, high = invert(lambda value: np.exp(-abs(value - 1)), 1.0, 1.0, 0.95)
    >>> round(low, 2), round(high, 2)
    (-2.0, 4.0)
    """
    ends = []
    for side in (-1.0, 1.0):
        inside, step = 0.0, 1.0
        for _ in range(_STEPS_OUT):
            if p_of(estimate + side * step * error) <= 1 - level:
                break
            inside, step = step, 2 * step
        else:
            ends.append(side * np.inf)
            continue
        while step - inside > 1e-3:
            middle = (inside + step) / 2
            if p_of(estimate + side * middle * error) > 1 - level:
                inside = middle
            else:
                step = middle
        ends.append(estimate + side * inside * error)
    return float(ends[0]), float(ends[1])


@dataclass(frozen=True, eq=False)
class Regression:
    """What the clusters add to a regression, as it is and under hypotheses on its effects.

    Attributes
    ----------
    coef : array (K,)
    bread : array (K, K)
    contrasts : array (K, k)
        The effects, as sums of the coefficients.
    sums : callable
        Returns grams (G, K, K) and scores (G, K).
    refit : callable, optional
        ``refit(contrast, value)`` gives grams, scores and bread where ``contrast @ coef`` is ``value``.
        Without it the model is linear, and they follow from its algebra.
    factor : float
        Small-sample factor on the variance in the root of the effects.
    """

    coef: Array
    bread: Array
    contrasts: Array
    sums: Callable[[], tuple[Array, Array]]
    refit: Callable[[Array, float], Sums] | None = None
    factor: float = 1.0

    def times(self, by: Array) -> Regression:
        """Return the regression with the effects times ``by`` (k, j) as its effects."""
        return replace(self, contrasts=self.contrasts @ by)

    def cr2(self) -> tuple[Array, Callable[[Array], float]]:
        """CR2 root of the effects, and the degrees of freedom of their weighted sums."""
        return cr2(*self.sums(), self.bread, self.contrasts)

    def root(self) -> Array:
        """Root of the effects as they have it, (G, k)."""
        _, scores = self.sums()
        return np.asarray(np.sqrt(self.factor) * (scores @ (self.bread @ self.contrasts)))

    def under(self, contrast: Array) -> Callable[[float], Sums]:
        """Return what gives grams, scores and bread where the contrast (K,) has a value."""
        if self.refit is not None:
            return partial(self.refit, contrast)
        grams, scores = self.sums()
        lever = self.bread @ contrast
        toward = grams @ lever / (contrast @ lever)
        return lambda value: (grams, scores + toward * (contrast @ self.coef - value), self.bread)


def of_people(
    fit: Within,
    y: Array,
    exposure: Array,
    *,
    family: Literal["linear", "poisson"],
    weights: Array,
    codes: NDArray[np.int64],
    contrasts: Array,
    factor: float = 1.0,
) -> Regression:
    """Return what clusters add to a regression of people over time.

    Parameters
    ----------
    fit, y, exposure, family, weights
        What ``fixed_effects`` gave, and what it was given.
    codes : array (n,)
        Cluster of each person, numbered from 0.
    contrasts : array (K, k)
        The effects as sums of the coefficients; none of regressors that vary by person and period.
    factor : float
        On the variance in the root of the effects.
    """
    r, clusters = fit.regressors, int(codes.max()) + 1
    design = r.terms[:, : r.m * r.periods, : r.k].reshape(-1, r.m, r.periods, r.k)

    def refit(contrast: Array, value: float) -> Sums:
        base, free = _constrained(contrast[: r.k], value)
        offset, fixed = np.zeros(exposure.shape), np.append(base, np.zeros(r.q))
        for g, low, high in r.groups():
            offset[low:high] = r.predictor(g, slice(low, high), fixed)
        there = fixed_effects(
            y,
            exposure * np.exp(offset),
            family=family,
            weights=weights,
            design=design @ free,
            edges=r.edges,
            effects="person" if fit.within else "none",
            covariates=r.z,
            varying=r.varying,
        )
        grams, scores = replace(there, regressors=r).by_cluster(codes, clusters)
        return grams, scores, pseudo_inverse(grams.sum(0))[0]

    def sums() -> tuple[Array, Array]:
        return fit.by_cluster(codes, clusters)

    return Regression(fit.coef, fit.bread, contrasts, sums, refit if family == "poisson" else None, factor)


def of_rows(
    fit: Fit,
    x: Array,
    y: Array,
    *,
    family: Literal["linear", "poisson", "logit"],
    weights: Array,
    codes: NDArray[np.int64],
    clusters: int,
    contrasts: Array,
    offset: Array | float = 0.0,
    factor: float = 1.0,
) -> Regression:
    """Return what clusters add to a regression of rows, ``x (K, n)``, from ``ols`` or ``glm``."""

    def sums(mean: Array) -> tuple[Array, Array]:
        slope = {"linear": np.ones_like(mean), "poisson": mean, "logit": mean * (1 - mean)}[family]
        scores = cluster_sums((x * (weights * (y - mean))).T, codes, clusters)
        grams = np.empty((clusters, len(x), len(x)))
        for a, left in enumerate(x * (weights * slope)):
            for b in range(a + 1):
                grams[:, a, b] = grams[:, b, a] = np.bincount(codes, left * x[b], clusters)
        return grams, scores

    def refit(contrast: Array, value: float) -> Sums:
        assert family != "linear"
        base, free = _constrained(contrast, value)
        there = glm(free.T @ x, y, family=family, weights=weights, offset=offset + base @ x)
        grams, scores = sums(there.mean)
        return grams, scores, pseudo_inverse(grams.sum(0))[0]

    again = None if family == "linear" else refit
    return Regression(fit.coef, fit.bread, contrasts, lambda: sums(fit.mean), again, factor)


def _constrained(contrast: Array, value: float) -> tuple[Array, Array]:
    """Coefficients for which ``contrast @ coef`` is ``value``, and directions (K, K - 1) that keep it."""
    _, _, rows = np.linalg.svd(contrast[None])
    return contrast * (value / (contrast @ contrast)), rows[1:].T
