"""Errors for few clusters and permutation p-values against R and scipy; each case names its convention."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import permutation_test

from impact import did
from impact.data.panel import Panel
from impact.did.bias_reduced import bias_reduced
from impact.did.leave_one_out import leave_one_out
from impact.did.randomisation import randomisation_test
from impact.numbers.few_clusters import of_people
from impact.numbers.inference import cr1
from impact.numbers.within import fixed_effects

# R clubSandwich 0.5.8 on lm(l_homicide ~ post + factor(state) + factor(year)), 550 rows, clusters: 50 states.
# CR1 is G/(G-1); CR1S is G(N-1)/((G-1)(N-K)) with K = 61 coefficients and N = 550; CR2 with the identity as
# working covariance, and Satterthwaite's degrees of freedom. (CR3 is singular with the dummies in.)
CR0, CR1, CR1S, CR2, DF = 0.05769566132, 0.05828141909, 0.06175354029, 0.05908576218, 37.8875
# R fixest 0.14.2, cluster state: nested state effects are not counted in K.
FIXEST = 0.05887421808


@pytest.fixture(scope="module")
def castle(data) -> pd.DataFrame:
    return pd.read_csv(data / "castle.csv").sort_values(["start", "state", "year"])


@pytest.fixture(scope="module")
def regression(castle):
    y = castle["l_homicide"].to_numpy().reshape(50, 11)
    post = castle["post"].to_numpy().reshape(50, 11)
    groups, edges = np.unique(post, axis=0, return_inverse=True)
    order = np.argsort(edges.ravel(), kind="stable")
    periods = np.broadcast_to(np.eye(11)[:, 1:], (len(groups), 11, 10))
    design = np.concatenate([groups[..., None], periods], 2)
    edges = np.append(0, np.cumsum(np.bincount(edges.ravel())))
    given = {"family": "linear", "weights": np.ones(50)}
    y, time = y[order], np.ones((50, 11))
    fit = fixed_effects(y, time, design=design, edges=edges, **given)
    return of_people(fit, y, time, codes=np.arange(50), contrasts=np.eye(11)[:, :1], **given)


def test_castle_cr2_and_its_degrees_of_freedom(regression):
    root, satterthwaite = regression.cr2()
    assert np.sqrt((root**2).sum()) == pytest.approx(CR2, rel=1e-8)
    assert satterthwaite(np.ones(1)) == pytest.approx(DF, abs=5e-5)


def test_castle_through_the_door(castle):
    """The same from ``twfe``: error, degrees of freedom, and those of events avoided, which are as many."""
    panel = Panel.from_long(
        castle, unit="state", period="year", outcomes=["l_homicide"], first_treated="start"
    )
    effects = bias_reduced(did.twfe(panel, outcome="l_homicide", family="linear", staggered="allow"))
    scales = effects.labels["scale"].tolist()
    for scale in ("difference", "events avoided"):
        at = scales.index(scale)
        size = abs(effects.estimate[at] / effects.estimate[0])
        assert effects.std_error[at] == pytest.approx(size * CR2, rel=1e-8)
        assert effects.df[at] == pytest.approx(DF, abs=5e-5)


def test_castle_factors(regression):
    """The four small-sample factors differ in the third digit: each is its own number."""
    _, scores = regression.sums()
    cr0 = np.sqrt(((scores @ regression.bread[:, 0]) ** 2).sum())
    assert regression.coef[0] == pytest.approx(0.08181161693, abs=1e-9)
    assert cr0 == pytest.approx(CR0, rel=1e-8)
    assert cr0 * np.sqrt(50 / 49) == pytest.approx(CR1, rel=1e-8)
    assert cr0 * np.sqrt(cr1(50, 550, 61)) == pytest.approx(CR1S, rel=1e-8)
    assert cr0 * np.sqrt(cr1(50, 550, 12)) == pytest.approx(FIXEST, rel=1e-8)


def test_castle_leave_one_out(castle):
    """CV3J of MacKinnon, Nielsen and Webb (2023), from 50 dense regressions without one state each."""
    dummies = pd.get_dummies(castle[["state", "year"]].astype(str)).to_numpy(float)
    x, y = np.column_stack([castle["post"], dummies]), castle["l_homicide"].to_numpy()
    state = castle["state"].to_numpy()
    draws = [np.linalg.lstsq(x[state != s], y[state != s], rcond=None)[0][0] for s in np.unique(state)]
    expected = np.sqrt(49 / 50 * ((draws - np.mean(draws)) ** 2).sum())
    panel = Panel.from_long(
        castle, unit="state", period="year", outcomes=["l_homicide"], first_treated="start"
    )
    out = leave_one_out(
        panel, lambda p: did.twfe(p, outcome="l_homicide", family="linear", staggered="allow")
    )
    assert out.std_error[0] == pytest.approx(expected, rel=1e-9)
    # Larger than CR2, as it errs on the safe side.
    assert CR2 < out.std_error[0] < 1.1 * CR2


def test_two_groups_of_people_are_scipys_permutation_test():
    """Studentised difference in changes of 4 and 5 people, all 126 deals: scipy.stats.permutation_test."""
    change = np.array([-3.0, -1, -4, 2, 1, 0, 3, -2, 5])
    frame = pd.DataFrame({"id": np.repeat(np.arange(9), 2), "t": [1, 2] * 9})
    frame["y"] = np.column_stack([np.full(9, 10.0), 10 + change]).ravel()
    frame["start"] = np.where(frame["id"] < 4, 2, np.nan)
    panel = Panel.from_long(frame, unit="id", period="t", outcomes=["y"], first_treated="start")

    def statistic(a, b, axis=-1):
        squares = a.var(axis) / a.shape[axis] + b.var(axis) / b.shape[axis]
        return np.abs((a.mean(axis) - b.mean(axis)) / np.sqrt(squares))

    expected = permutation_test(
        (change[:4], change[4:]), statistic, alternative="greater", n_resamples=np.inf, vectorized=True
    )
    test = randomisation_test(panel, outcome="y", estimator="twfe", family="linear", seed=1)
    assert test.method["draws"] == 126
    assert test.p_value == pytest.approx(expected.pvalue)
    # Ends of the interval: values whose permutation p-value crosses 5% (from the same function of scipy).
    for end, side in ((test.conf_low, -1), (test.conf_high, 1)):
        p = [
            permutation_test(
                (change[:4] - value, change[4:]),
                statistic,
                alternative="greater",
                n_resamples=np.inf,
                vectorized=True,
            ).pvalue
            for value in (end - side * 1e-2, end + side * 1e-2)
        ]
        assert p[0] > 0.05 >= p[1]
