"""The decomposition adds up to two-way fixed effects, on any balanced panel."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impact.data.panel import Panel
from impact.did.bacon import bacon_decomposition
from impact.did.twfe import twfe

few = settings(max_examples=25, deadline=None)


@st.composite
def panels(draw, earliest: int = 1) -> Panel:
    """Two people or more from each of several starts, some never supported, uneven time and weights."""
    periods = draw(st.integers(3, 6))
    starts = draw(st.lists(st.integers(earliest, periods), min_size=2, max_size=5, unique=True))
    starts = starts if any(0 < start < periods for start in starts) else [1, *starts]
    sizes = draw(st.lists(st.integers(2, 5), min_size=len(starts), max_size=len(starts)))
    start = np.repeat(starts, sizes)
    n, rng = len(start), np.random.default_rng(draw(st.integers(0, 10_000)))
    time = rng.uniform(0.5, 2, (n, periods))
    return Panel(
        unit=np.arange(n),
        periods=pd.RangeIndex(periods),
        outcomes={"gp": rng.poisson(4 * time).astype(float) + 1},
        exposure={"gp": time},
        start=start.astype(np.int64),
        treated=start < periods,
        covariates=pd.DataFrame(index=range(n)),
        cluster=np.arange(n),
        weights=rng.uniform(0.5, 2, n),
        arm=np.where(start < periods, "supported", "control"),
    )


@few
@given(panels())
def test_weighted_sum_is_twfe(panel):
    table = bacon_decomposition(panel, outcome="gp").table
    whole = twfe(panel, outcome="gp", family="linear", staggered="allow").estimate[0]
    assert table["weight"].sum() == pytest.approx(1, abs=1e-12)
    assert (table["weight"] > 0).all()
    assert (table["weight"] * table["estimate"]).sum() == pytest.approx(whole, rel=1e-8, abs=1e-6)


@few
@given(panels(earliest=0))
def test_weighted_sum_is_least_squares_with_the_always_treated(panel):
    """Dummies of everyone and every period, weighted by mean time at risk times weight."""
    n, T = panel.n, len(panel.periods)
    supported = (np.arange(T) >= panel.start[:, None]).astype(float).ravel()
    x = np.column_stack([supported, np.repeat(np.eye(n), T, axis=0), np.tile(np.eye(T), (n, 1))])
    root = np.sqrt(np.repeat(panel.weights * panel.exposure["gp"].mean(1), T))
    coef = np.linalg.lstsq(x * root[:, None], panel.rate("gp").ravel() * root, rcond=None)[0][0]
    for by in ("comparison", "type"):
        table = bacon_decomposition(panel, outcome="gp", by=by).table
        assert (table["weight"] * table["estimate"]).sum() == pytest.approx(coef, rel=1e-8, abs=1e-6)
    assert (0 in panel.start) == ("Later vs Always Treated" in set(table["type"]))
