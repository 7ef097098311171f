"""What a study calls its columns, outcomes and values, from the parameter file to tables and sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from impact import pages
from impact.disclosure import release
from impact.errors import DisclosureError, ParameterError
from impact.pages import own_words
from impact.pages.characteristics import characteristics
from impact.pages.formats import label, plain
from impact.pages.summaries import summary
from impact.results import Summary
from impact.study import Study

LABELS = {
    "visits": "Visits to a doctor",
    "female": {"name": "Sex", "levels": {0: "male", 1: "female"}},
    "arm": {"levels": {"b": "usual care"}},
}


@pytest.fixture(autouse=True)
def _words_of_one_study() -> Iterator[None]:
    yield
    own_words.use({})


def study(**more: Any) -> Study:
    panel = {"file": "p.csv", "unit": "practice", "period": "month", "outcomes": ["visits"], "arm": "arm"}
    given = {"data": {"panel": {**panel, **more.pop("panel", {})}}, "outcomes": ["visits"]}
    design = {"treated": ["a"], "control": ["b"], "months_before": 0} | more.pop("design", {})
    matching = {"on": ["female", "prior_visits"], "method": "entropy_balance"}
    return Study(**given, design=design, matching=matching, **more)


def test_a_label_is_words_or_words_with_those_of_the_values() -> None:
    read = study(labels=LABELS)
    assert read.masthead["labels"]["female"] == {"name": "Sex", "levels": {"0": "male", "1": "female"}}
    assert Study(**{k: v for k, v in read.parameters.items() if v is not None}) == read
    assert "labels" not in study(panel={"exposure": "time"}).masthead


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"vists": "Visits"}, r"labels.vists: this study shows nothing .*'vists'. Did you mean 'visits'\?"),
        ({"visits": {"nmae": "Visits"}}, r"labels.visits.nmae: there is no such key. Did you mean 'name'\?"),
        ({"visits": "Use", "female": "Use"}, r"labels.visits: 'Use' would stand for 2 of them"),
        ({"female": {"levels": {0: "x", 1: "x"}}}, r"labels.female: 'x' would stand for 2 of them"),
        ({"female": 3}, r"labels.female: expected keys and values, found 3"),
    ],
)
def test_labels_of_nothing_and_labels_of_two_things_are_refused(labels: Any, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        study(labels=labels)


def test_a_label_that_names_a_person_is_not_shown() -> None:
    with pytest.raises(DisclosureError, match="labels: female holds an NHS number"):
        pages.masthead("Northtown", labels={"female": {"name": "943 476 5919", "levels": {}}})


def test_tables_and_sentences_use_the_studys_own_words() -> None:
    read = study(labels=LABELS)
    pages.masthead(**read.masthead)
    assert (label("prior_visits"), label("b")) == ("Visits to a doctor in the year before", "Usual care")
    rows = pd.DataFrame({"covariate": ["female", "female", "people"], "level": ["0", "1", "all"]})
    assert characteristics(rows) == ["Sex: male", "Sex: female", "Practices"]
    # In a table of means, the mean of 0 and 1 is the share of 1.
    assert characteristics(pd.DataFrame({"covariate": ["female"], "level": [""]})) == ["Sex: female"]
    said = {name: plain(sentence) for name, sentence in read.brief.items()}
    assert said["People"] == "Support (a) or none (usual care)."
    assert "visits to a doctor (the main result)." in said["Counted"]
    assert "on sex and visits to a doctor in the year before." in said["Compared"]
    pages.masthead("Another study")
    assert label("visits") == "Visits"


def test_words_of_the_studys_own_that_hold_a_columns_name_stay_as_they_are() -> None:
    read = study(labels=LABELS, wording={"support": "visits by a nurse", "without": "none"})
    pages.masthead(**read.masthead)
    assert plain(read.brief["People"]) == "Support (visits by a nurse) or none (none)."


@pytest.mark.parametrize(
    ("more", "those"),
    [
        ({}, "Practices"),
        ({"panel": {"exposure": "time"}}, "People"),
        ({"panel": {"exposure": "time"}, "labels": {"practice": "GP surgery"}}, "GP surgeries"),
    ],
)
def test_a_table_heads_its_counts_with_what_is_counted(more: dict[str, Any], those: str) -> None:
    pages.masthead(**study(**more).masthead)
    counts = Summary(pd.DataFrame({"arm": ["control"], "persons": [40]}), {}, people=["persons"])
    assert those in [c.header for c in summary(release({"n": counts}, "hes")["n"]).columns]


def test_households_are_counted_as_households() -> None:
    data = {"people": "p.csv", "contacts": "c.csv"}
    design = {"treated": ["a"], "control": ["b"], "unit": "household_id"}
    read = Study(data=data, design=design, outcomes=["ae"], matching={"on": ["age"]})
    assert read.masthead["unit"] == "household"
    assert "Tables count each household once" in read.remarks[0]
