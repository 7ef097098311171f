from __future__ import annotations

import numpy as np
import pytest

from impact import did
from impact.errors import DesignError


def test_leaves_out_the_periods_of_anticipation(make_panel):
    effects = did.callaway_santanna(make_panel(starts=(4, 5)), outcome="gp", anticipation=1)
    early = (effects.labels["event_time"] < -1).fillna(False).to_numpy(bool)
    early &= (effects.labels["scale"] == "difference").to_numpy()
    test = did.pretrend_test(effects)
    b, v = effects.estimate[early], effects.vcov[np.ix_(early, early)]
    assert test.statistic == pytest.approx(b @ np.linalg.solve(v, b))
    assert test.df == early.sum()


def test_works_on_averages_by_event_time_and_says_when_clusters_are_few(make_panel):
    effects = did.callaway_santanna(make_panel(clusters=25), outcome="gp")
    test = did.pretrend_test(did.aggregate(effects, by="event_time"))
    assert test.df == 4
    assert "25 clusters" in test.method["notes"][0]


def test_refuses_where_nothing_or_too_much_is_to_be_tested(make_panel):
    with pytest.raises(DesignError, match="no effect before support"):
        did.pretrend_test(did.callaway_santanna(make_panel(starts=(1,)), outcome="gp"))
    with pytest.raises(DesignError, match="none of these has one"):
        did.pretrend_test(did.two_by_two(make_panel(starts=(3,)), outcome="gp"))
    few = make_panel(n=400, periods=12, starts=(9, 10, 11), clusters=8)
    with pytest.raises(DesignError, match="cannot be tested together"):
        did.pretrend_test(did.callaway_santanna(few, outcome="gp"))
