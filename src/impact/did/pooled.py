"""One effect for each event time, common to the sub-experiments of all starts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from impact.data.panel import Panel
from impact.did.cells import Joint
from impact.did.coverage import left_out
from impact.did.design import (
    Parts,
    check_choice,
    check_counts,
    clusters_at_risk,
    covariate_matrix,
    staggered,
)
from impact.did.experiments import (
    Window,
    check_happened,
    comparable,
    described,
    event_times,
    lined_up,
)
from impact.did.regression import Family, by_cluster
from impact.did.scales import unit_of
from impact.did.steps import block_of, check_step, span_labels
from impact.errors import DesignError
from impact.numbers.inference import cluster_sums, cr1
from impact.numbers.within import fixed_effects
from impact.results import Effects

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def pooled_event_study(
    panel: Panel,
    *,
    outcome: str | Sequence[str],
    family: Family = "poisson",
    covariates: Sequence[str] = (),
    before: int = 12,
    after: int = 12,
    anticipation: int = 0,
    step: int = 1,
) -> Effects:
    """Estimate one effect for each event time, common to all sub-experiments of ``stacked``.

    The sub-experiments are one regression, each with its own person and period effects; the reference is the
    last period before support (and anticipation). Periods before and after are measured the same way, and
    months with few events are pooled over starts. Where effects differ between starts, each counts by how
    precisely it is known.

    Parameters
    ----------
    panel, outcome, family, covariates, before, after, anticipation
        As for ``stacked``.
    step : int
        One effect for each block of so many event times; the reference is the last block before support
        (and anticipation).

    Returns
    -------
    Effects
        One row an event time but for the reference: scale 'difference' (linear) or 'log ratio' (Poisson).
        Event times without an event among the supported, or among the controls, are left out.
    """
    names = panel.check_outcomes(outcome)
    panel, notes = staggered(panel, names, estimator="stacked", anticipation=anticipation)
    check_choice("family", family, ("linear", "poisson"))
    check_step(step)
    window, joint = Window(before, after, anticipation), Joint(panel)
    grid = _Grid(panel, window, step)
    z = covariate_matrix(panel, covariates).T
    parts = Parts(joint.clusters, (before + after) * len(names))
    for name in names:
        pooled = _Pooled(joint, name, family, grid, z)
        pooled.add(parts)
        notes += pooled.notes
    said = described(names, family, window, covariates, notes) | {
        "estimand": "effect on those supported, by event time",
        "period": panel.step,
        **grid.said,
    }
    return parts.effects(said, [clusters_at_risk(panel, name) for name in names])


class _Grid:
    """The event times of a window, and the block of each."""

    def __init__(self, panel: Panel, window: Window, step: int) -> None:
        self.window, self.step, self.times = window, step, event_times(panel, window)
        self.blocks = block_of(self.times, step, window.anticipation)
        self.reference = int(block_of(-1 - window.anticipation, step, window.anticipation))
        of_base = self.times[self.blocks == self.reference]
        self.said = {"step": step, "reference": int(of_base[0]), "reference_to": int(of_base[-1])}


class _Pooled:
    """All sub-experiments of one outcome in one regression, their columns lined up by event time."""

    def __init__(self, joint: Joint, name: str, family: Family, grid: _Grid, z: Array) -> None:
        self.grid, window, times = grid, grid.window, grid.times
        self.joint, self.name, self.family = joint, name, family
        self.used, lost = comparable(joint, name, window)
        if family == "poisson":
            check_counts(joint.panel, name)
            check_happened(joint, name, self.used)
        self.notes = left_out(joint.panel, name, lost)
        edges, y, time, weights = lined_up(joint.panel, name, family, self.used, times)
        alive = np.add.reduceat(y if family == "poisson" else time, edges[:-1], axis=0) > 0
        alive = alive.reshape(-1, 2, len(times))
        # A block is compared if some start is in some of its periods, and it does not rest on one cluster.
        known = self._several(np.unique(grid.blocks[alive.all(1).any(0)]))
        if grid.reference not in known:
            base = span_labels(times[grid.blocks == grid.reference], grid.step)["term"]
            raise DesignError(f"outcome={name!r}: nothing can be compared at {base}.")
        shown = np.isin(grid.blocks, known)
        if len(known) < 2:
            raise DesignError(
                f"outcome={name!r}: no event time has enough events to be compared with the time just before "
                "support. Use longer blocks (step) or periods, wider controls, or family='linear'."
            )
        kept = alive[:, 1] | (alive[:, 0] & shown)
        for j in range(len(self.used)):
            time[edges[2 * j] : edges[2 * j + 2], ~kept[j]] = 0
            time[edges[2 * j] : edges[2 * j + 1], ~shown] = 0
        self.blocks = known[known != grid.reference]
        design = _design(grid.blocks, self.blocks, kept, z.shape[1])
        rows = np.concatenate([e.rows for e in self.used])
        self.fit = fixed_effects(
            y, time, family=family, weights=weights, design=design, edges=edges, covariates=z[rows]
        )
        self.edges, self.seen, self.rows = edges, time > 0, rows

    def _several(self, blocks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Keep the blocks in which people with support in two or more clusters are at risk."""
        joint, grid = self.joint, self.grid
        hit = np.zeros((len(joint.clusters), len(grid.times)), bool)
        for e in self.used:
            time = e.of(joint.panel.exposure[self.name], e.treated)
            names, seen = by_cluster(joint.codes[e.treated], time > 0)
            hit[np.ix_(names, e.periods - e.group - grid.times[0])] |= seen
        alone = [b for b in blocks if hit[:, grid.blocks == b].any(1).sum() < 2]
        if alone:
            told = [span_labels(grid.times[grid.blocks == b], grid.step)["term"] for b in alone]
            self.notes.append(f"{self.name}: left out, as they rest on a single cluster: {', '.join(told)}.")
        return np.setdiff1d(blocks, alone)

    def add(self, parts: Parts) -> None:
        """Add the effects, with the influences of each person's every part in the sub-experiments."""
        joint, panel, k = self.joint, self.joint.panel, len(self.blocks)
        clusters = clusters_at_risk(panel, self.name)
        factor = cr1(clusters, int(self.seen.sum()), len(self.fit.coef) + 1)
        influence = self.fit.influence(slice(0, len(self.rows)), np.eye(len(self.fit.coef))[:, :k])
        root = np.sqrt(factor) * cluster_sums(influence, joint.codes[self.rows], len(joint.clusters))
        scale = "log ratio" if self.family == "poisson" else "difference"
        label = {"outcome": self.name, "scale": scale, "unit": unit_of(scale, panel.per)}
        persons = panel.persons(np.unique(self.rows[self.seen.any(1)]))
        everyone = {"persons": persons, "clusters": clusters}
        for j, block in enumerate(self.blocks):
            times = self.grid.times[self.grid.blocks == block]
            counts = everyone | self._supported(times)
            parts.add(label | span_labels(times, self.grid.step), float(self.fit.coef[j]), root[:, j], counts)

    def _supported(self, times: NDArray[np.int64]) -> dict[str, int]:
        """Count those supported at these event times, and their events."""
        panel, treated, events = self.joint.panel, 0, 0.0
        once = panel.once
        for one in self.used:
            here = one.treated, np.intersect1d(one.group + times, one.periods)
            mine = once[one.treated]
            treated += int((panel.exposure[self.name][here] > 0)[mine].any(1).sum())
            events += panel.outcomes[self.name][here][mine].sum()
        return {"treated": treated, "events": round(events)}


def _design(blocks: NDArray[np.int64], shown: NDArray[np.int64], kept: Mask, m: int) -> Array:
    """Regressors (sides, covariates, times, k): effects by block of times, then periods by sub-experiment."""
    eye, k = np.eye(len(blocks)), len(shown)
    columns = [np.flatnonzero(one)[1:] for one in kept]
    design = np.zeros((2 * len(kept), m, len(blocks), k + m * sum(map(len, columns))))
    design[::2, 0, :, :k] = blocks[:, None] == shown
    for j, here in enumerate(columns):
        for z in range(m):
            design[2 * j : 2 * j + 2, z, :, k : k + len(here)] = eye[:, here]
            k += len(here)
    return design
