"""Warm processes behave as those that were started by themselves, and end when they should."""

from __future__ import annotations

import copy
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from jupyter_client.manager import start_new_kernel

from impact import processes
from impact.run.engine import Kernel

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forking is safe on Linux alone")

CELLS = [
    "import os, sys, warnings\nimport numpy as np, pandas as pd, matplotlib.pyplot as plt, seaborn as sns",
    "pd.DataFrame(np.arange(60).reshape(2, 30))",
    "x = np.random.default_rng(1).normal(size=50)\nplt.plot(x)\nplt.show()",
    "sns.histplot(x=x);",
    "print('out')\nprint('err', file=sys.stderr)",
    "import statsmodels.api as sm\nsm.OLS(x[1:], x[:-1]).fit().params",
    "!echo from a shell",
    "os.getcwd(), os.environ['SAID'], __name__, plt.get_backend(), sys.path[0], pd.options.display.width",
    "plt.rcParams['figure.dpi'], plt.rcParams['figure.figsize'], sorted(np.geterr().items())",
    "from IPython.display import HTML, display\ndisplay(HTML('<b>x</b>'), metadata={'a': 1})",
    # What a debugger steps over.
    "from ipykernel import ipkernel\nkernel = get_ipython().kernel\n"
    "[os.__file__ in files for files in (kernel._kernel_modules, kernel.debugger.kernel_modules)], "
    "ipkernel.sys is sys",
    "import asyncio\nawait asyncio.sleep(0.01)\n'waited'",
    "from multiprocessing import Pool\nwith Pool(2) as pool:\n    found = pool.map(abs, [-1, 2])\nfound",
    "1 / 0",
]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    found = processes.server()
    assert found
    yield found
    processes._STARTED[os.getpid()].close()


def executed(tmp_path: Path, kernel: str, cells: list[str]) -> list[Any]:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nbformat.write(notebook, tmp_path / "in.ipynb")
    with pytest.raises(papermill.PapermillExecutionError, match="ZeroDivisionError"):
        papermill.execute_notebook(
            tmp_path / "in.ipynb", tmp_path / "out.ipynb", kernel_name=kernel, progress_bar=False
        )
    done = nbformat.read(tmp_path / "out.ipynb", 4)
    return [copy.deepcopy(c.outputs) for c in done.cells if c.cell_type == "code"]


def test_outputs_are_those_of_a_kernel_that_was_started_by_itself(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAID", "so")
    monkeypatch.delenv("MPLBACKEND", raising=False)
    plain, warm = (executed(tmp_path, kernel, CELLS) for kernel in ("python3", "impact"))
    assert len(plain) == len(CELLS)
    for cell, one, other in zip(CELLS, plain, warm, strict=True):
        assert one == other, cell


def test_a_child_has_its_own_folder_environment_and_output(address: str, tmp_path: Path) -> None:
    with (tmp_path / "out.txt").open("w") as out:
        child = processes.start(
            "os:system", ["pwd; echo $SAID; exit"], env={**os.environ, "SAID": "so"}, cwd=tmp_path, stdout=out
        )
        assert child.wait(10) == 0
    assert (tmp_path / "out.txt").read_text().split() == [str(tmp_path), "so"]


def test_a_childs_output_may_go_nowhere(address: str, capfd: pytest.CaptureFixture[str]) -> None:
    child = processes.start("os:system", ["echo heard"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert child.wait(10) == 0
    assert not capfd.readouterr().out


def test_kernels_of_runs_listen_where_no_other_can(address: str) -> None:
    kernel = Kernel()
    assert kernel.transport == "ipc"
    # Beyond about a hundred characters a system refuses the name of a socket.
    assert kernel.ip == str(Path(address).with_name(f"{os.getpid()}-ipc"))


def test_a_child_that_fails_says_so(address: str, tmp_path: Path) -> None:
    with (tmp_path / "err.txt").open("w") as err:
        assert processes.start("os:no_such_function", [], stderr=err).wait(10) == 1
    assert "no_such_function" in (tmp_path / "err.txt").read_text()


def test_children_draw_different_numbers(address: str, tmp_path: Path) -> None:
    file = tmp_path / "drawn"
    code = (
        f"import numpy as n, random as r; print(n.random.random(), r.random(), file=open({str(file)!r}, 'a'))"
    )
    for _ in range(2):
        assert processes.start("builtins:exec", [code]).wait(10) == 0
    drawn = file.read_text().split()
    assert len(set(drawn)) == 4


def test_a_child_ends_with_its_owner(address: str) -> None:
    child = processes.start("os:system", ["sleep 60"])
    assert isinstance(child, processes.Forked)
    assert child.poll() is None
    child._line.close()
    assert gone(child.pid)


def test_a_signal_reaches_the_child_and_what_it_started(address: str) -> None:
    child = processes.start("os:system", ["sleep 60"])
    child.terminate()
    assert child.wait(10) == -signal.SIGTERM
    with pytest.raises(subprocess.TimeoutExpired):
        processes.start("os:system", ["sleep 60"]).wait(0.05)


def test_a_kernel_is_interrupted_and_restarted(address: str) -> None:
    manager, client = start_new_kernel(kernel_name="impact")
    try:
        assert isinstance(manager.provisioner.process, processes.Forked)
        told = client.execute("import time; time.sleep(60)")
        time.sleep(0.5)
        manager.interrupt_kernel()
        assert client.get_shell_msg(timeout=10)["content"]["ename"] == "KeyboardInterrupt", told
        first = manager.provisioner.pid
        manager.restart_kernel()
        client.wait_for_ready(timeout=10)
        assert client.execute_interactive("1 + 1", timeout=10)["content"]["status"] == "ok"
        assert manager.provisioner.pid != first
    finally:
        manager.shutdown_kernel()
    assert gone(first)


def test_children_end_with_the_server_and_a_new_one_is_started(address: str) -> None:
    child = processes.start("os:system", ["sleep 60"])
    own = processes._STARTED[os.getpid()]
    os.kill(own._process.pid, signal.SIGKILL)
    assert child.wait(10) == -signal.SIGKILL
    own._process.wait()
    assert gone(child.pid)
    again = processes.start("os:system", ["true"])
    assert again.wait(10) == 0
    assert processes._STARTED[os.getpid()] is not own


def test_processes_start_as_usual_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMPACT_ENGINE", "papermill")
    with (tmp_path / "out.txt").open("w") as out:
        child = processes.start("os:system", ["pwd"], cwd=tmp_path, stdout=out)
        assert isinstance(child, subprocess.Popen)
        assert child.wait(20) == 0
    assert (tmp_path / "out.txt").read_text().strip() == str(tmp_path)


def test_a_changed_package_has_a_new_server_and_the_old_one_ends_after_its_last_child(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As a study's process does, it asks for a child of its own after the package was changed.
    code = (
        "import pathlib, time; from impact import processes\n"
        "while not pathlib.Path('go').exists(): time.sleep(0.02)\n"
        "assert processes.start('os:system', ['touch made']).wait(10) == 0"
    )
    child = processes.start("builtins:exec", [code], cwd=tmp_path)
    old = processes._STARTED[os.getpid()]
    monkeypatch.setattr(old, "_code", 0)
    assert processes.start("os:system", ["true"]).wait(10) == 0
    assert processes._STARTED[os.getpid()] is not old
    assert old._process.poll() is None
    (tmp_path / "go").touch()
    assert child.wait(20) == 0
    assert (tmp_path / "made").exists()
    assert old._process.wait(10) == 0
    assert not Path(old.address).parent.exists()


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    code = (
        "from impact import processes; print(processes.server()); processes.start('os:system', ['sleep 60'])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    folder = Path(re.findall(r"\S+", said)[-1]).parent
    for _ in range(50):
        if not folder.exists():
            break
        time.sleep(0.1)
    assert not folder.exists()


def test_the_longest_folder_for_what_is_temporary_holds_the_names_of_sockets() -> None:
    assert processes._LONGEST_FOLDER + len("/impact-4194304-12345678/4194304-ipc-5") < 108


def test_a_deep_folder_for_what_is_temporary_is_no_hindrance(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    code = "from impact import processes; print(processes.start('os:system', ['true']))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(deep)}, capture_output=True, text=True
    )
    assert "processes.Forked" in done.stdout
    assert done.stderr == ""
    assert not list(deep.iterdir())


def gone(pid: int) -> bool:
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False
