"""Ready-made long panels: any unit (person, practice, trust) by period."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from impact.data.cohort import Cohort
from impact.data.flow import flow_of
from impact.data.panel import Array, Clock, Panel
from impact.data.windows import Month, Period, Window
from impact.errors import DataError, DesignError, ParameterError, nearest, together
from impact.results import Summary


@dataclass(frozen=True, eq=False)
class LongData:
    """A long table, one row a unit and period, checked and typed.

    Parameters
    ----------
    frame : DataFrame
        Columns ``unit``, ``period``, ``first_treated``, the outcomes, ``exposure`` in months if there is one,
        ``cluster``, ``arm``, ``ended`` and the covariates.
    outcomes : tuple of str
    covariates : tuple of str
    per : str
        Unit of a rate: per 1,000 person-months, or without exposure such as ``per trust and month``.
    checks, flow : Summary
    """

    frame: pd.DataFrame
    outcomes: tuple[str, ...]
    covariates: tuple[str, ...]
    per: str
    checks: Summary
    flow: Summary

    def __repr__(self) -> str:
        """Say what the table holds, and no row of it."""
        return f"LongData({self.frame['unit'].nunique()} units, outcomes: {', '.join(self.outcomes)})"

    @property
    def quality(self) -> pd.DataFrame:
        """What each check of the data found: ``table, column, rule, severity, count, action``."""
        return self.checks.table

    def panel(
        self,
        *,
        outcomes: Sequence[str] | None = None,
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
        """Make the panel, units by periods; the arguments are those of ``Cohort.panel``.

        The file's own periods are kept, so ``period`` must be 'month', and there is only calendar time:
        ``months_before`` and ``months_after`` do not apply, and ``follow_up`` counts periods. ``start`` and
        ``end`` bound the periods (numbers where the file's periods are numbers).

        Raises
        ------
        DesignError
            If nothing says who is treated when, an outcome never happens, or quarters or event time are
            asked for.
        """
        if period != "month" or clock != "calendar":
            raise DesignError(
                "A ready-made panel keeps its own periods and calendar time; pool the file first."
            )
        if "first_treated" not in self.frame:
            raise DesignError(
                "Nothing says when support started: name a first_treated column, an arm column with its "
                "treated and control arms, or draw pretend starts with with_placebo."
            )
        names = self._known(list(self.outcomes if outcomes is None else outcomes))
        frame = self._between(start, end)
        groups = "cluster" if "cluster" in frame else None
        if cluster is not None:
            groups = self._columns("cluster", [cluster])[0]
        panel = Panel.from_long(
            frame,
            unit="unit",
            period="period",
            outcomes=names,
            first_treated="first_treated",
            exposure="exposure" if "exposure" in frame else None,
            covariates=self._columns("covariates", covariates),
            cluster=groups,
            arm="arm" if "arm" in frame else None,
            ended="ended" if "ended" in frame else None,
        )
        if never := [name for name in names if not panel.outcomes[name].any()]:
            raise DesignError(f"outcomes: {', '.join(map(repr, never))} never happens; leave it out.")
        panel = replace(panel, per=self.per)
        return panel if follow_up is None else panel.followed_for(follow_up)

    def cohort(
        self, *, outcomes: Sequence[str] | None = None, baseline: Literal["first"] = "first"
    ) -> Cohort:
        """Make one row a unit: outcomes and time summed over all periods, covariates of the first.

        For studies without a before period, such as randomised enrolment; treated are units whose support
        begins by their first period.

        Returns
        -------
        Cohort
            Its ``exposure`` is in months, per outcome: periods without the outcome's value are left out.
        """
        if baseline != "first":
            raise ParameterError(f"baseline={baseline!r}: only 'first' exists.")
        if "first_treated" not in self.frame:
            raise DesignError(
                "Nothing says who is treated: name an arm column with treated and control arms."
            )
        names = self._known(list(self.outcomes if outcomes is None else outcomes))
        begins = self.frame.groupby("unit")["period"].transform("min")
        if (self.frame["first_treated"] > begins).any():
            raise DesignError("Some units have periods before support: use a difference-in-differences.")
        frame = self.frame.sort_values(["unit", "period"], kind="stable")
        time = frame["exposure"] if "exposure" in frame else pd.Series(1.0, frame.index)
        sums = {}
        for name in names:
            seen = frame[name].notna() & (time > 0)
            sums[name] = frame[name].where(seen, 0)
            sums[f"exposure_{name}"] = time.where(seen, 0)
        total = pd.DataFrame(sums).groupby(frame["unit"].to_numpy(), sort=True).sum()
        first = frame.drop_duplicates("unit").set_index("unit").loc[total.index]
        people = first[[*self.covariates, *(c for c in ("arm", "cluster") if c in first)]].reset_index(
            drop=True
        )
        is_treated = first["first_treated"].notna().to_numpy()
        people = people.assign(person_id=np.asarray(total.index), treated=is_treated)
        return Cohort(
            people=people,
            treated=is_treated,
            checks=self.checks,
            flow=self.flow,
            outcomes={n: total[n].to_numpy(float) for n in names},
            exposure={n: total[f"exposure_{n}"].to_numpy(float) for n in names},
        )

    def at_baseline(
        self,
        *,
        outcomes: Sequence[str] | None = None,
        index_date: str = "drawn",
        seed: int = 0,
        months: int = 12,
    ) -> Cohort:
        """Make one row a unit: what happened in the ``months`` periods after support began.

        Units without support are counted from a start drawn by ``seed``; where nobody has a period before
        support, from their first period on, however long (``cohort``).
        """
        first = self.frame.groupby("unit")["period"].transform("min")
        if not (self.frame["first_treated"] > first).any():
            return self.cohort(outcomes=outcomes)
        panel = self.around_start(
            outcomes=outcomes,
            index_date=index_date,
            seed=seed,
            months_before=0,
            months_after=months,
            covariates=self.covariates,
        )
        followed = np.any([(time > 0).any(axis=1) for time in panel.exposure.values()], axis=0)
        people = panel.covariates.assign(person_id=panel.unit, treated=panel.treated, arm=panel.arm)
        return Cohort(
            people=people,
            treated=panel.treated,
            checks=self.checks,
            flow=self.flow,
            outcomes={k: v.sum(axis=1) for k, v in panel.outcomes.items()},
            exposure={k: v.sum(axis=1) for k, v in panel.exposure.items()},
        ).subset(np.flatnonzero(followed))

    def losses(self) -> Summary:
        """Count the units that are not observed to the last period, by whether they had support."""
        last = self.frame.groupby("unit")["period"].max() < self.frame["period"].max()
        had = self.frame.groupby("unit")["first_treated"].first().notna()
        table = pd.DataFrame({"arm": np.where(had, "supported", "control"), "persons": 1, "left_early": last})
        table = table.groupby("arm", sort=False)[["persons", "left_early"]].sum().astype(int).reset_index()
        method = {"shows": "who stopped being observed early", "per": self.per}
        return Summary(table, method, people=("persons", "left_early"))

    def around_start(
        self,
        *,
        index_date: str = "drawn",
        seed: int = 0,
        months_before: int = 12,
        months_after: int = 12,
        **window: Any,
    ) -> Panel:
        """Make the panel in periods from the start of support; units without it draw one of the starts.

        ``window`` holds further arguments of ``panel``. ``index_date`` has one meaning here: 'drawn'.
        """
        panel = self.panel(**window)
        own = (panel.start >= 0) & panel.treated
        if not own.any():
            raise DesignError("No unit begins support within the panel, so there is no before and after.")
        drawn = np.random.default_rng(seed).choice(np.sort(panel.start[own]), size=panel.n)
        start = np.where(panel.treated, panel.start, drawn)[:, None]
        times = np.arange(-months_before, months_after)
        at = start + times
        inside = (at >= 0) & (at < len(panel.periods)) & (start >= 0)
        at = np.where(inside, at, 0)

        def shifted(values: Mapping[str, Array]) -> dict[str, Array]:
            return {k: np.where(inside, np.take_along_axis(v, at, 1), 0.0) for k, v in values.items()}

        # Nobody left who was still observed in the last period, whenever that was for them.
        to_the_end = np.any([time[:, -1] > 0 for time in panel.exposure.values()], axis=0)
        why = np.full(panel.n, "unknown", object) if panel.ended is None else panel.ended
        return replace(
            panel,
            periods=pd.Index(times),
            outcomes=shifted(panel.outcomes),
            exposure=shifted(panel.exposure),
            start=np.where(panel.treated, months_before, len(times)),
            clock="event",
            ended=np.where(to_the_end, "", why),
        )

    def with_placebo(
        self, *, share: float, start: Month | None = None, end: Month | None = None, seed: int = 0
    ) -> LongData:
        """Draw pretend starts of support, for data in which there was none.

        Parameters
        ----------
        share : float
            Share of the units that pretend to be treated, above 0 and below 1.
        start, end : date or 'YYYY-MM'
            First and last period in which a pretend start may fall, both included.
        seed : int
            Of the draw, which does not depend on the order of the rows.

        Examples
        --------
        >>> from impact.data import read_panel
        >>> months = pd.date_range("2024-01-01", periods=6, freq="MS").strftime("%Y-%m-%d")
        >>> frame = pd.DataFrame({"trust": np.repeat(list("ABCD"), 6), "month": [*months] * 4, "visits": 5})
        >>> data = read_panel(file=frame, unit="trust", period="month", outcomes=["visits"])
        >>> panel = data.with_placebo(share=0.5, start="2024-03", end="2024-05", seed=1).panel()
        >>> int(panel.treated.sum()), panel.per
        (2, 'per trust and month')
        """
        if not 0 < share < 1:
            raise ParameterError(f"share={share}: it must lie above 0 and below 1.")
        units = np.sort(self.frame["unit"].unique())
        possible = np.sort(self._between(start, end)["period"].unique())
        n = round(share * len(units))
        if not 0 < n < len(units):
            raise DesignError(
                f"share={share} of {len(units)} units leaves nobody treated, or nobody to compare."
            )
        rng = np.random.default_rng(seed)
        chosen = rng.choice(len(units), size=n, replace=False)
        first = pd.Series(possible[rng.integers(len(possible), size=n)], index=units[chosen])
        frame = self.frame.assign(first_treated=self.frame["unit"].map(first))
        steps = list(self.flow.table.iloc[:-2].itertuples(index=False, name=None))
        return replace(self, frame=frame, flow=units_flow(frame, steps, self.per))

    def _known(self, names: list[str]) -> list[str]:
        if problems := [
            f"outcome={n!r}: the panel holds {', '.join(self.outcomes)}.{nearest(n, self.outcomes)}"
            for n in names
            if n not in self.outcomes
        ]:
            raise DataError(together(problems))
        return names

    def _columns(self, argument: str, names: Sequence[str]) -> list[str]:
        if problems := [
            f"{argument}: column {n!r} was not read; list it under data.panel.covariates."
            f"{nearest(n, self.covariates)}"
            for n in names
            if n not in self.covariates
        ]:
            raise DataError(together(problems))
        return list(names)

    def _between(self, start: Month | None, end: Month | None) -> pd.DataFrame:
        period = self.frame["period"]
        keep = np.ones(len(period), bool)
        if pd.api.types.is_numeric_dtype(period):
            keep &= (period >= start).to_numpy() if start is not None else True
            keep &= (period <= end).to_numpy() if end is not None else True
        else:
            window = Window.of("month", start, end, "calendar", 0, 1)
            month = period.to_numpy("datetime64[ns]").astype("M8[M]")
            keep &= month >= window.start if window.start is not None else True
            keep &= month <= window.end if window.end is not None else True
        if not keep.any():
            raise DesignError(
                f"No period lies from {start} to {end}; the file has {period.min()} to {period.max()}."
            )
        return self.frame[keep]


def units_flow(frame: pd.DataFrame, steps: Sequence[tuple[Any, ...]], per: str) -> Summary:
    """Return the units in the file, those left out, and those in the study by arm."""
    treated = np.zeros(frame["unit"].nunique(), bool)
    if "first_treated" in frame:
        treated = frame.drop_duplicates("unit")["first_treated"].notna().to_numpy()
    flow = flow_of(steps, treated)
    return replace(flow, method={**flow.method, "per": per})
