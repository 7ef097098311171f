"""The simple change after support began, and how much of it would have come anyway.

People are offered support when they are unwell, and most get better (regression to the mean: Linden 2013,
BMC Medical Research Methodology 13, 119). How much of a change comes of the choice alone is worked out twice:

- by a formula, from how people's rates differ: lasting gamma rates, Poisson counts, and a choice that looked
  at the count. It is an approximation: where needs pass, it says too little.
- by people without support who had used as much before a like day: what became of them.

Mean and shape of the rates are those of everyone who could have been offered support on the first day on
which anybody was, counted in the year to that day: nobody had been picked by then. In the year to each
person's own start the supported stand at their peak, and rates would seem to differ more than they do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data import Cohort, LongData
from impact.data.contract import DERIVED_OUTCOMES
from impact.data.panel import Panel
from impact.errors import DesignError
from impact.interpret.description import GROUPS, weighed
from impact.match.trajectories import two_largest
from impact.numbers.gamma_poisson import Frailty, gamma_poisson
from impact.numbers.inference import within_cells
from impact.results import Summary

Array = NDArray[np.float64]
# Per cent that are to be expected from the choice alone, with 95% ranges.
EXPECTED = ("formula", "alike")
_ENDS = ("percent", "low", "high")
_Z = 1.959964
# Years of person-time do not differ in length by as much as this part.
WHOLE = 0.98
# People without support in each group of like use, and how many there must be in all (effective number), of
# what share of the supported.
_IN_GROUP, _IN_ALL, _COVERED = 10, 30, 0.9
_NOT_MADE = (
    "What the choice of people alone would lead to expect is worked out from counts of people around their "
    "own dates; this ready-made panel has none, so it is not shown."
)
_NIGHTS = "nights come several to a stay, so the formula does not hold for them and is left out."
_FEW_ALIKE = "too few people without support had used as much before, so what became of them is not shown."
_NO_YEAR = "nobody was observed for the year before support first began, so the formula is left out."


def regression_to_mean(data: Cohort | LongData, around: Panel, *, outcome: str | Sequence[str]) -> Summary:
    """Set the simple change of supported people beside what the choice of them alone would lead to expect.

    The change among the supported alone is what is usually claimed; it is never given without the others.

    Parameters
    ----------
    data : Cohort or LongData
        Everyone, from whom the rates that people have without support are estimated.
    around : Panel
        On the event clock, so that the controls' before and after lie around their own index dates. Rates of
        a matched sample are by its weights, and people and events those behind them, each once.
    outcome : str or sequence of str

    Returns
    -------
    Summary
        One row an outcome: events, rates before and after per 1,000 of the panel's exposure (person-months,
        or units and periods where there is none), and the change in per cent, for ``supported`` and
        ``control``; and the change in per cent to be expected of the supported with its 95% range, by the
        ``formula`` and by people ``alike``, in whole per cent. Missing where it cannot be made: ``notes``
        say why.

    Raises
    ------
    DesignError
        On the calendar clock.
    """
    if around.clock != "event":
        raise DesignError(
            "regression_to_mean: needs a panel with clock='event', so that controls have a before and after."
        )
    names, before = around.check_outcomes(outcome), around.periods.to_numpy() < 0
    has_before = any((around.exposure[name][:, before] > 0).any() for name in names)
    people = _Everyone(data) if isinstance(data, Cohort) and has_before else None
    rows, notes = [], [] if people or not has_before else [_NOT_MADE]
    for name in names:
        row: dict[str, Any] = {"outcome": name, **_changes(around, name, before)}
        expected, why = _expected(people, around, name, before) if people else ({}, [])
        nothing = dict.fromkeys(_ENDS, np.nan)
        for how in EXPECTED:
            row |= {f"{how}_{end}": value for end, value in expected.get(how, nothing).items()}
        rows.append(row)
        notes += why
    said = weighed(around)
    notes = [*said.pop("notes", []), *dict.fromkeys(notes)]
    method = {"shows": "before and after", "clock": "event", "per": around.per, **said}
    return _summary(pd.DataFrame(rows), method | {"has_before": has_before, "notes": notes})


def _summary(table: pd.DataFrame, method: dict[str, Any]) -> Summary:
    """Say how each figure hangs on the counts, which are withheld and rounded."""
    counts = {
        arm: [f"{arm}_persons", f"{arm}_before_events", f"{arm}_after_events"] for arm in GROUPS.values()
    }
    times = [f"{arm}_{when}" for arm in counts for when in ("before", "after")]
    # A change among the supported is withheld together with the controls' and the other way round, and with
    # both what was to be expected.
    made = [*times, *(f"{arm}_change_percent" for arm in counts)]
    made += [f"{how}_{end}" for how in EXPECTED for end in _ENDS]
    return Summary(
        table,
        method,
        people=[c[0] for c in counts.values()],
        events=[e for c in counts.values() for e in c[1:]],
        largest={f"{at}_events": (f"{at}_largest", f"{at}_second") for at in times},
        rates={at: (f"{at}_events", f"{at.partition('_')[0]}_persons") for at in times},
        change={f"{arm}_change_percent": (f"{arm}_before", f"{arm}_after") for arm in counts},
        derived={name: [c for both in counts.values() for c in both] for name in made},
    )


def _changes(panel: Panel, name: str, before: NDArray[np.bool_]) -> dict[str, Any]:
    """Events and rates of both arms before and after, and how they changed."""
    once, row = panel.each_once(), dict[str, Any]()
    for treated, arm in GROUPS.items():
        people, them = panel.treated == treated, once.treated == treated
        row[f"{arm}_persons"] = int((once.exposure[name][them] > 0).any(1).sum())
        weight = panel.weights[people]
        for when, columns in (("before", before), ("after", ~before)):
            events = weight @ panel.outcomes[name][people][:, columns].sum(1)
            time = weight @ panel.exposure[name][people][:, columns].sum(1)
            each = once.outcomes[name][them][:, columns].sum(1, keepdims=True)
            row[f"{arm}_{when}_events"] = round(float(each.sum()))
            first, second = two_largest(each, np.arange(len(each)))[:, 0]
            row[f"{arm}_{when}_largest"], row[f"{arm}_{when}_second"] = first, second
            row[f"{arm}_{when}"] = 1000 * events / time if time > 0 else np.nan
        earlier = row[f"{arm}_before"]
        row[f"{arm}_change_percent"] = 100 * (row[f"{arm}_after"] / earlier - 1) if earlier else np.nan
    return row


def _expected(
    people: _Everyone, around: Panel, name: str, before: NDArray[np.bool_]
) -> tuple[dict[str, dict[str, float]], list[str]]:
    """The change to be expected by either way, and why one could not be made."""
    counts = [around.outcomes[name][:, side].sum(1) for side in (before, ~before)]
    times = [around.exposure[name][:, side].sum(1) for side in (before, ~before)]
    found, why = {}, []
    if name in DERIVED_OUTCOMES:
        why.append(f"{name}: {_NIGHTS}")
    elif (rates := people.rates(name)) is None:
        why.append(f"{name}: {_NO_YEAR}")
    else:
        mine = around.treated
        by_formula = _by_formula(rates, counts[0][mine], times[0][mine], times[1][mine], around.weights[mine])
        found["formula"] = _percent(*by_formula)
    if (alike := _by_people_alike(around, counts, times)) is None:
        why.append(f"{name}: {_FEW_ALIKE}")
    else:
        found["alike"] = _percent(*alike)
    return found, why


class _Everyone:
    """All who could have been offered support on the first day on which anybody was."""

    def __init__(self, data: Cohort) -> None:
        self.data = data
        self.dated: dict[Any, Cohort] = {}

    def rates(self, name: str) -> Frailty | None:
        """How their rates of one service differ; None where it was not observed for the year before."""
        column, data = f"prior_{name}", self.data
        known = data.treated & data.people[column].notna().to_numpy()
        if not known.any():
            return None
        begins = data.people["index_date"]
        first = begins[known].min()
        if first not in self.dated:
            # Who had support by then was not without it in the year, and could not be picked again.
            eligible = data.subset(~(data.treated & (begins < first).to_numpy()))
            self.dated[first] = eligible.at(pd.Series(first, index=eligible.person_id))
        count = self.dated[first].people[column].dropna().to_numpy(float)
        return gamma_poisson(count, np.full(len(count), 12.0)) if count.any() else None


def _by_formula(
    rates: Frailty, count: Array, time: Array, after: Array, weight: Array
) -> tuple[float, float]:
    """The logarithm of the rate expected after over the rate before, and its error."""
    events, error = rates.total(count, time, weight * after)
    return _log_ratio(events, weight @ after, weight @ count, weight @ time), error


def _by_people_alike(around: Panel, counts: list[Array], times: list[Array]) -> tuple[float, float] | None:
    """The same among people without support, weighted to have had as much use before; None where too few.

    People are alike who had as many events before, in as much of the time; where a number of events has
    few of them, it goes together with the next.
    """
    group = _groups_of_use(counts[0], times[0], ~around.treated & (times[0] > 0))
    seen = (times[0] > 0) & (group >= 0)
    weight = around.weights
    theirs, ours = (
        np.bincount(group[rows], weight[rows], minlength=group.max() + 1)
        for rows in (seen & ~around.treated, seen & around.treated)
    )
    rows = np.flatnonzero(seen & ~around.treated & (ours[group] > 0))
    covered = ours.sum() / max(weight[around.treated & (times[0] > 0)].sum(), 1e-300)
    if not len(rows) or covered < _COVERED:
        return None
    v = weight[rows] * (ours / np.where(theirs > 0, theirs, 1))[group[rows]]
    if v.sum() ** 2 / (v @ v) < _IN_ALL or not min(v @ counts[0][rows], v @ counts[1][rows]) > 0:
        return None
    (was, became), (long, longer) = ([v @ x[rows] for x in pair] for pair in (counts, times))
    influence = v * (
        (counts[1][rows] - became / longer * times[1][rows]) / became
        - (counts[0][rows] - was / long * times[0][rows]) / was
    )
    # Who is in which group is given by the supported: only what differs within groups is chance.
    apart = within_cells(influence[:, None], np.unique(group[rows], return_inverse=True)[1])[:, 0]
    one = np.unique(around.unit[rows], return_inverse=True)[1]
    return _log_ratio(became, longer, was, long), float(np.sqrt((np.bincount(one, apart) ** 2).sum()))


def _groups_of_use(count: Array, time: Array, theirs: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number the groups of like use that hold enough people without support; -1 has none like them.

    From the highest use down, so that those who had most stand together.
    """
    share = time / max(float(time.max(initial=0.0)), 1e-300)
    parts = np.select([share >= WHOLE, share >= 0.5], [0, 1], 2)
    out, groups = np.full(len(count), -1), 0
    for part in range(3):
        inside = parts == part
        levels, many = np.unique(count[inside & theirs], return_counts=True)
        if many.sum() < _IN_GROUP:
            continue
        edges, people = list[float](), 0
        for level, n in zip(levels[::-1], many[::-1], strict=True):
            people += n
            if people >= _IN_GROUP:
                edges.append(float(level))
                people = 0
        # Below the last edge are too few for a group of their own.
        at = np.maximum(np.searchsorted(edges[::-1], count[inside], side="right") - 1, 0)
        out[inside] = groups + at
        groups += len(edges)
    return out


def _log_ratio(*sums: Any) -> float:
    """The logarithm of a rate over the one before: of events, time, events before and time before."""
    events, time, events_before, time_before = map(float, sums)
    if not min(events, time, events_before, time_before) > 0:
        return np.nan
    return float(np.log(events / time) - np.log(events_before / time_before))


def _percent(log_ratio: float, error: float) -> dict[str, float]:
    """Whole per cent: with more digits, and counts that are known, it would tell counts that are rounded."""
    ends = log_ratio + _Z * error * np.array([0.0, -1.0, 1.0])
    return dict(zip(_ENDS, np.rint(100 * np.expm1(ends)) + 0.0, strict=True))
