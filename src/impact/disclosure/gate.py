"""The gate: results go in, what may be shown comes out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.did import bands
from impact.disclosure.coarsen import coarsen_effects, coarsen_rates, enough_behind, is_reference
from impact.disclosure.draft import COUNTS, Draft, as_counts, blank, coarse, count_columns, hide
from impact.disclosure.identifiers import refuse_identifiers
from impact.disclosure.policies import Policy
from impact.disclosure.policies import policy as find_policy
from impact.disclosure.released import SEAL, Released
from impact.disclosure.suppress import Set, across, protect, sets_of
from impact.disclosure.wording import COUNT_NAMES, method_shown, sentence
from impact.errors import DisclosureError, ParameterError
from impact.results import NULL_VALUE, Balance, Bounds, Effects, Matched, Rates, Result, Summary, Test

# Pages and the manifest print this once.
NOTICE = "Secondary suppression not applied: have the output checked before it is sent."

_EFFECT = ("estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high", "band_low", "band_high")
# Numbers of bounds that were asked for and not computed from data.
_ASKED = frozenset({"m_bar", "m", "gamma", "null_value", "conf_level"})
# Numbers that say what a row is, in a table that counts people.
_LABELS = frozenset(
    {"bin_low", "bin_high", "low", "high", "year", "quarter", "month", "period", "event_time", "step"}
    | {"imd_fifth", "fifth"}
)
_EXTREMES = re.compile(r"(^|_)(min|max|minimum|maximum)($|_)", re.IGNORECASE)


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
    if previous is not None:
        raise ParameterError(
            "previous: comparing with an earlier release is not available yet; leave it out."
        )
    if not isinstance(results, Mapping):
        raise ParameterError(f"results: got {type(results).__name__}; give a mapping of name to result.")
    return {str(name): _release_one(str(name), result, rule) for name, result in results.items()}


def _release_one(name: str, result: Result, policy: Policy) -> Released:
    door = _DOORS.get(type(result))
    if door is None:
        raise DisclosureError(
            f"{name!r}: got {type(result).__name__}, which is not a result; "
            f"release one of {', '.join(t.__name__ for t in _DOORS)}."
        )
    try:
        draft = door(result, policy)
    except DisclosureError as error:
        raise DisclosureError(f"{name!r}, {error}") from None
    extremes = [str(c) for c in draft.table.columns if _EXTREMES.search(str(c))]
    if extremes:
        raise DisclosureError(
            f"{name!r}, column {extremes[0]!r}: a minimum or maximum is one person's value."
        )
    # Their number stands beside each estimate, by the policy; here it could be an exact number of people.
    said = {k: v for k, v in result.method.items() if k != "clusters" or isinstance(v, str)}
    method = {k: method_shown(v, policy, k) for k, v in said.items() if k != "notes"}
    told = said.get("notes") or ()
    notes = [sentence(n, policy) for n in ([told] if isinstance(told, str) else told)] + draft.notes
    refuse_identifiers(name, draft.table, {"method": method, "notes": notes})
    table = draft.table.reset_index(drop=True)
    hidden = draft.hidden.reindex(columns=table.columns, fill_value=False).reset_index(drop=True)
    table["withheld"] = hidden["withheld"] = hidden.any(axis=1)
    hidden["withheld"] = False
    counts = table[[c for c in COUNTS if c in table]] if draft.counts is None else draft.counts
    return Released(
        name, draft.kind, table, hidden, method, counts, tuple(notes), policy.name, policy.mark, SEAL
    )


def _effects(result: Effects, policy: Policy) -> Draft:
    shown = result.select(result.labels["scale"].isin(list(NULL_VALUE)))
    parameters = result.method.get("parameters") or _parameters(shown.labels)
    everyone = shown.counts["persons"].groupby(shown.labels["outcome"].to_numpy()).transform("max")
    models = dict(zip(shown.labels["outcome"], everyone.to_numpy(float) - parameters, strict=True))
    pooled, notes = coarsen_effects(shown, policy)
    if shown.critical is not None and pooled.critical is None:
        # A band covers the points that are shown: fewer points have a narrower one.
        pooled = bands(pooled, seed=result.method["seed"], conf_level=result.conf_level)
    table = pooled.table
    draft = Draft("effects", table, blank(table), notes=notes)
    count_columns(draft, pooled.counts, policy)
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
    return draft


def _parameters(labels: pd.DataFrame) -> int:
    """How many parameters a model has at least: the different terms of an outcome."""
    terms = labels.drop(columns=["scale", "unit"], errors="ignore").astype("string").drop_duplicates()
    return int(terms.groupby("outcome").size().max()) if len(terms) else 0


def _test(result: Test, policy: Policy) -> Draft:
    table = result.table
    draft = Draft("test", table, blank(table))
    few = not enough_behind(result.counts, policy).all()
    if few:
        draft.notes.append(f"The test is withheld, because {policy.few} people or events lie behind it.")
    hide(draft, np.full(len(table), few), ("df", "smallest_p", *_EFFECT))
    counts = Draft("test", result.counts[[]].copy(), blank(result.counts[[]]))
    count_columns(counts, result.counts, policy)
    draft.counts = counts.table
    return draft


def _bounds(result: Bounds, policy: Policy) -> Draft:
    table = result.table.reset_index(drop=True)
    draft = Draft("bounds", table, blank(table))
    count_columns(draft, result.counts.reset_index(drop=True), policy)
    few = ~enough_behind(result.counts, policy)
    if few.any():
        draft.notes.append(f"Bounds with {policy.few} people or events behind them are withheld.")
    # All that was computed, whatever it is called: only the limits that were asked for are no result.
    numbers = [str(c) for c in table if pd.api.types.is_numeric_dtype(table[c]) and c not in _ASKED]
    hide(draft, few, (*numbers, *COUNTS))
    return draft


def _summary(result: Summary, policy: Policy) -> Draft:
    table = result.table.reset_index(drop=True)
    shares = [column for pair in result.percent.values() for column in pair]
    counted = list(dict.fromkeys([*result.people, *result.events, *shares]))
    computed = {*result.derived, *result.percent}
    labels = [c for c in table.columns if c not in computed and c not in counted]
    _refuse_undeclared(table, labels, bool(counted))
    hidden = _hidden_counts(table, result, counted, labels, policy)
    draft = Draft("summary", table, blank(table))
    for column in counted:
        draft.table[column] = as_counts(table[column], hidden[column], policy)
        draft.hidden[column] = hidden[column]
    if policy.totals == "sum of rounded":
        _sum_totals(draft, result, labels, policy)
    for column, sources in result.derived.items():
        behind = [s for s in sources if s in counted]
        if behind and pd.api.types.is_float_dtype(table[column]):
            # A count of 0, such as of the events of a time that was not observed, is no denominator.
            n = table[behind].where(table[behind] > 0).min(axis=1)
            draft.table[column] = coarse(table[column], n, policy)
        hide(draft, hidden[[s for s in sources if s in hidden]].any(axis=1).to_numpy(), [column])
    for column, (numerator, denominator) in result.percent.items():
        top, bottom = (draft.table[c].astype("Float64") for c in (numerator, denominator))
        fresh = (100 * top / bottom.mask(bottom == 0)).astype(float)
        draft.table[column] = fresh.where(table[column].notna())
        hide(draft, hidden[[numerator, denominator]].any(axis=1).to_numpy(), [column])
    if draft.hidden.to_numpy().any():
        draft.notes.append(
            f"Counts of {policy.few} are withheld, and others that would give them away"
            + (f"; the rest are rounded to the nearest {policy.round_to}." if policy.round_to > 1 else ".")
        )
    elif counted and policy.round_to > 1:
        draft.notes.append(f"Counts are rounded to the nearest {policy.round_to}.")
    return draft


def _hidden_counts(
    table: pd.DataFrame, result: Summary, counted: Sequence[str], labels: Sequence[str], policy: Policy
) -> pd.DataFrame:
    """Which counts are withheld, column by column and across columns, until nothing changes."""
    values = table[list(counted)].astype(float)
    hidden = pd.DataFrame(policy.small(values), index=table.index, columns=list(counted))
    for column, (numerator, denominator) in result.percent.items():
        # The rest of a percentage is a count too, shown or not.
        rest = (values[denominator] - values[numerator]).where(table[column].notna(), 0)
        hidden.loc[(rest > 0) & policy.small(rest), numerator] = True
    if result.people and result.events:
        # Events of a handful of people describe those people, however many events there were.
        few_people = hidden[list(result.people)].any(axis=1)
        hidden.loc[few_people, list(result.events)] = True
    rows = across(values, result.people) | across(values, result.events)
    while True:
        before = hidden.to_numpy().sum()
        for column in [*result.people, *result.events]:
            sets = sets_of(table, column, labels, result.adds_up)
            found = protect(values[column].to_numpy(), hidden[column].to_numpy(), sets, policy)
            hidden[column] = found
        for total, parts in rows.items():
            for i in table.index:
                cells, mask = values.loc[i, [*parts, total]], hidden.loc[i, [*parts, total]]
                one = [Set(np.arange(len(parts)), len(parts))]
                hidden.loc[i, [*parts, total]] = protect(
                    cells.to_numpy(float), mask.to_numpy(bool), one, policy
                )
        if hidden.to_numpy().sum() == before:
            return hidden


def _sum_totals(draft: Draft, result: Summary, labels: Sequence[str], policy: Policy) -> None:
    """Make each total of a table the sum of its rounded parts, the hidden ones among them."""
    for column in (*result.people, *result.events):
        for one in sets_of(result.table, column, labels, result.adds_up):
            if one.total is not None and not draft.hidden.loc[one.total, column]:
                total = np.nansum(policy.rounded(result.table[column].to_numpy(float)[one.parts]))
                # A sum of parts that each round down may look too small to show: then the total is rounded.
                if not policy.small(total):
                    draft.table.loc[one.total, column] = int(total)


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


def _rates(result: Rates, policy: Policy) -> Draft:
    pooled, notes = coarsen_rates(result, policy)
    table = pooled.table.drop(columns="person_months").reset_index(drop=True)
    few = ~enough_behind(table, policy)
    if policy.round_to == 1:
        # Without rounding, the change from one period to the next is the number who died or moved.
        arms = table.groupby(["outcome", "arm"], observed=True)["persons"]
        table["persons"] = arms.transform("max")
    draft = Draft("rates", table, blank(table), notes=notes)
    count_columns(draft, table[["persons", "events"]].copy(), policy)
    if few.any():
        draft.notes.append(f"Rates with {policy.few} people or events behind them are withheld.")
    hide(draft, few, ("persons", "events", "rate_per_1000_person_months"))
    return draft


def _balance(result: Balance, policy: Policy) -> Draft:
    # A mean of products is a count of who is both, which its margins can give away: they are only summed up.
    kind = result.table.get("kind", pd.Series("", result.table.index))
    products = result.table[kind.isin(["square", "interaction"])]
    table = result.table[~kind.isin(["square", "interaction"])].reset_index(drop=True)
    # The distance within pairs of a yes or no is the number of pairs that differ, which may be few.
    table = table.drop(columns="pair_distance", errors="ignore")
    draft = Draft("balance", table, blank(table))
    size = result.counts.set_index(["sample", "arm"])["persons"]
    hidden = np.zeros(len(table), bool)
    for arm in ("treated", "control"):
        n = np.array([float(size.get((s, arm), np.nan)) for s in table["sample"]])
        mean = table[f"mean_{arm}"].to_numpy(float)
        hidden |= _small_levels(table, mean, n, policy)
        # The share of a level is made of rounded counts; other means are only made less exact.
        share = policy.rounded(mean * n) / np.maximum(policy.rounded(n), 1)
        leveled = table.get("level", pd.Series("", table.index)).fillna("").ne("") & ~np.isnan(n)
        draft.table[f"mean_{arm}"] = np.where(leveled & (policy.round_to > 1), share, coarse(mean, n, policy))
    smaller = table["sample"].map(result.counts.groupby("sample")["persons"].min())
    for column in table.columns.intersection(["smd", "variance_ratio", "ks", "ecdf_mean", "overlap"]):
        draft.table[column] = coarse(table[column], smaller, policy)
    numbers = [c for c in table.columns if c not in ("covariate", "level", "kind", "sample")]
    after = products.loc[products["sample"] == "after", "smd"].abs()
    if len(after):
        draft.notes.append(
            f"Of {len(after)} squares and products of these, {int((after > 0.1).sum())} differ by more than "
            "0.1 after matching."
        )
    if hidden.any():
        draft.notes.append(f"Balance is withheld where a group holds {policy.few} people.")
    hide(draft, hidden, numbers)
    draft.counts = _sample_sizes(result.counts, policy)
    return draft


def _small_levels(
    table: pd.DataFrame, mean: NDArray[np.float64], n: NDArray[np.float64], policy: Policy
) -> NDArray[np.bool_]:
    """Rows whose mean, times the sample size, gives back a small count of people or events."""
    # A mean between 0 and 1 may be a share of people (or a rare count): as good as a count.
    share = (mean >= 0) & (mean <= 1)
    members = np.rint(mean * n)
    hidden = policy.small(n) | (share & (policy.small(members) | policy.small(n - members)))
    if "level" in table and table["level"].notna().any():
        leveled = table["level"].notna()
        for rows in table[leveled].groupby(["covariate", "sample"], sort=False).indices.values():
            at = np.flatnonzero(leveled)[rows]
            # A reference level that is left out of the table is what the others do not add up to.
            rest = max(n[at[0]] - members[at].sum(), 0.0)
            cells = np.append(members[at], rest) if rest > 0 else members[at]
            mask = np.append(hidden[at], policy.small(rest)) if rest > 0 else hidden[at]
            hidden[at] = protect(cells, mask, [Set(np.arange(len(cells)))], policy)[: len(at)]
    return hidden


def _sample_sizes(counts: pd.DataFrame, policy: Policy) -> pd.DataFrame:
    out = counts.reset_index(drop=True).copy()
    # The two sizes of an arm give the number left unmatched: where that is small, only the second is shown.
    left = out.groupby("arm")["persons"].transform("max") - out["persons"].where(out["sample"] == "after")
    few = (left > 0) & (left < policy.smallest_shown)
    gives_away = (out["sample"] == "before") & out["arm"].isin(out.loc[few, "arm"])
    for column in ("persons", "ess"):
        if column in out:
            out[column] = as_counts(out[column], policy.small(out[column]) | gives_away, policy)
    return out


def _matched(result: Matched, policy: Policy) -> Draft:
    counts = result.counts.reset_index(drop=True)
    people = [c for c in counts.columns if pd.api.types.is_numeric_dtype(counts[c])]
    draft = _summary(Summary(counts, result.method, people=people), policy)
    draft.kind, draft.counts = "matched", draft.table[people]
    return draft


_DOORS: dict[type, Callable[[Any, Policy], Draft]] = {
    Effects: _effects,
    Test: _test,
    Summary: _summary,
    Rates: _rates,
    Balance: _balance,
    Matched: _matched,
    Bounds: _bounds,
}
