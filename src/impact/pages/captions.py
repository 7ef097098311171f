"""What each figure says in words: alternative text that states the finding with its numbers, and captions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from impact.disclosure import Released
from impact.pages import (
    before_after,
    bounds,
    by_group,
    done_differently,
    flow_diagram,
    forest_of_studies,
    hidden_bias,
    money,
    planning,
    specification_curve,
    survey,
)
from impact.pages.characteristics import characteristics
from impact.pages.formats import (
    by_arm,
    effect_names,
    estimate_text,
    interval_text,
    label,
    notes,
    number,
    numeric,
    percent,
    period,
    placebo_units,
    places,
    rate_unit,
    readers_units,
    require_released,
)


def alt(kind: str, released: Released, *, scale: str | Released | None = None) -> str:
    """Describe a figure for somebody who cannot see it: what it shows and what was found, with numbers.

    Parameters
    ----------
    kind : str
        The function of ``plots`` that drew it.
    released : Released
    scale : str or Released, optional
        The scale a forest was drawn on, where it was asked for; or the result that it shows beside the first.
    """
    if kind in _OF_A_SCALE:
        return _OF_A_SCALE[kind](require_released(released), scale)
    return _ALTS[kind](require_released(released))


def caption(kind: str, released: Released) -> str:
    """Say how a figure is to be read, and what was left out of it."""
    said = [_CAPTIONS[kind] if kind in _CAPTIONS else forest_of_studies.caption(released)]
    if kind in ("rates", "event_study") and released.table["withheld"].any():
        said.append("Points that rest on too few people or events are left out.")
    if kind == "rates" and released.method.get("sample") == "matched":
        said.append("Of the people who were matched, weighted as they are compared.")
    if kind == "before_after" and released.table[["formula_percent", "alike_percent"]].notna().any(axis=None):
        said.append(before_after.EXPECTED)
    if kind == "overlap":
        said.append(f"Bars of {released.rule.small_counts} people are not drawn.")
    if (
        kind == "event_study"
        and (
            released.table["estimate"].notna()
            & released.table["conf_low"].isna()
            & ~released.table["withheld"]
        ).any()
    ):
        said.append("Diamond: the base of all others.")
    if kind == "event_study" and "band_low" in released.table:
        said.append("Thin lines: the range that allows for looking at all points at once.")
    if kind == "placebo":
        said += _placebo_shares(released)
    if kind == "event_study" and released.method.get("anticipation"):
        said.append(
            "Shaded: the months just before support, when people may be in crisis; none of them is the base."
        )
    if kind == "rates" and released.method.get("last_start") is not None:
        said.append("Shaded: the months in which people started.")
    # What was pooled belongs to the figure; everything else stands under its table.
    return " ".join([*said, *(note for note in notes(released) if "hown by" in note)])


_CAPTIONS = {
    "said": survey.CAPTION,
    "before_after": before_after.CAPTION,
    "rates": "Solid line and circles: with support. Dashed line and squares: the comparison. Dotted "
    "line: support starts.",
    "event_study": "Each point sets those with support beside the comparison, with its 95% range; the line "
    "is no difference. Squares: before support, where points should lie near it. Circles: with support.",
    "overlap": "People with support upwards, the comparison downwards. Like can be compared with like where "
    "both have bars.",
    "love": "How far apart the groups are before (squares) and after (circles) they were matched or "
    "weighted. Between the dashed lines the difference is under 0.1.",
    "forest": "Lines are 95% ranges. Filled circle: clear, the range lies on one side of no change (also "
    "once several services are allowed for). Diamond: not clear.",
    "by_group": by_group.CAPTION,
    "specification_curve": specification_curve.CAPTION,
    "power": planning.CAPTION,
    "done_differently": done_differently.CAPTION,
    "bounds": "Each line is the range of the effect, if without support the groups would have parted no "
    "more than it says. Thick: the range leaves out no effect.",
    "hidden_bias": "How often chance alone would set the groups so far apart, at most, had a hidden reason "
    "made one of two matched people likelier to get support. Left of the dashed line (5%) it is more than "
    "chance.",
    "swings": money.CAPTION,
    "flow": flow_diagram.CAPTION,
    "placebo": "The same analysis, with starts of support dealt out anew at random each time.",
}


def _rates(released: Released) -> str:
    unit, factor = rate_unit(released.method)
    shown = released.table.assign(rate=factor * numeric(released.table["rate_per_1000_person_months"]))
    said = []
    for outcome, part in shown.groupby("outcome", sort=False):
        lines = []
        for arm, rows in by_arm(part):
            rows = rows[rows["rate"].notna()].sort_values("period")
            if rows.empty:
                lines.append(f"{label(arm)}: too few to show")
                continue
            digits, ends = places(rows["rate"]), rows.iloc[[0, -1]]
            first, last = (
                f"{number(r, digits)} ({_when(p, s)})"
                for r, p, s in zip(ends["rate"], ends["period"], ends["step"], strict=True)
            )
            low, high = number(rows["rate"].min(), digits), number(rows["rate"].max(), digits)
            lines.append(f"{label(arm)}: from {first} to {last}, between {low} and {high} throughout")
        said.append(f"{label(outcome)} {unit}. {'. '.join(lines)}.")
    return "Line chart. " + " ".join(said)


def _when(start: object, step: object) -> str:
    if isinstance(start, pd.Timestamp):
        return period(start, int(str(step)))
    return f"month {period(start, int(str(step)))}"


def _event_study(released: Released) -> str:
    shown = readers_units(released.table)
    shown = shown[shown["event_time"].notna() & (shown["scale"] == _scale(shown))]
    null = 0.0 if _scale(shown) == "difference" else 1.0
    said = []
    for outcome, part in shown.groupby("outcome", sort=False):
        unit = str(part["unit"].iloc[0])
        part = part[np.isfinite(numeric(part["conf_low"]))]
        clear = (part["conf_low"] > null) | (part["conf_high"] < null)
        time, crisis = part["event_time"], -int(released.method.get("anticipation") or 0)
        groups = (
            ("Before support", time < crisis),
            ("In the months just before support", (time >= crisis) & (time < 0)),
            ("With support", time >= 0),
        )
        said.append(f"{label(outcome)}, {'ratio of rates' if null else f'difference {unit}'}.")
        if part.empty:
            said.append("Too few people or events to show any estimate.")
        for when, rows in groups:
            if rows.any():
                estimate, n = part.loc[rows, "estimate"], int(clear[rows].sum())
                digits = 2 if null else places(part["estimate"])
                ends = interval_text(estimate.min(), estimate.max(), digits, sign=not null)
                said.append(
                    f"{when} the estimates lie from {ends}; {n} of {int(rows.sum())} 95% ranges leave out no "
                    "difference."
                    if rows.sum() > 1
                    else f"{when} the one estimate is "
                    f"{estimate_text(estimate.min(), digits, sign=not null)}; "
                    f"its 95% range {'leaves out' if n else 'takes in'} no difference."
                )
    return "Event study. " + " ".join(said)


def _scale(shown: pd.DataFrame) -> str:
    return "difference" if (shown["scale"] == "difference").any() else "log ratio"


def _overlap(released: Released) -> str:
    shown = released.table
    low, high = ("bin_low", "bin_high") if "bin_low" in shown else ("low", "high")
    said = []
    for arm, rows in by_arm(shown):
        count = np.nan_to_num(numeric(rows["persons"]))
        some, most = rows[count > 0], rows.iloc[int(count.argmax())]
        if some.empty:
            said.append(f"{label(arm)}: too few to show.")
            continue
        said.append(
            f"{label(arm)}: chances from {number(some[low].min(), 2)} to {number(some[high].max(), 2)}, most "
            f"people ({number(count.max())}) between {number(most[low], 2)} and {number(most[high], 2)}."
        )
    return "Two histograms, mirrored, of the estimated chance of being supported. " + " ".join(said)


def _love(released: Released) -> str:
    shown = released.table.assign(size=numeric(released.table["smd"]), named=characteristics(released.table))
    if "kind" in shown:
        # How long people were followed is a result, and no characteristic of theirs.
        shown = shown[shown["kind"] != "follow-up"]
    said = []
    for sample, rows in sorted(shown.groupby("sample", sort=False), key=lambda g: g[0] != "before"):
        size = rows["size"].abs()
        if size.notna().any():
            worst = rows.iloc[int(np.nanargmax(size))]
            said.append(
                f"{label(sample)} matching, {int((size > 0.1).sum())} of {int(size.notna().sum())} "
                f"characteristics differ by more than 0.1; the largest by {number(worst['size'], 2)} "
                f"({worst['named']})."
            )
    return "Standardised differences between people with support and the comparison. " + " ".join(said)


def _forest(released: Released, scale: str | None) -> str:
    from impact.pages.plots import forest_rows

    part = forest_rows(readers_units(released.table), scale)
    ratio = bool((part["scale"] == "log ratio").all())
    digits = 2 if ratio else places(part["estimate"])
    said = []
    for name, row in zip(effect_names(part), part.to_dict("records"), strict=True):
        said.append(
            f"{name}: not shown, too few."
            if pd.isna(row["estimate"])
            else f"{name} {estimate_text(row['estimate'], digits, sign=not ratio)}, 95% range "
            f"{interval_text(row['conf_low'], row['conf_high'], digits, sign=not ratio)}."
        )
    what = (
        "Ratio of the rate with support to the rate without"
        if ratio
        else f"Difference {part['unit'].iloc[0]}"
    )
    return f"{what}. " + " ".join(said)


def _placebo_shares(released: Released) -> list[str]:
    """Say how far out the study's own estimate lies, and how often the interval was wrong."""
    method, said = released.method, []
    draws = int(method.get("draws") or 0)
    if method.get("p_value") is not None and draws:
        least = float(method.get("smallest_p") or 1 / (draws + 1))
        said.append(
            f"Of {number(draws + 1)} results, the draws and this study itself, {percent(method['p_value'])} "
            "lie at least as far from no effect as this study; the smallest share there can be is "
            f"{percent(least)}."
        )
    if method.get("rejected") is not None:
        error = method.get("rejected_error")
        within = f" (by the luck of the draws, {percent(error)} more or less)" if error is not None else ""
        said.append(
            f"In {percent(method['rejected'])} of the draws{within} the 95% range left out no effect; 5% is "
            "right."
        )
    return said


def _placebo(released: Released) -> str:
    bins, draws = placebo_units(released), np.nan_to_num(numeric(released.table["draws"]))
    some = bins[draws > 0]
    digits = places(bins["high"])
    p = released.method.get("p_value")
    here = bins[released.table["here"].fillna(False).to_numpy(bool)]
    ends = interval_text(here["low"].min(), here["high"].max(), digits, sign=True).replace(" to ", " and ")
    where = f"between {ends}" if len(here) else "outside"
    lies = f"; {100 * float(p):.1f}% of draws lie at least as far from no effect" if p is not None else ""
    return (
        f"Histogram of {number(released.method.get('draws'))} estimates for starts that never happened, "
        f"{bins['unit'].iloc[0]}, from {number(some['low'].min(), digits)} to "
        f"{number(some['high'].max(), digits)}. "
        f"This study's own estimate lies {where}{lies}."
    )


_ALTS: dict[str, Callable[[Released], str]] = {
    "bounds": bounds.alt,
    "by_group": by_group.alt,
    "flow": flow_diagram.alt,
    "hidden_bias": hidden_bias.alt,
    "rates": _rates,
    "event_study": _event_study,
    "overlap": _overlap,
    "love": _love,
    "placebo": _placebo,
    "said": survey.alt,
    "swings": money.alt,
    "power": planning.alt,
}
_OF_A_SCALE: dict[str, Callable[[Released, Any], str]] = {
    "before_after": before_after.alt,
    "forest": _forest,
    "forest_of_studies": forest_of_studies.alt,
    "done_differently": done_differently.alt,
    "specification_curve": specification_curve.alt,
}
