"""The linear and the Poisson answer side by side: they assume different things of the same people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.panel import Panel
from impact.did.aggregate import summarise
from impact.did.design import check_choice, check_varies, start_positions
from impact.errors import DesignError
from impact.results import Effects

Array = NDArray[np.float64]

# Baseline rates this close, as a ratio, make the two assumptions all but one; fewer events are not told.
_ALIKE, _FEW = 1.1, 10


def scale_check(panel: Panel, *, outcome: str | Sequence[str], estimator: str, **arguments: Any) -> Effects:
    """Estimate the same effect twice: had differences stayed parallel, and had ratios stayed parallel.

    A linear model expects of the supported the controls' change in the rate, a Poisson model the controls'
    ratio. Where the arms begin at different rates these cannot both hold: with controls going from 0.10 to
    0.15 and supported people from 0.30 to 0.36, support did harm by 0.01 a person, or avoided 0.09.

    Parameters
    ----------
    panel : Panel
    outcome : str or sequence of str
    estimator : str
        Name in ``impact.did.ESTIMATORS``. It is run as ``family='linear'`` and as ``family='poisson'``; the
        Poisson answer beside an estimator that has none (``callaway_santanna``, ``sun_abraham``,
        ``imputation``) is that of ``etwfe``.
    **arguments
        Of the estimator; those that ``etwfe`` has as well are handed on.

    Returns
    -------
    Effects
        With one joint root: terms ``linear`` and ``poisson`` on the three scales, and ``linear less poisson``
        on the scale 'difference', with its own error. ``method["baseline"]`` has the arms' rates before
        anyone's support, to two figures, ``method["disagree"]`` says of each outcome 'no', 'in size' (by more
        than the error) or 'in sign', and ``method["notes"]`` what to make of it.

    Raises
    ------
    DesignError
        If the estimator has neither a Poisson form nor one beside it, or compares more than two groups.

    Examples
    --------
    >>> frame = pd.DataFrame({"site": [1, 1, 2, 2, 3, 3, 4, 4], "year": [1, 2] * 4,
    ...                       "falls": [28, 34, 32, 38, 9, 14, 11, 16], "start": [2] * 4 + [None] * 4})
    >>> panel = Panel.from_long(frame, unit="site", period="year", outcomes=["falls"], first_treated="start")
    >>> table = scale_check(panel, outcome="falls", estimator="two_by_two").table
    >>> table[table["scale"] == "difference"][["term", "estimate"]].round(2).values.tolist()
    [['linear', 1.0], ['poisson', -9.0], ['linear less poisson', 10.0]]
    """
    names = panel.check_outcomes(outcome)
    check_varies(panel, names)
    pair = _pair(estimator, arguments)
    answers = {family: summarise(run(panel, outcome=names, **given)) for family, (run, given) in pair.items()}
    both = Effects.stack(answers)
    labels, by = both.labels, [np.eye(len(both))]
    rows = []
    for name in names:
        here = (labels["outcome"] == name) & (labels["scale"] == "difference")
        linear, poisson = (np.flatnonzero(here & (labels["term"] == term))[0] for term in answers)
        by.append(np.eye(len(both))[:, [linear]] - np.eye(len(both))[:, [poisson]])
        rows.append(labels.iloc[[linear]].assign(term="linear less poisson"))
    out = both.combine(np.hstack(by), labels=pd.concat([labels, *rows], ignore_index=True))
    baseline = {name: _baseline(panel, name) for name in names}
    disagree = {name: _disagree(out.table, name) for name in names}
    notes = [note for answer in answers.values() for note in answer.method.get("notes", [])]
    told = [_said(name, baseline[name], disagree[name], panel.per) for name in names]
    method = {
        **answers["linear"].method,
        "shows": "linear and Poisson answers",
        "estimator": list(dict.fromkeys(str(a.method.get("estimator", estimator)) for a in answers.values())),
        "family": list(answers),
        "baseline": {k: v for k, v in baseline.items() if v},
        "disagree": disagree,
        "notes": [*told, *dict.fromkeys(notes)],
    }
    return replace(out, method=method)


def _pair(estimator: str, arguments: dict[str, Any]) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Return which function gives the linear answer and which the Poisson one, with their arguments."""
    # The registry holds every estimator, and its module imports this one.
    from impact.did import ESTIMATORS

    check_choice("estimator", estimator, tuple(ESTIMATORS))
    given = {name: value for name, value in arguments.items() if name != "family"}
    run = ESTIMATORS[estimator]
    if "family" in signature(run).parameters:
        return {family: (run, {**given, "family": family}) for family in ("linear", "poisson")}
    if estimator == "triple_difference":
        raise DesignError(
            "scale_check sets the trends of two groups side by side, and triple_difference has four; run it "
            "with family='linear' and with family='poisson'."
        )
    if estimator == "synthetic_did":
        raise DesignError(
            "estimator='synthetic_did' has no Poisson form, and there is none beside it; use two_by_two, "
            "twfe, etwfe or stacked."
        )
    beside = ESTIMATORS["etwfe"]
    shared = {name: value for name, value in given.items() if name in signature(beside).parameters}
    return {"linear": (run, given), "poisson": (beside, {**shared, "family": "poisson"})}


def _baseline(panel: Panel, name: str) -> dict[str, float]:
    """Rates of the arms before anyone's support, to two figures; none where there is little behind them."""
    start = start_positions(panel)
    # Who was supported all along is in no comparison.
    used = (start > 0) & (panel.weights > 0)
    first = int(start[used].min(initial=len(panel.periods)))
    out = {}
    for arm, members in (("supported", used & panel.treated), ("control", used & ~panel.treated)):
        w = panel.weights[members]
        events = panel.outcomes[name][members, :first].sum(1)
        time = w @ panel.exposure[name][members, :first].sum(1)
        if time <= 0 or events.sum() < _FEW:
            return {}
        out[arm] = float(f"{panel.rate_scale * (w @ events) / time:.2g}")
    return out


def _disagree(table: pd.DataFrame, name: str) -> str:
    rows = table[(table["outcome"] == name) & (table["scale"] == "difference")]
    linear, poisson, _ = rows["estimate"].to_numpy(float)
    if linear * poisson < 0:
        return "in sign"
    return "in size" if rows["p_value"].to_numpy(float)[2] < 0.05 else "no"


def _said(name: str, baseline: dict[str, float], disagree: str, per: str) -> str:
    if not baseline:
        begin = f"{name}: there is too little before support to compare the arms' rates"
    else:
        supported, control = baseline["supported"], baseline["control"]
        begin = (
            f"{name}: before support the rate {per} was {supported:g} among the supported and {control:g} "
            "among controls"
        )
        if 1 / _ALIKE < supported / control < _ALIKE:
            begin += ", so alike that parallel differences and parallel ratios assume almost the same"
        else:
            begin += (
                ": the linear answer assumes that both would have changed by the same amount, the Poisson "
                "answer by the same ratio, and not both can be so"
            )
    end = {
        "no": "the two answers agree within their error.",
        "in size": "the two answers differ by more than their error: say which is believed, and why.",
        "in sign": "the two answers differ in sign: no claim should hang on which is chosen.",
    }
    return f"{begin}; {end[disagree]}"
