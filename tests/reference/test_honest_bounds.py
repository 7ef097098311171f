"""Bounds where trends are not parallel, against the example in the README of R's HonestDiD.

Medicaid and insurance: ``feols(dins ~ i(year, D, ref = 2013) | stfips + year, cluster = ~stfips)`` to 2015,
without the states that expanded in 2015; the first period after, normal critical values.

Tolerance 5e-4: the published relative magnitudes are points of a grid 3.7e-4 apart with a critical value
from 1,000 draws, and are printed to three digits; those of smoothness are printed to three digits.

The low end at m_bar = 2 is -0.00107 in the README and -0.00067 when run on the stored covariance. Both are
right: the stored covariance is smaller than that of the errors the README prints, by 2.1% (it lacks the same
small-sample factor), and refined ends are -0.00101 with the first and -0.00069 with the second.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from impact import did
from impact.data.panel import Panel
from impact.did.honest_bounds import honest_bounds
from impact.numbers.honest import RelativeMagnitudes, Smoothness

MAGNITUDES = {0.5: (0.0241, 0.0673), 1: (0.0171, 0.0720), 1.5: (0.00859, 0.0796), 2: (-0.00107, 0.0883)}
SMOOTHNESS = {
    0: (0.0259, 0.0607),
    0.01: (0.0132, 0.0787),
    0.02: (0.00286, 0.0907),
    0.03: (-0.00714, 0.101),
    0.04: (-0.0171, 0.111),
    0.05: (-0.0271, 0.121),
}
# moderndid on the stored covariance: relative magnitudes on its own grid (0.4.1, the file's run), and
# smoothness to 1e-5 (0.2.0, solved as a cone programme).
STORED_MAGNITUDES = {
    0.5: (0.02413, 0.06689),
    1: (0.01709, 0.07196),
    1.5: (0.00859, 0.0796),
    2: (-0.00067, 0.08795),
}
STORED_SMOOTHNESS = {0: (0.0261492, 0.0605293), 0.01: (0.0133833, 0.0785007), 0.05: (-0.0269140, 0.1204871)}


@pytest.fixture(scope="module")
def medicaid(data):
    frame = pd.read_csv(data / "ehec_data.csv")
    frame = frame[frame["yexp2"] != 2015]
    frame["first"] = frame["yexp2"].where(frame["yexp2"] == 2014)
    panel = Panel.from_long(frame, unit="stfips", period="year", outcomes=["dins"], first_treated="first")
    return did.event_study(panel, outcome="dins", estimator="twfe", family="linear")


@pytest.fixture(scope="module")
def stored(data):
    frame = pd.read_csv(data / "ehec_eventstudy_beta_sigma.csv").to_numpy()
    return frame[:, 0], frame[:, 1:], 5, np.array([1.0, 0.0])


def test_event_study_has_the_published_errors(medicaid):
    table = medicaid.table.dropna(subset=["std_error"])
    published = [0.0086536, 0.00852438, 0.00710778, 0.0063271, 0.00739098, 0.00915187, 0.01035005]
    np.testing.assert_allclose(table["std_error"], published, rtol=1e-5)


def test_stored_covariance_is_smaller_than_the_published_one(medicaid, stored):
    shown = medicaid.select(medicaid.labels["event_time"] != -1)
    np.testing.assert_allclose(shown.estimate, stored[0], atol=1e-12)
    np.testing.assert_allclose(shown.vcov / stored[1], 1.021276, rtol=1e-5)


@pytest.mark.parametrize(("kind", "published"), [("m_bar", MAGNITUDES), ("m", SMOOTHNESS)])
def test_published_intervals(medicaid, kind, published):
    normal = replace(medicaid, df=np.inf)
    table = honest_bounds(normal, **{kind: list(published)}).table.iloc[1:]
    found = table[["conf_low", "conf_high"]].to_numpy()
    np.testing.assert_allclose(found, list(published.values()), atol=5e-4)


def test_two_sources_differ_by_their_covariance(medicaid, stored):
    low = honest_bounds(replace(medicaid, df=np.inf), m_bar=2).table["conf_low"].iloc[1]
    assert low == pytest.approx(-0.001008, abs=2e-6)
    assert RelativeMagnitudes(*stored).interval(2)[0] == pytest.approx(-0.000691, abs=2e-6)


def test_intervals_on_the_stored_covariance(stored):
    for m_bar, ends in STORED_MAGNITUDES.items():
        np.testing.assert_allclose(RelativeMagnitudes(*stored).interval(m_bar), ends, atol=3e-4)
    for m, ends in STORED_SMOOTHNESS.items():
        np.testing.assert_allclose(Smoothness(*stored).interval(m), ends, atol=1e-5)


def test_average_of_both_periods(stored):
    # moderndid 0.2.0 (linear programmes) on a grid 4.5e-4 apart, whose ends lie inside.
    both = RelativeMagnitudes(*stored[:3], np.array([0.5, 0.5]))
    ends = {0.5: (0.03271, 0.07962), 1: (0.02008, 0.09000), 1.5: (0.00609, 0.10308), 2: (-0.00835, 0.11707)}
    for m_bar, (low, high) in ends.items():
        found = both.interval(m_bar)
        assert -1e-4 < low - found[0] < 5e-4
        assert -1e-4 < found[1] - high < 5e-4


def test_breakdown_is_below_two(medicaid):
    """diff-diff 3.13 gives [0.0113, 0.0816] at m_bar = 2; the reference does not exclude 0 there."""
    table = honest_bounds(replace(medicaid, df=np.inf), m_bar=2).table
    assert table["conf_low"].iloc[1] < 0
    assert 1.94 < table["breakdown"].iloc[1] < 1.95
