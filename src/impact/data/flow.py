"""What was checked and who was left out, as tables that can be released."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.results import Summary

QUALITY = ["table", "column", "rule", "severity", "count", "action"]


def quality_of(table: pd.DataFrame) -> Summary:
    """Return the result of every rule as a table that can be released."""
    return Summary(table.reset_index(drop=True), {"shows": "data quality"}, events=("count",))


def flow_of(steps: Sequence[tuple[Any, ...]], treated: NDArray[np.bool_]) -> Summary:
    """Everyone in the file, those left out by rule, and those in the study by arm."""
    rows = [
        *steps,
        ("in the study", "treated", int(treated.sum())),
        ("in the study", "control", int((~treated).sum())),
    ]
    table = pd.DataFrame(rows, columns=["stage", "rule", "persons"])
    return Summary(table, {"shows": "who is in the study"}, people=("persons",))
