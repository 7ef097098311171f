"""What a reader finds out of a report who knows each shown count to the last digit, by whole numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array, vstack

from impact.disclosure import Policy

Mask = NDArray[np.bool_]
ALL = "all"


class Count(NamedTuple):
    """A count of a report: where it stands, which kinds it is of, and what is printed (None: withheld)."""

    where: str
    of: Mask
    printed: float | None


class Figure(NamedTuple):
    """A figure, or a fact of the method, that ties counts together: ``low <= weight @ n <= high``."""

    where: str
    weight: NDArray[np.float64]
    low: float
    high: float


class Kinds:
    """How many people (or events) there are of each kind.

    A kind is a place, which everyone has one of (arm and rule), and a level of one block (such as sex).
    Blocks cross the places and not each other: numbers in blocks that agree on the places can always be
    filled with people, so that nothing more follows from the blocks together.
    """

    def __init__(self, units: pd.DataFrame, number: Any = 1.0, spare: pd.DataFrame | None = None) -> None:
        self.number = np.broadcast_to(np.asarray(number, float), len(units))
        self.places = pd.concat([units, spare]).drop_duplicates().reset_index(drop=True)
        place = pd.MultiIndex.from_frame(self.places)
        self.code = place.get_indexer(pd.MultiIndex.from_frame(units))
        self.table = pd.DataFrame()
        self.cross(ALL, np.full(len(units), ALL))

    def cross(self, block: str, level: Any, **within: Sequence[str]) -> None:
        """Add a block: a level for each unit, of the places within which it is known."""
        known = self._places(within)
        here, levels = known[self.code], pd.Series(np.asarray(level, object)).astype(str).to_numpy()
        n = pd.Series(self.number[here]).groupby([self.code[here], levels[here]]).sum()
        every = pd.MultiIndex.from_product([np.flatnonzero(known), sorted(set(levels[here]))])
        more = n.reindex(every, fill_value=0).rename_axis(["place", "level"]).rename("n").reset_index()
        self.table = pd.concat([self.table, more.assign(block=block)], ignore_index=True)

    @property
    def n(self) -> NDArray[np.int64]:
        """How many there really are of each kind."""
        return self.table["n"].to_numpy(float).round().astype(np.int64)

    def levels(self, block: str) -> list[str]:
        """The levels of a block, or nothing."""
        return sorted(set(self.table.loc[self.table["block"] == block, "level"]))

    def of(self, block: str = ALL, level: str | Sequence[str] = ALL, **place: str | Sequence[str]) -> Mask:
        """Which kinds have this level of a block, in these places."""
        levels = [level] if isinstance(level, str) else list(level)
        own = (self.table["block"] == block) & self.table["level"].isin(levels)
        return own.to_numpy() & self._places(place)[self.table["place"].to_numpy()]

    def links(self) -> csr_array:
        """Say that the levels of each block add up, place by place, to everyone there."""
        rows = self.table.reset_index(names="at")
        whole = rows[rows["block"] == ALL].set_index("place")["at"]
        groups = rows[rows["block"] != ALL].groupby(["block", "place"])["at"]
        parts = [(i, at, 1.0) for i, (_, own) in enumerate(groups) for at in own]
        parts += [(i, whole[place], -1.0) for i, ((_, place), _) in enumerate(groups)]
        i, j, sign = np.array(parts).reshape(-1, 3).T
        return csr_array((sign, (i.astype(int), j.astype(int))), shape=(len(groups), len(rows)))

    def _places(self, within: Mapping[str, str | Sequence[str]]) -> Mask:
        known = np.ones(len(self.places), bool)
        for name, some in within.items():
            known &= self.places[name].isin([some] if isinstance(some, str) else list(some)).to_numpy()
        return known


class Reader:
    """Who knows each shown count to the last digit, and what else ties counts together."""

    def __init__(
        self, kinds: Kinds, counts: Sequence[Count], rule: Policy, figures: Sequence[Figure]
    ) -> None:
        known: dict[bytes, tuple[str, Mask]] = {}
        shown = {count.of.tobytes() for count in counts if count.printed is not None}
        for count in counts:
            known.setdefault(count.of.tobytes(), (count.where, count.of))
        value = {k: int(kinds.n[of].sum()) for k, (_, of) in known.items()}
        gone, told = ([k for k in known if (k in shown) == yes] for yes in (False, True))
        self.names, self.value = [known[k][0] for k in gone], [value[k] for k in gone]
        links = kinds.links()
        rows = np.array([known[k][1] for k in [*gone, *told]], float)
        every: Any = vstack([csr_array(rows), links, *(csr_array(f.weight[None]) for f in figures)])
        # Kinds that every count and figure takes alike are one.
        alike, kind = np.unique(every.toarray(), axis=1, return_inverse=True)
        self.rows, self.of, self.n = csr_array(alike), alike[: len(gone)], np.bincount(kind, kinds.n)
        exact = [value[k] for k in told]
        # Where zeros are shown, what is withheld is none, unless zeros had to go as well.
        least = np.full(len(gone), int(rule.zero_shown and all(self.value)))
        none, many = np.zeros(links.shape[0]), np.full(len(gone), np.inf)
        self.low = np.r_[least, exact, none, [f.low for f in figures]]
        self.high = np.r_[many, exact, none, [f.high for f in figures]]
        true = self.rows @ self.n
        assert ((self.low - 1e-6 <= true) & (true <= self.high + 1e-6)).all(), "what is known is not so"
        self.told = np.r_[many < 0, np.full(len(told), True), none > 0, np.full(len(figures), True)]
        self.random = np.random.default_rng(0)

    def filled(self, at: int, target: int) -> NDArray[np.float64] | None:
        """Fill the withheld counts so that one of them has this value; None where that cannot be."""
        low, high = self.low.copy(), self.high.copy()
        low[at] = high[at] = target
        # Every time others, so that few fillings show what all counts can be.
        cost = self.random.normal(size=len(self.of)) @ self.of
        found = _solve(cost, self.rows, low, high, top=4.0 * self.n.sum())
        return None if found is None else np.asarray(self.of @ found)

    def least(self, at: int) -> int:
        """The least that a withheld count can be by the rule alone, with nothing shown.

        A total of withheld counts is at least as many as they are.
        """
        low, high = np.where(self.told, -np.inf, self.low), np.where(self.told, np.inf, self.high)
        found = _solve(self.of[at], self.rows, low, high)
        assert found is not None
        return round(self.of[at] @ found)


def given_away(
    kinds: Kinds,
    counts: Sequence[Count],
    rule: Policy,
    figures: Sequence[Figure] = (),
    *,
    only: str = "",
) -> list[str]:
    """What a reader finds out: each withheld small count that misses a value it should be able to have.

    ``only`` is what the places of the counts that are looked at begin with.
    """
    reader = Reader(kinds, counts, rule, figures)
    seen, found = [{value} for value in reader.value], []
    for at in np.flatnonzero(rule.protected(reader.value)):
        if not reader.names[at].startswith(only):
            continue
        start, missed = max(int(rule.zero_shown), reader.least(at)), []
        for target in range(start, rule.smallest_shown):
            if target in seen[at]:
                continue
            if (filled := reader.filled(at, target)) is None:
                missed.append(target)
                continue
            for other, value in zip(seen, filled, strict=True):
                other.add(round(value))
        if missed:
            cannot = ", ".join(map(str, missed))
            found.append(f"{reader.names[at]}: {reader.value[at]} cannot be {cannot}")
    return found


def _solve(
    cost: NDArray[np.float64], rows: Any, low: NDArray[np.float64], high: NDArray[np.float64],
    *, top: float = np.inf,
) -> NDArray[np.float64] | None:  # fmt: skip
    found = milp(
        cost,
        integrality=np.ones(len(cost)),
        bounds=Bounds(0, top),
        constraints=LinearConstraint(rows, low, high),
    )
    return None if found.x is None else np.asarray(found.x)
