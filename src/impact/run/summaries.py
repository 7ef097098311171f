"""What the pages over all studies are told of each: a signed summary of its report, or of why there is none.

A summary is made where the report is made, from what it shows, and signed as outputs are (``pages.signed``).
The pages over all studies take nothing else: not a share folder that was altered or sent by somebody.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from impact.disclosure.identifiers import found_in
from impact.errors import DataError, ImpactError, ParameterError
from impact.interpret.studies import released_studies
from impact.pages.formats import called
from impact.pages.report import Entry
from impact.pages.signed import MIME, signed
from impact.pages.studies import NOT_RUN, Listed
from impact.run.folders import MADE, Attempt
from impact.run.renew import SUMMARY
from impact.study import Study, manifest, project_root, read_studies
from impact.study.naming import chosen_by

# A problem in its own words may hold a small number; the terminal and runs.json have those.
_STOPPED = {
    "ParameterError": "the parameter file does not fit the data",
    "DataError": "a data file is missing, cannot be read or breaks the contract",
    "DesignError": "the design cannot identify the effect, or there are too few people or events for it",
    "DisclosureError": "its pages would have given away what must be withheld, so nothing was written",
    "RunError": "a notebook stopped",
}
_DIED = "its process ended before it was done"
_MORE = "The file runs.json says more."


def sum_up(study: Study, attempt: Attempt, pages: Mapping[str, Entry]) -> None:
    """Write the summary of a report beside it, before both take their place."""
    made_from = json.loads((attempt.share / "manifest.json").read_text(encoding="utf-8"))
    sheet = json.loads((attempt.private / "checker.json").read_text(encoding="utf-8"))
    first = next(iter(pages.values()))
    try:
        effects = released_studies([attempt.share])[study.name]
    except DataError:
        effects = None
    summary = {
        **_of(study),
        "made": attempt.records.name,
        "manifest": _digest(attempt.share),
        "pages": [["All pages", "index.html"], *([page.title, page.href] for page in pages.values())],
        "headline": first.headline,
        "sure": first.sure,
        "behind": first.behind,
        "remarks": list(first.remarks),
        "look": sum(table["status"] != "pass" for page in sheet["pages"] for table in page["tables"]),
        "policy": made_from["disclosure"]["policy"],
        "inputs": [file["sha256"] for file in made_from["inputs"]],
        "code": made_from["code"],
        "effects": effects,
    }
    _write(attempt.private / SUMMARY, summary)


def sum_up_failure(study: Study, attempt: Attempt, problem: ImpactError) -> None:
    """Write of what kind the problem was into what is kept of a failed attempt."""
    _write(attempt.private / SUMMARY, {**_of(study), "stopped": type(problem).__name__})


def _of(study: Study) -> dict[str, Any]:
    row, file = manifest([study])[0], study.parameter_file
    return {
        "study": row["id"],
        "title": row["title"],
        "file": row["file"] or "",
        "lies": _lies(file) if file and file.is_file() else "",
        "choices": {key: called(said) for key, said in study.choices.items()},
        "place": study.place,
        "main": study.is_main,
        "pretend": study.design.placebo is not None,
    }


def _lies(file: Path) -> str:
    """Where a parameter file lies, as a digest: its folders are nobody else's business."""
    return hashlib.sha256(str(file.resolve()).encode()).hexdigest()


def _write(file: Path, summary: Mapping[str, Any]) -> None:
    text = json.dumps({"summary": summary, "signature": _signature(summary)}, indent=1, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8", newline="\n")


def _signature(summary: Any) -> str:
    return str(signed({MIME: [summary]}, {"role": "summary"})["signature"])


def _digest(share: Path) -> str:
    return hashlib.sha256((share / "manifest.json").read_bytes()).hexdigest()


def summaries(folder: Path, *, code: str = "") -> Iterator[tuple[Listed, dict[str, Any]]]:
    """Read what the studies in an outputs folder are, the order of the last run first.

    Parameters
    ----------
    folder : path
        With a folder for each study, and ``runs.json`` of the last run.
    code : str
        Digest of the package's code: reports that other code made are said to be older.

    Yields
    ------
    tuple
        What the list says of a study, and its summary; that is empty where there is no report to trust.
    """
    last, files = _last_run(folder), _Files()
    known = {path.name for path in folder.iterdir() if _is_study(path)} if folder.is_dir() else set()
    names = [*last, *sorted(known - set(last))]
    found = []
    for name in names:
        listed, summary, said = _listed(folder, name, last.get(name, ""), code)
        if gone := files.gone(name, said, in_last=name in last):
            listed = replace(listed, gone=gone, older="")
        found.append((listed, summary))
    runs = [listed for listed, _ in found if listed.choices or listed.place]
    for listed, summary in found:
        yield (listed if listed.file else _beside(listed, runs)), summary


def _beside(listed: Listed, runs: Sequence[Listed]) -> Listed:
    """Put a run that left no word of itself beside the others of its file, which its name begins with."""
    stem, _, chose = listed.name.partition("--")
    same = [run for run in runs if PurePosixPath(run.file).stem == stem]
    if not (same and chose):
        return listed
    choices = {key: called(said) for key, said in chosen_by(listed.name).items()}
    place = choices.get("data", "")
    near = [run for run in same if run.place == place] or same
    if "data" not in near[0].choices:
        # Its title says which data it has.
        choices.pop("data", None)
    mains = [run.choices for run in same if run.main]
    who: dict[str, Any] = {"title": near[0].title, "file": near[0].file, "place": place}
    return replace(listed, **who, choices=choices, main=choices in mains if mains else True)


class _Files:
    """Whether parameter files are where they were and still make their runs.

    Nothing is said of files of other projects, computers and stores, and of those that cannot be read.
    """

    def __init__(self) -> None:
        self._made: dict[Path, set[str] | None] = {}
        try:
            self._root: Path | None = project_root()
        except ParameterError:
            self._root = None

    def gone(self, name: str, said: Mapping[str, Any], *, in_last: bool) -> str:
        """Say that nothing makes a report any more, and what to do; nothing where that is not known."""
        if self._root is None or not said.get("file") or said.get("lies") != _lies(self._root / said["file"]):
            return ""
        more = f"Delete the folder {name} if it is no longer wanted."
        file = self._root / said["file"]
        if not file.is_file():
            return f"Its parameter file is no longer there. {more}"
        # What the last run made need not stand in the file: --set may have changed its matrix.
        if in_last or (made := self._makes(file)) is None or name in made:
            return ""
        return f"Its parameter file no longer makes this run. {more}"

    def _makes(self, file: Path) -> set[str] | None:
        if file not in self._made:
            try:
                self._made[file] = {study.name for study in read_studies([file])}
            except ImpactError:
                self._made[file] = None
        return self._made[file]


def _is_study(path: Path) -> bool:
    return not path.name.startswith(".") and any((path / part).is_dir() for part in ("share", "private"))


def _last_run(folder: Path) -> dict[str, str]:
    """The status of each study of the last run, by its name, which is all that is taken from there."""
    try:
        rows = json.loads((folder / "runs.json").read_text(encoding="utf-8"))["runs"]
        return {str(row["id"]): str(row["status"]) for row in rows}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _listed(folder: Path, name: str, status: str, code: str) -> tuple[Listed, dict[str, Any], dict[str, Any]]:
    """Return what the list says of a study, its summary, and what a report or a failed attempt said of it."""
    place = folder / name
    found, failed = (
        _read(file, name) for file in (place / "private" / SUMMARY, place / "private/failed" / SUMMARY)
    )
    stopped = _why_stopped(status, failed, (place / "private" / "failed").is_dir())
    try:
        whole = bool(found) and found["manifest"] == _digest(place / "share")
    except OSError:
        whole = False
    if not whole:
        if not stopped and (place / "share").is_dir():
            stopped = "Not shown: its report was changed, made on another computer or by an earlier version."
            stopped += " Run it again with --force."
        return Listed(stopped=stopped or NOT_RUN, **_who(name, found or failed)), {}, found or failed
    made = dt.datetime.strptime(found["made"], MADE)
    older = (
        ""
        if not code or found["code"]["sha256"] == code
        else "Made by another version of impact than this page: run it again."
    )
    links = [(title, f"{quote(name)}/share/{quote(href)}") for title, href in found["pages"]]
    taken = {key: found[key] for key in ("headline", "sure", "behind", "remarks", "look")}
    if stopped:
        stopped += f" What stands here is the report of {made.day} {made:%B %Y}."
    listed = Listed(pages=links, made=made.date(), stopped=stopped, older=older, **_who(name, found), **taken)
    return listed, found, found


def _who(name: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """Which study it is; a title that was on no page yet must not name anybody."""
    title = str(said.get("title") or name)
    choices, place = dict(said.get("choices") or {}), str(said.get("place", ""))
    if found_in(f"{title} {place} {' '.join(choices.values())}"):
        title, choices, place = name, {}, ""
    return {
        "name": name,
        "title": title,
        "file": str(said.get("file", "")),
        "choices": choices,
        "place": place,
        "main": bool(said.get("main", True)),
    }


def _read(file: Path, name: str) -> dict[str, Any]:
    """Return the summary in a file if it was made here, of this study, and not changed since; or nothing."""
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
        summary, signature = read["summary"], str(read["signature"])
        made_here = hmac.compare_digest(_signature(summary), signature) and summary["study"] == name
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return dict(summary) if made_here else {}


def _why_stopped(status: str, failed: Mapping[str, Any], is_failed: bool) -> str:
    # A report that stands again was not stopped, whatever was tried between.
    if status in ("report written", "unchanged") or not (status == "stopped" or is_failed):
        return ""
    kind = str(failed.get("stopped", ""))
    why = _STOPPED.get(kind, _DIED if not kind else _STOPPED["RunError"])
    return f"The last run stopped: {why}. {_MORE}"
