from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from impact import did
from impact.did.design import covariate_matrix, people, period_name
from impact.errors import DesignError


def test_covariates_are_numbers_of_one_scale_or_levels_but_the_first(make_panel):
    panel = make_panel()
    mixed = panel.covariates.assign(old=panel.covariates["age"] > 55, same=3.0)
    x = covariate_matrix(replace(panel, covariates=mixed), ["age", "sex", "old", "same"])
    assert x.shape == (5, panel.n)  # intercept, age, m, x, old; a constant says nothing
    assert x[1].std() == pytest.approx(1)
    assert x[2].tolist() == (panel.covariates["sex"] == "m").astype(float).tolist()


def test_a_small_number_of_people_never_stands_in_a_note():
    assert [people(n) for n in (1, 9, 10, 12, 1234)] == [
        "fewer than 10 people",
        "fewer than 10 people",
        "about 10 people",
        "about 10 people",
        "about 1,235 people",
    ]


def test_periods_are_named_as_readers_write_them(make_panel):
    assert period_name(make_panel().periods[1]) == "2023-02"
    assert period_name(np.int64(3)) == "3"


NOBODY = "nobody is treated|nobody's support begins|there are no supported people"
BEFORE = "everyone treated was treated before|nobody's support begins|there are no supported people"
ONE = "only one person or cluster|needs two supported clusters"
# What these two need beside an outcome.
MORE = {"synthetic_did": {"inference": "jackknife"}, "triple_difference": {"subgroup": "tenant"}}


def run(estimator, panel, outcome):
    """Any estimator, among people who are all at risk and of whom every other is eligible."""
    tenant = np.arange(panel.n) % 2 == 0
    panel = replace(panel, covariates=panel.covariates.assign(tenant=tenant))
    return did.ESTIMATORS[estimator](panel, outcome=outcome, **MORE.get(estimator, {}))


@pytest.mark.parametrize("estimator", list(did.ESTIMATORS))
def test_every_estimator_takes_several_outcomes_and_can_be_written(make_panel, estimator):
    complete = estimator == "synthetic_did"
    panel = make_panel(n=600, starts=(3,), clusters=30, holes=0.0 if complete else 0.03)
    if complete:
        panel = panel.subset((panel.exposure["ae"] > 0).all(1))
    effects = did.summarise(run(estimator, panel, ["gp", "ae"]))
    assert set(effects.table["scale"]) == {"difference", "log ratio", "events avoided"}
    assert effects.df == 29
    assert effects.table["outcome"].tolist() == ["gp"] * 3 + ["ae"] * 3
    written = json.loads(effects.to_json())
    assert written["method"]["estimator"] == estimator
    assert {"estimand", "outcome", "control", "family", "inference", "clusters", "notes"} <= set(
        written["method"]
    )
    assert written["table"][0]["persons"] > 0


@pytest.mark.parametrize("estimator", list(did.ESTIMATORS))
def test_intervals_use_the_clusters_at_risk(make_panel, estimator):
    """An outcome observed in some clusters only has fewer degrees of freedom than the panel has clusters."""
    panel = make_panel(starts=(3,), clusters=30)
    time = panel.exposure["ae"] * (panel.cluster < 12)[:, None]
    panel = replace(
        panel,
        outcomes=panel.outcomes | {"ae": panel.outcomes["ae"] * (time > 0)},
        exposure=panel.exposure | {"ae": time},
    )
    assert run(estimator, panel, "ae").df == 11


@pytest.mark.parametrize("estimator", list(did.ESTIMATORS))
@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            lambda p: replace(p, start=np.full(p.n, 6)),
            "nobody is treated|nobody's support begins|there are no supported people",
        ),
        (lambda p: replace(p, start=np.where(p.start < 6, 0, 6)), BEFORE),
        (lambda p: replace(p, start=np.full(p.n, -1)), BEFORE),
        (lambda p: replace(p, outcomes={"gp": 0 * p.outcomes["gp"]}), "it never happens|no events among"),
        (
            lambda p: replace(p, cluster=(p.start < 6).astype(int)),
            "only one person or cluster|needs two supported clusters",
        ),
    ],
)
def test_every_estimator_refuses_a_design_that_cannot_work(make_panel, estimator, change, match):
    panel = make_panel(starts=(3,))
    panel = replace(panel, outcomes={"gp": panel.outcomes["gp"]}, exposure={"gp": panel.exposure["gp"]})
    with pytest.raises(DesignError, match=match):
        run(estimator, change(panel), "gp")
