"""Effects by time since support began, whichever estimator a study uses for its main effect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from impact.data.panel import Panel
from impact.did.aggregate import aggregate, equal_average
from impact.did.callaway_santanna import callaway_santanna
from impact.did.design import check_varies, weighed
from impact.did.estimators import check_arguments
from impact.did.etwfe import etwfe
from impact.did.imputation import imputed_event_study
from impact.did.pooled import pooled_event_study
from impact.did.steps import check_step, in_steps, span_labels
from impact.did.sun_abraham import sun_abraham
from impact.did.twfe import twfe
from impact.did.two_way import two_way
from impact.errors import ParameterError, nearest
from impact.results import Effects

Names = str | Sequence[str]
Arguments = dict[str, Any]


def _by_group(panel: Panel, outcome: Names, step: int, arguments: Arguments) -> Effects:
    # Periods before support are read against one and the same base, or a slope in them would hide.
    arguments = arguments | {"base_period": "universal"}
    return _averaged(callaway_santanna(panel, outcome=outcome, **arguments), step)


def _interacted(panel: Panel, outcome: Names, step: int, arguments: Arguments) -> Effects:
    return _averaged(sun_abraham(panel, outcome=outcome, **arguments), step)


def _averaged(effects: Effects, step: int) -> Effects:
    by_time = aggregate(effects, by="event_time")
    return in_steps(by_time, step) if step > 1 else by_time


def _extended(panel: Panel, outcome: Names, step: int, arguments: Arguments) -> Effects:
    taken = _some(arguments, "covariates", "anticipation")
    if arguments.get("family", "poisson") == "poisson":
        # A month's events of one start are too few for a ratio of their own: starts are pooled.
        return pooled_event_study(panel, outcome=outcome, step=step, **taken)
    if (weighed(panel, panel.check_outcomes(outcome)).start >= len(panel.periods)).any():
        arguments = arguments | {"control": "never_treated"}
        return _averaged(etwfe(panel, outcome=outcome, **arguments), step)
    # Without people who never have support, effects before it can only be read against the not yet supported.
    return _by_group(panel, outcome, step, taken)


def _stacked(panel: Panel, outcome: Names, step: int, arguments: Arguments) -> Effects:
    # Pooled over starts, rare events need no course that they share.
    taken = {name: value for name, value in arguments.items() if name != "course"}
    return pooled_event_study(panel, outcome=outcome, step=step, **taken)


def _imputed(panel: Panel, outcome: Names, step: int, arguments: Arguments) -> Effects:
    by_time = imputed_event_study(panel, outcome=outcome, **arguments)
    return in_steps(by_time, step) if step > 1 else by_time


def _by_regression(panel: Panel, outcome: Names, step: int, arguments: Arguments) -> Effects:
    taken = _some(arguments, "family", "staggered")
    return twfe(panel, outcome=outcome, event_study=True, step=step, **taken)


def _some(arguments: Arguments, *names: str) -> Arguments:
    return {name: arguments[name] for name in names if name in arguments}


_EVENT_STUDIES: dict[str, Callable[[Panel, Names, int, Arguments], Effects]] = {
    "two_by_two": _by_regression,
    "twfe": _by_regression,
    "callaway_santanna": _by_group,
    "sun_abraham": _interacted,
    "imputation": _imputed,
    "etwfe": _extended,
    "stacked": _stacked,
}


def event_study(
    panel: Panel, *, outcome: str | Sequence[str], estimator: str, step: int = 1, **arguments: Any
) -> Effects:
    """Estimate the effect at each time since support began, and the differences before it.

    Parameters
    ----------
    panel : Panel
        The one the estimator takes.
    outcome : str or sequence of str
    estimator : str
        Name in ``impact.did.ESTIMATORS``. Averages of ATT(g, t) for ``callaway_santanna``, ``sun_abraham``,
        ``imputation`` (its periods before support by a regression of their own) and linear ``etwfe`` (with
        people never supported as controls or, where there are none, by ``callaway_santanna``). One effect an
        event time, pooled over starts, for ``stacked`` and Poisson ``etwfe``. A regression with an effect for
        each person, period and event time for ``twfe`` and ``two_by_two``.
    step : int
        Periods in a block of event times, for rare outcomes: one period before support from which all
        others are measured makes them all as noisy as it is. Blocks begin where support begins and where
        people may begin to react to it. Regressions have one effect a block; averages of ATT(g, t) are
        averaged within blocks and measured from the mean of the block of the base (equal known weights).
    **arguments
        Of the estimator; for ``imputation`` also ``leads``, how many periods before support are shown.

    Returns
    -------
    Effects
        One row an event time (or block, from ``event_time`` to ``event_time_to``), the one that all others
        are measured from among them, with ``overall``, the average from support on.

    Raises
    ------
    ParameterError
        If the estimator has no event study or no such argument, or ``step`` is not a number of periods.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"site": [1, 1, 2, 2, 3, 3, 4, 4], "year": [1, 2] * 4,
    ...                       "falls": [4, 2, 6, 4, 5, 5, 3, 4], "start": [2, 2, 2, 2] + [None] * 4})
    >>> panel = Panel.from_long(frame, unit="site", period="year", outcomes=["falls"],
    ...                         first_treated="start")
    >>> event_study(panel, outcome="falls", estimator="two_by_two", family="linear").overall.estimate
    array([-2.5])
    """
    if estimator not in _EVENT_STUDIES:
        raise ParameterError(
            f"estimator={estimator!r} has no event study; these have: {', '.join(_EVENT_STUDIES)}."
            + nearest(estimator, _EVENT_STUDIES)
        )
    check_arguments(estimator, arguments, also=["leads"] if estimator == "imputation" else [])
    check_varies(panel, panel.check_outcomes(outcome))
    step, of = check_step(step), _EVENT_STUDIES[estimator]

    def analysis(some: Panel) -> Effects:
        return of(some, outcome, step, arguments)

    # As in ``estimate``: a control of several sets is one person.
    effects = two_way(panel, analysis, second="person") if panel.reused else analysis(panel)
    if effects.overall is None:
        effects = replace(effects, overall=equal_average(effects, "average over event times"))
    return effects if effects.method["reference"] is None else _with_base(effects)


def _with_base(effects: Effects) -> Effects:
    """Add the time that all others are measured from: 0 by definition, without an error."""
    base, step = effects.method["reference"], effects.method.get("step", 1)
    span = span_labels([base, effects.method.get("reference_to", base)], step)
    first = effects.labels.drop_duplicates("outcome")
    # The first row of imputation stands for all time before it.
    span["term"] += " and before" if "pre_effects" in effects.method else ""
    rows = first.assign(**span)
    labels = pd.concat([effects.labels, rows], ignore_index=True)
    counts = pd.concat([effects.counts, 0 * effects.counts.loc[first.index]], ignore_index=True)
    rank = labels["outcome"].map(effects.method["outcome"].index)
    order = np.lexsort([labels["event_time"], rank])
    by = np.eye(len(effects), len(labels))[:, order]
    return replace(
        effects,
        labels=labels.loc[order].reset_index(drop=True),
        estimate=np.append(effects.estimate, np.zeros(len(rows)))[order],
        root=effects.root @ by,
        counts=counts.loc[order].reset_index(drop=True),
        **effects.carried(by),
    )
