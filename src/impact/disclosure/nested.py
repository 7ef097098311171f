"""Which counts are within others: women of 75 and over are no more than the women, whatever is withheld."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from itertools import chain, combinations

from impact.disclosure.cells import REST, Labels

Key = tuple[str, Labels, int]


def nested(keys: Mapping[int, Key], named: Collection[int]) -> Iterator[tuple[list[int], int, int | None]]:
    """Find groups that are apart from each other and within another count.

    Parameters
    ----------
    keys : mapping of number to (measure, labels, value)
    named : collection of int
        Those that a table counts; the others were added up from rows, which need not be all there are.

    Yields
    ------
    parts, whole, rest : list of int, int, int or None
        The parts are no more than the whole, and ``rest`` is how many they leave; None where they are taken
        to be all there are. Levels that overlap, such as ages in bands of two kinds, come one by one.

    Examples
    --------
    >>> women, of_75 = frozenset({("sex", "f")}), frozenset({("sex", "f"), ("age", "75+")})
    >>> keys = {0: ("persons", frozenset(), 90), 1: ("persons", women, 50), 2: ("persons", of_75, 12)}
    >>> list(nested(keys, [0, 1, 2]))
    [([1], 0, 40), ([2], 1, 38)]
    """
    of: dict[tuple[str, Labels], list[int]] = defaultdict(list)
    for at in sorted(keys, key=lambda at: (at not in named, at)):
        here = of[keys[at][:2]]
        if at in named or not any(other in named for other in here):
            here.append(at)
    known: dict[str, set[Labels]] = defaultdict(set)
    for measure, labels in of:
        known[measure].add(labels)
    found: dict[tuple[int, frozenset[str]], list[int]] = defaultdict(list)
    for measure, labels in of:
        for whole in _nearest(labels, known[measure]):
            # Groups that differ in the same things are apart, if each is one of its levels.
            what = frozenset(str(pair) if pair[0] in REST else pair[0] for pair in labels - whole)
            for at in of[measure, whole]:
                found[at, what] += of[measure, labels]
    largest = {name: max(keys[at][2] for at in ats) for name, ats in of.items()}
    for (at, _), parts in found.items():
        # Of two counts that are called the same it is not known which is within.
        once = [part for part in parts if len(of[keys[part][:2]]) == 1]
        rest = keys[at][2] - sum(keys[part][2] for part in once)
        every = rest == 0 and len(once) == len(parts) > 1
        if keys[at][2] < largest[keys[at][:2]] and not every:
            # Nor is it known that those of one sample are within a smaller one.
            continue
        if once and rest >= 0:
            yield once, at, None if every else rest
        else:
            yield from (
                ([part], at, keys[at][2] - keys[part][2]) for part in parts if keys[part][2] <= keys[at][2]
            )


def _nearest(labels: Labels, known: Collection[Labels]) -> Iterator[Labels]:
    """Yield the groups that a group is within, but not those that are around another of them."""
    near: list[Labels] = []
    for some in chain.from_iterable(combinations(labels, k) for k in reversed(range(len(labels)))):
        whole = frozenset(some)
        if whole in known and not any(whole < nearer for nearer in near):
            near.append(whole)
            yield whole
