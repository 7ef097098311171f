"""How precisely counts can be compared, and how often a study of that precision finds an effect.

Counts are Poisson given each person's need; need has mean 1 and variance ``a`` (the dispersion), so that a
count with mean ``m`` has variance ``m + a m^2``. A part ``c`` of ``a`` is shared by all in one building.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

_NODES = 24


class FollowUp(NamedTuple):
    """Times at risk, (j,), and the share of people followed so long."""

    times: Array
    shares: Array

    def mean(self, values: ArrayLike) -> float:
        """Average over people of what goes with each time."""
        return float(self.shares @ np.broadcast_to(np.asarray(values, float), self.times.shape))


class Need(NamedTuple):
    """How needs differ: variance of a person's own, of the building's, and how far each lasts (1: wholly)."""

    own: float
    shared: float = 0.0
    own_lasts: float = 1.0
    shared_lasts: float = 1.0


def follow_up(time: float, lost: float) -> FollowUp:
    """Times at risk of people who are lost at a constant rate, so that a share is lost by the end.

    Examples
    --------
    >>> found = follow_up(12, 0.2)
    >>> round(found.mean(found.times), 4)  # 12 x 0.2 / -log(0.8)
    10.7554
    >>> follow_up(12, 0).times.tolist()
    [12.0]
    """
    if lost == 0:
        return FollowUp(np.array([float(time)]), np.ones(1))
    at, weight = np.polynomial.legendre.leggauss(_NODES)
    hazard = -np.log1p(-lost) / time
    times = time * (at + 1) / 2
    shares = hazard * np.exp(-hazard * times) * weight * time / 2
    return FollowUp(np.append(times, time), np.append(shares, 1 - lost))


def design_effect(size: float, icc: float, size_cv: float = 0.0) -> float:
    """How many times larger variances are where people of one building are alike.

    ``1 + ((cv^2 + 1) size - 1) icc`` for buildings of mean ``size``, with ``cv`` the standard deviation of
    sizes over their mean (Eldridge, Ashby and Kerry 2006, International Journal of Epidemiology 35, 1292).

    Examples
    --------
    >>> round(design_effect(10, 0.05), 2), round(design_effect(10, 0.05, 0.65), 4)
    (1.45, 1.6613)
    """
    return 1 + ((size_cv**2 + 1) * size - 1) * icc


def after_only(rate: float, time: FollowUp, need: Need, *, mates: float = 0.0, alike: float = 0.0) -> float:
    """Variance, times people, of the logarithm of an arm's rate: events over time, all people together.

    ``1/m + a E[t^2]/E[t]^2 + mates c``, where ``m = rate E[t]``.

    Parameters
    ----------
    rate : float
        Events a unit of time.
    time : FollowUp
    need : Need
    mates : float
        Further people of the same building and arm that a person has, averaged over people.
    alike : float
        Share of the variance of need in which matched people agree, which falls out of their comparison.

    Examples
    --------
    >>> year = follow_up(1, 0)
    >>> round(after_only(0.5, year, Need(0.1)), 4)  # 1/0.5 + 0.1
    2.1
    """
    a, uneven = need.own + need.shared, _uneven(time.times, time)
    return 1 / (rate * time.mean(time.times)) + a * (uneven - alike) + mates * need.shared


def change_by_arm(before: float, rate: float, time: FollowUp, need: Need, *, mates: float = 0.0) -> float:
    """Variance, times people, of the logarithm of an arm's ratio of after to before, all people together.

    Before and after share a person's need, so that it cancels as far as it lasts:
    ``1/m0 + 1/m1 + a (E[t^2]/E[t]^2 + 1 - 2 lasts)`` and, for each of ``mates``, ``2 c (1 - lasts)``.

    Parameters
    ----------
    before : float
        Events of a person before, ``m0``; everyone is followed all of that time.
    rate, time, need, mates
        After, as for ``after_only``.

    Examples
    --------
    >>> year = follow_up(1, 0)
    >>> [round(change_by_arm(0.5, 0.5, year, Need(1.0, own_lasts=r)), 2) for r in (1, 0.5, 0)]
    [4.0, 5.0, 6.0]
    """
    uneven = _uneven(time.times, time) + 1
    chance = 1 / before + 1 / (rate * time.mean(time.times))
    return chance + _changes(need, lambda lasts: uneven - 2 * lasts, mates)


def change_by_person(before: float, rate: float, time: FollowUp, need: Need, *, mates: float = 0.0) -> float:
    """Variance, times people, of the same with an effect for each person (conditional Poisson).

    Given a person's total, the number after is binomial. With ``h = m0 m1 / (m0 + m1)``:
    ``1/E[h] + 2 a (1 - lasts) E[h^2]/E[h]^2`` and, for each of ``mates``, ``2 c (1 - lasts)``. Need that
    lasts falls out even where people are followed for unlike times.

    Examples
    --------
    >>> year = follow_up(1, 0)
    >>> [round(change_by_person(0.5, 0.5, year, Need(1.0, own_lasts=r)), 2) for r in (1, 0.5, 0)]
    [4.0, 5.0, 6.0]
    """
    h = before * rate * time.times / (before + rate * time.times)
    uneven = _uneven(h, time)
    return 1 / time.mean(h) + _changes(need, lambda lasts: 2 * (1 - lasts) * uneven, mates)


def _changes(need: Need, left: Callable[[float], float], mates: float) -> float:
    """What of the variance of need is left in changes: of people themselves, and of their buildings."""
    own = need.own * left(need.own_lasts) + need.shared * left(need.shared_lasts)
    return own + mates * need.shared * 2 * (1 - need.shared_lasts)


def _uneven(values: Array, time: FollowUp) -> float:
    return time.mean(values**2) / time.mean(values) ** 2


def power(effect: ArrayLike, error: ArrayLike, df: ArrayLike, level: float = 0.05) -> Array:
    """How often a two-sided test finds the effect, in its own direction: noncentral t.

    The other direction does not count: who finds a rise where support brought a fall has not found it.

    Parameters
    ----------
    effect, error : array_like
        On the scale of the test, such as the logarithm of a ratio, and its standard error there.
    df : array_like
        Degrees of freedom of the test; infinite for a normal.

    Examples
    --------
    >>> power(np.log([0.7, 0.5]), 0.2, np.inf).round(3).tolist(), power(np.log(0.5), 0.2, 7).round(3).tolist()
    ([0.43, 0.934], 0.843)
    """
    from scipy.special import nctdtr, ndtr, ndtri, stdtrit

    effect, error, df = (np.asarray(v, float) for v in (effect, error, df))
    apart, known = np.abs(effect) / error, np.where(np.isfinite(df), df, 1.0)
    few = nctdtr(known, -apart, -stdtrit(known, 1 - level / 2))
    return np.asarray(np.where(np.isfinite(df), few, ndtr(apart + ndtri(level / 2))))
