"""A project of so many small studies of one notebook each: `batch_maker.py KIND STUDIES FOLDER`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from impact.data import synthetic

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "cohort.ipynb"
STUDY = """\
title: Site {number}
data: {{people: data/people.csv, contacts: data/contacts.csv, coverage: data/coverage.csv}}
design: {{treated: [signposting, hand_holding], control: [control, pool]}}
outcomes: [emergency_admission, ae]
seed: {number}
"""


def make(folder: Path, studies: int) -> None:
    """Write the data of 300 people, the notebook and the parameter files."""
    synthetic.make(folder / "data", people=300)
    (folder / "params").mkdir()
    (folder / "notebooks").mkdir()
    shutil.copy(NOTEBOOK, folder / "notebooks")
    for number in range(studies):
        (folder / "params" / f"site{number:04d}.yaml").write_text(STUDY.format(number=number), "utf-8")


if __name__ == "__main__":
    make(Path(sys.argv[3]), int(sys.argv[2]))
