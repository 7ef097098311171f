"""The propensity score: how likely each person was to be supported, given what was known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.errors import DataError, DesignError, ParameterError, nearest, together
from impact.numbers.regress import glm
from impact.results import Summary

if TYPE_CHECKING:
    from impact.data import Cohort

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

# A covariate of more kinds than this (an identifier, a postcode) describes single people, not groups.
MAX_LEVELS = 50


@dataclass(frozen=True, eq=False)
class Design:
    """Covariates as numbers: numeric columns as they are, every level of a categorical one as a 0/1 column.

    ``values`` is (k, n), one covariate a row; ``names`` has k rows, ``covariate`` and ``level`` (none for a
    number); ``first`` marks the first level of each categorical covariate, which regressions leave out.
    """

    values: Array
    names: pd.DataFrame
    first: NDArray[np.bool_]


def propensity(cohort: Cohort, *, on: Sequence[str]) -> pd.Series:
    """Probability of having been supported given covariates, from a logistic regression.

    Parameters
    ----------
    cohort : Cohort
    on : sequence of str
        Covariates, columns of ``cohort.table``. Numbers enter as they are, text and categories as one
        indicator a level. Nobody is left out for a missing value: it is an error.

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
    studies for causal effects. Biometrika 70, 41-55.

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
    score[rows] = fitted(design(cohort.table.iloc[rows], on), treated)
    return pd.Series(score, index=cohort.table.index, name="propensity")


def overlap(cohort: Cohort, *, on: Sequence[str]) -> Summary:
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
    score = propensity(cohort, on=on).to_numpy()
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


def columns(frame: pd.DataFrame, names: Sequence[str], argument: str) -> list[str]:
    """Return the named columns once each, or say which are absent or have missing values."""
    asked = [names] if isinstance(names, str) else list(dict.fromkeys(names))
    problems = []
    for name in asked:
        if name not in frame.columns:
            problems.append(f"{argument}: the cohort has no column {name!r}.{nearest(name, frame.columns)}")
        elif missing := int(frame[name].isna().sum()):
            prior = str(name).startswith("prior_")
            hint = " Fill them, give them a category of their own, or leave the covariate out."
            if (prior or name == "age") and ("index_date" not in frame or frame["index_date"].isna().any()):
                hint = " It is counted before the index date: give everyone one with cohort.with_index_dates."
            elif prior:
                hint = " Not all of the year before their index date was observed: leave the covariate out."
            problems.append(f"{argument}: column {name!r} is missing for {missing} people.{hint}")
    if problems:
        raise DataError(together(problems))
    return asked


def design(frame: pd.DataFrame, on: Sequence[str], *, argument: str = "on") -> Design:
    """Turn the columns ``on`` of a frame into numbers; ``argument`` is what messages call them."""
    if not len(on):
        raise ParameterError(f"{argument}=[]: name at least one covariate.")
    values: list[Array] = []
    names: list[tuple[str, str | None]] = []
    first: list[bool] = []
    problems: list[str] = []
    for name in columns(frame, on, argument):
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column):
            values.append(column.to_numpy(dtype=float))
            names.append((name, None))
            first.append(False)
            if not np.isfinite(values[-1]).all():
                problems.append(f"{argument}: column {name!r} has infinite values.")
            continue
        codes, levels = pd.factorize(column, sort=True)
        if pd.api.types.is_datetime64_any_dtype(column):
            problems.append(f"{argument}: column {name!r} holds dates; make numbers of them, such as an age.")
        elif len(levels) > MAX_LEVELS:
            problems.append(
                f"{argument}: column {name!r} has {len(levels)} levels, more than {MAX_LEVELS}; group them."
            )
        else:
            values.extend((codes == j).astype(float) for j in range(len(levels)))
            names.extend((name, str(level)) for level in levels)
            first.extend(j == 0 for j in range(len(levels)))
    if problems:
        raise DataError(together(problems))
    return Design(np.array(values), pd.DataFrame(names, columns=["covariate", "level"]), np.array(first))


def fitted(covariates: Design, treated: NDArray[np.bool_]) -> Array:
    """Fit the logistic regression and return the score, (n,); equal people get bit-equal scores."""
    x = covariates.values
    inside = _comparable(covariates, treated)
    kept = x if inside.all() else x[:, inside]
    centre, spread = kept.mean(axis=1), kept.std(axis=1)
    use = np.flatnonzero(~covariates.first & (spread > 1e-12 * np.abs(centre)))
    z = np.ones((len(use) + 1, kept.shape[1]))
    for row, j in enumerate(use, 1):
        z[row] = (kept[j] - centre[j]) / spread[j]
    try:
        fit = glm(z, treated[inside].astype(float), family="logit", weights=np.ones(z.shape[1]))
    except DesignError as problem:
        named = ", ".join(dict.fromkeys(covariates.names["covariate"]))
        raise DesignError(f"on: the propensity score cannot be fitted on {named}: {problem}") from None
    # Covariate by covariate and not as one matrix product, whose rounding may depend on where a person
    # stands: equal people must have equal scores, or ties would be broken by noise.
    index = np.full(x.shape[1], fit.coef[0])
    for b, j in zip(fit.coef[1:], use, strict=True):
        index += b * ((x[j] - centre[j]) / spread[j])
    return np.where(inside, 1 / (1 + np.exp(-index)), 0.0)


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
                "there is 1 and nobody is comparable. Merge that category with another, or leave it out."
            )
        drop = (x[two[(t1 == 0) & (c1 > 0)]] == 1).any(axis=0)
        drop |= (x[two[(t1 == n1) & (c1 < n0)]] == 0).any(axis=0)
        if not (drop & inside).any():
            break
        inside &= ~drop
    return inside
