"""The greedy searches against slow twins that look at every pair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impact.match.greedy import Given, Limits, Line, Sides, Space, in_rounds
from impact.match.neighbours import Neighbours


def slow(sides, wanted, turns, *, apart, key, slack=0.0):
    """Everyone in turn looks at everybody free; ``key(t, c)`` decides among those who are equally near."""
    uses = dict.fromkeys(sides.pool, sides.uses)
    out, ties = [[] for _ in sides.people], 0

    def candidates(i):
        t = sides.people[i]
        fine = [
            c
            for c in sides.pool
            if sides.group[c] == sides.group[t]
            and uses[c] > 0
            and c not in out[i]
            and np.isfinite(apart[t, c])
            and all(_within(abs(v[c] - v[t]), width) for v, width in sides.limits.calipers)
            and all(codes[c] != codes[t] for codes in sides.limits.differ)
        ]
        if not fine:
            return np.inf, []
        gap = min(apart[t, c] for c in fine)
        return gap, [c for c in fine if apart[t, c] <= gap * (1 + slack) + slack / 1000]

    for k in range(max(wanted)):
        waiting = [i for i in range(len(wanted)) if wanted[i] > k]
        if not isinstance(turns, str):
            waiting.sort(key=list(turns).index)
        if isinstance(turns, str) and turns == "farthest":
            start = {i: candidates(i)[0] for i in waiting}
            waiting.sort(key=lambda i: (-start[i], i))
        while waiting:
            i = waiting[0]
            if isinstance(turns, str) and turns == "closest":
                i = min(waiting, key=lambda i: (candidates(i)[0], i))
            waiting.remove(i)
            _, near = candidates(i)
            if near:
                ties += len(near) > 1
                best = min(near, key=lambda c: key(sides.people[i], c))
                out[i].append(best)
                uses[best] -= 1
    return [row + [-1] * (max(wanted) - len(row)) for row in out], ties


def _within(gap, width):
    return gap <= width if width >= 0 else gap > -width


@st.composite
def cases(draw):
    """Few kinds of values make many ties, among those who choose, among the others and across."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n = int(rng.integers(4, 45))
    chooses = rng.random(n) < rng.uniform(0.2, 0.7)
    chooses[:2] = [True, False]
    out = rng.random(n) < draw(st.sampled_from([0, 0.1]))
    out[:2] = False
    calipers = []
    for width in draw(st.lists(st.sampled_from([0.1, 0.2, 1.0, -0.2, 0.0]), max_size=2)):
        calipers.append((rng.integers(0, 12, n) / 10, width))
    differ = [rng.integers(0, 5, n)] if draw(st.booleans()) else []
    sides = Sides(
        np.flatnonzero(chooses & ~out),
        np.flatnonzero(~chooses & ~out),
        rng.integers(0, draw(st.sampled_from([1, 3])), n),
        Limits(calipers, differ),
        draw(st.sampled_from([1, 2, np.inf])),
    )
    m = len(sides.people)
    wanted = rng.integers(1, draw(st.sampled_from([2, 4])), m)
    turns = draw(st.sampled_from(["closest", "farthest", "random"]))
    score = rng.integers(0, draw(st.sampled_from([4, 15, 1000])), n) / 10
    points = rng.integers(0, draw(st.sampled_from([2, 4, 50])), (n, 3)).astype(float)
    return sides, wanted, (rng.permutation(m) if turns == "random" else turns), score, points


@settings(max_examples=150, deadline=None)
@given(case=cases(), caliper=st.sampled_from([np.inf, 0.3, 1.0]))
def test_search_on_a_line_equals_its_slow_twin(case, caliper):
    sides, wanted, turns, score, _ = case
    place = np.empty(len(score), int)
    place[np.lexsort((np.arange(len(score)), score))] = np.arange(len(score))
    apart = np.abs(score[:, None] - score)
    apart[apart > caliper] = np.inf

    def key(t, c):
        below = place[c] < place[t]
        return not below, -place[c] if below else place[c]

    found, ties = in_rounds(Line(score, sides, caliper=caliper), wanted, turns)
    expected = slow(sides, wanted, turns, apart=apart, key=key)
    assert (found.tolist(), ties) == expected


@settings(max_examples=150, deadline=None)
@given(case=cases(), at_first=st.sampled_from([1, 3, 8]))
def test_search_in_space_equals_its_slow_twin(case, at_first):
    sides, wanted, turns, _, points = case
    apart = np.sqrt(((points[:, None] - points) ** 2).sum(axis=2))
    found, ties = in_rounds(Space(points, sides, at_first=at_first), wanted, turns)
    assert (found.tolist(), ties) == slow(sides, wanted, turns, apart=apart, key=lambda t, c: c, slack=1e-9)


@settings(max_examples=100, deadline=None)
@given(case=cases())
def test_search_in_a_matrix_equals_its_slow_twin(case):
    sides, wanted, turns, _, points = case
    apart = np.abs(points[:, None] - points).sum(axis=2)
    apart[apart > 5] = np.inf
    found, ties = in_rounds(Given(apart[np.ix_(sides.people, sides.pool)], sides), wanted, turns)
    assert (found.tolist(), ties) == slow(sides, wanted, turns, apart=apart, key=lambda t, c: c)


def test_a_line_of_people_who_may_not_be_matched_is_passed_over():
    """More in a row than are looked at singly, and more than one stretch."""
    n = 10_000
    score = np.arange(n) / n
    house = np.ones(n, int)
    house[[3, n - 2]] = 2
    people = np.array([5000])
    sides = Sides(people, np.delete(np.arange(n), 5000), np.zeros(n, int), Limits(differ=[house]))
    found, ties = in_rounds(Line(score, sides), np.array([3]), np.array([0]))
    assert (found.tolist(), ties) == ([[3, 9998, -1]], 0)


def test_search_in_space_looks_further_when_near_people_are_gone():
    """Forty people at one place compete for controls on a line: the first few found do not suffice."""
    points = np.concatenate([np.zeros(40), np.arange(1.0, 61)])[:, None]
    sides = Sides(np.arange(40), np.arange(40, 100), np.zeros(100, int))
    found, ties = in_rounds(Space(points, sides), np.ones(40, int), np.arange(40))
    assert found[:, 0].tolist() == list(range(40, 80))
    assert ties == 0


@pytest.mark.parametrize(("n", "p", "kinds"), [(30, 2, 3), (3000, 3, 4), (5000, 9, 1000), (3000, 1, 2)])
def test_nearest_points_are_those_of_all_pairs(n, p, kinds):
    """Blocks and rounding lose nobody: the distances are those of a search through every pair."""
    rng = np.random.default_rng(n)
    points = rng.integers(0, kinds, (n, p)) / 7 + 1000
    targets = np.concatenate([points[::9], rng.normal(1000, 3, (40, p))])
    index, gap = Neighbours(points).of(targets, 12)
    apart = np.sqrt(((targets[:, None] - points) ** 2).sum(axis=2))
    np.testing.assert_allclose(gap, np.sort(apart, axis=1)[:, :12], atol=1e-10)
    np.testing.assert_allclose(np.take_along_axis(apart, index, axis=1), gap, atol=1e-10)
    assert (np.diff(np.sort(index, axis=1), axis=1) > 0).all()
