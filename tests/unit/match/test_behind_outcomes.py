"""What lies behind an effect: people and events counted once, and no certainty from one person or set."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

from impact import match
from impact.data import Cohort
from impact.disclosure import release
from impact.errors import DataError, DesignError


def frame_of(n=120, seed=3):
    rng = np.random.default_rng(seed)
    age = rng.normal(0, 1, n)
    frame = pd.DataFrame({"helped": (rng.random(n) < 0.3) * 1, "age": age, "months": rng.uniform(4, 12, n)})
    frame["visits"] = rng.poisson(rng.gamma(1.5, 1, n) * frame["months"] * 0.2)
    return frame.assign(score=(50 + 3 * age + 4 * rng.normal(size=n)).round(1), area="a")


def cohort_of(frame):
    return Cohort.from_frame(frame, treated="helped", outcomes=["visits"], exposure="months")


@pytest.mark.parametrize(
    "method",
    [
        partial(match.subclass, on=["age"], subclasses=1),
        partial(match.coarsened_exact, on=[], exact=["area"]),
    ],
    ids=["subclass", "coarsened_exact"],
)
def test_one_stratum_of_many_people_is_the_crude_comparison(method):
    """The strata are no clusters: people are, by the variance of each arm with n - 1 of its own."""
    frame = frame_of()
    cohort = cohort_of(frame)
    effects, crude = (match.rate_ratio(m, outcome="visits") for m in (method(cohort), cohort))
    np.testing.assert_allclose(effects.estimate, crude.estimate, rtol=1e-9)
    most, least = (np.sqrt(n / (n - 1)) for n in sorted(frame["helped"].value_counts()))
    ratio = effects.std_error / crude.std_error
    assert ((least < ratio) & (ratio < most)).all()


def test_a_control_who_stands_for_everyone_gives_no_certainty():
    """One control is like the supported, all others are far off: with replacement only that one is used."""
    frame = frame_of()
    controls = frame.index[frame["helped"] == 0]
    frame.loc[controls[1:], "age"] -= 40
    frame.loc[controls[0], ["age", "visits"]] = 0, 2
    matched = match.nearest(cohort_of(frame), on=["age"], distance="mahalanobis", replace=True)
    for model in (
        partial(match.rate_ratio, outcome="visits"),
        partial(match.mean_difference, outcome="score"),
        partial(match.mean_difference, outcome="score", method="abadie_imbens"),
    ):
        with pytest.raises(DesignError, match="among the controls only one person or set"):
            model(matched)


def test_one_control_who_stands_for_many_is_told_of():
    frame = frame_of().assign(level=0)
    frame.loc[frame["helped"] == 1, "level"] = np.arange((frame["helped"] == 1).sum()) % 2
    only = frame.index[frame["helped"] == 0][0]
    frame.loc[only, "level"] = 1
    found = match.coarsened_exact(cohort_of(frame), on=[], exact=["level"])
    told = match.rate_ratio(found, outcome="visits").method["notes"]
    assert any("more than 15% of the weight" in note for note in told)
    frame.loc[frame["helped"] == 0, "level"] = np.arange((frame["helped"] == 0).sum()) % 2
    found = match.coarsened_exact(cohort_of(frame), on=[], exact=["level"])
    assert match.rate_ratio(found, outcome="visits").method["notes"] == []


def test_events_of_one_set_alone_give_no_certainty():
    frame = frame_of().assign(visits=0)
    matched = match.nearest(cohort_of(frame), on=["age"])
    pair = matched.table.loc[matched.table["subclass"] == 1, "person_id"]
    frame.loc[pair, "visits"] = 9, 10
    matched = match.nearest(cohort_of(frame), on=["age"])
    for estimand in ("marginal", "conditional"):
        with pytest.raises(DesignError, match="all events are of one set"):
            match.rate_ratio(matched, outcome="visits", estimand=estimand)


def test_sets_without_events_lend_the_conditional_ratio_no_freedom():
    frame = frame_of().assign(visits=0)
    sets = match.nearest(cohort_of(frame), on=["age"]).table
    some = sets[sets["subclass"] <= 5]["person_id"]
    frame.loc[some, "visits"] = np.arange(1, 11)
    matched = match.nearest(cohort_of(frame), on=["age"])
    effects = match.rate_ratio(matched, outcome="visits", estimand="conditional")
    assert effects.df == 4
    assert effects.counts[["persons", "treated", "clusters"]].iloc[0].tolist() == [10, 5, 5]


def test_who_serves_often_is_counted_once():
    """For the effect on controls, the supported are used again."""
    frame = frame_of()
    matched = match.nearest(cohort_of(frame), on=["age"], estimand="ATC", replace=True)
    used = matched.table.loc[matched.table["weight"] > 0, "person_id"].unique()
    of = frame.loc[used].groupby("helped")
    counts = match.rate_ratio(matched, outcome="visits").counts.iloc[0]
    assert (counts["persons"], counts["treated"], counts["events"]) == (
        len(used),
        of.size()[1],
        of["visits"].sum()[1],
    )
    assert counts["fewest"] == of["visits"].sum().min()
    assert match.mean_difference(matched, outcome="score").counts["treated"][0] == of.size()[1]


@pytest.mark.parametrize("arm", [1, 0])
def test_who_has_no_time_at_risk_leaves_with_their_set(arm):
    """One of the arms is not covered where people are young; their partners must not stay."""
    frame = frame_of().assign(months=1.0)
    lost = (frame["helped"] == arm) & (frame["age"] < 0)
    matched = match.nearest(cohort_of(frame), on=["age"])
    table = matched.table[matched.table["weight"] > 0]
    broken = table.loc[table["person_id"].isin(frame.index[lost]), "subclass"]
    kept = (
        frame.loc[table.loc[~table["subclass"].isin(broken), "person_id"]].groupby("helped")["visits"].sum()
    )
    frame.loc[lost, ["months", "visits"]] = 0
    effects = match.rate_ratio(matched, outcome="visits", cohort=cohort_of(frame))
    assert effects.estimate[0] == pytest.approx(np.log(kept[1] / kept[0]))


def test_abadie_imbens_where_sets_were_lost():
    """The same as among the sets that are left, but for the neighbours that tell the spread."""
    frame = frame_of()
    matched = match.nearest(cohort_of(frame), on=["age"], ratio=2, replace=True)
    rest = matched.cohort.subset(np.arange(len(frame)) % 7 > 0)
    a, b = (
        match.mean_difference(matched, outcome="score", method=method, cohort=rest)
        for method in ("abadie_imbens", "regression")
    )
    assert a.estimate[0] == pytest.approx(b.estimate[0])


def hurdled(some):
    """Nights of so many of 40 supported people, and of 20 of 60 controls."""
    nights = np.zeros(100)
    nights[: len(some)] = some
    nights[40:60] = np.arange(20) % 5 + 1
    frame = pd.DataFrame({"helped": np.arange(100) < 40, "nights": nights})
    return Cohort.from_frame(frame, treated="helped", outcomes=["nights"])


def test_each_step_of_a_hurdle_counts_its_own_people():
    effects = match.hurdle(hurdled([30, 12, 9]), outcome="nights")
    counts = effects.counts.groupby(effects.labels["term"]).first()
    assert counts.loc["any", ["persons", "treated", "events", "fewest"]].tolist() == [100, 40, 3, 3]
    assert counts.loc["given any", ["persons", "treated", "events", "fewest"]].tolist() == [23, 3, 51, 51]
    assert counts.loc["effect", ["persons", "treated", "events", "fewest"]].tolist() == [100, 40, 51, 51]
    shown = release({"hurdle": effects}, "hes")["hurdle"].table.groupby("term")["withheld"].first()
    assert shown.to_dict() == {"any": True, "given any": True, "effect": False}
    with pytest.raises(DesignError, match="a single person or set has any"):
        match.hurdle(hurdled([30]), outcome="nights")


def test_few_events_of_the_controls_withhold_a_ratio():
    """With the events of the supported, the ratio gives those of the controls."""
    frame = pd.DataFrame({"helped": np.arange(80) < 40, "falls": np.arange(80) < 43})
    cohort = Cohort.from_frame(frame.astype({"falls": int}), treated="helped", outcomes=["falls"])
    effects = match.rate_ratio(cohort, outcome="falls")
    assert effects.counts[["events", "fewest"]].iloc[0].tolist() == [40, 0]
    frame["falls"] = np.where(frame["helped"], 2, frame["falls"])
    cohort = Cohort.from_frame(frame, treated="helped", outcomes=["falls"])
    effects = match.rate_ratio(cohort, outcome="falls")
    assert effects.counts[["events", "fewest"]].iloc[0].tolist() == [80, 3]
    assert release({"falls": effects}, "hes")["falls"].table["withheld"].all()


@pytest.mark.parametrize("model", [match.risk, match.mean_difference])
def test_a_few_exceptions_withhold_a_share(model):
    """A yes or no that nearly everyone has tells who has not."""
    fell = (np.arange(80) % 40 >= 3) * 1
    frame = pd.DataFrame({"helped": np.arange(80) < 40, "fell": np.where(np.arange(80) < 60, fell, 1 - fell)})
    effects = model(Cohort.from_frame(frame, treated="helped"), outcome="fell")
    assert effects.counts["fewest"].tolist() == [3] * len(effects)
    assert release({"fell": effects}, "hes")["fell"].table["withheld"].all()


@pytest.mark.parametrize("method", ["regression", "aipw", "abadie_imbens"])
def test_a_value_that_all_share_gives_no_certainty(method):
    """Rounding alone would have made a tiny error of it, and a p-value of 0."""
    frame = frame_of().assign(score=lambda f: 5.1 + f["helped"] / 3)
    matched = match.nearest(cohort_of(frame), on=["age"], replace=True)
    with pytest.raises(DesignError, match="everyone has the same value"):
        match.mean_difference(matched, outcome="score", method=method)


@pytest.mark.parametrize("method", ["regression", "aipw"])
def test_the_average_effect_counts_everyone_as_their_base_does(method):
    """With slopes that support changes: the mean of age by the weights of the survey, adjusted or not."""
    frame = frame_of().assign(score=lambda f: 2 * f["age"] + f["helped"] * (1 + 3 * f["age"]))
    frame["survey"] = np.random.default_rng(1).uniform(0.2, 5, len(frame))
    matched = match.entropy_balance(cohort_of(frame), on=["age"], estimand="ATE", base="survey")
    expected = 1 + 3 * np.average(frame["age"], weights=frame["survey"])
    for adjust in ([], ["age"]):
        effects = match.mean_difference(matched, outcome="score", adjust=adjust, method=method)
        assert effects.estimate[0] == pytest.approx(expected)


def test_events_without_time_at_risk_are_refused():
    """They would otherwise be left out without a word."""
    frame = frame_of().assign(visits=1)
    frame.loc[:2, "months"] = 0
    with pytest.raises(DataError, match="visits: 3 rows have events and no time at risk in 'months'"):
        cohort_of(frame)


def test_a_few_pairs_of_one_kind_withhold_their_test():
    """Twelve pairs in which only the supported fell and three in which only the control did."""
    frame = pd.DataFrame({"helped": np.arange(80) < 40, "age": np.tile(np.arange(40.0), 2), "months": 1.0})
    frame["fell"] = frame["visits"] = np.where(frame["helped"], frame["age"] < 12, frame["age"] > 36) * 1
    pairs = match.nearest(cohort_of(frame), on=["age"], distance="mahalanobis")
    test, bounds = match.mcnemar(pairs, outcome="fell"), match.rosenbaum_bounds(pairs, outcome="visits")
    assert test.counts[["events", "fewest"]].iloc[0].tolist() == [15, 3]
    assert bounds.counts[["events", "fewest"]].iloc[0].tolist() == [12, 3]
    shown = release({"test": test, "bounds": bounds}, "hes")
    assert shown["test"].table["withheld"].all()
    assert shown["bounds"].table["withheld"].all()


def test_feasibility_says_that_no_prior_use_is_known():
    cohort = cohort_of(frame_of().assign(prior_visits=np.nan))
    with pytest.raises(DataError, match="'prior_visits' is missing for all controls"):
        match.feasibility(cohort, on=["age"], outcome="visits")


def test_people_with_several_dates_are_one_cluster_each():
    """Everyone twice, as after risk-set matching, is no more information; neighbours would be oneself."""
    frame = frame_of()
    once = cohort_of(frame)
    twice = replace(
        cohort_of(pd.concat([frame, frame], ignore_index=True)), _pid=np.tile(np.arange(len(frame)), 2)
    )
    a, b = (match.rate_ratio(c, outcome="visits") for c in (once, twice))
    n = len(frame)
    factor = np.sqrt((2 * n - 1) / (2 * n - 2) / ((n - 1) / (n - 2)))
    assert b.std_error[0] == pytest.approx(a.std_error[0] * factor)
    pd.testing.assert_frame_equal(a.counts, b.counts)
    matched = match.nearest(twice, on=["age"])
    with pytest.raises(DesignError, match="one date each"):
        match.mean_difference(matched, outcome="score", method="abadie_imbens")


@pytest.mark.parametrize("missing", ["indicator", "category"])
def test_covariates_are_adjusted_for_as_they_were_matched(missing):
    """Who could be matched without a value can be adjusted without one."""
    frame = frame_of()
    frame.loc[::6, "age"] = np.nan
    matched = match.nearest(cohort_of(frame), on=["age"], missing=missing)
    effects = match.rate_ratio(matched, outcome="visits", adjust=["age"])
    if missing == "indicator":
        used = frame.loc[matched.table.loc[matched.table["weight"] > 0, "person_id"]]
        gap = used["age"].isna().astype(float)
        filled = used.assign(age=used["age"].fillna(used["age"].mean()), gap=gap)
        plain = match.rate_ratio(cohort_of(filled), outcome="visits", adjust=["age", "gap"])
        np.testing.assert_allclose(effects.estimate, plain.estimate, rtol=1e-7)
    assert effects.counts["persons"][0] == 2 * frame["helped"].sum()


def test_people_with_several_dates_are_counted_once_in_balance():
    """Controls stand in two rows each, of which both are used."""
    frame = frame_of(60)
    several = pd.concat([frame, frame[frame["helped"] == 0]], ignore_index=True)
    person = np.append(np.arange(60), frame.index[frame["helped"] == 0])
    cohort = replace(cohort_of(several), _pid=person)
    matched = match.entropy_balance(cohort, on=["age"])
    once = match.entropy_balance(cohort_of(frame), on=["age"])
    pd.testing.assert_frame_equal(match.balance(matched).counts, match.balance(once).counts, rtol=1e-6)
    a, b = (match.table_one(m).table.filter(regex="_persons|_all").to_numpy() for m in (matched, once))
    np.testing.assert_array_equal(a, b)
    # Two of the controls use one of their rows alone: they are neither left out nor counted twice.
    weight = matched.table["weight"].where(~matched.table["person_id"].isin([62, 63]), 0.0)
    part = match.table_one(replace(matched, table=matched.table.assign(weight=weight))).table
    np.testing.assert_array_equal(part.filter(regex="_persons|_all").to_numpy(), b)
