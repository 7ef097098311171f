"""What the findings page says beside the answer, for each kind of result."""

from collections.abc import Callable

import pandas as pd
import pytest

from impact.disclosure import Released, release
from impact.errors import DisclosureError
from impact.interpret import target_trial
from impact.pages import briefing, services, show
from impact.results import Summary

Make = Callable[..., Released]


def said(released: Released) -> str:
    return briefing.meaning(released).text


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        ((-58.0, 22.0, -0.18, 0.07), "about 6 fewer A&E attendances in all than without it (1 to 10 fewer)"),
        ((62.0, 22.0, 0.19, 0.07), "about 6 more A&E attendances in all than without it (2 to 11 more)"),
        ((-8.0, 22.0, -0.02, 0.07), "anything from 5 fewer to 4 more A&E attendances than without it fits"),
        ((0.0, 6.0, 0.0, 0.03), "little changes in A&E attendances: 1.2 fewer to 1.2 more in all"),
    ],
)
def test_people_are_told_in_whole_contacts_among_a_hundred(effects: Make, effect: object, words: str) -> None:
    assert f"For people with support: if 100 have it for a year, {words}" in said(effects({"ae": effect}))


def test_nothing_is_said_of_people_where_units_are_counted_or_too_few(effects: Make) -> None:
    units = said(effects({"ae": (-58.0, 22.0, -0.18, 0.07)}, unit="per trust and month"))
    assert "For one person: nothing can be said, as this study compares trusts" in units
    few = said(effects({"ae": (-58.0, 22.0, -0.18, 0.07)}, events=4))
    assert few.startswith("For people with support: too few A&E attendances to say.")
    assert "58" not in few
    assert "6 fewer" not in few


def flow(out: int, policy: str = "hes") -> Released:
    rows = [("in the file", "", 500), ("left out", "no consent", out), ("left out", "no time observed", 0)]
    rows += [("in the study", "treated", 200), ("in the study", "control", 300 - out)]
    table = pd.DataFrame(rows, columns=["stage", "rule", "persons"])
    made = Summary(table, {"shows": "who is in the study"}, people=("persons",))
    return release({"flow": made}, policy)["flow"]


def test_who_is_not_in_it_and_why(effects: Make) -> None:
    main = effects({"ae": (-58.0, 22.0, -0.18, 0.07)})
    text = briefing.people({"effects": main, "flow": flow(50)}).text
    assert text == (
        "In it: 200 people with support and 250 without. Not in it: did not agree (50). The answer says "
        "nothing about them."
    )
    few = briefing.people({"effects": main, "flow": flow(3)}).text
    assert "did not agree (too few to show)" in few
    assert "(3)" not in few
    assert "Nobody in the file was left out." in briefing.people({"effects": main, "flow": flow(0)}).text


def test_how_it_was_done_links_to_the_pages_that_exist(effects: Make) -> None:
    def page(**results: Released) -> str:
        made = {"brief": target_trial({"Arms": "Support or none of ae."})}
        return briefing.how({**release(made, "hes"), **results}).html

    main, matched = (
        effects({"ae": (-58.0, 22.0, -0.18, 0.07)}, method={"estimator": e})
        for e in ("etwfe", "matched Poisson regression")
    )
    assert "Support or none of A&amp;E attendances." in page(effects=main)
    assert "did.ipynb" in page(effects=main)
    assert "matching.ipynb" not in page(effects=main)
    assert "matching.ipynb" in page(effects=main, beside=matched)
    assert "did.ipynb" not in page(effects=matched)
    assert "cohort.ipynb" in page(effects=matched)


def test_a_contact_may_have_an_address_but_no_identifier() -> None:
    assert "health@northtown.example" in briefing.contact("Health team, health@northtown.example").html
    assert (
        briefing.contact("<b>Team</b>").html == "<p>Questions about this page: &lt;b&gt;Team&lt;/b&gt;.</p>"
    )
    assert "whoever sent it to you" in briefing.contact(None).text
    with pytest.raises(DisclosureError, match="contact: it holds an NHS number; give a team"):
        briefing.contact("Ask for 943 476 5919")


def test_the_chart_has_differences_on_scales_of_their_own_and_ratios(effects: Make) -> None:
    made = effects({"ae": (-58.0, 22.0, -0.18, 0.07), "gp": (517.0, 250.0, 0.06, 0.03)})
    chart = services.services(made)
    drawn = [text.get_text() for text in chart.texts]
    assert "−58 (−102 to −14)" in drawn
    assert "ratio 0.84 (0.73 to 0.96)" in drawn
    widest = [max(map(abs, line.get_xdata())) for line in chart.lines if len(line.get_xdata()) == 2]
    assert widest[1:] == pytest.approx([1, 1])
    assert "per 1,000 people a year" in services.caption(made)
    assert "A&amp;E attendances −58, 95% range −102 to −14" in show(chart).html
    # Of a wide range no hundredths are said, however small the estimate.
    near = services.services(effects({"ae": (-0.65, 69.0, 0.0, 0.04)}))
    assert "−1 (−1" in " ".join(text.get_text() for text in near.texts)
    few = services.services(effects({"ae": (-58.0, 22.0, -0.18, 0.07)}, events=4))
    assert "too few to show" in [text.get_text() for text in few.texts]
