"""Writes docs/recovery-equity.md from the figures of ``groups.summary``."""

from __future__ import annotations

from pathlib import Path

from groups import MATCHED

TEXT = Path(__file__).with_name("groups_page.md")


def alike(row) -> bool:
    """Whether the effect is truly the same in all groups, on this scale."""
    return row.world == "no effect" or (row.world == "the same ratio" and row.scale == "log ratio")


def markdown(found, draws: int) -> str:
    """The page."""
    rows = []
    for r in found.itertuples():
        d = 3 if r.scale == "log ratio" else 1
        cells = [
            f"{r.people:,}",
            f"{r.buildings:,}",
            f"`{r.method}`" if r.method not in MATCHED else r.method,
            r.world,
            r.scale,
            f"{r.rejected:.3f} ({r.rejected_error:.3f})",
            f"{r.truth:.{d}f}",
            f"{r.bias:+.{d}f} ({r.bias_error:.{d}f})",
            f"{r.se / r.sd:.2f}",
            f"{r.coverage:.3f} ({r.coverage_error:.3f})",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    same = found[[alike(r) for r in found.itertuples()]]
    said = []
    for name, mine in (
        ("difference-in-differences", ~found["method"].isin(MATCHED)),
        ("matching without a caliper", found["method"] == "matched"),
        ("matching with one", found["method"] == "matched, caliper 0.2"),
    ):
        low, mean, high = (f"{100 * v:.1f}%" for v in same["rejected"][mine].agg(["min", "mean", "max"]))
        least, usual, most = (f"{100 * v:.1f}%" for v in found["coverage"][mine].agg(["min", "mean", "max"]))
        said.append(
            f"By {name}, where effects are alike the test rejected in {low} to {high} of draws, {mean} on "
            f"average; the 95% range of the slope held the truth in {least} to {most}, {usual} on average."
        )
    small, large = (f"{_power(found, people):.0%}" for people in (800, 3000))
    said.append(
        f"With 800 people a ratio that runs from 0.60 to 1.00 is found in {small} of studies, with 3,000 in "
        f"{large}: most studies are too small to tell."
    )
    reading = "\n".join(said)
    return TEXT.read_text(encoding="utf-8").format(draws=draws, reading=reading, rows="\n".join(rows))


def _power(found, people: int) -> float:
    mine = (found["people"] == people) & (found["world"] == "more for the deprived")
    return float(found.loc[mine & (found["scale"] == "log ratio"), "rejected"].mean())
