"""The page that lists every study of an outputs folder: what was found, how sure that is, what stopped."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from impact.pages.evidence import DOTS
from impact.pages.report import Page, template

TITLE, ACROSS = "All studies", "Across studies"
LINKS = ((TITLE, "index.html"), (ACROSS, "across.html"))
# With more studies than this, lists are closed until they are opened; a part of a long list has so many.
_OPEN, _PART = 30, 50


@dataclass(frozen=True)
class Listed:
    """What the list says of one study; all of it was released, or is no result.

    Parameters
    ----------
    name, title, file : str
        Its folder, its title and its parameter file.
    choices : mapping
        What its file's matrix varies, and what it holds; ``main`` is whether it is the main run.
    pages : sequence of (title, relative link)
        Of its report, the page of all its pages first. None where there is no report to show.
    headline, sure, behind : str
        Its answer, the word for the evidence, and what stands behind that word.
    remarks : sequence of str
        What a reader must know.
    look : int
        How many of its tables a person must look at before it is sent.
    made : date, optional
        Of the report.
    stopped : str
        Why there is no report, or why it is not that of the last run.
    older : str
        What has changed since the report was made.
    """

    name: str
    title: str
    file: str = ""
    choices: Mapping[str, str] = field(default_factory=dict)
    main: bool = True
    pages: Sequence[tuple[str, str]] = ()
    headline: str = ""
    sure: str = ""
    behind: str = ""
    remarks: Sequence[str] = ()
    look: int = 0
    made: dt.date | None = None
    stopped: str = ""
    older: str = ""

    @property
    def anchor(self) -> str:
        """Where on the page it is."""
        return f"study-{re.sub(r'[^A-Za-z0-9_.-]+', '-', self.name)}"

    @property
    def day(self) -> str:
        """The day of its report."""
        return f"{self.made.day} {self.made:%B %Y}" if self.made else ""

    @property
    def chosen(self) -> str:
        """What it chose, in words."""
        return "; ".join(f"{key} {value}".strip() for key, value in self.choices.items())


@dataclass(frozen=True)
class Group:
    """A part of the list under one heading: the runs of a parameter file, or studies with one run each."""

    title: str
    anchor: str
    studies: Sequence[Listed]
    is_matrix: bool = False


def studies(listed: Sequence[Listed], *, across: Sequence[str] = (), date: dt.date | None = None) -> str:
    """Make the page that lists all studies.

    Parameters
    ----------
    listed : sequence of Listed
    across : sequence of str
        What the page on all studies together says first; with none there is no such page.
    date : date, optional
        Of the page; today without it.

    Examples
    --------
    >>> north = Listed("north", "Northtown", pages=[("All pages", "north/share/index.html")],
    ...                headline="58 fewer admissions.", sure="Weak evidence")
    >>> text = studies([north, Listed("south", "Southtown", stopped="Stopped.")])
    >>> "58 fewer admissions." in text, "1 has a report" in text, "<script" in text
    (True, True, False)
    """
    groups = _groups(listed)
    # Further runs on the same people are no further answers.
    counted = Counter(study.sure for study in listed if study.pages and study.main)
    page = Page(title=TITLE, date=date or dt.date.today(), kicker="", links=LINKS if across else ())
    page.contents = [(group.title, group.anchor) for group in groups]
    return template(
        "studies.html.j2",
        page,
        groups=groups,
        is_long=len(listed) > _OPEN,
        lead=_lead(listed),
        found=[(word, counted[word]) for word in DOTS if counted[word]],
        stopped=[study for study in listed if study.stopped],
        across=list(across),
    )


def _lead(listed: Sequence[Listed]) -> str:
    """Count the studies and their further runs, with and without a report."""
    main, n = sum(study.main for study in listed), len(listed)
    with_report = sum(bool(study.pages) for study in listed)
    said = f"{main:,} {'study' if main == 1 else 'studies'}"
    if n > main:
        said += f" and {n - main:,} further run{'s' * (n - main > 1)} of them on other choices"
    said += (
        f": {with_report:,} {_have(with_report)} a report, {n - with_report:,} {_have(n - with_report)} none"
        if with_report < n
        else f"{', each' * (n > 1)} with a report"
    )
    last = sum(bool(study.pages and study.stopped) for study in listed)
    return f"{said}. Of {last:,} the last run stopped, and an earlier report stands." if last else f"{said}."


def _have(n: int) -> str:
    return "has" if n == 1 else "have"


def _groups(listed: Sequence[Listed]) -> list[Group]:
    """Put the runs of a parameter file together, and studies with a single run in parts of a long list."""
    files: dict[str, list[Listed]] = {}
    for study in listed:
        files.setdefault(study.file if study.choices else "", []).append(study)
    single = sorted(files.pop("", []), key=lambda study: _natural(study.title))
    parts = [single[i : i + _PART] for i in range(0, len(single), _PART)]
    groups = [
        Group(_from_to(part) if len(parts) > 1 else "Studies", f"part-{i}", part)
        for i, part in enumerate(parts, 1)
    ]
    runs = sorted(files.values(), key=lambda several: _natural(several[0].title))
    for i, several in enumerate(runs, 1):
        # The main run first, the others as they come.
        several.sort(key=lambda study: not study.main)
        groups.append(Group(several[0].title, f"runs-{i}", several, is_matrix=True))
    return groups


def _from_to(part: Sequence[Listed]) -> str:
    return part[0].title if len(part) == 1 else f"{part[0].title} to {part[-1].title}"


def _natural(text: str) -> list[tuple[int, str]]:
    """Sort site 2 before site 10."""
    return [(int(s), "") if s.isdigit() else (-1, s) for s in re.split(r"(\d+)", text.casefold())]
