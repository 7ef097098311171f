"""Tables of a survey: who answered, what they said before and after, what those lost had said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.disclosure import Released
from impact.pages.formats import capital, label, number, numeric, require_released
from impact.pages.layout import Column, Table, cells_of, table_of

_GROUPS = {"supported": "With support", "control": "Comparison"}


def _rows(one: Released, **where: str) -> pd.Series:
    """The row numbers of a table that are so and so, by question, in the table's order."""
    shown = one.table.reset_index(drop=True)
    for column, value in where.items():
        shown = shown[shown[column] == value]
    keys = shown["outcome"] if "outcome" in shown else shown["stage"]
    return pd.Series(shown.index, index=keys.to_numpy())


def _told(one: Released, rows: pd.Series) -> list[str]:
    """What a group said on each question: a mean, or a percentage."""
    kinds = {name: meant[0] for name, meant in one.method["asked"].items()}
    out = []
    for name, row in rows.items():
        percent = kinds[str(name)] == "yes or no"
        column: str = "percent" if percent else "mean"
        hidden = bool(one.hidden[column].iloc[row]) or bool(one.hidden["persons"].iloc[row])
        value: Any = one.table[column].iloc[row]
        figure = one.mark if hidden else number(value, 0 if percent else 1)
        out.append(f"{figure}%" if percent and not hidden and pd.notna(value) else figure)
    return out


def before_and_after(one: Released) -> Table:
    """Means and percentages of those who answered twice, the groups side by side."""
    require_released(one)
    groups = {
        (arm, when): _rows(one, arm=arm, when=when, stage="answered again")
        for arm in _GROUPS
        for when in ("before", "after")
    }
    names = list(next(iter(groups.values())).index)
    columns = [Column("Question", [label(name) for name in names], words=True)]
    for arm, title in _GROUPS.items():
        sides = [_told(one, groups[arm, when]) for when in ("before", "after")]
        columns.append(
            Column(f"{title}, before → after", [" → ".join(pair) for pair in zip(*sides, strict=True)])
        )
    people = [cells_of(one, "persons", groups[arm, "after"]) for arm in _GROUPS]
    columns.append(Column("People with / without", [" / ".join(pair) for pair in zip(*people, strict=True)]))
    under = [*_asked(one, names), "Of those who answered the question before and after."]
    return table_of(one, "What people said before and after", columns, under)


def lost(one: Released) -> Table:
    """What those who did not answer again had said before, beside those who did."""
    require_released(one)
    groups = {
        (arm, stage): _rows(one, arm=arm, when="before", stage=stage)
        for arm in _GROUPS
        for stage in ("answered again", "did not answer again")
    }
    names = list(next(iter(groups.values())).index)
    columns = [Column("Said before", [label(name) for name in names], words=True)]
    for (arm, stage), rows in groups.items():
        columns.append(Column(f"{_GROUPS[arm]}, {stage}", _told(one, rows)))
    under = ["Where those who were lost had been worse off, those who stayed do not speak for all."]
    return table_of(one, "What those who were lost had said before", columns, under)


def who_answered(answered: Released) -> Table:
    """How many were in the study, answered before, and answered again, by group."""
    columns = [
        Column("People", ["In the study", "Answered before", "Answered again", "Did not answer again"], True)
    ]
    for arm, title in _GROUPS.items():
        rows = _rows(answered, arm=arm)[["in the study", "answered again", "did not answer again"]]
        (everyone, *parts), counts = cells_of(answered, "persons", rows), _shown(answered, rows)
        before = counts[1] + counts[2]
        told = answered.mark if np.isnan(before) else number(before)
        cells = [everyone, _of(told, before, counts[0])]
        cells += [_of(part, n, before) for part, n in zip(parts, counts[1:], strict=True)]
        columns.append(Column(title, cells))
    before, after = answered.method["before"], answered.method["after"]
    under = [
        f"Before: interview “{before}”. Again: “{after}”. Percentages are of those in the study who answered "
        "before, and of those who answered before who did so again; who had died is among those who did not."
    ]
    return table_of(answered, "Who answered", columns, under)


def share_again(answered: Released, arm: str) -> float:
    """Which part of a group who answered before did so again; missing where it would tell a small number."""
    again, lost = _shown(answered, _rows(answered, arm=arm)[["answered again", "did not answer again"]])
    return float(again / (again + lost)) if again + lost > 0 else np.nan


def _shown(one: Released, rows: pd.Series) -> NDArray[np.float64]:
    """The numbers of people in some rows, as they are shown; missing where one is not."""
    persons = numeric(one.table["persons"].iloc[rows])
    return np.where(one.hidden["persons"].iloc[rows], np.nan, persons)


def _of(cell: str, count: float, whole: float) -> str:
    return f"{cell} ({number(100 * count / whole)}%)" if count >= 0 and whole > 0 else cell


def how_asked(one: Released) -> Table:
    """How many interviews were held in each way, by group, before and after."""
    how = "mode" if "mode" in require_released(one).table else "recall"
    shown = one.table.reset_index(drop=True)
    ways = sorted(shown[how].unique())
    columns = [
        Column(
            "Way of asking" if how == "mode" else "Looking back over", [capital(w) for w in ways], words=True
        )
    ]
    for when in ("before", "after"):
        for arm, title in _GROUPS.items():
            mine = shown[(shown["when"] == when) & (shown["arm"] == arm)]
            at = pd.Series(mine.index, index=mine[how]).reindex(ways)
            columns.append(Column(f"{title}, {when}", cells_of(one, "persons", at)))
    title = "How interviews were held" if how == "mode" else "How far back answers on contacts look"
    return table_of(one, title, columns, [])


def _asked(one: Released, names: list[str]) -> list[str]:
    """Say which scale each question has, and which end is better."""
    said = []
    for name in names:
        kind, better, _, scale = one.method["asked"][name]
        if scale:
            end = {"higher": "higher is better", "lower": "lower is better"}[better]
            metric = ", on the metric scale, not sums" if name == "swemwbs" else ""
            said.append(f"{label(name)}: {scale}{metric}, {end}.")
        elif kind == "count":
            said.append(f"{label(name)}: a person and year.")
    return [" ".join(said)] if said else []
