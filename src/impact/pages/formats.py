"""What readers are shown: names, number formats and units. The one place where stored units are converted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.disclosure import Released
from impact.errors import DisclosureError
from impact.numbers.holm import holm
from impact.pages import questions
from impact.pages.own_words import OWN, several

MINUS = "−"
MISSING = "–"

# What readers call the columns of the data contract; any other name is shown with its underscores as spaces.
NAMES = {
    "gp": "GP contacts",
    "gp_emergency": "Emergency GP contacts",
    "nurse": "Nurse contacts",
    "ae": "A&E attendances",
    "outpatient": "Outpatient appointments",
    "emergency_admission": "Emergency admissions",
    "elective_admission": "Planned admissions",
    "day_case": "Day cases",
    "bed_days": "Nights in hospital",
    "ambulance": "Ambulance call-outs",
    "nhs111": "NHS 111 calls",
    "community": "Community contacts",
    "mental_health": "Mental health contacts",
    "ltc_n": "Long-term conditions",
    "members": "People in the household",
    "imd_fifth": "Deprivation fifth",
    "imd_decile": "Deprivation tenth",
    "arm": "Group",
    "supported": "With support",
    "treated": "With support",
    "control": "Comparison",
    "persons": "People",
    "smd": "Standardised difference",
    "ks": "Largest gap between distributions",
    "ess": "Effective number of people",
    "p_value": "p-value",
    "df": "Degrees of freedom",
    "bias_if_passed": "Bias if the test passes",
    "mc_error": "Error of the simulation",
    "who stopped being observed early": "Who was not observed to the last period",
    "left_early": "Not observed to the last period",
    "propensity score": "Chance of support (propensity score)",
    "any": "People with any",
    "given any": "Number for each of those",
    **questions.NAMES,
}

# Stored unit -> (readers' unit, factor): a month is a twelfth of a year.
READERS_UNITS = {"per 1,000 person-months": ("per 1,000 people a year", 12.0)}
# Units of differences among people; those of a ready-made panel may be practices or trusts.
OF_PEOPLE = {*READERS_UNITS, "per 100 people", "a person", "units of the outcome"}
SCALES = {"difference": "Difference", "log ratio": "Ratio", "events avoided": "Difference in all"}


def require_released(thing: object) -> Released:
    """Return the thing if it was released and not changed since; anything else must not be shown."""
    if isinstance(thing, Released):
        # The class's own method: what only looks like a released result has none that counts.
        return Released.unchanged(thing)
    raise DisclosureError(
        f"pages: got {type(thing).__name__}, which was not released; "
        "pass it through impact.disclosure.release({name: result}, policy) first."
    )


def label(name: object) -> str:
    """Return what readers call a column or category: in the study's own words, where it has them.

    Examples
    --------
    >>> label("ae"), label("prior_ae"), label("white_british")
    ('A&E attendances', 'A&E attendances in the year before', 'White british')
    >>> label("prior_ae_q2"), label("trend_log1p_gp")
    ('A&E attendances, 4 to 6 months before the start', 'GP contacts, trend before the start (logarithm)')
    """
    text = str(name)
    if text in OWN.names or text in NAMES:
        return OWN.names.get(text) or NAMES[text]
    if found := re.fullmatch(r"months followed \((\w+)\)", text):
        return f"Months followed ({inside(label(found[1]))})"
    if text.startswith(("prior_", "trend_", "latest_")) and (said := _before(text)):
        return said
    text = text.replace("_", " ").strip()
    return text[:1].upper() + text[1:]


_SCALED = {"log1p_": " (logarithm)", "sqrt_": " (square root)"}


def _before(text: str) -> str:
    """Name a count before the index date: of the year or one period, its trend, or how the latest differs."""
    what, _, rest = text.partition("_")
    scale = next((scale for scale in _SCALED if rest.startswith(scale)), "")
    rest, how = rest.removeprefix(scale), _SCALED.get(scale, "")
    if what != "prior":
        ends = {"trend": "trend before the start", "latest": "latest period less those before"}
        return f"{label(rest)}, {ends[what]}{how}" if rest in NAMES else ""
    if period := re.fullmatch(r"(\w+)_([mqp])(\d+)", rest):
        k = int(period[3])
        spans = {"q": f"{3 * k - 2} to {3 * k} months", "m": f"{k} month{'s' * (k > 1)}", "p": f"period {k}"}
        return f"{label(period[1])}, {spans[period[2]]} before the start{how}"
    return f"{label(rest)} in the year before{how}"


def number(value: Any, places: int = 0, *, sign: bool = False) -> str:
    """Format a number for readers: thousands separators, a real minus, text (such as '*') as it is.

    Examples
    --------
    >>> number(1234.5), number(-0.04, 1), number(3, sign=True), number("*"), number(float("nan"))
    ('1,234', '0.0', '+3', '*', '–')
    """
    if isinstance(value, str):
        return value
    if value is None or pd.isna(value):
        return MISSING
    if np.isinf(value):
        return "no limit"
    text = f"{float(value):,.{places}f}"
    if float(text.replace(",", "")) == 0:
        return text.lstrip("-")
    return ("+" if sign and value > 0 else "") + text.replace("-", MINUS)


def p_value(value: Any) -> str:
    """Format a p-value: two figures, never zero; in a column its decimals line up.

    Examples
    --------
    >>> p_value(0.11), p_value(0.034), p_value(0.0004)
    ('0.11', '0.034', 'under 0.001')
    """
    if isinstance(value, str) or pd.isna(value):
        return number(value)
    return "under 0.001" if value < 0.001 else number(value, 2 if value >= 0.0995 else 3)


_FIGURE_WIDE = "\u2007"


def aligned(cells: Sequence[str]) -> list[str]:
    """Fill decimals up with blanks as wide as a figure, so that those of a column line up.

    Examples
    --------
    >>> aligned(["0.11", "0.034", "–"])
    ['0.11\\u2007', '0.034', '–']
    """
    decimals = [len(found[1]) if (found := re.fullmatch(r"\d+\.(\d+)", cell)) else 0 for cell in cells]
    most = max(decimals, default=0)
    return [cell + _FIGURE_WIDE * (most - n if n else 0) for cell, n in zip(cells, decimals, strict=True)]


def percent(share: Any) -> str:
    """Format a share as per cent, small ones with two places.

    Examples
    --------
    >>> percent(0.14), percent(0.002)
    ('14.0%', '0.20%')
    """
    per_cent = 100 * float(share)
    return f"{number(per_cent, 1 if per_cent >= 0.95 else 2)}%"


def places(values: Iterable[Any]) -> int:
    """Decimal places that suit the largest of some values, so that a column's decimals line up.

    Examples
    --------
    >>> places([341.2, 5]), places([9.7, 1.2]), places([0.31])
    (0, 1, 2)
    """
    largest = np.nanmax([0.0, *np.abs(numeric(values))])
    return 0 if largest >= 20 or largest == 0 else 1 if largest >= 2 else 2


def period(value: Any, step: int = 1) -> str:
    """Name a period: 'Jan 2024', 'Jan to Mar 2024', '−3' or '−3 to −1'.

    Examples
    --------
    >>> period(pd.Timestamp("2024-11-01"), 3), period(-3, 3), period(2019)
    ('Nov 2024 to Jan 2025', '−3 to −1', '2019')
    """
    if not isinstance(value, pd.Timestamp):
        first, last = (
            v if isinstance(v, str) else f"{v:g}".replace("-", MINUS)
            for v in (value, value if isinstance(value, str) else value + step - 1)
        )
        return first if step <= 1 else f"{first} to {last}"
    end = value + pd.DateOffset(months=step - 1)
    if step <= 1:
        return f"{value:%b %Y}"
    return f"{value:%b} to {end:%b %Y}" if value.year == end.year else f"{value:%b %Y} to {end:%b %Y}"


def readers_units(table: pd.DataFrame) -> pd.DataFrame:
    """Convert stored effects to what readers are shown: the only place where this is done.

    Rates per 1,000 person-months become rates per 1,000 people a year (x 12), logarithms of ratios become
    ratios. ``estimate``, the interval and the band are converted together, and with bounds by ``m`` what that
    limits; ``unit`` says to what. An end without limit stays infinite.

    Examples
    --------
    >>> stored = pd.DataFrame({"scale": ["difference", "log ratio"], "estimate": [-5.0, 0.0],
    ...     "conf_low": [-8.0, 0.0], "conf_high": [-2.0, 0.0],
    ...     "unit": ["per 1,000 person-months", "log ratio"]})
    >>> readers_units(stored)[["estimate", "conf_low", "unit"]].values.tolist()
    [[-60.0, -96.0, 'per 1,000 people a year'], [1.0, 1.0, 'ratio']]
    """
    out = table.copy()
    ratio = (out["scale"] == "log ratio").to_numpy()
    unit = out["unit"].astype(str)
    factor = unit.map(lambda u: READERS_UNITS.get(u, (u, 1.0))[1]).to_numpy(float)
    columns = ["estimate", "conf_low", "conf_high", "band_low", "band_high"]
    if "m" in out:
        columns += ["m", "breakdown"]
    for column in out.columns.intersection(columns, sort=False):
        value = numeric(out[column])
        logs = ratio & np.isfinite(value)
        with np.errstate(over="ignore"):
            out[column] = np.where(logs, np.exp(np.where(logs, value, 0)), factor * value)
    out["unit"] = np.where(ratio, "ratio", unit.map(lambda u: READERS_UNITS.get(u, (u, 1.0))[0]))
    return out


def who(released: Released) -> str:
    """Tell what is counted: people, households, or the units of a ready-made panel such as trusts."""
    if OWN.those:
        return OWN.those
    units = {str(released.method["per"])} if released.method.get("per") else set()
    if not units and {"scale", "unit"} <= set(released.table.columns):
        units = set(released.table.loc[released.table["scale"] == "difference", "unit"])
    if units <= OF_PEOPLE:
        return "people"
    named = {found[1] for unit in units if (found := re.match(r"per (\w+) and ", unit))}
    return several(label(*named).lower()) if len(named) == 1 else "units"


def rate_unit(method: Mapping[str, Any]) -> tuple[str, float]:
    """Return the readers' unit of a rate and the factor from what is stored per 1,000 units of exposure."""
    stored = str(method.get("per", "per 1,000 person-months"))
    return READERS_UNITS.get(stored, (stored, 1 / 1000))


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Adjust the p-values of secondary outcomes by Holm's method; the first, primary one stays as it is.

    References
    ----------
    Holm (1979), Scandinavian Journal of Statistics 6, 65-70.

    Examples
    --------
    >>> adjusted([0.04, 0.01, 0.03])
    [0.04, 0.02, 0.03]
    """
    first, rest = list(p_values[:1]), np.asarray(p_values[1:], float)
    known = np.isfinite(rest)
    rest[known] = holm(rest[known])
    return [*first, *(float(p) for p in rest)]


def interval_text(low: Any, high: Any, digits: int, *, sign: bool = False, exact: bool = False) -> str:
    """Write an interval: '−101 to −14'; a missing one is missing, and one of all numbers has no limit."""
    if pd.isna(low) or pd.isna(high):
        return MISSING
    if np.isinf(low) and np.isinf(high):
        return number(high)
    one, two = (estimate_text(value, digits, sign=sign, exact=exact) for value in (low, high))
    return f"{one} to {two}"


def estimate_text(value: Any, digits: int, *, sign: bool = False, exact: bool = False) -> str:
    """Write an estimate; one above 10,000 has three figures in pictures and words, since tables are exact.

    The end of a range may be infinite, where no value is rejected.

    Examples
    --------
    >>> estimate_text(234282, 0, sign=True), estimate_text(-9876, 0)
    ('+234,000', '−9,876')
    """
    value = float(value)
    rounded = float(f"{value:.3g}") if abs(value) > 10_000 and not exact else value
    return number(rounded, digits, sign=sign)


def placebo_units(released: Released) -> pd.DataFrame:
    """Return the bins of a placebo histogram, and the study's own estimate, in readers' units."""
    unit = str(released.method.get("unit", ""))
    bins = released.table[["low", "high"]].astype(float)
    frame = pd.DataFrame(
        {
            "scale": "log ratio" if unit == "log ratio" else "difference",
            "unit": unit,
            "conf_low": bins["low"],
            "conf_high": bins["high"],
            "estimate": float(released.method["estimate"]),
        }
    )
    return readers_units(frame).rename(columns={"conf_low": "low", "conf_high": "high"})


def by_arm(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Split a table by arm, the supported first."""
    groups = [(str(arm), rows) for arm, rows in frame.groupby("arm", sort=False)]
    return sorted(groups, key=lambda group: not is_supported(group[0]))


def is_supported(arm: str) -> bool:
    """Tell the arm with support from the comparison."""
    return arm in ("supported", "treated")


def effect_names(table: pd.DataFrame) -> list[str]:
    """Name each row of a table of effects by what tells it apart: its outcome, its term, or both."""
    outcomes, several = table["outcome"].map(label), table["outcome"].nunique() > 1
    if "term" not in table or not table["outcome"].duplicated().any():
        return outcomes.tolist()
    terms = table["term"].map(label)
    return [f"{o}: {t}" if several else t for o, t in zip(outcomes, terms, strict=True)]


# What the policy did everywhere stands at the foot of the page, in ``Policy.sentence``.
_AT_THE_FOOT = re.compile(r"Counts (are rounded|of .* are withheld)|(Estimates|Rates) with .* are withheld")


def notes(released: Released) -> list[str]:
    """Return what the gate and the method say of a result, once where several services share a sentence."""
    said: dict[str, list[str]] = {}
    for note in (note for note in released.notes if not _AT_THE_FOOT.match(str(note))):
        outcome, colon, rest = str(note).partition(": ")
        if not colon or not outcome.isidentifier():
            outcome, rest = "", plain(str(note))
        said.setdefault(rest, []).append(label(outcome) if outcome else "")
    of_all = released.table["outcome"].nunique() if "outcome" in released.table else 0
    return [
        capital(sentence)
        if names == [""] or len(names) == of_all
        else f"{listed([names[0], *map(inside, names[1:])])}: {sentence}"
        for sentence, names in said.items()
    ]


def inside(name: str) -> str:
    """Put a label inside a sentence: 'emergency admissions', but 'A&E attendances' and 'GP contacts'."""
    return (
        name
        if len(name) > 1 and (name[1].isupper() or not name[1].isalpha())
        else name[:1].lower() + name[1:]
    )


def listed(names: Sequence[str]) -> str:
    """Join names: 'a, b and c'."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def plain(text: str) -> str:
    """Put the names readers know in place of column names in a sentence.

    Examples
    --------
    >>> plain("emergency_admission (primary), ae, outpatient and prior_gp")
    'emergency admissions (primary), A&E attendances, outpatient appointments and GP ... in the year before'
    """
    codes = r"`([^`]+)`|\b(?:[a-z0-9]+_\w+|ae|gp|outpatient(?! app))\b"
    return re.sub(codes, lambda m: inside(label(m[1] or m[0])), text)


def called(text: str) -> str:
    """Put the names readers know in place of those between backticks.

    Examples
    --------
    >>> called("gp services: `ae` and `gp`")
    'gp services: A&E attendances and GP contacts'
    """
    return re.sub(r"`([^`]+)`", lambda m: inside(label(m[1])), text)


def capital(text: object) -> str:
    """Begin a sentence or cell with a capital, and leave the rest as it is."""
    return str(text)[:1].upper() + str(text)[1:]


def numeric(values: Iterable[Any]) -> NDArray[np.float64]:
    """Read values as numbers; whatever is none is missing."""
    return pd.to_numeric(pd.Series(list(values), dtype=object), errors="coerce").to_numpy(float)
