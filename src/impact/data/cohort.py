"""The study population: who is in it, why others are not, and its panels of counts and person-time.

Time at risk runs from the latest of tenancy start and coverage start to the earliest of death, move, end of
tenancy and end of coverage, all of these days included; for a control who is supported later, to the day
before. A month without a contact is zero only where the service is observed and the person is at risk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data import index_dates, persontime
from impact.data.flow import QUALITY, flow_of, losses_of, quality_of
from impact.data.frames import read_frame
from impact.data.history import History, Scale
from impact.data.households import households
from impact.data.index_dates import Dating, IndexRule
from impact.data.ingest import Store
from impact.data.panel import Array, Clock, Panel
from impact.data.persontime import Days, Grid, Risk
from impact.data.windows import Month, Period, Window, build_panel
from impact.errors import DesignError, ParameterError
from impact.results import Summary


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
    histories : tuple
        Counts before the index date that ``with_history`` added, to be made again at other dates.
    """

    people: pd.DataFrame
    treated: NDArray[np.bool_]
    checks: Summary
    flow: Summary
    outcomes: Mapping[str, Array] = field(default_factory=dict)
    exposure: Mapping[str, Array] = field(default_factory=dict)
    histories: tuple[History, ...] = ()
    _store: Store | None = field(default=None, repr=False)
    _pid: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)

    @property
    def person_id(self) -> NDArray[Any]:
        """Identifiers, (n,)."""
        return np.asarray(self.people["person_id"])

    @property
    def person(self) -> NDArray[np.int64]:
        """A number for the person of each row, (n,): one who is matched at several dates has several rows."""
        return self._pid if len(self._pid) else np.arange(len(self))

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
            For a missing column, a treated column that is not 0 and 1, repeated people, outcomes and times
            that are not numbers or are negative, or events without time at risk; all problems together.

        Examples
        --------
        >>> frame = pd.DataFrame({"had_support": [1, 0, 0], "falls": [2, 1, 4], "months": [12, 12, 6]})
        >>> cohort = Cohort.from_frame(frame, treated="had_support", outcomes=["falls"], exposure="months")
        >>> cohort.treated.tolist(), cohort.exposure["falls"].tolist()
        ([True, False, False], [12.0, 12.0, 6.0])
        """
        ids, number = read_frame(frame, treated, person_id, list(outcomes), exposure)
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

    def at(self, dates: pd.Series, *, months_before: int = 0) -> Cohort:
        """Set index dates, and count age and prior use again at them.

        Parameters
        ----------
        dates : Series of dates, indexed by ``person_id``
            People who are not in it keep the date they have. A person with a date on which they are not
            eligible (alive, a tenant, observed, and for controls not yet supported) is left out and counted
            in ``flow``, a row for each rule.
        months_before : int
            Months before the date through which everyone must have been observed.

        Returns
        -------
        Cohort
            Without the outcomes of an earlier follow-up, which belonged to the earlier dates.
        """
        return index_dates.at(self, dates, months_before)

    def with_index_dates(
        self,
        *,
        rule: IndexRule = "drawn",
        within: Sequence[str] = (),
        month: Month | None = None,
        months_before: int = 0,
        seed: int = 0,
    ) -> Cohort:
        """Give everyone an index date, so that treated and controls are described at like times.

        Parameters
        ----------
        rule : 'drawn', 'offer_date', 'partner' or 'period'
            'drawn': the treated keep the start of their support, and each control draws one of these dates,
            again (up to 50 times) if they were not at risk on it. 'offer_date': everyone, treated or not,
            counts from the day they were offered support, as in a trial. 'partner': as 'drawn', until people
            are matched and ``impact.interpret.matched`` gives each control its partner's date. 'period': the
            supported are those who start in ``month``, from their start; everyone not yet supported then is
            a control from the first day of the month to the day before any support of their own. For every
            month of support at once see ``match.risk_set``.
        within : sequence of str
            Columns of ``people``: controls draw from the dates of the treated who equal them in all of these.
        month : date or 'YYYY-MM', optional
            Of the rule 'period'.
        months_before : int
            Months before the date through which everyone must have been observed, treated or not.
        seed : int
            Of the draws. They do not depend on the order of the file.

        Returns
        -------
        Cohort
            People without a date on which they were alive, tenants, observed and unsupported are left out
            and counted in ``flow``, a row for each rule (of the first date drawn, for who drew none that
            would do): nobody is followed from a date they had to survive to.

        Raises
        ------
        ParameterError, DataError, DesignError
            For arguments that do not go together, unknown columns, and dates nobody treated has.
        """
        self._needs_store("with_index_dates")
        return index_dates.with_index_dates(
            self, rule=rule, within=within, month=month, months_before=months_before, seed=seed
        )

    def with_history(
        self, services: Sequence[str], *, months: int = 24, by: int = 3, scale: Scale = "count"
    ) -> Cohort:
        """Add counts of periods before the index date, their trend and how far the latest stands out.

        Parameters
        ----------
        services : sequence of str
            Services of the contacts, or ``bed_days``.
        months, by : int
            How far back, and how many months a period has.
        scale : 'count', 'log1p' or 'sqrt'
            What the columns hold: the count, the logarithm of one more, or the square root.

        Returns
        -------
        Cohort
            With ``prior_<service>_q1`` (the three months just before the date) to ``_q8``, ``_m1`` on by
            single months, ``_p1`` on by others; ``trend_<service>``, the slope a period of a line through
            them; and ``latest_<service>``, the latest less the mean of those before. Other scales stand in
            the names: ``prior_log1p_<service>_q1``. Missing where the service was not observed throughout.
            They are counted again when the dates change.

        Raises
        ------
        ParameterError, DataError
            For periods that do not fill the months, and services the data do not hold.
        """
        self._needs_store("with_history")
        asked = History(tuple([services] if isinstance(services, str) else services), months, by, scale)
        return replace(self, histories=(*self.histories, asked))._counted()

    def follow_up(self, *, outcomes: Sequence[str], months: int = 12, washout: int = 0) -> Cohort:
        """Count each outcome and the months at risk from the index date on, into the table.

        Parameters
        ----------
        outcomes : sequence of str
            Services of the contacts, or ``bed_days``.
        months : int
            Length of the follow-up from the index date, whose first ``washout`` months are left out.
        """
        store = self._needs_store("follow_up")
        if not 0 <= washout < months:
            raise ParameterError(f"washout={washout}: it must be from 0 to below months={months}.")
        risk = self._risk(self._dates("follow_up"))
        counts, time = persontime.measure(store, risk, Grid(washout, months - washout, 1), outcomes)
        return replace(
            self,
            outcomes={k: v[:, 0] for k, v in counts.items()},
            exposure={k: v[:, 0] for k, v in time.items()},
        )

    def at_baseline(
        self,
        *,
        outcomes: Sequence[str],
        index_date: Dating = "drawn",
        seed: int = 0,
        months: int = 12,
        history: Mapping[str, Any] | None = None,
        unit: str | None = None,
    ) -> Cohort:
        """Give everyone an index date and count the outcomes in the ``months`` after it, for matching.

        ``index_date`` is a rule, or the arguments of ``with_index_dates`` by name; ``history`` those of
        ``with_history``; ``unit`` is the column of the households that are matched in place of people.
        """
        people = self if history is None else self.with_history(**history)
        dated = people.with_index_dates(**index_dates.arguments(index_date), seed=seed)
        if unit is not None:
            return households(dated, by=unit, outcomes=outcomes, months=months)
        # A study of what people said counts no services.
        return dated.follow_up(outcomes=outcomes, months=months) if outcomes else dated

    def around_start(self, *, index_date: Dating = "drawn", seed: int = 0, **window: Any) -> Panel:
        """Give everyone an index date and make the panel in months from it; ``window`` as in ``panel``."""
        dated = self.with_index_dates(**index_dates.arguments(index_date), seed=seed)
        return dated.panel(**window, clock="event")

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
        return losses_of(self.people, self.treated)

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

    def _counted(self) -> Cohort:
        """Count age and prior use again, at the index dates."""
        index = self.people["index_date"].to_numpy("datetime64[ns]").astype("M8[D]")
        return replace(self, people=self.people.assign(**self._counts_before(index)))

    def _counts_before(self, day: Days) -> dict[str, Array]:
        """Age and prior use of each person on a day."""
        store = self._needs_store("prior use")
        out = persontime.derived(store, self.people, self._pid, day)
        for one in self.histories:
            out |= one.of(store, self.people, self._pid, day)
        return out
