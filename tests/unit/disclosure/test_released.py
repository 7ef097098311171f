import copy
import csv
import io
import json
import pickle
from dataclasses import FrozenInstanceError, replace

import pandas as pd
import pytest

from impact.disclosure import Released, policies, release
from impact.errors import DisclosureError
from impact.pages import show
from impact.results import Summary


@pytest.fixture
def released():
    table = pd.DataFrame(
        {
            "arm": ["=cmd|'/c calc'!A0", "+1", "-a", "@x", "<b>bold</b>", "plain, with a comma"],
            "persons": [3, 12, 13, 40, 0, 1234],
        }
    )
    return release({"arms": Summary(table, {"shows": "arms"}, people=["persons"])}, "hes")["arms"]


BY_HAND = r"only impact\.disclosure\.release\(\)"


def test_only_release_makes_one(released):
    fields = (released.table, released.hidden, {}, released.counts, (), policies()["hes"])
    with pytest.raises(DisclosureError, match=BY_HAND):
        Released("arms", "summary", *fields)
    with pytest.raises(DisclosureError, match=BY_HAND):
        Released("arms", "summary", *fields, seal=object())
    with pytest.raises(DisclosureError, match=BY_HAND):
        replace(released, table=pd.DataFrame({"person": ["Ann"]}))
    with pytest.raises(DisclosureError, match=BY_HAND):
        type("Mine", (Released,), {"__post_init__": lambda *_: None})
    with pytest.raises(FrozenInstanceError):
        released.table = pd.DataFrame()


def test_one_that_is_put_together_without_its_maker_is_not_written_or_shown(released):
    mine = object.__new__(Released)
    mine.__dict__.update(vars(released) | {"table": pd.DataFrame({"person": ["Ann"]})})
    for write in ways_out(mine):
        with pytest.raises(DisclosureError, match=BY_HAND):
            write()


def test_a_copy_is_itself_and_no_pickle_is_made(released):
    assert copy.copy(released) is released
    assert copy.deepcopy({"a": [released]})["a"][0] is released
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(DisclosureError, match="'arms': cannot be pickled"):
            pickle.dumps(released, protocol)


def test_csv_is_safe_in_a_spreadsheet(released):
    rows = list(csv.reader(io.StringIO(released.to_csv())))
    assert rows[0] == ["arm", "persons", "withheld"]
    assert [r[0] for r in rows[1:5]] == ["'=cmd|'/c calc'!A0", "'+1", "'-a", "'@x"]
    assert [r[1] for r in rows[1:]] == ["*", "10", "15", "40", "0", "1235"]
    assert rows[6][0] == "plain, with a comma"


def test_numbers_stay_numbers_in_csv():
    table = pd.DataFrame({"arm": ["a"], "persons": [800], "mean": [-1.25]})
    summary = Summary(table, {}, people=["persons"], derived={"mean": ["persons"]})
    assert release({"t": summary}, "hes")["t"].to_csv().splitlines()[1] == "a,800,-1.25,False"


def test_json_has_null_for_a_withheld_figure(released):
    out = json.loads(released.to_json())
    assert (out["name"], out["kind"], out["policy"]) == ("arms", "summary", "hes")
    assert out["table"][0] == {"arm": "=cmd|'/c calc'!A0", "persons": None, "withheld": True}
    assert out["table"][1]["persons"] == 10
    assert out["notes"] == [
        "Counts of 7 or fewer are withheld, and others that would give them away; "
        "the rest are rounded to the nearest 5."
    ]


def ways_out(released):
    return (
        released.to_json,
        released.to_csv,
        released.marked,
        lambda: show(released)._repr_mimebundle_(),
    )


CHANGES = {
    "table": lambda one: one.table.__setitem__("arm", "T0000001"),
    "method": lambda one: one.method.__setitem__("who", "T0000001"),
    "hidden": lambda one: one.hidden.__setitem__("persons", False),
    "counts": lambda one: object.__setattr__(one, "counts", pd.DataFrame({"T0000001": [1]})),
    "another table": lambda one: object.__setattr__(one, "table", pd.DataFrame({"arm": ["T0000001"]})),
    "notes": lambda one: object.__setattr__(one, "notes", ("T0000001",)),
    "rule": lambda one: object.__setattr__(one, "rule", policies()["opensafely"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_after_the_release_is_not_written_or_shown(released, change):
    assert len([write() for write in ways_out(released)]) == 4
    shown = show(released)
    CHANGES[change](released)
    for write in (released.to_json, released.to_csv, released.marked, shown._repr_mimebundle_):
        with pytest.raises(DisclosureError, match="'arms': changed after it was released") as caught:
            write()
        assert "T0000001" not in str(caught.value)


def test_a_way_out_of_ones_own_does_not_count(released):
    object.__setattr__(released, "to_json", lambda: '{"table": "T0000001"}')
    data, _ = show(released)._repr_mimebundle_()
    assert "T0000001" not in json.dumps(data)
