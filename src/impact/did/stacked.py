"""One comparison for each start, with people who stay without support throughout it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

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
from impact.did.experiments import (
    Experiment,
    Window,
    check_happened,
    comparable,
    described,
    event_times,
    experiments,
    lined_up,
    none_compared,
)
from impact.did.regression import Family, by_cluster, linked
from impact.errors import DesignError, ParameterError
from impact.numbers.inference import cr1
from impact.numbers.within import Within, fixed_effects
from impact.results import Effects

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Course = Literal["by_start", "shared"]


def stacked(
    panel: Panel,
    *,
    outcome: str | Sequence[str],
    family: Family = "poisson",
    covariates: Sequence[str] = (),
    before: int = 12,
    after: int = 12,
    anticipation: int = 0,
    course: Course | None = None,
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

    course : 'by_start' or 'shared', optional
        Of counts: how they go without support. 'by_start': as those of the controls of each start, period
        by period (linear models always). 'shared': by the time from a start, alike for all starts, whose
        controls weigh as much as its supported. Without it, 'shared' for counts of matched people
        (``match.onto``): the few controls of one start may have no event in a period, and to leave out what
        has none takes events for likelier than they are.

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
    window, shared = Window(before, after, anticipation), _shared(panel, family, course)
    whole, panel = panel, _seen_before(panel, names, window) if shared else panel
    joint, z = Joint(panel), covariate_matrix(panel, covariates).T
    supported = np.arange(len(panel.periods)) >= panel.start[:, None]
    for name in names:
        notes += check_events(panel, name, supported)
        stack = _Shared(joint, name, window, z) if shared else _Stack(joint, name, family, window, z)
        joint.add(name, stack.cells, stack.influence, family=family, factor=stack.factor)
        notes += left_out(panel, name, stack.lost) + coverage(panel, name, stack.cells, of=whole)
    said = described(names, family, window, covariates, notes)
    if shared:
        said["effects"] = "person of each sub-experiment, and time from its start, shared by all"
    return joint.effects(said | {"period": panel.step})


def _shared(panel: Panel, family: Family, course: Course | None) -> bool:
    """Whether all starts share one course over event time."""
    if course is None:
        return family == "poisson" and panel.experiment is not None
    check_choice("course", course, get_args(Course))
    if course == "shared" and family == "linear":
        raise ParameterError(
            "course='shared': linear models need no events to compare a start with its controls; leave it "
            "out, or use family='poisson'."
        )
    return course == "shared"


def _seen_before(panel: Panel, names: Sequence[str], window: Window) -> Panel:
    """Leave out the supported time of those never at risk in their window before it: it shows no change."""
    event = np.arange(len(panel.periods)) - panel.start[:, None]
    early = (event >= -window.before) & (event < -window.anticipation)
    late = (event >= -window.anticipation) & (panel.start < len(panel.periods))[:, None]
    outcomes, exposure = dict(panel.outcomes), dict(panel.exposure)
    for name in names:
        gone = late & ~((exposure[name] > 0) & early).any(1, keepdims=True)
        for values in (outcomes, exposure):
            values[name] = np.where(gone, 0.0, values[name])
    return replace(panel, outcomes=outcomes, exposure=exposure)


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
            self.own, self.by = _expected(fit, slice(0, n1), (weights * time)[:n1, at], z[:n1], at)
            self.estimate = self.own.sum(0)
        self.fit = replace(fit, mean=np.empty(0))
        self.periods, self.persons = e.periods[at], panel.persons(e.rows[seen.any(1)])

    def influence(self, rows: slice, by: Array, out: Array) -> None:
        """Add the influence of the people in ``rows`` on the effects times ``by``."""
        of_fit = self.by @ by
        for there, here in self.experiment.within(rows):
            out[there] += self.fit.influence(here, of_fit)
            if self.own is not None and here.stop <= len(self.own):
                out[there] += self.own[here] @ by


def _design(kept: Mask, effect: Mask, m: int) -> Array:
    """Regressors (sides, covariates, periods, k) of supported and controls: effects, then periods."""
    eye, k = np.eye(len(kept)), int(effect.sum())
    of_periods = eye[:, np.flatnonzero(kept)[1:]]
    design = np.zeros((2, m, len(kept), k + m * of_periods.shape[1]))
    design[0, 0, :, :k] = eye[:, effect]
    for j, columns in enumerate(np.split(np.arange(k, design.shape[3]), m)):
        design[:, j, :, columns] = of_periods.T[:, None]
    return design


def _expected(fit: Within, rows: slice, time: Array, z: Array, at: Mask) -> tuple[Array, Array]:
    """Events expected without support, (treated, cells), and the derivatives of their sums, (k, cells).

    The last group of the regression tells what goes without support.
    """
    terms = fit.regressors.terms
    with_support, without = (terms[g].reshape(z.shape[1], len(at), -1) for g in (0, -1))
    own = time * fit.person[rows, None] * np.exp(z @ (without @ fit.coef))[:, at]
    total = fit.mean[rows].sum(1, keepdims=True)
    share = fit.mean[rows] / np.where(total > 0, total, 1.0)
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
                self.lost.setdefault(f"as {error}", []).extend(e.after)
                continue
            self.found.append(one)
            everyone = {"persons": one.persons, "clusters": clusters}
            self.cells += _cells(joint.panel, name, e, one.periods, one.estimate, everyone)
        if not any(c.period >= c.group for c in self.cells):
            raise none_compared(name, self.lost)
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


def _cells(
    panel: Panel,
    name: str,
    e: Experiment,
    periods: NDArray[np.int64],
    estimate: Array,
    everyone: dict[str, int],
) -> list[Cell]:
    """Return the cells of one start; ``everyone`` counts the people and clusters it is compared in."""
    mine = np.r_[e.treated][panel.once[e.treated]]
    treated = (panel.exposure[name][mine][:, periods] > 0).sum(0)
    events = panel.outcomes[name][mine][:, periods].sum(0)
    return [
        Cell(e.group, int(t), float(m), everyone | {"treated": int(n), "events": round(float(y))})
        for t, m, n, y in zip(periods, estimate, treated, events, strict=True)
    ]


class _Shared:
    """All sub-experiments of one outcome, in one regression of what is without support, over event time.

    Each of the supported is expected to go on from their own events before support as all controls do over
    the time from their start. A start, or a time, without an event has none to expect, and stays in.
    """

    def __init__(self, joint: Joint, name: str, window: Window, z: Array) -> None:
        panel, self.joint, self.name = joint.panel, joint, name
        check_counts(panel, name)
        self.used, self.lost = comparable(joint, name, window)
        check_happened(joint, name, self.used)
        times = event_times(panel, window)
        late = times >= -window.anticipation
        self.edges, y, time, weights = lined_up(panel, name, "poisson", self.used, times)
        without, sides = time.copy(), [slice(*self.edges[j : j + 2]) for j in range(2 * len(self.used))]
        for e, treated, control in zip(self.used, sides[::2], sides[1::2], strict=True):
            without[treated, late] = 0
            if panel.experiment is None:
                weights[control] *= panel.weights[e.treated].sum() / panel.weights[e.control].sum()
        at_risk, events = without > 0, np.where(without > 0, y, 0.0).sum(0)
        kept = linked(y, without, np.arange(len(times))[None], np.array([0, len(y)]))[0] & (events > 0)
        # Where controls have no event none is expected; where none of them is at risk nobody knows.
        known = late & at_risk.any(0) & (kept | (events == 0))
        if not (kept & ~late).any() or not (kept & late).any():
            raise DesignError(
                f"outcome={name!r}: too few events link the time before support to the time after it. Use "
                "longer periods, wider controls, or family='linear'."
            )
        self.rows, z = int((at_risk & kept).sum()), z[np.concatenate([e.rows for e in self.used])]
        self.fit = fixed_effects(
            y,
            without * kept,
            family="poisson",
            weights=weights,
            design=_course(kept, z.shape[1]),
            edges=np.array([0, len(y)]),
            covariates=z,
        )
        self.cells, self.own, by = list[Cell](), list[Array](), list[Array]()
        for e, treated in zip(self.used, sides[::2], strict=True):
            # A cell of one cluster would be its own measure of error.
            at = known & (by_cluster(joint.codes[e.treated], time[treated] > 0)[1].sum(0) > 1)
            own, slope = _expected(self.fit, treated, (weights * time * kept)[treated][:, at], z[treated], at)
            everyone = {"persons": panel.persons(e.rows), "clusters": e.clusters(joint, name)}
            self.cells += _cells(panel, name, e, times[at] + e.group, own.sum(0), everyone)
            self.own.append(own)
            by.append(slope)
        self.by = np.hstack(by)
        self.factor = cr1(clusters_at_risk(panel, name), self.rows, 1 + len(self.fit.coef))
        self.expected = np.array([c.estimate for c in self.cells])

    def influence(self, rows: slice, by: Array) -> Array:
        """Return the influence of the people in ``rows`` on the cells times ``by``."""
        out = -np.multiply.outer(self.joint.spread(self.name)[rows], self.expected @ by)
        of_fit, cell = self.by @ by, 0
        for e, own, first in zip(self.used, self.own, self.edges[::2].tolist(), strict=False):
            for there, here in e.within(rows):
                out[there] += self.fit.influence(slice(first + here.start, first + here.stop), of_fit)
                if here.stop <= len(own):
                    out[there] += own[here] @ by[cell : cell + own.shape[1]]
            cell += own.shape[1]
        return out


def _course(kept: Mask, m: int) -> Array:
    """Regressors (1, covariates, times, k) of what goes without support: every time kept but the first."""
    columns = np.eye(len(kept))[:, np.flatnonzero(kept)[1:]]
    return np.asarray(np.kron(np.eye(m)[:, None], columns[None]).reshape(1, m, len(kept), -1), float)
