"""Open every file of a shared folder and look for what must never leave."""

from __future__ import annotations

import csv
import datetime
import getpass
import io
import json
import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd

READ = {".html", ".json", ".csv", ".txt", ".md", ".svg", ".css"}
# Pictures say nothing that can be searched; a style sheet or a picture's data is not text.
_DATA = re.compile(r"data:[\w/+.;-]+;base64,[A-Za-z0-9+/=\s]+|<style.*?</style>", re.DOTALL | re.IGNORECASE)
_PATH = re.compile(r"(?<![\w./<])/(?:[\w.~-]+/)+[\w.~-]*|\b[A-Za-z]:\\{1,2}\w|file://")
_COUNT = re.compile(r"(^|_|\b)(persons|people|events|treated|ess|count|died|left_early)$", re.IGNORECASE)
_NOT_A_COUNT = re.compile(r"(^|[\W_])per([\W_]|$)|rate|mean|avoided|1,000|percent|%", re.IGNORECASE)


def assert_shareable(
    folder: str | Path,
    *,
    person_ids: Iterable[object] = (),
    building_ids: Iterable[object] = (),
    dates: Iterable[object] = (),
    smallest_shown: int = 8,
) -> int:
    """Fail, naming file and kind, if a shared file holds what may not leave; return how many were read.

    ``person_ids, building_ids, dates`` are those of the private inputs. Days that begin a month are left out,
    because periods begin on them. Identifiers must hold a letter and two further characters, or they
    could not be told from other numbers.
    """
    ids = {str(v) for v in [*person_ids, *building_ids]}
    vague = [v for v in ids if len(v) < 3 or v.isdigit()]
    assert not vague, f"{len(vague)} identifiers cannot be told from other numbers"
    days = {pd.Timestamp(str(d)).date() for d in dates if not pd.isna(d)}
    written = {text for d in days if d.day != 1 for text in _ways_to_write(d)}
    files = sorted(p for p in Path(folder).rglob("*") if p.is_file())
    assert files, f"nothing in {folder}"
    problems = []
    for file in files:
        name = file.relative_to(folder).as_posix()
        if file.suffix.lower() in (".png", ".jpg", ".jpeg", ".pdf", ".zip"):
            continue
        if file.suffix.lower() not in READ:
            problems.append(f"{name}: a kind of file that nobody has read")
            continue
        text = _DATA.sub(" ", file.read_text(encoding="utf-8-sig"))
        problems += [f"{name}: {what}" for what in _in_text(f"{name} {text}", ids, written)]
        problems += [f"{name}: {what}" for what in _in_counts(file.suffix.lower(), text, smallest_shown)]
    assert not problems, "\n".join(problems)
    return len(files)


def _ways_to_write(day: datetime.date) -> list[str]:
    d, m, y = day.day, day.strftime("%B"), day.year
    return [day.isoformat(), f"{day:%d/%m/%Y}", f"{d}/{day.month}/{y}", f"{d} {m} {y}", f"{d} {m[:3]} {y}"]


def _in_text(text: str, ids: set[str], dates: set[str]) -> Iterator[str]:
    words = set(re.findall(r"[\w.-]+", text)) | set(re.findall(r"\w+", text))
    if found := ids & words:
        yield f"{len(found)} person or building identifiers"
    if found := {d for d in dates if d in text}:
        yield f"{len(found)} exact dates of the inputs"
    if _PATH.search(text):
        yield "a file path"
    user = getpass.getuser()
    if user not in ("root", "runner", "user") and user in words:
        yield "the user's name"


def _in_counts(suffix: str, text: str, smallest_shown: int) -> Iterator[str]:
    if suffix == ".json":
        pairs: Iterable[tuple[str, object]] = _pairs(json.loads(text))
    elif suffix == ".csv":
        pairs = ((k, v) for row in csv.DictReader(io.StringIO(text)) for k, v in row.items())
    elif suffix == ".html":
        pairs = _Tables.pairs(text)
    else:
        return
    for name, value in pairs:
        if not _COUNT.search(name) or _NOT_A_COUNT.search(name) or isinstance(value, bool):
            continue
        try:
            number = float(str(value).replace(",", ""))
        except ValueError:
            continue
        if 0 < number < smallest_shown:
            yield f"a count under {smallest_shown} under {name!r}"


def _pairs(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _pairs(inner, str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from _pairs(inner, name)
    else:
        yield name, value


class _Tables(HTMLParser):
    """Cells of all tables with the header of their column."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.head: list[str] = []
        self.row: list[str] = []
        self.in_head = self.in_cell = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in ("thead", "table"):
            self.in_head, self.head = True, []
        elif tag == "tbody":
            self.in_head = False
        elif tag == "tr":
            self.row = []
        elif tag in ("td", "th"):
            self.in_cell = True
            self.row.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.in_cell = False
        elif tag == "tr" and self.in_head:
            self.head, self.in_head = [c.strip() for c in self.row], False
        elif tag == "tr":
            self.found += zip(self.head, [c.strip() for c in self.row], strict=False)

    def handle_data(self, data: str) -> None:
        if self.in_cell and self.row:
            self.row[-1] += data

    @classmethod
    def pairs(cls, text: str) -> list[tuple[str, str]]:
        parser = cls()
        parser.feed(text)
        return parser.found
