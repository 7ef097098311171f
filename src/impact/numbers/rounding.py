"""Rounding to significant digits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def significant(values: ArrayLike, digits: Any) -> Array:
    """Round to so many significant digits.

    Examples
    --------
    >>> significant([31.06, -0.001999, 0.0], 2).tolist()
    [31.0, -0.002, 0.0]
    """
    exact = np.asarray(values, float)
    return to_places(exact, digits - 1 - magnitude(exact))


def magnitude(values: ArrayLike) -> Array:
    """Return the power of ten of the first digit; missing for what has none.

    Examples
    --------
    >>> magnitude([31.06, -0.001999, 0.0]).tolist()
    [1.0, -3.0, nan]
    """
    size = np.abs(np.asarray(values, float))
    return np.asarray(np.floor(np.log10(np.where(size > 0, size, np.nan))))


def to_places(values: Array, places: ArrayLike) -> Array:
    """Round each value to its own number of decimal places; 0 gets no sign.

    Examples
    --------
    >>> to_places(np.array([31.06, 31.06]), [1, -1]).tolist()
    [31.1, 30.0]
    """
    at = np.broadcast_to(np.asarray(places, float), values.shape).ravel()
    known = np.isfinite(values).ravel() & np.isfinite(at)
    pairs = zip(values.ravel().tolist(), at.tolist(), known, strict=True)
    return np.array([round(v, int(p)) + 0.0 if ok else v for v, p, ok in pairs], float).reshape(values.shape)
