"""The best pairs: on a line by walking along it, otherwise (and where that breaks a rule) by assignment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from impact.match.assignment import assign
from impact.match.candidates import Candidates
from impact.match.in_order import in_order
from impact.match.line import pair_up, parts, shortfall

Rows = NDArray[np.intp]
Flags = NDArray[np.bool_]

# More candidate pairs than this do not fit into a gigabyte; the gap is reported instead.
MOST = 12_000_000


def best(pairs: Candidates, ratio: int) -> tuple[Rows, float]:
    """Find the most pairs at the least total distance.

    Returns
    -------
    array (rows, ratio), float
        The control of each row, -1 for none, and by how much the total may exceed the least possible.
    """
    if pairs.distance.line is None:
        return _anywhere(pairs, ratio)
    n, size = len(pairs.group), (len(pairs.rows), len(pairs.cols))
    number, treated = np.empty(n, np.intp), np.zeros(n, bool)
    number[pairs.rows], number[pairs.cols] = np.arange(size[0]), np.arange(size[1])
    treated[pairs.rows] = True
    row, col, part, gap = _along(pairs, treated, ratio)
    broken = ~pairs.may(number[row], number[col])
    # A control who may not be taken may have to be passed over, and then the parts of a line do not stand
    # alone: all of the group is solved again. A caliper on the line itself only ever takes pairs away.
    whole = (part < 0) | bool(pairs.limits)
    where = np.where(whole, -1 - pairs.group, part)
    again = (part < 0) | np.isin(where, where[row[broken]])
    kept = ~again[row]
    row, col = number[row[kept]], number[col[kept]]
    order = np.argsort(row, kind="stable")
    row, col = row[order], col[order]
    partner = np.full((size[0], ratio), -1)
    partner[row, np.arange(len(row)) - np.searchsorted(row, row)] = col
    if again.any():
        rows, cols = np.flatnonzero(again & treated), np.flatnonzero(again & ~treated)
        inner = replace(pairs, rows=rows, cols=cols, group=where)
        found, more = _anywhere(inner, ratio) if pairs.limits else (_within(inner, ratio), 0.0)
        partner[number[rows]] = np.where(found >= 0, number[np.append(cols, 0)][found], -1)
        gap += more
    return partner, gap


def _anywhere(pairs: Candidates, ratio: int) -> tuple[Rows, float]:
    size = len(pairs.rows), len(pairs.cols)
    return assign(pairs, size, ratio=ratio, bound=pairs.bound(), most=MOST)


def _within(pairs: Candidates, ratio: int) -> Rows:
    """Pair people along the line within what they may reach."""
    assert pairs.distance.line is not None
    own, others = pairs.distance.line[pairs.rows], pairs.distance.line[pairs.cols]
    order = np.lexsort((own, pairs.group[pairs.rows]))
    window = pairs.window(order)
    found = in_order(own[order], others[pairs.sorted], window, width=pairs.width, ratio=ratio)
    partner = np.empty_like(found)
    partner[order] = np.where(found >= 0, np.append(pairs.sorted, 0)[found], -1)
    return partner


def _along(pairs: Candidates, treated: Flags, ratio: int) -> tuple[Rows, Rows, Rows, float]:
    """Pairs along the line whatever the caliper, the part of each person (-1: not solved), and the gap."""
    line = pairs.distance.line
    assert line is not None
    group = np.unique(pairs.group, return_inverse=True)[1]
    wants, has = (np.bincount(group[arm], minlength=group.max() + 1) for arm in (treated, ~treated))
    # Where controls are the fewer, each of them needs a supported person. In between, when there are enough
    # for one each but not for ``ratio``, who gets more is no question of the line alone.
    plenty, scarce = ratio * wants <= has, has <= wants
    need = np.where(treated & plenty[group], ratio, 0)
    need[~treated & (scarce & ~plenty)[group]] = 1
    order = np.lexsort((line, group))
    order = order[(plenty | scarce)[group[order]]]
    place, need, group = line[order], need[order], group[order]
    who, partner = pair_up(place, need, group)
    taken = np.zeros(len(order), bool)
    taken[partner] = True
    part = np.full(len(line), -1)
    part[order] = parts(need, group)
    who, partner = order[who], order[partner]
    row, col = np.where(treated[who], who, partner), np.where(treated[who], partner, who)
    return row, col, part, shortfall(place, need, group, taken)
