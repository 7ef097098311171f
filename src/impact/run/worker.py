"""The process of one study: its notebooks, then its report."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from impact.errors import ImpactError
from impact.run.engine import execute, quiet
from impact.run.folders import Attempt, locked
from impact.run.job import Job
from impact.run.lookout import refuse_names
from impact.run.pdf import Printer
from impact.run.plan import plan, stands
from impact.run.share import check_sheet, share
from impact.run.watch import Watch

Tell = Callable[[dict[str, Any]], None]


def main(asked: str) -> None:
    """Do the job in a file, and say each step as a line of JSON on the output; called by ``batch.work``."""
    job: Job = pickle.loads(Path(asked).read_bytes())
    # What libraries print goes with their other noise; only steps are said on the output.
    said = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(event: dict[str, Any]) -> None:
        said.write(json.dumps(event) + "\n")
        said.flush()

    with locked(job.folder):
        tell({"at": "end", **_done(job, tell)})


def _done(job: Job, tell: Tell) -> dict[str, Any]:
    """Run a study and put its report in its place; return what became of it."""
    study, planned = job.study, plan(job)
    # Another run may have made it while this one waited.
    if (headline := stands(job, planned)) is not None:
        return {"headline": headline, "unchanged": True}
    # A report that nobody got gives nothing away: there is nothing to compare with.
    sent = job.folder / "private" / ("records" if job.was_sent else "none")
    printer = Printer() if job.extras.pdf else None
    with Attempt(job.folder) as attempt, quiet(attempt.log), Watch(job.limits) as watch:
        try:
            executed = {
                name: execute(path, study, attempt.private, sent=sent, tell=tell, watch=watch)
                for name, path in planned.notebooks.items()
            }
            more: Any = {"with_code": job.extras.with_code, "printer": printer}
            headline = share(study, executed, planned, folder=attempt.share, **more)
            refuse_names(study, attempt.share)
            check_sheet(study, attempt.private)
            attempt.keep()
        except ImpactError as problem:
            attempt.keep_failure(problem)
            return {"error": type(problem).__name__, "message": str(problem), "peak_mb": watch.peak_mb}
    return {"headline": headline, "remark": printer.problem if printer else "", "peak_mb": watch.peak_mb}
