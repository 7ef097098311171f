"""The gate for balance: the share of a level is a count, as good as shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.disclosure.cells import MEAN, Cell, cells_of, of_matching, others
from impact.disclosure.draft import Also, Draft, as_counts, blank, coarse, hide, rows_of
from impact.disclosure.policies import Policy
from impact.results import Balance

# Column of the sizes of the samples, which stand beside the table.
SIZES = "counts.persons"
_ARMS = {"treated": "supported", "control": "control"}


def balance_draft(result: Balance, policy: Policy, also: Also) -> Draft:
    """Withhold rows that give a small count back, and make figures less exact than one person."""
    # A mean of products is a count of who is both, which its margins can give away: they are only summed up.
    kind = result.table.get("kind", pd.Series("", result.table.index))
    products = result.table[kind.isin(["square", "interaction"])]
    table = result.table[~kind.isin(["square", "interaction"])].reset_index(drop=True)
    # The distance within pairs of a yes or no is the number of pairs that differ, which may be few.
    table = table.drop(columns="pair_distance", errors="ignore")
    draft = Draft("balance", table.copy(), blank(table))
    n = {arm: _sizes(result, table["sample"], arm) for arm in _ARMS}
    hidden = {arm: rows_of([a for a in also if a[1] == f"mean_{arm}"], len(table)) for arm in _ARMS}
    for arm in _ARMS:
        mean = table[f"mean_{arm}"].to_numpy(float)
        members = np.rint(mean * n[arm])
        few = policy.small(members) | policy.protected(n[arm] - members)
        hidden[arm] |= policy.small(n[arm]) | (_share(table, arm) & few)
        # The share of a level is made of rounded counts; other means are only made less exact.
        share = policy.rounded(members) / np.maximum(policy.rounded(n[arm]), 1)
        made = _leveled(table) & ~np.isnan(n[arm]) & (policy.round_to > 1)
        draft.table[f"mean_{arm}"] = np.where(made, share, coarse(mean, n[arm], policy))
    smaller = table["sample"].map(result.counts.groupby("sample")["persons"].min())
    numbers = [c for c in table.columns if c not in ("covariate", "level", "kind", "sample")]
    for column in [c for c in numbers if not c.startswith("mean_") and pd.api.types.is_float_dtype(table[c])]:
        draft.table[column] = coarse(table[column], smaller, policy)
    after = products.loc[products["sample"] == "after", "smd"].abs()
    if len(after):
        draft.notes.append(
            f"Of {len(after)} squares and products of these, {int((after > 0.1).sum())} differ by more than "
            "0.1 after matching."
        )
    either = np.any(list(hidden.values()), axis=0)
    if either.any():
        draft.notes.append(f"Balance is withheld where a group holds {policy.few} people.")
    for arm, rows in hidden.items():
        hide(draft, rows, [f"mean_{arm}"])
    hide(draft, either, [column for column in numbers if not column.startswith("mean_")])
    small = policy.small(result.counts["persons"])
    small |= rows_of([a for a in also if a[1] == SIZES], len(small))
    draft.counts = result.counts.reset_index(drop=True).copy()
    for column in draft.counts.columns.intersection(["persons", "ess"]):
        draft.counts[column] = as_counts(draft.counts[column], small, policy)
    _add_cells(draft, result, table, hidden, small)
    return draft


def _add_cells(
    draft: Draft,
    result: Balance,
    table: pd.DataFrame,
    hidden: Mapping[str, NDArray[np.bool_]],
    small: NDArray[np.bool_],
) -> None:
    """Note the sizes of the samples, and the counts that the shares of levels give back."""
    sizes = result.counts[["sample", "arm", "persons"]].reset_index(drop=True)
    sizes.columns = pd.Index(["sample", "arm", SIZES])
    found, _ = cells_of(sizes, ["sample", "arm"], [SIZES], pd.DataFrame({SIZES: small}))
    whole = {(sizes["sample"][i], sizes["arm"][i]): cell for (i, _), cell in found.items()}
    cells, sums = list(found.values()), []
    for (sample, arm), size in whole.items():
        # Those who were left out are the difference of the two sizes of an arm.
        if sample == "after" and (before := whole.get(("before", arm))) and before.value > size.value:
            sums.append(([size, others(size, before)], before))
    people = result.counts["persons"]
    by_weight = ~np.isclose(result.counts.get("ess", people), people)
    weighted = {(row.sample, row.arm) for row in result.counts[by_weight].itertuples()}
    groups: dict[tuple[str, ...], Cell] = {}
    level = np.where(_leveled(table), table.get("level", ""), "1")
    for arm in _ARMS:
        # Shares by weight are of nobody in particular.
        alike = table["sample"].map(lambda sample, arm=arm: (sample, arm) not in weighted).to_numpy(bool)
        mean, share = table[f"mean_{arm}"].to_numpy(float), _share(table, arm) & alike
        for sample, covariate, rows in _covariates(table, ~share):
            if total := whole.get((sample, arm)):
                draft.means += [(int(i), f"mean_{arm}", covariate, total.labels) for i in rows]
        for sample, covariate, rows in _covariates(table, share):
            if (total := whole.get((sample, arm))) is None:
                continue
            parts = [
                Cell("persons", total.labels | {(covariate, str(level[i]))}, round(mean[i] * total.value), i,
                     f"mean_{arm}", not hidden[arm][i])
                for i in map(int, rows)
            ]  # fmt: skip
            cells += parts
            groups |= {(arm, sample, covariate, str(level[c.row])): c for c in parts}
            # A reference level that is left out of the table is what the others do not add up to.
            rest = total.value - sum(part.value for part in parts)
            gone = Cell("persons", total.labels | {("not shown", covariate)}, rest)
            left = [others(parts[0], total) if len(parts) == 1 else gone] if rest > 0 else []
            if rest >= 0:
                sums.append(([*parts, *left], total))
    for (arm, sample, *group), after in groups.items():
        before = groups.get((arm, "before", *group))
        if sample == "after" and before and before.value > after.value:
            sums.append(([after, others(after, before)], before))
    # Later pages are told which means are shown.
    shown = [(what, among) for i, column, what, among in draft.means if not draft.hidden[column].iloc[i]]
    means = [Cell(MEAN + what, among, 0, shown=True) for what, among in shown]
    draft.cells, draft.sums = cells + means, sums + of_matching(cells, result.method)


def _covariates(table: pd.DataFrame, among: NDArray[np.bool_]) -> Iterator[tuple[Any, str, NDArray[Any]]]:
    """Rows of each covariate in each sample, among some."""
    at = np.flatnonzero(among)
    for key, rows in table[among].groupby(["sample", "covariate"], sort=False).indices.items():
        sample, covariate = cast("tuple[str, str]", key)
        yield sample, str(covariate), at[rows]


def _sizes(result: Balance, sample: pd.Series, arm: str) -> NDArray[np.float64]:
    size = result.counts.set_index(["sample", "arm"])["persons"]
    return np.array([float(size.get((s, arm), np.nan)) for s in sample])


def _share(table: pd.DataFrame, arm: str) -> NDArray[np.bool_]:
    """A mean of 0 and 1 is a share of people, as good as a count; a score or a mean number is none.

    What has two values has no ratio of variances. Where that is not told, a mean from 0 to 1 may be a share.
    """
    mean = table[f"mean_{arm}"].to_numpy(float)
    two = table.get("variance_ratio", pd.Series(np.nan, table.index)).isna().to_numpy(bool)
    counted = ~table.get("kind", pd.Series("", table.index)).isin(["score", "follow-up"]).to_numpy(bool)
    return np.asarray((mean >= 0) & (mean <= 1) & counted & (two | _leveled(table)))


def _leveled(table: pd.DataFrame) -> NDArray[np.bool_]:
    return table.get("level", pd.Series("", table.index)).fillna("").ne("").to_numpy(bool)
