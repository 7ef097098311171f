"""From parameter files to reports: validate all, run the notebooks of each, share what was released.

A study's outputs are made in a hidden folder beside their place and moved there when they are complete, so
that a run that fails or is stopped leaves the earlier ones as they were.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impact.disclosure.record import read
from impact.errors import DataError, ImpactError, RunError, together
from impact.run.engine import execute, quiet
from impact.run.folders import Attempt
from impact.run.lookout import refuse_names
from impact.run.pdf import Printer
from impact.run.progress import Progress
from impact.run.share import NO_TIME_BEFORE, share
from impact.run.sheet import check
from impact.study import Study, project_root, read_studies

__all__ = ["NOTEBOOKS", "Extras", "Outcome", "run"]

_log = logging.getLogger(__name__)
NOTEBOOKS = ("cohort", "did", "matching", "findings")


@dataclass(frozen=True)
class Outcome:
    """What became of one study: its folder, the headline of its report, or the problem that stopped it.

    ``remarks`` say what the report is without, though it was asked for, and what a person must look at.
    """

    study: Study
    folder: Path
    seconds: float
    headline: str = ""
    problem: ImpactError | None = None
    remarks: Sequence[str] = ()


@dataclass(frozen=True)
class Extras:
    """What a report gets beside its pages when it is asked for: code on them, and each as a PDF."""

    with_code: bool = False
    pdf: bool = False


def run(
    files: Sequence[str | Path],
    *,
    output: str | Path | None = None,
    changes: Sequence[str] = (),
    was_sent: bool = True,
    extras: Extras = Extras(),
    progress: Progress | None = None,
) -> list[Outcome]:
    """Run studies from their parameter files.

    Parameters
    ----------
    files : sequence of paths
        Parameter files. All are validated before anything runs.
    output : path, optional
        Folder that gets a folder for each study; without it, ``outputs`` in the project's folder.
    changes : sequence of str
        Such as ``did.control=never_treated``, made to every study.
    was_sent : bool
        Whether the last report of each study was, or may have been, sent: then this one gives nothing away
        beside it, as beside the ones before. If it was not, what it showed is forgotten.
    extras : Extras
        Whether the pages keep their code, and whether there is a PDF of each.
    progress : Progress, optional
        Where to say how far it is.

    Returns
    -------
    list of Outcome
        One a study. A study that stops does not stop the others.

    Raises
    ------
    ParameterError, DataError
        With all problems of all files, before anything has run.
    """
    studies = read_studies(files, changes=changes)
    _find_data(studies)
    folder = Path(output).absolute() if output else project_root() / "outputs"
    progress = progress or Progress()
    with progress:
        return [
            _run_one(study, folder / study.name, progress, was_sent=was_sent, extras=extras)
            for study in studies
        ]


def _find_data(studies: Sequence[Study]) -> None:
    problems = []
    for study in studies:
        try:
            study.files  # noqa: B018 - looking for them is the check
        except DataError as error:
            problems += [f"{study.name}: {line}" for line in str(error).splitlines()]
    if problems:
        raise DataError(together(problems))


def _run_one(study: Study, folder: Path, progress: Progress, *, was_sent: bool, extras: Extras) -> Outcome:
    began = time.monotonic()
    to_run, skipped = _plan(study)
    printer = Printer() if extras.pdf else None
    with Attempt(folder, was_sent=was_sent) as attempt, quiet(attempt.log):
        try:
            # A record that cannot be read stops the run now, and not when a notebook has estimated for long.
            list(read(attempt.records.parent))
            executed = {
                name: execute(
                    _notebook(name), study, attempt.private, records=attempt.records, progress=progress
                )
                for name in to_run
            }
            wanted: Any = {"with_code": extras.with_code, "printer": printer}
            pages = share(study, executed, skipped, folder=attempt.share, **wanted)
            refuse_names(study, attempt.share)
            remarks = check(study, attempt, pages)
            for remark in remarks:
                _log.warning(remark)
            attempt.keep()
        except ImpactError as problem:
            attempt.keep_failure(problem)
            progress.stopped(study.name)
            return Outcome(study, folder, time.monotonic() - began, problem=problem)
    progress.finished(study.name)
    headline = pages["findings"].headline if "findings" in pages else ""
    remarks += [printer.problem] if printer and printer.problem else []
    return Outcome(study, folder, time.monotonic() - began, headline, remarks=remarks)


def _plan(study: Study) -> tuple[list[str], dict[str, str]]:
    """Which notebooks run, and why the others do not."""
    skipped = {
        name: f"the parameter file has no {name} section"
        for name in ("did", "matching")
        if getattr(study, name) is None
    }
    if len(skipped) == 2:
        skipped["findings"] = "the parameter file has no did or matching section, so nothing was estimated"
    if "did" in skipped and not study.design.months_before:
        skipped["did"] = NO_TIME_BEFORE
    return [name for name in NOTEBOOKS if name not in skipped], skipped


def _notebook(name: str) -> Path:
    """Find a notebook: the project's own, the package's, or in a checkout the repository's."""
    here = Path(__file__).resolve()
    for folder in (project_root(), here.parents[1], here.parents[3]):
        if (found := folder / "notebooks" / f"{name}.ipynb").is_file():
            return found
    raise RunError(f"notebooks/{name}.ipynb is not there; install impact again.")
