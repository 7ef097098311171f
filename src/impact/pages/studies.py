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
NOT_RUN = "Not run yet."
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
    place : str
        Which of the data that its file's matrix varies it has.
    gone : str
        That its parameter file is no longer there, or no longer makes it.
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
    place: str = ""
    gone: str = ""

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
class Card:
    """A study as readers call it, and the further runs of it on other choices."""

    study: Listed
    name: str
    further: Sequence[tuple[Listed, str]] = ()


@dataclass(frozen=True)
class Group:
    """A part of the list under one heading."""

    title: str
    anchor: str
    cards: Sequence[Card]


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
    cards = _cards(listed)
    groups = _groups(cards)
    # Further runs on the same people are no further answers.
    counted = Counter(study.sure for study in _current(listed) if study.pages and study.main)
    page = Page(title=TITLE, date=date or dt.date.today(), kicker="", links=LINKS if across else ())
    page.contents = [(group.title, group.anchor) for group in groups]
    return template(
        "studies.html.j2",
        page,
        groups=groups,
        is_long=len(cards) > _OPEN,
        lead=_lead(listed),
        found=[(word, counted[word]) for word in DOTS if counted[word]],
        without={
            "What stopped": [study for study in listed if study.stopped and study.stopped != NOT_RUN],
            "What has not run yet": [study for study in listed if study.stopped == NOT_RUN],
        },
        of=len(listed),
        called=_called(cards),
        across=list(across),
    )


def _lead(listed: Sequence[Listed]) -> str:
    """Count the studies and their further runs, with and without a report."""
    listed, gone = _current(listed), len(listed) - len(_current(listed))
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
    said += "."
    if last := sum(bool(study.pages and study.stopped) for study in listed):
        said += f" Of {last:,} the last run stopped, and an earlier report stands."
    if gone:
        said += f" Besides, {gone:,} that no parameter file makes any more."
    return said


def _current(listed: Sequence[Listed]) -> Sequence[Listed]:
    """Leave out what no parameter file makes any more, where there is anything else."""
    return [study for study in listed if not study.gone] or listed


def _have(n: int) -> str:
    return "has" if n == 1 else "have"


def _cards(listed: Sequence[Listed]) -> list[Card]:
    """Put beside the main run of each place of a parameter file its runs on other choices."""
    runs: dict[tuple[str, str], list[Listed]] = {}
    for study in listed:
        varies = study.choices or study.place
        runs.setdefault((study.file, study.place) if varies else (study.name, ""), []).append(study)
    # Others than the main run stay as they come.
    several = [sorted(one, key=lambda study: (bool(study.gone), not study.main)) for one in runs.values()]
    titles = Counter(study.title for study, *_ in several)
    places = Counter((study.title, study.place) for study, *_ in several)
    cards = []
    for study, *others in several:
        name = study.title
        if titles[name] > 1:
            alone = study.place and places[study.title, study.place] == 1
            name = f"{name}, {study.place}" if alone else f"{name} ({study.name})"
        name += "" if study.main or not study.chosen else f", {study.chosen}"
        cards.append(Card(study, name, [(other, _beside(other, study)) for other in others]))
    return sorted(cards, key=lambda card: _natural(card.name))


def _beside(run: Listed, main: Listed) -> str:
    """Name a run beside the main one."""
    own = [run.title] if run.title != main.title else []
    return ": ".join([*own, run.chosen] if run.chosen else own) or run.name


def _called(cards: Sequence[Card]) -> dict[str, str]:
    """What readers call each study and run where it stands by itself."""
    called = {card.study.name: card.name for card in cards}
    return called | {run.name: f"{card.name}, {said}" for card in cards for run, said in card.further}


def _groups(cards: Sequence[Card]) -> list[Group]:
    """Put studies in parts of a long list."""
    parts = [cards[i : i + _PART] for i in range(0, len(cards), _PART)]
    return [
        Group(_from_to(part) if len(parts) > 1 else "Studies", f"part-{i}", part)
        for i, part in enumerate(parts, 1)
    ]


def _from_to(part: Sequence[Card]) -> str:
    return part[0].name if len(part) == 1 else f"{part[0].name} to {part[-1].name}"


def _natural(text: str) -> list[tuple[int, str]]:
    """Sort site 2 before site 10."""
    return [(int(s), "") if s.isdigit() else (-1, s) for s in re.split(r"(\d+)", text.casefold())]
