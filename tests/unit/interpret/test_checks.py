"""The batch of checks: what each changes, what these data do not admit, and what the gate must know of."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pandas as pd
import pytest

import impact
from impact import match
from impact.data import Cohort
from impact.data.panel import Panel
from impact.did import as_if_observed, estimate, lost, two_by_two
from impact.disclosure import release
from impact.errors import ParameterError
from impact.interpret import checks
from impact.interpret.recall import recalled
from impact.study.checks import Left


def people(n=400, periods=16, seed=1, ratio=0.6, start=(8, 10), places=20):
    """People who live in buildings; half are supported, from one of two months on."""
    rng = np.random.default_rng(seed)
    begins = np.where(np.arange(n) % 2, rng.choice(start, n), periods)
    mean = rng.gamma(3, 0.2, (n, 1)) * np.where(np.arange(periods) >= begins[:, None], ratio, 1.0)
    return Panel(
        unit=np.arange(n),
        periods=pd.RangeIndex(periods),
        outcomes={"ae": rng.poisson(mean).astype(float)},
        exposure={"ae": np.ones((n, periods))},
        start=begins,
        treated=begins < periods,
        covariates=pd.DataFrame({"building_id": np.arange(n) * places // n}),
        cluster=np.arange(n),
        weights=np.ones(n),
        arm=np.where(begins < periods, "supported", "control"),
        step="month",
    )


def batch(panel, *, estimator="etwfe", inference=None, asked=None, **arguments):
    did = {"estimator": estimator, **arguments} | ({"inference": inference} if inference else {})
    return checks(None, panel, outcome="ae", plan={"did": did}, asked=asked)


def of(found, check):
    return found.table.set_index("check").loc[check]


def said(found):
    return " ".join(found.method["notes"])


def test_each_changes_one_thing_and_the_first_is_the_plan():
    planned = {"estimator": "callaway_santanna", "control": "not_yet_treated", "anticipation": 1}
    found, main = batch(people(), **planned), estimate(people(), outcome="ae", **planned)
    row = of(found, "planned")
    at = main.table[main.table["scale"] == "log ratio"].iloc[0]
    for column in ("estimate", "conf_low", "conf_high", "p_value"):
        assert row[column] == pytest.approx(at[column])
    same = found.table[found.table["asks"] == "same answer"]
    assert same["check"].tolist() == [
        *("planned", "start", "around", "estimator", "build_up", "controls", "buildings")
    ]
    assert same["estimate"].round(9).nunique() == len(same)


def test_what_is_not_asked_for_is_not_made_and_what_cannot_be_is_told_with_its_reason():
    found = batch(people(), asked={"leave_out": ("lost", "e_value", "pretend")})
    assert not set(found.table["check"]) & {"lost_worst", "e_value", "pretend"}
    assert "E-value" not in said(found)
    for reason in (
        "Without covariates: the plan has none",
        "with anyone supported: all of them do",
        "support cannot change: none is named",
        "counted in records, not asked of people",
    ):
        assert reason in said(found)


def test_leaving_out_nothing_is_the_plan():
    found = batch(people(), asked={"exclude_months": 0, "lost_use": (1.0, 1.0)})
    assert "around" not in set(found.table["check"])
    assert "Those who died or left: nobody did" in said(found)
    near = replace(people(), covariates=pd.DataFrame({"building_id": np.where(people().treated, 1, 2)}))
    assert "with anyone supported: there are none" in said(batch(near))


def test_errors_that_are_not_those_of_the_main_result_are_told():
    few = replace(people(), cluster=np.arange(400) // 20)
    assert "The range of the main result is by CR3" in said(batch(few, inference="CR3"))
    assert "main result is by" not in said(batch(few))


@pytest.mark.parametrize("clock", ["calendar", "event"])
@pytest.mark.parametrize("estimator", ["two_by_two", "twfe"])
def test_what_happened_to_all_in_the_start_month_is_no_effect_without_it(clock, estimator):
    panel = people(ratio=1.0, start=(8,), seed=2)
    panel.outcomes["ae"][:, 8] += 5
    panel = replace(panel, clock=clock, periods=pd.RangeIndex(-8, 8))
    row = of(batch(panel, estimator=estimator, family="linear"), "start")
    assert row["conf_low"] < 0 < row["conf_high"]


def test_months_around_the_start_are_left_out_of_what_is_compared_too():
    """A peak in the month before and after would be the base of Callaway and Sant'Anna's estimates."""
    panel = people(ratio=1.0, start=(8,), n=2000)
    panel.outcomes["ae"][panel.treated, 7] += 1
    found = batch(panel, estimator="callaway_santanna")
    assert of(found, "planned")["conf_high"] < 0
    assert of(found, "around")["conf_low"] < 0 < of(found, "around")["conf_high"]


def test_a_pretended_start_finds_what_began_before_support_and_nothing_where_nothing_did():
    assert of(batch(people()), "pretend")["p_value"] > 0.05
    moving = people(n=1200)
    earlier = moving.treated[:, None] & (np.arange(16) >= moving.start[:, None] - 4)
    moving.outcomes["ae"][earlier] = np.random.default_rng(1).binomial(
        moving.outcomes["ae"][earlier].astype(int), 0.6
    )
    row = of(batch(moving, asked={"pretend_months": 4}), "pretend")
    assert row["p_value"] < 0.001
    assert row["term"] == "Support pretended to begin 4 months earlier"
    # What is planned to be a build-up to support is not held against it.
    assert of(batch(moving, anticipation=4, asked={"pretend_months": 3}), "pretend")["p_value"] > 0.05


def test_with_too_little_time_before_support_fewer_months_are_held_out():
    assert (
        "2 months earlier" in of(batch(people(start=(3, 4)), asked={"pretend_months": 4}), "pretend")["term"]
    )
    assert "too little time before it" in said(batch(people(start=(1,))))


def brute(panel, codes, size):
    """The estimate without each building, or each two, that hold enough people."""
    from itertools import combinations

    def ratio(p):
        effects = two_by_two(p, outcome="ae", family="poisson")
        return effects.estimate[(effects.labels["scale"] == "log ratio").to_numpy()][0]

    main, found = ratio(panel), {}
    for out in combinations(np.unique(codes), size):
        members = np.isin(codes, out)
        found[out] = ratio(panel.subset(~members)) - main
    return main, found


@pytest.mark.parametrize("seed", range(4))
def test_the_building_left_out_is_the_one_that_matters_most(seed):
    panel = replace(people(seed=seed, start=(8,)), clock="event", periods=pd.RangeIndex(-8, 8))
    main, each = brute(panel, panel.covariates["building_id"], 1)
    row = of(batch(panel, estimator="two_by_two", family="poisson"), "buildings")
    assert row["term"] == "Without the building that matters most"
    assert abs(row["estimate"] - main) == pytest.approx(max(map(abs, each.values())))


def test_small_buildings_go_together_so_that_no_few_people_can_be_told_from_the_rest():
    found = batch(people(places=100))
    assert of(found, "buildings")["term"].startswith("Without the ")
    number = int(of(found, "buildings")["term"].split()[2])
    assert number >= 5
    counts = found.counts["fewest"].to_numpy()[(found.table["check"] == "buildings").to_numpy()]
    assert counts[0] >= 10
    one = people(n=40, places=2)
    assert "holds too few people, or too large a part of all" in said(batch(one))
    assert "do not say who lives in which building" in said(
        batch(replace(people(), covariates=pd.DataFrame(index=range(400))))
    )


def test_neighbours_left_out_are_counted_for_the_gate():
    panel = people(n=600)
    home = np.where(panel.treated, np.arange(600) // 40, 100 + np.arange(600) // 40)
    home[np.flatnonzero(~panel.treated)[:3]] = home[panel.treated][0]
    panel = replace(panel, covariates=pd.DataFrame({"building_id": home}))
    found = batch(panel)
    at = (found.table["check"] == "spillover").to_numpy()
    assert found.counts["fewest"].to_numpy()[at][0] == 3
    shown = release({"checks": found}, "hes")["checks"]
    assert shown.table["estimate"].isna()[at].all()
    assert shown.table["estimate"].notna().to_numpy()[(found.table["check"] == "planned").to_numpy()].all()
    assert not {"persons", "treated", "events", "fewest"} & set(shown.table)


def tiny(values, seen):
    """Half of the people are supported in the last two of three years; not all are seen in the last."""
    n = len(values)
    helped = np.arange(n) < n // 2
    return Panel(
        unit=np.arange(n),
        periods=pd.RangeIndex(-1, 2),
        outcomes={"falls": np.array(values, float) * np.column_stack([np.ones((n, 2)), seen])},
        exposure={"falls": np.column_stack([np.ones((n, 2)), seen]).astype(float)},
        start=np.where(helped, 1, 3),
        treated=helped,
        covariates=pd.DataFrame(index=range(n)),
        cluster=np.arange(n),
        weights=np.ones(n),
        arm=np.array(["all"] * n),
        clock="event",
        rate_scale=1.0,
        per="per person and year",
        step="year",
        ended=np.where(np.array(seen) > 0, "", "death"),
    )


@pytest.mark.parametrize(("supported", "control"), [(0.0, 2.0), (2.0, 0.0), (1.0, 1.0)])
def test_worst_cases_by_hand(supported, control):
    """In the last year one of the supported is seen, with 1, and one of the controls, with 3."""
    panel = tiny([[4, 1, 1], [6, 3, 9], [5, 3, 3], [3, 1, 9]], [1, 0, 1, 0])
    assert lost(panel, outcome="falls")[:, 2].tolist() == [False, True, False, True]
    filled = as_if_observed(panel, outcome="falls", supported=supported, control=control)
    assert filled.outcomes["falls"][:, 2].tolist() == [1.0, supported, 3.0, 3 * control]
    assert (filled.exposure["falls"] == 1).all()
    change = ((1 - 4) + ((3 + supported) / 2 - 6)) / 2 - ((3 - 5) + ((1 + 3 * control) / 2 - 3)) / 2
    assert two_by_two(filled, outcome="falls", family="linear").estimate[0] == pytest.approx(change)


@pytest.mark.parametrize("lowest", [True, False])
def test_a_yes_or_no_has_manskis_bounds(lowest):
    """Six of eight of each side are seen; the two others may all have it, or none of them."""
    y = [1, 1, 0, 0, 0, 0, 9, 9, 1, 1, 1, 0, 0, 0, 9, 9]
    panel = tiny([[0.5, 0.5, v] for v in y], [int(v < 9) for v in y])
    shares = 2 / 6, 3 / 6
    # As many times the share as make everyone who was lost a yes, or none of them.
    times = (0.0, 1 / shares[1]) if lowest else (1 / shares[0], 0.0)
    filled = as_if_observed(panel, outcome="falls", supported=times[0], control=times[1])
    bound = 2 / 8 - (3 + 2) / 8 if lowest else (2 + 2) / 8 - 3 / 8
    # The last year is half of the time with support.
    assert two_by_two(filled, outcome="falls", family="linear").estimate[0] == pytest.approx(bound / 2)


def test_as_much_as_others_changes_little_and_worst_cases_lie_on_both_sides():
    panel = people()
    gone = np.random.default_rng(0).random(400) < 0.2
    time = panel.exposure["ae"].copy()
    time[gone, 12:] = 0
    panel = replace(
        panel, exposure={"ae": time}, outcomes={"ae": panel.outcomes["ae"] * (time > 0)},
        ended=np.where(gone, "move", ""),
    )  # fmt: skip
    found = batch(panel)
    best, planned, worst = (of(found, name)["estimate"] for name in ("lost_best", "planned", "lost_worst"))
    assert best < planned < worst
    even = of(batch(panel, asked={"lost_use": (1.0, 1.0)}), "lost_worst")["estimate"]
    assert even == pytest.approx(planned, abs=abs(planned) / 10)
    at = found.table["check"].isin(["lost_best", "lost_worst"]).to_numpy()
    assert (found.counts["fewest"][at] <= gone.sum() / 2 + 10).all()


def test_whoever_reached_the_end_of_their_follow_up_is_not_lost():
    panel = people(start=(8,)).followed_for(3)
    assert not lost(panel, outcome="ae").any()


def test_a_multiple_below_zero_is_refused():
    with pytest.raises(ParameterError, match="supported=-1: give a number of at least 0"):
        as_if_observed(people(), outcome="ae", supported=-1, control=0)


def told():
    frame = pd.DataFrame({"helped": [1] * 50 + [0] * 50, "visits": [1, 2] * 25 + [4, 2] * 25})
    cohort = Cohort.from_frame(frame, treated="helped", outcomes=["visits"])
    return match.rate_ratio(cohort, outcome="visits")


def test_memory_that_errs_alike_leaves_the_ratio_and_one_side_moves_it_by_hand():
    effects = told()
    ratio = (effects.labels["scale"] == "log ratio").to_numpy()
    alike = recalled(effects, supported=-0.2, control=-0.2)
    assert alike.estimate == pytest.approx(effects.estimate[ratio])
    assert alike.std_error == pytest.approx(effects.std_error[ratio])
    # 1.5 visits told of 1.5 / 0.75 = 2 made, against 3: a third fewer, not a half.
    assert np.exp(recalled(effects, supported=-0.25, control=0.0).estimate) == pytest.approx(2 / 3)
    with pytest.raises(ParameterError, match=r"control=-1: give an error above -1"):
        recalled(effects, supported=0, control=-1)


def test_memory_is_checked_where_people_were_asked():
    found = batch(people(), asked={"asked_of_people": ("ae",)})
    less, more = (of(found, name) for name in ("recall_less", "recall_more"))
    assert less["estimate"] > of(found, "planned")["estimate"] > more["estimate"]
    assert less["term"] == "If people with support had told 36% too few"
    assert less["asks"] == "bears it"


def test_the_e_value_is_that_of_the_planned_ratio():
    main = estimate(people(), outcome="ae", estimator="etwfe")
    assert of(batch(people()), "e_value")["strength"] == pytest.approx(
        match.e_value(main).table["breakdown"][0]
    )


def cohort(n=600, seed=2):
    rng = np.random.default_rng(seed)
    age = rng.normal(70, 8, n).round()
    helped = rng.random(n) < 0.3
    frame = pd.DataFrame({"helped": helped, "age": age, "sex": rng.integers(0, 2, n)})
    frame["falls"] = rng.poisson(np.exp(0.02 * (age - 70)) * np.where(helped, 0.8, 1.6))
    frame["eyes"] = rng.poisson(1.0, n)
    frame["building_id"] = rng.integers(0, 400, n)
    return Cohort.from_frame(frame, treated="helped", outcomes=["falls", "eyes"])


class Made:
    """Stands for data whose people are described already."""

    def __init__(self, people):
        self.people_ = people

    def at_baseline(self, **_):
        return self.people_


def matched_batch(people=None, **asked):
    people = cohort() if people is None else people
    plan = {
        "compared": {"model": "poisson", "adjust": ()},
        "baseline": {"outcomes": ["falls", "eyes"], "months": 12},
        "matching": {"method": "nearest", "on": ["age", "sex"], "ratio": 1, "distance": "mahalanobis"},
    }
    sample = match.nearest(people, on=["age", "sex"], distance="mahalanobis")
    return sample, checks(Made(people), sample, outcome="falls", plan=plan, asked=asked)


def test_a_matched_comparison_has_a_batch_of_its_own():
    sample, found = matched_batch(negative_control=("eyes",))
    assert found.table["check"].tolist() == [
        *("planned", "method", "covariates", "spillover", "negative_control", "rosenbaum_bounds", "e_value")
    ]
    main = match.rate_ratio(sample, outcome="falls")
    assert of(found, "planned")["estimate"] == pytest.approx(
        main.estimate[(main.labels["scale"] == "log ratio").to_numpy()][0]
    )
    bounds = match.rosenbaum_bounds(sample, outcome="falls").table["breakdown"][0]
    assert of(found, "rosenbaum_bounds")["strength"] == pytest.approx(bounds)
    assert of(found, "negative_control")["p_value"] > 0.01
    assert "do not say when people died or left" in said(found)
    shown = release({"checks": found}, "hes")["checks"].table
    assert shown["estimate"].notna().sum() == 5


@pytest.mark.parametrize("residents", [80, 6])
def test_the_building_that_matters_most_to_pairs_is_left_out_and_goes_with_others_if_small(residents):
    rng = np.random.default_rng(1)
    people, n = cohort(), 600
    home = 1 + np.arange(n) % 60
    home[rng.choice(n, residents, replace=False)] = 0
    # In one building people with support fall all the time.
    falls = people.outcomes["falls"] + 30.0 * ((home == 0) & people.treated)
    table = people.people.assign(building_id=home, falls=falls)
    there = Cohort.from_frame(table, treated="treated", outcomes=["falls", "eyes"])
    sample, found = matched_batch(there)
    row = of(found, "buildings")
    assert row["estimate"] < of(found, "planned")["estimate"] - 0.1
    assert found.counts["fewest"][(found.table["check"] == "buildings").argmax()] >= 10
    if residents == 6:
        assert "Without the building that matters most, and " in row["term"]
        return
    assert row["term"] == "Without the building that matters most"
    # Who lived there, and sets that are left with one side only, are out; the others stay as they are.
    used = sample.table[sample.table["weight"] > 0].merge(table[["person_id", "building_id"]], on="person_id")
    broken = used.loc[used["building_id"] == 0, "subclass"]
    kept = replace(sample, table=sample.table[~sample.table["subclass"].isin(broken)].reset_index(drop=True))
    by_hand = match.rate_ratio(kept, outcome="falls")
    assert row["estimate"] == pytest.approx(by_hand.estimate[0])


def test_the_first_months_with_support_are_left_out_of_both_sides(demo):
    study = impact.Study(
        data={table: str(demo / f"{table}.csv") for table in ("people", "contacts", "coverage")},
        design={"treated": ["signposting", "hand_holding"], "control": ["control", "pool"]},
        outcomes=["ae"],
        matching={"on": ["age", "prior_ae"]},
        checks={"exclude_months": 2},
    )
    tenants = impact.read(**study.source)
    asked = {"baseline": study.baseline, "matching": study.matching_plan}
    sample = impact.interpret.matched(tenants, **asked)
    only = {"leave_out": [name for name in get_args(Left) if name != "start"], "exclude_months": 2}
    found = checks(tenants, sample, outcome="ae", plan={**asked, "compared": {}}, asked=only)
    later = replace(sample, cohort=sample.cohort.follow_up(outcomes=["ae"], months=12, washout=2))
    row = of(found, "start")
    assert row["term"] == "Without the first 2 months with support"
    assert row["estimate"] == pytest.approx(match.rate_ratio(later, outcome="ae").estimate[0])
    together = {**asked, "matching": {**asked["matching"], "pair_censoring": True}, "compared": {}}
    none = checks(tenants, sample, outcome="ae", plan=together, asked=only)
    assert "everyone of a set is followed together" in said(none)


def test_what_may_be_named_to_be_left_out_are_the_checks():
    from impact.interpret.checks import DEFAULTS
    from impact.study.checks import Checks

    assert set(DEFAULTS) == set(Checks.model_fields)
    section = Checks.model_validate({}).model_dump()
    assert {k: tuple(v) if isinstance(v, (list, tuple)) else v for k, v in section.items()} == dict(DEFAULTS)
    left = batch(people(), asked={"leave_out": get_args(Left)})
    assert left.table["check"].tolist() == ["planned"]
    assert not left.method["notes"]
