"""Risk-set matching: month by month, with people who are not yet supported in the month."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, get_args

import numpy as np
import pandas as pd

from impact.data.flow import flow_of
from impact.errors import DesignError, ParameterError
from impact.match.candidate_months import Months, candidate_months
from impact.match.distances import DISTANCES, Distance, Measure, measure
from impact.match.eligible import SCORE, Calipers, Reach, codes, rules
from impact.match.estimands import Estimand, check_estimand
from impact.match.greedy import Limits, Sides, in_rounds
from impact.match.nearest import search_for, turns_of
from impact.match.people import People
from impact.match.propensity import Array, Link, Missing, Rows, check_word, columns
from impact.results import Matched

if TYPE_CHECKING:
    from impact.data import Cohort

_LEFT = "every control had left by the day support began"


def risk_set(
    cohort: Cohort,
    *,
    on: Sequence[str],
    estimand: Estimand = "ATT",
    months_before: int = 12,
    distance: Distance = "propensity",
    link: Link = "logit",
    missing: Missing = "error",
    exact: Sequence[str] = (),
    anti_exact: Sequence[str] = (),
    caliper: float | Mapping[str, float] | None = None,
    std_caliper: bool | Sequence[str] = (SCORE,),
    ratio: int = 1,
    max_uses: int = 1,
) -> Matched:
    """Match those who start in each month to people alike who are not yet supported in it.

    For each month in which support began, its starters choose among everyone who was then alive, a tenant,
    observed for ``months_before`` and not yet supported: also people who are supported later. Age and prior
    use are measured on the first day of the month, the same day for both. The months come one after
    another, and within a month the matching is that of ``nearest``, with one score, or one distance, made
    from everyone in all months. Ties go to the lowest ``person_id``; there is no seed.

    Everyone of a set is followed from the day the supported person began. A control who is supported later
    is followed to the day before, and the whole set with them (Lu 2005).

    Parameters
    ----------
    cohort : Cohort
        Read from files or tables with contacts. Its index dates play no part.
    on : sequence of str
        Covariates, columns of ``cohort.table``; with ``cohort.with_history`` also counts of single quarters.
    estimand : 'ATT'
        The only one there is.
    months_before : int
        Months before the month of support through which everyone must have been observed.
    distance : str
        As of ``nearest``, but for 'prognostic' and a given matrix.
    link, missing, exact, anti_exact, caliper, std_caliper : see ``nearest``
    ratio : int
        Controls for each person; who finds fewer keeps those.
    max_uses : int
        How many people a control may serve, over all months; within a month it is one.

    Returns
    -------
    Matched
        ``cohort`` has a row for each time a person takes part: who is supported has one, with ``treated``; a
        control has one for each of its sets, with the set's date, and a control who is not needed one, in a
        month in which they might have been. A second row of a person has ``' (2)'`` after the
        ``person_id``; ``person`` holds the identifier itself, and ``cohort.person`` a number for it, by
        which errors are clustered beside the sets. Follow it up with
        ``matched.cohort.follow_up(...)`` and hand that to ``rate_ratio(matched, cohort=...)``.

    Raises
    ------
    ParameterError, DataError, DesignError
        For an argument that makes no sense, a column that is absent or incomplete, and rules that leave
        nobody.

    References
    ----------
    Li, Y. P., Propert, K. J. and Rosenbaum, P. R. (2001). Balanced risk set matching. Journal of the
    American Statistical Association 96, 870-882. Lu, B. (2005). Propensity score matching with time-dependent
    covariates. Biometrics 61, 721-728.

    Examples
    --------
    Twelve people who see the doctor every month, every second, third or fourth; four of them get support, two
    in March and two in May, and those of March go less often after June:

    >>> import pandas as pd
    >>> from impact.data import read_cohort
    >>> from impact.match import rate_ratio
    >>> people = pd.DataFrame({"person_id": range(12), "arm": ["help"] * 4 + ["usual"] * 8, "start_date":
    ...     ["2024-03-05", "2024-03-20", "2024-05-02", "2024-05-09"] + [None] * 8})
    >>> visits = [(p, f"20{y}-{m:02}-10") for p in range(12) for y in (23, 24)
    ...           for m in range(1, 13, 1 + p % 4) if not (p < 2 and y == 24 and m > 6)]
    >>> contacts = pd.DataFrame(visits, columns=["person_id", "start"]).assign(service="gp")
    >>> coverage = pd.DataFrame({"service": ["gp"], "first_date": "2023-01-01", "last_date": "2024-12-31"})
    >>> cohort = read_cohort(people=people, contacts=contacts, coverage=coverage, treated=["help"],
    ...                      control=["usual"])
    >>> matched = risk_set(cohort, on=["prior_gp"], distance="mahalanobis")
    >>> matched.cohort.people.assign(set=matched.table["subclass"]).dropna(subset="set").sort_values("set")[
    ...     ["set", "treated", "index_date", "prior_gp"]].head(4)
       set  treated index_date  prior_gp
    0    1     True 2024-03-05      12.0
    2    1    False 2024-03-05      12.0
    1    2     True 2024-03-20       6.0
    3    2    False 2024-03-20       6.0
    >>> followed = matched.cohort.follow_up(outcomes=["gp"], months=6)
    >>> rate_ratio(matched, outcome="gp", cohort=followed).table[["scale", "estimate"]].round(2)
                scale  estimate
    0       log ratio     -0.37
    1      difference   -165.42
    2  events avoided      4.00
    """
    check_estimand(estimand, "risk_set", ["ATT"], "nearest or inverse_probability on index dates")
    _check(distance, ratio, max_uses)
    widths = Calipers.of(caliper, std_caliper)
    months = candidate_months(cohort, months_before)
    asked = {
        "on": on,
        "exact": exact,
        "anti_exact": anti_exact,
        "caliper": [c for c in widths.asked if c != SCORE],
    }
    first = months.described(np.arange(1)).people
    wanted = [name for argument, names in asked.items() for name in columns(first[:0], names, argument)]
    people = People.described_by(
        months.frame(wanted),
        months.free,
        months.position,
        months.treated,
        on=on,
        exact=exact,
        missing=missing,
    )
    apart = measure(people, distance=distance, link=link, scored=SCORE in widths.asked)
    reach = widths.measured(people.frame, apart, np.ones(len(people.treated), bool))
    differ = codes(people, anti_exact)
    sets = _Sets(months, ratio, max_uses)
    for low, high in pairwise(months.edges.tolist()):
        sets.match(slice(low, high), people, apart, reach, differ)
    if not (sets.partner >= 0).any():
        raise DesignError("Nobody could be matched in any month: widen the caliper or ask for fewer rules.")
    kept, number, weight = sets.rows()
    named, reused = months.named(kept, sets.starters, sets.partner)
    method = {
        "estimator": "risk_set",
        "estimand": "ATT",
        "distance": apart.name,
        "link": link,
        "months_before": months_before,
        "anti_exact": list(differ),
        "caliper": dict(caliper) if isinstance(caliper, Mapping) else caliper,
        "caliper_width": widths.used(reach, caliper),
        "ratio": ratio,
        "max_uses": max_uses,
        "replace": reused,
        "persons_supported_later": int(cohort.treated[months.position[sets.used]].sum()),
        "ties": sets.ties,
        "clusters": "matched set and control person" if reused else "matched set",
        **people.described,
    }
    table = pd.DataFrame(
        {
            "person_id": named.person_id,
            "weight": weight,
            "subclass": pd.arrays.IntegerArray(number.astype(np.int64), number == 0),
            "distance": np.nan if apart.score is None else apart.score[kept],
        }
    )
    return Matched(table, _flow(named, months, cohort), method, sets.counts(cohort))


def _check(distance: object, ratio: object, max_uses: object) -> None:
    if not isinstance(distance, str) or distance == "prognostic":
        raise ParameterError(
            "distance: risk_set measures people at many dates, for which there is no 'prognostic' score and "
            "no matrix; use " + " or ".join(repr(d) for d in DISTANCES if d != "prognostic") + "."
        )
    check_word("distance", distance, get_args(Distance))
    for name, value in (("ratio", ratio), ("max_uses", max_uses)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ParameterError(f"{name}={value!r}: give a whole number from 1.")


class _Sets:
    """The sets as they are made, month by month; positions are those of the rows of ``Months``."""

    def __init__(self, months: Months, ratio: int, max_uses: int) -> None:
        self.months, self.ties = months, 0
        self.starters = np.flatnonzero(months.treated)
        # The controls of each starter, -1 for none.
        self.partner = np.full((len(self.starters), ratio), -1)
        self._uses = np.full(len(months.cohort), max_uses)
        self._rules: list[pd.DataFrame] = []

    def match(
        self, month: slice, people: People, apart: Measure, reach: Reach, differ: dict[str, Rows]
    ) -> None:
        """Let the starters of a month, whose rows are a slice, choose."""
        treated, position = people.treated[month], self.months.position[month]
        group, here = people.group[month], _piece(apart, month)
        near = {name: (values[month], width) for name, (values, width) in reach.items()}
        limits = Limits(
            [pair for name, pair in near.items() if name != SCORE], [v[month] for v in differ.values()]
        )
        asking, able = np.flatnonzero(treated), np.flatnonzero(~treated)
        free = able[self._uses[position[able]] > 0]
        found = np.full((len(asking), self.partner.shape[1]), -1)
        if len(free):
            sides = Sides(asking, free, group, limits)
            search = search_for(here, None, sides, near.get(SCORE), found.shape[1])
            wanted = np.full(len(asking), found.shape[1])
            order = "data" if here.score is None else "largest"
            found, ties = in_rounds(search, wanted, turns_of(asking, here.score, order, None))
            self.ties += ties
        everyone = np.ones(len(treated), bool)
        told = rules(Sides(asking, able, group, limits), found, treated, everyone, reach=near, matrix=None)
        # There on the first of the month and gone on the day: nobody is followed from a day they did not see.
        begins, last = self.months.start[position[asking]], self.months.last(month)
        gone = (found >= 0) & (last[found] < begins[:, None])
        lost = int(((found >= 0).any(axis=1) & ~((found >= 0) & ~gone).any(axis=1)).sum())
        found[gone] = -1
        mine = told[told["arm"] == "treated"].set_index("rule")["persons"]
        mine["matched"] -= lost
        mine[_LEFT] = lost
        self._rules.append(mine.reset_index())
        self._uses[position[found[found >= 0]]] -= 1
        at = np.searchsorted(self.starters, [month.start, month.stop])
        self.partner[slice(*at)] = np.where(found >= 0, found + month.start, -1)

    @property
    def used(self) -> Rows:
        """Rows of the controls in sets."""
        return self.partner[self.partner >= 0]

    def rows(self) -> tuple[Rows, Rows, Array]:
        """Return the rows that stay, the number of each one's set (0 for none), and their weights."""
        kept, size = self.months.kept(self.used), (self.partner >= 0).sum(axis=1)
        number, weight = np.zeros(len(kept), np.intp), np.zeros(len(kept))
        own = np.searchsorted(kept, self.starters)
        number[own] = np.where(size > 0, np.cumsum(size > 0), 0)
        weight[own] = size > 0
        row, slot = np.nonzero(self.partner >= 0)
        control = np.searchsorted(kept, self.partner[row, slot])
        number[control], share = number[own[row]], 1 / size[row]
        weight[control] = share * len(share) / share.sum()
        return kept, number, weight

    def counts(self, cohort: Cohort) -> pd.DataFrame:
        """Everyone in exactly one row: matched, or what left them out."""
        told = pd.concat(self._rules).groupby("rule", sort=False)["persons"].sum()
        treated = {**told, **self.months.ineligible(cohort.treated)}
        there, used = np.zeros((2, len(cohort)), bool)
        there[self.months.position], used[self.months.position[self.used]] = True, True
        matched = int((used & ~cohort.treated).sum())
        control = {
            "matched": matched,
            "not needed": int((there & ~cohort.treated).sum()) - matched,
            **self.months.ineligible(~cohort.treated),
        }
        rows = [("treated", *one) for one in treated.items()] + [("control", *one) for one in control.items()]
        return pd.DataFrame(rows, columns=["arm", "rule", "persons"])


def _piece(apart: Measure, rows: slice) -> Measure:
    """The distances of a slice of the rows."""
    line, points, score = (None if v is None else v[rows] for v in (apart.line, apart.points, apart.score))
    return replace(apart, line=line, points=points, score=score)


def _flow(named: Cohort, months: Months, cohort: Cohort) -> Cohort:
    """Count in the flow who has no row, by rule, and everyone else once."""
    steps = [tuple(row) for row in cohort.flow.table.iloc[:-2].itertuples(index=False)]
    present = np.zeros(len(cohort), bool)
    present[months.position] = True
    why = pd.Series(months.why[~present])
    steps += [("left out", rule, int(n)) for rule, n in why.value_counts().sort_index().items()]
    return replace(named, flow=flow_of(steps, cohort.treated[present]))
