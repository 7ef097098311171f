"""The words of a notebook: markdown cut at its headings, and code for those who ask for it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mistune

from impact.disclosure.identifiers import found_in
from impact.errors import DisclosureError
from impact.pages.clean import clean

# Cells whose code stays behind even where code is asked for: parameters name files and people's groups.
_NEVER = {"parameters", "injected-parameters", "remove-input", "hide-input"}


@dataclass
class Block:
    """A piece of a page: text (from markdown), code that showed nothing, or something shown."""

    kind: str
    html: str = ""
    level: int = 0
    heading: str = ""


def text_blocks(source: str) -> Iterator[Block]:
    """Split markdown at its headings, so that a section can be left out with everything under it."""
    to_html = mistune.create_markdown(escape=True, plugins=["table", "strikethrough"])
    # A comment is for whoever edits the notebook.
    source = re.sub(r"<!--.*?-->", "", source, flags=re.DOTALL)
    for part in _split_at_headings(source):
        text = clean(str(to_html(part)))
        found = re.match(r"\s*<h([1-6])>(.*?)</h\1>", text, re.DOTALL)
        if not found:
            if text.strip():
                yield Block("text", text)
            continue
        heading = html.unescape(re.sub(r"<[^>]+>", "", found[2])).strip()
        yield Block("text", text[found.end() :], int(found[1]), heading)


def with_captions(text: str, heading: str) -> str:
    """Give each table of a text its heading as caption, and the region in which it scrolls on a phone.

    Examples
    --------
    >>> print(with_captions("<table><tbody></tbody></table>", "Steps & sums"))
    <div class="scroll" role="region" tabindex="0" aria-label="Steps &amp; sums"><table><caption>...</div>
    """
    said = html.escape(heading or "Table")
    opened = f'<div class="scroll" role="region" tabindex="0" aria-label="{said}"><table>'
    text = text.replace("<table>", f"{opened}<caption><span>{said}</span></caption>")
    # An empty corner heads nothing.
    text = re.sub(r'<th scope="col"[^>]*>\s*</th>', "<td></td>", text)
    return text.replace("</table>", "</table></div>")


def code_block(cell: Any, place: int) -> Block | None:
    """Return the code of a cell, closed until somebody opens it; none for parameters and empty cells.

    Raises
    ------
    DisclosureError
        If the code names a person or a home; ``place`` says in which cell.
    """
    tags = {str(tag).replace("_", "-") for tag in cell.metadata.get("tags", [])}
    if tags & _NEVER or not cell.source.strip():
        return None
    source = clean(html.escape(cell.source.strip(), quote=False))
    if found := found_in(html.unescape(source)):
        raise DisclosureError(
            f"the code of cell {place} holds {found[0]}; remove it, or make the page without code."
        )
    shown = f"<pre><code>{source}</code></pre>"
    return Block("shown", f'<details class="code"><summary>The code of this step</summary>{shown}</details>')


def _split_at_headings(source: str) -> list[str]:
    parts, fenced = [""], False
    for line in source.splitlines(keepends=True):
        fenced ^= line.lstrip().startswith(("```", "~~~"))
        if not fenced and re.match(r" {0,3}#{1,6}\s", line):
            parts.append("")
        parts[-1] += line
    return parts
