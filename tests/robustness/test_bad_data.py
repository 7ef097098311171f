"""Bad data: one clear message with every problem, and never a person's value."""

from __future__ import annotations

import pandas as pd
import pytest

from impact.data import read_cohort
from impact.errors import DataError, DesignError, ParameterError

N = 30


def tables(**people):
    rows = pd.DataFrame(
        {
            "person_id": [f"p{i}" for i in range(N)],
            "arm": ["help"] * 15 + ["usual"] * 15,
            "start_date": ["2024-03-01"] * 15 + [None] * 15,
        }
    ).assign(**people)
    contacts = pd.DataFrame(
        {"person_id": [f"p{i}" for i in range(N)], "service": "gp", "start": "2024-02-01"}
    )
    coverage = pd.DataFrame({"service": ["gp"], "first_date": "2024-01-01", "last_date": "2024-12-31"})
    return {
        "people": rows,
        "contacts": contacts,
        "coverage": coverage,
        "treated": ["help"],
        "control": ["usual"],
    }


def refused(given, *messages, error=DataError, hidden=()):
    with pytest.raises(error) as caught:
        read_cohort(**given)
    text = str(caught.value)
    for message in messages:
        assert message in text
    for value in hidden:
        assert value not in text
    return text


def first(value, rest=None):
    return [value, *([rest] * (N - 1))]


@pytest.mark.parametrize(
    ("identifier", "rule"),
    [
        ("9434765919", "NHS number"),
        ("943 476 5919", "NHS number"),
        ("mary.jones@example.org", "e-mail"),
        ("Mary Jones", "name"),
        ("O'Neil, Anne-Marie", "name"),
        ("QQ123456C".replace("QQ", "AB"), "National Insurance number"),
    ],
)
def test_identifiers_that_name_a_person_are_refused(identifier, rule):
    given = tables()
    given["people"].loc[3, "person_id"] = identifier
    refused(given, f"people.person_id, {rule}: 1 row(s)", "use a study number", hidden=[identifier])


@pytest.mark.parametrize(
    "identifier", ["9434765918", "0000000019", "HA-0012", "12345678901", "house 12", "A1 B2"]
)
def test_ordinary_study_numbers_pass(identifier):
    given = tables()
    given["people"].loc[3, "person_id"] = identifier
    assert len(read_cohort(**given)) == N


def test_all_problems_of_all_tables_come_together():
    given = tables(
        died=first("2024-02-20"),
        tenancy_start=first("2024-01-01"),
        tenancy_end=first("2023-12-31"),
        imd_decile=first("11", "3"),
        sex=first("female", "f"),
        birth_month=first("July 1950"),
    )
    given["people"].loc[5, "person_id"] = "p4"
    given["contacts"]["end"] = first("2024-01-31")
    given["contacts"].loc[7, "start"] = "31/02/2024"
    given["coverage"] = pd.DataFrame(
        {"service": ["gp"], "first_date": "2024-01-01", "last_date": "2023-01-01"}
    )
    given["control"] = ["usuall"]
    text = refused(
        given,
        "people.person_id, duplicate: 1 row(s) of the file repeat a person who stood before.",
        "people.start_date, start after death: 1 row(s)",
        "people.tenancy_end, end before start: 1 row(s)",
        "people.imd_decile, readable: 1 row(s) of the file are not a whole number from 1 to 10.",
        "people.sex, readable: 1 row(s) of the file are not one of f, m, x, unknown.",
        "people.birth_month, readable: 1 row(s) of the file are not a month such as 1950-07.",
        "people.arm, unknown arm: nobody is in arm 'usuall'. Did you mean 'usual'?",
        "contacts.end, end before start: 1 row(s)",
        "contacts.start, readable: 1 row(s) of the file are not a date such as 2024-03-31 or 31/03/2024.",
        "coverage.last_date, end before start: 1 row(s)",
        hidden=["July", "female", "31/02", "p4"],
    )
    assert "'help'" in text  # the arms of the file are named


def test_missing_files_and_columns_come_together(tmp_path):
    given = tables()
    people = given["people"].rename(columns={"person_id": "person", "arm": "Arm_name"})
    people.to_csv(tmp_path / "people.csv", index=False)
    given |= {"people": tmp_path / "people.csv", "contacts": tmp_path / "contact.csv"}
    (tmp_path / "contacts.csv").write_text("person_id,service,start\n")
    given["coverage"] = given["coverage"].drop(columns="last_date")
    refused(
        given,
        "people: column 'person_id' is missing",
        "Did you mean 'person'? Name yours under data.rename.people.",
        "people: column 'arm' is missing",
        "contact.csv' is not there. Did you mean 'contacts.csv'?",
        "coverage: column 'last_date' is missing",
    )


def test_renames_that_point_nowhere_are_named():
    given = tables() | {"rename": {"people": {"persn_id": "arm", "died": "DoD"}, "peple": {}}}
    refused(
        given,
        "rename: there is no table 'peple'. Did you mean 'people'?",
        "rename.people: the contract has no column 'persn_id'. Did you mean 'person_id'?",
        "rename.people: the file has no column 'DoD'.",
    )


@pytest.mark.parametrize(
    ("content", "hidden"),
    [
        (b"person_id,arm,start_date\n\xff\xfe,help,\n", ()),
        (b'person_id,arm,start_date\n"Secret,help\n\n\n', ("Secret",)),
    ],
)
def test_a_broken_file_is_one_sentence_without_its_lines(tmp_path, content, hidden):
    path = tmp_path / "people.csv"
    path.write_bytes(content)
    refused(tables() | {"people": path}, "people", hidden=hidden)


def test_an_empty_file_and_a_parquet_that_is_none(tmp_path):
    (tmp_path / "people.csv").write_text("")
    (tmp_path / "people.parquet").write_text("person_id,arm")
    refused(tables() | {"people": tmp_path / "people.csv"}, "people")
    refused(
        tables() | {"people": tmp_path / "people.parquet"}, "people: the file could not be read as a table"
    )


def test_no_controls_nobody_treated_one_person():
    refused(
        tables() | {"control": []}, "control=[]: give a list with at least one arm.", error=ParameterError
    )
    refused(tables() | {"treated": "help"}, "treated='help': give a list", error=ParameterError)
    refused(tables() | {"control": ["help"]}, "'help' cannot be both", error=ParameterError)
    alone = tables(consent=[True, *([False] * 14), *([True] * 15)])
    refused(alone, "1 person(s) left in 'help'", "14 no consent", error=DesignError)
    nobody = tables(linked=[True] * 15 + [False] * 15)
    refused(nobody, "0 person(s) left in 'usual'", "15 not linked", error=DesignError)


def test_too_many_contacts_after_death_or_before_birth_stop_the_study():
    late = tables(died=["2024-04-01"] * 2 + [None] * 28)
    late["contacts"].loc[:1, "start"] = "2024-06-01"
    refused(late, "contacts.start, after death: 2 row(s) of the file are after the person's death.")
    early = tables(birth_month=["2024-02"] * 2 + ["1950-01"] * 28)
    early["contacts"].loc[0, "start"] = "2024-01-31"
    refused(early, "contacts.start, before birth: 1 row(s)")


def test_contacts_of_another_place_are_named_as_the_cause():
    given = tables()
    given["contacts"]["person_id"] = "elsewhere " + given["contacts"]["person_id"].astype(str)
    refused(given, "contacts.person_id: no contact belongs to anybody in people; are both files of the same")


def test_everyone_supported_before_the_window_and_an_outcome_that_never_happens():
    given = tables()
    given["people"].loc[:14, "start_date"] = "2023-06-01"
    cohort = read_cohort(**given)
    with pytest.raises(DesignError, match="15 began earlier, 0 later"):
        cohort.panel(outcomes=["gp"])
    given = tables()
    given["coverage"].loc[1] = ["ae", "2024-01-01", "2024-12-31"]
    with pytest.raises(DesignError, match="'ae' never happens"):
        read_cohort(**given).panel(outcomes=["gp", "ae"])
    with pytest.raises(DataError, match="outcome='outpatient': the data hold 'ae', 'gp'"):
        read_cohort(**given).panel(outcomes=["outpatient"])


def test_labels_are_never_code():
    label = "x'); DROP TABLE people; --<script>"
    given = tables()
    given["people"]["arm"] = given["people"]["arm"].replace("usual", label)
    given["people"]["=cmd|' /C calc'!A0"] = 1
    given["coverage"]["applies_to_arm"] = [None]
    given |= {"control": [label]}
    cohort = read_cohort(**given)
    assert set(cohort.people["arm"]) == {"help", label}
    assert cohort.panel(outcomes=["gp"]).outcomes["gp"].sum() == N
    assert cohort.people["=cmd|' /C calc'!A0"].sum() == N
