"""Index dates by rule, who was eligible on them, and counts of single quarters before them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from impact.data import read_cohort, synthetic
from impact.errors import DataError, DesignError, ParameterError


def study(*, starts=("2024-03-10", "2024-05-20"), **columns):
    """Two supported people and five controls, all tenants since 2020; ``columns`` of the people by name."""
    people = pd.DataFrame(
        {
            "person_id": ["t1", "t2", "c1", "c2", "c3", "c4", "c5"],
            "arm": ["help", "help", *["usual"] * 5],
            "start_date": [*starts, *[None] * 5],
        }
    ).assign(**columns)
    contacts = pd.DataFrame(
        {
            "person_id": ["c1"] * 5,
            "service": "gp",
            # Two in the quarter before 1 May 2024, one in the one before, two a year earlier.
            "start": ["2024-04-30", "2024-02-01", "2024-01-31", "2023-04-30", "2022-08-01"],
        }
    )
    coverage = pd.DataFrame({"service": ["gp"], "first_date": "2022-05-01", "last_date": "2024-12-31"})
    return read_cohort(
        people=people, contacts=contacts, coverage=coverage, treated=["help"], control=["usual"]
    )


def flow(cohort):
    table = cohort.flow.table
    return table[table["stage"] == "left out"].set_index("rule")["persons"].to_dict()


@pytest.fixture(scope="module")
def world():
    drawn = synthetic.draw(np.random.default_rng(4), people=600)
    return read_cohort(
        people=drawn.people,
        contacts=drawn.contacts,
        coverage=drawn.coverage,
        treated=["signposting", "hand_holding"],
        control=["control", "pool"],
    )


def test_each_rule_that_makes_someone_ineligible_is_counted_by_itself():
    nobody = [None] * 7
    cohort = study(
        died=[*nobody[:3], "2024-02-01", *nobody[:3]],
        moved_out=[*nobody[:4], "2024-02-02", *nobody[:2]],
        tenancy_start=[*["2020-01-01"] * 5, "2024-03-05", "2024-02-01"],
    )
    everyone = pd.Series("2024-03-01", index=["c1", "c2", "c3", "c4", "c5"])
    dated = cohort.at(everyone, months_before=6)
    assert dated.person_id.tolist() == ["c1", "t1", "t2"]
    found = {rule: n for rule, n in flow(dated).items() if n}
    assert found == {
        "died before the index date": 1,
        "moved before the index date": 1,
        "not yet a tenant at the index date": 1,
        "not observed for 6 months before the index date": 1,
    }
    assert dated.flow.table["persons"].iloc[0] == dated.flow.table["persons"].iloc[1:].sum() == 7


def test_dates_are_drawn_within_strata():
    cohort = study(sex=["f", "m", "f", "m", "f", "m", "x"])
    dated = cohort.with_index_dates(within=["sex"], seed=3)
    index = dated.people.set_index("person_id")["index_date"].dt.strftime("%m-%d").to_dict()
    assert index == {
        **dict.fromkeys(("t1", "c1", "c3"), "03-10"),
        **dict.fromkeys(("t2", "c2", "c4"), "05-20"),
    }
    assert flow(dated)["control in a stratum without support"] == 1
    with pytest.raises(DataError, match="'sexx' is not a column of people"):
        cohort.with_index_dates(within=["sexx"])
    with pytest.raises(ParameterError, match="only dates that are drawn"):
        cohort.with_index_dates(rule="offer_date", within=["sex"])


def test_a_calendar_month_follows_its_starters_and_everyone_not_yet_supported():
    cohort = study().with_index_dates(rule="period", month="2024-03")
    people = cohort.people.set_index("person_id")
    assert people["treated"].to_dict() == {
        "t1": True,
        **dict.fromkeys(["c1", "c2", "c3", "c4", "c5", "t2"], False),
    }
    assert people.loc["t1", "index_date"] == pd.Timestamp("2024-03-10")
    assert set(people["index_date"].drop("t1")) == {pd.Timestamp("2024-03-01")}
    # A person supported later is a control until the day before.
    assert people.loc["t2", "observed_to"] == pd.Timestamp("2024-05-19")
    later = study().with_index_dates(rule="period", month="2024-05")
    assert flow(later)["supported before the index date"] == 1
    assert "t1" not in later.person_id
    with pytest.raises(DesignError, match="nobody's support began in it"):
        study().with_index_dates(rule="period", month="2024-04")
    for wrong in ({"rule": "period"}, {"month": "2024-03"}, {"rule": "period", "month": "spring"}):
        with pytest.raises(ParameterError, match="month="):
            study().with_index_dates(**wrong)


def test_everyone_was_observed_for_the_months_before(world):
    dated = world.with_index_dates(months_before=18, seed=1)
    before = dated.people["index_date"] - pd.DateOffset(months=18)
    assert (dated.people["observed_from"] <= before).all()
    assert len(dated) < len(world.with_index_dates(seed=1))
    assert any("18 months" in rule for rule in flow(dated))
    for wrong in (-1, 2.5, True):
        with pytest.raises(ParameterError, match="months_before"):
            world.with_index_dates(months_before=wrong)


def test_history_of_quarters_by_hand():
    cohort = study().at(pd.Series({"c1": "2024-05-01", "c2": "2024-05-02", "c3": "2023-11-01"}))
    people = cohort.with_history(["gp"]).people.set_index("person_id")
    quarters = [f"prior_gp_q{k}" for k in range(1, 9)]
    # On the first of May two years are observed to the day; half a year earlier only six quarters are.
    assert people.loc["c1", quarters].tolist() == [2, 1, 0, 0, 1, 0, 1, 0]
    assert people.loc["c3", quarters].isna().tolist() == [False] * 6 + [True] * 2
    assert people.loc["c4", quarters].isna().all()  # no index date
    x = np.array([0, 1, 0, 1, 0, 0, 1, 2])
    assert people.loc["c1", "trend_gp"] == pytest.approx(np.polyfit(np.arange(8), x, 1)[0])
    assert people.loc["c1", "latest_gp"] == pytest.approx(2 - 3 / 7)
    rooted = cohort.with_history("gp", months=6, by=3, scale="sqrt").people.set_index("person_id")
    assert rooted.loc["c1", "prior_sqrt_gp_q1"] == pytest.approx(np.sqrt(2))


def test_history_adds_up_and_is_counted_again_at_other_dates(world):
    dated = world.with_history(["gp", "bed_days"], months=12).with_index_dates(seed=2)
    for service in ("gp", "bed_days"):
        quarters = dated.people[[f"prior_{service}_q{k}" for k in range(1, 5)]]
        total = dated.people[f"prior_{service}"]
        np.testing.assert_array_equal(quarters.sum(axis=1, skipna=False), total)
    assert total.notna().any()
    months = world.with_index_dates(seed=2).with_history("gp", months=12, by=1, scale="log1p").people
    whole = np.expm1(months[[f"prior_log1p_gp_m{k}" for k in range(1, 13)]]).sum(axis=1, skipna=False)
    np.testing.assert_allclose(whole, months["prior_gp"])


def test_history_as_a_covariate_of_a_calendar_panel_is_taken_on_its_first_day():
    cohort = study().with_history(["gp"], months=6)
    panel = cohort.panel(outcomes=["gp"], start="2024-02", covariates=["prior_gp_q1", "trend_gp"])
    first = dict(zip(panel.unit, panel.covariates["prior_gp_q1"], strict=True))
    assert first["c1"] == 1
    assert "prior_gp_q1, trend_gp taken on the first day" in " ".join(panel.notes)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"scale": "cube"}, "scale='cube'"),
        ({"months": 10}, "months=10, by=3"),
        ({"by": 0}, "by=0"),
        ({"by": 24}, "two periods"),
        ({"services": []}, "services is empty"),
    ],
)
def test_a_history_that_cannot_be_is_refused(wrong, said):
    with pytest.raises(ParameterError, match=said):
        study().with_history(**{"services": ["gp"], **wrong})


def test_a_history_of_an_unknown_service_is_refused():
    with pytest.raises(DataError, match="gpp"):
        study().with_history(["gpp"])
