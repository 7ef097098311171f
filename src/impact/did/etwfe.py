"""Extended two-way fixed effects (Wooldridge 2021, 2023): linear for rates, Poisson for counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from impact.data.panel import Panel
from impact.did.saturated import Control, Plan, saturated
from impact.results import Effects


def etwfe(
    panel: Panel,
    *,
    outcome: str | Sequence[str],
    family: Literal["poisson", "linear"] = "poisson",
    control: Control = "not_yet_treated",
    covariates: Sequence[str] = (),
    effects: Literal["person", "cohort"] = "person",
    anticipation: int = 0,
) -> Effects:
    """Regress on an effect for each start and period, so that nobody with support serves as a control.

    Poisson models explain counts, with the logarithm of the time at risk as offset. Their result is the
    events that each start would have had in each period without support: the model's prediction with the
    whole effect (and its interactions with covariates) taken out. Linear models explain rates, with one
    weight a person: mean time at risk in a period times the panel's weight.

    Parameters
    ----------
    panel : Panel
        On the calendar clock.
    outcome : str or sequence of str
        Several outcomes give one joint result.
    family : 'poisson' or 'linear'
        Parallel ratios or parallel differences: these are different assumptions.
    control : 'not_yet_treated' or 'never_treated'
        'not_yet_treated' has effects only from support (less anticipation) on. 'never_treated' has one for
        every period but the last before, so that the periods before support can be looked at.
    covariates : sequence of str
        Measured before support: numbers, or categories. Each enters by period, and, centred at the mean of
        its cohort (those who start together), by cohort and period, so that effects are those at that mean.
    effects : 'person' or 'cohort'
        'person' gives each person an effect (counts: by conditional likelihood), which holds where leaving
        depends on a person's own level. 'cohort' has one for each start, and one for each covariate.
    anticipation : int
        Periods before support in which the outcome may already react; they are estimated as effects.

    Returns
    -------
    Effects
        By ``group, period, event_time``: linear models ``difference``, in the panel's unit; Poisson models
        ``log ratio``, of the observed events over those expected without support, where both are above zero.
        Hidden rows, with one joint root, are what ``aggregate`` and ``summarise`` need; and of Poisson models
        with covariates the ``log ratio at cohort mean``, the model's own coefficient.

    Raises
    ------
    DesignError
        On the event clock, if nobody can be compared, or the effects cannot be told apart.
    DataError
        For an unknown outcome or covariate, a covariate with missing values, or negative counts.

    Notes
    -----
    A small cohort with many covariates is fitted closely, and its error comes out too small.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"site": [1, 1, 2, 2, 3, 3, 4, 4], "year": [1, 2] * 4,
    ...                       "falls": [4, 2, 6, 4, 5, 5, 3, 4], "start": [2, 2, 2, 2] + [None] * 4})
    >>> panel = Panel.from_long(frame, unit="site", period="year", outcomes=["falls"],
    ...                         first_treated="start")
    >>> etwfe(panel, outcome="falls").table[["group", "period", "scale", "estimate"]].round(4)
       group  period      scale  estimate
    0      2       2  log ratio   -0.6286
    """
    plan = Plan(
        "etwfe",
        control,
        family=family,
        effects=effects,
        covariates=covariates,
        anticipation=anticipation,
    )
    return saturated(panel, panel.check_outcomes(outcome), plan)
