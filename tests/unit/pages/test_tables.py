import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from impact.disclosure import Released, release
from impact.errors import DisclosureError
from impact.pages import called, tables
from impact.results import Balance, Effects, Rates, Summary, Test

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


def test_where_no_outcome_is_the_primary_one_all_allow_for_looking_at_several(
    effects: Callable[..., Released],
) -> None:
    one, other = (tables.effects(effects(FIRST, method=m)) for m in ({}, {"questions": "secondary"}))
    p = [next(c.cells for c in table.columns if c.header == "p-value") for table in (one, other)]
    # -58 of 22 has p 0.0095, which two questions make 0.019.
    assert (p[0][0], p[1][0]) == ("0.009", "0.019")
    assert any(note.startswith("The p-values allow for looking at several") for note in other.notes)


def test_an_effect_on_too_few_is_called_not_shown_with_a_footnote(effects: Callable[..., Released]) -> None:
    table = tables.effects(effects({"ae": FIRST["ae"]}, events=5))
    assert table.rows[0][1] == "not shown"
    assert table.notes[0].startswith("Not shown: fewer than 8 people")


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
        for arm, events in (("control", 30), ("supported", 25))
        for month in pd.date_range("2024-01-01", periods=2, freq="MS")
    ]
    released = release({"rates": Rates(pd.DataFrame(rows), {"per": "per 1,000 person-months"})}, "hes")
    table = tables.rates(released["rates"])
    assert table.caption == "Rates per 1,000 people a year: A&E attendances"
    assert table.rows[0] == ("Jan 2024", "1,000", "300", "1,200", "300")
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


def test_pooled_months_are_named_from_first_to_last() -> None:
    time = list(range(-4, 4))
    labels = pd.DataFrame(
        {"outcome": "ae", "term": "att", "scale": "difference", "unit": "per 1,000 person-months"}, index=time
    )
    labels = labels.rename_axis("event_time").reset_index()
    counts = pd.DataFrame({"persons": 400, "treated": 60, "clusters": 60, "events": 6}, index=range(8))
    made = Effects(labels, np.full(8, 1.5), np.eye(8), np.arange(8), 59, {"period": "month"}, counts)
    released = release({"by_time": made}, "hes")["by_time"]
    assert [row[0] for row in tables.effects(released).rows] == ["−4 to −1", "0 to 3"]


def test_pooled_dates_are_named_from_first_to_last() -> None:
    index = pd.DataFrame(
        {
            "period": pd.to_datetime(["2024-01-01", "2024-07-01"]),
            "period_to": pd.to_datetime(["2024-04-01", "2024-07-01"]),
        }
    )
    assert called.row_names("period", index, "Quarter") == ["Jan to Jun 2024", "Jul 2024"]


def test_tables_hold_the_values_that_were_released(effects: Callable[..., Released]) -> None:
    table = tables.effects(effects({"gp": (234_282.0, 206_350.0, 0.1, 0.1)}))
    assert table.rows[0][1] == "+240,000 (−180,000 to +648,000)"


def test_p_values_in_files_are_not_those_of_the_table(effects: Callable[..., Released]) -> None:
    assert any("p-values before this adjustment" in how for how in tables.effects(effects(FIRST)).how)
    alone = tables.effects(effects({"ae": FIRST["ae"]}))
    assert not any("p-values" in how for how in alone.how)


def test_the_policy_is_said_at_the_foot_and_not_under_each_table(
    people: Released, effects: Callable[..., Released], naive: Callable[..., Released]
) -> None:
    said = "Not shown: fewer than 8 people or events (1 to 7), or a figure that would give so few away."
    assert tables.table(people).notes == (said,)
    shown = naive((341, 214), (330, 232)), effects({"emergency_admission": FIRST["emergency_admission"]})
    assert tables.table(*shown).notes == ()
    assert "or would give them away; other counts are rounded to the nearest 5" in people.rule.sentence


def test_a_narrow_column_breaks_a_figure_before_its_range_and_no_word_at_its_hyphen(
    effects: Callable[..., Released],
) -> None:
    html = tables.effects(effects(FIRST)).html
    assert re.search(
        r'<td class="n"><span>−\d+</span> <span class="range">\(−\d+ to −\d+\)</span></td>', html
    )
    assert '<th scope="col" class="n"><span>p-value</span></th>' in html


def test_units_that_are_no_people_are_called_what_they_are(effects: Callable[..., Released]) -> None:
    per_trust = tables.effects(effects({"attendances": FIRST["ae"]}, unit="per trust and month"))
    assert per_trust.columns[-1].header == "Trusts (events) with support"
    assert tables.effects(effects(FIRST)).columns[-1].header == "People (events) with support"
    flow = Summary(
        pd.DataFrame({"stage": ["in the file"], "persons": [140]}),
        {"per": "per trust and month"},
        people=["persons"],
    )
    assert tables.table(release({"flow": flow}, "hes")["flow"]).columns[1].header == "Trusts"


def test_outpatient_in_a_sentence_is_outpatient_appointments() -> None:
    table = pd.DataFrame({"element": ["outcomes"], "in this study": ["ae (primary), outpatient and gp."]})
    said = tables.table(release({"trial": Summary(table, {})}, "hes")["trial"]).rows[0][1]
    assert said == "A&E attendances (primary), outpatient appointments and GP contacts."


@pytest.mark.parametrize(
    ("scale", "unit", "ends", "header", "cell"),
    [
        (
            "difference",
            "per 1,000 person-months",
            (-9.0, -1.0),
            "Difference per 1,000 people a year",
            "−60 (−108 to −12)",
        ),
        ("log ratio", "log ratio", (-np.inf, np.inf), "Ratio", "0.01 (no limit)"),
        ("log ratio", "log ratio", (-np.inf, 0.0), "Ratio", "0.01 (no limit to 1.00)"),
    ],
)
def test_a_test_shows_its_estimate_in_readers_units_and_how_small_a_p_value_can_be(
    scale: str, unit: str, ends: tuple[float, float], header: str, cell: str
) -> None:
    said = {"shows": "placebo test", "outcome": "ae", "scale": scale, "unit": unit}
    counts = pd.DataFrame({"persons": [400], "treated": [60], "clusters": [60], "events": [900]})
    made = Test(
        "no effect",
        -2.5,
        np.nan,
        0.02,
        said,
        counts,
        estimate=-5.0,
        conf_low=ends[0],
        conf_high=ends[1],
        conf_level=0.9,
        smallest_p=0.01,
    )
    table = tables.table(release({"test": made}, "hes")["test"])
    assert table.caption == "Placebo test: A&E attendances (90% range in brackets)"
    assert [c.header for c in table.columns] == ["Test", header, "p-value", "Smallest possible p-value"]
    assert table.rows == [("No effect", cell, "0.020", "0.010")]


def test_estimates_in_a_description_are_in_readers_units() -> None:
    made = Summary(
        pd.DataFrame({"outcome": ["ae"], "treated": [60], "estimate": [-5.0], "weight": [0.75]}),
        {"shows": "comparisons", "unit": "per 1,000 person-months"},
        people=["treated"],
        derived={"estimate": ["treated"], "weight": ["treated"]},
    )
    table = tables.table(release({"summary": made}, "hes")["summary"])
    assert table.columns[2].header == "Estimate per 1,000 people a year"
    assert table.rows[0][:3] == ("A&E attendances", "60", "−60")


def drawn(kind: str, how: str, p: float = 0.04, seed: int | None = 7, persons: int = 400) -> Test:
    said = {"shows": kind, "outcome": "ae", "scale": "log ratio", "unit": "log ratio", "inference": how}
    counts = pd.DataFrame({"persons": [persons], "treated": [60], "clusters": [9], "events": [900]})
    ends = {"estimate": -0.2, "conf_low": -0.4, "conf_high": -0.01, "conf_level": 0.95, "smallest_p": 0.002}
    said |= {"draws": 999, "seed": seed, "dealt": "units" if "units" in how else "clusters"}
    return Test("no effect", -2.5, np.nan, p, said, counts, **ends)


def test_tests_for_few_sites_stand_in_words_and_in_one_table(effects: Callable[..., Released]) -> None:
    released = release(
        {
            "wild": drawn("wild bootstrap", "without imposing the hypothesis", p=0.011),
            "placebo": drawn("placebo test", "starts dealt out anew among clusters", seed=None),
            "pretrend": Test("pre-trends are zero", 1.0, 3.0, 0.4, {}, drawn("", "").counts),
        },
        "hes",
    )
    shown = tables.few_sites(dict(released) | {"effects": effects(FIRST)})
    assert "999 times. 1.1% of these results" in shown.text
    assert "few groups it can find an effect where there is none" in shown.text
    assert "anew among groups, in all 999 ways. 4.0% of these results" in shown.text
    assert "smallest possible share is 0.20%" in shown.text
    assert "Starts were not given by lot" in shown.text
    assert shown.html.count("<table>") == 1
    assert shown.html.count('scope="row"') == 2
    assert "0.82 (0.67 to 0.99)" in shown.text
    assert len(shown.sources) == 4


def test_a_randomisation_test_is_no_placebo_and_one_on_too_few_is_withheld() -> None:
    among = "starts dealt out anew among units"
    made = {"dealt": drawn("randomisation test", among), "few": drawn("placebo test", among, persons=5)}
    text = tables.few_sites(release(made, "hes")).text
    assert "anew among people, 999 times" in text
    assert "Starts were given by lot" in text
    assert "Placebo test: too few people or events to show it." in text
    assert "not given by lot" not in text


@pytest.mark.parametrize(
    ("clusters", "estimator", "advised"),
    [(12, "etwfe", True), (30, "etwfe", False), (12, "synthetic_did", False), (1000, "etwfe", False)],
)
def test_tests_are_advised_where_few_groups_stand_behind(
    effects: Callable[..., Released], clusters: int, estimator: str, advised: bool
) -> None:
    main = effects(FIRST, clusters=clusters, method={"estimator": estimator})
    assert (
        "did.tests: [wild_bootstrap, randomisation_test]" in tables.few_sites({"effects": main}).text
    ) == advised
