"""Did support help all groups as much? Effects by deprivation and in other groups, and tests of a difference.

Each group is analysed by the study's own main method, on the people of that group alone, and the results are
stacked with their joint covariance: people of one group share buildings with those of another. That one
group's effect is clear and another's is not is no difference between them; whether there is one is tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from impact.errors import DataError, DesignError
from impact.interpret.groups import Groups, groups_of
from impact.interpret.subsets import SCALES, Analysis, Line, behind, derived, in_groups, rows_of, with_rest
from impact.numbers.inference import wald
from impact.numbers.ridit import slope_weights
from impact.results import Effects, Result, Test

Columns = Mapping[str, Sequence[float]]


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
    stacked = in_groups(analysis, divided, everyone=everyone, shows="effects by group")
    if stacked is None:
        return {}
    out: dict[str, Result] = {"by_group": with_rest(stacked)}
    tests = [_alike(stacked, one, primary[0], scale) for one in divided for scale in SCALES]
    out |= {f"alike_{t.method['covariate']}_{t.method['scale'].replace(' ', '_')}": t for t in tests if t}
    if lines := [line for one in divided if one.ordered for line in _trends(stacked, one, primary)]:
        out["trends"] = derived(stacked, lines)
    if weights and (lines := _weighted(stacked, divided[0], weights, primary)):
        out["weighted"] = derived(stacked, lines)
    return out


def _alike(effects: Effects, one: Groups, outcome: str, scale: str) -> Test | None:
    """Test that the effect is the same in all groups of a column; None where there are too few of them.

    By F, as Hotelling's test for normal sums of clusters: G is their number and q that of the differences.
    """
    from scipy.special import fdtrc

    rows = rows_of(effects, one.column, outcome, scale)
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
    return Test(name, statistic, q, float(fdtrc(q, clusters - q, statistic)), method, behind(effects, rows))


def _trends(effects: Effects, one: Groups, outcomes: Sequence[str]) -> list[Line]:
    """How much more the effect is at the first end of the people than at the last."""
    found: list[Line] = []
    for outcome in outcomes:
        for scale in SCALES:
            rows = rows_of(effects, one.column, outcome, scale)
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
        if not len(rows := rows_of(effects, one.column, outcome, scale)):
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
