"""The checker's sheet: what was done to each table, and what a person has to look at before it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from impact.disclosure.cells import Cell
from impact.disclosure.draft import Draft
from impact.disclosure.policies import Policy

# From what needs nothing to what must not be sent.
STATUS = ("pass", "review", "fail")

# What no rule can judge.
_SENTENCES = "read its sentences: they may name a person or a small place"
_SITES = "the number of sites or buildings stands as it is"
_ALREADY = "earlier reports give a withheld count of this table away together; speak to whoever has them"


def checked(
    name: str, draft: Draft, policy: Policy, placed: Sequence[tuple[int, Cell]], given_away: bool
) -> dict[str, Any]:
    """Say which rule a table passed and what it withheld; numbers of figures, never a figure.

    Returns
    -------
    dict
        ``table, kind, rule, figures, withheld, too_small, to_protect_others, notes, status, look``;
        ``status`` is 'pass', 'review' (a person must look at what ``look`` lists) or 'fail'.
    """
    small = {(cell.row, cell.column) for _, cell in placed if not cell.shown}
    withheld = int(draft.hidden.to_numpy().sum())
    counted = {(c.row, c.column) for c in draft.cells if c.column and not c.shown}
    look = [_ALREADY] if given_away else []
    if draft.notes or any(draft.table[c].dtype == object for c in draft.table):
        look.append(_SENTENCES)
    if "clusters" in draft.table and draft.table["clusters"].notna().any():
        look.append(_SITES)
    return {
        "table": name,
        "kind": draft.kind,
        "rule": policy.title,
        "figures": int(draft.table.notna().to_numpy().sum()) + withheld,
        "withheld": withheld,
        "too_small": len(small),
        "to_protect_others": len(counted - small),
        "notes": list(draft.notes),
        "status": "fail" if given_away else "review" if look else "pass",
        "look": look,
    }
