"""Whether a study kept to its plan, on the pages of its report."""

from __future__ import annotations

from collections.abc import Mapping

from impact.disclosure import Released
from impact.pages import SEAL, Shown, show
from impact.pages.evidence import Check
from impact.pages.formats import capital, listed, notes, plain
from impact.pages.layout import Column, Table, table_of
from impact.pages.statement import Statement


def kept(released: Released, line: str) -> Statement:
    """Say whether there was a plan before the results, and whether it was kept to.

    Parameters
    ----------
    released : Released
        Of ``interpret.kept_to_plan``.
    line : str
        The sentences of ``Study.planned``.
    """
    return Statement("sentence", (("", (plain(line),)),), (released,), SEAL)


def in_full(released: Released, line: str) -> Shown:
    """Say the same with the table of what differs and the hash of the plan."""
    things: list[object] = [kept(released, line)]
    if len(released.table):
        things.append(released)
    plan, run = (str(released.method[name]) for name in ("plan", "what ran"))
    if plan:
        same = "which is also that of what ran" if plan == run else f"that of what ran is {run}"
        said = f"Fingerprint of the plan (SHA-256, in groups of eight): {plan}; {same}."
        things.append(Statement("sentence", (("note", (said,)),), (released,), SEAL))
    return show(*things)


def deviations(released: Released) -> Table:
    """Lay out what was done otherwise than planned, or say that nothing was."""
    shown = released.table
    titles = {"what": "What", "planned": "Planned", "run": "Done", "reason": "Why"}
    columns = [
        Column(title, [capital(plain(str(cell))) for cell in shown[name]], True)
        for name, title in titles.items()
    ]
    return table_of(released, "What was done otherwise than planned", columns, notes(released))


def weighed(page: Mapping[str, Released]) -> tuple[Check, ...]:
    """Weigh whether a study kept to its plan, for the words of evidence.

    Parameters
    ----------
    page : mapping of name to Released
        ``planned``, of ``interpret.kept_to_plan``, is looked at; without it there is nothing to weigh.

    Returns
    -------
    tuple of Check
        Passed where what decides the main result is as it was planned before any result. Where there was no
        such plan, or a reason was given for what differs from it, it bars strong evidence; without a reason
        the evidence is weak, as the analysis may have been chosen by its result (RoB 2, domain 5).
    """
    if "planned" not in page:
        return ()
    said = page["planned"].method
    departed, unexplained = (_things(said[name]) for name in ("departed", "unexplained"))
    if said["status"] == "none":
        return (Check(f"No plan was written before the results: {_EXPLORES}.", False, minor=True),)
    if said["status"] == "retrospective":
        return (Check(f"The plan was written after results existed: {_EXPLORES}.", False, minor=True),)
    if unexplained:
        return (Check(f"Not as planned, and no reason is given: {listed(unexplained)}.", False),)
    if departed:
        return (Check(f"Not as planned, for reasons given: {listed(departed)}.", False, minor=True),)
    return (Check("The analysis was planned before any result.", True),)


_EXPLORES = "the study is exploratory"


def not_claimed(page: Mapping[str, Released]) -> list[str]:
    """Say what may not be said of a study that had no plan before its results, or did not keep to it."""
    if "planned" not in page:
        return []
    said = page["planned"].method
    if said["status"] in ("none", "retrospective"):
        return [
            "“The study confirms it”: no plan was written before the results, so it explores and does not "
            "confirm."
        ]
    if departed := _things(said["departed"]):
        return [f"“It was done as planned”: it was not in {listed(departed)}."]
    return []


def _things(names: object) -> list[str]:
    return [plain(str(name)) for name in names] if isinstance(names, list | tuple) else []
