"""Running studies, with real papermill and a real kernel, on notebooks of a few cells."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest

from impact.disclosure import NOTICE
from impact.disclosure.policies import policy
from impact.errors import DataError, DisclosureError, ParameterError, RunError
from impact.run import run
from impact.run.batch import _RUNNING, work
from impact.run.folders import locked
from impact.run.job import Job
from impact.run.outputs import Outputs
from impact.stores import FETCHED
from impact.study import read_studies

STUDY = """\
title: A small study
data: {panel: {file: data/panel.csv, unit: u, period: t, outcomes: [y], first_treated: g}}
design: {months_before: 6}
outcomes: [y]
did: {control: never_treated}
"""
RESULT = {
    "name": "main",
    "kind": "effects",
    "policy": "hes",
    "method": {},
    "notes": [],
    "table": [{"outcome": "y", "estimate": -1.5, "term": "=1+1"}],
}
SHOW = f"""\
from IPython.display import display
from impact.pages.signed import MIME, signed
shown = {{MIME: [{RESULT!r}], "text/html": "<p>Fewer.</p>"}}
display(shown, raw=True, metadata={{MIME: signed(shown, {{"role": "headline", "text": "Fewer."}})}})
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one study and four small notebooks."""
    for folder in ("params", "data", "notebooks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "params/small.yaml").write_text(STUDY)
    (tmp_path / "data/panel.csv").write_text("u,t,y,g\n1,1,0,\n")
    for name in ("cohort", "did", "matching", "findings"):
        notebook(tmp_path, name, SHOW)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMPACT_ROOT", raising=False)
    return tmp_path


def notebook(root: Path, name: str, code: str) -> None:
    declared = nbformat.v4.new_code_cell(
        "title = 'demo'\ndata: dict = {}\ndesign: dict = {}\noutcomes: list = []\ndid: dict = {}\n"
        "matching: dict = {'on': ['age']}\nmoney: dict = {}\ndisclosure = ''\nseed = 0",
        metadata={"tags": ["parameters"]},
    )
    cells = [nbformat.v4.new_markdown_cell(f"# Page of {name}"), declared, nbformat.v4.new_code_cell(code)]
    node = nbformat.v4.new_notebook(cells=cells)
    nbformat.write(node, root / "notebooks" / f"{name}.ipynb")


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def visible(folder: Path) -> list[str]:
    """The studies in a folder of outputs."""
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name != ".cache")


def test_a_run_shares_pages_results_tables_and_manifest_and_keeps_the_rest(project: Path) -> None:
    (outcome,) = run(["params/small.yaml"])
    assert outcome.problem is None
    assert outcome.headline == "Fewer."
    assert set(files(project / "outputs/small")) == {
        "private/checker.html",
        "private/checker.json",
        "private/cohort.ipynb",
        "private/did.ipynb",
        "private/findings.ipynb",
        "private/log.txt",
        "private/summary.json",
        "share/cohort.html",
        "share/did.html",
        "share/findings.html",
        "share/index.html",
        *(f"share/logs/{name}.md" for name in ("assumptions-caveats", "data-log", "qa-log")),
        "share/manifest.json",
        "share/results.csv",
        "share/results.json",
        *(f"share/tables/{name}-main.csv" for name in ("cohort", "did", "findings")),
    }
    share = project / "outputs/small/share"
    results = json.loads((share / "results.json").read_text())
    assert results["results"]["did"] == [RESULT]
    # A cell that a spreadsheet would run as a formula is text.
    assert (share / "results.csv").read_text().splitlines()[1] == "small,cohort,main,y,-1.5,'=1+1"
    index = (share / "index.html").read_text()
    assert "no matching section" in index
    assert "Page of findings" in index


def test_nothing_shared_holds_a_path_or_a_host_or_user_name(project: Path) -> None:
    import getpass
    import platform

    absolute = STUDY.replace("data/panel.csv", str(project / "data/panel.csv"))
    (project / "params/small.yaml").write_text(absolute)
    run(["params/small.yaml"])
    told = b"\n".join(files(project / "outputs/small/share").values()).decode()
    for secret in (str(project), str(Path.home()), platform.node(), f"/{getpass.getuser()}/"):
        assert secret not in told


def test_the_manifest_says_what_the_report_was_made_from(project: Path) -> None:
    run(["params/small.yaml"], changes=["seed=7"])
    manifest = json.loads((project / "outputs/small/share/manifest.json").read_text())
    data = (project / "data/panel.csv").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    assert manifest["inputs"] == [
        {"table": "panel", "file": "data/panel.csv", "bytes": len(data), "sha256": digest}
    ]
    assert manifest["seed"] == 7
    assert manifest["parameters"]["did"]["control"] == "never_treated"
    assert manifest["disclosure"] == {"policy": "hes", "title": policy("hes").title, "note": NOTICE}
    assert {"numpy", "papermill", "duckdb"} <= set(manifest["packages"])


def test_values_reach_the_notebook_validated_and_absent_sections_are_not_the_demos(project: Path) -> None:
    notebook(
        project,
        "findings",
        "assert did == {'estimator': 'etwfe', 'control': 'never_treated', 'covariates': [],\n"
        "    'anticipation': 0, 'family': 'poisson', 'tests': [], 'matched': False}\n"
        "assert (matching, seed) == (None, 20261122)",
    )
    (outcome,) = run(["params/small.yaml"])
    assert outcome.problem is None


def test_a_mistake_raised_in_a_notebook_is_told_in_its_own_words_and_harms_nothing(project: Path) -> None:
    run(["params/small.yaml"])
    before = files(project / "outputs/small")
    notebook(project, "did", "import impact\nimpact.disclosure.release({'a': 1}, 'hes')")
    (outcome,) = run(["params/small.yaml"])
    assert isinstance(outcome.problem, DisclosureError)
    assert str(outcome.problem).startswith("'a': got int, which is not a result; release one of Effects")
    after = files(project / "outputs/small")
    failed = {name for name in after if name.startswith("private/failed/")}
    assert {"private/failed/did.ipynb", "private/failed/traceback.txt", "private/failed/log.txt"} <= failed
    assert "DisclosureError" in after["private/failed/traceback.txt"].decode()
    assert {k: v for k, v in after.items() if k not in failed} == before
    assert visible(project / "outputs") == ["small"]


def test_another_error_is_named_without_its_text_which_may_hold_a_value(project: Path) -> None:
    notebook(project, "cohort", "raise ValueError('person 943 476 5919')")
    (outcome,) = run(["params/small.yaml"])
    assert isinstance(outcome.problem, RunError)
    assert str(outcome.problem) == "cohort: cell 3 stopped with ValueError."
    assert not (project / "outputs/small/share").exists()


def test_a_notebook_whose_process_dies_is_a_run_error(project: Path) -> None:
    notebook(project, "cohort", "import os\nos._exit(9)")
    (outcome,) = run(["params/small.yaml"])
    assert isinstance(outcome.problem, RunError)
    assert "process died" in str(outcome.problem)
    assert (project / "outputs/small/private/failed/cohort.ipynb").exists()


def test_one_study_that_stops_does_not_stop_the_others(project: Path) -> None:
    (project / "params/other.yaml").write_text(STUDY.replace("A small study", "Other"))
    notebook(project, "did", "assert title != 'A small study'")
    stopped, done = run(["params/small.yaml", "params/other.yaml"])
    assert isinstance(stopped.problem, RunError)
    assert done.problem is None


def test_noise_goes_to_the_log(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    noise = "import os, warnings\nos.write(2, b'noise of the kernel')\nwarnings.warn('noise of a library')"
    notebook(project, "cohort", noise)
    run(["params/small.yaml"])
    told = capfd.readouterr()
    assert told.out + told.err == ""
    assert "noise of the kernel" in (project / "outputs/small/private/log.txt").read_text()


def test_without_a_time_before_a_page_says_why_there_is_no_did(project: Path) -> None:
    study = STUDY.replace("months_before: 6", "months_before: 0").replace(
        "did: {control: never_treated}\n", ""
    )
    (project / "params/small.yaml").write_text(study)
    run(["params/small.yaml"])
    page = (project / "outputs/small/share/did.html").read_text()
    assert "A difference-in-differences is not possible without a time before support" in page


def test_all_problems_of_all_files_come_before_anything_runs(project: Path) -> None:
    (project / "params/a.yaml").write_text(STUDY.replace("never_treated", "nevr_treated"))
    (project / "params/b.yaml").write_text(STUDY + "sed: 1\n")
    with pytest.raises(ParameterError) as error:
        run(["params/a.yaml", "params/small.yaml", "params/b.yaml", "data/small.yaml"])
    assert str(error.value).splitlines() == [
        "params/a.yaml:5: did.control: expected never_treated or not_yet_treated, found 'nevr_treated'. "
        "Did you mean 'never_treated'?",
        "params/b.yaml:6: sed: there is no such key. Did you mean 'seed'?",
        "data/small.yaml: params/small.yaml has the same name, so their outputs would share a folder; "
        "rename one.",
    ]
    assert not (project / "outputs").exists()


def test_names_that_are_no_file_or_no_folder_come_before_anything_runs(project: Path) -> None:
    (project / "params/folder.yaml").mkdir()
    (project / f"params/{'n' * 246}.yaml").write_text(STUDY)
    varied = STUDY + "matrix: {did.control: [never_treated, not_yet_treated]}\n"
    (project / f"params/{'m' * 230}.yaml").write_text(varied)
    with pytest.raises(ParameterError) as error:
        run(["params/*.yaml"])
    assert str(error.value).splitlines() == [
        "params/folder.yaml: this is a folder; name the files in it, such as params/folder.yaml/*.yaml.",
        *(
            f"params/{letter * length}.yaml: no folder can have a name as long as {letter * 80}...; "
            "give the file a shorter one."
            for letter, length in (("m", 230), ("n", 246))
        ),
    ]
    assert not (project / "outputs").exists()


def test_the_longest_name_of_a_study_gets_its_report(project: Path) -> None:
    (project / f"params/{'n' * 245}.yaml").write_text(STUDY)
    (outcome,) = run([f"params/{'n' * 245}.yaml"])
    assert outcome.problem is None


def test_a_record_is_later_than_those_before_it_though_the_clock_went_back(project: Path) -> None:
    run(["params/small.yaml"])
    records = project / "outputs/small/private/records"
    (records / "2099-12-31-235959-999999").mkdir(parents=True)
    (outcome,) = run(["params/small.yaml"], force=True)
    assert outcome.problem is None
    made = json.loads((project / "outputs/small/private/summary.json").read_text())["summary"]["made"]
    assert made == "2100-01-01-000000-000000"


def test_what_a_killed_run_had_begun_to_write_of_the_list_goes(project: Path) -> None:
    (project / "outputs").mkdir()
    old, new = project / "outputs/.runs-1.json", project / "outputs/.runs-2.json"
    old.write_text("{")
    new.write_text("{")
    os.utime(old, (0, 0))
    run(["params/small.yaml"])
    assert (old.exists(), new.exists()) == (False, True)


def test_a_missing_data_file_is_found_before_anything_runs(project: Path) -> None:
    (project / "data/panel.csv").rename(project / "data/panels.csv")
    with pytest.raises(DataError, match=r"no file 'data/panel.csv'.* Did you mean 'panels.csv'\?"):
        run(["params/small.yaml"])
    assert not (project / "outputs").exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("os.replace('other.csv', 'data/panel.csv')", "data/panel.csv"),
        ("open('data/panel.csv', 'a').write('2,1,0,\\n')", "data/panel.csv"),
        ("open('notebooks/did.ipynb', 'a').write(' ')", "notebooks/did.ipynb"),
        ("os.remove('notebooks/cohort.ipynb')", "notebooks/cohort.ipynb"),
        ("open('data/p2.csv', 'w').write('u,t,y,g\\n2,1,0,\\n')", "data/p2.csv"),
    ],
)
def test_data_that_change_while_a_study_runs_get_no_report(project: Path, change: str, named: str) -> None:
    (project / "params/small.yaml").write_text(STUDY.replace("panel.csv", "p*.csv"))
    run(["params/small.yaml"])
    before = files(project / "outputs/small/share")
    (project / "other.csv").write_text("u,t,y,g\n9,9,0,\n")
    notebook(project, "cohort", f"import os\n{change}\n{SHOW}")
    (outcome,) = run(["params/small.yaml"])
    assert isinstance(outcome.problem, DataError)
    assert str(outcome.problem).startswith(f"{named}: changed while the study ran; run it again.")
    assert files(project / "outputs/small/share") == before


def test_an_interrupted_replacement_is_mended_by_the_next_run(project: Path) -> None:
    run(["params/small.yaml"])
    study = project / "outputs/small"
    (study / "share").rename(study / ".share-old")
    notebook(project, "cohort", "1 / 0")
    run(["params/small.yaml"])
    assert (study / "share/index.html").exists()
    assert not (study / ".share-old").exists()


@pytest.mark.parametrize(
    ("code", "told", "exit_code"),
    [
        (
            "import impact\nimpact.read(people='p.csv', contacts='c.csv', treated=['a'], control=['b'])",
            ["people: file 'p.csv' is not there.", "contacts: file 'c.csv' is not there."],
            3,
        ),
        ("import impact\nimpact.disclosure.release({'a': 1}, 'hes')", ["'a': got int, which is"], 5),
        ("raise KeyError('943 476 5919')", ["cohort: cell 3 stopped with KeyError."], 6),
        # Whoever raises it, a cell's own words are not repeated.
        (
            "from impact.errors import DataError as E\nraise E('943 476 5919')",
            ["cohort: cell 3 stopped with DataError."],
            6,
        ),
    ],
)
def test_the_command_says_what_stopped_and_exits_with_its_code(
    project: Path, code: str, told: list[str], exit_code: int
) -> None:
    notebook(project, "cohort", code)
    command = [sys.executable, "-c", "from impact.cli import main; main()", "run", "params/small.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == exit_code
    first, *lines, last = done.stderr.splitlines()
    assert first == "small: stopped"
    assert [line.startswith(f"small: {said}") for line, said in zip(lines, told, strict=True)] == [
        True
    ] * len(told)
    assert last == "small: the details are in outputs/small/private/failed"
    assert "943 476 5919" not in done.stdout + done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX")
@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_nothing_to_print_into_is_no_hindrance(project: Path, closed: str) -> None:
    """As cron and daemons start commands."""
    command = [sys.executable, "-c", "from impact.cli import main; main()", "run", "params/small.yaml"]
    done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *command], capture_output=True, text=True)
    assert (done.returncode, "small: " in done.stdout, done.stderr) == (0, False, "")
    assert (project / "outputs/small/share/index.html").exists()


def test_plain_processes_end_without_a_word(project: Path) -> None:
    command = [sys.executable, "-c", "from impact.cli import main; main()", "run", "params/small.yaml"]
    done = subprocess.run([*command, "--quiet", "--engine", "papermill"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_where_the_pages_over_all_studies_fail_the_list_is_there_and_the_command_says_so(
    project: Path,
) -> None:
    (project / "params/small.yaml").write_text(STUDY + "matrix: {design.months_before: [6, 3]}\n")
    row = {"outcome": "y", "scale": "difference", "unit": "", "estimate": -1.5, "std_error": "no number"}
    broken = RESULT | {"name": "effects", "table": [row]}
    notebook(project, "findings", SHOW.replace(repr(RESULT), repr(broken)))
    command = [sys.executable, "-c", "from impact.cli import main; main()", "run", "params/small.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count("Fewer.")) == (6, 2)
    assert done.stderr.splitlines()[-1].startswith("the pages over all studies could not be made")
    assert (project / "outputs/index.html").read_text().count("/share/findings.html") == 2


def test_without_a_secret_to_sign_with_the_reason_is_one_sentence(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (project / "file").write_text("")
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(project / "file/data"))
    (outcome,) = run(["params/small.yaml"])
    assert isinstance(outcome.problem, RunError)
    assert str(outcome.problem).startswith("Jupyter's data folder cannot be used")
    assert "NotADirectoryError" in (project / "outputs/small/private/failed/traceback.txt").read_text()
    assert "Traceback" not in capfd.readouterr().err


def test_data_that_go_while_a_study_waits_for_another_run_are_named(project: Path) -> None:
    (study,) = read_studies(["params/small.yaml"])
    with Outputs(None) as outputs, ThreadPoolExecutor(1) as thread:
        with locked(project / "outputs/small"):
            waiting = thread.submit(work, outputs.job(study))
            # Its process is there, and waits for us.
            while not _RUNNING and not waiting.done():
                time.sleep(0.01)
            (project / "data/panel.csv").unlink()
        problem = waiting.result().problem
    assert isinstance(problem, DataError)
    assert "no file 'data/panel.csv'" in str(problem)


@pytest.mark.skipif(sys.platform != "linux", reason="a file that nobody can read")
def test_data_that_cannot_be_read_are_named(project: Path) -> None:
    (project / "data/panel.csv").unlink()
    (project / "data/panel.csv").symlink_to("/proc/self/mem")
    (outcome,) = run(["params/small.yaml"])
    assert isinstance(outcome.problem, DataError)
    assert str(outcome.problem).startswith("panel: the file 'data/panel.csv' cannot be read (")


def test_a_study_that_finds_no_room_for_what_it_fetches_says_so(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (study,) = read_studies(["params/small.yaml"])
    monkeypatch.setattr("tempfile.tempdir", str(project / "data/panel.csv"))
    FETCHED.forget()
    outcome = work(Job(study, project / "unused", store="memory://out/small"))
    assert isinstance(outcome.problem, RunError)
    assert str(outcome.problem).startswith("the report could not be written (Not a directory)")


def test_a_study_without_a_method_describes_its_people_and_says_why_there_are_no_findings():
    from impact.run.plan import NOTEBOOKS, _skipped
    from impact.study import Study

    study = Study(
        data={"people": "p.csv", "contacts": "c.csv"},
        design={"treated": ["a"], "control": ["b"]},
        outcomes=["ae"],
    )
    skipped = _skipped(study)
    assert set(NOTEBOOKS) - set(skipped) == {"cohort"}
    assert skipped["findings"].startswith("the parameter file has no did or matching section")


def test_a_study_by_synthetic_difference_in_differences_runs_to_its_report(project: Path) -> None:
    """With the project's own page: placebo starts, each with placebo errors of its own, take no minutes."""
    months = [f"{year}-{month:02d}-01" for year in (2022, 2023) for month in range(1, 13)]
    rows = [
        f"site{unit},{month},{20 + (7 * unit + 5 * i + unit * i) % 11},{'2023-04-01' if unit < 12 else ''}"
        for unit in range(32)
        for i, month in enumerate(months)
    ]
    (project / "data/panel.csv").write_text("\n".join(["u,t,y,g", *rows]) + "\n")
    study = STUDY.replace("{control: never_treated}", "{estimator: synthetic_did}")
    (project / "params/small.yaml").write_text(study.replace("months_before: 6", "months_before: 12"))
    page = Path(__file__).parents[2] / "notebooks/did.ipynb"
    (project / "notebooks/did.ipynb").write_text(page.read_text())
    (outcome,) = run(["params/small.yaml"])
    assert outcome.problem is None
    results = json.loads((project / "outputs/small/share/results.json").read_text())["results"]["did"]
    effects = {result["name"]: result for result in results}["effects"]
    assert effects["method"]["estimator"] == "synthetic_did"
