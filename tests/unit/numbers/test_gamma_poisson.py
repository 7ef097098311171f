"""How rates differ among people, against statsmodels, against closed forms, and on drawn people."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import nbinom

from impact.errors import DesignError
from impact.numbers.gamma_poisson import Frailty, fall_of_chosen, gamma_poisson


def drawn(seed=0, n=3000, mean=0.6, shape=0.7):
    rng = np.random.default_rng(seed)
    time = rng.uniform(0.2, 1.0, n)
    return rng.poisson(mean * rng.gamma(shape, 1 / shape, n) * time), time


@pytest.mark.parametrize(("mean", "shape"), [(0.6, 0.7), (0.35, 0.5), (4.0, 1.5), (0.05, 0.2), (30.0, 3.0)])
def test_estimates_and_errors_are_those_of_statsmodels(mean, shape):
    count, time = drawn(mean=mean, shape=shape)
    found = gamma_poisson(count, time)
    model = sm.NegativeBinomial(count, np.ones(len(count)), offset=np.log(time))
    start = [np.log(mean), 1 / shape]
    theirs = model.fit(start_params=start, method="newton", tol=1e-12, disp=0, cov_type="HC0")
    assert found.mean == pytest.approx(np.exp(theirs.params[0]), rel=1e-7)
    assert found.shape == pytest.approx(1 / theirs.params[1], rel=1e-6)
    # Theirs is of the dispersion 1/k: the logarithm of k has its relative error.
    errors = theirs.bse / [1, theirs.params[1]]
    np.testing.assert_allclose(np.sqrt(np.diag(found.vcov)), errors, rtol=1e-5)


def test_the_likelihood_has_no_slope_there():
    count, time = drawn()
    found = gamma_poisson(count, time)

    def likelihood(mean, shape):
        p = shape / (shape + mean * time)
        return nbinom.logpmf(count, shape, p).sum()

    best = likelihood(found.mean, found.shape)
    for by in (0.999, 1.001):
        assert likelihood(found.mean * by, found.shape) < best
        assert likelihood(found.mean, found.shape * by) < best


def test_known_rates_come_back_within_their_errors():
    off = []
    for seed in range(60):
        found = gamma_poisson(*drawn(seed, n=1500))
        truth = np.log([0.6, 0.7])
        off.append((np.log([found.mean, found.shape]) - truth) / np.sqrt(np.diag(found.vcov)))
    assert np.abs(np.mean(off, 0)).max() < 4 / np.sqrt(60)
    np.testing.assert_allclose(np.std(off, 0), 1, atol=0.3)


def test_counts_no_more_varied_than_chance_have_alike_rates():
    time = np.ones(200)
    found = gamma_poisson(np.tile([1, 2], 100), time)
    assert (found.mean, found.shape) == (1.5, np.inf)
    # All that was above the mean was luck: everybody is expected at the mean.
    assert found.later([0, 5], [1.0, 1.0]).tolist() == [1.5, 1.5]
    assert found.total(np.array([5.0]), np.ones(1), np.ones(1))[0] == 1.5


def test_who_was_never_seen_says_nothing():
    count, time = drawn()
    one, other = gamma_poisson(count, time), gamma_poisson([*count, 0, 0], [*time, 0, 0])
    assert (one.mean, one.shape) == (other.mean, other.shape)


def test_without_an_event_there_is_nothing_to_estimate():
    with pytest.raises(DesignError, match="nobody has an event"):
        gamma_poisson([0, 0], [1.0, 1.0])


@pytest.mark.parametrize(("mean", "shape", "fall"), [(0.6, 0.7, 42), (0.35, 0.5, 51)])
def test_the_published_falls_of_people_with_two_admissions(mean, shape, fall):
    assert round(100 * fall_of_chosen(mean, shape, at_least=2)) == fall


@pytest.mark.parametrize("mean", [0.2, 0.6, 2.0])
@pytest.mark.parametrize("shape", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("time", [0.5, 1.0])
def test_the_closed_form_is_the_sum_over_counts(mean, shape, time):
    counts = np.arange(2, 400)
    chance = nbinom.pmf(counts, shape, shape / (shape + mean * time))
    rates = Frailty(mean, shape, np.zeros((2, 2)))
    after, before = chance @ rates.later(counts, time), chance @ counts / time
    assert fall_of_chosen(mean, shape, at_least=2, time=time) == pytest.approx(1 - after / before, rel=1e-9)


def test_nobody_chosen_nobody_falls():
    assert fall_of_chosen(0.6, 0.7, at_least=0) == pytest.approx(0, abs=1e-12)


def test_the_error_of_a_total_is_its_slope_times_that_of_the_rates():
    count, time = (np.asarray(x, float)[:50] for x in drawn())
    after, vcov = np.linspace(0.3, 1, 50), np.array([[0.04, 0.01], [0.01, 0.09]])
    total, error = Frailty(0.6, 0.7, vcov).total(count, time, after)
    by, h = [], 1e-6
    for step in np.eye(2) * h:
        up, down = (Frailty(*(np.array([0.6, 0.7]) * np.exp(s * step)), vcov) for s in (1, -1))
        by.append(np.log(up.total(count, time, after)[0] / down.total(count, time, after)[0]) / (2 * h))
    assert error == pytest.approx(np.sqrt(np.array(by) @ vcov @ by), rel=1e-6)
    assert total == pytest.approx(after @ Frailty(0.6, 0.7, vcov).later(count, time))
