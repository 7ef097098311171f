"""A project of so many studies of one notebook each: `batch_maker.py KIND STUDIES FOLDER`.

Of the kind ``small`` their notebook only reads its parameters; ``demo`` is the demonstration's study alone.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import nbformat

from impact.data import synthetic

HERE = Path(__file__).parents[2]
NOTEBOOK = HERE / "notebooks" / "cohort.ipynb"
STUDY = """\
title: Site {number}
data: {{people: data/people.csv, contacts: data/contacts.csv, coverage: data/coverage.csv}}
design: {{treated: [signposting, hand_holding], control: [control, pool]}}
outcomes: [emergency_admission, ae]
seed: {number}
"""
# Up to the cell that makes the study of its parameters.
SMALL = 5


def make(kind: str, folder: Path, studies: int) -> None:
    """Write the data, the notebook and the parameter files."""
    synthetic.make(folder / "data", people=1200 if kind == "demo" else 300)
    (folder / "params").mkdir()
    (folder / "notebooks").mkdir()
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    if kind == "small":
        notebook.cells = notebook.cells[:SMALL]
    nbformat.write(notebook, folder / "notebooks" / NOTEBOOK.name)
    if kind == "demo":
        shutil.copy(HERE / "params" / "demo.yaml", folder / "params")
        return
    for number in range(studies):
        (folder / "params" / f"site{number:04d}.yaml").write_text(STUDY.format(number=number), "utf-8")


if __name__ == "__main__":
    make(sys.argv[1], Path(sys.argv[3]), int(sys.argv[2]))
