"""Synthetic difference-in-differences, synthetic control and difference-in-differences as one formula."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from impact.data.panel import Panel
from impact.did.aggregate import unit_of
from impact.did.balanced import check_balanced
from impact.did.design import Parts, check_choice, check_events, people, period_name, weighed
from impact.did.redrawn import Draws, Inference, Sample, redrawn
from impact.did.scales import three_scales
from impact.errors import DesignError, ParameterError
from impact.numbers.simplex import frank_wolfe
from impact.results import Effects

Array = NDArray[np.float64]
Weighting = Literal["synthetic_did", "synthetic_control", "did"]

# Published settings: the penalty of weights that need none is this share of the noise (squared), and a
# search ends when a step lowers the mean squared distance by less than this share of the noise, squared.
_HARDLY, _ENOUGH = 1e-6, 1e-5
_NOTHING = 1e-6


def synthetic_did(
    panel: Panel,
    *,
    outcome: str | Sequence[str],
    weighting: Weighting = "synthetic_did",
    inference: Inference = "placebo",
    draws: int = 200,
    seed: int = 0,
    anticipation: int = 0,
) -> Effects:
    """Compare the supported with a weighted mean of controls, and after with a weighted mean of before.

    The effect is the change of the supported, from before to after, less that of the controls (Arkhangelsky,
    Athey, Hirshberg, Imbens and Wager 2021). Controls are weighted so that they run parallel to the
    supported before support, and periods before so that the controls' level in them predicts that after.
    It is meant for a few to a few hundred sites or areas; each start is compared by itself with those never
    supported, and the effects are averaged over the supported's person-time.

    Parameters
    ----------
    panel : Panel
        On the calendar clock, everyone at risk in every period. The outcome is the rate of each unit.
    outcome : str or sequence of str
        Several outcomes give one joint result, from the same draws.
    weighting : 'synthetic_did', 'synthetic_control' or 'did'
        'synthetic_control' matches levels and not only changes, and gives periods before no weight; 'did'
        weighs all controls and all periods before alike.
    inference : 'placebo', 'jackknife' or 'bootstrap'
        By cluster. 'placebo' pretends that control clusters were supported: it takes the observed rate as
        given, needs more control clusters than supported ones, and errors that are alike in both.
        'jackknife' leaves out one cluster at a time with the weights kept; 'bootstrap' draws clusters anew.
        Both need two supported clusters or more.
    draws : int
        Of placebo or bootstrap; where there are no more ways to place the placebos, each is used once.
    seed : int
    anticipation : int
        Periods before support in which the outcome may already react; they are left out.

    Returns
    -------
    Effects
        For each outcome ``difference``, ``log ratio`` (left out where no events would be expected) and
        ``events avoided``, with one joint root whose rows are draws, or clusters left out.

    Raises
    ------
    DesignError
        For holes in the panel, nobody to compare, or clusters that ``inference`` cannot use.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data.panel import Panel
    >>> frame = pd.DataFrame({"site": [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3, "year": [1, 2, 3] * 4,
    ...                       "falls": [4, 6, 3, 5, 5, 6, 3, 5, 5, 2, 3, 3], "start": [3] * 3 + [None] * 9})
    >>> panel = Panel.from_long(frame, unit="site", period="year", outcomes=["falls"],
    ...                         first_treated="start")
    >>> synthetic_did(panel, outcome="falls").table[["scale", "estimate"]].round(2)
                scale  estimate
    0      difference     -2.83
    1       log ratio     -0.66
    2  events avoided      2.83
    """
    names = panel.check_outcomes(outcome)
    check_choice("weighting", weighting, ("synthetic_did", "synthetic_control", "did"))
    check_choice("inference", inference, ("placebo", "jackknife", "bootstrap"))
    for word, number, least in (("draws", draws, 2), ("anticipation", anticipation, 0)):
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise ParameterError(f"{word}={number!r}: give a whole number of {least} or more.")
    least = 1 if weighting == "did" else 2
    panel, notes = _comparable(weighed(panel, names), anticipation, least)
    check_balanced(panel, names, "synthetic_did")
    sample = Sample(panel)
    sample.check(inference)
    chosen = redrawn(sample, inference, draws, seed)
    parts = Parts(chosen.rows, 3 * len(names))
    for name in names:
        notes += check_events(panel, name, sample.after)
        study = _Study(panel, name, sample, anticipation, weighting)
        ((effect, rate),) = study.effects(sample.everyone, keep=True)
        drawn = study.effects(chosen, keep=inference == "jackknife")
        if inference == "placebo":
            drawn[:, 1] = 0.0
        values, by = three_scales(effect, rate, study.person_time, family="linear")
        root = chosen.factor * (drawn - drawn.mean(0)) @ by
        for j, (scale, value) in enumerate(values.items()):
            label = {"outcome": name, "term": "effect", "scale": scale, "unit": unit_of(scale, panel.per)}
            parts.add(label, value, root[:, j], sample.counts(panel.outcomes[name]))
    method = {
        "estimator": "synthetic_did",
        "estimand": "effect on those supported, over their observed supported person-time",
        "outcome": names,
        "control": "people never supported",
        "family": "linear",
        "period": panel.step,
        "weighting": weighting,
        "inference": f"{chosen.said}; t with clusters - 1",
        "rows": f"{inference} draws",
        "covariates": [],
        "anticipation": anticipation,
        "notes": notes,
    }
    out = parts.effects(method, [len(sample.names)])
    return replace(out, method={**out.method, "seed": None if inference == "jackknife" else seed})


def _comparable(panel: Panel, anticipation: int, least: int) -> tuple[Panel, list[str]]:
    """Leave out who has too little before support, and controls who may already react to theirs."""
    if panel.clock != "calendar":
        raise DesignError(
            "synthetic_did needs clock='calendar': on the event clock a period is another date for each "
            "person. Build the panel on the calendar clock."
        )
    T, notes = len(panel.periods), list(panel.notes)
    early = panel.start < least + anticipation
    late = np.zeros(panel.n, bool)
    if panel.begins is not None:
        late = (panel.start >= T) & (panel.begins - anticipation < T)
    for gone, why in (
        (early, f"whose support began before there were {least} periods to compare with"),
        (late, "without support in the panel, but so near its start that they may already react"),
    ):
        if gone.any():
            notes.append(f"Left out: {people(int(gone.sum()))} {why}.")
    kept = panel.subset(~(early | late))
    if not (kept.start < T).any():
        first = period_name(panel.periods[min(least + anticipation, T - 1)])
        raise DesignError(
            f"nobody's support begins between {first} and {period_name(panel.periods[-1])}: check the "
            "treated arms and the start dates, or begin the window earlier."
        )
    if int((kept.start >= T).sum()) < 2:
        raise DesignError(
            "synthetic_did compares with people never supported, and there are fewer than two of them in the "
            "panel; use callaway_santanna or imputation with those not yet supported."
        )
    return kept, notes


class _Study:
    """One outcome: the average over starts of the effect of each."""

    def __init__(
        self, panel: Panel, name: str, sample: Sample, anticipation: int, weighting: Weighting
    ) -> None:
        self.groups = [
            _Group(panel, name, sample, slice(0, start - anticipation), slice(start, None), weighting)
            for start in np.unique(sample.start[~sample.never]).tolist()
        ]
        self.found = [group.weigh(*group.sides(sample.everyone)) for group in self.groups]
        weighted = panel.weights[:, None] * panel.exposure[name]
        self.person_time = float(weighted[sample.after].sum()) / panel.rate_scale

    def effects(self, draws: Draws, *, keep: bool = False) -> Array:
        """Effect and rate of the supported in each draw, (b, 2); ``keep`` keeps the weights of everyone."""
        events, expected, time = np.zeros((3, len(draws)))
        for group, (controls, periods) in zip(self.groups, self.found, strict=True):
            treated, pool = group.sides(draws)
            there: Array = controls * (pool > 0)
            # What a penalty leaves on the others is no weight to compare with.
            lost = there.sum(1) < _NOTHING
            if keep and lost.any():
                raise DesignError(
                    "inference='jackknife' keeps the weights, and one control cluster carries all of them; "
                    "use inference='placebo'."
                )
            begin = (
                _shares(np.where(lost[:, None], (pool > 0).astype(float), there)),
                np.repeat(periods, len(draws), 0),
            )
            weights = begin if keep else group.weigh(treated, pool, begin)
            spent = treated @ group.time.sum(1)
            time += spent
            events += treated @ group.events
            expected += spent * group.without_support(treated, *weights)
        return np.column_stack([events - expected, events]) / time[:, None]


class _Group:
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

    def spread(self, treated: Array) -> tuple[Array, Array]:
        """Return how the supported's person-time is spread over people (b, n) and over periods (b, T)."""
        people, periods = treated * self.time.sum(1), treated @ self.time
        return _shares(people), _shares(periods)

    def weigh(
        self, treated: Array, pool: Array, begin: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        """Return the weights of the controls (b, controls) and of the periods before (b, periods)."""
        width = self.before.shape[1]
        alike = np.full((len(pool), width), 1 / width)
        if self.weighting == "did":
            return _shares(pool), alike
        people, periods = self.spread(treated)
        allowed = pool > 0
        # Two people of weight 1 are penalised as one person of weight 2.
        pool = pool * (allowed.sum(1) / pool.sum(1))[:, None]
        controls = frank_wolfe(
            self.gram,
            people @ self.shape @ self.shape[self.never].T,
            width * self.penalty / np.where(allowed, pool, 1.0),
            allowed,
            _shares(allowed.astype(float)) if begin is None else begin[0],
            enough=np.full(len(pool), width * self.noise * _ENOUGH**2),
        )
        if self.weighting == "synthetic_control":
            return controls, np.zeros_like(alike)
        return controls, self._periods(pool, periods, alike if begin is None else begin[1])

    def _periods(self, pool: Array, periods: Array, begin: Array) -> Array:
        """Weigh the periods before so that they give each control's mean after, but for a constant."""
        before, after = self.before[self.never], self.after[self.never]
        gram, pull = np.empty((len(pool), *before.shape[1:] * 2)), np.empty_like(begin)
        for b, (weights, share) in enumerate(zip(pool, periods, strict=True)):
            centred = before - np.average(before, axis=0, weights=weights)
            gram[b] = (centred.T * weights) @ centred
            pull[b] = (centred.T * weights) @ (after @ share)
        size = pool.sum(1)
        ridge = np.broadcast_to((size * self.noise * _HARDLY**2)[:, None], begin.shape)
        enough = size * self.noise * _ENOUGH**2
        return frank_wolfe(gram, pull, ridge, np.ones(begin.shape, bool), begin, enough=enough)

    def without_support(self, treated: Array, controls: Array, periods: Array) -> Array:
        """Return the rate of the supported that would be expected without support, (b,)."""
        people, share = self.spread(treated)
        before, after = controls @ self.before[self.never], controls @ self.after[self.never]
        ahead = (periods * (people @ self.before - before)).sum(1)
        return np.asarray(ahead + (share * (after + self.path)).sum(1), float)


def _shares(weights: Array) -> Array:
    """Return rows that sum to 1; a row of zeros stays."""
    total = weights.sum(1, keepdims=True)
    return weights / np.where(total > 0, total, 1.0)
