"""What a page says of a survey follows from what was released, and no more."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from impact.data import read_cohort
from impact.disclosure import release
from impact.interpret import surveyed
from impact.pages import captions, survey

N = 300
PLAN = {"outcomes": ["life_satisfaction", "anxiety", "in_work"], "before": "0", "after": ["12", "6"]}


def made(gain: float) -> dict[str, Any]:
    rng = np.random.default_rng(5)
    ids, helped = [f"p{i:04d}" for i in range(N)], np.arange(N) % 2 == 0
    people = pd.DataFrame({"person_id": ids, "arm": np.where(helped, "help", "usual")})
    people["start_date"] = np.where(helped, "2024-02-10", None)
    parts = []
    for wave, day in (("0", "2024-02-01"), ("6", "2024-08-01"), ("12", "2025-02-01")):
        part = pd.DataFrame({"person_id": ids, "wave": wave, "interview_date": day, "recall_days": 90})
        part["life_satisfaction"] = np.clip(rng.integers(3, 8, N) + gain * (helped & (wave == "12")), 0, 10)
        part["anxiety"] = rng.integers(1, 9, N)
        part["in_work"] = rng.random(N) < 0.4
        parts.append(part if wave == "0" else part[rng.random(N) < 0.8])
    contacts = pd.DataFrame({"person_id": ids, "service": "gp", "start": "2024-03-01"})
    tables = {"people": people, "contacts": contacts, "survey": pd.concat(parts)}
    data = read_cohort(**tables, treated=["help"], control=["usual"])
    return release(surveyed(data, asked=PLAN, worth={"wellby": {"years": 1}}), "hes")


@pytest.fixture(scope="module")
def better() -> dict[str, Any]:
    return made(2)


@pytest.fixture(scope="module")
def unclear() -> dict[str, Any]:
    return made(0)


def test_the_answer_says_which_way_how_much_and_how_sure(better, unclear):
    found = survey.headline(better).text
    said = r"Satisfaction with life was better with support than the change without it would have made it: \+"
    assert re.match(
        said + r"[\d.]+ points \(95% range \+[\d.]+ to \+[\d.]+\), on a scale from 0 to 10\.", found
    )
    assert "no clear change: anxiety yesterday and in paid work" in found
    assert "Support was not given by lot" in found
    assert "by lot" not in survey.headline(better, assignment="randomised").text
    assert survey.headline(unclear).text.startswith("The survey cannot tell whether satisfaction with life")


def test_findings_are_at_most_four_sentences_and_a_fold(better):
    shown = survey.findings(better)
    assert shown.html.split("<details")[0].count("<li>") <= 4
    assert "All questions, before and after" in shown.html
    assert survey.findings({}).html == ""


def test_the_tables_hold_the_released_figures(better):
    effects, means, lost = survey.effects(better), survey.means(better), survey.who(better)
    assert "12 and before" in effects.text
    assert "At the other interviews" in effects.html
    assert "0 to 10" in effects.text
    assert "points" in effects.text
    assert "per 100 people" in effects.text
    row = better["spoken"].table.iloc[0]
    assert f"{row['mean']:.1f}" in means.text
    assert "higher is better" in means.text
    assert "who were lost had said before" in lost.text
    assert "Weighed for those lost" in survey.beside(better).text
    # Nobody's way of being asked is in the file: there is no table of it.
    assert survey.modes(better).text == "The file does not say how interviews were held."


def test_the_figure_has_words_for_those_who_cannot_see_it(better):
    said = captions.alt("said", better["said_standard"])
    assert re.search(r"Satisfaction with life \+\d\.\d\d \(\+\d\.\d\d to \+\d\.\d\d\)\.", said)
    # Less anxiety is better, so that its sign is turned.
    raw, turned = (
        better[name].table.query("outcome == 'anxiety' and term == '12'")["estimate"].iloc[0]
        for name in ("said", "said_standard")
    )
    assert np.sign(raw) == -np.sign(turned)


def test_a_value_is_told_apart_from_money_saved(better, unclear):
    said = survey.worth(better).text
    assert re.search(
        r"worth £[\d,]+ \(95% range £[\d,]+ to £[\d,]+\) at the central price, if it lasts 1 year, as this "
        r"study assumes \(£13,000 a point and year, HM Treasury .*, July 2021, 2019 prices\)\.",
        said,
    )
    assert "must not be added" in said
    assert "−£" in survey.worth(unclear).text


def test_what_is_the_same_to_the_last_digit_is_no_clear_change():
    told = {"name": "in_work", "kind": "yes or no", "better": "higher", "scale": "", "unit": "per 100 people"}
    same = survey.Change(**told, estimate=1e-14, low=1e-14, high=1e-14, p=0.0)
    assert same.word == "not clear"
    assert survey.Change(**told, estimate=5.0, low=1.0, high=9.0, p=0.01).word == "better"


def test_the_figure_and_the_table_call_the_same_changes_clear(better):
    words = {c.name: c.is_clear for c in survey.changes_of(better["said"])}
    drawn = survey.standard(better["said_standard"], better["said"])
    marks = [line.get_marker() for line in drawn.lines if line.get_marker() in ("o", "D")]
    names = [c.name for c in survey.changes_of(better["said_standard"])]
    assert marks == ["o" if words[name] else "D" for name in names]
