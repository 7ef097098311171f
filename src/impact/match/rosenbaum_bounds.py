"""How far a hidden difference within matched sets could change what they say: Rosenbaum's bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import bdtrc, ndtr

from impact.errors import DataError, DesignError, ParameterError, nearest, together
from impact.results import Bounds, Matched

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

GAMMA = (1.0, 1.25, 1.5, 2.0, 3.0)
# The test behind the bounds is one-sided at this level, as in the literature.
LEVEL = 0.05
# Beyond this no hidden difference is worth telling apart.
_MOST = 100.0
_PER_MONTHS = 1000


def _ranks(values: Array) -> Array:
    """Ranks from 1; those of equal values are averaged. Not by scipy.stats, which takes long to import."""
    _, place, many = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((many.cumsum() - (many - 1) / 2)[place])


@dataclass(frozen=True, eq=False)
class Sets:
    """People of matched sets in which one differs from all others in having had support, or in not having.

    ``chosen`` marks the one that is alone in its arm; ``sign`` is 1 where that one was supported, -1 where
    it was the control of several.
    """

    y: Array
    treated: NDArray[np.bool_]
    sets: Rows
    chosen: NDArray[np.bool_]
    sign: Array

    def scores(self, shift: float, direction: float) -> Array:
        """Ranks that add up to the statistic over the chosen, after taking ``shift`` from the supported.

        Pairs have Wilcoxon's signed ranks, larger sets the ranks of responses less their set's mean.
        """
        value = direction * (self.y - shift * self.treated)
        size = np.bincount(self.sets)
        if (size == 2).all():
            difference = np.bincount(self.sets, np.where(self.treated, value, -value))
            # Pairs without a difference tell nothing and have no rank.
            rank = np.maximum(_ranks(np.abs(difference)) - np.count_nonzero(difference == 0), 0.0)
            rank[difference == 0] = 0.0
            # The rank goes to whichever of the two has the higher value.
            higher = np.where(self.treated, difference[self.sets] > 0, difference[self.sets] < 0)
            return np.asarray(higher * rank[self.sets])
        mean = np.bincount(self.sets, value) / size
        return _ranks(value - mean[self.sets]) * self.sign

    def deviate(self, gamma: float, shift: float, direction: float) -> float:
        """Standard normal deviate of the statistic against the worst that a hidden difference could do."""
        q = self.scores(shift, direction)
        mean, variance = _worst(q, self.sets, gamma)
        spread = np.sqrt(variance)
        return float((q[self.chosen].sum() - mean) / spread) if spread > 0 else 0.0

    def p_value(self, gamma: float, direction: float) -> float:
        """Largest p-value; exact for pairs that can differ in one way only, as with a yes or no."""
        q = self.scores(0.0, direction)
        if (np.bincount(self.sets) == 2).all() and len(np.unique(q[q > 0])) == 1:
            better, pairs = np.count_nonzero(q[self.chosen]), np.count_nonzero(q)
            return float(bdtrc(better - 1, pairs, gamma / (1 + gamma)))
        return float(ndtr(-self.deviate(gamma, 0.0, direction)))


def rosenbaum_bounds(matched: Matched, *, outcome: str, gamma: Sequence[float] = GAMMA) -> Bounds:
    """Bound p-value and effect where people within a set may have differed in their odds of support.

    ``gamma`` is how many times as likely to be supported one of two matched people may have been, because of
    something that was not measured. At 1 the matching is as good as a lottery within sets. Compared are rates
    of people, ranked, so that a few people with very many events do not decide.

    Parameters
    ----------
    matched : Matched
        Pairs, one supported with several controls, or several with one control; without replacement.
    outcome : str
    gamma : sequence of float
        From 1.

    Returns
    -------
    Bounds
        A row for each ``gamma``: ``p_value``, the largest that such a hidden difference allows (one-sided, in
        the direction of the estimate); ``conf_low`` and ``conf_high``, the least and greatest estimate (of
        Hodges and Lehmann) that it allows; ``breakdown``, the largest ``gamma`` at which the p-value stays
        under 0.05 (missing where it never does).

    Raises
    ------
    ParameterError, DataError
        For a ``gamma`` below 1 and an outcome that is not there.
    DesignError
        For weights, strata or replacement instead of sets, and where nobody has time at risk.

    References
    ----------
    Rosenbaum, P. R. (2002). Observational Studies, 2nd ed., ch. 4. Gastwirth, J. L., Krieger, A. M. and
    Rosenbaum, P. R. (2000). Asymptotic separability in sensitivity analysis. Journal of the Royal Statistical
    Society B 62, 545-555.

    Examples
    --------
    >>> from impact.data import Cohort
    >>> from impact.match import nearest
    >>> frame = pd.DataFrame({"helped": [1] * 6 + [0] * 6, "age": [*range(60, 66)] * 2,
    ...                       "visits": [0, 1, 1, 2, 0, 1, 3, 4, 6, 7, 5, 8]})
    >>> cohort = Cohort.from_frame(frame, treated="helped", outcomes=["visits"])
    >>> pairs = nearest(cohort, on=["age"], distance="mahalanobis")
    >>> rosenbaum_bounds(pairs, outcome="visits", gamma=[1, 2]).table["p_value"].round(3).tolist()
    [0.013, 0.057]
    """
    limits = [float(g) for g in gamma]
    if not limits or not all(g >= 1 for g in limits):
        raise ParameterError(f"gamma={list(gamma)}: give numbers from 1, such as 1, 1.5 and 2.")
    sets, counts = _sets(matched, outcome)
    centre = _solve(lambda shift: sets.deviate(1.0, shift, 1.0), sets.y)
    direction = -1.0 if sets.deviate(1.0, 0.0, 1.0) < 0 else 1.0
    rows = []
    for g in limits:
        ends = [
            d * _solve(lambda shift, g=g, d=d: sets.deviate(g, d * shift, d), d * sets.y)  # type: ignore[misc]
            for d in (1.0, -1.0)
        ]
        rows.append(
            {"gamma": g, "p_value": sets.p_value(g, direction), "conf_low": min(ends), "conf_high": max(ends)}
        )
    said = {
        "outcome": outcome,
        "term": "effect",
        "scale": "difference",
        "unit": f"per {_PER_MONTHS:,} person-months",
        "restriction": "hidden difference within sets",
    }
    table = pd.DataFrame(rows).assign(
        **said, estimate=centre, null_value=0.0, breakdown=_breakdown(sets, direction)
    )
    table = table[[*said, "gamma", "estimate", "conf_low", "conf_high", "p_value", "null_value", "breakdown"]]
    method = {
        "estimator": "rosenbaum_bounds",
        "outcome": outcome,
        "inference": "one-sided rank test",
        "matching": dict(matched.method),
    }
    return Bounds(table, method, pd.DataFrame([counts] * len(table)))


def _sets(matched: Matched, outcome: str) -> tuple[Sets, dict[str, int]]:
    cohort, problems = matched.cohort, []
    if matched.method.get("clusters") != "matched set":
        raise DesignError(
            f"{matched.method['estimator']}: bounds for hidden differences need matched sets without "
            "replacement; use nearest, optimal or full."
        )
    if outcome not in cohort.outcomes:
        held = ", ".join(map(repr, cohort.outcomes)) or "none: follow it up first"
        problems.append(
            f"outcome={outcome!r}: the outcomes of the cohort are {held}.{nearest(outcome, cohort.outcomes)}"
        )
        raise DataError(together(problems))
    used = matched.table[matched.table["weight"] > 0]
    person = pd.Index(cohort.person_id).get_indexer(used["person_id"])
    if len(np.unique(cohort.person[person])) < len(person):
        raise DesignError(
            "matched: someone is in several sets, at several dates, and bounds take sets as independent of "
            "each other; match people at one date each."
        )
    events, months = (np.asarray(v[outcome], float)[person] for v in (cohort.outcomes, cohort.exposure))
    treated = np.asarray(cohort.treated, bool)[person]
    number = pd.factorize(used["subclass"].to_numpy(int))[0]
    there = months > 0
    whole = (np.bincount(number, there & treated) > 0) & (np.bincount(number, there & ~treated) > 0)
    kept = there & whole[number]
    if np.count_nonzero(whole) < 2:
        raise DesignError(f"outcome={outcome!r}: fewer than two sets have time at risk on both sides.")
    events, months, treated = events[kept], months[kept], treated[kept]
    number = pd.factorize(number[kept])[0]
    many = np.bincount(number, treated) > 1
    if (many & (np.bincount(number, ~treated) > 1)).any():
        raise DesignError("matched: a set with several people on both sides has no bounds; use pairs.")
    chosen = np.where(many[number], ~treated, treated)
    sets = Sets(_PER_MONTHS * events / months, treated, number, chosen, np.where(many[number], -1.0, 1.0))
    of_arm = [round(float(events[arm].sum())) for arm in (treated, ~treated)]
    counts = {
        "persons": len(treated),
        "treated": int(treated.sum()),
        "clusters": len(many),
        "events": of_arm[0],
        "fewest": min(of_arm),
    }
    return sets, counts


def _worst(q: Array, sets: Rows, gamma: float) -> tuple[float, float]:
    """Largest expectation of the chosen's scores, and its variance, set by set.

    Within a set the worst case gives the highest scores odds ``gamma`` times those of the lowest; where
    several cuts give the same expectation, the one with the largest variance counts.
    """
    order = np.argsort(sets, kind="stable")
    size = np.bincount(sets)
    begin = np.cumsum(size) - size
    mean, variance = 0.0, 0.0
    for n in np.unique(size):
        values = np.sort(q[order[begin[size == n][:, None] + np.arange(n)]], axis=1)
        if n == 2:
            cuts = np.array([[1.0, gamma]])
        else:
            cuts = np.where(np.arange(n) >= np.arange(1, n)[:, None], gamma, 1.0)
        chance = cuts / cuts.sum(axis=1, keepdims=True)
        means = values @ chance.T
        variances = (values**2) @ chance.T - means**2
        best = means >= means.max(axis=1, keepdims=True) - 1e-9 * (1 + np.abs(means).max())
        mean += means.max(axis=1).sum()
        variance += np.where(best, variances, 0.0).max(axis=1).sum()
    return float(mean), float(variance)


def _solve(deviate: Callable[[float], float], y: Array) -> float:
    """Find the shift at which the statistic meets its expectation: it falls, by steps, as the shift grows.

    Where a whole stretch of shifts meets it, its middle is the answer, as Hodges and Lehmann have it.
    """
    ends = []
    # Both ends are looked for in the same places at first.
    found = cache(deviate)
    for least in (1e-9, -1e-9):
        low, high = -float(np.ptp(y)) - 1.0, float(np.ptp(y)) + 1.0
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if found(middle) > least else (low, middle)
        ends.append((low + high) / 2)
    return sum(ends) / 2


def _breakdown(sets: Sets, direction: float) -> float:
    def held(gamma: float) -> bool:
        return sets.p_value(gamma, direction) < LEVEL

    if not held(1.0):
        return float("nan")
    low, high = 1.0, _MOST
    if held(high):
        return high
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if held(middle) else (low, middle)
    return low
