"""What is measured: one function a package and task, run in a process of its own.

Each takes the people and a list to which it adds the seconds it wants counted, and returns its answers:
``{name: (estimate, standard error)}``. Imports and making the data are not counted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from measure import Answers, Task, main, timed
from people import COVARIATES, People

LONG = {"outcome": "visits", "unit": "id", "time": "month", "first_treat": "start"}
DRAWS = 999


# impact ---------------------------------------------------------------------------------------------------


def ours_callaway(control: str, *, long: bool = False, every: bool = False) -> Task:
    def task(people: People, spent: list[float]) -> Answers:
        from impact import did
        from impact.data.panel import Panel

        given = people.frame() if long else people.panel()
        if long:
            del people
        with timed(spent):
            panel = given
            if long:
                panel = Panel.from_long(
                    given,
                    unit="id",
                    period="month",
                    outcomes=["visits"],
                    first_treated="start",
                    covariates=COVARIATES,
                )
            cells = did.callaway_santanna(panel, outcome="visits", covariates=COVARIATES, control=control)
            simple, event = did.aggregate(cells).table, did.aggregate(cells, by="event_time").table
        return by_name(simple, event) | (by_cell(cells.table) if every else {})

    return task


def ours_bands(*, whole: bool) -> Task:
    def task(people: People, spent: list[float]) -> Answers:
        from impact import did

        panel, before = people.panel(), list[float]()
        with timed(before):
            cells = did.callaway_santanna(panel, outcome="visits", covariates=COVARIATES)
            event = did.aggregate(cells, by="event_time")
        with timed(spent):
            table = did.bands(event, draws=DRAWS, seed=1).table
        spent += before if whole else []
        # What the bootstrap adds to the analytic interval is the width of the band, in standard errors.
        widths = (table["band_high"] - table["estimate"]) / table["std_error"]
        return {"critical value": (float(widths.iloc[0]), float("nan"))}

    return task


def ours_staggered(name: str, **arguments: Any) -> Task:
    def task(people: People, spent: list[float]) -> Answers:
        from impact import did

        panel = people.panel()
        with timed(spent):
            cells = getattr(did, name)(panel, outcome="visits", **arguments)
            simple, event = did.aggregate(cells).table, did.aggregate(cells, by="event_time").table
        return by_name(simple, event)

    return task


def ours_poisson(people: People, spent: list[float]) -> Answers:
    from impact import did

    panel = people.panel()
    with timed(spent):
        table = did.twfe(panel, outcome="visits", family="poisson", staggered="allow").table
    row = table[table["scale"] == "log ratio"].iloc[0]
    return {"log ratio": (row["estimate"], row["std_error"])}


def ours_reading(people: People, spent: list[float]) -> Answers:
    from impact.data.panel import Panel

    frame = people.frame()
    with timed(spent):
        Panel.from_long(
            frame,
            unit="id",
            period="month",
            outcomes=["visits"],
            first_treated="start",
            covariates=COVARIATES,
        )
    return {}


def by_name(simple: Any, event: Any) -> Answers:
    """Name the answers so that any package's can be put beside them."""
    answers = {"overall": (simple["estimate"].iloc[0], simple["std_error"].iloc[0])}
    answers |= {f"event time {e.event_time}": (e.estimate, e.std_error) for e in event.itertuples()}
    return answers


def by_cell(table: Any) -> Answers:
    return {f"ATT({c.group}, {c.period})": (c.estimate, c.std_error) for c in table.itertuples()}


def plain_cells(people: People, spent: list[float]) -> Answers:
    """Compute a few ATT(g, t) by their formula (Sant'Anna and Zhao 2020), without any shortcut."""
    import statsmodels.api as sm

    answers: Answers = {}
    x = np.column_stack([np.ones(len(people.start)), people.x])
    with timed(spent):
        for g, t in ((7, 7), (7, 24), (12, 3), (18, 20)):
            at_risk = (people.time[:, [t - 1, g - 2]] > 0).all(1)
            clean = (people.start == 0) | (people.start > max(t, g - 1))
            i = np.flatnonzero(at_risk & (clean | (people.start == g)))
            d, w = (people.start[i] == g).astype(float), (people.weights * people.time[:, g - 2])[i]
            then, before = (people.visits[i, m] / people.time[i, m] for m in (t - 1, g - 2))
            left = then - before
            p = sm.GLM(d, x[i], family=sm.families.Binomial(), freq_weights=w).fit(tol=1e-12).fittedvalues
            left -= x[i] @ sm.WLS(left[d == 0], x[i][d == 0], weights=w[d == 0]).fit().params
            att = np.average(left, weights=w * d) - np.average(left, weights=w * (1 - d) * p / (1 - p))
            answers[f"ATT({g}, {t})"] = (float(att), float("nan"))
    return answers


# The others -----------------------------------------------------------------------------------------------


def diff_diff_callaway(control: str) -> Task:
    def task(people: People, spent: list[float]) -> Answers:
        from diff_diff import CallawaySantAnna

        frame = people.frame()
        del people
        with timed(spent):
            model = CallawaySantAnna(control_group=control, base_period="universal")
            result = model.fit(frame, covariates=COVARIATES, **LONG)
            event = result.aggregate("event_study").to_dataframe()
        return diff_diff_answers(result, event)

    return task


def diff_diff_bands(people: People, spent: list[float]) -> Answers:
    from diff_diff import CallawaySantAnna

    frame = people.frame()
    del people
    with timed(spent):
        model = CallawaySantAnna(
            control_group="not_yet_treated", base_period="universal", n_bootstrap=DRAWS, seed=1
        )
        result = model.fit(frame, covariates=COVARIATES, **LONG)
        event = result.aggregate("event_study")
    return {"critical value": (float(event.cband_crit_value), float("nan"))}


def diff_diff_staggered(name: str, **arguments: Any) -> Task:
    def task(people: People, spent: list[float]) -> Answers:
        import diff_diff

        frame = people.frame()
        del people
        with timed(spent):
            result = getattr(diff_diff, name)(**arguments).fit(frame, **LONG)
            if name == "SunAbraham":
                effects = result.event_study_effects
                return {f"event time {e}": (v["effect"], v["se"]) for e, v in effects.items()}
            event = result.aggregate("event_study").to_dataframe()
        return diff_diff_answers(result, event)

    return task


def diff_diff_answers(result: Any, event: Any) -> Answers:
    answers = {"overall": (result.overall_att, result.overall_se)}
    time = "event_time" if "event_time" in event else "relative_period"
    answers |= {
        f"event time {e}": (a, s) for e, a, s in zip(event[time], event["att"], event["se"], strict=True)
    }
    return answers


def csdid_callaway(control: str) -> Task:
    def task(people: People, spent: list[float]) -> Answers:
        from csdid.att_gt import ATTgt

        frame = people.frame()
        del people
        with timed(spent):
            model = ATTgt(
                yname="visits",
                tname="month",
                idname="id",
                gname="start",
                data=frame,
                control_group=control,
                xformla="visits ~ " + " + ".join(COVARIATES),
            ).fit(est_method="dr", base_period="universal", bstrap=False)
            simple = model.aggte(typec="simple", bstrap=False, cband=False).atte
            event = model.aggte(typec="dynamic", bstrap=False, cband=False).atte
        answers = {"overall": (float(simple["overall_att"]), float(np.squeeze(simple["overall_se"])))}
        columns = (np.ravel(np.asarray(event[name], float)) for name in ("egt", "att_egt", "se_egt"))
        return answers | {f"event time {int(e)}": (a, s) for e, a, s in zip(*columns, strict=True)}

    return task


def pyfixest_saturated(people: People, spent: list[float]) -> Answers:
    import pyfixest

    frame = people.frame()
    del people
    with timed(spent):
        fit = pyfixest.event_study(
            frame, "visits", "id", "month", "start", estimator="saturated", cluster="id"
        )
        event = fit.aggregate()
    columns = (event.index, event["Estimate"], event["Std. Error"])
    return {f"event time {int(e)}": (float(a), float(s)) for e, a, s in zip(*columns, strict=True)}


def pyfixest_poisson(people: People, spent: list[float]) -> Answers:
    import pyfixest

    frame = people.frame()
    frame["support"] = ((frame["start"] > 0) & (frame["month"] >= frame["start"])).astype(float)
    del people
    with timed(spent):
        fit = pyfixest.fepois("visits ~ support | id + month", frame, vcov={"CRV1": "id"}, offset="log_time")
        return {"log ratio": (float(fit.coef()["support"]), float(fit.se()["support"]))}


TASKS: dict[str, Task] = {
    "impact: never treated": ours_callaway("never_treated"),
    "impact: not yet treated": ours_callaway("not_yet_treated"),
    "impact: every cell": ours_callaway("not_yet_treated", every=True),
    "impact: from the long table": ours_callaway("never_treated", long=True),
    "impact: reading": ours_reading,
    "impact: bands": ours_bands(whole=False),
    "impact: not yet treated, bands": ours_bands(whole=True),
    "impact: sun_abraham": ours_staggered("sun_abraham"),
    "impact: etwfe": ours_staggered("etwfe", family="linear"),
    "impact: imputation": ours_staggered("imputation"),
    "impact: poisson": ours_poisson,
    "the formula, cell by cell": plain_cells,
    "diff-diff: never treated": diff_diff_callaway("never_treated"),
    "diff-diff: not yet treated": diff_diff_callaway("not_yet_treated"),
    "diff-diff: not yet treated, bands": diff_diff_bands,
    "diff-diff: SunAbraham": diff_diff_staggered("SunAbraham"),
    "diff-diff: WooldridgeDiD": diff_diff_staggered("WooldridgeDiD", method="ols"),
    "diff-diff: ImputationDiD": diff_diff_staggered("ImputationDiD"),
    "csdid: never treated": csdid_callaway("nevertreated"),
    "csdid: not yet treated": csdid_callaway("notyettreated"),
    "pyfixest: saturated": pyfixest_saturated,
    "pyfixest: fepois": pyfixest_poisson,
}


if __name__ == "__main__":
    main(TASKS, People.load)
