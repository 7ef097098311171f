"""Errors of matching estimators after Abadie and Imbens, which hold where controls are used again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.errors import DesignError
from impact.match.distances import whitened
from impact.match.gcomputation import within_reach
from impact.match.people import People
from impact.match.propensity import Array, Rows
from impact.match.sample import Followed, Part, Sample
from impact.numbers.regress import ols
from impact.results import Effects, Matched

if TYPE_CHECKING:
    from impact.data import Cohort

# How many people of the same arm a control's spread is judged by.
_NEIGHBOURS = 2
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
    on. This is judged by the two people of the same arm nearest on it, taken as known.
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
    near = _near(matched, ~own, sample)
    parts = {}
    for name, rows in followed.items():
        spread = _around(matched, sample, name, near)
        parts[name] = _part(rows, own, covariates, sample.person, spread)
    more = {"inference": "Abadie-Imbens", "clusters": "person", "neighbours": _NEIGHBOURS}
    return sample.effects(followed, parts, {**said, **more}, ways=[sample.person], values=True)


def _part(rows: Followed, own: NDArray[np.bool_], covariates: Array, person: Rows, spread: Array) -> Part:
    """Difference, and influences whose squares add up to the variance; ``spread (n,)`` of who serves."""
    mine, other = own & rows.at_risk, ~own & rows.at_risk
    share = other / np.maximum(np.bincount(rows.sets, other), 1)[rows.sets]
    left, k = rows.y, 1
    if len(covariates):
        z = np.vstack([np.ones(len(own)), covariates])
        k = len(z)
        within_reach(z, share, [z], mine)
        left = rows.y - ols(z, rows.y, share).coef @ z
    sign = np.where(rows.treated, 1.0, -1.0)
    gap = sign * (left - np.bincount(rows.sets, share * left)[rows.sets])
    n = mine.sum()
    effect = float(gap[mine].mean())
    served, squares = (np.bincount(person, s)[person] for s in (share, share**2))
    first = np.zeros(len(own), bool)
    first[np.unique(np.where(other, person, -1), return_index=True)[1]] = True
    again = np.sqrt(np.maximum(served**2 - squares, 0)) * spread * (first & other)
    influence = (np.where(mine, gap - effect, 0.0) - again) / n
    return Part([_LABEL], np.array([effect]), influence[:, None], np.zeros((len(own), 1)), k)


def _near(matched: Matched, arm: NDArray[np.bool_], sample: Sample) -> tuple[pd.Index, Array]:
    """Identifiers of the arm that lends, sorted, and where they stand in what was matched on."""
    said = matched.method
    people = People.of(matched.cohort, on=said["covariates"], missing=said.get("missing", "error"))
    lends = people.treated == sample.treated[np.flatnonzero(arm)[0]]
    if said["distance"] in ("propensity", "linear_propensity", "prognostic"):
        score = matched.table.drop_duplicates("person_id").set_index("person_id")["distance"]
        points = score.reindex(people.cohort.person_id[people.order]).to_numpy(float)[:, None]
    else:
        points = whitened(people.covariates, people.treated)
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
