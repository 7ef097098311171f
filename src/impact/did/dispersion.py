"""Do counts vary more than a Poisson model says, and are there more zeros than it expects?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.panel import Panel
from impact.did.design import check_counts, start_positions, weighed
from impact.errors import DesignError
from impact.results import Summary

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_ROUNDS, _SMALL = 200, 1e-9
# Dispersion that is worth a word; and zeros are, where a tenth fewer cells than expected have any event and
# the number missing is more than two of its standard errors.
_WIDE, _FEWER, _ERRORS = 1.1, 0.9, 2.0


def dispersion(panel: Panel, *, outcome: str | Sequence[str]) -> Summary:
    """Compare how counts vary, and how often they are zero, with what a Poisson model expects.

    ``dispersion`` is Pearson's: squared distances from the mean of the arm in the period (times the time at
    risk) over that mean, averaged; 1 under a Poisson model. It is above 1 where people differ from each
    other, and where events come in runs. ``dispersion_within`` keeps only the second: squared distances from
    what each person's own total, spread over the periods, leads to expect.

    Parameters
    ----------
    panel : Panel
    outcome : str or sequence of str

    Returns
    -------
    Summary
        One row an outcome, arm and side of the start of support (``before``, ``after``; ``all`` for controls
        where support begins at several times): ``persons, events, cells`` (people and periods at risk),
        ``zeros`` among them, ``zeros_percent``, the per cent a Poisson model expects in the same time
        (``poisson_zeros_percent``) and a negative binomial with the variance found (
        ``negative_binomial_zeros_percent``), ``dispersion`` and ``dispersion_within``.
        ``method["meaning"]`` has a sentence for each outcome.

    Raises
    ------
    DataError
        If there are values below zero, which are no counts.
    DesignError
        If nobody is at risk.

    Examples
    --------
    >>> frame = pd.DataFrame({"id": [1, 1, 2, 2, 3, 3, 4, 4], "year": [1, 2] * 4,
    ...                       "falls": [0, 0, 6, 0, 0, 1, 0, 7], "start": [2, 2, 2, 2] + [None] * 4})
    >>> panel = Panel.from_long(frame, unit="id", period="year", outcomes=["falls"], first_treated="start")
    >>> dispersion(panel, outcome="falls").table[["arm", "when", "zeros", "cells"]].values.tolist()[:2]
    [['supported', 'before', 1, 2], ['supported', 'after', 2, 2]]
    """
    names = panel.check_outcomes(outcome)
    panel = weighed(panel, names).each_once()
    rows, meaning = [], {}
    for name in names:
        check_counts(panel, name)
        mine = _of_one(panel, name)
        if not mine:
            raise DesignError(f"outcome={name!r}: nobody is at risk in any period; check the coverage.")
        rows += mine
        meaning[name] = _meaning(name, pd.DataFrame(mine))
    behind = ("persons", "events")
    expected = ("poisson_zeros_percent", "negative_binomial_zeros_percent")
    return Summary(
        pd.DataFrame(rows),
        {"shows": "over-dispersion and zeros", "outcome": names, "meaning": meaning},
        people=("persons",),
        events=("events", "cells", "zeros"),
        percent={"zeros_percent": ("zeros", "cells")},
        derived=dict.fromkeys([*expected, "dispersion", "dispersion_within"], behind),
    )


def _of_one(panel: Panel, name: str) -> list[dict[str, Any]]:
    y, time = panel.outcomes[name], panel.exposure[name]
    start, T = start_positions(panel), len(panel.periods)
    after = np.arange(T) >= start[:, None]
    starts = np.unique(start[panel.treated & (start < T)])
    sides: list[tuple[str, str, Mask]] = [
        ("supported", "before", panel.treated[:, None] & ~after),
        ("supported", "after", panel.treated[:, None] & after),
    ]
    others = np.broadcast_to(~panel.treated[:, None], y.shape)
    if len(starts) == 1:
        late = np.arange(T) >= starts[0]
        sides += [("control", "before", others & ~late), ("control", "after", others & late)]
    else:
        sides += [("control", "all", others)]
    within = _within(y, time, [side for *_, side in sides])
    rows = []
    for (arm, when, side), own in zip(sides, within, strict=True):
        seen = side & (time > 0)
        if seen.any():
            rows.append({"outcome": name, "arm": arm, "when": when, **_figures(y, time, seen), **own})
    return rows


def _figures(y: Array, time: Array, seen: Mask) -> dict[str, Any]:
    """Return the counts, zeros and dispersion of one arm and side, around its mean rate in each period."""
    rate = (y * seen).sum(0) / np.maximum((time * seen).sum(0), 1e-300)
    mean, found = (time * rate)[seen], y[seen]
    squares = (found - mean) ** 2
    freedom = len(found) - int((seen & (y > 0)).any(0).sum())
    above = mean > 0
    # Variance = mean + alpha x mean^2, by moments; a negative binomial cannot vary less than a Poisson.
    alpha = max(float((squares - mean).sum() / max((mean**2).sum(), 1e-300)), 1e-9)
    return {
        "persons": int(seen.any(1).sum()),
        "events": round(float(found.sum())),
        "cells": int(seen.sum()),
        "zeros": int((found == 0).sum()),
        "zeros_percent": 100 * float((found == 0).mean()),
        "poisson_zeros_percent": 100 * float(np.exp(-mean).mean()),
        "negative_binomial_zeros_percent": 100 * float(np.exp(-np.log1p(alpha * mean) / alpha).mean()),
        "dispersion": float((squares[above] / mean[above]).sum() / freedom) if freedom > 0 else np.nan,
    }


def _within(y: Array, time: Array, sides: list[Mask]) -> list[dict[str, float]]:
    """Pearson dispersion around each person's own total, spread by the rates of arm, side and period.

    The Poisson model with an effect for each person and for each arm, side and period is fitted by scaling
    one set of effects and then the other until nothing moves (which cannot fail to converge). Given the
    totals the counts are multinomial, so that a person's squares add up to their periods less one.
    """
    y = np.where(time > 0, y, 0.0)
    total = y.sum(1)
    effect = np.ones_like(y)
    fitted = y
    for _ in range(_ROUNDS):
        share = time * effect
        spread = share.sum(1)
        fitted = share * np.where(spread > 0, total / np.where(spread > 0, spread, 1), 0.0)[:, None]
        moved = 0.0
        for side in sides:
            expected = (fitted * side).sum(0)
            factor = np.divide((y * side).sum(0), expected, out=np.ones(y.shape[1]), where=expected > 0)
            effect *= np.where(side, factor, 1.0)
            moved = max(moved, float(np.abs(factor - 1).max(initial=0.0)))
        if moved < _SMALL:
            break
    squares = np.divide((y - fitted) ** 2, fitted, out=np.zeros_like(y), where=fitted > 0)
    cells = fitted > 0
    # Each person's total takes one degree of freedom, shared out over their periods; so do the effects.
    rows = cells.sum(1)
    lost = np.divide(1.0, rows, out=np.zeros(len(rows)), where=rows > 0)
    out = []
    for side in sides:
        here = cells & side
        freedom = (here * (1 - lost[:, None])).sum() - max(int(here.any(0).sum()) - 1, 0)
        found = float((squares * side).sum() / freedom) if freedom > 0 else np.nan
        out.append({"dispersion_within": found})
    return out


def _meaning(name: str, rows: pd.DataFrame) -> str:
    """Say in a sentence what the figures of one outcome mean for its estimates."""
    most = float(rows["dispersion"].max())
    if not most >= _WIDE:
        spread = f"{name} varies about as much as chance alone (a Poisson model) would make it"
    else:
        spread = (
            f"{name} varies {most:.1f} times as much as chance alone (a Poisson model) would make it, which "
            "widens the intervals but biases nothing, as robust errors are used everywhere"
        )
    if _more_zeros(rows, "negative_binomial_zeros_percent"):
        zeros = (
            "it has more zeros than even that explains, as with bed days, where most people have no stay: "
            "the effect on the mean is still right, but whether somebody has any, and how many those have "
            "who do, could be looked at one by one"
        )
    elif _more_zeros(rows, "poisson_zeros_percent"):
        zeros = "its many zeros are what so much difference between people leads to expect"
    else:
        zeros = "its zeros are about as many as expected"
    return f"{spread}; {zeros}."


def _more_zeros(rows: pd.DataFrame, expected: str) -> bool:
    some = rows["cells"] - rows["zeros"]
    chance = rows["cells"] * (1 - rows[expected] / 100)
    return bool(((some < _FEWER * chance) & (chance - some > _ERRORS * np.sqrt(chance))).any())
