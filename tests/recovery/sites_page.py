"""Writes docs/recovery-sites.md: the words of sites_page.md with the figures of the two studies."""

from __future__ import annotations

from pathlib import Path

TEXT = Path(__file__).with_name("sites_page.md")
ORDER = ("default", "jackknife", "placebo", "CR2", "CR3", "wild", "randomisation")


def markdown(found, placebo, draws):
    """The page: ``found`` from ``sites.summary``, ``placebo`` from ``ae.summary``."""
    return TEXT.read_text(encoding="utf-8").format(
        reading=_reading(found),
        failing=_failing(found),
        tables="\n\n".join(f"### {k} sites\n\n{_table(found[found['sites'] == k])}" for k in draws),
        placebo=_placebo(placebo),
        draws=", ".join(f"{number} draws at {sites} sites" for sites, number in draws.items()),
        most=int(placebo["draws"].max()),
    )


def lines(head, rows):
    """A table, whose first column is words and whose others are figures."""
    ruler = f"|---|{'--:|' * (len(head) - 1)}"
    first, *others = (f"| {' | '.join(cells)} |" for cells in (head, *rows))
    return "\n".join([first, ruler, *others])


def holds(frame):
    """Whether coverage and size are no worse than claimed, give or take two Monte Carlo errors."""
    short = frame["coverage"] < 0.95 - 2 * frame["coverage_error"]
    return ~(short | (frame["size"] > 0.05 + 2 * frame["size_error"]))


def _reading(found):
    """Mean coverage and size of the methods with each error, by number of sites, and how many hold."""
    rows = []
    for error in ORDER:
        cells = []
        for sites in found["sites"].unique():
            here = found[(found["sites"] == sites) & (found["error"] == error)]
            level = f"{here['coverage'].mean():.3f}, {here['size'].mean():.3f}"
            cells.append(f"{level}; {holds(here).sum()} of {len(here)}" if len(here) else "")
        rows.append([error, *cells])
    return lines(["error", *(f"{k} sites" for k in found["sites"].unique())], rows)


def _failing(found):
    worst = found[~holds(found)]
    if worst.empty:
        return "Every method held its level."
    rows = [
        [f"`{r.method}`", r.error, str(r.sites), _world(r), f"{r.coverage:.3f}", f"{r.size:.3f}"]
        for r in worst.itertuples()
    ]
    return lines(["method", "error", "sites", "people", "coverage", "size"], rows)


def _world(row):
    return "leave" if row.leaving else "stay"


def _table(frame):
    rows = []
    for r in frame.sort_values("method", kind="stable").itertuples():
        d = 3 if r.scale == "log ratio" else 1
        rows.append(
            [
                f"`{r.method}`",
                r.error,
                _world(r),
                f"{r.truth:.{d}f}",
                f"{r.bias:+.{d}f} ({r.bias_error:.{d}f})",
                f"{r.se / r.sd:.2f}" if r.se == r.se else "",
                f"{r.coverage:.3f} ({r.coverage_error:.3f})",
                f"{r.size:.3f} ({r.size_error:.3f})",
                f"{r.refused:.1%}" if r.refused else "",
            ]
        )
    head = ["method", "error", "people", "truth", "bias", "SE/SD", "coverage", "size", "refused"]
    return lines(head, rows)


def _placebo(found):
    rows = [
        [
            f"`{r.method}`",
            r.outcome,
            f"{r.rejected:.1%} ({r.error:.1%})",
            f"{r.se / r.sd:.2f}",
            str(r.draws),
            f"{r.refused:.1%}" if r.refused else "",
        ]
        for r in found.itertuples()
    ]
    return lines(["method", "outcome", "an effect was found in", "SE/SD", "draws", "refused"], rows)
