"""Matched, then difference-in-differences: rows, weights and controls of each start, against parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from impact import did, match
from impact.data import Cohort, read_cohort, synthetic
from impact.data.panel import Panel
from impact.data.periods import NEVER
from impact.did.pooled import pooled_event_study
from impact.errors import DataError, DesignError, ParameterError
from impact.results import Matched

T = 8


def draw(seed, n=240, *, drift=0.0, effect=-0.4, starts=(3, 5)):
    """People whose need ``x`` drives who is supported, how much is used and, by ``drift``, its trend."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 6, n)
    helped = rng.random(n) < 0.05 + 0.08 * x
    start = np.where(helped, rng.choice(starts, n), T)
    time = np.where(rng.random((n, T)) < 0.03, 0.0, 1.0)
    late = np.arange(T) >= start[:, None]
    level = 0.3 * x[:, None] + drift * x[:, None] * np.arange(T) + rng.normal(0, 0.3, (n, 1))
    gp = rng.poisson(time * np.exp(level + effect * late)).astype(float)
    panel = Panel(
        unit=np.arange(n),
        periods=pd.RangeIndex(T),
        outcomes={"gp": gp},
        exposure={"gp": time},
        start=start.astype(np.int64),
        treated=helped,
        covariates=pd.DataFrame({"x": x}),
        cluster=np.arange(n),
        weights=np.ones(n),
        arm=np.where(helped, "supported", "control"),
    )
    frame = pd.DataFrame({"id": np.arange(n), "x": x, "helped": helped})
    return panel, Cohort.from_frame(frame, treated="helped", person_id="id")


def everyone_everywhere(panel):
    """Each control once for each start: what a stacked comparison does without being told."""
    starts = np.unique(panel.start[panel.start < T])
    control = np.flatnonzero(~panel.treated)
    rows = np.concatenate([np.flatnonzero(panel.treated), np.repeat(control, len(starts))])
    own = np.concatenate([panel.start[panel.treated], np.tile(starts, len(control))])
    return replace(panel.subset(rows), experiment=own.astype(np.int64))


@pytest.mark.parametrize("family", ["linear", "poisson"])
def test_with_all_controls_in_all_comparisons_it_is_the_plain_stack(family):
    panel, _ = draw(1)
    both = everyone_everywhere(panel)
    for estimate in (did.stacked, pooled_event_study):
        # The window reaches the end, so that nobody supported later is a control of the plain one.
        more = {"course": "by_start"} if estimate is did.stacked else {}
        a, b = (estimate(p, outcome="gp", family=family, before=3, after=T, **more) for p in (panel, both))
        # Beside the effects stand the shares of starts among all rows, which cancel from every effect.
        shown = (a.labels["scale"].isin(["difference", "log ratio"])).to_numpy()
        np.testing.assert_allclose(a.estimate[shown], b.estimate[shown], rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(a.std_error[shown], b.std_error[shown], rtol=1e-6)
        assert a.counts["persons"].tolist() == b.counts["persons"].tolist()


@pytest.mark.parametrize("family", ["linear", "poisson"])
def test_each_start_is_compared_with_the_controls_of_its_own_sets(family):
    panel, cohort = draw(2)
    matched = match.nearest(cohort, on=["x"], distance="mahalanobis", ratio=2)
    joint = match.onto(matched, panel)
    found = did.stacked(joint, outcome="gp", family=family, course="by_start")
    table = found.table.set_index(["group", "period"])["estimate"]
    for g in (3, 5):
        rows = matched.table[matched.table["weight"] > 0]
        sets = rows.loc[np.isin(rows["person_id"], panel.unit[panel.start == g]), "subclass"]
        mine = rows[rows["subclass"].isin(sets)].copy()
        mine["share"] = 1.0
        control = ~np.isin(mine["person_id"], panel.unit[panel.treated])
        sizes = mine[control].groupby("subclass")["person_id"].transform("size")
        mine.loc[control, "share"] = 1 / sizes
        alone = panel.subset(mine["person_id"].to_numpy())
        alone = replace(alone, weights=mine["share"].to_numpy())
        by_hand = did.stacked(alone, outcome="gp", family=family).table.set_index(["group", "period"])
        np.testing.assert_allclose(table.loc[[g]], by_hand["estimate"], rtol=1e-7, atol=1e-9)


def test_rows_weights_and_clusters_of_sets_with_reuse():
    panel, cohort = draw(3)
    matched = match.nearest(cohort, on=["x"], distance="mahalanobis", ratio=2, replace=True, max_uses=3)
    joint = match.onto(matched, panel)
    weights = pd.Series(joint.weights)
    by = [joint.cluster, joint.treated]
    # In each set controls weigh as much as the supported person, and share the start.
    assert weights.groupby(by).sum().to_numpy() == pytest.approx(1)
    assert (pd.Series(joint.experiment).groupby(joint.cluster).nunique() == 1).all()
    assert (joint.start[~joint.treated] == T).all()
    assert pd.Series(joint.unit[~joint.treated]).duplicated().any()
    assert joint.persons(np.ones(joint.n, bool)) == len(set(joint.unit)) < joint.n
    # By set alone, a control's rows in several sets would pass for different people.
    two = did.estimate(joint, outcome="gp", estimator="stacked")
    asked = did.estimate(joint, outcome="gp", estimator="stacked", second_cluster="person")
    one = did.summarise(did.stacked(joint, outcome="gp"))
    np.testing.assert_allclose(two.estimate, one.estimate)
    np.testing.assert_array_equal(two.std_error, asked.std_error)
    assert (two.std_error > one.std_error).all()
    for estimator in ("stacked", "callaway_santanna", "imputation"):
        study = did.event_study(joint, outcome="gp", estimator=estimator)
        assert study.method["rows"] == "two clusterings"
        assert np.isfinite(study.std_error).all()
    with pytest.raises(DesignError, match="CR0 and CR1 only"):
        did.estimate(joint, outcome="gp", estimator="stacked", inference="CR3")
    kept = match.onto(matched, replace(panel, cluster=panel.unit % 12), cluster="panel")
    assert set(kept.cluster) <= set(range(12))
    assert set(kept.covariates["matched_set"]) == set(joint.cluster)


def test_a_set_around_several_starts_shares_its_controls_out():
    panel, cohort = draw(4)
    matched = match.subclass(cohort, on=["x"])
    joint = match.onto(matched, panel)
    frame = pd.DataFrame(
        {
            "set": joint.covariates["matched_set"],
            "g": joint.experiment,
            "treated": joint.treated,
            "w": joint.weights,
        }
    )
    sums = frame.groupby(["set", "g", "treated"])["w"].sum().unstack()
    np.testing.assert_allclose(sums[True], sums[False])
    assert np.isfinite(did.stacked(joint, outcome="gp").estimate).all()


def test_weights_without_sets_are_those_of_the_panel():
    panel, cohort = draw(5)
    weighted = match.entropy_balance(cohort, on=["x"])
    joint = match.onto(weighted, panel)
    given = weighted.table.set_index("person_id")["weight"]
    np.testing.assert_allclose(joint.weights, given.loc[joint.unit])
    assert joint.experiment is None
    assert any("taken as known" in note for note in joint.notes)
    assert np.isfinite(did.estimate(joint, outcome="gp", estimator="callaway_santanna").estimate).all()


def test_a_factor_on_all_weights_and_people_twice_move_nothing():
    panel, cohort = draw(6)
    joint = match.onto(match.nearest(cohort, on=["x"], distance="mahalanobis"), panel)
    one = did.estimate(joint, outcome="gp", estimator="stacked")
    three = did.estimate(replace(joint, weights=3 * joint.weights), outcome="gp", estimator="stacked")
    ratios = one.labels["scale"] == "log ratio"
    np.testing.assert_allclose(one.estimate[ratios], three.estimate[ratios], rtol=1e-8)
    np.testing.assert_allclose(one.std_error[ratios], three.std_error[ratios], rtol=1e-7)
    twice = joint.subset(np.tile(np.arange(joint.n), 2))
    both = did.estimate(twice, outcome="gp", estimator="stacked")
    np.testing.assert_allclose(one.estimate[ratios], both.estimate[ratios], rtol=1e-8)
    # The same clusters, so the same error but for the factor of the number of rows.
    np.testing.assert_allclose(one.std_error[ratios], both.std_error[ratios], rtol=0.02)


def test_a_later_supported_control_leaves_with_the_set():
    panel, cohort = draw(7, n=60)
    control = int(np.flatnonzero(~panel.treated)[0])
    begins = np.full(panel.n, NEVER)
    begins[control] = 6
    person = int(np.flatnonzero(panel.start == 3)[0])
    other = np.flatnonzero(~panel.treated)[1], np.flatnonzero(panel.start == 5)[0]
    table = pd.DataFrame({"person_id": panel.unit, "weight": 0.0, "distance": np.nan})
    number = np.zeros(panel.n, int)
    number[[control, person]], number[list(other)] = 1, 2
    table["weight"] = (number > 0).astype(float)
    table["subclass"] = pd.array(np.where(number > 0, number, None), dtype="Int64")
    matched = Matched(table, cohort, {"replace": False, "exact": [], "covariates": []}, pd.DataFrame())
    joint = match.onto(matched, replace(panel, begins=begins))
    here = np.isin(joint.unit, [control, person])
    assert not joint.exposure["gp"][here][:, 6:].any()
    np.testing.assert_array_equal(joint.exposure["gp"][~here], panel.exposure["gp"][joint.unit[~here]])
    ended = dict(zip(joint.unit, joint.ended, strict=True))
    assert (ended[control], ended[person]) == ("support", "follow-up")


@pytest.mark.parametrize("estimator", ["stacked", "callaway_santanna"])
def test_recovers_the_effect_where_need_has_a_trend(estimator):
    family = {"family": "poisson"} if estimator == "stacked" else {}
    plain, both = [], []
    for seed in range(12):
        panel, cohort = draw(100 + seed, n=700, drift=0.03)
        matched = match.nearest(cohort, on=["x"], distance="mahalanobis", replace=True, ratio=2)
        for into, one in ((plain, panel), (both, match.onto(matched, panel))):
            effects = did.estimate(one, outcome="gp", estimator=estimator, **family)
            into.append(effects.table.set_index("scale")["estimate"]["log ratio"])
    error = np.std(both, ddof=1) / np.sqrt(len(both))
    if estimator == "stacked":
        assert abs(np.mean(both) + 0.4) < 3 * error
    assert abs(np.mean(both) + 0.4) < abs(np.mean(plain) + 0.4) / 2


@pytest.fixture(scope="module")
def world():
    drawn = synthetic.draw(np.random.default_rng(8), people=900, world="selection")
    cohort = read_cohort(
        people=drawn.people,
        contacts=drawn.contacts,
        coverage=drawn.coverage,
        treated=["signposting", "hand_holding"],
        control=["control", "pool"],
    )
    return cohort, match.risk_set(cohort, on=["age", "prior_gp"], ratio=2, max_uses=3)


def test_risk_sets_come_with_their_own_panel_or_that_of_the_people(world):
    cohort, matched = world
    window = {"outcomes": ["gp"], "start": "2022-10", "end": "2025-03"}
    own = match.onto(matched, matched.cohort.panel(**window))
    plain = match.onto(matched, cohort.panel(**window))
    assert (own.unit == plain.unit).all()
    assert (own.start == plain.start).all()
    assert (own.experiment == plain.experiment).all()
    # The day before support in one is the month of support in the other: both leave that month out.
    own_ends = own.exposure["gp"].cumsum(1).argmax(1)
    assert (own_ends <= plain.exposure["gp"].cumsum(1).argmax(1)).all()
    later = np.isin(own.unit, cohort.person_id[cohort.treated]) & ~own.treated
    assert later.any()
    began = dict(zip(cohort.person_id, cohort.people["start_date"], strict=True))
    for row in np.flatnonzero(later):
        month = np.flatnonzero(own.exposure["gp"][row] > 0).max()
        assert own.periods[month] < began[own.unit[row]].replace(day=1)
    effects = did.estimate(own, outcome="gp", estimator="stacked", second_cluster="person")
    assert np.isfinite(effects.table["estimate"]).all()


def test_what_does_not_fit_is_refused(world):
    panel, cohort = draw(9)
    matched = match.nearest(cohort, on=["x"], distance="mahalanobis")
    with pytest.raises(ParameterError, match="cluster='sets'"):
        match.onto(matched, panel, cluster="sets")
    with pytest.raises(DataError, match="rows of matched people are not in it"):
        match.onto(matched, panel.subset(panel.unit > 30))
    with pytest.raises(DataError, match="repeat a person"):
        match.onto(matched, panel.subset(np.append(panel.unit, 0)))
    people, sets = world
    with pytest.raises(DesignError, match="on the event clock"):
        match.onto(sets, people.around_start(outcomes=["gp"]))


@pytest.mark.parametrize(
    "name", ["two_by_two", "twfe", "stacked", "callaway_santanna", "etwfe", "imputation", "sun_abraham"]
)
@pytest.mark.parametrize("estimand", ["ATT", "ATC"])
def test_the_supported_and_their_events_count_once_however_many_sets_they_serve(name, estimand):
    """For the effect on controls, with replacement, it is the supported who have several rows."""
    panel, cohort = draw(6, starts=(4,))
    panel = replace(panel, exposure={"gp": np.ones((panel.n, T))})
    sample = match.onto(
        match.nearest(cohort, on=["x"], distance="mahalanobis", estimand=estimand, replace=True), panel
    )
    assert sample.reused
    counts = did.ESTIMATORS[name](sample, outcome="gp").counts
    served = np.isin(panel.unit, sample.unit[sample.treated])
    events = panel.outcomes["gp"][served].sum(0)
    assert counts["treated"].max() == served.sum()
    assert counts["persons"].max() == len(np.unique(sample.unit))
    # Of all periods with support or, by cell, of one.
    assert counts["events"][0] in (events[4:].sum(), *events)


@pytest.mark.parametrize("method", [match.subclass, match.coarsened_exact])
def test_strata_are_no_clusters(method):
    """Six slices would be six clusters; people are 240."""
    panel, cohort = draw(7)
    sample = match.onto(method(cohort, on=["x"]), panel)
    assert sample.cluster.tolist() == sample.unit.tolist()
    assert "matched_set" in sample.covariates
    effects = did.estimate(sample, outcome="gp", estimator="stacked")
    assert effects.counts["clusters"][0] == len(np.unique(sample.unit))
