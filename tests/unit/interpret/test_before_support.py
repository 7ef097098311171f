"""What a plan assumes is measured before support alone, and is what was drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from impact.data import Panel
from impact.errors import DesignError
from impact.interpret.before_support import assumptions, before_support
from impact.interpret.planning import Plan

MONTHS, FIRST = 36, 24


def drawn(seed: int = 0, *, n: int = 6000, buildings: int = 300, lasts: float = 1.0) -> Panel:
    """People whose need varies by 1.0 of their own and 0.2 of their building's, and lasts so far."""
    rng = np.random.default_rng(seed)
    building = np.arange(n) % buildings
    shape = 1.0
    halves = rng.gamma(shape * lasts, size=n) + rng.gamma(shape * (1 - lasts) or 1e-12, size=(2, n))
    need = np.repeat(halves.T, FIRST // 2, axis=1) * rng.gamma(5, 0.2, buildings)[building][:, None]
    need = np.hstack([need, need[:, -1:].repeat(MONTHS - FIRST, axis=1)])
    gone = rng.exponential(100, n)
    time = np.clip(gone[:, None] - np.arange(MONTHS), 0, 1)
    treated = np.arange(n) < n // 3
    start = np.where(treated, rng.integers(FIRST, MONTHS, n), MONTHS)
    start[0] = FIRST
    return Panel(
        unit=np.arange(n),
        periods=pd.RangeIndex(MONTHS),
        outcomes={"ae": rng.poisson(0.1 * need * time).astype(float)},
        exposure={"ae": time},
        start=start,
        treated=treated,
        covariates=pd.DataFrame(index=range(n)),
        cluster=building,
        weights=np.ones(n),
        arm=np.where(treated, "supported", "control"),
    )


@pytest.mark.parametrize("lasts", [1.0, 0.6])
def test_what_was_drawn_is_found(lasts: float) -> None:
    row = before_support(drawn(lasts=lasts), outcome="ae").table.iloc[0]
    # The product varies by (1 + 1.0)(1 + 0.2) - 1, less half of what changes within the time.
    assert row["dispersion"] == pytest.approx(1.4 - 0.6 * (1 - lasts), rel=0.08)
    assert row["shared"] == pytest.approx(0.2, abs=0.05)
    assert row["stability"] == pytest.approx((0.2 + 1.2 * lasts) / 1.4, abs=0.06)
    assert row["rate_per_1000_person_months"] == pytest.approx(100, rel=0.05)
    assert row["leaving"] == pytest.approx(0.01, rel=0.1)
    assert row["group_size"] == 20
    assert row["shared_stability"] == pytest.approx(1, abs=0.05)


def test_nothing_after_support_counts() -> None:
    panel = drawn(n=600, buildings=60)
    after = np.arange(MONTHS) >= FIRST
    changed = replace(panel, outcomes={"ae": np.where(after, 99.0, panel.outcomes["ae"])})
    gone = replace(panel, exposure={"ae": np.where(after, 0.0, panel.exposure["ae"])})
    expected = before_support(panel, outcome="ae").table
    for other in (changed, gone):
        pd.testing.assert_frame_equal(before_support(other, outcome="ae").table, expected)


def test_the_plan_that_follows() -> None:
    row = before_support(drawn(), outcome="ae").table.iloc[0].to_dict()
    given = assumptions(row, months=12, before=12)
    plan = Plan(**given, months=12, before=12)
    assert plan.rate == pytest.approx(1.2, rel=0.06)
    assert plan.buildings == 300
    assert plan.need.shared == pytest.approx(0.2, abs=0.06)
    assert plan.attrition == pytest.approx(0.11, abs=0.02)
    # Over a longer time need lasts less.
    row["stability"] = 0.8
    assert assumptions(row, months=36, before=12)["stability"] == pytest.approx(0.8**2)
    assert "stability" not in assumptions(row, months=12)
    assert "buildings" not in assumptions(row, months=12)


def test_a_study_without_time_or_events_before_support_cannot_say() -> None:
    panel = drawn(n=300, buildings=300)
    with pytest.raises(DesignError, match="first two periods"):
        before_support(replace(panel, start=np.where(panel.treated, 1, MONTHS)), outcome="ae")
    with pytest.raises(DesignError, match="'ae' never happens before support"):
        before_support(replace(panel, outcomes={"ae": np.zeros((300, MONTHS))}), outcome="ae")
