"""What a plan says a study will find, beside what invented studies find: the grid of docs/planning.md."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from impact.errors import ParameterError
from impact.interpret.invented_studies import invented
from impact.interpret.planning import Plan

PEOPLE, MEANS, SHAPES, BUILDINGS = (50, 200, 1000), (0.2, 0.6, 4.0), (0.5, 1.0, 5.0), (8, 30, 200)
WORDS = {"after": "after only, by person", "before": "before and after, by person"}


class Cell(NamedTuple):
    """One study: its plan, how it is called, and further arguments of the estimator."""

    design: str
    plan: Plan
    arguments: dict[str, str]


def cells() -> Iterator[Cell]:
    """Every study of the grid that can be: buildings with people in them, which differ less than people."""
    for n, mean, shape in product(PEOPLE, MEANS, SHAPES):
        given = {"rate": mean, "dispersion": 1 / shape, "people": n}
        yield Cell(WORDS["after"], Plan(**given), {})
        yield Cell(WORDS["before"], Plan(**given, before=12, stability=0.8), {})
        for buildings in BUILDINGS:
            try:
                plan = Plan(**given, before=12, stability=0.8, buildings=buildings, icc=0.05)
            except ParameterError:
                continue
            yield Cell(f"before and after, {buildings} buildings", plan, {})
            if buildings == min(BUILDINGS):
                cr2 = {"estimator": "two_by_two", "effects": "person", "inference": "CR2"}
                yield Cell(f"before and after, {buildings} buildings, CR2", plan, cr2)


def compared(cell: Cell, draws: int) -> dict[str, float | str]:
    """The plan's power and that of invented studies, where it should be 80% (or at a halving); the size."""
    plan = cell.plan
    ratio = plan.smallest("fall")
    ratio = 0.5 if np.isnan(ratio) else ratio
    seen = invented(plan, ratio, draws=draws, seed=1, **cell.arguments)
    null = invented(plan, 1.0, draws=draws, seed=2, **cell.arguments)
    return {
        "design": cell.design,
        "people": plan.people,
        "mean": plan.rate,
        "shape": 1 / plan.dispersion,
        "ratio": ratio,
        "events": plan.events(ratio),
        "planned": float(plan.power(ratio)),
        "found": seen.falls,
        "found_error": seen.error,
        "unanswered": seen.unanswered,
        "size": null.falls + null.rises,
        "refused": plan.refusal != "",
    }


def study(draws: int, *, every: int = 1, workers: int = 1) -> pd.DataFrame:
    """Every so manieth study of the grid, with so many draws each."""
    chosen = list(cells())[::every]
    if workers == 1:
        return pd.DataFrame([compared(cell, draws) for cell in chosen])
    with ProcessPoolExecutor(workers) as pool:
        return pd.DataFrame(pool.map(compared, chosen, [draws] * len(chosen)))


TEXT = Path(__file__).with_name("planned_page.md")
FEW = 10


def page(found: pd.DataFrame, draws: int) -> str:
    """The page: in short, and line by line."""
    order = found["design"].unique()
    mine = found[~found["refused"]]
    many, few = (mine[rows].groupby("design") for rows in (mine["events"] >= FEW, mine["events"] < FEW))
    short = ["| design | studies | said | found | false |", "|---|--:|--:|--:|--:|"]
    for design in order:
        parts = [kind.get_group(design) for kind in (many, few) if design in kind.groups]
        cells = [
            f"{part[0]:{form}}" + (f" ({part[1]:{form}})" if len(part) > 1 else "")
            for form, part in [
                ("d", [len(p) for p in parts]),
                *((".1%", [p[c].mean() for p in parts]) for c in ("planned", "found", "size")),
            ]
        ]
        short.append(f"| {design} | {' | '.join(cells)} |")
    every = [
        "| design | people | m | k | ratio | left | said | found | no answer | false |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for r in found.sort_values(["design", "people", "mean", "shape"]).itertuples():
        cells = (
            r.design,
            f"{r.people:.0f}",
            f"{r.mean:g}",
            f"{r.shape:g}",
            f"{r.ratio:.2f}",
            f"{r.events:.0f}",
            f"{r.planned:.0%}{' (refused)' if r.refused else ''}",
            f"{r.found:.0%} ({r.found_error:.1%})",
            f"{r.unanswered:.0%}",
            f"{r.size:.1%}",
        )
        every.append(f"| {' | '.join(cells)} |")
    return TEXT.read_text(encoding="utf-8").format(
        draws=draws, few=FEW, short="\n".join(short), every="\n".join(every)
    )
