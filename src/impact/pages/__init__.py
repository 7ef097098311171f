"""Pages: released results shown to people, in a notebook cell and on a page that can be sent.

``show`` is what a notebook calls: with a released result it gives a table, with a figure of ``pages.plots``
the figure with alternative text and the table of its numbers, with a statement of ``pages.words`` the
sentences.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from impact.disclosure import Released
from impact.disclosure.identifiers import found_in
from impact.errors import DisclosureError
from impact.pages import own_words
from impact.pages.signed import MIME, signed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Only the modules of pages hold this: what they make is laid out from released results.
SEAL = object()
# Modules that notebooks call, fetched when they are first used.
_MODULES = (
    "arms",
    "asked",
    "before_after",
    "briefing",
    "checklists",
    "done_differently",
    "equity",
    "hidden_bias",
    "match_audit",
    "money",
    "plan",
    "plots",
    "services",
    "survey",
    "tables",
    "words",
)
_OPEN_ROWS = 8


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module 'impact.pages' has no attribute {name!r}")
    return import_module(f"impact.pages.{name}")


@dataclass(frozen=True)
class Shown:
    """What a notebook displays: text, HTML, and the released results as JSON, which mark it as released.

    Only ``show`` and the other functions of these modules make one. What it displays is signed.
    """

    text: str
    html: str
    sources: tuple[Released, ...]
    role: dict[str, str] = field(default_factory=dict)
    seal: InitVar[object] = None

    def __post_init__(self, seal: object) -> None:
        if seal is not SEAL:
            raise DisclosureError("Shown: only impact.show makes one; show what was released instead.")

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        # The class's own method: what only looks like a released result has none that counts.
        released = [json.loads(Released.to_json(source)) for source in self.sources]
        data = {"text/plain": self.text, "text/html": self.html, MIME: released}
        return data, {MIME: signed(data, self.role)}


def show(*things: Any, caption: str | None = None, numbers: bool = True) -> Shown:
    """Display what was released: tables, figures and statements, one under the other.

    Parameters
    ----------
    *things : Released, Axes or Statement
        Released results, axes drawn by ``pages.plots``, or sentences of ``pages.words``.
    caption : str, optional
        In place of the caption that a table or figure has of itself.
    numbers : bool
        Whether the table of a figure's numbers stands below it; false only where the page has it elsewhere.

    Raises
    ------
    DisclosureError
        For anything else: a result, a data frame or a figure that did not pass ``release`` is not shown. Also
        for words that hold an NHS number, a postcode, an e-mail address or a path.

    Notes
    -----
    A figure is shown as ``pages.plots`` drew it; nothing that is drawn on it afterwards is.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.disclosure import release
    >>> from impact.results import Summary
    >>> people = Summary(pd.DataFrame({"arm": ["control"], "persons": [123]}), {}, people=["persons"])
    >>> print(show(release({"people": people}, "hes")["people"]).text.splitlines()[2].split())
    ['Comparison', '125']
    """
    parts = [part for thing in things if (part := _shown(thing, caption, numbers)).html]
    return Shown(
        "\n\n".join(part.text for part in parts),
        "\n".join(part.html for part in parts),
        tuple(source for part in parts for source in part.sources),
        {key: said for part in reversed(parts) for key, said in part.role.items()},
        SEAL,
    )


def fold(summary: str, *things: Any) -> Shown:
    """Show things folded away under a few words: open on a click, and left out in print.

    Parameters
    ----------
    summary : str
        What a reader sees of them.
    *things
        As for ``show``.
    """
    _refuse_identifiers("fold: summary", summary)
    within = show(*things)
    folded = f'<details class="more"><summary>{html.escape(summary)}</summary>{within.html}</details>'
    return replace(within, html=folded if within.html else "", seal=SEAL)


def _shown(thing: Any, caption: str | None, numbers: bool) -> Shown:
    from impact.pages.statement import Statement

    _refuse_identifiers("the caption", caption or "")
    if isinstance(thing, Shown):
        return thing
    if isinstance(thing, Released):
        return _show_table(thing, caption)
    if isinstance(thing, Statement):
        _refuse_identifiers("a statement", thing.text)
        return Shown(thing.text, thing.html, thing.sources, thing.said, SEAL)
    from matplotlib.figure import Figure

    from impact.pages.style import DRAWN

    figure = getattr(thing, "figure", thing)
    if isinstance(figure, Figure) and figure in DRAWN:
        return _show_figure(figure, caption, numbers)
    raise DisclosureError(
        f"show: got {type(thing).__name__}, which was not released; pass a result through "
        "impact.disclosure.release({name: result}, policy), and draw figures with impact.plots."
    )


def masthead(
    title: str,
    subtitle: str = "",
    question: str | None = None,
    labels: Mapping[str, Mapping[str, Any]] | None = None,
    unit: str = "",
) -> Shown:
    """Put a line above the title of the page: which study it is, whose and from when to when.

    With a question, that is the title, in place of the notebook's first heading. Columns between backticks in
    the subtitle, and below it all columns, their values and what is counted, are called as ``labels`` and
    ``unit`` say.
    """
    from impact.pages.formats import called

    _refuse_identifiers("masthead: it", f"{title} {subtitle} {question or ''}")
    for column, words in (labels or {}).items():
        _refuse_identifiers(
            f"labels: {column}", " ".join([words.get("name") or "", *words["levels"].values()])
        )
    own_words.use(labels or {}, unit)
    text = " · ".join(part for part in (title, called(subtitle)) if part)
    line = f'<p class="kicker">{html.escape(text)}</p>'
    role = {"role": "masthead", "text": text} | ({"question": question} if question else {})
    return Shown(text, line, (), role, SEAL)


def remarks(sentences: Sequence[str]) -> Shown:
    """Put what a reader of the page must know in a box; where there is nothing to say, show nothing.

    Raises
    ------
    DisclosureError
        For a sentence that holds an NHS number, a postcode, an e-mail address or a path.
    """
    for i, sentence in enumerate(sentences, 1):
        _refuse_identifiers(f"remarks: sentence {i}", sentence)
    if not sentences:
        return Shown("", "", (), seal=SEAL)
    said = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences)
    box = f'<aside class="note" role="note" aria-label="What a reader must know">{said}</aside>'
    text = "\n".join(sentences)
    return Shown(text, box, (), {"role": "remarks", "remarks": text}, SEAL)


def _refuse_identifiers(place: str, text: str) -> None:
    if found := found_in(text):
        raise DisclosureError(f"{place} holds {found[0]}; remove it.")


def _show_table(released: Released, caption: str | None) -> Shown:
    from impact.pages.tables import table

    shown = table(released)
    shown = replace(shown, caption=caption) if caption else shown
    return Shown(shown.text, shown.html, (released,), seal=SEAL)


def _show_figure(figure: Figure, said: str | None, with_numbers: bool) -> Shown:
    from impact.pages.captions import alt, caption
    from impact.pages.style import DRAWN
    from impact.pages.tables import table

    kind, released, scale, png = DRAWN[figure]
    words, said = alt(kind, released, scale=scale), said or caption(kind, released)
    sources = (released, scale) if isinstance(scale, Released) else (released,)
    image = (
        f'<figure><img alt="{html.escape(words)}" src="data:image/png;base64,{png}">'
        f"<figcaption>{html.escape(said)}</figcaption></figure>"
    )
    if not with_numbers:
        return Shown(words, image, sources, seal=SEAL)
    below = table(*sources)
    # What the caption says is not said again under the table.
    below = replace(below, notes=tuple(note for note in below.notes if note not in said))
    is_open = " open" if len(below.rows) <= _OPEN_ROWS else ""
    numbers = f"<details{is_open}><summary>The numbers in this figure</summary>{below.html}</details>"
    return Shown(f"{words}\n\n{below.text}", image + numbers, sources, seal=SEAL)
