"""Strata and weights against R: MatchIt 4.7.2 and WeightIt 1.5.1 on lalonde, and NHEFS as in What If.

Tolerances. Strata, counts and their weights: exact (1e-12), with R's scores within 1e-7. Inverse probability
weights: 1e-7 relative for estimates, effective sizes and errors, since R's glm stops at a relative change of
the deviance of 1e-8; that rejects any small-sample factor (614/613 is 1.0016). Entropy balancing: R stops
early, so its effective size holds to 2e-6 and its effect to 0.02; the exact effect, 1273.261814, is that of
its regression on all covariates, which corrects for what is left of the differences.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from impact import match
from impact.data import Cohort
from impact.match.coarsened_exact import coarsened_exact
from impact.match.entropy_balance import entropy_balance
from impact.match.inverse_probability import inverse_probability
from impact.match.subclass import subclass

ON = ["age", "educ", "race", "married", "nodegree", "re74", "re75"]
CUTS = {"age": [20, 30, 40], "educ": [8.5, 11.5, 12.5], "re74": [1, 5000, 10000]}
STRATA = {
    "A10_exact": (coarsened_exact, {"on": [], "exact": ["race", "married", "nodegree"]}),
    "A13_cem_default": (coarsened_exact, {"on": ON}),
    "A13b_cem_cut": (coarsened_exact, {"on": ["age", "educ", "race", "re74"], "cuts": CUTS}),
    "A14_subclass6": (subclass, {"on": ON, "subclasses": 6}),
}
# Treated, controls, effective controls, difference in means, largest standardised difference.
SIZES = {
    "A10_exact": (185, 429, 111.5254248446, 1309.8972100031, 0.0),
    "A13_cem_default": (65, 75, 41.2898472039, 1070.9073264274, 0.0493),
    "A13b_cem_cut": (154, 159, 36.6084717692, 819.6920386876, 0.1187),
    "A14_subclass6": (185, 429, 66.4855076892, 1359.4875330306, None),
}
# Effect, error by M-estimation and with known weights, effective controls and treated.
LALONDE = {
    "ATT": (1214.07122, 798.15463, 824.05171, 99.81539, 185),
    "ATE": (224.67631, 876.19319, 909.47767, 329.00776, 58.32666),
    "ATO": (1242.20063, 738.74904, 775.09730, 166.10143, 145.63595),
}
NHEFS = {
    "ATE": (3.44053543, 0.48707261, 0.52549355),
    "ATT": (3.33625791, 0.49095912, 0.51549108),
    "ATO": (3.46114856, 0.46750043, None),
    "ATM": (3.40042075, 0.48490329, None),
}


@pytest.fixture(scope="module")
def lalonde(data):
    return pd.read_csv(data / "lalonde.csv")


@pytest.fixture(scope="module")
def cohort(lalonde):
    return Cohort.from_frame(lalonde, treated="treat")


@pytest.fixture(scope="module")
def nhefs(data):
    """Quitting smoking and weight gained: five factors, four numbers and their squares."""
    frame = pd.read_csv(data / "nhefs.csv")
    factors, numbers = ["sex", "race", "education", "exercise", "active"], []
    frame[factors] = frame[factors].astype(str)
    for name in ("age", "smokeintensity", "smokeyrs", "wt71"):
        frame[f"{name}_squared"] = frame[name] ** 2
        numbers += [name, f"{name}_squared"]
    return Cohort.from_frame(frame, treated="qsmk"), [*factors, *numbers]


def means_compared(matched, outcome, influence=None):
    """Difference in weighted means, its error by M-estimation and with known weights, sizes by arm."""
    y = matched.cohort.table[outcome].to_numpy(float)
    w, treated = matched.table["weight"].to_numpy(), matched.cohort.treated
    estimate, by_weight, sizes = 0.0, np.zeros(len(y)), []
    for arm, sign in ((~treated, -1), (treated, 1)):
        mean = w[arm] @ y[arm] / w[arm].sum()
        estimate += sign * mean
        by_weight[arm] = sign * (y[arm] - mean) / w[arm].sum()
        sizes.append(w[arm].sum() ** 2 / (w[arm] @ w[arm]))
    known = by_weight * w
    whole = known
    if matched.weighting is not None:
        part = matched.weighting.influence if influence is None else influence
        whole = known + part @ (matched.weighting.gradient.T @ by_weight)
    return estimate, np.sqrt(whole @ whole), np.sqrt(known @ known), *sizes


@pytest.fixture(scope="module", params=STRATA)
def strata(request, cohort):
    method, arguments = STRATA[request.param]
    return request.param, method(cohort, **arguments)


def test_strata_and_weights_are_matchits(strata, lalonde, data):
    """The same people share a stratum, with the same weights."""
    name, matched = strata
    units = pd.read_csv(data / f"{name}_units.csv")
    assert units["id"].tolist() == lalonde["id"].tolist()
    np.testing.assert_allclose(matched.table["weight"], units["weight"], rtol=1e-12)
    pairs = pd.DataFrame({"ours": matched.table["subclass"].fillna(0), "theirs": units["subclass"].fillna(0)})
    pairs = pairs.drop_duplicates()
    assert pairs["ours"].is_unique
    assert pairs["theirs"].is_unique


def test_sizes_balance_and_means_are_matchits(strata):
    """Persons, effective controls, the difference in means and the largest standardised difference."""
    name, matched = strata
    n_treated, n_control, ess, effect, largest = SIZES[name]
    found = match.balance(matched)
    counts = found.counts.query("sample == 'after'").set_index("arm")
    assert counts["persons"].to_dict() == {"treated": n_treated, "control": n_control}
    assert counts.loc["control", "ess"] == pytest.approx(ess, abs=1e-8)
    assert means_compared(matched, "re78")[0] == pytest.approx(effect, rel=1e-11)
    if largest is not None:
        assert found.table.query("sample == 'after'")["smd"].abs().max() == pytest.approx(largest, abs=5e-5)
    of_arm = matched.counts.groupby("arm")["persons"].sum()
    assert of_arm.to_dict() == {"treated": 185, "control": 429}
    kept = matched.counts.query("rule == 'matched'").set_index("arm")["persons"]
    assert kept.to_dict() == counts["persons"].to_dict()


@pytest.mark.parametrize("estimand", LALONDE)
def test_inverse_probability_is_weightit(estimand, cohort):
    """R: lm_weightit(re78 ~ treat) after weightit(method = "glm"), errors by M-estimation and HC0."""
    found = means_compared(inverse_probability(cohort, on=ON, estimand=estimand), "re78")
    np.testing.assert_allclose(found, LALONDE[estimand], rtol=1e-7)


@pytest.mark.parametrize("estimand", NHEFS)
def test_inverse_probability_is_what_if(estimand, nhefs):
    """Hernan and Robins, chapter 12: 3.4 (2.4 to 4.5) for everyone."""
    people, on = nhefs
    found = means_compared(inverse_probability(people, on=on, estimand=estimand), "wt82_71")
    for ours, theirs in zip(found, NHEFS[estimand], strict=False):
        assert theirs is None or ours == pytest.approx(theirs, rel=3e-8)


def test_weights_are_those_of_what_if(nhefs):
    """Plain and stabilised: average, least and largest; stabilising moves neither estimate nor error."""
    people, on = nhefs
    plain = inverse_probability(people, on=on, estimand="ATE")
    stable = inverse_probability(people, on=on, estimand="ATE", stabilise=True)
    for matched, expected in ((plain, (1.9963, 1.0537, 16.7001)), (stable, (0.99884, 0.3312, 4.2977))):
        w = matched.table["weight"]
        np.testing.assert_allclose((w.mean(), w.min(), w.max()), expected, atol=5e-5)
        assert matched.method["largest_weight"] == w.max()
    np.testing.assert_allclose(
        means_compared(plain, "wt82_71"), means_compared(stable, "wt82_71"), rtol=1e-10
    )


def test_entropy_balance_is_weightit(cohort):
    """R: method = "ebal"; the effect by Newton's method is that of its regression on all covariates."""
    found = means_compared(entropy_balance(cohort, on=ON), "re78")
    assert found[0] == pytest.approx(1273.261814, abs=1e-5)
    np.testing.assert_allclose(found[0], 1273.24329, atol=0.02)
    np.testing.assert_allclose((found[2], *found[3:]), (824.38736, 98.45779, 185), rtol=2e-6)


def test_entropy_balance_counts_the_error_of_the_averages_aimed_at(cohort):
    """Covariate balancing propensity scores are the same weights (R: 1273.22247, 789.75493).

    There R counts the error of the averages of the treated; for entropy balancing it takes them as known and
    gives 780.87948. Both follow from these weights, and the first is theirs.
    """
    matched = entropy_balance(cohort, on=ON)
    assert means_compared(matched, "re78")[1] == pytest.approx(789.75493, abs=0.02)
    aimed_at = cohort.treated[:, None]
    as_known = np.where(aimed_at, 0.0, matched.weighting.influence)
    assert means_compared(matched, "re78", as_known)[1] == pytest.approx(780.87948, abs=0.02)
