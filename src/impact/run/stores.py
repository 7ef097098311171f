"""Studies whose data or reports are in a store: the work itself is done in a folder of this computer."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from impact.errors import RunError
from impact.run.folders import PARTS, RECORDS
from impact.run.job import Job, Outcome
from impact.stores import FETCHED, Store, bring, is_address, remove, send
from impact.study import Study, rooted

_RECORDS = f"private/{RECORDS}"
# What a reader opens and what says that a report is whole: away while it is replaced, and last to come back.
_DOORS = ("share/index.html", "share/manifest.json")


class OvertakenError(RunError):
    """Another run wrote a report of the study in the meantime."""


@contextlib.contextmanager
def at_hand(job: Job) -> Iterator[tuple[Job, Callable[[Outcome], None]]]:
    """Yield the job with its data and its folder on this computer, and how to send what it made.

    Of the report that is in a store comes what a run needs: its manifest, and the records of what it and the
    earlier ones showed.
    """
    with FETCHED.used(), rooted(_root(job)) as root:
        fetched = {name: FETCHED.fetch(name) for name in names_of_data(job.study) if is_address(name)}
        job = replace(job, root=root, variables=FETCHED.handed_on(fetched) if fetched else {})
        if not job.store:
            yield job, lambda _: None
            return
        # What is read of the data is kept beside it, for all studies of this process.
        folder = FETCHED.folder / "outputs" / f"{job.study.name}-{secrets.token_hex(4)}"
        known = set(Store(job.store).below(_RECORDS))
        try:
            bring(job.store, ["share/manifest.json", *sorted(known)], folder)
            yield replace(job, folder=folder), lambda outcome: _send(job.store, folder, known, outcome)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def names_of_data(study: Study) -> list[str]:
    """Return the files, patterns and addresses that a study reads."""
    return [name for names in study.data_files.values() for name in names]


def _root(job: Job) -> Path:
    """Return the project's folder, or an empty one for a study that needs nothing of it."""
    if job.root.is_dir():
        return job.root
    if job.needs_root:
        raise RunError(
            "the project's folder is not on the computer that was to run this; put it on a disk that all "
            "computers of the cluster have at the same place, or data and outputs into a store."
        )
    empty = FETCHED.folder / "project"
    (empty / "params").mkdir(parents=True, exist_ok=True)
    return empty


def _send(place: str, folder: Path, known: set[str], outcome: Outcome) -> None:
    """Send what a study made: the private part first, then what may be sent, the manifest last.

    Raises
    ------
    OvertakenError
        Where records are there that were not when the study began: the report must be held against them.
    """
    if outcome.unchanged:
        return
    store = Store(place)
    if set(store.below(_RECORDS)) != known:
        raise OvertakenError("another run wrote a report of this study in the meantime; run it again.")
    parts = ("private/failed",) if outcome.problem else PARTS
    there = {name for part in parts for name in store.below(part)}
    remove(place, [name for name in _DOORS if name in there])
    made: set[str] = set()
    for part in parts:
        names = [p.relative_to(folder).as_posix() for p in (folder / part).rglob("*") if p.is_file()]
        send(place, sorted({*names} - {*_DOORS}), folder)
        made |= {*names}
    remove(place, sorted(there - made - {*_DOORS}))
    for door in _DOORS:
        send(place, [door] if door in made else [], folder)
