"""People whom several methods are tried on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def sixty():
    """20 supported people and 40 others, with the columns given, or by default age, area and house."""

    def people(**columns):
        rng = np.random.default_rng(1)
        made = {
            "helped": np.repeat([1, 0], [20, 40]),
            "age": rng.normal(60, 9, 60).round(),
            "area": rng.choice(list("ab"), 60),
            "house": np.arange(60) % 7,
        }
        return pd.DataFrame(made | columns)

    return people
