"""Entropy balancing: the most even weights under which averages are the same in both arms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.errors import DataError, DesignError, ParameterError
from impact.match.estimands import check_estimand
from impact.match.inverse_probability import weighted_counts
from impact.match.people import People
from impact.match.propensity import Array, Design, Missing, columns
from impact.numbers.regress import pseudo_inverse
from impact.numbers.tilting import Tilt, gram, tilt
from impact.results import Matched, Weighting

if TYPE_CHECKING:
    from impact.data import Cohort

_HAS = ("ATT", "ATC", "ATE")
_POWERS = {2: "squared", 3: "cubed"}
# A target this near to the edge of what people have, in standard deviations, is at the edge.
_EDGE = 1e-9


def entropy_balance(
    cohort: Cohort,
    *,
    on: Sequence[str],
    estimand: Literal["ATT", "ATC", "ATE"] = "ATT",
    moments: int = 1,
    tolerance: float = 0.0,
    base: str | None = None,
    missing: Missing = "error",
) -> Matched:
    """Weight people so that the averages of all covariates are those of the people aimed at.

    No model of who was supported has to be right: the averages agree exactly. Among all weights that do this,
    these are the nearest to equal ones (or to ``base``), by entropy.

    Parameters
    ----------
    cohort : Cohort
    on : sequence of str
        Covariates, columns of ``cohort.table``; of categories, the share of every level.
    estimand : 'ATT', 'ATC' or 'ATE'
        'ATT' weights controls to the supported, 'ATC' the supported to the controls, 'ATE' both to everyone.
    moments : int
        1 balances averages; 2 squares of numbers too (so variances), 3 cubes as well (so skewness).
    tolerance : float
        How far averages may stay apart, in standard deviations of the people aimed at. 0 is exact; where that
        cannot be done or rests on few people, a little such as 0.05 is often enough.
    base : str, optional
        Column with weights to begin with (of a survey, or for leaving), above 0. The people aimed at count by
        it too.
    missing : 'error', 'indicator' or 'category'
        What becomes of missing covariates, as of ``propensity``.

    Returns
    -------
    Matched
        The people aimed at have weight 1 (or ``base``), and the weights of those weighted to them sum to as
        much; with 'ATE' each arm's weights sum to everyone's. People at a value that nobody aimed at has get
        0, the limit of the weights. ``weighting`` carries the weights' own error, and that of the averages
        aimed at.

    Raises
    ------
    ParameterError, DataError, DesignError
        For a number or word that makes no sense, a column that is absent or incomplete, an estimand it lacks,
        and averages that no weights can reach, with the covariate that stands in the way.

    References
    ----------
    Hainmueller, J. (2012). Entropy balancing for causal effects: a multivariate reweighting method to produce
    balanced samples in observational studies. Political Analysis 20, 25-46.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data import Cohort
    >>> frame = pd.DataFrame({"helped": [1, 1, 0, 0, 0], "age": [70, 60, 50, 60, 75]})
    >>> matched = entropy_balance(Cohort.from_frame(frame, treated="helped"), on=["age"])
    >>> weight = matched.table["weight"]
    >>> weight.round(2).tolist(), round(float(weight[2:] @ frame["age"][2:] / 2), 6)
    ([1.0, 1.0, 0.44, 0.6, 0.96], 65.0)
    """
    check_estimand(estimand, "entropy_balance", _HAS, "inverse_probability")
    if moments not in (1, 2, 3) or isinstance(moments, bool):
        raise ParameterError(f"moments={moments!r}: use 1 (averages), 2 (and squares) or 3 (and cubes).")
    if isinstance(tolerance, bool) or not 0 <= tolerance < np.inf:
        raise ParameterError(f"tolerance={tolerance!r}: give standard deviations from 0, such as 0.05.")
    people = People.of(cohort, on=on, missing=missing)
    treated, n = people.treated, len(people.treated)
    begin = np.ones(n) if base is None else _base(people, base)
    aim = {"ATT": treated, "ATC": ~treated, "ATE": np.ones(n, bool)}[estimand]
    arms = [arm for arm in (treated, ~treated) if not np.array_equal(arm, aim)]
    # Of a category one level follows from the others; within a tolerance it does not.
    left_out = people.covariates.first & (tolerance == 0)
    z, names = _aimed(people.covariates, left_out, np.where(aim, begin, 0.0), moments)
    weight, parts = np.where(aim, begin, 0.0), []
    for arm in arms:
        part = _balanced(z, names, _Arm(arm, aim, begin, float(tolerance)))
        weight[arm] = part.weight[arm]
        parts.append(part.weighting)
    weighting = parts[0]
    if len(parts) > 1:
        weighting = Weighting(
            np.hstack([part.gradient for part in parts]), np.hstack([part.influence for part in parts])
        )
    return people.matched(
        weight,
        method={
            "estimator": "entropy_balance",
            "estimand": estimand,
            "distance": None,
            "replace": False,
            "clusters": "person",
            "moments": moments,
            "tolerance": tolerance,
            "base": base,
            "largest_weight": float(weight.max()),
        },
        counts=weighted_counts(weight, treated, "at a value that nobody aimed at has"),
        weighting=weighting,
    )


class _Arm(NamedTuple):
    """Who is weighted (n,), to whom (n,), the weights to begin with (n,), and how near they must come."""

    weighted: NDArray[np.bool_]
    aim: NDArray[np.bool_]
    begin: Array
    tolerance: float


class _Part(NamedTuple):
    weight: Array
    weighting: Weighting


def _base(people: People, name: str) -> Array:
    columns(people.frame, [name], "base")
    values = pd.to_numeric(people.frame[name], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    if bad := int((~((values > 0) & np.isfinite(values))).sum()):
        raise DataError(f"base: column {name!r} is not a number above 0 for {bad} people.")
    return values


def _aimed(
    covariates: Design, left_out: NDArray[np.bool_], aimed: Array, moments: int
) -> tuple[Array, list[str]]:
    """Covariates and their powers less the averages aimed at, below a row of ones, and the names of the rows.

    The unit is the standard deviation of those aimed at or, where they are all alike, of everyone. What is
    the same for everyone is balanced as it is.
    """
    kept = np.flatnonzero(~left_out)
    n, names = len(aimed), list[str]()
    z = np.empty((1 + len(kept) * moments, n))
    z[0] = 1.0
    share = aimed / aimed.sum()
    for j in kept:
        # Of a category the level stays unsaid: it may be what one person has.
        name = str(covariates.names["covariate"].iloc[j])
        x = standard = covariates.values[j]
        two = moments == 1 or bool(((x == x.min()) | (x == x.max())).all())
        for power in range(1, 2 if two else moments + 1):
            x = x if power == 1 else standard**power
            target = x @ share
            row = np.subtract(x, target, out=z[len(names) + 1])
            spread = np.sqrt(max(row @ row / n - row.mean() ** 2, 0.0))
            if not spread > 1e-12 * abs(target):
                break
            standard = row / spread if power == 1 and not two else standard
            unit = np.sqrt((row * share) @ row)
            row /= unit if unit > 1e-9 * spread else spread
            names.append(f"{name} {_POWERS[power]}" if power > 1 else name)
    return z[: len(names) + 1], names


def _balanced(z: Array, names: list[str], who: _Arm) -> _Part:
    """Weight one arm to those aimed at; how the weights move with everyone's values comes with them."""
    inside = _within_reach(z, names, who)
    # Where few take part it pays to gather them.
    at = inside if inside.mean() < 0.5 else np.ones(len(inside), bool)
    found = tilt(
        z[1:, at] if not at.all() else z[1:], np.where(inside, who.begin, 0.0)[at], tolerance=who.tolerance
    )
    if not found.solved:
        raise DesignError(_out_of_reach(names, found, who.tolerance))
    aimed = np.where(who.aim, who.begin, 0.0)
    weight = np.zeros(len(inside))
    weight[at] = aimed.sum() * found.share
    # A covariate within the tolerance puts no condition on the weights and has no parameter.
    binds = np.append(True, (found.coef != 0) | (who.tolerance == 0))
    x = z if binds.all() else z[binds]
    # Each person's part in the conditions is x * (weight - aimed), less the tolerance where it binds.
    bread = pseudo_inverse(gram(x, weight))[0]
    influence = bread @ x
    influence *= aimed - weight
    if who.tolerance:
        # The unit of the tolerance is estimated from the squares of those aimed at.
        squares = x**2
        squares -= (squares @ aimed / aimed.sum())[:, None]
        ends = np.append(0.0, who.tolerance * np.sign(found.coef[binds[1:]]))
        influence -= bread @ (ends[:, None] * (1 + squares / 2)) * aimed
    return _Part(weight, Weighting((x * weight).T, influence.T))


def _within_reach(z: Array, names: list[str], who: _Arm) -> NDArray[np.bool_]:
    """Who can have weight; refused where an average is beyond everyone's values.

    Where those aimed at all have the least (or the largest) value there is, such as none of a category,
    only people with that value can stand for them: the weights of all others run to 0.
    """
    inside, before = who.weighted.copy(), -1
    while before != (before := int(inside.sum())):
        for name, row in zip(names, z[1:], strict=True):
            for side, word in ((row, "below"), (-row, "above")):
                least = side.min(where=inside, initial=np.inf)
                if least > who.tolerance + _EDGE:
                    raise DesignError(
                        f"on: no weights can bring {name!r} to the average of the people aimed at, which is "
                        f"{word} everyone's who would be weighted; use coarser levels, leave it out, or "
                        f"allow a tolerance (now {who.tolerance})."
                    )
                if who.tolerance == 0 and least > -_EDGE:
                    inside &= side <= _EDGE
    return inside


def _out_of_reach(names: list[str], found: Tilt, tolerance: float) -> str:
    return (
        "on: no weights can bring all averages to those of the people aimed at together; "
        f"{names[found.worst]!r} stays farthest, by {abs(found.left[found.worst]):.2g} standard deviations. "
        f"Use coarser levels, fewer covariates or moments, or allow a tolerance (now {tolerance})."
    )
