"""Who answered a survey, what they said, and how they were asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data import Cohort, Panel
from impact.data.scores import Measure
from impact.data.survey import how_asked
from impact.errors import DesignError
from impact.interpret.description import GROUPS
from impact.results import Result, Summary

NOT_ASKED = "not asked, or no answer before"
ANSWERED, LOST = "answered again", "did not answer again"
TOGETHER = "all together"
# Where one way of asking is this much commoner in one group or wave than in the other, it is told.
_OTHERWISE = 0.1
# Recall periods that differ by more than this share between groups are no longer the same question.
_LONGER = 1.1


@dataclass(frozen=True)
class Held:
    """How the interviews of two waves were held, one row each, and the tables that count them."""

    rows: pd.DataFrame
    tables: dict[str, Result]


def answered(data: Cohort, panel: Panel) -> dict[str, Result]:
    """Count who answered again, who was lost, the dead among them, and who had not been asked, by group.

    How many answered before is no count of its own: it follows where the two that make it are shown.

    Parameters
    ----------
    data : Cohort
    panel : Panel
        Of ``impact.data.survey.waves``.

    Returns
    -------
    dict
        ``answered``: a row a group and ``stage``; the three add up to everyone in the study.
    """
    times = np.maximum.reduce(list(panel.exposure.values())) > 0
    before, after = times.T
    rows = []
    for treated, arm in GROUPS.items():
        mine = panel.treated == treated
        everyone, said = int((data.treated == treated).sum()), int((mine & before).sum())
        again = int((mine & before & after).sum())
        stages = {"in the study": everyone, ANSWERED: again, LOST: said - again, NOT_ASKED: everyone - said}
        rows += [{"arm": arm, "stage": stage, "persons": n} for stage, n in stages.items()]
    method = {"shows": "who answered", "before": str(panel.periods[0]), "after": str(panel.periods[1])}
    return {"answered": Summary(pd.DataFrame(rows), method, people=["persons"])}


def spoken(panel: Panel, measures: Sequence[Measure]) -> dict[str, Result]:
    """Describe what each group said: of those who answered twice before and after, and of those lost before.

    Returns
    -------
    dict
        ``spoken``, a row a question, group, ``when`` and ``stage``: of scores ``mean`` and ``sd``, of yes or
        no how many said yes (``yes``) and ``percent``, of counts ``events`` and their number a person and
        year.
    """
    rows = []
    for one in measures:
        time = panel.exposure[one.name]
        twice = (time > 0).all(1)
        lost = (time[:, 0] > 0) & ~twice
        for treated, arm in GROUPS.items():
            mine = panel.treated == treated
            for stage, who, column in ((ANSWERED, twice, 0), (ANSWERED, twice, 1), (LOST, lost, 0)):
                values = panel.outcomes[one.name][mine & who, column], time[mine & who, column]
                place = {"outcome": one.name, "arm": arm, "when": ("before", "after")[column], "stage": stage}
                rows.append(place | _described(one, *values))
    table = pd.DataFrame(rows)
    return {
        "spoken": Summary(
            table,
            {"shows": "what people said", "asked": meant(measures)},
            people=["persons", "yes"],
            events=["events"],
            derived={"mean": ["persons", "events"], "sd": ["persons"]},
            percent={"percent": ("yes", "persons")},
        )
    }


def meant(measures: Sequence[Measure]) -> dict[str, list[str]]:
    """Say of each question of what kind it is, which answers are better, what it asks, and on which scale."""
    scales = {m.name: "" if m.low is None else f"{m.low:g} to {m.high:g}" for m in measures}
    return {m.name: [m.kind, m.better, m.meaning, scales[m.name]] for m in measures}


def _described(
    one: Measure, values: NDArray[np.float64], time: NDArray[np.float64]
) -> dict[str, float | int]:
    n = len(values)
    row: dict[str, float | int] = {"persons": n, "mean": np.nan, "sd": np.nan}
    row |= {"yes": np.nan, "percent": np.nan, "events": np.nan}
    if not n:
        return row
    if one.kind == "score":
        return row | {"mean": values.mean(), "sd": values.std(ddof=1) if n > 1 else np.nan}
    if one.kind == "yes or no":
        return row | {"yes": values.sum(), "percent": 100 * values.mean()}
    return row | {"events": values.sum(), "mean": 12 * values.sum() / time.sum()}


def how_held(data: Cohort, panel: Panel, measures: Sequence[Measure]) -> Held:
    """Count how the interviews were held and, where counts were asked, how far back they looked."""
    rows = how_asked(data, panel)
    first = rows["wave"] == panel.periods[0]
    rows = rows.assign(when=np.where(first, "before", "after"), arm=rows["treated"].map(GROUPS))
    days = rows["recall_days"]
    said = days.map(lambda n: f"{n:.0f} days", na_action="ignore").fillna("not said")
    tables: dict[str, Result] = {}
    asked = {"modes": rows["mode"]} | ({"recalls": said} if any(m.kind == "count" for m in measures) else {})
    for name, values in asked.items():
        how = "mode" if name == "modes" else "recall"
        # All are told too, as many as answered again, so that the gate knows what the ways add up to.
        each = pd.concat([rows.assign(**{how: values}), rows.assign(**{how: TOGETHER})])
        table = each.groupby(["when", "arm", how], sort=False).size().rename("persons").reset_index()
        tables[name] = Summary(table, {"shows": name}, people=["persons"], adds_up=["when", "arm"])
    return Held(rows, tables)


def held_alike(held: Held, measures: Sequence[Measure]) -> list[str]:
    """Say where the two groups, or the two waves, were asked otherwise.

    Raises
    ------
    DesignError
        If counts look back over other times in one group than in the other: the two are not one question.
    """
    rows, notes = held.rows, []
    counts = pd.crosstab([rows["when"], rows["arm"]], rows["mode"])
    if any(_otherwise(counts.xs(when)) for when in counts.index.unique(0)):
        notes.append(
            "The two groups were not asked in the same way (such as by telephone or face to face). People "
            "answer otherwise when asked otherwise, so part of a difference may be that."
        )
    elif any(_otherwise(counts.xs(arm, level=1)) for arm in counts.index.unique(1)):
        notes.append(
            "People were not asked in the same way before and after, in either group: a change over time may "
            "be that, a difference between the groups should not."
        )
    told = [m.name for m in measures if m.kind == "count"]
    if not told:
        return notes
    days = rows.groupby(["when", "arm"])["recall_days"].mean().unstack("arm")
    longer = (days.max(axis=1) / days.min(axis=1)).max()
    if longer > _LONGER:
        raise DesignError(
            f"survey: {', '.join(told)} look back over other times in one group than in the other "
            "(recall_days), and people forget more of a longer time; leave these counts out."
        )
    if rows["recall_days"].nunique() > 1:
        notes.append(
            "Answers on contacts do not all look back over the same time. They are compared as rates, but "
            "people forget more of a longer time."
        )
    return notes


def _otherwise(counts: Any) -> bool:
    """Whether a share differs between two rows by a tenth or more, and by more than chance would have it."""
    if len(counts) < 2:
        return False
    n, p = counts.sum(axis=1).to_numpy(float), (counts.sum() / counts.to_numpy().sum()).to_numpy(float)
    gap = np.abs(np.diff(counts.to_numpy(float) / n[:, None], axis=0)[0])
    error = np.sqrt(p * (1 - p) * (1 / n[0] + 1 / n[1]))
    return bool(((gap > _OTHERWISE) & (gap > 2 * error)).any())
