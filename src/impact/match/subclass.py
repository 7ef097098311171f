"""Subclassification: people are compared within slices of a score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from impact.errors import DesignError, ParameterError
from impact.match.distances import measure
from impact.match.estimands import check_estimand
from impact.match.people import People
from impact.match.propensity import Array, Link, Missing, Rows, check_word
from impact.match.strata import stratum_weights
from impact.results import Matched

if TYPE_CHECKING:
    from impact.data import Cohort

Scored = Literal["propensity", "linear_propensity", "prognostic"]
_DISTANCES = ("propensity", "linear_propensity", "prognostic")
_HAS = ("ATT", "ATC", "ATE")


def subclass(
    cohort: Cohort,
    *,
    on: Sequence[str],
    estimand: Literal["ATT", "ATC", "ATE"] = "ATT",
    subclasses: int = 6,
    minimum: int = 1,
    distance: Scored = "propensity",
    link: Link = "logit",
    prognosis: str | None = None,
    missing: Missing = "error",
) -> Matched:
    """Cut people in slices of similar scores, and compare the arms within each slice.

    Parameters
    ----------
    cohort : Cohort
    on : sequence of str
        Covariates, columns of ``cohort.table``.
    estimand : 'ATT', 'ATC' or 'ATE'
        The slices hold equal numbers of those aimed at: of the supported, of controls, or of everyone.
    subclasses : int
        How many slices. Where scores are so alike that fewer can be told apart, there are fewer.
    minimum : int
        The least number of people of each arm in a slice. Where there are fewer, people of that arm with
        the nearest scores are moved there from the slice beside it; ``method["moved"]`` counts them.
    distance, link, prognosis, missing : see ``nearest``
        The score that is cut: 'propensity', 'linear_propensity' or 'prognostic'.

    Returns
    -------
    Matched
        ``subclass`` numbers the slices from the lowest scores; ``distance`` is the score. Weights as of
        ``coarsened_exact``: each arm is spread over the slices as those aimed at are, 1 on average.

    Raises
    ------
    ParameterError, DataError, DesignError
        For a number or word that makes no sense, a column that is absent or incomplete, an estimand it lacks,
        a score that cannot be fitted, and more slices than there are people to fill them.

    References
    ----------
    Rosenbaum, P. R. and Rubin, D. B. (1984). Reducing bias in observational studies using subclassification
    on the propensity score. Journal of the American Statistical Association 79, 516-524.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data import Cohort
    >>> frame = pd.DataFrame({"helped": [0, 0, 1, 1, 0, 1], "age": [50, 53, 52, 60, 61, 66]})
    >>> cohort = Cohort.from_frame(frame, treated="helped")
    >>> subclass(cohort, on=["age"], subclasses=2).table["subclass"].tolist()
    [1, 1, 1, 2, 2, 2]
    """
    check_estimand(estimand, "subclass", _HAS, "inverse_probability")
    check_word("distance", distance, _DISTANCES)
    for name, value in (("subclasses", subclasses), ("minimum", minimum)):
        if isinstance(value, bool) or value != int(value) or value < 1:
            raise ParameterError(f"{name}={value!r}: give a whole number from 1.")
    people = People.of(cohort, on=on, missing=missing)
    treated = people.treated
    score = measure(people, distance=distance, link=link, prognosis=prognosis).line
    assert score is not None
    aim = {"ATT": treated, "ATC": ~treated, "ATE": np.ones(len(treated), bool)}[estimand]
    cuts = np.unique(np.quantile(score[aim], np.linspace(0, 1, int(subclasses) + 1)))
    slices = max(len(cuts) - 1, 1)
    first = np.clip(np.searchsorted(cuts, score, side="right"), 1, slices)
    least = int(min(treated.sum(), (~treated).sum()))
    if slices * minimum > least:
        raise DesignError(
            f"subclasses={subclasses}: {slices} slices with {minimum} of each arm need {slices * minimum} "
            f"people in each arm, and one has {least}; use fewer."
        )
    stratum = first.copy()
    for arm in (treated, ~treated):
        stratum[arm] = _filled(first[arm], score[arm], slices, int(minimum))
    n_treated = int(treated.sum())
    counts = [("treated", "matched", n_treated), ("control", "matched", len(treated) - n_treated)]
    return people.matched(
        stratum_weights(stratum, treated, estimand),
        subclass=stratum,
        score=score,
        method={
            "estimator": "subclass",
            "estimand": estimand,
            "distance": distance,
            "link": link,
            "prognosis": prognosis,
            "replace": False,
            "clusters": "person",
            "subclasses": slices,
            "minimum": minimum,
            "moved": int((stratum != first).sum()),
        },
        counts=pd.DataFrame(counts, columns=["arm", "rule", "persons"]),
    )


def _filled(stratum: Rows, score: Array, slices: int, minimum: int) -> Rows:
    """Move people of an arm to the next slice, nearest scores first, until each slice has the minimum.

    In the order of scores (and then of ``person_id``) slices are runs of people, so that only their ends need
    to move: up where a slice is too short, then down from the last.
    """
    order = np.argsort(score, kind="stable")
    step = minimum * np.arange(slices + 1)
    ends = np.append(0, np.cumsum(np.bincount(stratum, minlength=slices + 1)[1:]))
    ends = np.maximum.accumulate(ends - step) + step
    ends = np.minimum(ends, len(stratum) - step[::-1])
    out = np.empty_like(stratum)
    out[order] = np.repeat(np.arange(1, slices + 1), np.diff(ends))
    return out
