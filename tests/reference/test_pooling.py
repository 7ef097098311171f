"""Averages over studies against published and R results, and against statsmodels where the two can agree.

- BCG: 13 trials of Colditz et al. (1994) as in the R package metafor, log risk ratios. Its README prints
  ``rma(yi, vi, test="knha")`` and its tests ``confint``; tolerances are half of their last digit.
- Six small sets of numbers with results of R metafor 5.0.1 (R 4.6.1): ``rma(method="REML", test="adhoc")``,
  ``predict(predtype="Riley")``, ``confint(type="QP")`` and ``leave1out``, their searches run to 1e-10 or
  1e-12. Two with weights of 1 to 250 and 1 to 10,000 are of metafor 4.6.0 with its own search for ``tau2``,
  which stops at 1e-5. The numbers come by way of the test files of PyMetaAnalysis and PyMARE.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t
from statsmodels.stats.meta_analysis import combine_effects

from impact.interpret.pooling import pool, without_each_study
from impact.numbers.random_effects import random_effects

# Ill and well, vaccinated and not.
BCG = np.array(
    [
        [4, 119, 11, 128],
        [6, 300, 29, 274],
        [3, 228, 11, 209],
        [62, 13536, 248, 12619],
        [33, 5036, 47, 5761],
        [180, 1361, 372, 1079],
        [8, 2537, 10, 619],
        [505, 87886, 499, 87892],
        [29, 7470, 45, 7232],
        [17, 1699, 65, 1600],
        [186, 50448, 141, 27197],
        [5, 2493, 3, 2338],
        [27, 16886, 29, 17825],
    ],
    float,
)
ILL, OTHERS = BCG[:, [0, 2]], BCG[:, [0, 2]] + BCG[:, [1, 3]]
BCG_Y = np.log(ILL / OTHERS) @ [1, -1]
BCG_V = (1 / ILL - 1 / OTHERS).sum(1)

FIVE = ([-0.4, 0.1, 0.5, 1.2, 1.8], [0.04, 0.09, 0.05, 0.16, 0.08])
SIX = ([-0.4, 0.1, 0.5, 0.2, 1.2, 1.8], [0.04, 0.09, 0.05, 0.16, 0.08, 0.06])


def uneven(y):
    return y, np.geomspace(0.02, 2, len(y))


def studies(y, v, outcome="ae", scale="log ratio"):
    row = {"outcome": outcome, "scale": scale, "unit": scale}
    return {
        f"study {i}": {"table": [row | {"estimate": a, "std_error": b}]}
        for i, (a, b) in enumerate(zip(y, np.sqrt(v), strict=True))
    }


def pooled(y, v):
    found = pool(studies(y, v))
    rows = {name: result.table.iloc[0] for name, result in found.items()}
    return rows["pooled"], rows.get("new_study"), rows["common_effect"], rows["heterogeneity"]


def test_bcg_trials_as_the_readme_of_metafor_prints_them():
    average, new, common, spread = pooled(BCG_Y, BCG_V)
    shown = ["estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high"]
    expected = [-0.7145, 0.1808, -3.9522, 0.0019, -1.1084, -0.3206]
    np.testing.assert_allclose(average[shown].tolist(), expected, atol=5.1e-5)
    names = ["tau2", "tau2_low", "tau2_high", "i_squared_percent", "q", "q_df"]
    expected = [0.3132, 0.1197, 1.1115, 92.22, 152.2330, 12]
    half_of_the_last_digit = np.array([5e-5, 5e-5, 5e-5, 5e-3, 5e-5, 0])
    assert (abs(spread[names].to_numpy(float) - expected) <= half_of_the_last_digit).all()
    assert spread["q_p_value"] < 1e-4
    # The first error of both is that of the factor, 1.011 here; without it metafor prints 0.1798.
    found = random_effects(BCG_Y[None], BCG_V[None])
    weights = 1 / (BCG_V + found.tau2)
    assert 1 / np.sqrt(weights.sum()) == pytest.approx(0.1798, abs=5e-5)
    # Its prediction interval takes t with 12 degrees of freedom: 0.14 to 1.76. With 11 it is wider.
    half = t.ppf(0.975, 12) * np.sqrt(found.tau2[0] + found.error[0] ** 2)
    np.testing.assert_allclose(np.exp(average["estimate"] + np.array([-half, half])), [0.14, 1.76], atol=5e-3)
    assert new["conf_high"] - new["estimate"] == pytest.approx(half * t.ppf(0.975, 11) / t.ppf(0.975, 12))
    assert common["estimate"] == pytest.approx(-0.4303, abs=5e-5)


@pytest.mark.parametrize(
    ("y", "v", "average", "prediction", "spread"),
    [
        # The factor is below 1 here, and would give -0.4717 to 1.7086.
        (
            *FIVE,
            (0.61849013972946509, 0.39500667, -0.47822418703825642, 1.7152044664971866),
            (-2.3231094660759721, 3.5600897455349028),
            (0.6983376816709046, 0.20150156345023792, 6.2256457627520954, 90.855691938388494),
        ),
        (
            *uneven([-2.0, -1, 0, 1, 2]),
            (-0.32435089460492117, 0.66115953890029844, -2.1600240601394853, 1.511322270929643),
            (-4.941568726491866, 4.2928669372820245),
            (1.6678024304031887, 0.38276252001344513, 19.787875041916632, 93.549905785982479),
        ),
        (
            *uneven(np.linspace(-2, 2, 10)),
            (-0.32636760969340484, 0.39510361882132966, -1.2201540910575672, 0.56741887167075766),
            (-2.9508060912554002, 2.2980708718685903),
            (1.1391402366453165, 0.39508400581536318, 5.3424741100374069, 92.142041316477918),
        ),
        # Nearer to each other than chance would have them: no spread, and no interval of it but 0.
        (
            *uneven(np.linspace(-0.01, 0.01, 5)),
            (-0.0077669312567102368, 0.11712739825139473, -0.33296472281634781, 0.31743086030292733),
            (-0.38051858706935499, 0.3649847245559345),
            (0.0, 0.0, 0.0, 0.0),
        ),
        # All the same: the factor is 0.
        (
            [0.3] * 3,
            np.array([0.2, 0.2 + 1e-12, 0.2 - 1e-12]),
            (0.3, 0.2581988897471611, -0.8109401577889036, 1.4109401577889034),
            (-2.9807279557804294, 3.580727955780429),
            (0.0, 0.0, 0.0, 0.0),
        ),
        (
            *uneven([-2.0, 2.0]),
            (-0.24750000000000028, 1.9846268540962555, -25.464575133057348, 24.969575133057351),
            None,
            (6.99, 0.58239276164330356, 8145.0561577573599, 87.375),
        ),
    ],
)
def test_metafor_5_with_the_same_choices(y, v, average, prediction, spread):
    mean, new, _, heterogeneity = pooled(y, v)
    shown = ["estimate", "std_error", "conf_low", "conf_high"]
    np.testing.assert_allclose(mean[shown].tolist(), average, rtol=1e-8, atol=1e-9)
    if prediction is None:
        assert new is None
    else:
        np.testing.assert_allclose(new[["conf_low", "conf_high"]].tolist(), prediction, rtol=1e-8)
    names = ["tau2", "tau2_low", "tau2_high", "i_squared_percent"]
    np.testing.assert_allclose(heterogeneity[names].tolist(), spread, rtol=1e-8)


@pytest.mark.parametrize(
    ("y", "v", "expected", "spread"),
    [
        (
            [-0.073207, -0.415375, 5.226533, -0.785429, -2.088512],
            [0.02, 0.050569, 2.721731, 0.041877, 5.0],
            (3.0539045155524738, 0.18480405951699172, 1.0399695871305989, 0.86759352145897251),
            (0.37437910706976263, 62.648818709153389, 97.772237701301052),
        ),
        (
            [
                0.016779,
                0.796272,
                1.404543,
                -0.487727,
                2.690687,
                0.731744,
                2.31175,
                0.109614,
                0.858999,
                -2.844727,
            ],
            [0.001, 0.055928, 0.521481, 0.060657, 3.638258, 0.016879, 0.00968, 0.013116, 2.818472, 10.0],
            (0.8224002783454577, 0.68688970207394351, 0.3448079418402753, 0.077534609550980627),
            (0.27621241313967376, 4.0683787385044337, 97.751909699504225),
        ),
    ],
)
def test_metafor_4_where_studies_differ_much_in_size(y, v, expected, spread):
    mean, _, _, heterogeneity = pooled(y, v)
    found = [heterogeneity["tau2"], *mean[["estimate", "std_error", "p_value"]]]
    np.testing.assert_allclose(found, expected, rtol=2e-5)
    found = heterogeneity[["tau2_low", "tau2_high", "i_squared_percent"]]
    np.testing.assert_allclose(found.tolist(), spread, rtol=1e-6)


def test_metafor_without_each_study():
    """R's errors are without the factor; where it is below 1, ours are the same."""
    table = without_each_study(studies(*SIX)).table
    estimates = [0.78248650524595476, 0.66181238624115224, 0.58390115192201786]
    estimates += [0.63529069012358796, 0.44410358361887159, 0.31143607454072986]
    np.testing.assert_allclose(table["estimate"], estimates, rtol=1e-9)
    errors = np.array([0.32651946962042516, 0.39242063336432348, 0.41137380821026059])
    errors = np.append(errors, [0.39384406487965701, 0.38025878248642847, 0.27535861353643021])
    y, v = np.tile(SIX[0], (6, 1)), np.tile(SIX[1], (6, 1))
    y[np.diag_indices(6)] = np.nan
    found = random_effects(y, v)
    factor = np.sqrt(np.maximum(1, (found.root**2).sum(1) / errors**2))
    np.testing.assert_allclose(table["std_error"], errors * factor, rtol=1e-9)
    assert (factor == 1).any()
    tau2 = [0.44768309849649113, 0.69422840317202683, 0.76203008962591989]
    tau2 += [0.7120074864911522, 0.64543092880396447, 0.29940713878096725]
    np.testing.assert_allclose(found.tau2, tau2, rtol=1e-9)


@pytest.mark.parametrize(("y", "v"), [(BCG_Y, BCG_V), FIVE, SIX])
def test_statsmodels_agrees_on_the_common_effect_and_given_the_spread(y, v):
    """It has no REML, but all that follows from a spread can be had of it by adding that to the variances."""
    y, v = np.asarray(y), np.asarray(v)
    theirs = combine_effects(y, v)
    _, _, common, spread = pooled(y, v)
    np.testing.assert_allclose(common["estimate"], theirs.mean_effect_fe, rtol=1e-12)
    np.testing.assert_allclose(common["std_error"], theirs.sd_eff_w_fe, rtol=1e-12)
    np.testing.assert_allclose([spread["q"], spread["q_df"]], [theirs.q, theirs.df_resid], rtol=1e-12)
    found = random_effects(y[None], v[None])
    at_ours = combine_effects(y, v + found.tau2[0])
    np.testing.assert_allclose(found.mean[0], at_ours.mean_effect_fe, rtol=1e-12)
    own = np.sqrt((found.root**2).sum())
    np.testing.assert_allclose(own, at_ours.sd_eff_w_fe_hksj, rtol=1e-9)
