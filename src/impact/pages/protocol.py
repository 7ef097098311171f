"""The plan of a study and its amendments, as a page of its own."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from impact.disclosure.identifiers import days_in, found_in
from impact.errors import ParameterError
from impact.pages.formats import capital, plain
from impact.pages.report import Page, template
from impact.pages.summaries import ELEMENTS

_ELEMENTS = {
    "Checks": "How the main result is checked",
    "Subgroups": "For whom separately",
    "Kinds of support": "Which kinds of support are told apart",
    "Money": "In money",
    "Runs": "What is varied",
}


def protocol(plans: Sequence[Mapping[str, Any]], *, title: str) -> str:
    """Return the plan of a study and its amendments as one page.

    Parameters
    ----------
    plans : sequence of mappings
        As ``impact protocol`` wrote them, the first first.
    title : str
        Of the study.

    Raises
    ------
    ParameterError
        For words that hold an NHS number, a postcode, an e-mail address or a path.

    Examples
    --------
    >>> plan = {"version": 1, "written": "2026-03-03", "after_results": False, "same_data": [], "because": "",
    ...         "changed": [], "sha256": "c8c22f26", "in_full": {"seed": 1}, "runs": [],
    ...         "trial": {"Arms": "Support or none."}, "made_with": {"impact": "0.1.0"}}
    >>> "3 March 2026, before any result" in protocol([plan], title="Northtown")
    True
    """
    last = plans[-1]
    refuse(" ".join([title, *last["trial"].values(), *map(str, last["in_full"].values())]))
    page = Page(title="The plan of this study", kicker=title, date=dt.date.fromisoformat(last["written"]))
    names = {**ELEMENTS, **_ELEMENTS}
    trial = [(names.get(key, key), capital(plain(said))) for key, said in last["trial"].items()]
    amended = [
        (plan, [{name: plain(said) for name, said in change.items()} for change in plan["changed"]])
        for plan in plans[1:]
    ]
    return template("plan.html.j2", page, plans=plans, last=last, trial=trial, amended=amended, when=_when)


def refuse(text: str, name: str = "the plan") -> None:
    """Refuse words that name a person, a home or a machine, or a day, which the report could not show."""
    found = found_in(text)
    if name != "the plan" and not found and any(days_in(text)):
        found = ["an exact date"]
    if found:
        raise ParameterError(f"{name}: it holds {found[0]}; leave it out.")


def _when(plan: Mapping[str, Any]) -> str:
    """Say when a plan was written: on which day, and whether results existed by then."""
    day = dt.date.fromisoformat(plan["written"])
    study = " of this study" if plan["same_data"] else ""
    known = f"after results{study} existed" if plan["after_results"] else f"before any result{study}"
    return f"{day.day} {day:%B %Y}, {known}"
