"""One group against its controls in two periods: effect and influence (Sant'Anna and Zhao 2020)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from impact.errors import DesignError
from impact.numbers.regress import glm, pseudo_inverse

Array = NDArray[np.float64]
Score = Literal["dr", "reg", "ipw"]

# Controls whose propensity reaches this are left out, as in R's DRDID: their weight would be above 199.
_TRIM = 0.995


class Comparison:
    """Everything that does not depend on the outcome: propensities, outcome regression, their errors.

    People are in columns, the ``n1`` of the group first and then their controls; ``w`` is one weight a
    person; ``start`` is where the logit begins.
    """

    def __init__(self, x: Array, w: Array, n1: int, method: Score, start: Array | None) -> None:
        self.x, self.w, self.n1 = x, w, n1
        # Without covariates the three are the same difference in means.
        self.method = method if len(x) > 1 else "reg"
        self.coef = start
        self.s1 = w[:n1].sum()
        if len(w) - n1 <= len(x):
            raise DesignError("there are no more controls than covariates and levels; use fewer covariates.")
        xc, wc = x[:, n1:], w[n1:]
        if self.method != "reg":
            p, self.coef, self.bread = propensity(x, w, n1, start)
            self.score = w * (np.arange(len(p)) < n1) - w * p
            pc = p[n1:]
            self.wc = wc * np.where(pc < _TRIM, pc / np.maximum(1 - pc, 1 - _TRIM), 0.0)
            self.s0 = self.wc.sum()
        if self.method != "ipw":
            self.gram, rank = pseudo_inverse((xc * wc) @ xc.T)
            if rank < len(x):
                _check_span(x[:, :n1], xc)
            pull = -(x[:, :n1] @ w[:n1]) / self.s1
            if self.method == "dr":
                pull = pull + (xc @ self.wc) / self.s0
            self.lever = wc * ((self.gram @ pull) @ xc)

    def effect(self, change: Array) -> tuple[float, Array]:
        """Return the effect and each person's share of its error (people of the group first)."""
        n1, w = self.n1, self.w
        if self.method != "ipw":
            beta = self.gram @ (self.x[:, n1:] @ (w[n1:] * change[n1:]))
            change = change - beta @ self.x
        treated, controls = change[:n1], change[n1:]
        after = (w[:n1] @ treated) / self.s1
        psi = np.empty_like(change)
        psi[:n1] = w[:n1] * (treated - after) / self.s1
        psi[n1:] = self.lever * controls if self.method != "ipw" else 0.0
        if self.method == "reg":
            return float(after), psi
        without = (self.wc @ controls) / self.s0
        spread = self.wc * (controls - without) / self.s0
        psi[n1:] -= spread
        psi -= self.score * ((self.bread @ (self.x[:, n1:] @ spread)) @ self.x)
        return float(after - without), psi


def propensity(x: Array, w: Array, n1: int, start: Array | None) -> tuple[Array, Array, Array]:
    """Fit a logit of belonging to the first ``n1`` people; return probabilities, coefficients and bread.

    Controls unlike every treated person in some covariate (a category none of the treated is in) have
    probability 0 in the limit of the likelihood: they are given it, and the covariate leaves the fit.
    """
    k, n = x.shape
    alike, kept = np.ones(n, bool), np.ones(k, bool)
    for j in range(1, k):
        value = x[j, 0]
        if np.all(x[j, :n1] == value):
            beside = x[j, n1:]
            # With controls on both sides of the value a finite fit exists and is left to the logit.
            if value in (beside.min(), beside.max()):
                alike[n1:] &= beside == value
                kept[j] = False
    y = (np.arange(n) < n1).astype(float)
    p, coef, bread = np.zeros(n), np.zeros(k), np.zeros((k, k))
    if kept.all():
        fit = glm(x, y, family="logit", weights=w, start=start)
        return fit.mean, fit.coef, fit.bread
    begin = None if start is None else start[kept]
    fit = glm(x[np.ix_(kept, alike)], y[alike], family="logit", weights=w[alike], start=begin)
    p[alike], coef[kept], bread[np.ix_(kept, kept)] = fit.mean, fit.coef, fit.bread
    return p, coef, bread


def _check_span(treated: Array, controls: Array) -> None:
    inverse, _ = pseudo_inverse(controls @ controls.T)
    left = treated - (controls @ controls.T) @ (inverse @ treated)
    if np.abs(left).max() > 1e-6:
        raise DesignError(
            "some treated people have a level of a covariate that no control has; "
            "use fewer covariates or coarser levels."
        )
