"""From effects by start and period to averages and to the three scales."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.did.design import check_choice, period_name
from impact.did.scales import three_scales
from impact.errors import DesignError
from impact.results import Effects

Array = NDArray[np.float64]
By = Literal["simple", "event_time", "group", "period"]

_AVERAGE = {
    "simple": "average over supported people and their periods",
    "event_time": "average over event times",
    "group": "average over groups, by their size",
    "period": "average over periods",
}


def aggregate(effects: Effects, *, by: By = "simple") -> Effects:
    """Average ATT(g, t) over groups in proportion to their size, as R's ``did::aggte`` does.

    The shares of the groups are estimated, and their error is in the standard errors. These are averages
    over people, not over person-time: for rate ratios and events avoided use ``summarise``.

    Parameters
    ----------
    effects : Effects
        From ``callaway_santanna``.
    by : 'simple', 'event_time', 'group' or 'period'
        One average over all supported periods, or one for each event time, group or calendar period.

    Returns
    -------
    Effects
        One row an outcome ('simple'), or one an event time, group or period; the last three have an
        ``overall``, the average of their supported rows (one row an outcome): equally weighted over event
        times and periods, weighted by size over groups.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data.panel import Panel
    >>> from impact.did import callaway_santanna
    >>> frame = pd.DataFrame({"site": [1, 1, 2, 2, 3, 3, 4, 4], "year": [1, 2] * 4,
    ...                       "falls": [3, 1, 4, 3, 2, 2, 3, 4], "start": [2, 2, 2, 2] + [None] * 4})
    >>> panel = Panel.from_long(frame, unit="site", period="year", outcomes=["falls"],
    ...                         first_treated="start")
    >>> aggregate(callaway_santanna(panel, outcome="falls"), by="event_time").overall.estimate.tolist()
    [-2.0]
    """
    check_choice("by", by, tuple(_AVERAGE))
    means, totals = _Means(effects), _Means(effects)
    for outcome in _outcomes(effects):
        cells = _cells(effects, outcome)
        after = cells[cells["event_time"] >= 0]
        size = after.groupby("group")["group"].transform("size").to_numpy(float)
        if by == "simple":
            means.add(outcome, after, np.ones(len(after)), {"term": "average over people"})
            continue
        for value, rows in (cells if by == "event_time" else after).groupby(by, sort=True):
            term = f"{by.replace('_', ' ')} {period_name(value)}"
            means.add(outcome, rows, np.ones(len(rows)), {"term": term, by: value})
        if by == "group" or means.poisson:
            totals.add(outcome, after, 1 / size, {"term": _AVERAGE[by]})
    out = means.effects(_AVERAGE[by])
    if by == "simple":
        return out
    of_totals = by == "group" or means.poisson
    overall = totals.effects(_AVERAGE[by]) if of_totals else _equal_average(out, by)
    return replace(out, overall=overall)


def summarise(effects: Effects) -> Effects:
    """Bring effects by start and period to the three scales, over the observed supported person-time.

    With ``O`` observed events of supported people, ``P`` their person-time and ``M`` the events expected
    without support (``O`` less the sum of ATT(g, t) times the person-time of that cell): the difference
    ``(O - M) / P``, the logarithm of the rate ratio ``O / M``, and ``M - O`` events avoided over the
    person-time that was observed. Effects of other estimators, which are on these scales, come back as
    they are.

    Parameters
    ----------
    effects : Effects
        From any estimator of ``impact.did``.

    Returns
    -------
    Effects
        For each outcome ``difference``, ``log ratio`` (left out where ``M`` or ``O`` is not above zero)
        and ``events avoided`` (positive means fewer events with support), with one joint root.
    """
    if "share" not in set(effects.labels["scale"]):
        return effects
    means, scale = _Means(effects), effects.method["rate_scale"]
    family = effects.method.get("family", "linear")
    for outcome in _outcomes(effects):
        cells = _cells(effects, outcome)
        after = cells[cells["event_time"] >= 0]
        time = _of_cells(effects, after, "person-months")
        events = _of_cells(effects, after, "events")
        person_time, observed = float(effects.estimate[time].sum()), float(effects.estimate[events].sum())
        rate = scale * observed / person_time
        d_rate = np.zeros(len(effects))
        d_rate[events] = scale / person_time
        d_rate[time] = -rate / person_time
        if family == "poisson" and observed > 0:
            effect, d_effect = means.log_ratio(after)
            rows, by = three_scales(effect, rate, person_time / scale, family="poisson")
        elif family == "poisson":
            # Without any events there is no ratio, but those expected are still the events avoided.
            expected = after.index.to_numpy()
            effect, d_effect = -scale * effects.estimate[expected].sum() / person_time, np.zeros(len(effects))
            d_effect[expected] = -scale / person_time
            rows, by = three_scales(effect, rate, person_time / scale, family="linear")
        else:
            effect, d_effect = means.weighted(after, time, np.ones(len(after)))
            rows, by = three_scales(effect, rate, person_time / scale, family="linear")
        slopes = (np.column_stack([d_effect, d_rate]) @ by).T
        for (name, value), slope in zip(rows.items(), slopes, strict=True):
            unit = unit_of(name, effects.method["per"])
            label = {"outcome": outcome, "term": "effect", "scale": name, "unit": unit}
            means.append(value, slope, label, _pooled(effects, after))
    return means.effects("over their observed supported person-time")


def unit_of(scale: str, per: str) -> str:
    """Return the unit of an effect on one of the three scales."""
    return {"difference": per, "log ratio": "log ratio", "events avoided": "events"}[scale]


class _Means:
    """Weighted means of ATT(g, t), with their derivatives by everything that was estimated."""

    def __init__(self, effects: Effects) -> None:
        self.source = effects
        self.poisson = effects.method.get("family", "linear") == "poisson"
        self.estimate: list[float] = []
        self.jacobian: list[Array] = []
        self.labels: list[dict[str, Any]] = []
        self.counts: list[dict[str, int]] = []

    def weighted(self, cells: pd.DataFrame, shares: NDArray[np.int64], known: Array) -> tuple[float, Array]:
        """Mean of the cells, weighted by the entries ``shares`` of the joint vector times known weights."""
        theta, at = self.source.estimate, cells.index.to_numpy()
        weights = known * theta[shares]
        total = weights.sum()
        mean = float(weights @ theta[at] / total)
        slope = np.zeros(len(theta))
        np.add.at(slope, at, weights / total)
        np.add.at(slope, shares, known * (theta[at] - mean) / total)
        return mean, slope

    def log_ratio(self, cells: pd.DataFrame) -> tuple[float, Array]:
        """Logarithm of the cells' observed events over those expected without support."""
        theta, slope = self.source.estimate, np.zeros(len(self.source))
        events, expected = _of_cells(self.source, cells, "events"), cells.index.to_numpy()
        observed, without = theta[events].sum(), theta[expected].sum()
        if observed <= 0 or without <= 0:
            return np.nan, slope
        slope[events], slope[expected] = 1 / observed, -1 / without
        return float(np.log(observed / without)), slope

    def add(self, outcome: str, cells: pd.DataFrame, known: Array, label: dict[str, Any]) -> None:
        """Add the mean of these cells, weighted by the shares of their groups; or the ratio of their events.

        A ratio of nothing is left out.
        """
        if self.poisson:
            ratio, slope = self.log_ratio(cells)
            label = {"outcome": outcome, "scale": "log ratio", "unit": "log ratio", **label}
            if np.isfinite(ratio):
                self.append(ratio, slope, label, _pooled(self.source, cells))
            return
        shares = _rows(self.source, outcome, "share")
        at = pd.Series(shares.index, index=shares["group"])[cells["group"]].to_numpy()
        mean, slope = self.weighted(cells, at, known)
        label = {"outcome": outcome, "scale": "difference", "unit": cells["unit"].iloc[0], **label}
        self.append(mean, slope, label, _pooled(self.source, cells))

    def append(self, estimate: float, slope: Array, label: dict[str, Any], counts: dict[str, int]) -> None:
        """Add one derived effect with its derivatives."""
        self.estimate.append(estimate)
        self.jacobian.append(slope)
        self.labels.append(label)
        self.counts.append(counts)

    def effects(self, which: str) -> Effects:
        """Return what was gathered as effects on those supported."""
        estimate, jacobian = np.array(self.estimate), np.column_stack(self.jacobian)
        out = self.source.transform(
            lambda _: estimate,
            lambda _: jacobian,
            labels=pd.DataFrame(self.labels),
            counts=pd.DataFrame(self.counts),
        )
        return replace(out, method={**out.method, "estimand": f"effect on those supported, {which}"})


def _equal_average(effects: Effects, by: By) -> Effects:
    """Average the supported rows of each outcome with equal weights."""
    outcomes = _outcomes(effects)
    after = np.ones(len(effects), bool)
    if by == "event_time":
        after = effects.labels["event_time"].to_numpy() >= 0
    weights = np.column_stack([after & (effects.labels["outcome"] == o).to_numpy() for o in outcomes])
    labels = pd.DataFrame({"outcome": outcomes, "term": _AVERAGE[by], "scale": "difference"})
    labels["unit"] = [effects.labels.loc[weights[:, j], "unit"].iloc[0] for j in range(len(outcomes))]
    return effects.combine(weights / weights.sum(0), labels=labels)


def _outcomes(effects: Effects) -> list[str]:
    return list(dict.fromkeys(effects.labels["outcome"]))


def _of_cells(effects: Effects, cells: pd.DataFrame, scale: str) -> NDArray[np.int64]:
    """Rows of the joint vector that hold the events, or the person-time, of these cells, in their order."""
    rows = _rows(effects, str(cells["outcome"].iloc[0]), scale)
    at = pd.Series(rows.index, index=pd.MultiIndex.from_frame(rows[["group", "period"]]))
    return at[pd.MultiIndex.from_frame(cells[["group", "period"]])].to_numpy()


def _rows(effects: Effects, outcome: str, scale: str) -> pd.DataFrame:
    labels = effects.labels
    return labels[(labels["outcome"] == outcome) & (labels["scale"] == scale)]


def _cells(effects: Effects, outcome: str) -> pd.DataFrame:
    labels = effects.labels
    if "share" not in set(labels["scale"]):
        raise DesignError(
            "aggregate needs effects by start and period (callaway_santanna, sun_abraham, imputation, etwfe, "
            "stacked), with all their rows."
        )
    poisson = effects.method.get("family", "linear") == "poisson"
    return _rows(effects, outcome, "expected" if poisson else "difference")


def _pooled(effects: Effects, cells: pd.DataFrame) -> dict[str, int]:
    """People behind several cells: groups are different people, but they share their controls.

    Who is a control for one group may be treated in another, so no more than everyone is counted.
    """
    counts = effects.counts.loc[cells.index]
    everyone = effects.counts.loc[_rows(effects, cells["outcome"].iloc[0], "share").index[0]]
    treated = counts["treated"].groupby(cells["group"]).max().sum()
    events = (
        counts["events"][cells["event_time"] >= 0] if (cells["event_time"] >= 0).any() else counts["events"]
    )
    return {
        "persons": int(min(treated + (counts["persons"] - counts["treated"]).max(), everyone["persons"])),
        "treated": int(treated),
        "clusters": int(everyone["clusters"] if cells["group"].nunique() > 1 else counts["clusters"].max()),
        "events": int(events.sum()),
    }
