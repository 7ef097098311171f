"""The gate for costs: made from the effects as they are printed, and from nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from impact.disclosure.digits import fewer_digits
from impact.disclosure.draft import Also, Draft, blank
from impact.disclosure.estimates import effects_draft
from impact.disclosure.policies import Policy
from impact.results import Array, Costs

_POUNDS = ("estimate", "std_error", "conf_low", "conf_high")
# What is made from how many had support, beside the sums over services.
_BY_PEOPLE = ("support", "net", "net_cash", "break_even", "break_even_cash")


def costs_draft(result: Costs, policy: Policy, also: Also) -> Draft:
    """Work out costs again from the printed effects; a service that is withheld is left out of the sum.

    An exact sum beside the printed effects and the prices would give the exact number of contacts avoided,
    and so the exact counts behind it. Made from what is printed it gives nothing that is not there already;
    and a service that is not shown is in no sum, from which it could be worked out. Errors are those printed,
    with the correlations of the effects.
    """
    inner = effects_draft(result.effects, policy, also)
    rows = inner.table["scale"].eq("events avoided").to_numpy()
    labels = result.effects.labels["scale"].eq("events avoided").to_numpy()
    printed, error = (inner.table.loc[rows, c].to_numpy(float) for c in ("estimate", "std_error"))
    shown = np.isfinite(printed) & np.isfinite(error)
    named = inner.table.loc[rows, "outcome"]
    services = [name for name in result.prices["service"] if name in set(named[shown])]
    hidden = sorted(set(result.prices["service"]) - set(services))
    counted = inner.table.loc[rows, "treated"].astype(float).to_numpy()[shown]
    people = float(np.nanmax(counted)) if np.isfinite(counted).any() else np.nan
    effects = result.effects.select(labels)
    if not services:
        # Nobody is told how much it would have been: the items are there, without figures.
        table = result.table[["item", "outcome", "unit"]]
        empty = pd.DataFrame(np.nan, table.index, [*_POUNDS, "chance"])
        draft = Draft("costs", pd.concat([table, empty], axis=1), blank(table))
    else:
        by = np.where(shown, error / effects.std_error, 0.0)
        told = replace(
            effects, estimate=np.where(shown, printed, 0.0), root=_scaled(effects.root, by), regression=None
        )
        # The weights of degrees of freedom are those of the effects as they were estimated.
        again = result.of_services(services, people if np.isfinite(people) else 1.0, told)
        table = again.table
        draft = Draft("costs", table, blank(table))
        _in_pounds(draft.table)
    draft.cells, draft.sums = inner.cells, inner.sums
    draft.notes = [note for note in inner.notes if note.startswith("Estimates")]
    if hidden:
        draft.notes.append(
            f"Not in the sums: {', '.join(hidden)}, whose effect is not shown; with it the sum would tell it."
        )
    _withhold(draft, table, hidden, everything=not services, people=np.isfinite(people))
    return draft


def _scaled(root: object, by: Array) -> Array:
    """Give each effect the error that is printed; correlations stay."""
    return np.asarray(root @ np.diag(by))  # type: ignore[operator]


def _in_pounds(table: pd.DataFrame) -> None:
    """Two digits of each error, and whole pounds; the cost of support is a price times a printed number."""
    public = table["item"].str.endswith("support").to_numpy()
    part = table.loc[~public].copy()
    part["null_value"] = 0.0
    # What moves the balance has the digits of the balance.
    moved = part["item"] == "swing"
    whole = part.loc[part["item"].isin(["activity", "net"]), "std_error"].iloc[-1]
    part.loc[moved, "std_error"] = whole
    fewer_digits(part, _POUNDS)
    part.loc[moved, "std_error"] = np.nan
    for column in _POUNDS:
        table.loc[~public, column] = part[column]
        table[column] = table[column].round()
    table["chance"] = table["chance"].astype(float).round(2)
    for column in {"price_gbp", "cashable_gbp"} & set(table):
        table[column] = table[column].astype(float).round(2)


def _withhold(
    draft: Draft, table: pd.DataFrame, hidden: list[str], *, everything: bool, people: bool
) -> None:
    """Mark what is not there: services without an effect, and what needs how many had support."""
    items = table["item"].str.removeprefix("extended_")
    gone = np.full(len(table), everything)
    if not people:
        gone |= items.isin(_BY_PEOPLE).to_numpy() | table["item"].str.startswith("extended_").to_numpy()
        gone |= (table["item"] == "swing").to_numpy()
    for column in (*_POUNDS, "chance"):
        draft.table[column] = draft.table[column].astype(float).mask(gone)
        draft.hidden[column] = gone
    if hidden and not everything:
        more = pd.DataFrame({"item": "service", "outcome": hidden, "unit": table["unit"].iloc[0]})
        draft.table = pd.concat([draft.table, more], ignore_index=True)
        draft.hidden = draft.hidden.reindex(range(len(draft.table)), fill_value=False)
        draft.hidden.loc[len(table) :, [*_POUNDS, "chance"]] = True
