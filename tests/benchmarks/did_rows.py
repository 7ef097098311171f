"""Difference-in-differences: what is measured, what it is compared with, and what it must reach."""

from __future__ import annotations

from rows import Row, Section

CS = "Callaway-Sant'Anna, doubly robust, 4 covariates, overall and by event time"
MILLION = 1_000_000
SMALL = 10_000
# Estimates by event time differ from the others' standard errors where these hold the shares of the groups
# fixed, or count parameters in another way; each such row says how far apart they may lie.
ROWS = [
    Row(
        "never",
        f"{CS}; control: never treated",
        "impact: never treated",
        "diff-diff: never treated",
        faster=10,
        gigabytes=1.2,
    ),
    Row(
        "notyet",
        f"{CS}; control: not yet treated",
        "impact: not yet treated",
        "diff-diff: not yet treated",
        faster=5,
    ),
    Row(
        "bands",
        "999 draws of the multiplier bootstrap on top of it: simultaneous bands by event time",
        "impact: bands",
        seconds=0.5,
    ),
    # Between two sets of 999 draws the critical value differs with a standard deviation of about 0.05.
    Row(
        "notyet-bands",
        "Callaway-Sant'Anna, control: not yet treated, with the 999 draws",
        "impact: not yet treated, bands",
        "diff-diff: not yet treated, bands",
        estimate_within=0.2,
    ),
    Row(
        "million",
        f"{CS}; control: never treated",
        "impact: never treated",
        "diff-diff: never treated",
        people=MILLION,
        repeats=1,
        faster=10,
        gigabytes=6,
    ),
    Row("sunab", "Sun-Abraham, by event time", "impact: sun_abraham", seconds=1, gigabytes=1.5),
    Row("etwfe", "ETWFE, linear, by event time", "impact: etwfe", seconds=1, gigabytes=1.5),
    Row(
        "sunab-pyfixest",
        "Sun-Abraham, by event time",
        "impact: sun_abraham",
        "pyfixest: saturated",
        people=SMALL,
        error_within=0.05,
    ),
    *(
        Row(f"{name}-diff-diff", shown, ours, f"diff-diff: {peer}", people=SMALL, error_within=0.05)
        for name, shown, ours, peer in (
            ("sunab", "Sun-Abraham, by event time", "impact: sun_abraham", "SunAbraham"),
            ("etwfe", "ETWFE, linear, by event time", "impact: etwfe", "WooldridgeDiD"),
        )
    ),
    Row(
        "poisson",
        "Poisson with person and month effects and time at risk as offset",
        "impact: poisson",
        "pyfixest: fepois",
        kind="uneven",
        faster=1,
        share=0.5,
    ),
    Row(
        "imputation",
        "Imputation, overall and by event time",
        "impact: imputation",
        "diff-diff: ImputationDiD",
        faster=10,
        error_within=0.05,
    ),
    *(
        Row(
            kind,
            f"{CS}; control: not yet treated; {what}",
            "impact: every cell",
            "impact: not yet treated",
            kind=kind,
            peer_kind="complete",
            faster=1 / 3,
            checked_by="the formula, cell by cell",
            estimate_within=1e-8,
        )
        for kind, what in {
            "awkward": "3% die or move, uneven time at risk",
            "weighted": "the same with matching weights",
        }.items()
    ),
    *(
        Row(
            f"{name}-csdid",
            f"{CS}; control: {control}",
            f"impact: {control}",
            f"csdid: {control}",
            people=SMALL,
            estimate_within=1e-8,
            error_within=1e-8,
        )
        for name, control in {"never": "never treated", "notyet": "not yet treated"}.items()
    ),
    Row("reading", "Reading a long table into a panel, with its checks", "impact: reading"),
    Row(
        "long",
        f"Reading the long table, and {CS}; control: never treated",
        "impact: from the long table",
        "diff-diff: never treated",
    ),
]

SECTION = Section(
    name="did",
    title="Difference-in-differences",
    maker="people.py",
    tasks="did_tasks.py",
    warm_up=200,
    rows=ROWS,
    packages=["diff-diff", "pyfixest", "csdid"],
    people="""\
The people: 24 months, support that begins in one of 12 of them, about 40% never supported, 4 covariates,
Poisson counts with about half an event a month fewer once supported.
""",
    notes=f"""\
How to read it
- Each measurement is a process of its own, ours and the other in turn; the median of 3 (of 1 for a million
  people). A small run first, imports and making the data are not counted in the time.
- Memory is the peak of the whole process: Python, imports and the data in the form the package takes (arrays
  for `impact`, a long table for the others) with it.
- The other packages turn the long table into arrays within their time; ours does so once, when the panel is
  built. The last rows say what that takes, and what the whole way from the long table does.
- The answer compared for the bootstrap is the critical value, which differs between any two sets of draws.
- 'answers' says how far apart the farthest of the estimates lie that both give (in events a month, or as a
  logarithm of a ratio), and the farthest of their standard errors as a share. diff-diff clips propensities.
  The others' Sun-Abraham errors hold the shares of the groups fixed, which ours do not: with fixed shares
  they are the same as pyfixest's. For ETWFE and imputation they may be up to 5% apart.
- Where the answers are those of the formula, estimates are compared, and standard errors are not.
- Sun-Abraham and ETWFE are compared at {SMALL:,} people: at 100,000 diff-diff passed 13 GB, and pyfixest
  takes several at {SMALL:,}.
- An awkward panel is compared with our own complete one, and checked by the formula, cell by cell.
""",
)
