"""The gate: results go in, what may be shown comes out."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from impact.disclosure import record as earlier
from impact.disclosure.attack import Mask
from impact.disclosure.balances import balance_draft
from impact.disclosure.cells import Cell, Labels
from impact.disclosure.checker import checked
from impact.disclosure.costs import costs_draft
from impact.disclosure.draft import COUNTS, Also, Draft
from impact.disclosure.estimates import bounds_draft, effects_draft, rates_draft, test_draft
from impact.disclosure.identifiers import refuse_identifiers
from impact.disclosure.policies import Policy
from impact.disclosure.policies import policy as find_policy
from impact.disclosure.released import SEAL, Released
from impact.disclosure.summaries import matched_draft, summary_draft
from impact.disclosure.suppress import Counts
from impact.disclosure.wording import NAME, method_shown, sentence, tidy, tidy_table
from impact.errors import DisclosureError, ParameterError
from impact.results import Balance, Bounds, Costs, Effects, Matched, Rates, Result, Summary, Test

# Pages and the manifest print this once.
_EXTREMES = re.compile(r"(^|_)(min|max|minimum|maximum)($|_)", re.IGNORECASE)


def release(
    results: Mapping[str, Result],
    policy: str | Mapping[str, Any] | Policy,
    *,
    record: str | Path | None = None,
    previous: str | Path | None = None,
) -> Release:
    """Release results under a policy: the only way to a page or a file.

    Parameters
    ----------
    results : mapping of name to result
        Everything a page shows; a single result is a set of one.
    policy : str, mapping or Policy
        ``hes``, ``opensafely``, ``opensafely_midpoint6``, ``threshold_10``; one of these and what
        differs from it, such as ``{"policy": "hes", "smallest_shown": 10}``; or a policy of your own.
    record : path, optional
        File in the private folder that keeps what this page shows. The records beside it are of the other
        pages of the same report: nothing on this page gives away what is withheld there.
    previous : path, optional
        Folder with the records of the earlier reports of the same study that were sent, one a folder.

    Returns
    -------
    Release
        A mapping of name to Released, in the same order. Counts of people and events are suppressed and
        rounded; no count that is withheld can be worked out from all that is shown, here, on the other
        pages and in earlier reports, under whatever policy; estimates and rates with too little behind them
        are pooled over time or withheld; notes say so. Its ``sheet`` says what was done to each table, for
        whoever checks it.

    Raises
    ------
    DisclosureError
        For an identifier, a minimum or maximum, a number that is not declared, or a count that nothing
        protects; the place is named, not the value.
    ParameterError
        For an unknown policy.

    Notes
    -----
    The reader is taken to know every count that is shown exactly, and the total of each set of rows that
    adds up: rounding is on top. Each count that is too small must then still be able to be any number that
    is too small, which integer programmes check; further counts are withheld, the cheapest first, until
    they hold (Fischetti and Salazar 2000; OpenSAFELY and NHS England on differencing).

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.results import Summary
    >>> table = pd.DataFrame({"tenure": ["rent", "own", "other"], "persons": [101, 52, 3]})
    >>> released = release({"tenure": Summary(table, {}, people=["persons"])}, "hes")
    >>> released["tenure"].marked()["persons"].tolist()
    [100, 50, '*']

    Beside a table with the same people in it, the one that is withheld could be worked out, and another
    goes with it:

    >>> arms = pd.DataFrame({"arm": ["supported", "control"], "persons": [80, 76]})
    >>> both = {"tenure": table, "arm": arms}
    >>> both = {name: Summary(frame, {}, people=["persons"]) for name, frame in both.items()}
    >>> release(both, "hes")["tenure"].marked()["persons"].tolist()
    [100, '*', '*']
    """
    rule, by = earlier.with_earlier_rules(find_policy(policy), previous)
    if not isinstance(results, Mapping):
        raise ParameterError(f"results: got {type(results).__name__}; give a mapping of name to result.")
    drafts = {str(name): _drafted(str(name), result, rule) for name, result in results.items()}
    page = Path(record) if record is not None else None
    shown = _shown_before(page, previous, [cell for draft in drafts.values() for cell in draft.cells])
    counts, elsewhere = _counts(shown, drafts.values())
    placed = {
        name: [(counts.number(c), c) for c in draft.cells if c.column] for name, draft in drafts.items()
    }
    hidden, lost, rounded = counts.withhold(by)
    if elsewhere & {*lost, *rounded}:
        # What was given away before is not this page's fault.
        then, _ = _counts(shown, ())
        _, given, hardly = then.withhold(by)
        known = {then.keys[at] for at in given}
        lost = [at for at in lost if counts.keys[at] not in known]
        known |= {then.keys[at] for at in hardly}
        rounded = [at for at in rounded if counts.keys[at] not in known]
    gone, kept = (_by_table(placed, counts, found) for found in (lost, rounded))
    if gone and not elsewhere:
        raise DisclosureError(
            f"{', '.join(map(repr, sorted(gone)))}: a count that is too small could be worked out whatever "
            "else is withheld; leave the table out, or show it in fewer groups."
        )
    before = earlier.printed(page, previous, rule) if rule.totals == "sum of rounded" else None
    told = rule if before is None else _with_sums(drafts.values(), counts, hidden, rule, before)
    levels = counts.levels_withheld(hidden)
    for name, result in results.items():
        also = {(c.row, c.column) for at, c in placed[str(name)] if hidden[at] and c.shown}
        # A mean tells how many are at each level, if only few of them are not shown.
        also |= {(row, column) for row, column, *of in drafts[str(name)].means if tuple(of) in levels}
        if also or told.sums:
            drafts[str(name)] = _drafted(str(name), result, told, also)
    sheet = [
        checked(name, draft, rule, placed[name], gone.get(name, ()), kept.get(name, ()))
        for name, draft in drafts.items()
    ]
    counted = {at for cells in placed.values() for at, _ in cells} | elsewhere
    withheld = {n for at in counted if hidden[at] and not rule.small(n := counts.keys[at][2])}
    released = {n: _released(n, results[n].method, draft, told, withheld) for n, draft in drafts.items()}
    if page:
        earlier.write(page, drafts, sheet, told)
    return Release(released, sheet)


def _shown_before(
    page: Path | None, previous: str | Path | None, now: Sequence[Cell]
) -> list[tuple[earlier.Table, int]]:
    """Return what other pages of the report and earlier reports count, and the number of the data of each."""
    mine = list(earlier.read(page.parent, but=page.stem)) if page else []
    found = [(table, 0) for table in mine]
    now = [*now, *(cell for cells, _ in mine for cell in cells)]
    before = earlier.reports(Path(previous)) if previous else {}
    for i, (folder, then) in enumerate(before.items(), 1):
        if page is None or folder != page.parent.resolve():
            data = i if earlier.of_other_data(then, now) else 0
            found += [(table, data) for table in then]
    return found


def _counts(shown: Sequence[tuple[earlier.Table, int]], drafts: Collection[Draft]) -> tuple[Counts, set[int]]:
    """Put the counts of all tables together; say which of them stood in a table before these drafts."""
    counts = Counts()
    for (cells, _), data in shown:
        counts.place((cell for cell in cells if cell.shown), fixed=True, data=data)
    for (cells, sums), data in shown:
        counts.add_table(cells, sums, fixed=True, data=data)
    elsewhere = {*counts.placed}
    for draft in drafts:
        counts.add_table(draft.cells, draft.sums)
    return counts, elsewhere


def _with_sums(
    drafts: Collection[Draft], counts: Counts, hidden: Mask, rule: Policy, before: Mapping[int, int]
) -> Policy:
    """Let the policy print a total as the sum of its rounded parts, if a table shows them all.

    One count is one number in all of a report: that of ``before``, which other pages and reports printed, or
    else of the first table that has it as a total. Where its parts add up to another it stays as it is.
    """
    found = dict(before)
    sums = [(total, parts) for draft in drafts for parts, total in draft.sums if total and len(parts) > 1]
    for total, parts in sorted(sums, key=lambda one: one[0].value):
        if all(cell.column and not hidden[counts.number(cell)] for cell in (total, *parts)):
            together = sum(found.get(part.value, int(rule.rounded(part.value))) for part in parts)
            # A sum of parts that each round down may look too small to show: then the total is rounded.
            if not rule.small(together).any():
                found.setdefault(total.value, together)
    return replace(rule, sums=tuple((n, m) for n, m in found.items() if m != rule.rounded(n)))


def _by_table(
    placed: Mapping[str, Sequence[tuple[int, Cell]]], counts: Counts, found: Collection[int]
) -> dict[str, list[tuple[str, Labels]]]:
    """Say of each table which of some counts stand in it.

    One that stands on another page or in an earlier report alone is told of all tables that add up to it,
    or of all there are.
    """
    told: dict[str, list[tuple[str, Labels]]] = {}
    on = {name: {at for at, _ in cells} for name, cells in placed.items() if cells}
    for at in found:
        tells = {n for s in counts.sets for n in (*s.parts, s.total) if at in s.parts or at == s.total}
        here = [name for name in on if at in on[name]] or [name for name in on if tells & on[name]]
        for name in here or on:
            told.setdefault(name, []).append(counts.keys[at][:2])
    return told


class Release(dict[str, Released]):
    """What was released, by name; ``sheet`` says of each table which rule was applied and what it did."""

    def __init__(self, released: Mapping[str, Released], sheet: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(released)
        self.sheet = list(sheet)


def _drafted(name: str, result: Result, policy: Policy, also: Also = frozenset()) -> Draft:
    door = _DOORS.get(type(result))
    if door is None:
        raise DisclosureError(
            f"{name!r}: got {type(result).__name__}, which is not a result; "
            f"release one of {', '.join(t.__name__ for t in _DOORS)}."
        )
    try:
        draft = door(result, policy, also)
    except DisclosureError as error:
        raise DisclosureError(f"{name!r}, {error}") from None
    extremes = [str(c) for c in draft.table.columns if _EXTREMES.search(str(c))]
    if extremes:
        raise DisclosureError(
            f"{name!r}, column {extremes[0]!r}: a minimum or maximum is one person's value."
        )
    return draft


def _released(
    name: str, method: Mapping[str, Any], draft: Draft, policy: Policy, withheld: Collection[int]
) -> Released:
    # Their number stands beside each estimate, by the policy; here it could be an exact number of people.
    said = {k: v for k, v in method.items() if k != "clusters" or isinstance(v, str)}
    shown = {k: method_shown(v, policy, k, withheld) for k, v in said.items() if k != "notes"}
    told = said.get("notes") or ()
    notes = [sentence(n, policy, withheld) for n in ([told] if isinstance(told, str) else told)] + draft.notes
    refuse_identifiers(name, draft.table, {"method": shown, "notes": notes})
    hidden = draft.hidden.reindex(columns=draft.table.columns, fill_value=False).reset_index(drop=True)
    table = tidy_table(draft.table.reset_index(drop=True))
    hidden.columns = table.columns
    table["withheld"] = hidden["withheld"] = hidden.any(axis=1)
    hidden["withheld"] = False
    counts = table[[c for c in COUNTS if c in table]] if draft.counts is None else draft.counts
    words = tuple(tidy(note) for note in notes)
    return Released(tidy(name, NAME), draft.kind, table, hidden, shown, counts, words, policy, SEAL)


_DOORS: dict[type, Callable[[Any, Policy, Also], Draft]] = {
    Effects: effects_draft,
    Test: test_draft,
    Summary: summary_draft,
    Rates: rates_draft,
    Balance: balance_draft,
    Matched: matched_draft,
    Bounds: bounds_draft,
    Costs: costs_draft,
}
