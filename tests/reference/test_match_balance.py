"""Balance against R: MatchIt 4.7.2 (effect on the treated) and cobalt 4.6.2 (pooled deviation) on lalonde.

The weights are R's own, so that the table is tested apart from who is matched. Tolerance 1.01e-6: R's figures
were stored to six decimals. It rejects n for n - 1 in a variance (1/185) and any other denominator.
"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from impact import match
from impact.data import Cohort
from impact.match.propensity import propensity
from impact.results import Matched

CASES = [
    "A02_nn_logit",
    "A05b_nn_cal01",
    "A06_cov_caliper",
    "A07_nn_2to1",
    "A09b_mahal_exact",
    "A10_exact",
    "A11b_optimal_mahal",
    "A12b_full_probit",
    "A13_cem_default",
    "A13b_cem_cut",
    "A15_discard_both",
]
ON = ["age", "educ", "race", "married", "nodegree", "re74", "re75"]
# cobalt: bal.tab(s.d.denom = "pooled"), unadjusted.
POOLED = {
    "age": -0.2419036,
    "educ": 0.0447551,
    "raceblack": 1.6708264,
    "racehispan": -0.2773976,
    "racewhite": -1.4079882,
    "married": -0.7207554,
    "nodegree": 0.2354906,
    "re74": -0.5957516,
    "re75": -0.2870021,
}
COLUMNS = {
    "mean_treated": "Means Treated",
    "mean_control": "Means Control",
    "smd": "Std. Mean Diff.",
    "variance_ratio": "Var. Ratio",
    "ks": "eCDF Max",
    "ecdf_mean": "eCDF Mean",
}


@pytest.fixture(scope="module")
def cohort(data):
    return Cohort.from_frame(pd.read_csv(data / "lalonde.csv"), treated="treat")


@pytest.fixture(scope="module")
def refs(data):
    return json.loads((data / "match_balance.json").read_text())


def matched_by(cohort, data, case, names):
    link = "probit" if "probit" in case else "logit"
    score = propensity(cohort, on=ON, link=link) if "distance" in names else np.nan
    table = pd.DataFrame(
        {
            "person_id": cohort.person_id,
            "weight": pd.read_csv(data / "match_weights.csv")[case],
            "subclass": pd.array([pd.NA] * len(cohort), dtype="Int64"),
            "distance": score,
        }
    )
    on = [c for c in ON if any(name.startswith(c) for name in names)]
    return Matched(table, cohort, {"estimand": "ATT", "covariates": on, "exact": []}, pd.DataFrame())


def labelled(table):
    labels = table["covariate"].replace("propensity score", "distance") + table["level"].fillna("")
    return table.set_index(labels.to_numpy())


@pytest.mark.parametrize("case", CASES)
def test_every_figure_of_every_row_is_matchits(case, cohort, data, refs):
    """summary(matchit, standardize = TRUE), before and after, and the effective sample sizes."""
    after = pd.DataFrame(refs[case]["bal"]).set_index("_row").reindex(columns=COLUMNS.values())
    before = pd.DataFrame(refs["A01_unmatched"]["bal"]).set_index("_row").loc[after.index]
    found = match.balance(matched_by(cohort, data, case, list(after.index)))
    for sample, expected in (("before", before), ("after", after)):
        rows = labelled(found.table[found.table["sample"] == sample])
        for ours, theirs in COLUMNS.items():
            # R's probit stops 1e-6 before the solution and tells equal people apart by rounding.
            score = "distance" in rows.index and "probit" in case
            here = rows.index.drop("distance") if score else after.index
            np.testing.assert_allclose(
                rows.loc[here, ours].astype(float),
                expected.loc[here, theirs].astype(float),
                atol=1.01e-6,
                err_msg=f"{sample} {ours}",
            )
            if score and sample == "after":
                assert rows.loc["distance", ours] == pytest.approx(expected.loc["distance", theirs], abs=1e-5)
    sizes = found.counts.set_index(["sample", "arm"])
    expected = pd.DataFrame(refs[case]["nn"]).set_index("_row")
    for sample, row in (("before", "All"), ("after", "Matched")):
        for arm, column in (("treated", "Treated"), ("control", "Control")):
            assert sizes.loc[(sample, arm), "persons"] == expected.loc[row, column]
            assert sizes.loc[(sample, arm), "ess"] == pytest.approx(expected.loc[f"{row} (ESS)", column])


def test_pooled_denominator_is_cobalts(cohort, data):
    """Asked for, and the default where the estimand is the effect on everyone."""
    matched = matched_by(cohort, data, "A02_nn_logit", ["distance", *ON])
    for found in (
        match.balance(matched, denominator="pooled"),
        match.balance(Matched(matched.table, cohort, {**matched.method, "estimand": "ATE"}, matched.counts)),
    ):
        rows = labelled(found.table[found.table["sample"] == "before"])
        for name, expected in POOLED.items():
            assert rows.loc[name, "smd"] == pytest.approx(expected, abs=1e-7)


# summary(matchit, standardize = TRUE), "Std. Pair Dist.", to six decimals. Where means agree exactly (A05b,
# years of education) MatchIt gives it in the covariate's own unit: that one is left out.
PAIRS = {
    "A02_nn_logit": {"age": 1.393843, "educ": 1.247411, "married": 0.828079, "re74": 0.796497},
    "A05b_nn_cal01": {"age": 1.364883, "married": 0.598057, "re74": 0.71422},
    "A07_nn_2to1": {"age": 1.445215, "educ": 1.260853, "married": 1.069602, "re74": 0.975363},
    "A12b_full_probit": {"age": 1.28427, "educ": 1.217924, "married": 0.44732, "re74": 0.838699},
    "A13b_cem_cut": {"age": 0.326316, "educ": 0.358471, "re74": 0.096296},
}


@pytest.mark.parametrize("case", PAIRS)
def test_distances_within_sets_are_matchits(case, cohort, data):
    units = pd.read_csv(data / f"{case}_units.csv")
    matched = matched_by(cohort, data, case, [])
    matched.table["subclass"] = units["subclass"].astype("Int64")
    table = match.balance(matched, on=[*PAIRS[case]]).table
    found = table[table["sample"] == "after"].set_index("covariate")["pair_distance"]
    for name, expected in PAIRS[case].items():
        assert found[name] == pytest.approx(expected, abs=1.01e-6)
