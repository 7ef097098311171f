"""Inverse probability weights: people count by how unlikely their arm was, given their covariates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.errors import DesignError, ParameterError
from impact.match.estimands import Estimand
from impact.match.people import People
from impact.match.propensity import Array, Link, Missing, Score, check_word, fitted
from impact.results import Matched, Weighting

if TYPE_CHECKING:
    from impact.data import Cohort


def inverse_probability(
    cohort: Cohort,
    *,
    on: Sequence[str],
    estimand: Estimand = "ATT",
    link: Link = "logit",
    stabilise: bool = False,
    truncate: float | None = None,
    missing: Missing = "error",
) -> Matched:
    """Weight people by the propensity score, so that both arms stand for the same people.

    Parameters
    ----------
    cohort : Cohort
    on : sequence of str
        Covariates, columns of ``cohort.table``.
    estimand : 'ATT', 'ATC', 'ATE', 'ATO' or 'ATM'
        With score ``e``, weights of the supported and of controls are 1 and ``e / (1 - e)`` for 'ATT' (the
        supported), ``(1 - e) / e`` and 1 for 'ATC' (the controls), ``1 / e`` and ``1 / (1 - e)`` for 'ATE'
        (everyone), ``1 - e`` and ``e`` for 'ATO' (the overlap: those who might as well have been in either
        arm; no weight is above 1, and with the logit averages agree exactly) and ``min(e, 1 - e)`` over the
        chance of the arm they are in for 'ATM' (those a pair match would keep).
    link : 'logit', 'probit' or 'penalised'
        Of the propensity score.
    stabilise : bool
        With 'ATE', multiply by the share of people in the arm, so that weights average 1.
    truncate : float, optional
        A share of people such as 0.99: in each arm larger weights than that share of its people have are
        lowered to it. It trades bias for precision, and the estimand is no longer quite the one named.
    missing : 'error', 'indicator' or 'category'
        What becomes of missing covariates, as of ``propensity``.

    Returns
    -------
    Matched
        Weights as above, not scaled; ``distance`` is the score. For 'ATT' controls of a category in which
        nobody was supported have weight 0. ``weighting`` carries the error of the score into later errors
        (the quantile of ``truncate`` counts as known).

    Raises
    ------
    ParameterError, DataError, DesignError
        For a number or word that makes no sense, a column that is absent or incomplete, a score that cannot
        be fitted, and people aimed at of whom nobody could have been supported.

    References
    ----------
    Li, F., Morgan, K. L. and Zaslavsky, A. M. (2018). Balancing covariates via propensity score weighting.
    Journal of the American Statistical Association 113, 390-400. Li, L. and Greene, T. (2013). A weighting
    analogue to pair matching in propensity score analysis. International Journal of Biostatistics 9, 215-234.
    Hernan, M. A. and Robins, J. M. (2020). Causal Inference: What If. Chapman & Hall, chapter 12.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data import Cohort
    >>> frame = pd.DataFrame({"helped": [1, 1, 1, 0, 0, 0], "alone": [1, 0, 0, 1, 1, 0]})
    >>> matched = inverse_probability(Cohort.from_frame(frame, treated="helped"), on=["alone"])
    >>> matched.table["weight"].round(6).tolist()
    [1.0, 1.0, 1.0, 0.5, 0.5, 2.0]
    """
    check_word("estimand", estimand, get_args(Estimand))
    if stabilise and estimand != "ATE":
        raise ParameterError(f"stabilise=True is for estimand='ATE'; {estimand!r} has no such weights.")
    if truncate is not None and (isinstance(truncate, bool) or not 0.5 < truncate < 1):
        raise ParameterError(
            f"truncate={truncate!r}: give a share of people above 0.5 and below 1, like 0.99."
        )
    people = People.of(cohort, on=on, missing=missing)
    treated, score = people.treated, fitted(people.covariates, people.treated, link=link)
    if estimand in ("ATC", "ATE") and (none := int((~score.inside).sum())):
        raise DesignError(
            f"estimand={estimand!r}: {none} people are of a category in which nobody was supported, so the "
            "effect on them cannot be known; leave them out, merge the category with another, use "
            "estimand='ATT' or 'ATO', or choose link='penalised'."
        )
    weight, by_score = _weights(score.probability, treated, estimand)
    if stabilise:
        share = np.where(treated, treated.mean(), (~treated).mean())
        weight, by_score = weight * share, by_score * share
    for arm in (treated, ~treated):
        most = np.inf if truncate is None else np.quantile(weight[arm], truncate)
        by_score[arm & (weight > most)] = 0.0
        weight[arm] = np.minimum(weight[arm], most)
    return people.matched(
        weight,
        score=score.probability,
        method={
            "estimator": "inverse_probability",
            "estimand": estimand,
            "distance": "propensity",
            "link": link,
            "replace": False,
            "clusters": "person",
            "stabilise": stabilise,
            "truncate": truncate,
            "largest_weight": float(weight.max()),
        },
        counts=weighted_counts(weight, treated, "in a category in which nobody was supported"),
        weighting=_weighting(score, by_score, link),
    )


def _weights(e: Array, treated: NDArray[np.bool_], estimand: str) -> tuple[Array, Array]:
    """Weights (n,), how much a score counts over the chance of the arm, and their derivative by the score."""
    kinds: dict[str, tuple[Array, Array | float]] = {
        "ATT": (e, 1.0),
        "ATC": (1 - e, -1.0),
        "ATE": (np.ones(len(e)), 0.0),
        "ATO": (e * (1 - e), 1 - 2 * e),
        "ATM": (np.minimum(e, 1 - e), np.where(e < 0.5, 1.0, -1.0)),
    }
    counts, by_score = kinds[estimand]
    own, sign = np.where(treated, e, 1 - e), np.where(treated, 1.0, -1.0)
    weight = counts / own
    return weight, (by_score - weight * sign) / own


def _weighting(score: Score, by_score: Array, link: Link) -> Weighting:
    """How the weights move with the coefficients of the score, and these with each person's values."""
    inside = score.inside
    regressors = np.asarray(score.regressors)
    influence = score.fit.bread @ regressors
    influence *= score.fit.residual
    gradient = regressors * (by_score * slope_of(score, link))[inside]
    return Weighting(_widened(gradient, inside).T, _widened(influence, inside).T)


def slope_of(score: Score, link: Link) -> Array:
    """How fast each person's score moves with its linear predictor, (n,)."""
    if link == "probit":
        return np.asarray(np.exp(-(score.linear**2) / 2) / np.sqrt(2 * np.pi))
    return score.probability * (1 - score.probability)


def weighted_counts(weight: Array, treated: NDArray[np.bool_], otherwise: str) -> pd.DataFrame:
    """Count in each arm who has weight; ``otherwise`` is the rule by which others have none."""
    rows = []
    for name, arm in (("treated", treated), ("control", ~treated)):
        used = int((weight[arm] > 0).sum())
        rows += [(name, "weighted", used), (name, otherwise, int(arm.sum()) - used)]
    return pd.DataFrame(rows, columns=["arm", "rule", "persons"])


def _widened(part: Array, inside: NDArray[np.bool_]) -> Array:
    """Give people who took no part in the fit columns of zeros."""
    if inside.all():
        return part
    whole = np.zeros((len(part), len(inside)))
    whole[:, inside] = part
    return whole
