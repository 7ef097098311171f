"""A test of one effect that holds its level with a handful of sites: the wild cluster bootstrap."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from impact.errors import DesignError, ParameterError
from impact.numbers.few_clusters import invert, multipliers, p_value, wild_t
from impact.results import NULL_VALUE, Effects, Test

Array = NDArray[np.float64]

_FEWEST, _MOST = 4, 250
_HOW = {
    "linear": "wild cluster bootstrap-t of the regression, with the hypothesis imposed (Cameron, Gelbach and "
    "Miller 2008)",
    "poisson": "score wild cluster bootstrap, with the hypothesis imposed (Kline and Santos 2012): one "
    "Newton step a draw from the fit under the hypothesis",
    "influence": "wild bootstrap of the clusters' influence on the effect, without imposing the hypothesis "
    "(the estimator is not one regression): it can reject too often with few clusters",
}


def wild_bootstrap(
    effects: Effects, *, draws: int = 9999, seed: int, conf_level: float | None = None
) -> Test:
    """Test one effect, and find its interval, by multiplying the clusters' residuals with signs.

    Where the effect is a sum of the coefficients of one regression, the hypothesis is imposed: the model is
    fitted with the effect at the value tested (which is exact for linear models, and for Poisson models is
    done again for each value), each cluster's residuals keep or change their sign, and the t statistic of
    each such draw is set beside that of the data. An average of effects has the weights of the estimate.
    Every other effect is tested by its clusters' influence, which is not as reliable, and is said so.

    Parameters
    ----------
    effects : Effects
        One effect: ``effects.select(...)``, an ``overall``, or ``aggregate(...)``, with errors CR0, CR1 or
        CR2.
    draws : int
        Every vector of signs is taken once where there are no more than this, for up to 13 clusters.
    seed : int
        Of random signs, or of Webb's six points.
    conf_level : float, optional
        Without it that of the effects.

    Returns
    -------
    Test
        With the estimate, the p-value, the smallest that it could have been, and the interval of values
        that are not rejected; an end is infinite where no value however far is rejected. It has no
        covariance and cannot be combined.

    Raises
    ------
    DesignError
        For more than one effect, fewer than 4 clusters, more than 250 (use CR1), or a root whose rows
        are not the influences of clusters.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> labels = pd.DataFrame({"outcome": ["ae"], "term": "effect", "scale": "difference", "unit": ""})
    >>> counts = pd.DataFrame({"persons": [99], "treated": 40, "clusters": 8, "events": 50})
    >>> root = np.array([[3.0], [-2], [4], [-1], [-2], [2], [-3], [-1]])
    >>> test = wild_bootstrap(Effects(labels, np.array([9.0]), root, np.arange(8), 7, {}, counts), seed=1)
    >>> test.p_value, test.smallest_p, test.method["draws"]
    (0.203125, 0.0078125, 256)
    """
    _check(effects, draws, conf_level)
    level, label = conf_level or effects.conf_level, effects.labels.iloc[0]
    estimate, null = float(effects.estimate[0]), NULL_VALUE[label["scale"]]
    regression = effects.regression
    imposed = regression is not None and np.isclose(regression.contrasts[:, 0] @ regression.coef, estimate)
    source: _Imposed | _Influence = _Imposed(effects) if imposed else _Influence(effects)
    if source.clusters < _FEWEST:
        raise DesignError(
            f"wild_bootstrap: {source.clusters} clusters bear on this effect, too few for any test; cluster "
            "by a smaller unit."
        )
    by, what, complete = multipliers(source.clusters, draws, np.random.default_rng(seed))
    statistics = source.draw(by)

    def p_of(value: float) -> float:
        return p_value(*statistics(value), complete)

    # A vector of signs and its mirror image give the same size of statistic.
    smallest = 2 / len(by) if complete else 1 / (len(by) + 1)
    low, high = invert(p_of, estimate, float(effects.std_error[0]), level)
    method = {
        **effects.method,
        "shows": "wild bootstrap",
        **{name: str(label[name]) for name in ("outcome", "term", "scale", "unit")},
        "inference": f"{_HOW[source.how]}; {what}",
        "clusters": source.clusters,
        "draws": len(by),
        "seed": None if complete else seed,
    }
    return Test(
        "no effect",
        float(statistics(null)[0]),
        float("nan"),
        max(p_of(null), smallest),
        method,
        effects.counts,
        estimate=estimate,
        conf_low=low,
        conf_high=high,
        conf_level=level,
        smallest_p=smallest,
    )


_Statistics = Callable[[float], tuple[float, Array]]


class _Imposed:
    """The regression under each hypothesis; the data are the draw in which no sign changes."""

    def __init__(self, effects: Effects) -> None:
        regression = effects.regression
        self.how = "linear" if regression.refit is None else "poisson"
        self.contrast = regression.contrasts[:, 0]
        self.under = regression.under(self.contrast)
        # A cluster without anyone at risk, or without events, adds nothing whatever its sign.
        self.used = self.under(float(effects.estimate[0]))[0].any((1, 2))
        self.clusters = int(self.used.sum())

    def draw(self, by: Array) -> _Statistics:
        by = np.vstack([np.ones(self.clusters), by])

        def statistics(value: float) -> tuple[float, Array]:
            grams, scores, bread = self.under(value)
            t = wild_t(grams[self.used], scores[self.used], bread, self.contrast, by)
            return float(t[0]), t[1:]

        return statistics


class _Influence:
    """The influence of the clusters on the effect, which is the regression of it on a constant."""

    how = "influence"

    def __init__(self, effects: Effects) -> None:
        influence = (effects.root @ np.eye(1))[:, 0]
        self.influence = influence[influence != 0]
        self.clusters = len(self.influence)
        self.estimate, self.error = float(effects.estimate[0]), float(effects.std_error[0])

    def draw(self, by: Array) -> _Statistics:
        one = np.ones((1, 1))
        even = np.full((self.clusters, 1, 1), 1 / self.clusters)
        drawn = wild_t(even, self.influence[:, None], one, one[0], by)
        return lambda value: ((self.estimate - value) / self.error, drawn)


def _check(effects: Effects, draws: int, conf_level: float | None) -> None:
    if draws < 99:
        raise ParameterError(f"draws={draws}: a p-value needs 99 or more.")
    if conf_level is not None and not 0 < conf_level < 1:
        raise ParameterError(f"conf_level={conf_level}: give a probability between 0 and 1, such as 0.95.")
    if len(effects) != 1 or effects.labels["scale"].iloc[0] not in NULL_VALUE:
        raise DesignError(
            f"wild_bootstrap tests one effect, and these are {len(effects)}: select one, or take an average."
        )
    if not effects.std_error[0] > 0:
        raise DesignError(
            "wild_bootstrap: this effect has no error, as it is what all others are measured from."
        )
    if len(effects.clusters) > _MOST:
        raise DesignError(
            f"wild_bootstrap is for a handful of clusters, at most {_MOST}, and there are "
            f"{len(effects.clusters):,}; CR1 errors hold their level."
        )
    rows = "two-way clusters" if effects.sign is not None else effects.method.get("rows", "clusters")
    if rows != "clusters":
        raise DesignError(
            f"wild_bootstrap needs what each cluster adds, but these errors are made of {rows}; use CR1."
        )
