"""Reports of a study one after another, by real runs: what differs by a person is withheld and named."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest

from impact.disclosure import Policy, policies, record, release
from impact.errors import DataError, DisclosureError, RunError
from impact.results import Summary
from impact.run import Outcome, run

from .test_whole_reports import published
from .worlds import Published, World, given_away

# Notebooks on one worker, where kernels cannot pick the same port.
pytestmark = pytest.mark.xdist_group("kernels")

STUDY = """\
title: Tenants
data: {panel: {file: data/panel.csv, unit: u, period: t, outcomes: [y], first_treated: g}}
design: {months_before: 6}
outcomes: [y]
"""
# A page of two tables, as a notebook of the project shows it.
CODE = """\
import impact, pandas as pd
from impact.results import Summary
study = impact.Study(title=title, data=data, design=design, outcomes=outcomes, disclosure=disclosure)
tenure = pd.read_csv("data/tenure.csv").assign(place="here")
results = {"tenure": Summary(tenure, {"note": "by tenure"}, people=["persons"])}
released = impact.disclosure.release(results, study.disclosure, **study.records("cohort"))
impact.show(released["tenure"])
"""
FIRST = {"rent": 101, "own": 52, "other": 33}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose one notebook counts people by tenure."""
    for folder in ("params", "data", "notebooks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "params/small.yaml").write_text(STUDY)
    (tmp_path / "data/panel.csv").write_text("u,t,y,g\n1,1,0,\n")
    notebook(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("IMPACT_ROOT", "IMPACT_RECORDS", "IMPACT_SENT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def notebook(root: Path, more: str = "", *, code: str = CODE) -> None:
    declared = nbformat.v4.new_code_cell(
        "title = 'demo'\ndata: dict = {}\ndesign: dict = {}\noutcomes: list = []\ndid: dict = {}\n"
        "matching: dict = {}\nmoney: dict = {}\ndisclosure = ''\nseed = 0",
        metadata={"tags": ["parameters"]},
    )
    cells = [nbformat.v4.new_markdown_cell("# Who is in the study"), declared]
    cells += [nbformat.v4.new_code_cell(text) for text in (code, more)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), root / "notebooks/cohort.ipynb")


def report(counts: dict[str, int], *, policy: str = "threshold_10", sent: bool = True) -> Outcome:
    """Make a report of so many people by tenure; whether the one before was sent."""
    table = pd.DataFrame({"tenure": list(counts), "persons": list(counts.values())})
    table.to_csv("data/tenure.csv", index=False)
    (outcome,) = run(["params/small.yaml"], changes=[f"disclosure={policy}"], was_sent=sent, force=True)
    return outcome


def shown() -> list[Any]:
    """What the report in its place shows."""
    results = json.loads(Path("outputs/small/share/results.json").read_text())["results"]["cohort"]
    return [row["persons"] for row in results[0]["table"]]


def sheet(folder: str = "outputs/small/private") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(folder, "checker.json").read_text())
    return found


def since() -> list[tuple[str, str]]:
    """What the sheet says differs by too few from an earlier report, and what was done."""
    found = [change for table in sheet()["pages"][0]["tables"] for change in table["since"]]
    return [(change["count"], change["now"]) for change in found]


def records() -> list[str]:
    return sorted(path.name for path in Path("outputs/small/private/records").iterdir())


def test_a_person_more_is_withheld_and_named(project: Path) -> None:
    assert report(FIRST).remarks == []
    later = report({**FIRST, "rent": 102})
    assert shown() == [None, 52, 33]
    assert since() == [("people (place: here, tenure: rent)", "withheld")]
    assert sheet()["status"] == "review"
    told = "counts that differ by too few from an earlier report: 1 are withheld"
    assert later.remarks[0] == told
    assert told in Path("outputs/small/private/log.txt").read_text()
    assert "tenure: rent" in Path("outputs/small/private/checker.html").read_text()


def test_where_counts_are_rounded_the_difference_is_hidden_and_named(project: Path) -> None:
    report(FIRST, policy="hes")
    later = report({**FIRST, "rent": 100}, policy="hes")
    assert shown() == [100, 50, 35]
    assert since() == [("people (place: here, tenure: rent)", "rounded")]
    assert sheet()["status"] == "review"
    assert "shown rounded" in later.remarks[0]


def test_enough_people_more_are_shown(project: Path) -> None:
    report(FIRST)
    assert report({**FIRST, "rent": 111}).remarks == []
    assert shown() == [111, 52, 33]


def test_the_third_report_is_compared_with_the_first_too(project: Path) -> None:
    report(FIRST)
    report({"rent": 300, "own": 200, "other": 150})
    assert shown() == [300, 200, 150]
    report({**FIRST, "own": 53})
    assert shown() == [101, None, 33]
    assert since() == [("people (place: here, tenure: own)", "withheld")]
    assert len(sheet()["compared_with"]) == len(records()) - 1 == 2


def test_a_report_that_nobody_got_is_forgotten_and_those_before_it_are_not(project: Path) -> None:
    report(FIRST)
    report({"rent": 300, "own": 200, "other": 150})
    report({"rent": 301, "own": 53, "other": 150}, sent=False)
    assert shown() == [301, None, 150]
    assert (len(sheet()["compared_with"]), len(sheet()["left_out"])) == (1, 1)
    assert len(records()) == 2


def test_the_same_again_gives_the_same_pages_and_no_second_record(project: Path) -> None:
    report(FIRST)
    before = {p: p.read_bytes() for p in Path("outputs/small/share").rglob("*.*")}
    for _ in range(2):
        assert report(FIRST).remarks == []
        assert {p: p.read_bytes() for p in Path("outputs/small/share").rglob("*.*")} == before
    assert len(records()) == 2
    # What was sent twice is still known when the last report is not.
    report({**FIRST, "rent": 102}, sent=False)
    assert shown() == [None, 52, 33]


def test_what_gives_an_earlier_report_away_is_not_written(project: Path) -> None:
    """The parts were shown, and now it is said that everyone is known: who is left is who was withheld."""
    counts = {"rent": 101, "own": 52, "other": 3}
    report(counts, policy="hes")
    assert shown() == [100, 50, None]
    before = files(project)
    notebook(project, code=CODE.replace('["persons"]', '["persons"], adds_up=["place"]'))
    later = report(counts, policy="hes")
    assert isinstance(later.problem, DisclosureError)
    assert str(later.problem).splitlines() == [
        "page 'Who is in the study', table 'tenure': a withheld count could be worked out from it together "
        "with other pages or an earlier report; private/failed/checker.html names it.",
        "Leave the table out, or show it in fewer groups; if nobody got the last report, run with "
        "--not-sent.",
    ]
    failed = sheet("outputs/small/private/failed")
    assert failed["status"] == "fail"
    assert "tenure: other" in failed["pages"][0]["tables"][0]["look"][0]
    assert {k: v for k, v in files(project).items() if "failed" not in k} == before
    assert report(counts, policy="hes", sent=False).problem is None
    assert shown() == [100, None, None]


def test_a_run_that_fails_changes_neither_records_nor_what_was_sent(project: Path) -> None:
    report(FIRST)
    before = files(project)
    notebook(project, "raise ValueError")
    assert isinstance(report({**FIRST, "rent": 300}, sent=False).problem, RunError)
    assert {k: v for k, v in files(project).items() if "failed" not in k} == before


def files(root: Path) -> dict[str, bytes]:
    found = (root / "outputs/small").rglob("*")
    return {str(p.relative_to(root)): p.read_bytes() for p in found if p.is_file()}


def test_a_run_that_is_killed_changes_neither(project: Path) -> None:
    report(FIRST)
    before = files(project)
    notebook(project, "open('released', 'w').close()\nimport time\ntime.sleep(60)")
    (project / "data/tenure.csv").write_text("tenure,persons\nrent,300\n")
    command = [sys.executable, "-c", "from impact.cli import main; main()", "run", "params/small.yaml"]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as running:
        for _ in range(600):
            if (project / "released").exists() or running.poll() is not None:
                break
            time.sleep(0.1)
        kernels = subprocess.run(
            ["pgrep", "-P", str(running.pid)], capture_output=True, text=True, check=False
        ).stdout.split()
        running.kill()
        for kernel in kernels:
            os.kill(int(kernel), signal.SIGKILL)
    assert (project / "released").exists()
    assert files(project) == before
    notebook(project)
    assert report({**FIRST, "rent": 102}).problem is None
    assert shown() == [None, 52, 33]


def test_of_two_runs_at_once_the_second_waits_and_is_compared_with_the_first(project: Path) -> None:
    notebook(project, "open('began', 'w').close()\nimport time\ntime.sleep(3)")
    (project / "data/tenure.csv").write_text("tenure,persons\nrent,101\nown,52\nother,33\n")
    command = [sys.executable, "-c", "from impact.cli import main; main()", "run", "params/small.yaml"]
    with subprocess.Popen([*command, "--set", "disclosure=threshold_10", "--quiet"]) as first:
        while not (project / "began").exists():
            time.sleep(0.1)
        # The first has read its data, and is still at work.
        assert report({**FIRST, "rent": 102}).problem is None
    assert first.returncode == 0
    assert shown() == [None, 52, 33]
    assert len(records()) == 2


def test_a_record_of_another_version_stops_the_run_before_it_begins(project: Path) -> None:
    report(FIRST)
    old = project / f"outputs/small/private/records/{records()[0]}/cohort.json"
    old.write_text('{"tables": [], "sheet": []}')
    problem = report(FIRST).problem
    assert isinstance(problem, DataError)
    assert "/cohort.json was recorded by another version of impact" in str(problem)
    assert "move the file away" in str(problem)
    assert not Path("outputs/small/private/failed/cohort.ipynb").exists()
    assert report(FIRST, sent=False).problem is None


def test_what_is_withheld_never_reaches_what_is_shared(project: Path) -> None:
    report({"rent": 101, "own": 5253, "other": 3, "all": 5357}, policy="hes")
    kept = Path("outputs/small/private/records", records()[0], "cohort.json").read_text()
    assert "5253" in kept
    assert not [p for p in Path("outputs/small/share").rglob("*.*") if "5253" in p.read_text()]
    assert not list(Path("outputs/small/share").rglob("*records*"))


def test_reports_of_other_studies_on_the_same_people_are_named(project: Path) -> None:
    """Runs of one file, or studies of other names, are not held against each other: the sheet says so."""
    assert report(FIRST).remarks == []
    assert (sheet()["same_people"], sheet()["status"]) == ([], "pass")
    other = (project / "params/small.yaml").read_text()
    (project / "params/again.yaml").write_text(other)
    run(["params/again.yaml"], changes=["disclosure=hes"])
    found = sheet("outputs/again/private")
    assert (found["same_people"], found["status"]) == (["small"], "review")
    page = Path("outputs/again/private/checker.html").read_text()
    assert "not compared with other reports made from the same file of people (1)" in page
    # Of other people there is nothing to say.
    (project / "data/more.csv").write_text("u,t,y,g\n2,1,0,\n")
    (project / "params/apart.yaml").write_text(other.replace("panel.csv", "more.csv"))
    run(["params/apart.yaml"], changes=["disclosure=hes"])
    assert sheet("outputs/apart/private")["same_people"] == []


def test_a_run_of_several_says_so_before_the_others_are_made(project: Path) -> None:
    file = project / "params/small.yaml"
    file.write_text(file.read_text() + "matrix: {seed: [1, 2]}\n")
    table = pd.DataFrame({"tenure": list(FIRST), "persons": list(FIRST.values())})
    table.to_csv("data/tenure.csv", index=False)
    made = run(["params/small.yaml"], changes=["disclosure=hes"], workers=1)
    found = [sheet(str(one.folder / "private")) for one in made]
    assert all("the other runs of its parameter file" in one["look"][0] for one in found)
    assert {one["status"] for one in found} == {"review"}
    assert sorted(len(one["same_people"]) for one in found) == [0, 1]


def test_what_is_signed_is_what_lies_in_the_folder(project: Path) -> None:
    """The sums of the sheet are those of the files, and its fingerprint what ``sha256sum`` makes of them."""
    report(FIRST)
    share, said = project / "outputs/small/share", sheet()
    names = sorted(p.relative_to(share).as_posix() for p in share.rglob("*") if p.is_file())
    sums = {name: hashlib.sha256((share / name).read_bytes()).hexdigest() for name in names}
    assert {of["file"]: of["sha256"] for of in said["files"]} == sums
    told = "".join(f"{sums[name]}  {name}\n" for name in names)
    assert said["fingerprint"] == hashlib.sha256(told.encode()).hexdigest()
    if shutil.which("sha256sum"):
        command = "find * -type f | LC_ALL=C sort | xargs sha256sum | sha256sum"
        done = subprocess.run(command, shell=True, cwd=share, capture_output=True, text=True, check=True)
        assert done.stdout.split()[0] == said["fingerprint"]


def test_two_notebooks_at_once_leave_whole_records(tmp_path: Path) -> None:
    code = f"""\
import pandas as pd
from impact.disclosure import release
from impact.results import Summary
table = Summary(pd.DataFrame({{"tenure": [f"t{{i}}" for i in range(300)], "persons": range(20, 320)}}), {{}},
                people=["persons"])
for _ in range(8):
    release({{"tenure": table}}, "hes", record={str(tmp_path / "cohort.json")!r})
"""
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    while any(one.poll() is None for one in both):
        if (tmp_path / "cohort.json").exists():
            assert len(record.load(tmp_path / "cohort.json").tables["tenure"][0]) >= 300
        time.sleep(0.01)
    assert [one.wait() for one in both] == [0, 0]
    assert [p.name for p in tmp_path.iterdir()] == ["cohort.json"]


def test_a_count_between_two_earlier_reports_is_named_with_the_later(tmp_path: Path) -> None:
    def people(n: int) -> dict[str, Summary]:
        table = pd.DataFrame({"arm": ["control"], "persons": [n]})
        return {"arms": Summary(table, {}, people=["persons"])}

    for name, n in (("1", 100), ("2", 115)):
        release(people(n), "threshold_10", record=tmp_path / name / "p.json", previous=tmp_path)
    new = release(people(107), "threshold_10", record=tmp_path / "3" / "p.json", previous=tmp_path)
    assert new["arms"].table["persons"].isna().all()


def test_what_no_withholding_can_hide_is_withheld_named_and_looked_at(tmp_path: Path) -> None:
    """Of 200 people 195 rented and now 197 do: 9 more cannot be thought. The table that shows it is named."""
    sheets = []
    for name, n in (("1", 195), ("2", 197)):
        everyone = pd.DataFrame({"place": ["here"], "persons": [200]})
        rent = everyone.assign(tenure="rent", persons=n)
        other = pd.DataFrame({"colour": ["red", "blue"], "persons": [400, 500]})
        tables = {"everyone": everyone, "rent": rent, "other": other}
        page = {key: Summary(table, {}, people=["persons"]) for key, table in tables.items()}
        out = release(page, "threshold_10", record=tmp_path / name / "p.json", previous=tmp_path)
        sheets.append({row["table"]: row for row in out.sheet})
    assert out["rent"].table["persons"].isna().all()
    assert {name: row["status"] for name, row in sheets[0].items()} == dict.fromkeys(tables, "pass")
    status = {name: row["status"] for name, row in sheets[1].items()}
    assert status == {"everyone": "pass", "rent": "review", "other": "pass"}
    assert "people (place: here, tenure: rent)" in sheets[1]["rent"]["look"][0]


def test_an_earlier_report_is_no_bound_on_other_people(tmp_path: Path) -> None:
    """Of 300 then 100 rented; 350 of 400 do now. Nothing has to be withheld, though 350 is more than 300."""
    for name, everyone, rent in (("1", 300, 100), ("2", 400, 350)):
        table = pd.DataFrame({"place": ["here"], "persons": [everyone]})
        tables = {"everyone": table, "rent": table.assign(tenure="rent", persons=rent)}
        page = {key: Summary(table, {}, people=["persons"]) for key, table in tables.items()}
        out = release(page, "threshold_10", record=tmp_path / name / "p.json", previous=tmp_path)
        assert [one.table["persons"].iloc[0] for one in out.values()] == [everyone, rent]
        assert {row["status"] for row in out.sheet} == {"pass"}


def refreshed(world: World, change: str) -> World:
    """The same people with one fewer or one more, or without a group that is left out now."""
    people = world.people.copy()
    if change == "excluded":
        people.loc[(people["tenure"] == "other") & (people["age"] == "75+"), "n"] = 0
    else:
        people.loc[people["n"].idxmax(), "n"] += {"one fewer": -1, "one more": 1}[change]
    return World(people, world.events)


def of(
    world: World, seed: int, rule: Policy, record: Path, previous: Path
) -> tuple[Published, dict, set[str]]:
    """A report of two pages, what is released of it, and what the sheets say."""
    report = published(np.random.default_rng(seed), world)
    names, released, status = sorted(report.results), {}, set()
    for i in range(2):
        page = {name: report.results[name] for name in names[i::2]}
        shown = release(page, rule, record=record / f"p{i}.json", previous=previous)
        released |= shown
        status |= {row["status"] for row in shown.sheet}
    return report, released, status


@pytest.mark.parametrize("change", ["one fewer", "one more", "excluded"])
@pytest.mark.parametrize(("name", "seed"), [("hes", 3), ("hes", 6), ("threshold_10", 0), ("threshold_10", 3)])
def test_a_refresh_of_the_data_passes_and_gives_nothing_away(
    name: str, seed: int, change: str, tmp_path: Path
) -> None:
    rule, world = policies()[name], World.drawn(np.random.default_rng(seed))
    first, before, status = of(world, seed, rule, tmp_path / "1", tmp_path / "none")
    assert "fail" not in status
    report, released, status = of(refreshed(world, change), seed, rule, tmp_path / "2", tmp_path)
    assert "fail" not in status
    for of_people in (True, False):
        shown = [
            [c for c in made.shown(out, rule) if (len(c[1]) == len(world.people)) == of_people]
            for made, out in ((first, before), (report, released))
        ]
        n = (report.world.people if of_people else report.world.events)["n"].to_numpy()
        assert given_away(shown[1], n, rule, report.perhaps_none(rule)) == []
        if rule.round_to == 1:
            # Of the same people no two counts are shown that differ by a few.
            exact = {c[1].tobytes(): first.count(c[1]) for c in shown[0] if c[2]}
            since = [abs(report.count(c[1]) - exact.get(c[1].tobytes(), 0)) for c in shown[1] if c[2]]
            assert not [d for d in since if 0 < d < rule.smallest_shown]
