"""People in worlds where support does nothing: what a change before and after, and matching, make of them.

Counts are Poisson around rates that differ between people. Each world says who is picked; the change that
follows is what the choice alone brings about. Rates are a year's; the panel has a period of twelve months on
each side of the start.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from impact.data import Cohort
from impact.data.panel import Panel
from impact.did import summarise, two_by_two
from impact.interpret.match_audit import _row
from impact.interpret.regression_to_mean import _by_formula, _by_people_alike
from impact.match import coarsened_exact, onto
from impact.numbers.gamma_poisson import gamma_poisson

YEAR = 12.0


@dataclass(frozen=True)
class Draw:
    """Counts and months before and after, who is supported, and the counts from which rates are estimated."""

    before: np.ndarray
    after: np.ndarray
    months: np.ndarray
    later: np.ndarray
    supported: np.ndarray
    pool: tuple[np.ndarray, np.ndarray]


def panel_of(one):
    n = len(one.before)
    return Panel(
        unit=np.arange(n),
        periods=pd.RangeIndex(-1, 1),
        outcomes={"events": np.column_stack([one.before, one.after]).astype(float)},
        exposure={"events": np.column_stack([one.months, one.later])},
        start=np.where(one.supported, 1, 2),
        treated=one.supported,
        covariates=pd.DataFrame(index=range(n)),
        cluster=np.arange(n),
        weights=np.ones(n),
        arm=np.where(one.supported, "supported", "control"),
        clock="event",
        step="year",
    )


def lasting(rng, n, *, mean, shape, uneven=False, at_least=2):
    """Rates that stay as they are; of those with so many events, two in three are picked."""
    rate = rng.gamma(shape, mean / shape, n)
    months, later = (rng.uniform(3, YEAR, n) if uneven else np.full(n, YEAR) for _ in range(2))
    before, after = rng.poisson(rate * months / YEAR), rng.poisson(rate * later / YEAR)
    picked = (before >= at_least) & (rng.random(n) < 2 / 3)
    return Draw(before, after, months, later, picked, (before, months))


def passing(rng, n, *, mean=0.6, spread=1.2, keeps=0.9, at_least=2):
    """Rates whose logarithm wanders from month to month and comes back: a bad spell passes."""
    months = 24
    wander = np.empty((n, months))
    wander[:, 0] = rng.normal(0, spread, n)
    for t in range(1, months):
        wander[:, t] = keeps * wander[:, t - 1] + rng.normal(0, spread * np.sqrt(1 - keeps**2), n)
    rate = mean / YEAR * np.exp(wander - spread**2 / 2)
    counts = rng.poisson(rate)
    before, after = counts[:, :12].sum(1), counts[:, 12:].sum(1)
    picked = (before >= at_least) & (rng.random(n) < 2 / 3)
    full = np.full(n, YEAR)
    return Draw(before, after, full, full, picked, (before, full))


def by_and_by(rng, n, *, mean=0.6, shape=0.7, at_least=2, own_year=False):
    """Picked, half of them, in the month in which the last twelve hold so many events, in a second year.

    The rates are estimated from everyone's first year, in which nobody had been picked, or with ``own_year``
    from the year to each person's own date.
    """
    rate = rng.gamma(shape, mean / shape / YEAR, n)
    counts = rng.poisson(rate[:, None], (n, 36))
    sums = np.cumsum(np.column_stack([np.zeros(n, int), counts]), axis=1)
    trailing = sums[:, 12:25] - sums[:, :13]
    high = (trailing >= at_least) & (rng.random(n) < 0.5)[:, None]
    picked = high.any(1)
    at = np.where(picked, high.argmax(1), 0) + 12
    # Controls draw one of the dates of the picked.
    at = np.where(picked, at, rng.choice(at[picked], n))
    who = np.arange(n)
    before, after = sums[who, at] - sums[who, at - 12], sums[who, at + 12] - sums[who, at]
    full = np.full(n, YEAR)
    return Draw(before, after, full, full, picked, (before if own_year else sums[:, 12], full))


def given_by_lot(rng, n, **more):
    """Everyone with so many events is in it, and support is given by lot: a trial of unwell people."""
    one = lasting(rng, n, **more)
    unwell = one.before >= more.get("at_least", 2)
    supported = unwell & (rng.random(n) < 0.5)
    return Draw(one.before, one.after, one.months, one.later, supported, one.pool), unwell


def by_formula(one):
    mine = one.supported
    parts = (x[mine].astype(float) for x in (one.before, one.months, one.later))
    return _by_formula(gamma_poisson(*one.pool), *parts, np.ones(mine.sum()))


def before_and_after(draw, seed, **more):
    """Logarithms of the simple change and of what is expected by either way, with their errors."""
    one = draw(np.random.default_rng(seed), **more)
    mine, counts = one.supported, [x.astype(float) for x in (one.before, one.after)]
    events, later, before, months = (x[mine].sum() for x in (one.after, one.later, one.before, one.months))
    formula, formula_error = by_formula(one)
    alike, alike_error = _by_people_alike(panel_of(one), counts, [one.months, one.later])
    return {
        "naive": np.log(events / later) - np.log(before / months),
        "formula": formula,
        "formula_error": formula_error,
        "alike": alike,
        "alike_error": alike_error,
    }


def two_groups(rng, n, *, supported, control, shape=1.3):
    """A fifth belong to a group of their own need, and all of them are supported: lasting need decides."""
    had = rng.random(n) < 0.2
    mean = np.where(had, supported, control)
    rate = rng.gamma(shape, 1 / shape, n) * mean
    full = np.full(n, YEAR)
    return Draw(rng.poisson(rate), rng.poisson(rate), full, full, had, (rng.poisson(rate), full))


def bad_spells(rng, n, *, mean=1.7, shape=1.3):
    """One group, of whom those with more events before are likelier to be supported: recent use decides."""
    rate = rng.gamma(shape, mean / shape, n)
    before = rng.poisson(rate)
    had = rng.random(n) < np.minimum(0.06 * (1 + before), 0.6)
    full = np.full(n, YEAR)
    return Draw(before, rng.poisson(rate), full, full, had, (before, full))


def audit(draw, seed, **more):
    """The audit's row, in events a person and year: both estimates, the bias foretold of each, the slope."""
    one = draw(np.random.default_rng(seed), **more)
    everyone = panel_of(one)
    frame = pd.DataFrame(
        {"person": np.arange(len(one.before)), "had": one.supported, "prior_events": one.before}
    )
    cohort = Cohort.from_frame(frame, treated="had", person_id="person")
    sample = coarsened_exact(cohort, on=[], exact=["prior_events"])
    row = _row(everyone, onto(sample, everyone), "events")
    return {
        name: value * (1 if "slope" in name else YEAR / 1000)
        for name, value in row.items()
        if name not in ("outcome", "scale", "unit")
    }


def foretold(supported, control, shape=1.3):
    """Bias of the matched in closed form: the gap times what of a control's difference does not last."""
    return (supported - control) * shape / (shape + control)


def trial(seed, n=4000, **more):
    """The simple change, and the difference in differences of the same people, as logarithms."""
    one, unwell = given_by_lot(np.random.default_rng(seed), n, **more)
    around = panel_of(one).subset(unwell)
    effect = summarise(two_by_two(around, outcome="events")).table
    row = effect[effect["scale"] == "log ratio"].iloc[0]
    mine = one.supported
    return {
        "naive": np.log(one.after[mine].sum() / one.before[mine].sum()),
        "formula": by_formula(one)[0],
        "effect": row["estimate"],
        "inside": float(row["conf_low"] <= 0 <= row["conf_high"]),
    }


CHOSEN = {
    f"m {m}, k {k}": partial(before_and_after, lasting, mean=m, shape=k)
    for m in (0.35, 0.6, 2.0)
    for k in (0.5, 0.7, 2.0)
} | {
    "m 0.6, k 0.7, 3 to 12 months seen": partial(before_and_after, lasting, mean=0.6, shape=0.7, uneven=True),
    "picked month by month": partial(before_and_after, by_and_by),
    "the same, rates from the year to each date": partial(before_and_after, by_and_by, own_year=True),
    "bad spells pass": partial(before_and_after, passing),
}
MATCHED = {
    "supported 2.2, others 1.2": partial(audit, two_groups, supported=2.2, control=1.2),
    "supported 1.2, others 2.2": partial(audit, two_groups, supported=1.2, control=2.2),
    "supported 1.7, others 1.7": partial(audit, two_groups, supported=1.7, control=1.7),
    "one group, picked by recent use": partial(audit, bad_spells),
}
TRIAL = {"m 0.6, k 0.7": partial(trial, mean=0.6, shape=0.7)}


def replicates(worlds, draws, *, people):
    """Means over the seeds 0, 1, ... of each world, with the Monte Carlo error of each (``_mc``)."""
    rows = {}
    for world, one in worlds.items():
        found = pd.DataFrame([one(seed=seed, n=people) for seed in range(draws)])
        if "alike" in found:
            for way in ("formula", "alike"):
                found[f"{way}_off"] = found[way] - found["naive"]
        error = found.std(ddof=1) / np.sqrt(draws)
        rows[world] = {**found.mean(), **{f"{k}_mc": v for k, v in error.items()}}
        rows[world] |= {f"{k}_sd": v for k, v in found.std(ddof=1).items()}
    return pd.DataFrame(rows).T


def over_time(draw, seed, ratio, n=4000, **more):
    """A difference in differences of people of whom support keeps back some of the later events, as a page.

    What the page says beside it of the choice of people: see ``impact.pages.evidence``.
    """
    rng = np.random.default_rng(seed)
    one = draw(rng, n, **more)
    after = np.where(one.supported, rng.binomial(one.after, ratio), one.after)
    around = panel_of(Draw(one.before, after, one.months, one.later, one.supported, one.pool))
    counts = [x.astype(float) for x in (one.before, after)]
    alike, error = _by_people_alike(around, counts, [one.months, one.later])
    others = ~one.supported
    everyone = np.log(after[others].sum() / one.later[others].sum())
    everyone -= np.log(one.before[others].sum() / one.months[others].sum())
    ends = {"percent": alike, "low": alike - 1.96 * error, "high": alike + 1.96 * error}
    expected = {f"alike_{end}": 100 * np.expm1(value) for end, value in ends.items()}
    row = {"control_change_percent": 100 * np.expm1(everyone), **expected}
    return summarise(two_by_two(around, outcome="events")), row


def of_the_unwell(rng, n, **more):
    """The trial of unwell people alone."""
    one, unwell = given_by_lot(rng, n, **more)
    kept = (getattr(one, name)[unwell] for name in ("before", "after", "months", "later", "supported"))
    return Draw(*kept, one.pool)


CLAIMED = {
    "two contacts or more": partial(over_time, lasting, mean=0.6, shape=0.7),
    "a bad spell": partial(over_time, passing),
    "by lot": partial(over_time, of_the_unwell, mean=1.0, shape=0.7),
    "need, alike": partial(over_time, two_groups, supported=1.7, control=1.7),
    "need, apart": partial(over_time, two_groups, supported=2.2, control=1.2),
}
