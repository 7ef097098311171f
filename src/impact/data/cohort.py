"""The study population: who is in it, why others are not, and its panels of counts and person-time.

Time at risk runs from the latest of tenancy start and coverage start to the earliest of death, move, end of
tenancy and end of coverage, all of these days included; for a control who is supported later, to the day
before. A month without a contact is zero only where the service is observed and the person is at risk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data import persontime
from impact.data.flow import QUALITY, flow_of, quality_of
from impact.data.ingest import Store
from impact.data.panel import Array, Clock, Panel
from impact.data.persontime import Days, Grid, Risk
from impact.data.windows import Month, Period, Window, build_panel
from impact.errors import DataError, DesignError, ParameterError, nearest, together
from impact.results import Summary

IndexRule = Literal["drawn", "offer_date", "partner"]


_DRAWS = 50


@dataclass(frozen=True, eq=False)
class Cohort:
    """The people of a study, one row each, in the order of their identifiers.

    Parameters
    ----------
    people : DataFrame
        Columns of the contract that the file holds, further columns of the user, and ``treated``,
        ``index_date``, ``age``, ``imd_fifth``, ``prior_<service>``, ``observed_from``, ``observed_to``.
    treated : array (n,) of bool
    checks : Summary
        A row for each rule: ``table, column, rule, severity, count, action``.
    flow : Summary
        From everyone in the file to the study: ``stage, rule, persons``.
    outcomes, exposure : mapping of outcome to array (n,)
        Counts and months at risk after the index date, filled by ``follow_up`` or ``from_frame``.
    """

    people: pd.DataFrame
    treated: NDArray[np.bool_]
    checks: Summary
    flow: Summary
    outcomes: Mapping[str, Array] = field(default_factory=dict)
    exposure: Mapping[str, Array] = field(default_factory=dict)
    _store: Store | None = field(default=None, repr=False)
    _pid: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)

    @property
    def person_id(self) -> NDArray[Any]:
        """Identifiers, (n,)."""
        return np.asarray(self.people["person_id"])

    @property
    def quality(self) -> pd.DataFrame:
        """What each check of the data found: ``table, column, rule, severity, count, action``."""
        return self.checks.table

    @property
    def table(self) -> pd.DataFrame:
        """``people``, with ``<outcome>`` and ``exposure_<outcome>`` once there is a follow-up."""
        more = {k: v for k, v in self.outcomes.items() if k not in self.people}
        more |= {f"exposure_{k}": v for k, v in self.exposure.items() if f"exposure_{k}" not in self.people}
        return self.people.assign(**more)

    def __len__(self) -> int:
        return len(self.people)

    def __repr__(self) -> str:
        """Say how many people there are, and no row of theirs."""
        return f"Cohort({len(self)}, {int(self.treated.sum())} of them treated)"

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        treated: str,
        person_id: str | None = None,
        outcomes: Sequence[str] = (),
        exposure: str | None = None,
    ) -> Cohort:
        """Make a cohort from anyone's data frame, one row a person.

        Parameters
        ----------
        frame : DataFrame
        treated : str
            Column of 0 and 1, or true and false.
        person_id : str, optional
            Column that names the person; without it, rows are numbered.
        outcomes : sequence of str
            Columns with counts after the index date.
        exposure : str, optional
            Column with the months at risk; without it everyone counts as 1.

        Raises
        ------
        DataError
            For a missing column, a treated column that is not 0 and 1, repeated people, or outcomes and
            times that are not numbers or are negative; all problems together.

        Examples
        --------
        >>> frame = pd.DataFrame({"had_support": [1, 0, 0], "falls": [2, 1, 4], "months": [12, 12, 6]})
        >>> cohort = Cohort.from_frame(frame, treated="had_support", outcomes=["falls"], exposure="months")
        >>> cohort.treated.tolist(), cohort.exposure["falls"].tolist()
        ([True, False, False], [12.0, 12.0, 6.0])
        """
        wanted = [treated, *([person_id] if person_id else []), *outcomes, *([exposure] if exposure else [])]
        problems = [
            f"column {c!r} is not in the data.{nearest(c, frame.columns)}" for c in wanted if c not in frame
        ]
        if problems:
            raise DataError(together(problems))
        values = [*outcomes, *([exposure] if exposure else [])]
        number = {c: np.asarray(pd.to_numeric(frame[c], errors="coerce"), float) for c in {treated, *values}}
        if not np.isin(number[treated], [0, 1]).all():
            problems.append(f"{treated}: holds other values than 0 and 1.")
        for name in values:
            if bad := int((~(number[name] >= 0)).sum()):
                problems.append(f"{name}: {bad} rows are missing, negative or not numbers.")
        ids = frame[person_id] if person_id else pd.Series(np.arange(len(frame)))
        if repeated := int((ids.duplicated() | ids.isna()).sum()):
            problems.append(f"{person_id}: {repeated} rows repeat a person, or have none.")
        if problems:
            raise DataError(together(problems))
        is_treated = number[treated] == 1
        time = number[exposure] if exposure else np.ones(len(frame))
        return cls(
            people=frame.reset_index(drop=True)
            .infer_objects()
            .assign(person_id=np.asarray(ids), treated=is_treated),
            treated=is_treated,
            checks=quality_of(pd.DataFrame(columns=QUALITY)),
            flow=flow_of([("in the file", "", len(frame))], is_treated),
            outcomes={name: number[name] for name in outcomes},
            exposure=dict.fromkeys(outcomes, time),
        )

    def subset(self, rows: NDArray[Any]) -> Cohort:
        """Keep the people in ``rows`` (a mask or positions)."""
        at = np.arange(len(self))[rows]
        return replace(
            self,
            people=self.people.iloc[at].reset_index(drop=True),
            treated=self.treated[at],
            outcomes={k: v[at] for k, v in self.outcomes.items()},
            exposure={k: v[at] for k, v in self.exposure.items()},
            _pid=self._pid[at] if len(self._pid) else self._pid,
        )

    def at(self, dates: pd.Series) -> Cohort:
        """Set index dates, and count age and prior use again at them.

        Parameters
        ----------
        dates : Series of dates, indexed by ``person_id``
            People who are not in it keep the date they have. A person with a date on which they are not at
            risk (not alive, a tenant, observed, and for controls not yet supported) is left out and counted
            in ``flow``.

        Returns
        -------
        Cohort
            Without the outcomes of an earlier follow-up, which belonged to the earlier dates.
        """
        unknown = int((~dates.index.isin(self.person_id)).sum())
        if unknown:
            raise DataError(f"dates: {unknown} people are not in the cohort.")
        given = pd.to_datetime(dates).astype("datetime64[ns]").reindex(self.person_id).to_numpy()
        index = np.where(np.isnat(given), self.people["index_date"].to_numpy("datetime64[ns]"), given)
        out = replace(self, people=self.people.assign(index_date=index), outcomes={}, exposure={})
        keep = np.isnat(index) | out._at_risk_on(index)
        return out._kept(keep, "not at risk on the index date")._derived()

    def with_index_dates(self, *, rule: IndexRule = "drawn", seed: int = 0) -> Cohort:
        """Give everyone an index date, so that treated and controls are described at like times.

        Parameters
        ----------
        rule : 'drawn', 'offer_date' or 'partner'
            'drawn': the treated keep the start of their support, and each control draws one of these dates,
            again (up to 50 times) if they were not at risk on it. 'offer_date': everyone, treated or not,
            counts from the day they were offered support, as in a trial. 'partner': as 'drawn', until people
            are matched and ``impact.interpret.matched`` gives each control its partner's date.
        seed : int
            Of the draws. They do not depend on the order of the file.

        Returns
        -------
        Cohort
            People without a date on which they were alive, tenants, observed and unsupported are left out
            and counted in ``flow``: nobody is followed from a date they had to survive to.

        References
        ----------
        Hernan, M. A. and Robins, J. M. (2016). Using big data to emulate a target trial. American Journal of
        Epidemiology 183, 758-764 (immortal time).
        """
        self._needs_store("with_index_dates")
        if rule == "offer_date":
            dates = self.people.get("offer_date", pd.Series(pd.NaT, index=self.people.index))
            blank = self._without_dates(np.ones(len(self), bool))
            dated = blank._kept(dates.notna().to_numpy(), "no offer date")
            chosen = pd.Series(dates.to_numpy("datetime64[ns]"), index=self.person_id).dropna()
            return dated.at(chosen)
        if rule not in get_args(IndexRule):
            known = ", ".join(map(repr, get_args(IndexRule)))
            raise ParameterError(f"rule={rule!r}: use one of {known}.{nearest(rule, get_args(IndexRule))}")
        index = self.people["index_date"].to_numpy("datetime64[ns]").copy()
        pool = np.sort(index[self.treated & ~np.isnat(index)])
        if not len(pool):
            raise DesignError("Nobody treated has an index date to draw from.")
        if not (self.treated & self._at_risk_on(index)).any():
            raise DesignError(
                "Nobody treated was observed, alive and a tenant on the day their support began: look at the "
                "start dates and the coverage."
            )
        rng = np.random.default_rng(seed)
        controls = ~self.treated
        index[controls] = np.datetime64("NaT")
        for _ in range(_DRAWS):
            # Everyone draws every time, so that one person's date does not hang on the others' luck.
            draw = pool[rng.integers(len(pool), size=len(self))]
            take = np.isnat(index) & controls & self._at_risk_on(draw)
            index[take] = draw[take]
        blank = self._without_dates(controls)
        dated = blank._kept(~(np.isnat(index) & controls), "control not at risk on any date drawn")
        chosen = pd.Series(index, index=self.person_id).dropna()
        return dated.at(chosen)

    def follow_up(self, *, outcomes: Sequence[str], months: int = 12, washout: int = 0) -> Cohort:
        """Count each outcome and the months at risk from the index date on.

        Parameters
        ----------
        outcomes : sequence of str
            Services of the contacts, or ``bed_days``.
        months : int
            Length of the follow-up from the index date, whose first ``washout`` months are left out.

        Returns
        -------
        Cohort
            With ``outcomes`` and ``exposure`` (months) filled; both are in ``table``.
        """
        store = self._needs_store("follow_up")
        if not 0 <= washout < months:
            raise ParameterError(f"washout={washout}: it must be from 0 to below months={months}.")
        risk = self._risk(self._dates("follow_up"))
        counts, time = persontime.measure(store.con, risk, Grid(washout, months - washout, 1), outcomes)
        return replace(
            self,
            outcomes={k: v[:, 0] for k, v in counts.items()},
            exposure={k: v[:, 0] for k, v in time.items()},
        )

    def at_baseline(
        self, *, outcomes: Sequence[str], index_date: IndexRule = "drawn", seed: int = 0, months: int = 12
    ) -> Cohort:
        """Give everyone an index date and count the outcomes in the ``months`` after it, for matching."""
        return self.with_index_dates(rule=index_date, seed=seed).follow_up(outcomes=outcomes, months=months)

    def around_start(self, *, index_date: IndexRule = "drawn", seed: int = 0, **window: Any) -> Panel:
        """Give everyone an index date and make the panel in months from it; ``window`` as in ``panel``."""
        return self.with_index_dates(rule=index_date, seed=seed).panel(**window, clock="event")

    def panel(
        self,
        *,
        outcomes: Sequence[str],
        period: Period = "month",
        start: Month | None = None,
        end: Month | None = None,
        clock: Clock = "calendar",
        months_before: int = 12,
        months_after: int = 12,
        covariates: Sequence[str] = (),
        cluster: str | None = None,
        follow_up: int | None = None,
    ) -> Panel:
        """Make the panel of counts and person-time, people by periods.

        Parameters
        ----------
        outcomes : sequence of str
            Services of the contacts, or ``bed_days`` (nights of emergency and elective stays, overlaps
            merged, split over periods, none for a stay of one day).
        period : 'month' or 'quarter'
            Calendar quarters on the calendar clock, three months from the index date on the event clock.
        start, end : date or 'YYYY-MM', optional
            First and last month, both included; without them, the months in which the outcomes are observed.
            On the event clock people whose index date lies outside have no time at risk.
        clock : 'calendar' or 'event'
            Event time counts months from the index date, which begins month 0; everyone then needs one.
        months_before, months_after : int
            Months of event time before the index date, and from it on.
        covariates : sequence of str
            Columns of ``people``. On the calendar clock ``age`` and ``prior_<service>`` are taken on the
            first day of the panel, the same day for all, so that none is measured after support began.
        cluster : str, optional
            Column whose groups may be alike, such as ``building_id``; a person without one is a group of
            their own. Without it every person is.
        follow_up : int, optional
            Months of support that count, from the month or quarter in which it began; without it, all.

        Returns
        -------
        Panel
            Exposure in months of 30.4375 days; 0 where the person is not at risk or the service is not
            observed. In calendar time the month in which support starts counts as supported.

        Raises
        ------
        DataError
            For an outcome, covariate or cluster the data do not hold.
        DesignError
            If an outcome never happens, or nobody begins support within the panel.
        """
        self._needs_store("panel")
        window = Window.of(period, start, end, clock, months_before, months_after)
        panel = build_panel(
            self, outcomes=list(outcomes), window=window, covariates=covariates, cluster=cluster
        )
        return panel if follow_up is None else panel.followed_for(-(-follow_up // window.step))

    def losses(self) -> Summary:
        """Count deaths, moves and ended tenancies within the time people were observed, by support or none.

        Rates are rates while alive and a tenant (METHODS 1), so these counts stand beside every effect.
        """
        self._needs_store("losses")
        columns = {"died": "died", "moved_out": "moved_out", "tenancy_ended": "tenancy_end"}
        never = pd.Series(pd.NaT, self.people.index)
        last = self.people["observed_to"]
        gone = {name: self.people.get(column, never) <= last for name, column in columns.items()}
        arm = np.where(self.treated, "supported", "control")
        frame = pd.DataFrame({"arm": arm, "persons": 1, **gone})
        table = frame.groupby("arm", sort=False).sum().astype(int).reset_index()
        return Summary(
            table, {"shows": "deaths, moves and ended tenancies by arm"}, people=("persons", *gone)
        )

    def _needs_store(self, method: str) -> Store:
        if self._store is None:
            raise DesignError(f"{method}: this cohort was made from a frame and holds no contacts.")
        return self._store

    def _dates(self, method: str) -> Days:
        index = self.people["index_date"].to_numpy("datetime64[ns]").astype("M8[D]")
        if missing := int(np.isnat(index).sum()):
            raise DesignError(
                f"{method}: {missing} people have no index date; use cohort.with_index_dates(seed=...) first."
            )
        return index

    def _risk(self, anchor: Days) -> Risk:
        lo, hi = (
            self.people[c].to_numpy("datetime64[ns]").astype("M8[D]")
            for c in ("observed_from", "observed_to")
        )
        return Risk(self._pid, self.people["arm"].to_numpy(str), anchor, lo, hi + np.timedelta64(1, "D"))

    def _at_risk_on(self, day: NDArray[Any]) -> NDArray[np.bool_]:
        first, last = (self.people[c].to_numpy("datetime64[ns]") for c in ("observed_from", "observed_to"))
        return np.asarray((first <= day) & (day <= last))

    def _without_dates(self, rows: NDArray[np.bool_]) -> Cohort:
        return replace(self, people=self.people.assign(index_date=self.people["index_date"].mask(rows)))

    def _kept(self, keep: NDArray[np.bool_], reason: str) -> Cohort:
        if keep.all():
            return self
        steps = [tuple(row) for row in self.flow.table.iloc[:-2].itertuples(index=False)]
        out = self.subset(keep)
        return replace(out, flow=flow_of([*steps, ("left out", reason, int((~keep).sum()))], out.treated))

    def _derived(self) -> Cohort:
        """Count age and prior use again, at the index dates."""
        assert self._store is not None
        index = self.people["index_date"].to_numpy("datetime64[ns]").astype("M8[D]")
        more = persontime.derived(self._store.con, self.people, self._pid, index)
        return replace(self, people=self.people.assign(**more))
