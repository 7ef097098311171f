"""Group-time average treatment effects (Callaway and Sant'Anna 2021) on rates, for panels with holes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from impact.data.panel import Panel
from impact.did.comparison import Comparison, Score
from impact.did.design import (
    Parts,
    as_list,
    check_arms,
    check_choice,
    check_events,
    clusters_at_risk,
    covariate_matrix,
    people,
    period_name,
    total_time,
    weighed,
)
from impact.errors import DesignError, ParameterError
from impact.numbers.inference import cluster_codes, cluster_sums
from impact.results import Effects

Array = NDArray[np.float64]


def callaway_santanna(
    panel: Panel,
    *,
    outcome: str | Sequence[str],
    control: Literal["not_yet_treated", "never_treated"] = "not_yet_treated",
    covariates: Sequence[str] = (),
    method: Score = "dr",
    base_period: Literal["universal", "varying"] = "universal",
    anticipation: int = 0,
) -> Effects:
    """Estimate ATT(g, t): the effect in period t on the people whose support began in period g.

    Each is the change in their rate since the base period less that of people without support, among those
    at risk in both periods. Each person has one weight a comparison: time at risk in the base period times
    the panel's weight. With full and equal time at risk these are the numbers of R's ``did``.

    Parameters
    ----------
    panel : Panel
        On the calendar clock.
    outcome : str or sequence of str
        Several outcomes give one joint result.
    control : 'not_yet_treated' or 'never_treated'
        'not_yet_treated' takes people whose support begins later than both periods compared (and the
        anticipation), and people never supported within the panel (until the anticipation of support that
        begins after it).
    covariates : sequence of str
        Measured before support: numbers, or categories. They enter each comparison by itself.
    method : 'dr', 'reg' or 'ipw'
        Doubly robust (Sant'Anna and Zhao 2020), outcome regression, or inverse-probability weights.
    base_period : 'universal' or 'varying'
        'universal' compares all periods with the last before support (and anticipation); 'varying' compares
        each period before support with the one before it.
    anticipation : int
        Periods before support in which the outcome may already react, such as a crisis that leads to it.

    Returns
    -------
    Effects
        Rows of scale 'difference' with ``group, period, event_time``, in the panel's unit; and, for
        ``aggregate`` and ``summarise``, the groups' shares, the supported people's events and their
        person-time, all with one joint root.

    Raises
    ------
    DesignError
        If nobody can be compared, an arm is one cluster, or a propensity model has no finite solution.
    DataError
        For an unknown outcome or covariate, or a covariate with missing values.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data.panel import Panel
    >>> frame = pd.DataFrame({"site": [1, 1, 2, 2, 3, 3, 4, 4], "year": [1, 2] * 4,
    ...                       "falls": [3, 1, 4, 3, 2, 2, 3, 4], "start": [2, 2, 2, 2] + [None] * 4})
    >>> panel = Panel.from_long(frame, unit="site", period="year", outcomes=["falls"],
    ...                         first_treated="start")
    >>> effects = callaway_santanna(panel, outcome="falls")
    >>> effects.table[["group", "period", "estimate", "std_error"]].round(4)
       group  period  estimate  std_error
    0      2       2      -2.0        0.5
    """
    names = panel.check_outcomes(outcome)
    check_choice("control", control, ("not_yet_treated", "never_treated"))
    check_choice("method", method, ("dr", "reg", "ipw"))
    check_choice("base_period", base_period, ("universal", "varying"))
    panel, notes = _eligible(panel, names, control, anticipation)
    x, T = covariate_matrix(panel, covariates), len(panel.periods)
    codes, clusters = cluster_codes(panel.cluster)
    plan = _Plan(panel, x, codes, len(clusters), control, base_period, anticipation)
    parts = Parts(clusters, len(names) * (1 + sum(3 if t >= g else 1 for g, t, _ in plan.cells()) + T))
    for name in names:
        notes += _one_outcome(parts, plan, name, method)
    used = [clusters_at_risk(panel, name) for name in names]
    said = {
        "estimator": "callaway_santanna",
        "estimand": "average effect on those supported, by start and period",
        "outcome": names,
        "control": control,
        "family": "linear",
        "period": panel.step,
        "inference": "influence functions summed within clusters, without a small-sample factor (CR0); "
        "t with clusters - 1",
        "covariates": as_list(covariates),
        "anticipation": anticipation,
        "method": method,
        "base_period": base_period,
        "reference": -1 - anticipation,
        "rate_scale": panel.rate_scale,
        "per": panel.per,
        "notes": notes,
    }
    return parts.effects(said, used)


def _eligible(panel: Panel, names: Sequence[str], control: str, anticipation: int) -> tuple[Panel, list[str]]:
    """Return the people who can be compared, sorted by start, and notes on who cannot."""
    if panel.clock != "calendar":
        raise DesignError(
            "callaway_santanna needs clock='calendar': on the event clock everyone starts at 0, and calendar "
            "changes cannot be told from effects. Use two_by_two, or build the panel on the calendar clock."
        )
    if isinstance(anticipation, bool) or not isinstance(anticipation, int) or anticipation < 0:
        raise ParameterError(f"anticipation={anticipation!r}: give a number of periods, 0 or more.")
    panel = weighed(_before_build_up(panel, anticipation), names)
    T = len(panel.periods)
    check_arms(panel, panel.start, total_time(panel, names), 1 + anticipation)
    if control == "never_treated" and not (panel.start >= T).any():
        last = period_name(panel.periods[panel.start.max()])
        raise DesignError(
            f"control='never_treated', but everyone is treated by {last}; use 'not_yet_treated'"
        )
    notes = list(panel.notes)
    early = panel.start <= anticipation
    if early.any():
        notes.append(
            f"Left out: {people(int(early.sum()))} whose support began before there was a base period."
        )
    order = np.argsort(panel.start, kind="stable")
    return panel.subset(order[int(early.sum()) :]), notes


def _before_build_up(panel: Panel, anticipation: int) -> Panel:
    """Leave out the time of controls from when they may react to support that begins after the panel.

    They would bring their own build-up into the comparison, as if it were what happens without support.
    """
    T = len(panel.periods)
    if panel.begins is None or not anticipation:
        return panel
    late = (panel.start >= T)[:, None] & (np.arange(T) >= panel.begins[:, None] - anticipation)
    if not late.any():
        return panel
    return replace(
        panel,
        outcomes={name: np.where(late, 0.0, values) for name, values in panel.outcomes.items()},
        exposure={name: np.where(late, 0.0, values) for name, values in panel.exposure.items()},
    )


@dataclass(frozen=True)
class _Plan:
    """Everything the comparisons share. People are sorted by start; ``x`` is (k, n)."""

    panel: Panel
    x: Array
    codes: NDArray[np.int64]
    clusters: int
    control: str
    base_period: str
    anticipation: int

    def edge(self, start: int) -> int:
        """Position of the first person whose support begins at ``start`` or later."""
        return int(np.searchsorted(self.panel.start, start))

    def cells(self) -> Iterator[tuple[int, int, int]]:
        """Group, period and base period of each comparison."""
        T = len(self.panel.periods)
        for g in np.unique(self.panel.start[: self.edge(T)]).tolist():
            last = g - 1 - self.anticipation
            for t in range(T):
                base = last if self.base_period == "universal" or t > last else t - 1
                if base >= 0 and t != base:
                    yield g, t, base

    def people(self, g: int) -> slice:
        """Return where a group lies among the people."""
        return slice(self.edge(g), self.edge(g + 1))

    def rows(self, g: int, t: int, base: int) -> list[slice]:
        """Return where the group and then its controls lie among the people."""
        T, n = len(self.panel.periods), self.panel.n
        group = self.people(g)
        if self.control == "never_treated":
            return [group, slice(self.edge(T), n)]
        later = self.edge(min(max(t, base) + self.anticipation + 1, T))
        if later <= group.start:
            # Before its own start a group's controls include those who start between then and it.
            return [group, slice(later, group.start), slice(group.stop, n)]
        return [group, slice(later, n)]

    def distinct(self, codes: NDArray[np.int64]) -> int:
        """Return how many clusters these people belong to."""
        if self.clusters == self.panel.n or len(codes) < 2:
            return len(codes)
        return int(np.count_nonzero(np.bincount(codes, minlength=self.clusters)))


def _one_outcome(parts: Parts, plan: _Plan, name: str, method: Score) -> list[str]:
    """Add all estimates of one outcome to ``parts``, and return notes on it."""
    panel, after = plan.panel, np.arange(len(plan.panel.periods)) >= plan.panel.start[:, None]
    notes = check_events(panel, name, after)
    source, cells, lost = _Outcome(plan, name, method), [], []
    for g, comparisons in groupby(plan.cells(), key=lambda cell: cell[0]):
        found = source.group(list(comparisons))
        if any(t >= g for t, *_ in found):
            cells += [(g, t) for t, *_ in found]
        else:
            lost.append(source.shown[g])
            continue
        for t, estimate, psi, counts in found:
            label = source.label("difference", panel.per, g, t)
            label["term"] = f"ATT({source.shown[g]}, {source.shown[t]})"
            parts.add(label, estimate, psi, counts)
    if not cells:
        raise DesignError(
            f"outcome={name!r}: no group can be compared: each has a single cluster at risk, or no controls"
            f" ({', '.join(lost)}). Use longer periods or wider controls."
        )
    time = source.nuisance(parts, cells)
    if lost:
        notes.append(
            f"{name}: left out, for want of controls or of people in more than one cluster: those whose "
            f"support began in {', '.join(lost)}."
        )
    share = time / float((panel.weights[:, None] * panel.exposure[name])[after].sum())
    if share < 0.9995:
        notes.append(f"{name}: the effects cover {share:.1%} of the supported person-time.")
    return notes + source.partial()


class _Outcome:
    """One outcome's arrays, with periods in rows, and its comparisons."""

    def __init__(self, plan: _Plan, name: str, method: Score) -> None:
        panel = plan.panel
        self.plan, self.name, self.method = plan, name, method
        self.events = np.ascontiguousarray(panel.outcomes[name].T)
        self.time = np.ascontiguousarray(panel.exposure[name].T)
        self.rate = np.ascontiguousarray(np.nan_to_num(panel.rate(name)).T)
        self.even = bool((self.time[self.time > 0] == self.time.max()).all())
        self.left: Counter[str] = Counter()
        self.periods = list(panel.periods)
        self.shown = [period_name(p) for p in self.periods]

    def group(self, cells: list[tuple[int, int, int]]) -> list[tuple[int, float, Array, dict[str, int]]]:
        """Return period, estimate, column of the root and counts of each of one group's comparisons."""
        plan, panel, out = self.plan, self.plan.panel, []
        fitted: dict[Any, Comparison] = {}
        coef: Array | None = None
        for g, t, base in cells:
            pieces = plan.rows(g, t, base)
            risk_t, risk_b = _join(self.time[t] > 0, pieces), _join(self.time[base] > 0, pieces)
            both = risk_t & risk_b
            used: Any = slice(None) if both.all() else both
            n1 = int(both[: pieces[0].stop - pieces[0].start].sum())
            codes = _join(plan.codes, pieces)[used]
            self.left["both"] += len(codes)
            self.left["before"] += int(risk_b.sum()) - len(codes)
            self.left["after"] += int(risk_t.sum()) - len(codes)
            if min(plan.distinct(codes[:n1]), plan.distinct(codes[n1:])) < 2:
                continue
            # Where everyone is at risk throughout, comparisons of the same people share one fit.
            key = None if used is both else (*(p.start for p in pieces), None if self.even else base)
            one = fitted.get(key) if key else None
            if one is None:
                x, w = _join(plan.x, pieces), _join(panel.weights * self.time[base], pieces)
                try:
                    one = Comparison(x[:, used], w[used], n1, self.method, coef)
                except DesignError as error:
                    where = f"covariates, in the group that starts in {self.shown[g]}"
                    raise DesignError(f"{where}: {error}") from error
                coef = one.coef
                if key:
                    fitted[key] = one
            change = _join(self.rate[t], pieces) - _join(self.rate[base], pieces)
            estimate, psi = one.effect(change[used])
            counts = {
                "persons": len(codes),
                "treated": n1,
                "clusters": plan.distinct(codes),
                "events": round(float(self.events[t, pieces[0]].sum())),
            }
            out.append((t, estimate, cluster_sums(psi, codes, plan.clusters), counts))
        return out

    def label(self, scale: str, unit: str, g: int | None = None, t: int | None = None) -> dict[str, Any]:
        """Return the label of a row that belongs to a group, or to a group and period."""
        out: dict[str, Any] = {"outcome": self.name, "term": scale, "scale": scale, "unit": unit}
        if g is not None:
            out["group"] = self.periods[g]
        if g is not None and t is not None:
            out |= {"period": self.periods[t], "event_time": t - g}
        return out

    def nuisance(self, parts: Parts, cells: Sequence[tuple[int, int]]) -> float:
        """Add what turns ATT(g, t) into averages: shares, and the supported people's events and time.

        Returns the supported person-time of these cells.
        """
        plan, w = self.plan, self.plan.panel.weights * (self.time > 0).any(0)
        spread = cluster_sums(w, plan.codes, plan.clusters) / w.sum()

        at_risk = w > 0
        everyone = {"persons": int(at_risk.sum()), "treated": 0, "events": 0}
        everyone["clusters"] = plan.distinct(plan.codes[at_risk])

        def add(label: dict[str, Any], where: slice, values: Array) -> float:
            # A total's root is centred by spreading it over all people in proportion to their weights.
            total = float(values.sum())
            root = cluster_sums(values, plan.codes[where], plan.clusters) - total * spread
            parts.add(label, total, root, everyone)
            return total

        time = 0.0
        for g in sorted({g for g, _ in cells}):
            where = plan.people(g)
            add(self.label("share", "share", g), where, w[where] / w.sum())
        for g, t in cells:
            if t >= g:
                where = plan.people(g)
                add(self.label("events", "events", g, t), where, w[where] * self.events[t, where])
                label = self.label("person-months", "person-months", g, t)
                time += add(label, where, w[where] * self.time[t, where])
        return time

    def partial(self) -> list[str]:
        """Say how many comparisons of people lacked one of their two periods."""
        seen = sum(self.left.values())
        if seen == self.left["both"]:
            return []
        return [
            f"{self.name}: of the pairs of a person and a comparison, {self.left['before'] / seen:.1%} were "
            f"at risk in the base period only and {self.left['after'] / seen:.1%} in the other period only; "
            "these say nothing about change and are not in that comparison."
        ]


def _join(values: Any, pieces: Sequence[slice]) -> Any:
    return np.concatenate([values[..., p] for p in pieces], axis=-1)
