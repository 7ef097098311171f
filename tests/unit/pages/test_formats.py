from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from impact.disclosure import Released
from impact.disclosure.released import SEAL
from impact.errors import DisclosureError
from impact.pages import formats


def test_a_rate_a_month_becomes_a_rate_a_year_and_a_log_ratio_a_ratio() -> None:
    stored = pd.DataFrame(
        {
            "scale": ["difference", "log ratio", "events avoided"],
            "unit": ["per 1,000 person-months", "log ratio", "events"],
            "estimate": [-5.0, np.log(0.8), 20.0],
            "conf_low": [-8.0, np.log(0.7), 5.0],
            "conf_high": [-2.0, np.log(0.9), 35.0],
        }
    )
    shown = formats.readers_units(stored)
    assert shown["estimate"].tolist() == pytest.approx([-60, 0.8, 20])
    assert shown["conf_low"].tolist() == pytest.approx([-96, 0.7, 5])
    assert shown["conf_high"].tolist() == pytest.approx([-24, 0.9, 35])
    assert shown["unit"].tolist() == ["per 1,000 people a year", "ratio", "events"]
    assert stored["estimate"].iloc[0] == -5.0


def test_other_units_stay_as_they_are() -> None:
    stored = pd.DataFrame({"scale": ["difference"], "unit": ["per org and month"], "estimate": [3.0]})
    shown = formats.readers_units(stored.assign(conf_low=1.0, conf_high=5.0))
    assert shown[["estimate", "unit"]].values.tolist() == [[3.0, "per org and month"]]
    assert formats.rate_unit({"per": "per org and month"}) == ("per org and month", 0.001)


def test_secondary_p_values_are_holm_and_the_primary_is_left_alone() -> None:
    p = [0.04, 0.01, 0.03, 0.20]
    assert formats.adjusted(p) == pytest.approx([0.04, *multipletests(p[1:], method="holm")[1]])
    with_missing = formats.adjusted([0.04, np.nan, 0.03])
    assert with_missing[2] == 0.03
    assert np.isnan(with_missing[1])


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234567, "1,234,567"), (-3, "−3"), (-0.2, "0"), ("*", "*"), (None, "–"), (pd.NA, "–")],
)
def test_numbers(value: object, text: str) -> None:
    assert formats.number(value) == text


def test_a_p_value_is_never_zero() -> None:
    assert formats.p_value(1e-9) == "under 0.001"
    assert formats.p_value(0.0421) == "0.042"


def test_only_what_was_released_gets_past() -> None:
    with pytest.raises(DisclosureError, match=r"DataFrame.*release"):
        formats.require_released(pd.DataFrame({"persons": [3]}))


def test_a_note_that_services_share_is_said_once(effects: Callable[..., Released]) -> None:
    made = effects({"ae": (-58, 22, -0.2, 0.07), "gp": (1, 22, 0, 0.07), "bed_days": (1, 22, 0, 0.07)})
    shared = ("ae: shown by quarter.", "gp: shown by quarter.", "bed_days: shown by half-year.")
    said = formats.notes(replace(made, notes=shared, seal=SEAL))
    assert said == [
        "A&E attendances and GP contacts: shown by quarter.",
        "Nights in hospital: shown by half-year.",
    ]
    everyone = tuple(f"{name}: shown by quarter." for name in ("ae", "gp", "bed_days"))
    assert formats.notes(replace(made, notes=everyone, seal=SEAL)) == ["Shown by quarter."]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("prior_ae", "A&E attendances in the year before"),
        ("prior_ae_q1", "A&E attendances, 1 to 3 months before the start"),
        ("prior_emergency_admission_q8", "Emergency admissions, 22 to 24 months before the start"),
        ("prior_gp_m1", "GP contacts, 1 month before the start"),
        ("prior_log1p_gp_m12", "GP contacts, 12 months before the start (logarithm)"),
        ("prior_sqrt_bed_days_q2", "Nights in hospital, 4 to 6 months before the start (square root)"),
        ("trend_ae", "A&E attendances, trend before the start"),
        ("latest_log1p_ae", "A&E attendances, latest period less those before (logarithm)"),
        ("latest_visit", "Latest visit"),
    ],
)
def test_counts_of_single_periods_are_named_by_their_months(name: str, said: str) -> None:
    assert formats.label(name) == said
