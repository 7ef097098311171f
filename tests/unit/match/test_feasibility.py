"""Feasibility against plain counts, and the sentence it comes to."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.stats import norm

from impact import disclosure, match
from impact.data import Cohort
from impact.errors import DataError, DesignError, ParameterError
from impact.match.distances import measure
from impact.match.people import People
from impact.pages import tables


def frame_of(n=600, seed=1, apart=0.3):
    rng = np.random.default_rng(seed)
    helped = np.arange(n) % 5 == 0
    frame = pd.DataFrame(
        {
            "helped": helped.astype(int),
            "age": rng.normal(70, 5, n).round(1) + 5 * apart * helped,
            "alone": rng.integers(0, 2, n),
            "site": rng.choice(["north", "south", "west"], n),
        }
    )
    frame["prior_ae"] = rng.negative_binomial(1, 1 / (1 + 1.5), n)
    return frame


def found_of(frame, **options):
    cohort = Cohort.from_frame(frame, treated="helped")
    return match.feasibility(cohort, **{"on": ["age", "alone"], **options})


def answers(found):
    table = found.table.set_index("question")
    return table["figure"].fillna(table["persons"]), table["persons"]


def parts(frame, caliper=0.2):
    people = People.of(Cohort.from_frame(frame, treated="helped"), on=["age", "alone"])
    score = measure(people, link="penalised").line
    t = people.treated
    gap = np.abs(score[t][:, None] - score[~t])
    return score, t, gap <= caliper * score.std(ddof=1)


def test_overlap_is_counted_as_it_says():
    frame = frame_of(apart=1.5)
    score, t, near = parts(frame)
    _, persons = answers(found_of(frame))
    within = (score[t] >= score[~t].min()) & (score[t] <= score[~t].max())
    assert persons["supported within the range of the controls' scores"] == within.sum()
    assert persons["supported with a control near enough"] == near.any(axis=1).sum()
    assert 0 < near.any(axis=1).sum() < t.sum()


def test_effective_number_is_that_of_weights_for_the_treated():
    frame = frame_of()
    score, t, _ = parts(frame)
    w = score[~t] / (1 - score[~t])
    figures, _ = answers(found_of(frame))
    name = "controls, by how far they resemble the supported (effective number)"
    assert figures[name] == pytest.approx(w.sum() ** 2 / (w**2).sum())


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_pairs_that_can_be_had_are_the_most_there_are(seed):
    """Against an assignment that pairs as many as possible."""
    frame = frame_of(40, seed, apart=1.0)
    _, _, near = parts(frame, 0.05)
    rows, columns = linear_sum_assignment(~near)
    _, persons = answers(found_of(frame, caliper=0.05))
    assert persons["supported who could each have one control"] == near[rows, columns].sum()


def test_exact_cells_without_controls_are_counted_and_keep_people_apart():
    frame = frame_of()
    frame.loc[(frame["site"] == "north") & (frame["helped"] == 0), "site"] = "west"
    figures, persons = answers(found_of(frame, exact=["site"]))
    north = ((frame["site"] == "north") & (frame["helped"] == 1)).sum()
    assert persons["supported in a cell that has controls"] == frame["helped"].sum() - north
    assert figures["cells of equal exact values"] == 3
    assert figures["cells with supported people and no control"] == 1
    assert persons["supported with a control near enough"] <= frame["helped"].sum() - north


def test_the_largest_ratio_is_what_nine_in_ten_can_have():
    twins = pd.DataFrame({"helped": np.arange(60) % 6 == 0, "age": np.arange(60) // 6, "alone": 1})
    found = match.feasibility(Cohort.from_frame(twins, treated="helped"), on=["age"], caliper=1e-9, ratio=5)
    figures, persons = answers(found)
    assert figures["largest number of controls that nine in ten could each have"] == 5
    assert persons["supported who could each have a number of 5 controls"] == 10
    more = match.feasibility(Cohort.from_frame(twins, treated="helped"), on=["age"], caliper=1e-9, ratio=6)
    assert "too few near controls" in more.method["verdict"]


def test_the_smallest_detectable_ratio_is_the_textbooks():
    """With nobody different from anybody weights are equal, and the moments are the plain ones."""
    frame = frame_of(500).assign(age=70.0)
    frame.loc[0, "age"] = 70.0
    found = match.feasibility(
        Cohort.from_frame(frame, treated="helped"), on=["age"], ratio=2, outcome="ae", months=6
    )
    prior = frame.loc[frame["helped"] == 0, "prior_ae"]
    m = prior.mean()
    a = (prior.var(ddof=0) - m) / m**2
    variance = (1 / (m / 2) + a) * (1 / 100 + 1 / 200)
    expected = np.exp(-(norm.ppf(0.975) + norm.ppf(0.8)) * np.sqrt(variance))
    assert answers(found)[0]["smallest detectable rate ratio"] == pytest.approx(expected)


def test_a_ratio_said_to_be_detectable_is_detected_four_times_in_five():
    """Draws of gamma-Poisson counts, compared by the log of the ratio of totals with robust errors."""
    frame = frame_of(2000).assign(age=70.0)
    ratio = answers(
        match.feasibility(Cohort.from_frame(frame, treated="helped"), on=["age"], ratio=1, outcome="ae")
    )[0]["smallest detectable rate ratio"]
    prior = frame.loc[frame["helped"] == 0, "prior_ae"]
    m, n, draws = prior.mean(), int(frame["helped"].sum()), 3000
    shape = m**2 / (prior.var(ddof=0) - m)
    rng = np.random.default_rng(8)
    arms = [rng.poisson(rng.gamma(shape, mean / shape, (draws, n))) for mean in (m, m * ratio)]
    log = np.log(arms[1].mean(1) / arms[0].mean(1))
    error = np.sqrt(sum(y.var(1, ddof=1) / n / y.mean(1) ** 2 for y in arms))
    assert (log / error < -1.96).mean() == pytest.approx(0.8, abs=0.04)


def test_the_verdict_says_what_stands_against_it():
    good = found_of(frame_of(2000)).method
    assert good["works"] == "yes"
    apart = found_of(frame_of(apart=8)).method
    assert apart["works"] == "no"
    assert apart["verdict"].startswith("Matching cannot work as planned, because only few")
    few = found_of(frame_of(3000, apart=4)).method
    assert few["works"] == "no"
    assert "could have a near control of their own" in few["verdict"]
    alone = frame_of(1000)
    alone.loc[alone.index[:500:5], "age"] += np.where(np.arange(100) < 20, 60, 0)
    part = found_of(alone).method
    assert part["works"] == "partly"
    assert "about 90% of supported people have a control near enough" in part["verdict"]
    assert "these alone" in part["verdict"]
    few = found_of(frame_of(150), outcome="ae").method
    assert few["works"] in ("partly", "no")
    assert "could not be told from chance" in few["verdict"]
    nothing = found_of(frame_of().assign(prior_ae=0), outcome="ae").method
    assert nothing["works"] == "no"
    assert "no such events" in nothing["verdict"]


def test_it_looks_at_no_outcome():
    frame = frame_of().assign(ae=5)
    a, b = (
        match.feasibility(
            Cohort.from_frame(f, treated="helped", outcomes=["ae"]), on=["age"], outcome="ae"
        ).table
        for f in (frame, frame.assign(ae=np.arange(600)))
    )
    pd.testing.assert_frame_equal(a, b)


def test_the_order_of_rows_does_not_matter():
    frame = frame_of().assign(person=np.arange(600))
    turned = frame.sample(frac=1, random_state=1)
    a, b = (
        match.feasibility(
            Cohort.from_frame(f, treated="helped", person_id="person"),
            on=["age", "alone"],
            exact=["site"],
            outcome="ae",
        ).table
        for f in (frame, turned)
    )
    pd.testing.assert_frame_equal(a, b)


def test_it_leaves_and_is_laid_out():
    frame = frame_of(apart=1.5)
    released = disclosure.release({"f": found_of(frame, outcome="ae", ratio=2)}, "hes")["f"]
    shown = tables.table(released)
    assert "controls" in released.method["verdict"]
    assert "controls" not in shown.caption
    assert shown.caption.startswith("Matching can work in part: there are too few who are alike")
    assert "ratio nearest to 1 that could be told from it" in shown.text.lower()
    exact = found_of(frame).table["persons"]
    rounded = released.table["persons"].dropna()
    assert (rounded % 5 == 0).all()
    # 117 of 120 near enough would say that three were not.
    rest = exact.iloc[0] - exact
    hidden = released.table["persons"].isna()[: len(rest)].to_numpy()
    assert hidden[((rest > 0) & (rest < 8)).to_numpy()].all()


def test_by_weights_nobody_needs_a_control_of_their_own():
    frame = frame_of()
    frame = frame[(frame["helped"] == 1) | (np.arange(len(frame)) % 12 == 1)]
    pairs, weights = found_of(frame), found_of(frame, ratio=None)
    assert "of their own" in pairs.method["verdict"] or "to give everyone" in pairs.method["verdict"]
    assert "of their own" not in weights.method["verdict"]
    assert "to give everyone" not in weights.method["verdict"]
    asked = weights.table["question"]
    assert not asked.str.contains("could each have").any()
    assert asked.str.contains("effective number").any()


def test_bad_input():
    frame = frame_of()
    for ratio in (0, 1.5, "2", np.nan):
        with pytest.raises(ParameterError, match=f"ratio={ratio!r}"):
            found_of(frame, ratio=ratio)
    with pytest.raises(ParameterError, match="caliper=0"):
        found_of(frame, caliper=0)
    with pytest.raises(ParameterError, match="months=-1"):
        found_of(frame, months=-1)
    with pytest.raises(DataError, match="Did you mean 'prior_ae'"):
        found_of(frame, outcome="aee")
    with pytest.raises(DesignError, match="Nobody"):
        found_of(frame.assign(helped=0))
    with pytest.raises(DataError, match="Did you mean 'age'"):
        found_of(frame, on=["agee"])
