"""Groups against their controls in pairs of periods, all at once (Sant'Anna and Zhao 2020).

People are sorted by start, so that a group of people is a slice. A comparison gives a person who is not at
risk the weight zero; nothing is gathered or copied person by person. Everything is a sum over people of a
weight times products of covariates and rates, taken for all comparisons together on blocks of people that
fit in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from impact.errors import DesignError
from impact.numbers.regress import pseudo_inverses

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Score = Literal["dr", "reg", "ipw"]

# Controls whose propensity reaches this are left out, as in R's DRDID: their weight would be above 199.
_TRIM = 0.995
_STEPS = 60
_SMALL = 3e-5  # the last Newton step squares the error, so that a step this small leaves none that matters
_CACHED = 2**17  # numbers in a block


class People(NamedTuple):
    """One outcome's arrays, with people in columns, sorted by start.

    ``x (k, n)`` covariates, the first of them 1; ``rate (T, n)``, 0 where not at risk; ``weight (rows, n)``
    and ``seen (rows, n)``, of which a comparison multiplies one row each (no ``seen``: all are at risk);
    ``edges`` where each group begins.
    """

    x: Array
    rate: Array
    weight: Array
    seen: Array | None
    edges: Index


class Pairs(NamedTuple):
    """What is compared: ``own`` group and periods ``t`` and ``base``, rows of the weights, control groups."""

    own: Index
    t: Index
    base: Index
    weight: Index
    seen: Index
    controls: NDArray[np.bool_]


class Comparisons:
    """The effects ``estimate`` of all pairs, and people's influence on them.

    Comparisons of the same people with the same weights share one fit: its propensities and its outcome
    regression's Gram matrix. ``of`` is the fit of each comparison.

    Raises
    ------
    DesignError
        Where a propensity model has no finite solution, or treated people a level that no control has; it
        names the group by its place among the starts.
    """

    def __init__(self, people: People, pairs: Pairs, method: Score) -> None:
        self.people, self.pairs = people, pairs
        k, n = people.x.shape
        self.everyone = slice(0, n)
        # Without covariates the three are the same difference in means.
        self.method = method if k > 1 else "reg"
        columns = [pairs.own, pairs.weight, 0 * pairs.seen if people.seen is None else pairs.seen]
        key = np.column_stack([*columns, pairs.controls])
        _, first, of = np.unique(key, axis=0, return_index=True, return_inverse=True)
        self.of = of.ravel()
        self.own, self.controls = pairs.own[first], pairs.controls[first]
        self.weight, self.seen = pairs.weight[first], pairs.seen[first]
        self.left, self.right = np.triu_indices(k)
        self.square = np.zeros((k, k), int)
        self.square[self.left, self.right] = self.square[self.right, self.left] = np.arange(len(self.left))
        self.unlike: dict[int, list[tuple[int, float]]] = {}
        grams = self._grams()
        if self.method != "reg":
            self.coef = self._logits(*grams)
        self._solve(*grams)

    def influence(self, rows: slice, by: Array) -> Array:
        """Influence of the people in ``rows`` on the effects times ``by`` (effects, j), (rows, j)."""
        out = np.zeros((rows.stop - rows.start, by.shape[1]))
        used = by.any(1)
        for h, inside in self._groups(rows):
            for cells, influence in (
                (np.flatnonzero(used & (self.pairs.own == h)), self._of_treated),
                (np.flatnonzero(used & self.pairs.controls[:, h]), self._of_controls),
            ):
                if not len(cells):
                    continue
                weights = by[cells]
                fits, of = self._fits(cells)
                for at in _blocks(inside, len(cells)):
                    here = slice(at.start - rows.start, at.stop - rows.start)
                    out[here] += influence(cells, fits, of, at).T @ weights
        return out

    def _groups(self, rows: slice) -> Iterator[tuple[int, slice]]:
        """Ranks of the groups that lie in these rows, each with the part of the rows that is theirs."""
        for h in range(len(self.people.edges) - 1):
            group = self._group(h)
            inside = slice(max(rows.start, group.start), min(rows.stop, group.stop))
            if inside.start < inside.stop:
                yield h, inside

    def _fits(self, cells: Index) -> tuple[Index, Index | slice]:
        """Fits behind these comparisons, and which of them each comparison has."""
        fits, of = np.unique(self.of[cells], return_inverse=True)
        return fits, slice(None) if np.array_equal(fits, self.of[cells]) else of

    def _group(self, h: int) -> slice:
        return slice(int(self.people.edges[h]), int(self.people.edges[h + 1]))

    def _weigh(self, fits: Index, at: slice) -> Array:
        """Weights of the people in these fits: (fits, people), or (1, people) where all are the same."""
        weight, seen = self.people.weight, self.people.seen
        w = weight[:, at] if len(weight) == 1 else weight[self.weight[fits], at]
        return w if seen is None else w * seen[self.seen[fits], at]

    def _products(self, at: slice) -> Array:
        """Products of every two covariates, (pairs, people); the first k are the covariates themselves."""
        x = self.people.x[:, at]
        return x[self.left] * x[self.right]

    def _change(self, cells: Index, at: slice) -> Array:
        return self.people.rate[self.pairs.t[cells], at] - self.people.rate[self.pairs.base[cells], at]

    def _propensity(self, coef: Array, fits: Index, at: slice) -> Array:
        p = -coef @ self.people.x[:, at]
        with np.errstate(over="ignore"):
            np.exp(p, out=p)
        p += 1
        np.reciprocal(p, out=p)
        for f in self.unlike.keys() & set(fits.tolist()):
            for j, value in self.unlike[f]:
                p[fits == f] *= self.people.x[j, at] == value
        return p

    def _grams(self) -> tuple[Array, Array]:
        """Gram matrices of the controls' and of the treated's covariates in each fit, (fits, k, k)."""
        controls, treated = np.zeros((2, len(self.own), len(self.left)))
        for h, group in self._groups(self.everyone):
            sides = [
                (np.flatnonzero(self.controls[:, h]), controls),
                (np.flatnonzero(self.own == h), treated),
            ]
            for at in _blocks(group, max(len(self.left), *(len(fits) for fits, _ in sides))):
                z = self._products(at).T
                for fits, total in sides:
                    if len(fits):
                        total[fits] += self._weigh(fits, at) @ z
        return controls[:, self.square], treated[:, self.square]

    def _logits(self, controls: Array, treated: Array) -> Array:
        """Coefficients of the logits of belonging to the group, by Newton's method, all together."""
        total = controls + treated
        for f in _nearly_constant(treated):
            total[f] = treated[f] + self._set_apart(f)
        rank = pseudo_inverses(total)[1]
        coef = _discriminant(total, treated)
        widest, longest = np.abs(self.people.x).max(1), np.sqrt((self.people.x**2).sum(0).max())
        active = np.arange(len(coef))
        for _ in range(_STEPS):
            score, information = self._curvature(coef, active)
            bread, _ = pseudo_inverses(information)
            step = np.einsum("fij,fj->fi", bread, treated[active, 0] - score)
            size = np.minimum(np.abs(step) @ widest, np.sqrt((step**2).sum(1)) * longest)
            # A step that moves no linear predictor by more than 1.79 cannot overshoot, and a longer one
            # cannot when shortened so (the logit's third derivative is at most its second: Bach 2010).
            step *= np.where(size > 1.79, np.log1p(size) / np.maximum(size, 1.0), 1.0)[:, None]
            coef[active] += step
            active = active[size > _SMALL]
            if not len(active):
                break
        _, information = self._curvature(coef, np.arange(len(coef)))
        self.bread, found = pseudo_inverses(information)
        # Where everyone's propensity is rounded to 0 or 1, the steps end though nothing was found.
        foretold = information[:, 0, 0] < 1e-9 * treated[:, 0, 0]
        lost = [*active.tolist(), *np.flatnonzero((found < rank) | foretold).tolist()]
        if lost:
            raise self._error(
                lost[0],
                "the regression has no finite solution: a covariate (or a level of one) foretells it "
                "perfectly; use fewer covariates or coarser levels.",
            )
        return coef

    def _curvature(self, coef: Array, active: Index) -> tuple[Array, Array]:
        """Sums of weighted propensities times covariates, and the information, of the fits in ``active``."""
        k = len(self.people.x)
        score, information = np.zeros((len(coef), k)), np.zeros((len(coef), len(self.left)))
        for h, group in self._groups(self.everyone):
            fits = active[self.controls[active, h] | (self.own[active] == h)]
            if not len(fits):
                continue
            for at in _blocks(group, max(len(fits), len(self.left))):
                z = self._products(at).T
                p = self._propensity(coef[fits], fits, at)
                wp = self._weigh(fits, at) * p
                score[fits] += wp @ z[:, :k]
                np.subtract(1, p, out=p)
                wp *= p
                information[fits] += wp @ z
        return score[active], information[active][:, self.square]

    def _set_apart(self, f: int) -> Array:
        """Find covariates in which the treated of a fit are all alike, and controls on one side of them.

        Controls unlike every treated person (in a category none of the treated is in) have probability 0 in
        the limit of the likelihood: they are given it, and leave the fit.
        """
        x = self.people.x
        near = [self._group(int(h)) for h in np.flatnonzero(self.controls[f])]
        treated = self._group(int(self.own[f]))
        one = np.array([f])
        risk = {at.start: self._weigh(one, at)[0] for at in (treated, *near)}
        inside = x[:, treated][:, risk[treated.start] > 0]
        beside = np.concatenate([x[:, at][:, risk[at.start] > 0] for at in near], axis=1)
        w = np.concatenate([risk[at.start][risk[at.start] > 0] for at in near])
        alike = np.ones(beside.shape[1], bool)
        for j in range(1, len(x)):
            value = inside[j, 0]
            # With controls on both sides of the value a finite fit exists and is left to the logit.
            if (inside[j] == value).all() and value in (beside[j].min(), beside[j].max()):
                self.unlike.setdefault(f, []).append((j, float(value)))
                alike &= beside[j] == value
        return np.asarray((beside[:, alike] * w[alike]) @ beside[:, alike].T)

    def _solve(self, controls: Array, treated: Array) -> None:
        """Solve for effects and for the coefficients from which influences are made."""
        of, k = self.of, len(self.people.x)
        self.s1 = treated[:, 0, 0]
        x1 = treated[:, 0] / self.s1[:, None]
        after, level, tilted, gram = self._moments()
        self.beta, lever = np.zeros((len(of), k)), np.zeros((len(self.own), k))
        if self.method != "ipw":
            inverse, rank = pseudo_inverses(controls)
            self._check_span(controls, inverse, treated, rank)
            self.beta = np.einsum("cij,cj->ci", inverse[of], level)
            lever = -x1
        self.after = after / self.s1[of] - np.einsum("ci,ci->c", self.beta, x1[of])
        self.estimate = self.after
        if self.method != "reg":
            self.s0 = gram[:, 0, 0]
            tilted = (tilted - np.einsum("cij,cj->ci", gram[of], self.beta)) / self.s0[of, None]
            self.without = tilted[:, 0].copy()
            x0 = gram[:, 0] / self.s0[:, None]
            pull = tilted - self.without[:, None] * x0[of]
            self.back = np.einsum("cij,cj->ci", self.bread[of], pull)
            self.estimate = self.after - self.without
            if self.method == "dr":
                lever = lever + x0
        if self.method != "ipw":
            lever = np.einsum("fij,fj->fi", inverse, lever)
        self.lever = lever

    def _moments(self) -> tuple[Array, Array, Array, Array]:
        """Sums over people of their changes.

        Of the treated's, (cells,); of the controls' times covariates, with the weights and with those of the
        propensities, (cells, k) each; and the Gram matrix of the controls with the latter.
        """
        cells, k = len(self.of), len(self.people.x)
        after, level, tilted = np.zeros(cells), np.zeros((cells, k)), np.zeros((cells, k))
        gram = np.zeros((len(self.own), len(self.left)))
        for h, group in self._groups(self.everyone):
            own, near = np.flatnonzero(self.pairs.own == h), np.flatnonzero(self.pairs.controls[:, h])
            for at in _blocks(group, len(own)):
                if len(own):
                    change = self._change(own, at)
                    change *= self._weigh(self.of[own], at)
                    after[own] += change.sum(1)
            if not len(near):
                continue
            fits, of = self._fits(near)
            for at in _blocks(group, len(near)):
                change, x = self._change(near, at), self.people.x[:, at].T
                change *= self._weigh(self.of[near], at)
                level[near] += change @ x
                if self.method != "reg":
                    odds = _odds(self._propensity(self.coef[fits], fits, at))
                    change *= odds[of]
                    tilted[near] += change @ x
                    odds *= self._weigh(fits, at)
                    gram[fits] += odds @ self._products(at).T
        return after, level, tilted, gram[:, self.square]

    def _of_treated(self, cells: Index, fits: Index, of: Index | slice, at: slice) -> Array:
        """Influence of people on the effects on their own group, (cells, people)."""
        x = self.people.x[:, at]
        out = self._residual(cells, x, at)
        out -= self.after[cells, None]
        out /= self.s1[self.of[cells], None]
        if self.method != "reg":
            stay = self._propensity(self.coef[fits], fits, at)
            np.subtract(1, stay, out=stay)
            back = self.back[cells] @ x
            back *= stay[of]
            out -= back
        out *= self._weigh(self.of[cells], at)
        return out

    def _of_controls(self, cells: Index, fits: Index, of: Index | slice, at: slice) -> Array:
        """Influence of people on the effects that they are controls for, (cells, people)."""
        x = self.people.x[:, at]
        out = self._residual(cells, x, at)
        lever = self.lever[fits] @ x
        if self.method == "reg":
            out *= lever[of]
        else:
            p = self._propensity(self.coef[fits], fits, at)
            odds = _odds(p) / self.s0[fits, None]
            lever -= odds
            out *= lever[of]
            back = self.back[cells] @ x
            back *= p[of]
            out += back
            np.multiply(odds[of], self.without[cells, None], out=back)
            out += back
        out *= self._weigh(self.of[cells], at)
        return out

    def _residual(self, cells: Index, x: Array, at: slice) -> Array:
        out = self._change(cells, at)
        if self.method != "ipw":
            out -= self.beta[cells] @ x
        return out

    def _check_span(self, controls: Array, inverse: Array, treated: Array, rank: Index) -> None:
        """Refuse treated people with a covariate's level that no control has."""
        for f in np.flatnonzero(rank < len(self.people.x)):
            off = np.eye(len(self.people.x)) - controls[f] @ inverse[f]
            if np.einsum("ij,jk,ik->i", off, treated[f], off).max() > 1e-10 * self.s1[f]:
                raise self._error(
                    int(f),
                    "some treated people have a level of a covariate that no control has; "
                    "use fewer covariates or coarser levels.",
                )

    def _error(self, f: int, what: str) -> DesignError:
        return DesignError(f"covariates, {which_start(self.own[f], self.own.max() + 1)}: {what}")


def which_start(rank: int, of: int) -> str:
    """Name a group by its place among the starts; the month may be that of one person or site."""
    return f"among those of start {rank + 1} of {of} in order of time"


def _discriminant(total: Array, treated: Array) -> Array:
    """Coefficients by linear discriminant analysis: the logit's own where covariates are normal.

    They follow from least squares; means further apart than three deviations are not believed, as the logit
    would begin where nothing moves it.
    """
    s, s1, x1 = total[:, 0, 0], treated[:, 0, 0], treated[:, 0]
    coef = np.einsum("fij,fj->fi", pseudo_inverses(total)[0], x1)
    left = s1 - np.einsum("fi,fi->f", coef, x1)
    coef *= (s / np.maximum(left, 1e-6 * s1))[:, None]
    coef[:, 0] = 0.0
    m0, m1 = (total[:, 0] - x1) / (s - s1)[:, None], x1 / s1[:, None]
    apart = np.einsum("fi,fi->f", coef, m1 - m0)
    coef *= (3 / np.sqrt(np.maximum(apart, 9)))[:, None]
    coef[:, 0] = np.log(s1 / (s - s1)) - np.einsum("fi,fi->f", coef, m0 + m1) / 2
    return np.asarray(coef)


def _nearly_constant(treated: Array) -> list[int]:
    """Fits in which some covariate may be the same for all the treated; to be looked at person by person."""
    mean = treated[:, 0] / treated[:, :1, 0]
    square = np.diagonal(treated, axis1=1, axis2=2) / treated[:, :1, 0]
    flat = square - mean**2 <= 1e-9 * square
    return np.flatnonzero(flat[:, 1:].any(1)).tolist()


def _odds(p: Array) -> Array:
    """Weights that make controls like the treated."""
    odds = np.subtract(1, p)
    np.maximum(odds, 1 - _TRIM, out=odds)
    np.divide(p, odds, out=odds)
    if p.max(initial=0.0) >= _TRIM:
        odds[p >= _TRIM] = 0.0
    return odds


def _blocks(inside: slice, rows: int) -> Iterator[slice]:
    size = min(max(_CACHED // max(rows, 1), 128), 8192)
    for at in range(inside.start, inside.stop, size):
        yield slice(at, min(at + size, inside.stop))
