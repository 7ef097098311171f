"""Figures that are released do not undo what rounding took from the counts."""

import numpy as np
import pandas as pd
import pytest

from impact.disclosure import release
from impact.disclosure.digits import events_shown, fewer_digits, time_shown
from impact.disclosure.policies import policy
from impact.results import Bounds, Effects, Rates, Summary, Test

ALIKE = [63, 64, 65, 66, 67]  # are all printed as 65
RATE = "rate_per_1000_person_months"


def effects(events, time, *, people=278, ratio=-0.27, error=0.2, scales=3):
    """An effect on three scales that follows from so many events in so much time; errors too."""
    expected = events * np.exp(-ratio)
    avoided = expected - events
    values = {
        "log ratio": (ratio, error),
        "difference": (-1000 * avoided / time, 1000 * expected * error / time),
        "events avoided": (avoided, expected * error),
    }
    names = list(values)[:scales]
    labels = pd.DataFrame({"outcome": "ae", "term": "effect", "scale": names, "unit": ""})
    counts = {"persons": 4 * people, "treated": people, "clusters": 4 * people, "events": events}
    estimate, errors = np.array([values[name] for name in names]).T
    counts = pd.DataFrame(counts, index=range(scales))
    return Effects(labels, estimate, np.diag(errors), np.arange(scales), 900, {}, counts)


def sent(result, rule="hes"):
    return release({"x": result}, rule)["x"].table


@pytest.mark.parametrize("scales", [2, 3])
def test_effects_are_the_same_whichever_of_the_numbers_printed_alike_made_them(scales):
    first = sent(effects(65, 3186.5, scales=scales))
    for events in ALIKE:
        # In steps of what 5 people have, all are 3,200; without events avoided no time is told.
        for time in (3176.0, 3186.5, 3224.0) if scales == 3 else (3186.5,):
            pd.testing.assert_frame_equal(sent(effects(events, time, scales=scales)), first)
    assert not sent(effects(68, 3186.5, scales=scales)).equals(first)


def test_with_more_events_than_people_the_time_is_not_told_and_the_effect_stays():
    """Ratio and difference keep all they had; events avoided are of the time in steps."""
    first = sent(effects(83_000, 828.0, people=56, error=0.002))
    other = sent(effects(83_000 * 840 / 828, 840.0, people=56, error=0.002))
    pd.testing.assert_frame_equal(first, other)
    exact = effects(83_000, 828.0, people=56, error=0.002).estimate
    assert first["estimate"].iloc[:2].tolist() == pytest.approx(exact[:2], rel=2e-3)
    assert first["events"].tolist() == [80_200] * 3  # 83,000 by 828, times 800
    assert -1000 * exact[2] / exact[1] == pytest.approx(828.0)
    told = -1000 * first["estimate"].iloc[2] / first["estimate"].iloc[1]
    assert told == pytest.approx(800, rel=2e-3)


def test_without_rounding_the_time_is_in_steps_of_as_few_as_may_be_shown():
    one, other = (sent(effects(30, time, people=84), "threshold_10") for time in (840.0, 803.0))
    assert one.equals(other)
    assert one["events"].tolist() == [30] * 3


def test_a_row_has_two_digits_of_its_standard_error():
    table = sent(effects(640, 93_274.0, people=2780, ratio=-0.114, error=0.1253))
    ratio = table.iloc[0]
    assert ratio[["estimate", "std_error"]].tolist() == [-0.11, 0.13]
    assert ratio[["statistic", "p_value"]].tolist() == [-0.91, 0.36]
    assert table["estimate"].iloc[2] == 77.0


def test_no_effect_is_not_rounded_to_an_effect_nor_an_effect_to_none():
    """A limit just below zero keeps the digit that says so, and a p-value the side of 0.05 it is on."""
    table = sent(effects(640, 93_274.0, people=2780, ratio=-0.2, error=0.1018))
    ratio = table.iloc[0]
    assert 0 > ratio["conf_high"] > -0.001
    assert ratio["p_value"] == 0.0498
    clear = pd.DataFrame({"p_value": [0.0496, 0.0504, 0.0444]})
    fewer_digits(clear, ["p_value"])
    assert clear["p_value"].tolist() == [0.0496, 0.05, 0.044]


def rates(events, time, people=278):
    row = {"outcome": "ae", "arm": "supported", "period": 0, "step": 12, "persons": people, "events": events}
    table = pd.DataFrame([row | {"person_months": time, RATE: 1000 * events / time}])
    return Rates(table, {"period": "month"})


def test_rates_are_those_of_the_printed_counts():
    first = sent(rates(65, 3186.5))
    assert first[RATE].tolist() == [20.3]  # 1,000 times 65 by 3,200
    assert all(sent(rates(events, 3199.0)).equals(first) for events in ALIKE)


def test_rates_of_many_events_are_exact_and_the_events_are_not():
    """From both, the people at risk would follow: 84 or 80 of them."""
    table = sent(rates(784_560, 84.0, people=84), "threshold_10")
    assert table[RATE].tolist() == [9_340_000.0]
    assert table["events"].tolist() == [747_000]  # of 80
    for left in range(1, 9):
        others = sent(rates(9340 * (84 - left), 84.0 - left, people=84), "threshold_10")
        assert others.equals(table)


def test_many_events_of_a_time_that_is_not_told_are_not_told():
    """An effect on one scale gives no time, and rates of the same months are exact."""
    labels = {"outcome": "ae", "term": list("abc"), "scale": "difference", "unit": ""}
    counts = pd.DataFrame({"persons": 900, "treated": 278, "clusters": 900, "events": [277, 278, 9]})
    one = Effects(pd.DataFrame(labels), np.ones(3), np.eye(3), np.arange(3), 900, {}, counts)
    assert sent(one)["events"].fillna(-1).tolist() == [275, -1, 10]
    assert not sent(one)["withheld"].any()


def test_rates_of_a_summary_and_their_change():
    def naive(before, after):
        row = {"persons": 278, "before_events": before, "after_events": after}
        row |= {"before": 1000 * before / 3390.0, "after": 1000 * after / 3186.5}
        row["change_percent"] = 100 * (row["after"] / row["before"] - 1)
        rate = {"before": ("before_events", "persons"), "after": ("after_events", "persons")}
        return Summary(
            pd.DataFrame([row]),
            {},
            people=["persons"],
            events=["before_events", "after_events"],
            derived=dict.fromkeys(["before", "after", "change_percent"], ("persons",)),
            rates=rate,
            change={"change_percent": ("before", "after")},
        )

    first = sent(naive(120, 65))
    assert first[["before", "after", "change_percent"]].iloc[0].tolist() == [35.3, 20.3, -42.5]
    assert all(sent(naive(118 + i, after)).equals(first) for i, after in enumerate(ALIKE))
    assert sent(naive(120, 2196))[["after_events", "after"]].iloc[0].tolist() == [2210, 689.2]


def test_tests_and_bounds_have_few_digits_too():
    counts = pd.DataFrame({"persons": [300], "treated": 120, "clusters": 300, "events": 90})
    own = Test("t", -1.23456, 2.0, 0.123456, {}, counts, -5.4321, -11.4321, 0.5679, 0.95, 1 / 1024)
    numbers = sent(own)[["statistic", "p_value", "estimate", "conf_low", "conf_high", "smallest_p"]]
    assert numbers.iloc[0].tolist() == [-1.23, 0.12, -5.4, -11.4, 0.6, 0.00098]
    row = {"outcome": "ae", "term": "effect", "scale": "log ratio", "estimate": -0.3161, "conf_low": -0.6890}
    row |= {
        "conf_high": 0.0568,
        "e_value": 2.085888,
        "m_bar": 0.123456,
        "null_value": 0.0,
        "conf_level": 0.95,
    }
    table = sent(Bounds(pd.DataFrame([row]), {}, counts))
    told = table[["estimate", "conf_low", "conf_high", "e_value", "m_bar", "persons"]].iloc[0].tolist()
    assert told == [-0.32, -0.69, 0.06, 2.09, 0.123456, 300]


def test_an_estimate_that_the_method_repeats_has_two_digits():
    table = pd.DataFrame({"low": [-16.0], "draws": [40]})
    shown = release({"x": Summary(table, {"estimate": -15.4963, "level": 0.12345})}, "hes")["x"].method
    assert shown == {"estimate": -15.0, "level": 0.12345}


def test_steps_of_events_and_of_time():
    hes, ons = policy("hes"), policy("threshold_10")
    assert events_shown([277, 278, 2196, 0], 278, hes, 1.0).tolist() == [275, 280, 2200, 0]
    assert events_shown([83, 8432], [84, 84], ons, 1.0).tolist() == [83, 8430]
    assert time_shown([828.0, 840.0], [56, 56], hes).tolist() == [800, 800]
    assert time_shown([3.0], [np.nan], hes).tolist() == [3.0]
