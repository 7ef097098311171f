"""Castle doctrine laws (Cheng and Hoekstra 2013), taken apart by R bacondecomp 0.1.3 and diff-diff.

``l_homicide ~ post`` on 50 states, 2000-10. Tolerance 1e-5, because the weights are written with five
decimals; their sum with ten.
"""

from __future__ import annotations

import pandas as pd
import pytest

from impact.data.panel import Panel
from impact.did.bacon import bacon_decomposition

TYPES = {
    "Earlier vs Later Treated": (0.05976, -0.00554),
    "Later vs Earlier Treated": (0.03190, 0.07032),
    "Treated vs Untreated": (0.90834, 0.08796),
}
TWFE = 0.08181161693


@pytest.fixture(scope="module")
def states(data) -> Panel:
    frame = pd.read_csv(data / "castle.csv")
    return Panel.from_long(frame, unit="state", period="year", outcomes=["l_homicide"], first_treated="start")


def test_castle_doctrine(states):
    table = bacon_decomposition(states, outcome="l_homicide").table
    assert len(table) == 25
    assert (table["weight"] * table["estimate"]).sum() == pytest.approx(TWFE, abs=1e-10)
    by_type = bacon_decomposition(states, outcome="l_homicide", by="type").table.set_index("type")
    assert sorted(by_type.index) == sorted(TYPES)
    for kind, (weight, estimate) in TYPES.items():
        assert by_type.loc[kind, "weight"] == pytest.approx(weight, abs=1e-5)
        assert by_type.loc[kind, "estimate"] == pytest.approx(estimate, abs=1e-5)
        mine = table[table["type"] == kind]
        assert mine["weight"].sum() == pytest.approx(weight, abs=1e-5)
    assert by_type["treated"].tolist() == [20, 20, 21]
    assert by_type.loc["Treated vs Untreated", "controls"] == 29
