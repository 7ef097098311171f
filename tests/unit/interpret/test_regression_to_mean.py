"""The simple change, what the choice of people leads to expect, and when neither is shown."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import impact
from impact.data import LongData
from impact.data.panel import Panel
from impact.disclosure import release
from impact.errors import DesignError
from impact.interpret import regression_to_mean
from impact.interpret.regression_to_mean import _groups_of_use
from impact.numbers.gamma_poisson import gamma_poisson

READY_MADE = LongData(pd.DataFrame(), ("ae",), (), "per trust and month", None, None)
DAY = np.timedelta64(1, "D")


def panel(n=400, seed=1, least=0, exposure=1.0):
    """Two years around the start in months; who used the service so often before may have support."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma(0.7, 1 / 0.7, n) * 0.1
    counts = rng.poisson(np.tile(rate[:, None], (1, 24))).astype(float)
    treated = (counts[:, :12].sum(1) >= least) & (rng.random(n) < 0.5)
    return Panel(
        unit=np.arange(n),
        periods=pd.RangeIndex(-12, 12),
        outcomes={"ae": counts},
        exposure={"ae": np.full((n, 24), exposure)},
        start=np.where(treated, 12, 24),
        treated=treated,
        covariates=pd.DataFrame(index=range(n)),
        cluster=np.arange(n),
        weights=np.ones(n),
        arm=np.where(treated, "supported", "control"),
        clock="event",
    )


def people(n=400, seed=2, stays=False):
    """A landlord's people; those with two attendances in 2023 may have support from January 2024 on."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma(0.7, 1 / 0.7, n) * 1.2
    rows = []
    for year in (2023, 2024):
        for i, count in enumerate(rng.poisson(rate)):
            days = np.datetime64(f"{year}-01-01") + rng.integers(0, 365, count) * DAY
            rows += [(i, day, year) for day in days]
    contacts = pd.DataFrame(rows, columns=["person_id", "start", "year"])
    used = contacts[contacts["year"] == 2023].groupby("person_id").size().reindex(range(n), fill_value=0)
    had = ((used >= 2) & (rng.random(n) < 0.6)).to_numpy()
    who = pd.DataFrame({"person_id": range(n), "arm": np.where(had, "help", "usual")})
    who["start_date"] = pd.Series(pd.Timestamp("2024-01-01"), who.index).where(had)
    contacts["service"] = "emergency_admission" if stays else "ae"
    if stays:
        contacts["end"] = contacts["start"] + 3 * DAY
    services = [contacts["service"].iloc[0]]
    coverage = pd.DataFrame({"service": services, "first_date": "2023-01-01", "last_date": "2024-12-31"})
    tables = {"people": who, "contacts": contacts.drop(columns="year"), "coverage": coverage}
    return impact.read(**tables, treated=["help"], control=["usual"]), used.to_numpy(float), had


def test_the_change_never_comes_without_the_controls():
    p = panel()
    summary = regression_to_mean(READY_MADE, p, outcome="ae")
    row = summary.table.iloc[0]
    before = p.outcomes["ae"][p.treated, :12].sum() / (12 * p.treated.sum()) * 1000
    assert row["supported_before"] == pytest.approx(before)
    for column in ("supported_change_percent", "formula_percent", "alike_high"):
        assert set(summary.derived[column]) >= {"control_before_events", "control_persons"}


def test_it_needs_the_event_clock():
    with pytest.raises(DesignError, match="clock='event'"):
        regression_to_mean(READY_MADE, replace(panel(), clock="calendar"), outcome="ae")


def test_of_a_ready_made_panel_nothing_is_expected_and_it_is_said_why():
    summary = regression_to_mean(READY_MADE, panel(), outcome="ae")
    assert summary.table[["formula_percent", "alike_percent"]].isna().all(axis=None)
    assert "ready-made panel" in summary.method["notes"][0]


def test_without_a_before_there_is_nothing_to_expect():
    p = panel()
    after = replace(p, exposure={"ae": np.where(p.periods.to_numpy() < 0, 0.0, 1.0) * np.ones((p.n, 1))})
    summary = regression_to_mean(people()[0], after, outcome="ae")
    assert not summary.method["has_before"]
    assert summary.method["notes"] == []


def test_the_formula_takes_everyone_in_the_year_before_anybody_had_support():
    data, used, had = people()
    around = data.around_start(outcomes=["ae"], seed=3)
    row = regression_to_mean(data, around, outcome="ae").table.iloc[0]
    # Everyone's year of 2023, the supported among them, in months of the year.
    rates = gamma_poisson(used, np.full(len(used), 12.0))
    months = around.exposure["ae"][around.treated]
    used, had = used[around.unit.astype(int)], around.treated
    expected = (months[:, 12:].sum(1) @ rates.later(used[had], months[:, :12].sum(1))) / months[:, 12:].sum()
    change = 100 * (expected / (used[had].sum() / months[:, :12].sum()) - 1)
    assert row["formula_percent"] == pytest.approx(change, abs=0.51)
    assert row["formula_low"] < row["formula_percent"] < row["formula_high"] < 0


def test_people_alike_are_weighted_to_the_use_of_the_supported():
    data, used, had = people(n=1500)
    around = data.around_start(outcomes=["ae"], seed=3)
    row = regression_to_mean(data, around, outcome="ae").table.iloc[0]
    before, after = (around.outcomes["ae"][:, side].sum(1) for side in (slice(12), slice(12, None)))
    # The cohort is in the order of its identifiers.
    used, had = used[around.unit.astype(int)], around.treated
    assert (before == used).all()
    # Above five attendances few have no support; here they are one group.
    group = np.minimum(used, _top(used[~had]))
    share = np.bincount(group[had].astype(int), minlength=20) / np.bincount(
        group[~had].astype(int), minlength=20
    ).clip(1)
    weight = share[group[~had].astype(int)]
    change = 100 * (weight @ after[~had] / (weight @ before[~had]) - 1)
    assert row["alike_percent"] == pytest.approx(change, abs=0.6)
    assert row["alike_low"] < row["alike_percent"] < row["alike_high"]


def _top(counts):
    return max(c for c in np.unique(counts) if (counts >= c).sum() >= 10)


def test_nights_have_no_formula_but_people_alike_have_them_too():
    data, _, _ = people(n=1500, stays=True)
    around = data.around_start(outcomes=["bed_days"], seed=3)
    summary = regression_to_mean(data, around, outcome="bed_days")
    row = summary.table.iloc[0]
    assert np.isnan(row["formula_percent"])
    assert row["alike_percent"] < 0
    assert summary.method["notes"] == [
        "bed_days: nights come several to a stay, so the formula does not hold for them and is left out."
    ]


def test_with_nobody_alike_it_is_said():
    data, _, _ = people()
    around = data.around_start(outcomes=["ae"], seed=3)
    # Without support nobody used anything before.
    counts = around.outcomes["ae"] * around.treated[:, None]
    summary = regression_to_mean(data, replace(around, outcomes={"ae": counts}), outcome="ae")
    assert np.isnan(summary.table["alike_percent"][0])
    assert summary.method["notes"][-1].startswith("ae: too few people without support")


def test_all_of_it_is_withheld_with_the_counts_and_told_in_whole_per_cent():
    data, _, _ = people()
    around = data.around_start(outcomes=["ae"], seed=3)
    summary = regression_to_mean(data, around, outcome="ae")
    columns = [f"{how}_{end}" for how in ("formula", "alike") for end in ("percent", "low", "high")]
    shown = release({"naive": summary}, "hes")["naive"].table[columns].to_numpy(float)
    assert (shown == np.rint(shown)).all()
    few = around.subset(np.r_[np.flatnonzero(around.treated)[:6], np.flatnonzero(~around.treated)])
    hidden = release({"naive": regression_to_mean(data, few, outcome="ae")}, "hes")["naive"]
    assert hidden.table[columns].isna().all(axis=None)
    assert hidden.hidden[columns].all(axis=None)


def test_groups_of_use_hold_enough_people_from_the_highest_use_down():
    rng = np.random.default_rng(0)
    count, time = rng.negative_binomial(0.7, 0.2, 500).astype(float), np.full(500, 12.0)
    time[:40] = 5
    theirs = rng.random(500) < 0.7
    group = _groups_of_use(count, time, theirs)
    sizes = np.bincount(group[theirs])
    assert (sizes >= 10).all()
    assert len(sizes) > 5
    whole = time == 12
    order = np.argsort(count[whole], kind="stable")
    assert (np.diff(group[whole][order]) >= 0).all()
    assert not set(group[whole]) & set(group[~whole])
    # Who is like nobody is in none.
    assert (_groups_of_use(count, time, theirs & whole)[~whole] == -1).all()
