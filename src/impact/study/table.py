"""A table of runs: a CSV file whose first line names keys, with one run a row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from impact.errors import ParameterError, nearest
from impact.stores import is_address
from impact.study.document import Document, Location, _compose, _scalar, _value
from impact.study.project import project_root, text_of

MOST = 100_000


@dataclass(frozen=True)
class Value:
    """What a run holds under a key such as did.estimator, with its lines and what was wrong in reading it."""

    key: str
    value: Any
    places: dict[Location, str]
    problems: tuple[tuple[Location, str], ...] = ()

    @property
    def at(self) -> tuple[str, ...]:
        """Where it belongs in the file's sections."""
        return tuple(self.key.split("."))


@dataclass(frozen=True)
class Run:
    """The values of one run, and its line if it is written on one of its own."""

    values: tuple[Value, ...] = ()
    place: str = ""


def read_table(name: str) -> list[Run]:
    """Read one run a row; an empty cell keeps what the parameter file says, and an empty row is none.

    A cell is read as the same text would be after a colon in the parameter file.

    Parameters
    ----------
    name : str
        A CSV file in UTF-8, with commas, or with semicolons if its first line has no comma; its path counts
        from the project's folder.

    Raises
    ------
    ParameterError
        With all that is wrong with the table as such. What is wrong with a value waits in ``Value.problems``.
    """
    records = list(_records(name))
    if len(records) < 2:
        raise ParameterError(f"{name}: holds no run; write keys such as did.estimator in its first line.")
    (line, header), *rows = records
    twice = sorted({key for key in header if key and header.count(key) > 1})
    problems = [f"{name}:{line}: {key}: stands in two columns; keep one." for key in twice]
    if len(rows) > MOST:
        problems.append(f"{name}: holds {len(rows):,} runs; {MOST:,} is the most.")
        rows = []
    runs = []
    for line, row in rows:
        header += [""] * (len(row) - len(header))
        cells = [(key, cell) for key, cell in zip(header, row, strict=False) if cell]
        if not all(key for key, _ in cells):
            problems.append(f"{name}:{line}: holds a cell beyond the keys of the first line.")
        place = f"{name}:{line}"
        runs.append(Run(tuple(_placed(key, cell, place) for key, cell in cells if key), place))
    if problems:
        raise ParameterError("\n".join(problems))
    return runs


def _records(name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that hold anything, each with the line on which it begins."""
    file = Path(name) if is_address(name) else project_root() / name
    try:
        text = text_of(name if is_address(name) else file)
    except UnicodeDecodeError:
        raise ParameterError(f"{name}: this is not a text file in UTF-8; save it as CSV UTF-8.") from None
    if text is None:
        beside = [path.name for path in file.parent.iterdir()] if file.parent.is_dir() else []
        hint = nearest(file.name, beside)
        raise ParameterError(f"{name}: there is no such file (paths count from the project's folder).{hint}")
    try:
        first = text.partition("\n")[0]
        delimiter = ";" if ";" in first and "," not in first else ","
        reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
        line = 1
        for row in reader:
            if any(cells := [cell.strip() for cell in row]):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise ParameterError(f"{name}: this is not a CSV file: {error}.") from None


def _placed(key: str, cell: str, place: str) -> Value:
    read, to = _cell(cell), tuple(key.split("."))
    places = {(*to, *at): place for at in read.places} | {to: place}
    return Value(key, read.sections, places, tuple(((*to, *at), what) for at, what in read.problems))


@lru_cache(10_000)
def _cell(text: str) -> Document:
    """Read a cell. A title may hold a colon; only lists, keys and values, and text in quotes are YAML."""
    read = Document("", None)
    if not text.startswith(("[", "{", '"', "'")):
        read.sections = _scalar(read, SimpleNamespace(value=text, style=None), ())
        return read
    try:
        read.sections = _value(read, _compose(text, ""), (), "")
    except ParameterError:
        what = f"{text} cannot be read as a list, as keys and values or as text in quotes."
        read.problems.append(((), what))
    return read
