"""The place that gets a folder for each study: a folder, or an address in a store."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from impact.run.job import Job
from impact.run.stores import names_of_data
from impact.stores import Store, bring, is_address, send, sweep
from impact.study import Study, project_root
from impact.study.planned import kept


class Outputs:
    """Where a batch's reports go.

    ``folder`` is the place itself; or for a ``store``, a folder of this computer for what is said of the
    whole batch, until it is sent.
    """

    def __init__(self, place: str | Path | None) -> None:
        self._end = contextlib.ExitStack()
        if place is not None and is_address(place):
            self.store = Store(str(place)).address
            sweep(tempfile.gettempdir())
            prefix = f"impact-outputs-{os.getpid()}-"
            made = tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)
            self.folder = Path(self._end.enter_context(made))
            bring(self.store, ["log.jsonl"], self.folder)
        else:
            self.store = ""
            self.folder = Path(place).absolute() if place else project_root() / "outputs"

    def __enter__(self) -> Outputs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.close()

    def job(self, study: Study, **more: Any) -> Job:
        """Return what is to be done for one study."""
        root = project_root()
        local = (root / "notebooks").is_dir() or not all(map(is_address, names_of_data(study)))
        store = f"{self.store}/{study.name}" if self.store else ""
        folder = self.folder / study.name
        more |= {"planned": kept(study), "needs_root": local or not store}
        return Job(study, folder, root=root, store=store, **more)

    def gather(self, *patterns: str) -> None:
        """Bring what stands in the store for patterns such as ``*/share/manifest.json`` to the folder."""
        if self.store:
            for pattern in patterns:
                store = Store(f"{self.store}/{pattern}")
                top = len(Store(self.store).path) + 1
                bring(self.store, [path[top:] for path in store.find()], self.folder)

    def send(self, *names: str) -> None:
        """Send files of the folder to the store, where there is one."""
        if self.store:
            send(self.store, [name for name in names if (self.folder / name).exists()], self.folder)
