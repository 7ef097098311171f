"""Is the fall foretold that the choice of people alone brings, and the bias that matching brings?

A few draws here; ``IMPACT_SLOW=1`` makes the study of ``docs/recovery-threats.md``.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from threats import CHOSEN, CLAIMED, MATCHED, TRIAL, foretold, replicates
from threats_page import markdown

from impact.numbers.gamma_poisson import fall_of_chosen
from impact.pages.evidence import beyond, by_choice

SLOW = os.environ.get("IMPACT_SLOW") == "1"
DRAWS, PEOPLE = (400, 4000) if SLOW else (12, 2000)
PAGE = Path(__file__).parents[2] / "docs" / "recovery-threats.md"
# Many figures are looked at together, so four Monte Carlo errors, not two, are allowed for each.
ERRORS = 4
GRID = [world for world in CHOSEN if world.startswith("m ")]


@pytest.fixture(scope="module")
def chosen():
    return replicates(CHOSEN, DRAWS, people=PEOPLE)


@pytest.fixture(scope="module")
def matched():
    return replicates(MATCHED, DRAWS, people=PEOPLE)


@pytest.fixture(scope="module")
def trial():
    return replicates(TRIAL, DRAWS, people=PEOPLE)


@pytest.mark.parametrize("way", ["formula", "alike"])
def test_lasting_rates_are_foretold_by_both_ways(chosen, way):
    rows = chosen.loc[GRID]
    assert (rows[f"{way}_off"].abs() <= ERRORS * rows[f"{way}_off_mc"]).all()


def test_the_published_falls_come_out(chosen):
    for mean, shape in ((0.6, 0.7), (0.35, 0.5)):
        row = chosen.loc[f"m {mean}, k {shape}"]
        exact = np.log1p(-fall_of_chosen(mean, shape, at_least=2))
        assert abs(row["naive"] - exact) <= ERRORS * row["naive_mc"]
        assert abs(row["formula"] - exact) <= ERRORS * row["formula_mc"]


def test_errors_are_as_large_as_the_spread(chosen):
    spread = 1 if not SLOW else 0.15
    for way in ("formula", "alike"):
        ratio = chosen.loc[GRID, f"{way}_error"] / chosen.loc[GRID, f"{way}_sd"]
        assert ratio.mean() == pytest.approx(1.1, abs=0.4 * spread + 0.15)


def test_where_bad_spells_pass_the_formula_understates_and_people_alike_do_not(chosen):
    row = chosen.loc["bad spells pass"]
    assert row["formula_off"] > ERRORS * row["formula_off_mc"]
    assert abs(row["alike_off"]) <= ERRORS * row["alike_off_mc"]


def test_rates_are_those_of_a_year_before_anybody_was_picked(chosen):
    """Where people are picked by and by, the year to each date makes the formula understate twice as much."""
    early, own = chosen.loc["picked month by month"], chosen.loc["the same, rates from the year to each date"]
    assert 0 < early["formula_off"] < 0.7 * own["formula_off"]


def test_in_a_trial_of_unwell_people_the_fall_is_foretold_and_there_is_no_effect(trial):
    row = trial.iloc[0]
    assert row["naive"] < -0.4
    assert abs(row["formula"] - row["naive"]) <= ERRORS * row["naive_mc"]
    assert abs(row["effect"]) <= ERRORS * row["effect_mc"]


def test_lasting_need_biases_the_matched_as_foretold(matched):
    for supported, control in ((2.2, 1.2), (1.2, 2.2), (1.7, 1.7)):
        row, exact = matched.loc[f"supported {supported}, others {control}"], foretold(supported, control)
        assert abs(row["everyone"]) <= ERRORS * row["everyone_mc"]
        # The few whom nobody had as many events as are left out, which takes a little of the gap with them.
        assert abs(row["matched"] - exact) <= ERRORS * row["matched_mc"] + 0.06 * abs(exact)
        assert abs(row["matched_bias"] - exact) <= ERRORS * row["matched_bias_mc"] + 0.03
    assert foretold(2.2, 1.2) == pytest.approx(0.52)


def test_recent_use_biases_everyone_as_foretold(matched):
    row = matched.loc["one group, picked by recent use"]
    assert abs(row["matched"]) <= ERRORS * row["matched_mc"]
    assert row["everyone"] < -0.4
    assert abs(row["everyone"] - row["everyone_bias"]) <= ERRORS * row["everyone_mc"]


def test_the_page_holds_every_world(chosen, matched, trial):
    text = markdown(chosen, matched, trial, draws=DRAWS, people=PEOPLE)
    assert all(f"| {world} |" in text for world in (*CHOSEN, *MATCHED))
    if SLOW:
        PAGE.write_text(text, encoding="utf-8")
    assert set(PAGE.read_text(encoding="utf-8").splitlines()[:4]) <= set(text.splitlines())


def fails(world, ratio, draws):
    """Share of the clear changes that the choice of people might have brought by itself."""
    failed = []
    for seed in range(draws):
        effects, row = CLAIMED[world](seed, ratio)
        table = effects.table
        ends = table.loc[table["scale"] == "log ratio", ["estimate", "conf_low", "conf_high"]].iloc[0]
        if ends["conf_low"] > 0 or ends["conf_high"] < 0:
            failed.append(not beyond(*ends, *by_choice(pd.Series(row))))
    return np.mean(failed) if failed else np.nan


@pytest.mark.parametrize(
    ("world", "ratio", "least", "most"),
    [
        # Measured with 100 draws: 0.96 and 0.97 of what is claimed and false, and none of what is true.
        ("two contacts or more", 1.0, 0.8, 1.0),
        ("a bad spell", 1.0, 0.8, 1.0),
        ("by lot", 0.7, 0.0, 0.05),
        ("need, alike", 0.7, 0.0, 0.05),
        # Where lasting need decides, a true fall no greater than that choice would bring is doubted as well:
        # no table tells the one from the other.
        ("need, apart", 0.8, 0.8, 1.0),
        ("need, apart", 0.5, 0.0, 0.05),
    ],
)
def test_a_fall_that_the_choice_of_people_would_bring_is_doubted(world, ratio, least, most):
    assert least <= fails(world, ratio, 100 if SLOW else 6) <= most
