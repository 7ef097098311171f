"""What the findings page says beside the answer: what it means, how it was done, who is in it."""

from __future__ import annotations

import html
from collections.abc import Mapping

import numpy as np

from impact.disclosure import Released
from impact.disclosure.identifiers import found_in
from impact.errors import DisclosureError
from impact.pages import SEAL, Shown, match_audit, show
from impact.pages.answers import Answer, about, answers, range_of, size
from impact.pages.called import DID, called, left_out
from impact.pages.done_differently import sentences
from impact.pages.evidence import checks_on, passed
from impact.pages.formats import listed, number, numeric, plain, who
from impact.pages.statement import Statement
from impact.pages.words import beside

_YEAR = "per 1,000 people a year"


def meaning(released: Released) -> Statement:
    """Say what the main result means for people with support and for the services.

    Parameters
    ----------
    released : Released
        Of ``Effects`` with one effect an outcome; the first outcome is the primary one.
    """
    first = answers(released)[0]
    said = (_for_people(first, who(released)), _for_services(first, released))
    return Statement("sentence", (("list", tuple(filter(None, said))),), (released,), SEAL)


def _for_people(a: Answer, those: str) -> str:
    """Natural frequencies: contacts among 100 people who are supported for a year."""
    if a.strength == "too rare":
        return f"For people with support: too few {a.name} to say."
    if those != "people":
        return f"For one person: nothing can be said, as this study compares {those} and not people."
    if a.unit != _YEAR or a.difference is None:
        return f"For people with support: {size(a, a.name)} ({range_of(a)})."
    best, low, high = (v / 10 for v in a.difference)
    reach = _span(low, high)
    lead = "For people with support: if 100 have it for a year,"
    if a.strength == "cannot tell":
        fits = f"{lead} anything from {reach} {a.name} than without it fits the data."
        return f"{fits} That is nothing to count on."
    if a.strength == "little or no change":
        return f"{lead} little changes in {a.name}: {reach} in all."
    more = "fewer" if best < 0 else "more"
    return (
        f"{lead} about {_whole(best, low, high)} {more} {a.name} in all than without it ({reach}). "
        "That is an average: it does not say who has them."
    )


def _for_services(a: Answer, released: Released) -> str:
    """The whole group over the time studied, from the events avoided."""
    rows = released.table[
        (released.table["scale"] == "events avoided") & (released.table["outcome"] == a.outcome)
    ]
    if rows.empty or a.strength == "too rare":
        return ""
    best, high, low = (-float(v) for v in numeric(rows.iloc[0][["estimate", "conf_low", "conf_high"]]))
    people = number(rows["treated"].iloc[0])
    if not np.isfinite([best, low, high]).all() or people == number(None):
        return ""
    group = f"For the services: over the time studied, the {people} {who(released)} with support had"
    if a.is_clear:
        more = "fewer" if best < 0 else "more"
        return (
            f"{group} about {_whole(best, low, high)} {more} {a.name} than without it ({_span(low, high)})."
        )
    if a.strength == "little or no change":
        return f"For the services: little to gain or to lose in {a.name} ({range_of(a)})."
    close = " Beds or staff cannot be planned on this." if a.strength == "cannot tell" else ""
    return f"{group} anything from {_span(low, high)} {a.name} than without it.{close}"


def _span(low: float, high: float) -> str:
    """'14 to 102 fewer', '52 fewer to 36 more'."""
    one, two = (_whole(v, low, high) for v in (low, high))
    if high < 0:
        return f"{two} to {one} fewer"
    return f"{one} to {two} more" if low > 0 else f"{one} fewer to {two} more"


def _whole(value: float, *among: float) -> str:
    """People read whole contacts; only where all are few is there a decimal."""
    if abs(value) >= 1000:
        return about(value)
    return number(abs(value), 1 if max(map(abs, among)) < _FEW else 0)


# From this many contacts on, a tenth of one says nothing.
_FEW = 3


def checked(released: Mapping[str, Released]) -> Statement:
    """List what was checked, whether it passed, and what a second method found.

    Parameters
    ----------
    released : mapping of name to Released
        Everything the page shows: see ``evidence.checks_on``.
    """
    words = {True: "Passed", False: "Failed", None: "Not known"}
    alone = {name: shown for name, shown in released.items() if name != "checks"}
    said = [f"{words[check.passed]}: {check.said}" for check in checks_on(alone)]
    said += sentences(released["checks"]) if "checks" in released else []
    counted = passed(checks_on(released))
    said = [f"{counted} Each test, and each thing changed, counts as one.", *said] if said else [_NO_CHECK]
    said += [" ".join(lines) for _, lines in beside(released, "effects", "beside").parts]
    said += match_audit.line(released)
    sources = tuple(
        released[n]
        for n in ("effects", "beside", *_AUDIT, "pretrend", "balance", "negative_control", "checks")
        if n in released
    )
    return Statement("sentence", (("list", tuple(said)),), sources, SEAL)


_AUDIT = ("audit", "no_audit")
_NO_CHECK = "This page holds no check of the comparison."
# What the pages behind the findings are called; in JupyterLab the links open the notebooks.
_DID_PAGE = ("What changed beyond what would have changed anyway", "did.ipynb")
_MATCHING_PAGE = ("Compared with similar people", "matching.ipynb")
_COHORT_PAGE = ("Who is in the study", "cohort.ipynb")


def how(released: Mapping[str, Released]) -> Shown:
    """Say in a few lines how it was done, with links to the pages behind it.

    Parameters
    ----------
    released : mapping of name to Released
        With ``effects`` and ``brief`` (elements of ``Study.brief``).
    """
    brief = tuple(map(plain, released["brief"].table["in this study"]))
    lines = Statement("sentence", (("list", brief),), (released["brief"],), SEAL)
    by_did = called(released["effects"]) == DID
    pages = [_DID_PAGE] if by_did else [_MATCHING_PAGE]
    pages += [_MATCHING_PAGE] if by_did and "beside" in released else []
    pages.append(_COHORT_PAGE)
    links = " · ".join(f'<a href="{href}">{html.escape(text)}</a>' for text, href in pages)
    more = f"<p>The pages behind this one: {links} (with the whole design).</p>"
    return Shown("\n".join(brief), show(lines).html + more, (released["brief"],), seal=SEAL)


def people(released: Mapping[str, Released]) -> Statement:
    """Say who is in the study, who is not and why, and whom the answer is about.

    Parameters
    ----------
    released : mapping of name to Released
        With ``flow``, as data have it.
    """
    flow = released["flow"]
    those, shown = who(released["effects"]), flow.table
    counted = {
        str(row["rule"]) or str(row["stage"]): "too few to show" if hidden else number(row["persons"])
        for row, hidden in zip(shown.to_dict("records"), flow.hidden["persons"], strict=True)
    }
    out = shown.loc[(shown["stage"] == "left out") & (numeric(shown["persons"]) != 0), "rule"]
    said = [f"In it: {counted['treated']} {those} with support and {counted['control']} without."]
    if len(out):
        named = listed([f"{left_out(rule)} ({counted[str(rule)]})" for rule in out])
        said.append(f"Not in it: {named}. The answer says nothing about them.")
    else:
        said.append(
            "Nobody in the file was left out." if those == "people" else "None in the file was left out."
        )
    return Statement("sentence", (("list", tuple(said)),), (flow,), SEAL)


def contact(said: str | None) -> Shown:
    """Say whom a reader may ask.

    Raises
    ------
    DisclosureError
        For a contact that holds an NHS number or a path; an e-mail or postal address is what it is for.

    Examples
    --------
    >>> contact("Northtown Homes, health team").text
    'Questions about this page: Northtown Homes, health team.'
    """
    allowed = {"an e-mail address", "a UK postcode"}
    if said and (found := [what for what in found_in(said) if what not in allowed]):
        raise DisclosureError(f"contact: it holds {found[0]}; give a team, an address or a telephone number.")
    text = f"Questions about this page: {said or 'ask whoever sent it to you'}.".replace("..", ".")
    return Shown(text, f"<p>{html.escape(text)}</p>", (), {"role": "contact"}, SEAL)
