"""No count under the threshold is shown, and none can be worked out from its own table."""

from __future__ import annotations

import datetime
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from impact.disclosure import Policy, policies, release
from impact.errors import DisclosureError
from impact.results import Effects, Rates, Summary

from .attack import feasible
from .worlds import given_away

POLICIES = list(policies().values())
# Counts that cluster around the thresholds, with some zeros and some large.
COUNT = st.one_of(st.integers(0, 13), st.integers(0, 80), st.just(0))


def small_range(rule: Policy) -> set[int]:
    return set(range(0 if not rule.zero_shown else 1, rule.smallest_shown))


def attack(true: list[int], shown: list, rule: Policy, *, slack: int) -> None:
    """Fail if some withheld small count cannot take each of the values that are too small to show."""
    total = sum(true)
    # The reader knows the rule: in a set whose total leaves the withheld cells no room, zeros go as well.
    room = rule.smallest_shown - 2 + len(true) if rule.zero_shown else rule.smallest_shown
    least = 0 if total < max(rule.smallest_shown, room) else int(rule.zero_shown)
    # A total that is too small to show is not known either.
    totals = range(rule.smallest_shown) if total < rule.smallest_shown else [total]
    parts = [None if pd.isna(s) else int(t if slack == 0 else s) for s, t in zip(shown, true, strict=True)]
    withheld = [t for t, p in zip(true, parts, strict=True) if p is None]
    for value, found in zip(withheld, feasible(parts, totals, least=least, slack=slack), strict=True):
        if rule.protected(value):
            assert small_range(rule) <= found, (true, shown, value, sorted(found))


def published(summary: Summary, rule: Policy) -> pd.DataFrame:
    table = release({"t": summary}, rule)["t"].table
    for column in (*summary.people, *summary.events):
        shown = table[column].dropna().astype(float)
        assert not rule.small(shown).any()
        # The middles of steps of 6 are multiples of 3, and so are their sums.
        step = rule.round_to // 2 if rule.rounding == "midpoint" else rule.round_to
        assert (shown % step == 0).all()
    return table


@pytest.mark.parametrize("rule", POLICIES, ids=lambda p: p.name)
@settings(max_examples=150, deadline=None)
@given(counts=st.lists(COUNT, min_size=1, max_size=6))
def test_one_set(rule, counts):
    table = pd.DataFrame({"group": "g", "level": [f"l{i}" for i in range(len(counts))], "persons": counts})
    shown = published(Summary(table, {}, people=["persons"], adds_up=["group"]), rule)["persons"].tolist()
    # The reader who knows the exact total and every exact count that is shown, and the one who knows
    # the exact total and the rounded counts.
    attack(counts, shown, rule, slack=0)
    attack(counts, shown, rule, slack=rule.round_to // 2)


def test_every_set_of_three_small_counts():
    """All of them, by brute force, for a policy with a low threshold."""
    rule = Policy("low", "", "", datetime.date(2026, 1, 1), smallest_shown=4, zero_shown=True)
    grid = np.array([(a, b, c) for a in range(8) for b in range(8) for c in range(8)])
    table = pd.DataFrame({"set": np.repeat(np.arange(len(grid)).astype(str), 3), "persons": grid.ravel()})
    table["level"] = np.tile(["a", "b", "c"], len(grid))
    out = published(Summary(table, {}, people=["persons"], adds_up=["set"]), rule)["persons"]
    shown = out.astype(object).to_numpy().reshape(-1, 3)
    for true, row in zip(grid.tolist(), shown.tolist(), strict=True):
        attack(true, row, rule, slack=0)


@pytest.mark.parametrize("rule", POLICIES, ids=lambda p: p.name)
@settings(max_examples=60, deadline=None)
@given(cells=st.lists(COUNT, min_size=6, max_size=6), declared=st.booleans())
def test_totals_in_the_table(rule, cells, declared):
    """Two arms by three levels with totals in both directions: no line gives its withheld cell away."""
    grid = np.array(cells).reshape(2, 3)
    grid = np.vstack([grid, grid.sum(0)])
    grid = np.hstack([grid, grid.sum(1, keepdims=True)])
    arms, levels = ["supported", "control", "both"], ["a", "b", "c", "all"]
    table = pd.DataFrame([(a, s) for a in arms for s in levels], columns=["arm", "level"])
    table["persons"] = grid.ravel()
    summary = Summary(table, {}, people=["persons"], adds_up=["arm"] if declared else [])
    shown = published(summary, rule)["persons"].astype(object).to_numpy().reshape(3, 4)
    gone = pd.isna(shown)
    lines = [(grid[i], gone[i], shown[i]) for i in range(3)] + [
        (grid[:, j], gone[:, j], shown[:, j]) for j in range(4)
    ]
    for true, hidden, row in lines:
        # That nobody is left may follow: a lone count that is withheld is none.
        assert hidden.sum() != 1 or true[hidden] == [0], (true, row)
        if not hidden[-1]:
            attack(true[:-1].tolist(), row[:-1].tolist(), rule, slack=0)


@settings(max_examples=30, deadline=None)
@given(st.lists(COUNT, min_size=8, max_size=8), st.sampled_from(POLICIES))
@example([30, 2, 3, 5, 8, 3, 1, 30], POLICIES[0])
@example([8, 30, 1, 5, 8, 2, 5, 30], POLICIES[0])
@example([30, 0, 2, 30, 2, 8, 2, 12], POLICIES[0])
def test_groups_that_cross(cells, rule):
    """Tables by each two of three things: who is in three groups at once is in no table, and tells of all."""
    by = ["arm", "sex", "age"]
    people = pd.Series(cells, pd.MultiIndex.from_product([["a", "b"]] * 3, names=by))
    tables = {
        " ".join(two): people.groupby(level=list(two)).sum().rename("persons").reset_index()
        for two in combinations(by, 2)
    }
    try:
        out = release({name: Summary(table, {}, people=["persons"]) for name, table in tables.items()}, rule)
    except DisclosureError:
        return
    kinds, counts = people.index.to_frame(), []
    for name, table in tables.items():
        for i, row in table.drop(columns="persons").iterrows():
            of = (kinds[table.columns[:2]] == row).all(axis=1).to_numpy()
            counts.append((f"{name} {i}", of, not pd.isna(out[name].table["persons"][i])))
    assert given_away(counts, people.to_numpy(), rule) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(COUNT, COUNT), min_size=1, max_size=5), st.sampled_from(POLICIES))
def test_columns_that_add_up(pairs, rule):
    table = pd.DataFrame(pairs, columns=["treated", "control"])
    table.insert(0, "stage", [f"s{i}" for i in range(len(pairs))])
    table["persons"] = table["treated"] + table["control"]
    out = published(Summary(table, {}, people=["treated", "control", "persons"]), rule)
    for i, (a, b) in enumerate(pairs):
        gone = out.loc[i, ["treated", "control", "persons"]].isna()
        assert gone.sum() != 1 or 0 in (a, b)
        if not gone["persons"]:
            attack([a, b], out.loc[i, ["treated", "control"]].tolist(), rule, slack=0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(COUNT, COUNT), min_size=1, max_size=4),
    st.sampled_from(POLICIES),
)
def test_percentages_and_means_do_not_give_a_count_back(rows, rule):
    table = pd.DataFrame([(min(p), max(p)) for p in rows], columns=["persons", "all"])
    table.insert(0, "level", [f"l{i}" for i in range(len(rows))])
    table["percent"] = 100 * table["persons"] / table["all"].where(table["all"] > 0)
    table["mean"] = 40 / table["persons"].where(table["persons"] > 0)
    summary = Summary(
        table, {}, people=["persons"], percent={"percent": ("persons", "all")}, derived={"mean": ["persons"]}
    )
    out = published(summary, rule)
    few = rule.small(table["persons"])
    assert out.loc[few, ["percent", "mean"]].isna().all(axis=None)
    rest = table["all"] - table["persons"]
    assert out.loc[(rest > 0) & rule.small(rest), ["persons", "percent", "mean"]].isna().all(axis=None)
    known = out.dropna(subset=["percent"])
    assert np.allclose(known["percent"], 100 * known["persons"].astype(float) / known["all"].astype(float))


MONTHLY = st.lists(st.integers(0, 12), min_size=24, max_size=24)


@settings(max_examples=60, deadline=None)
@given(MONTHLY, MONTHLY, st.integers(1, 30), st.sampled_from(POLICIES))
def test_rates_do_not_give_a_small_count_back(supported, control, people, rule):
    events = np.array([*supported, *control])
    table = pd.DataFrame(
        {"outcome": "ae", "arm": ["supported"] * 24 + ["control"] * 24, "period": [*range(-12, 12)] * 2,
         "step": 1, "persons": people, "events": events, "person_months": float(people)}
    )  # fmt: skip
    table["rate_per_1000_person_months"] = 1000 * table["events"] / table["person_months"]
    out = release({"r": Rates(table, {})}, rule)["r"].table
    assert "person_months" not in out
    # Neither the events that are shown nor those that a rate is of, in that time, are few.
    shown = out[~out["withheld"]]
    assert not rule.small(shown["events"].dropna().astype(float)).any()
    by = table.set_index(["arm", "period"])["events"].sort_index()
    true = [by.loc[row.arm, row.period : row.period + row.step - 1].sum() for row in shown.itertuples()]
    assert not rule.small(np.array(true, float)).any()
    assert (
        out.loc[out["withheld"], ["persons", "events", "rate_per_1000_person_months"]].isna().all(axis=None)
    )
    if people < rule.smallest_shown:
        assert out["withheld"].all()
    # Both arms are shown in the same steps, which cover every month once.
    steps = out.groupby("arm")[["period", "step"]].agg(list)
    assert steps.loc["supported"].tolist() == steps.loc["control"].tolist()
    assert sum(steps.loc["control", "step"]) == 24


@settings(max_examples=60, deadline=None)
@given(MONTHLY, st.integers(1, 40), st.integers(1, 40), st.sampled_from(POLICIES))
def test_no_estimate_on_a_handful(events, treated, control, rule):
    labels = pd.DataFrame(
        {"outcome": "ae", "term": "att", "scale": "difference", "unit": "", "event_time": range(-12, 12)}
    )
    counts = pd.DataFrame(
        {"persons": treated + control, "treated": treated, "clusters": 9, "events": events}, index=range(24)
    )
    effects = Effects(labels, np.ones(24), np.eye(24), np.arange(24), 8, {"parameters": 24}, counts)
    out = release({"e": effects}, rule)["e"].table
    shown = out[~out["withheld"]]
    covered = [
        sum(events[12 + a : 13 + b])
        for a, b in zip(shown["event_time"], shown.get("event_time_to", shown["event_time"]), strict=True)
    ]
    assert not rule.small(covered).any()
    if len(shown):
        assert min(treated, control) >= rule.smallest_shown
        assert treated + control - 24 >= rule.residual_df
    assert out.loc[out["withheld"], ["estimate", "std_error", "conf_low", "persons"]].isna().all(axis=None)
