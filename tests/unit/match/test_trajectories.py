"""Use before and after the index date among the matched: weighted rates, each person behind them once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from impact import disclosure, interpret, match
from impact.data import read_cohort, synthetic
from impact.errors import DesignError
from impact.pages import plots


@pytest.fixture(scope="module")
def people():
    drawn = synthetic.draw(np.random.default_rng(8), people=900, world="selection")
    return read_cohort(
        people=drawn.people,
        contacts=drawn.contacts,
        coverage=drawn.coverage,
        treated=["signposting", "hand_holding"],
        control=["control", "pool"],
    )


ON = ["age", "prior_gp"]


def test_of_pairs_they_are_the_rates_of_the_people_in_them(people):
    cohort = people.with_index_dates(seed=1, months_before=12)
    matched = match.nearest(cohort, on=ON)
    panel = cohort.panel(outcomes=["gp"], clock="event", months_before=6, months_after=6)
    found = match.trajectories(matched, panel, outcome="gp").table
    used = matched.table.loc[matched.table["weight"] > 0, "person_id"]
    plain = interpret.rates(panel.subset(np.isin(panel.unit, used)), outcome="gp").table
    pd.testing.assert_frame_equal(found, plain, check_exact=False)


def test_of_reused_controls_the_rate_is_weighted_and_people_count_once(people):
    cohort = people.with_index_dates(seed=1, months_before=12)
    matched = match.nearest(cohort, on=ON, replace=True, ratio=3)
    panel = cohort.panel(outcomes=["gp"], clock="event")
    table = match.trajectories(matched, panel, outcome="gp").table
    row = table[(table["arm"] == "control") & (table["period"] == -2)].iloc[0]
    rows = matched.table[matched.table["weight"] > 0]
    rows = rows[~rows["person_id"].isin(cohort.person_id[cohort.treated])]
    at = pd.Index(panel.unit).get_indexer(rows["person_id"])
    share = 1 / rows.groupby("subclass")["person_id"].transform("size").to_numpy()
    t = list(panel.periods).index(-2)
    y, months = panel.outcomes["gp"][at, t], panel.exposure["gp"][at, t]
    rate = row["rate_per_1000_person_months"]
    assert rate == pytest.approx(1000 * (share * y).sum() / (share * months).sum())
    alone = np.unique(at)
    assert row["persons"] == (panel.exposure["gp"][alone, t] > 0).sum() < len(at)
    assert row["events"] == panel.outcomes["gp"][alone, t].sum()


def test_of_risk_sets_they_can_be_released_and_drawn(people):
    matched = match.risk_set(people.with_history(["gp"], months=12), on=[*ON, "prior_gp_q1"], max_uses=2)
    found = match.trajectories(matched, matched.cohort, outcome=["gp", "ae"])
    assert set(found.table["outcome"]) == {"gp", "ae"}
    assert set(found.table["period"]) == set(range(-12, 12))
    # They ran alike before: the year before, both arms within a tenth.
    before = found.table[(found.table["outcome"] == "gp") & (found.table["period"] < 0)]
    sums = before.groupby("arm")[["events", "person_months"]].sum()
    rates = sums["events"] / sums["person_months"]
    assert abs(np.log(rates["supported"] / rates["control"])) < 0.1
    released = disclosure.release({"gp": found}, "hes")["gp"]
    assert plots.rates(released) is not None
    balance = match.balance(matched, on=["trend_gp", "latest_gp"]).table
    assert set(balance["covariate"]) == {"trend_gp", "latest_gp"}


def test_on_the_calendar_clock_there_is_no_index_date(people):
    matched = match.nearest(people.with_index_dates(seed=1, months_before=12), on=ON)
    with pytest.raises(DesignError, match="clock='event'"):
        match.trajectories(matched, people.panel(outcomes=["gp"]), outcome="gp")
