"""Cohorts and their panels: a slow plain twin, and numbers worked out by hand."""

from __future__ import annotations

import calendar
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from impact.data import Cohort, read_cohort
from impact.data.contract import DAYS_PER_MONTH
from impact.errors import DataError, DesignError, ParameterError

DAY = timedelta(days=1)
OUTCOMES = ["gp", "ae", "emergency_admission", "bed_days"]
STAYS = ("emergency_admission", "elective_admission")


def study(**more):
    """Two treated and two controls with one gp contact each; columns by keyword."""
    people = pd.DataFrame(
        {
            "person_id": ["t1", "t2", "c1", "c2"],
            "arm": ["help", "help", "usual", "usual"],
            "start_date": ["2024-02-10", "2024-03-01", None, None],
        }
    )
    contacts = pd.DataFrame(
        {"person_id": ["t1", "t2", "c1", "c2"], "service": "gp", "start": "2024-01-15", "end": None}
    )
    coverage = pd.DataFrame({"service": ["gp"], "first_date": "2024-01-01", "last_date": "2024-06-30"})
    given = {
        "people": people,
        "contacts": contacts,
        "coverage": coverage,
        "treated": ["help"],
        "control": ["usual"],
    }
    return given | more


# The slow plain twin: a person's days one at a time.


def moved(day: date, months: int) -> date:
    index = day.year * 12 + day.month - 1 + months
    year, month = divmod(index, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def twin(people, contacts, coverage, listed, bounds_of):
    """Days at risk and counts by (person, outcome, period), one day at a time, in plain Python."""
    time, counts = {}, {}
    seen = set()
    kept = []
    for c in contacts:
        key = (c["person_id"], c["service"], c["start"], c["record_id"])
        if c["status"] not in (None, "attended") or (c["record_id"] and key in seen):
            continue
        seen.add(key)
        kept.append(c)
    for p in people:
        if p["arm"] not in listed or p["consent"] is False or p["opt_out"] is True or p["linked"] is False:
            continue
        mine = [c for c in kept if c["person_id"] == p["person_id"]]
        nights = set()
        for c in mine:
            if c["service"] in STAYS and c["end"]:
                nights |= {c["start"] + i * DAY for i in range((c["end"] - c["start"]).days)}
        bounds = bounds_of(p)

        def at_risk(day, service, p=p):
            covered = any(
                v["service"] == service
                and v["first_date"] <= day <= v["last_date"]
                and v["applies_to_arm"] in (None, p["arm"])
                for v in coverage
            )
            alive = all(day <= p[c] for c in ("died", "moved_out", "tenancy_end") if p[c])
            supported = p["arm"] in CONTROL and p["start_date"] and day >= p["start_date"]
            return (
                covered and alive and not supported and not (p["tenancy_start"] and day < p["tenancy_start"])
            )

        for t, (first, stop) in enumerate(pairwise(bounds)):
            for name in OUTCOMES:
                parts = STAYS if name == "bed_days" else (name,)
                days = [first + i * DAY for i in range((stop - first).days)]
                days = [d for d in days if all(at_risk(d, s) for s in parts)]
                time[p["person_id"], name, t] = len(days)
                if name == "bed_days":
                    n = sum(d in nights for d in days)
                else:
                    n = sum(c["start"] in set(days) for c in mine if c["service"] == name)
                counts[p["person_id"], name, t] = n
    return time, counts


CONTROL = ("usual", "pool")
LISTED = ("help", "more", *CONTROL)


@pytest.fixture(scope="module")
def random_study():
    """120 people with everything that goes wrong: deaths, moves, gaps in coverage, repeated records."""
    rng = np.random.default_rng(7)

    def day(low="2023-01-01", span=540, missing=0.0):
        if rng.random() < missing:
            return None
        return date.fromisoformat(low) + int(rng.integers(span)) * DAY

    people, contacts = [], []
    for i in range(120):
        arm = str(rng.choice([*LISTED, "other"]))
        treated = arm in ("help", "more")
        begin = day("2022-06-01", 400, 0.6)
        start = date(2023, 8, 31) if i % 9 == 0 else day("2023-04-01", 300)
        start = start if treated or (arm == "usual" and rng.random() < 0.1) else None
        late = max(begin or date(2023, 1, 1), start or date(2023, 1, 1)) + DAY
        people.append(
            {
                "person_id": f"p{rng.integers(10**6):06d}-{i}",
                "arm": arm,
                "start_date": start,
                "tenancy_start": begin if begin is None or start is None or begin <= start else None,
                "tenancy_end": day(str(late), 500, 0.8),
                "moved_out": day(str(late), 500, 0.9),
                "died": day(str(late), 500, 0.85),
                "consent": [True, None, False][min(int(rng.integers(20)), 2) if rng.random() < 0.2 else 0],
                "opt_out": [None, False, True][int(rng.integers(3))] if rng.random() < 0.1 else None,
                "linked": False if rng.random() < 0.05 else None,
                "building_id": None if rng.random() < 0.1 else f"b{rng.integers(8)}",
            }
        )
    for p in people:
        for _ in range(int(rng.gamma(2.0, 12.0))):
            service = str(rng.choice(["gp", "ae", *STAYS], p=[0.4, 0.2, 0.25, 0.15]))
            start = day(span=620)
            if p["died"] and start > p["died"]:
                continue
            end = (
                start + int(rng.geometric(0.1) - 1) * DAY
                if service in STAYS and rng.random() < 0.95
                else None
            )
            row = {
                "person_id": p["person_id"],
                "service": service,
                "start": start,
                "end": end,
                "record_id": f"r{len(contacts)}" if rng.random() < 0.7 else None,
                "status": [None, "attended", "dna", "cancelled"][
                    int(rng.choice(4, p=[0.5, 0.4, 0.05, 0.05]))
                ],
            }
            contacts += [row] * (1 + int(rng.random() < 0.05))
    coverage = [
        ("gp", date(2023, 1, 1), date(2024, 3, 20), None),
        ("gp", date(2023, 5, 1), date(2024, 5, 15), "help"),
        ("ae", date(2023, 2, 11), date(2023, 8, 4), None),
        ("ae", date(2023, 10, 1), date(2024, 6, 30), None),
        *((s, date(2023, 1, 1), date(2024, 6, 30), a) for s in STAYS for a in ("help", "usual", "pool")),
        ("emergency_admission", date(2023, 3, 3), date(2024, 6, 30), "more"),
        ("elective_admission", date(2023, 1, 1), date(2024, 4, 30), "more"),
    ]
    names = ["service", "first_date", "last_date", "applies_to_arm"]
    coverage = [dict(zip(names, row, strict=True)) for row in coverage]
    return people, contacts, coverage


@pytest.fixture(scope="module")
def random_cohort(random_study):
    people, contacts, coverage = (pd.DataFrame(rows) for rows in random_study)
    return read_cohort(
        people=people.sample(frac=1, random_state=1), contacts=contacts.sample(frac=1, random_state=2),
        coverage=coverage, treated=["help", "more"], control=list(CONTROL),
    )  # fmt: skip


def same_as_twin(panel, study, bounds_of):
    time, counts = twin(*study, LISTED, bounds_of)
    people = {p for p, _, _ in time}
    observed = {p for (p, _, _), days in time.items() if days}
    assert observed <= set(panel.unit) <= people
    for name in OUTCOMES:
        for i, person in enumerate(panel.unit):
            for t in range(len(panel.periods)):
                assert panel.outcomes[name][i, t] == counts[person, name, t]
                assert panel.exposure[name][i, t] == time[person, name, t] / DAYS_PER_MONTH


@pytest.mark.parametrize(("period", "step"), [("month", 1), ("quarter", 3)])
def test_calendar_panel_equals_the_plain_twin(random_study, random_cohort, period, step):
    panel = random_cohort.panel(outcomes=OUTCOMES, period=period, start="2023-01", end="2024-06")
    bounds = [moved(date(2023, 1, 1), step * t) for t in range(18 // step + 1)]
    assert [d.date() for d in panel.periods] == bounds[:-1]
    same_as_twin(panel, random_study, lambda p: bounds)


@pytest.mark.parametrize(("period", "step"), [("month", 1), ("quarter", 3)])
def test_event_panel_equals_the_plain_twin(random_study, random_cohort, period, step):
    cohort = random_cohort.with_index_dates(seed=3)
    panel = cohort.panel(outcomes=OUTCOMES, clock="event", period=period, months_before=6, months_after=9)
    index = dict(zip(cohort.person_id, cohort.people["index_date"].dt.date, strict=True))
    here = set(cohort.person_id)
    people = [p for p in random_study[0] if p["person_id"] in here]

    def bounds(p):
        return [moved(index[p["person_id"]], k) for k in range(-6, 10, step)]

    assert any(d.day == 31 for d in index.values())
    assert list(panel.periods) == list(range(-6 // step, 9 // step))
    same_as_twin(panel, (people, *random_study[1:]), bounds)
    assert set(panel.start[panel.treated]) == {6 // step}
    assert set(panel.start[~panel.treated]) == {15 // step}


def test_flow_and_quality_account_for_everyone(random_study, random_cohort):
    flow = random_cohort.flow.table
    assert flow["persons"].iloc[0] == 120 == flow["persons"].iloc[1:].sum()
    left_out = flow[flow["stage"] == "left out"].set_index("rule")["persons"]
    people = random_study[0]
    assert left_out["arm not listed"] == sum(p["arm"] == "other" for p in people)
    assert left_out["no consent"] == sum(p["arm"] != "other" and p["consent"] is False for p in people)
    quality = random_cohort.quality.set_index(["table", "rule"])["count"].to_dict()
    contacts = random_study[1]
    ids = [c["record_id"] for c in contacts if c["record_id"]]
    assert quality["contacts", "duplicate record"] == len(ids) - len(set(ids))
    assert quality["contacts", "not attended"] == sum(c["status"] in ("dna", "cancelled") for c in contacts)


# Numbers worked out by hand.


def test_a_stay_over_a_month_end_is_split_by_its_nights():
    stays = pd.DataFrame(
        {
            "person_id": ["t1", "t1", "t2", "c1"],
            "service": [
                "emergency_admission",
                "emergency_admission",
                "elective_admission",
                "emergency_admission",
            ],
            "start": ["2024-01-28", "2024-01-30", "2024-03-05", "2024-02-27"],
            "end": ["2024-02-02", "2024-02-04", "2024-03-05", "2024-04-02"],
        }
    )
    cover = pd.DataFrame({"service": STAYS, "first_date": "2024-01-01", "last_date": "2024-04-30"})
    panel = read_cohort(**study(contacts=stays, coverage=cover)).panel(
        outcomes=["bed_days", "emergency_admission"]
    )
    nights = dict(zip(panel.unit, panel.outcomes["bed_days"].tolist(), strict=True))
    # 28-31 January are 4 nights; 1-3 February 3, because the overlapping stays are merged.
    assert nights["t1"] == [4, 3, 0, 0]
    assert nights["t2"] == [0, 0, 0, 0]  # admitted and discharged on one day
    assert nights["c1"] == [0, 3, 31, 1]  # 27-29 February in a leap year, all March, the night of 1 April
    admissions = dict(zip(panel.unit, panel.outcomes["emergency_admission"].tolist(), strict=True))
    assert admissions["t1"] == [2, 0, 0, 0]
    assert admissions["c1"] == [0, 1, 0, 0]


def test_days_at_risk_stop_at_death_and_begin_with_coverage():
    given = study()
    given["people"]["died"] = [None, "2024-04-10", "2024-02-15", None]
    given["people"]["tenancy_end"] = [None, None, None, "2024-05-01"]
    given["people"]["tenancy_start"] = ["2024-01-31", None, None, None]
    given["coverage"]["first_date"] = "2024-01-15"
    given["contacts"] = pd.DataFrame(
        {
            "person_id": ["c1", "c1", "t1", "t1", "c2", "c2"],
            "service": "gp",
            # On the day of death; before it; before the tenancy; in it; on its last day; after it.
            "start": ["2024-02-15", "2024-02-14", "2024-01-30", "2024-01-31", "2024-05-01", "2024-05-02"],
        }
    )
    panel = read_cohort(**given).panel(outcomes=["gp"])
    days = dict(zip(panel.unit, np.rint(panel.exposure["gp"] * DAYS_PER_MONTH).tolist(), strict=True))
    assert days["c1"] == [17, 15, 0, 0, 0, 0]  # 15-31 January; 1-15 February, the day of death included
    assert days["t2"] == [17, 29, 31, 10, 0, 0]
    assert days["t1"] == [1, 29, 31, 30, 31, 30]
    assert days["c2"] == [17, 29, 31, 30, 1, 0]
    counts = dict(zip(panel.unit, panel.outcomes["gp"].sum(1).tolist(), strict=True))
    assert counts == {"c1": 2, "c2": 1, "t1": 1, "t2": 0}


def test_start_is_a_position_and_earlier_support_is_negative():
    given = study()
    given["people"] = pd.concat(
        [
            given["people"],
            pd.DataFrame(
                {"person_id": ["t0", "t9"], "arm": "help", "start_date": ["2023-11-30", "2024-06-01"]}
            ),
        ]
    )
    panel = read_cohort(**given).panel(outcomes=["gp"], end="2024-05")
    assert dict(zip(panel.unit, panel.start.tolist(), strict=True)) == {
        "c1": 5, "c2": 5, "t0": -1, "t1": 1, "t2": 2, "t9": 5,
    }  # fmt: skip
    assert panel.treated.tolist() == [False, False, True, True, True, True]
    quarters = read_cohort(**given).panel(outcomes=["gp"], period="quarter", start="2023-10")
    assert [f"{q:%Y-%m}" for q in quarters.periods] == ["2023-10", "2024-01", "2024-04"]
    assert quarters.start.tolist() == [3, 3, 0, 1, 1, 2]


def test_a_supported_control_leaves_the_day_before():
    given = study()
    given["people"].loc[2, "start_date"] = "2024-03-11"
    cohort = read_cohort(**given)
    quality = cohort.quality.set_index("rule")["count"]
    assert quality["supported control"] == 1
    days = cohort.panel(outcomes=["gp"]).exposure["gp"][0] * DAYS_PER_MONTH
    assert np.rint(days).tolist() == [31, 29, 10, 0, 0, 0]


def test_prior_use_counts_a_year_or_is_missing():
    given = study()
    given["people"]["birth_month"] = ["1950-03", "1950-03", "1940-01", None]
    given["people"]["imd_decile"] = [1, 2, 9, None]
    given["coverage"] = pd.DataFrame(
        {"service": ["gp"], "first_date": ["2023-02-10"], "last_date": ["2024-06-30"]}
    )
    given["contacts"] = pd.DataFrame(
        {
            "person_id": ["t1"] * 4,
            "service": "gp",
            "start": ["2023-02-09", "2023-02-10", "2024-02-09", "2024-02-10"],
        }
    )
    people = read_cohort(**given).people.set_index("person_id")
    assert people["prior_gp"].loc[["t1", "t2"]].tolist() == [2, 0]
    assert people["prior_gp"].loc[["c1", "c2"]].isna().all()
    assert people["age"].loc[["t1", "t2"]].tolist() == [73, 74]
    assert people["imd_fifth"].loc[["t1", "t2", "c1"]].tolist() == [1, 1, 5]
    given["coverage"]["first_date"] = "2023-02-11"
    people = read_cohort(**given).people.set_index("person_id")
    assert np.isnan(people.loc["t1", "prior_gp"])
    assert people.loc["t2", "prior_gp"] == 0


def test_drawn_dates_are_the_treateds_and_do_not_hang_on_the_order(random_study, random_cohort):
    dated = random_cohort.with_index_dates(seed=11)
    index = dated.people["index_date"]
    assert index.notna().all()
    assert set(index) <= set(random_cohort.people.loc[random_cohort.treated, "index_date"])
    assert (index >= dated.people["observed_from"]).all()
    assert (index <= dated.people["observed_to"]).all()
    assert dated.flow.table["persons"].iloc[0] == dated.flow.table["persons"].iloc[1:].sum() == 120
    people, contacts, coverage = (pd.DataFrame(rows) for rows in random_study)
    turned = read_cohort(
        people=people[::-1],
        contacts=contacts,
        coverage=coverage,
        treated=["more", "help"],
        control=["pool", "usual"],
    ).with_index_dates(seed=11)
    pd.testing.assert_frame_equal(dated.people, turned.people)
    other = random_cohort.with_index_dates(seed=12)
    both = dated.people.merge(other.people, on="person_id")
    assert (both["index_date_x"] != both["index_date_y"]).any()


def test_covariates_are_counted_again_at_the_date_given():
    given = study()
    given["people"]["birth_month"] = "1960-05"
    given["coverage"]["first_date"] = "2022-01-01"
    given["contacts"] = pd.DataFrame(
        {"person_id": ["c1", "c1"], "service": "gp", "start": ["2023-03-20", "2024-03-20"]}
    )
    cohort = read_cohort(**given)
    at = cohort.at(pd.Series({"c1": "2024-03-20", "c2": "2024-05-01"}))
    people = at.people.set_index("person_id")
    assert people["prior_gp"].tolist() == [1, 0, 0, 0]
    assert people["age"].tolist() == [63, 64, 63, 63]
    late = cohort.at(pd.Series({"c1": "2024-03-20", "c2": "2031-01-01"}))
    assert late.person_id.tolist() == ["c1", "t1", "t2"]
    assert late.flow.table.set_index("rule")["persons"]["no longer observed at the index date"] == 1
    with pytest.raises(DataError, match="1 people are not in the cohort"):
        cohort.at(pd.Series({"nobody": "2024-03-20"}))


def test_offer_dates_are_time_zero_for_both_arms():
    given = study()
    given["people"]["offer_date"] = ["2024-01-20", "2024-02-01", "2024-01-25", None]
    cohort = read_cohort(**given).with_index_dates(rule="offer_date")
    assert cohort.person_id.tolist() == ["c1", "t1", "t2"]
    assert [f"{d:%m-%d}" for d in cohort.people["index_date"]] == ["01-25", "01-20", "02-01"]
    assert cohort.flow.table.set_index("rule")["persons"]["no offer date"] == 1
    with pytest.raises(ParameterError, match="'drawn', 'offer_date', 'partner'"):
        cohort.with_index_dates(rule="drwan")


def test_follow_up_counts_after_the_index_date():
    given = study()
    given["contacts"] = pd.DataFrame(
        {
            "person_id": "t1",
            "service": "gp",
            "start": ["2024-02-09", "2024-02-10", "2024-03-10", "2024-05-09", "2024-05-10"],
        }
    )
    cohort = read_cohort(**given).at(pd.Series({"c1": "2024-02-10", "c2": "2024-02-10"}))
    full = cohort.follow_up(outcomes=["gp"], months=3)
    assert full.outcomes["gp"].tolist() == [0, 0, 3, 0]
    # 10 February to 9 May are 90 days in a leap year; from 1 March to 31 May 92.
    assert np.rint(full.exposure["gp"] * DAYS_PER_MONTH).tolist() == [90, 90, 90, 92]
    washed = cohort.follow_up(outcomes=["gp"], months=3, washout=1)
    assert washed.outcomes["gp"].tolist() == [0, 0, 2, 0]
    assert {"gp", "exposure_gp"} <= set(washed.table.columns)
    with pytest.raises(DesignError, match="2 people have no index date"):
        read_cohort(**given).follow_up(outcomes=["gp"])
    with pytest.raises(DataError, match="Did you mean 'gp'"):
        cohort.follow_up(outcomes=["gpp"])


def test_calendar_covariates_are_taken_on_the_first_day_for_all():
    given = study()
    given["people"]["birth_month"] = "1960-05"
    given["coverage"]["first_date"] = "2022-06-01"
    given["contacts"] = pd.DataFrame(
        {
            "person_id": ["t1", "t1", "c1"],
            "service": "gp",
            "start": ["2022-12-31", "2023-08-01", "2024-01-15"],
        }
    )
    panel = read_cohort(**given).panel(outcomes=["gp"], start="2024-01", covariates=["age", "prior_gp"])
    assert panel.covariates["age"].tolist() == [63] * 4
    assert panel.covariates["prior_gp"].tolist() == [0, 0, 1, 0]
    assert "the same day for everyone" in panel.notes[0]
    with pytest.raises(DataError, match="Start the panel a year later"):
        read_cohort(**given).panel(outcomes=["gp"], covariates=["prior_gp"])


def test_a_person_without_a_building_is_a_cluster_of_their_own(random_cohort):
    panel = random_cohort.panel(outcomes=["gp"], cluster="building_id")
    building = random_cohort.people["building_id"]
    known = building.notna().to_numpy()
    assert len(set(panel.cluster[~known])) == (~known).sum()
    assert not set(panel.cluster[known]) & set(panel.cluster[~known])
    assert len(set(panel.cluster[known])) == building.nunique()
    assert "without building_id" in " ".join(panel.notes)


def test_without_coverage_the_span_of_the_contacts_is_assumed():
    given = study(coverage=None)
    given["contacts"] = pd.DataFrame(
        {"person_id": ["t1", "c1"], "service": "gp", "start": ["2024-01-10", "2024-04-05"]}
    )
    cohort = read_cohort(**given)
    assert cohort.quality.set_index("rule")["count"]["no coverage"] == 1
    panel = cohort.panel(outcomes=["gp"])
    assert np.rint(panel.exposure["gp"][0] * DAYS_PER_MONTH).tolist() == [22, 29, 31, 5]
    assert "No coverage was given for gp" in " ".join(panel.notes)


def test_follow_up_leaves_out_later_time_of_the_treated_alone():
    cohort = read_cohort(**study())
    whole, first = cohort.panel(outcomes=["gp"]), cohort.panel(outcomes=["gp"], follow_up=1)
    at = whole.start[:, None]
    late = whole.treated[:, None] & (np.arange(len(whole.periods)) > at)
    assert (whole.exposure["gp"][late] > 0).any()
    assert (first.exposure["gp"][late] == 0).all()
    np.testing.assert_array_equal(first.exposure["gp"][~late], whole.exposure["gp"][~late])


def test_the_studys_months_bound_event_time_too():
    """Nothing after its last month counts, and who began outside them is not in the comparison."""
    contacts = study()["contacts"].assign(start="2024-03-15")
    cohort = read_cohort(**study(contacts=contacts))
    dated = cohort.at(pd.Series(["2024-02-20", "2024-04-05"], index=["c1", "c2"]))
    asked = {"outcomes": ["gp"], "clock": "event", "months_before": 2, "months_after": 2}
    found = dated.panel(**asked, start="2024-02", end="2024-03")
    days = found.exposure["gp"] * DAYS_PER_MONTH
    # t1 begins on 10 February and t2 on 1 March; c1's day is 20 February; c2's lies after the end.
    assert dict(zip(found.unit, np.round(days.sum(1)).astype(int), strict=True)) == {
        "c1": 60,
        "c2": 0,
        "t1": 60,
        "t2": 60,
    }
    assert dated.panel(**asked).exposure["gp"].sum() > found.exposure["gp"].sum()


def test_deaths_and_moves_by_arm():
    given = study()
    given["people"]["died"] = ["2024-05-05", "2030-01-01", "2024-03-03", None]
    given["people"]["moved_out"] = [None, None, None, "2024-04-04"]
    table = read_cohort(**given).losses().table.set_index("arm")
    assert table.loc["supported"].tolist() == [2, 1, 0]
    assert table.loc["control"].tolist() == [2, 1, 1]


def test_the_users_own_columns_come_along():
    given = study()
    given["people"]["smoker; DROP TABLE people"] = ["1", "0", "1", None]
    given["people"]['a"b'] = ["<b>", "y", "z", "w"]
    given["people"]["seen"] = ["2024-01-01", "02/01/2024", None, None]
    people = read_cohort(**given).people
    assert people["smoker; DROP TABLE people"].tolist()[:2] == [1, pytest.approx(np.nan, nan_ok=True)]
    assert people['a"b'].tolist() == ["z", "w", "<b>", "y"]
    assert people["seen"].iloc[3] == pd.Timestamp("2024-01-02")


def test_panel_table_is_long():
    table = read_cohort(**study()).panel(outcomes=["gp"]).table
    assert list(table.columns) == ["person_id", "period", "gp", "exposure_gp"]
    assert len(table) == 24


def test_designs_that_cannot_work_are_refused():
    cohort = read_cohort(**study())
    with pytest.raises(DesignError, match="Nobody begins support within the panel"):
        cohort.panel(outcomes=["gp"], start="2024-04")
    with pytest.raises(ParameterError, match=r"start='2024-05' is after end='2024-02'"):
        cohort.panel(outcomes=["gp"], start="2024-05", end="2024-02")
    with pytest.raises(ParameterError, match="start='soon'"):
        cohort.panel(outcomes=["gp"], start="soon")
    with pytest.raises(ParameterError, match="period='week'"):
        cohort.panel(outcomes=["gp"], period="week")
    with pytest.raises(ParameterError, match="months_before=5"):
        cohort.panel(outcomes=["gp"], clock="event", period="quarter", months_before=5)
    with pytest.raises(DataError, match=r"(?s)outcome='ea'.*'bulding_id' is not a column"):
        cohort.panel(outcomes=["ea"], cluster="bulding_id")
    with pytest.raises(DesignError, match="holds no contacts"):
        Cohort.from_frame(pd.DataFrame({"t": [1, 0]}), treated="t").follow_up(outcomes=["gp"])


def test_from_frame_names_every_problem():
    frame = pd.DataFrame({"id": [1, 1, 2], "t": [0, 1, 2], "visits": [1, -1, None], "months": [1, 2, 3]})
    with pytest.raises(DataError, match=r"(?s)t: holds other values.*visits: 2 rows.*id: 1 rows repeat"):
        Cohort.from_frame(frame, treated="t", person_id="id", outcomes=["visits"], exposure="months")
    with pytest.raises(DataError, match="Did you mean 'visits'"):
        Cohort.from_frame(frame, treated="t", outcomes=["visit"])


def test_from_frame_keeps_the_frame():
    frame = pd.DataFrame({"t": [True, False], "x": [3.0, 4.0], "y": [1, 2]}, index=[7, 9])
    cohort = Cohort.from_frame(frame, treated="t", outcomes=["y"])
    assert cohort.table[["t", "x", "y"]].to_numpy().tolist() == frame.to_numpy().tolist()
    assert cohort.exposure["y"].tolist() == [1, 1]
    assert cohort.subset(np.array([False, True])).outcomes["y"].tolist() == [2]


def test_a_cohort_is_printed_without_its_people(random_cohort):
    said = repr(random_cohort)
    assert said.startswith(f"Cohort({len(random_cohort)}, ")
    assert len(said) < 60
