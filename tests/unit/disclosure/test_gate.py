import json

import numpy as np
import pandas as pd
import pytest

from impact.data import Cohort
from impact.disclosure import NOTICE, policies, release
from impact.errors import DisclosureError, ParameterError
from impact.match import hurdle
from impact.results import Balance, Effects, Matched, Summary, Test


def effects(persons=300, treated=120, events=50, clusters=300, k=1, **method):
    labels = pd.DataFrame(
        {"outcome": "ae", "term": [f"t{i}" for i in range(k)], "scale": "difference", "unit": ""}
    )
    counts = pd.DataFrame(
        {"persons": persons, "treated": treated, "clusters": clusters, "events": events}, index=range(k)
    )
    return Effects(labels, np.ones(k), np.eye(k), np.arange(k), 20, method, counts)


def one(result, policy="hes"):
    return release({"it": result}, policy)["it"]


def test_only_results_pass():
    for thing in (pd.DataFrame({"a": [1]}), "text", None):
        with pytest.raises(DisclosureError, match=r"'it': got .*, which is not a result"):
            one(thing)
    with pytest.raises(ParameterError, match="got Effects; give a mapping"):
        release(effects(), "hes")
    with pytest.raises(ParameterError, match=r"results: got"):
        release([], "hes")
    assert dict(release({}, "hes")) == {}
    assert "has it checked first" in NOTICE


@pytest.mark.parametrize(
    ("counts", "withheld"),
    [
        ({}, False),
        ({"events": 8}, False),
        ({"events": 7}, True),
        ({"events": 0}, True),
        ({"treated": 8}, False),
        ({"treated": 7}, True),
        ({"persons": 128, "treated": 120}, False),
        ({"persons": 127, "treated": 120}, True),  # 7 controls
        ({"persons": 7, "treated": 7}, True),
    ],
)
def test_an_effect_needs_people_and_events(counts, withheld):
    row = one(effects(**counts)).table.iloc[0]
    assert row["withheld"] == withheld
    assert pd.isna(row["estimate"]) == withheld
    assert row[["persons", "treated", "events"]].isna().all() == withheld


def test_counts_beside_an_effect_are_rounded_and_sites_are_not():
    row = one(effects(persons=303, treated=122, events=58, clusters=7)).table.iloc[0]
    assert row[["persons", "treated", "events", "clusters"]].tolist() == [305, 120, 60, 7]
    # Where each person is a cluster, their number is the number of people.
    assert one(effects(persons=303, clusters=303)).table["clusters"].tolist() == [305]


@pytest.mark.parametrize(("persons", "withheld"), [(39, True), (40, False)])
def test_residual_degrees_of_freedom_are_people_minus_parameters(persons, withheld):
    result = effects(persons=persons, treated=15, clusters=8, parameters=30)
    assert one(result, "threshold_10").table["withheld"].tolist() == [withheld]
    assert one(result, "hes").table["withheld"].tolist() == [False]
    if withheld:
        assert one(result, "threshold_10").notes == (
            "Estimates are withheld where people minus parameters is under 10.",
        )


def test_eight_sites_are_not_withheld_for_having_seven_degrees_of_freedom():
    assert not one(effects(clusters=8), "threshold_10").table["withheld"].any()


@pytest.mark.parametrize(("events", "withheld"), [(7, True), (8, False)])
def test_a_test_needs_the_same(events, withheld):
    counts = pd.DataFrame({"persons": [300], "treated": [100], "clusters": [300], "events": [events]})
    released = one(Test("parallel trends", 3.2, 2, 0.2, {}, counts))
    assert released.table["p_value"].isna().tolist() == [withheld]
    assert released.table["test"].tolist() == ["parallel trends"]
    assert released.counts["persons"].tolist() == [300]


def table_one():
    rows = [("people", "all", 183, 183), ("sex", "f", 101, 183), ("sex", "m", 82, 183)]
    rows += [("heart", "yes", 3, 183), ("heart", "no", 180, 183), ("age", "mean (SD)", 183, 183)]
    table = pd.DataFrame(rows, columns=["covariate", "level", "persons", "all"])
    table["percent"] = np.where(table["covariate"] == "age", np.nan, 100 * table["persons"] / table["all"])
    table["mean"] = np.where(table["covariate"] == "age", 71.25, np.nan)
    return Summary(
        table, {}, people=["persons"], adds_up=["covariate"],
        percent={"percent": ("persons", "all")}, derived={"mean": ["persons"]},
    )  # fmt: skip


def test_percentages_come_from_rounded_counts():
    table = one(table_one()).marked()
    assert table["persons"].tolist() == [185, 100, 80, "*", "*", 185]
    assert table["all"].tolist() == [185] * 6
    assert table["percent"].tolist()[1:5] == [100 * 100 / 185, 100 * 80 / 185, "*", "*"]
    assert pd.isna(table.loc[5, "percent"])
    assert table.loc[5, "mean"] == 71.25


@pytest.mark.parametrize(("persons", "withheld"), [(7, True), (8, False), (0, False)])
def test_a_mean_on_a_handful_is_withheld_with_its_events(persons, withheld):
    table = pd.DataFrame({"arm": ["a"], "persons": [persons], "events": [40], "mean": [5.0]})
    summary = Summary(table, {}, people=["persons"], events=["events"], derived={"mean": ["persons"]})
    released = one(summary).table
    assert released["mean"].isna().tolist() == [withheld]
    assert released["events"].isna().tolist() == [withheld]


def test_the_rest_of_a_percentage_is_a_count_too():
    table = pd.DataFrame({"arm": ["a"], "alive": [178], "all": [183], "percent": [97.3]})
    released = one(Summary(table, {}, people=["alive", "all"], percent={"percent": ("alive", "all")}))
    assert released.marked()[["alive", "all", "percent"]].values.tolist() == [["*", 185, "*"]]


def test_columns_that_add_up_protect_each_other():
    table = pd.DataFrame({"stage": ["a", "b"], "persons": [33, 70], "treated": [30, 30], "control": [3, 40]})
    released = one(Summary(table, {}, people=["persons", "treated", "control"]))
    assert released.marked().iloc[0, 1:4].tolist() == [35, "*", "*"]
    assert released.marked().iloc[1, 1:4].tolist() == [70, 30, 40]


def test_a_total_is_the_sum_of_rounded_parts_where_the_policy_says_so():
    table = pd.DataFrame({"level": ["a", "b", "c", "all"], "persons": [12, 12, 12, 36]})
    summary = Summary(table, {}, people=["persons"])
    assert one(summary, "opensafely").table["persons"].tolist() == [10, 10, 10, 30]
    assert one(summary, "hes").table["persons"].tolist() == [10, 10, 10, 35]


def test_undeclared_numbers_and_extremes_are_refused():
    table = pd.DataFrame({"arm": ["a"], "persons": [40], "spend": [812.5]})
    with pytest.raises(DisclosureError, match="'it', column 'spend': a number that the Summary does not"):
        one(Summary(table, {}, people=["persons"]))
    with pytest.raises(DisclosureError, match="column 'n_people'"):
        one(Summary(pd.DataFrame({"n_people": [3]}), {}))
    summary = Summary(
        table.rename(columns={"spend": "age_max"}), {}, people=["persons"], derived={"age_max": ["persons"]}
    )
    with pytest.raises(DisclosureError, match="'it', column 'age_max': a minimum or maximum"):
        one(summary)


def test_numbers_that_count_nobody_pass():
    table = pd.DataFrame({"low": [-0.1, 0.0], "high": [0.0, 0.1], "draws": [3, 497], "here": [True, False]})
    assert one(Summary(table, {})).table["draws"].tolist() == [3, 497]


def balance():
    rows = [("age", None, 71.2, 70.1), ("alone", None, 0.03, 0.4)]  # 6 of 200 live alone
    rows += [("sex", "f", 0.5, 0.5), ("sex", "m", 0.5, 0.5)]
    rows += [("fifth", "1", 0.6, 0.5), ("fifth", "2", 0.02, 0.3), ("fifth", "3", 0.38, 0.2)]
    table = pd.DataFrame(rows, columns=["covariate", "level", "mean_treated", "mean_control"])
    table = table.assign(sample="before", smd=0.1, variance_ratio=[1.0, *[np.nan] * 6], ks=0.05)
    counts = pd.DataFrame(
        {"sample": ["before", "before", "after", "after"], "arm": ["treated", "control"] * 2,
         "persons": [200, 500, 197, 197], "ess": [200.0, 500.0, 197.0, 163.2]}
    )  # fmt: skip
    return Balance(table, {}, counts)


def test_a_mean_that_gives_a_small_count_back_is_withheld():
    released = one(balance())
    table = released.table
    assert table["withheld"].tolist() == [False, True, False, False, False, True, True]
    # What compares the arms tells of both; the other arm's own mean stays.
    numbers = ["mean_treated", "smd", "variance_ratio", "ks"]
    assert table.loc[table["withheld"], numbers].isna().all(axis=None)
    assert table["mean_control"].notna().all()
    assert table.loc[0, "smd"] == 0.1
    assert released.notes == ("Balance is withheld where a group holds 7 or fewer people.",)


@pytest.mark.parametrize(
    ("levels", "shown", "status"),
    [
        ({1: 85, 2: 150, 3: 42, 4: 3}, [False] * 4, "pass"),
        ({1: 85, 2: 150, 3: 42}, [True] * 3, "pass"),
        ({1: 85, 2: 3}, [False] * 2, "fail"),
    ],
)
def test_levels_are_withheld_together_where_an_earlier_page_shows_their_mean(levels, shown, status, tmp_path):
    """280 people and their mean, 1.868, leave 3 at the last level if the first two are shown."""
    n = sum(levels.values())
    table = pd.DataFrame({"covariate": ["fifth"], "level": None, "sample": "before", "variance_ratio": 1.0})
    table["mean_treated"] = sum(level * of for level, of in levels.items()) / n
    sizes = pd.DataFrame({"sample": "before", "arm": ["treated", "control"], "persons": [n, 500]})
    balance = Balance(table.assign(mean_control=2.0, smd=0.1), {}, sizes.assign(ess=sizes["persons"] + 0.0))
    first = release({"balance": balance}, "hes", record=tmp_path / "first.json")
    assert first["balance"].table["mean_treated"].notna().all()
    by_level = pd.DataFrame({"arm": "supported", "fifth": [str(level) for level in levels]})
    counted = Summary(by_level.assign(persons=levels.values()), {}, people=["persons"])
    later = release({"levels": counted}, "hes", record=tmp_path / "later.json")
    assert later["levels"].table["persons"].notna().tolist() == shown
    assert later.sheet[0]["status"] == status


def test_only_figures_that_are_there_are_marked_as_withheld():
    """The levels of a covariate have no mean, and its mean no percentage, whatever is withheld."""
    table = pd.DataFrame(
        {"covariate": ["age", "sex", "sex"], "level": ["mean (SD)", "f", "m"], "persons": [93, 90, 3],
         "all": 93, "percent": [np.nan, 96.8, 3.2], "mean": [71.2, np.nan, np.nan]}
    )  # fmt: skip
    percent, derived = {"percent": ("persons", "all")}, {"mean": ["persons"]}
    shown = one(Summary(table, {}, people=["persons", "all"], percent=percent, derived=derived)).marked()
    assert shown["percent"].fillna("").tolist() == ["", "*", "*"]
    assert shown["mean"].fillna("").tolist() == [71.2, "", ""]


def test_a_reference_level_left_out_of_the_table_still_counts():
    table = pd.DataFrame(
        {"covariate": "fifth", "level": ["1", "2"], "sample": "before", "mean_treated": [0.58, 0.4],
         "mean_control": [0.5, 0.4], "smd": 0.1}
    )  # fmt: skip
    # 4 of 200 are in the third level: the shares of the other two may not both be shown.
    assert one(Balance(table, {}, balance().counts)).table["withheld"].tolist() == [False, True]


def test_sample_sizes_do_not_give_the_unmatched_away():
    counts = one(balance()).counts
    assert counts["persons"].fillna(-1).tolist() == [200, 500, -1, 195]  # 3 of 200 were left unmatched
    assert counts["ess"].fillna(-1).tolist() == [200, 500, -1, 165]
    assert [c["persons"] for c in json.loads(one(balance()).to_json())["counts"]] == [200, 500, None, 195]


def test_of_a_matched_sample_only_counts_leave():
    people = pd.DataFrame({"person_id": ["p1"], "weight": [1.0], "subclass": [1], "distance": [0.2]})
    counts = pd.DataFrame(
        {
            "arm": ["treated"] * 2 + ["control"] * 2,
            "rule": ["matched", "too far"] * 2,
            "persons": [177, 3, 177, 50],
        }
    )
    released = one(Matched(people, None, {"method": "nearest"}, counts))
    assert released.kind == "matched"
    assert list(released.table) == ["arm", "rule", "persons", "withheld"]
    assert released.marked()["persons"].tolist() == [175, "*", 175, 50]
    assert "p1" not in released.to_json() + released.to_csv()


def test_propensity_bins_are_suppressed():
    table = pd.DataFrame(
        {"arm": "treated", "bin_low": [0.0, 0.1, 0.2, 0.3], "bin_high": [0.1, 0.2, 0.3, 0.4],
         "persons": [2, 90, 60, 0]}
    )  # fmt: skip
    released = one(Summary(table, {}, people=["persons"], adds_up=["arm"]))
    assert released.marked()["persons"].tolist() == ["*", 90, "*", 0]
    assert released.table["bin_low"].tolist() == [0.0, 0.1, 0.2, 0.3]


def test_a_time_that_was_not_observed_does_not_coarsen_the_rates_of_one_that_was() -> None:
    table = pd.DataFrame(
        {"outcome": ["ae"], "persons": [1980], "before": [0], "after": [873], "rate": [10.673]}
    )
    summary = Summary(
        table,
        {},
        people=["persons"],
        events=["before", "after"],
        derived={"rate": ["persons", "before", "after"]},
    )
    assert one(summary).table["rate"].iloc[0] == pytest.approx(10.673, abs=0.001)


def test_squares_and_products_are_counted_and_never_shown():
    """Three who are both alone and carers would be the mean of a product."""
    plain = balance()
    more = pd.DataFrame(
        {"covariate": ["age squared", "alone × carer", "age × carer"],
         "kind": ["square", "interaction", "interaction"], "mean_treated": [5000.0, 0.015, 31.0],
         "mean_control": [4900.0, 0.2, 30.0], "smd": [0.3, -0.2, 0.05], "sample": "after"}
    )  # fmt: skip
    released = one(Balance(pd.concat([plain.table.assign(kind="covariate"), more]), {}, plain.counts))
    assert len(released.table) == len(plain.table)
    assert "Of 3 squares and products of these, 2 differ by more than 0.1 after matching." in released.notes


def test_steps_of_a_hurdle_rest_on_the_people_who_have_any_and_not_on_their_events():
    n = 200
    nights = np.zeros(n)
    nights[:5], nights[100:130] = 12, 4
    frame = pd.DataFrame({"helped": np.arange(n) < 100, "nights": nights, "months": 12})
    cohort = Cohort.from_frame(frame, treated="helped", outcomes=["nights"], exposure="months")
    table = one(hurdle(cohort, outcome="nights")).table
    assert table.loc[table["term"] != "effect", "estimate"].isna().all()


@pytest.mark.parametrize("rule", policies().values(), ids=lambda rule: rule.name)
def test_nothing_is_withheld_because_nobody_is_left(rule) -> None:
    """That there is nobody is no fact about a person: 0 may not be printed, 50 of 50 may."""
    table = pd.DataFrame({"covariate": "alone", "level": ["0", "1"], "persons": [0, 50], "all": [50, 50]})
    table["percent"] = [0.0, 100.0]
    out = release({"t": Summary(table, {}, ["persons"], percent={"percent": ("persons", "all")})}, rule)
    assert out["t"].table["percent"].isna().tolist() == [not rule.zero_shown, False]
    assert out["t"].table["persons"].isna().tolist() == [not rule.zero_shown, False]


def test_events_of_nobody_knows_whom_are_for_a_person_to_look_at() -> None:
    table = pd.DataFrame({"year": [1, 2], "persons": [50, 60], "visits": [400, 300]})
    unknown = Summary(table, {}, people=["persons"], events=["visits"])
    sheet = release({"t": unknown}, "threshold_10").sheet
    assert sheet[0]["status"] == "review"
    assert "who has most of visits: look whether one or two people have more than 90%" in sheet[0]["look"][0]
    known = Summary(table.assign(a=9, b=8), {}, ["persons"], ["visits"], largest={"visits": ("a", "b")})
    assert release({"t": known}, "threshold_10").sheet[0]["status"] == "pass"
    assert release({"t": unknown}, "hes").sheet[0]["status"] == "pass"
