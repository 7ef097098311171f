"""Rosenbaum's bounds and E-values against published numbers."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from impact.data import Cohort
from impact.match import e_value, nearest, rosenbaum_bounds
from impact.match.e_value import needed
from impact.match.rosenbaum_bounds import Sets


@pytest.fixture(scope="module")
def lead(data):
    frame = pd.read_csv(data / "rosenbaum_lead.csv")
    long = frame.melt(id_vars="pair", value_vars=["treated", "control"], var_name="arm", value_name="lead")
    long = long.assign(exposed=(long["arm"] == "treated").astype(int), months=1000.0)
    cohort = Cohort.from_frame(long, treated="exposed", outcomes=["lead"], exposure="months")
    return nearest(cohort, on=["pair"], distance="mahalanobis")


def test_p_values_of_the_children_exposed_to_lead(lead):
    """R rbounds 2.2 ``psens``, as in Rosenbaum (2002), table 4.1; printed to four decimals."""
    found = rosenbaum_bounds(lead, outcome="lead", gamma=range(1, 7)).table
    assert found["p_value"].round(4).tolist() == [0, 0.0018, 0.0131, 0.0367, 0.0694, 0.1073]
    # 4.42 and 4.44 bracket the gamma at which the p-value of the table reaches 0.05.
    assert found["breakdown"].iloc[0] == pytest.approx(4.43, abs=0.01)


def test_estimates_of_the_children_exposed_to_lead(lead):
    """Rosenbaum (2002), table 4.2. R's ``hlsens`` climbs a grid by tenths and is up to 0.5 higher."""
    found = rosenbaum_bounds(lead, outcome="lead", gamma=range(1, 7)).table
    assert found["estimate"].iloc[0] == pytest.approx(15, abs=1e-6)
    np.testing.assert_allclose(found["conf_low"], [15, 10.25, 8, 6.5, 5, 4], atol=1e-6)
    np.testing.assert_allclose(found["conf_high"], [15, 19.5, 23, 25, 26.5, 28], atol=1e-6)


@pytest.mark.parametrize(("gamma", "beyond"), [(1.5, 0.00005), (2, 0.00053), (2.5, 0.00244), (3, 0.00702)])
def test_pairs_with_a_yes_or_no_have_the_exact_binomial(gamma, beyond):
    """25 discordant pairs, 23 one way. R rbounds 2.2 ``binarysens(2, 23)`` prints the chance of more than 23.

    A p-value counts what was seen as well (Rosenbaum 2002, section 4.3.2), so ours is R's plus the chance of
    23; tolerance as R prints.
    """
    treated = np.arange(60) < 30
    y = np.zeros(60)
    y[:23], y[[53, 54]] = 1, 1
    one = np.arange(60) % 30
    found = Sets(y, treated, one, treated, np.ones(60)).p_value(gamma, 1.0)
    seen = binom.pmf(23, 25, gamma / (1 + gamma))
    assert found == pytest.approx(beyond + seen, abs=5e-6)


@pytest.mark.parametrize(
    ("measure", "given", "point", "end"),
    [
        ("risk ratio", (3.9, 1.8, 8.7), 7.263034, 3.0),
        ("risk ratio", (10.73, 8.02, 14.36), 20.947774, 15.523359),
        ("rate ratio", (0.80, 0.71, 0.91), 1.809017, 1.428571),
        ("common hazard ratio", (0.56, 0.46, 0.69), 2.349531, 1.908004),
        ("common odds ratio", (0.86, 0.75, 0.99), 1.368953, 1.076194),
        ("mean difference", (0.5, 0.5 - 1.78 / 0.91 * 0.25, 0.5 + 1.78 / 0.91 * 0.25), 2.529142, 1.110803),
    ],
)
def test_e_values(measure, given, point, end):
    """R EValue 4.1.4; 1e-6. It gives a mean difference an interval of 1.78 standard errors after scaling."""
    found = needed(*given, measure=measure)
    assert [float(v) for v in found] == pytest.approx([point, end], abs=1e-6)


def test_e_value_for_moving_a_ratio_to_another():
    assert float(needed(2.5, 2, 3, true_ratio=1.5)[0]) == pytest.approx(2.720759, abs=1e-6)


def test_e_values_come_from_the_ratios_of_a_result(lead):
    from impact.match import rate_ratio

    effects = rate_ratio(lead, outcome="lead")
    found, ratio = e_value(effects).table.iloc[0], np.exp(effects.table["estimate"].iloc[0])
    assert found["e_value"] == pytest.approx(ratio + np.sqrt(ratio * (ratio - 1)))
    assert 1 < found["breakdown"] < found["e_value"]
