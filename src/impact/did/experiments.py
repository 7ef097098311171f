"""Sub-experiments: each start with its window, its people, and controls who stay without support in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impact.data.panel import Panel
from impact.did.cells import Joint
from impact.did.design import as_list
from impact.did.regression import Family, Mask, observation_weights
from impact.errors import DesignError, ParameterError

Array = NDArray[np.float64]


_INFERENCE = (
    "cluster-robust (CR1): G/(G-1) x (N-1)/(N-K), N rows of a person, sub-experiment and period at risk and "
    "K regressors with the periods (person effects, which lie within clusters, not counted); people who are "
    "controls several times are one cluster; t with clusters - 1"
)


@dataclass(frozen=True)
class Window:
    """Periods before a start, periods from it on, and how many before it may already react.

    Raises
    ------
    ParameterError
        If there is no period before the anticipation, or none from the start on.
    """

    before: int
    after: int
    anticipation: int

    def __post_init__(self) -> None:
        for name, least in (("before", self.anticipation + 1), ("after", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ParameterError(f"{name}={value!r}: give a number of periods, {least} or more.")


@dataclass(frozen=True)
class Experiment:
    """One start, where its people and its controls lie among all, and the periods of its window.

    ``late (periods,)`` are those from the start, less the anticipation, on.
    """

    group: int
    treated: slice
    control: slice
    periods: NDArray[np.int64]
    late: Mask

    @property
    def rows(self) -> NDArray[np.int64]:
        """The people: those supported, then the controls."""
        return np.asarray(np.r_[self.treated, self.control])

    @property
    def edges(self) -> NDArray[np.int64]:
        """Where the two sides begin among them, and their number."""
        n1, n0 = (side.stop - side.start for side in (self.treated, self.control))
        return np.array([0, n1, n1 + n0])

    def arrays(self, panel: Panel, name: str, family: Family) -> tuple[Array, Array, Array]:
        """Return values, time at risk and weights of its people in its periods.

        Linear models explain rates and weigh people by their mean time at risk in a period of the window.
        """
        here = np.ix_(self.rows, self.periods)
        y, time, own = panel.outcomes[name][here], panel.exposure[name][here], observation_weights(panel)
        weights = own[self.rows, None] if own.ndim == 1 else own[here]
        if family == "linear":
            y = panel.rate_scale * y / np.where(time > 0, time, 1.0)
            weights = weights * (time.sum(1) / np.maximum((time > 0).sum(1), 1))[:, None]
        return y, time, np.broadcast_to(weights, time.shape)

    @property
    def after(self) -> list[tuple[int, int]]:
        """Its start with each of its periods from it on."""
        return [(self.group, int(t)) for t in self.periods if t >= self.group]

    def within(self, rows: slice) -> Iterator[tuple[slice, slice]]:
        """Where those of its people who are in ``rows`` lie: in these, and among its own."""
        for side, first in zip((self.treated, self.control), self.edges.tolist(), strict=False):
            low, high = max(rows.start, side.start), min(rows.stop, side.stop)
            if low < high:
                own = first - side.start
                yield slice(low - rows.start, high - rows.start), slice(own + low, own + high)

    def clusters(self, joint: Joint, name: str) -> int:
        """Return how many clusters are compared; refuse a single one on either side."""
        anyone = np.zeros(len(joint.clusters), bool)
        for side, who in ((self.treated, "people"), (self.control, "controls")):
            seen = self.of(joint.panel.exposure[name], side) > 0
            before, after = seen[:, ~self.late].any(1), seen[:, self.late].any(1)
            # Who is seen on one side of the start only shows no change.
            if joint.hit(side, before & after).sum() < 2:
                raise DesignError(f"there are no {who} at risk before and after it in more than one cluster")
            anyone |= joint.hit(side, before | after)
        return int(anyone.sum())

    def of(self, values: Array, side: slice) -> Array:
        """Return the values (n, T) of one side's people in the window."""
        return values[side, self.periods[0] : self.periods[-1] + 1]


def check_happened(joint: Joint, name: str, used: Sequence[Experiment]) -> None:
    """Refuse counts that only happened to one cluster of the supported, or of the controls."""
    for side, who in (("treated", "people with support"), ("control", "their controls")):
        found = np.zeros(len(joint.clusters), bool)
        for e in used:
            at = getattr(e, side)
            found |= joint.hit(at, (e.of(joint.panel.outcomes[name], at) > 0).any(1))
        if found.sum() < 2:
            raise DesignError(
                f"outcome={name!r}: it happened to {who} in fewer than two clusters; too few events for a "
                "Poisson model. Use longer periods, wider controls, or family='linear'."
            )


def experiments(joint: Joint, window: Window) -> Iterator[Experiment]:
    """Yield one sub-experiment a start; its controls start after its window and their own anticipation.

    Of matched people they are those of its own sets, never supported as the panel has them.
    """
    panel, T = joint.panel, len(joint.panel.periods)
    never = joint.members.get(T, slice(panel.n, panel.n))
    for g, members in joint.members.items():
        if g < T:
            periods = np.arange(max(g - window.before, 0), min(g + window.after, T))
            first = np.searchsorted(panel.start, min(periods[-1] + 1 + window.anticipation, T))
            control = slice(int(first), panel.n)
            if panel.experiment is not None:
                # People are sorted by start, and then by the comparison they take part in.
                ends = never.start + np.searchsorted(panel.experiment[never], [g, g + 1])
                control = slice(int(ends[0]), int(ends[1]))
            late = periods >= g - window.anticipation
            yield Experiment(g, members, control, periods, late)


def comparable(
    joint: Joint, name: str, window: Window
) -> tuple[list[Experiment], dict[str, list[tuple[int, int]]]]:
    """Return the sub-experiments with more than one cluster on both sides, and why others are left out."""
    used: list[Experiment] = []
    lost: dict[str, list[tuple[int, int]]] = {}
    for e in experiments(joint, window):
        try:
            e.clusters(joint, name)
            used.append(e)
        except DesignError as error:
            lost.setdefault(f"as {error}", []).extend(e.after)
    if not used:
        raise none_compared(name, lost)
    return used, lost


def none_compared(name: str, lost: Mapping[str, object]) -> DesignError:
    """Say why no start can be compared."""
    return DesignError(
        f"outcome={name!r}: no start can be compared: {'; '.join(lost)}. Use a shorter window, longer "
        "periods or wider controls."
    )


def event_times(panel: Panel, window: Window) -> NDArray[np.int64]:
    """Return the event times that the window of any start reaches within the panel."""
    T = len(panel.periods)
    starts = panel.start[panel.start < T]
    return np.arange(max(-window.before, -starts.max()), min(window.after, T - starts.min()))


def lined_up(
    panel: Panel, name: str, family: Family, used: Sequence[Experiment], times: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Array, Array, Array]:
    """Stack sub-experiments by event time: where sides begin, values, time at risk and weights."""
    sizes = [e.edges[1:] - e.edges[:-1] for e in used]
    edges = np.append(0, np.cumsum(np.concatenate(sizes)))
    y, time, weights = np.zeros((3, edges[-1], len(times)))
    for j, e in enumerate(used):
        here = slice(edges[2 * j], edges[2 * j + 2]), e.periods - e.group - times[0]
        y[here], time[here], weights[here] = e.arrays(panel, name, family)
    return edges, y, time, weights


def described(
    names: list[str], family: Family, window: Window, covariates: Sequence[str], notes: list[str]
) -> dict[str, Any]:
    """Return what a stacked comparison did."""
    return {
        "estimator": "stacked",
        "estimand": "average effect on those supported, by start and period",
        "outcome": names,
        "control": "people without support through the whole window of a start",
        "family": family,
        "effects": "person and period of each sub-experiment",
        "inference": _INFERENCE,
        "covariates": as_list(covariates),
        "window": [-window.before, window.after - 1],
        "anticipation": window.anticipation,
        "reference": None,
        "notes": notes,
    }
