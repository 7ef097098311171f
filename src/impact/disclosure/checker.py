"""The checker's sheet: what was done to each table, and what a person has to look at before it is sent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from impact.disclosure.cells import Cell, Labels, who
from impact.disclosure.draft import Draft
from impact.disclosure.policies import Policy

Status = Literal["pass", "review", "fail"]

# From what must not be sent to what needs nothing: the order in which a checker reads.
STATUS: tuple[Status, ...] = ("fail", "review", "pass")
_NAMED = 5


def checked(
    name: str,
    draft: Draft,
    policy: Policy,
    placed: Sequence[tuple[int, Cell]],
    given_away: Sequence[tuple[str, Labels]] = (),
    rounded: Sequence[tuple[str, Labels]] = (),
) -> dict[str, Any]:
    """Say which rule a table passed and what it withheld; numbers of figures, never a figure.

    Parameters
    ----------
    placed : sequence of (number, Cell)
        The counts of the table, before others were withheld to protect them.
    given_away : sequence of (measure, labels)
        Counts that are too small and that this table, or what was shown before, gives away.
    rounded : sequence of (measure, labels)
        Counts that could be worked out if the others were not rounded; of a policy that does not round,
        those of which an earlier report tells by how few they have changed.

    Returns
    -------
    dict
        ``table, kind, rule, figures, withheld, too_small, to_protect_others, notes, status, look``;
        ``status`` is 'pass', 'review' (a person must look at what ``look`` lists) or 'fail'.
    """
    small = {(cell.row, cell.column) for _, cell in placed if not cell.shown}
    withheld = int(draft.hidden.to_numpy().sum())
    counted = {(c.row, c.column) for c in draft.cells if c.column and not c.shown}
    look = list(draft.look)
    if given_away:
        look.append(f"together with other pages or an earlier report it gives away {_named(given_away)}")
    if rounded and policy.round_to == 1:
        look.append(
            f"withheld, and beside an earlier report one can still tell that few people came or left: "
            f"{_named(rounded)}; look whether anybody would know them, or send one of the two reports only"
        )
    elif rounded:
        look.append(
            f"protected by rounding alone: {_named(rounded)}; whoever has the counts that are shown exactly, "
            "from elsewhere, could work it out"
        )
    if "clusters" in draft.table and (policy.small(draft.table["clusters"].astype("Float64"))).any():
        look.append(
            f"fewer than {policy.smallest_shown} sites or buildings lie behind a figure: "
            "whoever knows them may recognise one"
        )
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


def changed(
    cells: Iterable[Cell], earlier: Mapping[str, Iterable[Cell]], policy: Policy
) -> list[dict[str, str]]:
    """Name the counts that differ by too few from what an earlier report shows of the same kind of people.

    The difference is a count as well, of those who came, left or were left out since.

    Parameters
    ----------
    cells : iterable of Cell
        Of a table of this report.
    earlier : mapping of report to cells
        What the earlier reports counted, the oldest first.

    Returns
    -------
    list of dict
        ``count`` in words, the ``report`` (the last that shows nearly as many), and whether the count is
        ``withheld`` or ``rounded`` ``now``. What an earlier report shows unchanged is left out.

    Examples
    --------
    >>> from impact.disclosure.policies import policy
    >>> def tenants(n, shown): return Cell("persons", frozenset({("arm", "control")}), n, 0, "persons", shown)
    >>> changed([tenants(101, True)], {"first": [tenants(100, True)]}, policy("hes"))
    [{'count': 'people (arm: control)', 'report': 'first', 'now': 'rounded'}]
    >>> changed([tenants(100, True)], {"first": [tenants(100, True)]}, policy("hes"))
    []
    """
    before: dict[tuple[str, Labels], dict[int, str]] = defaultdict(dict)
    for report, shown in earlier.items():
        for cell in map(who, shown):
            if cell.shown:
                before[cell.measure, cell.labels][cell.value] = report
    found: dict[tuple[str, str, str], None] = {}
    for cell in map(who, cells):
        known = before.get((cell.measure, cell.labels), {})
        near = [r for value, r in known.items() if abs(value - cell.value) < policy.smallest_shown]
        if cell.column and near and cell.value not in known:
            now = "rounded" if cell.shown else "withheld"
            found[count_of(cell.measure, cell.labels), max(near), now] = None
    return [{"count": count, "report": report, "now": now} for count, report, now in found]


def _named(counts: Iterable[tuple[str, Labels]]) -> str:
    found = sorted({count_of(measure, labels) for measure, labels in counts})
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return "; ".join(found[:_NAMED]) + more


def count_of(measure: str, labels: Labels) -> str:
    """Say in words what is counted.

    Examples
    --------
    >>> count_of("persons", frozenset({("tenure", "rent"), ("arm", "control")}))
    'people (arm: control, tenure: rent)'
    """
    what = "people" if measure == "persons" else measure.replace("_", " ")
    among = ", ".join(f"{label.replace('_', ' ')}: {word}" for label, word in sorted(labels))
    return f"{what} ({among})" if among else what
