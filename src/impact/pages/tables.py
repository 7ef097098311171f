"""Released results as tables for readers: caption, scopes, units and footnotes, one format everywhere."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import pandas as pd

from impact.disclosure import Released
from impact.pages.formats import (
    MISSING,
    NAMES,
    SCALES,
    adjusted,
    by_arm,
    interval_text,
    label,
    notes,
    number,
    numeric,
    p_value,
    period,
    placebo_units,
    places,
    rate_unit,
    readers_units,
    require_released,
    small_numbers,
)


class Column(NamedTuple):
    """One column of a table: its heading, its formatted cells, and whether they are words."""

    header: str
    cells: list[str]
    words: bool = False


@dataclass(frozen=True)
class Table:
    """A table whose cells are formatted text, with the released result it shows."""

    caption: str
    columns: tuple[Column, ...]
    source: Released
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The cells, row by row."""
        return list(zip(*(column.cells for column in self.columns), strict=True))

    @property
    def html(self) -> str:
        """HTML with caption, header scopes, footnotes and a region that scrolls on a narrow screen."""
        e = html.escape
        align = ["" if column.words else ' class="n"' for column in self.columns]
        head = "".join(
            f'<th scope="col"{a}>{e(c.header)}</th>' for a, c in zip(align, self.columns, strict=True)
        )
        body = "".join(
            f'<tr><th scope="row"{align[0]}>{e(row[0])}</th>'
            + "".join(f"<td{a}>{e(cell)}</td>" for a, cell in zip(align[1:], row[1:], strict=True))
            + "</tr>"
            for row in self.rows
        )
        return (
            f'<div class="scroll" role="region" tabindex="0" aria-label="{e(self.caption)}">'
            f"<table><caption><span>{e(self.caption)}</span></caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table></div>"
            + "".join(f'<p class="note">{e(n)}</p>' for n in self.notes)
        )

    @property
    def text(self) -> str:
        """Plain text, for terminals and text-only readers."""
        frame = pd.DataFrame(self.rows, columns=[column.header for column in self.columns])
        return "\n".join([self.caption, frame.to_string(index=False), *self.notes])


def table(released: Released) -> Table:
    """Lay out any released result as a table for readers.

    Parameters
    ----------
    released : Released

    Raises
    ------
    DisclosureError
        For anything that was not released.
    """
    require_released(released)
    layout = _SUMMARIES.get(str(released.method.get("shows")), _summary)
    if {"arm", "bin_low", "bin_high", "persons"} <= set(released.table.columns):
        layout = _overlap
    layouts = {"effects": effects, "rates": rates, "balance": balance}
    return layouts.get(released.kind, layout)(released)


def effects(released: Released) -> Table:
    """Effects in readers' units, one row an effect, with every scale side by side.

    Ratios are of rates with support to rates without; differences are per 1,000 people a year. Where a table
    holds one effect for each of several outcomes, the first is the primary outcome and the p-values of the
    others are adjusted by Holm's method.
    """
    require_released(released)
    shown = readers_units(released.table)
    keys = [k for k in ("outcome", "group", "period", "event_time") if k in shown and shown[k].nunique() > 1]
    if "term" in shown and shown.groupby(keys or "outcome", dropna=False)["term"].nunique().max() > 1:
        keys.append("term")
    keys = keys or ["outcome"]
    index = shown[keys].drop_duplicates().reset_index(drop=True)
    columns = [Column(_KEYS.get(k, label(k)), [_key(k, v) for v in index[k]], words=True) for k in keys]
    main = None
    for scale in [s for s in SCALES if (shown["scale"] == s).any()]:
        rows = index.merge(shown[shown["scale"] == scale].reset_index(names="row"), on=keys, how="left")
        columns.append(_effect_column(released, rows, scale))
        main = rows if main is None else main
    under = list(notes(released))
    if main is not None and "p_value" in main:
        p, several = main["p_value"].tolist(), keys == ["outcome"] and len(index) > 1
        columns.append(Column("p-value", [p_value(v) for v in (adjusted(p) if several else p)]))
        if several:
            under.append(
                f"{label(index['outcome'][0])} is the primary outcome; the p-values of the others are "
                "adjusted for being several (Holm)."
            )
    if main is not None:
        for name, header in (("treated", "People with support"), ("events", "Their events")):
            if name in main:
                columns.append(Column(header, _cells(released, name, main["row"])))
    what = "" if "outcome" in keys else f": {label(shown['outcome'].iloc[0])}" if len(shown) else ""
    return _table(released, _effects_caption(keys) + what, columns, [*under, *_how(released.method)])


def _effects_caption(keys: Sequence[str]) -> str:
    by = {
        "event_time": "by time from the start of support",
        "period": "by period",
        "group": "by start of support",
    }
    return " ".join(
        ["Effect of support", *([by[k] for k in by if k in keys] or ["by service"] * ("outcome" in keys))]
    )


_KEYS = {"outcome": "Service", "event_time": "Months from start", "group": "Support began", "term": "Effect"}


def _key(name: str, value: Any) -> str:
    return period(value) if name in ("group", "period", "event_time") and pd.notna(value) else label(value)


def _effect_column(released: Released, rows: pd.DataFrame, scale: str) -> Column:
    unit = rows["unit"].dropna()
    digits = 2 if scale == "log ratio" else places(rows["estimate"])
    sign = scale != "log ratio"
    level = rows["conf_level"].dropna() if "conf_level" in rows else pd.Series([0.95])
    share = f"{100 * level.iloc[0]:g}%" if len(level) else "95%"
    hidden, cells = released.hidden["estimate"], []
    for at, *values in rows[["row", "estimate", "conf_low", "conf_high"]].itertuples(index=False):
        if pd.isna(at) or hidden.iloc[int(at)]:
            cells.append(released.mark)
            continue
        # An effect of 0 without a range is the base from which the others are measured.
        base = values[0] == 0 and pd.isna(values[1])
        reach = "base" if base else interval_text(values[1], values[2], digits, sign=sign)
        cells.append(f"{number(values[0], digits, sign=sign)} ({reach})")
    header = f"{SCALES[scale]} {unit.iloc[0]}" if scale == "difference" and len(unit) else SCALES[scale]
    return Column(f"{header} ({share} range)", cells)


def rates(released: Released) -> Table:
    """Rates and people by period, the arms side by side."""
    require_released(released)
    shown, (unit, factor) = released.table, rate_unit(released.method)
    keys = ["outcome", "period", "step"]
    order = shown["outcome"].map({o: i for i, o in enumerate(shown["outcome"].unique())})
    index = shown.assign(order=order).sort_values(["order", "period"], kind="stable")
    index = index[keys].drop_duplicates().reset_index(drop=True)
    columns = [
        Column("Period", [period(p, s) for p, s in zip(index["period"], index["step"], strict=True)], True)
    ]
    if index["outcome"].nunique() > 1:
        columns.insert(0, Column("Service", index["outcome"].map(label).tolist(), True))
    digits = places(factor * numeric(shown["rate_per_1000_person_months"]))
    for arm, part in by_arm(shown):
        rows = index.merge(part.reset_index(names="row"), on=keys, how="left")["row"]
        rate = _cells(released, "rate_per_1000_person_months", rows, lambda v: number(factor * v, digits))
        columns += [
            Column(f"{label(arm)}: rate", rate),
            Column(f"{label(arm)}: people", _cells(released, "persons", rows)),
        ]
    what = "" if index["outcome"].nunique() > 1 else f": {label(index['outcome'].iloc[0])}"
    return _table(released, f"Rates {unit}{what}", columns, notes(released))


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
    columns = [Column("Characteristic", _characteristics(index), True)]
    both = {"before", "after"} <= set(shown["sample"])
    wanted = (
        _BALANCE if both else [(str(shown["sample"].iloc[0]), n, h.split(",")[0]) for _, n, h in _BALANCE]
    )
    for sample, name, header in dict.fromkeys(wanted):
        rows = index.merge(
            shown[shown["sample"] == sample].reset_index(names="row"), on=["covariate", "level"], how="left"
        )
        columns.append(Column(header, _cells(released, name, rows["row"], partial(number, places=2))))
    under = ["A standardised difference between −0.1 and 0.1 counts as well balanced.", *notes(released)]
    return _table(
        released,
        "Balance before and after matching (means, and how far apart the groups are)",
        columns,
        under,
    )


def _characteristics(rows: pd.DataFrame) -> list[str]:
    plain = {"", "nan", "None", "mean (SD)", "all"}
    return [
        label(c) if str(v) in plain else f"{label(c)}: {label(v) if not isinstance(v, float) else number(v)}"
        for c, v in zip(rows["covariate"], rows["level"], strict=True)
    ]


def _baseline(released: Released) -> Table:
    """Number and share, or mean and standard deviation, of each characteristic in each arm."""
    shown, marked = released.table, released.marked()
    columns = [Column("Characteristic", _characteristics(shown), True)]
    for arm in ("supported", "control"):
        cells = []
        for i in range(len(shown)):
            persons, percent, mean, sd = (
                marked[f"{arm}_{w}"].iloc[i] for w in ("persons", "percent", "mean", "sd")
            )
            if shown["level"].iloc[i] == "mean (SD)":
                digits = places([shown[f"{arm}_mean"].iloc[i]]) or 1
                cells.append(
                    mean if isinstance(mean, str) else f"{number(mean, digits)} (SD {number(sd, digits)})"
                )
            elif isinstance(persons, str) or pd.isna(percent):
                cells.append(number(persons))
            else:
                cells.append(f"{number(persons)} ({number(percent)}%)")
        columns.append(Column(label(arm), cells))
    under = ["Number and percentage, or mean and standard deviation (SD).", *notes(released)]
    return _table(
        released, "Who is in the study, at the date support began or might have begun", columns, under
    )


def _naive(released: Released) -> Table:
    """Before and after with support, and the same for the comparison people: never one without the other."""
    shown = released.table
    columns = [Column("Service", shown["outcome"].map(label).tolist(), True)]
    for arm in ("supported", "control"):
        digits = places(
            shown[[f"{a}_{w}" for a in ("supported", "control") for w in ("before", "after")]]
            .to_numpy()
            .ravel()
        )
        for what in ("before", "after"):
            cells = _cells(released, f"{arm}_{what}", shown.index, partial(number, places=digits))
            columns.append(Column(f"{label(arm)}: {what}", cells))
        cells = _cells(released, f"{arm}_change_percent", shown.index, lambda v: number(v, sign=True) + "%")
        columns.append(Column(f"{label(arm)}: change", cells))
    return _table(
        released,
        "Before and after, per 1,000 people a year, with the comparison beside",
        columns,
        notes(released),
    )


def _overlap(released: Released) -> Table:
    """People of each arm in each bin of the estimated chance of being supported."""
    keys = ["bin_low", "bin_high"]
    index = released.table[keys].drop_duplicates().sort_values("bin_low").reset_index(drop=True)
    digits = 2 if ((100 * index["bin_low"]).round(6) % 1 == 0).all() else 3
    bins = [interval_text(low, high, digits) for low, high in index.itertuples(index=False)]
    columns = [Column("Estimated chance of being supported", bins, True)]
    for arm, part in by_arm(released.table):
        rows = index.merge(part.reset_index(names="row"), on=keys, how="left")["row"]
        columns.append(Column(label(arm), _cells(released, "persons", rows)))
    return _table(released, "People by estimated chance of being supported", columns, notes(released))


def _placebo(released: Released) -> Table:
    shown = released.table
    bins = placebo_units(released)
    digits = places(bins["high"])
    here = ["this study" if h else "" for h in shown["here"].fillna(False)]
    columns = [
        Column(
            "Estimate",
            [interval_text(a, b, digits) for a, b in zip(bins["low"], bins["high"], strict=True)],
            True,
        ),
        Column("Draws", _cells(released, "draws", shown.index)),
        Column("Where this study lies", here, True),
    ]
    return _table(released, "Estimates for starts that never happened", columns, notes(released))


def _summary(released: Released) -> Table:
    """Any other table: words on the left, counts with thousands separators."""
    shown = released.table.drop(columns="withheld", errors="ignore")
    columns: list[Column] = []
    for name in shown.columns:
        words = not pd.api.types.is_numeric_dtype(shown[name]) and not released.hidden[name].all()
        fractions = not words and bool((numeric(shown[name].dropna()) % 1 != 0).any())
        digits = max(places(shown[name]), 1) if fractions else 0
        show: Callable[[Any], str] = _words if words else partial(number, places=digits)
        if name in ("p_value",):
            show = p_value
        cells = _cells(released, name, shown.index, show)
        # A table begins each of its rows with a capital, wherever its words come from.
        first = cells if columns else [cell[:1].upper() + cell[1:] for cell in cells]
        columns.append(Column(label(name), first, words))
    title = released.method.get("shows") or released.name
    return _table(released, label(title), columns, notes(released))


def _words(value: Any) -> str:
    if isinstance(value, (pd.Timestamp, str)):
        return period(value) if isinstance(value, pd.Timestamp) else label(value) if value in NAMES else value
    return MISSING if pd.isna(value) else str(value)


_SUMMARIES: dict[str, Callable[[Released], Table]] = {
    "people at the index date, by arm": _baseline,
    "before and after, per 1,000 people a year": _naive,
    "placebo": _placebo,
}


def _cells(
    released: Released, column: str, rows: Iterable[Any], show: Callable[[Any], str] = number
) -> list[str]:
    """Format one column: the policy's mark where a figure was withheld, a dash where there is none."""
    values, hidden = released.table[column], released.hidden[column]
    return [
        MISSING
        if pd.isna(row)
        else released.mark
        if hidden.iloc[int(row)]
        else MISSING
        if pd.isna(values.iloc[int(row)])
        else show(values.iloc[int(row)])
        for row in rows
    ]


def _table(released: Released, caption: str, columns: Sequence[Column], under: Iterable[str]) -> Table:
    footnotes = list(under)
    if any(released.mark in cell for column in columns for cell in column.cells):
        footnotes.insert(
            0,
            f"{released.mark} {small_numbers(released.policy)}, not shown, or a figure that rests on so few.",
        )
    return Table(caption, tuple(columns), released, tuple(dict.fromkeys(footnotes)))


def _how(method: Mapping[str, Any]) -> list[str]:
    """One line on how the effects were estimated, for colleagues who check."""
    said = [
        f"{name}: {str(method[key]).replace('_', ' ')}"
        for key, name in (
            ("estimator", "Estimator"),
            ("estimand", "estimand"),
            ("control", "comparison"),
            ("family", "family"),
            ("inference", "standard errors"),
            ("clusters", "clusters"),
        )
        if method.get(key) not in (None, "", [])
    ]
    return ["; ".join(said) + "."] if said else []
