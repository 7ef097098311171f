"""The look-out itself: it must find what is put there on purpose."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from impact.disclosure import release
from impact.results import Summary

from .shareable import assert_shareable

INPUTS = {
    "person_ids": ["P00017", "P00018"],
    "building_ids": ["BLD-03"],
    "dates": pd.to_datetime(["2024-03-15", "2024-04-01"]),
}
PAGE = (
    "<html><style>a{font:1rem/1.5 x}</style><img src='data:image/png;base64,P00017/home/ann/x'>"
    "<p>{text}</p><table><thead><tr><th>Arm</th><th>People</th><th>Events avoided</th></tr></thead>"
    "<tbody><tr><th>control</th><td>{people}</td><td>3</td></tr></tbody></table>"
    "<a href='index.html'>https://www.england.nhs.uk/statistics/a/</a></html>"
)


def page(text="from 2024-04-01", people="1,205"):
    return PAGE.replace("{text}", text).replace("{people}", people)


def test_a_clean_folder_passes(tmp_path):
    table = pd.DataFrame({"arm": ["a", "b", "c"], "persons": [3, 20, 1203]})
    released = release({"t": Summary(table, {}, people=["persons"])}, "hes")["t"]
    (tmp_path / "results.json").write_text(f"[{released.to_json()}]")
    (tmp_path / "results.csv").write_text(released.to_csv())
    (tmp_path / "index.html").write_text(page())
    assert assert_shareable(tmp_path, **INPUTS) == 3


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.html", page("P00018 was seen"), "1 person or building identifiers"),
        ("P00017.html", page(), "1 person or building identifiers"),
        ("a.csv", "building,persons\nBLD-03,20\n", "1 person or building identifiers"),
        ("a.html", page("on 15 March 2024"), "1 exact dates"),
        ("a.json", json.dumps({"when": "2024-03-15"}), "1 exact dates"),
        ("a.html", page("/home/ann/people.csv"), "a file path"),
        ("a.json", json.dumps({"from": "C:\\Users\\ann"}), "a file path"),
        ("a.html", page(people="7"), "a count under 8 under 'People'"),
        ("a.csv", "\ufeffpersons,arm\n7,a\n", "a count under 8 under 'persons'"),
        ("a.csv", "arm,supported_persons\na,7\n", "a count under 8 under 'supported_persons'"),
        ("a.json", json.dumps([{"table": [{"events": 1}]}]), "a count under 8 under 'events'"),
        ("a.pickle", "", "nobody has read"),
    ],
)
def test_what_must_not_leave_is_found(tmp_path, name, text, found):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(AssertionError, match=found):
        assert_shareable(tmp_path, **INPUTS)


def test_it_refuses_to_look_for_what_it_cannot_find(tmp_path):
    with pytest.raises(AssertionError, match="nothing in"):
        assert_shareable(tmp_path)
    (tmp_path / "a.csv").write_text("arm\na\n")
    with pytest.raises(AssertionError, match="1 identifiers cannot be told"):
        assert_shareable(tmp_path, person_ids=["17"])
