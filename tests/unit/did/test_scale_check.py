"""The linear and the Poisson answer are those of the estimator, and their difference has a joint error."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from impact import did
from impact.data.panel import Panel
from impact.did.scale_check import scale_check
from impact.disclosure import release
from impact.errors import DesignError, ParameterError


def arms(supported, control, n=2000, seed=3):
    """Two arms and two periods, with these many of every hundred people having an event in each."""
    rng = np.random.default_rng(seed)
    frames = []
    for k, (rates, start) in enumerate(((supported, 2), (control, None))):
        for year, rate in zip((1, 2), rates, strict=True):
            y = np.zeros(n)
            y[rng.permutation(n)[: round(rate * n)]] = 1
            frames.append(pd.DataFrame({"id": k * n + np.arange(n), "year": year, "ae": y, "start": start}))
    return Panel.from_long(
        pd.concat(frames), unit="id", period="year", outcomes=["ae"], first_treated="start"
    )


def differences(effects):
    table = effects.table
    return table[table["scale"] == "difference"].set_index("term")


def test_the_example_of_the_methods():
    """Controls 0.10 to 0.15, supported 0.30 to 0.36: 0.01 more by one, 0.09 fewer by the other."""
    panel = arms((0.30, 0.36), (0.10, 0.15))
    out = scale_check(panel, outcome="ae", estimator="two_by_two")
    found = differences(out)
    assert found.loc["linear", "estimate"] == pytest.approx(0.01)
    assert found.loc["poisson", "estimate"] == pytest.approx(-0.09)
    assert found.loc["linear less poisson", "estimate"] == pytest.approx(0.10)
    assert out.method["disagree"] == {"ae": "in sign"}
    assert out.method["baseline"]["ae"] == {"supported": 0.3, "control": 0.1}
    assert "by the same ratio, and not both can be so" in out.method["notes"][0]
    assert "differ in sign" in out.method["notes"][0]


def test_arms_that_begin_alike_get_one_answer():
    out = scale_check(arms((0.20, 0.15), (0.20, 0.21)), outcome="ae", estimator="twfe")
    assert out.method["disagree"] == {"ae": "no"}
    assert "assume almost the same" in out.method["notes"][0]
    found = differences(out)["estimate"]
    assert found["linear"] == pytest.approx(found["poisson"], abs=0.002)


def test_disagreeing_in_size_is_told():
    out = scale_check(arms((0.60, 0.40), (0.10, 0.12), n=4000), outcome="ae", estimator="two_by_two")
    assert out.method["disagree"] == {"ae": "in size"}
    assert "by more than their error" in out.method["notes"][0]


def test_rows_are_the_estimators_own_and_their_difference_has_a_joint_error(make_panel):
    panel = make_panel(starts=(3,), clusters=30)
    out = scale_check(panel, outcome=["gp", "ae"], estimator="two_by_two", covariates=["age"])
    for family in ("linear", "poisson"):
        own = did.two_by_two(panel, outcome=["gp", "ae"], covariates=["age"], family=family).table
        mine = out.table[out.table["term"] == family]
        np.testing.assert_allclose(mine["estimate"], own["estimate"])
        np.testing.assert_allclose(mine["std_error"], own["std_error"])
    both = differences(out.select(out.labels["outcome"] == "ae"))
    gap = both.loc["linear less poisson"]
    assert gap["estimate"] == pytest.approx(both.loc["linear", "estimate"] - both.loc["poisson", "estimate"])
    # They are estimated from the same people: far closer to each other than two unrelated answers would be.
    assert gap["std_error"] < 0.5 * np.hypot(
        both.loc["linear", "std_error"], both.loc["poisson", "std_error"]
    )
    assert out.table["outcome"].value_counts().to_dict() == {"gp": 7, "ae": 7}


def test_an_estimator_without_a_poisson_form_stands_beside_etwfe(make_panel):
    panel = make_panel(starts=(3, 4))
    out = scale_check(panel, outcome="gp", estimator="callaway_santanna", method="reg")
    poisson = did.summarise(did.ESTIMATORS["etwfe"](panel, outcome="gp", family="poisson"))
    mine = out.table[out.table["term"] == "poisson"]
    np.testing.assert_allclose(mine["estimate"], poisson.table["estimate"])
    assert out.method["estimator"] == ["callaway_santanna", "etwfe"]


def test_a_baseline_with_few_events_is_not_told(make_panel):
    panel = make_panel(n=40, starts=(3,), seed=4)
    panel.outcomes["ae"][:] = 0
    panel.outcomes["ae"][:, 2:4] = 1
    panel.exposure["ae"][:] = 1
    out = scale_check(panel, outcome="ae", estimator="twfe")
    assert "ae" in out.method["baseline"]
    for members in (panel.treated, ~panel.treated):
        panel.outcomes["ae"][members, 2] = np.arange(members.sum()) < 3
    out = scale_check(panel, outcome="ae", estimator="twfe")
    assert out.method["baseline"] == {}
    assert "too little before support" in out.method["notes"][0]


def test_can_be_released(make_panel):
    out = scale_check(make_panel(n=2000, starts=(3,)), outcome="gp", estimator="two_by_two")
    released = release({"scales": out}, "hes")["scales"]
    assert released.table["estimate"].notna().all()


def test_refusals(make_panel):
    panel = make_panel(starts=(3,))
    with pytest.raises(ParameterError, match="estimator"):
        scale_check(panel, outcome="gp", estimator="two_by_too")
    with pytest.raises(DesignError, match="no Poisson form"):
        scale_check(panel, outcome="gp", estimator="synthetic_did")
    # It has a Poisson form, but the rates of two groups do not say what it assumes.
    with pytest.raises(DesignError, match="run it with family='linear' and with family='poisson'"):
        scale_check(panel, outcome="gp", estimator="triple_difference", subgroup="sex", eligible="f")
