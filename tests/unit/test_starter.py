"""A starter file proposes what the data can answer."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from impact.cli.starter import starter
from impact.errors import ParameterError
from impact.interpret import price_list
from impact.study import Study

DAYS = {"start": ["2024-01-05"] * 3, "end": ["2024-01-06"] * 3}
TABLES: dict[str, dict[str, list[str]]] = {
    "people": {
        "person_id": ["1"],
        "arm": ["a"],
        "first_date": ["2023-01-01"],
        "last_date": ["2024-12-31"],
    },
    "contacts": {"person_id": ["1"] * 3, "service": ["ae", "GP ", "outpatient"], **DAYS},
    "coverage": {
        "service": ["ae", "gp"],
        "first_date": ["2023-01-01"] * 2,
        "last_date": ["2024-12-31"] * 2,
    },
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMPACT_ROOT", str(tmp_path))
    return tmp_path


def written(folder: Path, tables: dict[str, dict[str, list[str]]]) -> str:
    files = [folder / f"{name}.csv" for name in tables]
    for file, columns in zip(files, tables.values(), strict=True):
        pd.DataFrame(columns).to_csv(file, index=False)
    return starter(files, title="study")


def test_outcomes_are_the_services_that_coverage_covers(project: Path) -> None:
    assert "outcomes: [ae, gp]" in written(project, TABLES)
    without = {name: columns for name, columns in TABLES.items() if name != "coverage"}
    assert "outcomes: [ae, gp, outpatient]" in written(project, without)


def study_of(project: Path, people: dict[str, list[str]], services: list[str]) -> Any:
    contacts = {"person_id": ["1"] * len(services), "service": services}
    contacts |= {day: [values[0]] * len(services) for day, values in DAYS.items()}
    more = {"people": TABLES["people"] | {"arm": ["control"]} | people, "contacts": contacts}
    text = written(project, more).replace("treated: []", "treated: [support]")
    (project / "study.yaml").write_text(text)
    return Study.read(project / "study.yaml"), text


def test_money_counts_what_has_a_price_and_no_stay_twice(project: Path) -> None:
    study, text = study_of(project, {}, ["ae", "emergency_admission", "community"])
    assert study.outcomes == ("ae", "community", "emergency_admission", "bed_days")
    assert study.money.count == ("ae", "bed_days")
    assert len(price_list(**study.prices)) == 2
    assert "# without a price: community" in text
    study, text = study_of(project, {}, ["community"])
    assert study.money is None
    assert "# money: " in text


@pytest.mark.parametrize("column", ["imd_decile", "imd_fifth"])
def test_equity_is_by_deprivation_where_the_data_have_it(project: Path, column: str) -> None:
    study, text = study_of(project, {}, ["ae"])
    assert study.equity is None
    assert "# equity: " in text
    study, _ = study_of(project, {column: ["3"], "sex": ["f"]}, ["ae"])
    assert study.equity.groups == {"imd_fifth": (), "sex": ()}
    study, _ = study_of(project, {column: ["3"]}, ["ae"])
    assert study.equity.groups == {"imd_fifth": ()}


def test_what_people_were_asked_is_proposed_where_a_file_of_interviews_is_there(project: Path) -> None:
    survey = {
        "person_id": ["1", "1"],
        "wave": ["12 months", "baseline"],
        "interview_date": ["2024-12-01", "2024-01-01"],
        "anxiety": ["3", "2"],
        "swemwbs_total": ["20", "21"],
    }
    said = written(project, TABLES | {"survey": survey})
    lines = "before: baseline", 'after: ["12 months"]', "outcomes: [swemwbs, anxiety]", "survey: survey.csv"
    assert [line for line in lines if line not in said] == []
    # Without a second wave nothing can be compared.
    assert "# survey:" in written(project, TABLES | {"survey": survey | {"wave": ["0", "0"]}})
    assert "survey" not in written(project, TABLES)


def test_without_contacts_it_says_where_to_read_on(project: Path) -> None:
    interviews = {"person_id": ["1"], "wave": ["0"], "interview_date": ["2023-01-01"]}
    with pytest.raises(ParameterError, match=r"No contacts\? See docs/surveys\.md, A study of answers alone"):
        written(project, {"people": TABLES["people"], "survey": interviews})
