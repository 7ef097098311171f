"""A panel as found in practice: holes, uneven time at risk, weights, clusters, covariates, several starts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from impact.data.panel import Panel


def build(
    n: int = 240,
    periods: int = 6,
    starts: tuple[int, ...] = (2, 3, 5),
    *,
    seed: int = 1,
    holes: float = 0.0,
    uneven: bool = False,
    weighted: bool = False,
    clusters: int = 0,
    effect: float = 0.7,
) -> Panel:
    rng = np.random.default_rng(seed)
    age = rng.normal(size=n)
    sex = rng.choice(["f", "m", "x"], n, p=[0.5, 0.4, 0.1])
    never = rng.random(n) < 1 / (1 + np.exp(0.4 * age))
    start = np.where(never, periods, rng.choice(starts, n))
    time = rng.uniform(0.4, 1.2, (n, periods)) if uneven else np.ones((n, periods))
    time = time * (rng.random((n, periods)) >= holes)
    frailty = rng.gamma(2, 0.5, n) * np.exp(0.2 * age)
    rate = 2 * frailty[:, None] * np.exp(0.05 * np.arange(periods) * (1 + 0.3 * age[:, None]))
    rate = np.where(np.arange(periods) >= start[:, None], effect * rate, rate)
    at_risk = {"gp": time, "ae": time * (rng.random((n, 1)) < 0.9)}
    return Panel(
        unit=np.arange(n),
        periods=pd.date_range("2023-01-01", periods=periods, freq="MS"),
        outcomes={name: rng.poisson(rate * t).astype(float) for name, t in at_risk.items()},
        exposure=at_risk,
        start=start.astype(np.int64),
        treated=start < periods,
        covariates=pd.DataFrame({"age": 50 + 10 * age, "sex": sex}),
        cluster=rng.integers(0, clusters, n) if clusters else np.arange(n),
        weights=rng.uniform(0.5, 2, n) if weighted else np.ones(n),
        arm=np.where(start < periods, "supported", "control"),
    )


@pytest.fixture(scope="session")
def make_panel() -> Callable[..., Panel]:
    return build
