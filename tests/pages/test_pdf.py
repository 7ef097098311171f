"""Pages as PDF, printed by the browser that is there, and what is said where there is none."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import pytest

from impact.run.pdf import NO_BROWSER, Printer

from .proof import chromium


def parts(pdf: Path) -> tuple[str, str]:
    """The objects of a PDF as Chromium writes them, and what its packed streams hold."""
    raw = pdf.read_bytes()
    packed = re.compile(rb"/FlateDecode.*?stream\r?\n(.*?)\r?\nendstream", re.DOTALL)
    unpacked = b"".join(zlib.decompressobj().decompress(stream) for stream in packed.findall(raw))
    return raw.decode("latin-1"), unpacked.decode("latin-1")


@pytest.fixture
def printed(page_file: Path, browser: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The compact page as a PDF."""
    monkeypatch.setenv("IMPACT_CHROMIUM", chromium() or "")
    (tmp_path / "share").mkdir()
    page = tmp_path / "share/findings.html"
    page.write_text(page_file.read_text())
    printer = Printer()
    assert (printer(page), printer.problem) == ("findings.pdf", "")
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["findings.html", "findings.pdf", "share"]
    return page.with_suffix(".pdf")


@pytest.mark.browser
def test_a_pdf_can_be_read_aloud_and_names_no_place(printed: Path) -> None:
    objects, drawn = parts(printed)
    assert "/StructTreeRoot" in objects
    assert "/Marked true" in objects
    assert "/Lang (en-GB)" in objects
    assert "/Outlines" in objects
    assert len(re.findall(r"/Alt\b", objects)) == 8
    for place in ("file:", str(printed.parent), ".html"):
        assert place not in objects
        assert place not in drawn


@pytest.mark.browser
def test_no_picture_is_cut_and_no_page_is_nearly_empty(printed: Path) -> None:
    objects, _ = parts(printed)
    pictures = re.findall(r"(\d+) 0 obj\n<<[^>]*?/Subtype /Image", objects)
    pages = re.findall(r"/Type /Page\n.*?endobj", objects, re.DOTALL)
    assert len(pictures) == 8
    # A picture cut in two would be drawn on two pages.
    assert [sum(f" {picture} 0 R" in page for page in pages) for picture in pictures] == [1] * 8
    assert 4 <= len(pages) <= 8


def test_without_a_browser_the_page_stays_and_a_sentence_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMPACT_CHROMIUM", str(tmp_path / "nowhere"))
    (tmp_path / "share").mkdir()
    page = tmp_path / "share/findings.html"
    page.write_text("<h1>T</h1>")
    printer = Printer()
    assert (printer(page), printer.problem) == ("", NO_BROWSER)
    assert [file.name for file in page.parent.iterdir()] == ["findings.html"]


def test_a_browser_that_fails_leaves_the_page_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = tmp_path / "failing"
    failing.write_text("#!/bin/sh\nexit 3\n")
    failing.chmod(0o755)
    monkeypatch.setenv("IMPACT_CHROMIUM", str(failing))
    (tmp_path / "share").mkdir()
    page = tmp_path / "share/did.html"
    page.write_text("<h1>T</h1>")
    printer = Printer()
    assert printer(page) == ""
    assert printer.problem == (
        "did.pdf was not made, because the browser failed. The HTML pages are written."
    )
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["did.html", "failing", "share"]
