"""Interviews as a panel: who answered before and after, what they said, and how they were asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.cohort import Cohort
from impact.data.contract import DAYS_PER_MONTH
from impact.data.panel import Panel
from impact.data.scores import Array, measure, scored
from impact.data.windows import clusters_of
from impact.errors import DataError, nearest, together

Own = Mapping[str, Mapping[str, Any]]

# What is not said is said so: nobody without a mode of interview drops out of a count in silence.
NOT_SAID = "not said"


def waves(
    cohort: Cohort,
    *,
    outcomes: Sequence[str],
    before: str,
    after: str,
    own: Own | None = None,
    covariates: Sequence[str] = (),
    cluster: str | None = None,
) -> Panel:
    """Make a panel of two interviews, one before support began and one after.

    A person who did not answer a question was not at risk of it. Scores, and yes as 1 and no as 0, stand for
    one month each, so that a rate is the answer itself; counts of contacts stand for the days that they look
    back over.

    Parameters
    ----------
    cohort : Cohort
        Read with a survey.
    outcomes : sequence of str
        Names of ``impact.data.scores.MEASURES``, or of ``own``.
    before, after : str
        Names of the waves.
    own : mapping, optional
        The study's own scores and yes or no, as for ``impact.data.scores.measure``.
    covariates : sequence of str
        Columns of people that the panel is to carry.
    cluster : str, optional
        As for ``Cohort.panel``.

    Returns
    -------
    Panel
        Everyone of the cohort who answered at least one of the two interviews, one row each. ``ended`` says
        of those who did not answer the second whether they had died ('death') or not ('drop-out'). Interviews
        before support of which the day lies after its start are not used, nor those after it that lie before
        or on the day of the start; the panel's notes say how many.

    Raises
    ------
    DataError
        If there is no survey or no such wave, question or column.

    Examples
    --------
    >>> from impact.data import read_cohort
    >>> people = pd.DataFrame({"person_id": ["a", "b", "c", "d"], "arm": ["help", "help", "usual", "usual"],
    ...                        "start_date": ["2024-02-10", "2024-03-01", None, None]})
    >>> contacts = pd.DataFrame({"person_id": ["a", "c"], "service": "gp",
    ...                          "start": ["2024-01-05", "2024-06-02"]})
    >>> survey = pd.DataFrame({"person_id": ["a", "a", "b", "c", "c"], "wave": ["0", "6", "0", "0", "6"],
    ...                        "interview_date": ["2024-02-01", "2024-05-01"] * 2 + ["2024-05-01"],
    ...                        "life_satisfaction": [4, 6, 5, 7, 7]}).iloc[[0, 1, 3, 4]]
    >>> cohort = read_cohort(people=people, contacts=contacts, survey=survey,
    ...                      treated=["help"], control=["usual"])
    >>> panel = waves(cohort, outcomes=["life_satisfaction"], before="0", after="6")
    >>> panel.outcomes["life_satisfaction"].tolist()
    [[4.0, 6.0], [7.0, 7.0]]
    """
    found = interviews(cohort)
    _known(found, [before, after], cohort, [*covariates, *([cluster] if cluster else [])])
    held, notes = _in_time(cohort, {when: found[found["wave"] == when] for when in (before, after)})
    asked = [measure(name, own) for name in outcomes]
    # What does not fit is counted over the whole column, before it is looked at wave by wave.
    scores = [scored(found, one) for one in asked]
    values, exposure = {}, {}
    for one, score in zip(asked, scores, strict=True):
        said = np.column_stack([_placed(cohort, wave, score[wave.index]) for wave in held.values()])
        time = np.ones_like(said)
        if one.kind == "count":
            days = [
                _placed(cohort, w, w["recall_days"].to_numpy(float, na_value=np.nan)) for w in held.values()
            ]
            time = np.column_stack(days) / DAYS_PER_MONTH
        answered = np.isfinite(said) & np.isfinite(time)
        values[one.name], exposure[one.name] = np.where(answered, said, 0.0), np.where(answered, time, 0.0)
        empty = [when for when, there in zip(held, answered.T, strict=True) if not there.any()]
        if empty:
            raise DataError(f"survey: nobody answered {one.name!r} in {' or '.join(map(repr, empty))}.")
        if not answered.all(axis=1).any():
            raise DataError(
                f"survey: nobody answered {one.name!r} both in {before!r} and in {after!r}. Check the names "
                "of waves in the file, and that a person has the same person_id in both."
            )
    rows = np.maximum.reduce(list(exposure.values())).any(1)
    groups, more = clusters_of(cohort, cluster)
    panel = Panel(
        unit=cohort.person_id,
        periods=pd.Index([before, after], name="wave"),
        outcomes=values,
        exposure=exposure,
        start=np.where(cohort.treated, 1, 2).astype(np.int64),
        treated=cohort.treated,
        covariates=cohort.people[list(covariates)].reset_index(drop=True),
        cluster=groups,
        weights=np.ones(len(cohort)),
        arm=cohort.people["arm"].to_numpy(object),
        step="interview",
        notes=tuple(notes + more),
        ended=_ended(cohort, exposure, held[after]),
    )
    return panel.subset(rows)


def interviews(cohort: Cohort) -> pd.DataFrame:
    """Return the answers of the cohort's people, one row a person and wave, with their number ``pid``."""
    store = cohort._needs_store("survey")
    found = store.con.execute(
        "SELECT p.pid, s.* FROM survey s JOIN people p USING (person_id) "
        "WHERE s.interview_date <= coalesce(p.died, s.interview_date) ORDER BY p.pid, s.wave"
    ).df()
    if found.empty:
        raise DataError(
            "data.survey: missing or without rows; name the file with one row a person and interview."
        )
    mine: pd.DataFrame = found[found["pid"].isin(cohort.person)].reset_index(drop=True)
    return mine


def how_asked(cohort: Cohort, panel: Panel) -> pd.DataFrame:
    """Return how interviews were held: ``wave, treated, mode, recall_days``, a row each.

    Of the people who answered in both waves of the panel alone, so that there are as many of them as answered
    again, and nobody else could be counted by the difference.
    """
    found = interviews(cohort)
    treated = pd.Series(cohort.treated, index=cohort.person).groupby(level=0).first()
    both = (np.maximum.reduce(list(panel.exposure.values())) > 0).all(axis=1)
    inside = pd.Series(cohort.person, index=cohort.person_id).reindex(panel.unit[both])
    found = found[found["wave"].isin(panel.periods) & found["pid"].isin(inside)]
    mode = found["mode"].astype("string").str.strip().str.lower().fillna(NOT_SAID)
    return pd.DataFrame(
        {
            "wave": found["wave"],
            "treated": treated.reindex(found["pid"]).to_numpy(bool),
            "mode": mode.astype(object),
            "recall_days": found["recall_days"].to_numpy(float, na_value=np.nan),
        }
    ).reset_index(drop=True)


def _known(found: pd.DataFrame, wanted: Sequence[str], cohort: Cohort, columns: Sequence[str]) -> None:
    there = [str(wave) for wave in found["wave"].dropna().unique()]
    problems = [
        f"survey: there is no wave {wave!r}; the file has {', '.join(map(repr, sorted(there)))}."
        + nearest(wave, there)
        for wave in wanted
        if wave not in there
    ]
    problems += [
        f"survey: {name!r} is not a column of people.{nearest(name, cohort.people.columns)}"
        for name in columns
        if name not in cohort.people
    ]
    if problems:
        raise DataError(together(problems))


def _in_time(cohort: Cohort, held: dict[str, pd.DataFrame]) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Leave out interviews on the wrong side of the start of support, and say how many."""
    start = pd.Series(cohort.people["start_date"].where(cohort.treated).to_numpy(), index=cohort.person)
    start = start.groupby(level=0).first()
    kept, notes = {}, []
    for (when, wave), first in zip(held.items(), (True, False), strict=True):
        began = start.reindex(wave["pid"]).to_numpy("datetime64[ns]")
        day = wave["interview_date"].to_numpy("datetime64[ns]")
        wrong = np.asarray(day > began if first else day <= began)
        kept[when] = wave[~wrong]
        if n := int(wrong.sum()):
            side = "only after support began" if first else "before support began"
            who = "1 person was" if n == 1 else f"{n} people were"
            notes.append(f"{when}: {who} asked {side}; these answers are not used.")
    return kept, notes


def _placed(cohort: Cohort, wave: pd.DataFrame, values: Array) -> Array:
    """Bring the values of a wave to the order of the cohort, missing for who has none."""
    return np.asarray(pd.Series(values, index=wave["pid"]).reindex(cohort.person), float)


def _ended(cohort: Cohort, exposure: Mapping[str, Array], after: pd.DataFrame) -> NDArray[Any]:
    """Why some did not answer after: they had died by the last of these interviews, or dropped out."""
    answered = np.maximum.reduce(list(exposure.values()))[:, 1] > 0
    died = pd.to_datetime(cohort.people.get("died", pd.Series(pd.NaT, cohort.people.index)))
    dead = (died <= after["interview_date"].max()).to_numpy(bool)
    return np.select([answered, dead], ["", "death"], "drop-out").astype(object)
