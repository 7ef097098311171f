from collections.abc import Callable
from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from impact.disclosure import Released, release
from impact.disclosure.released import SEAL
from impact.errors import DisclosureError
from impact.pages import plots, show
from impact.pages.captions import alt, caption
from impact.pages.formats import label
from impact.results import Balance, Rates, Summary

OUTCOMES = {"emergency_admission": (-58.0, 22.0, -0.18, 0.07), "gp": (-120.0, 225.0, -0.02, 0.04)}


def words_of(ax: Any) -> str:
    return " ".join(text.get_text() for text in ax.figure.findobj(Text))


@pytest.fixture(scope="module")
def rates() -> Released:
    rows = [
        {"outcome": outcome, "arm": arm, "period": month, "step": 1, "persons": 300, "events": events}
        | {"person_months": 300.0, "rate_per_1000_person_months": events / 0.3}
        for outcome in ("ae", "gp")
        for arm, events in (("supported", 25), ("control", 30))
        for month in pd.date_range("2024-01-01", periods=12, freq="MS")
    ]
    method = {"per": "per 1,000 person-months", "first_start": pd.Timestamp("2024-07-01")}
    return release({"rates": Rates(pd.DataFrame(rows), method)}, "hes")["rates"]


def test_rates_have_a_panel_an_outcome_and_lines_that_differ_without_colour(rates: Released) -> None:
    ax = plots.rates(rates)
    assert len(ax.figure.axes) == 2
    lines = [line for line in ax.lines if len(line.get_xdata()) == 12]
    assert sorted(line.get_ydata()[0] for line in lines) == pytest.approx([1000, 1200], rel=1e-3)
    assert len({line.get_linestyle() for line in lines}) == 2
    assert len({line.get_marker() for line in lines}) == 2
    assert "per 1,000 people a year" in words_of(ax)
    assert "starts of support" in words_of(ax)


def test_alt_text_states_the_numbers(rates: Released) -> None:
    said = alt("rates", rates)
    assert "With support: from 1,000 (Jan 2024) to 1,000 (Dec 2024)" in said
    assert "Comparison: from 1,200" in said


def test_event_study_tells_before_from_after_and_marks_the_base(event_study: Released) -> None:
    ax = plots.event_study(event_study)
    points = {line.get_marker(): len(line.get_xdata()) for line in ax.lines if line.get_marker() in "soD"}
    assert points == {"s": 5, "o": 6, "D": 1}
    assert "base" in words_of(ax)
    said = alt("event_study", event_study)
    assert "0 of 3 95% ranges leave out no difference" in said
    assert "In the months just before support the estimates lie from +48 to +48; 2 of 2" in said
    assert "With support the estimates lie from −72 to −72; 6 of 6" in said


def test_forest_has_a_row_an_outcome_with_its_range_in_figures(effects: Callable[..., Released]) -> None:
    released = effects(OUTCOMES)
    assert "Ratio of the rate" in words_of(plots.forest(released))
    ax = plots.forest(released, scale="difference")
    assert "−58 (−102 to −14)" in words_of(ax)
    assert "Difference per 1,000 people a year" in words_of(ax)
    filled = [line.get_marker() for line in ax.lines if line.get_marker() in ("o", "D")]
    assert filled == ["o", "D"]
    assert "GP contacts −120, 95% range −564 to +324." in alt("forest", released, scale="difference")


def test_overlap_is_mirrored_and_withheld_bars_are_not_drawn() -> None:
    rows = [
        {"arm": arm, "bin_low": low, "bin_high": low + 0.05, "persons": persons}
        for arm, counts in (("treated", (20, 30, 3)), ("control", (40, 60, 20)))
        for low, persons in zip((0.10, 0.15, 0.20), counts, strict=True)
    ]
    summary = Summary(pd.DataFrame(rows), {"shows": "overlap"}, people=["persons"])
    released = release({"overlap": summary}, "hes")["overlap"]
    ax = plots.overlap(released)
    heights = [bar.get_height() for bar in ax.patches]
    assert min(heights) == -60
    assert not any(0 < abs(h) < 8 for h in heights)
    assert "Bars of 1 to 7 people are not drawn." in caption("overlap", released)
    assert "most people (30) between 0.15 and 0.20" in alt("overlap", released)


def test_love_says_how_many_differ() -> None:
    rows = [
        {
            "covariate": name,
            "level": "f" if name == "sex" else "",
            "sample": sample,
            "mean_treated": 1.0,
            "mean_control": 1.0,
        }
        | {"smd": smd, "variance_ratio": 1.0, "ks": 0.1}
        for name, before, after in (("age", 0.31, 0.02), ("prior_ae", -0.45, -0.12), ("sex", 0.05, 0.01))
        for sample, smd in (("before", before), ("after", after))
    ]
    counts = pd.DataFrame({"sample": ["before"], "arm": ["supported"], "persons": [100], "ess": [100]})
    released = release({"balance": Balance(pd.DataFrame(rows), {}, counts)}, "hes")["balance"]
    ax = plots.love(released)
    assert {-0.1, 0.1} <= {line.get_xdata()[0] for line in ax.lines}
    assert "Sex: female" in words_of(ax)
    said = alt("love", released)
    assert "Before matching, 2 of 3 characteristics differ by more than 0.1; the largest by −0.45" in said
    assert "After matching, 1 of 3" in said


def test_placebo_marks_this_study() -> None:
    edges = np.linspace(-10, 10, 11)
    table = pd.DataFrame({"low": edges[:-1], "high": edges[1:], "draws": 50, "here": np.arange(10) == 2})
    method = {"shows": "placebo", "draws": 500, "estimate": -5.0, "p_value": 0.031, "outcome": "ae"}
    summary = Summary(table, method | {"unit": "per 1,000 person-months"})
    released = release({"placebo": summary}, "hes")["placebo"]
    assert "This study" in words_of(plots.placebo(released))
    assert "lies between −72 and −48; 3.1% of draws lie at least as far from no effect." in alt(
        "placebo", released
    )


def test_the_placebo_says_how_far_out_the_study_lies_and_how_often_it_errs() -> None:
    edges = np.linspace(-10, 10, 11)
    table = pd.DataFrame({"low": edges[:-1], "high": edges[1:], "draws": 50, "here": np.arange(10) == 4})
    method = {"shows": "placebo", "draws": 499, "estimate": -0.5, "p_value": 0.82, "outcome": "ae"}
    method |= {"unit": "per 1,000 person-months", "rejected": 0.054, "rejected_error": 0.01}
    released = release({"placebo": Summary(table, method)}, "hes")["placebo"]
    said = caption("placebo", released)
    assert "Of 500 results, the draws and this study itself, 82.0% lie at least as far from no effect" in said
    assert "the smallest share there can be is 0.20%." in said
    assert (
        "In 5.4% of the draws (by the luck of the draws, 1.0% more or less) the 95% range left out no effect"
        in said
    )
    ax = plots.placebo(released)
    words = next(text for text in ax.texts if text.get_text().startswith("This study"))
    upright = [segment[1][1] for lines in ax.collections for segment in lines.get_segments()]
    assert max(upright) < words.get_position()[1]


def test_an_event_study_without_a_single_estimate_says_so(event_study: Released) -> None:
    columns = ["estimate", "conf_low", "conf_high"]
    none = replace(event_study, table=event_study.table.assign(**dict.fromkeys(columns, np.nan)), seal=SEAL)
    assert "Too few people or events to show any estimate." in alt("event_study", none)
    assert "<img" in show(plots.event_study(none)).html


def test_the_base_is_named_only_where_there_is_one(event_study: Released) -> None:
    assert "Diamond: the base" in caption("event_study", event_study)
    no_base = replace(event_study, table=event_study.table.query("event_time != -3"), seal=SEAL)
    assert "Diamond" not in caption("event_study", no_base)


def test_a_single_estimate_is_said_in_the_singular(event_study: Released) -> None:
    few = replace(event_study, table=event_study.table.query("event_time in (-4, 0)"), seal=SEAL)
    said = alt("event_study", few)
    assert "Before support the one estimate is +6; its 95% range takes in no difference." in said
    assert "With support the one estimate is −72; its 95% range leaves out no difference." in said


def test_letters_are_large_enough_for_a_phone(rates: Released, event_study: Released) -> None:
    for ax in (plots.rates(rates), plots.event_study(event_study)):
        assert min(text.get_fontsize() for text in ax.figure.findobj(Text) if text.get_text()) >= 10
        assert ax.figure.get_figwidth() <= 5.6


def test_figures_leave_no_state_behind(event_study: Released) -> None:
    before = dict(plt.rcParams)
    plots.event_study(event_study)
    assert plt.get_fignums() == []
    assert dict(plt.rcParams) == before


def test_a_figure_needs_a_released_result_of_its_kind(rates: Released) -> None:
    with pytest.raises(DisclosureError, match="not released"):
        plots.rates(Rates(rates.table, {}))  # type: ignore[arg-type]
    with pytest.raises(DisclosureError, match="needs effects"):
        plots.forest(rates)
    assert label("ae") in words_of(plots.rates(rates))


def test_a_forest_looks_no_surer_than_the_words(effects: Callable[..., Released]) -> None:
    """Open diamonds where Holm's adjustment, or the other scale, takes the clearness away."""
    nearly = (-58.0, 27.0, -0.18, 0.085)
    four = {"ae": OUTCOMES["emergency_admission"], "gp": nearly, "outpatient": nearly, "bed_days": nearly}
    lines = plots.forest(effects(four), scale="difference").lines
    assert [line.get_marker() for line in lines if line.get_marker() in ("o", "D")] == ["o", "D", "D", "D"]


@pytest.mark.parametrize("first", [-23, -13, -12, -7, -3, -2])
def test_the_axis_of_time_since_support_marks_whole_months_only(first: int) -> None:
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    ax.plot([first, 11], [0, 1])
    plots._whole_numbers(ax)
    ax.figure.draw_without_rendering()
    marks = [mark.get_text() for mark in ax.get_xticklabels()]
    assert 4 <= len(marks) <= 9
    assert all(mark.removeprefix("−").isdecimal() for mark in marks)


def test_love_keeps_months_before_in_order_below_the_characteristics() -> None:
    rows = [
        {"covariate": name, "level": None, "kind": kind, "sample": sample, "smd": smd, "mean_treated": 11.0}
        | {"mean_control": 12.0}
        for name, kind, before in (
            ("propensity score", "score", 0.9),
            ("age", "covariate", -0.3),
            ("prior_ae_m1", "prior period", 0.05),
            ("prior_ae_m2", "prior period", 0.5),
            ("months followed (ae)", "follow-up", 0.4),
            ("age squared", "square", 0.7),
        )
        for sample, smd in (("before", before), ("after", before / 10))
    ]
    sizes = pd.DataFrame({"sample": ["before", "after"], "arm": "treated", "persons": 200, "ess": 200.0})
    sizes = pd.concat([sizes, sizes.assign(arm="control")])
    released = release({"balance": Balance(pd.DataFrame(rows), {}, sizes)}, "hes")["balance"]
    ax = plots.love(released)
    names = [tick.get_text().replace("\n", " ") for tick in ax.get_yticklabels()]
    assert len(names) == 5
    assert names[-2:] == ["Age", "Chance of support (propensity score)"]
    assert names[0].startswith("Months followed")
    assert names[1].endswith("2 months before the start")
    assert names[2].endswith("1 month before the start")
    assert "Before matching, 3 of 4 characteristics differ" in alt("love", released)
