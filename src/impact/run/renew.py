"""The pages over all studies are made anew when a run ends, unless all they are made from is as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from impact import processes
from impact.errors import RunError
from impact.run.plan import code_hash

PAGES = ("index.html", "across.html")
SUMMARY = "summary.json"
_KEY, _LOG = ".pages.json", "pages-log.txt"


def renew(folder: Path, *, force: bool = False) -> None:
    """Write ``index.html`` and ``across.html`` of an outputs folder.

    They are made in a process of their own: a batch need not import what figures need, and keeps its reports
    whatever becomes of these pages.

    Parameters
    ----------
    folder : path
        With a folder for each study.
    force : bool
        Whether also where nothing has changed.

    Raises
    ------
    RunError
        Where they could not be made; every study's own report stands all the same.
    """
    if not force and _kept(folder) == _made_from(folder):
        return
    log = folder / _LOG
    try:
        with log.open("w", encoding="utf-8") as said:
            process = processes.start("impact.run.across:main", [str(folder)], stdout=said, stderr=said)
            failed = process.wait()
        if failed:
            raise RunError(f"the pages over all studies could not be made; {_LOG} beside them says why.")
        log.unlink(missing_ok=True)
        (folder / _KEY).write_text(json.dumps(_made_from(folder)), encoding="utf-8")
    except OSError as problem:
        raise RunError(f"the pages over all studies could not be made ({problem.strerror}).") from problem


def _kept(folder: Path) -> Any:
    try:
        return json.loads((folder / _KEY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _made_from(folder: Path) -> list[Any]:
    """The code, how the last run ended, and the state of each file that the pages are made from or are."""
    try:
        rows = json.loads((folder / "runs.json").read_text(encoding="utf-8"))["runs"]
    except (OSError, ValueError, KeyError):
        rows = []
    # A report that was written and one that stands are the same to these pages.
    ended = [[row["id"], row["status"] if row["status"] in ("stopped", "waiting") else ""] for row in rows]
    return [code_hash(), ended, *([str(path.relative_to(folder)), *_state(path)] for path in _files(folder))]


def _files(folder: Path) -> Iterator[Path]:
    for study in sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."):
        yield study / "private" / SUMMARY
        yield study / "private" / "failed" / SUMMARY
        yield study / "share" / "manifest.json"
    yield from (folder / page for page in PAGES)


def _state(path: Path) -> list[int]:
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]
