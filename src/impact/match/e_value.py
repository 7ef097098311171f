"""How strong an unmeasured confounder would have to be to explain a ratio away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from impact.errors import DesignError, ParameterError, nearest
from impact.results import Bounds, Effects

Array = NDArray[np.float64]
Measure = Literal["risk ratio", "rate ratio", "common odds ratio", "common hazard ratio", "mean difference"]


def _as_hazard(ratio: Array) -> Array:
    return np.asarray((1 - 0.5 ** np.sqrt(ratio)) / (1 - 0.5 ** np.sqrt(1 / ratio)))


# The risk ratio that another measure stands for, where the outcome is common.
_RISK_RATIO: Mapping[str, Callable[[Array], Array]] = {
    "risk ratio": np.asarray,
    "rate ratio": np.asarray,
    "common odds ratio": np.sqrt,
    "common hazard ratio": _as_hazard,
    "mean difference": lambda d: np.exp(0.91 * d),
}


def e_value(effects: Effects, *, true_ratio: float = 1.0) -> Bounds:
    """Say how strongly an unmeasured confounder would have to go with support and with the outcome.

    The E-value is the smallest ratio by which something that was not measured would have to make both support
    and the outcome more likely, beyond the covariates, for the whole effect to be its doing.

    Parameters
    ----------
    effects : Effects
        With log ratios; one row of the result for each.
    true_ratio : float
        The ratio that the effect would be moved to; 1 for none.

    Returns
    -------
    Bounds
        ``estimate, conf_low, conf_high`` are those of the log ratio; ``e_value`` is for the estimate and
        ``breakdown`` for the end of the interval nearer to ``true_ratio`` (1 where the interval holds it).

    Raises
    ------
    DesignError
        For effects without a ratio.
    ParameterError
        For a ``true_ratio`` that is not above 0.

    References
    ----------
    VanderWeele, T. J. and Ding, P. (2017). Sensitivity analysis in observational research: introducing the
    E-value. Annals of Internal Medicine 167, 268-274.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data import Cohort
    >>> from impact.match import rate_ratio
    >>> frame = pd.DataFrame({"helped": [1, 1, 0, 0], "visits": [1, 2, 4, 2]})
    >>> cohort = Cohort.from_frame(frame, treated="helped", outcomes=["visits"])
    >>> e_value(rate_ratio(cohort, outcome="visits")).table[["e_value", "breakdown"]].round(2).values.tolist()
    [[3.41, 1.0]]
    """
    if not true_ratio > 0:
        raise ParameterError(f"true_ratio={true_ratio}: give a ratio above 0; 1 for no effect.")
    shown = effects.select(effects.labels["scale"] == "log ratio")
    if not len(shown):
        raise DesignError("effects: they hold no ratio, and an E-value is that of a ratio.")
    table = shown.table.reset_index(drop=True)
    ratios = np.exp(table[["estimate", "conf_low", "conf_high"]].to_numpy(float))
    point, end = needed(*ratios.T, true_ratio=true_ratio)
    kept = ["outcome", "term", "scale", "unit", "estimate", "conf_low", "conf_high", "conf_level"]
    table = table[kept].assign(
        restriction="unmeasured confounding", null_value=0.0, e_value=point, breakdown=end
    )
    return Bounds(table, {**effects.method, "true_ratio": true_ratio}, shown.counts.reset_index(drop=True))


def needed(
    estimate: Array | float,
    conf_low: Array | float,
    conf_high: Array | float,
    *,
    measure: Measure = "rate ratio",
    true_ratio: float = 1.0,
) -> tuple[Array, Array]:
    """E-values of an estimate and of its interval, on the scale of the measure itself (not its logarithm).

    'mean difference' is in standard deviations; the 'common' ones are of outcomes that more than about 15%
    have.

    Examples
    --------
    >>> point, end = needed(3.9, 1.8, 8.7)
    >>> round(float(point), 6), round(float(end), 1)
    (7.263034, 3.0)
    """
    if measure not in _RISK_RATIO:
        raise ParameterError(
            f"measure={measure!r}: use {', '.join(map(repr, _RISK_RATIO))}.{nearest(measure, _RISK_RATIO)}"
        )
    point, low, high = (
        _RISK_RATIO[measure](np.asarray(v, float)) / true_ratio for v in (estimate, conf_low, conf_high)
    )
    end = np.where(point >= 1, low, high)
    holds = (low <= 1) & (high >= 1)
    return _e(point), np.where(holds, 1.0, _e(end))


def _e(ratio: Array) -> Array:
    above = np.maximum(ratio, 1 / ratio)
    return np.asarray(above + np.sqrt(above * (above - 1)))
