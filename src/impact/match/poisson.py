"""The conditional Poisson model: a common ratio within matched sets."""

from __future__ import annotations

import numpy as np

from impact.errors import DesignError
from impact.match.propensity import Array
from impact.match.sample import Followed, Part
from impact.numbers.regress import glm


def conditional(rows: Followed) -> Part:
    """Poisson regression with an effect for each set, which is concentrated out.

    Given the events of a set, those of its supported are binomial, with odds of time at risk times the ratio.
    So sets in which everyone has the same count take part: their split of events over time says as much about
    the ratio as any other. (They are uninformative in conditional logit only.)
    """
    arms = []
    for arm in (rows.treated, ~rows.treated):
        mine = arm & rows.at_risk
        arms.append([np.bincount(rows.sets, v * mine) for v in (rows.y, rows.months)])
    (y1, t1), (y0, t0) = arms
    at = np.flatnonzero((t1 > 0) & (t0 > 0) & (y1 + y0 > 0))
    if len(at) < 2 or not (y1[at].any() and y0[at].any()):
        raise DesignError("too few sets have events to compare within them; use estimand='marginal'.")
    total: Array = (y1 + y0)[at].astype(float)
    odds = np.log(t1[at] / t0[at])
    fit = glm(np.ones((1, len(at))), y1[at] / total, family="logit", weights=total, offset=odds)
    # What a set says is written at its first supported person.
    first = np.zeros(len(y1), np.intp)
    supported = np.flatnonzero(rows.treated & rows.at_risk)[::-1]
    first[rows.sets[supported]] = supported
    influence = np.zeros((len(rows.y), 1))
    influence[first[at], 0] = (y1[at] - total * fit.mean) * fit.bread[0, 0]
    label = {"term": "effect", "scale": "log ratio", "unit": "log ratio"}
    # Sets without events, or without time on one side, lend the error no freedom.
    behind = np.isin(rows.sets, at) & rows.at_risk
    return Part([label], fit.coef, influence, np.zeros_like(influence), 1, behind)
