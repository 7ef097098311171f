"""Sentences that follow from released results, and how a page lays them out."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import InitVar, dataclass
from typing import Literal, cast

from impact.disclosure import Released
from impact.errors import DisclosureError
from impact.pages import SEAL
from impact.pages.evidence import DOTS, Evidence
from impact.pages.formats import require_released


@dataclass(frozen=True)
class Statement:
    """Sentences, with the released results they were made from. Only functions of these modules make them.

    Parameters
    ----------
    role : 'headline', 'claims' or 'sentence'
    parts : sequence of (what it is, sentences)
    sources : sequence of Released
    """

    role: Literal["headline", "claims", "sentence"]
    parts: tuple[tuple[str, tuple[str, ...]], ...]
    sources: tuple[Released, ...]
    seal: InitVar[object] = None

    def __post_init__(self, seal: object) -> None:
        if seal is not SEAL:
            raise DisclosureError(
                "Statement: only the functions of impact.pages make one; write your own words in a text cell."
            )
        if not self.sources:
            raise DisclosureError("words: a statement needs the released result it was made from.")
        for source in self.sources:
            require_released(source)

    @property
    def said(self) -> dict[str, str]:
        """What lists take from it: its role, first sentence, and the word for the evidence with the why."""
        sure = next((sentences for what, sentences in self.parts if what == "sure"), ())
        # The last sentence, the scale of these words, need not be said for each of many studies.
        more = {"sure": sure[0].rstrip("."), "behind": " ".join(filter(None, sure[1:-1]))} if sure else {}
        return {"role": self.role, "text": self.parts[0][1][0], **more}

    @property
    def text(self) -> str:
        """All sentences as plain text."""
        return "\n".join(" ".join(filter(None, sentences)) for _, sentences in self.parts)

    @property
    def html(self) -> str:
        """The sentences as HTML; whatever stood in the data is shown as text."""
        if self.role == "claims":
            first, second = (sum(map(len, sentences)) for _, sentences in self.parts)
            kind = "two" if first < second else "two even"
            return f'<div class="{kind}">{"".join(_box(*part) for part in self.parts)}</div>'
        paragraphs = "".join(_paragraph(*part) for part in self.parts)
        if self.role == "headline":
            return f'<section class="answer" aria-label="The answer">{paragraphs}</section>'
        return paragraphs


def _box(title: str, sentences: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
    kind = "box not" if "not" in title else "box"
    return f'<div class="{kind}"><p class="boxhead">{html.escape(title)}</p><ul>{items}</ul></div>'


def _paragraph(what: str, sentences: Sequence[str]) -> str:
    said = [html.escape(sentence) for sentence in sentences]
    if what == "list" and len(said) > 1:
        return f"<ul>{''.join(f'<li>{s}</li>' for s in said)}</ul>"
    if what == "sure":
        dots = DOTS[cast("Evidence", sentences[0].rstrip("."))]
        said[0] = f'<span aria-hidden="true">{dots}</span> <b>{said[0]}</b>'
    return f'<p class="{what}">{" ".join(filter(None, said))}</p>'
