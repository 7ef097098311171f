"""Pairs, or sets of k controls, at the smallest total distance, with the proof that it is the smallest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal
from warnings import warn

import numpy as np

from impact.errors import DesignError
from impact.match.candidates import Candidates
from impact.match.distances import Distance, measure
from impact.match.eligible import SCORE, Calipers, codes, rules
from impact.match.estimands import check_estimand
from impact.match.greedy import Limits, Sides
from impact.match.nearest import check_numbers
from impact.match.pairing import MOST, best
from impact.match.people import People
from impact.match.propensity import Link, Missing, Rows
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
    caliper: float | Mapping[str, float] | None = None,
    std_caliper: bool | Sequence[str] = (SCORE,),
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
    caliper : float or mapping of str to float, optional
        Largest difference within a match: of the score, or of each column named and of the 'score'. A
        negative width asks for more than that between them. A distance that has no score has the propensity
        score fitted for this alone.
    std_caliper : bool or sequence of str
        Which widths are in standard deviations over everyone: all, none (the column's own unit), or those
        named; by default the score's alone.
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
    check_numbers(ratio, None, False, None)
    widths = Calipers.of(caliper, std_caliper)
    people = People.of(cohort, on=on, exact=exact, missing=missing)
    differ = codes(people, anti_exact)
    found = measure(people, distance=distance, link=link, prognosis=prognosis, scored=SCORE in widths.asked)
    everyone = np.ones(len(people.treated), bool)
    reach = widths.measured(people.frame, found, everyone)
    limits = Limits(list(reach.values()), list(differ.values()))
    own, others = np.flatnonzero(people.treated), np.flatnonzero(~people.treated)
    sides = Sides(own, others, people.group, limits)
    partner, total, gap = _best(Candidates.of(found, sides), int(ratio))
    subclass = np.zeros(len(people.treated), np.intp)
    row, slot = np.nonzero(partner >= 0)
    subclass[own[row]] = np.unique(row, return_inverse=True)[1] + 1
    subclass[others[partner[row, slot]]] = subclass[own[row]]
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
            "caliper": dict(caliper) if isinstance(caliper, Mapping) else caliper,
            "caliper_width": widths.used(reach, caliper),
            "ratio": int(ratio),
            "replace": False,
            "clusters": "matched set",
            "total_distance": total,
            "gap": gap,
        },
        counts=rules(
            sides,
            np.where(partner >= 0, others[partner], -1),
            people.treated,
            everyone,
            reach=reach,
            matrix=found.matrix,
        ),
    )


def _best(pairs: Candidates, ratio: int) -> tuple[Rows, float, float]:
    """Column of each row's partners (-1: none), the total distance and its gap; say if that is not 0."""
    partner, gap = best(pairs, ratio)
    row, slot = np.nonzero(partner >= 0)
    if not len(row):
        raise DesignError(NOBODY)
    total = float(pairs.cost(row, partner[row, slot]).sum())
    if gap <= 1e-9 * max(total, pairs.bound()):
        return partner, total, 0.0
    warn(
        f"The total distance {total:.6g} is within {gap:.3g} of the least, not proved to be it: the proof "
        f"needs more than the {MOST:,} pairs that are held in memory at once. With columns in exact= there "
        "are fewer in question; nearest is quicker and makes no such claim.",
        stacklevel=3,
    )
    return partner, total, gap
