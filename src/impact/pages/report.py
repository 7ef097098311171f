"""Notebooks as pages that can be sent: one file, no script, no network, only what was released.

``ImpactHTMLExporter`` keeps markdown and the outputs that carry the mark of a released result; code,
parameters, streams, tracebacks, loose images and all metadata stay behind. ``render`` is the same as a
function and ``index`` makes the page that lists the pages of a study.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import html
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jinja2
import nbformat
from nbconvert.exporters import Exporter
from traitlets import Bool

from impact.disclosure import NOTICE
from impact.pages.alts import refuse_wordless
from impact.pages.clean import clean
from impact.pages.evidence import DOTS
from impact.pages.prose import Block, code_block, text_blocks, with_captions
from impact.pages.signed import MIME, refuse_unsigned

STOPPED = "This step stopped, so its result is missing here. The private log says why."
NOT_RUN = "This notebook has not been run yet, so there is nothing to show."
TEMPLATES = Path(__file__).parent / "templates"


@dataclass
class Page:
    """What the templates show."""

    title: str
    date: dt.date
    kicker: str = ""
    links: Sequence[tuple[str, str]] = ()
    blocks: list[str] = field(default_factory=list)
    contents: list[tuple[str, str]] = field(default_factory=list)
    rules: Sequence[str] = ()
    stopped: str = ""
    entries: Sequence[Entry] = ()
    skipped: Sequence[tuple[str, str]] = ()
    files: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Entry:
    """One page of a study as its index lists it.

    ``sure`` is the word for the evidence of its headline, ``behind`` what stands behind that word.
    """

    title: str
    href: str
    headline: str = ""
    stopped: str = ""
    remarks: Sequence[str] = ()
    pdf: str = ""
    sure: str = ""
    behind: str = ""


class ImpactHTMLExporter(Exporter):  # type: ignore[misc]  # nbconvert is untyped
    """The nbconvert exporter ``impact_html``: the page that ``impact run`` writes, from any notebook."""

    export_from_notebook = "Impact report (HTML)"
    file_extension = ".html"
    output_mimetype = "text/html"
    with_code = Bool(False, help="Keep the code, closed until opened, for colleagues").tag(config=True)

    def from_notebook_node(self, nb: Any, resources: Any = None, **kw: Any) -> tuple[str, Any]:
        """Return the page as text; the resources keep only what nbconvert needs to write it."""
        nb, resources = super().from_notebook_node(nb, resources, **kw)
        return render(nb, with_code=self.with_code), resources


def render(
    notebook: Any, *, links: Sequence[tuple[str, str]] = (), kicker: str = "", with_code: bool = False
) -> str:
    """Turn an executed notebook into one self-contained page.

    Parameters
    ----------
    notebook : NotebookNode, str or Path
        The notebook, or the file that holds it.
    links : sequence of (text, relative link)
        The pages of the report, for the list at the top of each.
    kicker : str
        The line above the title; without it, what ``pages.masthead`` showed.
    with_code : bool
        Keep the code, closed until it is opened, for colleagues; parameters stay behind all the same.

    Raises
    ------
    DisclosureError
        For a picture without words that say what it shows, code that names a person, or an output that is
        marked as released and was not made by ``show`` on this computer; each with its place.

    Examples
    --------
    >>> nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Who took part?\\n\\nTenants.")])
    >>> page = render(nb)
    >>> "<h1>Who took part?</h1>" in page, "<script" in page
    (True, False)
    """
    nb = _read(notebook)
    blocks = list(_blocks(nb, with_code=with_code))
    title = _title(nb, blocks) or "Impact report"
    page = Page(title=title, date=_date(nb), links=links, kicker=kicker or _role(nb, "masthead"))
    page.stopped = STOPPED if _has_stopped(nb) else ""
    page.rules = _rules(nb)
    lay_out(page, _without_empty_sections(blocks))
    if _is_not_run(nb):
        page.blocks.insert(0, f'<p class="stopped">{NOT_RUN}</p>')
    refuse_wordless("\n".join(page.blocks))
    return template("page.html.j2", page)


def index(
    *,
    title: str,
    pages: Sequence[Entry],
    skipped: Sequence[tuple[str, str]] = (),
    files: Sequence[tuple[str, str]] = (),
    kicker: str = "",
    date: dt.date | None = None,
) -> str:
    """Make the page that lists a study's pages.

    Parameters
    ----------
    title : str
        Of the study.
    pages : sequence of Entry
        As ``entry(notebook, href=...)`` reads them from the executed notebooks.
    skipped : sequence of (name, reason)
        What did not run, and why.
    files : sequence of (text, relative link)
        Data files that lie beside the pages.
    kicker : str
        A line above the title.
    date : date, optional
        Of the run; today without it.

    Examples
    --------
    >>> text = index(title="Northtown", pages=[Entry("Findings", "findings.html", "58 fewer admissions.")],
    ...              skipped=[("matching", "the parameter file has no matching section")])
    >>> "58 fewer admissions." in text and "no matching section" in text
    True
    """
    page = Page(title=title, date=date or dt.date.today(), kicker=kicker, entries=pages, skipped=skipped)
    page.files = [(_file_name(text, href, pages), href) for text, href in files]
    return template("index.html.j2", page)


def entry(notebook: Any, *, href: str) -> Entry:
    """Read a page's title and headline from an executed notebook, for the index."""
    nb = _read(notebook)
    title = _title(nb, _blocks(nb)) or Path(href).stem
    remarks: list[str] = next((m["remarks"].splitlines() for _, _, m in _marked(nb) if m.get("remarks")), [])
    headline = _role(nb, "headline") or _who_is_in(nb)
    more = {key: _role(nb, "headline", key) for key in ("sure", "behind")}
    return Entry(title, href, headline, STOPPED if _has_stopped(nb) else "", remarks, **more)


def _who_is_in(nb: Any) -> str:
    """Say how many are in the study with and without support, where a page shows it and has no headline."""
    flows = (f for f in harvest(nb) if f["method"].get("shows") == "who is in the study")
    rows = [row for row in next(flows, {"table": []})["table"] if row["stage"] == "in the study"]
    persons = {row["rule"]: row["persons"] for row in rows}
    if not persons.get("treated") or not persons.get("control"):
        return ""
    return f"{persons['treated']:,} with support and {persons['control']:,} without it are described."


# What readers call the results the notebooks release, in the list of files.
_FILES = {
    "flow": "who is in, and who was left out",
    "trial": "the trial this study stands in for",
    "baseline": "how alike the groups were",
    "losses": "who was not observed to the end",
    "quality": "quality of the records",
    "by-time": "effects by time from the start of support",
    "naive": "before and after",
    "checks": "done differently",
    "pretend": "starts that never happened",
    "overlap": "chances of being supported",
    "unmatched": "the unmatched comparison",
    "matched": "people matched",
    "brief": "how it was done, in brief",
    "pretrend": "whether the groups moved alike before support",
    "balance": "how alike the groups are after matching",
    "beside": "effects by the other method",
    "rates": "rates over time",
    "bounds": "if the groups would have moved apart anyway",
    "by-month": "effects month by month",
    "table-one": "the groups described",
    "feasibility": "how many can be matched",
    "rosenbaum-bounds": "how much hidden bias would change the answer",
    "e-value": "how strong a hidden cause would have to be",
    "said": "changes in what people said",
    "said-weighted": "the same, weighed for those who were lost",
    "said-standard": "the same, in standard deviations",
    "said-matched": "the same, among matched people",
    "said-recalled": "the same, had people remembered otherwise",
    "asked": "who was asked",
    "answered": "who answered again",
    "spoken": "what people said before and after",
    "modes": "how interviews were held",
    "worth": "what the change is worth to people",
}


def _file_name(text: str, href: str, pages: Sequence[Entry]) -> str:
    """Name the file of a table by its page and what it holds; any other file keeps its name."""
    found = re.fullmatch(r"tables/([a-z0-9]+)-(.+)\.csv", href)
    page = next((p.title for p in pages if found and p.href == f"{found[1]}.html"), "")
    if not found or not page:
        return text
    return f"{page.rstrip('?')}: {_FILES.get(found[2], found[2].replace('-', ' '))} (CSV)"


def harvest(notebook: Any) -> list[dict[str, Any]]:
    """Return every released result that an executed notebook shows, as written by ``Released.to_json``."""
    found: list[dict[str, Any]] = []
    for _, data, _ in _marked(_read(notebook)):
        for item in data.get(MIME) or []:
            if item not in found:
                found.append(item)
    return found


def _read(notebook: Any) -> Any:
    """Read a notebook; each of its outputs that a page would take must be as ``show`` made it."""
    nb = nbformat.read(notebook, as_version=4) if isinstance(notebook, (str, Path)) else notebook
    refuse_unsigned(nb)
    return nb


def _outputs(nb: Any) -> Iterator[Any]:
    for cell in nb.cells:
        if cell.cell_type == "code":
            yield from cell.get("outputs", [])


def _marked(nb: Any) -> Iterator[tuple[Any, Mapping[str, Any], Mapping[str, Any]]]:
    """Outputs with the mark of a released result, with their data and what their mark says of their role."""
    for output in _outputs(nb):
        data = output.get("data", {})
        if MIME in data:
            yield output, data, output.get("metadata", {}).get(MIME, {})


def _role(nb: Any, role: str, key: str = "text") -> str:
    return next((str(m.get(key, "")) for _, _, m in _marked(nb) if m.get("role") == role), "")


def _title(nb: Any, blocks: Iterable[Block]) -> str:
    """The study's own question, where the masthead has one, or else the first heading."""
    return _role(nb, "masthead", "question") or next((b.heading for b in blocks if b.level == 1), "")


def _is_not_run(nb: Any) -> bool:
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    return bool(code) and not any(cell.get("outputs") or cell.get("execution_count") for cell in code)


def _has_stopped(nb: Any) -> bool:
    return any(output.output_type == "error" for output in _outputs(nb))


def _rules(nb: Any) -> list[str]:
    return list(dict.fromkeys(str(item["rule"]) for item in harvest(nb) if item.get("rule")))


def _date(nb: Any) -> dt.date:
    ended = str(nb.metadata.get("papermill", {}).get("end_time") or "")
    try:
        return dt.date.fromisoformat(ended[:10])
    except ValueError:
        return dt.date.today()


def _blocks(nb: Any, *, with_code: bool = False) -> Iterator[Block]:
    for place, cell in enumerate(nb.cells, 1):
        tags = {str(tag).replace("_", "-") for tag in cell.metadata.get("tags", [])}
        if "remove-cell" in tags:
            continue
        if cell.cell_type == "markdown":
            yield from text_blocks(cell.source)
        elif cell.cell_type == "code":
            code = code_block(cell, place) if with_code else None
            shown = [*([code] if code else []), *_shown_blocks(cell)]
            yield from shown or [Block("code")]


def _shown_blocks(cell: Any) -> Iterator[Block]:
    for output in cell.get("outputs", []):
        if output.output_type == "error":
            yield Block("shown", f'<p class="stopped">{STOPPED}</p>')
        data = output.get("data", {})
        role = output.get("metadata", {}).get(MIME, {}).get("role")
        if MIME in data and data.get("text/html") and role != "masthead":
            yield Block("shown", clean(str(data.get("text/html", ""))))


def _without_empty_sections(blocks: Sequence[Block]) -> list[Block]:
    """Leave out each section whose code shows nothing; sections of text alone stay."""
    drop: set[int] = set()
    for i, block in enumerate(blocks):
        if block.level < 2:
            continue
        end = next((j for j in range(i + 1, len(blocks)) if 0 < blocks[j].level <= block.level), len(blocks))
        kinds = {b.kind for b in blocks[i:end]}
        if "code" in kinds and "shown" not in kinds:
            drop |= set(range(i, end))
    return [block for i, block in enumerate(blocks) if i not in drop]


def lay_out(page: Page, blocks: Sequence[Block]) -> None:
    """Give headings their level and anchor: one h1, in the header, and no level skipped below it."""
    previous, anchors, heading = 1, {"main"}, page.title
    seen_title = False
    for block in blocks:
        heading = block.heading or heading
        if block.level == 1 and not seen_title:
            seen_title = True
        elif block.level:
            level = min(max(block.level, 2), previous + 1)
            previous = level
            anchor = _unique(re.sub(r"[^a-z0-9]+", "-", block.heading.lower()).strip("-") or "part", anchors)
            page.blocks.append(f'<h{level} id="{anchor}">{html.escape(block.heading)}</h{level}>')
            if level == 2:
                page.contents.append((block.heading, anchor))
        if block.html.strip():
            page.blocks.append(with_captions(block.html, heading) if block.kind == "text" else block.html)
    page.blocks = _label_regions(page.blocks)


def _label_regions(blocks: Sequence[str]) -> list[str]:
    """Two regions of a page must not share a name; the second of a name is numbered."""
    taken: set[str] = set()

    def renamed(match: re.Match[str]) -> str:
        return f'aria-label="{_unique(match[1], taken, " ({})")}"'

    return [re.sub(r'aria-label="([^"]*)"', renamed, block) for block in blocks]


def _unique(name: str, taken: set[str], suffix: str = "-{}") -> str:
    found, n = name, 1
    while found in taken:
        n += 1
        found = name + suffix.format(n)
    taken.add(found)
    return found


def template(name: str, page: Page, **more: Any) -> str:
    """Return a page as one of the templates lays it out."""
    found = _environment().get_template(name)
    return found.render(page=page, notice=NOTICE, version=_version(), **more)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(os.fspath(TEMPLATES)),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = re.sub(r"/\*.*?\*/", "", (TEMPLATES / "style.css").read_text(encoding="utf-8"), flags=re.DOTALL)
    digest = hashlib.sha256(style.encode()).digest()
    environment.globals.update(dots=DOTS, style=style, style_hash=base64.b64encode(digest).decode())
    # All at once, so that processes which are forked later find them ready.
    for name in environment.list_templates(extensions=["j2"]):
        environment.get_template(name)
    return environment


@cache
def _version() -> str:
    try:
        return version("impact")
    except PackageNotFoundError:
        return "(not installed)"
