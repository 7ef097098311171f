"""The checker's sheet: readable by everyone, in the order in which it is read, and the same as its JSON."""

from __future__ import annotations

import copy
import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from impact.pages.checker import DONE, SAID, TO_SIGN, checker

from .proof import look, opened

FIRST, LAST = "2026-09-01 08:00:00 UTC", "2026-10-05 17:30:09 UTC"


def table(name: str, status: str, *look_at: str, since: tuple[dict[str, str], ...] = ()) -> dict[str, Any]:
    counts = {"figures": 240, "withheld": 12, "too_small": 3, "to_protect_others": 5}
    said = {"notes": ["Counts of 7 or fewer are withheld."], "status": status, "look": list(look_at)}
    return {"table": name, "kind": "summary", "rule": "Our rule", **counts, **said, "since": list(since)}


CHANGES = (
    {"count": "people (arm: control)", "report": FIRST, "now": "withheld"},
    {"count": "people <all>", "report": LAST, "now": "rounded"},
)
SHEET: dict[str, Any] = {
    "study": "northtown",
    "title": "Health support, <b>Northtown</b>",
    "made": "2026-11-23 05:44:19 UTC",
    "status": "fail",
    "rule": {"policy": "hes", "title": "Our rule", "sentence": "Counts of 1 to 7 are not shown (Our rule)."}
    | {"source": "a guide", "read": "2026-08-01"},
    "compared_with": [FIRST, LAST],
    "left_out": ["2026-11-01 10:11:12 UTC"],
    "same_people": ["westtown", *(f"north-{i}" for i in range(9))],
    "look": ["it was not compared with the other runs"],
    "pages": [
        {
            "title": "Findings",
            "href": "findings.html",
            "tables": [table("flow", "review", "2 counts differ", since=CHANGES), table("naive", "pass")],
        },
        {
            "title": "Who is in the study",
            "href": "cohort.html",
            "tables": [table("losses", "fail", "it gives away people (tenure: other)")],
        },
    ],
    "files": [
        {"file": f"tables/findings-table-{i}.csv", "bytes": 1000 + i, "sha256": f"{i:064x}"}
        for i in range(40)
    ],
    "fingerprint": "f" * 64,
    "made_with": {"impact": "0.1.0", "sha256": "c" * 64, "python": "3.11.7"},
    "to_sign": list(TO_SIGN),
}


def text_of(page: str) -> str:
    body = re.findall(r"<main[^>]*>(.*)</main>", page, re.DOTALL)[0]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def passed() -> dict[str, Any]:
    """A first report in which nothing has to be looked at."""
    sheet = copy.deepcopy(SHEET)
    sheet |= {"status": "pass", "compared_with": [], "left_out": []}
    sheet |= {"same_people": [], "look": []}
    for page in sheet["pages"]:
        page["tables"] = [table("flow", "pass")]
    return sheet


@pytest.mark.browser
@pytest.mark.parametrize("sheet", [SHEET, passed()], ids=["fail", "pass"])
def test_it_breaks_no_rule_in_any_view(browser: Any, tmp_path: Path, sheet: dict[str, Any]) -> None:
    page = tmp_path / "checker.html"
    page.write_text(checker(sheet), encoding="utf-8")
    seen = look(browser, page)
    assert seen.places == []
    assert (seen.sideways, seen.requests, seen.without_caption, seen.without_scope) == (0, 0, 0, 0)


@pytest.mark.browser
def test_what_is_signed_stands_before_what_is_looked_up(browser: Any, tmp_path: Path) -> None:
    page = tmp_path / "checker.html"
    page.write_text(checker(SHEET), encoding="utf-8")
    with opened(browser, page, width=360) as seen:
        heads = seen.locator("h2").all_inner_texts()
        closed = seen.locator("details:not([open])").count()
    assert heads == [
        "What to look at",
        "What differs by too few from an earlier report",
        "Nothing to sign",
        "What was done to each table",
        "What is in the folder",
    ]
    assert closed == 2


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for k, v in value.items():
            yield from leaves(v, k)
    elif isinstance(value, list):
        for v in value:
            yield from leaves(v, key)
    else:
        yield key, value


@pytest.mark.parametrize("sheet", [SHEET, passed()], ids=["fail", "pass"])
def test_the_page_says_all_that_the_json_holds(sheet: dict[str, Any]) -> None:
    page = checker(sheet)
    said = text_of(page)
    words = {"status": {k: v[0] for k, v in SAID.items()}, "now": DONE}
    for key, value in leaves(sheet):
        # Names for programs; the title stands above the page, the links within.
        if key not in ("study", "policy", "kind", "title", "href", "rule"):
            assert words.get(key, {}).get(value, str(value)) in said, key
    assert html.escape(sheet["title"]) in page
    # What must not be sent lies nowhere.
    found = [f'href="../share/{of["href"]}"' in page for of in sheet["pages"]]
    assert found == [sheet["status"] != "fail"] * len(found)


def test_the_page_says_no_more_than_the_json() -> None:
    """Each row of its tables of numbers is one of the JSON, in the same order."""
    page = checker(SHEET)
    rows = [
        [text_of(f"<main>{cell}</main>") for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)]
        for row in re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    ]
    tables = [one for of in SHEET["pages"] for one in of["tables"]]
    wanted = [
        [one["table"], SAID[one["status"]][0]]
        + [str(one[k]) for k in ("figures", "withheld", "too_small", "to_protect_others")]
        + [" ".join(one["notes"])]
        for one in tables
    ]
    assert [row for row in rows if len(row) == 7 and row[0] != "Table"] == wanted
    files = [[of["file"], str(of["bytes"]), of["sha256"]] for of in SHEET["files"]]
    assert [row for row in rows if len(row) == 3 and row[1].isdigit()] == files


def test_what_is_worst_comes_first() -> None:
    said = text_of(checker(SHEET)).partition("What to look at")[2]
    assert said.index("Must not be sent") < said.index("To be looked at")
    assert "3 tables: 1 must not be sent, 1 to be looked at, 1 passed." in text_of(checker(SHEET))


def test_a_report_that_was_left_out_is_named() -> None:
    said = text_of(checker(SHEET))
    assert "Not compared with: the report made 2026-11-01 10:11:12 UTC" in said
    assert "no earlier report of this study" in text_of(checker(passed()))
