"""What is measured of reading a study's data: with what an earlier notebook kept, and without."""

from __future__ import annotations

from rows import Row, Section

ROWS = [
    Row(
        "read",
        "Read and check the tables",
        "impact: kept",
        peer="impact: read anew",
        faster=5,
        estimate_within=0,
    ),
    Row(
        "read-and-count",
        "Read, a panel by month, people at baseline and a panel around the start",
        "impact: kept and counted",
        peer="impact: read and counted anew",
        faster=3,
        estimate_within=0,
    ),
]

SECTION = Section(
    name="data",
    title="Reading a study's data",
    maker="data_tasks.py",
    tasks="data_tasks.py",
    warm_up=500,
    ending="study",
    rows=ROWS,
    packages=["duckdb"],
    people="""\
The people: the demonstration's, with some 31 contacts each in three years, in Parquet files (CSV up to 50,000
people).
""",
    notes="""\
How to read it
- Every notebook of a study reads its data. In a run the first keeps the checked tables and what is counted
  from them, and the others take both from there: 'impact' is one of the others, 'compared with' is the first,
  or a notebook by hand. Hashing the files, by which what is kept is found, is counted in the time.
- 'answers': sums of all counts and times at risk, which must be equal.
""",
)
