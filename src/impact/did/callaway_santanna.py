"""Group-time average treatment effects (Callaway and Sant'Anna 2021) on rates, for panels with holes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from impact.data.panel import Panel
from impact.did.cells import Cell, Joint
from impact.did.comparison import Comparisons, Index, Pairs, People, Score, which_start
from impact.did.coverage import WANT, covers, left_out, roughly
from impact.did.design import (
    as_list,
    check_choice,
    check_events,
    check_never,
    covariate_matrix,
    staggered,
)
from impact.errors import DesignError
from impact.results import Effects

Array = NDArray[np.float64]
_COUNTS = ("persons", "treated", "clusters", "events")


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
    panel, notes = staggered(panel, names, estimator="callaway_santanna", anticipation=anticipation)
    check_never(panel, control)
    joint, x = Joint(panel), covariate_matrix(panel, covariates)
    plan = _plan(joint, control, base_period, anticipation)
    for name in names:
        notes += _one_outcome(joint, name, x, method, plan)
    return joint.effects(
        {
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
            "notes": notes,
        }
    )


class _Plan(NamedTuple):
    """All comparisons: the group's rank among the starts, its periods, and which starts are controls."""

    own: Index
    t: Index
    base: Index
    controls: NDArray[np.bool_]

    def only(self, kept: NDArray[np.bool_]) -> _Plan:
        """Keep some of the comparisons."""
        return _Plan(self.own[kept], self.t[kept], self.base[kept], self.controls[kept])


def _plan(joint: Joint, control: str, base_period: str, anticipation: int) -> _Plan:
    starts, T = np.array(list(joint.members)), len(joint.panel.periods)
    cells = []
    for h, g in enumerate(starts[starts < T].tolist()):
        last = g - 1 - anticipation
        for t in range(T):
            base = last if base_period == "universal" or t > last else t - 1
            if base >= 0 and t != base:
                cells.append((h, t, base))
    own, other, before = np.array(cells, int).reshape(-1, 3).T
    # Before its own start a group's controls include those who start between then and it.
    late = np.minimum(np.maximum(other, before) + anticipation + 1, T)
    if control == "never_treated":
        late[:] = T
    return _Plan(own, other, before, (starts >= late[:, None]) & (starts != starts[own][:, None]))


def _one_outcome(joint: Joint, name: str, x: Array, method: Score, plan: _Plan) -> list[str]:
    """Add all estimates of one outcome to ``joint``, and return notes on it."""
    panel, starts = joint.panel, np.array(list(joint.members))
    notes = check_events(panel, name, np.arange(len(panel.periods)) >= panel.start[:, None])
    risk, many = _AtRisk(joint, name), int(plan.own.max()) + 1
    clusters = risk.clusters(plan)
    found = clusters[:2].min(0) >= 2
    some = np.unique(plan.own[found & (plan.t >= starts[plan.own])])
    T = len(panel.periods)
    lost = [(g, t) for h, g in enumerate(starts[:many].tolist()) if h not in some for t in range(g, T)]
    if not len(some):
        raise DesignError(
            f"outcome={name!r}: no group can be compared: each has a single cluster at risk, or no "
            "controls. Use longer periods or wider controls."
        )
    found &= np.isin(plan.own, some)
    kept = plan.only(found)
    treated, controls = risk.both(kept)
    for h in kept.own[controls <= len(x)]:
        raise DesignError(
            f"covariates, {which_start(h, many)}: there are no more controls than covariates and levels; use "
            "fewer covariates."
        )
    fits = Comparisons(*_arrays(joint, name, x, risk.seen, kept), method)
    once = panel.once.astype(float)
    events = np.array([once[m] @ panel.outcomes[name][m] for m in joint.members.values()])
    persons = treated + controls
    if panel.reused:
        persons, treated = risk.people(kept)
    counts = np.column_stack([persons, treated, clusters[2, found], events[kept.own, kept.t]])
    cells = [
        Cell(int(starts[h]), int(t), float(estimate), dict(zip(_COUNTS, map(round, count), strict=True)))
        for h, t, estimate, count in zip(kept.own, kept.t, fits.estimate, counts.tolist(), strict=True)
    ]
    joint.add(name, cells, fits.influence)
    notes += left_out(panel, name, {WANT: lost} if lost else {})
    time = np.array([panel.weights[m] @ panel.exposure[name][m] for m in joint.members.values()])
    supported = np.arange(time.shape[1]) >= starts[:, None]
    covered = np.zeros_like(supported)
    covered[kept.own, kept.t] = True
    share = time[covered & supported].sum() / time[supported].sum()
    return notes + covers(name, share) + risk.partial(name, plan)


def _arrays(joint: Joint, name: str, x: Array, seen: Array | None, plan: _Plan) -> tuple[People, Pairs]:
    """Lay out one outcome with people in columns, and say which rows weigh each comparison.

    The weight of a person is the time at risk in the base period, if at risk in the other as well, times the
    weight against loss until the later of the two: who is seen in both stands for those lost by then.
    """
    panel, T = joint.panel, len(joint.panel.periods)
    time, rate = (np.ascontiguousarray(of[name].T) for of in (panel.exposure, panel.outcomes))
    np.divide(rate, time, out=rate, where=time > 0)
    rate *= panel.rate_scale if seen is None else panel.rate_scale * seen
    even = seen is None and panel.censoring_weights is None and time.min() == time.max()
    weight = panel.weights * (time[:1] if even else time)
    base, other = 0 * plan.base if even else plan.base, plan.t
    if panel.censoring_weights is not None:
        remain = panel.censoring_weights.T
        at_risk = np.ones_like(time) if seen is None else seen
        weight, seen = np.vstack([weight, weight * remain]), np.vstack([at_risk, at_risk * remain])
        after = plan.t > plan.base
        base, other = base + T * ~after, other + T * after
    edges = np.array([*(m.start for m in joint.members.values()), panel.n])
    pairs = Pairs(plan.own, plan.t, plan.base, base, other, plan.controls)
    return People(x, rate, weight, seen, edges), pairs


class _AtRisk:
    """Who is at risk for one outcome; ``seen (T, n)`` is 1 where they are, and missing if all always are."""

    def __init__(self, joint: Joint, name: str) -> None:
        self.joint, time = joint, joint.panel.exposure[name]
        self.members, T = list(joint.members.values()), time.shape[1]
        self.seen = None if (time > 0).all() else np.ascontiguousarray((time > 0).T.astype(float))
        self.together = np.array(
            [
                np.full((T, T), float(m.stop - m.start))
                if self.seen is None
                else self.seen[:, m] @ self.seen[:, m].T
                for m in self.members
            ]
        )

    def both(self, plan: _Plan) -> tuple[Array, Array]:
        """Count the treated and the controls who are at risk in both periods of each comparison."""
        return self._count(self.together[:, plan.base, plan.t].T, plan)

    def people(self, plan: _Plan) -> Array:
        """Count everyone and the treated as in ``both``, those with several rows once, (2, comparisons)."""
        seen = np.ones((self.together.shape[1], self.joint.panel.n)) if self.seen is None else self.seen
        both = [
            self.joint.people(seen[t] * seen[base] > 0, h, near)
            for h, t, base, near in zip(*plan, strict=True)
        ]
        return np.array(both, float).T

    def clusters(self, plan: _Plan) -> Array:
        """Count the clusters of the treated, of the controls and of both, (3, comparisons)."""
        if len(self.joint.clusters) == self.joint.panel.n:
            treated, controls = self.both(plan)
            return np.array([treated, controls, treated + controls])
        always = [self._hit(h, 0, 0) for h in range(len(self.members))] if self.seen is None else []
        out = []
        for h, t, base, near in zip(*plan, strict=True):
            hits = [always[i] if always else self._hit(i, t, base) for i in (h, *np.flatnonzero(near))]
            controls = np.any([*hits[1:], np.zeros_like(hits[0])], axis=0)
            out.append([np.count_nonzero(who) for who in (hits[0], controls, hits[0] | controls)])
        return np.array(out).T

    def partial(self, name: str, plan: _Plan) -> list[str]:
        """Say how many comparisons of people lacked one of their two periods."""
        if self.seen is None:
            return []
        both = sum(part.sum() for part in self.both(plan))
        alone = np.diagonal(self.together, axis1=1, axis2=2)
        before, after = (
            sum(part.sum() for part in self._count(alone[:, of].T, plan)) - both for of in (plan.base, plan.t)
        )
        seen = both + before + after
        if seen == both:
            return []
        return [
            f"{name}: of the pairs of a person and a comparison, {roughly(before / seen)} "
            f"were at risk in the base period only and {roughly(after / seen)} in the other period only; "
            "these say nothing about change and are not in that comparison."
        ]

    def _hit(self, h: int, t: int, base: int) -> NDArray[np.bool_]:
        """Say which clusters have someone of this start at risk in both periods."""
        m = self.members[h]
        seen = np.ones(m.stop - m.start) if self.seen is None else self.seen[t, m] * self.seen[base, m]
        return self.joint.hit(m, seen > 0)

    @staticmethod
    def _count(people: Array, plan: _Plan) -> tuple[Array, Array]:
        return people[np.arange(len(people)), plan.own], (people * plan.controls).sum(1)
