"""Nearest-neighbour matching: its rules, what it counts, and what it refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impact import match
from impact.data import Cohort
from impact.errors import DataError, DesignError, ParameterError

RULES = [
    {"distance": distance, "caliper": caliper, "ratio": ratio, "replace": replace, "exact": exact}
    for distance in ("propensity", "mahalanobis")
    for caliper in (None, 0.3)
    for ratio, replace in ((1, False), (2, False), (2, True))
    for exact in ((), ("sex",))
]


def people(n=90, seed=1):
    """Coarse covariates, so that there are many ties."""
    rng = np.random.default_rng(seed)
    age = rng.integers(5, 9, n) * 10
    ltc = rng.integers(0, 3, n)
    helped = rng.random(n) < 1 / (1 + np.exp(-(0.04 * (age - 75) + 0.5 * ltc - 1)))
    return pd.DataFrame(
        {
            "id": [f"p{i:03d}" for i in range(n)],
            "helped": helped.astype(int),
            "age": age,
            "ltc": ltc,
            "sex": rng.choice(["F", "M"], n),
        }
    )


def cohort_of(frame):
    return Cohort.from_frame(frame, treated="helped", person_id="id")


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_matches_keep_every_rule(rule):
    frame = people()
    matched = match.nearest(cohort_of(frame), on=["age", "ltc"], **rule)
    table = matched.table.merge(frame, left_on="person_id", right_on="id")
    assert set(table["person_id"]) == set(frame["id"])
    inside = table[table["weight"] > 0]
    assert inside["subclass"].notna().all()
    assert table.loc[table["weight"] == 0, "subclass"].isna().all()
    sets = inside.groupby("subclass")
    assert (sets["helped"].sum() == 1).all()
    assert sets["helped"].size().between(2, 1 + rule["ratio"]).all()
    controls = inside[inside["helped"] == 0]
    assert not controls.duplicated(["person_id", "subclass"]).any()
    assert rule["replace"] or not controls["person_id"].duplicated().any()
    assert (inside.loc[inside["helped"] == 1, "weight"] == 1).all()
    assert controls["weight"].sum() == pytest.approx(controls["person_id"].nunique())
    if rule["exact"]:
        assert (sets["sex"].nunique() == 1).all()
    if rule["caliper"]:
        gap = controls["distance"] - controls["subclass"].map(
            inside[inside["helped"] == 1].set_index("subclass")["distance"]
        )
        assert gap.abs().max() <= matched.method["caliper_width"]


@pytest.mark.parametrize("rule", RULES[::3], ids=str)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_result_does_not_depend_on_row_order(rule, seed):
    frame = people(60)
    mixed = frame.sample(frac=1, random_state=seed)
    tables = [
        match.nearest(cohort_of(f), on=["age", "ltc"], **rule)
        .table.sort_values(["person_id", "subclass"])
        .reset_index(drop=True)
        for f in (frame, mixed)
    ]
    pd.testing.assert_frame_equal(*tables)


def test_controls_share_their_sets_weight():
    """Two controls of one person weigh half each, then all are scaled to average 1 over those used."""
    frame = pd.DataFrame({"helped": [1, 1, 0, 0, 0], "age": [60, 80, 60, 61, 80], "sex": list("FMFFM")})
    matched = match.nearest(
        Cohort.from_frame(frame, treated="helped"),
        on=["age"],
        distance="mahalanobis",
        exact=["sex"],
        ratio=2,
    )
    assert matched.table["weight"].round(6).tolist() == [1, 1, 0.75, 0.75, 1.5]
    assert matched.table["subclass"].tolist() == [1, 2, 1, 1, 2]


def test_with_replacement_a_control_has_a_row_for_each_set():
    frame = pd.DataFrame({"helped": [1, 1, 0, 0], "age": [60, 61, 60, 90]})
    matched = match.nearest(
        Cohort.from_frame(frame, treated="helped"), on=["age"], distance="mahalanobis", replace=True
    )
    rows = matched.table[matched.table["person_id"] == 2]
    assert rows["subclass"].tolist() == [1, 2]
    assert rows["weight"].tolist() == [0.5, 0.5]


def test_everyone_gets_a_first_control_before_anyone_a_second():
    frame = pd.DataFrame({"helped": [1, 1, 0, 0, 0], "age": [60, 61, 60, 60, 90]})
    matched = match.nearest(
        Cohort.from_frame(frame, treated="helped"), on=["age"], distance="mahalanobis", ratio=2
    )
    assert matched.table["subclass"].fillna(0).tolist() == [1, 2, 1, 2, 1]


def test_mahalanobis_distance_is_the_textbook_one():
    """Pooled covariance within arms with n - 2, all levels of a category, generalised inverse."""
    from impact.match.distances import whitened
    from impact.match.propensity import design

    frame = people(80)
    treated = frame["helped"].to_numpy(bool)
    covariates = design(frame, ["age", "ltc", "sex"])
    x = np.asarray(covariates.values).T
    within = np.vstack([x[arm] - x[arm].mean(axis=0) for arm in (treated, ~treated)])
    inverse = np.linalg.pinv(within.T @ within / (len(x) - 2))
    gaps = x[treated][:, None] - x[~treated]
    expected = np.sqrt(np.einsum("ijk,kl,ijl->ij", gaps, inverse, gaps))
    z = whitened(covariates, treated)
    found = np.sqrt(((z[treated][:, None] - z[~treated]) ** 2).sum(axis=2))
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_left_out_people_are_counted_by_the_rule_that_left_them_out():
    frame = pd.DataFrame(
        {
            "id": range(12),
            "helped": [1] * 5 + [0] * 7,
            "age": [60, 61, 62, 60, 95, 60, 61, 93, 61, 62, 94, 94],
            "area": list("aaabc") + list("aaaccaa"),
        }
    )
    matched = match.nearest(cohort_of(frame), on=["age"], exact=["area"], caliper=0.5)
    counts = matched.counts.set_index(["arm", "rule"])["persons"]
    assert counts["treated"].to_dict() == {
        "matched": 2,
        "no control with the same exact values": 1,
        "no control within the caliper": 1,
        "every near control was taken": 1,
    }
    assert counts["control"].to_dict() == {"matched": 2, "not needed": 5}
    assert "table" not in matched.to_json().split('"method"')[0]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"ratio": 0}, ParameterError, "ratio=0: give the controls"),
        ({"ratio": 1.5}, ParameterError, "ratio=1.5"),
        ({"ratio": True}, ParameterError, "ratio=True"),
        ({"caliper": 0}, ParameterError, "caliper=0"),
        ({"distance": "mahalanobi"}, ParameterError, "Did you mean 'mahalanobis'"),
        ({"on": ["agee"]}, DataError, "no column 'agee'. Did you mean 'age'?"),
        ({"exact": ["sexe"]}, DataError, "exact: the cohort has no column 'sexe'. Did you mean 'sex'?"),
        ({"exact": ["id"]}, DesignError, "Nobody could be matched with exact="),
        ({"caliper": 1e-12, "on": ["noise"]}, DesignError, "Nobody could be matched with caliper="),
    ],
)
def test_bad_arguments_say_what_to_do(arguments, error, message):
    frame = people().assign(noise=np.random.default_rng(1).normal(size=90))
    with pytest.raises(error, match=message):
        match.nearest(cohort_of(frame), **{"on": ["age"], **arguments})


def test_missing_values_are_counted_not_dropped():
    frame = people().astype({"age": float})
    frame.loc[[3, 4], "age"] = np.nan
    frame.loc[5, "sex"] = None
    with pytest.raises(DataError, match="column 'age' is missing for 2 people"):
        match.nearest(cohort_of(frame), on=["age"])
    with pytest.raises(DataError, match="exact: column 'sex' is missing for 1 people"):
        match.nearest(cohort_of(frame), on=["ltc"], exact=["sex"])


def test_one_name_may_stand_without_a_list():
    matched = match.nearest(cohort_of(people()), on="age", exact="sex", distance="mahalanobis")
    assert matched.method["covariates"] == ["age"]
    assert matched.method["exact"] == ["sex"]


def test_registry_holds_the_methods_by_their_names():
    assert match.METHODS["nearest"] is match.nearest
