"""Who leaves the panel before its end, and whether that hangs together with support or with the outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.panel import Panel
from impact.did.design import start_positions, weighed
from impact.numbers.inference import cluster_codes, cluster_sums
from impact.results import Summary

Array = NDArray[np.float64]
Positions = NDArray[np.int64]

# Ends that say nothing about the person: the panel's or the data's own, or a rule of the analysis.
_NOT_LEAVING = ("", "death", "support", "follow-up")
# A note is written where leaving differs by a third or more and by more than two standard errors; fewer
# leavers than this say nothing either way.
_THIRD, _ERRORS, _FEW = 4 / 3, 2.0, 10


def leaving(panel: Panel, *, outcome: str | Sequence[str]) -> Summary:
    """Count who joins late, leaves early and dies, by arm, and test what leaving is related to.

    A person leaves in the last period in which they are at risk, if that is before the last one observed
    for their arm and they did not die (``Panel.ended`` says why, where that is known). People who die are
    not leavers: rates are rates while alive. The tests are score tests of the pooled logit of leaving with
    an effect for each period (log-rank tests), with errors by the panel's clusters: of being supported at
    the time, and of the person's own rate of the outcome so far, among people of the same arm.

    Parameters
    ----------
    panel : Panel
    outcome : str or sequence of str

    Returns
    -------
    Summary
        One row an outcome and arm: ``persons, joined_late, left, left_percent`` and, where reasons are known,
        ``died, died_percent``. ``method["tests"]`` has, for each outcome with at least 10 leavers,
        ``related_to`` ('support' or 'past use'), ``relative`` (how many times as often the supported leave;
        leavers' past rate over that of those then at risk), ``statistic`` (a z value) and ``p_value``.
        ``method["notes"]`` says in words what is related: z beyond 2 and a difference of a third or more.

    Examples
    --------
    >>> frame = pd.DataFrame({"id": [1, 1, 1, 2, 2, 3, 3, 3, 4, 4, 4],
    ...                       "year": [1, 2, 3, 1, 2, 1, 2, 3, 1, 2, 3],
    ...                       "falls": 1, "start": [2] * 5 + [None] * 6})
    >>> panel = Panel.from_long(frame, unit="id", period="year", outcomes=["falls"], first_treated="start")
    >>> leaving(panel, outcome="falls").table[["arm", "persons", "left"]].values.tolist()
    [['supported', 2, 1], ['control', 2, 0]]
    """
    from scipy.special import ndtr

    names = panel.check_outcomes(outcome)
    panel = weighed(panel, names)
    rows, tests, notes = [], [], []
    for name in names:
        spells, once = Spells.of(panel, panel.exposure[name]), panel.each_once()
        told = Spells.of(once, once.exposure[name])
        for arm, members in (("supported", once.treated), ("control", ~once.treated)):
            rows.append({"outcome": name, "arm": arm, **told.counts(members)})
        for related, found in _tests(panel, name, spells).items():
            value = found._asdict() | {"p_value": float(2 * ndtr(-abs(found.statistic)))}
            tests.append({"outcome": name, "related_to": related, **value})
        notes += leaving_notes(panel, name)
    table = pd.DataFrame(rows)
    shown = ["left", *(["died"] if panel.ended is not None else [])]
    for column in shown:
        table[f"{column}_percent"] = 100 * table[column] / table["persons"]
    if panel.ended is None:
        table = table.drop(columns="died")
    return Summary(
        table,
        {
            "shows": "joining and leaving",
            "outcome": names,
            "inference": "score tests of a pooled logit with period effects, errors by cluster",
            "tests": tests,
            "notes": notes,
        },
        people=("persons", "joined_late", *shown),
        percent={f"{column}_percent": (column, "persons") for column in shown},
    )


def leaving_notes(panel: Panel, name: str) -> list[str]:
    """Say in a sentence each whether leaving is related to support or to the outcome, if it is.

    Quick enough for every result to say it (``estimate`` does): no regression is fitted. A relation is told
    where at least 10 people left, its z value is beyond 2 and the difference is a third or more; not where
    the panel carries censoring weights, whose own note is told.

    Examples
    --------
    >>> frame = pd.DataFrame({"id": [1, 1, 2, 2], "year": [1, 2, 1, 2], "falls": 1,
    ...                       "start": [2, 2, None, None]})
    >>> leaving_notes(Panel.from_long(frame, unit="id", period="year", outcomes=["falls"],
    ...                               first_treated="start"), "falls")
    []
    """
    if panel.censoring_weights is not None:
        return []  # Leaving is weighed for, and the note of the weights says so.
    said = {
        "support": "supported people left {times} as often as others at the same time",
        "past use": "people who left had had {times} as much of it, until then, as others of their group",
    }
    return [
        f"Leaving, {name}: {said[related].format(times=_times(found.relative))}; this result holds if, "
        "without support, they would have changed as those who stayed did. Those who left can be weighed for "
        "(censoring_weights)."
        for related, found in _tests(panel, name, Spells.of(panel, panel.exposure[name])).items()
        if abs(found.statistic) > _ERRORS and not 1 / _THIRD < found.relative < _THIRD
    ]


def _times(relative: float) -> str:
    if not np.isfinite(relative):
        return "many times"
    return f"{relative:.1f} times" if relative > 1 else f"only {100 * relative:.0f}%"


@dataclass(frozen=True, eq=False)
class Spells:
    """When each person could leave: from ``first`` to before ``until``, and whether they did at the end.

    ``last`` is the last period at risk. Who dies could have left in that period; who reaches the end of the
    panel, of the data or of the analysis could not.
    """

    first: Positions
    last: Positions
    until: Positions
    left: NDArray[np.bool_]
    died: NDArray[np.bool_]
    late: NDArray[np.bool_]
    periods: int

    @classmethod
    def of(cls, panel: Panel, time: Array) -> Spells:
        """Read the spells from time at risk (n, T)."""
        at_risk = time > 0
        T = at_risk.shape[1]
        ever = at_risk.any(1)
        first = np.where(ever, at_risk.argmax(1), T).astype(np.int64)
        last = np.where(ever, T - 1 - at_risk[:, ::-1].argmax(1), -1).astype(np.int64)
        late, early = ever & (first > 0), ever & (last < T - 1)
        if late.any() or early.any():
            # Services may be observed from and until different days in different arms.
            arm = pd.factorize(panel.arm)[0]
            begin, end = np.full(arm.max(initial=0) + 1, T), np.full(arm.max(initial=0) + 1, -1)
            np.minimum.at(begin, arm, first)
            np.maximum.at(end, arm, last)
            late, early = ever & (first > begin[arm]), ever & (last < end[arm])
        left, died = early, np.zeros(panel.n, bool)
        if panel.ended is not None:
            left = early.copy()
            left[early] = ~np.isin(panel.ended[early].astype(str), _NOT_LEAVING)
            died = ever & (panel.ended == "death")
        until = np.where(ever, last + (left | (died & early)), first)
        return cls(first, last, until, left, died, late, T)

    def counts(self, members: NDArray[np.bool_]) -> dict[str, int]:
        """How many of these people there are, joined late, left and died."""
        columns = {"persons": self.last >= 0, "joined_late": self.late, "left": self.left, "died": self.died}
        return {name: int((who & members).sum()) for name, who in columns.items()}

    def at_risk(self, first: Positions, group: Positions, groups: int) -> Array:
        """How many could leave in each period, (groups, T), from ``first`` on."""
        some = first < self.until
        change = self._placed(group[some], first[some], groups) - self._placed(
            group[some], self.until[some], groups
        )
        return np.asarray(change.cumsum(1)[:, :-1])

    def leavers(self, group: Positions, groups: int, among: NDArray[np.bool_] | None = None) -> Array:
        """How many left in each period, (groups, T)."""
        who = self.left if among is None else self.left & among
        return self._placed(group[who], self.last[who], groups)[:, :-1]

    def _placed(self, group: Positions, when: Positions, groups: int) -> Array:
        width = self.periods + 1
        flat = np.bincount(group * width + when, minlength=groups * width)
        return flat.reshape(groups, width).astype(float)


class Relation(NamedTuple):
    """How leaving goes with something: a ratio (1 is no relation) and the z value of its score test."""

    relative: float
    statistic: float


def _tests(panel: Panel, name: str, spells: Spells) -> dict[str, Relation]:
    left = spells.left
    if left.sum() < _FEW:
        return {}
    codes, clusters = cluster_codes(panel.cluster)
    found = {"support": _by_support(panel, spells), "past use": _by_past_use(panel, name, spells)}
    out = {}
    for related, (influence, relative) in found.items():
        error = np.sqrt((cluster_sums(influence, codes, len(clusters)) ** 2).sum())
        # Where everyone is alike there is nothing that leaving could be related to.
        if error > 1e-9 and np.isfinite(relative):
            out[related] = Relation(float(relative), float(influence.sum() / error))
    return out


def _by_support(panel: Panel, spells: Spells) -> tuple[Array, float]:
    """Score of being supported at the time, and the Mantel-Haenszel ratio of leaving, supported to others."""
    one = np.zeros(panel.n, np.int64)
    start = np.where(panel.treated, np.maximum(start_positions(panel), spells.first), spells.periods)
    supported = start <= spells.last
    at_risk, with_support = spells.at_risk(spells.first, one, 1), spells.at_risk(start, one, 1)
    left, left_with = spells.leavers(one, 1), spells.leavers(one, 1, supported)
    hazard, share = _ratio(left, at_risk), _ratio(with_support, at_risk)
    total = _running(hazard)[0]
    met = np.where(start < spells.until, total[spells.until] - total[np.minimum(start, spells.periods)], 0.0)
    influence = _residual(spells, one, hazard, share, supported.astype(float), met)
    with_them, others = (left_with * (1 - share)).sum(), ((left - left_with) * share).sum()
    if not others:
        return influence, np.inf if with_them else np.nan
    return influence, float(with_them / others)


def _by_past_use(panel: Panel, name: str, spells: Spells) -> tuple[Array, float]:
    """Score of the own rate so far, within arms, and leavers' rate over that of those then at risk."""
    T, group = spells.periods, panel.treated.astype(np.int64)
    # A product with a triangle of ones is a running sum, and quicker; the rate before any time is 0.
    until_now = np.triu(np.ones((T, T)))
    sofar = panel.outcomes[name] @ until_now
    sofar /= panel.exposure[name] @ until_now + 1e-300
    sofar *= np.arange(T) < spells.until[:, None]
    at_risk, members = spells.at_risk(spells.first, group, 2), np.stack([group == 0, group == 1])
    hazard = _ratio(spells.leavers(group, 2), at_risk)
    mean = _ratio(members.astype(float) @ sofar, at_risk)
    everyone = np.arange(panel.n)
    x, met = sofar[everyone, spells.last], (sofar @ hazard.T)[everyone, group]
    influence = _residual(spells, group, hazard, mean, x, met)
    expected = float(mean[group, spells.last][spells.left].sum())
    return influence, float(x[spells.left].sum()) / expected if expected > 0 else np.nan


def _ratio(above: Array, below: Array) -> Array:
    return np.asarray(np.divide(above, below, out=np.zeros_like(above), where=below > 0))


def _running(values: Array) -> Array:
    return np.concatenate([np.zeros((len(values), 1)), values.cumsum(1)], axis=1)


def _residual(spells: Spells, group: Positions, hazard: Array, mean: Array, x: Array, met: Array) -> Array:
    """Each person's part of the score: sum over time of (x - mean) (left - hazard).

    ``met`` is the person's sum of x times hazard while they could leave.
    """
    total = _running(hazard * mean)
    expected = total[group, spells.until] - total[group, np.minimum(spells.first, spells.until)]
    own: Any = np.where(spells.left, x - mean[group, spells.last], 0.0)
    return np.asarray(own - met + expected)
