"""Writes docs/recovery-threats.md: the words of threats_page.md with the figures of the study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sites_page import lines
from threats import MATCHED, foretold

from impact.numbers.gamma_poisson import fall_of_chosen

TEXT = Path(__file__).with_name("threats_page.md")


def markdown(chosen, matched, trial, *, draws, people):
    """The page, from the three tables of ``threats.replicates``."""
    one = trial.iloc[0]
    return TEXT.read_text(encoding="utf-8").format(
        chosen=_chosen(chosen),
        matched=_matched(matched),
        draws=draws,
        people=f"{people:,}",
        naive=_percent(one["naive"]),
        formula=_percent(one["formula"]),
        effect=f"{one['effect']:+.3f} ({one['effect_mc']:.3f})",
        inside=f"{100 * one['inside']:.1f}%",
        passing=_percent(chosen.loc["bad spells pass", "naive"]),
        passing_formula=_percent(chosen.loc["bad spells pass", "formula"]),
        passing_alike=_percent(chosen.loc["bad spells pass", "alike"]),
    )


def _percent(log_ratio):
    return f"{100 * np.expm1(log_ratio):+.1f}%".replace("-", "−")


def _foretold(row, name):
    return _percent(row[name])


def _off(row, name):
    return f"{row[f'{name}_off']:+.3f} ({row[f'{name}_off_mc']:.3f})"


def _chosen(found):
    rows = []
    for world, row in found.iterrows():
        words = world.split(",")
        exact = ""
        if len(words) == 2 and world.startswith("m "):
            mean, shape = (float(word.split()[1]) for word in words)
            exact = _percent(np.log1p(-fall_of_chosen(mean, shape, at_least=2)))
        ratios = (row[f"{way}_error"] / row[f"{way}_sd"] for way in ("formula", "alike"))
        ways = [f(row, way) for way in ("formula", "alike") for f in (_foretold, _off)]
        rows.append([world, exact, _percent(row["naive"]), *ways, *(f"{r:.2f}" for r in ratios)])
    head = ["people", "exact", "simple change", "formula", "off", "people alike", "off"]
    return lines([*head, "SE/SD formula", "SE/SD alike"], rows)


def _matched(found):
    rows = []
    for world, row in found.iterrows():
        exact = ""
        if world.startswith("supported"):
            exact = f"{foretold(*(float(part.split()[1]) for part in world.split(', '))):+.2f}"
        names = ("everyone", "everyone_bias", "matched", "matched_bias", "slope")
        rows.append([world, exact, *(f"{row[name]:+.3f} ({row[f'{name}_mc']:.3f})" for name in names)])
    assert len(rows) == len(MATCHED)
    head = ["people", "exact, matched", "everyone", "foretold, recent use", "matched"]
    return lines([*head, "foretold, lasting need", "slope"], rows)
