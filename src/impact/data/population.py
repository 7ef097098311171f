"""Reading a study: the checked tables, and who of everyone in them is in the study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.cohort import Cohort
from impact.data.contract import TABLES
from impact.data.flow import flow_of, quality_of
from impact.data.ingest import Rename, Store, load
from impact.data.reading import Source, quote
from impact.data.rule import Rule
from impact.data.rules import RULES
from impact.errors import DataError, DesignError

_PANDAS = {"date": "datetime64[ns]", "month": "datetime64[ns]", "int": float, "float": float, "bool": bool}
# What an empty cell of these columns means.
_UNSAID = {"linked": True, "consent": True, "opt_out": False} | {
    c.name: "unknown" for c in TABLES["people"].columns if "unknown" in c.allowed
}


def read_cohort(
    *,
    people: Source,
    contacts: Source | None = None,
    coverage: Source | None = None,
    survey: Source | None = None,
    treated: Sequence[str],
    control: Sequence[str],
    rename: Rename | None = None,
    cache: str | Path | None = None,
    waves: Sequence[str] = (),
) -> Cohort:
    """Read the tables of the contract, check them, and say who is in the study.

    Parameters
    ----------
    people, contacts, coverage, survey : path, list of paths, glob, or DataFrame
        CSV or Parquet. Without coverage a service is taken as observed from its first to its last contact;
        without contacts people are observed from the first to the last interview of the survey.
    treated, control : sequence of str
        Arms. People of other arms are left out and counted.
    rename : mapping, optional
        For each table, the contract's name and yours: ``{"people": {"person_id": "TenantRef"}}``.
    cache : path, optional
        Folder in which the tables, and what is counted from them, are kept for the next who reads the same
        files in the same way; only you can open what is kept. DataFrames are not kept.
    waves : sequence of str
        Of the survey, those the study uses. Others are counted and named in ``quality``; none, no check.

    Returns
    -------
    Cohort
        With ``quality``, a row for each rule even where nothing was found, and ``flow``.

    Raises
    ------
    DataError
        With all problems of all files: missing files and columns; then every rule that stops a study.
    DesignError
        If nobody, or one person, is left in the treated or in the control arms.

    Examples
    --------
    >>> people = pd.DataFrame({"person_id": ["a", "b", "c", "d"], "arm": ["help", "help", "usual", "usual"],
    ...                        "start_date": ["2024-02-10", "2024-03-01", None, None]})
    >>> contacts = pd.DataFrame({"person_id": ["a", "a", "c"], "service": "gp",
    ...                          "start": ["2024-01-05", "2024-02-20", "2024-02-02"]})
    >>> coverage = pd.DataFrame({"service": ["gp"], "first_date": ["2024-01-01"],
    ...                          "last_date": ["2024-03-31"]})
    >>> cohort = read_cohort(people=people, contacts=contacts, coverage=coverage,
    ...                      treated=["help"], control=["usual"])
    >>> panel = cohort.panel(outcomes=["gp"])
    >>> panel.outcomes["gp"].astype(int).tolist(), panel.start.tolist()
    ([[1, 1, 0], [0, 0, 0], [0, 1, 0], [0, 0, 0]], [1, 2, 3, 3])
    """
    given = {"people": people, "contacts": contacts, "coverage": coverage, "survey": survey}
    store = load(
        {k: v for k, v in given.items() if v is not None},
        treated=treated,
        control=control,
        rename=rename,
        cache=cache,
        waves=waves,
    )
    return _cohort(store, _AS_STARTED)


def counted_from_offer(cohort: Cohort) -> Cohort:
    """Count everyone in a treated arm from the day of offer, whoever took support up (intention to treat).

    Parameters
    ----------
    cohort : Cohort
        As it was read, with ``offer_date`` among its columns.

    Returns
    -------
    Cohort
        Of the same tables. ``start_date`` and ``index_date`` of the treated are the day of offer; who was not
        offered support is left out, and who was offered it and never started is in. Controls stay controls
        if they find support, and are observed on. ``took_up`` says who started within the time observed.

    Raises
    ------
    DataError
        Where the people have no day of offer.
    DesignError
        As ``read_cohort``.
    """
    if "offer_date" not in cohort.people or cohort.people["offer_date"].isna().all():
        raise DataError(
            "people.offer_date: nobody has one, and arms.also_from counts from it; name your column under "
            "data.rename.people, or leave also_from out."
        )
    return _cohort(cohort._needs_store("counted_from_offer"), _AS_OFFERED)


@dataclass(frozen=True)
class _Counted:
    """From which day the treated count, the rule for who has none, and when a control's time ends."""

    day: str
    rule: str
    end: str


_AS_STARTED = _Counted("start_date", "no start date", "CASE WHEN NOT l.treated THEN start_date - 1 END")
_AS_OFFERED = _Counted("offer_date", "no offer date", "NULL")


def _named(rule: Rule, counted: _Counted) -> str:
    return counted.rule if rule.name == _AS_STARTED.rule else rule.name


def _cohort(store: Store, counted: _Counted) -> Cohort:
    """Say who is in the study, counted from one day or the other."""
    treated, control = store.treated, store.control
    frame, why = _everyone(store, counted)
    # Nobody is left out for what the file has no column for, and no line says so.
    drops = [r for r in RULES if r.table == "people" and r.drops]
    reasons = [_named(r, counted) for r in drops if r.column in {"start_date", *store.columns}]
    steps = [("in the file", "", len(frame))]
    steps += [("left out", name, int((why == name).sum())) for name in reasons]
    unseen = (why == "") & ~(frame["observed_from"] <= frame["observed_to"]).to_numpy(bool)
    steps.append(("left out", "no time observed", int(unseen.sum())))
    pid = np.flatnonzero((why == "") & ~unseen)
    frame = frame.iloc[pid].reset_index(drop=True)
    is_treated = frame["arm"].isin([str(a) for a in treated]).to_numpy(bool)
    gone = ", ".join(f"{n} {rule}" for _, rule, n in steps if n and rule) or "nobody"
    for arms, n in ((treated, is_treated.sum()), (control, (~is_treated).sum())):
        if n < 2:
            raise DesignError(
                f"{n} person(s) left in {', '.join(map(repr, arms))}; an effect needs at least 2. "
                f"Left out: {gone}."
            )
    index = frame[counted.day].where(is_treated)
    if counted is _AS_OFFERED:
        started = (frame["start_date"] <= frame["observed_to"]).to_numpy(bool)
        frame = frame.assign(took_up=started, start_date=index)
    frame = frame.assign(treated=is_treated, index_date=index)
    if "imd_decile" in frame:
        frame["imd_fifth"] = np.ceil(frame["imd_decile"] / 2)
    cohort = Cohort(
        people=frame,
        treated=is_treated,
        checks=quality_of(store.quality),
        flow=flow_of(steps, is_treated),
        _store=store,
        _pid=pid,
    )
    return cohort._counted()


def _everyone(store: Store, counted: _Counted) -> tuple[pd.DataFrame, NDArray[Any]]:
    """Everyone in the file, with the days they are observed, and the first rule that leaves them out."""
    rules = [r for r in RULES if r.table == "people" and r.drops]
    where = {r.name: r.where.replace(_AS_STARTED.day, counted.day) for r in rules}
    cases = " ".join(f"WHEN {where[r.name]} THEN '{_named(r, counted)}'" for r in rules)
    names = [quote(c) for c in store.columns]
    # A control's time ends the day before any support; the day of death, of moving and the last day of the
    # tenancy are days at risk.
    frame = store.con.execute(
        f"""
        SELECT {", ".join(names)}, CASE {cases} ELSE '' END AS " why",
               greatest(coalesce(tenancy_start, lo), lo) AS observed_from,
               least(died, moved_out, tenancy_end, hi - 1, {counted.end}) AS observed_to
        FROM people p LEFT JOIN listed l USING (arm)
        LEFT JOIN (SELECT arm, min(lo) AS lo, max(hi) AS hi FROM cover GROUP BY arm) v USING (arm)
        ORDER BY pid
        """
    ).df()
    why = frame.pop(" why").astype(object).to_numpy()
    types = {c.name: _PANDAS.get(c.type, object) for c in TABLES["people"].columns}
    types |= {"observed_from": "datetime64[ns]", "observed_to": "datetime64[ns]"}
    for name in frame.columns:
        column = frame[name]
        if name in _UNSAID:
            column = column.astype(object).where(column.notna(), _UNSAID[name])
        if name in types:
            frame[name] = column.astype(types[name])
        elif not pd.api.types.is_numeric_dtype(column):
            dates = pd.api.types.is_datetime64_any_dtype(column)
            frame[name] = column.astype("datetime64[ns]" if dates else object)
    return frame, why
