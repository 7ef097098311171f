"""The RAND Health Insurance Experiment, its randomisation broken on purpose and mended by matching.

In each repeat some people of the free plan are taken by lot, so that there are controls enough for pairs; the
controls are drawn anew, with replacement, from those of the experiment; then controls are dropped, the more
likely the older and the sicker they are. The supported stay as they are, and with them the effect that
is asked for.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf

from impact import match
from impact.data import Cohort, read_panel
from impact.errors import DesignError

FILE = Path(__file__).parents[1] / "data" / "rand_hie.csv"
ON = ["xage", "female", "disea", "hlthg", "unwell", "site"]
ADJUST = ON[:-1]
OUTCOMES = ["visits", "admissions"]
SUPPORTED = 200
CRUDE = "not matched"
# Bins that are coarse enough for most people to find somebody.
CUTS = {"xage": [5, 18, 35, 50], "disea": [7, 12, 18]}


@dataclass(frozen=True)
class Method:
    """A way to match: its name in the registry and on the page, its arguments, and how often it is tried."""

    name: str
    says: str
    arguments: dict = field(default_factory=dict)
    most: int = 10_000

    def fit(self, cohort):
        return match.METHODS[self.name](cohort, **{"on": ON, **self.arguments})


METHODS = [
    Method("nearest", "nearest"),
    Method("nearest", "nearest(caliper=0.2)", {"caliper": 0.2}),
    Method("nearest", "nearest(replace=True)", {"replace": True}),
    Method("nearest", "nearest(distance='mahalanobis')", {"on": ADJUST, "distance": "mahalanobis"}),
    Method("optimal", "optimal"),
    Method("full", "full"),
    Method("coarsened_exact", "coarsened_exact", {"on": ["xage", "disea", "unwell", "female"], "cuts": CUTS}),
    Method("subclass", "subclass(subclasses=10)", {"subclasses": 10}),
    Method("entropy_balance", "entropy_balance"),
    Method("inverse_probability", "inverse_probability"),
    # The search costs some fifty times as much as any other method.
    Method("genetic", "genetic(replace=True)", {"replace": True}, most=60),
]


def experiment():
    """Everyone in the free plan and in those that people pay 95% in, one row a person."""
    panel = read_panel(
        file=FILE,
        unit="zper",
        period="year",
        outcomes={"visits": ["mdvis", "notmdvis"], "admissions": "totadm"},
        exposure="time",
        exposure_unit="year",
        arm="plan",
        treated=["11"],
        control=["2", "3", "4", "14", "15", "16"],
        covariates=["xage", "female", "disea", "hlthg", "hlthf", "hlthp", "site"],
    )
    frame = panel.cohort().table
    # The number of a site is a name. Poor health is too rare (1%) to stand alone in 200 people.
    return frame.assign(
        site="site " + frame["site"].astype(str),
        unwell=frame["hlthf"] + frame["hlthp"],
        months=frame["exposure_visits"],
    )


def kept(frame):
    """The probability that a control stays, 0.25 to 0.95: less for the older, the sicker, and women."""
    burden = (frame["xage"] - 24) / 17 + (frame["disea"] - 11) / 6.5 + 0.5 * frame["female"]
    burden = burden + 0.5 * frame["hlthg"] + frame["unwell"]
    return 0.25 + 0.7 / (1 + np.exp(-1 + 1.5 * burden))


def cohort_of(frame):
    numbered = frame.reset_index(drop=True).assign(person_id=np.arange(len(frame)))
    return Cohort.from_frame(
        numbered, treated="treated", person_id="person_id", outcomes=OUTCOMES, exposure="months"
    )


def draw(frame, seed):
    """The whole cohort of a repeat, and what is left of it: the same supported, fewer controls."""
    rng = np.random.default_rng(seed)
    free, paying = (frame[frame["treated"] == arm] for arm in (True, False))
    supported = free.iloc[rng.choice(len(free), SUPPORTED, replace=False)]
    controls = paying.iloc[rng.integers(0, len(paying), len(paying))]
    left = controls[rng.random(len(controls)) < kept(controls)]
    return cohort_of(pd.concat([supported, controls])), cohort_of(pd.concat([supported, left]))


def ratios(sample, model=match.rate_ratio, **arguments):
    """The log ratio of each outcome; missing where there is none, as if nobody of a kind is admitted."""
    names, rows = ["estimate", "std_error", "conf_low", "conf_high"], []
    for outcome in OUTCOMES:
        row = {"outcome": outcome} | dict.fromkeys(names, np.nan)
        with suppress(DesignError):
            table = model(sample, outcome=outcome, **arguments).table
            row |= table.loc[table["scale"] == "log ratio", names].iloc[0].to_dict()
        rows.append(row)
    return pd.DataFrame(rows)


def replicate(seed, *, frame, methods):
    """Every method on one repeat: one row each outcome and model, with what the whole repeat says."""
    whole, broken = draw(frame, seed)
    unbroken = ratios(whole).set_index("outcome")["estimate"]
    even = ratios(whole, adjust=ADJUST).set_index("outcome")["estimate"]
    rows = []

    def add(method, model, table, share=1.0):
        table = table.assign(method=method, model=model, seed=seed, matched=share)
        rows.append(table.assign(unbroken=table["outcome"].map(unbroken), even=table["outcome"].map(even)))

    add(CRUDE, "", ratios(broken))
    add(CRUDE, "adjust", ratios(broken, adjust=ADJUST))
    for method in methods:
        if seed >= method.most:
            continue
        found = method.fit(broken)
        used = found.table.loc[found.table["weight"] > 0, "person_id"]
        share = np.isin(broken.person_id[broken.treated], used).mean()
        add(method.says, "", ratios(found), share)
        add(method.says, "adjust", ratios(found, adjust=ADJUST), share)
        if method.name == "inverse_probability":
            add(method.says, "aipw", ratios(found, match.aipw, adjust=ADJUST), share)
    return pd.concat(rows, ignore_index=True)


def replicates(draws, *, methods=METHODS, workers=1):
    """Repeats of the seeds 0, 1, ..., with the answer of the whole experiment beside them."""
    frame = experiment()
    answer = ratios(cohort_of(frame)).set_index("outcome")["estimate"]
    one = partial(replicate, frame=frame, methods=methods)
    if workers == 1:
        found = [one(seed) for seed in range(draws)]
    else:
        with ProcessPoolExecutor(workers) as pool:
            found = list(pool.map(one, range(draws), chunksize=5))
    results = pd.concat(found, ignore_index=True)
    return results.assign(answer=results["outcome"].map(answer))


def redrawn(method, repeats, *, experiments=400):
    """What a method leaves of admissions in experiments whose controls are admitted anew: mean and spread.

    Matches and weights are those of the real repeats. Admissions of controls are gamma-Poisson counts around
    their own regression on the characteristics, scattered as the real ones; each draw is one experiment, and
    all its repeats share it.
    """
    frame = experiment().assign(row=lambda f: np.arange(len(f)))
    shares = [np.array(s) for s in zip(*(_shares(frame, method, s) for s in range(repeats)), strict=True)]
    paying = frame[~frame["treated"]]
    terms = "xage * disea + I(xage**2) + xage * female + hlthg + unwell + C(site)"
    model = smf.poisson(f"admissions ~ {terms}", paying, exposure=paying["months"])
    mean, real = model.fit(disp=0).predict(), paying["admissions"].to_numpy(float)
    scatter = ((real - mean) ** 2 - mean).sum() / (mean**2).sum()
    rng, anew = np.random.default_rng(0), np.zeros((experiments, len(frame)))
    anew[:, paying["row"]] = rng.poisson(mean * rng.gamma(1 / scatter, scatter, (experiments, len(mean))))
    left = np.log(shares[0] @ anew.T / (shares[1] @ anew.T)).mean(axis=0)
    return left.mean(), left.std()


def _shares(frame, method, seed):
    """Weight of each person's events in the rate of all controls of a repeat, and of those matched."""
    whole, broken = draw(frame, seed)
    found = method.fit(broken).table.groupby("person_id")["weight"].sum()
    for cohort, weight in ((whole, np.ones(len(whole))), (broken, found.loc[broken.person_id].to_numpy())):
        weight = np.where(cohort.treated, 0, weight)
        total = weight @ cohort.table["months"]
        yield np.bincount(cohort.table["row"], weight / total, minlength=len(frame))


def summary(results):
    """Bias against the repeat's own randomised answer, and coverage of the whole experiment's."""
    there = results["estimate"].notna()
    inside = (results["conf_low"] <= results["answer"]) & (results["answer"] <= results["conf_high"])
    frame = results.assign(
        off=results["estimate"] - results["unbroken"],
        off_even=results["estimate"] - results["even"],
        inside=inside.astype(float).where(there),
        refused=~there,
    )
    out = frame.groupby(["outcome", "method", "model"], sort=False).agg(
        bias=("off", "mean"),
        bias_sd=("off", "std"),
        even=("off_even", "mean"),
        even_sd=("off_even", "std"),
        sd=("estimate", "std"),
        se=("std_error", "mean"),
        coverage=("inside", "mean"),
        matched=("matched", "mean"),
        refused=("refused", "mean"),
        draws=("off", "count"),
    )
    out["bias_error"] = out["bias_sd"] / np.sqrt(out["draws"])
    out["even_error"] = out["even_sd"] / np.sqrt(out["draws"])
    # The error under the level that is claimed: at a coverage of 1 the estimated one would be 0.
    out["coverage_error"] = np.sqrt(0.95 * 0.05 / out["draws"])
    return out.reset_index()
