"""Pages as PDF, printed by a Chromium that is there already; nothing is installed for it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge", "microsoft-edge")
_SECONDS = 120
NO_BROWSER = (
    "no PDF was made, because no Chromium, Chrome or Edge was found; install one, or name its program in "
    "IMPACT_CHROMIUM. The HTML pages are written."
)


def find_browser() -> str | None:
    """Find a browser that can print: the one ``IMPACT_CHROMIUM`` names, or one on the path."""
    named = os.environ.get("IMPACT_CHROMIUM")
    return next(filter(None, map(shutil.which, (named,) if named else _NAMES)), None)


class Printer:
    """Prints pages as tagged PDFs beside them; ``problem`` says why a PDF is missing."""

    def __init__(self) -> None:
        self._browser = find_browser()
        self.problem = "" if self._browser else NO_BROWSER

    def __call__(self, page: Path) -> str:
        """Print a page and return the PDF's name; an empty text where that could not be done."""
        if not self._browser:
            return ""
        # Beside the report and not in the system's folder, which a browser in a box may not see.
        with tempfile.TemporaryDirectory(dir=page.parents[1]) as scratch:
            plain, made = Path(scratch) / page.name, Path(scratch) / "page.pdf"
            plain.write_text(_without_links(page.read_text(encoding="utf-8")), encoding="utf-8")
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                _print(self._browser, plain, made)
            if made.exists() and made.read_bytes()[:5] == b"%PDF-":
                return Path(shutil.move(made, page.with_suffix(".pdf"))).name
        self.problem = (
            f"{page.stem}.pdf was not made, because the browser failed. The HTML pages are written."
        )
        return ""


def _print(browser: str, page: Path, made: Path) -> None:
    flags = ["--headless", "--disable-gpu", "--disable-extensions", "--disable-background-networking"]
    flags += ["--no-first-run", "--no-pdf-header-footer", "--generate-pdf-document-outline"]
    # Chromium refuses to run in its sandbox as root, as in a container.
    flags += ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    flags += [f"--user-data-dir={page.parent / 'profile'}", f"--print-to-pdf={made}"]
    subprocess.run([browser, *flags, page.as_uri()], capture_output=True, timeout=_SECONDS, check=True)


def _without_links(text: str) -> str:
    """Take out links to neighbouring files: a browser would print where they lie on this machine."""
    return re.sub(r'<a href="(?!https?:|mailto:|#)[^"]*"', "<a", text)
