"""Sun-Abraham and Wooldridge's regressions against R; each case names its data, specification and errors.

R takes the sizes of the cohorts as known when it averages effects, and so do these tests (`combine`);
`aggregate` counts the error of estimated shares as well.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from impact.data.panel import Panel
from impact.did.cells import Joint
from impact.did.design import covariate_matrix, staggered
from impact.did.etwfe import etwfe
from impact.did.saturated import AT_MEAN, Plan, _Regression
from impact.did.sun_abraham import sun_abraham

SIZES = {2004: 20, 2006: 40, 2007: 131}


@pytest.fixture(scope="module")
def counties(data) -> Panel:
    frame = pd.read_csv(data / "mpdta.csv")
    frame["emp"] = np.exp(frame["lemp"])
    return Panel.from_long(
        frame,
        unit="countyreal",
        period="year",
        outcomes=["lemp", "emp"],
        first_treated="first.treat",
        covariates=["lpop"],
    )


def averages(effects, by, *, scale="difference", sizes=SIZES):
    """Mean and error of each value of ``by`` (None: of all), over supported cells by their known size."""
    labels = effects.labels
    rows = (labels["scale"] == scale).to_numpy()
    if by != "event_time":
        rows = rows & (labels["event_time"] >= 0).fillna(False).to_numpy()
    size = labels["group"].map(sizes).fillna(0).to_numpy(float) if sizes else np.ones(len(rows))
    values = sorted(labels.loc[rows, by].unique()) if by else [None]
    keep = [rows & (labels[by] == v).fillna(False).to_numpy() if by else rows for v in values]
    weights = np.column_stack([np.where(k, size, 0.0) for k in keep])
    out = effects.combine(weights / weights.sum(0), labels=labels.iloc[: len(values)])
    return dict(zip(values, zip(out.estimate, out.std_error, strict=True), strict=True))


def check(found, estimate, error=None, *, of_error=1e-6):
    np.testing.assert_allclose([f[0] for f in found], estimate, rtol=1e-6, atol=1e-9)
    if error is not None:
        np.testing.assert_allclose([f[1] for f in found], error, rtol=of_error)


def test_mpdta_sun_abraham(counties):
    """R fixest 0.14.2: feols(lemp ~ sunab(first.treat, year) | countyreal + year, cluster = countyreal).

    fixest's error is our CR1: G/(G-1) x (N-1)/(N-K), with N = 2,500 rows, G = 500, and K = 12 effects, 4
    periods and 1 intercept; the counties' effects are nested within clusters and not counted.
    """
    effects = sun_abraham(counties, outcome="lemp")
    by_time = averages(effects, "event_time")
    assert list(by_time) == [-4, -3, -2, 0, 1, 2, 3]
    estimate = [0.003306356693, 0.025021829598, 0.024458744971, -0.019931816789, -0.050957367065]
    error = [0.02455509553, 0.01815434441, 0.01426679215, 0.01185753896, 0.01687067838]
    check(
        by_time.values(),
        [*estimate, -0.137258738889, -0.100811363085],
        [*error, 0.03658947596, 0.03450427191],
    )
    check(averages(effects, None).values(), [-0.03995127516], [0.01179627744])


def test_base_stagg_sun_abraham_with_a_time_varying_regressor(data):
    """R fixest: feols(y ~ x1 + sunab(year_treated, year) | id + year, cluster = id), as in its vignette.

    The same CR1, with x1 among the K regressors. ``att`` is the mean over treated rows: each cohort has five
    people, so all cells weigh the same.
    """
    frame = pd.read_csv(data / "base_stagg.csv")
    panel = Panel.from_long(
        frame, unit="id", period="year", outcomes=["y", "x1"], first_treated="year_treated"
    )
    effects = sun_abraham(panel, outcome="y", time_varying=["x1"])
    check(averages(effects, None, sizes=None).values(), [-1.1337494488], [0.2050704938])
    by_time = averages(effects, "event_time", sizes=None)
    check(
        [by_time[e] for e in (-9, -2, 0, 8)],
        [0.35176562092, 0.0846616233, -5.18820685, 6.2436260544],
        [0.35907322652, 0.2442766374, 0.22106801972, 0.2975572049],
    )
    without = averages(sun_abraham(panel, outcome="y"), "event_time", sizes=None)
    assert without[-9][0] == pytest.approx(2.3433, abs=5e-5)  # what a peer gives that drops x1 silently


def test_mpdta_etwfe(counties):
    """R etwfe, its own known values: lemp ~ lpop, cohort effects, cluster = countyreal, controls not yet.

    Errors are CR1 with all K = 30 coefficients counted, as cohort effects are not nested within counties:
    7 effects, 4 cohorts and 4 periods, each also with lpop. With person effects K would be 23 and the simple
    effect's error 0.012480 instead of 0.012497, which the tolerance rejects.
    """
    effects = etwfe(counties, outcome="lemp", family="linear", covariates=["lpop"], effects="cohort")
    check(averages(effects, None).values(), [-0.0506270331228907], [0.0124972546529842])
    check(
        averages(effects, "event_time").values(),
        [-0.0332122037837542, -0.0573456479257483, -0.137870386660852, -0.10953945536511],
        [0.0133659635774059, 0.0171496442892364, 0.0307883597041053, 0.0323152785480507],
    )
    check(
        averages(effects, "group").values(), [-0.0876269608795944, -0.0212783329358987, -0.0459545277368072]
    )
    check(
        averages(effects, "period").values(),
        [-0.0212480022225509, -0.0818499992698648, -0.0442655912990223, -0.0524323095862384],
    )
    person = etwfe(counties, outcome="lemp", family="linear", covariates=["lpop"])
    check(averages(person, None).values(), [-0.0506270331228907])
    error = averages(person, None)[None][1]
    assert error == pytest.approx(0.0124972546529842 * np.sqrt((2500 - 30) / (2500 - 23)), rel=1e-6)


def test_mpdta_etwfe_never_treated(counties):
    """R etwfe, cgroup = 'never': event times -2 and 0 to 3."""
    effects = etwfe(
        counties,
        outcome="lemp",
        family="linear",
        covariates=["lpop"],
        control="never_treated",
        effects="cohort",
    )
    by_time = averages(effects, "event_time")
    estimate = [0.0234649547538384, -0.0211467366918433, -0.0533558653415615, -0.141080104628566]
    check([by_time[e] for e in (-2, 0, 1, 2, 3)], [*estimate, -0.107544274673025])


# R etwfe, family = 'poisson', emp = exp(lemp) ~ lpop, cohort effects, cluster = countyreal: CR1 with K = 30.
# R stops its iterations at 1e-8, when its errors are right to five digits only.
FIVE_DIGITS = 2e-5


def test_mpdta_poisson_etwfe_link_scale(counties):
    """Averages of the coefficients, which are ratios at each cohort's mean."""
    effects = etwfe(counties, outcome="emp", covariates=["lpop"], effects="cohort")
    check(
        averages(effects, "event_time", scale=AT_MEAN).values(),
        [-0.0325653634930092, -0.0675071046997911, -0.132971344933511, -0.117022779216096],
        [0.0128503810792558, 0.0183966910997271, 0.0237253182969748, 0.0225005664705109],
        of_error=FIVE_DIGITS,
    )


@pytest.fixture(scope="module")
def poisson(counties) -> _Regression:
    panel, _ = staggered(counties, ["emp"], estimator="etwfe", anticipation=0)
    z = np.ascontiguousarray(covariate_matrix(panel, ["lpop"]).T)
    plan = Plan("etwfe", "not_yet_treated", family="poisson", effects="cohort", covariates=["lpop"])
    return _Regression(Joint(panel), "emp", plan, z)


def error(one: _Regression, by):
    influence = one.fit.influence(slice(0, one.joint.panel.n), by)
    return np.sqrt(one.sample.factor(one.fit) * (influence**2).sum(0))


def test_mpdta_poisson_etwfe_counts(poisson):
    """Events less expected events, per treated row.

    R's errors of counts hold the people fixed and count only the coefficients' error: so does this test,
    while ``Effects`` adds how events and expected events vary with who is in the sample.
    """
    one, found = poisson, []
    fit, r = one.fit, one.fit.regressors
    for event in range(4):
        here = one.treated & (one.whole.event == event)
        rows = np.repeat(here, np.diff(one.whole.edges), axis=0)
        slope = -one.slopes[:, np.flatnonzero(here[tuple(one.where.T)])].sum(1)
        for g, piece in r.pieces(slice(0, len(rows))):
            slope += r.features(piece, fit.mean[piece] * rows[piece]).sum(0) @ r.terms[g]
        effect = one.whole.value[rows].sum() - one.total[here].sum()
        found.append((effect / rows.sum(), error(one, slope[:, None] / rows.sum())[0]))
    check(
        found,
        [-25.3497484355494, 1.09175116997388, -75.1246321552693, -101.823979344829],
        [15.8862762958862, 40.2952222352926, 23.1541376499351, 27.0877431076141],
        of_error=FIVE_DIGITS,
    )


def test_mpdta_poisson_etwfe_coefficients(poisson):
    """R's const and lpop are those of the never treated in 2003; our lpop has mean 0 and deviation 1."""
    lpop = poisson.joint.panel.covariates["lpop"].to_numpy()
    by = np.zeros((len(poisson.fit.coef), 2))
    by[-2:] = [[1.0, 0.0], [-lpop.mean() / lpop.std(), 1 / lpop.std()]]
    check(
        list(zip(poisson.fit.coef @ by, error(poisson, by), strict=True)),
        [2.4844551064551, 1.03962548577062],
        [0.0774941076110031, 0.0168639979795991],
        of_error=FIVE_DIGITS,
    )
