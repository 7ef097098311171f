"""Covariates of very many rows in few bytes, and arrays that are made a piece at a time as they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_BLOCK = 8192
_SMALL = (np.uint8, np.int16, np.int32, np.float32)


def smallest(values: NDArray[Any]) -> NDArray[Any]:
    """Return numbers in the smallest type that tells each of them exactly."""
    if values.dtype.kind not in "iuf":
        return values
    for kind in _SMALL:
        with np.errstate(invalid="ignore", over="ignore"):
            small = values.astype(kind)
        if np.array_equal(small, values, equal_nan=kind is np.float32):
            return small
    return values


class Lazy:
    """An array (k, n) of which ``row(j, at)`` makes a piece of a row.

    Rows ``x[j]``, pieces of them, ``x[j, a:b]``, and of all, ``x[:, a:b]``, are made when asked for; chosen
    rows or columns are such an array again; products go through pieces small enough for fast memory.
    """

    __array_ufunc__ = None

    def __init__(self, shape: tuple[int, int], row: Callable[[int, Any], Array]) -> None:
        self.shape, self.row = shape, row

    @classmethod
    def of(cls, columns: Sequence[NDArray[Any]]) -> Lazy:
        """Hold each column in as few bytes as can be."""
        held = [smallest(column) for column in columns]
        return cls((len(held), len(held[0])), lambda j, at: held[j][at].astype(float))

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Array]:
        return (self.row(j, slice(None)) for j in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple) and np.ndim(key[0]) == 0 and not isinstance(key[0], slice):
            return self.row(int(key[0]), key[1])
        if isinstance(key, tuple):
            at = key[1]
            if isinstance(at, slice):
                out = np.empty((len(self), len(range(*at.indices(self.shape[1])))))
                for j, row in enumerate(out):
                    row[:] = self.row(j, at)
                return out
            at = np.arange(self.shape[1])[at]
            return Lazy((len(self), len(at)), lambda j, piece: self.row(j, at[piece]))
        if np.ndim(key) == 0:
            return self.row(int(key), slice(None))
        rows = np.arange(len(self))[key]
        return Lazy((len(rows), self.shape[1]), lambda j, piece: self.row(int(rows[j]), piece))

    def mean(self, axis: int) -> Array:
        """Return the mean of each row; ``axis`` is 1."""
        return np.array([row.mean() for row in self])

    def std(self, axis: int) -> Array:
        """Return the standard deviation of each row; ``axis`` is 1."""
        return np.array([row.std() for row in self])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self[:, :], dtype)

    def __matmul__(self, vector: NDArray[Any]) -> Array:
        out = np.zeros(len(self))
        for at in self._pieces():
            out += self[:, at] @ vector[at]
        return out

    def __rmatmul__(self, vector: Array) -> Array:
        out = np.empty(self.shape[1])
        for at in self._pieces():
            out[at] = vector @ self[:, at]
        return out

    def _pieces(self) -> Iterator[slice]:
        return (slice(at, at + _BLOCK) for at in range(0, self.shape[1], _BLOCK))


def with_constant(x: Lazy, use: NDArray[np.intp], centre: Array, spread: Array) -> Lazy:
    """Return ones and the rows ``use``, less their centre over their spread."""
    ones = np.broadcast_to(1.0, x.shape[1])
    rows, centre, spread = [0, *use.tolist()], np.append(0.0, centre[use]), np.append(1.0, spread[use])
    return Lazy(
        (len(rows), x.shape[1]), lambda i, at: (x.row(rows[i], at) - centre[i]) / spread[i] if i else ones[at]
    )
