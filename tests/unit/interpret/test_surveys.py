"""What people said: closed forms, another implementation, recovery of a known truth, and what is refused."""

import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from impact.data import Cohort, Panel, read_cohort
from impact.data.scores import measure
from impact.data.survey import waves
from impact.errors import DesignError, ParameterError
from impact.interpret import surveyed
from impact.interpret.surveys import _beside_said, changes, drop_out_weights
from impact.match import mean_difference, nearest

N = 240
TURNED = {"low": -0.6, "high": 1, "better": "lower"}
OWN = {"utility": {"low": -0.6, "high": 1, "better": "higher"}}
ASKED = {"outcomes": ["life_satisfaction", "in_work", "n_gp"], "before": "0", "after": ["6"], "own": OWN}


def tables(seed: int = 1, n: int = N) -> dict[str, pd.DataFrame]:
    """Half with support; about a fifth do not answer again; buildings of people."""
    rng = np.random.default_rng(seed)
    ids = [f"p{i:04d}" for i in range(n)]
    treated = np.arange(n) % 2 == 0
    people = pd.DataFrame(
        {
            "person_id": ids,
            "arm": np.where(treated, "help", "usual"),
            "start_date": np.where(treated, "2024-02-10", None),
            "building_id": [f"b{i % 31}" for i in range(n)],
            "age": rng.integers(50, 90, n),
        }
    )
    parts = []
    for wave, day in (("0", "2024-02-01"), ("6", "2024-08-01")):
        after = wave == "6"
        part = pd.DataFrame({"person_id": ids, "wave": wave, "interview_date": day, "recall_days": 90})
        part["life_satisfaction"] = rng.integers(2, 9, n) + (after & treated)
        part["in_work"] = rng.random(n) < 0.3 + 0.2 * (after & treated)
        part["n_gp"] = rng.poisson(2, n)
        part["utility"] = rng.random(n).round(2)
        part["mode"] = "telephone"
        parts.append(part[rng.random(n) < 0.8] if after else part)
    days = np.where(treated, "2024-01-01", "2024-12-31")
    contacts = pd.DataFrame({"person_id": ids, "service": "gp", "start": days})
    return {"people": people, "contacts": contacts, "survey": pd.concat(parts)}


def read(given: dict[str, pd.DataFrame]):
    return read_cohort(**given, treated=["help"], control=["usual"])


@pytest.fixture(scope="module")
def cohort():
    return read(tables())


def long(cohort, name: str) -> pd.DataFrame:
    """One row a person and wave, of those who answered twice, as statsmodels takes them."""
    panel = waves(cohort, outcomes=[name], before="0", after="6", cluster="building_id")
    twice = panel.subset((panel.exposure[name] > 0).all(1))
    return pd.DataFrame(
        {
            "y": twice.outcomes[name].ravel(),
            "d": np.repeat(twice.treated, 2).astype(int),
            "t": np.tile([0, 1], twice.n),
            "time": twice.exposure[name].ravel(),
            "g": np.repeat(pd.factorize(twice.cluster)[0], 2),
        }
    )


@pytest.mark.parametrize(("name", "factor"), [("life_satisfaction", 1), ("in_work", 100)])
def test_a_difference_in_means_and_its_error_are_those_of_statsmodels(cohort, name, factor):
    panel = waves(cohort, outcomes=[name], before="0", after="6", cluster="building_id")
    found = changes(panel, [measure(name)])
    rows = long(cohort, name)
    fit = smf.ols("y ~ d * t", rows).fit(cov_type="cluster", cov_kwds={"groups": rows["g"]})
    assert found.estimate[0] == pytest.approx(factor * fit.params["d:t"], abs=1e-10)
    assert found.std_error[0] == pytest.approx(factor * fit.bse["d:t"], abs=1e-10)
    means = rows.groupby(["d", "t"])["y"].mean()
    assert found.estimate[0] == pytest.approx(
        factor * (means[1, 1] - means[1, 0] - means[0, 1] + means[0, 0]), abs=1e-10
    )


def test_a_risk_difference_is_that_of_the_two_by_two_tables(cohort):
    """By hand: the change in the share of yes with support, less that without it, per 100 people."""
    rows = long(cohort, "in_work")
    yes = rows.groupby(["d", "t"])["y"].agg(["sum", "count"])
    share = yes["sum"] / yes["count"]
    by_hand = 100 * ((share[1, 1] - share[1, 0]) - (share[0, 1] - share[0, 0]))
    found = surveyed(cohort, asked=ASKED)["said"]
    mine = found.select(found.labels["outcome"] == "in_work")
    assert mine.estimate[0] == pytest.approx(by_hand, abs=1e-10)
    assert mine.labels["unit"].tolist() == ["per 100 people"]
    # The smallest of all yeses and noes decides whether it may be shown.
    cells = np.concatenate([yes["sum"], yes["count"] - yes["sum"]])
    assert mine.counts["fewest"].tolist() == [cells.min()]


def test_counts_are_rates_of_the_time_looked_back_over():
    """Twice the count over twice the time, after, is no change; recall that differs by group is refused."""
    given = tables()
    after = given["survey"]["wave"] == "6"
    plain = surveyed(read(given), asked=ASKED)["said"]
    given["survey"].loc[after, ["n_gp", "recall_days"]] *= 2
    scaled = surveyed(read(given), asked=ASKED)["said"]
    assert scaled.estimate[-1] == pytest.approx(plain.estimate[-1], abs=1e-10)
    assert any("do not all look back over the same time" in note for note in scaled.method["notes"])
    helped = given["survey"]["person_id"].isin(given["people"].query("arm == 'help'")["person_id"])
    given["survey"].loc[after & helped, "recall_days"] = 30
    with pytest.raises(DesignError, match="n_gp look back over other times in one group than in the other"):
        surveyed(read(given), asked=ASKED)


def test_another_way_of_asking_one_group_is_told():
    given = tables()
    after = given["survey"]["wave"] == "6"
    given["survey"].loc[after, "mode"] = "face to face"
    notes = surveyed(read(given), asked=ASKED)["said"].method["notes"]
    assert any("in either group" in note for note in notes)
    helped = given["survey"]["person_id"].isin(given["people"].query("arm == 'help'")["person_id"])
    given["survey"].loc[helped, "mode"] = "telephone"
    notes = surveyed(read(given), asked=ASKED)["said"].method["notes"]
    assert any("The two groups were not asked in the same way" in note for note in notes)


def test_one_change_has_one_value(cohort):
    asked = ASKED | {"outcomes": ["life_satisfaction", "utility"]}
    found = surveyed(cohort, asked=asked, worth={"wellby": {"years": 2}})
    effect = found["said"].estimate[0]
    assert found["worth"].estimate.tolist() == pytest.approx([2 * p * effect for p in (1e4, 1.3e4, 1.6e4)])
    assert found["worth"].labels["unit"].unique().tolist() == [
        "GBP a person, if it lasts 2 years: GBP 13,000 a point and year, "
        "HM Treasury Wellbeing Guidance for Appraisal, July 2021, 2019 prices"
    ]
    health = {"of": "utility", "years": 1, "price_gbp": 20_000, "prices": "2019 prices"}
    alone = surveyed(cohort, asked=asked, worth={"qaly": health})["worth"]
    assert alone.estimate.tolist() == pytest.approx([20_000 * found["said"].estimate[1]])
    with pytest.raises(ParameterError, match="valued twice"):
        surveyed(cohort, asked=asked, worth={"wellby": {"years": 1}, "qaly": health})


def test_a_scale_of_its_own_and_standard_deviations_say_the_same(cohort):
    found = surveyed(cohort, asked=ASKED | {"outcomes": ["life_satisfaction", "in_work"]})
    plain, scaled = (found[name].table for name in ("said", "said_standard"))
    assert scaled["statistic"].tolist() == pytest.approx(plain["statistic"].tolist())
    lower = surveyed(cohort, asked=ASKED | {"outcomes": ["utility"], "own": {"utility": TURNED}})
    assert np.sign(lower["said_standard"].estimate[0]) == -np.sign(lower["said"].estimate[0])


def test_matched_people_are_alike_in_what_they_said_before(cohort):
    found = surveyed(cohort, asked=ASKED, sample=SAMPLE)["said_matched"]
    assert found.labels["outcome"].tolist() == ["life_satisfaction", "in_work"]
    assert found.labels["unit"].tolist() == ["points", "per 100 people"]
    # By hand: the change is compared within pairs that are alike in age and in the answer before.
    panel = waves(cohort, outcomes=["life_satisfaction"], before="0", after="6", covariates=["age"])
    twice = panel.subset((panel.exposure["life_satisfaction"] > 0).all(1))
    answers = twice.outcomes["life_satisfaction"]
    frame = pd.DataFrame({"helped": twice.treated, "age": twice.covariates["age"], "before": answers[:, 0]})
    frame = frame.assign(change=np.diff(answers, axis=1)[:, 0]).astype(float)
    pairs = nearest(Cohort.from_frame(frame, treated="helped"), on=["age", "before"], caliper=0.3)
    assert found.estimate[0] == pytest.approx(mean_difference(pairs, outcome="change").estimate[0])
    few = SAMPLE | {"matching": SAMPLE["matching"] | {"exact": ["arm"]}}
    notes = surveyed(cohort, asked=ASKED, sample=few)["said"].method["notes"]
    assert any(note.startswith("The people who answered could not be matched") for note in notes)


SAMPLE = {
    "baseline": {"outcomes": ["gp"], "months": 3, "index_date": "drawn", "seed": 1},
    "matching": {"method": "nearest", "on": ["age"], "ratio": 1, "caliper": 0.3},
}


def test_a_column_with_the_name_of_a_question_is_matched_on_as_it_is():
    """What is compared, the change, is not what people are matched on."""
    given = tables()
    named = {"life_satisfaction": "age", "before_life_satisfaction": "age"}
    given["people"] = given["people"].assign(
        **{n: given["people"][c].astype(float) for n, c in named.items()}
    )
    asked = ASKED | {"outcomes": ["life_satisfaction"]}
    plain = surveyed(read(given), asked=asked, sample=SAMPLE)["said_matched"]
    on = SAMPLE["matching"] | {"on": ["life_satisfaction"]}
    same = surveyed(read(given), asked=asked, sample=SAMPLE | {"matching": on})["said_matched"]
    assert same.estimate.tolist() == pytest.approx(plain.estimate.tolist())
    assert same.labels["outcome"].tolist() == ["life_satisfaction"]


def test_matched_answers_do_not_tell_who_was_left_out(cohort):
    found = surveyed(cohort, asked=ASKED, sample=SAMPLE)
    mine, all_ = found["said_matched"].counts, found["said"].counts.iloc[:2]
    assert mine["persons"].tolist() == all_["persons"].tolist()
    assert mine["treated"].tolist() == all_["treated"].tolist()
    assert (mine["fewest"].to_numpy() <= all_["fewest"].to_numpy()).all()
    panel = waves(cohort, outcomes=["life_satisfaction"], before="0", after="6")
    one, used = measure("life_satisfaction"), np.ones(panel.n, bool)
    used[np.flatnonzero((panel.exposure["life_satisfaction"] > 0).all(1))[:3]] = False
    said = {"persons": 190, "treated": 95, "fewest": 95}
    assert _beside_said(panel, one, used, said, said)["fewest"] in (1, 2)


def test_without_contacts_nobody_needs_a_partner_s_date(cohort):
    baseline = {"outcomes": [], "months": 3, "index_date": "partner", "seed": 1}
    found = surveyed(cohort, asked=ASKED, sample=SAMPLE | {"baseline": baseline})
    drawn = surveyed(cohort, asked=ASKED, sample=SAMPLE)["said_matched"]
    assert found["said_matched"].estimate.tolist() == pytest.approx(drawn.estimate.tolist())


def test_a_column_that_some_lack_is_not_used_for_weights():
    given = tables()
    plain = surveyed(read(given), asked=ASKED)["said_weighted"]
    given["people"]["age"] = given["people"]["age"].astype(float).mask(given["people"].index == 3)
    found = surveyed(read(given), asked=ASKED | {"drop_out": ["age"]})
    assert found["said_weighted"].estimate.tolist() == pytest.approx(plain.estimate.tolist())
    assert any(note.startswith("age is missing for some people") for note in found["said"].method["notes"])


def test_where_nobody_changes_there_is_no_change_to_be_sure_of():
    """What a regression gives for its error is then rounding."""
    given = tables()
    given["survey"] = given["survey"].assign(in_work=True, utility=0.7)
    found = surveyed(read(given), asked=ASKED | {"outcomes": ["life_satisfaction", "in_work", "utility"]})
    table = found["said"].table.set_index("outcome")
    for name in ("in_work", "utility"):
        assert table.loc[name, "estimate"] == 0
        assert table.loc[name, ["std_error", "p_value", "conf_low"]].isna().all()
        assert f"{name}: in each group all changed alike" in " ".join(found["said"].method["notes"])
    assert table.loc["life_satisfaction", "std_error"] > 0


def lost_by_level(seed: int, n: int) -> tuple[float, float, float]:
    """A change that depends on the answer before, and a loss that does so in one group alone.

    Everyone moves half way to 5 by themselves and support adds 1. Of those with support the worse off are
    lost, so that those who stay fall by half of what they lie above 5: the estimate as it is must be too
    small by half of how much those who stay lie above all.
    """
    rng = np.random.default_rng(seed)
    treated = np.arange(n) % 2 == 0
    before = rng.integers(1, 10, n)
    after = 5 + 0.5 * (before - 5) + treated + rng.normal(0, 1, n)
    stays = ~treated | (rng.random(n) < 1 / (1 + np.exp(-0.6 * (before - 5))))
    panel = _panel(treated, before.astype(float), after, stays)
    one = [measure("life_satisfaction")]
    plain = changes(panel, one).estimate[0]
    weighed = changes(replace(panel, weights=drop_out_weights(panel, "life_satisfaction")), one).estimate[0]
    predicted = 1 - 0.5 * (before[treated & stays].mean() - before[treated].mean())
    return plain, weighed, predicted


def _panel(treated, before, after, stays):
    n = len(before)
    return Panel(
        unit=np.arange(n),
        periods=pd.Index(["0", "6"]),
        outcomes={"life_satisfaction": np.column_stack([before, np.where(stays, after, 0.0)])},
        exposure={"life_satisfaction": np.column_stack([np.ones(n), stays.astype(float)])},
        start=np.where(treated, 1, 2),
        treated=treated,
        covariates=pd.DataFrame(index=range(n)),
        cluster=np.arange(n),
        weights=np.ones(n),
        arm=np.where(treated, "help", "usual"),
        ended=np.where(stays, "", "drop-out").astype(object),
    )


def test_weights_undo_a_loss_that_hangs_on_the_answer_before():
    """Unweighted it is wrong by what was predicted; weighted it recovers the truth, 1."""
    many = bool(os.environ.get("IMPACT_SLOW"))
    draws = np.array([lost_by_level(seed, 4000) for seed in range(200 if many else 12)])
    plain, weighed, predicted = draws.mean(0)
    error = draws.std(0, ddof=1) / np.sqrt(len(draws))
    assert plain < 0.55
    assert plain == pytest.approx(predicted, abs=4 * error[0])
    # The largest weights are cut, which leaves a little of the bias in.
    assert weighed == pytest.approx(1, abs=4 * error[1] + 0.03)


def test_who_answered_adds_up(cohort):
    found = surveyed(cohort, asked=ASKED)
    stages = found["answered"].table.set_index(["arm", "stage"])["persons"]
    for arm in ("supported", "control"):
        assert stages[arm, "answered again"] + stages[arm, "did not answer again"] == N / 2
        assert stages[arm, "in the study"] - stages[arm, "not asked, or no answer before"] == N / 2
    spoken = found["spoken"].table
    rows = long(cohort, "life_satisfaction")
    mine = spoken.query("outcome == 'life_satisfaction' and arm == 'supported' and stage == 'answered again'")
    assert mine["mean"].tolist() == pytest.approx(rows[rows["d"] == 1].groupby("t")["y"].mean().tolist())


def test_without_a_section_there_is_nothing(cohort):
    assert surveyed(cohort, asked=None) == {}


def test_counts_alone_have_no_scale_in_common(cohort):
    found = surveyed(cohort, asked=ASKED | {"outcomes": ["n_gp"], "recall_error": (-0.36, 0.35)})
    assert "said_standard" not in found
    told, corrected = found["said"].estimate[0], found["said_recalled"].estimate
    assert found["said_recalled"].labels["term"].str.endswith(" after, but not before").all()
    assert corrected.tolist() == pytest.approx([told - np.log1p(-0.36), told - np.log1p(0.35)])
