"""Event times in steps of several periods, where single ones hold too few events."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.errors import ParameterError
from impact.results import Effects

Times = NDArray[np.int64]


def check_step(step: object) -> int:
    """Return the number of periods in a step, if it is one."""
    if isinstance(step, bool) or not isinstance(step, int) or step < 1:
        raise ParameterError(f"step={step!r}: give a number of periods, 1 or more.")
    return step


def block_of(time: Any, step: int, anticipation: int = 0) -> Times:
    """Number the blocks of ``step`` periods: 0 is the first with support, and no number is left out.

    Blocks begin anew where support begins and where people may begin to react to it (``anticipation``), so
    that the block before that, from which all others are measured, is a whole one.

    Examples
    --------
    >>> block_of(range(-8, 4), step=3, anticipation=2).tolist()
    [-3, -3, -3, -2, -2, -2, -1, -1, 0, 0, 0, 1]
    """
    time, of_build_up = np.asarray(time, np.int64), -(-anticipation // step)
    number = np.where(time < -anticipation, (time + anticipation) // step - of_build_up, time // step)
    return np.asarray(number, np.int64)


def span_labels(times: Any, step: int) -> dict[str, Any]:
    """Label an effect by the first and last of its event times.

    Examples
    --------
    >>> span_labels([-6, -5, -4], step=3)
    {'term': 'event time -6 to -4', 'event_time': -6, 'event_time_to': -4}
    >>> span_labels([2], step=1)
    {'term': 'event time 2', 'event_time': 2}
    """
    first, last = int(min(times)), int(max(times))
    term = f"event time {first}" + (f" to {last}" if last > first else "")
    return {"term": term, "event_time": first} | ({"event_time_to": last} if step > 1 else {})


def in_steps(effects: Effects, step: int) -> Effects:
    """Average effects by event time within blocks, and measure them from the mean of the block of the base.

    All weights are known (event times count equally), so errors follow from the joint root. Where effects
    before support come from a regression of their own, which is read against all time before them, there is
    no block to measure from, and effects are averaged only.

    Parameters
    ----------
    effects : Effects
        By event time, all differences, without the row of the base, ``method['reference']``.
    step : int
        Periods in a block.
    """
    method, labels = effects.method, effects.labels
    base, anticipation = method["reference"], method.get("anticipation", 0)
    time = labels["event_time"].to_numpy(int)
    block = block_of(time, step, anticipation)
    separate = base is None or "pre_effects" in method
    in_base = np.zeros(len(block), bool) if separate else block == block_of(base, step, anticipation)
    members, bases, rows = [], [], []
    for outcome in labels["outcome"].unique():
        mine = (labels["outcome"] == outcome).to_numpy()
        # The base itself, which is 0, counts in the mean of its block.
        same = (mine & in_base) / ((mine & in_base).sum() + 1)
        for number in np.unique(block[mine & ~in_base]):
            member = mine & (block == number)
            members.append(member / member.sum())
            bases.append(same)
            rows.append(labels[member].iloc[0].to_dict() | span_labels(time[member], step))
    means, new = np.column_stack(members), pd.DataFrame(rows)
    counts = effects.combine(means, labels=new).counts
    out = effects.combine(means - np.column_stack(bases), labels=new, counts=counts)
    said: dict[str, Any] = {"step": step}
    if base is not None:
        of_base = [*time[in_base], base]
        said |= {"reference": int(min(of_base)), "reference_to": int(max(of_base))}
    return replace(out, method={**method, **said})
