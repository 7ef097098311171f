"""Counts of single months or quarters before a date, with their trend and how far the latest stands out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.contract import DAYS_PER_MONTH
from impact.data.ingest import Store
from impact.data.persontime import Array, Days, Grid, Risk, add_months, measure
from impact.errors import ParameterError, nearest, together

Scale = Literal["count", "log1p", "sqrt"]
_LETTERS = {1: "m", 3: "q"}
_SCALES: dict[Scale, Callable[[Array], Array]] = {"count": np.asarray, "log1p": np.log1p, "sqrt": np.sqrt}


@dataclass(frozen=True)
class History:
    """Counts of services in periods of ``by`` months before a date; see ``Cohort.with_history``.

    Raises
    ------
    ParameterError
        For an unknown scale, no services, or periods that do not fill the months.
    """

    services: tuple[str, ...]
    months: int
    by: int
    scale: Scale

    def __post_init__(self) -> None:
        problems = [] if self.services else ["services is empty: name at least one."]
        if self.scale not in get_args(Scale):
            known = ", ".join(map(repr, get_args(Scale)))
            problems.append(
                f"scale={self.scale!r}: use one of {known}.{nearest(self.scale, get_args(Scale))}"
            )
        whole = all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in (self.months, self.by))
        if not whole or self.months % self.by or self.months == self.by:
            problems.append(
                f"months={self.months!r}, by={self.by!r}: give whole months, and two periods of them or more."
            )
        if problems:
            raise ParameterError(together(problems))

    def of(self, store: Store, people: pd.DataFrame, pid: NDArray[np.int64], day: Days) -> dict[str, Array]:
        """Return the columns for people on a day each; missing where a period was not observed throughout."""
        count = self.months // self.by
        risk = Risk(pid, people["arm"].to_numpy(str), day, add_months(day, -self.months), day)
        counts, time = measure(store, risk, Grid(-self.months, self.by, count), self.services)
        bounds = [add_months(day, self.by * t - self.months) for t in range(count + 1)]
        days = np.column_stack([(b - a).astype(float) for a, b in pairwise(bounds)])
        # Who has no date has no length of time either.
        full = np.where(np.isnat(day)[:, None], np.nan, days) / DAYS_PER_MONTH
        steps = np.arange(count) - (count - 1) / 2
        out: dict[str, Array] = {}
        for name in self.services:
            values = np.where(time[name] >= full, _SCALES[self.scale](counts[name]), np.nan)
            letter = _LETTERS.get(self.by, "p")
            # A logarithm under the name of a count would be read as one.
            called = name if self.scale == "count" else f"{self.scale}_{name}"
            out |= {f"prior_{called}_{letter}{count - t}": values[:, t] for t in range(count - 1, -1, -1)}
            out[f"trend_{called}"] = values @ steps / (steps @ steps)
            out[f"latest_{called}"] = values[:, -1] - values[:, :-1].mean(axis=1)
        return out
