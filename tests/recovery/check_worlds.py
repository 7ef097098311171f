"""What each analysis would have claimed where something is wrong with the comparison, and who warns of it.

People live in buildings; some of them are supported from one of two months on. In each world but the first
one thing is not as the analysis takes it to be. Counts are Poisson given need (gamma).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product
from time import process_time

import numpy as np
import pandas as pd
from seeds import rows_of

from impact import did
from impact.data.panel import Panel
from impact.disclosure import release
from impact.interpret import checks
from impact.pages.answers import answers
from impact.pages.evidence import checks_on, evidence
from impact.pages.verdicts import verdicts

PEOPLE, BUILDINGS, PERIODS, STARTS = 1200, 60, 20, (10, 12)
RATIO = 0.75
WORLDS = {
    "clean": "nothing is wrong; one in ten dies or moves, whoever they are",
    "crisis": "people are offered support in a crisis, which doubles their use in the two months before it",
    "trend": "use of those to be supported falls from five months before support on",
    "loss": "the needier leave sooner, and with support three times as often as without",
    "spillover": "controls who live with supported people get half of the effect",
    "one building": "in two large buildings of the supported a clinic opens when support begins",
}


def draw(world: str, seed: int, ratio: float):
    """A panel, and the true logarithm of the ratio."""
    rng = np.random.default_rng([seed, list(WORLDS).index(world)])
    size = rng.dirichlet(np.full(BUILDINGS, 4.0))
    home = rng.choice(BUILDINGS, PEOPLE, p=size)
    # In half of the buildings four of five are supported, in the others nobody.
    helped = (home < BUILDINGS // 2) & (rng.random(PEOPLE) < 0.8)
    start = np.where(helped, rng.choice(STARTS, PEOPLE), PERIODS)
    first = rng.choice(STARTS, PEOPLE)
    since = np.arange(PERIODS) - start[:, None]
    need = rng.gamma(2.0, 0.5, PEOPLE) * rng.gamma(50.0, 0.02, BUILDINGS)[home]
    season = 1 + 0.15 * np.sin(2 * np.pi * np.arange(PERIODS) / 12)
    usual = 0.2 * need[:, None] * season * np.ones((PEOPLE, PERIODS))
    without = usual.copy()
    if world == "crisis":
        without[(since >= -2) & (since < 0)] *= 2.0
    if world == "trend":
        # The fall goes on as it began, and no further after ten months.
        without *= np.where(helped[:, None], 1 - 0.05 * np.clip(since + 6, 0, 10), 1.0)
    if world == "one building":
        large = np.argsort(-np.bincount(home[helped], minlength=BUILDINGS))[:2]
        without[np.isin(home, large)[:, None] & (since >= 0)] *= 0.15
    with_support = np.where(since >= 0, ratio, 1.0) * without
    if world == "spillover":
        near = ~helped & (home < BUILDINGS // 2)
        late = near[:, None] & (np.arange(PERIODS) >= first[:, None])
        with_support = np.where(late, (1 + ratio) / 2 * with_support, with_support)
    chance = np.full((PEOPLE, PERIODS), 0.007)
    if world == "loss":
        chance = 0.01 * need[:, None] * np.where(since >= 1, 3.0, 1.0)
    left = np.minimum.accumulate(rng.random((PEOPLE, PERIODS)) > chance, axis=1).astype(float)
    time = np.column_stack([np.ones(PEOPLE), left[:, :-1]])
    panel = Panel(
        unit=np.arange(PEOPLE),
        periods=pd.RangeIndex(PERIODS),
        outcomes={"ae": rng.poisson(with_support) * time},
        exposure={"ae": time},
        start=start.astype(np.int64),
        treated=start < PERIODS,
        covariates=pd.DataFrame({"building_id": home}),
        cluster=home,
        weights=np.ones(PEOPLE),
        arm=np.where(start < PERIODS, "supported", "control"),
        ended=np.where(time[:, -1] > 0, "", "move"),
    )
    supported = (since >= 0) * time
    truth = np.log((with_support * supported).sum() / (without * supported).sum())
    return panel, float(truth)


def before_and_after(panel: Panel) -> dict[str, float]:
    """The change among the supported alone: a row of them as if it were all of the study."""
    people = panel.subset(panel.treated)
    since = np.arange(PERIODS) - people.start[:, None]
    y, time = people.outcomes["ae"], people.exposure["ae"]
    sums = [np.array([(v * at).sum(1) for v in (y, time)]) for at in (since < 0, since >= 0)]
    (before, months_before), (after, months_after) = sums
    middle = np.log(after.sum() / months_after.sum()) - np.log(before.sum() / months_before.sum())
    own = [n / n.sum() - m / m.sum() for n, m in ((after, months_after), (before, months_before))]
    error = np.sqrt(((own[0] - own[1]) ** 2).sum())
    return {"estimate": middle, "conf_low": middle - 1.96 * error, "conf_high": middle + 1.96 * error}


def replicate(seed: int, *, world: str, ratio: float) -> list[dict]:
    """Every analysis of one draw, and what the batch says of the main one."""
    panel, truth = draw(world, seed, ratio)
    plan = {"did": {"estimator": "etwfe"}}
    began = process_time()
    found = checks(None, panel, outcome="ae", plan=plan)
    seconds = process_time() - began
    effects = did.estimate(panel, outcome="ae", **plan["did"])
    page = release({"effects": effects, "checks": found}, "hes")
    judged = {v.check: v for v in verdicts(page["checks"])}
    answer = answers(page["effects"])[0]
    word = evidence(answer, checks_on(page))
    base = {"world": world, "ratio": ratio, "seed": seed, "truth": truth, "word": word}
    base |= {"seconds": seconds, "clear": answer.strength in ("clear", "very clear")}
    majors = [v for v in judged.values() if not v.minor]
    base["warned"] = any(v.agrees is False for v in majors)
    base["warned_at_all"] = any(v.agrees is False for v in judged.values())
    rows = [{"analysis": "before and after", "agrees": None, **before_and_after(panel)}]
    for row in found.table.to_dict("records"):
        if row["scale"]:
            agrees = judged[row["check"]].agrees if row["check"] in judged else None
            rows.append(
                {"analysis": row["check"], "agrees": agrees}
                | {k: row[k] for k in ("estimate", "conf_low", "conf_high")}
            )
    return [base | row for row in rows]


def replicates(
    draws: int, *, worlds: Sequence[str] = tuple(WORLDS), ratios=(RATIO, 1.0), workers: int = 1
) -> pd.DataFrame:
    """Replicates of the seeds 0, 1, ... of each world, with an effect and without one."""
    found = []
    for world, ratio in product(worlds, ratios):
        found += rows_of(partial(replicate, world=world, ratio=ratio), draws, workers=workers)
    return pd.DataFrame(found)


def summary(results: pd.DataFrame) -> pd.DataFrame:
    """Bias, coverage and how often there is a clear change, by world, effect and analysis."""
    low, high, truth = results["conf_low"], results["conf_high"], results["truth"]
    nothing = results["analysis"] == "pretend"
    frame = results.assign(
        truth=truth.where(~nothing, 0.0),
        off=(results["estimate"] - truth.where(~nothing, 0.0)),
        inside=((low <= truth.where(~nothing, 0.0)) & (truth.where(~nothing, 0.0) <= high)).astype(float),
        found=((low > 0) | (high < 0)).astype(float),
        disagrees=(results["agrees"] == False).astype(float),  # noqa: E712
    )
    out = frame.groupby(["world", "ratio", "analysis"], sort=False).agg(
        truth=("truth", "mean"),
        bias=("off", "mean"),
        coverage=("inside", "mean"),
        found=("found", "mean"),
        disagrees=("disagrees", "mean"),
        draws=("off", "count"),
    )
    return out.reset_index()


def warnings(results: pd.DataFrame) -> pd.DataFrame:
    """How often the batch warns, and which word stands on the page, by world and effect."""
    once = results[results["analysis"] == "planned"].copy()
    words = ("Moderate evidence", "Weak evidence", "Inconclusive")
    for word in words:
        once[word] = (once["word"] == word).astype(float)
    kept = ["clear", "warned", "warned_at_all", *words, "seconds"]
    out = once.groupby(["world", "ratio"], sort=False)[kept].mean()
    return out.assign(draws=once.groupby(["world", "ratio"], sort=False).size()).reset_index()
