"""Speed and memory of ``impact.did`` beside the fastest other packages, and that the answers agree.

    python tests/benchmarks/did.py [--quick] [--rows NAME ...] [--list]

Each measurement is a process of its own, so that peak memory is that task's; ours and the other package take
turns, so that a busy moment meets both. A full run writes ``docs/speed.md``. This file imports nothing heavy:
a process that has much memory would lend its peak to those it starts.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from rows import ROWS, SMALL, Measured, Row

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "speed.md"
PACKAGES = ["impact", "numpy", "scipy", "pandas", "diff-diff", "pyfixest", "csdid"]
WARM_UP = 200
QUICK = 10


@dataclass(frozen=True)
class Finding:
    """A row with what was measured; ``failed`` says why where something could not be."""

    row: Row
    people: int
    ours: Measured | None = None
    peer: Measured | None = None
    agree: bool | None = None
    apart: str = ""
    failed: str = ""
    # Targets are for the row's own number of people: a quick run judges the answers only.
    judged: bool = True

    @property
    def met(self) -> bool | None:
        """Whether the target is met and the answers agree."""
        if self.ours is None or self.agree is False:
            return False
        return self.row.reached(self.ours, self.peer) if self.judged else None


class Bench:
    """Draws the people once, and runs each task in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def people(self, kind: str, n: int) -> Path:
        path = self.folder / f"{kind}-{n}.npz"
        if not path.exists():
            run([str(HERE / "people.py"), kind, str(n), str(path)])
        return path

    def once(self, task: str, kind: str, n: int) -> Measured:
        files = [str(self.people(kind, size)) for size in (WARM_UP, n)]
        said = json.loads(run([str(HERE / "tasks.py"), task, *files]).splitlines()[-1])
        return Measured(said["seconds"], said["bytes"] / 1e9, said["answers"])

    def find(self, row: Row, *, quick: bool) -> Finding:
        """Measure one row: ours and the other in turn, and the median of each."""
        n = row.people // QUICK if quick else row.people
        turns: list[list[Measured]] = []
        try:
            for _ in range(1 if quick else row.repeats):
                turn = [self.once(row.ours, row.kind, n)]
                if row.peer:
                    turn.append(self.once(row.peer, row.peer_kind or row.kind, n))
                turns.append(turn)
            ours, *others = map(middle, zip(*turns, strict=True))
            peer = others[0] if others else None
            against = self.once(row.checked_by, row.kind, n) if row.checked_by else peer
        except RuntimeError as error:
            return Finding(row, n, failed=str(error))
        agree, apart = compared(row, ours, against) if against else (None, "")
        return Finding(row, n, ours, peer, agree, apart, judged=not quick)


def run(arguments: list[str]) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise RuntimeError(f"{arguments[1]}: stopped with code {done.returncode}: {last[0][:200]}")
    return done.stdout


def middle(measured: tuple[Measured, ...]) -> Measured:
    """Return the median time and memory of several turns."""
    return Measured(
        statistics.median(m.seconds for m in measured),
        statistics.median(m.gigabytes for m in measured),
        measured[0].answers,
    )


def compared(row: Row, ours: Measured, other: Measured) -> tuple[bool | None, str]:
    """Whether the answers that both give agree, and how far apart the farthest lie."""
    both = [key for key in ours.answers if key in other.answers and other.answers[key][1] != 0]
    pairs = [(*ours.answers[key], *other.answers[key]) for key in both]
    pairs = [pair for pair in pairs if math.isfinite(pair[2]) and not (pair[2] == 0 and math.isnan(pair[3]))]
    if not pairs:
        return (None, "") if not ours.answers else (False, "no answer in common")
    estimate = max(abs(a - b) for a, _, b, _ in pairs)
    errors = [abs(s / t - 1) for _, s, _, t in pairs if not math.isnan(t)]
    # Written so that a missing value of ours is a disagreement.
    agree = all(abs(a - b) <= row.estimate_within for a, _, b, _ in pairs) and all(
        e <= row.error_within for e in errors
    )
    count = f"{len(pairs)} answers" if len(pairs) > 1 else "1 answer"
    of_errors = f"errors within {max(errors):.0e}" if errors else "errors not compared"
    return agree, f"{count}: estimates within {estimate:.0e}, {of_errors}"


def cells(finding: Finding) -> list[str]:
    """Return one line of the table."""
    row, ours, peer = finding.row, finding.ours, finding.peer
    start = [row.shown, f"{finding.people:,}"]
    if ours is None:
        return [*start, finding.failed, row.peer or "", "", "", row.target, "no", ""]
    other = row.peer if row.peer_kind is None else "our own complete panel"
    return [
        *start,
        f"{ours.seconds:.2f} s, {ours.gigabytes:.2f} GB",
        f"{other}: {peer.seconds:.2f} s, {peer.gigabytes:.2f} GB" if peer else "",
        f"{peer.seconds / ours.seconds:.1f}" if peer else "",
        f"{ours.gigabytes / peer.gigabytes:.0%}" if peer else "",
        row.target,
        {True: "yes", False: "no", None: ""}[finding.met],
        finding.apart + {True: "", False: " (**disagree**)", None: ""}[finding.agree],
    ]


HEADINGS = [
    "task",
    "people",
    "impact",
    "compared with",
    "times as fast",
    "memory",
    "must reach",
    "reached",
    "answers",
]


def table(findings: list[Finding]) -> str:
    lines = [HEADINGS, ["---"] * len(HEADINGS), *map(cells, findings)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def page(findings: list[Finding], load: float) -> str:
    """Return the page of a full run, which began at a load of ``load``."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"""# How fast, and in how much memory

Measured on {datetime.date.today():%d %B %Y} on a machine with {os.cpu_count()} cores and {memory:.0f} GB of
memory (load average {load:.1f} when it began), with Python {platform.python_version()}, {versions}.
To measure again and write this page again:

```bash
make bench
```

The people: 24 months, support that begins in one of 12 of them, about 40% never supported, 4 covariates,
Poisson counts with about half an event a month fewer once supported.

{table(findings)}

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
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"a {QUICK}th of the people, one turn")
    parser.add_argument("--rows", nargs="+", metavar="NAME", choices=[row.name for row in ROWS])
    parser.add_argument("--list", action="store_true", help="list the rows and stop")
    asked = parser.parse_args()
    if asked.list:
        print("\n".join(f"{row.name:16} {row.people:>9,}  {row.shown} [{row.target}]" for row in ROWS))
        return 0
    findings, load = [], os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for row in ROWS:
            if asked.rows and row.name not in asked.rows:
                continue
            findings.append(bench.find(row, quick=asked.quick))
            print(f"{row.name:16}", " | ".join(cells(findings[-1])[1:]), flush=True)
    if not (asked.quick or asked.rows):
        PAGE.write_text(page(findings, load), "utf-8")
        print(f"Written: {PAGE.relative_to(PAGE.parents[1])}")
    return int(any(f.failed or f.met is False for f in findings))


if __name__ == "__main__":
    sys.exit(main())
