"""The slope over ordered groups, against published arithmetic, least squares and what must hold exactly."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from impact.numbers.ridit import ridits, slope_weights

# The example of the manual of PHEindicatormethods 2.1.0 (`phe_sii`): life expectancy by decile of two areas,
# 1 the most deprived.
PEOPLE = {
    "Area1": [7291, 7997, 6105, 7666, 5790, 6934, 5918, 5974, 7147, 7534],
    "Area2": [21675, 20065, 19750, 24713, 20112, 19618, 22408, 19752, 18939, 19312],
}
YEARS = {
    "Area1": [75.9, 78.3, 83.8, 83.6, 80.5, 81.1, 81.7, 84.2, 80.6, 86.3],
    "Area2": [70.5, 71.6, 72.5, 73.5, 73.1, 76.2, 78.7, 80.6, 80.9, 80.0],
}
SIZES = st.lists(st.integers(1, 10_000), min_size=2, max_size=10)


def test_ranks_are_those_of_the_published_guide() -> None:
    """The guide's own: a first group of 12% has rank 0.06, and a second of 10% has 0.12 + 0.10/2 = 0.17."""
    assert ridits([12, 10, 78])[:2] == pytest.approx([0.06, 0.17])


@pytest.mark.parametrize("area", PEOPLE)
def test_ends_are_those_of_weighted_least_squares_as_the_guide_sets_them_up(area: str) -> None:
    size, value = np.array(PEOPLE[area], float), np.array(YEARS[area])
    fit = sm.WLS(value, sm.add_constant(ridits(size)), weights=size).fit()
    first, last = (float(weights @ value) for weights in slope_weights(size))
    assert last - first == pytest.approx(fit.params[1], rel=1e-12)
    assert last / first == pytest.approx((fit.params[0] + fit.params[1]) / fit.params[0], rel=1e-12)
    # As phe_sii does it: everything times the root of the share, and no constant.
    root = np.sqrt(size / size.sum())
    again = np.linalg.lstsq(np.column_stack([root, root * ridits(size)]), root * value, rcond=None)[0]
    assert [first, last - first] == pytest.approx(again, rel=1e-10)


@given(SIZES, st.floats(-50, 50))
def test_equal_values_have_no_slope(size: list[int], value: float) -> None:
    first, last = slope_weights(size)
    values = np.full(len(size), value)
    assert [first @ values, last @ values] == pytest.approx([value, value], abs=1e-8)


@given(SIZES, st.floats(-50, 50), st.floats(-50, 50))
def test_a_line_is_found_exactly_also_if_a_group_is_cut_in_half(size: list[int], a: float, b: float) -> None:
    for groups in (size, [size[0] / 2, size[0] / 2, *size[1:]]):
        ends = [weights @ (a + b * ridits(groups)) for weights in slope_weights(groups)]
        assert ends == pytest.approx([a, a + b], abs=1e-7)


@given(SIZES)
def test_only_shares_matter_and_order_turns_the_line_round(size: list[int]) -> None:
    first, last = slope_weights(size)
    twice = slope_weights(np.array(size) * 2.0)
    np.testing.assert_allclose(np.array([first, last]), twice, atol=1e-9)
    turned = slope_weights(size[::-1])
    np.testing.assert_allclose([first, last], [turned[1][::-1], turned[0][::-1]], atol=1e-8)


def test_two_groups_have_twice_their_difference() -> None:
    """The middles of two groups lie half the population apart, whatever their sizes."""
    first, last = slope_weights([30, 170])
    assert (first - last) @ np.array([5.0, 2.0]) == pytest.approx(6.0)
