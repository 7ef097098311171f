"""What is concluded from effects: tests, and bounds where an assumption is relaxed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from impact.results.json_text import as_json


@dataclass(frozen=True, eq=False)
class Test:
    """One hypothesis test: its statistic, degrees of freedom, p-value and what was tested.

    A test of one effect by its own draws also has the ``estimate``, the interval of all values that it does
    not reject, and ``smallest_p``, the smallest p-value that these data could have given.
    """

    __test__ = False  # not a pytest class

    name: str
    statistic: float
    df: float
    p_value: float
    method: Mapping[str, Any]
    counts: pd.DataFrame
    estimate: float | None = None
    conf_low: float | None = None
    conf_high: float | None = None
    conf_level: float | None = None
    smallest_p: float | None = None

    @property
    def table(self) -> pd.DataFrame:
        """One row."""
        row = {"test": self.name, "statistic": self.statistic, "df": self.df, "p_value": self.p_value}
        for name in ("estimate", "conf_low", "conf_high", "conf_level", "smallest_p"):
            value = getattr(self, name)
            row |= {} if value is None else {name: value}
        return pd.DataFrame([row])

    def to_json(self) -> str:
        """Return the test as JSON."""
        return as_json(self.table, self.method)


@dataclass(frozen=True, eq=False)
class Bounds:
    """Intervals for an effect where parallel trends are relaxed, one for each limit of how far.

    ``table`` has ``outcome, term, scale, unit, restriction``, the limit (``m_bar`` or ``m``), ``estimate,
    conf_low, conf_high, conf_level, null_value`` and ``breakdown``, the largest limit at which the interval
    excludes the null value; ``counts`` has the people and events behind each row.
    """

    table: pd.DataFrame
    method: Mapping[str, Any]
    counts: pd.DataFrame

    def to_json(self) -> str:
        """Return table, method and counts as JSON."""
        return as_json(pd.concat([self.table, self.counts], axis=1), self.method)
