from collections.abc import Callable

import pandas as pd
import pytest

from impact.disclosure import Released, release
from impact.errors import DisclosureError
from impact.pages import tables
from impact.results import Balance, Rates, Summary

FIRST = {"emergency_admission": (-58.0, 22.0, -0.18, 0.07), "ae": (-41.0, 26.0, -0.06, 0.04)}


def test_effects_in_readers_units_one_row_an_outcome(effects: Callable[..., Released]) -> None:
    table = tables.effects(effects(FIRST))
    assert [c.header for c in table.columns[:3]] == [
        "Service",
        "Difference per 1,000 people a year",
        "Ratio",
    ]
    assert "95% ranges in brackets" in table.caption
    assert table.rows[0][:3] == ("Emergency admissions", "−58 (−102 to −14)", "0.84 (0.73 to 0.96)")
    assert table.rows[1][0] == "A&E attendances"
    assert any("Holm" in note for note in table.notes)


def test_an_effect_on_too_few_is_a_star_with_a_footnote(effects: Callable[..., Released]) -> None:
    table = tables.effects(effects({"ae": FIRST["ae"]}, events=5))
    assert table.rows[0][1] == "*"
    assert table.notes[0].startswith("* 1 to 7, not shown")


def test_the_base_of_an_event_study_is_named(event_study: Released) -> None:
    table = tables.effects(event_study)
    base = next(row for row in table.rows if row[0] == "−3")
    assert base[1] == "0 (base)"


def test_html_has_caption_scopes_and_no_markup_from_the_data(people: Released) -> None:
    text = tables.table(people).html
    assert text.count("<caption>") == 1
    assert text.count('scope="col"') == 2
    assert text.count('scope="row"') == 3
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "1,235" in text
    assert 'role="region" tabindex="0" aria-label="People by tenure"' in text


def test_rates_stand_side_by_side_for_people_a_year() -> None:
    rows = [
        {"outcome": "ae", "arm": arm, "period": month, "step": 1, "persons": 300, "events": events}
        | {"person_months": 300.0, "rate_per_1000_person_months": events / 0.3}
        for arm, events in (("control", 30), ("supported", 24))
        for month in pd.date_range("2024-01-01", periods=2, freq="MS")
    ]
    released = release({"rates": Rates(pd.DataFrame(rows), {"per": "per 1,000 person-months"})}, "hes")
    table = tables.rates(released["rates"])
    assert table.caption == "Rates per 1,000 people a year: A&E attendances"
    assert table.rows[0] == ("Jan 2024", "960", "300", "1,200", "300")
    assert table.columns[1].header == "With support: rate"


def test_balance_shows_each_characteristic_before_and_after() -> None:
    rows = [
        {"covariate": "age", "level": "", "sample": sample, "mean_treated": 67.0, "mean_control": mean}
        | {"smd": smd, "variance_ratio": 1.1, "ks": 0.05}
        for sample, mean, smd in (("before", 64.0, 0.31), ("after", 66.9, 0.01))
    ]
    counts = pd.DataFrame({"sample": ["before", "after"], "arm": "supported", "persons": 100, "ess": 100})
    released = release({"balance": Balance(pd.DataFrame(rows), {}, counts)}, "hes")["balance"]
    assert tables.balance(released).rows[0][:6] == ("Age", "67.00", "64.00", "66.90", "0.31", "0.01")


def test_before_and_after_is_never_without_the_comparison(naive: Callable[..., Released]) -> None:
    table = tables.table(naive((341, 214), (330, 232)))
    assert table.rows[0] == ("Emergency admissions", "341 → 214 (−37%)", "330 → 232 (−30%)")


def test_bins_of_both_arms_share_a_row() -> None:
    rows = [
        {"arm": arm, "bin_low": low, "bin_high": low + 0.05, "persons": persons}
        for arm, persons in (("treated", 20), ("control", 40))
        for low in (0.10, 0.15)
    ]
    summary = Summary(pd.DataFrame(rows), {"shows": "overlap"}, people=["persons"])
    table = tables.table(release({"overlap": summary}, "hes")["overlap"])
    assert [c.header for c in table.columns[1:]] == ["With support", "Comparison"]
    assert table.rows[0] == ("0.10 to 0.15", "20", "40")


def test_words_of_a_table_are_kept() -> None:
    summary = Summary(pd.DataFrame({"element": ["time zero"], "in this study": ["The day."]}), {})
    table = tables.table(release({"trial": summary}, "hes")["trial"])
    assert table.rows == [("Time zero", "The day.")]


def test_a_result_that_was_not_released_has_no_table() -> None:
    with pytest.raises(DisclosureError):
        tables.table(Summary(pd.DataFrame({"persons": [3]}), {}, people=["persons"]))  # type: ignore[arg-type]
