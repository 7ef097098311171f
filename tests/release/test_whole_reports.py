"""Random reports of several pages, attacked by a reader who knows each shown count to the last digit.

A few reports under each policy here, which earlier versions gave away; ``IMPACT_SLOW=1`` makes it a hundred.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from impact.disclosure import Policy, policies, release
from impact.errors import DisclosureError
from impact.results import Balance, Effects, Summary

from .worlds import Published, World, given_away

SLOW = os.environ.get("IMPACT_SLOW") == "1"
REPORTS = {
    "hes": (36, 52, 58),
    "opensafely": (34, 36, 58),
    "opensafely_midpoint6": (4, 36, 77),
    "threshold_10": (17, 36, 52, 58),
}
# Some cannot be protected, such as a group of two in a report that declares its totals, or one that an
# earlier page gave away before it was counted: then the page is refused, or the sheet says that it must not
# be sent. Of a hundred random reports with groups this small, at most so many.
GIVEN_UP = 25
# What the sheet says of a count that the reader of exact counts could work out.
ROUNDED = "protected by rounding alone"


def published(rng: np.random.Generator, world: World | None = None) -> Published:
    """A report of one to four tables and some of the results of a study, perhaps of a given world."""
    drawn = World.drawn(rng)
    found = Published(world or drawn)
    for i in range(rng.integers(1, 5)):
        found.summary(f"s{i}", rng)
    if rng.random() < 0.5:
        found.baseline("baseline", rng)
    for add in (found.balance, found.matched, found.effects, found.rates, found.naive):
        if rng.random() < 0.4:
            add(add.__name__)
    return found


def attacked(seed: int, rule: Policy, folder: Path) -> list[str] | None:
    """What a report gives away, the first page perhaps of the last report; None if it may not be sent."""
    rng = np.random.default_rng(seed)
    report, released, only_rounded = published(rng), {}, False
    names, pages = list(rng.permutation(list(report.results))), int(rng.integers(1, 4))
    for i in range(pages):
        place = "old" if i == 0 and pages > 1 and rng.random() < 0.4 else "new"
        page = {str(name): report.results[str(name)] for name in names[i::pages]}
        try:
            shown = release(page, rule, record=folder / place / f"p{i}.json", previous=folder / "old")
        except DisclosureError:
            return None
        if any(row["status"] == "fail" for row in shown.sheet):
            return None
        only_rounded |= any(look.startswith(ROUNDED) for row in shown.sheet for look in row["look"])
        released |= shown
    found = []
    for source in (report.world.people, report.world.events):
        counts = [c for c in report.shown(released, rule) if len(c[1]) == len(source)]
        none, n = report.perhaps_none(rule), source["n"].to_numpy()
        found += given_away(counts, n, rule, none, as_printed=only_rounded) if counts else []
    return found


@pytest.mark.parametrize(
    ("name", "seed"), [(name, seed) for name, seeds in REPORTS.items() for seed in seeds]
)
def test_no_report_gives_a_withheld_count_away(name: str, seed: int, tmp_path: Path) -> None:
    assert attacked(seed, policies()[name], tmp_path) == []


@pytest.mark.skipif(not SLOW, reason="a hundred reports under each policy run with IMPACT_SLOW=1")
@pytest.mark.parametrize("name", policies())
def test_of_a_hundred_reports_none_gives_a_count_away_and_few_are_given_up(name: str, tmp_path: Path) -> None:
    found = {seed: attacked(seed, policies()[name], tmp_path / str(seed)) for seed in range(100)}
    assert {seed: leaks for seed, leaks in found.items() if leaks} == {}
    assert sum(leaks is None for leaks in found.values()) <= GIVEN_UP


def test_the_attacker_finds_what_is_left_unprotected() -> None:
    report = Published(World.drawn(np.random.default_rng(0)))
    rule, everyone = policies()["hes"], report.world.where()
    n = report.world.people["n"].to_numpy()
    few = (n < 4) & (np.cumsum(n * (n < 4)) <= 5)
    counts = [("few", few, False), ("rest", ~few, True), ("all", everyone, True)]
    assert 0 < report.count(few) < 8
    assert given_away(counts, n, rule)
    assert not given_away(counts[:1], n, rule)


def tenure(**method: object) -> Summary:
    table = pd.DataFrame({"tenure": ["rent", "own", "other", "all"], "persons": [101, 52, 3, 156]})
    return Summary(table, method, people=["persons"])


def test_words_do_not_give_back_what_is_withheld_to_protect_others() -> None:
    said = {"persons": 52, "treated": 101, "how": "52 people own", "notes": ["52 people own"]}
    out = release({"tenure": tenure(**said)}, "hes")["tenure"]
    assert out.marked()["persons"].tolist() == [100, "*", "*", 155]
    assert out.method == {"persons": None, "treated": 100, "how": "some people own"}
    assert out.notes[0] == "some people own"


def test_people_behind_an_effect_are_the_people_of_the_study() -> None:
    """The controls who are withheld beside three supported are not given back by an effect."""
    labels = pd.DataFrame({"outcome": ["ae"], "term": ["att"], "scale": ["difference"], "unit": [""]})
    counts = pd.DataFrame({"persons": [153], "treated": [101], "clusters": [9], "events": [60]})
    effects = Effects(labels, np.ones(1), np.eye(1), np.arange(1), 8, {}, counts)
    arms = pd.DataFrame({"arm": ["supported", "control"], "persons": [101, 52]})
    place = pd.DataFrame(
        {"arm": ["supported", "supported", "control"], "place": ["a", "b", "a"], "persons": [97, 4, 52]}
    )
    tables = {"arms": Summary(arms, {}, people=["persons"]), "place": Summary(place, {}, people=["persons"])}
    out = release({**tables, "effects": effects}, "hes")
    gone = out["place"].table["persons"].isna()
    assert gone[1]
    assert gone[0] or (out["arms"].table["persons"].isna()[0] and out["effects"].table["treated"].isna()[0])


def test_samples_of_a_balance_are_the_people_of_the_study() -> None:
    """The size of a sample stands beside the table of balance; it counts the same people as other tables."""
    rows = [("sex", "f", 0.6, 0.5), ("sex", "m", 0.4, 0.5)]
    table = pd.DataFrame(rows, columns=["covariate", "level", "mean_treated", "mean_control"])
    sizes = pd.DataFrame({"sample": ["before"] * 2, "arm": ["treated", "control"], "persons": [100, 200]})
    balance = Balance(table.assign(sample="before", smd=0.1), {}, sizes.assign(ess=[100.0, 200.0]))
    place = pd.DataFrame({"arm": "supported", "place": ["a", "b"], "persons": [96, 4]})
    out = release({"balance": balance, "place": Summary(place, {}, people=["persons"])}, "hes")
    assert out["place"].table["persons"].isna().tolist() == [True, True]


def test_a_page_that_gives_away_what_another_withholds_fails_on_the_sheet(tmp_path: Path) -> None:
    release({"tenure": tenure()}, "hes", record=tmp_path / "cohort.json")
    own = pd.DataFrame({"tenure": ["own", "private"], "persons": [52, 400]})
    later = release({"own": Summary(own, {}, people=["persons"])}, "hes", record=tmp_path / "did.json")
    assert later["own"].table["persons"].isna().tolist() == [True, False]
    assert later.sheet[0]["status"] != "fail"
    assert later.sheet[0]["to_protect_others"] == 1


@pytest.mark.parametrize(
    ("everyone", "matched", "status"), [(214, 209, "review"), (215, 208, "review"), (218, 212, "fail")]
)
def test_what_only_rounding_hides_is_looked_at_and_what_it_does_not_hide_fails(
    everyone: int, matched: int, status: str, tmp_path: Path
) -> None:
    """215 and 210 leave 1 to 9, and 220 and 210 leave 6 or more: so few were left out, on the third page."""
    rule, sheets = policies()["hes"], []
    pages = [{"persons": [everyone]}, {"rule": ["matched"], "persons": [matched]}]
    pages.append({"rule": ["too far"], "persons": [everyone - matched]})
    for i, page in enumerate(pages):
        table = Summary(pd.DataFrame({"arm": ["supported"], **page}), {}, people=["persons"])
        sheets += release({"t": table}, rule, record=tmp_path / f"{i}.json").sheet
    assert [row["status"] for row in sheets] == ["pass", "pass", status]
    assert sheets[2]["look"][0].startswith(ROUNDED) == (status == "review")
    kinds = np.array([True, False]), np.array([False, True])
    counts = [("all", kinds[0] | kinds[1], True), ("in", kinds[0], True), ("out", kinds[1], False)]
    people = np.array([matched, everyone - matched])
    assert given_away(counts, people, rule)
    assert bool(given_away(counts, people, rule, as_printed=True)) == (status == "fail")


def test_exact_counts_are_never_protected_by_rounding(tmp_path: Path) -> None:
    status = []
    rules = [{}, *({"rule": [name]} for name in "abc")]
    for i, (rule, n) in enumerate(zip(rules, [230, 200, 24, 6], strict=True)):
        table = Summary(pd.DataFrame({"arm": ["supported"], **rule, "persons": [n]}), {}, people=["persons"])
        status += [release({"t": table}, "threshold_10", record=tmp_path / f"{i}.json").sheet[0]["status"]]
    assert status == ["pass", "pass", "pass", "fail"]


def attacked_twice(seed: int, first: Policy, second: Policy, folder: Path) -> list[str] | None:
    """What one report gives away that is released under one policy and then under another."""
    report, shown = published(np.random.default_rng(seed)), []
    for i, rule in enumerate((first, second)):
        try:
            out = release(report.results, rule, record=folder / str(i) / "p.json", previous=folder)
        except DisclosureError:
            return None
        if any(row["status"] != "pass" for row in out.sheet):
            return None
        shown.append(list(report.shown(out, rule)))
    either = {name: (of, seen) for name, of, seen in shown[0]}
    for name, of, seen in shown[1]:
        either[name] = (of, seen or either.get(name, (of, False))[1])
    # How many a count of few may be is what the first report left open.
    shows_zero = first.zero_shown or second.zero_shown
    rule = replace(second, smallest_shown=first.smallest_shown, zero_shown=shows_zero)
    found = []
    for source in (report.world.people, report.world.events):
        counts = [(name, of, seen) for name, (of, seen) in either.items() if len(of) == len(source)]
        none = report.perhaps_none(rule)
        found += given_away(counts, source["n"].to_numpy(), rule, none) if counts else []
    return found


PAIRS = [("hes", "opensafely_midpoint6"), ("threshold_10", "hes"), ("opensafely", "threshold_10")]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_two_policies_after_each_other_give_nothing_away(first: str, second: str, tmp_path: Path) -> None:
    rules, seeds = policies(), range(60 if SLOW else 6)
    found = {seed: attacked_twice(seed, rules[first], rules[second], tmp_path / str(seed)) for seed in seeds}
    assert {seed: leaks for seed, leaks in found.items() if leaks} == {}
    assert sum(leaks is not None for leaks in found.values()) > len(seeds) / 3


def test_what_the_first_policy_withholds_the_second_does_not_show(tmp_path: Path) -> None:
    """7 is withheld under hes and is 9 under midpoint 6; who has both reports would know that it is 7."""
    table = pd.DataFrame({"arm": ["supported"], "persons": [7]})
    shown = []
    for i, name in enumerate(("hes", "opensafely_midpoint6")):
        result = {"t": Summary(table, {}, people=["persons"])}
        out = release(result, name, record=tmp_path / str(i) / "cohort.json", previous=tmp_path)
        shown.append(out["t"].table["persons"].notna().tolist())
    assert shown == [[False], [False]]


def test_rounding_protects_nothing_that_another_policy_printed_exactly(tmp_path: Path) -> None:
    """214 people, exactly, and then 210 of them who were matched: 2 to 6 were left out."""
    status = []
    for i, (name, page) in enumerate([("threshold_10", [214]), ("hes", [209, 5])]):
        frame = pd.DataFrame({"arm": "supported", "persons": page})
        frame = frame.assign(rule=["matched", "too far"]) if len(page) > 1 else frame
        result = {"t": Summary(frame, {}, people=["persons"])}
        out = release(result, name, record=tmp_path / str(i) / "p.json", previous=tmp_path)
        status.append(out["t"].table["persons"].isna().tolist())
    assert status == [[False], [True, True]]
