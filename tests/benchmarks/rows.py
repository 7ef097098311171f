"""What the benchmark measures: each task, what it is compared with, and what it must reach."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """What a task took, and its answers as ``{name: (estimate, standard error)}``."""

    seconds: float
    gigabytes: float
    answers: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Row:
    """One line of the table: what is done, with what it is compared, and what it must reach."""

    name: str
    shown: str
    ours: str
    peer: str | None = None
    kind: str = "complete"
    peer_kind: str | None = None
    people: int = 100_000
    repeats: int = 3
    # What must be reached: times as fast as the other, its share of the other's memory, seconds, gigabytes.
    faster: float | None = None
    share: float | None = None
    seconds: float | None = None
    gigabytes: float | None = None
    # How far an estimate may lie from the other's, and a standard error, as a share of the other's error.
    estimate_within: float = 1e-4
    error_within: float = 1e-3
    checked_by: str | None = None

    @property
    def target(self) -> str:
        """What must be reached, in words."""
        said = []
        if self.faster and self.faster < 1:
            said.append(f"at most {1 / self.faster:g} times the time")
        elif self.faster:
            said.append(f"at least {self.faster:g} times as fast" if self.faster > 1 else "faster")
        if self.share:
            said.append(f"at most {self.share:.0%} of its memory")
        if self.seconds:
            said.append(f"under {self.seconds:g} s")
        if self.gigabytes:
            said.append(f"under {self.gigabytes:g} GB")
        return ", ".join(said) or "for information"

    def reached(self, ours: Measured, peer: Measured | None) -> bool | None:
        """Whether the target is met; None where there is none."""
        tests = []
        if self.faster and peer:
            tests.append(peer.seconds >= self.faster * ours.seconds)
        if self.share and peer:
            tests.append(ours.gigabytes <= self.share * peer.gigabytes)
        if self.seconds:
            tests.append(ours.seconds < self.seconds)
        if self.gigabytes:
            tests.append(ours.gigabytes < self.gigabytes)
        return all(tests) if tests else None


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
    Row(
        "sunab-diff-diff",
        "Sun-Abraham, by event time",
        "impact: sun_abraham",
        "diff-diff: SunAbraham",
        people=SMALL,
        error_within=0.05,
    ),
    Row(
        "etwfe-diff-diff",
        "ETWFE, linear, by event time",
        "impact: etwfe",
        "diff-diff: WooldridgeDiD",
        people=SMALL,
        error_within=0.05,
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
    Row(
        "awkward",
        f"{CS}; control: not yet treated; 3% die or move, uneven time at risk",
        "impact: every cell",
        "impact: not yet treated",
        kind="awkward",
        peer_kind="complete",
        faster=1 / 3,
        checked_by="the formula, cell by cell",
        estimate_within=1e-8,
    ),
    Row(
        "weighted",
        f"{CS}; control: not yet treated; the same with matching weights",
        "impact: every cell",
        "impact: not yet treated",
        kind="weighted",
        peer_kind="complete",
        faster=1 / 3,
        checked_by="the formula, cell by cell",
        estimate_within=1e-8,
    ),
    Row(
        "never-csdid",
        f"{CS}; control: never treated",
        "impact: never treated",
        "csdid: never treated",
        people=SMALL,
        estimate_within=1e-8,
        error_within=1e-8,
    ),
    Row(
        "notyet-csdid",
        f"{CS}; control: not yet treated",
        "impact: not yet treated",
        "csdid: not yet treated",
        people=SMALL,
        estimate_within=1e-8,
        error_within=1e-8,
    ),
    Row("reading", "Reading a long table into a panel, with its checks", "impact: reading"),
    Row(
        "long",
        f"Reading the long table, and {CS}; control: never treated",
        "impact: from the long table",
        "diff-diff: never treated",
    ),
]
