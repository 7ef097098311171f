"""The checker's sheet as a page: for whoever decides whether a report may be sent. It stays inside."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from impact.pages.report import Page, template

_SAID = {
    "pass": "Every rule is met, and nothing needs judgement.",
    "review": "Every rule is met; what is listed needs a person's judgement.",
    "fail": "Do not send this report: see what is listed.",
}


def checker(*, title: str, pages: Mapping[str, Sequence[Mapping[str, Any]]], status: str) -> str:
    """Return the sheet: which rule each table passed, what it withheld, and what to look at.

    Parameters
    ----------
    title : str
        Of the study.
    pages : mapping of page to rows
        As ``disclosure.release(...).sheet`` gives them.
    status : str
        The worst of all tables: 'pass', 'review' or 'fail'.

    Examples
    --------
    >>> row = {"table": "flow", "rule": "HES", "figures": 9, "withheld": 2, "too_small": 1,
    ...        "to_protect_others": 1, "status": "pass", "look": [], "notes": []}
    >>> "Withheld to protect others" in checker(title="Northtown", pages={"cohort": [row]}, status="pass")
    True
    """
    page = Page(title=f"Checker's sheet: {title}", date=dt.date.today())
    return template("checker.html.j2", page, checked=pages, status=status, said=_SAID[status])
