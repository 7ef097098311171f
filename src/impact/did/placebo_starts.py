"""Pretend that support began earlier than it did: before it began there is nothing to find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impact.data.panel import Panel
from impact.did.aggregate import summarise
from impact.did.design import check_choice, check_varies, start_positions
from impact.did.estimators import ESTIMATORS
from impact.errors import DesignError, ParameterError
from impact.results import Effects

Array = NDArray[np.float64]


def placebo_starts(
    panel: Panel,
    *,
    outcome: str | Sequence[str],
    estimator: str,
    shift: int | Sequence[int],
    **arguments: Any,
) -> Effects:
    """Estimate the effect of support over the ``shift`` periods before it began, when there was none.

    Everyone's support is taken to have begun ``shift`` periods earlier, and all time with support is left
    out. An effect other than nil says that the supported and their controls already moved apart, or that
    people reacted to support before it began.

    Parameters
    ----------
    panel : Panel
        On either clock.
    outcome : str or sequence of str
    estimator : str
        Name in ``impact.did.ESTIMATORS``.
    shift : int or sequence of int
        How many periods earlier; several are estimated one by one.
    **arguments
        Of the estimator.

    Returns
    -------
    Effects
        For each shift the three scales, with the term '3 months before' (in the panel's own step), and one
        joint root. People whose pretended start leaves them no time before it are left out.

    Raises
    ------
    ParameterError
        For a shift that is not a whole number above zero.
    DesignError
        If nobody has any time before the pretended start.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"site": [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4], "year": [1, 2, 3] * 4,
    ...                       "falls": [3, 3, 1, 4, 4, 3, 2, 2, 2, 3, 4, 4], "start": [3] * 6 + [None] * 6})
    >>> panel = Panel.from_long(frame, unit="site", period="year", outcomes=["falls"], first_treated="start")
    >>> placebo = placebo_starts(panel, outcome="falls", estimator="twfe", family="linear", shift=1)
    >>> placebo.table[["term", "scale", "estimate"]].round(6).values.tolist()[0]
    ['1 period before', 'difference', -0.5]
    """
    check_choice("estimator", estimator, tuple(ESTIMATORS))
    names = panel.check_outcomes(outcome)
    check_varies(panel, names)
    shifts = [shift] if isinstance(shift, int | float | np.number) else list(shift)
    if not shifts or any(s != int(s) or s < 1 for s in shifts):
        raise ParameterError(f"shift={shift!r}: give whole numbers of periods above zero.")
    found = {
        _term(s, panel.step): summarise(
            ESTIMATORS[estimator](_pretended(panel, s), outcome=names, **arguments)
        )
        for s in map(int, dict.fromkeys(shifts))
    }
    out = Effects.stack(found)
    notes = dict.fromkeys(note for effects in found.values() for note in effects.method.get("notes", []))
    method = {
        **out.method,
        "shows": "placebo starts",
        "estimand": "pretended effect before support began: nil where trends were parallel",
        "shift": [int(s) for s in dict.fromkeys(shifts)],
        "notes": list(notes),
    }
    return replace(out, method=method)


def _term(shift: int, step: str) -> str:
    return f"{shift} {step}{'' if shift == 1 else 's'} before"


def _pretended(panel: Panel, shift: int) -> Panel:
    """Return the panel up to the last true start, without time with support, and with earlier starts."""
    start, T = start_positions(panel), len(panel.periods)
    begun = panel.treated & (start < T)
    if not (start[begun] > shift).any():
        longest = int(start[begun].max(initial=0)) - 1
        raise DesignError(
            f"shift={shift}: nobody supported has any time before that; "
            + (f"use at most {longest}." if longest > 0 else "begin the window earlier.")
        )
    # From the last true start on there is nobody left who is pretended to be supported.
    end = int(start[begun].max())
    alone = ~begun[:, None] | (np.arange(end) < start[:, None])

    def cut(values: Array) -> Array:
        return np.where(alone, values[:, :end], 0.0)

    earlier = start - shift
    unknown = np.full(panel.n, "unknown", object)
    weights = panel.censoring_weights
    return replace(
        panel,
        periods=panel.periods[:end] + shift if panel.clock == "event" else panel.periods[:end],
        outcomes={name: cut(values) for name, values in panel.outcomes.items()},
        exposure={name: cut(values) for name, values in panel.exposure.items()},
        start=np.where(begun, earlier, end).astype(np.int64),
        begins=None if panel.begins is None else np.where(begun, earlier, panel.begins),
        censoring_weights=None if weights is None else weights[:, :end],
        # Time ends at the true start by the rule of this analysis: nobody left.
        ended=np.where(begun, "follow-up", unknown if panel.ended is None else panel.ended),
    )
