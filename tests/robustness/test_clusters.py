"""Studies on a Dask cluster and as jobs of submitit: the same reports, whatever dies on the way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import impact
from impact.errors import ParameterError, RunError
from impact.run import Limits, Outcome, clusters, run

from ..unit.test_run import SHOW, STUDY, notebook
from .test_killed_batches import STUDIES, left_over, reports

FILES = [f"params/{study}.yaml" for study in STUDIES[:3]]
SLOW = f"import time; time.sleep(0.7); open('begun', 'a').write('x')\n{SHOW}"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Studies of notebooks that take a moment, and tell in a file that they were run."""
    for folder in ("params", "data", "notebooks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "data/panel.csv").write_text("u,t,y,g\n1,1,0,\n")
    for study in STUDIES:
        (tmp_path / f"params/{study}.yaml").write_text(STUDY)
    for name in ("cohort", "did", "findings"):
        notebook(tmp_path, name, SLOW)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMPACT_ROOT", raising=False)
    return tmp_path


def told(outcomes: list[Outcome]) -> list[str]:
    return [str(outcome.problem or outcome.status) for outcome in outcomes]


def test_a_worker_of_dask_that_is_killed_in_mid_run_loses_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed")
    assert told(run(FILES, output="undisturbed")) == ["report written"] * 3
    expected = reports(project / "undisturbed")
    (project / "begun").unlink()
    # As on a cluster, whose workers were started somewhere else.
    (project / "elsewhere").mkdir()
    monkeypatch.chdir(project / "elsewhere")
    options = {"n_workers": 2, "threads_per_worker": 1, "memory_limit": 0, "dashboard_address": None}
    with (
        distributed.LocalCluster(**options, silence_logs="CRITICAL") as cluster,
        distributed.Client(cluster) as client,
    ):
        monkeypatch.chdir(project)
        workers = client.run(os.getpid)
        killed: list[int] = []

        def kill() -> None:
            # Each of the two has then begun a notebook of the study it is busy with.
            while not (project / "begun").exists() or len((project / "begun").read_text()) < 4:
                time.sleep(0.05)
            busy = [address for address, calls in client.processing().items() if calls]
            killed.append(workers[busy[0]])
            os.kill(killed[0], signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        outcomes = run(FILES, executor=clusters.dask(cluster.scheduler_address))
        killer.join()
        assert killed
    assert told(outcomes) == ["report written"] * 3
    assert reports(project / "outputs") == expected
    assert not left_over(project / "outputs")
    # What the killed worker had begun was begun again.
    assert (project / "begun").read_text().count("x") > 9
    assert told(run(FILES)) == ["unchanged"] * 3


def test_a_cluster_that_ends_is_told_and_the_next_call_runs_the_rest(project: Path) -> None:
    distributed = pytest.importorskip("distributed")
    dask = pytest.importorskip("dask")
    # A cluster takes seconds to end, in which short studies would: these last until it has ended.
    waits = "import os, time\nwhile title == 'Waits' and not os.path.exists('ended'):\n    time.sleep(0.05)\n"
    for name in ("cohort", "did", "findings"):
        notebook(project, name, f"{waits}open('begun', 'a').write('x')\n{SHOW}")
    for study in STUDIES[1:3]:
        (project / f"params/{study}.yaml").write_text(STUDY.replace("A small study", "Waits"))
    options = {"n_workers": 1, "threads_per_worker": 1, "memory_limit": 0, "dashboard_address": None}
    # So long the client looks for the cluster again.
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "5s"}),
        distributed.LocalCluster(**options, silence_logs=100) as cluster,
    ):

        def end() -> None:
            # The worker has one thread: what it does next is of the next study.
            while not (project / "outputs/study0/share/index.html").exists():
                time.sleep(0.05)
            cluster.close()
            (project / "ended").touch()

        ender = threading.Thread(target=end)
        ender.start()
        outcomes = run(FILES, executor=clusters.dask(cluster.scheduler_address))
        ender.join()
    lost = [outcome for outcome in outcomes if outcome.problem]
    assert {outcome.study.name for outcome in lost} >= {"study1", "study2"}
    assert all(isinstance(outcome.problem, RunError) for outcome in lost)
    assert "the same command again runs what is missing" in str(lost[0].problem)
    assert {*told(run(FILES))} == {"unchanged", "report written"}


def test_what_is_handed_to_a_cluster_that_has_ended_is_lost_and_no_fault() -> None:
    class Gone:
        status = "closed"

        def get_executor(self, **more: object) -> Gone:
            return self

        def submit(self, *args: object) -> None:
            raise RuntimeError("Client is closed.")

    tasks = clusters._Tasks(Gone())
    assert tasks.submit(int, "3").cancelled()
    Gone.status = "running"
    with pytest.raises(RuntimeError):
        tasks.submit(int, "3")
    tasks.shutdown()


@pytest.mark.skipif(os.name == "nt", reason="Slurm is not there")
def test_as_jobs_of_submitit_the_reports_are_the_same_and_a_killed_job_is_run_again(project: Path) -> None:
    pytest.importorskip("submitit")
    psutil = pytest.importorskip("psutil")
    files = FILES[:2]
    assert told(run(files, output="undisturbed")) == ["report written"] * 2
    expected = reports(project / "undisturbed")
    (project / "begun").unlink()

    def kill() -> None:
        while not (project / "begun").exists():
            time.sleep(0.05)
        for process in psutil.Process().children(recursive=True):
            words = process.cmdline()
            if "submitit.core._submit" in words:
                process.kill()
                return

    killer = threading.Thread(target=kill)
    killer.start()
    outcomes = run(files, executor=clusters.slurm("local", 2))
    killer.join()
    assert told(outcomes) == ["report written"] * 2
    assert reports(project / "outputs") == expected
    assert not left_over(project / "outputs")


OLD_WORKER = """
import json, subprocess, sys
from pathlib import Path
import impact
from impact.run import run
from impact.run.batch import work
from impact.run.outputs import Outputs
from impact.study import read_studies

(made,) = run(["params/study0.yaml"])
with (Path(impact.__file__).parent / "errors.py").open("a") as file:
    file.write("# Changed.\\n")
new = "import json; from impact.run.plan import made_with; print(json.dumps(made_with()))"
asked = json.loads(subprocess.check_output([sys.executable, "-c", new]))
(study,) = read_studies(["params/study0.yaml"])
with Outputs(None) as outputs:
    job = outputs.job(study, made_with=asked)
    print(made.status, work(job).status, work(job).status, sep=", ")
"""


def test_a_worker_that_is_older_than_the_code_runs_what_the_code_changed_and_once(project: Path) -> None:
    shutil.copytree(Path(impact.__file__).parent, project / "installed/impact")
    notebook(project, "cohort", SHOW)
    (project / "params/study0.yaml").write_text(STUDY.replace("did:", "notes: []\n#"))
    env = {**os.environ, "PYTHONPATH": str(project / "installed")}
    done = subprocess.run([sys.executable, "-c", OLD_WORKER], env=env, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["report written, report written, unchanged"], done.stderr


def test_the_executor_of_a_user_stays_open(project: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as mine:
        assert told(run(FILES[:1], executor=mine)) == ["report written"]
        assert mine.submit(int, "3").result() == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dask", "tcp://127.0.0.1:9"], "no Dask scheduler answers there"),
        (["--dask", "nonsense://x"], "no Dask scheduler answers there"),
        (["--slurm", "short,long"], "write a partition and options"),
        (["--slurm", "short,time=120"], "there is no sbatch here"),
        (["--slurm", "local", "--dask", "local"], "give one of them"),
    ],
)
def test_what_is_wrong_with_a_cluster_is_said_in_a_sentence(
    project: Path, options: list[str], message: str
) -> None:
    code = "import os; os.environ['DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT'] = '1s'\n"
    command = [sys.executable, "-c", f"{code}from impact.cli import main; main()", "run", FILES[0], *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr
    assert not (project / "outputs/study0").exists()


@pytest.mark.parametrize(("option", "package"), [("dask", "distributed"), ("slurm", "submitit")])
def test_a_missing_package_names_the_extra(
    option: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with (
        pytest.raises(
            ParameterError, match=rf"^--{option}: needs the extra \[{option}\]; .* install {package}$"
        ),
        getattr(clusters, option)("local"),
    ):
        pass


SBATCH = """#!/bin/sh
cp "$1" "$0.asked"
SLURM_JOB_ID=7 SLURM_NTASKS=1 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NNODES=1 SLURM_NODEID=0 sh "$0.asked" \
    </dev/null >/dev/null 2>&1 &
echo "Submitted batch job 7"
"""
SRUN = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do
    case "$1" in --output|--error) shift 2;; *) shift;; esac
done
exec "$@"
"""


@pytest.mark.skipif(os.name == "nt", reason="Slurm is not there")
def test_slurm_is_asked_for_what_was_asked_of_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With commands of Slurm's names that run the job at once on this computer."""
    pytest.importorskip("submitit")
    for name, text in {
        "sbatch": SBATCH,
        "srun": SRUN,
        "sacct": "#!/bin/sh\n",
        "scancel": "#!/bin/sh\n",
    }.items():
        (project / "bin").mkdir(exist_ok=True)
        (project / "bin" / name).write_text(text)
        (project / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{project / 'bin'}{os.pathsep}{os.environ['PATH']}")
    options = "short,time=120,account=north"
    with clusters.slurm(options, limits=Limits(memory_gb=4, minutes=30)) as executor:
        assert executor.submit(int, "3").result(60) == 3
    asked = (project / "bin/sbatch.asked").read_text()
    for option in ("partition=short", "time=120", "account=north", "mem=5GB"):
        assert f"#SBATCH --{option}\n" in asked
    assert not left_over(project / "outputs")


@pytest.mark.skipif(os.name == "nt", reason="Slurm is not there")
def test_what_jobs_are_asked_lies_beside_the_reports_and_what_a_killed_command_left_goes(
    project: Path,
) -> None:
    pytest.importorskip("submitit")
    place = project / "elsewhere"
    old, young = (place / f".slurm-{name}" for name in ("old", "young"))
    for left in (old, young):
        left.mkdir(parents=True)
        (left / "7_submitted.pkl").touch()
    with clusters.slurm("local", output="elsewhere"):
        (used,) = {*place.glob(".slurm-*")} - {old, young}
        for folder in (old, used):
            os.utime(folder, (0, 0))
        with clusters.slurm("local", output="elsewhere"):
            assert (old.exists(), young.exists(), used.exists()) == (False, True, True)
    assert left_over(place) == [young.name]
    assert not (project / "outputs").exists()


@pytest.mark.skipif(os.name == "nt", reason="Slurm is not there")
def test_slurm_with_outputs_that_cannot_be_written_is_told_in_a_sentence(project: Path) -> None:
    pytest.importorskip("submitit")
    (project / "outputs").touch()
    with (
        pytest.raises(RunError, match=r"^the folder of outputs cannot be written \(File exists\); nothing"),
        clusters.slurm("local"),
    ):
        pass
