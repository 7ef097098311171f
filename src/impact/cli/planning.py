"""What a study could find, before it is done: from a parameter file, or from options alone."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import typer

from impact.data import read
from impact.disclosure import release
from impact.errors import DesignError, ParameterError
from impact.interpret.before_support import assumptions, before_support
from impact.interpret.invented_studies import invented
from impact.interpret.planning import OFTEN, Plan, planned
from impact.pages.planning import cautions, headline, page, takes
from impact.results import Summary
from impact.study import Study, project_root, read_studies

_NEEDED = ("rate", "dispersion", "people")
# What readers of a plan call its assumptions.
_WORDS = {
    "rate": ("How many a person has in a year without support", "{:g}"),
    "dispersion": ("How much people differ: variance of need over its squared mean", "{:g}"),
    "people": ("People in each supported arm", "{:,.0f}"),
    "ratio": ("People in the comparison arm for each of these", "{:.3g}"),
    "arms": ("Arms, with the comparison", "{:g}"),
    "months": ("Months followed with support", "{:g}"),
    "before": ("Months before support that count", "{:g}"),
    "stability": ("How far need before foretells need after (1: wholly)", "{:g}"),
    "attrition": ("Share of people lost by the end", "{:.0%}"),
    "matched": ("Share of the differences in need that matching takes away", "{:.0%}"),
    "buildings": ("Buildings in all arms", "{:,.0f}"),
    "icc": ("Correlation of the contacts of two people in one building", "{:.2g}"),
    "size_cv": ("Spread of the sizes of buildings, over their mean", "{:.2g}"),
    "building_stability": ("How far need that buildings share lasts (1: wholly)", "{:g}"),
}
_NO_METHOD = (
    "No method of this package compares buildings by the time after support alone: its errors there are by "
    "person or matched set. Count months before support, too (--before)."
)
_MEASURED = "measured before anyone's support began"


def make_plan(
    file: str | None,
    options: Mapping[str, Any],
    *,
    draws: int = 0,
    starts: int | None = None,
    seed: int = 0,
    to: Path | None = None,
) -> None:
    """Print what a study could find and write its page.

    Parameters
    ----------
    file : str, optional
        Parameter file of a study whose data say what to assume; only what came before support is counted.
    options : mapping
        Arguments of ``Plan`` that were given; they go before what the file says.
    draws, seed : int
        Invented studies that are analysed as this one would be, as a check.
    starts : int, optional
        Months over which support starts in these; without it those of the file, or one.
    to : path, optional
        Where to write the page.

    Raises
    ------
    ParameterError
        With the name of the option that is missing or impossible.
    DesignError
        For a study that cannot find anything, or data that say too little before support.
    """
    study = _one(file) if file else None
    design, measured, over = _of_study(study) if study else ({}, {}, 1)
    chosen = {**measured, **design, **options}
    if missing := [name for name in _NEEDED if name not in chosen]:
        raise ParameterError(
            f"{', '.join(f'--{name}' for name in missing)}: missing. A plan needs these, or a parameter file "
            "with data from before support."
        )
    plan = _plan(chosen)
    sources = {**dict.fromkeys(measured, _MEASURED), **dict.fromkeys(design, "parameter file")}
    outcome = study.outcomes[0] if study else "contacts"
    results = {
        **planned(plan, outcome=outcome),
        "assumed": _assumed(plan, {**sources, **dict.fromkeys(options, "given")}),
    }
    released = release(results, study.disclosure if study else "hes")
    if plan.refusal:
        raise DesignError(f"{plan.refusal}\n{takes(released['needed'])}")
    warnings = cautions(sum(plan.groups) if plan.buildings else 0, plan.events(plan.smallest("fall")))
    if plan.buildings and not plan.before:
        warnings.insert(0, _NO_METHOD)
    warnings += [_checked(plan, draws, seed, starts or over)] if draws else []
    typer.echo("\n".join([headline(released).text, *warnings]))
    place = to or _outputs() / (f"plan-{study.name}.html" if study else "plan.html")
    place.parent.mkdir(parents=True, exist_ok=True)
    text = page(released, name=study.title if study else "", warnings=warnings, from_data=bool(study))
    place.write_text(text, encoding="utf-8", newline="\n")
    typer.echo(os.path.relpath(place))


def _plan(chosen: Mapping[str, Any]) -> Plan:
    """Make the plan; its mistakes are told as those of options."""
    try:
        return Plan(**chosen)
    except ParameterError as error:
        fields = re.compile(r"^[a-z_]+(, [a-z_]+)*(?=: )", re.MULTILINE)
        said = fields.sub(lambda m: ", ".join(_option(name) for name in m[0].split(", ")), str(error))
        raise ParameterError(said) from None


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _one(file: str) -> Study:
    studies = read_studies([file])
    if len(studies) > 1:
        raise ParameterError(f"{file}: holds {len(studies)} runs; plan with a file of one.")
    if not studies[0].outcomes:
        raise ParameterError(f"{file}: outcomes is empty, and a plan is of contacts with services.")
    return studies[0]


def _of_study(study: Study) -> tuple[dict[str, Any], dict[str, Any], int]:
    """What a parameter file plans, what its data say of the time before support, as it may be shown, and
    over how many months support starts.
    """
    outcome = study.outcomes[0]
    window = {**study.window, "outcomes": [outcome], "covariates": [], "period": "month", "follow_up": None}
    study.find_files()
    found = before_support(read(**study.source).panel(**window), outcome=outcome)
    released = release({"before": found}, study.disclosure)["before"]
    row = released.table.iloc[0]
    if row["withheld"]:
        raise DesignError(
            f"outcome={outcome!r}: too few people or events before support to be shown; give --rate and "
            "--dispersion instead of a parameter file."
        )
    design: dict[str, Any] = {"months": study.design.months_after}
    over = 1
    if study.did:
        # Counted from each person's own start, there is one start.
        over = 1 if study.did.clock == "event" else int(found.method["starts_over"])
        by_arm = study.did.estimator == "two_by_two" and study.did.effects != "person"
        design |= {"before": study.design.months_before, "effects": "arm" if by_arm else "person"}
    elif study.matching:
        design |= {"matched": 0.0, "ratio": study.matching.ratio or 1}
    given = assumptions(row.to_dict(), months=design["months"], before=design.get("before", 0))
    return design, given, over


def _assumed(plan: Plan, sources: Mapping[str, str]) -> Summary:
    """The plan's assumptions in words, and where each is from."""
    rows = [
        {"what": said, "value": form.format(value), "source": sources.get(name, "default")}
        for name, (said, form) in _WORDS.items()
        if (value := getattr(plan, name)) is not None and (name in sources or value)
    ]
    return Summary(pd.DataFrame(rows), {"shows": "what is assumed"})


def _checked(plan: Plan, draws: int, seed: int, starts: int) -> str:
    """Say what invented studies find of the fall that is to be found four times in five, and of none."""
    ratio = plan.smallest("fall")
    seen, null = (
        invented(plan, r, draws=draws, seed=seed + i, starts=starts) for i, r in enumerate((ratio, 1.0))
    )
    how = f", support starting over {starts} months," if starts > 1 else ""
    return (
        f"Check: of {draws} such studies invented{how} and analysed, {seen.falls:.0%} found a fall of "
        f"{1 - ratio:.0%}, where {OFTEN:.0%} were expected (give or take {200 * seen.error:.0f} points); "
        f"without any effect {null.falls + null.rises:.0%} found one."
    )


def _outputs() -> Path:
    """The project's folder for what is made, or that of this folder where there is no project."""
    try:
        return project_root() / "outputs"
    except ParameterError:
        return Path("outputs")
