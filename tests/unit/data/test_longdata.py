"""Ready-made long panels, on the real files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from impact.data import read, read_panel
from impact.did import leaving
from impact.errors import DataError, DesignError, ParameterError


@pytest.fixture
def returns(data):
    return read_panel(
        file=data / "ae_attendances.csv",
        unit="organisation",
        period="month",
        outcomes=["attendances", "admissions"],
        where={"type": "1"},
        rename={"organisation": "org_code", "month": "period"},
    )


def test_monthly_returns_have_no_exposure_and_their_own_unit(returns, data):
    raw = pd.read_csv(data / "ae_attendances.csv").query("type == '1'")
    panel = returns.with_placebo(share=0.4, start="2017-04", end="2018-06", seed=5).panel(
        outcomes=["attendances"]
    )
    assert panel.per == "per organisation and month"
    assert panel.rate_scale == 1
    assert panel.n == raw["org_code"].nunique() == 140
    assert panel.outcomes["attendances"].sum() == raw["attendances"].sum()
    assert panel.exposure["attendances"].sum() == len(raw)
    assert panel.treated.sum() == 56
    first = panel.first_treated.dropna()
    assert first.between(pd.Timestamp("2017-04-01"), pd.Timestamp("2018-06-01")).all()


def test_pretend_starts_hang_on_the_seed_and_not_on_the_order(returns, data):
    def starts(source, seed):
        return source.with_placebo(share=0.4, start="2017-04", end="2018-06", seed=seed).panel().start

    raw = pd.read_csv(data / "ae_attendances.csv").iloc[::-1].rename(columns={"org_code": "o", "period": "p"})
    turned = read_panel(file=raw, unit="o", period="p", outcomes=["attendances"], where={"type": 1})
    assert np.array_equal(starts(returns, 1), starts(turned, 1))
    assert not np.array_equal(starts(returns, 1), starts(returns, 2))
    assert len(np.unique(starts(returns, 1))) > 10


def test_read_takes_the_sections_of_a_parameter_file(data):
    panel = {
        "file": str(data / "ae_attendances.csv"),
        "unit": "org_code",
        "period": "period",
        "outcomes": ["attendances"],
        "where": {"type": ["1", "2"]},
    }
    with pytest.raises(DataError, match="repeat a unit and period"):
        read(panel=panel, treated=[], control=[])
    panel["where"] = {"type": "1"}
    with pytest.raises(DesignError, match="Nothing says when support started"):
        read(panel=panel, treated=[], control=[]).panel()
    placebo = {"share": 0.5, "from": "2017-04", "to": "2017-04"}
    drawn = read(panel=panel, treated=[], control=[], placebo=placebo, seed=3).panel(
        start="2016-10", end="2017-12"
    )
    assert drawn.treated.sum() == 70
    assert set(drawn.start) == {6, 15}


def test_person_years_become_person_months_by_arm(data):
    years = read_panel(
        file=data / "rand_hie.csv",
        unit="zper",
        period="year",
        outcomes={"visits": ["mdvis", "notmdvis"]},
        exposure="time",
        exposure_unit="year",
        arm="plan",
        treated=["11"],
        control=["2", "3", "4", "14", "15", "16"],
        covariates=["xage", "site"],
    )
    raw = pd.read_csv(data / "rand_hie.csv")
    kept = raw[raw["plan"] != 5]
    panel = years.panel()
    assert panel.n == kept["zper"].nunique() == 3090
    assert panel.exposure["visits"].sum() == pytest.approx(12 * kept["time"].sum())
    assert set(panel.start[panel.treated]) == {0}
    assert set(panel.start[~panel.treated]) == {5}
    cohort = years.cohort(outcomes=["visits"])
    first = kept.sort_values("year").drop_duplicates("zper").set_index("zper")
    order = cohort.person_id.astype(int)
    assert cohort.people["xage"].tolist() == first.loc[order, "xage"].tolist()
    total = kept.assign(v=kept["mdvis"] + kept["notmdvis"]).groupby("zper")["v"].sum()
    assert cohort.outcomes["visits"].tolist() == total.loc[order].tolist()
    assert cohort.flow.table["persons"].tolist() == [3100, 10, 1980, 1110]
    assert cohort.quality.set_index("rule").loc["arm not listed", "count"] == (raw["plan"] == 5).sum()


def test_a_gap_is_not_at_risk():
    frame = pd.DataFrame(
        {
            "u": ["a", "a", "b", "b"],
            "t": [1, 2, 1, 2],
            "y": [1, None, 3, 4],
            "m": [1, 1, 0, 2],
            "g": [2, 2, None, None],
        }
    )
    given = read_panel(file=frame, unit="u", period="t", outcomes=["y"], exposure="m", first_treated="g")
    panel = given.panel()
    assert panel.exposure["y"].tolist() == [[1, 0], [0, 2]]
    assert panel.outcomes["y"].tolist() == [[1, 0], [0, 4]]
    assert panel.start.tolist() == [1, 2]
    with pytest.raises(DesignError, match="periods before support"):
        given.cohort()


def test_bad_long_files_name_every_problem():
    frame = pd.DataFrame({"u": ["a", "a"], "t": ["x", "y"], "y": ["1", "two"], "g": ["p", "q"]})
    base = {"file": frame, "unit": "u", "period": "t"}
    with pytest.raises(DataError, match=r"(?s)panel.y, readable: 1 row.*panel.t, readable: 2 row"):
        read_panel(**base, outcomes=["y"])
    with pytest.raises(DataError, match=r"(?s)'uu' is missing. Did you mean 'u'.*'z' is missing"):
        read_panel(**{**base, "unit": "uu"}, outcomes=["z"])
    frame["t"] = [1, 2]
    with pytest.raises(DataError, match=r"nobody is in arm 'zz'"):
        read_panel(**base, outcomes=["u"], arm="g", treated=["p"], control=["zz"])
    with pytest.raises(DataError, match=r"panel.arm, changes: 1"):
        read_panel(**base, outcomes=["t"], arm="g", treated=["p"], control=["q"])
    with pytest.raises(DataError, match="go together"):
        read_panel(**base, outcomes=["y"], arm="g")
    with pytest.raises(DataError, match="no column 'org'"):
        read_panel(**base, outcomes=["y"], rename={"organisation": "org"})


def test_designs_a_long_file_cannot_carry(returns):
    with pytest.raises(DesignError, match="pool the file first"):
        returns.panel(period="quarter")
    with pytest.raises(ParameterError, match="share=1"):
        returns.with_placebo(share=1)
    with pytest.raises(DesignError, match="No period lies from 2031-01"):
        returns.with_placebo(share=0.5, start="2031-01")
    with pytest.raises(DataError, match="Did you mean 'attendances'"):
        returns.with_placebo(share=0.5).panel(outcomes=["attendance"])


def test_a_long_table_is_printed_without_its_rows(returns):
    assert repr(returns).startswith("LongData(")
    assert len(repr(returns)) < 100


def test_why_units_ended_goes_from_the_file_to_both_panels():
    frame = pd.DataFrame({"id": np.repeat(list("abcde"), 6), "month": [*range(1, 7)] * 5, "falls": 1})
    frame["start"] = np.repeat([3.0, 4.0, 3.0, np.nan, np.nan], 6)
    frame["why"] = np.repeat([None, "moved", "Died", "lost", None], 6)
    gone = {"b": 5, "c": 4, "d": 5}
    frame = frame[frame["month"] <= frame["id"].map(gone).fillna(6)]
    given = {"file": frame, "unit": "id", "period": "month", "outcomes": ["falls"], "first_treated": "start"}
    data = read_panel(**given, ended="why")
    assert data.panel().ended.tolist() == ["unknown", "moved", "death", "lost", "unknown"]
    # Whoever is seen in the last month of the file did not leave, however soon after their start that is.
    around = data.around_start(seed=1)
    assert around.ended.tolist() == ["", "moved", "death", "lost", ""]
    assert leaving(around, outcome="falls").table["left"].tolist() == [1, 1]
    with pytest.raises(DataError, match=r"panel\.ended, changes: 1 row\(s\)"):
        read_panel(
            **given | {"file": frame.assign(why=frame["month"].map({1: "lost", 2: "moved"}))[:6]}, ended="why"
        )
    with pytest.raises(DataError, match=r"panel\.ended, readable"):
        read_panel(**given, ended="month")
