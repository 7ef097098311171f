"""What a report is to be made from, and whether the one that is there was made from just that."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import platform
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path, PureWindowsPath
from typing import Any

from impact.disclosure import NOTICE
from impact.disclosure.policies import policy
from impact.errors import DataError, RunError
from impact.run.job import Job
from impact.study import Study, project_root

NOTEBOOKS = ("cohort", "did", "matching", "survey", "findings")
NO_TIME_BEFORE = (
    "a difference-in-differences is not possible without a time before support, and this study has none"
)
NO_SERVICES = "this study counts no services"


@dataclass(frozen=True)
class Plan:
    """The notebooks that run, why the others do not, and all that the report is made from.

    ``stamps`` tell whether a file of data or a notebook was changed since.
    """

    notebooks: dict[str, Path]
    skipped: dict[str, str]
    made_from: dict[str, Any]
    stamps: dict[Path, tuple[int, ...]]


def plan(job: Job) -> Plan:
    """Say what a job will do and from what: files, parameters, code and versions, no path and no person.

    Raises
    ------
    RunError, DataError
        Where a notebook is missing; where a file of data is, or cannot be read.
    """
    skipped = _skipped(job.study)
    notebooks = {name: _notebook(name) for name in NOTEBOOKS if name not in skipped}
    # Before anything is hashed, so that no change falls between the two.
    stamps = _stamps(job.study, notebooks)
    return Plan(notebooks, skipped, json.loads(json.dumps(_manifest(job, notebooks, skipped))), stamps)


def stands(job: Job, planned: Plan) -> str | None:
    """Return the headline of the report that is there, if it was made from the same."""
    # Without the last report to hold it back, this one may show more.
    if job.force or not job.was_sent:
        return None
    try:
        made = json.loads((job.folder / "share" / "manifest.json").read_text(encoding="utf-8"))
        headline = str(made.pop("headline"))
    except (OSError, ValueError, KeyError):
        return None
    return headline if made == planned.made_from else None


def refuse_changes(study: Study, planned: Plan) -> None:
    """Stop a report of which a file of data or a notebook is not what it was when the report was planned.

    Each notebook reads the data when it needs them: the pages may be of other data than the manifest names.

    Raises
    ------
    DataError
        All such files together.
    """
    now, root = _stamps(study, planned.notebooks), project_root()
    if changed := sorted({_shown(path, root) for path, _ in planned.stamps.items() ^ now.items()}):
        raise DataError(
            f"{', '.join(changed)}: changed while the study ran; run it again. "
            "An earlier report is as it was."
        )


def _stamps(study: Study, notebooks: Mapping[str, Path]) -> dict[Path, tuple[int, ...]]:
    """By what it is seen that a file changes: to read gigabytes a second time would take too long."""
    found: dict[Path, tuple[int, ...]] = {}
    for path in [*notebooks.values(), *(path for paths in study.files.values() for path in paths)]:
        with contextlib.suppress(FileNotFoundError):
            one = path.stat()
            found[path] = one.st_ino, one.st_size, one.st_mtime_ns
    return found


def _skipped(study: Study) -> dict[str, str]:
    skipped = {
        name: f"the parameter file has no {name} section"
        for name in ("did", "matching", "survey")
        if getattr(study, name) is None
    }
    if not study.outcomes:
        skipped |= dict.fromkeys(("did", "matching"), NO_SERVICES)
        if study.matching:
            skipped["matching"] += "; the page What people said compares answers of similar people"
        skipped["findings"] = f"{NO_SERVICES}; the answer stands on the page What people said"
    elif {"did", "matching"} <= set(skipped):
        skipped["findings"] = "the parameter file has no did or matching section, so nothing was estimated"
    if "did" in skipped and not study.design.months_before:
        skipped["did"] = NO_TIME_BEFORE
    return skipped


def _notebook(name: str) -> Path:
    """Find a notebook: the project's own, the package's, or in a checkout the repository's."""
    here = Path(__file__).resolve()
    for folder in (project_root(), here.parents[1], here.parents[3]):
        if (found := folder / "notebooks" / f"{name}.ipynb").is_file():
            return found
    raise RunError(f"notebooks/{name}.ipynb is not there; install impact again.")


def _manifest(job: Job, notebooks: Mapping[str, Path], skipped: Mapping[str, str]) -> dict[str, Any]:
    study, root = job.study, project_root()
    inputs = [_input(table, path, root) for table, paths in study.files.items() for path in paths]
    return {
        "study": study.name,
        "title": study.title,
        "disclosure": {
            "policy": study.disclosure,
            "title": policy(study.disclosure).title,
            "note": NOTICE,
        },
        "seed": study.seed,
        "notebooks": {
            "run": {name: _hash(path) for name, path in notebooks.items()},
            "not run": dict(skipped),
        },
        "extras": asdict(job.extras),
        "plan": {name: told for name, told in job.planned.items() if name != "line"},
        "inputs": inputs,
        "parameters": _without_paths(study.parameters),
        **made_with(),
    }


def _input(table: str, path: Path, root: Path) -> dict[str, Any]:
    shown = _shown(path, root)
    try:
        return {"table": table, "file": shown, "bytes": path.stat().st_size, "sha256": _hash(path)}
    except OSError as problem:
        raise DataError(f"{table}: the file {shown!r} cannot be read ({problem.strerror}).") from problem


@functools.cache
def made_with() -> dict[str, Any]:
    """Return the versions of all that makes a report, with a digest of the package's own files."""
    # Extras are for where a study runs and is kept, and need not be there.
    declared = [line for line in metadata.requires("impact") or [] if "extra ==" not in line]
    names = sorted({m[0] for line in declared if (m := re.match(r"[\w.-]+", line))})
    return {
        "code": {"impact": metadata.version("impact"), "sha256": code_hash()},
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in names},
    }


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _without_paths(value: Any) -> Any:
    """Keep of each file that lies outside the project only its name."""
    if isinstance(value, Mapping):
        return {k: _without_paths(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_paths(v) for v in value]
    outside = isinstance(value, str) and re.match(r"([A-Za-z]:)?[/\\]|~|\.\.[/\\]|\w+://", value)
    return PureWindowsPath(value).name if outside else value


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.cache
def code_hash() -> str:
    """One digest of the package's own files, so that a changed installation shows."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.suffix in {".py", ".ipynb", ".toml", ".csv", ".css", ".j2"}:
            digest.update(f"{path.relative_to(package).as_posix()}\0{_hash(path)}\0".encode())
    return digest.hexdigest()
