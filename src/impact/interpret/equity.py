"""Did support help all groups as much? Effects by deprivation and in other groups, and tests of a difference.

Each group is analysed by the study's own main method, on the people of that group alone, and the results are
stacked with their joint covariance: people of one group share buildings with those of another. That one
group's effect is clear and another's is not is no difference between them; whether there is one is tested.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data import Cohort, Panel
from impact.did import estimate
from impact.errors import DataError, DesignError
from impact.interpret.groups import Groups, groups_of
from impact.interpret.matched_comparison import compare, matched, whole
from impact.numbers.inference import wald
from impact.numbers.ridit import slope_weights
from impact.results import Array, Effects, Matched, Result, Test

Mask = NDArray[np.bool_]
Columns = Mapping[str, Sequence[float]]
# The level of those who are in no group with an effect of its own.
LEFT_OUT = "left out"
# A group with fewer people with support, or without, or with fewer events is left out.
FEWEST, EVENTS = 20, 10
_SCALES = ("difference", "log ratio")
# Placebos of sites, and a contrast of two groups of people, are no sums over the people of one group.
_WHOLE_ONLY = ("synthetic_did", "triple_difference")


@dataclass(frozen=True, eq=False)
class Analysis:
    """The people of a study, (n,) of them, and how those in some rows are analysed for one outcome.

    ``estimate(rows, outcome, column)`` is told which column the rows are a group of. ``apart`` says that no
    two groups share a cluster, whatever these are called.
    """

    table: pd.DataFrame
    treated: Mask
    estimate: Callable[[Mask, str, str], Effects]
    apart: bool


def of_panel(panel: Panel, *, did: Mapping[str, Any]) -> Analysis | None:
    """Analyse groups by difference-in-differences; None where the estimator takes everyone together.

    Parameters
    ----------
    panel : Panel
        With the columns of the groups among its covariates.
    did : mapping
        Arguments of ``impact.did.estimate``. A column is no covariate within its own groups; errors that
        cannot be stacked (CR2) are the estimator's own.
    """
    if did["estimator"] in _WHOLE_ONLY:
        return None
    plan = {k: v for k, v in did.items() if (k, v) != ("inference", "CR2")}

    def analysed(rows: Mask, outcome: str, column: str) -> Effects:
        return estimate(panel.subset(rows), outcome=outcome, **_without(plan, ("covariates",), column))

    return Analysis(panel.covariates, panel.treated, analysed, apart=False)


def of_people(
    people: Cohort,
    *,
    baseline: Mapping[str, Any],
    matching: Mapping[str, Any],
    compared: Mapping[str, Any],
) -> Analysis:
    """Analyse groups by matching, each among its own people.

    Parameters
    ----------
    people : Cohort
        Before they are matched: see ``to_match``.
    baseline, matching, compared : mapping
        As for ``matched`` and ``compare``. A column is not matched on within its own groups.
    """
    last: dict[bytes, Matched] = {}

    def analysed(rows: Mask, outcome: str, column: str) -> Effects:
        # A group is matched once for all outcomes.
        if (key := rows.tobytes()) not in last:
            last.clear()
            plan = _without(matching, ("on", "exact"), column)
            last[key] = matched(people, baseline=baseline, matching=plan, people=people.subset(rows))
        return whole(compare(last[key], **{**_without(compared, ("adjust",), column), "outcome": outcome}))

    return Analysis(people.table, np.asarray(people.treated, bool), analysed, apart=True)


def _without(plan: Mapping[str, Any], names: Sequence[str], column: str) -> dict[str, Any]:
    """Leave a column out of what is adjusted for or matched on."""
    return {k: [c for c in v if c != column] if k in names else v for k, v in plan.items()}


def by_groups(
    analysis: Analysis,
    *,
    everyone: Effects,
    groups: Columns,
    weights: Mapping[str, float] | None = None,
) -> dict[str, Result]:
    """Estimate the effect in every group of some columns, and test whether it is the same in all.

    Parameters
    ----------
    analysis : Analysis
        From ``of_panel`` or ``of_people``.
    everyone : Effects
        The study's main result; the first outcome is the primary one.
    groups : mapping of column to cuts
        The first is deprivation, in order from the most deprived; see ``groups_of``.
    weights : mapping of level to float, optional
        What a contact avoided counts in each group of the first column (distributional weights).

    Returns
    -------
    dict
        ``by_group``: the effects, with everyone's in the first rows (``covariate`` is 'people'). Groups of
        fewer than 20 people with or without support, or 10 events, and those that cannot be estimated, are
        left out and named in ``method['left_out']``; so are outcomes that cannot be estimated in all the
        others. With those whose group is not known, who is left out has one row ('left out') without an
        estimate, since the other rows tell how many they are. ``trends``: for
        ordered columns with three groups or more, how much more the effect is at the first end than at the
        last, by the line through all groups (its p-value is the test for a trend).
        ``alike_<column>_<scale>``: the test that the primary effect is the same in all groups. ``weighted``:
        events avoided with weights, where they are given, and without.
        Nothing where no column has two groups that can be compared.
    """
    primary = list(dict.fromkeys(everyone.labels["outcome"]))
    divided = [groups_of(analysis.table, column, cuts) for column, cuts in groups.items()]
    parts, named, left = [_stackable(everyone)], [("people", "all")], dict[str, list[str]]()
    for one in divided:
        found = {level: _group(analysis, one, level, primary) for level in one.levels}
        if few := [level for level, own in found.items() if primary[0] not in own]:
            left[one.column] = few
        kept = [level for level in one.levels if level not in few]
        for level in kept:
            # Everyone less the others must be the same people for each outcome, or two of them tell a third.
            of_all = [outcome for outcome in primary if all(outcome in found[other] for other in kept)]
            parts += [found[level][outcome] for outcome in of_all]
            named += [(one.column, level)] * len(of_all)
    if len(parts) < 3:
        return {}
    stacked = _stacked(parts, named, everyone.method, left)
    out: dict[str, Result] = {"by_group": _with_rest(stacked)}
    tests = [_alike(stacked, one, primary[0], scale) for one in divided for scale in _SCALES]
    out |= {f"alike_{t.method['covariate']}_{t.method['scale'].replace(' ', '_')}": t for t in tests if t}
    if lines := [line for one in divided if one.ordered for line in _trends(stacked, one, primary)]:
        out["trends"] = _derived(stacked, lines)
    if weights and (lines := _weighted(stacked, divided[0], weights, primary)):
        out["weighted"] = _derived(stacked, lines)
    return out


def _group(analysis: Analysis, one: Groups, level: str, outcomes: Sequence[str]) -> dict[str, Effects]:
    """Effects in one group by outcome; nothing where there is too little to go by."""
    rows = one.people(level)
    if min((rows & analysis.treated).sum(), (rows & ~analysis.treated).sum()) < FEWEST:
        return {}
    found = {}
    for outcome in outcomes:
        try:
            effects = analysis.estimate(rows, outcome, one.column)
        except (DataError, DesignError):
            continue
        if effects.counts["events"].min() < EVENTS or effects.counts["treated"].min() < FEWEST:
            continue
        if analysis.apart:
            # Nobody is in two groups, and sets are numbered anew in each.
            own = [f"{one.column} {level} {cluster}" for cluster in effects.clusters.tolist()]
            effects = replace(effects, clusters=np.array(own, object))
        found[outcome] = _stackable(effects)
    return found


def _stackable(effects: Effects) -> Effects:
    """Leave out what belongs to one analysis: degrees of freedom of each contrast, the regression."""
    df = float(np.min(effects.df))
    return replace(effects, df=df, satterthwaite=None, regression=None, overall=None, critical=None)


def _stacked(
    parts: Sequence[Effects],
    named: Sequence[tuple[str, str]],
    method: Mapping[str, Any],
    left: Mapping[str, Sequence[str]],
) -> Effects:
    out = Effects.stack({str(i): part for i, part in enumerate(parts)})
    at = [int(name) for name in out.labels["term"]]
    own = np.array([float(np.min(part.df)) for part in parts])[at]
    labels = out.labels.drop(columns="term").assign(
        term="effect",
        covariate=[named[i][0] for i in at],
        level=[named[i][1] for i in at],
    )
    kept = {k: v for k, v in method.items() if k != "notes"}
    said = {**kept, "shows": "effects by group", "left_out": {k: list(v) for k, v in left.items()}}
    # Each group has the degrees of freedom of its own clusters, and several those of the fewest.
    return replace(
        out, labels=labels[_LABELS], method=said, df=own, satterthwaite=lambda w: float(own[w != 0].min())
    )


def _with_rest(effects: Effects) -> Effects:
    """Add a row for those who are in no group of a column: their number, which the gate must know of."""
    labels, counts = effects.labels, effects.counts
    first = ~labels.duplicated(["outcome", "covariate", "level"])
    rows = pd.concat([labels, counts], axis=1)[first]
    names = [str(c) for c in counts if c != "clusters"]
    everyone = rows[rows["covariate"] == "people"].set_index("outcome")
    found = []
    groups = rows[rows["covariate"] != "people"].groupby(["outcome", "covariate"], sort=False)
    for (outcome, column), own in groups:
        rest = (everyone.loc[str(outcome), names] - own[names].sum()).astype(int).clip(lower=0)
        if rest.any():
            of = {"covariate": column, "level": LEFT_OUT, "clusters": rest["persons"], **rest}
            found.append(own.iloc[0].to_dict() | of)
    if not found:
        return effects
    more = pd.DataFrame(found).assign(scale="difference", unit=labels["unit"].iloc[0])
    none = np.zeros((len(effects.root), len(more)))
    own_df = np.append(effects.df, np.full(len(more), np.min(effects.df)))
    return replace(
        effects,
        labels=pd.concat([labels, more[_LABELS]], ignore_index=True),
        estimate=np.append(effects.estimate, np.full(len(more), np.nan)),
        root=np.hstack([effects.root @ np.eye(len(effects)), none]),
        counts=pd.concat([counts, more[list(counts)]], ignore_index=True),
        df=own_df,
        satterthwaite=lambda w: float(own_df[w != 0].min()),
    )


_LABELS = ["outcome", "term", "scale", "unit", "covariate", "level"]


def _rows(effects: Effects, column: str, outcome: str, scale: str) -> NDArray[np.intp]:
    wanted = {"covariate": column, "outcome": outcome, "scale": scale}
    mine = np.logical_and.reduce([effects.labels[k] == v for k, v in wanted.items()])
    return np.flatnonzero(mine & np.isfinite(effects.estimate))


def _alike(effects: Effects, one: Groups, outcome: str, scale: str) -> Test | None:
    """Test that the effect is the same in all groups of a column; None where there are too few of them.

    By F, as Hotelling's test for normal sums of clusters: G is their number and q that of the differences.
    """
    from scipy.special import fdtrc

    rows = _rows(effects, one.column, outcome, scale)
    q = len(rows) - 1
    if q < 1 or (clusters := int(np.asarray(effects.df)[rows].min()) + 1) <= q:
        return None
    contrast = np.zeros((len(effects), q))
    contrast[rows[0]], contrast[rows[1:], np.arange(q)] = -1, 1
    apart = effects.combine(contrast, labels=effects.labels.iloc[rows[1:]])
    try:
        statistic = wald(apart.estimate, apart.vcov)[0] * (clusters - q) / (q * (clusters - 1))
    except DesignError:
        return None
    said = {"shows": "effect alike in groups", "covariate": one.column, "scale": scale, "outcome": outcome}
    method = {**effects.method, **said, "df_error": clusters - q}
    name = "the effect is the same in all groups"
    return Test(name, statistic, q, float(fdtrc(q, clusters - q, statistic)), method, _behind(effects, rows))


def _behind(effects: Effects, rows: NDArray[np.intp]) -> pd.DataFrame:
    """What lies behind something made of several groups: everyone, and of the smallest group the fewest."""
    own = effects.counts.iloc[rows]
    outcome = effects.labels["outcome"].iloc[rows[0]]
    main = (effects.labels["covariate"] == "people") & (effects.labels["outcome"] == outcome)
    fewest = int(own[["treated", "events"]].to_numpy().min())
    behind: pd.DataFrame = effects.counts[main].iloc[[0]].assign(fewest=fewest)
    return behind


Line = tuple[dict[str, str], Array, NDArray[np.intp]]


def _trends(effects: Effects, one: Groups, outcomes: Sequence[str]) -> list[Line]:
    """How much more the effect is at the first end of the people than at the last."""
    found: list[Line] = []
    for outcome in outcomes:
        for scale in _SCALES:
            rows = _rows(effects, one.column, outcome, scale)
            if len(rows) > 2:
                first, last = slope_weights(effects.counts["persons"].to_numpy(float)[rows])
                weights = np.zeros(len(effects))
                weights[rows] = first - last
                unit = str(effects.labels["unit"].iloc[rows[0]])
                label = {"outcome": outcome, "term": one.column, "scale": scale, "unit": unit}
                found.append((label, weights, rows))
    return found


def _weighted(
    effects: Effects, one: Groups, weights: Mapping[str, float], outcomes: Sequence[str]
) -> list[Line]:
    """Events avoided over all groups, each group's counted by its weight, and as they are."""
    if unknown := sorted({*weights} - {*one.levels}):
        raise DataError(
            f"equity.weights: {one.column!r} has no group {unknown[0]!r}, but {', '.join(one.levels)}."
        )
    found: list[Line] = []
    scale = "events avoided"
    for outcome in outcomes:
        if not len(rows := _rows(effects, one.column, outcome, scale)):
            continue
        levels = effects.labels["level"].iloc[rows]
        if lacking := [level for level in levels if level not in weights]:
            raise DataError(f"equity.weights: {one.column!r} has a group {lacking[0]!r} without a weight.")
        for term, by in (("unweighted", np.ones(len(rows))), ("weighted", levels.map(weights).to_numpy())):
            all_groups = np.zeros(len(effects))
            all_groups[rows] = by
            unit = str(effects.labels["unit"].iloc[rows[0]])
            found.append(({"outcome": outcome, "term": term, "scale": scale, "unit": unit}, all_groups, rows))
    return found


def _derived(effects: Effects, lines: Sequence[Line]) -> Effects:
    """Combine groups by known weights; the people behind are everyone, as in the main result."""
    labels = pd.DataFrame([label for label, _, _ in lines])
    counts = pd.concat([_behind(effects, rows) for _, _, rows in lines], ignore_index=True)
    weights = np.column_stack([weights for _, weights, _ in lines])
    out = effects.combine(weights, labels=labels, counts=counts)
    method = {k: v for k, v in effects.method.items() if k != "left_out"}
    return replace(out, method={**method, "shows": "effect across groups"})
