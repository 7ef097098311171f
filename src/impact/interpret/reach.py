"""Did support reach those in most need? Who had support, and who needed it, by deprivation.

Inequality over ordered groups is told by the slope index, how much more the very first have than the very
last, and the relative index, how many times as much, by the line fitted to all groups (``numbers.ridit``).
The groups are those of the study, so their sizes are taken as known; the errors are those of what happened.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.panel import Panel
from impact.errors import DesignError
from impact.interpret.description import GROUPS
from impact.interpret.groups import Groups, groups_of
from impact.match.trajectories import two_largest
from impact.numbers.inference import cr1, root_by
from impact.numbers.ridit import slope_weights
from impact.results import Array, Effects, Result, Summary

# Groups with fewer people with support, or without, are put together with the next before a line is fitted.
FEWEST = 10
_PERCENT = "per 100 people"


def reach(panel: Panel, *, outcome: str, by: str | None) -> dict[str, Result]:
    """Describe who had support and who needed it by deprivation, and how uneven both were.

    Parameters
    ----------
    panel : Panel
        On the event clock, with everyone who had support or might have had it; ``by`` is a covariate.
    outcome : str
        Need is the rate of it before the index date.
    by : str or None
        Column whose levels are in order, from the most deprived; without it there is nothing.

    Returns
    -------
    dict
        ``by_deprivation``: of each level people with and without support, the share that had support, events
        before and their rate. ``reach``: how much more of the most deprived had support than of the least
        (in 100 people, and as a ratio), and ``most deprived``: their share of support divided by their share
        of all who might have had it. ``need``: the same two of rates before.

    Raises
    ------
    DataError
        For an unknown column or outcome, or one that is no set of groups.
    """
    if by is None:
        return {}
    if panel.clock != "event":
        raise DesignError("reach: needs a panel with clock='event', so that everyone has a before.")
    (outcome,) = panel.check_outcomes(outcome)
    panel = panel.each_once()
    one = groups_of(panel.covariates, by)
    found: dict[str, Result] = {"by_deprivation": _table(panel, one, outcome)}
    whole = _joined(one, panel.treated)
    if whole.code.max(initial=-1) < 1:
        return found
    everyone = np.ones(panel.n)
    shares = _rates(panel, whole, panel.treated.astype(float), everyone, 100.0)
    found["reach"] = _uneven(shares, whole, "support", _PERCENT, with_share=True)
    events, time = _before(panel, outcome)
    if all(events[whole.code == i].sum() > 0 for i in range(len(whole.levels))):
        rates = _rates(panel, whole, events, time, panel.rate_scale)
        found["need"] = _uneven(rates, whole, outcome, panel.per, with_share=False)
    return found


def _before(panel: Panel, outcome: str) -> tuple[Array, Array]:
    """Events and time before the index date, (n,)."""
    before = panel.periods.to_numpy() < 0
    return panel.outcomes[outcome][:, before].sum(1), panel.exposure[outcome][:, before].sum(1)


def _table(panel: Panel, one: Groups, outcome: str) -> Summary:
    events, time = _before(panel, outcome)
    rows: list[dict[str, Any]] = []
    for i, level in [*enumerate(one.levels), (-1, "missing")]:
        mine = one.code == i
        if not mine.any():
            continue
        row: dict[str, Any] = {"covariate": one.column, "level": level}
        for treated, arm in GROUPS.items():
            row[f"{arm}_persons"] = int((mine & (panel.treated == treated)).sum())
            row[f"{arm}_all"] = int((panel.treated == treated).sum())
        row["persons"], row["before_events"] = int(mine.sum()), round(float(events[mine].sum()))
        first, second = two_largest(events[mine][:, None], np.arange(mine.sum()))[:, 0]
        row["before_largest"], row["before_second"] = first, second
        row["before"] = (
            panel.rate_scale * events[mine].sum() / time[mine].sum() if time[mine].any() else np.nan
        )
        rows.append(row)
    table = pd.DataFrame(rows)
    for arm in GROUPS.values():
        table[f"{arm}_percent"] = 100 * table[f"{arm}_persons"] / table[f"{arm}_all"].clip(lower=1)
    table["reached_percent"] = 100 * table["supported_persons"] / table["persons"]
    counts = [f"{arm}_persons" for arm in GROUPS.values()]
    percent = {f"{arm}_percent": (f"{arm}_persons", f"{arm}_all") for arm in GROUPS.values()}
    return Summary(
        table,
        {"shows": "support and need by deprivation", "outcome": outcome, "per": panel.per},
        people=[*counts, "persons"],
        events=["before_events"],
        percent=percent | {"reached_percent": ("supported_persons", "persons")},
        largest={"before_events": ("before_largest", "before_second")},
        rates={"before": ("before_events", "persons")},
        derived={"before": ["before_events", *counts]},
        adds_up=["covariate"],
    )


def _joined(one: Groups, treated: NDArray[np.bool_]) -> Groups:
    """Put groups in which few had support, or few had not, together with the next; and those of no one."""
    joined: list[list[int]] = [[]]
    for i in range(len(one.levels)):
        joined[-1].append(i)
        mine = np.isin(one.code, joined[-1])
        if min((mine & treated).sum(), (mine & ~treated).sum()) >= FEWEST:
            joined.append([])
    over = joined.pop()
    if joined:
        joined[-1] += over
    code = np.full(len(one.code), -1)
    for found, some in enumerate(joined):
        code[np.isin(one.code, some)] = found
    return replace(one, code=code, levels=tuple(" and ".join(one.levels[i] for i in g) for g in joined))


def _rates(panel: Panel, one: Groups, events: Array, time: Array, scale: float) -> Effects:
    """Rates of each group, and last of everyone in them, with their joint root over the panel's clusters."""
    member = np.column_stack([one.code == i for i in range(len(one.levels))] + [one.code >= 0]).astype(float)
    at_risk = member * time[:, None]
    rate = scale * (events @ member) / at_risk.sum(0)
    influence = (scale * events[:, None] * member - rate * at_risk) / at_risk.sum(0)
    known = one.code >= 0
    root = root_by(
        influence[known],
        panel.cluster[known],
        factor=lambda clusters: cr1(clusters, int(known.sum()), len(one.levels)),
    )
    label = {"outcome": "", "term": "rate", "scale": "rate", "unit": ""}
    behind = {"persons": int(known.sum()), "treated": int(panel.treated[known].sum())}
    fewest = [_fewest(panel, one.code == i) for i in range(len(one.levels))]
    counts = pd.DataFrame([{**behind, "fewest": n} for n in [*fewest, min(fewest)]])
    labels = pd.DataFrame([label] * len(rate))
    return Effects(labels, rate, root.root, root.clusters, root.at_risk - 1, {}, counts)


def _fewest(panel: Panel, mine: NDArray[np.bool_]) -> int:
    return int(min((mine & panel.treated).sum(), (mine & ~panel.treated).sum()))


def _uneven(rates: Effects, one: Groups, outcome: str, unit: str, *, with_share: bool) -> Effects:
    """Slope and relative index, most deprived against least; and what the most deprived have of the whole."""
    size = np.bincount(one.code[one.code >= 0], minlength=len(one.levels))
    ends = np.column_stack([np.append(weights, 0.0) for weights in slope_weights(size)])
    most, least = rates.estimate @ ends
    own = np.zeros(len(rates))
    own[[0, -1]] = 1 / rates.estimate[[0, -1]] * [1, -1]
    rows: list[tuple[str, str, float, Array]] = [
        ("most against least", "difference", most - least, ends @ [1, -1])
    ]
    if min(most, least) > 0:
        rows.append(("most against least", "log ratio", np.log(most / least), ends @ [1 / most, -1 / least]))
    if with_share:
        ratio = np.log(rates.estimate[0] / rates.estimate[-1])
        rows.append(("most deprived", "log ratio", ratio, own))
    labels = pd.DataFrame(
        [
            {
                "outcome": outcome,
                "term": term,
                "scale": scale,
                "unit": unit if scale == "difference" else scale,
            }
            for term, scale, _, _ in rows
        ]
    )
    counts = rates.counts.iloc[[-1] * len(rows)]
    estimate, jacobian = np.array([row[2] for row in rows]), np.column_stack([row[3] for row in rows])
    out = rates.transform(lambda _: estimate, lambda _: jacobian, labels=labels, counts=counts)
    method: dict[str, Any] = {"shows": "inequality", "covariate": one.column, "outcome": outcome}
    method |= {"inference": "CR1", "parameters": len(size), "joined": list(one.levels)}
    return replace(out, method=method)
