"""Where the project is, and which files a name or a pattern in it stands for."""

from __future__ import annotations

import glob
import os
from pathlib import Path

from impact.errors import ParameterError


def project_root(start: Path | None = None) -> Path:
    """Return the project's folder: the nearest at or above ``start`` that holds ``params/``.

    The environment variable ``IMPACT_ROOT`` overrides it.
    """
    if given := os.environ.get("IMPACT_ROOT"):
        return Path(given).resolve()
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "params").is_dir():
            return folder
    raise ParameterError(
        "There is no project here: no params folder in this folder or in one above it. Go to your project's "
        "folder, set IMPACT_ROOT to it, or make one with `impact new` (your data) or `impact demo` (ours)."
    )


def files_of(root: Path, pattern: str) -> list[Path]:
    """Return the files that a path or a glob counted from a folder stands for, in order."""
    if any(c in pattern for c in "*?["):
        return sorted(Path(p) for p in glob.glob(str(root / pattern), recursive=True))
    return [root / pattern] if (root / pattern).is_file() else []
