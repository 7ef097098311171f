"""What pages are like beside those that nbconvert makes of the same notebooks by default.

    python tests/pages/proof.py [--write] FOLDER...

Each folder is a study's outputs, with ``share`` and ``private``. With ``--write`` the table goes into
``docs/pages.md``. Tests use ``look`` and ``violations``.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from impact.pages.alts import fault

LEVELS = ("critical", "serious", "moderate", "minor")
VIEWS = tuple((width, dark) for width in (1280, 320) for dark in (False, True))
PAGE = Path(__file__).parents[2] / "docs" / "pages.md"
MARK = "<!-- Below this line the page is written by tests/pages/proof.py. -->"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


def chromium() -> str | None:
    """Find the system's browser."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("IMPACT_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@contextmanager
def opened(browser: Any, file: Path, *, width: int = 1280, dark: bool = False) -> Iterator[Any]:
    """Open a page where nothing can be fetched; ``requests`` lists what it asked for and complained of."""
    scheme = "dark" if dark else "light"
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    context.route(lambda url: url.startswith("http"), lambda route: route.abort())
    page = context.new_page()
    page.requests = []
    page.on("request", lambda request: page.requests.append(request.url))
    page.on("console", lambda message: page.requests.append(f"console: {message.text}"))
    page.goto(file.absolute().as_uri(), wait_until="load")
    try:
        yield page
    finally:
        context.close()


def open_details(page: Any) -> None:
    """Open everything that is closed: people read it too."""
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")


def violations(page: Any) -> list[tuple[str, str]]:
    """Return each place that breaks a rule of axe, with the rule's level."""
    from axe_core_python.sync_playwright import Axe

    # What passes is not listed, which on a long page takes longer than to look.
    found = Axe().run(page, options={"resultTypes": ["violations"]})["violations"]
    return [(v["impact"] or "minor", f"{v['id']}: {n['html'][:120]}") for v in found for n in v["nodes"]]


@dataclass
class Look:
    """What was seen of one page in every view."""

    size: int
    requests: int = 0
    broken: dict[str, int] = field(default_factory=dict)
    places: list[str] = field(default_factory=list)
    sideways: int = 0
    wordless: int = 0
    without_caption: int = 0
    without_scope: int = 0


def look(browser: Any, file: Path) -> Look:
    """Look at a page at both widths, light and dark, with everything opened; the worst view counts."""
    seen = Look(file.stat().st_size)
    for width, dark in VIEWS:
        with opened(browser, file, width=width, dark=dark) as page:
            open_details(page)
            found = violations(page)
            levels = Counter(level for level, _ in found)
            seen.broken = {level: max(seen.broken.get(level, 0), levels[level]) for level in LEVELS}
            seen.places += [f"{width} px, {'dark' if dark else 'light'}: {place}" for _, place in found]
            wide = page.evaluate("document.documentElement.scrollWidth")
            seen.sideways += wide > width
            asked = [url for url in page.requests if not url.startswith(("data:", "blob:", "console:"))]
            seen.requests = max(seen.requests, len(asked) - 1)
            alts = page.eval_on_selector_all("img", "all => all.map(i => i.getAttribute('alt'))")
            seen.wordless = sum(bool(fault(alt)) for alt in alts)
            seen.without_caption = page.locator("table:not(:has(caption))").count()
            seen.without_scope = page.locator("th:not([scope])").count()
    return seen


def by_default(notebook: Path, folder: Path) -> Path:
    """Make the page that nbconvert makes when it is asked for HTML and nothing else."""
    from nbconvert import HTMLExporter

    text, _ = HTMLExporter().from_filename(str(notebook))
    file = folder / f"{notebook.stem}.html"
    file.write_text(text, encoding="utf-8")
    return file


def rows(browser: Any, study: Path) -> list[str]:
    """Return the rows of one study's pages, before and after."""
    made = []
    with tempfile.TemporaryDirectory() as scratch:
        for page in sorted((study / "share").glob("*.html")):
            notebook = study / "private" / f"{page.stem}.ipynb"
            before = by_default(notebook, Path(scratch)) if notebook.exists() else None
            for way, file in (("nbconvert", before), ("impact", page)):
                if file:
                    made.append(_row(f"{study.name}: {page.stem}", way, look(browser, file)))
    return made


def _row(name: str, way: str, seen: Look) -> str:
    broken = " / ".join(str(seen.broken[level]) for level in LEVELS)
    told = [name, way, f"{seen.size / 1000:.0f} kB", seen.requests, broken, seen.sideways]
    told += [seen.wordless, seen.without_caption, seen.without_scope]
    return f"| {' | '.join(map(str, told))} |"


def table(studies: list[Path]) -> str:
    """Return the part of ``docs/pages.md`` that is measured."""
    from playwright.sync_api import sync_playwright

    head = ["page", "made by", "size", "requests", "broken rules: critical / serious / moderate / minor"]
    head += ["views that scroll sideways", "pictures without words", "tables without caption"]
    head += ["headings of columns and rows without scope"]
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        measured = [row for study in studies for row in rows(browser, study)]
        said = f"Chromium {browser.version}, axe-core-python {version('axe-core-python')}"
        browser.close()
    today = dt.date.today()
    return "\n".join(
        [
            "## Beside nbconvert's own pages",
            "",
            f"Measured on {today.day} {today:%B %Y} with {said}, nbconvert {version('nbconvert')}, at "
            "1280 and 320 px, light and dark, with everything opened; the worst view counts. A broken rule "
            "counts once for each place.",
            "",
            f"| {' | '.join(head)} |",
            f"|{' --- |' * len(head)}",
            *measured,
            "",
        ]
    )


def main() -> None:
    """Measure the pages of the folders that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE.name}")
    asked = parser.parse_args()
    made = table(asked.folders)
    print(made)
    if asked.write:
        above, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
        if not mark:
            parser.error(f"{PAGE.name} has lost the line that says where the table goes.")
        PAGE.write_text(f"{above}{mark}\n\n{made}", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
