"""Pairs, or sets of k controls, at the smallest total distance, with the proof that it is the smallest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal
from warnings import warn

import numpy as np

from impact.errors import DesignError, ParameterError
from impact.match.candidates import Candidates
from impact.match.distances import Distance, measure
from impact.match.eligible import SCORE, codes, rules
from impact.match.estimands import check_estimand
from impact.match.greedy import Limits, Sides
from impact.match.pairing import best
from impact.match.people import People
from impact.match.propensity import Link, Missing
from impact.match.strata import stratum_weights
from impact.results import Matched

if TYPE_CHECKING:
    from impact.data import Cohort

NOBODY = "Nobody could be matched under these rules: widen the caliper or match exactly on less."


def optimal(
    cohort: Cohort,
    *,
    on: Sequence[str],
    estimand: Literal["ATT"] = "ATT",
    distance: Distance | Any = "propensity",
    link: Link = "logit",
    prognosis: str | None = None,
    exact: Sequence[str] = (),
    anti_exact: Sequence[str] = (),
    caliper: float | None = None,
    ratio: int = 1,
    missing: Missing = "error",
) -> Matched:
    """Match each supported person to controls so that the total distance is the smallest there is.

    As many people are matched as can be, whatever that costs in distance: first the most pairs, among these
    the most supported people with a control (with two, ...), and then the least total distance. Who cannot be
    matched is left out alone and counted by the rule that did it; nobody else's match is touched.

    Parameters
    ----------
    cohort : Cohort
    on : sequence of str
        Covariates, columns of ``cohort.table``.
    estimand : 'ATT'
        The effect on the supported who are matched.
    distance : str, array or DataFrame
        'propensity', 'linear_propensity', 'mahalanobis', 'robust_mahalanobis', 'prognostic' or a matrix:
        as of ``nearest``.
    link : 'logit', 'probit' or 'penalised'
        Of the propensity score.
    prognosis : str, optional
        The outcome of the prognostic score.
    exact : sequence of str
        Columns whose values must agree within a match.
    anti_exact : sequence of str
        Columns whose values must differ within a match, such as the building.
    caliper : float, optional
        Largest difference in the score, in its standard deviations over everyone; with a distance that has
        no score, in the propensity score on the same covariates.
    ratio : int
        Controls for each supported person.
    missing : 'error', 'indicator' or 'category'
        What becomes of missing covariates, as of ``propensity``.

    Returns
    -------
    Matched
        Weight 1 for the matched supported; a control's is 1 / controls in the set, scaled to average 1.
        ``method["total_distance"]`` is what was made smallest. ``method["gap"]`` bounds how far it may be
        above the least possible: 0 where dual prices prove that there is none (to one part in 10^9), and
        above 0 only where the proof would have taken too much memory; then a warning says so.

    Raises
    ------
    ParameterError, DataError, DesignError
        For an argument that makes no sense, a column that is absent or incomplete, an estimand it lacks, and
        rules that leave nobody.

    Notes
    -----
    On a score pairs are found by walking along the line, which is exact by construction; without caliper
    prices along the line prove it once more. With other distances, and where columns must differ, they are a
    sparse assignment among near candidates, to which are added all those that dual prices do not rule out.
    Optimal matches are often not unique: with ties another program may form other pairs at the same total.
    The result does not depend on the order of rows.

    References
    ----------
    Rosenbaum, P. R. (1989). Optimal matching for observational studies. Journal of the American Statistical
    Association 84, 1024-1032. Jonker, R. and Volgenant, A. (1987). A shortest augmenting path algorithm for
    dense and sparse linear assignment problems. Computing 38, 325-340.

    Examples
    --------
    The nearest control of the first is taken by the second, who would otherwise have to go further:

    >>> import pandas as pd
    >>> from impact.data import Cohort
    >>> frame = pd.DataFrame({"helped": [1, 1, 0, 0, 0, 0], "age": [70, 66, 69, 73, 55, 50]})
    >>> cohort = Cohort.from_frame(frame, treated="helped")
    >>> optimal(cohort, on=["age"], distance="mahalanobis").table["subclass"].tolist()
    [1, 2, 2, 1, <NA>, <NA>]
    """
    instead = "full" if estimand in ("ATC", "ATE") else "inverse_probability"
    check_estimand(estimand, "optimal", ("ATT",), instead)
    check_caliper(caliper)
    if isinstance(ratio, bool) or not isinstance(ratio, (int, np.integer)) or ratio < 1:
        raise ParameterError(f"ratio={ratio!r}: give the controls a person gets, a whole number from 1.")
    people = People.of(cohort, on=on, exact=exact, missing=missing)
    differ = codes(people, anti_exact)
    found = measure(people, distance=distance, link=link, prognosis=prognosis, scored=caliper is not None)
    width = np.inf if caliper is None else caliper * found.spread
    own, others = np.flatnonzero(people.treated), np.flatnonzero(~people.treated)
    pairs = Candidates(found, own, others, people.group, list(differ.values()), width)
    partner, gap = best(pairs, int(ratio))
    row, _ = np.nonzero(partner >= 0)
    col = partner[partner >= 0]
    if not len(row):
        raise DesignError(NOBODY)
    total = float(pairs.cost(row, col).sum())
    if gap <= 1e-9 * max(total, pairs.bound()):
        gap = 0.0
    else:
        warn(
            f"The total distance {total:.6g} is within {gap:.3g} of the least, not proved to be it.",
            stacklevel=2,
        )
    subclass = np.zeros(len(people.treated), np.intp)
    matched = np.unique(row)
    subclass[own[matched]] = np.arange(len(matched)) + 1
    subclass[others[col]] = subclass[own[row]]
    return people.matched(
        stratum_weights(subclass, people.treated, "ATT"),
        subclass=subclass,
        score=found.score,
        method={
            "estimator": "optimal",
            "estimand": estimand,
            "distance": found.name,
            "link": link,
            "prognosis": prognosis,
            "anti_exact": list(differ),
            "caliper": caliper,
            "caliper_width": None if caliper is None else width,
            "ratio": int(ratio),
            "replace": False,
            "clusters": "matched set",
            "total_distance": total,
            "gap": gap,
        },
        counts=rules(
            Sides(own, others, people.group, Limits(differ=list(differ.values()))),
            np.where(partner >= 0, others[partner], -1),
            people.treated,
            np.ones(len(people.treated), bool),
            reach={} if found.score is None or caliper is None else {SCORE: (found.score, width)},
            matrix=found.matrix,
        ),
    )


def check_caliper(caliper: float | None) -> None:
    """Refuse a caliper of nothing or less."""
    if caliper is not None and (isinstance(caliper, (bool, str)) or not caliper > 0):
        raise ParameterError(
            f"caliper={caliper!r}: give standard deviations of the score above 0, such as 0.2."
        )
