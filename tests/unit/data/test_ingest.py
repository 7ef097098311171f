"""Files as they come: CSV and Parquet, one or many, other names, other dates, frames."""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd
import pytest

from impact.data import read, read_cohort
from impact.data.reading import literal

ARMS = {"treated": ["help"], "control": ["usual"]}


def tables():
    people = pd.DataFrame(
        {
            "person_id": ["007", "t2", "c1", "c2"],
            "arm": ["help", "help", "usual", "usual"],
            "start_date": ["2024-02-10", "2024-03-01", None, None],
            "birth_month": ["1950-07", "1951-01", None, "1940-12"],
            "linked": ["yes", "TRUE", "1", None],
            "sex": ["F", "m", "Unknown", None],
        }
    )
    contacts = pd.DataFrame(
        {
            "person_id": ["007", "t2", "c1", "c2", "c2"],
            "service": ["gp", "GP", "gp", "gp", "ae"],
            "start": ["2024-01-15", "2024-02-15", "2024-03-15", "2024-04-15", "2024-04-16"],
        }
    )
    coverage = pd.DataFrame({"service": ["gp", "ae"], "first_date": "2024-01-01", "last_date": "2024-06-30"})
    return {"people": people, "contacts": contacts, "coverage": coverage}


@pytest.fixture(scope="module")
def expected():
    return read_cohort(**tables(), **ARMS).panel(outcomes=["gp", "ae"]).table


def same(cohort, expected):
    pd.testing.assert_frame_equal(cohort.panel(outcomes=["gp", "ae"]).table, expected)


def write_parquet(frame, path):
    con = duckdb.connect()
    con.register("given", frame)
    con.execute(f"COPY given TO {literal(str(path))} (FORMAT parquet)")


def test_frames_give_the_numbers(expected):
    assert expected.loc[expected["person_id"] == "c2", ["gp", "ae"]].sum().tolist() == [1, 1]
    assert expected["gp"].sum() == 4


def test_csv_one_list_and_glob(tmp_path, expected):
    given = tables()
    for name, frame in given.items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    given["contacts"][:2].to_csv(tmp_path / "contacts_1.csv", index=False)
    given["contacts"][2:][["start", "service", "person_id"]].to_csv(tmp_path / "contacts_2.csv", index=False)
    rest = {"people": tmp_path / "people.csv", "coverage": str(tmp_path / "coverage.csv"), **ARMS}
    same(read_cohort(contacts=tmp_path / "contacts.csv", **rest), expected)
    same(read_cohort(contacts=[tmp_path / "contacts_1.csv", tmp_path / "contacts_2.csv"], **rest), expected)
    same(read_cohort(contacts=str(tmp_path / "contacts_*.csv"), **rest), expected)


def test_relative_paths_quotes_and_semicolons(tmp_path, monkeypatch, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "it's here").mkdir()
    for name, frame in tables().items():
        frame.to_csv(tmp_path / "it's here" / f"{name}.csv", index=False, sep=";", encoding="utf-8-sig")
    same(read_cohort(**{n: f"it's here/{n}.csv" for n in tables()}, **ARMS), expected)


def test_parquet_with_its_own_types(tmp_path, expected):
    given = tables()
    given["people"]["start_date"] = pd.to_datetime(given["people"]["start_date"])
    given["people"]["linked"] = pd.array([True, True, True, None], dtype="boolean")
    given["contacts"]["start"] = pd.to_datetime(given["contacts"]["start"]) + pd.Timedelta("14h")
    given["contacts"]["service"] = given["contacts"]["service"].astype("category")
    for name, frame in given.items():
        write_parquet(frame, tmp_path / f"{name}.parquet")
    same(read_cohort(**{n: tmp_path / f"{n}.parquet" for n in given}, **ARMS), expected)


def test_dates_in_british_order_and_with_times(tmp_path, expected):
    given = tables()
    start = pd.to_datetime(given["contacts"]["start"])
    given["contacts"]["start"] = start.dt.strftime("%d/%m/%Y")
    given["contacts"].loc[3, "start"] = "15/04/2024 09:30"
    given["contacts"].loc[4, "start"] = "2024-04-16T23:59:00"
    given["coverage"]["first_date"] = "01/01/2024"
    for name, frame in given.items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    same(read_cohort(**{n: tmp_path / f"{n}.csv" for n in given}, **ARMS), expected)


def test_other_names(expected):
    given = tables()
    given["people"] = given["people"].rename(columns={"person_id": "Tenant Ref", "start_date": 'the "start"'})
    given["contacts"] = given["contacts"].rename(
        columns={"person_id": "Ref", "start": "Contact; DROP TABLE people"}
    )
    rename = {
        "people": {"person_id": "Tenant Ref", "start_date": 'the "start"'},
        "contacts": {"person_id": "Ref", "start": "Contact; DROP TABLE people"},
    }
    same(read(**given, rename=rename, **ARMS), expected)


def test_numbers_as_identifiers_meet_their_text():
    given = tables()
    ids = {"007": 7, "t2": 8, "c1": 9, "c2": 10}
    given["people"]["person_id"] = given["people"]["person_id"].map(ids)
    given["contacts"]["person_id"] = given["contacts"]["person_id"].map(ids).astype(float)
    given["people"]["arm"] = [1, 1, 0, 0]
    cohort = read_cohort(**given, treated=["1"], control=["0"])
    assert cohort.panel(outcomes=["gp"]).outcomes["gp"].sum() == 4
    assert cohort.person_id.tolist() == ["10", "7", "8", "9"]
    assert cohort.people["arm"].tolist() == ["0", "1", "1", "0"]


def test_words_are_read_by_the_contract():
    people = read_cohort(**tables(), **ARMS).people.set_index("person_id")
    assert people["sex"].loc[["007", "t2", "c1"]].tolist() == ["f", "m", "unknown"]
    assert people["linked"].tolist() == [True] * 4
    assert people["age"].loc["007"] == 73


def test_quality_has_a_row_for_every_rule_even_at_zero():
    from impact.data.rules import RULES

    quality = read_cohort(**tables(), **ARMS).quality
    assert list(quality.columns) == ["table", "column", "rule", "severity", "count", "action"]
    asked = {(r.table, r.column, r.name) for r in RULES if r.table != "survey" and not r.by_arm}
    assert asked <= set(quality[["table", "column", "rule"]].itertuples(index=False, name=None))
    silent = quality[quality["rule"].str.startswith("no contacts")]
    assert silent["rule"].tolist() == ["no contacts, arm help", "no contacts, arm usual"]
    assert quality.set_index("rule").loc["small arm", "count"] == 2


def test_every_warning_is_counted():
    given = tables()
    given["people"]["arm"] = ["help", "help", "usual", "usual"]
    extra = {
        "person_id": ["x1", "x2", "x3", "x4", "x5"],
        "arm": ["elsewhere", "help", "usual", "usual", "help"],
        "start_date": [None, None, None, None, "2024-02-01"],
    }
    people = pd.concat([given["people"], pd.DataFrame(extra)], ignore_index=True)
    people["consent"] = [None] * 6 + [False, None, None]
    people["opt_out"] = [None] * 7 + [True, None]
    people["tenancy_start"] = [None] * 8 + ["2024-03-01"]
    more = pd.DataFrame(
        {
            "person_id": ["t2", "t2", "t2", "nobody", "c1", "c1", "c1"],
            "service": ["gp", "gp", "gp", "gp", "emergency_admission", "elective_admission", "dentist"],
            "start": [
                "2024-05-01",
                "2024-05-01",
                "2023-05-01",
                "2024-05-01",
                "2024-01-05",
                "2024-01-08",
                "2024-02-02",
            ],
            "end": [None, None, None, None, "2024-01-09", None, None],
            "record_id": ["a", "a", "b", "c", "d", "e", "f"],
            "status": ["attended", "attended", None, None, None, None, "dna"],
        }
    )
    given |= {"people": people, "contacts": pd.concat([given["contacts"], more], ignore_index=True)}
    cohort = read_cohort(**given, **ARMS)
    count = cohort.quality.set_index(["table", "rule"])["count"].to_dict()
    found = {
        ("people", "arm not listed"): 1,
        ("people", "no start date"): 1,
        ("people", "no consent"): 1,
        ("people", "opted out"): 1,
        ("people", "start outside tenancy"): 1,
        ("people", "no contacts, arm help"): 2,
        ("contacts", "unknown person"): 1,
        ("contacts", "duplicate record"): 1,
        ("contacts", "same-day contacts"): 1,
        ("contacts", "other service"): 1,
        ("contacts", "not attended"): 1,
        ("contacts", "outside coverage"): 1,
        ("contacts", "overlapping stays"): 1,
        ("contacts", "stay without end"): 1,
        ("coverage", "no coverage"): 3,
    }
    assert {key: count[key] for key in found} == found
    flow = cohort.flow.table
    assert flow["persons"].tolist()[0] == 9 == flow["persons"].iloc[1:].sum()
    assert cohort.panel(outcomes=["gp"]).outcomes["gp"].sum() == 5


def test_a_survey_is_checked():
    survey = pd.DataFrame(
        {"person_id": ["t2", "t2", "zz"], "wave": ["1", "2", "1"], "interview_date": "2024-05-05"}
    )
    quality = read_cohort(**tables(), survey=survey, **ARMS).quality
    assert quality[quality["table"] == "survey"].set_index("rule")["count"]["unknown person"] == 1


def test_contacts_after_death_are_left_out_up_to_one_in_a_hundred():
    given = tables()
    given["people"]["died"] = [None, "2024-05-30", None, None]
    days = pd.date_range("2024-01-01", periods=99).strftime("%Y-%m-%d")
    given["contacts"] = pd.DataFrame({"person_id": "t2", "service": "gp", "start": [*days, "2024-06-01"]})
    cohort = read_cohort(**given, **ARMS)
    assert cohort.quality.set_index("rule").loc["after death", "count"] == 1
    assert cohort.panel(outcomes=["gp"]).outcomes["gp"].sum() == 99
    assert np.array_equal(cohort.panel(outcomes=["gp"]).exposure["gp"][3] > 0, [True] * 5 + [False])
