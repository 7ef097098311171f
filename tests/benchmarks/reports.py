"""What the speed of pages is measured on: the demonstration's report, or a table of many counts.

    python tests/benchmarks/reports.py demo 1200 FOLDER
    python tests/benchmarks/reports.py counts 2000 FOLDER

The demonstration's folder is a project with its report, and beside it the results of each page as they are
before the gate.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd

from impact.data import synthetic
from impact.results import Summary
from impact.run import run
from impact.run.plan import NOTEBOOKS

ROOT = Path(__file__).parents[2]
# Fewer people cannot carry the demonstration's estimates.
FEWEST = 300


def demonstration(people: int, folder: Path) -> None:
    """Make the demonstration's project, run it, and keep the results of each page."""
    (folder / "params").mkdir(parents=True)
    shutil.copy(ROOT / "params/demo.yaml", folder / "params")
    synthetic.make(folder / "data", people=max(people, FEWEST))
    os.chdir(folder)
    (outcome,) = run(["params/demo.yaml"])
    if outcome.problem:
        raise outcome.problem
    for page in NOTEBOOKS:
        with (folder / f"{page}.pkl").open("wb") as file:
            WithoutContacts(file).dump(results_of(ROOT / f"notebooks/{page}.ipynb"))


class WithoutContacts(pickle.Pickler):
    """Leaves out the open database with people's contacts, which the gate never sees."""

    def reducer_override(self, thing: Any) -> Any:
        return (type(None), ()) if type(thing).__name__ == "DuckDBPyConnection" else NotImplemented


def results_of(notebook: Path) -> dict[str, Any]:
    """Run a notebook's cells up to the gate, and return what goes in."""
    names: dict[str, Any] = {}
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "code":
            before, gate, _ = cell.source.partition("released = impact.disclosure.release(")
            with contextlib.redirect_stdout(sys.stderr):
                exec(before, names)
            if gate:
                return dict(names["results"])
    raise ValueError(f"{notebook.name} has no gate.")


def counts(n: int, folder: Path) -> None:
    """Draw n counts of people by area and age, with their totals; a tenth of them are 1 to 7."""
    rng = np.random.default_rng(20261122)
    n_ages = 20
    value = rng.integers(20, 400, (n // n_ages, n_ages))
    few = rng.choice(value.size, value.size // 10, replace=False)
    value.ravel()[few] = rng.integers(1, 8, len(few))
    table = pd.DataFrame(value, index=[f"area {i}" for i in range(len(value))])
    table.columns = [f"from {5 * j}" for j in range(n_ages)]
    table["all"] = table.sum(axis=1)
    table.loc["all"] = table.sum()
    long = table.rename_axis("area").reset_index().melt("area", var_name="age", value_name="persons")
    folder.mkdir()
    made = {"people": Summary(long, {}, people=["persons"])}
    (folder / "counts.pkl").write_bytes(pickle.dumps(made))


if __name__ == "__main__":
    # A process of its own makes them, so that the one that measures stays small.
    kind, size, place = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    {"demo": demonstration, "counts": counts}[kind](size, place.absolute())
