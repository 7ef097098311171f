import numpy as np
import pandas as pd
import pytest

from impact.disclosure.policies import policy



def hidden(counts, name="hes", total=None):
    counts = np.array(counts, float)
    rule = policy(name)
    parts = np.array([i for i in range(len(counts)) if i != total])
    return protect(counts, rule.small(counts), [Set(parts, total)], rule).astype(int).tolist()


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([20, 30, 40], [0, 0, 0]),
        ([3, 30, 40], [1, 1, 0]),  # a lone one is joined by the smallest other
        ([3, 0, 40, 30], [1, 0, 0, 1]),  # which is not a zero
        ([3, 5, 40], [1, 1, 0]),  # 8 between the two: each may be 1 to 7
        ([3, 4, 40], [1, 1, 1]),  # 7 between the two: neither could be 7
        ([1, 6, 0], [1, 1, 1]),  # a total of 7 is itself too small: zeros go too
        ([0, 0, 0], [0, 0, 0]),
        ([1, 1, 6], [1, 1, 1]),
    ],
)
def test_a_set_that_adds_up(counts, expected):
    assert hidden(counts) == expected


def test_where_zeros_are_not_shown_a_lone_zero_is_joined():
    assert hidden([0, 30, 40], "opensafely") == [1, 1, 0]
    assert hidden([9, 30, 40], "threshold_10") == [1, 1, 0]


def test_a_withheld_total_needs_a_withheld_part():
    rule = policy("hes")
    counts = np.array([20.0, 30.0, 50.0])
    one = [Set(np.array([0, 1]), 2)]
    assert protect(counts, np.array([False, False, True]), one, rule).tolist() == [True, False, True]
    # With a part and the total withheld, the part may take any value.
    counts = np.array([3.0, 30.0, 33.0])
    assert protect(counts, np.array([True, False, True]), one, rule).tolist() == [True, False, True]


def test_total_rows_are_found_in_every_direction():
    frame = pd.DataFrame(
        [(a, s, n) for (a, s), n in {
            ("t", "f"): 5, ("t", "m"): 20, ("t", "all"): 25,
            ("c", "f"): 30, ("c", "m"): 40, ("c", "all"): 70,
            ("both", "f"): 35, ("both", "m"): 60, ("both", "all"): 95,
        }.items()],
        columns=["arm", "sex", "persons"],
    )  # fmt: skip
    found = sets_of(frame, "persons", ["arm", "sex"], [])
    assert sorted((one.parts.tolist(), one.total) for one in found) == [
        ([0, 1], 2), ([0, 3], 6), ([1, 4], 7), ([2, 5], 8), ([3, 4], 5), ([6, 7], 8),
    ]  # fmt: skip
    rule = policy("hes")
    counts = frame["persons"].to_numpy(float)
    grid = protect(counts, rule.small(counts), found, rule).reshape(3, 3)
    assert set(grid.sum(0)) | set(grid.sum(1)) == {0, 2}  # four corners: no line has one alone


def test_no_column_is_taken_for_a_total_by_accident():
    frame = pd.DataFrame({"persons": [9, 31], "treated": [4, 10], "control": [5, 20]})
    assert across(frame, list(frame)) == {}
    assert across(frame.iloc[:0], list(frame)) == {}


def test_a_flow_adds_up_without_being_declared():
    flow = pd.DataFrame(
        [("file", "everyone", 300), ("left out", "opted out", 4), ("left out", "moved", 20),
         ("in the study", "treated", 120), ("in the study", "control", 156)],
        columns=["stage", "rule", "persons"],
    )  # fmt: skip
    rule, counts = policy("hes"), flow["persons"].to_numpy(float)
    sets = sets_of(flow, "persons", ["stage", "rule"], [])
    assert protect(counts, rule.small(counts), sets, rule).astype(int).tolist() == [0, 1, 1, 0, 0]
