"""What may be sent: pages, results, tables and the manifest, all from released results."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path, PureWindowsPath
from typing import Any

import nbformat

from impact.disclosure import NOTICE
from impact.disclosure.policies import policy
from impact.disclosure.released import as_cell
from impact.pages.report import Entry, entry, harvest, index, render
from impact.run.pdf import Printer
from impact.study import Study, project_root

NO_TIME_BEFORE = (
    "a difference-in-differences is not possible without a time before support, and this study has none"
)
_ALL = ("All pages", "index.html")
# Of a table's file name: Windows refuses paths over 260 characters, and readers unpack into deep folders.
_LONGEST = 60


def share(
    study: Study,
    executed: Mapping[str, Any],
    skipped: Mapping[str, str],
    *,
    folder: Path,
    with_code: bool = False,
    printer: Printer | None = None,
) -> dict[str, Entry]:
    """Write everything that may be sent from the executed notebooks; return the pages, as they are read."""
    executed, ran = dict(executed), list(executed)
    pages = {name: entry(notebook, href=f"{name}.html") for name, notebook in executed.items()}
    if skipped.get("did") == NO_TIME_BEFORE:
        executed["did"] = _page_of_a_sentence("Difference-in-differences", NO_TIME_BEFORE)
        pages["did"] = Entry("Difference-in-differences", "did.html", _sentence(NO_TIME_BEFORE))
    # Readers want the answer first; the rest is how it was come by.
    pages = {name: pages[name] for name in sorted(pages, key=lambda name: name != "findings")}
    links = [_ALL, *((page.title, page.href) for page in pages.values())]
    for name, notebook in executed.items():
        file = folder / pages[name].href
        _write(file, render(notebook, links=links, with_code=with_code))
        if printer:
            pages[name] = replace(pages[name], pdf=printer(file))
    results = {name: harvest(notebook) for name, notebook in executed.items()}
    files = _write_results(study, results, folder)
    _write(folder / "manifest.json", _json(manifest(study, ran, skipped)))
    page = index(
        title=study.title,
        kicker=study.masthead["subtitle"],
        pages=list(pages.values()),
        skipped=[(name, _sentence(why)) for name, why in skipped.items()],
        files=[*files, ("Manifest: inputs, parameters, versions (JSON)", "manifest.json")],
    )
    _write(folder / "index.html", page)
    return pages


def manifest(study: Study, notebooks: Sequence[str], skipped: Mapping[str, str]) -> dict[str, Any]:
    """Say what a report was made from: files, parameters, code and versions, without a path or a person."""
    root = project_root()
    inputs = [
        {"table": table, "file": _shown(path, root), "bytes": path.stat().st_size, "sha256": _hash(path)}
        for table, paths in study.files.items()
        for path in paths
    ]
    return {
        "study": study.name,
        "title": study.title,
        "disclosure": {
            "policy": study.disclosure,
            "title": policy(study.disclosure).title,
            "note": NOTICE,
        },
        "seed": study.seed,
        "notebooks": {"run": list(notebooks), "not run": dict(skipped)},
        "inputs": inputs,
        "parameters": _without_paths(study.parameters),
        "code": {"impact": metadata.version("impact"), "sha256": _code_hash()},
        "python": platform.python_version(),
        "packages": _packages(),
    }


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


def _code_hash() -> str:
    """One digest of the package's own files, so that a changed installation shows."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.suffix in {".py", ".ipynb", ".toml", ".css", ".j2"}:
            digest.update(f"{path.relative_to(package).as_posix()}\0{_hash(path)}\0".encode())
    return digest.hexdigest()


def _packages() -> dict[str, str]:
    declared = metadata.requires("impact") or []
    names = sorted({m[0] for line in declared if (m := re.match(r"[\w.-]+", line))})
    return {name: metadata.version(name) for name in names}


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
