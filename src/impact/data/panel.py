"""The panel: arrays of outcomes and person-time, one row a person (or practice, or trust)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.ends import ended_of, ended_problems
from impact.data.periods import ordered, starts, step_of
from impact.errors import DataError, nearest, together

Array = NDArray[np.float64]
Clock = Literal["calendar", "event"]


@dataclass(frozen=True, eq=False)
class Panel:
    """Outcomes and person-time at risk, people by periods.

    Parameters
    ----------
    unit : array (n,)
        Identifier of each person or organisation; kept in memory, never shown.
    periods : Index (T,)
        The periods in order: dates on the calendar clock, months from the index date on the event clock.
    outcomes, exposure : mapping of outcome name to array (n, T)
        Counts (or values) and time at risk. Exposure 0 means not at risk; the outcome there is 0.
    start : array (n,) of int
        Position in ``periods`` of the first supported period; ``len(periods)`` for people not supported
        within the panel, and negative where support began before it.
    treated : array (n,) of bool
        Whether the person ever belongs to the supported.
    covariates : DataFrame, n rows
    cluster : array (n,)
    weights : array (n,)
    arm : array (n,)
    clock : 'calendar' or 'event'
    rate_scale : float
        What a rate is multiplied by: 1000 where exposure is person-time in months, 1 where there is none.
    per : str
        The unit of a rate, for tables: ``per 1,000 person-months``.
    step : str
        What one period is: ``month``, ``quarter``, ``year`` or, where it is not known, ``period``.
    notes : tuple of str
        What was assumed or left out when the panel was built.
    begins : array (n,) of int, optional
        Position at which support begins even if that is after the last period (a huge number if it does not):
        who begins soon after the panel may already be in the build-up to it.
    censoring_weights : array (n, T), optional
        One over the probability of still being observed, for moving, opting out and lost linkage (not for
        death): see ``impact.did.censoring_weights``.
    ended : array (n,) of str, optional
        Why each person's time at risk ended: 'death', 'move', 'tenancy' (its end), 'support' (of a control),
        'follow-up' (see ``followed_for``), '' with the panel or the data, 'unknown', or your own words such
        as 'opted out'. Without it all are unknown.
    experiment : array (n,) of int, optional
        Of matched people, who may have several rows (``match.onto``): the position of the start in whose
        comparison each row takes part. Without it controls take part in all.
    """

    unit: NDArray[Any]
    periods: pd.Index
    outcomes: Mapping[str, Array]
    exposure: Mapping[str, Array]
    start: NDArray[np.int64]
    treated: NDArray[np.bool_]
    covariates: pd.DataFrame
    cluster: NDArray[Any]
    weights: Array
    arm: NDArray[Any]
    clock: Clock = "calendar"
    rate_scale: float = 1000.0
    per: str = "per 1,000 person-months"
    step: str = "month"
    notes: tuple[str, ...] = field(default=())
    begins: NDArray[np.int64] | None = None
    censoring_weights: Array | None = None
    ended: NDArray[Any] | None = None
    experiment: NDArray[np.int64] | None = None

    def __repr__(self) -> str:
        """Say what the panel holds without its people."""
        return f"Panel({self.n} by {len(self.periods)} periods, outcomes: {', '.join(self.outcomes)})"

    @property
    def n(self) -> int:
        """Number of people."""
        return len(self.unit)

    @property
    def first_treated(self) -> pd.Series:
        """The first supported period of each person; missing means never within the panel."""
        inside = (self.start >= 0) & (self.start < len(self.periods))
        labels = pd.Series(self.periods).reindex(np.where(inside, self.start, -1)).to_numpy()
        return pd.Series(labels, name="first_treated")

    @property
    def table(self) -> pd.DataFrame:
        """Long form: ``person_id, period`` and, for each outcome, its value and ``exposure_<name>``."""
        T = len(self.periods)
        out: dict[str, Any] = {
            "person_id": np.repeat(self.unit, T),
            "period": np.tile(self.periods.to_numpy(), self.n),
        }
        for name, values in self.outcomes.items():
            out[name] = values.ravel()
            out[f"exposure_{name}"] = self.exposure[name].ravel()
        return pd.DataFrame(out)

    def rate(self, outcome: str) -> Array:
        """Rates of one outcome, (n, T), in the panel's unit; missing where nobody was at risk."""
        exposure = self.exposure[outcome]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(exposure > 0, self.rate_scale * self.outcomes[outcome] / exposure, np.nan)

    def check_outcomes(self, outcome: str | Sequence[str]) -> list[str]:
        """Return the outcomes asked for as a list, or say which of them the panel does not hold."""
        names = _listed(outcome)
        if not names:
            raise DataError("outcome: name at least one of " + ", ".join(map(repr, self.outcomes)) + ".")
        for name in names:
            if names.count(name) > 1:
                raise DataError(f"outcome={name!r} stands twice; name each outcome once.")
            if name not in self.outcomes:
                raise DataError(
                    f"outcome={name!r}: the panel holds {', '.join(map(repr, self.outcomes))}."
                    + nearest(name, self.outcomes)
                )
        return names

    def subset(self, rows: NDArray[Any]) -> Panel:
        """Keep the people in ``rows`` (a mask or positions)."""
        return replace(
            self,
            unit=self.unit[rows],
            outcomes={k: v[rows] for k, v in self.outcomes.items()},
            exposure={k: v[rows] for k, v in self.exposure.items()},
            start=self.start[rows],
            treated=self.treated[rows],
            covariates=self.covariates.iloc[np.arange(self.n)[rows]].reset_index(drop=True),
            cluster=self.cluster[rows],
            weights=self.weights[rows],
            arm=self.arm[rows],
            begins=None if self.begins is None else self.begins[rows],
            censoring_weights=None if self.censoring_weights is None else self.censoring_weights[rows],
            ended=None if self.ended is None else self.ended[rows],
            experiment=None if self.experiment is None else self.experiment[rows],
        )

    def persons(self, rows: NDArray[Any]) -> int:
        """Count the people in ``rows`` (a mask or positions): matched people may have several rows."""
        unit = self.unit[rows]
        return len(unit) if self.experiment is None else len(pd.unique(unit))

    @property
    def reused(self) -> bool:
        """Whether anyone has several rows: a control of several sets."""
        return self.experiment is not None and not pd.Index(self.unit).is_unique

    @property
    def once(self) -> NDArray[np.bool_]:
        """One row of each person and arm, the one observed longest, (n,), to count people and events."""
        out = np.ones(self.n, bool)
        if self.reused:
            time = np.sum(list(self.exposure.values()), axis=(0, 2))
            rows = pd.DataFrame({"unit": self.unit, "treated": self.treated})
            order = np.argsort(-time, kind="stable")
            out[order] = ~rows.iloc[order].duplicated().to_numpy()
        return out

    def each_once(self) -> Panel:
        """Keep one row of each person and arm."""
        return self.subset(self.once) if self.reused else self

    def followed_for(self, periods: int) -> Panel:
        """Leave out the time of treated people after their first ``periods`` periods with support."""
        late = self.treated[:, None] & (np.arange(len(self.periods)) >= self.start[:, None] + periods)
        cut = late & (np.maximum.reduce(list(self.exposure.values())) > 0)
        before = np.full(self.n, "unknown", object) if self.ended is None else self.ended
        return replace(
            self,
            ended=np.where(cut.any(1), "follow-up", before),
            outcomes={k: np.where(late, 0.0, v) for k, v in self.outcomes.items()},
            exposure={k: np.where(late, 0.0, v) for k, v in self.exposure.items()},
        )

    @classmethod
    def from_long(
        cls,
        frame: pd.DataFrame,
        *,
        unit: str,
        period: str,
        outcomes: Sequence[str] | Mapping[str, Sequence[str]],
        first_treated: str | None = None,
        exposure: str | None = None,
        covariates: Sequence[str] = (),
        cluster: str | None = None,
        weights: str | None = None,
        arm: str | None = None,
        ended: str | None = None,
    ) -> Panel:
        """Make a panel from anyone's long data frame, one row a unit and period.

        Parameters
        ----------
        frame : DataFrame
        unit, period : str
            Columns that name the unit and the period (numbers or dates).
        outcomes : sequence of str, or mapping of name to columns that are summed
        first_treated : str, optional
            Column with the first supported period. Missing, infinite or, where every period is above
            zero, 0 means never; a start after the last period is not yet supported throughout.
        exposure : str, optional
            Column with the time at risk, in months. Without it every row counts as one, and effects are in
            the outcome's own unit per period.
        covariates : sequence of str
            Columns fixed per unit; where they vary, the value in the first observed period is used.
        cluster, weights, arm : str, optional
            Columns fixed per unit; without ``cluster`` each unit is its own.
        ended : str, optional
            Column with the reason, in words, why a unit's time at risk ended before the panel's, in one of
            its rows or in all: 'died' (or dead, death, deceased), 'move', or words of your own.

        Raises
        ------
        DataError
            For a missing column, a duplicate row, a start, cluster or reason that changes within a unit, a
            value that is not a number, or negative time at risk; all problems together.

        Examples
        --------
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"site": [1, 1, 2, 2], "year": [1, 2, 1, 2], "falls": [3, 1, 2, 2],
        ...                       "start": [2, 2, None, None]})
        >>> panel = Panel.from_long(frame, unit="site", period="year", outcomes=["falls"],
        ...                         first_treated="start")
        >>> panel.outcomes["falls"].tolist(), panel.start.tolist()
        ([[3.0, 1.0], [2.0, 2.0]], [1, 2])
        """
        named = dict(outcomes) if isinstance(outcomes, Mapping) else {o: [o] for o in _listed(outcomes)}
        named = {k: _listed(v) for k, v in named.items()}
        covariates = _listed(covariates)
        fixed = [c for c in (first_treated, cluster, weights, arm) if c]
        wanted = [unit, period, *(c for cs in named.values() for c in cs), *fixed, *covariates]
        _check_columns(frame, [*wanted, *(column for column in (exposure, ended) if column)])
        if not named:
            raise DataError("outcomes is empty: name at least one outcome column.")
        if frame.empty:
            raise DataError("the data have no rows: a panel needs one for each unit and period.")

        when = ordered(frame[period])
        times = pd.Index(np.sort(when.dropna().unique()))
        codes, ids = pd.factorize(frame[unit], sort=True)
        at = times.get_indexer(when)
        problems = _problems(frame, unit, period, codes, at, fixed)
        problems += _start_problems(frame, first_treated, times) if first_treated else []
        if cluster and (alone := int(frame[cluster].isna().sum())):
            problems.append(f"{cluster}: {alone} rows have none; name a cluster for every unit.")
        if ended:
            found = ended_problems(frame[ended], codes).values()
            problems += [f"{ended}: {count} row(s) {said}." for count, said in found if count]
        weight = _numbers(frame, weights, problems) if weights else np.ones(len(frame))
        values = {k: np.sum([_numbers(frame, c, problems) for c in cs], axis=0) for k, cs in named.items()}
        time = np.ones(len(frame)) if exposure is None else _numbers(frame, exposure, problems)
        if exposure and (time < 0).any():
            problems.append(f"{exposure}: {int((time < 0).sum())} rows have negative time at risk.")
        if problems:
            raise DataError(together(problems))

        rows = np.lexsort((at, codes))
        rows = rows[np.diff(codes[rows], prepend=-1) > 0]
        first = frame.iloc[rows].reset_index(drop=True)
        out = {k: _placed(value, value, time, codes, at) for k, value in values.items()}
        at_risk = {k: _placed(time, value, time, codes, at) for k, value in values.items()}
        begins = starts(first[first_treated] if first_treated else None, times, len(ids))
        start = np.minimum(begins, len(times))
        return cls(
            unit=np.asarray(ids),
            periods=times,
            outcomes=out,
            exposure=at_risk,
            start=start,
            treated=start < len(times),
            covariates=first[covariates].infer_objects(),
            cluster=first[cluster].to_numpy() if cluster else np.asarray(ids),
            weights=weight[rows],
            arm=first[arm].astype(str).to_numpy()
            if arm
            else np.where(start < len(times), "supported", "control"),
            rate_scale=1000.0 if exposure else 1.0,
            per="per 1,000 person-months" if exposure else f"per {unit} and {period}",
            step=step_of(times),
            begins=begins,
            ended=ended_of(frame[ended], codes) if ended else None,
        )


def _listed(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _start_problems(frame: pd.DataFrame, column: str, times: pd.Index) -> list[str]:
    found = ordered(frame[column])
    if bad := int((found.isna() & frame[column].notna()).sum()):
        return [f"{column}: {bad} rows are neither numbers nor dates; leave it empty for never."]
    kinds = [pd.api.types.is_numeric_dtype(values) for values in (found, times)]
    if not found.count() or not len(times) or kinds[0] == kinds[1]:
        return []
    said = ["numbers" if kind else "dates" for kind in kinds]
    return [f"{column}: holds {said[0]}, but the periods are {said[1]}; give both in the same way."]


def _placed(what: Array, value: Array, time: Array, codes: NDArray[np.intp], at: NDArray[np.intp]) -> Array:
    """Put rows into the matrix of units by periods; 0 where a value or the time at risk is missing."""
    out = np.zeros((codes.max(initial=-1) + 1, at.max(initial=-1) + 1))
    seen = np.isfinite(value) & np.isfinite(time) & (time > 0)
    out[codes[seen], at[seen]] = what[seen]
    return out


def _check_columns(frame: pd.DataFrame, wanted: Sequence[str]) -> None:
    problems = [
        f"column {c!r} is not in the data.{nearest(c, frame.columns)}"
        for c in dict.fromkeys(wanted)
        if c not in frame.columns
    ]
    if problems:
        raise DataError(together(problems))


def _numbers(frame: pd.DataFrame, column: str, problems: list[str]) -> Array:
    values = pd.to_numeric(frame[column], errors="coerce")
    found = values.to_numpy(dtype=float, na_value=np.nan)
    bad = int((~np.isfinite(found) & frame[column].notna().to_numpy()).sum())
    if bad:
        problems.append(f"{column}: {bad} rows are not numbers.")
    return found


def _problems(
    frame: pd.DataFrame,
    unit: str,
    period: str,
    codes: NDArray[np.intp],
    at: NDArray[np.intp],
    fixed: Sequence[str],
) -> list[str]:
    problems = []
    unread = (at < 0) & frame[period].notna().to_numpy()
    if unread.any():
        problems.append(f"{period}: {int(unread.sum())} rows are neither numbers nor dates.")
    missing = int((((codes < 0) | (at < 0)) & ~unread).sum())
    if missing:
        problems.append(f"{unit} or {period}: {missing} rows have none; every row needs both.")
    doubles = int(pd.MultiIndex.from_arrays([codes, at]).duplicated().sum())
    if doubles:
        problems.append(
            f"{unit}, {period}: {doubles} rows repeat a unit and period that stood before; keep one of each."
        )
    for column in fixed:
        kinds = frame.groupby(codes)[column].nunique(dropna=False)
        if (kinds > 1).any():
            problems.append(
                f"{column}: changes within {int((kinds > 1).sum())} units; "
                "it must be the same in all rows of a unit."
            )
    return problems
