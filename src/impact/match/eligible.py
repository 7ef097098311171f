"""Who may be matched at all: calipers in the units asked for, common support, and what left people out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.errors import DataError, ParameterError, nearest, together
from impact.match.distances import Measure
from impact.match.greedy import Limits, Sides
from impact.match.people import People, same
from impact.match.propensity import Array, Rows, columns

Reach = dict[str, tuple[Array, float]]

# What a caliper on the score is called beside those on columns.
SCORE = "score"
_STRETCH = 4096


@dataclass(frozen=True)
class Calipers:
    """Widths as asked for, and which of them are in standard deviations."""

    asked: Mapping[str, float]
    standard: frozenset[str]

    @classmethod
    def of(cls, caliper: float | Mapping[str, float] | None, std_caliper: bool | Sequence[str]) -> Calipers:
        """Check the widths; a number alone is the score's."""
        asked = {} if caliper is None else caliper if isinstance(caliper, Mapping) else {SCORE: caliper}
        problems = [
            f"caliper={width!r}{'' if name == SCORE else f' of {name!r}'}: give a width other than 0, such "
            "as 0.2; for equal values use exact."
            for name, width in asked.items()
            if isinstance(width, (bool, str)) or not np.isfinite(float(width)) or width == 0
        ]
        if isinstance(std_caliper, bool):
            standard = set(asked) if std_caliper else set()
        else:
            standard = {std_caliper} if isinstance(std_caliper, str) else set(std_caliper)
            problems += [
                f"std_caliper: there is no caliper on {name!r}.{nearest(name, asked)}"
                for name in sorted(standard - set(asked) - {SCORE})
            ]
        if problems:
            raise ParameterError(together(problems))
        return cls(dict(asked), frozenset(standard))

    def measured(self, frame: pd.DataFrame, apart: Measure, kept: NDArray[np.bool_]) -> Reach:
        """Values and width of each caliper; standard deviations are over those kept, all arms together."""
        names = columns(frame, [c for c in self.asked if c != SCORE], "caliper")
        if words := [c for c in names if not pd.api.types.is_numeric_dtype(frame[c])]:
            raise DataError(
                together([f"caliper: column {c!r} does not hold numbers; use exact for it." for c in words])
            )
        out: Reach = {}
        for name, width in self.asked.items():
            values = apart.score if name == SCORE else frame[name].to_numpy(dtype=float)
            assert values is not None
            unit = 1.0
            if name in self.standard:
                whole = name == SCORE and kept.all()
                unit = apart.spread if whole else float(values[kept].std(ddof=1))
            out[name] = values, float(width) * unit
        return out

    def used(self, reach: Reach, caliper: float | Mapping[str, float] | None) -> Any:
        """Widths in the values' own units, in the form in which they were asked for."""
        found = {name: width for name, (_, width) in reach.items()}
        return found if isinstance(caliper, Mapping) else found.get(SCORE)


def codes(people: People, anti_exact: Sequence[str]) -> dict[str, Rows]:
    """Number the values of each column in which a match must differ."""
    if not len(anti_exact):
        return {}
    names = columns(people.frame, anti_exact, "anti_exact", missing=people.missing)
    return {name: same(people.frame, [name]) for name in names}


def supported(score: Array | None, treated: NDArray[np.bool_], discard: str) -> NDArray[np.bool_]:
    """Who stays when people outside the range of the other arm's scores are left out."""
    kept = np.ones(len(treated), bool)
    if score is None:
        return kept
    for arm, name in ((treated, "treated"), (~treated, "control")):
        if discard in (name, "both"):
            others = score[~arm]
            kept &= ~arm | ((score >= others.min()) & (score <= others.max()))
    return kept


def rules(
    sides: Sides,
    partner: Rows,
    treated: NDArray[np.bool_],
    kept: NDArray[np.bool_],
    *,
    reach: Reach,
    matrix: Array | None,
) -> pd.DataFrame:
    """How many were matched, and which rule left out the others: the first that applies to each."""
    att = bool(treated[sides.people].all())
    other, arms = ("control", ("treated", "control")) if att else ("supported person", ("control", "treated"))
    free = np.flatnonzero(~(partner >= 0).any(axis=1))
    alone = ~np.isin(sides.group[sides.people[free]], sides.group[sides.pool])
    # The rules in turn; who has somebody under all of them lost that person to others.
    differ = Limits(differ=sides.limits.differ)
    both = Limits(list(reach.values()), sides.limits.differ)
    house, far, given = (np.zeros(len(free), bool) for _ in range(3))
    if sides.limits.differ:
        house[~alone] = ~_anyone(sides, differ, free[~alone])
    if reach:
        left = ~alone & ~house
        far[left] = ~_anyone(sides, both, free[left])
    if matrix is not None:
        left = ~alone & ~house & ~far
        given[left] = [not _finite(sides, both, matrix, int(i)) for i in free[left]]
    mine = treated if att else ~treated
    used = int(np.bincount(partner[partner >= 0], minlength=len(treated)).astype(bool).sum())
    taken = ~(alone | house | far | given)
    out: list[tuple[str, str, Any, bool]] = [
        (arms[0], "matched", len(sides.people) - len(free), True),
        (arms[0], "outside common support", (mine & ~kept).sum(), not kept.all()),
        (arms[0], f"no {other} with the same exact values", alone.sum(), True),
        (arms[0], f"no {other} who differs where they must", house.sum(), bool(sides.limits.differ)),
        (arms[0], f"no {other} within the caliper", far.sum(), True),
        (arms[0], f"no {other} at a finite distance", given.sum(), matrix is not None),
        (arms[0], f"every near {other} was taken", taken.sum(), True),
        (arms[1], "matched", used, True),
        (arms[1], "outside common support", (~mine & ~kept).sum(), not kept.all()),
        (arms[1], "not needed", len(sides.pool) - used, True),
    ]
    rows = [(arm, rule, int(persons)) for arm, rule, persons, shown in out if shown]
    return pd.DataFrame(rows, columns=["arm", "rule", "persons"])


def _anyone(sides: Sides, limits: Limits, asking: Rows) -> NDArray[np.bool_]:
    """Whether each of those asking could be matched with anybody of the pool, were they all free."""
    if not len(asking):
        return np.zeros(0, bool)
    # The pool near those asking in the order of one caliper: only a stretch of it needs looking at.
    by, width = next(((v, w) for v, w in limits.calipers if w > 0), (np.zeros(len(sides.group)), np.inf))
    people, pool = sides.people[asking], sides.pool
    room = width + 1e-9 * (np.abs(by[people]).max() + width)
    pool = pool[(by[pool] >= by[people].min() - room) & (by[pool] <= by[people].max() + room)]
    pool = pool[np.argsort(by[pool])]
    if sides.group.any():
        pool = pool[np.argsort(sides.group[pool], kind="stable")]
    group, along = sides.group[pool], by[pool]
    out = np.zeros(len(asking), bool)
    for j, me in enumerate(people):
        low, high = np.searchsorted(group, [sides.group[me], sides.group[me] + 1])
        start, end = low + np.searchsorted(along[low:high], [by[me] - room, by[me] + room])
        out[j] = any(
            np.any(limits.allow(int(me), pool[at : min(at + _STRETCH, end)]))
            for at in range(int(start), int(end), _STRETCH)
        )
    return out


def _finite(sides: Sides, limits: Limits, matrix: Array, i: int) -> bool:
    me = int(sides.people[i])
    fine = np.isfinite(matrix[i]) & (sides.group[sides.pool] == sides.group[me])
    return bool((fine & limits.allow(me, sides.pool)).any())
