"""Where the project is, and which files a name or a pattern in it stands for."""

from __future__ import annotations

import contextlib
import glob
import io
import os
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from impact import stores
from impact.errors import ParameterError

_CHOSEN: ContextVar[Path | None] = ContextVar("_CHOSEN", default=None)


def project_root(start: Path | None = None) -> Path:
    """Return the project's folder: the nearest at or above ``start`` that holds ``params/``.

    The environment variable ``IMPACT_ROOT`` overrides it.
    """
    if given := _CHOSEN.get() or os.environ.get("IMPACT_ROOT"):
        return Path(given).resolve()
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "params").is_dir():
            return folder
    raise ParameterError(
        "There is no project here: no params folder in this folder or in one above it. Go to your project's "
        "folder, set IMPACT_ROOT to it, or make one with `impact new` (your data) or `impact demo` (ours)."
    )


@contextlib.contextmanager
def rooted(folder: Path) -> Iterator[Path]:
    """Take a folder as the project's, in this thread and for as long as this lasts."""
    before = _CHOSEN.set(folder)
    try:
        yield folder
    finally:
        _CHOSEN.reset(before)


def text_of(name: str | os.PathLike[str]) -> str | None:
    """Return the text in a file or at an address in a store; None where there is no such file."""
    if not stores.is_address(name):
        file = Path(name)
        return file.read_text(encoding="utf-8-sig") if file.is_file() else None
    found = stores.read(str(name))
    return None if found is None else io.TextIOWrapper(io.BytesIO(found), encoding="utf-8-sig").read()


def files_of(root: Path, pattern: str, *, fetch: bool = True) -> list[Path]:
    """Return the files that a path or a glob counted from a folder stands for, in order.

    Those at an address in a store are fetched; without ``fetch`` they are only looked for.
    """
    if stores.is_address(pattern):
        return stores.FETCHED.fetch(pattern) if fetch else [Path(a) for a in stores.find(pattern)]
    if any(c in pattern for c in "*?["):
        return sorted(Path(p) for p in glob.glob(str(root / pattern), recursive=True))
    return [root / pattern] if (root / pattern).is_file() else []
