"""A survey in which few were lost, few said yes and few were asked: none of these can be worked out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from impact.data import read_cohort
from impact.disclosure import policies, release
from impact.interpret import surveyed

N, LOST, YES, ASKED = 120, 3, 4, 5
OWN = {"rare": {"low": 0, "high": 10}}
PLAN = {"outcomes": ["life_satisfaction", "in_work", "rare"], "before": "0", "after": ["6"], "own": OWN}


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    """Three with support were lost, four without it said yes before, five without it were asked of `rare`."""
    rng = np.random.default_rng(3)
    ids, helped = [f"p{i:04d}" for i in range(2 * N)], np.arange(2 * N) < N
    people = pd.DataFrame({"person_id": ids, "arm": np.where(helped, "help", "usual")})
    people["start_date"] = np.where(helped, "2024-02-10", None)
    parts = []
    for wave, day in (("0", "2024-02-01"), ("6", "2024-08-01")):
        part = pd.DataFrame({"person_id": ids, "wave": wave, "interview_date": day, "recall_days": 90})
        part["life_satisfaction"] = rng.integers(2, 9, 2 * N)
        part["in_work"] = rng.random(2 * N) < 0.5
        if wave == "0":
            part.loc[~helped, "in_work"] = np.arange(N) < YES
        part["rare"] = np.where(helped | (np.arange(2 * N) < N + ASKED), rng.integers(0, 11, 2 * N), np.nan)
        part["mode"] = np.where(np.arange(2 * N) % 40 == 0, "letter", "telephone")
        parts.append(part.iloc[LOST:] if wave == "6" else part)
    contacts = pd.DataFrame({"person_id": ids, "service": "gp", "start": "2024-03-01"})
    tables = {"people": people, "contacts": contacts, "survey": pd.concat(parts)}
    return surveyed(read_cohort(**tables, treated=["help"], control=["usual"]), asked=PLAN)


@pytest.fixture(params=policies())
def released(request: Any, results: dict[str, Any]) -> Any:
    return release(results, request.param)


def shown(one: Any, column: str, **where: str) -> list[Any]:
    """What stands in a column in the rows that are so and so; None where it is withheld."""
    rows = np.logical_and.reduce([(one.table[c] == v).to_numpy() for c, v in where.items()])
    values = one.table.loc[rows, column]
    return [None if pd.isna(v) else v for v in values]


def test_how_many_were_lost_cannot_be_worked_out(released: Any) -> None:
    """They are not shown; how many did so again may be, wherever it stands."""
    mine = {"arm": "supported"}
    stages = {}
    for stage in ("answered again", "did not answer again"):
        stages[stage] = shown(released["answered"], "persons", **mine, stage=stage)
    assert set(stages["did not answer again"]) == {None}
    again = shown(released["spoken"], "persons", **mine, stage="answered again", outcome="life_satisfaction")
    again += shown(released["said"], "treated", outcome="life_satisfaction")
    stages["answered again"] += again
    seen = [stage for stage, counts in stages.items() if any(n is not None for n in counts)]
    assert len(seen) <= 1


def test_of_a_yes_or_no_neither_can_be_worked_out(released: Any) -> None:
    spoken = {"outcome": "in_work", "arm": "control", "when": "before", "stage": "answered again"}
    for column in ("yes", "percent"):
        assert shown(released["spoken"], column, **spoken) == [None]
    for name in ("said", "said_weighted", "said_standard"):
        for column in ("estimate", "std_error", "conf_low", "p_value"):
            assert shown(released[name], column, outcome="in_work") == [None]


def test_the_mean_of_a_few_is_not_told(released: Any) -> None:
    few = {"outcome": "rare", "arm": "control", "stage": "answered again"}
    for column in ("persons", "mean", "sd"):
        assert set(shown(released["spoken"], column, **few)) == {None}
    for name in ("said", "said_weighted", "said_standard"):
        assert shown(released[name], "estimate", outcome="rare") == [None]
    # What the many said is.
    assert None not in shown(released["said"], "estimate", outcome="life_satisfaction")


def test_a_way_of_asking_a_few_is_withheld_with_another(released: Any) -> None:
    """Three of a hundred and twenty were asked by letter: neither they nor the others are shown."""
    modes = released["modes"]
    for arm in ("supported", "control"):
        for mode in ("letter", "telephone"):
            assert set(shown(modes, "persons", arm=arm, when="before", mode=mode)) == {None}
