"""Effects by time since support began, whichever estimator a study uses for its main effect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from impact.data.panel import Panel
from impact.did.aggregate import aggregate
from impact.did.callaway_santanna import callaway_santanna
from impact.did.twfe import twfe
from impact.errors import ParameterError, nearest
from impact.results import Effects


def _by_group(panel: Panel, outcome: str | Sequence[str], arguments: dict[str, Any]) -> Effects:
    # Periods before support are read against one and the same base, or a slope in them would hide.
    return aggregate(
        callaway_santanna(panel, outcome=outcome, **arguments | {"base_period": "universal"}), by="event_time"
    )


def _by_regression(panel: Panel, outcome: str | Sequence[str], arguments: dict[str, Any]) -> Effects:
    taken = {name: arguments[name] for name in ("family", "staggered") if name in arguments}
    return twfe(panel, outcome=outcome, event_study=True, **taken)


def _around_start(panel: Panel, outcome: str | Sequence[str], arguments: dict[str, Any]) -> Effects:
    return _by_regression(panel, outcome, {"family": "poisson", **arguments})


_EVENT_STUDIES: dict[str, Callable[[Panel, str | Sequence[str], dict[str, Any]], Effects]] = {
    "callaway_santanna": _by_group,
    "twfe": _by_regression,
    "two_by_two": _around_start,
}


def event_study(panel: Panel, *, outcome: str | Sequence[str], estimator: str, **arguments: Any) -> Effects:
    """Estimate the effect at each time since support began, and the differences before it.

    Parameters
    ----------
    panel : Panel
        The one the estimator takes.
    outcome : str or sequence of str
    estimator : str
        Name in ``impact.did.ESTIMATORS``. Averages of ATT(g, t) for ``callaway_santanna``; a regression with
        an effect for each person, period and event time for the others.
    **arguments
        Of the estimator.

    Returns
    -------
    Effects
        One row an event time, the one that all others are measured from among them, with ``overall``.

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
        raise ParameterError(f"estimator={estimator!r} is not known.{nearest(estimator, _EVENT_STUDIES)}")
    return _with_base(_EVENT_STUDIES[estimator](panel, outcome, arguments))


def _with_base(effects: Effects) -> Effects:
    """Add the time that all others are measured from: 0 by definition, without an error."""
    base = effects.method["reference"]
    first = effects.labels.drop_duplicates("outcome")
    rows = first.assign(event_time=base, term=f"event time {base}")
    labels = pd.concat([effects.labels, rows], ignore_index=True)
    counts = pd.concat([effects.counts, 0 * effects.counts.loc[first.index]], ignore_index=True)
    rank = labels["outcome"].map(effects.method["outcome"].index)
    order = np.lexsort([labels["event_time"], rank])
    return replace(
        effects,
        labels=labels.loc[order].reset_index(drop=True),
        estimate=np.append(effects.estimate, np.zeros(len(rows)))[order],
        root=effects.root @ np.eye(len(effects), len(labels))[:, order],
        counts=counts.loc[order].reset_index(drop=True),
    )
