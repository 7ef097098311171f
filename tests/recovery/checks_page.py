"""Writes docs/recovery-checks.md: the words of checks_page.md with the figures of the study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from check_worlds import RATIO, WORLDS
from sites_page import lines

TEXT = Path(__file__).with_name("checks_page.md")
NAMES = {
    "before and after": "before and after, the supported alone",
    "planned": "as planned",
    "start": "without the month support began",
    "around": "without the months around the start",
    "estimator": "another estimator",
    "controls": "never-supported controls only",
    "buildings": "without the buildings that matter most",
    "spillover": "without controls of the same building",
    "lost_best": "those lost: nothing with support, twice without",
    "lost_worst": "those lost: twice with support, nothing without",
    "pretend": "support pretended to begin earlier",
}


def markdown(found, warned, draws):
    """The page: ``found`` from ``check_worlds.summary``, ``warned`` from ``check_worlds.warnings``."""
    return TEXT.read_text(encoding="utf-8").format(
        worlds="\n".join(f"- **{name}**: {said}" for name, said in WORLDS.items()),
        warned=_warned(warned),
        tables="\n\n".join(f"### {name}\n\n{_table(found, name)}" for name in WORLDS),
        draws=draws,
        ratio=RATIO,
        seconds=f"{warned['seconds'].mean():.2f}",
        error=f"{100 * np.sqrt(0.05 * 0.95 / draws):.0f}",
    )


def _share(value):
    return f"{100 * value:.0f}%"


def _warned(warned):
    rows = []
    for row in warned.to_dict("records"):
        words = [_share(row[w]) for w in ("Moderate evidence", "Weak evidence", "Inconclusive")]
        shares = [_share(row[k]) for k in ("clear", "warned", "warned_at_all")]
        rows.append([row["world"], f"{row['ratio']:g}", *shares, *words])
    head = ["world", "true ratio", "clear as planned", "warned", "with minor checks"]
    return lines([*head, "moderate", "weak", "inconclusive"], rows)


def _table(found, world):
    rows = []
    for name, said in NAMES.items():
        cells = [said]
        for ratio in (RATIO, 1.0):
            here = found[(found["world"] == world) & (found["analysis"] == name) & (found["ratio"] == ratio)]
            row = here.iloc[0]
            cells += [f"{100 * np.expm1(row['bias']):+.0f}%", _share(row["coverage"]), _share(row["found"])]
        rows.append(cells)
    each = ["bias", "coverage", "clear"]
    head = ["analysis", *(f"{e}, ratio {RATIO:g}" for e in each), *(f"{e}, ratio 1" for e in each)]
    return lines(head, rows)
