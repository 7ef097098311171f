import datetime

import numpy as np
import pandas as pd
import pytest

from impact.disclosure import Policy, policies, release
from impact.disclosure.policies import policy
from impact.errors import ParameterError
from impact.results import Summary

BOUNDARIES = [0, 1, 7, 8, 9, 10, 12, 13]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("hes", [0, "*", "*", 10, 10, 10, 10, 15]),
        ("opensafely", ["[REDACTED]"] * 3 + [10, 10, 10, 10, 15]),
        ("threshold_10", ["*"] * 5 + [10, 12, 13]),
    ],
)
@pytest.mark.parametrize("what", ["people", "events"])
def test_boundaries(name, shown, what):
    # One table each, so that no count is withheld for the sake of another.
    for count, expected in zip(BOUNDARIES, shown, strict=True):
        table = pd.DataFrame({"level": ["a"], "count": [count]})
        released = release({"t": Summary(table, {}, **{what: ["count"]})}, name)["t"]
        assert released.marked()["count"].tolist() == [expected]
        assert released.table["withheld"].tolist() == [isinstance(expected, str)]


def test_every_policy_names_its_source_and_date():
    for one in policies().values():
        assert one.title
        assert one.source
        assert isinstance(one.date, datetime.date)
    assert policies()["threshold_10"].residual_df == 10


def test_a_policy_of_ones_own():
    mine = Policy("mine", "Ours", "our board", datetime.date(2026, 1, 1), smallest_shown=3, zero_shown=False)
    table = pd.DataFrame({"level": list("abc"), "persons": [0, 2, 3]})
    assert release({"t": Summary(table, {}, people=["persons"])}, mine)["t"].policy == "mine"
    assert mine.small([0, 2, 3, np.nan]).tolist() == [True, True, False, False]


def test_an_unknown_policy_is_refused_with_the_nearest():
    with pytest.raises(ParameterError, match=r"disclosure='hess'.*Did you mean 'hes'"):
        policy("hess")
    with pytest.raises(ParameterError, match="smallest_shown=0"):
        Policy("x", "", "", datetime.date(2026, 1, 1), smallest_shown=0, zero_shown=True)
