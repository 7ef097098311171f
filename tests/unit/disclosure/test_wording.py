import pandas as pd

from impact.disclosure import release
from impact.disclosure.policies import policy
from impact.disclosure.wording import sentence
from impact.results import Summary


def test_counts_in_sentences_follow_the_policy():
    hes, ten = policy("hes"), policy("threshold_10")
    assert sentence("3 people and 1,203 events", hes) == "fewer than 8 people and 1,205 events"
    assert sentence("8 persons left", hes) == "10 persons left"
    assert sentence("8 persons left", ten) == "fewer than 10 persons left"
    assert sentence("0 deaths", hes) == "0 deaths"
    same = "fewer than 8 people; per 1,000 people; at least 10 people; version 1.2.3; 12 months; 7 sites"
    assert sentence(same, hes) == same


def test_notes_and_method_are_held_to_it():
    method = {"notes": ["5 people were seen once."], "left_out": {"persons": 3, "events": 41}, "seed": 7}
    released = release({"t": Summary(pd.DataFrame({"a": ["b"]}), method)}, "hes")["t"]
    assert list(released.notes) == ["fewer than 8 people were seen once."]
    assert released.method == {"left_out": {"persons": None, "events": 40}, "seed": 7}
