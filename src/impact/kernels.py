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
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from impact.processes import LARGEST, RETIRE, forked, server
from impact.stores import sweep

# What notebooks and reports import. Nothing here may compute with threads when it is imported.
_STACK = (
    *("duckdb", "scipy.optimize", "scipy.stats", "statsmodels.stats.multitest"),
    *("matplotlib.pyplot", "seaborn", "matplotlib.backends.backend_agg"),
    *("ipykernel.kernelapp", "ipykernel.zmqshell", "ipykernel.debugger"),
    *("IPython.core.completerlib", "IPython.core.oinspect", "IPython.extensions.storemagic"),
    *("IPython.core.debugger", "IPython.core.logger", "IPython.core.pylabtools", "sqlite3"),
    "tornado.platform.asyncio",
    *(f"impact.{name}" for name in ("data", "disclosure.gate", "interpret", "run.worker")),
    *(f"impact.pages.{name}" for name in ("briefing", "plots", "services", "tables")),
)
# What is only there for jsonschema to judge addresses in other scripts, at the price of a second and 17 MB.
_NOT_USED = "rfc3987_syntax"
# The files of what the server has imported.
_FILES: list[str] = []
_LOOKS, _BETWEEN_LOOKS = 100, 0.01
_SIGNAL_WHEN_PARENT_DIES = 1


class WarmProvisioner(LocalProvisioner):
    """Starts kernels from the server; until there is one, and where there can be none, as usual."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Start the kernel; called by jupyter_client."""
        address = server(wait=False)
        if not address or "-f" not in cmd:
            return await super().launch_kernel(cmd, **kwargs)
        asked = {k: kwargs.get(k) for k in ("env", "cwd", "stdout", "stderr")}
        kernel: Any = forked(address, "impact.kernels:_kernel", cmd[cmd.index("-f") :], asked)
        self.process, self.pid, self.pgid = kernel, kernel.pid, None
        self.cwd = kwargs.get("cwd") or Path.cwd()
        return self.connection_info

    async def shutdown_requested(self, restart: bool = False) -> None:
        """Look often for a moment: most kernels end at once, and jupyter_client looks ten times a second."""
        for _ in range(_LOOKS):
            if await self.poll() is not None:
                return
            await asyncio.sleep(_BETWEEN_LOOKS)


def _serve(address: str) -> None:
    """Import the stack, then fork a child for whoever asks, until the owner ends or closes our input.

    Where the owner has a newer server, until the last child has ended: it may still ask for others.
    """
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
    _put_side_by_side()
    gc.freeze()
    gc.enable()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(f"{address}.new")
    listener.listen(64)
    os.rename(f"{address}.new", address)
    # The owner may have gone while we imported, as the next look at our input will tell.
    with contextlib.suppress(BrokenPipeError):
        print("ready", flush=True)
    for folder in {tempfile.gettempdir(), str(Path(address).parents[1])}:
        sweep(folder)
    died, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(tell)
    lines: dict[int, socket.socket] = {}
    retired = False
    while lines or not retired:
        watched: list[Any] = [0, listener, died, *lines.values()]
        ready = select.select(watched, [], [])[0]
        owned = 0 not in ready or os.read(0, 1) == RETIRE
        retired |= 0 in ready
        # A child whose owner has gone is of no use to anyone, nor is any when ours has.
        _end([pid for pid, line in lines.items() if line in ready or not owned])
        if not owned:
            break
        if died in ready:
            os.read(died, LARGEST)
        _tell_who_ended(lines)
        if listener in ready:
            line, _ = listener.accept()
            said, files, _, _ = socket.recv_fds(line, LARGEST, 3)
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
    _leave(address)


def _put_side_by_side() -> None:
    """Write modules' names and files anew: a kernel asks for all, and copies the pages that hold them."""
    for name in list(sys.modules):
        sys.modules[name.encode().decode()] = sys.modules.pop(name)
    places = [getattr(module, "__file__", None) for module in sys.modules.values()]
    _FILES.extend(place.encode().decode() for place in places if place)


def _leave(address: str) -> NoReturn:
    shutil.rmtree(os.path.dirname(address), ignore_errors=True)
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
    """Be the child that was asked for, and end."""
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
    import numpy as np

    # All children would draw the same numbers from numpy's old generator.
    np.random.seed()  # noqa: NPY002
    _do(asked["call"], asked["arguments"])


def _do(call: str, arguments: Sequence[str]) -> NoReturn:
    """Call it, and end as Python does, but without taking libraries apart: some complain of that."""
    code = 1
    try:
        _call(call, arguments)
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
    from ipykernel import ipkernel
    from ipykernel.kernelapp import IPKernelApp

    # pandas chooses this when it is imported, by whether there is a kernel.
    pd.set_option("display.max_columns", 20)
    sys.argv = ["ipykernel_launcher.py", *arguments]
    app = IPKernelApp.instance(parent_handle=os.getppid())
    # It would ask each module for its file, for the debugger, and a page of memory is copied for each.
    vars(ipkernel)["sys"] = SimpleNamespace(**{**vars(sys), "modules": {}})
    app.initialize(list(arguments))
    vars(ipkernel)["sys"] = sys
    app.kernel._kernel_modules += _FILES
    matplotlib.rcParams["backend"] = os.environ["MPLBACKEND"]
    app.start()


if __name__ == "__main__":
    _do(sys.argv[1], sys.argv[2:])
