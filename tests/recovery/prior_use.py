"""Selection on earlier use, on hidden need, and crises that pass: what matching and differences make of them.

People differ in stable need (gamma frailty) and in age, which is measured. They are watched for two years
before an index date and a year after it, in quarters; counts are Poisson. Support multiplies the rate by 0.8.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from seeds import rows_of

from impact import match
from impact.data import Cohort
from impact.data.panel import Panel
from impact.did import etwfe, summarise, two_by_two
from impact.errors import DesignError

RATIO = 0.8
PEOPLE, BEFORE, AFTER = 1500, 8, 4
QUARTER = 3.0
RATE = 0.25
SHAPE = 1.5
# For the last quarter before the index date: use is this many times as frequent for a fifth of the people in
# one world, and for all who are then supported in another.
CRISIS, PEAK = 3.0, 2.0
QUARTERS = [f"q{k}" for k in range(1, BEFORE + 1)]
# Bins for coarsened exact matching that have a place for nearly everyone.
CUTS = {"age": [60, 70, 80], "year": [1, 2, 3, 4, 6, 9, 14]}
WORLDS = {
    "recent use": "the count of the last quarter decides",
    "recent use, crises": "the same, and one person in five is in a crisis in that quarter",
    "need": "stable need decides, which nobody sees",
    "need, crisis": "stable need decides, and the supported have a crisis just before",
}


@dataclass(frozen=True)
class Draw:
    """One row a person with use before and after, and the panel of quarters."""

    cohort: Cohort
    panel: Panel


def draw(world, seed):
    rng = np.random.default_rng([seed, list(WORLDS).index(world)])
    age = rng.uniform(50, 90, PEOPLE).round()
    need = rng.gamma(SHAPE, 1 / SHAPE, PEOPLE) * np.exp(0.015 * (age - 70))
    rate = np.tile((RATE * QUARTER * need)[:, None], (1, BEFORE + AFTER))
    last = BEFORE - 1
    if world == "recent use, crises":
        rate[rng.random(PEOPLE) < 0.2, last] *= CRISIS
    if world.startswith("need"):
        supported = rng.random(PEOPLE) < _chance(0.9 * np.log(need) + 0.02 * (age - 70), -1.6)
        if world == "need, crisis":
            rate[supported, last] *= PEAK
        counts = rng.poisson(rate)
    else:
        counts = rng.poisson(rate)
        signal = 1.3 * np.log1p(counts[:, last]) + 0.02 * (age - 70)
        supported = rng.random(PEOPLE) < _chance(signal, -2.6)
    counts[:, BEFORE:] = rng.poisson(rate[:, BEFORE:] * np.where(supported, RATIO, 1.0)[:, None])
    return _draw_of(age, counts, supported)


def _chance(signal, level):
    return 1 / (1 + np.exp(-level - signal))


def _draw_of(age, counts, supported):
    person = np.arange(PEOPLE)
    # q1 is the quarter just before the index date.
    before = counts[:, BEFORE - 1 :: -1][:, :BEFORE]
    frame = pd.DataFrame(before, columns=QUARTERS).assign(
        person_id=person,
        supported=supported,
        age=age,
        year=before[:, :4].sum(1),
        two_years=before.sum(1),
        log_q1=np.log1p(before[:, 0]),
        log_year=np.log1p(before[:, :4].sum(1)),
        log_two=np.log1p(before.sum(1)),
        months=AFTER * QUARTER,
        events=counts[:, BEFORE:].sum(1),
    )
    cohort = Cohort.from_frame(
        frame, treated="supported", person_id="person_id", outcomes=["events"], exposure="months"
    )
    panel = Panel(
        unit=person,
        periods=pd.RangeIndex(BEFORE + AFTER),
        outcomes={"events": counts.astype(float)},
        exposure={"events": np.full(counts.shape, QUARTER)},
        start=np.where(supported, BEFORE, BEFORE + AFTER),
        treated=supported,
        covariates=frame[["age"]],
        cluster=person,
        weights=np.ones(PEOPLE),
        arm=np.where(supported, "supported", "control"),
        step="quarter",
    )
    return Draw(cohort, panel)


def windowed(panel, kept):
    """The panel of these quarters only; support starts in the same quarter as before."""
    at = np.asarray(kept)
    return replace(
        panel,
        periods=pd.Index(at),
        outcomes={k: v[:, at] for k, v in panel.outcomes.items()},
        exposure={k: v[:, at] for k, v in panel.exposure.items()},
        start=np.where(panel.treated, int((at < BEFORE).sum()), len(at)),
    )


YEAR_BEFORE, TWO_BEFORE = range(BEFORE - 4, BEFORE + AFTER), range(BEFORE + AFTER)
OLDER = [*range(BEFORE - 4), *range(BEFORE, BEFORE + AFTER)]
PEAK_OUT = [*range(BEFORE - 1), *range(BEFORE, BEFORE + AFTER)]
# How a sample is made, by the words of the page: method of the registry and its arguments.
YEAR = ["age", "year", "log_year"]
TWO_YEARS = [*YEAR, "two_years", "log_two"]
TRAJECTORY = [*TWO_YEARS, "q1", "log_q1"]
CALIPER = {"caliper": 0.2}
SAMPLES = {
    "nearest, year": ("nearest", {"on": YEAR, **CALIPER}),
    "nearest(replace=True), year": ("nearest", {"on": YEAR, "replace": True, **CALIPER}),
    "nearest(distance='mahalanobis'), year": ("nearest", {"on": ["age", "year"], "distance": "mahalanobis"}),
    "optimal, year": ("optimal", {"on": YEAR, **CALIPER}),
    "full, year": ("full", {"on": YEAR}),
    "coarsened_exact, year": ("coarsened_exact", {"on": ["age", "year"], "cuts": CUTS}),
    "subclass(subclasses=10), year": ("subclass", {"on": YEAR, "subclasses": 10}),
    "entropy_balance, year": ("entropy_balance", {"on": YEAR}),
    "inverse_probability, year": ("inverse_probability", {"on": YEAR}),
    "nearest, two years": ("nearest", {"on": TWO_YEARS, **CALIPER}),
    "nearest, trajectory": ("nearest", {"on": TRAJECTORY, **CALIPER}),
    "nearest(distance='prognostic'), trajectory": (
        "nearest",
        {"on": TRAJECTORY, "distance": "prognostic", "prognosis": "events", **CALIPER},
    ),
    "entropy_balance, trajectory": ("entropy_balance", {"on": TRAJECTORY}),
    "full, trajectory": ("full", {"on": TRAJECTORY}),
}
# Samples that are then followed from before to after: estimator, quarters, arguments.
PERSON = {"effects": "person"}
PANELS = {
    "two_by_two, year before": (two_by_two, YEAR_BEFORE, PERSON),
    "two_by_two, two years before": (two_by_two, TWO_BEFORE, PERSON),
    "two_by_two, the year before last": (two_by_two, OLDER, PERSON),
    "two_by_two, without the last quarter": (two_by_two, PEAK_OUT, PERSON),
    "etwfe, two years before": (etwfe, TWO_BEFORE, {}),
}
MATCHED_PANELS = {
    "nearest, year": ["two_by_two, year before", "two_by_two, the year before last"],
    "entropy_balance, year": ["two_by_two, year before"],
    "nearest, trajectory": ["two_by_two, two years before", "etwfe, two years before"],
}


# What was expected: a sign for each world, and the rows it is meant for.
_WEIGHED = [name for name in SAMPLES if name.endswith("year")]
EXPECTED = {
    "crude": (("+", "+", "+", "+"), ["crude"]),
    "before and after": (("-", "-", "0", "-"), ["before and after"]),
    "unmatched differences, the year before or two": (
        ("-", "-", "0", "-"),
        [f"unmatched, {name}" for name, (_, q, _) in PANELS.items() if q in (YEAR_BEFORE, TWO_BEFORE)],
    ),
    "unmatched differences without the quarter that decides": (
        ("0", "0", "0", "0"),
        [f"unmatched, {name}" for name, (_, q, _) in PANELS.items() if q in (OLDER, PEAK_OUT)],
    ),
    "matched on the year": (("0", "-", "+", "?"), _WEIGHED),
    "matched on the year, then differences to that year": (
        ("0", "-", "+", "?"),
        [f"{name}, then two_by_two, year before" for name in ("nearest, year", "entropy_balance, year")],
    ),
    "matched on the year, then differences to the one before it": (
        ("0", "0", "0", "0"),
        ["nearest, year, then two_by_two, the year before last"],
    ),
    "matched on two years": (("0", "-", "+", "?"), ["nearest, two years"]),
    "matched on the trajectory": (
        ("0", "0", "+", "?"),
        [name for name in SAMPLES if name.endswith("trajectory")],
    ),
    "matched on the trajectory, then differences to the two years": (
        ("0", "0", "+", "?"),
        [f"nearest, trajectory, then {name}" for name in MATCHED_PANELS["nearest, trajectory"]],
    ),
}


def expectations():
    """The sign that is expected of each world and method."""
    return {
        (world, method): sign
        for signs, methods in EXPECTED.values()
        for method in methods
        for world, sign in zip(WORLDS, signs, strict=True)
    }


def row_of(effects):
    table = effects.table
    names = ["estimate", "std_error", "conf_low", "conf_high"]
    return table.loc[table["scale"] == "log ratio", names].iloc[0].to_dict()


def before_after(cohort):
    """What the supported's own change in a year would claim, with the error of people who differ."""
    frame = cohort.table[cohort.treated]
    before, after = frame["year"].to_numpy(float), frame["events"].to_numpy(float)
    estimate = np.log(after.sum() / before.sum())
    error = np.sqrt(((after / after.sum() - before / before.sum()) ** 2).sum())
    ends = estimate + error * np.array([-1.96, 1.96])
    return {"estimate": estimate, "std_error": error, "conf_low": ends[0], "conf_high": ends[1]}


def differences(panel, name, sample=None):
    """One of the difference-in-differences, of everyone or of a matched sample."""
    estimator, quarters, arguments = PANELS[name]
    shown = windowed(panel, quarters)
    shown = shown if sample is None else match.onto(sample, shown)
    return row_of(summarise(estimator(shown, outcome="events", **arguments)))


def foretold(cohort):
    """The bias of matching on the year where need decides, by D(1 - r), on the log scale."""
    controls = cohort.table[~cohort.treated]
    slope = np.polyfit(controls["year"], controls["events"], 1)[0]
    supported, others = (cohort.table.loc[arm, "year"].mean() for arm in (cohort.treated, ~cohort.treated))
    left = (supported - others) * (1 - slope)
    return -np.log(1 - left / supported)


def replicate(seed, *, world):
    """All estimators on one draw: one row each."""
    one = draw(world, seed)
    rows = []

    def add(method, result):
        rows.append({"world": world, "seed": seed, "method": method, "target": np.log(RATIO), **result})

    crude = row_of(match.rate_ratio(one.cohort, outcome="events"))
    add("crude", crude | {"foretold": foretold(one.cohort), "supported": one.cohort.treated.sum()})
    add("before and after", before_after(one.cohort))
    for name in PANELS:
        add(f"unmatched, {name}", differences(one.panel, name))
    for name, (method, arguments) in SAMPLES.items():
        try:
            sample = match.METHODS[method](one.cohort, **arguments)
        except DesignError:
            add(name, {})
            continue
        add(name, row_of(match.rate_ratio(sample, outcome="events")))
        for panel in MATCHED_PANELS.get(name, ()):
            add(f"{name}, then {panel}", differences(one.panel, panel, sample))
    return rows


def replicates(draws, *, worlds=tuple(WORLDS), workers=1):
    """Repeats of the seeds 0, 1, ... in each world."""
    found = []
    for world in worlds:
        found += rows_of(partial(replicate, world=world), draws, workers=workers)
    return pd.DataFrame(found)


def summary(results):
    """Bias and coverage of each method in each world, with the Monte Carlo error of each."""
    there = results["estimate"].notna()
    inside = (results["conf_low"] <= results["target"]) & (results["target"] <= results["conf_high"])
    frame = results.assign(
        off=results["estimate"] - results["target"], inside=inside.astype(float).where(there), refused=~there
    )
    out = frame.groupby(["world", "method"], sort=False).agg(
        bias=("off", "mean"),
        sd=("off", "std"),
        se=("std_error", "mean"),
        coverage=("inside", "mean"),
        refused=("refused", "mean"),
        draws=("off", "count"),
    )
    out["bias_error"] = out["sd"] / np.sqrt(out["draws"])
    # The error under the level that is claimed: at a coverage of 1 the estimated one would be 0.
    out["coverage_error"] = np.sqrt(0.95 * 0.05 / out["draws"])
    return out.reset_index()
