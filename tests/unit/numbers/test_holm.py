"""Holm's p-values are those of statsmodels."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from impact.numbers.holm import holm


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_equal_to_statsmodels(p_values):
    np.testing.assert_allclose(holm(p_values), multipletests(p_values, method="holm")[1], rtol=1e-14)


def test_none_of_none():
    assert holm([]).size == 0
