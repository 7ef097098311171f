"""The same people, or the same events, under other names: what one table withholds no other tells."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from impact.disclosure import release
from impact.results import Balance, Effects, Matched, Rates, Summary

FAR, TAKEN = "no control within the caliper", "every near control was taken"
PAIRS = {"ratio": 1, "replace": False, "max_ratio": None, "exact": ["fifth"]}


def matched(n=209, far=4, taken=1, rest=337):
    rows = [("treated", "matched", n), ("treated", FAR, far), ("treated", TAKEN, taken)]
    rows += [("control", "matched", n), ("control", "not needed", rest)]
    return Matched(pd.DataFrame(), None, PAIRS, pd.DataFrame(rows, columns=["arm", "rule", "persons"]))


def feasible(everyone=214, near=210):
    rows = [("supported people", everyone), ("supported with a control near enough", near)]
    rows += [("smallest detectable rate ratio", near)]
    table = pd.DataFrame(rows, columns=["question", "persons"]).assign(all=everyone)
    table["percent"] = [np.nan, 100 * near / everyone, np.nan]
    return Summary(table, {}, people=["persons"], percent={"percent": ("persons", "all")})


def effects(n=209, events=60, method=None, terms=("effect",), treated=None, clusters=None):
    count = len(terms)
    labels = pd.DataFrame({"outcome": "ae", "term": list(terms), "scale": "difference", "unit": ""})
    counts = {"persons": 2 * n, "treated": treated or n, "clusters": clusters or n, "events": events}
    root = np.eye(count)
    return Effects(
        labels, np.ones(count), root, np.arange(count), 200, method or {}, pd.DataFrame(counts, labels.index)
    )


def arms(supported, control):
    table = pd.DataFrame({"arm": ["supported", "control"], "persons": [supported, control]})
    return Summary(table, {}, people=["persons"])


def shown(released, column="persons"):
    return [None if pd.isna(n) else int(n) for n in released.table[column]]


def test_near_enough_less_matched_is_who_had_no_control_left():
    """268 near enough, 267 matched: one had nobody left, so the two are not shown both."""
    out = release({"matched": matched(267, 10, 1, 449), "feasible": feasible(278, 268)}, "hes")
    near, same = shown(out["feasible"])[1:]
    assert near == same
    assert near is None or shown(out["matched"])[0] is None
    assert shown(out["matched"])[2] is None


def test_what_could_be_detected_rests_on_those_near_enough():
    """Where 4 have no near control, the row that counts the others again is withheld with them."""
    out = release({"feasible": feasible()}, "hes")
    assert shown(out["feasible"]) == [215, None, None]


def test_behind_effects_of_a_matched_sample_are_the_matched(tmp_path):
    """5 of 214 are not matched: 209 stand nowhere, of either arm, nor as pairs, nor both arms together."""
    release({"arms": arms(214, 546)}, "hes", record=tmp_path / "cohort.json")
    results = {
        "matched": matched(),
        "effects": effects(method={"matching": PAIRS, "clusters": "matched set"}),
    }
    out = release(results, "hes", record=tmp_path / "matching.json")
    assert shown(out["matched"])[0] is shown(out["matched"])[3] is None
    assert [shown(out["effects"], c) for c in ("persons", "treated", "clusters")] == [[None]] * 3
    assert {row["status"] for row in out.sheet} == {"pass"}


def test_clusters_that_are_places_are_shown():
    out = release({"arms": arms(214, 546), "effects": effects(clusters=12)}, "hes")
    assert shown(out["effects"], "clusters") == [12]


def levels(method):
    """Before, after and left out, by a covariate on which pairs are alike exactly."""
    after = {"1": (81, 81), "2": (146, 146), "3": (40, 40)}
    before = {"1": (85, 207), "2": (151, 397), "3": (42, 112)}
    rows = []
    for sample in ("before", "after", "left out"):
        for level in after:
            b, a = before[level], after[level]
            n = b if sample == "before" else a if sample == "after" else (b[0] - a[0], b[1] - a[1])
            rows.append(("fifth", level, sample, *n))
    table = pd.DataFrame(
        rows, columns=["covariate", "level", "sample", "supported_persons", "control_persons"]
    )
    return Summary(
        table, method, people=["supported_persons", "control_persons"], adds_up=["covariate", "sample"]
    )


def test_pairs_that_are_alike_exactly_are_as_many_in_both_arms():
    """4, 5 and 2 of the supported were left out; whoever knows the controls kept knows them."""
    out = release({"one": levels(PAIRS)}, "hes")["one"].table
    before, after = (out[out["sample"] == s] for s in ("before", "after"))
    hidden = before["supported_persons"].isna().to_numpy() | after["control_persons"].isna().to_numpy()
    assert hidden.all()
    free = release({"one": levels({**PAIRS, "replace": True})}, "hes")["one"].table
    assert free.loc[free["sample"] == "after", "control_persons"].notna().all()


def test_a_level_called_1_of_several_has_no_opposite():
    """The rest of fifth 1 of 4 is no fifth 0, beside which the levels would not add up to everyone."""
    table = pd.DataFrame(
        {"covariate": "fifth", "level": list("1234"), "persons": [85, 151, 40, 2], "all": 278}
    )
    table["percent"] = 100 * table["persons"] / 278
    one = Summary(
        table, {}, people=["persons"], percent={"percent": ("persons", "all")}, adds_up=["covariate"]
    )
    everyone = pd.DataFrame({"arm": ["people"], "persons": [278]})
    out = release({"one": one, "all": Summary(everyone, {}, people=["persons"])}, "hes")
    assert [n is None for n in shown(out["one"])] == [False, False, True, True]


SIZES = pd.DataFrame(
    {"sample": ["before"] * 2 + ["after"] * 2, "arm": ["treated", "control"] * 2,
     "persons": [278, 716, 267, 267]}
).assign(ess=lambda sizes: sizes["persons"].astype(float))  # fmt: skip


def balance(covariate, kind, treated, control, ratio=1.1):
    table = pd.DataFrame(
        {"covariate": covariate, "kind": kind, "level": "", "sample": ["before", "after"],
         "mean_treated": treated, "mean_control": control, "smd": 0.1, "variance_ratio": ratio}
    )  # fmt: skip
    return Balance(table, {}, SIZES)


@pytest.mark.parametrize(("last", "withheld"), [(2, True), (20, False)])
def test_a_mean_goes_with_the_levels_that_it_tells(last, withheld):
    """1.855 x 278 = 85 + 2 x 151 + 3 x (42 - d) + 4 x d: d is 2 or 3."""
    n = [85, 151, 42 - last, last]
    counts = pd.DataFrame({"covariate": "fifth", "level": list("1234"), "supported_persons": n})
    baseline = Summary(counts, {}, people=["supported_persons"], adds_up=["covariate"])
    mean = float(np.dot(n, [1, 2, 3, 4]) / 278)
    numbers = balance("fifth", "covariate", [mean, 1.8], [1.9, 1.8])
    out = release({"baseline": baseline, "balance": numbers}, "hes")["balance"].table
    assert out["withheld"].tolist() == [withheld, False]
    assert out["smd"].isna().tolist() == [withheld, False]


@pytest.mark.parametrize(
    ("covariate", "kind", "ratio", "withheld"),
    [("propensity score", "score", 1.1, False), ("conditions", "covariate", 1.1, False),
     ("lives alone", "covariate", np.nan, True)],
)  # fmt: skip
def test_only_the_mean_of_a_yes_or_no_is_a_share(covariate, kind, ratio, withheld):
    """0.97 of 267 people is 8 fewer than all if it counts people, and nobody if it is a mean number."""
    out = release({"it": balance(covariate, kind, [0.9, 0.985], [0.9, 0.9], ratio)}, "hes")["it"].table
    assert out["withheld"].tolist() == [False, withheld]


def test_the_same_events_are_one_count_whatever_they_are_used_for():
    """An analysis without the first month has 6 events fewer: of that month, if counts are not rounded."""
    checks = effects(events=[65, 59, 65], terms=["As planned", "Without the first month", "Otherwise"])
    assert shown(release({"it": checks}, "threshold_10")["it"], "events") == [65, None, 65]
    assert shown(release({"it": checks}, "hes")["it"], "events") == [65, 60, 65]


def test_events_of_everyone_and_of_the_matched_differ_by_those_of_the_others():
    naive = pd.DataFrame({"outcome": ["ae"], "supported_persons": [278], "supported_after_events": [66]})
    naive = Summary(naive, {}, people=["supported_persons"], events=["supported_after_events"])
    results = {"unmatched": effects(278, 66), "naive": naive}
    out = release(results | {"effects": effects(267, 61, method={"matching": PAIRS})}, "threshold_10")
    assert shown(out["unmatched"], "events") == shown(out["naive"], "supported_after_events") == [66]
    assert shown(out["effects"], "events") == [None]


def test_a_check_that_would_have_stopped_the_study_found_none():
    table = pd.DataFrame(
        {"rule": ["readable", "blank", "opted out"], "action": ["stops", "kept", "kept"], "count": [0, 0, 51]}
    )
    checks = Summary(table, {}, events=["count"], certain={"action": "stops"})
    assert shown(release({"it": checks}, "opensafely")["it"], "count") == [0, None, 50]


def test_a_time_that_was_not_observed_takes_no_figure_of_the_other_with_it():
    """There are no events before, since there is no time: the rate after is not withheld for that."""
    table = pd.DataFrame(
        {"outcome": ["visits"], "persons": [1980], "before_events": [0], "after_events": [31029]}
    )
    table["before"], table["after"] = np.nan, 379.4
    behind = ["persons", "before_events", "after_events"]
    naive = Summary(
        table, {}, people=behind[:1], events=behind[1:], derived={"before": behind, "after": behind}
    )
    out = release({"it": naive}, "opensafely")["it"].table
    assert out[["persons", "after_events"]].to_numpy().tolist() == [[1980, 31030]]
    assert out[["before_events"]].isna().all(axis=None)
    assert out["after"].notna().all()


def test_who_is_weighted_is_everyone_and_nobody_is_left(tmp_path):
    """1,980 of 1,980 are used: that nobody is left out follows, and is no fault of the table."""
    counts = pd.DataFrame({"arm": "treated", "rule": ["weighted", "not needed"], "persons": [1980, 0]})
    release({"arms": arms(1980, 1110)}, "threshold_10", record=tmp_path / "cohort.json")
    result = {"it": Matched(pd.DataFrame(), None, {}, counts)}
    out = release(result, "threshold_10", record=tmp_path / "matching.json")
    assert [row["status"] for row in out.sheet] == ["pass"]
    assert shown(out["it"]) == [1980, None]


def test_a_share_by_weight_counts_nobody():
    """Of 500 controls who weigh like 163, 3% are no 15 people of whom another table has 20."""
    after = pd.DataFrame(
        {"sample": "after", "arm": ["treated", "control"], "persons": [200, 500], "ess": [200.0, 163.0]}
    )
    rows = pd.DataFrame(
        {
            "covariate": ["poor"],
            "level": [None],
            "sample": "after",
            "mean_treated": 0.1,
            "mean_control": 0.03,
            "smd": 0.1,
        }
    )
    one = pd.DataFrame({"poor": ["1"], "control_persons": [20], "rule": "matched"})
    results = {"balance": Balance(rows, {}, after), "one": Summary(one, {}, people=["control_persons"])}
    out = release(results, "threshold_10")
    assert not out["balance"].table["withheld"].any()
    assert shown(out["one"], "control_persons") == [20]


def test_events_of_two_times_are_not_the_same_events():
    """12 before and 14 after: as many by chance, and of different months."""
    found = effects(events=[12, 14], terms=["event time -12 to -1", "event time 0 to 11"])
    labels = found.labels.assign(event_time=[-12, 0], event_time_to=[-1, 11])
    out = release({"it": replace(found, labels=labels)}, "threshold_10")
    assert shown(out["it"], "events") == [12, 14]


def test_the_people_of_a_month_do_not_tell_who_was_left_out():
    """313 at risk, 308 of them matched: 5 others, if both stood there; the matched are as many throughout."""
    rows = [
        ("ae", arm, t, 1, n - t, 40, 300.0)
        for arm, n in (("supported", 315), ("control", 320))
        for t in (0, 7)
    ]
    columns = ["outcome", "arm", "period", "step", "persons", "events", "person_months"]
    table = pd.DataFrame(rows, columns=columns).assign(rate_per_1000_person_months=133.3)
    everyone, some = (Rates(table, method) for method in ({}, {"sample": "matched"}))
    out = release({"rates": everyone, "by_month": some}, "hes")
    assert shown(out["rates"]) == [315, 310, 320, 315]
    assert shown(out["by_month"]) == [315, 315, 320, 320]
