"""Effects as what happened less what untreated time foretells (Borusyak, Jaravel and Spiess 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.panel import Panel
from impact.did.aggregate import aggregate
from impact.did.cells import Cell, Joint
from impact.did.coverage import coverage, left_out
from impact.did.design import as_list, check_events, covariate_matrix, people, staggered
from impact.did.regression import by_cluster, followed, observation_weights
from impact.errors import DesignError, ParameterError
from impact.numbers.inference import cluster_sums
from impact.numbers.regress import pseudo_inverse
from impact.results import Effects

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_INFERENCE = (
    "influence functions summed within clusters, without a small-sample factor (CR0); conservative, as "
    "effects are centred at the mean of their start and period; t with clusters - 1"
)


def imputation(
    panel: Panel,
    *,
    outcome: str | Sequence[str],
    covariates: Sequence[str] = (),
    anticipation: int = 0,
) -> Effects:
    """Estimate ATT(g, t) by foretelling each supported person's rate from time without support.

    Rates are regressed on person and period effects over all person-time before support (and before its
    anticipation), also that of people supported later. What supported people did less what this regression
    foretells for them is averaged within start and period. Each person has one weight: mean time at risk
    in a period times the panel's weight, and in each period the panel's censoring weight.

    Parameters
    ----------
    panel : Panel
        On the calendar clock; people may enter and leave.
    outcome : str or sequence of str
        Several outcomes give one joint result.
    covariates : sequence of str
        Measured before support: numbers, or categories. Each enters with an effect for each period.
    anticipation : int
        Periods before support in which the outcome may already react; they are estimated as effects.

    Returns
    -------
    Effects
        Rows of scale 'difference' with ``group, period, event_time``, in the panel's unit, and the hidden
        rows that ``aggregate`` and ``summarise`` need, with one joint root. Its errors are the conservative
        ones of the paper: the effects' own spread within a start and period counts as error.

    Raises
    ------
    DesignError
        On the event clock, or if no effect can be told from person and period effects.
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
    >>> effects = imputation(panel, outcome="falls")
    >>> effects.table[["group", "period", "estimate", "std_error"]].round(4)
       group  period  estimate  std_error
    0      2       2      -2.0        0.5
    """
    names = panel.check_outcomes(outcome)
    joint, _, said = _fitted(panel, names, covariates, anticipation)
    return joint.effects(said)


def imputed_event_study(
    panel: Panel,
    *,
    outcome: str | Sequence[str],
    covariates: Sequence[str] = (),
    anticipation: int = 0,
    leads: int | None = None,
) -> Effects:
    """Average the effects of ``imputation`` by event time, and test the periods before support.

    The effects before support come from a regression of their own, as in the paper: on untreated time only,
    with an effect for each of the last ``leads`` event times, which are read against all earlier ones. They
    test the assumption; they are not on one footing with the effects after support, which are read against
    all time before it, and so they can bound nothing.

    Parameters
    ----------
    panel, outcome, covariates, anticipation
        As for ``imputation``.
    leads : int, optional
        Without it, so many that the first to start keep one earlier period, but at least one.

    Returns
    -------
    Effects
        One row an event time; the row at ``reference`` stands for that event time and all before it.

    Raises
    ------
    ParameterError
        If there are not so many event times before support.
    """
    names = panel.check_outcomes(outcome)
    joint, models, said = _fitted(panel, names, covariates, anticipation)
    after = aggregate(joint.effects(said), by="event_time")
    first, last = min(models[0].starts) - anticipation, max(models[0].starts) - anticipation
    many = last - 1
    count = min(max(first - 1, 1), many) if leads is None else leads
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= many:
        raise ParameterError(f"leads={leads!r}: give a number of periods from 0 to {many}.")
    if not count:
        return after
    times = np.arange(-count, 0) - anticipation
    found = [model.leads(times) for model in models]
    labels = after.labels[after.labels["event_time"] >= 0].drop_duplicates("outcome")
    labels = labels.loc[labels.index.repeat(count)].assign(event_time=np.tile(times, len(names)))
    labels["term"] = [f"event time {e}" for e in labels["event_time"]]
    counts = [model.counts([(g, g + e) for g in model.starts]) for model in models for e in times.tolist()]
    roots = [cluster_sums(influence, joint.codes, len(joint.clusters)) for _, influence in found]
    return replace(
        after,
        labels=pd.concat([labels, after.labels], ignore_index=True),
        estimate=np.concatenate([*(estimate for estimate, _ in found), after.estimate]),
        root=np.hstack([*roots, after.root @ np.eye(len(after))]),
        counts=pd.concat([pd.DataFrame(counts), after.counts], ignore_index=True),
        method={**after.method, "pre_effects": "separate regression", "reference": int(times[0]) - 1},
    )


def _fitted(
    panel: Panel, names: list[str], covariates: Sequence[str], anticipation: int
) -> tuple[Joint, list[_Untreated], dict[str, Any]]:
    """Fit each outcome, and return the joint vector, the regressions and what was done."""
    panel, notes = staggered(panel, names, estimator="imputation", anticipation=anticipation)
    z, joint = covariate_matrix(panel, covariates), Joint(panel)
    after, models = np.arange(len(panel.periods)) >= panel.start[:, None], []
    for name in names:
        notes += check_events(panel, name, after)
        models.append(_Untreated(joint, name, z, anticipation))
        cells = models[-1].cells()
        joint.add(name, cells, models[-1].influence)
        notes += models[-1].notes(cells)
    said = {
        "estimator": "imputation",
        "estimand": "average effect on those supported, by start and period",
        "outcome": names,
        "control": "time before support, and people without support",
        "family": "linear",
        "period": panel.step,
        "inference": _INFERENCE,
        "covariates": as_list(covariates),
        "anticipation": anticipation,
        "reference": None,
        "notes": notes,
    }
    return joint, models, said


class _Untreated:
    """The regression of one outcome on untreated time; people are sorted by start, ``z`` is (1 + p, n).

    With the person effects concentrated out, the periods' effects (each times the covariates) solve normal
    equations of size T (1 + p). The influence of person i on a cell is ``score_i @ lever``: the score holds
    weighted residuals, in supported periods from the mean effect of their cell. The person effects need no
    part of their own, because each person's untreated residuals sum to zero.
    """

    def __init__(self, joint: Joint, name: str, z: Array, anticipation: int) -> None:
        panel = joint.panel
        self.joint, self.panel, self.name, self.z = joint, panel, name, z
        self.weights, self.before = _weights(panel, name), _untreated(panel, anticipation)
        v = self._informative(len(z))
        total = v.sum(1)
        self.known = total > 0
        self.weights[~self.known] = 0
        # Each person's weights over untreated time, which sum to one.
        self.pattern = v / np.where(self.known, total, 1.0)[:, None]
        q, T = len(z), len(panel.periods)
        gram = np.empty((q, T, q, T))
        for m in range(q):
            for j in range(m + 1):
                zz = z[m] * z[j]
                part = np.diag(zz @ v) - v.T @ (self.pattern * zz[:, None])
                gram[m, :, j], gram[j, :, m] = part, part.T
        self.gram = gram.reshape(q * T, q * T)
        self.bread, _ = pseudo_inverse(self.gram)
        rate = np.nan_to_num(panel.rate(name))
        rate -= np.einsum("it,it->i", self.pattern, rate)[:, None]
        coef = (self.bread @ (z @ (v * rate)).ravel()).reshape(q, T)
        rate -= z.T @ coef
        rate -= np.einsum("it,it->i", self.pattern, rate)[:, None]
        self.score = self.weights * rate
        self.starts, self.once = [g for g in joint.members if g < T], panel.once
        self.everyone = {
            "persons": panel.persons(self.known),
            "clusters": len(np.unique(joint.codes[self.known])),
        }
        self.levers: dict[int, Array] = {}
        self.lost: dict[str, list[tuple[int, int]]] = {}

    def cells(self) -> list[Cell]:
        """Return the effects that the data identify, and keep what their influences need."""
        T, q, joint = len(self.panel.periods), len(self.z), self.joint
        found: list[Cell] = []
        gammas: list[Array] = []
        sizes: list[float] = []
        for g in self.starts:
            members = joint.members[g]
            seen = self.weights[members] > 0
            for t, gamma in zip(*self._gammas(g, members), strict=True):
                if not seen[:, t].any() or not self._kept(g, t, gamma, joint.codes[members][seen[:, t]]):
                    continue
                size = self.weights[members, t].sum()
                estimate = self.score[members, t].sum() / size
                self.score[members, t] -= estimate * self.weights[members, t]
                found.append(Cell(g, int(t), float(estimate), self.counts([(g, t)])))
                gammas.append(gamma)
                sizes.append(size)
        if not found:
            why = "; ".join(self.lost)
            raise DesignError(
                f"outcome={self.name!r}: no effect can be told from person and period effects "
                f"({why or 'nobody supported was at risk before support'}). Widen the window or the controls."
            )
        for g, members in joint.members.items():
            lever = -np.array(gammas).T.reshape(q, T, len(found))
            lever[:, ~self.before[members.start]] = 0
            for j, c in enumerate(found):
                if c.group == g:
                    lever[0, c.period, j] = 1 / sizes[j]
            self.levers[g] = lever
        return found

    def leads(self, times: NDArray[np.int64]) -> tuple[Array, Array]:
        """Regress also on these event times; return their effects and each person's influence, (n, leads)."""
        T, q, k = len(self.panel.periods), len(self.z), len(times)
        groups = [(self.before[m.start], self.panel.start[m.start], m) for m in self.joint.members.values()]
        designs = [
            (here[:, None] & (np.arange(T)[:, None] - g == times)) * float(g < T) for here, g, _ in groups
        ]
        cross, information, score = np.zeros((q, T, k)), np.zeros((k, k)), np.zeros(k)
        for x, (here, _, m) in zip(designs, groups, strict=True):
            v, pattern = self.weights[m] * here, self.pattern[m]
            for j, z in enumerate(self.z[:, m]):
                cross[j] += (z @ v)[:, None] * x - (v * z[:, None]).T @ (pattern @ x)
            information += x.T @ (v.sum(0)[:, None] * x - v.T @ (pattern @ x))
            score += self.score[m].sum(0) @ x
        # The periods' effects are concentrated out in turn.
        slope = (self.bread @ cross.reshape(q * T, k)).reshape(q, T, k)
        bread, rank = pseudo_inverse(information - np.einsum("mtk,mtj->kj", cross, slope))
        if rank < k:
            raise DesignError(
                f"outcome={self.name!r}: {k} effects before support cannot be told from each other or "
                "from the periods; ask for fewer leads."
            )
        estimate = bread @ score
        influence = np.empty((self.panel.n, k))
        for x, (here, _, m) in zip(designs, groups, strict=True):
            moved = x @ estimate - np.einsum("mi,mtk,k->it", self.z[:, m], slope, estimate)
            moved -= np.einsum("it,it->i", self.pattern[m], moved)[:, None]
            left = (self.score[m] - self.weights[m] * moved) * here
            of_periods = sum((left * z[:, None]) @ part for z, part in zip(self.z[:, m], slope, strict=True))
            influence[m] = (left @ x - of_periods) @ bread
        return estimate, influence

    def counts(self, cells: Sequence[tuple[int, int]]) -> dict[str, int]:
        """Count the people behind the regression, and those supported and their events in these cells."""
        treated, events = 0, 0.0
        for g, t in cells:
            if t >= 0:
                here, mine = (self.joint.members[g], t), self.once[self.joint.members[g]]
                treated += int((self.weights[here] > 0)[mine].sum())
                events += float(self.panel.outcomes[self.name][here][mine].sum())
        return self.everyone | {"treated": treated, "events": round(events)}

    def influence(self, rows: slice, by: Array) -> Array:
        """Return the influence of the people in ``rows`` on the cells times ``by``."""
        out = np.zeros((rows.stop - rows.start, by.shape[1]))
        for g, members in self.joint.members.items():
            low, high = max(rows.start, members.start), min(rows.stop, members.stop)
            if low < high:
                part = out[low - rows.start : high - rows.start]
                for z, lever in zip(self.z[:, low:high], self.levers[g], strict=True):
                    part += (self.score[low:high] * z[:, None]) @ (lever @ by)
        return out

    def notes(self, cells: Sequence[Cell]) -> list[str]:
        """Say who and which periods the effects leave out."""
        panel, name = self.panel, self.name
        seen = (panel.exposure[name] > 0) & (panel.weights > 0)[:, None]
        without = int((seen.any(1) & ~self.known).sum())
        notes = []
        if without:
            notes.append(
                f"{name}: left out, as they have no time at risk without support: {people(without)}."
            )
        return notes + left_out(panel, name, self.lost) + coverage(panel, name, cells)

    def _informative(self, q: int) -> Array:
        """Return the weights of untreated time (n, T), without periods that too few clusters speak of.

        A period's effects fit what is seen of ``q`` clusters or fewer without a residual, as if it were known
        without error. Who is seen in no other period says nothing of it.
        """
        v = self.weights * self.before
        while True:
            seen = v > 0
            _, hit = by_cluster(self.joint.codes, followed(seen & (seen.sum(1) > 1)[:, None]))
            few = (hit.sum(0) <= q) & seen.any(0)
            if not few.any():
                return v
            v[:, few] = 0
            self.weights[self.before & few] = 0

    def _gammas(self, g: int, members: slice) -> tuple[NDArray[np.int64], Array]:
        """Return a group's supported periods, and how the period effects enter its mean forecast in each."""
        q, T = len(self.z), len(self.panel.periods)
        periods = np.flatnonzero(~self.before[members.start])
        w = self.weights[members][:, periods]
        w = w / np.where(w.sum(0) > 0, w.sum(0), 1.0)
        needs = np.empty((len(periods), q, T))
        for m, z in enumerate(self.z[:, members]):
            needs[:, m] = -(w.T @ (self.pattern[members] * z[:, None]))
            needs[np.arange(len(periods)), m, periods] += z @ w
        flat = needs.reshape(len(periods), q * T)
        gammas = flat @ self.bread
        # What the normal equations cannot give back is not a function of the data: that effect is unknown.
        unknown = np.abs(gammas @ self.gram - flat).max(1, initial=0.0) > 1e-6
        gammas[unknown] = np.nan
        return periods, gammas

    def _kept(self, g: int, t: int, gamma: Array, clusters: NDArray[np.int64]) -> bool:
        """Whether a cell has an effect and an error; if not, keep why."""
        why = None
        if np.isnan(gamma).any():
            why = "as too few clusters show what these periods were like without support"
        elif (clusters == clusters[0]).all():
            why = "as their people belong to a single cluster, which has no error"
        if why is not None:
            self.lost.setdefault(why, []).append((g, int(t)))
        return why is None


def _weights(panel: Panel, name: str) -> Array:
    """Return the weight of each person and period at risk: one a person, times the censoring weights."""
    time, own = panel.exposure[name], observation_weights(panel)
    seen = time > 0
    mean = time.sum(1) / np.maximum(seen.sum(1), 1)
    return np.asarray((own[:, None] if own.ndim == 1 else own) * mean[:, None] * seen)


def _untreated(panel: Panel, anticipation: int) -> Mask:
    """Return where people are without support and not about to have it, (n, T)."""
    T = len(panel.periods)
    never = panel.start >= T
    return np.asarray(never[:, None] | (np.arange(T) < panel.start[:, None] - anticipation))
