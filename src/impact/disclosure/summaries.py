"""The gate for tables of counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from impact.disclosure.cells import cells_of, of_matching, of_more_than_two, others
from impact.disclosure.digits import rates_shown
from impact.disclosure.draft import Also, Draft, as_counts, blank, coarse, hide
from impact.disclosure.policies import Policy
from impact.disclosure.wording import COUNT_NAMES
from impact.errors import DisclosureError
from impact.results import Matched, Summary

# Numbers that say what a row is, in a table that counts people.
_LABELS = frozenset(
    {"bin_low", "bin_high", "low", "high", "year", "quarter", "month", "period", "event_time", "step"}
    | {"imd_fifth", "fifth"}
)


def summary_draft(result: Summary, policy: Policy, also: Also) -> Draft:
    """Withhold and round the counts of a table, and what was made from them."""
    everything = result.table.reset_index(drop=True)
    table = everything.drop(columns=[c for pair in result.largest.values() for c in pair])
    shares = [column for pair in result.percent.values() for column in pair]
    counted = list(dict.fromkeys([*result.people, *result.events, *shares]))
    computed = {*result.derived, *result.percent}
    labels = [c for c in table.columns if c not in computed and c not in counted]
    _refuse_undeclared(table, labels, bool(counted))
    hidden = _hidden(table, result, counted, policy)
    for column, (first, second) in result.largest.items():
        hidden[column] |= policy.dominated(*(everything[c].to_numpy(float) for c in (column, first, second)))
    for row, column in also:
        hidden.loc[row, column] = True
    draft = Draft("summary", table.copy(), blank(table))
    for column in counted:
        draft.table[column] = as_counts(table[column], hidden[column], policy)
        draft.hidden[column] = hidden[column]
    _add_cells(draft, everything, result, hidden, policy)
    for column, (events, people) in result.rates.items():
        both = table[events], table[people]
        draft.table[column], told = rates_shown(table[column], *both, policy)
        draft.table[events] = draft.table[events].where(hidden[events], told)
    for column, (before, after) in result.change.items():
        ratio = draft.table[after] / draft.table[before].where(draft.table[before] > 0)
        draft.table[column] = (100 * (ratio - 1)).round(1)
    for column, sources in result.derived.items():
        behind = [s for s in sources if s in counted]
        made = column in result.rates or column in result.change
        if behind and not made and pd.api.types.is_float_dtype(table[column]):
            # A count of 0, such as of the events of a time that was not observed, is no denominator.
            n = table[behind].where(table[behind] > 0).min(axis=1)
            draft.table[column] = coarse(table[column], n, policy)
        # Of a 0 that is not printed only another 0, or that all is gone, tells.
        tells = table[column].isin([0, -100]).to_numpy()[:, None]
        told = hidden[behind].to_numpy() & (tells | table[behind].ne(0).to_numpy())
        hide(draft, told.any(axis=1), [column])
    for column, (numerator, denominator) in result.percent.items():
        top, bottom = (draft.table[c].astype("Float64") for c in (numerator, denominator))
        fresh = (100 * top / bottom.mask(bottom == 0)).astype(float)
        draft.table[column] = fresh.where(table[column].notna())
        hide(draft, hidden[[numerator, denominator]].any(axis=1).to_numpy(), [column])
    if draft.hidden.to_numpy().any():
        mostly = ", those mostly of one or two people" if result.largest and policy.asks_who_dominates else ""
        draft.notes.append(
            f"Counts of {policy.few} are withheld{mostly}, and others that would give them away"
            + (f"; the rest are rounded to the nearest {policy.round_to}." if policy.round_to > 1 else ".")
        )
    elif counted and policy.round_to > 1:
        draft.notes.append(f"Counts are rounded to the nearest {policy.round_to}.")
    return draft


def _add_cells(
    draft: Draft, table: pd.DataFrame, result: Summary, hidden: pd.DataFrame, policy: Policy
) -> None:
    """Note what each count counts, the rest of each percentage, and whose events they mostly are."""
    numbers = {*result.derived, *result.percent, *(c for pair in result.largest.values() for c in pair)}
    labels = [c for c in table.columns if c not in numbers and c not in hidden]
    cells, sums = cells_of(table, labels, [str(c) for c in hidden], hidden, result.adds_up)
    more = of_more_than_two(cells.values())
    for column, (numerator, denominator) in result.percent.items():
        for i in map(int, np.flatnonzero(table[column].notna())):
            if (i, numerator) in cells and (i, denominator) in cells:
                part, whole = cells[i, numerator], cells[i, denominator]
                rest = others(part, whole, more)
                sums += [([part, rest], whole)] if rest.value or not policy.zero_shown else []
    for column, (first, second) in result.largest.items():
        guard = policy.guard(*(table[c].to_numpy(float) for c in (column, first, second)))
        for i in map(int, np.flatnonzero(guard)):
            cells[i, column] = replace(cells[i, column], guard=int(guard[i]))
    draft.cells, draft.sums = cells.values(), sums + of_matching(cells.values(), result.method)
    unknown = [c for c in result.events if c not in result.largest]
    if unknown and policy.asks_who_dominates:
        draft.look.append(
            f"it is not known who has most of {', '.join(unknown)}: look whether one or two people have more "
            f"than {policy.two_largest:.0%} of any"
        )


def matched_draft(result: Matched, policy: Policy, also: Also) -> Draft:
    """Of a matched sample only the counts by arm and rule pass."""
    counts = result.counts.reset_index(drop=True)
    people = [c for c in counts.columns if pd.api.types.is_numeric_dtype(counts[c])]
    draft = summary_draft(Summary(counts, result.method, people=people), policy, also)
    draft.kind, draft.counts = "matched", draft.table[people]
    return draft


def _hidden(table: pd.DataFrame, result: Summary, counted: Sequence[str], policy: Policy) -> pd.DataFrame:
    """Which counts are withheld for their own sake."""
    values = table[list(counted)].astype(float)
    hidden = pd.DataFrame(policy.small(values), index=table.index, columns=list(counted))
    for column, level in result.certain.items():
        # That there is none was known before anyone counted.
        hidden &= values.ne(0) | table[column].ne(level).to_numpy()[:, None]
    for column, (numerator, denominator) in result.percent.items():
        # The rest of a percentage is a count too, shown or not.
        rest = (values[denominator] - values[numerator]).where(table[column].notna())
        hidden.loc[policy.protected(rest), numerator] = True
    if result.people and result.events:
        # Events of a handful of people describe those people, however many events there were.
        few_people = hidden[list(result.people)].any(axis=1)
        hidden.loc[few_people, list(result.events)] = True
    return hidden


def _refuse_undeclared(table: pd.DataFrame, labels: Sequence[str], counts_people: bool) -> None:
    for column in labels:
        if not pd.api.types.is_numeric_dtype(table[column]) or pd.api.types.is_bool_dtype(table[column]):
            continue
        words = set(str(column).lower().split("_"))
        if (counts_people and column not in _LABELS) or words & COUNT_NAMES:
            raise DisclosureError(
                f"column {column!r}: a number that the Summary does not declare;"
                " declare it as people, events, percent or derived."
            )
