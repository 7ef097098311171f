"""Who is in the study and what happened to them, before any estimate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from impact.data.panel import Panel
from impact.errors import DataError, nearest, together
from impact.interpret.groups import as_levels
from impact.match.balance import PRIOR
from impact.match.trajectories import WEIGHTED, arm_rates
from impact.results import Rates, Summary

# A number with more different values than this is described by its mean.
_CATEGORIES = 5
GROUPS = {True: "supported", False: "control"}


def rates(panel: Panel, *, outcome: str | Sequence[str]) -> Rates:
    """Rates of supported and control people, period by period.

    Parameters
    ----------
    panel : Panel
        On either clock. People are counted in a period when they were at risk in it; those of a matched
        sample by their weights, as ``match.trajectories`` does.
    outcome : str or sequence of str

    Returns
    -------
    Rates
        One row an outcome, arm (``supported``, ``control``) and period.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"id": [1, 1, 2, 2], "month": [1, 2, 1, 2], "ae": [3, 1, 2, 2],
    ...                       "time": 1.0, "start": [2, 2, None, None]})
    >>> panel = Panel.from_long(frame, unit="id", period="month", outcomes=["ae"], exposure="time",
    ...                         first_treated="start")
    >>> rates(panel, outcome="ae").table[["arm", "period", "events"]].values.tolist()
    [['supported', 1, 3], ['supported', 2, 1], ['control', 1, 2], ['control', 2, 2]]
    """
    table = arm_rates(panel, panel.check_outcomes(outcome))
    method: dict[str, Any] = {"shows": "rates by arm and period", "clock": panel.clock, "per": panel.per}
    method |= {"period": panel.step, **weighed(panel)}
    starts = panel.start[(panel.start > 0) & (panel.start < len(panel.periods))]
    if panel.clock == "calendar" and len(starts):
        method |= {"first_start": panel.periods[starts.min()], "last_start": panel.periods[starts.max()]}
    return Rates(table, method)


def weighed(panel: Panel) -> dict[str, Any]:
    """What a description of matched or weighted people says of it; of others nothing."""
    if panel.experiment is None and (panel.weights == 1).all():
        return {}
    return {"sample": "matched", "notes": [*panel.notes, WEIGHTED]}


def baseline(cohort: Any, *, covariates: Sequence[str]) -> Summary:
    """Describe supported and control people at their index dates (the study's Table 1).

    Parameters
    ----------
    cohort : Cohort
        With index dates, so that ages and prior use are those of the date support began, or might have.
    covariates : sequence of str
        Columns of ``cohort.table``. Numbers with more than five different values, and counts of one period,
        are described by mean and standard deviation, everything else by the number and percentage in each
        category.

    Returns
    -------
    Summary
        One row a covariate and level, with ``persons``, ``percent``, ``mean`` and ``sd`` for each arm.
    """
    people = cohort.table
    unknown = [
        f"covariates: {c!r} is not a column of the cohort.{nearest(c, people.columns)}"
        for c in covariates
        if c not in people.columns
    ]
    if unknown:
        raise DataError(together(unknown))
    treated = np.asarray(cohort.treated, bool)
    rows: list[dict[str, Any]] = [_row("people", "all", np.ones(len(people), bool), treated)]
    for name in covariates:
        column = people[name]
        many = column.nunique() > _CATEGORIES or PRIOR.fullmatch(name)
        if pd.api.types.is_numeric_dtype(column) and many:
            rows.append(_mean_row(name, column, treated))
            continue
        # Every category counts, also 'missing': nobody drops out of Table 1 in silence.
        levels = as_levels(column)
        rows += [
            _row(name, str(level), (levels == level).to_numpy(bool), treated)
            for level in sorted(levels.unique())
        ]
    table = pd.DataFrame(rows)
    arms = GROUPS.values()
    return Summary(
        table,
        {"shows": "people at the index date, by arm"},
        people=[f"{arm}_persons" for arm in arms],
        derived={f"{arm}_{what}": [f"{arm}_persons"] for arm in arms for what in ("mean", "sd")},
        percent={f"{arm}_percent": (f"{arm}_persons", f"{arm}_all") for arm in arms},
        adds_up=["covariate"],
    )


def _row(name: str, level: str, member: Any, treated: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"covariate": name, "level": level}
    for is_treated, arm in GROUPS.items():
        inside = treated == is_treated
        row[f"{arm}_persons"] = int((member & inside).sum())
        row[f"{arm}_all"] = int(inside.sum())
        row[f"{arm}_percent"] = 100 * row[f"{arm}_persons"] / max(row[f"{arm}_all"], 1)
        row[f"{arm}_mean"] = row[f"{arm}_sd"] = np.nan
    return row


def _mean_row(name: str, column: pd.Series, treated: Any) -> dict[str, Any]:
    known = column.notna().to_numpy()
    row = _row(name, "mean (SD)", known, treated)
    for is_treated, arm in GROUPS.items():
        values = column[known & (treated == is_treated)].astype(float)
        row |= {f"{arm}_mean": values.mean(), f"{arm}_sd": values.std(), f"{arm}_percent": np.nan}
    return row


def target_trial(protocol: Mapping[str, str]) -> Summary:
    """State the trial that this study stands in for, element by element.

    Parameters
    ----------
    protocol : mapping of element to sentence
        As ``Study.protocol`` gives it: eligibility, arms, time zero, follow-up, outcomes, estimand,
        analysis (Hernan and Robins 2016; the TARGET statement 2025).
    """
    table = pd.DataFrame({"element": list(protocol), "in this study": list(protocol.values())})
    return Summary(table, {"shows": "target trial"})


def kept_to_plan(
    *,
    status: str,
    rows: Sequence[Mapping[str, str]],
    run_sha256: str,
    sha256: str = "",
    version: int = 0,
    departed: Sequence[str] = (),
    unexplained: Sequence[str] = (),
    **_: str,
) -> Summary:
    """State what was done otherwise than planned, as ``Study.planned`` gives it.

    Parameters
    ----------
    status : 'kept', 'differs', 'retrospective' or 'none'
        Whether a plan was written before any result, and kept to.
    rows : sequence of mappings
        What differs: ``what, planned, run, reason``.
    run_sha256, sha256 : str
        Hashes of what ran and of the plan.
    version : int
        Of the plan; later ones are amendments.
    departed, unexplained : sequence of str
        What differs of the choices that decide the main result, and of these what no reason was given for.

    Returns
    -------
    Summary
        One row a difference; none where there is none or no plan. Its method has the status.

    Examples
    --------
    >>> kept = kept_to_plan(status="kept", rows=[], run_sha256="c8c22f26", sha256="c8c22f26", version=1)
    >>> len(kept.table), kept.method["status"]
    (0, 'kept')
    """
    table = pd.DataFrame(list(rows), columns=["what", "planned", "run", "reason"], dtype=object)
    hashes = {"plan": in_groups(sha256), "what ran": in_groups(run_sha256)}
    decisive = {"departed": list(departed), "unexplained": list(unexplained)}
    about = {"shows": "kept to the plan", "status": status, "version": version, **hashes, **decisive}
    return Summary(table, about)


def in_groups(digest: str) -> str:
    """Write a hash in groups of eight: no ten digits in a row, which a number of a person could be.

    Examples
    --------
    >>> in_groups("c8c22f2615bfa704")
    'c8c22f26:15bfa704'
    """
    return ":".join(digest[at : at + 8] for at in range(0, len(digest), 8))
