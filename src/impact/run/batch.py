"""Many studies, each in a process of its own, by whatever executor there is."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from dataclasses import replace
from functools import partial
from typing import Any

from impact import errors, processes
from impact.errors import ImpactError, RunError, in_words
from impact.run.job import Job, Outcome
from impact.run.plan import made_with, plan, stands
from impact.run.stores import OvertakenError, at_hand

Event = dict[str, Any]
Tell = Callable[[Event], None]


def work(job: Job, tell: Tell = lambda _: None) -> Outcome:
    """Run one study in a process of its own and wait for it; ``tell`` gets each step as it happens.

    A process that dies takes nothing with it: its outcome says so.
    """
    began, outcome = time.monotonic(), Outcome(job.study, job.folder, 0, store=job.store)
    try:
        with at_hand(job) as (here, send):
            outcome = _made(here, outcome, tell)
            send(outcome)
    except OvertakenError:
        return work(job, tell)
    except ConnectionError:
        # Who starts processes here was killed, as a process of its own is.
        return replace(outcome, problem=_DIED)
    except (ImpactError, OSError) as problem:
        return replace(outcome, problem=in_words(problem))
    return outcome if outcome.unchanged else replace(outcome, seconds=time.monotonic() - began)


def _made(job: Job, outcome: Outcome, tell: Tell) -> Outcome:
    """Make the report of a study whose data and folder are on this computer, unless it is there."""
    # A worker of a cluster that is older than the code here cannot judge: its new process can.
    if job.made_with == made_with() and (headline := stands(job, plan(job))) is not None:
        return replace(outcome, headline=headline, unchanged=True)
    outcome = replace(outcome, problem=_DIED)
    for event in _steps(job):
        if event["at"] == "end":
            outcome = replace(outcome, **_end(event))
        else:
            tell(event)
    return outcome


_DIED = RunError(
    "the study's process died, most often because memory ran out; close other programs, run fewer studies "
    "at once (--workers), or take a shorter window or fewer people."
)
_LOST = RunError(
    "the cluster lost the study: its worker died, most often because memory ran out, or the cluster ended; "
    "the same command again runs what is missing."
)


# The processes at work for this one, by the study.
_RUNNING: dict[int, processes.Process] = {}


def _steps(job: Job) -> Iterator[Event]:
    (asked, ask), (said, say) = os.pipe(), os.pipe()
    # It ends when our end of what it reads is closed, as it is however we end.
    with open(ask, "wb", buffering=0) as asking, open(said, encoding="utf-8") as saying:
        try:
            process = processes.start("impact.run.worker:main", [], stdin=asked, stdout=say)
        finally:
            os.close(asked)
            os.close(say)
        # Whoever stops listening stops the work.
        with contextlib.ExitStack() as end:
            _RUNNING[id(job.study)] = process
            end.callback(_RUNNING.pop, id(job.study))
            end.callback(process.wait)
            end.callback(process.kill)
            with contextlib.suppress(BrokenPipeError):
                asking.write(pickle.dumps(job))
            for line in saying:
                yield json.loads(line)
            process.wait()


def _end(event: Event) -> dict[str, Any]:
    """What a process said in the end, with the problem as the error it was."""
    found = {k: v for k, v in event.items() if k not in ("at", "error", "message")}
    kind = getattr(errors, event.get("error", ""), None)
    return found | {"problem": kind(event["message"]) if kind else None}


def work_all(
    jobs: Sequence[Job], executor: Executor, listeners: Sequence[Callable[[str, Event], None]] = ()
) -> Iterator[Outcome]:
    """Run studies by an executor; yield each outcome as it comes. Listeners get each study's steps.

    Whatever happens to one, in whatever way it is run, the others go on.
    """
    here = isinstance(executor, ThreadPoolExecutor)

    def tell(study: str, event: Event) -> None:
        for listener in listeners:
            listener(study, event)

    waiting: dict[Future[Outcome], Job] = {}
    for job in jobs:
        # Steps are heard from this computer's own processes; from others, only how they end.
        more = (partial(tell, job.study.name),) if here else ()
        waiting[executor.submit(work, job, *more)] = job
    try:
        for future in as_completed(waiting):
            job = waiting[future]
            if future.cancelled() or future.exception():
                yield Outcome(job.study, job.folder, 0, store=job.store, problem=_LOST if not here else _DIED)
            else:
                yield future.result()
    finally:
        for future in waiting:
            future.cancel()
        # One that is only starting has no process yet to be killed.
        while here and not all(future.done() for future in waiting):
            for job in waiting.values():
                if process := _RUNNING.get(id(job.study)):
                    process.kill()
            time.sleep(0.05)
