"""Writes docs/recovery-all-at-once.md: the words of all_at_once_page.md with the figures of the study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from all_at_once import ANALYSES, PEOPLE, RATIOS
from sites_page import lines

TEXT = Path(__file__).with_name("all_at_once_page.md")


def markdown(found, draws):
    """The page: ``found`` from ``all_at_once.summary``."""
    tables = {f"table_{i}": _table(found[found["ratio"] == ratio]) for i, ratio in enumerate(RATIOS)}
    nothing = found[found["ratio"] == 1.0].set_index("analysis")
    return TEXT.read_text(encoding="utf-8").format(
        **tables,
        analyses="\n".join(f"- **{name}**: {said}" for name, said in ANALYSES.items()),
        draws=draws,
        people=f"{PEOPLE:,}",
        naive=_change(nothing.loc["before and after", "estimate"]),
        did=_change(nothing.loc["did", "estimate"]),
        did_often=_share(nothing.loc["did", "fall"]),
        warned=_share(nothing.loc["did", "warned"]),
        matched=_change(nothing.loc["matched", "estimate"]),
        matched_often=_share(nothing.loc["matched", "fall"]),
    )


def _change(log_ratio):
    return f"{100 * np.expm1(log_ratio):+.0f}%".replace("-", "−").replace("+0%", "0%").replace("−0%", "0%")


def _share(value):
    return f"{100 * value:.0f}%"


def _table(found):
    rows = [["the truth", _change(found["truth"].mean()), *[""] * 4]]
    for r in found.to_dict("records"):
        said = [_change(r["estimate"]), f"{r['off']:+.3f} ({r['off_error']:.3f})"]
        rows.append([r["analysis"], *said, *(_share(r[name]) for name in ("fall", "rise", "inside"))])
    return lines(["analysis", "says", "off", "claims a fall", "claims a rise", "holds the truth"], rows)
