from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import f as f_distribution
from scipy.stats import t as t_distribution

from impact import did
from impact.did.pretrends import pretrend_power
from impact.disclosure import release
from impact.errors import DesignError, ParameterError


def test_leaves_out_the_periods_of_anticipation(make_panel):
    effects = did.callaway_santanna(make_panel(starts=(4, 5)), outcome="gp", anticipation=1)
    early = (effects.labels["event_time"] < -1).fillna(False).to_numpy(bool)
    early &= (effects.labels["scale"] == "difference").to_numpy()
    test = did.pretrend_test(effects)
    b, v = effects.estimate[early], effects.vcov[np.ix_(early, early)]
    assert test.statistic == pytest.approx(b @ np.linalg.solve(v, b))
    assert test.df == early.sum()


def test_works_on_averages_by_event_time_and_says_when_clusters_are_few(make_panel):
    effects = did.callaway_santanna(make_panel(clusters=25), outcome="gp")
    test = did.pretrend_test(did.aggregate(effects, by="event_time"))
    assert test.df == 4
    assert "25 clusters" in test.method["notes"][0]


def test_refuses_where_nothing_or_too_much_is_to_be_tested(make_panel):
    with pytest.raises(DesignError, match="no effect before support"):
        did.pretrend_test(did.callaway_santanna(make_panel(starts=(1,)), outcome="gp"))
    with pytest.raises(DesignError, match="none of these has one"):
        did.pretrend_test(did.two_by_two(make_panel(starts=(3,)), outcome="gp"))
    few = make_panel(n=400, periods=12, starts=(9, 10, 11), clusters=8)
    with pytest.raises(DesignError, match="cannot be tested together"):
        did.pretrend_test(did.callaway_santanna(few, outcome="gp"))


@pytest.fixture(scope="module")
def study(make_panel):
    panel = make_panel(clusters=25, n=600, periods=8, starts=(5, 6))
    return did.aggregate(did.callaway_santanna(panel, outcome=["gp", "ae"]), by="event_time")


def test_sup_t_of_one_effect_is_its_t_test(study):
    labels = study.labels
    one = study.select((labels["event_time"] == -3) & (labels["outcome"] == "gp"))
    test = did.pretrend_test(one, statistic="sup_t", draws=400_000)
    exact = 2 * t_distribution.sf(abs(one.estimate[0] / one.std_error[0]), 24)
    assert test.p_value == pytest.approx(exact, abs=0.003)
    assert test.method["critical"] == pytest.approx(t_distribution.ppf(0.975, 24), abs=0.02)
    assert test.df == 24


def test_sup_t_stands_between_one_test_and_bonferroni_and_keeps_its_seed(study):
    first = did.pretrend_test(study, statistic="sup_t", draws=20_000, seed=1)
    again = did.pretrend_test(study, statistic="sup_t", draws=20_000, seed=1)
    other = did.pretrend_test(study, statistic="sup_t", draws=20_000, seed=2)
    assert first.p_value == again.p_value != other.p_value
    k = first.method["tested"]
    assert k == 2 * 5
    assert (
        t_distribution.ppf(0.975, 24)
        < first.method["critical"]
        < t_distribution.ppf(1 - 0.025 / k, 24) + 0.05
    )


def test_sup_t_can_test_more_effects_than_there_are_clusters(make_panel):
    few = make_panel(n=400, periods=12, starts=(9, 10, 11), clusters=8)
    effects = did.callaway_santanna(few, outcome="gp")
    assert 0 < did.pretrend_test(effects, statistic="sup_t", draws=2000).p_value <= 1
    with pytest.raises(DesignError, match="cannot be tested together"):
        did.pretrend_test(effects, statistic="hotelling")


def test_hotelling_is_the_f_form_of_the_wald_test(study):
    wald, f = (did.pretrend_test(study, statistic=s) for s in ("wald", "hotelling"))
    q = int(wald.df)
    assert f.statistic == pytest.approx(wald.statistic * (25 - q) / (q * 24))
    assert f.p_value == pytest.approx(f_distribution.sf(f.statistic, q, 25 - q))
    assert f.p_value > wald.p_value
    assert "too often" in wald.method["notes"][0]
    assert "=" not in wald.method["notes"][0]  # readers see it: no code
    assert not f.method["notes"]


def test_the_reference_of_an_event_study_is_not_tested(make_panel):
    panel = make_panel(starts=(4,))
    shown = did.event_study(panel, outcome="gp", estimator="twfe", family="poisson")
    plain = did.twfe(panel, outcome="gp", family="poisson", event_study=True)
    assert (shown.labels["event_time"] == -1).any()
    assert did.pretrend_test(shown).statistic == pytest.approx(did.pretrend_test(plain).statistic)
    assert set(shown.labels["scale"]) == {"log ratio"}


def test_power_rises_with_the_slope_and_is_worse_after_passing(study):
    table = pretrend_power(study, power=(0.5, 0.8), slope=(0.0, 60.0, 120.0), draws=20_000).table
    assert table["outcome"].tolist() == ["gp"] * 5 + ["ae"] * 5
    gp = table[table["outcome"] == "gp"]
    np.testing.assert_allclose(gp["power"][:2], [0.5, 0.8], atol=1e-4)
    assert gp["slope"][0] < gp["slope"][1]
    assert (np.diff(gp["power"][2:]) > 0).all()
    assert gp["power"][2] == gp["false_alarms"][2] > 0.05
    # Universal base: effects share the noise of the base period, so passing goes with more bias.
    assert (gp["bias_if_passed"][:2] > gp["bias"][:2]).all()
    assert gp["bias"][0] == pytest.approx(gp["slope"][0] * np.mean([1, 2, 3]))


def test_power_takes_one_slope_at_a_time_from_the_same_draws(study):
    found = pretrend_power(study, power=0.8, draws=20_000).table
    again = pretrend_power(study, power=(), slope=float(found["slope"][0]), draws=20_000).table
    assert again["power"][0] == pytest.approx(found["power"][0], abs=1e-4)


def test_power_is_withheld_where_few_people_lie_behind_it(study):
    few = replace(study, counts=study.counts.assign(events=3))
    for effects, hidden in ((study, False), (few, True)):
        released = release({"power": pretrend_power(effects, power=0.8, draws=2000)}, "hes")["power"]
        assert released.table["slope"].isna().all() == hidden


@pytest.mark.skipif("etwfe" not in did.ESTIMATORS, reason="etwfe is not registered")
def test_log_ratios_by_start_and_by_event_time_are_tested_too(make_panel):
    """A drift of 20% a month in the ratio is seen; in each form the rows tested are those before support."""
    panel = make_panel(n=1500, starts=(4, 5))
    cells = did.ESTIMATORS["etwfe"](panel, outcome="gp", family="poisson", control="never_treated")
    averaged = did.aggregate(cells, by="event_time")
    for effects in (cells, averaged):
        test = did.pretrend_test(effects)
        shown = effects.table[lambda t: t["event_time"] < -1]
        assert set(shown["scale"]) == {"log ratio"}
        assert test.df == len(shown)
        assert test.p_value > 0.001
    drift = np.where(panel.treated[:, None], 1.2 ** np.arange(6), 1.0)
    moved = replace(panel, outcomes={"gp": np.rint(panel.outcomes["gp"] * drift)})
    cells = did.ESTIMATORS["etwfe"](moved, outcome="gp", family="poisson", control="never_treated")
    assert did.pretrend_test(did.aggregate(cells, by="event_time"), statistic="sup_t").p_value < 0.001
    table = pretrend_power(averaged, power=0.8, draws=20_000).table
    assert table["scale"].tolist() == ["log ratio"]
    assert 0 < table["slope"][0] < 0.2


@pytest.mark.parametrize(
    ("more", "error", "said"),
    [
        ({"power": 1.2}, ParameterError, "between 0 and 1"),
        ({"power": ()}, ParameterError, "both empty"),
        ({"power": 0.02}, DesignError, "more than 0"),
    ],
)
def test_power_refuses_what_no_slope_has(study, more, error, said):
    with pytest.raises(error, match=said):
        pretrend_power(study, **more, draws=2000)


def test_power_refuses_other_bases_and_effects_by_start(make_panel, study):
    panel = make_panel(starts=(3, 4))
    varying = did.callaway_santanna(panel, outcome="gp", base_period="varying")
    with pytest.raises(DesignError, match="universal"):
        pretrend_power(varying)
    with pytest.raises(DesignError, match="average first"):
        pretrend_power(did.callaway_santanna(panel, outcome="gp"))
    imputed = replace(study, method={**study.method, "estimator": "imputation"})
    with pytest.raises(DesignError, match="imputation"):
        pretrend_power(imputed)
    with pytest.raises(DesignError, match="after support"):
        pretrend_power(study.select(study.labels["event_time"] < 0))
    with pytest.raises(ParameterError, match="statistic"):
        did.pretrend_test(study, statistic="sup")
