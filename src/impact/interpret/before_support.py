"""What a plan assumes, measured in the people of a study before anyone's support began, and never after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data import Panel
from impact.errors import DesignError
from impact.numbers.rounding import significant
from impact.results import Summary

Array = NDArray[np.float64]


def before_support(panel: Panel, *, outcome: str) -> Summary:
    """Measure use of a service, and how it differs between people, before the first start of support.

    Everything from the period of the first start on is left out before anything is counted, of people with
    and without support alike: it would tell of the effect.

    Parameters
    ----------
    panel : Panel
        In calendar time, its clusters the buildings where there are any.
    outcome : str

    Returns
    -------
    Summary
        One row: ``persons, supported, events, rate_per_1000_person_months``; ``dispersion`` (``a`` in the
        variance ``m + a m^2`` of a person's count, by moments); ``stability`` (correlation of need between
        the halves of the time) and ``periods_apart`` of their middles; ``leaving``, the share of controls
        lost in a period. Where people share buildings: ``group_size, size_cv`` of these, ``shared`` (the
        part of ``a`` that a building's people share) and ``shared_stability``. ``method`` says how many
        ``periods`` that was, and over how many support ``starts_over``.

    Raises
    ------
    DesignError
        If support begins in the first two periods, or nothing happens before it.

    Examples
    --------
    >>> frame = pd.DataFrame({"id": np.repeat(np.arange(8), 3), "month": [1, 2, 3] * 8,
    ...                       "falls": [0, 1, 9] * 4 + [4, 2, 9] * 4, "start": np.repeat([3, np.nan], 12)})
    >>> panel = Panel.from_long(frame, unit="id", period="month", outcomes=["falls"], first_treated="start")
    >>> before_support(panel, outcome="falls").table[["events", "stability"]].values.tolist()
    [[28.0, 1.0]]
    """
    name = panel.check_outcomes(outcome)[0]
    begins = panel.start if panel.begins is None else panel.begins
    inside = panel.treated & (begins < len(panel.periods))
    first = int(begins[inside].min(initial=len(panel.periods)))
    if first < 2:
        raise DesignError(
            "Support begins within the first two periods of the data, so that nothing can be measured before "
            "it; give --rate and --dispersion instead of a parameter file."
        )
    seen = panel.exposure[name][:, :first].sum(1) > 0
    early = replace(
        panel.subset(seen),
        outcomes={name: panel.outcomes[name][seen, :first]},
        exposure={name: panel.exposure[name][seen, :first]},
    )
    y, time = early.outcomes[name], early.exposure[name]
    if not y.any():
        raise DesignError(
            f"outcome={name!r} never happens before support, so nothing can be planned from it."
        )
    row = {
        "outcome": name,
        "persons": early.n,
        "supported": int(early.treated.sum()),
        "events": int(y.sum()),
        "rate_per_1000_person_months": 1000 * y.sum() / time.sum(),
        **_needs(early, y, time),
        "leaving": _leaving(time[~early.treated]),
    }
    largest, second = -np.partition(-y.sum(1), 1)[:2]
    computed = [key for key in row if key not in ("outcome", "persons", "supported", "events")]
    return Summary(
        pd.DataFrame([{**row, "largest": int(largest), "second": int(second)}]),
        {
            "shows": "use of services before support",
            "outcome": [name],
            "periods": first,
            "starts_over": int(begins[inside].max()) - first + 1,
        },
        people=("persons", "supported"),
        events=("events",),
        derived=dict.fromkeys(computed, ("persons", "events")),
        rates={"rate_per_1000_person_months": ("events", "persons")},
        largest={"events": ("largest", "second")},
    )


def assumptions(found: Mapping[Any, Any], *, months: float, before: float = 0) -> dict[str, Any]:
    """Turn what was measured into the arguments of a ``Plan``, with two digits.

    Need that lasts less over a longer time is taken to fade at a constant rate: a correlation over the time
    between the halves, to the power of how many times as far apart the planned times before and after are.

    Parameters
    ----------
    found : mapping
        The row of ``before_support``, as it may be shown: the plan then tells no more than it does.
    months, before : float
        Planned months with support and before it; 0 if only the time after is compared.

    Examples
    --------
    >>> found = {"persons": 300, "supported": 100, "rate_per_1000_person_months": 30.4, "dispersion": 1.234,
    ...          "stability": 0.9, "periods_apart": 6, "leaving": 0.01}
    >>> assumptions(found, months=12, before=12)
    {'rate': 0.36, 'dispersion': 1.2, 'people': 100, 'ratio': 2.0, 'attrition': 0.11, 'stability': 0.81}
    """
    lasts = max((months + before) / 2 / found["periods_apart"], 1.0)
    rate = _two(12 / 1000 * found["rate_per_1000_person_months"])
    given = {
        "rate": rate,
        "dispersion": _two(found["dispersion"]),
        "people": int(found["supported"]),
        "ratio": float(found["persons"] / found["supported"] - 1),
        "attrition": _two(1 - (1 - found["leaving"]) ** months),
    }
    if before:
        given["stability"] = _two(found["stability"] ** lasts)
    if before and pd.notna(found.get("group_size", np.nan)):
        # Rounded down, so that buildings never differ more than people do.
        icc = found["shared"] / (12 / (rate * months) + given["dispersion"])
        given |= {
            "buildings": round(found["persons"] / found["group_size"]),
            "icc": np.floor(1000 * icc) / 1000,
            "size_cv": _two(found["size_cv"]),
            "building_stability": _two(found["shared_stability"] ** lasts),
        }
    return given


def _two(value: float) -> float:
    return float(significant(value, 2))


class _Left(NamedTuple):
    """Of some time, each person's events less those expected, and those expected, (n,)."""

    over: Array
    expected: Array


def _needs(panel: Panel, y: Array, time: Array) -> dict[str, Any]:
    """How people's and buildings' needs differ and last: squares and products of what they leave over."""
    half = y.shape[1] // 2
    whole, one, two = (_left(y[:, at], time[:, at]) for at in (slice(None), slice(half), slice(half, None)))
    spread = _own(whole)
    both = float(one.over @ two.over / (one.expected @ two.expected))
    found: dict[str, Any] = {
        "dispersion": max(spread, 0.0),
        "stability": _share(both, np.sqrt(max(_own(one), 0) * max(_own(two), 0))),
        "periods_apart": y.shape[1] / 2,
    }
    codes, sizes = np.unique(panel.cluster, return_inverse=True, return_counts=True)[1:]
    if len(sizes) < panel.n:
        shared = _pairs(whole, whole, codes)
        found |= {
            "group_size": float(sizes.mean()),
            "size_cv": float(sizes.std() / sizes.mean()),
            "shared": float(np.clip(shared, 0.0, max(spread, 0.0))),
            "shared_stability": _share(_pairs(one, two, codes), shared),
        }
    return found


def _left(y: Array, time: Array) -> _Left:
    expected = y.sum() / time.sum() * time.sum(1)
    return _Left(y.sum(1) - expected, expected)


def _own(left: _Left) -> float:
    """The excess of the variance over Poisson's, over the mean squared."""
    return float((left.over**2 - left.expected).sum() / (left.expected**2).sum())


def _pairs(one: _Left, two: _Left, codes: NDArray[np.intp]) -> float:
    """Covariance of the needs of two people of one building, over the mean squared."""

    def between(a: Array, b: Array) -> float:
        return float(np.bincount(codes, a) @ np.bincount(codes, b) - a @ b)

    expected = between(one.expected, two.expected)
    return between(one.over, two.over) / expected if expected > 0 else 0.0


def _share(part: float, whole: float) -> float:
    """A correlation between 0 and 1; where nothing varies nothing can change either."""
    return float(np.clip(part / whole, 0.0, 1.0)) if whole > 0 else 1.0


def _leaving(time: Array) -> float:
    """The share of those at risk in the first period who leave in each later one, at a constant rate."""
    at_first = time[:, 0] > 0
    stay = (time[at_first, -1] > 0).mean() if at_first.any() else 1.0
    return float(1 - stay ** (1 / (time.shape[1] - 1)))
