from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from impact.disclosure import release
from impact.results import Effects, Rates

MONTHS = list(range(-12, 12))


def event_study(events, *, scale="difference", base=-1, outcome="ae", method=None, times=MONTHS):
    """An event study by month whose estimates are its event times, with independent errors of 1."""
    k = len(times)
    labels = pd.DataFrame(
        {
            "outcome": outcome,
            "term": [f"month {t}" for t in times],
            "scale": scale,
            "unit": "",
            "event_time": times,
        }
    )
    at_base = np.array([t == base for t in times])
    estimate = np.where(at_base, 0.0, np.array(times) + 0.5)
    counts = pd.DataFrame({"persons": 300, "treated": 120, "clusters": 300, "events": events}, index=range(k))
    root = np.eye(k) * ~at_base
    return Effects(labels, estimate, root, np.arange(k), 299, method or {}, counts)


def shown(effects, policy="hes"):
    return release({"es": effects}, policy)["es"]


def test_months_with_enough_stay_months():
    released = shown(event_study(8))
    assert released.table["event_time"].tolist() == MONTHS
    assert released.table["estimate"].tolist() == event_study(8).table["estimate"].tolist()
    assert list(released.notes) == []


def test_quarters_are_anchored_at_the_start_and_the_base_period_stays():
    released = shown(event_study(7))
    table = released.table
    assert table["event_time"].tolist() == [-12, -9, -6, -3, -1, 0, 3, 6, 9]
    assert table["event_time_to"].tolist() == [-10, -7, -4, -2, -1, 2, 5, 8, 11]
    by_start = table.set_index("event_time")
    assert by_start.loc[0, "estimate"] == pytest.approx(1.5)  # the mean of 0.5, 1.5 and 2.5
    assert by_start.loc[0, "std_error"] == 0.58  # from the root: three independent errors, 3 ** -0.5
    assert by_start.loc[0, "events"] == 20  # 21, to the nearest 5
    assert by_start.loc[0, "term"] == "event time 0 to 2"
    assert by_start.loc[-1, "estimate"] == 0
    assert pd.isna(by_start.loc[-1, "std_error"])
    assert list(released.notes) == ["Shown by quarter, because some months had 7 or fewer events."]


@pytest.mark.parametrize(
    ("events", "blocks", "word"),
    [
        (2, [-12, -6, -1, 0, 6], "by half-year"),
        (1, [-12, -1, 0], "before and after"),
    ],
)
def test_longer_steps(events, blocks, word):
    released = shown(event_study(events))
    assert released.table["event_time"].tolist() == blocks
    assert list(released.notes) == [f"Shown {word}, because some months had 7 or fewer events."]
    assert not released.table["withheld"].any()


def test_what_is_still_too_little_is_withheld():
    released = shown(event_study([1] * 18 + [0] * 6))
    row = released.table.set_index("event_time").loc[0]
    assert row["withheld"]
    assert (
        row[["estimate", "std_error", "conf_low", "conf_high", "p_value", "events", "persons"]].isna().all()
    )
    assert released.notes[-1] == "Estimates with 7 or fewer people or events behind them are withheld."


def test_months_of_anticipation_are_never_pooled_with_those_before():
    released = shown(event_study(5, base=-3, method={"anticipation": 2}))
    table = released.table
    assert table["event_time"].tolist()[:6] == [-12, -9, -6, -3, -2, 0]
    assert table["event_time_to"].tolist()[:6] == [-10, -7, -4, -3, -1, 2]
    last = shown(event_study(1, base=-3, method={"anticipation": 2}))
    assert last.table["event_time"].tolist() == [-12, -3, -2, 0]
    assert last.table.loc[2, "withheld"]  # two months of anticipation with 2 events


def test_a_short_block_at_the_end_of_the_window_joins_its_neighbour():
    released = shown(event_study([1, 1, *[4] * 21], times=list(range(-14, 9)), base=-1))
    assert released.table["event_time"].tolist() == [-14, -9, -6, -3, -1, 0, 3, 6]
    assert released.table["event_time_to"].tolist() == [-10, -7, -4, -2, -1, 2, 5, 8]
    # Never across the start: one month after it stays one month.
    assert shown(event_study(4, times=list(range(-6, 1)), base=-4)).table["event_time"].tolist()[-1] == 0


def test_outcomes_are_pooled_apart_and_keep_their_joint_errors():
    often, rare = event_study(50), event_study(4, outcome="adm")
    both = Effects(
        pd.concat([often.labels, rare.labels], ignore_index=True),
        np.concatenate([often.estimate, rare.estimate]),
        np.hstack([often.root, rare.root]),
        often.clusters,
        299,
        {},
        pd.concat([often.counts, rare.counts], ignore_index=True),
    )
    released = shown(both)
    assert released.table["outcome"].value_counts().to_dict() == {"ae": 24, "adm": 9}
    assert list(released.notes) == ["adm: shown by quarter, because some months had 7 or fewer events."]


def test_events_avoided_are_added_up():
    released = shown(event_study(4, scale="events avoided"))
    assert released.table.set_index("event_time").loc[0, "estimate"] == pytest.approx(0.5 + 1.5 + 2.5)


def test_by_period_and_quarterly_panels():
    periods = pd.date_range("2024-01-01", periods=12, freq="MS")
    effects = event_study(6, times=list(range(12)), base=None)
    effects.labels["period"] = periods
    effects.labels["event_time"] = pd.array([pd.NA] * 12, dtype="Int64")
    table = shown(effects).table
    assert table["period"].dt.month.tolist() == [1, 4, 7, 10]
    assert table["period_to"].dt.month.tolist() == [3, 6, 9, 12]
    quarters = event_study([5, 5, 8, 0, 5, 5, 5, 5], times=list(range(-4, 4)), method={"period": "quarter"})
    released = shown(quarters)
    assert released.table["event_time"].tolist() == [-4, -2, -1, 0, 2]
    assert list(released.notes) == ["Shown by half-year, because some quarters had 7 or fewer events."]


def monthly_rates(events, arms=("supported", "control"), periods=None, months=180.0):
    periods = pd.date_range("2024-01-01", periods=12, freq="MS") if periods is None else periods
    table = pd.concat(
        pd.DataFrame(
            {"outcome": "ae", "arm": arm, "period": periods, "step": 1, "persons": 182, "events": n,
             "person_months": months}
        )
        for arm, n in zip(arms, events, strict=True)
    )  # fmt: skip
    table["rate_per_1000_person_months"] = 1000 * table["events"] / table["person_months"]
    return Rates(table.reset_index(drop=True), {})


def test_rates_are_pooled_alike_in_all_arms():
    released = release({"r": monthly_rates((3, 40))}, "hes")["r"]
    table = released.table
    assert "person_months" not in table
    assert table.groupby("arm")["step"].agg(list).to_dict() == {"control": [3] * 4, "supported": [3] * 4}
    mine = table[table["arm"] == "supported"]
    assert mine["events"].tolist() == [10] * 4  # 9, to the nearest 5
    assert mine["persons"].tolist() == [180] * 4
    # Of the printed events, in the time of people in steps of 5.
    assert mine["rate_per_1000_person_months"].tolist() == [18.5] * 4
    assert list(released.notes) == ["Shown by quarter, because some months had 7 or fewer events."]


def test_rates_on_the_event_clock_are_split_at_the_start():
    released = release({"r": monthly_rates((1, 1), periods=list(range(-12, 12)))}, "hes")["r"]
    assert released.table["period"].tolist() == [-12, 0] * 2
    assert released.table["step"].tolist() == [12, 12] * 2
    assert list(released.notes) == ["Shown before and after, because some months had 7 or fewer events."]


def test_rates_that_never_have_enough_are_withheld():
    released = release({"r": monthly_rates((0, 40))}, "hes")["r"]
    mine = released.table[released.table["arm"] == "supported"]
    assert mine["withheld"].all()
    assert mine[["persons", "events", "rate_per_1000_person_months"]].isna().all(axis=None)


def test_without_rounding_no_one_can_be_seen_to_leave():
    rates = monthly_rates((50, 60))
    rates.table["persons"] = [*range(182, 170, -1)] * 2
    assert set(release({"r": rates}, "threshold_10")["r"].table["persons"]) == {182}


def test_effects_estimated_by_quarter_are_pooled_from_quarter_to_quarter():
    quarters, last = [-11, -8, -5, -2, 0, 3, 6, 9], [-9, -6, -3, -1, 2, 5, 8, 11]
    made = event_study(5, base=-5, times=quarters, method={"step": 3, "anticipation": 2, "period": "month"})
    made = replace(made, labels=made.labels.assign(event_time_to=last))
    released = shown(made)
    found = released.table[["event_time", "event_time_to"]].values.tolist()
    # The build-up cannot be pooled with what comes before it or after, so only one block a side is left.
    assert found == [[-11, -6], [-5, -3], [-2, -1], [0, 11]]
    assert released.notes[0] == "Shown before and after, because some quarters had 7 or fewer events."
    enough = shown(replace(made, counts=made.counts.assign(events=8)))
    assert enough.table["event_time"].tolist() == quarters
    assert enough.table["event_time_to"].tolist() == last
    times, events = [-12, -9, -6, -3, 0, 3, 6, 9], [5, 5, 9, 0, 5, 5, 5, 5]
    made = event_study(events, base=-3, times=times, method={"step": 3, "anticipation": 0})
    made = replace(made, labels=made.labels.assign(event_time_to=[t + 2 for t in times]))
    by_half = shown(made).table
    assert by_half[["event_time", "event_time_to"]].values.tolist() == [
        [-12, -7], [-6, -4], [-3, -1], [0, 5], [6, 11]
    ]  # fmt: skip


def dominated_rates(first, second=0):
    rates = monthly_rates((50, 60))
    return replace(rates, table=rates.table.assign(largest=first, second=second))


def test_a_rate_of_mostly_one_or_two_people_is_pooled_and_then_withheld():
    plain = release({"r": dominated_rates(5, 5)}, "threshold_10")["r"].table
    assert not {"largest", "second"} & set(plain)
    table = dominated_rates(5, 5).table
    table.loc[[0, 1], "largest"] = table.loc[[0, 1], "events"]
    once = release({"r": Rates(table, {})}, "threshold_10")["r"]
    assert len(once.table) < len(plain)
    assert any("mostly of one or two people" in note for note in once.notes)
    # The rule of HES does not ask who has the events.
    assert len(release({"r": Rates(table, {})}, "hes")["r"].table) == len(plain)
    always = release({"r": dominated_rates(45, 5)}, "threshold_10")["r"]
    assert always.table.loc[always.table["arm"] == "supported", "events"].isna().all()
