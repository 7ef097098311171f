"""The interaction-weighted event study (Sun and Abraham 2021), without a dummy matrix."""

from __future__ import annotations

from collections.abc import Sequence

from impact.data.panel import Panel
from impact.did.saturated import Plan, saturated
from impact.results import Effects


def sun_abraham(
    panel: Panel,
    *,
    outcome: str | Sequence[str],
    anticipation: int = 0,
    time_varying: Sequence[str] = (),
) -> Effects:
    """Regress rates on an effect for each start and period, with person and period effects.

    Every period of each start has its effect, except the last before support (and anticipation). Controls are
    people never supported within the panel; where there are none, those who start last, and the periods from
    their support on are left out. Each person has one weight: mean time at risk in a period times the panel's
    weight. Averages by event time, weighted by the groups' shares, come from ``aggregate``.

    Parameters
    ----------
    panel : Panel
        On the calendar clock.
    outcome : str or sequence of str
        Several outcomes give one joint result.
    anticipation : int
        Periods before support in which the outcome may already react.
    time_varying : sequence of str
        Other outcomes on the panel, which enter the regression as they are. They must not be affected by
        support: what support changes is a part of its effect.

    Returns
    -------
    Effects
        Rows of scale 'difference' with ``group, period, event_time``, in the panel's unit, before support as
        well as after it, and the hidden rows that ``aggregate`` and ``summarise`` need, with one joint root.

    Raises
    ------
    DesignError
        On the event clock, if nobody can be compared, or the effects cannot be told apart.
    DataError
        For an unknown outcome, or a time-varying regressor that is missing where the outcome is not.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"site": [1, 1, 2, 2, 3, 3, 4, 4], "year": [1, 2] * 4,
    ...                       "falls": [3, 1, 4, 3, 2, 2, 3, 4], "start": [2, 2, 2, 2] + [None] * 4})
    >>> panel = Panel.from_long(frame, unit="site", period="year", outcomes=["falls"],
    ...                         first_treated="start")
    >>> sun_abraham(panel, outcome="falls").table[["group", "period", "estimate"]]
       group  period  estimate
    0      2       2      -2.0
    """
    plan = Plan(
        "sun_abraham", "never_treated", time_varying=time_varying, anticipation=anticipation, last=True
    )
    return saturated(panel, panel.check_outcomes(outcome), plan)
