"""The people that every benchmark measures: drawn once, then given to each package in the form it takes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.panel import Panel

MONTHS, STARTS, NEVER = 24, range(7, 19), 0.4
COVARIATES = ["x1", "x2", "x3", "x4"]
KINDS = ("complete", "uneven", "awkward", "weighted")


@dataclass(frozen=True)
class People:
    """Visits of n people in 24 months, half an event a month fewer once support has begun.

    ``visits`` (n, 24); ``time`` (n, 24) at risk in months; ``start`` (n,) the first supported month or 0;
    ``x`` (n, 4) covariates, on which both the start and the change over time depend; ``weights`` (n,).
    """

    visits: NDArray[np.int16]
    time: NDArray[np.float64] | None
    start: NDArray[np.int64]
    x: NDArray[np.float64]
    weights: NDArray[np.float64]

    @classmethod
    def draw(cls, kind: str, n: int, seed: int = 20261122) -> People:
        """Draw people of one kind.

        complete
            Everyone is at risk for one month in each month.
        uneven
            Time at risk differs between months and people.
        awkward
            And 3% die or move, at any month.
        weighted
            And each control has a weight, as after matching with several controls to one.
        """
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(n, 4))
        start = rng.integers(STARTS.start, STARTS.stop, n)
        start[rng.random(n) < 1 / (1 + np.exp(x @ [0.2, -0.15, 0.1, 0.0] - np.log(NEVER / (1 - NEVER))))] = 0
        month = np.arange(1, MONTHS + 1)
        rate = rng.gamma(4, 0.5, n)[:, None] * np.exp(x @ [0.1, 0.1, 0.0, 0.05])[:, None]
        rate = rate * (1 + 0.1 * np.sin(month / 2)) + 0.01 * month * (1 + 0.2 * x[:, :1]).clip(0)
        rate *= np.where((start[:, None] > 0) & (month >= start[:, None]), 0.76, 1.0)
        time = None if kind == "complete" else rng.uniform(0.5, 1.0, (n, MONTHS))
        if kind in ("awkward", "weighted"):
            left = np.where(rng.random(n) < 0.03, rng.integers(1, MONTHS, n), MONTHS)
            time[month > left[:, None]] = 0.0
        weights = rng.gamma(2, 0.5, n) if kind == "weighted" else np.ones(n)
        visits = rng.poisson(rate if time is None else rate * time).astype(np.int16)
        return cls(visits, time, start, x, np.where(start > 0, 1.0, weights))

    def save(self, path: Path) -> None:
        """Write the people to a file."""
        held = {name: value for name, value in vars(self).items() if value is not None}
        np.savez(path, **held)

    @classmethod
    def load(cls, path: Path) -> People:
        """Read the people from a file."""
        with np.load(path) as held:
            return cls(**{name: held.get(name) for name in cls.__dataclass_fields__})

    def panel(self) -> Panel:
        """Return what ``impact`` takes: arrays of people by months."""
        n, whole = len(self.start), self.time is None
        position = np.where(self.start > 0, self.start - 1, MONTHS)
        return Panel(
            unit=np.arange(n),
            periods=pd.RangeIndex(1, MONTHS + 1),
            outcomes={"visits": self.visits.astype(float)},
            exposure={"visits": np.ones((n, MONTHS)) if whole else self.time},
            start=position,
            treated=self.start > 0,
            covariates=pd.DataFrame(self.x, columns=COVARIATES),
            cluster=np.arange(n),
            weights=self.weights,
            arm=np.where(self.start > 0, "supported", "control"),
            rate_scale=1.0,
            per="per person-month",
        )

    def frame(self) -> pd.DataFrame:
        """Return what the others take: one row a person and month at risk; start 0 means never."""
        n = len(self.start)
        columns = {
            "id": np.repeat(np.arange(n), MONTHS),
            "month": np.tile(np.arange(1, MONTHS + 1), n),
            "start": np.repeat(self.start, MONTHS),
            "visits": self.visits.ravel().astype(float),
            **{name: np.repeat(self.x[:, j], MONTHS) for j, name in enumerate(COVARIATES)},
        }
        frame = pd.DataFrame(columns, copy=False)
        if self.time is None:
            return frame
        with np.errstate(divide="ignore"):
            frame["time"], frame["log_time"] = self.time.ravel(), np.log(self.time).ravel()
        return frame[frame["time"] > 0]


if __name__ == "__main__":
    # A process of its own draws the people, so that the one that measures stays small.
    People.draw(sys.argv[1], int(sys.argv[2])).save(Path(sys.argv[3]))
