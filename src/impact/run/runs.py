"""The list of a batch's runs, in a file from before the first starts, and each step in another."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from impact.errors import RunError
from impact.run.job import Outcome
from impact.study import Study, manifest

_EVERY_SECONDS = 2.0
_HOUR = 3600


class Runs:
    """Which runs there are, and what became of each.

    ``runs.json`` in the outputs folder has a row for each: ``id, file, title``, what it varies, ``status``
    ('waiting', 'report written', 'unchanged' or 'stopped') and, when it has ended, ``seconds``, ``peak_mb``,
    its headline or problem, and its report. ``log.jsonl`` gets a line of JSON for each step, with the time.
    """

    def __init__(self, folder: Path, studies: Sequence[Study]) -> None:
        self._folder, self._names = folder, [study.name for study in studies]
        self._rows = {row["id"]: {**row, "status": "waiting"} for row in manifest(studies)}
        self._found: dict[str, Outcome] = {}
        self._written = 0.0
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._clear()
            self._write()
        except OSError as problem:
            raise RunError(
                f"the folder of outputs cannot be written ({problem.strerror}); nothing was run."
            ) from problem

    def step(self, study: str, event: dict[str, Any]) -> None:
        """Note that a notebook begins or is done; cells are too many to note."""
        if event["at"] != "cell":
            self._log(study, event)

    def ended(self, outcome: Outcome) -> None:
        """Note what became of a study."""
        name = outcome.study.name
        self._found[name] = outcome
        said = {"seconds": round(outcome.seconds, 2), "peak_mb": outcome.peak_mb}
        self._rows[name] |= {"status": outcome.status, **said}
        if outcome.problem:
            self._rows[name]["problem"] = str(outcome.problem)
        else:
            self._rows[name] |= {"headline": outcome.headline, "report": f"{name}/share/index.html"}
        self._log(name, {"at": outcome.status, **said})
        if time.monotonic() - self._written > _EVERY_SECONDS:
            self._write_if_possible()

    def outcomes(self) -> list[Outcome]:
        """Return what became of each, in the order of the studies."""
        self._write_if_possible()
        return [self._found[name] for name in self._names]

    def _log(self, study: str, event: dict[str, Any]) -> None:
        said = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "study": study, **event}
        line = (json.dumps(said, ensure_ascii=False) + "\n").encode()
        with (
            contextlib.suppress(OSError),
            (self._folder / "log.jsonl").open("ab", buffering=0) as file,
        ):
            before = file.tell()
            if file.write(line) < len(line):
                # The disk is full: half a line would spoil the next one too.
                file.truncate(before)

    def _clear(self) -> None:
        """Remove what runs that were killed had begun to write; one that is at work takes no hour for it."""
        for left in self._folder.glob(".runs-*.json"):
            with contextlib.suppress(OSError):
                if left.stat().st_mtime < time.time() - _HOUR:
                    left.unlink()

    def _write_if_possible(self) -> None:
        """Where the disk is full the studies go on; those that need it say so themselves."""
        with contextlib.suppress(OSError):
            self._write()

    def _write(self) -> None:
        new = self._folder / f".runs-{os.getpid()}.json"
        text = json.dumps({"runs": list(self._rows.values())}, indent=2, ensure_ascii=False)
        try:
            new.write_text(text + "\n", encoding="utf-8", newline="\n")
            os.replace(new, self._folder / "runs.json")
        except OSError:
            new.unlink(missing_ok=True)
            raise
        self._written = time.monotonic()
