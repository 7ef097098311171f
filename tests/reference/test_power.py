"""Power against published sample sizes, statsmodels and scipy, wherever the same formula holds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats
from statsmodels.stats import rates

from impact.interpret.planning import Plan
from impact.numbers.power import Need, after_only, design_effect, follow_up, power


@pytest.mark.parametrize(
    ("rate", "ratio", "dispersion", "years", "per", "expected"),
    [
        # The first example of R gsDesignNB's sample_size_nbinom (method of Zhu and Lakkis 2014): 167 an arm,
        # variance of the log ratio 0.03313373, one-sided 2.5%, power 80%.
        (0.5, 0.6, 0.1, 1.0, 1.0, 167),
    ],
)
def test_published_sample_sizes(
    rate: float, ratio: float, dispersion: float, years: float, per: float, expected: int
) -> None:
    plan = Plan(rate=rate, dispersion=dispersion, people=expected, months=12 * years, ratio=per)
    assert plan.error(ratio) ** 2 == pytest.approx(0.03313373, abs=5e-9)
    # A normal test, as published: one person fewer is not enough.
    found = [float(power(np.log(ratio), plan.times(n / expected).error(ratio), np.inf)) for n in (166, 167)]
    assert found[0] < 0.8 <= found[1]
    # The t distribution that is used asks for one person more.
    assert plan.needed(ratio) == expected + 1


@pytest.mark.parametrize("rate", [0.2, 0.6, 4.0])
@pytest.mark.parametrize("dispersion", [0.2, 1.0, 2.0])
@pytest.mark.parametrize(("people", "per"), [(50, 1.0), (200, 2.0), (1000, 0.5)])
def test_statsmodels_has_the_same_power(rate: float, dispersion: float, people: int, per: float) -> None:
    plan = Plan(rate=rate, dispersion=dispersion, people=people, ratio=per, months=18)
    for ratio in (0.5, 0.8, 0.95):
        theirs = rates.power_negbin_ratio_2indep(
            rate * ratio,
            rate,
            people,
            nobs_ratio=per,
            exposure=1.5,
            alpha=0.025,
            dispersion=dispersion,
            alternative="smaller",
            method_var="alt",
            return_results=False,
        )
        ours = power(np.log(ratio), plan.error(ratio), np.inf)
        assert float(ours) == pytest.approx(float(theirs), rel=1e-10)


@pytest.mark.parametrize("df", [3, 7, 29, 399])
def test_the_noncentral_t_of_scipy(df: int) -> None:
    effect, error = np.log([0.9, 0.6, 0.3]), 0.25
    expected = stats.nct.cdf(stats.t.ppf(0.025, df), df, effect / error)
    assert power(effect, error, df) == pytest.approx(expected, rel=1e-9)
    # Few groups find less than a normal would promise.
    assert (power(effect, error, df) < power(effect, error, np.inf)).all()


def test_the_design_effect_is_kishs_with_sizes_that_differ() -> None:
    sizes = np.array([4, 9, 15, 22, 30])
    kish = 1 + ((sizes**2).sum() / sizes.sum() - 1) * 0.05
    cv = sizes.std() / sizes.mean()
    assert design_effect(sizes.mean(), 0.05, cv) == pytest.approx(kish, rel=1e-12)
    # Eldridge, Ashby and Kerry (2006): sizes matter little where their cv is under 0.23.
    worst = design_effect(1e6, 0.5, 0.23) / design_effect(1e6, 0.5)
    assert worst < 1.054


def test_clusters_multiply_the_variance_by_the_design_effect() -> None:
    given = {"rate": 0.6, "dispersion": 1.0, "people": 200}
    alone = Plan(**given)
    together = Plan(**given, buildings=40, icc=0.05, size_cv=0.65)
    times = (together.error(0.7) / alone.error(0.7)) ** 2
    # The correlation is that of counts without support; with fewer events chance is more and need the same.
    assert Plan(**given, buildings=40, icc=0.05, size_cv=0.65).error(1.0) ** 2 == pytest.approx(
        alone.error(1.0) ** 2 * design_effect(10, 0.05, 0.65), rel=1e-12
    )
    assert times < design_effect(10, 0.05, 0.65)


@pytest.mark.parametrize("lost", [0.05, 0.2, 0.6])
def test_times_of_people_who_are_lost(lost: float) -> None:
    hazard = -np.log1p(-lost) / 1.5
    found = follow_up(1.5, lost)
    for k in (1, 2):
        expected = integrate.quad(lambda t, k=k: k * t ** (k - 1) * np.exp(-hazard * t), 0, 1.5)[0]
        assert found.mean(found.times**k) == pytest.approx(expected, rel=1e-12)
    # Ignoring that people are followed for unlike times would promise too much (Tang 2015).
    uneven = after_only(0.6, found, Need(1.0))
    even = after_only(0.6, follow_up(found.mean(found.times), 0), Need(1.0))
    assert uneven > even
