"""The list of a batch's runs, in a file from before the first starts, and each step in another."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from impact.run.job import Outcome
from impact.study import Study, manifest

_EVERY_SECONDS = 2.0


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
        self._write()

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
            self._write()

    def outcomes(self) -> list[Outcome]:
        """Return what became of each, in the order of the studies."""
        self._write()
        return [self._found[name] for name in self._names]

    def _log(self, study: str, event: dict[str, Any]) -> None:
        said = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "study": study, **event}
        with (self._folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(said, ensure_ascii=False) + "\n")

    def _write(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        new = self._folder / f".runs-{os.getpid()}.json"
        text = json.dumps({"runs": list(self._rows.values())}, indent=2, ensure_ascii=False)
        new.write_text(text + "\n", encoding="utf-8", newline="\n")
        os.replace(new, self._folder / "runs.json")
        self._written = time.monotonic()
