"""Person-time and counts by period: the one place where days at risk meet contacts.

A period is a number of months from a person's anchor: the first day of the panel on the calendar clock, the
index date on the event clock. So one formula serves both clocks, the year before the index date and the
months after it. Days are whole: a person is at risk on the days [lo, hi).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.contract import DAYS_PER_MONTH, DERIVED_OUTCOMES
from impact.data.ingest import Store
from impact.data.reading import literal
from impact.errors import DataError, nearest, together

Array = NDArray[np.float64]
Days = NDArray[Any]  # datetime64[D]
Intervals = list[tuple[np.datetime64, np.datetime64]]
Covered = Mapping[tuple[str, str], "Intervals"]


@dataclass(frozen=True)
class Grid:
    """Periods of ``step`` months from each person's anchor, ``count`` of them from month ``first`` on."""

    first: int
    step: int
    count: int


@dataclass(frozen=True, eq=False)
class Risk:
    """Who is at risk when: position in people, arm, anchor, and the days [lo, hi), one entry each."""

    pid: NDArray[np.int64]
    arm: NDArray[Any]
    anchor: Days
    lo: Days
    hi: Days


def add_months(day: Days, months: int) -> Days:
    """Move days by whole months; a day the month does not have becomes its last day, as in SQL.

    Examples
    --------
    >>> add_months(np.array(["2024-01-31", "2024-01-05"], "M8[D]"), 1).astype(str).tolist()
    ['2024-02-29', '2024-02-05']
    """
    month = day.astype("M8[M]")
    into = day - month.astype("M8[D]")
    target = month + months
    length = (target + 1).astype("M8[D]") - target.astype("M8[D]")
    return np.asarray(target.astype("M8[D]") + np.minimum(into, length - np.timedelta64(1, "D")))


def cover(con: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], Intervals]:
    """Return the observed intervals [lo, hi) of each service and arm."""
    rows = con.execute("SELECT service, arm, lo, hi FROM cover ORDER BY ALL").fetchall()
    out: dict[tuple[str, str], Intervals] = {}
    for service, arm, lo, hi in rows:
        out.setdefault((service, arm), []).append((np.datetime64(lo, "D"), np.datetime64(hi, "D")))
    return out


def observed(
    covered: Covered, outcomes: Sequence[str], arms: Sequence[str]
) -> dict[tuple[str, str], Intervals]:
    """Return the intervals in which each outcome is observed, for each arm.

    An outcome counted from several services is observed only while all of them are (of those that are
    observed at all).
    """
    services = {service for service, _ in covered}
    out = {}
    for name in outcomes:
        parts = [s for s in DERIVED_OUTCOMES.get(name, (name,)) if s in services]
        for arm in arms:
            found = [covered.get((service, arm), []) for service in parts]
            both = found[0] if found else []
            for other in found[1:]:
                pairs = [(max(a, c), min(b, d)) for a, b in both for c, d in other]
                both = [(lo, hi) for lo, hi in pairs if lo < hi]
            out[name, arm] = both
    return out


def unknown(covered: Covered, outcomes: Sequence[str]) -> list[str]:
    """Say which outcomes are neither a service in the data nor made from one."""
    services = {service for service, _ in covered}
    known = sorted(services | {name for name, parts in DERIVED_OUTCOMES.items() if services & set(parts)})
    problems = [] if outcomes else ["outcomes is empty: name at least one."]
    return problems + [
        f"outcome={name!r}: the data hold {', '.join(map(repr, known))}.{nearest(name, known)}"
        for name in outcomes
        if name not in known
    ]


def exposure(risk: Risk, grid: Grid, seen: Covered, outcomes: Sequence[str]) -> dict[str, Array]:
    """Months at risk of each outcome, (people, periods)."""
    undated = np.isnat(risk.anchor)
    anchor = np.where(undated, np.datetime64(0, "D"), risk.anchor)
    lo, hi = risk.lo.astype(np.int64), np.where(undated, risk.lo, risk.hi).astype(np.int64)
    bounds = [add_months(anchor, grid.first + grid.step * t).astype(np.int64) for t in range(grid.count + 1)]
    arms = pd.unique(risk.arm)
    out: dict[str, Array] = {}
    days: dict[str, Array] = {}
    for name in outcomes:
        groups = _alike(seen, name, arms)
        # Most outcomes are observed on the same days as another, and what takes time is done once.
        if (same := repr(groups)) not in days:
            days[same] = np.zeros((len(anchor), grid.count))
            for members, intervals in groups:
                rows = np.flatnonzero(np.isin(risk.arm, members))
                for first, last in intervals:
                    begin, end = (
                        np.maximum(lo[rows], first.astype(int)),
                        np.minimum(hi[rows], last.astype(int)),
                    )
                    for t, (b0, b1) in enumerate(pairwise(bounds)):
                        seen_days = np.minimum(end, b1[rows]) - np.maximum(begin, b0[rows])
                        days[same][rows, t] += np.maximum(seen_days, 0)
        out[name] = days[same] / DAYS_PER_MONTH
    return out


def _alike(seen: Covered, outcome: str, arms: Iterable[str]) -> list[tuple[list[str], Intervals]]:
    """Arms that are observed on the same days, with these days."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for arm in arms:
        groups.setdefault(tuple(seen[outcome, arm]), []).append(arm)
    return [(members, list(days)) for days, members in groups.items()]


# The months from the anchor to a day, by the calendar, less one where the anchor's day of the month (or the
# month's last day, if that comes first) has not been reached.
_MONTHS = """
    12 * (year({day}) - year(w.anchor)) + month({day}) - month(w.anchor)
    - CASE WHEN day({day}) < least(day(w.anchor), day(last_day({day}))) THEN 1 ELSE 0 END
"""


def counts(store: Store, risk: Risk, grid: Grid, seen: Covered, outcomes: Sequence[str]) -> dict[str, Array]:
    """Contacts, and nights for ``bed_days``, within the days at risk: for each outcome (people, periods).

    The notebooks of a study count the same several times, so counts are kept where the tables are.
    """
    if store.kept is None:
        return _counted(store.con, risk, grid, seen, outcomes)
    names = list(dict.fromkeys(outcomes))
    made_from = [names, grid, sorted(seen.items()), risk.pid, risk.arm, risk.anchor, risk.lo, risk.hi]
    found = store.kept.array(
        made_from, lambda: np.stack([*_counted(store.con, risk, grid, seen, names).values()])
    )
    return dict(zip(names, found, strict=True))


def _counted(
    con: duckdb.DuckDBPyConnection, risk: Risk, grid: Grid, seen: Covered, outcomes: Sequence[str]
) -> dict[str, Array]:
    out = {name: np.zeros((len(risk.pid), grid.count)) for name in outcomes}
    days = [
        f"({literal(name)}, {literal(arm)}, DATE '{lo}', DATE '{hi}')"
        for (name, arm), found in seen.items()
        for lo, hi in found
    ]
    if not days:
        return out
    con.execute(f"CREATE TEMP TABLE seen AS FROM (VALUES {', '.join(days)}) _(outcome, arm, lo, hi)")
    _register(con, risk)
    plain = [name for name in outcomes if name not in DERIVED_OUTCOMES]
    for names, sql in ((plain, _CONTACTS), ([n for n in outcomes if n in DERIVED_OUTCOMES], _NIGHTS)):
        if not names:
            continue
        months = {name: _MONTHS.format(day=name) for name in ("start", "last")}
        query = sql.format(**months, first=grid.first, step=grid.step, count=grid.count)
        got = con.execute(query, [names]).fetchnumpy()
        outcome = np.asarray(got["outcome"], np.int64)
        for i, name in enumerate(names):
            mine = outcome == i
            at = np.asarray(got["row"], np.int64)[mine], np.asarray(got["t"], np.int64)[mine]
            out[name][at] = np.asarray(got["n"], float)[mine]
    con.execute("DROP TABLE who")
    con.execute("DROP TABLE seen")
    return out


def measure(
    store: Store, risk: Risk, grid: Grid, outcomes: Sequence[str]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Counts and months at risk of each outcome, (people, periods)."""
    covered = cover(store.con)
    if problems := unknown(covered, outcomes):
        raise DataError(together(problems))
    seen = observed(covered, outcomes, [str(a) for a in pd.unique(risk.arm)])
    found = counts(store, risk, grid, seen, outcomes)
    return found, exposure(risk, grid, seen, outcomes)


def _register(con: duckdb.DuckDBPyConnection, risk: Risk) -> None:
    usable = np.flatnonzero(~np.isnat(risk.anchor) & (risk.lo < risk.hi))
    people = {"row": usable, "pid": risk.pid[usable], "arm": risk.arm[usable].astype(str)}
    people |= {n: getattr(risk, n)[usable].astype("M8[s]") for n in ("anchor", "lo", "hi")}
    con.register("given_who", pd.DataFrame(people))
    con.execute(
        "CREATE TEMP TABLE who AS SELECT CAST(row AS INTEGER) AS row, CAST(pid AS INTEGER) AS pid, arm, "
        "CAST(anchor AS DATE) AS anchor, CAST(lo AS DATE) AS lo, CAST(hi AS DATE) AS hi FROM given_who"
    )
    con.unregister("given_who")


_CONTACTS = """
WITH at_risk AS (
    SELECT w.row, w.anchor, e.service, e.start
    FROM events e JOIN who w USING (pid) JOIN seen v ON v.outcome = e.service AND v.arm = w.arm
    WHERE e.start >= greatest(w.lo, v.lo) AND e.start < least(w.hi, v.hi) AND list_contains($1, e.service)
), placed AS (SELECT row, service, {start} - ({first}) AS m FROM at_risk w)
SELECT list_position($1, service) - 1 AS outcome, row, m // {step} AS t, count(*) AS n
FROM placed WHERE m >= 0 AND m < {step} * {count}
GROUP BY ALL
"""

# A stay is cut to the days at risk and to the window, then laid over every period it touches. The night of a
# day belongs to that day: a stay is the interval [start, end), and there is none on the day of discharge.
_NIGHTS = """
WITH cut AS (
    SELECT v.outcome, w.row, w.anchor,
           greatest(s.lo, w.lo, v.lo, CAST(w.anchor + to_months({first}) AS DATE)) AS start,
           least(s.hi, w.hi, v.hi, CAST(w.anchor + to_months({first} + {step} * {count}) AS DATE)) - 1 AS last
    FROM stays s JOIN who w USING (pid) JOIN seen v ON v.arm = w.arm
    WHERE list_contains($1, v.outcome)
), laid AS (
    SELECT *, unnest(range(({start} - ({first})) // {step}, ({last} - ({first})) // {step} + 1)) AS t
    FROM cut w WHERE start <= last
), placed AS (
    SELECT *, CAST(anchor + to_months(CAST({first} + {step} * t AS INTEGER)) AS DATE) AS begins,
           CAST(anchor + to_months(CAST({first} + {step} * (t + 1) AS INTEGER)) AS DATE) AS ends FROM laid
)
SELECT list_position($1, outcome) - 1 AS outcome, row, t,
       sum(least(last + 1, ends) - greatest(start, begins)) AS n
FROM placed GROUP BY ALL
"""


def derived(store: Store, people: pd.DataFrame, pid: NDArray[np.int64], day: Days) -> dict[str, Array]:
    """Return ``age``, if months of birth are known, and ``prior_<service>`` for each person on a day.

    Prior use counts the 12 months before the day. Tenancy does not limit it, coverage does: where a service
    is not observed through all 12 months the count is missing, not small.
    """
    out: dict[str, Array] = {}
    if "birth_month" in people:
        born = people["birth_month"].to_numpy("datetime64[ns]").astype("M8[M]")
        months = (day.astype("M8[M]") - born).astype(float)
        out["age"] = np.where(np.isnat(day) | np.isnat(born), np.nan, np.floor(months / 12))
    services = [s for (s,) in store.con.execute("SELECT DISTINCT service FROM events ORDER BY 1").fetchall()]
    services += [name for name, parts in DERIVED_OUTCOMES.items() if set(parts) & set(services)]
    if not services:
        return out
    before = add_months(day, -12)
    risk = Risk(pid, people["arm"].to_numpy(str), day, before, day)
    counts, time = measure(store, risk, Grid(-12, 12, 1), services)
    year = np.where(np.isnat(day), np.nan, (day - before).astype(float)) / DAYS_PER_MONTH
    for name in services:
        out[f"prior_{name}"] = np.where(time[name][:, 0] >= year, counts[name][:, 0], np.nan)
    return out
