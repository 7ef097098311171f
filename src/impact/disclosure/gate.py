"""The gate: results go in, what may be shown comes out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

from impact.disclosure.balances import balance_draft
from impact.disclosure.draft import COUNTS, Also, Draft
from impact.disclosure.estimates import bounds_draft, effects_draft, rates_draft, test_draft
from impact.disclosure.identifiers import refuse_identifiers
from impact.disclosure.policies import Policy
from impact.disclosure.policies import policy as find_policy
from impact.disclosure.released import SEAL, Released
from impact.disclosure.summaries import matched_draft, summary_draft
from impact.disclosure.suppress import Counts
from impact.disclosure.wording import method_shown, sentence
from impact.errors import DisclosureError, ParameterError
from impact.results import Balance, Bounds, Effects, Matched, Rates, Result, Summary, Test

# Pages and the manifest print this once.
NOTICE = "Secondary suppression not applied: have the output checked before it is sent."

_EXTREMES = re.compile(r"(^|_)(min|max|minimum|maximum)($|_)", re.IGNORECASE)


class _Door(Protocol):
    def __call__(self, result: Any, policy: Policy, also: Also = ()) -> Draft: ...


def release(
    results: Mapping[str, Result], policy: str | Policy, previous: object = None
) -> Mapping[str, Released]:
    """Release results under a policy: the only way to a page or a file.

    Parameters
    ----------
    results : mapping of name to result
        Everything a report shows; a single result is a set of one.
    policy : str or Policy
        ``hes``, ``opensafely``, ``threshold_10``, or a policy of your own.
    previous : None
        Kept for the comparison with an earlier release, which is not available yet.

    Returns
    -------
    mapping of name to Released
        In the same order. Counts of people and events are suppressed and rounded, with no count that is
        given away by the totals of its own table; estimates and rates with too little behind them are
        pooled over time or withheld; notes say so. Between tables nothing is compared: see ``NOTICE``.

    Raises
    ------
    DisclosureError
        For an identifier, a minimum or maximum, or a number that is not declared; the place is named, not
        the value.
    ParameterError
        For an unknown policy, or a ``previous``.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.results import Summary
    >>> table = pd.DataFrame({"tenure": ["rent", "own", "other"], "persons": [101, 52, 3]})
    >>> summary = Summary(table, {}, people=["persons"], adds_up=["tenure"])
    >>> released = release({"tenure": Summary(table, {}, people=["persons"])}, "hes")
    >>> released["tenure"].marked()["persons"].tolist()
    [100, 50, '*']
    """
    rule = find_policy(policy)
    if not isinstance(results, Mapping):
        raise ParameterError(f"results: got {type(results).__name__}; give a mapping of name to result.")
    drafts = {str(name): _drafted(str(name), result, rule) for name, result in results.items()}
    counts = Counts()
    numbers = {}
    for name, draft in drafts.items():
        counts.add_table(draft.cells, draft.sums)
        numbers[name] = [(counts.number(cell), cell) for cell in draft.cells if cell.column]
    hidden, _lost = counts.withhold(rule)
    for name, result in results.items():
        also = {(cell.row, cell.column) for at, cell in numbers[str(name)] if hidden[at] and cell.shown}
        if also:
            drafts[str(name)] = _drafted(str(name), result, rule, also)
    return {name: _released(name, results[name].method, draft, rule) for name, draft in drafts.items()}


def _drafted(name: str, result: Result, policy: Policy, also: Also = ()) -> Draft:
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


def _released(name: str, method: Mapping[str, Any], draft: Draft, policy: Policy) -> Released:
    # Their number stands beside each estimate, by the policy; here it could be an exact number of people.
    said = {k: v for k, v in method.items() if k != "clusters" or isinstance(v, str)}
    shown = {k: method_shown(v, policy, k) for k, v in said.items() if k != "notes"}
    told = said.get("notes") or ()
    notes = [sentence(n, policy) for n in ([told] if isinstance(told, str) else told)] + draft.notes
    refuse_identifiers(name, draft.table, {"method": shown, "notes": notes})
    table = draft.table.reset_index(drop=True)
    hidden = draft.hidden.reindex(columns=table.columns, fill_value=False).reset_index(drop=True)
    table["withheld"] = hidden["withheld"] = hidden.any(axis=1)
    hidden["withheld"] = False
    counts = table[[c for c in COUNTS if c in table]] if draft.counts is None else draft.counts
    return Released(
        name, draft.kind, table, hidden, shown, counts, tuple(notes), policy.name, policy.mark, SEAL
    )


_DOORS: dict[type, _Door] = {
    Effects: effects_draft,
    Test: test_draft,
    Summary: summary_draft,
    Rates: rates_draft,
    Balance: balance_draft,
    Matched: matched_draft,
    Bounds: bounds_draft,
}
