"""Stacked comparisons against one plain regression with dummies a start, and where something is missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from impact.did import summarise
from impact.did.coverage import roughly
from impact.did.pooled import pooled_event_study
from impact.did.stacked import stacked
from impact.errors import DataError, DesignError, ParameterError


def plain(panel, g, family, *, before, after, anticipation=0, age=False):
    """Expected events (Poisson) or effects (linear) of one start, with dummies for people and periods."""
    T = len(panel.periods)
    window = np.arange(max(g - before, 0), min(g + after, T))
    control = (panel.start >= T) | (panel.start - anticipation > window[-1])
    people = np.flatnonzero((panel.start == g) | control)
    time, y = panel.exposure["gp"][np.ix_(people, window)], panel.outcomes["gp"][np.ix_(people, window)]
    w = panel.weights[people, None] * np.ones_like(time)
    if family == "linear":
        mean = np.array([row[row > 0].mean() if row.any() else 0 for row in time])
        w *= mean[:, None]
    if panel.censoring_weights is not None:
        w *= panel.censoring_weights[np.ix_(people, window)]
    i, t = np.nonzero(time > 0)
    treated = panel.start[people[i]] == g
    late = window >= g - anticipation
    cells = np.column_stack([treated & (t == s) for s in np.flatnonzero(late)]).astype(float)
    of_periods = np.eye(len(window))[t]
    if age:
        x = panel.covariates["age"].to_numpy()
        of_periods = np.hstack([of_periods, of_periods * ((x - x.mean()) / x.std())[people[i], None]])
    x = np.hstack([cells, of_periods, np.eye(len(people))[i]])
    time, y, w = time[i, t], y[i, t], w[i, t]
    if family == "linear":
        root = np.sqrt(w)
        coef = np.linalg.lstsq(root[:, None] * x, root * 1000 * y / time, rcond=1e-10)[0]
        return dict(zip(window[late], coef[: cells.shape[1]], strict=True))
    coef, eta = np.zeros(x.shape[1]), np.zeros(len(y))
    for _ in range(200):
        mean = time * np.exp(eta)
        working = eta + (y - mean) / mean
        root = np.sqrt(w * mean)
        coef = np.linalg.lstsq(root[:, None] * x, root * working, rcond=1e-12)[0]
        eta = np.clip(x @ coef, -30, 30)
    without = w * time * np.exp(eta - cells @ coef[: cells.shape[1]])
    return {s: without[treated & (t == j)].sum() for j, s in enumerate(window) if late[j]}


@pytest.mark.parametrize("age", [False, True])
@pytest.mark.parametrize("anticipation", [0, 1])
@pytest.mark.parametrize("family", ["linear", "poisson"])
def test_equals_dummies_with_holes_weights_and_uneven_time(make_panel, family, anticipation, age):
    panel = make_panel(90, 6, (2, 4), seed=3, holes=0.1, uneven=True, weighted=True)
    busy = panel.outcomes["gp"] + (panel.exposure["gp"] > 0)  # so that everyone's factor is finite
    rng = np.random.default_rng(0)
    panel = replace(panel, outcomes={"gp": busy}, censoring_weights=rng.uniform(1, 2, busy.shape))
    options = {"before": 3, "after": 2, "anticipation": anticipation}
    effects = stacked(panel, outcome="gp", family=family, covariates=["age"] if age else (), **options)
    kind = effects.labels["scale"] == ("difference" if family == "linear" else "expected")
    found = effects.labels[kind].assign(estimate=effects.estimate[kind])
    for g in (2, 4):
        expected = plain(panel, g, family, age=age, **options)
        mine = found[found["group"] == panel.periods[g]]
        assert mine["period"].tolist() == [panel.periods[t] for t in expected]
        np.testing.assert_allclose(mine["estimate"], list(expected.values()), rtol=1e-6)


def test_a_cell_without_events_has_expected_events_and_no_ratio(make_panel):
    panel = make_panel()
    panel.outcomes["gp"][panel.start == 3, 4] = 0
    effects = stacked(panel, outcome="gp")
    cell = effects.labels[
        (effects.labels["group"] == panel.periods[3]) & (effects.labels["period"] == panel.periods[4])
    ]
    assert "log ratio" not in cell["scale"].tolist()
    (at,) = cell.index[cell["scale"] == "expected"]
    assert effects.estimate[at] > 10
    assert effects.std_error[at] > 0
    assert np.isfinite(summarise(effects).table["std_error"]).all()
    pooled = pooled_event_study(panel, outcome="gp")
    assert pooled.labels["event_time"].tolist() == [-5, -4, -3, -2, 0, 1, 2, 3]


def test_a_step_with_events_in_one_of_its_periods_has_a_ratio(make_panel):
    panel = make_panel(starts=(3,))
    panel.outcomes["gp"][panel.start == 3, 1] = 0
    by_period = pooled_event_study(panel, outcome="gp")
    assert by_period.labels["event_time"].tolist() == [-3, 0, 1, 2]
    by_two = pooled_event_study(panel, outcome="gp", step=2)
    assert by_two.labels["event_time"].tolist() == [-3, 0, 2]
    assert by_two.method["reference"] == -2
    panel.outcomes["gp"][panel.start == 3, 2] = 0
    with pytest.raises(DesignError, match="nothing can be compared at event time -2 to -1"):
        pooled_event_study(panel, outcome="gp", step=2)


def test_event_times_of_which_none_has_events_are_refused_in_words(make_panel):
    panel = make_panel(starts=(3,))
    panel.outcomes["gp"][panel.start == 3, 3:] = 0
    with pytest.raises(DesignError, match="no event time has enough events to be compared"):
        pooled_event_study(panel, outcome="gp", step=3)


def test_a_period_without_events_among_controls_says_nothing(make_panel):
    panel = make_panel()
    panel.outcomes["gp"][panel.start == 6, 5] = 0
    effects = stacked(panel, outcome="gp")
    assert panel.periods[5] not in set(effects.table["period"])
    assert any("of the supported person-time" in note for note in effects.method["notes"])
    assert panel.periods[5] in set(stacked(panel, outcome="gp", family="linear").table["period"])


def test_starts_that_cannot_be_compared_are_counted_and_not_named(make_panel):
    panel = make_panel()
    quiet = panel.outcomes["gp"].copy()
    quiet[panel.start == 2, :2] = 0
    alone = np.where(panel.start == 3, -1, panel.cluster)
    effects = stacked(replace(panel, outcomes={"gp": quiet}, cluster=alone), outcome="gp")
    assert set(effects.table["group"]) == {panel.periods[5]}
    notes = effects.method["notes"]
    assert any("left out, as too little happened" in n and "1 of 3 starts" in n for n in notes)
    assert any("at risk before and after it in more than one cluster: time after 1" in n for n in notes)
    assert not any("2023-0" in n for n in notes)
    pooled = pooled_event_study(replace(panel, cluster=alone), outcome="gp")
    assert any("time after 1 of 3 starts" in n for n in pooled.method["notes"])
    everyone = panel.subset(panel.start < 6)
    with pytest.raises(DesignError, match="no controls at risk before and after it"):
        stacked(everyone, outcome="gp")
    with pytest.raises(DesignError, match="no start can be compared"):
        pooled_event_study(everyone, outcome="gp")
    shorter = stacked(everyone, outcome="gp", after=1)
    assert set(shorter.table["group"]) == {panel.periods[2], panel.periods[3]}


@pytest.mark.parametrize("family", ["linear", "poisson"])
def test_a_cell_of_one_cluster_is_left_out(make_panel, family):
    panel = make_panel()
    gone = (panel.start == 3) & (np.cumsum(panel.start == 3) > 1)
    for values in (panel.exposure["gp"], panel.outcomes["gp"]):
        values[gone, 4] = 0
    table = stacked(panel, outcome="gp", family=family).table
    assert table.loc[table["group"] == panel.periods[3], "period"].tolist() == [
        panel.periods[t] for t in (3, 5)
    ]


def rare(make_panel):
    """Matched people with the same window of six months at each start, and hardly any events."""
    panel = make_panel(120, 9, (3, 4, 5, 6), seed=4)
    few = np.random.default_rng(2).poisson(0.06, panel.outcomes["gp"].shape).astype(float)
    at = np.where(panel.treated, panel.start, 3 + np.arange(120) % 4)
    few[panel.start == 4, 1:4] = 0
    few[~panel.treated, at[~panel.treated] + 1] = 0
    return replace(panel, outcomes={"gp": few}, experiment=at).followed_for(3), at


def test_a_shared_course_is_the_events_before_support_times_the_controls_ratio(make_panel):
    """On balanced windows, in closed form; starts and months without an event stay in."""
    panel, at = rare(make_panel)
    effects = stacked(panel, outcome="gp", before=3, after=3)
    assert not [n for n in effects.method["notes"] if "cover" in n or "left out" in n]
    assert "shared by all" in effects.method["effects"]
    found = effects.labels.assign(estimate=effects.estimate).query("scale == 'expected'")
    y = np.stack([panel.outcomes["gp"][np.arange(120), at + k] for k in range(-3, 3)])
    after, before = y[3:] @ ~panel.treated, y[:3].sum(0)
    ratio = after / (before * ~panel.treated).sum()
    expected = [before[panel.start == g].sum() * r for g in (3, 4, 5, 6) for r in ratio]
    assert (np.reshape(expected, (4, 3)) > 0).tolist() == [[g != 4, False, g != 4] for g in (3, 4, 5, 6)]
    assert len(found) == 12
    np.testing.assert_allclose(found["estimate"], expected, rtol=1e-7)
    by_start = stacked(panel, outcome="gp", before=3, after=3, course="by_start")
    assert any("less than four fifths" in note for note in by_start.method["notes"])


def test_unmatched_controls_of_a_shared_course_weigh_as_much_as_the_supported_of_their_start(make_panel):
    panel = make_panel(200, 9, (3, 5), seed=5)
    panel = panel.subset((panel.start != 3) | (np.arange(200) % 3 == 0))
    found = stacked(panel, outcome="gp", before=3, after=4, course="shared")
    here = found.labels.assign(estimate=found.estimate).query("scale == 'expected' and event_time == 2")
    y, never = panel.outcomes["gp"], panel.start == 9
    both, before = 0.0, 0.0
    for g in (3, 5):
        size = (panel.start == g).sum() / never.sum()
        both, before = both + size * y[never, g + 2].sum(), before + size * y[never, g - 3 : g].sum()
    mine = [y[panel.start == g, g - 3 : g].sum() for g in (3, 5)]
    np.testing.assert_allclose(here["estimate"], np.array(mine) * both / before, rtol=1e-7)


def test_who_was_not_seen_before_support_has_no_part_in_a_shared_course(make_panel):
    panel = make_panel(starts=(3,))
    late = panel.treated & (np.cumsum(panel.treated) <= 5)
    unseen = np.where(late[:, None] & (np.arange(6) < 3), 0.0, 1.0)
    gone = replace(
        panel,
        outcomes={"gp": panel.outcomes["gp"] * unseen},
        exposure={"gp": panel.exposure["gp"] * unseen},
    )
    a = stacked(gone, outcome="gp", course="shared")
    b = stacked(gone.subset(~late), outcome="gp", course="shared")
    np.testing.assert_allclose(a.table["estimate"], b.table["estimate"])
    share = 1 - 5 / panel.treated.sum()
    assert any(f"cover {roughly(share)} of the supported" in note for note in a.method["notes"])


def test_a_course_that_cannot_be_is_refused(make_panel):
    panel = make_panel()
    with pytest.raises(ParameterError, match="course='both': choose from"):
        stacked(panel, outcome="gp", course="both")
    with pytest.raises(ParameterError, match="linear models need no events"):
        stacked(panel, outcome="gp", family="linear", course="shared")
    quiet = panel.outcomes["gp"].copy()
    quiet[:, :2] = 0
    quiet[panel.start == 3, 2] = 0
    only = replace(panel, outcomes={"gp": quiet}).subset(np.isin(panel.start, (3, 6)))
    only.outcomes["gp"][only.start == 6, 2] = 0
    with pytest.raises(DesignError, match="too few events link"):
        stacked(only, outcome="gp", course="shared")


@pytest.mark.parametrize("estimate", [stacked, pooled_event_study])
def test_wrong_arguments_are_refused(make_panel, estimate):
    panel = make_panel()
    for wrong in ({"before": 0}, {"after": 0}, {"before": 1, "anticipation": 1}, {"after": 2.5}):
        with pytest.raises(ParameterError, match="give a number of periods"):
            estimate(panel, outcome="gp", **wrong)
    with pytest.raises(ParameterError, match="family='logit'"):
        estimate(panel, outcome="gp", family="logit")
    with pytest.raises(DesignError, match="stacked needs clock='calendar'"):
        estimate(replace(panel, clock="event"), outcome="gp")
    below = replace(panel, outcomes={"gp": panel.outcomes["gp"] - 1})
    with pytest.raises(DataError, match="values are below zero"):
        estimate(below, outcome="gp")
    with pytest.raises(DataError, match="'agee' is not on the panel"):
        estimate(panel, outcome="gp", covariates=["agee"])
    assert len(estimate(below, outcome="gp", family="linear").table) > 1
