"""Files and frames as DuckDB reads them: CSV and Parquet, one or many, each column typed by the contract."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path

import duckdb
import pandas as pd

from impact.data.contract import Column, Type
from impact.errors import DataError, nearest, together
from impact.stores import FETCHED, is_address

Source = str | Path | Sequence[str | Path] | pd.DataFrame

_EMPTY = "('', 'NA', 'NULL', 'NaN', 'nan', 'NaT')"


@dataclass(frozen=True)
class Found:
    """A table as it was given: what DuckDB reads from, and the type of each of its columns."""

    name: str
    scan: str
    types: Mapping[str, str]
    mapping: Mapping[str, str]

    def column(self, column: Column) -> tuple[str, str]:
        """SQL for the text (or native value) of a column, and for its value by the contract's type."""
        given = self.mapping.get(column.name)
        if given is None:
            return "NULL", f"CAST(NULL AS {_SQL_TYPES[column.type]})"
        return typed(column, given, self.types[given])


_SQL_TYPES = {
    "text": "VARCHAR",
    "date": "DATE",
    "month": "DATE",
    "bool": "BOOLEAN",
    "int": "INTEGER",
    "float": "DOUBLE",
}


def quote(name: str) -> str:
    """Quote a name for SQL, so that it is never read as anything else."""
    return '"' + str(name).replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text for SQL, where a parameter cannot be bound."""
    return "'" + str(text).replace("'", "''") + "'"


def connect() -> duckdb.DuckDBPyConnection:
    """Open a database in memory that spills to the machine's temporary folder, not to the project's."""
    con = duckdb.connect()
    con.execute(f"SET temp_directory = {literal(str(Path(tempfile.gettempdir()) / 'impact-duckdb'))}")
    con.execute("SET preserve_insertion_order = false")
    return con


def scan(con: duckdb.DuckDBPyConnection, name: str, source: Source) -> tuple[str, dict[str, str]]:
    """Return the SQL that reads a source (path, paths, glob or frame), and the types of its columns."""
    if isinstance(source, pd.DataFrame):
        doubled = sorted({str(c) for c in source.columns[source.columns.duplicated()]})
        if doubled:
            raise DataError(f"{name}: the frame has two columns {doubled[0]!r}; keep one.")
        # DuckDB cannot read columns that run backwards in memory, as in frame[::-1]; in a copy none do.
        con.register(f"given_{name}", source.set_axis([str(c) for c in source.columns], axis=1).copy())
        sql = quote(f"given_{name}")
    else:
        files = files_of(name, source)
        listed = "[" + ", ".join(literal(f) for f in files) + "]"
        parquet = {Path(f).suffix.lower() in (".parquet", ".pq") for f in files}
        if len(parquet) > 1:
            raise DataError(f"{name}: CSV and Parquet files are mixed; give one kind.")
        sql = (
            f"read_parquet({listed}, union_by_name = true)"
            if parquet.pop()
            else f"read_csv({listed}, header = true, all_varchar = true, union_by_name = true, "
            "quote = '\"', escape = '\"')"
        )
    rows = ask(con, name, f"DESCRIBE SELECT * FROM {sql}").fetchall()
    types = {str(row[0]): str(row[1]) for row in rows}
    columns = ", ".join(_clean(c) if _is_text(kind) else quote(c) for c, kind in types.items())
    return f"(SELECT {columns} FROM {sql})", types


def _is_text(kind: str) -> bool:
    return kind == "VARCHAR" or kind.startswith("ENUM")


def _clean(column: str) -> str:
    """SQL for a text column without blanks at its ends, and NULL where it says that nothing is known."""
    text = f"trim(CAST({quote(column)} AS VARCHAR))"
    return f"CASE WHEN {text} NOT IN {_EMPTY} THEN {text} END AS {quote(column)}"


def ask(con: duckdb.DuckDBPyConnection, name: str, sql: str) -> duckdb.DuckDBPyConnection:
    """Run a query on a user's file; the message of a failure never repeats a line of the file."""
    try:
        return con.execute(sql)
    except duckdb.Error as error:
        line = re.search(r"[Ll]ine:? (\d+)", str(error))
        where = f" near line {line[1]}" if line else ""
        hint = (
            "save it as UTF-8, with line endings of one kind"
            if "nicode" in str(error) or "utf" in str(error).lower()
            else "open it and look, also for line endings of two kinds"
        )
        raise DataError(
            f"{name}: the file could not be read as a table{where} ({type(error).__name__}); {hint}."
        ) from None


@contextmanager
def as_written(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Plan queries that read one table as they are written.

    To look for a better plan takes longer than to read a small file, and finds none for a large one; only
    what is written twice is worked out once.
    """
    named = "SELECT string_agg(name, ',') FROM duckdb_optimizers() WHERE name <> 'common_subexpressions'"
    ((names,),) = con.execute(named).fetchall()
    con.execute(f"SET disabled_optimizers = {literal(names)}")
    yield
    con.execute("RESET disabled_optimizers")


def files_of(name: str, source: str | Path | Iterable[str | Path]) -> list[str]:
    """Return the files that paths, globs or addresses in a store stand for; the last are fetched.

    Raises
    ------
    DataError
        With the names of all that are not there.
    """
    sources = [source] if isinstance(source, str | Path) else source
    files: list[str] = []
    problems = []
    for one in sources:
        path = Path(one)
        if is_address(one) and (fetched := FETCHED.fetch(str(one))):
            files += map(str, fetched)
        elif path.is_file():
            files.append(str(path))
        elif has_magic(str(one)) and (found := sorted(glob(str(one), recursive=True))):
            files += found
        else:
            near = (
                sorted(p.name for p in path.parent.iterdir() if p.is_file()) if path.parent.is_dir() else []
            )
            problems.append(f"{name}: file {str(one)!r} is not there.{nearest(path.name, near)}")
    if not problems and not files:
        problems.append(f"{name}: no file was given.")
    if problems:
        raise DataError(together(problems))
    return files


def typed(column: Column, given: str, kind: str) -> tuple[str, str]:
    """Return SQL for a given column's cleaned text, and for its value by the contract's type.

    The value is NULL where the text cannot be read; the two together count what is unreadable.
    """
    q = quote(given)
    if kind in ("DOUBLE", "FLOAT"):
        # A number read through a frame with gaps is a float: 11.0 is the text '11'.
        whole = f"{q} = trunc({q}) AND abs({q}) < 1e15"
        text = (
            f"CASE WHEN isnan({q}) THEN NULL WHEN {whole} THEN CAST(CAST({q} AS BIGINT) AS VARCHAR) "
            f"ELSE CAST({q} AS VARCHAR) END"
        )
    else:
        text = q if _is_text(kind) else f"CAST({q} AS VARCHAR)"
    day = kind == "DATE" or kind.startswith("TIMESTAMP")
    if column.type == "text":
        if not column.allowed and column.name != "service":
            return text, text
        lower = f"lower({text})"
        allowed = ", ".join(literal(a) for a in column.allowed)
        return text, f"CASE WHEN {lower} IN ({allowed}) THEN {lower} END" if allowed else lower
    if column.type in ("date", "month"):
        date = f"CAST({q} AS DATE)" if day else _date(text)
        if column.type == "month" and not day:
            month = f"TRY_CAST({text} || '-01' AS DATE)"
            date = (
                f"CASE WHEN regexp_full_match({text}, '[0-9]{{4}}-[0-9]{{2}}') THEN {month} ELSE {date} END"
            )
        return (q if day else text), (
            f"CAST(date_trunc('month', {date}) AS DATE)" if column.type == "month" else date
        )
    if column.type == "bool":
        yes, no = "('true', 't', 'yes', 'y', '1')", "('false', 'f', 'no', 'n', '0')"
        words = f"lower({text})"
        return text, f"CASE WHEN {words} IN {yes} THEN true WHEN {words} IN {no} THEN false END"
    number = f"TRY_CAST({text} AS DOUBLE)"
    limits = [f"isfinite({number})"]
    limits += [f"{number} = trunc({number})"] if column.type == "int" else []
    limits += [f"{number} >= {column.low}"] if column.low is not None else []
    limits += [f"{number} <= {column.high}"] if column.high is not None else []
    return text, f"CASE WHEN {' AND '.join(limits)} THEN CAST({number} AS {_SQL_TYPES[column.type]}) END"


def _date(text: str) -> str:
    iso = f"CAST(TRY_CAST({text} AS TIMESTAMP) AS DATE)"
    british = f"CAST(try_strptime(substr({text}, 1, 10), '%d/%m/%Y') AS DATE)"
    return f"CASE WHEN contains(substr({text}, 1, 3), '/') THEN {british} ELSE {iso} END"


def guessed(con: duckdb.DuckDBPyConnection, found: Found, names: Sequence[str]) -> dict[str, str]:
    """Return SQL for columns outside the contract: numbers, dates or months if all are, else text."""
    if not names:
        return {}
    kinds: tuple[Type, ...] = ("float", "date", "month")
    tried = {n: [typed(Column(n, kind, ""), n, found.types[n]) for kind in kinds] for n in names}
    counts = [
        f"count_if(({text}) IS NOT NULL AND ({value}) IS NULL)"
        for columns in tried.values()
        for text, value in columns
    ]
    bad = iter(ask(con, found.name, f"SELECT {', '.join(counts)} FROM {found.scan}").fetchone() or ())
    out = {}
    for n, columns in tried.items():
        fits = [value for _, value in columns if next(bad) == 0]
        out[n] = fits[0] if fits else typed(Column(n, "text", ""), n, found.types[n])[1]
    return out
