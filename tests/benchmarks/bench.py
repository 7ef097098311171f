"""Speed and memory beside the fastest other packages, and that the answers agree.

    python tests/benchmarks/bench.py [did] [match] [data] [pages] [--quick] [--rows NAME ...] [--list]

Each measurement is a process of its own, so that peak memory is that task's; ours and the other package take
turns, so that a busy moment meets both. A full run writes its sections of ``docs/speed.md``. This file
imports nothing heavy: a process that has much memory would lend its peak to those it starts.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import batch_rows
import data_rows
import did_rows
import match_rows
import page_rows
from rows import Measured, Row, Section

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "speed.md"
SECTIONS = (
    did_rows.SECTION,
    match_rows.SECTION,
    data_rows.SECTION,
    page_rows.SECTION,
    batch_rows.SECTION,
)
QUICK = 10
HEAD = """\
# How fast, and in how much memory

To measure again and write this page again (one section of it with `ARGS=did`, `match`, `data`, `pages` or
`batch`):

```bash
make bench
```
"""


class BeyondLimitsError(RuntimeError):
    """A package took more time or memory than it may."""


@dataclass(frozen=True)
class Finding:
    """A row with what was measured; ``failed`` says why where something could not be.

    ``beyond`` says which limit the other package ran into.
    """

    row: Row
    people: str
    ours: Measured | None = None
    peer: Measured | None = None
    agree: bool | None = None
    apart: str = ""
    failed: str = ""
    beyond: str = ""
    # Targets are for the row's own number of people: a quick run judges the answers only.
    judged: bool = True

    @property
    def met(self) -> bool | None:
        """Whether the target is met and the answers agree."""
        if self.ours is None or self.agree is False:
            return False
        return self.row.reached(self.ours, self.peer) if self.judged else None


class Bench:
    """Draws the people of a section once, and runs each task in a process of its own."""

    def __init__(self, section: Section, folder: Path) -> None:
        self.section, self.folder = section, folder

    def people(self, kind: str, n: int) -> Path:
        path = self.folder / f"{kind}-{n}.{self.section.ending}"
        if not path.exists():
            run([str(HERE / self.section.maker), kind, str(n), str(path)])
        return path

    def once(self, task: str, kind: str, n: int, limits: tuple[float, float] | None = None) -> Measured:
        files = [str(self.people(kind, size)) for size in (self.section.warm_up, n)]
        said = json.loads(run([str(HERE / self.section.tasks), task, *files], limits).splitlines()[-1])
        return Measured(said["seconds"], said["bytes"] / 1e9, said["answers"])

    def find(self, row: Row, *, quick: bool) -> Finding:
        """Measure one row: ours and the other in turn, and the median of each."""
        n = max(1, row.people // QUICK) if quick else row.people
        people = self.section.size(row, n)
        ours, others, beyond = [], [], ""
        try:
            for turn in range(1 if quick else row.repeats):
                ours.append(self.once(row.ours, row.kind, n))
                if row.peer and turn < row.peer_repeats and not beyond:
                    try:
                        kind = row.peer_kind or row.kind
                        others.append(self.once(row.peer, kind, n, self.section.limits))
                    except BeyondLimitsError as error:
                        beyond = str(error)
            mine, peer = middle(ours), middle(others) if others and not beyond else None
            against = self.once(row.checked_by, row.kind, n) if row.checked_by else peer
        except RuntimeError as error:
            return Finding(row, people, failed=str(error))
        agree, apart = compared(row, mine, against) if against else (None, "")
        return Finding(row, people, mine, peer, agree, apart, beyond=beyond, judged=not quick)


def run(arguments: list[str], limits: tuple[float, float] | None = None) -> str:
    """Run a script, within so many seconds and gigabytes of address space, and return what it printed."""
    seconds, gigabytes = limits or (None, math.inf)

    def hold() -> None:
        if limits:
            resource.setrlimit(resource.RLIMIT_AS, (int(gigabytes * 1e9), int(gigabytes * 1e9)))

    command = [sys.executable, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, preexec_fn=hold)
    except subprocess.TimeoutExpired:
        raise BeyondLimitsError(f"over {seconds:g} s") from None
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        if limits and re.search(r"MemoryError|bad_alloc|Unable to allocate|[Oo]ut of memory", last[0]):
            raise BeyondLimitsError(f"over {gigabytes:g} GB")
        raise RuntimeError(f"{arguments[1]}: stopped with code {done.returncode}: {last[0][:200]}")
    return done.stdout


def middle(measured: list[Measured]) -> Measured:
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
    start = [row.shown, finding.people]
    if ours is None:
        return [*start, finding.failed, row.peer or "", "", "", row.target, "no", ""]
    other = row.peer if row.peer_kind is None else "our own complete panel"
    beyond = f"{other}: {finding.beyond}" if finding.beyond else ""
    return [
        *start,
        f"{took(ours)}, {ours.gigabytes:.2f} GB",
        f"{other}: {took(peer)}, {peer.gigabytes:.2f} GB" if peer else beyond,
        f"{peer.seconds / ours.seconds:.1f}" if peer else "",
        f"{ours.gigabytes / peer.gigabytes:.0%}" if peer else "",
        row.target,
        {True: "yes", False: "no", None: ""}[finding.met],
        finding.apart + {True: "", False: " (**disagree**)", None: ""}[finding.agree],
    ]


def took(measured: Measured) -> str:
    """Return the time in seconds, or in thousandths where it is short."""
    return f"{measured.seconds:.2f} s" if measured.seconds >= 0.1 else f"{1000 * measured.seconds:.0f} ms"


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


def section_of(section: Section, findings: list[Finding], load: float) -> str:
    """Return the section of a full run, which began at a load of ``load``."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ["impact", "numpy", "scipy", "pandas", *section.packages]
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"""## {section.title}

Measured on {datetime.date.today():%d %B %Y} on a machine with {os.cpu_count()} cores and {memory:.0f} GB of
memory (load average {load:.1f} when it began), with Python {platform.python_version()}, {versions}.

{section.people}
{table(findings)}

{section.notes}"""


def page(written: dict[str, str]) -> str:
    """Return the page with the sections just written, and the others as they were."""
    before = PAGE.read_text("utf-8") if PAGE.exists() else ""
    kept = {part.splitlines()[0]: f"## {part}" for part in re.split(r"(?m)^## ", before)[1:]}
    sections = kept | written
    return "\n".join([HEAD, *(sections[s.title].rstrip() + "\n" for s in SECTIONS if s.title in sections)])


def measured(section: Section, only: list[str] | None, *, quick: bool) -> list[Finding]:
    """Measure the rows of a section, or some of them, and say each as it is found."""
    findings = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(section, Path(folder))
        for row in section.rows:
            if not only or row.name in only:
                findings.append(bench.find(row, quick=quick))
                print(f"{row.name:16}", " | ".join(cells(findings[-1])[1:]), flush=True)
    return findings


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = [section.name for section in SECTIONS]
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"{' or '.join(names)}; default all")
    parser.add_argument("--quick", action="store_true", help=f"a {QUICK}th of the people, one turn")
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="only these rows, as --list names them")
    parser.add_argument("--list", action="store_true", help="list the rows and stop")
    asked = parser.parse_args()
    known = {*names, *(row.name for section in SECTIONS for row in section.rows)}
    if unknown := {*asked.sections, *(asked.rows or [])} - known:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    chosen = [s for s in SECTIONS if not asked.sections or s.name in asked.sections]
    if asked.list:
        for section in chosen:
            for row in section.rows:
                print(f"{row.name:16} {section.size(row, row.people):>20}  {row.shown} [{row.target}]")
        return 0
    load = os.getloadavg()[0]
    found = {section.title: measured(section, asked.rows, quick=asked.quick) for section in chosen}
    if not (asked.quick or asked.rows):
        written = {section.title: section_of(section, found[section.title], load) for section in chosen}
        PAGE.write_text(page(written), "utf-8")
        print(f"Written: {PAGE.relative_to(PAGE.parents[1])}")
    return int(any(f.failed or f.met is False for findings in found.values() for f in findings))


if __name__ == "__main__":
    sys.exit(main())
