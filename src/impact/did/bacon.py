"""What two-way fixed effects compare when support starts at several times (Goodman-Bacon 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.panel import Panel
from impact.did.balanced import check_balanced
from impact.did.design import check_choice, period_name, weighed
from impact.errors import DesignError
from impact.results import Summary

Array = NDArray[np.float64]

UNTREATED = "Treated vs Untreated"
EARLIER = "Earlier vs Later Treated"
LATER = "Later vs Earlier Treated"
ALWAYS = "Later vs Always Treated"
# The controls of these already have support, so that changes in its effect are taken for what happens
# without it.
FORBIDDEN = (LATER, ALWAYS)


def bacon_decomposition(
    panel: Panel, *, outcome: str | Sequence[str], by: Literal["comparison", "type"] = "comparison"
) -> Summary:
    """Take the estimate of two-way fixed effects apart into comparisons of two groups before and after.

    Each is a difference-in-differences of two groups of starts, over the periods in which one of them
    changes and the other does not. Weighted, they add up exactly to ``twfe(family="linear",
    staggered="allow")``; weight on comparisons with people who already have support is a reason to choose
    another estimator.

    Parameters
    ----------
    panel : Panel
        On the calendar clock, everyone at risk in every period.
    outcome : str or sequence of str
    by : 'comparison' or 'type'
        One row a comparison, or one a type of comparison with the weights added up.

    Returns
    -------
    Summary
        ``outcome, type, treated_group, control_group`` (first periods with support, 'never' or 'always'),
        ``treated, controls`` (people), ``events`` (of the treated after), ``estimate`` in the panel's unit
        and ``weight``, which adds up to 1 for each outcome. People with support throughout are compared as
        'Later vs Always Treated'; ``twfe`` itself leaves them out.

    Raises
    ------
    DesignError
        For holes in the panel, the event clock, or no two groups of which one changes.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data.panel import Panel
    >>> frame = pd.DataFrame({"site": [1, 1, 1, 2, 2, 2, 3, 3, 3], "year": [1, 2, 3] * 3,
    ...                       "falls": [4, 2, 2, 6, 5, 4, 5, 5, 6], "start": [2] * 3 + [3] * 3 + [None] * 3})
    >>> panel = Panel.from_long(frame, unit="site", period="year", outcomes=["falls"],
    ...                         first_treated="start")
    >>> table = bacon_decomposition(panel, outcome="falls").table
    >>> table[["type", "treated_group", "control_group", "estimate", "weight"]].round(3)
                           type treated_group control_group  estimate  weight
    0  Earlier vs Later Treated             2             3      -1.0   0.167
    1  Later vs Earlier Treated             3             2      -1.0   0.167
    2      Treated vs Untreated             2         never      -2.5   0.333
    3      Treated vs Untreated             3         never      -2.5   0.333
    """
    names = panel.check_outcomes(outcome)
    check_choice("by", by, ("comparison", "type"))
    if panel.clock != "calendar":
        raise DesignError(
            "bacon_decomposition needs clock='calendar': on the event clock everyone starts together, and "
            "there is only one comparison."
        )
    panel = weighed(panel, names)
    check_balanced(panel, names, "bacon_decomposition")
    rows, notes = [], list(panel.notes)
    for name in names:
        found = pd.DataFrame(_comparisons(panel, name))
        if not len(found):
            raise DesignError(
                "there are no two groups of which one changes and the other does not, so there is nothing "
                "to compare: check the start dates and the window."
            )
        found["weight"] /= found["weight"].sum()
        bad = found.loc[found["type"].isin(FORBIDDEN), "weight"].sum()
        notes.append(f"{name}: {bad:.0%} of the weight is on comparisons with those who already had support.")
        rows.append(found if by == "comparison" else _by_type(found))
    table = pd.concat(rows, ignore_index=True)
    people = ["treated", "controls"]
    return Summary(
        table,
        {
            "shows": "comparisons behind two-way fixed effects",
            "diagnostic": "bacon_decomposition",
            "estimand": "the comparisons whose weighted sum is the estimate of two-way fixed effects",
            "outcome": names,
            "family": "linear",
            "unit": panel.per,
            "period": panel.step,
            "notes": notes,
        },
        people=people,
        events=["events"],
        derived={"estimate": [*people, "events"], "weight": people},
    )


def _comparisons(panel: Panel, name: str) -> Iterator[dict[str, Any]]:
    """Yield the comparisons of one outcome, with weights that are not yet shares.

    People without support are those whose start is after the last period, and people with support
    throughout those whose start is the first: one formula holds for all.
    """
    T = len(panel.periods)
    start = np.clip(panel.start, 0, T)
    groups, code = np.unique(start, return_inverse=True)
    weights = panel.weights * panel.exposure[name].mean(1)
    member = (code == np.arange(len(groups))[:, None]).astype(float)
    size = member @ weights
    path = (member * weights) @ panel.rate(name) / size[:, None]
    people, events = member.sum(1), member @ panel.outcomes[name]
    shown = [period_name(p) for p in panel.periods] + ["never"]
    label = ["always" if g == 0 else shown[g] for g in groups]
    for k, later in combinations(range(len(groups)), 2):
        g, h = int(groups[k]), int(groups[later])
        both = size[k] * size[later] * (h - g)
        # The earlier group changes at g and the later has no support until h; the later changes at h, after
        # the earlier has had support since g.
        for own, other, at, window, weight, kind in (
            (k, later, g, slice(0, h), both * g, UNTREATED if h == T else EARLIER),
            (later, k, h, slice(g, T), both * (T - h), LATER if g else ALWAYS),
        ):
            if weight > 0:
                gap = path[own] - path[other]
                yield {
                    "outcome": name,
                    "type": kind,
                    "treated_group": label[own],
                    "control_group": label[other],
                    "treated": int(people[own]),
                    "controls": int(people[other]),
                    "events": round(float(events[own, at : window.stop].sum())),
                    "estimate": float(gap[at : window.stop].mean() - gap[window.start : at].mean()),
                    "weight": float(weight),
                }


def _by_type(found: pd.DataFrame) -> pd.DataFrame:
    """Pool the comparisons of a type; a group that is in several of them is counted once."""
    rows = []
    for kind, one in found.groupby("type", sort=False):
        row: dict[str, Any] = {"outcome": one["outcome"].iloc[0], "type": kind}
        for count, group in (("treated", "treated_group"), ("controls", "control_group")):
            row[count] = int(one.drop_duplicates(group)[count].sum())
        # A group's events after its start, in the comparison with the longest time.
        row["events"] = int(one.groupby("treated_group")["events"].max().sum())
        row["estimate"] = float(np.average(one["estimate"], weights=one["weight"]))
        rows.append({**row, "weight": float(one["weight"].sum())})
    return pd.DataFrame(rows)
