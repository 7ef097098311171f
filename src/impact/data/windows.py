"""From a window and a cohort to a ``Panel``: which months, who starts when, which covariates and clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data import persontime
from impact.data.contract import DERIVED_OUTCOMES
from impact.data.panel import Clock, Panel
from impact.data.periods import NEVER
from impact.data.persontime import Grid, Risk
from impact.errors import DataError, DesignError, ParameterError, nearest, together

if TYPE_CHECKING:
    from impact.data.cohort import Cohort

Period = Literal["month", "quarter"]
Month = str | date | pd.Timestamp | np.datetime64
STEPS = {"month": 1, "quarter": 3}


@dataclass(frozen=True)
class Window:
    """The periods asked for, before the data are known."""

    step: int
    start: np.datetime64 | None
    end: np.datetime64 | None
    clock: Clock
    before: int
    after: int

    @classmethod
    def of(
        cls, period: str, start: Month | None, end: Month | None, clock: Clock, before: int, after: int
    ) -> Window:
        """Check the arguments of ``.panel`` and turn them into months."""
        problems = []
        for name, value, known in (("period", period, STEPS), ("clock", clock, ("calendar", "event"))):
            if value not in known:
                problems.append(
                    f"{name}={value!r}: use {' or '.join(map(repr, known))}.{nearest(value, known)}"
                )
        step = STEPS.get(period, 1)
        if clock == "event" and (before < 0 or after < 1 or before % step or after % step):
            problems.append(
                f"months_before={before}, months_after={after}: whole numbers of periods, of {step} month(s) "
                "each, with at least one after."
            )
        months = [_month(name, value, problems) for name, value in (("start", start), ("end", end))]
        if problems:
            raise ParameterError(together(problems))
        if months[0] is not None and months[1] is not None and months[0] > months[1]:
            raise ParameterError(f"start={start!r} is after end={end!r}; swap them.")
        return cls(step, months[0], months[1], clock, before, after)

    def within(self, risk: Risk) -> Risk:
        """Keep the days from ``start`` to ``end``, of people whose anchor lies among them."""
        lo, hi = risk.lo, risk.hi
        outside = np.zeros(len(risk.pid), bool)
        if self.start is not None:
            first = self.start.astype("M8[D]")
            lo, outside = np.maximum(lo, first), outside | (risk.anchor < first)
        if self.end is not None:
            stop = (self.end + 1).astype("M8[D]")
            hi, outside = np.minimum(hi, stop), outside | (risk.anchor >= stop)
        return replace(risk, lo=lo, hi=np.where(outside, lo, hi))


def _month(name: str, value: Month | None, problems: list[str]) -> np.datetime64 | None:
    if value is None:
        return None
    try:
        return np.datetime64(pd.Timestamp(value), "M")
    except (ValueError, TypeError):
        problems.append(f"{name}={value!r}: give a date or a month such as '2024-03'.")
        return None


def build_panel(
    cohort: Cohort, *, outcomes: list[str], window: Window, covariates: Sequence[str], cluster: str | None
) -> Panel:
    """Count, measure and lay out a panel; the arguments are those of ``Cohort.panel``."""
    store = cohort._store
    assert store is not None
    covered = persontime.cover(store.con)
    columns = [*covariates, *([cluster] if cluster else [])]
    problems = persontime.unknown(covered, outcomes) + [
        f"{name!r} is not a column of people.{nearest(name, cohort.people.columns)}"
        for name in columns
        if name not in cohort.people
    ]
    if problems:
        raise DataError(together(problems))
    people, treated, step = cohort.people, cohort.treated, window.step
    periods: pd.Index[Any]
    if window.clock == "event":
        anchor = cohort._dates("panel(clock='event')")
        grid = Grid(-window.before, step, (window.before + window.after) // step)
        periods = pd.RangeIndex(-window.before // step, window.after // step, name="event_time")
        begins = start = np.where(treated, window.before // step, grid.count)
    else:
        first, count = _calendar(window, covered, outcomes)
        grid = Grid(0, step, count)
        anchor = np.full(len(cohort), first.astype("M8[D]"))
        stamps = (first + step * np.arange(count)).astype("datetime64[ns]")
        periods = pd.DatetimeIndex(stamps, name="period")
        begins = _begins(people["start_date"], first, step)
        start = np.where(treated, np.minimum(begins, count), count)
        _someone_starts(start, treated, periods)
    risk = window.within(cohort._risk(anchor)) if window.clock == "event" else cohort._risk(anchor)
    counts, exposure = persontime.measure(store, risk, grid, outcomes)
    if never := [name for name in outcomes if not counts[name].any()]:
        names = ", ".join(map(repr, never))
        raise DesignError(f"outcomes: {names} never happens to anyone at risk in the panel; leave it out.")
    fixed, notes = _covariates(cohort, covariates, anchor, window.clock)
    groups, more = clusters_of(cohort, cluster)
    return Panel(
        unit=cohort.person_id,
        periods=periods,
        outcomes=counts,
        exposure=exposure,
        start=start.astype(np.int64),
        treated=treated,
        covariates=fixed,
        cluster=groups,
        weights=np.ones(len(cohort)),
        arm=people["arm"].to_numpy(object),
        clock=window.clock,
        step="month" if step == 1 else "quarter",
        notes=tuple(_assumed(cohort, outcomes) + notes + more),
        begins=begins.astype(np.int64),
        ended=_ended(people, treated, persontime.add_months(anchor, grid.first + step * grid.count)),
    )


def _ended(people: pd.DataFrame, treated: NDArray[np.bool_], stop: NDArray[Any]) -> NDArray[Any]:
    """Why each person's time ended before the day ``stop``; '' where only the panel or the coverage did."""
    last = people["observed_to"].to_numpy("datetime64[ns]").astype("M8[D]")
    never = pd.Series(pd.NaT, people.index)
    # A death on the day of a move is a death; a move ends the tenancy.
    reasons = {"death": "died", "move": "moved_out", "tenancy": "tenancy_end"}
    days = {
        reason: people.get(column, never).to_numpy("datetime64[ns]").astype("M8[D]")
        for reason, column in reasons.items()
    }
    started = people["start_date"].to_numpy("datetime64[ns]").astype("M8[D]")
    days["support"] = np.where(treated, np.datetime64("NaT", "D"), started - np.timedelta64(1, "D"))
    inside = last < stop
    return np.select([inside & (last == day) for day in days.values()], list(days), "").astype(object)


def _calendar(window: Window, covered: persontime.Covered, outcomes: list[str]) -> tuple[np.datetime64, int]:
    """Return the first month and the number of periods; by default those in which an outcome is observed."""
    arms = sorted({arm for _, arm in covered})
    spans = [span for found in persontime.observed(covered, outcomes, arms).values() for span in found]
    if not spans:
        raise DesignError(f"No day is observed for {', '.join(outcomes)}; look at the coverage.")
    first, last = window.start, window.end
    if first is None:
        first = min(lo for lo, _ in spans).astype("M8[M]")
    if last is None:
        last = (max(hi for _, hi in spans) - np.timedelta64(1, "D")).astype("M8[M]")
    if first > last:
        raise ParameterError(f"start={first}, end={last}: no month is left; the data run out before.")
    place = first.astype(int) // window.step
    count = last.astype(int) // window.step - place + 1
    return np.datetime64(int(place * window.step), "M"), int(count)


def _begins(dates: pd.Series, first: np.datetime64, step: int) -> NDArray[np.int64]:
    """Positions at which support begins, in either arm, also after the last period."""
    month = dates.to_numpy("datetime64[ns]").astype("M8[M]")
    at = np.where(np.isnat(month), 0, (month - first).astype(np.int64)) // step
    return np.where(np.isnat(month), NEVER, np.maximum(at, -1))


def _someone_starts(start: NDArray[np.int64], treated: NDArray[np.bool_], periods: pd.Index[Any]) -> None:
    if not ((start[treated] > 0) & (start[treated] < len(periods))).any():
        before, after = int((start[treated] <= 0).sum()), int((start[treated] == len(periods)).sum())
        raise DesignError(
            f"Nobody begins support within the panel after its first period ({periods[0]:%Y-%m} to "
            f"{periods[-1]:%Y-%m}): {before} began earlier, {after} later. Choose start and end so that "
            "there is time before and after support."
        )


def _covariates(
    cohort: Cohort, names: Sequence[str], anchor: NDArray[Any], clock: Clock
) -> tuple[pd.DataFrame, list[str]]:
    frame = cohort.people[list(names)].reset_index(drop=True)
    dated = [n for n in names if n == "age" or n.startswith(("prior_", "trend_", "latest_"))]
    if clock == "event" or not dated:
        return frame, []
    fresh = cohort._counts_before(anchor)
    gone = [n for n in dated if n in fresh and np.isnan(fresh[n]).all() and frame[n].notna().any()]
    if gone:
        raise DataError(
            f"covariates: {', '.join(gone)} cannot be counted in the 12 months before the panel starts: "
            "they are not observed then. Start the panel a year later, or leave them out."
        )
    found = {n: fresh[n] for n in dated if n in fresh}
    note = f"{', '.join(found)} taken on the first day of the panel, the same day for everyone."
    return frame.assign(**found), [note] if found else []


def clusters_of(cohort: Cohort, cluster: str | None) -> tuple[NDArray[Any], list[str]]:
    """Return the groups whose members may be alike, and a note on who is a group of their own."""
    if cluster is None:
        return cohort.person_id, []
    codes, groups = pd.factorize(cohort.people[cluster], sort=True)
    alone = codes < 0
    codes = np.where(alone, len(groups) + np.cumsum(alone) - 1, codes)
    missing = int(alone.sum())
    if not missing:
        return codes, []
    # A small number of people would itself have to be withheld.
    said = f"{missing} people" if missing >= 10 else "Fewer than 10 people"
    return codes, [f"{said} without {cluster} each count as a group of their own."]


def _assumed(cohort: Cohort, outcomes: list[str]) -> list[str]:
    assert cohort._store is not None
    rows = cohort._store.con.execute("SELECT service FROM assumed ORDER BY 1").fetchall()
    wanted = {s for name in outcomes for s in DERIVED_OUTCOMES.get(name, (name,))}
    names = [s for (s,) in rows if s in wanted]
    if not names:
        return []
    return [
        f"No coverage was given for {', '.join(names)}: taken as observed from the first to the last contact."
    ]
