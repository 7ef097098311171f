import copy
import csv
import io
import json
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


def test_only_release_makes_one(released):
    fields = (released.table, released.hidden, {}, released.counts, (), policies()["hes"])
    with pytest.raises(DisclosureError, match=r"only impact\.disclosure\.release\(\)"):
        Released("arms", "summary", *fields)
    with pytest.raises(DisclosureError, match=r"only impact\.disclosure\.release\(\)"):
        Released("arms", "summary", *fields, seal=object())
    with pytest.raises(DisclosureError):
        replace(released, table=pd.DataFrame({"person": ["Ann"]}))
    with pytest.raises(FrozenInstanceError):
        released.table = pd.DataFrame()
    assert copy.copy(released).name == "arms"


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


@pytest.mark.parametrize("change", ["table", "method"])
def test_what_was_changed_after_the_release_is_not_written_or_shown(released, change):
    mine = copy.deepcopy(released)
    if change == "table":
        mine.table.loc[0, "arm"] = "T0000001"
    else:
        mine.method["who"] = "T0000001"
    for write in (mine.to_json, show(mine)._repr_mimebundle_):
        with pytest.raises(DisclosureError, match="'arms': changed after it was released") as caught:
            write()
        assert "T0000001" not in str(caught.value)
    assert "T0000001" not in released.to_json()
