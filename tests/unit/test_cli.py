"""The command line: what it starts, what it says, and its exit codes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from impact.study import Study

ROOT = Path(__file__).parents[2]
HEAVY = ("statsmodels", "papermill", "matplotlib", "nbconvert", "seaborn", "IPython")
Impact = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def project(tmp_path: Path, demo: Path) -> Path:
    """A project with the demonstration study and data."""
    (tmp_path / "params").mkdir()
    (tmp_path / "params/demo.yaml").write_text((ROOT / "params/demo.yaml").read_text())
    (tmp_path / "data").symlink_to(demo)
    return tmp_path


@pytest.fixture
def impact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Impact:
    """Run a command as a user does, in a folder of its own."""
    monkeypatch.delenv("IMPACT_ROOT", raising=False)
    monkeypatch.setenv("COLUMNS", "100")

    def call(*words: str | Path, code: str = "from impact.cli import main; main()") -> object:
        command = [sys.executable, "-c", code, *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)

    return call  # type: ignore[return-value]


def loaded(impact: Impact, *words: str | Path) -> set[str]:
    """Which modules a command has imported when it is done."""
    code = (
        "import sys\nfrom impact.cli import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    )
    return set(impact(*words, code=code).stderr.split())


def test_help_names_the_exit_codes_and_starts_nothing_heavy(impact: Impact) -> None:
    assert "3  a data file is missing, unreadable or breaks the contract" in impact("--help").stdout
    modules = loaded(impact, "--help")
    assert modules.isdisjoint({*HEAVY, "pandas", "numpy", "duckdb", "pydantic", "rich.table"})


def test_the_version_is_told_at_once(impact: Impact) -> None:
    assert impact("--version").stdout == f"impact {version('impact')}\n"
    assert loaded(impact, "--version").isdisjoint({*HEAVY, "pandas", "numpy", "duckdb", "pydantic"})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--memory", "-1"], "memory: expected more than 0, found -1."),
        (["--minutes", "0"], "minutes: expected more than 0, found 0."),
        (["--minutes", "nan"], "minutes: expected more than 0, found nan."),
        (["--output", "memory://o"], "--output memory://o: what is kept in memory goes with the command; "),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_runs(
    impact: Impact, project: Path, options: list[str], said: str
) -> None:
    done = impact("run", "params/demo.yaml", *options)
    assert done.returncode == 2
    assert done.stderr.startswith(said)
    assert not (project / "outputs").exists()


def test_importing_impact_fetches_nothing(impact: Impact) -> None:
    modules = set(impact(code="import sys, impact; print(*sys.modules)").stdout.split())
    assert {name for name in modules if name.startswith("impact")} == {"impact"}
    assert modules.isdisjoint({*HEAVY, "pandas", "numpy", "importlib.metadata"})


def test_every_public_name_is_there() -> None:
    import impact as package

    for name in package.__all__:
        assert getattr(package, name) is not None
    assert package.__version__
    with pytest.raises(AttributeError, match="no attribute 'cohorts'"):
        package.cohorts


def test_check_reads_parameters_and_data_without_the_methods(impact: Impact, project: Path) -> None:
    done = impact("check", "params/demo.yaml")
    assert done.returncode == 0, done.stderr
    assert "demo: parameters are right" in done.stdout
    assert "duplicate record" in done.stdout
    assert "in the study" in done.stdout
    assert loaded(impact, "check", "params/demo.yaml").isdisjoint(HEAVY)
    assert not (project / "outputs").exists()


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ("seeds=1", 2, "seeds: there is no such key. Did you mean 'seed'?"),
        ("matching.ratio=two", 2, "matching.ratio: expected a whole number"),
        ("data.people=data/peoples.csv", 3, "no file 'data/peoples.csv'"),
        (
            "outcomes=[ae,outpatient,gp,bed_days,emergency_admisions]",
            3,
            "Did you mean 'emergency_admission'?",
        ),
        ("did.covariates=[agee]", 3, "did.covariates: 'agee' is not in the data. Did you mean 'age'?"),
        ('matching.on=[\'__import__("os").system("touch hit")\']', 3, "is not in the data"),
        ("matching.spillover=bilding_id", 3, "'bilding_id' is not in the data. Did you mean 'building_id'?"),
        ("design.index_date={within: [sexx]}", 3, "design.index_date.within: 'sexx' is not in the data."),
        ("matching.history={services: [gpp]}", 3, "Did you mean 'gp'?"),
        ("design.cluster=buildings", 3, "design.cluster: 'buildings' is not in the data."),
        ("design.control=[contro]", 3, "control"),
        ("data.rename.people={person_id: Tenant}", 3, "Tenant"),
    ],
)
def test_bad_input_has_one_message_and_its_exit_code(
    impact: Impact, project: Path, change: str, code: int, message: str
) -> None:
    done = impact("check", "params/demo.yaml", "--set", change)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (project / "hit").exists()


def test_check_sees_that_a_window_holds_nothing_of_people_who_can_be_matched(
    impact: Impact, project: Path
) -> None:
    window = ("design.start=2020-01", "design.end=2020-12", "did=null", "survey=null")
    done = impact("check", "params/demo.yaml", *(word for key in window for word in ("--set", key)))
    assert (done.returncode, done.stdout) == (4, "")
    assert "never happens to anyone at risk in the panel" in done.stderr


def test_outside_a_project_the_message_says_where_to_go(impact: Impact, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text((ROOT / "params/demo.yaml").read_text())
    done = impact("run", "x.yaml")
    assert done.returncode == 2
    assert done.stderr.startswith("There is no project here: no params folder")


def test_a_fault_of_ours_is_one_sentence_and_a_file(impact: Impact, project: Path) -> None:
    code = "import impact.cli.rehearsal as r, impact.cli as c; r.rehearse = lambda studies: 1 / 0; c.main()"
    done = impact("check", "params/demo.yaml", code=code)
    assert done.returncode == 1
    assert done.stderr.startswith("A fault in impact itself (ZeroDivisionError). The details are in outputs/")
    assert "Traceback" not in done.stderr
    assert "ZeroDivisionError: division by zero" in (project / "outputs/fault.txt").read_text()
    assert "Traceback" in impact("--debug", "check", "params/demo.yaml", code=code).stderr


def test_schema_is_json_and_the_contract_is_markdown(impact: Impact) -> None:
    assert json.loads(impact("schema").stdout) == Study.model_json_schema()
    assert impact("schema", "--data").stdout.startswith("## people")


def test_demo_makes_a_project_and_never_overwrites_own_data(impact: Impact, tmp_path: Path) -> None:
    done = impact("demo", "--data-only", "--people", "300")
    assert done.returncode == 0
    assert done.stdout == "The data are in data, the parameter file is params/demo.yaml.\n"
    made = (tmp_path / "data/people.csv").read_text()
    assert made.count("\n") == 301
    assert (tmp_path / "params/demo.yaml").exists()
    assert impact("demo", "--data-only").returncode == 0
    assert (tmp_path / "data/people.csv").read_text() == made
    (tmp_path / "data/truth.json").unlink()
    refused = impact("demo", "--data-only")
    assert refused.returncode == 2
    assert "is not demonstration data" in refused.stderr
    assert (tmp_path / "data/people.csv").read_text() == made


def test_new_writes_a_study_of_the_users_own_columns(impact: Impact, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    people = "TenantRef,Group,SupportStart,DOB,Gender\n" + "".join(
        f"P{i},{'Hand-holding' if i % 2 else 'Control: usual'},{'2024-01-05' if i % 2 else ''},1950-01,f\n"
        for i in range(40)
    )
    (tmp_path / "data/tenants.csv").write_text(people)
    (tmp_path / "data/events.csv").write_text("TenantRef,ContactType,ContactDate\nP1,ae,2023-01-02\n")
    done = impact("new", "--to", "params/northtown.yaml")
    assert done.returncode == 0, done.stderr
    study = Study.read(tmp_path / "params/northtown.yaml")
    assert study.data.people == ("data/tenants.csv",)
    assert study.data.contacts == ("data/events.csv",)
    assert study.data.rename is not None
    assert study.data.rename.people["person_id"] == "TenantRef"
    assert study.data.rename.people["start_date"] == "SupportStart"
    assert study.data.rename.contacts == {
        "person_id": "TenantRef",
        "service": "ContactType",
        "start": "ContactDate",
    }
    assert (study.design.treated, study.design.control) == (("Hand-holding",), ("Control: usual",))
    assert study.outcomes == ("ae",)
    assert "# !" in (tmp_path / "params/northtown.yaml").read_text()
    again = impact("new", "--to", "params/northtown.yaml")
    assert (again.returncode, "is there already" in again.stderr) == (2, True)


def test_new_takes_a_table_in_several_files_and_services_under_other_names(
    impact: Impact, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    rows = "".join(
        f"P{i},{'support' if i % 2 else 'usual'},{'05/01/2024' if i % 2 else ''}\n" for i in range(40)
    )
    (tmp_path / "data/tenants.csv").write_text("person_id,arm,start_date\n" + rows)
    (tmp_path / "data/rents.csv").write_text("a,b\n1,2\n")
    for year in (2022, 2024):
        days = [(i, f"{i % 27 + 1:02}/{m}/{year}") for i in range(40) for m in ("02", "10")]
        lines = "".join(f"P{i},{service},{day},x\n" for i, day in days for service in ("A&E", "Falls team"))
        (tmp_path / f"data/contacts-{year}.csv").write_text("person_id,Type,Date,Site code\n" + lines)
    # Demonstration data beside the user's own are not taken for the user's.
    (tmp_path / "data/truth.json").write_text('{"people": 300}')
    (tmp_path / "data/people.csv").write_text("person_id,arm,start_date\nT1,pool,\n")
    assert impact("new", "--to", "params/x.yaml").returncode == 0
    study, text = Study.read(tmp_path / "params/x.yaml"), (tmp_path / "params/x.yaml").read_text()
    assert study.data.people == ("data/tenants.csv",)
    assert study.data.contacts == ("data/contacts-2022.csv", "data/contacts-2024.csv")
    assert study.outcomes == ("a&e", "falls team")
    assert "# not used: rents.csv" in text
    assert "# contacts: columns not used: Site code" in text
    done = impact("check", "params/x.yaml")
    assert done.returncode == 0, done.stderr
    missing = impact("check", "params/x.yaml", "--set", "outcomes=[ae]")
    assert (missing.returncode, "outcome='ae': the data hold 'a&e'" in missing.stderr) == (3, True)


def test_new_says_what_it_did_not_find(impact: Impact, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    done = impact("new", "x.csv")
    assert done.returncode == 2
    assert "looks like the people or the contacts table" in done.stderr
    assert "person_id" in done.stderr


def test_new_says_that_a_file_is_not_there(impact: Impact) -> None:
    done = impact("new", "foo.csv")
    assert (done.returncode, done.stderr) == (3, "foo.csv: there is no such file.\n")


def test_what_a_person_must_look_at_is_said_beside_where_the_report_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from impact.cli.terminal import show_outcomes
    from impact.run import Outcome

    study = Study(
        title="Small", data={"people": "p", "contacts": "c"}, design={"treated": ["a"], "control": ["b"]},
        outcomes=["ae"],
    )  # fmt: skip
    said = "counts that differ by too few from an earlier report: 1 are withheld"
    assert show_outcomes([Outcome(study, tmp_path, 1.0, remarks=[said, "a second remark"])]) == 0
    told = capsys.readouterr()
    assert told.err.splitlines() == [f"small: {said}", "small: a second remark"]
    assert told.out.splitlines()[-1].endswith("/share/index.html")


def test_the_table_of_outcomes_tells_places_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from impact.cli.terminal import show_outcomes
    from impact.run import Outcome
    from impact.study import read_studies

    monkeypatch.setenv("IMPACT_ROOT", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    sites = "".join(f"\nSite {i},data/site{i}/people.csv,data/site{i}/contacts.csv" for i in (1, 2))
    (tmp_path / "runs.csv").write_text(f"title,data.people,data.contacts{sites}")
    (tmp_path / "places.yaml").write_text(
        "data: {people: p.csv, contacts: c.csv}\ndesign: {treated: [a], control: [b]}\noutcomes: [ae]\n"
        "matrix: runs.csv\n"
    )
    studies = read_studies([tmp_path / "places.yaml"])
    assert [study.name[:18] for study in studies] == ["places--data-site1", "places--data-site2"]
    assert [study.choices for study in studies] == [{}, {}]
    show_outcomes([Outcome(study, tmp_path / study.name, 1.0, headline="Fewer. " * 20) for study in studies])
    table = capsys.readouterr().out
    assert "…" not in table
    for study in studies:
        assert study.title in table
        assert study.name[:18] in table


def test_check_says_once_a_file_that_there_is_no_plan(impact: Impact, project: Path) -> None:
    (project / "other").mkdir()
    shutil.copy(project / "data/people.csv", project / "other")
    with (project / "params/demo.yaml").open("a") as file:
        file.write("\nmatrix: {data.people: [data/people.csv, other/people.csv]}\n")
    done = impact("check", "params/demo.yaml")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("parameters are right") == 2
    assert done.stdout.count("and 1 more: there is no plan") == done.stdout.count("there is no plan") == 1


def test_check_says_once_what_runs_of_the_same_data_share(impact: Impact, project: Path) -> None:
    text = (project / "params/demo.yaml").read_text()
    lists = "  seed: [1, 2]\n  did.anticipation: [0, 3]\n"
    (project / "params/demo.yaml").write_text(f"{text}\nmatrix:\n{lists}")
    done = impact("check", "params/demo.yaml")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("parameters are right") == 1
    assert "and 3 more: parameters are right" in done.stdout
    assert done.stdout.count("and 3 more: there is no plan") == 1
    shared = impact("check", "params/demo.yaml", "--set", "did.covariates=[agee]")
    (line,) = shared.stderr.splitlines()
    assert "and 3 more: did.covariates: 'agee' is not in the data. Did you mean 'age'?" in line
    bad = f"{text}\nmatrix:\n{lists}  did.covariates: [[age], [agee]]\n"
    (project / "params/demo.yaml").write_text(bad)
    some = impact("check", "params/demo.yaml")
    assert some.returncode == 3
    assert "and 3 more: parameters are right" in some.stdout
    assert len(some.stderr.splitlines()) == 1
    (project / "params/demo.yaml").write_text(text)
    missing = impact("check", "params/demo.yaml", "--set", "data.people=data/peoples.csv")
    assert (missing.returncode, len(missing.stderr.splitlines())) == (3, 1)
