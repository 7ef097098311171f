"""From parameter files to reports: validate all, run the notebooks of each, share what was released.

A study's outputs are made in a hidden folder beside their place and moved there when they are complete, so
that a run that fails or is stopped leaves the earlier ones as they were.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

from impact.errors import DataError, together
from impact.run.batch import work_all
from impact.run.job import Extras, Job, Limits, Outcome
from impact.run.progress import Progress
from impact.run.runs import Runs
from impact.study import Study, project_root, read_studies

__all__ = ["Extras", "Limits", "Outcome", "run"]

_NO_EXTRAS, _NO_LIMITS = Extras(), Limits()


def run(
    files: Sequence[str | Path],
    *,
    output: str | Path | None = None,
    changes: Sequence[str] = (),
    was_sent: bool = True,
    force: bool = False,
    extras: Extras = _NO_EXTRAS,
    limits: Limits = _NO_LIMITS,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Run studies from their parameter files, each in a process of its own.

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
    force : bool
        Whether studies run of whose data, parameters, notebooks, code and packages nothing has changed since
        their report was made.
    extras : Extras
        Whether the pages keep their code, and whether there is a PDF of each.
    limits : Limits
        Memory and minutes that a notebook may take.
    workers : int, optional
        How many studies run at once; without it, as many as there are processors.
    executor : concurrent.futures.Executor, optional
        Who runs the studies in place of workers of this computer, such as a cluster's.
    progress : Progress, optional
        Where to say how far it is.

    Returns
    -------
    list of Outcome
        One a study, in their order. A study that stops does not stop the others.

    Raises
    ------
    ParameterError, DataError
        With all problems of all files, before anything has run.
    """
    studies = read_studies(files, changes=changes)
    _find_data(studies)
    folder = Path(output).absolute() if output else project_root() / "outputs"
    more = {"was_sent": was_sent, "force": force}
    jobs = [Job(study, folder / study.name, **more, extras=extras, limits=limits) for study in studies]
    runs = Runs(folder, studies)
    executor = executor or ThreadPoolExecutor(workers or _processors())
    with (progress or Progress()).begin(len(jobs)) as said:
        for outcome in work_all(jobs, executor, (said.step, runs.step)):
            said.ended(outcome)
            runs.ended(outcome)
    return runs.outcomes()


def _processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _find_data(studies: Sequence[Study]) -> None:
    problems = []
    for study in studies:
        try:
            study.files  # noqa: B018 - looking for them is the check
        except DataError as error:
            problems += [f"{study.name}: {line}" for line in str(error).splitlines()]
    if problems:
        raise DataError(together(problems))
