"""Processes: each started in a clean one of its own, forked from a warm server where that is possible.

The server (``impact.kernels``) imports once what they all use; starting one is all that its owner needs.
"""

from __future__ import annotations

import atexit
import contextlib
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
from typing import IO, Any

# The matrices are small: several threads for each wait for each other, and on a busy machine for long.
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# glibc gives each thread a heap of its own, which keeps what it once needed, in each child.
_ONE_HEAP = {"MALLOC_ARENA_MAX": "1"}
_ADDRESS, _ENGINE = "IMPACT_WARM", "IMPACT_ENGINE"
LARGEST = 1 << 20
# A system refuses a socket's name of more than 107: `/impact-4194304-12345678/4194304-ipc-5` must follow.
_LONGEST_FOLDER = 68
# What a server reads when a newer one has taken its place.
RETIRE = b"."


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
    # Between the address and the child no other thread ends that server for a newer one.
    with _STARTING:
        if address := server():
            return forked(address, call, arguments, more)
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
        # With our number in its name, a later sweep knows whose it was.
        folder = tempfile.mkdtemp(prefix=f"impact-{os.getpid()}-", dir="/tmp" if deep else None)
        self.address = os.path.join(folder, "all")
        self._code = _code()
        # The backend for pictures is each child's own choice.
        env = {**ONE_THREAD, **_ONE_HEAP, **{k: v for k, v in os.environ.items() if k != "MPLBACKEND"}}
        # As kernels that can be debugged are started.
        python = [sys.executable, "-Xfrozen_modules=off"]
        self._process = subprocess.Popen(
            [*python, "-m", "impact.kernels", "impact.kernels:_serve", self.address],
            # From its first moment no Ctrl-C at our terminal reaches it: we end it ourselves.
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=env, start_new_session=True,
        )  # fmt: skip
        atexit.register(self.close)

    def is_stale(self) -> bool:
        """Whether it has ended, or the package was changed since: then it ends after its last child."""
        if self._process.poll() is not None:
            self.close()
        elif self._code == _code():
            return False
        else:
            assert self._process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(RETIRE)
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
_STARTING = threading.RLock()


def _code() -> int:
    """A number that changes when a file of the package does."""
    files = (f for kind in ("py", "toml", "css", "j2") for f in Path(__file__).parent.rglob(f"*.{kind}"))
    return hash(frozenset((str(f), f.stat().st_mtime_ns) for f in files))


def forked(address: str, call: str, arguments: Sequence[str], more: Mapping[str, Any]) -> Forked:
    """Ask the server for a child; ``more`` holds what ``start`` takes besides."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST)
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
