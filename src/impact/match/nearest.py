"""Greedy nearest-neighbour matching on the propensity score or the Mahalanobis distance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.errors import DesignError, ParameterError
from impact.errors import nearest as nearest_name
from impact.match.distances import measure
from impact.match.greedy import Rule, in_space, on_a_line
from impact.match.people import People, same
from impact.match.propensity import Array, Rows
from impact.results import Matched

if TYPE_CHECKING:
    from impact.data import Cohort

Distance = Literal["propensity", "mahalanobis"]
DISTANCES = ("propensity", "mahalanobis")


def nearest(
    cohort: Cohort,
    *,
    on: Sequence[str],
    distance: Distance = "propensity",
    exact: Sequence[str] = (),
    caliper: float | None = None,
    ratio: int = 1,
    replace: bool = False,
) -> Matched:
    """Match each supported person to the nearest controls.

    Everyone supported takes a first control before anyone takes a second. On the propensity score the
    largest score chooses first, because it has the fewest near controls; the order, the search and the
    ties are those of MatchIt with people sorted by ``person_id``: equal scores stand in the order of
    identifiers, the search goes outwards from a person's own place in that order, and at equal distance the
    lower control is taken. On the Mahalanobis distance people choose in the order of ``person_id`` (with a
    caliper: the largest score first) and ties go to the lowest ``person_id``. So the result depends neither
    on the order of rows nor on a seed.

    Parameters
    ----------
    cohort : Cohort
    on : sequence of str
        Covariates, columns of ``cohort.table``.
    distance : 'propensity' or 'mahalanobis'
        Mahalanobis uses every level of a categorical covariate, the covariance within arms pooled over both
        (people minus 2), and its generalised inverse.
    exact : sequence of str
        Columns whose values must agree within a match.
    caliper : float, optional
        Largest difference in the propensity score, in standard deviations of the score over everyone; also
        with the Mahalanobis distance, where the score is fitted on the same covariates for this alone.
    ratio : int
        Controls for each supported person. Who finds fewer keeps those.
    replace : bool
        Whether a control may serve several supported people.

    Returns
    -------
    Matched
        ``table`` has ``person_id, weight, subclass, distance``: weight 1 for the matched supported; a
        control's weight is the sum over its sets of 1 / controls in the set, scaled to average 1 over the
        controls used; with replacement a control has a row for each of its sets. ``distance`` is the
        propensity score where there is one. ``counts`` has ``arm, rule, persons``: who was matched, and which
        rule left out the others.

    Raises
    ------
    ParameterError, DataError, DesignError
        For an argument that makes no sense, a column that is absent or incomplete, and an empty arm or a
        caliper that leaves nobody.

    References
    ----------
    Ho, D., Imai, K., King, G. and Stuart, E. (2011). MatchIt: nonparametric preprocessing for parametric
    causal inference. Journal of Statistical Software 42(8). Stuart, E. A. (2010). Matching methods for causal
    inference. Statistical Science 25, 1-21.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data import Cohort
    >>> frame = pd.DataFrame({"helped": [1, 1, 0, 0, 0, 0], "age": [70, 61, 62, 69, 55, 50]})
    >>> matched = nearest(Cohort.from_frame(frame, treated="helped"), on=["age"], distance="mahalanobis")
    >>> matched.table["subclass"].astype("Int64").tolist()
    [1, 2, 2, 1, <NA>, <NA>]
    """
    _check(distance, caliper, ratio)
    people = People.of(cohort, on=on, exact=exact)
    order, frame, treated, exact, group, on = (
        people.order,
        people.frame,
        people.treated,
        people.exact,
        people.group,
        people.on,
    )
    apart = measure(people, distance=distance, scored=caliper is not None)
    score = apart.score
    width = np.inf if caliper is None or score is None else caliper * score.std(ddof=1)
    rule = Rule(width, ratio, replace)
    if apart.line is not None:
        partner = on_a_line(apart.line, treated, group, rule)
        gaps = np.abs(apart.line[treated][:, None] - apart.line[partner])
    else:
        assert apart.points is not None
        points, cell = apart.points, same(frame, [*exact, *on])
        partner = in_space(points, treated, group, rule, cell=cell, score=score)
        gaps = np.sqrt(((points[treated][:, None] - points[partner]) ** 2).sum(axis=2))
    if not (partner >= 0).any():
        raise DesignError(_nobody(exact, caliper))
    return Matched(
        _table(cohort, order, partner, score),
        cohort,
        {
            "estimator": "nearest",
            "estimand": "ATT",
            "distance": distance,
            "covariates": on,
            "exact": exact,
            "caliper": caliper,
            "caliper_width": None if caliper is None else width,
            "ratio": ratio,
            "replace": replace,
            "clusters": "matched set and control person" if replace else "matched set",
            "total_distance": float(gaps[partner >= 0].sum()),
        },
        _counts(treated, group, score, width, partner),
    )


def _check(distance: str, caliper: float | None, ratio: int) -> None:
    if distance not in DISTANCES:
        near = nearest_name(distance, DISTANCES)
        raise ParameterError(f"distance={distance!r}: use 'propensity' or 'mahalanobis'.{near}")
    if caliper is not None and not caliper > 0:
        raise ParameterError(
            f"caliper={caliper!r}: give standard deviations of the score above 0, such as 0.2."
        )
    if isinstance(ratio, bool) or ratio != int(ratio) or ratio < 1:
        raise ParameterError(f"ratio={ratio!r}: give the controls a person gets, a whole number from 1.")


def _nobody(exact: Sequence[str], caliper: float | None) -> str:
    rules = [f"exact={list(exact)}"] if exact else []
    rules += [f"caliper={caliper}"] if caliper is not None else []
    return f"Nobody could be matched with {' and '.join(rules)}: widen the caliper or match exactly on less."


def _table(cohort: Cohort, order: Rows, partner: Rows, score: Array | None) -> pd.DataFrame:
    """One row a person in the cohort's order; with replacement a control has one row for each of its sets."""
    treated = np.flatnonzero(cohort.treated[order])
    size = (partner >= 0).sum(axis=1)
    number = np.cumsum(size > 0)
    sets, slot = np.nonzero(partner >= 0)
    used = partner[sets, slot]
    share = 1 / size[sets]
    unused = np.ones(len(order), bool)
    unused[used] = False
    share *= (~unused).sum() / share.sum()
    rows = np.concatenate([treated[size > 0], used])
    weight = np.concatenate([np.ones((size > 0).sum()), share])
    subclass = np.concatenate([number[size > 0], number[sets]])
    unused[rows] = False
    rest = np.flatnonzero(unused)
    at = np.concatenate([order[rows], order[rest]])
    table = pd.DataFrame(
        {
            "person_id": np.asarray(cohort.person_id)[at],
            "weight": np.concatenate([weight, np.zeros(len(rest))]),
            "subclass": pd.array(np.concatenate([subclass, np.zeros(len(rest), np.intp)]), dtype="Int64"),
            "distance": np.nan if score is None else score[np.concatenate([rows, rest])],
        }
    )
    table.loc[table["subclass"] == 0, "subclass"] = pd.NA
    return table.iloc[np.lexsort((table["subclass"].to_numpy(float, na_value=0), at))].reset_index(drop=True)


def _counts(
    treated: NDArray[np.bool_], group: Rows, score: Array | None, width: float, partner: Rows
) -> pd.DataFrame:
    """How many were matched, and which rule left out the others: the first that applies to each."""
    people, unmatched = np.flatnonzero(treated), ~(partner >= 0).any(axis=1)
    alone = unmatched & ~np.isin(group[people], group[~treated])
    far = np.zeros(len(people), bool)
    if score is not None and np.isfinite(width) and unmatched.any():
        # With replacement nobody competes: who finds nobody even so has no control within the caliper.
        some = ~treated
        some[people[unmatched]] = True
        found = on_a_line(score[some], treated[some], group[some], Rule(width, replace=True))
        far[unmatched] = found[:, 0] < 0
        far &= ~alone
    used = int(np.bincount(partner[partner >= 0], minlength=len(treated)).astype(bool).sum())
    rows = [
        ("treated", "matched", int((~unmatched).sum())),
        ("treated", "no control with the same exact values", int(alone.sum())),
        ("treated", "no control within the caliper", int(far.sum())),
        ("treated", "every near control was taken", int((unmatched & ~alone & ~far).sum())),
        ("control", "matched", used),
        ("control", "not needed", len(treated) - len(people) - used),
    ]
    return pd.DataFrame(rows, columns=["arm", "rule", "persons"])
