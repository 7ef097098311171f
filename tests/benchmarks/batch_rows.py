"""Batches: what is measured, what it is compared with, and what it must reach."""

from __future__ import annotations

from rows import Row, Section

COMMANDS = "papermill and nbconvert, a command each for every file"
ROWS = [
    Row(
        "batch-commands",
        "Reports of one notebook",
        "impact: batch",
        "commands",
        people=20,
        peer_repeats=1,
        faster=8,
    ),
    Row(
        "batch-processes",
        "Beside two processes of papermill without pages",
        "impact: batch",
        "papermill: two processes",
        people=20,
        faster=2.5,
    ),
    Row(
        "batch-memory",
        "Four at once",
        "impact: four at once",
        "papermill: four processes",
        people=8,
        gigabytes=0.61,
    ),
    Row("unchanged", "A batch of which nothing has changed", "impact: unchanged", people=20),
    Row(
        "kernel",
        "A kernel with everything imported",
        "impact: kernel",
        "papermill: kernel",
        people=1,
        seconds=0.6,
    ),
    Row(
        "help",
        "`impact --help`, beside `papermill --version`",
        "impact: help",
        "papermill: version",
        people=1,
        seconds=0.3,
    ),
    Row("check", "`impact check` of one study", "impact: check", people=1, seconds=1),
]
SECTION = Section(
    name="batch",
    title="Batches of studies",
    maker="batch_maker.py",
    tasks="batch_tasks.py",
    warm_up=1,
    rows=ROWS,
    packages=["papermill", "nbconvert", "ipykernel"],
    people="Studies of one notebook and 300 people; a process has one thread for matrices.\n",
    notes="Memory is the most that all processes held at once, what they share counted once (PSS).",
    ending="d",
)
