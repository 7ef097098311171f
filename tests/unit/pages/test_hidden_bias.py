"""Hidden reasons, and what is shown only where it was asked for: words, figure, tables, what is withheld."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from impact.disclosure import Released, release
from impact.errors import DisclosureError
from impact.pages import asked, hidden_bias, show, tables, words
from impact.pages.captions import alt
from impact.results import Bounds

Make = Callable[..., Released]
CLEAR, OPEN = (-58, 22, -0.176, 0.06), (-20, 30, -0.05, 0.1)
BEHIND = {"persons": 900, "treated": 300, "clusters": 300}


def bounds(breakdown: float, p: tuple[float, ...] = (0.0004, 0.02, 0.3), events: int = 90) -> Released:
    rows = pd.DataFrame(
        [
            {"outcome": "ae", "term": "effect", "scale": "difference", "unit": "per 1,000 person-months"}
            | {"gamma": g, "estimate": -4.0, "conf_low": -5.0, "conf_high": -3.0, "p_value": share}
            | {"null_value": 0.0, "breakdown": breakdown}
            for g, share in zip((1.0, 1.5, 2.0), p, strict=True)
        ]
    )
    made = Bounds(rows, {"estimator": "rosenbaum_bounds"}, pd.DataFrame([BEHIND | {"events": events}] * 3))
    return release({"b": made}, "hes")["b"]


def e_values(events: int = 90, end: float = 1.4) -> Released:
    row = {"outcome": "ae", "term": "effect", "scale": "log ratio", "unit": "log ratio", "estimate": -0.4}
    row |= {"conf_low": -0.7, "conf_high": -0.1, "conf_level": 0.95, "null_value": 0.0, "e_value": 2.34}
    made = Bounds(pd.DataFrame([row | {"breakdown": end}]), {}, pd.DataFrame([BEHIND | {"events": events}]))
    return release({"e": made}, "hes")["e"]


@pytest.mark.parametrize(
    ("breakdown", "said"),
    [
        (1.62, "up to 1.62 times as likely to get support as the other, for a reason nobody recorded"),
        (np.nan, "do not differ by more than chance would make them (p under 0.001)"),
        (100.0, "No hidden reason, however strong, could explain the whole difference in A&E attendances."),
    ],
)
def test_how_unequal_matched_people_may_have_been_is_said_in_words(breakdown: float, said: str) -> None:
    assert said in hidden_bias.within_sets(bounds(breakdown))


def test_the_figure_tells_more_than_chance_by_shape_and_says_so_to_who_cannot_see_it() -> None:
    found = bounds(1.62)
    ax = hidden_bias.shares_of_chance(found)
    points = {line.get_marker(): line.get_ydata().tolist() for line in ax.lines if line.get_marker() in "oD"}
    assert points == {"o": [0, -1], "D": [-2]}
    assert [t.get_text().replace("\n", " ") for t in ax.get_yticklabels()] == [
        "not at all",
        "up to 1.5 times as likely",
        "up to twice as likely",
    ]
    said = alt("hidden_bias", found)
    assert "not at all: under 0.001. up to 1.5 times as likely: 0.020." in said
    assert "5%" in show(ax).html
    assert tables.table(found).rows[2] == ("up to twice as likely", "0.30\u2007")


def test_e_values_are_said_for_the_first_outcome_and_shown_for_all() -> None:
    said = hidden_bias.explained_away(e_values())
    assert "at least 2.3 times as likely to get support and multiply their A&E attendances by as much" in said
    assert said.endswith("Times 1.4 would do to bring no change into the range.")
    assert hidden_bias.explained_away(e_values(end=1.0)).endswith("takes in no change as it is.")
    assert tables.table(e_values()).rows == [("A&E attendances", "0.67 (0.50 to 0.90)", "2.3", "1.4")]


def test_nothing_computed_from_few_people_or_events_is_shown() -> None:
    few = bounds(1.62, events=5)
    assert few.table[["estimate", "conf_low", "conf_high", "p_value", "breakdown"]].isna().all(axis=None)
    assert few.table["gamma"].tolist() == [1.0, 1.5, 2.0]
    assert e_values(events=5).table[["estimate", "e_value", "breakdown"]].isna().all(axis=None)
    shown = hidden_bias.hidden_bias({"rosenbaum_bounds": few, "e_value": e_values(events=5)})
    assert "too few A&E attendances to say how far a hidden reason could go" in shown.text
    assert "too few A&E attendances to say how strong" in shown.text
    assert "<img" not in shown.html
    for number in ("1.62", "2.3", "0.67", "0.02"):
        assert number not in shown.html


def test_where_the_estimate_is_open_anyway_that_is_said_first(effects: Make) -> None:
    found = {"e_value": e_values()}
    assert "is not clear anyway" in hidden_bias.hidden_bias(found | {"effects": effects({"ae": OPEN})}).text
    clear = hidden_bias.hidden_bias(found | {"effects": effects({"ae": CLEAR})}).text
    assert "is not clear anyway" not in clear
    assert hidden_bias.hidden_bias({"effects": effects({"ae": OPEN})}).html == ""


def test_a_figure_of_other_bounds_is_refused() -> None:
    with pytest.raises(DisclosureError, match="needs bounds by gamma"):
        hidden_bias.shares_of_chance(e_values())


def test_no_effect_is_expected_on_services_that_support_cannot_change(effects: Make) -> None:
    assert asked.no_effect_expected({}).html == ""
    none = asked.no_effect_expected({"negative_control": effects({"gp": OPEN})}).text
    assert "No effect is expected here, and none is clear in GP contacts" in none
    one = asked.no_effect_expected({"negative_control": effects({"gp": CLEAR})}).text
    assert "yet GP contacts differ clearly" in one
    few = asked.no_effect_expected({"negative_control": effects({"gp": CLEAR}, events=3)}).text
    assert "too few of these contacts" in few


def test_steps_and_other_outcomes_are_shown_where_there_are_any(effects: Make) -> None:
    assert asked.steps({}).html == asked.other({}).html == ""
    assert "in two steps" in asked.steps({"steps": effects({"bed_days": OPEN})}).text
    assert "A&amp;E" in asked.other({"other": effects({"ae": OPEN})}).html


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        ("per 100 people", "fewer people with A&E attendances in every 100 than without it"),
        ("a person", "fewer A&E attendances for each person than without it"),
    ],
)
def test_shares_of_people_and_means_have_their_own_words(effects: Make, unit: str, said: str) -> None:
    found = effects({"ae": (-72, 12, -0.3, 0.05)}, unit=unit)
    assert said in words.headline(found).text


@pytest.mark.parametrize(
    ("estimand", "said"), [("ATE", "This is about everyone"), ("ATC", "people without support"), ("ATT", "")]
)
def test_the_headline_says_whom_it_is_about_where_it_is_not_the_supported(
    effects: Make, estimand: str, said: str
) -> None:
    method = {"estimator": "weighted Poisson regression", "control": "weighted controls"}
    found = effects({"ae": CLEAR}, method=method | {"matching": {"estimand": estimand}})
    text = words.headline(found).text
    assert said in text
    assert ("This is about" in text) == bool(said)
    assert "than among similar people without it" in words.claims(found).text
