"""Do the ranges of kinds of support, of their comparison and of taking up an offer hold the truth?

A few draws here, 400 with ``IMPACT_SLOW=1``.
"""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest
from arms import WORLDS, kinds, offer

DRAWS = 400 if os.environ.get("IMPACT_SLOW") == "1" else 8
# Many figures are looked at together, so four Monte Carlo errors are allowed for each.
ERRORS = 4


def least(level: float) -> float:
    return level - ERRORS * np.sqrt(level * (1 - level) / DRAWS)


@pytest.fixture(scope="module")
def found():
    return pd.DataFrame([kinds(seed, world=world) for world in WORLDS for seed in range(DRAWS)])


def test_each_kind_and_the_two_against_each_other_hold_the_truth(found):
    by = found.groupby("world")
    assert (by["each"].mean() >= least(0.95)).all()
    assert (by["between"].mean() >= least(0.95)).all()
    bias, error = by["error"].mean(), by["error"].std() / np.sqrt(DRAWS)
    assert (bias.abs() <= ERRORS * error).all()
    # The errors are as large as the draws say, to within what so many draws can tell.
    spread = by["error"].std() / by["se"].mean()
    assert ((spread - 1).abs() <= ERRORS / np.sqrt(2 * DRAWS)).all()


def test_kinds_that_do_the_same_are_told_apart_no_more_often_than_may_be(found):
    alike = found[found["world"] != "one does more"]
    assert alike["rejected"].mean() <= 0.05 + ERRORS * np.sqrt(0.05 * 0.95 / len(alike))
    assert found.loc[found["world"] == "one does more", "rejected"].mean() > 0.5


def test_the_effect_on_those_an_offer_moved_is_theirs():
    each = pd.DataFrame([offer(seed) for seed in range(DRAWS)])
    assert each["held"].mean() >= least(0.95)
    assert abs(each["error"].mean()) <= ERRORS * each["error"].std() / np.sqrt(DRAWS)
