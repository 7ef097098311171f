"""Small released results with chosen numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from impact.disclosure import Released, release
from impact.results import Effects, Summary

PER = "per 1,000 person-months"
Rows = list[dict[str, Any]]


def effects_of(rows: Rows, *, method: Mapping[str, Any] | None = None, **counts: int) -> Effects:
    """Effects with the estimates and standard errors in ``rows``, and the same counts behind all."""
    table = pd.DataFrame(rows)
    behind = {"persons": 900, "treated": 346, "clusters": 120, "events": 210} | counts
    return Effects(
        table.drop(columns=["estimate", "error"]),
        table["estimate"].to_numpy(float),
        np.diag(table["error"].to_numpy(float)),
        np.arange(len(table)),
        119,
        {"estimator": "two_by_two", "control": "never_treated"} | dict(method or {}),
        pd.DataFrame([behind] * len(table)),
    )


@pytest.fixture(scope="session")
def effects() -> Callable[..., Released]:
    """Release one effect an outcome: difference a year, its error, log ratio, its error."""

    def make(
        outcomes: Mapping[str, tuple[float, float, float, float]],
        *,
        policy: str = "hes",
        unit: str = PER,
        method: Mapping[str, Any] | None = None,
        **counts: int,
    ) -> Released:
        rows: Rows = []
        for outcome, (difference, error, ratio, ratio_error) in outcomes.items():
            row = {"outcome": outcome, "term": "att"}
            rows.append(
                row | {"scale": "difference", "unit": unit, "estimate": difference / 12, "error": error / 12}
            )
            rows.append(
                row | {"scale": "log ratio", "unit": "log ratio", "estimate": ratio, "error": ratio_error}
            )
        return release({"effects": effects_of(rows, method=method, **counts)}, policy)["effects"]

    return make


@pytest.fixture(scope="session")
def event_study() -> Released:
    """Six months before support and six with it; month -3 is the base, two months of build-up follow it."""
    rows = [
        {"outcome": "ae", "term": "att", "scale": "difference", "unit": PER, "event_time": t}
        | {"estimate": 0 if t == -3 else 4 if t in (-2, -1) else -6 if t >= 0 else 0.5}
        | {"error": 0 if t == -3 else 1.5}
        for t in range(-6, 6)
    ]
    made = effects_of(rows, method={"anticipation": 2, "period": "month"})
    return release({"event_study": made}, "hes")["event_study"]


EXPECTED = {"formula": (-30.0, -36.0, -24.0), "alike": (-28.0, -41.0, -12.0)}


@pytest.fixture(scope="session")
def naive() -> Callable[..., Released]:
    """Release rates a year before and after in both arms, stored as ``interpret.regression_to_mean`` does."""

    def make(
        supported: tuple[float, float],
        control: tuple[float, float],
        *,
        events: int = 70,
        expected: Mapping[str, tuple[float, float, float]] = EXPECTED,
        **method: Any,
    ) -> Released:
        row: dict[str, Any] = {"outcome": "emergency_admission"}
        made = [f"{a}_{w}" for a in ("supported", "control") for w in ("before", "after", "change_percent")]
        for way in ("formula", "alike"):
            ends = [f"{way}_{end}" for end in ("percent", "low", "high")]
            row |= dict(zip(ends, expected.get(way, (np.nan,) * 3), strict=True))
            made += ends
        for arm, (before, after) in (("supported", supported), ("control", control)):
            row |= {f"{arm}_persons": 346, f"{arm}_before": before / 12, f"{arm}_after": after / 12}
            row |= {f"{arm}_before_events": events, f"{arm}_after_events": events}
            row[f"{arm}_change_percent"] = round(100 * (after / before - 1), 1)
        arms = ("supported", "control")
        counted = [f"{a}_{w}" for a in arms for w in ("persons", "before_events", "after_events")]
        summary = Summary(
            pd.DataFrame([row]),
            {"shows": "before and after", "per": PER} | method,
            people=[c for c in counted if c.endswith("persons")],
            events=[c for c in counted if c.endswith("events")],
            derived=dict.fromkeys(made, counted),
        )
        return release({"naive": summary}, "hes")["naive"]

    return make


@pytest.fixture(scope="session")
def people() -> Released:
    """Counts by tenure, one of them too small and one label with HTML in it."""
    table = pd.DataFrame(
        {"tenure": ["<script>alert(1)</script>", "rent & buy", "other"], "persons": [1234, 52, 3]}
    )
    summary = Summary(table, {"shows": "people by tenure"}, people=["persons"])
    return release({"people": summary}, "hes")["people"]
