"""The section on several kinds of support: what is refused, and how it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from impact.errors import ParameterError
from impact.study import Study

GOOD = """\
data: {people: p.csv, contacts: c.csv}
design: {treated: [advice, visits], control: [usual]}
outcomes: [ae]
did: {estimator: etwfe}
arms: {}
"""


def read(tmp_path: Path, text: str) -> Study:
    file = tmp_path / "x.yaml"
    file.write_text(text, encoding="utf-8")
    return Study.read(file)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{ordr: [advice, visits]}", "5: arms.ordr: there is no such key. Did you mean 'order'?"),
        ("{order: advice}", "5: arms.order: expected keys and values, found 'advice'."),
        ("{order: {advice: 0, visits: 1}}", "5: arms.order.advice: expected a number above 0, found 0."),
        ("{order: [advice, visit]}", "'visit' is not one of design.treated. Did you mean 'visits'?"),
        ("{order: [usual, advice, visits]}", "'usual' is in design.control, which counts 0; leave it out."),
        (
            "{also_from: offer}",
            "arms.also_from: expected offer_date, found 'offer'. Did you mean",
        ),
        ("{order: [visits]}", "arms.order: 'advice' is one of design.treated and has no place in it."),
    ],
)
def test_a_bad_section_is_one_sentence(tmp_path: Path, section: str, said: str) -> None:
    with pytest.raises(ParameterError) as error:
        read(tmp_path, GOOD.replace("{}", section))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("did", "said"),
    [
        ("{estimator: synthetic_did}", "arms: synthetic_did takes all arms together; leave the section out."),
        (
            "{matched: true}\nmatching: {'on': [age]}",
            "arms: did.matched compares people who were matched for",
        ),
    ],
)
def test_methods_by_which_no_arm_has_an_effect_of_its_own_are_refused(
    tmp_path: Path, did: str, said: str
) -> None:
    with pytest.raises(ParameterError) as error:
        read(tmp_path, GOOD.replace("{estimator: etwfe}", did))
    assert said in str(error.value)


def test_a_list_counts_the_steps_and_nothing_is_asked_without_the_section(tmp_path: Path) -> None:
    asked = read(tmp_path, GOOD.replace("{}", "{order: [visits, advice]}")).analysis["arms"]
    assert asked is not None
    assert asked["kinds"] == {"treated": ["advice", "visits"], "order": {"visits": 1, "advice": 2}}
    assert asked["offers"] == {"also_from": None, "assignment": "observed"}
    assert read(tmp_path, GOOD.replace("{}", "null")).analysis["arms"] is None
