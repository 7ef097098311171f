"""The batch of checks on a page: verdicts at their numbers, words, figure, table and what may not be said."""

import numpy as np
import pandas as pd
import pytest

from impact.disclosure import release
from impact.errors import DisclosureError
from impact.pages import done_differently, show, words
from impact.pages.evidence import checks_on
from impact.pages.spoken_against import not_claimed
from impact.pages.verdicts import verdicts
from impact.results import Bounds

PRETEND = "Support pretended to begin 6 months earlier"
MAIN = (-60.0, -100.0, -20.0)


def row(
    check, estimate, low, high, *, asks="same answer", term=None, p=0.5, outcome="ae", scale="difference"
):
    unit = "per 1,000 person-months" if scale == "difference" else "log ratio"
    known = {"estimate": estimate, "conf_low": low, "conf_high": high, "p_value": p}
    return {
        "outcome": outcome, "check": check, "term": term or f"Without {check}", "asks": asks, "scale": scale,
        "unit": unit, **known, "conf_level": 0.95, "null_value": 0.0, "strength": np.nan, "fewest": 50,
    }  # fmt: skip


def strength(check, times, fewest=50):
    out = row(check, np.nan, np.nan, np.nan, asks="hidden reason", p=np.nan)
    return out | {"scale": "", "unit": "times", "strength": times, "fewest": fewest}


def page(*rows, main=MAIN, scale="difference"):
    table = pd.DataFrame([row("planned", *main, term="As planned", scale=scale), *rows])
    method = {"shows": "checks", "outcome": "ae", "notes": ["Not made: E-value: there is no ratio."]}
    made = Bounds(table.drop(columns="fewest"), method, table[["fewest"]])
    return {"checks": release({"checks": made}, "hes")["checks"]}


def verdict(*rows, **more):
    return [v.agrees for v in verdicts(page(*rows, **more)["checks"])]


@pytest.mark.parametrize(
    ("check", "agrees"),
    [
        ((-30.0, -59.0, -1.0), True),
        ((-31.0, -70.0, 8.0), None),
        ((-29.0, -68.0, 10.0), False),
        ((-29.0, -89.0, 31.0), False),
        ((-29.0, -90.0, 32.0), None),
        ((-10.0, -59.0, 39.0), False),
        ((60.0, 20.0, 100.0), False),
        ((40.0, -200.0, 280.0), None),
    ],
)
def test_a_changed_analysis_agrees_by_fixed_numbers(check, agrees):
    assert verdict(row("x", *check)) == [agrees]
    harm = [(-e, -high, -low) for e, low, high in (MAIN, check)]
    assert verdict(row("x", *harm[1]), main=harm[0]) == [agrees]


def test_ratios_are_halved_as_logarithms():
    main = (np.log(0.5), np.log(0.4), np.log(0.62))
    near, far = ((np.log(r), np.log(r) - 0.3, np.log(r) + 0.4) for r in (0.69, 0.75))
    found = verdict(
        row("x", *near, scale="log ratio"), row("y", *far, scale="log ratio"), main=main, scale="log ratio"
    )
    assert found == [None, False]


@pytest.mark.parametrize(
    ("check", "agrees"),
    [
        ((-30.0, -59.0, -1.0), True),
        ((-55.0, -70.0, -40.0), False),
        ((-55.0, -115.0, -0.5), True),
        ((5.0, -2.0, 12.0), True),
    ],
)
def test_where_nothing_is_clear_a_check_disagrees_only_with_a_clear_change_elsewhere(check, agrees):
    assert verdict(row("x", *check), main=(-5.0, -50.0, 40.0)) == [agrees]


def test_where_no_effect_can_be_the_level_is_shared():
    one = row("pretend", 9.0, 1.0, 17.0, asks="no effect", p=0.03)
    assert verdict(one) == [False]
    assert verdict(one, one | {"check": "negative_control"}) == [True, True]


def test_a_hidden_reason_is_judged_where_there_is_something_to_explain():
    found = [strength("e_value", t) for t in (1.24, 1.25)]
    assert verdict(*found) == [False, True]
    assert verdict(strength("rosenbaum_bounds", np.nan)) == [False]
    assert verdict(*found, main=(-5.0, -50.0, 40.0)) == [None, None]


def test_what_is_withheld_says_nothing():
    few = row("x", 60.0, 20.0, 100.0) | {"fewest": 3}
    hidden = page(few, strength("rosenbaum_bounds", 3.0, fewest=3))
    assert [v.agrees for v in verdicts(hidden["checks"])] == [None, None]
    said = " ".join(done_differently.sentences(hidden["checks"]))
    assert said == ""
    text = show(hidden["checks"]).text
    assert text.count("not shown") == 2
    assert "60" not in text.replace("−60", "").replace("−720", "")


def full():
    return page(
        row("start", -62.0, -110.0, -14.0, term="Without the month support began"),
        row("buildings", -8.0, -48.0, 32.0, term="Without the 2 buildings that matter most"),
        row("lost_worst", -10.0, -50.0, 30.0, asks="bears it", term="If those who left had used more"),
        row("pretend", -30.0, -45.0, -15.0, asks="no effect", p=0.0001, term=PRETEND),
        row("negative_control", -20.0, -30.0, -10.0, asks="no effect", p=0.001, outcome="dental"),
        strength("e_value", 1.1),
    )  # fmt: skip


def test_sentences_count_name_and_give_figures():
    said = " ".join(done_differently.sentences(full()["checks"]))
    assert "in 3 other ways, with one thing changed each time: 1 agrees and 2 do not agree." in said
    assert "Does not agree: without the 2 buildings that matter most, −96 (−576 to +384)." in said
    assert "An effect was found where there can be none: support pretended to begin 6 months earlier" in said
    assert "1.10 times as likely" in said
    assert "all agree" in " ".join(done_differently.sentences(page(row("x", *MAIN))["checks"]))
    unclear = done_differently.sentences(
        page(row("x", -9.0, -17.0, -1.0), main=(-5.0, -50.0, 40.0))["checks"]
    )
    assert "all agree. Taken alone, a clear change shows only in this: without x." in unclear[0]


def test_what_speaks_against_a_claim_forbids_it():
    said = " ".join(not_claimed(full(), clear=True, assignment="observed"))
    for claim in (
        "“The change began with support”: with support pretended to begin 6 months earlier there seems",
        "“The groups differed in nothing but support”: dental changed too",
        "“However it is worked out, the answer is the same”: not without the 2 buildings that matter most.",
        "“The answer is sure whatever became of those not seen”",
        "made people 1.10 times as likely to get support could.",
    ):
        assert claim in said
    assert "Nothing else can explain" not in " ".join(
        not_claimed(full(), clear=True, assignment="randomised")
    )
    assert "However it is" not in " ".join(not_claimed(full(), clear=False, assignment="observed"))
    assert not_claimed(page(row("x", *MAIN)), clear=True, assignment="observed") == []
    assert not_claimed({}, clear=True, assignment="observed") == []


def test_the_page_of_claims_holds_them(effects):
    shown = effects({"ae": (-58.0, 22.0, -0.18, 0.07)})
    assert "The change began with support" in words.claims(shown, full()).text
    assert "The change began with support" not in words.claims(shown).text


def test_a_check_of_the_batch_counts_for_the_evidence(effects):
    shown = effects({"ae": (-58.0, 22.0, -0.18, 0.07)})
    assert "Moderate evidence." in words.headline(shown, page(row("x", *MAIN))).text
    weak = words.headline(shown, page(row("x", -8.0, -48.0, 32.0), row("y", *MAIN)))
    assert "Weak evidence." in weak.text
    assert "passed 1 of 2 checks" in weak.text
    minor = page(row("x", -8.0, -48.0, 32.0, asks="bears it"))
    assert "Moderate evidence." in words.headline(shown, minor).text
    assert [c.minor for c in checks_on(minor)] == [True]


def test_what_is_withheld_has_no_line_in_the_figure():
    few = row("few", -62.0, -110.0, -14.0, term="Without the first month") | {"fewest": 3}
    released = page(row("start", *MAIN, term="Without the month support began"), few)["checks"]
    said = done_differently.alt(released)
    assert said.startswith("2 estimates with their ranges. As planned: −720 (−1,200 to −240).")
    (ax,) = done_differently.draw(released).figure.axes
    assert [tick.get_text().replace("\n", " ") for tick in ax.get_yticklabels()] == [
        "As planned",
        "Without the month support began",
    ]


def test_the_figure_and_the_table_say_the_same():
    released = full()["checks"]
    shown = done_differently.checks({"checks": released})
    assert "<img alt=" in shown.html
    assert "6 estimates with their ranges. As planned: −720 (−1,200 to −240)." in shown.html
    for said in (
        "Agrees",
        "Does not agree",
        "Found one",
        "A weak one would do",
        "1.10 times",
        "Not made: E-value",
    ):
        assert said in shown.text
    assert "Its effect on dental, which support cannot change" in shown.text
    assert done_differently.checks({}).html == ""


def test_anything_else_is_refused(effects):
    with pytest.raises(DisclosureError, match=r"holds no checks; release those of interpret\.checks"):
        verdicts(effects({"ae": (-58.0, 22.0, -0.18, 0.07)}))
