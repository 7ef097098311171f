"""Regressions with an effect for each person, of people over time: linear and Poisson."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from impact.errors import DesignError
from impact.numbers.regress import Spare, inverse, told_apart

Array = NDArray[np.float64]

_STEPS = 60
_LONGEST = 3.0  # of a step, in logarithms of counts
_SMALL = 1e-10
# People at once, so that what is computed of them stays in the processor's cache.
_PIECE = 4096


class Regressors:
    """Regressors of people over time, without ever forming people by regressors.

    People of group ``g`` share a design. Person ``i``'s regressors in period ``t`` are the sum over ``m`` of
    ``covariates[i, m] * design[g, m, t]`` (k,), followed by ``varying[:, i, t]``. Sums over people are taken
    of *features*, of which there are few (for each covariate and period one, and one for each of
    ``varying``), and ``terms[g]`` (features, K) turns them into sums over regressors.
    """

    def __init__(
        self,
        design: Array,
        edges: NDArray[Any],
        covariates: Array | None = None,
        varying: Array | None = None,
    ) -> None:
        design = design[:, None] if design.ndim == 3 else design
        groups, self.m, self.periods, self.k = design.shape
        self.z, self.varying, self.edges = covariates, varying, edges
        self.q, mt = 0 if varying is None else len(varying), self.m * self.periods
        self.features_n = mt + self.q
        self.terms = np.zeros((groups, self.features_n, self.k + self.q))
        self.terms[:, :mt, : self.k] = design.reshape(groups, mt, self.k)
        self.terms[:, mt:, self.k :] = np.eye(self.q)
        # A group's people have nothing in most regressors that belong to other groups.
        self.used = [np.flatnonzero(term.any(0)) for term in self.terms]

    def __len__(self) -> int:
        return int(self.k + self.q)

    def groups(self) -> Iterator[tuple[int, int, int]]:
        """Number of each group that has people, and where it begins and ends."""
        for g, (low, high) in enumerate(pairwise(self.edges.tolist())):
            if low < high:
                yield g, low, high

    def pieces(self, rows: slice) -> Iterator[tuple[int, slice]]:
        """Cut a slice of people where groups begin, and into pieces that stay in the processor's cache."""
        for g, low, high in self.groups():
            for at in range(max(low, int(rows.start)), min(high, int(rows.stop)), _PIECE):
                yield g, slice(at, min(at + _PIECE, high, rows.stop))

    def predictor(self, g: int, rows: slice, coef: Array) -> Array:
        """Return the linear predictor of people of one group, (people, T), or (1, T) if it is the same."""
        used = self.used[g]
        eta = (self.terms[g][: self.m * self.periods, used] @ coef[used]).reshape(self.m, self.periods)
        if self.z is not None:
            eta = self.z[rows] @ eta
        if self.varying is not None:
            eta = eta + np.tensordot(coef[self.k :], self.varying[:, rows], 1)
        return np.asarray(eta)

    def features(self, rows: slice | NDArray[Any], values: Array) -> Array:
        """Return the features (people, features) of values (people, T)."""
        out = values
        if self.z is not None:
            out = (self.z[rows][:, :, None] * values[:, None]).reshape(len(values), -1)
        if self.varying is not None:
            out = np.column_stack([out, np.einsum("qit,it->iq", self.varying[:, rows], values)])
        return out

    def squares(self, rows: slice | NDArray[Any], mean: Array, within: bool) -> Array:
        """Return the features' squares with weights ``mean``, less those between people if ``within``."""
        m, T = self.m, np.arange(self.periods)
        out = np.zeros((self.features_n, self.features_n))
        if self.z is None:
            out[T, T] = mean.sum(0)
        else:
            z = self.z[rows]
            of_pairs = ((z[:, :, None] * z[:, None]).reshape(len(z), -1).T @ mean).reshape(m, m, -1)
            same = np.zeros((m, len(T), m, len(T)))
            same[:, T, :, T] = np.moveaxis(of_pairs, 2, 0)
            out[: m * len(T), : m * len(T)] = same.reshape(m * len(T), -1)
        if self.varying is not None:
            x = self.varying[:, rows]
            cross = np.array([self.features(rows, mean * one).sum(0) for one in x])
            out[m * len(T) :], out[:, m * len(T) :] = cross, cross.T
        if within:
            between = self.features(rows, mean) / np.sqrt(_positive(mean.sum(1)))[:, None]
            out -= between.T @ between
        return out

    def add(self, g: int, squares: Array, sums: Array, information: Array, gradient: Array) -> None:
        """Add the squares and sums of a group's features to the information and the gradient."""
        used = self.used[g]
        x = self.terms[g][:, used]
        gradient[used] += sums @ x
        information[np.ix_(used, used)] += x.T @ squares @ x


@dataclass(frozen=True)
class Within:
    """A regression with person effects (or without), fitted.

    Attributes
    ----------
    coef : array (K,)
    bread : array (K, K)
        The inverse of the information.
    score : array (n, T)
        Weighted residuals.
    mean : array (n, T)
        Weight of each observation in the information: its fitted count (Poisson), or its weight (linear).
    person : array (n,)
        Each person's concentrated effect: the factor on the rate (Poisson), or the level (linear).
    regressors : Regressors
    within : bool
        Whether there are person effects.
    """

    coef: Array
    bread: Array
    score: Array
    mean: Array
    person: Array
    regressors: Regressors
    within: bool

    @cached_property
    def lever(self) -> list[Array]:
        """For each group (features, K): a person's features of the score times it are the influence."""
        r = self.regressors
        return [term[:, used] @ self.bread[used] for term, used in zip(r.terms, r.used, strict=True)]

    def influence(self, rows: slice, by: Array) -> Array:
        """Return the influence of the people in ``rows`` on ``coef @ by``, (people, j), for ``by (K, j)``."""
        out, levers = np.empty((rows.stop - rows.start, by.shape[1])), {}
        for g, piece in self.regressors.pieces(rows):
            if g not in levers:
                levers[g] = self.lever[g] @ by
            at = slice(piece.start - rows.start, piece.stop - rows.start)
            out[at] = self.regressors.features(piece, self.score[piece]) @ levers[g]
        return out

    def by_cluster(self, codes: NDArray[np.int64], clusters: int) -> tuple[Array, Array]:
        """Return each cluster's information (clusters, K, K) and gradient (clusters, K).

        Person effects, which must lie within clusters, are concentrated out. Memory: clusters x K squared.
        """
        r = self.regressors
        grams, scores = np.zeros((clusters, len(r), len(r))), np.zeros((clusters, len(r)))
        for g, low, high in r.groups():
            order = low + np.argsort(codes[low:high], kind="stable")
            for rows in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
                c, sums = codes[rows[0]], r.features(rows, self.score[rows]).sum(0)
                r.add(g, r.squares(rows, self.mean[rows], self.within), sums, grams[c], scores[c])
        return grams, scores


def fixed_effects(
    y: Array,
    exposure: Array,
    *,
    family: Literal["linear", "poisson"],
    weights: Array,
    design: Array,
    edges: NDArray[Any],
    effects: Literal["person", "none"] = "person",
    covariates: Array | None = None,
    varying: Array | None = None,
    spare: Spare = None,
) -> Within:
    """Regress with an effect for each person, where the regressors follow from group, period and covariates.

    The person effects are concentrated out: by subtracting each person's mean (linear), or by spreading
    each person's own total over the periods (Poisson; Hausman, Hall and Griliches 1984). The information is
    a sum over groups of matrices as small as periods by covariates, and neither dummies nor people by
    regressors are ever formed.

    Parameters
    ----------
    y : array (n, T)
        Values (linear: rates; poisson: counts), people sorted by group; any finite value where not at risk.
    exposure : array (n, T)
        Time at risk; 0 means not at risk. Linear models only ask whether it is above zero.
    weights : array (n,) or (n, T)
        One weight a person, or one an observation. Poisson: counts and exposure are both multiplied by it.
    design : array (groups, T, k) or (groups, 1 + p, T, k)
        The second with ``covariates``: regressors are the sum over m of covariate m times ``design[:, m]``.
    edges : array (groups + 1,)
        Where each group begins among the people.
    effects : 'person' or 'none'
        'none' concentrates nothing out: intercepts stand in the design.
    covariates : array (n, 1 + p), optional
        Each person's; the first is usually 1.
    varying : array (q, n, T), optional
        Regressors that differ by person and period; their coefficients come last.
    spare : array (k,) of bool, optional
        Regressors of the design that are left out where they cannot be told apart from others: their
        coefficients are 0, and so are their rows of ``bread``.

    Raises
    ------
    DesignError
        Where the regressors cannot be told apart, or no finite solution exists.

    Examples
    --------
    Two people with support in the second period, and two without it:

    >>> import numpy as np
    >>> y = np.array([[4.0, 1], [6, 4], [2, 2], [5, 4]])
    >>> design = np.array([[[0.0, 0], [1, 1]], [[0, 0], [0, 1]]])  # support, second period
    >>> fit = fixed_effects(y, np.ones((4, 2)), family="linear", weights=np.ones(4), design=design,
    ...                     edges=np.array([0, 2, 4]))
    >>> fit.coef.round(6).tolist()
    [-2.0, -0.5]
    >>> fit.influence(slice(0, 4), np.eye(2)[:, :1]).ravel().round(6).tolist()
    [-0.25, 0.25, -0.25, 0.25]
    """
    r = Regressors(design, edges, covariates, varying)
    w = weights[:, None] if weights.ndim == 1 else weights
    linear, within = family == "linear", effects == "person"
    y = np.where(exposure > 0, y if linear else w * y, 0.0)
    size = w * (exposure > 0 if linear else exposure)
    empty = np.empty_like(y), np.empty_like(y), np.empty(len(y))
    fit = Within(np.zeros(len(r)), np.empty(0), *empty, r, within)
    if spare is not None:
        spare = np.append(spare, np.zeros(r.q, bool))
    if linear:
        fit = _solve(fit, _levels if within else _plain, y, size, spare)
        _pass(fit, _levels if within else _plain, y, size)
        return fit
    if not within:
        # A first guess of each mean, half way to the mean of all, then one least-squares step.
        mean = np.where(size > 0, (y + size * (y.sum() / _positive(size.sum()))) / 2, 0.0)
        working = np.log(_positive(mean / _positive(size))) + (y - mean) / _positive(mean)
        fit = _solve(fit, _plain, working, mean, spare)
    return _newton(fit, _factors if within else _counts, y, size, spare)


# Of values, weights and linear predictor: score, weight in the information, person effect and likelihood.
_Moments = Callable[[Array, Array, Array], tuple[Array, Array, Array | float, float]]


def _levels(y: Array, v: Array, eta: Array) -> tuple[Array, Array, Array | float, float]:
    left = y - eta
    level = (v * left).sum(1) / _positive(v.sum(1))
    return v * (left - level[:, None]), v, level, 0.0


def _plain(y: Array, v: Array, eta: Array) -> tuple[Array, Array, Array | float, float]:
    return v * (y - eta), v, 0.0, 0.0


def _factors(y: Array, time: Array, eta: Array) -> tuple[Array, Array, Array | float, float]:
    share = time * np.exp(np.minimum(eta, 300.0))
    events, spread = y.sum(1), _positive(share.sum(1))
    mean = share * (events / spread)[:, None]
    return y - mean, mean, events / spread, float((y * eta).sum() - events @ np.log(spread))


def _counts(y: Array, time: Array, eta: Array) -> tuple[Array, Array, Array | float, float]:
    mean = time * np.exp(np.minimum(eta, 300.0))
    return y - mean, mean, 1.0, float((y * eta).sum() - mean.sum())


def _pass(
    fit: Within, moments: _Moments, y: Array, size: Array, squares: bool = False
) -> tuple[Array, Array, float]:
    """Go once through the people: fill in ``fit``, and return information, gradient and likelihood."""
    r, loglik = fit.regressors, 0.0
    information, gradient = np.zeros((len(r), len(r))), np.zeros(len(r))
    for g, low, high in r.groups():
        of_group, sums = np.zeros((r.features_n, r.features_n)), np.zeros(r.features_n)
        for _, rows in r.pieces(slice(low, high)):
            eta = r.predictor(g, rows, fit.coef)
            fit.score[rows], fit.mean[rows], fit.person[rows], more = moments(y[rows], size[rows], eta)
            loglik += more
            sums += r.features(rows, fit.score[rows]).sum(0)
            if squares:
                of_group += r.squares(rows, fit.mean[rows], fit.within)
        r.add(g, of_group, sums, information, gradient)
    return information, gradient, loglik


def _solve(fit: Within, moments: _Moments, y: Array, size: Array, spare: Spare) -> Within:
    """Return the weighted least-squares solution; its residuals are not yet filled in."""
    information, gradient, _ = _pass(fit, moments, y, size, squares=True)
    bread = inverse(information, told_apart(information, spare))
    return replace(fit, coef=bread @ gradient, bread=bread)


def _newton(fit: Within, moments: _Moments, y: Array, size: Array, spare: Spare) -> Within:
    """Maximise the likelihood, without spare regressors that would have no finite coefficient."""
    kept, known, start = np.arange(len(fit.coef)), None, fit.coef
    if spare is not None and spare.any():
        information, _, _ = _pass(fit, moments, y, size, squares=True)
        kept, known = told_apart(information, spare), np.diag(information)
    while True:
        fit, information, done = _climb(fit, moments, y, size, kept)
        if done:
            return fit
        fewer = told_apart(information, spare, known, kept)
        if len(fewer) == len(kept):
            inverse(information, kept)
            raise DesignError("the Poisson regression has no finite solution: some cell of it has no events.")
        kept = fewer
        fit = replace(fit, coef=np.where(np.isin(np.arange(len(start)), kept), start, 0.0))


def _climb(
    fit: Within, moments: _Moments, y: Array, size: Array, kept: NDArray[np.int64]
) -> tuple[Within, Array, bool]:
    """Take Newton's steps; return the fit, the last information, and whether the top was reached."""
    before, step, information = -np.inf, fit.coef, np.empty(0)
    for _ in range(_STEPS):
        information, gradient, loglik = _pass(fit, moments, y, size, squares=True)
        if loglik < before - 1e-9 * abs(before):
            step = step / 2
            fit = replace(fit, coef=fit.coef - step)
            continue
        before = loglik
        try:
            bread = inverse(information, kept)
        except DesignError:
            break
        step = bread @ gradient
        longest = max(float(np.abs(term @ step).max()) for term in fit.regressors.terms)
        if longest < _SMALL:
            return replace(fit, bread=bread), information, True
        # Where a cell has many more events than a first guess, a full step would end where nothing is known
        # of it any more, and yet be more likely than the guess.
        step = step * min(1.0, _LONGEST / longest)
        fit = replace(fit, coef=fit.coef + step)
    return fit, information, False


def _positive(total: Any) -> Any:
    # People who are never at risk, or without events, have nothing to spread: all their terms are zero.
    return np.where(total > 0, total, 1.0)
