"""The effect on counts that most people have none of, such as bed days: whether any, and how many if any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from impact.errors import DesignError
from impact.match.gcomputation import Model, Totals, regressors, spread, within_reach
from impact.match.propensity import Array
from impact.match.rate_ratio import PER_MONTHS, UNIT
from impact.match.risk import PER_PEOPLE
from impact.match.risk import UNIT as PEOPLE
from impact.match.sample import Followed, Part, Sample, comparable, distinct, each, names_of
from impact.results import Effects, Matched

if TYPE_CHECKING:
    from impact.data import Cohort


def hurdle(
    matched: Matched | Cohort,
    *,
    outcome: str | Sequence[str],
    adjust: Sequence[str] = (),
    cohort: Cohort | None = None,
) -> Effects:
    """Split the effect on a count in two: how many people have any, and how many those have.

    Two regressions on support, ``adjust`` and, where it differs between people, the logarithm of the time at
    risk: logistic for having any, and Poisson quasi-likelihood for how many among those who have any. For the
    people the effect is about and their time they give the people with any, ``A``, and the events, ``M``,
    with and without support. The ratio of events is exactly the ratio of ``A`` times the ratio of ``M/A``.

    Who has any may differ between the arms by the effect itself, so ``given any`` describes how the effect
    comes about; it is not an effect on the people who would have had some anyway.

    Parameters
    ----------
    matched, outcome, adjust, cohort
        As in ``rate_ratio``.

    Returns
    -------
    Effects
        For each outcome by ``term``: ``any``, the log risk ratio and the difference per 100 people; ``given
        any``, the log ratio of events per person who has any; ``effect``, the scales of ``rate_ratio``. One
        joint covariance; clusters as in ``rate_ratio`` (CR1, where K counts both regressions).

    Raises
    ------
    ParameterError, DataError, DesignError
        As in ``rate_ratio``.

    References
    ----------
    Mullahy, J. (1986). Specification and testing of some modified count data models. Journal of Econometrics
    33, 341-365. Cameron, A. C. and Trivedi, P. K. (2013). Regression Analysis of Count Data, ch. 4.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.data import Cohort
    >>> nights = [0] * 6 + [4, 8] + [0] * 4 + [8] * 4
    >>> frame = pd.DataFrame({"helped": [1] * 8 + [0] * 8, "nights": nights})
    >>> cohort = Cohort.from_frame(frame, treated="helped", outcomes=["nights"])
    >>> table = hurdle(cohort, outcome="nights").table.query("scale == 'log ratio'")
    >>> np.exp(table.set_index("term")["estimate"]).round(3).to_dict()
    {'any': 0.5, 'given any': 0.75, 'effect': 0.375}
    """
    sample = Sample.of(matched, cohort)
    followed = {name: sample.events(name) for name in names_of(list(sample.cohort.outcomes), outcome)}
    comparable(followed)
    covariates = sample.covariates(adjust, followed)
    att = sample.estimand == "ATT"
    parts = each(followed, lambda rows: _part(_totals(rows, covariates), att))
    said = sample.method(
        "rates",
        estimator="hurdle regression",
        outcomes=[*followed],
        adjust=adjust,
        time=True,
    )
    found = sample.effects(followed, parts, {**said, "family": "logit and poisson"})
    counts = found.counts.copy()
    for name, rows in followed.items():
        # Behind the first step stand people who have any, however many events they have; behind the second
        # they alone.
        any_, some = replace(rows, y=(rows.y > 0).astype(float)), rows.at_risk & (rows.y > 0)
        steps = {"any": sample.behind(any_, rows.at_risk), "given any": sample.behind(rows, some)}
        for term, behind in steps.items():
            here = (found.labels["outcome"] == name) & (found.labels["term"] == term)
            counts.loc[here, list(behind)] = list(behind.values())
    return replace(found, counts=counts)


def _totals(rows: Followed, covariates: Array) -> Totals:
    """Events with and without support, time, people with any with and without support, and people."""
    at = rows.at_risk
    w, months, y, support = rows.weight[at], rows.months[at], rows.y[at], rows.treated[at].astype(float)
    target, own = (a[at] for a in rows.target)
    for arm in (rows.treated, ~rows.treated):
        if min(distinct(way[arm & rows.at_risk & (rows.y > 0)]) for way in rows.ways) < 2:
            raise DesignError(
                "in one of the arms a single person or set has any, so how many they have cannot be told "
                "from chance; use match.rate_ratio."
            )
    x = covariates[:, at]
    if np.ptp(months) > 0:
        x = np.vstack([x, np.log(months)])
    design = regressors(x, interact=False, centre=x @ target / target.sum())
    observed = design(support)
    some: Array = w * (y > 0)
    none = np.zeros(len(w))
    for weights in (w, some):
        within_reach(observed, weights, map(design, (1.0, 0.0)), target > 0)
    chance = Model.fit(observed, (y > 0).astype(float), weights=w, family="logit", offset=none)
    amount = Model.fit(observed, y, weights=some, family="poisson", offset=none)
    value, by_chance, by_amount, direct = [], [], [], []
    for x_a in map(design, (1.0, 0.0)):
        (p, rise), (m, slope) = chance.at(x_a), amount.at(x_a)
        value.append((target @ (p * m), target @ p))
        by_chance.append((x_a @ (target * rise * m), x_a @ (target * rise)))
        by_amount.append((x_a @ (target * p * slope), np.zeros(len(chance.coef))))
        direct.append((p * m, p))
    # From with and without support by events and people, to the order of the totals.
    nothing, order = np.zeros(len(chance.coef)), (0, 2, 4, 1, 3, 5)

    def ordered(pairs: list[tuple[Array, Array]], time: Array, people: Array) -> Array:
        flat = [*pairs[0], *pairs[1], time, people]
        return np.column_stack([flat[i] for i in order])

    through = chance.moved(ordered(by_chance, nothing, nothing))
    more = amount.moved(ordered(by_amount, nothing, nothing)) * (y > 0)[:, None]
    by_weight = through + more + own[:, None] * ordered(direct, months, np.ones(len(w)))
    flat = [*value[0], *value[1], target @ months, target.sum()]
    total = np.array([flat[i] for i in order])
    moved = w[:, None] * (through + more)
    return Totals(total, spread(moved, at), spread(by_weight, at), 2 * len(chance.coef))


def _part(totals: Totals, att: bool) -> Part:
    m1, m0, time, a1, a0, people = totals.value
    gap, more = PER_MONTHS * (m1 - m0) / time, PER_PEOPLE * (a1 - a0) / people
    any_, given = np.log(a1 / a0), np.log(m1 / a1) - np.log(m0 / a0)
    found = [
        ("any", "log ratio", "log ratio", any_, [0, 0, 0, 1 / a1, -1 / a0, 0]),
        (
            "any",
            "difference",
            PEOPLE,
            more,
            [0, 0, 0, PER_PEOPLE / people, -PER_PEOPLE / people, -more / people],
        ),
        ("given any", "log ratio", "log ratio", given, [1 / m1, -1 / m0, 0, -1 / a1, 1 / a0, 0]),
        ("effect", "log ratio", "log ratio", np.log(m1 / m0), [1 / m1, -1 / m0, 0, 0, 0, 0]),
        ("effect", "difference", UNIT, gap, [PER_MONTHS / time, -PER_MONTHS / time, -gap / time, 0, 0, 0]),
    ]
    if att:
        found.append(("effect", "events avoided", "events", m0 - m1, [-1, 1, 0, 0, 0, 0]))
    labels = [{"term": term, "scale": scale, "unit": unit} for term, scale, unit, _, _ in found]
    return totals.part(labels, [f[3] for f in found], np.array([f[4] for f in found], float).T)
