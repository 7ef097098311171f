"""What to withhold as well, so that every count that is too small can be any number that is too small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from impact.disclosure.attack import Goal, Knowledge, Mask, Whole
from impact.disclosure.policies import Policy

# Of each set as many of the cheapest counts are looked at before all are.
CHEAPEST = 4


def as_printed(exact: Knowledge, hidden: Mask, policy: Policy) -> Knowledge:
    """Return what a reader knows who takes each count that is shown for any that is printed alike.

    A total that is printed as the sum of its rounded parts says no more than they do.
    """
    value = exact.value
    near = np.maximum(value[:, None] + np.arange(-policy.round_to, policy.round_to + 1), 0)
    alike = (policy.rounded(near) == policy.rounded(value)[:, None]) & ~policy.small(near)
    low, high = np.where(alike, near, value[:, None]).min(1), np.where(alike, near, value[:, None]).max(1)
    return replace(exact, least=np.where(hidden, exact.least, low), most=np.where(hidden, np.inf, high))


def by_sums_alone(alone: Knowledge, high: Whole, at_least: int) -> Whole:
    """Return the least that each count must be able to be: what holds of any such report is no secret.

    Where zeros are shown what is withheld is one or more, and a total of k of them is k or more.
    """
    low = np.full(len(high), at_least)
    goals = [Goal(int(cell), at_least, -1) for cell in np.flatnonzero(high >= low)] if at_least else []
    for goal in alone.given_away(np.ones(len(high), bool), goals):
        low[goal.cell] = alone.smallest(goal.cell)
    return low


def protected(
    known: Knowledge, hidden: Mask, low: Whole, high: Whole, cost: NDArray[np.float64]
) -> tuple[Mask, list[int]]:
    """Withhold the cheapest counts until each that is withheld can be what it must; say which cannot.

    A hidden cell must be able to be ``low`` and ``high``, unless ``high`` is below; ``cost`` is infinite for
    what cannot be withheld any more.
    """
    lost: set[int] = set()
    goals = [
        goal
        for cell in map(int, np.flatnonzero(hidden & (high >= low)))
        for goal in (Goal(cell, int(high[cell]), 1), Goal(cell, int(low[cell]), -1))
    ]
    search = Search(known, cost)
    # What is in reach stays in reach when more is withheld.
    while goals := [goal for goal in known.given_away(hidden, goals) if goal.cell not in lost]:
        before = hidden.sum()
        for goal in goals:
            if goal.cell in lost or search.has_reached(goal):
                continue
            more = search.cheapest(hidden, goal)
            if more is None:
                lost.add(goal.cell)
            else:
                hidden[more] = True
        if hidden.sum() == before and len(stuck := [goal.cell for goal in goals if goal.cell not in lost]):
            # What a fraction of a person could do, whole people cannot: the cheapest neighbour goes too.
            beside = known.beside(stuck[0], ~hidden & np.isfinite(cost))
            if len(beside):
                hidden[beside[np.argmin(cost[beside])]] = True
            else:
                lost |= {*stuck}
        goals = [goal for goal in goals if goal.cell not in lost and not search.has_reached(goal)]
    return hidden, sorted(lost)


def widened(
    known: Knowledge, hidden: Mask, goals: Sequence[Goal], may_go: Mask, policy: Policy
) -> tuple[Knowledge, Mask] | None:
    """Withhold all that hangs together with a count that nothing else protects, until it is protected.

    One ring of neighbours after another goes, zeros as well: where those go, what is withheld may be none as
    far as a reader can tell. Returns what the reader then knows, and what is withheld; None where neither all
    of it nor rounding on top is enough.
    """
    beside = abs(known.sums)
    ring = np.isin(np.arange(len(hidden)), [goal.cell for goal in goals])
    while known.given_away(hidden, goals):
        wider = (beside.T @ (beside @ ring.astype(int)) > 0) & (may_go | hidden)
        if not (wider & ~ring).any():
            return None if as_printed(known, hidden, policy).given_away(hidden, goals) else (known, hidden)
        ring |= wider
        if (ring & may_go & (known.value == 0)).any():
            known = replace(known, least=np.where(ring, 0, known.least))
        hidden = hidden | ring & may_go
    return known, hidden


class Search:
    """The search for what to withhold, near a count first; how counts can move together, as it found."""

    def __init__(self, known: Knowledge, cost: NDArray[np.float64]) -> None:
        self.known, self.cost = known, cost
        self.around = known.around(np.isfinite(cost))
        self.cheap = known.cheap(cost, CHEAPEST)
        self.moves: list[NDArray[np.float64]] = []

    def cheapest(self, hidden: Mask, goal: Goal) -> Whole | None:
        """Return what to withhold as well; among the cheapest nearby first, which is nearly as good."""
        everything = self.around[goal.cell]
        some = self.known.near(goal.cell, hidden | self.cheap, everything)
        found = self.known.cheapest(hidden, goal, self.cost, some)
        found = found or self.known.cheapest(hidden, goal, self.cost, everything)
        if found is None:
            return None
        more, move = found
        self.moves.append(move)
        return more

    def has_reached(self, goal: Goal) -> bool:
        """Whether what was withheld for others will do, by a move that was found, or more or less of it."""
        value, known = self.known.value, self.known
        for move in self.moves:
            if move[goal.cell]:
                world = value + move * ((goal.target - value[goal.cell]) / move[goal.cell])
                whole = np.rint(world)
                possible = (abs(world - whole) < 1e-6).all() and (whole >= known.least).all()
                if possible and (known.sums @ whole == known.equal).all():
                    return True
        return False
