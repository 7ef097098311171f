"""What the effect would be if those who died or left had gone on to use services more, or not at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from impact.data.panel import Panel
from impact.did.design import start_positions
from impact.did.leaving import Spells
from impact.errors import ParameterError

Array = NDArray[np.float64]


def lost(panel: Panel, *, outcome: str) -> NDArray[np.bool_]:
    """Which time of whom was not observed because they died, moved, opted out or were lost, (n, T).

    Of the supported it is time after their support began, and no more of it than others were followed for.

    Parameters
    ----------
    panel : Panel
    outcome : str

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"id": [1, 1, 1, 2, 2, 3, 3, 3], "year": [1, 2, 3, 1, 2, 1, 2, 3],
    ...                       "falls": 1, "start": [2] * 5 + [None] * 3})
    >>> panel = Panel.from_long(frame, unit="id", period="year", outcomes=["falls"], first_treated="start")
    >>> lost(panel, outcome="falls").astype(int).tolist()
    [[0, 0, 0], [0, 0, 1], [0, 0, 0]]
    """
    spells, start, T = Spells.of(panel, panel.exposure[outcome]), start_positions(panel), len(panel.periods)
    begun = panel.treated & (start <= spells.last)
    followed = int((spells.last - start)[begun].max(initial=0))
    end = np.zeros(panel.n, int)
    for arm in np.unique(panel.arm):
        end[panel.arm == arm] = spells.last[panel.arm == arm].max(initial=-1)
    end = np.where(panel.treated, np.minimum(end, start + followed), end)
    gone = (spells.left | (spells.died & (spells.last < end))) & (begun | ~panel.treated)
    time = np.arange(T)
    return np.asarray(gone[:, None] & (time > spells.last[:, None]) & (time <= end[:, None]))


def as_if_observed(panel: Panel, *, outcome: str, supported: float, control: float) -> Panel:
    """Fill in the time that was lost, with so many times the use of those who were still observed.

    A worst case is two of these panels: with those lost from one side using nothing and those from the other
    a multiple, and the other way round. Death is filled in like any other loss, as if people had lived on;
    the estimand of the panel as it is stays the rate while alive.

    Parameters
    ----------
    panel : Panel
    outcome : str
    supported, control : float
        Rate of those lost with and without support over that of those of their side observed in the same
        period; 0 for no use at all.

    Returns
    -------
    Panel
        With the same people, and the time of all of them.

    Raises
    ------
    ParameterError
        For a multiple below 0.

    References
    ----------
    Horowitz, J. L. and Manski, C. F. (2000). Nonparametric analysis of randomized experiments with missing
    covariate and outcome data. JASA 95, 77-84: what is not observed may be anything within limits.

    Examples
    --------
    The second person died; those still there with support had 4 falls a year, so that person is given 8.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"id": [1, 1, 1, 2, 2, 3, 3, 3], "year": [1, 2, 3, 1, 2, 1, 2, 3],
    ...                       "falls": [1, 2, 4, 1, 1, 3, 3, 3], "start": [2] * 5 + [None] * 3})
    >>> panel = Panel.from_long(frame, unit="id", period="year", outcomes=["falls"], first_treated="start")
    >>> as_if_observed(panel, outcome="falls", supported=2, control=0).outcomes["falls"][1].tolist()
    [1.0, 1.0, 8.0]
    """
    for name, times in (("supported", supported), ("control", control)):
        if not times >= 0:
            raise ParameterError(f"{name}={times}: give a number of at least 0; 1 for as much as the others.")
    missing = lost(panel, outcome=outcome)
    values, time = panel.outcomes[outcome].copy(), panel.exposure[outcome].copy()
    helped = start_positions(panel)[:, None] <= np.arange(len(panel.periods))
    weight = panel.weights[:, None] * (panel.exposure[outcome] > 0)
    for side, times in ((helped, supported), (~helped, control)):
        people = (weight * side).sum(0)
        months = (weight * side * panel.exposure[outcome]).sum(0)
        events = (weight * side * panel.outcomes[outcome]).sum(0)
        # Where nobody is left to go by, there is nobody's time to fill in either.
        at = missing & side & (people > 0)
        each = np.divide(months, people, out=np.zeros_like(months), where=people > 0)
        rate = np.divide(events, months, out=np.zeros_like(months), where=months > 0)
        time = np.where(at, each, time)
        values = np.where(at, times * rate * each, values)
    return replace(
        panel,
        outcomes={**panel.outcomes, outcome: values},
        exposure={**panel.exposure, outcome: time},
        # Nobody is gone any more whom those who stayed would have to stand for.
        censoring_weights=None,
        ended=None if panel.ended is None else np.where(missing.any(1), "", panel.ended),
    )
