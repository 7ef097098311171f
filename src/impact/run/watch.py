"""A watch over one notebook after the other: how much memory its process takes, and for how long."""

from __future__ import annotations

import contextlib
import threading
import time
from types import TracebackType

import psutil

from impact.run.job import Limits

_EVERY_SECONDS = 0.2


class Watch:
    """Ends a kernel that takes more than it may, and remembers why and how much was taken at most.

    Memory is that of the process and all it has started, each page that is shared counted where it is used.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._process: psutil.Process | None = None
        self._began = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.peak_mb = 0
        self.reason = ""

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def over(self, pid: int) -> None:
        """Watch over this kernel from now on."""
        self.reason, self._began = "", time.monotonic()
        with contextlib.suppress(psutil.NoSuchProcess):
            self._process = psutil.Process(pid)

    def _look(self) -> None:
        while not self._stop.wait(_EVERY_SECONDS):
            if self._process is None:
                continue
            try:
                self._judge(self._process)
            except psutil.Error:
                self._process = None

    def _judge(self, process: psutil.Process) -> None:
        family = [process, *process.children(recursive=True)]
        taken = sum(p.memory_info().rss for p in family) / 1e6
        minutes = (time.monotonic() - self._began) / 60
        self.peak_mb = max(self.peak_mb, round(taken))
        gb, most = self._limits.memory_gb, self._limits.minutes
        if gb is not None and taken > gb * 1000:
            self.reason = f"it took more than {gb:g} GB of memory"
        elif most is not None and minutes > most:
            self.reason = f"it took more than {most:g} minutes"
        if self.reason:
            for member in family:
                member.kill()
            self._process = None
