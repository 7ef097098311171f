"""Where outputs are made and how they take their place."""

from __future__ import annotations

import contextlib
import datetime as dt
import glob
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from impact.errors import ImpactError

PARTS = ("private", "share")
RECORDS = "records"
# The name of a report's folder of records: names in order are in the order of time.
MADE = "%Y-%m-%d-%H%M%S-%f"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Wait until no other run is at work on a study's folder, and keep others waiting.

    The lock goes with the process that holds it, however that ends.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("a+b") as file:
        if sys.platform == "win32":
            import msvcrt

            while True:
                with contextlib.suppress(OSError):
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                    break
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Attempt:
    """A hidden folder beside a study's folder, with its own ``share`` and ``private``.

    ``keep`` moves both to their place; whatever else happens, they vanish and the earlier ones stay.

    Parameters
    ----------
    folder : path
        Of the study.
    was_sent : bool
        Whether the last report was, or may have been, sent. What it showed is forgotten if it was not.

    Attributes
    ----------
    records : path
        Where this report's records go: the folders beside it hold those of the earlier reports.
    earlier, left_out : list of str
        The earlier reports it is compared with, by the time they were made, and the one it is not.
    """

    def __init__(self, folder: Path, *, was_sent: bool = True) -> None:
        self.folder = folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        _clear(folder)
        self._build = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        self.share, self.private = self._build / "share", self._build / "private"
        self.share.mkdir()
        self.private.mkdir()
        self.log = self.private / "log.txt"
        self.left_out = [] if was_sent else _reports(folder / "private")[-1:]
        self.earlier = self._take_over()
        self.records = self.private / RECORDS / _now(_reports(folder / "private"))

    def _take_over(self) -> list[str]:
        """Copy what the earlier reports showed; of those that showed the same, the first."""
        old, new = self.folder / "private" / RECORDS, self.private / RECORDS
        if old.is_dir():
            shutil.copytree(old, new, ignore=lambda *_: self.left_out)
        kept: dict[tuple[tuple[str, bytes], ...], str] = {}
        for report in _reports(self.private):
            pages = sorted((new / report).iterdir())
            if kept.setdefault(tuple((p.name, p.read_bytes()) for p in pages), report) != report:
                shutil.rmtree(new / report)
        return list(kept.values())

    def __enter__(self) -> Attempt:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._build, ignore_errors=True)

    def keep(self) -> None:
        """Move what was made to its place; the shared part last, because it is the one that is sent."""
        self.folder.mkdir(exist_ok=True)
        for part in PARTS:
            _swap(self._build / part, self.folder / part)

    def keep_failure(self, problem: ImpactError) -> None:
        """Keep the executed notebooks, the log and the traceback in ``private/failed``, and nothing else."""
        details = problem.__cause__ or problem
        text = getattr(details, "traceback_text", "") or "".join(traceback.format_exception(details))
        (self.private / "traceback.txt").write_text(text, encoding="utf-8")
        (self.folder / "private").mkdir(parents=True, exist_ok=True)
        _swap(self.private, self.folder / "private" / "failed")


def _now(earlier: Sequence[str]) -> str:
    """Name a new report's records: by the time, or just after the last one's where the clock went back."""
    now = f"{dt.datetime.now(dt.UTC):{MADE}}"
    if earlier and now <= earlier[-1]:
        return f"{dt.datetime.strptime(earlier[-1], MADE) + dt.timedelta(microseconds=1):{MADE}}"
    return now


def _reports(private: Path) -> list[str]:
    """Return the reports whose records lie in a study's private folder, the oldest first."""
    return sorted(p.name for p in (private / RECORDS).glob("*") if p.is_dir())


def _swap(new: Path, place: Path) -> None:
    """Put a folder in the place of another. Two renames: a reader finds the old one or the new one."""
    old = place.with_name(f".{place.name}-old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        os.replace(place, old)
    try:
        os.replace(new, place)
    except OSError:
        if old.exists():
            os.replace(old, place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _clear(folder: Path) -> None:
    """Mend what a killed run left: put back a folder that was being replaced, drop forgotten attempts."""
    for part in PARTS:
        old = folder / f".{part}-old"
        if old.is_dir() and not (folder / part).exists():
            os.replace(old, folder / part)
    for left in folder.parent.glob(f".{glob.escape(folder.name)}-????????"):
        shutil.rmtree(left, ignore_errors=True)
