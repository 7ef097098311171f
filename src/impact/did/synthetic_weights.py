"""Weights of controls and of periods before support, and the effects that follow from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from impact.data.panel import Panel
from impact.did.redrawn import Draws, Sample
from impact.errors import DesignError
from impact.numbers.simplex import Problems, frank_wolfe, minimum

Array = NDArray[np.float64]
Rows = NDArray[np.bool_]
Weighting = Literal["synthetic_did", "synthetic_control", "did"]

# Published settings: the penalty of weights that need none is this share of the noise (squared), and a
# search ends when a step lowers the mean squared distance by less than this share of the noise, squared.
_HARDLY, _ENOUGH = 1e-6, 1e-5
_NOTHING = 1e-6
# With more columns than this a search is quicker than the equations of the exact minimum.
_WIDEST = 150
# Numbers in the matrices of the searches that are made at once.
AT_ONCE = 4_000_000


class Study:
    """One outcome: the average over starts of the effect of each."""

    def __init__(
        self, panel: Panel, name: str, sample: Sample, anticipation: int, weighting: Weighting
    ) -> None:
        self.groups = [
            Group(panel, name, sample, slice(0, start - anticipation), slice(start, None), weighting)
            for start in np.unique(sample.start[~sample.never]).tolist()
        ]
        weighted = panel.weights[:, None] * panel.exposure[name]
        self.person_time = float(weighted[sample.after].sum()) / panel.rate_scale

    def effects(self, draws: Draws, *, keep: bool = False) -> Array:
        """Effect and rate of the supported in each draw, (b, 2); ``keep`` keeps the weights of everyone."""
        events, expected, time = np.zeros((3, len(draws)))
        for group in self.groups:
            controls, periods = group.weights
            treated, pool = group.sides(draws)
            there: Array = controls * (pool > 0)
            # What a penalty leaves on the others is no weight to compare with.
            lost = there.sum(1) < _NOTHING
            if keep and lost.any():
                raise DesignError(
                    "inference='jackknife' keeps the weights, and one control cluster carries all of them; "
                    "use inference='placebo'."
                )
            begin = [
                _shares(np.where(lost[:, None], (pool > 0).astype(float), there)),
                np.repeat(periods, len(draws), 0),
            ]
            weights = begin if keep else group.weigh(treated, pool, begin)
            spent = treated @ group.time.sum(1)
            time += spent
            events += treated @ group.events
            expected += spent * group.without_support(treated, *weights)
        return np.column_stack([events - expected, events]) / time[:, None]


class Group:
    """Those whose support begins in one period, and the controls.

    Rates are less the controls' mean path: as weights sum to 1, a path taken from everyone moves nothing,
    and what is left is small, so that sums of squares are exact.
    """

    def __init__(
        self, panel: Panel, name: str, sample: Sample, before: slice, after: slice, weighting: Weighting
    ) -> None:
        self.start, self.never, self.weighting = after.start, sample.never, weighting
        self.end = len(panel.periods)
        self.time = panel.exposure[name][:, after]
        self.events = panel.rate_scale * panel.outcomes[name][:, after].sum(1)
        rate = panel.rate(name)
        path = rate[self.never].mean(0)
        self.path = path[after]
        self.before, self.after = (rate - path)[:, before], (rate - path)[:, after]
        self.everyone = self.sides(sample.everyone)
        # Of the controls (1, controls) and the periods before (1, periods), alike until they are searched.
        self.weights = self.alike(self.everyone[1])
        if weighting == "did":
            return
        # Without an intercept the synthetic control must meet the level of the supported.
        level = self.before.mean(1, keepdims=True) if weighting == "synthetic_did" else 0.0
        self.shape = self.before - level
        self.gram = self.shape[self.never] @ self.shape[self.never].T
        change = np.diff(rate[self.never, before], axis=1)
        weights = np.repeat(sample.weights[self.never][:, None], change.shape[1], axis=1)
        spread = weights * (change - np.average(change, weights=weights)) ** 2
        self.noise = float(spread.sum() / (weights.sum() - 1))
        size = int((sample.start == self.start).sum()) * self.after.shape[1]
        self.penalty = self.noise * (math.sqrt(size) if weighting == "synthetic_did" else _HARDLY**2)

    def sides(self, draws: Draws) -> tuple[Array, Array]:
        """Weights of those supported from this start, (b, n), and of the controls, (b, controls)."""
        controls = draws.start[:, self.never] >= self.end
        return draws.weights * (draws.start == self.start), draws.weights[:, self.never] * controls

    def alike(self, pool: Array) -> list[Array]:
        """Return equal weights of the controls and of the periods before, where these have any."""
        width, control = self.before.shape[1], self.weighting == "synthetic_control"
        controls = pool if self.weighting == "did" else (pool > 0).astype(float)
        return [_shares(controls), np.full((len(pool), width), 0.0 if control else 1 / width)]

    def weigh(self, treated: Array, pool: Array, begin: list[Array]) -> list[Array]:
        """Return the weights of each draw: the exact ones where they are well determined.

        There a search ends close by, but takes a hundred times as long; elsewhere it stops early, as that of
        the estimate does, and draws must do the same.
        """
        if self.weighting == "did":
            return self.alike(pool)
        out, carry = list(begin), (pool > 0).sum(1)
        for which, problems in enumerate(self.problems(treated, pool, begin)):
            width = carry if which == 0 else np.full(len(pool), self.before.shape[1])
            well = self.weighting == "synthetic_did" if which == 0 else carry > width
            out[which] = _least(problems, well & (width <= _WIDEST))
        return out

    def problems(self, treated: Array, pool: Array, begin: list[Array]) -> list[Problems]:
        """Return what the weights of the controls, and those of the periods where there are any, minimise."""
        allowed = pool > 0
        # Two people of weight 1 are penalised as one person of weight 2.
        pool = pool * (allowed.sum(1) / pool.sum(1))[:, None]
        people, periods = self.spread(treated)
        width = self.before.shape[1]
        controls = Problems(
            self.gram,
            people @ self.shape @ self.shape[self.never].T,
            width * self.penalty / np.where(allowed, pool, 1.0),
            allowed,
            begin[0],
            np.full(len(pool), width * self.noise * _ENOUGH**2),
        )
        both = [controls, self._periods(pool, periods, begin[1])]
        return both[:1] if self.weighting == "synthetic_control" else both

    def _periods(self, pool: Array, share: Array, begin: Array) -> Problems:
        """Weigh the periods before so that they give each control's mean after, but for a constant."""
        before, after = self.before[self.never], self.after[self.never] @ share.T
        size, width = pool.sum(1), before.shape[1]
        mean = pool @ before / size[:, None]
        products = (before[:, :, None] * before[:, None, :]).reshape(len(before), -1)
        gram = (pool @ products).reshape(-1, width, width)
        gram -= (size[:, None] * mean)[:, :, None] * mean[:, None, :]
        reached = pool * after.T
        pull = reached @ before - reached.sum(1, keepdims=True) * mean
        ridge = np.broadcast_to((size * self.noise * _HARDLY**2)[:, None], begin.shape)
        every = np.ones(begin.shape, bool)
        return Problems(gram, pull, ridge, every, begin, size * self.noise * _ENOUGH**2)

    def spread(self, treated: Array) -> tuple[Array, Array]:
        """Return how the supported's person-time is spread over people (b, n) and over periods (b, T)."""
        people, periods = treated * self.time.sum(1), treated @ self.time
        return _shares(people), _shares(periods)

    def without_support(self, treated: Array, controls: Array, periods: Array) -> Array:
        """Return the rate of the supported that would be expected without support, (b,)."""
        people, share = self.spread(treated)
        before, after = controls @ self.before[self.never], controls @ self.after[self.never]
        ahead = (periods * (people @ self.before - before)).sum(1)
        return np.asarray(ahead + (share * (after + self.path)).sum(1), float)


def search(groups: Sequence[Group]) -> None:
    """Find the weights of everyone by the published search, for as many groups at once as memory holds."""
    groups = [group for group in groups if group.weighting != "did"]
    at_once = max(1, AT_ONCE // max((len(group.gram) ** 2 for group in groups), default=1))
    for first in range(0, len(groups), at_once):
        some = groups[first : first + at_once]
        asked = [group.problems(*group.everyone, group.weights) for group in some]
        for which, problems in enumerate(zip(*asked, strict=True)):
            for group, weights in zip(some, frank_wolfe(Problems.joined(problems)), strict=True):
                group.weights[which] = weights[None, : group.weights[which].shape[1]]


def _least(problems: Problems, well: Rows) -> Array:
    """Return the exact minimum where it is well determined and found, and else the end of a search."""
    out, found = np.empty(problems.pull.shape), np.zeros(len(well), bool)
    if well.any():
        out[well], found[well] = minimum(problems[well])
    if not found.all():
        out[~found] = frank_wolfe(problems[~found])
    return out


def _shares(weights: Array) -> Array:
    """Return rows that sum to 1; a row of zeros stays."""
    total = weights.sum(1, keepdims=True)
    return weights / np.where(total > 0, total, 1.0)
