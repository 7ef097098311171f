"""Known effects come back, and intervals cover them, for every model of outcomes of matched samples.

20 draws of 300 people here, in which a bias of a standard deviation or an error half as large as it should
be would show; ``IMPACT_SLOW=1`` makes it 600, in which coverage must lie within 95% plus or minus three
Monte Carlo errors and 1.5 points for the samples' size. The truth is that of the people matched in each
draw (METHODS 1, 6).
"""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest

from impact import match
from impact.data import Cohort
from impact.match import OUTCOMES

DRAWS = 600 if os.environ.get("IMPACT_SLOW") == "1" else 20
ON = ["age", "ltc"]
OUTCOME = {"mean_difference": "score", "abadie_imbens": "score", "risk": "fell", "hurdle": "nights"}
# Which estimate is looked at, where it is not the first.
TERM = {"risk": ("effect", "difference"), "hurdle": ("any", "log ratio")}


def expit(x):
    return 1 / (1 + np.exp(-x))


def draw(rng, n=300):
    """Counts with frailty and ratio 0.8; a score whose effect grows with age; falls; nights in hospital."""
    age, ltc = rng.normal(0, 1, n), rng.poisson(1.5, n).astype(float)
    helped = rng.random(n) < expit(-1.3 + 0.5 * age + 0.3 * ltc)
    months = rng.choice([6.0, 12.0], n)
    need = rng.gamma(1, 1, n) * np.exp(0.3 * age + 0.2 * ltc - 0.5) * months * 0.25
    stay = rng.random(n) < expit(-0.8 + 0.5 * age - 0.5 * helped)
    return pd.DataFrame(
        {
            "helped": helped * 1,
            "age": age,
            "ltc": ltc,
            "months": months,
            "visits": rng.poisson(need * np.where(helped, 0.8, 1)),
            "score": 50 + 2 * age + ltc + 5 * rng.normal(size=n) + helped * (3 + age),
            "fell": (rng.random(n) < expit(-1 + 0.5 * age - 0.5 * helped)) * 1,
            "nights": np.where(stay, 1 + rng.poisson(rng.exponential(4, n)), 0),
        }
    )


def truth(name, age):
    """The effect on matched supported people of these ages."""
    if name in ("mean_difference", "abadie_imbens"):
        return (3 + age).mean()
    if name == "risk":
        return 100 * (expit(-1.5 + 0.5 * age) - expit(-1 + 0.5 * age)).mean()
    if name == "hurdle":
        return np.log(expit(-1.3 + 0.5 * age).mean() / expit(-0.8 + 0.5 * age).mean())
    return np.log(0.8)


@pytest.fixture(scope="module")
def found():
    """Error of the estimate, standard error and whether the interval covers, by model, sample and draw."""
    rng = np.random.default_rng(20)
    out = {}
    for _ in range(DRAWS):
        frame = draw(rng)
        cohort = Cohort.from_frame(frame, treated="helped", outcomes=["visits"], exposure="months")
        stays = Cohort.from_frame(frame, treated="helped", outcomes=["nights"])
        samples = {
            "pairs": match.nearest(cohort, on=ON, caliper=0.2),
            "with replacement": match.nearest(cohort, on=ON, ratio=2, replace=True),
            "subclass": match.subclass(cohort, on=ON),
            "coarsened exact": match.coarsened_exact(cohort, on=ON, cuts={"age": 6, "ltc": [1, 2, 3, 5]}),
        }
        for (kind, matched), (name, model) in ((s, m) for s in samples.items() for m in OUTCOMES.items()):
            strata = kind in ("subclass", "coarsened exact")
            if (name == "conditional_poisson" and kind != "pairs") or (name == "abadie_imbens" and strata):
                continue
            used = matched.table.query("weight > 0").merge(frame, left_on="person_id", right_index=True)
            more = {} if name == "conditional_poisson" else {"adjust": ON if strata else ["age"]}
            more |= {"cohort": stays} if name == "hurdle" else {}
            effects = model(matched, outcome=OUTCOME.get(name, "visits"), **more)
            term, scale = TERM.get(name, ("effect", effects.labels["scale"][0]))
            table = effects.table.set_index(["term", "scale"])
            row = table.loc[term, scale]
            is_so = truth(name, used.query("helped == 1")["age"])
            result = (row["estimate"] - is_so, row["std_error"], row["conf_low"] <= is_so <= row["conf_high"])
            out.setdefault((kind, name), []).append(result)
    return {key: np.array(rows, float) for key, rows in out.items()}


def test_every_model_recovers_the_effect_and_its_error(found):
    problems = []
    for (kind, name), rows in found.items():
        wrong, error, covered = rows.T
        spread = wrong.std(ddof=1)
        # Matching leaves some imbalance on ltc, worth at most a tenth of a standard deviation here.
        if abs(wrong.mean()) > 3 * spread / np.sqrt(DRAWS) + 0.1 * spread:
            problems.append(f"{name}, {kind}: bias {wrong.mean():.3f}, spread {spread:.3f}")
        if abs(np.log(error.mean() / spread)) > 3 / np.sqrt(2 * DRAWS) + 0.08:
            problems.append(f"{name}, {kind}: error {error.mean():.3f}, spread {spread:.3f}")
        if abs(covered.mean() - 0.95) > 3 * np.sqrt(0.95 * 0.05 / DRAWS) + 0.015:
            problems.append(f"{name}, {kind}: coverage {covered.mean():.3f}")
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("kind", ["subclass", "coarsened_exact"])
def test_strata_that_foretell_the_outcome_do_not_lengthen_its_error(kind):
    """Need stands in six grades: errors that ignored them would be three times the spread of estimates.

    Slices of the score may join two grades, so that only support by lot has no bias there.
    """
    rng, out = np.random.default_rng(21), {"mean_difference": [], "poisson": []}
    for _ in range(DRAWS):
        need = rng.integers(0, 6, 300)
        helped = rng.random(300) < expit(-1.5 + 0.3 * need * (kind == "coarsened_exact"))
        frame = pd.DataFrame({"helped": helped * 1, "need": need, "months": rng.choice([6.0, 12.0], 300)})
        frame["score"] = 50 + 8 * need + 3 * helped + 5 * rng.normal(size=300)
        rate = 0.1 * np.exp(0.5 * need) * rng.gamma(4, 0.25, 300) * np.where(helped, 0.8, 1)
        frame["visits"] = rng.poisson(frame["months"] * rate)
        cohort = Cohort.from_frame(frame, treated="helped", outcomes=["visits"], exposure="months")
        matched = getattr(match, kind)(cohort, on=["need"])
        for name, rows in out.items():
            row = OUTCOMES[name](matched, outcome=OUTCOME.get(name, "visits")).table.iloc[0]
            is_so = 3 if name == "mean_difference" else np.log(0.8)
            covers = row["conf_low"] <= is_so <= row["conf_high"]
            rows.append((row["estimate"] - is_so, row["std_error"], covers))
    for name, rows in out.items():
        wrong, error, covered = np.array(rows, float).T
        spread = wrong.std(ddof=1)
        assert abs(wrong.mean()) < 3 * spread / np.sqrt(DRAWS) + 0.1 * spread, name
        assert abs(np.log(error.mean() / spread)) < 3 / np.sqrt(2 * DRAWS) + 0.08, name
        assert abs(covered.mean() - 0.95) < 3 * np.sqrt(0.95 * 0.05 / DRAWS) + 0.015, name


def test_pairs_on_an_estimated_score_know_that_it_was_estimated():
    """Covariates move support and outcomes: with the score as known errors would be far too long."""
    rng, rows = np.random.default_rng(22), []
    for _ in range(DRAWS):
        one, two = rng.normal(size=(2, 600))
        helped = rng.random(600) < expit(-1.6 + 0.7 * one + 0.5 * two)
        score = 2 * one - 2 * two + helped + rng.normal(size=600)
        frame = pd.DataFrame({"helped": helped * 1, "one": one, "two": two, "score": score})
        matched = match.nearest(Cohort.from_frame(frame, treated="helped"), on=["one", "two"], caliper=0.2)
        row = match.mean_difference(matched, outcome="score", method="abadie_imbens").table.iloc[0]
        rows.append((row["estimate"] - 1, row["std_error"], row["conf_low"] <= 1 <= row["conf_high"]))
    wrong, error, covered = np.array(rows, float).T
    spread = wrong.std(ddof=1)
    assert abs(wrong.mean()) < 3 * spread / np.sqrt(DRAWS) + 0.1 * spread
    assert abs(np.log(error.mean() / spread)) < 3 / np.sqrt(2 * DRAWS) + 0.08
    assert abs(covered.mean() - 0.95) < 3 * np.sqrt(0.95 * 0.05 / DRAWS) + 0.015
