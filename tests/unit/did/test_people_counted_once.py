"""Counts are of people and of their events, however many rows a control of several sets has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from impact import did, match
from impact.data import Cohort, LongData
from impact.data.panel import Panel
from impact.interpret import rates, regression_to_mean

T, COUNTS = 8, ["persons", "treated", "clusters", "events"]


def draw(starts, n=150):
    rng = np.random.default_rng(1)
    helped = np.arange(n) % 3 == 0
    start = np.where(helped, rng.choice(starts, n), T).astype(np.int64)
    time = np.where(rng.random((n, T)) < 0.1, 0.0, 1.0)
    time[rng.random(n) < 0.2, 6:] = 0
    return Panel(
        unit=np.array([f"p{i:03d}" for i in range(n)], object),
        periods=pd.RangeIndex(T),
        outcomes={"gp": rng.poisson(time * 1.5).astype(float)},
        exposure={"gp": time},
        start=start,
        treated=helped,
        covariates=pd.DataFrame({"x": rng.normal(size=n), "site": rng.random(n) < 0.5}),
        cluster=np.arange(n),
        weights=np.ones(n),
        arm=np.where(helped, "supported", "control"),
    )


def in_three_sets(panel):
    """Each control in three rows, those of one of them cut short: as the controls of three sets."""
    starts = np.resize(np.unique(panel.start[panel.treated]), 3)
    control = np.flatnonzero(~panel.treated)
    rows = np.concatenate([np.flatnonzero(panel.treated), np.repeat(control, 3)])
    own = np.concatenate([panel.start[panel.treated], np.tile(starts, len(control))])
    covariates = panel.covariates.assign(person=panel.unit)
    return replace(replace(panel, covariates=covariates).subset(rows), experiment=own.astype(np.int64))


def alike(panel, call):
    """What is said of a panel, and of the same one with its controls in three sets."""
    return call(panel), call(in_three_sets(panel))


@pytest.mark.parametrize("estimator", [e for e in did.ESTIMATORS if e != "synthetic_did"])
@pytest.mark.parametrize("family", ["linear", "poisson"])
def test_counts_are_those_of_the_people(estimator, family):
    one_start = estimator in ("two_by_two", "twfe", "triple_difference")
    panel = draw([4] if one_start else [3, 4, 5])
    more = {"subgroup": "site", "eligible": True} if estimator == "triple_difference" else {}
    # Not in a window of its own, so that every start has the same people.
    more |= {"before": T, "after": T} if estimator == "stacked" else {}
    takes = estimator in ("two_by_two", "twfe", "etwfe", "stacked")
    more |= {"family": family} if takes else {}
    plain, several = alike(panel, lambda p: did.ESTIMATORS[estimator](p, outcome="gp", **more))
    pd.testing.assert_frame_equal(plain.counts[COUNTS], several.counts[COUNTS])
    plain, several = (did.summarise(effects) for effects in (plain, several))
    pd.testing.assert_frame_equal(plain.counts[COUNTS], several.counts[COUNTS])
    assert (plain.counts["persons"] <= panel.n).all()


@pytest.mark.parametrize("estimator", ["two_by_two", "twfe", "callaway_santanna", "imputation", "etwfe"])
def test_those_of_an_event_study_too(estimator):
    panel = draw([4] if estimator in ("two_by_two", "twfe") else [3, 4, 5])
    plain, several = alike(panel, lambda p: did.event_study(p, outcome="gp", estimator=estimator))
    pd.testing.assert_frame_equal(plain.counts[COUNTS], several.counts[COUNTS])


def test_a_person_who_is_a_control_before_their_own_support_is_one_person():
    panel = draw([3, 5])
    before = np.flatnonzero(panel.start == 5)
    rows = np.concatenate([np.arange(panel.n), before])
    again = np.arange(len(rows)) >= panel.n
    both = panel.subset(rows)
    late = again[:, None] & (np.arange(T) >= 5)
    both = replace(
        both,
        start=np.where(again, T, both.start),
        treated=both.treated & ~again,
        exposure={"gp": np.where(late, 0.0, both.exposure["gp"])},
        outcomes={"gp": np.where(late, 0.0, both.outcomes["gp"])},
        experiment=np.where(again, 3, both.start),
    )
    for estimator in ("callaway_santanna", "etwfe"):
        # Those who start later are controls already, by their rows as supported.
        plain, several = (did.ESTIMATORS[estimator](p, outcome="gp") for p in (panel, both))
        shown = plain.labels["scale"].isin(["difference", "expected"]).to_numpy()
        columns = ["persons", "treated"]
        pd.testing.assert_frame_equal(plain.counts.loc[shown, columns], several.counts.loc[shown, columns])


READY_MADE = LongData(pd.DataFrame(), ("gp",), (), "", None, None)


def test_descriptions_count_each_person_and_event_once():
    panel = draw([4])
    event = replace(panel, clock="event", periods=pd.RangeIndex(-4, T - 4))
    for call, one in (
        (lambda p: rates(p, outcome="gp"), panel),
        (lambda p: did.leaving(p, outcome="gp"), panel),
        (lambda p: did.dispersion(p, outcome="gp"), panel),
        (lambda p: regression_to_mean(READY_MADE, p, outcome="gp"), event),
    ):
        plain, several = alike(one, call)
        pd.testing.assert_frame_equal(plain.table, several.table)


def test_the_longest_row_of_each_person_stays():
    panel = draw([4])
    assert panel.each_once() is panel
    several = in_three_sets(panel)
    time = several.exposure["gp"].copy()
    control = np.flatnonzero(~several.treated)
    time[control[::3], 2:] = 0
    short = replace(several, exposure={"gp": time})
    once = short.each_once()
    assert sorted(once.unit) == sorted(panel.unit)
    assert once.exposure["gp"].sum() == panel.exposure["gp"].sum()


def test_reuse_is_known_on_the_event_clock_and_errors_are_by_person():
    panel = draw([4])
    panel = replace(panel, clock="event", periods=pd.RangeIndex(-4, T - 4))
    frame = panel.covariates.assign(id=panel.unit, helped=panel.treated)
    cohort = Cohort.from_frame(frame, treated="helped", person_id="id")
    matched = match.nearest(cohort, on=["x"], distance="mahalanobis", ratio=2, replace=True)
    joint = match.onto(matched, panel)
    assert joint.reused
    assert joint.persons(np.ones(joint.n, bool)) == len(set(joint.unit)) < joint.n
    found = did.estimate(joint, outcome="gp", estimator="two_by_two")
    asked = did.estimate(joint, outcome="gp", estimator="two_by_two", second_cluster="person")
    np.testing.assert_array_equal(found.std_error, asked.std_error)
    assert (found.counts["persons"] <= len(set(joint.unit))).all()
