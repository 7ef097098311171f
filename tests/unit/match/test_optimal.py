"""Optimal pairs and full matching where the answer can be seen by eye."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from impact import match
from impact.data import Cohort
from impact.match import in_order as in_order_file
from impact.match import pairing
from impact.match.cover import sets_on_a_line
from impact.match.in_order import in_order
from impact.match.line import pair_up, parts


def test_a_walk_undoes_an_earlier_choice():
    """The first would take the control at 1.0, but the one at 1.2 has nobody else so near."""
    place = np.array([0.0, 0.9, 1.0, 1.2, 3.0])
    need = np.array([0, 1, 0, 1, 0])
    who, partner = pair_up(place, need, np.zeros(5, int))
    assert (who.tolist(), partner.tolist()) == ([1, 3], [0, 2])


def test_parts_of_a_line_end_where_nobody_passes():
    need = np.array([0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0])
    assert parts(need, np.zeros(11, int)).tolist() == [0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 3]
    # A new group is a new part, whoever waits.
    assert parts(np.array([1, 0, 0, 1]), np.array([0, 0, 1, 1])).tolist() == [0, 0, 1, 1]


def test_in_order_within_reach():
    """At 0 and 1 with controls at 0.8 and 2.5 and a reach of 1: only one can have the control at 0.8."""
    own, others = np.array([0.0, 1.0]), np.array([0.8, 2.5])
    window = np.array([0, 0]), np.array([1, 1])
    assert in_order(own, others, window, width=1.0, ratio=1).tolist() == [[-1], [0]]
    window = np.array([0, 0]), np.array([1, 2])
    assert in_order(own, others, window, width=1.5, ratio=1).tolist() == [[0], [1]]


def frame(helped, **columns):
    return pd.DataFrame({"helped": helped, **columns})


def cohort(helped, **columns):
    return Cohort.from_frame(frame(helped, **columns), treated="helped")


def test_the_largest_number_comes_before_the_least_distance():
    """The second person can only have the control that the first is nearest to: both are matched."""
    two = cohort([1, 1, 0, 0], age=[1, 2, 3, 4])
    matched = match.optimal(two, on=["age"], distance=[[0.0, 5.0], [1.0, np.inf]])
    assert matched.table["subclass"].tolist() == [1, 2, 2, 1]
    assert matched.method["total_distance"] == 6


def test_weights_of_two_controls_each():
    """Where one has two controls and one has one, a control stands for half a person or a whole one."""
    people = cohort([1, 1, 0, 0, 0], age=[1, 2, 3, 4, 5])
    matched = match.optimal(people, on=["age"], distance=[[0, 1, 9], [9, 9, 0]], ratio=2)
    assert matched.table["subclass"].tolist() == [1, 2, 1, 1, 2]
    assert matched.table["weight"].tolist() == [1, 1, 0.75, 0.75, 1.5]


def test_columns_that_must_differ():
    """The nearest control lives next door and is passed over."""
    people = cohort([1, 0, 0, 0], age=[50, 50, 52, 60], house=[1, 1, 2, 3])
    arguments = {"on": ["age"], "distance": "mahalanobis"}
    assert match.optimal(people, **arguments).table["weight"].tolist() == [1, 1, 0, 0]
    passed = match.optimal(people, anti_exact=["house"], **arguments)
    assert passed.table["weight"].tolist() == [1, 0, 1, 0]
    assert passed.method["anti_exact"] == ["house"]


@pytest.mark.parametrize("distance", ["propensity", "mahalanobis"])
def test_calipers_on_columns(distance):
    """The nearest by age has three illnesses more; the last supported person has nobody within one."""
    people = cohort([1, 0, 0, 0, 1], age=[50, 51, 54, 70, 69], ills=[1, 4, 2, 0, 9])
    arguments = {"on": ["age"], "link": "penalised", "distance": distance}
    assert match.optimal(people, **arguments).table["weight"].tolist() == [1, 1, 0, 1, 1]
    near = match.optimal(people, caliper={"ills": 1}, **arguments)
    assert near.table["weight"].tolist() == [1, 0, 1, 0, 0]
    counts = near.counts.set_index(["arm", "rule"])["persons"]
    assert counts["treated", "no control within the caliper"] == 1
    assert near.method["caliper_width"] == {"ills": 1}
    far = match.optimal(people, caliper={"ills": -2}, std_caliper=False, **arguments)
    assert far.table["weight"].tolist() == [1, 1, 0, 1, 1]
    assert far.method["gap"] == 0


@pytest.mark.parametrize("arguments", [{"caliper": 0.1}, {"caliper": 0.1, "ratio": 2}, {"ratio": 2}])
def test_walking_in_order_block_by_block(monkeypatch, arguments):
    """Where not all ways fit into memory at a time, the pairs are the same."""
    rng = np.random.default_rng(5)
    age = np.append(rng.normal(1, 1, 60), rng.normal(0, 1, 90))
    people = cohort(np.repeat([1, 0], [60, 90]), age=age)
    at_once = match.optimal(people, on=["age"], **arguments)
    monkeypatch.setattr(in_order_file, "_STEPS", 40)
    in_blocks = match.optimal(people, on=["age"], **arguments)
    pd.testing.assert_frame_equal(at_once.table, in_blocks.table)
    assert at_once.method["gap"] == 0


def test_without_room_for_a_proof_the_gap_is_stated(monkeypatch):
    rng = np.random.default_rng(4)
    people = cohort(np.repeat([1, 0], [60, 90]), age=np.append(rng.normal(3, 1, 60), rng.normal(0, 1, 90)))
    least = match.optimal(people, on=["age"], distance="mahalanobis")
    assert least.method["gap"] == 0
    monkeypatch.setattr(pairing, "MOST", 100)
    with pytest.warns(UserWarning, match="not proved"):
        found = match.optimal(people, on=["age"], distance="mahalanobis")
    assert found.method["gap"] > 0


@pytest.mark.parametrize(
    ("estimand", "weights"),
    [
        ("ATT", [1, 0.5, 0.5, 1, 2, 1]),
        ("ATC", [2, 1, 1, 0.5, 1, 0.5]),
        ("ATE", [1.5, 0.75, 0.75, 0.75, 1.5, 0.75]),
    ],
)
def test_weights_of_full_matching(estimand, weights):
    """A set of one supported person and two controls, and one of two and one; each arm averages 1."""
    people = cohort([1, 0, 0, 1, 0, 1], age=[71, 70, 72, 60, 61, 59])
    matched = match.full(people, on=["age"], link="penalised", estimand=estimand)
    assert matched.table["subclass"].tolist() == [1, 1, 1, 2, 2, 2]
    np.testing.assert_allclose(matched.table["weight"], weights)
    assert matched.method["estimand"] == estimand
    assert matched.method["sets"] == 2


def test_limits_on_the_size_of_sets():
    """Two supported and five controls: with two each the one in the middle is left out, by name."""
    people = cohort([1, 0, 0, 0, 0, 0, 1], age=[50, 51, 52, 57, 67, 68, 66])
    free = match.full(people, on=["age"], link="penalised")
    assert free.table["weight"].gt(0).all()
    limited = match.full(people, on=["age"], link="penalised", max_controls=2)
    assert limited.table["subclass"].fillna(0).tolist() == [1, 1, 1, 0, 2, 2, 2]
    counts = limited.counts.set_index(["arm", "rule"])["persons"]
    assert counts["control", "no place left in a set"] == 1
    assert counts.sum() == 7
    assert (limited.method["min_controls"], limited.method["max_controls"]) == (None, 2)
    # Four supported share two controls, but no more than two each.
    people = cohort([1, 1, 1, 1, 0, 0], age=[50, 51, 52, 53, 54, 70])
    shared = match.full(people, on=["age"], link="penalised", min_controls=1 / 2)
    assert shared.table.groupby("subclass").size().tolist() == [3, 3]


def test_a_pair_in_the_middle_is_worth_more_than_two_pointers():
    """C T . C T with a small gap in the middle: three or two sets, whichever is nearer in total."""
    treated = np.array([False, True, False, True])
    group = np.zeros(4, int)
    assert sets_on_a_line(np.array([0.0, 3, 4, 7]), treated, group)[1] == pytest.approx(6)
    assert sets_on_a_line(np.array([0.0, 1, 4, 5]), treated, group)[1] == pytest.approx(2)


def test_people_at_one_place_are_spread_over_the_sets():
    """Six controls and two supported with one score: two sets of three controls, not one of six."""
    treated = np.array([True, True] + [False] * 6)
    sets, total = sets_on_a_line(np.full(8, 0.4), treated, np.zeros(8, int))
    assert total == 0
    assert np.unique(sets, return_counts=True)[1].tolist() == [4, 4]
