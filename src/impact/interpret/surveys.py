"""What people said before and after support: how answers changed beyond others', and what that is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data import Cohort, Panel
from impact.data.index_dates import arguments
from impact.data.scores import Measure, measure
from impact.data.survey import waves
from impact.did import two_by_two
from impact.did.design import covariate_matrix
from impact.errors import DataError, DesignError
from impact.interpret.matched_comparison import matched, to_match
from impact.interpret.recall import recalled
from impact.interpret.survey_answers import ANSWERED, answered, held_alike, how_held, meant, spoken
from impact.interpret.wellbeing_value import Worth, qaly, wellby
from impact.match import OUTCOMES
from impact.numbers.regress import glm
from impact.results import Effects, Result

# What a rate is multiplied by, its unit, and the scale on which a change is told.
_TOLD = {
    "score": (1.0, "points", "difference"),
    "yes or no": (100.0, "per 100 people", "difference"),
    "count": (1000.0, "per 1,000 person-months", "log ratio"),
}
_SD = "standard deviations"
# Larger weights of those who answered are brought down to this quantile of them.
_LARGEST = 0.99
# Changes that differ by less are the same but for rounding.
_SAME = 1e-9
# One change of the same people, whichever way it is valued.
_CHANGE = "what people said of their lives"


def surveyed(
    data: Cohort,
    *,
    asked: Mapping[str, Any] | None,
    cluster: str | None = None,
    sample: Mapping[str, Any] | None = None,
    worth: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Result]:
    """Compare what people with and without support said, before and after.

    Parameters
    ----------
    data : Cohort
        Read with a survey.
    asked : mapping or None
        ``outcomes``, the first the primary one; ``before`` and ``after``, the names of one wave and of one or
        several, the first of which is the main one; ``own``, scores of the study's own; ``drop_out``, columns
        of people that may explain who was lost; ``recall_error``, as for ``checks``. None, and there is
        nothing to compare.
    cluster : str, optional
        Column of groups whose members may be alike.
    sample : mapping, optional
        ``baseline`` and ``matching`` of ``matched``: those who answered are then also matched, on these
        columns and on the first outcome before.
    worth : mapping, optional
        ``wellby``, with ``years``; or ``qaly``, with ``of``, ``years``, ``price_gbp`` and ``prices``.

    Returns
    -------
    dict
        ``said``, the effects on all outcomes in all waves; ``said_weighted``, in the main wave with those who
        answered weighed for those lost; ``said_standard``, in the main wave in standard deviations, of which
        more is better, but for counts; with counts ``said_recalled``, with matching ``said_matched``, with a
        value ``worth``; and what describes the answers: ``asked, answered, spoken, modes`` and, with counts,
        ``recalls``.

    Raises
    ------
    DataError, DesignError
        For waves, questions and columns that are not there, groups in which fewer than two answered twice,
        and counts that look back over other times in one group than in the other.
    ParameterError
        If one change is valued twice.
    """
    if asked is None:
        return {}
    own = asked.get("own") or {}
    measures = [measure(name, own) for name in asked["outcomes"]]
    given: dict[str, Any] = {"outcomes": [m.name for m in measures], "own": own, "cluster": cluster}
    given |= {"before": asked["before"], "covariates": list(asked.get("drop_out") or ())}
    panels = {when: waves(data, after=when, **given) for when in asked["after"]}
    panel = next(iter(panels.values()))
    held = {when: how_held(data, one, measures) for when, one in panels.items()}
    notes = [n for when, one in panels.items() for n in (*one.notes, *held_alike(held[when], measures))]
    each = {when: changes(one, measures) for when, one in panels.items()}
    main = next(iter(each.values()))
    notes += [
        f"{name}: in each group all changed alike, so that there is no range."
        for name, error in zip(main.labels["outcome"], main.std_error, strict=True)
        if not error > 0
    ]
    found: dict[str, Result] = {}
    known = panel.covariates.loc[:, panel.covariates.notna().all()]
    notes += [
        f"{name} is missing for some people, and is not used to weigh those who answered for those lost."
        for name in panel.covariates.columns.difference(known.columns, sort=False)
    ]
    chances = drop_out_weights(replace(panel, covariates=known), measures[0].name)
    weighted = replace(panel, weights=chances)
    found["said_weighted"] = _told(changes(weighted, measures), measures, [], weighted="those lost")
    scaled = _standard(main, panel, measures)
    if len(scaled):
        found["said_standard"] = _told(scaled, measures, [])
    if any(m.kind == "count" for m in measures) and (errors := asked.get("recall_error")):
        sides = {
            # An error that is the same before and after leaves the change as it is.
            f"with support {abs(e):.0%} too {'few' if e < 0 else 'many'} after, but not before": recalled(
                main, supported=e, control=0.0
            )
            for e in errors
        }
        found["said_recalled"] = Effects.stack(sides)
    if sample is not None and any(m.kind != "count" for m in measures):
        try:
            found["said_matched"] = _told(_matched(data, panel, measures, sample, main), measures, [])
        except DesignError as problem:
            notes.append(f"The people who answered could not be matched: {problem}")
        except DataError:
            # What a column lacks is said with a number of people, which a note must not tell.
            notes.append("The people who answered could not be matched: a value that is needed is missing.")
    if worth:
        found["worth"] = _told(_worth(main, worth), measures, [])
    said = _told(Effects.stack(each), measures, list(dict.fromkeys(notes)), before=asked["before"])
    described = answered(data, panel) | spoken(panel, measures) | next(iter(held.values())).tables
    return {"said": said, **found, **described}


def changes(panel: Panel, measures: Sequence[Measure]) -> Effects:
    """Estimate how much more answers changed with support than without it, among those who answered twice.

    The difference in differences of ``two_by_two`` on the people who answered a question before and after:
    of scores the difference between the mean changes, of yes or no that between the changes in the share (a
    risk difference), of counts the ratio of the two ratios of rates, with the time looked back over as time
    at risk.

    Parameters
    ----------
    panel : Panel
        Of ``impact.data.survey.waves``; its weights are those of people.
    measures : sequence of Measure

    Returns
    -------
    Effects
        One effect a question, with one joint root; errors by the panel's clusters (CR1).
    """
    parts = {}
    for one in measures:
        twice = panel.subset(_twice(panel, one))
        factor, per, scale = _TOLD[one.kind]
        family: Any = "poisson" if one.kind == "count" else "linear"
        fit = two_by_two(replace(twice, rate_scale=factor, per=per), outcome=one.name, family=family)
        fit = _exact(fit.select(fit.labels["scale"] == scale), twice, one)
        counts = fit.counts.assign(**_behind(twice.outcomes[one.name], twice.treated, one))
        parts[one.name] = replace(fit, counts=counts)
    both = Effects.stack(parts)
    return replace(both, labels=both.labels.assign(term=str(panel.periods[1]), stage=ANSWERED))


def _exact(fit: Effects, panel: Panel, one: Measure) -> Effects:
    """Where all of a group changed alike there is no error: what a model then gives for it is rounding."""
    rate = panel.outcomes[one.name] / panel.exposure[one.name]
    rate = rate if one.kind == "count" else np.diff(rate, axis=1)
    groups = [rate[panel.treated], rate[~panel.treated]]
    if any(np.ptp(g, axis=0).max() > _SAME for g in groups):
        return fit
    estimate = fit.estimate
    if one.kind != "count":
        gap = float(groups[0][0, 0] - groups[1][0, 0])
        estimate = np.array([_TOLD[one.kind][0] * gap if abs(gap) > _SAME else 0.0])
    return replace(fit, estimate=estimate, root=np.zeros_like(fit.root), regression=None)


def _twice(panel: Panel, one: Measure) -> NDArray[np.bool_]:
    """Who answered a question before and after, (n,)."""
    return np.asarray((panel.exposure[one.name] > 0).all(axis=1))


def _behind(values: NDArray[np.float64], treated: NDArray[np.bool_], one: Measure) -> dict[str, int]:
    """What lies behind a change: events, and the smallest of the counts that it is made of."""
    mine = values[treated]
    events = int(mine[:, 1].sum()) if one.kind == "count" else len(mine)
    return {"events": events, "fewest": min(_cells(values, treated, one))}


def _cells(values: NDArray[np.float64], treated: NDArray[np.bool_], one: Measure) -> list[int]:
    """How many people are in each group, and how many of them said yes or no; none is left out."""
    groups = [values[treated], values[~treated]]
    cells = [len(g) for g in groups]
    if one.kind != "score":
        happened = [int(n) for g in groups for n in g.sum(0)]
        # Of a yes or no the no is as good as told.
        rest = [len(g) - int(n) for g in groups for n in g.sum(0)] if one.kind == "yes or no" else []
        cells += [*happened, *rest]
    # That it happened to nobody, or to all, is no fact about a person.
    return [n for n in cells if n]


def drop_out_weights(panel: Panel, outcome: str) -> NDArray[np.float64]:
    """Weigh those who answered again by one over the chance of it, so that they stand for those lost, (n,).

    In each group on its own: by a logit of answering again on the answer before to ``outcome`` and on the
    panel's covariates. The largest weights are brought down to the 99th percentile. The dead are not lost:
    what is compared is what people say while they live.

    Parameters
    ----------
    panel : Panel
        Of ``impact.data.survey.waves``.
    outcome : str
    """
    before, again = (panel.exposure[outcome] > 0).T
    weights = panel.weights.copy()
    for arm in (panel.treated, ~panel.treated):
        rows = np.flatnonzero(arm & before & (np.asarray(panel.ended) != "death"))
        if again[rows].all():
            continue
        one = panel.subset(rows)
        one = replace(one, covariates=one.covariates.assign(before=one.outcomes[outcome][:, 0]))
        z = covariate_matrix(one, [str(name) for name in one.covariates])
        chance = glm(z, again[rows].astype(float), family="logit", weights=one.weights).mean
        found = 1 / chance
        weights[rows] *= np.minimum(found, np.quantile(found[again[rows]], _LARGEST))
    return weights


def _standard(main: Effects, panel: Panel, measures: Sequence[Measure]) -> Effects:
    """Changes in standard deviations of the answers before, so that they share a scale; more is better."""
    factors = []
    for one in measures:
        said = _twice(panel, one)
        before = panel.outcomes[one.name][said, 0]
        within = [before[panel.treated[said] == group].var(ddof=1) for group in (True, False)]
        spread = _TOLD[one.kind][0] * float(np.sqrt(np.mean(within)))
        sign = -1.0 if one.better == "lower" else 1.0
        factors.append(sign / spread if spread > 0 and one.kind != "count" else 0.0)
    kept = np.flatnonzero(factors)
    weights = np.diag(factors)[:, kept]
    labels = main.labels.iloc[kept].assign(unit=_SD).reset_index(drop=True)
    return main.combine(weights, labels=labels, counts=main.counts.iloc[kept].reset_index(drop=True))


def _matched(
    data: Cohort, panel: Panel, measures: Sequence[Measure], sample: Mapping[str, Any], main: Effects
) -> Effects:
    """Compare changes with those of people matched to them, also by what they said before."""
    first, *_ = measures
    # A study may match on a column that has the name of a question: what is added has names of its own.
    named = {f"change of {m.name}": m for m in measures if m.kind != "count"}
    level = f"{first.name} said before"
    rows = pd.Index(panel.unit)
    everyone = to_match(data, **sample)
    at = rows.get_indexer(everyone.person_id)
    twice = np.zeros(len(everyone), bool)
    twice[at >= 0] = _twice(panel, first)[at[at >= 0]]
    people, at = everyone.subset(twice), at[twice]
    columns = {level: panel.outcomes[first.name][at, 0]}
    for name, one in named.items():
        change = _TOLD[one.kind][0] * np.diff(panel.outcomes[one.name][at], axis=1)[:, 0]
        columns[name] = np.where(_twice(panel, one)[at], change, np.nan)
    people = replace(people, people=people.people.assign(**columns))
    plan = dict(sample["matching"])
    plan["on"] = [*plan["on"], level]
    found = matched(data, baseline=_dated(sample["baseline"]), matching=plan, people=people)
    effects = OUTCOMES["mean_difference"](found, outcome=list(named))
    used = rows.isin(found.table.loc[found.table["weight"] > 0, "person_id"])
    asked = [named[name] for name in effects.labels["outcome"]]
    counts = [
        _beside_said(panel, one, used, dict(main.counts.iloc[measures.index(one)]), dict(own))
        for one, (_, own) in zip(asked, effects.counts.iterrows(), strict=True)
    ]
    labels = effects.labels.assign(outcome=[m.name for m in asked], unit=[_TOLD[m.kind][1] for m in asked])
    return replace(effects, labels=labels, counts=pd.DataFrame(counts))


def _dated(baseline: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave controls the dates drawn for them where nobody is followed in contacts from a partner's."""
    dating = arguments(baseline.get("index_date", "drawn"))
    if baseline["outcomes"] or dating["rule"] != "partner":
        return baseline
    return {**baseline, "index_date": dating | {"rule": "drawn"}}


def _beside_said(
    panel: Panel, one: Measure, used: NDArray[np.bool_], said: dict[str, int], own: dict[str, int]
) -> dict[str, int]:
    """Show the numbers of all who answered twice, and be as careful as with those that matching left out."""
    twice, values = _twice(panel, one), panel.outcomes[one.name]
    parts = [twice & used, twice & ~used]
    cells = [n for part in parts for n in _cells(values[part], panel.treated[part], one)]
    # People without a partner who answered the question are left out too.
    more, fewer = ((c["treated"], c["persons"] - c["treated"]) for c in (said, own))
    cells += [abs(a - b) for a, b in zip(more, fewer, strict=True) if a != b]
    return {**said, "fewest": min(said["fewest"], own.get("fewest", said["fewest"]), *cells)}


def _worth(main: Effects, asked: Mapping[str, Mapping[str, Any]]) -> Effects:
    """The change valued for one person, at the low, the central and the high price; never in two ways."""
    values: list[tuple[str, Worth]] = []
    if one := asked.get("wellby"):
        values.append(("life_satisfaction", wellby(1.0, people=1, of=_CHANGE, **one)))
    if one := asked.get("qaly"):
        told = {name: value for name, value in one.items() if name != "of"}
        values.append((str(one["of"]), qaly(1.0, people=1, of=_CHANGE, **told)))
    name, value = values[0]
    for _, other in values[1:]:
        value = value + other
    rows = np.flatnonzero(main.labels["outcome"] == name)
    prices = {"low": value.low, "central": value.central, "high": value.high}
    prices = dict(list(prices.items())[1:2]) if value.low == value.high else prices
    weights = np.zeros((len(main), len(prices)))
    weights[rows[0]] = list(prices.values())
    labels = main.labels.iloc[np.repeat(rows, len(prices))].assign(
        term=[f"{which} price" for which in prices], unit=f"GBP a person, {value.terms}, {value.prices}"
    )
    counts = main.counts.iloc[np.repeat(rows, len(prices))].reset_index(drop=True)
    return main.combine(weights, labels=labels, counts=counts)


def _told(effects: Effects, measures: Sequence[Measure], notes: Sequence[str], **more: Any) -> Effects:
    """Say with effects what was asked and how they were compared."""
    said = {k: effects.method[k] for k in ("matching", "inference", "clusters") if k in effects.method}
    method = {
        "estimator": effects.method.get("estimator", "two_by_two"),
        "estimand": "effect on those supported, among those who answered before and after",
        "outcome": [m.name for m in measures],
        "control": "people without support",
        "asked": meant(measures),
        **said,
        **more,
        "notes": list(notes),
    }
    return replace(effects, method=method)
