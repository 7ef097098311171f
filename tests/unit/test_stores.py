"""Data, parameter files and reports in stores, in the memory of this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest

from impact import stores
from impact.data.reading import files_of
from impact.errors import DataError, ImpactError, ParameterError
from impact.run import Outcome, run
from impact.stores import FETCHED
from impact.study import Study, read_studies

from .test_run import SHOW, STUDY, files, notebook, project  # noqa: F401 - a fixture

KEY = "AKIA0123"
STORED = STUDY.replace("data/panel.csv", "memory://in/panel.csv")


@pytest.fixture
def memory() -> Any:
    """The store in this process's memory, empty."""
    store = fsspec.filesystem("memory")
    store.store.clear()
    store.pseudo_dirs[:] = [""]
    store.pipe_file("/in/panel.csv", b"u,t,y,g\n1,1,0,\n")
    yield store
    store.store.clear()
    FETCHED.forget()


@pytest.fixture
def small(project: Path) -> Path:  # noqa: F811
    """The small project, its data in the store and not beside it."""
    (project / "params/small.yaml").write_text(STORED)
    (project / "data/panel.csv").unlink()
    return project


def listed(memory: Any, folder: str) -> list[str]:
    return sorted(path[len(folder) + 1 :] for path in memory.find(folder))


def one(**more: Any) -> Outcome:
    (outcome,) = run(["params/small.yaml"], **more)
    return outcome


def test_data_in_a_store_make_the_report_that_data_beside_it_make(project: Path, memory: Any) -> None:  # noqa: F811
    assert one().problem is None
    here = files(project / "outputs/small/share")
    (project / "params/small.yaml").write_text(STORED)
    assert one(force=True).problem is None
    there = files(project / "outputs/small/share")
    made, before = (json.loads(found.pop("manifest.json")) for found in (there, here))
    assert there == here
    assert made["inputs"][0]["sha256"] == before["inputs"][0]["sha256"]
    assert (made["inputs"][0]["file"], made["parameters"]["data"]["panel"]["file"]) == ("panel.csv",) * 2
    # The notebooks that are kept name the data as the parameter file does.
    assert "memory://in/panel.csv" in (project / "outputs/small/private/did.ipynb").read_text()


def test_a_report_in_a_store_is_whole_and_resumed_and_nothing_stays_here(small: Path, memory: Any) -> None:
    assert one().problem is None
    expected, beside = files(small / "outputs/small"), os.listdir(small / "outputs")
    assert one(output="memory://out/reports").problem is None
    assert listed(memory, "/out/reports/small") == sorted(expected)
    share = {n: c for n, c in expected.items() if n.startswith("share/")}
    assert {n: memory.cat_file(f"/out/reports/small/{n}") for n in share} == share
    rows = json.loads(memory.cat_file("/out/reports/runs.json"))["runs"]
    assert [row["status"] for row in rows] == ["report written"]
    assert one(output="memory://out/reports").unchanged
    assert len(memory.cat_file("/out/reports/log.jsonl").splitlines()) > 4
    memory.pipe_file("/in/panel.csv", b"u,t,y,g\n1,1,3,\n")
    assert one(output="memory://out/reports").status == "report written"
    assert os.listdir(small / "outputs") == beside


def test_nothing_fetched_outlives_the_batch_and_nobody_else_can_open_it(
    small: Path, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(small / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (small / "tmp").mkdir()
    look = "import glob, os, stat\nfor f in glob.glob(os.environ['TMPDIR'] + '/impact-data-*'):\n"
    look += "    assert stat.S_IMODE(os.stat(f).st_mode) == 0o700\n    print('there')\n"
    notebook(small, "cohort", f"{look}{SHOW}")
    assert one(output="memory://out").problem is None
    assert b"there" in memory.cat_file("/out/small/private/cohort.ipynb")
    assert not list((small / "tmp").glob("impact-data-*"))
    # What a killed process left goes when it is older than a day.
    old, young = (small / f"tmp/impact-data-{pid}-x" for pid in (2**22 + 1, 2**22 + 2))
    old.mkdir()
    young.mkdir(0o700)
    os.utime(old, (0, 0))
    assert one(output="memory://out", force=True).problem is None
    assert (old.exists(), young.exists()) == (False, True)


@pytest.mark.skipif(sys.platform != "linux", reason="a warm server")
def test_a_server_removes_what_killed_processes_left_of_any_kind(tmp_path: Path) -> None:
    gone, own = 2**22 + 1, os.getpid()
    old = [tmp_path / f"impact-{kind}{gone}-x" for kind in ("", "data-", "outputs-")]
    kept = [tmp_path / name for name in (f"impact-outputs-{own}-x", "impact-report", f"impact-{gone}-1.csv")]
    for folder in (*old, *kept):
        folder.mkdir()
        os.utime(folder, (0, 0))
    code = "from impact import processes; print(processes.start('os:system', ['true']).wait(10))"
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
    assert {*tmp_path.iterdir()} == {*kept}


def test_a_pattern_may_stand_for_thousands_of_files(
    small: Path, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The names of so many are more than a process may be given as one variable.
    text = (small / "params/small.yaml").read_text()
    (small / "params/small.yaml").write_text(text.replace("panel.csv", "panel-*.csv"))
    for number in range(1000):
        memory.pipe_file(f"/in/panel-{number:0100}.csv", b"u,t,y,g\n1,1,0,\n")
    monkeypatch.setenv("IMPACT_ENGINE", "papermill")
    assert one(output="memory://out").problem is None
    assert memory.exists("/out/small/share/index.html")


def test_a_report_that_is_being_replaced_has_no_front_page_and_no_manifest(
    small: Path, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert one(output="memory://out").problem is None
    seen = []

    class Watched(type(memory)):  # type: ignore[misc]
        def put_file(self, here: str, there: str, **more: Any) -> None:
            seen.append((there, {n.rpartition("/")[2] for n in listed(memory, "/out/small/share")}))
            super().put_file(here, there, **more)

    fsspec.register_implementation("memory", Watched, clobber=True)
    notebook(small, "did", SHOW.replace("-1.5", "-2.5"))
    assert one(output="memory://out").problem is None
    sent = [place.removeprefix("/out/small/") for place, _ in seen if place.startswith("/out/small/")]
    kinds = [name.split("/")[0] for name in sent]
    assert kinds == sorted(kinds)
    assert sent[-2:] == ["share/index.html", "share/manifest.json"]
    assert all("manifest.json" not in there for name, there in seen if "small" in name)
    assert all("index.html" not in there for name, there in seen if "small" in name and "manif" not in name)
    fsspec.register_implementation("memory", type(memory), clobber=True)


def test_who_is_overtaken_by_another_run_starts_again_beside_its_report(small: Path, memory: Any) -> None:
    """The notebook of the first run lets another write its records, once."""
    place = "/out/small/private/records/2026-01-01-000000-000000/did.json"
    memory.pipe_file("/in/flag", b"1")
    import impact.run.batch as batch

    made, others = batch._made, []

    def meanwhile(*given: Any) -> Any:
        outcome = made(*given)
        if not others:
            others.append(place)
            memory.pipe_file(place, json.dumps({"format": 2, "tables": {}, "sheet": []}).encode())
        return outcome

    batch._made = meanwhile
    try:
        assert one(output="memory://out").status == "report written"
    finally:
        batch._made = made
    assert memory.exists(place)
    assert others


def test_a_study_that_fails_leaves_the_report_in_the_store_and_says_why_beside_it(
    small: Path, memory: Any
) -> None:
    assert one(output="memory://out").problem is None
    before = {n: memory.cat_file(f"/out/small/{n}") for n in listed(memory, "/out/small")}
    notebook(small, "did", "raise ValueError('943 476 5919')")
    assert str(one(output="memory://out").problem) == "did: cell 3 stopped with ValueError."
    after = {n: memory.cat_file(f"/out/small/{n}") for n in listed(memory, "/out/small")}
    failed = {n for n in after if n.startswith("private/failed/")}
    assert "private/failed/traceback.txt" in failed
    assert {n: c for n, c in after.items() if n not in failed} == before


def test_parameter_files_and_tables_of_runs_may_be_in_a_store(small: Path, memory: Any) -> None:
    text = STORED + "matrix: memory://in/runs.csv\n"
    memory.pipe_file("/params/north.yaml", text.encode("utf-8-sig"))
    memory.pipe_file("/params/south.yaml", STORED.replace("\n", "\r\n").encode())
    memory.pipe_file("/in/runs.csv", b"title,did.anticipation\r\nOne,\r\nTwo,2\r\n")
    studies = read_studies(["memory://params/*.yaml"])
    assert [study.name for study in studies] == ["north", "north--anticipation-2", "south"]
    assert studies[0].parameter_file == Path("north.yaml")
    memory.pipe_file("/params/bad.yaml", f"{STORED}sed: 1\n".encode())
    with pytest.raises(ParameterError, match=r"^memory://params/bad.yaml:6: sed: there is no such key"):
        read_studies(["memory://params/bad.yaml"])
    with pytest.raises(ParameterError, match=r"memory://params/none.yaml: there is no such parameter file"):
        read_studies(["memory://params/none.yaml"])
    with pytest.raises(ParameterError, match=r"memory://params/n\?x.yaml: no file matches this pattern"):
        read_studies(["memory://params/n?x.yaml"])


def test_missing_data_of_many_runs_are_said_once_before_anything_runs(small: Path, memory: Any) -> None:
    memory.rm("/in/panel.csv")
    (small / "params/small.yaml").write_text(f"{STORED}matrix:\n  seed: [1, 2, 3]\n")
    with pytest.raises(DataError) as error:
        run(["params/small.yaml"], output="memory://out")
    (line,) = str(error.value).splitlines()
    assert line.startswith("small--seed-1 and 2 more: data.panel: there is no file 'memory://in/panel.csv'")
    assert not memory.exists("/out")


def test_patterns_and_folders_that_are_columns_are_fetched_once_by_content(memory: Any) -> None:
    for year in (2023, 2024):
        memory.pipe_file(f"/lake/year={year}/part.csv", b"a\n1\n")
    first = files_of("x", "memory://lake/*/part.csv")
    assert [Path(f).parts[-2:] for f in first] == [("year=2023", "part.csv"), ("year=2024", "part.csv")]
    assert files_of("x", "memory://lake/*/part.csv") == first
    memory.pipe_file("/lake/year=2024/part.csv", b"a\n2\n")
    again = files_of("x", "memory://lake/*/part.csv")
    assert (again[0] == first[0], again[1] == first[1]) == (True, False)
    assert Path(again[1]).read_text() == "a\n2\n"
    with pytest.raises(DataError, match=r"x: file 'memory://lake/none.csv' is not there"):
        files_of("x", "memory://lake/none.csv")


@pytest.mark.parametrize(
    "address",
    [
        f"s3://{KEY}:secret@bucket/people.csv",
        f"s3://{KEY}:sec/ret@bucket/people.csv",
        f"https://a.blob.core.windows.net/c/people.csv?sv=1&sig={KEY}",
        f"ftp://me:{KEY}@host/*.csv",
    ],
)
def test_a_key_in_an_address_is_refused_and_never_repeated(small: Path, memory: Any, address: str) -> None:
    text = STUDY.replace("data/panel.csv", address)
    (small / "params/small.yaml").write_text(text)
    (small / "params/stored.yaml").write_text(STORED)
    (small / "params/runs.yaml").write_text(f"{STORED}matrix:\n  data.panel.file: ['{address}', x.csv]\n")
    for files_, more in (
        (["params/small.yaml"], {}),
        (["params/runs.yaml"], {}),
        (["params/runs.yaml"], {"changes": [f"data.panel.file={address}"]}),
        ([address], {}),
        (["params/stored.yaml"], {"output": address}),
    ):
        with pytest.raises(ParameterError, match="holds a password or a key; take it out") as error:
            run(files_, **more)
        assert KEY not in str(error.value)
    kept = b"".join(p.read_bytes() for p in (small / "outputs").rglob("*") if p.is_file())
    assert KEY.encode() not in kept


@pytest.mark.parametrize(
    ("address", "package", "message"),
    [
        ("s3://bucket/x.csv", "s3fs", r"^s3:// addresses: needs the extra \[s3\]; .* install s3fs"),
        ("abfs://box@account/x.csv", "adlfs", r"^abfs:// .* \[azure\]; .* install adlfs"),
        ("memory://x.csv", "fsspec.core", r"^memory:// .* \[stores\]; .* install fsspec"),
    ],
)
def test_a_missing_package_names_the_extra(
    address: str, package: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ParameterError, match=message):
        stores.find(address)


def test_an_unknown_kind_and_a_store_that_refuses_are_told_in_a_sentence(memory: Any) -> None:
    with pytest.raises(ParameterError, match=r"^nonsense:// is no kind of address that fsspec knows"):
        stores.find("nonsense://x.csv")

    class Closed(type(memory)):  # type: ignore[misc]
        def isfile(self, path: str) -> bool:
            raise PermissionError(f"{KEY} may not")

    fsspec.register_implementation("closed", Closed, clobber=True)
    with pytest.raises(DataError, match=r"^closed://x.csv: the store did not do it \(PermissionError\)") as e:
        stores.find("closed://x.csv")
    assert KEY not in str(e.value)


def test_the_study_of_a_notebook_run_by_hand_reads_a_store_too(memory: Any) -> None:
    study = Study(
        data={"people": "memory://in/people.csv", "contacts": "c.csv"},
        design={"treated": ["a"], "control": ["b"]},
        outcomes=["ae"],
    )
    assert study.source["people"] == "memory://in/people.csv"
    memory.pipe_file("/in/people.csv", b"person_id,arm\n1,a\n")
    (file,) = files_of("people", study.source["people"])
    assert Path(file).read_bytes() == b"person_id,arm\n1,a\n"


@pytest.mark.usefixtures("memory")
def test_where_the_project_is_not_a_study_that_needs_nothing_of_it_runs_by_addresses_of_files(
    small: Path, tmp_path: Path
) -> None:
    """As on a cluster's computer: what is read and written goes through processes of their own."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from impact.run.batch import work
    from impact.run.job import Job

    (tmp_path / "there").mkdir()
    (tmp_path / "there/panel.csv").write_text("u,t,y,g\n1,1,0,\n")
    address = f"file://{(tmp_path / 'there').as_posix()}"
    text = STUDY.replace("data/panel.csv", f"{address}/panel.csv").replace(
        "did: {control: never_treated}", ""
    )
    (small / "params/small.yaml").write_text(text)
    (study,) = read_studies(["params/small.yaml"])
    job = Job(study, Path("unused"), root=tmp_path / "nowhere", store=f"{address}/out/small")
    assert "the project's folder is not on the computer" in str(work(job).problem)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        outcome = pool.submit(work, replace(job, needs_root=False)).result()
    # There, the package's own notebooks run; they say what is wrong with so small a panel.
    assert isinstance(outcome.problem, ImpactError)
    assert "folder" not in str(outcome.problem)
    assert (tmp_path / "there/out/small/private/failed/traceback.txt").exists()
