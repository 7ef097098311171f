"""What is measured of batches: `batch_tasks.py TASK WARM_UP FOLDER`, a project that ``batch_maker`` made.

Memory is the most that the process and all it started held at once, what they share counted once.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

BIN = Path(sys.executable).parent
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
TIMED = 5
# All of these packages, which fetch their names when they are first used.
READY = "".join(f"from impact.{name} import *\n" for name in ("data", "did", "match", "interpret"))
READY += "import impact.disclosure.gate, impact.pages.plots, impact.pages.tables, matplotlib.pyplot, seaborn"


class Peak:
    """The most memory that the children of this process held at once, or also all that these started."""

    def __init__(self, *, all_of_them: bool) -> None:
        self.bytes, self._all = 0, all_of_them
        self._stop = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(0.1):
            held = 0
            for process in me.children(recursive=self._all):
                try:
                    held += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.bytes = max(self.bytes, held)


def files() -> list[Path]:
    return sorted(Path("params").glob("*.yaml"))


def command(*words: str) -> None:
    subprocess.run([str(BIN / words[0]), *words[1:]], check=True, capture_output=True)


def impact(*more: str, share: int = 1) -> None:
    """All parameter files by one command, or one in so many of them."""
    shutil.rmtree("outputs", ignore_errors=True)
    command("impact", "run", *map(str, files()[::share]), *more)


def again() -> None:
    """The same when nothing has changed."""
    command("impact", "run", *map(str, files()))


def commands() -> float:
    """papermill and nbconvert, a command each for every file: timed for some, counted for all."""
    began, timed = time.perf_counter(), files()[:TIMED]
    for file in timed:
        out = f"{file.stem}.ipynb"
        command("papermill", "notebooks/cohort.ipynb", out, "-f", str(file), "-k", "python3")
        command("jupyter", "nbconvert", "--to", "html", out)
    return (time.perf_counter() - began) * len(files()) / len(timed)


def one(file: Path) -> None:
    import papermill

    out = f"{file.stem}.ipynb"
    papermill.execute_notebook(
        "notebooks/cohort.ipynb", out, parameters=yaml(file), kernel_name="python3", progress_bar=False
    )


def yaml(file: Path) -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(file.read_text("utf-8"))


def processes(workers: int) -> Callable[[], None]:
    """papermill in so many processes of Python, without HTML."""

    def run() -> None:
        with ProcessPoolExecutor(workers) as pool:
            list(pool.map(one, files()))

    return run


def kernel(name: str) -> Callable[[], float]:
    """Seconds until a person's new kernel has imported what a notebook needs, the middle of five."""

    def ready() -> float:
        from jupyter_client.manager import start_new_kernel

        if name == "impact":
            from impact import processes

            processes.server()
        taken = []
        for _ in range(5):
            began = time.perf_counter()
            manager, client = start_new_kernel(kernel_name=name)
            client.execute_interactive(READY, timeout=60)
            taken.append(time.perf_counter() - began)
            client.stop_channels()
            manager.shutdown_kernel(now=True)
        return sorted(taken)[2]

    return ready


TASKS: dict[str, Callable[[], float | None]] = {
    "impact: batch": impact,
    "impact: four at once": lambda: impact("--workers", "4"),
    "impact: small studies": impact,
    "impact: a quarter of them": lambda: impact(share=4),
    "impact: unchanged": again,
    "commands": commands,
    "papermill: two processes": processes(2),
    "papermill: four processes": processes(4),
    "impact: kernel": kernel("impact"),
    "papermill: kernel": kernel("python3"),
    "impact: help": lambda: command("impact", "--help"),
    "papermill: version": lambda: command("papermill", "--version"),
    "impact: check": lambda: command("impact", "check", str(files()[0])),
}


@contextmanager
def inside(folder: str) -> Iterator[None]:
    before = os.getcwd()
    os.chdir(folder)
    os.environ["IMPACT_ROOT"] = os.getcwd()
    yield
    os.chdir(before)


def main() -> None:
    task, small, folder = sys.argv[1:]
    os.environ.update(ONE_THREAD)
    # Whoever has installed the package has it compiled, as the others are.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if task == "impact: unchanged":
        for place in (small, folder):
            with inside(place):
                impact()
    with inside(small):
        TASKS[task]()
    peak, began = Peak(all_of_them="small" not in folder), time.perf_counter()
    with inside(folder):
        seconds = TASKS[task]() or time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "bytes": peak.bytes, "answers": {}}))


if __name__ == "__main__":
    main()
