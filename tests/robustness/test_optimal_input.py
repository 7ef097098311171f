"""What optimal and full matching refuse, and what they do where little or nothing can be matched."""

from __future__ import annotations

import numpy as np
import pytest

from impact import match
from impact.data import Cohort
from impact.errors import DataError, DesignError, ParameterError
from impact.match import limited
from impact.match.cover import sets_on_a_line
from impact.match.limited import Sizes

METHODS = [match.optimal, match.full]


@pytest.fixture
def cohort(sixty):
    return lambda **columns: Cohort.from_frame(sixty(**columns), treated="helped")


def left_out(matched):
    counts = matched.counts[matched.counts["persons"] > 0]
    return {(row.arm, row.rule): row.persons for row in counts.itertuples()}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"caliper": 0}, ParameterError, "caliper=0"),
        ({"caliper": np.nan}, ParameterError, "caliper=nan"),
        ({"caliper": "0.2"}, ParameterError, "caliper='0.2'"),
        ({"distance": "mahalonobis"}, ParameterError, "distance='mahalonobis'"),
        ({"distance": "prognostic"}, ParameterError, "prognosis=None"),
        ({"link": "logistic"}, ParameterError, "link='logistic'"),
        ({"missing": "drop"}, ParameterError, "missing='drop'"),
        ({"estimand": "ATX"}, ParameterError, "estimand='ATX'"),
        ({"estimand": "ATO"}, DesignError, "use inverse_probability"),
        ({"on": []}, ParameterError, "on=[]"),
        ({"on": ["aeg"]}, DataError, "'aeg'"),
        ({"exact": ["arae"]}, DataError, "'arae'"),
    ],
)
def test_arguments_that_make_no_sense(method, arguments, error, says, cohort):
    with pytest.raises(error) as refused:
        method(cohort(), **{"on": ["age"], **arguments})
    assert says in str(refused.value)


@pytest.mark.parametrize("estimand", ["ATC", "ATE"])
def test_optimal_names_the_method_that_has_the_estimand(estimand, cohort):
    with pytest.raises(DesignError, match="use full"):
        match.optimal(cohort(), on=["age"], estimand=estimand)


@pytest.mark.parametrize("ratio", [0, -1, 1.5, True, "2", None, np.nan])
def test_ratio_is_a_whole_number(ratio, cohort):
    with pytest.raises(ParameterError, match="ratio="):
        match.optimal(cohort(), on=["age"], ratio=ratio)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"caliper": {"age": 0}}, ParameterError, "caliper=0 of 'age'"),
        ({"caliper": {"aeg": 5}}, DataError, "'aeg'"),
        ({"caliper": {"area": 5}}, DataError, "column 'area' does not hold numbers"),
        ({"caliper": {"age": 5}, "std_caliper": ["house"]}, ParameterError, "no caliper on 'house'"),
    ],
)
def test_calipers_of_optimal(cohort, arguments, error, says):
    with pytest.raises(error) as refused:
        match.optimal(cohort(), on=["age"], **arguments)
    assert says in str(refused.value)


def test_full_needs_a_score(cohort):
    with pytest.raises(ParameterError, match="caliper=-1"):
        match.full(cohort(), on=["age"], caliper=-1)
    with pytest.raises(ParameterError, match="distance='mahalanobis'"):
        match.full(cohort(), on=["age"], distance="mahalanobis")
    with pytest.raises(ParameterError, match="distance="):
        match.full(cohort(), on=["age"], distance=np.ones((20, 40)))


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"min_controls": 0}, ParameterError, "min_controls=0: give a whole number"),
        ({"max_controls": 2.5}, ParameterError, "max_controls=2.5"),
        ({"max_controls": "2"}, ParameterError, "max_controls='2'"),
        ({"max_controls": np.nan}, ParameterError, "max_controls=nan"),
        ({"max_controls": True}, ParameterError, "max_controls=True"),
        ({"min_controls": 3, "max_controls": 2}, ParameterError, "cannot be above max_controls=2"),
        ({"max_controls": 1 / 3, "min_controls": 1 / 2}, ParameterError, "cannot be above"),
        ({"min_controls": 3}, DesignError, "min_controls=3: there are too few people for it in 1 of 1"),
        ({"max_controls": 1 / 2}, DesignError, "max_controls=1/2: there are too few people for it in 1 of 1"),
        ({"anti_exact": ["house"]}, DesignError, "use optimal or nearest"),
    ],
)
def test_limits_of_full(cohort, arguments, error, says):
    with pytest.raises(error) as refused:
        match.full(cohort(), on=["age"], **arguments)
    assert says in str(refused.value)


def test_limits_of_full_that_the_caliper_does_not_allow():
    """Everybody is within reach of somebody, but one supported person has a single control within 5.5."""
    age, helped = np.array([50.0, 51, 52, 57, 58, 62]), np.array([False, True, False, False, True, False])
    everyone, two = np.zeros(6, int), Sizes.of(2, 2)
    assert (sets_on_a_line(age, helped, everyone, 5.5, sizes=two)[0] >= 0).all()
    with pytest.raises(DesignError, match="further away"):
        sets_on_a_line(np.where(age == 62, 46, age), helped, everyone, 5.5, sizes=two)


def test_limits_and_a_caliper_that_both_bind(monkeypatch):
    """Of four controls near 0 two have a place there, and only the one at 1.5 can have one at 6."""
    place, helped = np.array([0, 6, 10, 1, 1.2, 1.4, 1.5, 11]), np.arange(8) < 3
    ask = place, helped, np.zeros(8, int), 4.5
    sets, total = sets_on_a_line(*ask, sizes=Sizes.of(None, 2))
    assert sets[5] == -2
    assert (np.delete(sets, 5) >= 0).all()
    assert total == pytest.approx(1 + 1.2 + 4.5 + 1)
    monkeypatch.setattr(limited, "_SOLVED", 5)
    with pytest.raises(DesignError, match="Match exactly on more columns"):
        sets_on_a_line(*ask, sizes=Sizes.of(None, 2))


def test_columns_that_must_differ_must_be_there(cohort):
    with pytest.raises(DataError, match="anti_exact"):
        match.optimal(cohort(), on=["age"], anti_exact=["hous"])


@pytest.mark.parametrize("method", METHODS)
def test_one_empty_arm_is_refused(method, cohort):
    for arm in (0, 1):
        with pytest.raises(DesignError):
            method(cohort(helped=np.full(60, arm)), on=["age"])


@pytest.mark.parametrize("method", METHODS)
def test_nobody_to_match(method, cohort):
    apart = cohort(area=np.repeat(["a", "b"], [20, 40]))
    with pytest.raises(DesignError, match="Nobody could be matched"):
        method(apart, on=["age"], exact=["area"])


def test_a_matrix_without_a_finite_entry_matches_nobody(cohort):
    with pytest.raises(DesignError, match="Nobody could be matched"):
        match.optimal(cohort(), on=["age"], distance=np.full((20, 40), np.inf))


def test_who_cannot_be_matched_is_left_out_alone(cohort):
    """One in a cell of their own, one whose neighbours all share the house, one whom the matrix shuts out."""
    area = np.where(np.arange(60) == 0, "c", "a")
    found = match.optimal(cohort(area=area), on=["age"], exact=["area"])
    assert left_out(found)["treated", "no control with the same exact values"] == 1
    assert left_out(found)["treated", "matched"] == 19
    area = np.where(np.isin(np.arange(60), [1, 20, 21]), "d", "a")
    house = np.where(np.isin(np.arange(60), [1, 20, 21]), 99, np.arange(60))
    found = match.optimal(cohort(area=area, house=house), on=["age"], exact=["area"], anti_exact=["house"])
    assert left_out(found)["treated", "no control who differs where they must"] == 1
    assert left_out(found)["treated", "matched"] == 19
    matrix = np.ones((20, 40))
    matrix[2] = np.inf
    found = match.optimal(cohort(), on=["age"], distance=matrix)
    assert left_out(found)["treated", "no control at a finite distance"] == 1
    assert left_out(found)["treated", "matched"] == 19


def test_more_supported_than_controls(cohort):
    """As many as there are controls are matched at the least distance; with a ratio all get one first."""
    few = cohort(helped=np.repeat([1, 0], [40, 20]))
    found = match.optimal(few, on=["age"])
    assert left_out(found) == {
        ("treated", "matched"): 20,
        ("treated", "every near control was taken"): 20,
        ("control", "matched"): 20,
    }
    found = match.optimal(cohort(), on=["age"], ratio=3)
    assert left_out(found) == {("treated", "matched"): 20, ("control", "matched"): 40}
    sets = found.table[found.table["subclass"].notna()].groupby("subclass").size()
    assert sets.value_counts().to_dict() == {3: 20}


def test_full_leaves_out_who_is_out_of_reach(sixty, cohort):
    far = sixty(age=np.where(np.arange(60) == 0, 500.0, sixty()["age"]))
    found = match.full(Cohort.from_frame(far, treated="helped"), on=["age"], link="penalised", caliper=0.5)
    assert left_out(found)["treated", "no control within the caliper"] >= 1
    rest = found.table[found.table["weight"] > 0]
    assert rest["subclass"].notna().all()
    area = np.where(np.arange(60) == 59, "c", "a")
    found = match.full(cohort(area=area), on=["age"], exact=["area"])
    assert left_out(found)["control", "no supported person with the same exact values"] == 1


@pytest.mark.parametrize("method", METHODS)
def test_people_who_are_all_alike(method, cohort):
    """No distance at all: every set is as good as another, and the sets are alike in size."""
    matrix = {} if method is match.full else {"distance": np.zeros((20, 40))}
    sex = np.tile(["f", "m"], 30)
    found = method(cohort(sex=sex), on=["sex"], exact=["sex"], **matrix)
    assert found.method["total_distance"] == 0
    sizes = found.table[found.table["subclass"].notna()].groupby("subclass").size()
    assert sizes.max() - sizes.min() == 0
    assert len(sizes) == 20


def test_missing_covariates_are_a_choice(sixty, cohort):
    holes = sixty()["age"].where(np.arange(60) % 9 > 0)
    for method in METHODS:
        with pytest.raises(DataError, match="missing"):
            method(cohort(age=holes), on=["age"])
        found = method(cohort(age=holes), on=["age"], missing="indicator")
        assert found.method["filled"] == {"age": 7}
