"""Which counts to withhold so that none that is too small can be worked out from everything that is shown."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, combinations

import numpy as np

from impact.disclosure.attack import Goal, Knowledge, Mask, Set
from impact.disclosure.cells import MEAN, REST, Cell, Labels, Sum, who, whole_sample
from impact.disclosure.crossing import crossing
from impact.disclosure.nested import Key, nested
from impact.disclosure.policies import Policy
from impact.disclosure.search import as_printed, by_sums_alone, protected, widened


@dataclass
class Told:
    """What tables made from the same data tell: the number of every count, those they name, their rows."""

    number: dict[Key, int] = field(default_factory=dict)
    named: set[int] = field(default_factory=set)
    rows: set[int] = field(default_factory=set)


@dataclass
class Counts:
    """The counts of a report, each once however many tables it stands in, and how they add up.

    ``keys`` say what each counts and how many, ``shown`` whether any table shows it, ``fixed`` whether an
    earlier release does, which cannot be taken back; ``placed`` in how many places of tables each stands.
    Of tables that withheld zeros too ``perhaps_none`` says that what is withheld may be none. What was made
    from other data adds up by itself; what is shown of it is taken for the same people as as many now.
    """

    keys: list[Key] = field(default_factory=list)
    shown: list[bool] = field(default_factory=list)
    fixed: list[bool] = field(default_factory=list)
    sets: dict[Set, None] = field(default_factory=dict)
    guard: dict[int, int] = field(default_factory=dict)
    withheld: set[int] = field(default_factory=set)
    placed: Counter[int] = field(default_factory=Counter)
    means: set[tuple[str, Labels]] = field(default_factory=set)
    perhaps_none: set[int] = field(default_factory=set)
    _number: dict[Key, int] = field(default_factory=dict)
    _told: dict[int, Told] = field(default_factory=lambda: {0: Told()})
    _now: int = 0

    def number(self, cell: Cell, *, fixed: bool = False) -> int:
        """Return the number of a count; two cells that count the same people, and as many, are one."""
        key = (cell.measure, who(cell).labels, cell.value)
        told = self._told[self._now].number
        if (at := told.get(key, -1)) < 0:
            # What an earlier report of other data withholds may have been as many, which no reader knows.
            shared = not self._now or (fixed and cell.shown)
            at = self._number.setdefault(key, len(self.keys)) if shared else len(self.keys)
            told[key] = at
        if at == len(self.keys):
            self.keys.append(key)
            self.shown.append(False)
            self.fixed.append(False)
        self.shown[at] |= cell.shown
        self.fixed[at] |= fixed and cell.shown
        self.withheld |= {at} if fixed and cell.column and not cell.shown else set()
        if cell.guard:
            self.guard[at] = max(cell.guard, self.guard.get(at, 0))
        return at

    def place(self, cells: Iterable[Cell], *, fixed: bool = False, data: int = 0) -> set[int]:
        """Return the numbers of the counts in a table; ``data`` numbers what it was made from."""
        self._now, cells = data, list(cells)
        self._told.setdefault(data, Told())
        means = [cell for cell in cells if fixed and cell.shown and cell.measure.startswith(MEAN)]
        self.means |= {(cell.measure.removeprefix(MEAN), cell.labels) for cell in means}
        # A record keeps the parts of sums beside what stands in the table.
        placed = [self.number(cell, fixed=fixed) for cell in cells if cell.column]
        self.placed.update(placed)
        if any(cell.column and not cell.value and not cell.shown for cell in cells if fixed):
            self.perhaps_none |= {*placed}
        return {*placed}

    def add_table(
        self, cells: Iterable[Cell], sums: Iterable[Sum], *, fixed: bool = False, data: int = 0
    ) -> None:
        """Add the counts of one table, what it declares to add up, and what follows from its labels.

        What an earlier table shows (``fixed``) cannot be taken back. What earlier reports show has to be in
        its ``place`` before any of their tables is added.
        """
        numbers, told = self.place(cells, fixed=fixed, data=data), self._told[data]
        for parts, total in sums:
            of = [self.number(part) for part in parts]
            self._add_up(of, None if total is None else self.number(total))
            # What is shown nowhere, such as the rest of a percentage, adds up as well.
            numbers |= {*of} if len(of) > 1 else set()
        told.named |= numbers
        self._add_alike(sorted(numbers), of_one_table=True)
        told.rows |= numbers

    def _add_alike(self, rows: Iterable[int], *, of_one_table: bool) -> None:
        """Add up rows that are alike in some things, and differ in all others, to all that are.

        Not if a row is there twice; and those that are the rest of something overlap. Of several tables
        together only if every level of one thing is there with every level of the others.
        """
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
                    different = {self.keys[at][1] for at in parts}
                    apart = [w for w in whats if w not in some]
                    kinds = [len({pair for p in different for pair in p if pair[0] == w}) for w in apart]
                    if not 1 < len(parts) == len(different) or min(kinds) < 2 or {*apart} & {*REST}:
                        continue
                    if of_one_table or len(parts) == np.prod(kinds):
                        total = Cell(measure, labels, sum(self.keys[at][2] for at in parts))
                        self._add_up(parts, self.number(total))

    def _add_nested(self) -> None:
        """Say of each count what is within it; what is left over is a count that nobody makes."""
        told = self._told[self._now]
        for parts, whole, rest in list(
            nested({at: self.keys[at] for at in told.number.values()}, told.named)
        ):
            measure, labels, _ = self.keys[whole]
            left = Cell(measure, labels | {("other", str(parts))}, rest or 0)
            self._add_up(parts if rest is None else [*parts, self.number(left)], whole)

    def _add_crossing(self, named: set[int]) -> None:
        """Say how many are in groups at once that cross; it is no table's count."""
        values, sums = crossing(self.keys, named)
        self.keys += [("", frozenset({("crossing", str(i))}), value) for i, value in enumerate(values)]
        self.shown += [False] * len(values)
        self.fixed += [False] * len(values)
        for parts, whole in sums:
            self._add_up(parts, whole)

    def _add_up(self, parts: Sequence[int], total: int | None) -> None:
        self.sets[Set(tuple(sorted(parts)), total)] = None

    def withhold(self, policy: Policy) -> tuple[Mask, list[int], list[int]]:
        """Return the counts to withhold, those that nothing protects any more, and those only rounding does.

        Those that are too small to show, and the cheapest others, until every one that is too small could
        be any number that is too small. Small counts are cheaper than large ones, zeros dear, and so is what
        stands in many places.
        """
        for data, told in self._told.items():
            self._now = data
            self._add_alike(sorted(told.rows), of_one_table=False)
            self._add_nested()
            if not data:
                # Of earlier data this was seen to when it was released.
                self._add_crossing(told.named)
        named = np.isin(np.arange(len(self.keys)), [at for told in self._told.values() for at in told.named])
        value = np.array([v for _, _, v in self.keys], np.int64)
        fixed, shown = np.array(self.fixed, bool), np.array(self.shown, bool)
        small = policy.small(value)
        hidden, sets = (~shown | policy.protected(value)) & ~fixed, list[Set]()
        least = np.zeros(len(value), np.int64)
        # A reader who sees zeros elsewhere takes it that what is withheld is none, and is told which are.
        least[(shown | small & named) & (value > 0)] = int(policy.zero_shown)
        for one in self._that_tell():
            parts, total = list(one.parts), value[list(one.parts)].sum()
            if one.total is None:
                # k withheld counts hold at least k where zeros are shown: a total below this has no room
                # for them, so zeros are withheld as well; one too small to show is not known either.
                room = policy.smallest_shown - 2 + len(parts) if policy.zero_shown else 0
                if (hidden & small)[parts].any() and total < max(policy.smallest_shown, room):
                    hidden[parts], least[parts] = ~fixed[parts], 0
            if one.total is not None or total >= policy.smallest_shown:
                sets.append(one)
        known = [one for one in sets if one.total is not None]
        free = ~named & ~shown
        high = np.where(policy.protected(value) & named, policy.smallest_shown - 1, -1)
        low = by_sums_alone(Knowledge.of(value, least, known, free), high, int(policy.zero_shown))
        least[[*self.perhaps_none]] = 0
        apart = [
            (at, max(0, value[at] - reach), value[at] + reach, False) for at, reach in self.guard.items()
        ]
        nearly = list(self._nearly_the_same(~hidden, policy))
        for at, least_of, most_of, _ in [*apart, *nearly]:
            hidden[at] |= not fixed[at]
            low[at], high[at] = least_of, most_of
        cost = np.log2(2.0 + value) * np.where(value == 0, 1000, 1)
        # What stands in many places, as the size of a group does in each row, takes as many figures with it.
        cost *= [max(1, self.placed[at]) for at in range(len(value))]
        cost[fixed] = np.inf
        for _ in range(2):
            exact = Knowledge.of(value, least, [*sets, *self._as_before(hidden, small)], free)
            hidden, lost = protected(exact, hidden, low, high, cost)
            if not lost:
                break
        by_means = {at for at in self._told_by_means(hidden) if policy.protected(value[at])}
        lost = [at for at in lost if at not in by_means]
        since = {at for at, *_, of_other_data in nearly if of_other_data}
        near = {at for at, *_ in nearly if not small[at]}
        # What is nearly as many as an earlier report withholds is known no better than that was.
        asked = [at for at in lost if at not in (near if policy.round_to > 1 else since)]
        every = [Goal(at, n, 0) for at in asked for n in range(int(low[at]), int(high[at]) + 1)]
        for cell in {goal.cell: None for goal in as_printed(exact, hidden, policy).given_away(hidden, every)}:
            goals = [goal for goal in every if goal.cell == cell]
            exact, hidden = widened(exact, hidden, goals, shown & ~fixed, policy) or (exact, hidden)
        given_away = {goal.cell for goal in as_printed(exact, hidden, policy).given_away(hidden, every)}
        protected_too = {*asked} - {goal.cell for goal in exact.given_away(hidden, every)}
        rounded = [at for at in lost if at not in given_away | protected_too]
        return hidden, sorted(by_means | given_away), rounded

    def _told_by_means(self, hidden: Mask) -> set[int]:
        """Withhold all levels of which an earlier page shows the mean; return those that it tells even so.

        The size of a group and a mean are two equations, and three unknown counts or more have room in them.
        """
        lost = set[int]()
        for what, among in self.means & self.levels_withheld(hidden):
            levels = [
                at
                for at in self.placed
                if self.keys[at][0] == "persons" and self.keys[at][2]
                for pair in self.keys[at][1] - among
                if pair[0] == what and self.keys[at][1] == among | {pair}
            ]
            hidden[levels] |= ~np.array(self.fixed)[levels]
            lost |= {*levels} if hidden[levels].sum() < 3 else set()
        return lost

    def levels_withheld(self, hidden: Mask) -> set[tuple[str, Labels]]:
        """Say of what, and among whom, people are counted by level and a level is withheld."""
        return {
            (pair[0], self.keys[at][1] - {pair})
            for at in self.placed
            if hidden[at] and self.keys[at][0] == "persons"
            for pair in self.keys[at][1]
            if pair[1] != "missing"
        }

    def _nearly_the_same(self, shown: Mask, policy: Policy) -> Iterator[tuple[int, int, int, bool]]:
        """Find counts of the same kind that differ by too few, and the least and most that each must seem.

        Two samples, or two releases, that differ by one person give that person away; rounding hides it. One
        that is nearly what an earlier release withheld, to protect others, is as good as that. The last says
        whether it is the other data of an earlier report that has nearly as many.
        """
        gone, seen = (defaultdict[tuple[str, Labels], set[tuple[Labels, int]]](set) for _ in range(2))
        for at in self.withheld:
            if not policy.small(self.keys[at][2]) and not self.shown[at]:
                gone[self.keys[at][:2]].add(self.keys[at][1:])
        follows = self._that_follow(shown)
        fixed = self._that_follow(np.array(self.fixed))
        for at in sorted(map(int, np.flatnonzero(follows)), key=lambda at: not fixed[at]):
            measure, labels, value = self.keys[at]
            same = seen[measure, whole_sample(measure, labels)]
            exact = same if policy.round_to == 1 else set()
            close = sorted((n, sorted(of), of) for of, n in gone[measure, labels] | exact)
            # As many as an earlier report shows of them tells nothing new.
            near = [(n, of) for n, _, of in close if 0 < abs(n - value) < policy.smallest_shown]
            if near and not fixed[at]:
                n, of = near[0]
                # It must be able to be as many, and more, or fewer, by any number that is too small. A
                # sample is no more than everyone, as far as a reader can tell too.
                few, more = policy.smallest_shown - 1, value > n if labels == of else labels < of
                since = (measure, of, n) not in self._told[0].number
                yield at, n if more else max(0, n - few), n + few if more else n, since
            else:
                same.add((labels, value))

    def _that_follow(self, known: Mask) -> Mask:
        """Return what is known or follows from it by a sum, whether a table counts it or not."""
        known, before = known.copy(), -1
        sets = [[*one.parts, one.total] for one in self.sets if one.total is not None]
        while before < (before := int(known.sum())):
            for cells in sets:
                unknown = [at for at in cells if not known[at]]
                if len(unknown) == 1:
                    known[unknown] = True
        return known

    def _as_before(self, hidden: Mask, small: Mask) -> Iterator[Set]:
        """Yield what an earlier report withheld and this one shows: a reader takes as many for the same."""
        for data, told in self._told.items():
            for key, at in told.number.items() if data else ():
                now = self._number.get(key, at)
                if now != at and not hidden[now] and not small[now]:
                    yield Set((at,), now)

    def _that_tell(self) -> list[Set]:
        """Leave out what is known from elsewhere of a total that the report itself counts, shown or not."""
        told = {one.parts for one in self.sets if one.total in self.placed}
        return [s for s in self.sets if s.total is not None or (len(s.parts) > 1 and s.parts not in told)]
