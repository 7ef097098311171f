"""The demonstration's report, attacked by a reader who knows its people in every way but who is who."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from impact.disclosure.policies import policy
from impact.study import read_studies

from . import real
from .reader import Count, Kinds, given_away

RULE = policy("hes")
# Counts that are in no table of people: of records, of draws, and of what only the estimator knows.
ELSEWHERE = {
    "quality count", "bounds persons", "by_time persons", "by_time events", "pretrend persons",
    "pretrend treated", "pretrend events", "checks events", "effects events", "bounds events",
    "said events", "said_weighted events", "said_standard events", "worth events", "spoken events",
    "said_matched events",
    "by_group events", "trends events", "by_arm events", "arm_against_arm events", "per_step events",
}  # fmt: skip
COUNTED = ("persons", "treated", "events", "count", "all", "died", "out", "ended")


@pytest.fixture(scope="module")
def sent(demo_project: Path) -> dict[tuple[str, str], Any]:
    return dict(real.read(demo_project / "outputs/demo/share"))


@pytest.fixture(scope="module")
def world(demo_project: Path, sent: Any) -> Iterator[real.World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMPACT_ROOT", str(demo_project))
        patch.chdir(demo_project)
        yield real.world(read_studies(["params/demo.yaml"])[0], sent)


@pytest.fixture(scope="module")
def counts(world: real.World, sent: Any) -> dict[str, list[Count]]:
    return real.counts(world, sent)


def kinds(world: real.World, name: str) -> Kinds:
    return world.people if name == "people" else world.events[name]


def alike(name: str, true: int, printed: float) -> bool:
    """Whether a count prints like this; many events are those of a time in steps of a few people's."""
    near = name != "people" and abs(true - printed) <= 0.015 * true
    return near or bool(RULE.rounded(true) == printed)


@pytest.mark.xdist_group("kernels")
def test_every_count_that_is_sent_is_told_from_the_people(world: Any, sent: Any, counts: Any) -> None:
    """Who each count is of is right, or its number would not be; and no column is forgotten."""
    told = [(name, count) for name, some in counts.items() for count in some]
    shown = [(n, c) for n, c in told if c.printed is not None and "mean_" not in c.where]
    assert len(shown) > 600
    wrong = [c.where for n, c in shown if not alike(n, int(kinds(world, n).n[c.of].sum()), c.printed)]
    assert wrong == []
    known = {" ".join((c.where.split()[1], c.where.split()[3])) for _, c in told}
    columns = {
        f"{name} {column}"
        for (_, name), item in sent.items()
        for row in item["table"]
        for column in row
        if column.split("_")[-1] in COUNTED
    }
    assert columns - known <= ELSEWHERE
    assert sum(c.printed is None for _, c in told) > 50


@pytest.mark.xdist_group("kernels")
@pytest.mark.parametrize("beside", ["counts", "method", "means"])
def test_no_withheld_count_can_be_worked_out(beside: str, world: Any, sent: Any, counts: Any) -> None:
    """From what is counted alone, from what is said of the method as well, and from means too."""
    known = [] if beside == "counts" else list(world.facts)
    known += real.figures(world, sent) if beside == "means" else []
    found = given_away(world.people, counts["people"], RULE, known)
    for name, events in world.events.items():
        found += given_away(events, counts[name], RULE)
    assert found == []


def ends(figure: float, error: float = 1e-300) -> tuple[float, float]:
    """The limits between which a figure lies that is written like this, with so much of an error."""
    last = int(Decimal(repr(figure)).as_tuple().exponent)
    # A number that ends in noughts may be no closer than the second digit of its error.
    half = 0.5 * 10.0 ** max(last, np.floor(np.log10(error)) - 1 if figure == round(figure) else last)
    return figure - half, figure + half


def pair(row: dict[str, Any]) -> tuple[float, float]:
    return row["estimate"], row["std_error"]


def made(sent: Any) -> Iterator[tuple[str, str, int, float, float]]:
    """Each count of events, by kind and place, and the limits of what was worked out from it."""
    for (page, name), item in sent.items():
        scales: dict[Any, dict[str, Any]] = {}
        for i, row in enumerate(item["table"]):
            if item["kind"] == "rates" and row["events"] is not None:
                yield "rates", f"{page} {name} {i}", row["events"], *ends(row["rate_per_1000_person_months"])
            for when in ("before", "after") if name == "naive" else ():
                events, rate = row[f"supported_{when}_events"], row[f"supported_{when}"]
                yield "naive", f"{page} {name} {i} {when}", events, *ends(rate)
            if item["kind"] == "effects":
                at = row["outcome"], row["term"], row.get("covariate"), row.get("level")
                scales.setdefault(at, {})[row["scale"]] = row
        for at, found in scales.items():
            if {"log ratio", "events avoided"} <= set(found) and found["log ratio"]["events"]:
                # Avoided is what the ratio takes from those that would have been.
                corners = [
                    avoided / np.expm1(-ratio)
                    for avoided in ends(*pair(found["events avoided"]))
                    for ratio in ends(*pair(found["log ratio"]))
                ]
                events, people = found["log ratio"]["events"], found["log ratio"]["treated"]
                # More events than people are those of a time in steps, and rounded.
                wide = 0.01 * events if people is None or events > people else 0.0
                yield "effects", f"{page} {name} {at}", events, min(corners) - wide, max(corners) + wide


@pytest.mark.xdist_group("kernels")
@pytest.mark.parametrize("kind", ["rates", "naive", "effects"])
def test_figures_do_not_tell_what_rounding_took_away(kind: str, sent: Any) -> None:
    """Each number of events that is printed alike can have made a figure; a rate, in whole days.

    Where effects tell their events closer than that, it is the printed number which they tell.
    """
    found = [one[1:] for one in made(sent) if one[0] == kind]
    assert len(found) >= 20
    told = []
    for place, events, low, high in found:
        for other in range(events - RULE.round_to // 2, events + RULE.round_to // 2 + 1):
            if kind == "effects":
                possible = low <= other <= high or low <= events <= high
            else:
                days = 1000 * other * 30.4375
                possible = int(days / low) >= days / high
            told += [] if possible else [f"{place}: {events} is not {other}"]
    assert told == []


@pytest.mark.xdist_group("kernels")
@pytest.mark.parametrize(
    ("place", "column", "victim"),
    [
        (("cohort", "baseline", "sex", "m", None), "supported_persons", "cohort baseline 4 supported"),
        (
            ("matching", "table_one", "sex", "f", "left out"),
            "supported_persons",
            "matching table_one 11 supp",
        ),
        (("matching", "balance", "sex", "m", "before"), "mean_treated", "cohort baseline 4 supported"),
    ],
)
def test_a_number_that_should_not_have_been_sent_is_found(
    place: Any, column: str, victim: str, world: Any, sent: Any, counts: Any
) -> None:
    """Each is withheld for the sake of another, which is then known."""
    page, name, *row = place
    tampered = copy.deepcopy(sent)
    for one in tampered[page, name]["table"]:
        if [one["covariate"], one["level"], one.get("sample")] == row:
            assert one[column] is None
            one[column] = 0.5
    made = real.counts(world, tampered)["people"]
    assert given_away(world.people, counts["people"], RULE, only=victim) == []
    assert len(given_away(world.people, made, RULE, only=victim)) == 1


@pytest.mark.xdist_group("kernels")
def test_the_reader_knows_nothing_that_is_not_so(world: Any, sent: Any, counts: Any) -> None:
    """A wrong fact would make every count seem to be given away, and is refused."""
    one = world.facts[0]
    with pytest.raises(AssertionError, match="not so"):
        given_away(world.people, counts["people"], RULE, [one._replace(low=1.0, high=1.0)])
