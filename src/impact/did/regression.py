"""What all regressions on a panel share: its arrays, designs made of terms, the fit, and the root."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from impact.data.panel import Panel
from impact.did.design import check_counts, clusters_at_risk
from impact.numbers.few_clusters import Regression, of_people
from impact.numbers.inference import cluster_sums, cr1
from impact.numbers.within import Within, fixed_effects

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Family = Literal["linear", "poisson"]
# Where a regressor is not zero, by group and period (G, T), and there its values: what each of the
# covariates (the first is 1) is multiplied by, one column a regressor.
Term = tuple[Mask, Array]

ONE = np.ones((1, 1))
CR1 = (
    "cluster-robust (CR1): G/(G-1) x (N-1)/(N-K), N rows of a person and period at risk and K regressors "
    "with the periods (person effects, which lie within clusters, not counted); t with clusters - 1"
)


@dataclass(frozen=True, eq=False)
class Sample:
    """One outcome of a panel as a regression takes it; people are sorted by start.

    Parameters
    ----------
    panel : Panel
    name : str
        The outcome.
    family : 'linear' or 'poisson'
        Linear models explain rates, with weights x mean time at risk in a period; Poisson models explain
        counts, with the weights and the logarithm of the time at risk as offset. Where the panel has
        censoring weights, they multiply the weight of each observation.
    groups : array (G,)
        The starts.
    edges : array (G + 1,)
        Where each of them begins among the people.
    value, time : array (n, T)
        Rates or counts, and time at risk: 0 where an observation is left out.
    weights : array (n,) or (n, T)
    """

    panel: Panel
    name: str
    family: Family
    groups: NDArray[np.int64]
    edges: NDArray[np.int64]
    value: Array
    time: Array
    weights: Array

    @classmethod
    def of(cls, panel: Panel, name: str, family: Family, start: NDArray[np.int64]) -> Sample:
        """Take an outcome of a panel whose people are sorted by ``start``, (n,)."""
        time, weights = panel.exposure[name], observation_weights(panel)
        if family == "poisson":
            check_counts(panel, name)
            value = panel.outcomes[name]
        else:
            value = np.nan_to_num(panel.rate(name))
            mean = time.sum(1) / np.maximum((time > 0).sum(1), 1)
            weights = weights * (mean if weights.ndim == 1 else mean[:, None])
        groups, first = np.unique(start, return_index=True)
        return cls(panel, name, family, groups, np.append(first, panel.n), value, time, weights)

    @property
    def event(self) -> NDArray[np.int64]:
        """Time since start of each group in each period, (G, T)."""
        return np.arange(self.time.shape[1]) - self.groups[:, None]

    @property
    def supported(self) -> Mask:
        """Which groups have support within the panel, (G, 1)."""
        return np.asarray(self.groups < self.time.shape[1])[:, None]

    def sums(self, values: NDArray[Any]) -> Array:
        """Sum values (n, T) over the people of each group, (G, T)."""
        return np.add.reduceat(values, self.edges[:-1], axis=0)

    def only(self, kept: Mask) -> Sample:
        """Leave out observations, by group and period (G, T)."""
        every = np.repeat(kept, np.diff(self.edges), axis=0)
        return self if kept.all() else replace(self, time=np.where(every, self.time, 0.0))

    def fit(
        self,
        terms: Sequence[Term],
        *,
        effects: Literal["person", "none"] = "person",
        covariates: Array | None = None,
        varying: Array | None = None,
    ) -> Within:
        """Regress on these terms; ``covariates`` and ``varying`` as in ``numbers.within.fixed_effects``.

        All regressors of a term but its first (its interactions with covariates) may be left out, where they
        cannot be told apart from others.
        """
        return fixed_effects(
            self.value,
            self.time,
            family=self.family,
            weights=self.weights,
            design=_design(terms),
            edges=self.edges,
            effects=effects,
            covariates=covariates,
            varying=varying,
            spare=np.concatenate([np.arange(values.shape[1]) > 0 for _, values in terms]),
        )

    def factor(self, fit: Within) -> float:
        """Return CR1's factor on the variance.

        N are the observations in the regression, and K its regressors, periods among them. Person effects lie
        within clusters and are not counted, except for the intercept that they hold.
        """
        k = int(np.count_nonzero(np.diag(fit.bread))) + fit.within
        return cr1(clusters_at_risk(self.panel, self.name), int((self.time > 0).sum()), k)

    def by_cluster(self, fit: Within, codes: NDArray[np.int64], contrasts: Array) -> Regression:
        """Return the fit as its clusters see it, for few of them; effects are ``fit.coef @ contrasts``."""
        return of_people(
            fit,
            self.value,
            self.time,
            family=self.family,
            weights=self.weights,
            codes=codes,
            contrasts=contrasts,
            factor=self.factor(fit),
        )


class Clusters:
    """Which clusters are at risk, by group and period."""

    def __init__(self, sample: Sample, codes: NDArray[np.int64], total: int) -> None:
        self.total = total
        self.names, self.seen = [], []
        for low, high in pairwise(sample.edges.tolist()):
            names, seen = by_cluster(codes[low:high], sample.time[low:high] > 0)
            self.names.append(names)
            self.seen.append(seen)

    @property
    def by_cell(self) -> NDArray[np.int64]:
        """Return how many clusters each group has at risk in each period, (G, T)."""
        return np.array([seen.sum(0) for seen in self.seen])

    def by_group(self, cells: Mask) -> NDArray[np.int64]:
        """Return how many clusters each group has at risk in any of its cells (G, T)."""
        return np.array([(seen & here).any(1).sum() for seen, here in zip(self.seen, cells, strict=True)])

    def by_period(self, cells: Mask) -> Mask:
        """Return which clusters are at risk in any group's cell (G, T) of a period, (clusters, T)."""
        out = np.zeros((self.total, cells.shape[1]), bool)
        for names, seen, here in zip(self.names, self.seen, cells, strict=True):
            out[names] |= seen & here
        return out

    def by_event_time(self, event: NDArray[np.int64], cells: Mask) -> dict[int, int]:
        """Return how many clusters are at risk at each event time (G, T) within these cells (G, T)."""
        times = np.unique(event[cells])
        out = np.zeros((self.total, len(times)), bool)
        for names, seen, here, when in zip(self.names, self.seen, cells, event, strict=True):
            out[np.ix_(names, np.searchsorted(times, when[here]))] |= seen[:, here]
        return dict(zip(times.tolist(), out.sum(0).tolist(), strict=True))


def by_cluster(codes: NDArray[np.int64], seen: Mask) -> tuple[NDArray[np.int64], Mask]:
    """Return which clusters there are, and in which of the columns (n, T) any of their people is seen."""
    order = np.argsort(codes, kind="stable")
    names, first = np.unique(codes[order], return_index=True)
    return names, np.logical_or.reduceat(seen[order], first, axis=0)


def followed(seen: Mask) -> Mask:
    """Return where someone is seen who was seen before, and everyone in the first period that has anyone.

    Where each person has an effect of their own, only they say how a period differs from earlier ones.
    """
    out = seen.copy()
    out[:, 1:] &= np.logical_or.accumulate(seen, axis=1)[:, :-1]
    first = int(seen.any(0).argmax())
    out[:, first] = seen[:, first]
    return out


def observation_weights(panel: Panel) -> Array:
    """Return weights, (n,), or where observations have their own, (n, T)."""
    own = panel.censoring_weights
    return panel.weights if own is None else panel.weights[:, None] * own


def period_terms(seen: Mask, groups: int) -> list[Term]:
    """Return a term for each period in which anyone is seen (T,), but for the first."""
    where = np.broadcast_to(np.eye(len(seen), dtype=bool)[:, None], (len(seen), groups, len(seen)))
    return [(where[t], ONE) for t in np.flatnonzero(seen)[1:]]


def root_of(fit: Within, by: Array, codes: NDArray[np.int64], *, factor: float) -> Array:
    """Return the root (clusters, j) of ``fit.coef @ by``, for ``by (K, j)``."""
    influence = fit.influence(slice(0, len(codes)), by)
    return np.asarray(np.sqrt(factor) * cluster_sums(influence, codes, int(codes.max()) + 1))


def _design(terms: Sequence[Term]) -> Array:
    """Put terms side by side: (groups, covariates, T, regressors)."""
    (groups, periods), m = terms[0][0].shape, len(terms[0][1])
    out = np.zeros((groups, periods, m, sum(values.shape[1] for _, values in terms)))
    at = 0
    for where, values in terms:
        out[where, :, at : at + values.shape[1]] = values
        at += values.shape[1]
    return out.transpose(0, 2, 1, 3)


def linked(value: Array, time: Array, node: NDArray[np.int64], edges: NDArray[np.int64]) -> Mask:
    """Return which cells counts can be compared in where each person has an effect, (G, T).

    Cells of one ``node`` (G, T; below 0 for those not used) share a coefficient. Someone with events in one
    cell and time at risk in another keeps the first from falling without end beside the second; where such
    links do not lead both ways, a coefficient would be infinite. The cells that are linked are those with
    most events.
    """
    links = np.zeros((node.max() + 1,) * 2)
    events = np.zeros(len(links))
    for g, (low, high) in enumerate(pairwise(edges.tolist())):
        used = np.flatnonzero(node[g] >= 0)
        at_risk = time[low:high][:, used] > 0
        happened = at_risk & (value[low:high][:, used] > 0)
        to = node[g][used]
        np.add.at(links, (to[:, None], to), happened.T.astype(np.float32) @ at_risk.astype(np.float32))
        np.add.at(events, to, np.where(at_risk, value[low:high][:, used], 0.0).sum(0))
    _, part = connected_components(links > 0, connection="strong")
    return np.asarray((node >= 0) & (part == np.bincount(part, events).argmax())[node])
