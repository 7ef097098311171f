"""Effects over time are shown in steps that hold enough events, and ends that few reach are left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from impact.data.panel import Panel
from impact.errors import DesignError
from impact.interpret import over_time
from impact.interpret.over_time import _found


def panel(rate=3.0, *, n=80, periods=24, starts=(12,), freq="MS", seed=0):
    rng = np.random.default_rng(seed)
    start = np.where(rng.random(n) < 0.5, rng.choice(starts, n), periods)
    return Panel(
        unit=np.arange(n),
        periods=pd.date_range("2023-01-01", periods=periods, freq=freq),
        outcomes={"ae": rng.poisson(rate, (n, periods)).astype(float)},
        exposure={"ae": np.ones((n, periods))},
        start=start.astype(np.int64),
        treated=start < periods,
        covariates=pd.DataFrame(index=range(n)),
        cluster=np.arange(n),
        weights=np.ones(n),
        arm=np.where(start < periods, "supported", "control"),
        step={"MS": "month", "QS": "quarter", "YS": "year"}[freq],
    )


def run(data, estimator="stacked", **arguments):
    return over_time(data, outcome="ae", estimator=estimator, arguments=arguments, seed=1)


@pytest.mark.parametrize(
    ("rate", "freq", "step", "note"),
    [
        (3.0, "MS", 1, None),
        (0.16, "MS", 3, "Shown by quarter, as single months hold few events."),
        (0.07, "MS", 6, "Shown by half-year, as single months hold few events."),
        (0.16, "QS", 2, "Shown by half-year, as single quarters hold few events."),
        (0.16, "YS", 1, None),
    ],
)
def test_the_shortest_step_with_enough_events_is_taken(rate, freq, step, note):
    found = run(panel(rate, freq=freq), before=12, after=12)
    effects = found["by_time"]
    assert effects.method["step"] == step
    shown = [n for n in effects.method["notes"] if n.startswith("Shown by")]
    assert shown == ([note] if note else [])
    base = effects.labels[effects.std_error == 0].iloc[0]
    assert base["event_time"] == -step
    assert np.isfinite(effects.critical[effects.std_error > 0]).all()
    assert len(found["bounds"].table) == 4


def test_events_of_the_base_count_as_those_of_others_do():
    data = panel(1.0)
    data.outcomes["ae"][data.start == 12, 11] = 0
    data.outcomes["ae"][np.flatnonzero(data.start == 12)[:2], 11] = 1
    assert run(data)["by_time"].method["step"] == 3


def test_a_month_without_events_is_no_reason_to_stop():
    data = panel(3.0)
    data.outcomes["ae"][data.start == 12, 15] = 0
    for estimator in ("stacked", "two_by_two"):
        assert run(data, estimator)["by_time"].method["step"] == 3
    data.outcomes["ae"][data.start == 12, 12:] = 0
    with pytest.raises(DesignError, match="no events among the treated"):
        run(data, "two_by_two")


def test_far_ends_that_few_reach_are_left_out_and_a_note_says_so():
    data = panel(1.0, n=300, starts=(10, 11, 12, 13))
    far = np.flatnonzero(data.start == 10)[:3]
    data.start[far] = 4
    found = run(data, "callaway_santanna")["by_time"]
    # 4 to 19 months are of three people only after month 13, and before month -13 there is nobody.
    assert "step" not in found.method
    assert found.labels["event_time"].tolist() == list(range(-13, 14))
    assert "Not shown: times far from the start, which few reached." in found.method["notes"]
    whole = run(replace(data, start=np.where(data.start == 4, 10, data.start)), "callaway_santanna")
    assert not [n for n in whole["by_time"].method["notes"] if n.startswith("Not shown")]


def test_imputation_keeps_what_stands_for_all_time_before():
    found = run(panel(0.16), "imputation")
    labels = found["by_time"].labels
    assert labels["term"].iloc[0].endswith("and before")
    assert found["by_time"].method["step"] == 3
    assert found["bounds"].table.empty
    assert "imputation" in found["bounds"].method["notes"][0]
    assert np.isfinite(found["pretrend"].p_value)


def test_the_test_before_support_is_that_for_few_clusters():
    found = run(panel(3.0))["pretrend"]
    assert found.method["statistic"] == "hotelling"
    assert found.method["notes"] == []


def test_readers_are_told_what_was_found_and_not_what_to_call() -> None:
    said = "5 effects cannot be tested together with 4 clusters; use statistic='sup_t'."
    assert _found(said) == "5 effects cannot be tested together with 4 clusters."
    assert _found("honest_bounds: nothing is there; use it.") == "nothing is there."


@pytest.mark.parametrize(
    ("estimator", "arguments", "shown"),
    [
        ("synthetic_did", {"inference": "jackknife"}, "callaway_santanna"),
        ("triple_difference", {"subgroup": "old", "within": "imputation"}, "imputation"),
    ],
)
def test_estimators_of_one_effect_are_shown_over_time_by_another(estimator, arguments, shown):
    found = run(panel(), estimator, **arguments)
    assert found["by_time"].method["estimator"] == shown
