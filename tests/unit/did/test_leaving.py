"""Who leaves, whether it is related to anything, and weights that stand in for those who left."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from impact import did
from impact.data import read_cohort
from impact.data.panel import Panel
from impact.did.censoring import censoring_weights
from impact.did.leaving import leaving, leaving_notes
from impact.disclosure import release
from impact.errors import DataError, DesignError, ParameterError


def world(n=4000, T=8, *, seed=1, base=-4.0, support=0.0, use=0.0, age=0.0, ratio=0.8, trend=1.06, start=4):
    """Arms at random; leaving after each period by a logit of age, of use so far and of support."""
    rng = np.random.default_rng(seed)
    treated, x = rng.random(n) < 0.5, rng.normal(size=n)
    begins = np.where(treated, start, T)
    on = np.arange(T) >= begins[:, None]
    rate = rng.gamma(2, 0.5, n)[:, None] * np.exp(0.4 * x)[:, None] * trend ** np.arange(T)
    y = rng.poisson(rate * np.where(on, ratio, 1.0)).astype(float)
    so_far = np.log1p(y.cumsum(1) / np.arange(1, T + 1))
    chance = 1 / (1 + np.exp(-(base + support * on + use * so_far + age * x[:, None])))
    leaves = rng.random((n, T)) < chance
    last = np.where(leaves.any(1), leaves.argmax(1), T)
    time = (np.arange(T) <= last[:, None]).astype(float)
    return Panel(
        unit=np.arange(n),
        periods=pd.date_range("2023-01-01", periods=T, freq="MS"),
        outcomes={"gp": y * time},
        exposure={"gp": time},
        start=begins.astype(np.int64),
        treated=treated,
        covariates=pd.DataFrame({"age": x}),
        cluster=np.arange(n),
        weights=np.ones(n),
        arm=np.where(treated, "supported", "control"),
    ), rate


def relations(panel):
    return {t["related_to"]: t for t in leaving(panel, outcome="gp").method["tests"]}


def spells_by_hand(panel):
    """One row a person and period in which they could leave, in plain Python."""
    rows, T = [], len(panel.periods)
    for i in range(panel.n):
        at = np.flatnonzero(panel.exposure["gp"][i] > 0)
        left = at[-1] < T - 1
        for t in range(at[0], at[-1] + left):
            y, e = panel.outcomes["gp"][i, : t + 1], panel.exposure["gp"][i, : t + 1]
            rate, late = y.sum() / e.sum(), slice(max(t - 2, 0), t + 1)
            recent = y[late].sum() / e[late].sum()
            rows.append(
                {"i": i, "t": t, "left": float(left and t == at[-1]), "arm": float(panel.treated[i])}
                | {"supported": float(panel.start[i] <= t), "rate": rate, "age": panel.covariates["age"][i]}
                | {"log_rate": np.log1p(rate), "log_recent": np.log1p(recent)}
            )
    return pd.DataFrame(rows)


def score_test(frame, x, strata):
    """Score of a logit with an effect for each stratum, and its error from each person's part."""
    by = frame.groupby(strata)
    hazard, mean = by["left"].transform("mean"), by[x].transform("mean")
    # Without other regressors than the strata the fitted chance is each stratum's share.
    part = ((frame[x] - mean) * (frame["left"] - hazard)).groupby(frame["i"]).sum()
    return part.sum() / np.sqrt((part**2).sum())


def test_the_tests_are_score_tests_of_the_pooled_logit():
    panel, _ = world(n=500, support=0.5, use=0.4, base=-3)
    frame, found = spells_by_hand(panel), relations(panel)
    assert found["support"]["statistic"] == pytest.approx(score_test(frame, "supported", ["t"]))
    assert found["past use"]["statistic"] == pytest.approx(score_test(frame, "rate", ["t", "arm"]))
    left = frame[frame["left"] == 1]
    mean = frame.groupby(["t", "arm"])["rate"].transform("mean")
    assert found["past use"]["relative"] == pytest.approx(left["rate"].sum() / mean[left.index].sum())
    # Mantel and Haenszel: leavers with support times the share without, over the reverse.
    with_support = frame.groupby("t")["supported"].transform("mean")
    above = (left["supported"] * (1 - with_support[left.index])).sum()
    below = ((1 - left["supported"]) * with_support[left.index]).sum()
    assert found["support"]["relative"] == pytest.approx(above / below)
    dummies = pd.get_dummies(frame["t"], dtype=float)
    logit = sm.Logit(frame["left"], dummies.assign(x=frame["supported"])).fit(disp=0)
    assert np.log(found["support"]["relative"]) == pytest.approx(logit.params["x"], rel=0.15)


def test_counts_of_joining_leaving_and_dying():
    panel, _ = world(n=400, base=-3)
    time = panel.exposure["gp"].copy()
    time[:30, 0] = 0
    dead = (time[:, -1] == 0) & (np.arange(400) % 2 == 0)
    reasons = np.where(time[:, -1] > 0, "", np.where(dead, "death", "move")).astype(object)
    y = np.where(time > 0, panel.outcomes["gp"], 0)
    panel = replace(panel, exposure={"gp": time}, outcomes={"gp": y}, ended=reasons)
    table = leaving(panel, outcome="gp").table.set_index("arm")
    for arm, members in (("supported", panel.treated), ("control", ~panel.treated)):
        row = table.loc[arm]
        assert row["persons"] == (members & (time > 0).any(1)).sum()
        assert row["joined_late"] == (members & (time[:, 0] == 0) & (time > 0).any(1)).sum()
        assert row["died"] == (members & dead & (time > 0).any(1)).sum()
        assert row["left"] == (members & (reasons == "move") & (time > 0).any(1)).sum()
        assert row["left_percent"] == pytest.approx(100 * row["left"] / row["persons"])
    unknown = leaving(replace(panel, ended=None), outcome="gp").table.set_index("arm")
    assert "died" not in unknown
    assert unknown.loc["control", "left"] == table.loc["control", ["left", "died"]].sum()


def test_the_end_of_the_data_of_follow_up_and_of_an_arm_is_not_leaving():
    panel, _ = world(n=300, base=-30)
    assert leaving(panel, outcome="gp").table["left"].tolist() == [0, 0]
    followed = panel.followed_for(2)
    assert (followed.ended[panel.treated] == "follow-up").all()
    assert leaving(followed, outcome="gp").table["left"].tolist() == [0, 0]
    # A service that is observed for a shorter time in one arm.
    shorter = np.where(panel.treated[:, None] & (np.arange(8) > 5), 0.0, panel.exposure["gp"])
    cut = replace(panel, exposure={"gp": shorter}, outcomes={"gp": panel.outcomes["gp"] * shorter})
    assert leaving(cut, outcome="gp").table["left"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, []),
        ({"support": 1.0}, ["supported people left 2."]),
        ({"support": -1.0}, ["supported people left only"]),
        ({"use": 1.2, "base": -5}, ["people who left had had 1."]),
        # Significant beyond doubt with so many people, but not a third more.
        ({"support": 0.15, "n": 40_000}, []),
    ],
)
def test_notes_speak_when_leaving_is_related_to_something(more, said):
    notes = leaving_notes(world(**{"n": 6000, "base": -3.0, **more})[0], "gp")
    assert len(notes) == len(said)
    for note, words in zip(notes, said, strict=True):
        assert words in note
        assert "censoring_weights" in note


@pytest.mark.parametrize("estimator", ["two_by_two", "twfe", "callaway_santanna", "etwfe"])
def test_every_result_says_where_leaving_is_related_to_something(estimator):
    panel, _ = world(n=6000, base=-3.0, support=1.0)
    notes = did.estimate(panel, outcome="gp", estimator=estimator).method["notes"]
    assert [note for note in notes if note.startswith("Leaving")] == leaving_notes(panel, "gp")
    unmatched = replace(panel, weights=np.where(panel.exposure["gp"][:, -1] > 0, 1.0, 0.0))
    notes = did.estimate(unmatched, outcome="gp", estimator=estimator).method["notes"]
    assert not any(note.startswith("Leaving") for note in notes)


def test_notes_are_silent_where_leaving_is_weighed_for():
    panel, _ = world(n=6000, base=-3.0, support=1.0)
    assert leaving_notes(panel, "gp")
    weighed = censoring_weights(panel)
    assert leaving_notes(weighed, "gp") == []
    assert "Censoring weights: about" in weighed.notes[-1]


def test_few_leavers_say_nothing():
    panel, _ = world(n=60, base=-5, support=2.5)
    assert 0 < leaving(panel, outcome="gp").table["left"].sum() < 10
    assert leaving_notes(panel, "gp") == []


def test_notes_do_not_cry_wolf():
    """At the null |z| > 2 in 4.6% of draws for each of two tests; with the third asked for, in fewer."""
    spoken = sum(bool(leaving_notes(world(n=800, base=-2.5, seed=seed)[0], "gp")) for seed in range(100))
    assert spoken <= 10


def test_clusters_that_leave_together_widen_the_test():
    """Buildings that close: one event each, however many tenants."""
    panel, _ = world(n=3000, base=-30)
    building = np.arange(3000) // 30
    rng = np.random.default_rng(5)
    closed = rng.random(100) < 0.25
    last = np.where(closed, rng.integers(1, 7, 100), 8)[building]
    time = (np.arange(8) <= last[:, None]).astype(float)
    panel = replace(panel, exposure={"gp": time}, outcomes={"gp": panel.outcomes["gp"] * time})
    by_person = abs(relations(panel)["past use"]["statistic"])
    by_building = abs(relations(replace(panel, cluster=building))["past use"]["statistic"])
    assert by_person != pytest.approx(by_building, rel=0.05)


def test_leaving_can_be_released():
    panel, _ = world(n=4000, base=-3)
    panel = replace(panel, ended=np.where(panel.exposure["gp"][:, -1] > 0, "", "move").astype(object))
    released = release({"leaving": leaving(panel, outcome="gp")}, "hes")["leaving"]
    assert (released.table["left"] % 5 == 0).all()


# Weights ------------------------------------------------------------------------------------------------


def test_weights_are_those_of_a_pooled_logit():
    """A slow twin: statsmodels' logit on one row a person and period, and running products by hand."""
    panel, _ = world(n=400, T=6, base=-2.5, support=-0.5, use=0.5, age=0.5, start=3)
    frame = spells_by_hand(panel)
    dummies = pd.get_dummies(frame["t"], dtype=float)
    x = np.column_stack([dummies, frame[["arm", "supported", "age", "log_rate", "log_recent"]]])
    logit = sm.Logit(frame["left"], x).fit(disp=0)
    share = 1 - frame[frame["arm"] == 1].groupby("t")["left"].mean()
    frame["step"] = frame["t"].map(share) / (1 - logit.predict())
    expected = np.ones((400, 6))
    for i, mine in frame.groupby("i"):
        for t, step in zip(mine["t"], mine["step"], strict=True):
            expected[i, t + 1 :] *= step
    found = censoring_weights(panel, covariates=["age"], truncate=1)
    at_risk = panel.exposure["gp"] > 0
    np.testing.assert_allclose(found.censoring_weights[at_risk], expected[at_risk], rtol=1e-6)
    # Both arms are brought to the follow-up of the supported, and their own person-time stays what it was.
    time = (found.censoring_weights * at_risk)[panel.treated].sum(0)
    np.testing.assert_allclose(time, at_risk[panel.treated].sum(0), rtol=0.05)
    controls = (found.censoring_weights * at_risk)[~panel.treated].sum(0) / (~panel.treated).sum()
    np.testing.assert_allclose(controls, at_risk[panel.treated].mean(0), rtol=0.15)
    cut = censoring_weights(panel, covariates=["age"], truncate=0.9)
    for arm in (panel.treated, ~panel.treated):
        for t in range(6):
            here = arm & at_risk[:, t]
            limit = np.quantile(expected[here, t], 0.9)
            np.testing.assert_allclose(cut.censoring_weights[here, t], np.minimum(expected[here, t], limit))
    assert "the largest 10 per cent are cut" in cut.notes[-1]


def test_nobody_leaves_and_all_weights_are_one():
    panel, _ = world(n=200, base=-30)
    found = censoring_weights(panel, covariates=["age"])
    assert (found.censoring_weights == 1).all()
    assert found.notes == panel.notes
    for family, effects in (("poisson", "arm"), ("linear", "arm"), ("poisson", "person")):
        plain, weighed = (
            did.two_by_two(p, outcome="gp", family=family, effects=effects) for p in (panel, found)
        )
        np.testing.assert_allclose(weighed.estimate, plain.estimate)
        np.testing.assert_allclose(weighed.std_error, plain.std_error)


def test_weights_that_change_with_time_have_no_place_in_a_persons_own_change():
    panel, _ = world(n=300, base=-2.5, use=0.5)
    with pytest.raises(DesignError, match="use effects='arm'"):
        did.two_by_two(censoring_weights(panel), outcome="gp", family="linear", effects="person")


def test_the_dead_are_not_censored():
    panel, _ = world(n=600, base=-2.5, use=1.0)
    early = panel.exposure["gp"][:, -1] == 0
    dead = replace(panel, ended=np.where(early, "death", "").astype(object))
    assert (censoring_weights(dead).censoring_weights == 1).all()
    moved = replace(panel, ended=np.where(early, "move", "").astype(object))
    unknown = censoring_weights(panel).censoring_weights
    np.testing.assert_array_equal(censoring_weights(moved).censoring_weights, unknown)
    some = np.arange(600) % 3 == 0
    mixed = replace(panel, ended=np.where(early, np.where(some, "opted out", "move"), "").astype(object))
    one_reason = censoring_weights(mixed, reasons=["opted out"]).censoring_weights
    assert not np.allclose(one_reason, unknown)
    assert one_reason.max() < unknown.max()


# Randomised arms and leaving by use so far and by age, much less of it under support: those who stay among
# the controls are the light users. One large draw: the weighted estimate must lie within 3 of its standard
# errors of the truth (0.3% of draws fail by chance), the other more than 4 from it; truncated weights leave
# some bias in, and must at least halve the distance. The truth is over the
# follow-up of the supported: the ratio is 0.8, and the difference -0.2 of their rate without support. Over
# 100 draws of 4,000 people with milder leaving the bias of the ratio fell from 0.052 to 0.012 (0.003), and
# to -0.004 (0.007) without truncation.
@pytest.mark.parametrize("truncate", [0.99, 1])
@pytest.mark.parametrize(
    ("estimator", "more"),
    [("two_by_two", {"family": "poisson"}), ("two_by_two", {"family": "linear"}), ("callaway_santanna", {})],
)
def test_weights_recover_the_effect_where_leaving_is_informative(estimator, more, truncate):
    panel, rate = world(n=20_000, base=-3.5, support=-2.0, use=1.0, age=0.5, seed=7, trend=1.15)
    observed = panel.exposure["gp"][panel.treated][:, 4:] > 0
    days = observed.mean(0) / observed.mean(0).sum()
    scale = "log ratio" if "poisson" in more.values() else "difference"
    truth = np.log(0.8) if scale == "log ratio" else -200 * rate[panel.treated][:, 4:].mean(0) @ days
    weighed = censoring_weights(panel, covariates=["age"], truncate=truncate)
    errors = {}
    for name, given in (("plain", panel), ("weighed", weighed)):
        effects = did.summarise(did.ESTIMATORS[estimator](given, outcome="gp", **more))
        table = effects.table.set_index("scale")
        errors[name] = (table.loc[scale, "estimate"] - truth) / table.loc[scale, "std_error"]
    assert errors["plain"] > 4
    assert abs(errors["weighed"]) < (3 if truncate == 1 else errors["plain"] / 2)


def test_counts_stay_counts_under_weights():
    panel, _ = world(n=1000, base=-3, use=1.0)
    plain, weighed = (did.two_by_two(p, outcome="gp") for p in (panel, censoring_weights(panel)))
    pd.testing.assert_frame_equal(plain.counts, weighed.counts)
    assert not np.allclose(plain.estimate, weighed.estimate)


@pytest.mark.parametrize("truncate", [0, 1.5])
def test_a_share_to_truncate_at_lies_between_0_and_1(truncate):
    with pytest.raises(ParameterError, match="truncate"):
        censoring_weights(world(n=50)[0], truncate=truncate)


def test_reasons_must_be_known():
    panel, _ = world(n=500, base=-2.5)
    with pytest.raises(DataError, match="does not say why"):
        censoring_weights(panel, reasons=["move"])
    ended = np.where(panel.exposure["gp"][:, -1] > 0, "", "move").astype(object)
    with pytest.raises(DataError, match=r"nobody left for 'moved'.*'move'"):
        censoring_weights(replace(panel, ended=ended), reasons=["moved"])
    for word in ("death", "Died"):
        with pytest.raises(ParameterError, match=f"'{word}' is a death"):
            censoring_weights(replace(panel, ended=ended), reasons=["move", word])
    one, listed = (censoring_weights(replace(panel, ended=ended), reasons=r) for r in ("move", ["move"]))
    np.testing.assert_array_equal(one.censoring_weights, listed.censoring_weights)


# Where the reasons come from -------------------------------------------------------------------------


def test_a_cohort_says_why_time_ended():
    people = pd.DataFrame(
        {
            "person_id": ["t1", "t2", "t3", "c1", "c2", "c3"],
            "arm": ["help"] * 3 + ["usual"] * 3,
            "start_date": ["2024-02-10", "2024-03-01", "2024-02-01", None, "2024-05-10", None],
            "died": ["2024-04-15", None, None, "2024-09-01", None, None],
            "moved_out": [None, "2024-05-01", None, None, None, None],
            "tenancy_end": [None, "2024-05-01", None, None, None, "2024-03-31"],
        }
    )
    contacts = pd.DataFrame(
        {"person_id": people["person_id"], "service": "gp", "start": "2024-01-15", "end": None}
    )
    coverage = pd.DataFrame({"service": ["gp"], "first_date": "2024-01-01", "last_date": "2024-06-30"})
    cohort = read_cohort(
        people=people, contacts=contacts, coverage=coverage, treated=["help"], control=["usual"]
    )
    panel = cohort.panel(outcomes=["gp"])
    said = dict(zip(panel.unit, panel.ended, strict=True))
    assert said == {"t1": "death", "t2": "move", "t3": "", "c1": "", "c2": "support", "c3": "tenancy"}
    table = leaving(panel, outcome="gp").table.set_index("arm")
    assert table.loc["supported", ["left", "died"]].tolist() == [1, 1]
    assert table.loc["control", ["left", "died"]].tolist() == [1, 0]
    # A panel that ends before the death does not know of it.
    assert cohort.panel(outcomes=["gp"], end="2024-03").ended[0] == ""
    assert panel.subset(panel.treated).ended.tolist() == ["death", "move", ""]
