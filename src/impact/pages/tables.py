"""Released results as tables for readers: caption, scopes, units and footnotes, one format everywhere."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd

from impact.disclosure import Released
from impact.interpret.specifications import FEW_RUNS
from impact.pages import (
    SEAL,
    Shown,
    before_after,
    by_group,
    checklists,
    done_differently,
    forest_of_studies,
    hidden_bias,
    match_audit,
    money,
    plan,
    show,
    specification_curve,
)
from impact.pages.bounds import base_text, breakdown_text, limits, range_text
from impact.pages.called import called, row_names
from impact.pages.characteristics import characteristics
from impact.pages.formats import (
    MISSING,
    SCALES,
    adjusted,
    aligned,
    by_arm,
    capital,
    estimate_text,
    interval_text,
    label,
    notes,
    number,
    numeric,
    p_value,
    percent,
    period,
    places,
    rate_unit,
    readers_units,
    require_released,
    who,
)
from impact.pages.layout import Column, Table, cells_of, table_of
from impact.pages.statement import Statement
from impact.pages.summaries import summary


def table(released: Released, *beside: Released) -> Table:
    """Lay out any released result as a table for readers.

    A change before and after needs the effects ``beside`` it: it is never shown alone.

    Raises
    ------
    DisclosureError
        For anything that was not released, and for a change before and after alone.
    """
    require_released(released)
    if released.method.get("shows") == "before and after":
        return before_after.table(released, *beside)
    if released.kind == "test" and "estimate" in released.table:
        return test(released)
    if released.kind == "bounds" and {"gamma", "e_value"} & set(released.table):
        return hidden_bias.table(released)
    if shown := _OF_THEIR_OWN.get(str(released.method.get("shows"))):
        return shown(released)
    if released.kind == "effects" and "study" in released.table:
        return forest_of_studies.table(released)
    layouts = {"effects": effects, "rates": rates, "balance": balance, "bounds": bounds, "costs": money.table}
    return layouts.get(released.kind, summary)(released)


_OF_THEIR_OWN = {
    "checks": done_differently.table,
    "effects by group": by_group.table,
    "effects by kind of support": by_group.table,
    "support and need by deprivation": by_group.by_deprivation,
    "kept to the plan": plan.deviations,
    "checklist": checklists.table,
    "match audit": match_audit.table,
    "heterogeneity": forest_of_studies.heterogeneity,
    "specification curve": specification_curve.table,
    FEW_RUNS: specification_curve.few_runs,
}


def effects(released: Released) -> Table:
    """Effects in readers' units, one row an effect, with every scale side by side.

    Ratios are of rates with support to rates without; differences are per 1,000 people a year. Where a table
    holds one effect for each of several outcomes, the first is the primary outcome and the p-values of the
    others are adjusted by Holm's method; of a table without the primary outcome, those of all.
    """
    require_released(released)
    shown = readers_units(released.table)
    keys = [k for k in ("outcome", "group", "period", "event_time") if k in shown and shown[k].nunique() > 1]
    if "term" in shown and shown.groupby(keys or "outcome", dropna=False)["term"].nunique().max() > 1:
        keys.append("term")
    keys = keys or ["outcome"]
    index = shown.drop_duplicates(keys).reset_index(drop=True)
    step = str(released.method.get("period") or "month").capitalize()
    titles = {**_KEYS, "event_time": f"{step}s from start"}
    columns = [Column(titles.get(k, label(k)), row_names(k, index, step), words=True) for k in keys]
    index, main = index[keys], None
    for scale in [s for s in SCALES if (shown["scale"] == s).any()]:
        rows = index.merge(shown[shown["scale"] == scale].reset_index(names="row"), on=keys, how="left")
        columns.append(_effect_column(released, rows, scale))
        main = rows if main is None else main
    under, how = _notes(released)
    if (shown["scale"] == "events avoided").any():
        under.append(f"{SCALES['events avoided']}: over the time studied, among those with support.")
    if main is not None and "p_value" in main:
        p, several = main["p_value"].tolist(), keys == ["outcome"] and len(index) > 1
        first = released.method.get("questions") != "secondary"
        if several:
            p = adjusted(p) if first else adjusted([float("nan"), *p])[1:]
            how.append("The files hold the p-values before this adjustment.")
            named = f"{label(index['outcome'][0])} stand first in the study's file, as its main result; the "
            of = f"{named}p-values of the others" if first else "The p-values"
            under.append(f"{of} allow for looking at several (Holm).")
        columns.append(Column("p-value", aligned([p_value(v) for v in p])))
    if main is not None and {"treated", "events"} <= set(main):
        behind = zip(*(cells_of(released, name, main["row"]) for name in ("treated", "events")), strict=True)
        columns.append(
            Column(
                f"{capital(who(released))} (events) with support",
                [n if n == MISSING else f"{n} ({events})" for n, events in behind],
            )
        )
    what = "" if "outcome" in keys else f": {label(shown['outcome'].iloc[0])}" if len(shown) else ""
    return table_of(
        released,
        f"{_effects_caption(keys)}{what} ({_level(shown)} ranges in brackets)",
        columns,
        under,
        how=[*how, *_how(released)],
    )


def _level(shown: pd.DataFrame) -> str:
    level = shown["conf_level"].dropna() if "conf_level" in shown else pd.Series([0.95])
    return f"{100 * level.iloc[0]:g}%" if len(level) else "95%"


def _effects_caption(keys: Sequence[str]) -> str:
    by = {
        "event_time": "by time from the start of support",
        "period": "by period",
        "group": "by start of support",
    }
    return " ".join(
        ["Effect of support", *([by[k] for k in by if k in keys] or ["by service"] * ("outcome" in keys))]
    )


_KEYS = {"outcome": "Service", "group": "Support began", "term": "Effect"}


def _effect_column(released: Released, rows: pd.DataFrame, scale: str) -> Column:
    unit = rows["unit"].dropna()
    digits = 2 if scale == "log ratio" else places(rows["estimate"])
    sign = scale != "log ratio"
    hidden, cells = released.hidden["estimate"], []
    ends = ["estimate", "conf_low", "conf_high"]
    if scale == "events avoided":
        # Fewer has one sign throughout a table.
        rows = rows.assign(
            **dict(zip(ends, (-rows[e] for e in ("estimate", "conf_high", "conf_low")), strict=True))
        )
    for at, *values in rows[["row", *ends]].itertuples(index=False):
        if pd.isna(at) or hidden.iloc[int(at)]:
            cells.append(released.mark)
            continue
        # No effect without a range is the base from which the others are measured.
        base = values[0] == (0 if sign else 1) and pd.isna(values[1])
        reach = "base" if base else interval_text(values[1], values[2], digits, sign=sign, exact=True)
        cells.append(f"{estimate_text(values[0], digits, sign=sign, exact=True)} ({reach})")
    header = f"{SCALES[scale]} {unit.iloc[0]}" if scale == "difference" and len(unit) else SCALES[scale]
    if unit.nunique() > 1:
        header = SCALES[scale]
        cells = [
            f"{cell} {of}" if isinstance(of, str) else cell
            for cell, of in zip(cells, rows["unit"], strict=True)
        ]
    return Column(header, cells)


def rates(released: Released) -> Table:
    """Rates and people by period, the arms side by side."""
    require_released(released)
    shown, (unit, factor) = released.table, rate_unit(released.method)
    keys = ["outcome", "period", "step"]
    order = shown["outcome"].map({o: i for i, o in enumerate(shown["outcome"].unique())})
    index = shown.assign(order=order).sort_values(["order", "period"], kind="stable")
    index = index[keys].drop_duplicates().reset_index(drop=True)
    from_start = (numeric(index["period"]) < 0).any() and released.method.get("clock") == "event"
    header = "Months from start" if from_start else "Period"
    columns = [
        Column(header, [period(p, s) for p, s in zip(index["period"], index["step"], strict=True)], True)
    ]
    if index["outcome"].nunique() > 1:
        columns.insert(0, Column("Service", index["outcome"].map(label).tolist(), True))
    digits = places(factor * numeric(shown["rate_per_1000_person_months"]))
    for arm, part in by_arm(shown):
        rows = index.merge(part.reset_index(names="row"), on=keys, how="left")["row"]
        rate = cells_of(released, "rate_per_1000_person_months", rows, lambda v: number(factor * v, digits))
        columns += [
            Column(f"{label(arm)}: rate", rate),
            Column(f"{label(arm)}: {who(released)}", cells_of(released, "persons", rows)),
        ]
    what = "" if index["outcome"].nunique() > 1 else f": {label(index['outcome'].iloc[0])}"
    return table_of(released, f"Rates {unit}{what}", columns, notes(released))


_BALANCE = [
    ("after", "mean_treated", "With support"),
    ("before", "mean_control", "Comparison, before"),
    ("after", "mean_control", "Comparison, after"),
    ("before", "smd", "Standardised difference, before"),
    ("after", "smd", "Standardised difference, after"),
    ("after", "variance_ratio", "Ratio of variances, after"),
    ("after", "ks", "Largest gap, after"),
]


def balance(released: Released) -> Table:
    """How alike the arms are, before and after matching."""
    require_released(released)
    shown = released.table
    index = shown[["covariate", "level"]].drop_duplicates().reset_index(drop=True)
    columns = [Column("Characteristic", characteristics(index), True)]
    both = {"before", "after"} <= set(shown["sample"])
    wanted = (
        _BALANCE if both else [(str(shown["sample"].iloc[0]), n, h.split(",")[0]) for _, n, h in _BALANCE]
    )
    for sample, name, header in dict.fromkeys(wanted):
        rows = index.merge(
            shown[shown["sample"] == sample].reset_index(names="row"), on=["covariate", "level"], how="left"
        )
        columns.append(Column(header, cells_of(released, name, rows["row"], partial(number, places=2))))
    under = ["A standardised difference between −0.1 and 0.1 counts as well balanced.", *notes(released)]
    return table_of(
        released,
        "Balance before and after matching (means, and how far apart the groups are)",
        columns,
        under,
    )


def bounds(released: Released) -> Table:
    """The range of an effect where trends without support need not have been parallel."""
    shown = readers_units(require_released(released).table)
    sign = not (shown["scale"] == "log ratio").any()
    digits = places(shown[["conf_low", "conf_high"]].to_numpy().ravel()) if sign else 2
    ranges = [
        released.mark if hidden else range_text(low, high, digits, ratio=not sign)
        for low, high, hidden in zip(
            shown["conf_low"], shown["conf_high"], released.hidden["conf_low"], strict=True
        )
    ]
    unit = "Ratio" if not sign else f"Difference {shown['unit'].iloc[0]}" if len(shown) else "Difference"
    under = []
    if len(shown) and not released.hidden["breakdown"].iloc[0]:
        under += [breakdown_text(shown), base_text(released.method)]
    columns = [
        Column("Without support, the groups would have parted", limits(shown), True),
        Column(f"{unit}: {_level(shown)} range", ranges),
    ]
    what = f": {label(shown['outcome'].iloc[0])}" if len(shown) else ""
    caption = f"The effect if the groups would not have moved alike{what}"
    more, how = _notes(released)
    return table_of(released, caption, columns, [*under, *more], how=[*how, *_how(released)])


def test(released: Released) -> Table:
    """One test of one effect by draws of its own: the estimate, its range, and how small a p-value can be."""
    method, shown = require_released(released).method, released.table
    rows = shown.assign(scale=method["scale"], unit=method["unit"], row=range(len(shown)))
    columns = [
        Column("Test", shown["test"].map(label).tolist(), True),
        _effect_column(released, readers_units(rows), str(method["scale"])),
        Column("p-value", cells_of(released, "p_value", shown.index, p_value)),
        Column("Smallest possible p-value", cells_of(released, "smallest_p", shown.index, p_value)),
    ]
    caption = f"{label(method['shows'])}: {label(method['outcome'])} ({_level(shown)} range in brackets)"
    return table_of(released, caption, columns, notes(released), how=_how(released))


def few_sites(released: Mapping[str, Released], effects: str = "effects") -> Shown:
    """Say in words and in one table what the tests made for few sites found.

    Parameters
    ----------
    released : mapping of name to Released
        Everything a page shows; the tests of one effect by draws of their own are picked from it.
    effects : str
        Name in it of the main effects. Where there are no tests and fewer than 30 groups stand behind these,
        the tests are advised in a sentence; with more groups nothing is shown.
    """
    found = [r for r in released.values() if require_released(r).kind == "test" and "estimate" in r.table]
    if not found:
        advice = _advice(require_released(released[effects]))
        return show(
            *([Statement("sentence", (("list", advice),), (released[effects],), SEAL)] if advice else [])
        )
    each = [test(one) for one in found]
    columns = [Column("Test", [label(one.method["shows"]) for one in found], True)]
    for same in zip(*(one.columns[1:] for one in each), strict=True):
        columns.append(Column(same[0].header, [cell for column in same for cell in column.cells]))
    level = _level(found[0].table)
    caption = f"Tests for few groups: {label(found[0].method['outcome'])} ({level} ranges in brackets)"
    notes_, how = (tuple(dict.fromkeys(n for one in each for n in getattr(one, k))) for k in ("notes", "how"))
    laid = Table(caption, tuple(columns), found[0], notes_, how)
    lead = ("why", ("These tests do not lean on there being many groups.",))
    words = Statement("sentence", (lead, ("list", tuple(map(_drawn, found)))), tuple(found), SEAL)
    return show(words, Shown(laid.text, laid.html, tuple(found), seal=SEAL))


# With fewer groups than this, tests that do not lean on their number are advised.
_FEW_GROUPS = 30


def _advice(effects: Released) -> tuple[str, ...]:
    groups = numeric(effects.table["clusters"])[:1]
    if not (groups < _FEW_GROUPS).any() or effects.method.get("estimator") == "synthetic_did":
        return ()
    return (
        f"Only {number(groups[0])} groups stand behind this estimate. Two tests do not lean on there being "
        "many: did.tests: [wild_bootstrap, randomisation_test] in the parameter file.",
    )


_DREW = {
    "wild bootstrap": "as if support had no effect, what is left unexplained was kept or turned round, whole "
    "groups at a time",
    "randomisation test": "starts of support were dealt out anew among {among}",
    "placebo test": "starts of support were dealt out anew among {among}",
}
_MEANS = {
    "wild bootstrap": "With this estimator and few groups it can find an effect where there is none.",
    "randomisation test": "Starts were given by lot, so this needs no model to be right.",
    "placebo test": "Starts were not given by lot, so it says how unusual the result is, and not how likely "
    "chance is.",
}


def _drawn(one: Released) -> str:
    """Say of one test what was drawn, how many results were as far out, and how few that could have been."""
    kind, how = str(one.method["shows"]), str(one.method["inference"])
    p, least = (float(numeric(one.table[name])[0]) for name in ("p_value", "smallest_p"))
    if math.isnan(p):
        return f"{label(kind)}: too few people or events to show it."
    draws = number(one.method["draws"])
    among = who(one) if one.method.get("dealt") == "units" else "groups"
    said = [
        f"{label(kind)}: {_DREW[kind].format(among=among)}, "
        # Only draws at random have a seed.
        + (f"in all {draws} ways." if one.method.get("seed") is None else f"{draws} times."),
        f"{percent(p)} of these results lie at least as far from no effect as this study; the smallest "
        f"possible share is {percent(least)}.",
        _MEANS[kind] if kind != "wild bootstrap" or "without imposing" in how else "",
    ]
    return " ".join(filter(None, said))


def _notes(released: Released) -> tuple[list[str], list[str]]:
    """What was pooled or withheld, which changes how a table is read; and the rest, for who checks it."""
    said = notes(released)
    under = [note for note in said if re.search(r"\b[Ss]hown|withheld", note)]
    return under, [note for note in said if note not in under]


def _how(released: Released) -> list[str]:
    """One line on how the effects were estimated, for colleagues who check: plain words, then the terms."""
    method = {name: str(value).replace("_", " ") for name, value in released.method.items() if value}
    if "estimator" in method:
        method["estimator"] = f"{called(released)} ({method['estimator']})"
    said = [
        f"{name}: {method[key]}"
        for key, name in (
            ("estimator", "Method"),
            ("estimand", "what is estimated"),
            ("control", "compared with those"),
            ("family", "model of the counts"),
            ("inference", "how the ranges were made"),
            ("clusters", "groups"),
        )
        if key in method
    ]
    return ["; ".join(said) + "."] if said else []
