"""How far a run is: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from types import TracebackType
from typing import Any

from rich.console import Console

from impact.run.job import Outcome

# The notebook's name, a bar that can be read, the cells and the time left.
_BESIDE, _LEAST = 48, 16
# A terminal that was closed, or a full disk with a log on it, stops no study.
_GONE = contextlib.suppress(OSError)


class Progress:
    """Studies, notebooks and cells of a run.

    Parameters
    ----------
    console : Console, optional
        A rich console; without it nothing is shown.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console
        self._bars: Any = None
        self._all: Any = None
        self._tasks: dict[str, Any] = {}
        self._began: dict[str, float] = {}

    def begin(self, studies: int) -> Progress:
        """Say how many studies there are to run."""
        if self._console and self._console.is_terminal:
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bars

            columns = (
                TextColumn("{task.description}"),
                TextColumn("[bold]{task.fields[notebook]}"),
                BarColumn(),
            )
            self._bars = Bars(
                *columns, MofNCompleteColumn(), TimeRemainingColumn(elapsed_when_finished=True),
                console=self._console, transient=True,
            )  # fmt: skip
            self._all = self._bars.add_task("studies", total=studies, notebook="")
        return self

    def __enter__(self) -> Progress:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        if self._bars:
            with _GONE:
                self._bars.stop()

    def step(self, study: str, event: dict[str, Any]) -> None:
        """Say that a notebook begins or is done, or a cell of it."""
        if event["at"] == "cell":
            self._bar(study, completed=event["done"])
            return
        if event["at"] == "notebook":
            self._began[study] = time.monotonic()
            self._bar(study, notebook=event["notebook"], total=event["cells"], completed=0)
        else:
            self._line(f"{study}: {event['notebook']}, {time.monotonic() - self._began[study]:.1f} s")

    def ended(self, outcome: Outcome) -> None:
        """Say what became of a study."""
        study = outcome.study.name
        if self._bars:
            if study in self._tasks:
                self._bars.remove_task(self._tasks.pop(study))
            self._bars.advance(self._all)
        self._line(f"{study}: {outcome.status}")

    def _bar(self, study: str, **state: Any) -> None:
        if self._bars:
            with _GONE:
                if study not in self._tasks:
                    name = _short(study, self._bars.console.width - _BESIDE)
                    self._tasks[study] = self._bars.add_task(name, notebook="")
                self._bars.update(self._tasks[study], **state)

    def _line(self, text: str) -> None:
        if self._console and not self._bars:
            with _GONE:
                self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _short(name: str, width: int) -> str:
    """Return a name without its middle, if it is wider: the names of a matrix differ at their ends.

    Examples
    --------
    >>> _short("northtown--months_after-12--estimator-etwfe", 24)
    'northto…-estimator-etwfe'
    """
    width = max(width, _LEAST)
    start = (width - 1) // 3
    return name if len(name) <= width else f"{name[:start]}…{name[len(name) - (width - 1 - start) :]}"
