"""The propensity score: how likely each person was to be supported, given what was known beforehand."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.errors import DataError, DesignError, ParameterError, nearest, together
from impact.match.compact import Lazy, smallest, with_constant
from impact.numbers.regress import Fit, glm
from impact.results import Summary

if TYPE_CHECKING:
    from impact.data import Cohort

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

# A covariate of more kinds than this (an identifier, a postcode) describes single people, not groups.
MAX_LEVELS = 50

Missing = Literal["error", "indicator", "category"]
Link = Literal["logit", "probit", "penalised"]
# People enough to begin a fit of very many with.
_FEW = 8192
# People whose scores are computed at once.
_PIECE = 65_536
# A chance as near to 0 as a number can tell.
_NEARLY_NONE = 2.0**-52


@dataclass(frozen=True, eq=False)
class Design:
    """Covariates as numbers: numeric columns as they are, every level of a categorical one as a 0/1 column.

    ``values`` is (k, n), one covariate a row, in few bytes: a row or a piece is read as numbers;
    ``names`` has k rows, ``covariate`` and ``level`` (none for a number); ``first`` marks the first level of
    each categorical covariate, which regressions leave out; ``filled`` says for how many people each
    covariate was missing.
    """

    values: Lazy
    names: pd.DataFrame
    first: NDArray[np.bool_]
    filled: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Score:
    """A fitted model of who was supported.

    ``probability (n,)`` and ``linear (n,)``, its linear predictor; equal people have bit-equal values. The
    model was fitted to those ``inside (n,)``; everyone else is of a category in which nobody was supported.
    ``fit`` and ``regressors (p, m)``, standardised and with the constant first, are those of the m inside.
    """

    probability: Array
    linear: Array
    inside: NDArray[np.bool_]
    fit: Fit
    regressors: Lazy


def propensity(
    cohort: Cohort, *, on: Sequence[str], link: Link = "logit", missing: Missing = "error"
) -> pd.Series:
    """Probability of having been supported given covariates, from a regression.

    Parameters
    ----------
    cohort : Cohort
    on : sequence of str
        Covariates, columns of ``cohort.table``. Numbers enter as they are, text and categories as one
        indicator a level.
    link : 'logit', 'probit' or 'penalised'
        'penalised' is the logit with a normal prior on the coefficients, of standard deviation 1 for a
        standard deviation of the covariate (Gelman and others 2008): it cannot be broken by a category in
        which all or none were supported.
    missing : 'error', 'indicator' or 'category'
        Nobody is left out for a missing value. 'indicator' gives numbers the mean of those known and adds a
        0/1 column; 'category' cuts numbers in fifths of those known, and adds 'missing'; of text and
        categories, 'missing' becomes a level with both.

    Returns
    -------
    Series (n,)
        The fitted probability, between 0 and 1, indexed like ``cohort.table``. People of a category in
        which nobody was supported get 0, the limit of the fit.

    Raises
    ------
    DataError
        For a covariate that is not there, has missing values, or is no covariate (dates, identifiers).
    DesignError
        If nobody or everybody was supported, or a covariate separates the arms.

    References
    ----------
    Rosenbaum, P. R. and Rubin, D. B. (1983). The central role of the propensity score in observational
    studies for causal effects. Biometrika 70, 41-55. Gelman, A., Jakulin, A., Pittau, M. G. and Su, Y.-S.
    (2008). A weakly informative default prior distribution for logistic and other regression models. Annals
    of Applied Statistics 2, 1360-1383.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data import Cohort
    >>> frame = pd.DataFrame({"helped": [1, 0, 0, 1, 1, 0], "lives_alone": [1, 1, 1, 0, 0, 0]})
    >>> score = propensity(Cohort.from_frame(frame, treated="helped"), on=["lives_alone"])
    >>> score.round(3).tolist()
    [0.333, 0.333, 0.333, 0.667, 0.667, 0.667]
    """
    rows = in_id_order(cohort)
    treated = both_arms(cohort)[rows]
    score = np.empty(len(rows))
    covariates = design(cohort.table.iloc[rows], on, missing=missing)
    score[rows] = fitted(covariates, treated, link=link).probability
    return pd.Series(score, index=cohort.table.index, name="propensity")


def overlap(
    cohort: Cohort, *, on: Sequence[str], link: Link = "logit", missing: Missing = "error"
) -> Summary:
    """Count the people of each arm in bins of the propensity score, for a figure that may be shown.

    Bins have the widest width out of 0.05, 0.02, 0.01 and 0.005 that gives at least eight of them, so no
    edge is a person's score.

    Returns
    -------
    Summary
        ``arm, bin_low, bin_high, persons``.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data import Cohort
    >>> frame = pd.DataFrame({"helped": [1, 0, 0, 1, 1, 0], "lives_alone": [1, 1, 1, 0, 0, 0]})
    >>> cohort = Cohort.from_frame(frame, treated="helped")
    >>> int(overlap(cohort, on=["lives_alone"]).table["persons"].sum())
    6
    """
    score = propensity(cohort, on=on, link=link, missing=missing).to_numpy()
    widths = [w for w in (0.05, 0.02, 0.01, 0.005) if np.ptp(score) / w >= 8]
    width = widths[0] if widths else 0.005
    bins = np.floor(score / width + 1e-9).astype(int)
    low, high = int(bins.min()), int(bins.max())
    tables = []
    for arm, is_arm in (("treated", cohort.treated), ("control", ~cohort.treated)):
        count = np.bincount(bins[is_arm] - low, minlength=high - low + 1)
        edge = np.arange(low, high + 1)
        tables.append(
            pd.DataFrame(
                {
                    "arm": arm,
                    "bin_low": (edge * width).round(3),
                    "bin_high": ((edge + 1) * width).round(3),
                    "persons": count,
                }
            )
        )
    return Summary(
        pd.concat(tables, ignore_index=True),
        {
            "shows": "people by arm and propensity score",
            "covariates": [on] if isinstance(on, str) else list(on),
        },
        people=("persons",),
        adds_up=("arm",),
    )


def in_id_order(cohort: Cohort) -> Rows:
    """Positions of the cohort's people by person_id, so that no result depends on the order of rows."""
    ids = pd.Index(cohort.person_id)
    return np.arange(len(ids)) if ids.is_monotonic_increasing else np.asarray(ids.argsort())


def both_arms(cohort: Cohort) -> NDArray[np.bool_]:
    """Return who was supported, or say that one of the two arms is empty."""
    treated = np.asarray(cohort.treated, bool)
    if not treated.any():
        raise DesignError("Nobody in the cohort was supported: check the treated arms and the start dates.")
    if treated.all():
        raise DesignError("Everybody in the cohort was supported, so there are no controls: check the arms.")
    return treated


def columns(
    frame: pd.DataFrame, names: Sequence[str], argument: str, *, missing: Missing = "error"
) -> list[str]:
    """Return the named columns once each, or say which are absent or have missing values."""
    check_word("missing", missing, get_args(Missing))
    asked = [names] if isinstance(names, str) else list(dict.fromkeys(names))
    problems = []
    for name in asked:
        if name not in frame.columns:
            problems.append(f"{argument}: the cohort has no column {name!r}.{nearest(name, frame.columns)}")
        elif gaps := int(frame[name].isna().sum()):
            prior = str(name).startswith("prior_")
            hint = " Fill them, choose missing='indicator' or 'category', or leave the covariate out."
            if (prior or name == "age") and "index_date" in frame and frame["index_date"].isna().any():
                hint = " It is counted before the index date: give everyone one with cohort.with_index_dates."
            elif prior and "index_date" in frame:
                hint = " Not all of the year before their index date was observed: leave the covariate out."
            if gaps == len(frame) or missing == "error":
                problems.append(f"{argument}: column {name!r} is missing for {gaps} people.{hint}")
    if problems:
        raise DataError(together(problems))
    return asked


def check_word(argument: str, value: object, known: Sequence[str]) -> None:
    """Refuse a word that is not among those an argument knows."""
    if value not in known:
        words = ", ".join(map(repr, known))
        raise ParameterError(f"{argument}={value!r}: use one of {words}.{nearest(str(value), known)}")


def design(
    frame: pd.DataFrame,
    on: Sequence[str],
    *,
    argument: str = "on",
    missing: Missing = "error",
) -> Design:
    """Turn the columns ``on`` of a frame into numbers; ``argument`` is what messages call them.

    ``missing`` is as of ``propensity``.
    """
    if not len(on):
        raise ParameterError(f"{argument}=[]: name at least one covariate.")
    values: list[NDArray[Any]] = []
    names: list[tuple[str, str | None]] = []
    first: list[bool] = []
    filled: dict[str, int] = {}
    problems: list[str] = []
    for name in columns(frame, on, argument, missing=missing):
        column = frame[name]
        number = pd.api.types.is_numeric_dtype(column)
        if not number:
            codes, kinds = pd.factorize(column, sort=True)
            levels = [str(kind) for kind in kinds]
        gaps = column.isna().to_numpy() if number else codes < 0
        if gaps.any():
            filled[name] = int(gaps.sum())
        if number:
            x = column.to_numpy(dtype=float, na_value=np.nan)
            if np.isinf(x).any():
                problems.append(f"{argument}: column {name!r} has infinite values.")
            if not (gaps.any() and missing == "category"):
                full = np.where(gaps, x[~gaps].mean(), x) if gaps.any() else x
                values += [smallest(full), *([gaps] if gaps.any() else [])]
                names += [(name, None), (name, "missing")] if gaps.any() else [(name, None)]
                first += [False] * (len(values) - len(first))
                continue
            codes, levels = _fifths(x, gaps)
        if gaps.any():
            levels += [] if "missing" in levels else ["missing"]
            codes = np.where(codes < 0, levels.index("missing"), codes)
        if pd.api.types.is_datetime64_any_dtype(column):
            problems.append(f"{argument}: column {name!r} holds dates; make numbers of them, such as an age.")
        elif len(levels) > MAX_LEVELS:
            problems.append(
                f"{argument}: column {name!r} has {len(levels)} levels, more than {MAX_LEVELS}; group them."
            )
        else:
            values += [codes == j for j in range(len(levels))]
            names += [(name, level) for level in levels]
            first += [j == 0 for j in range(len(levels))]
    if problems:
        raise DataError(together(problems))
    labels = pd.DataFrame(names, columns=["covariate", "level"])
    return Design(Lazy.of(values), labels, np.array(first), filled)


def _fifths(x: Array, gaps: NDArray[np.bool_]) -> tuple[Rows, list[str]]:
    """Cut numbers in fifths of those known, -1 for the others; equal numbers fall in the same fifth."""
    edges = np.quantile(x[~gaps], [0.2, 0.4, 0.6, 0.8])
    found, codes = np.unique(np.searchsorted(edges, x[~gaps]), return_inverse=True)
    out = np.full(len(x), -1)
    out[~gaps] = codes
    return out, [f"fifth {j + 1}" for j in found]


def fitted(covariates: Design, treated: NDArray[np.bool_], *, link: Link = "logit") -> Score:
    """Fit the propensity score; equal people get bit-equal scores.

    Where nobody of a category was supported the score is 0, the limit of the fit, and the linear predictor
    that of the least chance a number can tell from none. With ``link='penalised'`` the prior is on
    standardised indicators of all levels, so that neither units nor the order of levels matter.
    """
    check_word("link", link, get_args(Link))
    x, penalised = covariates.values, link == "penalised"
    inside = np.ones(x.shape[1], bool) if penalised else _comparable(covariates, treated)
    kept = x if inside.all() else x[:, inside]
    scaled = standardised(kept, covariates.first & (not penalised))
    family: Literal["logit", "probit"] = "probit" if link == "probit" else "logit"
    prior = np.append(0.0, np.ones(len(scaled.use))) if penalised else None
    try:
        fit = _fit(scaled.z, treated[inside].astype(float), family, prior)
    except DesignError as problem:
        named = ", ".join(dict.fromkeys(covariates.names["covariate"]))
        raise DesignError(
            f"on: the propensity score cannot be fitted on {named}: {problem} Or choose link='penalised'."
        ) from None
    linear = scaled.line(x, fit.coef)
    if link == "probit":
        from scipy.special import ndtr, ndtri

        probability, lowest = ndtr(linear), float(ndtri(_NEARLY_NONE))
    else:
        # Everyone's exponential is at most 1, so that none overflows.
        small = np.abs(linear)
        np.exp(np.negative(small, out=small), out=small)
        probability, lowest = np.where(linear > 0, 1.0, small), float(np.log(_NEARLY_NONE))
        small += 1
        probability /= small
    if not inside.all():
        linear[~inside], probability[~inside] = min(lowest, linear[inside].min()), 0.0
    return Score(probability, linear, inside, fit, scaled.z)


def _fit(z: Any, y: Array, family: Literal["logit", "probit"], prior: Array | None) -> Fit:
    """Fit the model; of very many people every so-manieth is fitted first, to begin near the solution."""
    start, every = None, z.shape[1] // _FEW
    if every > 3 and 0 < y[::every].mean() < 1:
        # Those few may be told apart where all are not: then the fit begins without them.
        with contextlib.suppress(DesignError):
            start = _fit(z[:, ::every], y[::every], family, prior).coef
    return glm(z, y, family=family, weights=np.broadcast_to(1.0, len(y)), start=start, prior=prior)


@dataclass(frozen=True, eq=False)
class Standardised:
    """Regressors ``z (p, n)``: the constant, then covariates ``use`` less their centre over their spread."""

    z: Lazy
    use: Rows
    centre: Array
    spread: Array

    def line(self, x: Lazy, coef: Array) -> Array:
        """Linear predictor of everyone in ``x (k, n)``; ``coef (p,)``, or (p, n) where people's differ.

        Covariate by covariate and not as one matrix product, whose rounding may depend on where a person
        stands: equal people must have equal scores, or ties would be broken by noise.
        """
        each = np.broadcast_to(coef.reshape(len(coef), -1), (len(coef), x.shape[1]))
        out = np.array(each[0])
        for at in range(0, len(out), _PIECE):
            here = slice(at, at + _PIECE)
            for b, j in zip(each[1:], self.use, strict=True):
                out[here] += b[here] * ((x[j, here] - self.centre[j]) / self.spread[j])
        return out


def standardised(x: Lazy, left_out: NDArray[np.bool_]) -> Standardised:
    """Standardise covariates (k, n), without those left out and those that are the same for all."""
    centre, spread = x.mean(axis=1), x.std(axis=1)
    use = np.flatnonzero(~left_out & (spread > 1e-12 * np.abs(centre)))
    return Standardised(with_constant(x, use, centre, spread), use, centre, spread)


def _comparable(covariates: Design, treated: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Who can take part in the fit.

    Where nobody of a category was supported, its coefficient runs to minus infinity and the score of its
    people to 0: leaving them out of the fit gives that limit exactly. A category in which everybody was
    supported has no such remedy, since those people have nobody like them to be compared with.
    """
    x = covariates.values
    two = np.array([j for j, row in enumerate(x) if ((row == 0) | (row == 1)).all()], int)
    inside = np.ones(x.shape[1], bool)
    while two.size:
        n1, n0 = int((inside & treated).sum()), int((inside & ~treated).sum())
        t1, c1 = x[two] @ (inside & treated), x[two] @ (inside & ~treated)
        only_treated = ((c1 == 0) & (t1 > 0)) | ((c1 == n0) & (t1 < n1))
        if only_treated.any():
            named = dict.fromkeys(covariates.names["covariate"].iloc[two[only_treated]])
            raise DesignError(
                f"on: in a category of {', '.join(map(repr, named))} everybody was supported, so the score "
                "there is 1 and nobody is comparable. Merge that category with another, leave it out, or "
                "choose link='penalised'."
            )
        drop = (np.asarray(x[two[(t1 == 0) & (c1 > 0)]]) == 1).any(axis=0)
        drop |= (np.asarray(x[two[(t1 == n1) & (c1 < n0)]]) == 0).any(axis=0)
        if not (drop & inside).any():
            break
        inside &= ~drop
    return inside
