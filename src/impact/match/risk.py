"""The effect on something that happens or not: difference and ratio of risks, and McNemar's test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from impact.errors import DataError, DesignError, together
from impact.match.gcomputation import compared, g_computation
from impact.match.mean_difference import with_values
from impact.match.sample import Followed, Part, Sample, each
from impact.results import Effects, Matched, Test

if TYPE_CHECKING:
    from impact.data import Cohort

# The unit of a difference in risks.
PER_PEOPLE = 100
UNIT = f"per {PER_PEOPLE} people"


def risk(
    matched: Matched | Cohort,
    *,
    outcome: str | Sequence[str],
    adjust: Sequence[str] = (),
    interact: bool = True,
    cohort: Cohort | None = None,
) -> Effects:
    """Compare how many had something happen to them, such as any admission, with their matched controls.

    A logistic regression on support and ``adjust``, weighted by the match, and the mean of its predictions
    with and without support for those the effect is about (g-computation with the delta method). Odds ratios
    are not given: they change when covariates are added, even where nothing is confounded.

    Parameters
    ----------
    matched : Matched or Cohort
        A cohort is compared as it stands, unmatched.
    outcome : str or sequence of str
        Columns of 0 and 1. People without a value are left out as in ``mean_difference``.
    adjust, cohort
        As in ``rate_ratio``.
    interact : bool
        Whether support may change the covariates' coefficients.

    Returns
    -------
    Effects
        For each outcome the log risk ratio, the difference per 100 people and, for the effect on the
        supported, the events avoided (people). Clusters as in ``rate_ratio`` (CR1).

    Raises
    ------
    DataError
        For a column that is absent or holds other values than 0 and 1.
    DesignError
        If an arm has nobody with a value or nobody to whom it happened, or a covariate foretells it.

    References
    ----------
    Austin, P. C. (2011). An introduction to propensity score methods. Multivariate Behavioral Research 46,
    399-424.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data import Cohort
    >>> frame = pd.DataFrame({"helped": [1, 1, 1, 0, 0, 0], "admitted": [1, 0, 0, 1, 1, 0]})
    >>> effects = risk(Cohort.from_frame(frame, treated="helped"), outcome="admitted")
    >>> effects.table[["scale", "estimate"]].round(3).values.tolist()
    [['log ratio', -0.693], ['difference', -33.333], ['events avoided', 1.0]]
    """
    sample = Sample.of(matched, cohort)
    followed, lacking = with_values(sample, outcome)
    _happens(followed)
    covariates = sample.covariates(adjust, followed)
    avoided = "people" if sample.estimand == "ATT" else None

    def part(rows: Followed) -> Part:
        totals = g_computation(rows, covariates, family="logit", interact=interact)
        return compared(totals, unit=UNIT, per=PER_PEOPLE, avoided=avoided)

    parts = each(followed, part)
    said = sample.method(
        "risks", estimator="risks by logistic regression", outcomes=[*followed], adjust=adjust
    )
    return sample.effects(followed, parts, {**said, "family": "logit", "without_value": lacking})


def mcnemar(matched: Matched, *, outcome: str, exact: bool = False, cohort: Cohort | None = None) -> Test:
    """Test whether something happened as often to the supported as to their controls, in pairs.

    Only pairs in which it happened to one of the two speak: under the null hypothesis to either with equal
    chance.

    Parameters
    ----------
    matched : Matched
        Pairs of one supported person and one control, without replacement.
    outcome : str
        A column of 0 and 1; a pair in which either has no value is left out.
    exact : bool
        The p-value of the binomial test, for few such pairs, in place of that of chi-square with continuity
        correction.
    cohort : Cohort, optional
        Where the outcome stands if not in the cohort that was matched.

    Returns
    -------
    Test
        Its ``counts`` have ``treated_only`` and ``control_only``, the pairs in which it happened to one of
        the two; ``events`` is their sum.

    Raises
    ------
    DesignError
        If the sample is not in pairs, or no pair differs.

    References
    ----------
    McNemar, Q. (1947). Note on the sampling error of the difference between correlated proportions or
    percentages. Psychometrika 12, 153-157. Edwards, A. L. (1948). Psychometrika 13, 185-187.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data import Cohort
    >>> from impact.match import nearest
    >>> frame = pd.DataFrame({"helped": [1, 1, 0, 0], "age": [60, 70, 61, 71], "fell": [1, 1, 0, 1]})
    >>> pairs = nearest(Cohort.from_frame(frame, treated="helped"), on=["age"], distance="mahalanobis")
    >>> mcnemar(pairs, outcome="fell", exact=True).p_value
    1.0
    """
    sample = Sample.of(matched, cohort)
    followed, lacking = with_values(sample, outcome)
    _happens(followed, both=False)
    ((name, rows),) = followed.items()
    arms = [
        np.bincount(rows.sets[mine]) for mine in (rows.at_risk & rows.treated, rows.at_risk & ~rows.treated)
    ]
    if sample.matching.get("clusters") != "matched set" or any(arm.max() > 1 for arm in arms):
        raise DesignError(
            "mcnemar needs pairs matched without replacement; use match.risk for other samples."
        )
    mine = rows.at_risk
    gap = np.bincount(rows.sets[mine], np.where(rows.treated, rows.y, -rows.y)[mine])
    only = {"treated_only": int((gap > 0).sum()), "control_only": int((gap < 0).sum())}
    differ = sum(only.values())
    if not differ:
        raise DesignError(f"outcome={name!r}: in no pair did it happen to one of the two only: no test.")
    statistic, p_value = _mcnemar(only["treated_only"], only["control_only"], exact=exact)
    pairs = int(mine.sum()) // 2
    # With the events the statistic gives both of their parts.
    counts = {"persons": 2 * pairs, "treated": pairs, "clusters": pairs, "events": differ, **only}
    counts["fewest"] = min(only.values())
    said = sample.method("risks", estimator="McNemar's test", outcomes=[name], adjust=[])
    said |= {"inference": "exact binomial" if exact else "chi-square, continuity correction"}
    return Test(
        "the same risk in both arms",
        statistic,
        1.0,
        p_value,
        {**said, "without_value": lacking},
        pd.DataFrame([counts]),
    )


def _mcnemar(treated: int, control: int, *, exact: bool) -> tuple[float, float]:
    from scipy.special import bdtr, chdtrc

    n = treated + control
    statistic = max(abs(treated - control) - 1, 0) ** 2 / n
    if exact:
        return statistic, min(1.0, 2 * float(bdtr(min(treated, control), n, 0.5)))
    return statistic, float(chdtrc(1, statistic))


def _happens(followed: dict[str, Followed], *, both: bool = True) -> None:
    """Refuse outcomes that are not 0 and 1, and those that never happened to an arm."""
    other = [n for n, rows in followed.items() if not np.isin(rows.y[rows.at_risk], [0, 1]).all()]
    if other:
        raise DataError(together([f"outcome={n!r}: holds other values than 0 and 1." for n in other]))
    problems = [
        f"outcome={name!r}: it happened to nobody or everybody of the {arm}; there is no ratio of risks."
        for name, rows in followed.items()
        for arm, mine in (("supported", rows.treated), ("controls", ~rows.treated))
        if both and len(np.unique(rows.y[mine & rows.at_risk])) < 2
    ]
    if problems:
        raise DesignError(together(problems))
