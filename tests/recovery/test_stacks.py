"""Rare events, compared start by start: is the known effect brought back, over all of the supported time?"""

from __future__ import annotations

import os

import numpy as np
import pytest
import stacks

from impact.did import stacked, summarise

# 300 draws found a bias of 0.02 at most and a coverage of 93% to 97%, at each rate in both worlds.
DRAWS = 300 if os.environ.get("IMPACT_SLOW") == "1" else 12


def estimates(world, rate, **arguments):
    """Difference from the truth, standard error, and whether all supported time is covered, (draws, 3)."""
    out = []
    for seed in range(DRAWS):
        panel, truth = stacks.draw(world, rate, seed)
        effects = stacked(panel, outcome="events", **arguments)
        row = summarise(effects).table.set_index("scale").loc["log ratio"]
        whole = not any("effects cover" in note for note in effects.method["notes"])
        out.append((row["estimate"] - truth, row["std_error"], whole))
    return np.array(out, float)


@pytest.mark.parametrize("rate", [0.02, 0.08])
@pytest.mark.parametrize("world", stacks.WORLDS)
def test_a_shared_course_recovers_the_effect_on_rare_events(world, rate):
    found = estimates(world, rate)
    error = found[:, 0].std(ddof=1) / np.sqrt(DRAWS)
    # The logarithm of a ratio of few events is a little off by itself.
    assert abs(found[:, 0].mean()) < 4 * error + 0.03
    covered = (abs(found[:, 0]) < 1.97 * found[:, 1]).mean()
    assert covered > 0.95 - 4 * np.sqrt(0.95 * 0.05 / DRAWS)
    assert found[:, 2].all()


def test_start_by_start_what_has_no_events_is_left_out_which_flatters_support():
    found = estimates("need", 0.02, course="by_start")
    assert not found[:, 2].any()
    assert found[:, 0].mean() < -1
