"""Sites that start support: every estimator and every error it has, against a known truth.

Support is given to whole sites (clusters), by lot, so that every method should recover. People differ in
need (gamma frailty), sites differ and drift apart by chance (which is why errors are by site), the effect
takes four months to build up, and with leaving people go faster the needier they are, and half as fast once
they are supported. Counts are Poisson given all that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from time import process_time
from typing import Any

import numpy as np
import pandas as pd
from seeds import rows_of

from impact import did
from impact.data.panel import Panel
from impact.did.bias_reduced import bias_reduced
from impact.did.randomisation import randomisation_test
from impact.errors import ImpactError
from impact.results import Effects, Test

PERIODS, RATIO, BUILD_UP = 15, 0.8, 4
SIZES = (8, 30, 200)
# Months in which support starts, by number of sites.
STARTS = {8: (7, 10), 30: (6, 8, 10), 200: (5, 7, 8, 10, 12)}
ONE = (8,)


@dataclass(frozen=True)
class Design:
    """Who starts when (without starts, by ``STARTS``), what share of sites, and if all their people do."""

    starts: tuple[int, ...] | None = None
    share: float = 0.5
    only_eligible: bool = False


SEVERAL, TOGETHER = Design(), Design(ONE)
FEWER, ELIGIBLE = Design(ONE, share=0.375), Design(ONE, only_eligible=True)


def draw(seed: int, *, sites: int, leaving: bool, ratio: float = RATIO, design: Design = SEVERAL):
    """A panel and its truth, from events expected with and without support over supported person-time."""
    rng = np.random.default_rng([seed, sites, leaving])
    site = np.repeat(np.arange(sites), rng.integers(8, 25, sites))
    n, supported_sites = len(site), round(design.share * sites)
    of_site = np.full(sites, PERIODS)
    of_site[rng.permutation(sites)[:supported_sites]] = np.resize(
        design.starts or STARTS[sites], supported_sites
    )
    start = of_site[site]
    need = rng.gamma(2.0, 0.5, n) * rng.gamma(10.0, 0.1, sites)[site]
    eligible = rng.random(n) < 0.5
    drift = np.cumsum(rng.normal(0, 0.04, (sites, PERIODS)), axis=1)[site]
    season = 0.2 * np.sin(2 * np.pi * np.arange(PERIODS) / 12)
    time = np.ones((n, PERIODS))
    if leaving:
        gone = rng.exponential(1 / (0.04 * (0.3 + 0.7 * need)))
        gone += np.maximum(gone - start, 0)
        time = np.round(30 * np.clip(gone[:, None] - np.arange(PERIODS), 0, 1)) / 30
    since = np.arange(PERIODS) - start[:, None]
    helped = (since >= 0) & (eligible | (not design.only_eligible))[:, None]
    without = 0.25 * need[:, None] * np.exp(drift + season) * time
    with_support = without * np.where(
        helped, np.exp(np.log(ratio) * np.clip(since + 1, 0, BUILD_UP) / BUILD_UP), 1.0
    )
    panel = Panel(
        unit=np.arange(n),
        periods=pd.RangeIndex(PERIODS),
        outcomes={"ae": rng.poisson(with_support).astype(float)},
        exposure={"ae": time},
        start=start.astype(np.int64),
        treated=start < PERIODS,
        covariates=pd.DataFrame({"need": rng.normal(need, 0.3), "eligible": eligible}),
        cluster=site,
        weights=np.ones(n),
        arm=np.where(start < PERIODS, "supported", "control"),
    )
    happened, expected = with_support[helped].sum(), without[helped].sum()
    person_time = time[helped].sum() / 1000
    return panel, {
        "log ratio": np.log(happened / expected),
        "difference": (happened - expected) / person_time,
    }


def by_site(panel: Panel) -> Panel:
    """The panel with one row a site, which is what synthetic difference-in-differences compares."""
    sites, first, codes = np.unique(panel.cluster, return_index=True, return_inverse=True)
    sums = {k: np.zeros((len(sites), PERIODS)) for k in ("outcomes", "exposure")}
    for k, total in sums.items():
        np.add.at(total, codes, getattr(panel, k)["ae"])
    return replace(panel.subset(first), **{k: {"ae": total} for k, total in sums.items()})


_UNSAID = ("subgroup", "eligible", "inference")


@dataclass(frozen=True)
class Method:
    """An estimator with its arguments, the errors it is given, and where and how often it is tried."""

    estimator: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    scale: str = "difference"
    design: Design = SEVERAL
    error: str = "default"
    sites: tuple[int, ...] = SIZES
    leaving: tuple[bool, ...] = (False, True)
    most: int = 400

    @property
    def name(self) -> str:
        words = [f"{k}={v!r}" for k, v in self.arguments.items() if k not in _UNSAID]
        return f"{self.estimator}({', '.join(words)})"

    def fit(self, panel: Panel) -> Effects:
        """What the estimator gives, before it is averaged."""
        panel = by_site(panel) if self.estimator == "synthetic_did" else panel
        return did.ESTIMATORS[self.estimator](panel, outcome="ae", **self.arguments)

    def own(self, effects: Effects) -> Effects:
        """The effect over the supported person-time, on the model's own scale."""
        effects = did.summarise(effects)
        return effects.select(effects.labels["scale"] == self.scale)


def _of_effects(effects: Effects) -> dict[str, float]:
    row = effects.table.iloc[0]
    return {k: float(row[k]) for k in ("estimate", "std_error", "conf_low", "conf_high", "p_value")}


def _of_test(test: Test) -> dict[str, float]:
    names = ("estimate", "conf_low", "conf_high", "p_value")
    return {k: float(getattr(test, k)) for k in names} | {"std_error": float("nan")}


def analysed(method: Method, panel: Panel, fit: Effects, seed: int) -> dict[str, float]:
    """Estimate, error, interval and p-value, with the errors that are asked for."""
    if method.error == "CR2":
        return _of_effects(method.own(bias_reduced(fit)))
    if method.error == "CR3":
        return _of_effects(did.leave_one_out(panel, lambda p: method.own(method.fit(p))))
    if method.error == "wild":
        return _of_test(did.wild_bootstrap(method.own(fit), draws=999, seed=seed))
    if method.error == "randomisation":
        effect = "ratio" if method.scale == "log ratio" else "difference"
        how = {"effect": effect, "seed": seed, "assignment": "randomised", **method.arguments}
        return _of_test(randomisation_test(panel, outcome="ae", estimator=method.estimator, **how))
    return _of_effects(method.own(fit))


def _methods() -> list[Method]:
    log, linear = {"scale": "log ratio"}, {"family": "linear"}
    poisson, person = {"family": "poisson"}, {"effects": "person"}
    triple = {"subgroup": "eligible", "eligible": True}
    plain = [
        Method("two_by_two", poisson, design=TOGETHER, **log),
        Method("two_by_two", poisson | person, design=TOGETHER, **log),
        Method("two_by_two", linear, design=TOGETHER),
        Method("two_by_two", linear | person, design=TOGETHER),
        Method("twfe", poisson, design=TOGETHER, **log),
        Method("twfe", linear, design=TOGETHER),
        Method("triple_difference", triple | poisson, design=ELIGIBLE, **log),
        Method("triple_difference", triple | linear, design=ELIGIBLE),
        Method("callaway_santanna"),
        Method("callaway_santanna", {"covariates": ("need",)}),
        Method("sun_abraham"),
        Method("imputation"),
        Method("etwfe", poisson, **log),
        Method("etwfe", poisson | {"effects": "cohort"}, **log),
        Method("etwfe", linear),
        Method("stacked", poisson, **log),
        Method("stacked", linear),
    ]
    # With as many supported sites as controls nothing can be pretended, so fewer are supported here.
    synthetic = [
        Method("synthetic_did", {"inference": how}, design=FEWER, error=how, leaving=(False,), most=most)
        for how, most in (("jackknife", 400), ("placebo", 100))
    ]
    found = plain + synthetic
    for error, where in FEW.items():
        for sites, most, leaving, names in where:
            chosen = [m for m in plain if m.name in names]
            assert len(chosen) == len(names)
            found += [replace(m, error=error, sites=(sites,), most=most, leaving=leaving) for m in chosen]
    return found


BOTH, LEAVE, STAY = (False, True), (True,), (False,)
_PAIR = ("two_by_two(family='poisson', effects='person')", "callaway_santanna()")
_LINEAR = ("sun_abraham()", "etwfe(family='linear')")
_REGRESSIONS = ("twfe(family='poisson')", "twfe(family='linear')", *_LINEAR)
_CHOSEN = (
    *_PAIR,
    *_REGRESSIONS[:2],
    "two_by_two(family='linear', effects='person')",
    "triple_difference(family='poisson')",
    "triple_difference(family='linear')",
    "imputation()",
    "etwfe(family='poisson')",
    "stacked(family='poisson')",
)
# Errors for few sites: with which numbers of sites, up to how many draws, who leaves, and for which methods.
FEW: dict[str, list[tuple[int, int, tuple[bool, ...], tuple[str, ...]]]] = {
    "CR2": [(8, 400, BOTH, _REGRESSIONS), (30, 400, BOTH, _REGRESSIONS)],
    "CR3": [(8, 200, BOTH, _CHOSEN), (30, 200, LEAVE, _PAIR)],
    "wild": [(8, 400, BOTH, (*_CHOSEN, *_LINEAR)), (30, 400, LEAVE, (*_PAIR, *_REGRESSIONS))],
    "randomisation": [(8, 80, STAY, _REGRESSIONS[1:2]), (8, 40, STAY, _PAIR[:1])],
}
METHODS = _methods()


def replicate(seed: int, *, sites: int, leaving: bool, ratio: float, methods: Sequence[Method]) -> list[dict]:
    """Every method on one draw: one row each, with its truth, or why there is no estimate."""
    drawn, fits, rows = {}, {}, []
    for method in methods:
        if seed >= method.most:
            continue
        if method.design not in drawn:
            drawn[method.design] = draw(seed, sites=sites, leaving=leaving, ratio=ratio, design=method.design)
        panel, truth = drawn[method.design]
        row = {"method": method.name, "error": method.error, "scale": method.scale}
        row |= {"sites": sites, "leaving": leaving, "ratio": ratio, "seed": seed, "refused": ""}
        began, key = process_time(), (method.name, method.error if method.design is FEWER else "")
        try:
            if key not in fits:
                fits[key] = method.fit(panel)
            row |= {"target": truth[method.scale], **analysed(method, panel, fits[key], seed)}
        except ImpactError as error:
            row["refused"] = str(error)
        rows.append(row | {"seconds": process_time() - began})
    return rows


def replicates(
    draws: Mapping[int, int], *, methods: Sequence[Method] = METHODS, ratios=(RATIO, 1.0), workers: int = 1
) -> pd.DataFrame:
    """Replicates of the seeds 0, 1, ... for each number of sites, with and without leaving and effect."""
    found = []
    for sites, leaving, ratio in product(draws, (False, True), ratios):
        here = [m for m in methods if sites in m.sites and leaving in m.leaving]
        one = partial(replicate, sites=sites, leaving=leaving, ratio=ratio, methods=here)
        found += rows_of(one, draws[sites], workers=workers)
    return pd.DataFrame(found)


def summary(results: pd.DataFrame) -> pd.DataFrame:
    """Bias, coverage and size of each method with their Monte Carlo errors, and the share refused."""
    keys = ["sites", "leaving", "method", "scale", "error"]
    there = results["refused"] == ""
    inside = (results["conf_low"] <= results["target"]) & (results["target"] <= results["conf_high"])
    effect, none = there & (results["ratio"] != 1), there & (results["ratio"] == 1)
    frame = results.assign(
        off=(results["estimate"] - results["target"]).where(effect),
        se=results["std_error"].where(effect),
        truth=results["target"].where(effect),
        inside=inside.astype(float).where(effect & results["conf_low"].notna()),
        # An exact test may reach the level itself.
        rejected=(results["p_value"] <= 0.05 + 1e-9).astype(float).where(none & results["p_value"].notna()),
        refused=~there,
    )
    out = frame.groupby(keys, sort=False).agg(
        truth=("truth", "mean"),
        bias=("off", "mean"),
        sd=("off", "std"),
        se=("se", "mean"),
        coverage=("inside", "mean"),
        size=("rejected", "mean"),
        refused=("refused", "mean"),
        draws=("off", "count"),
        nulls=("rejected", "count"),
        seconds=("seconds", "mean"),
    )
    out["bias_error"] = out["sd"] / np.sqrt(out["draws"])
    # The errors under the level that is claimed: at a coverage of 1 the estimated one would be 0.
    out["coverage_error"] = np.sqrt(0.95 * 0.05 / out["draws"])
    out["size_error"] = np.sqrt(0.95 * 0.05 / out["nulls"])
    return out.reset_index()
