"""How far apart two people are: a score on a line, points in space, or a matrix that is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.errors import DataError, DesignError, ParameterError, nearest, together
from impact.match.people import People
from impact.match.propensity import Array, Design, Link, Rows, check_word, fitted, standardised
from impact.numbers.regress import glm

Distance = Literal["propensity", "linear_propensity", "mahalanobis", "robust_mahalanobis", "prognostic"]
DISTANCES = get_args(Distance)
_FOLDS = 5


@dataclass(frozen=True, eq=False)
class Measure:
    """Distances between treated people and controls in one of three forms, in the order of ``People``.

    ``line`` (n,): the absolute difference; ``points`` (n, p): the Euclidean distance; ``matrix`` (n_t, n_c),
    infinite for pairs that may not be. ``score`` (n,) is what calipers are measured on and what
    ``Matched.table`` shows as ``distance``, ``spread`` its standard deviation. ``name`` is the distance's.
    """

    name: str
    line: Array | None = None
    points: Array | None = None
    matrix: Array | None = None
    score: Array | None = None
    spread: float = np.nan


def measure(
    people: People,
    *,
    distance: Distance | Any = "propensity",
    link: Link = "logit",
    prognosis: str | None = None,
    scored: bool = False,
) -> Measure:
    """Measure how far apart people are.

    Parameters
    ----------
    people : People
    distance : str, array or DataFrame
        'propensity': the chance of being supported; 'linear_propensity': its linear predictor.
        'mahalanobis': by the covariance within arms. 'robust_mahalanobis': the same on ranks, by their
        covariance over everyone brought to the variance of ranks without ties, so that neither outliers nor
        rare categories count for too much (Rosenbaum 2010, section 8.3). 'prognostic': the log rate of
        ``prognosis`` that is foretold without support (Hansen 2008). Or a matrix with a row for each treated
        person and a column for each control: a DataFrame labelled by ``person_id``, or an array in the
        cohort's order; infinite where two may not be matched.
    link : 'logit', 'probit' or 'penalised'
        Of the propensity score.
    prognosis : str, optional
        The outcome of the prognostic score: a Poisson regression on the covariates among untreated people at
        risk, with the logarithm of their time at risk as offset and the prior of ``link='penalised'``. The
        untreated are dealt into five parts in the order of ``person_id``; each is foretold by the fit to the
        other four, and the treated by the average of the five: nobody's own outcome is in their score.
    scored : bool
        Whether a score is needed (for a caliper) whatever the distance is: then the propensity score is
        fitted beside a distance that has none.

    Returns
    -------
    Measure

    Raises
    ------
    ParameterError, DataError, DesignError
        For a distance that is not known, a matrix that does not fit the people, and a score that cannot be
        fitted.

    References
    ----------
    Rosenbaum, P. R. (2010). Design of Observational Studies. Springer. Hansen, B. B. (2008). The prognostic
    analogue of the propensity score. Biometrika 95, 481-488.
    """
    named = isinstance(distance, str)
    if named:
        check_word("distance", distance, DISTANCES)
    if (named and distance == "prognostic") != (prognosis is not None):
        raise ParameterError(
            f"prognosis={prognosis!r}: distance='prognostic' needs the outcome that is foretold, and no "
            "other distance has one."
        )
    if prognosis is not None:
        score = _prognostic(people, prognosis)
        return Measure("prognostic", line=score, score=score, spread=float(score.std(ddof=1)))
    line = named and distance in ("propensity", "linear_propensity")
    found: dict[str, Any] = {}
    if line or scored:
        model = fitted(people.covariates, people.treated, link=link)
        linear = named and distance == "linear_propensity"
        score = model.linear if linear else model.probability
        # The linear predictor of people of whom nobody is supported has no end, and would be the spread.
        found = {"score": score, "spread": float((score[model.inside] if linear else score).std(ddof=1))}
    if line:
        return Measure(str(distance), line=found["score"], **found)
    if not named:
        return Measure("given", matrix=_given(people, distance), **found)
    whiten = whitened if distance == "mahalanobis" else _by_rank
    return Measure(str(distance), points=whiten(people.covariates, people.treated), **found)


def whitened(covariates: Design, treated: NDArray[np.bool_]) -> Array:
    """Coordinates (n, p) in which the Euclidean distance is the Mahalanobis distance."""
    x = _numbers_first(covariates)
    x -= x.mean(axis=1, keepdims=True)
    scale = np.sqrt(np.einsum("ij,ij->i", x, x) / x.shape[1])
    x = x[scale > 0] if not (scale > 0).all() else x
    x /= scale[scale > 0, None]
    within = x @ x.T
    for arm in (treated, ~treated):
        mean = x @ arm / arm.sum()
        within -= arm.sum() * np.outer(mean, mean)
    return _turned(x, within / (x.shape[1] - 2))


def _by_rank(covariates: Design, treated: NDArray[np.bool_]) -> Array:
    """Coordinates (n, p) of the robust Mahalanobis distance."""
    values, n = _numbers_first(covariates), len(treated)
    ranks = np.array([r - r.mean() for r in map(_ranked, values) if np.ptp(r) > 0])
    untied = np.sqrt(n * (n + 1) / 12)
    spread = np.sqrt((ranks**2).sum(axis=1) / (n - 1))
    correlation = ranks @ ranks.T / (n - 1) / np.outer(spread, spread)
    return _turned(ranks / untied, correlation)


def _numbers_first(covariates: Design) -> Array:
    """Covariates (k, n) with those of categories last, as ``_turned`` likes them; a copy."""
    order = np.argsort(covariates.names["level"].notna().to_numpy(), kind="stable")
    return np.asarray(covariates.values[order])


def _ranked(x: Array) -> Array:
    """Ranks from 1, the average where values are equal."""
    low, high = x.min(), x.max()
    below = x == low
    if (below | (x == high)).all():
        m = float(below.sum())
        return np.where(below, (m + 1) / 2, (m + 1 + len(x)) / 2)
    from scipy.stats import rankdata

    return np.asarray(rankdata(x))


def _turned(x: Array, covariance: Array) -> Array:
    """Coordinates (n, p) of x (k, n) in which this covariance is that of independent units.

    They are turned so that coordinate j holds nothing of the covariates before j: the last hold categories
    alone, and people of one category lie in few of the blocks that are searched for neighbours.
    """
    values, vectors = np.linalg.eigh(covariance)
    # Indicators of all levels add up to one, so directions without variance are expected; the generalised
    # inverse leaves them out.
    kept = values > 1e-9 * values[-1]
    axes = vectors[:, kept] / np.sqrt(values[kept])
    return np.asarray(x.T @ (axes @ np.linalg.qr(axes.T)[0]))


def _prognostic(people: People, outcome: str) -> Array:
    """Log rate without support, for everyone, each from a fit that their own outcome is not in."""
    cohort = people.cohort
    if outcome not in cohort.outcomes:
        held = ", ".join(map(repr, cohort.outcomes)) or "none: follow it up first"
        raise DataError(
            f"prognosis={outcome!r}: the outcomes of the cohort are {held}."
            f"{nearest(outcome, cohort.outcomes)}"
        )
    y = np.asarray(cohort.outcomes[outcome], float)[people.order]
    months = np.asarray(cohort.exposure[outcome], float)[people.order]
    x, control = people.covariates.values, ~people.treated
    fold = np.where(control, (np.cumsum(control) - 1) % _FOLDS, _FOLDS)
    known = control & (months > 0)
    scaled = standardised(x[:, known], np.zeros(len(x), bool))
    prior = np.append(0.0, np.ones(len(scaled.use)))
    coef: list[Array] = []
    for out in range(_FOLDS):
        rest = fold[known] != out
        events = y[known][rest]
        if not events.any():
            raise DesignError(
                f"prognosis={outcome!r}: there are too few events among untreated people to foretell it; "
                "choose another outcome or another distance."
            )
        coef.append(
            glm(
                scaled.z[:, rest],
                events,
                family="poisson",
                weights=np.ones(len(events)),
                offset=np.log(months[known][rest]),
                start=coef[0] if coef else None,
                prior=prior,
            ).coef
        )
    return scaled.line(x, np.array([*coef, np.mean(coef, axis=0)]).T[:, fold])


def _given(people: People, distance: Any) -> Array:
    """Check a matrix of distances and bring it into the order of the people."""
    ids = np.asarray(people.cohort.person_id)[people.order]
    sides = {"rows (treated)": people.treated, "columns (controls)": ~people.treated}
    if isinstance(distance, pd.DataFrame):
        problems, at = [], []
        for (side, arm), axis in zip(sides.items(), (distance.index, distance.columns), strict=True):
            place = axis.get_indexer(ids[arm]) if axis.is_unique else np.full(int(arm.sum()), -1)
            at.append(place)
            if not axis.is_unique:
                problems.append(f"distance: its {side} name a person twice.")
            elif absent := int((place < 0).sum()):
                problems.append(f"distance: its {side} lack {absent} people of the cohort, by person_id.")
        if problems:
            raise DataError(together(problems))
        matrix = distance.to_numpy(dtype=float, na_value=np.nan)[np.ix_(*at)]
    else:
        matrix = _array(distance)
        shape = tuple(int(arm.sum()) for arm in sides.values())
        if matrix.shape != shape:
            raise DataError(
                f"distance: an array of shape {matrix.shape} was given, but there are {shape[0]} treated "
                f"people (rows) and {shape[1]} controls (columns)."
            )
        matrix = matrix[np.ix_(*(_rank(people.order[arm]) for arm in sides.values()))]
    if bad := int((~(matrix >= 0)).sum()):
        raise DataError(
            f"distance: {bad} entries are missing or negative; give infinity for pairs to forbid."
        )
    return np.asarray(matrix, float)


def _array(distance: Any) -> Array:
    try:
        return np.asarray(distance, float)
    except (TypeError, ValueError):
        known = ", ".join(map(repr, DISTANCES))
        raise ParameterError(
            f"distance: use one of {known}, or a matrix of numbers (rows treated, columns controls)."
        ) from None


def _rank(rows: Rows) -> Rows:
    return np.asarray(np.argsort(np.argsort(rows)))
