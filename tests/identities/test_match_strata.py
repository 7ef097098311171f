"""After `subclass` and `coarsened_exact` errors are those of comparisons within strata."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from impact import match
from impact.data import Cohort
from impact.errors import DesignError
from impact.numbers.inference import cr1


def frame_of(n=400, seed=5, cells=4):
    rng = np.random.default_rng(seed)
    area = rng.integers(0, cells, n)
    helped = (rng.random(n) < 0.25 + 0.1 * (area % 3)) * 1
    score = 50 + 20 * area + 5 * rng.normal(size=n) + helped * (3 + 2 * area)
    frame = pd.DataFrame({"helped": helped, "area": [f"a{a}" for a in area], "score": score})
    frame["months"] = rng.uniform(3, 12, n)
    frame["visits"] = rng.poisson(np.exp(area - 2) * frame["months"] * rng.gamma(1, 1, n))
    return frame.assign(fell=(rng.random(n) < 0.3 + 0.1 * area) * 1)


def cohort_of(frame):
    return Cohort.from_frame(frame, treated="helped", outcomes=["visits"], exposure="months")


def shares_of(frame, estimand):
    aim = {"ATT": frame[frame["helped"] == 1], "ATC": frame[frame["helped"] == 0], "ATE": frame}[estimand]
    return aim["area"].value_counts(normalize=True).sort_index()


def factor_of(effects):
    count = effects.counts.iloc[0]
    return cr1(count["clusters"], count["persons"], effects.method["parameters"])


@pytest.mark.parametrize("estimand", ["ATT", "ATC", "ATE"])
def test_the_variance_is_that_of_stratified_differences(estimand):
    """sum share^2 (s1^2 / n1 + s0^2 / n0), times CR1's factor: what every book on sampling has."""
    frame = frame_of()
    matched = match.coarsened_exact(cohort_of(frame), on=["area"], estimand=estimand)
    effects = match.mean_difference(matched, outcome="score")
    share = shares_of(frame, estimand)
    by = frame.groupby(["area", "helped"])["score"].agg(["mean", "var", "size"]).unstack()
    expected = (share * (by["mean"][1] - by["mean"][0])).sum()
    within = (share**2 * (by["var"][1] / by["size"][1] + by["var"][0] / by["size"][0])).sum()
    assert effects.estimate[0] == pytest.approx(expected, rel=1e-12)
    assert effects.std_error[0] == pytest.approx(np.sqrt(within * factor_of(effects)), rel=1e-10)
    assert effects.method["inference"] == "CR1 within strata"


def test_the_error_of_a_ratio_of_rates_is_that_of_combined_ratios():
    """Cochran 1977, section 6.11: in each arm the events less rate times time, centred within strata."""
    frame = frame_of()
    effects = match.rate_ratio(match.coarsened_exact(cohort_of(frame), on=["area"]), outcome="visits")
    share, variance, logs = shares_of(frame, "ATT"), 0.0, []
    for _, arm in frame.groupby("helped"):
        mean = arm.groupby("area")[["visits", "months"]].mean().mul(share, axis=0).sum()
        rate = mean["visits"] / mean["months"]
        left = (arm["visits"] - rate * arm["months"]).groupby(arm["area"]).agg(["var", "size"])
        variance += (share**2 * left["var"] / left["size"]).sum() / mean["visits"] ** 2
        logs.append(np.log(rate))
    assert effects.estimate[0] == pytest.approx(logs[1] - logs[0], rel=1e-10)
    assert effects.std_error[0] == pytest.approx(np.sqrt(variance * factor_of(effects)), rel=1e-8)


def test_strata_that_differ_in_level_alone_add_nothing_to_the_error():
    """A constant on each stratum moves neither the difference nor its error."""
    frame = frame_of()
    raised = frame.assign(score=frame["score"] + frame["area"].map({"a0": 0, "a1": 70, "a2": -40, "a3": 9}))
    a, b = (
        match.mean_difference(match.coarsened_exact(cohort_of(f), on=["area"]), outcome="score")
        for f in (frame, raised)
    )
    np.testing.assert_allclose([a.estimate, a.std_error], [b.estimate, b.std_error], rtol=1e-9)


def test_strata_around_one_person_are_matched_sets():
    """Where an arm has one person everywhere, errors are those of matched sets, by set."""
    rng, sets = np.random.default_rng(3), 40
    frame = pd.DataFrame({"area": np.repeat(np.arange(sets), 3), "helped": np.tile([1, 0, 0], sets)})
    frame = frame.assign(score=rng.normal(size=3 * sets) + frame["area"] % 7)
    matched = match.coarsened_exact(Cohort.from_frame(frame, treated="helped"), on=[], exact=["area"])
    by_set = replace(matched, method={**matched.method, "clusters": "matched set"})
    a, b = (match.mean_difference(m, outcome="score") for m in (matched, by_set))
    np.testing.assert_allclose(a.std_error, b.std_error, rtol=1e-12)
    assert a.counts["clusters"][0] == b.counts["clusters"][0] == sets


def test_subclasses_and_several_outcomes_are_one_joint_result():
    """Every outcome has the errors it has alone; who has no value is missing from their cell."""
    frame = frame_of().assign(age=np.random.default_rng(1).normal(size=400))
    frame.loc[::17, "score"] = np.nan
    matched = match.subclass(cohort_of(frame), on=["age", "area"])
    both = match.mean_difference(matched, outcome=["score", "fell"])
    for name, error in zip(["score", "fell"], both.std_error, strict=True):
        alone = match.mean_difference(matched, outcome=name)
        np.testing.assert_allclose(alone.std_error[0], error, rtol=1e-10)


@pytest.mark.parametrize("name", ["poisson", "negative_binomial", "aipw", "mean_difference", "risk"])
def test_the_order_of_rows_moves_nothing(name):
    frame = frame_of(cells=30).rename_axis("person_id").reset_index()
    found = []
    for f in (frame, frame.sample(frac=1, random_state=2)):
        cohort = Cohort.from_frame(
            f, treated="helped", person_id="person_id", outcomes=["visits"], exposure="months"
        )
        outcome = {"mean_difference": "score", "risk": "fell"}.get(name, "visits")
        found.append(match.OUTCOMES[name](match.coarsened_exact(cohort, on=["area"]), outcome=outcome))
    np.testing.assert_allclose(found[0].std_error, found[1].std_error, rtol=1e-7)


def test_what_is_the_same_within_every_arm_of_a_stratum_has_no_error():
    frame = pd.DataFrame(
        {"helped": [1, 1, 0, 0] * 2, "area": ["a"] * 4 + ["b"] * 4, "score": [1.0] * 4 + [2.0] * 4}
    )
    matched = match.coarsened_exact(Cohort.from_frame(frame, treated="helped"), on=["area"])
    with pytest.raises(DesignError, match="outcome='score': within each arm of every stratum"):
        match.mean_difference(matched, outcome="score")
