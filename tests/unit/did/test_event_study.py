import numpy as np
import pandas as pd
import pytest

from impact.data.panel import Panel
from impact.did import aggregate, callaway_santanna, event_study, twfe
from impact.errors import ParameterError


def panel(n=60, seed=0, starts=(4, 6)):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"id": np.repeat(range(n), 8), "t": np.tile(range(1, 9), n)})
    frame["start"] = np.repeat(rng.choice([*starts, np.nan], n), 8)
    frame["ae"] = rng.poisson(2, len(frame))
    return Panel.from_long(frame, unit="id", period="t", outcomes=["ae"], first_treated="start")


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


def test_an_unknown_estimator_names_the_nearest():
    with pytest.raises(ParameterError, match="Did you mean 'twfe'"):
        event_study(panel(), outcome="ae", estimator="twefe")
