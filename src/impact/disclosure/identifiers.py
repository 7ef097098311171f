"""The identifier guard: no text that names a person, a home or a machine leaves."""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from impact.errors import DisclosureError, together

# Columns whose every value stands for one person, home or worker.
NAMING = frozenset(
    {"person_id", "nhs_number", "building_id", "household_id", "officer_id", "tenancy_id", "uprn"}
    | {"postcode", "address", "surname", "forename", "date_of_birth", "dob"}
)

_NHS = re.compile(r"(?<!\d)(?<!\d\.)(\d{3})[ .-]{0,3}(\d{3})[ .-]{0,3}(\d{4})(?!\d)")
# Up to two spaces or hyphens between digits; a number that begins with 0 or +44 and has ten or eleven digits.
_PHONE = r"(?<![\w.,])(?:\+44[ -]?(?:\(0\)[ -]?)?|\(?0)[1-378]\d(?:[ )-]{0,2}\d){7,8}(?![\w,]|\.\d)"
_PATTERNS = {
    "an e-mail address": re.compile(r"[\w.+-]+@[\w-]+\.\w[\w.-]*"),
    "a UK postcode": re.compile(
        r"(?<![A-Z0-9])(?:GIR ?0AA|[A-PR-UWYZ](?:\d{1,2}|[A-HK-Y]\d(?:\d|[ABEHMNPRV-Y])?|\d[A-HJKPSTUW])"
        r" ?\d[ABD-HJLNP-UW-Z]{2})(?![A-Z0-9])",
        re.IGNORECASE,
    ),
    "a file path": re.compile(r"(?<![\w./<])/(?:[\w.~-]+/)+[\w.~-]*|\b[A-Za-z]:\\|\\\\\w|\bfile://"),
    "a telephone number": re.compile(_PHONE),
}
_MONTH = r"(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)[a-z]*\.?"
_DAY = re.compile(
    r"(?<![\d.])(?:"
    r"(?P<y1>\d{4})[-/.](?P<m1>\d{1,2})[-/.](?P<d1>\d{1,2})"
    r"|(?P<d2>\d{1,2})[-/.](?P<m2>\d{1,2})[-/.](?P<y2>\d{4})"
    r"|(?P<d6>\d{2})[-/.](?P<m6>\d{2})[-/.](?P<y6>\d{2})"
    rf"|(?P<d3>\d{{1,2}})(?:st|nd|rd|th)?[ -](?:of )?(?P<m3>{_MONTH})[ -,]{{1,2}}(?P<y3>\d{{4}}|\d{{2}})"
    rf"|(?P<m4>{_MONTH})[ -](?P<d4>\d{{1,2}})(?:st|nd|rd|th)?,? (?P<y4>\d{{4}})"
    r"|(?P<y5>(?:19|20)\d{2})(?P<m5>0[1-9]|1[0-2])(?P<d5>0[1-9]|[12]\d|3[01])"
    r")(?!\d|\.\d)",
    re.IGNORECASE,
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ABOUT_A_LIFE = re.compile(
    r"\b(?:born|birth|d\.?o\.?b|died|death|deceased)\W*(?:(?:on|was|is|the)\W+)*$", re.IGNORECASE
)


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

    A day of birth or death counts in any text. With ``cell``, each exact date does but today's: a period in
    a table begins on the first of a month, so any other day may be a birth, a contact or a death.

    Examples
    --------
    >>> found_in("call 943 476 5919 or SW1A 1AA"), found_in("12 of 180"), found_in("2024-03-05", cell=True)
    (['an NHS number', 'a UK postcode'], [], ['an exact date'])
    >>> found_in("opened 14 May 2019"), found_in("born on 14 May 1951")
    ([], ['a date of birth or death'])
    """
    text = as_typed(text)
    found = ["an NHS number"] if any(is_nhs_number("".join(m)) for m in _NHS.findall(text)) else []
    found += [what for what, pattern in _PATTERNS.items() if pattern.search(text)]
    # An NHS number that happens to begin with 0 is said once.
    found = [what for what in found if what != "a telephone number" or "an NHS number" not in found]
    days = list(days_in(text))
    if any(_ABOUT_A_LIFE.search(text[:at]) for at, _ in days):
        found.append("a date of birth or death")
    elif cell and any(day.day != 1 and day != datetime.date.today() for _, day in days):
        found.append("an exact date")
    return found


def as_typed(text: str) -> str:
    """Write a text in the plainest characters: no invisible ones, digits and letters of normal width.

    Examples
    --------
    >>> as_typed("\\uff19\\uff14\\uff13\\u00a0476\\u20115919\\u200b")
    '943 476-5919'
    """
    text = unicodedata.normalize("NFKC", text)
    text = text.translate({ord(c): None for c in set(text) if unicodedata.category(c) == "Cf"})
    return re.sub(r"\s", " ", re.sub("[\u2010-\u2015\u2212]", "-", text))


def days_in(text: str) -> Iterator[tuple[int, datetime.date]]:
    """Find each exact day in a text, and where it begins; what is no day of the calendar is none."""
    for match in _DAY.finditer(text):
        year, month, day = (
            next(v for k, v in match.groupdict().items() if v and k[0] == part) for part in "ymd"
        )
        number = _MONTHS.index(month[:3].lower()) + 1 if month[0].isalpha() else int(month)
        # 3/14/1951 is the American way round.
        swap = number > 12 and int(day) <= 12 and len(year) == 4
        try:
            yield (
                match.start(),
                datetime.date(
                    int(year) if len(year) == 4 else 2000 + int(year),
                    int(day) if swap else number,
                    number if swap else int(day),
                ),
            )
        except ValueError:
            continue


def refuse_identifiers(name: str, table: pd.DataFrame, texts: Mapping[str, Any]) -> None:
    """Stop the release if a table or its texts name a person, a home or a machine.

    Raises
    ------
    DisclosureError
        All places of one result together, by column; never the value.
    """
    problems = [f"a result: its name holds {what}." for what in found_in(name)]
    result = "a result" if problems else repr(name)
    for column in table.columns:
        place = f"{result}, column {column!r}"
        if found_in(str(column)):
            problems.append(f"{result}: a column name holds {found_in(str(column))[0]}.")
        elif str(column).lower() in NAMING:
            problems.append(f"{place}: each value stands for a person, a home or a worker; leave it out.")
        else:
            kinds = {what for cell in _cells(table[column]) for what in found_in(cell, cell=True)}
            problems += [f"{place} holds {what}; remove it before release." for what in sorted(kinds)]
    for key, text in _texts(texts):
        problems += [
            f"{result}, {key} holds {what}; remove it before release." for what in found_in(text, cell=True)
        ]
    if problems:
        raise DisclosureError(together(problems))


def _cells(column: pd.Series) -> list[str]:
    values = column.dropna().unique()
    if pd.api.types.is_bool_dtype(column):
        return []
    if pd.api.types.is_float_dtype(column):
        # A column of numbers with a gap is one of fractions: an NHS number in it is a whole one.
        return [str(int(v)) for v in values if 1e9 <= v < 1e10 and v == int(v)]
    return [str(v)[:10] if isinstance(v, pd.Timestamp) else str(v) for v in values]


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for k, v in value.items():
            yield from _texts(str(k), f"{key}, a key" if key else "a key")
            part = "a key" if found_in(str(k)) else str(k)
            yield from _texts(v, f"{key}.{part}" if key else part)
    elif isinstance(value, list | tuple | set):
        for v in value:
            yield from _texts(v, key)
    elif isinstance(value, str | datetime.date):
        yield key, str(value)
