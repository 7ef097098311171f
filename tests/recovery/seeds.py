"""Draws of the seeds 0, 1, ..., on one processor or on several: the same either way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor

Row = Mapping[str, object]


def rows_of(one: Callable[[int], Iterable[Row]], draws: int, *, workers: int = 1) -> list[Row]:
    """Rows of all draws, each of which gives several."""
    if workers == 1:
        return [row for seed in range(draws) for row in one(seed)]
    with ProcessPoolExecutor(workers) as pool:
        return [row for rows in pool.map(one, range(draws), chunksize=5) for row in rows]
