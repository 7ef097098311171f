"""Difference-in-differences on the mistakes and oddities of real files: right numbers or one clear sentence.

Every estimator and diagnostic meets every panel here. It may answer, with finite estimates that have an
error, or refuse with an ``ImpactError`` that names no person and no site; it may never warn or stop
otherwise.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from impact import did
from impact.data.panel import Panel
from impact.errors import DataError, DesignError, ImpactError, ParameterError

PERSON, SITE = "Zz%02d", "Elm%02d"
NEVER = None
ROWS = {"unit": "person", "period": "month", "first_treated": "start", "outcomes": ["ae", "gp"]}
MORE = {"exposure": "time", "weights": "weight", "covariates": ["age", "sex"], "cluster": "site"}


def rows(starts=(4, 6, NEVER), people=54, T=7, seed=0):
    """People in sites of three; sites take turns with the starts."""
    rng = np.random.default_rng(seed)
    who, month = np.repeat(np.arange(people), T), np.tile(np.arange(1, T + 1), people)
    start = np.array([np.nan if s is NEVER else s for s in starts])[who // 3 % len(starts)]
    level = np.exp(0.3 * rng.normal(size=people))[who] * np.where(month >= start, 1.0, 1.5)
    return pd.DataFrame(
        {
            "person": [PERSON % i for i in who],
            "site": [SITE % (i // 3) for i in who],
            "month": month,
            "start": start,
            "age": rng.normal(50, 9, people)[who].round(2),
            "sex": np.array(["f", "m"])[who % 2],
            "weight": 1.0,
            "time": 1.0,
            "ae": rng.poisson(level).astype(float),
            "gp": rng.poisson(2 * level).astype(float),
        }
    )


def built(frame, **changes):
    given = {**ROWS, **MORE, **changes}
    return Panel.from_long(frame, **{k: v for k, v in given.items() if v is not None})


def put(frame, where, **values):
    """Change columns in some of the rows."""
    frame = frame.copy()
    for column, value in values.items():
        frame[column] = frame[column].mask(np.asarray(where), value)
    return frame


def some(frame, share, seed=1):
    return np.random.default_rng(seed).random(len(frame)) < share


def after(frame):
    return frame["month"] >= frame["start"].fillna(99)


def month(number):
    return pd.NaT if np.isnan(number) else pd.Timestamp(2024, int(number), 1)


def dated(frame):
    return frame.assign(month=frame["month"].map(month), start=frame["start"].map(month))


# A panel for each mistake or oddity. Those that cannot be built are further down.
PANELS = {
    "as it should be": lambda f: built(f),
    "outcomes missing in 2% of rows": lambda f: built(put(f, some(f, 0.02), ae=np.nan)),
    "2.7% of rows absent": lambda f: built(f[~some(f, 0.027)]),
    "nobody never supported": lambda f: built(f[f["start"].notna()]),
    "nobody supported": lambda f: built(f.assign(start=np.nan)),
    "all start together": lambda f: built(f[f["start"].eq(f["start"].min())]),
    "everyone starts in the first month": lambda f: built(f.assign(start=1)),
    "the supported start in the first month": lambda f: built(put(f, f["start"].notna(), start=1)),
    "a start of one person": lambda f: built(put(f, f["person"] == PERSON % 7, start=5), cluster=None),
    "a start of one site": lambda f: built(put(f, f["site"] == SITE % 2, start=5)),
    "one supported person": lambda f: built(put(f, f["person"] != PERSON % 1, start=np.nan), cluster=None),
    "one supported site": lambda f: built(put(f, f["site"] != SITE % 0, start=np.nan)),
    "one control": lambda f: built(f[f["start"].notna() | (f["person"] == PERSON % 7)], cluster=None),
    "one control site": lambda f: built(f[f["start"].notna() | (f["site"] == SITE % 2)]),
    "one site": lambda f: built(f.assign(site=SITE % 0)),
    "three sites": lambda f: built(f[f["site"].isin([SITE % i for i in range(3)])]),
    "months that do not follow each other": lambda f: built(
        f.assign(month=f["month"] ** 2, start=f["start"] ** 2)
    ),
    "dates": lambda f: built(dated(f)),
    "dates as text": lambda f: built(dated(f).assign(month=lambda d: d["month"].dt.strftime("%Y-%m-%d"))),
    "one month": lambda f: built(f[f["month"] == 4]),
    "two months": lambda f: built(put(f[f["month"].isin([5, 6])], f["start"][f["month"].isin([5, 6])].eq(4))),
    "values below zero": lambda f: built(put(f, f.index % 40 == 0, ae=-1.0)),
    "nothing ever happens": lambda f: built(f.assign(ae=0.0)),
    "nothing happens with support": lambda f: built(put(f, after(f), ae=0.0)),
    "nothing happens to controls": lambda f: built(put(f, f["start"].isna(), ae=0.0)),
    "nothing happens before support": lambda f: built(put(f, f["start"].notna() & ~after(f), ae=0.0)),
    "the same in every row": lambda f: built(f.assign(ae=2.0)),
    "two people never at risk": lambda f: built(
        put(f, f["person"].isin([PERSON % 3, PERSON % 11]), time=0.0)
    ),
    "nobody at risk": lambda f: built(f.assign(time=0.0)),
    "no time with support": lambda f: built(put(f, after(f), time=0.0)),
    "a start without any time with support": lambda f: built(put(f, after(f) & f["start"].eq(6), time=0.0)),
    "no time before support": lambda f: built(put(f, f["start"].notna() & ~after(f), time=0.0)),
    "nobody at risk in one month": lambda f: built(put(f, f["month"] == 3, time=0.0)),
    "weights missing": lambda f: built(put(f, f["person"] == PERSON % 3, weight=np.nan)),
    "weights of the supported zero": lambda f: built(put(f, f["start"].notna(), weight=0.0)),
    "a covariate missing": lambda f: built(put(f, f["person"] == PERSON % 3, age=np.nan)),
    "a covariate that is the same for all": lambda f: built(f.assign(age=50.0)),
    "a covariate that says who is supported": lambda f: built(f.assign(age=f["start"].notna() * 1.0)),
    "an outcome never seen among the supported": lambda f: built(put(f, f["start"].notna(), ae=np.nan)),
    "very large values": lambda f: built(f.assign(ae=f["ae"] * 1e12)),
}
# These compare one start only.
ONE_START = {"two_by_two", "two_by_two, people", "twfe", "twfe, counts", "triple_difference"}


def estimator(name, **arguments):
    return lambda p: did.estimate(p, outcome="ae", estimator=name, **arguments)


def by_time(p):
    return did.event_study(p, outcome="ae", estimator="callaway_santanna")


def one_effect(p):
    effects = did.estimate(p, outcome="ae", estimator="etwfe")
    return effects.select((effects.labels["scale"] == "log ratio").to_numpy())


ADJUSTED = {"covariates": ["age", "sex"]}
CALLS = {
    "two_by_two": estimator("two_by_two", **ADJUSTED),
    "two_by_two, people": estimator("two_by_two", family="linear", effects="person"),
    "twfe": estimator("twfe", family="linear"),
    "twfe, counts": estimator("twfe"),
    "callaway_santanna": estimator("callaway_santanna"),
    "callaway_santanna, adjusted": estimator("callaway_santanna", control="never_treated", **ADJUSTED),
    "sun_abraham": estimator("sun_abraham"),
    "imputation": estimator("imputation"),
    "imputation, adjusted": estimator("imputation", **ADJUSTED),
    "etwfe": estimator("etwfe"),
    "etwfe, adjusted": estimator("etwfe", **ADJUSTED),
    "etwfe, linear": estimator("etwfe", family="linear", control="never_treated"),
    "etwfe, anticipation": estimator("etwfe", anticipation=2),
    "stacked": estimator("stacked"),
    "stacked, linear": estimator("stacked", family="linear"),
    "synthetic_did": estimator("synthetic_did", inference="jackknife"),
    "triple_difference": estimator("triple_difference", subgroup="sex", eligible="f"),
    "triple_difference, starts": estimator(
        "triple_difference", subgroup="sex", eligible="f", within="callaway_santanna"
    ),
    "two outcomes": lambda p: did.estimate(p, outcome=["ae", "gp"], estimator="imputation"),
    "two_way": lambda p: did.two_way(
        p, lambda q: did.estimate(q, outcome="ae", estimator="etwfe"), second="sex"
    ),
    "CR2": estimator("sun_abraham", inference="CR2"),
    "aggregate": lambda p: did.aggregate(did.callaway_santanna(p, outcome="ae"), by="group"),
    "event_study": lambda p: did.event_study(p, outcome="ae", estimator="sun_abraham"),
    "event_study, counts": lambda p: did.event_study(p, outcome="ae", estimator="stacked"),
    "event_study, imputation": lambda p: did.event_study(p, outcome="ae", estimator="imputation"),
    "bands": lambda p: did.bands(by_time(p), seed=1, draws=199),
    "pretrend_test": lambda p: did.pretrend_test(by_time(p)),
    "pretrend_power": lambda p: did.pretrend_power(by_time(p), power=0.5, draws=2000),
    "honest_bounds": lambda p: did.honest_bounds(by_time(p), m=50),
    "wild_bootstrap": lambda p: did.wild_bootstrap(one_effect(p), draws=199, seed=1),
    "bacon_decomposition": lambda p: did.bacon_decomposition(p, outcome="ae"),
    "dispersion": lambda p: did.dispersion(p, outcome="ae"),
    "leaving": lambda p: did.leaving(p, outcome="ae"),
    "as_if_observed": lambda p: did.estimate(
        did.as_if_observed(p, outcome="ae", supported=0, control=2), outcome="ae", estimator="imputation"
    ),
    "censoring_weights": lambda p: did.censoring_weights(p, covariates=["age"]),
    "scale_check": lambda p: did.scale_check(p, outcome="ae", estimator="callaway_santanna"),
    "placebo_starts": lambda p: did.placebo_starts(p, outcome="ae", estimator="etwfe", shift=1),
}


@cache
def panel(name, one):
    return PANELS[name](rows((4, 4, NEVER) if one else (4, 6, NEVER)))


def names_nobody(text):
    assert not re.search(r"Zz\d|Elm\d", text), text


def fit(result):
    """A result that answers: finite estimates with an error, or none where it is the reference."""
    if isinstance(result, Panel):
        assert np.isfinite(result.censoring_weights).all()
        assert (result.censoring_weights > 0).all()
        return
    names_nobody(str(result.method.get("notes")))
    table = result.table
    assert len(table) > 0
    if "std_error" not in table:
        return
    assert np.isfinite(table["estimate"]).all()
    # The reference is zero by definition and has no error; nothing else is without one.
    nothing = table["std_error"].isna() & (table["estimate"] == 0)
    assert (nothing | (table["std_error"] > 0)).all()
    assert (nothing | (table["conf_high"] - table["conf_low"] > 1e-9 * table["estimate"].abs())).all()
    assert nothing.sum() <= ("event_time" in table) * table["outcome"].nunique()
    assert (result.counts[["persons", "treated", "clusters"]] >= 0).all(axis=None)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", PANELS)
def test_it_answers_or_refuses_in_a_sentence(name, call):
    refused = None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            fit(CALLS[call](panel(name, call in ONE_START)))
        except ImpactError as error:
            refused = error
    if refused:
        names_nobody(str(refused))
        assert len(str(refused).split()) > 5
        assert isinstance(refused, DataError | DesignError)


def test_every_estimator_and_diagnostic_is_tried():
    tried = {name.split(",")[0] for name in CALLS} | {"ESTIMATORS", "estimate", "summarise"}
    # These repeat an analysis many times, and take too long here.
    repeated = {"randomisation_test", "leave_one_out"}
    assert set(did.ESTIMATORS) <= tried
    assert set(did.__all__) - tried - repeated == {"bias_reduced", "lost"}  # Tried as CR2, by as_if_observed.


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: pd.concat([f, f.iloc[[5]]]), "person, month: 1 rows repeat a unit and period"),
        (
            lambda f: put(f, (f["person"] == PERSON % 3) & (f["month"] > 4), start=7),
            "start: changes within 1 units",
        ),
        (lambda f: put(f, (f["person"] == PERSON % 3) & (f["month"] > 4), site="Elm99"), "site: changes"),
        (lambda f: f.drop(columns="start"), "column 'start' is not in the data"),
        (lambda f: f.rename(columns={"start": "starts"}), "Did you mean 'starts'?"),
        (lambda f: f.drop(columns=["ae", "time"]), r"(?s)column 'ae' .*\ncolumn 'time'"),
        (lambda f: f.assign(month=dated(f)["month"]), "start: holds numbers, but the periods are dates"),
        (lambda f: put(f, f.index == 9, month=np.nan), "person or month: 1 rows have none"),
        (lambda f: put(f.astype({"ae": object}), f.index == 9, ae="many"), "ae: 1 rows are not numbers"),
        (lambda f: put(f, f.index == 9, ae=np.inf), "ae: 1 rows are not numbers"),
        (lambda f: put(f, f.index == 9, time=-1.0), "time: 1 rows have negative time at risk"),
        (lambda f: f.assign(weight="heavy"), "weight: 378 rows are not numbers"),
        (lambda f: f.assign(start="soon"), "start: 378 rows are neither numbers nor dates"),
    ],
)
def test_rows_that_make_no_panel(change, says):
    with pytest.raises(DataError, match=says) as error:
        built(change(rows()))
    names_nobody(str(error.value))
    assert "many" not in str(error.value)
    assert "soon" not in str(error.value)


STAGGERED = ("callaway_santanna", "sun_abraham", "imputation", "etwfe", "stacked")
HOLES = ("outcomes missing in 2% of rows", "2.7% of rows absent")


@pytest.mark.parametrize("name", HOLES)
@pytest.mark.parametrize("call", [*STAGGERED, "two_by_two", "twfe"])
def test_people_with_holes_stay_in(name, call):
    """Peers drop half of the people or more, and say only how many rows."""
    one = call in ONE_START
    whole, holes = CALLS[call](panel("as it should be", one)), CALLS[call](panel(name, one))
    assert (holes.counts["persons"] == 54).all()
    assert (holes.counts["treated"] >= 35).all()
    difference = holes.estimate[0] - whole.estimate[0]
    assert abs(difference) < 0.5 * whole.std_error[0]
    assert holes.std_error[0] < 1.15 * whole.std_error[0]


@pytest.mark.parametrize("call", STAGGERED)
@pytest.mark.parametrize("name", ["dates", "dates as text"])
def test_dates_give_the_numbers_of_plain_months(name, call):
    plain, dates = (CALLS[call](panel(n, False)) for n in ("as it should be", name))
    np.testing.assert_allclose(dates.estimate, plain.estimate, rtol=1e-9)
    np.testing.assert_allclose(dates.std_error, plain.std_error, rtol=1e-9)


@pytest.mark.parametrize("call", STAGGERED)
def test_months_that_do_not_follow_each_other_are_taken_in_their_order(call):
    plain, gaps = (
        CALLS[call](panel(n, False)) for n in ("as it should be", "months that do not follow each other")
    )
    np.testing.assert_allclose(gaps.estimate, plain.estimate, rtol=1e-9)


@pytest.mark.parametrize("call", [*STAGGERED, "two_by_two", "twfe"])
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nobody supported", "nobody is treated"),
        ("everyone starts in the first month", "begin the window earlier"),
        (
            "all start together",
            "control arm|no controls|everyone is treated|no people at risk in the control",
        ),
        ("one supported person", "treated arm has only one person or cluster"),
        ("one supported site", "treated arm has only one person or cluster"),
        ("weights missing", "weights: 1 of 54 are missing"),
        ("nothing ever happens", "'ae': (it never happens|no events among)"),
    ],
)
def test_what_no_estimator_can_do_is_said(name, says, call):
    with pytest.raises((DesignError, DataError), match=says):
        CALLS[call](panel(name, call in ONE_START))


def test_synthetic_did_has_errors_for_one_supported_site():
    one = panel("one supported site", False)
    fit(did.synthetic_did(one, outcome="ae", draws=30))
    with pytest.raises(DesignError, match="two supported clusters or more, and there is 1; use 'placebo'"):
        did.synthetic_did(one, outcome="ae", inference="jackknife")


@pytest.mark.parametrize("name", ["one control", "one control site"])
@pytest.mark.parametrize(
    "estimate",
    [
        did.imputation,
        did.sun_abraham,
        did.callaway_santanna,
        lambda p, outcome: did.etwfe(p, outcome=outcome, family="linear"),
    ],
    ids=["imputation", "sun_abraham", "callaway_santanna", "etwfe"],
)
def test_no_effect_rests_on_one_control(name, estimate):
    """The change of one person or site has no error that one could estimate, so no effect may rest on it.

    Much that happens to the only control moves no effect by more than its error allows for.
    """
    given = panel(name, False)
    try:
        before = estimate(given, outcome="ae").table
    except DesignError as refused:
        names_nobody(str(refused))
        return
    only = (given.start >= len(given.periods))[:, None]
    for month in range(len(given.periods)):
        spike = 1000.0 * (only & (np.arange(len(given.periods)) == month))
        much = replace(given, outcomes={**given.outcomes, "ae": given.outcomes["ae"] + spike})
        after = estimate(much, outcome="ae").table
        assert (after["estimate"] - before["estimate"]).abs().max() < 5 * after["std_error"].max()


@pytest.mark.parametrize("call", ["etwfe", "stacked", "two_by_two", "twfe, counts"])
def test_values_below_zero_are_no_counts(call):
    with pytest.raises(DataError, match=r"outcome='ae': \d+ values are below zero.*family='linear'"):
        CALLS[call](panel("values below zero", call in ONE_START))


@pytest.mark.parametrize(
    "call", [c for c in CALLS if c.endswith("adjusted")] + ["two_by_two", "censoring_weights"]
)
def test_missing_covariates_are_counted(call):
    leaving = put(rows(), rows()["month"] > 5, ae=np.nan)
    given = built(put(leaving, leaving["person"] == PERSON % 3, age=np.nan), outcomes=["ae"])
    given = given if call == "censoring_weights" else panel("a covariate missing", call in ONE_START)
    with pytest.raises(DataError, match="covariates: 'age' is missing for 1 of 54"):
        CALLS[call](given)


@pytest.mark.parametrize("estimator", [*STAGGERED, "synthetic_did"])
@pytest.mark.parametrize("anticipation", [1.5, -1, True, "2", None])
def test_anticipation_is_a_number_of_periods(estimator, anticipation):
    with pytest.raises(ParameterError, match=f"anticipation={anticipation!r}: give a"):
        did.estimate(
            panel("as it should be", False), outcome="ae", estimator=estimator, anticipation=anticipation
        )


@pytest.mark.parametrize("estimator", [*STAGGERED, "synthetic_did"])
def test_anticipation_longer_than_the_time_before_support(estimator):
    with pytest.raises(DesignError, match="begin the window earlier"):
        did.estimate(panel("as it should be", False), outcome="ae", estimator=estimator, anticipation=6)


UNKNOWN = {
    "randomisation_test": lambda p, outcome: did.randomisation_test(
        p, outcome=outcome, estimator="twfe", family="linear", draws=19, seed=1
    ),
    **{
        name: lambda p, outcome, name=name: did.estimate(
            p,
            outcome=outcome,
            estimator=name,
            **({"subgroup": "sex", "eligible": "f"} if name == "triple_difference" else {}),
        )
        for name in did.ESTIMATORS
    },
    **{
        f"event_study, {name}": lambda p, outcome, name=name: did.event_study(
            p, outcome=outcome, estimator=name
        )
        for name in did.ESTIMATORS
        if name not in ("synthetic_did", "triple_difference")
    },
    "bacon_decomposition": lambda p, outcome: did.bacon_decomposition(p, outcome=outcome),
}


@pytest.mark.parametrize("call", UNKNOWN)
def test_an_unknown_outcome_is_named_with_those_there_are(call):
    with pytest.raises(DataError, match="outcome='aee': the panel holds 'ae', 'gp'"):
        UNKNOWN[call](panel("as it should be", True), "aee")


@pytest.mark.parametrize("outcome", [[], ["ae", "ae"]])
def test_outcomes_are_named_once_each(outcome):
    with pytest.raises(ImpactError, match="outcome"):
        did.estimate(panel("as it should be", False), outcome=outcome, estimator="etwfe")


def test_randomisation_takes_one_outcome():
    with pytest.raises(ParameterError, match="outcome"):
        UNKNOWN["randomisation_test"](panel("as it should be", True), ["ae", "gp"])


def test_an_event_study_of_a_follow_up_that_is_cut():
    """As every study does that has months_after: nobody is seen late after a start."""
    cut = panel("as it should be", False).followed_for(2)
    assert (
        did.event_study(cut, outcome="ae", estimator="twfe", staggered="allow").table["event_time"].max() == 1
    )


@pytest.mark.parametrize("family", ["linear", "poisson"])
def test_event_times_of_a_single_cluster_are_left_out_and_named(family):
    """Late after the start one site is left: its outcome would be taken as known without error."""
    given = panel("as it should be", True)
    supported = given.start < 7
    sites = np.unique(given.cluster[supported])
    leave = (supported & (given.cluster != sites[0]))[:, None] & (np.arange(7) >= 6)
    cut = replace(given, exposure={k: np.where(leave, 0.0, v) for k, v in given.exposure.items()})
    cut = replace(cut, outcomes={k: np.where(leave, 0.0, v) for k, v in cut.outcomes.items()})
    out = did.event_study(cut, outcome="ae", estimator="twfe", family=family)
    assert out.table["event_time"].max() == 2
    assert "ae: left out, as they rest on a single cluster: event time 3." in out.method["notes"]
    # What happened to that one site then moves nothing.
    last = supported[:, None] & ~leave & (np.arange(7) >= 6)
    much = replace(cut, outcomes={**cut.outcomes, "ae": cut.outcomes["ae"] + 100.0 * last})
    again = did.event_study(much, outcome="ae", estimator="twfe", family=family)
    np.testing.assert_allclose(again.estimate, out.estimate, atol=1e-8)


def test_no_event_time_with_support_in_more_than_one_cluster():
    given = panel("as it should be", True)
    supported = given.start < 7
    leave = (supported & (given.cluster != given.cluster[supported][0]))[:, None] & (np.arange(7) >= 3)
    cut = replace(given, exposure={k: np.where(leave, 0.0, v) for k, v in given.exposure.items()})
    cut = replace(cut, outcomes={k: np.where(leave, 0.0, v) for k, v in cut.outcomes.items()})
    with pytest.raises(DesignError, match="treated arm has fewer than two people or clusters"):
        did.event_study(cut, outcome="ae", estimator="twfe")


def test_periods_with_no_more_control_clusters_than_covariates_have_no_effect():
    """Each period has effects of the covariates, which fit so few controls exactly."""
    f = rows()
    few = f[f["start"].notna() | f["person"].isin([PERSON % i for i in (6, 7, 8)])]
    given = built(few, cluster=None)
    for estimator in ("imputation", "etwfe"):
        found = [
            did.estimate(given, outcome="ae", estimator=estimator, covariates=c).counts["treated"].iloc[0]
            for c in ([], ["age", "sex"])
        ]
        direct = getattr(did, estimator)(given, outcome="ae", covariates=["age", "sex"])
        # From the last start on there are these three only.
        assert direct.table["period"].max() < 6
        assert found[0] >= found[1]
        assert any("effects cover" in note for note in direct.method["notes"])


@pytest.mark.parametrize(
    ("name", "call", "says"),
    [
        ("no time with support", "sun_abraham", "nobody with support is at risk after it began"),
        ("no time with support", "two_by_two, people", "nobody with support is at risk after it began"),
        ("no time with support", "event_study, counts", "no people at risk before and after it"),
        ("nothing happens with support", "event_study, counts", "no effect of support could be estimated"),
        ("nothing happens to controls", "etwfe, anticipation", "no effect of support could be estimated"),
        ("no time before support", "two_by_two, people", "use effects='arm'"),
        ("nobody at risk", "two_by_two", "nobody is treated|no people at risk"),
        ("the same in every row", "etwfe", "'ae': its rate never varies"),
        ("the same in every row", "event_study", "'ae': its rate never varies"),
        ("the same in every row", "aggregate", "'ae': nothing varies .* zero for certain"),
    ],
)
def test_what_cannot_be_estimated_is_said(name, call, says):
    with pytest.raises(DesignError, match=says):
        CALLS[call](panel(name, call in ONE_START))


def test_no_ratio_at_any_event_time():
    effects = did.etwfe(panel("nothing happens with support", False), outcome="ae")
    with pytest.raises(DesignError, match="no effect of support could be estimated: no events with support"):
        did.aggregate(effects, by="event_time")


def test_an_unknown_argument_is_named_with_the_nearest():
    with pytest.raises(ParameterError, match=r"^anticipaton: etwfe has no .* Did you mean 'anticipation'\?"):
        did.estimate(panel("as it should be", False), outcome="ae", estimator="etwfe", anticipaton=1)


def test_an_event_study_refuses_an_argument_its_estimator_does_not_have():
    good = panel("as it should be", False)
    with pytest.raises(ParameterError, match=r"^covarates: etwfe has no .* Did you mean 'covariates'\?"):
        did.event_study(good, outcome="ae", estimator="etwfe", covarates=["age"])
    with pytest.raises(ParameterError, match="leads: etwfe has no such argument"):
        did.event_study(good, outcome="ae", estimator="etwfe", leads=2)
    assert len(did.event_study(good, outcome="ae", estimator="imputation", leads=2)) > 2


@pytest.mark.parametrize("within", ["callaway_santanna", "imputation"])
def test_a_triple_difference_has_the_errors_of_the_estimator_within(within):
    asked = {"estimator": "triple_difference", "subgroup": "sex", "eligible": "f", "within": within}
    with pytest.raises(DesignError, match=rf"triple_difference with {within} has CR0 .*, and CR3"):
        did.estimate(panel("as it should be", False), outcome="ae", inference="CR1", **asked)


def test_two_clusterings_by_the_one_door():
    good = panel("as it should be", False)
    asked = {"outcome": "ae", "estimator": "etwfe"}
    both = did.estimate(good, second_cluster="sex", **asked)
    by_hand = did.two_way(good, lambda p: did.estimate(p, **asked), second="sex")
    pd.testing.assert_frame_equal(both.table, by_hand.table)
    for inference in ("CR2", "CR3"):
        with pytest.raises(DesignError, match=r"second_cluster='sex': .*CR0 and CR1 only; leave"):
            did.estimate(good, second_cluster="sex", inference=inference, **asked)
    with pytest.raises(DesignError, match="synthetic_did has neither"):
        did.estimate(good, outcome="ae", estimator="synthetic_did", second_cluster="sex")
