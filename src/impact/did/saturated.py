"""Regressions with an effect for each start and period, from which Sun-Abraham and ETWFE are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from impact.data.panel import Panel
from impact.did.cells import Cell, Joint
from impact.did.comparable import Comparable
from impact.did.coverage import WANT, covers, left_out
from impact.did.design import (
    as_list,
    check_choice,
    check_events,
    check_never,
    covariate_matrix,
    period_name,
    staggered,
)
from impact.did.regression import CR1, Clusters, Family, Mask, Sample, Term, linked, observation_weights
from impact.errors import DataError, DesignError
from impact.numbers.within import Within
from impact.results import Effects

Array = NDArray[np.float64]
Control = Literal["not_yet_treated", "never_treated"]
AT_MEAN = "log ratio at cohort mean"
# Of a covariate with variance 1: less than this is rounding.
_NOTHING = 1e-8
_TOO_FEW = "too few events for a Poisson model. Use longer periods, fewer covariates, or family='linear'."


@dataclass(frozen=True)
class Plan:
    """What to do; with ``last`` the last to start may stand in for people who are never treated."""

    estimator: str
    control: Control
    family: Family = "linear"
    effects: Literal["person", "cohort"] = "person"
    covariates: Sequence[str] = ()
    time_varying: Sequence[str] = ()
    anticipation: int = 0
    last: bool = False


def saturated(panel: Panel, names: list[str], plan: Plan) -> Effects:
    """Estimate ATT(g, t), or the events expected without support, by one regression an outcome."""
    check_choice("control", plan.control, ("not_yet_treated", "never_treated"))
    check_choice("family", plan.family, ("linear", "poisson"))
    check_choice("effects", plan.effects, ("person", "cohort"))
    panel, notes = _with_controls(panel, names, plan)
    x, joint = covariate_matrix(panel, plan.covariates).T, Joint(panel)
    z = np.ascontiguousarray(x) if x.shape[1] > 1 else None
    after = np.arange(len(panel.periods)) >= panel.start[:, None]
    for name in names:
        notes += check_events(panel, name, after)
        one = _Regression(joint, name, plan, z)
        factor = one.sample.factor(one.fit)
        joint.add(name, one.cells(), one.influence, family=plan.family, factor=factor)
        notes += one.notes()
    effects = joint.effects(
        {
            "estimator": plan.estimator,
            "estimand": "average effect on those supported, by start and period",
            "outcome": names,
            "control": plan.control,
            "family": plan.family,
            "period": panel.step,
            "effects": plan.effects,
            "inference": CR1,
            "covariates": as_list(plan.covariates),
            "time_varying": as_list(plan.time_varying),
            "anticipation": plan.anticipation,
            "reference": -1 - plan.anticipation if plan.control == "never_treated" else None,
            "notes": notes,
        }
    )
    if plan.family == "poisson" or len(names) > 1:
        return effects
    # The cells, which are coefficients, stand first in the joint vector.
    contrasts = np.zeros((len(one.fit.coef), len(effects)))
    contrasts[list(one.at.values()), np.arange(len(one.at))] = 1.0
    return replace(effects, regression=one.sample.by_cluster(one.fit, joint.codes, contrasts))


def _with_controls(panel: Panel, names: list[str], plan: Plan) -> tuple[Panel, list[str]]:
    """Return the people who can be used, sorted by start, up to when there are no controls any more."""
    panel, notes = staggered(panel, names, estimator=plan.estimator, anticipation=plan.anticipation)
    if not plan.last:
        check_never(panel, plan.control)
    if (panel.start >= len(panel.periods)).any():
        return panel, notes
    first, last = int(panel.start.min()), int(panel.start.max())
    stop = last - plan.anticipation
    shown = period_name(panel.periods[last])
    if stop <= first:
        raise DesignError(
            f"everyone is treated by {shown}, and the last to start would be the only controls, but their "
            "anticipation begins before anyone's support; use a smaller anticipation, or add people without "
            "support."
        )
    notes.append(
        f"Everyone is treated by {shown}: those who start then are the controls, and periods from "
        f"{period_name(panel.periods[stop])} on, in which nobody is without support, are left out."
    )
    late = panel.start >= stop
    begins = np.full(panel.n, stop) if panel.begins is None else panel.begins
    cut = replace(
        panel,
        periods=panel.periods[:stop],
        outcomes={name: values[:, :stop] for name, values in panel.outcomes.items()},
        exposure={name: values[:, :stop] for name, values in panel.exposure.items()},
        start=np.minimum(panel.start, stop),
        begins=np.where(late, panel.start, begins),
        censoring_weights=None if panel.censoring_weights is None else panel.censoring_weights[:, :stop],
    )
    return staggered(cut, names, estimator=plan.estimator, anticipation=plan.anticipation)[0], notes


class _Regression:
    """The regression of one outcome; people are sorted by start.

    ``treated`` (G, T) are the cells with an effect of their own, ``use`` what can be compared, and ``inside``
    what the regression is fitted to. These differ for counts: where nothing happened, a dummy would be minus
    infinity. Such a cell's observations leave the fit, and its expected events are still foretold; where
    nothing happened to a group without support, or to anyone without support in a period, none are expected.
    """

    def __init__(self, joint: Joint, name: str, plan: Plan, z: Array | None) -> None:
        self.joint, self.name, self.plan, self.z = joint, name, plan, z
        self.whole = whole = Sample.of(joint.panel, name, plan.family, joint.panel.start)
        last = -1 - plan.anticipation
        apart = whole.event > last if plan.control == "not_yet_treated" else whole.event != last
        self.treated: Mask = apart & whole.supported
        self.clusters = Clusters(whole, joint.codes, len(joint.clusters))
        self.others = ~whole.supported if plan.control == "never_treated" else np.ones_like(whole.supported)
        few = 1 if z is None else z.shape[1]
        comparable = Comparable(
            whole, joint.codes, len(joint.clusters), self.treated, self.others, plan.effects, few
        )
        self.use = comparable.cells(self.clusters)
        self.inside = self.use if plan.family == "linear" else self._happened(whole)
        self.sample = whole.only(self.inside)
        self.at, terms = self._terms()
        self.fit = self._fitted(terms)
        # How many interactions with covariates there are, and how many there might be.
        kept = np.count_nonzero(np.diag(self.fit.bread)) - len(terms)
        self.interactions = None if z is None else (int(kept), len(terms) * (z.shape[1] - 1))
        self.where = np.argwhere(self.use & self.treated)
        if plan.family == "poisson":
            self.expected, slopes = self._without_support()
        else:
            slopes = np.zeros((len(self.fit.coef), 0))
        # Coefficients that are results themselves: the effects of linear models, and with covariates the
        # logarithm of the ratio at the cohort's mean.
        shown = [] if plan.family == "poisson" and z is None else list(self.at.values())
        self.slopes = np.hstack([slopes, np.eye(len(self.fit.coef))[:, shown]])

    def cells(self) -> list[Cell]:
        """Return the effects, or the expected events and, with covariates, the ratios at the mean."""
        # People who may only show their own level are no controls.
        whole, control = self.whole, self.use & ~self.treated & self.others
        at_risk = whole.sums(whole.time > 0)
        events = whole.sums(self.joint.panel.outcomes[self.name] * self.joint.panel.once[:, None])
        others = np.array([at_risk[here, t].sum() for t, here in enumerate(control.T)])
        controls = self.clusters.by_period(control)
        clusters = controls.sum(0) + [
            (seen & ~controls[names]).sum(0)
            for names, seen in zip(self.clusters.names, self.clusters.seen, strict=True)
        ]
        people = {(g, t): (at_risk[g, t] + others[t], at_risk[g, t]) for g, t in self.where.tolist()}
        if self.joint.panel.reused:
            people = {(g, t): self.joint.people(whole.time[:, t] > 0, g, control[:, t]) for g, t in people}
        counts = {
            (g, t): {
                "persons": int(people[g, t][0]),
                "treated": int(people[g, t][1]),
                "clusters": int(clusters[g, t]),
                "events": round(float(events[g, t])),
            }
            for g, t in self.where.tolist()
        }

        def cell(g: int, t: int, estimate: float, scale: str | None = None) -> Cell:
            return Cell(int(whole.groups[g]), t, float(estimate), counts[g, t], scale)

        coef = self.fit.coef
        if self.plan.family == "linear":
            return [cell(g, t, coef[j]) for (g, t), j in self.at.items()]
        out = [cell(g, t, self.total[g, t]) for g, t in self.where.tolist()]
        if self.z is not None:
            out += [cell(g, t, coef[j], AT_MEAN) for (g, t), j in self.at.items()]
        return out

    def influence(self, rows: slice, by: Array) -> Array:
        """Return the influence of the people in ``rows`` on the cells times ``by``."""
        out = self.fit.influence(rows, self.slopes @ by)
        if self.plan.family == "linear":
            return out
        by = by[: len(self.where)]
        out -= np.multiply.outer(self.joint.spread(self.name)[rows], self.total[tuple(self.where.T)] @ by)
        for g, piece in self.fit.regressors.pieces(rows):
            mine = self.where[:, 0] == g
            own = self.expected[piece][:, self.where[mine, 1]] @ by[mine]
            out[piece.start - rows.start : piece.stop - rows.start] += own
        return out

    def notes(self) -> list[str]:
        """Say whom and what the effects leave out, and where no events were expected."""
        panel, groups, name = self.joint.panel, self.whole.groups, self.name
        T, kept = len(panel.periods), np.asarray((self.use & self.treated).any(1))
        supported = self.whole.supported.ravel()
        lost = groups[supported & ~kept].tolist()
        notes = left_out(panel, name, {WANT: [(g, t) for g in lost for t in range(g, T)]} if lost else {})
        time = self.whole.sums(np.asarray(panel.weights[:, None] * panel.exposure[name]))
        after = self.whole.supported & (self.whole.event >= 0)
        share = float(time[after & self.use].sum() / time[after].sum())
        notes += covers(name, share)
        if self.interactions and (left := 1 - self.interactions[0] / self.interactions[1]):
            notes.append(
                f"{name}: of the covariates' interactions with start and period {left:.1%} are left out, as "
                "too few people or events differ in them."
            )
        base = self.inside & ~self.treated
        quiet, silent = (kept & ~base.any(1)).sum(), (self.use.any(0) & ~base.any(0)).sum()
        if quiet or silent:
            notes.append(
                f"{name}: without support nothing happened to those of {quiet} of {supported.sum()} "
                f"starts, or to anyone in {silent} of {T} periods, so that no events are expected there."
            )
        return notes

    def _happened(self, whole: Sample) -> Mask:
        """Leave out what has no events, or none that link it to the rest: a coefficient would be infinite."""
        events, inside = whole.sums(whole.value * (whole.time > 0)), self.use
        while True:
            base = events * (inside & ~self.treated)
            kept = inside & (base.sum(1) > 0)[:, None] & (base.sum(0) > 0)
            if (kept == inside).all():
                break
            inside = kept
        none = f"outcome={self.name!r}: no events among people without support, or in one cluster; {_TOO_FEW}"
        if not inside.any():
            raise DesignError(none)
        if self.plan.effects == "cohort":
            return np.asarray(inside & ~(self.treated & (events == 0)))
        # Those who show what the supported would have had are seen without support when others have it.
        late = base.astype(bool) & self.others & (self.use & self.treated).any(0)
        seen, sizes = whole.time > 0, np.diff(whole.edges)
        happened = (seen & (whole.value > 0) & np.repeat(base > 0, sizes, axis=0)).any(1)
        shown = happened & (seen & np.repeat(late, sizes, axis=0)).any(1)
        if len(np.unique(self.joint.codes[shown])) < 2:
            raise DesignError(none)
        # Periods without support are one node for all groups; each cell with an effect is its own.
        G, T = inside.shape
        node = np.where(self.treated, T + np.arange(G * T).reshape(G, T), np.arange(T))
        return linked(whole.value, whole.time, np.where(inside, node, -1), whole.edges)

    def _fitted(self, terms: Sequence[Term]) -> Within:
        effects: Literal["person", "none"] = "person" if self.plan.effects == "person" else "none"
        poisson = self.plan.family == "poisson"
        try:
            return self.sample.fit(terms, effects=effects, covariates=self.z, varying=self._varying())
        except DesignError as error:
            raise DesignError(f"outcome={self.name!r}: {error}{' ' + _TOO_FEW if poisson else ''}") from error

    def _terms(self) -> tuple[dict[tuple[int, int], int], list[Term]]:
        """Return the regressors, and which of them is the effect of each cell."""
        base, cells = self.inside & ~self.treated, self.inside & self.treated
        moments, terms, at, k = self._moments(), [], {}, 0
        spread = self.joint.spread(self.name)
        for g, t in np.argwhere(cells).tolist():
            here = np.zeros_like(cells)
            here[g, t] = True
            mean = None
            if self.z is not None:
                members = slice(*self.whole.edges[g : g + 2])
                mean = spread[members] @ self.z[members, 1:] / spread[members].sum()
            terms.append((here, _columns(moments[here].sum(0), mean)))
            at[g, t] = k
            k += terms[-1][1].shape[1]
        self.effects = k
        for t in np.flatnonzero(base.any(0))[1:].tolist():
            here = np.broadcast_to(np.arange(base.shape[1]) == t, base.shape)
            terms.append((here, _columns(moments[base & here].sum(0))))
        if self.plan.effects == "cohort":
            for g in np.flatnonzero(base.any(1)).tolist():
                here = np.broadcast_to((np.arange(len(base)) == g)[:, None], base.shape)
                terms.append((here, _columns(moments[base & here].sum(0))))
        return at, terms

    def _moments(self) -> Array:
        """Second moments of the covariates (with the 1) over each cell's people, (G, T, M, M).

        Counts are weighted by their events: a coefficient by covariates along which those with events do not
        differ is not finite. With person effects it takes people who have other events without support.
        """
        s, z = self.sample, self.z
        w = s.weights[:, None] if s.weights.ndim == 1 else s.weights
        w = w * (s.time > 0)
        if s.family == "poisson":
            w = w * s.value
            if self.plan.effects == "person":
                base = w * np.repeat(~self.treated, np.diff(s.edges), axis=0)
                w = w * (base.sum(1, keepdims=True) > base)
        if z is None:
            return s.sums(w)[:, :, None, None]
        out = np.zeros((*self.inside.shape, z.shape[1], z.shape[1]))
        for g, (low, high) in enumerate(pairwise(s.edges.tolist())):
            x = z[low:high]
            pairs = (x[:, :, None] * x[:, None]).reshape(len(x), -1)
            out[g] = (w[low:high].T @ pairs).reshape(out.shape[1:])
        return out

    def _varying(self) -> Array | None:
        panel, names = self.joint.panel, as_list(self.plan.time_varying)
        if not names:
            return None
        for other in panel.check_outcomes(names):
            missing = int(((self.sample.time > 0) & ~(panel.exposure[other] > 0)).sum())
            if other == self.name or missing:
                raise DataError(
                    f"time_varying: {other!r} "
                    + ("is the outcome itself." if other == self.name else f"is missing in {missing} rows; ")
                    + ("" if other == self.name else "fill them in, or leave these rows out of the data.")
                )
        return np.array([panel.outcomes[other] for other in names])

    def _without_support(self) -> tuple[Array, Array]:
        """Return each person's expected events without support (n, T), and how totals depend on the fit."""
        fit, r, panel = self.fit, self.fit.regressors, self.joint.panel
        w = observation_weights(panel)
        size = (w[:, None] if w.ndim == 1 else w) * panel.exposure[self.name]
        base = self.inside & ~self.treated
        live: Mask = self.use & self.treated & base.any(1, keepdims=True) & base.any(0)
        # Without the effects, which come first among the regressors.
        bare, bare_terms = fit.coef.copy(), r.terms.copy()
        bare[: self.effects] = 0.0
        bare_terms[..., : self.effects] = 0.0
        expected, slopes, periods = (
            np.zeros_like(size),
            np.zeros((*live.shape, len(bare))),
            np.arange(len(live.T)),
        )
        for g, piece in r.pieces(slice(0, len(size))):
            if not live[g].any():
                continue
            mine = size[piece] * np.exp(r.predictor(g, piece, bare)) * live[g]
            expected[piece] = mine = mine * fit.person[piece, None]
            one = np.ones((len(mine), 1)) if self.z is None else self.z[piece]
            own = np.zeros((len(periods), r.m, len(periods)))
            own[periods, :, periods] = mine.T @ one
            slopes[g] += own.reshape(len(periods), -1) @ bare_terms[g]
            if fit.within:
                # A person's factor is their events over what the fit would expect of them with factor 1.
                events = fit.mean[piece].sum(1, keepdims=True)
                share = fit.mean[piece] / np.where(events > 0, events, 1.0)
                slopes[g] -= (mine.T @ r.features(piece, share)) @ r.terms[g]
        self.total = self.whole.sums(expected)
        if len(np.unique(self.joint.codes[expected.any(1)])) < 2:
            raise DesignError(
                f"outcome={self.name!r}: without support nothing happened to those supported, or only in one "
                f"cluster; {_TOO_FEW}"
            )
        return expected, slopes[tuple(self.where.T)].T


def _columns(moments: Array, centre: Array | None = None) -> Array:
    """Return what the covariates are multiplied by in one effect and its interactions with covariates.

    The interactions are with those directions along which people differ (principal components), so that a
    covariate which is constant in a small group takes nothing else with it.
    """
    if not moments[0, 0]:
        return np.eye(len(moments), 1)
    mean = moments[0, 1:] / moments[0, 0]
    values, vectors = np.linalg.eigh(moments[1:, 1:] / moments[0, 0] - np.outer(mean, mean))
    basis = vectors[:, values > _NOTHING]
    out = np.zeros((len(moments), 1 + basis.shape[1]))
    out[0, 0], out[1:, 1:] = 1.0, basis
    if centre is not None:
        out[0, 1:] = -centre @ basis
    return out
