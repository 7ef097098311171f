"""A long frame by whichever types its columns have gives one and the same panel, or says what is wrong."""

import numpy as np
import pandas as pd
import pytest

from impact.data.panel import Panel
from impact.errors import DataError


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "site": np.repeat([1, 2, 3, 4], 3),
            "year": [2003, 2004, 2005] * 4,
            "falls": range(12),
            "start": np.repeat([2004, 2005, 0, 2007], 3),
            "size": np.repeat([1, 1, 2, 3], 3),
        }
    )


def panel(given: pd.DataFrame, **more) -> Panel:
    return Panel.from_long(
        given, unit="site", period="year", outcomes=["falls"], first_treated="start", **more
    )


def dated(given: pd.DataFrame) -> pd.DataFrame:
    years = {c: given[c].where(given[c] > 0).astype("Int64").astype("string") for c in ("year", "start")}
    return given.assign(**{c: pd.to_datetime(v + "-01-01") for c, v in years.items()})


@pytest.mark.parametrize("kind", ["int16", "Int64", "float", "Float64", "category", "string", object])
@pytest.mark.parametrize("columns", [["year"], ["start"], ["year", "start"]])
def test_years_are_years_whatever_their_type(kind, columns):
    found = panel(frame().astype(dict.fromkeys(columns, kind)))
    assert found.start.tolist() == [1, 2, 3, 3]
    assert found.periods.tolist() == [2003, 2004, 2005]


@pytest.mark.parametrize("made", [lambda d: d, lambda d: d.dt.date, lambda d: d.dt.strftime("%Y-%m-%d")])
@pytest.mark.parametrize("first", [lambda d: d.dt.to_period("M"), lambda d: d.dt.tz_localize("UTC")])
def test_dates_are_dates_whatever_their_type(made, first):
    given = dated(frame())
    found = panel(given.assign(year=made(given["year"]), start=first(given["start"])))
    assert found.start.tolist() == [1, 2, 3, 3]
    assert found.periods[0] == pd.Timestamp("2003-01-01")
    assert found.step == "year"


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("start", "soon", "start: 3 rows are neither numbers nor dates"),
        ("start", pd.Timestamp("2004-01-01"), "start: holds dates, but the periods are numbers"),
        ("year", "before", "year: 3 rows are neither numbers nor dates"),
        ("year", "03/04/2024", "year: 3 rows are neither numbers nor dates"),
        ("falls", np.inf, "falls: 3 rows are not numbers"),
        ("size", np.nan, "size: 3 rows have none; name a cluster"),
    ],
)
def test_what_cannot_be_read_is_refused_and_never_taken_for_never(column, value, message):
    given = frame()
    given[column] = given[column].astype(object).where(given["site"] != 1, value)
    if isinstance(value, pd.Timestamp):
        given[column] = dated(frame())["start"]
    with pytest.raises(DataError, match=message):
        panel(given, cluster="size")


def test_one_name_stands_for_a_list_and_numbers_kept_as_objects_are_numbers():
    given = frame().assign(size=lambda f: f["size"].astype(object)).sample(frac=1, random_state=1)
    found = Panel.from_long(given, unit="site", period="year", outcomes="falls", covariates="size")
    assert list(found.outcomes) == ["falls"]
    assert found.covariates["size"].tolist() == [1, 1, 2, 3]
    assert pd.api.types.is_numeric_dtype(found.covariates["size"])


@pytest.mark.parametrize("last", ["2024-02", "2024-04", "2024-12"])
def test_a_start_in_the_month_after_the_last_is_not_within_the_panel(last):
    """A month is no fixed number of days: 1 May is not in April because March has 31 days."""
    months = pd.date_range(end=f"{last}-01", periods=4, freq="MS")
    starts = [months[2], months[3] + pd.DateOffset(months=1), months[3] + pd.DateOffset(months=3), pd.NaT]
    given = pd.DataFrame({"site": np.repeat(range(4), 4), "year": [*months] * 4, "falls": 1})
    found = panel(given.assign(start=np.repeat(starts, 4)))
    assert found.start.tolist() == [2, 4, 4, 4]
    assert found.begins.tolist()[:3] == [2, 4, 6]
    assert found.begins[3] > 1000


def test_a_table_without_rows_is_refused():
    with pytest.raises(DataError, match="no rows"):
        panel(frame().iloc[:0])


@pytest.mark.parametrize(
    ("names", "said"), [([], "name at least one"), (["falls", "falls"], "outcome='falls' stands twice")]
)
def test_outcomes_are_named_and_each_once(names, said):
    with pytest.raises(DataError, match=said):
        panel(frame()).check_outcomes(names)


def test_a_panel_is_printed_without_its_people():
    shown = repr(panel(frame().assign(site=[f"person-{site}" for site in frame()["site"]])))
    assert shown.startswith("Panel(")
    assert "person-" not in shown


def test_why_units_ended_is_one_word_a_unit_and_a_death_is_a_death_however_it_is_said():
    said = [None, None, "Died in hospital", *[" moved "] * 3, *[None] * 3, "", "", "deceased"]
    found = panel(frame().assign(why=said), ended="why")
    assert found.ended.tolist() == ["death", "moved", "unknown", "death"]
    assert panel(frame()).ended is None


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ([1, 1, 1], r"why: 3 row\(s\) hold no reason in words, such as 'death'"),
        (["2004-05-01"] * 3, r"why: 3 row\(s\) hold no reason in words"),
        ([True, True, True], r"why: 3 row\(s\) hold no reason in words"),
        (["moved", "lost", None], r"why: 1 row\(s\) are units in which it changes"),
    ],
)
def test_what_is_no_reason_is_refused(said, message):
    given = frame().assign(why=pd.Series([*said, *[None] * 9], dtype=object))
    with pytest.raises(DataError, match=message):
        panel(given, ended="why")
    with pytest.raises(DataError, match="'why' is not in the data"):
        panel(frame(), ended="why")
