"""Demonstration data with a known truth: a landlord's people over 50 and their NHS contacts.

The people, their need and the truth are drawn in ``worlds.py``; here their contacts are drawn, made as untidy
as a real extract, and written as the tables of the contract.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from impact.data.contract import TABLES
from impact.data.invented_answers import interviews
from impact.data.worlds import (
    DAYS,
    FIRST,
    NEVER,
    PEAK_DAYS,
    SERVICES,
    STAYS,
    Array,
    Days,
    Population,
    World,
    calendar_shape,
    crisis_shape,
    population,
    stay_lengths,
    truth,
)
from impact.errors import ParameterError

# People whose contacts are in memory at one time; above it the tables are Parquet.
CHUNK = 50_000


@dataclass(frozen=True, eq=False)
class Demonstration:
    """The tables of the contract, in memory, with their truth."""

    people: pd.DataFrame
    contacts: pd.DataFrame
    coverage: pd.DataFrame
    survey: pd.DataFrame
    truth: dict[str, Any]


def make(
    folder: str | Path,
    *,
    people: int = 1200,
    seed: int = 20261122,
    world: World = "crisis",
    effects: Mapping[str, float] | None = None,
    buildings: int = 40,
) -> dict[str, Any]:
    """Write demonstration data and their truth into a folder, all files or none.

    The defaults were fixed before any estimate was made and are not chosen by result: the seed is the date
    of the design, the effects are round numbers of the size that controlled studies of such support report
    (emergency admissions x 0.70, A&E x 0.80, general practice x 1.05, outpatient and planned admissions
    none), and the size is the Family Mosaic trial's with a pool of other tenants. Power for single
    outcomes is moderate, as it would be in a real study of this size: an interval may well include no effect.

    Parameters
    ----------
    folder : path
        Gets ``people.csv, contacts.csv, coverage.csv, survey.csv`` (above 50,000 people ``people.parquet``
        and ``contacts.parquet``) and ``truth.json``.
    people : int
        How many people; about 44 in 100 are in one of the three arms of the trial, the rest in ``pool``.
    seed : int
    world : 'crisis', 'randomised' or 'selection'
    effects : mapping of service to rate ratio, optional
        Replaces the effect of the services named; bed days follow from the two kinds of admission.
    buildings : int

    Returns
    -------
    dict
        The truth, as in ``truth.json``: see :func:`truth`.

    Raises
    ------
    ParameterError
        For an unknown world or service, or a size or effect out of range; all problems together.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     known = make(folder, people=300, world="randomised")
    ...     files = sorted(p.name for p in Path(folder).iterdir())
    >>> files
    ['contacts.csv', 'coverage.csv', 'people.csv', 'survey.csv', 'truth.json']
    >>> known["to_study_end"]["outpatient"]["rate_ratio"]
    1.0
    """
    import duckdb

    rng = np.random.default_rng(seed)
    drawn = population(rng, people=people, world=world, effects=effects, buildings=buildings)
    # Answers have draws of their own, so that contacts are the same with them and without.
    survey, answers = interviews(rng.spawn(1)[0], drawn)
    known = truth(drawn, seed=seed) | {"survey": answers}
    large = people > CHUNK
    kind = "parquet" if large else "csv"
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # The files are built beside their place and moved there when all stand; the truth, which says what they
    # are, comes last.
    work = Path(tempfile.mkdtemp(prefix=".making-", dir=folder))
    try:
        with duckdb.connect(str(work / "build.duckdb")) as connection:
            connection.execute("SET enable_progress_bar = false; SET memory_limit = '1GB'; SET threads = 2")
            for number, rows in enumerate(_chunks(people)):
                _store(connection, drawn, messy(rng, drawn, contacts(rng, drawn, rows)), number)
            frames = {"people": drawn.people, "coverage": coverage(), "survey": survey}
            for name, frame in frames.items():
                connection.register(f"{name}_frame", frame)
            for name, source in {
                "people": f"SELECT {_dated('people')} FROM people_frame",
                "coverage": f"SELECT {_dated('coverage')} FROM coverage_frame",
                "survey": "SELECT * REPLACE (interview_date::DATE AS interview_date) FROM survey_frame",
                "contacts": "SELECT * FROM contacts",
            }.items():
                form = kind if name in ("people", "contacts") else "csv"
                target = str(work / f"{name}.{form}").replace("'", "''")
                connection.execute(f"COPY ({source}) TO '{target}' (FORMAT {form})")
        (work / "truth.json").write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
        for name in (f"people.{kind}", f"contacts.{kind}", "coverage.csv", "survey.csv", "truth.json"):
            os.replace(work / name, folder / name)
        for name in ("people", "contacts"):
            # Two versions of one table would let a study read the wrong one.
            (folder / f"{name}.{'csv' if large else 'parquet'}").unlink(missing_ok=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return known


def draw(
    rng: np.random.Generator,
    *,
    people: int = 1200,
    world: World = "crisis",
    effects: Mapping[str, float] | None = None,
    buildings: int = 40,
) -> Demonstration:
    """Draw the same tables as :func:`make`, in memory, up to 50,000 people.

    Examples
    --------
    >>> drawn = draw(np.random.default_rng(1), people=300)
    >>> drawn.people["arm"].value_counts().loc["hand_holding"], drawn.contacts.columns.tolist()[:3]
    (np.int64(44), ['person_id', 'service', 'start'])
    """
    import duckdb

    if people > CHUNK:
        raise ParameterError(f"people={people}: at most {CHUNK:,} in memory; use make() to write files.")
    drawn = population(rng, people=people, world=world, effects=effects, buildings=buildings)
    rows = np.arange(people)
    with duckdb.connect() as connection:
        _store(connection, drawn, messy(rng, drawn, contacts(rng, drawn, rows)), 0)
        table = connection.sql("SELECT * FROM contacts").df()
    survey, answers = interviews(rng.spawn(1)[0], drawn)
    return Demonstration(drawn.people, table, coverage(), survey, truth(drawn) | {"survey": answers})


def contacts(rng: np.random.Generator, drawn: Population, rows: Days) -> pd.DataFrame:
    """Draw the attended contacts of the people in ``rows``: ``person, service, day, nights`` as integers.

    They go on after a move, as NHS records do, and end with death; ``nights`` is -1 where it is no stay.
    People who are not linked or did not consent have none.
    """
    rows = rows[drawn.eligible[rows]]
    start = np.minimum(drawn.start[rows], DAYS)
    parts = []
    for number, (name, service) in enumerate(SERVICES.items()):
        rate, shape = drawn.rates[rows, number], calendar_shape(name)
        pieces = [
            _arrivals(rng, rate, shape, np.zeros_like(start), start),
            _arrivals(rng, rate * drawn.effects[number], shape, start, np.full_like(start, DAYS)),
        ]
        if drawn.world == "crisis" and service.peak:
            # The crisis is counted in days before the start, so its days come out backwards.
            usual = np.where(drawn.start[rows] < NEVER, rate * service.peak, 0.0)
            who, back = _arrivals(
                rng, usual, crisis_shape(), np.zeros_like(start), np.full_like(start, PEAK_DAYS)
            )
            pieces.append((who, start[who] - 1 - back))
        who, day = (np.concatenate(p) for p in zip(*pieces, strict=True))
        alive = day <= drawn.died[rows][who]
        who, day = who[alive], day[alive]
        nights = np.full(len(day), -1)
        if name in STAYS:
            length = np.searchsorted(np.cumsum(stay_lengths(name)), rng.random(len(day)))
            nights = np.minimum(length, drawn.died[rows][who] - day)
        parts.append(pd.DataFrame({"person": rows[who], "service": number, "day": day, "nights": nights}))
    return pd.concat(parts, ignore_index=True)


def messy(rng: np.random.Generator, drawn: Population, events: pd.DataFrame) -> pd.DataFrame:
    """Add what real extracts hold and the checks must find; the attended, covered contacts stay as they were.

    Missed and cancelled appointments, contacts outside coverage (all before it, some after), and records
    sent twice.
    """
    service = events["service"].to_numpy()
    last = np.array([(s.last - FIRST).astype(int) for s in SERVICES.values()])[service]
    late = events["day"].to_numpy() > last
    events = events[~late | (rng.random(len(events)) < 0.3)].assign(status=0)
    share = np.array([s.missed for s in SERVICES.values()])[events["service"]]
    missed = events[rng.random(len(events)) < share]
    missed = missed.assign(status=rng.integers(1, 3, len(missed)), nights=-1)
    early = events[rng.random(len(events)) < 0.0005]
    early = early.assign(day=-rng.integers(1, 31, len(early)), nights=-1)
    out = pd.concat([events, missed, early], ignore_index=True)
    out["record"] = np.arange(len(out))
    return pd.concat([out, out[rng.random(len(out)) < 0.002]], ignore_index=True)


def coverage() -> pd.DataFrame:
    """From when to when each service is observed."""
    return pd.DataFrame(
        {
            "service": list(SERVICES),
            "first_date": FIRST,
            "last_date": [s.last for s in SERVICES.values()],
            "applies_to_arm": pd.Series([None] * len(SERVICES), dtype="string").astype(object),
            "source": [s.source for s in SERVICES.values()],
        }
    )


def _store(connection: Any, drawn: Population, events: pd.DataFrame, chunk: int) -> None:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS contacts (person_id VARCHAR, service VARCHAR, start DATE, "
        '"end" DATE, record_id VARCHAR, source VARCHAR, status VARCHAR)'
    )
    connection.register("events", events)
    connection.execute(
        f"""
        INSERT INTO contacts
        SELECT printf('T%07d', person + 1), ($services)[service + 1], DATE '{FIRST}' + day::INTEGER,
            CASE WHEN nights >= 0 THEN DATE '{FIRST}' + (day + nights)::INTEGER END,
            printf('R%03d-%08d', {chunk}, record), ($sources)[service + 1],
            (['attended', 'dna', 'cancelled'])[status + 1]
        FROM events ORDER BY person, day, record
        """,
        {"services": list(SERVICES), "sources": [s.source for s in SERVICES.values()]},
    )
    connection.unregister("events")


# Columns of the contract that the demonstration's landlord does not hold.
_NOT_HELD = ("withdrew", "age_band", "lsoa", "frailty")


def _dated(table: str) -> str:
    columns = TABLES[table].columns
    kept = [c for c in columns if table == "coverage" or c.name not in _NOT_HELD]
    return ", ".join(f'"{c.name}"::DATE AS "{c.name}"' if c.type == "date" else f'"{c.name}"' for c in kept)


def _chunks(people: int) -> list[Days]:
    return [np.arange(a, min(a + CHUNK, people)) for a in range(0, people, CHUNK)]


def _arrivals(
    rng: np.random.Generator, rate: Array, shape: Array, begin: Days, end: Days
) -> tuple[Days, Days]:
    # ``shape`` is cumulative, so the day of an arrival is where a uniform draw falls between its ends.
    low, high = shape[begin], shape[end]
    who = np.repeat(np.arange(len(rate)), rng.poisson(rate * (high - low)))
    at = low[who] + rng.random(len(who)) * (high - low)[who]
    return who, np.clip(np.searchsorted(shape, at, side="right") - 1, begin[who], end[who] - 1)
