"""Longer periods where shorter ones hold too few: by quarter, by half-year, then before and after.

Blocks are anchored at the start of support: event times -3 to -1 are the quarter before it, 0 to 2 the
quarter after. A block never crosses the start, nor the beginning of the months of anticipation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.did.steps import block_of
from impact.disclosure.policies import Policy
from impact.results import Effects, Rates

Blocks = NDArray[np.int64]
Steps = list[tuple[int, str]]

# How many periods make a step, and what the step is called; 0 is one block on each side of the start.
_STEPS: dict[str, Steps] = {
    "month": [(1, "month"), (3, "quarter"), (6, "half-year"), (0, "before and after")],
    "quarter": [(1, "quarter"), (2, "half-year"), (0, "before and after")],
    "period": [(1, "period"), (0, "before and after")],
}


def enough_behind(counts: pd.DataFrame, policy: Policy) -> NDArray[np.bool_]:
    """Which rows have enough people, supported people, controls and events to carry an estimate.

    Of a number that is missing ``fewest`` says how many there are at least, where that is known.
    """
    ok, least = np.ones(len(counts), bool), counts.get("fewest")
    told = counts if least is None else counts.apply(lambda n: n.fillna(least))
    for column in ("persons", "treated", "events", "fewest"):
        if column in told:
            ok &= policy.enough(told[column])
    if {"persons", "treated"} <= set(counts.columns):
        # The controls are the difference, so they are as good as published.
        controls = counts["persons"].to_numpy(float) - counts["treated"].to_numpy(float)
        if least is not None:
            controls = np.where(np.isnan(controls), least, controls)
        ok &= (controls == 0) | policy.enough(controls)
    if {"events", "largest", "second"} <= set(counts.columns):
        ok &= ~policy.dominated(counts["events"], counts["largest"], counts["second"])
    return ok


def coarsen_effects(effects: Effects, policy: Policy) -> tuple[Effects, list[str]]:
    """Pool the points of an event study, outcome by outcome, until each has enough behind it.

    Points are averaged with equal weights (events avoided are added up), so that errors follow from the
    joint root. The reference point, 0 without error, stays as it is. Nothing else is changed.
    """
    labels = effects.labels.reset_index(drop=True)
    time = next((c for c in ("event_time", "period") if c in labels and labels[c].notna().any()), None)
    if time is None or labels[time].nunique() < 3 or _is_group_time(labels):
        return effects, []
    own, anticipation = (int(effects.method.get(name) or n) for name, n in (("step", 1), ("anticipation", 0)))
    position = _positions(labels[time], effects.method)
    early = -anticipation if time == "event_time" else 0
    if own > 1:
        # Effects that were estimated in steps are pooled from one step to the next.
        position, early = block_of(position, own, anticipation).astype(float), early // own
    key, notes = np.zeros(len(labels), np.int64), []
    for outcome, rows in labels.groupby("outcome", sort=False).indices.items():
        at = np.asarray(rows)
        steps = [(n // own, word) for n, word in _STEPS[_unit(labels[time], effects.method)] if n % own == 0]
        for step in dict(steps):
            key[at] = _blocks(position[at], step, early)
            pooled = _pool(effects.select(np.isin(np.arange(len(labels)), at)), key[at], time)
            if enough_behind(pooled.counts, policy)[~is_reference(pooled)].all():
                break
        notes += _note(outcome, labels["outcome"].nunique(), step, steps, effects.counts.iloc[at], policy)
    return (_pool(effects, key, time), notes) if notes else (effects, [])


def is_reference(effects: Effects) -> NDArray[np.bool_]:
    """Which effects are the base period: 0 by definition, and so without error."""
    return np.asarray((effects.estimate == 0) & (effects.std_error == 0))


def coarsen_rates(rates: Rates, policy: Policy) -> tuple[Rates, list[str]]:
    """Pool periods, outcome by outcome and alike for all arms, until each rate has enough behind it."""
    parts, notes = [], []
    for outcome, part in rates.table.groupby("outcome", sort=False, observed=True):
        one = replace(rates, table=part.reset_index(drop=True))
        periods = pd.Series(sorted(part["period"].unique()))
        position = _positions(periods, rates.method)
        found = one
        steps = _STEPS[_unit(periods, rates.method)]
        for step in dict(steps):
            found = one.coarsen(_blocks(position, step, 0).tolist()) if step != 1 else one
            if enough_behind(found.table, policy).all():
                break
        parts.append(found.table)
        notes += _note(outcome, rates.table["outcome"].nunique(), step, steps, part, policy)
    return replace(rates, table=pd.concat(parts, ignore_index=True)), notes


def _is_group_time(labels: pd.DataFrame) -> bool:
    """Whether the effects are by group and period: no one sequence of times to pool."""
    return "group" in labels and bool(labels["group"].notna().any())


def _unit(times: pd.Series, method: Mapping[str, Any]) -> str:
    """Length of a period: what the method says, or what the dates say, or a month."""
    said = method.get("period")
    if said in _STEPS:
        return str(said)
    if pd.api.types.is_datetime64_any_dtype(times):
        days = pd.Series(sorted(times.dropna().unique())).diff().dt.days.median()
        return "month" if days < 32 else "quarter" if days < 93 else "period"
    return "month"


def _positions(times: pd.Series, method: Mapping[str, Any]) -> NDArray[np.float64]:
    """Times as whole numbers, 0 where support starts (or first starts, on the calendar clock)."""
    if pd.api.types.is_numeric_dtype(times):
        return times.to_numpy(float, na_value=np.nan)
    known = sorted(times.dropna().unique())
    start = method.get("first_start")
    first = sum(t < pd.Timestamp(start) for t in known) if start is not None else 0
    return times.map({t: i - first for i, t in enumerate(known)}).to_numpy(float)


def _blocks(position: NDArray[np.float64], step: int, early: int) -> Blocks:
    """Number the blocks in order of time; missing times are one block of their own.

    A block cut short by the end of the window joins its neighbour on the same side: few were observed
    that far out, and they should not decide how the rest is shown.
    """
    known = np.isfinite(position)
    times = np.unique(position[known])
    side = 2 * (times >= early) + (times >= 0)
    key = 4 * (np.floor(times / step) if step else np.zeros(len(times))) + side
    for ends in ((0, 1), (-1, -2)) if step > 1 else ():
        numbers = np.unique(key)
        if len(numbers) < 2:
            break
        outer, inner = (key == numbers[e] for e in ends)
        if outer.sum() < step and side[outer][0] == side[inner][0]:
            key[outer] = numbers[ends[1]]
    block = np.full(len(position), -(10**6), np.int64)
    block[known] = key[np.searchsorted(times, position[known])]
    return block


def _pool(effects: Effects, key: Blocks, time: str) -> Effects:
    labels = effects.labels.reset_index(drop=True)
    reference = is_reference(effects)
    to = f"{time}_to"
    fixed = [c for c in labels.columns if c not in ("event_time", "period", "term", to)]
    if labels.duplicated([*fixed, time]).any():
        fixed.append("term")
    keys = labels[fixed].astype("string").fillna("")
    # A reference point is a block of its own, numbered below all others.
    keys["_block"] = np.where(reference, -(10**7) - np.arange(len(labels)), key)
    code = keys.groupby([*fixed, "_block"], sort=False).ngroup().to_numpy()
    member = code[:, None] == np.arange(code.max() + 1)
    adds = (labels["scale"] == "events avoided").to_numpy()[:, None]
    weights = np.where(adds, member, member / member.sum(0))
    by = labels.groupby(code)
    new = by.first()
    new[time] = by[time].min()
    new[to] = by[to if to in labels else time].max()
    if "term" not in fixed and time == "event_time":
        spans = new[time] < new["event_time_to"]
        new.loc[spans, "term"] = [
            f"event time {a:g} to {b:g}" for a, b in new.loc[spans, [time, "event_time_to"]].to_numpy(float)
        ]
    new = new[list(dict.fromkeys([*labels.columns, to]))]
    return effects.combine(weights, labels=new.reset_index(drop=True))


def _note(
    outcome: object, outcomes: int, step: int, steps: Steps, counts: pd.DataFrame, policy: Policy
) -> list[str]:
    if step == 1:
        return []
    people = [c for c in ("persons", "treated") if c in counts]
    what = "people" if policy.small(counts[people]).any() else "events"
    word, had = dict(steps)[step], f"{policy.few} {what}"
    if "largest" in counts and policy.enough(counts[[*people, "events"]]).all():
        had = "events mostly of one or two people"
    how = f"Shown {word if step == 0 else f'by {word}'}, because some {steps[0][1]}s had {had}."
    return [how if outcomes == 1 else f"{outcome}: {how[0].lower()}{how[1:]}"]
