import datetime

import pandas as pd
import pytest

from impact.disclosure import release
from impact.disclosure.identifiers import found_in
from impact.errors import DisclosureError
from impact.results import Summary

DAYS = (
    "1951-03-09",
    "9/3/1951",
    "09.03.51",
    "3/14/1951",
    "9 March 1951",
    "9th of Mar 51",
    "March 9, 1951",
    "19510309",
)
PHONES = ("020 7946 0018", "07700 900123", "+44 20 7946 0018", "(0161) 496 0000")
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
        *((f"{day} at home", "an exact date") for day in DAYS),
        *((f"born on {day}", "a date of birth or death") for day in DAYS),
        ("９４３４７６５９１９", "an NHS number"),
        ("943\u00a0476\u20115919", "an NHS number"),
        ("943\u200b4765919", "an NHS number"),
        ("ＬＳ２ ７ＥＷ", "a UK postcode"),
        *((number, "a telephone number") for number in PHONES),
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
    with pytest.raises(DisclosureError, match="its name holds a UK postcode") as caught:
        release({POSTCODE: Summary(pd.DataFrame({"a": [MAIL]}), {})}, "hes")
    assert POSTCODE not in str(caught.value)


@pytest.mark.parametrize("text", ["opened on 14 May 2019", "the death rate since 23 March 2020"])
def test_a_day_in_a_note_to_readers_need_not_be_a_persons(text):
    assert found_in(text) == []
    assert found_in(text, cell=True) == ["an exact date"]


def test_a_column_of_fractions_may_hold_nhs_numbers():
    with pytest.raises(DisclosureError, match="column 'ref' holds an NHS number"):
        give({"ref": [9434765919.0, None]})
    assert len(give({"ratio": [9434765918.0, 1.5]})["people"].table) == 2


def test_keys_and_days_of_a_method_are_looked_at():
    with pytest.raises(DisclosureError) as caught:
        give({"a": ["b"]}, method={"by": {MAIL: POSTCODE}, "first": pd.Timestamp("1951-03-09")})
    assert str(caught.value).splitlines() == [
        "'people', method.by, a key holds an e-mail address; remove it before release.",
        "'people', method.by.a key holds a UK postcode; remove it before release.",
        "'people', method.first holds an exact date; remove it before release.",
    ]


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
        "1951-03-01 to 1 March 1952",
        datetime.date.today().isoformat(),
        "version 1.2.3 of 10.0.12",
        "bands 12-24-36 and 3-4-12",
        "0.0123456789 (0.91 to 1.02)",
        "2013/14, 2014/15",
        "99/99/9999",
    ],
)
def test_ordinary_text_passes(text):
    assert found_in(text, cell=True) == []
