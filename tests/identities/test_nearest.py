"""Equalities that nearest-neighbour matching must satisfy, whatever its options."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impact import match
from impact.data import Cohort
from impact.errors import DesignError
from impact.match.distances import measure
from impact.match.people import People

OPTIONS = [
    {"order": "closest", "caliper": 0.5},
    {"order": "farthest", "ratio": 2},
    {"order": "random", "seed": 3, "replace": True, "max_uses": 2},
    {"order": "smallest", "anti_exact": ["home"]},
    {"order": "data", "caliper": {"score": 0.5, "age": 10}, "exact": ["sex"]},
    {"ratio": 1.5, "max_ratio": 3, "discard": "both"},
    {"caliper": {"score": -0.1, "ltc": 2}, "std_caliper": True, "replace": True},
    {"estimand": "ATC", "discard": "control", "caliper": 1},
]
DISTANCES = ["propensity", "linear_propensity", "mahalanobis", "robust_mahalanobis"]


def people(n=80, seed=1):
    """Coarse covariates, so that there are many ties."""
    rng = np.random.default_rng(seed)
    age, ltc = rng.integers(5, 9, n) * 10, rng.integers(0, 3, n)
    helped = rng.random(n) < 1 / (1 + np.exp(-(0.04 * (age - 75) + 0.5 * ltc - 1)))
    return pd.DataFrame(
        {
            "id": np.arange(n) * 3,
            "helped": helped.astype(int),
            "age": age,
            "ltc": ltc,
            "sex": rng.choice(["F", "M"], n),
            "home": rng.integers(0, 10, n),
        }
    )


def run(frame, **options):
    cohort = Cohort.from_frame(frame, treated="helped", person_id="id")
    return match.nearest(cohort, on=["age", "ltc"], **options)


def by_id(matched):
    return matched.table.sort_values(["person_id", "subclass"]).reset_index(drop=True)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_neither_rows_nor_names_matter(options, distance, seed):
    """Shuffled rows, and other identifiers in the same order: the same people, sets, counts and ties."""
    frame = people()
    first = run(frame, distance=distance, **options)
    shuffled = run(frame.sample(frac=1, random_state=seed), distance=distance, **options)
    renamed = run(frame.assign(id=[f"{i:06}" for i in frame["id"]]), distance=distance, **options)
    pd.testing.assert_frame_equal(by_id(first), by_id(shuffled))
    same = by_id(renamed).assign(person_id=lambda t: t["person_id"].astype(int))
    pd.testing.assert_frame_equal(by_id(first), same)
    for other in (shuffled, renamed):
        pd.testing.assert_frame_equal(first.counts, other.counts)
        assert first.method["ties"] == other.method["ties"]


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_every_rule_is_kept_and_everyone_is_counted_once(options, distance, seed):
    frame = people(60, seed)
    try:
        matched = run(frame, distance=distance, **options)
    except DesignError:
        return
    table = matched.table.merge(frame, left_on="person_id", right_on="id")
    inside = table[table["weight"] > 0]
    focal = 1 if matched.method["estimand"] == "ATT" else 0
    counts = matched.counts.groupby("arm")["persons"].sum()
    assert counts.to_dict() == {"treated": frame["helped"].sum(), "control": (1 - frame["helped"]).sum()}
    chose, chosen = inside[inside["helped"] == focal], inside[inside["helped"] != focal]
    assert (chose["weight"] == 1).all()
    assert chose["subclass"].is_unique
    pairs = chose.merge(chosen, on="subclass", suffixes=("", "_"))
    assert not pairs.duplicated(["id", "id_"]).any()
    assert chosen["weight"].sum() == pytest.approx(chosen["id"].nunique())
    most = options.get("max_uses", np.inf) if options.get("replace") else 1
    assert chosen["id"].value_counts().max() <= most
    assert (pairs["sex"] == pairs["sex_"]).all() or "exact" not in options
    assert (pairs["home"] != pairs["home_"]).all() or "anti_exact" not in options
    width = matched.method["caliper_width"]
    widths = width if isinstance(width, dict) else {} if width is None else {"score": width}
    for name, w in widths.items():
        column = "distance" if name == "score" else name
        gap = (pairs[column] - pairs[f"{column}_"]).abs()
        assert (gap <= w).all() if w > 0 else (gap > -w).all()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), options=st.sampled_from(OPTIONS))
def test_a_given_matrix_finds_what_points_do(seed, options):
    """Search by blocks and cells equals a search through every pair, where no two distances are equal."""
    rng = np.random.default_rng(seed)
    frame = people(70, seed).assign(age=rng.normal(70, 8, 70), ltc=rng.normal(0, 1, 70))
    cohort = Cohort.from_frame(frame, treated="helped", person_id="id")
    z = measure(People.of(cohort, on=["age", "ltc"]), distance="mahalanobis").points
    t = cohort.treated
    matrix = np.sqrt(((z[t][:, None] - z[~t]) ** 2).sum(axis=2))
    found = []
    for distance in ("mahalanobis", matrix, pd.DataFrame(matrix, frame.loc[t, "id"], frame.loc[~t, "id"])):
        try:
            found.append(run(frame, distance=distance, **options))
        except DesignError:
            found.append(None)
    if any(f is None for f in found):
        assert found == [None] * 3
        return
    for other in found[1:]:
        pd.testing.assert_series_equal(found[0].table["subclass"], other.table["subclass"])
        assert found[0].method["total_distance"] == pytest.approx(other.method["total_distance"])


def test_controls_who_choose_are_treated_who_choose_with_the_arms_renamed():
    """The ATC is the ATT of the other arm; the smallest score of one is the largest of the other."""
    frame = people().assign(age=np.random.default_rng(2).normal(70, 8, 80))
    a = run(frame, estimand="ATC", caliper=0.5)
    b = run(frame.assign(helped=1 - frame["helped"]), caliper=0.5)
    pd.testing.assert_series_equal(a.table["subclass"], b.table["subclass"])
    pd.testing.assert_series_equal(a.table["weight"], b.table["weight"])
    assert a.counts["persons"].tolist() == b.counts["persons"].tolist()
    assert (a.method["estimand"], b.method["estimand"]) == ("ATC", "ATT")


def test_caps_on_reuse_lie_between_none_and_all():
    """A cap of one is matching without replacement; a cap beyond everyone is no cap."""
    frame = people()
    for distance in DISTANCES:
        once = run(frame, distance=distance, replace=True, max_uses=1)
        pd.testing.assert_frame_equal(once.table, run(frame, distance=distance).table)
        assert not once.method["replace"]
        many = run(frame, distance=distance, replace=True, max_uses=1000)
        pd.testing.assert_frame_equal(many.table, run(frame, distance=distance, replace=True).table)


def test_a_seed_decides_the_random_order_and_nothing_else():
    frame = people(200)
    a, b, c = (run(frame, order="random", seed=s, caliper=0.05) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(a.table, b.table)
    assert not a.table.equals(c.table)
    assert run(frame, seed=5).method["seed"] is None


def test_variable_ratio_uses_as_many_controls_as_the_fixed_one():
    """Its mean is the ratio asked for, exactly, where there are controls enough."""
    frame = people(400).assign(age=np.random.default_rng(3).normal(70, 8, 400))
    frame["helped"] = (np.arange(400) % 5 == 0).astype(int)
    for ratio, most in ((2, 4), (2.5, 3), (1.2, 2), (2.99, 3)):
        table = run(frame, ratio=ratio, max_ratio=most).table
        controls = table.dropna(subset="subclass").groupby("subclass")["person_id"].size() - 1
        assert controls.sum() == round(ratio * 80)
        assert controls.between(1, most).all()
