"""What a row of the benchmarks says: a task, what it is compared with, and what it must reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    peer_repeats: int = 3
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


@dataclass(frozen=True)
class Section:
    """A section of the page: its rows, and the scripts that draw the people and do the tasks.

    ``size`` says how many people a row has; ``limits`` the seconds and gigabytes the others may take;
    ``ending`` is that of the files of people.
    """

    name: str
    title: str
    maker: str
    tasks: str
    warm_up: int
    rows: Sequence[Row]
    packages: Sequence[str]
    people: str
    notes: str
    size: Callable[[Row, int], str] = lambda row, n: f"{n:,}"
    limits: tuple[float, float] | None = None
    ending: str = "npz"
