"""Counts of people whose rates differ: how far those picked for a high count come down by themselves.

Each person has a rate of their own that stays as it is, ``m`` times a gamma variable with shape ``k`` and
mean 1, and so many events by chance (Poisson). Who was picked for a count ``y`` in the time ``e`` has, on
average, the rate ``(k + y) / (k / m + e)``: the smaller ``k``, the more of a count is lasting; with ``k``
infinite all rates are ``m``, and whatever was above it was luck.

References
----------
Robbins, H. (1956). An empirical Bayes approach to statistics. Proceedings of the Third Berkeley Symposium 1,
157-163. Morton, V. and Torgerson, D. J. (2003). Effect of regression to the mean on decision making in health
care. BMJ 326, 1083-1084.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from impact.errors import DesignError

Array = NDArray[np.float64]
_STEPS = 200
# Above it the rates of people differ by less than a thousandth part: by nothing.
_ALIKE = 1e6


@dataclass(frozen=True, eq=False)
class Frailty:
    """How rates differ among people: ``mean`` (``m``, a rate), ``shape`` (``k``; infinite: not at all).

    ``vcov`` (2, 2) is the covariance of the logarithms of the two, whatever the counts are distributed like.
    """

    mean: float
    shape: float
    vcov: Array

    def later(self, count: ArrayLike, time: ArrayLike) -> Array:
        """Rates to be expected of people after they had so many events in so much time, (n,).

        Examples
        --------
        >>> Frailty(0.6, 0.7, np.zeros((2, 2))).later([0, 2], 1.0).round(4).tolist()
        [0.3231, 1.2462]
        """
        y, e = np.asarray(count, float), np.asarray(time, float)
        return np.asarray(self.mean * (1 + y / self.shape) / (1 + self.mean * e / self.shape))

    def total(self, count: Array, time: Array, after: Array) -> tuple[float, float]:
        """Events to be expected of people together in the time ``after``, and the error of its logarithm."""
        events = after * self.later(count, time)
        luck, lasting = count / self.shape, self.mean * time / self.shape
        slopes = np.array([1 / (1 + lasting), lasting / (1 + lasting) - luck / (1 + luck)])
        by = slopes @ events / events.sum()
        return float(events.sum()), float(np.sqrt(by @ self.vcov @ by))


def gamma_poisson(count: ArrayLike, time: ArrayLike) -> Frailty:
    """Estimate mean and shape of people's rates by maximum likelihood: negative binomial with person-time.

    Where counts vary no more than chance would make them, the shape is infinite and its error unknown.

    Parameters
    ----------
    count, time : arrays (n,)
        Events of each person and the time in which they were counted; who has no time is left out.

    Raises
    ------
    DesignError
        If nobody has an event.

    Examples
    --------
    >>> found = gamma_poisson([0, 0, 1, 7], [1.0, 1, 1, 1])
    >>> round(found.mean, 6), round(1 / found.shape, 4)
    (2.0, 2.7056)
    >>> gamma_poisson([1, 2, 2, 1], [1.0, 1, 1, 1]).shape
    inf
    """
    kinds, times = np.unique(np.column_stack([count, time]), axis=0, return_counts=True)
    used = kinds[:, 1] > 0
    y, e, n = kinds[used, 0], kinds[used, 1], times[used].astype(float)
    if not (n @ y) > 0:
        raise DesignError("gamma_poisson: nobody has an event, so nothing can be said of how rates differ.")
    m = float(n @ y / (n @ e))
    squares = float(n @ ((y - m * e) ** 2 - y))
    at = np.array([np.log(m), np.log(max(n @ (m * e) ** 2, 1e-12) / squares) if squares > 0 else np.inf])
    if squares > 0:
        at = _climb(at, y, e, n)
    if at[1] >= np.log(_ALIKE):
        # Rates are alike: the mean has the error of the counts, and that of the shape is not known.
        apart = y - m * e
        return Frailty(m, np.inf, np.diag([float(n @ apart**2) / float(n @ y) ** 2, 0.0]))
    score, curve = _slopes(at, y, e)
    bread = np.linalg.inv(np.tensordot(curve, n, 1))
    return Frailty(float(np.exp(at[0])), float(np.exp(at[1])), bread @ ((score * n) @ score.T) @ bread)


def _climb(at: Array, y: Array, e: Array, n: Array) -> Array:
    """Newton's method on the logarithms of mean and shape, by steps that do not fall."""
    best = _likelihood(at, y, e) @ n
    for _ in range(_STEPS):
        score, curve = (np.tensordot(part, n, 1) for part in _slopes(at, y, e))
        values, vectors = np.linalg.eigh(-curve)
        # Where the likelihood bends upwards, the step goes up its slope all the same.
        step = vectors @ ((vectors.T @ score) / np.maximum(np.abs(values), 1e-12))
        step /= max(1.0, float(np.abs(step).max()))
        while (found := _likelihood(at + step, y, e) @ n) < best and np.abs(step).max() > 1e-12:
            step = step / 2
        if found < best or at[1] >= np.log(_ALIKE):
            break
        at, best = at + step, found
        if np.abs(step).max() < 1e-10:
            break
    return at


def _likelihood(at: Array, y: Array, e: Array) -> Array:
    from scipy.special import gammaln

    m, k = np.exp(at)
    return np.asarray(
        gammaln(y + k) - gammaln(k) + y * np.log(m * e / k) - (k + y) * np.log1p(m * e / k), float
    )


def _slopes(at: Array, y: Array, e: Array) -> tuple[Array, Array]:
    """First (2, n) and second (2, 2, n) derivatives of each likelihood by the two logarithms."""
    from scipy.special import digamma, polygamma

    m, k = np.exp(at)
    mu = m * e
    all_ = k + mu
    by_k = digamma(y + k) - digamma(k) - np.log1p(mu / k) + (mu - y) / all_
    twice = polygamma(1, y + k) - polygamma(1, k) + mu / (k * all_) - (mu - y) / all_**2
    cross = k * (y - mu) * mu / all_**2
    score = np.array([(y - mu) * k / all_, k * by_k])
    curve = np.array([[-k * mu * (k + y) / all_**2, cross], [cross, k * k * twice + k * by_k]])
    return score, curve


def fall_of_chosen(mean: float, shape: float, *, at_least: int, time: float = 1.0) -> float:
    """Share by which the rate of people chosen for a count of at least so many falls by itself, exactly.

    Parameters
    ----------
    mean, shape : float
        Of people's rates.
    at_least : int
        Events in the time by which people were chosen.
    time : float
        In the unit of the rate.

    Examples
    --------
    >>> round(fall_of_chosen(0.6, 0.7, at_least=2), 3), round(fall_of_chosen(0.35, 0.5, at_least=2), 3)
    (0.421, 0.508)
    """
    from scipy.stats import nbinom

    expected = mean * time
    few = np.arange(at_least)
    chance = nbinom.pmf(few, shape, shape / (shape + expected))
    chosen = (expected - few @ chance) / (1 - chance.sum())
    return float(1 - time * (shape + chosen) / ((shape / mean + time) * chosen))
