"""Least squares over weights that are not negative and sum to 1, many problems at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rows = NDArray[np.bool_]

# Published settings (Arkhangelsky and others 2021): a short round, then weights of at most a quarter of the
# largest are dropped, then a long round.
_SHORT, _LONG, _DROP = 100, 10_000, 0.25
# The slope of what may not carry weight: never the smallest, and times a weight of 0 still 0.
_BARRED = 1e300
# Where a vertex is as good as reached there is nothing left to gain, and nothing to divide by.
_TINY = np.finfo(float).tiny
# Most exact problems are solved in five guesses at who carries weight. A guess that has not come right after
# some more is mended in one place at a time, which cannot go in circles, and is given up after many.
_SOME, _MANY = 10, 100
# Weights and slopes, as shares of the largest, that are as good as zero.
_ROUNDING = 1e-12
# Numbers in the matrices of the exact problems that are solved at once.
_AT_ONCE = 4_000_000


@dataclass(frozen=True, eq=False)
class Problems:
    """Minimise ``w' gram w - 2 pull' w + sum(ridge w^2)`` over weights ``w`` on the simplex.

    Parameters
    ----------
    gram : array (p, p), shared by all problems, or (b, p, p)
    pull : array (b, p)
    ridge : array (b, p)
    allowed : array (b, p) of bool
        What may carry weight.
    begin : array (b, p)
        Weights that a search begins from.
    enough : array (b,)
        A search ends when a step no longer lowers the sum by more than this.
    """

    gram: Array
    pull: Array
    ridge: Array
    allowed: Rows
    begin: Array
    enough: Array

    def __getitem__(self, rows: Rows) -> Problems:
        gram = self.gram if self.gram.ndim == 2 else self.gram[rows]
        return Problems(gram, *(getattr(self, field.name)[rows] for field in fields(self)[1:]))

    @classmethod
    def joined(cls, several: Sequence[Problems]) -> Problems:
        """Put problems below each other; the narrower ones get columns that may not carry weight."""
        if len(several) == 1:
            return several[0]
        width = max(some.pull.shape[1] for some in several)

        def wide(some: Problems, name: str) -> Array:
            values = getattr(some, name)
            if name == "gram":
                values = np.broadcast_to(values, (*some.pull.shape, values.shape[-1]))
            room = [(0, 0)] + [(0, width - values.shape[-1])] * (values.ndim - 1)
            return np.pad(values, room)

        return cls(*(np.concatenate([wide(some, field.name) for some in several]) for field in fields(cls)))


def frank_wolfe(problems: Problems) -> Array:
    """Search for the minimum, problem by problem, as published: in steps towards one vertex at a time.

    The search (Frank and Wolfe 1956) is stopped before the exact minimum, and is meant to be: published
    estimates are those of a search that was stopped, and in the study of California's tobacco law the exact
    minimum is 0.002 packs away for synthetic difference-in-differences and 0.1 for the synthetic control.

    Parameters
    ----------
    problems : Problems

    Returns
    -------
    array (b, p)

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.array([[1.0, 0.0, 3.0], [0.0, 1.0, 3.0]]), np.array([0.3, 0.7])
    >>> every = np.ones((1, 3), bool)
    >>> problems = Problems(x.T @ x, (y @ x)[None], 0.0 * every, every, every / 3, np.array([1e-12]))
    >>> frank_wolfe(problems).round(3).tolist()
    [[0.3, 0.7, 0.0]]
    """
    pull = problems.pull
    gram = np.broadcast_to(problems.gram, (*pull.shape, pull.shape[1]))
    problem = gram, np.where(problems.allowed, -pull, _BARRED), np.broadcast_to(problems.ridge, pull.shape)
    short = _descend(*problem, problems.begin, problems.enough, _SHORT)
    short[short <= _DROP * short.max(1, keepdims=True)] = 0.0
    return _descend(*problem, short / short.sum(1, keepdims=True), problems.enough, _LONG)


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


def minimum(problems: Problems) -> tuple[Array, Rows]:
    """Find the exact minimum, problem by problem, by guessing who carries weight.

    With the guess, the weights follow from one system of equations. Who has a weight below zero leaves the
    guess, whose slope is too low joins it, and a guess that stands is the minimum (the primal-dual active
    set method of Hintermueller, Ito and Kunisch 2002, with the rule of Murty 1974 where it goes in circles).
    It takes a hundredth of the time of a search.

    Parameters
    ----------
    problems : Problems
        ``begin`` and ``enough`` are not used.

    Returns
    -------
    weights : array (b, p)
    found : array (b,) of bool
        Whether a guess stood; where none did, the weights are zero.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.array([[1.0, 0.0, 3.0], [0.0, 1.0, 3.0], [0.0, 0.0, 1.0]]), np.array([0.3, 0.7, 0.0])
    >>> every = np.ones((1, 3), bool)
    >>> weights, found = minimum(Problems(x.T @ x, (y @ x)[None], 0 * every, every, every, every[:, 0]))
    >>> weights.round(3).tolist(), found.tolist()
    ([[0.3, 0.7, 0.0]], [True])
    """
    # Columns that may not carry weight come last, and most of them are cut off.
    width = int(problems.allowed.sum(1).max())
    columns = np.argsort(~problems.allowed, axis=1, kind="stable")[:, :width]
    out, found = np.zeros(problems.pull.shape), np.zeros(len(columns), bool)
    for rows in np.array_split(np.arange(len(columns)), math.ceil(len(columns) * width**2 / _AT_ONCE)):
        at = columns[rows]
        gram = np.broadcast_to(problems.gram, (len(out), *problems.gram.shape[-2:]))
        square = gram[rows[:, None, None], at[:, :, None], at[:, None, :]]
        each = np.arange(width)
        square[:, each, each] += problems.ridge[rows[:, None], at]
        pull, allowed = problems.pull[rows[:, None], at], problems.allowed[rows[:, None], at]
        out[rows[:, None], at], found[rows] = _guess(square, pull, allowed)
    return out, found


def _guess(gram: Array, pull: Array, allowed: Rows) -> tuple[Array, Rows]:
    b, p = pull.shape
    out, live, carries = np.zeros((b, p)), np.arange(b), allowed
    system, right = np.zeros((b, p + 1, p + 1)), np.ones((b, p + 1))
    each = np.arange(p)
    steep = _ROUNDING * np.einsum("ijj->ij", gram).max(1, initial=0.0)[:, None]
    for guess in range(_MANY):
        # Who carries none has the equation w = 0; the last one says that weights sum to 1.
        system[:, :p, :p] = gram * (carries[:, :, None] & carries[:, None, :])
        system[:, each, each] += ~carries
        system[:, p, :p] = system[:, :p, p] = carries
        right[:, :p] = pull * carries
        try:
            solved = np.linalg.solve(system, right[:, :, None])[:, :, 0]
        except np.linalg.LinAlgError:
            break
        weights, level = solved[:, :p], solved[:, p:]
        slope = np.matmul(gram, weights[:, :, None])[:, :, 0] - pull + level
        wrong = allowed & np.where(carries, weights < -_ROUNDING, slope < -steep)
        stands = ~wrong.any(1)
        out[live[stands]] = np.maximum(weights[stands], 0.0)
        if guess >= _SOME:
            wrong &= each == wrong.argmax(1)[:, None]
        rest = ~stands
        gram, pull, system, right, steep = (x[rest] for x in (gram, pull, system, right, steep))
        live, allowed, carries = live[rest], allowed[rest], (carries ^ wrong)[rest]
        if not len(live):
            break
    return out, ~np.isin(np.arange(b), live)
