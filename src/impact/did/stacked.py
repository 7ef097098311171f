"""One comparison for each start, with people who stay without support throughout it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from impact.data.panel import Panel
from impact.did.cells import Cell, Joint
from impact.did.coverage import coverage, left_out
from impact.did.design import (
    check_choice,
    check_counts,
    check_events,
    clusters_at_risk,
    covariate_matrix,
    staggered,
)
from impact.did.experiments import Experiment, Window, check_happened, described, experiments
from impact.did.regression import Family, by_cluster, linked
from impact.errors import DesignError
from impact.numbers.inference import cr1
from impact.numbers.within import Within, fixed_effects
from impact.results import Effects

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def stacked(
    panel: Panel,
    *,
    outcome: str | Sequence[str],
    family: Family = "poisson",
    covariates: Sequence[str] = (),
    before: int = 12,
    after: int = 12,
    anticipation: int = 0,
) -> Effects:
    """Compare each start with people who stay without support for the whole of its window.

    For each start there is one sub-experiment: its people and, as controls, those whose support (and the
    anticipation of it) begins after the window, if at all. It is a regression with an effect for each person,
    each period, and each supported period (Cengiz et al. 2019), by itself; what is averaged afterwards is
    weighted by the supported people, so no weight is negative (Wing, Freedman and Hollingsworth 2024).

    Parameters
    ----------
    panel : Panel
        On the calendar clock; people may enter and leave.
    outcome : str or sequence of str
        Several outcomes give one joint result.
    family : 'poisson' or 'linear'
        Counts with the logarithm of time at risk as offset; or rates, with one weight a person and
        sub-experiment: mean time at risk in a period times the panel's weight.
    covariates : sequence of str
        Measured before support: numbers, or categories. Each enters with an effect for each period.
    before, after : int
        Periods of the window before the start, and from it on; the window is cut to the panel.
    anticipation : int
        Periods before support in which the outcome may already react; they are estimated as effects.

    Returns
    -------
    Effects
        Linear: rows of scale 'difference' by ``group, period, event_time``. Poisson: rows of scale 'log
        ratio', observed over expected events. With both the hidden rows that ``aggregate`` and ``summarise``
        need, all with one joint root.

    Raises
    ------
    DesignError
        On the event clock, or if no start has controls through its window.
    ParameterError
        For a window without a period before the anticipation.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data.panel import Panel
    >>> frame = pd.DataFrame({"site": [1, 1, 2, 2, 3, 3, 4, 4], "year": [1, 2] * 4,
    ...                       "falls": [4, 2, 6, 4, 5, 5, 3, 4], "start": [2, 2, 2, 2] + [None] * 4})
    >>> panel = Panel.from_long(frame, unit="site", period="year", outcomes=["falls"],
    ...                         first_treated="start")
    >>> stacked(panel, outcome="falls").table[["group", "period", "scale", "estimate"]].round(4)
       group  period      scale  estimate
    0      2       2  log ratio   -0.6286
    """
    names = panel.check_outcomes(outcome)
    panel, notes = staggered(panel, names, estimator="stacked", anticipation=anticipation)
    check_choice("family", family, ("linear", "poisson"))
    window, joint = Window(before, after, anticipation), Joint(panel)
    z = covariate_matrix(panel, covariates).T
    supported = np.arange(len(panel.periods)) >= panel.start[:, None]
    for name in names:
        notes += check_events(panel, name, supported)
        stack = _Stack(joint, name, family, window, z)
        joint.add(name, stack.cells, stack.influence, family=family, factor=stack.factor)
        notes += stack.notes()
    said = described(names, family, window, covariates, notes)
    return joint.effects(said | {"period": panel.step})


class _Comparison:
    """The regression of one sub-experiment: its effects and what the influence of people on them needs."""

    def __init__(self, joint: Joint, name: str, family: Family, e: Experiment, z: Array) -> None:
        panel, late, self.experiment = joint.panel, e.late, e
        y, time, weights = e.arrays(panel, name, family)
        n1, seen = e.edges[1], time > 0
        alive = np.add.reduceat(y if family == "poisson" else seen, e.edges[:-1], axis=0) > 0
        # A period in which the controls show nothing says nothing of the supported; one before support in
        # which nothing happened at all says nothing of anyone.
        kept = np.where(late, alive[1], alive.any(0))
        if not (kept & ~late & alive[0]).any() or not (late & kept).any():
            raise DesignError("too little happened before support, or to the controls after it")
        effect, used = late & kept & alive[0], time * kept
        if family == "poisson":
            node = np.where(kept, np.arange(len(kept)), -1) + np.zeros((2, 1), int)
            node[0, late] = np.where(effect, len(kept) + np.arange(len(kept)), -1)[late]
            link = linked(y, used, node, e.edges)
            kept, effect = np.where(late, link[1], link.any(0)), effect & link[0]
            if not (kept & ~late & link[0]).any() or not (late & kept).any():
                raise DesignError("too few events link the time before support to the time after it")
            used *= kept
        # Where none of the supported has an event their ratio is zero, its logarithm has no value, and
        # the regression is of everything else.
        used[:n1, late & ~effect] = 0
        z = z[e.rows]
        design = _design(kept, effect, z.shape[1])
        fit = fixed_effects(
            y, used, family=family, weights=weights, design=design, edges=e.edges, covariates=z
        )
        self.rows, self.parameters, self.own = int((used > 0).sum()), len(fit.coef), None
        # A cell of one cluster would be its own measure of error; who was not seen before says nothing.
        _, hit = by_cluster(joint.codes[e.treated], seen[:n1] & seen[:n1, ~late].any(1, keepdims=True))
        at = late & kept & (hit.sum(0) > 1)
        if not at.any():
            raise DesignError("no period with support has people at risk before it in more than one cluster")
        if family == "linear":
            shown = np.flatnonzero(at[effect])
            self.estimate, self.by = fit.coef[shown], np.eye(len(fit.coef))[:, shown]
        else:
            self.own, self.by = _expected(fit, (weights * time)[:n1], z[:n1], at)
            self.estimate = self.own.sum(0)
        self.fit = replace(fit, mean=np.empty(0))
        self.periods, self.treated, self.persons = (
            e.periods[at],
            seen[:n1, at].sum(0),
            panel.persons(e.rows[seen.any(1)]),
        )
        self.events = panel.outcomes[name][e.treated][:, self.periods].sum(0)

    def influence(self, rows: slice, by: Array, out: Array) -> None:
        """Add the influence of the people in ``rows`` on the effects times ``by``."""
        e, of_fit = self.experiment, self.by @ by
        for piece, first in zip((e.treated, e.control), e.edges, strict=False):
            low, high = max(rows.start, piece.start), min(rows.stop, piece.stop)
            if low >= high:
                continue
            part, low, high = out[low - rows.start : high - rows.start], low - piece.start, high - piece.start
            part += self.fit.influence(slice(first + low, first + high), of_fit)
            if self.own is not None and first == 0:
                part += self.own[low:high] @ by


def _design(kept: Mask, effect: Mask, m: int) -> Array:
    """Regressors (sides, covariates, periods, k) of supported and controls: effects, then periods."""
    eye, k = np.eye(len(kept)), int(effect.sum())
    of_periods = eye[:, np.flatnonzero(kept)[1:]]
    design = np.zeros((2, m, len(kept), k + m * of_periods.shape[1]))
    design[0, 0, :, :k] = eye[:, effect]
    for j, columns in enumerate(np.split(np.arange(k, design.shape[3]), m)):
        design[:, j, :, columns] = of_periods.T[:, None]
    return design


def _expected(fit: Within, time: Array, z: Array, at: Mask) -> tuple[Array, Array]:
    """Events expected without support, (treated, cells), and the derivatives of their sums, (k, cells)."""
    with_support, without = (term.reshape(z.shape[1], len(at), -1) for term in fit.regressors.terms)
    own = (time * fit.person[: len(z), None] * np.exp(z @ (without @ fit.coef)))[:, at]
    total = fit.mean[: len(z)].sum(1, keepdims=True)
    share = fit.mean[: len(z)] / np.where(total > 0, total, 1.0)
    # A period's effect moves what is expected in it, and every effect moves each person's own level.
    slope = np.zeros((own.shape[1], len(fit.coef)))
    for j, here in enumerate(z.T):
        weighted = own * here[:, None]
        slope += weighted.sum(0)[:, None] * without[j][at] - weighted.T @ share @ with_support[j]
    return own, slope.T


class _Stack:
    """All sub-experiments of one outcome."""

    def __init__(self, joint: Joint, name: str, family: Family, window: Window, z: Array) -> None:
        self.joint, self.name, self.family = joint, name, family
        if family == "poisson":
            check_counts(joint.panel, name)
        self.found: list[_Comparison] = []
        self.cells: list[Cell] = []
        self.lost: dict[str, list[tuple[int, int]]] = {}
        for e in experiments(joint, window):
            try:
                clusters = e.clusters(joint, name)
                one = _Comparison(joint, name, family, e, z)
            except DesignError as error:
                after = [(e.group, int(t)) for t in e.periods if t >= e.group]
                self.lost.setdefault(f"as {error}", []).extend(after)
                continue
            self.found.append(one)
            for t, estimate, treated, events in zip(
                one.periods, one.estimate, one.treated, one.events, strict=True
            ):
                counts = {"persons": one.persons, "treated": int(treated), "events": round(float(events))}
                self.cells.append(Cell(e.group, int(t), float(estimate), counts | {"clusters": clusters}))
        if not any(c.period >= c.group for c in self.cells):
            raise DesignError(
                f"outcome={name!r}: no start can be compared: {'; '.join(self.lost)}. Use a shorter window, "
                "longer periods or wider controls."
            )
        if family == "poisson":
            check_happened(joint, name, [c.experiment for c in self.found])
        parameters, rows = 1 + sum(c.parameters for c in self.found), sum(c.rows for c in self.found)
        self.factor = cr1(clusters_at_risk(joint.panel, name), rows, parameters)
        self.expected = np.array([c.estimate for c in self.cells]) * (family == "poisson")

    def influence(self, rows: slice, by: Array) -> Array:
        """Return the influence of the people in ``rows`` on the cells times ``by``."""
        out, first = np.zeros((rows.stop - rows.start, by.shape[1])), 0
        if self.family == "poisson":
            out -= np.multiply.outer(self.joint.spread(self.name)[rows], self.expected @ by)
        for one in self.found:
            last = first + len(one.estimate)
            one.influence(rows, by[first:last], out)
            first = last
        return out

    def notes(self) -> list[str]:
        """Say which starts and how much of the supported time the effects leave out."""
        panel, name = self.joint.panel, self.name
        return left_out(panel, name, self.lost) + coverage(panel, name, self.cells)
