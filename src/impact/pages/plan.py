"""Whether a study kept to its plan, on the pages of its report."""

from __future__ import annotations

from impact.disclosure import Released
from impact.pages import SEAL, Shown, show
from impact.pages.formats import capital, notes, plain
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
