"""Coarsened exact matching: people are compared who agree in every covariate once numbers are cut in bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.errors import DataError, DesignError, ParameterError
from impact.errors import nearest as nearest_name
from impact.match.estimands import check_estimand
from impact.match.propensity import Array, Missing, Rows, both_arms, columns
from impact.match.strata import stratum_weights
from impact.results import Matched

if TYPE_CHECKING:
    from impact.data import Cohort

_HAS = ("ATT", "ATC", "ATE")
# Keys of strata are whole numbers below this, with room to spare in 64 bits.
_ROOM = 2**62


def coarsened_exact(
    cohort: Cohort,
    *,
    on: Sequence[str],
    estimand: Literal["ATT", "ATC", "ATE"] = "ATT",
    exact: Sequence[str] = (),
    cuts: Mapping[str, int | Sequence[float]] | None = None,
    missing: Missing = "error",
) -> Matched:
    """Match everyone who is alike: in the same bin of each number, the same kind of everything else.

    A stratum with people of one arm only is left out, so the effect is that on the people who are matched,
    and the counts say how many are not.

    Parameters
    ----------
    cohort : Cohort
    on : sequence of str
        Columns of ``cohort.table``. Numbers are cut in bins; text and categories are taken as they are. It
        may be empty where ``exact`` is given.
    estimand : 'ATT', 'ATC' or 'ATE'
        The effect on the supported, the controls, or everyone among those matched.
    exact : sequence of str
        Columns whose values must agree, numbers too.
    cuts : mapping, optional
        For a column of numbers, how many bins of equal width, or the points at which to cut; a number on a
        point belongs to the bin above. Without it, as many as Sturges' rule asks for: 1 + log2(people),
        rounded up, of equal width from the least to the largest.
    missing : 'error', 'indicator' or 'category'
        Whether a missing value is an error or, with the other two, a bin of its own.

    Returns
    -------
    Matched
        ``subclass`` numbers the strata. Weights as in MatchIt: for 'ATT' the supported have 1 and a control
        the ratio of supported to controls in the stratum, scaled to 1 on average over the controls matched;
        'ATC' is the other way round; with 'ATE' both arms are spread as all those matched, each scaled to 1
        on average. ``method["strata"]`` says how many strata were used, ``method["bins"]`` how many bins each
        number has.

    Raises
    ------
    ParameterError, DataError, DesignError
        For cuts that make no sense, a column that is absent, incomplete or infinite, an empty arm, an
        estimand it lacks, and where no stratum has both arms.

    Notes
    -----
    Where one or two people stand for a large part of the other arm, their own luck is not seen in later
    errors. In 400 draws of 100 supported people, half of them in a stratum with a single control, intervals
    of 95% held the truth in 68%; with two controls there in 80%, with three in 89%; where each of three
    single controls stood for a tenth, in 95%. The effective sample size that ``balance`` counts shows it: 4
    of 101 controls in the first of these. Wider bins mend it.

    References
    ----------
    Iacus, S. M., King, G. and Porro, G. (2012). Causal inference without balance checking: coarsened exact
    matching. Political Analysis 20, 1-24. Sturges, H. A. (1926). The choice of a class interval. Journal of
    the American Statistical Association 21, 65-66.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data import Cohort
    >>> frame = pd.DataFrame({"helped": [1, 1, 1, 0, 0, 0], "age": [70, 61, 30, 62, 69, 55]})
    >>> cohort = Cohort.from_frame(frame, treated="helped")
    >>> coarsened_exact(cohort, on=["age"], cuts={"age": [40, 60, 65]}).table["weight"].tolist()
    [1.0, 1.0, 0.0, 1.0, 1.0, 0.0]
    """
    check_estimand(estimand, "coarsened_exact", _HAS, "inverse_probability")
    treated, frame = both_arms(cohort), cohort.table
    exact = columns(frame, exact, "exact", missing=missing) if len(exact) else []
    coarse = columns(frame, on, "on", missing=missing) if len(on) else []
    if not exact and not coarse:
        raise ParameterError("on=[]: name at least one covariate, here or in exact.")
    coarse = [name for name in coarse if name not in exact]
    points = _checked(frame, coarse, cuts or {})
    alike = _Key(len(frame))
    for name in exact:
        alike.split(*_kinds(frame[name]))
    # Who finds nobody alike in the exact columns is left out by that rule, whatever the bins are.
    alone = np.zeros(len(frame), bool)
    for arm in (treated, ~treated) if exact else ():
        alone[arm] = np.isin(alike.value[arm], alike.value[~arm], invert=True)
    numbers = [name for name in coarse if pd.api.types.is_numeric_dtype(frame[name])]
    for name in coarse:
        alike.split(*(_bins(frame[name], points.get(name)) if name in numbers else _kinds(frame[name])))
    stratum = _shared(alike.value, treated)
    return Matched(
        pd.DataFrame(
            {
                "person_id": np.asarray(cohort.person_id),
                "weight": stratum_weights(stratum, treated, estimand),
                "subclass": pd.arrays.IntegerArray(stratum, stratum == 0),
                "distance": np.nan,
            }
        ),
        cohort,
        {
            "estimator": "coarsened_exact",
            "estimand": estimand,
            "covariates": coarse,
            "exact": exact,
            "missing": missing,
            "filled": {name: n for name in coarse + exact if (n := int(frame[name].isna().sum()))},
            "distance": None,
            "replace": False,
            "clusters": "person",
            "strata": int(stratum.max()),
            "bins": {name: _pieces(len(frame), points.get(name)) for name in numbers},
        },
        _counts(stratum, treated, alone),
    )


def _shared(key: NDArray[np.int64], treated: NDArray[np.bool_]) -> Rows:
    """Number the strata that have people of both arms from 1, in the order of their keys; 0 is none."""
    aim = np.unique(key[treated])
    place = pd.Index(aim).get_indexer(pd.Index(key))
    both = np.bincount(place[~treated & (place >= 0)], minlength=len(aim)) > 0
    if not both.any():
        raise DesignError(
            "coarsened_exact: no stratum has both supported people and controls; use fewer covariates, or "
            "fewer and wider bins (cuts)."
        )
    # The last entry serves people who are in no stratum of the supported, whose place is -1.
    return np.append(np.where(both, np.cumsum(both), 0), 0)[place]


def _counts(stratum: Rows, treated: NDArray[np.bool_], alone: NDArray[np.bool_]) -> pd.DataFrame:
    rows = []
    for name, arm, others in (("treated", treated, "no control"), ("control", ~treated, "nobody supported")):
        rows += [
            (name, "matched", arm & (stratum > 0)),
            (name, f"{others} with the same exact values", arm & alone),
            (name, f"{others} in the same bins", arm & ~alone & (stratum == 0)),
        ]
    return pd.DataFrame(
        [(name, rule, int(who.sum())) for name, rule, who in rows], columns=["arm", "rule", "persons"]
    )


class _Key:
    """One whole number for each person, equal where people are alike in all columns so far."""

    def __init__(self, n: int) -> None:
        self.value, self.size = np.zeros(n, np.int64), 1

    def split(self, codes: Rows, kinds: int) -> None:
        """Tell people apart by one more column, of so many kinds."""
        if self.size * kinds > _ROOM:
            # Sorted, so that numbers do not depend on the order of rows.
            self.value, found = pd.factorize(self.value, sort=True)
            self.size = len(found)
        self.value = self.value * kinds + codes
        self.size *= kinds


def _kinds(column: pd.Series) -> tuple[Rows, int]:
    """Number the values of a column; missing comes last."""
    codes, kinds = pd.factorize(column, sort=True)
    return np.where(codes < 0, len(kinds), codes), len(kinds) + 1


def _bins(column: pd.Series, cut: int | Array | None) -> tuple[Rows, int]:
    """Number the bins of a column of numbers; missing comes last."""
    x = column.to_numpy(dtype=float, na_value=np.nan)
    gaps, bins = np.isnan(x), _pieces(len(x), cut)
    if isinstance(cut, np.ndarray):
        codes = np.searchsorted(cut, x, side="right")
    else:
        low, high = np.nanmin(x), np.nanmax(x)
        # In this order whole numbers meet whole cutting points without rounding.
        place = (x - low) * bins / (high - low if high > low else 1.0)
        codes = np.minimum(np.where(gaps, 0, place).astype(np.int64), bins - 1)
    return np.where(gaps, bins, codes), bins + 1


def _pieces(people: int, cut: int | Array | None) -> int:
    """How many bins a number has."""
    if cut is None:
        return int(np.ceil(np.log2(people) + 1))
    return cut if isinstance(cut, int) else len(cut) + 1


def _checked(frame: pd.DataFrame, on: Sequence[str], cuts: Mapping[str, Any]) -> dict[str, int | Array]:
    """Refuse cuts of what is no number, and of what is not cut."""
    numbers = [name for name in on if pd.api.types.is_numeric_dtype(frame[name])]
    out: dict[str, int | Array] = {}
    for name, cut in cuts.items():
        if name not in numbers:
            raise ParameterError(
                f"cuts: {name!r} is not a column of numbers in on; those are "
                f"{', '.join(map(repr, numbers)) or 'none'}.{nearest_name(name, numbers)}"
            )
        if isinstance(cut, int | np.integer) and not isinstance(cut, bool) and cut >= 1:
            out[name] = int(cut)
            continue
        try:
            points = np.asarray(cut, float)
        except (TypeError, ValueError):
            points = np.array(np.nan)
        if points.ndim != 1 or not points.size or not np.isfinite(points).all():
            raise ParameterError(
                f"cuts[{name!r}]={cut!r}: give a number of bins from 1, or a list of numbers to cut at."
            )
        out[name] = np.unique(points)
    for name in on:
        if pd.api.types.is_datetime64_any_dtype(frame[name]):
            raise DataError(f"on: column {name!r} holds dates; make numbers of them, or name it in exact.")
    for name in numbers:
        if np.isinf(frame[name].to_numpy(dtype=float, na_value=np.nan)).any():
            raise DataError(f"on: column {name!r} has infinite values.")
    return out
