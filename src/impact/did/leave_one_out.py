"""Errors from doing the whole analysis again without each cluster in turn (CR3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.panel import Panel
from impact.errors import DesignError
from impact.numbers.inference import cluster_codes
from impact.results import Effects

Array = NDArray[np.float64]

_MOST = 500
_NAMES = ["outcome", "term", "scale", "group", "period", "event_time"]
# Rows that are sums over people grow with their number, which is one cluster smaller in every draw.
_TOTALS = ("expected", "events", "person-months")


def leave_one_out(panel: Panel, analysis: Callable[[Panel], Effects]) -> Effects:
    """Estimate, with errors from the estimates without each cluster in turn (CR3, the cluster jackknife).

    It works for every estimator, allows for what one site can do to all parts of the analysis, and errs on
    the safe side with few clusters. The variance is ``(G - 1)/G`` times the sum of squares of the draws
    about their mean (CV3J of MacKinnon, Nielsen and Webb 2023; R's clubSandwich has no such factor and
    measures from the estimate itself).

    Parameters
    ----------
    panel : Panel
        With at most 500 clusters.
    analysis : callable
        From a panel to effects. What is done to the estimates belongs into it: averages and ratios made
        inside are drawn as they are, those made of the result afterwards are linearised.

    Returns
    -------
    Effects
        Of the whole panel, with the draws as their root; events avoided are those over the whole
        person-time. ``overall`` is drawn as well.

    Raises
    ------
    DesignError
        With one cluster, or more than 500 (where CR1 says the same at once); and if the effects cannot all
        be estimated without some of the clusters.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.did import twfe
    >>> frame = pd.DataFrame({"site": [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6], "year": [1, 2] * 6,
    ...                       "falls": [4, 2, 7, 4, 5, 1, 5, 5, 3, 4, 6, 5],
    ...                       "start": [2] * 6 + [None] * 6})
    >>> panel = Panel.from_long(frame, unit="site", period="year", outcomes=["falls"],
    ...                         first_treated="start")
    >>> robust = leave_one_out(panel, lambda p: twfe(p, outcome="falls", family="linear", event_study=True))
    >>> robust.table[["estimate", "std_error"]].round(4).values.tolist()
    [[-3.0, 0.9129]]
    """
    # Who has no weight (because they were not matched) leaves nothing behind when they go.
    panel = panel if (panel.weights > 0).all() else panel.subset(panel.weights > 0)
    codes, names = cluster_codes(panel.cluster)
    if not 2 <= len(names) <= _MOST:
        raise DesignError(
            f"leave-one-out errors (CR3) repeat the analysis for each cluster, of which there are "
            f"{len(names)}; they are for 2 to {_MOST}. With more, CR1 errors are as good: use CR1."
        )
    whole = analysis(panel)
    without: list[Effects] = []
    for code in range(len(names)):
        try:
            without.append(analysis(panel.subset(codes != code)))
        except DesignError:
            # Which cluster it was is not told: a cluster may be a building with a handful of people.
            continue
    drawn = _with_draws(whole, without, names)
    if whole.overall is None:
        return drawn
    overall = [e.overall for e in without if e.overall is not None]
    return replace(drawn, overall=_with_draws(whole.overall, overall, names))


def _with_draws(whole: Effects, without: list[Effects], names: NDArray[np.object_]) -> Effects:
    G, asked = len(names), _index(whole.labels)
    draws = []
    for e in without:
        at = _index(e.labels).get_indexer(asked)
        if (at >= 0).all() and np.isfinite(e.estimate[at]).all():
            draws.append(e.estimate[at])
    if len(draws) < G:
        raise DesignError(
            f"leave-one-out errors (CR3): without {G - len(draws)} of the {G} clusters some effect cannot be "
            "estimated, as it rests on one cluster or has no events left. Average the effects inside the "
            "analysis, use longer periods or wider groups, or use CR1."
        )
    root = np.array(draws)
    scale = whole.labels["scale"].to_numpy()
    root[:, np.isin(scale, _TOTALS)] *= G / (G - 1)
    # Events avoided are the difference times the person-time that was observed, which is known.
    avoided = np.flatnonzero(scale == "events avoided")
    difference = asked.get_indexer(_index(whole.labels.iloc[avoided].assign(scale="difference")))
    for j, twin in zip(avoided, difference, strict=True):
        if twin >= 0 and whole.estimate[twin] != 0:
            root[:, j] = root[:, twin] * (whole.estimate[j] / whole.estimate[twin])
    how = "leave-one-cluster-out draws of the whole analysis (CR3), about their mean, x (G-1)/G; "
    return replace(
        whole,
        root=np.sqrt((G - 1) / G) * (root - root.mean(0)),
        clusters=names,
        df=whole.method.get("clusters", G) - 1,
        method={**whole.method, "inference": how + "t with clusters - 1", "rows": "leave-one-out draws"},
        sign=None,
        critical=None,
        satterthwaite=None,
    )


def _index(labels: pd.DataFrame) -> pd.MultiIndex:
    """What tells an effect from the others, in words, as missing values are not equal to each other."""
    return pd.MultiIndex.from_frame(labels.reindex(columns=_NAMES).astype("string").fillna(""))
