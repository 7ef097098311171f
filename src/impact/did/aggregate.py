"""From effects by start and period to averages and to the three scales."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.did.design import check_choice, period_name
from impact.did.scales import three_scales, unit_of
from impact.errors import DesignError
from impact.results import Effects

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
# An effect and an error no larger than this are both zero but for rounding.
_ROUNDING = 1e-12
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
        By start and period, from ``callaway_santanna``, ``sun_abraham``, ``imputation``, ``etwfe`` or
        ``stacked``.
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
    for cells in _outcomes(effects):
        after = cells.after
        if by == "simple":
            means.add(cells, after, np.ones(len(after)), {"term": "average over people"})
            continue
        rows = np.arange(len(cells.at)) if by == "event_time" else after
        codes, values = pd.factorize(effects.labels[by].iloc[cells.at[rows]], sort=True)
        for code, value in enumerate(values):
            term = f"{by.replace('_', ' ')} {period_name(value)}"
            own = rows[codes == code]
            means.add(cells, own, np.ones(len(own)), {"term": term, by: value})
        if by == "group" or means.poisson:
            size = np.bincount(cells.group[after])[cells.group[after]]
            totals.add(cells, after, 1 / size, {"term": _AVERAGE[by]})
    out = means.effects(_AVERAGE[by])
    if by == "simple":
        return out
    of_totals = by == "group" or means.poisson
    overall = totals.effects(_AVERAGE[by]) if of_totals else equal_average(out, _AVERAGE[by])
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
    for cells in _outcomes(effects):
        after = cells.after
        expected, time, events = cells.at[after], cells.time[after], cells.events[after]
        person_time, observed = float(effects.estimate[time].sum()), float(effects.estimate[events].sum())
        rate = scale * observed / person_time
        d_rate = np.zeros(len(effects))
        d_rate[events] = scale / person_time
        d_rate[time] = -rate / person_time
        if means.poisson and effects.estimate[expected].sum() <= 0:
            raise _no_effect(cells.outcome, "too few events among people without support, and none expected")
        if means.poisson and observed > 0:
            effect, d_effect = means.log_ratio(cells, after)
            rows, by = three_scales(effect, rate, person_time / scale, family="poisson")
        elif means.poisson:
            # Without any events there is no ratio, but those expected are still the events avoided.
            effect, d_effect = -scale * effects.estimate[expected].sum() / person_time, np.zeros(len(effects))
            d_effect[expected] = -scale / person_time
            rows, by = three_scales(effect, rate, person_time / scale, family="linear")
        else:
            effect, d_effect = means.weighted(expected, time, np.ones(len(after)))
            rows, by = three_scales(effect, rate, person_time / scale, family="linear")
        slopes = (np.column_stack([d_effect, d_rate]) @ by).T
        for (name, value), slope in zip(rows.items(), slopes, strict=True):
            unit = unit_of(name, effects.method["per"])
            label = {"outcome": cells.outcome, "term": "effect", "scale": name, "unit": unit}
            means.append(value, slope, label, cells.counts(after))
    return means.effects("over their observed supported person-time")


def equal_average(effects: Effects, term: str) -> Effects:
    """Average the effects of each outcome from support on, with equal weights; ``term`` says over what."""
    labels = effects.labels
    kept = labels.drop_duplicates("outcome")[["outcome", "term", "scale", "unit"]].assign(term=term)
    weights = (labels["outcome"].to_numpy()[:, None] == kept["outcome"].to_numpy()).astype(float)
    if "event_time" in labels:
        weights *= (labels["event_time"] >= 0).to_numpy(bool)[:, None]
    if without := kept["outcome"][weights.sum(0) == 0].tolist():
        raise _no_effect(without[0], "no time with support can be compared, or nothing happened in it")
    return effects.combine(weights / weights.sum(0), labels=kept)


class _Cells:
    """One outcome's cells: where they stand in the joint vector, and where what weighs them does.

    ``at, share, time`` and ``events`` are positions in the vector, one a cell; ``group`` numbers their groups
    and ``after`` are the cells from the start of support on.
    """

    def __init__(self, effects: Effects, outcome: str) -> None:
        self.outcome, labels = outcome, effects.labels
        mine, scale = (labels["outcome"] == outcome).to_numpy(), labels["scale"].to_numpy()
        group, period = (pd.factorize(labels[name])[0] for name in ("group", "period"))
        kind = "expected" if _poisson(effects) else "difference"
        self.at = np.flatnonzero(mine & (scale == kind))
        self.group = group[self.at]
        self.unit = str(labels["unit"].iloc[self.at[0]])
        shares = np.flatnonzero(mine & (scale == "share"))
        self.share = _found(group[shares], shares, self.group)
        cell = group * (period.max() + 1) + period
        self.time, self.events = (
            _found(cell[rows], rows, cell[self.at])
            for rows in (np.flatnonzero(mine & (scale == name)) for name in ("person-months", "events"))
        )
        supported = labels["event_time"].iloc[self.at].to_numpy(int) >= 0
        self.after = np.flatnonzero(supported)
        self._supported = supported
        if not supported.any():
            raise _no_effect(outcome, "no time with support can be compared")
        self._counts = {name: effects.counts[name].to_numpy()[self.at] for name in effects.counts}
        self._everyone = effects.counts.iloc[shares[0]]

    def counts(self, rows: Rows) -> dict[str, int]:
        """People behind several cells: groups are different people, but they share their controls.

        Who is a control for one group may be treated in another, so no more than everyone is counted.
        """
        own, group = {name: column[rows] for name, column in self._counts.items()}, self.group[rows]
        most = np.zeros(group.max() + 1, int)
        np.maximum.at(most, group, own["treated"])
        treated, several = most.sum(), (group != group[0]).any()
        with_support = self._supported[rows]
        happened = own["events"][with_support] if with_support.any() else own["events"]
        return {
            "persons": int(min(treated + (own["persons"] - own["treated"]).max(), self._everyone["persons"])),
            "treated": int(treated),
            "clusters": int(self._everyone["clusters"] if several else own["clusters"].max()),
            "events": int(happened.sum()),
        }


class _Means:
    """Weighted means of ATT(g, t), with their derivatives by everything that was estimated."""

    def __init__(self, effects: Effects) -> None:
        self.source, self.poisson = effects, _poisson(effects)
        self.estimate: list[float] = []
        self.jacobian: list[Array] = []
        self.labels: list[dict[str, Any]] = []
        self.pooled: list[dict[str, int]] = []

    def weighted(self, at: Rows, weights: Rows, known: Array) -> tuple[float, Array]:
        """Mean of entries ``at`` of the joint vector; its entries ``weights`` times known ones weigh them."""
        theta = self.source.estimate
        used = known * theta[weights]
        total = used.sum()
        mean = float(used @ theta[at] / total)
        slope = np.zeros(len(theta))
        np.add.at(slope, at, used / total)
        np.add.at(slope, weights, known * (theta[at] - mean) / total)
        return mean, slope

    def log_ratio(self, cells: _Cells, rows: Rows) -> tuple[float, Array]:
        """Logarithm of the cells' observed events over those expected without support."""
        theta, slope = self.source.estimate, np.zeros(len(self.source))
        events, expected = cells.events[rows], cells.at[rows]
        observed, without = theta[events].sum(), theta[expected].sum()
        if observed <= 0 or without <= 0:
            return np.nan, slope
        slope[events], slope[expected] = 1 / observed, -1 / without
        return float(np.log(observed / without)), slope

    def add(self, cells: _Cells, rows: Rows, known: Array, label: dict[str, Any]) -> None:
        """Add the mean of these cells, weighted by the shares of their groups; or the ratio of their events.

        A ratio of nothing is left out.
        """
        if self.poisson:
            value, slope = self.log_ratio(cells, rows)
            shown = {"scale": "log ratio", "unit": "log ratio"}
        else:
            value, slope = self.weighted(cells.at[rows], cells.share[rows], known)
            shown = {"scale": "difference", "unit": cells.unit}
        if np.isfinite(value):
            self.append(value, slope, {"outcome": cells.outcome, **shown, **label}, cells.counts(rows))

    def append(self, estimate: float, slope: Array, label: dict[str, Any], counts: dict[str, int]) -> None:
        """Add one derived effect with its derivatives."""
        self.estimate.append(estimate)
        self.jacobian.append(slope)
        self.labels.append(label)
        self.pooled.append(counts)

    def effects(self, which: str) -> Effects:
        """Return what was gathered as effects on those supported."""
        if not self.labels:
            outcome = self.source.labels["outcome"].iloc[0]
            raise _no_effect(outcome, "no events with support, or none expected without it, so no ratio")
        estimate, jacobian = np.array(self.estimate), np.column_stack(self.jacobian)
        out = self.source.transform(
            lambda _: estimate,
            lambda _: jacobian,
            labels=pd.DataFrame(self.labels),
            counts=pd.DataFrame(self.pooled),
        )
        size = pd.Series(np.abs(estimate) + out.std_error).groupby(out.labels["outcome"]).max()
        if none := size.index[size <= _ROUNDING].tolist():
            raise DesignError(
                f"outcome={none[0]!r}: nothing varies between people or periods here, so that its effect is "
                "zero for certain and has no error; check the outcome, or use a more frequent one."
            )
        return replace(out, method={**out.method, "estimand": f"effect on those supported, {which}"})


def _no_effect(outcome: str, why: str) -> DesignError:
    return DesignError(
        f"outcome={outcome!r}: no effect of support could be estimated: {why}. Use a longer window, longer "
        "periods or wider controls."
    )


def _poisson(effects: Effects) -> bool:
    return bool(effects.method.get("family", "linear") == "poisson")


def _outcomes(effects: Effects) -> list[_Cells]:
    if "share" not in set(effects.labels["scale"]):
        raise DesignError(
            "aggregate needs effects by start and period (callaway_santanna, sun_abraham, imputation, etwfe, "
            "stacked), with all their rows."
        )
    return [_Cells(effects, outcome) for outcome in dict.fromkeys(effects.labels["outcome"])]


def _found(keys: Rows, rows: Rows, wanted: Rows) -> Rows:
    """Which of the rows has each wanted key; -1 where none has."""
    place = np.full(int(max(keys.max(), wanted.max())) + 1, -1)
    place[keys] = rows
    return place[wanted]
