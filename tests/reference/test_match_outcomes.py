"""Outcomes of matched and weighted samples against R and statsmodels.

Tolerances. lalonde, R 4.2.2 with sandwich, on the sample of MatchIt 4.7.2, which is read: 1e-8 relative,
which rejects HC0 (the factor is 1.002 or more). What If and MatchIt's vignette, matched here: 1e-7, the
digits that are known. Weights by logit: 1e-6 relative, as R's glm stops early.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.stats import binomtest

from impact import match
from impact.data import Cohort
from impact.match import OUTCOMES
from impact.match.negative_binomial import negative_binomial
from impact.numbers.regress import glm
from impact.results import Matched, Weighting

ON = ["age", "educ", "race", "married", "nodegree", "re74", "re75"]
# lm(re78 ~ treat, weights) and the mean over the treated of lm(re78 ~ treat * (covariates), weights), each
# with vcovCL(cluster = subclass, type = "HC1"): estimate, error, estimate, error.
EARNINGS = {
    "A02_nn_logit": (894.3674802703, 705.2297640616, 1121.1772304379, 752.4192804998),
    "A05b_nn_cal01": (1835.4076824324, 1026.5564119933, 1709.3674758749, 1042.6194616936),
    "A07_nn_2to1": (220.2886406757, 661.1910098767, 1425.1791782253, 732.2175345703),
    "A12b_full_probit": (1855.0102008853, 760.4827588266, 1976.6498180313, 704.3221433684),
    "A13b_cem_cut": (819.6920386876, 565.1341668764, 676.86786243, 600.8826824892),
    "A14_subclass6": (1359.4875330306, 701.4335060634, 1723.8596834623, 567.5183290222),
}


@pytest.fixture(scope="module")
def lalonde(data):
    return Cohort.from_frame(pd.read_csv(data / "lalonde.csv"), treated="treat", outcomes=["re78"])


def sample_of(cohort, weight, subclass=None, weighting=None, **method):
    """A sample with these weights and sets."""
    none = pd.array([pd.NA] * len(cohort), dtype="Int64")
    table = pd.DataFrame(
        {"person_id": cohort.person_id, "weight": weight, "subclass": none, "distance": np.nan}
    )
    if subclass is not None:
        table["subclass"] = subclass.astype("Int64")
    clusters = "person" if subclass is None else "matched set"
    said = {"estimator": "read", "estimand": "ATT", "replace": False, "clusters": clusters, "covariates": ON}
    return Matched(table, cohort, {**said, "exact": [], **method}, pd.DataFrame(), weighting)


@pytest.mark.parametrize("name", EARNINGS)
def test_difference_in_means_and_g_computation_are_lms(name, lalonde, data):
    units = pd.read_csv(data / f"{name}_units.csv")
    matched = sample_of(lalonde, units["weight"], units["subclass"])
    plain = match.mean_difference(matched, outcome="re78")
    adjusted = match.mean_difference(matched, outcome="re78", adjust=ON)
    found = [plain.estimate[0], plain.std_error[0], adjusted.estimate[0], adjusted.std_error[0]]
    np.testing.assert_allclose(found, EARNINGS[name], rtol=1e-8)


def test_errors_count_that_weights_were_estimated(lalonde):
    """WeightIt 1.5.1, logit ATT: M-estimation 798.15463, HC0 824.05171; here with CR1's n/(n - 2)."""
    d, frame = lalonde.treated.astype(float), pd.get_dummies(lalonde.table[ON], dtype=float)
    x = np.vstack([np.ones(len(d)), frame.drop(columns="race_black").to_numpy().T])
    fit = glm(x, d, family="logit", weights=np.ones(len(d)))
    weight = np.where(d == 1, 1.0, fit.mean / (1 - fit.mean))
    weighting = Weighting((x * weight * (1 - d)).T, (x * (d - fit.mean)).T @ fit.bread)
    factor = np.sqrt(len(d) / (len(d) - 2))
    for known, error in ((None, 824.05171), (weighting, 798.15463)):
        effects = match.mean_difference(sample_of(lalonde, weight, weighting=known), outcome="re78")
        assert effects.estimate[0] == pytest.approx(1214.07122, abs=1e-4)
        assert effects.std_error[0] == pytest.approx(factor * error, rel=1e-6)


@pytest.fixture(scope="module")
def vignette(data):
    frame = pd.read_csv(data / "matchit_vignette_d.csv.gz")
    return Cohort.from_frame(frame, treated="A", outcomes=["Y_B"])


@pytest.mark.parametrize(("replace", "expected"), [(False, 1.588160409), (True, 1.346975616)])
def test_risk_ratio_by_g_computation_is_the_vignettes(vignette, replace, expected):
    """glm(Y_B ~ A * (X1 + ... + X9), quasibinomial, weights), averaged over the treated."""
    on = [f"X{i}" for i in range(1, 10)]
    matched = match.nearest(vignette, on=on, replace=replace)
    effects = match.risk(matched, outcome="Y_B", adjust=on)
    assert np.exp(effects.estimate[0]) == pytest.approx(expected, abs=2e-7)


def test_variable_ratio_is_the_vignettes(vignette):
    """MatchIt: ratio = 2, max.controls = 4; 1,323 people. R's errors of risks have the factor G/(G - 1) only,
    those of Y_C that of CR1; Y_C is kept to seven digits."""
    on = [f"X{i}" for i in range(1, 10)]
    matched = match.nearest(vignette, on=on, ratio=2, max_ratio=4)
    effects = match.risk(matched, outcome="Y_B", adjust=on)
    assert effects.counts["persons"][0] == 1323
    factor = np.sqrt((1323 - 1) / (1323 - 20))
    assert effects.estimate[0] == pytest.approx(0.4509962105, abs=1e-8)
    assert effects.std_error[0] == pytest.approx(0.0730723784 * factor, rel=1e-6)
    assert effects.estimate[1] / 100 == pytest.approx(0.1720372097, abs=1e-8)
    assert effects.std_error[1] / 100 == pytest.approx(0.0269280037 * factor, rel=1e-6)
    score = match.mean_difference(matched, outcome="Y_C", adjust=on)
    assert score.estimate[0] == pytest.approx(2.023653241, abs=1e-6)
    assert score.std_error[0] == pytest.approx(0.3034160684, rel=1e-6)


@pytest.fixture(scope="module")
def smokers(data):
    """What If, chapter 12: quitting smoking and weight gain, matched within a caliper of 0.2."""
    frame = pd.read_csv(data / "nhefs.csv")
    numbers = ["age", "smokeintensity", "smokeyrs", "wt71"]
    kinds = ["sex", "race", "education", "exercise", "active"]
    frame = frame.assign(**{f"{v}2": frame[v] ** 2 for v in numbers}).astype(dict.fromkeys(kinds, str))
    on = [*kinds, *numbers, *[f"{v}2" for v in numbers]]
    return match.nearest(Cohort.from_frame(frame, treated="qsmk"), on=on, caliper=0.2)


def test_weight_gain_of_who_quits(smokers):
    effects = match.mean_difference(smokers, outcome="wt82_71")
    assert effects.estimate[0] == pytest.approx(3.48358519, abs=1e-8)
    assert effects.std_error[0] == pytest.approx(0.54094211, abs=1e-8)


def test_deaths_of_who_quits_and_mcnemar(smokers):
    """R: mcnemar.test with continuity correction, and binom.test in closed form."""
    test = match.mcnemar(smokers, outcome="death")
    assert test.counts[["treated_only", "control_only", "events"]].to_numpy().tolist() == [[66, 69, 135]]
    assert test.p_value == pytest.approx(0.86333329, abs=1e-8)
    exact = match.mcnemar(smokers, outcome="death", exact=True)
    assert exact.p_value == pytest.approx(binomtest(66, 135).pvalue, rel=1e-10)
    effects = match.risk(smokers, outcome="death")
    assert np.exp(effects.estimate[0]) == pytest.approx(0.96629213, abs=1e-8)


def test_the_registry_gives_the_marginal_and_the_conditional_ratio(data):
    """R: glm with offset, clustered by set, and glm with set dummies: two quantities, by their names."""
    frame = pd.read_csv(data / "matched_poisson.csv")
    cohort = Cohort.from_frame(frame, treated="A", outcomes=["cnt"], exposure="pt")
    matched = sample_of(cohort, frame["weights"].astype(float), frame["subclass"])
    poisson, conditional = (OUTCOMES[n](matched, outcome="cnt") for n in ("poisson", "conditional_poisson"))
    assert poisson.estimate[0] == pytest.approx(0.9265079745, rel=1e-9)
    assert poisson.std_error[0] == pytest.approx(0.1291128291, rel=1e-9)
    assert conditional.estimate[0] == pytest.approx(1.095094055, abs=1e-9)
    assert conditional.std_error[0] == pytest.approx(0.169, abs=5e-4)


@pytest.fixture(scope="module")
def sets():
    """200 pairs with over-dispersed counts, a covariate and unequal time at risk."""
    rng = np.random.default_rng(8)
    frame = pd.DataFrame({"A": np.tile([1, 0], 200), "subclass": np.repeat(np.arange(200), 2) + 1})
    frame = frame.assign(sex=rng.integers(0, 3, 400), pt=rng.uniform(2, 12, 400))
    need = rng.gamma(0.6, 1, 200)[frame["subclass"] - 1] * rng.gamma(2, 0.5, 400)
    frame["cnt"] = rng.poisson(need * frame["pt"] * np.exp(-0.3 * frame["A"] + 0.2 * frame["sex"]) * 0.4)
    cohort = Cohort.from_frame(frame, treated="A", outcomes=["cnt"], exposure="pt")
    return sample_of(cohort, np.ones(400), frame["subclass"])


def test_negative_binomial_is_statsmodels(sets):
    """Coefficients and dispersion of NegativeBinomial (NB2); errors of its score and expected information."""
    frame = sets.cohort.people
    x = sm.add_constant(frame[["A", "sex"]].astype(float))
    fit = sm.NegativeBinomial(frame["cnt"], x, exposure=frame["pt"]).fit(
        disp=0, method="newton", maxiter=200, tol=1e-14
    )
    effects = match.rate_ratio(sets, outcome="cnt", model="negative_binomial", adjust=["sex"])
    assert effects.estimate[0] == pytest.approx(fit.params["A"], rel=1e-6)
    assert effects.method["dispersion"]["cnt"] == pytest.approx(fit.params["alpha"], rel=1e-6)
    mean, spread = fit.predict(), 1 + fit.params["alpha"] * fit.predict()
    bread = np.linalg.inv((x.T * np.asarray(mean / spread)) @ x)
    score = x.mul((frame["cnt"] - mean) / spread, axis=0).groupby(frame["subclass"]).sum().to_numpy()
    factor = 200 / 199 * 399 / 397
    robust = np.sqrt(np.diag(bread @ score.T @ score @ bread) * factor)
    assert effects.std_error[0] == pytest.approx(robust[1], rel=1e-5)


def test_negative_binomial_is_poisson_where_counts_do_not_vary_more():
    y, x = np.array([2.0, 3, 2, 3, 4, 4, 3, 4]), np.vstack([np.ones(8), np.repeat([0.0, 1], 4)])
    fit, dispersion = negative_binomial(x, y, weights=np.ones(8), offset=np.zeros(8))
    assert dispersion == 0
    np.testing.assert_allclose(np.exp(fit.coef[1]), 15 / 10)


def test_hurdle_is_two_glms(sets):
    """Risk of any and events of those with any, by statsmodels; derivatives of the whole by differences."""
    frame = sets.cohort.people
    x = sm.add_constant(frame[["A", "sex"]].astype(float).assign(log=np.log(frame["pt"])))
    some = frame["cnt"] > 0
    chance = sm.GLM(some * 1.0, x, family=sm.families.Binomial()).fit(tol=1e-14)
    amount = sm.GLM(frame["cnt"][some], x[some], family=sm.families.Poisson()).fit(tol=1e-14)
    mine = x[frame["A"] == 1]

    def scales(b):
        (m1, a1), (m0, a0) = (
            (np.sum(p * np.exp(z @ b[4:])), p.sum())
            for z in (mine, mine.assign(A=0.0))
            for p in [1 / (1 + np.exp(-(z @ b[:4])))]
        )
        time = frame.loc[frame["A"] == 1, "pt"].sum()
        any_, more = np.log(a1 / a0), 100 * (a1 - a0) / len(mine)
        both, gap = np.log(m1 / m0), 1000 * (m1 - m0) / time
        return np.array([any_, more, both - any_, both, gap, m0 - m1])

    b = np.concatenate([chance.params, amount.params])
    effects = match.hurdle(sets, outcome="cnt", adjust=["sex"])
    np.testing.assert_allclose(effects.estimate, scales(b), rtol=1e-7)
    jacobian = np.array([(scales(b + 1e-6 * e) - scales(b - 1e-6 * e)) / 2e-6 for e in np.eye(8)])
    left = [chance.resid_response, (frame["cnt"] - np.exp(x @ amount.params)) * some]
    spread = [chance.cov_params(), amount.cov_params()]
    influence = (
        np.hstack([x.mul(r, axis=0) @ v.to_numpy() for r, v in zip(left, spread, strict=True)]) @ jacobian
    )
    sums = pd.DataFrame(influence).groupby(frame["subclass"]).sum().to_numpy()
    v = sums.T @ sums * 200 / 199 * 399 / (400 - 8)
    np.testing.assert_allclose(effects.vcov, v, rtol=1e-5)
