"""Power of the pre-trend test against the R package of Roth (2022), and its closed form in one dimension.

R's numbers are ``slope_for_power`` and ``pretrends`` of pretrends 0.1.0, which call a test passed when every
estimate before support is below 1.96 of its standard errors, integrate by a randomised rule (its own power
of the slope it found for 0.5 is 0.49998) and count time from the reference period. Ours are simulated from
400,000 draws: the error of a power is below 0.0008, and tolerances are three or four of these errors. They
reject the t quantile of 100 clusters (1.984), the 5% false alarms of a joint test, and a trend that is
measured from event time 0.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, truncnorm

from impact import did
from impact.data.panel import Panel
from impact.did.pretrends import pretrend_power
from impact.results import Effects

DRAWS = 400_000
# He and Wang (2017), Figure 2C: the event study's covariance, as the R and the Stata package ship it.
TIMES = [-4, -3, -2, 0, 1, 2, 3]
BETA = [0.0667031482, -0.0077017923, -0.0307690538, 0.084030658, 0.2424418181, 0.2198789865, 0.1910925359]
SIGMA = [
    [0.0089065712, 0.0044883136, 0.0014587025, 0.0012157689, 0.0020327645, 0.0013225015, 0.0019617728],
    [0.0044883136, 0.0059369169, 0.0027500791, 0.0013505858, 0.0014315459, 0.0012067792, 0.0013847158],
    [0.0014587025, 0.0027500791, 0.0030386248, 0.0009056166, 0.0006791299, 0.0010167636, 0.0007090144],
    [0.0012157689, 0.0013505858, 0.0009056166, 0.0039247409, 0.002596118, 0.0017326149, 0.0022345525],
    [0.0020327645, 0.0014315459, 0.0006791299, 0.002596118, 0.008065897, 0.0058753751, 0.0037414359],
    [0.0013225015, 0.0012067792, 0.0010167636, 0.0017326149, 0.0058753751, 0.007881579, 0.0036507095],
    [0.0019617728, 0.0013847158, 0.0007090144, 0.0022345525, 0.0037414359, 0.0036507095, 0.0097884266],
]


def given(times, beta, vcov, *, reference=-1):
    """Effects with this covariance, and intervals of a normal distribution."""
    labels = pd.DataFrame({"outcome": "y", "term": [f"event time {t}" for t in times]})
    labels = labels.assign(scale="difference", unit="", event_time=times)
    counts = pd.DataFrame({"persons": [900] * len(times), "treated": 400, "clusters": 900, "events": 500})
    root = np.linalg.cholesky(np.asarray(vcov)).T
    method = {"reference": reference}
    return Effects(labels, np.asarray(beta, float), root, np.arange(len(root)), 1e9, method, counts)


def test_he_and_wang_slope_power_and_bias_after_passing():
    table = pretrend_power(given(TIMES, BETA, SIGMA), power=0.5, draws=DRAWS).table.iloc[0]
    assert table["slope"] == pytest.approx(0.05205871, rel=3e-3)
    # R's Bayes factor is the chance to pass under the trend over that under none.
    assert (1 - table["power"]) / (1 - table["false_alarms"]) == pytest.approx(0.56901, abs=3e-3)
    assert table["bias"] == pytest.approx(2.5 * 0.05205871, rel=3e-3)
    after = np.mean([0.06490184, 0.12084694, 0.16946498, 0.22453827])
    # The mean after passing hardly depends on the slope found, so that it is compared at R's own slope.
    at = pretrend_power(given(TIMES, BETA, SIGMA), power=(), slope=0.05205871, draws=DRAWS).table.iloc[0]
    assert at["bias_if_passed"] == pytest.approx(after, abs=4 * at["mc_error"] + 1e-5)
    assert at["mc_error"] < 5e-5


# Standard errors 0.2 and correlation 0.3; event times are counted from the reference period.
@pytest.mark.parametrize(
    ("before", "none", "at_slope", "slopes"),
    [
        ([-3, -2, -1], 0.136261192117481, 0.905586670498965, (0.11085490751343, 0.168538720656777)),
        ([-5, -3, -1], 0.1362253542292, 0.999453378314271, (0.0685248863600757, 0.103615302925996)),
        ([-5, -4, -3, -2], 0.173946844004659, 0.99990350608629, (0.0580280273451627, 0.0917980203438368)),
    ],
)
def test_r_pretrends_on_regular_irregular_and_shifted_periods(before, none, at_slope, slopes):
    k = len(before) + 3
    vcov = 0.04 * (0.7 * np.eye(k) + 0.3)
    times = [t - 1 for t in [*before, 1, 2, 3]]
    effects = given(times, np.zeros(k), vcov)
    table = pretrend_power(effects, power=(0.5, 0.8), slope=0.2, draws=DRAWS).table
    assert table["false_alarms"].iloc[0] == pytest.approx(none, abs=2e-3)
    np.testing.assert_allclose(table["slope"][:2], slopes, rtol=6e-3)
    assert table["power"][2] == pytest.approx(at_slope, abs=2e-3)


def test_one_period_before_is_the_closed_form():
    """Without a correlation passing tells nothing of the average; with one, it is a truncated normal."""
    vcov, slope = [[0.25, 0.15], [0.15, 0.36]], 0.9
    effects = given([-2, 1], [0, 0], vcov)
    table = pretrend_power(effects, power=(0.5, 0.8), slope=slope, draws=DRAWS).table
    # R: slope_for_power in one dimension, and the exact inverse of its power.
    np.testing.assert_allclose(table["slope"][:2], [0.979923226532149, 1.40081048235691], rtol=3e-3)
    low, high = (-norm.ppf(0.975) * 0.5 + slope) / 0.5, (norm.ppf(0.975) * 0.5 + slope) / 0.5
    assert table["power"][2] == pytest.approx(1 - norm.cdf(high) + norm.cdf(low), abs=2.5e-3)
    shift = 0.15 / 0.25 * 0.5 * truncnorm.mean(low, high)
    assert table["bias"][2] == pytest.approx(2 * slope)
    error = table["mc_error"][2]
    assert table["bias_if_passed"][2] == pytest.approx(2 * slope + shift, abs=4 * error)
    assert abs(shift) > 100 * error
    alone = pretrend_power(given([-2, 1], [0, 0], np.diag([0.25, 0.36])), power=0.5).table
    assert alone["bias_if_passed"][0] == pytest.approx(alone["bias"][0])


def test_mpdta_pretrends_by_the_three_statistics(data):
    """Wald: W = 7.791236627, p = 0.16812 (R did 2.5.1, chi-square with 5); Hotelling: F(5, 495)."""
    frame = pd.read_csv(data / "mpdta.csv")
    panel = Panel.from_long(
        frame, unit="countyreal", period="year", outcomes=["lemp"], first_treated="first.treat"
    )
    effects = did.callaway_santanna(panel, outcome="lemp", control="never_treated", base_period="varying")
    found = {s: did.pretrend_test(effects, statistic=s) for s in ("wald", "hotelling", "sup_t")}
    assert found["wald"].statistic == pytest.approx(7.791236627, abs=1e-8)
    assert found["wald"].p_value == pytest.approx(0.16812, abs=5e-6)
    assert found["hotelling"].statistic == pytest.approx(7.791236627 * 495 / (5 * 499), rel=1e-9)
    assert found["hotelling"].method["df_error"] == 495
    table = effects.table[lambda t: t["event_time"] < 0]
    assert found["sup_t"].statistic == pytest.approx(table["statistic"].abs().max())
    # The largest of 5 correlated t values: between one test and five independent ones.
    smallest = table["p_value"].min()
    assert smallest < found["sup_t"].p_value <= 1 - (1 - smallest) ** 5 + 0.005
