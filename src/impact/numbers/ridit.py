"""Slopes over ordered groups of a population, from the first to the last of its people (ridits)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def ridits(size: ArrayLike) -> Array:
    """Return the middle of each group's range in the cumulated population, from 0 to 1.

    Examples
    --------
    The first group has 12% of the people and the second 10%:

    >>> ridits([12, 10, 78]).round(3).tolist()
    [0.06, 0.17, 0.61]
    """
    share = np.asarray(size, float) / np.sum(size)
    return np.asarray(np.cumsum(share) - share / 2)


def slope_weights(size: ArrayLike) -> tuple[Array, Array]:
    """Weights by which the values of groups give the two ends of the line fitted to them.

    The line is least squares on the ridits, each group weighted by its people. The first end is the value
    that it foretells for the very first of the people, the second that for the very last: their difference
    is the slope index of inequality, their ratio the relative index.

    Parameters
    ----------
    size : array (k,)
        People of each group, in order; two groups at least.

    Returns
    -------
    first, last : array (k,)

    References
    ----------
    Mackenbach and Kunst (1997), Social Science & Medicine 44, 757-771; Public Health England's technical
    guide to the slope index of inequality.

    Examples
    --------
    Values on a line are foretold exactly:

    >>> size = [10, 30, 60]
    >>> values = 5 - 2 * ridits(size)
    >>> first, last = slope_weights(size)
    >>> float(round(first @ values, 10)), float(round(last @ values, 10))
    (5.0, 3.0)
    """
    share, x = np.asarray(size, float) / np.sum(size), ridits(size)
    apart = x - share @ x
    slope = share * apart / (share @ apart**2)
    middle = share @ x
    return share - middle * slope, share + (1 - middle) * slope
