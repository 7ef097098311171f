import pandas as pd
import pytest

from impact.disclosure import release
from impact.disclosure.identifiers import found_in
from impact.errors import DisclosureError
from impact.results import Summary

NHS, POSTCODE, MAIL = "943 476 5919", "LS2 7EW", "ann.smith@example.org"


def give(table, **more):
    return release({"people": Summary(pd.DataFrame(table), more.pop("method", {}), **more)}, "hes")


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (NHS, "an NHS number"),
        ("9434765919", "an NHS number"),
        (POSTCODE, "a UK postcode"),
        ("flat at sw1a1aa", "a UK postcode"),
        (MAIL, "an e-mail address"),
        ("/home/ann/people.csv", "a file path"),
        (r"C:\Users\ann", "a file path"),
        ("born 1951-03-09", "an exact date"),
        ("9/3/1951", "an exact date"),
    ],
)
def test_an_identifier_in_a_cell_stops_the_release(value, what):
    with pytest.raises(DisclosureError, match=what) as caught:
        give({"site": ["north", value], "persons": [20, 30]}, people=["persons"])
    assert "'people', column 'site'" in str(caught.value)
    assert value not in str(caught.value)


def test_all_places_are_named_together():
    with pytest.raises(DisclosureError) as caught:
        give(
            {MAIL: ["a"], "building_id": ["b1"], "note": [POSTCODE]},
            method={"who": {"made": MAIL}, "notes": [f"see {POSTCODE}"]},
        )
    message = str(caught.value)
    assert len(message.splitlines()) == 5
    for place in ("a column name", "'building_id'", "'note'", "who.made", "notes holds a UK postcode"):
        assert place in message
    assert MAIL not in message
    assert POSTCODE not in message


def test_the_name_of_a_result_is_looked_at():
    with pytest.raises(DisclosureError, match="its name holds a UK postcode"):
        release({POSTCODE: Summary(pd.DataFrame({"a": ["b"]}), {})}, "hes")


def test_a_whole_number_label_may_be_an_nhs_number():
    with pytest.raises(DisclosureError, match="an NHS number"):
        give({"period": [9434765919], "persons": [20]}, people=["persons"])


def test_dates_of_people_are_refused_and_months_are_not():
    months = pd.to_datetime(["2024-03-01", "2024-04-01"])
    assert len(give({"month": months, "persons": [20, 30]}, people=["persons"])["people"].table) == 2
    with pytest.raises(DisclosureError, match="an exact date"):
        give({"month": months + pd.Timedelta(days=3), "persons": [20, 30]}, people=["persons"])


@pytest.mark.parametrize(
    "text",
    [
        "9434765918",  # the check digit is wrong
        "events per 1,000 people a year",
        "https://www.england.nhs.uk/statistics/a-and-e/",
        "visits/contacts/stays",
        "<b>North</b>",
        "ATT(2024-03, 2024-05)",
        "A&E, type 1",
        "plan 11 v 95% plans",
    ],
)
def test_ordinary_text_passes(text):
    assert found_in(text, cell=True) == []
