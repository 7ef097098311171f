import re
from collections.abc import Callable

import pandas as pd
import pytest

from impact.disclosure import Released
from impact.errors import DisclosureError, ParameterError
from impact.pages import SEAL, words
from impact.pages.statement import Statement

FALL = (-58.0, 22.0, -0.18, 0.07)
RISE = (62.0, 22.0, 0.19, 0.07)
OPEN = (-8.0, 22.0, -0.02, 0.07)
SAME = (-20.0, 60.0, 0.00, 0.03)

Make = Callable[..., Released]


def lead(released: Released) -> str:
    return words.headline(released).parts[0][1][0]


def sure(released: Released) -> str:
    return words.headline(released).text.splitlines()[-1]


def test_a_fall_is_said_with_size_and_range(effects: Make) -> None:
    released = effects({"emergency_admission": FALL})
    assert lead(released) == (
        "With support there were about 58 fewer emergency admissions for every 1,000 people a year than "
        "without it (95% range 14 to 102 fewer; 16% fewer)."
    )
    assert sure(released).startswith(
        "Moderate evidence. The whole range lies on one side of no change. Its size"
    )


def test_a_rise_is_said_as_plainly(effects: Make) -> None:
    """The words for a harmful result are those for a good one, with the direction changed alone."""
    mirrored = (("fewer", "more"), ("fell", "changed"), ("saved", "cost"), ("better", "worse"))
    good, harm = (effects({"ae": e, "gp": e}) for e in ((-62.0, 22.0, -0.19, 0.07), RISE))
    assert lead(harm).startswith("With support there were about 62 more A&E attendances")
    for make in (words.headline, words.claims):
        said = make(good, assignment="randomised").text
        for one, other in mirrored:
            said = said.replace(one, other)
        # Ratios are no mirror images.
        assert re.sub(r"; \d+% more", "", said) == re.sub(
            r"; \d+% more", "", make(harm, assignment="randomised").text
        )


def test_several_clear_changes_are_one_sentence_each_with_its_range(effects: Make) -> None:
    made = effects({"emergency_admission": RISE, "ae": RISE, "gp": FALL})
    both = (
        "about 62 more A&E attendances (18 to 106 more) and about 58 fewer GP contacts (14 to 102 fewer) for "
        "every 1,000 people a year"
    )
    assert f"There were also {both}." in words.headline(made).text
    may = words.claims(made).parts[0][1]
    assert may[1] == f"“With support there were {both} than there would have been without it.”"
    alone = words.headline(effects({"emergency_admission": OPEN, "ae": RISE, "gp": RISE})).text
    assert "With support there were about 62 more A&E attendances" in alone


def test_money_and_health_are_not_claimed_either_way(effects: Make) -> None:
    def said(effect: object) -> str:
        return words.claims(effects({"ae": effect})).text

    assert "“It saved money”, or that anybody’s health is better:" in said(FALL)
    assert "“It cost money”, or that anybody’s health is worse:" in said(RISE)
    for open_ in (OPEN, SAME):
        assert "“It saved or cost money”, or that anybody’s health is better or worse:" in said(open_)


def test_a_rise_that_may_be_chance_is_named_as_a_rise(effects: Make) -> None:
    nearly = (58.0, 27.0, 0.18, 0.085)
    made = effects({"ae": OPEN, "gp": nearly, "outpatient": OPEN, "bed_days": OPEN})
    assert "There may have been more GP contacts, but it may be chance" in words.headline(made).text
    may = words.claims(made).parts[0][1]
    assert "“There may have been more GP contacts with support, or it is chance.”" in may


@pytest.mark.parametrize("effect", [FALL, RISE, OPEN, SAME])
def test_what_support_was_is_said_where_it_is_first_named(effects: Make, effect: object) -> None:
    made = effects({"ae": effect})
    said = words.headline(made, support=r"free \1 care").parts[0][1][0]
    assert said.count(r"upport (free \1 care)") == 1
    assert said.replace(r" (free \1 care)", "") == lead(made)
    assert r"upport (free \1 care)" in words.claims(made, support=r"free \1 care").parts[0][1][0]


def test_a_null_result_says_what_the_data_fit(effects: Make) -> None:
    released = effects({"ae": OPEN})
    assert lead(released) == (
        "The study cannot tell whether support changed A&E attendances: the best estimate is about 8 fewer "
        "for every 1,000 people a year, and the data fit anything from 52 fewer to 36 more."
    )
    assert sure(released).startswith("Inconclusive.")


def test_no_change_is_said_only_where_the_whole_range_is_near_it(effects: Make) -> None:
    assert lead(effects({"gp": SAME})).startswith("Support made little or no difference to GP contacts")
    assert "cannot tell" in lead(effects({"gp": (-20.0, 60.0, 0.0, 0.08)}))


def test_too_rare_to_say_anything(effects: Make) -> None:
    released = effects({"emergency_admission": FALL}, events=5)
    assert lead(released) == (
        "There were too few emergency admissions to say anything about the effect of support on them."
    )
    claims = words.claims(released)
    assert claims.parts[0][1] == ("“There were too few events to say anything yet.”",)


def test_clear_asks_for_both_scales(effects: Make) -> None:
    released = effects({"ae": (-58.0, 22.0, -0.10, 0.07)})
    assert "cannot tell" in lead(released)
    assert "21% fewer to 4% more" in lead(released)


def test_very_clear_needs_a_small_p(effects: Make) -> None:
    assert "by a wide margin" in sure(effects({"ae": (-58.0, 12.0, -0.18, 0.03)}))
    assert "by a wide margin" not in sure(effects({"ae": FALL}))


def test_secondary_outcomes_are_clear_only_after_holm(effects: Make) -> None:
    nearly = (-58.0, 27.0, -0.18, 0.085)
    alone = words.headline(effects({"ae": FALL, "gp": nearly})).text
    assert "There were also about 58 fewer GP contacts" in alone
    several = words.headline(effects({"ae": FALL, "gp": nearly, "outpatient": OPEN, "bed_days": OPEN})).text
    assert "There were also" not in several
    assert "There may have been fewer GP contacts, but it may be chance, as several services" in several


def test_what_may_be_claimed_follows_from_the_numbers(effects: Make) -> None:
    claims = words.claims(effects({"emergency_admission": FALL, "ae": OPEN}))
    may, may_not = (" ".join(sentences) for _, sentences in claims.parts)
    assert "about 58 fewer emergency admissions" in may
    assert "We cannot tell whether support changed A&E attendances" in may
    assert "“Support had no effect on A&E attendances”" in may_not
    assert "“It saved money”" in may_not


def test_few_groups_are_said(effects: Make) -> None:
    assert "Only 8 groups" in sure(effects({"ae": FALL}, clusters=8))


def test_a_name_from_the_data_is_text(effects: Make) -> None:
    statement = words.headline(effects({"<img src=x onerror=alert(1)>": FALL}))
    assert "<img" not in statement.html


def test_words_need_a_released_result(effects: Make, people: Released) -> None:
    with pytest.raises(DisclosureError, match="not released"):
        words.headline(pd.DataFrame({"estimate": [1.0]}))  # type: ignore[arg-type]
    with pytest.raises(DisclosureError, match="need effects"):
        words.headline(people)
    with pytest.raises(DisclosureError, match="needs the released result"):
        Statement("sentence", (("p", ("Anything.",)),), (), SEAL)


def test_several_open_answers_are_one_claim(effects: Make) -> None:
    claims = words.claims(effects({"emergency_admission": FALL, "ae": OPEN, "outpatient": OPEN}))
    assert claims.parts[0][1][1:] == (
        "“We cannot tell whether support changed A&E attendances and outpatient appointments.”",
    )


def test_a_wide_range_is_surer_of_direction_than_of_size(effects: Make) -> None:
    assert "Its size is much less sure" in sure(effects({"ae": (-287.0, 140.0, -0.7, 0.25)}))
    assert "much less sure" not in sure(effects({"ae": (-58.0, 12.0, -0.18, 0.04)}))


def test_also_is_said_only_after_a_clear_main_result(effects: Make) -> None:
    text = words.headline(effects({"emergency_admission": OPEN, "ae": FALL})).text
    assert "also" not in text
    assert "With support there were about 58 fewer A&E attendances" in text


def test_a_range_clear_on_one_scale_only_is_said(effects: Make) -> None:
    released = effects({"ae": (-160.0, 90.0, -0.49, 0.23), "gp": (-160.0, 90.0, -0.49, 0.23)})
    assert sure(released).startswith(
        "Inconclusive. As a ratio the range lies on one side of no change, as a difference it does not; so "
        "the study does not count it as clear. The scale"
    )
    assert "For GP contacts, as a ratio the range lies on one side" in words.headline(released).text
    other = effects({"ae": (-58.0, 22.0, -0.10, 0.07)})
    assert "As a difference the range lies on one side of no change, as a ratio it does not" in sure(other)
    assert "holds both a fall and a rise" in sure(effects({"ae": OPEN}))


def test_only_matching_speaks_of_similar_people(effects: Make) -> None:
    def said(estimator: str) -> str:
        return words.claims(effects({"ae": FALL}, method={"estimator": estimator})).text

    assert "than there would have been without it (95%" in said("callaway_santanna")
    assert "than among similar people without it (95%" in said("matched Poisson regression")


@pytest.mark.parametrize(
    ("effect", "options", "assignment", "unwell"),
    [
        (FALL, {}, "observed", True),
        (RISE, {}, "observed", False),
        (FALL, {}, "randomised", False),
        (FALL, {"unit": "per trust and month"}, "observed", False),
    ],
)
def test_getting_better_is_said_only_of_people_whose_use_fell(
    effects: Make, effect: object, options: dict[str, str], assignment: str, unwell: bool
) -> None:
    text = words.claims(effects({"ae": effect}, **options), assignment=assignment).text
    assert ("unwell" in text) is unwell
    assert ("fell after support began" in text) is unwell
    assert ("changed after support began" in text) is not unwell


def test_a_randomised_matched_study_has_no_change_since_support_began(effects: Make) -> None:
    matched = effects({"ae": FALL}, method={"estimator": "matched Poisson regression"})
    assert "since support began" not in words.claims(matched, assignment="randomised").text


MATCHED = {"estimator": "matched Poisson regression"}


def test_the_second_method_stands_beside_the_main_one(effects: Make) -> None:
    released = {
        "effects": effects({"emergency_admission": FALL}),
        "second": effects({"emergency_admission": (-89.0, 40.0, -0.25, 0.1)}, method=MATCHED),
    }
    statement = words.beside(released, "effects", "second")
    assert statement.text == (
        "Matching people to similar ones gives about 89 fewer emergency admissions for every 1,000 people a "
        "year (10 to 168 fewer). Within their ranges the two methods agree on every service."
    )
    assert statement.sources == (released["effects"], released["second"])
    assert words.beside(released, "second", "effects").text.startswith("Difference-in-differences gives")


@pytest.mark.parametrize(
    ("main", "second", "why"),
    [
        (FALL, OPEN, "difference-in-differences finds a clear change and matching does not"),
        (OPEN, FALL, "matching finds a clear change and difference-in-differences does not"),
        (FALL, RISE, "one finds clearly fewer and the other clearly more"),
        (FALL, (-400.0, 50.0, -0.9, 0.1), "their ranges do not overlap"),
    ],
)
def test_two_methods_that_disagree_are_read_with_care(
    effects: Make, main: object, second: object, why: str
) -> None:
    released = {
        "a": effects({"gp": OPEN, "ae": main}),
        "b": effects({"gp": OPEN, "ae": second}, method=MATCHED),
    }
    said = words.beside(released, "a", "b").text
    assert f"On A&E attendances the two methods disagree: {why}. Read this result with care." in said
    assert "On GP contacts" not in said


def test_without_a_second_method_nothing_is_compared(effects: Make) -> None:
    released = {"effects": effects({"ae": FALL})}
    assert words.beside(released, "effects", "second").text == "No second method was used."
    with pytest.raises(ParameterError, match="main: got 'other'; released has 'effects'"):
        words.beside(released, "other", "effects")


def test_a_second_method_with_too_few_says_so(effects: Make) -> None:
    released = {"a": effects({"ae": OPEN}), "b": effects({"ae": OPEN}, method=MATCHED, events=5)}
    assert words.beside(released, "a", "b").text == (
        "Matching people to similar ones has too few A&E attendances to say anything."
    )
