"""The identifier guard: no text that names a person, a home or a machine leaves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from impact.errors import DisclosureError, together

# Columns whose every value stands for one person, home or worker.
NAMING = frozenset(
    {"person_id", "nhs_number", "building_id", "household_id", "officer_id", "tenancy_id", "uprn"}
    | {"postcode", "address", "surname", "forename", "date_of_birth", "dob"}
)

_NHS = re.compile(r"(?<!\d)(\d{3})[ -]?(\d{3})[ -]?(\d{4})(?!\d)")
_PATTERNS = {
    "an e-mail address": re.compile(r"[\w.+-]+@[\w-]+\.\w[\w.-]*"),
    "a UK postcode": re.compile(
        r"(?<![A-Z0-9])(?:GIR ?0AA|[A-PR-UWYZ](?:\d{1,2}|[A-HK-Y]\d(?:\d|[ABEHMNPRV-Y])?|\d[A-HJKPSTUW])"
        r" ?\d[ABD-HJLNP-UW-Z]{2})(?![A-Z0-9])",
        re.IGNORECASE,
    ),
    "a file path": re.compile(r"(?<![\w./<])/(?:[\w.~-]+/)+[\w.~-]*|\b[A-Za-z]:\\|\\\\\w|\bfile://"),
}
_DATE = re.compile(r"(?<!\d)(?:\d{4}-\d{2}-(\d{2})|(\d{1,2})/\d{1,2}/\d{4})(?!\d)")


def is_nhs_number(digits: str) -> bool:
    """Whether ten digits carry the NHS number's check digit (modulus 11).

    Examples
    --------
    >>> is_nhs_number("9434765919"), is_nhs_number("9434765918")
    (True, False)
    """
    total = sum(int(d) * w for d, w in zip(digits[:9], range(10, 1, -1), strict=True))
    return -total % 11 == int(digits[9]) and len(set(digits)) > 1


def found_in(text: str, *, cell: bool = False) -> list[str]:
    """Say what identifies someone in a text, never the text itself.

    With ``cell``, an exact date counts too: a period in a table begins on the first of a month, so any
    other day in a cell may be a birth, a contact or a death.

    Examples
    --------
    >>> found_in("call 943 476 5919 or SW1A 1AA"), found_in("12 of 180"), found_in("2024-03-05", cell=True)
    (['an NHS number', 'a UK postcode'], [], ['an exact date'])
    """
    found = ["an NHS number"] if any(is_nhs_number("".join(m)) for m in _NHS.findall(text)) else []
    found += [what for what, pattern in _PATTERNS.items() if pattern.search(text)]
    if cell and any(int(a or b) != 1 for a, b in _DATE.findall(text)):
        found.append("an exact date")
    return found


def refuse_identifiers(name: str, table: pd.DataFrame, texts: Mapping[str, Any]) -> None:
    """Stop the release if a table or its texts name a person, a home or a machine.

    Raises
    ------
    DisclosureError
        All places of one result together, by column; never the value.
    """
    problems = [f"{name!r}: its name holds {what}." for what in found_in(name)]
    for column in table.columns:
        place = f"{name!r}, column {column!r}"
        if found_in(str(column)):
            problems.append(f"{name!r}: a column name holds {found_in(str(column))[0]}.")
        elif str(column).lower() in NAMING:
            problems.append(f"{place}: each value stands for a person, a home or a worker; leave it out.")
        else:
            kinds = {what for cell in _cells(table[column]) for what in found_in(cell, cell=True)}
            problems += [f"{place} holds {what}; remove it before release." for what in sorted(kinds)]
    for key, text in _texts(texts):
        problems += [f"{name!r}, {key} holds {what}; remove it before release." for what in found_in(text)]
    if problems:
        raise DisclosureError(together(problems))


def _cells(column: pd.Series) -> list[str]:
    if pd.api.types.is_float_dtype(column) or pd.api.types.is_bool_dtype(column):
        return []
    return [str(v)[:10] if isinstance(v, pd.Timestamp) else str(v) for v in column.dropna().unique()]


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for k, v in value.items():
            yield from _texts(v, f"{key}.{k}" if key else str(k))
    elif isinstance(value, list | tuple | set):
        for v in value:
            yield from _texts(v, key)
    elif isinstance(value, str):
        yield key, value
