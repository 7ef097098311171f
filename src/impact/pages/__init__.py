"""Pages: released results shown to people, in a notebook cell and on a page that can be sent.

``show`` is what a notebook calls: with a released result it gives a table, with a figure of ``pages.plots``
the figure with alternative text and the table of its numbers, with a statement of ``pages.words`` the
sentences.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from impact.disclosure import Released
from impact.errors import DisclosureError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MIME = "application/vnd.impact+json"
# Modules that notebooks call, fetched when they are first used.
_MODULES = ("asked", "briefing", "hidden_bias", "plots", "services", "tables", "words")
_OPEN_ROWS = 8


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module 'impact.pages' has no attribute {name!r}")
    return import_module(f"impact.pages.{name}")


@dataclass(frozen=True)
class Shown:
    """What a notebook displays: text, HTML, and the released results as JSON, which mark it as released."""

    text: str
    html: str
    sources: tuple[Released, ...]
    role: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        released = [json.loads(source.to_json()) for source in self.sources]
        data = {"text/plain": self.text, "text/html": self.html, MIME: released}
        return data, {MIME: self.role} if self.role else {}


def show(*things: Any, caption: str | None = None) -> Shown:
    """Display what was released: tables, figures and statements, one under the other.

    Parameters
    ----------
    *things : Released, Axes or Statement
        Released results, axes drawn by ``pages.plots``, or sentences of ``pages.words``.
    caption : str, optional
        In place of the caption that a table or figure has of itself.

    Raises
    ------
    DisclosureError
        For anything else: a result, a data frame or a figure that did not pass ``release`` is not shown.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.disclosure import release
    >>> from impact.results import Summary
    >>> people = Summary(pd.DataFrame({"arm": ["control"], "persons": [123]}), {}, people=["persons"])
    >>> print(show(release({"people": people}, "hes")["people"]).text.splitlines()[2].split())
    ['Comparison', '125']
    """
    parts = [part for thing in things if (part := _shown(thing, caption)).html]
    return Shown(
        "\n\n".join(part.text for part in parts),
        "\n".join(part.html for part in parts),
        tuple(source for part in parts for source in part.sources),
        {key: said for part in reversed(parts) for key, said in part.role.items()},
    )


def _shown(thing: Any, caption: str | None) -> Shown:
    from impact.pages.words import Statement

    figure = getattr(thing, "figure", thing)
    if isinstance(thing, Shown):
        return thing
    if isinstance(thing, Released):
        return _show_table(thing, caption)
    if isinstance(thing, Statement):
        role = {"role": thing.role, "text": thing.parts[0][1][0]}
        return Shown(thing.text, thing.html, thing.sources, role)
    if hasattr(figure, "impact_source"):
        return _show_figure(figure, caption)
    raise DisclosureError(
        f"show: got {type(thing).__name__}, which was not released; pass a result through "
        "impact.disclosure.release({name: result}, policy), and draw figures with impact.plots."
    )


def masthead(title: str, subtitle: str = "") -> Shown:
    """Put a line above the title of the page: which study it is, whose and from when to when."""
    text = " · ".join(part for part in (title, subtitle) if part)
    return Shown(text, f'<p class="kicker">{html.escape(text)}</p>', (), {"role": "masthead", "text": text})


def remarks(sentences: Sequence[str]) -> Shown:
    """Put what a reader of the page must know in a box; where there is nothing to say, show nothing.

    Raises
    ------
    DisclosureError
        For a sentence that holds an NHS number, a postcode, an e-mail address or a path.
    """
    from impact.disclosure.identifiers import found_in

    for i, sentence in enumerate(sentences, 1):
        if found := found_in(sentence):
            raise DisclosureError(f"remarks: sentence {i} holds {found[0]}; remove it.")
    if not sentences:
        return Shown("", "", ())
    said = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences)
    box = f'<aside class="note" role="note" aria-label="What a reader must know">{said}</aside>'
    text = "\n".join(sentences)
    return Shown(text, box, (), {"role": "remarks", "remarks": text})


def _show_table(released: Released, caption: str | None) -> Shown:
    from impact.pages.tables import table

    shown = table(released)
    shown = replace(shown, caption=caption) if caption else shown
    return Shown(shown.text, shown.html, (released,))


def _show_figure(figure: Figure, said: str | None) -> Shown:
    from impact.pages.captions import alt, caption
    from impact.pages.tables import table

    kind, released, scale = figure.impact_source  # type: ignore[attr-defined]
    words, said = alt(kind, released, scale=scale), said or caption(kind, released)
    below = table(released)
    # What the caption says is not said again under the table.
    below = replace(below, notes=tuple(note for note in below.notes if note not in said))
    image = (
        f'<figure><img alt="{html.escape(words)}" src="data:image/png;base64,{_png(figure)}">'
        f"<figcaption>{html.escape(said)}</figcaption></figure>"
    )
    is_open = " open" if len(below.rows) <= _OPEN_ROWS else ""
    numbers = f"<details{is_open}><summary>The numbers in this figure</summary>{below.html}</details>"
    return Shown(f"{words}\n\n{below.text}", image + numbers, (released,))


def _png(figure: Figure) -> str:
    """Draw the figure as a PNG of few colours: a third of the size, and the eye sees no difference."""
    import base64
    import io

    from PIL import Image

    raw, small = io.BytesIO(), io.BytesIO()
    figure.savefig(raw, format="png", dpi=200, metadata={"Software": None})
    image = Image.open(raw).convert("RGB").quantize(colors=64, dither=Image.Dither.NONE)
    image.save(small, format="png", optimize=True)
    return base64.b64encode(small.getvalue()).decode()
