"""Two kinds of support and an offer against a known truth: does each range hold it, and each test its level?

People differ in need (gamma frailty) and live in buildings. A third had one kind of support, a third another
and a third none, by lot, from one of two months on; of those offered, some never take it up, and these are
the needier. Counts are Poisson given all that.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from impact.data.panel import Panel
from impact.did import estimate
from impact.interpret.arms import by_arms
from impact.interpret.assigned import because_offered
from impact.interpret.subsets import of_panel
from impact.numbers.inference import root_by
from impact.results import Effects

PERIODS, STARTS, NAMES = 12, (5, 7), ("none", "advice", "visits")
DID = {"estimator": "etwfe"}
WORLDS = {"no effect": (1.0, 1.0), "alike": (0.7, 0.7), "one does more": (0.9, 0.6)}


def months(people: int) -> pd.DataFrame:
    """One row a person and month."""
    at = np.arange(people * PERIODS)
    return pd.DataFrame({"id": at // PERIODS, "t": at % PERIODS})


def draw(seed: int, world: str, people: int, buildings: int) -> tuple[Panel, np.ndarray]:
    """A panel, and the expected log ratio of each kind over the supported's own time."""
    rng = np.random.default_rng([seed, people, buildings])
    kind = rng.permutation(np.arange(people) % 3)
    home = rng.integers(buildings, size=people)
    need = 0.4 * rng.gamma(2.0, 0.5, people) * rng.gamma(20, 1 / 20, buildings)[home]
    start = np.where(kind > 0, rng.choice(STARTS, people), PERIODS)
    after = np.arange(PERIODS) >= start[:, None]
    ratio = np.array([1.0, *WORLDS[world]])[kind]
    rate = need[:, None] * (1 + 0.2 * np.sin(np.arange(PERIODS) / 2))
    frame = months(people)
    frame["ae"] = rng.poisson(np.where(after, rate * ratio[:, None], rate)).ravel()
    frame["time"], frame["home"] = 1.0, np.repeat(home, PERIODS)
    frame["start"] = np.repeat(np.where(start < PERIODS, start, np.nan), PERIODS)
    frame["arm"] = np.repeat(np.array(NAMES, object)[kind], PERIODS)
    panel = Panel.from_long(
        frame,
        unit="id",
        period="t",
        outcomes=["ae"],
        exposure="time",
        first_treated="start",
        cluster="home",
        arm="arm",
    )
    return panel, np.log(WORLDS[world])


def kinds(seed: int, *, world: str, people: int = 600, buildings: int = 60) -> Mapping[str, object]:
    """Whether the ranges of both kinds and of their comparison hold the truth, and what the test finds."""
    panel, truth = draw(seed, world, people, buildings)
    main = estimate(panel, outcome="ae", **DID)
    found = by_arms(of_panel(panel, did=DID), panel.arm, everyone=main, treated=NAMES[1:])
    each = found["by_arm"].table.query("scale == 'log ratio' and level != 'all'")
    apart = found["arm_against_arm"].table.query("scale == 'log ratio'").iloc[0]
    held = (each["conf_low"].to_numpy() <= truth) & (truth <= each["conf_high"].to_numpy())
    gap = truth[1] - truth[0]
    return {
        "world": world,
        "each": held.mean(),
        "between": apart["conf_low"] <= gap <= apart["conf_high"],
        "rejected": apart["p_value"] < 0.05,
        "error": apart["estimate"] - gap,
        "se": apart["std_error"],
    }


def offer(seed: int, *, people: int = 600) -> Mapping[str, object]:
    """Half are offered support by lot; the needier take it up less; it takes 0.2 events a month away."""
    rng = np.random.default_rng([seed, 7])
    need, offered = 1.0 + rng.gamma(2.0, 0.5, people), np.arange(people) % 2 == 0
    took = offered & (rng.random(people) < np.clip(1.2 - 0.3 * need, 0.05, 0.95))
    after = np.arange(PERIODS) >= 6
    rate = need[:, None] - 0.2 * (took[:, None] & after)
    frame = months(people)
    frame["ae"], frame["time"] = rng.poisson(rate).ravel(), 1.0
    frame["start"] = np.repeat(np.where(offered, 6.0, np.nan), PERIODS)
    panel = Panel.from_long(
        frame, unit="id", period="t", outcomes=["ae"], exposure="time", first_treated="start"
    )
    itt = estimate(panel, outcome="ae", estimator="twfe", family="linear")
    share = took[offered].mean()
    influence = np.where(offered, 100 * (took - share) / offered.sum(), 0.0)[:, None]
    root = root_by(influence, panel.cluster)
    label = pd.DataFrame([{"outcome": "ae", "term": "", "scale": "difference", "unit": "per 100 people"}])
    moved = Effects(
        label, np.array([100 * share]), root.root, root.clusters, root.at_risk - 1, {}, itt.counts.iloc[[0]]
    )
    row = because_offered(itt, {"ae": moved}).table.iloc[0]
    return {
        "held": row["conf_low"] <= -200 <= row["conf_high"],
        "error": row["estimate"] + 200,
        "se": row["std_error"],
    }
