"""Effects by deprivation against a known truth: the test that they are alike, and the line through them.

People of five levels of deprivation live in buildings in which levels mix; the more deprived are needier,
and people differ in need besides (gamma frailty). Half of them are supported, by lot, from one of three
months on; the needier leave sooner. Counts are Poisson given all that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from seeds import rows_of

from impact.data import Cohort
from impact.data.panel import Panel
from impact.did import estimate
from impact.interpret.equity import by_groups
from impact.interpret.matched_comparison import compare, matched
from impact.interpret.subsets import LEFT_OUT, of_panel, of_people
from impact.numbers.ridit import slope_weights

PERIODS, STARTS = 15, (6, 8, 10)
SHARES = (0.35, 0.30, 0.20, 0.10, 0.05)
NEED = (1.4, 1.2, 1.0, 0.8, 0.7)
WORLDS: dict[str, tuple[float, ...]] = {
    "no effect": (1.0,) * 5,
    "the same ratio": (0.8,) * 5,
    "more for the deprived": (0.6, 0.7, 0.8, 0.9, 1.0),
}
DID = {"etwfe": {"estimator": "etwfe"}, "callaway_santanna": {"estimator": "callaway_santanna"}}
MATCHED: dict[str, dict[str, float]] = {"matched": {}, "matched, caliper 0.2": {"caliper": 0.2}}
METHODS = (*DID, *MATCHED)
GROUPS = {"fifth": ()}


def draw(seed: int, world: str, people: int, buildings: int | None):
    """A panel, and by level events expected with and without support, and their time."""
    rng = np.random.default_rng([seed, people, buildings or 0])
    level = rng.choice(5, people, p=SHARES)
    home = np.arange(people) if buildings is None else rng.integers(buildings, size=people)
    of_home = np.ones(people) if buildings is None else rng.gamma(20, 1 / 20, buildings)[home]
    need = 0.15 * np.array(NEED)[level] * rng.gamma(2.0, 0.5, people) * of_home
    start = np.where(rng.random(people) < 0.5, rng.choice(STARTS, people), PERIODS)
    time = np.arange(PERIODS)
    last = rng.geometric(np.clip(0.02 * need / need.mean(), 1e-6, 0.5))
    at_risk = time < np.maximum(last, 3)[:, None]
    after = time >= start[:, None]
    without = need[:, None] * (1 + 0.2 * np.sin(time / 2)) * at_risk
    with_support = np.where(after, without * np.array(WORLDS[world])[level][:, None], without)
    counts = rng.poisson(with_support)
    frame = pd.DataFrame(
        {
            "id": np.repeat(np.arange(people), PERIODS),
            "t": np.tile(time, people),
            "time": at_risk.ravel().astype(float),
            "ae": counts.ravel(),
            "start": np.repeat(np.where(start < PERIODS, start, np.nan), PERIODS),
            "fifth": np.repeat(level + 1, PERIODS),
            "home": np.repeat(home, PERIODS),
        }
    )
    panel = Panel.from_long(
        frame,
        unit="id",
        period="t",
        outcomes=["ae"],
        exposure="time",
        first_treated="start",
        covariates=["fifth"],
        cluster="home",
    )
    supported = after & (start < PERIODS)[:, None] & at_risk
    truth = pd.DataFrame(
        {
            "with": [(with_support * supported)[level == i].sum() for i in range(5)],
            "without": [(without * supported)[level == i].sum() for i in range(5)],
            "time": [supported[level == i].sum() for i in range(5)],
        },
        index=[str(i + 1) for i in range(5)],
    )
    return panel, truth


def follow_up(panel: Panel, seed: int) -> Cohort:
    """The year after support began, or a drawn month, with what was used before it: to be matched."""
    rng = np.random.default_rng([seed, 1])
    start = np.where(panel.treated, panel.start, rng.choice(STARTS, panel.n))[:, None]
    after = np.arange(PERIODS) >= start
    time, events = panel.exposure["ae"], panel.outcomes["ae"]
    frame = pd.DataFrame(
        {
            "treated": panel.treated,
            "prior": (events * ~after).sum(1),
            "fifth": panel.covariates["fifth"],
            "ae": (events * after).sum(1),
            "months": (time * after).sum(1),
        }
    )
    seen = (frame["months"] > 0).to_numpy()
    return Cohort.from_frame(frame[seen], treated="treated", outcomes=["ae"], exposure="months")


def one(
    seed: int, *, world: str, people: int, buildings: int | None, method: str
) -> list[Mapping[str, object]]:
    """The tests and the lines of one draw, each with its truth."""
    panel, truth = draw(seed, world, people, buildings)
    if method in MATCHED:
        cohort = follow_up(panel, seed)
        plan = {
            "baseline": {"outcomes": ["ae"], "months": 12},
            "matching": {"method": "nearest", "on": ["prior"], "exact": ["fifth"], **MATCHED[method]},
        }
        main = compare(matched(cohort, **plan, people=cohort), outcome="ae")
        found = by_groups(of_people(cohort, **plan, compared={}), everyone=main, groups=GROUPS)
    else:
        did = DID[method]
        found = by_groups(
            of_panel(panel, did=did), everyone=estimate(panel, outcome="ae", **did), groups=GROUPS
        )
    out = []
    for scale in ("difference", "log ratio"):
        row = {"world": world, "people": people, "buildings": buildings or people, "method": method}
        test = found.get(f"alike_fifth_{scale.replace(' ', '_')}")
        row |= {"scale": scale, "p": np.nan if test is None else test.p_value}
        lines = found["trends"].table.set_index("scale") if "trends" in found else pd.DataFrame()
        if scale in lines.index:
            line = lines.loc[scale]
            row |= {
                "estimate": line["estimate"],
                "se": line["std_error"],
                "truth": _line(found, truth, scale),
            }
            row["covered"] = line["conf_low"] <= row["truth"] <= line["conf_high"]
        out.append(row)
    return out


def _line(found, truth: pd.DataFrame, scale: str) -> float:
    """The line through what is true of the groups that were compared."""
    effects = found["by_group"]
    labels = effects.labels
    mine = (labels["covariate"] == "fifth") & (labels["scale"] == scale) & (labels["level"] != LEFT_OUT)
    first, last = slope_weights(effects.counts["persons"][mine])
    own = truth.loc[labels["level"][mine]]
    if scale == "difference":
        true = 1000 * (own["with"] - own["without"]) / own["time"]
    else:
        true = np.log(own["with"] / own["without"])
    return float((first - last) @ true)


def replicates(draws: int, *, designs: Sequence[Mapping[str, object]], workers: int = 1) -> pd.DataFrame:
    """All draws of all designs, one row a scale."""
    rows: list[Mapping[str, object]] = []
    for design in designs:
        rows += rows_of(partial(one, **design), draws, workers=workers)
    return pd.DataFrame(rows)


def designs(*, people: Sequence[tuple[int, int | None]], methods: Sequence[str], worlds=tuple(WORLDS)):
    """Every world, size and method."""
    return [
        {"world": world, "people": n, "buildings": homes, "method": method}
        for (n, homes), method, world in product(people, methods, worlds)
    ]


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Rejection rate of the test, bias and coverage of the line, with Monte Carlo errors."""
    keys = ["people", "buildings", "method", "world", "scale"]
    known = found.dropna(subset=["estimate"]).assign(
        bias=lambda f: f["estimate"] - f["truth"], rejected=lambda f: (f["p"] < 0.05).astype(float)
    )
    by = known.assign(covered=known["covered"].astype(float)).groupby(keys, sort=False)
    out = by.agg(
        draws=("p", "size"),
        rejected=("rejected", "mean"),
        truth=("truth", "mean"),
        bias=("bias", "mean"),
        sd=("bias", "std"),
        se=("se", "mean"),
        coverage=("covered", "mean"),
    )
    out["bias_error"] = out["sd"] / np.sqrt(out["draws"])
    for name in ("rejected", "coverage"):
        out[f"{name}_error"] = np.sqrt(out[name] * (1 - out[name]) / out["draws"])
    return out.reset_index()
