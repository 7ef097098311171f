"""From each person's influence to the root of a covariance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.errors import DesignError
from impact.numbers.regress import pseudo_inverse

Array = NDArray[np.float64]


def cluster_codes(cluster: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Number the clusters from 0 in order of appearance, and give their identifiers in that order.

    Examples
    --------
    >>> import numpy as np
    >>> codes, names = cluster_codes(np.array(["b", "a", "b"]))
    >>> codes.tolist(), names.tolist()
    ([0, 1, 0], ['b', 'a'])
    """
    codes, names = pd.factorize(np.asarray(cluster))
    return codes.astype(np.int64), np.asarray(names)


def cluster_sums(influence: Array, codes: NDArray[np.int64], clusters: int) -> Array:
    """Sum influences, (n,) or (n, k), within clusters."""
    if influence.ndim == 1:
        return np.bincount(codes, weights=influence, minlength=clusters).astype(float, copy=False)
    return np.column_stack([np.bincount(codes, weights=column, minlength=clusters) for column in influence.T])


def cr1(clusters: int, rows: int, parameters: int) -> float:
    """Return the small-sample factor of CR1: G / (G - 1) x (N - 1) / (N - K).

    Examples
    --------
    >>> round(cr1(384, 768, 4), 8)
    1.00654792
    """
    return clusters / (clusters - 1) * (rows - 1) / (rows - parameters)


def wald(estimate: Array, vcov: Array) -> tuple[float, int]:
    """Return the Wald statistic of 'all are zero', and its degrees of freedom.

    Examples
    --------
    >>> import numpy as np
    >>> wald(np.array([1.0, 2.0]), np.eye(2))
    (5.0, 2)
    """
    inverse, rank = pseudo_inverse(vcov)
    if rank < len(estimate):
        raise DesignError(
            f"{len(estimate)} effects cannot be tested together: the data carry only {rank}. "
            "Average them first, for instance by event time."
        )
    return float(estimate @ inverse @ estimate), rank
