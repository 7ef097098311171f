"""The interval of a cost over correlated services covers; added as if services were independent, it does not.

Everybody has better and worse times, which move all services together. ``IMPACT_SLOW=1`` makes 4,000 draws of
300; what these found stands in ``docs/methods.md``.
"""

from __future__ import annotations

import os

import numpy as np
import pandas as pd

from impact import did
from impact.data.panel import Panel
from impact.interpret import cost_avoided

REPLICATES = 4_000 if os.environ.get("IMPACT_SLOW") == "1" else 300
SERVICES = ("gp", "ae", "nights")
COST, ERROR = np.array([40.0, 150.0, 345.0]), np.array([4.0, 15.0, 35.0])
PEOPLE, SUPPORTED = 240, 120
# Rates a period before support, and by how much each falls with it.
MEAN, FALL = np.array([1.5, 0.6, 0.9]), np.array([0.2, 0.1, 0.2])


def draw(rng: np.random.Generator) -> Panel:
    """Two periods; the second with support, whose fall is the same for everyone on average."""
    treated = np.arange(PEOPLE) < SUPPORTED
    counts = {}
    now = rng.gamma(0.7, 1 / 0.7, (PEOPLE, 2))
    for name, mean, fall in zip(SERVICES, MEAN, FALL, strict=True):
        after = mean - fall * treated
        rate = np.column_stack([np.full(PEOPLE, mean), after]) * now
        counts[name] = rng.poisson(rate).astype(float)
    return Panel(
        unit=np.arange(PEOPLE),
        periods=pd.RangeIndex(2),
        outcomes=counts,
        exposure=dict.fromkeys(counts, np.ones((PEOPLE, 2))),
        start=np.where(treated, 1, 2).astype(np.int64),
        treated=treated,
        covariates=pd.DataFrame(index=range(PEOPLE)),
        cluster=np.arange(PEOPLE),
        weights=np.ones(PEOPLE),
        arm=np.where(treated, "supported", "control"),
    )


def test_the_interval_of_the_sum_covers_and_independence_would_not() -> None:
    rng = np.random.default_rng(20261123)
    truth = SUPPORTED * COST @ FALL
    covered, alone, chance = [], [], []
    for _ in range(REPLICATES):
        # The list's price is off by its own error, and the truth is at the true price.
        listed = rng.gamma((COST / ERROR) ** 2, ERROR**2 / COST)
        prices = pd.DataFrame({"service": SERVICES, "cost_gbp": listed, "cost_error": ERROR})
        prices = prices.assign(cashable_gbp=np.nan, stated_year="2023/24", source="own")
        prices.attrs = {"price_year": "2023/24", "index": ""}
        effects = did.twfe(draw(rng), outcome=list(SERVICES), family="linear")
        found = cost_avoided(effects, prices, support_cost_per_person=float(COST @ FALL))
        # Made anew each time that it is asked for.
        shown = found.table
        table = shown.set_index("item")
        total = table.loc["activity"]
        covered.append(total["conf_low"] <= truth <= total["conf_high"])
        services = shown.loc[shown["item"] == "service", "std_error"].to_numpy(float)
        half = (total["conf_high"] - total["conf_low"]) / 2 * np.sqrt((services**2).sum())
        alone.append(abs(total["estimate"] - truth) <= half / total["std_error"])
        chance.append(table.loc["net", "chance"])
    error = np.sqrt(0.95 * 0.05 / REPLICATES)
    assert abs(np.mean(covered) - 0.95) <= 2 * error + 0.005
    # Services that go together: variances added as if they were independent leave the truth out too often.
    assert np.mean(alone) < 0.95 - 4 * error
    # Support that costs just what it is worth pays half of the time, and its chance is spread evenly.
    assert abs(np.mean(chance) - 0.5) < 3 * np.sqrt(1 / 12 / REPLICATES)
    assert abs(np.mean(np.array(chance) < 0.1) - 0.1) < 4 * np.sqrt(0.09 / REPLICATES)
    if os.environ.get("IMPACT_SHOW"):
        print(np.mean(covered), np.mean(alone), np.mean(chance), np.mean(np.array(chance) < 0.1))
