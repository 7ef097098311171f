"""Nearest neighbours against R: MatchIt 4.7.2 on lalonde, on NHEFS and on the data of its vignette.

Tolerances. Pairs, counts and weights on a score: exact, as the order and the ties of MatchIt are followed to
the letter. On the Mahalanobis distance ties make sets differ, so counts are held, and R's pairs to our rule.
Estimates: 1e-6 relative, as the data are stored with seven digits.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from impact import match
from impact.data import Cohort
from impact.match.distances import measure
from impact.match.people import People
from impact.numbers.regress import glm, ols

ON = ["age", "educ", "race", "married", "nodegree", "re74", "re75"]
CASES = {
    "A06_cov_caliper": ({"caliper": {"score": 0.2, "age": 5, "educ": 1}}, [96, 96]),
    "A15_discard_both": ({"discard": "both"}, [177, 177]),
}


@pytest.fixture(scope="module")
def lalonde(data):
    return pd.read_csv(data / "lalonde.csv")


def pairs_of(data, name):
    rows = pd.read_csv(data / f"{name}_pairs.csv").itertuples(index=False)
    return {row[0]: {x for x in row[1:] if isinstance(x, str)} for row in rows}


@pytest.mark.parametrize("name", CASES)
def test_pairs_and_weights_are_matchits(name, lalonde, data):
    """Calipers on covariates in their own units, and people outside common support left out of both arms."""
    rule, sizes = CASES[name]
    matched = match.nearest(Cohort.from_frame(lalonde, treated="treat"), on=ON, **rule)
    table = matched.table.assign(name=lalonde["id"])
    expected = pairs_of(data, name)
    found = {row: set() for row in expected}
    for _, rows in table[table["subclass"].notna()].groupby("subclass"):
        (treated,) = [x for x in rows["name"] if x in expected]
        found[treated] = set(rows["name"]) - {treated}
    assert found == expected
    units = pd.read_csv(data / f"{name}_units.csv")
    np.testing.assert_allclose(table["weight"], units["weight"], rtol=1e-12)
    counts = matched.counts[matched.counts["rule"] == "matched"]
    assert counts["persons"].tolist() == sizes


def test_caliper_widths_are_matchits(lalonde):
    """Of the score in standard deviations over everyone, of covariates in their own units."""
    matched = match.nearest(
        Cohort.from_frame(lalonde, treated="treat"), on=ON, caliper={"score": 0.2, "age": 5, "educ": 1}
    )
    assert matched.method["caliper_width"] == pytest.approx({"score": 0.058062674408, "age": 5, "educ": 1})


def test_discarded_people_are_counted(lalonde):
    """MatchIt discards 8 treated and 57 controls."""
    matched = match.nearest(Cohort.from_frame(lalonde, treated="treat"), on=ON, discard="both")
    outside = matched.counts[matched.counts["rule"] == "outside common support"]
    assert outside[["arm", "persons"]].to_numpy().tolist() == [["treated", 8], ["control", 57]]


def test_mahalanobis_within_strata_as_in_matchit(lalonde, data):
    """116 pairs within strata of race and marriage. Every choice of R is of somebody nearest by our distance
    among those whom R had left, in our order; it broke seven ties otherwise, which later choices inherit."""
    cohort = Cohort.from_frame(lalonde, treated="treat")
    matched = match.nearest(cohort, on=ON, distance="mahalanobis", exact=["race", "married"])
    assert matched.counts["persons"].tolist() == [116, 0, 0, 69, 116, 313]
    people = People.of(cohort, on=ON, exact=["race", "married"])
    points = measure(people, distance="mahalanobis").points
    place = dict(zip(lalonde["id"], range(len(lalonde)), strict=True))
    free = ~people.treated
    for name, controls in pairs_of(data, "A09b_mahal_exact").items():
        t = place[name]
        near = np.flatnonzero(free & (people.group == people.group[t]))
        assert bool(controls) == bool(len(near))
        for control in controls:
            apart = np.sqrt(((points[near] - points[t]) ** 2).sum(axis=1))
            assert apart[near == place[control]] == pytest.approx(apart.min(), abs=1e-6)
            free[place[control]] = False


def test_nhefs_within_a_caliper(data):
    """392 pairs of quitters and others; means of weight gained, and the ratio of deaths."""
    frame = pd.read_csv(data / "nhefs.csv")
    numbers, kinds = ["age", "smokeintensity", "smokeyrs", "wt71"], ["sex", "race", "education", "exercise"]
    kinds.append("active")
    frame = frame.astype(dict.fromkeys(kinds, str)).assign(**{f"{x}_2": frame[x] ** 2 for x in numbers})
    on = [*kinds, *numbers, *(f"{x}_2" for x in numbers)]
    matched = match.nearest(Cohort.from_frame(frame, treated="qsmk"), on=on, caliper=0.2)
    used = frame.assign(weight=matched.table["weight"]).query("weight > 0")
    means = used.groupby("qsmk")[["wt82_71", "death"]].mean()
    assert used["qsmk"].value_counts().tolist() == [392, 392]
    assert means.loc[1, "wt82_71"] - means.loc[0, "wt82_71"] == pytest.approx(3.48358519, abs=1e-8)
    assert means.loc[1, "death"] / means.loc[0, "death"] == pytest.approx(0.96629213, abs=1e-8)


@pytest.fixture(scope="module")
def vignette(data):
    return pd.read_csv(data / "matchit_vignette_d.csv.gz")


def foretold(vignette, outcome, family, **rule):
    """Outcomes of the treated with and without treatment, by a model with all interactions, weighted."""
    on = [f"X{j}" for j in range(1, 10)]
    table = match.nearest(Cohort.from_frame(vignette, treated="A"), on=on, **rule).table
    weight = table.groupby("person_id")["weight"].sum().to_numpy()
    used = weight > 0
    x, a, w = vignette.loc[used, on].to_numpy().T, vignette.loc[used, "A"].to_numpy(float), weight[used]

    def regressors(a):
        return np.vstack([np.ones_like(a), a, x, a * x])

    y = vignette.loc[used, outcome].to_numpy(float)
    fit = ols(regressors(a), y, w) if family is None else glm(regressors(a), y, family=family, weights=w)
    line = [fit.coef @ regressors(np.full_like(a, value)) for value in (1.0, 0.0)]
    means = [1 / (1 + np.exp(-f)) if family else f for f in line]
    return [np.average(m[a == 1], weights=w[a == 1]) for m in means], int(used.sum())


def test_variable_ratio_is_ming_and_rosenbaums(vignette):
    """2 controls each on average, up to 4: 1,323 people, and the effects that MatchIt's sample gives."""
    rule = {"ratio": 2, "max_ratio": 4}
    (with_, without), n = foretold(vignette, "Y_C", None, **rule)
    assert n == 1323
    assert with_ - without == pytest.approx(2.023653241, rel=1e-6)
    (with_, without), _ = foretold(vignette, "Y_B", "logit", **rule)
    assert np.log(with_ / without) == pytest.approx(0.4509962105, rel=1e-6)
    assert with_ - without == pytest.approx(0.1720372097, rel=1e-6)


@pytest.mark.parametrize(("replace", "ratio"), [(False, 1.588160409), (True, 1.346975616)])
def test_pairs_with_and_without_replacement(vignette, replace, ratio):
    """The ratio of chances; 441 pairs without replacement."""
    (with_, without), n = foretold(vignette, "Y_B", "logit", replace=replace)
    assert with_ / without == pytest.approx(ratio, rel=1e-6)
    assert replace or n == 882
