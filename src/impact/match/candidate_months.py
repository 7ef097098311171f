"""Who starts in each month of support and who might have: a row for each person and month."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.index_dates import at_risk_on, check_before, until_support, why_not
from impact.errors import DesignError
from impact.match.propensity import Rows, both_arms, in_id_order

if TYPE_CHECKING:
    from impact.data import Cohort

Days = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Months:
    """People at the months in which support began, sorted by month and ``person_id``.

    ``rows`` is a cohort with a row for each starter in their month and for everyone not yet supported in a
    month, described on its first day; ``position (n,)`` leads to the people they are made from, ``month
    (n,)`` counts the months. ``begins (n,)`` is the day of a starter's support and ``own (n,)`` that of a
    control's later support, ``last (n,)`` the last day observed. ``why`` says of each person by which rule
    they may take part in no month.
    """

    rows: Cohort
    position: Rows
    month: Rows
    count: int
    begins: Days
    own: Days
    last: Days
    why: NDArray[Any]

    def ineligible(self, who: NDArray[np.bool_]) -> dict[str, int]:
        """How many of these people may take part in no month, by rule."""
        rules, n = np.unique(self.why[who & (self.why != "")].astype(str), return_counts=True)
        return dict(zip(rules.tolist(), n.tolist(), strict=True))

    def kept(self, used: Rows) -> Rows:
        """Rows of all starters, of controls as used, and one of each control who was not needed.

        Those stand in the month nearest to one that is dealt to them in turn, so that they are described at
        times like those of the supported.
        """
        starters = np.flatnonzero(self.rows.treated)
        seen = np.zeros(self.position.max() + 1, bool)
        seen[self.position[np.concatenate([starters, used])]] = True
        spare = np.flatnonzero(~seen[self.position])
        people, code = np.unique(self.position[spare], return_inverse=True)
        times = self.month[starters]
        dealt = times[np.arange(len(people)) * len(times) // max(len(people), 1)]
        order = np.lexsort((np.abs(self.month[spare] - dealt[code]), code))
        one = spare[order[np.append(True, np.diff(code[order]) > 0)]] if len(spare) else spare
        return np.asarray(np.sort(np.concatenate([starters, used, one])))

    def named(self, kept: Rows, partner: Rows) -> tuple[Cohort, bool]:
        """Return the cohort of these rows, with the dates of their sets, and whether anyone has several."""
        index, last = self.rows.people["index_date"].to_numpy("datetime64[ns]").copy(), self.last.copy()
        index[self.rows.treated] = self.begins[self.rows.treated]
        row, slot = np.nonzero(partner >= 0)
        control = partner[row, slot]
        index[control] = self.begins[row]
        # The set ends the day before the first of its controls is supported.
        end = np.full(len(index), np.datetime64("2262-01-01", "ns"))
        own = self.own[control]
        np.minimum.at(end, row[~np.isnat(own)], own[~np.isnat(own)] - np.timedelta64(1, "D"))
        end[control] = end[row]
        last = np.minimum(last, end)
        frame = pd.DataFrame({"person": self.position[kept], "control": ~self.rows.treated[kept]})
        inside = frame.sort_values(["person", "control"], kind="stable").groupby("person").cumcount()
        again = inside.sort_index().to_numpy()
        who = self.rows.people["person"].to_numpy(object)[kept]
        ids = [f"{p} ({k + 1})" if k else p for p, k in zip(who, again, strict=True)]
        people = self.rows.people.iloc[kept].reset_index(drop=True)
        people = people.assign(person_id=ids, index_date=index[kept], observed_to=last[kept])
        return replace(self.rows.subset(kept), people=people), bool(again.any())


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
    free = until_support(cohort, supported)
    able, position, month = np.zeros(len(cohort), bool), [], []
    for j, one in enumerate(months):
        day = np.full(len(cohort), one.astype("datetime64[ns]"))
        here = at_risk_on(free, day, months_before) & ~(begun <= one)
        found = np.flatnonzero(here | (starts & (begun == one)))
        able |= here
        position.append(found)
        month.append(np.full(len(found), j))
    at, of = np.concatenate(position), np.concatenate(month)
    rank = np.argsort(in_id_order(cohort))
    order = np.lexsort((rank[at], of))
    at, of = at[order], of[order]
    treated = starts[at] & (begun[at] == months[of])
    # By the first month; some are eligible in none, whatever the rule in another.
    never = why_not(free, np.full(len(cohort), months[0].astype("datetime64[ns]")), months_before)
    never = np.where(never == "", "supported before the index date", never)
    why = np.where(supported, why, np.where(able, "", never)).astype(object)
    last = np.where(
        treated, *(c.people["observed_to"].to_numpy("datetime64[ns]")[at] for c in (cohort, free))
    )
    rows = free.subset(at)
    people = rows.people.assign(
        person=rows.person_id,
        person_id=np.arange(len(at)),
        treated=treated,
        index_date=months[of].astype("datetime64[ns]"),
        observed_to=last,
    )
    rows = replace(rows, people=people, treated=treated, outcomes={}, exposure={})._counted()
    nothing = np.datetime64("NaT", "ns")
    begins, own = np.where(treated, start[at], nothing), np.where(treated, nothing, start[at])
    return Months(rows, at, of, len(months), begins, own, last, why)
