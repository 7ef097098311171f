"""Reading a ready-made long panel from a file: columns found and typed, rows checked, arms chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from impact.data.contract import DAYS_PER_MONTH, Column
from impact.data.ends import ended_problems
from impact.data.flow import QUALITY, quality_of
from impact.data.kept import opened
from impact.data.longdata import LongData, units_flow
from impact.data.reading import Found, Source, ask, connect, guessed, literal, quote, scan, typed
from impact.data.rules import RULES
from impact.errors import DataError, nearest, together

Outcomes = Sequence[str] | Mapping[str, str | Sequence[str]]
MONTHS = {"month": 1.0, "year": 12.0, "day": 1 / DAYS_PER_MONTH}
# What the identifier of a unit of any kind must not be; a practice or trust may well look like a name.
UNIT_RULES = tuple(r for r in RULES if r.name in ("NHS number", "e-mail", "National Insurance number"))


def read_panel(
    *,
    file: Source,
    unit: str,
    period: str,
    outcomes: Outcomes,
    exposure: str | None = None,
    exposure_unit: Literal["month", "year", "day"] = "month",
    first_treated: str | None = None,
    cluster: str | None = None,
    arm: str | None = None,
    ended: str | None = None,
    treated: Sequence[str] = (),
    control: Sequence[str] = (),
    where: Mapping[str, Any] | None = None,
    covariates: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    cache: str | Path | None = None,
) -> LongData:
    """Read a ready-made long table, one row a unit and period.

    Parameters
    ----------
    file : path, list of paths, glob, or DataFrame
    unit, period : str
        Columns; periods are numbers or dates.
    outcomes : list of columns, or mapping of name to the column or columns that are summed
    exposure : str, optional
        Column with the time at risk, in ``exposure_unit``. Without it each row counts as one, and effects
        are in the outcome's own unit per unit and period.
    first_treated : str, optional
        Column with the first supported period; empty means never.
    cluster : str, optional
    arm : str, optional
        Column with the arm, compared as text with ``treated`` and ``control``. Units of other arms are left
        out and counted. Without ``first_treated``, treated units are supported from the first period on.
    ended : str, optional
        Column with the reason, in words, why a unit's time ended before the last period: see
        ``Panel.from_long``.
    where : mapping, optional
        Rows to keep: column and value, or list of values, compared as text.
    covariates : sequence of str
        Further columns to keep.
    rename : mapping, optional
        Your names for columns of the file, which the other arguments and the tables then use.
    cache : path, optional
        Folder in which what is read is kept for the next who reads the same file in the same way; only you
        can open what is kept. A DataFrame is not kept.

    Raises
    ------
    DataError
        For missing columns, unknown arms, repeated rows and values that cannot be read, all together.

    Examples
    --------
    >>> frame = pd.DataFrame({"id": [1, 1, 2, 2], "year": [1, 2, 1, 2], "plan": [11, 11, 3, 3],
    ...                       "visits": [4, 5, 2, 3], "part": [1, 0.5, 1, 1]})
    >>> data = read_panel(file=frame, unit="id", period="year", outcomes=["visits"], exposure="part",
    ...                   exposure_unit="year", arm="plan", treated=["11"], control=["3"])
    >>> data.cohort().exposure["visits"].tolist()
    [18.0, 24.0]
    """
    named = dict(outcomes) if isinstance(outcomes, Mapping) else {o: o for o in outcomes}
    summed = {k: [v] if isinstance(v, str) else list(v) for k, v in named.items()}
    also = {"cluster": cluster, "arm": arm, "ended": ended}
    words = {"unit": unit, **{name: column for name, column in also.items() if column}}
    times = {"period": period, **({"first_treated": first_treated} if first_treated else {})}
    numbers = [c for columns in summed.values() for c in columns] + ([exposure] if exposure else [])
    arms = {str(a): known == "t" for known, given in (("t", treated), ("c", control)) for a in given}
    con = connect()
    table = _renamed(*scan(con, "panel", file), rename or {})
    wanted = [*words.values(), *times.values(), *numbers, *(where or {}), *covariates]
    problems = [
        f"panel: column {c!r} is missing.{nearest(c, table.types)}"
        for c in dict.fromkeys(wanted)
        if c not in table.types
    ]
    problems += [] if summed else ["panel: outcomes is empty; name at least one."]
    problems += (
        [] if bool(arms) == bool(arm) else ["panel: arm, treated and control go together; give all three."]
    )
    if exposure_unit not in MONTHS:
        problems.append(f"panel: exposure_unit={exposure_unit!r}: use {', '.join(MONTHS)}.")
    ours = {**words, **times, **({"exposure": exposure} if exposure else {})}
    problems += [
        f"panel: {name!r} is a name of ours; call yours by another one with rename."
        for name in (*summed, *covariates)
        if name in ours and ours[name] != name
    ]
    if problems:
        raise DataError(together(problems))
    covariates = [c for c in dict.fromkeys(covariates) if c not in ours]
    place = {"cache": cache, "sources": {"panel": file}}
    raw, number, checks = _fetched(con, table, words, times, numbers, covariates, where or {}, place)
    if raw.empty:
        raise DataError("panel: the file holds no rows" + (" such as where asks for." if where else "."))
    frame = raw.copy()
    for name, columns in summed.items():
        frame[name] = number[columns].sum(axis=1, skipna=False)
    if exposure:
        frame["exposure"] = number[exposure] * MONTHS[exposure_unit]
    if arm:
        checks += _arms(frame, arms)
    checks += _rows(frame, list(summed))
    if stops := [
        f"panel.{c}, {rule}: {n} row(s) of the file {said}."
        for c, rule, sev, n, _, said in checks
        if sev == "E" and n
    ]:
        raise DataError(together(stops))
    per = "per 1,000 person-months" if exposure else f"per {unit} and {period}"
    return _selected(frame, checks, arms, tuple(summed), tuple(covariates), per)


Check = tuple[str, str, str, int, str, str]  # column, rule, severity, count, action, what the rows are


def _renamed(sql: str, types: Mapping[str, str], rename: Mapping[str, str]) -> Found:
    """The file under the user's own names."""
    if gone := [theirs for theirs in rename.values() if theirs not in types]:
        raise DataError(together([f"rename: the file has no column {c!r}.{nearest(c, types)}" for c in gone]))
    ours = {theirs: mine for mine, theirs in rename.items()}
    kept = {c: ours.get(c, c) for c in types if c in ours or c not in rename}
    columns = ", ".join(f"{quote(c)} AS {quote(name)}" for c, name in kept.items())
    return Found("panel", f"(SELECT {columns} FROM {sql})", {name: types[c] for c, name in kept.items()}, {})


def _chosen(text: Mapping[str, str], where: Mapping[str, Any]) -> str:
    """SQL for the rows to keep."""
    allowed = {
        c: [str(v) for v in ([given] if isinstance(given, str | int | float) else given)]
        for c, given in where.items()
    }
    rows = [
        f"coalesce({text[c]} IN ({', '.join(literal(v) for v in values)}), false)"
        for c, values in allowed.items()
    ]
    return " AND ".join(rows) or "true"


def _fetched(
    con: Any,
    table: Found,
    words: Mapping[str, str],
    times: Mapping[str, str],
    numbers: Sequence[str],
    covariates: Sequence[str],
    where: Mapping[str, Any],
    place: Mapping[str, Any],
) -> tuple[pd.DataFrame, pd.DataFrame, list[Check]]:
    """Read the columns and the numbers wanted from the rows wanted, and count what cannot be read."""
    text = {c: typed(Column(c, "text", ""), c, table.types[c])[0] for c in table.types}
    value = {c: typed(Column(c, "float", ""), c, table.types[c])[1] for c in numbers}
    chosen = _chosen(text, where)
    rows = f"FROM {table.scan} WHERE {chosen}"
    others = [*times.values(), *covariates]

    def build(con: Any) -> list[int]:
        guesses = guessed(con, table, list(dict.fromkeys(others)))
        bad = [f"count_if(({chosen}) AND {text[c]} IS NOT NULL AND {value[c]} IS NULL)" for c in numbers]
        counts = f"SELECT count_if(NOT ({chosen})), {', '.join(bad)} FROM {table.scan}"
        rules = ", ".join(f"count_if({rule.where})" for rule in UNIT_RULES)
        named = f"SELECT {rules} FROM (SELECT {text[words['unit']]} AS person_id {rows})"
        found = [ask(con, "panel", sql).fetchone() or () for sql in (counts, named)]
        columns = [text[c] for c in words.values()] + [guesses[c] for c in others] + [*value.values()]
        # Names of columns may differ only in their capitals, which a table does not tell apart.
        numbered = ", ".join(f"{sql} AS c{i}" for i, sql in enumerate(columns))
        form = "TEMP VIEW" if place["cache"] is None else "TABLE"
        ask(con, "panel", f"CREATE {form} panel AS SELECT {numbered} {rows}")
        return [int(n or 0) for row in found for n in row]

    asked = ["panel", words, times, numbers, covariates, rows, table.types]
    con, counts, _ = opened(con, build, asked=asked, **place)
    raw, names = ask(con, "panel", "FROM panel").df(), [*words, *times, *covariates]
    frame = raw.iloc[:, : len(names)].set_axis(names, axis=1)
    number = raw.iloc[:, len(names) :].set_axis(list(value), axis=1)
    for name in frame.columns:
        if pd.api.types.is_datetime64_any_dtype(frame[name]):
            frame[name] = frame[name].astype("datetime64[ns]")
        elif name in words or not pd.api.types.is_numeric_dtype(frame[name]):
            frame[name] = frame[name].astype(object)
    left_out, unreadable, named = counts[0], counts[1 : 1 + len(numbers)], counts[1 + len(numbers) :]
    checks: list[Check] = [(", ".join(where), "where", "W", left_out, "left out", "are not asked for")]
    checks += [
        (c, "readable", "E", n, "the study stops", "are not a number")
        for c, n in zip(numbers, unreadable, strict=True)
    ]
    checks += [
        ("unit", rule.name, "E", n, rule.action, rule.sentence)
        for rule, n in zip(UNIT_RULES, named, strict=True)
    ]
    for name, c in times.items():
        odd = int(frame[name].notna().sum()) if frame[name].dtype == object else 0
        checks.append((c, "readable", "E", odd, "the study stops", "are neither all numbers nor all dates"))
    return frame, number, checks


def _arms(frame: pd.DataFrame, arms: Mapping[str, bool]) -> list[Check]:
    here = sorted(frame["arm"].dropna().unique())
    if gone := [a for a in arms if a not in here]:
        raise DataError(
            together([f"panel.arm, unknown arm: nobody is in arm {a!r}.{nearest(a, here)}" for a in gone])
        )
    out = int((~frame["arm"].isin(list(arms))).sum())
    return [
        ("arm", "arm not listed", "W", out, "left out and counted", "are in an arm the study does not list")
    ]


def _rows(frame: pd.DataFrame, outcomes: Sequence[str]) -> list[Check]:
    key = ["unit", "period"]
    stop, units = "the study stops", pd.factorize(frame["unit"])[0]
    checks: list[Check] = [
        ("unit", "missing", "E", int(frame[key].isna().any(axis=1).sum()), stop, "have no unit or no period"),
        ("unit", "duplicate", "E", int(frame.duplicated(key).sum()), stop, "repeat a unit and period"),
    ]
    for name in ("arm", "first_treated", "cluster"):
        if name in frame:
            # Numbers for the values, -1 for none, are compared many times faster than the values.
            held = pd.Series(pd.factorize(frame[name])[0])[units >= 0].groupby(units[units >= 0])
            moved = int((held.min() < held.max()).sum())
            checks.append((name, "changes", "E", moved, stop, "are units in which it changes"))
    if "ended" in frame:
        found = ended_problems(frame["ended"], units)
        checks += [("ended", rule, "E", count, stop, said) for rule, (count, said) in found.items()]
    if "exposure" in frame:
        low = int((frame["exposure"] < 0).sum())
        checks.append(("exposure", "negative", "E", low, stop, "have negative time at risk"))
    for name in outcomes:
        empty = int(frame[name].isna().sum())
        checks.append((name, "missing", "W", empty, "not at risk in that period", "have no value"))
    return checks


def _selected(
    frame: pd.DataFrame,
    checks: list[Check],
    arms: Mapping[str, bool],
    outcomes: tuple[str, ...],
    covariates: tuple[str, ...],
    per: str,
) -> LongData:
    """Leave out the units of other arms, mark who is treated from when, and draw up what was found."""
    steps: list[tuple[Any, ...]] = [("in the file", "", frame["unit"].nunique())]
    if arms:
        listed = frame["arm"].isin(list(arms))
        steps.append(("left out", "arm not listed", frame.loc[~listed, "unit"].nunique()))
        frame = frame[listed].reset_index(drop=True)
        if "first_treated" not in frame:
            supported = frame["arm"].map(arms).astype(bool)
            first = pd.Series([frame["period"].min()] * len(frame), index=frame.index)
            frame["first_treated"] = first.where(supported)
    quality = pd.DataFrame([("panel", *check[:5]) for check in checks])
    quality.columns = pd.Index(["table", "column", "rule", "severity", "count", "action"])
    found = quality_of(quality[QUALITY])
    return LongData(frame, outcomes, covariates, per, found, units_flow(frame, steps, per))
