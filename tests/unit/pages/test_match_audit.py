"""Matching may itself mislead: in words, as a table, and as a line on the findings."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from impact.disclosure import Released, release
from impact.interpret.matched_on_use import NO_EVIDENCE
from impact.pages import evidence, match_audit, tables, words
from impact.results import Bounds, Summary, Test


def audit(bias: float = 4.0, events: int = 60, notes: tuple[str, ...] = (NO_EVIDENCE,)) -> Released:
    row: dict[str, Any] = {"outcome": "ae", "scale": "difference", "unit": "per 1,000 person-months"}
    for name, values in (
        ("everyone", (-18.0, -33.0, -3.0)),
        ("everyone_bias", (-bias, -bias - 2, -bias + 2)),
        ("matched", (-10.0, -25.0, 6.0)),
        ("matched_bias", (bias, bias - 2, bias + 2)),
        ("slope", (0.49, 0.36, 0.61)),
    ):
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))
    counts = pd.DataFrame([{"persons": 500, "treated": 250, "clusters": 250, "events": events}])
    made = Bounds(pd.DataFrame([row]), {"shows": "match audit", "notes": list(notes)}, counts)
    return release({"audit": made}, "hes")["audit"]


def test_both_analyses_and_what_each_needs() -> None:
    text = match_audit.both_ways({"audit": audit()}).text
    for said in (
        "people matched on it are alike, and comparing everyone makes A&E attendances lower with support by "
        "about 48 for every 1,000 people a year.",
        "matched people go on differing, and matching makes A&E attendances higher with support by about 48.",
        NO_EVIDENCE,
    ):
        assert said in text
    assert (
        "makes A&E attendances lower with support by about 48. "
        in match_audit.both_ways({"audit": audit(-4.0)}).text
    )
    assert match_audit.both_ways({}).text == ""


def test_a_row_has_both_with_their_ranges() -> None:
    assert tables.table(audit()).rows == [
        (
            "A&E attendances",
            "−216 (−396 to −36)",
            "−48 (−72 to −24)",
            "−120 (−300 to +72)",
            "+48 (+24 to +72)",
            "49% (36% to 61%)",
        )
    ]


def test_too_few_is_said_without_a_number() -> None:
    shown = match_audit.both_ways({"audit": audit(events=4)})
    assert "too few A&E attendances to say by how much" in shown.text
    assert "216" not in shown.text
    assert "not shown" in shown.text


@pytest.mark.parametrize(
    ("bias", "notes", "said"), [(9.0, True, True), (7.0, True, False), (9.0, False, False)]
)
def test_the_findings_speak_of_it_where_it_matters(bias: float, notes: bool, said: bool) -> None:
    lines = match_audit.line({"audit": audit(bias, notes=(NO_EVIDENCE,) if notes else ())})
    assert bool(lines) is said
    if said:
        assert (
            "makes A&E attendances higher with support by about 108 for every 1,000 people a year" in lines[0]
        )
    assert match_audit.line({}) == []


@pytest.mark.parametrize(("on_use", "said"), [(True, "cannot be said here: "), (False, "were not matched")])
def test_where_there_is_no_audit_the_page_says_why(on_use: bool, said: str) -> None:
    nothing = pd.DataFrame({"outcome": pd.Series(dtype=object)})
    method = {"shows": "no match audit", "why": "households are compared", "on_use": on_use}
    released = release({"no_audit": Summary(nothing, method)}, "hes")
    text = match_audit.both_ways(released).text
    assert said in text
    assert "households are compared." in text
    assert match_audit.line(released) == ([text] if on_use else [])


@pytest.mark.parametrize("matched_on", [True, False])
def test_a_trend_that_was_matched_on_is_no_evidence(matched_on: bool) -> None:
    counts = pd.DataFrame([{"persons": 500, "treated": 250, "clusters": 250, "events": 60}])
    method = {"shows": "pre-trend test", "notes": [NO_EVIDENCE] if matched_on else []}
    test = release({"t": Test("pre-trends", 3.0, 4, 0.55, method, counts)}, "hes")["t"]
    assert (NO_EVIDENCE in words.pretrend(test).text) is matched_on
    check = evidence.checks_on({"pretrend": test})[0]
    assert check.passed is (None if matched_on else True)
    assert (NO_EVIDENCE in check.said) is matched_on
