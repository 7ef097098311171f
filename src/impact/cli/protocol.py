"""The command that writes plans, and what it says of each."""

from __future__ import annotations

import os
from collections.abc import Sequence

import typer

from impact.errors import ImpactError, ParameterError, together
from impact.run.protocols import write
from impact.study.batch import files_named


def write_plans(files: Sequence[str], because: str, output: str | None) -> None:
    """Write the plan of each parameter file; what is wrong with any of them is said at the end."""
    without = list[str]()
    named = files_named(files, without)
    problems: list[ImpactError] = [ParameterError(said) for said in without]
    for file in named:
        try:
            made = write(file, because=because, output=output)
        except ImpactError as problem:
            problems.append(problem)
            continue
        if not made.is_new:
            typer.echo(
                f"{made.study}: nothing that counts has changed; version {made.version} stands.", err=True
            )
        elif made.after_results:
            typer.echo(
                f"{made.study}: results of this study exist already, and the plan says so: reports will not "
                "take it for one that was made before them.",
                err=True,
            )
        typer.echo(os.path.relpath(made.page))
    if problems:
        raise type(problems[0])(together([str(problem) for problem in problems]))
