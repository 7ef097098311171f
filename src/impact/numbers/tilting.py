"""Exponential tilting: the weights nearest to given ones under which averages reach their targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from impact.numbers.regress import pseudo_inverse

Array = NDArray[np.float64]

_STEPS = 100
_EXACT = 1e-11  # what may be left of a gap
_BLOCK = 4096  # people at once, so that what is worked on stays near the processor
_MANY = 20_000  # more people than this are approached by way of a part of them
_SMALL = 1e-9


@dataclass(frozen=True, eq=False)
class Tilt:
    """Weights ``share (n,)`` that sum to 1, proportional to ``base * exp(coef @ z)``.

    ``gap (k,)`` is the average of each row of ``z``, and ``left (k,)`` what of it should not be there.
    """

    share: Array
    coef: Array
    gap: Array
    left: Array

    @property
    def worst(self) -> int:
        """The row that is farthest from its target."""
        return int(np.abs(self.left).argmax())

    @property
    def solved(self) -> bool:
        """Whether every average reached its target."""
        return bool(np.abs(self.left).max(initial=0.0) < _SMALL)


def tilt(z: Array, base: Array, *, tolerance: float = 0.0, start: Array | None = None) -> Tilt:
    """Weight people so that every row of ``z (k, n)`` averages 0, or lies within ``tolerance`` of it.

    Newton's method on the dual, ``log sum(base * exp(coef @ z)) + tolerance * sum(abs(coef))``, which is
    convex in as many unknowns as there are rows. Where the targets cannot be reached the search ends with
    ``solved`` false, and ``worst`` names a row that stands in the way.

    Parameters
    ----------
    z : array (k, n)
        Less their targets, in units in which 1 is large.
    base : array (n,)
        Weights to stay near to, at least 0.
    tolerance : float
    start : array (k,), optional

    References
    ----------
    Hainmueller, J. (2012). Entropy balancing for causal effects. Political Analysis 20, 25-46. With a
    tolerance: Zubizarreta, J. R. (2015). Journal of the American Statistical Association 110, 910-922, and
    Wang, Y. and Zubizarreta, J. R. (2020). Biometrika 107, 93-105.

    Examples
    --------
    >>> found = tilt(np.array([[-1.0, 0.0, 2.0]]), np.ones(3))
    >>> float(abs(found.share @ [-1, 0, 2])) < 1e-9, found.solved
    (True, True)
    """
    if start is None and len(base) > _MANY and base[::10].any():
        # A tenth of the people leads near to the solution, which is the same from wherever it is reached.
        near = tilt(np.ascontiguousarray(z[:, ::10]), base[::10], tolerance=tolerance)
        start = near.coef if near.solved else None
    coef = np.zeros(len(z)) if start is None else start
    with np.errstate(divide="ignore"):
        log_base = np.log(base / base.sum())
    # Where a target is out of reach the dual falls for ever; where it is not, one person's term bounds it.
    floor = log_base[np.isfinite(log_base)].min() - 1
    value, share = _dual(z, log_base, coef, tolerance)
    before = np.inf
    for _ in range(_STEPS):
        gap, square = _moments(z, share)
        spread = square - np.outer(gap, gap)
        now = Tilt(share, coef, gap, _left(gap, coef, tolerance))
        left = np.abs(now.left).max(initial=0.0)
        # Below _SMALL a step that does not bring it down has met rounding.
        if left < _EXACT or value < floor or (left < _SMALL and left > before / 2):
            break
        before = left
        step = _step(gap, spread, coef, tolerance)
        # In this direction the dual falls by about this much, which a good step nearly achieves.
        fall = gap @ step + tolerance * (np.abs(coef + step) - np.abs(coef)).sum()
        for _ in range(40):
            after, moved = _dual(z, log_base, coef + step, tolerance)
            if after <= value + 0.1 * fall + 1e-13 * (1 + abs(value)):
                break
            step, fall = step / 2, fall / 2
        else:
            break
        coef, value, share = coef + step, after, moved
    return now


def gram(z: Array, weight: Array) -> Array:
    """Sum ``weight * z z'`` over people, (k, k), block by block."""
    return _moments(z, weight)[1]


def _dual(z: Array, log_base: Array, coef: Array, tolerance: float) -> tuple[float, Array]:
    line = coef @ z + log_base
    top = line.max()
    share = np.exp(line - top)
    total = share.sum()
    return float(top + np.log(total) + tolerance * np.abs(coef).sum()), share / total


def _moments(z: Array, share: Array) -> tuple[Array, Array]:
    """Averages (k,) of the rows and of their products (k, k)."""
    square = np.zeros((len(z), len(z)))
    root = np.sqrt(share)
    for at in range(0, z.shape[1], _BLOCK):
        block = z[:, at : at + _BLOCK] * root[at : at + _BLOCK]
        square += block @ block.T
    return z @ share, square


def _left(gap: Array, coef: Array, tolerance: float) -> Array:
    """By how much each gap misses what it should be: within the tolerance, and at its end where it binds."""
    outside = np.sign(gap) * np.maximum(np.abs(gap) - tolerance, 0)
    return np.where(coef == 0, outside, gap + tolerance * np.sign(coef))


def _step(gap: Array, spread: Array, coef: Array, tolerance: float) -> Array:
    """Minimise the quadratic model of the dual; with a tolerance one coefficient at a time."""
    if tolerance == 0:
        return -pseudo_inverse(spread)[0] @ gap
    new, slope = coef.copy(), gap.copy()
    size = np.diag(spread)
    for _ in range(200):
        largest = 0.0
        for j in np.flatnonzero(size > 0):
            aim = size[j] * new[j] - slope[j]
            moved = np.sign(aim) * max(abs(aim) - tolerance, 0) / size[j] - new[j]
            if moved:
                new[j] += moved
                slope += moved * spread[j]
                largest = max(largest, abs(moved))
        if largest < 1e-12:
            break
    return np.asarray(new - coef)
