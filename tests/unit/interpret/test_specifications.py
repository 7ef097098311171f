"""Runs on the same people side by side: what is said of them, and what never is; and who may be averaged."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from impact.disclosure import release
from impact.errors import DataError, DesignError, DisclosureError
from impact.interpret.comparable import comparable, main_for, runs_of_one
from impact.interpret.specifications import AS_IN_THE_FILE, few_runs, specification_curve
from impact.pages import specification_curve as page
from impact.results import Effects

ESTIMATES = {"a": -0.20, "b": -0.10, "c": 0.05, "d": -0.30}
CHOSEN = {
    "a": {"caliper": "0.2", "method": "nearest"},
    "b": {"caliper": "0.1", "method": "nearest"},
    "c": {"caliper": "0.2", "method": "full"},
    "d": {"caliper": "0.1"},
}


def run(estimate, *, outcome="ae", error=0.05, **more):
    row = {"outcome": outcome, "scale": "log ratio", "unit": "log ratio", "conf_level": 0.95}
    reach = {"conf_low": estimate - 1.96 * error, "conf_high": estimate + 1.96 * error}
    behind = {"persons": 300, "treated": 100, "events": 80} | more
    return {
        "table": [row | reach | behind | {"estimate": estimate, "std_error": error}],
        "method": {"estimand": "effect"},
    }


def curve(main="a", runs=None, **more):
    runs = runs or {name: run(estimate) for name, estimate in ESTIMATES.items()}
    return specification_curve(runs, choices={n: CHOSEN[n] for n in runs}, main=main, **more)


def released(result=None):
    return release({"curve": curve() if result is None else result}, "hes")["curve"]


def test_each_run_is_a_row_with_what_it_chose():
    table = curve().table
    assert table["run"].tolist() == ["main run", "run 2", "run 3", "run 4"]
    assert table["method"].tolist() == ["nearest", "nearest", "full", AS_IN_THE_FILE]
    assert table["estimate"].tolist() == list(ESTIMATES.values())


def test_runs_that_found_the_same_are_not_taken_for_one_study():
    same = {"a": run(-0.2), "b": run(-0.2)}
    assert len(curve(runs=same).table) == 2


@pytest.mark.parametrize(
    ("runs", "main", "error", "said"),
    [
        ({"a": run(-0.2)}, "a", DesignError, "two|nothing to set beside"),
        ({"a": run(-0.2), "b": run(0.1)}, "z", DesignError, "none is named z"),
        ({"a": run(-0.2), "b": {"table": [{"outcome": "ae"}]}}, "a", DataError, "no column"),
        ({"a": run(-0.2), "b": run(0.1, error=-1.0)}, "a", DataError, "above 0"),
    ],
)
def test_what_cannot_be_set_side_by_side_is_refused(runs, main, error, said):
    with pytest.raises(error, match=said):
        curve(main=main, runs=runs)


def test_too_few_people_behind_a_run_are_withheld_and_named():
    runs = {"a": run(-0.2), "b": run(-0.1, events=3), "c": run(0.05)}
    one = released(curve(runs=runs))
    assert one.table.loc[one.table["run"] == "run 2", "estimate"].isna().all()
    assert "2 estimates lie" in page.moved(one).text
    counts = pd.DataFrame([{"persons": 300, "treated": 100, "clusters": 9, "events": 2}])
    labels = pd.DataFrame([{"outcome": "ae", "term": "effect", "scale": "log ratio", "unit": "log ratio"}])
    memory = Effects(labels, np.array([-0.2]), np.array([[0.1]]), np.array([0]), 9, {}, counts)
    one = released(specification_curve({"a": memory, "b": run(0.1), "c": run(0.2)}, choices={}))
    assert one.table.loc[one.table["run"] == "run 1", "withheld"].all()


def test_without_counts_nothing_is_shown():
    bare = {
        name: {
            "table": [
                {k: v for k, v in run(0.1)["table"][0].items() if k not in ("persons", "treated", "events")}
            ]
        }
        for name in "ab"
    }
    with pytest.raises(DisclosureError, match="none of its estimates may be shown"):
        page.moved(released(curve(runs=bare)))


def test_the_words_are_those_of_the_numbers():
    said = page.moved(released()).text
    assert "the 4 estimates lie from 0.74 to 1.05, the middle at 0.86." in said
    assert "3 of the 4 have a 95% range on one side of no effect: 3 towards fewer, 0 towards more." in said
    assert "3 of the estimates lie below no effect and 1 does not." in said
    assert "The main run found 0.82 (95% range 0.74 to 0.90)." in said
    # From -0.20 to 0.05 by the method alone; run 4 differs in two choices, so that it cannot say.
    assert "one moved it most: method full, to 1.05 (0.95 to 1.16)." in said
    assert "That range takes in no effect, unlike the main run's." in said
    assert "So few runs say little of how far the answer hangs on choices." in said
    assert "robust" not in said


def test_an_answer_that_turns_round_is_said_to():
    runs = {"a": run(-0.2), "c": run(0.3)}
    assert "That turns the answer round." in page.moved(released(curve(runs=runs))).text


def test_without_a_main_run_none_is_marked():
    one = released(curve(main=None))
    assert "The main run has no estimate to show" in page.moved(one).text
    ax = page.specification_curve(one)
    assert not [line for line in ax.lines if line.get_marker() == "D" and len(line.get_xdata())]


def test_the_figure_has_every_run_in_order_and_its_choices_beneath():
    one = released()
    above = page.specification_curve(one)
    below = above.figure.axes[1]
    points = {
        x: y
        for line in above.lines
        if line.get_marker() in "oD"
        for x, y in zip(*line.get_data(), strict=True)
    }
    assert np.allclose(
        [points[x] for x in sorted(points)], sorted(np.exp(list(ESTIMATES.values()))), atol=0.01
    )
    squares = sum(len(line.get_xdata()) for line in below.lines if line.get_marker() == "s")
    assert squares == 4 * 2
    assert {text.get_text() for text in below.get_yticklabels()} == {
        "0.1",
        "0.2",
        "nearest",
        "full",
        "as in the file",
    }


def test_the_alternative_text_and_the_table_tell_what_is_drawn():
    one = released()
    assert page.alt(one).startswith("4 runs of one study, which differ in caliper and method.")
    assert page.moved(one).text.removeprefix("A&E attendances: ") in page.alt(one)
    assert [row[0] for row in page.table(one).rows] == ["Run 4", "Main run", "Run 2", "Run 3"]
    assert page.table(one).rows[1][1:3] == ("0.2", "nearest")


def test_only_a_released_curve_of_one_outcome_is_drawn():
    with pytest.raises(DisclosureError):
        page.specification_curve(curve())
    both = {
        n: {**run(e), "table": [*run(e)["table"], *run(e, outcome="gp")["table"]]}
        for n, e in ESTIMATES.items()
    }
    with pytest.raises(DisclosureError, match="several outcomes"):
        page.specification_curve(released(curve(runs=both)))
    other = release({"x": release_of_another_kind()}, "hes")["x"]
    with pytest.raises(DisclosureError, match="no specification curve"):
        page.specification_curve(other)


def release_of_another_kind():
    from impact.results import Summary

    return Summary(pd.DataFrame({"arm": ["control"], "persons": [123]}), {}, people=["persons"])


def study(people, *, file="x.yaml", main=True, estimand="effect", unit="per 1,000 person-months", **more):
    row = {"outcome": "ae", "scale": "difference", "unit": unit, "estimate": -1.0, "std_error": 1.0}
    base = {"table": [row], "method": {"estimand": estimand}, "people": people, "inputs": people}
    return base | {"file": file, "main": main, "choices": {}} | more


def test_studies_that_share_people_by_way_of_others_are_one_group():
    chain = {"a": study(["1", "2"], main=False), "b": study(["2", "3"]), "c": study(["3"], main=False)}
    sets, said = comparable({**chain, "d": study(["9"])})
    assert [list(names) for names in sets] == [["b", "d"]]
    assert said == []


def test_units_that_differ_are_sets_of_their_own():
    several = {n: study([n], unit=unit) for n, unit in zip("abcd", ("m", "m", "t", "t"), strict=True)}
    sets, said = comparable(several)
    assert sorted(map(list, sets)) == [["a", "b"], ["c", "d"]]
    assert said == []


def test_runs_are_those_of_one_file_on_one_set_of_data():
    chosen = {"choices": {"caliper": "0.1"}}
    runs = {
        "b": study(["1"], main=False, **chosen),
        "a": study(["1"], **chosen),
        "old": study(["1"], main=False, **chosen) | {"inputs": ["0"]},
        "other": study(["1"], file="y.yaml", **chosen),
        "plain": study(["1"]),
    }
    assert [list(names) for names in runs_of_one(runs)] == [["a", "b"]]


def sets_of_services():
    """A site whose runs differ in the services and the months; the first is the main one."""
    runs = {}
    for i, (services, months) in enumerate((s, m) for s in ("ae", "gp") for m in ("12", "6")):
        one = study(["1"], main=i == 0, choices={"services": services, "months": months})
        runs[f"{services} {months}"] = one | {"table": [{**one["table"][0], "outcome": services}]}
    return runs


def test_other_services_are_averaged_from_the_run_that_differs_in_these_alone():
    site = sets_of_services()
    (together,), said = comparable({**site, "south": study(["2"])})
    assert [row["outcome"] for row in together["ae 12"]["table"]] == ["ae", "gp"]
    assert said == []
    assert (main_for(site, "ae"), main_for(site, "gp")) == ("ae 12", "gp 12")
    del site["gp 12"]
    (together,), said = comparable({**site, "south": study(["2"])})
    assert [row["outcome"] for row in together["ae 12"]["table"]] == ["ae"]
    assert said == [
        "`gp`: in no average of ae 12, as only runs that differ from the main one in more than the services "
        "count these; put them in the main run's list."
    ]
    assert main_for(site, "gp") == "ae 12"
    assert main_for({"gp 6": site["gp 6"]}, "gp") is None


def test_a_service_that_the_main_run_does_not_count_is_said_to_be_that():
    runs = {"a": run(-0.2, outcome="ae"), "b": run(0.1, outcome="gp"), "c": run(0.2, outcome="gp")}
    whole = curve(runs=runs)
    assert whole.method["not_by_main"] == ["gp"]
    said = page.moved(released(whole)).text
    assert "GP contacts: Ratio of rates: the 2 estimates lie from 1.11 to 1.22" in said
    assert "The main run does not count this service." in said
    assert "no other takes its place" not in said


def of_few(**sites):
    each = {name: curve(runs=dict(zip("ac", map(run, found), strict=False))) for name, found in sites.items()}
    return released(few_runs(each))


def test_few_runs_of_many_studies_are_one_table_and_one_sentence():
    found = of_few(north=(-0.2, -0.18), south=(-0.2, 0.05), east=(0.3, -0.3))
    assert page.changed(found).text == (
        "A&E attendances: in 1 of the 3 studies another choice changes whether the range lies on one side of "
        "no effect (south). In east it turns the answer round."
    )
    table = page.few_runs(found)
    assert [column.header for column in table.columns] == [
        "Study",
        "Method nearest (main run)",
        "Method full",
    ]
    assert table.rows[1] == ("south", "0.82 (0.74 to 0.90)", "1.05 (0.95 to 1.16)")
    assert "So few runs of each study" in table.text
    assert (
        "in none of the 2 studies does another choice change"
        in page.changed(of_few(north=(-0.2, -0.18), south=(0.01, 0.02))).text
    )
    alone = page.changed(of_few(north=(-0.2, 0.01))).text
    assert (
        alone
        == "A&E attendances: in north another choice changes whether the range lies on one side of no effect."
    )
    with pytest.raises(DisclosureError, match="few_runs"):
        page.changed(released())
