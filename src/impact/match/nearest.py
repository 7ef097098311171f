"""Greedy nearest-neighbour matching, with the rules and orders of MatchIt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace as replaced
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.errors import DesignError, ParameterError
from impact.match.distances import Distance, Measure, measure
from impact.match.eligible import SCORE, Calipers, codes, rules, supported
from impact.match.estimands import Estimand, check_estimand
from impact.match.greedy import Given, Limits, Line, Search, Sides, Space, in_rounds
from impact.match.people import People
from impact.match.propensity import Array, Link, Missing, Rows, check_word
from impact.results import Matched

if TYPE_CHECKING:
    from impact.data import Cohort

Discard = Literal["none", "treated", "control", "both"]
Order = Literal["largest", "smallest", "data", "closest", "farthest", "random"]


def nearest(
    cohort: Cohort,
    *,
    on: Sequence[str],
    estimand: Estimand = "ATT",
    distance: Distance | Any = "propensity",
    link: Link = "logit",
    prognosis: str | None = None,
    missing: Missing = "error",
    exact: Sequence[str] = (),
    anti_exact: Sequence[str] = (),
    caliper: float | Mapping[str, float] | None = None,
    std_caliper: bool | Sequence[str] = (SCORE,),
    discard: Discard = "none",
    order: Order | None = None,
    seed: int | None = None,
    ratio: float = 1,
    max_ratio: int | None = None,
    replace: bool = False,
    max_uses: int | None = None,
) -> Matched:
    """Match each supported person to the nearest controls, one person after another.

    Everyone supported takes a first control before anyone takes a second. On a score the order, the search
    and the ties are those of MatchIt with people sorted by ``person_id``: equal scores stand in the order of
    identifiers, the search goes outwards from a person's own place in that order, and at equal distance the
    lower control is taken. On other distances ties go to the lowest ``person_id``. So the result does not
    depend on the order of rows, and on a seed only with ``order='random'``; how many choices were ties
    stands in ``method['ties']``.

    Parameters
    ----------
    cohort : Cohort
    on : sequence of str
        Covariates, columns of ``cohort.table``.
    estimand : 'ATT' or 'ATC'
        The effect on the supported, or on the controls: then controls choose among the supported, and
        "person" and "control" below change places.
    distance, link, prognosis : see ``impact.match.distances.measure``
        'propensity', 'linear_propensity', 'mahalanobis', 'robust_mahalanobis', 'prognostic' or a matrix.
    missing : 'error', 'indicator' or 'category'
        As of ``propensity``; in ``exact`` and ``anti_exact`` a missing value is then a value like others.
    exact, anti_exact : sequence of str
        Columns whose values must agree within a match, or must differ (a building or household, so that
        support does not spill over to the control).
    caliper : float or mapping of str to float, optional
        Largest difference within a match: of the score, or of each column named and of the 'score'. A
        negative width asks for more than that between them. Without it there is no limit; 0.2 is usual
        (Austin 2011). A distance that is no score has the propensity score fitted for this alone.
    std_caliper : bool or sequence of str
        Which widths are in standard deviations over everyone not discarded: all, none (the column's own
        unit), or those named; by default the score's alone.
    discard : 'none', 'treated', 'control' or 'both'
        Leave out people of that arm whose score lies outside the range of the other arm's.
    order : str, optional
        Who chooses first: the 'largest' or 'smallest' score, the lowest ``person_id`` ('data'), the person
        'closest' to somebody free, the 'farthest' from everybody free at the start of a round, or 'random'.
        Without it 'largest' (for the ATC 'smallest') where there is a score, else 'data'.
    seed : int, optional
        Of the random order, which needs one.
    ratio : int
        Controls for each person; who finds fewer keeps those. With ``max_ratio`` their mean, which need not
        be whole.
    max_ratio : int, optional
        Variable ratio (Ming and Rosenbaum 2001): the people least like controls by the score get one
        control, those most like them up to this many.
    replace : bool
        Whether a control may serve several people.
    max_uses : int, optional
        With ``replace``, how many at most.

    Returns
    -------
    Matched
        ``table`` has ``person_id, weight, subclass, distance``: weight 1 for the matched supported; a
        control's weight is the sum over its sets of 1 / controls in the set, scaled to average 1 over the
        controls used; with replacement a control has a row for each of its sets. ``distance`` is the score
        where there is one. ``counts`` has ``arm, rule, persons``: who was matched, and the first rule that
        left out each of the others.

    Raises
    ------
    ParameterError, DataError, DesignError
        For an argument that makes no sense, a column that is absent or incomplete, and an empty arm or rules
        that leave nobody.

    References
    ----------
    Ho, D., Imai, K., King, G. and Stuart, E. (2011). MatchIt: nonparametric preprocessing for parametric
    causal inference. Journal of Statistical Software 42(8). Ming, K. and Rosenbaum, P. R. (2001). A note on
    optimal matching with variable controls using the assignment algorithm. Journal of Computational and
    Graphical Statistics 10, 455-463. Austin, P. C. (2011). Optimal caliper widths for propensity-score
    matching. Pharmaceutical Statistics 10, 150-161.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data import Cohort
    >>> frame = pd.DataFrame({"helped": [1, 1, 0, 0, 0, 0], "age": [70, 61, 62, 69, 55, 50]})
    >>> matched = nearest(Cohort.from_frame(frame, treated="helped"), on=["age"], distance="mahalanobis")
    >>> matched.table["subclass"].astype("Int64").tolist()
    [1, 2, 2, 1, <NA>, <NA>]
    """
    check_numbers(ratio, max_ratio, replace, max_uses)
    seed = _checked_seed(estimand, discard, order, seed)
    widths = Calipers.of(caliper, std_caliper)
    people = People.of(cohort, on=on, exact=exact, missing=missing)
    scored = SCORE in widths.asked or order in ("largest", "smallest") or bool(max_ratio) or discard != "none"
    apart = measure(people, distance=distance, link=link, prognosis=prognosis, scored=scored)
    focal = people.treated if estimand == "ATT" else ~people.treated
    kept = supported(apart.score, people.treated, discard)
    reach = widths.measured(people.frame, apart, kept)
    differ = codes(people, anti_exact)
    limits = Limits([pair for name, pair in reach.items() if name != SCORE], list(differ.values()))
    uses = (np.inf if max_uses is None else max_uses) if replace else 1
    sides = Sides(np.flatnonzero(focal & kept), np.flatnonzero(~focal & kept), people.group, limits, uses)
    order = order or ("data" if apart.score is None else "largest" if estimand == "ATT" else "smallest")
    wanted = _wanted(sides, apart.score, ratio, max_ratio)
    matrix = _matrix(apart.matrix, sides, focal)
    search = search_for(apart, matrix, sides, reach.get(SCORE), int(wanted.max(initial=1)))
    partner, ties = in_rounds(search, wanted, turns_of(sides.people, apart.score, order, seed))
    if not (partner >= 0).any():
        raise DesignError(nobody_matched(people.exact, list(differ), caliper, discard))
    method = {
        "estimator": "nearest",
        "estimand": estimand,
        "distance": apart.name,
        "link": link,
        "prognosis": prognosis,
        "anti_exact": list(differ),
        "caliper": dict(caliper) if isinstance(caliper, Mapping) else caliper,
        "caliper_width": widths.used(reach, caliper),
        "discard": discard,
        "order": order,
        "seed": seed,
        "ratio": ratio,
        "max_ratio": max_ratio,
        "replace": uses > 1,
        "max_uses": max_uses,
        "ties": ties,
        "clusters": "matched set and control person" if uses > 1 else "matched set",
        "total_distance": _total(apart, matrix, sides, partner),
        **people.described,
    }
    counts = rules(sides, partner, people.treated, kept, reach=reach, matrix=matrix)
    return Matched(table_of_sets(people, sides.people, partner, apart.score), cohort, method, counts)


def is_whole(value: Any, least: int) -> bool:
    """Whether a value is a whole number of at least this."""
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    return bool(number and np.isfinite(value) and value == int(value) and value >= least)


def check_numbers(ratio: float, max_ratio: int | None, replace: bool, max_uses: int | None) -> None:
    """Refuse numbers of controls and of uses that make no sense, alone or together."""
    if not isinstance(replace, (bool, np.bool_)):
        raise ParameterError(f"replace={replace!r}: use true or false.")
    if max_ratio is None:
        if not is_whole(ratio, 1):
            raise ParameterError(f"ratio={ratio!r}: give the controls a person gets, a whole number from 1.")
    else:
        if not is_whole(max_ratio, 2):
            raise ParameterError(f"max_ratio={max_ratio!r}: give a whole number from 2.")
        if isinstance(ratio, (bool, str)) or not 1 < ratio < max_ratio:
            raise ParameterError(
                f"ratio={ratio!r}: with max_ratio={max_ratio} it is the mean number of controls, above 1 and "
                f"below {max_ratio}."
            )
    if max_uses is not None and not (replace and is_whole(max_uses, 1)):
        raise ParameterError(
            f"max_uses={max_uses!r}: give how many people a control may serve, a whole number from 1, and "
            "replace=True."
        )


def _checked_seed(estimand: str, discard: str, order: str | None, seed: int | None) -> int | None:
    """Refuse words that are not known; return the seed where there is a draw, as nothing else hangs on it."""
    check_estimand(estimand, "nearest", ["ATT", "ATC"], "full, subclass or inverse_probability")
    check_word("discard", discard, get_args(Discard))
    if order is not None:
        check_word("order", order, get_args(Order))
    if seed is not None and not is_whole(seed, 0):
        raise ParameterError(f"seed={seed!r}: give a whole number from 0.")
    if order == "random" and seed is None:
        raise ParameterError("order='random' needs a seed, so that the match can be made again.")
    return seed if order == "random" else None


def turns_of(people: Rows, score: Array | None, order: str, seed: int | None) -> Any:
    """Rank of who chooses when, or the word for an order that depends on who is free."""
    if order in ("closest", "farthest"):
        return order
    if order == "random":
        return np.random.default_rng(seed).permutation(len(people))
    if order == "data" or score is None:
        return np.arange(len(people))
    return np.argsort(-score[people] if order == "largest" else score[people], kind="stable")


def _wanted(sides: Sides, score: Array | None, ratio: float, max_ratio: int | None) -> Rows:
    """How many each person is to get; with a variable ratio the last are those most like the pool."""
    n = len(sides.people)
    if max_ratio is None or score is None or not n:
        return np.full(n, int(ratio))
    total = round(ratio * n)
    full = min((total - (n - 1)) // (max_ratio - 1), n - 1)
    rest = total - (n - 1 - full) - full * max_ratio
    share = np.concatenate([np.ones(n - 1 - full, int), [rest], np.full(full, max_ratio)])
    if not rest:
        share[[n - 1 - full, n - full]] = 1, max_ratio - 1
    own = score[sides.people]
    higher = own.mean() > score[sides.pool].mean()
    wanted = np.empty(n, np.intp)
    wanted[np.argsort(-own if higher else own, kind="stable")] = share
    return wanted


def _matrix(matrix: Array | None, sides: Sides, focal: NDArray[np.bool_]) -> Array | None:
    """Turn distances between treated (rows) and controls into those between who chooses and the pool."""
    if matrix is None:
        return None
    matrix = matrix if matrix.shape[0] == focal.sum() else matrix.T
    if matrix.shape == (len(sides.people), len(sides.pool)):
        return matrix
    rank = np.where(focal, np.cumsum(focal), np.cumsum(~focal)) - 1
    return np.asarray(matrix[np.ix_(rank[sides.people], rank[sides.pool])])


def search_for(
    apart: Measure, matrix: Array | None, sides: Sides, score: tuple[Array, float] | None, most: int
) -> Search:
    """Choose the search that fits the distance; a caliper on the line itself ends a walk along it."""
    if apart.line is not None and score is not None and score[1] > 0:
        return Line(apart.line, sides, caliper=score[1])
    if score is not None:
        sides = replaced(sides, limits=Limits([score, *sides.limits.calipers], sides.limits.differ))
    if apart.line is not None:
        return Line(apart.line, sides)
    if apart.points is not None:
        return Space(apart.points, sides, at_first=2 * most + 6)
    assert matrix is not None
    return Given(matrix, sides)


def _total(apart: Measure, matrix: Array | None, sides: Sides, partner: Rows) -> float:
    """Sum of the distances of all matches."""
    rows, slots = np.nonzero(partner >= 0)
    people, chosen = sides.people[rows], partner[rows, slots]
    if apart.line is not None:
        return float(np.abs(apart.line[people] - apart.line[chosen]).sum())
    if apart.points is not None:
        return float(np.sqrt(((apart.points[people] - apart.points[chosen]) ** 2).sum(axis=1)).sum())
    assert matrix is not None
    return float(matrix[rows, np.searchsorted(sides.pool, chosen)].sum())


def nobody_matched(exact: Sequence[str], differ: Sequence[str], caliper: Any, discard: str) -> str:
    """Say which rules left nobody, and what to do."""
    named = [f"exact={list(exact)}"] if exact else []
    named += [f"anti_exact={list(differ)}"] if differ else []
    named += [f"caliper={caliper}"] if caliper is not None else []
    named += [f"discard={discard!r}"] if discard != "none" else []
    return (
        f"Nobody could be matched with {' and '.join(named) or 'this distance'}: widen the caliper or ask "
        "for fewer rules."
    )


def table_of_sets(people: People, chose: Rows, partner: Rows, score: Array | None) -> pd.DataFrame:
    """One row a person in the cohort's order; with replacement a control has one row for each of its sets."""
    n, order = len(people.order), people.order
    size = (partner >= 0).sum(axis=1)
    number = np.cumsum(size > 0)
    sets, slot = np.nonzero(partner >= 0)
    used = partner[sets, slot]
    share = 1 / size[sets]
    alone = np.ones(n, bool)
    alone[used] = False
    share *= (~alone).sum() / share.sum()
    alone[chose[size > 0]] = False
    rest = np.flatnonzero(alone)
    rows = np.concatenate([chose[size > 0], used, rest])
    weight = np.concatenate([np.ones((size > 0).sum()), share, np.zeros(len(rest))])
    subclass = np.concatenate([number[size > 0], number[sets], np.zeros(len(rest), np.intp)])
    # Stable, and the sets rise: a person's sets come in their order.
    by_row = np.argsort(order[rows], kind="stable")
    rows, subclass = rows[by_row], subclass[by_row]
    return pd.DataFrame(
        {
            "person_id": np.asarray(people.cohort.person_id)[order[rows]],
            "weight": weight[by_row],
            "subclass": pd.arrays.IntegerArray(subclass.astype(np.int64), subclass == 0),
            "distance": np.nan if score is None else score[rows],
        }
    )
