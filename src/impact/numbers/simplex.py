"""Least squares over weights that are not negative and sum to 1, many problems at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Published settings (Arkhangelsky and others 2021): a short round, then weights of at most a quarter of the
# largest are dropped, then a long round.
_SHORT, _LONG, _DROP = 100, 10_000, 0.25
# The slope of what may not carry weight: never the smallest, and times a weight of 0 still 0.
_BARRED = 1e300
# Where a vertex is as good as reached there is nothing left to gain, and nothing to divide by.
_TINY = np.finfo(float).tiny


def frank_wolfe(
    gram: Array, pull: Array, ridge: Array, allowed: NDArray[np.bool_], start: Array, *, enough: Array
) -> Array:
    """Minimise ``w' gram w - 2 pull' w + sum(ridge w^2)`` over weights on the simplex, problem by problem.

    Steps go towards one vertex at a time (Frank and Wolfe 1956) and end when one no longer lowers the sum
    by more than ``enough``. This is not the exact minimum, and is meant not to be: published estimates are
    those of a search that was stopped, and in the study of California's tobacco law the exact minimum is
    0.002 packs away for synthetic difference-in-differences and 0.1 for the synthetic control.

    Parameters
    ----------
    gram : array (p, p), shared by all problems, or (b, p, p)
    pull : array (b, p)
    ridge : array (b, p)
    allowed : array (b, p) of bool
        What may carry weight.
    start : array (b, p)
        Weights to begin from.
    enough : array (b,)

    Returns
    -------
    array (b, p)

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.array([[1.0, 0.0, 3.0], [0.0, 1.0, 3.0]]), np.array([0.3, 0.7])
    >>> every = np.ones((1, 3), bool)
    >>> weights = frank_wolfe(x.T @ x, (y @ x)[None], 0.0 * every, every, every / 3, enough=np.array([1e-12]))
    >>> weights.round(3).tolist()
    [[0.3, 0.7, 0.0]]
    """
    gram = np.broadcast_to(gram, (*pull.shape, pull.shape[1]))
    problem = gram, np.where(allowed, -pull, _BARRED), np.broadcast_to(ridge, pull.shape)
    short = _descend(*problem, start, enough, _SHORT)
    short[short <= _DROP * short.max(1, keepdims=True)] = 0.0
    return _descend(*problem, short / short.sum(1, keepdims=True), enough, _LONG)


def _descend(gram: Array, push: Array, ridge: Array, start: Array, enough: Array, steps: int) -> Array:
    out, w = start.copy(), start.copy()
    live = row = np.arange(len(start))
    slope = np.matmul(gram, w[:, :, None])[:, :, 0] + ridge * w + push
    for step in range(steps):
        to = slope.argmin(1)
        # The slope at that vertex less the slope here: how the slope turns along the way.
        turn = gram[live, to] + push
        turn[row, to] += ridge[row, to]
        turn -= slope
        down = np.einsum("ij,ij->i", slope, w) - slope[row, to]
        curve = turn[row, to] - np.einsum("ij,ij->i", turn, w)
        share = np.minimum(down / np.maximum(curve, _TINY), 1.0)
        w *= (1 - share)[:, None]
        w[row, to] += share
        slope += share[:, None] * turn
        done = share * (2 * down - share * curve) <= enough
        if step and done.any():
            out[live[done]] = w[done]
            live, w, slope, push, ridge, enough = (x[~done] for x in (live, w, slope, push, ridge, enough))
            row = np.arange(len(live))
            if not len(live):
                return out
    out[live] = w
    return out
