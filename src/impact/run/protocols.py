"""Writing the plan of a study before its results exist, and what amends it afterwards."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path, PurePath
from typing import Any

from impact.errors import ParameterError, RunError
from impact.pages import masthead
from impact.pages.protocol import protocol, refuse
from impact.run.outputs import Outputs
from impact.study import Study, project_root, read_studies
from impact.study.document import read_document
from impact.study.model import named_by_title
from impact.study.planned import FOLDER, changes, plan_of, trial, versions


@dataclass(frozen=True)
class Written:
    """What became of a plan: its page, its version, and whether this version was written now."""

    study: str
    page: Path
    version: int
    is_new: bool
    after_results: bool


def write(file: str | Path, *, because: str = "", output: str | Path | None = None) -> Written:
    """Write the plan of a parameter file, or an amendment of it; the data need not be there yet.

    Parameters
    ----------
    file : path
        One parameter file; the runs of its matrix are one plan.
    because : str
        The reason for an amendment.
    output : path, optional
        Where reports of the study would be, to see whether results exist already; as of ``run``.

    Returns
    -------
    Written
        Where nothing that counts has changed, of the version that stands.

    Raises
    ------
    ParameterError
        For a parameter file with mistakes, an amendment without a reason, or a plan on file that was changed.
    """
    studies = read_studies([file])
    main, stem, title = studies[0], _stem(studies[0]), _title(file, studies)
    folder = project_root() / FOLDER / stem
    before = versions(folder)
    plan = plan_of(studies)
    changed = changes(before[-1], plan) if before else []
    if before and before[-1]["sha256"] == plan["sha256"] and not changed:
        return Written(stem, folder / "protocol.html", len(before), False, before[-1]["after_results"])
    _refuse_without_reason(file, before, changed, because)
    after_results, same_data = _results_of(studies, stem, output)
    said = {
        "study": stem,
        "title": title,
        "version": len(before) + 1,
        "written": dt.date.today().isoformat(),
        "made_with": {"impact": version("impact")},
        "after_results": after_results,
        "same_data": same_data,
        "because": because,
        "changed": changed,
        **plan,
        "trial": trial(studies),
    }
    # The masthead also takes the study's own words for its columns.
    masthead(**main.masthead)
    page = protocol([*before, said], title=title)
    _keep(folder, said, page)
    return Written(stem, folder / "protocol.html", said["version"], True, after_results)


def _stem(study: Study) -> str:
    assert study.parameter_file is not None
    return study.parameter_file.stem


def _title(file: str | Path, studies: Sequence[Study]) -> str:
    """Return the title of all runs: their own, or where they differ that of the file."""
    main, *others = (study.title for study in studies)
    own = read_document(file).sections.get("title") if {*others} - {main} else None
    return str(own or main)


def _refuse_without_reason(
    file: str | Path, before: Sequence[Any], changed: Sequence[Mapping[str, str]], because: str
) -> None:
    if before and not because.strip():
        what = "; ".join(f"{c['key']} was {c['was']} and is {c['is']}" for c in changed)
        raise ParameterError(
            f"{file}: the plan of {before[-1]['written']} stands and is never overwritten, and this differs: "
            f"{what}. Give the reason with --because, and it is written down as an amendment."
        )
    if because and not before:
        raise ParameterError("--because: there is no plan yet that could be amended; leave it out.")
    refuse(because, "--because")


def _results_of(studies: Sequence[Study], stem: str, output: str | Path | None) -> tuple[bool, list[str]]:
    """Whether results of this study exist, and which other studies had some from files of the same names."""
    # A notebook run by hand has no file, and is called by its title.
    own = {*(study.name for study in studies), stem, named_by_title(studies[0].title)}
    patterns = [PurePath(p).as_posix() for names in studies[0].data_files.values() for p in names]
    is_known, same = False, []
    with Outputs(output) as outputs:
        outputs.gather("*/share/manifest.json")
        for folder in sorted(outputs.folder.glob("*/")):
            mine = folder.name in own or folder.name.startswith(f"{stem}--")
            if mine:
                is_known |= any(_results_in(folder))
            elif any(fnmatchcase(file, pattern) for file in _inputs(folder) for pattern in patterns):
                same.append(folder.name)
    return is_known, same


def _results_in(folder: Path) -> Iterator[Path]:
    """Reports, and what is known of pages that were shown, also in notebooks run by hand."""
    for pattern in ("share/manifest.json", "private/records/*/*.json", "private/by-hand/*.json"):
        yield from folder.glob(pattern)


def _inputs(folder: Path) -> list[str]:
    try:
        made = json.loads((folder / "share" / "manifest.json").read_text(encoding="utf-8"))
        return [str(one["file"]) for one in made["inputs"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _keep(folder: Path, said: Mapping[str, Any], page: str) -> None:
    """Write a version beside those there are: a plan is made anew, never over another."""
    text = json.dumps(said, indent=2, ensure_ascii=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"v{said['version']}.json").open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
        (folder / "protocol.html").write_text(page, encoding="utf-8", newline="\n")
    except FileExistsError:
        raise RunError(
            f"{FOLDER}/{folder.name}: another plan was written at this moment; try again."
        ) from None
    except OSError as problem:
        with contextlib.suppress(OSError):
            (folder / f"v{said['version']}.json").unlink(missing_ok=True)
        raise RunError(f"{FOLDER}: the plan could not be written ({problem.strerror}).") from problem
