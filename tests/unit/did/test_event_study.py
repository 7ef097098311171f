from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from impact.data.panel import Panel
from impact.did import aggregate, callaway_santanna, event_study, honest_bounds, pretrend_test, twfe
from impact.did.etwfe import etwfe
from impact.did.imputation import imputation
from impact.did.pooled import pooled_event_study
from impact.did.sun_abraham import sun_abraham
from impact.errors import DesignError, ParameterError


def panel(n=60, seed=0, starts=(4, 6)):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"id": np.repeat(range(n), 8), "t": np.tile(range(1, 9), n)})
    frame["start"] = np.repeat(rng.choice([*starts, np.nan], n), 8)
    frame["ae"] = rng.poisson(2, len(frame))
    frame["gp"] = rng.poisson(5, len(frame))
    return Panel.from_long(frame, unit="id", period="t", outcomes=["ae", "gp"], first_treated="start")


def without_base(effects):
    return effects.select(effects.labels["event_time"] != effects.method["reference"])


def test_group_time_effects_are_read_against_one_base_whatever_the_plan():
    found = event_study(panel(), outcome="ae", estimator="callaway_santanna", base_period="varying")
    plain = aggregate(callaway_santanna(panel(), outcome="ae"), by="event_time")
    others = found.table["std_error"].notna().to_numpy()
    np.testing.assert_allclose(found.estimate[others], plain.estimate)
    base = found.table[~others].iloc[0]
    assert base[["event_time", "estimate"]].tolist() == [-1, 0]


def test_before_and_after_keep_the_family_of_their_estimator():
    one = panel(starts=(4,))
    poisson = twfe(one, outcome="ae", family="poisson", event_study=True)
    linear = twfe(one, outcome="ae", family="linear", event_study=True)
    by_default = event_study(one, outcome="ae", estimator="two_by_two")
    np.testing.assert_allclose(by_default.estimate[by_default.estimate != 0], poisson.estimate)
    asked = event_study(one, outcome="ae", estimator="two_by_two", family="linear", effects="arm")
    np.testing.assert_allclose(asked.estimate[asked.estimate != 0], linear.estimate)


@pytest.mark.parametrize(
    ("estimator", "arguments"),
    [
        ("two_by_two", {}),
        ("twfe", {}),
        ("callaway_santanna", {"anticipation": 1}),
        ("sun_abraham", {"anticipation": 1}),
        ("imputation", {"anticipation": 1}),
        ("etwfe", {"family": "linear"}),
        ("etwfe", {"anticipation": 1}),
        ("stacked", {"family": "linear", "before": 3, "after": 2}),
        ("stacked", {"anticipation": 1}),
    ],
)
def test_every_estimator_shows_one_base_and_an_average(estimator, arguments):
    one = panel(starts=(4,) if estimator in ("two_by_two", "twfe") else (4, 6))
    found = event_study(one, outcome=["gp", "ae"], estimator=estimator, **arguments)
    assert found.labels["outcome"].drop_duplicates().tolist() == ["gp", "ae"]
    for name in ("gp", "ae"):
        rows = found.table[found.table["outcome"] == name]
        assert rows["event_time"].is_monotonic_increasing
        assert rows["event_time"].is_unique
        assert rows["scale"].nunique() == 1
        (base,) = np.flatnonzero(rows["std_error"].isna())
        assert rows["estimate"].iloc[base] == 0
        assert rows["event_time"].iloc[base] == found.method["reference"]
        late = rows["event_time"] >= 0
        average = found.overall.table.set_index("outcome").loc[name]
        assert average["scale"] == rows["scale"].iloc[0]
        if average["scale"] == "difference":
            assert average["estimate"] == pytest.approx(rows.loc[late, "estimate"].mean())
    assert len(found.counts) == len(found.root.T) == len(found)


def test_averages_of_starts_and_pooled_ratios_are_those_of_their_estimators():
    one = panel()
    for estimator in (sun_abraham, imputation):
        found = event_study(one, outcome="ae", estimator=estimator.__name__)
        plain = aggregate(estimator(one, outcome="ae"), by="event_time")
        after = (found.labels["event_time"] >= 0).to_numpy()
        np.testing.assert_allclose(found.estimate[after], plain.estimate[plain.labels["event_time"] >= 0])
    linear = event_study(one, outcome="ae", estimator="etwfe", family="linear")
    both = aggregate(etwfe(one, outcome="ae", family="linear", control="never_treated"), by="event_time")
    np.testing.assert_allclose(without_base(linear).estimate, both.estimate)
    pooled = pooled_event_study(one, outcome="ae")
    for estimator in ("etwfe", "stacked"):
        found = without_base(event_study(one, outcome="ae", estimator=estimator))
        np.testing.assert_allclose(found.estimate, pooled.estimate)
        np.testing.assert_allclose(found.std_error, pooled.std_error)


def test_without_people_never_supported_linear_etwfe_uses_the_not_yet_supported():
    everyone = panel().subset(panel().start < 8)
    found = event_study(everyone, outcome="ae", estimator="etwfe", family="linear")
    assert found.method["estimator"] == "callaway_santanna"
    assert (found.labels["event_time"] < -1).any()
    # People whom the weights leave out are no controls either.
    some = replace(panel(), weights=np.where(panel().start < 8, 1.0, 0.0))
    again = event_study(some, outcome="ae", estimator="etwfe", family="linear")
    np.testing.assert_allclose(again.estimate, found.estimate)


def test_leads_of_imputation_are_told_apart_from_its_effects():
    found = event_study(panel(), outcome="ae", estimator="imputation")
    assert found.method["pre_effects"] == "separate regression"
    assert found.labels["event_time"].tolist() == [-3, -2, -1, 0, 1, 2, 3, 4]
    assert found.labels["term"].iloc[0] == "event time -3 and before"
    one = panel()
    rows = found.counts.set_index(found.labels["event_time"])
    assert rows["events"][-2] == sum(one.outcomes["ae"][one.start == g, g - 2].sum() for g in (3, 5))
    assert rows["treated"][-2] == (one.start < 8).sum()
    more = event_study(panel(), outcome="ae", estimator="imputation", leads=4)
    assert more.labels["event_time"].min() == -5
    none = event_study(panel(), outcome="ae", estimator="imputation", leads=0)
    assert none.labels["event_time"].tolist() == [0, 1, 2, 3, 4]
    for wrong in (5, -1, 1.5):
        with pytest.raises(ParameterError, match="from 0 to 4"):
            event_study(panel(), outcome="ae", estimator="imputation", leads=wrong)


def test_estimators_without_an_event_study_are_refused():
    with pytest.raises(ParameterError, match=r"have: two_by_two, .* Did you mean 'twfe'"):
        event_study(panel(), outcome="ae", estimator="twefe")
    with pytest.raises(ParameterError, match="'synthetic_did' has no event study"):
        event_study(panel(), outcome="ae", estimator="synthetic_did")


CASES = [
    ("two_by_two", {"family": "linear"}),
    ("twfe", {"family": "poisson"}),
    ("callaway_santanna", {}),
    ("callaway_santanna", {"anticipation": 1}),
    ("sun_abraham", {"anticipation": 1}),
    ("etwfe", {"family": "linear"}),
    ("etwfe", {"anticipation": 1}),
    ("stacked", {"family": "linear"}),
]


@pytest.mark.parametrize(("estimator", "arguments"), CASES)
def test_steps_are_blocks_that_bounds_and_the_test_can_use(estimator, arguments):
    starts = (5,) if estimator in ("two_by_two", "twfe") else (5, 6)
    found = event_study(panel(starts=starts), outcome=["gp", "ae"], estimator=estimator, step=2, **arguments)
    early = arguments.get("anticipation", 0)
    labels, method = found.labels, found.method
    assert (method["step"], method["reference"], method["reference_to"]) == (2, -2 - early, -1 - early)
    assert set(labels["event_time_to"] - labels["event_time"]) <= {0, 1}
    for name in ("gp", "ae"):
        rows = labels[labels["outcome"] == name]
        assert {-2 - early, 0, 2} <= set(rows["event_time"])
        # Blocks follow each other without a gap.
        assert (rows["event_time"].iloc[1:].to_numpy() == rows["event_time_to"].iloc[:-1] + 1).all()
        base = rows.index[rows["event_time"] == -2 - early]
        assert found.estimate[base].tolist() == found.std_error[base].tolist() == [0]
    assert len(pretrend_test(found).counts) == 2 * (labels["event_time"] < -2 - early).sum() // 2
    bounds = honest_bounds(found, m_bar=1, of="average").table
    average = found.overall.table.set_index("outcome")["estimate"]
    parallel = bounds[bounds["restriction"] == "parallel trends"].set_index("outcome")["estimate"]
    np.testing.assert_allclose(parallel[average.index], average)
    assert bounds["term"].iloc[0] == f"average of event times 0 to {labels['event_time_to'].max()}"
    without = found.select(labels["event_time"] != 0)
    with pytest.raises(DesignError, match="no effect at event time 0;"):
        honest_bounds(without, m_bar=1, of=2)


def test_regressions_in_steps_have_one_dummy_a_block():
    one = panel(starts=(5,))
    y, event = one.outcomes["ae"], np.arange(8) - one.start[:, None]
    blocks = [(event >= a) & (event < a + 2) & (one.start < 8)[:, None] for a in (-4, 0, 2)]
    # With everyone seen throughout, person and period effects are taken out by double demeaning.
    x = np.array([d - d.mean(0) - d.mean(1, keepdims=True) + d.mean() for d in map(np.float64, blocks)])
    expected = np.linalg.lstsq(x.reshape(3, -1).T, 1000 * y.ravel(), rcond=None)[0]
    for estimator, window in (("twfe", {}), ("stacked", {"before": 4, "after": 4})):
        found = event_study(one, outcome="ae", estimator=estimator, step=2, family="linear", **window)
        np.testing.assert_allclose(without_base(found).estimate / expected, found.estimate[0] / expected[0])
        assert found.labels["event_time"].tolist() == [-4, -2, 0, 2]
        supported = one.start < 8
        assert found.counts["events"].tolist()[2] == y[supported][:, 4:6].sum()
        assert found.counts["treated"].tolist()[2] == supported.sum()


def test_averages_in_steps_are_measured_from_the_mean_of_the_block_of_the_base():
    by_month = event_study(panel(), outcome="ae", estimator="sun_abraham", anticipation=1)
    found = event_study(panel(), outcome="ae", estimator="sun_abraham", anticipation=1, step=2)
    assert found.labels["term"].tolist()[-3:] == ["event time 0 to 1", "event time 2 to 3", "event time 4"]
    month = dict(zip(by_month.labels["event_time"], by_month.root.T, strict=True))
    value = dict(zip(by_month.labels["event_time"], by_month.estimate, strict=True))
    for of in (value, month):
        base = (of[-3] + of[-2]) / 2
        made = found.estimate if of is value else found.root.T
        at = found.labels["event_time"].tolist().index
        np.testing.assert_allclose(made[at(0)], (of[0] + of[1]) / 2 - base, atol=1e-12)
        np.testing.assert_allclose(made[at(-1)], of[-1] - base, atol=1e-12)
    events = dict(zip(by_month.labels["event_time"], by_month.counts["events"], strict=True))
    assert found.counts["events"][at(0)] == events[0] + events[1]


def test_imputation_in_steps_averages_and_keeps_its_own_base():
    by_month = event_study(panel(), outcome="ae", estimator="imputation")
    found = event_study(panel(), outcome="ae", estimator="imputation", step=2)
    assert found.labels["term"].tolist()[:2] == ["event time -3 and before", "event time -2 to -1"]
    np.testing.assert_allclose(found.estimate[1], by_month.estimate[1:3].mean())
    np.testing.assert_allclose(found.estimate[2], by_month.estimate[3:5].mean())


@pytest.mark.parametrize("step", [0, -1, 1.5, True, "3"])
def test_a_step_is_a_number_of_periods(step):
    with pytest.raises(ParameterError, match=r"step=.*1 or more"):
        event_study(panel(), outcome="ae", estimator="stacked", step=step)
