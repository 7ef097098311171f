"""The tables of the contract in DuckDB: found, typed, and every rule counted.

Nothing is estimated here. All problems of all tables are reported together, by table, column, rule and
count, and never with a person's value.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from impact.data.contract import TABLES, Column
from impact.data.kept import Kept, opened
from impact.data.reading import Found, Source, as_written, ask, connect, guessed, quote, scan
from impact.data.rule import Rule
from impact.data.rules import RULES
from impact.data.services import STAYS
from impact.data.unlisted import name_unlisted
from impact.errors import DataError, ParameterError, nearest, together

Rename = Mapping[str, Mapping[str, str]]

# Only these columns of contacts are held in memory: the others are read by what needs them.
_LOADED = ("person_id", "service", "start", "end", "record_id", "status")


@dataclass(frozen=True, eq=False)
class Store:
    """The checked tables ``people``, ``events``, ``stays`` and ``cover`` in DuckDB, by position ``pid``.

    ``columns`` are the columns the people file holds, ``quality`` has the count of every rule; ``kept`` is
    where counts from these tables can be kept.
    """

    con: duckdb.DuckDBPyConnection
    columns: list[str]
    quality: pd.DataFrame
    treated: tuple[str, ...]
    control: tuple[str, ...]
    kept: Kept | None = None


def load(
    sources: Mapping[str, Source],
    *,
    treated: Sequence[str],
    control: Sequence[str],
    rename: Rename | None,
    cache: str | Path | None = None,
    waves: Sequence[str] = (),
) -> Store:
    """Read, type and check all tables, or open those that are kept in ``cache``.

    Raises
    ------
    DataError
        With every problem of every table: files and columns first, then all rules that stop a study.
    """
    arms = _arms(treated, control)
    columns = {name: dict(mine) for name, mine in (rename or {}).items()}
    con, facts, kept = opened(
        connect(),
        lambda con: _tables(con, sources, arms, columns, waves),
        cache=cache,
        sources=sources,
        asked=["tables of the contract", arms, columns, *([list(waves)] if waves else [])],
    )
    return Store(con, facts["columns"], pd.DataFrame(facts["quality"]), tuple(treated), tuple(control), kept)


def _tables(
    con: duckdb.DuckDBPyConnection,
    sources: Mapping[str, Source],
    arms: Mapping[str, bool],
    rename: Rename,
    waves: Sequence[str],
) -> dict[str, Any]:
    """Make the tables; return the columns of people and the count of every rule."""
    found = _find(con, sources, rename)
    _listed(con, arms, waves)
    with as_written(con):
        extras = _people(con, found["people"])
        for name in ("coverage", "survey"):
            _plain(con, name, found.get(name))
    _contacts(con, found.get("contacts", _nothing("contacts")))
    _cover(con, by_interviews="contacts" not in found)
    unreadable = [_unreadable(con, table) for table in found.values()]
    absent = {"contacts", "survey"} - set(found)
    absent |= {"coverage"} if "contacts" in absent else set()
    quality = pd.concat([*unreadable, _checked(con, absent)], ignore_index=True)
    quality = name_unlisted(con, quality)
    _stop(con, quality, [name for name in ("people", "contacts", "survey") if name in found])
    _events(con)
    for name in sources:
        con.unregister(f"given_{name}")
    columns = [c for c in TABLES["people"].names if c in found["people"].mapping] + extras
    return {"columns": columns, "quality": quality.drop(columns=["stops", "sentence"]).to_dict("records")}


def _arms(treated: Sequence[str], control: Sequence[str]) -> dict[str, bool]:
    problems = []
    for name, arms in (("treated", treated), ("control", control)):
        if isinstance(arms, str) or not len(arms):
            problems.append(f"{name}={arms!r}: give a list with at least one arm.")
    if not problems and (both := sorted({str(a) for a in treated} & {str(a) for a in control})):
        problems.append(f"treated, control: {', '.join(map(repr, both))} cannot be both; list each arm once.")
    if problems:
        raise ParameterError(together(problems))
    return {str(a): name == "t" for name, arms in (("t", treated), ("c", control)) for a in arms}


def _find(con: duckdb.DuckDBPyConnection, sources: Mapping[str, Source], rename: Rename) -> dict[str, Found]:
    found, problems = {}, []
    for name in rename:
        if name not in TABLES:
            problems.append(f"rename: there is no table {name!r}.{nearest(name, TABLES)}")
    for name, source in sources.items():
        table, mine = TABLES[name], dict(rename.get(name, {}))
        try:
            sql, types = scan(con, name, source)
        except DataError as error:
            problems.append(str(error))
            continue
        for ours, theirs in mine.items():
            if ours not in table.names:
                problems.append(
                    f"rename.{name}: the contract has no column {ours!r}.{nearest(ours, table.names)} "
                    "Columns of your own need no rename: use their name as it is."
                )
            if theirs not in types:
                problems.append(f"rename.{name}: the file has no column {theirs!r}.{nearest(theirs, types)}")
        mapping = {c: mine.get(c, c) for c in table.names if mine.get(c, c) in types}
        for column in table.columns:
            if column.required and column.name not in mapping and column.name not in mine:
                problems.append(
                    f"{name}: column {column.name!r} is missing ({column.meaning.split(':')[0]})."
                    f"{nearest(column.name, types)} Name yours under data.rename.{name}."
                )
        found[name] = Found(name, sql, types, mapping)
    if problems:
        raise DataError(together(problems))
    return found


def _checkable(table: Found) -> list[Column]:
    """The columns that are there and whose values may not fit their type."""
    columns = [c for c in TABLES[table.name].columns if c.name in table.mapping]
    return [c for c in columns if (c.type != "text" or c.allowed) and _wanted(table.name, c)]


def _wanted(table: str, column: Column) -> bool:
    return table != "contacts" or column.name in _LOADED


def _typed(table: Found, more: Mapping[str, str] | None = None) -> str:
    """SQL for a table by the contract's types, with a mark on each value that does not fit.

    ``more`` is SQL for columns outside the contract. Each value is written once, as planning a query takes
    longer than to read a small file.
    """
    values, shown = dict[str, str](), []
    checkable = _checkable(table)
    for column in TABLES[table.name].columns:
        if _wanted(table.name, column):
            name, given = quote(column.name), quote(f" given {column.name}")
            text, values[name] = table.column(column)
            shown.append(name)
            if column in checkable:
                values[given] = text
                unreadable = quote(f"unreadable {column.name}")
                shown.append(f"{given} IS NOT NULL AND {name} IS NULL AS {unreadable}")
    for other, value in (more or {}).items():
        values[quote(other)] = value
        shown.append(quote(other))
    inner = ", ".join(f"{value} AS {name}" for name, value in values.items())
    return f"(SELECT {', '.join(shown)} FROM (SELECT {inner} FROM {table.scan}))"


def _unreadable(con: duckdb.DuckDBPyConnection, table: Found) -> pd.DataFrame:
    """Count, for each column, the values that do not fit its type, and the blanks taken as 'unknown'."""
    found, stop = {}, "the study stops"
    for c in _checkable(table):
        unreadable = quote(f"unreadable {c.name}")
        rule = Rule(table.name, c.name, "readable", f"are not {c.expected}", "E", "", stop)
        found[rule] = f"count_if({unreadable})"
        if "unknown" in c.allowed:
            rule = Rule(table.name, c.name, "blank", "are blank", "W", "", "taken as 'unknown'")
            found[rule] = f"count_if({quote(c.name)} IS NULL AND NOT {unreadable})"
    counts = con.execute(f"SELECT {', '.join(found.values())} FROM {table.name}").fetchone() if found else ()
    rows = [_row(rule, n, rule.severity == "E") for rule, n in zip(found, counts or (), strict=True)]
    return pd.DataFrame(rows)


def _row(rule: Rule, count: int | None, stops: bool, name: str | None = None) -> dict[str, Any]:
    return {
        "table": rule.table,
        "column": rule.column,
        "rule": name or rule.name,
        "severity": rule.severity,
        # Sums over a table without rows are NULL.
        "count": int(count or 0),
        "action": rule.action,
        "stops": bool(stops and count),
        "sentence": rule.sentence,
    }


def _listed(con: duckdb.DuckDBPyConnection, arms: Mapping[str, bool], waves: Sequence[str]) -> None:
    con.execute("CREATE TABLE asked AS SELECT unnest(?::VARCHAR[]) AS wave", [list(waves)])
    con.execute("CREATE TABLE listed (arm VARCHAR, treated BOOLEAN)")
    con.executemany("INSERT INTO listed VALUES (?, ?)", [[a, t] for a, t in arms.items()])


def _people(con: duckdb.DuckDBPyConnection, table: Found) -> list[str]:
    extras = _extras(table)
    # People are numbered in the order of their identifiers, so that no result depends on the file's order.
    ask(
        con,
        "people",
        "CREATE TABLE people AS SELECT CAST(row_number() OVER (ORDER BY person_id) - 1 AS INTEGER) AS pid, * "
        f"FROM {_typed(table, guessed(con, table, extras))}",
    )
    return extras


def _plain(con: duckdb.DuckDBPyConnection, name: str, table: Found | None) -> None:
    given = table or _nothing(name)
    # Scores of the study's own stand in further columns of a survey.
    extras = _extras(given) if name == "survey" else []
    ask(con, name, f"CREATE TABLE {name} AS FROM {_typed(given, guessed(con, given, extras))}")


def _nothing(name: str) -> Found:
    """A table that was not given."""
    return Found(name, "(SELECT 1 WHERE false)", {}, {})


def _extras(table: Found) -> list[str]:
    """The columns of a file that are none of the contract's, and do not share a name with one."""
    known = {c.lower() for c in TABLES[table.name].names} | {"pid"}
    used = set(table.mapping.values())
    return [n for n in table.types if n not in used and n.lower() not in known]


def _contacts(con: duckdb.DuckDBPyConnection, table: Found) -> None:
    ask(
        con,
        "contacts",
        f"""
        CREATE TABLE contacts AS
        SELECT i.pid, c.* EXCLUDE (person_id, record_id),
               CASE WHEN record_id IS NOT NULL THEN hash(record_id) END AS record
        FROM {_typed(table)} c
        LEFT JOIN (SELECT person_id, min(pid) AS pid FROM people GROUP BY person_id) i USING (person_id)
        """,
    )


def _cover(con: duckdb.DuckDBPyConnection, *, by_interviews: bool) -> None:
    """Make ``cover``: for each service and listed arm, the disjoint intervals [lo, hi) that are observed.

    A service without a row in coverage is taken as observed from its first to its last contact. Where there
    are no contacts at all, people are observed for as long as there are interviews.
    """
    interviews = """
        SELECT 'interviews' AS service, min(interview_date) AS lo, max(interview_date) + 1 AS hi
        FROM survey s JOIN people p USING (person_id)
    """
    contacts = """
        SELECT service, min(start) AS lo, max(start) + 1 AS hi
        FROM contacts c JOIN people p USING (pid)
        WHERE service IS NOT NULL
          AND start BETWEEN coalesce(p.birth_month, start) AND coalesce(p.died, start)
          AND service NOT IN (SELECT service FROM coverage WHERE service IS NOT NULL)
        GROUP BY service
    """
    con.execute(f"CREATE TABLE assumed AS {interviews if by_interviews else contacts}")
    given = """
        SELECT service, l.arm, first_date AS lo, last_date + 1 AS hi
        FROM coverage v JOIN listed l ON v.applies_to_arm IS NULL OR v.applies_to_arm = l.arm
        WHERE first_date <= last_date
        UNION ALL SELECT service, arm, lo, hi FROM assumed, listed
    """
    con.execute(f"CREATE TABLE cover AS {_merged(given, 'service, arm')}")


def _merged(intervals: str, by: str) -> str:
    """SQL that merges intervals [lo, hi) that overlap or touch, within the columns ``by``."""
    # A new interval begins where one starts after every earlier one has ended. Equal intervals are made one
    # first, because two windows may put equal rows in different orders.
    return f"""
        WITH marked AS (
            SELECT *, lo > coalesce(max(hi) OVER (PARTITION BY {by} ORDER BY lo, hi
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), DATE '0001-01-01') AS fresh
            FROM (SELECT DISTINCT * FROM ({intervals}))
        ), numbered AS (
            SELECT *, sum(CAST(fresh AS INTEGER)) OVER (PARTITION BY {by} ORDER BY lo, hi
                ROWS UNBOUNDED PRECEDING) AS part
            FROM marked
        )
        SELECT {by}, min(lo) AS lo, max(hi) AS hi FROM numbered GROUP BY {by}, part
    """


def _checked(con: duckdb.DuckDBPyConnection, absent: Collection[str]) -> pd.DataFrame:
    """Count every rule, with one pass over each source of rows."""
    default = {"people": "people p", "contacts": "contacts c LEFT JOIN people p USING (pid)"}
    rules = [r for r in RULES if r.table not in absent and not any(f"FROM {t} " in r.where for t in absent)]
    sources: dict[str, list[Rule]] = {}
    for rule in rules:
        sources.setdefault(rule.rows or default.get(rule.table, rule.table), []).append(rule)
    found: dict[Rule, dict[str | None, int]] = {}
    for rows, members in sources.items():
        sums = [f"coalesce(sum(CAST(({r.where}) AS BIGINT)), 0)" for r in members]
        plain = [(r, s) for r, s in zip(members, sums, strict=True) if not r.by_arm]
        if plain:
            counts = con.execute(f"SELECT {', '.join(s for _, s in plain)} FROM {rows}").fetchone() or ()
            found |= {r: {None: int(n)} for (r, _), n in zip(plain, counts, strict=True)}
        for rule, total in zip(members, sums, strict=True):
            if rule.by_arm:
                arms = con.execute(f"SELECT arm, {total} FROM {rows} GROUP BY arm ORDER BY arm").fetchall()
                found[rule] = {arm: int(n) for arm, n in arms}
    size = {t: (con.execute(f"SELECT count(*) FROM {t}").fetchone() or (0,))[0] for t in TABLES}
    return pd.DataFrame(
        [
            _row(
                rule,
                n,
                rule.tolerated is not None and n > rule.tolerated * size[rule.table],
                f"{rule.name}, arm {arm}" if arm else None,
            )
            for rule in rules
            for arm, n in found[rule].items()
        ]
    )


def _stop(con: duckdb.DuckDBPyConnection, quality: pd.DataFrame, given: Sequence[str]) -> None:
    if empty := [t for t in given if not con.execute(f"FROM {t} LIMIT 1").fetchone()]:
        raise DataError(together([f"{table}: the file holds no rows." for table in empty]))
    linked = "FROM contacts c JOIN people p USING (pid) LIMIT 1"
    if "contacts" in given and not con.execute(linked).fetchone():
        raise DataError(
            "contacts.person_id: no contact belongs to anybody in people; are both files of the same place, "
            "with the same study numbers?"
        )
    problems = []
    for row in quality[quality["stops"]].to_dict("records"):
        if row["rule"] == "unknown arm":
            here = [a for (a,) in con.execute("SELECT DISTINCT arm FROM people ORDER BY 1").fetchall() if a]
            gone = con.execute(
                "SELECT arm FROM listed WHERE arm NOT IN (SELECT unnest(?)) ORDER BY 1", [here]
            )
            problems += [
                f"people.arm, unknown arm: nobody is in arm {arm!r}.{nearest(arm, here)} The file has "
                f"{', '.join(map(repr, here[:20])) or 'no arms'}."
                for (arm,) in gone.fetchall()
            ]
            continue
        place = f"{row['table']}.{row['column']}, {row['rule']}"
        problems.append(f"{place}: {row['count']} row(s) of the file {row['sentence']}.")
    if problems:
        raise DataError(
            together([*problems, "Nothing was estimated: mend the files, or leave those rows out."])
        )


def _events(con: duckdb.DuckDBPyConnection) -> None:
    """Keep the contacts that count, one of each record, and the merged stays; let the rest go."""
    drops = [r.where for r in RULES if r.table == "contacts" and r.drops]
    kept = " AND ".join(f"NOT coalesce({where}, false)" for where in drops)
    con.execute(
        f"""
        CREATE TABLE events AS
        SELECT pid, service, start, max("end") AS "end"
        FROM (SELECT c.*, c.rowid AS row FROM contacts c) c JOIN people p USING (pid)
        WHERE {kept} AND p.arm IN (SELECT arm FROM listed)
        GROUP BY pid, service, start, record, CASE WHEN record IS NULL THEN row END
        """
    )
    # The night of a day belongs to that day: a stay is the interval [start, end), empty on one day.
    nights = (
        f"""SELECT pid, start AS lo, "end" AS hi FROM events WHERE service IN {STAYS} AND "end" > start"""
    )
    con.execute(f"CREATE TABLE stays AS {_merged(nights, 'pid')}")
    con.execute("DROP TABLE contacts")
