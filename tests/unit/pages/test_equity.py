"""Reach, need and effect by deprivation in words; the figure, the tables, and what is withheld."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from impact.disclosure import Released, release
from impact.errors import DisclosureError
from impact.interpret.subsets import WHOLE_ONLY
from impact.pages import by_group, equity, show, tables
from impact.pages.captions import alt
from impact.results import Effects, Result, Summary, Test

PER = "per 1,000 person-months"
Triple = tuple[float, float]


def effects(rows: list[dict[str, Any]], method: Mapping[str, Any], **counts: int) -> Effects:
    table = pd.DataFrame(rows)
    behind = {"persons": 900, "treated": 346, "clusters": 120, "events": 210} | counts
    return Effects(
        table.drop(columns=["estimate", "error"]),
        table["estimate"].to_numpy(float),
        np.diag(table["error"].to_numpy(float)),
        np.arange(len(table)),
        1000,
        dict(method),
        pd.DataFrame([behind] * len(table)),
    )


def page(
    *,
    reach: Triple = (0.0, 0.1),
    need: Triple = (10.0, 2.0),
    p: Mapping[str, Triple] | None = None,
    trend: Mapping[str, Triple] | None = None,
    left: Mapping[str, list[str]] | None = None,
    weighted: bool = False,
    joined: str = "1",
    estimator: str = "etwfe",
) -> Mapping[str, Released]:
    """A page with chosen numbers: (estimate, error), p-values (difference, ratio) by column."""
    by = pd.DataFrame({"covariate": "imd_fifth", "level": ["1", "2"], "supported_persons": [85, 261]})
    by["control_persons"], by["persons"] = [215, 339], [300, 600]
    by["supported_percent"], by["reached_percent"] = [24.6, 75.4], [28.3, 43.5]
    by["supported_all"], by["before"], by["before_events"] = 346, 30.0, 150
    by["before_largest"], by["before_second"] = 4, 3
    results: dict[str, Result] = {
        "effects": effects(
            [
                {
                    "outcome": "ae",
                    "term": "effect",
                    "scale": "difference",
                    "unit": PER,
                    "estimate": -5,
                    "error": 3,
                }
            ],
            {"estimator": estimator},
        ),
        "by_deprivation": Summary(
            by,
            {"shows": "support and need by deprivation", "outcome": "ae", "per": PER},
            people=["supported_persons", "control_persons", "persons"],
            events=["before_events"],
            percent={
                "supported_percent": ("supported_persons", "supported_all"),
                "reached_percent": ("supported_persons", "persons"),
            },
            largest={"before_events": ("before_largest", "before_second")},
            rates={"before": ("before_events", "persons")},
            derived={"before": ["before_events", "persons"]},
        ),
    }
    one = {"shows": "inequality", "covariate": "imd_fifth", "joined": [joined, "3"]}
    row: dict[str, Any] = {
        "outcome": "support",
        "term": "most deprived",
        "scale": "log ratio",
        "unit": "ratio",
    }
    results["reach"] = effects([row | {"estimate": reach[0], "error": reach[1]}], one)
    row = {"outcome": "ae", "term": "most against least", "scale": "difference", "unit": PER}
    results["need"] = effects([row | {"estimate": need[0], "error": need[1]}], one)
    for column, pair in (p or {}).items():
        for scale, value in zip(("difference", "log ratio"), pair, strict=True):
            method = {"shows": "effect alike in groups", "covariate": column, "scale": scale, "outcome": "ae"}
            counts = pd.DataFrame([{"persons": 900, "treated": 346, "clusters": 120, "events": 210}])
            results[f"alike_{column}_{scale.replace(' ', '_')}"] = Test("same", 1.0, 2, value, method, counts)
    groups = [("people", "all"), ("imd_fifth", "1"), ("imd_fifth", "2"), ("sex", "f")]
    rows = [
        {"outcome": "ae", "term": "effect", "covariate": c, "level": v, "scale": s, "unit": u}
        | {"estimate": (i - 5) / f, "error": 2 / f}
        for i, (c, v) in enumerate(groups)
        for s, u, f in (("difference", PER, 1), ("log ratio", "log ratio", 30))
    ]
    said = {"shows": "effects by group", "estimator": "etwfe", "left_out": dict(left or {})}
    results["by_group"] = effects(rows, said)
    if trend:
        lines = [
            {"outcome": "ae", "term": "imd_fifth", "scale": s, "unit": PER, "estimate": e, "error": error}
            for s, (e, error) in trend.items()
        ]
        results["trends"] = effects(lines, {"shows": "effect across groups"})
    if weighted:
        row = {"outcome": "ae", "scale": "events avoided", "unit": "events", "error": 8}
        both = [row | {"term": "unweighted", "estimate": 20}, row | {"term": "weighted", "estimate": 31}]
        results["weighted"] = effects(both, {"shows": "effect across groups"})
    return release(results, "hes")


def test_a_study_that_names_no_deprivation_says_that_it_was_not_looked_at() -> None:
    shown = equity.equity({"effects": page()["effects"]})
    assert shown.text.startswith("Not looked at: this study does not compare people by deprivation")


@pytest.mark.parametrize(
    ("reach", "said"),
    [
        (
            (0.0, 0.1),
            "cannot tell whether support reached the more deprived more or less than others: the most ",
        ),
        (
            (0.4, 0.1),
            "Support reached the more deprived more than others: the most deprived fifth had 1.49 times",
        ),
        ((-0.4, 0.1), "Support reached the more deprived less than others"),
        (
            (0.01, 0.02),
            "Support reached all about alike: the most deprived fifth had 1.01 times as much support",
        ),
    ],
)
def test_reach_is_told_by_its_range(reach: Triple, said: str) -> None:
    assert said in equity.equity(page(reach=reach)).text


def test_fifths_that_were_put_together_are_named() -> None:
    assert "the most deprived fifths (1 and 2) had" in equity.equity(page(joined="1 and 2")).text


@pytest.mark.parametrize(
    ("need", "said"),
    [
        (
            (10.0, 2.0),
            "The more deprived, in the time before: about 120 more A&E attendances per 1,000 people a",
        ),
        ((-10.0, 2.0), "The less deprived, in the time before: about 120 fewer A&E attendances"),
        (
            (3.0, 2.0),
            "The study cannot tell; in the time before there were about 36 more A&E attendances per",
        ),
    ],
)
def test_need_is_told_by_its_range(need: Triple, said: str) -> None:
    assert said in equity.equity(page(need=need)).text


FLAT, STEEP = {"difference": (0.5, 9.0), "log ratio": (0.0, 0.3)}, {"difference": (-9.0, 2.0)}
NARROW = {"difference": (-0.5, 0.4), "log ratio": (0.0, 0.03)}


@pytest.mark.parametrize(
    ("p", "trend", "said"),
    [
        (None, None, "The study cannot tell: too few fifths have enough people and events."),
        (
            (0.4, 0.5),
            None,
            "no difference between the fifths could be seen (p = 0.40), and in groups so small",
        ),
        ((0.4, 0.5), FLAT, "may be anything from 206 fewer to 218 more per 1,000 people a year than among"),
        ((0.001, 0.02), STEEP, "No: the effect differs between the fifths by more than chance (p = 0.001)."),
        ((0.4, 0.5), NARROW, "Yes, as a share of what they use"),
        (
            (0.04, 0.2),
            None,
            "hangs on how the effect is measured (p = 0.040 as a difference and p = 0.20 as a",
        ),
    ],
)
def test_the_effect_is_told_by_the_test_and_not_by_two_ranges(p: Any, trend: Any, said: str) -> None:
    assert said in equity.equity(page(p={"imd_fifth": p} if p else None, trend=trend)).text


@pytest.mark.parametrize("estimator", WHOLE_ONLY)
def test_an_analysis_of_all_people_together_does_not_put_it_down_to_too_few(estimator: str) -> None:
    text = equity.equity(page(estimator=estimator)).text
    assert "Did it help them as much? Not looked at: this analysis " in text
    assert "too few" not in text


def test_p_values_of_further_columns_allow_for_looking_at_several() -> None:
    tests = {"imd_fifth": (0.5, 0.5), "sex": (0.03, 0.03), "age": (0.04, 0.04)}
    text = equity.equity(page(p=tests)).text
    assert "By sex no difference could be seen (p = 0.060). By age no difference could be seen" in text
    assert (
        "By sex the effect differs by more than chance (p = 0.030)."
        in equity.equity(page(p={"imd_fifth": (0.5, 0.5), "sex": (0.03, 0.03)})).text
    )


def test_groups_left_out_are_named_in_the_words_of_readers() -> None:
    text = equity.equity(page(left={"imd_fifth": ["3", "5"], "sex": ["x"]})).text
    assert (
        "estimate an effect of their own: deprivation fifth 3 and 5 (least deprived) and sex other." in text
    )


def test_weighted_contacts_are_called_a_judgement() -> None:
    text = equity.equity(page(weighted=True)).text
    assert (
        "31 (15 to 47) A&E attendances were avoided over the time studied; without weights 20 (4 to 36)"
        in text
    )
    assert "Weights are a judgement of worth" in text


def test_the_figure_has_everyone_first_and_says_so_to_who_cannot_see_it() -> None:
    found = page()["by_group"]
    names = [t.get_text() for t in by_group.by_group(found).texts][::2][:4]
    assert names == [
        "Everyone",
        "Deprivation fifth: 1 (most deprived)",
        "Deprivation fifth: 2",
        "Sex: female",
    ]
    said = alt("by_group", found)
    assert said.startswith("A&E attendances by group, difference per 1,000 people a year. Everyone −60, 95%")
    assert "Sex: female −24" in said
    assert tables.table(found).columns[0].cells[:2] == ["Everyone", "Deprivation fifth: 1 (most deprived)"]
    with pytest.raises(DisclosureError, match="no effects by group"):
        by_group.by_group(page()["need"])


def test_what_rests_on_too_few_is_not_drawn() -> None:
    rows = [
        {"outcome": "ae", "term": "effect", "covariate": c, "level": v, "scale": "difference", "unit": PER}
        | {"estimate": -5, "error": 2}
        for c, v in (("people", "all"), ("sex", "f"), ("sex", "m"))
    ]
    made = effects(rows, {"shows": "effects by group", "estimator": "etwfe"})
    few = made.counts.assign(treated=[346, 341, 5])
    found = release({"by_group": replace(made, counts=few)}, "hes")["by_group"]
    assert "Sex: male: too few to show." in alt("by_group", found)
    assert "not shown" in tables.table(found).columns[1].cells[2]
    assert "too few to show" in [t.get_text() for t in by_group.by_group(found).texts]


def test_who_had_support_is_laid_out_by_level() -> None:
    laid = show(page()["by_deprivation"]).text
    assert "85 (25%)" in laid
    assert "1 (most deprived)" in laid
