"""What is described and not estimated: tables of counts, and rates by arm and period."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from impact.results.json_text import as_json


@dataclass(frozen=True, eq=False)
class Summary:
    """A descriptive table: counts of people and events, and figures derived from them.

    Parameters
    ----------
    table : DataFrame
        Tidy, one row an entry.
    people, events : sequences of str
        Columns that count people or events: these are suppressed and rounded when they are released.
    derived : mapping of column to columns
        Columns computed from counts, which are withheld where any of those counts is too small.
    largest : mapping of column of events to (column, column)
        How many of the events are those of the one person with most, and of the next: they are checked when
        the table is released, and never shown.
    adds_up : sequence of str
        Columns that together name a set of rows whose counts add up to a total that is also shown.
    rates : mapping of column to (events, people)
        Derived columns that are rates of 1,000: so many events in the time of so many people. They are made
        from the counts as they are printed when they are released.
    change : mapping of column to (before, after)
        Derived columns that say by how many percent a rate changed, computed again from the released rates.
    percent : mapping of column to (numerator, denominator)
        Percentages, which are computed again from the rounded counts when they are released.
    certain : mapping of column to value
        Rows whose count was known to be 0 before anyone counted, since there would be no table otherwise.
    method : mapping
        What the table shows.
    """

    table: pd.DataFrame
    method: Mapping[str, Any]
    people: Sequence[str] = ()
    events: Sequence[str] = ()
    derived: Mapping[str, Sequence[str]] = field(default_factory=dict)
    percent: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    adds_up: Sequence[str] = ()
    largest: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    rates: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    change: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    certain: Mapping[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> pd.DataFrame:
        """The columns that are counts."""
        return self.table[[*self.people, *self.events]]

    def to_json(self) -> str:
        """Return the table as JSON."""
        return as_json(self.table, self.method)


@dataclass(frozen=True, eq=False)
class Rates:
    """Rates by arm and period.

    ``table`` has ``outcome, arm, period, step`` and ``persons, events, person_months,
    rate_per_1000_person_months``; ``period`` is the first period of a step, ``step`` how many periods it
    spans. Where known, ``largest`` and ``second`` are the events of the two people with most: they are never
    shown. Of pooled periods they are the most that they can be, as if the same two had most in each.
    """

    table: pd.DataFrame
    method: Mapping[str, Any]

    @property
    def counts(self) -> pd.DataFrame:
        """People and events behind each rate."""
        return self.table[["persons", "events"]]

    def coarsen(self, blocks: Sequence[int]) -> Rates:
        """Pool periods that have the same number in ``blocks`` (one entry a period, in order)."""
        frame = self.table
        periods = sorted(frame["period"].unique())
        block = frame["period"].map(dict(zip(periods, blocks, strict=True)))
        pooled = (
            frame.assign(block=block)
            .groupby(["outcome", "arm", "block"], sort=True, observed=True)
            .agg(
                period=("period", "min"),
                step=("step", "sum"),
                persons=("persons", "max"),
                events=("events", "sum"),
                person_months=("person_months", "sum"),
                **{name: (name, "sum") for name in ("largest", "second") if name in frame},
            )
            .reset_index()
            .drop(columns="block")
        )
        pooled["rate_per_1000_person_months"] = 1000 * pooled["events"] / pooled["person_months"]
        return replace(self, table=pooled[frame.columns.tolist()])

    def to_json(self) -> str:
        """Return the rates as JSON."""
        return as_json(self.table, self.method)
