"""The demonstration's report, attacked: what each count in it is of, told from the people themselves.

Nothing here asks the package which counts are the same or add up. Who a count is of is worked out again from
the person-level data; each kind of people is one unknown whole number, and a reader who knows each shown
count to the last digit must still find room for every small number in each count that is withheld.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import impact
from impact.data.survey import waves
from impact.disclosure import Policy
from impact.disclosure.policies import policy as find_policy
from impact.interpret.arms import KIND
from impact.interpret.survey_answers import TOGETHER
from impact.study import Study

from .reader import ALL, Count, Figure, Kinds, Mask

Row = Mapping[str, Any]
Sent = Mapping[tuple[str, str], Mapping[str, Any]]
Made = Iterator[tuple[str, str, Mask]]
ARM = {"treated": "supported", "supported": "supported", "control": "control"}
NEAR, FAR = "every near control was taken", "no control within the caliper"
LEFT_OUT = (NEAR, FAR, "no control with the same exact values", "not needed")
STUDIED = ("matched", *LEFT_OUT)
TENANTS = (*STUDIED, "died before the index date", "moved before the index date")
SAMPLE = {"before": STUDIED, "after": ("matched",), "left out": LEFT_OUT}
RULES = ("no consent", "opted out", "not linked", "no start date")
LOSSES = {"died": "died", "moved_out": "moved_out", "tenancy_ended": "tenancy_end"}
# The edges of every bin of scores are among those of bins of this width.
BIN = 0.005


@dataclass
class World:
    """The people of a study, the events of each outcome, and what the method says of them."""

    study: Study
    people: Kinds
    events: dict[str, Kinds] = field(default_factory=dict)
    facts: list[Figure] = field(default_factory=list)


def world(study: Study, sent: Sent) -> World:
    """Count the people of a study by everything its report shows of them, and their events."""
    data = impact.read(**study.source)
    everyone = _tenants(study, data)
    sample = impact.interpret.matched(data, baseline=study.baseline, matching=study.matching_plan)
    everyone.loc[sample.cohort.person_id, "rule"] = _rules(sample)
    found = World(study, Kinds(everyone[["arm", "rule"]], spare=_named(sent)))
    _describe(found, everyone, sample, data)
    for at, name in enumerate(RULES):
        # Who was left out by an earlier rule may break this one as well; who was kept does not.
        found.people.cross(name, everyone[name], rule=RULES[:at])
    found.people.cross("no contacts", everyone["group"] + " " + everyone["no contacts"])
    for name in LOSSES:
        found.people.cross(name, everyone[name], rule=TENANTS)
    _follow(found, everyone, data)
    _interviewed(found, everyone, data)
    found.facts += _method(found)
    return found


def _named(sent: Sent) -> pd.DataFrame:
    """Where people could be by the rules that a report names, though a rule may have left nobody out."""
    rows = [
        (row["arm"], row["rule"])
        for (_, name), item in sent.items()
        if name == "matched"
        for row in item["table"]
    ]
    rules = [row["rule"] for (_, name), item in sent.items() if name == "flow" for row in item["table"]]
    rows += [(arm, rule) for rule in rules if rule not in ("", *ARM) for arm in ("", *ARM)]
    named = pd.DataFrame(rows, columns=["arm", "rule"]).drop_duplicates()
    return named[(named["arm"] == "") == (named["rule"] == "arm not listed")].replace({"arm": ARM})


def _tenants(study: Study, data: Any) -> pd.DataFrame:
    """Everyone in the file: arm, the first rule that leaves them out, and what each rule says of them."""
    file = pd.read_csv(study.files["people"][0], dtype={"person_id": str}).set_index("person_id")
    listed = dict.fromkeys(study.design.treated, "supported") | dict.fromkeys(study.design.control, "control")
    frame = pd.DataFrame({"arm": file["arm"].map(listed).fillna(""), "rule": "", "group": file["arm"]})
    said = {
        "arm not listed": frame["arm"] == "",
        "no consent": file["consent"].eq(False),
        "opted out": file["opt_out"].eq(True),
        "not linked": file["linked"].eq(False),
        "no start date": (frame["arm"] == "supported") & file["start_date"].isna(),
    }
    for name, true in said.items():
        frame[name] = np.where(true, "yes", "no")
        frame.loc[(frame["rule"] == "") & true, "rule"] = name
    known = pd.read_csv(study.files["contacts"][0], dtype=str)["person_id"]
    frame["no contacts"] = np.where(~frame.index.isin(known) & file["linked"].ne(False), "yes", "no")
    people = data.people.set_index("person_id")
    for name, column in LOSSES.items():
        frame[name] = (people[column] <= people["observed_to"]).map({True: "yes", False: "no"})
    # Of those who turn out to have no index date, who died and who moved; some did both.
    gone = np.where(file["died"].notna(), *TENANTS[-2:])
    frame["rule"] = frame["rule"].where(frame["rule"] != "", gone)
    return frame


def _rules(sample: Any) -> NDArray[np.object_]:
    """Why each person of a sample was matched or left out."""
    used, treated = (sample.table["weight"] > 0).to_numpy(), np.asarray(sample.cohort.treated, bool)
    exact = sample.cohort.table[list(sample.method["exact"])].astype(str).agg(" ".join, axis=1).to_numpy()
    score, width = sample.table["distance"].to_numpy(float), sample.method["caliper_width"]
    near = abs(score[:, None] - score[~treated]) <= width
    near &= exact[:, None] == exact[~treated]
    left_out = np.where(treated, np.where(near.any(1), NEAR, FAR), "not needed")
    return np.where(used, "matched", left_out).astype(object)


def _levels(column: pd.Series) -> pd.Series:
    numbers = pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all()
    return (column.astype("Int64") if numbers else column).astype("string").fillna("missing")


def _describe(found: World, everyone: pd.DataFrame, sample: Any, data: Any) -> None:
    """Cross people with what they were described and matched by, and with the groups that are compared."""
    study, kinds, table = found.study, found.people, sample.cohort.table.set_index("person_id")
    names = dict.fromkeys([*study.characteristics, *sample.method["covariates"], *sample.method["exact"]])
    for name in names:
        column = table[name]
        number = pd.api.types.is_numeric_dtype(column)
        if name in study.equity.columns:
            # Effects of groups take in who has no index date.
            own = _levels(data.people.set_index("person_id")[name])
            kinds.cross(name, own.reindex(everyone.index), rule=TENANTS)
        elif not number or (column.nunique() <= 5 and not name.startswith("prior_")):
            kinds.cross(name, _levels(column).reindex(everyone.index), rule=STUDIED)
    if study.arms:
        kinds.cross(KIND, everyone["group"], rule=TENANTS)
    score = impact.match.propensity(sample.cohort, on=study.matching.on, link="penalised")
    fine = pd.Series(np.floor(score.to_numpy() / BIN + 1e-9).astype(int).astype(str), table.index)
    kinds.cross("score", fine.reindex(everyone.index), rule=STUDIED)


def _method(found: World) -> Iterator[Figure]:
    """What a page says of the method: everyone matched has one partner, of the same exact values."""
    chosen, kinds = found.study.matching, found.people
    assert chosen is not None
    assert (chosen.method, chosen.ratio) == ("nearest", 1)
    levels = [(ALL, ALL), *((name, level) for name in chosen.exact for level in kinds.levels(name))]
    for name, level in levels:
        one, other = (kinds.of(name, level, arm=arm, rule="matched") for arm in ("supported", "control"))
        yield Figure(f"pairs of equal {name} {level}", one - 1.0 * other, 0, 0)


def _follow(found: World, everyone: pd.DataFrame, data: Any) -> None:
    """Count events by month from the start, and cross people with the months in which they are seen."""
    study = found.study
    around = data.around_start(**study.around)
    place = everyone.loc[around.unit, ["arm", "rule"]]
    months = np.asarray(around.periods)
    when = np.tile(months, (around.n, 1))
    at = np.repeat(np.arange(around.n), len(months))
    for name in study.outcomes:
        events = found.events[name] = Kinds(place.iloc[at], np.asarray(around.outcomes[name]).ravel())
        events.cross("month", when.ravel())
        fifth = _levels(around.covariates[study.equity.by]).to_numpy()[at]
        events.cross(study.equity.by, fifth + np.where(when.ravel() < 0, " before", " after"))
        found.people.cross(f"seen {name}", _seen(around, name, when).reindex(everyone.index), rule=STUDIED)
    panel = data.panel(**study.window)
    when = np.arange(len(panel.periods)) - panel.start[:, None]
    for name in study.outcomes:
        found.people.cross(f"calendar {name}", _seen(panel, name, when).reindex(everyone.index), rule=STUDIED)


def _interviewed(found: World, everyone: pd.DataFrame, data: Any) -> None:
    """Cross people with whether they answered before and after, said yes, and how they were asked."""
    asked = found.study.survey
    if asked is None:
        return
    for wave in asked.after:
        names = list(asked.outcomes)
        panel = waves(data, outcomes=names, before=asked.before, after=wave)
        times = {name: np.asarray(panel.exposure[name]) > 0 for name in names}
        every = _state(np.any(list(times.values()), axis=0))
        stage = _of(every, panel, everyone)
        found.people.cross(f"stage {wave}", stage, rule=TENANTS)
        if wave == asked.after[0]:
            again = np.asarray(stage) == "again"
        for name in names:
            answers = panel.outcomes[name].astype(int).astype(str)
            state = _state(times[name])
            if name == "in_work":
                state = [f"{s} {b}{a}" for s, (b, a) in zip(state, answers, strict=True)]
            found.people.cross(f"{name} {wave}", _of(state, panel, everyone), rule=TENANTS)
    held = pd.read_csv(found.study.files["survey"][0], dtype=str)
    for when, wave in (("before", asked.before), ("after", asked.after[0])):
        mode = held[held["wave"] == wave].set_index("person_id")["mode"]
        mode = mode.reindex(everyone.index).fillna("not said").where(again, "")
        found.people.cross(f"mode {when}", mode, rule=TENANTS)


def _state(answered: NDArray[np.bool_]) -> list[str]:
    return ["again" if before and after else "lost" if before else "none" for before, after in answered]


def _of(state: Sequence[str], panel: Any, everyone: pd.DataFrame) -> pd.Series:
    return pd.Series(state, panel.unit).reindex(everyone.index).fillna("none")


def _seen(panel: Any, name: str, months: NDArray[np.int64]) -> pd.Series:
    """From which month to which each person of a panel is at risk."""
    at_risk = np.asarray(panel.exposure[name]) > 0
    spans = [_span(own[seen]) for own, seen in zip(months, at_risk, strict=True)]
    return pd.Series(spans, panel.unit)


def _span(months: NDArray[np.int64]) -> str:
    return f"{min(months)}:{max(months)}" if len(months) else "never"


def _within(levels: Sequence[str], first: int, last: int) -> list[str]:
    """The spans of months that reach into this one."""
    ends = [tuple(map(int, x.split(":"))) for x in levels if x != "never"]
    return [f"{a}:{b}" for a, b in ends if a <= last and b >= first]


def read(share: Path) -> Sent:
    """What is sent of each result, by page and name."""
    results = json.loads((share / "results.json").read_text(encoding="utf-8"))["results"]
    return {(page, item["name"]): item for page, items in results.items() for item in items}


def counts(found: World, sent: Sent) -> dict[str, list[Count]]:
    """Every count that is sent or withheld: of people, under that name, and of the events of each outcome."""
    out: dict[str, list[Count]] = {"people": [], **{name: [] for name in found.events}}
    for (page, name), item in sent.items():
        make = _TABLES.get(name, _TABLES.get(item["kind"]))
        for i, row in enumerate(item["table"]):
            for column, kinds, of in make(found, page, name, row) if make else ():
                out[kinds].append(Count(f"{page} {name} {i} {column}", of, row.get(column)))
        for i, row in enumerate(item.get("counts", ()) if item["kind"] == "balance" else ()):
            of = found.people.of(arm=ARM[row["arm"]], rule=SAMPLE[row["sample"]])
            out["people"].append(Count(f"{page} {name} {i} counts", of, row["persons"]))
    return out


def figures(found: World, sent: Sent) -> Iterator[Figure]:
    """Means of numbers that are also counted by level: so many of each make such a mean, as it is printed."""
    rule = find_policy(found.study.disclosure)
    for (page, name), item in sent.items():
        for row in item["table"] if item["kind"] == "balance" else ():
            levels = found.people.levels(row["covariate"])
            shown = [arm for arm in ("treated", "control") if row[f"mean_{arm}"] is not None]
            for arm in shown if levels and not row.get("level") else ():
                within = {"arm": ARM[arm], "rule": SAMPLE[row["sample"]]}
                parts = [(float(x), found.people.of(row["covariate"], x, **within)) for x in levels]
                size = sum(int(found.people.n[of].sum()) for _, of in parts)
                mean, half = row[f"mean_{arm}"], 0.5 / _steps(size, rule)
                for edge, limits in ((mean - half, (-1e-6, np.inf)), (mean + half, (-np.inf, 1e-6))):
                    weight = np.sum([(x - edge) * of for x, of in parts], axis=0)
                    yield Figure(f"{page} {name} {row['covariate']} {row['sample']}", weight, *limits)


def _steps(size: int, rule: Policy) -> float:
    """Into how many steps a mean is rounded: one person's part is no smaller than a step."""
    known = float(rule.rounded(size))
    tens = 10 ** np.floor(np.log10(known))
    return float(tens * max(x for x in (1, 2, 5) if x * tens <= known))


def _flow(w: World, page: str, name: str, row: Row) -> Made:
    in_study = TENANTS if page == "findings" else STUDIED
    if row["stage"] == "in the study":
        yield "persons", "people", w.people.of(arm=ARM[row["rule"]], rule=in_study)
    else:
        where = {"rule": row["rule"]} if row["rule"] else {}
        yield "persons", "people", w.people.of(**where)


def _lost(w: World, page: str, name: str, row: Row) -> Made:
    yield "persons", "people", w.people.of(arm=row["arm"], rule=TENANTS)
    for column in LOSSES:
        yield column, "people", w.people.of(column, "yes", arm=row["arm"])


def _quality(w: World, page: str, name: str, row: Row) -> Made:
    if row["rule"] in RULES:
        yield "count", "people", w.people.of(row["rule"], "yes") | w.people.of(rule=row["rule"])
    if str(row["rule"]).startswith("no contacts"):
        yield "count", "people", w.people.of("no contacts", f"{row['rule'].split('arm ')[1]} yes")


def _described(w: World, page: str, name: str, row: Row) -> Made:
    rule = SAMPLE[row.get("sample", "before")]
    level = {} if row["level"] in ("all", "mean (SD)") else {"block": row["covariate"], "level": row["level"]}
    for arm in ("supported", "control"):
        yield f"{arm}_persons", "people", w.people.of(**level, arm=arm, rule=rule)
        yield f"{arm}_all", "people", w.people.of(arm=arm, rule=rule)


def _balance(w: World, page: str, name: str, row: Row) -> Made:
    if row.get("level"):
        for arm in ("treated", "control"):
            of = w.people.of(row["covariate"], row["level"], arm=ARM[arm], rule=SAMPLE[row["sample"]])
            yield f"mean_{arm}", "people", of


def _overlap(w: World, page: str, name: str, row: Row) -> Made:
    edges = [round(row[edge] / BIN) for edge in ("bin_low", "bin_high")]
    yield "persons", "people", w.people.of("score", [str(x) for x in range(*edges)], arm=ARM[row["arm"]])


def _matched(w: World, page: str, name: str, row: Row) -> Made:
    yield "persons", "people", w.people.of(arm=ARM[row["arm"]], rule=row["rule"])


def _feasible(w: World, page: str, name: str, row: Row) -> Made:
    question = row["question"]
    controls = question.startswith(("controls", "people who could be controls"))
    rule: Sequence[str] = STUDIED
    if "near enough" in question or "detectable" in question:
        rule = ("matched", NEAR)
    elif question.startswith("supported who could each have"):
        rule = ("matched",)
    yield "persons", "people", w.people.of(arm="control" if controls else "supported", rule=rule)
    if "detectable" not in question:
        yield "all", "people", w.people.of(arm="control" if controls else "supported", rule=STUDIED)


def _effects(w: World, page: str, name: str, row: Row) -> Made:
    matched = page == "matching" or name in ("beside", "audit")
    rule = TENANTS if not matched else STUDIED if name == "unmatched" else ("matched",)
    first = row.get("event_time")
    if first is None and name not in ("pretrend", "bounds"):
        yield "persons", "people", w.people.of(arm=["supported", "control"], rule=rule)
    if first is None:
        yield "treated", "people", w.people.of(arm="supported", rule=rule)
    elif row["estimate"] != 0:
        block = f"calendar {row['outcome']}"
        spans = _within(w.people.levels(block), int(first), int(row["event_time_to"]))
        yield "treated", "people", w.people.of(block, spans, arm="supported")
    if matched:
        events = w.events[row["outcome"]]
        after = [x for x in events.levels("month") if int(x) >= 0]
        yield "events", row["outcome"], events.of("month", after, arm="supported", rule=rule)


def _group(w: World, page: str, name: str, row: Row) -> Made:
    level = {} if row["level"] == "all" else {"block": row["covariate"], "level": row["level"]}
    if row["level"] == "left out":
        # Everyone behind the main effect less those behind the others: known from these already.
        return
    yield "persons", "people", w.people.of(**level, arm=["supported", "control"], rule=TENANTS)
    yield "treated", "people", w.people.of(**level, arm="supported", rule=TENANTS)


def _kind(w: World, page: str, name: str, row: Row) -> Made:
    if row["level"] == "left out":
        return
    level = {} if row["level"] == "all" else {"block": KIND, "level": row["level"]}
    supported = w.people.of(**level, arm="supported", rule=TENANTS)
    # Everyone without support is compared with each kind.
    yield "persons", "people", supported | w.people.of(arm="control", rule=TENANTS)
    yield "treated", "people", supported


def _deprivation(w: World, page: str, name: str, row: Row) -> Made:
    level = {"block": row["covariate"], "level": row["level"]}
    yield "persons", "people", w.people.of(**level, arm=["supported", "control"], rule=STUDIED)
    for arm in ("supported", "control"):
        yield f"{arm}_persons", "people", w.people.of(**level, arm=arm, rule=STUDIED)
        yield f"{arm}_all", "people", w.people.of(arm=arm, rule=STUDIED)
    events = w.events[w.study.outcomes[0]]
    before = events.of(row["covariate"], f"{row['level']} before")
    yield "before_events", w.study.outcomes[0], before


def _uneven(w: World, page: str, name: str, row: Row) -> Made:
    known = [x for x in w.people.levels(w.study.equity.by) if x != "missing"]
    for column, arms in (("persons", ["supported", "control"]), ("treated", ["supported"])):
        yield column, "people", w.people.of(w.study.equity.by, known, arm=arms, rule=STUDIED)


def _rates(w: World, page: str, name: str, row: Row) -> Made:
    rule = SAMPLE["after" if name == "by_month" else "before"]
    first, last = int(row["period"]), int(row["period"] + row["step"] - 1)
    block, events = f"seen {row['outcome']}", w.events[row["outcome"]]
    spans = _within(w.people.levels(block), first, last)
    # Of a matched sample the people are the same throughout, as many as in its fullest month.
    within = (ALL, ALL) if name == "by_month" else (block, spans)
    yield "persons", "people", w.people.of(*within, arm=row["arm"], rule=rule)
    months = [str(x) for x in range(first, last + 1)]
    yield "events", row["outcome"], events.of("month", months, arm=row["arm"], rule=rule)


def _wave(w: World) -> str:
    assert w.study.survey is not None
    return str(w.study.survey.after[0])


def _answering(w: World, block: str, state: str, yes: str = "") -> list[str]:
    """The levels of people who answered so, and of a yes or no who said yes at the place of the 1."""
    places = [i for i, said in enumerate(yes) if said == "1"]
    levels = [x for x in w.people.levels(block) if x.startswith(state)]
    return [x for x in levels if all(x.split()[1][i] == "1" for i in places)]


def _said(w: World, page: str, name: str, row: Row) -> Made:
    wave = row["term"] if name == "said" else _wave(w)
    block = f"{row['outcome']} {wave}"
    again = _answering(w, block, "again")
    yield "persons", "people", w.people.of(block, again, arm=["supported", "control"], rule=TENANTS)
    yield "treated", "people", w.people.of(block, again, arm="supported", rule=TENANTS)
    # Everyone is a cluster of their own.
    yield "clusters", "people", w.people.of(block, again, arm=["supported", "control"], rule=TENANTS)


_STAGES = {
    "not asked, or no answer before": ["none"],
    "answered again": ["again"],
    "did not answer again": ["lost"],
    "in the study": ["again", "lost", "none"],
}


def _answered(w: World, page: str, name: str, row: Row) -> Made:
    who = w.people.of(f"stage {_wave(w)}", _STAGES[row["stage"]], arm=row["arm"], rule=TENANTS)
    yield "persons", "people", who


def _spoken(w: World, page: str, name: str, row: Row) -> Made:
    block, (state,) = f"{row['outcome']} {_wave(w)}", _STAGES[row["stage"]]
    levels = _answering(w, block, state)
    yield "persons", "people", w.people.of(block, levels, arm=row["arm"], rule=TENANTS)
    if row["outcome"] == "in_work":
        yes = _answering(w, block, state, "10" if row["when"] == "before" else "01")
        yield "yes", "people", w.people.of(block, yes, arm=row["arm"], rule=TENANTS)


def _modes(w: World, page: str, name: str, row: Row) -> Made:
    block = f"mode {row['when']}"
    modes = [row["mode"]] if row["mode"] != TOGETHER else [x for x in w.people.levels(block) if x]
    yield "persons", "people", w.people.of(block, modes, arm=row["arm"], rule=TENANTS)
    if row["mode"] == TOGETHER:
        again = w.people.of(f"stage {_wave(w)}", "again", arm=row["arm"], rule=TENANTS)
        yield "persons", "people", again


def _naive(w: World, page: str, name: str, row: Row) -> Made:
    events = w.events[row["outcome"]]
    for arm in ("supported", "control"):
        yield f"{arm}_persons", "people", w.people.of(arm=arm, rule=STUDIED)
        for when in ("before", "after"):
            months = [x for x in events.levels("month") if (int(x) < 0) == (when == "before")]
            yield f"{arm}_{when}_events", row["outcome"], events.of("month", months, arm=arm)


_TABLES = {
    "flow": _flow, "losses": _lost, "quality": _quality, "baseline": _described, "table_one": _described,
    "overlap": _overlap, "feasibility": _feasible, "matched": _matched, "naive": _naive,
    "balance": _balance, "effects": _effects, "bounds": _effects, "rates": _rates, "by_group": _group,
    "by_deprivation": _deprivation, "reach": _uneven, "need": _uneven, "trends": _effects,
    "said": _said, "said_weighted": _said, "said_standard": _said, "worth": _said,
    "answered": _answered, "said_matched": _said, "spoken": _spoken, "modes": _modes,
    "by_arm": _kind, "arm_against_arm": _effects, "per_step": _effects,
}  # fmt: skip
