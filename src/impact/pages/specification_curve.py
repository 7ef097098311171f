"""Runs on the same people that differ in the choices made: as a figure, as a table and in words."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from impact.disclosure import Released
from impact.errors import DisclosureError
from impact.interpret.specifications import FEW_RUNS
from impact.interpret.studies import listed as named
from impact.pages import SEAL
from impact.pages.bounds import range_text
from impact.pages.formats import (
    MISSING,
    estimate_text,
    inside,
    label,
    listed,
    notes,
    numeric,
    places,
    readers_units,
    require_released,
)
from impact.pages.layout import Column, Table, table_of
from impact.pages.plots import forest_rows
from impact.pages.ranked import MANY, draw_ranked, is_clear
from impact.pages.statement import Statement
from impact.pages.style import INK, LINE, PALE, TEAL, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Scale = Literal["ratio", "difference"]
MAIN = "main run"
CAPTION = (
    "Above: each point is one run with its 95% range, the lowest estimate first. Filled: the range lies on "
    "one side of no effect. Diamond, with the band: the main run. Below: a square says what the run above it "
    "chose. All runs are of the same people, so they do not add up to more evidence."
)
# Runs fewer than this show little of how far an answer hangs on choices.
_FEW = 6


def specification_curve(released: Released, *, scale: Scale | None = None) -> Axes:
    """Draw what each run found, sorted, and beneath it which choices it made.

    Parameters
    ----------
    released : Released
        Of ``interpret.specification_curve``, with one outcome.
    scale : 'ratio' or 'difference', optional
        Ratios of rates, or differences per 1,000 people a year; without it as for ``plots.forest``.

    Raises
    ------
    DisclosureError
        For anything else, and where no estimate is shown.
    """
    part = _drawn(released, scale)
    ratio, choices = _is_ratio(part), _varied(released, part)
    lines = sum(1 + len(values) for values in choices.values())
    x, main = np.arange(len(part)), (part["run"] == MAIN).to_numpy()
    with figure(released, "specification_curve", [3.2, 0.5 + 0.27 * lines], _scale(part)) as axes:
        above, below = axes
        draw_ranked(above, part, ratio=ratio, main=main)
        _draw_choices(below, part, choices)
        for ax in axes:
            for at in x[main]:
                ax.axvspan(at - 0.5, at + 0.5, color=PALE, alpha=0.45, linewidth=0, zorder=0)
        below.set_xlim(-0.7, len(part) - 0.3)
    return axes[0]


def _draw_choices(ax: Axes, part: pd.DataFrame, choices: dict[str, list[str]]) -> None:
    """One line a choice under the name of what is chosen; a square where the run above made it."""
    names, y, size = list[str](), 0.0, 3 if len(part) > MANY else 6
    ticks = []
    for key, values in choices.items():
        ax.text(0, y + 0.06, label(key), transform=ax.get_yaxis_transform(), weight="bold", va="center")
        for value in values:
            y -= 1
            made = np.flatnonzero((part[key] == value).to_numpy())
            ax.axhline(y, color=LINE, linewidth=0.6, zorder=0)
            main = (part["run"].iloc[made] == MAIN).to_numpy()
            ax.plot(made[~main], np.full((~main).sum(), y), "s", color=TEAL, markersize=size)
            ax.plot(made[main], np.full(main.sum(), y), "s", color=INK, markersize=size + 1)
            names.append(textwrap.shorten(value, 24, placeholder="…"))
            ticks.append(y)
        y -= 1
    ax.set_yticks(ticks, names)
    ax.set_ylim(y + 0.4, 0.6)
    ax.grid(visible=False)
    ax.tick_params(axis="both", length=0, labelbottom=False)
    for side in ax.spines.values():
        side.set_visible(False)
    ax.set_xlabel("Runs, from the lowest estimate to the highest")


def alt(released: Released, scale: str | None = None) -> str:
    """Describe the figure for somebody who cannot see it: how many runs, where they lie, the main one."""
    part = _drawn(released, scale)
    keys = listed([inside(label(key)) for key in _varied(released, part)])
    return f"{len(part)} runs of one study, which differ in {keys}. {' '.join(_sentences(released, part))}"


def table(released: Released) -> Table:
    """Lay out the runs, the lowest estimate first, with what each chose and what it found."""
    parts = [_drawn(released, None, outcome) for outcome in released.table["outcome"].unique()]
    keys = list(dict.fromkeys(key for part in parts for key in _varied(released, part)))
    shown = pd.concat(parts, ignore_index=True)
    columns = [Column("Run", shown["run"].map(label).tolist(), True)]
    if len(parts) > 1:
        columns.append(Column("Service", shown["outcome"].map(label).tolist(), True))
    columns += [Column(label(key), shown[key].tolist(), True) for key in keys]
    units = list(dict.fromkeys(map(_unit, parts)))
    cells = [
        cell if len(units) == 1 else f"{cell} {_unit(part)}"
        for part in parts
        for cell in (f"{one} ({reach})" for one, reach in _said(part))
    ]
    columns.append(Column(f"{units[0]} (95% range)" if len(units) == 1 else "Effect (95% range)", cells))
    return table_of(released, "What each run found, and what it chose", columns, notes(released))


def moved(released: Released) -> Statement:
    """Say where the runs lie, how many ranges leave out no effect, and what moved the answer and how far.

    Parameters
    ----------
    released : Released
        Of ``interpret.specification_curve``.
    """
    outcomes = require_released(released).table["outcome"].unique()
    said = [
        f"{label(outcome)}: {' '.join(_sentences(released, _drawn(released, None, outcome)))}"
        for outcome in outcomes
    ]
    return Statement("sentence", (("list", tuple(said)),), (released,), SEAL)


def _sentences(released: Released, part: pd.DataFrame) -> list[str]:
    """Where the runs lie, which leave out no effect, what the main one found, and what moved it."""
    ratio, said = _is_ratio(part), _said(part)
    estimates = numeric(part["estimate"])
    clear, fewer = is_clear(part, ratio=_is_ratio(part)), estimates < (1 if ratio else 0)
    low, middle, high = (
        estimate_text(v, _digits(part), sign=not ratio) for v in np.quantile(estimates, [0, 0.5, 1])
    )
    out = [
        f"{_unit(part)}: the {len(part)} estimates lie from {low} to {high}, the middle at {middle}.",
        f"{_share(int(clear.sum()), len(part))} a 95% range on one side of no effect"
        + (
            f": {int((clear & fewer).sum())} towards fewer, {int((clear & ~fewer).sum())} towards more."
            if clear.any()
            else "."
        ),
    ]
    if not fewer.all() and fewer.any():
        below, rest = int(fewer.sum()), int((~fewer).sum())
        out.append(
            f"{below} of the estimates {'lies' if below == 1 else 'lie'} below no effect and {rest} "
            f"{'does' if rest == 1 else 'do'} not."
        )
    main = np.flatnonzero(part["run"] == MAIN)
    if part["outcome"].iloc[0] in released.method["not_by_main"]:
        out.append("The main run does not count this service.")
    elif not len(main):
        out.append("The main run has no estimate to show, and no other takes its place.")
    else:
        one, reach = said[int(main[0])]
        out.append(f"The main run found {one} (95% range {reach}).")
        out += _one_by_one(released, part, int(main[0]))
    if len(part) < _FEW:
        out.append("So few runs say little of how far the answer hangs on choices.")
    return out


def _one_by_one(released: Released, part: pd.DataFrame, main: int) -> list[str]:
    """What changing one choice of the main run, and nothing else, moves its estimate to."""
    choices, ratio = _varied(released, part), _is_ratio(part)
    keys, values = list(choices), part[list(choices)].to_numpy(object)
    same = values == values[main]
    scaled = np.log(numeric(part["estimate"])) if ratio else numeric(part["estimate"])
    moves = [
        (abs(scaled[i] - scaled[main]), keys[int(np.flatnonzero(~same[i])[0])], i)
        for i in np.flatnonzero((~same).sum(axis=1) == 1)
    ]
    if not moves:
        return ["No run differs from it in one choice alone, so what moved the answer cannot be told."]
    _, key, i = max(moves, key=lambda move: move[0])
    to, reach = _said(part)[int(i)]
    at = values[i][keys.index(key)]
    clear = is_clear(part, ratio=_is_ratio(part))
    said = f"Of the single changes to it, one moved it most: {inside(label(key))} {at}, to {to} ({reach})."
    if clear[i] and clear[main] and _opposed(part, int(i), main):
        return [said, "That turns the answer round."]
    if clear[i] != clear[main]:
        return [
            said,
            f"That range {'leaves out' if clear[i] else 'takes in'} no effect, unlike the main run's.",
        ]
    return [said]


def _opposed(part: pd.DataFrame, i: int, j: int) -> bool:
    null, estimates = 1.0 if _is_ratio(part) else 0.0, numeric(part["estimate"])
    return bool((estimates[i] < null) != (estimates[j] < null))


def _share(some: int, of: int) -> str:
    word = "None" if some == 0 else "All" if some == of else str(some)
    return f"{word} of the {of} {'has' if some < 2 else 'have'}"


def few_runs(released: Released) -> Table:
    """Lay out the runs of several studies, a row a study and a column for what each run chose."""
    part = _of_studies(released)
    cells = {
        (row["study"], chose): f"{one} ({reach})"
        for row, chose, (one, reach) in zip(
            part.to_dict("records"), _chose(released, part), _said(part), strict=True
        )
    }
    names = list(dict.fromkeys(part["study"]))
    columns = [Column("Study", names, True)] + [
        Column(chose, [cells.get((name, chose), MISSING) for name in names])
        for chose in dict.fromkeys(chose for _, chose in cells)
    ]
    caption = f"{label(part['outcome'].iloc[0])}, by what was chosen: {inside(_unit(part))} (95% range)"
    return table_of(released, caption, columns, notes(released))


def changed(released: Released) -> Statement:
    """Say in which studies, of each of which there are few runs, another choice changes the answer.

    Parameters
    ----------
    released : Released
        Of ``interpret.specifications.few_runs``, with one outcome.
    """
    part = _of_studies(released)
    clear = is_clear(part, ratio=_is_ratio(part))
    other, turned, with_main = list[str](), list[str](), list[str]()
    for name, rows in part.groupby("study", sort=False).indices.items():
        main = next((int(i) for i in rows if part["run"].iloc[i] == MAIN), None)
        if main is None:
            continue
        with_main.append(str(name))
        other += [str(name)] if (clear[rows] != clear[main]).any() else []
        turned += (
            [str(name)] if any(clear[i] and clear[main] and _opposed(part, i, main) for i in rows) else []
        )
    what, k = label(part["outcome"].iloc[0]), len(with_main)
    if part["outcome"].iloc[0] in released.method["not_by_main"]:
        said = [f"{what}: the main run does not count this service."]
    elif not k:
        said = [f"{what}: no main run has an estimate to show, and no other takes its place."]
    else:
        does = "another choice changes" if other else "does another choice change"
        where = f"in {len(other) or 'none'} of the {k} studies {does}"
        if k == 1:
            where = f"in {with_main[0]} another choice {'changes' if other else 'does not change'}"
        which = f" ({named(other)})" if other and k > 1 else ""
        said = [f"{what}: {where} whether the range lies on one side of no effect{which}."]
        said += [f"In {named(turned)} it turns the answer round."] if turned else []
    return Statement("sentence", (("list", (" ".join(said),)),), (released,), SEAL)


def _of_studies(released: Released) -> pd.DataFrame:
    """The estimates of the runs of several studies, the main one of each first."""
    if require_released(released).method.get("shows") != FEW_RUNS:
        raise DisclosureError(f"{released.name!r}: release one of interpret.specifications.few_runs.")
    shown = readers_units(released.table[released.table["estimate"].notna()])
    if shown.empty:
        raise DisclosureError(f"{released.name!r}: none of its estimates may be shown.")
    part = forest_rows(shown.assign(term=shown["study"] + shown["run"]), None)
    at = {name: i for i, name in enumerate(dict.fromkeys(part["study"]))}
    order = part.assign(at=part["study"].map(at), other=part["run"] != MAIN).sort_values(
        ["at", "other"], kind="stable"
    )
    return order.drop(columns=["at", "other"]).reset_index(drop=True)


def _chose(released: Released, part: pd.DataFrame) -> list[str]:
    """What each run chose, of all that differs between the runs of a study."""
    keys = [k for k in released.method["choices"] if part.groupby("study")[k].nunique().max() > 1]
    return [
        "; ".join(f"{label(key)} {row[key]}" for key in keys) + (f" ({MAIN})" if row["run"] == MAIN else "")
        for row in part.to_dict("records")
    ]


def _drawn(released: Released, scale: str | None, outcome: object = None) -> pd.DataFrame:
    """The estimates of one outcome on one scale in readers' units, the lowest first."""
    if require_released(released).kind != "bounds" or "choices" not in released.method:
        raise DisclosureError(
            f"{released.name!r} is no specification curve; release one of interpret.specification_curve."
        )
    shown = released.table if outcome is None else released.table[released.table["outcome"] == outcome]
    if shown["outcome"].nunique() > 1:
        raise DisclosureError(
            f"{released.name!r} is of several outcomes; select and release one for a figure."
        )
    shown = readers_units(shown[shown["estimate"].notna()])
    if shown.empty:
        raise DisclosureError(f"{released.name!r}: none of its estimates may be shown.")
    # The run tells one effect from another as the term does elsewhere.
    part = forest_rows(shown.assign(term=shown["run"]), scale)
    return part.sort_values(["estimate", "run"], kind="stable").reset_index(drop=True)


def _varied(released: Released, part: pd.DataFrame) -> dict[str, list[str]]:
    """What was varied among these runs, each with its values, those of the main run first."""
    main = part[part["run"] == MAIN]
    keys = [key for key in released.method["choices"] if part[key].nunique() > 1]
    return {key: list(dict.fromkeys([*main[key], *sorted(part[key].unique(), key=_natural)])) for key in keys}


def _natural(text: str) -> tuple[float, str]:
    found = pd.to_numeric(text, errors="coerce")
    return (float(found) if pd.notna(found) else np.inf, text)


def _is_ratio(part: pd.DataFrame) -> bool:
    return bool((part["scale"] == "log ratio").all())


def _scale(part: pd.DataFrame) -> Scale:
    return "ratio" if _is_ratio(part) else "difference"


def _unit(part: pd.DataFrame) -> str:
    return "Ratio of rates" if _is_ratio(part) else f"Difference {part['unit'].iloc[0]}"


def _digits(part: pd.DataFrame) -> int:
    return 2 if _is_ratio(part) else places(part["estimate"])


def _said(part: pd.DataFrame) -> list[tuple[str, str]]:
    ratio, digits = _is_ratio(part), _digits(part)
    return [
        (
            estimate_text(row["estimate"], digits, sign=not ratio),
            range_text(row["conf_low"], row["conf_high"], digits, ratio=ratio),
        )
        for row in part.to_dict("records")
    ]
