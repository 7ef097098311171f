from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from impact.did import aggregate, callaway_santanna, summarise, twfe
from impact.did.leave_one_out import leave_one_out
from impact.errors import DesignError


def staggered(p):
    return callaway_santanna(p, outcome="gp")


@pytest.fixture(scope="module")
def panel(make_panel):
    return make_panel(clusters=24, holes=0.05, uneven=True)


def test_averages_made_inside_and_outside_agree(panel):
    """Made of the result, averages are linearised: the same to a few per cent with 24 clusters."""
    inside = leave_one_out(panel, lambda p: summarise(staggered(p)))
    outside = summarise(leave_one_out(panel, staggered))
    np.testing.assert_allclose(inside.estimate, outside.estimate)
    np.testing.assert_allclose(inside.std_error, outside.std_error, rtol=0.05)
    # And of the size of the errors by influence, with their factor.
    np.testing.assert_allclose(
        inside.std_error, summarise(staggered(panel)).std_error * np.sqrt(24 / 23), rtol=0.15
    )


def test_the_overall_average_is_drawn_too(panel):
    out = leave_one_out(panel, lambda p: aggregate(staggered(p), by="event_time"))
    assert out.overall.std_error[0] != aggregate(staggered(panel), by="event_time").overall.std_error[0]
    assert out.overall.method["rows"] == "leave-one-out draws"
    assert "CR3" in out.method["inference"]


def test_people_without_weight_are_no_cluster(panel):
    less = replace(panel, weights=(panel.cluster > 3).astype(float))
    one, other = (
        leave_one_out(p, lambda q: twfe(q, outcome="gp", family="linear", staggered="allow"))
        for p in (less, panel.subset(panel.cluster > 3))
    )
    np.testing.assert_allclose(one.std_error, other.std_error)
    assert one.df == other.df == 19


def test_an_effect_that_rests_on_one_cluster_is_named_by_number(panel):
    """A start that only two clusters have cannot be estimated without either."""
    start = np.where(panel.start == 2, 3, panel.start)
    start[np.flatnonzero(panel.cluster < 2)] = 2
    lonely = replace(panel, start=start, treated=start < 6)
    with pytest.raises(DesignError, match="without 2 of the 24 clusters some effect cannot be estimated"):
        leave_one_out(lonely, staggered)


def test_too_many_clusters_are_refused(make_panel):
    with pytest.raises(DesignError, match=r"there are 501; .* use CR1"):
        leave_one_out(make_panel(n=501), staggered)
    one = make_panel(n=60, clusters=1)
    with pytest.raises(DesignError, match="there are 1"):
        leave_one_out(one, staggered)
