"""Which counts to withhold so that none that is too small can be worked out from everything that is shown."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, combinations

import numpy as np
from numpy.typing import NDArray

from impact.disclosure.attack import Knowledge, Mask, Set, Whole
from impact.disclosure.cells import Cell, Labels, Sum, who
from impact.disclosure.policies import Policy

Key = tuple[str, Labels, int]


@dataclass
class Counts:
    """The counts of a report, each once however many tables it stands in, and how they add up.

    ``keys`` say what each counts and how many, ``shown`` whether any table shows it, ``fixed`` whether an
    earlier release does, which cannot be taken back.
    """

    keys: list[Key] = field(default_factory=list)
    shown: list[bool] = field(default_factory=list)
    fixed: list[bool] = field(default_factory=list)
    sets: dict[Set, None] = field(default_factory=dict)
    _placed: set[int] = field(default_factory=set)
    _number: dict[Key, int] = field(default_factory=dict)
    _rows: set[int] = field(default_factory=set)

    def number(self, cell: Cell, *, fixed: bool = False) -> int:
        """Return the number of a count; two cells that count the same people, and as many, are one."""
        key = (cell.measure, cell.labels, cell.value)
        at = self._number.setdefault(key, len(self.keys))
        if at == len(self.keys):
            self.keys.append(key)
            self.shown.append(False)
            self.fixed.append(False)
        self.shown[at] |= cell.shown
        self._placed |= {at} if cell.column else set()
        self.fixed[at] |= fixed and cell.shown
        return at

    def add_table(self, cells: Iterable[Cell], sums: Iterable[Sum], *, fixed: bool = False) -> None:
        """Add the counts of one table, what it declares to add up, and what follows from its labels.

        What an earlier table shows (``fixed``) cannot be taken back.
        """
        numbers = {self.number(cell, fixed=fixed): cell for cell in cells}
        for at, cell in numbers.items():
            if (whoever := who(cell)) != cell:
                self._add_up([at], self.number(whoever, fixed=fixed))
        totals: set[int] = set()
        rest: set[int] = set()
        for parts, total in sums:
            of = [self.number(part) for part in parts]
            self._add_up(of, None if total is None else self.number(total))
            if len(of) == 1:
                # A row that is the total of others is not added to them.
                totals.add(of[0])
            else:
                # What is shown nowhere, such as the rest of a percentage, adds up as well.
                rest |= {at for at, part in zip(of, parts, strict=True) if not part.column}
        alone = (numbers.keys() | rest) - totals
        self._add_alike(sorted(alone))
        self._rows |= alone

    def _add_alike(self, rows: Iterable[int]) -> None:
        """Add up rows that are alike in some things, if no row is there twice, to all that are."""
        patterns: dict[tuple[str, tuple[str, ...]], list[int]] = defaultdict(list)
        for at in rows:
            measure, labels, _ = self.keys[at]
            patterns[measure, tuple(sorted({what for what, _ in labels}))].append(at)
        for (measure, whats), members in patterns.items():
            for some in chain.from_iterable(combinations(whats, k) for k in range(len(whats))):
                groups: dict[Labels, list[int]] = defaultdict(list)
                for at in members:
                    groups[frozenset(p for p in self.keys[at][1] if p[0] in some)].append(at)
                for labels, parts in groups.items():
                    if 1 < len(parts) == len({self.keys[at][1] for at in parts}):
                        total = Cell(measure, labels, sum(self.keys[at][2] for at in parts))
                        self._add_up(parts, self.number(total))

    def _add_up(self, parts: Sequence[int], total: int | None) -> None:
        self.sets[Set(tuple(sorted(parts)), total)] = None

    def withhold(self, policy: Policy) -> tuple[Mask, list[int]]:
        """Return the counts to withhold, and those that no withholding protects any more.

        Those that are too small to show, and the cheapest others, until every one that is too small could
        be any number that is too small. Small counts are cheaper than large ones, zeros and totals dear.
        """
        self._add_alike(sorted(self._rows))
        value = np.array([v for _, _, v in self.keys], np.int64)
        fixed, shown = np.array(self.fixed, bool), np.array(self.shown, bool)
        small = policy.small(value)
        hidden, least, sets = (~shown | small) & ~fixed, np.zeros(len(value), np.int64), []
        # A reader who sees zeros elsewhere takes it that what is withheld is none, and is told which are.
        least[(shown | small) & (value > 0)] = int(policy.zero_shown)
        for one in self._that_tell(shown):
            parts, total = list(one.parts), value[list(one.parts)].sum()
            if one.total is None:
                # k withheld counts hold at least k where zeros are shown: a total below this has no room
                # for them, so zeros are withheld as well; one too small to show is not known either.
                room = policy.smallest_shown - 2 + len(parts) if policy.zero_shown else 0
                if (hidden & small)[parts].any() and total < max(policy.smallest_shown, room):
                    hidden[parts], least[parts] = ~fixed[parts], 0
            if one.total is not None or total >= policy.smallest_shown:
                sets.append(one)
        totals = [one.total for one in sets if one.total is not None]
        low = np.full(len(value), int(policy.zero_shown))
        # As many parts as are withheld are at least in their total: no secret, where zeros are shown.
        by_size = sorted((one for one in sets if one.total is not None), key=lambda one: value[one.total])
        for one in by_size if policy.zero_shown else ():
            parts = [at for at in one.parts if hidden[at] and value[at]]
            low[one.total] = max(low[one.total], low[parts].sum())
        high = np.where(small, policy.smallest_shown - 1, -1)
        if policy.round_to == 1:
            for at, other in self._nearly_the_same(~hidden, policy):
                hidden[at] = True
                reach = policy.smallest_shown - 1
                low[at], high[at] = max(0, value[other] - reach), value[other] + reach
        cost = np.log2(2.0 + value) * np.where(value == 0, 1000, 1)
        cost[totals] *= 20
        cost[fixed] = np.inf
        return _protected(Knowledge.of(value, least, sets), hidden, low, high, cost)

    def _nearly_the_same(self, shown: Mask, policy: Policy) -> Iterator[tuple[int, int]]:
        """Find counts of the same kind that differ by too few, and the one that each is too near to.

        Two samples, or two releases, that differ by one person give that person away. Rounding hides it.
        """
        alike: dict[tuple[str, Labels], list[int]] = defaultdict(list)
        for at in sorted(np.flatnonzero(shown), key=lambda at: not self.fixed[at]):
            measure, labels, value = self.keys[at]
            near = [k for k in alike[measure, labels] if abs(self.keys[k][2] - value) < policy.smallest_shown]
            if near and not self.fixed[at]:
                yield int(at), near[0]
            else:
                alike[measure, labels].append(int(at))

    def _that_tell(self, shown: Mask) -> list[Set]:
        """Leave out sets with a total that nobody sees and that is in no other set: they tell nothing.

        A total that the report itself counts is known from there, if it is shown, and not from elsewhere.
        """
        told = {one.parts for one in self.sets if one.total in self._placed}
        sets = [s for s in self.sets if s.total is not None or (len(s.parts) > 1 and s.parts not in told)]
        while True:
            often = Counter(at for one in sets for at in {*one.parts, one.total})
            kept = [s for s in sets if s.total is None or shown[s.total] or often[s.total] > 1]
            if len(kept) == len(sets):
                return sets
            sets = kept


def _protected(
    known: Knowledge, hidden: Mask, low: Whole, high: Whole, cost: NDArray[np.float64]
) -> tuple[Mask, list[int]]:
    lost: list[int] = []
    while True:
        found = [pair for pair in known.given_away(hidden, low, high) if pair[0] not in lost]
        if not found:
            return hidden, lost
        before = hidden.sum()
        for cell, target in found:
            more = known.cheapest(hidden, cell, target, cost)
            if more is None:
                lost.append(cell)
            else:
                hidden[more] = True
        if hidden.sum() == before and len(stuck := [cell for cell, _ in found if cell not in lost]):
            # What a fraction of a person could do, whole people cannot: the cheapest neighbour goes too.
            beside = known.beside(stuck[0], ~hidden & np.isfinite(cost))
            if len(beside):
                hidden[beside[np.argmin(cost[beside])]] = True
            else:
                lost += stuck
