"""Negative binomial regression (NB2), its dispersion by maximum likelihood."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from impact.errors import DesignError
from impact.numbers.regress import Fit, glm, pseudo_inverse

Array = NDArray[np.float64]
_STEPS = 200
# A dispersion below the least is none; one above the most means that the likelihood has no maximum.
_LEAST, _MOST = 1e-6, 1e6


def negative_binomial(x: Array, y: Array, *, weights: Array, offset: Array) -> tuple[Fit, float]:
    """Fit counts with variance ``m + a m^2`` around the mean ``m``, and give the fit and ``a``.

    Coefficients and dispersion are fitted in turn until neither moves; coefficients by Fisher scoring, as R's
    ``glm.nb`` does. Where counts vary no more than Poisson's, ``a`` is 0.

    Parameters
    ----------
    x : array (k, n)
    y, weights, offset : arrays (n,)

    References
    ----------
    Lawless, J. F. (1987). Negative binomial and mixed Poisson regression. Canadian Journal of Statistics 15,
    209-225.

    Examples
    --------
    >>> y = np.array([0.0, 0, 1, 7])
    >>> fit, dispersion = negative_binomial(np.ones((1, 4)), y, weights=np.ones(4), offset=np.zeros(4))
    >>> float(round(fit.mean[0], 6)), round(dispersion, 4)
    (2.0, 2.7056)
    """
    fit = glm(x, y, family="poisson", weights=weights, offset=offset)
    coef, mean, dispersion = fit.coef, fit.mean, 0.0
    for _ in range(_STEPS):
        before, dispersion = dispersion, _dispersion(y, mean, weights)
        for _ in range(_STEPS):
            spread = 1 + dispersion * mean
            bread = pseudo_inverse((x * (weights * mean / spread)) @ x.T)[0]
            step = bread @ (x @ (weights * (y - mean) / spread))
            move = step @ x
            largest = float(np.abs(move).max(initial=0.0))
            coef = coef + step / max(1.0, largest)
            mean = np.exp(np.minimum(offset + coef @ x, 300.0))
            if largest < 1e-10:
                break
        if abs(dispersion - before) <= 1e-9 * (1e-6 + before):
            return Fit(coef, mean, bread, (y - mean) / (1 + dispersion * mean)), dispersion
    raise DesignError("model='negative_binomial': the dispersion cannot be estimated; use model='poisson'.")


def _dispersion(y: Array, mean: Array, weights: Array) -> float:
    """Maximise the likelihood over the dispersion, given the means."""
    from scipy.optimize import brentq
    from scipy.special import digamma

    kinds, at = np.unique(y, return_inverse=True)
    times = np.bincount(at, weights)

    def slope(log_a: float) -> float:
        a = np.exp(log_a)
        rising = times @ (digamma(kinds + 1 / a) - digamma(1 / a))
        return float((weights @ np.log1p(a * mean) - rising) / a + weights @ ((y - mean) / (1 + a * mean)))

    low, high = np.log(_LEAST), np.log(_MOST)
    if weights @ ((y - mean) ** 2 - y) <= 0 or slope(low) <= 0:
        return 0.0
    if slope(high) >= 0:
        raise DesignError("model='negative_binomial': the counts vary without bound; use model='poisson'.")
    return float(np.exp(brentq(slope, low, high, xtol=1e-12)))
