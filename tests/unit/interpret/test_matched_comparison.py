"""Every matching method and every model of outcomes, from a parameter file to effects."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import impact
from impact import did, disclosure, match
from impact.data import Cohort
from impact.data.longdata import LongData
from impact.errors import DesignError
from impact.interpret import (
    before_matching,
    build_panel,
    build_panels,
    compare,
    main_effects,
    matched,
    matched_results,
    month_by_month,
    rates,
    regression_to_mean,
    spillover,
)
from impact.pages import asked as asked_for
from impact.study.sections import Did, IndexDate

ON = ["age", "sex", "prior_ae"]


@pytest.fixture(scope="module")
def tenants(demo: Path):
    return impact.read(**study(demo).source)


def study(demo: Path, **matching) -> impact.Study:
    return impact.Study(
        data={table: str(demo / f"{table}.csv") for table in ("people", "contacts", "coverage")},
        design={"treated": ["signposting", "hand_holding"], "control": ["control", "pool"]},
        outcomes=["ae", "bed_days"],
        matching={"on": ON} | matching,
    )


def results(tenants, asked: impact.Study):
    people = tenants.at_baseline(**asked.baseline)
    sample = matched(tenants, baseline=asked.baseline, matching=asked.matching_plan)
    return sample, matched_results(sample, people, **asked.matched_results)


@pytest.mark.parametrize("method", match.METHODS)
def test_every_method_runs_from_a_parameter_file_to_effects(tenants, demo, method):
    found = main_effects(tenants, **study(demo, method=method).analysis)
    assert list(found)[:2] == ["effects", "balance"]
    effects = found["effects"]
    assert list(effects.labels["outcome"].unique()) == ["ae", "bed_days"]
    assert np.isfinite(effects.table[["estimate", "conf_low", "conf_high"]]).all().all()
    assert not effects.labels.duplicated(["outcome", "scale"]).any()


@pytest.mark.parametrize("model", match.OUTCOMES)
def test_every_model_of_outcomes_runs_and_can_be_released(tenants, demo, model):
    adjust = {} if model == "conditional_poisson" else {"adjust": ["age"]}
    _, found = results(tenants, study(demo, outcome_model=model, **adjust))
    assert np.isfinite(found["effects"].estimate).all()
    assert set(found["unmatched"].labels["outcome"]) == {"ae", "bed_days"}
    assert ("steps" in found) == (model == "hurdle")
    assert ("e_value" in found) == (model not in ("mean_difference", "abadie_imbens"))
    assert set(disclosure.release(found, "hes")) == set(found)


def test_each_outcome_may_have_its_own_model_with_one_covariance(tenants, demo):
    asked = study(demo, outcome_model={"bed_days": "hurdle"})
    sample = matched(tenants, baseline=asked.baseline, matching=asked.matching_plan)
    both = compare(sample, **asked.compared)
    alone = match.rate_ratio(sample, outcome="ae")
    hurdle = match.hurdle(sample, outcome="bed_days")
    assert both.labels["outcome"].tolist() == ["ae"] * len(alone) + ["bed_days"] * len(hurdle)
    np.testing.assert_allclose(both.estimate, [*alone.estimate, *hurdle.estimate])
    np.testing.assert_allclose(both.std_error, [*alone.std_error, *hurdle.std_error])


def test_a_risk_is_that_of_any_event_and_a_mean_is_that_of_a_person(tenants, demo):
    sample, found = results(tenants, study(demo, outcome_model={"ae": "risk", "bed_days": "mean_difference"}))
    used = sample.table[sample.table["weight"] > 0]
    cohort = sample.cohort.subset(np.isin(sample.cohort.person_id, used["person_id"]))
    there = cohort.exposure["ae"] > 0
    any_ = cohort.outcomes["ae"] > 0
    share = [any_[there & arm].mean() for arm in (cohort.treated, ~cohort.treated)]
    rows = found["effects"].table.set_index(["outcome", "scale"])["estimate"]
    assert rows["ae", "difference"] == pytest.approx(100 * (share[0] - share[1]), abs=2)
    units = found["effects"].labels.set_index("outcome")["unit"]
    assert units["bed_days"] == "a person"
    # Behind a mean number of nights stand nights, and not the people counted.
    nights = cohort.outcomes["bed_days"][cohort.treated].sum()
    assert found["effects"].counts["events"].iloc[-1] == nights


def test_everyone_of_a_set_is_followed_until_the_first_of_them_leaves(tenants, demo):
    apart, _ = results(tenants, study(demo))
    together, found = results(tenants, study(demo, pair_censoring=True))
    used = together.table[together.table["weight"] > 0]
    at = [list(together.cohort.person_id).index(i) for i in used["person_id"]]
    time = used.assign(months=together.cohort.exposure["ae"][at]).groupby("subclass")["months"]
    assert (time.max() - time.min()).max() < 0.05
    assert together.cohort.exposure["ae"].sum() < apart.cohort.exposure["ae"].sum()
    assert len(together.cohort) == len(apart.cohort)
    assert np.isfinite(found["effects"].estimate).all()


def test_matching_by_day_needs_people_with_days(demo):
    asked = study(demo, method="risk_set")
    long = LongData.__new__(LongData)
    with pytest.raises(DesignError, match="risk_set follows people from day to day"):
        matched(long, baseline=asked.baseline, matching=asked.matching_plan)


def test_the_matched_are_shown_by_month_where_people_have_dates(tenants, demo):
    asked = study(demo)
    sample = matched(tenants, baseline=asked.baseline, matching=asked.matching_plan)
    by_month = month_by_month(tenants, sample, **asked.month_by_month)["by_month"]
    assert set(by_month.table["arm"]) == {"supported", "control"}
    assert by_month.table["period"].min() < 0 < by_month.table["period"].max()
    cohort = Cohort.from_frame(
        pd.DataFrame({"helped": [1, 1, 0, 0], "age": [60, 70, 61, 71], "ae": [1, 2, 3, 4]}),
        treated="helped",
        outcomes=["ae"],
    )
    undated = match.nearest(cohort, on=["age"], distance="mahalanobis")
    assert month_by_month(cohort, undated, around={}, outcome="ae") == {}


def test_what_else_is_asked_for_stands_beside_the_effects(tenants, demo):
    asked = study(demo, negative_control=["gp"], outcome_model={"ltc_n": "mean_difference"})
    _, found = results(tenants, asked)
    more = {"effects", "unmatched", "audit", "other", "negative_control", "rosenbaum_bounds", "e_value"}
    assert set(found) == more
    assert found["other"].labels["outcome"].tolist() == ["ltc_n"]
    assert found["other"].method["questions"] == "secondary"
    assert found["other"].counts["events"].tolist() == found["other"].counts["treated"].tolist()
    assert set(found["negative_control"].labels["outcome"]) == {"gp"}
    assert set(results(tenants, study(demo, sensitivity=[]))[1]) == {"effects", "unmatched", "audit"}
    # Strata hold several people of both arms, to which bounds for matched sets do not apply.
    strata = results(tenants, study(demo, method="subclass"))[1]
    assert set(strata) == {"effects", "unmatched", "audit", "e_value"}


@pytest.mark.parametrize("estimator", ["two_by_two", "etwfe"])
def test_a_difference_in_differences_may_be_of_the_matched_alone(tenants, demo, estimator):
    asked = study(demo).model_copy(update={"did": Did(estimator=estimator, matched=True)})
    sample = matched(tenants, baseline=asked.baseline, matching=asked.matching_plan)
    panel = build_panel(tenants, **asked.panel_plan)
    used = sample.table.loc[sample.table["weight"] > 0, "person_id"]
    assert set(panel.covariates["person"]) == set(used)
    found = main_effects(tenants, **asked.analysis)
    expected = did.estimate(panel, outcome=["ae", "bed_days"], **asked.did_plan)
    np.testing.assert_allclose(found["effects"].estimate, expected.estimate)
    assert "among the matched people" in asked.protocol["Analysis"]


def test_before_and_after_is_around_the_dates_on_which_people_were_matched(tenants, demo):
    partner = {"index_date": IndexDate(rule="partner")}
    for design, more in ((partner, {}), ({}, {"method": "risk_set", "ratio": 2, "max_uses": 2})):
        given = study(demo, **more)
        changed = {"design": given.design.model_copy(update=design)}
        asked = given.model_copy(update=changed | {"did": Did(estimator="two_by_two", matched=True)})
        sample = matched(tenants, baseline=asked.baseline, matching=asked.matching_plan)
        panel = build_panel(tenants, **asked.panel_plan)
        after = panel.periods.to_numpy() >= 0
        # What happened in the year from there is what the matched comparison counts.
        people = sample.cohort.table.set_index("person_id")["ae"]
        used = sample.table.loc[sample.table["weight"] > 0, "person_id"]
        assert panel.outcomes["ae"][:, after].sum() == people.loc[used].sum()
        found = main_effects(tenants, **asked.analysis)["effects"]
        assert np.isfinite(found.table[["estimate", "conf_low", "conf_high"]]).all().all()
        assert (found.counts["persons"] <= len(set(panel.unit))).all()


def test_groups_that_a_study_names_stay_the_clusters_of_matched_people(tenants, demo):
    given = study(demo)
    design = given.design.model_copy(update={"cluster": ("building_id",)})
    asked = given.model_copy(update={"design": design, "did": Did(matched=True)})
    panel = build_panel(tenants, **asked.panel_plan)
    building = tenants.people.set_index("person_id")["building_id"].loc[panel.unit].to_numpy()
    assert len(set(panel.cluster)) == len(set(zip(panel.cluster, building, strict=True))) < 100
    sets = build_panel(tenants, **asked.model_copy(update={"design": given.design}).panel_plan)
    assert (sets.cluster == sets.covariates["matched_set"]).all()


def test_whether_it_can_work_is_said_before_any_outcome(tenants, demo):
    asked = study(demo, caliper={"score": 0.2, "age": 5}, ratio=2)
    people = tenants.at_baseline(**asked.baseline)
    said = before_matching(people, **asked.before_matching)
    assert set(said) == {"feasibility", "overlap"}
    assert said["feasibility"].method["works"] in ("yes", "partly", "no")
    assert "smallest detectable rate ratio" in set(said["feasibility"].table["question"])
    without = before_matching(people, **asked.before_matching | {"outcome": "unknown"})
    assert "smallest detectable rate ratio" not in set(without["feasibility"].table["question"])


def test_a_random_order_is_drawn_by_the_seed_of_the_study(demo):
    assert study(demo, order="random").matching_plan["seed"] == 20261122
    assert study(demo, order="random", seed=3).matching_plan["seed"] == 3
    assert "seed" not in study(demo).matching_plan


def test_people_are_matched_on_quarters_of_their_history(tenants, demo):
    history = {"services": ["ae"], "months": 12}
    for method in ("nearest", "risk_set"):
        asked = study(demo, method=method, on=["age", "prior_ae_q*", "trend_ae"], history=history)
        sample = matched(tenants, baseline=asked.baseline, matching=asked.matching_plan)
        names = [f"prior_ae_q{k}" for k in range(1, 5)]
        assert sample.method["covariates"] == ["age", *names, "trend_ae"]
        quarters = sample.cohort.table[names].sum(axis=1)
        np.testing.assert_array_equal(quarters, sample.cohort.table["prior_ae"])


def test_quarters_that_are_not_matched_on_are_shown_in_the_balance(tenants, demo):
    asked = study(demo, history={"services": ["ae"], "months": 6, "by": "month", "scale": "sqrt"})
    sample = matched(tenants, baseline=asked.baseline, matching=asked.matching_plan)
    table = match.balance(sample).table
    found = table.loc[table["kind"] == "prior period", "covariate"].unique().tolist()
    assert set(found) >= {f"prior_sqrt_ae_m{k}" for k in range(1, 7)}


def test_index_dates_are_drawn_within_strata_or_taken_from_one_month(tenants, demo):
    asked = study(demo)
    within = IndexDate(rule="partner", within=("sex",), months_before=6)
    design = asked.design.model_copy(update={"index_date": within})
    sample = matched(tenants, **plans(asked.model_copy(update={"design": design})))
    dates = sample.table[sample.table["weight"] > 0].assign(
        date=sample.cohort.people.set_index("person_id")["index_date"]
        .reindex(sample.table.loc[sample.table["weight"] > 0, "person_id"])
        .to_numpy()
    )
    assert (dates.groupby("subclass")["date"].nunique() == 1).all()
    start = tenants.people.loc[tenants.treated, "start_date"].dt.to_period("M").mode()[0]
    design = asked.design.model_copy(update={"index_date": IndexDate(rule="period", month=str(start))})
    sample = matched(tenants, **plans(asked.model_copy(update={"design": design})))
    assert (sample.cohort.people["index_date"].dt.to_period("M") == start).all()


def plans(asked: impact.Study):
    return {"baseline": asked.baseline, "matching": asked.matching_plan}


def test_controls_who_live_beside_supported_people_are_kept_apart_and_counted(tenants, demo):
    asked = study(demo, apart="household_id")
    sample = matched(tenants, **plans(asked))
    home = sample.cohort.people["household_id"]
    assert not set(home[sample.cohort.treated]) & set(home[~sample.cohort.treated])
    rule = sample.counts["rule"] == "shares a household with somebody supported"
    everyone = tenants.at_baseline(**asked.baseline)
    assert sample.counts.loc[rule, "persons"].sum() == len(everyone) - len(sample.cohort) > 0
    assert sample.counts["persons"].sum() == len(everyone)
    before = before_matching(everyone, **asked.before_matching)["feasibility"]
    assert before.table["persons"].iloc[0] <= len(sample.cohort)


@pytest.mark.parametrize(
    "more", [{}, {"method": "entropy_balance"}, {"replace": True}, {"method": "risk_set"}]
)
def test_the_effect_without_neighbours_stands_beside_the_other(tenants, demo, more):
    asked = study(demo, spillover="household_id", **more)
    sample = matched(tenants, **plans(asked))
    found = spillover(tenants, sample, **asked.spillover)
    planned = compare(sample, **asked.compared)
    assert found["spillover"].labels.equals(planned.labels)
    assert not np.allclose(found["spillover"].estimate, planned.estimate)
    shown = asked_for.spillover(disclosure.release({"effects": planned, **found}, "hes"))
    assert "who share a household with anybody supported" in shown.text
    assert "With all controls" in shown.html
    assert "Without those of the same household" in shown.html
    assert spillover(tenants, sample, **asked.spillover | {"by": None}) == {}
    assert asked_for.spillover({}).html == ""


def test_households_are_matched_in_place_of_people(tenants, demo):
    asked = study(demo, on=["age", "prior_ae"])
    design = asked.design.model_copy(update={"unit": "household_id"})
    asked = asked.model_copy(update={"design": design})
    sample, found = results(tenants, asked)
    assert sample.cohort.people["members"].max() > 1
    assert len(sample.cohort) < len(tenants.at_baseline(**study(demo).baseline))
    assert np.isfinite(found["effects"].estimate).all()


def test_the_time_around_the_start_is_that_of_the_matched_people(tenants, demo):
    given = study(demo)
    asked = given.model_copy(update={"did": Did(estimator="etwfe", matched=True)})
    panel, around = build_panels(tenants, **asked.panel_plan)
    assert (panel.clock, around.clock) == ("calendar", "event")
    sample = matched(tenants, **plans(asked))
    by_month = month_by_month(tenants, sample, **asked.month_by_month)["by_month"]
    shown = rates(around, outcome="ae")
    pd.testing.assert_frame_equal(shown.table, by_month.table)
    assert shown.method["sample"] == "matched"
    # Before and after is by the same weights, and stands on the people behind them.
    row = regression_to_mean(tenants, around, outcome="ae").table.iloc[0]
    for arm in ("supported", "control"):
        mine = shown.table[(shown.table["arm"] == arm) & (shown.table["period"] < 0)]
        expected = 1000 * mine["events"].sum() / mine["person_months"].sum()
        assert row[f"{arm}_before"] == pytest.approx(expected)
    everyone = build_panels(tenants, **given.model_copy(update={"did": Did()}).panel_plan)[1]
    assert "sample" not in rates(everyone, outcome="ae").method
    assert (
        row["control_persons"]
        < regression_to_mean(tenants, everyone, outcome="ae").table.iloc[0]["control_persons"]
    )
