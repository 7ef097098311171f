"""Errors of matching estimators after Abadie and Imbens, which hold where controls are used again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.errors import DesignError
from impact.match.distances import measure, whitened
from impact.match.gcomputation import within_reach
from impact.match.genetic import coordinates
from impact.match.inverse_probability import slope_of
from impact.match.people import People
from impact.match.propensity import Array, Rows, fitted
from impact.match.sample import Followed, Part, Sample
from impact.numbers.regress import ols
from impact.results import Effects, Matched

if TYPE_CHECKING:
    from impact.data import Cohort

# How many people of the same arm a control's spread is judged by, and how outcomes go with covariates there.
_NEIGHBOURS, _ALIKE = 2, 4
_LABEL = {"term": "effect", "scale": "difference", "unit": "units of the outcome"}


def abadie_imbens(
    matched: Matched | Cohort,
    sample: Sample,
    followed: Mapping[str, Followed],
    covariates: Array,
    said: Mapping[str, Any],
) -> Effects:
    """Mean difference within sets; with ``covariates (k, n)`` corrected by a regression of the other arm.

    The variance is the mean square of differences around their mean, and for who serves ``K`` times (in
    shares of sets) ``K^2 - sum of squared shares`` times the variance of the outcome given what was matched
    on. This is judged by the two people of the same arm nearest on it. Where it is a propensity score that
    was estimated, its own error is counted (Abadie and Imbens 2016).
    """
    own = sample.treated if sample.estimand == "ATT" else ~sample.treated
    if not isinstance(matched, Matched) or sample.estimand not in ("ATT", "ATC") or not sample.grouped:
        raise DesignError("method='abadie_imbens' needs matched sets (ATT or ATC); use method='regression'.")
    lends = matched.cohort.person[matched.cohort.treated != (sample.estimand == "ATT")]
    if len(np.unique(lends)) < len(lends):
        raise DesignError(
            "method='abadie_imbens' needs people with one date each, as its neighbours must be other people; "
            "use method='regression'."
        )
    if (np.bincount(sample.sets, own)[sample.sets] != 1).any():
        raise DesignError(
            "method='abadie_imbens' needs sets around one person each; use method='regression' for full "
            "matching, strata and weights."
        )
    people = People.of(
        matched.cohort,
        on=matched.method["covariates"],
        exact=matched.method.get("exact", ()),
        missing=matched.method.get("missing", "error"),
    )
    near, score = _near(matched, people, ~own, sample), _score(matched, people, sample)
    parts, moved = {}, []
    for name, rows in followed.items():
        spread = _around(matched, sample, name, near)
        left, k = _left(rows, own, covariates)
        parts[name] = _part(rows, own, left, sample.person, spread, k)
        if score is not None:
            moved.append(score.terms(rows, own, left, sample.person))
    more = {"inference": "Abadie-Imbens", "clusters": "person", "neighbours": _NEIGHBOURS}
    if matched.method["distance"] not in ("mahalanobis", "robust_mahalanobis", "given"):
        more["score"] = "taken as known" if score is None else "estimated, its error counted"
    effects = sample.effects(followed, parts, {**said, **more}, ways=[sample.person], values=True)
    if not moved:
        return effects
    less, plus = (np.column_stack(terms) for terms in zip(*moved, strict=True))
    return replace(
        effects,
        root=np.vstack([*effects.blocks(), less, plus]),
        # These rows are of nobody: numbers that no person has.
        clusters=np.append(effects.clusters, -1 - np.arange(len(less) + len(plus))),
        sign=np.repeat([1.0, -1.0, 1.0], [len(effects.clusters), len(less), len(plus)]),
    )


def _left(rows: Followed, own: NDArray[np.bool_], covariates: Array) -> tuple[Array, int]:
    """Outcomes less what a regression of those who serve foretells, and how many coefficients it has."""
    if not len(covariates):
        return rows.y, 1
    share = _share(rows, own)
    z = np.vstack([np.ones(len(own)), covariates])
    within_reach(z, share, [z], own & rows.at_risk)
    return rows.y - ols(z, rows.y, share).coef @ z, len(z)


def _share(rows: Followed, own: NDArray[np.bool_]) -> Array:
    """What each row that serves counts in its set, (n,)."""
    other = ~own & rows.at_risk
    return other / np.maximum(np.bincount(rows.sets, other), 1)[rows.sets]


def _part(
    rows: Followed, own: NDArray[np.bool_], left: Array, person: Rows, spread: Array, parameters: int
) -> Part:
    """Difference, and influences whose squares add up to the variance; ``spread (n,)`` of who serves."""
    mine, other, share = own & rows.at_risk, ~own & rows.at_risk, _share(rows, own)
    gap = np.where(rows.treated, 1.0, -1.0) * (left - np.bincount(rows.sets, share * left)[rows.sets])
    n = mine.sum()
    effect = float(gap[mine].mean())
    served, squares = (np.bincount(person, s)[person] for s in (share, share**2))
    first = _once(other, person)
    again = np.sqrt(np.maximum(served**2 - squares, 0)) * spread * first
    influence = (np.where(mine, gap - effect, 0.0) - again) / n
    return Part([_LABEL], np.array([effect]), influence[:, None], np.zeros((len(own), 1)), parameters)


def _once(rows: NDArray[np.bool_], person: Rows) -> NDArray[np.bool_]:
    """The first of these rows of each person."""
    first = np.zeros(len(rows), bool)
    first[np.unique(np.where(rows, person, -1), return_index=True)[1]] = True
    return first & rows


class _Score(NamedTuple):
    """An estimated propensity score at the rows of a sample.

    ``number (n,)`` is the place of their people by identifier and ``place (n, d)`` where they stand in what
    was matched on; ``chance (n,)`` is that of the arm the effect is about and ``slope (n,)`` its derivative
    by the linear predictor, of ``regressors (p, n)``; ``half (p, p)`` is the root of the covariance of the
    coefficients.
    """

    number: Rows
    place: Array
    chance: Array
    slope: Array
    regressors: Array
    half: Array

    def terms(self, rows: Followed, own: NDArray[np.bool_], left: Array, person: Rows) -> tuple[Array, Array]:
        """What the variance has too much, and what it lacks: each is a sum of squares, (p,).

        With known score the estimate has the covariance ``c`` with the coefficients' score; its target moves
        by ``d`` with them. The variance is less ``c' V c`` and plus ``d' V d``. With ``e`` the chance and
        ``f`` its slope, means over those the effect is about: ``c = b + mean(f/(1 - e) cov)`` and ``d = b -
        mean(f/e cov)``, ``b = mean(f/e x gap)``, where ``cov`` is the covariance of regressors and outcome
        among those of the other arm who are nearest on the score, and the gap is less its mean.
        """
        from scipy.spatial import cKDTree

        mine, share = own & rows.at_risk, _share(rows, own)
        gap = (left - np.bincount(rows.sets, share * left)[rows.sets])[mine]
        lends = np.flatnonzero(_once(~own & rows.at_risk, person))
        # In the order of identifiers, so that who is taken of equals does not depend on the order of rows.
        lends = lends[np.argsort(self.number[lends])]
        alike = min(_ALIKE, len(lends))
        near = lends[cKDTree(self.place[lends]).query(self.place[mine], k=alike)[1].reshape(-1, alike)]
        outcome = left[near] - left[near].mean(axis=1, keepdims=True)
        together = np.array([(x[near] * outcome).sum(axis=1) / max(alike - 1, 1) for x in self.regressors])
        by_own, by_other = (
            np.divide(self.slope, chance, out=np.zeros(len(own)), where=self.slope > 0)[mine] / len(gap)
            for chance in (self.chance, 1 - self.chance)
        )
        moved = self.regressors[:, mine] @ (by_own * (gap - gap.mean()))
        return self.half @ (moved + together @ by_other), self.half @ (moved - together @ by_own)


def _score(matched: Matched, people: People, sample: Sample) -> _Score | None:
    """The score of the rows, if it is one that people were matched on and that is found again."""
    said = matched.method
    if said["distance"] not in ("propensity", "linear_propensity"):
        return None
    link = said.get("link", "logit")
    score = fitted(people.covariates, people.treated, link=link)
    line = score.linear if said["distance"] == "linear_propensity" else score.probability
    if not np.allclose(_distance(matched, people), line, rtol=1e-6, atol=1e-9):
        return None
    ids = pd.Index(people.cohort.person_id[people.order])
    at = ids.get_indexer(pd.Index(sample.cohort.person_id[sample.person]))
    inside = score.inside[at]
    e = score.probability[at]
    values, vectors = np.linalg.eigh(score.fit.bread)
    return _Score(
        at,
        _with_cells(line[:, None], people.group)[at],
        e if sample.estimand == "ATT" else 1 - e,
        np.where(inside, slope_of(score, link)[at], 0.0),
        np.asarray(score.regressors)[:, np.where(inside, (np.cumsum(score.inside) - 1)[at], 0)] * inside,
        np.sqrt(np.maximum(values, 0))[:, None] * vectors.T,
    )


def _distance(matched: Matched, people: People) -> Array:
    """The score that people were matched on, in their order."""
    score = matched.table.drop_duplicates("person_id").set_index("person_id")["distance"]
    return score.reindex(people.cohort.person_id[people.order]).to_numpy(float)


def _with_cells(points: Array, group: Rows) -> Array:
    """Points (n, d) with one coordinate more, which keeps apart who may not be matched to each other."""
    far = 1 + 2 * np.linalg.norm(np.ptp(points, axis=0))
    return np.column_stack([points, far * group]) if group.any() else points


def _near(matched: Matched, people: People, arm: NDArray[np.bool_], sample: Sample) -> tuple[pd.Index, Array]:
    """Identifiers of the arm that lends, sorted, and where they stand in what was matched on."""
    said = matched.method
    lends = people.treated == sample.treated[np.flatnonzero(arm)[0]]
    if said["distance"] in ("propensity", "linear_propensity", "prognostic"):
        points = _distance(matched, people)[:, None]
    elif said["estimator"] == "genetic":
        apart = measure(people, distance="mahalanobis", link=said["link"], scored=True)
        points = coordinates(people.covariates, apart) * np.array([*said["weights"].values()])
    else:
        points = whitened(people.covariates, people.treated)
    points = _with_cells(points, people.group)
    return pd.Index(people.cohort.person_id[people.order][lends]), points[lends]


def _around(matched: Matched, sample: Sample, outcome: str, near: tuple[pd.Index, Array]) -> Array:
    """How far each row's outcome is from that of those nearest; its square estimates the variance, (n,)."""
    from scipy.spatial import cKDTree

    ids, points = near
    y = pd.Series(sample.cohort.table[outcome].to_numpy(float, na_value=np.nan), sample.cohort.person_id)
    y = y.reindex(ids)
    some = y.notna().to_numpy()
    ids, points, value = ids[some], points[some], y.to_numpy()[some]
    if len(ids) <= _NEIGHBOURS:
        raise DesignError(f"outcome={outcome!r}: too few people have a value; use method='regression'.")
    _, at = cKDTree(points).query(points, k=_NEIGHBOURS + 1)
    # Nobody is their own neighbour, wherever among equals they were found; if not at all, the last goes.
    itself = at == np.arange(len(ids))[:, None]
    itself[~itself.any(axis=1), -1] = True
    nearest = value[np.asarray(at)[~itself].reshape(len(ids), _NEIGHBOURS)].mean(axis=1)
    apart = np.sqrt(_NEIGHBOURS / (_NEIGHBOURS + 1)) * (value - nearest)
    found = ids.get_indexer(pd.Index(sample.cohort.person_id[sample.person]))
    return np.where(found >= 0, apart[found], 0.0)
