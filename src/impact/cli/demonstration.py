"""The demonstration study: its parameter file and its data, made where they are missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import typer

from impact.errors import ParameterError
from impact.study import project_root

_PEOPLE = 1200
_FILE = Path("params", "demo.yaml")
_TABLES = ("people", "contacts", "coverage", "survey")


def prepare(people: int | None) -> tuple[Path, list[str]]:
    """Make what is missing; return the parameter file and the changes that the data ask for.

    Data that are no demonstration are never overwritten.
    """
    try:
        root = project_root()
    except ParameterError:
        root = Path.cwd()
    file, data = root / _FILE, root / "data"
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        shutil.copyfile(_packaged(), file)
    there = _size(data)
    whole = all(any(data.glob(f"{table}.*")) for table in _TABLES)
    if there is None or people not in (None, there) or not whole:
        _refuse_to_overwrite(data)
        from impact.data import synthetic

        wanted = people or there or _PEOPLE
        typer.echo(f"Making demonstration data for {wanted:,} people ...", err=True)
        synthetic.make(data, people=wanted)
    kinds = {t: "csv" if (data / f"{t}.csv").exists() else "parquet" for t in _TABLES}
    return file, [f"data.{t}=data/{t}.{kind}" for t, kind in kinds.items() if kind == "parquet"]


def own_files(data: Path) -> list[Path]:
    """List the data files in a folder; those of the demonstration only where there are no others."""
    files = sorted(p for p in data.glob("*") if p.suffix in (".csv", ".parquet"))
    made = _TABLES if _size(data) is not None else ()
    return [p for p in files if p.stem not in made] or files


def _packaged() -> Path:
    here = Path(__file__).resolve()
    return next(p for p in (here.parents[1] / _FILE, here.parents[3] / _FILE) if p.exists())


def _size(data: Path) -> int | None:
    """How many people the demonstration data in a folder have; None where there are none."""
    try:
        return int(json.loads((data / "truth.json").read_text(encoding="utf-8"))["people"])
    except (OSError, ValueError, KeyError):
        return None


def _refuse_to_overwrite(data: Path) -> None:
    own = [p.name for t in _TABLES for p in data.glob(f"{t}.*")]
    if own and _size(data) is None:
        raise ParameterError(
            f"data/{own[0]} is there and is not demonstration data; run impact demo in another folder."
        )
