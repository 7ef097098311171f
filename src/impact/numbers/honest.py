"""Intervals that hold when trends were not quite parallel (Rambachan and Roth 2023).

``beta`` holds the effects by event time, in order and without the reference period: the first ``before`` of
them are differences before support, the others are effects. A difference that is not due to support
(``delta``) is all that is seen before support and a part of what is seen after it. The two classes say how
large that part may be, and give an interval for the weighted sum of the effects after support.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri

Array = NDArray[np.float64]

_FIRST_STAGE = 0.1  # share of alpha that the least favourable test of the hybrid spends
_DIRECTIONS = 1024
_SCAN = 256
_HALVINGS = 20
_SMALL = 1e-9


class RelativeMagnitudes:
    """Steps of ``delta`` after support are at most ``m_bar`` times the largest step before it.

    The interval inverts the conditional and least favourable hybrid test of Andrews, Roth and Pakes (2023)
    for each step before support and each sign as the largest, and takes the union, from its lowest to its
    highest point. The test is the one of the paper, with moments after support only, without its linear
    programmes: its statistic is the largest of the programme's dual vertices, and these are known. With
    ``d`` the steps after support, ``v`` the largest step before it and ``L`` the sums of the weights from
    each step on, multipliers ``p`` of ``d - m_bar v <= 0`` and ``q`` of ``-d - m_bar v <= 0`` must have
    ``p - q`` proportional to ``L``. Its vertices are therefore ``p = L``; ``q = L``; and ``p = q`` at one
    step, of which only the one with the least and the one with the largest error are not between others.

    Parameters
    ----------
    beta : array (k,)
        Effects by event time without the reference period.
    vcov : array (k, k)
        Their covariance.
    before : int
        How many are before the reference period.
    weights : array (k - before,)
        Of the effects after it in the target; none below zero.
    conf_level : float

    Examples
    --------
    >>> import numpy as np
    >>> bounds = RelativeMagnitudes(np.array([0.1, 2.0]), np.eye(2), 1, np.array([1.0]))
    >>> np.round(bounds.interval(0.0), 2).tolist()
    [0.04, 3.96]
    """

    def __init__(
        self, beta: Array, vcov: Array, before: int, weights: Array, conf_level: float = 0.95
    ) -> None:
        path = np.insert(np.eye(len(beta)), before, 0.0, axis=0)
        steps = np.diff(path, axis=0)
        largest, after = np.vstack([steps[:before], -steps[:before]]), steps[before:]
        target = np.concatenate([np.zeros(before), weights])
        self.alpha = 1 - conf_level
        self.reach = np.cumsum(weights[::-1])[::-1]
        self.x, self.v = float(target @ beta), largest @ beta
        self.var_v = np.einsum("ij,jk,ik->i", largest, vcov, largest)
        self.var_after = np.einsum("ij,jk,ik->i", after, vcov, after)
        self.cov_after = largest @ vcov @ after.T
        # Covariance of (target, largest step before support), one for each candidate for the largest.
        self.joint = np.empty((len(largest), 2, 2))
        self.joint[:, 0, 0] = target @ vcov @ target
        self.joint[:, 0, 1] = self.joint[:, 1, 0] = largest @ vcov @ target
        self.joint[:, 1, 1] = self.var_v

    def interval(self, m_bar: float) -> tuple[float, float]:
        """Return the lowest and the highest effect that the test does not reject."""
        slope = m_bar * self.reach.sum()
        square = self.var_after + m_bar**2 * self.var_v[:, None]
        rise = np.sqrt(np.clip(square - 2 * m_bar * self.cov_after, 0, None))
        fall = np.sqrt(np.clip(square + 2 * m_bar * self.cov_after, 0, None))
        high = _highest(self.x, self.v, slope, self._vertices(m_bar, rise, fall), self.joint, self.alpha)
        # The lower end is the upper end of the mirror image.
        mirror = self.joint * [[1, -1], [-1, 1]]
        low = -_highest(-self.x, self.v, slope, self._vertices(m_bar, fall, rise), mirror, self.alpha)
        return low, high

    def _vertices(self, m_bar: float, rise: Array, fall: Array) -> Array:
        """The statistics as linear functions of (target less the effect tested, largest step): (s, 4, 2)."""
        out = np.zeros((len(rise), 4, 2))
        total, both = self.reach.sum(), rise + fall
        for j, (sign, scale) in enumerate([(1, rise @ self.reach), (-1, fall @ self.reach)]):
            out[:, j, 0], out[:, j, 1] = sign / scale, -m_bar * total / scale
        out[:, 2, 1], out[:, 3, 1] = -2 * m_bar / both.min(1), -2 * m_bar / both.max(1)
        return out


def _highest(x: float, v: Array, slope: float, vertices: Array, joint: Array, alpha: float) -> float:
    """Return the highest effect that the test accepts for any of the candidates for the largest step."""
    cov = vertices @ joint @ vertices.transpose(0, 2, 1)
    critical = _least_favourable(vertices, joint, _FIRST_STAGE * alpha)
    # The first stage alone accepts from here to there, and everything within the identified set passes.
    inside = v >= 0
    top = x + slope * v + critical / -vertices[:, 1, 0]
    start = np.where(inside, x + slope * v, x - slope * v - critical / vertices[:, 0, 0])
    known = np.max(start, where=inside, initial=-np.inf)
    # A candidate that cannot reach beyond what another is known to accept does not decide the end.
    keep = np.flatnonzero((top >= start) & (top >= known))
    v, vertices, cov, critical = v[keep], vertices[keep], cov[keep], critical[keep]

    def accepted(effect: Array) -> NDArray[np.bool_]:
        value = vertices[:, :, :1] * (x - effect)[:, None] + (vertices[:, :, 1] * v[:, None])[:, :, None]
        return _accepted(value, cov, critical, alpha)

    low, length = start[keep], (top - start)[keep]
    scan = low[:, None] + length[:, None] * np.linspace(0, 1, _SCAN + 1)
    passed = accepted(scan)
    last = _SCAN - passed[:, ::-1].argmax(1)
    low, step = low + length * last / _SCAN, length / _SCAN * (last < _SCAN)
    for _ in range(_HALVINGS):
        step = step / 2
        low = np.where(accepted((low + step)[:, None])[:, 0], low + step, low)
    return float(np.max(low, where=passed.any(1), initial=-np.inf))


def _least_favourable(vertices: Array, joint: Array, kappa: float) -> Array:
    """Return the value that the largest statistic exceeds with probability ``kappa`` where all means are 0.

    Two standard normals are a direction, uniform on the circle, and a length, which exceeds ``r`` with
    probability ``exp(-r**2 / 2)``. So this is an average over directions, and needs no random draws.
    """
    values, vectors = np.linalg.eigh(joint)
    root = vectors * np.sqrt(np.clip(values, 0, None))[:, None, :]
    angle = 2 * np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS
    size = (vertices @ root @ np.stack([np.cos(angle), np.sin(angle)])).max(1)
    rate = 1 / np.clip(size, _SMALL, None) ** 2
    half_square = np.zeros(len(vertices))
    # The logarithm of the probability is convex in the square, so Newton's steps from 0 never overshoot.
    for _ in range(50):
        chance = np.exp(-half_square[:, None] * rate) * (size > _SMALL)
        total = chance.sum(1)
        change = np.log(total / (_DIRECTIONS * kappa)) * total / (chance * rate).sum(1)
        half_square += change
        if (np.abs(change) < 1e-10).all():
            break
    return np.asarray(np.sqrt(2 * half_square))


def _accepted(value: Array, cov: Array, critical: Array, alpha: float) -> NDArray[np.bool_]:
    """Whether the hybrid test accepts, for statistics (s, 4, n) with covariances (s, 4, 4).

    Given which statistic is largest and what is independent of it, it is a normal variable cut off below
    and above, where another would become the largest, and above at the first stage's critical value.
    """
    kappa = _FIRST_STAGE * alpha
    rest = (alpha - kappa) / (1 - kappa)
    s, which, largest = np.arange(len(value))[:, None], value.argmax(1), value.max(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.sqrt(cov[s, which, which])
        share = (cov[s, which] / error[:, :, None] ** 2).transpose(0, 2, 1)
        cut = (value - share * largest[:, None]) / (1 - share)
        floor = np.max(cut, axis=1, where=share < 1 - _SMALL, initial=-np.inf)
        ceiling = np.min(cut, axis=1, where=share > 1 + _SMALL, initial=np.inf)
        ceiling = np.minimum(ceiling, critical[:, None])
        tail = np.logaddexp(
            np.log(rest) + log_ndtr(-floor / error), np.log1p(-rest) + log_ndtr(-ceiling / error)
        )
        passed = (largest <= critical[:, None]) & (log_ndtr(-largest / error) >= tail)
    return np.asarray((largest <= 0) | passed)


class Smoothness:
    """The slope of ``delta`` changes by at most ``m`` from one period to the next.

    The interval is the shortest of fixed length around a linear function of the effects (Armstrong and
    Kolesar 2018). A function whose worst bias is finite is free of any straight line, so its bias is ``m``
    times the sum of its absolute weights ``c`` on the changes of slope, of which those after support are
    given. The least variance at each such sum is a lasso path, which is followed exactly.

    Parameters
    ----------
    beta, vcov, before, weights, conf_level
        As in ``RelativeMagnitudes``; ``vcov`` must be positive definite.

    Examples
    --------
    >>> import numpy as np
    >>> bounds = Smoothness(np.array([-1.0, 3.0]), np.eye(2), 1, np.array([1.0]))
    >>> np.round(bounds.interval(0.0), 2).tolist()
    [-0.77, 4.77]
    """

    def __init__(
        self, beta: Array, vcov: Array, before: int, weights: Array, conf_level: float = 0.95
    ) -> None:
        periods = np.arange(1, len(weights) + 1)
        line = float(weights @ periods)
        later = np.clip(periods - periods[:, None], 0, None) @ weights
        self.given = float(later.sum()) + line
        # The weight of the effect k periods before the reference is c[k-1] - 2 c[k] + c[k+1], with c[0] what
        # cancels the straight line and nothing beyond the first period, which stands first in beta.
        second = (np.eye(before) - 2 * np.eye(before, k=1) + np.eye(before, k=2))[::-1]
        self.base = np.concatenate([line * second[:, 0], weights])
        self.free = np.vstack([second[:, 1:], np.zeros((len(weights), before - 1))])
        root = np.linalg.cholesky(vcov).T
        self.beta, self.alpha = beta, 1 - conf_level
        self.design, self.offset = root @ self.free, root @ self.base
        self.penalty, self.path = _lasso_path(self.design.T @ self.design, -self.design.T @ self.offset)

    def interval(self, m: float) -> tuple[float, float]:
        """Return the ends of the shortest interval of fixed length."""
        c = self._at(self._best(m))
        centre, (bias, error) = float((self.base + self.free @ c) @ self.beta), self._bias_and_error(m, c)
        half = error * _folded(bias / error, self.alpha)
        return centre - half, centre + half

    def _at(self, penalty: float) -> Array:
        """Weights on the changes of slope at a point of the lasso path."""
        return np.array([np.interp(penalty, self.penalty, column) for column in self.path.T])

    def _bias_and_error(self, m: float, c: Array) -> tuple[float, float]:
        return (
            m * (self.given + float(np.abs(c).sum())),
            float(np.linalg.norm(self.offset + self.design @ c)),
        )

    def _best(self, m: float) -> float:
        """Penalty at which bias and error are exchanged at the rate that leaves the length unchanged.

        The length is convex in the weights, so the rate crosses the penalty once.
        """

        def gap(penalty: float) -> float:
            bias, error = self._bias_and_error(m, self._at(penalty))
            critical = _folded(bias / error, self.alpha)
            slope = np.tanh(critical * bias / error)  # of the critical value by the ratio
            return float(m * error * slope / (critical - bias / error * slope)) - penalty

        most = float(self.penalty[-1])
        return most if gap(most) >= 0 else _root(gap, 0.0, most, 1e-14 * most)


def _folded(ratio: float, alpha: float) -> float:
    """Return the 1 - alpha quantile of the absolute value of a normal variable with mean ``ratio``."""
    high = ratio + ndtri(1 - alpha / 2) + 1
    return _root(lambda at: ndtr(at - ratio) - ndtr(-at - ratio) - (1 - alpha), ratio, high, 1e-13)


def _root(f: Callable[[float], float], low: float, high: float, close: float) -> float:
    # Imported here because it takes as long as all else that is needed to read this file.
    from scipy.optimize import brentq

    return float(brentq(f, low, high, xtol=close, rtol=1e-12))


def _lasso_path(gram: Array, inner: Array) -> tuple[Array, Array]:
    """Minimise ``c @ gram @ c / 2 - inner @ c + penalty * abs(c).sum()`` at every penalty.

    Returns the penalties, from 0 up, between which the weights are straight lines, and the weights there.
    """
    penalty = float(np.abs(inner).max(initial=0.0))
    points = [(penalty, np.zeros(len(inner)))]
    last = int(np.abs(inner).argmax()) if penalty > 0 else 0
    side = np.where(np.arange(len(inner)) == last, np.sign(inner), 0.0)
    while penalty > 0:
        on = side != 0
        # Solved afresh at each point, so that errors do not build up along the path.
        c, slope = np.zeros((2, len(inner)))
        c[on], slope[on] = np.linalg.solve(
            gram[np.ix_(on, on)], np.column_stack([inner[on] - penalty * side[on], side[on]])
        ).T
        rest, fall = inner - gram @ c, gram @ slope
        with np.errstate(divide="ignore", invalid="ignore"):
            # How much lower the penalty may be until a weight leaves 0, up or down, or comes back to it.
            change = np.stack([(penalty - rest) / (1 - fall), (penalty + rest) / (1 + fall), -c / slope])
        change[:2, on], change[2, ~on] = np.inf, np.inf
        # The weight that has just left 0, or come back, is at this very point: it does not turn round.
        change[:, last][change[:, last] < _SMALL * penalty] = np.inf
        change[~(change > 0)] = np.inf
        kind, last = (int(n) for n in np.unravel_index(change.argmin(), change.shape))
        lower = min(float(change[kind, last]), penalty)
        penalty -= lower
        side[last] = (1.0, -1.0, 0.0)[kind]
        points.append((penalty, c + lower * slope))
    return np.array([p for p, _ in points[::-1]]), np.array([at for _, at in points[::-1]])


def breakdown(interval: Callable[[float], tuple[float, float]], start: float) -> float:
    """Return the largest limit at which the interval excludes 0; missing where it never does.

    Parameters
    ----------
    interval : callable
        Ends of the interval at a limit.
    start : float
        A limit of the size expected; the search doubles it until the interval includes 0.

    Examples
    --------
    >>> round(breakdown(lambda m: (1 - m / 3, 5 + m), 1.0), 6)
    3.0
    """
    low, high = interval(0.0)
    if low <= 0 <= high:
        return float("nan")

    def edge(limit: float) -> float:
        ends = interval(limit)
        return ends[0] if low > 0 else -ends[1]

    below, above = 0.0, start
    while edge(above) > 0:
        if above > 1e6 * start:
            return float("inf")
        below, above = above, 2 * above
    return _root(edge, below, above, 1e-7 * start)
