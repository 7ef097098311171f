"""The two Poisson models of a matched sample, one outcome at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from impact.errors import DesignError
from impact.numbers.regress import glm, pseudo_inverse
from impact.numbers.within import fixed_effects

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Followed:
    """The rows that are compared, with one outcome: events ``y`` in ``months`` at risk."""

    y: Array
    months: Array
    weight: Array
    treated: NDArray[np.bool_]
    sets: NDArray[np.intp]

    @property
    def at_risk(self) -> NDArray[np.bool_]:
        """Rows with any time at risk; the others take no part."""
        return self.months > 0


@dataclass(frozen=True, eq=False)
class Part:
    """Estimates by scale, the influence of each row on them, and how many coefficients were fitted."""

    estimate: dict[str, float]
    influence: Array
    parameters: int


def marginal(rows: Followed, covariates: Array, per: float) -> Part:
    """Poisson regression on support and covariates, (k, n); the effect on the treated on three scales."""
    at_risk = rows.at_risk
    w, treated, months = rows.weight[at_risk], rows.treated[at_risk], rows.months[at_risk]
    others = np.vstack([np.ones(len(w)), covariates[:, at_risk]])
    x = np.vstack([treated, others])
    if pseudo_inverse((x * w) @ x.T)[1] == pseudo_inverse((others * w) @ others.T)[1]:
        raise DesignError("adjust: these covariates tell the arms apart; leave out the one that does.")
    fit = glm(x, rows.y[at_risk], family="poisson", weights=w, offset=np.log(months))
    log_ratio = float(fit.coef[0])
    without = np.where(treated, w * fit.mean * np.exp(-log_ratio), 0.0)
    expected, observed = without.sum(), without.sum() * np.exp(log_ratio)
    time = w[treated] @ months[treated] / per
    # How expected and observed events move with the coefficients. Whom the effect is about, their
    # covariates and their person-time are as they are, and have no error.
    by_expected = x @ without
    by_observed = by_expected * np.exp(log_ratio)
    by_expected[0] = 0.0
    by_log_ratio = np.zeros(len(x))
    by_log_ratio[0] = 1.0
    jacobian = np.column_stack([by_log_ratio, (by_observed - by_expected) / time, by_expected - by_observed])
    influence = np.zeros((len(at_risk), 3))
    influence[at_risk] = (x * (w * (rows.y[at_risk] - fit.mean))).T @ (fit.bread @ jacobian)
    estimate = {
        "log ratio": log_ratio,
        "difference": (observed - expected) / time,
        "events avoided": expected - observed,
    }
    return Part(estimate, influence, len(x))


def conditional(rows: Followed) -> Part:
    """Poisson regression with an effect for each set, which is concentrated out.

    Sets in which everyone has the same count take part: their split of events over time at risk says as much
    about the ratio as any other. (They are uninformative in conditional logit only.)
    """
    order = np.lexsort((~rows.treated, rows.sets))
    begin = np.flatnonzero(np.append(True, np.diff(rows.sets[order]) > 0))
    place = np.arange(len(order)) - np.repeat(begin, np.diff(np.append(begin, len(order))))
    at = (np.repeat(np.arange(len(begin)), np.diff(np.append(begin, len(order)))), place)
    shape = (len(begin), int(place.max()) + 1)
    y, months, support = np.zeros(shape), np.zeros(shape), np.zeros((1, shape[1], 1))
    y[at], months[at] = rows.y[order], rows.months[order]
    # The supported stand in the first place of their set; a set that lost its own compares nobody.
    support[0, 0, 0] = 1.0
    months[~rows.treated[order[begin]]] = 0.0
    fit = fixed_effects(
        y,
        months,
        family="poisson",
        weights=np.ones(len(begin)),
        design=support,
        edges=np.array([0, len(begin)]),
    )
    influence = np.zeros((len(order), 1))
    influence[order[begin], 0] = fit.score[:, 0] * fit.bread[0, 0]
    return Part({"log ratio": float(fit.coef[0])}, influence, 1)
