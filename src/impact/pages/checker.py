"""The checker's sheet as a page: for whoever decides whether a report may be sent. It stays inside."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from impact.pages.report import Page, template

# What a status is called, and what it says of the whole report.
SAID = {
    "fail": ("Must not be sent", "Something that is withheld could be worked out. Nothing was written."),
    "review": ("To be looked at", "Every rule is met; what is listed first needs a person's judgement."),
    "pass": (
        "Passed",
        "Every rule is met, and no table needs to be looked at for its own sake. "
        "A person still signs for what no rule can judge.",
    ),
}
DONE = {"withheld": "withheld", "rounded": "shown rounded, which hides by how many"}
# What no rule can judge.
TO_SIGN = (
    "The words on the pages, in the tables and in the figures name no person, and no place with few people.",
    "No report or table on the same people that went out otherwise (of another study, another run of this "
    "parameter file, another folder, made by hand) shows figures that these could be set beside.",
    "Numbers of sites and buildings stand as they are: readers may know them.",
    "What is sent is the folder share with the fingerprint below, and nothing of the folder private.",
)


def checker(sheet: Mapping[str, Any]) -> str:
    """Return the sheet as a page: the verdict, what to look at, what was done to each table, where to sign.

    Parameters
    ----------
    sheet : mapping
        What ``checker.json`` holds, which the page shows in full.

    Examples
    --------
    >>> table = {"table": "flow", "figures": 9, "withheld": 2, "too_small": 1, "to_protect_others": 1,
    ...          "notes": [], "status": "pass", "look": [], "since": []}
    >>> rule = {"title": "HES", "sentence": "Counts of 1 to 7 are not shown.", "source": "", "read": "2026"}
    >>> page = {"title": "Who is in the study", "href": "cohort.html", "tables": [table]}
    >>> sheet = {"title": "Northtown", "made": "2026-11-23 05:44:19 UTC", "status": "pass", "rule": rule,
    ...          "compared_with": [], "left_out": [], "same_people": [], "look": [],
    ...          "pages": [page], "files": [], "fingerprint": "0a1b", "to_sign": TO_SIGN,
    ...          "made_with": {"impact": "0.1.0", "sha256": "2c3d", "python": "3.11"}}
    >>> "Who is in the study" in checker(sheet)
    True
    """
    made = dt.date.fromisoformat(sheet["made"][:10])
    page = Page(title="Checker's sheet", kicker=sheet["title"], date=made)
    tables = [(of["title"], of["href"], table) for of in sheet["pages"] for table in of["tables"]]
    counted = {status: sum(table["status"] == status for *_, table in tables) for status in SAID}
    # What must not be sent, then what is said of the report as a whole, then of single tables.
    whole = ("The report as a whole", "index.html", "review", tuple(sheet["look"]))
    alike: dict[tuple[str, str, str, tuple[str, ...]], list[str]] = {whole: []} if sheet["look"] else {}
    for title, href, table in tables:
        if table["look"]:
            alike.setdefault((title, href, table["status"], tuple(table["look"])), []).append(table["table"])
    to_look = sorted(alike.items(), key=lambda one: list(SAID).index(one[0][2]))
    changes: dict[tuple[str, str, str], list[str]] = {}
    for title, _, table in tables:
        for one in table["since"]:
            where = changes.setdefault((one["count"], one["report"], one["now"]), [])
            where.append(f"{title}: {table['table']}")
    words = {"counted": counted, "to_look": to_look, "changes": changes, "said": SAID, "done": DONE}
    return template("checker.html.j2", page, sheet=sheet, **words)
