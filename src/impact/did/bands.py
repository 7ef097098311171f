"""Bands that cover a whole event study at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from impact.errors import DesignError, ParameterError
from impact.numbers.bootstrap import largest, signed_sums
from impact.results import NULL_VALUE, Blocks, Effects

_FEWEST = 10


def bands(effects: Effects, *, draws: int = 999, seed: int, conf_level: float | None = None) -> Effects:
    """Add simultaneous bands: with the chosen probability they hold all effects of an outcome together.

    The multiplier bootstrap of Callaway and Sant'Anna (2021) with Rademacher signs: the influence of each
    cluster keeps or changes its sign, and the band reaches as far as the largest of the effects, in
    standard errors, does in all but 5% of the draws. Standard errors are those of the table. Because they
    are estimated from a number of clusters, draws are those of t and not of normal statistics: the band of
    a single effect is its interval, and no band is narrower than the intervals.

    Parameters
    ----------
    effects : Effects
        By event time, group or period, from any estimator. Each outcome and scale has a band of its own.
    draws : int
        At least 199.
    seed : int
    conf_level : float, optional
        Of intervals and bands; without it that of the effects.

    Returns
    -------
    Effects
        The same with ``critical``, from which ``table`` has ``band_low`` and ``band_high``.

    Raises
    ------
    DesignError
        With fewer than 10 clusters, where signs have too few different values and no bootstrap of this kind
        holds its level (use ``wild_bootstrap`` for one effect); and for a root whose rows are not the
        influences of clusters: leave-one-out draws, compressed results, two-way clustering.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> labels = pd.DataFrame({"outcome": "ae", "term": list("abc"), "scale": "difference", "unit": ""})
    >>> counts = pd.DataFrame({"persons": [99] * 3, "treated": 40, "clusters": 99, "events": 50})
    >>> root = np.random.default_rng(0).normal(size=(99, 3))
    >>> effects = Effects(labels, np.zeros(3), root, np.arange(99), 98, {}, counts)
    >>> wide = bands(effects, seed=1).table
    >>> bool((wide["band_high"] > wide["conf_high"]).all())
    True
    """
    from scipy.special import stdtrit

    _check(effects, draws, conf_level)
    level = effects.conf_level if conf_level is None else conf_level
    error, rng = np.zeros(len(effects)), np.random.default_rng(seed)
    # Hidden rows, and the reference point, which is 0 by definition, are in no band.
    kept = effects.labels["scale"].isin(list(NULL_VALUE)).to_numpy()
    error[kept] = effects.select(kept).std_error
    shown = np.flatnonzero(error > 0)
    root = effects.root
    if isinstance(root, Blocks):
        blocks = root.blocks(np.eye(len(effects))[:, shown])
    else:
        blocks = (root[at : at + Blocks.size, shown] for at in range(0, len(root), Blocks.size))
    sums = signed_sums(blocks, draws, rng)
    df = np.broadcast_to(np.asarray(effects.df, float), (len(effects),))
    critical = np.full(len(effects), np.nan)
    for _, rows in effects.labels.iloc[shown].groupby(["outcome", "scale"], sort=False).indices.items():
        far = largest(sums[:, rows], error[shown[rows]], float(df[shown[rows]].min()), rng)
        alone = stdtrit(df[shown[rows]], 0.5 + level / 2)
        critical[shown[rows]] = np.maximum(np.quantile(far, level, method="inverted_cdf"), alone)
    how = f"simultaneous: multiplier bootstrap by cluster, {draws} draws of signs"
    return replace(
        effects,
        critical=critical,
        conf_level=level,
        method={**effects.method, "bands": how, "seed": seed},
    )


def _check(effects: Effects, draws: int, conf_level: float | None) -> None:
    if draws < 199:
        raise ParameterError(f"draws={draws}: the ends of a band need 199 or more.")
    if conf_level is not None and not 0 < conf_level < 1:
        raise ParameterError(f"conf_level={conf_level}: give a probability between 0 and 1, such as 0.95.")
    rows = effects.method.get("rows", "clusters")
    if effects.sign is not None:
        rows = "two-way clusters, some of them subtracted"
    if rows != "clusters":
        raise DesignError(
            f"bands: the multiplier bootstrap needs the influence of each cluster, but these errors are made "
            f"of {rows}; use CR1 errors by one clustering."
        )
    clusters = min(len(effects.root), effects.method.get("clusters", len(effects.root)))
    if clusters < _FEWEST:
        raise DesignError(
            f"bands: {clusters} clusters are too few for a bootstrap of signs, which needs {_FEWEST}; "
            "name one effect and use wild_bootstrap."
        )
