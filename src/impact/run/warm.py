"""Warm kernels: a process that has imported the scientific stack forks a clean child for each notebook.

Importing takes longer than most notebooks compute. The server imports once and computes nothing, so that no
thread of a numerical library is at work when it forks; each child starts with its own random numbers,
folder, environment and name space, as a kernel does that was started by itself.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import gc
import importlib
import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

from jupyter_client.provisioning import LocalProvisioner

# What notebooks import. Nothing here may compute with threads when it is imported.
_STACK = ("impact", "impact.interpret", "impact.pages", "impact.disclosure", "impact.study", "ipykernel.kernelapp",
          "matplotlib_inline.backend_inline", "seaborn", "statsmodels.api", "scipy.stats", "duckdb")  # fmt: skip
_ADDRESS = "IMPACT_WARM"


class Forked:
    """A child of the server, as ``subprocess.Popen`` shows a process."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int, line: socket.socket) -> None:
        self.pid, self._line = pid, line
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return how it ended, or None while it runs."""
        if self.returncode is None and select.select([self._line], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended."""
        if self.returncode is None:
            self._line.settimeout(timeout)
            said = self._line.recv(64)
            # A server that was killed takes its children with it.
            self.returncode = int(said) if said else -signal.SIGKILL
            self._line.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal to it and to what it has started."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)


class WarmProvisioner(LocalProvisioner):  # type: ignore[misc]
    """A kernel forked from the server; where that is not possible, one that is started as usual."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Start the kernel."""
        address = server() if possible() else None
        if address is None:
            return await super().launch_kernel(cmd, **kwargs)
        self.process = fork(address, cmd[cmd.index("-f") :], kwargs)
        self.pid, self.pgid, self.cwd = self.process.pid, None, kwargs.get("cwd")
        return self.connection_info


def possible() -> bool:
    """Whether forking a process that has imported the stack is safe here."""
    return sys.platform == "linux"


def fork(address: str, arguments: list[str], kwargs: dict[str, Any]) -> Forked:
    """Ask the server for a child that runs a kernel."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    line.connect(address)
    asked = {"arguments": arguments, "env": dict(kwargs.get("env") or os.environ), "cwd": str(kwargs.get("cwd") or os.getcwd())}
    fds = [f.fileno() if hasattr(f, "fileno") else default for f, default in ((kwargs.get("stdout"), 1), (kwargs.get("stderr"), 2))]
    data = json.dumps(asked).encode()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, max(len(data) * 2, 1 << 18))
    line.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
    return Forked(int(line.recv(64)), line)


_SERVER: dict[int, str] = {}


def server() -> str:
    """Return the address of this process's server, which is started when there is none."""
    if given := os.environ.get(_ADDRESS):
        return given
    if os.getpid() not in _SERVER:
        folder = tempfile.mkdtemp(prefix="impact-")
        address = os.path.join(folder, "kernels")
        process = subprocess.Popen(
            [sys.executable, "-m", "impact.run.warm", address], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"), **os.environ}
        )
        assert process.stdout
        process.stdout.readline()
        _SERVER[os.getpid()] = address
        atexit.register(lambda: (process.stdin.close(), process.wait(), shutil.rmtree(folder, ignore_errors=True)))
    return _SERVER[os.getpid()]


def serve(address: str) -> None:
    """Import the stack, then fork a child for whoever asks, until the owner closes our input."""
    os.setsid()
    for name in _STACK:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(address)
    listener.listen(64)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer)
    lines: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([listener, reader, 0], [], [])
        if 0 in ready:
            for pid in lines:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            return
        if reader in ready:
            os.read(reader, 512)
        while lines:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            with contextlib.suppress(OSError):
                lines[pid].send(str(os.waitstatus_to_exitcode(status)).encode())
            lines.pop(pid).close()
        if listener in ready:
            line, _ = listener.accept()
            data, fds, _, _ = socket.recv_fds(line, 1 << 22, 2)
            if pid := os.fork():
                lines[pid] = line
                line.send(str(pid).encode())
                for fd in fds:
                    os.close(fd)
            else:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for other in (listener, line, *lines.values()):
                    other.close()
                os.close(reader), os.close(writer)
                _run(json.loads(data), fds)


def _run(asked: dict[str, Any], fds: list[int]) -> NoReturn:
    """Be a kernel."""
    code = 1
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDONLY)
        for fd, place in ((null, 0), (fds[0], 1), (fds[1], 2)):
            os.dup2(fd, place)
        os.environ.clear()
        os.environ.update(asked["env"], JPY_PARENT_PID=str(os.getppid()))
        os.chdir(asked["cwd"])
        import numpy as np

        np.random.seed()
        random.seed()
        sys.argv = ["ipykernel_launcher.py", *asked["arguments"]]
        from ipykernel.kernelapp import IPKernelApp

        app = IPKernelApp.instance()
        app.initialize(asked["arguments"])
        app.start()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
