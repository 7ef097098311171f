"""Matching: what is measured, what it is compared with, and what it must reach."""

from __future__ import annotations

from dataclasses import replace

from rows import Row, Section

# Supported people of each size, and how many there are in the pool for each.
SIZES = {"S": (1_000, 10), "M": (10_000, 20), "L": (100_000, 10)}
# The most seconds and gigabytes the others may take.
LIMITS = (120, 12)
SCORE = "the propensity score, which is fitted within the time"


def rows(
    row: Row, peers: dict[str, str], seconds: dict[str, float], gigabytes: dict[str, float] | None = None
) -> list[Row]:
    """Return a row at each size, with the package that is fastest there; the largest must stay under 2 GB."""
    memory = {"L": 2.0} | (gigabytes or {})
    return [
        replace(
            row,
            name=f"{row.name}-{size}",
            peer=peers.get(size),
            kind=f"{each} to 1",
            people=people,
            repeats=1 if size == "L" else 3,
            peer_repeats=3 if size == "S" else 1,
            seconds=seconds.get(size),
            gigabytes=memory.get(size),
        )
        for size, (people, each) in SIZES.items()
    ]


ROWS = [
    *rows(
        Row(
            "nearest",
            f"Nearest, one to one, caliper 0.2, on {SCORE}",
            "impact: nearest",
            estimate_within=1e-9,
        ),
        {"S": "statspai: nearest", "M": "statspai: nearest"},
        {"M": 0.5, "L": 2},
    ),
    *rows(
        Row(
            "strata",
            "Nearest, three to one, Mahalanobis distance, exact on 12 areas",
            "impact: strata",
        ),
        {"S": "pymatchit: strata", "M": "pymatchit: strata"},
        {"M": 1, "L": 9},
    ),
    *rows(
        Row("optimal", f"Optimal pairs, exact, on {SCORE}", "impact: optimal", estimate_within=1e-6),
        {"S": "pymatchit: optimal", "M": "pymatchit: optimal"},
        {"M": 2.5},
        {"M": 1.0},
    ),
    *rows(
        Row("full", f"Full matching, exact, on {SCORE}", "impact: full", estimate_within=1e-6),
        {"S": "statspai: full", "M": "statspai: full"},
        {"M": 0.5, "L": 2.5},
    ),
    *(
        one
        for name, shown, within, seconds in (
            (
                "coarsened",
                "Coarsened exact matching, 2 to 4 bins for each number",
                1e-9,
                {"M": 0.1, "L": 0.5},
            ),
            ("entropy", "Entropy balancing of averages", 1e-6, {"M": 0.3, "L": 2}),
            (
                "balance",
                "Balance of every column before and after: means, SMD, variance ratio, KS",
                1e-9,
                {"M": 0.6, "L": 4},
            ),
        )
        for one in rows(
            Row(name, shown, f"impact: {name}", estimate_within=within),
            dict.fromkeys("SM", f"{'pymatchit' if name == 'coarsened' else 'statspai'}: {name}"),
            seconds,
        )
    ),
    *(
        replace(one, kind=f"{one.kind}, month by month", repeats=1)
        for one in rows(
            Row("risk-set", "Risk sets over 24 months, one to one, caliper 0.2", "impact: risk set"),
            {},
            {},
            {"M": 1.0, "L": 4.0},
        )
    ),
    Row(
        "genetic-S",
        "Genetic matching, 20 candidates, 5 generations (120 matches)",
        "impact: genetic",
        kind="10 to 1",
        people=1_000,
        repeats=1,
        seconds=10,
    ),
]

SECTION = Section(
    name="match",
    title="Matching",
    maker="cohorts.py",
    tasks="match_tasks.py",
    warm_up=100,
    ending="pkl",
    rows=ROWS,
    packages=["pymatchit-causal", "statspai"],
    size=lambda row, n: f"{n:,} of {n * int(row.kind.split()[0]):,}",
    limits=LIMITS,
    people="""\
The people: 12 covariates (9 numbers, of which 4 are counts of prior contacts, and 3 categories) that make 21
columns; who has more need is likelier to be supported. '1,000 of 10,000' is 1,000 supported people and a pool
of 10,000.
""",
    notes=f"""\
How to read it
- Each measurement is a process of its own, ours and the other in turn; the median of 3 (of 1 for the largest,
  and of 1 for the others at 10,000 of 200,000). A small run first, imports and making the data are not
  counted in the time; the table of people as the package takes it is made before.
- Memory is the peak of the whole process: Python, imports and the table of people with it.
- The other package is the fastest of the two at that size. It is stopped after {LIMITS[0]} s or beyond
  {LIMITS[1]} GB (of address space).
- Risk sets are of people with contacts by day (8 covariates, some seven contacts a person in four years), who
  are read before the time is taken; each person of the pool might begin in any of 24 months.
- 'answers': supported people matched and their difference in visits (nearest, coarsened, entropy), the pairs
  (three to one), the total distance (optimal, full), the largest SMD and KS (balance). There are no standard
  errors to compare.
- Three to one, the sums of distances cannot be compared: pymatchit takes the covariance of everyone, ours and
  MatchIt's is within the arms.

Measured elsewhere, not in this run: R 4.2.2 with MatchIt 4.7.2, WeightIt 1.5.1 and cobalt 4.6.2, on 22
November 2026 on a machine with 2 cores and 24 GB, on another cohort made in the same way, one run each.

| task | 1,000 of 10,000 | 10,000 of 200,000 | 100,000 of 1,000,000 |
| --- | --- | --- | --- |
| nearest, one to one, caliper 0.2 | 0.138 s | 1.15 s, 0.44 GB | 5.09 s, 1.8 GB |
| nearest, three to one, Mahalanobis, 12 strata | 0.664 s | 60.0 s, 0.22 GB | not run |
| optimal pairs (not quite optimal there) | 2.37 s, 0.50 GB | over 40 s | not run |
| full (not quite optimal there) | 48.9 s, 2.9 GB | over 40 s | not run |
| coarsened exact | 0.102 s | 0.483 s | 2.21 s |
| entropy balancing | 0.522 s | 2.31 s | 9.2 s, 2.1 GB |
| balance before and after, with KS (cobalt) | 0.202 s | 5.54 s | 27.6 s, 2.7 GB |
| genetic, 20 candidates, at most 5 generations | 72.5 s | not run | not run |
""",
)
