"""The matched comparison of a study: who is compared, how their outcomes differ, and what could mislead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from impact.data import Cohort, LongData, index_dates
from impact.errors import DataError, DesignError
from impact.interpret.match_audit import match_audit
from impact.match import (
    METHODS,
    OUTCOMES,
    apart,
    censor_pairs,
    e_value,
    feasibility,
    overlap,
    partner_dates,
    rosenbaum_bounds,
    trajectories,
)
from impact.match.spillover import home
from impact.results import Effects, Matched, Result

# What a model that looks within sets becomes where nobody is matched.
_UNMATCHED = {"conditional_poisson": "poisson", "abadie_imbens": "mean_difference"}
_USUAL = "poisson"
# Methods by which a control serves one supported person, unless it is used again.
PAIRING = frozenset({"nearest", "optimal", "genetic", "risk_set"})
# Methods that give everyone dates of their own, and so begin with people as they were read.
OWN_DATES = ("risk_set",)


def to_match(data: Cohort | LongData, *, baseline: Mapping[str, Any], matching: Mapping[str, Any]) -> Cohort:
    """Describe everyone as they are matched: the arguments are those of ``matched``."""
    asked, method = dict(baseline), matching["method"]
    if method in OWN_DATES:
        if not isinstance(data, Cohort):
            said = "follows people from day to day; a ready-made panel has no such dates."
            raise DesignError(f"{method} {said}")
        return data.with_history(**asked["history"]) if "history" in asked else data
    dating = index_dates.arguments(asked.get("index_date", "drawn"))
    drawn = {"index_date": dating | {"rule": "drawn"}} if dating["rule"] == "partner" else {}
    return data.at_baseline(**asked | drawn)


def matched(
    data: Cohort | LongData,
    *,
    baseline: Mapping[str, Any],
    matching: Mapping[str, Any],
    people: Cohort | None = None,
) -> Matched:
    """Match people as they were on their index dates, and follow them from there.

    With ``index_date='partner'`` controls are first described on dates drawn from those of the supported;
    once matched, each takes its partner's date, on which it is described, checked and followed again. A set
    whose control was not at risk on that date is dropped.

    Parameters
    ----------
    data : Cohort or LongData
    baseline : mapping
        ``index_date`` and the other arguments of ``data.at_baseline``.
    matching : mapping
        ``method`` and its arguments; ``apart``, a column such as the building, which no control may share
        with anyone supported; ``pair_censoring``, whether everyone of a set is followed only until the first
        of them leaves.
    people : Cohort, optional
        Those who are matched, as ``to_match`` describes them; default: everyone.
    """
    asked, arguments = baseline, dict(matching)
    dating = index_dates.arguments(asked.get("index_date", "drawn"))
    partner = dating["rule"] == "partner" and matching["method"] not in OWN_DATES
    together, by = arguments.pop("pair_censoring", False), arguments.pop("apart", None)
    everyone = to_match(data, baseline=baseline, matching=matching) if people is None else people
    people = everyone
    if by is not None:
        people = apart(everyone, by=by)
    found = METHODS[arguments.pop("method")](people, **arguments)
    if by is not None:
        found = _counted_apart(found, len(everyone) - len(people), by)
    follow_up = {"outcomes": asked["outcomes"], "months": asked["months"]}
    if follow_up["outcomes"] and not found.cohort.outcomes:
        # The method made people anew, on dates of its own.
        found = replace(found, cohort=found.cohort.follow_up(**follow_up))
    if partner:
        found = _on_partner_dates(found, **follow_up)
    return _followed_together(found, **follow_up) if together else found


def _counted_apart(found: Matched, persons: int, by: str) -> Matched:
    """Tell how many controls were left out because they share a place with people supported."""
    rule = f"shares a {home(by)} with somebody supported"
    row = pd.DataFrame([("control", rule, persons)], columns=found.counts.columns)
    counts = pd.concat([found.counts, row], ignore_index=True)
    return replace(found, counts=counts, method={**found.method, "apart": by})


def _followed_together(found: Matched, *, outcomes: Sequence[str], months: int) -> Matched:
    """Follow everyone of a set until the first of them leaves; people without a set as before."""
    shared = censor_pairs(found).follow_up(outcomes=outcomes, months=months)
    people: Cohort = found.cohort
    at = pd.Index(people.person_id).get_indexer(shared.person_id)

    def shortened(whole: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
        out = {name: np.array(values, float) for name, values in whole.items()}
        for name, values in own.items():
            out[name][at] = values
        return out

    cohort = replace(
        people,
        outcomes=shortened(people.outcomes, shared.outcomes),
        exposure=shortened(people.exposure, shared.exposure),
    )
    return replace(found, cohort=cohort, method={**found.method, "pair_censoring": True})


def _on_partner_dates(found: Matched, *, outcomes: Sequence[str], months: int) -> Matched:
    """Describe and follow each matched control from its partner's date; everyone else keeps their own."""
    dated = partner_dates(found)
    rows = found.table["weight"] > 0
    gone = rows & ~found.table["person_id"].isin(dated.person_id)
    broken = rows & found.table["subclass"].isin(found.table.loc[gone, "subclass"])
    table = found.table.assign(
        weight=found.table["weight"].mask(broken, 0.0),
        subclass=found.table["subclass"].mask(broken),
    )
    people: Cohort = found.cohort
    # The whole cohort stays, so that balance can still be compared with that before matching.
    kept = people.subset(~np.isin(people.person_id, table.loc[gone, "person_id"]))
    everyone = kept.at(pd.Series(dated.people["index_date"].to_numpy(), index=dated.person_id))
    arm = np.where(np.isin(found.table["person_id"], people.person_id[people.treated]), "treated", "control")
    counts = found.counts.copy()
    for name in ("treated", "control"):
        lost = int((broken & (arm == name)).sum())
        counts.loc[(counts["arm"] == name) & (counts["rule"] == "matched"), "persons"] -= lost
        counts.loc[len(counts)] = [name, "the control was not at risk on its partner's date", lost]
    return replace(
        found,
        table=table[~gone].reset_index(drop=True),
        cohort=everyone.follow_up(outcomes=outcomes, months=months),
        counts=counts.sort_values("arm", ascending=False, kind="stable", ignore_index=True),
        method={**found.method, "sets_lost": int(found.table.loc[gone, "subclass"].nunique())},
    )


def compare(
    people: Matched | Cohort,
    *,
    outcome: str | Sequence[str],
    model: str | Mapping[str, str] = _USUAL,
    adjust: Sequence[str] = (),
) -> Effects:
    """Compare outcomes by the models of ``impact.match.OUTCOMES``, those of several models as one result.

    Parameters
    ----------
    people : Matched or Cohort
        A cohort is compared as it stands: unmatched and unadjusted.
    outcome : str or sequence of str
        For a risk, whether there was any event; for means, the number of events a person.
    model : str or mapping
        One name for all outcomes, or one for each; those that are not named have 'poisson'.
    adjust : sequence of str
        Covariates, where the model takes any.

    Returns
    -------
    Effects
        In the order of the outcomes. A hurdle model adds its two steps to each effect: see ``whole``.
    """
    names = [outcome] if isinstance(outcome, str) else list(outcome)
    chosen = {n: model if isinstance(model, str) else model.get(n, _USUAL) for n in names}
    crude = isinstance(people, Cohort)
    parts: dict[str, Effects] = {}
    for kind in dict.fromkeys(chosen.values()):
        mine = [name for name in names if chosen[name] == kind]
        used = _UNMATCHED.get(kind, kind) if crude else kind
        more = {"adjust": adjust} if len(adjust) and not crude and kind != "conditional_poisson" else {}
        part = OUTCOMES[used](_any(people, mine) if used == "risk" else people, outcome=mine, **more)
        counted = part.labels["outcome"].isin(list(_cohort(people).outcomes))
        is_mean = part.labels["unit"] == "units of the outcome"
        unit = part.labels["unit"].mask(counted & is_mean, "a person")
        # Behind a mean number of events stand the events, which must not be few either, and not the people.
        events = part.labels["outcome"].map(lambda name: _events(people, str(name)))
        behind = part.counts["events"].mask(is_mean, events).astype(int)
        labels, counts = part.labels.assign(unit=unit), part.counts.assign(events=behind)
        parts[kind] = replace(part, labels=labels, counts=counts)
    if len(parts) == 1:
        return next(iter(parts.values()))
    both = Effects.stack(parts)
    labels = pd.concat([part.labels for part in parts.values()], ignore_index=True)
    order = np.argsort(labels["outcome"].map(names.index).to_numpy(), kind="stable")
    by = np.eye(len(labels))[:, order]
    method = {**both.method, "outcome": names, "models": chosen}
    del method["analyses"]
    method["notes"] = list(dict.fromkeys(n for part in parts.values() for n in part.method.get("notes", ())))
    both = replace(both, method=method)
    return both.combine(by, labels=labels.iloc[order], counts=both.counts.iloc[order])


def whole(effects: Effects) -> Effects:
    """Leave out the steps of a hurdle model, so that each outcome has one effect."""
    return effects.select(effects.labels["term"] == "effect")


def before_matching(
    people: Cohort, *, matching: Mapping[str, Any], outcome: str, months: int
) -> dict[str, Result]:
    """Say whether people can be matched as planned, and how far the arms overlap; no outcome is looked at.

    Parameters
    ----------
    people : Cohort
    matching : mapping
        As for ``matched``.
    outcome : str
        The primary one, whose counts of the year before say what could be found, where they are known.
    months : int
        Of the follow-up.
    """
    if by := matching.get("apart"):
        people = apart(people, by=by)
    asked = {name: matching[name] for name in ("on", "missing") if name in matching}
    caliper = matching.get("caliper")
    caliper = caliper.get("score") if isinstance(caliper, Mapping) else caliper
    known = f"prior_{outcome}" in people.table
    one_each = matching.get("method") in PAIRING and not matching.get("replace")
    found = feasibility(
        people,
        **asked,
        exact=matching.get("exact", ()),
        ratio=int(np.ceil(matching.get("ratio", 1))) if one_each else None,
        outcome=outcome if known else None,
        months=months,
        **({"caliper": caliper} if caliper else {}),
    )
    # Here the chances must be had even where the arms can be told apart.
    return {"feasibility": found, "overlap": overlap(people, **asked, link="penalised")}


def matched_results(
    sample: Matched,
    people: Cohort,
    *,
    compared: Mapping[str, Any],
    around: Mapping[str, Any] | None = None,
    other: Sequence[str] = (),
    negative_control: Sequence[str] = (),
    sensitivity: Sequence[str] = (),
) -> dict[str, Result]:
    """Everything that a matched comparison says of outcomes.

    Parameters
    ----------
    sample : Matched
    people : Cohort
        Everyone, unmatched, for contrast.
    compared : mapping
        Arguments of ``compare``.
    around : mapping, optional
        Arguments of ``Cohort.around_start``, where people have dates.
    other : sequence of str
        Further outcomes, columns of the people, which have a model each in ``compared``.
    negative_control : sequence of str
        Outcomes that support cannot change, compared by rates.
    sensitivity : sequence of str
        'rosenbaum_bounds' for the first outcome, where there are sets to which they apply; 'e_value' for all
        ratios.

    Returns
    -------
    dict
        ``effects`` and ``unmatched``, one effect an outcome; where there is such a thing ``steps`` (of hurdle
        models), ``other``, ``negative_control``, ``rosenbaum_bounds`` and ``e_value``, and the ``audit`` of
        matching on earlier use (``match_audit``).
    """
    every = compare(sample, **compared)
    found: dict[str, Result] = {"effects": whole(every)}
    found["unmatched"] = whole(compare(people, **compared))
    if around is not None:
        found |= match_audit(sample, people, around=around, effects=whole(every))
    steps = (every.labels["term"] != "effect").to_numpy()
    if steps.any():
        split = every.labels["outcome"].isin(every.labels.loc[steps, "outcome"])
        found["steps"] = every.select(split & (every.labels["scale"] == "log ratio"))
    if other:
        more = compare(sample, **{**compared, "outcome": other})
        # None of these is the primary outcome, which stands among the services.
        found["other"] = replace(more, method={**more.method, "questions": "secondary"})
    if negative_control:
        adjust = compared.get("adjust", ())
        found["negative_control"] = compare(sample, outcome=negative_control, adjust=adjust)
    primary = str(found["effects"].method["outcome"][0])
    if "rosenbaum_bounds" in sensitivity and (bounds := _bounds(sample, primary)):
        found["rosenbaum_bounds"] = bounds
    if "e_value" in sensitivity and (every.labels["scale"] == "log ratio").any():
        found["e_value"] = e_value(whole(every))
    return found


def month_by_month(
    data: Cohort | LongData, sample: Matched, *, around: Mapping[str, Any], outcome: str
) -> dict[str, Result]:
    """Rates of the matched by month from the index date; nothing where there are no dates or no time before.

    Parameters
    ----------
    data : Cohort or LongData
    sample : Matched
    around : mapping
        Arguments of ``data.around_start``.
    outcome : str

    Returns
    -------
    dict
        ``by_month``, the rates of both arms.
    """
    try:
        people = sample.cohort if isinstance(data, Cohort) else data.around_start(**around)
        found = trajectories(sample, people, outcome=outcome)
    except (DataError, DesignError):
        return {}
    return {"by_month": found} if (found.table["period"] < 0).any() else {}


def _bounds(sample: Matched, outcome: str) -> Any:
    """Rosenbaum's bounds, or nothing where the sample has no sets to which they apply."""
    try:
        return rosenbaum_bounds(sample, outcome=outcome)
    except DesignError:
        return None


def _events(people: Matched | Cohort, outcome: str) -> int:
    """Events of the supported who are compared; of yes and no the rarer; of a score the people with one."""
    cohort = _cohort(people)
    used = np.asarray(cohort.treated, bool)
    if isinstance(people, Matched):
        used = used & np.isin(cohort.person_id, people.table.loc[people.table["weight"] > 0, "person_id"])
    values = cohort.table[outcome].to_numpy(float, na_value=np.nan)[used]
    values = values[np.isfinite(values)]
    if outcome in cohort.outcomes:
        return round(float(values.sum()))
    return (
        int(min((values == 1).sum(), (values == 0).sum())) if np.isin(values, [0, 1]).all() else len(values)
    )


def _cohort(people: Matched | Cohort) -> Cohort:
    cohort: Cohort = people.cohort if isinstance(people, Matched) else people
    return cohort


def _any(people: Matched | Cohort, outcomes: Sequence[str]) -> Matched | Cohort:
    """Whether there was any event in place of how many; missing for people who were never at risk."""
    cohort = _cohort(people)
    held = dict(cohort.outcomes)
    for name in held.keys() & set(outcomes):
        at_risk = np.asarray(cohort.exposure[name], float) > 0
        held[name] = np.where(at_risk, np.asarray(held[name]) > 0, np.nan)
    with_any = replace(cohort, outcomes=held)
    return replace(people, cohort=with_any) if isinstance(people, Matched) else with_any
