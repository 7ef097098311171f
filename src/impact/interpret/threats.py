"""What else could explain the result: another analysis, and starts that never happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from inspect import signature
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
# The estimator that answers the same question with other assumptions, and what it is called.
_ANOTHER = {
    "two_by_two": ("twfe", "By a regression with person effects"),
    "twfe": ("two_by_two", "By two groups, before and after"),
    "callaway_santanna": ("imputation", "With all months before support as the base"),
    "sun_abraham": ("imputation", "With all months before support as the base"),
    "imputation": ("callaway_santanna", "With the last month before support as the base"),
    "etwfe": ("imputation", "With parallel differences in place of parallel ratios"),
    "stacked": ("etwfe", "In one regression of all starts"),
    "synthetic_did": ("imputation", "With all controls weighted alike"),
}


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


def sensitivity(
    panel: Panel,
    *,
    outcome: str | Sequence[str],
    estimator: str,
    arguments: Mapping[str, Any],
    inference: str | None = None,
) -> Effects:
    """Repeat the analysis with one thing changed at a time.

    Parameters
    ----------
    panel : Panel
    outcome : str or sequence of str
    estimator : str
        Name in ``impact.did.ESTIMATORS``.
    arguments : mapping
        Of the estimator, as planned.
    inference : str, optional
        Errors of the main result where they are not the estimator's own. The analyses are shown with those
        that all of them have, and ``notes`` says that their intervals differ for it.

    Returns
    -------
    Effects
        The joint result of all analyses; ``term`` says what was changed. 'As planned' comes first, then the
        analysis without the month in which support began, which belongs partly to the time before; then
        those of the following that differ from the plan: another estimator, ignoring the build-up before
        support, no covariates, and the other choice of controls. An analysis these data do not admit is
        left out, and ``method`` says so in ``notes``.
    """
    planned = dict(arguments)
    changed: dict[str, tuple[Panel, str, dict[str, Any]]] = {
        "As planned": (panel, estimator, planned),
        f"Without the {panel.step} support began": (_without_start(panel), estimator, planned),
    }
    if estimator in _ANOTHER:
        other, called = _ANOTHER[estimator]
        # What 'effects' may be is another thing for each estimator.
        alike = signature(ESTIMATORS[other]).parameters.keys() - {"effects"}
        changed[called] = (panel, other, {k: v for k, v in planned.items() if k in alike})
    if planned.get("anticipation"):
        name = "Ignoring the build-up before support"
        changed[name] = (panel, estimator, planned | {"anticipation": 0})
    if planned.get("covariates"):
        changed["Without covariates"] = (panel, estimator, planned | {"covariates": ()})
    if estimator == "callaway_santanna":
        if planned.get("control") == "never_treated":
            name, control = "Not-yet-supported controls too", "not_yet_treated"
        else:
            name, control = "Never-supported controls only", "never_treated"
        changed[name] = (panel, estimator, planned | {"control": control})
    found, notes = {}, []
    if inference and estimator != "synthetic_did":
        notes.append(
            f"The range of the main result is by {inference}; those here are by the usual errors, which all "
            "of these analyses have, and are as a rule shorter where there are few groups."
        )
    for name, (p, used, options) in changed.items():
        try:
            found[name] = summarise(ESTIMATORS[used](p, outcome=outcome, **options))
        except DesignError:
            if not found:
                raise
            notes.append(f"{name}: left out, since these data are too few to be analysed in that way.")
    out = Effects.stack(found)
    return replace(out, method={**out.method, "notes": [*out.method["notes"], *notes]})


def _without_start(panel: Panel) -> Panel:
    """Leave out the period in which support began: of the supported, or of all where all began in one.

    Where there is one start, the controls' same period would otherwise count as time after it, and whatever
    was common to that period (a winter) would pass for an effect.
    """
    T = len(panel.periods)
    inside = panel.treated & (panel.start >= 0) & (panel.start < T)
    out = inside[:, None] & (np.arange(T) == panel.start[:, None])
    if len(np.unique(panel.start[inside])) == 1:
        out = np.broadcast_to(out.any(0), out.shape)
    return replace(
        panel,
        outcomes={name: np.where(out, 0.0, values) for name, values in panel.outcomes.items()},
        exposure={name: np.where(out, 0.0, values) for name, values in panel.exposure.items()},
    )
