"""The section on equity: what is refused, and how it is said."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from impact.data import read_cohort
from impact.errors import DataError, ParameterError
from impact.study import Study

GOOD = """\
data: {people: p.csv, contacts: c.csv}
design: {treated: [a], control: [b]}
outcomes: [ae]
did: {estimator: etwfe}
equity: {}
"""


def read(tmp_path: Path, section: str) -> Study:
    file = tmp_path / "x.yaml"
    file.write_text(GOOD.replace("{}", section), encoding="utf-8")
    return Study.read(file)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{bye: sex}", "5: equity.bye: there is no such key. Did you mean 'by'?"),
        ("{subgroups: [1]}", "5: equity.subgroups: expected keys and values, found a list."),
        ("{subgroups: {age: [old]}}", "5: equity.subgroups.age: expected a number, found 'old'."),
        ("{weights: {1: 0}}", "5: equity.weights.1: expected a number above 0, found 0."),
        ("{elasticity: -1}", "5: equity.elasticity: expected a number 0.0 or more, found -1."),
        ("{weights: {1: 2}, incomes: {1: 9}}", "weights and incomes are both given; weights are made from"),
    ],
)
def test_a_bad_section_is_one_sentence(tmp_path: Path, section: str, said: str) -> None:
    with pytest.raises(ParameterError) as error:
        read(tmp_path, section)
    assert said in str(error.value)


def test_subgroups_are_names_or_bands_and_weights_may_be_made_from_incomes(tmp_path: Path) -> None:
    for section, groups in {
        "{subgroups: sex}": {"imd_fifth": (), "sex": ()},
        "{by: imd_decile, subgroups: [sex, imd_decile]}": {"imd_decile": (), "sex": ()},
        "{subgroups: {sex: [], age: [50, 65.5]}}": {"imd_fifth": (), "sex": (), "age": (50, 65.5)},
    }.items():
        asked = read(tmp_path, section).equity
        assert asked is not None
        assert asked.groups == groups
    asked = read(tmp_path, "{incomes: {1: 10000, 2: 20000}}").equity
    assert asked is not None
    # (mean income / income) to the power of 1.3, the elasticity of the Green Book.
    assert asked.weighing == pytest.approx({"1": 1.5**1.3, "2": 0.75**1.3})


def test_a_study_without_the_section_asks_for_nothing(tmp_path: Path) -> None:
    study = read(tmp_path, "null")
    assert study.reach == {"outcome": "ae", "by": None}
    assert study.analysis["groups"] is None


def test_a_column_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    people = pd.DataFrame(
        {"person_id": list("pqrs"), "arm": ["a", "a", "b", "b"], "imd_decile": [1, 2, 3, 4]}
    )
    people["start_date"] = ["2024-03-01", "2024-04-01", None, None]
    contacts = pd.DataFrame({"person_id": ["p"], "service": ["ae"], "start": ["2024-01-05"]})
    coverage = pd.DataFrame({"service": ["ae"], "first_date": ["2023-01-01"], "last_date": ["2024-12-31"]})
    cohort = read_cohort(people=people, contacts=contacts, coverage=coverage, treated=["a"], control=["b"])
    study = read(tmp_path, "{by: imd_fith}")
    with pytest.raises(DataError, match=r"'imd_fith'.*Did you mean 'imd_fifth'\?"):
        cohort.panel(**study.window)
