"""Random-effects averages of estimates from several studies: many averages at once, one a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, chdtri

Array = NDArray[np.float64]

# The likelihood may have two tops. It is looked at from nothing to more than all the spread there is, at
# points each a third above the last, and the highest is climbed.
_POINTS = np.concatenate([[0.0], np.geomspace(1e-8, 1.0, 64)])
_HALVINGS = 64


@dataclass(frozen=True, eq=False)
class Averages:
    """Averages of p sets of studies; arrays are (p,), but for ``root (p, k)``.

    Each has a ``mean`` of so many ``studies`` with its ``error``, whose square is that of the ``root`` (what
    the studies' own deviations give, one column a study) summed, and the ``excess`` that is added to it. The
    variance between studies is ``tau2`` (``tau2_low`` to ``tau2_high``), ``i_squared`` its share of all
    variance, ``q`` Cochran's statistic with ``q_p_value``; ``common`` and ``common_error`` are the average
    and its error if all studies had one effect.
    """

    studies: NDArray[np.int64]
    mean: Array
    error: Array
    root: Array
    excess: Array
    tau2: Array
    tau2_low: Array
    tau2_high: Array
    i_squared: Array
    q: Array
    q_p_value: Array
    common: Array
    common_error: Array


@dataclass(frozen=True, eq=False)
class _Sets:
    """Estimates ``y`` and variances ``v``, (p, k), of which only those that are ``here`` count."""

    y: Array
    v: Array
    here: NDArray[np.bool_]

    def weighed(self, tau2: Array) -> tuple[Array, Array, Array]:
        """Return the weights (p, k), their sums and the weighted means (p,)."""
        w = self.here / (self.v + tau2[:, None])
        total = w.sum(1)
        return w, total, (w * self.y).sum(1) / total

    def distance(self, tau2: Array) -> Array:
        """Squared deviations in units of what is expected of them: they fall as ``tau2`` grows."""
        w, _, mean = self.weighed(tau2)
        return np.asarray((w * (self.y - mean[:, None]) ** 2).sum(1))

    def likelihood(self, tau2: Array) -> Array:
        """Twice the restricted log-likelihood, but for a constant."""
        w, total, mean = self.weighed(tau2)
        logs = np.log(np.where(self.here, w, 1.0)).sum(1) - np.log(total)
        return np.asarray(logs - (w * (self.y - mean[:, None]) ** 2).sum(1))

    def slope(self, tau2: Array) -> Array:
        """Twice the slope of the restricted log-likelihood."""
        w, total, mean = self.weighed(tau2)
        squares = w**2
        return np.asarray((squares * (self.y - mean[:, None]) ** 2).sum(1) - total + squares.sum(1) / total)


def random_effects(y: Array, v: Array, *, conf_level: float = 0.95) -> Averages:
    """Average the estimates of several studies whose effects differ, row by row.

    Parameters
    ----------
    y : array (p, k)
        One row a set of studies; missing where a study is not in it. Each row needs two.
    v : array (p, k)
        Their variances, above zero.
    conf_level : float
        Of the interval of the variance between studies.

    Notes
    -----
    Weights are ``1 / (v + tau2)`` with ``tau2`` by restricted maximum likelihood (Viechtbauer 2005). The
    variance of the mean is ``max(1, s) / sum(w)`` with ``s = sum(w (y - mean)^2) / (k - 1)`` (Hartung and
    Knapp 2001; Sidik and Jonkman 2002), never less than without ``s`` (Knapp and Hartung 2003; Roever, Knapp
    and Friede 2015). The interval of ``tau2`` holds all values at which the distances from the mean lie
    within the middle of a chi-square (Viechtbauer 2007), and ``i_squared`` is ``tau2 / (tau2 + v*)`` with
    ``v*`` a typical variance within a study (Higgins and Thompson 2002).

    Examples
    --------
    >>> found = random_effects(np.array([[0.0, 2.0, 4.0]]), np.array([[1.0, 1.0, 1.0]]))
    >>> found.mean.round(6).tolist(), found.tau2.round(6).tolist(), (found.error**2).round(6).tolist()
    ([2.0], [3.0], [1.333333])
    """
    here = np.isfinite(y) & np.isfinite(v)
    sets, studies = _Sets(np.where(here, y, 0.0), np.where(here, v, 1.0), here), here.sum(1)
    nothing, df = np.zeros(len(y)), studies - 1.0
    tau2 = _reml(sets)
    w, total, mean = sets.weighed(tau2)
    root = np.sqrt(w / (df * total)[:, None]) * (sets.y - mean[:, None])
    own = (root**2).sum(1)
    excess = np.maximum(1 / total - own, 0.0)
    q, tail = sets.distance(nothing), (1 - conf_level) / 2
    low, high = (_where_falls(sets, chdtri(df, at)) for at in (tail, 1 - tail))
    fixed, precision, common = sets.weighed(nothing)
    typical = df * precision / (precision**2 - (fixed**2).sum(1))
    return Averages(
        studies=studies,
        mean=mean,
        error=np.sqrt(own + excess),
        root=root,
        excess=excess,
        tau2=tau2,
        tau2_low=low,
        tau2_high=high,
        i_squared=tau2 / (tau2 + typical),
        q=q,
        q_p_value=chdtrc(df, q),
        common=common,
        common_error=1 / np.sqrt(precision),
    )


def _reml(sets: _Sets) -> Array:
    """Return the variance between studies at the top of the restricted likelihood, or 0."""
    far = np.where(sets.here, sets.y, -np.inf).max(1) - np.where(sets.here, sets.y, np.inf).min(1)
    # Beyond this the likelihood falls whatever the weights are.
    high = np.maximum(np.where(sets.here, sets.v, 0.0).max(1), 6 * far**2)
    top = np.array([sets.likelihood(high * point) for point in _POINTS]).argmax(0)
    last = len(_POINTS) - 1
    return _root(
        sets.slope, high * _POINTS[np.maximum(top - 1, 0)], high * _POINTS[np.minimum(top + 1, last)]
    )


def _where_falls(sets: _Sets, target: Array) -> Array:
    """Return the variance between studies at which the distance falls to the target; 0 if it is below."""
    here = sets.here
    centre = (here * sets.y).sum(1) / here.sum(1)
    furthest = (here * (sets.y - centre[:, None]) ** 2).sum(1) / target
    return _root(lambda tau2: sets.distance(tau2) - target, np.zeros(len(target)), furthest)


def _root(f: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """Halve the intervals from ``low`` to ``high`` until they hold one number, where ``f`` falls through 0.

    Where an interval begins at 0 and ``f`` is below it there, that is 0.
    """
    high = np.where((low == 0) & (f(low) <= 0), low, high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = f(middle) > 0
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return high
