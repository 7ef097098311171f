"""An effect that rests on one site is refused, and is never printed with an interval that is too short.

There may be several sites in each arm and yet only one that shows a change: a model with an effect for each
person learns nothing from people seen on one side of the start only, and of counts nothing from people who
have no event.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from impact import did
from impact.data.panel import Panel
from impact.errors import DesignError

SUPPORTED, CONTROLS, START = 2, 4, 4


def rows(seed=0):
    """Two supported sites (0 and 1) and four others, of four people and six months each."""
    rng = np.random.default_rng(seed)
    site, who, month = (a.ravel() for a in np.mgrid[: SUPPORTED + CONTROLS, :4, 1:7])
    return pd.DataFrame(
        {
            "id": 10 * site + who,
            "site": site,
            "month": month,
            "sex": who % 2,
            "start": np.where(site < SUPPORTED, START, np.nan),
            "time": 1.0,
            "ae": rng.poisson(3, len(site)) + 1.0,
        }
    )


def build(frame, where=False, column="time"):
    frame = frame.assign(**{column: frame[column].mask(np.broadcast_to(where, len(frame)), 0.0)})
    frame["ae"] = frame["ae"].where(frame["time"] > 0, 0.0)
    names = {"unit": "id", "period": "month", "first_treated": "start", "exposure": "time", "cluster": "site"}
    return Panel.from_long(frame, outcomes=["ae"], covariates=["sex"], **names)


def one_site(frame, arm):
    """All sites of an arm but its first."""
    return frame["site"].eq(1) if arm == "treated" else frame["site"].gt(SUPPORTED)


def late(frame):
    return frame["month"] >= START


UNSEEN = {
    "before only": late,
    "after only": lambda f: ~late(f),
    "each person on one side": lambda f: late(f) == f["sex"].eq(1),
}
PEOPLE = {
    "two_by_two, people": ("two_by_two", {"effects": "person"}),
    "two_by_two, linear, people": ("two_by_two", {"effects": "person", "family": "linear"}),
    "twfe": ("twfe", {}),
    "twfe, linear": ("twfe", {"family": "linear"}),
    "callaway_santanna": ("callaway_santanna", {}),
    "sun_abraham": ("sun_abraham", {}),
    "imputation": ("imputation", {}),
    "etwfe": ("etwfe", {}),
    "etwfe, linear": ("etwfe", {"family": "linear"}),
    "etwfe, never": ("etwfe", {"control": "never_treated"}),
    "stacked": ("stacked", {}),
    "stacked, linear": ("stacked", {"family": "linear"}),
    "synthetic_did": ("synthetic_did", {"inference": "jackknife"}),
    "triple_difference": ("triple_difference", {"subgroup": "sex", "eligible": 1}),
}
ARMS = {
    "two_by_two": ("two_by_two", {}),
    "two_by_two, linear": ("two_by_two", {"family": "linear"}),
    "triple_difference, linear": (
        "triple_difference",
        {"subgroup": "sex", "eligible": 1, "family": "linear"},
    ),
    "etwfe, cohorts": ("etwfe", {"effects": "cohort"}),
}
COUNTS = ("two_by_two, people", "twfe", "etwfe", "stacked")
SAYS = "single cluster|fewer than two|more than one cluster|one cluster|too few clusters|everyone at risk"


@pytest.mark.parametrize("name", PEOPLE)
def test_two_sites_and_four_are_enough(name):
    estimator, given = PEOPLE[name]
    assert (
        did.estimate(build(rows()), outcome="ae", estimator=estimator, **given).table["std_error"] > 0
    ).all()


@pytest.mark.parametrize("arm", ["treated", "control"])
@pytest.mark.parametrize("unseen", UNSEEN)
@pytest.mark.parametrize("name", PEOPLE)
def test_one_site_that_shows_a_change_is_refused(name, unseen, arm):
    f = rows()
    panel = build(f, one_site(f, arm) & UNSEEN[unseen](f))
    estimator, given = PEOPLE[name]
    with pytest.raises(DesignError, match=SAYS):
        did.estimate(panel, outcome="ae", estimator=estimator, **given)


@pytest.mark.parametrize("arm", ["treated", "control"])
@pytest.mark.parametrize(
    ("name", "unseen"),
    [
        *((name, "before only") for name in ARMS),
        # There the supported are controls until their start.
        *((name, "after only") for name in ARMS if name != "etwfe, cohorts"),
    ],
)
def test_one_site_in_an_arm_and_period_is_refused(name, unseen, arm):
    f = rows()
    panel = build(f, one_site(f, arm) & UNSEEN[unseen](f))
    estimator, given = ARMS[name]
    with pytest.raises(DesignError, match=SAYS):
        did.estimate(panel, outcome="ae", estimator=estimator, **given)


@pytest.mark.parametrize("arm", ["treated", "control"])
@pytest.mark.parametrize("name", COUNTS)
def test_one_site_with_events_is_refused_where_people_have_their_own_level(name, arm):
    f = rows()
    panel = build(f, one_site(f, arm), "ae")
    estimator, given = PEOPLE[name]
    with pytest.raises(DesignError, match=SAYS):
        did.estimate(panel, outcome="ae", estimator=estimator, **given)
    assert (did.estimate(panel, outcome="ae", estimator="two_by_two").table["std_error"] > 0).all()


@pytest.mark.parametrize("inference", ["CR1", "CR2", "CR3"])
@pytest.mark.parametrize("estimator", ["two_by_two", "twfe"])
def test_errors_of_every_kind_are_refused(estimator, inference):
    f = rows()
    panel = build(f, one_site(f, "treated") & late(f))
    with pytest.raises(DesignError, match=SAYS):
        did.estimate(panel, outcome="ae", estimator=estimator, inference=inference)


@pytest.mark.parametrize(
    "estimator", ["twfe", "callaway_santanna", "sun_abraham", "imputation", "etwfe", "stacked"]
)
def test_event_studies_too(estimator):
    f = rows()
    panel = build(f, one_site(f, "treated") & late(f))
    with pytest.raises(DesignError, match=SAYS):
        did.event_study(panel, outcome="ae", estimator=estimator)


def test_an_event_time_of_one_site_is_left_out_and_said():
    f = rows()
    panel = build(f, one_site(f, "treated") & f["month"].eq(6))
    for estimator in ("stacked", "twfe"):
        effects = did.event_study(panel, outcome="ae", estimator=estimator)
        assert effects.table["event_time"].max() == 1
        assert any("rest on a single cluster: event time 2." in note for note in effects.method["notes"])


def test_a_start_whose_second_site_joins_late_has_no_effect_of_its_own():
    """Two starts: of the first only one site was there before; the effects of the second stay."""
    f = rows()
    f["start"] = f["start"].mask(f["site"].isin([2, 3]), 5)
    panel = build(f, f["site"].eq(1) & ~late(f))
    for estimator in ("sun_abraham", "imputation", "etwfe", "stacked", "callaway_santanna"):
        effects = did.ESTIMATORS[estimator](panel, outcome="ae")
        assert set(effects.table["group"]) == {5}
        assert any("left out" in note for note in effects.method["notes"])
