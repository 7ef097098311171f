"""Does matching bring a known answer back: that of an experiment which was broken, and a known effect?

A few repeats here; ``IMPACT_SLOW=1`` makes those of ``docs/recovery-matching.md`` and writes it.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import prior_use
import pytest
import rand
from matching_page import markdown

from impact import match

SLOW = os.environ.get("IMPACT_SLOW") == "1"
REPEATS, DRAWS = (400, 400) if SLOW else (12, 6)
PAGE = Path(__file__).parents[2] / "docs" / "recovery-matching.md"
# Many estimates are looked at together, so four Monte Carlo errors, not two, are allowed for each.
ERRORS = 4
# Of the bias that was made, no more than this share may be left.
LEFT = 1 / 3
# What pairs leave because nobody is quite alike, on the log scale.
SLACK = 0.03


@pytest.fixture(scope="module")
def mended():
    # The search of genetic matching costs more than all the others together.
    methods = rand.METHODS if SLOW else [m for m in rand.METHODS if m.name != "genetic"]
    return rand.replicates(REPEATS, methods=methods, workers=2 if SLOW else 1)


@pytest.fixture(scope="module")
def drawn():
    return prior_use.replicates(DRAWS, workers=2 if SLOW else 1)


def test_every_method_is_tried_on_the_broken_experiment():
    # Risk-set matching is for people who start at different times; in the experiment all start at once.
    assert {m.name for m in rand.METHODS} == set(match.METHODS) - {"risk_set"}


def test_dropping_controls_breaks_the_experiment_and_every_method_mends_it(mended):
    found = rand.summary(mended).set_index(["outcome", "method", "model"]).sort_index()
    for outcome in rand.OUTCOMES:
        broken = found.loc[(outcome, rand.CRUDE, "")]
        assert broken["bias"] > ERRORS * broken["bias_error"]
        here = found.xs(outcome)
        assert (here["refused"] < 0.02).all()
        tried = here.drop(rand.CRUDE, level="method")
        far = tried["bias"].abs() > ERRORS * tried["bias_error"] + LEFT * broken["bias"]
        assert tried[far].empty
        # A few people with very many visits make errors of 200 supported people a little short.
        assert (tried["coverage"] > 0.93 - ERRORS * tried["coverage_error"]).all()


def test_the_supported_and_what_is_known_of_them_stay_the_same():
    frame = rand.experiment()
    whole, broken = rand.draw(frame, 5)
    assert whole.treated.sum() == broken.treated.sum() == rand.SUPPORTED
    assert 0.5 < (~broken.treated).sum() / (~whole.treated).sum() < 0.8
    for name in ("xage", "visits"):
        kept, all_of = (c.table.loc[c.treated, name].to_numpy() for c in (broken, whole))
        assert (kept == all_of).all()
    stay = rand.kept(frame)
    assert stay.min() >= 0.25
    assert stay.max() <= 0.95


def test_every_bias_is_the_one_that_was_expected(drawn):
    found = prior_use.summary(drawn).set_index(["world", "method"])
    expected = prior_use.expectations()
    assert (found["refused"] < 0.02).all()
    assert set(expected) == set(found.index)
    for (world, method), sign in expected.items():
        row = found.loc[(world, method)]
        allowed = ERRORS * row["bias_error"]
        if sign == "0":
            assert abs(row["bias"]) < allowed + SLACK, (method, world)
        elif sign != "?":
            assert row["bias"] * {"+": 1, "-": -1}[sign] > -allowed - SLACK, (method, world)


def test_selection_on_need_misleads_matching_and_selection_on_recent_use_misleads_differences(drawn):
    found = prior_use.summary(drawn).set_index(["world", "method"])
    for method, world, sign in (
        ("crude", "recent use", 1),
        ("before and after", "recent use, crises", -1),
        ("unmatched, two_by_two, year before", "recent use, crises", -1),
        ("entropy_balance, year", "need", 1),
        ("entropy_balance, year, then two_by_two, year before", "need", 1),
        ("unmatched, two_by_two, year before", "need, crisis", -1),
    ):
        row = found.loc[(world, method)]
        assert sign * row["bias"] > ERRORS * row["bias_error"], (method, world)


def test_the_gap_that_matching_leaves_is_the_one_foretold(drawn):
    need = drawn[drawn["world"] == "need"].pivot(index="seed", columns="method", values="estimate")
    apart = need["entropy_balance, year"] - np.log(prior_use.RATIO) - _foretold(drawn)
    assert abs(apart.mean()) < ERRORS * apart.std() / np.sqrt(len(apart)) + SLACK


def _same(mended):
    """What the other methods leave of admissions in the repeats that genetic matching has, on average."""
    genetic = mended["method"].str.startswith("genetic")
    there = mended["seed"].isin(mended.loc[genetic, "seed"]) & (mended["model"] == "") & ~genetic
    rows = mended[there & (mended["outcome"] == "admissions") & (mended["method"] != rand.CRUDE)]
    return (rows["estimate"] - rows["unbroken"]).mean()


def _foretold(drawn):
    need = drawn[(drawn["world"] == "need") & (drawn["method"] == "crude")]
    return need.set_index("seed")["foretold"]


@pytest.mark.skipif(not SLOW, reason="the study with all repeats runs with IMPACT_SLOW=1")
def test_the_page_of_the_study_is_written(mended, drawn):
    answer = mended.groupby("outcome")["answer"].first()
    genetic = rand.METHODS[-1]
    redrawn, luck = rand.redrawn(genetic, genetic.most)
    figures = {
        "answer_visits": f"{answer['visits']:+.3f}",
        "answer_admissions": f"{answer['admissions']:+.3f}",
        "same": f"{_same(mended):+.3f}",
        "redrawn": f"{redrawn:+.3f}",
        "luck": f"{luck:.3f}",
        "foretold": f"{_foretold(drawn).mean():+.3f}",
        "share": f"{drawn['supported'].mean() / prior_use.PEOPLE:.0%}",
    }
    PAGE.write_text(markdown(rand.summary(mended), prior_use.summary(drawn), figures), encoding="utf-8")
