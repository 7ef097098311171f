"""The command line. Each command fetches only what it uses, so that help and checks answer at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from impact.errors import ImpactError, ParameterError, together, whose

EXIT_CODES = {
    0: "the report was made, or the check found nothing that stops the study",
    1: "a fault in the package: please report it",
    2: "the parameter file or an option is wrong",
    3: "a data file is missing, unreadable or breaks the contract",
    4: "the design cannot identify the effect, or the data are too thin for the method",
    5: "something that was not released was about to leave; nothing was written",
    6: "a notebook stopped; the private log has the details",
}

app = typer.Typer(
    help="Did housing health support reduce use of NHS services? Parameter file in, report out.",
    epilog="\b\nExit codes:\n" + "\n".join(f"  {code}  {meaning}" for code, meaning in EXIT_CODES.items()),
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

# What `timeout`, systemd, a container's end and a closed terminal send.
_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]

Files = Annotated[
    list[str], typer.Argument(metavar="FILE...", help="Parameter files or patterns, such as params/*.yaml")
]


class Engine(StrEnum):
    """How notebooks are run."""

    warm = "warm"
    papermill = "papermill"


Changes = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="Change a value, such as did.control=never_treated"),
]


def _say_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"impact {version('impact')}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole traceback of a fault")] = False,
    _: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version and end")
    ] = False,
) -> None:
    if debug:
        os.environ["IMPACT_DEBUG"] = "1"


@app.command()
def run(
    files: Files,
    output: Annotated[
        str | None,
        typer.Option(
            help="Folder, or address such as s3://bucket/outputs, for the reports [default: outputs]"
        ),
    ] = None,
    changes: Changes = [],  # noqa: B006 - typer reads the default and nothing changes it
    not_sent: Annotated[
        bool, typer.Option("--not-sent", help="Nobody got the last report: forget what it showed")
    ] = False,
    with_code: Annotated[
        bool, typer.Option("--with-code", help="Keep the code on the pages, closed, for colleagues")
    ] = False,
    pdf: Annotated[bool, typer.Option("--pdf", help="Each page as a PDF too, by a Chromium or Edge")] = False,
    force: Annotated[bool, typer.Option("--force", help="Run also what nothing has changed for")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Studies at once [default: one more than processors]")
    ] = None,
    dask: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Run on a Dask cluster: tcp://host:8786, or local")
    ] = None,
    slurm: Annotated[
        str | None,
        typer.Option(metavar="OPTIONS", help="Run as jobs of Slurm: a partition and options, short,time=120"),
    ] = None,
    memory: Annotated[float | None, typer.Option(help="Gigabytes that a notebook may take")] = None,
    minutes: Annotated[float | None, typer.Option(help="Minutes that a notebook may take")] = None,
    engine: Annotated[
        Engine,
        typer.Option(help="warm: forked from a process that has imported everything; papermill: plain"),
    ] = Engine.warm,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say only what became of the studies")] = False,
) -> None:
    """Run studies and write their reports; what has not changed since its report is not run again."""
    from impact import processes

    if dask and slurm:
        raise ParameterError("--dask and --slurm: give one of them.")
    if output and output.casefold().startswith("memory:"):
        raise ParameterError(
            f"--output {output}: what is kept in memory goes with the command; give a folder or a store."
        )
    if engine is Engine.papermill:
        os.environ["IMPACT_ENGINE"] = engine.value
    if not dask and not slurm:
        # It imports while we do.
        processes.server(wait=False)
    from impact.cli.terminal import show_outcomes
    from impact.run import Extras, Limits, clusters
    from impact.run import run as run_studies
    from impact.run.progress import Progress

    limits, executor = Limits(memory_gb=memory, minutes=minutes), None
    if dask:
        executor = clusters.dask(dask, workers)
    elif slurm:
        executor = clusters.slurm(slurm, workers, limits, output)
    try:
        outcomes = run_studies(
            files,
            output=output,
            changes=changes,
            was_sent=not not_sent,
            force=force,
            extras=Extras(with_code=with_code, pdf=pdf),
            limits=limits,
            workers=workers,
            executor=executor,
            progress=Progress(_terminal() if sys.stderr and not quiet else None),
        )
    except KeyboardInterrupt as stop:
        # A terminal that was closed cannot be written to.
        with contextlib.suppress(OSError):
            typer.echo("Stopped. Reports that were written stand; the same command makes the rest.", err=True)
        raise typer.Exit(128 + next(iter(stop.args), signal.SIGINT)) from None
    code = show_outcomes(outcomes)
    if code:
        raise typer.Exit(code)


@app.command()
def check(
    files: Files,
    changes: Changes = [],  # noqa: B006
) -> None:
    """Check parameters, data and design and show the data's quality, without estimating."""
    import gc

    # A fifth of the time would go to looking for what is no longer needed, and it soon ends.
    gc.disable()
    import pandas as pd  # noqa: F401 - what stands before freeze is not looked through at the end either

    from impact.cli.terminal import show_plans, show_quality
    from impact.study import read_studies

    gc.freeze()
    from impact.cli.rehearsal import rehearse

    same: dict[str, list[Any]] = {}
    for study in read_studies(files, changes=changes):
        same.setdefault(repr(study.source), []).append(study)
    problems: list[ImpactError] = []
    checked: list[Any] = []
    for studies in same.values():
        source, sound, found = rehearse(studies)
        if sound:
            show_quality(whose([study.name for study in sound]), source)
        checked += sound
        problems += found
    show_plans(checked)
    if problems:
        raise type(problems[0])(together([str(p) for p in problems]))


@app.command()
def plan(
    file: Annotated[
        str | None,
        typer.Argument(metavar="[FILE]", help="Parameter file; its data before support say what to assume"),
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Contacts a person a year without support")] = None,
    dispersion: Annotated[
        float | None,
        typer.Option(help="How much people differ: a count with mean m varies by m + this x m squared"),
    ] = None,
    people: Annotated[int | None, typer.Option(help="People in each supported arm")] = None,
    arms: Annotated[int | None, typer.Option(help="Arms, with the comparison [default: 2]")] = None,
    ratio: Annotated[
        float | None, typer.Option(help="People in the comparison arm for each of these [default: 1]")
    ] = None,
    months: Annotated[float | None, typer.Option(help="Months followed with support [default: 12]")] = None,
    before: Annotated[
        float | None, typer.Option(help="Months before support that count [default: 0]")
    ] = None,
    stability: Annotated[
        float | None, typer.Option(help="With --before: how far need before foretells need after, 0 to 1")
    ] = None,
    attrition: Annotated[float | None, typer.Option(help="Share of people lost by the end")] = None,
    matched: Annotated[
        float | None, typer.Option(help="Sets of matched people: share of differences in need they take away")
    ] = None,
    buildings: Annotated[int | None, typer.Option(help="Buildings, wholly supported or not")] = None,
    icc: Annotated[
        float | None, typer.Option(help="With --buildings: correlation of two people's contacts in one")
    ] = None,
    size_cv: Annotated[
        float | None, typer.Option(help="Spread of the sizes of buildings, over their mean")
    ] = None,
    building_stability: Annotated[
        float | None, typer.Option(help="As --stability, of what a building's people share")
    ] = None,
    check: Annotated[
        int, typer.Option(metavar="STUDIES", min=0, help="Invent so many such studies and analyse them")
    ] = 0,
    starts: Annotated[
        int | None, typer.Option(min=1, help="With --check: months over which support starts")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the invented studies")] = 20261122,
    to: Annotated[Path | None, typer.Option(help="The page to write [default: outputs/plan.html]")] = None,
) -> None:
    """Say what a study could find before it is done, and how many people that takes."""
    given = {name: value for name, value in locals().items() if value is not None}
    for name in ("file", "check", "starts", "seed", "to"):
        given.pop(name, None)
    from impact.cli.planning import make_plan

    make_plan(file, given, draws=check, starts=starts, seed=seed, to=to)


@app.command()
def protocol(
    files: Files,
    because: Annotated[str, typer.Option(metavar="TEXT", help="The reason for an amendment")] = "",
    output: Annotated[
        str | None, typer.Option(help="Where reports are, to see whether results exist [default: outputs]")
    ] = None,
) -> None:
    """Write the plan of a study before its results, into protocols/; the data need not be there yet."""
    from impact.cli.protocol import write_plans

    write_plans(files, because, output)


@app.command("list")
def list_studies(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="Folder of the reports [default: outputs]")
    ] = None,
) -> None:
    """Write anew the pages over all studies; a run does so at its end."""
    from impact.run.renew import renew
    from impact.study import project_root

    place = folder or project_root() / "outputs"
    if not place.is_dir():
        raise ParameterError(f"{place.name}: there is no such folder; run a study first.")
    renew(place.absolute(), force=True)
    typer.echo(os.path.relpath(place / "index.html"))


@app.command()
def new(
    data: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[DATA]...", help="Your people, contacts and coverage files [default: data/*]"
        ),
    ] = None,
    to: Annotated[Path, typer.Option(help="The parameter file to write")] = Path("params/study.yaml"),
) -> None:
    """Write a commented parameter file from the columns found in your data."""
    from impact.cli.demonstration import own_files
    from impact.cli.starter import starter

    if to.exists():
        raise ParameterError(f"{to}: is there already; give another name with --to.")
    found = data or own_files(Path("data"))
    if not found:
        raise ParameterError("No data files: name them, or put them into a folder called data.")
    text = starter(found, title=to.stem)
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(text, encoding="utf-8", newline="\n")
    typer.echo(f"{to} is written. Read it through, mend what is marked with !, then: impact check {to}")


@app.command()
def schema(
    data: Annotated[bool, typer.Option("--data", help="The data contract instead, as Markdown")] = False,
) -> None:
    """Print the JSON Schema of parameter files, for editors, or the data contract."""
    if data:
        from impact.data.contract import markdown

        typer.echo(markdown(), nl=False)
        return
    import json

    from impact.study import Study

    typer.echo(json.dumps(Study.model_json_schema(), indent=2))


@app.command()
def demo(
    people: Annotated[
        int | None, typer.Option(min=300, help="How many people; 1,200 unless data are there")
    ] = None,
    data_only: Annotated[bool, typer.Option("--data-only", help="Make the data and stop")] = False,
) -> None:
    """Make the demonstration data and run the demonstration study."""
    from impact.cli.demonstration import prepare

    file, changes = prepare(people)
    if data_only:
        data = file.parents[1] / "data"
        typer.echo(f"The data are in {os.path.relpath(data)}, the parameter file is {os.path.relpath(file)}.")
    else:
        run([str(file)], changes=changes)


def main() -> None:
    """Run the command line: the user's mistakes as sentences, faults of ours as one sentence and a log."""
    # What cron or a daemon has closed would be the next file that is opened, and be printed into.
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(number, True)
    os.close(number)
    for ending in _ENDING:
        # What `nohup` has set stays.
        if signal.getsignal(ending) is signal.SIG_DFL:
            signal.signal(ending, _stop)
    try:
        app()
    except ImpactError as error:
        typer.echo(str(error), err=True)
        sys.exit(error.exit_code)
    except Exception as error:
        if os.environ.get("IMPACT_DEBUG"):
            raise
        typer.echo(f"A fault in impact itself ({type(error).__name__}). {_keep(error)}", err=True)
        sys.exit(1)


def _stop(number: int, _: Any) -> None:
    """Stop as Ctrl-C does, so that nothing half-made stays; whoever closes a terminal may say so twice."""
    for ending in _ENDING:
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt(number)


def _terminal() -> Any:
    """Return a console that stays on the terminal while everything else goes to the log."""
    from rich.console import Console

    return Console(file=sys.stderr)


def _keep(error: Exception) -> str:
    """Write the traceback into the outputs folder; say where."""
    import traceback

    from impact.study import project_root

    try:
        file = project_root() / "outputs" / "fault.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except (ImpactError, OSError):
        return "Run it again as `impact --debug ...` and report what it prints."
    return f"The details are in {os.path.relpath(file)}; do not send that file on."
