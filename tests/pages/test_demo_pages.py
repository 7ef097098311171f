"""The demonstration's own pages, made once: in a browser, by each way of making them, unpacked elsewhere."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from impact.pages.report import render

from .proof import look, open_details, opened
from .test_pdf import parts

PAGES = ("index", "findings", "cohort", "did", "matching", "survey")
NOTEBOOKS = PAGES[1:]
TOKEN = "of-this-test"
# Windows keeps these names for devices, with any ending.
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@pytest.fixture
def share(demo_project: Path) -> Path:
    """What the command wrote for readers."""
    return demo_project / "outputs/demo/share"


def without_place(page: str) -> str:
    """A page without what only its report knows: the list of its neighbours."""
    return re.sub(r"<nav.*?</nav>\s*", "", page, flags=re.DOTALL)


@pytest.mark.browser
@pytest.mark.parametrize("name", PAGES)
def test_no_page_breaks_a_rule_in_any_view(browser: Any, share: Path, demo_project: Path, name: str) -> None:
    seen = look(browser, share / f"{name}.html")
    assert seen.places == []
    assert (seen.sideways, seen.requests, seen.wordless) == (0, 0, 0)
    assert (seen.without_caption, seen.without_scope) == (0, 0)
    assert seen.size < 400_000


@pytest.mark.browser
@pytest.mark.parametrize("name", PAGES)
def test_no_table_scrolls_on_a_desktop(browser: Any, share: Path, demo_project: Path, name: str) -> None:
    with opened(browser, share / f"{name}.html") as page:
        open_details(page)
        wide = "all => all.filter(e => e.scrollWidth > e.clientWidth).map(e => e.ariaLabel)"
        assert page.eval_on_selector_all(".scroll", wide) == []


@pytest.mark.browser
def test_the_whole_story_is_on_the_first_of_four_sheets(
    browser: Any, share: Path, demo_project: Path, tmp_path: Path
) -> None:
    with opened(browser, share / "findings.html") as page:
        page.pdf(path=tmp_path / "findings.pdf", prefer_css_page_size=True)
    objects, _ = parts(tmp_path / "findings.pdf")
    assert len(re.findall(r"/Type /Page\n", objects)) <= 4
    # A sheet of A4 less its margins, in CSS pixels of a 96th of an inch.
    wide, high = (round((side - margins) / 25.4 * 96) for side, margins in ((210, 28), (297, 22)))
    with opened(browser, share / "findings.html", width=wide) as page:
        page.emulate_media(media="print")
        ends = page.eval_on_selector(".two", "e => e.getBoundingClientRect().bottom + scrollY")
        bottom = "e => e.getBoundingClientRect().bottom"
        before = [page.eval_on_selector(first, bottom) for first in (".answer", "figure", "#what-this-means")]
        assert max(before) < ends <= high


@pytest.mark.browser
def test_a_page_with_code_breaks_no_rule_either(browser: Any, demo_project: Path, tmp_path: Path) -> None:
    page = tmp_path / "findings.html"
    page.write_text(render(demo_project / "outputs/demo/private/findings.ipynb", with_code=True))
    assert page.read_text().count("The code of this step") > 5
    seen = look(browser, page)
    assert (seen.places, seen.sideways) == ([], 0)


@pytest.mark.browser
def test_a_text_only_reader_meets_everything_in_order(browser: Any, share: Path, demo_project: Path) -> None:
    with opened(browser, share / "findings.html", width=320) as page:
        dump = page.locator("body").aria_snapshot()
        answer = page.locator(".answer .lead").first.inner_text()
        picture = page.locator("img").first.get_attribute("alt")
        caption = page.locator("figcaption").first.inner_text()
        table = page.locator("caption").first.inner_text()
        notice = page.locator(".notice").inner_text()
    question = "Did health support reduce use of NHS services?"
    order = ["Skip to the content", "Pages of this report", f'heading "{question}" [level=1]', "- main"]
    order += [answer[:60], caption[:40], picture[:60], "May be said", "May not be said", table, notice]
    places = [dump.find(text) for text in order]
    assert -1 not in places, dump
    assert places == sorted(places)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_nbconvert_makes_the_same_page(share: Path, demo_project: Path, name: str, tmp_path: Path) -> None:
    notebook = demo_project / f"outputs/demo/private/{name}.ipynb"
    command = [sys.executable, "-m", "nbconvert", "--to", "impact_html", str(notebook)]
    done = subprocess.run([*command, "--output-dir", str(tmp_path)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / f"{name}.html").read_text() == without_place((share / f"{name}.html").read_text())


@pytest.fixture
def server(demo_project: Path, tmp_path: Path) -> Iterator[str]:
    """The address of the server behind JupyterLab's menus, on the private notebooks."""
    env = {**os.environ, "JUPYTER_RUNTIME_DIR": str(tmp_path), "JUPYTER_CONFIG_DIR": str(tmp_path)}
    folder = demo_project / "outputs/demo/private"
    flags = [
        "--no-browser",
        "--allow-root",
        f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={folder}",
    ]
    command = [sys.executable, "-m", "jupyter_server", *flags, "--ServerApp.ip=127.0.0.1"]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, env=env, stderr=log) as running:
        try:
            found: list[Path] = []
            for _ in range(300):
                found = list(tmp_path.glob("jpserver-*.json"))
                if found or running.poll() is not None:
                    break
                time.sleep(0.1)
            assert found, (tmp_path / "log").read_text()
            said = json.loads(found[0].read_text())
            # The file is there a moment before the server listens.
            for _ in range(100):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", said["port"])):
                    break
                time.sleep(0.1)
            yield said["url"]
        finally:
            running.terminate()


def test_the_menu_of_jupyterlab_makes_the_same_page(server: str, share: Path, demo_project: Path) -> None:
    """*Save and Export As* lists what ``api/nbconvert`` names and fetches ``nbconvert/<name>/<file>``."""

    def fetched(place: str) -> str:
        asked = urllib.request.Request(f"{server}{place}", headers={"Authorization": f"token {TOKEN}"})
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return str(answer.read().decode())

    assert json.loads(fetched("api/nbconvert"))["impact_html"] == {"output_mimetype": "text/html"}
    page = fetched("nbconvert/impact_html/findings.ipynb?download=true")
    assert page == without_place((share / "findings.html").read_text())


@pytest.fixture
def unpacked(share: Path, tmp_path: Path) -> Path:
    """What a reader has who was sent the folder as a zip file."""
    packed = tmp_path / "sent.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as sent:
        for file in share.rglob("*"):
            sent.write(file, file.relative_to(share.parent))
    with zipfile.ZipFile(packed) as sent:
        sent.extractall(tmp_path / "Downloads")
    return tmp_path / "Downloads/share"


def test_windows_takes_every_name(unpacked: Path, demo_project: Path) -> None:
    for file in unpacked.rglob("*"):
        place = file.relative_to(unpacked.parent).as_posix()
        assert re.fullmatch(r"[a-z0-9/.-]+", place), place
        assert len(place) <= 100
        assert not any(DEVICES.fullmatch(part) or part.endswith(".") for part in place.split("/"))
        # None of these is a kind that mail programs hold back.
        assert file.is_dir() or file.suffix in {".html", ".csv", ".json", ".md", ".pdf"}


@pytest.mark.browser
def test_every_link_leads_somewhere_where_nothing_is_installed(
    browser: Any, unpacked: Path, demo_project: Path
) -> None:
    followed = set()
    for file in unpacked.glob("*.html"):
        with opened(browser, file) as page:
            links = page.eval_on_selector_all("a[href]", "all => all.map(a => a.getAttribute('href'))")
            assert links
            for link in links:
                assert not re.match(r"[a-z]+:|/|\\", link), link
                target, _, anchor = link.partition("#")
                assert (
                    (file.parent / target).is_file() if target else page.locator(f"[id='{anchor}']").count()
                )
                followed.add(target)
            for target in sorted({link for link in links if link.endswith(".html")}):
                page.goto((file.parent / target).as_uri())
                assert page.locator("h1").count() == 1
    inside = {file.relative_to(unpacked).as_posix() for file in unpacked.rglob("*") if file.is_file()}
    assert inside - followed == set()


def test_tables_open_right_in_excel(unpacked: Path, demo_project: Path) -> None:
    """Excel takes a CSV for UTF-8 only if it begins with the mark of order; other programs pass over it."""
    for file in unpacked.rglob("*.csv"):
        raw = file.read_bytes()
        assert raw.startswith(b"\xef\xbb\xbf")
        assert raw.count(b"\n") == raw.count(b"\r\n") > 1
        assert not str(pd.read_csv(file).columns[0]).startswith("\ufeff")
