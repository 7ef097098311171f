"""Groups that cross: who is in both is counted by no table, and is yet no more than each of them.

Who has counts by arm and sex, by arm and age and by sex and age knows that every woman of an age is in some
arm. So people are divided by all three at once, in cells that nobody counts and that add up to what is
counted. What is divided at once are the cliques of variables that are counted together, with as many more
pairs as make a tree of them: tables that agree where they meet are then tables of the same people (Lauritzen
and Spiegelhalter 1988). A table by arm and each of forty others is such a tree as it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations, product
from math import prod

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from impact.disclosure.cells import REST, Labels
from impact.disclosure.nested import Key

# A larger table is divided by three variables at a time, or not at all.
LARGEST = 250
# A level for whoever is at none of those that are counted.
_ELSE = ""

Whats = frozenset[str]
# A cell is the number of a count, or whatever tells one that nobody counts from others.
Parts = tuple[list[Hashable], Hashable]


def crossing(keys: Sequence[Key], named: Collection[int]) -> tuple[list[int], list[tuple[list[int], int]]]:
    """Divide people by everything at once that counts divide them by in part.

    Parameters
    ----------
    keys : sequence of (measure, labels, value)
    named : collection of int
        Those that a table counts.

    Returns
    -------
    values : list of int
        How many may be in each cell that nobody counts, numbered from ``len(keys)``: one way of many that
        agrees with all counts. Where none does, as of ages in bands of two kinds, there are no cells.
    sums : list of (parts, whole)
        Which cells add up to which count.

    Examples
    --------
    Of three counts by two things each, with two levels, eight cells add up to each of the twelve:

    >>> people = {"arm": "ab", "sex": "fm", "age": "yo"}
    >>> pairs = [[[(what, x) for x in people[what]] for what in two] for two in combinations(people, 2)]
    >>> groups = [group for pair in pairs for group in product(*pair)]
    >>> values, sums = crossing([("persons", frozenset(group), 20) for group in groups], range(12))
    >>> len(values), sum(values), [len(parts) for parts, _ in sums]
    (8, 80, [2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2])
    """
    same: dict[str, dict[Labels, list[int]]] = defaultdict(lambda: defaultdict(list))
    for at in sorted(named):
        measure, labels, _ = keys[at]
        if not {what for what, _ in labels} & {*REST}:
            same[measure][labels].append(at)
    values: list[int] = []
    sums: list[tuple[list[int], int]] = []
    for of in same.values():
        # Of two counts that are called the same it is not known who they are of.
        counts = {labels: ats[0] for labels, ats in of.items() if len(ats) == 1}
        known: dict[Hashable, int] = {at: keys[at][2] for at in counts.values()}
        kept, cells = _agreeing(list(_tables(counts, known)), known)
        number: dict[Hashable, int] = {at: at for at in counts.values()}
        number |= {cell: len(keys) + len(values) + i for i, cell in enumerate(cells)}
        values += cells.values()
        sums += [([number[part] for part in parts], number[whole]) for parts, whole in kept]
    return values, sums


def _agreeing(
    tables: Sequence[list[Parts]], known: Mapping[Hashable, int]
) -> tuple[list[Parts], dict[Hashable, int]]:
    """Return the sums of all tables, or of those that agree with the counts, and a way to fill them."""
    kept = [one for table in tables for one in table]
    if (found := _filled(kept, known)) is None:
        kept, found = [], {}
        for table in tables:
            if (more := _filled([*kept, *table], known)) is not None:
                kept, found = [*kept, *table], more
    return kept, found


def _filled(sums: Sequence[Parts], known: Mapping[Hashable, int]) -> dict[Hashable, int] | None:
    """Fill the cells that nobody counts with whole numbers of people; None where that cannot be."""
    at = {cell: j for j, cell in enumerate(dict.fromkeys(c for p, w in sums for c in (*p, w)))}
    if not at:
        return {}
    terms = [(i, at[part], 1.0) for i, (parts, _) in enumerate(sums) for part in parts]
    terms += [(i, at[whole], -1.0) for i, (_, whole) in enumerate(sums)]
    i, j, sign = np.array(terms).T
    matrix = coo_array((sign, (i.astype(int), j.astype(int))), shape=(len(sums), len(at))).tocsr()
    low = np.array([known.get(cell, 0) for cell in at], float)
    high = np.array([known.get(cell, np.inf) for cell in at], float)
    whole = LinearConstraint(matrix, 0, 0)
    of_people = np.ones(len(at), int)
    found = milp(np.zeros(len(at)), integrality=of_people, bounds=Bounds(low, high), constraints=whole)
    if found.x is None:
        return None
    return {cell: round(x) for cell, x in zip(at, found.x, strict=True) if cell not in known}


def _tables(counts: Mapping[Labels, int], known: Mapping[Hashable, int]) -> Iterator[list[Parts]]:
    """Yield what adds up to what in each table of people by everything that hangs together."""
    levels = _levels(counts, known)
    size = {what: len(some) for what, some in levels.items()}
    every: dict[Labels, Hashable] = dict(counts)
    tree = list(_tree(_whats(labels) for labels in counts))
    for _, shared in tree:
        # Two tables agree on who is counted by what they share.
        if prod(size[what] for what in shared) <= LARGEST:
            for some in product(*([(what, which) for which in levels[what]] for what in sorted(shared))):
                every.setdefault(frozenset(some), frozenset(some))
    for whats, _ in tree:
        large = prod(size[what] for what in whats) > LARGEST
        for divided in combinations(sorted(whats), 3) if large else [tuple(sorted(whats))]:
            if len(divided) > 1 and prod(size[what] for what in divided) <= LARGEST:
                yield _table(divided, every, levels)


def _levels(counts: Mapping[Labels, int], known: Mapping[Hashable, int]) -> dict[str, list[str]]:
    """Return the levels of each variable; with one more unless those that are counted are all there are."""
    levels: dict[str, list[str]] = defaultdict(list)
    for what, which in sorted({pair for labels in counts for pair in labels}):
        levels[what].append(which)
    lacking = {what for what, some in levels.items() if len(some) < 2}
    for labels, at in counts.items():
        for what in levels.keys() - _whats(labels):
            parts = [counts.get(labels | {(what, which)}) for which in levels[what]]
            if sum(known[part] if part is not None else np.inf for part in parts) < known[at]:
                lacking.add(what)
    return {what: [*some, _ELSE] if what in lacking else some for what, some in levels.items()}


def _whats(labels: Labels) -> Whats:
    return frozenset(what for what, _ in labels)


def _tree(sets: Iterable[Whats]) -> Iterator[tuple[Whats, Whats]]:
    """Yield sets of variables that make a tree and hold all that are given, and what each shares with later.

    Variables are taken out one by one, first those whose neighbours lack the fewest pairs; their neighbours
    are then counted together.
    """
    near: dict[str, set[str]] = defaultdict(set)
    for whats in sets:
        for what in whats:
            near[what] |= whats - {what}
    found: list[Whats] = []
    while near:
        lacks = {w: sum(b not in near[a] for a, b in combinations(near[w], 2)) for w in near}
        what = min(sorted(near), key=lambda w: (lacks[w], len(near[w])))
        beside = frozenset(near.pop(what))
        for other in beside:
            near[other] |= beside
            near[other] -= {what, other}
        if not any(beside | {what} <= one for one in found):
            found.append(beside | {what})
            yield found[-1], beside


def _table(
    order: Sequence[str], every: Mapping[Labels, Hashable], levels: Mapping[str, list[str]]
) -> list[Parts]:
    """Return which cells add up to which counts, if people are divided by some variables at once.

    Cells of which every count has both or neither are one.
    """
    whats = frozenset(order)
    mine = _that_matter(whats, {labels: c for labels, c in every.items() if _whats(labels) <= whats})
    cell = np.arange(prod(len(levels[what]) for what in order)).reshape([len(levels[w]) for w in order])
    if sum(len(labels) == len(whats) for labels in mine) == cell.size:
        return []
    within = np.zeros((len(mine), cell.size), bool)
    for row, labels in zip(within, mine, strict=True):
        own = dict(labels)
        row[cell[tuple(levels[w].index(own[w]) if w in own else slice(None) for w in order)]] = True
    kinds = np.unique(within[:, within.any(0)], axis=1)
    called: dict[int, Hashable] = {}
    sums: list[Parts] = []
    # First the counts that are such a cell.
    for has, whole in sorted(zip(kinds, mine.values(), strict=True), key=lambda one: one[0].sum()):
        parts = np.flatnonzero(has).tolist()
        if len(parts) > 1 or parts[0] in called:
            sums.append(([called.get(part, (whats, part)) for part in parts], whole))
        else:
            called[parts[0]] = whole
    return sums


def _that_matter(whats: Whats, mine: dict[Labels, Hashable]) -> dict[Labels, Hashable]:
    """Leave out the counts of a level that is never counted with all the others.

    Those who were left out by a rule that no covariate is counted by are all one to the covariates.
    """
    reach: dict[tuple[str, str], set[str]] = defaultdict(set)
    for labels in mine:
        for pair in labels:
            reach[pair] |= _whats(labels)
    loose: dict[str, set[str]] = defaultdict(set)
    for (what, _), far in reach.items():
        loose[what] |= far if far != whats else set()
    gone = {pair for pair, far in reach.items() if far != whats and loose[pair[0]] != whats}
    kept = {labels: count for labels, count in mine.items() if not labels & gone}
    return kept if len(kept) == len(mine) else _that_matter(whats, kept)
