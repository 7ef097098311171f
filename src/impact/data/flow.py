"""What was checked and who was left out, as tables that can be released."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.rule import STOP
from impact.results import Summary

if TYPE_CHECKING:
    from impact.data.cohort import Cohort

QUALITY = ["table", "column", "rule", "severity", "count", "action"]


def quality_of(table: pd.DataFrame) -> Summary:
    """Return the result of every rule as a table that can be released."""
    table = table.reset_index(drop=True)
    return Summary(table, {"shows": "data quality"}, events=("count",), certain={"action": STOP})


def flow_of(steps: Sequence[tuple[Any, ...]], treated: NDArray[np.bool_]) -> Summary:
    """Everyone in the file, those left out by rule, and those in the study by arm."""
    rows = [
        *steps,
        ("in the study", "treated", int(treated.sum())),
        ("in the study", "control", int((~treated).sum())),
    ]
    table = pd.DataFrame(rows, columns=["stage", "rule", "persons"])
    return Summary(table, {"shows": "who is in the study"}, people=("persons",))


def without(cohort: Cohort, why: NDArray[Any]) -> Cohort:
    """Leave out who has a rule in ``why`` (n,), and count them by it."""
    keep = why == ""
    if keep.all():
        return cohort
    steps = [tuple(row) for row in cohort.flow.table.iloc[:-2].itertuples(index=False)]
    rules, persons = np.unique(why[~keep].astype(str), return_counts=True)
    steps += [("left out", rule, int(n)) for rule, n in zip(rules, persons, strict=True)]
    out = cohort.subset(keep)
    return replace(out, flow=flow_of(steps, out.treated))


def losses_of(people: pd.DataFrame, treated: NDArray[np.bool_]) -> Summary:
    """Deaths, moves and ended tenancies within the time people were observed, by arm, of those recorded."""
    columns = {"died": "died", "moved_out": "moved_out", "tenancy_ended": "tenancy_end"}
    last = people["observed_to"]
    # What the people table has no column for was never recorded, and is not zero.
    gone = {name: people[column] <= last for name, column in columns.items() if column in people}
    arm = np.where(treated, "supported", "control")
    frame = pd.DataFrame({"arm": arm, "persons": 1, **gone})
    table = frame.groupby("arm", sort=False).sum().astype(int).reset_index()
    return Summary(table, {"shows": "deaths, moves and ended tenancies by arm"}, people=("persons", *gone))
