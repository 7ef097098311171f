"""California's tobacco law (Arkhangelsky, Athey, Hirshberg, Imbens and Wager 2021, Table 1).

Estimates by R synthdid 0.0.9, which prints eight decimals (the paper: -15.6, -19.6, -27.3); diff-diff and
synthdid-py give the same synthetic difference-in-differences. Tolerance 1e-7.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import nnls

from impact.data.panel import Panel
from impact.did.synthetic_did import synthetic_did


@pytest.fixture(scope="module")
def frame(data) -> pd.DataFrame:
    frame = pd.read_csv(data / "california_prop99.csv")
    frame["start"] = np.where(frame["State"] == "California", 1989, np.nan)
    return frame


@pytest.fixture(scope="module")
def states(frame) -> Panel:
    return Panel.from_long(
        frame, unit="State", period="Year", outcomes=["PacksPerCapita"], first_treated="start"
    )


@pytest.mark.parametrize(
    ("weighting", "estimate"),
    [("synthetic_did", -15.60382787), ("synthetic_control", -19.61966347), ("did", -27.34911108)],
)
def test_california(states, weighting, estimate):
    out = synthetic_did(states, outcome="PacksPerCapita", weighting=weighting)
    assert out.table["scale"].tolist() == ["difference", "log ratio", "events avoided"]
    assert out.estimate[0] == pytest.approx(estimate, abs=1e-7)
    assert out.estimate[2] == pytest.approx(-12 * estimate, abs=1e-5)
    assert out.df == 38


@pytest.mark.parametrize("draws", [30, 200])
def test_placebo_error(states, draws):
    """The paper has 8.4; R gives 9 to 11 by seed. All 38 placebos at once give one number, without a seed."""
    out = synthetic_did(states, outcome="PacksPerCapita", draws=draws)
    assert 7 < out.std_error[0] < 13
    if draws >= 38:
        assert "all ways" in out.method["inference"]
        again = synthetic_did(states, outcome="PacksPerCapita", draws=draws, seed=9)
        assert again.std_error[0] == out.std_error[0]


def test_the_exact_minimum_is_another_number(frame):
    """Published estimates are of a search that was stopped: exact weights give -15.605 and -19.514."""
    y = frame.pivot(index="State", columns="Year", values="PacksPerCapita")
    treated, controls = y.loc["California"].to_numpy(), y.drop("California").to_numpy()
    noise = np.diff(controls[:, :19], axis=1).std(ddof=1)

    def minimum(distance, penalty):
        # The smallest |Cw|^2 on the simplex is, up to its sum, the smallest |Cz|^2 + (sum(z) - 1)^2, z >= 0.
        p = distance.shape[1]
        stacked = np.vstack([distance / 50, np.sqrt(penalty) / 50 * np.eye(p), np.ones(p)])
        z, _ = nnls(stacked, np.append(np.zeros(len(stacked) - 1), 1), maxiter=10_000)
        return z / z.sum()

    far = (controls - treated)[:, :19].T
    omega = minimum(far - far.mean(0), 19 * np.sqrt(12) * noise**2)
    change = controls[:, :19] - controls[:, 19:].mean(1, keepdims=True)
    periods = minimum(change - change.mean(0), 38 * (1e-6 * noise) ** 2)
    gap = treated - omega @ controls
    assert gap[19:].mean() - gap[:19] @ periods == pytest.approx(-15.6053979, abs=1e-6)
    gap = treated - minimum(far, 19 * (1e-6 * noise) ** 2) @ controls
    assert gap[19:].mean() == pytest.approx(-19.5136298, abs=1e-6)
