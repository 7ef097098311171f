"""The RAND Health Insurance Experiment against its published rates.

Manning, Newhouse, Duan, Keeler, Leibowitz and Marquis (1987), American Economic Review 77:251, Table 2: free
care 4.55 face-to-face visits and 0.128 admissions a person-year, the 95% plans 2.73 and 0.099. The table
prints two and three digits, so that is the tolerance.
"""

from __future__ import annotations

import pytest

from impact.data import read_panel

PUBLISHED = {
    ("visits", True): "4.55",
    ("visits", False): "2.73",
    ("admissions", True): "0.128",
    ("admissions", False): "0.099",
}


@pytest.fixture(scope="module")
def experiment(data):
    return read_panel(
        file=data / "rand_hie.csv",
        unit="zper",
        period="year",
        outcomes={"visits": ["mdvis", "notmdvis"], "admissions": "totadm"},
        exposure="time",
        exposure_unit="year",
        arm="plan",
        treated=["11"],
        control=["2", "3", "4", "14", "15", "16"],
    )


@pytest.mark.parametrize(("outcome", "free"), PUBLISHED)
def test_arm_rates_equal_the_published(experiment, outcome, free):
    cohort = experiment.cohort()
    arm = cohort.treated == free
    a_year = 12 * cohort.outcomes[outcome][arm].sum() / cohort.exposure[outcome][arm].sum()
    printed = PUBLISHED[outcome, free]
    assert f"{a_year:.{len(printed) - 2}f}" == printed
    panel = experiment.panel()
    same = (
        12
        * panel.outcomes[outcome][panel.treated == free].sum()
        / panel.exposure[outcome][panel.treated == free].sum()
    )
    assert same == pytest.approx(a_year, rel=1e-12)
