"""From each person's influence to the root of a covariance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

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


class Root(NamedTuple):
    """Rows of a root with the cluster and sign of each, and how many clusters are at risk."""

    root: Array
    clusters: NDArray[Any]
    sign: Array | None
    at_risk: int


def root_by(
    influence: Array,
    *ways: NDArray[Any],
    at_risk: NDArray[np.bool_] | None = None,
    factor: Callable[[int], float] = lambda clusters: 1.0,
) -> Root:
    """Sum influences within clusters; of two clusterings, both less their intersection.

    The covariance by two clusterings is V1 + V2 - V12, each with the factor of its own number of clusters
    (Cameron, Gelbach and Miller 2011). Rows say whether they add or subtract.

    Parameters
    ----------
    influence : array (n, k)
    *ways : arrays (n,)
        One clustering or two.
    at_risk : array (n,) of bool, optional
        Rows that count towards the number of clusters.
    factor : callable
        From a number of clusters to the factor on the variance, such as that of CR1.

    Returns
    -------
    Root
        ``clusters`` are the identifiers (one way) or pairs (which clustering, identifier), of the
        intersection (2, both identifiers); ``at_risk`` is the smaller number of clusters.

    Examples
    --------
    >>> import numpy as np
    >>> two = root_by(np.array([[1.0], [2], [4]]), np.array(["a", "a", "b"]), np.array([1, 2, 2]))
    >>> two.root.ravel().tolist(), two.sign.tolist()
    ([3.0, 4.0, 1.0, 6.0, 1.0, 2.0, 4.0], [1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0])
    """
    seen = np.ones(len(influence), bool) if at_risk is None else at_risk
    coded = [cluster_codes(way) for way in ways]
    if len(ways) == 2:
        (first, one), (second, other) = coded
        codes, pairs = cluster_codes(first * len(other) + second)
        # Named by what they are in both, so that results of other rows of the same people can be aligned.
        both = np.empty(len(pairs), object)
        both[:] = list(
            zip(one[pairs // len(other)].tolist(), other[pairs % len(other)].tolist(), strict=True)
        )
        coded.append((codes, both))
    roots, ids, size = [], [], []
    for codes, names in coded:
        size.append(int(np.count_nonzero(np.bincount(codes[seen], minlength=len(names)))))
        roots.append(np.sqrt(factor(size[-1])) * cluster_sums(influence, codes, len(names)))
        ids.append(names)
    if len(ways) == 1:
        return Root(roots[0], ids[0], None, size[0])
    named = np.empty(sum(map(len, ids)), object)
    named[:] = [(way, name) for way, names in enumerate(ids) for name in names.tolist()]
    sign = np.repeat([1.0, 1.0, -1.0], [len(names) for names in ids])
    return Root(np.vstack(roots), named, sign, min(size[:2]))


def within_cells(influence: Array, cell: NDArray[Any]) -> Array:
    """Centre influences (n, k) within cells whose sizes are given; -1 is no cell and stays as it is.

    Each is stretched by the root of n / (n - 1) of its cell, so that the squares of a cell of n rows add up
    to n times their sample variance: the variance of a stratified sample (Cochran 1977, sections 5.3, 6.11).

    Examples
    --------
    >>> import numpy as np
    >>> within_cells(np.array([[1.0], [3], [7]]), np.array([0, 0, -1])).round(4).ravel().tolist()
    [-1.4142, 1.4142, 7.0]
    """
    out = influence.copy()
    inside = cell >= 0
    own = cell[inside]
    size = np.bincount(own).astype(float)
    mean = cluster_sums(influence[inside], own, len(size)) / np.maximum(size, 1)[:, None]
    stretch = np.sqrt(size / np.maximum(size - 1, 1))
    out[inside] = (influence[inside] - mean[own]) * stretch[own, None]
    return out


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
