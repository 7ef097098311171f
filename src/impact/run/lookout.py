"""A last look at what is to be sent: nothing in it is the data's own name of a person, a home or a worker."""

from __future__ import annotations

import csv
import datetime
import html
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import duckdb
import pandas as pd

from impact.data.kept import opened
from impact.data.reading import ask, connect, literal, quote, scan
from impact.disclosure.identifiers import NAMING, as_typed, days_in
from impact.disclosure.policies import policy
from impact.errors import DisclosureError, together
from impact.run.plan import code_hash
from impact.study import Study

_READ = (".html", ".json", ".csv", ".md")
# Pictures and styles say nothing that can be searched.
_NO_TEXT = re.compile(
    r"data:[\w/+.;-]+;base64,[A-Za-z0-9+/=\s]+|<style.*?</style>", re.DOTALL | re.IGNORECASE
)
# Columns are known by their letters alone: NHS Number, nhs_number and NHSNumber are one.
_NAMING = {name.replace("_", "") for name in NAMING} | {
    *("recordid", "nhsno", "tenantid", "nationalinsurancenumber", "ninumber"),
    *("tenantname", "personname", "fullname", "firstname", "lastname", "givenname", "familyname"),
    *("email", "emailaddress", "phone", "telephone", "mobile"),
}
_LIVES = {"died", "dateofbirth", "dob", "birthdate", "dateofdeath", "deathdate"}
# A column of people in which at least these many values, and this share of them, are each one person's.
_OWN_VALUES, _OWN_SHARE = 20, 0.9
# What stands in such a column where nobody is named.
_NOBODY = ("all", "missing", "mixed", "n a", "none", "not known", "other", "various", "unknown")
# A longer name is found by its first words.
_WORDS = 4
# What of a column of remarks tells of one person: digits, words enough, or words that all begin like names.
_TELLING = f"""
    regexp_matches(given, '\\d') OR len(string_split(value, ' ')) >= {_WORDS}
    OR regexp_matches(given, '\\p{{Ll}}')
    AND regexp_full_match(given, '(\\p{{Lu}}[\\p{{L}}''’.]*[^\\p{{L}}]*){{2,}}')
"""


def refuse_names(study: Study, folder: Path) -> None:
    """Stop a report in which a file holds a value of a naming column of the data, or a day of death.

    A column names people if it is called so, in the data or in the parameter file, and also if nearly every
    person has a text of their own in it. A value with a digit in it or of several words is looked for
    everywhere, one of a single plain word, such as a house called Control, only as a whole cell of a table. A
    building is a name only where fewer people live in it than may be shown. A PDF is printed from the page
    beside it, and says no more; a file of any other kind cannot be searched, and stops the report.

    Raises
    ------
    DisclosureError
        All places together, by file and column of the data; never the value.
    """
    files = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
    texts = {name: _text(p) for name, p in files.items() if p.suffix in _READ}
    problems = [
        f"{name}: this kind of file cannot be searched for names; leave it out."
        for name, p in files.items()
        if name not in texts and not (p.suffix == ".pdf" and p.with_suffix(".html") in files.values())
    ]
    con, looked_at = _names(study)
    for name, found in (("words", _words), ("cells", _cells)):
        frame = pd.DataFrame(
            [(file, word) for file, text in texts.items() for word in set(found(file, text))],
            columns=["file", "value"],
            dtype=str,
        )
        con.register(name, frame)
    # On which days the plan was written is nobody's life.
    own = {datetime.date.today()} | {day for _, day in days_in(str(study.planned))}
    days = {file: {day for _, day in days_in(as_typed(text))} - own for file, text in texts.items()}
    held_by = _held_by(con)
    for table, column, name in looked_at:
        found_in = held_by.get((table, column), set())
        found_in |= _of_a_life(con, table, column, days) if name in _LIVES else set()
        problems += [
            f"{file}: holds a value of the column {column!r} of {table}." for file in sorted(found_in)
        ]
    if problems:
        raise DisclosureError(together(problems))


def _names(study: Study) -> tuple[duckdb.DuckDBPyConnection, list[tuple[str, str, str]]]:
    """Gather what names someone, as the tables ``known`` and ``lives``, and say which columns were read.

    It lies where what was read of the data does, for the next report from the same.
    """
    least = policy(study.disclosure).smallest_shown

    def build(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str]]:
        looked_at = []
        con.execute("CREATE TABLE held (source VARCHAR, named VARCHAR, given VARCHAR, rows BIGINT)")
        for table, given in study.files.items():
            sql, types = scan(con, table, given)
            meanings = _meanings(study, table, types)
            columns = [c for c, name in meanings.items() if table == "people" or name in _NAMING | _LIVES]
            _hold(con, table, sql, columns)
            looked_at += [(table, column, meanings[column]) for column in columns]
        _know(con, looked_at, least)
        return looked_at

    con, looked_at, _ = opened(
        connect(),
        build,
        cache=os.environ.get("IMPACT_CACHE"),
        sources=study.files,
        asked=["names", code_hash(), least, study.data],
    )
    return con, looked_at


def _meanings(study: Study, table: str, types: Mapping[str, str]) -> dict[str, str]:
    """What each column of a table is called by the parameter file, or else by itself; in letters alone."""
    panel = study.data.panel
    renamed = panel.rename if panel else getattr(study.data.rename, table, {})
    ours = {column: name for name, column in renamed.items()}
    if panel:
        ours[renamed.get(panel.unit, panel.unit)] = "person_id"
    return {column: re.sub(r"[\W_]+", "", ours.get(column, column).lower()) for column in types}


def _hold(con: duckdb.DuckDBPyConnection, table: str, sql: str, columns: Sequence[str]) -> None:
    """Read a table once, and hold the values of its columns with how many rows have each."""
    if columns:
        texts = ", ".join(f"CAST({quote(c)} AS VARCHAR) AS {quote(c)}" for c in columns)
        given = f"UNPIVOT (SELECT {texts} FROM {sql}) ON COLUMNS(*) INTO NAME named VALUE given"
        counted = f"SELECT {literal(table)}, named, given, count(*) FROM ({given}) GROUP BY ALL"
        ask(con, table, f"INSERT INTO held {counted}")


def _know(con: duckdb.DuckDBPyConnection, looked_at: Sequence[tuple[str, str, str]], least: int) -> None:
    """Keep of what is held the values that name someone, and the days of lives."""
    rows = [
        (table, column, name in _NAMING, name in _LIVES, (table, name) == ("people", "buildingid"))
        for table, column, name in looked_at
    ]
    asked = pd.DataFrame(rows, columns=["source", "named", "naming", "living", "of_few"])
    con.register("asked", asked.astype({"naming": bool, "living": bool, "of_few": bool}))
    listed = ", ".join(literal(word) for word in _NOBODY)
    con.execute(f"""
        CREATE TABLE known AS WITH own AS (
            SELECT source, named FROM held WHERE source = 'people' GROUP BY ALL
            HAVING count(*) >= greatest({_OWN_VALUES}, {_OWN_SHARE} * sum(rows))
        ),
        plain AS (
            SELECT source, named, naming,
                trim(regexp_replace(lower(given), '[^\\p{{L}}\\p{{N}}_]+', ' ', 'g')) AS value,
                any_value(given) AS given
            FROM held JOIN asked USING (source, named) LEFT JOIN own USING (source, named)
            WHERE naming OR own.named IS NOT NULL
            GROUP BY ALL HAVING NOT any_value(of_few) OR sum(rows) < {least}
        )
        SELECT source, named, value, string_split(value, ' ') AS parts,
            regexp_matches(value, '\\p{{L}}') AS written
        FROM plain WHERE len(value) > 2 AND value NOT IN ({listed}) AND (naming OR {_TELLING})
    """)
    con.execute(
        "CREATE TABLE lives AS "
        "SELECT source, named, given FROM held JOIN asked USING (source, named) WHERE living"
    )
    con.unregister("asked")
    con.execute("DROP TABLE held")


def _held_by(con: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], set[str]]:
    """Find the files that hold a value of a column that names someone, by table and column."""
    query = f"""
        SELECT source, named, file
        FROM words JOIN known ON words.value = array_to_string(parts[1:{_WORDS}], ' ')
        WHERE written AND (len(parts) > 1 OR regexp_matches(known.value, '\\d')) OR known.value ~ '\\d{{8,}}'
        UNION SELECT source, named, file FROM cells JOIN known ON cells.value = known.value WHERE written
    """
    found: dict[tuple[str, str], set[str]] = {}
    for table, column, file in con.execute(query).fetchall():
        found.setdefault((table, column), set()).add(file)
    return found


def _of_a_life(
    con: duckdb.DuckDBPyConnection, table: str, column: str, days: Mapping[str, set[datetime.date]]
) -> set[str]:
    """Find the files that hold a day on which someone was born or died."""
    values = con.execute("SELECT given FROM lives WHERE source = ? AND named = ?", [table, column]).fetchall()
    theirs = {day for (value,) in values for _, day in days_in(value) if day.day != 1}
    return {file for file, said in days.items() if said & theirs}


def _text(file: Path) -> str:
    text = _NO_TEXT.sub(" ", file.read_text(encoding="utf-8"))
    return html.unescape(text) if file.suffix == ".html" else text


def _plain(text: str) -> list[str]:
    return re.findall(r"\w+", as_typed(text).lower())


def _words(file: str, text: str) -> Iterator[str]:
    """Every run of one to four words, and the file's own name."""
    words = _plain(f"{file} {text}")
    for length in range(1, _WORDS + 1):
        yield from (" ".join(words[i : i + length]) for i in range(len(words) - length + 1))


def _cells(file: str, text: str) -> Iterator[str]:
    if file.endswith(".csv"):
        yield from (" ".join(_plain(cell)) for row in csv.reader(io.StringIO(text)) for cell in row)
    elif file.endswith(".md"):
        yield from (" ".join(_plain(cell)) for cell in text.split("|"))
