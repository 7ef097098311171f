"""From several comparisons to one triple difference, with its slopes by everything estimated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from impact.errors import DesignError
from impact.results import Effects

Array = NDArray[np.float64]
Cells = dict[tuple[Any, Any], int]


# Below this share of the rate an effect is none, as far as rounding can tell.
_NONE = 1e-9


class Part(NamedTuple):
    """One analysis, and with which sign its effects enter."""

    sign: float
    effects: Effects


class Derived(NamedTuple):
    """An effect on the model's scale and the eligible's rate, each with its slopes by every part."""

    effect: float
    by_effect: Mapping[str, Array]
    rate: float
    by_rate: Mapping[str, Array]
    person_time: float


def _at(effects: Effects, name: str, scale: str) -> Cells:
    """Where the rows of one outcome and scale are, by group and period, from the start of support."""
    labels = effects.labels
    keep = (labels["outcome"] == name) & (labels["scale"] == scale) & (labels["event_time"] >= 0)
    rows = labels[keep.fillna(False).to_numpy(bool)]
    return dict(zip(zip(rows["group"], rows["period"], strict=True), rows.index, strict=True))


def from_cells(name: str, parts: Mapping[str, Part], scale: float, _: str) -> Derived:
    """Difference, cell by cell of start and period, weighted by the eligible's person-time."""
    slopes = {k: (np.zeros(len(p.effects)), np.zeros(len(p.effects))) for k, p in parts.items()}
    first = parts["eligible"].effects
    time, events = _at(first, name, "person-months"), _at(first, name, "events")
    spent = {cell: float(first.estimate[at]) for cell, at in time.items()}
    total, gaps = sum(spent.values()), dict.fromkeys(time, 0.0)
    for k, part in parts.items():
        cells = _at(part.effects, name, "difference") if part.sign else {}
        mine = {g for g, _ in cells}
        lost = [c for c in time if c not in cells and (len(parts) == 2 or c[0] in mine)] if part.sign else []
        if lost:
            raise DesignError(
                f"outcome={name!r}: the {k} cannot be compared in every period of some starts "
                f"({len({g for g, _ in lost})}) of the eligible; use longer periods."
            )
        for cell, at in cells.items():
            if cell in spent:
                gaps[cell] += part.sign * float(part.effects.estimate[at])
                slopes[k][0][at] = part.sign * spent[cell] / total
    effect = sum(gaps[cell] * spent[cell] for cell in time) / total
    rate = scale * float(first.estimate[list(events.values())].sum()) / total
    for cell, at in time.items():
        slopes["eligible"][0][at] = (gaps[cell] - effect) / total
        slopes["eligible"][1][at] = -rate / total
    slopes["eligible"][1][list(events.values())] = scale / total
    by_effect, by_rate = ({k: pair[j] for k, pair in slopes.items()} for j in (0, 1))
    return Derived(effect, by_effect, rate, by_rate, total / scale)


def from_groups(name: str, parts: Mapping[str, Part], scale: float, _: str) -> Derived:
    """Ratio of ratios, start by start: the eligible's expected events times the ineligible's ratio.

    Periods of a start are pooled, because ratios of a few events are far off on average.
    """
    first, other = parts["eligible"].effects, parts["ineligible"].effects
    slopes = {k: (np.zeros(len(p.effects)), np.zeros(len(p.effects))) for k, p in parts.items()}
    time, events = (list(_at(first, name, which).values()) for which in ("person-months", "events"))
    total, observed = float(first.estimate[time].sum()), float(first.estimate[events].sum())
    expected, without = _by_group(first, name, "expected"), 0.0
    events_other, expected_other = (_by_group(other, name, which) for which in ("events", "expected"))
    for group, at in expected.items():
        mine = float(first.estimate[at].sum())
        seen = events_other.get(group, []), expected_other.get(group, [])
        top, bottom = (float(other.estimate[rows].sum()) for rows in seen)
        if bottom <= 0:
            raise DesignError(
                f"outcome={name!r}: for some start no events are expected among the ineligible, so there is "
                "no ratio; use longer periods or family='linear'."
            )
        without += mine * top / bottom
        slopes["eligible"][0][at] = top / bottom
        slopes["ineligible"][0][seen[0]] = mine / bottom
        slopes["ineligible"][0][seen[1]] = -mine * top / bottom**2
    if without <= 0 or observed <= 0:
        raise DesignError(
            f"outcome={name!r}: too few events among those supported for a ratio of ratios; use longer "
            "periods or family='linear'."
        )
    for k in parts:
        slopes[k][0][:] /= -without
    rate = scale * observed / total
    slopes["eligible"][0][events] = 1 / observed
    slopes["eligible"][1][events] = scale / total
    slopes["eligible"][1][time] = -rate / total
    by_effect, by_rate = ({k: pair[j] for k, pair in slopes.items()} for j in (0, 1))
    return Derived(float(np.log(observed / without)), by_effect, rate, by_rate, total / scale)


def _by_group(effects: Effects, name: str, scale: str) -> dict[Any, list[int]]:
    out: dict[Any, list[int]] = {}
    for (group, _), at in _at(effects, name, scale).items():
        out.setdefault(group, []).append(at)
    return out


def from_scales(name: str, parts: Mapping[str, Part], _: float, family: str) -> Derived:
    """One start: the eligible's effect less the ineligible's, on the scale of the model.

    The eligible's rate follows from their difference d and log ratio l, in both families: it is
    ``d / (1 - exp(-l))``. Events avoided are the difference times the person-time, and so are their errors.
    """
    own = "difference" if family == "linear" else "log ratio"
    by_effect = {k: np.zeros(len(part.effects)) for k, part in parts.items()}
    by_rate = {k: np.zeros(len(part.effects)) for k, part in parts.items()}
    effect = 0.0
    for k, part in parts.items():
        at = _row(part.effects, name, own)
        if at is None:
            raise DesignError(f"outcome={name!r}: the {k} have no {own}.")
        effect += part.sign * float(part.effects.estimate[at])
        by_effect[k][at] = part.sign
    first = parts["eligible"].effects
    at_d, at_l, at_a = (_row(first, name, which) for which in ("difference", "log ratio", "events avoided"))
    d, avoided, error = float(first.estimate[at_d]), float(first.estimate[at_a]), first.std_error
    person_time = -avoided / d if d else float(error[at_a] / error[at_d])
    if at_l is None:
        return Derived(effect, by_effect, 0.0, by_rate, person_time)
    log_ratio = float(first.estimate[at_l])
    share = -float(np.expm1(-log_ratio))
    if abs(share) < _NONE:
        # Without any effect both errors are in proportion to the rate, and neither shows its own error.
        return Derived(effect, by_effect, float(error[at_d] / error[at_l]), by_rate, person_time)
    by_rate["eligible"][at_d] = 1 / share
    by_rate["eligible"][at_l] = -d * np.exp(-log_ratio) / share**2
    return Derived(effect, by_effect, d / share, by_rate, person_time)


def _row(effects: Effects, name: str, scale: str) -> int | None:
    found = np.flatnonzero((effects.labels["outcome"] == name) & (effects.labels["scale"] == scale))
    return int(found[0]) if len(found) else None
