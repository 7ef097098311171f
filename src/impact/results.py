"""The result family. Every result is frozen and carries ``table``, ``method``, ``counts`` and ``to_json()``.

``Effects`` is the one algebra: an estimate and the root of its covariance. Standard errors and intervals
are derived from the root and never stored; averages, ratios and events avoided are made by ``combine``
(known weights) and ``transform`` (everything that was estimated).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from impact.errors import DesignError

Array = NDArray[np.float64]

# The scales a reader may be shown, each with the value that means 'no effect'. Every other scale belongs to
# a quantity that only helps to form effects (group shares, the treated's events and person-time).
NULL_VALUE: dict[str, float] = {"difference": 0.0, "log ratio": 0.0, "events avoided": 0.0}

_COUNTS = ("persons", "treated", "clusters", "events")


def as_json(table: pd.DataFrame, method: Mapping[str, Any], **more: Any) -> str:
    """Write a table and its method as one JSON text, with missing values as null."""
    rows = json.loads(table.to_json(orient="records", double_precision=15, date_format="iso"))
    return json.dumps({"method": dict(method), **more, "table": rows}, default=str, ensure_ascii=False)


@dataclass(frozen=True, eq=False)
class Blocks:
    """A root whose rows are made when they are asked for, so that people by effects is never stored.

    Parameters
    ----------
    shape : (m, k)
    make : callable
        ``make(rows, by)`` gives the rows of the slice ``rows`` times ``by`` (k, j), an array (rows, j).
    size : int
        How many rows are made at once.

    Examples
    --------
    >>> import numpy as np
    >>> root = Blocks((3, 2), lambda rows, by: np.eye(3, 2)[rows] @ by, size=2)
    >>> (root @ np.array([[1.0], [5.0]])).ravel().tolist()
    [1.0, 5.0, 0.0]
    """

    shape: tuple[int, int]
    make: Callable[[slice, Array], Array]
    size: int = 4096

    def __len__(self) -> int:
        return self.shape[0]

    def __matmul__(self, by: Array) -> Array:
        out = np.empty((len(self), by.shape[1]))
        at = 0
        for block in self.blocks(by):
            out[at : at + len(block)] = block
            at += len(block)
        return out

    def blocks(self, by: Array) -> Iterator[Array]:
        """Yield the rows of the root times ``by``, in order."""
        for at in range(0, len(self), self.size):
            yield self.make(slice(at, min(at + self.size, len(self))), by)

    def times(self, by: Array) -> Blocks:
        """Return the root times ``by`` as a root whose rows are again made when asked for."""
        return Blocks((len(self), by.shape[1]), lambda rows, more: self.make(rows, by @ more), self.size)


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
        ``persons, treated, clusters, events`` behind each estimate.
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
            **self.carried(by),
        )

    def _pooled_counts(self, w: Array) -> pd.DataFrame:
        used = w != 0
        out = {}
        for name in _COUNTS:
            column = self.counts[name].to_numpy(float)[:, None]
            pooled = (column * used).sum(0) if name == "events" else np.where(used, column, 0).max(0)
            out[name] = pooled.astype(int)
        return pd.DataFrame(out)


@dataclass(frozen=True, eq=False)
class Test:
    """One hypothesis test: its statistic, degrees of freedom, p-value and what was tested.

    A test of one effect by its own draws also has the ``estimate``, the interval of all values that it does
    not reject, and ``smallest_p``, the smallest p-value that these data could have given.
    """

    __test__ = False  # not a pytest class

    name: str
    statistic: float
    df: float
    p_value: float
    method: Mapping[str, Any]
    counts: pd.DataFrame
    estimate: float | None = None
    conf_low: float | None = None
    conf_high: float | None = None
    conf_level: float | None = None
    smallest_p: float | None = None

    @property
    def table(self) -> pd.DataFrame:
        """One row."""
        row = {"test": self.name, "statistic": self.statistic, "df": self.df, "p_value": self.p_value}
        for name in ("estimate", "conf_low", "conf_high", "conf_level", "smallest_p"):
            value = getattr(self, name)
            row |= {} if value is None else {name: value}
        return pd.DataFrame([row])

    def to_json(self) -> str:
        """Return the test as JSON."""
        return as_json(self.table, self.method)


@dataclass(frozen=True, eq=False)
class Summary:
    """A descriptive table: counts of people and events, and figures derived from them.

    Parameters
    ----------
    table : DataFrame
        Tidy, one row an entry.
    people, events : sequences of str
        Columns that count people or events: these are suppressed and rounded when they are released.
    derived : mapping of column to columns
        Columns computed from counts, which are withheld where any of those counts is too small.
    adds_up : sequence of str
        Columns that together name a set of rows whose counts add up to a total that is also shown.
    percent : mapping of column to (numerator, denominator)
        Percentages, which are computed again from the rounded counts when they are released.
    method : mapping
        What the table shows.
    """

    table: pd.DataFrame
    method: Mapping[str, Any]
    people: Sequence[str] = ()
    events: Sequence[str] = ()
    derived: Mapping[str, Sequence[str]] = field(default_factory=dict)
    percent: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    adds_up: Sequence[str] = ()

    @property
    def counts(self) -> pd.DataFrame:
        """The columns that are counts."""
        return self.table[[*self.people, *self.events]]

    def to_json(self) -> str:
        """Return the table as JSON."""
        return as_json(self.table, self.method)


@dataclass(frozen=True, eq=False)
class Rates:
    """Rates by arm and period.

    ``table`` has ``outcome, arm, period, step`` and ``persons, events, person_months,
    rate_per_1000_person_months``; ``period`` is the first period of a step, ``step`` how many periods it
    spans.
    """

    table: pd.DataFrame
    method: Mapping[str, Any]

    @property
    def counts(self) -> pd.DataFrame:
        """People and events behind each rate."""
        return self.table[["persons", "events"]]

    def coarsen(self, blocks: Sequence[int]) -> Rates:
        """Pool periods that have the same number in ``blocks`` (one entry a period, in order)."""
        frame = self.table
        periods = sorted(frame["period"].unique())
        block = frame["period"].map(dict(zip(periods, blocks, strict=True)))
        pooled = (
            frame.assign(block=block)
            .groupby(["outcome", "arm", "block"], sort=True, observed=True)
            .agg(
                period=("period", "min"),
                step=("step", "sum"),
                persons=("persons", "max"),
                events=("events", "sum"),
                person_months=("person_months", "sum"),
            )
            .reset_index()
            .drop(columns="block")
        )
        pooled["rate_per_1000_person_months"] = 1000 * pooled["events"] / pooled["person_months"]
        return replace(self, table=pooled[frame.columns.tolist()])

    def to_json(self) -> str:
        """Return the rates as JSON."""
        return as_json(self.table, self.method)


@dataclass(frozen=True, eq=False)
class Weighting:
    """How estimated weights move with their parameters, so that errors count the weights' own error.

    ``gradient (n, p)`` is the derivative of each person's weight; ``influence (n, p)`` each person's
    influence on the parameters. An estimate with derivative ``u (n,)`` by the weights gains ``influence @
    (gradient.T @ u)`` in the influence of each person.
    """

    gradient: Array
    influence: Array

    def rows(self, at: NDArray[Any]) -> Weighting:
        """The same for the people at these positions."""
        return Weighting(self.gradient[at], self.influence[at])


@dataclass(frozen=True, eq=False)
class Matched:
    """A matched or weighted sample, in memory only: its rows are people and are never written.

    ``table`` has ``person_id, weight, subclass, distance`` for everyone in the cohort (weight 0 and a
    missing subclass for people who were not matched); ``cohort`` is what was matched. ``weighting`` comes
    with weights that were estimated, its rows in the order of the cohort.
    """

    table: pd.DataFrame
    cohort: Any
    method: Mapping[str, Any]
    counts: pd.DataFrame
    weighting: Weighting | None = None

    def __repr__(self) -> str:
        """Say how many people there are, and no row of theirs."""
        return f"Matched({int((self.table['weight'] > 0).sum())} of {len(self.table)})"

    def to_json(self) -> str:
        """Return how the sample was matched and its counts; not its rows, which are people."""
        return as_json(self.counts, self.method)


@dataclass(frozen=True, eq=False)
class Balance:
    """Balance of covariates between arms before and after matching.

    ``table`` has ``covariate, level, sample ('before' | 'after'), mean_treated, mean_control, smd,
    variance_ratio, ks`` and ``counts`` has ``sample, arm, persons, ess``.
    """

    table: pd.DataFrame
    method: Mapping[str, Any]
    counts: pd.DataFrame

    def to_json(self) -> str:
        """Return the balance table as JSON."""
        return as_json(self.table, self.method, counts=json.loads(self.counts.to_json(orient="records")))


@dataclass(frozen=True, eq=False)
class Bounds:
    """Intervals for an effect where parallel trends are relaxed, one for each limit of how far.

    ``table`` has ``outcome, term, scale, unit, restriction``, the limit (``m_bar`` or ``m``), ``estimate,
    conf_low, conf_high, conf_level, null_value`` and ``breakdown``, the largest limit at which the interval
    excludes the null value; ``counts`` has the people and events behind each row.
    """

    table: pd.DataFrame
    method: Mapping[str, Any]
    counts: pd.DataFrame

    def to_json(self) -> str:
        """Return table, method and counts as JSON."""
        return as_json(pd.concat([self.table, self.counts], axis=1), self.method)


Result = Effects | Test | Summary | Rates | Matched | Balance | Bounds
Sample = Literal["before", "after"]
