"""Cost by ``combine`` is difference-in-differences on cost, for linear models on common exposure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impact import did
from impact.data.panel import Panel
from impact.interpret import cost_avoided

PRICES = pd.DataFrame(
    {"service": ["gp", "ae", "nights"], "cost_gbp": [40.0, 150.0, 345.0], "cost_error": 0.0}
).assign(cashable_gbp=np.nan, stated_year="2023/24", source="own")
PRICES.attrs = {"price_year": "2023/24", "index": ""}


def draw(seed: int, n: int = 60, periods: int = 4) -> Panel:
    """Three services that the same people use, and what they cost together, on common exposure."""
    rng = np.random.default_rng(seed)
    start = rng.choice([2, periods], n)
    start[:4] = [2, periods] * 2
    time = rng.uniform(0.3, 1.5, (n, periods))
    rate = 3 * rng.gamma(2, 0.5, (n, 1)) * np.where(np.arange(periods) >= start[:, None], 0.8, 1.0)
    gp = rng.poisson(rate * time).astype(float)
    ae = rng.binomial(gp.astype(int), 0.4).astype(float)
    counts = {"gp": gp, "ae": ae, "nights": rng.poisson(0.5 + 2.0 * ae).astype(float)}
    counts["cost"] = 40 * gp + 150 * ae + 345 * counts["nights"]
    return Panel(
        unit=np.arange(n),
        periods=pd.RangeIndex(periods),
        outcomes=counts,
        exposure=dict.fromkeys(counts, time),
        start=start.astype(np.int64),
        treated=start < periods,
        covariates=pd.DataFrame({"age": rng.normal(size=n)}),
        cluster=np.arange(n),
        weights=np.ones(n),
        arm=np.where(start < periods, "supported", "control"),
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_cost_by_combine_is_the_estimator_on_cost(seed: int) -> None:
    panel = draw(seed)
    for run in (
        lambda outcome: did.twfe(panel, outcome=outcome, family="linear"),
        lambda outcome: did.two_by_two(panel, outcome=outcome, family="linear"),
        lambda outcome: did.summarise(did.callaway_santanna(panel, outcome=outcome)),
        lambda outcome: did.summarise(did.imputation(panel, outcome=outcome)),
    ):
        table = cost_avoided(run(["gp", "ae", "nights"]), PRICES).table.set_index("item")
        direct = run("cost").table.set_index("scale").loc["events avoided"]
        for column in ("estimate", "std_error", "conf_low", "conf_high"):
            assert table.loc["activity", column] == pytest.approx(direct[column], rel=1e-8, abs=1e-6), column
