"""Errors by two clusterings that cross, such as the site and the matched set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.data.panel import Panel
from impact.did.design import people
from impact.errors import DataError, DesignError, nearest
from impact.numbers.inference import cluster_codes
from impact.results import Effects


def two_way(panel: Panel, analysis: Callable[[Panel], Effects], *, second: str | NDArray[Any]) -> Effects:
    """Estimate, with errors by two clusterings at once (Cameron, Gelbach and Miller 2011).

    The covariance is that by the panel's clusters, plus that by ``second``, less that by both together, each
    with the estimator's own small-sample factor. Where it is not positive in some direction, that direction
    is set to zero.

    Parameters
    ----------
    panel : Panel
        Whose ``cluster`` is the first clustering.
    analysis : callable
        From a panel to effects, by any estimator whose errors are sums over clusters (CR0, CR1).
    second : str or array (n,)
        The second clustering: a covariate of the panel, or one entry a person. People without one (controls
        have no case worker) each count as a group of their own.

    Returns
    -------
    Effects
        With t by the smaller number of clusters minus 1.

    Raises
    ------
    DataError
        For an unknown covariate, or an array of another length.
    DesignError
        For errors that are not sums over clusters.

    Examples
    --------
    >>> import pandas as pd
    >>> from impact.did import twfe
    >>> frame = pd.DataFrame({"site": [1, 1, 2, 2, 3, 3, 4, 4], "year": [1, 2] * 4,
    ...                       "team": [1, 1, 2, 2, 2, 2, 1, 1],
    ...                       "falls": [4, 2, 6, 3, 5, 5, 3, 4], "start": [2, 2, 2, 2] + [None] * 4})
    >>> panel = Panel.from_long(frame, unit="site", period="year", outcomes=["falls"],
    ...                         first_treated="start", covariates=["team"])
    >>> both = two_way(panel, lambda p: twfe(p, outcome="falls", family="linear"), second="team")
    >>> both.df, round(float(both.estimate[0]), 4)
    (1.0, -3.0)
    """
    other, names, notes = _codes(panel, second)
    first, ids = cluster_codes(panel.cluster)
    pair = first * len(names) + other
    parts = [analysis(replace(panel, cluster=codes)) for codes in (first, other, pair)]
    for part in parts:
        own = part.sign is not None or part.satterthwaite is not None
        if own or part.method.get("rows", "clusters") != "clusters":
            raise DesignError(
                "two_way needs errors that are sums over clusters (CR0, CR1), and these are not; leave "
                "inference out."
            )
    k = np.eye(len(parts[0]))
    return replace(
        parts[0],
        root=np.vstack([part.root @ k for part in parts]),
        clusters=_named([part.clusters.tolist() for part in parts], ids, names),
        sign=np.repeat([1.0, 1.0, -1.0], [len(part.root) for part in parts]),
        df=float(min(np.min(part.df) for part in parts[:2])),
        method={
            **parts[0].method,
            "inference": "two-way clusters: V1 + V2 - V12, each with its own factor; t with the smaller "
            "number of clusters - 1",
            "rows": "two clusterings",
            "notes": [*parts[0].method.get("notes", []), *notes],
        },
        overall=None,
        critical=None,
        regression=None,
    )


def _named(codes: Sequence[list[int]], ids: NDArray[Any], names: Sequence[Any]) -> NDArray[Any]:
    """Name clusters by which clustering and who, so that results of other rows of the same can be aligned."""
    k = len(names)
    both = [(2, (ids[code // k], names[code % k])) for code in codes[2]]
    named = [*((0, ids[code]) for code in codes[0]), *((1, names[code]) for code in codes[1]), *both]
    out = np.empty(len(named), object)
    out[:] = named
    return out


def _codes(panel: Panel, second: str | NDArray[Any]) -> tuple[NDArray[np.int64], list[Any], list[str]]:
    named = second if isinstance(second, str) else "a second group"
    if isinstance(second, str):
        if second not in panel.covariates:
            near = nearest(second, map(str, panel.covariates))
            raise DataError(f"second={second!r}: the panel holds no such covariate.{near}")
        second = panel.covariates[second].to_numpy()
    if len(second) != panel.n:
        raise DataError(f"second: {len(second)} entries for {panel.n} people; give one a person.")
    codes, groups = pd.factorize(np.asarray(second, dtype=object))
    alone = codes < 0
    codes = np.where(alone, len(groups) + np.cumsum(alone) - 1, codes)
    names = [*groups.tolist(), *(("alone", unit) for unit in panel.unit[alone].tolist())]
    note = f"{people(int(alone.sum()))} without {named} each count as a group of their own."
    return codes.astype(np.int64), names, [note] if alone.any() else []
