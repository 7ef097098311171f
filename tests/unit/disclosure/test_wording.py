import pandas as pd

from impact.disclosure import release
from impact.disclosure.policies import policy
from impact.disclosure.wording import sentence, tidy, tidy_table
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


def test_labels_that_differ_stay_apart():
    table = pd.DataFrame({"level": ["a", "a\u200b", "\u202ea", "b" * 500, "b" * 501], "persons": 20})
    labels = tidy_table(table)["level"].tolist()
    assert labels[:3] == ["a", "a (2)", "a (3)"]
    assert labels[3] == "b" * 159 + "…"
    assert labels[4] == labels[3] + " (2)"
    # A table of words alone holds sentences.
    assert tidy_table(table[["level"]])["level"].str.len().max() == 501


def test_what_cannot_be_seen_is_taken_out():
    assert tidy("a\x00b\ud800\u2066c\tnext\nline") == "a b\ufffdc next line"
    assert (tidy("\u200b"), tidy("")) == ("(no text)", "")
