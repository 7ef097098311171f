"""The one algebra: estimates and the root of their covariance.

Standard errors and intervals are derived from the root and never stored; averages, ratios and events avoided
are made by ``combine`` (known weights) and ``transform`` (everything that was estimated).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.errors import DesignError
from impact.results.blocks import Array, Blocks
from impact.results.json_text import as_json

# The scales a reader may be shown, each with the value that means 'no effect'. Every other scale belongs to
# a quantity that only helps to form effects (group shares, the treated's events and person-time).
NULL_VALUE: dict[str, float] = {"difference": 0.0, "log ratio": 0.0, "events avoided": 0.0}

_COUNTS = ("persons", "treated", "clusters", "events")


@dataclass(frozen=True, eq=False)
class Effects:
    """Estimates that share one joint covariance.

    Parameters
    ----------
    labels : DataFrame, k rows
        What each estimate is: ``outcome``, ``term``, ``scale``, ``unit`` and, where they apply, ``group``,
        ``period``, ``event_time``.
    estimate : array (k,)
        In the stored units: rates per 1,000 person-months, logarithms of ratios, numbers of events.
    root : array (m, k) or Blocks
        Cluster sums of influence functions, so that the covariance is ``root.T @ diag(sign) @ root``.
    clusters : array (m,)
        Which cluster each row of the root belongs to.
    df : float or array (k,)
        Degrees of freedom of the intervals: clusters minus 1, or one for each effect (CR2).
    method : mapping
        ``estimator, estimand, outcome, control, inference, seed`` and what else describes the analysis.
    counts : DataFrame, k rows
        ``persons, treated, clusters, events`` behind each estimate and, where known, ``fewest``: the smallest
        number of events or people that the estimate and these could give away.
    sign : array (m,), optional
        +1 or -1 for each row of the root (two-way clustering subtracts the intersection).
    conf_level : float
        Of the intervals in ``table``.
    overall : Effects, optional
        One estimate that sums up these (the average over event times, groups or periods).
    critical : array (k,), optional
        Standard errors on each side of a simultaneous band, from the multiplier bootstrap.
    satterthwaite : callable, optional
        Degrees of freedom of the weighted sum of the effects with weights (k,), where each has its own.
    limits : array (k, 2), optional
        Ends of intervals that are known from elsewhere; missing where they follow from the error.
    regression : Regression, optional
        The regression whose coefficients they are sums of, as its clusters see it (``numbers.few_clusters``).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> labels = pd.DataFrame({"outcome": "ae", "term": ["a", "b"], "scale": "difference", "unit": ""})
    >>> counts = pd.DataFrame({"persons": [9, 9], "treated": [4, 4], "clusters": [9, 9], "events": [5, 5]})
    >>> effects = Effects(labels, np.array([1.0, 3.0]), np.eye(2), np.array([0, 1]), 8, {}, counts)
    >>> mean = effects.combine([[0.5], [0.5]], labels=labels.iloc[[0]])
    >>> float(mean.estimate[0]), round(float(mean.std_error[0]), 4)
    (2.0, 0.7071)
    """

    labels: pd.DataFrame
    estimate: Array
    root: Array | Blocks
    clusters: NDArray[Any]
    df: float | Array
    method: Mapping[str, Any]
    counts: pd.DataFrame
    sign: Array | None = None
    conf_level: float = 0.95
    overall: Effects | None = None
    critical: Array | None = None
    satterthwaite: Callable[[Array], float] | None = None
    limits: Array | None = None
    regression: Any = None

    def __post_init__(self) -> None:
        k = len(self.labels)
        if self.estimate.shape != (k,) or self.root.shape[1:] != (k,) or len(self.counts) != k:
            raise ValueError("labels, estimate, root and counts must agree on the number of effects")
        if len(self.clusters) != len(self.root):
            raise ValueError("clusters must have one entry for each row of the root")

    def __repr__(self) -> str:
        """Say what was estimated, without estimates (not released) or clusters (which may be people)."""
        outcomes = ", ".join(self.labels["outcome"].astype(str).unique())
        return f"Effects({self.method.get('estimator', '')}: {len(self)} of {outcomes})"

    @property
    def vcov(self) -> Array:
        """Covariance of the estimates, (k, k)."""
        v, at = np.zeros((len(self), len(self))), 0
        for block in self.blocks():
            signed = block if self.sign is None else self.sign[at : at + len(block), None] * block
            v += block.T @ signed
            at += len(block)
        if self.sign is None:
            return v
        values, vectors = np.linalg.eigh((v + v.T) / 2)
        # A two-way covariance can fail to be positive semi-definite in small samples; negative directions
        # carry no information about the error and are set to zero (Cameron, Gelbach and Miller 2011).
        return np.asarray((vectors * np.clip(values, 0, None)) @ vectors.T)

    @property
    def std_error(self) -> Array:
        """Standard errors, (k,); of the logarithm for ratios."""
        if self.sign is None:
            squares = [np.einsum("ij,ij->j", block, block) for block in self.blocks()]
            return np.asarray(np.sqrt(np.sum(squares, axis=0)))
        return np.sqrt(np.diag(self.vcov))

    def blocks(self) -> Iterator[Array]:
        """Yield the root's rows in order, in one array or, where it is made piece by piece, in several."""
        if isinstance(self.root, Blocks):
            yield from self.root.blocks(np.eye(len(self)))
        else:
            yield self.root

    @property
    def table(self) -> pd.DataFrame:
        """One tidy row an effect, with standard error, t statistic, p-value and interval."""
        from scipy.special import stdtr, stdtrit

        shown = self.labels["scale"].isin(list(NULL_VALUE)).to_numpy()
        out = self.labels[shown].reset_index(drop=True)
        estimate, error = self.estimate[shown], (self if shown.all() else self.select(shown)).std_error
        # A zero or undefined standard error has no interval: a missing one is shown as missing.
        error = np.where(error > 0, error, np.nan)
        null = out["scale"].map(NULL_VALUE).to_numpy(float)
        df = np.broadcast_to(np.asarray(self.df, float), (len(self),))[shown]
        half = np.where(df >= 1, stdtrit(np.maximum(df, 1), 0.5 + self.conf_level / 2), np.nan) * error
        out["null_value"] = null
        out["estimate"] = estimate
        out["std_error"] = error
        out["statistic"] = (estimate - null) / error
        out["p_value"] = 2 * stdtr(df, -np.abs(out["statistic"].to_numpy(float)))
        out["conf_low"], out["conf_high"] = estimate - half, estimate + half
        if self.limits is not None:
            ends = ["conf_low", "conf_high"]
            out[ends] = np.where(np.isfinite(self.limits[shown]), self.limits[shown], out[ends])
        if self.critical is not None:
            wide = self.critical[shown] * error
            out["band_low"], out["band_high"] = estimate - wide, estimate + wide
        out["conf_level"] = self.conf_level
        return out

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def stack(cls, effects: Mapping[str, Effects]) -> Effects:
        """Put several analyses of the same people beside each other, with their joint covariance.

        The name of each becomes its ``term``. Rows of the roots are aligned by cluster; a cluster that one
        analysis does not have is a row of zeros in it.
        """
        parts = list(effects.values())
        if any(e.satterthwaite is not None for e in parts):
            raise DesignError(
                "effects with CR2 errors cannot be stacked: their degrees of freedom belong to one analysis; "
                "use CR1 or CR3."
            )
        keys = [
            pd.MultiIndex.from_arrays([e.clusters, np.ones(len(e.root)) if e.sign is None else e.sign])
            for e in parts
        ]
        if any(not key.is_unique for key in keys):
            raise ValueError("effects can be stacked only when each has one row a cluster and sign")
        every = keys[0]
        for key in keys[1:]:
            every = every.union(key, sort=False)
        root = np.zeros((len(every), sum(len(e) for e in parts)))
        at = 0
        for key, e in zip(keys, parts, strict=True):
            root[every.get_indexer(key), at : at + len(e)] = e.root @ np.eye(len(e))
            at += len(e)
        signs = every.get_level_values(1).to_numpy(float)
        return cls(
            labels=pd.concat([e.labels.assign(term=name) for name, e in effects.items()], ignore_index=True),
            estimate=np.concatenate([e.estimate for e in parts]),
            root=root,
            clusters=every.get_level_values(0).to_numpy(),
            df=float(min(np.min(e.df) for e in parts)),
            method={**parts[0].method, "analyses": list(effects)},
            counts=pd.concat([e.counts for e in parts], ignore_index=True),
            sign=None if (signs == 1).all() else signs,
            conf_level=parts[0].conf_level,
        )

    def select(self, rows: Sequence[bool] | NDArray[np.bool_] | pd.Series) -> Effects:
        """Keep the effects for which ``rows`` is true."""
        keep = np.flatnonzero(np.asarray(rows, bool))
        by = np.eye(len(self))[:, keep]
        return replace(
            self,
            labels=self.labels.iloc[keep].reset_index(drop=True),
            estimate=self.estimate[keep],
            root=self.root.times(by) if isinstance(self.root, Blocks) else self.root[:, keep],
            counts=self.counts.iloc[keep].reset_index(drop=True),
            critical=None if self.critical is None else self.critical[keep],
            limits=None if self.limits is None else self.limits[keep],
            **self.carried(by),
        )

    def combine(self, weights: Any, *, labels: pd.DataFrame, counts: pd.DataFrame | None = None) -> Effects:
        """Weighted sums of the effects, with weights that are known and not estimated.

        Parameters
        ----------
        weights : array (k, j)
            One column a new effect.
        labels : DataFrame, j rows
            What the new effects are.
        counts : DataFrame, j rows, optional
            People and events behind them; without it, the largest count among the effects combined for
            people and clusters, and the sum for events.
        """
        w = np.asarray(weights, float)
        if counts is None:
            counts = self._pooled_counts(w)
        return self._derived(self.estimate @ w, w, labels, counts)

    def transform(
        self,
        f: Callable[[Array], Array],
        jacobian: Callable[[Array], Array],
        *,
        labels: pd.DataFrame,
        counts: pd.DataFrame,
    ) -> Effects:
        """Smooth functions of the effects by the delta method.

        ``f`` maps (k,) to (j,) and ``jacobian`` to (k, j): the derivative of each new effect by each old.
        """
        return self._derived(
            np.asarray(f(self.estimate), float), np.asarray(jacobian(self.estimate), float), labels, counts
        )

    def carried(self, by: Array) -> dict[str, Any]:
        """Return what goes with the effects times ``by`` (k, j): regression and CR2's degrees of freedom."""
        regression = None if self.regression is None else self.regression.times(by)
        if self.satterthwaite is None:
            return {"regression": regression}
        of = self.satterthwaite
        return {
            "regression": regression,
            "df": np.array([of(column) for column in by.T]),
            "satterthwaite": lambda weights: of(by @ weights),
        }

    def to_json(self) -> str:
        """Return table, method and counts as JSON; the root, whose rows may be people, stays here."""
        shown = self.labels["scale"].isin(list(NULL_VALUE)).to_numpy()
        counts = self.counts[shown].reset_index(drop=True)
        return as_json(pd.concat([self.table, counts], axis=1), self.method)

    def _derived(self, estimate: Array, by: Array, labels: pd.DataFrame, counts: pd.DataFrame) -> Effects:
        return replace(
            self,
            labels=labels.reset_index(drop=True),
            estimate=estimate,
            root=self.root @ by,
            counts=counts.reset_index(drop=True),
            overall=None,
            critical=None,
            limits=None,
            **self.carried(by),
        )

    def _pooled_counts(self, w: Array) -> pd.DataFrame:
        used = w != 0
        out = {}
        for name in [*_COUNTS, *({"fewest"} & set(self.counts))]:
            column = self.counts[name].to_numpy(float)[:, None]
            adds = name in ("events", "fewest")
            pooled = (column * used).sum(0) if adds else np.where(used, column, 0).max(0)
            out[name] = pooled.astype(int)
        return pd.DataFrame(out)
