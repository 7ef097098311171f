"""The checks of a matched comparison: matched or compared in another way, one thing at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from impact import match
from impact.data import Cohort, LongData
from impact.errors import DataError, DesignError, ParameterError
from impact.interpret.buildings import TOO_FEW, Mask, without_those_that_matter
from impact.interpret.check_rows import Rows, if_lost
from impact.interpret.matched_comparison import compare, matched, whole
from impact.interpret.spillover import spillover
from impact.match.spillover import home
from impact.results import Effects, Matched, Result

_WEIGHTED = ("entropy_balance", "With weights that make the groups alike, in place of matching")
_BY_CHANCE = ("inverse_probability", "With weights by the chance of support")


@dataclass(frozen=True)
class Comparison:
    """The comparison as planned, which can be made of other people or in another way."""

    data: Cohort | LongData
    sample: Matched
    outcome: str
    compared: Mapping[str, Any]
    baseline: Mapping[str, Any]
    matching: Mapping[str, Any]

    def made(self, sample: Matched | None = None, **changed: Any) -> Effects:
        """Compare these people, or those who were matched."""
        return whole(compare(sample or self.sample, **{**self.compared, "outcome": self.outcome, **changed}))

    def matched(self, **changed: Any) -> Matched:
        """Match again with these things changed."""
        return matched(self.data, baseline=self.baseline, matching={**self.matching, **changed})


def checks_of_matching(
    comparison: Comparison, *, place: str, asked: Mapping[str, Any]
) -> tuple[Rows, Effects]:
    """Make the checks of one matched effect; return also the planned effects.

    Parameters
    ----------
    comparison : Comparison
    place : str
        Column that holds each person's building.
    asked : mapping
        As for ``checks``.
    """
    planned = comparison.made()
    rows = Rows.of(planned, comparison.outcome)
    for check, make in {
        "method": _another,
        "covariates": _adjusted,
        "pair_censoring": _followed_together,
        "start": _without_first_months,
        "buildings": lambda r, c, a: _without_places(r, c, place),
        "spillover": lambda r, c, a: _apart(r, c, place),
        "lost": _worst_cases,
        "rosenbaum_bounds": _bounds,
    }.items():
        if check not in asked["leave_out"]:
            make(rows, comparison, asked)
    if "e_value" not in asked["leave_out"]:
        if rows.scale == "log ratio":
            rows.add_strength("e_value", "Strength of a hidden reason (E-value)", match.e_value(planned))
        else:
            rows.without("E-value", "there is no ratio")
    return rows, planned


def _another(rows: Rows, c: Comparison, _: Mapping[str, Any]) -> None:
    method = c.matching["method"]
    if method == "risk_set":
        rows.without("Matched in another way", "no other way matches people day by day")
        return
    other, changed = _BY_CHANCE if method == "entropy_balance" else _WEIGHTED
    on = list(dict.fromkeys([*c.matching["on"], *c.matching.get("exact", ())]))
    kept = {k: c.matching[k] for k in ("estimand", "missing", "apart") if k in c.matching}
    plan = {"method": other, "on": on, **kept}
    rows.attempt("method", changed, lambda: c.made(matched(c.data, baseline=c.baseline, matching=plan)))


def _adjusted(rows: Rows, c: Comparison, _: Mapping[str, Any]) -> None:
    model = c.compared.get("model", "poisson")
    model = model.get(c.outcome, "poisson") if isinstance(model, Mapping) else model
    if c.compared.get("adjust"):
        rows.attempt("covariates", "Not adjusted after matching", lambda: c.made(adjust=()))
    elif model == "conditional_poisson":
        rows.without("Adjusted after matching", "the model looks within sets")
    else:
        on = [name for name in c.matching["on"] if name in c.sample.cohort.table]
        changed = "Adjusted for the same characteristics again"
        rows.attempt("covariates", changed, lambda: c.made(adjust=on))


def _followed_together(rows: Rows, c: Comparison, _: Mapping[str, Any]) -> None:
    changed = "Everyone of a set followed until the first of them leaves"
    if c.matching.get("pair_censoring"):
        rows.without(changed, "that is the plan")
    elif c.sample.method.get("clusters") != "matched set":
        rows.without(changed, "there are no sets")
    else:
        rows.attempt("pair_censoring", changed, lambda: c.made(c.matched(pair_censoring=True)))


def _without_first_months(rows: Rows, c: Comparison, asked: Mapping[str, Any]) -> None:
    """Follow everyone from some months after their start on, when support may have begun to work."""
    k, cohort = asked["exclude_months"], c.sample.cohort
    if not k:
        return
    changed = f"Without the first {'month' if k == 1 else f'{k} months'} with support"
    if c.matching.get("pair_censoring"):
        rows.without(changed, "everyone of a set is followed together, from their start")
        return
    try:
        later = cohort.follow_up(outcomes=[c.outcome], months=c.baseline["months"], washout=k)
    except (DataError, DesignError, ParameterError):
        rows.without(changed, "the data do not say in which month anything happened")
        return
    between = np.asarray(cohort.outcomes[c.outcome]) - np.asarray(later.outcomes[c.outcome])
    used = np.isin(cohort.person_id, _used(c.sample))
    first = [round(float(between[used & arm].sum())) for arm in (cohort.treated, ~cohort.treated)]
    sample = replace(c.sample, cohort=later)
    rows.attempt("start", changed, lambda: c.made(sample), left_out=first)


def _without_places(rows: Rows, c: Comparison, by: str) -> None:
    """Leave out the people of the building that matters most, and sets that are left with one side only.

    Where it holds few people, so that its effect would tell of them, buildings that matter least go with it.
    """
    word, cohort = home(by), c.sample.cohort
    changed = f"Without the {word} that matters most"
    if by not in cohort.table:
        rows.without(changed, f"the data do not say who lives in which {word}")
        return
    if c.outcome not in cohort.outcomes:
        rows.without(changed, "the outcome is no number of events")
        return
    codes, names = pd.factorize(cohort.table[by])
    events, time = (np.asarray(x[c.outcome], float) for x in (cohort.outcomes, cohort.exposure))
    used = np.isin(cohort.person_id, _used(c.sample))

    def behind(members: Mask) -> list[int]:
        sides = [members & used & arm for arm in (cohort.treated, ~cohort.treated)]
        return [
            n
            for side in sides
            if side.any()
            for n in (len(np.unique(cohort.person[side])), round(float(events[side].sum())))
        ]

    def made(members: Mask) -> Effects:
        there = replace(
            cohort,
            outcomes={**cohort.outcomes, c.outcome: np.where(members, np.nan, events)},
            exposure={**cohort.exposure, c.outcome: np.where(members, 0.0, time)},
        )
        return c.made(replace(c.sample, cohort=there))

    pull = _pull(c.sample, codes, len(names), events, time)
    small = np.argsort(np.abs(pull))
    orders = [np.append(worst, small[small != worst]) for worst in (pull.argmin(), pull.argmax())]
    left = without_those_that_matter(rows, orders=orders, codes=codes, behind=behind, made=made)
    if left is None:
        rows.without(changed, TOO_FEW.format(word))
        return
    number, members, found = left
    more = f", and {number - 1} that matter little" if number > 1 else ""
    rows.add("buildings", changed + more, found, left_out=behind(members))


def _pull(sample: Matched, codes: Any, number: int, events: Any, time: Any) -> Any:
    """How far the sets of each building's people pull the logarithm of the ratio of rates, to first order."""
    cohort: Cohort = sample.cohort
    table = sample.table[sample.table["weight"] > 0]
    at = pd.Index(cohort.person_id).get_indexer(table["person_id"])
    weight, treated = table["weight"].to_numpy(float), np.asarray(cohort.treated, bool)[at]
    own = np.zeros(len(table))
    for arm, sign in ((treated, 1.0), (~treated, -1.0)):
        y, t = (weight * values[at] * arm for values in (events, time))
        own += sign * (y / max(y.sum(), 1e-300) - t / max(t.sum(), 1e-300))
    # Who is in no set goes alone.
    alone = -1 - pd.Series(np.arange(len(table)), index=table.index)
    found = pd.DataFrame(
        {"place": codes[at], "set": table["subclass"].astype(float).fillna(alone), "own": own}
    )
    found["whole"] = found.groupby("set")["own"].transform("sum")
    each = found[found["place"] >= 0].drop_duplicates(["place", "set"])
    return np.bincount(each["place"], each["whole"], minlength=number)


def _apart(rows: Rows, c: Comparison, by: str) -> None:
    word = home(by)
    changed = f"Without controls who share a {word} with anyone supported"
    cohort: Cohort = c.sample.cohort
    if by not in cohort.table:
        rows.without(changed, f"the data do not say who lives in which {word}")
        return
    homes, used = cohort.table[by], np.isin(cohort.person_id, _used(c.sample))
    near = used & ~cohort.treated & homes.notna() & homes.isin(homes[cohort.treated])
    if not near.any() or (near | cohort.treated | ~used).all():
        rows.without(changed, "all of them do" if near.any() else "there are none")
        return
    left_out = [int(near.sum()), round(float(np.asarray(cohort.outcomes[c.outcome])[near].sum()))]
    plan = {"compared": {**c.compared, "outcome": c.outcome}, "baseline": c.baseline, "matching": c.matching}
    rows.attempt(
        "spillover",
        changed,
        lambda: _effects(spillover(c.data, c.sample, by=by, **plan)["spillover"]),
        left_out=left_out,
    )


def _effects(result: Result) -> Effects:
    assert isinstance(result, Effects)
    return result


def _used(sample: Matched) -> Any:
    return sample.table.loc[sample.table["weight"] > 0, "person_id"].to_numpy()


def _worst_cases(rows: Rows, c: Comparison, asked: Mapping[str, Any]) -> None:
    """Fill in the time of those who died or left, as ``did.as_if_observed`` does."""
    cohort: Cohort = c.sample.cohort
    changed = "Those who died or left"
    if "observed_to" not in cohort.people or c.outcome not in cohort.outcomes:
        rows.without(changed, "the data do not say when people died or left")
        return
    # Followed as if nobody had gone, to where the records end.
    ends = pd.to_datetime(cohort.people["observed_to"])
    stayed = replace(cohort, people=cohort.people.assign(observed_to=ends.max()), outcomes={}, exposure={})
    months, names = c.baseline["months"], [c.outcome]
    whole_time = stayed.follow_up(outcomes=names, months=months).exposure[c.outcome]
    time = np.asarray(cohort.exposure[c.outcome], float)
    missing = np.maximum(np.asarray(whole_time, float) - time, 0.0)
    used = pd.Series(c.sample.table["weight"].to_numpy(), c.sample.table["person_id"]).groupby(level=0).sum()
    weight = used.reindex(cohort.person_id).fillna(0.0).to_numpy()
    missing[weight <= 0] = 0.0
    if not (missing > 1e-9).any():
        rows.without(changed, "nobody did")
        return
    events = np.asarray(cohort.outcomes[c.outcome], float)
    low, high = asked["lost_use"]
    gone = [n for arm in (cohort.treated, ~cohort.treated) if (n := int(((missing > 1e-9) & arm).sum()))]
    for check, times in (("lost_best", (low, high)), ("lost_worst", (high, low))):
        filled = events.copy()
        for arm, factor in zip((cohort.treated, ~cohort.treated), times, strict=True):
            rate = (weight * events)[arm].sum() / max((weight * time)[arm].sum(), 1e-300)
            filled[arm] += factor * rate * missing[arm]
        there = replace(
            cohort,
            outcomes={**cohort.outcomes, c.outcome: filled},
            exposure={**cohort.exposure, c.outcome: time + missing},
        )
        sample = replace(c.sample, cohort=there)
        changed = if_lost(*times)
        rows.attempt(check, changed, lambda s=sample: c.made(s), asks="bears it", left_out=gone)  # type: ignore[misc]


def _bounds(rows: Rows, c: Comparison, _: Mapping[str, Any]) -> None:
    changed = "Strength of a hidden reason within sets (Rosenbaum)"
    try:
        found = match.rosenbaum_bounds(c.sample, outcome=c.outcome, gamma=[1.0])
    except (DataError, DesignError):
        rows.without(changed, "it needs matched sets that share nobody")
        return
    rows.add_strength("rosenbaum_bounds", changed, found)
