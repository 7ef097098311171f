"""The three scales of an effect on the treated: they follow from one effect and the treated's own rate."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def unit_of(scale: str, per: str) -> str:
    """Return the unit of an effect on one of the three scales."""
    return {"difference": per, "log ratio": "log ratio", "events avoided": "events"}[scale]


def three_scales(
    effect: float, rate: float, person_time: float, *, family: Literal["linear", "poisson"]
) -> tuple[dict[str, float], Array]:
    """Return an effect on the three scales, and the derivatives by the effect and by the rate.

    With ``O = rate x person_time`` and ``M`` the events expected without support: the difference in rates
    ``(O - M) / P``, the logarithm of ``O / M`` and the events avoided ``M - O``. The person-time is what
    was observed and has no error of its own, so that difference and events avoided say the same.

    Parameters
    ----------
    effect : float
        The difference in rates (linear) or the logarithm of the ratio (Poisson).
    rate : float
        Of the treated with support, in the unit of the difference.
    person_time : float
        Of the treated with support, so that ``rate x person_time`` are events.

    Returns
    -------
    values : dict of scale to value
        The scale of the model first. No log ratio where ``O`` or ``M`` is not above zero.
    jacobian : array (2, scales)

    Examples
    --------
    >>> values, _ = three_scales(np.log(0.8), 40.0, 2.0, family="poisson")
    >>> {name: round(value, 4) for name, value in values.items()}
    {'log ratio': -0.2231, 'difference': -10.0, 'events avoided': 20.0}
    """
    if family == "poisson":
        left = float(np.exp(-effect))
        values = {"log ratio": float(effect), "difference": rate * (1 - left)}
        slopes = [[1.0, 0.0], [rate * left, 1 - left]]
    else:
        values, slopes = {"difference": effect}, [[1.0, 0.0]]
        if rate > 0 and rate - effect > 0:
            values["log ratio"] = float(np.log(rate / (rate - effect)))
            slopes.append([1 / (rate - effect), 1 / rate - 1 / (rate - effect)])
    difference = list(values).index("difference")
    values["events avoided"] = -person_time * values["difference"]
    slopes.append([-person_time * s for s in slopes[difference]])
    return values, np.array(slopes).T
