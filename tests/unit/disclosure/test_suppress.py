import numpy as np
import pandas as pd
import pytest

from impact.disclosure import release
from impact.disclosure.cells import cells_of
from impact.disclosure.policies import policy
from impact.disclosure.suppress import Counts
from impact.results import Summary


def withheld(frame, name="hes", adds_up=(), columns=("persons",)):
    """1 for each count that is withheld."""
    labels = [c for c in frame if c not in columns]
    small = policy(name).small(frame[list(columns)])
    cells, sums = cells_of(frame, labels, columns, pd.DataFrame(small, columns=list(columns)), adds_up)
    counts = Counts()
    counts.add_table(cells.values(), sums)
    hidden, lost = counts.withhold(policy(name))
    assert not lost
    return [int(hidden[counts.number(cell)]) for cell in cells.values()]


def one_set(counts, name="hes"):
    frame = pd.DataFrame({"set": "s", "level": [f"l{i}" for i in range(len(counts))], "persons": counts})
    return withheld(frame, name, ["set"])


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
    assert one_set(counts) == expected


def test_where_zeros_are_not_shown_a_lone_zero_is_joined():
    assert one_set([0, 30, 40], "opensafely") == [1, 1, 0]
    assert one_set([9, 30, 40], "threshold_10") == [1, 1, 0]


def test_a_total_that_another_table_shows_needs_no_declaring():
    tenure = pd.DataFrame({"tenure": ["rent", "own", "other"], "persons": [101, 52, 3]})
    arms = pd.DataFrame({"arm": ["supported", "control"], "persons": [80, 76]})
    alone = release({"tenure": Summary(tenure, {}, people=["persons"])}, "hes")
    assert alone["tenure"].table["persons"].isna().tolist() == [False, False, True]
    # The same 156 people by arm: 156 - 101 - 52 are the ones withheld.
    both = release({n: Summary(t, {}, people=["persons"]) for n, t in [("t", tenure), ("a", arms)]}, "hes")
    assert both["t"].table["persons"].isna().tolist() == [False, True, True]
    assert both["a"].table["persons"].isna().sum() == 0


def test_nested_subgroups_are_protected_together():
    by_sex = pd.DataFrame({"arm": "supported", "sex": ["f", "m"], "persons": [60, 40]})
    of_women = pd.DataFrame({"arm": "supported", "sex": "f", "age": ["<75", "75+"], "persons": [56, 4]})
    of_men = pd.DataFrame({"arm": "supported", "sex": "m", "age": ["<75", "75+"], "persons": [20, 20]})
    by_age = pd.DataFrame({"arm": "supported", "age": ["<75", "75+"], "persons": [76, 24]})
    tables = {"sex": by_sex, "women": of_women, "men": of_men, "age": by_age}
    out = release({n: Summary(t, {}, people=["persons"]) for n, t in tables.items()}, "hes")
    gone = {n: r.table["persons"].isna().tolist() for n, r in out.items()}
    assert gone["women"][1]
    # 24 - 20 of 75 and over, and 60 - 56 women, would both give the 4 back.
    assert gone["women"][0] or gone["sex"][0]
    assert gone["men"][1] or gone["age"][1]


def test_total_rows_are_found_in_every_direction():
    frame = pd.DataFrame(
        [(a, s, n) for (a, s), n in {
            ("t", "f"): 5, ("t", "m"): 20, ("t", "all"): 25,
            ("c", "f"): 30, ("c", "m"): 40, ("c", "all"): 70,
            ("both", "f"): 35, ("both", "m"): 60, ("both", "all"): 95,
        }.items()],
        columns=["arm", "sex", "persons"],
    )  # fmt: skip
    grid = np.array(withheld(frame)).reshape(3, 3)
    assert set(grid.sum(0)) | set(grid.sum(1)) == {0, 2}  # four corners: no line has one alone


def test_no_row_is_taken_for_a_total_by_accident():
    # 12 is 2 + 10 in one column, and no sum in the others.
    frame = pd.DataFrame({"stage": ["a", "b", "c"], "treated": [2, 10, 0], "control": [0, 0, 12]})
    frame["persons"] = frame["treated"] + frame["control"]
    _, sums = cells_of(frame, ["stage"], ["persons"], frame[["persons"]] < 8)
    assert [total.value for _, total in sums if total] == [12]
    _, sums = cells_of(frame, ["stage"], ["treated", "control", "persons"], frame.iloc[:, 1:] < 8)
    assert [total for _, total in sums if total] == []


def test_a_flow_adds_up_without_being_declared():
    flow = pd.DataFrame(
        [("file", "everyone", 300), ("left out", "opted out", 4), ("left out", "moved", 20),
         ("in the study", "treated", 120), ("in the study", "control", 156)],
        columns=["stage", "rule", "persons"],
    )  # fmt: skip
    assert withheld(flow) == [0, 1, 1, 0, 0]


def test_two_samples_that_differ_by_one_person_are_not_both_shown_exactly():
    first = pd.DataFrame({"arm": ["supported", "control"], "persons": [100, 200]})
    second = pd.DataFrame({"arm": ["supported", "control"], "persons": [99, 160]})
    tables = {n: Summary(t, {}, people=["persons"]) for n, t in [("first", first), ("second", second)]}
    out = release(tables, "threshold_10")
    assert out["first"].table["persons"].isna().tolist() == [False, False]
    assert out["second"].table["persons"].isna().tolist() == [True, False]
    # Rounded, 100 and 99 are one number.
    assert not any(r.table["persons"].isna().any() for r in release(tables, "hes").values())


def test_what_a_page_withheld_another_page_does_not_give_away(tmp_path):
    tenure = Summary(pd.DataFrame({"tenure": ["rent", "own", "x"], "persons": [101, 52, 3]}), {}, ["persons"])
    arms = Summary(pd.DataFrame({"arm": ["supported", "control"], "persons": [80, 76]}), {}, ["persons"])
    release({"tenure": tenure}, "hes", record=tmp_path / "cohort.json")
    later = release({"arms": arms}, "hes", record=tmp_path / "did.json")
    assert later["arms"].table["persons"].isna().sum() == 1
    # The same page again is compared with the others, not with itself.
    again = release({"tenure": tenure}, "hes", record=tmp_path / "cohort.json")
    assert again["tenure"].table["persons"].isna().tolist() == [False, False, True]


def test_what_the_last_report_withheld_the_next_does_not_give_away(tmp_path):
    def tenures(counts):
        frame = pd.DataFrame({"tenure": ["rent", "own", "other", "all"], "persons": counts})
        return {"tenure": Summary(frame, {}, people=["persons"])}

    old = release(tenures([101, 52, 3, 156]), "hes", record=tmp_path / "old" / "cohort.json")
    assert old["tenure"].table["persons"].isna().tolist() == [False, True, True, False]
    # The number that was withheld beside it is the only one that may not appear now.
    frame = pd.DataFrame({"tenure": ["own", "private"], "persons": [52, 400]})
    new = release({"t": Summary(frame, {}, people=["persons"])}, "hes", previous=tmp_path / "old")
    assert new["t"].table["persons"].isna().tolist() == [True, False]


def test_a_person_more_than_in_the_last_report_is_caught(tmp_path):
    def people(n):
        return {"arm": Summary(pd.DataFrame({"arm": ["supported"], "persons": [n]}), {}, people=["persons"])}

    release(people(100), "threshold_10", record=tmp_path / "old" / "cohort.json")
    for n, gone in ((100, False), (101, True), (109, True), (110, False)):
        new = release(people(n), "threshold_10", previous=tmp_path / "old")
        assert new["arm"].table["persons"].isna().tolist() == [gone]
