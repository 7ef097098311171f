"""Holm's p-values: the example of his paper's rule by hand, and none of none."""

import numpy as np

from impact.numbers.holm import holm


def test_each_is_multiplied_by_how_many_are_left_and_none_lies_below_the_one_before():
    np.testing.assert_allclose(holm([0.02, 0.6, 0.005, 0.011]), [0.04, 0.6, 0.02, 0.033], rtol=1e-12)


def test_none_of_none():
    assert holm([]).size == 0
