"""Index dates: the day from which each person is described and followed, and who was eligible on it.

Nobody is followed from a date they had to survive to: Hernan and Robins (2016), Using big data to emulate a
target trial, American Journal of Epidemiology 183, 758-764 (immortal time).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.flow import without
from impact.data.persontime import add_months
from impact.errors import DataError, DesignError, ParameterError, nearest, together

if TYPE_CHECKING:
    from impact.data.cohort import Cohort

IndexRule = Literal["drawn", "offer_date", "partner", "period"]
# A rule, or the arguments of ``Cohort.with_index_dates`` by name.
Dating = IndexRule | Mapping[str, Any]
Mask = NDArray[np.bool_]

_DRAWS = 50


def with_index_dates(
    cohort: Cohort, *, rule: str, within: Sequence[str], month: Any, months_before: int, seed: int
) -> Cohort:
    """Give everyone an index date; the arguments are those of ``Cohort.with_index_dates``."""
    if rule not in get_args(IndexRule):
        known = ", ".join(map(repr, get_args(IndexRule)))
        raise ParameterError(f"rule={rule!r}: use one of {known}.{nearest(rule, get_args(IndexRule))}")
    check_before(months_before)
    within = [within] if isinstance(within, str) else list(within)
    if within and rule not in ("drawn", "partner"):
        raise ParameterError(f"within={within}: only dates that are drawn are drawn within strata.")
    if (month is not None) != (rule == "period"):
        raise ParameterError(f"month={month!r}: rule='period' needs a month such as '2024-03', others none.")
    if rule == "offer_date":
        return _offered(cohort, months_before)
    if rule == "period":
        return _in_month(cohort, month, months_before)
    return _drawn(cohort, within, months_before, seed)


def arguments(dating: Dating) -> dict[str, Any]:
    """Return the arguments of ``Cohort.with_index_dates``, of which a word is the rule."""
    return {"rule": dating} if isinstance(dating, str) else dict(dating)


def check_before(months_before: int) -> None:
    """Refuse a time before the index date that is no number of months."""
    if isinstance(months_before, bool) or not isinstance(months_before, int) or months_before < 0:
        raise ParameterError(f"months_before={months_before!r}: give a number of months, 0 or more.")


def at(cohort: Cohort, dates: pd.Series, months_before: int) -> Cohort:
    """Set index dates; the arguments are those of ``Cohort.at``."""
    check_before(months_before)
    unknown = int((~dates.index.isin(cohort.person_id)).sum())
    if unknown:
        raise DataError(f"dates: {unknown} people are not in the cohort.")
    given = pd.to_datetime(dates).astype("datetime64[ns]").reindex(cohort.person_id).to_numpy()
    index = np.where(np.isnat(given), cohort.people["index_date"].to_numpy("datetime64[ns]"), given)
    out = replace(cohort, people=cohort.people.assign(index_date=index), outcomes={}, exposure={})
    return without(out, why_not(out, index, months_before))._counted()


def at_risk_on(cohort: Cohort, day: NDArray[Any], months_before: int) -> Mask:
    """Whether each person was at risk on their day, and observed for so many months before it."""
    first, last = (cohort.people[c].to_numpy("datetime64[ns]") for c in ("observed_from", "observed_to"))
    return np.asarray((first <= earlier(day, months_before)) & (day <= last))


def earlier(day: NDArray[Any], months: int) -> NDArray[Any]:
    """Return the same day so many months before."""
    return add_months(day.astype("M8[D]"), -months).astype("datetime64[ns]") if months else day


def why_not(cohort: Cohort, day: NDArray[Any], months_before: int = 0) -> NDArray[Any]:
    """The first rule by which each person is not eligible on their day, (n,); '' for who is, or has no day.

    Eligible is who is alive, a tenant, observed (and was for ``months_before``), and not yet supported.
    """
    people, never = cohort.people, np.datetime64("NaT", "ns")

    def days(name: str) -> NDArray[Any]:
        column = people.get(name)
        return np.full(len(people), never) if column is None else column.to_numpy("datetime64[ns]")

    rules = {
        "supported before the index date": ~cohort.treated & (days("start_date") <= day),
        "died before the index date": days("died") < day,
        "moved before the index date": days("moved_out") < day,
        "tenancy ended before the index date": days("tenancy_end") < day,
        "no longer observed at the index date": days("observed_to") < day,
        "not yet a tenant at the index date": days("tenancy_start") > day,
        "not yet observed at the index date": days("observed_from") > day,
        f"not observed for {months_before} months before the index date": days("observed_from")
        > earlier(day, months_before),
    }
    out = np.select(list(rules.values()), list(rules), "")
    return np.where(np.isnat(day) | at_risk_on(cohort, day, months_before), "", out).astype(object)


def until_support(cohort: Cohort, rows: Mask) -> Cohort:
    """Make controls of these people, observed until the day before any support of their own."""
    people = cohort.people
    last = people["observed_to"].to_numpy("datetime64[ns]")
    own = people["start_date"].to_numpy("datetime64[ns]") - np.timedelta64(1, "D")
    # fmin: who is never supported has no such day.
    observed_to = np.where(rows, np.fmin(last, own), last)
    treated = cohort.treated & ~rows
    return replace(cohort, people=people.assign(observed_to=observed_to, treated=treated), treated=treated)


def _offered(cohort: Cohort, months_before: int) -> Cohort:
    dates = cohort.people.get("offer_date", pd.Series(pd.NaT, index=cohort.people.index))
    blank = _without_dates(cohort, np.ones(len(cohort), bool))
    dated = without(blank, np.where(dates.isna(), "no offer date", ""))
    chosen = pd.Series(dates.to_numpy("datetime64[ns]"), index=cohort.person_id).dropna()
    return dated.at(chosen, months_before=months_before)


def _in_month(cohort: Cohort, month: Any, months_before: int) -> Cohort:
    """The supported of one month from their start, everyone not yet supported then from its first day."""
    try:
        first = np.datetime64(pd.Timestamp(month), "M")
    except (ValueError, TypeError):
        raise ParameterError(f"month={month!r}: give a month such as '2024-03'.") from None
    start = cohort.people["start_date"].to_numpy("datetime64[ns]")
    begun = start.astype("M8[M]")
    now, later = cohort.treated & (begun == first), cohort.treated & (begun > first)
    if not now.any():
        raise DesignError(f"month={month!r}: nobody's support began in it; choose one in which some did.")
    begun_earlier = cohort.treated & (begun < first)
    out = without(
        until_support(cohort, later), np.where(begun_earlier, "supported before the index date", "")
    )
    index = np.where(now, start, first.astype("datetime64[ns]"))
    dates = pd.Series(index, index=cohort.person_id).reindex(out.person_id)
    return out.at(dates, months_before=months_before)


def _drawn(cohort: Cohort, within: Sequence[str], months_before: int, seed: int) -> Cohort:
    """The treated keep their date, each control draws one of those of the treated of their stratum."""
    if absent := [
        f"within: {name!r} is not a column of people.{nearest(name, cohort.people.columns)}"
        for name in within
        if name not in cohort.people
    ]:
        raise DataError(together(absent))
    index = cohort.people["index_date"].to_numpy("datetime64[ns]").copy()
    dates = cohort.treated & ~np.isnat(index)
    if not dates.any():
        raise DesignError("Nobody treated has an index date to draw from.")
    if not (cohort.treated & at_risk_on(cohort, index, months_before)).any():
        raise DesignError(
            "Nobody treated was observed, alive and a tenant on the day their support began"
            + (f" and for {months_before} months before" if months_before else "")
            + ": look at the start dates and the coverage."
        )
    stratum = np.zeros(len(cohort), np.int64)
    if within:
        # Who lacks a value is in the stratum of those who lack it.
        stratum += cohort.people.groupby(list(within), dropna=False).ngroup().to_numpy()
    from_ = np.flatnonzero(dates)[np.lexsort((index[dates], stratum[dates]))]
    pool, size = index[from_], np.bincount(stratum[from_], minlength=stratum.max() + 1)
    first, many = (np.cumsum(size) - size)[stratum], size[stratum]
    controls = ~cohort.treated
    index[controls] = np.datetime64("NaT")
    rng = np.random.default_rng(seed)
    rule_of_first: NDArray[Any] = np.empty(0, object)
    for _ in range(_DRAWS):
        # Everyone draws every time, so that one person's date does not hang on the others' luck.
        place = rng.integers(np.maximum(many, 1) if within else len(pool), size=len(cohort))
        draw = pool[np.minimum(first + place, len(pool) - 1)]
        left = np.isnat(index) & controls & (many > 0)
        take = left & at_risk_on(cohort, draw, months_before)
        if not len(rule_of_first):
            rule_of_first = why_not(cohort, draw, months_before)
        index[take] = draw[take]
        if not (left & ~take).any():
            break
    why = np.where(many == 0, "control in a stratum without support", rule_of_first)
    why = np.where(np.isnat(index) & controls, why, "")
    dated = without(_without_dates(cohort, controls), why)
    return dated.at(pd.Series(index, index=cohort.person_id).dropna(), months_before=months_before)


def _without_dates(cohort: Cohort, rows: Mask) -> Cohort:
    return replace(cohort, people=cohort.people.assign(index_date=cohort.people["index_date"].mask(rows)))
