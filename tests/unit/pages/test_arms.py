"""Kinds of support in words: no surer than the range, nor than several questions allow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from impact.disclosure import Released, release
from impact.interpret.arms import KIND
from impact.numbers.holm import holm
from impact.pages import arms, own_words, tables
from impact.results import Effects, Result, Summary

PER = "per 1,000 person-months"
Pair = tuple[float, float]


def effects(rows: list[dict[str, Any]], method: Mapping[str, Any], treated: list[int]) -> Effects:
    table = pd.DataFrame(rows)
    counts = pd.DataFrame({"persons": 900, "treated": treated, "clusters": 120, "events": 210})
    root, at = np.diag(table["error"].to_numpy(float)), np.arange(len(table))
    labels, estimate = table.drop(columns=["estimate", "error"]), table["estimate"].to_numpy(float)
    return Effects(labels, estimate, root, at, 1000, dict(method), counts)


def both(found: Pair, **more: str) -> list[dict[str, Any]]:
    """A difference and a log ratio that say the same."""
    row = {"outcome": "ae", "term": "effect", **more}
    scales = (("difference", PER, 1.0), ("log ratio", "log ratio", 30.0))
    parts = [(s, u, *(value / f for value in found)) for s, u, f in scales]
    return [row | dict(zip(("scale", "unit", "estimate", "error"), part, strict=True)) for part in parts]


def page(
    *,
    advice: Pair = (-1.0, 2.0),
    visits: Pair = (-2.0, 2.0),
    between: Pair = (-1.0, 2.0),
    step: Pair | None = None,
    left: list[str] | None = None,
    more: Mapping[str, Result] | None = None,
    gp: Pair | None = None,
    treated: tuple[int, int] = (180, 166),
) -> Mapping[str, Released]:
    kinds = {"advice": advice, "visits": visits}
    rows = both((-1.5, 1.5), covariate="people", level="all")
    people = [346, 346]
    for n, (kind, found) in zip(treated, kinds.items(), strict=True):
        rows += both(found, covariate=KIND, level=kind)
        people += [n, n]
    for kind in kinds if gp else ():
        rows += both(gp or (0.0, 0.0), outcome="gp", covariate=KIND, level=kind)
        people += [180, 180]
    said = {"shows": "effects by kind of support", "left_out": {KIND: left} if left else {}}
    term = "visits against advice"
    made = {"shows": "arm against arm", "contrasts": [["visits", "advice"]]}
    results: dict[str, Result] = {
        "effects": effects(both((-1.5, 1.5)), {"estimator": "etwfe"}, [346, 346]),
        "by_arm": effects(rows, said, people),
        "arm_against_arm": effects(both(between, term=term), made, [346, 346]),
    }
    if step:
        method = {"shows": "effect by amount of support", "amounts": {"advice": 1, "visits": 2.5}}
        results["per_step"] = effects(both(step, term="one step more"), method, [346, 346])
    return release({**results, **(more or {})}, "hes")


def assigned(*, few: int = 40, gone: tuple[int, int] = (30, 20), late: bool = True) -> Any:
    """An offer that 70 of 100 took up, and people who were withdrawn."""
    share = {"outcome": "ae", "term": "offered", "scale": "difference", "unit": "per 100 people"}
    offer = effects(both((-6.0, 1.0)), {"shows": "counted from the offer"}, [346, 346])
    rest = effects(both((-7.0, 1.0)), {"shows": "without those withdrawn"}, [346, 346])
    take_up = effects([share | {"estimate": 70.0, "error": 2.0}], {"weak": not late}, [346])
    table = pd.DataFrame({"arm": ["supported", "control"], "withdrew": "yes", "persons": gone})
    out = {
        "offered": replace(offer, counts=offer.counts.assign(fewest=few)),
        "take_up": replace(take_up, counts=take_up.counts.assign(fewest=few)),
        "withdrawn": Summary(table, {"shows": "withdrawn"}, people=("persons",)),
        "without_withdrawn": replace(rest, counts=rest.counts.assign(fewest=min(gone))),
    }
    because = effects(both((-8.5, 1.2))[:1], {"shows": "effect on those who took it up"}, [346])
    return out | ({"took_up_because": because} if late else {})


def test_an_offer_is_told_beside_the_support_with_how_many_took_it_up() -> None:
    text = arms.arms(page(more=assigned())).text
    assert "Of every 100 offered support, 70 took it up (95% range 66 to 74)." in text
    assert "Counted from the offer, whoever took it up: about 72 fewer A&E attendances for" in text
    assert "Counted from the start, of those who had it: the study cannot tell (53 fewer to 17 more)." in text
    assert "and if an offer by itself changes nothing: about 102 fewer" in text
    assert "there is no ratio: what they would have used without it is not seen" in text


def test_a_weak_offer_says_nothing_of_those_who_took_it_up() -> None:
    text = arms.arms(page(more=assigned(late=False))).text
    assert "The offer led too few to take support up to say what it did for them." in text
    assert "if an offer by itself" not in text


def test_those_withdrawn_are_told_both_ways_and_counted() -> None:
    text = arms.arms(page(more=assigned())).text
    assert "30 people offered support and 20 not were withdrawn after they had joined a group." in text
    assert "without them: about 84 fewer (60 to 108 fewer). Nobody is withdrawn by chance" in text


def test_who_was_withdrawn_had_support_where_nothing_is_counted_from_an_offer() -> None:
    more = {name: one for name, one in assigned().items() if name in ("withdrawn", "without_withdrawn")}
    assert "30 people with support and 20 without were withdrawn" in arms.arms(page(more=more)).text
    del more["without_withdrawn"]
    assert "group. Without them there are too few people to" in arms.arms(page(more=more)).text


def test_everyone_took_it_up_only_where_it_says_100() -> None:
    for share, told in ((100.0, True), (70.0, False)):
        more = assigned()
        one = more["take_up"]
        more["take_up"] = replace(one, estimate=np.array([share]), root=np.zeros_like(one.root))
        text = arms.arms(page(more=more)).text
        assert ("Everyone who was offered support took it up." in text) == told
        assert ("Of every 100 offered support, 70 took it up. " in text) != told


def test_what_would_tell_of_few_is_not_shown() -> None:
    text = arms.arms(page(more=assigned(few=3, gone=(30, 2)))).text
    assert "How many took up the offer is not shown: one of the groups behind it is too small." in text
    assert "Some people (too few to show) were withdrawn" in text
    assert "Counted from the offer, whoever took it up: too few to say." in text
    assert "without them: too few to say" in text


def test_a_study_of_one_kind_says_that_none_were_told_apart() -> None:
    shown = arms.arms({"effects": page()["effects"]})
    assert shown.text.startswith("Not looked at: this study does not tell kinds of support apart")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            {},
            "Advice: the study cannot tell (59 fewer to 35 more A&E attendances for every 1,000 people a",
        ),
        ({"visits": (-9.0, 2.0)}, "Visits: about 108 fewer (61 to 155 fewer)."),
        (
            {"advice": (-9.0, 2.0)},
            "Advice: about 108 fewer A&E attendances for every 1,000 people a year (61 to ",
        ),
        ({"visits": (0.0, 1.0)}, "Visits: little or no change (6.3% fewer to 6.7% more)."),
        # 2.2 standard errors from none: p is 0.028, and of three questions 0.08.
        ({"visits": (-4.4, 2.0)}, "(6 to 100 fewer; not clear once all these comparisons are allowed for)"),
    ],
)
def test_each_kind_is_told_by_its_range(found: Any, said: str) -> None:
    assert said in arms.arms(page(**found)).text


@pytest.mark.parametrize(
    ("between", "said"),
    [
        ((-1.0, 2.0), "than with advice? The study cannot tell (59 fewer to 35 more with visits)."),
        (
            (-9.0, 2.0),
            "Yes: about 108 fewer for every 1,000 people a year with visits than with advice (61 to",
        ),
        (
            (9.0, 2.0),
            "No: about 108 more for every 1,000 people a year with visits than with advice (61 to 155",
        ),
        ((0.0, 1.0), "No: the two are within 10% of each other (6.3% fewer to 6.7% more)."),
    ],
)
def test_two_kinds_are_told_apart_by_their_difference_and_not_by_two_ranges(between: Pair, said: str) -> None:
    """One clear and the other not is no difference between them."""
    text = arms.arms(page(advice=(-9.0, 2.0), visits=(-3.0, 2.0), between=between)).text
    assert "Were there fewer A&E attendances with visits than with advice?" in text
    assert said in text


def test_who_had_which_kind_is_only_by_lot_where_the_study_says_so() -> None:
    assert "one between the people who had them" in arms.arms(page()).text
    assert "between the people" not in arms.arms(page(), assignment="randomised").text


def test_more_support_is_told_with_what_it_does_not_show() -> None:
    text = arms.arms(page(step=(-9.0, 2.0))).text
    assert "(advice 1 and visits 2.5, none 0), one more goes with about 108 fewer" in text
    assert "one kind alone can tilt it" in text
    assert "one more goes with anything from 59 fewer to 35 more." in arms.arms(page(step=(-1.0, 2.0))).text


def test_the_table_has_p_values_by_holm_in_two_families() -> None:
    found = page(advice=(-5.0, 2.0), visits=(-6.0, 2.0), between=(-1.0, 2.0), gp=(-4.4, 2.0))
    text = arms.arms(found).text
    own = pd.concat([found["by_arm"].table, found["arm_against_arm"].table])
    own = own[(own["scale"] == "difference") & (own.get("covariate") != "people")]
    primary = holm(own.loc[own["outcome"] == "ae", "p_value"].tolist())
    assert f"{primary[0]:.3f}" in text
    assert f"{holm(own.loc[own['outcome'] == 'gp', 'p_value'].tolist())[0]:.3f}" in text
    assert "allow for looking at all these comparisons of it, and those of the other services" in text


def test_kinds_are_called_as_the_study_calls_them_and_those_left_out_are_named() -> None:
    own_words.use({"arm": {"levels": {"visits": "Home visits"}}})
    try:
        assert "Home visits: the study cannot tell" in arms.arms(page(left=["gym_pass"])).text
    finally:
        own_words.use({})
    assert "an effect of their own: gym pass." in arms.arms(page(left=["gym_pass"])).text


def test_a_kind_with_too_few_is_not_told() -> None:
    text = arms.arms(page(treated=(341, 5))).text
    assert "Visits: too few to say." in text
    assert "not shown" in text


def test_by_itself_the_result_is_a_table() -> None:
    names = tables.table(page()["by_arm"]).columns[0].cells
    assert names == ["Everyone", "Kind of support: Advice", "Kind of support: Visits"]
