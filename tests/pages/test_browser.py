"""The pages in a real browser: rules of accessibility, the network, a phone, a printer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from impact.pages import report

from .conftest import wide_notebook
from .proof import look

pytestmark = pytest.mark.browser


@pytest.fixture(params=["findings.html", "index.html"])
def file(request: pytest.FixtureRequest, page_file: Path) -> Path:
    return page_file.with_name(request.param)


def test_no_view_breaks_a_rule_scrolls_sideways_or_asks_for_anything(browser: Any, file: Path) -> None:
    seen = look(browser, file)
    assert seen.places == []
    assert (seen.sideways, seen.requests, seen.wordless) == (0, 0, 0)
    assert (seen.without_caption, seen.without_scope) == (0, 0)


def test_no_script_runs_and_nothing_is_complained_of(open_page: Any, file: Path) -> None:
    page = open_page(file)
    assert [url for url in page.requests if not url.startswith("data:")] == [file.as_uri()]
    assert page.locator("script").count() == 0
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).fontSize") != "32px"


def test_every_figure_says_its_finding_in_numbers(open_page: Any, page_file: Path) -> None:
    alts = open_page(page_file).eval_on_selector_all("img", "images => images.map(i => i.alt)")
    assert len(alts) == 8
    assert all(len(re.findall(r"\d+", alt)) >= 3 for alt in alts)
    assert len(set(alts)) == 8


def test_every_figure_has_its_numbers_in_a_table(open_page: Any, page_file: Path) -> None:
    page = open_page(page_file)
    assert page.locator("figure").count() == page.locator("figure + details table caption").count() == 8


def test_figures_stay_readable_on_a_phone(open_page: Any, page_file: Path) -> None:
    """Letters of 10 points in a drawing of 5.2 inches are at least 9 px high on a screen of 360 px."""
    page = open_page(page_file, width=360)
    width = page.eval_on_selector("img", "image => image.getBoundingClientRect().width")
    assert width / (5.2 * 72) * 10 >= 9


def test_a_wide_table_breaks_before_the_ranges_and_scrolls_on_no_desktop(
    open_page: Any, tmp_path: Path
) -> None:
    """Six columns with as many figures as trusts' counts have: cut neither on a screen nor on paper."""
    file = tmp_path / "wide.html"
    file.write_text(report.render(wide_notebook()), encoding="utf-8")
    for width, media in ((1280, "screen"), (1100, "screen"), (688, "print")):
        page = open_page(file, width=width)
        page.emulate_media(media=media)
        assert page.locator("thead th").count() == 6
        box = page.eval_on_selector(".scroll", "e => [e.scrollWidth, e.clientWidth]")
        assert box[0] <= box[1], (width, media)
        heights = page.eval_on_selector_all("thead th span", "all => all.map(e => e.getClientRects().length)")
        assert heights == [1]


def test_the_words_of_the_data_are_text(open_page: Any, page_file: Path) -> None:
    page = open_page(page_file)
    assert page.get_by_text("<script>alert(1)</script> & <b>social</b> rent").count() == 2


def test_a_keyboard_finds_the_content_and_the_tables(open_page: Any, page_file: Path) -> None:
    page = open_page(page_file, width=320)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    region = page.locator('[role="region"]:visible').first
    region.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(500)
    assert page.evaluate("document.activeElement.scrollLeft") > 0


def test_print_shows_the_tables_and_hides_the_menu(open_page: Any, page_file: Path) -> None:
    page = open_page(page_file)
    page.emulate_media(media="print")
    assert not page.locator("nav").first.is_visible()
    closed = page.locator("details:not(.contents):not(.more):not([open]) table").first
    assert closed.evaluate("table => table.getBoundingClientRect().height") > 100
    assert closed.locator("thead").evaluate("h => getComputedStyle(h).display") == "table-header-group"


def test_the_page_is_small(page_file: Path) -> None:
    assert page_file.stat().st_size < 400_000
    assert page_file.with_name("index.html").stat().st_size < 20_000


def test_the_index_leads_to_the_page(open_page: Any, page_file: Path) -> None:
    page = open_page(page_file.with_name("index.html"))
    assert page.get_by_text("about 56 fewer emergency admissions").count() == 1
    page.get_by_role("link", name="Did health support reduce use of NHS services?").click()
    assert page.locator("h1").inner_text() == "Did health support reduce use of NHS services?"
