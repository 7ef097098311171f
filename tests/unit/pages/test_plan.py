"""What a plan, or the lack of one, does to the words of evidence and to what may be said."""

from collections.abc import Callable
from typing import Any

import pytest

from impact import interpret
from impact.disclosure import Released, release
from impact.pages import plan, words

Make = Callable[..., Released]
CLEAR = {"ae": (-58.0, 12.0, -0.18, 0.03)}
MONTHS = {"what": "months with support", "planned": "12", "run": "6", "reason": "Said."}


def planned(status: str, *rows: dict[str, str], **decisive: Any) -> Released:
    made = interpret.kept_to_plan(status=status, rows=rows, run_sha256="ab" * 32, **decisive)
    return release({"planned": made}, "hes")["planned"]


@pytest.mark.parametrize(
    ("found", "by_lot", "observed", "why"),
    [
        (planned("none"), "Moderate", "Moderate", "No plan was written before the results: the study is "),
        (planned("retrospective"), "Moderate", "Moderate", "after results existed: the study is exploratory"),
        (planned("kept"), "Strong", "Moderate", "The analysis was planned before any result."),
        (
            planned("differs", MONTHS, departed=["months with support"]),
            "Moderate",
            "Moderate",
            "Not as planned, for reasons given: months with support.",
        ),
        (
            planned("differs", MONTHS, departed=["months with support"], unexplained=["months with support"]),
            "Weak",
            "Weak",
            "Not as planned, and no reason is given: months with support.",
        ),
        # What differs is beside the main result: costs, a rule for small numbers.
        (planned("differs", MONTHS), "Strong", "Moderate", "The analysis was planned before any result."),
    ],
)
def test_the_plan_bears_on_the_words(
    effects: Make, found: Released, by_lot: str, observed: str, why: str
) -> None:
    main = effects(CLEAR)
    for assignment, word in (("randomised", by_lot), ("observed", observed)):
        said = words.headline(main, {"planned": found}, assignment=assignment).text
        assert f"{word} evidence." in said
        assert why in said


def test_an_exploratory_result_may_not_be_called_confirmed(effects: Make) -> None:
    def may_not(page: dict[str, Released]) -> str:
        return " ".join(words.claims(effects(CLEAR), page).parts[1][1])

    for status in ("none", "retrospective"):
        assert "“The study confirms it”" in may_not({"planned": planned(status)})
    differs = planned("differs", MONTHS, departed=["months with support"])
    assert "“It was done as planned”: it was not in months with support." in may_not({"planned": differs})
    for page in ({}, {"planned": planned("kept")}, {"planned": planned("differs", MONTHS)}):
        assert "plan" not in may_not(page)
    assert plan.weighed({}) == ()
