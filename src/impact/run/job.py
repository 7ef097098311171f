"""What is asked of a run, and what became of it, as they go from one process to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from impact.errors import ImpactError, ParameterError
from impact.study import Study, project_root


@dataclass(frozen=True)
class Extras:
    """What a report gets beside its pages when it is asked for: code on them, and each as a PDF."""

    with_code: bool = False
    pdf: bool = False


@dataclass(frozen=True)
class Limits:
    """What one notebook may take: gigabytes of memory, and minutes. None is no limit."""

    memory_gb: float | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        for what, most in (("memory", self.memory_gb), ("minutes", self.minutes)):
            if most is not None and not most > 0:
                raise ParameterError(f"{what}: expected more than 0, found {most:g}.")


@dataclass(frozen=True)
class Job:
    """One study to run, and the folder that gets its report, or its place in a store.

    ``root``: the project's folder, and ``needs_root`` whether the study cannot do without it. ``was_sent``:
    whether the last report was, or may have been, sent. ``force``: whether it runs although nothing it is
    made from has changed. ``variables`` are set in the study's own processes. ``planned``: how the study
    compares with its plan, as ``Study.planned``, found where the plans are. ``made_with``: the code and the
    versions of whoever asks for it; a worker of a cluster may have begun with others long ago.
    """

    study: Study
    folder: Path
    root: Path = field(default_factory=project_root)
    store: str = ""
    needs_root: bool = True
    variables: Mapping[str, str] = field(default_factory=dict)
    planned: Mapping[str, Any] = field(default_factory=dict)
    made_with: Mapping[str, Any] = field(default_factory=dict)
    was_sent: bool = True
    force: bool = False
    extras: Extras = Extras()
    limits: Limits = Limits()


@dataclass(frozen=True)
class Outcome:
    """What became of one study: the headline of its report, or the problem that stopped it.

    ``folder`` has its report, unless that is in a ``store``.

    ``remarks`` say what the report is without, though it was asked for, and what a person must look at;
    ``unchanged`` that the report of an earlier run stands, since nothing it is made from has changed.
    ``overview`` is why the pages over all studies could not be made; the last outcome of a run has it.
    """

    study: Study
    folder: Path
    seconds: float
    headline: str = ""
    problem: ImpactError | None = None
    remarks: Sequence[str] = ()
    unchanged: bool = False
    peak_mb: int = 0
    store: str = ""
    overview: ImpactError | None = None

    @property
    def status(self) -> str:
        """'stopped', 'unchanged' or 'report written'."""
        if self.problem:
            return "stopped"
        return "unchanged" if self.unchanged else "report written"
