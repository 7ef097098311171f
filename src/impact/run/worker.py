"""The process of one study: its notebooks, then its report."""

from __future__ import annotations

import contextlib
import inspect
import json
import logging
import os
import pickle
import threading
from collections.abc import Callable
from typing import IO, Any

import nbformat
import psutil
from jupyter_client.provisioning.factory import KernelProvisionerFactory
from matplotlib.backends.registry import backend_registry
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from impact import did, interpret, match
from impact.disclosure.record import read
from impact.errors import ImpactError, RunError, in_words
from impact.pages.report import entry, index, render
from impact.run.engine import execute, quiet
from impact.run.folders import Attempt, locked
from impact.run.job import Job
from impact.run.lookout import refuse_names
from impact.run.pdf import Printer
from impact.run.plan import made_with, plan, refuse_changes, stands
from impact.run.share import headline, share
from impact.run.sheet import check
from impact.run.summaries import sum_up, sum_up_failure
from impact.run.watch import Watch

_log = logging.getLogger(__name__)
Tell = Callable[[dict[str, Any]], None]


def prepare() -> None:
    """Do once, before processes are forked, what each of them would do again; called by ``kernels``."""
    made_with()
    for floor in (did, match, interpret):
        inspect.getmembers(floor)
    page = new_notebook(cells=[new_markdown_cell("# Page"), new_code_cell()])
    entries = [entry(nbformat.reads(nbformat.writes(page), as_version=4), href="")]
    render(page)
    index(title="", pages=entries)
    KernelProvisionerFactory.instance()
    backend_registry.list_all()  # type: ignore[no-untyped-call]


def main() -> None:
    """Do the job that stands on the input, and say each step as a line of JSON; called by ``batch.work``."""
    asked = os.fdopen(os.dup(0), "rb")
    job: Job = pickle.load(asked)
    threading.Thread(target=_end_with_owner, args=(asked,), daemon=True).start()
    # What libraries print goes with their other noise; only steps are said on the output.
    said = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(event: dict[str, Any]) -> None:
        said.write(json.dumps(event) + "\n")
        said.flush()

    os.environ |= {"IMPACT_ROOT": str(job.root), "IMPACT_PLANNED": json.dumps(job.planned), **job.variables}
    # What is read of the data is kept for the other notebooks, and for other studies of the same people.
    os.environ.setdefault("IMPACT_CACHE", str(job.folder.parent / ".cache"))
    try:
        with locked(job.folder):
            end = _done(job, tell)
    except Exception as problem:
        # It could not begin, or not even what failed could be written down.
        end = _failed(in_words(problem))
    tell({"at": "end", **end})


def _end_with_owner(asked: IO[bytes]) -> None:
    """End at once, with all that was started, when nobody is left who waits for the report."""
    asked.read()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()
    os._exit(1)


def _done(job: Job, tell: Tell) -> dict[str, Any]:
    """Run a study and put its report in its place; return what became of it."""
    study, planned = job.study, plan(job)
    # Another run may have made it while this one waited.
    if (told := stands(job, planned)) is not None:
        return {"headline": told, "unchanged": True}
    printer = Printer() if job.extras.pdf else None
    with (
        Attempt(job.folder, was_sent=job.was_sent) as attempt,
        quiet(attempt.log),
        Watch(job.limits) as watch,
    ):
        try:
            # A record that cannot be read stops the run now, and not when a notebook has estimated for long.
            list(read(attempt.records.parent))
            executed = {
                name: execute(path, study, attempt.private, records=attempt.records, tell=tell, watch=watch)
                for name, path in planned.notebooks.items()
            }
            wanted: Any = {"with_code": job.extras.with_code, "printer": printer}
            pages = share(study, executed, planned, folder=attempt.share, **wanted)
            refuse_names(study, attempt.share)
            remarks = check(study, attempt, pages)
            for remark in remarks:
                _log.warning(remark)
            sum_up(study, attempt, pages)
            refuse_changes(study, planned)
            attempt.keep()
        except Exception as problem:
            said = in_words(problem)
            # Where nothing can be signed, the rest says why all the same.
            with contextlib.suppress(RunError):
                sum_up_failure(study, attempt, said)
            attempt.keep_failure(said)
            return _failed(said) | {"peak_mb": watch.peak_mb}
    remarks += [printer.problem] if printer and printer.problem else []
    return {"headline": headline(pages), "remarks": remarks, "peak_mb": watch.peak_mb}


def _failed(problem: ImpactError) -> dict[str, Any]:
    return {"error": type(problem).__name__, "message": str(problem)}
