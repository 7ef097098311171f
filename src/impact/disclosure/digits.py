"""How many digits of a figure are released, and from which counts, so that it does not undo their rounding.

A rate ``r = O / P`` of ``O`` events in the time ``P`` of ``n`` people ties the two: who has the rate to the
last digit, and one of them, has the other. With ``M = O exp(-l)`` events expected without support, a log
ratio ``l``, a difference ``d = (O - M) / P`` and the events avoided ``a = M - O`` give both, whatever their
errors: ``O = a / (exp(-l) - 1)`` and ``P = -a / d``. Fewer digits hide that by chance only: each figure says
on which side of a rounding edge the count was. So each is made from counts as they are printed:

- With fewer events than people, from the printed events ``O'`` and the time in steps, ``P'``: the rate is
  ``O' / P'``, ``a`` is multiplied by ``O' / O`` and ``d`` by ``O' P / (O P')``. Its own error is at least
  ``1 / sqrt(O)`` of a rate, the change no more than half a step of ``O``. ``l`` has neither in it.
- With more events than people, events to the last step would tell the people. The rate and ``d`` are as they
  were, the events are ``r P'``, and ``a = -d P'``.

A step is as many people as counts are rounded to, or as few as may be shown where they are not rounded.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from impact.disclosure.policies import Policy
from impact.numbers.rounding import magnitude, significant, to_places

Array = NDArray[np.float64]

_BY_ERROR = ("estimate", "std_error", "conf_low", "conf_high", "band_low", "band_high")
_P_VALUES = ("p_value", "smallest_p")
# Numbers of standard errors from one end of a 95% interval to the other.
_WIDTH = 3.92


def events_shown(events: ArrayLike, people: ArrayLike, policy: Policy, scale: ArrayLike = np.nan) -> Array:
    """Events as they are printed: rounded, and of more events than people those of the time in steps.

    ``scale`` is that time by the time there was; where it is not known many events are not told.

    Examples
    --------
    >>> from impact.disclosure.policies import policy
    >>> events_shown([66, 2196, 2196], [278, 278, 278], policy("hes"), [0.99, 0.99, np.nan]).tolist()
    [65.0, 2170.0, nan]
    """
    n, of = np.asarray(events, float), np.asarray(people, float)
    return np.where(n >= of, policy.rounded(significant(n * np.asarray(scale), 3)), policy.rounded(n))


def time_shown(time: ArrayLike, people: ArrayLike, policy: Policy) -> Array:
    """Person-time in steps of about the time of as many people as make a step of counts.

    Examples
    --------
    >>> from impact.disclosure.policies import policy
    >>> time_shown([3186.5, 3064.4], [278, 267], policy("hes")).tolist()
    [3200.0, 3050.0]
    """
    exact = np.asarray(time, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        of_one = exact / np.asarray(people, float)
        tens = 10.0 ** magnitude(of_one)
        # The nearest of 1, 2, 5 and 10: the same for people of whom all or nearly all were seen throughout.
        first = np.select([of_one < 1.41 * tens, of_one < 3.16 * tens, of_one < 7.07 * tens], [1, 2, 5], 10)
        step = _step(policy) * first * tens
    return np.where(np.isfinite(step), np.maximum(np.rint(exact / step), 1) * step, exact)


def rates_shown(
    rates: ArrayLike, events: ArrayLike, people: ArrayLike, policy: Policy
) -> tuple[Array, Array]:
    """Rates of 1,000 and their events, both made from what is told of events and time.

    Examples
    --------
    >>> from impact.disclosure.policies import policy
    >>> rate, events = rates_shown([20.72, 20.4, 689.2], [66, 65, 2196], [278] * 3, policy("hes"))
    >>> rate.tolist(), events.tolist()
    ([20.3, 20.3, 689.2], [65.0, 65.0, 2210.0])
    """
    rate, n, of = (np.asarray(v, float) for v in (rates, events, people))
    with np.errstate(divide="ignore", invalid="ignore"):
        time = 1000 * n / rate
        told = time_shown(time, of, policy)
        fewer = 1000 * policy.rounded(n) / told
        shown = events_shown(n, of, policy, np.where(time > 0, told / time, 1.0))
    found = np.where((n > 0) & (n < of) & (rate > 0), fewer, rate)
    return significant(found, np.where(n < 1000, 3, 4)), shown


def as_printed(table: pd.DataFrame, labels: Iterable[str], counts: pd.DataFrame, policy: Policy) -> Array:
    """Make differences and events avoided those of the counts that are printed with them, in place.

    The errors and ends of intervals change in the same proportion, so that tests say what they said.
    Returns the time in steps by the time there was, for each row, where it is known.
    """
    scale = np.full(len(table), np.nan)
    where = [c for c in labels if c not in ("scale", "unit")]
    for rows in table.groupby(where, sort=False, dropna=False).indices.values():
        at = dict(zip(table["scale"].iloc[rows], map(int, rows), strict=True))
        ratio, difference, avoided = (at.get(s) for s in ("log ratio", "difference", "events avoided"))
        known = counts.iloc[int(rows[0])]
        events, people = float(known.get("events", 0)), float(known.get("treated", known["persons"]))
        if len(at) < len(rows) or len(at) < 2 or not (events > 0 and people > 0):
            continue
        times = dict.fromkeys(at, 1.0)
        # Many events of a time that is not known keep two digits.
        told = float(policy.rounded(events) if events < people else significant(events, 2)) / events
        if difference is not None and avoided is not None:
            error = table["std_error"].to_numpy(float)
            time = error[avoided] / error[difference]
            steps = float(time_shown(time, people, policy)) / time if time > 0 else 1.0
            scale[rows], times["events avoided"] = steps, steps
            if events < people and ratio is not None:
                times["difference"], times["events avoided"] = told / steps, told
        elif ratio is not None:
            times = dict.fromkeys(at, told if avoided is not None or events < people else 1.0)
            times["log ratio"] = 1.0
        for column in [c for c in _BY_ERROR if c in table]:
            table.loc[table.index[list(at.values())], column] *= [times[name] for name in at]
    return scale


def fewer_digits(table: pd.DataFrame, columns: Iterable[str]) -> None:
    """Round the numbers of each row, in place: two digits of its standard error, or of a fifth of its width.

    A limit is never rounded onto the value that means no effect, nor a p-value across 0.05: the row then
    keeps a digit more. Other numbers keep three digits.
    """
    wanted = [c for c in columns if c in table]
    together = [c for c in _BY_ERROR if c in wanted]
    if {"conf_low", "conf_high"} <= set(together):
        error = (table["conf_high"] - table["conf_low"]).to_numpy(float) / _WIDTH
        if "std_error" in table:
            error = np.where(table["std_error"].notna(), table["std_error"], error).astype(float)
        _round_rows(table, together, 1 - magnitude(np.where(error > 1e-9, error, np.nan)))
    for column in wanted:
        exact = table[column].to_numpy(float, na_value=np.nan)
        if column in _P_VALUES:
            two = significant(exact, 2)
            table[column] = np.where((two < 0.05) == (exact < 0.05), two, significant(exact, 3))
        elif column == "statistic":
            table[column] = to_places(exact, np.full(len(exact), 2.0))
        elif column not in together:
            table[column] = significant(exact, 3)


def _round_rows(table: pd.DataFrame, columns: list[str], places: Array) -> None:
    exact = table[columns].to_numpy(float)
    # Where there is no width a row keeps three digits of each, and nothing of what is 0 but for computing.
    exact = np.where(abs(exact) <= 1e-9, 0.0, exact)
    digits = np.where(np.isfinite(places)[:, None], places[:, None], 2 - magnitude(exact))
    null = table["null_value"].to_numpy(float)[:, None] if "null_value" in table else 0.0
    limits = np.array(["_" in c and c != "std_error" for c in columns])
    for _ in range(3):
        found = to_places(exact, digits)
        onto = ((found == null) & (exact != null) & limits).any(axis=1)
        if not onto.any():
            break
        digits[onto] += 1
    table[columns] = found


def _step(policy: Policy) -> int:
    return policy.round_to if policy.round_to > 1 else policy.smallest_shown
