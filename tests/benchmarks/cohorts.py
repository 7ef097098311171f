"""Cohorts of any size for measuring what matching costs: twelve covariates, need decides on support.

cohort(10_000, 200_000)  # 12 covariates, 21 columns once every category has its own
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from impact.data import Cohort

COUNTS = ["prior_gp", "prior_ae", "prior_emergency_admission", "prior_outpatient"]
NUMBERS = ["age", "ltc_n", "income", "household_size", "tenure_years", *COUNTS]
CATEGORIES = ["sex", "ethnicity", "imd_fifth"]
ON = NUMBERS + CATEGORIES
# Treated and pool of the three sizes at which speed is stated.
SIZES = {"S": (1_000, 10_000), "M": (10_000, 200_000), "L": (100_000, 1_000_000)}
TREND = 1.15  # how much likelier support becomes with need, on the log scale, for each standard deviation


def cohort(n_treated: int, n_pool: int, seed: int = 0) -> Cohort:
    """Draw people as ``drawn`` does."""
    return of(drawn(n_treated, n_pool, seed))


def of(frame: pd.DataFrame) -> Cohort:
    """Return what ``impact`` takes."""
    return Cohort.from_frame(frame, treated="helped", outcomes=["visits"], exposure="months")


def drawn(n_treated: int, n_pool: int, seed: int = 0) -> pd.DataFrame:
    """Draw people who differ in need, support the needier of them, and follow everyone up for a year.

    Beside the covariates ``ON`` there are ``area`` (12 kinds, independent of need, for exact matching),
    ``building_id`` (about 20 people each) and the outcome ``visits`` with its ``months`` at risk; support
    takes off a fifth of the visits. ``person_id`` is not in the order of the rows' need.
    """
    rng = np.random.default_rng(seed)
    n = n_treated + n_pool
    need = rng.standard_normal(n)
    age = np.round(np.clip(rng.normal(58, 15, n) + 5 * need, 18, 100))
    sex, ethnic, fifth = rng.random(n), rng.random(n), rng.standard_normal(n) - 0.35 * need
    frame = pd.DataFrame(
        {
            "age": age,
            "ltc_n": rng.poisson(1.2 * np.exp(0.45 * need - 0.1)),
            "income": np.round(np.exp(rng.normal(9.6, 0.45, n) - 0.12 * need)),
            "household_size": 1 + rng.poisson(0.9 * np.exp(-0.15 * need)),
            "tenure_years": np.round(rng.gamma(1.5, 5, n), 1),
        }
    )
    for name, rate in zip(COUNTS, (4.5, 0.6, 0.25, 2.0), strict=True):
        frame[name] = rng.poisson(rate * np.exp(0.5 * need - 0.125) * rng.gamma(1.5, 1 / 1.5, n))
    frame["sex"] = np.where(sex < 0.55, "F", "M")
    groups = np.array(["Asian", "Black", "Mixed", "Other", "White"], object)
    frame["ethnicity"] = groups[np.searchsorted([0.09, 0.15, 0.18, 0.2], ethnic)]
    frame["imd_fifth"] = np.array(list("12345"), object)[np.searchsorted([-0.3, 0.3, 0.8, 1.4], fifth)]
    frame["area"] = np.array([f"area {j:02}" for j in range(12)], object)[rng.integers(0, 12, n)]
    frame["building_id"] = rng.integers(0, n // 20 + 1, n)
    # The largest of need plus a Gumbel draw: sampling without replacement, likelier by exp(TREND x need).
    luck = TREND * need + rng.gumbel(size=n)
    helped = np.zeros(n, bool)
    helped[np.argpartition(luck, n_pool)[n_pool:]] = True
    frame["helped"] = helped.astype(int)
    frame["months"] = np.where(rng.random(n) < 0.97, 12.0, np.round(rng.uniform(1, 12, n), 1))
    rate = 5 * np.exp(0.5 * need - 0.125) * rng.gamma(1.5, 1 / 1.5, n) * np.where(helped, 0.8, 1.0)
    frame["visits"] = rng.poisson(rate * frame["months"] / 12)
    return frame


def monthly(n_treated: int, n_pool: int, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Draw the tables of people whose support begins over 24 months, as ``read_cohort`` takes them.

    Everyone has some seven contacts in four years, the needier more; two in a hundred die in the last two.
    """
    rng = np.random.default_rng(seed)
    n = n_treated + n_pool
    need = rng.standard_normal(n)
    luck = TREND * need + rng.gumbel(size=n)
    helped = np.zeros(n, bool)
    helped[np.argpartition(luck, n_pool)[n_pool:]] = True
    day = np.datetime64("2021-01-01", "D")
    start, died = np.full((2, n), np.datetime64("NaT", "D"))
    start[helped] = day + 365 + rng.integers(0, 730, n_treated)
    gone = rng.random(n) < 0.02
    died[gone] = day + 1095 + rng.integers(0, 300, gone.sum())
    people = pd.DataFrame(
        {
            "person_id": np.arange(n),
            "arm": np.where(helped, "help", "usual"),
            "start_date": start.astype("M8[ns]"),
            "died": died.astype("M8[ns]"),
            "birth_month": np.datetime64("1964-01") + (rng.normal(0, 170, n) - 60 * need).astype(int),
            "sex": np.where(rng.random(n) < 0.55, "F", "M"),
            "ltc_n": rng.poisson(1.2 * np.exp(0.45 * need - 0.1)),
            "imd_decile": rng.integers(1, 11, n),
        }
    )
    rate = np.exp(0.5 * need - 0.125) * rng.gamma(1.5, 1 / 1.5, n)
    services = {
        name.removeprefix("prior_"): rate * r for name, r in zip(COUNTS, (4.5, 0.6, 0.25, 2.0), strict=True)
    }
    count = {name: rng.poisson(r) for name, r in services.items()}
    who = np.concatenate([np.repeat(np.arange(n), k) for k in count.values()])
    begun = day + rng.integers(0, 1460, len(who))
    kept = ~(begun > died[who])
    names = np.repeat(list(count), [k.sum() for k in count.values()])
    contacts = pd.DataFrame({"person_id": who[kept], "start": begun[kept].astype("M8[ns]")})
    contacts["service"] = pd.Categorical(names[kept])
    coverage = {"service": list(count), "first_date": "2021-01-01", "last_date": "2024-12-31"}
    return {
        "people": people.assign(birth_month=people["birth_month"].astype("M8[ns]")),
        "contacts": contacts.assign(end=contacts["start"]),
        "coverage": pd.DataFrame(coverage),
    }


if __name__ == "__main__":
    # A process of its own draws the people; a kind such as '10 to 1' says how large the pool is.
    each, people = int(sys.argv[1].split()[0]), int(sys.argv[2])
    draw = monthly if "month" in sys.argv[1] else drawn
    pd.to_pickle(draw(people, each * people), sys.argv[3])
