"""Errors for few clusters that allow for how much each of them pulls the regression towards itself (CR2)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from impact.errors import DesignError
from impact.results import Effects

# A square matrix as large as the regression is kept for each cluster.
_MOST = 250


def bias_reduced(effects: Effects) -> Effects:
    """Give effects of a regression CR2 errors, with degrees of freedom for each effect.

    Bell and McCaffrey (2002), Pustejovsky and Tipton (2018): unbiased where errors are independent and even,
    with Satterthwaite's degrees of freedom, which are few where an effect rests on few clusters. Averages
    taken of the result have degrees of freedom of their own; parts that are no coefficients (the treated's
    own rate, the shares of groups) keep their errors. For Poisson models the regression is that of the last
    step.

    Parameters
    ----------
    effects : Effects
        Of one outcome, by one regression: ``two_by_two``, ``twfe``, and linear ``sun_abraham`` and ``etwfe``.

    Raises
    ------
    DesignError
        For effects of other estimators, of several outcomes, or with more than 250 clusters.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data.panel import Panel
    >>> from impact.did import twfe
    >>> frame = pd.DataFrame({"site": [1, 1, 2, 2, 3, 3, 4, 4, 5, 5], "year": [1, 2] * 5,
    ...                       "falls": [4, 2, 6, 3, 5, 5, 3, 4, 6, 6], "start": [2] * 4 + [None] * 6})
    >>> panel = Panel.from_long(frame, unit="site", period="year", outcomes=["falls"],
    ...                         first_treated="start")
    >>> effects = bias_reduced(twfe(panel, outcome="falls", family="linear"))
    >>> effects.std_error[:1].round(4).tolist(), effects.df[:1].round(4).tolist()
    ([0.6009], [2.2727])
    """
    regression = effects.regression
    if regression is None:
        raise DesignError(
            "CR2 errors belong to one regression of one outcome (two_by_two, twfe, linear sun_abraham and "
            "etwfe); leave inference out, or use CR3 (leave_one_out)."
        )
    if effects.satterthwaite is not None:
        return effects
    if len(effects.clusters) > _MOST:
        raise DesignError(
            f"CR2 errors are for few clusters, at most {_MOST}, and there are {len(effects.clusters):,}; CR1 "
            "is as good with so many."
        )
    root, satterthwaite = regression.cr2()
    one = np.eye(len(effects))
    how = "cluster-robust (CR2, bias-reduced linearisation); t with Satterthwaite's degrees of freedom"
    return replace(
        effects,
        root=effects.root @ one - regression.root() + root,
        df=np.array([satterthwaite(column) for column in one]),
        satterthwaite=satterthwaite,
        method={**effects.method, "inference": how},
        critical=None,
        overall=None if effects.overall is None else bias_reduced(effects.overall),
    )
