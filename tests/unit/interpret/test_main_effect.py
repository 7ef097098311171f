"""Matching on partner dates: who is described when, what is compared, and what is counted."""

import numpy as np
import pandas as pd
import pytest

from impact.data import read_cohort
from impact.interpret import matched
from impact.match import balance, rate_ratio


@pytest.fixture(scope="module")
def cohort():
    """60 treated who start through 2023 and 200 controls, a quarter of whom die in its course."""
    rng = np.random.default_rng(7)
    n = 260
    helped = np.arange(n) < 60
    day = np.datetime64("2023-01-05")
    die = ~helped & (rng.random(n) < 0.25)
    people = pd.DataFrame(
        {
            "person_id": [f"p{i:03d}" for i in range(n)],
            "arm": np.where(helped, "help", "usual"),
            "start_date": np.where(helped, day + rng.integers(0, 350, n), np.datetime64("NaT")),
            "died": np.where(die, day + rng.integers(0, 350, n), np.datetime64("NaT")),
            "ltc_n": rng.integers(0, 5, n) + helped,
        }
    )
    who = np.repeat(np.arange(n), 20)
    start = np.datetime64("2022-01-01") + rng.integers(0, 1090, len(who))
    alive = ~(start > people["died"].to_numpy("M8[D]")[who])
    contacts = pd.DataFrame(
        {"person_id": people["person_id"].to_numpy()[who], "service": "gp", "start": start}
    )
    coverage = pd.DataFrame({"service": ["gp"], "first_date": ["2022-01-01"], "last_date": ["2024-12-31"]})
    return read_cohort(
        people=people, contacts=contacts[alive], coverage=coverage, treated=["help"], control=["usual"]
    )


@pytest.fixture(scope="module")
def found(cohort):
    return matched(
        cohort,
        baseline={"index_date": "partner", "seed": 2, "outcomes": ["gp"], "months": 12},
        matching={"method": "nearest", "on": ["ltc_n", "prior_gp"], "ratio": 2},
    )


def test_matched_controls_are_described_and_followed_from_their_partners_date(found):
    people = found.cohort.table.set_index("person_id")
    rows = found.table[found.table["weight"] > 0].join(
        people[["index_date", "treated", "died"]], on="person_id"
    )
    assert (rows.groupby("subclass")["index_date"].nunique() == 1).all()
    assert not (rows["died"] < rows["index_date"]).any()
    assert (rows.groupby("subclass")["treated"].sum() == 1).all()


def test_balance_before_is_that_of_everyone_and_not_of_the_matched(found):
    table = balance(found).table.set_index(["covariate", "sample"])["smd"]
    everyone = found.cohort.table.groupby("treated")["ltc_n"]
    smd = (everyone.mean()[True] - everyone.mean()[False]) / everyone.std()[True]
    assert table["ltc_n", "before"] == pytest.approx(smd)
    assert smd > 0.4
    assert abs(table["ltc_n", "after"]) < smd / 2


def test_sets_whose_control_had_left_are_counted_out(found):
    counts = found.counts.set_index(["arm", "rule"])["persons"]
    lost = counts["treated", "the control was not at risk on its partner's date"]
    assert lost == found.method["sets_lost"] > 0
    assert counts.groupby("arm").sum()["treated"] == 60
    effects = rate_ratio(found, outcome="gp")
    assert effects.counts["treated"].iloc[0] == counts["treated", "matched"] == 60 - lost
    assert effects.df == counts["treated", "matched"] - 1
