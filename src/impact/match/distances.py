"""How far apart two people are: a score on a line, points in space, or a matrix that is given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from impact.match.people import People
from impact.match.propensity import Array, Design, fitted


@dataclass(frozen=True, eq=False)
class Measure:
    """Distances between treated people and controls in one of three forms, in the order of ``People``.

    ``line`` (n,): the absolute difference; ``points`` (n, p): the Euclidean distance; ``matrix`` (n_t, n_c).
    ``score`` (n,) is what calipers are measured on and what ``Matched.table`` shows as ``distance``.
    """

    line: Array | None = None
    points: Array | None = None
    matrix: Array | None = None
    score: Array | None = None


def measure(people: People, *, distance: str = "propensity", scored: bool = False) -> Measure:
    """Measure distances; ``scored`` asks for a score (for a caliper) whatever the distance is."""
    score = fitted(people.covariates, people.treated) if distance == "propensity" or scored else None
    if distance == "propensity":
        return Measure(line=score, score=score)
    return Measure(points=whitened(people.covariates, people.treated), score=score)


def whitened(covariates: Design, treated: NDArray[np.bool_]) -> Array:
    """Coordinates in which the Euclidean distance is the Mahalanobis distance."""
    x = covariates.values - covariates.values.mean(axis=1, keepdims=True)
    scale = x.std(axis=1, keepdims=True)
    x = (x / np.where(scale > 0, scale, 1))[scale[:, 0] > 0]
    within = x.copy()
    for arm in (treated, ~treated):
        within[:, arm] -= x[:, arm].mean(axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(within @ within.T / (x.shape[1] - 2))
    # Indicators of all levels add up to one, so directions without variance are expected; the generalised
    # inverse leaves them out.
    kept = values > 1e-9 * values[-1]
    return np.asarray(x.T @ (vectors[:, kept] / np.sqrt(values[kept])))
