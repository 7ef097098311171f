"""For whom an effect is estimated, which methods can do so, and whether it leans on one person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from impact.errors import DesignError
from impact.match.propensity import check_word

Estimand = Literal["ATT", "ATC", "ATE", "ATO", "ATM"]

_FOR = {
    "ATT": "the supported",
    "ATC": "the controls",
    "ATE": "everyone",
    "ATO": "people who might as well have been in either arm",
    "ATM": "people for whom there is somebody alike in the other arm",
}


def check_estimand(estimand: str, method: str, has: Sequence[str], instead: str) -> None:
    """Refuse an estimand that a method lacks, and name a method that has it (``instead``).

    Examples
    --------
    >>> check_estimand("ATO", "subclass", ["ATT", "ATC", "ATE"], "inverse_probability")
    Traceback (most recent call last):
    impact.errors.DesignError: estimand='ATO' (the effect on people who might as well have been in either \
arm): subclass has 'ATT', 'ATC', 'ATE'; use inverse_probability.
    """
    check_word("estimand", estimand, get_args(Estimand))
    if estimand not in has:
        raise DesignError(
            f"estimand={estimand!r} (the effect on {_FOR[estimand]}): {method} has "
            f"{', '.join(map(repr, has))}; use {instead}."
        )


# In simulations, intervals of 95% hold 68% to 89% where one to three people stand for half of an arm.
_HEAVY = 0.15


def leaning(person: NDArray[np.int64], treated: NDArray[np.bool_], weight: NDArray[np.float64]) -> list[str]:
    """Say so where somebody carries much of the weight of their arm, and more than an equal share of it.

    Examples
    --------
    >>> everyone, treated = np.arange(7), np.arange(7) < 4
    >>> even, one = np.ones(7), np.array([1, 1, 1, 1, 9.0, 1, 1])
    >>> len(leaning(everyone, treated, even)), len(leaning(everyone, treated, one))
    (0, 1)
    """
    for arm in (treated, ~treated):
        carried = np.bincount(person[arm], weight[arm])
        if carried.max() > carried.sum() * max(_HEAVY, 2 / np.count_nonzero(carried)):
            return [
                "One person carries more than 15% of the weight of their side, so the ranges may be too "
                "narrow: use wider strata, a caliper or more controls."
            ]
    return []
