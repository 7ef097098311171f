"""From parameter files to reports: validate all, run the notebooks of each, share what was released.

A study's outputs are made in a hidden folder beside their place and moved there when they are complete, so
that a run that fails or is stopped leaves the earlier ones as they were.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

from impact.errors import DataError, RunError, together, whose
from impact.run.batch import work_all
from impact.run.clusters import here
from impact.run.job import Extras, Limits, Outcome
from impact.run.outputs import Outputs
from impact.run.plan import made_with
from impact.run.progress import Progress
from impact.run.renew import PAGES, renew
from impact.run.runs import Runs
from impact.study import Study, read_studies

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
    executor: contextlib.AbstractContextManager[Executor] | None = None,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Run studies from their parameter files, each in a process of its own.

    Parameters
    ----------
    files : sequence of paths
        Parameter files, or their addresses in a store. All are validated before anything runs.
    output : path, optional
        Folder, or address in a store such as ``s3://bucket/outputs``, that gets a folder for each study;
        without it, ``outputs`` in the project's folder.
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
        How many studies run at once; without it, one more than there are processors.
    executor : concurrent.futures.Executor, optional
        Who runs the studies in place of workers of this computer, such as a cluster's; it stays open. Or
        what opens one, such as ``impact.run.clusters.dask("local")``, and ends it.
    progress : Progress, optional
        Where to say how far it is.

    Returns
    -------
    list of Outcome
        One a study, in their order. A study that stops does not stop the others. The pages over all studies
        of the folder, ``index.html`` and ``across.html``, are then made anew.

    Raises
    ------
    ParameterError, DataError
        With all problems of all files, before anything has run.
    """
    studies = read_studies(files, changes=changes)
    _find_data(studies)
    more = {"was_sent": was_sent, "force": force, "made_with": made_with()}
    opening = contextlib.nullcontext(executor) if isinstance(executor, Executor) else executor
    with Outputs(output) as outputs, opening or here(workers) as pool:
        jobs = [outputs.job(study, **more, extras=extras, limits=limits) for study in studies]
        runs = Runs(outputs.folder, studies)
        outputs.send("runs.json")
        with (progress or Progress()).begin(len(jobs)) as said:
            for outcome in work_all(jobs, pool, (said.step, runs.step)):
                said.ended(outcome)
                runs.ended(outcome)
        outcomes = runs.outcomes()
        outputs.gather("*/private/summary.json", "*/private/failed/summary.json", "*/share/manifest.json")
        try:
            renew(outputs.folder)
        except RunError as problem:
            outcomes[-1] = replace(outcomes[-1], overview=problem)
        outputs.send("runs.json", "log.jsonl", *PAGES)
    return outcomes


def _find_data(studies: Sequence[Study]) -> None:
    """See that all data files are there; what many studies lack is said once."""
    same: dict[str, list[Study]] = {}
    for study in studies:
        same.setdefault(repr(study.data_files), []).append(study)
    problems = []
    for group in same.values():
        try:
            group[0].find_files(fetch=False)
        except DataError as error:
            names = whose([study.name for study in group])
            problems += [f"{names}: {line}" for line in str(error).splitlines()]
    if problems:
        raise DataError(together(problems))
