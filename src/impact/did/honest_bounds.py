"""What would have to be true of trends for the finding to fail (Rambachan and Roth 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from impact.did.design import check_choice
from impact.did.steps import block_of
from impact.errors import DesignError, ParameterError
from impact.numbers.honest import RelativeMagnitudes, Smoothness, breakdown
from impact.numbers.regress import pseudo_inverse
from impact.results import NULL_VALUE, Bounds, Effects

Array = NDArray[np.float64]

# Weights on q periods, chosen by a covariance from n clusters, make the error too small by a share of q / n:
# simulated at m = 0 with 6 to 36 periods, a 95% interval covered 72 to 73% at two clusters a weight, 87 to
# 88% at five and 91 to 93% at ten.
_CLUSTERS_A_WEIGHT = 5
_TOO_SHORT = 0.05
_SCALES = ("difference", "log ratio")
_RESTRICTION = {"m_bar": "relative magnitudes", "m": "smoothness"}
_INFERENCE = {
    "m_bar": "conditional and least favourable hybrid test (Andrews, Roth and Pakes 2023), inverted",
    "m": "interval of fixed length around the best linear estimator (Armstrong and Kolesar 2018)",
}


def honest_bounds(
    effects: Effects,
    *,
    m_bar: float | Sequence[float] | None = None,
    m: float | Sequence[float] | None = None,
    of: int | Literal["average"] = 0,
) -> Bounds:
    """Bound an effect where trends without support need not have been quite parallel.

    Give one of the two limits, or several values of it.

    Parameters
    ----------
    effects : Effects
        By event time and measured from one base period: an event study, or effects averaged by event time.
        Where it is in steps of several periods (``event_study(..., step=3)``), a period here is a step.
    m_bar : float or sequence of float
        Relative magnitudes: from one period to the next after support, the difference between the arms that
        is not due to support changes by at most ``m_bar`` times its largest change before support. At 0 it
        does not change: parallel trends from the base period on, whatever they were before it.
    m : float or sequence of float
        Smoothness: that difference's slope changes by at most ``m`` from one period to the next; in the unit
        of the effects, which for Poisson models is the logarithm of a ratio. At 0 the difference is a
        straight line.
    of : int or 'average'
        The event time whose effect is bounded, or the average over all from 0, equally weighted.

    Returns
    -------
    Bounds
        For each outcome the interval under parallel trends, one for each limit, and the ``breakdown``: the
        largest limit at which the interval excludes no effect (missing if that at 0 includes it). Intervals
        are for large numbers of clusters, widened as the t distribution is wider than the normal. Nothing
        is drawn at random.

    Raises
    ------
    ParameterError
        If not exactly one limit is given, a limit is below zero, or ``of`` is not among the event times.
    DesignError
        If the effects are not by event time and from one base, periods are missing between them, none is
        before the base, or there are too few clusters for so many effects.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data.panel import Panel
    >>> from impact.did import event_study
    >>> frame = pd.DataFrame({"site": [i for i in range(8) for _ in range(3)], "year": [1, 2, 3] * 8,
    ...     "falls": [4, 5, 2, 6, 5, 2, 5, 5, 1, 7, 6, 4, 3, 3, 4, 5, 6, 5, 4, 3, 3, 6, 6, 7],
    ...     "start": [3] * 12 + [None] * 12})
    >>> panel = Panel.from_long(frame, unit="site", period="year", outcomes=["falls"],
    ...                         first_treated="start")
    >>> effects = event_study(panel, outcome="falls", estimator="twfe", family="linear")
    >>> bounds = honest_bounds(effects, m_bar=[0.5, 1])
    >>> bounds.table[["restriction", "m_bar", "conf_low", "conf_high"]].round(2)
               restriction  m_bar  conf_low  conf_high
    0      parallel trends    NaN     -4.77      -1.73
    1  relative magnitudes    0.5     -4.92      -1.39
    2  relative magnitudes    1.0     -5.19      -0.82
    """
    kind, limits = _limits(m_bar, m)
    _check_source(effects)
    rows, counts, notes = [], [], list(effects.method.get("notes", ()))
    for outcome in dict.fromkeys(effects.labels["outcome"]):
        block = _block(effects, outcome, of, kind)
        found = _intervals(block, kind, limits, effects.conf_level)
        rows += [block.label | row | {"conf_level": effects.conf_level} for row in found]
        counts += [block.counts] * len(found)
        short = (block.before - 1) / (_clusters(effects) - 1)
        if kind == "m" and short > _TOO_SHORT:
            notes.append(
                f"{outcome}: intervals may be up to {short:.0%} too short, as there are few clusters for so "
                "many periods before support."
            )
    method = {
        **effects.method,
        "shows": "bounds where trends are not parallel",
        "restriction": _RESTRICTION[kind],
        "target": of,
        "bounds": _INFERENCE[kind],
        "notes": notes,
    }
    return Bounds(pd.DataFrame(rows), method, pd.DataFrame(counts))


class _Block(NamedTuple):
    """One outcome's effects in order of event time, without the base."""

    label: dict[str, Any]
    beta: Array
    vcov: Array
    before: int
    weights: Array
    counts: dict[str, int]


def _intervals(block: _Block, kind: str, limits: list[float], conf_level: float) -> list[dict[str, Any]]:
    """The interval under parallel trends, and one for each limit."""
    _, beta, vcov, before, weights, _ = block
    target = np.concatenate([np.zeros(before), weights])
    estimate = float(target @ beta)
    half = float(ndtri(0.5 + conf_level / 2) * np.sqrt(target @ vcov @ target))
    method = RelativeMagnitudes if kind == "m_bar" else Smoothness
    bounds = method(beta, vcov, before, weights, conf_level)
    parallel = {"restriction": "parallel trends", kind: np.nan, "estimate": estimate}
    out = [parallel | {"conf_low": estimate - half, "conf_high": estimate + half}]
    for limit in limits:
        low, high = bounds.interval(limit)
        # Smoothness takes a straight line from the estimate; the other interval has no centre.
        centre = (low + high) / 2 if kind == "m" else np.nan
        row = {"restriction": _RESTRICTION[kind], kind: limit, "estimate": centre}
        out.append(row | {"conf_low": low, "conf_high": high})
    largest = breakdown(bounds.interval, 1.0 if kind == "m_bar" else half)
    return [row | {"breakdown": largest} for row in out]


def _limits(m_bar: Any, m: Any) -> tuple[str, list[float]]:
    """Return which limit was given, and its values."""
    if (m_bar is None) == (m is None):
        raise ParameterError(
            f"m_bar={m_bar!r}, m={m!r}: give one of them: m_bar for relative magnitudes, m for smoothness."
        )
    kind, given = ("m_bar", m_bar) if m is None else ("m", m)
    try:
        limits = np.atleast_1d(np.asarray(given, float))
    except (TypeError, ValueError):
        limits = np.empty(0)
    if limits.ndim != 1 or not len(limits) or not (np.isfinite(limits) & (limits >= 0)).all():
        raise ParameterError(f"{kind}={given!r}: give a number of 0 or more, or a list of them.")
    return kind, limits.tolist()


def _check_source(effects: Effects) -> None:
    """Refuse effects before support that are not built like those after it."""
    method = effects.method
    if method.get("base_period") == "varying":
        raise DesignError(
            "honest_bounds: with base_period='varying' each effect before support is a step from the period "
            "before it, and not from one base; estimate again with base_period='universal'."
        )
    if method.get("estimator") == "imputation" or "pre_effects" in method:
        raise DesignError(
            "honest_bounds: imputation makes its effects before support otherwise than those after it, so "
            "they do not show how far trends differ; use an event study, callaway_santanna or sun_abraham."
        )


def _block(effects: Effects, outcome: str, of: Any, kind: str) -> _Block:
    """Put one outcome's effects in order and check that they can carry bounds."""
    reference = effects.method.get("reference")
    reference = -1 - effects.method.get("anticipation", 0) if reference is None else int(reference)
    rows, time = _by_time(effects, outcome, reference)
    before = int((time < reference).sum())
    weights = _weights(time[before:], of)
    beta, vcov = effects.estimate[rows], _covariance(effects, rows)
    _check_errors(outcome, kind, before, _clusters(effects), beta, vcov)
    used = effects.counts.iloc[rows[before:][weights > 0]]
    first = effects.labels.iloc[rows[before]]
    label = {name: first[name] for name in ("outcome", "scale", "unit")}
    last = int(effects.labels.get("event_time_to", effects.labels["event_time"]).iloc[rows[-1]])
    label["term"] = f"event time {of}" if of != "average" else f"average of event times 0 to {last}"
    label["null_value"] = NULL_VALUE[label["scale"]]
    counts = {str(n): int(used[n].sum() if n == "events" else used[n].max()) for n in used}
    wider = _wider(effects, rows[before:], weights)
    return _Block(label, beta, wider**2 * vcov, before, weights, counts)


def _clusters(effects: Effects) -> int:
    return int(effects.method.get("clusters", len(pd.unique(effects.clusters))))


def _covariance(effects: Effects, rows: NDArray[np.int64]) -> Array:
    keep = np.sort(rows)
    part = effects.select(np.isin(np.arange(len(effects)), keep)).vcov
    at = np.searchsorted(keep, rows)
    return part[np.ix_(at, at)]


def _by_time(effects: Effects, outcome: str, reference: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and event times of an outcome, in order and without the base."""
    labels = effects.labels
    if "event_time" not in labels:
        raise DesignError("honest_bounds needs effects by event time: none of these has one.")
    mine = (labels["outcome"] == outcome) & labels["event_time"].notna() & labels["scale"].isin(_SCALES)
    if labels.loc[mine, "scale"].nunique() > 1:
        # Both scales of one event study: trends are parallel on the scale of the model.
        mine &= labels["scale"] == _SCALES[effects.method.get("family") == "poisson"]
    rows = np.flatnonzero(mine)
    time = labels["event_time"].iloc[rows].to_numpy(int)
    if len(np.unique(time)) < len(time):
        raise DesignError(
            f"{outcome}: several effects have the same event time; average them first: "
            "aggregate(effects, by='event_time')."
        )
    order = np.argsort(time)
    rows, time = rows[order], time[order]
    base = rows[time == reference]
    if (effects.estimate[base] != 0).any() or (_covariance(effects, base) != 0).any():
        raise DesignError(
            f"{outcome}: the effect at event time {reference} is not zero, so the effects are not measured "
            "from it; honest_bounds needs effects measured from one base period."
        )
    rows, time = rows[time != reference], time[time != reference]
    for there, where in (((time < reference).any(), "before"), ((time > reference).any(), "after")):
        if not there:
            raise DesignError(
                f"{outcome}: there is no effect {where} the base period (event time {reference}), so "
                "nothing shows how far trends differ; begin the window earlier or estimate an event study."
            )
    if gaps := _gaps(effects, np.append(time, reference)):
        raise DesignError(
            f"{outcome}: no effect at event time {', '.join(map(str, gaps))}; honest_bounds needs every "
            "period between the first and the last. Leave out those beyond the gap with effects.select."
        )
    return rows, time


def _gaps(effects: Effects, time: NDArray[np.int64]) -> list[int]:
    """Return the event times (of blocks, one in each) that are missing between the first and the last."""
    step, anticipation = effects.method.get("step", 1), effects.method.get("anticipation", 0)
    every = np.arange(time.min(), time.max() + 1)
    block = block_of(every, step, anticipation)
    missing = ~np.isin(block, block_of(time, step, anticipation))
    return [int(every[block == b][0]) for b in np.unique(block[missing])]


def _weights(time: NDArray[np.int64], of: Any) -> Array:
    """Return the weights of the effects after the base in what is bounded."""
    if isinstance(of, str):
        check_choice("of", of, ("average",))
        chosen = time >= 0
    else:
        chosen = time == of if not isinstance(of, bool) else np.zeros(len(time), bool)
    if not chosen.any():
        raise ParameterError(
            f"of={of!r}: give 'average' or an event time from {time[0]} to {time[-1]}, a whole number."
        )
    return np.asarray(chosen / chosen.sum())


def _check_errors(outcome: str, kind: str, before: int, clusters: int, beta: Array, vcov: Array) -> None:
    """Refuse effects whose covariance cannot be estimated from so few clusters."""
    if not (np.isfinite(beta).all() and np.isfinite(vcov).all()):
        raise DesignError(f"{outcome}: an effect or its error is missing; leave out that event time.")
    needed = len(beta) + 1
    if kind == "m":
        needed = max(needed, _CLUSTERS_A_WEIGHT * (before - 1) + 1)
    advice = "use longer periods, leave out the earliest, or cluster by a smaller unit"
    if clusters < needed:
        raise DesignError(
            f"{outcome}: {clusters} clusters are too few for bounds from {before} effects before the base "
            f"period and {len(beta) - before} after it, which need {needed}; {advice}."
        )
    _, rank = pseudo_inverse(vcov)
    if rank < len(beta):
        raise DesignError(
            f"{outcome}: the data carry only {rank} of {len(beta)} effects separately; {advice}."
        )


def _wider(effects: Effects, rows: NDArray[np.int64], weights: Array) -> float:
    """Return how much wider the interval of the target is by the t distribution than by the normal."""
    df = float(np.min(np.broadcast_to(np.asarray(effects.df, float), (len(effects),))[rows[weights > 0]]))
    if effects.satterthwaite is not None:
        full = np.zeros(len(effects))
        full[rows] = weights
        df = effects.satterthwaite(full)
    at = 0.5 + effects.conf_level / 2
    return float(stdtrit(df, at) / ndtri(at)) if np.isfinite(df) else 1.0
