"""Diagnostics on awkward panels: they answer, or refuse in a sentence; they never stop with a stack trace."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from impact.data.panel import Panel
from impact.did.censoring import censoring_weights
from impact.did.dispersion import dispersion
from impact.did.leaving import leaving, leaving_notes
from impact.did.placebo_starts import placebo_starts
from impact.did.scale_check import scale_check
from impact.errors import DataError, DesignError, ImpactError


def panel(n=60, T=6, *, seed=0, start=3, treated=None):
    rng = np.random.default_rng(seed)
    treated = np.arange(n) % 2 == 0 if treated is None else treated
    y = rng.poisson(1.0, (n, T)).astype(float)
    return Panel(
        unit=np.arange(n),
        periods=pd.RangeIndex(T),
        outcomes={"gp": y},
        exposure={"gp": np.ones((n, T))},
        start=np.where(treated, start, T).astype(np.int64),
        treated=treated,
        covariates=pd.DataFrame({"age": rng.normal(size=n)}),
        cluster=np.arange(n),
        weights=np.ones(n),
        arm=np.where(treated, "supported", "control"),
    )


def masked(given, time):
    outcomes = {k: np.where(time > 0, v, 0.0) for k, v in given.outcomes.items()}
    return replace(given, outcomes=outcomes, exposure=dict.fromkeys(outcomes, time))


def until(given, last):
    return masked(given, (np.arange(len(given.periods)) <= np.asarray(last)[:, None]).astype(float))


AWKWARD = {
    "plain": panel(),
    "nobody is treated": panel(treated=np.zeros(60, bool)),
    "everyone is treated": panel(treated=np.ones(60, bool)),
    "one period": panel(T=1, start=0),
    "somebody is never at risk": masked(panel(), np.ones((60, 6)) * (np.arange(60) > 5)[:, None]),
    "everyone leaves after the third period but ten": until(panel(), np.where(np.arange(60) < 50, 2, 5)),
    "all supported leave at once": until(panel(), np.where(np.arange(60) % 2 == 0, 4, 5)),
    "only controls leave": until(panel(), np.where(np.arange(60) % 4 == 1, 2, 5)),
    "holes": masked(panel(), (np.random.default_rng(1).random((60, 6)) > 0.3).astype(float)),
    "nobody is ever at risk": masked(panel(), np.zeros((60, 6))),
    "nothing ever happens": replace(panel(), outcomes={"gp": np.zeros((60, 6))}),
    "half of the weights are zero": replace(panel(), weights=(np.arange(60) % 3 > 0).astype(float)),
    "age foretells leaving": until(panel(), np.where(panel().covariates["age"] > 0.8, 3, 5)),
}


@pytest.mark.parametrize("name", AWKWARD)
def test_leaving_dispersion_and_weights_answer_on_awkward_panels(name):
    given = AWKWARD[name]
    table = leaving(given, outcome="gp").table
    assert (table["left"] + table["joined_late"] <= 2 * table["persons"]).all()
    assert all(isinstance(note, str) for note in leaving_notes(given, "gp"))
    if name == "nobody is ever at risk":
        with pytest.raises(DesignError, match="nobody is at risk"):
            dispersion(given, outcome="gp")
    else:
        assert len(dispersion(given, outcome="gp").table) > 0
    weights = censoring_weights(given, covariates=["age"]).censoring_weights
    assert np.isfinite(weights).all()
    assert (weights > 0).all()


@pytest.mark.parametrize("name", AWKWARD)
def test_comparisons_answer_or_refuse_in_a_sentence(name):
    for check in (
        lambda p: scale_check(p, outcome="gp", estimator="two_by_two"),
        lambda p: placebo_starts(p, outcome="gp", estimator="two_by_two", shift=1),
    ):
        with suppress(ImpactError):
            assert np.isfinite(check(AWKWARD[name]).estimate).all()


def test_a_negative_value_is_no_count_but_may_be_weighed():
    given = replace(panel(), outcomes={"gp": panel().outcomes["gp"] - 1})
    with pytest.raises(DataError, match="below zero"):
        dispersion(given, outcome="gp")
    moved = until(given, np.where(np.arange(60) % 4 == 0, 3, 5))
    assert np.isfinite(censoring_weights(moved).censoring_weights).all()


@pytest.mark.parametrize(
    "check",
    [
        lambda p: leaving(p, outcome="ae"),
        lambda p: dispersion(p, outcome="ae"),
        lambda p: censoring_weights(p, outcome="ae"),
        lambda p: scale_check(p, outcome="ae", estimator="twfe"),
        lambda p: placebo_starts(p, outcome="ae", estimator="twfe", shift=1),
    ],
)
def test_an_unknown_outcome_names_the_nearest(check):
    with pytest.raises(DataError, match="the panel holds 'gp'"):
        check(panel())


def test_an_unknown_covariate_is_refused():
    with pytest.raises(DataError, match="'agee' is not on the panel"):
        censoring_weights(panel(), covariates=["agee"])
