from __future__ import annotations

import numpy as np
import pytest

from impact.numbers.bootstrap import largest, signed_sums
from impact.numbers.few_clusters import invert, multipliers, p_value, wild_t


def test_webbs_points_have_mean_0_and_variance_1():
    by, name, complete = multipliers(5, 200_000, np.random.default_rng(0))
    assert (name, complete) == ("Webb's six points", False)
    assert len(np.unique(by)) == 6
    np.testing.assert_allclose(np.unique(by) ** 2, [1.5, 1, 0.5, 0.5, 1, 1.5])
    assert by.mean() == pytest.approx(0, abs=0.005)
    assert by.var() == pytest.approx(1, abs=0.005)


@pytest.mark.parametrize(
    ("clusters", "draws", "name"),
    [(13, 9999, "all 8,192 sign vectors"), (14, 9999, "random signs"), (9, 500, "Webb's six points")],
)
def test_what_the_scores_are_multiplied_by(clusters, draws, name):
    by, found, complete = multipliers(clusters, draws, np.random.default_rng(0))
    assert found == name
    assert complete == (len(np.unique(by, axis=0)) == 2**clusters)


def test_p_value_counts_the_data_once():
    drawn = np.array([2.0, -2.0, 1.0, -1.0])
    assert p_value(2.0, drawn, complete=True) == 0.5
    assert p_value(2.0 * (1 + 1e-12), drawn, complete=True) == 0.5
    assert p_value(3.0, drawn, complete=False) == 1 / 5


def test_an_end_that_is_never_rejected_is_infinite():
    low, high = invert(lambda value: 0.01 if value < -2 else 1.0, 0.0, 1.0, 0.95)
    assert low == pytest.approx(-2, abs=2e-3)
    assert high == np.inf


def test_clusters_whose_residuals_vanish_are_as_far_out_as_can_be():
    one = np.ones((1, 1))
    assert wild_t(np.full((2, 1, 1), 0.5), np.ones((2, 1)), one, one[0], np.ones((1, 2)))[0] == np.inf


def test_signed_sums_do_not_depend_on_how_the_root_is_cut():
    root = np.random.default_rng(0).normal(size=(97, 3))
    whole, cut = (signed_sums(np.array_split(root, parts), 300, np.random.default_rng(4)) for parts in (1, 8))
    np.testing.assert_allclose(whole, cut, rtol=1e-4, atol=1e-4)
    signs = np.linalg.lstsq(root[:3].T, signed_sums([root[:3]], 50, np.random.default_rng(1)).T)[0]
    np.testing.assert_allclose(np.abs(signs), 1, atol=1e-4)


def test_largest_of_one_is_a_t_statistic():
    rng = np.random.default_rng(0)
    far = largest(2 * rng.normal(size=(100_000, 1)), np.array([2.0]), 7, rng)
    assert np.quantile(far, 0.95) == pytest.approx(2.3646, rel=0.02)
