"""What a change in contacts means in money: the published arithmetic, the sums, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from impact.errors import DataError, DesignError, ParameterError
from impact.interpret import cost_avoided, costs, price_factor, price_list, qaly, wellby
from impact.interpret.economics import discount_factor
from impact.interpret.price_lists import OVERLAPPING, appraisal
from impact.results import Costs, Effects
from impact.study import money


def effects(avoided: dict[str, float], root: Any, *, treated: int = 200, df: float = 1e6) -> Effects:
    """Contacts avoided, with a root whose product is their covariance."""
    labels = pd.DataFrame({"outcome": list(avoided), "term": "att", "scale": "events avoided"})
    behind = {"persons": 500, "treated": treated, "clusters": 500, "events": 900}
    root = np.atleast_2d(np.asarray(root, float))
    return Effects(
        labels.assign(unit="events"),
        np.array(list(avoided.values())),
        root,
        np.arange(len(root)),
        df,
        {"estimator": "two_by_two"},
        pd.DataFrame([behind] * len(avoided)),
    )


def prices(**cost: float) -> pd.DataFrame:
    table = pd.DataFrame({"service": list(cost), "cost_gbp": list(cost.values()), "cost_error": 0.0})
    table = table.assign(cashable_gbp=np.nan, stated_year="2023/24", source="own")
    table.attrs = {"price_year": "2023/24", "index": ""}
    return table


def item(found: Costs, name: str) -> pd.Series:
    (row,) = [row for _, row in found.table.iterrows() if row["item"] == name]
    return row


def test_the_shipped_bed_day_is_the_published_arithmetic() -> None:
    bed = price_list(["bed_days"], price_year="2020/21").iloc[0]
    assert bed["cost_gbp"] == pytest.approx(25_160_402_689.92 / 24_378_064, abs=0.005)
    assert bed["cost_gbp"] / bed["cashable_gbp"] == pytest.approx(3.0, abs=0.01)


def test_only_prices_that_may_be_passed_on_are_shipped() -> None:
    from impact.interpret import price_lists

    shipped = pd.read_csv(price_lists._FOLDER / "unit_costs.csv")
    assert set(shipped["licence"]) == {"CC BY 4.0", "Open Government Licence v3.0"}
    assert not shipped["source"].str.contains("PSSRU|HACT|NICE|HFMA").any()
    assert shipped[["price_year", "source", "verification"]].notna().all(axis=None)


def test_prices_are_brought_to_another_year_by_hand() -> None:
    by, said = price_factor("2020/21", "2023/24")
    assert by == pytest.approx(1.0258 * 1.0732 * 1.0247)
    assert said == (
        "NHSCII pay and prices, PSSRU 2025 manual; 2023/24 revised (4.31 provisional in the 2024 manual)",
    )
    assert price_factor("2023/24", "2020/21")[0] == pytest.approx(1 / by)
    assert price_factor("2021/22", "2021/22") == (1.0, ())
    old, both = price_factor("2013/14", "2015/16")
    assert old == pytest.approx(1.009 * 1.0040)
    assert len(both) == 2
    assert both[0].startswith("HCHS")
    assert "provisional" in price_factor("2023/24", "2024/25")[1][0]
    assert price_factor("2019", "2024", index="gdp")[0] == pytest.approx(100 / 81.1085)
    # The provisional rise of the manual before would have moved the same price by 1.8%.
    assert round(100 * (1.0431 / 1.0247 - 1), 1) == 1.8
    with pytest.raises(ParameterError, match="the index has 2011/12 to 2024/25"):
        price_factor("2009/10", "2023/24")


def test_a_cost_of_760_pounds_a_person_is_activity_and_not_a_saving() -> None:
    # 200 people with 0.74 nights fewer each: the kind of figure that is published as "saves GBP 760".
    nights = effects({"bed_days": 148.0}, [[10.0]])
    found = cost_avoided(nights, price_list(["bed_days"], price_year="2020/21"), support_cost_per_person=420)
    assert item(found, "break_even")["estimate"] == pytest.approx(0.74 * 1032.09)
    assert item(found, "net")["estimate"] == pytest.approx(148 * 1032.09 - 200 * 420)
    assert item(found, "net")["estimate"] > 0 > item(found, "net_cash")["estimate"]
    assert item(found, "net_cash")["chance"] < 0.005 < 0.995 < item(found, "net")["chance"]


def test_the_sum_uses_the_joint_covariance() -> None:
    root = np.array([[3.0, 4.0], [0.0, 2.0]])
    found = cost_avoided(effects({"ae": 10.0, "gp": -5.0}, root), prices(ae=100, gp=40))
    p, v = np.array([100.0, 40.0]), root.T @ root
    total = item(found, "activity")
    assert total["estimate"] == 800
    assert total["std_error"] == pytest.approx(np.sqrt(p @ v @ p))
    independent = np.sqrt(p**2 @ np.diag(v))
    assert total["std_error"] > 1.15 * independent
    assert total["chance"] == pytest.approx(0.5 + 0.5 * _erf(800 / total["std_error"]), abs=1e-4)


def _erf(z: float) -> float:
    import math

    return math.erf(z / math.sqrt(2))


def test_uncertain_prices_have_the_variance_of_draws_of_both() -> None:
    """Gamma prices and normal effects, drawn 400,000 times, have the mean and variance of the analysis."""
    rng = np.random.default_rng(7)
    root, mean = np.array([[6.0, 5.0], [2.0, 9.0]]), np.array([40.0, -15.0])
    price, error = np.array([120.0, 300.0]), np.array([20.0, 60.0])
    shape = (price / error) ** 2
    p = rng.gamma(shape, price / shape, (400_000, 2))
    drawn = ((mean + rng.normal(size=(400_000, 2)) @ root) * p).sum(1)
    uncertain = prices(ae=120, gp=300).assign(cost_error=error)
    total = item(cost_avoided(effects({"ae": 40.0, "gp": -15.0}, root), uncertain), "activity")
    assert total["estimate"] == pytest.approx(drawn.mean(), rel=0.01, abs=25)
    assert total["std_error"] == pytest.approx(drawn.std(), rel=0.01)
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (total["conf_low"], total["conf_high"]) == pytest.approx((low, high), abs=0.06 * (high - low))


def test_a_range_of_a_price_is_read_as_95_per_cent() -> None:
    ae = price_list(["ae"], price_year="2011/12").iloc[0]
    assert ae["cost_error"] == pytest.approx((147 - 95) / 3.92)


def test_later_months_are_discounted_and_the_first_twelve_are_not() -> None:
    assert discount_factor(12, 0.035) == discount_factor(6, 0.035) == 1
    assert discount_factor(24, 0.035) == pytest.approx((1 + 1 / 1.035) / 2)
    late = cost_avoided(effects({"ae": 10.0}, [[1.0]]), prices(ae=100), months=24)
    assert item(late, "activity")["estimate"] == pytest.approx(1000 * (1 + 1 / 1.035) / 2)
    assert late.method["discount_rate"] == appraisal("discount_rate")["value"] == 0.035
    assert appraisal("discount_rate_health")["value"] == 0.015


def test_what_is_cashable_is_what_the_list_or_the_study_says() -> None:
    asked = price_list(["ae", "bed_days"], price_year="2020/21", cashable={"ae": 0.1})
    found = cost_avoided(effects({"ae": 10.0, "bed_days": 5.0}, np.eye(2)), asked)
    assert item(found, "cashable")["estimate"] == pytest.approx(asked["cost_gbp"][0] + 5 * 344.60)
    # Where nothing is known, nothing is cash.
    none = cost_avoided(effects({"ae": 10.0}, [[1.0]]), prices(ae=100))
    assert item(none, "cashable")["estimate"] == 0
    with pytest.raises(ParameterError, match=r"cashable: 'aee' is not counted\. Did you mean 'ae'"):
        price_list(["ae"], price_year="2020/21", cashable={"aee": 0.1})


def test_the_balance_elsewhere_carries_take_up_and_the_range() -> None:
    to = {"people": 5000, "take_up": 0.2, "optimism_bias": 0.1}
    found = cost_avoided(
        effects({"ae": 100.0}, [[60.0]]), prices(ae=150), support_cost_per_person=50, extend_to=to
    )
    here, there = item(found, "activity"), item(found, "extended_activity")
    assert there["estimate"] == pytest.approx(5 * here["estimate"])
    assert there["conf_low"] == pytest.approx(5 * here["conf_low"])
    assert item(found, "extended_support")["estimate"] == pytest.approx(1000 * 50 * 1.1)
    with pytest.raises(ParameterError, match="take_up: expected a share above 0"):
        cost_avoided(effects({"ae": 1.0}, [[1.0]]), prices(ae=1), extend_to={"people": 9, "take_up": 0})


def test_swings_move_one_thing_at_a_time_the_widest_first() -> None:
    uncertain = prices(ae=100, gp=40).assign(cost_error=[30.0, 0.0])
    found = cost_avoided(effects({"ae": 10.0, "gp": 5.0}, np.diag([1.0, 9.0])), uncertain)
    swings = found.table[found.table["item"] == "swing"]
    assert swings[["outcome", "term"]].values.tolist() == [
        ["gp", "effect"],
        ["ae", "price"],
        ["ae", "effect"],
    ]
    wide = (swings["conf_high"] - swings["conf_low"]).to_numpy()
    np.testing.assert_allclose(wide, 2 * 1.96 * np.array([9 * 40, 30 * 10, 100]), rtol=1e-4)


def test_no_prices_are_no_costs() -> None:
    assert costs(effects({"ae": 1.0}, [[1.0]]), price_list([])) == {}


def test_services_that_count_the_same_stays_are_refused_with_what_to_do() -> None:
    with pytest.raises(
        ParameterError, match=r"'bed_days' and 'emergency_admission' count the same stays.*\[ae, bed_days\]"
    ):
        price_list(["emergency_admission", "ae", "bed_days"], price_year="2020/21")
    with pytest.raises(ParameterError, match="count the same stays"):
        cost_avoided(effects({"ae": 1.0}, [[1.0]]), prices(bed_days=1, day_case=1))
    assert OVERLAPPING == {"bed_days": money._OF_STAYS}


def test_an_effect_without_contacts_avoided_has_no_cost() -> None:
    ratio = effects({"ae": 0.1}, [[0.1]])
    ratio.labels["scale"] = "log ratio"
    with pytest.raises(DesignError, match="'ae' has no number of contacts avoided"):
        cost_avoided(ratio, prices(ae=100))
    people = effects({"ae": 4.0, "gp": 1.0}, np.eye(2))
    people.labels["outcome"], people.labels["unit"] = "ae", ["events", "per 100 people"]
    people.labels["scale"] = ["events avoided", "difference"]
    with pytest.raises(DesignError, match="'ae' is on how many people have any"):
        cost_avoided(people, prices(ae=100))
    with pytest.raises(ParameterError, match=r"no price for 'nurse'.*money\.prices"):
        price_list(["nurse"], price_year="2020/21")


OWN = "service,cost_gbp,low_gbp,high_gbp,price_year,cashable_share,source\n"


def test_a_users_own_prices_take_the_place_of_the_packages(tmp_path: Path) -> None:
    file = tmp_path / "prices.csv"
    file.write_text(OWN + "ae, 199, 150, 248, 2023/24, 0.1, our contract\nnurse,15,,,2023/24,,our contract\n")
    found = price_list(["ae", "nurse", "gp"], price_year="2023/24", file=file)
    assert found["cost_gbp"].round(2).tolist()[:2] == [199, 15]
    assert found["cashable_gbp"].round(2).tolist()[0] == 19.9
    assert found["source"].tolist()[2].startswith("GMCA")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("service,cost,price_year,source\nae,1,2020/21,x\n", "no column 'cost_gbp'. Did you mean 'cost'"),
        (
            OWN.replace("low_gbp", "low_gpb") + "ae,1,,,2020/21,,x\n",
            "'low_gpb' is not known. Did you mean 'low_gbp'",
        ),
        (OWN + "ae,£199,,,2023/24,,x\n", "row 2, cost_gbp: expected a number of 0 or more, found '£199'"),
        (OWN + "ae,199,,,2023/24,,\n", "row 2, source: it is missing"),
        (
            OWN + "ae,199,,,2023,,x\n",
            "row 2, price_year: expected a financial year such as 2023/24, found '2023'",
        ),
        (
            OWN + "ae,199,200,300,2023/24,,x\n",
            "row 2, low_gbp, high_gbp: the cost, 199, does not lie between",
        ),
        (OWN + "ae,199,100,,2023/24,,x\n", "row 2, low_gbp, high_gbp: give both ends"),
        (OWN + "ae,199,,,2023/24,1.2,x\n", "row 2, cashable: it is more than the cost"),
        (OWN + "ae,1,,,2023/24,,x\nae,2,,,2023/24,,x\n", "row 3, service: it stands twice"),
        (OWN + "ae,0,,,2023/24,,x\n", "row 2, cost_gbp: a price of 0"),
        ("", "could not be read as CSV"),
    ],
)
def test_what_is_wrong_with_a_price_is_said_by_row_and_column(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "prices.csv"
    file.write_text(text)
    with pytest.raises(DataError) as error:
        price_list(["ae"], price_year="2023/24", file=file)
    assert said in str(error.value)
    assert "prices.csv" in str(error.value)
    assert str(tmp_path) not in str(error.value)


def test_a_wellby_is_13000_of_2019_and_never_added_to_a_qaly_of_the_same_change() -> None:
    worth = wellby(0.3, people=100, years=2)
    assert (worth.low, worth.central, worth.high) == (600_000, 780_000, 960_000)
    assert worth.prices == "2019 prices"
    health = qaly(0.02, people=100, years=2, price_gbp=70_000, prices="2019 prices", of="life satisfaction")
    with pytest.raises(ParameterError, match="'life satisfaction' is valued twice"):
        worth + health
    with pytest.raises(ParameterError, match="prices: 2019 prices and 2024 prices"):
        worth + qaly(0.02, people=1, years=1, price_gbp=1, prices="2024 prices", of="pain")
    with pytest.raises(ParameterError, match="points from 0 to 10"):
        wellby(11, people=1, years=1)
