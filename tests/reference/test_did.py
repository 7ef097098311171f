"""Difference-in-differences against R and published results; each case names its data and specification."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from impact import did
from impact.data.panel import Panel

# R did 2.5.1 (and csdid, moderndid, diff-diff, which agree to 1e-10): lemp ~ 1, never-treated controls,
# varying base period, analytic errors without a small-sample factor. Absolute tolerance 1e-8, because
# R's numbers are written with ten digits.
MPDTA = {
    "simple": ([-0.03995127516], [0.01203401277]),
    "event_time": (
        [
            0.0305066556,
            -0.0005630846,
            -0.0244587450,
            -0.0199318168,
            -0.0509573671,
            -0.1372587389,
            -0.1008113631,
        ],
        [0.0150335603, 0.0132916446, 0.0142364022, 0.0118263641, 0.0168934763, 0.0364356643, 0.0343592258],
    ),
    "group": ([-0.07974913, -0.02290954, -0.02605441], [0.02636780, 0.01670333, 0.01665544]),
    "period": (
        [-0.01050325, -0.07042316, -0.04881598, -0.03705934],
        [0.02325104, 0.03098477, 0.02012586, 0.01374708],
    ),
}
OVERALL = {
    "event_time": (-0.07723982146, 0.01996498906),
    "group": (-0.03101828223, 0.01244605932),
    "period": (-0.04170043213, 0.01597185188),
}
# Sun and Abraham's interaction-weighted estimates are the same as these without covariates and with a
# universal base (R fixest::sunab, cluster countyreal); point estimates only, to the six places that agree.
SUNAB = [0.003306356693, 0.025021829598, 0.024458744971, -0.019931816789, -0.050957367065, -0.137258738889]
SUNAB += [-0.100811363085]


@pytest.fixture(scope="module")
def counties(data) -> Panel:
    frame = pd.read_csv(data / "mpdta.csv")
    return Panel.from_long(
        frame,
        unit="countyreal",
        period="year",
        outcomes=["lemp"],
        first_treated="first.treat",
        covariates=["lpop"],
    )


@pytest.fixture(scope="module")
def varying(counties):
    return did.callaway_santanna(counties, outcome="lemp", control="never_treated", base_period="varying")


@pytest.mark.parametrize("by", list(MPDTA))
def test_mpdta_averages(varying, by):
    estimate, error = MPDTA[by]
    out = did.aggregate(varying, by=by)
    np.testing.assert_allclose(out.estimate, estimate, atol=1e-8)
    np.testing.assert_allclose(out.std_error, error, atol=1e-8)


@pytest.mark.parametrize("by", list(OVERALL))
def test_mpdta_overall(varying, by):
    overall = did.aggregate(varying, by=by).overall
    assert overall.estimate[0] == pytest.approx(OVERALL[by][0], abs=1e-8)
    assert overall.std_error[0] == pytest.approx(OVERALL[by][1], abs=1e-8)


def test_mpdta_pretrends(varying):
    test = did.pretrend_test(varying)
    assert test.statistic == pytest.approx(7.791236627, abs=1e-8)
    assert test.df == 5
    assert test.p_value == pytest.approx(0.16812, abs=5e-6)


def test_mpdta_error_with_known_shares_is_another_number(varying):
    """Dropping the error of the group shares gives 0.011747, which this reference rejects."""
    labels = varying.labels
    after = (labels["scale"] == "difference").to_numpy() & (labels["event_time"] >= 0).fillna(
        False
    ).to_numpy()
    share = labels[labels["scale"] == "share"].set_index("group").index
    size = dict(zip(share, varying.estimate[labels["scale"] == "share"], strict=True))
    weights = np.where(after, [size.get(g, 0) for g in labels["group"]], 0)
    fixed = varying.combine((weights / weights.sum())[:, None], labels=labels.iloc[[0]])
    assert fixed.estimate[0] == pytest.approx(MPDTA["simple"][0][0], abs=1e-8)
    assert fixed.std_error[0] == pytest.approx(0.011747, abs=5e-7)
    assert abs(fixed.std_error[0] - MPDTA["simple"][1][0]) > 2e-4


def test_mpdta_universal_base_equals_sun_and_abraham(counties):
    effects = did.callaway_santanna(counties, outcome="lemp", control="never_treated")
    out = did.aggregate(effects, by="event_time")
    assert out.table["event_time"].tolist() == [-4, -3, -2, 0, 1, 2, 3]
    np.testing.assert_allclose(out.estimate, SUNAB, atol=1e-6)


# Card and Krueger (1994), Table 3, with R fixest 0.14.2 and pyfixest: fte ~ nj * d, all stores and balanced
# stores; error by store, CR1 with N = store-waves and K = 4 (the paper prints 2.76, and 2.75 with 1.34).
@pytest.mark.parametrize(
    ("balanced", "effects", "estimate", "error"),
    [
        (False, "arm", 2.753605783, None),
        (True, "arm", 2.75, 1.338598215),
        (True, "person", 2.75, None),
    ],
)
def test_card_krueger(data, balanced, effects, estimate, error):
    frame = pd.read_csv(data / "card_krueger.csv")
    frame["start"] = np.where(frame["nj"] == 1, 1, np.nan)
    if balanced:
        frame = frame[frame.groupby("id")["fte"].transform("count") == 2]
    panel = Panel.from_long(frame, unit="id", period="d", outcomes=["fte"], first_treated="start")
    out = did.two_by_two(panel, outcome="fte", family="linear", effects=effects)
    assert out.table["scale"].iloc[0] == "difference"
    assert out.estimate[0] == pytest.approx(estimate, abs=1e-6)
    if error:
        assert out.std_error[0] == pytest.approx(error, abs=1e-8)
        assert "CR1" in out.method["inference"]
        assert out.df == 383


def test_castle_doctrine_two_way_fixed_effects(data):
    """Cheng and Hoekstra (2013): l_homicide ~ post | state + year by R fixest, CR1 by state (nested)."""
    frame = pd.read_csv(data / "castle.csv")
    panel = Panel.from_long(
        frame, unit="state", period="year", outcomes=["l_homicide"], first_treated="start"
    )
    out = did.twfe(panel, outcome="l_homicide", family="linear", staggered="allow")
    assert out.estimate[0] == pytest.approx(0.08181161693, abs=1e-8)
    assert out.std_error[0] == pytest.approx(0.05887421808, abs=1e-8)
