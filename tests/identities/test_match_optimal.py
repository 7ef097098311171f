"""Optimal pairs and full matching against slow twins, and equalities that must hold exactly."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, linear_sum_assignment, milp

from impact import match
from impact.data import Cohort
from impact.errors import DesignError
from impact.match import assignment
from impact.match.candidates import Candidates
from impact.match.cover import sets_on_a_line
from impact.match.distances import Measure
from impact.match.greedy import Limits, Sides
from impact.match.limited import Sizes
from impact.match.line import pair_up, shortfall
from impact.match.pairing import best

# Scores on a grid are full of ties; spread out they have none.
SCORES = st.sampled_from(["grid", "spread"])
SEEDS = st.integers(0, 10**6)


def drawn(rng, n, kind):
    return rng.integers(0, 10, n) / 10 if kind == "grid" else rng.random(n)


def problem(seed, kind, form, *, most=40):
    """A small matching problem of any form, and its full matrix of distances, infinite where forbidden."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, most))
    treated = rng.random(n) < rng.choice([0.2, 0.4, 0.6])
    score = drawn(rng, n, kind)
    group = rng.integers(0, rng.integers(1, 4), n)
    unlike = list(rng.integers(0, 5, (int(rng.integers(0, 2)), n)))
    width = float(rng.choice([np.inf, 0.05, 0.1, 0.3]))
    rows, cols = np.flatnonzero(treated), np.flatnonzero(~treated)
    if form == "line":
        distance = Measure("x", line=score, score=score)
        matrix = np.abs(score[rows][:, None] - score[cols])
    elif form == "points":
        points = np.column_stack([score, rng.integers(0, 3, n)])
        distance = Measure("x", points=points, score=score)
        matrix = np.sqrt(((points[rows][:, None] - points[cols]) ** 2).sum(axis=2))
    else:
        matrix = rng.integers(0, 9, (len(rows), len(cols))).astype(float)
        matrix[rng.random(matrix.shape) < 0.3] = np.inf
        distance = Measure("x", matrix=matrix.copy(), score=score)
    # A caliper on the score, and at times others: on a column, within a width or further apart than one.
    calipers = [(score, width)] if width < np.inf else []
    calipers += [(drawn(rng, n, kind), float(rng.choice([0.5, -0.1])))] * int(rng.integers(0, 2))
    allowed = group[rows][:, None] == group[cols]
    for values, within in calipers:
        apart = np.abs(values[rows][:, None] - values[cols])
        allowed &= apart <= within if within > 0 else apart > -within
    for code in unlike:
        allowed &= code[rows][:, None] != code[cols]
    sides = Sides(rows, cols, group, Limits(calipers, unlike))
    return Candidates.of(distance, sides), np.where(allowed, matrix, np.inf)


def dense(matrix, ratio):
    """Slow twin: the dense assignment with a dear stand-in for each slot; total and people by controls."""
    n, m = matrix.shape
    cost = np.full((n * ratio, m + n * ratio), 1e9)
    slot = np.arange(n * ratio)
    cost[:, :m] = np.where(np.isfinite(matrix), matrix, 1e9)[slot // ratio]
    cost[slot, m + slot] = 1e4 * (ratio - slot % ratio)
    i, j = linear_sum_assignment(cost)
    found = j < m
    return cost[i[found], j[found]].sum(), np.bincount(i[found] // ratio, minlength=n)


@pytest.mark.parametrize("form", ["line", "points", "matrix"])
@settings(max_examples=100, deadline=None)
@given(seed=SEEDS, kind=SCORES, ratio=st.sampled_from([1, 1, 2, 3]))
def test_optimal_is_the_dense_assignment(form, seed, kind, ratio):
    """The most pairs, the most people with one, two, ... controls, and then the least distance, proved."""
    pairs, matrix = problem(seed, kind, form)
    assume(matrix.size)
    partner, gap = best(pairs, ratio)
    row, _ = np.nonzero(partner >= 0)
    col = partner[partner >= 0]
    total, controls = dense(matrix, ratio)
    assert len(np.unique(col)) == len(col)
    assert matrix[row, col].sum() == pytest.approx(total, abs=1e-9)
    mine = (partner >= 0).sum(axis=1)
    assert [(mine > k).sum() for k in range(ratio)] == [(controls > k).sum() for k in range(ratio)]
    assert gap == pytest.approx(0, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, kind=SCORES, form=st.sampled_from(["line", "points", "matrix"]), many=st.integers(1, 12))
def test_nothing_nearer_than_the_reach_is_left_out(seed, kind, form, many):
    """What the proof rests on: every allowed pair that is nearer than its row's reach is a candidate."""
    pairs, matrix = problem(seed, kind, form)
    assume(matrix.size)
    rows = np.arange(len(pairs.rows))
    for found in (pairs(rows, many), *([pairs._in_window(rows, many)] if form == "points" else [])):
        held = np.full(matrix.shape, np.inf)
        held[found.row, found.col] = found.cost
        nearer = np.isfinite(matrix) & (matrix < found.reach[:, None] - 1e-12)
        np.testing.assert_allclose(held[nearer], matrix[nearer], atol=1e-12)
        assert np.isfinite(matrix[found.row, found.col]).all()


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, kind=SCORES, most=st.integers(0, 60))
def test_the_gap_covers_what_an_unfinished_search_misses(seed, kind, most):
    """Stopped early for want of room, the cost (a dropped person at the price of a stand-in) is within it."""
    pairs, matrix = problem(seed, kind, "points", most=80)
    assume(matrix.size)
    size, bound = matrix.shape, pairs.bound() + 0.5
    partner, gap = assignment.assign(pairs, size, ratio=1, bound=bound, at_first=1, most=most)
    total, controls = dense(matrix, 1)
    row = np.flatnonzero(partner[:, 0] >= 0)
    dear = bound * (size[0] + 1)
    cost = matrix[row, partner[row, 0]].sum() + dear * (size[0] - len(row))
    least = total + dear * (controls == 0).sum()
    assert least - 1e-9 <= cost <= least + gap + 1e-9


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, kind=SCORES, need=st.sampled_from([1, 2]))
def test_prices_on_a_line_bound_every_pairing(seed, kind, need):
    """The best pairing has no shortfall, and that of any other is at least what it is worse by."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 8))
    m = int(rng.integers(need * n, need * n + 10))
    place = drawn(rng, n + m, kind)
    wants = rng.permutation(np.repeat([need, 0], [n, m]))
    order = np.argsort(place, kind="stable")
    place, wants, one = place[order], wants[order], np.zeros(n + m, int)
    who, partner = pair_up(place, wants, one)
    best_total = np.abs(place[who] - place[partner]).sum()
    cost = np.abs(np.repeat(place[wants > 0], need)[:, None] - place[wants == 0])
    assert best_total == pytest.approx(cost[linear_sum_assignment(cost)].sum(), abs=1e-12)
    taken = np.isin(np.arange(n + m), partner)
    assert shortfall(place, wants, one, taken) == pytest.approx(0, abs=1e-12)
    other = np.isin(np.arange(n + m), rng.permutation(np.flatnonzero(wants == 0))[: need * n])
    worse = np.abs(np.cumsum(wants - other)[:-1] * np.diff(place)).sum() - best_total
    assert shortfall(place, wants, one, other) >= worse - 1e-12


def edge_cover(matrix):
    """Slow twin: everyone points at the nearest, less what the best disjoint pairs save (dense)."""
    rows, cols = matrix.min(axis=1), matrix.min(axis=0)
    saved = np.maximum(np.where(np.isfinite(matrix), rows[:, None] + cols - matrix, 0), 0)
    return rows.sum() + cols.sum() - saved[linear_sum_assignment(-saved)].sum()


@settings(max_examples=200, deadline=None)
@given(seed=SEEDS, levels=st.sampled_from([None, 8, 3]), width=st.sampled_from([np.inf, 0.1, 0.35]))
def test_full_is_the_least_edge_cover(seed, levels, width):
    """Everyone with somebody in reach is in a set around one person, and the total is the twin's."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 40))
    score = rng.random(n) if levels is None else rng.integers(0, levels, n) / levels
    treated = rng.random(n) < rng.choice([0.2, 0.5, 0.8])
    group = rng.integers(0, 2, n)
    matrix = np.abs(score[treated][:, None] - score[~treated])
    matrix[(group[treated][:, None] != group[~treated]) | (matrix > width)] = np.inf
    sets, total = sets_on_a_line(score, treated, group, width)
    inside = np.isfinite(matrix)
    np.testing.assert_array_equal(sets[treated] >= 0, inside.any(axis=1))
    np.testing.assert_array_equal(sets[~treated] >= 0, inside.any(axis=0))
    kept = matrix[inside.any(axis=1)][:, inside.any(axis=0)]
    assert total == pytest.approx(edge_cover(kept) if kept.size else 0, abs=1e-9)
    again = 0.0
    for k in np.unique(sets[sets >= 0]):
        mine, theirs = score[(sets == k) & treated], score[(sets == k) & ~treated]
        assert min(len(mine), len(theirs)) == 1
        assert len(set(group[sets == k])) == 1
        apart = np.abs(mine[:, None] - theirs)
        assert (apart <= width).all()
        again += apart.sum()
    assert again == pytest.approx(total, abs=1e-9)


def limited_cover(matrix, sizes):
    """Slow twin: an integer programme that places the most people and then takes the least distance."""
    n, m = matrix.shape
    pairs = np.arange(n * m).reshape(n, m)
    rows, low, high = [], [], []
    for person, (mine, (least, most)) in enumerate(
        [(row, sizes.treated) for row in pairs] + [(col, sizes.control) for col in pairs.T]
    ):
        for bound, (above, below) in ((least, (0, np.inf)), (min(most, 99), (-np.inf, 0))):
            row = np.zeros(n * m + n + m)
            row[mine], row[n * m + person] = 1, -bound
            rows.append(row)
            low.append(above)
            high.append(below)
    cost = np.append(np.where(np.isfinite(matrix), matrix, 0), np.full(n + m, -1e3))
    upper = np.append(np.isfinite(matrix), np.ones(n + m))
    found = milp(
        cost,
        integrality=np.ones(len(cost)),
        bounds=Bounds(0, upper),
        constraints=LinearConstraint(np.array(rows), low, high),
        options={"mip_rel_gap": 0},
    ).x.round()
    return found[n * m :].sum(), (cost * found)[: n * m].sum()


@settings(max_examples=60, deadline=None)
@given(
    seed=SEEDS,
    kind=SCORES,
    width=st.sampled_from([np.inf, 0.4]),
    limits=st.sampled_from([(None, 1), (None, 2), (None, 3), (1, None), (1 / 2, None), (1 / 3, 2), (2, 3)]),
    swapped=st.booleans(),
)
def test_full_with_limits_places_the_most_people_at_the_least_distance(seed, kind, width, limits, swapped):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 13))
    score, treated = drawn(rng, n, kind), rng.random(n) < rng.choice([0.2, 0.5, 0.8])
    fewest, most = [None if x is None else 1 / x for x in limits[::-1]] if swapped else limits
    sizes = Sizes.of(fewest, most)
    matrix = np.abs(score[treated][:, None] - score[~treated])
    matrix[matrix > width] = np.inf
    assume(np.isfinite(matrix).any())
    try:
        sets, total = sets_on_a_line(score, treated, np.zeros(n, int), width, sizes=sizes)
    except DesignError:
        # Only where sets must be larger than there are people for, in all or within the caliper.
        assert (fewest or 1) > 1 or (most or 1) < 1
        return
    placed, least = limited_cover(matrix, sizes)
    assert (sets >= 0).sum() == placed
    assert total == pytest.approx(least, abs=1e-9)
    again = 0.0
    for k in np.unique(sets[sets >= 0]):
        mine, theirs = score[(sets == k) & treated], score[(sets == k) & ~treated]
        assert min(len(mine), len(theirs)) == 1
        assert (fewest or 0) - 1e-9 <= len(theirs) / len(mine) <= (most or np.inf) + 1e-9
        again += np.abs(mine[:, None] - theirs).sum()
    assert again == pytest.approx(total, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, kind=SCORES, width=st.sampled_from([np.inf, 0.1]))
def test_full_with_limits_that_bind_nobody_is_full(seed, kind, width):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 60))
    treated, group = rng.random(n) < 0.4, rng.integers(0, 2, n)
    args = drawn(rng, n, kind), treated, group, width
    free, limited = (sets_on_a_line(*args, sizes=sizes) for sizes in (None, Sizes.of(1 / n, n)))
    np.testing.assert_array_equal(free[0] >= 0, limited[0] >= 0)
    assert limited[1] == pytest.approx(free[1], abs=1e-9)


def people(seed, n=150):
    rng = np.random.default_rng(seed)
    age, ltc = rng.normal(70, 8, n).round(), rng.poisson(2, n).astype(float)
    chance = 1 / (1 + np.exp(-(age - 76) / 8))
    return pd.DataFrame(
        {
            "age": age,
            "ltc": ltc,
            "house": rng.integers(0, 30, n),
            "area": rng.choice(list("ab"), n),
            "helped": (rng.random(n) < chance).astype(int),
            "name": [f"p{i:03}" for i in range(n)],
        }
    )


def cohort_of(frame):
    return Cohort.from_frame(frame, treated="helped", person_id="name")


@pytest.mark.parametrize(
    "arguments", [{}, {"caliper": 0.2}, {"caliper": {"age": 5}}, {"exact": ["area"]}, {"ratio": 2}]
)
@pytest.mark.parametrize("distance", ["propensity", "mahalanobis"])
@settings(max_examples=8, deadline=None)
@given(seed=SEEDS)
def test_optimal_is_no_worse_than_greedy(distance, arguments, seed):
    """As many pairs at no more distance, or more pairs."""
    cohort = cohort_of(people(seed))
    ours = match.optimal(cohort, on=["age", "ltc"], distance=distance, **arguments)
    theirs = match.nearest(cohort, on=["age", "ltc"], distance=distance, **arguments)
    pairs, fewer = ((m.table["weight"] > 0)[~cohort.treated].sum() for m in (ours, theirs))
    assert pairs >= fewer
    if pairs == fewer:
        assert ours.method["total_distance"] <= theirs.method["total_distance"] + 1e-9


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("optimal", {}),
        ("optimal", {"caliper": 0.1, "anti_exact": ["house"]}),
        ("optimal", {"distance": "mahalanobis", "exact": ["area"]}),
        ("optimal", {"distance": "mahalanobis", "caliper": {"age": 4, "score": 0.5}}),
        ("full", {}),
        ("full", {"caliper": 0.05, "exact": ["area"], "estimand": "ATE"}),
        ("full", {"min_controls": 1 / 2, "max_controls": 2}),
    ],
)
def test_the_order_of_rows_does_not_matter(method, arguments):
    frame = people(3)
    here, there = (
        getattr(match, method)(cohort_of(f), on=["age", "ltc"], **arguments)
        for f in (frame, frame.sample(frac=1, random_state=1))
    )
    a, b = (m.table.set_index("person_id").sort_index()[["weight", "subclass"]] for m in (here, there))
    pd.testing.assert_frame_equal(a, b)
    pd.testing.assert_frame_equal(here.counts, there.counts)
