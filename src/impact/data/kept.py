"""What was read once is kept in a private folder, so that all notebooks of a study share it.

Each set of data has a folder, named by a hash of all it was made from: the content of its files, what was
asked of them, the code, and the versions of what ran it. In it a file ends in the hash of its own content. So
a half-written, damaged or foreign file is never used, and processes that make the same file at the same time
do not meet. Whatever goes wrong here, the study goes on without it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.reading import Source, connect, files_of, literal
from impact.errors import DataError

Stamps = Mapping[str, tuple[int, ...]]
Build = Callable[[duckdb.DuckDBPyConnection], Any]

# A set of data that nothing has read for so long goes, and the longest unread where there is no room.
DAYS = 14
BYTES = 20 * 2**30
_OURS = re.compile(r"[0-9a-f]{32}|\.making-.+")

# Taken when the package is imported, so that it is the code that runs, whatever is edited later.
_CODE = [hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(Path(__file__).parent.glob("*.py"))]


@dataclass(frozen=True)
class Kept:
    """The private folder of one set of data, named by what the data are made from."""

    folder: Path

    def find(self, name: str, kind: str) -> Path | None:
        """Return a file whose content is what its name says; others of that name are removed."""
        for file in sorted(self.folder.glob(f"{name}-*.{kind}")):
            with suppress(OSError):
                if file.name == f"{name}-{_content(file)}.{kind}":
                    return file
                file.unlink()
        return None

    def keep(self, name: str, kind: str, write: Callable[[Path], object]) -> Path | None:
        """Keep what ``write`` writes into a file: it is found when it is complete, or never; return it."""
        with (
            suppress(OSError, duckdb.Error),
            tempfile.TemporaryDirectory(
                dir=self.folder.parent, prefix=".making-", ignore_cleanup_errors=True
            ) as making,
        ):
            file = Path(making) / f"new.{kind}"
            write(file)
            file.chmod(0o600)
            return file.replace(self.folder / f"{name}-{_content(file)}.{kind}")
        return None

    def array(self, made_from: Sequence[Any], make: Callable[[], NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return counts that are kept, or make and keep them; ``made_from`` are arrays and plain values."""
        name = _hash(made_from)
        if file := self.find(name, "npy"):
            with suppress(OSError, ValueError):
                return np.asarray(np.load(file, allow_pickle=False), float)
        made = make()
        small = made.astype(np.min_scalar_type(int(made.max(initial=0))))
        self.keep(name, "npy", lambda file: np.save(file, small if np.array_equal(small, made) else made))
        return made


def opened(
    con: duckdb.DuckDBPyConnection,
    build: Build,
    *,
    cache: str | Path | None,
    sources: Mapping[str, Source],
    asked: Sequence[Any],
) -> tuple[duckdb.DuckDBPyConnection, Any, Kept | None]:
    """Return a connection that holds a set of data, facts about it, and where more of it can be kept.

    Parameters
    ----------
    con : connection
        To a database in memory.
    build : callable
        Makes the tables in such a connection and returns facts that JSON can hold.
    cache : path, optional
        What is kept lies in its folder ``impact-kept``, which only its owner may open. Without it nothing
        is kept, nor of data that are given in memory.
    sources : mapping of table to path, list of paths, glob, or DataFrame
    asked : sequence
        All else that decides what is built, as plain values: they are told apart by how they are written.
    """
    kept, stamps = _place(con, cache, sources, asked)
    if kept is None:
        return con, build(con), None
    with _alone(kept.folder):
        if file := kept.find("tables", "duckdb"):
            with suppress(duckdb.Error):
                return con, _attached(con, file), kept
            con = connect()
        facts = build(con)
        # Files that changed while they were read are neither what was hashed nor what is there now.
        if not _unchanged(stamps):
            return con, facts, None
        file = kept.keep("tables", "duckdb", lambda file: _write(con, facts, file))
    _clean(kept.folder.parent)
    if file:
        with suppress(duckdb.Error):
            # What it took to read the files is given back.
            con.close()
            con = connect()
            return con, _attached(con, file), kept
    try:
        con.execute("SELECT 1")
    except duckdb.Error:
        # A disk that is full when DuckDB writes to it takes the tables in memory with it.
        con = connect()
        facts = build(con)
    return con, facts, kept


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let others who want the same set of data wait until it is kept, where that can be done."""
    with ExitStack() as held:
        with suppress(ImportError, OSError):
            import fcntl

            place = os.open(folder, os.O_RDONLY)
            held.callback(os.close, place)
            fcntl.flock(place, fcntl.LOCK_EX)
        yield


def _place(
    con: duckdb.DuckDBPyConnection,
    cache: str | Path | None,
    sources: Mapping[str, Source],
    asked: Sequence[Any],
) -> tuple[Kept | None, Stamps]:
    """Where this set of data is kept, and by what it is seen whether its files change."""
    if cache is None:
        return None, {}
    with suppress(OSError, DataError):
        files: dict[str, list[str]] = {}
        for name, source in sources.items():
            if isinstance(source, pd.DataFrame):
                return None, {}
            files[name] = files_of(name, source)
        stamps = _stamps(file for found in files.values() for file in found)
        zone = con.execute("SELECT current_setting('TimeZone')").fetchall()
        # The names of files count because DuckDB reads columns from folders such as year=2024.
        made_from = [_CODE, duckdb.__version__, pd.__version__, np.__version__, zone, *asked, files]
        name = _hash([*made_from, *(_content(Path(file)) for file in stamps)])
        return Kept(_private(Path(cache) / "impact-kept", name)), stamps
    return None, {}


def _attached(con: duckdb.DuckDBPyConnection, file: Path) -> Any:
    """Open kept tables for reading, as other processes may at the same time; return the facts about them."""
    con.execute(f"ATTACH {literal(str(file))} AS kept (READ_ONLY)")
    con.execute("USE kept")
    ((written,),) = con.execute("SELECT written FROM facts").fetchall()
    return json.loads(written)


def _write(con: duckdb.DuckDBPyConnection, facts: Any, file: Path) -> None:
    # The smallest blocks: a table of a few rows takes one, as all tables of a small study do.
    con.execute(f"ATTACH {literal(str(file))} AS kept (BLOCK_SIZE 16384)")
    try:
        con.execute("COPY FROM DATABASE memory TO kept")
        con.execute("CREATE TABLE kept.facts (written VARCHAR)")
        con.execute("INSERT INTO kept.facts VALUES (?)", [json.dumps(facts)])
        # Some versions say nothing of a checkpoint that fails when they detach.
        con.execute("CHECKPOINT kept")
    finally:
        con.execute("DETACH kept")


def _hash(parts: Sequence[Any]) -> str:
    made = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            # The bytes of an array of objects are only where they are in memory.
            plain = part.astype(str) if part.dtype.hasobject else part
            made.update(f"{plain.dtype} {plain.shape} ".encode() + plain.tobytes())
        else:
            made.update(f"{part!r}\n".encode())
    return made.hexdigest()[:32]


def _content(file: Path) -> str:
    with file.open("rb") as held:
        return hashlib.file_digest(held, "sha256").hexdigest()[:32]


def _stamps(files: Iterable[str]) -> Stamps:
    found = {file: os.stat(file) for file in files}
    return {file: (one.st_ino, one.st_size, one.st_mtime_ns) for file, one in found.items()}


def _unchanged(stamps: Stamps) -> bool:
    with suppress(OSError):
        return _stamps(stamps) == stamps
    return False


def _private(top: Path, name: str) -> Path:
    """Make a set's folder in one that only its owner can open, as both hold people's data."""
    top.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name == "posix":
        if not stat.S_ISDIR(top.lstat().st_mode) or top.lstat().st_uid != os.getuid():
            raise PermissionError("a link, or another's folder")
        top.chmod(0o700)
        if top.lstat().st_mode & 0o077:
            raise PermissionError("others can open this folder")
    if not (ignored := top / ".gitignore").exists():
        # People's data are not to be committed by a slip.
        ignored.write_text("*\n")
    folder = top / name
    folder.mkdir(mode=0o700, exist_ok=True)
    os.utime(folder)
    return folder


def _clean(top: Path) -> None:
    """Remove what nothing has read for long, then the longest unread until the rest has room.

    That is 20 GB, or half of what the disk could give if that is less.
    """
    with suppress(OSError):
        folders = [entry for entry in os.scandir(top) if _OURS.fullmatch(entry.name)]
        found = sorted((folder.stat().st_mtime, _size(folder), folder.path) for folder in folders)
        total = sum(size for _, size, _ in found)
        room = min(BYTES, (shutil.disk_usage(top).free + total) / 2)
        for read, size, path in found:
            # What was being made when its process was killed is of no use to anyone.
            days = 1 if Path(path).name.startswith(".") else DAYS
            if read < time.time() - days * 86400 or total > room:
                shutil.rmtree(path, ignore_errors=True)
                total -= size


def _size(folder: os.DirEntry[str]) -> int:
    return sum(file.stat().st_size for file in os.scandir(folder))
