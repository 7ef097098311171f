"""How far a run is: bars on a terminal, a line a notebook elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from rich.console import Console


class Progress:
    """Study, notebook and cell of a run.

    Parameters
    ----------
    console : Console, optional
        A rich console; without it nothing is shown.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console
        self._bars: Any = None
        self._task: Any = None
        self._began = 0.0

    def __enter__(self) -> Progress:
        if self._console and self._console.is_terminal:
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bars

            self._bars = Bars(
                TextColumn("{task.fields[study]}"),
                TextColumn("[bold]{task.fields[notebook]}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("cells"),
                TimeElapsedColumn(),
                console=self._console,
                transient=True,
            )
            self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        if self._bars:
            self._bars.stop()

    def notebook(self, study: str, notebook: str, cells: int) -> None:
        """Say that a notebook begins."""
        self._began = time.monotonic()
        if self._bars:
            if self._task is not None:
                self._bars.remove_task(self._task)
            self._task = self._bars.add_task("", total=cells, study=study, notebook=notebook)

    def cell(self, done: int) -> None:
        """Say how many cells of it are done."""
        if self._bars:
            self._bars.update(self._task, completed=done)

    def notebook_done(self, study: str, notebook: str) -> None:
        """Say that it is done."""
        self._line(f"{study}: {notebook}, {time.monotonic() - self._began:.1f} s")

    def finished(self, study: str) -> None:
        """Say that a study's report is written."""
        self._line(f"{study}: report written")

    def stopped(self, study: str) -> None:
        """Say that a study stopped."""
        self._line(f"{study}: stopped")

    def _line(self, text: str) -> None:
        if self._console and not self._bars:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
