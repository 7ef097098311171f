"""The RAND Health Insurance Experiment against its published rates.

Manning, Newhouse, Duan, Keeler, Leibowitz and Marquis (1987), American Economic Review 77:251, Table 2: free
care 4.55 face-to-face visits and 0.128 admissions a person-year, the 95% plans 2.73 and 0.099. The table
prints two and three digits, so that is the tolerance.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import impact
from impact.interpret import main_effects
from impact.match import balance
from impact.study import Study

STUDY = Path(__file__).parents[2] / "params/rand_hie.yaml"

PUBLISHED = {
    ("visits", True): "4.55",
    ("visits", False): "2.73",
    ("admissions", True): "0.128",
    ("admissions", False): "0.099",
}


@pytest.fixture(scope="module")
def study(data):
    return Study.read(STUDY, changes=[f"data.panel.file={data / 'rand_hie.csv'}"])


@pytest.fixture(scope="module")
def experiment(study):
    return impact.read(**study.source)


@pytest.mark.parametrize(("outcome", "free"), PUBLISHED)
def test_arm_rates_equal_the_published(experiment, outcome, free):
    cohort = experiment.cohort()
    arm = cohort.treated == free
    a_year = 12 * cohort.outcomes[outcome][arm].sum() / cohort.exposure[outcome][arm].sum()
    printed = PUBLISHED[outcome, free]
    assert f"{a_year:.{len(printed) - 2}f}" == printed
    panel = experiment.panel()
    same = (
        12
        * panel.outcomes[outcome][panel.treated == free].sum()
        / panel.exposure[outcome][panel.treated == free].sum()
    )
    assert same == pytest.approx(a_year, rel=1e-12)


def test_the_committed_study_gives_the_randomised_answer_with_everyone(study, experiment):
    effects = main_effects(experiment, **study.analysis)["effects"]
    row = effects.table.query("outcome == 'visits' and scale == 'log ratio'").iloc[0]
    randomised = np.log(4.55 / 2.73)
    assert row["conf_low"] < randomised < row["conf_high"]
    assert abs(row["estimate"] - randomised) < row["std_error"] / 2
    plan = study.matching_plan
    sample = impact.interpret.matched(experiment, baseline=study.baseline, matching=plan)
    assert (sample.table["weight"] > 0).all()
    # The sites are numbers, and their shares are alike because their first three moments are.
    assert plan["moments"] == 3
    site = sample.cohort.table["site"].to_numpy()
    weight, treated = sample.table["weight"].to_numpy(), sample.cohort.treated
    shares = [
        np.bincount(site[arm].astype(int), weight[arm]) / weight[arm].sum() for arm in (treated, ~treated)
    ]
    np.testing.assert_allclose(*shares, atol=0.01)
    table = balance(sample).table.query("sample == 'after' and kind == 'covariate'")
    assert table["smd"].abs().max() < 1e-6
