"""How the effect runs over time since the start of support, and what that says of the comparison."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd

from impact.data.panel import Panel
from impact.did import ESTIMATORS, bands, event_study, honest_bounds, pretrend_test
from impact.did.steps import block_of
from impact.errors import DesignError
from impact.results import Bounds, Effects, Result, Test

# Trends may part by half as much from one step to the next as they did before support, as much, and twice.
LIMITS = (0.5, 1.0, 2.0)

# Fewer supported people, or events among them, say little, and as the base they make every point unsure.
ENOUGH = 10

# How many periods are taken together, and what they are called.
_STEPS = {"month": {1: "month", 3: "quarter", 6: "half-year"}, "quarter": {1: "quarter", 2: "half-year"}}


def over_time(
    panel: Panel, *, outcome: str, estimator: str, arguments: Mapping[str, Any], seed: int
) -> dict[str, Result]:
    """Estimate the effect by time since support began, with what can be said of the trends before it.

    Time is taken in the shortest steps (months, quarters, half-years) in each of which the supported have
    ``ENOUGH`` events, or else in the longest, and without far ends that few people reach; notes say so.

    Parameters
    ----------
    panel : Panel
        The one the estimator takes.
    outcome : str
    estimator : str
        Name in ``impact.did.ESTIMATORS``.
    arguments : mapping
        Of the estimator.
    seed : int
        Of the draws for the bands.

    Returns
    -------
    dict
        ``by_time``, the effects with simultaneous bands; ``pretrend``, the test that all effects before
        support are zero together; and ``bounds`` on the average effect where trends are not quite parallel.
        What these data do not admit is empty, and says why in its notes.
    """
    effects = _by_time(panel, outcome, estimator, arguments)
    shown, why = _or_reason(lambda: bands(effects, seed=seed))
    by_time = shown or _noted(effects, why)
    # By its own degrees of freedom for few clusters: there may be many points before support.
    test, why = _or_reason(lambda: pretrend_test(effects, statistic="hotelling"))
    pretrend = test or _no_test(effects, why)
    bounds, why = _or_reason(lambda: honest_bounds(effects, m_bar=LIMITS, of="average"))
    return {"by_time": by_time, "pretrend": pretrend, "bounds": bounds or _no_bounds(effects, why)}


def _by_time(panel: Panel, outcome: str, estimator: str, arguments: Mapping[str, Any]) -> Effects:
    """Estimate in the shortest steps that hold enough events, without far ends that do not."""
    steps = _STEPS.get(panel.step, {1: panel.step})
    longest = max(steps)
    # Two estimators give one effect and no run of it over time: another estimator shows that.
    another = {
        "synthetic_did": "callaway_santanna",
        "triple_difference": arguments.get("within", "two_by_two"),
    }
    if estimator in another:
        estimator = another[estimator]
        taken = signature(ESTIMATORS[estimator]).parameters
        arguments = {name: value for name, value in arguments.items() if name in taken}
    for step in steps:
        try:
            effects = event_study(panel, outcome=outcome, estimator=estimator, step=step, **arguments)
        except DesignError:
            # A ratio needs an event in each step; longer ones may have it.
            if step == longest:
                raise
            continue
        effects, fewest = _without_ends(panel, outcome, effects)
        if fewest >= ENOUGH:
            break
    if step > 1:
        effects = _noted(effects, f"Shown by {steps[step]}, as single {panel.step}s hold few events.")
    return effects


def _without_ends(panel: Panel, outcome: str, effects: Effects) -> tuple[Effects, float]:
    """Leave out ends that few people reach; return also the fewest events of what is left.

    Where starts are spread over years, a few people are seen long before and after their own.
    """
    labels, method = effects.labels, effects.method
    step, anticipation = method.get("step", 1), method.get("anticipation", 0)
    rows = block_of(labels["event_time"], step, anticipation)
    supported = (panel.start < len(panel.periods)) & (panel.weights > 0)
    event = np.arange(len(panel.periods)) - panel.start[supported, None]
    last = labels.get("event_time_to", labels["event_time"]).max()
    within = (event >= labels["event_time"].min()) & (event <= last)
    # A step without an event has no effect, but counts if it lies between others.
    blocks = np.arange(rows.min(), rows.max() + 1)
    cells = [within & (block_of(event, step, anticipation) == b) for b in blocks]
    seen = panel.exposure[outcome][supported] > 0
    people = np.array([(seen & here).any(1).sum() for here in cells])
    events = np.array([panel.outcomes[outcome][supported][here].sum() for here in cells])
    if "pre_effects" in method:
        # What comes first by imputation stands for all time before it.
        events[0], people[0] = np.inf, people.max()
    enough = (events >= ENOUGH) & (people >= ENOUGH)
    inside = np.flatnonzero(enough | (2 * people >= people.max()))
    kept = slice(inside[0], inside[-1] + 1)
    if len(blocks[kept]) < len(blocks):
        effects = replace(effects.select(np.isin(rows, blocks[kept])), overall=None)
        effects = _noted(effects, "Not shown: times far from the start, which few reached.")
    return effects, float(events[kept].min())


def _or_reason(make: Callable[[], Any]) -> tuple[Any, str]:
    try:
        return make(), ""
    except DesignError as error:
        return None, _found(str(error))


def _found(message: str) -> str:
    """Return what an error found, for readers; what to call instead follows a semicolon."""
    return re.sub(r"^(bands|honest_bounds|pretrend_test): ", "", message).partition("; ")[0].rstrip(".") + "."


def _noted(effects: Effects, note: str) -> Effects:
    return replace(effects, method={**effects.method, "notes": [*effects.method["notes"], note]})


def _no_test(effects: Effects, why: str) -> Test:
    method = {**effects.method, "shows": "pre-trend test", "notes": [why]}
    nothing = float("nan")
    return Test("pre-trends are zero", nothing, nothing, nothing, method, effects.counts)


def _no_bounds(effects: Effects, why: str) -> Bounds:
    columns = [
        "outcome",
        "term",
        "scale",
        "unit",
        "restriction",
        "m_bar",
        "estimate",
        "conf_low",
        "conf_high",
    ]
    empty = pd.DataFrame({name: [] for name in [*columns, "conf_level", "null_value", "breakdown"]})
    method = {**effects.method, "shows": "bounds where trends are not parallel", "notes": [why]}
    return Bounds(empty, method, effects.counts.iloc[:0])
