"""Both analyses and the bias of each, against the same by hand; and where there is nothing to say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import impact
from impact.data import Cohort
from impact.data.panel import Panel
from impact.disclosure import release
from impact.errors import DesignError
from impact.interpret import build_panel, matched, matched_results
from impact.interpret.match_audit import match_audit, within_slope
from impact.interpret.matched_on_use import NO_EVIDENCE, on_use
from impact.match import nearest, onto

ON = ["age", "ltc_n", "prior_ae"]


@pytest.fixture(scope="module")
def study(demo: Path):
    return impact.Study(
        data={table: str(demo / f"{table}.csv") for table in ("people", "contacts", "coverage")},
        design={"treated": ["signposting", "hand_holding"], "control": ["control", "pool"]},
        outcomes=["ae"],
        matching={"on": ON},
    )


@pytest.fixture(scope="module")
def tenants(study):
    return impact.read(**study.source)


@pytest.fixture(scope="module")
def found(study, tenants):
    people = tenants.at_baseline(**study.baseline)
    sample = matched(tenants, baseline=study.baseline, matching=study.matching_plan)
    return sample, people, matched_results(sample, people, **study.matched_results)


def rates(panel):
    """Rates of an arm before and after, by weight."""
    early, out = panel.periods.to_numpy() < 0, {}
    for arm in (True, False):
        mine = panel.treated == arm
        for when, side in (("before", early), ("after", ~early)):
            counts, time = (x["ae"][mine][:, side].sum(1) for x in (panel.outcomes, panel.exposure))
            w = panel.weights[mine]
            out[arm, when] = 1000 * (w @ counts) / (w @ time)
    return out


def test_both_estimates_and_biases_are_those_by_hand(study, found):
    sample, people, results = found
    row = results["audit"].table.iloc[0]
    window = {k: v for k, v in study.around.items() if k not in ("index_date", "seed")}
    everyone = people.panel(**window, clock="event")
    kept = onto(sample, sample.cohort.panel(**window, clock="event"))
    gaps = []
    for name, panel in (("everyone", everyone), ("matched", kept)):
        r = rates(panel)
        gaps.append(r[True, "before"] - r[False, "before"])
        assert row[name] == pytest.approx(r[True, "after"] - r[False, "after"] - gaps[-1])
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
    slope, _ = within_slope(everyone, "ae")
    assert row["slope"] == round(slope, 2)
    assert row["everyone_bias"] == float(f"{-gaps[0] * (1 - slope):.2g}")
    assert row["matched_bias"] == float(f"{(gaps[0] - gaps[1]) * (1 - slope):.2g}")


def drawn(n=600, seed=0):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(1.3, 1, n)[:, None], (n, 2)).astype(float)
    time = np.column_stack([np.where(rng.random(n) < 0.9, 12.0, 6.0), rng.uniform(3, 12, n)])
    treated = rng.random(n) < 0.3
    return Panel(
        unit=np.arange(n),
        periods=pd.RangeIndex(-1, 1),
        outcomes={"ae": counts},
        exposure={"ae": time},
        start=np.where(treated, 1, 2),
        treated=treated,
        covariates=pd.DataFrame(index=range(n)),
        cluster=np.arange(n),
        weights=np.ones(n),
        arm=np.where(treated, "supported", "control"),
        clock="event",
    )


def test_the_slope_and_its_error_are_those_of_statsmodels():
    p = drawn()
    used = ~p.treated & (p.exposure["ae"][:, 0] == 12)
    rate = (p.outcomes["ae"] / p.exposure["ae"])[used]
    theirs = sm.WLS(rate[:, 1], sm.add_constant(rate[:, 0]), weights=p.exposure["ae"][used, 1])
    theirs = theirs.fit(cov_type="HC0")
    slope, error = within_slope(p, "ae")
    assert slope == pytest.approx(theirs.params[1])
    assert error == pytest.approx(theirs.bse[1])


def test_where_nobody_used_anything_before_there_is_no_slope():
    p = drawn()
    with pytest.raises(DesignError, match="too few controls were seen before"):
        within_slope(replace(p, outcomes={"ae": p.outcomes["ae"] * [0, 1]}), "ae")


def test_people_without_dates_have_no_audit(study):
    frame = pd.DataFrame({"had": [1, 1, 0, 0, 0], "x": [1, 2, 1, 2, 3.0], "ae": [1, 0, 2, 1, 1]})
    cohort = Cohort.from_frame(frame, treated="had", outcomes=["ae"])
    sample = nearest(cohort, on=["x"], distance="mahalanobis")
    effects = impact.interpret.compare(sample, outcome="ae")
    why = not_made(match_audit(sample, cohort, around=study.around, effects=effects))
    assert why == (
        False,
        "the data are a table without dates, in which a person's use before support is not counted",
    )
    assert not on_use(sample)


def not_made(found):
    """Whether an audit was called for, and why there is none."""
    assert list(found) == ["no_audit"]
    method = found["no_audit"].method
    return method["on_use"], method["why"]


def test_people_on_several_days_households_and_no_time_before_have_none_and_say_why(study, tenants, found):
    sample, people, results = found
    asked = {"around": study.around, "effects": results["effects"]}
    again = replace(people, _pid=np.zeros(len(people), np.int64))
    assert "on several days" in not_made(match_audit(sample, again, **asked))[1]
    homes = replace(people, people=people.people.assign(members=1))
    assert not_made(match_audit(sample, homes, **asked)) == (
        True,
        "households are compared, whose use is not counted month by month before their start",
    )
    short = {**asked, "around": {**study.around, "months_before": 0}}
    assert "both before and after" in not_made(match_audit(sample, people, **short))[1]


def test_it_is_withheld_where_few_lie_behind(found):
    _, _, results = found
    audit = results["audit"]
    few = replace(audit, counts=audit.counts.assign(events=5))
    shown = release({"audit": few}, "hes")["audit"]
    columns = [c for c in shown.table if c.startswith(("everyone", "matched", "slope"))]
    assert len(columns) == 15
    assert shown.table[columns].isna().all(axis=None)


def test_a_trend_that_was_matched_on_is_marked(study, tenants, found):
    assert found[2]["audit"].method["notes"] == [NO_EVIDENCE]
    asked = study.model_copy(update={"did": impact.study.sections.Did(estimator="etwfe", matched=True)})
    assert NO_EVIDENCE in build_panel(tenants, **asked.panel_plan).notes
    by_age = asked.model_copy(update={"matching": study.matching.model_copy(update={"on": ("age",)})})
    assert NO_EVIDENCE not in build_panel(tenants, **by_age.panel_plan).notes
