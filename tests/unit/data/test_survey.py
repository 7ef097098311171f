"""Answers become scores, and interviews a panel of two waves."""

import numpy as np
import pandas as pd
import pytest

from impact.data import read, read_cohort
from impact.data.scores import MEASURES, SWEMWBS_METRIC, measure, metric, scored
from impact.data.survey import NOT_SAID, how_asked, waves
from impact.errors import DataError

ARMS = {"treated": ["help"], "control": ["usual"]}
PEOPLE = pd.DataFrame(
    {
        "person_id": ["a", "b", "c", "d", "e"],
        "arm": ["help", "help", "help", "usual", "usual"],
        "start_date": ["2024-02-10", "2024-02-10", "2024-02-10", None, None],
        "died": [None, "2024-05-20", None, None, None],
        "building_id": ["x", "x", "y", "y", None],
    }
)
CONTACTS = pd.DataFrame({"person_id": ["a", "d"], "service": "gp", "start": ["2024-01-05", "2024-07-02"]})


def survey() -> pd.DataFrame:
    """a and d answer twice, b dies, c drops out, e is asked only after."""
    rows = [
        ("a", "0", "2024-02-01", 4, 2, "yes", 90),
        ("a", "6", "2024-06-01", 6, 1, "no", 90),
        ("b", "0", "2024-02-01", 3, 0, "no", 90),
        ("c", "0", "2024-02-01", 5, None, "no", 90),
        ("d", "0", "2024-02-01", 7, 4, "no", 90),
        ("d", "6", "2024-06-01", 7, 5, "yes", 180),
        ("e", "6", "2024-06-01", 8, 1, "yes", 180),
    ]
    names = ["person_id", "wave", "interview_date", "life_satisfaction", "n_gp", "in_work", "recall_days"]
    return pd.DataFrame(rows, columns=names)


def cohort(answers: pd.DataFrame | None = None, **more):
    given = survey() if answers is None else answers
    return read_cohort(people=PEOPLE, contacts=CONTACTS, survey=given, **ARMS, **more)


def two(asked, outcomes, **more):
    return waves(asked, outcomes=outcomes, before="0", after="6", **more)


def test_the_metric_score_is_that_of_stewart_brown_and_others():
    """Every total has its own, at the ends the total itself; steps are wide there and narrow between."""
    printed = {7: 7.0, 8: 9.51, 14: 15.32, 20: 18.59, 21: 19.25, 27: 24.11, 28: 25.03, 34: 32.55, 35: 35.0}
    assert dict(zip(printed, metric(list(printed)), strict=True)) == printed
    assert len(SWEMWBS_METRIC) == 29
    assert (np.diff(SWEMWBS_METRIC) > 0).all()
    assert np.diff(SWEMWBS_METRIC)[10:14].max() < 0.7 < 2 < np.diff(SWEMWBS_METRIC)[[0, -1]].min()


def test_a_sum_needs_all_its_answers_or_their_total():
    frame = pd.DataFrame({f"swemwbs_{i}": [3, 3, None] for i in range(1, 8)})
    frame.loc[1, "swemwbs_4"] = None
    frame["swemwbs_total"] = [None, None, 35]
    assert scored(frame, MEASURES["swemwbs"]).tolist()[::2] == [19.25, 35.0]
    assert np.isnan(scored(frame, MEASURES["swemwbs"])[1])


def test_own_scores_and_answers_of_yes_and_no_are_checked():
    own = {"confidence": {"low": 1, "high": 5, "better": "higher"}, "trained": {"better": "higher"}}
    frame = pd.DataFrame({"confidence": [1, None, 6], "trained": ["Yes", None, "perhaps"]})
    for name, said in (("confidence", "a number from 1 to 5"), ("trained", "yes or no")):
        with pytest.raises(DataError, match=rf"survey.{name}: 1 row\(s\) of the file are not {said}"):
            scored(frame, measure(name, own))
        assert scored(frame[:2], measure(name, own))[0] == 1
    with pytest.raises(DataError, match=r"'confidense' is nothing that people are asked. Did you mean 'conf"):
        measure("confidense", own)
    with pytest.raises(DataError, match=r"there is no column 'confidence', which survey.own declares"):
        scored(frame[["trained"]], measure("confidence", own))


def test_each_person_is_at_risk_of_the_answers_they_gave():
    panel = two(cohort(), ["life_satisfaction", "in_work", "n_gp"], cluster="building_id")
    assert panel.unit.tolist() == ["a", "b", "c", "d", "e"]
    assert panel.outcomes["life_satisfaction"].tolist() == [[4, 6], [3, 0], [5, 0], [7, 7], [0, 8]]
    assert panel.exposure["life_satisfaction"].tolist() == [[1, 1], [1, 0], [1, 0], [1, 1], [0, 1]]
    assert panel.outcomes["in_work"].tolist() == [[1, 0], [0, 0], [0, 0], [0, 1], [0, 1]]
    # Counts stand for the days that they look back over, and one that was not told for none.
    days = np.array([[90, 90], [90, 0], [0, 0], [90, 180], [0, 180]])
    assert np.allclose(panel.exposure["n_gp"], days / 30.4375)
    assert panel.start.tolist() == [1, 1, 1, 2, 2]
    assert panel.ended.tolist() == ["", "death", "drop-out", "", ""]
    assert len(set(panel.cluster)) == 3


def test_answers_on_the_wrong_side_of_the_start_are_not_used():
    answers = survey()
    answers.loc[0, "interview_date"] = "2024-02-11"
    panel = two(cohort(answers), ["life_satisfaction"])
    assert panel.exposure["life_satisfaction"][0].tolist() == [0, 1]
    said = "0: 1 person was asked only after support began; these answers are not used."
    assert panel.notes == (said,)


def test_how_they_were_asked():
    answers = survey().assign(mode=["Face to face", "phone", None, "phone", "phone", "phone", "phone"])
    asked = cohort(answers)
    found = how_asked(asked, two(asked, ["life_satisfaction"]))
    panel = two(asked, ["life_satisfaction"])
    both = panel.treated[(panel.exposure["life_satisfaction"] > 0).all(1)]
    # Who answered once is not counted: the number who were lost would be the difference.
    assert found.groupby(["wave", "treated"]).size().to_dict() == {
        (wave, arm): int((both == arm).sum()) for wave in ("0", "6") for arm in (False, True)
    }
    assert set(found["mode"]) == {"face to face", "phone"}
    assert len(found) == 4
    blank = cohort(survey().assign(mode=None))
    assert set(how_asked(blank, two(blank, ["life_satisfaction"]))["mode"]) == {NOT_SAID}


@pytest.mark.parametrize(
    ("wave", "name", "said"),
    [
        ("7", "life_satisfaction", "there is no wave '7'; the file has '0', '6'"),
        ("6", "anxiety", "nobody answered 'anxiety' in '0' or '6'"),
    ],
)
def test_what_is_not_there_is_said(wave, name, said):
    with pytest.raises(DataError, match=said):
        waves(cohort(), outcomes=[name], before="0", after=wave)


def test_a_study_without_a_survey_has_no_waves():
    without = read_cohort(people=PEOPLE, contacts=CONTACTS, **ARMS)
    with pytest.raises(DataError, match=r"data.survey: missing or without rows"):
        two(without, ["life_satisfaction"])


def test_the_files_checks_find_wrong_totals_and_counts_without_recall():
    answers = survey().assign(**{f"loneliness_{i}": 2 for i in (1, 2, 3)}, loneliness_total=6)
    answers.loc[1, "recall_days"] = None
    quality = cohort(answers).quality.set_index(["column", "rule"])["count"]
    assert quality["loneliness_total", "not the sum"] == 0
    assert quality["recall_days", "no recall period"] == 1
    answers.loc[2, "loneliness_total"] = 7
    with pytest.raises(DataError, match=r"survey.loneliness_total, not the sum: 1 row"):
        cohort(answers)
    with pytest.raises(DataError, match=r"survey.life_satisfaction, readable: 1 row"):
        cohort(survey().replace({"life_satisfaction": {8: 11}}))


def test_people_and_interviews_alone_are_a_study():
    """They are observed for as long as there are interviews, and described without any use of services."""
    alone = read_cohort(people=PEOPLE, survey=survey(), **ARMS)
    assert set(alone.people["observed_from"].astype(str)) == {"2024-02-01"}
    assert set(alone.quality["table"]) == {"people", "survey"}
    assert not any(name.startswith("prior_") for name in alone.people)
    assert len(alone.at_baseline(outcomes=[], seed=1)) == 5
    assert two(alone, ["life_satisfaction"]).n == 5
    with pytest.raises(DataError, match="people and a survey, or else a panel"):
        read(people=PEOPLE, **ARMS)


def test_a_wave_that_is_misspelt_is_counted_and_named_with_the_nearest():
    answers = survey().replace({"wave": {"6": "6 months", "0": "before"}})
    answers.loc[[1, 5], "wave"] = "6 month"
    asked = ["before", "6 months"]
    found = cohort(answers, waves=asked).quality.set_index("rule").loc["wave not listed"]
    assert found["count"] == 2
    assert found["action"] == "not used: '6 month' (did you mean '6 months'?)"
    # What is like no wave and stands in few rows might be of one person: it is counted and not named.
    answers.loc[[1, 5], "wave"] = "Ann Other"
    found = cohort(answers, waves=asked).quality.set_index("rule").loc["wave not listed"]
    assert (found["count"], found["action"]) == (2, "not used")
    assert not cohort(answers).quality.set_index("rule").loc["wave not listed", "count"]


def test_who_never_answered_twice_is_told_to_look_at_the_waves():
    answers = survey().drop(index=[1, 5])
    with pytest.raises(DataError, match=r"both in '0' and in '6'\. Check the names of waves"):
        two(cohort(answers), ["life_satisfaction"])


def test_values_that_do_not_fit_are_counted_over_all_waves():
    answers = survey().assign(utility=[2, 3, 0.5, 0.5, 0.5, 4, 0.5])
    own = {"utility": {"low": 0, "high": 1}}
    with pytest.raises(DataError, match="utility: 3 row"):
        two(cohort(answers), ["utility"], own=own)


def test_an_arm_that_is_misspelt_is_named_with_the_nearest():
    people = PEOPLE.assign(arm=["help", "help", "helpp", "usual", "usual"])
    found = read_cohort(people=people, contacts=CONTACTS, **ARMS).quality
    told = found[found["table"] == "people"].set_index("rule").loc["arm not listed", "action"]
    assert told == "left out and counted: 'helpp' (did you mean 'help'?)"


def test_what_was_never_recorded_is_not_counted_as_nobody():
    assert cohort().losses().table.columns.tolist() == ["arm", "persons", "died"]
    assert not {"no consent", "opted out", "not linked"} & set(cohort().flow.table["rule"])
