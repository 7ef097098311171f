"""G-computation: what a regression foretells for the people an effect is about, with and without support."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from impact.errors import DesignError
from impact.match.negative_binomial import negative_binomial
from impact.match.propensity import Array
from impact.match.sample import Followed, Part
from impact.numbers.regress import glm, ols, pseudo_inverse

Family = Literal["linear", "logit", "poisson", "negative_binomial"]
Regressors = Callable[[Any], Array]


@dataclass(frozen=True, eq=False)
class Totals:
    """Sums over the people an effect is about, (j,), and how rows move them, (n, j).

    The first three are outcomes with support, outcomes without, and time at risk.
    """

    value: Array
    influence: Array
    by_weight: Array
    parameters: int
    figures: dict[str, float] = field(default_factory=dict)

    def part(self, labels: Sequence[dict[str, str]], estimate: Sequence[float], by: Array) -> Part:
        """Estimates made from the totals; ``by (j, s)`` are their derivatives by the totals."""
        return Part(labels, np.array(estimate), self.influence @ by, self.by_weight @ by, self.parameters)


@dataclass(frozen=True, eq=False)
class Model:
    """A fitted regression: what it foretells, and the pull of each row on it.

    ``pull (k, n)`` is the score of each row for a weight of 1.
    """

    family: Family
    offset: Array
    coef: Array
    bread: Array
    pull: Array
    dispersion: float = 0.0

    @classmethod
    def fit(cls, x: Array, y: Array, *, weights: Array, family: Family, offset: Array) -> Model:
        """Fit the regression on regressors (k, n); rows of weight 0 say nothing."""
        dispersion = 0.0
        if family == "linear":
            fit = ols(x, y, weights)
        elif family == "negative_binomial":
            fit, dispersion = negative_binomial(x, y, weights=weights, offset=offset)
        else:
            fit = glm(x, y, family=family, weights=weights, offset=offset)
        return cls(family, offset, fit.coef, fit.bread, x * fit.residual, dispersion)

    def at(self, x: Array) -> tuple[Array, Array]:
        """Means with these regressors, (n,), and the slope of each by its linear predictor."""
        index = self.coef @ x + self.offset
        if self.family == "linear":
            return index, np.ones_like(index)
        if self.family == "logit":
            from scipy.special import expit

            mean = expit(index)
            return mean, mean * (1 - mean)
        mean = np.exp(index)
        return mean, mean

    def moved(self, by: Array) -> Array:
        """Influence of a row of weight 1 on quantities with derivatives ``by (k, j)`` by the coefficients."""
        return self.pull.T @ (self.bread @ by)


def regressors(covariates: Array, *, interact: bool, centre: Array) -> Regressors:
    """Make the regressors for a given support: intercept, covariates and support, or support times all."""
    z = np.vstack([np.ones(covariates.shape[1]), covariates - centre[:, None]])
    own = z if interact else z[:1]
    return lambda support: np.vstack([support * own, z])


def within_reach(design: Array, weights: Array, asked: Iterable[Array], people: NDArray[np.bool_]) -> None:
    """Refuse predictions for ``people`` whose covariates the fitted rows say nothing about."""
    if (k := len(design)) >= (n := int((weights > 0).sum())):
        raise DesignError(f"adjust: {k} coefficients for {n} people; leave out covariates.")
    gram = (design * weights) @ design.T
    wider = gram + sum((x * people) @ x.T for x in asked)
    if pseudo_inverse(gram)[1] < pseudo_inverse(wider)[1]:
        raise DesignError(
            "adjust: these covariates tell the arms apart (some level or value is found in one arm only); "
            "leave out the one that does."
        )


def g_computation(rows: Followed, covariates: Array, *, family: Family, interact: bool) -> Totals:
    """Fit the outcome on support and covariates (k, n), and predict for those the effect is about.

    Counts have the logarithm of the time at risk as offset. Whom the effect is about, their covariates and
    their time are as they are and have no error; the coefficients do (delta method).
    """
    at = rows.at_risk
    w, months, support = rows.weight[at], rows.months[at], rows.treated[at].astype(float)
    target, own = (a[at] for a in rows.target)
    x = covariates[:, at]
    design = regressors(x, interact=interact, centre=x @ target / target.sum())
    observed = design(support)
    within_reach(observed, w, map(design, (1.0, 0.0)), target > 0)
    counts = family in ("poisson", "negative_binomial")
    offset = np.log(months) if counts else np.zeros(len(months))
    model = Model.fit(observed, rows.y[at], weights=w, family=family, offset=offset)
    value, by, direct = [], [], []
    for x_a in map(design, (1.0, 0.0)):
        mean, slope = model.at(x_a)
        value.append(target @ mean)
        by.append(x_a @ (target * slope))
        direct.append(own * mean)
    by.append(np.zeros(len(model.coef)))
    moved = model.moved(np.column_stack(by))
    by_weight = moved + np.column_stack([*direct, own * months])
    figures = {"dispersion": model.dispersion} if family == "negative_binomial" else {}
    total = np.array([*value, target @ months])
    return Totals(total, spread(w[:, None] * moved, at), spread(by_weight, at), len(model.coef), figures)


def spread(values: Array, at: Any) -> Array:
    """Write values of the rows that take part among all rows, 0 for the others."""
    out = np.zeros((len(at), values.shape[1]))
    out[at] = values
    return out


def compared(
    totals: Totals, *, unit: str, per: float = 1.0, ratio: bool = True, avoided: str | None = None
) -> Part:
    """Log ratio, difference and events avoided of the totals; ``per`` units of time make one of ``unit``."""
    with_, without, time = totals.value[:3]
    zero = np.zeros(len(totals.value))
    found: dict[str, tuple[str, float, Array]] = {}
    if ratio:
        by = zero.copy()
        by[:2] = 1 / with_, -1 / without
        found["log ratio"] = ("log ratio", float(np.log(with_ / without)), by)
    gap = per * (with_ - without) / time
    by = zero.copy()
    by[:3] = per / time, -per / time, -gap / time
    found["difference"] = (unit, gap, by)
    if avoided is not None:
        by = zero.copy()
        by[:2] = -1.0, 1.0
        found["events avoided"] = (avoided, without - with_, by)
    labels = [{"term": "effect", "scale": scale, "unit": unit} for scale, (unit, _, _) in found.items()]
    estimates = [value for _, value, _ in found.values()]
    return totals.part(labels, estimates, np.column_stack([by for _, _, by in found.values()]))
