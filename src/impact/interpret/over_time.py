"""How the effect runs over time since the start of support, and what that says of the comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from impact.data.panel import Panel
from impact.did import bands, event_study, honest_bounds, pretrend_test
from impact.errors import DesignError
from impact.results import Bounds, Effects, Result, Test

# Trends may part by half as much from month to month as they did before support, as much, and twice.
LIMITS = (0.5, 1.0, 2.0)


def over_time(
    panel: Panel, *, outcome: str, estimator: str, arguments: Mapping[str, Any], seed: int
) -> dict[str, Result]:
    """Estimate the effect by time since support began, with what can be said of the trends before it.

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
    effects = event_study(panel, outcome=outcome, estimator=estimator, **arguments)
    shown, why = _or_reason(lambda: bands(effects, seed=seed))
    by_time = shown or _noted(effects, why)
    test, why = _or_reason(lambda: pretrend_test(effects))
    pretrend = test or _no_test(effects, why)
    bounds, why = _or_reason(lambda: honest_bounds(effects, m_bar=LIMITS, of="average"))
    return {"by_time": by_time, "pretrend": pretrend, "bounds": bounds or _no_bounds(effects, why)}


def _or_reason(make: Callable[[], Any]) -> tuple[Any, str]:
    try:
        return make(), ""
    except DesignError as error:
        return None, str(error)


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
