from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from impact.data.panel import Panel
from impact.did import aggregate, callaway_santanna, event_study, twfe
from impact.did.etwfe import etwfe
from impact.did.imputation import imputation
from impact.did.pooled import pooled_event_study
from impact.did.sun_abraham import sun_abraham
from impact.errors import ParameterError


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
