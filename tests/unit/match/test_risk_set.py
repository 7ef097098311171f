"""Matching month by month with people not yet supported: a slow plain twin, dates, and who was left out."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from impact import match
from impact.data import Cohort, read_cohort
from impact.errors import DataError, DesignError, ParameterError
from impact.match.candidate_months import candidate_months

DAY = timedelta(days=1)
MONTHS = [date(2024, m, 1) for m in (3, 4, 5, 7)]


def tables(seed):
    """Seventy people, of whom thirty start over four months; some die, some move in late."""
    rng = np.random.default_rng(seed)
    people, contacts = [], []
    for i in range(70):
        who = f"p{i:02}"
        start = MONTHS[i % 4] + int(rng.integers(28)) * DAY if i < 30 else None
        after = (start or date(2024, 1, 10)) + DAY
        people.append(
            {
                "person_id": who,
                "arm": "help" if start else "usual",
                "start_date": start,
                "died": after + int(rng.integers(300)) * DAY if rng.random() < 0.3 else None,
                "tenancy_start": date(2023, 1, 1) + int(rng.integers(400)) * DAY
                if rng.random() < 0.3
                else None,
                "sex": "f" if rng.random() < 0.5 else "m",
            }
        )
        died = people[-1]["died"] or date(2025, 12, 31)
        if people[-1]["tenancy_start"] and start and people[-1]["tenancy_start"] > start:
            people[-1]["tenancy_start"] = None
        for _ in range(int(rng.poisson(6 if start else 4))):
            day = date(2023, 1, 1) + int(rng.integers(900)) * DAY
            if day <= died:
                contacts.append({"person_id": who, "service": "gp", "start": day})
    return people, contacts


def cohort_of(people, contacts, order=None):
    coverage = pd.DataFrame({"service": ["gp"], "first_date": "2023-01-01", "last_date": "2025-12-31"})
    frame = pd.DataFrame(people)
    return read_cohort(
        people=frame if order is None else frame.iloc[order],
        contacts=pd.DataFrame(contacts),
        coverage=coverage,
        treated=["help"],
        control=["usual"],
    )


def twin(people, contacts, *, before, ratio, max_uses):
    """Pairs (supported, control), month by month, one person and one day at a time."""
    uses, pairs = dict.fromkeys([p["person_id"] for p in people], 0), []

    def eligible(p, day):
        year, month = divmod(day.year * 12 + day.month - 1 - before, 12)
        begin = p["tenancy_start"] or date(2023, 1, 1)
        return max(begin, date(2023, 1, 1)) <= date(year, month + 1, 1) and not (
            p["died"] and p["died"] < day
        )

    def prior(p, day):
        first = date(day.year - 1, day.month, 1)
        return sum(c["person_id"] == p["person_id"] and first <= c["start"] < day for c in contacts)

    for month in MONTHS:
        there = [p for p in people if eligible(p, month)]
        starters = [p for p in there if p["start_date"] and p["start_date"].replace(day=1) == month]
        later = [p for p in there if not p["start_date"] or p["start_date"].replace(day=1) > month]
        chosen = {p["person_id"]: [] for p in starters}
        free = [p for p in later if uses[p["person_id"]] < max_uses]
        for _ in range(ratio):
            for p in starters:
                able = [c for c in free if c["sex"] == p["sex"]]
                if able:
                    best = min(able, key=lambda c: (abs(prior(c, month) - prior(p, month)), c["person_id"]))
                    chosen[p["person_id"]].append(best)
                    free.remove(best)
        for p in starters:
            for c in chosen[p["person_id"]]:
                if not (c["died"] and c["died"] < p["start_date"]):
                    pairs.append((p["person_id"], c["person_id"]))
                    uses[c["person_id"]] += 1
    return pairs


def pairs_of(matched):
    table = matched.table.assign(person=matched.cohort.people["person"], treated=matched.cohort.treated)
    table = table[table["weight"] > 0]
    of_set = table[table["treated"]].set_index("subclass")["person"]
    controls = table[~table["treated"]]
    return list(zip(controls["subclass"].map(of_set), controls["person"], strict=True))


@pytest.mark.parametrize(("ratio", "max_uses"), [(1, 1), (1, 3), (2, 2)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_equals_the_plain_twin(seed, ratio, max_uses):
    people, contacts = tables(seed)
    expected = twin(people, contacts, before=6, ratio=ratio, max_uses=max_uses)
    asked = {
        "on": ["prior_gp"],
        "exact": ["sex"],
        "distance": "mahalanobis",
        "months_before": 6,
        "ratio": ratio,
        "max_uses": max_uses,
        # Not all were observed for the twelve months that prior use counts; the count is of the coverage.
    }
    cohort = cohort_of(people, contacts)
    found = match.risk_set(cohort, **asked)
    assert sorted(pairs_of(found)) == sorted(expected)
    turned = match.risk_set(cohort_of(people, contacts, np.random.default_rng(0).permutation(70)), **asked)
    assert pairs_of(turned) == pairs_of(found)
    # Everyone stands in one row of the counts, and in one of the flow.
    assert found.counts.groupby("arm")["persons"].sum().to_dict() == {"treated": 30, "control": 40}
    assert found.cohort.flow.table["persons"].iloc[1:].sum() == 70


@pytest.fixture(scope="module")
def matched():
    cohort = cohort_of(*tables(2))
    return match.risk_set(
        cohort, on=["prior_gp"], distance="mahalanobis", months_before=6, ratio=2, max_uses=2
    )


def test_a_set_shares_its_date_and_ends_before_a_control_is_supported(matched):
    people = matched.cohort.people.assign(
        subclass=matched.table["subclass"], treated=matched.cohort.treated
    ).dropna(subset="subclass")
    later = people[~people["treated"] & people["start_date"].notna()]
    assert len(later) > 3
    for _, rows in people.groupby("subclass"):
        starter = rows[rows["treated"]].iloc[0]
        assert (rows["index_date"] == starter["start_date"]).all()
        own = rows.loc[~rows["treated"], "start_date"].min()
        if pd.notna(own):
            assert (rows["observed_to"] < own).all()
    # Nobody is followed from a day they were not there.
    assert (people["observed_to"] >= people["index_date"]).all()


def test_covariates_are_those_of_the_first_of_the_month(matched):
    _, contacts = tables(2)
    for row in matched.cohort.people.iloc[::7].itertuples():
        first = row.index_date.date().replace(day=1)
        n = sum(
            c["person_id"] == row.person and first.replace(year=first.year - 1) <= c["start"] < first
            for c in contacts
        )
        assert row.prior_gp == n


def test_followed_up_in_sets_and_clustered_by_set_and_person(matched):
    followed = matched.cohort.follow_up(outcomes=["gp"], months=12)
    effects = match.rate_ratio(matched, outcome="gp", cohort=followed)
    used = (matched.table["weight"] > 0).to_numpy() & (followed.exposure["gp"] > 0)
    persons = followed.people["person"].to_numpy()[used]
    assert effects.counts["persons"].iloc[0] == len(set(persons)) < len(persons)
    assert effects.method["clusters"] == "matched set and control person, two-way"
    treated, weight = followed.treated[used], matched.table["weight"].to_numpy()[used]
    y, months = followed.outcomes["gp"][used], followed.exposure["gp"][used]
    arm = [(weight * y)[rows].sum() / (weight * months)[rows].sum() for rows in (treated, ~treated)]
    assert effects.table.set_index("scale").loc["log ratio", "estimate"] == pytest.approx(
        np.log(arm[0] / arm[1])
    )
    # By hand: V(set) + V(person) - V(row), each with G / (G - 1) x (N - 1) / (N - 2).
    mean = np.where(treated, *arm) * months
    total = [(weight * mean)[rows].sum() for rows in (treated, ~treated)]
    influence = weight * (y - mean) * np.where(treated, 1 / total[0], -1 / total[1])
    sets = matched.table["subclass"].to_numpy()[used]
    variance, n = 0.0, used.sum()
    for sign, by in ((1, sets), (1, persons), (-1, np.arange(n))):
        sums = pd.Series(influence).groupby(by).sum()
        variance += sign * (sums**2).sum() * len(sums) / (len(sums) - 1) * (n - 1) / (n - 2)
    error = effects.table.set_index("scale").loc["log ratio", "std_error"]
    assert error == pytest.approx(np.sqrt(variance), rel=1e-6)


def test_balance_and_names_of_repeated_people(matched):
    people = matched.cohort.people
    assert people["person_id"].is_unique
    again = people["person_id"] != people["person"]
    assert again.any()
    assert not again[matched.cohort.treated].any()
    assert (people.groupby("person").size() <= 3).all()  # twice a control and once supported
    table = match.balance(matched).table
    assert set(table["sample"]) == {"before", "after"}


def test_without_reuse_sets_are_the_clusters():
    people, contacts = tables(4)
    for p in people:
        if p["start_date"]:
            p["start_date"] = p["start_date"].replace(month=3)
            p["died"] = None
    found = match.risk_set(
        cohort_of(people, contacts), on=["prior_gp"], months_before=3, distance="mahalanobis"
    )
    assert found.method["clusters"] == "matched set"
    assert found.method["replace"] is False
    assert found.method["persons_supported_later"] == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"ratio": 0}, "ratio=0"),
        ({"max_uses": True}, "max_uses=True"),
        ({"distance": "prognostic"}, "no matrix"),
        ({"distance": np.zeros((2, 2))}, "no matrix"),
        ({"distance": "mahalonobis"}, "use one of"),
        ({"months_before": -1}, "months_before=-1"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(wrong, said):
    with pytest.raises(ParameterError, match=said):
        match.risk_set(cohort_of(*tables(1)), **{"on": ["prior_gp"], **wrong})


def test_columns_that_are_no_covariates_are_named():
    cohort = cohort_of(*tables(1)).with_history(["gp"], months=24)
    for asked, said in (
        ({"on": ["prior_pg"]}, "on: the cohort has no column 'prior_pg'. Did you mean 'prior_gp'"),
        ({"on": ["prior_gp"], "exact": ["sx"]}, "exact: the cohort has no column 'sx'"),
        ({"on": ["index_date"]}, "'index_date' holds dates"),
        ({"on": ["prior_gp_q8"]}, "Not all of the year before their index date was observed"),
    ):
        with pytest.raises(DataError, match=said):
            match.risk_set(cohort, **{"months_before": 6, "distance": "mahalanobis", **asked})


def test_designs_that_cannot_work_are_refused():
    cohort = cohort_of(*tables(1))
    with pytest.raises(DesignError, match="ATE"):
        match.risk_set(cohort, on=["prior_gp"], estimand="ATE")
    with pytest.raises(DesignError, match="observed for 30 months"):
        match.risk_set(cohort, on=["prior_gp"], months_before=30)
    with pytest.raises(DesignError, match="in any month"):
        match.risk_set(
            cohort, on=["prior_gp"], months_before=6, caliper={"prior_gp": -1e6}, distance="mahalanobis"
        )
    frame = pd.DataFrame({"helped": [1, 1, 0, 0], "age": [60, 61, 61, 62]})
    with pytest.raises(DesignError, match="made from a frame"):
        match.risk_set(Cohort.from_frame(frame, treated="helped"), on=["age"])


@pytest.mark.parametrize("distance", ["propensity", "linear_propensity"])
def test_one_score_is_made_from_everyone_in_all_months(distance):
    people, contacts = tables(3)
    cohort = cohort_of(people, contacts)
    found = match.risk_set(
        cohort, on=["prior_gp", "sex"], months_before=6, caliper=3, distance=distance, exact=["sex"]
    )
    months = candidate_months(cohort, 6)
    rows = months.described(np.arange(len(months.position)))
    # Everyone of every month as people of one table.
    frame = rows.people.assign(row=np.arange(len(rows)))
    plain = Cohort.from_frame(frame, treated="treated", person_id="row")
    score = match.propensity(plain, on=["prior_gp", "sex"]).to_numpy()
    score = np.log(score / (1 - score)) if distance == "linear_propensity" else score
    there = found.cohort.people.assign(distance=found.table["distance"])
    at = {(p, m): s for p, m, s in zip(frame["person"], frame["index_date"], score, strict=True)}
    for row in there[found.cohort.treated].itertuples():
        assert row.distance == pytest.approx(at[row.person, row.index_date.replace(day=1)], rel=1e-9)
    assert found.method["caliper_width"] == pytest.approx(3 * score.std(ddof=1))
    assert (found.table["weight"] > 0).any()
