"""Group-time average treatment effects (Callaway and Sant'Anna 2021) on rates, for panels with holes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
        anticipation), and people never supported within the panel.
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
    x = covariate_matrix(panel, covariates)
    codes, clusters = cluster_codes(panel.cluster)
    plan = _Plan(panel, x, codes, len(clusters), control, base_period, anticipation)
    parts = Parts()
    for name in names:
        notes += _one_outcome(parts, plan, name, method)
    used = [clusters_at_risk(panel, name) for name in names]
    said = {
        "estimator": "callaway_santanna",
        "estimand": "average effect on those supported, by start and period",
        "outcome": names,
        "control": control,
        "family": "linear",
        "inference": "influence functions summed within clusters, without a small-sample factor (CR0); "
        "t with clusters - 1",
        "covariates": as_list(covariates),
        "anticipation": anticipation,
        "method": method,
        "base_period": base_period,
        "reference": -1 - anticipation,
        "rate_scale": panel.rate_scale,
        "notes": notes,
    }
    return parts.effects(clusters, said, used)


def _eligible(panel: Panel, names: Sequence[str], control: str, anticipation: int) -> tuple[Panel, list[str]]:
    """Return the people who can be compared, sorted by start, and notes on who cannot."""
    if panel.clock != "calendar":
        raise DesignError(
            "callaway_santanna needs clock='calendar': on the event clock everyone starts at 0, and calendar "
            "changes cannot be told from effects. Use two_by_two, or build the panel on the calendar clock."
        )
    if isinstance(anticipation, bool) or not isinstance(anticipation, int) or anticipation < 0:
        raise ParameterError(f"anticipation={anticipation!r}: give a number of periods, 0 or more.")
    panel = weighed(panel, names)
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

    def rows(self, g: int, t: int, base: int) -> list[slice]:
        """Return where the group and then its controls lie among the people."""
        T, n = len(self.panel.periods), self.panel.n
        group = slice(self.edge(g), self.edge(g + 1))
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


@dataclass(frozen=True)
class _Cell:
    group: int
    period: int
    estimate: float
    time: float
    root: Array
    counts: dict[str, int]


def _one_outcome(parts: Parts, plan: _Plan, name: str, method: Score) -> list[str]:
    """Add all estimates of one outcome to ``parts``, and return notes on it."""
    panel, T = plan.panel, len(plan.panel.periods)
    after = np.arange(T) >= panel.start[:, None]
    notes = check_events(panel, name, after)
    left: Counter[str] = Counter()
    cells = list(_cells(plan, name, method, left))
    groups = sorted({c.group for c in cells if c.period >= c.group})
    lost = sorted({g for g, _, _ in plan.cells()} - set(groups))
    if not groups:
        raise DesignError(
            f"outcome={name!r}: no group can be compared: each has a single cluster at risk, or no controls"
            f" ({', '.join(period_name(panel.periods[g]) for g in lost)}). Use longer periods or wider"
            " controls."
        )
    for c in cells:
        if c.group in groups:
            g, t = panel.periods[c.group], panel.periods[c.period]
            label = {
                "outcome": name,
                "term": f"ATT({period_name(g)}, {period_name(t)})",
                "scale": "difference",
                "unit": panel.per,
                "group": g,
                "period": t,
                "event_time": c.period - c.group,
            }
            parts.add(label, c.estimate, c.root, c.counts)
    _nuisance(parts, plan, name, [c for c in cells if c.group in groups])
    if lost:
        notes.append(
            f"{name}: left out, for want of controls or of people in more than one cluster: those whose "
            f"support began in {', '.join(period_name(panel.periods[g]) for g in lost)}."
        )
    told = sum(c.time for c in cells if c.group in groups and c.period >= c.group)
    share = told / float((panel.weights[:, None] * panel.exposure[name])[after].sum())
    if share < 0.9995:
        notes.append(f"{name}: the effects cover {share:.1%} of the supported person-time.")
    seen = left["both"] + left["before"] + left["after"]
    if seen > left["both"]:
        notes.append(
            f"{name}: of the pairs of a person and a comparison, {left['before'] / seen:.1%} were at risk in "
            f"the base period only and {left['after'] / seen:.1%} in the other period only; these say "
            "nothing about change and are not in that comparison."
        )
    return notes


def _cells(plan: _Plan, name: str, method: Score, left: Counter[str]) -> Iterator[_Cell]:
    panel = plan.panel
    events = np.ascontiguousarray(panel.outcomes[name].T)
    time = np.ascontiguousarray(panel.exposure[name].T)
    rate = np.ascontiguousarray(np.nan_to_num(panel.rate(name)).T)
    even = bool((time[time > 0] == time.max()).all())
    kept: dict[Any, Comparison] = {}
    coef: Array | None = None
    for g, t, base in plan.cells():
        pieces = plan.rows(g, t, base)
        key = (g, *(p.start for p in pieces), None if even else base)
        risk_t, risk_b = _join(time[t] > 0, pieces), _join(time[base] > 0, pieces)
        both = risk_t & risk_b
        n1 = int(both[: pieces[0].stop - pieces[0].start].sum())
        full = bool(both.all())
        codes = _join(plan.codes, pieces)
        codes = codes if full else codes[both]
        treated, controls = plan.distinct(codes[:n1]), plan.distinct(codes[n1:])
        left["both"] += len(codes)
        left["before"] += int(risk_b.sum()) - len(codes)
        left["after"] += int(risk_t.sum()) - len(codes)
        if min(treated, controls) < 2:
            continue
        one = kept.get(key) if full else None
        if one is None:
            x, w = _join(plan.x, pieces), _join(panel.weights * time[base], pieces)
            x, w = (x, w) if full else (x[:, both], w[both])
            if key[0] not in {k[0] for k in kept}:
                kept.clear()
                coef = None
            try:
                one = Comparison(x, w, n1, method, coef)
            except DesignError as error:
                raise DesignError(
                    f"covariates, in the group that starts in {period_name(panel.periods[g])}: {error}"
                ) from error
            coef = one.coef
            if full:
                kept[key] = one
        change = _join(rate[t], pieces) - _join(rate[base], pieces)
        estimate, psi = one.effect(change if full else change[both])
        counts = {
            "persons": len(codes),
            "treated": n1,
            "clusters": plan.distinct(codes),
            "events": round(float(events[t, pieces[0]].sum())),
        }
        supported = float(panel.weights[pieces[0]] @ time[t, pieces[0]])
        yield _Cell(g, t, estimate, supported, cluster_sums(psi, codes, plan.clusters), counts)


def _join(values: Any, pieces: Sequence[slice]) -> Any:
    return np.concatenate([values[..., p] for p in pieces], axis=-1)


def _nuisance(parts: Parts, plan: _Plan, name: str, cells: Sequence[_Cell]) -> None:
    """Add what turns ATT(g, t) into averages: shares of groups, and supported people's events and time."""
    panel, codes, m = plan.panel, plan.codes, plan.clusters
    time, w = panel.exposure[name], panel.weights
    w = w * (time > 0).any(1)
    spread = np.bincount(codes, weights=w, minlength=m) / w.sum()
    after = [c for c in cells if c.period >= c.group]
    events = np.zeros(panel.n)

    def add(scale: str, where: slice, values: Array, label: dict[str, Any]) -> None:
        # A total's root is centred by spreading it over all people in proportion to their weights.
        total = values.sum()
        root = np.bincount(codes[where], weights=values, minlength=m) - total * spread
        counts = dict.fromkeys(("persons", "treated", "clusters", "events"), 0)
        parts.add(
            {"outcome": name, "term": scale, "scale": scale, "unit": scale, **label}, total, root, counts
        )

    for g in sorted({c.group for c in cells}):
        where = slice(plan.edge(g), plan.edge(g + 1))
        add("share", where, w[where] / w.sum(), {"group": panel.periods[g]})
    for c in after:
        where = slice(plan.edge(c.group), plan.edge(c.group + 1))
        events[where] += w[where] * panel.outcomes[name][where, c.period]
        label = {"group": panel.periods[c.group], "period": panel.periods[c.period]}
        label["event_time"] = c.period - c.group
        add("person-months", where, w[where] * time[where, c.period], label)
    add("events", slice(0, panel.n), events, {})
