"""Who starts in each month of support and who might have: people by months, in few bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.index_dates import at_risk_on, check_before, until_support, why_not
from impact.errors import DesignError
from impact.match.compact import smallest
from impact.match.propensity import Rows, both_arms, in_id_order

if TYPE_CHECKING:
    from impact.data import Cohort

Days = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Months:
    """People at the months in which support began: rows sorted by month and ``person_id``.

    There is a row for each starter in their month and for everyone not yet supported in a month. ``position
    (rows,)`` leads to the people, ``edges (months + 1,)`` says where each month begins among the rows, and
    ``days (months,)`` its first day. ``cohort`` holds the people as they are; in ``free`` all are controls,
    observed until the day before their support. ``why`` says of each person by which rule they may take part
    in no month.
    """

    cohort: Cohort
    free: Cohort
    position: Rows
    edges: Rows
    days: Days
    treated: NDArray[np.bool_]
    why: NDArray[Any]

    @property
    def start(self) -> Days:
        """The day on which each person's support began, (n,), or that they have none."""
        return np.asarray(self.cohort.people["start_date"].to_numpy("datetime64[ns]"))

    def last(self, rows: Any) -> Days:
        """The last day that rows may be followed: of controls the day before their own support at most."""
        ends = (c.people["observed_to"].to_numpy("datetime64[ns]") for c in (self.cohort, self.free))
        at = self.position[rows]
        return np.asarray(np.where(self.treated[rows], *(end[at] for end in ends)))

    def ineligible(self, who: NDArray[np.bool_]) -> dict[str, int]:
        """How many of these people may take part in no month, by rule."""
        rules, n = np.unique(self.why[who & (self.why != "")].astype(str), return_counts=True)
        return dict(zip(rules.tolist(), n.tolist(), strict=True))

    def described(self, rows: Rows) -> Cohort:
        """Make the cohort of these rows, each described on the first day of its month."""
        people, treated = self.free.subset(self.position[rows]), self.treated[rows]
        month = np.searchsorted(self.edges, rows, "right") - 1
        named = people.people.assign(
            person=people.person_id,
            treated=treated,
            index_date=self.days[month],
            observed_to=self.last(rows),
        )
        return replace(people, people=named, treated=treated, outcomes={}, exposure={})._counted()

    def frame(self, names: Sequence[str]) -> pd.DataFrame:
        """Columns of all rows in few bytes, made month by month.

        ``index_date`` is there as the number of the month, since it tells that counts are of a time before.
        """
        people = self.free.people
        words = [n for n in names if n in people and pd.api.types.is_string_dtype(people[n].dtype)]
        # Texts become categories of all people once, so that months only hold their numbers.
        coded = people.assign(**{n: people[n].astype("category") for n in words})
        months = replace(self, free=replace(self.free, people=coded))
        parts: dict[str, list[Any]] = {n: [] for n in dict.fromkeys(names)}
        for low, high in pairwise(self.edges.tolist()):
            table = months.described(np.arange(low, high)).people
            for name, part in parts.items():
                column = table[name]
                plain = isinstance(column.dtype, np.dtype)
                part.append(pd.Series(smallest(column.to_numpy())) if plain else column)
        out = {n: pd.concat(parts.pop(n), ignore_index=True) for n in list(parts)}
        number = np.repeat(np.arange(len(self.days), dtype=np.int16), np.diff(self.edges))
        return pd.DataFrame({"index_date": number, **out}, copy=False)

    def kept(self, used: Rows) -> Rows:
        """Rows of all starters, of controls as used, and one of each control who was not needed.

        Those stand in the month nearest to one that is dealt to them in turn, so that they are described at
        times like those of the supported.
        """
        starters, n = np.flatnonzero(self.treated), len(self.cohort)
        spare = np.zeros(n, bool)
        spare[self.position] = True
        spare[self.position[np.concatenate([starters, used])]] = False
        times = np.searchsorted(self.edges, starters, "right") - 1
        dealt, gap, row = np.zeros(n, np.intp), np.full(n, len(self.days)), np.zeros(n, np.intp)
        dealt[spare] = times[np.arange(spare.sum()) * len(times) // max(spare.sum(), 1)]
        for j, (low, high) in enumerate(pairwise(self.edges.tolist())):
            here = self.position[low:high]
            nearer = np.abs(j - dealt[here]) < gap[here]
            here = here[nearer]
            gap[here], row[here] = np.abs(j - dealt[here]), low + np.flatnonzero(nearer)
        return np.asarray(np.sort(np.concatenate([starters, used, row[spare]])))

    def named(self, kept: Rows, starters: Rows, partner: Rows) -> tuple[Cohort, bool]:
        """Return the cohort of these rows, with the dates of their sets, and whether anyone has several."""
        rows, at, start = self.described(kept), self.position[kept], self.start
        index = rows.people["index_date"].to_numpy("datetime64[ns]").copy()
        index[rows.treated] = start[at[rows.treated]]
        row, slot = np.nonzero(partner >= 0)
        chose, control = np.searchsorted(kept, starters[row]), np.searchsorted(kept, partner[row, slot])
        index[control] = index[chose]
        # The set ends the day before the first of its controls is supported.
        end = np.full(len(kept), np.datetime64("2262-01-01", "ns"))
        own = start[at[control]]
        later = ~np.isnat(own)
        np.minimum.at(end, chose[later], own[later] - np.timedelta64(1, "D"))
        end[control] = end[chose]
        last = np.minimum(rows.people["observed_to"].to_numpy("datetime64[ns]"), end)
        frame = pd.DataFrame({"person": at, "control": ~rows.treated})
        inside = frame.sort_values(["person", "control"], kind="stable").groupby("person").cumcount()
        again = inside.sort_index().to_numpy()
        who = rows.people["person"].to_numpy(object)
        ids = [f"{p} ({k + 1})" if k else p for p, k in zip(who, again, strict=True)]
        people = rows.people.assign(person_id=ids, index_date=index, observed_to=last)
        return replace(rows, people=people), bool(again.any())


def candidate_months(cohort: Cohort, months_before: int) -> Months:
    """Find the months of support, their starters, and who might have started in them.

    Raises
    ------
    DesignError
        If the cohort was made from a frame, an arm is empty, or nobody who was supported is eligible.
    """
    cohort._needs_store("risk_set")
    check_before(months_before)
    supported = both_arms(cohort)
    start = cohort.people["start_date"].to_numpy("datetime64[ns]")
    begun = start.astype("M8[M]")
    first = begun.astype("datetime64[ns]")
    why = why_not(cohort, first, months_before)
    why = np.where(supported, np.where(why == "", why_not(cohort, start), why), "").astype(object)
    starts = supported & (why == "") & ~np.isnat(start)
    if not starts.any():
        raise DesignError(
            f"Nobody who was supported was alive, a tenant and observed for {months_before} months before "
            "the month support began: use fewer months_before, or look at the coverage."
        )
    months = np.unique(begun[starts])
    free, by_id = until_support(cohort, supported), in_id_order(cohort)
    able, position, treated = np.zeros(len(cohort), bool), [], []
    for one in months:
        day, now = np.full(len(cohort), one.astype("datetime64[ns]")), starts & (begun == one)
        here = at_risk_on(free, day, months_before) & ~(begun <= one)
        able |= here
        position.append(by_id[(here | now)[by_id]].astype(np.int32))
        treated.append(now[position[-1]])
    # By the first month; some are eligible in none, whatever the rule in another.
    never = why_not(free, np.full(len(cohort), months[0].astype("datetime64[ns]")), months_before)
    never = np.where(never == "", "supported before the index date", never)
    why = np.where(supported, why, np.where(able, "", never)).astype(object)
    edges = np.append(0, np.cumsum([len(p) for p in position]))
    days = months.astype("datetime64[ns]")
    return Months(cohort, free, np.concatenate(position), edges, days, np.concatenate(treated), why)
