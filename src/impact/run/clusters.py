"""Who runs the studies: the processors of this computer, a Dask cluster, or Slurm.

Each gives an executor of ``concurrent.futures`` and ends it. The packages that speak to clusters are fetched
when they are used, and need not be there otherwise.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from impact.errors import ParameterError, RunError
from impact.run.job import Limits
from impact.stores import forget, is_address, lacking
from impact.study import project_root

# A job of Slurm that ends without a word is given to it again so often.
_TRIES = 3
_LOOK_SECONDS = 0.5
_AT_ONCE = 100
_HOURS_UNLESS_SAID = 24
_NOTEBOOKS = 4
_HIDDEN, _LOCK = ".slurm-", "lock"


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def here(workers: int | None = None) -> Iterator[Executor]:
    """Run studies on this computer, as many at once as are asked for or one more than it has processors."""
    # While one waits for a notebook's process to start or to end, another computes.
    executor = ThreadPoolExecutor(workers or processors() + 1)
    try:
        yield executor
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        forget()


@contextlib.contextmanager
def dask(address: str, workers: int | None = None) -> Iterator[Executor]:
    """Run studies on a Dask cluster; one that a dying worker had begun is begun again by another.

    Parameters
    ----------
    address : str
        Of the scheduler, such as ``tcp://host:8786``; or ``local`` for a cluster on this computer.
    workers : int, optional
        Of the local cluster; without it, as many as there are processors.

    Raises
    ------
    ParameterError
        Where the package is missing, or no scheduler answers.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise lacking("--dask", "dask", "distributed") from None
    with contextlib.ExitStack() as end:
        if address == "local":
            # Its workers only wait for processes of their own: their memory says nothing.
            options = {"memory_limit": 0, "dashboard_address": None, "silence_logs": "CRITICAL"}
            given: Any = end.enter_context(
                LocalCluster(n_workers=workers or processors(), threads_per_worker=1, **options)
            )
        else:
            given = address
        try:
            client = end.enter_context(Client(given))
        except (OSError, ValueError):
            raise ParameterError(
                f"--dask {address}: no Dask scheduler answers there; give its address, such as "
                "tcp://host:8786, or local."
            ) from None
        tasks = _Tasks(client)
        end.callback(tasks.shutdown)
        yield tasks
        # What a client says of a cluster that has gone depends on the moment, and there is nothing to forget.
        with contextlib.suppress(Exception):
            client.run(forget)


@contextlib.contextmanager
def slurm(
    asked: str,
    workers: int | None = None,
    limits: Limits | None = None,
    output: str | Path | None = None,
) -> Iterator[Executor]:
    """Run each study as a job of Slurm.

    Parameters
    ----------
    asked : str
        A partition and options of ``sbatch``, such as ``short,time=120,account=north``; or ``local``, to try
        it without Slurm on this computer.
    workers : int, optional
        How many jobs are in the queue at once; without it, 100.
    limits : Limits, optional
        Of a notebook: what a job asks for is made from them.
    output : path, optional
        As of ``run``: what jobs are asked and answer lies there, hidden, while it runs.

    Raises
    ------
    ParameterError
        Where the package or Slurm is missing, or an option is not understood.
    RunError
        Where that folder cannot be written.
    """
    try:
        import submitit
    except ImportError:
        raise lacking("--slurm", "slurm", "submitit") from None
    words = [word.strip() for word in asked.split(",") if word.strip()]
    partition = [word for word in words if "=" not in word]
    if len(partition) > 1 or not words:
        raise ParameterError(
            f"--slurm {asked}: write a partition and options, such as short,time=120,account=north, or local."
        )
    options = dict.fromkeys(["partition"], partition[0]) if partition else {}
    options |= dict(word.split("=", 1) for word in words if "=" in word)
    local = partition == ["local"]
    if not local and not shutil.which("sbatch"):
        raise ParameterError(f"--slurm {asked}: there is no sbatch here; run it where Slurm takes jobs.")
    at_once = workers or (processors() if local else _AT_ONCE)
    with _hidden(output) as folder:
        jobs = submitit.AutoExecutor(folder, cluster="local" if local else "slurm")
        jobs.update_parameters(name="impact", timeout_min=_minutes(limits))
        if not local:
            memory = limits and limits.memory_gb
            more = {"mem": f"{round(memory + 1)}GB"} if memory else {}
            jobs.update_parameters(slurm_additional_parameters={**more, **options})
        executor = _Jobs(jobs, at_once)
        try:
            yield executor
        finally:
            executor.shutdown()


@contextlib.contextmanager
def _hidden(output: str | Path | None) -> Iterator[Path]:
    """Make a folder beside the reports that only its owner can open, and remove it in the end."""
    import fcntl

    here = output is None or is_address(output)
    top = project_root() / "outputs" if here else Path(str(output)).absolute()
    with contextlib.ExitStack() as end:
        try:
            top.mkdir(parents=True, exist_ok=True)
            for left in top.glob(f"{_HIDDEN}*"):
                _remove_if_left(left)
            folder = Path(tempfile.mkdtemp(prefix=_HIDDEN, dir=top))
            end.callback(shutil.rmtree, folder, ignore_errors=True)
            # It goes with this process, however that ends.
            fcntl.flock(end.enter_context((folder / _LOCK).open("w")), fcntl.LOCK_EX)
        except OSError as problem:
            raise RunError(
                f"the folder of outputs cannot be written ({problem.strerror}); nothing was run."
            ) from problem
        yield folder


def _remove_if_left(folder: Path) -> None:
    """Remove the folder of a command that was killed, when jobs it had handed in have had their day."""
    import fcntl

    with contextlib.suppress(OSError):
        if folder.stat().st_mtime < time.time() - _HOURS_UNLESS_SAID * 3600:
            with (folder / _LOCK).open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)


def _minutes(limits: Limits | None) -> int:
    """How long a job may take: each notebook its limit, and a quarter of an hour beside."""
    most = limits and limits.minutes
    return round(most * _NOTEBOOKS + 15) if most else _HOURS_UNLESS_SAID * 60


class _Tasks(Executor):
    """Tasks of a Dask client: none is waited for once the client has lost its cluster.

    The client's own executor never answers for a task whose result was being fetched at that moment.
    """

    def __init__(self, client: Any) -> None:
        self._client, self._tasks = client, client.get_executor(pure=False)
        self._open: list[Future[Any]] = []
        self._ended = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def submit(self, call: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:
        """Hand a call to the cluster."""
        try:
            future: Future[Any] = self._tasks.submit(call, *args, **more)
        except Exception:
            if self._client.status == "running":
                raise
            # It ended while there were still calls to hand over.
            future = Future()
            future.cancel()
            future.set_running_or_notify_cancel()
        self._open.append(future)
        return future

    def _watch(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            if self._client.status == "closed":
                for future in self._open:
                    # Its own executor may tell of it at the same moment, and it can be told once.
                    with contextlib.suppress(RuntimeError):
                        if not future.done() and future.cancel():
                            future.set_running_or_notify_cancel()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Stop looking after them."""
        self._ended.set()


class _Jobs(Executor):
    """Jobs of submitit as an executor: each is waited for by a thread."""

    def __init__(self, jobs: Any, at_once: int) -> None:
        self._jobs, self._threads = jobs, ThreadPoolExecutor(at_once)
        self._lock, self._ended = threading.Lock(), threading.Event()

    def submit(self, call: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:
        """Hand a call to the cluster."""
        return self._threads.submit(self._wait, call, args, more)

    def _wait(self, call: Callable[..., Any], args: Any, more: Any) -> Any:
        from submitit.core.utils import UncompletedJobError

        for tried in range(1, _TRIES + 1):
            with self._lock:
                job = self._jobs.submit(call, *args, **more)
            while not job.done():
                if self._ended.wait(_LOOK_SECONDS):
                    job.cancel(check=False)
                    raise CancelledError
            try:
                return job.result()
            except UncompletedJobError:
                # Its computer died, or it was thrown out: a study is safe to run again.
                if tried == _TRIES:
                    raise
        raise AssertionError

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End what has not ended."""
        self._ended.set()
        self._threads.shutdown(wait=wait, cancel_futures=True)
