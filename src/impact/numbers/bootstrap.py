"""The multiplier bootstrap: how far out the largest of many effects may lie by chance."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def signed_sums(blocks: Iterable[Array], draws: int, rng: np.random.Generator) -> Array:
    """Sum the rows of a root with signs drawn at random (Rademacher), (draws, k).

    Each of the sums has the covariance of the effects. Signs are the bits of random words: a sum with
    signs is twice the sum over the rows whose bit is one, less the sum of all. A block of rows costs one
    matrix product in single precision, whose error (1e-7) is far below that of the draws.

    Parameters
    ----------
    blocks : iterable of array (rows, k)
    draws : int
    rng : Generator

    Examples
    --------
    >>> import numpy as np
    >>> sums = signed_sums([np.eye(2), np.ones((1, 2))], 4000, np.random.default_rng(0))
    >>> (sums.T @ sums / 4000).round(1).tolist()
    [[2.0, 1.0], [1.0, 2.0]]
    """
    words = -(-draws // 64)
    picked: Array | float = 0.0
    total: Array | float = 0.0
    for block in blocks:
        bits = rng.integers(2**64 - 1, size=(len(block), words), dtype=np.uint64, endpoint=True)
        chosen = np.unpackbits(bits.view(np.uint8), axis=1, count=draws).astype(np.float32)
        picked = picked + np.asarray(chosen.T @ block.astype(np.float32), float)
        total = total + block.sum(0)
    return np.asarray(2 * picked - total)


def largest(sums: Array, error: Array, df: float, rng: np.random.Generator) -> Array:
    """Return the largest of the effects' distances from zero in each draw, in standard errors, (draws,).

    Errors are estimated from ``df + 1`` clusters: each draw is divided by the root of a chi-square over its
    degrees of freedom, as a t statistic is, so that the band of a single effect is its interval.
    """
    spread = np.sqrt(rng.chisquare(df, len(sums)) / df)
    return np.asarray(np.abs(sums / error).max(1) / spread)
