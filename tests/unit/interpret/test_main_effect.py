import numpy as np
import pandas as pd
import pytest

from impact.data import read_cohort
from impact.did import censoring_weights, estimate
from impact.errors import DesignError
from impact.interpret import build_panel, main_effects, matched
from impact.match import rate_ratio

WINDOW = {"outcomes": ["ae"], "start": "2024-01", "end": "2024-12"}
BASELINE = {"outcomes": ["ae"], "months": 6, "seed": 1}
ASKED = {"outcome": "ae", "window": WINDOW, "around": {"outcomes": ["ae"], "seed": 1}, "baseline": BASELINE}
DID = {"estimator": "callaway_santanna"}
MATCHING = {"method": "nearest", "on": ["age"]}


@pytest.fixture(scope="module")
def cohort():
    rng = np.random.default_rng(0)
    n = 240
    people = pd.DataFrame(
        {
            "person_id": [f"p{i:03}" for i in range(n)],
            "arm": np.where(np.arange(n) < 80, "help", "usual"),
            "start_date": [f"2024-0{3 + i % 5}-10" if i < 80 else None for i in range(n)],
            "birth_month": [f"{y}-05" for y in rng.integers(1935, 1975, n)],
            "tenancy_start": "2015-01-01",
            "died": [f"2024-0{4 + i % 6}-01" if i % 9 == 8 else None for i in range(n)],
        }
    )
    days = pd.date_range("2023-01-01", "2024-12-31")
    contacts = pd.DataFrame(
        {"person_id": rng.choice(people["person_id"], 4000), "service": "ae", "start": rng.choice(days, 4000)}
    )
    coverage = pd.DataFrame({"service": ["ae"], "first_date": ["2022-01-01"], "last_date": ["2024-12-31"]})
    # Nobody dies before support begins, or has contacts after death: those are other tests' business.
    died = pd.to_datetime(people.set_index("person_id")["died"]).reindex(contacts["person_id"]).to_numpy()
    contacts = contacts[~(contacts["start"].to_numpy() > died)]
    late = (people["died"] <= people["start_date"]).fillna(False)
    people.loc[late, "died"] = None
    return read_cohort(
        people=people, contacts=contacts, coverage=coverage, treated=["help"], control=["usual"]
    )


def test_the_main_answer_is_the_first_method_and_the_second_stands_beside(cohort):
    both = main_effects(cohort, **ASKED, did=DID, matching=MATCHING)
    assert list(both) == ["effects", "pretrend", "beside", "audit"]
    assert both["effects"].method["estimator"] == "callaway_santanna"
    alone = main_effects(cohort, **ASKED, matching=MATCHING)
    assert list(alone) == ["effects", "balance", "audit"]
    np.testing.assert_allclose(alone["effects"].estimate, both["beside"].estimate)
    # Matched day by day one person has several dates, and everyone is described on one each.
    by_day = main_effects(cohort, **ASKED, matching={**MATCHING, "method": "risk_set"})
    assert list(by_day) == ["effects", "balance", "audit"]


def test_a_study_without_a_method_has_no_answer(cohort):
    with pytest.raises(DesignError, match="neither a did nor a matching section"):
        main_effects(cohort, **ASKED)


def test_before_and_after_takes_each_persons_own_date(cohort):
    found = main_effects(cohort, **ASKED, did={"estimator": "two_by_two"}, clock="event")["effects"]
    assert found.method["estimator"] == "two_by_two"
    assert set(found.table["scale"]) == {"log ratio", "difference", "events avoided"}


def test_with_partner_dates_each_control_is_followed_from_its_partners_start(cohort):
    found = matched(cohort, baseline={**BASELINE, "index_date": "partner"}, matching=MATCHING)
    rows = found.table[found.table["weight"] > 0]
    dates = found.cohort.people.set_index("person_id")["index_date"].reindex(rows["person_id"])
    assert (dates.groupby(rows["subclass"].to_numpy()).nunique() == 1).all()
    assert (rows.groupby("subclass").size() == 2).all()
    assert np.isfinite(rate_ratio(found, outcome="ae").estimate).all()


def test_censoring_weights_come_before_the_estimate(cohort):
    given = {"window": {**WINDOW, "covariates": ["age"]}, "around": ASKED["around"]}
    plain = build_panel(cohort, **given)
    assert plain.censoring_weights is None
    weighed = build_panel(cohort, **given, censoring={"covariates": ["age"], "truncate": 1})
    expected = censoring_weights(plain, covariates=["age"], truncate=1)
    np.testing.assert_array_equal(weighed.censoring_weights, expected.censoring_weights)
    assert build_panel(cohort, **given, clock="event").clock == "event"
    found = main_effects(cohort, **ASKED | given, did=DID, censoring={"covariates": ["age"], "truncate": 1})
    np.testing.assert_allclose(found["effects"].estimate, estimate(expected, outcome="ae", **DID).estimate)
