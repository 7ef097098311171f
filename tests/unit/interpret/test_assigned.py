"""Offers and withdrawals: intention to treat beside take-up, the Wald ratio, and who differs from whom."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from impact.data import counted_from_offer, read_cohort
from impact.did import estimate
from impact.errors import DataError
from impact.interpret.assigned import as_assigned

MONTHS = pd.date_range("2023-01-01", periods=24, freq="MS")
TWFE = {"estimator": "twfe", "family": "linear"}


def trial(n=400, seed=0, take=0.7, found=0.0, withdrew=0.0, effect=0.0):
    """People by lot offered support in January 2024; of those, some took it up a month later."""
    rng = np.random.default_rng(seed)
    arm = np.where(np.arange(n) % 2, "offered", "usual")
    took = rng.random(n) < np.where(arm == "offered", take, found)
    people = pd.DataFrame({"person_id": [f"p{i:04d}" for i in range(n)], "arm": arm})
    people["offer_date"] = "2024-01-01"
    people["start_date"] = np.where(took, "2024-01-01", None)
    people["withdrew"] = np.where(rng.random(n) < withdrew, "2024-03-01", None)
    frailty = rng.gamma(4, 0.25, n)
    rows = []
    for at, month in enumerate(MONTHS):
        rate = frailty * np.where(took & (at >= 12), 1 + effect, 1.0)
        count = rng.poisson(rate)
        who = people["person_id"].repeat(count)
        rows.append(pd.DataFrame({"person_id": who, "start": month + pd.Timedelta(days=9)}))
    contacts = pd.concat(rows, ignore_index=True).assign(service="ae")
    coverage = pd.DataFrame({"service": ["ae"], "first_date": ["2023-01-01"], "last_date": ["2024-12-31"]})
    return read_cohort(
        people=people, contacts=contacts, coverage=coverage, treated=["offered"], control=["usual"]
    ), took


def analyse(data):
    panel = data.panel(outcomes=["ae"])
    return estimate(panel, outcome="ae", **TWFE), panel


def assigned(data, **more):
    return as_assigned(data, everyone=analyse(data)[0], analyse=analyse, **more)


def two_stages(panel, took):
    """2SLS of the change in rates on take-up, with the offer as instrument; errors by person, CR0."""
    rate = panel.rate("ae")
    change = rate[:, 12:].mean(axis=1) - rate[:, :12].mean(axis=1)
    z = np.column_stack([np.ones(panel.n), panel.treated]).astype(float)
    x = np.column_stack([np.ones(panel.n), took]).astype(float)
    beta = np.linalg.solve(z.T @ x, z.T @ change)
    bread = np.linalg.inv(z.T @ x)
    scores = z * (change - x @ beta)[:, None]
    return beta[1], np.sqrt((bread @ (scores.T @ scores) @ bread.T)[1, 1])


@pytest.mark.parametrize("found", [0.0, 0.15])
def test_the_wald_ratio_is_that_of_two_stage_least_squares(found):
    data, took = trial(found=found, effect=-0.4)
    out = assigned(data, also_from="offer_date", assignment="randomised")
    late, offered = out["took_up_because"], out["offered"]
    panel = counted_from_offer(data).panel(outcomes=["ae"])
    expected, error = two_stages(panel, took)
    assert late.estimate[0] == pytest.approx(expected, rel=1e-6)
    assert late.std_error[0] == pytest.approx(error, rel=0.01)
    shares = dict(zip(out["take_up"].labels["term"], out["take_up"].estimate, strict=True))
    assert shares["offered"] == pytest.approx(100 * took[1::2].mean())
    itt = offered.estimate[(offered.labels["scale"] == "difference").to_numpy()][0]
    gap = shares["offered"] - shares.get("not offered", 0.0)
    assert late.estimate[0] == pytest.approx(100 * itt / gap)
    assert ("not offered" in shares) == (found > 0)


def test_everyone_offered_counts_from_the_offer_and_who_never_started_is_in():
    data, took = trial(found=0.15)
    offered = counted_from_offer(data)
    assert data.treated.sum() == took[1::2].sum()
    assert (offered.treated.sum(), (~offered.treated).sum()) == (200, 200)
    assert offered.people["took_up"].tolist() == took.tolist()
    # Controls who found support stay controls to the end.
    assert (offered.people.loc[~offered.treated, "observed_to"] == pd.Timestamp("2024-12-31")).all()
    assert offered.people.loc[~offered.treated, "start_date"].isna().all()


def test_where_everyone_takes_it_up_the_offer_is_the_support():
    data, _ = trial(take=1.0)
    out = assigned(data, also_from="offer_date", assignment="randomised")
    main = analyse(data)[0]
    np.testing.assert_allclose(out["offered"].estimate[:1], main.estimate[:1])
    np.testing.assert_allclose(out["took_up_because"].estimate, out["offered"].estimate[:1])
    assert out["take_up"].estimate.tolist() == pytest.approx([100.0])


def test_only_by_lot_and_where_enough_are_moved_is_there_an_effect_of_taking_it_up():
    data, _ = trial()
    out = assigned(data, also_from="offer_date")
    assert "took_up_because" not in out
    assert "weak" not in out["take_up"].method
    weak, _ = trial(take=0.06, found=0.04, seed=3)
    out = assigned(weak, also_from="offer_date", assignment="randomised")
    assert "took_up_because" not in out
    # The F itself would give the number who took it up away.
    assert out["take_up"].method["weak"] is True
    assert "f" not in out["take_up"].method


def test_errors_by_two_clusterings_are_not_put_beside_those_of_a_share():
    data, _ = trial()

    def by_two(some):
        panel = some.panel(outcomes=["ae"])
        teams = pd.DataFrame({"team": np.arange(panel.n) % 7})
        panel = replace(panel, covariates=teams)
        return estimate(panel, outcome="ae", second_cluster="team", **TWFE), panel

    out = as_assigned(
        data, everyone=by_two(data)[0], analyse=by_two, also_from="offer_date", assignment="randomised"
    )
    assert "took_up_because" not in out
    assert "weak" not in out["take_up"].method


def test_both_ways_of_those_withdrawn_are_the_same_method_with_them_and_without():
    data, _ = trial(withdrew=0.1)
    out = assigned(data)
    stay = data.people["withdrew"].isna().to_numpy()
    alone = analyse(data.subset(stay))[0]
    without = out["without_withdrawn"].estimate
    np.testing.assert_allclose(without, alone.estimate[: len(without)])
    by_arm = out["withdrawn"].table.set_index("arm")["persons"]
    assert by_arm.to_dict() == {
        "supported": int((~stay & data.treated).sum()),
        "control": int((~stay & ~data.treated).sum()),
    }
    # Beside an offer, those who never started and were withdrawn are among them.
    both = assigned(data, also_from="offer_date")["withdrawn"].table.set_index("arm")["persons"]
    assert both["supported"] > by_arm["supported"]
    assert "withdrawn" not in assigned(trial()[0])


def test_the_numbers_are_those_of_the_main_result_and_fewest_those_by_which_it_differs():
    data, took = trial(take=0.97, withdrew=0.03)
    main = analyse(data)[0]
    out = assigned(data, also_from="offer_date")
    never = int((~took[1::2]).sum())
    assert (out["offered"].counts["persons"] == main.counts["persons"].iloc[0]).all()
    assert out["offered"].counts["fewest"].max() <= never < 10
    assert out["take_up"].counts["fewest"].tolist() == [never]
    gone = out["withdrawn"].table["persons"].min()
    assert out["without_withdrawn"].counts["fewest"].max() <= gone


def test_the_smallest_group_behind_a_share_is_behind_what_is_divided_by_it():
    data, _ = trial(found=0.02, effect=-0.4)
    out = assigned(data, also_from="offer_date", assignment="randomised")
    least = min(out["take_up"].counts["fewest"].min(), out["offered"].counts["fewest"].min())
    assert out["took_up_because"].counts["fewest"].tolist() == [least]
    assert out["took_up_because"].counts["events"].tolist() == [out["offered"].counts["events"].iloc[0]]


def test_where_everyone_supported_was_withdrawn_there_is_nothing_without_them():
    data, _ = trial(n=80)
    day = data.people["withdrew"].mask(data.treated, pd.Timestamp("2024-03-01"))
    out = assigned(replace(data, people=data.people.assign(withdrew=day)))
    assert "without_withdrawn" not in out
    assert out["withdrawn"].method["notes"] == [
        "Without those withdrawn there are too few people to estimate an effect."
    ]


def test_a_study_without_days_of_offer_is_told_so():
    data, _ = trial()
    bare = replace(data, people=data.people.drop(columns="offer_date"))
    with pytest.raises(DataError, match=r"people.offer_date: nobody has one, and arms.also_from counts"):
        counted_from_offer(bare)
