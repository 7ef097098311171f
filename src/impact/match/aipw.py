"""Doubly robust effects: a regression in each arm, put right by the weighted residuals of that arm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from impact.match.gcomputation import Family, Model, Totals, compared, spread, within_reach
from impact.match.propensity import Array, Rows
from impact.match.rate_ratio import PER_MONTHS, UNIT
from impact.match.sample import Followed, Part, Sample, comparable, each, names_of
from impact.results import Effects, Matched

if TYPE_CHECKING:
    from impact.data import Cohort


def aipw(
    matched: Matched | Cohort,
    *,
    outcome: str | Sequence[str],
    adjust: Sequence[str] = (),
    cohort: Cohort | None = None,
) -> Effects:
    """Compare rates by weighting and regression together: right if either of them is (doubly robust).

    In each arm a Poisson regression of counts on ``adjust``, unweighted and each person once, foretells the
    events of the people the effect is about in their time; to this is added their time times the weighted
    mean of that arm's residuals. Without covariates it is the ratio of weighted rates.

    Parameters
    ----------
    matched : Matched or Cohort
        Most at home with ``inverse_probability`` or ``entropy_balance``, whose estimated weights carry their
        own error; matched sets serve as well.
    outcome, adjust, cohort
        As in ``rate_ratio``.

    Returns
    -------
    Effects
        The scales and clusters of ``rate_ratio``; CR1, where K counts the coefficients of both arms.

    Raises
    ------
    ParameterError, DataError, DesignError
        As in ``rate_ratio``; also where an arm has nobody like some of those the effect is about.

    References
    ----------
    Robins, J. M., Rotnitzky, A. and Zhao, L. P. (1994). Estimation of regression coefficients when some
    regressors are not always observed. Journal of the American Statistical Association 89, 846-866. Bang, H.
    and Robins, J. M. (2005). Doubly robust estimation in missing data and causal inference models.
    Biometrics 61, 962-973.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from impact.data import Cohort
    >>> from impact.match import inverse_probability
    >>> frame = pd.DataFrame({"helped": [1, 1, 1, 0, 0, 0], "alone": [1, 1, 0, 1, 0, 0]})
    >>> frame["visits"] = [1, 2, 1, 4, 2, 3]
    >>> weighted = inverse_probability(
    ...     Cohort.from_frame(frame, treated="helped", outcomes=["visits"]), on=["alone"])
    >>> round(float(np.exp(aipw(weighted, outcome="visits", adjust=["alone"]).estimate[0])), 4)
    0.381
    """
    sample = Sample.of(matched, cohort)
    followed = {name: sample.events(name) for name in names_of(list(sample.cohort.outcomes), outcome)}
    comparable(followed)
    covariates = sample.covariates(adjust, followed)
    avoided = "events" if sample.estimand == "ATT" else None

    def part(rows: Followed) -> Part:
        totals = augmented(rows, covariates, sample.person, family="poisson")
        return compared(totals, unit=UNIT, per=PER_MONTHS, avoided=avoided)

    parts = each(followed, part)
    said = sample.method(
        "rates",
        estimator="doubly robust rates",
        outcomes=[*followed],
        adjust=adjust,
        time=True,
    )
    return sample.effects(followed, parts, {**said, "family": "poisson"})


def augmented(rows: Followed, covariates: Array, person: Rows, *, family: Family) -> Totals:
    """Sum outcomes with and without support over those the effect is about; covariates (k, n).

    Whom it is about, their covariates and their time are as they are and have no error.
    """
    at = rows.at_risk
    w, months, y, treated = rows.weight[at], rows.months[at], rows.y[at], rows.treated[at]
    target, own = (a[at] for a in rows.target)
    x = covariates[:, at]
    z = np.vstack([np.ones(len(w)), x - (x @ target / target.sum())[:, None]])
    offset = np.log(months) if family == "poisson" else np.zeros(len(w))
    # A control of several sets is one person in the regression.
    once = 1 / np.bincount(person[at])[person[at]]
    time = target @ months
    value, influence, by_weight = [], [], []
    for arm in (treated, ~treated):
        within_reach(z, w * arm, [z], target > 0)
        model = Model.fit(z, y, weights=once * arm, family=family, offset=offset)
        mean, slope = model.at(z)
        share = np.where(arm, time / (w[arm] @ months[arm]), 0.0)
        left = (w * share) @ (y - mean) / time
        value.append(target @ mean + time * left)
        by_coef = z @ ((target - w * share) * slope)
        pull = share * (y - mean - left * months)
        by_weight.append(pull + own * (mean + left * months))
        influence.append(w * pull + once * arm * model.moved(by_coef[:, None])[:, 0])
    influence.append(np.zeros(len(w)))
    by_weight.append(own * months)
    moved, direct = spread(np.column_stack(influence), at), spread(np.column_stack(by_weight), at)
    return Totals(np.array([*value, time]), moved, direct, 2 * len(z))
