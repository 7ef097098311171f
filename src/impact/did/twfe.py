"""Person and period effects (two-way fixed effects), for support that starts at one time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from impact.data.panel import Panel
from impact.did.aggregate import equal_average
from impact.did.design import (
    Parts,
    check_arms,
    check_change,
    check_choice,
    check_events,
    clusters_at_risk,
    leave_out_early,
    start_positions,
    weighed,
)
from impact.did.regression import (
    CR1,
    ONE,
    Clusters,
    Family,
    Sample,
    observation_weights,
    period_terms,
    root_of,
)
from impact.did.scales import three_scales, unit_of
from impact.did.steps import block_of, check_step, span_labels
from impact.errors import DesignError
from impact.numbers.inference import cluster_codes, cluster_sums
from impact.results import Effects

_STAGGERED = (
    "support starts in several periods, and two-way fixed effects then use people already supported as "
    "controls for others (forbidden comparisons): effects that differ by start or grow with time enter with "
    "weights that can be negative"
)


def twfe(
    panel: Panel,
    *,
    outcome: str | Sequence[str],
    family: Family = "poisson",
    event_study: bool = False,
    step: int = 1,
    staggered: Literal["refuse", "allow"] = "refuse",
) -> Effects:
    """Regress on support, with an effect for each person and each period.

    Linear models explain rates, with one weight a person: mean time at risk in a period times the panel's
    weight. Poisson models explain counts, with the logarithm of the time at risk as offset.

    Parameters
    ----------
    panel : Panel
        On either clock.
    outcome : str or sequence of str
        Several outcomes give one joint result.
    family : 'poisson' or 'linear'
    event_study : bool
        One effect for each event time (reference -1) instead of one for all.
    step : int
        Periods in a block of event times with one effect; the reference is the last block before support.
    staggered : 'refuse' or 'allow'
        Several starts are refused, as their effects are mixed with weights that may be negative
        (Goodman-Bacon 2021; de Chaisemartin and D'Haultfoeuille 2020). 'allow' goes on and says so.

    Returns
    -------
    Effects
        For each outcome the effect as ``difference``, ``log ratio`` and ``events avoided``; with
        ``event_study`` one row an event time on the model's own scale, and ``overall``, the average over
        event times from 0, equally weighted.

    Raises
    ------
    DesignError
        For several starts, an arm that is missing or is one cluster, or effects that cannot be told apart.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data.panel import Panel
    >>> frame = pd.DataFrame({"site": [1, 1, 2, 2, 3, 3, 4, 4], "year": [1, 2] * 4,
    ...                       "falls": [4, 2, 6, 4, 5, 5, 3, 4], "start": [2, 2, 2, 2] + [None] * 4})
    >>> panel = Panel.from_long(frame, unit="site", period="year", outcomes=["falls"],
    ...                         first_treated="start")
    >>> twfe(panel, outcome="falls", family="linear").table[["scale", "estimate"]].round(4)
                scale  estimate
    0      difference   -2.5000
    1       log ratio   -0.6061
    2  events avoided    5.0000
    """
    names = panel.check_outcomes(outcome)
    check_choice("family", family, ("linear", "poisson"))
    check_choice("staggered", staggered, ("refuse", "allow"))
    check_step(step)
    panel = weighed(panel, names)
    panel, start, notes = leave_out_early(panel, start_positions(panel))
    T = len(panel.periods)
    if len(np.unique(start[start < T])) > 1:
        if staggered == "refuse":
            raise DesignError(f"{_STAGGERED}. Use etwfe or callaway_santanna, or ask for staggered='allow'.")
        notes.append(f"Read with care: {_STAGGERED}.")
    order = np.argsort(start, kind="stable")
    panel, start = panel.subset(order), start[order]
    codes, clusters = cluster_codes(panel.cluster)
    parts = Parts(clusters, 2 * T * len(names))
    for name in names:
        check_arms(panel, start, panel.exposure[name])
        notes += check_events(panel, name, np.arange(T) >= start[:, None])
        if len(np.unique(start[start < T])) == 1:
            check_change(panel, name, start, effects="person", family=family)
        model = _Model(panel, name, start, codes, family, step if event_study else None)
        notes += model.notes
        by = model.add(parts, codes)
    used = [clusters_at_risk(panel, name) for name in names]
    method = {
        "estimator": "twfe",
        "estimand": "effect on those supported"
        + (", by event time" if event_study else ", over their observed supported person-time"),
        "outcome": names,
        "control": "people without support",
        "family": family,
        "period": panel.step,
        "effects": "person",
        "inference": CR1,
        "covariates": [],
        "anticipation": 0,
        "reference": None,
        "notes": notes,
        **(model.said if event_study else {}),
    }
    out = parts.effects(method, used)
    if len(names) == 1:
        out = replace(out, regression=model.sample.by_cluster(model.fit, codes, by))
    return replace(out, overall=equal_average(out, "average over event times")) if event_study else out


class _Model:
    """The regression of one outcome; people are sorted by start."""

    def __init__(
        self,
        panel: Panel,
        name: str,
        start: NDArray[np.int64],
        codes: NDArray[np.int64],
        family: Family,
        step: int | None,
    ) -> None:
        self.panel, self.name, self.family, self.step = panel, name, family, step
        sample = Sample.of(panel, name, family, start)
        if family == "poisson":
            # A period in which nothing happened at all says nothing about a ratio.
            happened = np.broadcast_to(sample.value.any(0), sample.event.shape)
            sample = sample.only(happened)
        self.notes: list[str] = []
        self.event = np.arange(len(panel.periods)) - start[:, None]
        self.supported = (start < len(panel.periods))[:, None]
        event = sample.event
        self.spans = [event[event >= 0]]
        if step is not None:
            sample = self._by_event_time(sample, codes, step)
        self.sample, self.seen = sample, sample.time > 0
        here = [np.isin(event, span) for span in self.spans]
        if family == "poisson":
            self._check_cells(int(start.min()))
        terms = [(where & sample.supported, ONE) for where in here]
        self.fit = sample.fit(terms + period_terms(np.asarray(self.seen.any(0)), len(event)))

    def _by_event_time(self, sample: Sample, codes: NDArray[np.int64], step: int) -> Sample:
        """Find the blocks of event times with an effect; leave out the time of those with one cluster."""
        event, name = sample.event, self.name
        supported = np.broadcast_to(sample.supported, event.shape)
        at_risk = supported & (sample.sums(sample.time > 0) > 0)
        times = np.unique(event[at_risk])
        # Each block is counted as a whole, so that it is known by its number in place of its event times.
        clusters = Clusters(sample, codes, int(codes.max()) + 1)
        found = clusters.by_event_time(block_of(event, step), at_risk)
        spans = {b: times[block_of(times, step) == b] for b in found}
        alone = [span_labels(spans.pop(b), step)["term"] for b, count in found.items() if count < 2]
        if -1 not in spans or max(spans) < 0:
            side = "just before support" if -1 not in spans else "with support"
            raise DesignError(
                f"outcome={name!r}: fewer than two supported clusters are at risk {side}, so there is "
                "nothing to compare; use a longer step or a longer window."
            )
        if alone:
            self.notes.append(f"{name}: left out, as they rest on a single cluster: {', '.join(alone)}.")
        base = spans.pop(-1)
        self.spans = list(spans.values())
        self.said = {"step": step, "reference": int(min(base)), "reference_to": -1}
        return sample.only(~supported | np.isin(event, np.concatenate([base, *self.spans])))

    def add(self, parts: Parts, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Add the effects: by event time on the model's scale, or one on three scales.

        Returns their derivatives by the coefficients, (K, effects).
        """
        panel, label = self.panel, {"outcome": self.name}
        factor = self.sample.factor(self.fit)
        # Who is seen in one period only says nothing about change.
        self.used = self.seen.sum(1) > 1
        self.clusters = int(np.count_nonzero(np.bincount(codes[self.used])))
        of_effects = np.eye(len(self.fit.coef), len(self.spans))
        root = root_of(self.fit, of_effects, codes, factor=factor)
        if self.step is not None:
            scale = "log ratio" if self.family == "poisson" else "difference"
            label |= {"scale": scale, "unit": unit_of(scale, panel.per)}
            for j, span in enumerate(self.spans):
                counts = self._counts(np.isin(self.event, span))
                parts.add(label | span_labels(span, self.step), float(self.fit.coef[j]), root[:, j], counts)
            return of_effects
        after = (self.event >= 0) & self.supported
        w, y, exposure = observation_weights(panel), panel.outcomes[self.name], panel.exposure[self.name]
        w = after * (w[:, None] if w.ndim == 1 else w)
        time = (w * exposure).sum() / panel.rate_scale
        rate = (w * y).sum() / time
        values, by = three_scales(float(self.fit.coef[0]), rate, time, family=self.family)
        of_rate = (w * (y - rate / panel.rate_scale * exposure)).sum(1) / time
        of_rate = np.sqrt(factor) * cluster_sums(of_rate, codes, len(root))
        root = np.column_stack([root[:, 0], of_rate]) @ by
        parts.add_scales(self.name, panel.per, values, root, self._counts(after))
        return of_effects @ by[:1]

    def _counts(self, cells: NDArray[np.bool_]) -> dict[str, int]:
        cells = cells & self.supported
        return {
            "persons": self.panel.persons(self.used),
            "treated": self.panel.persons(self.used & (cells & self.seen).any(1)),
            "clusters": self.clusters,
            "events": round(float(self.panel.outcomes[self.name][cells & self.panel.once[:, None]].sum())),
        }

    def _check_cells(self, first: int) -> None:
        """Refuse a Poisson model some effect of which would be the logarithm of nothing."""
        y, event = self.panel.outcomes[self.name], self.event
        sides: dict[str, tuple[NDArray[np.bool_], Any]]
        if self.step is not None:
            of_base = np.arange(self.said["reference"], 0)
            sides = {
                f"at {span_labels(span, self.step)['term']}": (np.isin(event, span), span + first)
                for span in (*self.spans, of_base)
            }
        else:
            sides = {"before": (event < 0, slice(first)), "after": (event >= 0, slice(first, None))}
        none = [f"the treated {when}" for when, (at, _) in sides.items() if y[at & self.supported].sum() <= 0]
        if len(self.sample.groups) == 2:
            never = y[~self.supported.ravel()]
            none += [f"the controls {when}" for when, (_, at) in sides.items() if never[:, at].sum() <= 0]
        if none:
            raise DesignError(
                f"outcome={self.name!r}: no events among {' and '.join(none)}, so there is no ratio;"
                " too few events for a Poisson model. Use longer periods, or family='linear'."
            )
