"""One draw of a world, every method on it, and beside each estimate the truth it targets.

People, contacts and panels go from the generator straight to arrays; the test that files read by
``impact.read_cohort`` give the same panel stands beside.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd

from impact.data import Cohort, synthetic, worlds
from impact.data.panel import Panel
from impact.did import aggregate, callaway_santanna, etwfe, imputation, summarise, two_by_two
from impact.match import nearest, rate_ratio

OUTCOMES = ["emergency_admission", "ae", "outpatient", "gp", "bed_days"]
BOUNDS = (np.datetime64("2022-07", "M") + np.arange(37)).astype("datetime64[D]")
CALENDAR = (BOUNDS - worlds.FIRST).astype(np.int64)


@dataclass(frozen=True)
class Draw:
    """A population, its contacts, the outcomes to look at, and whether errors are clustered by building."""

    drawn: worlds.Population
    events: pd.DataFrame
    outcomes: list
    by_building: bool = False


def draw(world, seed, *, people=1200, buildings=40, outcomes=OUTCOMES, by_building=False):
    rng = np.random.default_rng(seed)
    drawn = worlds.population(rng, people=people, world=world, buildings=buildings)
    return Draw(drawn, synthetic.contacts(rng, drawn, np.arange(people)), list(outcomes), by_building)


def last_day(outcome):
    services = worlds.STAYS if outcome == "bed_days" else [outcome]
    return min(int((worlds.SERVICES[s].last - worlds.FIRST).astype(int)) for s in services)


def counted(drawn, events, edges, people, outcomes):
    """Counts and months at risk, (people, windows), for windows between a person's consecutive edges."""
    position = np.full(len(drawn.start), -1)
    position[people] = np.arange(len(people))
    flat = (np.arange(len(people))[:, None] * 10_000 + edges).ravel()
    steps = edges.shape[1]
    values, months = {}, {}
    for outcome in outcomes:
        services = worlds.STAYS if outcome == "bed_days" else [outcome]
        mine = events[events["service"].isin([worlds.OUTCOMES.index(s) for s in services])]
        who, day = mine["person"].to_numpy(), mine["day"].to_numpy()
        if outcome == "bed_days":
            nights = mine["nights"].to_numpy()
            within = np.arange(nights.sum()) - np.repeat(np.cumsum(nights) - nights, nights)
            who, day = np.unique([np.repeat(who, nights), np.repeat(day, nights) + within], axis=1)
        leave = np.minimum(drawn.leave, last_day(outcome) + 1)
        kept = (position[who] >= 0) & (day >= drawn.enter[who]) & (day < leave[who])
        who, day = position[who[kept]], day[kept]
        at = np.searchsorted(flat, who * 10_000 + day, side="right") - 1 - who * steps
        kept = (at >= 0) & (at < steps - 1)
        cells = np.bincount(who[kept] * (steps - 1) + at[kept], minlength=len(people) * (steps - 1))
        values[outcome] = cells.reshape(len(people), steps - 1).astype(float)
        held = np.clip(edges, drawn.enter[people, None], np.maximum(leave, drawn.enter)[people, None])
        months[outcome] = np.diff(held, axis=1) / worlds.DAYS_PER_MONTH
    return values, months


def panel(draw, people, edges, periods, start, clock):
    drawn, cluster = draw.drawn, people
    if draw.by_building:
        cluster = drawn.people["building_id"].cat.codes.to_numpy()[people]
    values, months = counted(drawn, draw.events, edges, people, draw.outcomes)
    supported = drawn.supported[people]
    return Panel(
        unit=people,
        periods=periods,
        outcomes=values,
        exposure=months,
        start=start,
        treated=supported,
        covariates=drawn.people.loc[people, ["ltc_n"]].reset_index(drop=True),
        cluster=cluster,
        weights=np.ones(len(people)),
        arm=np.where(supported, "supported", "control"),
        clock=clock,
    )


def calendar(draw):
    """The calendar-month panel of everyone who may be studied."""
    drawn = draw.drawn
    people = np.flatnonzero(drawn.studied)
    start = np.searchsorted(CALENDAR, np.minimum(drawn.start[people], worlds.DAYS), side="right") - 1
    edges = np.tile(CALENDAR, (len(people), 1))
    return panel(draw, people, edges, pd.Index(BOUNDS[:-1]), start, "calendar")


def index_days(rng, drawn):
    """Each person's index day: the start, or for controls a start drawn once, if they were there that day.

    Who was not there is left out, as people who left before their support began are among the supported.
    To draw again until a day fits would keep more of the early leavers among the controls.
    """
    tried = rng.choice(drawn.start[drawn.supported], size=len(drawn.start))
    there = (tried >= drawn.enter) & (tried < drawn.leave)
    return np.where(drawn.supported, drawn.start, np.where(there, tried, worlds.NEVER))


def event(draw, index, months):
    """Panel by months from the index day, for the months named."""
    drawn = draw.drawn
    people = np.flatnonzero(drawn.studied & (index < worlds.NEVER))
    date = worlds.FIRST + index[people]
    month = date.astype("datetime64[M]")
    into = date - month.astype("datetime64[D]")
    span = np.arange(min(months), max(months) + 2)
    begins = (month[:, None] + span).astype("datetime64[D]") + into[:, None]
    # A day that a month does not have is the first of the next.
    begins = np.minimum(begins, (month[:, None] + span + 1).astype("datetime64[D]"))
    edges = (begins - worlds.FIRST).astype(np.int64)
    start = np.where(drawn.supported[people], list(months).index(0), len(months))
    whole = panel(draw, people, edges, pd.Index(span[:-1]), start, "event")
    kept = np.isin(span[:-1], months)
    return replace(
        whole,
        periods=pd.Index(np.array(months)),
        outcomes={k: v[:, kept] for k, v in whole.outcomes.items()},
        exposure={k: v[:, kept] for k, v in whole.exposure.items()},
    )


def expected_by_month(drawn, shown, outcome):
    """Expected events with and without support of the panel's people by calendar month: two (n, T) arrays."""
    pairs = [
        worlds.expected(drawn, outcome=outcome, begin=int(a), end=int(b))[:2] for a, b in pairwise(CALENDAR)
    ]
    return [np.column_stack([pair[k] for pair in pairs])[shown.unit] for k in (0, 1)]


def average_over_people(drawn, shown, outcome, anticipation):
    """The truth that R's ``aggte`` targets: each cell's mean difference in rates, weighted by group size.

    In each cell the people at risk in both periods, weighted by time at risk in the base period.
    """
    exposure = shown.exposure[outcome]
    with_support, without = expected_by_month(drawn, shown, outcome)
    total, weight = 0.0, 0.0
    for g in np.unique(shown.start[shown.treated]):
        members = shown.start == g
        size = (members & (exposure > 0).any(1)).sum()
        base = exposure[:, g - 1 - anticipation]
        for t in range(g, len(shown.periods)):
            rows = members & (base > 0) & (exposure[:, t] > 0)
            if rows.sum() > 1:
                rate = 1000 * (with_support - without)[rows, t] / exposure[rows, t]
                total += size * np.average(rate, weights=base[rows])
                weight += size
    return total / weight


def quiet(world, seed, outcomes):
    """A calendar panel that holds expected events in place of counts: no noise but who the people are.

    Linear estimators are linear in the outcomes, so theirs is the mean of their estimates for these people.
    """
    one = draw(world, seed, outcomes=outcomes)
    shown = calendar(one)
    means = {o: expected_by_month(one.drawn, shown, o)[0] for o in outcomes}
    return one.drawn, replace(shown, outcomes=means)


def targets(drawn, outcomes, window, who=None):
    """The truth for each outcome over a window and a set of supported people.

    On the three scales, and the rate there would have been without support.
    """
    who = drawn.supported if who is None else who
    start = np.minimum(drawn.start, worlds.DAYS)
    month = (worlds.FIRST + start).astype("datetime64[M]")
    first, year = ((m.astype("datetime64[D]") - worlds.FIRST).astype(np.int64) for m in (month, month + 12))
    begin, end = (first, worlds.DAYS) if window == "calendar" else (start, year + start - first)
    out = {}
    for o in outcomes:
        each = worlds.expected(drawn, outcome=o, begin=begin, end=end)
        observed, without, months = (v[who].sum() for v in each)
        out[o, "log ratio"] = np.log(observed / without)
        out[o, "difference"] = 1000 * (observed - without) / months
        out[o, "events avoided"] = without - observed
        out[o, "without"] = 1000 * without / months
    return out


def matched(drawn, shown):
    """Nearest neighbours as in the demonstration study, and who of the supported found one.

    One row a person: covariates and use in the 12 months before the index day, follow-up in the 12 after.
    """
    before, names = np.asarray(shown.periods) < 0, list(shown.outcomes)
    rows = drawn.people.loc[shown.unit, ["person_id", "sex", "imd_decile", "ltc_n", "birth_month"]]
    frame = rows.assign(
        treated=shown.treated,
        sex=rows["sex"].astype(object).replace("unknown", "f"),
        age=2024 - rows["birth_month"].str[:4].astype(int),
        imd_fifth=(rows["imd_decile"] + 1) // 2,
        **{f"prior_{o}": shown.outcomes[o][:, before].sum(1) for o in names},
        **{o: shown.outcomes[o][:, ~before].sum(1) for o in names},
        **{f"months_{o}": shown.exposure[o][:, ~before].sum(1) for o in names},
    ).reset_index(drop=True)
    cohorts = {
        o: Cohort.from_frame(
            frame, treated="treated", person_id="person_id", outcomes=[o], exposure=f"months_{o}"
        )
        for o in names
    }
    on = ["age", "sex", "ltc_n", *(f"prior_{o}" for o in names)]
    pairs = nearest(cohorts[names[0]], on=on, exact=["imd_fifth"], caliper=0.2)
    found = pairs.table.loc[pairs.table["weight"] > 0, "person_id"]
    inside = drawn.people["person_id"].isin(found).to_numpy() & drawn.supported
    as_matched, adjusted = (
        pd.concat([rate_ratio(pairs, outcome=o, cohort=cohorts[o], adjust=adjust).table for o in names])
        for adjust in ((), on)
    )
    return as_matched, adjusted, inside


def before_after(shown):
    """What the supported's own change would claim, with the Poisson error of its two counts."""
    before, rows = np.asarray(shown.periods) < 0, []
    for o in shown.outcomes:
        y, time = shown.outcomes[o][shown.treated], shown.exposure[o][shown.treated]
        counts, months = (np.array([v[:, p].sum() for p in (~before, before)]) for v in (y, time))
        estimate, error = np.log(counts[0] / counts[1] * months[1] / months[0]), np.sqrt((1 / counts).sum())
        rows.append((o, "log ratio", estimate, error, estimate - 1.96 * error, estimate + 1.96 * error))
    return pd.DataFrame(rows, columns=["outcome", "scale", "estimate", "std_error", "conf_low", "conf_high"])


def replicate(world, seed, **how):
    """All methods on one draw: one row an estimate, with its target."""
    one = draw(world, seed, **how)
    drawn, names, rows = one.drawn, one.outcomes, []
    index = index_days(np.random.default_rng(seed), drawn)
    around, months = event(one, index, range(-12, 12)), calendar(one)
    year, whole = targets(drawn, names, "year"), targets(drawn, names, "calendar")

    def add(method, table, truth):
        target = [truth.get(key, np.nan) for key in zip(table["outcome"], table["scale"], strict=True)]
        without = [whole[o, "without"] for o in table["outcome"]]
        rows.append(table.assign(method=method, target=target, without=without))

    for wait in (0, 3) if world == "crisis" else (0,):
        effects = callaway_santanna(months, outcome=names, anticipation=wait)
        average = {(o, "difference"): average_over_people(drawn, months, o, wait) for o in names}
        add(f"callaway_santanna(anticipation={wait}), aggregate", aggregate(effects).table, average)
        add(f"callaway_santanna(anticipation={wait}), summarise", summarise(effects).table, whole)
        for estimator in (etwfe, imputation):
            table = summarise(estimator(months, outcome=names, anticipation=wait)).table
            add(f"{estimator.__name__}(anticipation={wait}), summarise", table, whole)
    windows = {"12 months before": around}
    if world == "crisis":
        windows["months 4 to 15 before"] = event(one, index, [*range(-15, -3), *range(12)])
    for name, shown in windows.items():
        for by in ("arm", "person"):
            table = two_by_two(shown, outcome=names, effects=by).table
            add(f"two_by_two(effects={by!r}), {name}", table, year)
    as_matched, adjusted, inside = matched(drawn, around)
    of_matched = targets(drawn, names, "year", inside)
    add("nearest, rate_ratio", as_matched, of_matched)
    add("nearest, rate_ratio(adjust=...)", adjusted, of_matched)
    add("before and after, no controls", before_after(around), year)
    return pd.concat(rows, ignore_index=True).assign(world=world, seed=seed)


def replicates(world, draws, *, workers=1, **how):
    """Replicates of the seeds 0, 1, ...; the seed of a draw does not depend on who draws it."""
    one = partial(replicate, world, **how)
    if workers == 1:
        return pd.concat(map(one, range(draws)), ignore_index=True)
    with ProcessPoolExecutor(workers) as pool:
        return pd.concat(pool.map(one, range(draws), chunksize=10), ignore_index=True)


def quiet_biases(world, draws, outcomes):
    """What is left of the linear estimators' bias without the noise of counts: one row an estimate."""
    rows = []
    for seed in range(draws):
        drawn, shown = quiet(world, seed, outcomes)
        whole = targets(drawn, outcomes, "calendar")
        for wait in (0, 3) if world == "crisis" else (0,):
            effects = callaway_santanna(shown, outcome=outcomes, anticipation=wait)
            time = summarise(effects).table.query("scale == 'difference'").set_index("outcome")["estimate"]
            people = aggregate(effects).table.set_index("outcome")["estimate"]
            for o in outcomes:
                own = average_over_people(drawn, shown, o, wait)
                where = {"world": world, "anticipation": wait, "outcome": o}
                where |= {
                    "without": whole[o, "without"],
                    "over_people": own,
                    "over_time": whole[o, "difference"],
                }
                rows.append({**where, "average": "aggregate", "bias": people[o] - own})
                rows.append({**where, "average": "summarise", "bias": time[o] - whole[o, "difference"]})
    return pd.DataFrame(rows)


def summary(results):
    """Bias and coverage of each method, with the Monte Carlo error of each."""
    error = results["estimate"] - results["target"]
    inside = (results["conf_low"] <= results["target"]) & (results["target"] <= results["conf_high"])
    none = (results["conf_low"] > 0) | (results["conf_high"] < 0)
    frame = results.assign(error=error, inside=inside.astype(float), none=none.astype(float))
    keys = ["world", "method", "outcome", "scale"]
    out = frame.groupby(keys, sort=False).agg(
        target=("target", "mean"),
        without=("without", "mean"),
        bias=("error", "mean"),
        sd=("error", "std"),
        se=("std_error", "mean"),
        coverage=("inside", "mean"),
        power=("none", "mean"),
        draws=("error", "count"),
    )
    out["bias_error"] = out["sd"] / np.sqrt(out["draws"])
    # The error under the level that is claimed: at a coverage of 1 the estimated one would be 0.
    out["coverage_error"] = np.sqrt(0.95 * 0.05 / out["draws"])
    return out.reset_index()
