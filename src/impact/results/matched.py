"""Matched and weighted samples, how their weights move when they were estimated, and their balance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.results.blocks import Array
from impact.results.json_text import as_json


@dataclass(frozen=True, eq=False)
class Matched:
    """A matched or weighted sample, in memory only: its rows are people and are never written.

    ``table`` has ``person_id, weight, subclass, distance`` for everyone in the cohort (weight 0 and a
    missing subclass for people who were not matched); ``cohort`` is what was matched. ``weighting`` comes
    with weights that were estimated, its rows in the order of the cohort.
    """

    table: pd.DataFrame
    cohort: Any
    method: Mapping[str, Any]
    counts: pd.DataFrame
    weighting: Weighting | None = None

    def __repr__(self) -> str:
        """Say how many people there are, and no row of theirs."""
        return f"Matched({int((self.table['weight'] > 0).sum())} of {len(self.table)})"

    def to_json(self) -> str:
        """Return how the sample was matched and its counts; not its rows, which are people."""
        return as_json(self.counts, self.method)


@dataclass(frozen=True, eq=False)
class Weighting:
    """How estimated weights move with their parameters, so that errors count the weights' own error.

    ``gradient (n, p)`` is the derivative of each person's weight; ``influence (n, p)`` each person's
    influence on the parameters. An estimate with derivative ``u (n,)`` by the weights gains ``influence @
    (gradient.T @ u)`` in the influence of each person.
    """

    gradient: Array
    influence: Array

    def rows(self, at: NDArray[Any]) -> Weighting:
        """The same for the people at these positions."""
        if np.array_equal(at, np.arange(len(self.gradient))):
            return self
        return Weighting(self.gradient[at], self.influence[at])


@dataclass(frozen=True, eq=False)
class Balance:
    """Balance of covariates between arms before and after matching.

    ``table`` has ``covariate, level, sample ('before' | 'after'), mean_treated, mean_control, smd,
    variance_ratio, ks, ecdf_mean, overlap`` and, where there are sets, ``pair_distance``; ``counts`` has
    ``sample, arm, persons, ess``.
    """

    table: pd.DataFrame
    method: Mapping[str, Any]
    counts: pd.DataFrame

    def to_json(self) -> str:
        """Return the balance table as JSON."""
        return as_json(self.table, self.method, counts=json.loads(self.counts.to_json(orient="records")))
