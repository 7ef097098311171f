import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from impact.data import synthetic, worlds
from impact.data.contract import TABLES
from impact.data.invented_answers import interviews
from impact.errors import ParameterError

SERVICES = list(worlds.SERVICES)


def observed(drawn, events, outcome):
    """Events of the supported from their start to the study's end, counted plainly from the contacts."""
    end = np.minimum(drawn.leave, worlds.DAYS)
    kept = drawn.supported[events["person"]] & (
        events["service"].isin([SERVICES.index(s) for s in worlds.STAYS])
        if outcome == "bed_days"
        else events["service"] == SERVICES.index(outcome)
    )
    rows = events[kept]
    if outcome == "bed_days":
        nights = np.repeat(np.arange(len(rows)), rows["nights"])
        first = np.repeat(np.cumsum(rows["nights"]) - rows["nights"], rows["nights"])
        day = rows["day"].to_numpy()[nights] + np.arange(len(nights)) - first.to_numpy()
        rows = pd.DataFrame({"person": rows["person"].to_numpy()[nights], "day": day}).drop_duplicates()
    if outcome == "gp":
        end = np.minimum(end, (worlds.SERVICES["gp"].last - worlds.FIRST).astype(int) + 1)
    who = rows["person"].to_numpy()
    return int(((rows["day"] >= drawn.start[who]) & (rows["day"] < end[who])).sum())


def plain_truth(drawn, person, outcome):
    """With and without support, day by day and admission by admission: the slow twin of ``expected``."""
    services = worlds.STAYS if outcome == "bed_days" else (outcome,)
    last = min(int((worlds.SERVICES[s].last - worlds.FIRST).astype(int)) for s in services)
    window = [d for d in range(drawn.start[person], worlds.DAYS) if d < drawn.leave[person] and d <= last]
    totals = []
    for supported in (True, False):
        in_hospital = np.zeros(worlds.DAYS)
        events = np.zeros(worlds.DAYS)
        for name in services:
            number, service = SERVICES.index(name), worlds.SERVICES[name]
            rate = np.diff(worlds.calendar_shape(name)) * drawn.rates[person, number]
            if supported:
                rate[drawn.start[person] :] *= drawn.effects[number]
            if drawn.world == "crisis":
                for back in range(1, worlds.PEAK_DAYS + 1):
                    height = service.peak * ((back - 0.5) / worlds.PEAK_DAYS) ** 2
                    rate[drawn.start[person] - back] += drawn.rates[person, number] * height
            events += rate
            longer = 1 - np.cumsum(worlds.stay_lengths(name)) if name in worlds.STAYS else []
            for night, share in enumerate(longer):
                in_hospital[night:] += rate[: worlds.DAYS - night] * share
        each = 1 - np.exp(-in_hospital) if outcome == "bed_days" else events
        totals.append(each[window].sum())
    return totals


@pytest.mark.parametrize("outcome", ["gp", "ae", "emergency_admission", "bed_days"])
def test_expected_events_equal_the_plain_twin(outcome):
    drawn = worlds.population(np.random.default_rng(3), people=200)
    fast = worlds.expected(drawn, outcome=outcome, begin=drawn.start, end=worlds.DAYS)
    for person in np.flatnonzero(drawn.supported)[:8]:
        # Nights differ by the variation of the chance of being in hospital within one person's window.
        tolerance = 1e-3 if outcome == "bed_days" else 1e-10
        twin = plain_truth(drawn, person, outcome)
        assert [fast[0][person], fast[1][person]] == pytest.approx(twin, rel=tolerance)


@pytest.mark.parametrize("world", ["randomised", "selection", "crisis"])
def test_contacts_occur_as_often_as_the_truth_expects(world):
    drawn = worlds.population(np.random.default_rng(11), people=600, world=world)
    known = worlds.truth(drawn)["to_study_end"]
    rng = np.random.default_rng(12)
    draws = [synthetic.contacts(rng, drawn, np.arange(600)) for _ in range(60)]
    for outcome in worlds.OUTCOMES:
        counts = np.array([observed(drawn, events, outcome) for events in draws])
        error = counts.std(ddof=1) / np.sqrt(len(counts))
        assert abs(counts.mean() - known[outcome]["O"]) < 4 * error


def test_truth_without_support_is_the_truth_of_a_world_where_it_does_nothing():
    effects = dict.fromkeys(SERVICES, 1.0)
    real = worlds.truth(worlds.population(np.random.default_rng(5)))
    inert = worlds.truth(worlds.population(np.random.default_rng(5), effects=effects))
    for outcome in worlds.OUTCOMES:
        assert real["to_study_end"][outcome]["M"] == pytest.approx(inert["to_study_end"][outcome]["O"])
        assert inert["to_study_end"][outcome]["events_avoided"] == pytest.approx(0)


def test_scales_of_the_truth_agree_and_arms_add_up():
    known = worlds.truth(worlds.population(np.random.default_rng(5)))
    for window in ("to_study_end", "first_12_months", "calendar_months"):
        for outcome, scales in known[window].items():
            arms = [known["arms"][arm][window][outcome] for arm in worlds.SUPPORTED]
            for part in "OMP":
                assert sum(arm[part] for arm in arms) == pytest.approx(scales[part], abs=1e-5)
            change = 1000 * (scales["O"] - scales["M"]) / scales["P"]
            assert scales["difference_per_1000_person_months"] == pytest.approx(change, abs=1e-4)
    # Counting whole months of start adds time without effect, so the same events are avoided.
    avoided = [known[w]["ae"]["events_avoided"] for w in ("to_study_end", "calendar_months")]
    assert avoided[0] == pytest.approx(avoided[1])
    assert known["calendar_months"]["ae"]["P"] > known["to_study_end"]["ae"]["P"]


def test_crisis_comes_before_the_start_and_is_over_by_it():
    inert = dict.fromkeys(SERVICES, 1.0)
    rates = {}
    for world in ("crisis", "selection"):
        drawn = worlds.population(np.random.default_rng(2), people=5000, world=world, effects=inert)
        events = synthetic.contacts(np.random.default_rng(3), drawn, np.arange(5000))
        events = events[events["service"] == SERVICES.index("ae")]
        since = events["day"] - drawn.start[events["person"]]
        windows = {"usual": (-270, -90), "peak": (-90, -60), "last": (-10, 0), "after": (0, 180)}
        rates[world] = {k: ((since >= a) & (since < b)).sum() / (b - a) for k, (a, b) in windows.items()}
    assert rates["crisis"]["peak"] > 2.5 * rates["crisis"]["usual"]
    assert rates["crisis"]["last"] < 1.25 * rates["crisis"]["usual"]
    assert rates["crisis"]["after"] == pytest.approx(rates["crisis"]["usual"], rel=0.1)
    assert rates["selection"]["peak"] == pytest.approx(rates["selection"]["usual"], rel=0.15)


def test_worlds_differ_in_who_is_supported():
    ratio = {}
    for world in worlds.SELECTION:
        drawn = worlds.population(np.random.default_rng(4), people=20_000, world=world)
        need = drawn.rates.sum(1)
        ratio[world] = need[drawn.start < worlds.NEVER].mean() / need[drawn.start == worlds.NEVER].mean()
    assert ratio["randomised"] == pytest.approx(1, abs=0.06)
    assert 1.1 < ratio["crisis"] < ratio["selection"] < 2


def test_demo_has_the_trials_arms_and_over_dispersed_correlated_counts():
    drawn = synthetic.draw(np.random.default_rng(6), people=1200)
    assert drawn.people["arm"].value_counts().to_dict() == {
        "pool": 668, "control": 186, "hand_holding": 174, "signposting": 172,
    }  # fmt: skip
    attended = drawn.contacts[drawn.contacts["status"] == "attended"]
    counts = attended.groupby(["person_id", "service"]).size().unstack(fill_value=0)
    assert (counts.var() / counts.mean()).min() > 1.5
    assert counts[["ae", "emergency_admission"]].corr().iloc[0, 1] > 0.2
    supported = drawn.people.dropna(subset="start_date")
    assert (supported["start_date"] <= supported["died"].fillna(pd.Timestamp("2100-01-01"))).all()


def test_tables_hold_to_the_contract():
    drawn = synthetic.draw(np.random.default_rng(6), people=400)
    for name, frame in {
        "people": drawn.people, "contacts": drawn.contacts, "coverage": drawn.coverage,
    }.items():  # fmt: skip
        for column in TABLES[name].columns:
            if column.name in frame and column.allowed:
                assert set(frame[column.name].dropna()) <= set(column.allowed)
        assert set(frame.columns) <= set(TABLES[name].names)
    gone = drawn.people.set_index("person_id")["died"].reindex(drawn.contacts["person_id"]).to_numpy()
    assert not (drawn.contacts["start"].to_numpy() > gone).any()


def test_same_seed_same_files_and_only_the_truth_is_free_of_people(tmp_path: Path):
    known = synthetic.make(tmp_path / "a", people=200, seed=1)
    synthetic.make(tmp_path / "b", people=200, seed=1)
    synthetic.make(tmp_path / "c", people=200, seed=2)
    for name in ("people.csv", "contacts.csv", "coverage.csv", "survey.csv", "truth.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert (tmp_path / "a/contacts.csv").read_bytes() != (tmp_path / "c/contacts.csv").read_bytes()
    assert json.loads((tmp_path / "a/truth.json").read_text()) == known
    assert "T0000" not in (tmp_path / "a/truth.json").read_text()


def test_large_populations_are_written_in_chunks_as_parquet(tmp_path: Path, monkeypatch):
    import duckdb

    synthetic.make(tmp_path, people=300)
    monkeypatch.setattr(synthetic, "CHUNK", 120)
    synthetic.make(tmp_path, people=300)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "contacts.parquet", "coverage.csv", "people.parquet", "survey.csv", "truth.json",
    ]  # fmt: skip
    counted = duckdb.sql(f"SELECT count(DISTINCT person_id), count(*) FROM '{tmp_path}/contacts.parquet'")
    people, rows = counted.fetchall()[0]
    assert 250 < people <= 300
    assert rows > 7000
    described = duckdb.sql(f"DESCRIBE SELECT * FROM '{tmp_path}/people.parquet'").fetchall()
    types = {name: kind for name, kind, *_ in described}
    assert types["start_date"] == "DATE"


def test_all_mistakes_are_told_together(tmp_path: Path):
    with pytest.raises(ParameterError) as caught:
        synthetic.make(
            tmp_path / "x", people=5, world="crises", buildings=0, effects={"bed_days": 1, "aee": 1, "ae": -1}
        )
    message = str(caught.value)
    assert "Did you mean 'crisis'?" in message
    assert "people=5" in message
    assert "buildings=0" in message
    assert "It follows from the two kinds of admission" in message
    assert "Did you mean 'ae'?" in message
    assert "effects['ae']=-1" in message
    assert not (tmp_path / "x").exists()
    with pytest.raises(ParameterError, match="use make"):
        synthetic.draw(np.random.default_rng(1), people=60_000)


def test_who_leaves_before_the_start_keeps_the_arm_and_is_not_studied():
    drawn = worlds.population(np.random.default_rng(6), people=5000, world="randomised")
    in_arms = drawn.people["arm"].isin(worlds.SUPPORTED).to_numpy()
    waiting = in_arms & (drawn.start == worlds.NEVER)
    assert 0.05 < waiting.sum() / in_arms.sum() < 0.15
    assert (drawn.leave[waiting] < worlds.DAYS).all()
    assert not drawn.studied[waiting].any()
    assert drawn.studied[drawn.supported].all()


def test_answers_hold_the_change_that_the_truth_says():
    """Over draws the change with support less that without it is the truth; about a fifth are lost."""
    gaps, lost = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        drawn = worlds.population(rng, people=3000, world="randomised")
        survey, truth = interviews(rng, drawn)
        told = truth["12 months"]
        lost.append(1 - told["answered"] / truth["asked"])
        wide = survey.pivot(index="person_id", columns="wave", values="life_satisfaction").astype(float)
        arm = drawn.people.set_index("person_id")["arm"].reindex(wide.index)
        change = (wide["12 months"] - wide["before"]).groupby(arm.ne("control")).mean()
        gaps.append(change[True] - change[False] - told["difference"]["life_satisfaction"])
    assert 0.15 < np.mean(lost) < 0.25
    assert abs(np.mean(gaps)) < 4 * np.std(gaps, ddof=1) / np.sqrt(len(gaps))
    assert 0.4 < told["difference"]["life_satisfaction"] < 0.6
