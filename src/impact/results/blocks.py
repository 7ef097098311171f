"""Roots of covariances whose rows are made when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Blocks:
    """A root whose rows are made when they are asked for, so that people by effects is never stored.

    Parameters
    ----------
    shape : (m, k)
    make : callable
        ``make(rows, by)`` gives the rows of the slice ``rows`` times ``by`` (k, j), an array (rows, j).
    size : int
        How many rows are made at once.

    Examples
    --------
    >>> import numpy as np
    >>> root = Blocks((3, 2), lambda rows, by: np.eye(3, 2)[rows] @ by, size=2)
    >>> (root @ np.array([[1.0], [5.0]])).ravel().tolist()
    [1.0, 5.0, 0.0]
    """

    shape: tuple[int, int]
    make: Callable[[slice, Array], Array]
    size: int = 4096

    def __len__(self) -> int:
        return self.shape[0]

    def __matmul__(self, by: Array) -> Array:
        out = np.empty((len(self), by.shape[1]))
        at = 0
        for block in self.blocks(by):
            out[at : at + len(block)] = block
            at += len(block)
        return out

    def blocks(self, by: Array) -> Iterator[Array]:
        """Yield the rows of the root times ``by``, in order."""
        for at in range(0, len(self), self.size):
            yield self.make(slice(at, min(at + self.size, len(self))), by)

    def times(self, by: Array) -> Blocks:
        """Return the root times ``by`` as a root whose rows are again made when asked for."""
        return Blocks((len(self), by.shape[1]), lambda rows, more: self.make(rows, by @ more), self.size)
