"""The checker's sheet of a report, and the one verdict that keeps a report from being written."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from impact.disclosure import record
from impact.disclosure.cells import Cell
from impact.disclosure.checker import STATUS, changed
from impact.disclosure.policies import Policy, policy
from impact.errors import DisclosureError
from impact.pages.checker import TO_SIGN, checker
from impact.pages.report import Entry
from impact.run.folders import MADE, Attempt
from impact.study import Study


def check(study: Study, attempt: Attempt, pages: Mapping[str, Entry]) -> list[str]:
    """Write what a checker of outputs has to look at and sign, as a page and as JSON, into ``private``.

    Parameters
    ----------
    pages : mapping of name to Entry
        The pages of the report in the order in which they are read.

    Returns
    -------
    list of str
        Sentences for whoever ran the study.

    Raises
    ------
    DisclosureError
        If something that is withheld could be worked out: such a report is not written.
    """
    rule = policy(study.disclosure)
    earlier = {_when(name): _cells(attempt.records.parent / name) for name in attempt.earlier}
    checked = [_page(attempt.records / f"{name}.json", entry, earlier, rule) for name, entry in pages.items()]
    checked = [page for page in checked if page["tables"]]
    tables = [table for page in checked for table in page["tables"]]
    files = _files(attempt.share)
    made_with = json.loads((attempt.share / "manifest.json").read_text(encoding="utf-8"))
    same_people = _same_people(attempt.folder, made_with["inputs"])
    sheet = {
        "study": study.name,
        "title": study.title,
        "made": _when(attempt.records.name),
        "status": "pass",
        "rule": {
            "policy": rule.name,
            "title": rule.title,
            "sentence": rule.sentence,
            "source": rule.source,
            "read": rule.date.isoformat(),
        },
        "compared_with": list(earlier),
        "left_out": [_when(name) for name in attempt.left_out],
        "same_people": same_people,
        "pages": checked,
        "files": files,
        "fingerprint": _fingerprint(files),
        "made_with": {**made_with["code"], "python": made_with["python"]},
        "to_sign": list(TO_SIGN),
    }
    sheet["look"] = _look(tables, same_people, bool(study.varied))
    status = [*(table["status"] for table in tables), *(["review"] if sheet["look"] else [])]
    sheet["status"] = min(status, key=STATUS.index, default="pass")
    text = json.dumps(sheet, indent=2, ensure_ascii=False) + "\n"
    (attempt.private / "checker.json").write_text(text, encoding="utf-8", newline="\n")
    (attempt.private / "checker.html").write_text(checker(sheet), encoding="utf-8", newline="\n")
    if sheet["status"] == "fail":
        raise DisclosureError(_why_not(checked, bool(attempt.earlier)))
    return _said(tables)


def _page(path: Path, entry: Entry, earlier: Mapping[str, Sequence[Cell]], rule: Policy) -> dict[str, Any]:
    """What the sheet says of a page: each table with what differs by too few from an earlier report."""
    said: dict[str, Any] = {"title": entry.title, "href": entry.href, "tables": []}
    if not path.exists():
        return said
    found = record.load(path)
    for row in found.sheet:
        since = changed(found.tables[row["table"]][0], earlier, rule)
        table = {**row, "since": since}
        said["tables"].append(table)
    said["tables"].sort(key=lambda table: STATUS.index(table["status"]))
    return said


def _look(tables: Sequence[Mapping[str, Any]], same_people: Sequence[str], one_of_several: bool) -> list[str]:
    """Say what a person has to look at in the report as a whole, beside other reports."""
    look, changes = [], {(c["count"], c["now"]) for table in tables for c in table["since"]}
    if changes:
        counts = "1 count differs" if len(changes) == 1 else f"{len(changes)} counts differ"
        look.append(
            f"{counts} by too few from an earlier report: the list below says which, and what was done"
        )
    beside = [f"other reports made from the same file of people ({len(same_people)})"] if same_people else []
    beside += ["the other runs of its parameter file, which may be made after it"] if one_of_several else []
    if beside:
        look.append(
            f"it was not compared with {', nor with '.join(beside)}: two counts that differ by a few tell of "
            "those few. Send one of these reports only, or check them side by side"
        )
    return look


def _same_people(folder: Path, inputs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the reports beside a study's that were made from the same file of people."""
    people = [one["sha256"] for one in inputs if one["table"] in ("people", "panel")]
    found = []
    for manifest in sorted(folder.parent.glob("[!.]*/share/manifest.json")):
        # A report that another run is just putting in its place is as good as made after this one.
        with contextlib.suppress(OSError):
            text = manifest.read_text(encoding="utf-8") if manifest.parents[1] != folder else ""
            found += [manifest.parents[1].name] if any(of in text for of in people) else []
    return found


def _cells(folder: Path) -> list[Cell]:
    return [cell for cells, _ in record.read(folder) for cell in cells]


def _when(name: str) -> str:
    """Return the time a report was made, from the name of its records: two may be of the same second."""
    return dt.datetime.strptime(name, MADE).strftime("%Y-%m-%d %H:%M:%S.%f UTC")


def _files(share: Path) -> list[dict[str, Any]]:
    found = {path.relative_to(share).as_posix(): path for path in share.rglob("*") if path.is_file()}
    return [
        {
            "file": name,
            "bytes": found[name].stat().st_size,
            "sha256": hashlib.sha256(found[name].read_bytes()).hexdigest(),
        }
        for name in sorted(found)
    ]


def _fingerprint(files: Sequence[Mapping[str, Any]]) -> str:
    """One digest for all files: what ``sha256sum`` prints of them, in order of their names."""
    lines = "".join(f"{file['sha256']}  {file['file']}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def _why_not(pages: Sequence[Mapping[str, Any]], compared: bool) -> str:
    told = [
        f"page {page['title']!r}, table {table['table']!r}: a withheld count could be worked out from it "
        "together with other pages or an earlier report; private/failed/checker.html names it."
        for page in pages
        for table in page["tables"]
        if table["status"] == "fail"
    ]
    mend = "Leave the table out, or show it in fewer groups"
    mend += "; if nobody got the last report, run with --not-sent." if compared else "."
    return "\n".join([*told, mend])


def _said(tables: Sequence[Mapping[str, Any]]) -> list[str]:
    since = [change for table in tables for change in table["since"]]
    told = []
    for now, done in (
        ("withheld", "are withheld"),
        ("rounded", "are shown rounded, which hides by how many"),
    ):
        counts = {(change["count"], change["report"]) for change in since if change["now"] == now}
        if counts:
            told.append(f"counts that differ by too few from an earlier report: {len(counts)} {done}")
    look = sum(table["status"] == "review" for table in tables)
    if look:
        told.append(
            f"tables that a person must look at before this is sent: {look}, see private/checker.html"
        )
    return told
