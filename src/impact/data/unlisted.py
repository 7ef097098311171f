"""Arms and waves of the files that the study does not list, by name, with the nearest that it lists."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

import duckdb
import pandas as pd

from impact.data.rules import SMALL_CELL

# Where names stand, and in which table are those that the study lists.
_LISTS = (("people", "arm", "listed"), ("survey", "wave", "asked"))
_NEAR, _SHOWN = 0.75, 5


def name_unlisted(con: duckdb.DuckDBPyConnection, quality: pd.DataFrame) -> pd.DataFrame:
    """Say beside what happens to rows of arms and waves not listed which these are.

    Named is what is near a listed name, or stands in many rows: other text might be of one person, as where
    the wrong column was taken for the arm.

    Parameters
    ----------
    con : DuckDBPyConnection
        With the tables of the contract, ``listed`` arms and ``asked`` waves.
    quality : DataFrame
        The count of every rule.
    """
    quality = quality.copy()
    for table, column, known in _LISTS:
        rows = (
            quality["table"].eq(table) & quality["rule"].eq(f"{column} not listed") & quality["count"].gt(0)
        )
        if rows.any() and (named := list(_names(con, table, column, known))):
            more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
            quality.loc[rows, "action"] += f": {', '.join(named[:_SHOWN])}{more}"
    return quality


def _names(con: duckdb.DuckDBPyConnection, table: str, column: str, known: str) -> Iterator[str]:
    listed = {
        str(name).casefold(): str(name)
        for (name,) in con.execute(f"FROM (SELECT {column} FROM {known})").fetchall()
    }
    found = con.execute(
        f"SELECT {column}, count(*) FROM {table} WHERE {column} NOT IN (SELECT {column} FROM {known}) "
        "GROUP BY 1 ORDER BY 2 DESC, 1"
    )
    for name, count in found.fetchall():
        near = difflib.get_close_matches(str(name).casefold(), list(listed), n=1, cutoff=_NEAR)
        if near:
            yield f"{name!r} (did you mean {listed[near[0]]!r}?)"
        elif count >= SMALL_CELL:
            yield repr(name)
