"""Full matching: everybody in a set with somebody alike of the other arm, at the smallest total distance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from impact.errors import DesignError, ParameterError
from impact.match.cover import sets_on_a_line
from impact.match.distances import measure
from impact.match.estimands import check_estimand
from impact.match.limited import Sizes
from impact.match.optimal import NOBODY
from impact.match.people import People
from impact.match.propensity import Link, Missing, Rows, check_word
from impact.match.strata import stratum_weights
from impact.results import Matched

if TYPE_CHECKING:
    from impact.data import Cohort

Scored = Literal["propensity", "linear_propensity", "prognostic"]
_DISTANCES = ("propensity", "linear_propensity", "prognostic")
_OTHERS = {"treated": "control", "control": "supported person"}


def full(
    cohort: Cohort,
    *,
    on: Sequence[str],
    estimand: Literal["ATT", "ATC", "ATE"] = "ATT",
    distance: Scored = "propensity",
    link: Link = "logit",
    prognosis: str | None = None,
    exact: Sequence[str] = (),
    anti_exact: Sequence[str] = (),
    caliper: float | None = None,
    min_controls: float | None = None,
    max_controls: float | None = None,
    missing: Missing = "error",
) -> Matched:
    """Put everyone into sets of one supported person and some controls, or one control and some supported.

    Nobody is left out for want of a partner of their own: where controls are rare several supported people
    share one. The sum of distances within sets (from the one person to each of the others) is the smallest
    there is, exactly.

    Parameters
    ----------
    cohort : Cohort
    on : sequence of str
        Covariates, columns of ``cohort.table``.
    estimand : 'ATT', 'ATC' or 'ATE'
        Whom the weights stand for; the sets are the same.
    distance : 'propensity', 'linear_propensity' or 'prognostic'
        The score whose differences are the distances, as of ``nearest``.
    link : 'logit', 'probit' or 'penalised'
        Of the propensity score.
    prognosis : str, optional
        The outcome of the prognostic score.
    exact : sequence of str
        Columns whose values must agree within a set.
    anti_exact : sequence of str
        Refused: the search is exact because only neighbours on the line need be considered, and these may be
        the ones who live in the same building. ``optimal`` and ``nearest`` have it.
    caliper : float, optional
        Largest difference in the score, in its standard deviations over everyone. Who has nobody of the other
        arm within it is left out.
    min_controls, max_controls : float, optional
        Fewest and most controls for each supported person of a set: whole numbers, or one part in a whole
        number (1/3: up to, or at least, three supported people share a control). ``min_controls=1``: nobody
        shares a control. Where an arm has more people than there are places for, as many as possible are
        matched, and who is left out is chosen for the least total distance.
    missing : 'error', 'indicator' or 'category'
        What becomes of missing covariates, as of ``propensity``.

    Returns
    -------
    Matched
        ``subclass`` numbers the sets by the lowest ``person_id`` of a supported person. For the ATT
        supported people weigh 1 and controls the set's supported / controls, scaled to average 1; the ATC is
        the reverse; for the ATE people of each arm weigh the set's size / people of that arm, scaled
        likewise. ``method["total_distance"]`` is what was made smallest. ``counts`` says by which rule people
        of both arms were left out.

    Raises
    ------
    ParameterError, DataError, DesignError
        For an argument that makes no sense, a column that is absent or incomplete, an estimand it lacks,
        rules that leave nobody, limits for which there are too few people (within the caliper), and limits
        that bind together with a caliper in groups of more than 30,000 people.

    Notes
    -----
    Exactness needs a score on a line; in more dimensions use ``optimal`` or ``nearest``. With limits on the
    size of sets it is a flow along the line, whose least cost is convex; where a caliper stands in its way,
    a linear programme. Where people have
    equal scores there are several best answers: those at the same score are paired off first, and who remains
    joins them in turn, in the order of ``person_id``.

    References
    ----------
    Rosenbaum, P. R. (1991). A characterization of optimal designs for observational studies. Journal of the
    Royal Statistical Society B 53, 597-610. Hansen, B. B. (2004). Full matching in an observational study of
    coaching for the SAT. Journal of the American Statistical Association 99, 609-618.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data import Cohort
    >>> frame = pd.DataFrame({"helped": [1, 0, 0, 1, 0, 1], "age": [71, 70, 72, 60, 61, 59]})
    >>> matched = full(Cohort.from_frame(frame, treated="helped"), on=["age"], link="penalised")
    >>> matched.table[["weight", "subclass"]].values.tolist()
    [[1.0, 1], [0.5, 1], [0.5, 1], [1.0, 2], [2.0, 2], [1.0, 2]]
    """
    check_estimand(estimand, "full", ("ATT", "ATC", "ATE"), "inverse_probability")
    check_word("distance", distance if isinstance(distance, str) else "a matrix", _DISTANCES)
    check_caliper(caliper)
    sizes = Sizes.of(min_controls, max_controls)
    if len(anti_exact):
        raise DesignError(
            "anti_exact: full matching is exact only where the nearest may always be taken; use optimal or "
            "nearest, which have it."
        )
    people = People.of(cohort, on=on, exact=exact, missing=missing)
    found = measure(people, distance=distance, link=link, prognosis=prognosis)
    assert found.line is not None
    width = np.inf if caliper is None else caliper * found.spread
    sets, total = sets_on_a_line(found.line, people.treated, people.group, width, sizes=sizes)
    if not (sets >= 0).any():
        raise DesignError(NOBODY)
    # Every set has a supported person: sets are numbered in the order in which these first appear.
    inside = sets[people.treated & (sets >= 0)]
    number = np.zeros(len(sets) + 1, np.intp)
    number[pd.unique(inside)] = np.arange(len(pd.unique(inside))) + 1
    subclass = np.where(sets >= 0, number[sets], 0)
    return people.matched(
        stratum_weights(subclass, people.treated, estimand),
        subclass=subclass,
        score=found.score,
        method={
            "estimator": "full",
            "estimand": estimand,
            "distance": distance,
            "link": link,
            "prognosis": prognosis,
            "caliper": caliper,
            "caliper_width": None if caliper is None else width,
            "min_controls": min_controls,
            "max_controls": max_controls,
            "replace": False,
            "clusters": "matched set",
            "total_distance": total,
            "sets": int(subclass.max()),
        },
        counts=_counts(people, sets, limited=sizes is not None),
    )


def check_caliper(caliper: float | None) -> None:
    """Refuse a caliper of nothing or less."""
    if caliper is not None and (isinstance(caliper, (bool, str)) or not caliper > 0):
        raise ParameterError(
            f"caliper={caliper!r}: give standard deviations of the score above 0, such as 0.2."
        )


def _counts(people: People, sets: Rows, *, limited: bool) -> pd.DataFrame:
    """How many were matched, and which rule left out the others: the first that applies to each."""
    rows = []
    for arm, mine in (("treated", people.treated), ("control", ~people.treated)):
        alone = mine & ~np.isin(people.group, people.group[~mine])
        rows += [
            (arm, "matched", int((mine & (sets >= 0)).sum())),
            (arm, f"no {_OTHERS[arm]} with the same exact values", int(alone.sum())),
            (arm, f"no {_OTHERS[arm]} within the caliper", int((mine & (sets == -1) & ~alone).sum())),
        ]
        if limited:
            rows.append((arm, "no place left in a set", int((mine & (sets == -2)).sum())))
    return pd.DataFrame(rows, columns=["arm", "rule", "persons"])
