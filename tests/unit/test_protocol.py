"""The plan of a study: what counts, how it is kept on file, and what a run says of it."""

from __future__ import annotations

import html
import json
import re
import shutil
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from impact.cli import app
from impact.cli.terminal import show_plans
from impact.errors import DisclosureError, ParameterError, RunError
from impact.run import protocols
from impact.run.lookout import refuse_names
from impact.run.outputs import Outputs
from impact.run.plan import plan
from impact.study import Study, read_studies
from impact.study.counted import TOLD, canonical, counted, differences, fingerprint, flat
from impact.study.reporting import Reporting

ROOT = Path(__file__).parents[2]
FILE = """
title: Northtown
data: {people: data/people.csv, contacts: data/contacts.csv}
design: {treated: [support], control: [usual], months_after: 12}
outcomes: [ae, gp]
did: {estimator: etwfe, anticipation: 3}
matching: {"on": [age, sex], caliper: 0.2}
"""
# Written down once: no later version may give another for the same file.
HASH = "99695894"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "params").mkdir()
    (tmp_path / "params/north.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMPACT_ROOT", raising=False)
    monkeypatch.delenv("IMPACT_PLANNED", raising=False)
    return tmp_path


def change(project: Path, old: str, new: str) -> None:
    file = project / "params/north.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def read(*changes: str) -> Study:
    return Study.read("params/north.yaml", changes=changes)


def hash_of(text: str, tmp_path: Path) -> str:
    (tmp_path / "one.yaml").write_text(text)
    return fingerprint(counted(Study.read(tmp_path / "one.yaml")))


def text_of(page: Path) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.read_text(encoding="utf-8"))).split())


def results_exist(project: Path, name: str = "north", file: str = "data/people.csv") -> None:
    share = project / "outputs" / name / "share"
    share.mkdir(parents=True)
    (share / "manifest.json").write_text(json.dumps({"inputs": [{"file": file}]}))


def test_the_hash_is_of_canonical_json_and_is_the_same_in_every_version(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(FILE)
    plan = counted(Study.read(tmp_path / "one.yaml"))
    assert canonical(plan) == (
        '{"data":{"contacts":"given","people":"given"},"design":{"control":["usual"],"treated":["support"]},'
        '"did":{"anticipation":3},"matching":{"caliper":0.2,"on":["age","sex"]},"outcomes":["ae","gp"]}'
    )
    assert fingerprint(plan).startswith(HASH)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("title: Northtown", "title: Southtown\nnotes: [Read with care.]\ncontact: a team"),
        ("data/people.csv", "somewhere/else/tenants.parquet"),
        ("outcomes: [ae, gp]", "outcomes:\n- 'ae'\n- \"gp\""),
        ("months_after: 12", "period: month"),
        ("caliper: 0.2", "caliper: 0.20, ratio: 1"),
        ("title: Northtown", "seed: 20261122\ntitle: Northtown\nreporting: {why: It helps.}"),
    ],
)
def test_what_changes_no_figure_changes_no_hash(tmp_path: Path, old: str, new: str) -> None:
    assert old in FILE
    assert hash_of(FILE.replace(old, new), tmp_path).startswith(HASH)


def test_the_order_of_keys_changes_no_hash(tmp_path: Path) -> None:
    sections = YAML(typ="safe").load(FILE)
    turned = {
        k: dict(reversed(v.items())) if isinstance(v, dict) else v for k, v in reversed(sections.items())
    }
    assert hash_of(json.dumps(turned), tmp_path).startswith(HASH)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("outcomes: [ae, gp]", "outcomes: [gp, ae]"),
        ("months_after: 12", "months_after: 6"),
        ("estimator: etwfe", "estimator: imputation"),
        ("caliper: 0.2", "caliper: 0.1"),
        ("title: Northtown", "seed: 1"),
        ("title: Northtown", "disclosure: opensafely"),
        ("title: Northtown", "checks: {exclude_months: 2}"),
        ("title: Northtown", "equity: {}"),
        ("title: Northtown", "money: {price_year: 2023/24}"),
        ("contacts.csv}", "contacts.csv, coverage: c.csv}"),
        ("contacts.csv}", "contacts.csv, rename: {people: {person_id: Ref}}}"),
    ],
)
def test_what_changes_figures_changes_the_hash(tmp_path: Path, old: str, new: str) -> None:
    assert old in FILE
    assert not hash_of(FILE.replace(old, new), tmp_path).startswith(HASH)


def test_an_option_that_only_a_later_version_has_differs_only_where_it_is_set() -> None:
    planned = {"did.estimator": "etwfe", "checks.exclude_months": 1}
    run = {**planned, "checks.new": 3, "did.new": None, "power.draws": 9}
    assert differences(planned, run, given=[]) == {}
    assert differences(planned, run, given=["checks.new"]) == {"checks.new": (None, 3)}
    # A default that is another one now is a difference, though the file is as it was.
    assert differences(planned, {**planned, "checks.exclude_months": 2}, given=[]) == {
        "checks.exclude_months": (1, 2)
    }


def test_it_is_written_before_there_are_data_and_stands(project: Path) -> None:
    made = protocols.write("params/north.yaml")
    assert (made.version, made.is_new, made.after_results) == (1, True, False)
    said = json.loads((project / "protocols/north/v1.json").read_text())
    assert said["sha256"] == fingerprint(said["parameters"])
    assert {"Eligibility", "Arms", "Time zero", "Follow-up", "Outcomes", "Estimand", "Analysis"} <= {
        *said["trial"]
    }
    assert {"Checks", "Subgroups", "Kinds of support", "Money"} <= {*said["trial"]}
    assert "ae (main result)" in said["trial"]["Outcomes"]
    page = made.page.read_text()
    assert said["sha256"] in page
    assert "before any result" in page
    assert "<h1>The plan of this study</h1>" in page
    assert str(project) not in page + json.dumps(said)
    before = (project / "protocols/north/v1.json").read_bytes()
    change(project, "title: Northtown", "title: Another title")
    assert not protocols.write("params/north.yaml").is_new
    assert (project / "protocols/north/v1.json").read_bytes() == before


def test_a_change_is_an_amendment_with_its_reason_and_overwrites_nothing(project: Path) -> None:
    protocols.write("params/north.yaml")
    before = (project / "protocols/north/v1.json").read_bytes()
    change(project, "months_after: 12", "months_after: 6")
    with pytest.raises(ParameterError, match=r"design\.months_after was 12 and is 6.*--because"):
        protocols.write("params/north.yaml")
    made = protocols.write("params/north.yaml", because="Records end early")
    assert made.version == 2
    said = json.loads((project / "protocols/north/v2.json").read_text())
    row = {"key": "design.months_after", "what": "months with support", "was": "12", "is": "6"}
    assert said["changed"] == [row]
    assert said["because"] == "Records end early"
    assert (project / "protocols/north/v1.json").read_bytes() == before
    page = made.page.read_text()
    assert "Records end early" in page
    assert "Version 2" in page


@pytest.mark.parametrize("because", ["ask j.smith@north.example", "she moved on 3 March 2024", "SW1A 1AA"])
def test_a_reason_that_names_somebody_or_a_day_is_refused(project: Path, because: str) -> None:
    protocols.write("params/north.yaml")
    change(project, "months_after: 12", "months_after: 6")
    with pytest.raises(ParameterError, match=r"--because: it holds an? "):
        protocols.write("params/north.yaml", because=because)
    assert not (project / "protocols/north/v2.json").exists()


def test_a_reason_without_a_plan_and_a_title_that_names_somebody_are_refused(project: Path) -> None:
    with pytest.raises(ParameterError, match="no plan yet"):
        protocols.write("params/north.yaml", because="why")
    change(project, "title: Northtown", "title: For j.smith@north.example")
    with pytest.raises(DisclosureError, match="it holds an e-mail address"):
        protocols.write("params/north.yaml")
    assert not (project / "protocols").exists()


def test_a_plan_that_was_changed_or_is_missing_stops_runs_and_amendments(project: Path) -> None:
    protocols.write("params/north.yaml")
    change(project, "months_after: 12", "months_after: 6")
    protocols.write("params/north.yaml", because="Records end early")
    first = project / "protocols/north/v1.json"
    text = first.read_text()
    for wrong in (text.replace('"anticipation": 3', '"anticipation": 4'), "{", '{"version": 1}'):
        first.write_text(wrong)
        for do in (lambda: read().planned, lambda: protocols.write("params/north.yaml")):
            with pytest.raises(ParameterError, match=r"v1\.json: was changed after it was written"):
                do()
    first.unlink()
    with pytest.raises(ParameterError, match=r"v1\.json: is missing"):
        _ = read().planned


def test_two_at_once_do_not_overwrite_each_other(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    protocols.write("params/north.yaml")
    monkeypatch.setattr(protocols, "versions", lambda folder: [])
    with pytest.raises(RunError, match="another plan was written at this moment"):
        protocols.write("params/north.yaml")


def test_it_says_when_results_were_there_before_it(project: Path) -> None:
    results_exist(project)
    made = protocols.write("params/north.yaml")
    assert made.after_results
    page = made.page.read_text()
    assert "after results existed" in page
    assert "cannot show what was chosen before" in page
    told = read().planned
    assert told["status"] == "retrospective"
    assert "after results of this study existed" in told["line"]


@pytest.mark.parametrize(
    "file",
    [
        "outputs/north/private/records/2026/cohort.json",
        "outputs/north--seed-1/share/manifest.json",
        "outputs/northtown/private/by-hand/did.json",
    ],
)
def test_pages_that_were_shown_are_results_too(project: Path, file: str) -> None:
    (project / file).parent.mkdir(parents=True)
    (project / file).write_text("{}")
    assert protocols.write("params/north.yaml").after_results


def test_results_are_looked_for_where_it_is_told(project: Path) -> None:
    results_exist(project)
    assert not protocols.write("params/north.yaml", output=project / "elsewhere").after_results


def test_results_of_another_study_of_the_same_files_are_told(project: Path) -> None:
    results_exist(project, "south")
    results_exist(project, "west", "data/west.csv")
    made = protocols.write("params/north.yaml")
    assert not made.after_results
    assert "had results by then: south." in made.page.read_text()
    assert (
        "before any result of this study, and this is what was done. Another study" in read().planned["line"]
    )


def test_a_run_without_a_plan_says_so(project: Path) -> None:
    told = read().planned
    assert (told["status"], told["rows"]) == ("none", [])
    assert told["line"].startswith("No plan was written before the results")


def test_a_run_that_keeps_to_it_says_so(project: Path) -> None:
    protocols.write("params/north.yaml")
    told = read("title=Other", "data.people=elsewhere/p.csv").planned
    assert told["status"] == "kept"
    assert re.fullmatch(
        r"The plan was written on \d+ \w+ \d{4}, before any result, and this is what was done\.", told["line"]
    )
    assert told["sha256"] == told["run_sha256"]


def test_what_differs_is_listed_with_the_reason_of_an_amendment(project: Path) -> None:
    protocols.write("params/north.yaml")
    results_exist(project)
    change(project, "months_after: 12", "months_after: 6")
    assert protocols.write("params/north.yaml", because="Records end early.").after_results
    told = read("did.estimator=callaway_santanna", "matching=null", "seed=1").planned
    assert told["status"] == "differs"
    assert told["version"] == 1
    rows = {row["what"]: row for row in told["rows"]}
    assert set(rows) == {
        "months with support",
        "kind of difference-in-differences",
        "matched comparison",
        "seed of random draws",
    }
    assert (
        rows["months with support"]["reason"]
        == "Amended after results existed (version 2): Records end early."
    )
    assert rows["seed of random draws"]["reason"] == "No reason was given."
    assert rows["matched comparison"]["run"] == "none"
    assert "Four things differ from it: months with support (12 planned, 6 done)" in told["line"]
    assert "For 3 of them no reason was given." in told["line"]
    # The main result is by difference-in-differences, and hangs on no matching.
    decisive = ["months with support", "kind of difference-in-differences", "seed of random draws"]
    assert sorted(told["departed"]) == sorted(decisive)
    assert sorted(told["unexplained"]) == sorted(decisive[1:])


@pytest.mark.parametrize(
    ("changed", "departed"),
    [
        ("outcomes=[gp, ae]", ["services counted, the main one first"]),
        ("outcomes=[ae, gp, outpatient]", []),
        ("disclosure=threshold_10", []),
        ("design.months_after=6", ["months with support"]),
    ],
)
def test_only_what_the_main_result_hangs_on_is_a_departure(
    project: Path, changed: str, departed: list[str]
) -> None:
    protocols.write("params/north.yaml")
    told = read(changed).planned
    assert told["status"] == "differs"
    assert told["departed"] == told["unexplained"] == departed


def test_an_amendment_before_results_is_the_plan(project: Path) -> None:
    protocols.write("params/north.yaml")
    change(project, "months_after: 12", "months_after: 6")
    protocols.write("params/north.yaml", because="Records end early")
    told = read().planned
    assert (told["status"], told["version"]) == ("kept", 2)
    assert " and amended on " in told["line"]


def test_a_check_says_whether_the_file_agrees_with_its_plan(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said() -> str:
        show_plans([read()])
        return capsys.readouterr().out

    assert said() == (
        "north: there is no plan, and reports call it exploratory; before any result, "
        "`impact protocol params/north.yaml` writes one.\n"
    )
    protocols.write("params/north.yaml")
    assert re.match(
        r"north: the file agrees with the plan of .* \(version 1\), written before any result\.", said()
    )
    results_exist(project)
    change(project, "months_after: 12", "months_after: 6")
    assert "(12 planned, 6 now; No reason was given). `impact protocol params/north.yaml --because" in said()
    protocols.write("params/north.yaml", because="Records end early.")
    assert said().endswith("6 now; Amended after results existed (version 2): Records end early).\n")
    shutil.rmtree(project / "protocols")
    protocols.write("params/north.yaml")
    assert "written after results existed, and reports call it exploratory.\n" in said()


def test_runs_of_a_matrix_are_held_to_what_was_planned_for_each(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(
        project,
        "title: Northtown",
        "title: Northtown\nmatrix: {did.estimator: [etwfe, twfe], design.months_after: [12, 6]}",
    )
    change(project, "did: {estimator: etwfe, anticipation: 3}", "did: {estimator: etwfe}")
    protocols.write("params/north.yaml")
    studies = read_studies(["params/north.yaml"])
    assert [study.planned["status"] for study in studies] == ["kept"] * 4
    show_plans(studies)
    (line,) = capsys.readouterr().out.splitlines()
    assert "and 3 more: the file agrees with the plan of " in line
    said = json.loads((project / "protocols/north/v1.json").read_text())
    assert said["trial"]["Runs"].startswith("4 runs, of which the first is the main one. Varied: ")
    # A run that was not planned, and one that is otherwise than all were planned.
    change(project, "[12, 6]", "[12, 6, 3]")
    by_name = {study.name: study.planned for study in read_studies(["params/north.yaml"])}
    differs = {name for name, told in by_name.items() if told["status"] == "differs"}
    assert differs == {name for name in by_name if "months_after-3" in name}
    all_differ = read_studies(["params/north.yaml"], changes=["seed=1"])
    assert {study.planned["status"] for study in all_differ} == {"differs"}
    with pytest.raises(ParameterError, match="matrix was 4 runs and is 6 runs"):
        protocols.write("params/north.yaml")


def test_places_are_told_apart_by_their_folders(project: Path) -> None:
    north, south = ({t: f"data/{p}/{t}.csv" for t in ("people", "contacts")} for p in ("north", "south"))
    change(project, "title: Northtown", f"title: Northtown\nmatrix: {json.dumps({'data': [north, south]})}")
    protocols.write("params/north.yaml")
    said = json.loads((project / "protocols/north/v1.json").read_text())
    assert said["trial"]["Runs"] == "2 places, with one run each: north, south."
    assert [study.planned["status"] for study in read_studies(["params/north.yaml"])] == ["kept"] * 2


def test_places_times_choices_are_one_plan_with_the_files_title(project: Path) -> None:
    rows = [
        f'{place},data/{place}/people.csv,data/{place}/contacts.csv,"{services}",{months}'
        for place, services, months in product(("North", "South"), ("[ae, gp]", "[outpatient]"), (12, 6))
    ]
    heads = "title,data.people,data.contacts,outcomes,design.months_after"
    (project / "params/runs.csv").write_text("\n".join([heads, *rows]))
    change(project, "title: Northtown", "title: Two places\nmatrix: params/runs.csv")
    page = text_of(protocols.write("params/north.yaml").page)
    assert "Two places · plan of" in page
    assert "8 runs in 2 places: North, South. The main run of each place has" in page
    assert "has services counted, the main one first: A&E attendances and GP contacts; months with" in page
    assert "first (A&E attendances and GP contacts; or outpatient appointments); months with support" in page
    study = read_studies(["params/north.yaml"])[3]
    assert study.masthead["subtitle"] == "services `outpatient`; months with support 6"
    assert study.name.startswith("north--data-North--months_after-6--outcomes-outpatient-")


def test_a_notebook_run_by_hand_finds_the_plan_by_what_it_says_or_its_title(project: Path) -> None:
    protocols.write("params/north.yaml")
    sections: dict[str, Any] = YAML(typ="safe").load(FILE)
    assert Study(**sections).planned["status"] == "kept"
    assert Study(**{**sections, "title": "Other"}).planned["status"] == "kept"
    assert Study(**{**sections, "seed": 1}).planned["status"] == "differs"
    assert Study(**{**sections, "seed": 1, "title": "Other"}).planned["status"] == "none"


def test_a_run_is_told_by_its_job_and_the_manifest_keeps_the_hashes(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("people", "contacts"):
        (project / "data").mkdir(exist_ok=True)
        (project / f"data/{name}.csv").write_text("x\n1\n")
    job = Outputs(None).job(read())
    assert job.planned["status"] == "none"
    protocols.write("params/north.yaml")
    job = Outputs(None).job(read())
    made_from = plan(job).made_from["plan"]
    assert made_from["status"] == "kept"
    assert made_from["sha256"] == made_from["run_sha256"]
    assert "line" not in made_from
    monkeypatch.setenv("IMPACT_PLANNED", json.dumps({"status": "told"}))
    assert read().planned == {"status": "told"}


def test_the_command_writes_each_and_says_what_is_wrong_with_any(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from impact.cli.protocol import write_plans

    with pytest.raises(ParameterError, match=r"nowhere\.yaml") as wrong:
        write_plans(["params/nor*.yaml", "params/nowhere.yaml", "params/none*.yaml"], "", None)
    assert "params/none*.yaml: no file matches this pattern." in str(wrong.value)
    assert capsys.readouterr().out == "protocols/north/protocol.html\n"
    results_exist(project)
    change(project, "months_after: 12", "months_after: 6")
    write_plans(["params/north.yaml"], "Records end early", None)
    assert "results of this study exist already" in capsys.readouterr().err
    write_plans(["params/north.yaml"], "", None)
    assert "version 2 stands" in capsys.readouterr().err


def test_what_the_page_about_it_says_is_so() -> None:
    text = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert set(re.findall(r"impact (\w+) params|`impact (\w+)`", text)) >= {("protocol", "")}
    assert set(re.findall(r"`impact (\w+)`", text)) <= set(commands)
    counts, told = re.search(r"Sections (.*?)\. Not\n(.*?), which", text, re.DOTALL).groups()  # type: ignore[union-attr]
    assert set(re.findall(r"`(\w+)`", told)) == set(TOLD)
    assert set(re.findall(r"`(\w+)`", counts)) == set(Study.model_fields) - set(TOLD)
    (example,) = re.findall(r"```yml\n(.*?)```", text, re.DOTALL)
    Reporting(**YAML(typ="safe").load(example)["reporting"])


def test_flat_keys_are_those_of_the_file() -> None:
    assert flat({"a": {"b": {"c": 1}}, "d": {}}) == {"a.b.c": 1, "d": {}}


def test_the_day_of_the_plan_is_nobodys_life_and_another_day_is(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "data").mkdir()
    (project / "data/people.csv").write_text("person_id,died\np1,2025-03-03\np2,2025-03-09\n")
    (project / "data/contacts.csv").write_text("person_id,start\np1,2025-01-03\n")
    page = project / "share/logs/qa_log.md"
    page.parent.mkdir(parents=True)
    page.write_text("The plan was written on 3 March 2025.")
    with pytest.raises(DisclosureError, match=r"logs/qa_log\.md: holds a value of the column 'died'"):
        refuse_names(read(), project / "share")
    told = {"status": "kept", "line": "The plan was written on 3 March 2025.", "rows": []}
    monkeypatch.setenv("IMPACT_PLANNED", json.dumps(told))
    refuse_names(read(), project / "share")
    page.write_text("She died on 9 March 2025.")
    with pytest.raises(DisclosureError, match="'died'"):
        refuse_names(read(), project / "share")
