"""Who is in two groups that cross is counted by no table, and is bounded by both all the same."""

from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest

from impact.disclosure.cells import cells_of
from impact.disclosure.crossing import LARGEST, crossing

LEVELS = {"arm": ["a", "b"], "sex": ["f", "m"], "age": ["<65", "65-74", "75+"]}


def people(rng, levels=None, mean=9.0):
    """A count of people for everything at once."""
    levels = levels or LEVELS
    index = pd.MultiIndex.from_product(levels.values(), names=list(levels))
    return pd.Series(rng.poisson(mean, len(index)), index)


def counted(n, *groups):
    """Keys of a table by each group of variables."""
    keys = []
    for group in groups:
        by = n.groupby(level=list(group)).sum() if group else pd.Series([n.sum()], [()])
        for which, value in by.items():
            own = zip(group, (which,) if isinstance(which, str) else which, strict=True)
            keys.append(("persons", frozenset(own), int(value)))
    return keys


def holds(keys, values, sums):
    every = np.array([value for _, _, value in keys] + values)
    assert min(values, default=0) >= 0
    return all(every[parts].sum() == every[whole] for parts, whole in sums)


@pytest.mark.parametrize("seed", range(10))
def test_counts_by_each_two_of_three_are_divided_by_all_three(seed):
    n = people(np.random.default_rng(seed), mean=1 + seed)
    keys = counted(n, *combinations(LEVELS, 2))
    values, sums = crossing(keys, range(len(keys)))
    assert len(values) == len(n)
    assert sorted(whole for _, whole in sums) == list(range(len(keys)))
    assert holds(keys, values, sums)


@pytest.mark.parametrize("seed", range(10))
def test_what_is_found_is_true_of_the_people_themselves(seed):
    """Whatever is counted: with every cell at what it really is, each sum holds."""
    rng = np.random.default_rng(seed)
    levels = LEVELS | {"home": ["rent", "own"]}
    n = people(rng, levels)
    groups = [g for k in range(4) for g in combinations(levels, k)]
    keys = counted(n, *(groups[i] for i in rng.choice(len(groups), 6, replace=False)))
    keys = [keys[i] for i in sorted(rng.choice(len(keys), int(0.8 * len(keys)), replace=False))]
    values, sums = crossing(keys, range(len(keys)))
    assert holds(keys, values, sums)


@pytest.mark.parametrize(
    "groups",
    [
        [("arm",), ("arm", "sex"), ("arm", "age")],  # nobody counts sex by age
        [("arm", "sex", "age"), ("arm", "sex"), ("arm",), ()],  # everything is counted
        [("arm", "sex")],
    ],
)
def test_what_hangs_together_in_a_tree_needs_no_cells(groups):
    keys = counted(people(np.random.default_rng(0)), *groups)
    assert crossing(keys, range(len(keys))) == ([], [])


def test_a_ring_of_four_is_divided_by_three_and_three_that_agree():
    levels = {what: ["x", "y"] for what in "abcd"}
    keys = counted(
        people(np.random.default_rng(0), levels), *(("a", "b"), ("b", "c"), ("c", "d"), ("a", "d"))
    )
    values, sums = crossing(keys, range(len(keys)))
    # Two tables of eight cells, and four counts of what they share.
    assert len(values) == 20
    shared = [whole for _, whole in sums if whole >= len(keys)]
    assert sorted(shared) == sorted(2 * [*set(shared)])
    assert len(shared) == 8


def test_a_level_that_is_not_counted_leaves_room():
    """Of 60 people 20 are at none of the ages: who they are is not known, but how many is."""
    n = people(np.random.default_rng(0))
    keys = [key for key in counted(n, *combinations(LEVELS, 2), ("arm",)) if ("age", "75+") not in key[1]]
    values, sums = crossing(keys, range(len(keys)))
    assert len(values) == 12
    assert holds(keys, values, sums)


def test_rules_that_no_age_is_counted_by_are_one_to_the_ages():
    """A table by rule, of which only one is crossed with age, needs no cells for each of the others."""
    rules = [f"rule {i}" for i in range(8)]
    n = people(np.random.default_rng(0), {"arm": ["a", "b"], "age": LEVELS["age"], "rule": rules})
    keys = counted(n, ("arm", "rule"), ("arm", "age"))
    keys += [k for k in counted(n, ("arm", "age", "rule")) if ("rule", "rule 0") in k[1]]
    values, _ = crossing(keys, range(len(keys)))
    assert len(values) == 6


def test_counts_that_no_people_can_have_are_left_alone():
    """More than everyone; and two counts of the same name, of whom it is not known which is which."""
    n = people(np.random.default_rng(0))
    keys = counted(n, *combinations(LEVELS, 2), ())
    wrong = [("persons", frozenset({("arm", "a")}), 500)]
    assert crossing([*keys, *wrong], range(len(keys) + 1)) == ([], [])
    twice = [*keys, ("persons", keys[0][1], 999)]
    values, sums = crossing(twice, range(len(twice)))
    assert values
    assert not {0, len(keys)} & {whole for _, whole in sums}


def test_a_large_table_is_divided_by_three_at_a_time():
    levels = {f"v{i}": list("abc") for i in range(6)}
    assert LARGEST < 3**6
    keys = counted(people(np.random.default_rng(0), levels, 0.5), *combinations(levels, 2))
    values, sums = crossing(keys, range(len(keys)))
    assert len(values) == 20 * 27
    assert holds(keys, values, sums)


def test_a_row_that_is_by_chance_the_sum_of_others_is_no_total():
    """5 = 0 + 1 + 4, and its labels are those of other rows: what is declared is the sum of all four."""
    table = pd.DataFrame(product(["75+"], ["in", "out"], ["f", "m"]), columns=["age", "rule", "sex"])
    table["persons"] = [0, 5, 1, 4]
    hidden = pd.DataFrame({"persons": [False] * 4})
    _, sums = cells_of(table, ["age", "rule", "sex"], ["persons"], hidden, ["age"])
    assert [(len(parts), total) for parts, total in sums] == [(4, None)]
    table.loc[1, ["rule", "sex"]] = "all"
    _, sums = cells_of(table, ["age", "rule", "sex"], ["persons"], hidden, ["age"])
    assert [(len(parts), total.value) for parts, total in sums] == [(3, 5)]
