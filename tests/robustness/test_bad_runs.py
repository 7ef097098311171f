"""Bad input through the command, as a user meets it: one clear message, its exit code, and nothing harmed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from impact.cli import main
from impact.data import read_cohort

N = 60
HELP, USUAL = list(range(N // 2)), list(range(N // 2, N))
NHS = "9434765919"
HTML = "<script>alert('Mary Jones')</script>"
FORMULAS = ("=1+1", 'a"; DROP TABLE people; --', "__import__('os').system('touch hit')")

STUDY = """\
title: Northtown
data: {people: data/people.csv, contacts: data/contacts.csv, coverage: data/coverage.csv}
design: {treated: [help], control: [usual], period: quarter}
outcomes: [gp, ae]
did: {covariates: [age, ltc_n]}
matching: {"on": [age, sex, ltc_n, prior_gp]}
"""
PANEL = """\
title: Sites
data: {panel: {file: data/panel.csv, unit: site, period: month, outcomes: [falls], first_treated: since,
               covariates: [size]}}
design: {months_before: 3, months_after: 3}
outcomes: [falls]
did: {covariates: [size]}
"""
Tables = dict[str, pd.DataFrame]
Mend = Callable[[Tables], Any]


def tables() -> Tables:
    """Two years of two services for two arms of 30, and a panel of 20 sites."""
    rng, i = np.random.default_rng(1), np.arange(N)
    people = pd.DataFrame(
        {
            "person_id": [f"P{k:04d}" for k in i],
            "arm": np.where(i < N // 2, "help", "usual"),
            "start_date": [f"2024-{1 + k % 6:02d}-11" if k < N // 2 else None for k in i],
            "birth_month": [f"19{40 + k % 20}-0{1 + k % 9}" for k in i],
            "sex": np.where(i % 3 == 0, "m", "f"),
            "ltc_n": i % 4,
        },
        dtype=object,
    )
    days = pd.date_range("2022-01-03", "2025-06-28", freq="17D").strftime("%Y-%m-%d")
    contacts = pd.DataFrame(
        {
            "person_id": rng.choice(people["person_id"], 3000),
            "service": rng.choice(["gp", "ae"], 3000),
            "start": rng.choice(days, 3000),
        }
    )
    coverage = pd.DataFrame(
        {"service": ["gp", "ae"], "first_date": "2022-01-01", "last_date": "2025-06-30"}, dtype=object
    )
    months = pd.date_range("2024-01-01", periods=8, freq="MS").strftime("%Y-%m-%d")
    site = np.repeat([f"S{k:02d}" for k in range(20)], 8)
    panel = pd.DataFrame({"site": site, "month": [*months] * 20, "falls": np.arange(160) % 7}, dtype=object)
    panel["since"] = np.where(site < "S10", "2024-05-01", "")
    panel["size"] = [int(s[1:]) for s in site]
    return {"people": people, "contacts": contacts, "coverage": coverage, "panel": panel}


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, list[str], str]]:
    """Write a project, run a command in it and return its exit code, its lines of errors and its output.

    An earlier report lies there, and must lie there untouched afterwards.
    """

    def call(
        study: str = STUDY, change: Mend = lambda _: None, *words: str, verb: str = "check"
    ) -> tuple[int, list[str], str]:
        given = tables()
        change(given)
        for folder in ("params", "data", "outputs/study/share"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for name, table in given.items():
            table.to_csv(tmp_path / f"data/{name}.csv", index=False)
        (tmp_path / "params/study.yaml").write_text(study)
        earlier = tmp_path / "outputs/study/share/index.html"
        earlier.write_bytes(b"an earlier report\r\n")
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("IMPACT_ROOT", raising=False)
        monkeypatch.setattr("sys.argv", ["impact", verb, "params/study.yaml", *words])
        code = 0
        try:
            main()
        except SystemExit as done:
            code = int(done.code or 0)
        told = capfd.readouterr()
        if code:
            assert earlier.read_bytes() == b"an earlier report\r\n"
            assert [p.name for p in (tmp_path / "outputs/study/share").iterdir()] == ["index.html"]
            assert "Traceback" not in told.out + told.err
        assert not (tmp_path / "outputs/fault.txt").exists()
        assert not (tmp_path / "hit").exists()
        for secret in (NHS, "Mary Jones", "P0003"):
            assert secret not in told.out + told.err
        return code, told.err.splitlines(), told.out

    return call


def put(column: str, value: Any, rows: list[int] | slice = slice(None), table: str = "people") -> Mend:
    """Write a value into a column, which may be a new one."""

    def change(given: Tables) -> None:
        frame = given[table]
        if column not in frame:
            frame[column] = None
        frame.loc[rows, column] = value

    return change


def several(*changes: Mend) -> Mend:
    return lambda given: [change(given) for change in changes]


def without(table: str, column: str) -> Mend:
    return lambda given: given.update({table: given[table].drop(columns=column)})


def only_gp(given: Tables) -> None:
    given["contacts"] = given["contacts"].query("service == 'gp'")


def no_rows(*names: str) -> Mend:
    return lambda given: given.update({name: given[name][:0] for name in names})


STOPPED = "Nothing was estimated: mend the files, or leave those rows out."

CASES: dict[str, tuple[str, Mend, int, list[str]]] = {
    "an unknown key and a wrong type": (
        STUDY.replace("did: {", "did: {anticipaton: 1, ").replace("gp, ae", "3"),
        lambda _: None,
        2,
        [
            "params/study.yaml:4: outcomes: expected text (put it in quotes if it looks like something "
            "else), found 3.",
            "params/study.yaml:5: did.anticipaton: there is no such key. Did you mean 'anticipation'?",
        ],
    ),
    "two missing files": (
        STUDY.replace("people.csv", "peple.csv").replace("coverage.csv", "coverag.csv"),
        lambda _: None,
        3,
        [
            "data.people: there is no file 'data/peple.csv' (paths count from the project's folder). "
            "Did you mean 'people.csv'?",
            "data.coverage: there is no file 'data/coverag.csv' (paths count from the project's folder). "
            "Did you mean 'coverage.csv'?",
        ],
    ),
    "two missing columns": (
        STUDY,
        several(
            lambda t: t.update(people=t["people"].rename(columns={"arm": "arms"})),
            without("contacts", "start"),
        ),
        3,
        [
            "people: column 'arm' is missing (the group the person belongs to; the study lists which are "
            "treated). Did you mean 'arms'? Name yours under data.rename.people.",
            "contacts: column 'start' is missing (day of the contact, or of admission). Name yours under "
            "data.rename.contacts.",
        ],
    ),
    "two files without rows": (
        STUDY,
        no_rows("people", "contacts"),
        3,
        ["people: the file holds no rows.", "contacts: the file holds no rows."],
    ),
    "an unknown arm, duplicate people, dates in the wrong order, an NHS number, HTML": (
        STUDY.replace("[usual]", "[usuall]"),
        several(
            put("person_id", "P0003", [4]),
            put("person_id", NHS, [5]),
            put("sex", HTML, [6]),
            put("offer_date", "2024-12-01", [7]),
            put("tenancy_start", "2024-01-01", [8]),
            put("tenancy_end", "2023-01-01", [8]),
            put("last_date", "2021-01-01", [0], "coverage"),
        ),
        3,
        [
            "people.sex, readable: 1 row(s) of the file are not one of f, m, x, unknown.",
            "people.person_id, duplicate: 1 row(s) of the file repeat a person who stood before.",
            "people.person_id, NHS number: 1 row(s) of the file are valid NHS numbers: use a study number "
            "(one that is not ten digits long).",
            "people.arm, unknown arm: nobody is in arm 'usuall'. Did you mean 'usual'? The file has 'help', "
            "'usual'.",
            "people.start_date, start before offer: 1 row(s) of the file start before they were offered.",
            "people.tenancy_end, end before start: 1 row(s) of the file end before the tenancy starts.",
            "coverage.last_date, end before start: 1 row(s) of the file end before they start.",
            STOPPED,
        ],
    ),
    "no controls": (
        STUDY,
        several(put("consent", "yes"), put("consent", "no", USUAL)),
        4,
        ["0 person(s) left in 'usual'; an effect needs at least 2. Left out: 30 no consent."],
    ),
    "nobody treated": (
        STUDY,
        put("start_date", None),
        4,
        ["0 person(s) left in 'help'; an effect needs at least 2. Left out: 30 no start date."],
    ),
    "one person in an arm": (
        STUDY,
        put("arm", "other", USUAL[1:]),
        4,
        ["1 person(s) left in 'usual'; an effect needs at least 2. Left out: 29 arm not listed."],
    ),
    "everyone treated before the window": (
        STUDY,
        put("start_date", "2021-03-04", HELP),
        4,
        [
            "Nobody begins support within the panel after its first period (2022-01 to 2025-04): 30 began "
            "earlier, 0 later. Choose start and end so that there is time before and after support."
        ],
    ),
    "everyone treated before the window, matched only": (
        STUDY.replace("did: {covariates: [age, ltc_n]}\n", ""),
        put("start_date", "2021-03-04", HELP),
        4,
        [
            "Nobody treated was observed, alive and a tenant on the day their support began: look at the "
            "start dates and the coverage."
        ],
    ),
    "an outcome that never happens": (
        STUDY,
        only_gp,
        4,
        ["outcomes: 'ae' never happens to anyone at risk in the panel; leave it out."],
    ),
    "an outcome that is neither covered nor counted": (
        STUDY,
        several(only_gp, lambda t: t.update(coverage=t["coverage"][:1])),
        3,
        ["outcome='ae': the data hold 'gp'."],
    ),
    "gaps in what both methods use": (
        STUDY.replace("prior_gp]", "prior_gp], exact: ['=1+1']"),
        several(put("=1+1", 3), put("=1+1", None, [2, 3]), put("ltc_n", None, [4])),
        3,
        [
            "covariates: 'ltc_n' is missing for 1 of 60; leave these people out, add a level 'missing', or "
            "drop the covariate.",
            "on: column 'ltc_n' is missing for 1 people. Fill them, choose missing='indicator' or "
            "'category', or leave the covariate out.",
        ],
    ),
    "formulas for columns that are not there": (
        STUDY.replace("[age, ltc_n]", json.dumps(FORMULAS)),
        lambda _: None,
        3,
        [f"did.covariates: {name!r} is not in the data." for name in FORMULAS],
    ),
    "a panel: a missing column": (
        PANEL,
        several(without("panel", "falls"), without("panel", "size")),
        3,
        ["panel: column 'falls' is missing.", "panel: column 'size' is missing. Did you mean 'site'?"],
    ),
    "a panel: duplicates, NHS number, text for a number": (
        PANEL,
        several(
            put("month", "2024-02-01", [0], "panel"),
            put("site", NHS, list(range(8, 16)), "panel"),
            put("falls", HTML, [20], "panel"),
        ),
        3,
        [
            "panel.falls, readable: 1 row(s) of the file are not a number.",
            "panel.unit, NHS number: 8 row(s) of the file are valid NHS numbers: use a study number (one "
            "that is not ten digits long).",
            "panel.unit, duplicate: 1 row(s) of the file repeat a unit and period.",
        ],
    ),
    "a panel: no rows": (PANEL, no_rows("panel"), 3, ["panel: the file holds no rows."]),
    "a panel: nobody treated": (
        PANEL,
        put("since", None, table="panel"),
        4,
        [
            "nobody is treated between 2024-01 and 2024-08: check the treated arms and the start dates.",
        ],
    ),
    "a panel: everyone treated before the window": (
        PANEL,
        put("since", "2023-05-01", list(range(80)), "panel"),
        4,
        [
            "everyone treated was treated before 2024-02, so there is no period before support to compare "
            "with; begin the window earlier."
        ],
    ),
    "a panel: no controls": (
        PANEL,
        put("since", "2024-05-01", table="panel"),
        4,
        ["there are no people at risk in the control arm: check the arms; everyone may be treated."],
    ),
    "a panel: one unit in an arm": (
        PANEL,
        put("since", "2024-05-01", list(range(152)), "panel"),
        4,
        [
            "the control arm has only one person or cluster, so its error cannot be estimated; add people or "
            "sites, or cluster by a smaller unit."
        ],
    ),
    "a panel: an outcome that never happens": (
        PANEL,
        put("falls", 0, table="panel"),
        4,
        ["outcomes: 'falls' never happens; leave it out."],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_fault_is_told_at_once_and_harms_nothing(command: Any, name: str) -> None:
    study, change, expected, lines = CASES[name]
    code, told, shown = command(study, change)
    in_file = any(line.startswith("params/") for line in lines)
    assert told == [line if in_file else f"study: {line}" for line in lines]
    assert (code, shown) == (expected, "")


def test_the_good_study_and_the_good_panel_pass(command: Any) -> None:
    for study in (STUDY, PANEL, STUDY.replace("did: {", "did: {estimator: two_by_two, ")):
        assert command(study)[:2] == (0, [])


@pytest.mark.parametrize("label", [HTML, "[red]usual[/red]", "'; DROP TABLE people; --", "=1+1"])
def test_odd_labels_of_arms_are_only_text(command: Any, label: str) -> None:
    design = json.dumps([label])
    code, told, shown = command(STUDY.replace("[usual]", design), put("arm", label, USUAL))
    assert (code, told) == (0, [])
    assert "in the study control 30" in " ".join(shown.split())


@pytest.mark.parametrize("column", FORMULAS)
def test_columns_that_look_like_formulas_or_code_are_only_names(command: Any, column: str) -> None:
    study = STUDY.replace("[age, ltc_n]", json.dumps([column])).replace(
        "[age,", json.dumps([column])[:-1] + ","
    )
    assert command(study, put(column, 3))[:2] == (0, [])
    panel = PANEL.replace("[size]", json.dumps([column]))
    renamed = command(panel, lambda t: t.update(panel=t["panel"].rename(columns={"size": column})))
    assert renamed[:2] == (0, [])


@pytest.mark.parametrize("column", ["sex", "ethnicity"])
def test_a_blank_is_unknown_and_counted(command: Any, column: str) -> None:
    change = several(put(column, "unknown"), put(column, None, [2, 3, 40]))
    code, told, shown = command(STUDY.replace("[age, sex", f"[age, {column}"), change)
    assert (code, told) == (0, [])
    row = next(line for line in shown.splitlines() if f"people.{column}" in line)
    assert row.split() == [f"people.{column}", "blank", "warning", "3", "taken", "as", "'unknown'"]
    given = tables()
    change(given)
    del given["panel"]
    cohort = read_cohort(**given, treated=["help"], control=["usual"])
    assert set(cohort.people[column]) == {"unknown"}
    quality = cohort.quality
    assert "sex" in cohort.people
    # A column that is not in the file is not made up, and nothing is counted.
    assert len(quality[quality["rule"] == "blank"]) == (1 if column == "sex" else 2)


@pytest.mark.xdist_group("kernels")
def test_a_run_on_bad_data_stops_with_the_same_message(command: Any, tmp_path: Path) -> None:
    code, told, _ = command(STUDY, put("person_id", NHS, [3]), verb="run")
    assert code == 3
    assert told == [
        "study: stopped",
        "study: people.person_id, NHS number: 1 row(s) of the file are valid NHS numbers: use a study number "
        "(one that is not ten digits long).",
        f"study: {STOPPED}",
        "study: the details are in outputs/study/private/failed",
    ]
    kept = [p for p in (tmp_path / "outputs/study").rglob("*") if p.is_file() and p.name != "index.html"]
    assert {p.parent.name for p in kept} == {"failed"}
    assert not any(NHS in p.read_text() for p in kept)
