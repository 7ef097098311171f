"""The greedy searches against slow twins that look at every pair."""

from __future__ import annotations

import numpy as np
import pytest

from impact.match.greedy import Rule, in_space, on_a_line


def slow_on_a_line(score, treated, group, *, caliper, ratio, replace):
    """For each treated person in turn, look at every control and keep the best by the documented rule."""
    place = np.empty(len(score), int)
    place[np.lexsort((np.arange(len(score)), score))] = np.arange(len(score))
    people, taken = np.flatnonzero(treated), set()
    out = np.full((len(people), ratio), -1)
    for k in range(ratio):
        for i in sorted(range(len(people)), key=lambda i: (-score[people[i]], people[i])):
            t, best = people[i], None
            for c in np.flatnonzero(~treated):
                gap = abs(score[c] - score[t])
                if group[c] != group[t] or gap > caliper or c in (out[i] if replace else taken):
                    continue
                below = place[c] < place[t]
                key = (gap, not below, -place[c] if below else place[c])
                if best is None or key < best[0]:
                    best = (key, c)
            if best:
                out[i, k] = best[1]
                taken.add(best[1])
    return out


def slow_in_space(points, treated, group, *, score, caliper, ratio, replace):
    """The same by distance between points; ties to the lowest position."""
    people, taken = np.flatnonzero(treated), set()
    out = np.full((len(people), ratio), -1)
    by_score = (
        sorted(range(len(people)), key=lambda i: (-score[people[i]], people[i])) if score is not None else ()
    )
    for k in range(ratio):
        for i in by_score or range(len(people)):
            t = people[i]
            free = [
                (np.sqrt(((points[c] - points[t]) ** 2).sum()), c)
                for c in np.flatnonzero(~treated)
                if group[c] == group[t]
                and (score is None or abs(score[c] - score[t]) <= caliper)
                and c not in (out[i] if replace else taken)
            ]
            if free:
                nearest = min(free)[0]
                out[i, k] = min(c for gap, c in free if gap <= nearest * (1 + 1e-9) + 1e-12)
                taken.add(out[i, k])
    return out


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("ratio", [1, 2, 3])
@pytest.mark.parametrize("caliper", [np.inf, 0.2, 1.0])
@pytest.mark.parametrize("kinds", [4, 15, 1000])
def test_both_searches_equal_their_slow_twins(kinds, caliper, ratio, replace):
    """Few kinds of score make many ties, among treated, among controls and across."""
    rng = np.random.default_rng(kinds + ratio)
    rule = {"caliper": caliper, "ratio": ratio, "replace": replace}
    for _ in range(12):
        n = int(rng.integers(6, 60))
        treated = rng.random(n) < rng.uniform(0.2, 0.7)
        treated[:2] = [True, False]
        group = rng.integers(0, rng.choice([1, 3]), n)
        score = rng.integers(0, kinds, n) / 10
        found = on_a_line(score, treated, group, Rule(**rule))
        np.testing.assert_array_equal(found, slow_on_a_line(score, treated, group, **rule))

        points = rng.integers(0, rng.choice([2, 4, 50]), (n, 3)).astype(float)
        cell = np.unique(np.column_stack([group, points]), axis=0, return_inverse=True)[1].ravel()
        for by in (None, points @ [0.1, 0.03, 0.2]):
            found = in_space(points, treated, group, Rule(**rule), cell=cell, score=by)
            np.testing.assert_array_equal(found, slow_in_space(points, treated, group, score=by, **rule))


def test_search_in_space_looks_further_when_near_controls_are_gone():
    """Forty people at one place compete for controls on a line: the first sixteen found do not suffice."""
    points = np.concatenate([np.zeros(40), np.arange(1.0, 61)])[:, None]
    treated = np.arange(100) < 40
    cell = np.append(np.zeros(40, int), np.arange(1, 61))
    found = in_space(points, treated, np.zeros(100, int), Rule(), cell=cell, score=None)
    assert found[:, 0].tolist() == list(range(40, 80))
