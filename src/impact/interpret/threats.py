"""What else could explain the result: starts that never happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from impact.data.panel import Panel
from impact.did import ESTIMATORS, summarise
from impact.did.randomisation import analyses, deal, deals, dealt_among, how_many
from impact.errors import DesignError
from impact.numbers.few_clusters import p_value
from impact.numbers.rounding import magnitude, to_places
from impact.results import Array, Effects, Summary

_BINS = 25


def placebo(
    panel: Panel,
    *,
    outcome: str,
    estimator: str,
    arguments: Mapping[str, Any],
    draws: int = 500,
    seed: int,
) -> Summary:
    """Show where the estimate lies among estimates for starts that never happened.

    Starts are dealt out anew among all units, with the number of each kept; where whole clusters start
    together, among clusters, since it was they that started or not. Where starts were given at random this
    is a randomisation test; where they were not, it is a placebo test.

    Parameters
    ----------
    panel : Panel
    outcome : str
    estimator : str
        Name in ``impact.did.ESTIMATORS``.
    arguments : mapping
        Of the estimator.
    draws : int
        How many times starts are dealt out; every deal once, where there are no more than this. A deal that
        admits no estimate is left out.
    seed : int
        Of the draws.

    Returns
    -------
    Summary
        The histogram of all estimates: ``low, high, draws, here`` (whether the study's own estimate lies in
        the bin). ``method`` has ``estimate``, ``draws`` (those with an estimate), ``dealt`` (units or
        clusters), ``p_value`` (share of draws at least as far from zero, the study's own counted among
        them), ``smallest_p`` (that any estimate could have had), and ``rejected`` (share of draws whose 95%
        interval excludes no effect) with its Monte Carlo error.
    """
    rng = np.random.default_rng(seed)
    own = _difference(summarise(ESTIMATORS[estimator](panel, outcome=outcome, **arguments)))
    dealt = (deal(panel, who) for who in deals(panel, draws, rng))
    drawn = analyses(dealt, outcome=outcome, estimator=estimator, arguments=arguments)
    rows = [_difference(effects) for effects in drawn if effects is not None]
    if not rows:
        raise DesignError("placebo: no deal of the starts could be estimated; there are too few events.")
    found = np.array([row["estimate"] for row in rows])
    rejected = np.array([row["p_value"] < 0.05 for row in rows])
    complete = (every := how_many(panel)) <= draws
    shown = found if complete else np.append(found, own["estimate"])
    edges = _edges(shown)
    counts, _ = np.histogram(shown, bins=edges)
    at = np.clip(np.searchsorted(edges, own["estimate"], side="right") - 1, 0, _BINS - 1)
    table = pd.DataFrame(
        {"low": edges[:-1], "high": edges[1:], "draws": counts, "here": np.arange(_BINS) == at}
    )
    share = rejected.mean()
    method = {
        "shows": "placebo",
        "estimator": estimator,
        "outcome": outcome,
        "unit": own["unit"],
        "estimate": float(own["estimate"]),
        "draws": len(shown) - 1,
        "seed": seed,
        "dealt": dealt_among(panel),
        "p_value": p_value(own["estimate"], found, complete),
        "smallest_p": max(1 / len(shown), 1 / every),
        "rejected": float(share),
        "rejected_error": float(np.sqrt(share * (1 - share) / len(found))),
    }
    return Summary(table, method)


def _edges(values: Array) -> Array:
    """Edges of bins at round numbers: an edge at the largest value would tell it to the last digit."""
    least = np.ptp(values) / (_BINS - 1) or 1.0
    last = magnitude(least) - 1
    width = np.ceil(least / 10.0**last) * 10.0**last
    return to_places((np.floor(values.min() / width) + np.arange(_BINS + 1)) * width, -last)


def _difference(effects: Effects) -> Any:
    return effects.table[effects.labels["scale"] == "difference"].iloc[0]
