"""Genetic matching: weights on the covariates are searched for under which the arms are most alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from impact.errors import DesignError, ParameterError
from impact.match.balance import distinct
from impact.match.distances import Measure, measure
from impact.match.eligible import SCORE, Calipers, codes, rules
from impact.match.estimands import check_estimand
from impact.match.greedy import Limits, Sides, Space, in_rounds
from impact.match.nearest import check_numbers, is_whole, nobody_matched, table_of_sets
from impact.match.people import People
from impact.match.propensity import Array, Design, Link, Missing, Rows
from impact.results import Matched

if TYPE_CHECKING:
    from impact.data import Cohort

# How far a candidate steps along the difference of two others, and the share of its weights that step.
_STEP, _SHARE = 0.7, 0.7
_FEWEST = 4


def genetic(
    cohort: Cohort,
    *,
    on: Sequence[str],
    estimand: Literal["ATT", "ATC"] = "ATT",
    link: Link = "logit",
    missing: Missing = "error",
    exact: Sequence[str] = (),
    anti_exact: Sequence[str] = (),
    caliper: float | Mapping[str, float] | None = None,
    ratio: int = 1,
    replace: bool = False,
    population: int = 20,
    generations: int = 5,
    seed: int = 0,
) -> Matched:
    """Match to the nearest in a distance whose weights are searched for the best balance.

    The distance is the Mahalanobis distance with a weight on each covariate (each level of a categorical
    one) and on the propensity score beside them. Each candidate, a set of weights, is matched as ``nearest``
    does, the person with the largest score first (for the ATC the smallest), and judged by the covariate
    that is furthest apart in the matched sample: the larger of its absolute standardised difference and its
    Kolmogorov-Smirnov distance, as of ``balance``; where two candidates are alike in that, by the next. Who
    would match fewer people than the Mahalanobis distance itself comes after all who do not.

    Candidates begin with the Mahalanobis distance, the same with the score, the score alone, and weights
    drawn at random. In each generation every candidate is set beside one that steps from the best so far
    along the difference of two others (differential evolution); the better of the two stays. So the result
    is never worse, by the criterion above, than ``nearest`` with ``distance='mahalanobis'`` and the same
    order. It depends on the seed, and not on the order of rows.

    Parameters
    ----------
    cohort : Cohort
    on : sequence of str
        Covariates, columns of ``cohort.table``.
    estimand : 'ATT' or 'ATC'
        The effect on the supported, or on the controls who then choose among the supported.
    link : 'logit', 'probit' or 'penalised'
        Of the propensity score.
    missing, exact, anti_exact, caliper, ratio, replace : see ``nearest``
        A caliper on the score is in its standard deviations.
    population : int
        Candidates in each generation, from 4.
    generations : int
        How often each candidate is set beside a new one. Every one of population x (generations + 1)
        candidates costs one match.
    seed : int
        Of the random weights and steps.

    Returns
    -------
    Matched
        As of ``nearest``. ``method["weights"]`` has the weight of each column and of the 'score' (the
        largest is 1), ``method["worst_imbalance"]`` the criterion, and
        ``method["worst_imbalance_mahalanobis"]`` what it is without the search.

    Raises
    ------
    ParameterError, DataError, DesignError
        For an argument that makes no sense, a column that is absent or incomplete, a score that cannot be
        fitted, an estimand it lacks, and rules that leave nobody.

    References
    ----------
    Diamond, A. and Sekhon, J. S. (2013). Genetic matching for estimating causal effects. Review of Economics
    and Statistics 95, 932-945. Storn, R. and Price, K. (1997). Differential evolution. Journal of Global
    Optimization 11, 341-359.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from impact.data import Cohort
    >>> rng = np.random.default_rng(1)
    >>> frame = pd.DataFrame({"helped": [1] * 30 + [0] * 90, "age": rng.normal(60, 9, 120).round()})
    >>> frame["ltc_n"] = rng.poisson(1 + frame["helped"])
    >>> found = genetic(Cohort.from_frame(frame, treated="helped"), on=["age", "ltc_n"], seed=1)
    >>> bool(found.method["worst_imbalance"] <= found.method["worst_imbalance_mahalanobis"])
    True
    """
    check_estimand(estimand, "genetic", ["ATT", "ATC"], "full, subclass or inverse_probability")
    check_numbers(ratio, None, replace, None)
    _check_search(population, generations, seed)
    widths = Calipers.of(caliper, (SCORE,))
    people = People.of(cohort, on=on, exact=exact, missing=missing)
    apart = measure(people, distance="mahalanobis", link=link, scored=True)
    everyone = np.ones(len(people.treated), bool)
    reach = widths.measured(people.frame, apart, everyone)
    differ = codes(people, anti_exact)
    focal = people.treated if estimand == "ATT" else ~people.treated
    limits = Limits(list(reach.values()), list(differ.values()))
    arms = np.flatnonzero(focal), np.flatnonzero(~focal)
    sides = Sides(*arms, people.group, limits, np.inf if replace else 1)
    trial = _Trial.of(people.covariates, apart, sides, int(ratio), largest_first=estimand == "ATT")
    rng, d = np.random.default_rng(seed), trial.points.shape[1]
    mahalanobis = np.append(np.ones(d - 1), 0.0)
    fewest = _matched(trial.match(mahalanobis)[0])
    if not fewest:
        raise DesignError(nobody_matched(people.exact, list(differ), caliper, "none"))
    # The Mahalanobis distance, the same with the score, the score alone, and others by chance.
    start = np.vstack([mahalanobis, np.ones(d), mahalanobis == 0, rng.random((population - 3, d))])
    weights, worst = _evolved(start, lambda w: trial.judge(w, fewest), generations, rng)
    partner, ties = trial.match(weights)
    method = {
        "estimator": "genetic",
        "estimand": estimand,
        "distance": "weighted mahalanobis",
        "link": link,
        "anti_exact": list(differ),
        "caliper": dict(caliper) if isinstance(caliper, Mapping) else caliper,
        "caliper_width": widths.used(reach, caliper),
        "ratio": int(ratio),
        "replace": bool(replace),
        "population": int(population),
        "generations": int(generations),
        "seed": int(seed),
        "weights": _named(people.covariates, weights),
        **worst,
        "ties": ties,
        "clusters": "matched set and control person" if replace else "matched set",
        **people.described,
    }
    counts = rules(sides, partner, people.treated, everyone, reach=reach, matrix=None)
    return Matched(table_of_sets(people, sides.people, partner, apart.score), cohort, method, counts)


def _check_search(population: int, generations: int, seed: int) -> None:
    asked = (("population", population, _FEWEST), ("generations", generations, 1), ("seed", seed, 0))
    for name, value, least in asked:
        if not is_whole(value, least):
            raise ParameterError(f"{name}={value!r}: give a whole number from {least}.")


@dataclass(frozen=True, eq=False)
class _Trial:
    """What weights are tried on: coordinates to be weighted, who chooses from whom, and what is compared.

    ``points (n, k + 1)`` has a coordinate for each covariate and the score last. All k columns of covariates
    stand in one row of m different values, each column's from ``first (k,)`` on: ``place (k, n)`` leads from
    a person to their value. ``spread (k,)`` is what differences in means are over.
    """

    sides: Sides
    turns: Rows
    wanted: Rows
    points: Array
    values: Array
    place: Rows
    first: Rows
    spread: Array

    @classmethod
    def of(
        cls, covariates: Design, apart: Measure, sides: Sides, ratio: int, *, largest_first: bool
    ) -> _Trial:
        assert apart.score is not None
        x = np.asarray(covariates.values)
        levels, codes = zip(*map(distinct, x), strict=True)
        first = np.cumsum([0, *map(len, levels[:-1])])
        own = apart.score[sides.people]
        return cls(
            sides,
            np.argsort(-own if largest_first else own, kind="stable"),
            np.full(len(own), ratio),
            coordinates(covariates, apart),
            np.concatenate(levels),
            np.array(codes) + first[:, None],
            first,
            np.array([_spread(column, sides, len(v) <= 2) for column, v in zip(x, levels, strict=True)]),
        )

    def match(self, weights: Array) -> tuple[Rows, int]:
        """Match by the weighted distance; as of ``in_rounds``."""
        at_first = 2 * int(self.wanted[0]) + 14
        return in_rounds(Space(self.points * weights, self.sides, at_first=at_first), self.wanted, self.turns)

    def judge(self, weights: Array, fewest: int) -> tuple[float, ...]:
        """How many people fewer than ``fewest`` are matched, and how far apart columns are, worst first."""
        partner, _ = self.match(weights)
        matched = _matched(partner)
        if not matched:
            return (float(fewest), *np.full(len(self.first), np.inf))
        size = (partner >= 0).sum(axis=1)
        row, slot = np.nonzero(partner >= 0)
        who = np.concatenate([self.sides.people[size > 0], partner[row, slot]])
        weight = np.concatenate([np.ones(matched), -1 / size[row]]) / matched
        # The difference between the arms' shares of people with each value.
        gap = np.bincount(
            self.place[:, who].ravel(), np.tile(weight, len(self.place)), minlength=len(self.values)
        )
        smd = np.abs(np.add.reduceat(gap * self.values, self.first)) / self.spread
        ks = np.maximum.reduceat(np.abs(np.cumsum(gap)), self.first)
        # Candidates that differ by rounding alone are alike.
        worst_first = np.sort(np.maximum(smd, ks).round(9))[::-1]
        return (float(max(fewest - matched, 0)), *worst_first.tolist())


def coordinates(covariates: Design, apart: Measure) -> Array:
    """What is weighted, (n, k + 1): a whitened coordinate for each covariate, and the score last."""
    assert apart.points is not None
    assert apart.score is not None
    return np.column_stack(
        [_turned_to(np.asarray(covariates.values), apart.points), apart.score / (apart.spread or 1)]
    )


def _matched(partner: Rows) -> int:
    return int((partner >= 0).any(axis=1).sum())


def _turned_to(x: Array, points: Array) -> Array:
    """Turn points, which leaves distances as they are, so that each coordinate is like one covariate (k, n).

    The turn under which the points lie closest to the standardised covariates (orthogonal Procrustes).
    """
    spread = x.std(axis=1, keepdims=True)
    standard = (x - x.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)
    left, _, right = np.linalg.svd(points.T @ standard.T, full_matrices=False)
    return np.asarray(points @ (left @ right))


def _spread(column: Array, sides: Sides, two_values: bool) -> float:
    """Standard deviation that ``balance`` states differences in: of those who choose, or of both arms."""
    variance = [
        column[side].var(ddof=int(not two_values and len(side) > 1)) for side in (sides.people, sides.pool)
    ]
    own = float(np.sqrt(variance[0]))
    both = float(np.sqrt(np.mean(variance)))
    return own if own > 1e-8 * abs(column[sides.people].mean()) else both or 1.0


def _evolved(
    start: Array, judge: Callable[[Array], tuple[float, ...]], generations: int, rng: np.random.Generator
) -> tuple[Array, dict[str, float]]:
    """Let candidates (p, d), weights between 0 and 1, become better.

    Returns the best, and how far apart the worst column is with it and with the first of ``start``.
    """
    now, judged = start.copy(), [judge(weights) for weights in start]
    at_first = judged[0][1]

    def best() -> int:
        return min(range(len(now)), key=judged.__getitem__)

    for _ in range(generations):
        ahead = now[best()].copy()
        for i in range(len(now)):
            one, other = now[rng.choice(len(now), 2, replace=False)]
            steps = rng.random(len(ahead)) < _SHARE
            new = np.where(steps, np.clip(ahead + _STEP * (one - other), 0, 1), now[i])
            found = judge(new)
            if found < judged[i]:
                now[i], judged[i] = new, found
    return now[best()], {
        "worst_imbalance": judged[best()][1],
        "worst_imbalance_mahalanobis": at_first,
    }


def _named(covariates: Design, weights: Array) -> dict[str, float]:
    """Weights by column, the largest 1."""
    names = [
        f"{name}: {level}" if isinstance(level, str) else str(name)
        for name, level in covariates.names.itertuples(index=False)
    ]
    share = weights / (weights.max() or 1.0)
    return dict(zip([*names, SCORE], share.round(4).tolist(), strict=True))
