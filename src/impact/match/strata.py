"""Weights of people who are compared within strata."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from impact.match.propensity import Array, Rows


def stratum_weights(stratum: Rows, treated: NDArray[np.bool_], estimand: str) -> Array:
    """Weight people so that both arms are spread over the strata as those aimed at are.

    Parameters
    ----------
    stratum : array (n,) of int
        From 1, 0 for none; each stratum has people of both arms.
    treated : array (n,)
    estimand : 'ATT', 'ATC' or 'ATE'

    Returns
    -------
    array (n,)
        0 outside the strata; in each arm 1 on average over those within.

    Examples
    --------
    >>> helped = np.array([True, True, True, False, False, False])
    >>> stratum_weights(np.array([1, 1, 2, 1, 2, 2]), helped, "ATT").tolist()
    [1.0, 1.0, 1.0, 2.0, 0.5, 0.5]
    """
    count = {arm: np.bincount(stratum[treated == arm], minlength=stratum.max() + 1) for arm in (True, False)}
    aim = {"ATT": count[True], "ATC": count[False], "ATE": count[True] + count[False]}[estimand]
    weight = np.zeros(len(stratum))
    for arm, n in count.items():
        # Nobody stands for a stratum of nobody, and number 0 is none.
        share = aim / np.maximum(n, 1) * (n[1:].sum() / aim[1:].sum())
        share[0] = 0.0
        weight[treated == arm] = share[stratum[treated == arm]]
    return weight
