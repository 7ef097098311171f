"""The fixed words for evidence, each at the numbers it is tied to, for every kind of result."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from impact.disclosure import Released, release
from impact.pages import words
from impact.pages.answers import answers
from impact.pages.evidence import DOTS, Check, checks_on, evidence, passed
from impact.results import Balance, Test

Make = Callable[..., Released]

# Difference, its error, log ratio, its error.
BENEFIT = (-58.0, 22.0, -0.18, 0.07)
HARM = (62.0, 22.0, 0.19, 0.07)
VERY_CLEAR = (-58.0, 12.0, -0.18, 0.03)
WIDE = (-8.0, 22.0, -0.02, 0.07)
NARROW = (-20.0, 60.0, 0.0, 0.03)
VERY_NARROW = (-2.0, 6.0, 0.0, 0.02)
PASSED, FAILED = Check("Alike.", True), Check("Not alike.", False)
MINOR = Check("Not followed as long.", False, minor=True)


def word(released: Released, *checks: Check, **more: Any) -> str:
    return evidence(answers(released)[0], checks, **more)


@pytest.mark.parametrize(
    ("effect", "checks", "more", "expected"),
    [
        (BENEFIT, (), {}, "Moderate evidence"),
        (HARM, (), {}, "Moderate evidence"),
        (VERY_CLEAR, (PASSED,), {}, "Moderate evidence"),
        (VERY_CLEAR, (PASSED,), {"assignment": "randomised"}, "Strong evidence"),
        (VERY_CLEAR, (MINOR,), {"assignment": "randomised"}, "Moderate evidence"),
        (BENEFIT, (PASSED,), {"assignment": "randomised"}, "Moderate evidence"),
        (BENEFIT, (PASSED, FAILED), {}, "Weak evidence"),
        (HARM, (FAILED,), {"assignment": "randomised"}, "Weak evidence"),
        (BENEFIT, (MINOR,), {}, "Moderate evidence"),
        (BENEFIT, (Check("Not known.", None),), {}, "Moderate evidence"),
        (BENEFIT, (), {"groups": 19}, "Weak evidence"),
        (BENEFIT, (), {"groups": 20}, "Moderate evidence"),
        (WIDE, (PASSED,), {"assignment": "randomised"}, "Inconclusive"),
        (NARROW, (PASSED,), {}, "Moderate evidence"),
        (NARROW, (PASSED,), {"assignment": "randomised"}, "Moderate evidence"),
        (VERY_NARROW, (PASSED,), {"assignment": "randomised"}, "Strong evidence"),
        (NARROW, (FAILED,), {}, "Weak evidence"),
    ],
)
def test_each_word_is_tied_to_numbers(
    effects: Make, effect: Any, checks: tuple[Check, ...], more: dict[str, Any], expected: str
) -> None:
    assert word(effects({"ae": effect}), *checks, **more) == expected


def test_a_withheld_estimate_has_no_word_but_too_few(effects: Make) -> None:
    assert word(effects({"ae": BENEFIT}, events=5), PASSED) == "Too few to say"


def test_every_word_has_its_dots_and_reads_without_them(effects: Make) -> None:
    assert [dots.count("●") for dots in DOTS.values()] == [4, 3, 2, 1, 0]
    shown = words.headline(effects({"ae": HARM}))
    assert '<span aria-hidden="true">●●●○</span> <b>Moderate evidence.</b>' in shown.html
    assert "●" not in shown.text


def test_null_wide_and_null_narrow_are_told_apart(effects: Make) -> None:
    wide, narrow = (words.headline(effects({"ae": e})).text for e in (WIDE, NARROW))
    assert "cannot tell" in wide
    assert "Inconclusive." in wide
    assert "little or no difference" in narrow
    assert "Moderate evidence." in narrow


@pytest.fixture(scope="module")
def pretrend() -> Callable[[float], Released]:
    def make(p: float) -> Released:
        behind = pd.DataFrame([{"persons": 300, "treated": 100, "clusters": 300, "events": 90}])
        made = Test("pre-trends are zero", 1.0, 3.0, p, {"outcome": "ae", "notes": []}, behind)
        return release({"pretrend": made}, "hes")["pretrend"]

    return make


@pytest.mark.parametrize(("p", "found"), [(0.05, True), (0.049, False), (np.nan, None)])
def test_moving_alike_before_is_a_check(pretrend: Callable[[float], Released], p: float, found: Any) -> None:
    (check,) = checks_on({"pretrend": pretrend(p)})
    assert check.passed is found
    assert not check.minor


def balanced(age: float, followed: float) -> Released:
    rows = [
        {"covariate": c, "level": "", "kind": k, "sample": s, "mean_treated": 1.5, "mean_control": 1.25}
        | {"smd": smd, "variance_ratio": 1.0, "ks": 0.01}
        for s in ("before", "after")
        for c, k, smd in (("age", "covariate", age), ("months followed (ae)", "follow-up", followed))
    ]
    sizes = [
        {"sample": s, "arm": a, "persons": 400, "ess": 400.0}
        for s in ("before", "after")
        for a in ("treated", "control")
    ]
    made = Balance(pd.DataFrame(rows), {"estimator": "nearest", "notes": []}, pd.DataFrame(sizes))
    return release({"balance": made}, "hes")["balance"]


def test_balance_names_what_differs_most_and_time_followed_is_minor() -> None:
    alike, followed = checks_on({"balance": balanced(0.10, 0.11)})
    assert alike.passed
    assert "age, by 0.10" in alike.said
    assert followed.passed is False
    assert followed.minor
    assert checks_on({"balance": balanced(-0.11, 0.0)})[0].passed is False


def test_services_that_cannot_change_and_a_second_method_are_checks(effects: Make) -> None:
    page = {"effects": effects({"ae": BENEFIT}), "beside": effects({"ae": HARM})}
    page["negative_control"] = effects({"gp": WIDE})
    expected, second = checks_on(page)
    assert expected.passed
    assert second.passed is False
    assert "one finds clearly fewer and the other clearly more" in second.said
    assert checks_on({"negative_control": effects({"gp": HARM})})[0].passed is False
    assert checks_on({"negative_control": effects({"gp": HARM}, events=3)})[0].passed is None


def test_a_failed_check_weakens_the_headline(effects: Make, pretrend: Callable[[float], Released]) -> None:
    main = effects({"ae": BENEFIT})
    text = words.headline(main, {"effects": main, "pretrend": pretrend(0.01)}).text
    assert "Weak evidence." in text
    assert "The comparison failed its one check." in text
    assert passed((Check("Not known.", None),)) == "No check of the comparison could be made."
    assert passed(()) == ""


@pytest.mark.parametrize(
    ("effect", "control", "passes", "said"),
    [
        # All have changed as much as people alike: 0.72 / (232 / 330) is 2% more, within its own error.
        (
            (-58.0, 22.0, -0.18, 0.07),
            (330, 232),
            True,
            "which is no more than chance",
        ),
        # Nobody else has changed, so people alike fell by 28% for nothing: 16% fewer is not even that.
        ((-58.0, 22.0, -0.18, 0.07), (300, 300), False, "about 28% fewer emergency admissions: the change"),
        # log(0.5) - log(0.72) is 0.36, and 1.96 times the root of 0.07 squared and 0.102 squared is 0.24.
        ((-170.0, 22.0, -0.6931, 0.07), (300, 300), True, "the change found goes clearly beyond it"),
        # log(0.6) - log(0.72) is 0.18, less than 0.24.
        ((-130.0, 22.0, -0.5108, 0.07), (300, 300), False, "the change found is not clearly more"),
    ],
)
def test_a_clear_change_is_set_beside_what_the_choice_of_people_would_bring(
    effects, naive, effect, control, passes, said
):
    page = {"effects": effects({"emergency_admission": effect}), "naive": naive((341, 214), control)}
    (check,) = checks_on(page)
    assert (check.passed, check.minor) == (passes, False)
    assert said in check.said
    word = evidence(answers(page["effects"])[0], (check,))
    assert word == ("Moderate evidence" if passes else "Weak evidence")


def test_what_the_choice_would_bring_is_by_the_formula_where_nobody_alike_was_left(effects, naive):
    shown = effects({"emergency_admission": (-58.0, 22.0, -0.18, 0.07)})
    formula = naive((341, 214), (300, 300), expected={"formula": (-30.0, -36.0, -24.0)})
    assert "about 30% fewer" in checks_on({"effects": shown, "naive": formula})[0].said
    unclear = effects({"emergency_admission": (-5.0, 22.0, -0.02, 0.07)})
    none = naive((341, 214), (300, 300), expected={})
    assert checks_on({"effects": unclear, "naive": formula}) == ()
    assert checks_on({"effects": shown, "naive": none}) == ()
