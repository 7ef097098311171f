"""Matched month by month, then compared before and after, where events are rare.

People differ in stable need (gamma frailty) and use services more in winter. Twelve months have some fifteen
people each who begin support, and each is paired with someone never supported. Who dies (the needier sooner)
ends there. Support multiplies the rate by 0.6 in the first six months of starts and by 0.9 in the later ones.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from impact.data.panel import Panel

PEOPLE, MONTHS, YEAR = 4000, 36, 12
STARTS = np.arange(YEAR, 2 * YEAR)
SHAPE, EARLY, LATE, DEATH = 1.0, 0.6, 0.9, 0.008
# What decides who begins in a month: need that nobody sees, and pairs are made blindly; or the events of the
# year before, of which those of a pair have the same number.
WORLDS = ("need", "recent use")


def draw(world: str, rate: float, seed: int) -> tuple[Panel, float]:
    """Return the panel of the pairs, and the logarithm of the ratio that holds in its supported time."""
    rng = np.random.default_rng([seed, WORLDS.index(world)])
    need = rng.gamma(SHAPE, 1 / SHAPE, (PEOPLE, 1))
    without = rate * need * np.exp(0.4 * np.cos(2 * np.pi * np.arange(MONTHS) / YEAR))
    without = without * (np.arange(MONTHS) < _death(rng, need)[:, None])
    usual = rng.poisson(without)
    start, rows = np.full(PEOPLE, MONTHS), []
    for month in STARTS:
        year = usual[:, month - YEAR : month].sum(1)
        wish = np.exp(0.8 * np.log(need[:, 0]) if world == "need" else 0.8 * np.log1p(year))
        able = (start == MONTHS) & (without[:, month] > 0)
        begins = able & (rng.random(PEOPLE) < 15 * wish / wish[able].sum())
        start[begins] = month
        rows.append((month, year * (world == "recent use"), np.flatnonzero(begins)))
    pairs = _pairs(rng, rows, start, without)
    ratio = np.where(start < STARTS.mean(), EARLY, LATE)[:, None]
    with_support = np.where(np.arange(MONTHS) >= start[:, None], ratio, 1.0) * without
    counts = np.where(np.arange(MONTHS) >= start[:, None], rng.poisson(with_support), usual)
    return _panel(pairs, start, counts, without), _truth(pairs, start, with_support, without)


def _death(rng: np.random.Generator, need: np.ndarray) -> np.ndarray:
    return STARTS[0] + rng.exponential(1 / (DEATH * need[:, 0]))


def _pairs(rng, rows, start, without) -> np.ndarray:
    """Rows of supported, control and month: controls who are alike in the month, each used once."""
    free, out = start == MONTHS, []
    for month, alike, begins in rows:
        for person in begins.tolist():
            same = np.flatnonzero(free & (without[:, month] > 0) & (alike == alike[person]))
            if len(same):
                control = rng.choice(same)
                free[control] = False
                out.append((person, control, month))
    return np.array(out)


def _truth(pairs, start, with_support, without) -> float:
    who = pairs[:, 0]
    seen = (np.arange(MONTHS) >= start[who, None]) & (np.arange(MONTHS) < start[who, None] + YEAR)
    return float(np.log((with_support[who] * seen).sum() / (without[who] * seen).sum()))


def _panel(pairs, start, counts, without) -> Panel:
    at, n = np.concatenate([pairs[:, 0], pairs[:, 1]]), len(pairs)
    supported = np.arange(2 * n) < n
    panel = Panel(
        unit=at,
        periods=pd.RangeIndex(MONTHS),
        outcomes={"events": counts[at].astype(float)},
        exposure={"events": (without[at] > 0).astype(float)},
        start=np.where(supported, start[at], MONTHS),
        treated=supported,
        covariates=pd.DataFrame(index=range(2 * n)),
        cluster=np.tile(np.arange(n), 2),
        weights=np.ones(2 * n),
        arm=np.where(supported, "supported", "control"),
        experiment=np.tile(pairs[:, 2], 2),
    )
    return panel.followed_for(YEAR)
