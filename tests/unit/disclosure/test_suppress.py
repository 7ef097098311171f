import numpy as np
import pandas as pd
import pytest

from impact.disclosure import release
from impact.disclosure.attack import Goal, Knowledge, Set
from impact.disclosure.cells import cells_of
from impact.disclosure.nested import nested
from impact.disclosure.policies import policy
from impact.disclosure.search import widened
from impact.disclosure.suppress import Counts
from impact.results import Summary


def withheld(frame, name="hes", adds_up=(), columns=("persons",)):
    """1 for each count that is withheld."""
    labels = [c for c in frame if c not in columns]
    small = policy(name).small(frame[list(columns)])
    cells, sums = cells_of(frame, labels, columns, pd.DataFrame(small, columns=list(columns)), adds_up)
    counts = Counts()
    counts.add_table(cells.values(), sums)
    hidden, lost, _ = counts.withhold(policy(name))
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


def test_where_zeros_are_not_shown_a_lone_zero_is_not_printed():
    """It may follow from the others, which is no fact about a person; a count of people may not."""
    assert one_set([0, 30, 40], "opensafely") == [1, 0, 0]
    assert one_set([0, 1, 30, 40], "opensafely") == [1, 1, 1, 0]
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


def test_totals_are_not_added_to_what_they_are_totals_of():
    """Declared by age, with a row for all tenures in each rule: six rows add up, and not eight."""
    frame = pd.DataFrame(
        [("a", r, t, n) for r, ns in {"in": (20, 50, 0), "out": (0, 10, 12)}.items()
         for t, n in zip(["rent", "own", "other", "all"], [*ns, sum(ns)], strict=True)],
        columns=["age", "rule", "tenure", "persons"],
    )  # fmt: skip
    _, sums = cells_of(frame, ["age", "rule", "tenure"], ["persons"], frame[["persons"]] < 8, ["age"])
    assert sorted(len(parts) for parts, total in sums if total is None) == [6]


def test_one_group_with_a_row_that_happens_to_be_a_sum_has_no_total():
    frame = pd.DataFrame({"age": [*"aaabbb"], "tenure": ["rent", "own", "other"] * 2})
    frame["persons"] = [27, 10, 17, 40, 20, 30]
    _, sums = cells_of(frame, ["age", "tenure"], ["persons"], frame[["persons"]] < 8, ["age"])
    assert [(len(parts), total) for parts, total in sums] == [(3, None), (3, None)]


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


def people(frame, **more):
    return Summary(pd.DataFrame(frame), {}, people=["persons"], **more)


def test_a_part_is_no_more_than_its_whole():
    """51 controls of 75 and over, of whom 45 matched women: at most 6 matched men, and 7 must be possible."""
    old = {"age": ["<75", "75+"], "arm": "control", "persons": [100, 51]}
    matched = {"age": "75+", "arm": "control", "rule": "matched", "sex": ["f", "m"], "persons": [45, 2]}
    out = release({"old": people(old), "matched": people(matched)}, "hes")
    assert out["matched"].table["persons"].isna().tolist()[1]
    assert out["matched"].table["persons"].isna()[0] or out["old"].table["persons"].isna()[1]
    roomy = release({"old": people(old | {"persons": [100, 52]}), "matched": people(matched)}, "hes")
    assert roomy["matched"].table["persons"].isna().tolist() == [False, True]
    assert not roomy["old"].table["persons"].isna().any()


@pytest.mark.parametrize("sex", ["f", "m"])
def test_everyone_in_a_percentage_is_whoever_the_rows_say(sex):
    """All of the women by age: their number is that of the women elsewhere, which gives the 4 back."""
    ages = pd.DataFrame({"sex": sex, "age": ["<65", "65-74", "75+"], "persons": [50, 46, 4], "all": 100})
    ages["percent"] = 1.0 * ages["persons"]
    percent = {"percent": ("persons", "all")}
    tables = {"ages": Summary(ages, {}, people=["persons"], percent=percent)}
    out = release(tables | {"sex": people({"sex": ["f", "m"], "persons": [100, 100]})}, "hes")
    assert out["ages"].table["persons"].isna().sum() == 2 or out["ages"].table["all"].isna().all()


def test_everyone_stands_beside_the_matched_and_the_others():
    """Whose percentage it is does not depend on the row: of 102 people 99 are controls, in both rows."""
    rows = pd.DataFrame({"rule": ["matched", "too far"], "persons": [82, 20], "all": 102})
    rows["percent"] = 100 * rows["persons"] / rows["all"]
    arms = people({"arm": ["supported", "control"], "persons": [3, 99]})
    share = Summary(rows, {}, people=["persons"], percent={"percent": ("persons", "all")})
    out = release({"arms": arms, "share": share}, "hes")
    assert out["arms"].table["persons"].isna().tolist() == [True, True]


def test_rows_of_a_table_that_holds_zeros_are_not_taken_for_sums():
    """All men, so their row is the sum of the ages; but ages and sexes do not add up to each other.

    4 are of one age, and 19 stand beside them; that there are no women hides nobody else.
    """
    table = pd.DataFrame(
        {"covariate": ["sex", "sex", "age", "age", "age"], "level": ["f", "m", "a", "b", "c"],
         "persons": [0, 53, 30, 19, 4], "all": 53}
    )  # fmt: skip
    table["percent"] = 100 * table["persons"] / table["all"]
    shares = Summary(table, {}, ["persons"], percent={"percent": ("persons", "all")})
    out = release({"t": shares}, "threshold_10")
    assert out["t"].table["persons"].isna().tolist() == [True, False, False, True, True]


def test_what_is_nearly_a_withheld_count_of_the_last_report_is_withheld(tmp_path):
    tenure = {"tenure": ["rent", "own", "other", "all"], "persons": [101, 52, 3, 156]}
    release({"t": people(tenure)}, "hes", record=tmp_path / "old" / "cohort.json")
    for n, gone in ((52, True), (53, True), (59, True), (60, False), (44, False), (45, True)):
        own = people({"tenure": ["own", "private"], "persons": [n, 400]})
        new = release({"own": own}, "hes", previous=tmp_path / "old")
        assert new["own"].table["persons"].isna().tolist() == [gone, False], n


def test_a_count_that_is_mostly_one_persons_cannot_be_worked_out(tmp_path):
    """80 of 82 visits are one person's: not withheld alone beside a total, nor told to within 8 by others."""
    table = pd.DataFrame({"tenure": ["rent", "own", "other"], "persons": [30, 40, 50]})
    table["visits"], table["first"], table["second"] = [82, 90, 300], [80, 9, 30], [1, 8, 20]
    both = {"people": ["persons"], "events": ["visits"]}
    most = Summary(table, {}, largest={"visits": ("first", "second")}, adds_up=["persons"][:0], **both)
    total = Summary(pd.DataFrame({"place": ["all"], "persons": [120], "visits": [472]}), {}, **both)
    total.table.drop(columns="place", inplace=True)
    out = release({"most": most, "all": total}, "threshold_10", record=tmp_path / "new" / "p.json")
    gone = out["most"].table["visits"].isna()
    assert gone[0]
    assert gone.sum() == 2 or out["all"].table["visits"].isna()[0]
    assert not release({"most": most, "all": total}, "hes")["most"].table["visits"].isna().any()
    # A later page does not give it back either.
    later = release({"most": most}, "threshold_10", record=tmp_path / "new" / "q.json")
    assert later["most"].table["visits"].isna()[0]


def test_a_dominated_count_has_room_to_be_one_that_may_be_shown():
    rule = policy("threshold_10")
    for total, first, second in [(82, 80, 1), (100, 46, 45), (100, 50, 30), (20, 20, 0)]:
        reach = int(rule.guard(total, first, second))
        assert (reach > 0) == bool(rule.dominated(total, first, second))
        assert not rule.dominated(total + reach, first, second)
        assert not reach or rule.dominated(total + reach - 1, first, second)


def test_a_sum_of_what_is_shown_is_compared_with_a_sample_that_differs_by_one_person(tmp_path):
    """No table counts the 300, and yet 77 and 223 tell them; beside 299 they would tell of one person."""
    arms = pd.DataFrame({"arm": ["supported", "control"], "persons": [77, 223]})
    fewer = pd.DataFrame({"outcome": ["ae"], "persons": [299]})
    for name, shown in (("threshold_10", False), ("hes", True)):
        folder = tmp_path / name
        release({"arms": Summary(arms, {}, people=["persons"])}, name, record=folder / "cohort.json")
        later = release({"n": Summary(fewer, {}, people=["persons"])}, name, record=folder / "did.json")
        assert later["n"].table["persons"].notna().tolist() == [shown]
        assert later.sheet[0]["status"] == "pass"


def test_zeros_go_too_where_nothing_else_protects():
    """Four parts that are said to be one or more are four or more, and so is what they add up to."""
    # 7 are in four parts, and none is of a kind that nobody is of: the last two are zeros that show it.
    value = np.array([7, 7, 0, 2, 1, 3, 1, 0, 0])
    sets = [Set((0, 2), 1), Set((3, 4, 5, 6), 1), Set((2, 7), 8)]
    least = (value > 0).astype(int)
    known = Knowledge.of(value, least, sets, np.zeros(9, bool))
    hidden, goals = np.arange(9) < 7, [Goal(0, 3, 0)]
    may_go = np.arange(9) == 7
    assert known.given_away(hidden | may_go, goals) == goals
    then, gone = widened(known, hidden, goals, may_go, policy("hes"))
    assert gone.tolist() == [True] * 8 + [False]
    assert then.given_away(gone, goals) == []
    # Without a zero to withhold they stay one or more.
    assert widened(known, hidden, goals, may_go & False, policy("hes")) is None


def test_a_group_is_not_taken_to_be_within_a_smaller_sample_of_the_same_name():
    """39 of 41 people are a group; that 40 were followed does not say that the 39 are among them."""
    people, group = frozenset({("arm", "a")}), frozenset({("arm", "a"), ("sex", "f")})
    keys = {0: ("persons", people, 41), 1: ("persons", people, 40), 2: ("persons", group, 39)}
    assert list(nested(keys, [0, 1, 2])) == [([2], 0, 2)]
