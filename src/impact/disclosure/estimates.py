"""The gate for estimates, tests, bounds and rates: what lies behind them decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from impact.did import bands
from impact.disclosure.cells import Cell, Sum, cells_of, of_matching, sample_of
from impact.disclosure.coarsen import coarsen_effects, coarsen_rates, enough_behind, is_reference
from impact.disclosure.digits import as_printed, fewer_digits, rates_shown
from impact.disclosure.draft import COUNTS, Also, Draft, blank, count_columns, hide, rows_of
from impact.disclosure.policies import Policy
from impact.results import NULL_VALUE, Bounds, Effects, Rates, Test

_EFFECT = ("estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high", "band_low", "band_high")
# Numbers of bounds that were asked for and not computed from data.
_ASKED = frozenset({"m_bar", "m", "gamma", "null_value", "conf_level"})
_COUNTED = ("persons", "treated", "events")
# Labels of effects that say of which part of the time or of the people they are.
_PARTS = frozenset({"event_time", "period", "group"})


def effects_draft(result: Effects, policy: Policy, also: Also) -> Draft:
    """Pool points with too little behind them, and withhold those that still have."""
    shown = result.select(result.labels["scale"].isin(list(NULL_VALUE)))
    parameters = result.method.get("parameters") or _parameters(shown.labels)
    everyone = shown.counts["persons"].groupby(shown.labels["outcome"].to_numpy()).transform("max")
    models = dict(zip(shown.labels["outcome"], everyone.to_numpy(float) - parameters, strict=True))
    pooled, notes = coarsen_effects(shown, policy)
    if shown.critical is not None and pooled.critical is None:
        # A band covers the points that are shown: fewer points have a narrower one.
        pooled = bands(pooled, seed=result.method["seed"], conf_level=result.conf_level)
    table = pooled.table
    scale = as_printed(table, pooled.labels.columns, pooled.counts, policy)
    fewer_digits(table, _EFFECT)
    draft = Draft("effects", table, blank(table), notes=notes)
    count_columns(draft, pooled.counts, policy, also, scale)
    reference = is_reference(pooled)
    few = ~enough_behind(pooled.counts, policy) & ~reference
    saturated = table["outcome"].map(models).to_numpy(float) < policy.residual_df
    if few.any():
        draft.notes.append(f"Estimates with {policy.few} people or events behind them are withheld.")
    if saturated.any():
        draft.notes.append(
            f"Estimates are withheld where people minus parameters is under {policy.residual_df}."
        )
    hide(draft, few | saturated, (*_EFFECT, *COUNTS))
    # Nothing lies behind the reference point: it is 0 by definition.
    behind = [c for c in COUNTS if c in draft.table]
    draft.table.loc[reference, behind] = pd.NA
    draft.hidden.loc[reference, behind] = False
    labels = pooled.labels.drop(columns=["scale", "unit"]).reset_index(drop=True)
    # Of a time and its name the time is kept.
    term = ["term"] if labels["term"].nunique() > 1 else []
    labels = labels[[*labels.columns.drop("term"), *term]]
    counts = pooled.counts.mul(np.where(reference, np.nan, 1.0), axis=0)
    _add_cells(draft, labels, counts, draft.hidden, result.method)
    return draft


def _parameters(labels: pd.DataFrame) -> int:
    """How many parameters a model has at least: the different terms of an outcome."""
    terms = labels.drop(columns=["scale", "unit"], errors="ignore").astype("string").drop_duplicates()
    return int(terms.groupby("outcome").size().max()) if len(terms) else 0


def test_draft(result: Test, policy: Policy, also: Also) -> Draft:
    """Withhold a test with too little behind it."""
    table = result.table
    fewer_digits(table, ("df", "smallest_p", *_EFFECT))
    draft = Draft("test", table, blank(table))
    few = not enough_behind(result.counts, policy).all()
    if few:
        draft.notes.append(f"The test is withheld, because {policy.few} people or events lie behind it.")
    hide(draft, np.full(len(table), few), ("df", "smallest_p", *_EFFECT))
    counts = Draft("test", result.counts[[]].copy(), blank(result.counts[[]]))
    hidden = count_columns(counts, result.counts, policy, also)
    draft.counts = counts.table
    _add_cells(draft, _outcome_of(result, len(counts.table)), result.counts, hidden, result.method)
    return draft


def bounds_draft(result: Bounds, policy: Policy, also: Also) -> Draft:
    """Withhold bounds with too little behind them."""
    table = result.table.reset_index(drop=True)
    # All that was computed, whatever it is called: only the limits that were asked for are no result.
    numbers = [str(c) for c in table if pd.api.types.is_numeric_dtype(table[c]) and c not in _ASKED]
    fewer_digits(table, numbers)
    draft = Draft("bounds", table, blank(table))
    count_columns(draft, result.counts.reset_index(drop=True), policy, also)
    few = ~enough_behind(result.counts, policy)
    if few.any():
        draft.notes.append(f"Bounds with {policy.few} people or events behind them are withheld.")
    hide(draft, few, (*numbers, *COUNTS))
    _add_cells(draft, _outcome_of(result, len(table)), result.counts, draft.hidden, result.method)
    return draft


def rates_draft(result: Rates, policy: Policy, also: Also) -> Draft:
    """Pool periods with too little behind them, and withhold those that still have."""
    pooled, notes = coarsen_rates(result, policy)
    table = pooled.table.drop(columns="person_months").reset_index(drop=True)
    few = ~enough_behind(table, policy) | rows_of(also, len(table))
    who = [table[c].to_numpy(float) for c in ("events", "largest", "second") if c in table]
    guard = policy.guard(*who) if len(who) == 3 else np.zeros(len(table), int)
    table = table.drop(columns=["largest", "second"], errors="ignore")
    if policy.round_to == 1 or sample_of(result.method):
        # Without rounding, the change from one period to the next is the number who died or moved; beside
        # everyone's of the same period, that of a matched sample is the number who were left out.
        arms = table.groupby(["outcome", "arm"], observed=True)["persons"]
        table["persons"] = arms.transform("max")
    counts = table[["persons", "events"]].copy()
    rate = "rate_per_1000_person_months"
    table[rate], told = rates_shown(table[rate], counts["events"], counts["persons"], policy)
    draft = Draft("rates", table, blank(table), notes=notes)
    count_columns(draft, counts, policy)
    table["events"] = pd.Series(told).mask(draft.hidden["events"]).astype("Int64")
    if few.any():
        mostly = ", or mostly those of one or two," if policy.asks_who_dominates else ""
        draft.notes.append(f"Rates with {policy.few} people or events{mostly} behind them are withheld.")
    hide(draft, few, ("persons", "events", rate))
    labels = table[["outcome", "arm", "period"]].copy()
    if pd.api.types.is_numeric_dtype(labels["period"]):
        labels["when"] = np.where(labels["period"] < 0, "before", "after")
    _add_cells(draft, labels, counts, draft.hidden, result.method)
    draft.cells = [replace(c, guard=int(guard[c.row])) if c.column == "events" else c for c in draft.cells]
    return draft


def _add_cells(
    draft: Draft, labels: pd.DataFrame, counts: pd.DataFrame, hidden: pd.DataFrame, method: Mapping[str, Any]
) -> None:
    """Note the people and events behind a table; the controls are those who were not treated."""
    labels = labels.assign(**sample_of(method))
    columns = [c for c in _COUNTED if c in counts]
    table = pd.concat([labels, counts[columns].reset_index(drop=True)], axis=1)
    hidden = hidden.reset_index(drop=True)
    cells, _ = cells_of(table, [str(c) for c in labels], columns, hidden)
    supported, sums = ("arm", "supported"), list[Sum]()
    for (i, column), part in list(cells.items()):
        whole = cells.get((i, "persons"))
        if column == "treated" and whole and whole.value >= part.value:
            controls = part.labels - {supported} | {("arm", "control")}
            sums.append(([part, Cell("persons", controls, whole.value - part.value)], whole))
        if column == "events" and draft.kind != "rates" and "treated" in counts:
            # Behind a comparison are all events of the supported after their start; behind the effects of
            # a panel those of the periods that it can use.
            whole_time = draft.kind != "test" and "period" not in method and not _PARTS & {*labels}
            after = {supported, ("when", "after")} if whole_time else set()
            cells[i, column] = replace(part, labels=part.labels | after)
    for i, n in enumerate(counts.get("clusters", ())):
        # Where each person, or each pair, is a cluster of its own, so many people are told again.
        same = [c for c in (cells.get((i, "treated")), cells.get((i, "persons"))) if c and c.value == n]
        if same:
            seen = not bool(hidden["clusters"].iloc[i])
            cells[i, "clusters"] = replace(same[0], column="clusters", shown=seen)
    draft.cells, draft.sums = cells.values(), sums + of_matching(cells.values(), method)


def _outcome_of(result: Test | Bounds, length: int) -> pd.DataFrame:
    if "outcome" in result.table:
        return result.table[["outcome"]].reset_index(drop=True)
    outcome = result.method.get("outcome")
    return pd.DataFrame({"outcome": [outcome if isinstance(outcome, str) else ""] * length})
