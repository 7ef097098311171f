"""Table 1 before and after matching, ready to be released."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.errors import DataError, ParameterError, nearest, together
from impact.match.balance import PRIOR, Denominator, Samples, denominator_of, stated
from impact.match.propensity import MAX_LEVELS, Array
from impact.results import Matched, Summary

ARMS = ("supported", "control")
# A number of no more different values than this is described by the share of each.
_CATEGORIES = 5
_MEAN = "mean (SD)"
# What of the method says that both arms are as many, and at which levels.
_HOW = ("exact", "ratio", "max_ratio", "replace")


def table_one(
    matched: Matched,
    *,
    covariates: Sequence[str] | None = None,
    denominator: Denominator | None = None,
    limit: float = 0.1,
) -> Summary:
    """Describe both arms before and after matching, with differences and whether each is small enough.

    Parameters
    ----------
    matched : Matched
    covariates : sequence of str, optional
        Columns of the cohort's table; without it, what was matched on. Numbers with more than five different
        values are described by mean and standard deviation, everything else by the number and percentage in
        each category; people without a value are a category, and never left out in silence.
    denominator : 'treated', 'control' or 'pooled', optional
        Of the standardised differences, as of ``balance``.
    limit : float
        Largest standardised difference, either way, that counts as balanced.

    Returns
    -------
    Summary
        One row a covariate, level and sample ('before', 'after', 'left out'); for each arm ``persons, all,
        percent, mean, sd``. Persons and percentages are of people who are used, each counted once; where
        people weigh differently ``<arm>_weighted_percent`` has the share by weight, in whole per cents. Means
        and standard deviations are by weight. ``smd`` is the standardised difference and ``balanced`` whether
        it is within the limit ('yes', 'no').

    Raises
    ------
    ParameterError
        For a limit that is not above 0, and a denominator that is not known.
    DataError
        For columns that are not there or have too many categories.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data import Cohort
    >>> from impact.match import nearest
    >>> frame = pd.DataFrame({"helped": [1, 1, 0, 0, 0], "alone": [1, 0, 0, 1, 0], "age": [7, 6, 6, 7, 5]})
    >>> matched = nearest(Cohort.from_frame(frame, treated="helped"), on=["alone", "age"],
    ...                   distance="mahalanobis")
    >>> rows = table_one(matched, covariates=["alone"]).table.query("level == '1'")
    >>> rows[["sample", "supported_persons", "control_persons", "balanced"]].values.tolist()
    [['before', 1, 1, 'no'], ['after', 1, 1, 'yes'], ['left out', 0, 0, '']]
    """
    if not limit > 0:
        raise ParameterError(f"limit={limit!r}: give a standardised difference above 0, such as 0.1.")
    over = denominator_of(matched, denominator)
    frame = matched.cohort.table
    asked = [*matched.method["covariates"], *matched.method["exact"]] if covariates is None else covariates
    samples, _ = Samples.of(matched)
    rows = _rows("people", "all", np.ones(len(frame), bool), samples)
    for name, column in _columns(frame, asked, spare=covariates is None):
        for level, member, x in _levels(column):
            described = _rows(name, level, member, samples)
            among = samples if x is None or member.all() else samples.among(member)
            found = among.compare(member.astype(float) if x is None else x[member], over)
            for row, figures in zip(described, found, strict=False):
                row |= {"smd": figures.smd, "balanced": "yes" if abs(figures.smd) <= limit else "no"}
            for row, weight in zip(described, (np.ones(len(frame)), samples.weight), strict=False):
                row |= {} if x is None else _means(x, weight * member, samples.control)
            rows += described
    table = pd.DataFrame(rows)
    after = samples.weight > 0
    unequal = any(
        np.ptp(samples.weight[after & arm]) > 1e-9
        for arm in (samples.control, ~samples.control)
        if (after & arm).any()
    )
    if not unequal:
        table = table.drop(columns=[f"{arm}_weighted_percent" for arm in ARMS])
    weighted = ("weighted_percent",) if unequal else ()
    persons = [f"{arm}_persons" for arm in ARMS]
    return Summary(
        table,
        {
            "shows": "people before and after matching",
            "estimator": matched.method.get("estimator"),
            "estimand": matched.method.get("estimand"),
            **{name: matched.method[name] for name in _HOW if name in matched.method},
            "smd": stated(over),
            "limit": limit,
        },
        people=persons,
        derived={f"{arm}_{what}": [f"{arm}_persons"] for arm in ARMS for what in ("mean", "sd", *weighted)}
        | {"smd": persons, "balanced": persons},
        percent={f"{arm}_percent": (f"{arm}_persons", f"{arm}_all") for arm in ARMS},
        adds_up=["covariate", "sample"],
    )


def _columns(frame: pd.DataFrame, names: Sequence[str], *, spare: bool) -> Iterator[tuple[str, pd.Series]]:
    """Return the columns to describe; exact ones of many kinds are passed over unless they were asked for."""
    asked = [names] if isinstance(names, str) else list(dict.fromkeys(names))
    problems = [
        f"covariates: the cohort has no column {name!r}.{nearest(name, frame.columns)}"
        for name in asked
        if name not in frame.columns
    ]
    many = {
        name: kinds
        for name in asked
        if name in frame.columns
        and not pd.api.types.is_numeric_dtype(frame[name])
        and (kinds := frame[name].nunique()) > MAX_LEVELS
    }
    if not spare:
        problems += [
            f"covariates: column {name!r} has {kinds} categories, more than {MAX_LEVELS}; group them."
            for name, kinds in many.items()
        ]
    if problems or not asked:
        raise DataError(together(problems or ["covariates=[]: name at least one covariate."]))
    yield from ((name, frame[name]) for name in asked if name not in many)


def _levels(column: pd.Series) -> Iterator[tuple[str, NDArray[np.bool_], Array | None]]:
    """Levels of a column, who is in each and, where it is a mean, the numbers."""
    gaps = column.isna().to_numpy()
    many = column.nunique() > _CATEGORIES or PRIOR.fullmatch(str(column.name))
    if pd.api.types.is_numeric_dtype(column) and many:
        yield _MEAN, ~gaps, column.to_numpy(float, na_value=np.nan)
    else:
        if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all():
            column = column.astype("Int64")
        codes, kinds = pd.factorize(column.astype("string"), sort=True)
        yield from ((str(kind), codes == j, None) for j, kind in enumerate(kinds) if kind != "missing")
        gaps = gaps | (codes == (list(kinds).index("missing") if "missing" in kinds else len(kinds)))
    if gaps.any():
        yield "missing", gaps, None


def _rows(name: str, level: str, member: NDArray[np.bool_], samples: Samples) -> list[dict[str, Any]]:
    """Persons of each arm before, after and left out."""
    used, everyone = samples.weight > 0, np.ones(len(samples.weight), bool)
    # Who takes part at some date is not left out for another.
    whose = 2 * samples.person + samples.control
    left = ~used if samples.once else np.isin(whose, whose[used], invert=True)
    out: list[dict[str, Any]] = []
    for sample, inside in (("before", everyone), ("after", used), ("left out", left)):
        row: dict[str, Any] = {"covariate": name, "level": level, "sample": sample}
        for arm, mine in zip(ARMS, (~samples.control, samples.control), strict=True):
            here, there = (samples.persons(mine & inside & who) for who in (member, everyone))
            share = 100 * here / there if there else np.nan
            weight = samples.weight * mine
            by_weight = 100 * weight[member].sum() / weight.sum() if sample == "after" and there else np.nan
            row |= {f"{arm}_persons": here, f"{arm}_all": there}
            row |= {f"{arm}_percent": np.nan if level == _MEAN else share}
            row |= {f"{arm}_weighted_percent": np.nan if level == _MEAN else np.rint(by_weight)}
            row |= {f"{arm}_mean": np.nan, f"{arm}_sd": np.nan}
        out.append(row | {"smd": np.nan, "balanced": ""})
    return out


def _means(x: Array, weight: Array, control: NDArray[np.bool_]) -> dict[str, float]:
    """Mean and standard deviation of each arm by weight."""
    out: dict[str, float] = {}
    for arm, mine in zip(ARMS, (~control, control), strict=True):
        here = mine & (weight > 0)
        w, values = weight[here] / max(weight[here].sum(), 1e-300), x[here]
        mean = float(w @ values) if len(values) else np.nan
        kept = 1 - w @ w
        variance = float(w @ (values - mean) ** 2 / kept) if kept > 1e-12 and len(values) else np.nan
        out |= {f"{arm}_mean": mean, f"{arm}_sd": float(np.sqrt(variance))}
    return out
