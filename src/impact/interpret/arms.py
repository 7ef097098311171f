"""Several kinds of support: each against the comparison, each against the others, and by how much there was.

Each kind is analysed by the study's own main method, on the people who had it and everyone who had none; a
matched study matches each anew, because a score that tells all supported from the others need not balance one
kind of support (Lechner 2001). The same people are compared with all kinds, so that the results are stacked
with their joint covariance: that one effect is clear and another's is not is no difference between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impact.interpret.groups import Groups
from impact.interpret.subsets import SCALES, Analysis, Line, Mask, derived, in_groups, rows_of, with_rest
from impact.results import Effects, Result

# The column, in the labels of results, whose levels are the kinds of support.
KIND = "kind of support"


@dataclass(frozen=True, eq=False)
class Kinds(Groups):
    """Kinds of support as groups of people, each with everyone who had none."""

    controls: Mask

    def people(self, level: str) -> Mask:
        """Who had this kind of support, or none, (n,)."""
        return super().people(level) | self.controls


def by_arms(
    analysis: Analysis,
    arm: NDArray[Any],
    *,
    everyone: Effects,
    treated: Sequence[str],
    order: Mapping[str, float] | None = None,
) -> dict[str, Result]:
    """Estimate the effect of each kind of support, and set the kinds against each other.

    Parameters
    ----------
    analysis : Analysis
        From ``of_panel``, or from ``of_people`` of people who may be in several (``apart=False``).
    arm : array (n,)
        The arm of each person of the analysis.
    everyone : Effects
        The study's main result, of all kinds together.
    treated : sequence of str
        The arms that had support.
    order : mapping of arm to number, optional
        How much support each arm had, where none counts 0; the arms are then taken from the least on.

    Returns
    -------
    dict
        ``by_arm``: effects of each arm against the comparison, with everyone's in the first rows. Arms of
        fewer than 20 people, or 10 events, are left out and named in ``method['left_out']``; see
        ``subsets.with_rest``. ``arm_against_arm``: of each two arms the effect of the second less that of the
        first, named in ``method['contrasts']`` (as logarithms: the ratio of their ratios). ``per_step``: with
        an ``order``, the effect of one more, by the line from no support through the arms.
        Nothing where fewer than two arms can be estimated.

    References
    ----------
    Lechner, M. (2001), Identification and estimation of causal effects of multiple treatments under the
    conditional independence assumption, in Econometric Evaluation of Labour Market Policies, 43-58.
    """
    levels = tuple(sorted(treated, key=order.__getitem__)) if order else tuple(treated)
    code = np.array([levels.index(one) if one in levels else -1 for one in arm.astype(str)], np.int64)
    kinds = Kinds(KIND, levels, bool(order), np.where(analysis.treated, code, -1), ~analysis.treated)
    stacked = in_groups(analysis, [kinds], everyone=everyone, shows="effects by kind of support")
    if stacked is None:
        return {}
    found: dict[str, Result] = {"by_arm": with_rest(stacked)}
    kept = [level for level in levels if (stacked.labels["level"] == level).any()]
    pairs = [list(reversed(pair)) for pair in combinations(kept, 2)]
    lines = [
        line for pair in pairs for line in _lines(stacked, {pair[0]: 1.0, pair[1]: -1.0}, against(*pair))
    ]
    found["arm_against_arm"] = _said(derived(stacked, lines), "arm against arm", contrasts=pairs)
    if order:
        square = sum(order[level] ** 2 for level in kept)
        slope = {level: order[level] / square for level in kept}
        steps = derived(stacked, _lines(stacked, slope, "one step more"))
        found["per_step"] = _said(steps, "effect by amount of support", amounts={k: order[k] for k in kept})
    return found


def against(one: str, other: str) -> str:
    """Name the contrast of two kinds of support.

    Examples
    --------
    >>> against("visits", "advice")
    'visits against advice'
    """
    return f"{one} against {other}"


def _lines(effects: Effects, weights: Mapping[str, float], term: str) -> list[Line]:
    """Weigh the effects of several arms, for every outcome and scale on which all of them are known."""
    found: list[Line] = []
    for outcome in dict.fromkeys(effects.labels["outcome"]):
        for scale in SCALES:
            rows = rows_of(effects, KIND, str(outcome), scale)
            levels = effects.labels["level"].iloc[rows]
            if not set(weights) <= set(levels):
                continue
            used = rows[levels.isin(list(weights)).to_numpy()]
            by = np.zeros(len(effects))
            by[used] = effects.labels["level"].iloc[used].map(dict(weights))
            label = {"outcome": str(outcome), "term": term, "scale": scale}
            found.append((label | {"unit": str(effects.labels["unit"].iloc[used[0]])}, by, used))
    return found


def _said(effects: Effects, shows: str, **more: Any) -> Effects:
    return replace(effects, method={**effects.method, "shows": shows, **more})
