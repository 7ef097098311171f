"""Full matching where people stand on a line and sets may not be larger than they are allowed to be."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush, heapreplace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impact.errors import DesignError, ParameterError

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
Flags = NDArray[np.bool_]

_MOST = 2**40
# A linear programme of more people takes hours.
_SOLVED = 30_000
_Heap = list[tuple[int, float]]


@dataclass(frozen=True)
class Sizes:
    """How many people of the other arm may share a set with a person: (least, most) of either arm."""

    treated: tuple[int, int]
    control: tuple[int, int]

    @classmethod
    def of(cls, min_controls: float | None, max_controls: float | None) -> Sizes | None:
        """Read controls per supported person, whole or one part in a whole number; None without limits."""
        if min_controls is None and max_controls is None:
            return None
        (fewest, shared), (most, sharing) = (
            _either("min_controls", min_controls, (1, _MOST)),
            _either("max_controls", max_controls, (_MOST, 1)),
        )
        if fewest > most or sharing > shared:
            raise ParameterError(
                f"min_controls={min_controls}: it cannot be above max_controls={max_controls}."
            )
        return cls((fewest, most), (sharing, shared))


def _either(name: str, value: float | None, without: tuple[int, int]) -> tuple[int, int]:
    """Controls of a supported person, and supported people of a control; one of the two is 1."""
    if value is None:
        return without
    if isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and 0 < value < _MOST:
        whole = max(value, 1 / value)
        if abs(whole - round(whole)) < 1e-9 * whole:
            return (round(whole), 1) if value >= 1 else (1, round(whole))
    raise ParameterError(
        f"{name}={value!r}: give a whole number of controls for each supported person from 1, or one part in "
        "a whole number (1/3: up to three supported people share a control)."
    )


def joins(x: Array, arm: Flags, block: Rows, sizes: Sizes, width: float) -> tuple[Rows, Rows]:
    """Join people to those of the other arm at the least total distance, each to as many as is allowed.

    Parameters
    ----------
    x : array (n,)
        Where people stand; sorted within ``block``, which is sorted too and has both arms in each.
    arm : array (n,) of bool
        Whether supported.
    block : array (n,)
    sizes : Sizes
    width : float
        How far apart people may be who are joined.

    Returns
    -------
    (array (m,), array (m,))
        Positions of the supported and of the controls who are joined. Where an arm has more people than
        there are places for, as many as can be are joined.

    Notes
    -----
    Let F be how many joins lead from below a gap of the line to above it, counted from the supported (down:
    negative). However many joins each person has, the cheapest way to draw them costs the sum of gap x |F|,
    and F changes by as many as a person has. The least cost so far is convex in F; a gap adds to its slopes
    at 0, and a person who may have from ``low`` to ``high`` moves the falling slopes by one and the rising
    ones by the other. On the way back F comes as near to the least cost as the person allows.
    """
    low, high = _bounds(arm, block, sizes)
    many = np.zeros(len(x), np.intp)
    for here in np.split(np.arange(len(x)), np.flatnonzero(np.diff(block)) + 1):
        sign = np.where(arm[here], 1, -1)
        ends = np.sort([sign * low[here], sign * high[here]], axis=0)
        found = _flow(np.diff(x[here], append=x[here[-1:]]).tolist(), *ends.tolist())
        own, others = _drawn(found)
        if (np.abs(x[here[own]] - x[here[others]]) > width).any():
            found = _flow_within(x[here], arm[here], sizes, width)
        many[here] = found
    return _drawn(many)


def _drawn(many: Rows) -> tuple[Rows, Rows]:
    """Join people in their order, as many times as each is to be; controls have negative numbers."""
    own, others = (np.repeat(np.arange(len(many)), np.maximum(side, 0)) for side in (many, -many))
    return own, others


def _flow_within(x: Array, arm: Flags, sizes: Sizes, width: float) -> Rows:
    """As ``_flow``, for the most people there are places for within the width.

    A linear programme in how many joins the supported (or the controls) up to each person have: those of one
    arm up to a place may be no more than those of the other up to ``width`` further on. Such programmes have
    whole numbers for an answer.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array, eye_array, vstack

    n = len(x)
    if n > _SOLVED:
        raise DesignError(
            f"caliper: with limits on sets and a caliper that both bind, {n:,} people in one group are too "
            f"many to be solved at once (up to {_SOLVED:,} are). Match exactly on more columns, or leave out "
            "the caliper or the limits."
        )
    each = np.arange(n)
    seen = [np.maximum.accumulate(np.where(side, each, -1)) for side in (arm, ~arm)]
    before = np.append(-1, np.where(arm[1:], seen[0][:-1], seen[1][:-1]))
    reached = np.searchsorted(x, x + width * (1 + 1e-12), "right") - 1
    partner = np.where(arm, seen[1][reached], seen[0][reached])

    def less(first: Rows, second: Rows) -> Any:
        """A row for each difference of two of the unknowns, of which -1 is 0."""
        rows, cols = np.tile(np.arange(len(first)), 2), np.append(first, second)
        signs = np.repeat([1.0, -1.0], len(first))
        there = cols >= 0
        return coo_array((signs[there], (rows[there], cols[there])), shape=(len(first), 3 * n))

    # Unknown are the joins up to each person, what is carried over each gap, and whether each has a place.
    added, carried, all_of = less(each, before), less(*seen), less(seen[0][-1:], seen[1][-1:])
    over, place = (eye_array(n, 3 * n, k=k * n, format="coo") for k in (1, 2))
    least, most = (np.where(arm, *ends) for ends in zip(sizes.treated, sizes.control, strict=True))
    needs = np.where(least > 1, least, 0)
    rows = [added, -added, carried - over, -carried - over, less(each, partner), place - added, all_of]
    most = np.concatenate([np.minimum(most, n), -needs, np.zeros(4 * n + 1)])
    found = milp(
        np.concatenate([np.zeros(n), np.diff(x, append=x[-1]) / width, np.full(n, -(n + 1.0))]),
        constraints=LinearConstraint(vstack(rows), np.append(np.full(6 * n, -np.inf), 0.0), most),
        bounds=Bounds(0, np.repeat([np.inf, np.inf, 1.0], n)),
    )
    if found.x is None:
        raise DesignError(
            "caliper: with so many people to a set at least, some could only be with somebody further away. "
            "Widen the caliper, or let min_controls be smaller or max_controls larger."
        )
    up_to = np.append(np.rint(found.x[:n]).astype(np.intp), 0)
    return np.asarray(np.where(arm, 1, -1) * (up_to[:n] - up_to[before]))


def _bounds(arm: Flags, block: Rows, sizes: Sizes) -> tuple[Rows, Rows]:
    """Fewest and most joins of each person; in an arm with too many people for all, none or one."""
    where = np.unique(block, return_inverse=True)[1]
    n1, n0 = (np.bincount(where[side], minlength=where.max(initial=-1) + 1) for side in (arm, ~arm))
    (fewest, most), (sharing, shared) = sizes.treated, sizes.control
    for name, least, few, others in (("min", fewest, n0, n1), ("max", sharing, n1, n0)):
        if least > 1 and (short := int((few < least * others).sum())):
            limit = f"{name}_controls={least if name == 'min' else f'1/{least}'}"
            raise DesignError(
                f"{limit}: there are too few people for it in {short} of {len(n1)} exact groups or stretches "
                f"within the caliper. Allow {'fewer' if name == 'min' else 'more'} controls to a set."
            )
    many0, many1 = (n0 > most * n1)[where], (n1 > shared * n0)[where]
    low = np.select(
        [arm & many0, many0, arm & many1, many1], [most, 0, 0, shared], np.where(arm, fewest, sharing)
    )
    high = np.select(
        [arm & many0, many0, arm & many1, many1], [most, 1, 1, shared], np.where(arm, most, shared)
    )
    # Nobody has more joins than there are people.
    return low, np.minimum(high, len(arm))


def _flow(gap: list[float], low: list[int], high: list[int]) -> Rows:
    """How many each person adds to the joins that lead upwards; the rules are in the notes of ``joins``."""
    # Where slopes change, and by how much: of F below the least cost and of F above it, each less how far
    # all on its side have been moved.
    falling: _Heap = [(0, np.inf)]
    rising: _Heap = [(0, np.inf)]
    down = up = 0
    best = [(0, 0)]
    for g, lo, hi in zip(gap, low, high, strict=True):
        down, up = down + lo, up + hi
        if g > 0:
            heappush(falling, (down, g))
            _over(falling, rising, down - up, g)
            heappush(rising, (-up, g))
            _over(rising, falling, down - up, g)
        best.append((down - falling[0][0], rising[0][0] + up))
    many, flow = np.zeros(len(gap), np.intp), 0
    for j in range(len(gap) - 1, -1, -1):
        least, most = best[j]
        # Of several equally good, the least that is carried.
        aim = min(max(0, least), most)
        before = min(max(aim, flow - high[j]), flow - low[j])
        many[j], flow = flow - before, before
    return many


def _over(here: _Heap, there: _Heap, apart: int, weight: float) -> None:
    """Move slopes of so much weight, those nearest to the least cost, from one side to the other."""
    while weight > 0:
        key, held = here[0]
        if held <= weight:
            heappop(here)
        else:
            heapreplace(here, (key, held - weight))
        heappush(there, (apart - key, min(held, weight)))
        weight -= held
