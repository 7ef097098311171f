"""What is measured of reading a study's data, and the files it is read from."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from measure import Answers, Task, main, timed

from impact.data import Cohort, read, synthetic

OUTCOMES = ["emergency_admission", "ae", "outpatient", "gp", "bed_days"]
ARMS = {"treated": ["signposting", "hand_holding"], "control": ["control", "pool"]}
Made = dict[str, float]


def tables(cohort: Cohort) -> Made:
    """Return sums of what reading gives."""
    return {name: float(cohort.people[name].sum()) for name in cohort.people if name.startswith("prior_")}


def counted(cohort: Cohort) -> Made:
    """Return sums of what the notebooks count."""
    baseline = cohort.at_baseline(outcomes=OUTCOMES)
    panels = {
        "month": cohort.panel(outcomes=OUTCOMES),
        "start": cohort.around_start(outcomes=OUTCOMES),
        "baseline": baseline,
    }
    return tables(baseline) | {
        f"{name} {kind} {outcome}": float(values.sum())
        for name, panel in panels.items()
        for kind, found in (("counts", panel.outcomes), ("time", panel.exposure))
        for outcome, values in found.items()
    }


def task(make: Callable[[Cohort], Made], *, kept: bool) -> Task:
    """Return a task that reads the files of a folder."""

    def run(folder: Path, spent: list[float]) -> Answers:
        files = {path.stem: str(path) for path in folder.iterdir() if path.suffix in (".csv", ".parquet")}
        with timed(spent):
            made = make(read(**files, **ARMS, cache=folder if kept else None))
        return {name: (value, float("nan")) for name, value in made.items()}

    return run


TASKS: dict[str, Task] = {
    "impact: kept": task(tables, kept=True),
    "impact: read anew": task(tables, kept=False),
    "impact: kept and counted": task(counted, kept=True),
    "impact: read and counted anew": task(counted, kept=False),
}


if __name__ == "__main__":
    if sys.argv[1] in TASKS:
        main(TASKS, Path)
    else:
        # A process of its own makes the files and keeps all, as a study's first notebook does.
        synthetic.make(sys.argv[3], people=int(sys.argv[2]))
        TASKS["impact: kept and counted"](Path(sys.argv[3]), [])
