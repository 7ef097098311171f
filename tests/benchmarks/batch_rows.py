"""Batches: what is measured, what it is compared with, and what it must reach."""

from __future__ import annotations

from rows import Row, Section

ROWS = [
    Row(
        "batch-commands",
        "Reports of one notebook, beside a command of papermill and one of nbconvert for each",
        "impact: batch",
        "commands",
        people=20,
        peer_repeats=1,
        faster=8,
    ),
    Row(
        "batch-processes",
        "The same, beside two processes of papermill that make no pages",
        "impact: batch",
        "papermill: two processes",
        people=20,
        repeats=1,
        peer_repeats=1,
        faster=2.5,
    ),
    Row(
        "batch-memory",
        "The same, four at once, beside four processes of papermill that make no pages",
        "impact: four at once",
        "papermill: four processes",
        people=8,
        repeats=1,
        peer_repeats=1,
        # As the first warm prototype beside plain kernels: 0.61 of 0.92 GB.
        share=0.665,
    ),
    Row(
        "unchanged",
        "The same, when nothing has changed since",
        "impact: unchanged",
        people=20,
        repeats=1,
        seconds=2,
    ),
    Row(
        "small",
        "Small studies, beside a quarter of them; the memory is that of the command itself",
        "impact: small studies",
        "impact: a quarter of them",
        kind="small",
        people=200,
        repeats=1,
        peer_repeats=1,
        faster=1 / 4,
        share=1.1,
    ),
    Row(
        "kernel",
        "A kernel with everything imported, for a person",
        "impact: kernel",
        "papermill: kernel",
        people=1,
        repeats=1,
        peer_repeats=1,
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
    Row("check", "`impact check` of the demonstration", "impact: check", kind="demo", people=1, seconds=1),
]
SECTION = Section(
    name="batch",
    title="Batches of studies",
    maker="batch_maker.py",
    tasks="batch_tasks.py",
    warm_up=1,
    rows=ROWS,
    packages=["papermill", "nbconvert", "ipykernel"],
    people="""\
Each study has one notebook, on who is in it, and 300 people; of the small ones the notebook only reads its
parameters. A process has one thread for matrices.
""",
    size=lambda row, n: f"{n} stud{'y' if n == 1 else 'ies'}",
    notes="""\
How to read it
- A batch is timed from the command to its end: imports, the server of warm processes, every study's notebook,
  disclosure control, pages, tables and the checker's sheet, and the pages over all studies. The peers run the
  notebook, and the commands turn it into HTML; neither withholds or checks anything.
- Each measurement is a process of its own, after a run of one study; the commands of 5 studies are timed, and
  counted four times, since each study costs them the same.
- Memory is the most that all processes held at once, what they share counted once (PSS).
- Kernels: from asking for one until it has imported what a notebook of ours needs, the middle of five.
- The first warm prototype held 0.61 GB beside 0.92 GB of plain kernels, which imported less: two thirds.
- 1,000 small studies in one batch, once: 408 s, a quarter of them after 96 s and half after 192 s; the
  command itself held 55 MB throughout. Their list is written in less than a second, and a browser shows it
  in 0.1 s.
""",
    ending="d",
)
