"""What may be sent: pages, results, tables and the manifest, all from released results."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat

from impact.disclosure import NOTICE
from impact.disclosure.released import as_cell
from impact.pages import masthead
from impact.pages.report import Entry, entry, harvest, index, render
from impact.run.logs import write_logs
from impact.run.pdf import Printer
from impact.run.plan import NO_TIME_BEFORE, Plan
from impact.study import Study

# What the page would be called if there were a time before.
_NO_DID = "What changed beyond what would have changed anyway"
_ALL = ("All pages", "index.html")
# Of a table's file name: Windows refuses paths over 260 characters, and readers unpack into deep folders.
_LONGEST = 60


def share(
    study: Study,
    executed: Mapping[str, Any],
    planned: Plan,
    *,
    folder: Path,
    with_code: bool = False,
    printer: Printer | None = None,
) -> dict[str, Entry]:
    """Write everything that may be sent from the executed notebooks; return the pages, as they are read."""
    executed = dict(executed)
    pages = {name: entry(notebook, href=f"{name}.html") for name, notebook in executed.items()}
    if planned.skipped.get("did") == NO_TIME_BEFORE:
        executed["did"] = _page_of_a_sentence(_NO_DID, NO_TIME_BEFORE)
        pages["did"] = Entry(_NO_DID, "did.html", _sentence(NO_TIME_BEFORE))
    # Readers want the answer first; the rest is how it was come by.
    pages = {name: pages[name] for name in sorted(pages, key=lambda name: name != _answers(pages))}
    links = [_ALL, *((page.title, page.href) for page in pages.values())]
    above = masthead(**study.masthead).text
    for name, notebook in executed.items():
        file = folder / pages[name].href
        _write(file, render(notebook, links=links, kicker=above, with_code=with_code))
        if printer:
            pages[name] = replace(pages[name], pdf=printer(file))
    results = {name: harvest(notebook) for name, notebook in executed.items()}
    files = _write_results(study, results, folder)
    files += write_logs(study, results, planned, pages=pages, folder=folder)
    _write(folder / "manifest.json", _json({**planned.made_from, "headline": headline(pages)}))
    page = index(
        title=study.title,
        kicker=masthead(**{**study.masthead, "title": ""}).text,
        pages=list(pages.values()),
        skipped=[(name, _sentence(why)) for name, why in planned.skipped.items() if name not in pages],
        files=[*files, ("Manifest: inputs, parameters, versions (JSON)", "manifest.json")],
    )
    _write(folder / "index.html", page)
    return pages


def headline(pages: Mapping[str, Entry]) -> str:
    """Return what a report says first."""
    first = _answers(pages)
    return pages[first].headline if first in pages else ""


def _answers(pages: Mapping[str, Entry]) -> str:
    """The page with the answer: the findings, or what people said where nothing else was compared."""
    return "survey" if "survey" in pages and "findings" not in pages else "findings"


def _write_results(
    study: Study, results: Mapping[str, list[dict[str, Any]]], folder: Path
) -> list[tuple[str, str]]:
    _write(
        folder / "results.json",
        _json({"study": study.name, "title": study.title, "note": NOTICE, "results": results}),
    )
    effects = [
        {"study": study.name, "notebook": notebook, "name": item["name"], **row}
        for notebook, items in results.items()
        for item in items
        if item["kind"] == "effects"
        for row in item["table"]
    ]
    _write(folder / "results.csv", _csv(effects))
    (folder / "tables").mkdir()
    files = [("All effects (CSV)", "results.csv"), ("All results (JSON)", "results.json")]
    for notebook, items in results.items():
        for number, item in enumerate(items):
            if not item["table"]:
                continue
            stem = re.sub(r"[^a-z0-9]+", "-", f"{notebook} {item['name']}".lower())[:_LONGEST].strip("-")
            name = (
                f"{stem}.csv" if not (folder / "tables" / f"{stem}.csv").exists() else f"{stem}-{number}.csv"
            )
            _write(folder / "tables" / name, _csv(item["table"]))
            files.append((f"Table {notebook}, {item['name']} (CSV)", f"tables/{name}"))
    return files


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV with the mark by which Excel knows that pound signs and dashes are in UTF-8."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([as_cell(name) for name in columns])
    writer.writerows([[as_cell(row.get(name)) for name in columns] for row in rows])
    return f"\ufeff{out.getvalue()}"


def _page_of_a_sentence(title: str, why: str) -> Any:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(f"# {title}\n\n{_sentence(why)}")])


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
