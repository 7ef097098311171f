"""Pictures must say what they show: words that describe nothing are refused."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from impact.errors import DisclosureError, together

# A text this short says something only if it holds a number.
SHORT = 40
_FILE = re.compile(r"\S+\.(png|jpe?g|gif|svg|webp|bmp|tiff?)\b", re.IGNORECASE)
_NO_WORDS = re.compile(
    r"[\W_\d]*(an?|the|this|of|my)?[\W_]*(image|img|figure|fig|picture|photo|graphic|graph|chart|plot|output|"
    r"diagram|screenshot|untitled|alt( text)?|todo|tbc|none)[\W_\d]*|\W*figure size .*"
    r"|no (description|alt).*",
    re.IGNORECASE,
)


def fault(alt: str | None) -> str:
    """Say what is wrong with an alternative text; nothing, where it will do.

    Examples
    --------
    >>> fault("Image"), fault("forest.png"), fault("Effects on all services")
    ('a placeholder', 'the name of a file', 'too few words and no number')
    >>> fault("A&E attendances -41, 95% range -92 to +10.")
    ''
    """
    text = (alt or "").strip()
    if not text:
        return "nothing"
    if _NO_WORDS.fullmatch(text):
        return "a placeholder"
    if _FILE.fullmatch(text):
        return "the name of a file"
    return "too few words and no number" if len(text) < SHORT and not re.search(r"\d", text) else ""


def refuse_wordless(body: str) -> None:
    """Refuse a page with a picture that somebody who cannot see it is told nothing about.

    Raises
    ------
    DisclosureError
        With the place of each such picture on the page.

    Examples
    --------
    >>> refuse_wordless('<h2>Over time</h2><img src="data:," alt="Image">')
    Traceback (most recent call last):
    impact.errors.DisclosureError: picture 1 of the page, under 'Over time', has a placeholder for its ...
    """
    pictures = _Pictures()
    pictures.feed(body)
    pictures.close()
    problems = [
        f"picture {i} of the page{f', under {heading!r}' if heading else ''}, has {wrong} for its "
        "alternative text; draw it with impact.plots and show it with impact.show, which say what was found."
        for i, (heading, alt) in enumerate(pictures.found, 1)
        if (wrong := fault(alt))
    ]
    if problems:
        raise DisclosureError(together(problems))


class _Pictures(HTMLParser):
    """The pictures of a page, each with the heading it stands under and its alternative text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str | None]] = []
        self.heading, self._inside = "", False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if re.fullmatch("h[1-6]", tag):
            self.heading, self._inside = "", True
        elif tag == "img":
            self.found.append((self.heading.strip(), dict(attrs).get("alt")))

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and not re.fullmatch("h[1-6]", tag)

    def handle_data(self, data: str) -> None:
        self.heading += data if self._inside else ""
