"""Warm processes: one that has imported the scientific stack forks a clean child for each notebook.

Importing takes longer than most notebooks compute. The server imports once and computes nothing, so that no
thread of a numerical library is at work when it forks. Each child has its own folder, environment, random
numbers and name space, as if it had been started by itself. Forking is safe on Linux alone; elsewhere, and
where ``IMPACT_ENGINE=papermill`` asks for it, processes start as usual.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

from jupyter_client.provisioning.local_provisioner import LocalProvisioner

# What notebooks and reports import. Nothing here may compute with threads when it is imported.
_STACK = (
    *("duckdb", "scipy.optimize", "scipy.stats", "matplotlib.pyplot", "seaborn"),
    *("matplotlib.backends.backend_agg", "ipykernel.kernelapp", "ipykernel.zmqshell", "ipykernel.debugger"),
    *("IPython.core.completerlib", "IPython.core.oinspect", "IPython.extensions.storemagic"),
    *(f"impact.{name}" for name in ("cli", "data", "disclosure.gate", "interpret", "run.worker")),
    *(f"impact.pages.{name}" for name in ("briefing", "plots", "services", "tables")),
)
# What is only there for jsonschema to judge addresses in other scripts, at the price of a second and 17 MB.
_NOT_USED = "rfc3987_syntax"
# The matrices are small: several threads for each wait for each other, and on a busy machine for long.
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_ADDRESS, _ENGINE = "IMPACT_WARM", "IMPACT_ENGINE"
_LARGEST, _LONGEST_FOLDER = 1 << 20, 80
_LOOKS, _BETWEEN_LOOKS = 100, 0.01
_SIGNAL_WHEN_PARENT_DIES = 1


class Forked:
    """A child of the server, as ``subprocess.Popen`` shows a process."""

    stdin = stdout = stderr = None

    def __init__(self, line: socket.socket) -> None:
        self._line, self._hearing = line, threading.Lock()
        self.pid = int(self._said() or 0)
        self.returncode: int | None = None
        if not self.pid:
            raise ConnectionError("the server of warm processes has ended")

    def poll(self) -> int | None:
        """Return how it ended, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; return its exit code, or less than 0 for the signal that ended it."""
        if self.returncode is None:
            if not select.select([self._line], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("impact.kernels", timeout or 0)
            # It is said once, to whoever asks first.
            with self._hearing:
                if self.returncode is None:
                    # A server that is killed takes its children with it.
                    self.returncode = int(self._said() or -signal.SIGKILL)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal to it and to all that it has started."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def _said(self) -> bytes:
        with contextlib.suppress(ConnectionResetError):
            return self._line.recv(64)
        return b""


Process = Forked | subprocess.Popen[Any]


class WarmProvisioner(LocalProvisioner):
    """Starts kernels from the server; until there is one, and where there can be none, as usual."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Start the kernel; called by jupyter_client."""
        address = server(wait=False)
        if not address or "-f" not in cmd:
            return await super().launch_kernel(cmd, **kwargs)
        asked = {k: kwargs.get(k) for k in ("env", "cwd", "stdout", "stderr")}
        kernel: Any = _forked(address, "impact.kernels:_kernel", cmd[cmd.index("-f") :], asked)
        self.process, self.pid, self.pgid = kernel, kernel.pid, None
        self.cwd = kwargs.get("cwd") or Path.cwd()
        return self.connection_info

    async def shutdown_requested(self, restart: bool = False) -> None:
        """Look often for a moment: most kernels end at once, and jupyter_client looks ten times a second."""
        for _ in range(_LOOKS):
            if await self.poll() is not None:
                return
            await asyncio.sleep(_BETWEEN_LOOKS)


def start(
    call: str,
    arguments: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    stdin: IO[Any] | int | None = None,
    stdout: IO[Any] | int | None = None,
    stderr: IO[Any] | int | None = None,
) -> Process:
    """Start ``module:function`` with words as arguments in a clean process, warm where that is possible.

    Without ``stdin`` it has nothing to read.

    Returns
    -------
    Forked or subprocess.Popen
        With ``pid``, ``poll``, ``wait``, ``send_signal`` and ``kill``.
    """
    more: dict[str, Any] = {"env": env, "cwd": cwd, "stdin": stdin, "stdout": stdout, "stderr": stderr}
    if address := server():
        return _forked(address, call, arguments, more)
    command = [sys.executable, "-m", "impact.kernels", call, *arguments]
    more["stdin"] = subprocess.DEVNULL if stdin is None else stdin
    return subprocess.Popen(command, start_new_session=os.name == "posix", **more)


def server(*, wait: bool = True) -> str | None:
    """Return the address of the server, which is started where there is none; None where there can be none.

    A process that was started by a server uses the same one. With ``wait=False`` None also means that it is
    not ready yet.
    """
    if sys.platform != "linux" or os.environ.get(_ENGINE) == "papermill":
        return None
    if given := os.environ.get(_ADDRESS):
        return given if Path(given).exists() else None
    with _STARTING:
        found = _STARTED.get(os.getpid())
        if found is None or found.is_stale():
            found = _STARTED[os.getpid()] = _Server()
        return found.address if found.is_ready(wait=wait) else None


class _Server:
    """The server of this process, which ends with it."""

    def __init__(self) -> None:
        # The address of a socket is short, and clusters have deep folders for what is temporary.
        deep = len(tempfile.gettempdir()) > _LONGEST_FOLDER
        self.address = os.path.join(tempfile.mkdtemp(prefix="impact-", dir="/tmp" if deep else None), "all")
        self._code = _code()
        # The backend for pictures is each child's own choice.
        env = {**ONE_THREAD, **{k: v for k, v in os.environ.items() if k != "MPLBACKEND"}}
        # As kernels that can be debugged are started.
        python = [sys.executable, "-Xfrozen_modules=off"]
        self._process = subprocess.Popen(
            [*python, "-m", "impact.kernels", "impact.kernels:_serve", self.address],
            # From its first moment no Ctrl-C at our terminal reaches it: we end it ourselves.
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, start_new_session=True,
        )  # fmt: skip
        atexit.register(self.close)

    def is_stale(self) -> bool:
        """Whether it has ended, or the package was changed since."""
        if self._process.poll() is None and self._code == _code():
            return False
        self.close()
        return True

    def is_ready(self, *, wait: bool) -> bool:
        """Whether it has imported everything."""
        said = self._process.stdout
        assert said is not None
        if not Path(self.address).exists() and (wait or select.select([said], [], [], 0)[0]):
            said.readline()
        return Path(self.address).exists()

    def close(self) -> None:
        """End it and its children."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        if not Path(self.address).exists():
            # It still imports, and nothing of it is needed.
            self._process.kill()
        self._process.wait()
        # If it was killed, it could not.
        shutil.rmtree(os.path.dirname(self.address), ignore_errors=True)


_STARTED: dict[int, _Server] = {}
_STARTING = threading.Lock()


def _code() -> int:
    """A number that changes when a file of the package does."""
    files = (f for kind in ("py", "toml", "css", "j2") for f in Path(__file__).parent.rglob(f"*.{kind}"))
    return hash(frozenset((str(f), f.stat().st_mtime_ns) for f in files))


def _forked(address: str, call: str, arguments: Sequence[str], more: Mapping[str, Any]) -> Forked:
    """Ask the server for a child; ``more`` holds what ``start`` takes besides."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LARGEST)
    line.connect(address)
    env = dict(more["env"] or os.environ) | {_ADDRESS: address}
    asked = {"call": call, "arguments": list(arguments), "env": env}
    asked["cwd"] = os.fspath(more["cwd"] or os.getcwd())
    with open(os.devnull, "r+b", buffering=0) as nothing:
        given = ((more.get("stdin"), nothing), (more["stdout"], 1), (more["stderr"], 2))
        files: list[Any] = [{None: own, subprocess.DEVNULL: nothing}.get(f, f) for f, own in given]
        numbers = [file if isinstance(file, int) else file.fileno() for file in files]
        socket.send_fds(line, [json.dumps(asked).encode()], numbers)
    return Forked(line)


def _serve(address: str) -> None:
    """Import the stack, then fork a child for whoever asks, until the owner ends or closes our input."""
    # Where the server happened to be started is no place to import from.
    del sys.path[0]
    # What is never collected is never written to, and so stays shared with the children.
    gc.disable()
    sys.modules[_NOT_USED] = None  # type: ignore[assignment]  # such a module is one that is not there
    for name in _STACK:
        importlib.import_module(name)
        if select.select([0], [], [], 0)[0]:
            _leave(address)
    _call("impact.run.worker:prepare", [])
    del sys.modules[_NOT_USED]
    gc.freeze()
    gc.enable()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(f"{address}.new")
    listener.listen(64)
    os.rename(f"{address}.new", address)
    # The owner may have gone while we imported, as the next look at our input will tell.
    with contextlib.suppress(BrokenPipeError):
        print("ready", flush=True)
    died, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(tell)
    lines: dict[int, socket.socket] = {}
    while True:
        watched: list[Any] = [0, listener, died, *lines.values()]
        ready = select.select(watched, [], [])[0]
        # A child whose owner has gone is of no use to anyone, nor is any when ours has.
        _end([pid for pid, line in lines.items() if line in ready or 0 in ready])
        if 0 in ready:
            _leave(address)
        if died in ready:
            os.read(died, _LARGEST)
        _tell_who_ended(lines)
        if listener in ready:
            line, _ = listener.accept()
            said, files, _, _ = socket.recv_fds(line, _LARGEST, 3)
            if pid := os.fork():
                lines[pid] = line
                for file in files:
                    os.close(file)
            else:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for other in (listener, *lines.values()):
                    other.close()
                os.close(died)
                os.close(tell)
                _be(json.loads(said), files, line)


def _leave(address: str) -> NoReturn:
    shutil.rmtree(os.path.dirname(address), ignore_errors=True)
    # Libraries complain of being taken apart.
    os._exit(0)


def _end(children: Sequence[int]) -> None:
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def _tell_who_ended(lines: dict[int, socket.socket]) -> None:
    while lines:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        line = lines.pop(pid)
        with contextlib.suppress(OSError):
            line.send(str(os.waitstatus_to_exitcode(status)).encode())
        line.close()


def _be(asked: dict[str, Any], files: list[int], line: socket.socket) -> NoReturn:
    """Be what was asked for, and end."""
    os.setsid()
    ctypes.CDLL(None).prctl(_SIGNAL_WHEN_PARENT_DIES, signal.SIGKILL)
    line.send(str(os.getpid()).encode())
    line.close()
    for place, file in enumerate(files):
        os.dup2(file, place)
        os.close(file)
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    code = 1
    try:
        import numpy as np

        # All children would draw the same numbers from numpy's old generator.
        np.random.seed()  # noqa: NPY002
        _call(asked["call"], asked["arguments"])
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _call(call: str, arguments: Sequence[str]) -> None:
    module, _, function = call.partition(":")
    getattr(importlib.import_module(module), function)(*arguments)


def _kernel(*arguments: str) -> None:
    """Be a kernel, as one is that was started by itself."""
    import matplotlib
    import pandas as pd
    from ipykernel.kernelapp import IPKernelApp

    # pandas chooses this when it is imported, by whether there is a kernel.
    pd.set_option("display.max_columns", 20)
    sys.argv = ["ipykernel_launcher.py", *arguments]
    app = IPKernelApp.instance(parent_handle=os.getppid())
    app.initialize(list(arguments))
    matplotlib.rcParams["backend"] = os.environ["MPLBACKEND"]
    app.start()


if __name__ == "__main__":
    _call(sys.argv[1], sys.argv[2:])
