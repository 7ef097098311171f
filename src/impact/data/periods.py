"""Periods and starts of a long table, numbers or dates: put in order, named, and turned into positions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]
_DAYS = {"month": (28, 31), "quarter": (90, 92), "year": (365, 366)}
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
# The position at which support begins for those who never have any.
NEVER = np.iinfo(np.int64).max // 2


def ordered(values: pd.Series) -> pd.Series:
    """Return periods or starts as numbers or as dates, by which they can be put in order; else missing."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    if isinstance(values.dtype, pd.PeriodDtype):
        values = values.dt.to_timestamp()
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        values = values.dt.tz_localize(None)
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_datetime64_dtype(values):
        return values
    numbers = pd.to_numeric(values, errors="coerce")
    # 03/04/2024 is two different days in two countries: text must say year, month, day.
    dates = pd.to_datetime(values.where(numbers.isna()), errors="coerce", format="ISO8601")
    return dates if dates.count() > numbers.count() else numbers


def step_of(times: pd.Index) -> str:
    """Return what one period is: month, quarter, year or, where it is not known, period."""
    if not isinstance(times, pd.DatetimeIndex) or len(times) < 2:
        return "period"
    days = float(np.median(np.diff(times.to_numpy()) / np.timedelta64(1, "D")))
    return next((step for step, (low, high) in _DAYS.items() if low <= days <= high), "period")


def starts(first: pd.Series | None, times: pd.Index, n: int) -> NDArray[np.int64]:
    """Positions at which support begins: negative before the first period, and counted on after the last."""
    first = None if first is None else ordered(first)
    if first is None or not first.count():
        return np.full(n, NEVER)
    if pd.api.types.is_numeric_dtype(times):
        value, order = first.to_numpy(dtype=float, na_value=np.nan), times.to_numpy(float)
        none = ~np.isfinite(value) | ((value == 0) & (order[0] > 0))
        value = np.where(none, 0.0, value)
        start = np.where(value < order[0], -1, np.searchsorted(order, value, side="left"))
        width = order[-1] - order[-2] if len(order) > 1 else 1.0
        beyond = len(order) - 1 + np.ceil((value - order[-1]) / width)
    else:
        none = first.isna().to_numpy()
        order = times.to_numpy().astype("datetime64[ns]")
        value = np.where(none, order[0], first.to_numpy().astype("datetime64[ns]"))
        # A start inside the window falls in the last period that begins at or before it, so that a date in
        # the middle of a month belongs to that month.
        start = np.searchsorted(order, value, side="right") - 1
        beyond = len(order) - 1 + _steps(value, order[-1], pd.DatetimeIndex(times))
    return np.where(none, NEVER, np.where(value > order[-1], beyond, start)).astype(np.int64)


def _steps(value: NDArray[Any], last: np.datetime64, times: pd.DatetimeIndex) -> Array:
    """How many periods after the last one each date lies; months have no common length in days."""
    step = step_of(times)
    if step in _MONTHS and (times.day == 1).all():
        months = value.astype("datetime64[M]") - last.astype("datetime64[M]")
        return np.asarray(months.astype(float) // _MONTHS[step])
    width = times[-1] - times[-2] if len(times) > 1 else pd.Timedelta(days=1)
    return np.asarray(np.floor((value - last) / width.to_timedelta64()))
