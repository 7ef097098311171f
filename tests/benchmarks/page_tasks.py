"""What is measured of the gate and of pages: one function a task, run in a process of its own.

Each takes the folder that ``reports.py`` made and a list to which it adds the seconds it wants counted. There
are no answers to compare: tests say that what is withheld holds, and what a page is beside nbconvert's.
"""

from __future__ import annotations

import pickle
from pathlib import Path

from measure import Answers, Task, main, timed

from impact.disclosure import release
from impact.pages.report import render
from impact.run.plan import NOTEBOOKS


def gate(name: str, policy: str) -> Task:
    def task(folder: Path, spent: list[float]) -> Answers:
        results = pickle.loads((folder / f"{name}.pkl").read_bytes())
        with timed(spent):
            released = release(results, policy)
        return {} if released else {"nothing": (0.0, 0.0)}

    return task


def executed(folder: Path, page: str) -> Path:
    return folder / f"outputs/demo/private/{page}.ipynb"


def ours(page: str) -> Task:
    def task(folder: Path, spent: list[float]) -> Answers:
        with timed(spent):
            render(executed(folder, page))
        return {}

    return task


def nbconvert(page: str) -> Task:
    def task(folder: Path, spent: list[float]) -> Answers:
        from nbconvert import HTMLExporter

        with timed(spent):
            HTMLExporter().from_filename(str(executed(folder, page)))
        return {}

    return task


TASKS = {
    **{f"impact: gate, {page}": gate(page, "hes") for page in NOTEBOOKS},
    **{f"impact: gate, counts, {policy}": gate("counts", policy) for policy in ("hes", "threshold_10")},
    **{f"impact: {page}": ours(page) for page in NOTEBOOKS},
    **{f"nbconvert: {page}": nbconvert(page) for page in NOTEBOOKS},
}

if __name__ == "__main__":
    main(TASKS, Path)
