"""The gate and the pages: what is measured, and what it is compared with."""

from __future__ import annotations

from dataclasses import replace

from rows import Row, Section

PAGES = ("findings", "cohort", "did", "matching")
DEMO = Row("", "", "", kind="demo", people=1_200)
COUNTS = Row("", "", "", kind="counts", people=2_000, repeats=1)

ROWS = [
    *(
        replace(
            DEMO,
            name=f"gate-{page}",
            shown=f"The gate: all results of the page {page}, by `hes`",
            ours=f"impact: gate, {page}",
        )
        for page in PAGES
    ),
    *(
        replace(
            COUNTS,
            name=f"gate-{policy}",
            shown=f"The gate: a table of counts and their totals, a tenth of them 1 to 7, by `{policy}`",
            ours=f"impact: gate, counts, {policy}",
        )
        for policy in ("hes", "threshold_10")
    ),
    *(
        replace(
            DEMO,
            name=f"page-{page}",
            shown=f"The page {page}, from its executed notebook",
            ours=f"impact: {page}",
            peer=f"nbconvert: {page}",
        )
        for page in PAGES
    ),
]

SECTION = Section(
    name="pages",
    title="The gate and the pages",
    maker="reports.py",
    tasks="page_tasks.py",
    warm_up=DEMO.people,
    ending="project",
    rows=ROWS,
    packages=["nbconvert"],
    size=lambda row, n: f"{n:,} {'counts' if row.kind == 'counts' else 'people'}",
    people="""\
The people are the demonstration's, and the pages those that `impact run` makes of them. The table of counts
has areas by ages, with the totals of both.
""",
    notes="""\
How to read it
- Each measurement is a process of its own, ours and nbconvert's in turn; the median of 3 (of 1 for counts).
  The same was done once before in that process, so that imports are not counted.
- The gate takes everything a page shows at once, and holds what is withheld against all of it. In a run a
  page is also held against those before it, and against earlier reports; that is not in these times.
- A page of ours has no code, and its pictures are checked for words; nbconvert's, by default, has the code
  and whatever was printed. What takes long is running the notebook, which is in neither.
""",
)
