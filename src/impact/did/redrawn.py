"""Samples to analyse again, by cluster: placebo assignments, one cluster left out, or drawn anew."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from impact.data.panel import Panel
from impact.errors import DesignError
from impact.numbers.inference import cluster_codes

Array = NDArray[np.float64]
Inference = Literal["placebo", "jackknife", "bootstrap"]


@dataclass(frozen=True, eq=False)
class Draws:
    """Samples to analyse: who starts when and how much each person counts, both (b, n).

    Deviations of their estimates from the mean, times ``factor``, are rows of a root, called ``rows``.
    """

    start: NDArray[np.int64]
    weights: Array
    rows: NDArray[Any]
    factor: float
    said: str

    def __len__(self) -> int:
        return len(self.start)


class Sample:
    """The people and their clusters."""

    def __init__(self, panel: Panel) -> None:
        self.end = len(panel.periods)
        self.start = panel.start
        self.never = panel.start >= self.end
        self.after = np.arange(self.end) >= panel.start[:, None]
        # Weights say how much people count beside others of their arm; their unit says nothing.
        arms = np.where(self.never, panel.weights[self.never].mean(), panel.weights[~self.never].mean())
        self.weights = panel.weights / arms
        self.codes, self.names = cluster_codes(panel.cluster)
        self.everyone = Draws(self.start[None], self.weights[None], np.arange(1), 0.0, "")
        self.treated, self.control = (np.unique(self.codes[arm]) for arm in (~self.never, self.never))

    def check(self, inference: Inference) -> None:
        """Refuse errors that these clusters cannot give."""
        treated, control = len(self.treated), len(self.control)
        if inference == "placebo":
            both = len(np.intersect1d(self.treated, self.control))
            if both:
                raise DesignError(
                    f"inference='placebo' pretends that whole control clusters were supported, but {both} "
                    "clusters hold both supported people and controls; use 'jackknife' or 'bootstrap'."
                )
            if control <= treated:
                raise DesignError(
                    f"inference='placebo' needs more control clusters than supported ones, and there are "
                    f"{control} and {treated}; use 'jackknife' or 'bootstrap'."
                )
            return
        for arm, found in (("supported", treated), ("control", control)):
            if found < 2:
                raise DesignError(
                    f"inference={inference!r} needs two {arm} clusters or more, and there is {found}"
                    + ("; use 'placebo'." if arm == "supported" else "; cluster by a smaller unit.")
                )

    def counts(self, events: Array) -> dict[str, int]:
        """People and events behind an effect."""
        return {
            "persons": len(self.start),
            "treated": int((~self.never).sum()),
            "clusters": len(self.names),
            "events": round(float(events[self.after].sum())),
        }


def redrawn(sample: Sample, inference: Inference, draws: int, seed: int) -> Draws:
    """Return the samples to analyse again."""
    n, G = len(sample.start), len(sample.names)
    if inference == "jackknife":
        left = np.arange(G)[:, None] != sample.codes
        said = "jackknife: clusters left out one at a time, weights kept; G clusters, times (G-1)/G"
        start = np.broadcast_to(sample.start, (G, n))
        return Draws(start, sample.weights * left, sample.names, math.sqrt(1 - 1 / G), said)
    if inference == "bootstrap":
        start = np.broadcast_to(sample.start, (draws, n))
        weights = sample.weights * _times(sample, draws, np.random.default_rng(seed))
        said = f"bootstrap: {draws} draws of clusters, weights found anew in each"
    else:
        start, said = _placed(sample, draws, seed)
        weights = np.broadcast_to(sample.weights * sample.never, start.shape)
    # Rows of another analysis belong to these only where they come from the same draws.
    rows = np.array([f"{inference} {draw}, seed {seed}" for draw in range(len(start))], dtype=object)
    return Draws(start, weights, rows, 1 / math.sqrt(len(start)), said)


def _times(sample: Sample, draws: int, rng: np.random.Generator) -> Array:
    """How often each person is drawn, (draws, n); draws that miss an arm are made again."""
    G = len(sample.names)
    times = np.empty((draws, len(sample.start)))
    for draw in range(draws):
        while True:
            drawn = np.bincount(rng.integers(0, G, G), minlength=G)
            if drawn[sample.treated].any() and drawn[sample.control].any():
                break
        times[draw] = drawn[sample.codes]
    return times


def _placed(sample: Sample, draws: int, seed: int) -> tuple[NDArray[np.int64], str]:
    """Give control clusters the starts of the supported ones: in all ways, or in some at random.

    Where clusters are people their number is a count of people, so it is not in the words.
    """
    control, treated = len(sample.control), len(sample.treated)
    if math.perm(control, treated) <= draws:
        said = "all ways to place the support among the control clusters"
    else:
        said = f"support placed at random among the control clusters, {draws} times"
    ways = _ways(control, treated, draws, seed)
    # Members of a cluster take the starts of the members of another in turn, as often as it takes.
    order = np.argsort(sample.codes, kind="stable")
    size = np.bincount(sample.codes)
    first = np.cumsum(size) - size
    turn = np.empty_like(order)
    turn[order] = np.arange(len(order)) - np.repeat(first, size)
    takes = np.full((len(ways), len(size)), -1)
    np.put_along_axis(takes, sample.control[ways], sample.treated[None], axis=1)
    own = takes[:, sample.codes]
    given = sample.start[order[first[own] + turn % size[own]]]
    return np.where(own < 0, sample.end, given), f"placebo: {said}, observed rates taken as given"


@lru_cache(maxsize=8)
def _ways(control: int, treated: int, draws: int, seed: int) -> NDArray[np.int64]:
    """Which controls stand for the supported, (ways, treated); studies of like size ask for it again."""
    if math.perm(control, treated) <= draws:
        return np.array(list(permutations(range(control), treated)))
    rng = np.random.default_rng(seed)
    return np.array([rng.choice(control, treated, replace=False) for _ in range(draws)])
