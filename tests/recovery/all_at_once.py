"""What each analysis would have claimed of a study in which everything goes wrong at once.

Half of those whose last year held two contacts or more are taken into support (regression to the mean), in
three of five buildings; the needier die and leave sooner, and of those with support three times as many leave
(death and loss); and who lives in a building where support is given and has none gets half of its effect
(spillover). Counts are Poisson given need (gamma), which lasts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from seeds import rows_of

from impact import did
from impact.data import Cohort
from impact.data.panel import Panel
from impact.interpret.matched_comparison import compare, matched
from impact.match import onto

PEOPLE, BUILDINGS, PERIODS, YEAR = 4000, 60, 30, 12
ROUNDS = np.array([12, 14, 16])
RATIOS = (1.0, 0.8)

ANALYSES = {
    "before and after": "the supported alone",
    "before and after, with controls": "less the change in everyone else, from a drawn date on",
    "did": "difference-in-differences (`etwfe`) as by default",
    "did, anticipation": "the three months before support left out",
    "did, censoring": "those who stay weighed for those who moved or were lost",
    "matched": "nearest neighbours on the year before, with a caliper",
    "matched, no neighbours": "the same without people who live where support is given",
    "matched, weighed, no neighbours": "these pairs by `stacked`, weighed for those who moved or were lost",
}


@dataclass(frozen=True)
class World:
    """Counts and time at risk by month, who is supported from when, and the true logarithm of the ratio."""

    counts: np.ndarray
    time: np.ndarray
    start: np.ndarray
    building: np.ndarray
    ended: np.ndarray
    truth: float

    @property
    def supported(self):
        """Whether each person had support."""
        return self.start < PERIODS


def draw(seed: int, ratio: float) -> World:
    """One study."""
    rng = np.random.default_rng(seed)
    building = rng.integers(BUILDINGS, size=PEOPLE)
    need = rng.gamma(0.8, 1 / 0.8, PEOPLE) * rng.gamma(50.0, 0.02, BUILDINGS)[building]
    usual = need[:, None] / YEAR * (1 + 0.15 * np.sin(2 * np.pi * np.arange(PERIODS) / YEAR))
    counts = rng.poisson(usual)
    # Everyone's turn comes in one of three months; who is picked then depends on the year before it.
    turn = rng.choice(ROUNDS, PEOPLE)
    sums = np.cumsum(np.column_stack([np.zeros(PEOPLE, int), counts]), axis=1)
    who = np.arange(PEOPLE)
    unwell = sums[who, turn] - sums[who, turn - YEAR] >= 2
    offered = building < 0.6 * BUILDINGS
    start = np.where(offered & unwell & (rng.random(PEOPLE) < 0.5), turn, PERIODS)
    late = np.arange(PERIODS) >= turn[:, None]
    own = np.where(start < PERIODS, ratio, np.where(offered, (1 + ratio) / 2, 1.0))
    rates = usual * np.where(late, own[:, None], 1.0)
    counts = np.where(late, rng.poisson(rates), counts)
    # Nobody leaves before their turn, so that everyone can be asked.
    leaving = 0.008 * need * np.where(start < PERIODS, 3.0, 1.0)
    dying = 0.004 * need
    gone = late & (rng.random((PEOPLE, PERIODS)) < np.clip(leaving + dying, 0, 0.9)[:, None])
    present = ~np.column_stack([np.zeros(PEOPLE, bool), np.logical_or.accumulate(gone, axis=1)[:, :-1]])
    dead = rng.random(PEOPLE) < dying / (leaving + dying)
    ended = np.where(gone.any(1), np.where(dead, "death", "move"), "")
    time = present.astype(float)
    mine = (np.arange(PERIODS) >= start[:, None]) * time
    truth = float(np.log((rates * mine).sum() / (usual * mine).sum()))
    return World(counts * time, time, start, building, ended, truth)


def panel_of(world: World) -> Panel:
    """All months, by calendar."""
    return Panel(
        unit=np.arange(PEOPLE),
        periods=pd.RangeIndex(PERIODS),
        outcomes={"ae": world.counts},
        exposure={"ae": world.time},
        start=world.start.astype(np.int64),
        treated=world.supported,
        covariates=pd.DataFrame({"building_id": world.building}),
        cluster=world.building,
        weights=np.ones(PEOPLE),
        arm=np.where(world.supported, "supported", "control"),
        ended=world.ended,
    )


def around_start(world: World, seed: int) -> tuple[Panel, Cohort]:
    """A year before and after each start, or a date drawn from the starts; and the same to be matched."""
    rng = np.random.default_rng([seed, 1])
    starts = rng.choice(world.start[world.supported], PEOPLE)
    date = np.where(world.supported, world.start, starts)[:, None]
    there = world.time[np.arange(PEOPLE), date[:, 0]] > 0
    since = np.arange(PERIODS) - date
    sums = [
        [(values * at).sum(1) for at in ((since < 0) & (since >= -YEAR), (since >= 0) & (since < YEAR))]
        for values in (world.counts, world.time)
    ]
    panel = panel_of(world)
    year = Panel(
        unit=panel.unit,
        periods=pd.RangeIndex(-1, 1),
        outcomes={"ae": np.column_stack(sums[0]).astype(float)},
        exposure={"ae": np.column_stack(sums[1])},
        start=np.where(world.supported, 1, 2),
        treated=world.supported,
        covariates=panel.covariates,
        cluster=panel.cluster,
        weights=panel.weights,
        arm=panel.arm,
        clock="event",
        step="year",
    ).subset(there)
    frame = pd.DataFrame(
        {
            "person": np.arange(PEOPLE),
            "treated": world.supported,
            "date": date[:, 0],
            "prior_ae": sums[0][0],
            "building_id": world.building,
            "ae": sums[0][1],
            "months": sums[1][1],
        }
    )
    return year, Cohort.from_frame(
        frame[there], treated="treated", outcomes=["ae"], exposure="months", person_id="person"
    )


def simple_change(year: Panel) -> dict[str, float]:
    """The change of the supported alone, errors by person."""
    people = year.subset(year.treated)
    (before, after), (months, later) = people.outcomes["ae"].T, people.exposure["ae"].T
    middle = np.log(after.sum() / later.sum()) - np.log(before.sum() / months.sum())
    own = after / after.sum() - later / later.sum() - before / before.sum() + months / months.sum()
    wide = 1.96 * np.sqrt((own**2).sum())
    return {"estimate": middle, "conf_low": middle - wide, "conf_high": middle + wide}


def pretended(panel: Panel) -> float:
    """The p-value of an effect of support pretended to begin half a year earlier."""
    found = did.placebo_starts(panel, outcome="ae", estimator="etwfe", shift=6).table
    return float(found[found["scale"] == "log ratio"]["p_value"].iloc[0])


def replicate(seed: int, *, ratio: float) -> list[dict]:
    """Every analysis of one study, as the logarithm of a ratio with its 95% range."""
    world = draw(seed, ratio)
    panel, (year, cohort) = panel_of(world), around_start(world, seed)
    plan = {"baseline": {"outcomes": ["ae"], "months": YEAR}, "people": cohort}
    pairs = {"method": "nearest", "on": ["prior_ae"], "exact": ["date"], "caliper": 0.2}
    apart = matched(cohort, matching={**pairs, "apart": "building_id"}, **plan)
    kept = did.censoring_weights(onto(apart, panel))
    made = {
        "before and after, with controls": did.summarise(did.two_by_two(year, outcome="ae")),
        "did": did.estimate(panel, outcome="ae", estimator="etwfe"),
        "did, anticipation": did.estimate(panel, outcome="ae", estimator="etwfe", anticipation=3),
        "did, censoring": did.estimate(did.censoring_weights(panel), outcome="ae", estimator="etwfe"),
        "matched": compare(matched(cohort, matching=pairs, **plan), outcome="ae"),
        "matched, no neighbours": compare(apart, outcome="ae"),
        "matched, weighed, no neighbours": did.estimate(kept, outcome="ae", estimator="stacked"),
    }
    rows = {"before and after": simple_change(year)}
    for name, effects in made.items():
        table = effects.table
        rows[name] = table[table["scale"] == "log ratio"].iloc[0][["estimate", "conf_low", "conf_high"]]
    base = {"ratio": ratio, "seed": seed, "truth": world.truth, "pretended": pretended(panel)}
    return [base | {"analysis": name, **rows[name]} for name in ANALYSES]


def replicates(draws: int, *, ratios: Sequence[float] = RATIOS, workers: int = 1) -> pd.DataFrame:
    """Replicates of the seeds 0, 1, ..., without an effect and with one."""
    every = [rows_of(partial(replicate, ratio=ratio), draws, workers=workers) for ratio in ratios]
    return pd.DataFrame([row for rows in every for row in rows])


def summary(results: pd.DataFrame) -> pd.DataFrame:
    """What each analysis says on average, and how often it claims a fall or a rise and holds the truth."""
    low, high, truth = results["conf_low"], results["conf_high"], results["truth"]
    frame = results.assign(
        off=results["estimate"] - truth,
        fall=(high < 0).astype(float),
        rise=(low > 0).astype(float),
        inside=((low <= truth) & (truth <= high)).astype(float),
        warned=(results["pretended"] < 0.05).astype(float),
    )
    by = frame.groupby(["ratio", "analysis"], sort=False)
    out = by[["truth", "estimate", "off", "fall", "rise", "inside", "warned"]].mean()
    return out.assign(draws=by.size(), off_error=by["off"].std() / np.sqrt(by.size())).reset_index()
