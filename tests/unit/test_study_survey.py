"""The survey section: what it holds, what it refuses, and what it asks of the library."""

import pandas as pd
import pytest

from impact.cli.rehearsal import _interviewed
from impact.data import read
from impact.data.scores import MEASURES
from impact.errors import DataError, ParameterError
from impact.run.plan import _skipped
from impact.study import Study
from impact.study.survey import QUESTIONS

DATA = {"people": "p.csv", "contacts": "c.csv", "survey": "s.csv"}
SMALL = {"data": DATA, "design": {"treated": ["a"], "control": ["b"]}, "outcomes": ["ae"], "did": {}}
ASKED = {"before": "0", "after": ["12", "6"], "outcomes": ["life_satisfaction", "utility"]}
OWN = {"utility": {"low": -0.6, "high": 1}}


def study(**changes: object) -> Study:
    return Study(**SMALL | {"survey": ASKED | {"own": OWN} | changes})


def test_its_questions_are_those_of_the_contract():
    assert [m for m in MEASURES if not m.startswith("n_")] == list(QUESTIONS)


def test_what_it_asks_of_the_library():
    asked = study(before=0, after=6, wellby={"years": 1}).surveyed
    assert asked["asked"]["before"] == "0"
    assert asked["asked"]["after"] == ["6"]
    assert asked["asked"]["own"]["utility"] == {"low": -0.6, "high": 1, "better": "higher"}
    assert asked["worth"] == {"wellby": {"years": 1}}
    assert asked["sample"] is None
    matched = Study(**SMALL | {"survey": ASKED | {"own": OWN}, "matching": {"on": ["age"]}}).surveyed
    assert matched["sample"]["matching"]["on"] == ("age",)
    assert Study(**SMALL).surveyed == {"asked": None}


QALY = {"of": "utility", "years": 1, "price_gbp": 20_000, "prices": "2019 prices"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"after": "0"}, "survey.after: '0' is also the wave before support"),
        ({"after": ["6", "6"]}, "survey.after: '6' stands twice"),
        (
            {"outcomes": ["life_satisfacton"]},
            "survey.outcomes: 'life_satisfacton' is nothing that people",
        ),
        ({"own": OWN | {"anxiety": {}}}, "survey.own.anxiety: it stands in the contract already"),
        (
            {"own": {"utility": {"low": 1}}},
            "survey.own.utility: a score has low and high, a yes or no",
        ),
        ({"own": {"utility": {"low": 2, "high": 1}}}, "low is 2, which is not below high, 1"),
        (
            {"outcomes": ["anxiety"], "wellby": {"years": 1}},
            "survey.wellby: it values life_satisfaction",
        ),
        ({"wellby": {"years": 1}, "qaly": QALY}, "survey.qaly: wellby values the same change already"),
        ({"qaly": QALY | {"of": "anxiety"}}, "survey.qaly.of: 'anxiety' is no score of survey.own and"),
        ({"own": {"utility": {"low": 0, "high": 100}}, "qaly": QALY}, "goes from 0 to 100; quality of life"),
    ],
)
def test_what_cannot_be_meant_is_refused(changes, said):
    with pytest.raises(ParameterError, match=said):
        study(**changes)


def test_it_needs_a_file_and_no_panel():
    without = {"people": "p.csv", "contacts": "c.csv"}
    with pytest.raises(ParameterError, match=r"data.survey: missing: name the file"):
        Study(**SMALL | {"data": without, "survey": ASKED | {"own": OWN}})
    panel = {"panel": {"file": "p.csv", "unit": "u", "period": "t", "outcomes": ["ae"]}}
    with pytest.raises(ParameterError, match="survey: a ready-made panel holds no interviews"):
        Study(**SMALL | {"data": panel, "design": {}, "survey": ASKED | {"own": OWN}})


ALONE = {"data": {"people": "p.csv", "survey": "s.csv"}, "design": SMALL["design"], "outcomes": []}


def test_a_study_of_what_people_said_counts_no_services():
    alone = Study(**ALONE | {"survey": ASKED | {"own": OWN}, "matching": {"on": ["age"]}})
    assert set(_skipped(alone)) == {"did", "matching", "findings"}
    assert "answers of similar people" in _skipped(alone)["matching"]
    assert alone.protocol["Outcomes"] == "`life_satisfaction` (main result) and `utility`."
    assert "interviews called 0 to those called 12 and 6" in alone.protocol["Follow-up"]
    with pytest.raises(ParameterError, match="did: outcomes is empty: only what people said is compared"):
        Study(**ALONE | {"survey": ASKED | {"own": OWN}, "did": {}})
    with pytest.raises(ParameterError, match="outcomes: must not be empty"):
        Study(**ALONE)


def test_services_and_answers_stand_beside_each_other_in_the_plan():
    said = study().protocol
    assert said["Outcomes"] == "ae (main result); and what people said of `life_satisfaction` and `utility`."
    assert (
        "What people said: the change from 0 to 12 and 6 with support less that without it"
        in said["Analysis"]
    )


def test_a_check_looks_for_the_interviews_before_anything_is_estimated():
    frames = {
        "people": pd.DataFrame({"person_id": list("wxyz"), "arm": ["a", "a", "b", "b"]}),
        "survey": pd.DataFrame({"person_id": list("wxyz") * 2, "wave": ["0"] * 4 + ["12"] * 4}),
    }
    frames["people"]["start_date"] = ["2024-02-01", "2024-02-01", None, None]
    days = pd.Series(["2024-01-01"] * 4 + ["2024-12-01"] * 4)
    frames["survey"] = frames["survey"].assign(interview_date=days, anxiety=[1, 2, 3, 4] * 2)
    source = read(**frames, treated=["a"], control=["b"])
    sections = ALONE | {"survey": {"before": "0", "after": ["12"], "outcomes": ["anxiety"]}}
    _interviewed(Study(**sections), source)
    sections["survey"]["after"] = ["13"]
    with pytest.raises(DataError, match="there is no wave '13'"):
        _interviewed(Study(**sections), source)


def test_the_logs_of_a_study_of_answers_alone_assume_nothing_of_services():
    from impact.run.logs import _assumptions, _quality

    made = {"plan": {}, "disclosure": {"note": "Kept.", "title": "HES"}, "packages": {}, "python": "3"}
    made["code"] = {"impact": "1", "sha256": "0"}
    study = Study(title="T", **ALONE, survey=ASKED | {"own": OWN})
    said = "\n".join(_assumptions(study, made))
    assert "speak for those who did not" in said
    assert "services" not in said.split("## Caveats")[0]
    assert "Nothing was estimated" not in "\n".join(_quality(study, {}, made, {}))
