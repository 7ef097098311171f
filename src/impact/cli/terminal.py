"""What the commands print when they are done."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from impact.errors import whose
from impact.study import Study
from impact.study.planned import SILENT, said_day

if TYPE_CHECKING:
    from impact.run import Outcome

_SEVERITY = {"E": "error", "W": "warning"}


def show_outcomes(outcomes: Sequence[Outcome]) -> int:
    """Print what became of each study and where it is; return the exit code."""
    # The names of a matrix's runs differ at their ends, so none is cut.
    table = Table(Column("Study", overflow="fold"), "Result", "Seconds", box=SIMPLE_HEAD)
    # Titles tell studies apart only where they differ.
    titled = len({outcome.study.title for outcome in outcomes}) > 1
    for outcome in outcomes:
        result = "stopped" if outcome.problem else outcome.headline or "report written"
        called = f"{outcome.study.title}\n{outcome.study.name}" if titled else outcome.study.name
        table.add_row(_literal(called), _literal(result), f"{outcome.seconds:.0f}")
    console = Console()
    console.print(table)
    for outcome in outcomes:
        place = outcome.store or _near(outcome.folder)
        if outcome.problem:
            # A problem may have several lines, and each stands for itself.
            for line in str(outcome.problem).splitlines():
                typer.echo(f"{outcome.study.name}: {line}", err=True)
            # A process that died, or found the disk full, could not write them.
            if outcome.store or (outcome.folder / "private" / "failed").is_dir():
                typer.echo(f"{outcome.study.name}: the details are in {place}/private/failed", err=True)
        else:
            for remark in outcome.remarks:
                typer.echo(f"{outcome.study.name}: {remark}", err=True)
            typer.echo(f"{place}/share/index.html")
        if outcome.overview:
            typer.echo(str(outcome.overview), err=True)
    problems = [o.problem for o in outcomes] + [o.overview for o in outcomes]
    return next((problem.exit_code for problem in problems if problem), 0)


def _near(folder: Path) -> str:
    """Name a folder from here, unless Windows has it on another drive."""
    try:
        return os.path.relpath(folder)
    except ValueError:
        return str(folder)


def show_quality(name: str, source: Any) -> None:
    """Print what the checks found in a study's data and who is in the study."""
    quality, flow = source.quality, source.flow.table
    found = quality[quality["count"] > 0]
    console = Console()
    typer.echo(
        f"{name}: parameters are right; {len(quality)} checks of the data, {len(found)} found something."
    )
    if len(found):
        table = Table("Where", "Check", "Severity", "Count", "What happens", box=SIMPLE_HEAD)
        for row in found.to_dict("records"):
            where = ".".join(str(row[k]) for k in ("table", "column") if row[k])
            severity = _SEVERITY.get(str(row["severity"]), str(row["severity"]))
            table.add_row(*map(_literal, (where, row["rule"], severity, row["count"], row["action"])))
        console.print(table)
    people = Table("Stage", "Rule", "Persons", box=SIMPLE_HEAD)
    for row in flow.to_dict("records"):
        people.add_row(*(_literal(row[k]) for k in ("stage", "rule", "persons")))
    console.print(people)


def show_plans(studies: Sequence[Study]) -> None:
    """Print whether each study has a plan, and whether what the file says is still what was planned.

    Raises
    ------
    ParameterError
        For a plan that was changed after it was written.
    """
    same: dict[str, list[str]] = {}
    for study in studies:
        same.setdefault(_plan(study), []).append(study.name)
    for said, names in same.items():
        typer.echo(f"{whose(names)}: {said}")


def _plan(study: Study) -> str:
    told, by = study.planned, f"`impact protocol {study.parameter_file}"
    if told["status"] == "none":
        return f"there is no plan, and reports call it exploratory; before any result, {by}` writes one."
    after = told["status"] == "retrospective"
    when = "after results existed, and reports call it exploratory" if after else "before any result"
    plan = f"the plan of {said_day(told['written'])} (version {told['version']}), written {when}"
    if not told["rows"]:
        return f"the file agrees with {plan}."
    differs = [
        f"{row['what']} ({row['planned']} planned, {row['run']} now; {row['reason'].rstrip('.')})"
        for row in told["rows"]
    ]
    silent = any(row["reason"] == SILENT for row in told["rows"])
    more = f" {by} --because ...` writes the reason down." if silent else ""
    return f"the file differs from {plan}: {'; '.join(differs)}.{more}"


def _literal(value: Any) -> str:
    """Return text in which rich finds no markup of its own."""
    from rich.markup import escape

    return escape(str(value))
